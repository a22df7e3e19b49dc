"""What the config may say, and what is said where it is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pymemcache
import pytest
import redis
import redis.asyncio
from flask import Flask
from flask import session
from flask.sessions import SecureCookieSessionInterface
from pymemcache.client.retrying import RetryingClient
from pymemcache.serde import CompressedSerde
from pymemcache.serde import PickleSerde

from flask_fastsession import ServerSession
from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server.stores.memcached import MemcachedStore
from flask_fastsession.server.stores.redis import RedisStore
from flask_fastsession.server.stores.sqlite import SQLiteStore

from . import peer
from .conftest import MakeApp
from .conftest import MemoryStore
from .conftest import SpyStore
from .conftest import app_with

NOWHERE = ("127.0.0.1", 9)


def interface_of(app: Flask) -> ServerSessionInterface:
    assert isinstance(app.session_interface, ServerSessionInterface)
    return app.session_interface


# --- What may be said -----------------------------------------------------------------------------------------------


def test_with_nothing_configured_there_is_a_file_in_the_instance_path(tmp_path: Path) -> None:
    app = Flask("app", instance_path=str(tmp_path / "instance"))
    ServerSession(app)
    cookie = peer.cookie_with(app, {"user": 1})
    assert peer.session_of(app, cookie) == {"_permanent": True, "user": 1}
    assert (tmp_path / "instance" / "sessions.sqlite").is_file()
    assert len(cookie) == 43


def test_an_app_may_come_later(tmp_path: Path) -> None:
    extension = ServerSession()
    app = Flask("app", instance_path=str(tmp_path))
    assert isinstance(app.session_interface, SecureCookieSessionInterface)
    extension.init_app(app)
    assert interface_of(app)


@pytest.mark.parametrize("app", ["app", Flask, {}, lambda: Flask(__name__)])
def test_only_a_flask_app_can_have_sessions_on_the_server(app: t.Any) -> None:
    with pytest.raises(TypeError, match="for a Flask app, not "):
        ServerSession(app)


def test_no_client_is_asked_anything_at_start() -> None:
    stores = {
        RedisStore: {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(*NOWHERE)},
        MemcachedStore: {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": pymemcache.PooledClient(NOWHERE)},
        SQLiteStore: {"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": "/nowhere/sessions.sqlite"},
    }
    for store_class, config in stores.items():
        assert type(interface_of(app_with(config)).store) is store_class


@pytest.mark.parametrize("path", ["other.sqlite", Path("sub") / "other.sqlite"])
def test_sqlite_path_is_below_the_instance_path(tmp_path: Path, path: str | Path) -> None:
    app = Flask("app", instance_path=str(tmp_path))
    app.config["SESSION_SQLITE_PATH"] = path
    ServerSession(app)
    peer.cookie_with(app, {"user": 1})
    assert (tmp_path / path).is_file()


def test_sqlite_path_may_be_anywhere(tmp_path: Path) -> None:
    app = app_with({"SESSION_SQLITE_PATH": str(tmp_path / "other.sqlite")})
    peer.cookie_with(app, {"user": 1})
    assert (tmp_path / "other.sqlite").is_file()


def test_sqlite_timeout(tmp_path: Path) -> None:
    for timeout in (0, 1, 2.5):
        config = {"SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite", "SESSION_SQLITE_TIMEOUT": timeout}
        assert t.cast(SQLiteStore, interface_of(app_with(config)).store).timeout == timeout


def test_key_prefix(spied_app: MakeApp, spy: SpyStore) -> None:
    for prefix in ("session:", "app/", ""):
        spy.store.records.clear()
        app = spied_app(SESSION_KEY_PREFIX=prefix, SESSION_HASH_SID=False)
        cookie = peer.cookie_with(app, {"user": 1})
        assert list(spy.store.records) == [prefix + cookie]
    assert interface_of(spied_app()).options.key_prefix == "session:"


FIRST_BYTES = {"tagged": b"~", "msgpack": b"\x82", "json": b"{"}


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_serialization_format(spied_app: MakeApp, spy: SpyStore, name: str) -> None:
    peer.cookie_with(spied_app(SESSION_SERIALIZATION_FORMAT=name, SESSION_REFRESH_EACH_REQUEST=False), {"user": 1})
    ((data, _),) = spy.store.records.values()
    assert data.startswith((FIRST_BYTES[name], b"\x83") if name == "msgpack" else FIRST_BYTES[name])


def test_which_format_a_store_has_if_nothing_is_said(store_type: str, make_app: MakeApp) -> None:
    app = make_app()
    sid = peer.cookie_with(app, {"user": 1})
    interface = interface_of(app)
    data = interface.store.load(interface.ids.key(sid))
    assert data is not None
    assert data.startswith(b"~") == (store_type == "sqlite")


@pytest.mark.parametrize(
    ("value", "meant"), [("False", False), ("no", False), ("0", False), (0, False), (False, False)]
)
def test_what_is_false_in_the_environment_is_false(spied_app: MakeApp, value: object, meant: bool) -> None:
    names = ("SESSION_PERMANENT", "SESSION_USE_SIGNER", "SESSION_HASH_SID", "SESSION_REFRESH_UNACCESSED")
    options = interface_of(spied_app(**dict.fromkeys(names, value))).options
    assert {options.permanent, options.use_signer, options.hash_sid, options.refresh_unaccessed} == {meant}


def test_absolute_lifetime(spied_app: MakeApp) -> None:
    for value, seconds in ((None, None), (60, 60), (1.5, 1.5), (timedelta(hours=1), 3600)):
        assert interface_of(spied_app(SESSION_ABSOLUTE_LIFETIME=value)).options.absolute_lifetime == seconds


def test_a_lifetime_may_be_a_number_of_seconds(spied_app: MakeApp, spy: SpyStore) -> None:
    for lifetime in (60, timedelta(minutes=1)):
        spy.store.records.clear()
        peer.cookie_with(spied_app(PERMANENT_SESSION_LIFETIME=lifetime), {"user": 1})
        ((_, end),) = spy.store.records.values()
        assert end == 60


def test_without_a_secret_key_it_works_if_nothing_is_signed() -> None:
    app = Flask("app")
    app.config["SESSION_TYPE"] = MemoryStore()
    ServerSession(app)
    assert peer.session_of(app, peer.cookie_with(app, {"user": 1}))["user"] == 1


@dataclass
class Unhashable(MemoryStore):
    """As a dataclass is that may be compared."""

    name: str = "unhashable"

    def __post_init__(self) -> None:
        super().__init__()


def test_a_store_of_ones_own() -> None:
    for store in (MemoryStore(), SpyStore(), Unhashable()):
        app = app_with({"SESSION_TYPE": store})
        assert interface_of(app).store is store
        assert peer.session_of(app, peer.cookie_with(app, {"user": 1}))["user"] == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: redis.Redis(*NOWHERE),
        lambda: redis.Redis(*NOWHERE, decode_responses=True),
        lambda: redis.from_url("redis://127.0.0.1:9/0"),
        lambda: redis.Sentinel([NOWHERE]).master_for("master"),
        lambda: redis.Redis(connection_pool=redis.BlockingConnectionPool()),
        lambda: type("Own", (redis.Redis,), {})(*NOWHERE),
        lambda: type("Fake", (), {"execute_command": lambda self, *command, **options: None})(),
    ],
)
def test_clients_of_redis(make: t.Callable[[], t.Any]) -> None:
    assert interface_of(app_with({"SESSION_TYPE": "redis", "SESSION_REDIS": make()}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: pymemcache.Client(NOWHERE),
        lambda: pymemcache.PooledClient(NOWHERE),
        lambda: pymemcache.HashClient([NOWHERE]),
        lambda: pymemcache.HashClient([NOWHERE], use_pooling=True),
        lambda: type("Own", (pymemcache.Client,), {})(NOWHERE),
        lambda: pymemcache.PooledClient(NOWHERE, serde=ReadsText()),
    ],
)
def test_clients_of_memcached(make: t.Callable[[], t.Any]) -> None:
    assert interface_of(app_with({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": make()}))


class ReadsText:
    """A serde that does no harm, but cannot read what is none of its own."""

    def serialize(self, key: str, value: bytes) -> tuple[bytes, int]:
        return value, 0

    def deserialize(self, key: str, value: bytes, flags: int) -> object:
        return value if flags == 0 else value.decode("ascii")


# --- What is wrong --------------------------------------------------------------------------------------------------

MEMORY = MemoryStore()

#: A config, and what its error has to name.
WRONG: list[tuple[dict[str, t.Any], str]] = [
    ({"SESSION_TYPE": None}, "SESSION_TYPE"),
    ({"SESSION_TYPE": "filesystem"}, "SESSION_TYPE.*'sqlite', 'redis', 'memcached'.*'filesystem'"),
    ({"SESSION_TYPE": "cachelib"}, "SESSION_TYPE"),
    ({"SESSION_TYPE": "Redis"}, "SESSION_TYPE"),
    ({"SESSION_TYPE": object}, "SESSION_TYPE"),
    ({"SESSION_TYPE": {}}, "SESSION_TYPE"),
    ({"SESSION_TYPE": MemoryStore}, "SESSION_TYPE"),
    ({"SESSION_TYPE": redis.Redis(*NOWHERE)}, "SESSION_TYPE"),
    ({"SESSION_TYPE": "redis"}, "SESSION_REDIS is not configured.*redis.Redis"),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": None}, "SESSION_REDIS"),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": "localhost"}, "SESSION_REDIS.*URL"),
    ({"SESSION_TYPE": "sqlalchemy"}, "SESSION_SQLALCHEMY is not configured"),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.asyncio.Redis()}, "SESSION_REDIS.*redis.asyncio"),
    (
        {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.asyncio.RedisCluster(host="127.0.0.1", port=9)},
        "SESSION_REDIS.*redis.asyncio",
    ),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis}, "SESSION_REDIS"),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(*NOWHERE).pipeline()}, "SESSION_REDIS"),
    ({"SESSION_TYPE": "redis", "SESSION_REDIS": pymemcache.Client(NOWHERE)}, "SESSION_REDIS"),
    ({"SESSION_TYPE": "memcached"}, "SESSION_MEMCACHED is not configured.*PooledClient"),
    ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": "localhost"}, "SESSION_MEMCACHED.*URL"),
    ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": redis.Redis(*NOWHERE)}, "SESSION_MEMCACHED"),
    ({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": pymemcache.HashClient([])}, "SESSION_MEMCACHED.*no servers"),
    (
        {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": RetryingClient(pymemcache.Client(NOWHERE))},
        "SESSION_MEMCACHED",
    ),
    ({"SESSION_KEY_PREFIX": None}, "SESSION_KEY_PREFIX"),
    ({"SESSION_KEY_PREFIX": b"session:"}, "SESSION_KEY_PREFIX"),
    ({"SESSION_KEY_PREFIX": "my app:"}, "SESSION_KEY_PREFIX"),
    ({"SESSION_KEY_PREFIX": "caf\u00e9:"}, "SESSION_KEY_PREFIX"),
    ({"SESSION_KEY_PREFIX": "x" * 250}, "SESSION_KEY_PREFIX"),
    ({"PERMANENT_SESSION_LIFETIME": "3600"}, "PERMANENT_SESSION_LIFETIME.*number of seconds.*'3600'"),
    ({"PERMANENT_SESSION_LIFETIME": None}, "PERMANENT_SESSION_LIFETIME"),
    ({"PERMANENT_SESSION_LIFETIME": 1e400}, "PERMANENT_SESSION_LIFETIME"),
    ({"SESSION_ID_LENGTH": 11}, "SESSION_ID_LENGTH.*12 to 96.*11"),
    ({"SESSION_ID_LENGTH": 97}, "SESSION_ID_LENGTH"),
    ({"SESSION_ID_LENGTH": "32"}, "SESSION_ID_LENGTH.*'32'"),
    ({"SESSION_ID_LENGTH": None}, "SESSION_ID_LENGTH"),
    ({"SESSION_ID_LENGTH": 32.0}, "SESSION_ID_LENGTH"),
    ({"SESSION_SERIALIZATION_FORMAT": "pickle"}, "SESSION_SERIALIZATION_FORMAT.*'pickle'"),
    ({"SESSION_SERIALIZATION_FORMAT": None}, "SESSION_SERIALIZATION_FORMAT"),
    ({"SESSION_USE_SIGNER": True, "SECRET_KEY": None}, "SESSION_USE_SIGNER.*SECRET_KEY"),
    ({"SESSION_ABSOLUTE_LIFETIME": "1 day"}, "SESSION_ABSOLUTE_LIFETIME.*'1 day'"),
    ({"SESSION_ABSOLUTE_LIFETIME": 0}, "SESSION_ABSOLUTE_LIFETIME"),
    ({"SESSION_ABSOLUTE_LIFETIME": -1}, "SESSION_ABSOLUTE_LIFETIME"),
    ({"SESSION_ABSOLUTE_LIFETIME": timedelta()}, "SESSION_ABSOLUTE_LIFETIME"),
    ({"SESSION_ABSOLUTE_LIFETIME": float("nan")}, "SESSION_ABSOLUTE_LIFETIME"),
    ({"SESSION_ABSOLUTE_LIFETIME": True}, "SESSION_ABSOLUTE_LIFETIME"),
    ({"SESSION_CLEANUP_N_REQUESTS": "often"}, "SESSION_CLEANUP_N_REQUESTS"),
    ({"SESSION_CLEANUP_N_REQUESTS": -1}, "SESSION_CLEANUP_N_REQUESTS"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": 5}, "SESSION_SQLITE_PATH"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": None}, "SESSION_SQLITE_PATH"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": ""}, "SESSION_SQLITE_PATH"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": "a\0b"}, "SESSION_SQLITE_PATH"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_PATH": ":memory:"}, "SESSION_SQLITE_PATH.*':memory:'"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": float("inf")}, "SESSION_SQLITE_TIMEOUT"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": float("nan")}, "SESSION_SQLITE_TIMEOUT"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": 1e9}, "SESSION_SQLITE_TIMEOUT"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": True}, "SESSION_SQLITE_TIMEOUT"),
    ({"SESSION_CLEANUP_N_REQUESTS": True}, "SESSION_CLEANUP_N_REQUESTS"),
    ({"SESSION_PERMANENT": "of course"}, "SESSION_PERMANENT must be True or False, not 'of course'"),
    ({"SESSION_USE_SIGNER": None}, "SESSION_USE_SIGNER"),
    ({"SESSION_HASH_SID": ""}, "SESSION_HASH_SID"),
    ({"SESSION_REFRESH_UNACCESSED": 2}, "SESSION_REFRESH_UNACCESSED"),
    ({"SESSION_REGENERATE_ON_LOGIN": []}, "SESSION_REGENERATE_ON_LOGIN"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": "5"}, "SESSION_SQLITE_TIMEOUT"),
    ({"SESSION_TYPE": "sqlite", "SESSION_SQLITE_TIMEOUT": -1}, "SESSION_SQLITE_TIMEOUT"),
]


def label(value: object) -> str | None:
    if isinstance(value, dict):
        return ", ".join(f"{name[8:]}={str(each)[:30]}" for name, each in value.items())
    return ""


@pytest.mark.parametrize(("config", "text"), WRONG, ids=label)
def test_what_is_wrong_is_an_error_at_start(config: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        app_with({"SESSION_TYPE": MEMORY, **config})


@pytest.mark.parametrize(
    ("client_class", "arguments"),
    [
        (pymemcache.Client, (NOWHERE,)),
        (pymemcache.PooledClient, (NOWHERE,)),
        (pymemcache.HashClient, ([NOWHERE],)),
    ],
)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ignore_exc": True}, "ignore_exc"),
        ({"serde": pymemcache.serde.pickle_serde}, "unpickle"),
        ({"serde": PickleSerde(0)}, "unpickle"),
        ({"serde": CompressedSerde()}, "unpickle"),
        ({"deserializer": pymemcache.serde.python_memcache_deserializer}, "unpickle"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else None,
)
def test_a_client_of_memcached_that_hides_errors_or_unpickles_is_refused(
    client_class: type, arguments: tuple[t.Any, ...], options: dict[str, t.Any], text: str
) -> None:
    with pytest.raises(ValueError, match=f"SESSION_MEMCACHED.*{text}"):
        app_with({"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client_class(*arguments, **options)})


def test_a_store_lacks_a_method() -> None:
    for method in ("load", "create", "replace", "delete"):
        store = type("Own", (SpyStore,), {method: None})()
        with pytest.raises(ValueError, match="SESSION_TYPE"):
            app_with({"SESSION_TYPE": store})


def test_an_app_with_a_wrong_config_keeps_its_sessions() -> None:
    app = Flask("app")
    app.config["SESSION_TYPE"] = "filesystem"
    with pytest.raises(ValueError, match="SESSION_TYPE"):
        ServerSession(app)
    assert isinstance(app.session_interface, SecureCookieSessionInterface)
    assert app.cli.commands == {}


# --- What is not installed ------------------------------------------------------------------------------------------

WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from flask import Flask
import flask_fastsession
from flask_fastsession import ServerSession
app = Flask("app", instance_path={path!r})
app.config.update({config!r})
try:
    ServerSession(app)
except ValueError as error:
    print(error)
else:
    response = app.test_client().get("/nowhere")
    print("works", response.status_code)
"""


