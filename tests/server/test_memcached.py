"""What is memcached's own: lists of a bounded length, which anybody may change at once, and connections."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import json
import logging
import random
import select
import signal
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path

import pymemcache
import pytest

from flask_fastsession.server import SessionStoreError
from flask_fastsession.server import Store
from flask_fastsession.server import owners
from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.stores.memcached import MemcachedStore
from flask_fastsession.server.stores.memcached import client_at
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import a_handle
from flask_fastsession.testing import a_key
from flask_fastsession.testing import an_owner
from flask_fastsession.testing import begun
from flask_fastsession.testing import is_alive
from tests.faults.support import Ending
from tests.faults.support import scaled

from .conftest import MemoryStore
from .load import run_script
from .load import started
from .servers import Server
from .servers import memcached_server


@pytest.fixture
def store(memcached_process: Server) -> Iterator[MemcachedStore]:
    yield MemcachedStore(client_at(url_of(memcached_process)))


def url_of(*servers: Server) -> str:
    return "memcached://" + ",".join(f"{server.host}:{server.port}" for server in servers)


# --- Lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fewer_rounds")
class TestOwners(OwnerStoreTests):
    """On two servers, so that a list, the sessions on it and what leads to it are on either."""

    sessions_listed = owners.LISTED

    @pytest.fixture(scope="class")
    def servers(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
        with ExitStack() as stack:
            folder = tmp_path_factory.mktemp("memcached")
            yield [stack.enter_context(memcached_server(folder)) for _ in range(2)]

    @pytest.fixture
    def store(self, servers: list[Server]) -> Store:
        return MemcachedStore(client_at(url_of(*servers)))

    @pytest.fixture
    def other_store(self, servers: list[Server]) -> Store:
        return MemcachedStore(client_at(url_of(*servers)))


class Remembers(MemoryStore):
    """A store that any thread may use, with a clock that goes."""

    def __init__(self) -> None:
        self.turn = threading.RLock()
        super().__init__()

    @property
    def now(self) -> float:
        return time.monotonic()

    @now.setter
    def now(self, seconds: float) -> None:
        pass

    def load(self, *arguments: t.Any) -> t.Any:
        with self.turn:
            return super().load(*arguments)

    def create(self, *arguments: t.Any) -> t.Any:
        with self.turn:
            return super().create(*arguments)

    def replace(self, *arguments: t.Any) -> t.Any:
        with self.turn:
            return super().replace(*arguments)

    def delete(self, *keys: str) -> None:
        with self.turn:
            super().delete(*keys)


class RemembersOwners(owners.OwnerRecords, Remembers):
    pass


@pytest.mark.usefixtures("fewer_rounds")
class TestOwnersOfAnyStore(OwnerStoreTests):
    """By the methods that any store has."""

    sessions_listed = 100

    @pytest.fixture
    def store(self) -> Store:
        return RemembersOwners()


def test_a_store_of_owners_by_its_type(store: MemcachedStore) -> None:
    assert isinstance(store, OwnerStore)


def test_the_newest_thousand_sessions_are_listed(store: MemcachedStore) -> None:
    owner = an_owner()
    first, second, third, *others = [(a_handle(), a_key()) for _ in range(owners.LISTED)]
    sessions = {handle: [time.time() + 1000, key, "token"] for handle, key in (first, second, third, *others)}
    store.create(owner, json.dumps(sessions).encode(), 1000)
    # To be renewed makes it no newer, to be enlisted again does.
    assert store.enlist(owner, *first, ttl=2000, renew=True) is True
    assert store.enlist(owner, *second, ttl=1000, renew=False) is True
    newest = [begun(store, owner), begun(store, owner)]
    assert store.listed(owner) == [*others, second, *newest]
    assert not is_alive(store, owner, *first)
    assert not is_alive(store, owner, *third)
    assert store.enlist(owner, *first, ttl=1000, renew=True) is False
    assert store.end_all(owner) == owners.LISTED


def test_a_list_of_the_longest_keys_is_stored(store: MemcachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = an_owner()
    sessions = {
        f"{n:40}".replace(" ", "."): [time.time() + 10**9, f"{n:250}".replace(" ", "."), "token-of"] for n in range(999)
    }
    store.create(owner, json.dumps(sessions).encode(), 1000)
    handle, key = begun(store, owner)
    assert len(store.listed(owner)) == owners.LISTED
    assert is_alive(store, owner, handle, key)


def test_a_session_is_ended_by_its_handle_though_memcached_forgot_whose_it_is(store: MemcachedStore) -> None:
    """Once it was renewed, or shown."""
    owner = an_owner()
    renewed, shown = begun(store, owner), begun(store, owner)
    for handle, _ in (renewed, shown):
        store.delete(owners.name_of(handle))
    assert store.enlist(owner, *renewed, ttl=1000, renew=True) is True
    assert store.end(renewed[0]) is True
    assert store.listed(owner) == [shown]
    assert store.end(shown[0]) is True
    assert store.listed(owner) == []


def test_a_list_that_memcached_forgot_ends_all_sessions(store: MemcachedStore) -> None:
    owner = an_owner()
    handle, key = begun(store, owner)
    store.delete(owner)
    assert not is_alive(store, owner, handle, key)
    assert store.enlist(owner, handle, key, 1000, renew=True) is False
    assert store.end(handle) is False


DEAD = -1.0
ALIVE = 2.0**40

#: What is no list, or is one without a session in it.
DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\xfd",
    "deep lists": b"[" * 200_000 + b"]" * 200_000,
    "deep mappings": b'{"h":' * 100_000 + b"1" + b"}" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a long number": b"9" * 5000,
    "text": b'"text"',
    "a pickle": b"\x80\x04]\x94.",
}

#: What is listed of a handle, but is no session.
NO_SESSIONS: dict[str, str] = {
    "a number": "1",
    "text": '"abc"',
    "null": "null",
    "empty": "[]",
    "too short": f'[{ALIVE}, "key"]',
    "too long": f'[{ALIVE}, "key", "token", 1]',
    "no number": '["2", "key", "token"]',
    "a mapping": f'{{"0": {ALIVE}, "1": "key", "2": "token"}}',
    "400 digits": f'[{"9" * 400}, "key", "token"]',
    "400 digits below zero": f'[-{"9" * 400}, "key", "token"]',
    "infinity": '[Infinity, "key", "token"]',
    "too large for a float": '[1e999, "key", "token"]',
    "not a number": '[NaN, "key", "token"]',
    "a bool": '[true, "key", "token"]',
    "ended": f'[{DEAD}, "key", "token"]',
    "key is a number": f'[{ALIVE}, 1, "token"]',
    "key is a list": f'[{ALIVE}, ["key"], "token"]',
    "empty key": f'[{ALIVE}, "", "token"]',
    "lone surrogate": f'[{ALIVE}, "\\ud800", "token"]',
    "key with a line break": f'[{ALIVE}, "key\\r\\nflush_all", "token"]',
    "key with a space": f'[{ALIVE}, "key 1", "token"]',
    "long key": f'[{ALIVE}, "{"k" * 251}", "token"]',
    "token is a number": f'[{ALIVE}, "key", 1]',
    "lone surrogate as token": f'[{ALIVE}, "key", "\\ud800"]',
}


def is_as_none(store: OwnerStore, owner: str, handle: str) -> None:
    assert store.listed(owner) == []
    assert store.is_listed(owner, handle, b"data") is False
    assert store.enlist(owner, handle, "key", 1000, renew=True) is False
    store.unlist(owner, handle)
    assert store.end_all(owner) == 0
    assert store.end_all(owner, [handle]) == 0


@pytest.mark.parametrize("record", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_list_is_as_none(store: MemcachedStore, record: bytes) -> None:
    owner, handle = an_owner(), a_handle()
    store.create(owner, record, 1000)
    is_as_none(store, owner, handle)
    session = begun(store, owner)
    assert store.listed(owner) == [session]
    assert store.end_all(owner) == 1


@pytest.mark.parametrize("value", NO_SESSIONS.values(), ids=NO_SESSIONS)
def test_a_damaged_session_in_a_list_is_as_none(store: MemcachedStore, value: str) -> None:
    owner, handle, intact = an_owner(), a_handle(), a_handle()
    store.create(owner, f'{{"{handle}": {value}}}'.encode(), 1000)
    is_as_none(store, owner, handle)
    store.delete(owner)
    store.create(owner, f'{{"{handle}": {value}, "{intact}": [{ALIVE}, "key", "token"]}}'.encode(), 1000)
    assert store.listed(owner) == [(intact, "key")]
    session = begun(store, owner)
    assert store.listed(owner) == [(intact, "key"), session]
    assert store.end_all(owner, [handle]) == 2
    assert store.load(owner) is None


@pytest.mark.parametrize("handle", ["", "\\ud800", "a b", "x" * 41, "\u00e9"])
def test_a_damaged_handle_in_a_list_is_as_none(store: MemcachedStore, handle: str) -> None:
    owner = an_owner()
    store.create(owner, f'{{"{handle}": [{ALIVE}, "key", "token"]}}'.encode(), 1000)
    assert store.listed(owner) == []
    assert store.end_all(owner) == 0


@pytest.mark.parametrize(
    "record",
    [
        *DAMAGED.values(),
        b'["number"]',
        b"[1, 2]",
        b'["number", "token", "owner"]',
        b'["number", ["token"]]',
        b'["number", ["token", null]]',
        b'["number", [["token"], "owner"]]',
        b'["number", ["token", "\\ud800"]]',
        b'["number", ["\\ud800", "owner"]]',
        b'["number", ["token", "a b"]]',
        b'["number", ["token", ""]]',
        b'["number", {"token": 1, "owner": 2}]',
    ],
)
def test_a_damaged_record_of_a_handle_leads_nowhere(store: MemcachedStore, record: bytes) -> None:
    owner, handle, key = an_owner(), a_handle(), a_key()
    name = owners.name_of(handle)
    store.create(name, record, 1000)
    assert store.end(handle) is False
    store.delete(name)
    store.create(name, record, 1000)
    store.create(key, b"data", 1000)
    assert store.enlist(owner, handle, key, 1000, renew=False) is True
    assert store.end(handle) is True
    assert store.load(key) is None


def test_what_is_no_record_of_bytes_is_as_none(memcached_process: Server) -> None:
    """What a serde makes of it is no list."""
    address = (memcached_process.host, memcached_process.port)
    store = MemcachedStore(pymemcache.PooledClient(address, no_delay=True, serde=Numbers()))
    owner = an_owner()
    store.create(owner, b"1", 1000)
    assert store.load(owner) == b""
    session = begun(store, owner)
    assert store.listed(owner) == [session]


class Numbers:
    def serialize(self, key: str, value: bytes) -> tuple[bytes, int]:
        return value, 0

    def deserialize(self, key: str, value: bytes, flags: int) -> object:
        return int(value) if value.isdigit() else value


# --- Step by step ---------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Raised as if a process were killed."""


