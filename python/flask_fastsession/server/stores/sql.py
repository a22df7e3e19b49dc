"""Sessions in SQL databases, with SQLAlchemy Core 2: PostgreSQL, MariaDB, MySQL, SQLite.

A record is a row of one table. Its listing is a row of another table, with the id of the record's row. A move is an
``UPDATE`` of the record's key and does not change the list. So a session that is removed from the list has ended, even
if it is moved meanwhile. Each method is one statement, unless a comment says otherwise. So it does not depend on the
isolation of transactions: the database applies the statement to the latest rows, or refuses it because of a conflict,
and then it is repeated.
"""

from __future__ import annotations

import re
import time
import typing as t
from contextlib import suppress
from datetime import datetime
from datetime import timezone

from sqlalchemy import BigInteger
from sqlalchemy import Boolean
from sqlalchemy import Column
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import DateTime
from sqlalchemy import Double
from sqlalchemy import Identity
from sqlalchemy import Index
from sqlalchemy import Integer
from sqlalchemy import LargeBinary
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Table
from sqlalchemy import UniqueConstraint
from sqlalchemy import and_
from sqlalchemy import bindparam
from sqlalchemy import case
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import insert
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import type_coerce
from sqlalchemy import update
from sqlalchemy.dialects import mysql
from sqlalchemy.types import NullType
from sqlalchemy.types import TypeEngine

from ..sources import record_of
from ..store import MOVED_TTL
from ..store import SessionStoreError
from .expiry import end_of
from .expiry import ends_that_stay
from .expiry import is_about_right
from .sql_connections import ATTEMPTS
from .sql_connections import Database
from .sql_connections import Source
from .sql_connections import Taken
from .sql_connections import Values
from .sql_connections import overtaken

T = t.TypeVar("T")

#: How many rows one statement has at most.
AT_ONCE = 500


