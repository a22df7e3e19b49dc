"""Sessions of another backend taken over, one by one, when their cookies come.

Where the store has no record of an id, the sources are asked for its session. What they have is stored at the key of
the id, and is a session like any other from then on. This happens at most once for each id. It takes three records in
the store, each written in one step:

1. at the key of the id, "being taken over", with a random number;
2. at a key of its own, the tombstone, with the same number. It stays for as long as a source may still have the id,
   whatever becomes of the session: nobody needs to know, when a session ends or moves, that it was taken over;
3. the session, in the place of the first.

Who finds the first record carries on from there, if the tombstone has its number, and removes it if not. So it does not
matter where somebody stops, nor how many requests bring the cookie at once.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
import typing as t
from dataclasses import dataclass

from .ids import Ids
from .ids import is_taking
from .ids import new_key_in
from .ids import taking
from .lifecycle import ATTEMPTS
from .lifecycle import Refused
from .lifecycle import overtaken
from .meta import SessionMeta
from .meta import owner_name
from .record import Data
from .record import NotARecord
from .record import PickledRecord
from .record import RecordFormat
from .revoked import RevokedUsers
from .store import SessionStoreError
from .store import Store

log = logging.getLogger("flask_fastsession")

#: Where Flask-Login keeps whose a session is.
USER_KEY = "_user_id"

#: Processes of Flask-Session that run beside ours give their sessions new life for so many seconds after one was taken
#: over.
OVERLAP = 7 * 24 * 60 * 60


class Source(t.Protocol):
    """Where sessions are taken over from. Only :meth:`load` has to be there; the other two are called if they are."""

    def load(self, sid: str) -> bytes | Data | None:
        """Return the session that has an id: its data, or its record as Flask-Session 0.8 writes it; or ``None``.

        ``sid`` is what the cookie holds, 16 to 128 letters, digits, hyphens and underscores. What this raises is an
        error of the request, with the session as it was: who returns ``None`` instead logs the visitor out.
        """


class ExpiringSource(Source, t.Protocol):
    """A source that knows how long its sessions live."""

    def expires_in(self, sid: str) -> float | None:
        """Return in how many seconds the session ends, ``math.inf`` for never, or ``None`` where that is unknown."""


class DeletingSource(Source, t.Protocol):
    """A source whose sessions can be deleted once they were taken over: ``SESSION_TAKE_OVER_DELETE``."""

    def delete(self, sid: str) -> None:
        """Delete a session. It does not matter if there is none."""


@dataclass(frozen=True)
class Sources:
    """What to take over from: see :class:`ServerSession` for what each is called in the config."""

    sources: tuple[Source, ...]
    deletes: bool = False
    #: The most seconds that a session in a source may live on.
    lifetime: int = 31 * 24 * 60 * 60


class TakeOver:
    """Takes sessions over into a store. All methods raise :exc:`SessionStoreError`."""

    def __init__(
        self, sources: Sources, store: Store, record_format: RecordFormat, ids: Ids, revoked: RevokedUsers
    ) -> None:
        self.sources = sources
        self.store = store
        self.format = record_format
        self.ids = ids
        self.revoked = revoked

    def find(self, sid: str, ttl: int) -> tuple[str, bytes]:
        """Take a session over, and return its key and record; raise :exc:`Refused` if no source has it any more."""
        for source in self.sources.sources:
            found = asked(source, "load", sid)
            if found is not None:
                return self._take(source, sid, found, ttl)
        # Another request may have taken it over, and deleted it there, since the store was asked.
        key, record = self.ids.key(sid), self.store.load(self.ids.key(sid)) if self.sources.deletes else None
        if record is None or is_taking(record):
            raise Refused("expired")
        return key, live(record)

    def _take(self, source: Source, sid: str, found: bytes | Data, ttl: int) -> tuple[str, bytes]:
        try:
            data = self.data_of(found)
            record = self.record_of(data)
        except NotARecord as reason:
            hint = " Run `flask session convert --allow-pickle`." if isinstance(reason, PickledRecord) else ""
            log.warning("A session cannot be taken over (%s); the visitor gets a new one.%s", reason, hint)
            raise Refused("malformed") from None
        try:
            taken = self.put(sid, record, ttl, owner_in(data), life_left(source, sid))
        except Refused:
            # Somebody has brought it back, or it could not be deleted before.
            self.delete(source, sid)
            raise
        self.delete(source, sid)
        return taken

    def data_of(self, found: bytes | Data) -> Data:
        """Return what a source has found, as data; raise :exc:`NotARecord`."""
        if isinstance(found, (bytes, bytearray, memoryview)):
            return self.format.loads(bytes(found))
        if not isinstance(found, dict):
            raise NotARecord(f"a source gave {type(found).__name__}")
        return dict(found)

    def record_of(self, data: Data) -> bytes:
        """Return the record to store. What the data says of itself as ours is not believed: any app may write it."""
        try:
            return self.format.dumps(SessionMeta(begun=int(time.time())).put_into(data))
        except Exception as error:
            # An object in it may raise anything.
            raise NotARecord(f"it cannot be stored: {type(error).__name__}") from error

    def put(self, sid: str, record: bytes, ttl: int, owner: str | None, left: float | None) -> tuple[str, bytes]:
        """Store the session that has an id in a source, and return its key and its record, which may have changed.

        Raise :exc:`Refused` if it was taken over before and has ended, or moved to another id, or if its owner's
        sessions were revoked. ``left`` is for how long the source still has it.
        """
        key, tombstone, life = self.ids.key(sid), self.ids.taken_key(sid), self._life(left)
        for _ in range(ATTEMPTS):
            found = self.store.load(key)
            if found is None and self.store.load(tombstone) is not None:
                # It may have been taken over since the first look, but then it is there now.
                found = self.store.load(key)
                if found is None:
                    raise Refused("revoked")
            if found is None:
                found = taking(secrets.token_urlsafe(16))
                if not self.store.create(key, found, ttl):
                    continue
            if not is_taking(found):
                return key, live(found)
            is_first = self.store.create(tombstone, found, life) or self.store.load(tombstone) == found
            # After the tombstone: whoever revokes looks for these in the other order.
            if not is_first or (owner is not None and self.revoked.has(owner)):
                self.store.replace(key, found, None, None)
                raise Refused("revoked")
            done = self.store.replace(key, found, record, ttl)
            if done is True:
                return key, record
            if done is False:
                raise Refused("revoked")
            if not is_taking(done):
                return key, live(done)
        raise overtaken()

    def _life(self, left: float | None) -> int | None:
        """For how long a tombstone stays: a source may have its session for so long."""
        return life_beside(max(self.sources.lifetime, left or 0))

    def delete(self, source: Source, sid: str) -> None:
        """Delete what was taken over, if that is wanted."""
        if not self.sources.deletes:
            return
        try:
            asked(source, "delete", sid)
        except SessionStoreError as error:
            # It is not taken over again, so it does no harm there.
            log.warning("A session that was taken over could not be deleted: %s", error)

    # --- Revoke -----------------------------------------------------------------------------------------------------

    def revoke(self, sid: str) -> None:
        """See to it that this id is not taken over from now on."""
        self.store.create(self.ids.taken_key(sid), taking(), self._life(None))
        for source in self.sources.sources:
            self.delete(source, sid)


def life_beside(lifetime: float) -> int | None:
    """For how long it is to be known what has ended, where Flask-Session keeps sessions for ``lifetime`` seconds."""
    return None if lifetime == math.inf else int(lifetime) + OVERLAP


def live(record: bytes) -> bytes:
    if new_key_in(record) is not None:
        raise Refused("revoked")
    return record


def owner_in(data: Data) -> str | None:
    """The owner by Flask-Login's key in the data of a session."""
    user = data.get(USER_KEY)
    return owner_name(user) if isinstance(user, (str, int)) else None


def life_left(source: Source, sid: str) -> float | None:
    return asked(source, "expires_in", sid) if hasattr(source, "expires_in") else None


def asked(source: Source, method: str, sid: str) -> t.Any:
    try:
        return getattr(source, method)(sid)
    except SessionStoreError:
        raise
    except Exception as error:
        # Its text may quote the id.
        kind = type(source).__name__
        raise SessionStoreError(f"taking over a session from {kind} failed: {type(error).__name__}") from error
