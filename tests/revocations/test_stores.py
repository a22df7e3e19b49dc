"""The stores keep the promises of the protocol, on real servers and by several processes."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import sqlalchemy
import valkey
from redis.cluster import ClusterNode

from flask_fastsession import Revocations
from flask_fastsession import SessionStoreError
from flask_fastsession.revocations import Cursor
from flask_fastsession.revocations import RevocationStore
from flask_fastsession.revocations.revocations import LONGEST
from flask_fastsession.revocations.stores import store_from
from flask_fastsession.revocations.stores.redis import RedisRevocations
from flask_fastsession.revocations.stores.sql import SQLAlchemyRevocations
from flask_fastsession.revocations.stores.sqlite import SQLiteRevocations
from flask_fastsession.testing import RevocationStoreTests
from tests.server.servers import Server
from tests.server.servers import SQLServer
from tests.server.servers import redis_server

from .conftest import MemoryStore
from .conftest import app_with
from .conftest import logged_in
from .conftest import shows


class TestMemory(RevocationStoreTests):
    @pytest.fixture
    def store(self) -> RevocationStore:
        return MemoryStore()

    # It has no lock.
    test_whoever_follows_the_list_misses_nothing = None  # type: ignore[assignment]


class TestSQLite(RevocationStoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> RevocationStore:
        return store_from(tmp_path / "revocations.sqlite")

    @pytest.fixture
    def other_store(self, store: RevocationStore, tmp_path: Path) -> RevocationStore:
        return store_from(str(tmp_path / "revocations.sqlite"))


CLIENTS: dict[str, t.Callable[[Server], t.Any]] = {
    "client": lambda server: redis.Redis(host=server.host, port=server.port),
    "decoding client": lambda server: redis.Redis(host=server.host, port=server.port, decode_responses=True),
    "valkey": lambda server: valkey.Valkey(host=server.host, port=server.port),
    "URL": lambda server: f"redis://{server.host}:{server.port}/1",
}


class TestRedis(RevocationStoreTests):
    @pytest.fixture(params=CLIENTS)
    def store(self, request: pytest.FixtureRequest, redis_process: Server) -> RevocationStore:
        return store_from(CLIENTS[request.param](redis_process))

    @pytest.fixture
    def other_store(self, request: pytest.FixtureRequest, redis_process: Server) -> RevocationStore:
        return store_from(CLIENTS[request.node.callspec.params["store"]](redis_process))


class TestRedisCluster(RevocationStoreTests):
    @pytest.fixture
    def store(self, cluster_processes: list[Server]) -> Iterator[RevocationStore]:
        with redis.RedisCluster(startup_nodes=[ClusterNode(n.host, n.port) for n in cluster_processes]) as client:
            yield store_from(client)


class SQLTests(RevocationStoreTests):
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[RevocationStore]:
        store = t.cast(SQLAlchemyRevocations, store_from(url))
        yield store
        store.close()

    @pytest.fixture
    def other_store(self, url: str) -> Iterator[RevocationStore]:
        engine = sqlalchemy.create_engine(url)
        yield store_from(engine)
        engine.dispose()


class TestPostgreSQL(SQLTests):
    @pytest.fixture
    def url(self, postgresql_process: SQLServer) -> str:
        return postgresql_process.url


class TestMariaDB(SQLTests):
    @pytest.fixture
    def url(self, mariadb_process: SQLServer) -> str:
        return mariadb_process.url


class TestSQLAlchemyAndSQLite(SQLTests):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'revocations.db'}"


# --- Several processes ----------------------------------------------------------------------------------------------

PROCESSES, ENTRIES = 3, 20


@pytest.fixture(params=["sqlite", "redis", "postgresql", "mariadb"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path or a URL, which other processes can be told."""
    if request.param == "sqlite":
        return str(tmp_path / "revocations.sqlite")
    server = request.getfixturevalue(f"{request.param}_process")
    return f"redis://{server.host}:{server.port}/2" if request.param == "redis" else str(server.url)


#: Other processes need no more than the store.
ADD_MANY = """
import sys
from flask_fastsession.revocations.stores import store_from
source, number, entries = sys.argv[1:]
store = store_from(source)
print(*(store.add(f"{number} {turn}", 1000).number for turn in range(int(entries))))
"""


def test_processes_that_add_at_once_hide_nothing_from_a_follower(source: str) -> None:
    store = store_from(source)
    _, cursor = store.since(None)
    found: list[tuple[int, str]] = []
    commands = [[sys.executable, "-c", ADD_MANY, source, f"{number}", f"{ENTRIES}"] for number in range(PROCESSES)]
    adding = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    while True:
        was_over = all(process.poll() is not None for process in adding)
        entries, cursor = store.since(cursor)
        found += entries
        if was_over:
            break
        time.sleep(0.005)
    numbers = [list(map(int, process.communicate()[0].split())) for process in adding]
    assert [len(row) for row in numbers] == [ENTRIES] * PROCESSES
    expected = [(place, f"{at} {turn}") for at, row in enumerate(numbers) for turn, place in enumerate(row)]
    assert found == sorted(expected)


# --- Lists that are lost --------------------------------------------------------------------------------------------


