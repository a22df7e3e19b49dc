"""What is SQLite's alone: lists of owners, files of the version before, full disks, signals, forks, untrusted files."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import closing
from contextlib import suppress
from pathlib import Path
from types import CodeType
from types import FrameType
from types import SimpleNamespace

import pytest
import time_machine

from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.store import MOVED_TTL
from flask_fastsession.server.store import MovingStore
from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.stores import sqlite
from flask_fastsession.server.stores import sqlite_connections
from flask_fastsession.server.stores.sqlite import SQLiteStore
from flask_fastsession.testing import ListingStoreTests
from flask_fastsession.testing import MovingStoreTests
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import SweepingStoreTests
from tests.faults.support import Ending
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from .load import is_sound
from .load import run_script
from .load import started

LONG = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, HANGS_AFTER)
    yield store
    store.close()


@pytest.mark.usefixtures("fewer_rounds")
class TestKit(ListingStoreTests, MovingStoreTests, OwnerStoreTests, SweepingStoreTests):
    """The kit's tests of all that SQLite does."""

    @pytest.fixture(autouse=True)
    def set_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        monkeypatch.setattr(sqlite, "time", SimpleNamespace(time=lambda: time.time() + self.passed))

    def passes(self, seconds: float) -> None:
        self.passed += seconds

    @pytest.fixture
    def store(self, path: Path) -> Iterator[SQLiteStore]:
        store = SQLiteStore(path, HANGS_AFTER)
        yield store
        store.close()

    @pytest.fixture
    def other_store(self, path: Path, store: SQLiteStore) -> Iterator[SQLiteStore]:
        other = SQLiteStore(path, HANGS_AFTER)
        yield other
        other.close()


# --- Owners and moves -----------------------------------------------------------------------------------------------


@pytest.fixture
def other(path: Path, store: SQLiteStore) -> Iterator[SQLiteStore]:
    """Another process's, as it were."""
    other = SQLiteStore(path, HANGS_AFTER)
    yield other
    other.close()


def test_it_moves_records_and_lists_owners(store: SQLiteStore) -> None:
    assert isinstance(store, MovingStore)
    assert isinstance(store, OwnerStore)


@pytest.mark.parametrize("left", [None, b"\0new"])
def test_a_record_is_moved_and_what_is_listed_of_it_with_it(
    store: SQLiteStore, other: SQLiteStore, left: bytes | None
) -> None:
    store.create("old", b"data", LONG)
    store.enlist("ada", "h.1", "old", LONG, False)
    assert other.move("old", "new", b"data", b"new data", 2 * LONG, left) is True
    # To come with the old id again does not prolong what is left of it.
    assert (store.load("old", LONG), store.load("new")) == (left, b"new data")
    assert store.listed("ada") == [("h.1", "new")]
    assert LONG < (store.expires_in("new") or 0) <= 2 * LONG
    if left is not None:
        assert MOVED_TTL - 10 < (store.expires_in("old") or 0) <= MOVED_TTL
    assert store.move("old", "newer", b"data", b"data", LONG, left) == (left or False)
    assert store.load("newer") is None


def test_a_write_leaves_an_expiry_that_is_about_right(store: SQLiteStore) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        store.create("key", b"data", LONG)
        for passed, ttl, expected in ((40, LONG, LONG - 40), (20, LONG, LONG), (0, 100, 100), (0, LONG, LONG)):
            travelling.shift(passed)
            assert store.replace("key", b"data", b"new", ttl) is True
            assert store.expires_in("key") == expected
            assert store.replace("key", b"new", b"data", ttl) is True
        store.replace("key", b"data", b"data", None)
        assert store.expires_in("key") is None


def test_a_mark_is_not_kept_for_a_shorter_time(store: SQLiteStore) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        store.create("key", b"\0mark", LONG)
        travelling.shift(40)
        assert store.replace("key", b"\0mark", b"\0mark", LONG) is True
        assert store.expires_in("key") == LONG


def test_a_write_changes_no_index(store: SQLiteStore) -> None:
    log = store.path.with_name(f"{store.path.name}-wal")
    store.create("key", b"data", LONG)
    before = log.stat().st_size
    assert store.replace("key", b"data", b"new", LONG) is True
    # One page, after a header of 24 bytes.
    assert log.stat().st_size - before == 24 + 4096


def test_a_record_that_has_changed_is_not_moved(store: SQLiteStore) -> None:
    store.create("old", b"changed", LONG)
    store.enlist("ada", "h.1", "old", LONG, False)
    assert store.move("old", "new", b"data", b"new data", LONG, b"\0new") == b"changed"
    assert (store.load("old"), store.load("new")) == (b"changed", None)
    assert store.listed("ada") == [("h.1", "old")]
    assert store.move("nothing", "new", b"data", b"new data", LONG, b"\0new") is False


def test_no_record_is_moved_to_where_one_is(store: SQLiteStore) -> None:
    store.create("old", b"data", LONG)
    store.create("new", b"other", LONG)
    for left in (None, b"\0new"):
        assert store.move("old", "new", b"data", b"new data", LONG, left) is False
    assert (store.load("old"), store.load("new")) == (b"data", b"other")
    store.load("new", 1)
    time.sleep(1.2)
    assert store.move("old", "new", b"data", b"new data", None, None) is True
    assert (store.load("old"), store.load("new")) == (None, b"new data")


def test_the_owner_lists_a_session_until_it_ends(store: SQLiteStore, other: SQLiteStore) -> None:
    assert store.enlist("ada", "h.1", "key", LONG, True) is False
    assert store.is_listed("ada", "h.1", b"data") is False
    assert store.enlist("ada", "h.1", "key", LONG, False) is True
    assert other.enlist("ada", "h.1", "key", 2 * LONG, True) is True
    assert [other.is_listed(owner, "h.1", b"data") for owner in ("ada", "bob")] == [True, False]
    assert other.enlist("bob", "h.1", "key", LONG, True) is False
    # Bob has logged in where Ada was.
    assert other.enlist("bob", "h.1", "key", LONG, False) is True
    assert [store.is_listed(owner, "h.1", b"data") for owner in ("ada", "bob")] == [False, True]
    assert (store.listed("ada"), store.listed("bob")) == ([], [("h.1", "key")])
    store.unlist("ada", "h.1")
    assert other.is_listed("bob", "h.1", b"data")
    other.unlist("bob", "h.1")
    assert not store.is_listed("bob", "h.1", b"data")
    assert store.enlist("bob", "h.1", "key", LONG, True) is False


