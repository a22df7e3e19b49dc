"""Sessions in SQL databases: what the kit asks of a store, and what only databases do, on the real ones."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import sqlite3
import sys
import threading
import time
import traceback
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import flask
import flask_session
import flask_sqlalchemy
import pymysql
import pytest
import sqlalchemy
import sqlalchemy.orm
from sqlalchemy import Engine
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from flask_fastsession import ServerSession
from flask_fastsession import testing
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.store import MOVED_TTL
from flask_fastsession.server.store import MovingStore
from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.store import Store
from flask_fastsession.server.store import SweepingStore
from flask_fastsession.server.stores import sql
from flask_fastsession.server.stores.sql import FlaskSessionTable
from flask_fastsession.server.stores.sql import SQLAlchemyStore
from flask_fastsession.testing import ListingStoreTests
from flask_fastsession.testing import MovingStoreTests
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import SweepingStoreTests
from flask_fastsession.testing import seconds_left_of
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from . import peer
from .servers import SQLServer
from .servers import mariadb_server
from .servers import postgresql_server
from .servers import wait_until

SERVERS = ("postgresql", "mariadb")

#: How often a thief is raced.
ROUNDS = scaled(2, 50)

LONG = 1000


@pytest.fixture(params=("sqlite", *SERVERS))
def database(request: pytest.FixtureRequest) -> str:
    return t.cast(str, request.param)


@pytest.fixture(params=SERVERS)
def server_name(request: pytest.FixtureRequest) -> str:
    return t.cast(str, request.param)


@pytest.fixture
def server(server_name: str, request: pytest.FixtureRequest) -> SQLServer:
    return t.cast(SQLServer, request.getfixturevalue(f"{server_name}_process"))


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if database == "sqlite":
        # Without these, one of many that write without pause may wait for longer than SQLite does.
        with closing(sqlite3.connect(tmp_path / "sessions.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        return f"sqlite:///{tmp_path}/sessions.db?timeout=60"
    return t.cast(str, request.getfixturevalue(f"{database}_process").url)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The engine of an app, made without a thought of sessions."""
    engine = sqlalchemy.create_engine(url, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> SQLAlchemyStore:
    return SQLAlchemyStore(engine)


@pytest.fixture
def own_store(url: str) -> Iterator[SQLAlchemyStore]:
    with closing(SQLAlchemyStore(url)) as store:
        yield store


@pytest.fixture
def table() -> str:
    """The name of a table that is not there."""
    return f"own_{secrets.token_hex(4)}"


def drop(store: SQLAlchemyStore, engine: Engine) -> None:
    store.records.metadata.drop_all(engine)


def a_key() -> str:
    return f"session:{secrets.token_urlsafe(16)}"


def a_handle() -> str:
    return f"h.{secrets.token_urlsafe(16)}"


def an_owner() -> str:
    return f"owner:{secrets.token_urlsafe(16)}"


def begun(store: SQLAlchemyStore, owner: str) -> tuple[str, str]:
    handle, key = a_handle(), a_key()
    assert store.create(key, b"data", LONG)
    assert store.enlist(owner, handle, key, LONG, renew=False)
    return handle, key


def is_alive(store: SQLAlchemyStore, owner: str, handle: str, key: str) -> bool:
    record = store.load(key)
    return record is not None and not record.startswith(b"\0") and store.is_listed(owner, handle, record)


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        return time.time() + self.passed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sql, "time", clock)
    return clock


# --- The kit --------------------------------------------------------------------------------------------------------


class TestSQL(SweepingStoreTests, ListingStoreTests, MovingStoreTests, OwnerStoreTests):
    """On one side an engine of ours, on the other one of an app, as it is made by default."""

    sessions_listed = 100

    @pytest.fixture(autouse=True)
    def set_clock(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        # A round takes longer than it does in memory.
        monkeypatch.setattr(testing, "ROUNDS", 3)
        monkeypatch.setattr(testing, "THREADS", 5)

    def passes(self, seconds: float) -> None:
        self.clock.passed += seconds

    @pytest.fixture
    def store(self, own_store: SQLAlchemyStore) -> SQLAlchemyStore:
        return own_store

    @pytest.fixture
    def other_store(self, engine: Engine) -> SQLAlchemyStore:
        return SQLAlchemyStore(engine)


def test_what_a_move_leaves_behind_does_not_live_as_long_as_a_session(store: SQLAlchemyStore) -> None:
    key, new_key = secrets.token_hex(8), secrets.token_hex(8)
    store.create(key, b"old", LONG)
    assert store.move(key, new_key, b"old", b"new", LONG, b"\0left") is True
    assert store.load(key, LONG) == b"\0left"
    assert store.expires_in(key) in range(MOVED_TTL - 60, MOVED_TTL + 1)


def test_it_is_every_kind_of_store(store: SQLAlchemyStore) -> None:
    for kind in (Store, SweepingStore, MovingStore, OwnerStore):
        assert kind is Store or isinstance(store, kind)


def test_in_how_many_seconds_a_record_ends(store: SQLAlchemyStore, clock: Clock) -> None:
    key = a_key()
    assert store.expires_in(key) is None
    store.create(key, b"data", 100)
    clock.passed += 10
    assert store.expires_in(key) in seconds_left_of(90)
    store.replace(key, b"data", b"data", None)
    assert store.expires_in(key) is None


def test_a_write_leaves_an_expiry_that_is_about_right(store: SQLAlchemyStore, clock: Clock) -> None:
    key = a_key()
    store.create(key, b"data", 10_000)
    for passed, ttl, expected in ((400, 10_000, 9600), (200, 10_000, 10_000), (0, 100, 100), (0, 10_000, 10_000)):
        clock.passed += passed
        assert store.replace(key, b"data", b"new", ttl) is True
        assert store.expires_in(key) in seconds_left_of(expected)
        assert store.replace(key, b"new", b"data", ttl) is True
    new_key = a_key()
    assert store.move(key, new_key, b"data", b"data", 20_000, None) is True
    assert store.expires_in(new_key) in seconds_left_of(20_000)


def test_a_mark_is_not_kept_for_a_shorter_time(store: SQLAlchemyStore, clock: Clock) -> None:
    key = a_key()
    store.create(key, b"\0mark", 10_000)
    clock.passed += 400
    assert store.replace(key, b"\0mark", b"\0mark", 10_000) is True
    assert store.expires_in(key) in seconds_left_of(10_000)


def test_a_write_changes_no_index_of_postgresql(postgresql_process: SQLServer, table: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_process.url, pool_size=1)
    store, key = SQLAlchemyStore(engine, table), a_key()
    store.create(key, b"0", LONG)
    for number in range(10):
        assert store.replace(key, b"%d" % number, b"%d" % (number + 1), LONG) is True
    counts = sqlalchemy.text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = :table")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        assert tuple(connection.execute(counts, {"table": table}).one()) == (10, 10)
    drop(store, engine)


def test_a_record_beyond_64_kilobytes(store: SQLAlchemyStore) -> None:
    key, data = a_key(), secrets.token_bytes(500_000)
    assert store.create(key, data, LONG)
    assert store.load(key) == data
    assert store.replace(key, data, data[:-1], LONG) is True


def test_lists_are_swept_as_well(clock: Clock, engine: Engine, table: str) -> None:
    store, owner = SQLAlchemyStore(engine, table), an_owner()
    for _ in range(3):
        begun(store, owner)
    clock.passed += LONG + 1
    while store.sweep(2):
        pass
    for each in (store.records, store.owners):
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(each)).scalar() == 0
    drop(store, engine)


