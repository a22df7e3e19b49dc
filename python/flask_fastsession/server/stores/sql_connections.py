"""Connections to SQL databases: how statements are run, when they are repeated, and how errors are reported."""

from __future__ import annotations

import os
import random
import time
import typing as t
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import Executable
from sqlalchemy import MetaData
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import inspect
from sqlalchemy import make_url
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

from ..store import SessionStoreError

T = t.TypeVar("T")
Values: t.TypeAlias = "dict[str, t.Any]"

#: How many times a statement that conflicts with those of others is tried, and the longest wait in between, in seconds.
ATTEMPTS = 30
LONGEST_WAIT = 0.1

#: How many times a process tries to create the tables while others create them, too.
CREATIONS = 5

#: The codes of a deadlock or a failed serialization: SQLSTATE, or the error numbers of MariaDB and MySQL. The database
#: has then rolled back the whole transaction.
CONFLICTS = frozenset(["40001", "40P01", 1020, 1213])

#: The number of MariaDB's and MySQL's error that what listens to the app's engine has begun a transaction already.
IN_TRANSACTION = 1568

#: The codes of a table or a column that does not exist, in the same way.
NOT_THERE = frozenset(["42P01", 1146, "42703", 1054])


class HasEngine(t.Protocol):
    """An object that has an engine when it is first used, such as a Flask-SQLAlchemy object in an app context."""

    @property
    def engine(self) -> Engine: ...


Source: t.TypeAlias = "Engine | URL | str | HasEngine | Callable[[], Engine]"


class Taken(SessionStoreError):
    """Another row has the key, or the handle."""


@dataclass
class Access:
    """An engine, and how statements are run on its connections."""

    engine: Engine
    #: Whether its connections are to commit each statement automatically.
    autocommits: bool
    is_ours: bool

    def ready(self, connection: Connection) -> Connection:
        if connection.in_transaction():
            # What listens to the app's engine has begun it. It may have set something for the connection.
            connection.commit()
        if not self.autocommits or self.is_ours:
            return connection
        # Not as an option of the engine. One that the app has given to its engine would count instead.
        try:
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        except self.engine.dialect.loaded_dbapi.Error:
            # psycopg refuses while there is a transaction: of what listens to the pool, such as a SET for each session.
            connection.connection.commit()
            return connection.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def needs_commit(self) -> bool:
        """Whether a single change may be in a transaction: what listens to the app's engine may have begun one."""
        return not (self.autocommits and self.is_ours)

    @property
    def begin(self) -> tuple[str, ...]:
        return BEGIN.get(self.engine.dialect.name, ())


