"""The stores keep the promises of the protocol."""

from __future__ import annotations

import gc
import sqlite3
import time
import typing as t
import weakref
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymemcache
import pytest
import redis
import valkey
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry

from flask_fastsession.server import SessionStoreError
from flask_fastsession.server import Store
from flask_fastsession.server import SweepingStore
from flask_fastsession.server.stores.memcached import MemcachedStore
from flask_fastsession.server.stores.redis import RedisStore
from flask_fastsession.server.stores.sqlite import SQLiteStore
from flask_fastsession.testing import ListingStoreTests
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import StoreTests

from .conftest import redis_client
from .servers import Server
from .servers import memcached_server
from .servers import redis_server


def blocking(server: Server) -> t.Any:
    pool = redis.BlockingConnectionPool(host=server.host, port=server.port, decode_responses=True, protocol=2)
    return redis.Redis(connection_pool=pool)


@pytest.fixture(autouse=True)
def caching_from_redis_7_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py caches with Redis 7.4 and newer, though older ones can do all that matters here."""
    if hasattr(redis.connection, "CacheProxyConnection"):
        monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "7.0.0")


def caching(server: Server) -> t.Any:
    cache = pytest.importorskip("redis.cache", reason="this redis-py has no cache")
    return redis_client(server, protocol=3, cache_config=cache.CacheConfig())


def with_credentials(server: Server) -> t.Any:
    return redis_client(server, credential_provider=UsernamePasswordCredentialProvider("default", "any"))


#: Clients whose connections the store makes for itself, and others that it leaves to their own ways.
REDIS_CLIENTS: dict[str, Callable[[Server], t.Any]] = {
    "pool": redis_client,
    "blocking, decoding": blocking,
    "caching": caching,
    "with credentials": with_credentials,
    "valkey": lambda server: valkey.Valkey(host=server.host, port=server.port),
}


@pytest.mark.usefixtures("fewer_rounds")
class TestRedis(ListingStoreTests, OwnerStoreTests):
    # For each client; 100 000 of them are in test_redis.py.
    sessions_listed = 600

    @pytest.fixture(params=REDIS_CLIENTS)
    def client_of(self, request: pytest.FixtureRequest) -> Callable[[Server], t.Any]:
        return REDIS_CLIENTS[request.param]

    @pytest.fixture
    def store(self, redis_process: Server, client_of: Callable[[Server], t.Any]) -> Iterator[Store]:
        with client_of(redis_process) as client:
            yield RedisStore(client)

    @pytest.fixture
    def other_store(self, redis_process: Server, client_of: Callable[[Server], t.Any]) -> Iterator[Store]:
        with client_of(redis_process) as client:
            yield RedisStore(client)

    def test_another_type_of_value_is_no_record(self, store: Store, key: str, redis_process: Server) -> None:
        with redis_client(redis_process) as client:
            client.rpush(key, "element")
            for ttl in (None, 1000):
                assert store.load(key, ttl) == b""
            assert store.create(key, b"data", 1000) is False
            assert store.replace(key, b"data", b"new", 1000) in (False, b"")
            assert store.replace(key, b"data", None, 1000) in (False, b"")
            assert client.lrange(key, 0, -1) == [b"element"]
            store.delete(key)
            assert store.load(key) is None

    def test_scripts_that_the_server_has_forgotten(self, store: Store, key: str, redis_process: Server) -> None:
        store.create(key, b"data", 1000)
        with redis_client(redis_process) as client:
            for old, new in ((b"data", b"new"), (b"new", None)):
                client.script_flush()
                assert store.replace(key, old, new, 1000) is True

    def test_nothing_is_said_to_be_done_by_a_server_that_is_gone(
        self, client_of: Callable[[Server], t.Any], tmp_path: Path
    ) -> None:
        with redis_server(tmp_path) as server:
            client = client_of(server)
            # By default it would wait for seconds at each call.
            client.connection_pool.connection_kwargs["retry"] = Retry(NoBackoff(), 1)
            store = RedisStore(client)
            store.create("key", b"data", 1000)
            server.kill()
            for call in CALLS:
                with pytest.raises(SessionStoreError):
                    call(store)
            client.close()


def test_below_6_2_there_is_no_getex(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "GETEX", "") as server, redis_client(server) as client:
        store = RedisStore(client)
        assert store.load("key", 1000) is None
        store.create("key", b"data", 10)
        assert store.load("key") == b"data"
        assert client.ttl("key") <= 10
        assert store.load("key", 1000) == b"data"
        assert 10 < client.ttl("key") <= 1000
        client.rpush("list", "element")
        assert store.load("list") == store.load("list", 1000) == b""


def test_what_a_client_has_in_its_cache_is_not_taken_for_the_latest(redis_process: Server) -> None:
    key = f"cached-{time.time()}"
    with caching(redis_process) as client:
        store = RedisStore(client)
        store.create(key, b"data", 1000)
        for _ in range(3):
            assert store.load(key) == store.load(key, 1000) == b"data"
            time.sleep(0.6)
        with redis_client(redis_process) as other:
            RedisStore(other).delete(key)
        assert store.load(key) is None


def test_the_app_still_has_the_connections_of_its_client(redis_process: Server) -> None:
    with redis_client(redis_process, max_connections=1) as client:
        assert RedisStore(client).load("key") is None
        assert client.get("key") is None


def test_a_client_that_is_given_up_is_gone(redis_process: Server) -> None:
    client = redis_client(redis_process)
    store = RedisStore(client)
    store.load("key")
    left = [weakref.ref(client.connection_pool), weakref.ref(store)]
    del client, store
    gc.collect()
    assert [each() for each in left] == [None, None]


@pytest.mark.usefixtures("fewer_rounds")
class TestRedisCluster(ListingStoreTests, OwnerStoreTests):
    sessions_listed = 600

    @pytest.fixture
    def store(self, cluster_processes: list[Server]) -> Iterator[Store]:
        with redis.RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in cluster_processes]) as client:
            yield RedisStore(client)

    @pytest.fixture
    def other_store(self, cluster_processes: list[Server]) -> Iterator[Store]:
        node = cluster_processes[-1]
        with redis.RedisCluster(host=node.host, port=node.port, decode_responses=True) as client:
            yield RedisStore(client)


# Threads that read each other's answers may wait for one that never comes.
OPTIONS = {"no_delay": True, "timeout": 2}

MEMCACHED_CLIENTS: dict[str, Callable[..., t.Any]] = {
    "Client": lambda address: pymemcache.Client(address, **OPTIONS),
    "a subclass of Client": lambda address: type("Own", (pymemcache.Client,), {})(address, **OPTIONS),
    "PooledClient": lambda address, **options: pymemcache.PooledClient(address, **OPTIONS, **options),
    "HashClient": lambda address: pymemcache.HashClient([address], **OPTIONS),
    "HashClient with pools": lambda address, **options: pymemcache.HashClient(
        [address], use_pooling=True, **OPTIONS, **options
    ),
}


@pytest.mark.usefixtures("fewer_rounds")
class TestMemcached(StoreTests):
    @pytest.fixture(params=MEMCACHED_CLIENTS)
    def client_of(self, request: pytest.FixtureRequest) -> Callable[[tuple[str, int]], t.Any]:
        return MEMCACHED_CLIENTS[request.param]

    @pytest.fixture
    def store(self, memcached_process: Server, client_of: Callable[[tuple[str, int]], t.Any]) -> Iterator[Store]:
        client = client_of((memcached_process.host, memcached_process.port))
        yield MemcachedStore(client)
        client.close()

    @pytest.fixture
    def other_store(self, memcached_process: Server, client_of: Callable[[tuple[str, int]], t.Any]) -> Iterator[Store]:
        client = client_of((memcached_process.host, memcached_process.port))
        yield MemcachedStore(client)
        client.close()


@pytest.mark.parametrize("kind", MEMCACHED_CLIENTS)
def test_nothing_is_said_to_be_done_by_a_memcached_that_is_gone(kind: str, tmp_path: Path) -> None:
    with memcached_server(tmp_path) as server:
        client = MEMCACHED_CLIENTS[kind]((server.host, server.port))
        store = MemcachedStore(client)
        store.create("key", b"data", 1000)
        server.kill()
        for _ in range(3):
            for call in CALLS:
                with pytest.raises(SessionStoreError):
                    call(store)
        server.restart()
        assert store.load("key") is None
        assert store.create("key", b"data", 1000) is True
        client.close()


def test_a_record_that_was_loaded_from_memcached_is_replaced_by_one_command(tmp_path: Path) -> None:
    with memcached_server(tmp_path) as server:
        client = pymemcache.PooledClient((server.host, server.port), no_delay=True)
        store = MemcachedStore(client)
        store.create("key", b"old", 1000)
        loaded = store.load("key", 1000)
        asked = client.stats()[b"cmd_get"]
        assert store.replace("key", loaded or b"", b"new", 1000) is True
        assert client.stats()[b"cmd_get"] == asked
        # What it was loaded as it is no more, and a record of the same bytes will do.
        assert store.replace("key", loaded or b"", b"newer", 1000) == b"new"
        assert store.replace("key", b"new", b"old", 1000) is True
        assert store.replace("key", loaded or b"", b"new", 1000) is True
        client.close()


def test_each_key_stays_with_its_server_though_the_client_turns_to_another(tmp_path: Path) -> None:
    """What is ended while one of them is away is not to be back when it is."""
    with memcached_server(tmp_path) as one, memcached_server(tmp_path) as other:
        options = {"no_delay": True, "timeout": 0.3, "retry_attempts": 0, "dead_timeout": 0.5}
        client = pymemcache.HashClient([(server.host, server.port) for server in (one, other)], **options)
        store = MemcachedStore(client)
        key = next(key for key in map(str, range(1000)) if client.hasher.get_node(key) == f"{one.host}:{one.port}")
        store.create(key, b"data", 1000)
        one.pause()
        with pytest.raises(TimeoutError):
            client.get(key)
        assert client.get(key) is None
        for later in (store, MemcachedStore(client)):
            with pytest.raises(SessionStoreError):
                later.load(key)
        one.resume()
        assert store.load(key) == b"data"
        store.delete(key)
        client.close()


@pytest.mark.parametrize("kind", ["PooledClient", "HashClient with pools"])
def test_the_app_still_has_the_connections_of_its_client_of_memcached(kind: str, memcached_process: Server) -> None:
    address = (memcached_process.host, memcached_process.port)
    client = MEMCACHED_CLIENTS[kind](address, max_pool_size=1)
    MemcachedStore(client).load("key")
    assert client.get("key") is None
    client.close()


CALLS: list[Callable[[Store], object]] = [
    lambda store: store.load("key"),
    lambda store: store.load("key", 1000),
    lambda store: store.create("key", b"data", 1000),
    lambda store: store.replace("key", b"data", b"new", 1000),
    lambda store: store.replace("key", b"data", None, 1000),
    lambda store: store.delete("key"),
]


def test_what_is_no_blob_in_sqlite_is_no_record(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sessions.sqlite")
    store.load("key")
    store._execute("INSERT INTO sessions VALUES ('key', 'text', NULL)")
    assert store.load("key") == store.load("key", 1000) == b""
    store.close()


def test_what_sqlite_has_read_is_read_though_its_life_cannot_be_prolonged(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    store = SQLiteStore(path, timeout=0.1)
    store.create("key", b"data", 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.load("key", 1000) == b"data"
    assert store.load("key", 1000) == b"data"
    store.close()


def test_sqlite_deletes_any_number_of_records(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sessions.sqlite")
    store.create("key-1234", b"data", None)
    store.create("another", b"data", None)
    store.delete(*(f"key-{number}" for number in range(300_000)))
    assert store.load("key-1234") is None
    assert store.load("another") == b"data"
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_when_a_record_ends(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store: t.Any = SQLiteStore(tmp_path / "sessions.sqlite")
    if kind == "redis":
        store = RedisStore(redis_client(request.getfixturevalue("redis_process")))
    key, endless = f"ends-{time.time()}", f"endless-{time.time()}"
    store.create(key, b"data", 1000)
    store.create(endless, b"data", None)
    assert 990 < store.expires_in(key) <= 1000
    assert store.expires_in(endless) is None
    assert store.expires_in("nothing") is None


def test_the_file_of_sqlite_is_its_owners(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sub" / "sessions.sqlite")
    store.create("key", b"data", 1000)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "sub").iterdir()} == {0o600}
    store.close()


def test_only_sqlite_has_to_be_swept(tmp_path: Path) -> None:
    assert isinstance(SQLiteStore(tmp_path / "sessions.sqlite"), SweepingStore)
    assert not hasattr(RedisStore, "sweep")
    assert not hasattr(MemcachedStore, "sweep")