def test_a_session_is_ended_by_its_handle(store: SQLiteStore, other: SQLiteStore) -> None:
    for number in (1, 2):
        store.create(f"key {number}", b"data", LONG)
        store.enlist("ada", f"h.{number}", f"key {number}", LONG, False)
    assert [other.end("h.1"), other.end("h.1"), other.end("h.9")] == [True, False, False]
    assert (store.load("key 1"), store.load("key 2")) == (None, b"data")
    assert store.listed("ada") == [("h.2", "key 2")]


def test_all_sessions_of_an_owner_end_but_those_to_keep(store: SQLiteStore, other: SQLiteStore) -> None:
    for number in range(6):
        store.create(f"key {number}", b"data", LONG)
        store.enlist("bob" if number == 5 else "ada", f"h.{number}", f"key {number}", LONG, False)
    assert other.end_all("ada", ["h.0", "h.3", "h.5"]) == 3
    assert [store.load(f"key {number}") for number in range(6)] == [b"data", None, None, b"data", None, b"data"]
    assert sorted(store.listed("ada")) == [("h.0", "key 0"), ("h.3", "key 3")]
    assert [other.end_all("ada"), other.end_all("ada"), other.end_all("nobody")] == [2, 0, 0]
    assert store.listed("bob") == [("h.5", "key 5")]


def test_any_number_of_sessions_is_kept(store: SQLiteStore) -> None:
    store.enlist("ada", "h.1", "key", LONG, False)
    assert store.end_all("ada", {f"h.{number}" for number in range(300_000)}) == 0
    assert store.end_all("ada", frozenset()) == 1


def test_what_is_listed_ends_and_is_swept_out(store: SQLiteStore) -> None:
    for number in range(5):
        store.enlist("ada", f"h.{number}", f"key {number}", 1, False)
    store.enlist("ada", "h.9", "key 9", LONG, False)
    time.sleep(1.2)
    assert store.listed("ada") == [("h.9", "key 9")]
    assert not store.is_listed("ada", "h.1", b"data")
    assert store.enlist("ada", "h.1", "key 1", LONG, True) is False
    assert store.end("h.1") is False
    rows = "SELECT count(*) FROM owners"
    assert store._execute(rows)[0] == [(6,)]
    store.sweep(2)
    assert store._execute(rows)[0] == [(4,)]
    store.shrink()
    assert store._execute(rows)[0] == [(1,)]
    assert store.end_all("ada") == 1


def test_a_request_that_renews_a_session_does_not_know_where_it_has_moved(store: SQLiteStore) -> None:
    store.create("old", b"data", LONG)
    store.enlist("ada", "h.1", "old", LONG, False)
    store.move("old", "new", b"data", b"data", LONG, b"\0new")
    assert store.enlist("ada", "h.1", "old", LONG, True) is True
    assert store.listed("ada") == [("h.1", "new")]
    # A process of the version before moves a session without its entry in the list.
    store.delete("new")
    store.create("newer", b"data", LONG)
    assert store.enlist("ada", "h.1", "newer", LONG, True) is True
    assert store.listed("ada") == [("h.1", "newer")]


def statements(store: SQLiteStore, call: Callable[[], object]) -> list[str]:
    """The statements that a call has SQLite execute, with their parameters in place."""
    (connection,) = store._connections._idle
    found: list[str] = []
    connection.set_trace_callback(found.append)
    call()
    connection.set_trace_callback(None)
    return found


def test_a_read_is_one_statement(store: SQLiteStore) -> None:
    for key in ("bound", "free"):
        store.create(key, b"data", LONG)
    store.enlist("ada", "h.1", "bound", LONG, False)
    assert len(statements(store, lambda: store.load("free", LONG))) == 1

    def read() -> None:
        assert store.is_listed("ada", "h.1", store.load("bound", LONG) or b"")

    # The first one teaches the store that this app binds sessions to users.
    assert [len(statements(store, read)) for _ in range(3)] == [2, 1, 1]
    record = store.load("bound")
    assert record == b"data"
    assert record is not None
    assert not store.is_listed("bob", "h.1", record)
    assert not store.is_listed("ada", "h.2", record)
    assert type(store.load("free")) is bytes


def test_no_statement_looks_through_a_table(store: SQLiteStore) -> None:
    store.load("key")
    found = statements(store, lambda: all_that_is_done(store))
    plans = {
        sql: [row[3] for row in store._execute(f"EXPLAIN QUERY PLAN {sql}")[0]]
        for sql in found
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
    }
    assert len(plans) > 15
    scans = {sql: plan for sql, plan in plans.items() if not all(step.startswith(SEARCHES) for step in plan)}
    assert scans == {}


#: What a plan may consist of. A LIST or a SCALAR SUBQUERY is searched, too.
SEARCHES = ("SEARCH ", "LIST SUBQUERY", "SCALAR SUBQUERY", "CORRELATED SCALAR SUBQUERY")


def all_that_is_done(store: SQLiteStore) -> None:
    store.create("key", b"data", LONG)
    store.load("key", 2 * LONG)
    store.expires_in("key")
    store.replace("key", b"data", b"new", LONG)
    store.replace("key", b"new", None, LONG)
    store.create("key", b"data", LONG)
    log_in(store, 1)
    store.is_listed("owner", "h.1", b"")
    store.load("new 1")
    store.enlist("owner", "h.1", "new 1", LONG, True)
    store.listed("owner")
    store.end("h.1")
    store.end_all("owner")
    store.unlist("owner", "h.1")
    store.delete("key", "other")
    store.sweep(1000)


