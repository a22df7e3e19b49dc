"""Sessions of Flask-Session's backends taken over: each is written by the real one, and taken over at most once.

Redis, memcached and PostgreSQL are real servers. MongoDB is mongomock, and DynamoDB is moto: Debian has neither.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import multiprocessing
import os
import random
import secrets
import sqlite3
import sys
import time
import types
import typing as t
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from pathlib import Path

import boto3
import cachelib
import flask
import flask_login
import flask_session
import flask_sqlalchemy
import mongomock
import moto
import msgspec
import pytest
import redis.asyncio
import sqlalchemy
import time_machine
from flask.json.tag import TaggedJSONSerializer

from flask_fastsession import ServerSession
from flask_fastsession import cli
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.ids import is_taking
from flask_fastsession.server.sources import CachelibSource
from flask_fastsession.server.sources import DynamoDBSource
from flask_fastsession.server.sources import MemcachedSource
from flask_fastsession.server.sources import MongoDBSource
from flask_fastsession.server.sources import RedisSource
from flask_fastsession.server.stores.sql import FlaskSessionTable
from flask_fastsession.server.take_over import OVERLAP
from flask_fastsession.server.take_over import Sources
from flask_fastsession.server.take_over import TakeOver
from tests.patience import HANGS_AFTER

from . import interleavings
from .conftest import STORES
from .conftest import MakeApp
from .conftest import MemoryStore
from .conftest import SpyStore
from .conftest import memcached_client
from .conftest import redis_client
from .interleavings import Bounds
from .interleavings import World
from .servers import Server
from .servers import SQLServer

Config: t.TypeAlias = "dict[str, t.Any]"

#: By ``make stress``.
IS_WHOLE = os.environ.get("FAULTS") == "whole"

MONTH = 31 * 24 * 60 * 60


# --- Flask-Session, with each of its backends -----------------------------------------------------------------------


class JSONSerializer:
    """One of cachelib that pickles nothing."""

    tagged = TaggedJSONSerializer()

    def dump(self, value: t.Any, file: t.BinaryIO) -> None:
        file.write(self.dumps(value))

    def load(self, file: t.BinaryIO) -> t.Any:
        return self.loads(file.read())

    def dumps(self, value: t.Any) -> bytes:
        return self.tagged.dumps(value).encode()

    def loads(self, value: bytes) -> t.Any:
        return self.tagged.loads(value.decode())


class JSONFiles(cachelib.FileSystemCache):
    serializer: t.Any = JSONSerializer()


@pytest.fixture
def postgresql(postgresql_process: SQLServer) -> str:
    return postgresql_process.url


@contextlib.contextmanager
def redis_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    with redis_client(request.getfixturevalue("redis_process")) as client:
        yield {"SESSION_REDIS": client}, {}


@contextlib.contextmanager
def memcached_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    # The real one asks by another connection, and is to find what was written.
    options = {"default_noreply": False}
    with memcached_client(request.getfixturevalue("memcached_process"), **options) as client:
        yield {"SESSION_MEMCACHED": client}, {}


@contextlib.contextmanager
def sqlalchemy_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    url = request.getfixturevalue("postgresql")
    # The app of Flask-Session has an object of Flask-SQLAlchemy, and ours an engine.
    engine = sqlalchemy.create_engine(url)
    theirs = {"SQLALCHEMY_DATABASE_URI": url, "SESSION_SQLALCHEMY": flask_sqlalchemy.SQLAlchemy()}
    yield theirs, {"SESSION_SQLALCHEMY": engine}
    engine.dispose()


@contextlib.contextmanager
def mongodb_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    from flask_session.mongodb import mongodb

    request.getfixturevalue("monkeypatch").setattr(mongodb, "MongoClient", mongomock.MongoClient)
    yield {"SESSION_MONGODB": mongomock.MongoClient(), "SESSION_MONGODB_DB": "shop"}, {}


@contextlib.contextmanager
def dynamodb_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    # Flask-Session imports it for a type.
    stubs: t.Any = types.ModuleType("mypy_boto3_dynamodb.service_resource")
    stubs.DynamoDBServiceResource = object
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setitem(sys.modules, "mypy_boto3_dynamodb", types.ModuleType("mypy_boto3_dynamodb"))
    monkeypatch.setitem(sys.modules, stubs.__name__, stubs)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with moto.mock_aws():
        yield {"SESSION_DYNAMODB": boto3.resource("dynamodb", region_name="eu-west-1")}, {}


@contextlib.contextmanager
def cachelib_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    yield {"SESSION_CACHELIB": JSONFiles(str(request.getfixturevalue("tmp_path") / "cache"))}, {}


@contextlib.contextmanager
def filesystem_backend(request: pytest.FixtureRequest) -> Iterator[tuple[Config, Config]]:
    yield {"SESSION_FILE_DIR": str(request.getfixturevalue("tmp_path") / "files")}, {}


BACKENDS = {
    "redis": redis_backend,
    "memcached": memcached_backend,
    "sqlalchemy": sqlalchemy_backend,
    "mongodb": mongodb_backend,
    "dynamodb": dynamodb_backend,
    "cachelib": cachelib_backend,
    "filesystem": filesystem_backend,
}


class User(flask_login.UserMixin):
    def __init__(self, user_id: str) -> None:
        self.id = user_id


def shop(keep: Callable[[flask.Flask], object], **config: t.Any) -> flask.Flask:
    """An app with a login, whose sessions are kept by what ``keep`` sets up."""
    app = flask.Flask("shop")
    app.secret_key = "secret"
    app.config.update(config)
    keep(app)
    flask_login.LoginManager(app).user_loader(User)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        flask_login.login_user(User(user))
        flask.session["cart"] = [user]
        return ""

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return ""

    @app.get("/clear")
    def clear() -> str:
        flask.session.clear()
        return ""

    @app.get("/regenerate")
    def regenerate() -> str:
        t.cast(t.Any, flask.session).regenerate()
        return ""

    @app.get("/put/<key>")
    def put(key: str) -> str:
        flask.session[key] = key
        return ""

    @app.get("/")
    def whoami() -> flask.Response:
        return flask.jsonify(user=flask_login.current_user.get_id(), cart=flask.session.get("cart"))

    return app


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def get(app: flask.Flask, cookie: str | None, path: str = "/") -> t.Any:
    """What a request answers, and the cookie that the browser has afterwards."""
    client = app.test_client()
    if cookie is not None:
        client.set_cookie("session", cookie)
    with quiet():
        response = client.get(path)
    assert response.status_code == 200
    left = client.get_cookie("session")
    return response.json, None if left is None else left.value


def user_of(app: flask.Flask, cookie: str | None) -> str | None:
    return t.cast("str | None", get(app, cookie)[0]["user"])


class Move:
    """An app that was run by Flask-Session, and is by ours."""

    def __init__(self, name: str, config: Config, own: Config) -> None:
        self.name, self.config, self.own = name, {"SESSION_KEY_PREFIX": f"{secrets.token_urlsafe(6)}:", **config}, own
        # In PostgreSQL all tests share one table.
        if "SQLALCHEMY_DATABASE_URI" in config:
            self.config["SESSION_SQLALCHEMY_TABLE"] = f"sessions_{secrets.token_hex(4)}"
        with quiet():
            self.theirs = shop(self.keep, SESSION_TYPE=name, **self.config)

    def keep(self, app: flask.Flask) -> None:
        if self.name == "sqlalchemy":
            self.config["SESSION_SQLALCHEMY"].init_app(app)
        flask_session.Session(app)

    def log_in(self, user: str = "ada") -> str:
        """Log in while Flask-Session runs the app, and return the cookie."""
        return t.cast(str, get(self.theirs, None, f"/login/{user}")[1])

    def ours(self, **config: t.Any) -> flask.Flask:
        app = shop(ServerSession, **{**self.config, "SESSION_TAKE_OVER": self.name, **self.own, **config})
        if self.name == "filesystem":
            result = app.test_cli_runner().invoke(cli.session, ["convert", "--allow-pickle"])
            assert result.exit_code == 0, result.output
        return app

    def has(self, cookie: str) -> bool:
        """Whether the old backend still has a session."""
        return user_of(self.theirs, cookie) is not None


@pytest.fixture(params=BACKENDS)
def move(request: pytest.FixtureRequest) -> Iterator[Move]:
    with BACKENDS[request.param](request) as (config, own):
        yield Move(request.param, config, own)


@pytest.fixture
def own_store(tmp_path: Path) -> Config:
    return {"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite"}


@pytest.fixture(params=[False, True], ids=["left", "deleted"])
def deletes(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def interface_of(app: flask.Flask) -> t.Any:
    return app.session_interface


# --- Taken over, and ended ------------------------------------------------------------------------------------------


def test_a_visitor_stays_logged_in(move: Move, own_store: Config, deletes: bool) -> None:
    cookies = {user: move.log_in(user) for user in ("ada", "bob")}
    ours = move.ours(**own_store, SESSION_TAKE_OVER_DELETE=deletes)
    for _ in range(2):
        for user, cookie in cookies.items():
            seen, left = get(ours, cookie)
            assert seen == {"user": user, "cart": [user]}
            assert left == cookie
    assert move.has(cookies["ada"]) is not deletes
    assert len(interface_of(ours).sessions_of("ada")) == 1
    assert user_of(ours, secrets.token_urlsafe(32)) is None


ENDS: dict[str, Callable[[flask.Flask, str], object]] = {
    "logout": lambda app, cookie: get(app, cookie, "/logout"),
    "clear": lambda app, cookie: get(app, cookie, "/clear"),
    "revoke": lambda app, cookie: interface_of(app).revoke(cookie),
    "revoke by handle": lambda app, cookie: interface_of(app).revoke(*interface_of(app).sessions_of("ada")),
    "revoke_user": lambda app, cookie: interface_of(app).revoke_user("ada"),
    "regenerate": lambda app, cookie: get(app, cookie, "/regenerate"),
    "login": lambda app, cookie: get(app, cookie, "/login/ada"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_is_not_taken_over_again(move: Move, own_store: Config, deletes: bool, end: str) -> None:
    with time_machine.travel(datetime.now(timezone.utc)) as travelling:
        cookie, other = move.log_in(), move.log_in("bob")
        ours = move.ours(**own_store, SESSION_TAKE_OVER_DELETE=deletes)
        assert user_of(ours, cookie) == "ada"
        ENDS[end](ours, cookie)
        assert user_of(ours, cookie) is None
        # What a moved session leaves behind is gone by now.
        travelling.shift(601)
        interface_of(ours).store.sweep(1000)
        assert user_of(ours, cookie) is None
        assert move.has(cookie) is not deletes
        assert user_of(ours, other) == "bob"


@pytest.mark.parametrize("end", ["revoke", "revoke_user"])
def test_what_is_revoked_before_it_is_taken_over_never_is(
    move: Move, own_store: Config, deletes: bool, end: str
) -> None:
    cookie, other = move.log_in(), move.log_in("bob")
    ours = move.ours(**own_store, SESSION_TAKE_OVER_DELETE=deletes)
    ENDS[end](ours, cookie)
    assert user_of(ours, cookie) is None
    assert user_of(ours, other) == "bob"
    # The user may log in all the same.
    _, fresh = get(ours, cookie, "/login/ada")
    assert user_of(ours, fresh) == "ada"
    assert user_of(ours, cookie) is None


def test_what_flask_session_brings_back_is_not_taken_over_again(move: Move, own_store: Config) -> None:
    if move.name == "filesystem":
        pytest.skip("its files are converted once")
    cookie = move.log_in()
    ours = move.ours(**own_store, SESSION_TAKE_OVER_DELETE=True)
    assert user_of(ours, cookie) == "ada"
    get(ours, cookie, "/clear")
    interface: t.Any = move.theirs.session_interface
    session = interface.session_class({"_user_id": "ada"}, sid=cookie)
    with quiet(), move.theirs.app_context():
        interface._upsert_session(timedelta(days=31), session, interface._get_store_id(cookie))
    assert move.has(cookie)
    assert user_of(ours, cookie) is None
    assert not move.has(cookie)


@pytest.mark.parametrize("store_type", [*STORES])
@pytest.mark.parametrize("end", ENDS)
def test_with_each_store_of_ours(make_app: MakeApp, deletes: bool, end: str) -> None:
    source = Dicts()
    config = make_app().config
    ours = shop(ServerSession, **{**config, "SESSION_TAKE_OVER": source, "SESSION_TAKE_OVER_DELETE": deletes})
    cookie = source.add("ada")
    assert user_of(ours, cookie) == "ada"
    ENDS[end](ours, cookie)
    assert user_of(ours, cookie) is None
    interface = interface_of(ours)
    # As if time had passed.
    interface.store.delete(interface.ids.key(cookie), interface.ids.other_key(cookie))
    assert user_of(ours, cookie) is None
    assert (cookie in source.sessions) is not deletes


class Dicts:
    """A source of one's own."""

    def __init__(self) -> None:
        self.sessions: dict[str, t.Any] = {}
        self.left: float | None = None
        self.failing: set[str] = set()

    def add(self, user: str | None, **data: t.Any) -> str:
        sid = secrets.token_urlsafe(32)
        self.sessions[sid] = {"_permanent": True, **({} if user is None else {"_user_id": user}), **data}
        return sid

    def load(self, sid: str) -> t.Any:
        self._fail("load", sid)
        return self.sessions.get(sid)

    def expires_in(self, sid: str) -> float | None:
        return self.left

    def delete(self, sid: str) -> None:
        self._fail("delete", sid)
        self.sessions.pop(sid, None)

    def _fail(self, method: str, sid: str) -> None:
        if method in self.failing:
            raise OSError(f"{method} of {sid}")