def test_a_listing_does_not_pass_to_another_record_at_the_same_key(store: SQLAlchemyStore, clock: Clock) -> None:
    owner, handle, key = an_owner(), a_handle(), a_key()
    store.create(key, b"data", 1)
    store.enlist(owner, handle, key, LONG, renew=False)
    clock.passed += 2
    assert store.create(key, b"data", LONG) is True
    assert not is_alive(store, owner, handle, key)
    assert store.listed(owner) == []


def test_a_session_can_be_listed_as_the_ones_and_the_others_at_once(store: SQLAlchemyStore) -> None:
    """While a request has it go from one to the other."""
    one, other, new_handle = an_owner(), an_owner(), a_handle()
    handle, key = begun(store, one)
    assert store.enlist(other, new_handle, key, LONG, renew=False) is True
    for owner, name in ((one, handle), (other, new_handle)):
        assert is_alive(store, owner, name, key)
        assert store.listed(owner) == [(name, key)]
    assert not is_alive(store, one, new_handle, key)
    store.unlist(one, handle)
    assert not is_alive(store, one, handle, key)
    assert is_alive(store, other, new_handle, key)


@pytest.mark.parametrize("renew", [True, False])
def test_what_was_left_behind_is_not_listed(store: SQLAlchemyStore, renew: bool) -> None:
    """A request that began before the session moved lists it where it was, and does not take it from where it is."""
    owner, new_key = an_owner(), a_key()
    handle, key = begun(store, owner)
    assert store.move(key, new_key, b"data", b"data", LONG, b"\0" + new_key.encode()) is True
    if renew:
        assert store.enlist(owner, handle, key, LONG, renew=True) is True
    else:
        assert store.enlist(owner, a_handle(), key, LONG, renew=False) is False
    assert store.listed(owner) == [(handle, new_key)]
    assert is_alive(store, owner, handle, new_key)


def test_a_record_that_says_nothing_of_lists_is_looked_up(store: SQLAlchemyStore) -> None:
    owner = an_owner()
    handle, _ = begun(store, owner)
    assert store.is_listed(owner, handle, b"data")
    assert not store.is_listed(an_owner(), handle, b"data")


# --- Statements -----------------------------------------------------------------------------------------------------


@contextmanager
def watched(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent, but those that begin and end transactions."""
    seen: list[str] = []

    def see(connection: object, cursor: object, statement: str, *_: object) -> None:
        word = statement.split()[0]
        if word not in ("BEGIN", "SET", "START", "COMMIT"):
            seen.append(word)

    event.listen(engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", see)


def test_statements_of_each_method(engine: Engine, table: str) -> None:
    """As the docs have them."""
    store = SQLAlchemyStore(engine, table)
    owner, (handle, key) = an_owner(), (a_handle(), a_key())
    loaded = [b""]

    def load(ttl: int | None) -> None:
        loaded[0] = store.load(key, ttl) or b""

    steps: list[tuple[str, Callable[[], object]]] = [
        ("INSERT", lambda: store.create(key, b"data", LONG)),
        ("INSERT", lambda: store.enlist(owner, handle, key, LONG, renew=False)),
        ("UPDATE", lambda: store.enlist(owner, handle, key, LONG, renew=True)),
        ("SELECT", lambda: load(LONG)),
        ("", lambda: store.is_listed(owner, handle, loaded[0])),
        ("SELECT UPDATE", lambda: load(2 * LONG)),
        ("UPDATE", lambda: store.replace(key, b"data", b"new", LONG)),
        ("UPDATE SELECT", lambda: store.replace(key, b"data", b"new", LONG)),
        ("SELECT", lambda: store.listed(owner)),
        ("UPDATE INSERT", lambda: store.move(key, key + "2", b"new", b"data", LONG, b"left")),
        ("UPDATE", lambda: store.move(key + "2", key + "3", b"data", b"new", LONG, None)),
        ("SELECT", lambda: store.expires_in(key)),
        ("DELETE", lambda: store.unlist(an_owner(), handle)),
        ("DELETE", lambda: store.replace(key + "3", b"new", None, None)),
        ("DELETE", lambda: store.delete(key, key + "2")),
        ("SELECT SELECT", lambda: store.sweep(10)),
    ]
    store.load(key)
    for expected, act in steps:
        with watched(engine) as seen:
            act()
        assert " ".join(seen) == expected
    begun(store, owner), begun(store, owner)
    with watched(engine) as seen:
        assert store.end_all(owner) == 3
    assert seen == ["DELETE", "DELETE"]
    drop(store, engine)


# --- Beside the app -------------------------------------------------------------------------------------------------


def test_transactions_of_the_app_are_its_own(store: SQLAlchemyStore, engine: Engine, table: str) -> None:
    key = a_key()
    store.create(key, b"data", LONG)
    notes = sqlalchemy.Table(table, sqlalchemy.MetaData(), sqlalchemy.Column("text", sqlalchemy.String(50)))
    notes.create(engine)
    with engine.connect() as connection:
        # To SQLite, where one writes at a time, only what is read can be in both.
        writes = engine.dialect.name != "sqlite"
        if writes:
            connection.execute(notes.insert().values(text="not to stay"))
            assert store.replace(key, b"data", b"new", LONG) is True
        assert store.load(key) == (b"new" if writes else b"data")
        connection.rollback()
        assert connection.execute(notes.select()).all() == []
        connection.execute(notes.insert().values(text="to stay"))
        connection.commit()
        assert connection.in_transaction() is False
    assert store.load(key) == (b"new" if writes else b"data")
    with engine.connect() as connection:
        assert connection.execute(notes.select()).all() == [("to stay",)]
        level = connection.get_isolation_level()
        assert level == connection.default_isolation_level != "AUTOCOMMIT"
    notes.drop(engine)


def begun_by_a_listener(statement: str) -> Callable[[str], Engine]:
    """As SQLAlchemy's documentation has it for SQLite whose transactions are to be real."""

    def create(url: str) -> Engine:
        engine = sqlalchemy.create_engine(url)

        @event.listens_for(engine, "connect")
        def leave_transactions_alone(connection: t.Any, record: object) -> None:
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql(statement)

        return engine

    return create


def listened_to(name: str, act: Callable[..., object]) -> Callable[[str], Engine]:
    def create(url: str) -> Engine:
        engine = sqlalchemy.create_engine(url)
        event.listen(engine, name, act)
        return engine

    return create


def select(connection: t.Any, *_: object) -> None:
    """Leave the connection in a transaction, unless the driver begins one only for changes."""
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    cursor.close()


def as_option(level: str, **options: t.Any) -> Callable[[str], Engine]:
    return lambda url: sqlalchemy.create_engine(url, execution_options={"isolation_level": level}, **options)


ENGINES_OF_APPS: dict[str, Callable[[str], Engine]] = {
    "a level": lambda url: sqlalchemy.create_engine(url, isolation_level="SERIALIZABLE"),
    "a level as an option": as_option("SERIALIZABLE"),
    "a level over autocommit": as_option("READ UNCOMMITTED", isolation_level="AUTOCOMMIT"),
    "a level of a copy": lambda url: sqlalchemy.create_engine(url).execution_options(isolation_level="SERIALIZABLE"),
    "autocommit": lambda url: sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT"),
    "asks at each use": listened_to("engine_connect", lambda connection: connection.scalar(sqlalchemy.select(1))),
    "asks before each use": lambda url: sqlalchemy.create_engine(url, pool_pre_ping=True),
    "a statement for each connection": listened_to("connect", select),
    "a statement for each use": listened_to("checkout", select),
    "no pool": lambda url: sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool),
}
ENGINES_ON_SQLITE = {f"{word} by a listener": begun_by_a_listener(word) for word in ("BEGIN", "BEGIN IMMEDIATE")}
if sys.version_info >= (3, 12):
    ENGINES_ON_SQLITE["autocommit of Python"] = lambda url: sqlalchemy.create_engine(
        url, connect_args={"autocommit": False}
    )


