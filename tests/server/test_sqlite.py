"""What is SQLite's alone: lists of owners, files of the version before, full disks, signals, forks, untrusted files."""

from __future__ import annotations

import errno
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.store import MOVED_TTL
from flask_fastsession.server.store import MovingStore
from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.stores import sqlite_connections
from flask_fastsession.server.stores.sqlite import SQLiteStore

LONG = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, timeout=0.2)
    yield store
    store.close()


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
        self.place = ""

    def during(self, call: Callable[[], object]) -> object:
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def trace(self, frame: FrameType, event: str, argument: object) -> t.Any:
        if frame.f_code is Interruption.during.__code__:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.is_reached = True
                self.place = frame.f_code.co_name
                raise self.error
        return self.trace


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


INTERRUPTED: dict[str, tuple[Callable[[Calls], object], Callable[[SQLiteStore], object]]] = {
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

#: The same where another process has locked the database, or a disk is full.
FAILING: dict[str, tuple[Callable[[Calls], object], Callable[[SQLiteStore], object]]] = {
    "create": (Calls.prepare_lock, lambda store: store.create("b", b"data", LONG)),
    "end_all": (Calls.prepare_lock, lambda store: store.end_all("owner", ["h.2"])),
    "load and prolong": (Calls.prepare_lock, lambda store: store.load("key", 2 * LONG)),
    "create on a full disk": (Calls.prepare_full, lambda store: store.create("b", b"data" * 100_000, LONG)),
    "create in a read-only file": (Calls.prepare_read_only, lambda store: store.create("b", b"data", LONG)),
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_exception_at_any_instruction_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(Calls(tmp_path), *INTERRUPTED[name], Interrupt) > 20


@pytest.mark.parametrize("name", ["load", "connecting", "making the file"])
def test_an_exception_that_could_be_the_systems_is_not_taken_for_one(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(Calls(tmp_path), *INTERRUPTED[name], TimedOut) > 20


@pytest.mark.parametrize("name", FAILING)
def test_nor_does_one_in_the_course_of_a_failure(tmp_path: Path, name: str) -> None:
    assert interrupted_everywhere(Calls(tmp_path), *FAILING[name], Interrupt) > 20


def interrupted_everywhere(
    calls: Calls,
    prepare: Callable[[Calls], object],
    call: Callable[[SQLiteStore], object],
    error: type[Exception],
) -> int:
    """Interrupt a call at each of its instructions, and return how many it has."""
    store = calls.store
    number = 0
    while True:
        number += 1
        prepare(calls)
        interruption = Interruption(number, error)
        try:
            interruption.during(lambda: call(store))
        except error:
            # While it is dealt with, its frames and all they know are still there.
            assert nothing_is_left_behind(), number
        except SessionStoreError:
            assert not interruption.is_reached, number
        else:
            # Python does not raise what is raised in a destructor, nor pathlib an OSError of others.
            assert not interruption.is_reached or interruption.place in ("__del__", "mkdir"), number
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
            return number - 1