class OnlyLoad:
    def __init__(self, **sessions: t.Any) -> None:
        self.sessions = sessions

    def load(self, sid: str) -> t.Any:
        return self.sessions.get(sid)


def clocked(source: t.Any, **config: t.Any) -> tuple[flask.Flask, SpyStore]:
    """An app whose store has a clock that a test turns."""
    spy = SpyStore()
    return shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=source, **config), spy


@pytest.mark.parametrize("left, life", [(None, MONTH), (5.0, MONTH), (2 * MONTH, 2 * MONTH), (math.inf, None)])
def test_the_tombstone_stays_for_as_long_as_the_source_may_have_the_session(
    left: float | None, life: int | None
) -> None:
    source = Dicts()
    source.left = left
    app, spy = clocked(source)
    cookie = source.add(None, n=1)
    get(app, cookie, "/put/x")
    (end,) = [end for key, (_, end) in spy.store.records.items() if ":taken:" in key]
    assert end == (None if life is None else life + OVERLAP)
    get(app, cookie, "/clear")
    spy.store.now = 10 * MONTH if end is None else end - 1
    assert get(app, cookie)[0]["cart"] is None
    assert "loaded" not in spy.store.records


def test_how_long_sessions_live_in_a_source_may_be_set() -> None:
    source = Dicts()
    app, spy = clocked(source, SESSION_TAKE_OVER_LIFETIME=timedelta(days=90))
    interface_of(app).revoke_user("ada")
    interface_of(app).revoke(secrets.token_urlsafe(32))
    assert {end for _, end in spy.store.records.values()} == {90 * 86_400 + OVERLAP}


