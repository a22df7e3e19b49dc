"""The way of a session from its cookie to the store and back.

::

    cookie -> id -> key -> record, loaded at first access -> data -> session
    session -> data -> record, if it has changed -> compare and set, merging what others wrote -> cookie, if it is due
"""

from __future__ import annotations

import logging
import random
import re
import secrets
import time
import typing as t
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from flask.sessions import SessionInterface
from itsdangerous import BadSignature
from itsdangerous import Signer

from .._native import add_vary
from .._native import find_cookie
from .merge import merged
from .record import TAGGED
from .record import Data
from .record import NotARecord
from .record import RecordFormat
from .record import tagged
from .session import Facts
from .session import ServerSideSession
from .session import Stored
from .session import UnloadedSession
from .store import SessionStoreError
from .store import Store
from .store import SweepingStore
from .users import ATTEMPTS
from .users import RENEWED_SHARE
from .users import Users

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

log = logging.getLogger("flask_fastsession")

#: What may be an id. Anything else in a cookie never reaches the store.
SID = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)

#: So many expired records are removed by the way.
SWEPT = 1000


@dataclass(frozen=True)
class Options:
    """How sessions are kept; :class:`ServerSession` says what each is called in the config. Times are in seconds."""

    key_prefix: str = "session:"
    permanent: bool = True
    id_length: int = 32
    use_signer: bool = False
    hash_sid: bool = False
    refresh_unaccessed: bool = False
    absolute_lifetime: float | None = None
    cleanup_n_requests: int | None = None


