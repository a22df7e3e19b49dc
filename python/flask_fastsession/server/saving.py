"""What saving a session takes: decided here, done elsewhere."""

from __future__ import annotations

import typing as t
from types import NoneType

if t.TYPE_CHECKING:
    from .session import ServerSideSession

#: A session is renewed once what is left of its lifetime is off by this share: reading costs no writing.
RENEWED_SHARE = 0.05

#: The types of values that never change.
UNCHANGEABLE = frozenset({bool, int, float, str, bytes, NoneType})


class Plan(t.NamedTuple):
    """What to do with a session at the end of its request."""

    #: End what is stored of it.
    ends: bool = False
    #: Store it under an id of its own.
    begins: bool = False
    #: Store it if it has changed; as the next one says, under another id.
    writes: bool = False
    moves: bool = False
    #: Restart its lifetime: in its record, in the list of its user and, if it is permanent, in its cookie.
    renews: bool = False
    sets_cookie: bool = False


def plan_of(
    session: ServerSideSession,
    *,
    now: int,
    lifetime: int,
    refreshes: bool,
    refresh_after: float | None = None,
    is_timed: bool = False,
) -> Plan:
    """Decide what saving a session takes. ``lifetime`` is in seconds; ``refreshes`` is Flask's
    ``SESSION_REFRESH_EACH_REQUEST``; ``refresh_after`` is the option, and ``is_timed`` says that the lifetime is by
    another one, and shorter than that of other sessions.

    What was cleared ends, and what was put into it since is another session. What was only emptied goes on: another
    request may be about to put something into it.
    """
    stored = session.stored
    is_owned = session.meta.owner is not None
    is_refreshed = session.permanent and refreshes
    if stored is None or session.was_cleared:
        if session.is_empty:
            return Plan(ends=stored is not None)
        is_dated = is_refreshed or is_owned or is_timed
        return Plan(ends=stored is not None, begins=True, renews=is_dated, sets_cookie=True)
    moves = session.needs_new_id
    needs_cookie = moves or session.is_cookie_outdated or stored.permanent != session.permanent
    is_bound_now = session.meta.owner != stored.owner
    is_old = needs_renewal(session.meta.expires_at, now, lifetime, refresh_after)
    if session.was_updated or session.modified:
        # The option does not keep a session from being renewed that has changed.
        is_old = is_old or needs_renewal(session.meta.expires_at, now, lifetime)
    renews = (is_refreshed or is_owned or is_timed) and (needs_cookie or is_bound_now or is_old)
    follows = session.permanent and (renews if refreshes else session.modified)
    writes = moves or renews or session.was_updated or not stored.says(session.meta) or has_changeable(session)
    return Plan(writes=writes, moves=moves, renews=renews, sets_cookie=needs_cookie or follows)


def has_changeable(session: ServerSideSession) -> bool:
    """Whether a value may have changed in its place, which the session does not notice."""
    return not UNCHANGEABLE.issuperset(map(type, session.values()))


def needs_renewal(expires_at: int | None, now: int, lifetime: int, refresh_after: float | None = None) -> bool:
    if expires_at is None:
        return True
    age = now + lifetime - expires_at
    if refresh_after is None:
        return abs(age) >= lifetime * RENEWED_SHARE
    # It is below zero where lifetimes have become shorter since.
    return age > refresh_after or age < 0