def log_in(store: SQLiteStore, number: int) -> None:
    """What a login asks of the store: the session of a visitor becomes a user's, and gets another id."""
    store.create(f"key {number}", b"data", LONG)
    store.enlist("owner", f"h.{number}", f"key {number}", LONG, False)
    store.move(f"key {number}", f"new {number}", b"data", b"new", LONG, b"\0new")


def instructions(store: SQLiteStore, call: Callable[[], object]) -> int:
    """How many instructions of SQLite's own machine a call takes."""
    (connection,) = store._connections._idle
    count = [0]

    def step() -> int:
        count[0] += 1
        return 0

    connection.set_progress_handler(step, 1)
    call()
    connection.set_progress_handler(None, 1)
    return count[0]


def test_a_login_costs_as_much_with_very_many_sessions_of_one_user_as_with_ten(store: SQLiteStore) -> None:
    for number in range(10):
        log_in(store, number)
    with_ten = instructions(store, lambda: log_in(store, -1))
    count = scaled(10_000, 100_000)
    store._execute(MANY_SESSIONS, count)
    store._execute(MANY_LISTED, count)
    assert len(store.listed("owner")) == count + 11
    assert instructions(store, lambda: log_in(store, -2)) == with_ten
    (connection,) = store._connections._idle
    pages = connection.execute("PRAGMA cache_size").fetchall()
    assert store.end_all("owner", ["h.1"]) == count + 11
    assert store.listed("owner") == [("h.1", "new 1")]
    assert store._execute("SELECT count(*) FROM sessions WHERE data = CAST('data' AS BLOB)")[0] == [(0,)]
    assert connection.execute("PRAGMA cache_size").fetchall() == pages


MANY_SESSIONS = """
    WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO sessions SELECT 'many ' || n, CAST('data' AS BLOB), unixepoch() + 1000 FROM numbers
"""
MANY_LISTED = """
    WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO owners SELECT 'h.many.' || n, 'owner', 'many ' || n, unixepoch() + 1000 FROM numbers
"""


def test_no_session_escapes_by_moving_while_all_are_ended(store: SQLiteStore, other: SQLiteStore) -> None:
    """A thief moves his session on and on. After the end it is not listed, whatever key it has."""
    for attempt in range(scaled(50, 1_000)):
        key, handle = f"key {attempt}", f"h.{attempt}"
        other.create(key, b"data", LONG)
        other.enlist("ada", handle, key, LONG, False)
        begun = threading.Event()

        def move_on(key: str = key, handle: str = handle, begun: threading.Event = begun) -> str:
            for number in range(1000):
                new_key = f"{key} {number}"
                if other.move(key, new_key, b"data", b"data", LONG, b"\0") is not True:
                    break
                other.enlist("ada", handle, new_key, LONG, True)
                key = new_key
                begun.set()
            return key

        with ThreadPoolExecutor(1) as pool:
            last = pool.submit(move_on)
            begun.wait()
            assert store.end_all("ada") == 1
            key = last.result()
        assert store.listed("ada") == []
        assert not store.is_listed("ada", handle, b"data")
        # The record went with it, as the list knew where it was.
        assert store.load(key) is None


# In a process of its own, which logs a user in without pause.
LOGINS = """
    from tests.server.test_sqlite import *

    store = SQLiteStore(sys.argv[1])
    for number in range(1_000_000):
        log_in(store, number)
        if number == 100:
            print("going on", flush=True)
"""


def test_all_sessions_end_while_another_process_logs_the_user_in_without_pause(path: Path, other: SQLiteStore) -> None:
    with started(LOGINS, path) as process:
        assert process.stdout and process.stdout.readline()
        for _ in range(5):
            before = other.listed("owner")
            assert other.end_all("owner") >= len(before)
            assert not set(before) & set(other.listed("owner"))
            time.sleep(0.1)
        # It did not have to wait for the end of the logins.
        assert process.poll() is None


# --- Processes of the version before --------------------------------------------------------------------------------


class OldStore:
    """What the version before does with a file, statement by statement."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.executescript(
            "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, data BLOB NOT NULL, expires REAL)"
            " WITHOUT ROWID;"
            "CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;"
        )

    def load(self, key: str) -> bytes | None:
        sql = "SELECT data, expires FROM sessions WHERE key = ? AND (expires IS NULL OR expires > ?)"
        row = self.connection.execute(sql, (key, time.time())).fetchone()
        return None if row is None else row[0]

    def create(self, key: str, data: bytes, ttl: int) -> bool:
        now = time.time()
        sql = (
            "INSERT INTO sessions VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET data = ?2, expires = ?3"
            " WHERE expires <= ?4"
        )
        # From Python 3.14 on, these are taken for names.
        values = {str(number): value for number, value in enumerate((key, data, now + ttl, now), 1)}
        return self.connection.execute(sql, values).rowcount == 1

    def replace(self, key: str, old: bytes, new: bytes, ttl: int) -> bool:
        now = time.time()
        sql = (
            "UPDATE sessions SET data = ?, expires = ? WHERE key = ? AND data = ? AND (expires IS NULL OR expires > ?)"
        )
        return self.connection.execute(sql, (new, now + ttl, key, old, now)).rowcount == 1

    def delete(self, key: str) -> None:
        self.connection.execute("DELETE FROM sessions WHERE key IN (?)", (key,))

    def sweep(self) -> int:
        sql = "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)"
        return self.connection.execute(sql, (time.time(), 1000)).rowcount


@pytest.mark.parametrize("is_old_first", [True, False])
def test_processes_of_the_version_before_go_on_with_the_same_file(
    path: Path, store: SQLiteStore, is_old_first: bool
) -> None:
    if not is_old_first:
        store.create("ours", b"data", LONG)
    with closing(OldStore(path).connection) as connection:
        old = OldStore(path)
        assert old.create("theirs", b"data", LONG)
        assert store.load("theirs", LONG) == b"data"
        assert store.create("ours", b"data", LONG) is is_old_first
        assert old.load("ours") == b"data"
        store.enlist("ada", "h.1", "theirs", LONG, False)
        assert store.move("theirs", "moved", b"data", b"more", LONG, b"\0moved") is True
        assert (old.load("theirs"), old.load("moved")) == (b"\0moved", b"more")
        assert old.replace("moved", b"more", b"most", LONG)
        assert store.replace("moved", b"more", b"other", LONG) == b"most"
        old.delete("moved")
        assert store.load("moved") is None
        assert store.is_listed("ada", "h.1", b"most")
        assert store.end_all("ada") == 1
        assert old.sweep() == 0
        assert not old.create("ours", b"again", LONG)
        old.connection.close()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Each notes in sessions of its own, and says so once it is done; one by the old statements, and one by ours.
NOTES = """
    from tests.server.test_sqlite import *

    path, name = Path(sys.argv[1]), sys.argv[2]
    store = OldStore(path) if name.startswith("old") else SQLiteStore(path, timeout=60)
    if isinstance(store, OldStore):
        store.connection.execute("PRAGMA busy_timeout = 60000")
    for number in range(1_000_000):
        key = f"{name} {number}"
        assert store.create(key, b"data", LONG)
        if isinstance(store, OldStore):
            assert store.replace(key, b"data", b"new", LONG)
        else:
            store.enlist("owner", f"h.{key}", key, LONG, False)
            assert store.move(key, f"new {key}", b"data", b"new", LONG, b"\\0new " + key.encode()) is True
        print(number, flush=True)
