"""The way of a session from its cookie to the store and back.

::

    cookie -> id -> key -> record, loaded at first access -> data -> session
    session -> plan -> record, if it has changed -> compare and set, merging what others wrote -> cookie, if it is due
"""

from __future__ import annotations

import logging
import math
import random
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from flask import has_request_context
from flask import request as current_request
from flask import session as current_session
from flask.sessions import SessionInterface

from .. import policies
from .. import signals
from .._native import add_vary
from .._native import find_cookie
from ..options import NO_POLICIES
from ..options import Policies
from .ids import SID
from .ids import Ids
from .ids import signed
from .ids import unsigned
from .info import AnySession
from .info import SessionInfo
from .info import current_app_or_none
from .info import in_utc
from .info import loaded
from .info import resolved
from .info import several
from .lifecycle import Lifecycle
from .lifecycle import Refused
from .lifecycle import stored_of
from .meta import SessionMeta
from .meta import new_handle
from .meta import note_text
from .meta import owner_name
from .record import Data
from .record import RecordFormat
from .revoked import RevokedUsers
from .saving import RENEWED_SHARE
from .saving import Plan
from .saving import plan_of
from .session import Loaded
from .session import ServerSideSession
from .session import Stored
from .session import UnloadedSession
from .session import is_in_event
from .stats import Counts
from .stats import ServerStats
from .store import ListingStore
from .store import SessionStoreError
from .store import Store
from .store import SweepingStore
from .take_over import Sources
from .take_over import TakeOver
from .take_over import life_beside

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

log = logging.getLogger("flask_fastsession")

#: How many expired records are removed at a time.
SWEPT = 1000

#: A request takes no longer, in seconds, as far as the list of a user's sessions is concerned.
LONGEST_REQUEST = 600


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
    note: Callable[[Request], object] | None = None
    #: For how long sessions live that Flask-Session has stored where ours are.
    unlisted_lifetime: int = 31 * 24 * 60 * 60
    policies: Policies = NO_POLICIES