class ServerSessionInterface(SessionInterface):
    """Opens and saves sessions whose data is in a store, and whose cookie holds an id.

    Made by :class:`ServerSession`, as ``app.session_interface``.
    """

    def __init__(self, store: Store, record_format: RecordFormat, options: Options) -> None:
        self.store = store
        self.format = record_format
        self.options = options
        self.users = Users(store, options.key_prefix)
        #: The key in the data of a session that says whose it is, where Flask-Login is followed.
        self.user_key: str | None = None
        # To ask this of a protocol takes as long as a load from SQLite.
        self._is_swept = isinstance(store, SweepingStore)

    # --- In ---------------------------------------------------------------------------------------------------------

    def open_session(self, app: Flask, request: Request) -> UnloadedSession:
        """Return a session that is loaded when it is first looked at."""
        return UnloadedSession(self, app, request)

    def load(self, app: Flask, request: Request) -> tuple[Data, Data]:
        """Return the data and the attributes of the session that belongs to the cookie of a request.

        Raise :exc:`SessionStoreError`.
        """
        sid = self._sid_in(app, request)
        loaded = None
        if sid is not None:
            loaded = self._loaded_from(sid, self.store.load(self._key(sid), self._ttl(lifetime_of(app))))
        if sid is None or loaded is None:
            return {"_permanent": True} if self.options.permanent else {}, {"new": True, "facts": Facts()}
        if self.options.use_signer:
            # Otherwise a key that has been replaced could never be given up.
            loaded[1]["is_cookie_outdated"] = self._cookie_of(app, request) != self._signed(app, sid)
        return loaded

    def _cookie_of(self, app: Flask, request: Request) -> str:
        name = self.get_cookie_name(app)
        cookie = find_cookie(request, name)
        return request.cookies.get(name, "") if cookie is None else cookie

    def _sid_in(self, app: Flask, request: Request) -> str | None:
        cookie = self._cookie_of(app, request)
        if cookie and self.options.use_signer:
            try:
                cookie = self._signer(app).unsign(cookie).decode()
            except (BadSignature, UnicodeDecodeError):
                return None
        return cookie if SID.fullmatch(cookie) else None

    def _loaded_from(self, sid: str, record: bytes | None) -> tuple[Data, Data] | None:
        if record is None:
            return None
        try:
            data = self.format.loads(record)
        except NotARecord as reason:
            log.warning("A session in the store cannot be read (%s); the visitor begins a new one.", reason)
            return None
        facts = Facts.taken_from(data)
        if self._has_ended(facts):
            self.store.delete(self._key(sid))
            return None
        stored = Stored(record, data.get("_permanent", False))
        return data, {"sid": sid, "facts": facts, "bound_to": facts.user, "stored": stored}

    def _has_ended(self, facts: Facts) -> bool:
        limit = self.options.absolute_lifetime
        return limit is not None and (facts.begun is None or time.time() >= facts.begun + limit)

    # --- Out --------------------------------------------------------------------------------------------------------

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store a session if it has changed, and set its cookie if that is due; raise :exc:`SessionStoreError`."""
        assert isinstance(session, ServerSideSession)
        if session.accessed:
            self._add_vary(response)
        if session.failure is not None:
            # The response says so, or is about to; Flask saves the session along with its answer to the error.
            return
        if isinstance(session, UnloadedSession):
            if self.options.refresh_unaccessed:
                self._refresh_unaccessed(app, session, response)
            return
        try:
            self._save(app, session, response)
        except SessionStoreError as error:
            session.failure = error
            raise

    def _refresh_unaccessed(self, app: Flask, session: UnloadedSession, response: Response) -> None:
        if self._sid_in(app, session.source[2]) is None:
            return
        try:
            session.load()
            # Not by the view, whose response varies no more than before if no cookie is set.
            session.accessed = False
            self._save(app, session, response)
        except SessionStoreError as error:
            # The view has done without the session, and the next request is as good as this one.
            log.warning("A session that was not looked at could not be renewed: %s", error)

    def _save(self, app: Flask, session: ServerSideSession, response: Response) -> None:
        if self._is_over(session):
            self._end(app, session, response)
        elif self._store(app, session):
            self._set_cookie(app, session, response)
            if not session.accessed:
                self._add_vary(response)
        self._sweep_now_and_then()

    def _end(self, app: Flask, session: ServerSideSession, response: Response) -> None:
        if session.stored is None:
            # The cookie is of no use, if there is one. But by now the browser may have another, from a login that was
            # answered while this request was on its way with the id from before.
            return
        self._leave(session)
        response.delete_cookie(self.get_cookie_name(app), **self._cookie_attributes(app))
        if not session.accessed:
            self._add_vary(response)

    def _is_over(self, session: ServerSideSession) -> bool:
        """Whether nothing is left in it. One that was not cleared, but lost its last key, is compared and deleted here:
        others may have put something into it meanwhile."""
        for _ in range(ATTEMPTS):
            if not session.is_empty:
                return False
            if session.stored is None or session.sid is None or session.is_cleared:
                return True
            done = self.store.replace(self._key(session.sid), session.stored.record, None, None)
            if isinstance(done, bool):
                # Where another request has ended or moved it meanwhile, there is nothing left to end.
                session.stored = session.stored if done else None
                return True
            self._merge(session, session.stored.record, done)
            session.stored = Stored(done, session.permanent)
        raise overtaken()

    def _leave(self, session: ServerSideSession) -> None:
        """Have nothing more to do with what is stored, which is deleted, or is to be."""
        assert session.sid is not None
        if session.is_cleared:
            self.store.delete(self._key(session.sid))
        self._unlist(session, session.sid)
        session.sid = session.stored = session.bound_to = None
        session.is_cleared = False

    def _store(self, app: Flask, session: ServerSideSession) -> bool:
        """Write what has changed, and return whether the cookie is to be set."""
        if session.is_cleared and session.stored is not None:
            # Others may be writing to it: what was ended is not to come back with what they write.
            self._leave(session)
        facts, now, lifetime = session.facts, int(time.time()), lifetime_of(app)
        self._complete(facts, session, now)
        is_due = has_no_cookie(session)
        is_refreshed = session.permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]
        is_renewed = (is_refreshed or facts.user is not None) and (is_due or is_to_be_renewed(facts, now, lifetime))
        is_as_stored = is_renewed and not is_due and self._is_as_stored(session)
        if is_renewed:
            facts.until = now + lifetime
        if session.permanent:
            is_due = is_due or (is_renewed if is_refreshed else session.modified)
        record = self._record_of(session)
        if session.stored is not None and record == session.stored.record and not session.is_moving:
            return is_due
        ttl = self._ttl(lifetime, 0 if facts.begun is None else now - facts.begun)
        if session.stored is None or session.sid is None:
            return self._create(session, record, ttl)
        if session.is_moving:
            return self._move(session, ttl)
        try:
            if is_renewed or facts.user != session.bound_to:
                self._list(session, session.sid)
            return self._replace(session, session.sid, record, ttl) and is_due
        except SessionStoreError as error:
            if not is_as_stored:
                raise
            # Nothing is lost: it is renewed by another request.
            log.warning("A session could not be renewed: %s", error)
            return False

    def _complete(self, facts: Facts, data: Data, now: int) -> None:
        """Set when the session began, and its user, if they are needed and not known yet."""
        if self.options.absolute_lifetime is not None and facts.begun is None:
            facts.begun = now
        user = None if self.user_key is None else data.get(self.user_key)
        # Flask-Login keeps there what `get_id` gives; what else may stand there is nobody's id.
        if facts.user is None and isinstance(user, str | int):
            facts.user = str(user)

    def _is_as_stored(self, session: ServerSideSession) -> bool:
        return session.stored is not None and self._record_of(session) == session.stored.record

    def _record_of(self, session: ServerSideSession) -> bytes:
        data, stored = session.facts.put_into(dict(session)), session.stored
        if self.format.name != "tagged" and stored is not None and stored.record.startswith(TAGGED):
            # It stays as it is until it changes, though it could be in the configured format by now.
            with suppress(TypeError, ValueError):
                record = tagged(data)
                if record == stored.record:
                    return record
        return self.format.dumps(data)

    def _create(self, session: ServerSideSession, record: bytes, ttl: int) -> bool:
        for _ in range(ATTEMPTS):
            sid = secrets.token_urlsafe(self.options.id_length)
            self._list(session, sid)
            if self.store.create(self._key(sid), record, ttl):
                return self._has_begun(session, sid, record)
        raise SessionStoreError("the store has a record for every new id")

    def _has_begun(self, session: ServerSideSession, sid: str, record: bytes) -> bool:
        """Whether all sessions of the user were not revoked while this one was made."""
        user = session.facts.user
        if user is not None and self._name(sid) not in self.users.names_of(user):
            self.store.delete(self._key(sid))
            return False
        session.sid, session.new, session.is_moving = sid, False, False
        session.bound_to, session.stored = user, Stored(record, session.permanent)
        return True

    def _replace(self, session: ServerSideSession, sid: str, record: bytes | None, ttl: int) -> bool:
        """Compare and set, or with ``None`` compare and delete. Return whether the session was still there."""
        assert session.stored is not None
        known = session.stored.record
        for _ in range(ATTEMPTS):
            done = self.store.replace(self._key(sid), known, record, ttl)
            if done is True:
                if record is not None:
                    session.bound_to, session.stored = session.facts.user, Stored(record, session.permanent)
                return True
            if done is False:
                # It was deleted meanwhile, by a logout as a rule: a logout stays one.
                return False
            self._merge(session, known, done)
            known = done
            record = record and self._record_of(session)
        raise overtaken()

    def _merge(self, session: ServerSideSession, base: bytes, theirs: bytes) -> None:
        try:
            found = self.format.loads(theirs)
        except NotARecord:
            return
        before = self.format.loads(base)
        facts = Facts.taken_from(found)
        Facts.taken_from(before)
        data = merged(before, found, dict(session), self.format.dumps)
        dict.clear(session)
        dict.update(session, data)
        if session.facts.user == session.bound_to:
            session.facts.user = session.bound_to = facts.user

    def _move(self, session: ServerSideSession, ttl: int) -> bool:
        """Give the session another id, unless it has been deleted meanwhile.

        The old one goes first: if the store fails then, the session has ended, and nobody has two.
        """
        old = session.sid
        assert old is not None
        if not self._replace(session, old, None, ttl):
            return False
        self._unlist(session, old)
        return self._create(session, self._record_of(session), ttl)

    # --- The cookie -------------------------------------------------------------------------------------------------

    def _set_cookie(self, app: Flask, session: ServerSideSession, response: Response) -> None:
        assert session.sid is not None
        value = self._signed(app, session.sid) if self.options.use_signer else session.sid
        expires = self.get_expiration_time(app, session)
        response.set_cookie(self.get_cookie_name(app), value, expires=expires, **self._cookie_attributes(app))

    def _cookie_attributes(self, app: Flask) -> dict[str, t.Any]:
        attributes: dict[str, t.Any] = {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
        }
        # Flask 3.0 knows nothing of it.
        partitioned = getattr(self, "get_cookie_partitioned", None)
        if partitioned is not None:
            attributes["partitioned"] = partitioned(app)
        return attributes

    def _add_vary(self, response: Response) -> None:
        if not add_vary(response):
            response.vary.add("Cookie")

    def _signed(self, app: Flask, sid: str) -> str:
        return self._signer(app).sign(sid).decode()

    def _signer(self, app: Flask) -> Signer:
        keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.secret_key]
        return Signer(keys, salt="flask-session", key_derivation="hmac")

    # --- Ids and keys -----------------------------------------------------------------------------------------------

    def _name(self, sid: str) -> str:
        """What the store knows a session by."""
        return sha256(sid.encode()).hexdigest() if self.options.hash_sid else sid

    def _key(self, sid: str) -> str:
        return self.options.key_prefix + self._name(sid)

    def _ttl(self, lifetime: int, age: int = 0) -> int:
        """For how long the record of a session lives that began so many seconds ago."""
        limit = self.options.absolute_lifetime
        return lifetime if limit is None else max(min(lifetime, int(limit - age)), 1)

    def _sweep_now_and_then(self) -> None:
        every = self.options.cleanup_n_requests
        if every and self._is_swept and random.random() * every < 1:
            try:
                t.cast(SweepingStore, self.store).sweep(SWEPT)
            except SessionStoreError as error:
                # The session is stored, and somebody else will sweep.
                log.warning("Expired sessions could not be removed: %s", error)

    # --- For the application ----------------------------------------------------------------------------------------

    def regenerate(self, session: SessionMixin) -> None:
        """Give a session another id when it is saved, so that who knew the old one is left with nothing.

        To be called when somebody logs in or gains rights. On Flask-Login's signals it is done by itself.
        """
        self._loaded(session).is_moving = True

    def bind_user(self, session: SessionMixin, user_id: str | None) -> None:
        """Say whose session this is, for :meth:`sessions_of` and :meth:`revoke_user`; ``None`` stands for nobody's."""
        self._loaded(session).facts.user = None if user_id is None else str(user_id)

    def sessions_of(self, user_id: str) -> list[str]:
        """Return what the store knows the user's sessions by, oldest first: their ids, or hashes of these."""
        user, prefix = str(user_id), self.options.key_prefix
        return [name for name in self.users.names_of(user) if self._user_in(self.store.load(prefix + name)) == user]

    def revoke(self, *sids: str) -> None:
        """End sessions, given by their ids or as in :meth:`sessions_of`. No request in flight brings them back."""
        names = {name for sid in sids for name in (sid, self._name(sid)) if SID.fullmatch(name)}
        self.store.delete(*(self.options.key_prefix + name for name in names))

    def revoke_user(self, user_id: str, keep: str | None = None) -> None:
        """End all sessions of a user but the one to ``keep``, given as for :meth:`revoke`; that of the request, say."""
        user, kept = str(user_id), set() if keep is None else {keep, self._name(keep)}
        for _ in range(ATTEMPTS):
            record, names = self.users.load(user)
            if record is None:
                return
            ended = [self.options.key_prefix + name for name in names if name not in kept and self._may_be(name, user)]
            self.store.delete(*ended)
            left = {name: end for name, end in names.items() if name in kept}
            if self.users.replace(user, record, left) is True:
                # One that was listed, but not yet stored, may have begun in between; now none does any more.
                self.store.delete(*ended)
                return
        raise SessionStoreError(f"new sessions of the user began {ATTEMPTS} times meanwhile")

    def sweep(self) -> Iterator[int]:
        """Remove expired records from a store that does not do so by itself, and yield how many at each step."""
        while isinstance(self.store, SweepingStore) and (count := self.store.sweep(SWEPT)):
            yield count

    def _loaded(self, session: t.Any) -> ServerSideSession:
        session = getattr(session, "_get_current_object", lambda: session)()
        if isinstance(session, UnloadedSession):
            session.load()
        if not isinstance(session, ServerSideSession):
            raise TypeError(f"a server-side session is wanted, not {type(session).__name__}")
        return session

    # --- Whose a session is -------------------------------------------------------------------------------------------

    def _may_be(self, name: str, user: str) -> bool:
        """Whether a session is the user's, or nobody's so far and perhaps about to be his."""
        return self._user_in(self.store.load(self.options.key_prefix + name)) in (None, user)

    def _user_in(self, record: bytes | None) -> str | None:
        try:
            facts = Facts() if record is None else Facts.taken_from(self.format.loads(record))
        except NotARecord:
            return None
        return None if self._has_ended(facts) else facts.user

    def _list(self, session: ServerSideSession, sid: str) -> None:
        """Have the session among those of its user, before it is stored as such.

        It stays among those of the one before, whose it may be again while this request is under way.
        """
        user, until = session.facts.user, session.facts.until
        if user is not None and until is not None:
            self.users.add(user, self._name(sid), until)

    def _unlist(self, session: ServerSideSession, sid: str) -> None:
        if session.bound_to is not None:
            self.users.remove(session.bound_to, self._name(sid))


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"a session was overtaken {ATTEMPTS} times by other requests")


def lifetime_of(app: Flask) -> int:
    """``PERMANENT_SESSION_LIFETIME`` in whole seconds, at least one."""
    lifetime: timedelta = app.permanent_session_lifetime
    return max(int(lifetime.total_seconds()), 1)


def has_no_cookie(session: ServerSideSession) -> bool:
    """Whether the visitor has no cookie for the session as it is now."""
    stored = session.stored
    return stored is None or session.is_moving or session.is_cookie_outdated or stored.permanent != session.permanent


def is_to_be_renewed(facts: Facts, now: int, lifetime: int) -> bool:
    return facts.until is None or abs(facts.until - now - lifetime) >= lifetime * RENEWED_SHARE
