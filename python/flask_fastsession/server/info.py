"""How an app names a session, and what it can show of a session to its user."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from datetime import timezone

from flask import current_app
from flask import has_app_context
from flask import has_request_context
from flask import session as current_session

from .ids import SID
from .meta import handle_or_none
from .session import ServerSideSession
from .session import UnloadedSession

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sessions import SessionMixin


@dataclass(frozen=True)
class SessionInfo:
    """A session of a user, for a page that lists the user's devices.

    ``name`` is random text. It stays the same while the session is bound to this user, and gives no access to it.
    ``begun`` and ``last_seen`` are times in UTC, or ``None`` if they are unknown; ``last_seen`` is exact to a twentieth
    of the session's lifetime. ``note`` is what the function in ``SESSION_NOTE`` returned for the request that bound the
    session to the user, as text, or ``None``.
    """

    name: str
    begun: datetime | None
    last_seen: datetime | None
    note: str | None


#: How an app names a session: by its id, its handle, a :class:`SessionInfo`, or as the session itself.
AnySession: t.TypeAlias = "str | SessionInfo | SessionMixin"


def loaded(session: t.Any) -> ServerSideSession:
    session = getattr(session, "_get_current_object", lambda: session)()
    if isinstance(session, UnloadedSession):
        session.load()
    if not isinstance(session, ServerSideSession):
        raise TypeError(f"expected a server-side session, not {type(session).__name__}")
    return session


def resolved(session: AnySession) -> str | ServerSideSession:
    """The id or the handle of a session as given, or the session object if it is one of this request.

    Raise :exc:`ValueError` for a text that can be neither, such as the id of a user or a signed cookie.
    """
    if isinstance(session, SessionInfo):
        return session.name
    if not isinstance(session, str):
        return loaded(session)
    if not SID.fullmatch(session) and handle_or_none(session) is None:
        # It is not quoted, since it may be a cookie.
        raise ValueError(
            "expected the name of a session, as sessions_of() returns it, or its id, as session.sid is: a text of"
            f" {len(session)} characters is neither"
        )
    # The store does not know an id that the session of this request is only about to have.
    return loaded(current_session) if session == coming_sid() else session


def coming_sid() -> str | None:
    """The id that the session of this request is about to have."""
    found = current_session._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]
    return found.new_sid if isinstance(found, ServerSideSession) else None


def current_app_or_none() -> Flask | None:
    return current_app._get_current_object() if has_app_context() else None  # type: ignore[attr-defined]


def several(sessions: AnySession | Iterable[AnySession] | None) -> list[AnySession]:
    if sessions is None:
        return []
    # A session is iterable, too, by its keys; what is no session is refused as one.
    is_one = isinstance(sessions, (str, bytes, SessionInfo, Mapping)) or sessions is current_session
    is_one = is_one or not isinstance(sessions, Iterable)
    return [t.cast(AnySession, sessions)] if is_one else list(t.cast("Iterable[AnySession]", sessions))


def in_utc(seconds: int | None) -> datetime | None:
    """A time in seconds since 1970 as a datetime; ``None`` if it is unknown or, in a damaged record, too late."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