class SQLAlchemyStore:
    """Keeps sessions in an SQL database: records in ``table``, and their owners in ``<table>_owners``.

    ``engine`` is an Engine, the URL of a database, a Flask-SQLAlchemy object, or a function that returns an Engine. The
    last two are asked for the engine when the store is first used; Flask-SQLAlchemy needs an app context for that. Each
    call borrows a connection from the engine's pool, so nothing becomes part of the app's own transactions. The tables
    are created at first use if they do not exist, or by :meth:`init_db`. An engine, URL or table name that cannot be
    used raises :exc:`ValueError`.
    """

    def __init__(self, engine: Source, table: str = "fastsession", schema: str | None = None) -> None:
        self.records, self.owners = tables_of(table, schema)
        self._database = Database(engine, self.records.metadata)
        records, owners = self.records, self.owners
        r, o = records.c, owners.c
        is_at_key = r.key == bindparam("the_key")
        is_alive = or_(r.expires.is_(None), r.expires > bindparam("now"))
        has_expired = r.expires <= bindparam("now")
        is_as_expected = and_(is_at_key, r.data == bindparam("old"), is_alive)
        has_handle = o.handle == bindparam("the_handle")
        is_theirs = and_(o.owner == bindparam("the_owner"), has_handle)
        is_listed = o.expires > bindparam("now")
        lists_it = and_(o.record_id == r.id, is_listed)
        # The pointer of a moved session cannot be listed.
        is_session = and_(is_at_key, is_alive, r.moved.is_(False))
        its_id = select(r.id).where(is_session).scalar_subquery()

        self._load = (
            select(r.id, r.data, r.expires, o.owner, o.handle)
            .select_from(records.outerjoin(owners, lists_it))
            .where(is_at_key, is_alive)
        )
        self._load_end = select(r.expires).where(is_at_key, is_alive)
        self._keys = select(r.id, r.key).where(r.id > bindparam("last")).order_by(r.id).limit(AT_ONCE)
        # By the id of the row as well, since by now another row may have the key: the pointer of the moved session,
        # which must not live as long as a session, however often it is loaded.
        self._touch = update(records).where(r.id == bindparam("the_id"), is_at_key, is_alive, r.moved.is_(False))
        # inline(), because the id of a new row is not needed.
        self._insert = insert(records).inline()
        # An expiry that is about right stays, so that no index changes. To PostgreSQL that is a heap-only update.
        stays = r.expires.between(bindparam("first"), bindparam("last"))
        end = case((stays, r.expires), else_=bindparam("until", type_=r.expires.type))
        self._replace = update(records).where(is_as_expected).values(expires=end)
        self._remove = delete(records).where(is_as_expected)
        self._clear = delete(records).where(is_at_key, has_expired)
        self._delete = delete(records).where(r.key.in_(bindparam("keys", expanding=True)))
        self._delete_ids = delete(records).where(r.id.in_(bindparam("ids", expanding=True)))
        self._expired = select(r.id).where(has_expired).order_by(r.expires).limit(bindparam("limit"))
        self._sweep = delete(records).where(r.id.in_(bindparam("ids", expanding=True)), has_expired)

        listing = select(
            bindparam("the_handle", type_=o.handle.type),
            bindparam("the_owner", type_=o.owner.type),
            r.id,
            bindparam("until", type_=o.expires.type),
        )
        self._enlist = insert(owners).from_select(
            ["handle", "owner", "record_id", "expires"], listing.where(is_session), include_defaults=False
        )
        # SQLAlchemy counts the rows of an INSERT only with this option.
        self._enlist = self._enlist.execution_options(preserve_rowcount=True)
        self._take = update(owners).where(has_handle, its_id.is_not(None)).values(record_id=its_id)
        self._renew = update(owners).where(is_theirs, is_listed).values(record_id=func.coalesce(its_id, o.record_id))
        self._find = select(o.handle).where(is_theirs, is_listed)
        self._list = (
            select(o.handle, r.key)
            .join_from(owners, records, o.record_id == r.id)
            .where(o.owner == bindparam("the_owner"), is_listed, is_alive)
        )
        self._unlist = delete(owners).where(is_theirs)
        ended = select(o.handle).where(o.expires <= bindparam("now"))
        self._expired_listings = ended.order_by(o.expires).limit(bindparam("limit"))
        self._sweep_listings = delete(owners).where(
            o.handle.in_(bindparam("handles", expanding=True)), o.expires <= bindparam("now")
        )

    # --- Records ----------------------------------------------------------------------------------------------------

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        now = time.time()
        rows = self._database.rows(self._load, {"the_key": key, "now": now})
        if not rows:
            return None
        row = rows[0]
        if ttl is not None and not is_about_right(row.expires, ttl, now):
            # This may fail while another process writes for a long time. What was read is correct nevertheless.
            with suppress(SessionStoreError):
                touched = {"the_id": row.id, "the_key": key, "now": now, "expires": end_of(ttl, now)}
                self._database.change(self._touch, touched)
        return Record.of(rows)

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        for _ in range(ATTEMPTS):
            now = time.time()
            with suppress(Taken):
                self._database.change(
                    self._insert, {"key": key, "data": data, "expires": end_of(ttl, now), "moved": False}
                )
                return True
            # An expired record is deleted rather than overwritten, because a list may still have the id of its row.
            if not self._database.change(self._clear, {"the_key": key, "now": now}) and self.load(key) is not None:
                return False
        raise overtaken()

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        for _ in range(ATTEMPTS):
            now = time.time()
            expected = {"the_key": key, "old": bytes(old), "now": now}
            if new is None:
                count = self._database.change(self._remove, expected)
            else:
                values = {"data": new, "moved": False, **renewed(new, ttl, now)}
                count = self._database.change(self._replace, {**expected, **values})
            if count:
                return True
            found = self.load(key)
            if found is None:
                return False
            if found != old:
                return found
            if new == old:
                # Some drivers count the rows that were changed, not those that were found.
                return True
        raise overtaken()

    def delete(self, *keys: str) -> None:
        # In sorted order, so that two requests that delete the same records seldom block each other.
        for some in batches(sorted(set(keys))):
            self._database.change(self._delete, {"keys": some})

    def expires_in(self, key: str) -> int | None:
        now = time.time()
        rows = self._database.rows(self._load_end, {"the_key": key, "now": now})
        return None if not rows or rows[0].expires is None else int(rows[0].expires - now)

    def keys(self, prefix: str) -> t.Iterator[str]:
        last = 0
        while rows := self._database.rows(self._keys, {"last": last}):
            last = rows[-1].id
            yield from (row.key for row in rows if row.key.startswith(prefix))

    def sweep(self, limit: int) -> int:
        # Two statements for each table, since MariaDB allows no LIMIT in a subquery. A row renewed in between stays.
        now = time.time()
        handles = [row.handle for row in self._database.rows(self._expired_listings, {"now": now, "limit": limit})]
        for some in batches(handles):
            self._database.change(self._sweep_listings, {"handles": some, "now": now})
        ids = [row.id for row in self._database.rows(self._expired, {"now": now, "limit": limit})]
        return sum(self._database.change(self._sweep, {"ids": some, "now": now}) for some in batches(ids))

    # --- Moving -----------------------------------------------------------------------------------------------------

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        for _ in range(ATTEMPTS):
            now = time.time()
            expected = {"the_key": key, "old": bytes(old), "now": now}
            moved = {**expected, "key": new_key, "data": new, "moved": False, **renewed(new, ttl, now)}
            marker = {"key": key, "data": left, "expires": now + MOVED_TTL, "moved": True}
            try:
                if self._move(moved, None if left is None else marker):
                    return True
            except Taken:
                if self._database.change(self._clear, {"the_key": new_key, "now": now}):
                    continue
                return False
            found = self.load(key)
            if found is None:
                return False
            if found != old:
                return found
        raise overtaken()

    def _move(self, moved: Values, marker: Values | None) -> bool:
        def act(connection: Connection) -> bool:
            if not connection.execute(self._replace, moved).rowcount:
                return False
            if marker is not None:
                connection.execute(self._insert, marker)
            return True

        # Without a marker it is one statement.
        return self._database.run(act, in_transaction=marker is not None)

    # --- Owners -----------------------------------------------------------------------------------------------------

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        """List the session stored at ``key``. The record has to exist, unless the session is listed already."""
        now = time.time()
        listing = {"the_owner": owner, "the_handle": handle, "the_key": key, "now": now}
        if renew:
            return self._database.change(self._renew, {**listing, "expires": now + ttl}) > 0
        for _ in range(ATTEMPTS):
            with suppress(Taken):
                return self._database.change(self._enlist, {**listing, "until": now + ttl}) > 0
            taken = {"the_handle": handle, "the_key": key, "now": now, "owner": owner, "expires": now + ttl}
            if self._database.change(self._take, taken):
                return True
        raise overtaken()

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        if isinstance(record, Record):
            return (owner, handle) in record.listed
        theirs = {"the_owner": owner, "the_handle": handle, "now": time.time()}
        return bool(self._database.rows(self._find, theirs))

    def listed(self, owner: str) -> list[tuple[str, str]]:
        rows = self._database.rows(self._list, {"the_owner": owner, "now": time.time()})
        return [(row.handle, row.key) for row in rows]

    def unlist(self, owner: str, handle: str) -> None:
        self._database.change(self._unlist, {"the_owner": owner, "the_handle": handle})

    def end(self, handle: str) -> bool:
        return self._end(self.owners.c.handle == handle) > 0

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        columns = self.owners.c
        is_theirs = columns.owner == owner
        return self._end(and_(is_theirs, columns.handle.not_in(list(keep))) if keep else is_theirs)

    def _end(self, which: ColumnElement[bool]) -> int:
        """Remove sessions from their lists, delete their records, and return how many had not expired."""
        columns = self.owners.c
        ended, found = delete(self.owners).where(which), (columns.record_id, columns.expires)

        def act(connection: Connection) -> t.Sequence[t.Any]:
            if connection.dialect.delete_returning:
                return connection.execute(ended.returning(*found)).all()
            rows = connection.execute(select(*found).where(which).with_for_update()).all()
            connection.execute(ended)
            return rows

        now = time.time()
        rows = self._database.run(act, in_transaction=True)
        for some in batches(sorted(row.record_id for row in rows)):
            self._database.change(self._delete_ids, {"ids": some})
        return sum(row.expires > now for row in rows)

    # --- The database -----------------------------------------------------------------------------------------------

    def init_db(self) -> list[str]:
        """Create the tables and indexes that do not exist, and return the names of the tables."""
        return self._database.create_tables()

    def close(self) -> None:
        """Close all connections that are not in use, where the engine was made from a URL."""
        self._database.close()