class Steps(owners.OwnerRecords):
    """Does something before one of its commands to the store, which are numbered from 1."""

    def __init__(self, store: RemembersOwners, number: int, act: Callable[[], object]) -> None:
        self.store = store
        self.number = number
        self.act = act

    def load(self, *arguments: t.Any) -> t.Any:
        return self._command(self.store.load, *arguments)

    def create(self, *arguments: t.Any) -> t.Any:
        return self._command(self.store.create, *arguments)

    def replace(self, *arguments: t.Any) -> t.Any:
        return self._command(self.store.replace, *arguments)

    def delete(self, *keys: str) -> None:
        self._command(self.store.delete, *keys)

    def _command(self, command: Callable[..., object], *arguments: t.Any) -> t.Any:
        self.number -= 1
        if self.number == 0:
            self.act()
        return command(*arguments)


#: What may be done with one session, which is Ada's at first. Bob has another one, and so has Ada.
OPERATIONS: dict[str, Callable[[t.Any], object]] = {
    "Ada logs in again": lambda store: store.enlist("ada", "handle", "key", 1000, renew=False),
    "Bob logs in": lambda store: store.enlist("bob", "handle", "key", 1000, renew=False),
    "Eve logs in": lambda store: store.enlist("eve", "handle", "key", 1000, renew=False),
    "it is renewed": lambda store: store.enlist("ada", "handle", "new-key", 1000, renew=True),
    "it is renewed as Bob's": lambda store: store.enlist("bob", "handle", "new-key", 1000, renew=True),
    "it is shown": lambda store: store.listed("ada"),
    "it is logged out": lambda store: store.unlist("ada", "handle"),
    "it is ended": lambda store: store.end("handle"),
    "Ada's are ended": lambda store: store.end_all("ada"),
    "all others of Ada's are ended": lambda store: store.end_all("ada", ["handle"]),
    "all others of Ada's are ended but it": lambda store: store.end_all("ada", ["ada-other"]),
    "Bob's are ended": lambda store: store.end_all("bob"),
    "Ada begins another": lambda store: store.enlist("ada", "new", "key-of-new", 1000, renew=False),
}
LOGINS = {"Ada logs in again": "ada", "Bob logs in": "bob", "Eve logs in": "eve"}
#: The command by which a login says that it is about to enlist a session.
CLAIM = 2
ENDS = {"it is ended", "Ada's are ended", "all others of Ada's are ended but it", "it is logged out"}


