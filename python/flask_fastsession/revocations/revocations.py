"""The list of revocations in a process: fetched from the store every few seconds, and added to."""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import time
import typing as t
import weakref
from collections.abc import Callable
from collections.abc import Iterable

from .. import signals
from .._native import Identity
from .._native import RevokedList
from ..server.info import current_app_or_none
from ..server.store import SessionStoreError
from .entry import Cursor
from .entry import Entry
from .entry import SessionEntry
from .entry import UserEntry
from .entry import entry_from
from .entry import missing_entries
from .stores import store_from

if t.TYPE_CHECKING:
    from ..session import SecureCookieSession

log = logging.getLogger("flask_fastsession")

OnOutage: t.TypeAlias = t.Literal["keep", "accept", "refuse"]

#: After a fetch, waiting entries are stored for at most so many seconds, because a request waits for it.
SECONDS_TO_STORE = 0.2

#: How often expired entries are removed from the list, in seconds.
SWEPT_EVERY = 300

#: By how many seconds the clocks of two machines may differ. An entry lives longer by this time.
CLOCK_SKEW = 60

#: The greatest ``every`` and ``keep_for`` in seconds: a hundred years. The ends of such entries are times that every
#: store can hold. Native code takes those after the year 2106 for the last that it can count.
LONGEST = 100 * 365 * 86_400


class RevocationStats(t.TypedDict):
    """What a process knows about revocations.

    ``entries`` is the number of entries in its list, and ``age`` the age of the list in seconds, or ``None`` if the
    process never had one. ``waiting`` is the number of entries that could not be stored yet. ``fetches`` counts how
    often the store was asked for new entries, ``failed_fetches`` how often this failed, ``refused`` the sessions that
    were refused, and ``revoked`` the entries that this process has made.
    """

    entries: int
    age: float | None
    waiting: int
    fetches: int
    failed_fetches: int
    refused: int
    revoked: int


class Waiting(t.NamedTuple):
    """An entry that is to be stored, and for how many seconds it has to live from then on.

    While it waits, other processes refresh the cookies that it refuses, so that these expire later. For an entry that
    has been stored before, the seconds are 0.
    """

    entry: Entry
    life: float = 0

    def renewed(self) -> Entry:
        return self.entry._replace(until=max(self.entry.until, math.ceil(time.time() + self.life)))