class Record(bytes):
    """A record with its listings: pairs of an owner and a handle."""

    listed: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, rows: t.Sequence[t.Any]) -> Record:
        record = cls(rows[0].data)
        # There are two while the session changes its owner.
        record.listed = frozenset((row.owner, row.handle) for row in rows)
        return record


class FlaskSessionTable:
    """Reads the sessions that Flask-Session keeps in an SQL database with ``SESSION_TYPE="sqlalchemy"``.

    ``engine`` is as for :class:`SQLAlchemyStore`, and the other arguments are as in the config of Flask-Session.
    """

    def __init__(
        self, engine: Source, table: str = "sessions", schema: str | None = None, key_prefix: str = "session:"
    ) -> None:
        self.key_prefix = key_prefix
        columns: list[Column[t.Any]] = [
            Column("id", Integer, primary_key=True),
            Column("session_id", String(255)),
            Column("data", LargeBinary),
            Column("expiry", DateTime),
        ]
        self.table = Table(table, MetaData(), *columns, schema=schema)
        self._database = Database(engine)
        c = self.table.c
        # As the driver gives them, since in SQLite a column may hold anything.
        data, expiry = (type_coerce(column, NullType()).label(column.name) for column in (c.data, c.expiry))
        self._load = select(c.id, c.session_id, data, expiry).where(c.session_id == bindparam("key"))
        self._delete = delete(self.table).where(c.id == bindparam("the_id"))

    def load(self, sid: str) -> bytes | None:
        """Return the record of a session as Flask-Session has encoded it, or ``None`` if none is live."""
        row = self._row(sid)
        return None if row is None or row.data is None else record_of(row.data)

    def expires_in(self, sid: str) -> float | None:
        """Return in how many seconds a session ends, or ``None`` if there is none."""
        row = self._row(sid)
        return None if row is None else float((t.cast(datetime, time_of(row.expiry)) - utc_now()).total_seconds())

    def delete(self, sid: str) -> None:
        key = self.key_prefix + sid
        for row in self._database.rows(self._load, {"key": key}):
            if row.session_id == key:
                self._database.change(self._delete, {"the_id": row.id})

    def sids(self) -> t.Iterator[str]:
        """The ids of all sessions, for ``flask session convert``."""
        for row in self._database.rows(select(self.table.c.session_id), {}):
            if row.session_id is not None and row.session_id.startswith(self.key_prefix):
                yield row.session_id[len(self.key_prefix) :]

    def _row(self, sid: str) -> t.Any:
        key, now = self.key_prefix + sid, utc_now()
        for row in self._database.rows(self._load, {"key": key}):
            ends = time_of(row.expiry)
            # MariaDB also finds keys that differ only in case.
            if row.session_id == key and ends is not None and ends > now:
                return row
        return None

    def close(self) -> None:
        """Close all connections that are not in use, where the engine was made from a URL."""
        self._database.close()


