"""The session of a request."""

from __future__ import annotations

from flask import sessions


class SecureCookieSession(sessions.SecureCookieSession):
    """The session of one request: a dict that notices changes.

    It is a :class:`flask.sessions.SecureCookieSession`, and has the same name, which logs and tests print.
    """

    # What it was loaded from, so that a session that still says the same keeps its payload: base64, and JSON text.
    # And when that was signed, in seconds since 1970, where an option asks for it.
    __slots__ = ("_loaded", "_signed_at")

    _loaded: tuple[bytes, bytes]
    _signed_at: int


#: The same, under a name that tells it from Flask's.
FastSession = SecureCookieSession