@pytest.mark.parametrize("kind", ENGINES_OF_APPS)
def test_what_is_done_with_the_engine_of_an_app_is_done(url: str, kind: str, table: str) -> None:
    check_what_is_done(ENGINES_OF_APPS[kind], url, table)


@pytest.mark.parametrize("kind", ENGINES_ON_SQLITE)
def test_what_is_done_with_the_engine_of_an_app_on_sqlite_is_done(tmp_path: Path, kind: str, table: str) -> None:
    check_what_is_done(ENGINES_ON_SQLITE[kind], f"sqlite:///{tmp_path}/sessions.db", table)


def check_what_is_done(create: Callable[[str], Engine], url: str, table: str) -> None:
    engine, fresh = create(url), create(url)
    store, owner = SQLAlchemyStore(engine, table), an_owner()
    with closing(SQLAlchemyStore(url, table)) as other:
        keys = [a_key() for _ in range(4)]
        for key in keys:
            assert store.load(key) is None
            assert store.create(key, b"data", LONG) is True
            assert other.load(key) == b"data"
            assert other.expires_in(key) in seconds_left_of(LONG)
            assert store.load(key, 2 * LONG) == b"data"
            assert other.expires_in(key) in seconds_left_of(2 * LONG)
            assert store.replace(key, b"data", b"new", LONG) is True
            assert other.load(key) == b"new"
            assert store.enlist(owner, f"h.{key}", key, LONG, False) is True
            assert len(other.listed(owner)) == keys.index(key) + 1
        assert store.move(keys[0], "new" + keys[0], b"new", b"moved", LONG, b"\0left") is True
        assert (other.load(keys[0]), other.load("new" + keys[0])) == (b"\0left", b"moved")
        assert store.move(keys[2], keys[3], b"new", b"moved", LONG, b"\0left") is False
        assert (other.load(keys[2]), other.load(keys[3])) == (b"new", b"new")
        assert store.replace(keys[1], b"new", None, None) is True
        assert other.load(keys[1]) is None
        assert store.end(f"h.{keys[2]}") is True
        assert other.load(keys[2]) is None
        assert store.end_all(owner) == 3
        assert (other.listed(owner), other.load(keys[3]), other.load("new" + keys[0])) == ([], None, None)
    with engine.connect() as connection, fresh.connect() as fresh_connection:
        assert connection.get_isolation_level() == fresh_connection.get_isolation_level()
    drop(store, sqlalchemy.create_engine(url))
    engine.dispose()
    fresh.dispose()


def test_transactions_of_the_engine_of_an_app_on_mariadb(mariadb_process: SQLServer, table: str) -> None:
    """There a look at a table is in a transaction, in which no other can be begun."""
    mariadb_process.execute(f"CREATE TABLE {table}_looked_at (number INT) ENGINE=InnoDB")

    def look(connection: t.Any, *_: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table}_looked_at")
        cursor.close()

    check_what_is_done(listened_to("checkout", look), mariadb_process.url, table)


