"""Sessions in an SQLite file that all processes of one machine share."""

from __future__ import annotations

import os
import time
import typing as t
from contextlib import suppress
from pathlib import Path

from ..ids import MOVED
from ..ids import is_taking
from ..store import MOVED_TTL
from ..store import SessionStoreError
from .expiry import end_of
from .expiry import ends_that_stay
from .expiry import is_about_right
from .sqlite_connections import Connection
from .sqlite_connections import Connections

TABLES = ("sessions", "owners")

# Versions of this package without the table ``owners`` may use the same file, so ``sessions`` must not change.
SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, data BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS owners
    (handle TEXT PRIMARY KEY, owner TEXT NOT NULL, key TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owners_by_owner ON owners (owner);
CREATE INDEX IF NOT EXISTS owners_by_key ON owners (key, owner, expires);
CREATE INDEX IF NOT EXISTS owners_by_expiry ON owners (expires);
"""

#: Whether a record has not expired at the time that is a parameter.
ALIVE = "(expires IS NULL OR expires > ?)"

LOAD = f"SELECT data, expires FROM sessions WHERE key = ? AND {ALIVE}"
#: The same, together with the listing of the session.
LOAD_LISTED = (
    "SELECT sessions.data, sessions.expires, owners.owner, owners.handle, owners.expires"
    " FROM sessions LEFT JOIN owners ON owners.key = sessions.key"
    " WHERE sessions.key = ? AND (sessions.expires IS NULL OR sessions.expires > ?)"
)
KEYS = "SELECT key FROM sessions WHERE key > ? ORDER BY key LIMIT ?"
TOUCH = f"UPDATE sessions SET expires = ? WHERE key = ? AND {ALIVE}"
# An expired record is overwritten.
CREATE = (
    "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT (key)"
    " DO UPDATE SET data = excluded.data, expires = excluded.expires WHERE sessions.expires <= ?"
)
REPLACE = f"UPDATE sessions SET data = ?, expires = ? WHERE key = ? AND data = ? AND {ALIVE}"
# The same for a record whose expiry is about right, so that the index by expiry stays as it is.
REPLACE_DATA = "UPDATE sessions SET data = ? WHERE key = ? AND data = ? AND expires BETWEEN ? AND ?"
REMOVE = f"DELETE FROM sessions WHERE key = ? AND data = ? AND {ALIVE}"
SWEEP = "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)"

MOVE_LISTED = "UPDATE owners SET key = ? WHERE key = ?"
ENLIST = (
    "INSERT INTO owners VALUES (?, ?, ?, ?) ON CONFLICT (handle)"
    " DO UPDATE SET owner = excluded.owner, key = excluded.key, expires = excluded.expires"
)
# If another request has moved the session meanwhile, this request has the old key, and there is a pointer at that key
# (it begins with a null byte). Then the new key in the list is kept.
RENEW = (
    "UPDATE owners SET expires = ?, key = CASE"
    " WHEN EXISTS (SELECT 1 FROM sessions WHERE sessions.key = ? AND substr(data, 1, 1) <> x'00')"
    " OR NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.key = owners.key) THEN ? ELSE key END"
    " WHERE handle = ? AND owner = ? AND expires > ?"
)
IS_LISTED = "SELECT 1 FROM owners WHERE handle = ? AND owner = ? AND expires > ?"
LISTED = "SELECT handle, key FROM owners WHERE owner = ? AND expires > ?"
UNLIST = "DELETE FROM owners WHERE handle = ? AND owner = ?"
SWEEP_LISTED = (
    "DELETE FROM owners WHERE handle IN (SELECT handle FROM owners WHERE expires <= ? ORDER BY expires LIMIT ?)"
)

ALL_LISTED = "SELECT * FROM owners WHERE owner = ?"
UNLIST_ALL = "DELETE FROM owners WHERE owner = ?"
DELETE = "DELETE FROM sessions WHERE key = ?"
DELETE_LISTED = "DELETE FROM sessions WHERE key = (SELECT key FROM owners WHERE handle = ?)"
END = "DELETE FROM owners WHERE handle = ?"

#: How many keys one statement has at most.
AT_ONCE = 500


class Record(bytes):
    """A record of a session that was listed when it was loaded: ``(owner, handle, end)``."""

    listing: tuple[str, str, float]


class SQLiteStore:
    """Keeps sessions in an SQLite file in WAL mode, with one short transaction for each change.

    ``timeout`` is for how many seconds a change waits for the changes of others before it raises
    :exc:`SessionStoreError`. The file is created at first use, and only its owner can read it. It has to be on a local
    disk.
    """

    def __init__(self, path: str | os.PathLike[str], timeout: float = 5.0) -> None:
        self.path = Path(path)
        self.timeout = timeout
        schema = filter(None, map(str.strip, SCHEMA.split(";")))
        self._connections = Connections(self.path, timeout, TABLES, list(schema))
        self._run = self._connections.run
        # The statement with the list is used once is_listed() is called, that is, if the app binds sessions to users.
        self._load = LOAD

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        now = time.time()
        rows, _ = self._run(executed, self._load, (key, now))
        if not rows:
            return None
        row = rows[0]
        data, expires = row[0], row[1]
        if ttl is not None and not is_about_right(expires, ttl, now):
            self._prolong(key, data, ttl, now)
        if not isinstance(data, bytes):
            return b""
        if len(row) == 2 or row[2] is None:
            return data
        record = Record(data)
        record.listing = row[2:]
        return record

    def _prolong(self, key: str, data: object, ttl: int, now: float) -> None:
        if isinstance(data, bytes) and data.startswith(MOVED) and not is_taking(data):
            # The pointer of a moved session must not live as long as a session, however often it is loaded.
            return
        # This may fail while another process writes for a long time. What was read is correct nevertheless.
        with suppress(SessionStoreError):
            self._run(executed, TOUCH, (now + ttl, key, now))

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        now = time.time()
        return self._changes(CREATE, (key, data, end_of(ttl, now), now))

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        # A plain bytes object, because sqlite3 looks for an adapter for an instance of a subclass.
        old, now = bytes(old), time.time()
        if new is None:
            is_done = self._changes(REMOVE, (key, old, now))
        else:
            ends = ends_that_stay(new, ttl, now)
            is_done = ends is not None and self._changes(REPLACE_DATA, (new, key, old, *ends))
            is_done = is_done or self._changes(REPLACE, (new, end_of(ttl, now), key, old, now))
        return is_done or self.load(key) or False

    def _changes(self, sql: str, parameters: t.Sequence[t.Any]) -> bool:
        """Execute a statement on one row, and return whether there was such a row."""
        _, count = self._run(executed, sql, parameters)
        return count == 1

    def delete(self, *keys: str) -> None:
        for first in range(0, len(keys), AT_ONCE):
            some = keys[first : first + AT_ONCE]
            marks = ", ".join("?" * len(some))
            self._run(executed, f"DELETE FROM sessions WHERE key IN ({marks})", some)

    def expires_in(self, key: str) -> int | None:
        now = time.time()
        rows, _ = self._run(executed, f"SELECT expires FROM sessions WHERE key = ? AND {ALIVE}", (key, now))
        ((expires,),) = rows or [(None,)]
        return None if expires is None else int(expires - now)

    def keys(self, prefix: str) -> t.Iterator[str]:
        last = prefix
        # In batches, so that no other process waits for long.
        while rows := self._run(executed, KEYS, (last, AT_ONCE))[0]:
            for (last,) in rows:
                if not last.startswith(prefix):
                    return
                yield last

    # --- Moving -----------------------------------------------------------------------------------------------------

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        old, now = bytes(old), time.time()
        if self._run(moved, key, new_key, old, new, end_of(ttl, now), left, now):
            return True
        found = self.load(key)
        # If the record is still `old`, it was not moved because there is a record at the new key.
        return False if found is None or found == old else found or False

    # --- Owners -----------------------------------------------------------------------------------------------------

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        now = time.time()
        if renew:
            return self._changes(RENEW, (now + ttl, key, key, handle, owner, now))
        return self._changes(ENLIST, (handle, owner, key, now + ttl))

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        now = time.time()
        if isinstance(record, Record) and record.listing[:2] == (owner, handle) and record.listing[2] > now:
            return True
        rows, _ = self._run(executed, IS_LISTED, (handle, owner, now))
        self._load = LOAD_LISTED
        return bool(rows)

    def listed(self, owner: str) -> list[tuple[str, str]]:
        rows, _ = self._run(executed, LISTED, (owner, time.time()))
        return rows

    def unlist(self, owner: str, handle: str) -> None:
        self._run(executed, UNLIST, (handle, owner))

    def end(self, handle: str) -> bool:
        return self._run(ended, handle, time.time())

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        count, left = self._run(all_ended, owner, frozenset(keep), time.time())
        self.delete(*left)
        return count

    # --- Room -------------------------------------------------------------------------------------------------------

    def sweep(self, limit: int) -> int:
        now = time.time()
        _, count = self._run(executed, SWEEP, (now, limit))
        self._run(executed, SWEEP_LISTED, (now, limit))
        return count

    def shrink(self) -> None:
        """Return free pages of the file to the file system, one by one, so that no other process waits for long."""
        while self._run(executed, SWEEP_LISTED, (time.time(), AT_ONCE))[1]:
            pass
        ((pages,),), _ = self._run(executed, "PRAGMA freelist_count")
        for _ in range(pages):
            self._run(executed, "PRAGMA incremental_vacuum(1)")
        self._run(executed, "PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._connections.close()

    def _execute(self, sql: str, *parameters: object) -> tuple[list[t.Any], int]:
        return self._run(executed, sql, parameters)


# --- What is done with a connection -----------------------------------------------------------------------------------


def executed(connection: Connection, sql: str, parameters: t.Sequence[t.Any] = ()) -> tuple[list[t.Any], int]:
    """The rows that a statement returns, and how many rows it has changed."""
    cursor = connection.execute(sql, parameters)
    return cursor.fetchall(), cursor.rowcount


# If one of these functions raises an exception, Connections.run() rolls its transaction back.


def moved(
    connection: Connection,
    key: str,
    new_key: str,
    old: bytes,
    new: bytes,
    expires: float | None,
    left: bytes | None,
    now: float,
) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    if left is None:
        cursor = connection.execute(REMOVE, (key, old, now))
    else:
        cursor = connection.execute(REPLACE, (left, now + MOVED_TTL, key, old, now))
    if cursor.rowcount:
        cursor = connection.execute(CREATE, (new_key, new, expires, now))
    if not cursor.rowcount:
        connection.execute("ROLLBACK")
        return False
    connection.execute(MOVE_LISTED, (new_key, key))
    connection.execute("COMMIT")
    return True


def ended(connection: Connection, handle: str, now: float) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(DELETE_LISTED, (handle,))
    # A listing that has expired does not count.
    count = connection.execute(f"{END} AND expires > ?", (handle, now)).rowcount
    connection.execute("COMMIT")
    return count == 1


def all_ended(connection: Connection, owner: str, keep: t.Collection[str], now: float) -> tuple[int, list[str]]:
    """Return how many sessions have ended, and the keys of the records that are still to be deleted."""
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute(ALL_LISTED, (owner,)).fetchall()
    ended = [row for row in rows if row[0] not in keep]
    left = sorted(key for _, _, key, _ in ended)
    if len(ended) <= AT_ONCE:
        connection.executemany(DELETE, zip(left))
        left = []
    else:
        # The sessions end when they are not listed any more. So their records are deleted after this transaction, which
        # has more cache, so that other processes wait less.
        ((pages,),) = connection.execute("PRAGMA cache_size").fetchall()
        connection.execute("PRAGMA cache_size = -64000")
    connection.execute(UNLIST_ALL, (owner,))
    connection.executemany(ENLIST, (row for row in rows if row[0] in keep))
    connection.execute("COMMIT")
    if left:
        connection.execute(f"PRAGMA cache_size = {pages}")
    return sum(expires > now for _, _, _, expires in ended), left