def test_a_user_that_is_revoked_again_stays_so_for_longer() -> None:
    source = Dicts()
    app, spy = clocked(source)
    interface_of(app).revoke_user("ada")
    spy.store.now += MONTH
    interface_of(app).revoke_user("ada")
    spy.store.now += MONTH
    assert interface_of(app).lifecycle.revoked.has("ada")
    assert user_of(app, source.add("ada")) is None
    assert user_of(app, source.add("bob")) == "bob"


@pytest.mark.parametrize("left", [2.0 * MONTH, math.inf])
def test_what_is_revoked_before_stays_so_for_as_long_as_the_source_has_it(left: float) -> None:
    source = Dicts()
    source.left = left
    app, spy = clocked(source)
    cookie = source.add(None, cart=1)
    interface_of(app).revoke(cookie)
    spy.store.now += 2 * MONTH - 1
    assert get(app, cookie)[0]["cart"] is None


def test_a_session_has_ended_before_a_source_is_asked_how_long_it_has_it() -> None:
    """Which may take long, or fail."""
    source, found = Dicts(), []

    def expires_in(sid: str) -> float:
        found.append(spy.store.load(interface_of(app).ids.key(sid)))
        raise OSError

    app, spy = clocked(source)
    cookie = source.add("ada")
    assert user_of(app, cookie) == "ada"
    source.expires_in = expires_in  # type: ignore[method-assign]
    interface_of(app).revoke(cookie)
    assert found == [None]
    source.expires_in = lambda sid: 5.0 * MONTH  # type: ignore[method-assign]
    interface_of(app).revoke(cookie)
    (end,) = [end for key, (_, end) in spy.store.records.items() if ":taken:" in key]
    assert end == 5 * MONTH + OVERLAP