"""


def test_old_and_new_processes_that_are_killed_while_they_write_one_file(path: Path, other: SQLiteStore) -> None:
    other.load("key")
    for attempt in range(scaled(3, 50)):
        with ExitStack() as stack:
            names = [f"{kind} {attempt}" for kind in ("old", "new")]
            processes = [stack.enter_context(started(NOTES, path, name)) for name in names]
            outputs = [t.cast(t.Any, process.stdout) for process in processes]
            firsts = [output.readline() for output in outputs]
            time.sleep(0.2)
            for process in processes:
                process.kill()
            # A line may have been cut off.
            done = [int((first + output.read()).split("\n")[-2]) for first, output in zip(firsts, outputs, strict=True)]
        old, new = names
        assert all(other.load(f"{old} {number}") == b"new" for number in range(done[0] + 1))
        listed = dict(other.listed("owner"))
        for number in range(done[1] + 1):
            assert other.load(f"new {new} {number}") == b"new"
            assert listed[f"h.{new} {number}"] == f"new {new} {number}"
        # What was under way is done or not.
        last = f"{new} {done[1] + 1}"
        assert (other.load(last) == b"data") + (other.load(f"new {last}") == b"new") <= 1
        assert other.end_all("owner") == len(listed)
    assert is_sound(path)


def test_a_file_of_the_version_before_is_its_owners_already(path: Path, store: SQLiteStore) -> None:
    old = OldStore(path)
    old.create("key", b"data", LONG)
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    assert store.load("key") == b"data"
    old.connection.close()


# --- A signal's exception at any instruction ------------------------------------------------------------------------


class Interrupt(Exception):
    """What a handler of a signal raises, as ``signal.alarm`` has it raised at any moment."""


class TimedOut(TimeoutError):
    """The same, and an OSError as well."""


class Interruption:
    """Raises an exception before the so-many-th instruction of Python, in whatever function that is."""

    def __init__(self, number: int, error: type[Exception] = Interrupt) -> None:
        self.left = number
        self.error = error
        self.is_reached = False
        #: Where it was raised: the names of the functions.
        self.places: list[str] = []

    def during(self, call: Callable[[], object]) -> object:
        # What other tests have left is not destroyed meanwhile, where an exception is raised for nobody.
        gc.disable()
        try:
            return self.during_monitored(call) if sys.version_info >= (3, 12) else self.during_traced(call)
        finally:
            gc.enable()

    def during_traced(self, call: Callable[[], object]) -> object:
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def trace(self, frame: FrameType, event: str, argument: object) -> t.Any:
        if is_left_alone(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.count(frame)
        return self.trace

    def count(self, frame: FrameType) -> None:
        self.left -= 1
        if self.left == 0:
            self.is_reached = True
            self.places = names_of(frame)
            raise self.error

    def during_monitored(self, call: Callable[[], object]) -> object:
        # There a trace function is not told of all instructions.
        monitoring, tool, thread = t.cast(t.Any, sys).monitoring, 4, threading.get_ident()

        def instruction(code: CodeType, offset: int) -> None:
            if threading.get_ident() == thread and self.left > 0 and not is_left_alone(code):
                self.count(sys._getframe(1))

        monitoring.use_tool_id(tool, "interruption")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            return call()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)


def is_left_alone(code: CodeType) -> bool:
    """Whether code is of the test itself, or of logging, which would keep its lock if it was interrupted."""
    own = (Interruption.during.__code__, Interruption.during_monitored.__code__, Interruption.during_traced.__code__)
    return code in own or code.co_filename == logging.__file__


def names_of(frame: FrameType | None) -> list[str]:
    return [] if frame is None else [frame.f_code.co_name, *names_of(frame.f_back)]


def seen_by_another_thread(look: Callable[[], t.Any]) -> t.Any:
    found: list[t.Any] = []
    thread = threading.Thread(target=lambda: found.append(look()))
    thread.start()
    thread.join()
    return found[0]


def nothing_is_left_behind(works: Callable[[], bool] = lambda: True) -> bool:
    """Whether another thread could fork at once, make a file, and do something else."""

    def look() -> bool:
        is_free = sqlite_connections.MAKING.acquire(blocking=False)
        if is_free:
            sqlite_connections.MAKING.release()
        return is_free and not sqlite_connections.leased_to_others() and not sqlite_connections.FORKS and works()

    return bool(seen_by_another_thread(look))


def open_connections() -> int:
    return sum(is_open(each) for each in list(sqlite_connections.CONNECTIONS))


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1").fetchall()
    except sqlite3.ProgrammingError:
        return False
    return True


class Calls:
    """A store in a folder of its own, prepared for each call that is interrupted."""

    def __init__(self, folder: Path) -> None:
        # What is older is not looked through again and again.
        gc.collect()
        gc.freeze()
        self.path = folder / "sessions.sqlite"
        self.store = SQLiteStore(self.path, timeout=0)
        self.other: sqlite3.Connection | None = None

    def prepare(self) -> None:
        self.store._execute("PRAGMA query_only = 0")
        self.store.delete("key", "new key", "b")
        self.store.create("key", b"data", LONG)
        for handle in ("h.1", "h.2"):
            self.store.enlist("owner", handle, "key", LONG, False)

    def prepare_connecting(self) -> None:
        self.prepare()
        self.store.close()

    def prepare_making(self) -> None:
        self.store.close()
        for each in self.path.parent.iterdir():
            each.unlink()

    def prepare_lock(self) -> None:
        if self.other is None:
            self.prepare()
            self.other = sqlite3.connect(self.path, isolation_level=None)
            self.other.execute("BEGIN IMMEDIATE")

    def prepare_full(self) -> None:
        self.prepare()
        ((pages,),), _ = self.store._execute("PRAGMA page_count")
        self.store._execute(f"PRAGMA max_page_count = {pages}")

    def prepare_read_only(self) -> None:
        self.prepare()
        self.store._execute("PRAGMA query_only = 1")

    def check_state(self) -> None:
        """What is one step is done or not."""
        if self.is_locked or not self.path.exists():
            return
        found = [self.store.load(key) for key in ("key", "new key")]
        listed = dict(self.store.listed("owner"))
        match found:
            case [b"\0new key", b"new"]:
                assert listed == {"h.1": "new key", "h.2": "new key"}
            case [None, None]:
                assert listed in ({}, {"h.2": "key"})
            case _:
                assert found in ([b"data", None], [b"new", None])
                assert listed in ({"h.1": "key", "h.2": "key"}, {})

    @property
    def is_locked(self) -> bool:
        return self.other is not None

    def release(self) -> None:
        if self.other is not None:
            self.other.close()
            self.other = None


#: What is done before, and what is interrupted.
CallsByName: t.TypeAlias = "dict[str, tuple[Callable[[Calls], object], Callable[[SQLiteStore], object]]]"

INTERRUPTED: CallsByName = {
    "load": (Calls.prepare, lambda store: store.load("key")),
    "load and prolong": (Calls.prepare, lambda store: store.load("key", 2 * LONG)),
    "create": (Calls.prepare, lambda store: store.create("b", b"data", LONG)),
    "replace": (Calls.prepare, lambda store: store.replace("key", b"data", b"new", LONG)),
    "replace in vain": (Calls.prepare, lambda store: store.replace("key", b"other", b"new", LONG)),
    "move": (Calls.prepare, lambda store: store.move("key", "new key", b"data", b"new", LONG, b"\0new key")),
    "is_listed": (Calls.prepare, lambda store: store.is_listed("owner", "h.1", store.load("key") or b"")),
    "end_all": (Calls.prepare, lambda store: store.end_all("owner", ["h.2"])),
    "connecting": (Calls.prepare_connecting, lambda store: store.load("key")),
    "making the file": (Calls.prepare_making, lambda store: store.create("key", b"data", LONG)),
    "close": (Calls.prepare, lambda store: store.close()),
}

#: Python does not raise what is raised in a destructor or by the end of a weak reference, nor pathlib an OSError.
NOT_RAISED = {"__del__", "_remove", "mkdir"}

#: What is alike in all of them, or long, is tried at some of its instructions only in the slice of the tests.
STEPS = {
    "load": 2,
    "move": 3,
    "connecting": 29,
    "making the file": 61,
    "create on a full disk": 11,
    "create in a read-only file": 61,
}
OTHER_STEP = 7

#: The same where another process has locked the database, or a disk is full.
FAILING: CallsByName = {
    "create": (Calls.prepare_lock, lambda store: store.create("b", b"data", LONG)),
    "end_all": (Calls.prepare_lock, lambda store: store.end_all("owner", ["h.2"])),
    "load and prolong": (Calls.prepare_lock, lambda store: store.load("key", 2 * LONG)),
    "create on a full disk": (Calls.prepare_full, lambda store: store.create("b", b"data" * 100_000, LONG)),
    "create in a read-only file": (Calls.prepare_read_only, lambda store: store.create("b", b"data", LONG)),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_exception_at_any_instruction_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(tmp_path, name, INTERRUPTED, Interrupt) > 20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["load", "connecting", "making the file"])
def test_an_exception_that_could_be_the_systems_is_not_taken_for_one(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(tmp_path, name, INTERRUPTED, TimedOut) > 20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FAILING)
def test_nor_does_one_in_the_course_of_a_failure(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(tmp_path, name, FAILING, Interrupt) > 20


def interrupted_everywhere(folder: Path, name: str, calls: CallsByName, error: type[Exception]) -> int:
    """Interrupt a call at each of its instructions, or some, and return the number of the last one."""
    # Where an exception comes at the end of a clause that handles another, the thread believes to be in it for ever.
    with ThreadPoolExecutor(1) as pool:
        step = scaled(STEPS.get(name, OTHER_STEP), 1)
        return pool.submit(interrupted_in_turn, Calls(folder), *calls[name], error, step).result()


def interrupted_in_turn(
    calls: Calls,
    prepare: Callable[[Calls], object],
    call: Callable[[SQLiteStore], object],
    error: type[Exception],
    step: int,
) -> int:
    store = calls.store
    # Others each time.
    number, last = -random.randrange(step), 0
    while True:
        number += step
        prepare(calls)
        interruption = Interruption(number, error)
        try:
            interruption.during(lambda: call(store))
        except error:
            # While it is dealt with, its frames and all they know are still there.
            assert nothing_is_left_behind(), number
        except SessionStoreError:
            assert not interruption.is_reached or NOT_RAISED & set(interruption.places), number
        else:
            assert not interruption.is_reached or NOT_RAISED & set(interruption.places), number
        # What is not closed is idle, and works for other threads as well.
        idle = store._connections._idle
        if open_connections() != len(idle):
            gc.collect()
        assert open_connections() == sum(map(is_open, idle)) <= 1, number
        assert nothing_is_left_behind(lambda: calls.is_locked or store.load("no key") is None), number
        assert open_connections() <= 1, number
        calls.check_state()
        if not interruption.is_reached:
            store.close()
            calls.release()
            gc.unfreeze()
            print(f"{last} instructions")
            return last
        last = number


# In a process of its own, as the fork itself is interrupted, and the child has to count what it has inherited.
INTERRUPTED_FORKS = """
    from tests.server.test_sqlite import *

    # What is left behind by an interruption makes the next fork wait as long as this store may.
    store = SQLiteStore(sys.argv[1], HANGS_AFTER)
    sys.unraisablehook = lambda raised: None
    parent = os.getpid()

    def fork_and_count():
        process = os.fork()
        if not process:
            interruption.left = 0
            os._exit(open_connections() + len(sqlite_connections.FORKS) + len(sqlite_connections.LEASES))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0

    reached, number = True, 0
    while reached:
        number += int(sys.argv[2])
        store.create(f"key {number}", b"data", None)
        interruption = Interruption(number)
        with suppress(Interrupt):
            interruption.during(fork_and_count)
        if os.getpid() != parent:
            # The child was interrupted.
            os._exit(0)
        assert nothing_is_left_behind(lambda: store.load(f"key {number}") == b"data"), number
        reached = interruption.is_reached
    print(number > 100)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_an_exception_at_any_instruction_of_a_fork(path: Path) -> None:
    assert run_script(INTERRUPTED_FORKS, path, scaled(7, 1)) == Ending("exit 0", "True\n")


