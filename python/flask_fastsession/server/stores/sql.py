"""Sessions in an SQL database, by SQLAlchemy Core 2: PostgreSQL, MariaDB, MySQL, SQLite.

A session is one row, and whose it is stands in columns of that row. So a move is an ``UPDATE`` of the row's key, and
whoever ends all sessions of an owner meanwhile waits for the row and finds it under its new key. Each method is one
statement, except where a comment says otherwise, and so does not depend on the isolation of transactions: the database
either applies it to the latest rows or refuses it because of a conflict, and then it is repeated.
"""

from __future__ import annotations

import os
import random
import re
import time
import typing as t
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from datetime import timezone

from sqlalchemy import URL
from sqlalchemy import BigInteger
from sqlalchemy import Column
from sqlalchemy import ColumnElement
from sqlalchemy import Connection
from sqlalchemy import DateTime
from sqlalchemy import Double
from sqlalchemy import Engine
from sqlalchemy import Executable
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
from sqlalchemy import create_engine
from sqlalchemy import delete
from sqlalchemy import event
from sqlalchemy import insert
from sqlalchemy import inspect
from sqlalchemy import make_url
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import Pool
from sqlalchemy.pool import SingletonThreadPool
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from ..store import MOVED_TTL
from ..store import SessionStoreError

T = t.TypeVar("T")
Values: t.TypeAlias = "dict[str, t.Any]"

#: A record is not touched before this share of its life has passed: reading is to cost no writing.
UNTOUCHED_SHARE = 0.05

#: So many rows are dealt with in one statement.
AT_ONCE = 500

#: How often something is tried that conflicts with what others do, and how many seconds it waits at most in between.
ATTEMPTS = 30
LONGEST_WAIT = 0.1

#: A deadlock or a failed serialization, by SQLSTATE, or by the numbers of MariaDB and MySQL. The whole transaction has
#: been rolled back then.
CONFLICTS = frozenset(["40001", "40P01", 1020, 1213])

#: The owner of what a moved session has left behind: nobody can have such a row in a list.
NOBODY = "-"


class HasEngine(t.Protocol):
    """What knows its engine by the time it is used, such as a Flask-SQLAlchemy object in an app context."""

    @property
    def engine(self) -> Engine: ...


Source: t.TypeAlias = "Engine | URL | str | HasEngine | Callable[[], Engine]"


