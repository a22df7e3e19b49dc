"""Revocations in an SQLite file that all processes of one machine share."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from ...server.stores.sqlite_connections import Connection
from ...server.stores.sqlite_connections import Connections
from ..entry import Cursor

TABLES = ("revocations", "revocations_end")

#: ``revocations_end`` has one row: the number of the last entry, and the generation.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS revocations (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, expires REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS revocations_by_expiry ON revocations (expires)",
    "CREATE TABLE IF NOT EXISTS revocations_end"
    " (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, generation TEXT NOT NULL)",
)

BEGIN_LIST = "INSERT INTO revocations_end VALUES (1, 0, ?) ON CONFLICT DO NOTHING"
NEXT = "UPDATE revocations_end SET number = max(number + 1, ?)"
END = "SELECT number, generation FROM revocations_end"
SWEEP = "DELETE FROM revocations WHERE number IN (SELECT number FROM revocations WHERE expires <= ? LIMIT 20)"


class SQLiteRevocations:
    """Keeps revocations in an SQLite file in WAL mode. ``timeout`` is how many seconds a call waits for others.

    The file is created at first use, and only its owner can read it. It has to be on a local disk. It may be the file
    of server-side sessions.
    """

    def __init__(self, path: str | os.PathLike[str], timeout: float = 5.0) -> None:
        self._connections = Connections(Path(path), timeout, TABLES, SCHEMA)

    def add(self, entry: str, ttl: int) -> Cursor:
        return self._connections.run(added, entry, ttl, time.time())

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        return self._connections.run(found_since, cursor)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._connections.close()


def added(connection: Connection, entry: str, ttl: int, now: float) -> Cursor:
    # This locks out other writers until the commit, so that numbers become visible in their order.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(BEGIN_LIST, (secrets.token_urlsafe(16),))
    connection.execute(NEXT, (int(now * 1_000_000),))
    ((number, generation),) = connection.execute(END).fetchall()
    connection.execute("INSERT INTO revocations VALUES (?, ?, ?)", (number, entry, now + ttl))
    connection.execute(SWEEP, (now,))
    connection.execute("COMMIT")
    return Cursor(number, generation)


def found_since(connection: Connection, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
    # One snapshot of the file for both statements.
    connection.execute("BEGIN")
    rows = connection.execute(END).fetchall()
    end = Cursor(*rows[0]) if rows else Cursor(0, "")
    is_known = cursor is not None and cursor.generation == end.generation and cursor.number <= end.number
    after = cursor.number if cursor is not None and is_known else 0
    found = connection.execute("SELECT number, entry FROM revocations WHERE number > ? ORDER BY number", (after,))
    entries = found.fetchall()
    connection.execute("COMMIT")
    return entries, end