def test_who_keeps_one_session_keeps_it_though_nobody_has_bound_it_yet(tmp_path: Path, own_store: Config) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, **own_store)

    @app.get("/end-others")
    def end_others() -> str:
        interface_of(app).revoke_user("ada", keep=flask.session)
        return ""

    cookie, other, later = (source.add("ada") for _ in range(3))
    assert user_of(app, other) == "ada"
    get(app, cookie, "/end-others")
    assert [user_of(app, each) for each in (cookie, other, later)] == ["ada", None, None]


def test_the_absolute_lifetime_begins_when_a_session_is_taken_over(own_store: Config) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, SESSION_ABSOLUTE_LIFETIME=1000, **own_store)
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        cookie = source.add("ada")
        assert user_of(app, cookie) == "ada"
        travelling.shift(999)
        assert user_of(app, cookie) == "ada"
        travelling.shift(1)
        assert user_of(app, cookie) is None
        travelling.shift(1)
        assert user_of(app, cookie) is None


def test_facts_of_ours_in_a_source_are_not_believed(own_store: Config) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, **own_store)
    cookie = source.add(None, _server_side={"user": "root", "handle": "h." + "a" * 22, "begun": 1})
    get(app, cookie, "/put/x")
    _, data, meta = interface_of(app).lifecycle.find(cookie, None)
    assert meta.owner is None
    assert meta.begun > 1
    assert data["x"] == "x"


# --- Several at once ------------------------------------------------------------------------------------------------


def test_requests_that_come_at_once_lose_nothing(own_store: Config) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, **own_store)
    for _ in range(20):
        cookie = source.add("ada")
        interface = interface_of(app)
        sessions = []
        for number in range(4):
            with app.test_request_context("/", headers={"Cookie": f"session={cookie}"}):
                session = interface.open_session(app, flask.request)
                session[f"key {number}"] = number
                sessions.append(session)
        for session in sessions:
            interface.save_session(app, session, flask.Response())
        data = interface.lifecycle.find(cookie, None)[1]
        assert {f"key {number}" for number in range(4)} <= data.keys()
        assert user_of(app, cookie) == "ada"
        interface.revoke_user("ada")
        assert user_of(app, cookie) is None
        # The mark is for those that were there.
        interface.store.delete(interface.ids.revoked_key("ada"))


def take_over_many(url: str, config: Config, cookies: list[str], barrier: t.Any, answers: t.Any) -> None:
    import redis

    client = redis.Redis.from_url(url)
    app = shop(ServerSession, SESSION_REDIS=client, SESSION_TAKE_OVER="redis", **config)
    found = []
    for number, cookie in enumerate(cookies):
        barrier.wait()
        found.append(user_of(app, cookie))
        if number % 2:
            # One logs out, while the other may still be at it.
            barrier.wait()
            get(app, cookie, "/clear")
            barrier.wait()
            found.append(user_of(app, cookie))
    answers.put(found)


def test_two_processes_take_over_the_same_ids(redis_process: Server, own_store: Config, deletes: bool) -> None:
    prefix = f"{secrets.token_urlsafe(6)}:"
    cookies = [secrets.token_urlsafe(32) for _ in range(60)]
    with redis_client(redis_process) as client:
        for cookie in cookies:
            record = msgspec.msgpack.encode({"_permanent": True, "_user_id": "ada"})
            client.set(prefix + cookie, record, ex=1000)
        config = {**own_store, "SESSION_KEY_PREFIX": prefix, "SESSION_TAKE_OVER_DELETE": deletes}
        context = multiprocessing.get_context("spawn")
        barrier, answers = context.Barrier(2), context.Queue()
        url = f"redis://{redis_process.host}:{redis_process.port}"
        processes = [
            context.Process(target=take_over_many, args=(url, config, cookies, barrier, answers)) for _ in range(2)
        ]
        for process in processes:
            process.start()
        found = [answers.get(timeout=HANGS_AFTER) for _ in processes]
        for process in processes:
            process.join()
    expected = [user for number in range(60) for user in (["ada", None] if number % 2 else ["ada"])]
    assert found == [expected, expected]


