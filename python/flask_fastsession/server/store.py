"""What a store of sessions has to do, and the error it raises when it cannot.

A store keeps bytes by key for a time. It knows nothing of Flask, cookies or formats. :class:`SQLiteStore`,
:class:`RedisStore` and :class:`MemcachedStore` are stores; any other object that has these methods may be given as
``SESSION_TYPE``. :class:`flask_fastsession.testing.StoreTests` tests whether it keeps the promises made here.

Two more methods are called where a store has them: ``expires_in(key)``, which returns in how many whole seconds a
record ends, or ``None`` where it has no end or there is none, for ``flask session inspect``; and ``shrink()``, which
gives back the room of what was swept out, for ``flask session_cleanup``.
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
