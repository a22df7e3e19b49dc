"""The protocol of a session store, and the error that a store raises when it fails.

A store keeps bytes under a key for some time. It does not know about Flask, cookies or formats. :class:`SQLiteStore`,
:class:`RedisStore` and :class:`MemcachedStore` are stores. ``SESSION_TYPE`` may be any other object with these
methods. :class:`flask_fastsession.testing.StoreTests` tests whether it behaves as described here.

Optional methods are called if a store has them: ``expires_in(key)``, which returns in how many whole seconds a record
expires, or ``None`` if it does not expire or does not exist; ``shrink()``, which frees the space of removed records,
for ``flask session cleanup``; those of :class:`ListingStore`, for ``flask
session migrate``; those of :class:`MovingStore`; and those of :class:`OwnerStore`, without which sessions
cannot be bound to users.
"""

from __future__ import annotations

import typing as t


class SessionStoreError(Exception):
    """A session could not be loaded or stored: the store is unreachable, full, read-only, too slow or broken.

    Raised when a view first accesses the session, so that an error handler of the app can answer, and at the end of the
    request if a write fails, for which Flask calls the handler for status 500. The ``__cause__`` is the error of the
    client library.
    """


class Store(t.Protocol):
    """A store that keeps sessions.

    A key is visible ASCII without spaces, at most 250 characters. ``ttl`` is a time in whole seconds, at least one,
    after which a record expires; ``None`` means that it does not. Each method is atomic for other threads and
    processes, and raises :exc:`SessionStoreError` if it does not know whether it succeeded.
    """

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        """Return a record, ``None`` if there is none, or ``b""`` if the key holds something that is not a record.

        With ``ttl``, let the record expire after about this time from now: the store may leave the expiry unchanged if
        it differs by at most a twentieth. A record may be an instance of a subclass of :class:`bytes` with more
        information for the store, which gets it back as ``old``.
        """

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        """Create a record if there is none at this key, and return whether it was created."""

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        """Replace a record by ``new`` if it is still ``old``, or delete it if ``new`` is ``None``.

        The new one expires after ``ttl``, or about that time as for :meth:`load`, unless it begins with a null byte.
        Return ``True`` if it was replaced, ``False`` if there is no record, or the record if it is another one.
        """

    def delete(self, *keys: str) -> None:
        """Delete these records. A record that does not exist is not an error."""


@t.runtime_checkable
class SweepingStore(Store, t.Protocol):
    """A store whose expired records take up space until they are removed."""

    def sweep(self, limit: int) -> int:
        """Remove up to ``limit`` expired records, and return how many."""


@t.runtime_checkable
class ListingStore(Store, t.Protocol):
    """A store that can say which records it has, and how long each is kept."""

    def keys(self, prefix: str) -> t.Iterator[str]:
        """Yield the keys that begin with a prefix. Of records that come or go meanwhile it may yield any."""

    def expires_in(self, key: str) -> int | None:
        """Return in how many seconds a record expires; ``None`` if it is not there, or does not."""


@t.runtime_checkable
class MovingStore(Store, t.Protocol):
    """A store that moves a record to another key in one step. With other stores this takes several commands."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        """Move a record from ``key`` to ``new_key``, as ``new`` and for ``ttl`` seconds, if it is still ``old``.

        Leave ``left`` at ``key`` for ten minutes, which :meth:`Store.load` does not prolong, or nothing if it is
        ``None``. Lists that name ``key`` name
        ``new_key`` from then on. Return ``True`` if the record was moved, ``False`` if there is no record at ``key`` or
        already one at ``new_key``, or the record at ``key`` if it is another one.
        """


#: For so many seconds a key leads to the one that its session has moved to.
MOVED_TTL = 600


@t.runtime_checkable
class OwnerStore(Store, t.Protocol):
    """A store that lists the sessions of each user.

    ``owner`` is a key that no record has; ``handle`` is at most 40 visible ASCII characters. A session that its owner's
    list does not have has ended. So removing it from the list ends it at once, whatever its key, and no write of
    another request brings it back.
    """

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        """List the session stored at ``key``, for ``ttl`` seconds.

        With ``renew``, do this only if the owner's list already has it. A handle has one owner: it is removed from the
        list of an earlier owner. Return whether it is listed now.
        """

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        """Return whether the owner's list has a session. ``record`` is what :meth:`Store.load` returned for it."""

    def listed(self, owner: str) -> list[tuple[str, str]]:
        """Return the handle and the key of each session on the list; its record may have ended or moved."""

    def unlist(self, owner: str, handle: str) -> None:
        """Remove a session from its owner's list, and leave the record unchanged."""

    def end(self, handle: str) -> bool:
        """End the listed session that has this handle, and delete its record. Return whether there was one."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        """End all sessions on the list at this moment, except those whose handle is in ``keep``. Return their number.

        Remove them all from the list in the first step, so that they have ended even if new ones begin or the process
        is killed. Then delete their records, as far as the listed keys are still theirs.
        """
