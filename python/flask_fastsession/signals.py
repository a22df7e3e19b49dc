"""Signals of sessions, beside those that Flask has of requests.

The sender is the app. None of them carries an id or a user: a receiver may log all it is given.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: A session was stored on the server for the first time.
session_created = _signals.signal("session-created")

#: A session on the server moved to another id.
session_regenerated = _signals.signal("session-regenerated")

#: A session was cleared by a request of its own, and has ended.
session_ended = _signals.signal("session-ended")

#: A session was ended by ``revoke`` or ``revoke_user``. The sender is ``None`` outside of an app context.
session_revoked = _signals.signal("session-revoked")

#: A cookie was sent that opens no session. ``reason`` is one of ``"expired"``, ``"future"``, ``"forged"``,
#: ``"malformed"``, ``"revoked"`` and ``"not_encrypted"``. An id that the server does not know is ``"expired"``.
session_refused = _signals.signal("session-refused")
