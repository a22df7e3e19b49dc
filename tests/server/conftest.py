"""Stores on real servers, apps on these, and stores that show what is done to them."""

from __future__ import annotations

import secrets
import typing as t
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pymemcache
import pytest
import redis
from flask import Flask

from flask_fastsession import ServerSession
from flask_fastsession import testing
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server import Store
from flask_fastsession.server.owners import OwnerRecords
from tests.faults.support import scaled

from .servers import Server
from .servers import SQLServer
from .servers import mariadb_server
from .servers import memcached_server
from .servers import postgresql_server
from .servers import redis_cluster
from .servers import redis_server

STORES = ("sqlite", "redis", "memcached")

MakeApp = Callable[..., Flask]


# A server that is not installed is an error of all tests that need it.


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def memcached_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with memcached_server(tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[SQLServer]:
    with postgresql_server("-c", "deadlock_timeout=50ms") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_process() -> Iterator[SQLServer]:
    with mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def cluster_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture(params=STORES)
def store_type(request: pytest.FixtureRequest) -> str:
    return t.cast(str, request.param)


@pytest.fixture
def store_config(store_type: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, t.Any]]:
    """What an app has to be told to keep its sessions in a store of this type, where those of no other test are."""
    config: dict[str, t.Any] = {"SESSION_TYPE": store_type, "SESSION_KEY_PREFIX": f"{secrets.token_urlsafe(6)}:"}
    if store_type == "sqlite":
        yield {**config, "SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite"}
        return
    server: Server = request.getfixturevalue(f"{store_type}_process")
    with redis_client(server) if store_type == "redis" else memcached_client(server) as client:
        yield {**config, f"SESSION_{store_type.upper()}": client}


def redis_client(server: Server, **options: t.Any) -> t.Any:
    return redis.Redis(host=server.host, port=server.port, **options)


def memcached_client(server: Server, **options: t.Any) -> t.Any:
    return Closing(pymemcache.PooledClient((server.host, server.port), no_delay=True, **options))


class Closing:
    """A pymemcache client in a ``with`` statement: its own would close only one connection of a pool."""

    def __init__(self, client: t.Any) -> None:
        self.client = client

    def __enter__(self) -> t.Any:
        return self.client

    def __exit__(self, *_: object) -> None:
        self.client.close()


@pytest.fixture
def make_app(store_config: dict[str, t.Any]) -> MakeApp:
    """Make an app with some config; all that a test makes share one store."""
    return lambda **config: app_with({**store_config, **config})


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def store(app: Flask) -> Store:
    return t.cast(t.Any, app.session_interface).store  # type: ignore[no-any-return]


def app_with(config: dict[str, t.Any]) -> Flask:
    app = Flask("app")
    app.secret_key = "secret"
    app.config.update(config)
    ServerSession(app)
    return app


@pytest.fixture
def fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the kit: the orders that commands can have are tried one by one elsewhere."""
    monkeypatch.setattr(testing, "ROUNDS", scaled(8, testing.ROUNDS))


# --- Stores of a test's own -----------------------------------------------------------------------------------------


class MemoryStore:
    """The plainest store there can be, with a clock that a test may turn. Only one thread may use it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.records: dict[str, tuple[bytes, float | None]] = {}

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        data, end = self.records.get(key, (None, None))
        if data is None or (end is not None and end <= self.now):
            return None
        if ttl is not None:
            self._put(key, data, ttl)
        return data

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        if self.load(key) is not None:
            return False
        self._put(key, data, ttl)
        return True

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        found = self.load(key)
        if found is None:
            return False
        if found != old:
            return found
        if new is None:
            self.delete(key)
        else:
            self._put(key, new, ttl)
        return True

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.records.pop(key, None)

    def sweep(self, limit: int) -> int:
        ended = [key for key, (_, end) in self.records.items() if end is not None and end <= self.now][:limit]
        self.delete(*ended)
        return len(ended)

    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        self.records[key] = data, None if ttl is None else self.now + ttl


class SpyStore(OwnerRecords):
    """Counts what is asked of another store, and lets a test fail it, or do something just before or after."""

    def __init__(self, store: Store | None = None) -> None:
        self.store: t.Any = MemoryStore() if store is None else store
        self.calls: Counter[str] = Counter()
        self.keys: list[str] = []
        #: Methods that raise :exc:`SessionStoreError`.
        self.failing: set[str] = set()
        #: What is done once, before or after the next call of a method.
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}

    def load(self, *arguments: t.Any) -> t.Any:
        return self._call("load", *arguments)

    def create(self, *arguments: t.Any) -> t.Any:
        return self._call("create", *arguments)

    def replace(self, *arguments: t.Any) -> t.Any:
        return self._call("replace", *arguments)

    def delete(self, *arguments: t.Any) -> t.Any:
        return self._call("delete", *arguments)

    def sweep(self, *arguments: t.Any) -> t.Any:
        return self._call("sweep", *arguments)

    def counted(self) -> dict[str, int]:
        """The calls since this was asked last."""
        calls, self.calls = self.calls, Counter()
        return dict(calls)

    def _call(self, method: str, *arguments: t.Any) -> t.Any:
        self.calls[method] += 1
        self.keys += [argument for argument in arguments if isinstance(argument, str)]
        if method in self.failing:
            raise SessionStoreError(f"{method} fails")
        self.before.pop(method, lambda: None)()
        result = getattr(self.store, method)(*arguments)
        self.after.pop(method, lambda: None)()
        return result


@pytest.fixture
def spy() -> SpyStore:
    return SpyStore()


@pytest.fixture
def spied_app(spy: SpyStore) -> MakeApp:
    """Make an app whose store is the spy, and is not swept by the way."""
    return lambda **config: app_with({"SESSION_TYPE": spy, "SESSION_CLEANUP_N_REQUESTS": 0, **config})
