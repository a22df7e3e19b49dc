"""The servers, and the real Flask-Session, do what other tests ask of them."""

from __future__ import annotations

import itertools
import shutil
import socket
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import peer
from .servers import Server
from .servers import ServerFailed
from .servers import ServerMissing
from .servers import delaying_proxy
from .servers import mariadb_server
from .servers import memcached_server
from .servers import postgresql_server
from .servers import redis_cluster
from .servers import redis_server

NEEDED: dict[str, Callable[[Path], t.ContextManager[object]]] = {
    "redis-server": redis_server,
    "memcached": memcached_server,
    "redis-cli": redis_cluster,
    "initdb": lambda _: postgresql_server(),
    "mariadb-install-db": lambda _: mariadb_server(),
}


ServerOf = Callable[[Path], t.ContextManager[Server]]


@pytest.fixture(params=[redis_server, memcached_server])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with request.param(tmp_path) as server:
        yield server


def connected(port: int, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def greet(connection: socket.socket, server: Server) -> bytes:
    question, _ = server.hello
    connection.sendall(question + b"\r\n")
    return connection.recv(100)


def test_a_server_answers_until_the_block_ends(server: Server) -> None:
    assert server.is_ready()


@pytest.mark.parametrize("server_of", [redis_server, memcached_server])
def test_nothing_listens_after_the_block(server_of: ServerOf, tmp_path: Path) -> None:
    with server_of(tmp_path) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        connected(server.port)


def test_a_server_that_was_killed_can_be_restarted_at_its_port(server: Server) -> None:
    with connected(server.port) as connection:
        greet(connection, server)
        server.kill()
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(server.port)
    server.restart()
    assert server.is_ready()


def test_a_killed_server_may_stay_so(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        server.kill()


def test_a_paused_server_accepts_and_answers_nothing_until_it_resumes(server: Server) -> None:
    server.pause()
    with connected(server.port, timeout=0.1) as connection:
        with pytest.raises(TimeoutError):
            greet(connection, server)
        server.resume()
        connection.settimeout(5)
        assert connection.recv(100).startswith(server.hello[1])


def test_a_paused_server_is_stopped_as_well(tmp_path: Path) -> None:
    with memcached_server(tmp_path) as server:
        server.pause()
    assert server.process.returncode is not None


def test_redis_listens_at_a_unix_socket(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.unix_socket))
        assert greet(connection, server) == b"+PONG\r\n"


def test_redis_keeps_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        assert server.ask(b"SET key value") == b"+OK\r\n"
        server.restart()
        assert server.ask(b"GET key") == b"$-1\r\n"


def test_servers_run_side_by_side(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(redis_server(tmp_path)) for _ in range(3)]
        assert len({server.port for server in servers}) == 3


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="no-such-option"), redis_server(tmp_path, "--no-such-option", "1"):
        pass


def test_what_is_not_installed_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name, server_of in NEEDED.items():
        with pytest.raises(ServerMissing, match=rf"^{name} .*scripts/servers\.sh"), server_of(tmp_path):
            pass


def test_each_node_of_a_cluster_has_a_third_of_the_slots(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as nodes:
        answers = [node.ask(b"SET key value") for node in nodes]
    assert sorted(answer[:6] for answer in answers) == [b"+OK\r\n", b"-MOVED", b"-MOVED"]


# --- The proxy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0005, 0.02])
def test_the_proxy_delays_each_way(server: Server, delay: float) -> None:
    with delaying_proxy(server.port, delay) as proxy, connected(proxy.port) as connection:
        greet(connection, server)
        times = [time.perf_counter()]
        for _ in range(20):
            assert greet(connection, server).startswith(server.hello[1])
            times.append(time.perf_counter())
    round_trips = [after - before for before, after in itertools.pairwise(times)]
    assert min(round_trips) >= 2 * delay


def test_the_proxy_passes_on_what_is_large(tmp_path: Path) -> None:
    value = bytes(range(256)) * 4096
    with redis_server(tmp_path) as server, delaying_proxy(server.port) as proxy, connected(proxy.port) as connection:
        connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (len(value), value))
        assert connection.recv(10) == b"+OK\r\n"
        connection.sendall(b"GET k\r\n")
        expected = b"$%d\r\n%b\r\n" % (len(value), value)
        with connection.makefile("rb") as answer:
            assert answer.read(len(expected)) == expected


def test_the_proxy_resets_all_connections_and_takes_new_ones(server: Server) -> None:
    with delaying_proxy(server.port) as proxy:
        with connected(proxy.port) as one, connected(proxy.port) as other:
            greet(one, server), greet(other, server)
            proxy.reset_all()
            for connection in one, other:
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        with connected(proxy.port) as connection:
            assert greet(connection, server).startswith(server.hello[1])


def test_the_end_of_a_connection_is_passed_on(server: Server) -> None:
    with delaying_proxy(server.port) as proxy, connected(proxy.port) as connection:
        greet(connection, server)
        server.kill()
        assert connection.recv(1) == b""


def test_the_proxy_resets_whom_the_server_refuses(server: Server) -> None:
    with delaying_proxy(server.port) as proxy:
        server.kill()
        with pytest.raises(ConnectionResetError), connected(proxy.port) as connection:
            connection.recv(1)


# --- The peer -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "memcached", "cachelib"])
def client_of_type(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, peer.Client]]:
    session_type = request.param
    if session_type == "cachelib":
        yield session_type, peer.files_of(tmp_path)
        return
    server_of = {"redis": redis_server, "memcached": memcached_server}[session_type]
    with server_of(tmp_path) as server:
        yield session_type, peer.client_of(session_type, server)


RECORDS = {"msgpack": b"\x82\xaa_permanent\xc3\xa4user\x01", "json": b'{"_permanent":true,"user":1}'}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("serialization", peer.FORMATS)
def test_what_flask_session_wrote_is_in_its_store(
    client_of_type: tuple[str, peer.Client], serialization: str, signed: bool
) -> None:
    app = peer.peer_app(
        *client_of_type,
        SESSION_SERIALIZATION_FORMAT=serialization,
        SESSION_USE_SIGNER=signed,
        SESSION_KEY_PREFIX="app:",
    )
    cookie = peer.cookie_with(app, {"user": 1})
    session = {"_permanent": True, "user": 1}
    assert peer.session_of(app, cookie) == session
    session_type, client = client_of_type
    record = session if session_type == "cachelib" else RECORDS[serialization]
    session_id, *signatures = cookie.split(".")
    assert len(signatures) == signed
    assert client.get(f"app:{session_id}") == peer.record_of(app, cookie) == record


def test_flask_session_reads_what_was_put_into_its_store(client_of_type: tuple[str, peer.Client]) -> None:
    app = peer.peer_app(*client_of_type)
    cookie = peer.cookie_with(app, {"user": 1})
    peer.put_record(app, cookie, {"user": 2} if client_of_type[0] == "cachelib" else b'{"user":2}')
    assert peer.session_of(app, cookie) == {"user": 2}


def test_a_session_goes_on_with_its_cookie(client_of_type: tuple[str, peer.Client]) -> None:
    app = peer.peer_app(*client_of_type)
    cookie = peer.cookie_with(app, {"user": 1})
    assert peer.cookie_with(app, {"more": 2}, cookie) == cookie
    assert peer.session_of(app, cookie) == {"_permanent": True, "user": 1, "more": 2}
    assert "user" not in peer.session_of(app, "x" * 43)
