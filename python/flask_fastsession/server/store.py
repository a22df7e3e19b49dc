"""What a store of sessions has to do, and the error it raises when it cannot.

A store keeps bytes by key for a time. It knows nothing of Flask, cookies or formats. :class:`SQLiteStore`,
:class:`RedisStore` and :class:`MemcachedStore` are stores; any other object that has these methods may be given as
``SESSION_TYPE``. :class:`flask_fastsession.testing.StoreTests` tests whether it keeps the promises made here.

More methods are called where a store has them: ``expires_in(key)``, which returns in how many whole seconds a record
ends, or ``None`` where it has no end or there is none; ``shrink()``, which gives back the room of what was swept out,
for ``flask session cleanup``; those of :class:`MovingStore`; and those of :class:`OwnerStore`, without which sessions
cannot be bound to users.
"""

from __future__ import annotations

import typing as t


class SessionStoreError(Exception):
    """A session could not be loaded or stored: the store is unreachable, full, read-only, too slow or out of order.

    Raised where a view first touches the session, so that an error handler of the app can answer; and at the end of the
    request where a write failed, which Flask answers as any error there, with the handler for status 500. Its
    ``__cause__`` is the error of the client library.
    """


class Store(t.Protocol):
    """Where sessions are kept.

    A key is visible ASCII without spaces, at most 250 characters. ``ttl`` is a time in whole seconds, at least one,
    after which a record is gone by itself; ``None`` stands for no end. Each method acts on its record at once, as seen
    by any other thread or process, and raises :exc:`SessionStoreError` if it cannot tell that it has.
    """

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        """Return a record, ``None`` where there is none, or ``b""`` where there is something that is no record.

        With ``ttl`` the record is to live for about so long from now: the store may leave it as it is if what is left
        of its life differs by no more than a twentieth. A record may be of a subclass of :class:`bytes`, and so tell
        the store more when it is given back, as ``old``.
        """

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        """Put a record where none is, and return whether that was so."""

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        """Put ``new`` in the place of a record that is still ``old``, or delete that one if ``new`` is ``None``.

        Return ``True`` if that was done; ``False`` if there is no record any more; and if there is another one, that.
        """

    def delete(self, *keys: str) -> None:
        """Delete these records, whatever they are; it does not matter if there are none."""


@t.runtime_checkable
class SweepingStore(Store, t.Protocol):
    """A store where records that have expired still take up room until they are swept out."""

    def sweep(self, limit: int) -> int:
        """Remove up to ``limit`` expired records, and return how many."""


@t.runtime_checkable
class MovingStore(Store, t.Protocol):
    """A store that gives a record another key in one step. With other stores that takes several commands."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        """Put ``new`` at ``new_key``, for ``ttl`` seconds, in the place of a record that is still ``old`` at ``key``.

        ``left`` stays behind at ``key`` for ten minutes; with ``None`` nothing does. Return ``True`` if
        that was done; ``False`` if there is no record at ``key`` any more, or one at ``new_key`` already; and if there
        is another one at ``key``, that. What is listed of ``key`` is listed of ``new_key`` from then on.
        """


#: For so many seconds a key leads to the one that its session has moved to.
MOVED_TTL = 600


@t.runtime_checkable
class OwnerStore(Store, t.Protocol):
    """A store that lists which sessions are a user's.

    ``owner`` is a key, as those of records are, which no record has; ``handle`` is at most 40 visible ASCII characters.
    A session of an owner who does not list it has ended: whoever takes it off the list ends it at once, under whatever
    key it is stored, and what other requests still store of it does not bring it back.
    """

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        """List the session stored at ``key``, for ``ttl`` seconds.

        With ``renew``, do so only if this owner lists it already. A handle has one owner: listed before by another one,
        it is so no more. Return whether it is listed now.
        """

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        """Whether it is among the owner's sessions. ``record`` is what :meth:`Store.load` has just returned of it."""

    def listed(self, owner: str) -> list[tuple[str, str]]:
        """Return the handle and the key of each session of an owner; the record may have ended, or have moved."""

    def unlist(self, owner: str, handle: str) -> None:
        """Take a session off its owner's list, and leave the record as it is."""

    def end(self, handle: str) -> bool:
        """End the listed session that has this handle, and return whether there was one. Delete its record as well."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        """End all sessions that are an owner's at this moment, but those whose handle is in ``keep``; return how many.

        From the first step on none of them is listed, so that it does not matter how many new ones begin meanwhile, or
        where this is stopped. Delete their records as well, as far as the keys listed are those they have.
        """
