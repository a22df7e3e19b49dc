"""The session of a request."""

from __future__ import annotations

from flask import sessions


class SecureCookieSession(sessions.SecureCookieSession):
    """The session of one request, a dict that notices when it is changed.

    A :class:`flask.sessions.SecureCookieSession` in every respect, its name included: logs and tests print that.
    """

    # What it was loaded from, so that a session that still says the same keeps its payload: base64, and JSON text.
    __slots__ = ("_loaded",)

    _loaded: tuple[bytes, bytes]


#: The same, under a name that tells it from Flask's.
FastSession = SecureCookieSession