def test_redis_begins_another_list_after_a_flush_and_after_a_restart(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, redis.Redis(host=server.host, port=server.port) as client:
        store = RedisRevocations(client)
        assert store.since(None) == ([], Cursor(0, ""))
        places = [store.add("before", 1000)]
        client.flushall()
        places.append(store.add("after the flush", 1000))
        assert store.since(places[0]) == ([(places[1].number, "after the flush")], places[1])
        server.restart()
        with suppress(SessionStoreError):
            # A connection from before.
            store.since(None)
        assert store.since(places[1]) == ([], Cursor(0, ""))
        places.append(store.add("after the restart", 1000))
        assert len({place.generation for place in places}) == 3


def test_redis_has_another_generation_on_another_server_with_the_same_list(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, redis_server(tmp_path) as other:
        clients = [redis.Redis(host=each.host, port=each.port) for each in (server, other)]
        place = RedisRevocations(clients[0]).add("an entry", 1000)
        key = "fastsession:revocations"
        clients[1].restore(key, 0, t.cast(t.Any, clients[0].dump(key)))
        entries, moved = RedisRevocations(clients[1]).since(place)
        assert entries == [(place.number, "an entry")]
        assert moved.generation != place.generation
        for client in clients:
            client.close()


def test_redis_forgets_what_has_ended(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, redis.Redis(host=server.host, port=server.port) as client:
        store = RedisRevocations(client)
        store.add("short", 0)
        store.add("long", 100_000)
        assert 100_000 <= t.cast(int, client.ttl("fastsession:revocations")) <= 100_001
        store.add("shorter", 1000)
        assert 100_000 <= t.cast(int, client.ttl("fastsession:revocations")) <= 100_001
        assert [text for _, text in store.since(None)[0]] == ["long", "shorter"]


def test_redis_gives_a_long_list_in_parts(redis_process: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_fastsession.revocations.stores.redis.AT_ONCE", 7)
    with redis.Redis(host=redis_process.host, port=redis_process.port) as client:
        store = RedisRevocations(client, key="a long list")
        places = [store.add(f"{number}", 1000) for number in range(21)]
        entries, end = store.since(None)
        assert ([number for number, _ in entries], end) == ([place.number for place in places], places[-1])
        assert len(store.since(places[5])[0]) == 15


def test_sqlite_forgets_what_has_ended(tmp_path: Path) -> None:
    store = SQLiteRevocations(tmp_path / "revocations.sqlite")
    assert store.since(None) == ([], Cursor(0, ""))
    store.add("short", 0)
    store.add("long", 1000)
    assert [text for _, text in store.since(None)[0]] == ["long"]


def test_sql_forgets_what_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_fastsession.revocations.stores.sql.SWEPT_EVERY", 1)
    store = SQLAlchemyRevocations(f"sqlite:///{tmp_path / 'revocations.db'}")
    store.add("short", 0)
    store.add("long", 1000)
    assert [text for _, text in store.since(None)[0]] == ["long"]
    store.close()


def test_a_clock_that_is_set_back_does_not_set_back_the_numbers(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_from(source)
    first = store.add("first", 1000)
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    assert store.add("second", 10**9).number > first.number


# --- What is given as store -----------------------------------------------------------------------------------------


def test_stores_are_known_by_what_is_given(tmp_path: Path) -> None:
    own = MemoryStore()
    assert Revocations(own).store is own
    kinds = {
        "revocations.sqlite": SQLiteRevocations,
        tmp_path / "revocations.sqlite": SQLiteRevocations,
        "redis://localhost": RedisRevocations,
        "valkey://localhost": RedisRevocations,
        redis.Redis(): RedisRevocations,
        f"sqlite:///{tmp_path}/revocations.db": SQLAlchemyRevocations,
        sqlalchemy.make_url(f"sqlite:///{tmp_path}/revocations.db"): SQLAlchemyRevocations,
        sqlalchemy.create_engine(f"sqlite:///{tmp_path}/revocations.db"): SQLAlchemyRevocations,
    }
    for source, kind in kinds.items():
        assert type(Revocations(source).store) is kind


@pytest.mark.parametrize(
    "source",
    ["", ":memory:", None, 5, MemoryStore, redis.asyncio.Redis(), "redis://localhost/?nonsense=1", "nonsense://x"],
    ids=["empty", "memory", "None", "5", "class", "asyncio", "argument", "scheme"],
)
def test_what_is_no_store_is_an_error(source: t.Any) -> None:
    with pytest.raises(ValueError, match=r"Revocations|URL"):
        Revocations(source)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"every": every} for every in (-1, "5", True, float("inf"), float("nan"), 1e300, 10**19, LONGEST + 1)),
        *({"keep_for": keep_for} for keep_for in (-1, 1e300, 10**400, LONGEST + 1)),
        *({"on_outage": "x"}, {"user_of": 5}),
    ],
    ids=lambda arguments: str(arguments)[:40],
)
def test_arguments_that_make_no_sense_are_errors(arguments: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Revocations(MemoryStore(), **arguments)


def test_a_revocation_may_be_kept_for_the_longest_time(source: str) -> None:
    here, there = (app_with(Revocations(source, every, keep_for=LONGEST)) for every in (LONGEST, 0))
    client, copied = logged_in(here)
    assert shows(there, copied) == {"user": "ada"}
    assert client.get("/logout").status_code == 200
    assert shows(here, copied) == shows(there, copied) == {}


def test_passwords_are_not_quoted() -> None:
    for url in ("redis://:sesame@localhost/?nonsense=1", "nonsense://user:sesame@localhost/x"):
        with pytest.raises(ValueError) as error:
            Revocations(url)
        assert "sesame" not in str(error.value)


def test_whose_sessions_are_not_revoked_loads_no_stores() -> None:
    program = (
        "import sys, flask_fastsession; flask_fastsession.FastSessionInterface();"
        "assert not [name for name in sys.modules if 'revocations' in name or 'fastsession.server' in name]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