def test_what_the_engine_of_an_app_sets_is_set(postgresql_process: SQLServer, table: str) -> None:
    def enter(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql(f"SET search_path TO {table}")

    postgresql_process.execute(f"CREATE SCHEMA {table}")
    store = SQLAlchemyStore(listened_to("engine_connect", enter)(postgresql_process.url), table)
    assert store.create("key", b"data", LONG) is True
    with closing(SQLAlchemyStore(postgresql_process.url, table, schema=table)) as other:
        assert other.load("key") == b"data"
    postgresql_process.execute(f"DROP SCHEMA {table} CASCADE")


def test_an_app_with_flask_sqlalchemy(url: str, table: str) -> None:
    database = flask_sqlalchemy.SQLAlchemy()
    app = flask.Flask("app")
    app.secret_key = "secret"
    app.config.update(SESSION_TYPE=SQLAlchemyStore(database, table), SQLALCHEMY_DATABASE_URI=url)
    # The store is made before the app is known to the database.
    sessions = ServerSession(app)
    database.init_app(app)

    class Note(database.Model):  # type: ignore[name-defined]
        __tablename__ = f"{table}_notes"
        id = database.Column(database.Integer, primary_key=True)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        database.session.add(Note())
        flask.session["user"] = user
        sessions.bind_user(flask.session, user)
        sessions.regenerate(flask.session)
        return "done"

    @app.get("/")
    def index() -> str:
        return f"{flask.session.get('user')} {Note.query.count()}"

    with app.app_context():
        database.create_all()
    client = app.test_client()
    assert client.get("/").text == "None 0"
    client.get("/login/ada")
    old = client.get_cookie("session")
    client.get("/login/ada")
    # What the app did not commit is not there, and what the session is, is.
    assert client.get("/").text == "ada 0"
    assert old is not None
    thief = app.test_client()
    thief.set_cookie("session", old.value)
    assert thief.get("/").text == "None 0"
    with app.app_context():
        assert len(sessions.sessions_of("ada")) == 1
        sessions.revoke_user("ada")
    assert client.get("/").text == "None 0"
    with app.app_context():
        database.drop_all()
        database.engine.dispose()


def test_flask_sqlalchemy_is_asked_in_an_app_context(tmp_path: Path) -> None:
    database = flask_sqlalchemy.SQLAlchemy()
    store = SQLAlchemyStore(database)
    with pytest.raises(RuntimeError, match="application context"):
        store.load("key")
    app = flask.Flask("app")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/app.db"
    database.init_app(app)
    with app.app_context():
        assert store.load("key") is None
    # From then on it has its engine.
    assert store.load("key") is None


def test_an_app_gives_flask_sqlalchemy_its_context(tmp_path: Path) -> None:
    """That of a request, a command or none: what is asked of the interface needs none."""
    database = flask_sqlalchemy.SQLAlchemy()
    app = flask.Flask("app")
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database)
    sessions = ServerSession(app)
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/app.db"
    database.init_app(app)
    assert sessions.sessions_of("ada") == []
    sessions.revoke_user("ada")
    with app.app_context():
        assert sqlalchemy.inspect(database.engine).has_table("fastsession")
        database.engine.dispose()


@pytest.mark.parametrize("setting", ["SESSION_TYPE", "SESSION_TAKE_OVER"])
def test_what_a_view_has_not_committed_yet_is_left_to_it(tmp_path: Path, setting: str) -> None:
    """Where SQLAlchemy's sessions are those of threads, the end of any context of the app removes one."""
    database = flask_sqlalchemy.SQLAlchemy(session_options={"scopefunc": threading.get_ident})
    app = flask.Flask("app", instance_path=str(tmp_path))
    app.config.update(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/app.db", SESSION_SQLALCHEMY=database)
    app.config[setting] = "sqlalchemy"
    ServerSession(app)
    database.init_app(app)

    class Order(database.Model):  # type: ignore[name-defined]
        id = database.Column(database.Integer, primary_key=True)

    old = database.Table("sessions", *(database.Column(name, database.DateTime) for name in ("data", "expiry")))
    old.append_column(database.Column("id", database.Integer, primary_key=True))
    old.append_column(database.Column("session_id", database.String(255)))
    with app.app_context():
        database.create_all()

    @app.post("/orders")
    def order() -> str:
        database.session.add(Order())
        flask.session.get("user")
        database.session.commit()
        return str(database.session.query(Order).count())

    client = app.test_client()
    client.set_cookie("session", "a" * 43)
    assert client.post("/orders").text == "1"
    with app.app_context():
        database.engine.dispose()


@pytest.mark.parametrize("source", ["sessions", "a source"])
def test_a_bind_key_names_the_database(tmp_path: Path, source: str) -> None:
    app = flask.Flask("app", instance_path=str(tmp_path))
    database = flask_sqlalchemy.SQLAlchemy()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/app.db",
        SQLALCHEMY_BINDS={"visitors": f"sqlite:///{tmp_path}/visitors.db"},
        SESSION_SQLALCHEMY=database,
        SESSION_SQLALCHEMY_BIND_KEY="visitors",
        **({"SESSION_TYPE": "sqlalchemy"} if source == "sessions" else {"SESSION_TAKE_OVER": "sqlalchemy"}),
    )
    ServerSession(app)
    database.init_app(app)
    app.get("/")(lambda: str(flask.session.get("user")))
    client = app.test_client()
    client.set_cookie("session", "a" * 43)
    # Flask-Session's table is not made by us.
    assert client.get("/").status_code == (200 if source == "sessions" else 500)
    # A file of SQLite is made when it is first connected to.
    assert (tmp_path / "visitors.db").exists()
    assert not (tmp_path / "app.db").exists()
    with app.app_context():
        for engine in database.engines.values():
            engine.dispose()


