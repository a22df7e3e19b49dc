"""A Redis Cluster of three nodes, each of which has the sessions of its slots."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis
from flask import Flask
from redis.backoff import NoBackoff
from redis.cluster import LoadBalancingStrategy
from redis.cluster import RedisCluster
from redis.retry import Retry

from flask_fastsession.server.stores.redis import RedisStore
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from .load import Visitor
from .load import visited
from .load import visited_app
from .servers import Server
from .servers import redis_cluster
from .servers import wait_until

TIMEOUT = 0.5


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        for node in nodes:
            # A node that is away takes its own sessions with it, and no others.
            with redis.Redis(host=node.host, port=node.port) as client:
                client.config_set("cluster-require-full-coverage", "no")
        yield nodes


@pytest.fixture
def client(nodes: list[Server]) -> Iterator[RedisCluster]:
    with RedisCluster(
        host=nodes[0].host,
        port=nodes[0].port,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    ) as client:
        yield client


@pytest.fixture
def app(client: RedisCluster) -> Flask:
    return visited_app(SESSION_TYPE="redis", SESSION_REDIS=client)


def port_of(client: t.Any, visitor: Visitor) -> int:
    """The port of the node that has a visitor's session."""
    return int(client.get_node_from_key(f"session:{visitor.sid}").port)


def test_the_life_of_sessions_on_all_nodes(app: Flask, client: RedisCluster, nodes: list[Server]) -> None:
    before: set[int] = set()
    after: set[int] = set()
    moves = 0
    for number in range(scaled(30, 1_000)):
        visitor = Visitor(app, f"user-{number}")
        visitor.write()
        visitor.read()
        old, old_port = visitor.sid, port_of(client, visitor)
        visitor.login()
        visitor.read()
        assert visitor.sid != old
        # What is left there leads to where the session is, and is no session.
        assert client.get(f"session:{old}") == f"\0session:{visitor.sid}".encode()
        before.add(old_port)
        after.add(port_of(client, visitor))
        moves += old_port != port_of(client, visitor)
        visitor.write()
        visitor.read()
        visitor.logout()
        visitor.read()
        assert not visitor.tally.failures
    assert before == after == {node.port for node in nodes}
    assert moves


def test_all_sessions_of_a_user_are_revoked_on_whichever_node(app: Flask, client: RedisCluster) -> None:
    interface: t.Any = app.session_interface
    # So many that each node has some, but for one time in a million.
    visitors = [Visitor(app, "ada") for _ in range(40)]
    for visitor in visitors:
        visitor.login()
    sids = [visitor.sid for visitor in visitors]
    assert len({port_of(client, visitor) for visitor in visitors}) == 3
    assert len(interface.sessions_of("ada")) == 40
    interface.revoke_user("ada", keep=sids[0])
    [kept] = interface.sessions_of("ada")
    place = client.get(f"session:handle:{kept.name}")
    assert isinstance(place, bytes) and place.decode().split()[1] == f"session:{sids[0]}"
    assert [client.exists(f"session:{sid}") for sid in sids] == [1] + 39 * [0]
    visitors[0].read()
    interface.revoke_user("ada")
    assert interface.sessions_of("ada") == []


def test_requests_to_one_session_are_merged(app: Flask, client: RedisCluster) -> None:
    for number in range(scaled(10, 300)):
        visitor = Visitor(app, f"user-{number}")
        visitor.write()
        with in_flight(app, visitor.sid, mine=number):
            visitor.client.post(f"/note/yours/{number}")
        found = visitor.client.get("/").json
        assert found is not None
        assert (found["mine"], found["yours"], found["name"]) == (number, number, visitor.name)


def test_a_logout_stays_one(app: Flask) -> None:
    visitor = Visitor(app, "ada")
    visitor.write()
    with in_flight(app, visitor.sid, mine=1):
        visitor.logout()
    visitor.read()


@pytest.mark.parametrize(
    "options", [{"read_from_replicas": True}, {"load_balancing_strategy": LoadBalancingStrategy.RANDOM_REPLICA}]
)
def test_replicas_are_never_asked(replicated: list[Server], options: dict[str, t.Any]) -> None:
    """What they know is a moment old: a login would be taken for revoked, a session for none."""
    node = replicated[0]
    with RedisCluster(host=node.host, port=node.port, **options) as client:
        assert len(client.get_replicas()) == 3
        store = RedisStore(client)
        for key in map(str, range(30)):
            store.create(key, b"data", 1000)
            assert store.load(key) == store.load(key, 1000) == b"data"
            store.delete(key)
    assert not any(b"cmdstat_get:" in node.ask(b"INFO commandstats") for node in replicated)


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with redis_cluster(tmp_path_factory.mktemp("replicated"), replicas=1) as nodes:
        ports = [b":%d\r\n" % node.port for node in nodes]
        for node in nodes:
            wait_until(partial(knows, node, ports), "the replicas to be known")
        yield nodes


def knows(node: Server, ports: list[bytes]) -> bool:
    slots = node.ask(b"CLUSTER SLOTS")
    return all(port in slots for port in ports)


def test_a_cluster_without_getex(tmp_path: Path) -> None:
    with (
        redis_cluster(tmp_path, "--rename-command", "GETEX", "") as nodes,
        RedisCluster(host=nodes[0].host, port=nodes[0].port) as client,
    ):
        visitor = Visitor(visited_app(SESSION_TYPE="redis", SESSION_REDIS=client), "ada")
        for act in (visitor.write, visitor.read, visitor.login, visitor.read, visitor.logout):
            act()
        assert visitor.tally.failures == 0


@contextmanager
def in_flight(app: Flask, sid: str, **values: t.Any) -> Iterator[None]:
    """A request that has read its session before, and stores values after the block."""
    with app.test_request_context(headers={"Cookie": f"session={sid}"}) as context:
        session: t.Any = app.session_interface.open_session(app, context.request)
        session.update(values)
        yield
        app.session_interface.save_session(app, session, app.response_class())


def test_visitors_at_once(app: Flask) -> None:
    with visited(app, at_least=100) as tally:
        time.sleep(scaled(0.5, 30))
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_node_that_is_away_takes_its_sessions_with_it_and_no_others(
    app: Flask, client: RedisCluster, nodes: list[Server]
) -> None:
    visitors = [Visitor(app, f"user-{number}") for number in range(30)]
    for visitor in visitors:
        visitor.write()
    missing = nodes[1]
    stays = {visitor.name: port_of(client, visitor) != missing.port for visitor in visitors}
    assert len(set(stays.values())) == 2
    missing.kill()
    try:
        for _ in range(scaled(3, 30)):
            for visitor in visitors:
                before = visitor.tally.failures
                visitor.read()
                visitor.write()
                assert visitor.tally.failures - before == (0 if stays[visitor.name] else 2)
    finally:
        missing.start()
    deadline = time.monotonic() + HANGS_AFTER
    for visitor in visitors:
        visitor.may_lose = not stays[visitor.name]
        while visitor.tally.failures and not has_written(visitor):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        visitor.read()


def has_written(visitor: Visitor) -> bool:
    before = visitor.tally.failures
    visitor.write()
    return visitor.tally.failures == before
