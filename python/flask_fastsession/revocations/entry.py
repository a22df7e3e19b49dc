"""Entries of the list of revocations: one session, or all sessions that a user had at a place in the list.

An entry is stored as JSON, ``["s", until, id]`` or ``["u", until, user, cursor, floor, keep]``, with ids in base64.
"""

from __future__ import annotations

import base64
import json
import typing as t

from .._native import RevokedList

#: A session that the revocation of its user keeps: its id, and the number of the place at which it was bound.
Kept: t.TypeAlias = tuple[bytes, int]


class Cursor(t.NamedTuple):
    """A place in the list of a store.

    ``number`` rises with each entry; :class:`RevocationStore` says how. ``generation`` is the generation of the list,
    and the empty text for a list that nobody has added to.
    """

    number: int
    generation: str


class SessionEntry(t.NamedTuple):
    """Revokes a session. ``until`` is when its last cookie has expired, in whole seconds since 1970."""

    until: int
    id: bytes

    def to_text(self) -> str:
        return as_text(["s", self.until, base64_of(self.id)])

    def apply(self, revoked: RevokedList, number: int) -> int:
        """Put it into a list, where it stands at a place of this number. Return the number it counts as."""
        revoked.add_session(self.id, self.until)
        return number


class UserEntry(t.NamedTuple):
    """Revokes the sessions of a user that were bound before this entry, except those in ``keep``.

    The number of the entry is that of its place in the list, but at least ``floor``, which is greater than the numbers
    of all places that its process had seen. So the entry revokes the same sessions if the list was lost and begins
    again with smaller numbers. An entry that is added again keeps its former number in ``cursor``.
    """

    until: int
    #: The hash of the user.
    user: bytes
    keep: tuple[Kept, ...] = ()
    floor: int = 0
    cursor: int | None = None

    def to_text(self) -> str:
        keep = [[base64_of(id), cursor] for id, cursor in self.keep]
        return as_text(["u", self.until, base64_of(self.user), self.cursor, self.floor, keep])

    def counts_as(self, number: int) -> int:
        """The number that it counts as where it stands at a place of this number."""
        return max(number, self.floor) if self.cursor is None else self.cursor

    def apply(self, revoked: RevokedList, number: int) -> int:
        """Put it into a list, where it stands at a place of this number. Return the number it counts as."""
        counts_as = self.counts_as(number)
        revoked.add_user(self.user, counts_as, self.until, list(self.keep))
        return counts_as


Entry: t.TypeAlias = SessionEntry | UserEntry


def entry_from(text: str) -> Entry | None:
    """Return the entry in a text, or ``None`` if this version does not know it."""
    try:
        kind, until, name, *rest = json.loads(text)
        if kind == "s":
            return SessionEntry(number_in(until), bytes_from(name))
        if kind == "u":
            cursor, floor, keep = rest
            kept = tuple((bytes_from(id), number_in(number)) for id, number in keep)
            cursor = None if cursor is None else number_in(cursor)
            return UserEntry(number_in(until), bytes_from(name), kept, number_in(floor), cursor)
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def number_in(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("expected a number of seconds or of a place")
    return value


def as_text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def base64_of(name: bytes) -> str:
    return base64.urlsafe_b64encode(name).rstrip(b"=").decode()


def bytes_from(text: str) -> bytes:
    found = base64.urlsafe_b64decode(text + "==")
    if len(found) != 16:
        raise ValueError("an id has 16 bytes")
    return found


def missing_entries(former: RevokedList, current: RevokedList) -> list[Entry]:
    """Return the entries of ``former`` that ``current`` lacks, to be added again."""
    sessions, users = former.missing_in(current)
    found: list[Entry] = [SessionEntry(until, id) for id, until in sessions]
    for user, cursor, until, keep in users:
        found.append(UserEntry(until, user, tuple(keep), cursor=cursor))
    return found