class Database:
    """Runs statements, repeats them if that may help, and raises errors as :exc:`SessionStoreError`.

    A statement may be repeated whose result was lost, even though the database has executed it the first time.
    """

    def __init__(self, source: Source, tables: MetaData | None = None) -> None:
        self._tables = tables
        self._ask: Callable[[], Engine] | None = None
        self._access: Access | None = None
        if isinstance(source, Engine):
            self._access = access_to(source)
        elif isinstance(source, (str, URL)):
            self._access = own_access(source)
        elif isinstance(source, type):
            raise ValueError(f"SESSION_SQLALCHEMY is the class {source.__qualname__}, and must be an object of it")
        elif is_asynchronous(source):
            raise ValueError("SESSION_SQLALCHEMY must be an Engine of create_engine(), not of create_async_engine()")
        elif hasattr(type(source), "engine"):
            # Not here, because there may be no app context yet, and init_app may not have been called.
            self._ask = lambda: t.cast(HasEngine, source).engine
        elif callable(source) and not type(source).__module__.startswith("sqlalchemy."):
            self._ask = source
        else:
            kind = f"{type(source).__module__}.{type(source).__qualname__}"
            raise ValueError(f"SESSION_SQLALCHEMY must be an Engine, a URL or a Flask-SQLAlchemy object, not {kind}")
        DATABASES.add(self)

    def rows(self, statement: Executable, values: Values) -> t.Sequence[t.Any]:
        return self.run(lambda connection: connection.execute(statement, values).all(), changes=False)

    def change(self, statement: Executable, values: Values) -> int:
        """Run a statement, and return how many rows it has changed. Raise :exc:`Taken` if a unique value is taken."""
        return self.run(lambda connection: connection.execute(statement, values).rowcount)

    def run(self, act: Callable[[Connection], T], *, changes: bool = True, in_transaction: bool = False) -> T:
        """Call ``act``, which runs one statement, or several if ``in_transaction`` is true."""
        was_lost = were_created = False
        for attempt in range(ATTEMPTS):
            try:
                return self._run_once(act, changes, in_transaction)
            except IntegrityError as error:
                raise self._failed(error, Taken) from error.orig
            except DBAPIError as error:
                if is_conflict(error) and attempt + 1 < ATTEMPTS:
                    wait(attempt)
                elif error.connection_invalidated and not was_lost:
                    # The connection was closed while it was idle, for example because the server was restarted. The
                    # pool has now closed its other connections as well.
                    was_lost = True
                elif self._tables is not None and is_not_there(error) and not were_created:
                    were_created = True
                    # Where a column is missing, the table is another's, and this says so.
                    self.create_tables()
                else:
                    raise self._failed(error) from error.orig
            except Exception as error:
                if not self._is_of_database(error):
                    raise
                raise self._failed(error) from error
        raise overtaken()

    def _run_once(self, act: Callable[[Connection], T], changes: bool, in_transaction: bool) -> T:
        access = self._access or self._find_access()
        with access.engine.connect() as connection:
            try:
                connection = access.ready(connection)
                if in_transaction and access.begin:
                    return in_own_transaction(connection, access.begin, act)
                result = act(connection)
                if in_transaction or (changes and access.needs_commit):
                    connection.commit()
                return result
            except DBAPIError:
                raise
            except BaseException:
                # Perhaps from a signal or a timeout of gevent. A reply may still be unread on the connection.
                if not connection.closed and not connection.invalidated:
                    connection.invalidate()
                raise

    def _is_of_database(self, error: Exception) -> bool:
        if isinstance(error, (SQLAlchemyError, OSError)):
            return True
        # While a connection is taken from the pool, SQLAlchemy does not wrap errors of the driver.
        return self._access is not None and isinstance(error, self._access.engine.dialect.loaded_dbapi.Error)

    def _find_access(self) -> Access:
        assert self._ask is not None
        engine = self._ask()
        if not isinstance(engine, Engine):
            raise TypeError(f"SESSION_SQLALCHEMY must return an Engine, not {type(engine).__name__}")
        self._access = access_to(engine)
        return self._access

    def create_tables(self) -> list[str]:
        """Create the tables that do not exist, and return their names."""
        tables = self._tables
        assert tables is not None
        for attempt in range(CREATIONS):
            try:
                return self._run_once(partial(create, tables), changes=True, in_transaction=True)
            except Exception as error:
                if not self._is_of_database(error):
                    raise
                # Another process may be creating them, too. But SQLite has waited by itself, and perhaps for what the
                # app is about to commit after this.
                if attempt + 1 == CREATIONS or is_locked(error):
                    raise SessionStoreError(
                        "the tables could not be created; somebody who may create tables can do so by `flask session"
                        f" init-db`: {self._failed(error)}"
                    ) from getattr(error, "orig", error)
            time.sleep(0.05)
        raise AssertionError("the last attempt returns or raises")

    def _failed(self, error: Exception, kind: type[SessionStoreError] = SessionStoreError) -> SessionStoreError:
        engine = None if self._access is None else self._access.engine
        name = "SQL" if engine is None else engine.dialect.name
        return kind(f"the store in {name} failed: {text_without_values(error, engine)}")

    def close(self) -> None:
        if self._access is not None and self._access.is_ours:
            self._access.engine.dispose()

    def _after_fork_in_child(self) -> None:
        if self._access is not None:
            # Kept, so that no finalizer closes connections that the parent still uses.
            INHERITED.append(self._access.engine.pool)
            self._access.engine.dispose(close=False)