class SQLAlchemyStore:
    """Keeps sessions in a table of an SQL database.

    ``engine`` is an Engine, the URL of a database, a Flask-SQLAlchemy object, or a function that returns an Engine. The
    last two are asked when the store is first used; Flask-SQLAlchemy needs an app context for that. Each call borrows a
    connection of the engine's pool for a moment, so nothing becomes part of the app's own transactions. The table is
    created at first use if it is not there, or by :meth:`init_db`.
    """

    def __init__(self, engine: Source, table: str = "fastsession", schema: str | None = None) -> None:
        self.table = table_of(table, schema)
        self._database = Database(engine, self.table)
        columns = self.table.c
        is_at_key = columns.key == bindparam("the_key")
        is_alive = or_(columns.expires.is_(None), columns.expires > bindparam("now"))
        has_expired = columns.expires <= bindparam("now")
        is_as_expected = and_(is_at_key, columns.data == bindparam("old"), is_alive)
        has_handle = columns.handle == bindparam("the_handle")
        is_theirs = and_(columns.owner == bindparam("the_owner"), has_handle)
        is_no_marker = or_(columns.owner.is_(None), columns.owner != NOBODY)
        self._load = select(columns.id, columns.data, columns.expires, columns.owner, columns.handle).where(
            is_at_key, is_alive
        )
        # By the row's number as well, since its key can be that of a marker by now.
        self._touch = update(self.table).where(columns.id == bindparam("the_id"), is_at_key, is_alive)
        self._insert = insert(self.table)
        self._revive = update(self.table).where(is_at_key, has_expired)
        self._replace = update(self.table).where(is_as_expected)
        self._remove = delete(self.table).where(is_as_expected)
        self._delete = delete(self.table).where(columns.key.in_(bindparam("keys", expanding=True)))
        self._expired = select(columns.id).where(has_expired).order_by(columns.expires).limit(bindparam("limit"))
        self._sweep = delete(self.table).where(columns.id.in_(bindparam("ids", expanding=True)), has_expired)
        self._clear = delete(self.table).where(is_at_key, has_expired)
        self._enlist = update(self.table).where(is_at_key, is_alive, is_no_marker)
        self._take_away = update(self.table).where(has_handle, columns.key != bindparam("the_key"))
        self._unlist = update(self.table).where(is_theirs)
        self._find = select(columns.id).where(is_theirs, is_alive)
        self._list = select(columns.handle, columns.key).where(columns.owner == bindparam("the_owner"), is_alive)

    # --- Records ----------------------------------------------------------------------------------------------------

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        now = time.time()
        rows = self._database.rows(self._load, {"the_key": key, "now": now})
        if not rows:
            return None
        (row,) = rows
        if ttl is not None and (row.expires is None or not ttl * (1 - UNTOUCHED_SHARE) <= row.expires - now <= ttl + 1):
            # Where that fails, as it does while somebody else writes for long, what was read is right all the same.
            with suppress(SessionStoreError):
                touched = {"the_id": row.id, "the_key": key, "now": now, "expires": end_of(ttl, now)}
                self._database.change(self._touch, touched)
        return Record.of(row)

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        for _ in range(ATTEMPTS):
            now = time.time()
            values = {"data": data, "expires": end_of(ttl, now), "owner": None, "handle": None}
            with suppress(Taken):
                self._database.change(self._insert, {"key": key, **values})
                return True
            # One that has expired is as good as none.
            if self._database.change(self._revive, {"the_key": key, "now": now, **values}):
                return True
            if self.load(key) is not None:
                return False
        raise overtaken()

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        for _ in range(ATTEMPTS):
            now = time.time()
            expected = {"the_key": key, "old": bytes(old), "now": now}
            if new is None:
                count = self._database.change(self._remove, expected)
            else:
                count = self._database.change(self._replace, {**expected, "data": new, "expires": end_of(ttl, now)})
            if count:
                return True
            found = self.load(key)
            if found is None:
                return False
            if found != old:
                return found
            if new == old:
                # The driver counts the rows that were changed, not those that were found.
                return True
        raise overtaken()

    def delete(self, *keys: str) -> None:
        # In order, so that two who delete the same seldom wait for each other.
        ordered = sorted(set(keys))
        for first in range(0, len(ordered), AT_ONCE):
            self._database.change(self._delete, {"keys": ordered[first : first + AT_ONCE]})

    def expires_in(self, key: str) -> int | None:
        now = time.time()
        rows = self._database.rows(self._load, {"the_key": key, "now": now})
        return None if not rows or rows[0].expires is None else int(rows[0].expires - now)

    def sweep(self, limit: int) -> int:
        # In two statements, since MariaDB takes no LIMIT in a subquery. What is given new life in between stays.
        now = time.time()
        ids = [row.id for row in self._database.rows(self._expired, {"now": now, "limit": limit})]
        removed = 0
        for first in range(0, len(ids), AT_ONCE):
            some = sorted(ids[first : first + AT_ONCE])
            removed += self._database.change(self._sweep, {"ids": some, "now": now})
        return removed

    # --- Moving -----------------------------------------------------------------------------------------------------

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        for _ in range(ATTEMPTS):
            now = time.time()
            expected = {"the_key": key, "old": bytes(old), "now": now}
            moved = {**expected, "key": new_key, "data": new, "expires": end_of(ttl, now)}
            marker = {"key": key, "data": left, "expires": now + MOVED_TTL, "owner": NOBODY, "handle": None}
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

        return self._database.run(act, in_transaction=True)

    # --- Whose they are ---------------------------------------------------------------------------------------------

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        """List the session stored at ``key``, which has to be there. It is listed for as long as it is stored."""
        theirs = {"the_owner": owner, "the_handle": handle, "now": time.time()}
        if not renew:
            listed = {"the_key": key, "now": theirs["now"], "owner": owner, "handle": handle}
            try:
                count = self._database.change(self._enlist, listed)
            except Taken:
                count = self._relist(listed)
            if count:
                return True
        return bool(self._database.rows(self._find, theirs))

    def _relist(self, listed: Values) -> int:
        """Take the handle away from the row that has it, and give it to another."""

        def act(connection: Connection) -> int:
            others = {"the_handle": listed["handle"], "the_key": listed["the_key"], "owner": None, "handle": None}
            connection.execute(self._take_away, others)
            return connection.execute(self._enlist, listed).rowcount

        return self._database.run(act, in_transaction=True)

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        if isinstance(record, Record):
            return record.owner == owner and record.handle == handle
        return bool(
            self._database.rows(self._find, {"the_owner": owner, "the_handle": handle, "now": time.time()}),
        )

    def listed(self, owner: str) -> list[tuple[str, str]]:
        rows = self._database.rows(self._list, {"the_owner": owner, "now": time.time()})
        return [(row.handle, row.key) for row in rows]

    def unlist(self, owner: str, handle: str) -> None:
        nobodys = {"owner": None, "handle": None}
        self._database.change(self._unlist, {"the_owner": owner, "the_handle": handle, **nobodys})

    def end(self, handle: str) -> bool:
        return self._end(self.table.c.handle == handle) > 0

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        columns = self.table.c
        is_theirs = columns.owner == owner
        return self._end(and_(is_theirs, columns.handle.not_in(list(keep))) if keep else is_theirs)

    def _end(self, which: ColumnElement[bool]) -> int:
        """Delete rows, those that have expired as well, and return how many had not."""
        statement = delete(self.table).where(which)

        def act(connection: Connection) -> int:
            if not connection.dialect.delete_returning:
                return connection.execute(statement).rowcount
            now = time.time()
            ends = connection.scalars(statement.returning(self.table.c.expires))
            return sum(end is None or end > now for end in ends)

        return self._database.run(act)

    # --- The database -----------------------------------------------------------------------------------------------

    def init_db(self) -> None:
        """Create the table and its indexes, as far as they are absent."""
        self._database.make_table()

    def close(self) -> None:
        """Close all connections that are not in use, where the engine was made from a URL."""
        self._database.close()


