"""Take over the sessions of another backend, one by one, when their cookies come.

If the store has no record of an id, the sources are asked for its session. If one has it, it is stored at the key of
the id, and is a session like any other from then on. This happens at most once for each id. It takes three records in
the store, each written in one step:

1. at the key of the id, "being taken over", with a nonce;
2. at a key of its own, the tombstone, with the same nonce. It stays for as long as a source may still have the id, even
   if the session ends or moves before that;
3. the session, in place of the first record.

A request that finds the first record continues from there if the tombstone has the same nonce, and otherwise removes
it. So it does not matter where a process is killed, nor how many requests bring the cookie at once.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
import typing as t
from collections.abc import Callable
from contextlib import suppress
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
from .revoked import let_live
from .store import SessionStoreError
from .store import Store

log = logging.getLogger("flask_fastsession")

#: The key under which Flask-Login stores the id of the user.
USER_KEY = "_user_id"

#: For how many seconds after a session was taken over processes with Flask-Session may still run beside ours, and renew
#: the session there.
OVERLAP = 7 * 24 * 60 * 60


class Source(t.Protocol):
    """Where sessions are taken over from. Only :meth:`load` is required.

    A source may also have the methods ``expires_in(sid)``, which returns in how many seconds a session ends
    (``math.inf`` for never, ``None`` if that is unknown), and ``delete(sid)``, for ``SESSION_TAKE_OVER_DELETE``.
    """

    def load(self, sid: str) -> bytes | Data | None:
        """Return the data of the session with this id as a dict, or its record as Flask-Session 0.8 writes it.

        Return ``None`` if there is no such session, which logs the visitor out. ``sid`` is the id in the cookie: 16 to
        128 letters, digits, hyphens and underscores. An exception fails the request with :exc:`SessionStoreError` and
        leaves the session as it is.
        """


class ExpiringSource(Source, t.Protocol):
    """A source that knows when its sessions end."""

    def expires_in(self, sid: str) -> float | None:
        """Return in how many seconds the session ends: ``math.inf`` for never, ``None`` if that is unknown."""


class DeletingSource(Source, t.Protocol):
    """A source whose sessions can be deleted after they were taken over: ``SESSION_TAKE_OVER_DELETE``."""

    def delete(self, sid: str) -> None:
        """Delete a session. A session that does not exist is not an error."""


@dataclass(frozen=True)
class Sources:
    """The settings ``SESSION_TAKE_OVER``, ``SESSION_TAKE_OVER_DELETE`` and ``SESSION_TAKE_OVER_LIFETIME``."""

    sources: tuple[Source, ...]
    deletes: bool = False
    #: For how many seconds at most a session in a source may live on.
    lifetime: int = 31 * 24 * 60 * 60


class TakeOver:
    """Takes sessions over into a store. All methods raise :exc:`SessionStoreError` if the store or a source fails."""

    def __init__(
        self,
        sources: Sources,
        store: Store,
        record_format: RecordFormat,
        ids: Ids,
        revoked: RevokedUsers,
        life_beside_others: Callable[[float | None], int | None],
    ) -> None:
        self.sources = sources
        self.store = store
        self.format = record_format
        self.ids = ids
        self.revoked = revoked
        #: Returns for how many seconds a tombstone stays: as long as a source may have its session.
        self.life_beside_others = life_beside_others

    def find(self, sid: str, ttl: int) -> tuple[str, bytes]:
        """Take a session over, and return its key and record; raise :exc:`Refused` if no source has it."""
        for source in self.sources.sources:
            found = asked(source, "load", sid)
            if found is not None:
                return self._take(source, sid, found, ttl)
        # Since the store was asked, another request may have taken the session over and deleted it from its source.
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
            # Its source has it again, or it could not be deleted there before.
            self.delete(source, sid)
            raise
        self.delete(source, sid)
        return taken

    def data_of(self, found: bytes | Data) -> Data:
        """Return the data in what a source has returned; raise :exc:`NotARecord`."""
        if isinstance(found, (bytes, bytearray, memoryview)):
            return self.format.loads(bytes(found))
        if not isinstance(found, dict):
            raise NotARecord(f"a source gave {type(found).__name__}")
        return dict(found)

    def record_of(self, data: Data) -> bytes:
        """Return the record to store. Metadata in the data is dropped: any app may have written it."""
        try:
            return self.format.dumps(SessionMeta(begun=int(time.time())).put_into(data))
        except Exception as error:
            # The serializer calls methods of objects in the data, which may raise anything.
            raise NotARecord(f"it cannot be stored: {type(error).__name__}") from error

    def put(self, sid: str, record: bytes, ttl: int, owner: str | None, left: float | None) -> tuple[str, bytes]:
        """Store the session that a source has for an id. Return its key and its record, which may have changed.

        Raise :exc:`Refused` if it was taken over before and has ended, or moved to another id, or if its owner's
        sessions were revoked. ``left`` is for how many seconds the source still has it.
        """
        key, tombstone, life = self.ids.key(sid), self.ids.taken_key(sid), self.life_beside_others(left)
        for _ in range(ATTEMPTS):
            found = self.store.load(key)
            if found is None and self.store.load(tombstone) is not None:
                # If it was taken over since the first load, it is there now.
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
            # The mark is looked for as late as possible. One that is left after this is found when a request opens or
            # binds the session.
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

    def delete(self, source: Source, sid: str) -> None:
        """Delete a session from its source if ``SESSION_TAKE_OVER_DELETE`` is set."""
        if not self.sources.deletes:
            return
        try:
            asked(source, "delete", sid)
        except SessionStoreError as error:
            # It does no harm there, because it is not taken over again.
            log.warning("A session that was taken over could not be deleted: %s", error)

    # --- Revoke -----------------------------------------------------------------------------------------------------

    def revoke(self, sid: str) -> None:
        """Write the tombstone of an id, so that its session is not taken over from now on."""
        self.store.create(self.ids.taken_key(sid), taking(), self.life_beside_others(None))

    def forget(self, sid: str) -> None:
        """Keep the tombstone of a revoked id for as long as a source has its session, and delete that."""
        left = 0.0
        for source in self.sources.sources:
            # One that does not answer now may have the session again later.
            with suppress(SessionStoreError):
                left = max(left, life_left(source, sid) or 0)
        if left > 0:
            key = self.ids.taken_key(sid)
            tombstone = self.store.load(key)
            if tombstone is not None:
                let_live(self.store, key, tombstone, self.life_beside_others(left))
        for source in self.sources.sources:
            self.delete(source, sid)


def life_beside(lifetime: float) -> int | None:
    """For how many seconds to remember that a session has ended, if Flask-Session keeps sessions for ``lifetime``."""
    return None if lifetime == math.inf else int(lifetime) + OVERLAP


def live(record: bytes) -> bytes:
    if new_key_in(record) is not None:
        raise Refused("revoked")
    return record


def owner_in(data: Data) -> str | None:
    """The owner that Flask-Login's key in the data of a session names."""
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
        # The text of the error is left out because it may quote the id.
        kind = type(source).__name__
        raise SessionStoreError(f"taking over a session from {kind} failed: {type(error).__name__}") from error