def output_without(missing: list[str], path: Path, **config: t.Any) -> str:
    code = WITHOUT.format(missing=missing, path=str(path), config=config)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


ALL_EXTRAS = ["redis", "pymemcache", "msgspec", "pytest", "flask_login", "flask_session"]


def test_sqlite_needs_nothing_else(tmp_path: Path) -> None:
    assert output_without(ALL_EXTRAS, tmp_path) == "works 404\n"


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_formats_of_flask_session_need_msgspec(tmp_path: Path, name: str) -> None:
    output = output_without(ALL_EXTRAS, tmp_path, SESSION_SERIALIZATION_FORMAT=name)
    assert f"SESSION_SERIALIZATION_FORMAT='{name}' needs msgspec: pip install" in output


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    for session_type, package in (("redis", "redis"), ("memcached", "pymemcache")):
        output = output_without([package], tmp_path, SESSION_TYPE=session_type)
        assert f"SESSION_{session_type.upper()} is not configured: set it to a client of {package}" in output


@pytest.mark.parametrize(
    ("source", "setting", "package", "installed"),
    [
        ("redis", "SESSION_REDIS", "redis", "'flask-fastsession[redis]'"),
        ("memcached", "SESSION_MEMCACHED", "pymemcache", "'flask-fastsession[memcached]'"),
        ("sqlalchemy", "SESSION_SQLALCHEMY", "sqlalchemy", "'flask-fastsession[sqlalchemy]'"),
        ("redis", "SESSION_REDIS", "msgspec", "msgspec"),
        ("mongodb", "SESSION_MONGODB", "msgspec", "msgspec"),
        ("dynamodb", "SESSION_DYNAMODB", "msgspec", "msgspec"),
    ],
)
def test_what_taking_over_needs(tmp_path: Path, source: str, setting: str, package: str, installed: str) -> None:
    output = output_without([package], tmp_path, SESSION_TAKE_OVER=source, **{setting: "sqlite://"})
    assert output == f"{setting} needs {package}: pip install {installed}\n"