class Record(bytes):
    """A record that knows what else its row says: whose session it is."""

    owner: str | None
    handle: str | None

    @classmethod
    def of(cls, row: t.Any) -> Record:
        record = cls(row.data)
        record.owner, record.handle = row.owner, row.handle
        return record


class FlaskSessionTable:
    """Reads the sessions that Flask-Session keeps in an SQL database with ``SESSION_TYPE="sqlalchemy"``.

    ``engine`` is what :class:`SQLAlchemyStore` takes, and the rest what Flask-Session is configured with.
    """

    def __init__(
        self, engine: Source, table: str = "sessions", schema: str | None = None, key_prefix: str = "session:"
    ) -> None:
        self.key_prefix = key_prefix
        columns: list[Column[t.Any]] = [
            Column("session_id", String(255)),
            Column("data", LargeBinary),
            Column("expiry", DateTime),
        ]
        self.table = Table(table, MetaData(), *columns, schema=schema)
        self._database = Database(engine)
        self._load = select(self.table).where(self.table.c.session_id == bindparam("key"))

    def load(self, sid: str) -> bytes | None:
        """Return the record of a session that has not expired, as Flask-Session has encoded it."""
        key = self.key_prefix + sid
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        for row in self._database.rows(self._load, {"key": key}):
            # To MariaDB keys that differ in case are the same.
            if row.session_id == key and row.expiry is not None and row.expiry > now:
                return None if row.data is None else bytes(row.data)
        return None

    def close(self) -> None:
        """Close all connections that are not in use, where the engine was made from a URL."""
        self._database.close()