class Stopping:
    """A source each of whose calls is a step at which another operation may go on."""

    def __init__(self, store: t.Any) -> None:
        self.store = store
        self.sessions: dict[str, t.Any] = {}

    def load(self, sid: str) -> t.Any:
        self.store.before_command()
        return self.sessions.get(sid)

    def delete(self, sid: str) -> None:
        self.store.before_command()
        self.sessions.pop(sid, None)


class WorldBefore(World):
    """A world whose session is still in a source when it begins."""

    def __init__(self, store: t.Any, deletes: bool) -> None:
        super().__init__(store)
        self.source = Stopping(store)
        interface = self.interface
        interface.lifecycle.take_over = TakeOver(
            Sources((self.source,), deletes),
            store,
            interface.format,
            interface.ids,
            interface.lifecycle.revoked,
            interface.life_beside_others,
        )
        interface.user_key = "_user_id"

    def begin(self, user: str | None) -> None:
        self.store.forget()
        # Not every store forgets what was said of others.
        self.cookie = secrets.token_urlsafe(32)
        self.store.delete(self.interface.ids.revoked_key(interleavings.USER))
        self.ids, self.done = {self.cookie}, {}
        self.handle, self.user = None, user
        self.source.sessions = {
            self.cookie: {"_permanent": True, "note": 1, **({} if user is None else {"_user_id": user})}
        }

    def live(self) -> dict[str, tuple[dict[str, t.Any], t.Any]]:
        """What can still be taken over is live."""
        found = {}
        for sid in self.ids:
            loaded = self.interface.load(self.app, self.app.request_class({"HTTP_COOKIE": f"session={sid}"}))
            if loaded.stored is not None:
                found[sid] = loaded.data, loaded.meta
        return found


#: Those that need no handle, and do not leave Flask-Login's key where it was.
OPERATIONS = [
    operation
    for name, operation in interleavings.OPERATIONS.items()
    if name not in ("log_out", "revoke_handle", "empty")
]


#: Pairs that faults of the taking over show themselves in.
TOLD = [{"read", "revoke_user"}, {"write"}, {"read", "clear"}, {"regenerate", "revoke_id"}]


def groups(store: str) -> Iterator[tuple[str | None, tuple[interleavings.Operation, ...], Bounds]]:
    """All pairs with one preemption and one crash, and triples with one preemption; or, by the way, a sample."""
    pairs = list(itertools.combinations_with_replacement(OPERATIONS, 2))
    # Where the store has lost what a moved session leaves behind, its old id leads nowhere.
    triples = [
        triple
        for triple in itertools.combinations_with_replacement(OPERATIONS, 3)
        if not any(one.name == "expire" for one in triple) or not any(one.moves for one in triple)
    ]
    if not IS_WHOLE:
        pairs = [pair for pair in pairs if {one.name for one in pair} in TOLD] + random.Random(0).sample(pairs, 1)
        triples = random.Random(0).sample(triples, 1)
        if store in ("redis", "memcached"):
            # Each command takes its time.
            yield from (("alice", pair, Bounds(1, 0)) for pair in pairs)
            return
    for user in interleavings.STARTS:
        yield from ((user, pair, Bounds(1, 1)) for pair in pairs)
    yield from (("alice", triple, Bounds(1, 0)) for triple in triples)


@pytest.mark.parametrize("store", interleavings.STORES)
def test_in_every_order_of_their_commands(store: str, deletes: bool) -> None:
    report = interleavings.Report()
    with interleavings.STORES[store]() as opened, interleavings.waiting_is_seen():
        world = WorldBefore(opened, deletes)
        for user, operations, bounds in groups(store):
            for run in interleavings.runs(world, user, operations, bounds):
                report.add(run, user)
                # Whoever began when it was there, and when nobody ended it, has found it.
                if not any(one.ends or one.moves for one in operations):
                    assert all(done.found for done in world.done.values() if done.is_complete), run.taken
    print(report)
    assert not report.found, report


@pytest.mark.parametrize("step", range(1, 9))
def test_a_process_that_is_killed_on_the_way(step: int) -> None:
    source = Dicts()
    spy = SpyStore(interleavings.WithRows())
    app = shop(ServerSession, SESSION_TYPE=spy.store, SESSION_TAKE_OVER=source)
    cookie = source.add("ada")
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == step:
            raise KeyboardInterrupt

    spy.store.before_command = count
    with contextlib.suppress(KeyboardInterrupt):
        get(app, cookie)
    spy.store.before_command = lambda: None
    assert user_of(app, cookie) == "ada"
    assert not any(is_taking(record) for key, record in spy.store.records.items() if ":taken:" not in key)
    get(app, cookie, "/clear")
    assert user_of(app, cookie) is None