class ServerSessionInterface(SessionInterface):
    """Opens and saves sessions whose data is in a store and whose cookie holds an id.

    Created by :class:`ServerSession`, as ``app.session_interface``.
    """

    def __init__(
        self, store: Store, record_format: RecordFormat, options: Options, sources: Sources | None = None
    ) -> None:
        self.store = store
        self.format = record_format
        self.options = options
        self.ids = Ids(options.key_prefix, options.id_length, options.hash_sid)
        self._unlisted_lifetime = options.unlisted_lifetime if sources is None else sources.lifetime
        revoked = RevokedUsers(store, self.ids, self.life_beside_others)
        take_over = None
        if sources is not None:
            take_over = TakeOver(sources, store, record_format, self.ids, revoked, self.life_beside_others)
        self.lifecycle = Lifecycle(store, record_format, self.ids, revoked, take_over)
        self._counts = Counts()
        #: The key in the data of a session that says whose it is, where Flask-Login is followed.
        self.user_key: str | None = None
        #: What follows Flask-Login's signals: they hold it weakly, so that it ends with this interface.
        self.login_receivers: tuple[Callable[..., None], ...] = ()
        #: Returns the app that it was made for, if that is known and still there.
        self.made_for: Callable[[], Flask | None] = lambda: None
        #: Called when the first session is opened.
        self.at_first_request: Callable[[], None] | None = None
        self._is_swept = isinstance(store, SweepingStore)

    # --- Open -------------------------------------------------------------------------------------------------------

    def open_session(self, app: Flask, request: Request) -> UnloadedSession | policies.SkippedSession:
        """Return a session that is loaded at first access, or a null session for a request to skip."""
        check = self.at_first_request
        if check is not None:
            self.at_first_request = None
            check()
        if policies.is_skipped(self.options.policies, request):
            return policies.SkippedSession()
        return UnloadedSession(self, app, request)

    def load(self, app: Flask, request: Request) -> Loaded:
        """Return the session that belongs to the cookie of a request; raise :exc:`SessionStoreError`."""
        refused: Refused | None = None
        try:
            for cookie in self._cookies_of(app, request):
                try:
                    return self._load(app, cookie)
                except Refused as refusal:
                    # Why the first was refused is told, unless another is valid.
                    refused = refused or refusal
        except SessionStoreError:
            self._counts.add("failed")
            raise
        loaded = Loaded({"_permanent": True} if self.options.permanent else {}, SessionMeta())
        if refused is not None:
            loaded.refused = t.cast(policies.Reason, str(refused))
            loaded.is_cookie_deleted = bool(self.options.policies.delete_refused)
        return loaded

    def tell_of_refused(self, app: Flask, request: Request, reason: policies.Reason) -> None:
        """Count a refused cookie, and tell the app, whose functions may look at the session by now."""
        self._counts.add_refused(reason)
        policies.report(self.options.policies, app, request, reason)

    def _load(self, app: Flask, cookie: str) -> Loaded:
        sid = self._sid_of(app, cookie)
        stored, data, meta = self.lifecycle.find(sid, self._ttl(lifetime_of(app)))
        reason = self.reason_to_refuse(data, meta)
        if reason == "expired":
            self.lifecycle.end(stored)
        elif reason == "revoked":
            # To look for it has just renewed it, and it must not outlive the mark. Only as it was found, since another
            # request may have bound it meanwhile.
            with suppress(SessionStoreError):
                self.store.replace(stored.key, stored.record, None, None)
        if reason is not None:
            raise Refused(reason)
        user = self._claimed_by(data, meta)
        if user is not None:
            stored = stored._replace(claimed_by=user)
        # A cookie that an old key has signed is replaced. Otherwise that key could never be given up.
        is_outdated = self.options.use_signer and cookie != signed(app, sid)
        self._counts.add("loaded")
        return Loaded(data, meta, stored, is_outdated)

    def sid_in(self, app: Flask, request: Request) -> str:
        """Return the id in the cookie of a request; raise :exc:`Refused`."""
        return self._sid_of(app, self._cookie_of(app, request))

    def _sid_of(self, app: Flask, cookie: str) -> str:
        sid = unsigned(app, cookie) if self.options.use_signer else cookie
        if sid is None:
            raise Refused("forged")
        if not SID.fullmatch(sid):
            raise Refused("malformed")
        return sid

    def _cookie_of(self, app: Flask, request: Request) -> str:
        name = self.get_cookie_name(app)
        cookie = find_cookie(request, name)
        return request.cookies.get(name, "") if cookie is None else cookie

    def _cookies_of(self, app: Flask, request: Request) -> list[str]:
        """Return the values that are to be tried, each of which costs a command to the store."""
        if self.options.policies.accept_any:
            values = request.cookies.getlist(self.get_cookie_name(app))[: policies.MOST_COOKIES]
        else:
            values = [self._cookie_of(app, request)]
        return [value for value in values if value]

    def reason_to_refuse(self, data: Data, meta: SessionMeta) -> policies.Reason | None:
        """Why a session that the store has is refused nevertheless."""
        if self.is_expired(meta) or self._has_outlived(data, meta):
            return "expired"
        user = self._claimed_by(data, meta)
        return "revoked" if user is not None and self.lifecycle.revoked.has(user) else None

    def _claimed_by(self, data: Data, meta: SessionMeta) -> str | None:
        """The name of the user that the data of a session names, where it is not bound yet."""
        user = None if meta.owner is not None else self._user_in(data)
        return None if user is None else owner_name(user)

    def _has_outlived(self, data: Data, meta: SessionMeta) -> bool:
        """Whether a session is at the end of a life shorter than that of others."""
        if self.options.policies.lifetime is None or meta.expires_at is None or time.time() < meta.expires_at:
            return False
        return self.own_lifetime(data) is not None

    def own_lifetime(self, data: Data) -> float | None:
        """The lifetime in seconds that the option ``lifetime`` gives to a session that is not empty."""
        session = ServerSideSession()
        session.replace_data(data)
        return policies.lifetime_of(self.options.policies, session) if session else None

    def is_expired(self, meta: SessionMeta) -> bool:
        """Whether a session is at the end of its absolute lifetime."""
        limit = self.options.absolute_lifetime
        return limit is not None and (meta.begun is None or time.time() >= meta.begun + limit)

    # --- Save -------------------------------------------------------------------------------------------------------

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store a session if it has changed, and set its cookie if necessary. Raise :exc:`SessionStoreError`."""
        assert isinstance(session, ServerSideSession)
        if session.accessed:
            self._add_vary(response)
        try:
            self._save_unless_failed(app, session)
        finally:
            # Whatever has failed, the browser is told what was done before: this may be the response that is sent.
            self._send_cookie(app, session, response)

    def _save_unless_failed(self, app: Flask, session: ServerSideSession) -> None:
        if session.failure is not None:
            # The response says so, or is about to; Flask saves the session along with its answer to the error.
            return
        if isinstance(session, UnloadedSession):
            if session.modified or self.options.refresh_unaccessed:
                self._refresh_unaccessed(app, session)
            return
        try:
            self._save(app, session)
        except SessionStoreError as error:
            session.failure = error
            self._counts.add("failed")
            raise

    def _refresh_unaccessed(self, app: Flask, session: UnloadedSession) -> None:
        if not self._cookie_of(app, session.source[2]):
            return
        try:
            session.load()
            # Not by the view, whose response varies no more than before if no cookie is set.
            session.accessed = False
            self._save(app, session)
        except SessionStoreError as error:
            if session.failure is None:
                # Counted already if it could not be loaded.
                self._counts.add("failed")
            # The view has done without the session, and the next request is as good as this one.
            log.warning("A session that was not accessed could not be renewed: %s", error)

    def _save(self, app: Flask, session: ServerSideSession) -> None:
        now, shorter = int(time.time()), self._shorter_lifetime(app, session)
        lifetime = lifetime_of(app) if shorter is None else shorter
        self._complete(session, now)
        plan = plan_of(
            session,
            now=now,
            lifetime=lifetime,
            refreshes=t.cast(bool, app.config["SESSION_REFRESH_EACH_REQUEST"]),
            refresh_after=self.options.policies.refresh_after,
            is_timed=shorter is not None,
        )
        if plan.ends:
            self._end(app, session)
        if plan.begins and is_in_event():
            self.lifecycle.log_once(
                "A session that begins in an event of Flask-SocketIO is not stored: no response would tell the browser "
                "its id. Let it begin in a view."
            )
            return
        if plan.begins:
            self._begin(app, session, plan, now, lifetime)
        has_its_id = not plan.writes or self._write(app, session, plan, now, lifetime)
        if plan.sets_cookie and has_its_id:
            session.cookie_due = "set"
        self._sweep_now_and_then()

    def _complete(self, session: ServerSideSession, now: int) -> None:
        """Set whose the session is, and when it began, if they are needed and not known yet."""
        meta, user = session.meta, self._user_in(session)
        if meta.owner is None and user is not None:
            self._bind(session, user)
        if meta.begun is None and (self.options.absolute_lifetime is not None or meta.owner is not None):
            meta.begun = now

    def _user_in(self, data: Mapping[str, t.Any]) -> str | int | None:
        """The user that the data of a session names, where Flask-Login is followed."""
        user = None if self.user_key is None or self.lifecycle.owners is None else data.get(self.user_key)
        # Flask-Login keeps there what `get_id` gives; what else may stand there is nobody's id.
        return user if isinstance(user, str | int) else None

    def _end(self, app: Flask, session: ServerSideSession) -> None:
        assert session.stored is not None
        self.lifecycle.end(session.stored)
        session.stored, session.was_cleared, session.cookie_due = None, False, "delete"
        self._counts.add("ended")
        signals.session_ended.send(app)

    def _begin(self, app: Flask, session: ServerSideSession, plan: Plan, now: int, lifetime: int) -> None:
        session.was_cleared = False
        if plan.renews:
            session.meta.expires_at = now + lifetime
        self.lifecycle.begin(session, self._ttl(lifetime), self._listing_ttl(app))
        self._counts.add("created")
        signals.session_created.send(app)

    def _write(self, app: Flask, session: ServerSideSession, plan: Plan, now: int, lifetime: int) -> bool:
        """Return whether the id that the session says it has is that of a live session."""
        assert session.stored is not None
        meta = session.meta
        is_only_renewed = plan.renews and not plan.moves and self.lifecycle.record_of(session) == session.stored.record
        if plan.renews:
            meta.expires_at = now + lifetime
        ttl = self._ttl(lifetime, 0 if meta.begun is None else now - meta.begun)
        if plan.moves:
            has_its_id = self.lifecycle.move(session, ttl, self._listing_ttl(app))
            self._counts.add("regenerated" if has_its_id else "dropped")
            if has_its_id:
                signals.session_regenerated.send(app)
            return has_its_id
        record = self.lifecycle.record_of(session)
        if record == session.stored.record:
            return True
        try:
            has_its_id = self.lifecycle.write(session, record, ttl, self._listing_ttl(app) if plan.renews else None)
        except SessionStoreError as error:
            if not is_only_renewed:
                raise
            # Nothing is lost: another request renews it.
            log.warning("A session could not be renewed: %s", error)
            return False
        self._counts.add("written" if session.stored.record == record or has_its_id else "dropped")
        return has_its_id

    # --- The cookie -------------------------------------------------------------------------------------------------

    def _send_cookie(self, app: Flask, session: ServerSideSession, response: Response) -> None:
        """Tell the browser what is due. Which response of a request is sent is not known: each tells it."""
        if session.cookie_due is None:
            return
        if session.cookie_due == "delete":
            response.delete_cookie(self.get_cookie_name(app), **self._cookie_attributes(app))
        else:
            sid = stored_of(session).sid
            value = signed(app, sid) if self.options.use_signer else sid
            expires = policies.sooner(self.get_expiration_time(app, session), self._shorter_lifetime(app, session))
            response.set_cookie(self.get_cookie_name(app), value, expires=expires, **self._cookie_attributes(app))
        if not session.accessed:
            self._add_vary(response)

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

    # --- Lifetime ---------------------------------------------------------------------------------------------------

    def _shorter_lifetime(self, app: Flask, session: ServerSideSession) -> int | None:
        """Return the lifetime in seconds of a session that lives shorter than others."""
        shorter = policies.shorter_lifetime(self.options.policies, app, session)
        return None if shorter is None else max(shorter, 1)

    def _listing_ttl(self, app: Flask) -> int:
        return listing_ttl(lifetime_of(app), self.options.policies.refresh_after)

    def life_beside_others(self, left: float | None = None) -> int | None:
        """For how many seconds to remember that a session has ended that others may have; ``None`` is for ever.

        ``left`` is for how many seconds a source says that it still has it.
        """
        app = self._app_or_none()
        # The app may have raised its lifetime since the config was read.
        present = 0 if app is None else lifetime_of(app)
        return life_beside(max(self._unlisted_lifetime, present, left or 0))

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

    def sweep(self) -> Iterator[int]:
        """Remove expired records from a store that does not do this itself. Yield the number of each step."""
        while isinstance(self.store, SweepingStore) and (count := self.store.sweep(SWEPT)):
            yield count

    def rehash(self, app: Flask) -> Iterator[bool]:
        """Store all sessions under the hashes of their ids, rather than each when it is found.

        Yield for each record in the store whether it was a session under its id. Raise :exc:`TypeError` if the store
        lacks the methods of :class:`ListingStore`.
        """
        if not isinstance(self.store, ListingStore):
            raise TypeError(f"{type(self.store).__name__} cannot say which records it has")
        for key in self.store.keys(self.ids.key_prefix):
            yield self.lifecycle.rehash(key, self._listing_ttl(app))

    def stats(self) -> ServerStats:
        """Return counts of what this process has done with sessions since it started."""
        return self._counts.as_dict()

    # --- For the application ----------------------------------------------------------------------------------------

    def regenerate(self, session: SessionMixin) -> None:
        """Move a session to a new id when it is saved. See :meth:`ServerSideSession.regenerate`."""
        loaded(session).regenerate()

    def bind_user(self, session: SessionMixin, user_id: object) -> None:
        """Bind a session to a user, for :meth:`sessions_of` and :meth:`revoke_user`. ``None`` unbinds it.

        A session without data is not stored, as in Flask, and so is nobody's: put something into it, too.

        Raise :exc:`TypeError` if the store lacks the methods of :class:`OwnerStore`, and for what is no id of a user,
        such as a user of Flask-Login in place of its id.
        """
        self.lifecycle.require_owners()
        found = loaded(session)
        if user_id is None:
            found.meta.owner = found.meta.handle = found.meta.note = None
        else:
            self._bind(found, user_id)

    def _bind(self, session: ServerSideSession, user_id: object) -> None:
        meta, owner, stored = session.meta, owner_name(user_id), session.stored
        if meta.owner == owner:
            return
        note = None
        if self.options.note is not None and has_request_context():
            note = note_text(self.options.note(current_request))
        # If this request has only unbound it, it is on the user's list under the name that it had.
        name = None if stored is None or stored.owner != owner or session.was_cleared else stored.handle
        # Then, since that may fail.
        meta.owner, meta.handle, meta.note = owner, name or new_handle(), note

    def sessions_of(self, user_id: object) -> list[SessionInfo]:
        """Return the user's live sessions, oldest first. Raise :exc:`TypeError` as :meth:`bind_user` does."""
        listed = self.lifecycle.listed(owner_name(user_id))
        found = [self._info(*each) for each in listed if self.reason_to_refuse(*each[:2]) is None]
        return sorted(found, key=lambda info: (info.begun is not None, info.begun or 0))

    def revoke(self, *sessions: AnySession) -> None:
        """End sessions at once, even if they have moved to new ids. No running request brings them back.

        Pass each as :meth:`sessions_of` returns it, by its name, by an id that it has or had within the last ten
        minutes, or as ``flask.session``. A session that has ended already is no error. A text that can be neither a
        name nor an id raises :exc:`ValueError`, and what is no session :exc:`TypeError`; then none is ended.
        """
        found: list[str | ServerSideSession] = []
        failures: list[Exception] = []
        for each in sessions:
            # What the store refuses for one keeps none of the others.
            try:
                found.append(resolved(each))
            except SessionStoreError as error:
                failures.append(error)
        if any(isinstance(each, str) and not SID.fullmatch(each) for each in found):
            self.lifecycle.require_owners()
        count = 0
        for each in found:
            try:
                count += self._revoke(each)
            except SessionStoreError as error:
                failures.append(error)
        try:
            self._tell_of_revoked(count)
        except Exception as error:
            failures.append(error)
        if failures:
            self._count_failure(failures[0])
            raise failures[0]

    def _revoke(self, session: str | ServerSideSession) -> bool:
        """Return whether there was a session."""
        if isinstance(session, ServerSideSession):
            was_live = session.stored is not None and self.lifecycle.end(session.stored, follows=True)
            session.clear()
            has_ended(session)
        elif SID.fullmatch(session):
            was_live = self.lifecycle.revoke(session)
        else:
            was_live = self.lifecycle.revoke_handle(session)
        if isinstance(session, str):
            current = self._session_of_request(loads=False)
            stored = None if current is None else current.stored
            if current is not None and stored is not None and session in (stored.sid, stored.handle):
                has_ended(current)
        self._counts.add("revoked", int(was_live))
        return was_live

    def revoke_user(self, user_id: object, keep: AnySession | Iterable[AnySession] | None = None) -> None:
        """End all sessions that a user has at this moment, except those to ``keep``, passed as for :meth:`revoke`.

        What raises an error there does so here, and no session is ended.
        """
        user = owner_name(user_id)
        try:
            handles = {handle for each in several(keep) for handle in self._handles(each, user)}
            count = self.lifecycle.revoke_user(user, handles, may_be_unlisted=self.user_key is not None)
        except SessionStoreError as error:
            self._count_failure(error)
            raise
        current = self._session_of_request(loads=False)
        stored = None if current is None else current.stored
        if current is not None and stored is not None and stored.was_of(user):
            own = {stored.handle, current.meta.handle}
            if handles and stored.claimed_by is not None:
                # Another request may have bound it meanwhile.
                own |= self.lifecycle.handles_of(stored.sid, user)
            if handles.isdisjoint(own):
                has_ended(current)
        self._counts.add("revoked", count)
        self._tell_of_revoked(count)

    def _count_failure(self, error: Exception) -> None:
        current = current_session._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]
        # That the session of the request could not be loaded is counted already.
        if isinstance(error, SessionStoreError) and getattr(current, "failure", None) is not error:
            self._counts.add("failed")

    def _session_of_request(self, loads: bool = True) -> ServerSideSession | None:
        """The session of this request if this interface has opened it. Without ``loads``, only if it is loaded."""
        found = current_session._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]
        if isinstance(found, UnloadedSession):
            if not loads or found.source[0] is not self:
                return None
            found.load()
        return found if isinstance(found, ServerSideSession) and found.opened_by == id(self) else None

    def _app_or_none(self) -> Flask | None:
        """The current app or, outside of an app context, the one that this interface was made for."""
        return current_app_or_none() or self.made_for()

    def _tell_of_revoked(self, count: int) -> None:
        for _ in range(count):
            signals.session_revoked.send(self._app_or_none())

    def _handles(self, session: AnySession, user: str) -> set[str]:
        found = resolved(session)
        if isinstance(found, str) and not SID.fullmatch(found):
            return {found}
        if isinstance(found, str):
            current = self._session_of_request()
            if current is None or current.stored is None or current.stored.sid != found:
                return self.lifecycle.handles_of(found, user)
            found = current
        claimed = self._user_in(found)
        if found.meta.owner is None and claimed is not None:
            # It would be bound at the end of the request, and is named now.
            self._bind(found, claimed)
        if found.stored is not None and found.meta.owner is not None and found.meta.owner == found.stored.claimed_by:
            self._bind_stored(found, found.stored)
        # In this request it may have become another user's, who has not listed it yet.
        handles = {found.meta.handle, found.stored.handle if found.stored is not None else None}
        return {handle for handle in handles if handle is not None}

    def _bind_stored(self, session: ServerSideSession, stored: Stored) -> None:
        """Bind what is stored of the session of this request, rather than when it is saved, without its changes.

        After that it is as any other bound session to those who revoke the user.
        """
        app, now = t.cast("Flask", self._app_or_none()), int(time.time())
        session.meta.begun = session.meta.begun or now
        before = ServerSideSession()
        before.replace_data(self.lifecycle.read(stored.record)[0])
        before.stored, before.meta = stored, session.meta
        record, ttl = self.lifecycle.record_of(before), self._ttl(lifetime_of(app), now - session.meta.begun)
        if self.lifecycle.write(before, record, ttl, self._listing_ttl(app)):
            meta = session.meta = before.meta
            # The record is still that which was loaded, so that saving merges what others have written since.
            session.stored = stored._replace(owner=meta.owner, handle=meta.handle, begun=meta.begun, claimed_by=None)

    def _info(self, data: Data, meta: SessionMeta, key: str) -> SessionInfo:
        assert meta.handle is not None
        return SessionInfo(meta.handle, in_utc(meta.begun), in_utc(self._last_seen(data, meta, key)), meta.note)

    def _last_seen(self, data: Data, meta: SessionMeta, key: str) -> int | None:
        """When a session was last loaded, to a twentieth of its lifetime."""
        app = self._app_or_none()
        if app is None:
            return None
        now, lifetime, own_lifetime = int(time.time()), lifetime_of(app), None
        with suppress(Exception):
            # The option may be made for requests, and the others are shown nevertheless.
            own_lifetime = self.own_lifetime(data)
        shorter = lifetime if own_lifetime is None else min(lifetime, max(int(own_lifetime), 1))
        seen = [] if meta.expires_at is None else [meta.expires_at - shorter]
        expires_in = getattr(self.store, "expires_in", lambda key: None)(key)
        if expires_in is not None:
            seen.append(now + expires_in - self._ttl(lifetime, now - (meta.begun or now)))
        # The app may have changed its lifetimes since.
        return max(meta.begun or 0, min(max(seen), now)) if seen else None


def has_ended(session: ServerSideSession) -> None:
    """Let the session of this request be a new one, since what was stored of it has ended.

    It is emptied, unless it is another session already: since it was cleared, or bound to another user.
    """
    if session.stored is None:
        return
    if not session.was_cleared and (session.meta.owner is None or session.stored.was_of(session.meta.owner)):
        session.clear()
    # Saving has nothing to end any more. What the view stores from here on begins a session, which sets its own cookie.
    session.stored, session.cookie_due = None, "delete"


def listing_ttl(lifetime: int, refresh_after: float | None = None) -> int:
    """For how long a user's list has a session: it may be read for a while after it was renewed last."""
    unrenewed = lifetime * RENEWED_SHARE if refresh_after is None else refresh_after
    return lifetime + math.ceil(unrenewed) + LONGEST_REQUEST


def lifetime_of(app: Flask) -> int:
    """``PERMANENT_SESSION_LIFETIME`` in whole seconds, at least one."""
    lifetime: timedelta = app.permanent_session_lifetime
    return max(int(lifetime.total_seconds()), 1)