def with_sessions() -> RemembersOwners:
    store = RemembersOwners()
    for owner in ("ada", "bob"):
        store.enlist(owner, f"{owner}-other", f"{owner}-key", 1000, renew=False)
    store.enlist("ada", "handle", "key", 1000, renew=False)
    return store


def owners_of(store: RemembersOwners, handle: str) -> list[str]:
    return [owner for owner in ("ada", "bob", "eve") if store.is_listed(owner, handle, b"data")]


def steps_of(operation: str) -> range:
    """The numbers of the commands that an operation takes when nothing comes in between."""
    steps = Steps(with_sessions(), 0, lambda: None)
    OPERATIONS[operation](steps)
    return range(1, 1 - steps.number)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is stopped amid its turn is not waited for."""
    monkeypatch.setattr(owners, "PATIENCE", 2.0)
    monkeypatch.setattr(owners, "FIRST_PAUSE", 0.0001)
    monkeypatch.setattr(owners, "LONGEST_PAUSE", 0.001)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_does_not_matter_where_an_operation_is_stopped(operation: str) -> None:
    def stop() -> None:
        raise Stopped

    for number in steps_of(operation):
        store = with_sessions()
        with pytest.raises(Stopped):
            OPERATIONS[operation](Steps(store, number, stop))
        listed = dict(store.listed("ada"))
        if operation.startswith(("Ada's", "all others")):
            # All of them at once, or none.
            kept = {"handle", "ada-other"} - ({"handle"} if "but it" in operation else {"ada-other"})
            assert listed.keys() in ({"handle", "ada-other"}, kept if "others" in operation else set())
        else:
            assert "ada-other" in listed
        assert owners_of(store, "bob-other") == ([] if operation == "Bob's are ended" and number > 2 else ["bob"])
        # It can be ended all the same, and stays so.
        store.end("handle")
        assert owners_of(store, "handle") == []
        for owner in ("ada", "bob", "eve"):
            assert store.enlist(owner, "handle", "key", 1000, renew=True) is False
        assert store.enlist("eve", "handle", "key", 1000, renew=False) is True
        assert owners_of(store, "handle") == ["eve"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("second", OPERATIONS)
@pytest.mark.parametrize("first", OPERATIONS)
def test_an_operation_comes_amid_another(first: str, second: str) -> None:
    """It comes between any two commands of the first, and is over before the next of these."""
    for number in steps_of(first):
        store = with_sessions()
        results: dict[str, object] = {}

        def come(store: RemembersOwners = store, results: dict[str, object] = results) -> None:
            results["second"] = OPERATIONS[second](store)

        results["first"] = OPERATIONS[first](Steps(store, number, come))
        assert "second" in results
        found = owners_of(store, "handle")
        assert len(found) <= 1, number
        if second in ENDS:
            # It was Ada's. Whoever was about to take it may have it, unless that very session was ended.
            assert "ada" not in found or first == "Ada logs in again", number
            if second == "it is ended" and number > CLAIM:
                assert not found, number
        if first in ENDS and second not in LOGINS:
            assert not found, number
        if not {first, second} & ENDS:
            last = [LOGINS[each] for each in (first, second) if each in LOGINS]
            # "Bob's are ended" may come after he took it.
            assert found == ["ada"] if not last else set(found) <= set(last), number
            if last and "Bob's are ended" not in (first, second):
                assert found, number
        others = {first, second} & {"Ada's are ended", "all others of Ada's are ended"}
        assert owners_of(store, "ada-other") == ([] if others else ["ada"]), number
        assert owners_of(store, "bob-other") == ([] if "Bob's are ended" in (first, second) else ["bob"]), number
        if "Ada begins another" in (first, second) and not any("Ada's are ended" in each for each in (first, second)):
            assert owners_of(store, "new") == ["ada"], number
        # Nobody else has it where the handle does not lead.
        store.end("handle")
        assert owners_of(store, "handle") == [], number


#: None of these lists anew what was ended.
NO_LOGINS = OPERATIONS.keys() - LOGINS.keys() - {"Ada begins another"}


@pytest.mark.usefixtures("impatient")
def test_two_operations_come_amid_another() -> None:
    """The third between any two commands of the second, and that one likewise amid the first."""
    triples = list(itertools.product(OPERATIONS, repeat=3))
    count = 0
    for first, second, third in scaled(random.sample(triples, 60), triples):
        for number in steps_of(first):
            for second_number in itertools.count(1):
                store = with_sessions()
                has_come: list[object] = []

                def come(store: RemembersOwners = store, has_come: list[object] = has_come, third: str = third) -> None:
                    has_come.append(OPERATIONS[third](store))

                amid = Steps(store, second_number, come)
                OPERATIONS[first](Steps(store, number, functools.partial(OPERATIONS[second], amid)))
                if not has_come:
                    break
                count += 1
                where = (first, number, second, second_number, third)
                found = owners_of(store, "handle")
                assert len(found) <= 1, where
                if {first, second, third} <= NO_LOGINS and {first, second, third} & ENDS:
                    assert not found, where
                store.end("handle")
                assert owners_of(store, "handle") == [], where
    print(f"{count} interleavings")
    assert count > 1000


# --- Many processes at once -----------------------------------------------------------------------------------------

IMPORTS = """
    from flask_fastsession.server.stores.memcached import MemcachedStore, client_at
    from flask_fastsession.testing import begun
