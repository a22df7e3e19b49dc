"""The life of a stored session: it is begun, found, written, moved, ended or revoked.

Each of these takes one command of the store, or several. The process may be killed after any of them, and the session
must then be in a valid state, too. docs/session_states.md draws the states.
"""

from __future__ import annotations

import logging
import typing as t
from collections.abc import Callable
from collections.abc import Collection
from contextlib import suppress

from .ids import Ids
from .ids import is_taking
from .ids import moved_to
from .ids import new_key_in
from .merge import merged
from .meta import SessionMeta
from .meta import new_handle
from .record import TAGGED
from .record import Data
from .record import NotARecord
from .record import PickledRecord
from .record import RecordFormat
from .record import tagged
from .revoked import RevokedUsers
from .session import ServerSideSession
from .session import Stored
from .store import MOVED_TTL
from .store import ListingStore
from .store import MovingStore
from .store import OwnerStore
from .store import SessionStoreError
from .store import Store

if t.TYPE_CHECKING:
    from .take_over import TakeOver

log = logging.getLogger("flask_fastsession")

#: How many times a change that other requests overtake is tried before it is an error.
ATTEMPTS = 64

#: Through how many ids a session that has moved is followed before it is an error.
HOPS = 1000

OWNER_METHODS = ("enlist", "is_listed", "listed", "unlist", "end", "end_all")


class Refused(Exception):
    """The session of an id has ended, was revoked, or cannot be read. The text is the reason, in one word."""


class MissingMethods(TypeError):
    """The store lacks the methods of :class:`OwnerStore`, so it does not know which user a session belongs to."""