def test_a_late_one_does_not_bring_back_what_has_ended(spy: SpyStore) -> None:
    """It looked for the tombstone before the other took over, and goes on after the logout."""
    source = Dicts()
    app = shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=source)
    cookie = source.add(None, n=1)

    def meanwhile() -> None:
        get(app, cookie, "/put/x")
        get(app, cookie, "/clear")

    # What comes after the look for the tombstone is the creation of the first record.
    spy.before["create"] = meanwhile
    assert get(app, cookie)[0]["cart"] is None
    assert not any(key.endswith(cookie) for key in spy.store.records)
    assert get(app, cookie, "/put/y")[1] != cookie


# --- Several sources, sources of one's own, and their faults --------------------------------------------------------


def test_several_sources_are_asked_in_turn(own_store: Config) -> None:
    first, second = Dicts(), Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=[first, second], **own_store)
    both = first.add("ada")
    second.sessions[both] = {"_user_id": "bob"}
    assert user_of(app, both) == "ada"
    assert user_of(app, second.add("bob")) == "bob"
    get(app, both, "/clear")
    del first.sessions[both]
    assert user_of(app, both) is None


def test_only_load_is_needed(own_store: Config) -> None:
    sid = secrets.token_urlsafe(32)
    source = OnlyLoad(**{sid: b'{"_user_id":"ada"}'})
    app = shop(ServerSession, SESSION_TAKE_OVER=source, **own_store)
    assert user_of(app, sid) == "ada"
    with pytest.raises(ValueError, match="delete"):
        shop(ServerSession, SESSION_TAKE_OVER=source, SESSION_TAKE_OVER_DELETE=True, **own_store)


def test_a_source_that_fails_logs_nobody_out(own_store: Config) -> None:
    source = Dicts()
    app = flask.Flask("shop")
    app.config.update(own_store, SESSION_TAKE_OVER=source)
    ServerSession(app)
    cookie = source.add(None, name="ada")
    source.failing = {"load"}

    @app.get("/")
    def whoami() -> str:
        return str(flask.session.get("name"))

    @app.errorhandler(SessionStoreError)
    def answer(error: SessionStoreError) -> tuple[str, int]:
        return str(error), 503

    client = app.test_client()
    client.set_cookie("session", cookie)
    response = client.get("/")
    assert response.status_code == 503
    assert "Dicts" in response.text
    assert cookie not in response.text
    assert "Set-Cookie" not in response.headers
    source.failing = set()
    assert client.get("/").text == "ada"


def test_what_cannot_be_deleted_stays(own_store: Config, caplog: pytest.LogCaptureFixture) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, SESSION_TAKE_OVER_DELETE=True, **own_store)
    cookie = source.add("ada")
    source.failing = {"delete"}
    assert user_of(app, cookie) == "ada"
    assert "could not be deleted" in caplog.text
    source.failing = set()
    get(app, cookie, "/clear")
    assert user_of(app, cookie) is None
    assert cookie not in source.sessions


def test_nothing_is_deleted_that_could_not_be_stored(spy: SpyStore) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=source, SESSION_TAKE_OVER_DELETE=True)
    cookie = source.add("ada")
    for method in ("create", "replace"):
        spy.failing = {method}
        client = app.test_client()
        client.set_cookie("session", cookie)
        assert client.get("/").status_code == 500
        assert cookie in source.sessions
    spy.failing = set()
    assert user_of(app, cookie) == "ada"
    assert cookie not in source.sessions


@pytest.mark.parametrize("found", [b"", b"\xff", b"[1]", [1], 5, "text", {"x": object}, b"\x80\x04}."], ids=repr)
def test_what_is_no_session_is_not_taken_over(
    found: t.Any, own_store: Config, caplog: pytest.LogCaptureFixture
) -> None:
    sid = secrets.token_urlsafe(32)
    app = shop(ServerSession, SESSION_TAKE_OVER=OnlyLoad(**{sid: found}), **own_store)
    assert user_of(app, sid) is None
    assert "cannot be taken over" in caplog.text
    assert ("flask session convert --allow-pickle" in caplog.text) is (found == b"\x80\x04}.")
    assert sid not in caplog.text


def test_unknown_ids_cost_one_question_to_the_source(spy: SpyStore) -> None:
    app = shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=Dicts(), SESSION_CLEANUP_N_REQUESTS=0)
    get(app, secrets.token_urlsafe(32))
    # At the key of its hash, of the id, and of its hash once more.
    assert spy.counted() == {"load": 3}
    get(app, "short")
    assert spy.counted() == {}


def test_ids_that_have_ended_change_nothing_in_the_store(spy: SpyStore) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=source, SESSION_CLEANUP_N_REQUESTS=0)
    cookie = source.add(None, n=1)
    get(app, cookie, "/clear")
    spy.counted()
    get(app, cookie)
    assert spy.counted().keys() == {"load"}


def test_a_revoked_user_without_a_followed_flask_login(own_store: Config) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TAKE_OVER=source, SESSION_REGENERATE_ON_LOGIN=False, **own_store)
    cookie, later = source.add("ada"), source.add("ada")
    assert user_of(app, cookie) == "ada"
    interface_of(app).revoke_user("ada")
    assert user_of(app, later) is None


def test_looking_by_the_command_line_takes_nothing_over(spy: SpyStore) -> None:
    source = Dicts()
    app = shop(ServerSession, SESSION_TYPE=spy, SESSION_TAKE_OVER=source)
    app.test_cli_runner().invoke(cli.session, ["inspect", source.add("ada")])
    assert spy.store.records == {}