"""

LOG_IN = (
    IMPORTS
    + """
    url, owner, start, threads, count = sys.argv[1:]
    store = MemcachedStore(client_at(url))

    def log_in(_):
        for _ in range(int(count)):
            begun(store, owner)

    time.sleep(max(0, float(start) - time.time()))
    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(log_in, range(int(threads))))
    print("done")
"""
)


def test_many_processes_log_one_user_in_at_once(store: MemcachedStore, memcached_process: Server) -> None:
    """Each login succeeds, and is listed."""
    processes, threads, logins = 6, 8, 15
    owner, start = an_owner(), time.time() + 2.5
    arguments = (url_of(memcached_process), owner, start, threads, logins)
    with ThreadPoolExecutor(processes) as pool:
        runs = [pool.submit(run_script, LOG_IN, *arguments) for _ in range(processes)]
    assert [run.result() for run in runs] == [Ending("exit 0", "done\n")] * processes
    assert len(store.listed(owner)) == processes * threads * logins
    assert store.end_all(owner) == processes * threads * logins


LOG_IN_WITHOUT_PAUSE = (
    IMPORTS
    + """
    url, owner, threads = sys.argv[1:]
    store = MemcachedStore(client_at(url))

    def log_in():
        while True:
            begun(store, owner)

    for _ in range(int(threads)):
        threading.Thread(target=log_in, daemon=True).start()
    print("begun", flush=True)
    sys.stdin.read()
