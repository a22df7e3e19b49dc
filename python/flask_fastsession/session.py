"""The session of a request."""

from __future__ import annotations

import typing as t

from flask import sessions

if t.TYPE_CHECKING:
    from ._native import Identity
    from .revocations import Revocations
    from .revocations.sessions import Fate


class SecureCookieSession(sessions.SecureCookieSession):
    """The session of one request: a dict that notices changes.

    It is a :class:`flask.sessions.SecureCookieSession`, and has the same name, which logs and tests print.
    """

    # What it was loaded from, so that a session that still says the same keeps its payload: base64, and JSON text.
    # And when that was signed, in seconds since 1970, where an option asks for it. The others are set only where
    # sessions can be revoked.
    __slots__ = ("_loaded", "_revocable", "_revocations", "_signed_at")

    _loaded: tuple[bytes, bytes]
    _signed_at: int
    _revocations: Revocations
    #: What it carries, or what has become of that in this request.
    _revocable: Identity | Fate

    def clear(self) -> None:
        """Empty the session. With ``revocations=`` this also ends it: what you store in it then is another session."""
        super().clear()
        revocations = getattr(self, "_revocations", None)
        if revocations is not None:
            revocations.end(self)


#: The same, under a name that tells it from Flask's.
FastSession = SecureCookieSession