@pytest.mark.parametrize(
    "config, message",
    [
        ({"SESSION_TAKE_OVER": "dbm"}, "'redis', 'memcached', 'sqlalchemy'"),
        ({"SESSION_TAKE_OVER": 5}, "load"),
        ({"SESSION_TAKE_OVER": Dicts}, "load"),
        ({"SESSION_TAKE_OVER": "redis"}, "SESSION_REDIS is not configured"),
        ({"SESSION_TAKE_OVER": ["mongodb"]}, "SESSION_MONGODB is not configured"),
        ({"SESSION_TAKE_OVER": "mongodb", "SESSION_MONGODB": "mongodb://"}, "MongoClient"),
        ({"SESSION_TAKE_OVER": "dynamodb", "SESSION_DYNAMODB": object()}, "boto3"),
        ({"SESSION_TAKE_OVER": "redis", "SESSION_REDIS": object()}, "redis.Redis"),
        ({"SESSION_TAKE_OVER": "cachelib", "SESSION_CACHELIB": object()}, "cachelib"),
        ({"SESSION_TAKE_OVER": "cachelib", "SESSION_CACHELIB": cachelib.SimpleCache()}, "convert --allow-pickle"),
        ({"SESSION_TAKE_OVER": Dicts(), "SESSION_TAKE_OVER_DELETE": "maybe"}, "SESSION_TAKE_OVER_DELETE"),
        ({"SESSION_TAKE_OVER": Dicts(), "SESSION_TAKE_OVER_LIFETIME": 0}, "SESSION_TAKE_OVER_LIFETIME"),
        ({"SESSION_TAKE_OVER": "filesystem", "SESSION_FILE_DIR": 5}, "its client raises TypeError"),
    ],
)
def test_what_cannot_be_is_an_error_at_start(own_store: Config, config: Config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shop(ServerSession, **own_store, **config)


def test_what_is_read_as_it_is_needs_no_taking_over(redis_process: Server) -> None:
    with redis_client(redis_process) as client:
        config = {"SESSION_TYPE": "redis", "SESSION_REDIS": client}
        with pytest.raises(ValueError, match="are read anyway"):
            shop(ServerSession, SESSION_TAKE_OVER="redis", **config)
        shop(ServerSession, SESSION_TAKE_OVER=RedisSource(client, "old:"), **config)


# --- What each source says of its sessions --------------------------------------------------------------------------


def test_how_long_they_live(move: Move) -> None:
    move.theirs.config["PERMANENT_SESSION_LIFETIME"] = 1000
    app = move.ours(SESSION_TYPE=MemoryStore())
    (source,) = interface_of(app).lifecycle.take_over.sources.sources
    cookie = move.log_in()
    if not hasattr(source, "expires_in"):
        assert move.name in ("memcached", "cachelib")
        return
    if move.name == "filesystem":
        return
    assert source.expires_in(cookie) == pytest.approx(1000, abs=5)
    assert source.expires_in("another") is None
    source.delete(cookie)
    source.delete(cookie)
    assert source.load(cookie) is None


@pytest.mark.parametrize("name", ["mongodb", "dynamodb", "sqlalchemy"])
def test_what_has_expired_and_is_still_there(name: str, request: pytest.FixtureRequest) -> None:
    with BACKENDS[name](request) as (config, own):
        move = Move(name, config, own)
        move.theirs.config["PERMANENT_SESSION_LIFETIME"] = 1000
        cookie = move.log_in()
        app = move.ours(SESSION_TYPE=MemoryStore())
        (source,) = interface_of(app).lifecycle.take_over.sources.sources
        with time_machine.travel(time.time() + 995):
            assert source.load(cookie) is not None
        with time_machine.travel(time.time() + 1005):
            assert source.load(cookie) is None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_dynamodb_with_the_local_times_of_flask_session(
    zone: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        test_what_has_expired_and_is_still_there("dynamodb", request)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_tables_and_collections_may_be_given_themselves(request: pytest.FixtureRequest) -> None:
    for name, key in (("mongodb", "SESSION_MONGODB"), ("dynamodb", "SESSION_DYNAMODB")):
        with BACKENDS[name](request) as (config, own):
            move = Move(name, config, own)
            cookie = move.log_in()
            client = config[key]
            given = client["shop"]["sessions"] if name == "mongodb" else client.Table("Sessions")
            kind: t.Any = MongoDBSource if name == "mongodb" else DynamoDBSource
            source = kind(given, key_prefix=move.config["SESSION_KEY_PREFIX"])
            assert source.load(cookie) is not None


@pytest.mark.parametrize("decodes", [False, True])
@pytest.mark.parametrize("record", [b'{"user":"ada"}', b"\x81\xa4user\xa3ada"], ids=["json", "msgpack"])
def test_a_client_of_redis_may_decode(redis_process: Server, own_store: Config, decodes: bool, record: bytes) -> None:
    url = f"redis://{redis_process.host}:{redis_process.port}?decode_responses={decodes}"
    sid, prefix = secrets.token_urlsafe(32), secrets.token_urlsafe(6)
    source = RedisSource(url, prefix)
    source.client.set(prefix + sid, record)
    app = flask.Flask("shop")
    app.config.update(own_store, SESSION_TAKE_OVER=source)
    ServerSession(app)
    app.get("/")(lambda: str(flask.session.get("user")))
    client = app.test_client()
    client.set_cookie("session", sid)
    assert client.get("/").text == "ada"
    source.client.close()


def test_asynchronous_clients_of_redis_are_refused() -> None:
    class Own(redis.asyncio.Redis):
        pass

    for client in (redis.asyncio.Redis(), Own(), redis.Redis().pipeline(), redis.Redis, object()):
        with pytest.raises(ValueError, match="SESSION_REDIS must be a client such as"):
            RedisSource(client)


class Found:
    """A collection of MongoDB, or a table of DynamoDB, that finds one thing."""

    table_name = "Sessions"

    def __init__(self, found: dict[str, t.Any]) -> None:
        self.found = found

    def find_one(self, query: object) -> dict[str, t.Any]:
        return self.found

    def get_item(self, **query: object) -> dict[str, t.Any]:
        return {"Item": self.found}


@pytest.mark.parametrize("kind", [MongoDBSource, DynamoDBSource])
@pytest.mark.parametrize(
    "found",
    [
        {},
        {"val": None},
        {"val": {}},
        {"val": "\ud800"},
        {"expiration": "x"},
        {"expiration": 1e30},
        {"expiration": -1e30},
        {"expiration": []},
        {"expiration": b""},
    ],
    ids=repr,
)
def test_a_damaged_record_in_a_source_is_no_session(kind: t.Any, found: dict[str, t.Any], own_store: Config) -> None:
    source = kind(Found({"val": b"\x80", **found}))
    app = shop(ServerSession, SESSION_TAKE_OVER=source, **own_store)
    cookie = "a" * 43
    assert user_of(app, cookie) is None
    interface_of(app).revoke(cookie)


def test_what_is_no_text_in_redis_is_no_session(redis_process: Server, own_store: Config) -> None:
    with redis_client(redis_process) as client:
        sid, prefix = secrets.token_urlsafe(32), secrets.token_urlsafe(6)
        client.hset(prefix + sid, "a", "b")
        app = shop(ServerSession, SESSION_TAKE_OVER=RedisSource(client, prefix), **own_store)
        assert user_of(app, sid) is None


@pytest.mark.parametrize(
    "row",
    [("x'80'", "'soon'"), ("x'80'", "7"), ("'text'", "'2999-01-01 00:00:00'"), ("7", "'2999-01-01 00:00:00'")],
    ids=repr,
)
def test_a_damaged_row_in_a_source_is_no_session(tmp_path: Path, own_store: Config, row: tuple[str, str]) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as database:
        database.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, session_id TEXT, data, expiry)")
        database.execute(f"INSERT INTO sessions VALUES (1, 'session:{'a' * 43}', {row[0]}, {row[1]})")
        database.commit()
    table = FlaskSessionTable(f"sqlite:///{tmp_path}/old.db")
    app = shop(ServerSession, SESSION_TAKE_OVER=table, **own_store)
    assert user_of(app, "a" * 43) is None
    interface_of(app).revoke("a" * 43)
    table.close()


def test_urls_may_be_given(redis_process: Server, memcached_process: Server) -> None:
    assert RedisSource(f"redis://{redis_process.host}:{redis_process.port}").load("a" * 16) is None
    assert MemcachedSource(f"memcached://{memcached_process.host}:{memcached_process.port}").load("a" * 16) is None


def test_redis_with_keys_that_never_end(redis_process: Server) -> None:
    with redis_client(redis_process) as client:
        source = RedisSource(client, f"[{secrets.token_urlsafe(6)}*]:")
        client.set(source.key_prefix + "a" * 16, b"x")
        assert source.expires_in("a" * 16) == math.inf
        assert list(source.sids()) == ["a" * 16]


def test_a_cache_with_a_serializer_that_may_unpickle_is_refused(tmp_path: Path) -> None:
    import pickle

    class Unpickling:
        def loads(self, value: bytes) -> t.Any:
            return pickle.loads(value)

    class OfCachelib(cachelib.serializers.BaseSerializer):
        def loads(self, value: t.Any) -> t.Any:
            raise ValueError

    cache: t.Any = cachelib.FileSystemCache(str(tmp_path))
    for serializer in (cache.serializer, Unpickling(), OfCachelib(), pickle, object(), None):
        cache.serializer = serializer
        with pytest.raises(ValueError, match="flask session convert --allow-pickle"):
            CachelibSource(cache)
    cache.serializer = JSONSerializer()
    CachelibSource(cache)
    with pytest.raises(ValueError, match="--allow-pickle"):
        CachelibSource(cachelib.MemcachedCache(object()))


def test_a_file_that_was_not_converted_is_said_once(
    tmp_path: Path, own_store: Config, caplog: pytest.LogCaptureFixture
) -> None:
    move = Move("filesystem", {"SESSION_FILE_DIR": str(tmp_path / "files")}, {})
    cookie = move.log_in()
    ours = shop(ServerSession, **{**move.config, **own_store, "SESSION_TAKE_OVER": "filesystem"})
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert user_of(ours, cookie) is None
    assert caplog.text.count("flask session convert") == 1
