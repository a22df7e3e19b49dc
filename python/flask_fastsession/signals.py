"""Signals about sessions, in addition to Flask's signals about requests.

The sender is the app. No signal carries an id or a user, so a receiver may log everything it gets.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: A session was stored on the server for the first time.
session_created = _signals.signal("session-created")

#: A session on the server moved to another id.
session_regenerated = _signals.signal("session-regenerated")

#: A request cleared its session, which has ended. It is sent for sessions on the server, and for those in cookies that
#: can be revoked.
session_ended = _signals.signal("session-ended")

#: ``revoke`` or ``revoke_user`` ended a session. Outside of an app context, the sender is the app that was given to
#: ``ServerSession`` or ``init_app``, or ``None`` for an interface that was made in another way.
session_revoked = _signals.signal("session-revoked")

#: A cookie opened no session. ``reason`` is one of ``"expired"``, ``"future"``, ``"forged"``,
#: ``"malformed"``, ``"revoked"`` and ``"not_encrypted"``. For an id that the server does not know it is ``"expired"``.
#: It is sent for sessions in cookies and on the server.
session_refused = _signals.signal("session-refused")

#: The list of revocations could not be fetched. ``age`` is how old it is in seconds, or ``None`` if there is none. The
#: sender is ``None`` outside of an app context.
revocations_outdated = _signals.signal("revocations-outdated")