# Signals come as they like, also where the one before is still dealt with. Only what is called of the store is
# interrupted by them, not the test itself.
STORM = """
    import random
    from tests.server.test_sqlite import *
    from flask_fastsession.server.stores import sqlite

    FILES = {sqlite.__file__, sqlite_connections.__file__}
    # What is left behind by a signal makes the next fork wait as long as this store may.
    store = SQLiteStore(sys.argv[1], HANGS_AFTER)
    store.create("key", b"0", None)
    count, confirmed, is_quiet = 0, 0, False

    def interrupt(number, frame):
        global count
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0005))
        while frame is not None and not is_quiet:
            if frame.f_code.co_filename in FILES:
                count += 1
                raise Interrupt
            frame = frame.f_back

    def visit():
        global confirmed
        store.load("key", LONG)
        store.enlist("owner", "h.1", "key", LONG, False)
        if store.replace("key", b"%d" % confirmed, b"%d" % (confirmed + 1), None) is True:
            confirmed += 1

    def check():
        process = os.fork()
        if not process:
            os._exit(open_connections())
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    ends = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < ends or count <= 100:
        for _ in range(50):
            with suppress(Interrupt):
                visit()
            is_quiet = True
            found = int(store.load("key"))
            assert found in (confirmed, confirmed + 1), (found, confirmed)
            confirmed, is_quiet = found, False
        is_quiet = True
        check()
        is_quiet = False
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    sys.stderr.write(f"{count} interrupted, {confirmed} confirmed\\n")
    gc.collect()
    assert nothing_is_left_behind()
    store.load("key")
    print(open_connections())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_storm_of_signals(path: Path) -> None:
    seconds = scaled(3, 60)
    assert run_script(STORM, path, seconds, timeout=HANGS_AFTER + seconds) == Ending("exit 0", "1\n")


# --- Full disks and read-only files ---------------------------------------------------------------------------------


class Disk:
    """A file system of its own, which is small."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "sessions.sqlite"
        self.filler = folder / "filler"

    def fill(self) -> None:
        with open(self.filler, "wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass

    def make_room(self) -> None:
        self.filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NOT TESTED: a full disk and a read-only one, as this user may not mount a tmpfs ({error})")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


#: More than there is room for.
BIG = b"x" * 100_000


def filled(store: SQLiteStore) -> None:
    for number in range(20):
        store.create(f"key {number}", b"data %d" % number, LONG)
    store.enlist("ada", "h.1", "key 1", LONG, False)
    store.is_listed("ada", "h.1", b"")


def is_read(store: SQLiteStore) -> bool:
    """Whether all is there that was confirmed before the disk was full."""
    # With a longer life, too, though that cannot be stored.
    found = [store.load(f"key {number}", 2 * LONG if number % 2 else None) for number in range(20)]
    assert store.load("no key") is None
    return found == [b"data %d" % number for number in range(20)] and store.is_listed("ada", "h.1", found[1] or b"")


def cannot_be_written(store: SQLiteStore) -> bool:
    with pytest.raises(SessionStoreError):
        store.create("big", BIG, LONG)
    return True


def is_written(store: SQLiteStore) -> bool:
    """Whether the first room is used: nothing fails any more, and a logout is one."""
    assert store.create("big", BIG, LONG) is True
    assert store.end_all("ada") == 1
    assert not store.is_listed("ada", "h.1", b"")
    assert store.load("key 1") is None
    return store.replace("key 2", b"data 2", b"new", LONG) is True


def test_a_full_disk_under_an_open_connection(disk: Disk) -> None:
    store = SQLiteStore(disk.path)
    filled(store)
    disk.fill()
    (connection,) = store._connections._idle
    for _ in range(3):
        assert is_read(store)
        assert cannot_be_written(store)
        with pytest.raises(SessionStoreError, match="full"):
            store.end_all("ada")
        with pytest.raises(SessionStoreError, match="full"):
            store.end("h.1")
    # It has done nothing wrong.
    assert store._connections._idle == [connection]
    disk.make_room()
    assert is_written(store)
    store.close()


def test_a_full_disk_on_which_there_is_room_in_the_log(disk: Disk) -> None:
    store = SQLiteStore(disk.path)
    filled(store)
    for _ in range(3):
        store.replace("key 2", store.load("key 2") or b"", BIG[:20_000], LONG)
        store.replace("key 2", BIG[:20_000], b"data 2", LONG)
    # What is in the log by now has its place in the database as well. Later it has to be moved there again and again.
    store._execute("PRAGMA wal_checkpoint")
    disk.fill()
    for _ in range(200):
        assert store.replace("key 2", b"data 2", b"data 2", LONG) is True
    assert is_read(store)
    disk.make_room()
    assert is_written(store)
    store.close()


@pytest.mark.parametrize("other_is_open", [True, False])
def test_a_first_connection_on_a_full_disk(disk: Disk, other_is_open: bool) -> None:
    other = SQLiteStore(disk.path)
    filled(other)
    if not other_is_open:
        other.close()
    disk.fill()
    store = SQLiteStore(disk.path)
    for _ in range(3):
        assert is_read(store)
        assert cannot_be_written(store)
    disk.make_room()
    assert is_written(store)
    assert other.load("big") == BIG
    store.close()
    other.close()


def test_a_fork_on_a_full_disk(disk: Disk) -> None:
    store = SQLiteStore(disk.path)
    filled(store)
    disk.fill()
    process = os.fork()
    if not process:
        status = 1
        with suppress(BaseException):
            status = 0 if is_read(store) and cannot_be_written(store) else 1
        os._exit(status)
    assert is_read(store)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    disk.make_room()
    assert is_written(store)
    store.close()


def test_a_file_that_was_made_on_a_full_disk(disk: Disk) -> None:
    disk.fill()
    store = SQLiteStore(disk.path)
    for _ in range(2):
        with pytest.raises(SessionStoreError):
            store.load("key")
        assert cannot_be_written(store)
    disk.make_room()
    filled(store)
    assert is_read(store)
    assert is_written(store)
    store.close()


@pytest.mark.parametrize("is_open", [True, False])
def test_a_file_of_the_version_before_on_a_full_disk(disk: Disk, is_open: bool) -> None:
    old = OldStore(disk.path)
    for number in range(20):
        old.create(f"key {number}", b"data %d" % number, LONG)
    if not is_open:
        old.connection.close()
    disk.fill()
    store = SQLiteStore(disk.path)
    for _ in range(2):
        assert [store.load(f"key {number}", 2 * LONG) for number in range(20)] == [b"data %d" % n for n in range(20)]
        assert cannot_be_written(store)
        for call in (
            lambda: store.enlist("ada", "h.1", "key 1", LONG, False),
            lambda: store.is_listed("ada", "h.1", b""),
            lambda: store.listed("ada"),
        ):
            with pytest.raises(SessionStoreError):
                call()
    disk.make_room()
    assert store.listed("ada") == []
    assert store.enlist("ada", "h.1", "key 1", LONG, False) is True
    assert is_read(store)
    assert is_written(store)
    store.close()
    old.connection.close()


def test_a_read_only_disk(disk: Disk) -> None:
    store = SQLiteStore(disk.path)
    filled(store)
    store.close()
    disk.remount("ro")
    for _ in range(3):
        assert is_read(store)
        assert cannot_be_written(store)
        with pytest.raises(SessionStoreError):
            store.end_all("ada")
    disk.remount("rw")
    assert is_written(store)
    assert is_read(store) is False
    store.close()


def test_a_file_without_room_for_more_pages(store: SQLiteStore) -> None:
    filled(store)
    ((pages,),), _ = store._execute("PRAGMA page_count")
    store._execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        assert is_read(store)
        assert cannot_be_written(store)
    # What needs no page is done.
    assert store.replace("key 2", b"data 2", b"data 2", LONG) is True
    store._execute("PRAGMA max_page_count = 1000000")
    assert is_written(store)


# The limit is on each file, and what is written beyond fails, though not with the words of a disk that is full.
LIMITED = """
    import resource
    from tests.server.test_sqlite import *

    def allow(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    path, is_new = Path(sys.argv[1]), sys.argv[2] == "True"
    store = SQLiteStore(path)
    filled(store)
    if is_new:
        store.close()
    # An index of the log has 32 KB.
    allow(33_000 if is_new else Path(f"{path}-wal").stat().st_size)
    for _ in range(3):
        assert is_read(store)
        assert cannot_be_written(store)
    allow(resource.RLIM_INFINITY)
    assert is_written(store)
    store.close()
"""


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.skipif(sys.platform == "win32", reason="files have no limits")
def test_a_file_that_has_reached_its_limit(path: Path, is_new: bool) -> None:
    assert run_script(LIMITED, path, is_new) == Ending("exit 0", "")


def test_a_log_that_belongs_to_a_file_is_never_left_out(disk: Disk) -> None:
    """An end may be in it. Where there is no room for its index, the file is not read at all."""
    store = SQLiteStore(disk.path)
    filled(store)
    store.close()
    process = os.fork()
    if not process:
        store.delete("key 3")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert disk.path.with_name("sessions.sqlite-wal").stat().st_size
    disk.path.with_name("sessions.sqlite-shm").unlink()
    disk.fill()
    with pytest.raises(SessionStoreError):
        store.load("key 3")
    disk.make_room()
    assert (store.load("key 3"), store.load("key 4")) == (None, b"data 4")
    store.close()


# --- Files of others ------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="files have no owners")


def reason(store: SQLiteStore) -> str:
    """Why a store cannot be used, for reading or for writing."""
    with pytest.raises(SessionStoreError) as read:
        store.load("key")
    with pytest.raises(SessionStoreError) as written:
        store.create("key", b"data", LONG)
    assert str(read.value) == str(written.value)
    return str(read.value)


@pytest.mark.parametrize("is_dangling", [True, False])
@posix
def test_a_link_is_not_followed(path: Path, store: SQLiteStore, is_dangling: bool) -> None:
    target = path.with_name("elsewhere.sqlite")
    if not is_dangling:
        SQLiteStore(target).create("key", b"planted", LONG)
    path.symlink_to(target)
    assert "symbolic link" in reason(store)
    assert target.exists() is not is_dangling
    path.unlink()
    assert store.create("key", b"data", LONG) is True


@posix
def test_a_file_that_is_replaced_by_a_link_while_it_is_in_use(path: Path, store: SQLiteStore) -> None:
    store.create("key", b"data", LONG)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert "symbolic link" in reason(store)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("mode", [0o666, 0o640, 0o601])
@posix
def test_a_file_that_is_accessible_to_others_is_refused(path: Path, store: SQLiteStore, suffix: str, mode: int) -> None:
    if suffix:
        store.create("key", b"data", LONG)
        store.close()
    planted = Path(f"{path}{suffix}")
    planted.touch()
    planted.chmod(mode)
    size = planted.stat().st_size
    assert f"mode {mode:o}" in reason(store)
    assert f"chmod 600 {planted.name}" in reason(store)
    assert planted.stat().st_size == size
    planted.chmod(0o600)
    assert store.create("key", b"data", LONG) is not bool(suffix)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_file_of_another_user_is_refused(path: Path, store: SQLiteStore, suffix: str) -> None:
    store.create("key", b"data", LONG)
    store.close()
    planted = Path(f"{path}{suffix}")
    planted.touch(0o600)
    os.chown(planted, 65534, 65534)
    assert "belongs to the user 65534" in reason(store)
    assert f"chown 0 {planted.name}" in reason(store)
    os.chown(planted, 0, 0)
    assert store.load("key") == b"data"


@pytest.mark.parametrize("suffix", ["", "-wal"])
@posix
def test_what_is_no_file_is_refused(path: Path, store: SQLiteStore, suffix: str) -> None:
    os.mkfifo(f"{path}{suffix}")
    assert "not a regular file" in reason(store)
    os.unlink(f"{path}{suffix}")
    os.mkdir(f"{path}{suffix}")
    assert "not a regular file" in reason(store)


class Swapping:
    """Puts something else in the place of a file just before SQLite opens it, and back after that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], after: Callable[[], object]):
        self.connect = sqlite3.connect
        self.before = before
        self.after = after
        self.is_called = False
        monkeypatch.setattr(sqlite3, "connect", self)

    def __call__(self, *args: t.Any, **options: t.Any) -> t.Any:
        if self.is_called:
            return self.connect(*args, **options)
        self.is_called = True
        self.before()
        try:
            return self.connect(*args, **options)
        finally:
            self.after()


@pytest.mark.parametrize("is_restored", [True, False])
@posix
def test_a_file_that_is_swapped_for_a_link_while_it_is_opened(
    path: Path, store: SQLiteStore, is_restored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, aside = path.with_name("planted.sqlite"), path.with_name("aside")
    SQLiteStore(target).create("key", b"planted", LONG)
    store.create("key", b"data", LONG)
    store.close()

    def swap() -> None:
        path.rename(aside)
        path.symlink_to(target)

    def restore() -> None:
        if is_restored:
            path.unlink()
            aside.rename(path)

    swapping = Swapping(monkeypatch, swap, restore)
    if is_restored:
        assert store.load("key") == b"data"
    else:
        with pytest.raises(SessionStoreError, match="symbolic link"):
            store.load("key")
    assert swapping.is_called


@posix
def test_nothing_is_written_through_such_a_link(
    path: Path, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("target.sqlite")
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("CREATE TABLE theirs (data)")
    before = target.read_bytes()
    store.create("key", b"data", LONG)
    store.close()

    def swap() -> None:
        path.unlink()
        path.symlink_to(target)

    Swapping(monkeypatch, swap, lambda: None)
    with pytest.raises(SessionStoreError, match="symbolic link"):
        store.create("other", b"data", LONG)
    assert target.read_bytes() == before
    assert not Path(f"{target}-wal").exists()


@posix
def test_a_log_of_another_user_that_appears_while_the_file_is_opened(
    path: Path, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wal, kept = Path(f"{path}-wal"), path.with_name("kept")
    store.load("key")
    store.close()

    def plant() -> None:
        # SQLite sees to the mode of one that is empty.
        wal.write_bytes(b"x" * 100)
        wal.chmod(0o666)
        # It is deleted once it is of no more use.
        os.link(wal, kept)

    Swapping(monkeypatch, plant, lambda: None)
    with pytest.raises(SessionStoreError, match="accessible to other users"):
        store.create("key", b"secret", LONG)
    assert b"secret" not in kept.read_bytes()


@posix
def test_files_are_made_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SQLiteStore(tmp_path / "new" / "sessions.sqlite")
        store.create("key", b"data", LONG)
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "new").iterdir()} == {0o600}
    assert not (tmp_path / "new").stat().st_mode & 0o002
    store.close()


@pytest.mark.parametrize(("mode", "is_warned"), [(0o777, True), (0o1777, False), (0o775, False)])
@posix
def test_a_directory_where_anybody_may_replace_files(
    path: Path, store: SQLiteStore, mode: int, is_warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.chmod(mode)
    for _ in range(2):
        store.load("key")
        store.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * is_warned
    assert ("chmod o-w" in caplog.text) is is_warned


@posix
def test_a_link_in_the_path_of_the_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    store = SQLiteStore(tmp_path / "link" / "sessions.sqlite")
    store.create("key", b"data", LONG)
    assert (tmp_path / "real" / "sessions.sqlite").exists()
    store.close()


@pytest.mark.parametrize(
    "name", ["a b?c#d%20.sqlite", "\u00e9\U0001f512.sqlite", "-wal", "file:x?mode=memory", "\udcff"]
)
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with suppress(OSError):
        (tmp_path / name).touch(0o600)
    if not (tmp_path / name).exists():
        pytest.skip("not on this file system")
    (tmp_path / name).unlink()
    store = SQLiteStore(tmp_path / name)
    store.create("key", b"data", LONG)
    assert {each.name for each in tmp_path.iterdir()} == {name, f"{name}-wal", f"{name}-shm"}
    store.close()
