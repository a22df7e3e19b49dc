"""The session of a request."""

from __future__ import annotations

import functools
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


class Revocable:
    """What sessions have more where they can be revoked. It comes before the class that they would be of otherwise."""

    __slots__ = ()

    if t.TYPE_CHECKING:
        _revocations: Revocations

    def clear(self) -> None:
        """Empty the session, and end it: what you store in it then is another session."""
        super().clear()  # type: ignore[misc]
        revocations = getattr(self, "_revocations", None)
        if revocations is not None:
            revocations.end(self)


class RevocableSession(Revocable, SecureCookieSession):
    __slots__ = ()


# As it is called otherwise: logs and tests print that.
RevocableSession.__name__, RevocableSession.__qualname__ = (
    SecureCookieSession.__name__,
    SecureCookieSession.__qualname__,
)


@functools.cache
def revocable_class(session_class: type[SecureCookieSession]) -> type[SecureCookieSession]:
    """Return the class of a session that can be revoked, for one that would be of this class otherwise."""
    if issubclass(session_class, Revocable):
        return session_class
    if session_class is SecureCookieSession:
        return RevocableSession
    attributes = {"__slots__": (), "__module__": session_class.__module__, "__qualname__": session_class.__qualname__}
    return t.cast("type[SecureCookieSession]", type(session_class.__name__, (Revocable, session_class), attributes))


#: The same, under a name that tells it from Flask's.
FastSession = SecureCookieSession