"""
)


@pytest.mark.parametrize("keeps", [False, True])
def test_all_sessions_are_ended_while_a_process_logs_in_without_pause(
    store: MemcachedStore, memcached_process: Server, keeps: bool
) -> None:
    owner = an_owner()
    kept = begun(store, owner)
    keep = [kept[0]] if keeps else []
    ended = 0
    with ExitStack() as stack:
        for _ in range(2):
            arguments = (url_of(memcached_process), owner, 8)
            process = stack.enter_context(started(LOG_IN_WITHOUT_PAUSE, *arguments))
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
        for _ in range(scaled(5, 200)):
            before = store.listed(owner)
            # It succeeds before the logins end, as they never do.
            ended += store.end_all(owner, keep)
            after = dict(store.listed(owner))
            assert [handle for handle, _ in before if handle in after] == keep
            assert [key for handle, key in before if handle not in keep and store.load(key) is not None] == []
            time.sleep(0.1)
    assert ended > 10


class Clock:
    """What :mod:`time` has, for which a pause takes no time."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@pytest.mark.parametrize("mark", [b"another's", owners.FIRST + b"another's"])
def test_a_process_that_was_killed_in_its_turn_stops_nobody(
    store: MemcachedStore, monkeypatch: pytest.MonkeyPatch, mark: bytes
) -> None:
    clock = Clock()
    monkeypatch.setattr(owners, "time", clock)
    owner = an_owner()
    handle, _ = begun(store, owner)
    turn = owners.Turn(store, owner, goes_first=False)
    store.create(turn.key, mark, 1000)
    assert store.end_all(owner, [handle]) == 0
    assert clock.monotonic() == 0
    begun(store, owner)
    assert owners.PATIENCE / 2 <= clock.monotonic() < owners.PATIENCE / 2 + owners.LONGEST_PAUSE
    assert store.end_all(owner) == 2
    # It is left to end by itself.
    assert store.load(turn.key) == mark


