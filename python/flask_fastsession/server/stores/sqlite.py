"""Sessions in an SQLite file, shared by all processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import typing as t
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..store import SessionStoreError

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, data BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
"""

#: What is alive at a time given as parameter.
ALIVE = "(expires IS NULL OR expires > ?)"

LOAD = f"SELECT data, expires FROM sessions WHERE key = ? AND {ALIVE}"
REPLACE = f"UPDATE sessions SET data = ?, expires = ? WHERE key = ? AND data = ? AND {ALIVE}"

#: A record is not touched before this share of its life has passed: reading is to cost no writing.
UNTOUCHED_SHARE = 0.05

#: So many keys are dealt with in one statement.
AT_ONCE = 500


class SQLiteStore:
    """Keeps sessions in a file, in WAL mode, with one short transaction for each change.

    ``timeout`` is how long, in seconds, a change waits for those of others before it is a :exc:`SessionStoreError`. The
    file is made at first use, readable by its owner alone. It has to be on a local disk.
    """

    def __init__(self, path: str | os.PathLike[str], timeout: float = 5.0) -> None:
        self.path = Path(path)
        # What is looked at for each statement is not to be made of a Path each time.
        self._path = str(path)
        self.timeout = timeout
        self._idle: list[Connection] = []
        self._in_use = 0
        self._is_forking = False
        # Taken directly where nobody is woken: the condition's own methods are Python code.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        with FORKING:
            STORES.add(self)

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        now = time.time()
        rows, _ = self._execute(LOAD, key, now)
        if not rows:
            return None
        ((data, expires),) = rows
        if ttl is not None and (expires is None or not ttl * (1 - UNTOUCHED_SHARE) <= expires - now <= ttl + 1):
            # Where that fails, as it does while somebody else writes for long, what was read is right all the same.
            with suppress(SessionStoreError):
                self._execute(f"UPDATE sessions SET expires = ? WHERE key = ? AND {ALIVE}", now + ttl, key, now)
        return data if isinstance(data, bytes) else b""

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        now = time.time()
        # One that has expired is as good as none.
        _, count = self._execute(
            "INSERT INTO sessions VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET data = ?2, expires = ?3"
            " WHERE expires <= ?4",
            key,
            data,
            end_of(ttl, now),
            now,
        )
        return count == 1

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        now = time.time()
        if new is None:
            _, count = self._execute(f"DELETE FROM sessions WHERE key = ? AND data = ? AND {ALIVE}", key, old, now)
        else:
            _, count = self._execute(REPLACE, new, end_of(ttl, now), key, old, now)
        if count:
            return True
        return self.load(key) or False

    def delete(self, *keys: str) -> None:
        for first in range(0, len(keys), AT_ONCE):
            some = keys[first : first + AT_ONCE]
            marks = ", ".join("?" * len(some))
            self._execute(f"DELETE FROM sessions WHERE key IN ({marks})", *some)

    def expires_in(self, key: str) -> int | None:
        now = time.time()
        rows, _ = self._execute(f"SELECT expires FROM sessions WHERE key = ? AND {ALIVE}", key, now)
        ((expires,),) = rows or [(None,)]
        return None if expires is None else int(expires - now)

    def sweep(self, limit: int) -> int:
        _, count = self._execute(
            "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)",
            time.time(),
            limit,
        )
        return count

    def shrink(self) -> None:
        """Give back to the file system what the file has no more need of, page by page: nobody waits for long."""
        ((pages,),), _ = self._execute("PRAGMA freelist_count")
        for _ in range(pages):
            self._execute("PRAGMA incremental_vacuum(1)")
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # --- Connections ------------------------------------------------------------------------------------------------

    def _execute(self, sql: str, *parameters: object) -> tuple[list[t.Any], int]:
        """The rows that a statement gives, and how many it has changed."""
        connection = self._take()
        try:
            if connection is None:
                connection = self._connect()
            cursor = connection.execute(sql, parameters)
            answer = cursor.fetchall(), cursor.rowcount
        except BaseException as error:
            self._give_back(None)
            if connection is not None:
                connection.close()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise SessionStoreError(f"the session store {self.path.name} failed: {error}") from error
            raise
        self._give_back(connection)
        return answer

    def _take(self) -> Connection | None:
        with self._lock:
            if self._is_forking:
                self._changed.wait_for(lambda: not self._is_forking)
            self._in_use += 1
            connection = self._idle.pop() if self._idle else None
        if connection is None or connection.file == file_at(self._path):
            return connection
        # Somebody has deleted the file or put another in its place.
        connection.close()
        return None

    def _give_back(self, connection: Connection | None) -> None:
        with self._lock:
            self._in_use -= 1
            if connection is not None:
                self._idle.append(connection)
            if self._is_forking and not self._in_use:
                self._changed.notify_all()

    def _connect(self) -> Connection:
        self._make_file()
        # One thread at a time has it, not always the same.
        connection = sqlite3.connect(
            self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False, factory=Connection
        )
        try:
            connection.file = file_at(self._path)
            # It counts for a file that is still empty, and costs nothing until it is asked for.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_file(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # To close any handle on the file ends all locks that other connections of this process have on it, and another
        # process then takes itself for the last one. So this is done only where there are none.
        with MAKING, suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _use_wal(self, connection: Connection) -> None:
        # For this SQLite does not wait by itself.
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.002)

    def close(self) -> None:
        """Close all connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # SQLite's locks are the process's, and a child that inherits a connection may ruin the file. So a fork waits until
    # no statement runs, and closes all connections before.

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._is_forking = True
        self._changed.wait_for(lambda: not self._in_use, timeout=self.timeout)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _after_fork(self, is_child: bool) -> None:
        if is_child:
            # Who used it then is not here.
            self._in_use = 0
        self._is_forking = False
        self._changed.notify_all()
        self._lock.release()


class Connection(sqlite3.Connection):
    """A connection that knows which file it is to."""

    file: tuple[int, int] | None


def file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


MAKING = threading.Lock()
STORES: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()

#: Held while a thread forks: two that do at once would wait for each other's stores, and no new one comes meanwhile.
FORKING = threading.Lock()
_forking: list[SQLiteStore] = []


def _before_fork() -> None:
    FORKING.acquire()
    _forking[:] = STORES
    for store in _forking:
        store._before_fork()


def _after_fork(is_child: bool) -> None:
    while _forking:
        _forking.pop()._after_fork(is_child)
    FORKING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=partial(_after_fork, False), after_in_child=partial(_after_fork, True)
    )


def end_of(ttl: int | None, now: float) -> float | None:
    return None if ttl is None else now + ttl