class Revocations:
    """The revoked sessions and users, shared by all processes that use the same store.

    ``store`` is the path of an SQLite file, a client of redis-py or the URL of a Redis, an Engine of SQLAlchemy or the
    URL of a database, or an object with the two methods of :class:`RevocationStore`.

    ``every`` is how many seconds old the list of a process may be. After this time all processes know a revocation.

    ``on_outage`` says what happens while the store cannot be asked. ``"keep"``: a process that has a list goes on with
    it, and a process that never had one raises :exc:`~flask_fastsession.server.SessionStoreError` where a view accesses
    a session. ``"accept"``: both go on. ``"refuse"``: both raise.

    ``user_of`` is a function that gets a session and returns the id of its user, or ``None``. It is called for sessions
    that were not bound by :meth:`bind_user <flask_fastsession.FastSessionInterface.bind_user>`. By default the id is
    Flask-Login's ``_user_id``.

    ``keep_for`` is for how many seconds an entry lives at least. It lives at least for the app's
    ``PERMANENT_SESSION_LIFETIME`` anyway. Set this before you raise that lifetime.

    ``every`` and ``keep_for`` are at most a hundred years. An invalid argument raises :exc:`ValueError`. One object may
    serve several interfaces and apps, which then share users.
    """

    def __init__(
        self,
        store: t.Any,
        every: float = 5,
        on_outage: OnOutage = "keep",
        user_of: Callable[[t.Mapping[str, t.Any]], object] | None = None,
        keep_for: float = 0,
    ) -> None:
        for name, seconds in (("every", every), ("keep_for", keep_for)):
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST:
                raise ValueError(f"{name} must be a number of seconds from 0 to {LONGEST}, not {seconds!r}")
        if on_outage not in ("keep", "accept", "refuse"):
            raise ValueError(f'on_outage must be "keep", "accept" or "refuse", not {on_outage!r}')
        if user_of is not None and not callable(user_of):
            raise ValueError(f"user_of must be a function of the session, not {user_of!r}")
        self.store = store_from(store)
        self.every = every
        self.on_outage = on_outage
        self.user_of = user_of
        self.keep_for = keep_for
        #: The greatest ``leeway`` of the interfaces that use this object, in seconds.
        self.leeway = 0
        self._list = RevokedList()
        #: The place after which the next fetch begins.
        self._cursor: Cursor | None = None
        self._latest = 0
        # Times of time.monotonic(). Requests before `_list.due` do not fetch.
        self._fetched_at: float | None = None
        self._retry_at = -math.inf
        self._swept_at = -math.inf
        self._failure: SessionStoreError | None = None
        #: The time of the last fetch before requests went on with an old list.
        self._outdated_since: float | None = None
        #: Entries that are not stored yet, that the store has lost, or that it would remove too early.
        self._waiting: dict[t.Hashable, Waiting] = {}
        self._fetches = self._failed_fetches = self._refused = self._revoked = 0
        self._make_locks()
        ALL.add(self)

    def _make_locks(self) -> None:
        #: Held while the store is asked.
        self._fetching = threading.Lock()
        #: Held while the list changes, but never while a thread waits for the store.
        self._changing = threading.Lock()

    def __copy__(self) -> Revocations:
        return self

    def __deepcopy__(self, memo: object) -> Revocations:
        return self

    # --- The list ---------------------------------------------------------------------------------------------------

    @property
    def latest(self) -> int:
        """The number of the last place in the list that this process has seen. Sessions are bound at this number."""
        return self._latest

    def refuses(self, identity: Identity) -> bool:
        return self._list.refuses(identity)

    def end(self, session: SecureCookieSession) -> None:
        """End a session after it was cleared."""
        from . import sessions

        sessions.end(self, session)

    def count_refused(self) -> None:
        self._refused += 1

    def _apply(self, entries: Iterable[tuple[int, Entry]], revoked: RevokedList | None = None) -> None:
        for number, entry in entries:
            self._latest = max(self._latest, entry.apply(self._list if revoked is None else revoked, number))

    # --- Fetching ---------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Fetch new entries if the list is older than ``every``.

        Raise :exc:`~flask_fastsession.server.SessionStoreError` as ``on_outage`` says.
        """
        now = time.monotonic()
        if now < self._list.due:
            return
        if not self._fetching.acquire(blocking=False):
            fetched_at = self._fetched_at
            if fetched_at is not None and now < fetched_at + 2 * self.every:
                return
            self._fetching.acquire()
        try:
            if time.monotonic() >= self._list.due:
                self._fetch_or_decide()
        finally:
            self._fetching.release()

    def fetch(self) -> None:
        """Fetch new entries now, for an operation that needs the latest list. Raise as :meth:`renew` does."""
        asked_at = time.monotonic()
        with self._fetching:
            # Another thread may have fetched while this one waited.
            if self._fetched_at is None or self._fetched_at < asked_at:
                self._fetch_or_decide()

    def _fetch_or_decide(self) -> None:
        if time.monotonic() >= self._retry_at:
            try:
                self._fetch()
                return
            except SessionStoreError as error:
                self._has_failed(error)
        if not may_go_on(self.on_outage, self._fetched_at is not None):
            raise SessionStoreError(f"revocations are not known: {self._failure}") from self._failure
        if self._outdated_since is None:
            self._outdated_since = self._fetched_at
        self._list.due = self._retry_at

    def _fetch(self) -> None:
        began = time.monotonic()
        known = self._cursor
        self._fetches += 1
        found, cursor = self.store.since(known)
        entries = [(number, entry) for number, text in found if (entry := entry_from(text)) is not None]
        if self._failure is not None:
            log.info("The list of revocations is current again, after %.1f s", began - (self._fetched_at or began))
        with self._changing:
            if known is not None and (cursor.generation != known.generation or cursor.number < known.number):
                self._replace(entries)
            else:
                self._apply(entries)
                for _, entry in entries if self._waiting else ():
                    self._waiting.pop(key_of(entry), None)
                if self._outdated_since is not None:
                    self._prolong(entries, math.ceil(began - self._outdated_since))
            self._outdated_since = None
            self._cursor, self._latest = cursor, max(self._latest, cursor.number)
            self._fetched_at, self._list.due, self._failure = began, began + self.every, None
            if began >= self._swept_at + SWEPT_EVERY:
                self._swept_at = began
                self._apply([(0, waiting.renewed()) for waiting in self._waiting.values()])
                self._list.remove_expired(int(time.time()))
        self._store_waiting()

    def _prolong(self, entries: list[tuple[int, Entry]], seconds: int) -> None:
        """Have entries live longer, because for so long this process has gone on without them, and may have
        refreshed the cookies that they refuse until now.
        """
        for number, entry in entries:
            if isinstance(entry, UserEntry):
                entry = entry._replace(cursor=entry.counts_as(number))
            entry = entry._replace(until=entry.until + seconds)
            self._apply([(number, entry)])
            self._waiting[key_of(entry)] = Waiting(entry)

    def _replace(self, entries: list[tuple[int, Entry]]) -> None:
        """Replace the list by another one, and let the entries that it lacks wait to be added again."""
        found = RevokedList()
        self._apply(entries, found)
        missing = missing_entries(self._list, found)
        # In random order, because other processes add the same entries again. What they have stored by the next fetch
        # need not be stored by this process.
        random.shuffle(missing)
        self._apply([(0, entry) for entry in missing], found)
        # In one step, so that no request sees an incomplete list, and in place, because native code has this object.
        self._list.swap(found)
        # Those that no store has had yet keep the life that they are to have.
        self._waiting = {key: self._waiting.get(key, Waiting(entry)) for entry in missing if (key := key_of(entry))}

    def _has_failed(self, error: SessionStoreError) -> None:
        is_first = self._failure is None
        self._failure = error
        self._failed_fetches += 1
        self._retry_at = time.monotonic() + self.every
        age = self._age()
        if is_first:
            known = "there is none yet" if age is None else f"it is {age:.1f} s old"
            text = "The list of revocations cannot be fetched (%s), and %s; on_outage=%r"
            log.warning(text, error, known, self.on_outage)
        signals.revocations_outdated.send(current_app_or_none(), age=age)

    def _age(self) -> float | None:
        return None if self._fetched_at is None else time.monotonic() - self._fetched_at

    # --- Adding -----------------------------------------------------------------------------------------------------

    def refuse_session(self, id: bytes, until: int) -> None:
        """Refuse a session in this process, before it is stored anywhere."""
        with self._changing:
            self._list.add_session(id, until)

    def announce(self, entry: SessionEntry) -> None:
        """Apply an entry in this process at once, before :meth:`add` stores it.

        If a request ends without that, because it fails before it saves its session, the entry is stored after the next
        fetch.
        """
        with self._changing:
            self._apply([(0, entry)])
            self._waiting[key_of(entry)] = Waiting(entry, entry.until - time.time())

    def add(self, entry: Entry) -> None:
        """Apply an entry in this process at once, and store it for the others, which fetch it within ``every`` seconds.

        Raise :exc:`~flask_fastsession.server.SessionStoreError` if the entry cannot be stored. This process applies it
        nevertheless, and tries again after each fetch until it is stored.
        """
        self._revoked += 1
        if time.monotonic() < self._retry_at and self._failure is not None:
            self._keep_waiting(entry)
            raise SessionStoreError(f"a revocation could not be stored: {self._failure}") from self._failure
        try:
            place = self.store.add(entry.to_text(), seconds_left(entry))
        except BaseException:
            self._keep_waiting(entry)
            raise
        with self._changing:
            self._apply([(place.number, entry)])
            self._waiting.pop(key_of(entry), None)

    def _keep_waiting(self, entry: Entry) -> None:
        with self._changing:
            # In this process the entry gets the next number, and it keeps this number wherever it is stored later.
            number = max(self._latest + 1, int(time.time() * 1_000_000))
            if isinstance(entry, UserEntry):
                entry = entry._replace(cursor=number)
            self._apply([(number, entry)])
            self._waiting[key_of(entry)] = Waiting(entry, entry.until - time.time())

    def _store_waiting(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_STORE
        while self._waiting and time.monotonic() < deadline:
            with self._changing:
                key, waiting = next(iter(self._waiting.items()), (None, None))
            if waiting is None:
                return
            entry = waiting.renewed()
            if entry.until > time.time():
                try:
                    self.store.add(entry.to_text(), seconds_left(entry))
                except SessionStoreError:
                    # The next fetch tries again.
                    return
            with self._changing:
                self._waiting.pop(key, None)

    # --- For operators ----------------------------------------------------------------------------------------------

    def stats(self) -> RevocationStats:
        """Return what this process knows about revocations, and what it has done."""
        return {
            "entries": len(self._list),
            "age": self._age(),
            "waiting": len(self._waiting),
            "fetches": self._fetches,
            "failed_fetches": self._failed_fetches,
            "refused": self._refused,
            "revoked": self._revoked,
        }


def may_go_on(on_outage: OnOutage, has_list: bool) -> bool:
    """Whether requests go on while the store cannot be asked."""
    return on_outage == "accept" or (on_outage == "keep" and has_list)


def key_of(entry: Entry) -> t.Hashable:
    return entry.id if isinstance(entry, SessionEntry) else (entry.user, entry.cursor)


def seconds_left(entry: Entry) -> int:
    return max(math.ceil(entry.until - time.time()), 1)


ALL: weakref.WeakSet[Revocations] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A thread of the parent, which the child does not have, may have held the locks.
    for revocations in list(ALL):
        revocations._make_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