# --- The table ------------------------------------------------------------------------------------------------------


def table_of(name: object, schema: str | None = None) -> Table:
    # Names of indexes are made of it, and PostgreSQL cuts these at 63.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,47}", name):
        raise ValueError(f"SESSION_SQLALCHEMY_TABLE is up to 48 letters, digits and underscores, not {name!r}")
    return Table(
        name,
        MetaData(),
        Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
        Column("key", text_of(250), nullable=False),
        Column("data", LargeBinary().with_variant(mysql.MEDIUMBLOB, "mysql", "mariadb"), nullable=False),
        Column("expires", Double),
        Column("owner", text_of(250)),
        Column("handle", text_of(40)),
        UniqueConstraint("key", name=f"uq_{name}_key"),
        UniqueConstraint("handle", name=f"uq_{name}_handle"),
        Index(f"ix_{name}_expires", "expires"),
        Index(f"ix_{name}_owner", "owner"),
        schema=schema,
        # No number of a new row is asked for.
        implicit_returning=False,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def text_of(length: int) -> TypeEngine[str]:
    """ASCII compared byte by byte: MariaDB takes keys that differ in case for the same unless it is told."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
    )


def make(table: Table, connection: Connection) -> None:
    if not inspect(connection).has_table(table.name, table.schema):
        connection.execute(CreateTable(table, if_not_exists=True))
    inspector = inspect(connection)
    if not {column["name"] for column in inspector.get_columns(table.name, table.schema)} >= set(table.c.keys()):
        raise SessionStoreError(
            f"there is another table {table.name}: set SESSION_SQLALCHEMY_TABLE to a name of its own"
        )
    present = {index["name"] for index in inspector.get_indexes(table.name, table.schema)}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.name not in present:
            connection.execute(CreateIndex(index))


# --- Connections ----------------------------------------------------------------------------------------------------


class Taken(SessionStoreError):
    """Another row has the key, or the handle."""


@dataclass
class Engines:
    """How statements are run, by the connections of one pool."""

    #: For what is one statement.
    single: Engine
    #: For transactions of several statements, with the isolation level that these need.
    transactional: Engine
    #: Whether what changes something in one statement has to be committed.
    commits: bool
    is_ours: bool


class Database:
    """Runs statements, and repeats them where that helps; errors come as :exc:`SessionStoreError`.

    All that is run here can be repeated though its answer was lost and it was done the first time.
    """

    def __init__(self, source: Source, table: Table | None = None) -> None:
        self._table = table
        self._ask: Callable[[], Engine] | None = None
        self._engines: Engines | None = None
        if isinstance(source, Engine):
            self._engines = engines_of(source)
        elif isinstance(source, (str, URL)):
            self._engines = own_engines(source)
        elif is_asynchronous(source):
            raise ValueError("SESSION_SQLALCHEMY is an Engine of create_engine(), not of create_async_engine()")
        elif hasattr(type(source), "engine"):
            # Not to be asked here: there may be no app context, nor an app that it knows.
            self._ask = lambda: t.cast(HasEngine, source).engine
        elif callable(source):
            self._ask = source
        else:
            kind = f"{type(source).__module__}.{type(source).__qualname__}"
            raise ValueError(f"SESSION_SQLALCHEMY is an Engine, a URL or a Flask-SQLAlchemy object, not {kind}")
        DATABASES.add(self)

    def rows(self, statement: Executable, values: Values) -> t.Sequence[t.Any]:
        return self.run(lambda connection: connection.execute(statement, values).all(), changes=False)

    def change(self, statement: Executable, values: Values) -> int:
        """Run a statement, and return how many rows it has changed."""
        return self.run(lambda connection: connection.execute(statement, values).rowcount)

    def run(self, act: Callable[[Connection], T], *, changes: bool = True, in_transaction: bool = False) -> T:
        """Run what is one statement, or several ``in_transaction``."""
        was_lost = was_made = False
        for attempt in range(ATTEMPTS):
            try:
                return self._run_once(act, changes, in_transaction)
            except IntegrityError as error:
                raise self._failed(error, Taken) from error.orig
            except DBAPIError as error:
                if is_conflict(error) and attempt + 1 < ATTEMPTS:
                    wait(attempt)
                elif error.connection_invalidated and not was_lost:
                    # It was closed while nobody used it, when the server was restarted, say; the others are closed now.
                    was_lost = True
                elif not was_made and self._is_table_missing(error):
                    was_made = True
                    self.make_table()
                else:
                    raise self._failed(error) from error.orig
            except (SQLAlchemyError, OSError) as error:
                raise self._failed(error) from error
        raise overtaken()

    def _run_once(self, act: Callable[[Connection], T], changes: bool, in_transaction: bool) -> T:
        engines = self._engines or self._find_engines()
        with (engines.transactional if in_transaction else engines.single).connect() as connection:
            try:
                result = act(connection)
                if changes and (in_transaction or engines.commits):
                    connection.commit()
            except DBAPIError:
                raise
            except BaseException:
                # A signal or a greenlet's time limit, perhaps: who knows what is still to be read from the connection.
                if not connection.closed and not connection.invalidated:
                    connection.invalidate()
                raise
            return result

    def _find_engines(self) -> Engines:
        assert self._ask is not None
        engine = self._ask()
        if not isinstance(engine, Engine):
            raise TypeError(f"SESSION_SQLALCHEMY gave no Engine when it was asked, but {type(engine).__name__}")
        self._engines = engines_of(engine)
        return self._engines

    def _is_table_missing(self, error: DBAPIError) -> bool:
        # Where no statement was sent, there is no connection that could tell.
        if self._table is None or self._engines is None or error.statement is None or error.connection_invalidated:
            return False
        with suppress(SQLAlchemyError, OSError), self._engines.transactional.connect() as connection:
            return not inspect(connection).has_table(self._table.name, self._table.schema)
        return False

    def make_table(self) -> None:
        assert self._table is not None
        engines = self._engines or self._find_engines()
        for attempt in range(MAKING):
            try:
                with engines.transactional.begin() as connection:
                    make(self._table, connection)
                return
            except (SQLAlchemyError, OSError) as error:
                # Another process may be making it as well.
                if attempt + 1 == MAKING:
                    hint = "a user who may create it can run `flask session init-db`"
                    raise SessionStoreError(
                        f"the table {self._table.name} could not be created, {hint}: {self._failed(error)}"
                    ) from getattr(error, "orig", error)
            time.sleep(0.05)

    def _failed(self, error: Exception, kind: type[SessionStoreError] = SessionStoreError) -> SessionStoreError:
        engine = None if self._engines is None else self._engines.single
        name = "SQL" if engine is None else engine.dialect.name
        return kind(f"the session store in {name} failed: {text_without_values(error, engine)}")

    def close(self) -> None:
        if self._engines is not None and self._engines.is_ours:
            self._engines.single.dispose()

    def _after_fork_in_child(self) -> None:
        if self._engines is not None:
            # Kept, so that no finalizer says goodbye on connections that are the parent's.
            INHERITED.append(self._engines.single.pool)
            self._engines.single.dispose(close=False)


#: How often a table is tried to be made.
MAKING = 5


def engines_of(engine: Engine) -> Engines:
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ValueError(
            f"SESSION_SQLALCHEMY has a {type(engine.pool).__name__}, as databases in memory have, whose one connection"
            " sessions would share with the transactions of the app: use a file, or a pool of connections"
        )
    # Where it costs no round trip, connections commit by themselves while they are borrowed.
    is_free = engine.dialect.name in ("postgresql", "sqlite")
    single = engine.execution_options(isolation_level="AUTOCOMMIT") if is_free else engine
    return Engines(single, transactional(engine), commits=not is_free, is_ours=False)


def own_engines(url: str | URL) -> Engines:
    options: dict[str, t.Any] = {"hide_parameters": True, "isolation_level": "AUTOCOMMIT"}
    if hasattr(DefaultDialect, "skip_autocommit_rollback"):
        # Nothing is to be rolled back then, which is a round trip to MariaDB.
        options["skip_autocommit_rollback"] = True
    try:
        url = make_url(url)
        driver = url.get_driver_name()
        if driver in ("psycopg", "psycopg2", "pymysql", "mysqldb") and "connect_timeout" not in url.query:
            options["connect_args"] = {"connect_timeout": 10}
        if url.get_backend_name() != "sqlite":
            # Connections are borrowed for a statement. Firewalls forget those that idle for some minutes.
            options.update(pool_size=5, max_overflow=10, pool_timeout=10, pool_recycle=300, pool_use_lifo=True)
        engine = create_engine(url, **options)
    except NoSuchModuleError as error:
        raise ValueError(f"SESSION_SQLALCHEMY is of a database that SQLAlchemy does not know: {error}") from None
    except ArgumentError:
        raise ValueError(
            "SESSION_SQLALCHEMY is not a URL such as postgresql+psycopg://user:password@host/name"
        ) from None
    except ImportError as error:
        raise ValueError(f"SESSION_SQLALCHEMY needs a package that is not installed: {error.name}") from error
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ValueError("SESSION_SQLALCHEMY is a database in memory, which threads cannot share: use a file")
    statement = READ_COMMITTED.get(engine.dialect.name)
    if statement is not None:

        @event.listens_for(engine, "connect")
        def set_isolation(connection: t.Any, record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(statement)
            cursor.close()

    return Engines(engine, transactional(engine), commits=False, is_ours=True)


READ_COMMITTED = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "mysql": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "mariadb": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
}


def transactional(engine: Engine) -> Engine:
    # SQLite knows no other level.
    return engine.execution_options(
        isolation_level="SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
    )


def is_asynchronous(source: object) -> bool:
    return hasattr(type(source), "sync_engine")


def is_conflict(error: DBAPIError) -> bool:
    return not CONFLICTS.isdisjoint(codes_of(error.orig))


def codes_of(error: object) -> t.Iterator[object]:
    """What drivers say of an error: the SQLSTATE, or the number."""
    for name in ("sqlstate", "pgcode", "errno"):
        yield getattr(error, name, None)
    for argument in getattr(error, "args", ())[:1]:
        # pg8000 has the fields of PostgreSQL's message.
        yield argument.get("C") if isinstance(argument, dict) else argument


def text_without_values(error: Exception, engine: Engine | None) -> str:
    """What the driver says, but for what it quotes of a key or of the URL's password."""
    cause = getattr(error, "orig", None) or error
    # What follows in other lines are details, such as the key that is there already.
    text = f"{type(cause).__name__}: {cause}".partition("\n")[0]
    parameters = getattr(error, "params", None) or ()
    values = [*(parameters.values() if isinstance(parameters, dict) else parameters)]
    if engine is not None:
        values.append(engine.url.password)
    for value in values:
        if isinstance(value, str) and value:
            text = text.replace(value, "...")
    return text


def wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.001 * 2**attempt, LONGEST_WAIT)))


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"a session was overtaken {ATTEMPTS} times by what others did with it")


def end_of(ttl: int | None, now: float) -> float | None:
    return None if ttl is None else now + ttl


DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()

#: Pools of the parent process.
INHERITED: list[Pool] = []


def _after_fork_in_child() -> None:
    for database in list(DATABASES):
        database._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