# --- The tables -----------------------------------------------------------------------------------------------------


def tables_of(name: object, schema: str | None = None) -> tuple[Table, Table]:
    # The names of indexes are made from it, and PostgreSQL truncates names to 63 bytes.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
        raise ValueError(f"SESSION_SQLALCHEMY_TABLE must be up to 40 letters, digits and underscores, not {name!r}")
    metadata = MetaData(schema=schema)
    records = Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
        Column("key", ascii_of(250), nullable=False),
        Column("data", LargeBinary().with_variant(mysql.MEDIUMBLOB, "mysql", "mariadb"), nullable=False),
        Column("expires", Double),
        Column("moved", Boolean, nullable=False),
        UniqueConstraint("key", name=f"uq_{name}_key"),
        Index(f"ix_{name}_expires", "expires"),
        # An id is never used again, since a list may still have it.
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    owners = Table(
        f"{name}_owners",
        metadata,
        Column("handle", ascii_of(40), primary_key=True),
        Column("owner", ascii_of(250), nullable=False),
        # Not a foreign key, which would lock the record's row. A listing whose record is gone expires.
        Column("record_id", BigInteger, nullable=False),
        Column("expires", Double, nullable=False),
        Index(f"ix_{name}_owners_owner", "owner"),
        Index(f"ix_{name}_owners_record_id", "record_id"),
        Index(f"ix_{name}_owners_expires", "expires"),
        **OPTIONS,
    )
    return records, owners


#: The storage engine that has transactions.
OPTIONS: dict[str, t.Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


def ascii_of(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte. By default MariaDB ignores case."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
    )


def batches(items: list[T]) -> t.Iterator[list[T]]:
    for first in range(0, len(items), AT_ONCE):
        yield items[first : first + AT_ONCE]


def utc_now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def time_of(value: object) -> datetime | None:
    """A time in UTC as a driver gives it, which is a text in SQLite; ``None`` if it is no time."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            return None
        return found if found.tzinfo is None else found.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def renewed(record: bytes, ttl: int | None, now: float) -> Values:
    """The parameters of what replaces a record by another one that is to live for ``ttl`` seconds."""
    first, last = ends_that_stay(record, ttl, now) or (None, None)
    return {"first": first, "last": last, "until": end_of(ttl, now)}