# --- flask session_cleanup ------------------------------------------------------------------------------------------


def test_session_cleanup(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(PERMANENT_SESSION_LIFETIME=100)
    for _ in range(2500):
        spy.store.create(f"ended {_}", b"data", 1)
    spy.store.now = 50
    peer.cookie_with(app, {"user": 1})
    result = app.test_cli_runner().invoke(args=["session_cleanup"])
    assert result.exit_code == 0
    assert "2500 expired sessions removed." in result.output
    assert spy.calls["sweep"] == 4
    assert len(spy.store.records) == 1


def test_session_cleanup_of_sqlite(tmp_path: Path) -> None:
    app = app_with({"SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite", "SESSION_CLEANUP_N_REQUESTS": 0})
    store = interface_of(app).store
    store.create("ended", b"data", 1)
    living = peer.cookie_with(app, {"user": 1})
    time.sleep(1.1)
    result = app.test_cli_runner().invoke(args=["session_cleanup"])
    assert result.output.endswith("1 expired session removed.\n")
    assert peer.session_of(app, living)["user"] == 1


def test_session_cleanup_of_sqlite_gives_back_the_room(tmp_path: Path) -> None:
    app = app_with({"SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite", "SESSION_CLEANUP_N_REQUESTS": 0})
    store = interface_of(app).store
    for number in range(1500):
        store.create(f"ended {number}", b"data" * 500, 1)
    living = peer.cookie_with(app, {"user": 1})
    time.sleep(1.1)
    app.test_cli_runner().invoke(args=["session_cleanup"])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000
    assert peer.session_of(app, living)["user"] == 1


def test_session_cleanup_where_there_is_nothing_to_do() -> None:
    app = app_with({"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(*NOWHERE)})
    result = app.test_cli_runner().invoke(args=["session_cleanup"])
    assert (result.exit_code, result.output.count("Nothing to do")) == (0, 1)


def test_session_cleanup_that_fails_says_so(spied_app: MakeApp, spy: SpyStore) -> None:
    spy.failing = {"sweep"}
    assert spied_app().test_cli_runner().invoke(args=["session_cleanup"]).exit_code != 0


def test_the_session_of_a_request_context_is_ours(spied_app: MakeApp) -> None:
    with spied_app().test_request_context():
        assert session.new