def create(metadata: MetaData, connection: Connection) -> list[str]:
    """Create the tables and indexes that do not exist, and return the names of the tables."""
    created = []
    for table in metadata.sorted_tables:
        if not inspect(connection).has_table(table.name, table.schema):
            connection.execute(CreateTable(table, if_not_exists=True))
            created.append(table.name)
        inspector = inspect(connection)
        if not {column["name"] for column in inspector.get_columns(table.name, table.schema)} >= set(table.c.keys()):
            raise SessionStoreError(
                f"the table {table.name} is another's: choose another name by SESSION_SQLALCHEMY_TABLE, or by the"
                " store's argument `table`"
            )
        present = {index["name"] for index in inspector.get_indexes(table.name, table.schema)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in present:
                connection.execute(CreateIndex(index))
    return created


def access_to(engine: Engine) -> Access:
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ValueError(
            f"SESSION_SQLALCHEMY has a {type(engine.pool).__name__}, as databases in memory have, whose one connection"
            " sessions would share with the transactions of the app: use a file, or a pool of connections"
        )
    # Autocommit only where switching it on for a borrowed connection costs no round trip.
    return Access(engine, autocommits=engine.dialect.name in ("postgresql", "sqlite"), is_ours=False)


def own_access(url: str | URL) -> Access:
    try:
        url = make_url(url)
    except (ArgumentError, ValueError):
        # The text of SQLAlchemy's error may quote the URL with its password.
        example = "postgresql+psycopg://user:password@host/name"
        raise ValueError(f"SESSION_SQLALCHEMY is not a URL such as {example}") from None
    options: dict[str, t.Any] = {"hide_parameters": True}
    autocommits = url.get_backend_name() in BEGIN
    if autocommits:
        options["isolation_level"] = "AUTOCOMMIT"
        if hasattr(DefaultDialect, "skip_autocommit_rollback"):
            # With autocommit there is nothing to roll back, and MariaDB takes a round trip for that.
            options["skip_autocommit_rollback"] = True
    try:
        if (
            url.get_driver_name() in ("psycopg", "psycopg2", "pymysql", "mysqldb")
            and "connect_timeout" not in url.query
        ):
            options["connect_args"] = {"connect_timeout": 10}
        if url.get_backend_name() != "sqlite":
            # A connection is borrowed for one call only. Firewalls drop connections that are idle for some minutes.
            options.update(pool_size=5, max_overflow=10, pool_timeout=10, pool_recycle=300, pool_use_lifo=True)
        engine = create_engine(url, **options)
    except NoSuchModuleError as error:
        raise ValueError(f"SESSION_SQLALCHEMY names a database that SQLAlchemy does not know: {error}") from None
    except ImportError as error:
        raise ValueError(f"SESSION_SQLALCHEMY needs a package that is not installed: {error.name}") from error
    except (TypeError, ValueError):
        # The driver's text may quote what is in the URL.
        raise ValueError("SESSION_SQLALCHEMY is a URL with options after the ? that its driver does not take") from None
    is_in_memory = ":memory:" in (url.database or "")
    if is_in_memory or isinstance(engine.pool, (StaticPool, SingletonThreadPool)):
        raise ValueError("SESSION_SQLALCHEMY is a database in memory, which threads cannot share: use a file")
    statement = READ_COMMITTED.get(engine.dialect.name)
    if statement is not None:

        @event.listens_for(engine, "connect")
        def set_isolation(connection: t.Any, record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(statement)
            cursor.close()

    return Access(engine, autocommits, is_ours=True)


READ_COMMITTED = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "mysql": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "mariadb": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
}


#: The statements that begin a transaction, with autocommit or without, and for any isolation level of the connection.
BEGIN = {
    "postgresql": ("BEGIN ISOLATION LEVEL READ COMMITTED",),
    "mysql": ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"),
    "mariadb": ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"),
    "sqlite": ("BEGIN IMMEDIATE",),
}


def in_own_transaction(connection: Connection, begin: tuple[str, ...], act: Callable[[Connection], T]) -> T:
    connection.begin()
    is_in_one = is_always_in_transaction(connection)
    if not is_in_one:
        begin_with(connection, begin)
    try:
        result = act(connection)
        if is_in_one:
            connection.commit()
        else:
            connection.exec_driver_sql("COMMIT")
    except DBAPIError as error:
        if is_in_one:
            connection.rollback()
        elif not error.connection_invalidated:
            roll_back(connection)
        raise
    return result


def begin_with(connection: Connection, statements: tuple[str, ...]) -> None:
    # SQLAlchemy's own way of setting the isolation level of a connection takes more round trips.
    try:
        for statement in statements:
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if IN_TRANSACTION not in codes_of(error.orig):
            raise
        connection.connection.commit()
        for statement in statements:
            connection.exec_driver_sql(statement)


def is_always_in_transaction(connection: Connection) -> bool:
    """End the transaction that an app's engine has begun on SQLite, and return whether there is another one at once.

    What listens to the engine may begin one, as SQLAlchemy advises, and so does Python with ``autocommit=False``.
    """
    if connection.dialect.name != "sqlite":
        return False
    driver: t.Any = connection.connection.driver_connection
    if driver.in_transaction:
        driver.rollback()
    return bool(driver.in_transaction)


def roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError as error:
        if not error.connection_invalidated:
            connection.invalidate()


def is_asynchronous(source: object) -> bool:
    return hasattr(type(source), "sync_engine")


def is_conflict(error: DBAPIError) -> bool:
    return not CONFLICTS.isdisjoint(codes_of(error.orig))


def is_not_there(error: DBAPIError) -> bool:
    # SQLite has no codes for this.
    texts = ("no such table", "no such column", "has no column")
    return not NOT_THERE.isdisjoint(codes_of(error.orig)) or any(text in str(error.orig) for text in texts)


def is_locked(error: Exception) -> bool:
    return "database is locked" in str(getattr(error, "orig", ""))


def codes_of(error: object) -> t.Iterator[object]:
    """The SQLSTATE or the number of an error, where the drivers put it."""
    for name in ("sqlstate", "pgcode", "errno"):
        yield getattr(error, name, None)
    for argument in getattr(error, "args", ())[:1]:
        # pg8000 has a dict of the fields in PostgreSQL's message.
        yield argument.get("C") if isinstance(argument, dict) else argument


def text_without_values(error: Exception, engine: Engine | None) -> str:
    """The text of the driver's error, without the values of parameters and the password of the URL."""
    cause = getattr(error, "orig", None) or error
    # Further lines have details, such as the key that is taken.
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
    return SessionStoreError(f"other transactions changed the same rows {ATTEMPTS} times first")


DATABASES: weakref.WeakSet[Database] = weakref.WeakSet()

#: Pools of the parent process.
INHERITED: list[Pool] = []


def _after_fork_in_child() -> None:
    for database in list(DATABASES):
        database._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
