"""Sessions in an SQLite file, shared by all processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import typing as t
import weakref
from pathlib import Path

from .store import SessionStoreError

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, data BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
"""

#: What is alive at a time given as parameter.
ALIVE = "(expires IS NULL OR expires > ?)"

#: A record is not touched before this share of its life has passed: reading is to cost no writing.
UNTOUCHED_SHARE = 0.05


class SQLiteStore:
    """Keeps sessions in a file, in WAL mode, with one short transaction for each change.

    ``timeout`` is how long, in seconds, a change waits for those of others before it is a :exc:`SessionStoreError`. The
    file is made at first use, readable by its owner alone. It has to be on a local disk.
    """

    def __init__(self, path: str | os.PathLike[str], timeout: float = 5.0) -> None:
        self.path = Path(path)
        self.timeout = timeout
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._changed = threading.Condition()
        STORES.add(self)

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        now = time.time()
        rows, _ = self._execute(f"SELECT data, expires FROM sessions WHERE key = ? AND {ALIVE}", key, now)
        if not rows:
            return None
        ((data, expires),) = rows
        if ttl is not None and (expires is None or not ttl * (1 - UNTOUCHED_SHARE) <= expires - now <= ttl + 1):
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
            sql = f"UPDATE sessions SET data = ?, expires = ? WHERE key = ? AND data = ? AND {ALIVE}"
            _, count = self._execute(sql, new, end_of(ttl, now), key, old, now)
        if count:
            return True
        other = self.load(key)
        return False if other is None else other

    def delete(self, *keys: str) -> None:
        marks = ", ".join("?" * len(keys))
        self._execute(f"DELETE FROM sessions WHERE key IN ({marks})", *keys)

    def touch(self, key: str, ttl: int) -> bool:
        now = time.time()
        _, count = self._execute(f"UPDATE sessions SET expires = ? WHERE key = ? AND {ALIVE}", now + ttl, key, now)
        return count == 1

    def sweep(self, limit: int) -> int:
        _, count = self._execute(
            "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)",
            time.time(),
            limit,
        )
        return count

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

    def _take(self) -> sqlite3.Connection | None:
        with self._changed:
            self._in_use += 1
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: sqlite3.Connection | None) -> None:
        with self._changed:
            self._in_use -= 1
            if connection is not None:
                self._idle.append(connection)
            if not self._in_use:
                self._changed.notify_all()

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)):
            pass
        # One thread at a time has it, not always the same.
        connection = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close all connections that are not in use."""
        with self._changed:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # SQLite's locks are the process's, and a child that inherits a connection may ruin the file. So a fork waits until
    # no statement runs, and closes all connections before.

    def _before_fork(self) -> None:
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._in_use, timeout=self.timeout)
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _after_fork(self) -> None:
        self._changed.release()


STORES: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()
_forking: list[SQLiteStore] = []


def _before_fork() -> None:
    _forking[:] = STORES
    for store in _forking:
        store._before_fork()


def _after_fork() -> None:
    while _forking:
        _forking.pop()._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def end_of(ttl: int | None, now: float) -> float | None:
    return None if ttl is None else now + ttl