class Lifecycle:
    """The sessions in a store. All methods raise :exc:`SessionStoreError` if the store fails."""

    def __init__(
        self,
        store: Store,
        record_format: RecordFormat,
        ids: Ids,
        revoked: RevokedUsers,
        take_over: TakeOver | None = None,
    ) -> None:
        self.store = store
        self.format = record_format
        self.ids = ids
        self.revoked = revoked
        self.take_over = take_over
        # Once, because isinstance() with a protocol takes as long as a load from SQLite.
        self.mover = store if isinstance(store, MovingStore) else None
        self.owners = store if isinstance(store, OwnerStore) else None
        self._logged: set[str] = set()

    def log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            log.warning("%s", text)

    # --- Find -------------------------------------------------------------------------------------------------------

    def find(self, sid: str, ttl: int | None) -> tuple[Stored, Data, SessionMeta]:
        """Return what is stored of a session, and let it live for ``ttl`` seconds from now.

        Raise :exc:`Refused` if there is no such session. As a rule this takes one command, and a second one for a
        session that is bound to a user. Without ``ttl`` nothing changes in the store.
        """
        for _ in range(ATTEMPTS):
            key, record = self._found(sid, ttl)
            try:
                data, meta = self.read(record)
            except NotARecord as reason:
                self._log_unreadable(reason)
                raise Refused("malformed") from None
            if self._is_listed(meta, record):
                is_permanent = data.get("_permanent", False)
                return Stored(sid, key, record, is_permanent, meta.owner, meta.handle, meta.begun), data, meta
            # It was revoked, or its user has logged out since it was loaded. A logout changes the record.
            if self.store.load(key) == record:
                raise Refused("revoked")
        raise overtaken()

    def _log_unreadable(self, reason: NotARecord) -> None:
        text = f"A session in the store cannot be read ({reason}); the visitor gets a new one."
        if isinstance(reason, PickledRecord):
            # Every visitor may have one, and the same command converts them all.
            self.log_once(text)
        else:
            log.warning("%s", text)

    def _found(self, sid: str, ttl: int | None) -> tuple[str, bytes]:
        own, other = self.ids.key(sid), self.ids.other_key(sid)
        # Another process may hash the id between the first two loads.
        for key in (own, other, own) if self.ids.is_hashed else (own, other):
            record = self.store.load(key, ttl)
            if record is None or is_taking(record):
                continue
            if new_key_in(record) is not None:
                if ttl is not None and self.mover is None:
                    # What a session leaves behind must not live as long as one. A mover sees to that itself.
                    with suppress(SessionStoreError):
                        self.store.replace(key, record, record, MOVED_TTL)
                # The session has moved, and this browser did not get the new id. So it may be anybody's.
                raise Refused("revoked")
            return self._rekeyed(own, key, record, ttl), record
        if self.take_over is not None and ttl is not None:
            return self.take_over.find(sid, ttl)
        raise Refused("expired")

    def _rekeyed(self, own: str, key: str, record: bytes, ttl: int | None) -> str:
        """Return the key of a session, after moving it to the key with the hash of its id if it is not there yet.

        Only if the store can do so in one step. With two, a session that ends in between might come back.
        """
        if key == own or not self.ids.is_hashed or ttl is None or self.mover is None:
            return key
        # If this fails, the next request finds the session by its old key, too.
        with suppress(SessionStoreError):
            if self._rekey(own, key, record, ttl, ttl):
                return own
        return key

    def _rekey(self, own: str, key: str, record: bytes, ttl: int, listing_ttl: int) -> bool:
        if self._put_at(own, key, record, record, ttl, None) is not True:
            return False
        with suppress(NotARecord):
            self._relist(self.read(record)[1], own, listing_ttl)
        return True

    def rehash(self, key: str, listing_ttl: int) -> bool:
        """Move a session from the key with its id to that with the hash of it, for the rest of its life.

        Return whether there was one to move. One that does not expire stays, until it is found or gets a new id.
        """
        own = self.ids.rehashed_key(key) if self.ids.is_hashed else None
        record = None if own is None else self.store.load(key)
        if own is None or record is None or is_taking(record) or new_key_in(record) is not None:
            return False
        ttl = t.cast(ListingStore, self.store).expires_in(key)
        return ttl is not None and ttl > 0 and self._rekey(own, key, record, ttl, listing_ttl)

    def _is_listed(self, meta: SessionMeta, record: bytes) -> bool:
        if self.owners is None or meta.owner is None or meta.handle is None:
            return True
        return self.owners.is_listed(self.ids.owner_key(meta.owner), meta.handle, record)

    def read(self, record: bytes) -> tuple[Data, SessionMeta]:
        """Return the data and the metadata in a record; raise :exc:`NotARecord`."""
        data = self.format.loads(record)
        meta = SessionMeta.taken_from(data)
        return data, meta

    # --- Begin, write, move -----------------------------------------------------------------------------------------

    def begin(self, session: ServerSideSession, ttl: int, listing_ttl: int) -> None:
        """Store a session for the first time. It gets another id if the store has a record for its own."""
        meta, owner = session.meta, self.owner_key(session)
        if owner is not None:
            meta.handle = meta.handle or new_handle()
        record = self.record_of(session)
        for _ in range(ATTEMPTS):
            key = self.ids.key(session.sid)
            if self.store.create(key, record, ttl):
                break
            session.new_sid = None
        else:
            raise SessionStoreError("the store has a record for every new id")
        if owner is not None:
            # If the process is killed before this, nobody can use the session, because it is not listed.
            self._list(meta, owner, key, listing_ttl, renew=False)
        self._is_stored(session, key, record)

    def write(self, session: ServerSideSession, record: bytes, ttl: int, listing_ttl: int | None) -> bool:
        """Store the changes of a session, merged with what other requests have written since it was loaded.

        Return whether the session still exists and has the id that it was loaded by. With ``listing_ttl``, the list of
        its owner has it for that many seconds from now.
        """
        stored = stored_of(session)
        if listing_ttl is not None and not self._enlist(session, stored.key, listing_ttl):
            return False
        swapped = self._swap(session, record, lambda key, old, new: self.store.replace(key, old, new, ttl))
        if swapped is None:
            return False
        key, record = swapped
        if key != stored.key and listing_ttl is not None:
            self._relist(session.meta, key, listing_ttl)
        self._is_stored(session, key, record)
        self._unlist_former(stored, session.meta)
        return key in (stored.key, self.ids.rehashed_key(stored.key))

    def move(self, session: ServerSideSession, ttl: int, listing_ttl: int) -> bool:
        """Give a session its new id, and write it. Return whether it is still live.

        If two requests move a session, the later one loses it: the earlier one may be from anybody who knew the old id.
        """
        stored = stored_of(session)
        if not self._enlist(session, stored.key, listing_ttl) and not self._has_another_owner(stored):
            return False
        new_key = self.ids.key(session.sid)

        def put(key: str, old: bytes, new: bytes) -> bool | bytes:
            done = self._put_at(new_key, key, old, new, ttl, moved_to(new_key))
            return False if isinstance(done, bytes) and new_key_in(done) is not None else done

        swapped = self._swap(session, self.record_of(session), put)
        if swapped is None:
            return False
        record = swapped[1]
        self._is_stored(session, new_key, record)
        is_listed = self.mover is not None or self._relist(session.meta, new_key, listing_ttl)
        # If it is not listed, it was revoked while it moved, and is deleted. But if the record has changed meanwhile,
        # the user has logged out, and the session stays.
        if not is_listed and isinstance(self.store.replace(new_key, record, None, None), bool):
            session.cookie_due = None
            return False
        self._unlist_former(stored, session.meta)
        return True

    def _swap(
        self, session: ServerSideSession, record: bytes, swap: Callable[[str, bytes, bytes], bool | bytes]
    ) -> tuple[str, bytes] | None:
        """Replace the record that was loaded, or what other requests have made of it.

        Return the key and the record, or ``None`` if this request may not write to the session any more.
        """
        stored = stored_of(session)
        key, base = stored.key, stored.record
        for _ in range(ATTEMPTS):
            done = swap(key, base, record)
            if done is True:
                return key, record
            rehashed = self.ids.rehashed_key(key) if done is False and self.mover is not None else None
            if rehashed is not None:
                # A process that hashes ids may have moved it, as it is.
                key = rehashed
                continue
            if done is False or is_taking(done):
                # It has ended meanwhile, usually by a logout, which must not be undone.
                return None
            new_key = new_key_in(done)
            if new_key is not None:
                if stored.owner is None and stored.claimed_by is None:
                    # Anybody may have known the old id, so this request does not write to the session that moved.
                    return None
                key = new_key
                continue
            if not self._merge(session, stored, base, done):
                return None
            base, record = done, self.record_of(session)
        raise overtaken()

    def _merge(self, session: ServerSideSession, stored: Stored, base: bytes, theirs: bytes) -> bool:
        """Merge what other requests have written into the session. Return whether it may be written."""
        try:
            found, meta = self.read(theirs)
        except NotARecord:
            return True
        is_same_claim = meta.owner is not None and meta.owner == stored.claimed_by == session.meta.owner
        if session.meta.owner != stored.owner and not is_same_claim:
            # This request gives the session another owner, who does not get what others wrote.
            return True
        # If the user has logged out and in again meanwhile, the session has another handle.
        if stored.was_of(meta.owner) and stored.handle in (None, meta.handle):
            if session.meta.owner == meta.owner and session.meta.handle != meta.handle:
                # Two requests have bound it at once to the user whom its data names, each with a handle of its own.
                self._unlist(session.meta)
                session.meta = meta
            before, _ = self.read(base)
            session.replace_data(merged(before, found, dict(session), self.format.dumps))
            return True
        # The session belongs to another login by now. This request may only give it another id.
        if session.needs_new_id:
            session.replace_data(found)
            session.meta = meta
        return session.needs_new_id

    def _put_at(self, new_key: str, key: str, old: bytes, new: bytes, ttl: int, left: bytes | None) -> bool | bytes:
        if self.mover is not None:
            return self.mover.move(key, new_key, old, new, ttl, left)
        # The new record first, so that the session is not lost if the next command fails. Then a record is left whose
        # id nobody knows. To delete it would be one more wait for a store that does not answer.
        if not self.store.create(new_key, new, ttl):
            return False
        done = self.store.replace(key, old, left, None if left is None else MOVED_TTL)
        if done is not True:
            self.store.delete(new_key)
        return done

    def record_of(self, session: ServerSideSession) -> bytes:
        data, stored = session.meta.put_into(dict(session)), session.stored
        if self.format.name != "tagged" and stored is not None and stored.record.startswith(TAGGED):
            # A tagged record stays as it is until its data changes, though another format is configured.
            with suppress(TypeError, ValueError):
                record = tagged(data)
                if record == stored.record:
                    return record
        return self.format.dumps(data)

    def _is_stored(self, session: ServerSideSession, key: str, record: bytes) -> None:
        meta, stored = session.meta, session.stored
        sid = session.sid if session.new_sid is not None or stored is None else stored.sid
        if stored is None or sid != stored.sid:
            # At once, since what follows may fail, and the old id is not valid any more.
            session.cookie_due = "set"
        session.stored = Stored(sid, key, record, session.permanent, meta.owner, meta.handle, meta.begun)
        session.new_sid = None

    # --- Owners -----------------------------------------------------------------------------------------------------

    def owner_key(self, session: ServerSideSession) -> str | None:
        owner = session.meta.owner
        return None if owner is None or self.owners is None else self.ids.owner_key(owner)

    def _enlist(self, session: ServerSideSession, key: str, ttl: int) -> bool:
        """List a session before its record names the owner. Return whether it is still live."""
        owner, meta, stored = self.owner_key(session), session.meta, stored_of(session)
        if owner is None:
            return True
        meta.handle = meta.handle or new_handle()
        # A new owner has a handle of its own, so that both owners list the session until the record is written.
        is_renewal = (meta.owner, meta.handle) == (stored.owner, stored.handle)
        is_listed = self._list(meta, owner, key, ttl, renew=is_renewal)
        # The mark is read after the listing, because revoke_user() leaves the mark first, and then ends what is listed.
        if is_listed and meta.owner == stored.claimed_by and self.revoked.has(t.cast(str, meta.owner)):
            self.require_owners().unlist(owner, meta.handle)
            return self._is_bound_by_another(session, key)
        return is_listed

    def _is_bound_by_another(self, session: ServerSideSession, key: str) -> bool:
        """Whether another request has bound a session to the same user, and kept it as the others were revoked."""
        record = self._follow(key)[1]
        with suppress(NotARecord):
            meta = SessionMeta() if record is None else self.read(record)[1]
            if record is not None and meta.owner == session.meta.owner and self._is_listed(meta, record):
                session.meta = meta
                return True
        return False

    def _has_another_owner(self, stored: Stored) -> bool:
        """Whether a session is not listed because its user has logged out, rather than because it was revoked."""
        record = self._found_at(stored.key)[1]
        try:
            return record is not None and self.read(record)[1].owner != stored.owner
        except NotARecord:
            return False

    def _relist(self, meta: SessionMeta, key: str, ttl: int) -> bool:
        """Update the key of a session on its owner's list. Return whether the list still has the session."""
        if self.owners is None or meta.owner is None or meta.handle is None:
            return True
        return self.owners.enlist(self.ids.owner_key(meta.owner), meta.handle, key, ttl, True)

    def _list(self, meta: SessionMeta, owner: str, key: str, ttl: int, renew: bool) -> bool:
        assert self.owners is not None and meta.handle is not None
        return self.owners.enlist(owner, meta.handle, key, ttl, renew)

    def _unlist_former(self, stored: Stored, meta: SessionMeta) -> None:
        if stored.handle != meta.handle:
            self._unlist(SessionMeta(owner=stored.owner, handle=stored.handle))

    def _unlist(self, meta: SessionMeta) -> None:
        if self.owners is not None and meta.owner is not None and meta.handle is not None:
            self.owners.unlist(self.ids.owner_key(meta.owner), meta.handle)

    def listed(self, user: str) -> list[tuple[Data, SessionMeta, str]]:
        """The data, the metadata and the keys of a user's live sessions."""
        found = []
        for handle, listed_key in self.require_owners().listed(self.ids.owner_key(user)):
            key, record = self._follow(listed_key)
            if record is None:
                continue
            with suppress(NotARecord):
                data, meta = self.read(record)
                if meta.owner == user and meta.handle == handle:
                    found.append((data, meta, key))
        return found

    def _follow(self, key: str) -> tuple[str, bytes | None]:
        for _ in range(HOPS):
            key, record = self._found_at(key)
            new_key = None if record is None else new_key_in(record)
            if new_key is None:
                return key, record
            key = new_key
        raise SessionStoreError(f"a session has moved more than {HOPS} times")

    def _found_at(self, key: str) -> tuple[str, bytes | None]:
        """Return a key and the record there. It is the given one, or that of the hash, if only that has a record."""
        record = self.store.load(key)
        rehashed = self.ids.rehashed_key(key) if record is None else None
        return (key, record) if rehashed is None else (rehashed, self.store.load(rehashed))

    def require_owners(self) -> OwnerStore:
        if self.owners is None:
            missing = [name for name in OWNER_METHODS if not callable(getattr(self.store, name, None))]
            raise MissingMethods(
                f"{type(self.store).__qualname__} does not know whose a session is: it lacks the methods"
                f" {', '.join(missing)} of flask_fastsession.server.OwnerStore"
            )
        return self.owners

    # --- End --------------------------------------------------------------------------------------------------------

    def end(self, stored: Stored, follows: bool = False) -> bool:
        """End a session, also if another request of its user has moved it to a new id since it was loaded.

        With ``follows``, do so for any request that has moved it. Return whether the session still existed.
        """
        if self.ids.is_hashed and stored.key == self.ids.key(stored.sid):
            self._delete_twin(self.ids.other_key(stored.sid))
        return self._end_at(
            stored.key,
            stored.record,
            lambda meta: follows or (meta.owner is not None and stored.was_of(meta.owner)),
        )

    def revoke(self, sid: str) -> bool:
        """End the session that has this id, or had it within the last :data:`MOVED_TTL` seconds."""
        if self.take_over is not None:
            self.take_over.revoke(sid)
        was_there = [self._end_at(key, self.store.load(key), lambda meta: True) for key in self.ids.both_keys(sid)]
        if self.take_over is not None:
            # Afterwards, since a source may be slow.
            self.take_over.forget(sid)
        return any(was_there)

    def revoke_handle(self, handle: str) -> bool:
        return self.require_owners().end(handle)

    def revoke_user(self, user: str, keep: Collection[str], may_be_unlisted: bool) -> int:
        """End all sessions of a user, and return how many were listed.

        With ``may_be_unlisted``, also refuse sessions whose data names the user and that are not bound yet. If the
        store has no room for that, the listed ones are ended nevertheless.
        """
        owners, failure = self.require_owners(), None
        if may_be_unlisted or self.take_over is not None:
            try:
                self.revoked.add(user)
            except SessionStoreError as error:
                failure = error
        count = owners.end_all(self.ids.owner_key(user), keep)
        if failure is not None:
            raise failure
        return count

    def handles_of(self, sid: str, user: str) -> set[str]:
        """Return all handles by which a user's list may have a session.

        ``sid`` is an id that it has, or had within the last :data:`MOVED_TTL` seconds.
        """
        keys, handles = set(), set()
        for first in self.ids.both_keys(sid):
            key, record = self._follow(first)
            keys |= {first, key}
            with suppress(NotARecord):
                meta = SessionMeta() if record is None else self.read(record)[1]
                handles |= set() if meta.handle is None else {meta.handle}
        # A list has a session before its record names the owner, and until its record names nobody or another owner.
        listed = self.require_owners().listed(self.ids.owner_key(user))
        return handles | {handle for handle, key in listed if key in keys}

    def _end_at(self, key: str, record: bytes | None, may_follow: Callable[[SessionMeta], bool]) -> bool:
        """Delete the session at a key, and return whether there was one.

        If it has moved, delete it at its new key, provided that ``may_follow`` returns true for the metadata there.
        """
        has_moved = False
        for _ in range(HOPS):
            if record is None:
                return False
            new_key = new_key_in(record)
            if new_key is not None:
                key, record = self._found_at(new_key)
                has_moved = True
                continue
            try:
                meta = self.read(record)[1]
            except NotARecord:
                meta = SessionMeta()
            if has_moved and not may_follow(meta):
                return False
            # From here on nobody can use it, even if another request is moving it. If so, replace() returns the record
            # that names its new key.
            self._unlist(meta)
            done = self.store.replace(key, record, None, None)
            if done is True:
                self._delete_twin(self.ids.rehashed_key(key))
                return True
            if done is False:
                # It has ended, or a process that hashes ids has just moved it.
                rehashed = self.ids.rehashed_key(key)
                if rehashed is None:
                    return False
                key, record = rehashed, self.store.load(rehashed)
                continue
            record = done
        raise SessionStoreError(f"other requests moved or changed a session {HOPS} times first")

    def _delete_twin(self, key: str | None) -> None:
        """Delete the second record of a session, left by a process that was killed while it hashed the id."""
        if key is not None and self.mover is None:
            self.store.delete(key)


def stored_of(session: ServerSideSession) -> Stored:
    assert session.stored is not None
    return session.stored


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"other requests changed a session {ATTEMPTS} times first")