class Overtaken(MemoryStore):
    """A store whose lists others have always just changed."""

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        return b"another" if "owner" in key else super().replace(key, old, new, ttl)


class Owners(owners.OwnerRecords, Overtaken):
    pass


def test_what_is_overtaken_for_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "PATIENCE", 0.1)
    store, owner = Owners(), an_owner()
    handle, key = begun(store, owner)
    calls: list[Callable[[], object]] = [
        lambda: begun(store, owner),
        lambda: store.enlist(owner, handle, key, 1000, renew=True),
        lambda: store.unlist(owner, handle),
        lambda: store.end(handle),
        lambda: store.end_all(owner),
    ]
    for call in calls:
        with pytest.raises(SessionStoreError, match="other requests"):
            call()
    # They leave no turn behind.
    assert store.load(owners.Turn(store, owner, goes_first=False).key) is None
    assert store.is_listed(owner, handle, b"data") is True


# --- Connections ----------------------------------------------------------------------------------------------------


class Broken(BaseException):
    """Raised as a signal's handler does."""


@contextmanager
def breaking_at(number: int) -> Iterator[Callable[[], int]]:
    """Raise :exc:`Broken` before so many-th instruction of Python code; give a function that counts them."""
    count = 0

    def trace(frame: t.Any, event: str, argument: object) -> t.Any:
        nonlocal count
        # That of logging would keep its lock if it was interrupted.
        if frame.f_code.co_filename in (__file__, contextlib.__file__, logging.__file__):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == number:
                raise Broken
        return trace

    before = sys.gettrace()
    # What other tests have left is not destroyed meanwhile, where an exception is raised for nobody.
    gc.disable()
    sys.settrace(trace)
    try:
        yield lambda: count
    finally:
        sys.settrace(before)
        gc.enable()


BROKEN_CALLS: dict[str, Callable[[MemcachedStore, str], object]] = {
    "load": lambda store, key: store.load(key),
    "load and touch": lambda store, key: store.load(key, 1000),
    "create": lambda store, key: store.create(a_key(), b"data", 1000),
    "replace": lambda store, key: store.replace(key, store.load(key) or b"", b"new", 1000),
    "delete": lambda store, key: store.delete(key, a_key()),
}


@pytest.mark.parametrize("kind", ["Client", "PooledClient"])
@pytest.mark.parametrize("is_new", [False, True], ids=["a connection that rested", "a new connection"])
@pytest.mark.parametrize("call", BROKEN_CALLS)
def test_nothing_is_left_behind_wherever_a_signal_breaks_a_call_off(
    memcached_process: Server, kind: str, is_new: bool, call: str
) -> None:
    address = (memcached_process.host, memcached_process.port)
    options = {"max_pool_size": 1} if kind == "PooledClient" else {}
    store = MemcachedStore(getattr(pymemcache, kind)(address, no_delay=True, timeout=2, **options))
    server = store.server_of("key")
    key, other = a_key(), a_key()
    store.create(other, b"other", 1000)
    step = scaled(3, 1)
    # Others each time.
    number, has_ended = -random.randrange(step), False
    while not has_ended:
        number += step
        store.create(key, b"data", 1000)
        if is_new:
            server.idle.clear()
        with breaking_at(number) as counted:
            try:
                BROKEN_CALLS[call](store, key)
                has_ended = counted() < number
            except Broken:
                pass
        # It is the only one there may be of a pool, and it has no reply on its way that is somebody else's.
        assert len(server.idle) == len(server.alive) <= 1, number
        assert not has_replies(server.idle), number
        assert store.load(other) == b"other", number
    assert number > 100


def has_replies(connections: list[t.Any]) -> bool:
    sockets = [connection.sock for connection in connections if connection.sock is not None]
    return bool(select.select(sockets, [], [], 0)[0])