def test_a_bind_key_that_names_nothing(tmp_path: Path) -> None:
    app = flask.Flask("app")
    config: t.Any = {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY_BIND_KEY": "visitors"}
    app.config.update(config, SESSION_SQLALCHEMY=f"sqlite:///{tmp_path}/app.db")
    with pytest.raises(ValueError, match=r"BIND_KEY is for the SQLAlchemy object.*builtins\.str"):
        ServerSession(app)
    database = flask_sqlalchemy.SQLAlchemy()
    app.config.update(SESSION_SQLALCHEMY=database, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/app.db")
    sessions = ServerSession(app)
    database.init_app(app)
    with pytest.raises(ValueError, match="'visitors', which SQLALCHEMY_BINDS does not have"):
        sessions.sessions_of("ada")
    app = flask.Flask("app", instance_path=str(tmp_path))
    app.config.update(SESSION_TAKE_OVER="sqlalchemy", SESSION_SQLALCHEMY_BIND_KEY="visitors")
    app.config.update(SESSION_SQLALCHEMY=database, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/app.db")
    ServerSession(app)
    database.init_app(app)
    app.get("/")(lambda: str(flask.session.get("user")))
    client = app.test_client()
    client.set_cookie("session", "a" * 43)
    # Nobody is logged out by that.
    assert client.get("/").status_code == 500


@pytest.mark.parametrize("wanted", ["SESSION_TYPE", "SESSION_TAKE_OVER"])
@pytest.mark.parametrize("bind_key", [["visitors"], ("visitors", []), 5, b"visitors"], ids=repr)
def test_a_bind_key_that_is_no_name(tmp_path: Path, wanted: str, bind_key: object) -> None:
    app = flask.Flask("app", instance_path=str(tmp_path))
    app.config.update({wanted: "sqlalchemy", "SESSION_SQLALCHEMY": flask_sqlalchemy.SQLAlchemy()})
    app.config["SESSION_SQLALCHEMY_BIND_KEY"] = bind_key
    with pytest.raises(ValueError, match=f"BIND_KEY must be a name .*, not {re.escape(repr(bind_key))}"):
        ServerSession(app)


def test_a_function_may_give_the_engine(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/app.db")
    assert SQLAlchemyStore(lambda: engine).load("key") is None
    with pytest.raises(TypeError, match="must return an Engine"):
        SQLAlchemyStore(t.cast(t.Any, lambda: None)).load("key")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "not builtins.NoneType"),
        (17, "not builtins.int"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        (sqlalchemy.create_engine("sqlite://"), "SingletonThreadPool"),
        (sqlalchemy.create_engine("sqlite:///file", poolclass=sqlalchemy.StaticPool), "StaticPool"),
        ("localhost:5432", "is not a URL"),
        ("postgresql+psycopg://user:pass:word:secret@host:port/name", "is not a URL"),
        ("postgres://localhost/name", "does not know"),
        ("mysql+mysqldb://localhost/name", "not installed: MySQLdb"),
        (type("AsyncEngine", (), {"sync_engine": None})(), "create_async_engine"),
        (flask_sqlalchemy.SQLAlchemy, "the class SQLAlchemy, and must be an object of it"),
        (sqlalchemy.orm.sessionmaker(), "must be an Engine, a URL or a Flask-SQLAlchemy object"),
        (
            sqlalchemy.orm.scoped_session(sqlalchemy.orm.sessionmaker()),
            "must be an Engine, a URL or a Flask-SQLAlchemy",
        ),
        ("sqlite:///file::memory:?cache=shared&uri=true", "a database in memory"),
        ("sqlite:///shop.db?timeout=soon", "with options after the"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:30],
)
def test_what_is_no_database(source: t.Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        SQLAlchemyStore(source)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["", "a b", "1a", "x" * 41, 'a"b', "schema.table", None, 7])
def test_what_is_no_name_of_a_table(name: t.Any) -> None:
    with pytest.raises(ValueError, match="SESSION_SQLALCHEMY_TABLE"):
        SQLAlchemyStore("sqlite:///file", name)


# --- Tables ---------------------------------------------------------------------------------------------------------


def indexes(engine: Engine, store: SQLAlchemyStore) -> set[str | None]:
    inspector = sqlalchemy.inspect(engine)
    return {index["name"] for each in (store.records, store.owners) for index in inspector.get_indexes(each.name)}


def test_a_table_that_is_anothers_is_named(engine: Engine, url: str, table: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table} (id INTEGER, name VARCHAR(20))")
    for use in (
        lambda store: store.load("key"),
        lambda store: store.create("key", b"data", 9),
        SQLAlchemyStore.init_db,
    ):
        with pytest.raises(SessionStoreError, match=f"the table {table} is another's: choose another name"):
            use(SQLAlchemyStore(engine, table))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {table}")
        assert not sqlalchemy.inspect(connection).has_table(f"{table}_owners")


def test_tables_are_not_waited_for_again_and_again(tmp_path: Path, table: str) -> None:
    """SQLite has waited already, in vain: it is the app's own transaction that is in the way."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/app.db?timeout=0.1")
    begun = 0

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def count(connection: object, cursor: object, statement: str, *rest: object) -> None:
        nonlocal begun
        begun += statement == "BEGIN IMMEDIATE"

    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        begun = 0
        with pytest.raises(SessionStoreError, match=r"could not be created.*locked"):
            SQLAlchemyStore(engine, table).load("key")
    assert begun == 1
    engine.dispose()


def test_tables_are_created_at_first_use_or_before(engine: Engine, url: str, table: str) -> None:
    store = SQLAlchemyStore(engine, table)
    assert not sqlalchemy.inspect(engine).has_table(table)
    assert store.load("key") is None
    expected = {f"ix_{table}_expires", *(f"ix_{table}_owners_{name}" for name in ("owner", "record_id", "expires"))}
    assert indexes(engine, store) >= expected
    store.create("key", b"data", LONG)
    for index in store.records.indexes | store.owners.indexes:
        index.drop(engine)
    assert indexes(engine, store) & expected == set()
    with closing(SQLAlchemyStore(url, table)) as other:
        other.init_db()
        other.init_db()
    assert indexes(engine, store) >= expected
    assert store.load("key") == b"data"
    store.owners.drop(engine)
    assert store.enlist("owner", "handle", "key", LONG, renew=False) is True
    drop(store, engine)
    assert store.create("key", b"data", LONG) is True
    drop(store, engine)


def test_tables_are_created_by_many_at_once(url: str, table: str) -> None:
    stores = [SQLAlchemyStore(url, table) for _ in range(6)]
    barrier = threading.Barrier(len(stores))
    failures: list[BaseException] = []

    def begin(store: SQLAlchemyStore) -> None:
        try:
            barrier.wait()
            store.create(a_key(), b"data", LONG)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for store in stores:
        store.close()


def test_a_table_of_somebody_else_is_left_alone(engine: Engine, table: str) -> None:
    other = sqlalchemy.Table(table, sqlalchemy.MetaData(), sqlalchemy.Column("id", sqlalchemy.Integer))
    other.create(engine)
    store = SQLAlchemyStore(engine, table)
    with pytest.raises(SessionStoreError, match="SESSION_SQLALCHEMY_TABLE"):
        store.init_db()
    with pytest.raises(SessionStoreError):
        store.load("key")
    other.drop(engine)


def test_who_may_not_create_tables_is_told_who_can(server: SQLServer, server_name: str, table: str) -> None:
    user = f"user_{secrets.token_hex(4)}"
    rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON"
    if server_name == "postgresql":
        server.execute(f"CREATE ROLE {user} LOGIN")
    else:
        server.execute(f"CREATE USER {user}", f"{rights} test.* TO {user}")
    with closing(SQLAlchemyStore(server.url.replace("root@", f"{user}@"), table)) as store:
        for act in (store.init_db, lambda: store.load("key")):
            with pytest.raises(SessionStoreError, match="flask session init-db"):
                act()
        with closing(SQLAlchemyStore(server.url, table)) as admin:
            admin.init_db()
        if server_name == "postgresql":
            server.execute(f"{rights} {table}, {table}_owners TO {user}")
        # The right to use the tables is enough then.
        handle, key = begun(store, "owner")
        assert is_alive(store, "owner", handle, key)
        store.init_db()


# --- Errors ---------------------------------------------------------------------------------------------------------

#: Tracebacks quote the code here, but not what these stand for.
KEY, DATA = "-".join(["the", "key"]), b"-".join([b"the", b"data"])

CALLS: list[Callable[[SQLAlchemyStore], object]] = [
    lambda store: store.load(KEY),
    lambda store: store.load(KEY, 1000),
    lambda store: store.create(KEY, DATA, 1000),
    lambda store: store.replace(KEY, DATA, b"new", 1000),
    lambda store: store.replace(KEY, DATA, None, 1000),
    lambda store: store.delete(KEY),
    lambda store: store.move(KEY, "new-key", DATA, b"new", 1000, b"left"),
    lambda store: store.enlist("owner", "handle", KEY, 1000, False),
    lambda store: store.enlist("owner", "handle", KEY, 1000, True),
    lambda store: store.listed("owner"),
    lambda store: store.unlist("owner", "handle"),
    lambda store: store.end("handle"),
    lambda store: store.end_all("owner", ["handle"]),
    lambda store: store.sweep(10),
    lambda store: store.expires_in(KEY),
    lambda store: store.init_db(),
]


def test_errors_of_a_server_that_is_gone_quote_nothing_secret(server_name: str) -> None:
    start = postgresql_server if server_name == "postgresql" else mariadb_server
    with start() as server, ExitStack() as stack:
        url = server.url.replace("root@", "root:pass-word%2F@")
        if server_name == "mariadb":
            server.execute("SET PASSWORD FOR root@'127.0.0.1' = PASSWORD('pass-word/')")
            server.url = url
        own = stack.enter_context(closing(SQLAlchemyStore(url)))
        engine = sqlalchemy.create_engine(url)
        stack.callback(engine.dispose)
        stores = [own, SQLAlchemyStore(engine)]
        for store in stores:
            assert store.create(a_key(), b"data", LONG) is True
        server.kill()
        for call, store in itertools.product(CALLS, stores):
            with pytest.raises(SessionStoreError) as caught:
                call(store)
            text = "".join(traceback.format_exception(caught.value))
            assert not re.search("the-key|the-data|pass-word", text)
            assert isinstance(caught.value.__cause__, Exception)
        server.start()
        for store in stores:
            assert store.create(a_key(), b"data", LONG) is True


def close_all(server: SQLServer) -> None:
    """Have the server close all connections, as it does when it is restarted."""
    if "postgresql" in server.url:
        everyone = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        server.execute(f"SELECT pg_terminate_backend(pid, 1000) {everyone}")
    else:
        # It kills its own as well.
        with suppress(DBAPIError):
            server.execute("KILL USER root")


@pytest.mark.parametrize("whose", ["ours", "the app's"])
def test_connections_that_were_closed_are_not_noticed(server: SQLServer, whose: str) -> None:
    engine = sqlalchemy.create_engine(server.url)
    with closing(SQLAlchemyStore(server.url if whose == "ours" else engine)) as store:
        owner = an_owner()
        handle, key = begun(store, owner)
        acts: list[Callable[[], object]] = [
            lambda: store.load(key) == b"data",
            lambda: store.replace(key, b"data", b"new", LONG),
            lambda: store.move(key, key + "2", b"new", b"newer", LONG, b"left"),
            lambda: store.create(a_key(), b"data", LONG),
            lambda: store.enlist(owner, handle, key + "2", LONG, True),
            lambda: store.end_all(owner) == 1,
        ]
        for act in acts:
            close_all(server)
            assert act() is True
    engine.dispose()


def test_an_error_quotes_no_key(server: SQLServer, table: str) -> None:
    """Though the driver does."""
    with closing(SQLAlchemyStore(server.url, table)) as store:
        store.init_db()
        long_key = "k" * 251
        with pytest.raises(SessionStoreError) as caught:
            store.create(long_key, b"data", LONG)
        assert "kkkk" not in "".join(traceback.format_exception(caught.value))


class Interrupted(Exception):
    """What a signal's handler may raise anywhere."""


def test_a_connection_that_was_left_amid_an_answer_is_not_used_again(
    server: SQLServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sqlalchemy.create_engine(server.url, pool_size=1, max_overflow=0, pool_timeout=1)
    for store in (SQLAlchemyStore(engine), SQLAlchemyStore(server.url)):
        with closing(store):
            keys = [a_key() for _ in range(2)]
            for key in keys:
                store.create(key, key.encode(), LONG)
            with monkeypatch.context() as patch:
                if engine.dialect.name == "mysql":
                    patch.setattr(pymysql.connections.Connection, "_read_query_result", interrupted)
                else:
                    patch.setattr("psycopg.Cursor.fetchall", interrupted)
                for _ in range(3):
                    with pytest.raises(Interrupted):
                        store.load(keys[0])
            for _ in range(3):
                assert [store.load(key) for key in keys] == [key.encode() for key in keys]
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


def interrupted(*_: object, **__: object) -> t.NoReturn:
    raise Interrupted


def somebody_waits(engine: Engine) -> bool:
    """Whether a transaction waits for a lock of another one."""
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    with engine.connect() as connection:
        return bool(connection.execute(sqlalchemy.text(waiting[engine.dialect.name])).scalar())


def test_a_deadlock_is_tried_again(server: SQLServer) -> None:
    """One that is real: each has what the other wants."""
    engine = sqlalchemy.create_engine(server.url)
    store = SQLAlchemyStore(engine)
    one, other = a_key(), a_key()
    for key in (one, other):
        store.create(key, b"data", LONG)
    records = store.records
    has_begun, may_go_on = threading.Event(), threading.Event()
    tries = []

    def act(connection: sqlalchemy.Connection) -> int:
        tries.append(1)
        connection.execute(records.update().where(records.c.key == one).values(data=b"new"))
        has_begun.set()
        may_go_on.wait(HANGS_AFTER)
        return connection.execute(records.update().where(records.c.key == other).values(data=b"new")).rowcount

    def let_go_on() -> None:
        wait_until(lambda: somebody_waits(engine), "the app to wait for the store's change")
        may_go_on.set()

    threads = [
        threading.Thread(target=lambda: store._database.run(act, in_transaction=True)),
        threading.Thread(target=let_go_on),
    ]
    with engine.connect() as connection:
        # The store's is the victim: on MariaDB since it has fewer changes, on PostgreSQL since it looks for a deadlock
        # a second after it had to wait, when the app has waited for longer and looks only after an hour.
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SET deadlock_timeout = '1h'"))
        for _ in range(5):
            connection.execute(records.insert().values(key=a_key(), data=b"", moved=False))
        connection.execute(records.update().where(records.c.key == other).values(data=b"app"))
        threads[0].start()
        assert has_begun.wait(HANGS_AFTER)
        threads[1].start()
        connection.execute(records.update().where(records.c.key == one).values(data=b"app"))
        connection.commit()
    for thread in threads:
        thread.join(HANGS_AFTER)
    assert len(tries) == 2
    assert store.load(one) == store.load(other) == b"new"
    engine.dispose()


def test_a_driver_that_counts_changed_rows(mariadb_process: SQLServer) -> None:
    port = mariadb_process.port
    engine = sqlalchemy.create_engine(
        "mysql+pymysql://",
        creator=lambda: pymysql.connect(host="127.0.0.1", port=port, user="root", database="test"),
    )
    store, key = SQLAlchemyStore(engine), a_key()
    assert store.create(key, b"data", None) is True
    assert store.replace(key, b"data", b"data", None) is True
    assert store.replace(key, b"other", b"data", None) == b"data"
    handle, key = begun(store, "owner")
    assert store.enlist("owner", handle, key, LONG, renew=True) is True
    assert store.enlist("owner", handle, key, LONG, renew=False) is True
    engine.dispose()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_connections_are_not_shared_with_a_child(url: str, engine: Engine) -> None:
    with closing(SQLAlchemyStore(url)) as own:
        stores = [own, SQLAlchemyStore(engine)]
        keys = [a_key() for _ in range(2)]
        for key in keys:
            own.create(key, key.encode() * 100, LONG)
        assert [store.load(key) for store in stores for key in keys]
        children = []
        for number in range(3):
            child = os.fork()
            if not child:
                os._exit(0 if reads_right(stores, keys[number % 2]) else 1)
            children.append(child)
        assert reads_right(stores, keys[0])
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert reads_right(stores, keys[1])


def reads_right(stores: list[SQLAlchemyStore], key: str) -> bool:
    try:
        return all(store.load(key, LONG) == key.encode() * 100 for _ in range(50) for store in stores)
    except BaseException:
        traceback.print_exc()
        return False


# --- Races ----------------------------------------------------------------------------------------------------------


@dataclass
class Actor:
    """Does something in a thread of its own, and stops before one of its statements, its commit being one."""

    act: Callable[[], object]
    stop_at: int | None
    points: int = 0
    error: BaseException | None = None
    is_held: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        ACTORS[threading.get_ident()] = self
        try:
            self.act()
        except BaseException as error:
            self.error = error
        finally:
            del ACTORS[threading.get_ident()]
            self.is_held.set()

    def reach(self) -> None:
        point, self.points = self.points, self.points + 1
        if point == self.stop_at:
            self.is_held.set()
            self.may_go_on.wait(HANGS_AFTER)

    def finish(self) -> None:
        self.may_go_on.set()
        self.thread.join(HANGS_AFTER)
        assert not self.thread.is_alive()
        assert self.error is None


ACTORS: dict[int, Actor] = {}


def reach(connection: object, cursor: object, statement: str, *_: object) -> None:
    actor = ACTORS.get(threading.get_ident())
    if actor is not None and statement.split()[0] not in ("SET", "BEGIN", "START"):
        actor.reach()


@pytest.fixture(scope="module", params=SERVERS)
def stage(request: pytest.FixtureRequest) -> Iterator[SQLAlchemyStore]:
    """A store whose statements actors stop before."""
    engine = sqlalchemy.create_engine(request.getfixturevalue(f"{request.param}_process").url, pool_size=10)
    event.listen(engine, "before_cursor_execute", reach)
    yield SQLAlchemyStore(engine)
    engine.dispose()


def points_of(act: Callable[[], object]) -> int:
    actor = Actor(act, None)
    actor.start()
    actor.finish()
    return actor.points


@dataclass
class Scene:
    """A user's session, and what others do with it."""

    store: SQLAlchemyStore
    owner: str = field(default_factory=an_owner)
    new_key: str = field(default_factory=a_key)

    def __post_init__(self) -> None:
        self.handle, self.key = begun(self.store, self.owner)
        self.other_key = a_key()
        self.store.create(self.other_key, b"data", LONG)
        self.new_handle = a_handle()
        self.new_owner = an_owner()

    def move(self) -> object:
        return self.store.move(self.key, self.new_key, b"data", b"new", LONG, b"\0" + self.new_key.encode())

    def renew(self) -> object:
        return self.store.enlist(self.owner, self.handle, self.key, LONG, renew=True)

    def renew_elsewhere(self) -> object:
        return self.store.enlist(self.owner, self.handle, self.other_key, LONG, renew=True)

    def begin(self) -> object:
        self.store.create(self.new_key, b"data", LONG)
        return self.store.enlist(self.owner, self.new_handle, self.new_key, LONG, renew=False)

    def bind(self) -> object:
        """To another owner, as a login without a new id does."""
        is_listed = self.store.enlist(self.new_owner, self.new_handle, self.key, LONG, renew=False)
        return is_listed and self.store.replace(self.key, b"data", b"new", LONG)

    def move_twice(self) -> object:
        self.move()
        return self.store.move(self.new_key, self.new_key + "2", b"new", b"newer", LONG, None)

    def end_all(self) -> object:
        return self.store.end_all(self.owner)

    def end(self) -> object:
        return self.store.end(self.handle)

    def unlist(self) -> object:
        return self.store.unlist(self.owner, self.handle)

    def check(self) -> None:
        """The session that was listed has ended, wherever it is, and one that began meanwhile has or has not."""
        keys = [self.key, self.new_key, self.new_key + "2", self.other_key]
        assert [key for key in keys if is_alive(self.store, self.owner, self.handle, key)] == []
        assert self.handle not in dict(self.store.listed(self.owner))
        assert self.store.enlist(self.owner, self.handle, self.key, LONG, renew=True) is False
        left = self.store.listed(self.owner)
        assert left in ([], [(self.new_handle, self.new_key)])
        for handle, key in left:
            assert is_alive(self.store, self.owner, handle, key)


#: Seconds until somebody who does not come any further is taken to wait for a lock.
PATIENCE = 0.03

OTHERS = ("move", "move_twice", "renew", "renew_elsewhere", "begin", "bind")
ENDERS = ("end_all", "end", "unlist")


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("ender", ENDERS)
def test_what_ends_is_dead_wherever_two_stop(stage: SQLAlchemyStore, ender: str, other: str) -> None:
    """Each stops before each of its statements and commits, while the other one gets up to each of its own."""
    ends, others = (points_of(getattr(Scene(stage), name)) for name in (ender, other))
    both = [(first, second) for first in range(ends) for second in [*range(others), None]]
    both += [(first, second) for first in [*range(ends), None] for second in range(others)]
    for number, (end_at, other_at) in enumerate(both):
        scene = Scene(stage)
        actors = [Actor(getattr(scene, ender), end_at), Actor(getattr(scene, other), other_at)]
        first, second = actors if number < ends * (others + 1) else reversed(actors)
        first.start()
        assert first.is_held.wait(HANGS_AFTER)
        second.start()
        # Either may have to wait for what the other has locked.
        second.is_held.wait(PATIENCE)
        first.may_go_on.set()
        first.thread.join(PATIENCE)
        second.finish()
        first.finish()
        scene.check()


ENGINES: dict[str, Callable[[str], t.Any]] = {
    "ours": lambda url: url,
    "the app's": lambda url: sqlalchemy.create_engine(url, pool_size=10),
    "serializable": lambda url: sqlalchemy.create_engine(url, pool_size=10, isolation_level="SERIALIZABLE"),
}


@pytest.mark.parametrize("kind", ENGINES)
def test_no_thief_survives(server: SQLServer, kind: str) -> None:
    """Threads that move a user's sessions without pause, while all are ended once."""
    with closing(SQLAlchemyStore(ENGINES[kind](server.url))) as store:
        survivors = moves = 0
        for _ in range(ROUNDS):
            owner = an_owner()
            sessions = [begun(store, owner) for _ in range(4)]
            keys: list[list[str]] = [[key] for _, key in sessions]
            is_over = threading.Event()
            threads = [
                threading.Thread(target=move_on, args=(store, owner, handle, known, is_over))
                for (handle, _), known in zip(sessions, keys, strict=True)
            ]
            for thread in threads:
                thread.start()
            while not all(len(known) > 2 for known in keys):
                time.sleep(0.001)
            assert store.end_all(owner) == len(sessions)
            is_over.set()
            for thread in threads:
                thread.join()
            assert store.listed(owner) == []
            for (handle, _), known in zip(sessions, keys, strict=True):
                survivors += sum(is_alive(store, owner, handle, key) for key in known)
                moves += len(known) - 1
        assert survivors == 0
        assert moves >= 2 * 4 * ROUNDS
        print(f"{kind}: {survivors} of {4 * ROUNDS} survived; {moves} moves")


def move_on(store: SQLAlchemyStore, owner: str, handle: str, keys: list[str], is_over: threading.Event) -> None:
    while not is_over.is_set():
        new_key = a_key()
        store.enlist(owner, handle, keys[-1], LONG, renew=True)
        if store.move(keys[-1], new_key, b"data", b"data", LONG, b"\0" + new_key.encode()) is not True:
            return
        keys.append(new_key)


# --- Sessions of Flask-Session --------------------------------------------------------------------------------------


@pytest.fixture
def peer_app(url: str, table: str) -> Iterator[flask.Flask]:
    app = flask.Flask("peer")
    app.secret_key = "secret"
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY_TABLE=table)
    app.config["SESSION_SQLALCHEMY"] = flask_sqlalchemy.SQLAlchemy(app)
    flask_session.Session(app)
    with app.app_context():
        yield app
        app.config["SESSION_SQLALCHEMY"].engine.dispose()


def test_sessions_of_flask_session_are_read(peer_app: flask.Flask, engine: Engine, table: str) -> None:
    cookies = {user: peer.cookie_with(peer_app, {"user": user}) for user in range(3)}
    reader = FlaskSessionTable(engine, table)
    for user, cookie in cookies.items():
        assert reader.load(cookie) == b"\x82\xaa_permanent\xc3\xa4user" + bytes([user])
        assert reader.load(cookie.swapcase()) is None
        assert reader.load(cookie + " ") is None
    assert reader.load(secrets.token_urlsafe(32)) is None
    assert FlaskSessionTable(engine, table, key_prefix="other:").load(cookies[0]) is None
    with engine.begin() as connection:
        past = "UPDATE %s SET expiry = '2020-01-01 00:00:00' WHERE session_id = 'session:%s'"
        connection.exec_driver_sql(past % (table, cookies[0]))
        connection.exec_driver_sql(f"UPDATE {table} SET expiry = NULL WHERE session_id = 'session:{cookies[1]}'")
    assert [reader.load(cookie) is None for cookie in cookies.values()] == [True, True, False]
    # It only reads.
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 3


def test_a_table_of_flask_session_that_is_not_there_is_an_error(url: str, table: str) -> None:
    with closing(FlaskSessionTable(url, table)) as reader, pytest.raises(SessionStoreError):
        reader.load("sid")


def test_a_schema(postgresql_process: SQLServer, table: str) -> None:
    postgresql_process.execute(f"CREATE SCHEMA {table}")
    with closing(SQLAlchemyStore(postgresql_process.url, table, schema=table)) as store:
        handle, key = begun(store, "owner")
        assert is_alive(store, "owner", handle, key)
        store.init_db()
        assert sqlalchemy.inspect(store._database._access.engine).has_table(table, table)  # type: ignore[union-attr]


def test_the_schema_is_configured(postgresql_process: SQLServer, table: str) -> None:
    postgresql_process.execute(f"CREATE SCHEMA {table}")
    app = flask.Flask("app")
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=postgresql_process.url)
    app.config.update(SESSION_SQLALCHEMY_TABLE=table, SESSION_SQLALCHEMY_SCHEMA=table)
    ServerSession(app)
    store = t.cast(t.Any, app.session_interface).store
    with closing(store):
        store.init_db()
        assert store.records.fullname == f"{table}.{table}"
        assert sqlalchemy.inspect(store._database._access.engine).has_table(f"{table}_owners", table)


@pytest.mark.parametrize("schema", ["", "a schema", 'a"', 7])
def test_what_is_no_schema_is_an_error(schema: object) -> None:
    app = flask.Flask("app")
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY="sqlite:///x.db", SESSION_SQLALCHEMY_SCHEMA=schema)
    with pytest.raises(ValueError, match="SESSION_SQLALCHEMY_SCHEMA"):
        ServerSession(app)
