"""Revocations in SQL databases, with SQLAlchemy Core 2: PostgreSQL, MariaDB, MySQL, SQLite."""

from __future__ import annotations

import random
import secrets
import time
from contextlib import suppress

from sqlalchemy import BigInteger
from sqlalchemy import Column
from sqlalchemy import Connection
from sqlalchemy import Double
from sqlalchemy import Index
from sqlalchemy import Integer
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import Text
from sqlalchemy import case
from sqlalchemy import delete
from sqlalchemy import insert
from sqlalchemy import select
from sqlalchemy import update

from ...server.store import SessionStoreError
from ...server.stores.sql_connections import ATTEMPTS
from ...server.stores.sql_connections import Database
from ...server.stores.sql_connections import Source
from ...server.stores.sql_connections import Taken
from ...server.stores.sql_connections import overtaken
from ..entry import Cursor

#: On average one in so many additions removes expired entries, and how many it removes at most.
SWEPT_EVERY = 50
SWEPT = 1000


class SQLAlchemyRevocations:
    """Keeps revocations in an SQL database: entries in ``table``, and the last number in ``<table>_end``.

    ``engine`` is an Engine, the URL of a database, a Flask-SQLAlchemy object, or a function that returns an Engine.
    Any other object raises :exc:`ValueError`. Each call borrows a connection from the engine's pool, so nothing becomes
    part of the app's own transactions. The tables are created at first use if they do not exist.

    The one row of ``<table>_end`` is changed in the transaction that adds an entry. So additions wait for each other,
    and become visible in the order of their numbers.
    """

    def __init__(self, engine: Source, table: str = "fastsession_revocations") -> None:
        metadata = MetaData()
        self.entries = Table(
            table,
            metadata,
            Column("number", BigInteger, primary_key=True, autoincrement=False),
            Column("entry", Text, nullable=False),
            Column("expires", Double, nullable=False),
        )
        Index(f"{table}_by_expiry", self.entries.c.expires)
        self.end = Table(
            f"{table}_end",
            metadata,
            Column("one", Integer, primary_key=True, autoincrement=False),
            Column("number", BigInteger, nullable=False),
            Column("generation", String(40), nullable=False),
        )
        try:
            self._database = Database(engine, metadata)
        except ValueError as error:
            raise ValueError(str(error).replace("SESSION_SQLALCHEMY", "the store of Revocations")) from error

    def add(self, entry: str, ttl: int) -> Cursor:
        for _ in range(ATTEMPTS):
            # Another process may insert the first row at the same time.
            with suppress(Taken):
                found = self._database.run(lambda connection: self._add(connection, entry, ttl), in_transaction=True)
                self._sweep_now_and_then()
                return found
        raise overtaken()

    def _add(self, connection: Connection, entry: str, ttl: int) -> Cursor:
        now = time.time()
        number, microseconds = self.end.c.number, int(now * 1_000_000)
        following = case((number >= microseconds, number + 1), else_=microseconds)
        if not connection.execute(update(self.end).where(self.end.c.one == 1).values(number=following)).rowcount:
            values = {"one": 1, "number": microseconds, "generation": secrets.token_urlsafe(16)}
            connection.execute(insert(self.end).values(values))
        place = connection.execute(select(number, self.end.c.generation)).one()
        connection.execute(insert(self.entries).values(number=place.number, entry=entry, expires=now + ttl))
        return Cursor(place.number, place.generation)

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        return self._database.run(lambda connection: self._since(connection, cursor), changes=False)

    def _since(self, connection: Connection, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        # The end is read first. An entry that is added in between is found as well, and is then the last one.
        end = connection.execute(select(self.end.c.number, self.end.c.generation)).one_or_none()
        if end is None:
            return [], Cursor(0, "")
        is_known = cursor is not None and cursor.generation == end.generation and cursor.number <= end.number
        after = cursor.number if cursor is not None and is_known else 0
        columns = self.entries.c
        wanted = select(columns.number, columns.entry).where(columns.number > after).order_by(columns.number)
        entries = [(row.number, row.entry) for row in connection.execute(wanted)]
        last = max(end.number, entries[-1][0] if entries else 0)
        return entries, Cursor(last, end.generation)

    def _sweep_now_and_then(self) -> None:
        if random.random() * SWEPT_EVERY >= 1:
            return
        # An error here is not one of add(): the entry is stored, and a later call will sweep.
        with suppress(SessionStoreError):
            number, expires = self.entries.c.number, self.entries.c.expires
            now = time.time()
            rows = self._database.rows(select(number).where(expires <= now).limit(SWEPT), {})
            if rows:
                expired = delete(self.entries).where(number.in_([row.number for row in rows]))
                self._database.change(expired, {})

    def init_db(self) -> list[str]:
        """Create the tables and indexes that do not exist, and return the names of the tables."""
        return self._database.create_tables()

    def close(self) -> None:
        """Close all connections that are not in use, where the engine was made from a URL."""
        self._database.close()