def test_nothing_is_left_behind_by_storms_of_signals(memcached_process: Server) -> None:
    """Each record says what its key is, and nobody is told another one's."""
    address = (memcached_process.host, memcached_process.port)
    store = MemcachedStore(pymemcache.PooledClient(address, no_delay=True, timeout=2, max_pool_size=1))
    keys = [a_key() for _ in range(10)]
    for key in keys:
        store.create(key, key.encode(), 1000)

    def handle(number: int, frame: object) -> None:
        raise Broken

    before = signal.signal(signal.SIGALRM, handle)
    breaks = 0
    try:
        # How many signals come in time depends on the machine.
        for number in range(1_000_000):
            if number >= scaled(700, 100_000) and breaks > 100:
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4))
                for key in keys:
                    assert store.load(key, 1000) == key.encode()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Broken:
                breaks += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert breaks > 100
    assert [store.load(key) for key in keys] == [key.encode() for key in keys]


def test_no_more_connections_are_made_than_a_pool_may_have(memcached_process: Server) -> None:
    address = (memcached_process.host, memcached_process.port)
    store = MemcachedStore(pymemcache.PooledClient(address, no_delay=True, timeout=2, max_pool_size=2))
    server = store.server_of("key")
    taken = [server.another(), server.another()]
    with pytest.raises(SessionStoreError) as caught:
        store.load("key")
    assert "max_pool_size" in str(caught.value.__cause__)
    server.idle.append(taken.pop())
    assert store.load(a_key()) is None
    assert len(server.alive) == 2
    taken.clear()
    assert len(server.alive) == 1


def test_after_a_restart_reads_go_on_and_one_write_fails(tmp_path: Path) -> None:
    with memcached_server(tmp_path) as server:
        store = MemcachedStore(client_at(url_of(server)))
        let_rest(store, 3)
        server.restart()
        assert store.load("key", 1000) is None
        let_rest(store, 3)
        server.restart()
        # It may have been done, as far as anybody can tell.
        with pytest.raises(SessionStoreError):
            store.create("key", b"data", 1000)
        assert store.create("key", b"data", 1000) is True


def let_rest(store: MemcachedStore, count: int) -> None:
    connections = store.server_of("key")
    connections.idle[:] = [connections.another() for _ in range(count)]
    for connection in connections.idle:
        connection.version()


# --- URLs -----------------------------------------------------------------------------------------------------------


def test_a_url_of_one_server(memcached_process: Server) -> None:
    client = client_at(url_of(memcached_process))
    assert type(client) is pymemcache.PooledClient
    assert client.no_delay
    assert 0 < client.timeout < 10 and 0 < client.connect_timeout < 10
    store = MemcachedStore(client)
    key = a_key()
    assert store.create(key, b"data", 1000) is True
    assert store.load(key) == b"data"


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("memcached://localhost", [("localhost", 11211)]),
        ("memcached://localhost/", [("localhost", 11211)]),
        ("memcached://cache_1.example.com:1234", [("cache_1.example.com", 1234)]),
        ("MEMCACHED://127.0.0.1:65535/", [("127.0.0.1", 65535)]),
        ("memcached://[::1]:1", [("::1", 1)]),
        ("memcached://[::1]", [("::1", 11211)]),
        ("memcached://a:11211,b:11212", [("a", 11211), ("b", 11212)]),
        ("memcached://a,[fe80::1]:2,c/", [("a", 11211), ("fe80::1", 2), ("c", 11211)]),
    ],
)
def test_the_servers_of_a_url(url: str, servers: list[tuple[str, int]]) -> None:
    client = client_at(url)
    if len(servers) == 1:
        assert client.server == servers[0]
        return
    assert type(client) is pymemcache.HashClient
    assert [each.server for each in client.clients.values()] == servers
    for each in client.clients.values():
        assert type(each) is pymemcache.PooledClient
        assert each.no_delay
        assert 0 < each.timeout < 10 and 0 < each.connect_timeout < 10


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memcached",
        "memcached://",
        "memcached:///",
        "memcached://:11211",
        "memcached://a,",
        "memcached://a,,b",
        "memcached://a:",
        "memcached://a:0",
        "memcached://a:65536",
        "memcached://a:b",
        "memcached://a b",
        "memcached://a/0",
        "memcached://a?timeout=1",
        "memcached://user:secret@a:11211",
        "memcached://a, b",
        "memcached://[::1",
        "memcached://::1:11211",
        "redis://secret@a:11211",
        "a:11211",
        "memcached://a:\u0661\u0661",
    ],
)
def test_what_is_no_url_of_memcached(url: str) -> None:
    with pytest.raises(ValueError, match="memcached://localhost:11211") as caught:
        client_at(url)
    assert "secret" not in str(caught.value)
