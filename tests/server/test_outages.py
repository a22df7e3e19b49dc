"""Stores that are killed, cut off, slow, full, read-only or ruined while visitors come."""

from __future__ import annotations

import os
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from flask import Flask
from pymemcache import Client
from pymemcache import HashClient
from pymemcache import PooledClient
from redis.backoff import ConstantBackoff
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.test import create_environ

from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.session import ServerSideSession
from flask_fastsession.server.stores.redis import RedisStore
from tests.faults.support import Ending
from tests.faults.support import scaled

from .load import Visitor
from .load import is_sound
from .load import most_failed_calls
from .load import run_script
from .load import started
from .load import visited
from .load import visited_app
from .servers import Proxy
from .servers import Server
from .servers import delaying_proxy
from .servers import memcached_server
from .servers import redis_server
from .servers import wait_until

#: How long the clients wait for a store.
TIMEOUT = 0.3

CYCLES = scaled(1, 20)


def redis_client(end: Server | Proxy, pool_class: type[redis.ConnectionPool] = redis.ConnectionPool) -> redis.Redis:
    pool = pool_class(
        host=end.host,
        port=end.port,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


def redis_config(end: Server | Proxy) -> dict[str, t.Any]:
    return {"SESSION_TYPE": "redis", "SESSION_REDIS": redis_client(end)}


def blocking_redis_config(end: Server | Proxy) -> dict[str, t.Any]:
    return {"SESSION_TYPE": "redis", "SESSION_REDIS": redis_client(end, redis.BlockingConnectionPool)}


def memcached_config(end: Server | Proxy, client_class: t.Any = PooledClient, **options: t.Any) -> dict[str, t.Any]:
    options |= {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, "no_delay": True}
    return {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client_class((end.host, end.port), **options)}


def one_memcached_config(end: Server | Proxy) -> dict[str, t.Any]:
    return memcached_config(end, Client)


def several_memcached_config(end: Server | Proxy) -> dict[str, t.Any]:
    return memcached_config(end, lambda address, **options: HashClient([address], use_pooling=True, **options))


def unpooled_memcached_config(end: Server | Proxy) -> dict[str, t.Any]:
    return memcached_config(end, lambda address, **options: HashClient([address], **options))


Config: t.TypeAlias = "Callable[[Server | Proxy], dict[str, t.Any]]"

KINDS: dict[str, tuple[Callable[[Path], t.ContextManager[Server]], Config]] = {
    "Redis": (redis_server, redis_config),
    "BlockingConnectionPool": (redis_server, blocking_redis_config),
    "PooledClient": (memcached_server, memcached_config),
    "Client": (memcached_server, one_memcached_config),
    "HashClient": (memcached_server, several_memcached_config),
    "HashClient unpooled": (memcached_server, unpooled_memcached_config),
}


class Kind(t.NamedTuple):
    server: Server
    config: Config


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    server_of, config = KINDS[request.param]
    with server_of(tmp_path) as server:
        yield Kind(server, config)


def recovers(app: Flask) -> bool:
    """Whether a new visitor is served within a second or two, whatever happened before."""
    visitor = Visitor(app, "newcomer")
    # As many as there were connections, each of which may have to find out that it is broken.
    for _ in range(20):
        before = visitor.tally.failures
        visitor.write()
        visitor.read()
        if visitor.tally.failures == before:
            return True
        time.sleep(0.1)
    return False


# --- A store at the other end of a connection -----------------------------------------------------------------------


def test_nothing_fails_without_a_fault(kind: Kind) -> None:
    with visited(visited_app(**kind.config(kind.server)), at_least=100) as tally:
        time.sleep(scaled(0.5, 30))
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_store_that_is_killed_and_restarted_under_load(kind: Kind) -> None:
    app = visited_app(**kind.config(kind.server))
    with visited(app, may_lose=True) as tally:
        for _ in range(CYCLES):
            time.sleep(0.3)
            kind.server.kill()
            time.sleep(0.3)
            # On a busy machine it may be a while until somebody notices.
            for _ in range(300):
                if most_failed_calls(app):
                    break
                time.sleep(0.1)
            kind.server.start()
        time.sleep(0.3)
    assert tally.failures
    assert most_failed_calls(app) == 1
    assert recovers(app)


def test_connections_that_are_reset_under_load(kind: Kind) -> None:
    with delaying_proxy(kind.server.port) as proxy:
        app = visited_app(**kind.config(proxy))
        with visited(app) as tally:
            for _ in range(10 * CYCLES):
                time.sleep(0.1)
                proxy.reset_all()
        assert tally.failures
        assert most_failed_calls(app) == 1
        assert recovers(app)


def test_a_store_that_is_silent_now_and_then_under_load(kind: Kind) -> None:
    app = visited_app(**kind.config(kind.server))
    with visited(app) as tally:
        # The last answers to requests that have given up come together with the first to others.
        for _ in range(3 * CYCLES):
            time.sleep(0.1)
            kind.server.pause()
            time.sleep(TIMEOUT * 1.1)
            kind.server.resume()
        time.sleep(0.1)
        kind.server.pause()
        before = [each.failures for each in tally.each]
        wait_until(
            lambda: all(each.failures > was + 1 for each, was in zip(tally.each, before, strict=True)),
            "each visitor to be told of a failure while the store is silent",
        )
        kind.server.resume()
    assert tally.failures
    assert most_failed_calls(app) == 1
    assert recovers(app)


def test_answers_that_take_about_as_long_as_is_waited_for_them(kind: Kind) -> None:
    # Some come just before, some just after a request has given up.
    with delaying_proxy(kind.server.port, delay_seconds=TIMEOUT / 2 - 0.001) as proxy:
        app = visited_app(**kind.config(proxy))
        with visited(app, threads=8) as tally:
            time.sleep(scaled(3, 60))
    assert tally.requests > tally.failures
    assert most_failed_calls(app) <= 1


def test_an_answer_that_comes_too_late_reaches_nobody(kind: Kind) -> None:
    app = visited_app(**kind.config(kind.server))
    ada, bob = Visitor(app, "ada"), Visitor(app, "bob")
    ada.write()
    bob.write()
    kind.server.pause()
    try:
        ada.read()
    finally:
        kind.server.resume()
    assert ada.tally.failures == 1
    for visitor in (bob, ada) * 3:
        visitor.read()
    assert recovers(app)


def test_a_store_that_is_away_fails_each_request(kind: Kind) -> None:
    app = visited_app(**kind.config(kind.server))
    visitor = Visitor(app, "ada")
    visitor.login()
    kind.server.pause()
    try:
        for act in (visitor.read, visitor.write, visitor.logout, visitor.login, visitor.read):
            act()
        assert visitor.tally.failures == 5
        assert most_failed_calls(app) == 1
    finally:
        kind.server.resume()


def test_a_pool_with_no_connection_left_is_a_failure_of_the_store(tmp_path: Path) -> None:
    with (
        memcached_server(tmp_path) as server,
        visited(visited_app(**memcached_config(server, max_pool_size=1))) as tally,
    ):
        time.sleep(0.5)
    assert tally.requests > tally.failures


# --- A Redis that does not do what it is asked ----------------------------------------------------------------------


def fill_up(client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("more", "than there is room for")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path) as server:
        yield server


def test_a_redis_without_memory(own_redis: Server) -> None:
    client = redis_client(own_redis)
    app = visited_app(**redis_config(own_redis))
    ada, bob = Visitor(app, "ada"), Visitor(app, "bob")
    ada.write()
    bob.write()
    fill_up(client)
    ada.read()
    assert ada.tally.failures == 0
    ada.write()
    assert ada.tally.failures == 1
    ada.read()
    bob.logout()
    assert (ada.tally.failures, bob.tally.failures) == (1, 0)
    client.config_set("maxmemory", "0")
    ada.write()
    ada.read()
    assert ada.tally.failures == 1


def test_a_redis_without_memory_ends_what_is_listed(own_redis: Server) -> None:
    """Though it has no room for the mark that refuses what is not listed yet."""
    app = visited_app(**redis_config(own_redis))
    interface = t.cast(ServerSessionInterface, app.session_interface)
    with app.app_context():
        session = t.cast(ServerSideSession, interface.open_session(app, app.request_class(create_environ())))
        session["user"] = "ada"
        interface.bind_user(session, "ada")
        interface.save_session(app, session, app.response_class())
        assert len(interface.sessions_of("ada")) == 1
        interface.user_key = "user"
        fill_up(redis_client(own_redis))
        with pytest.raises(SessionStoreError):
            interface.revoke_user("ada")
        assert interface.sessions_of("ada") == []
        assert interface.store.load(interface.ids.key(session.sid)) is None


def test_a_redis_that_became_a_replica(own_redis: Server, tmp_path: Path) -> None:
    app = visited_app(**redis_config(own_redis))
    visitor = Visitor(app, "ada")
    visitor.write()
    client = redis_client(own_redis)
    # Of itself alone: it never gets in touch with its master, and keeps what it has.
    client.replicaof(own_redis.host, own_redis.port)
    visitor.write()
    visitor.logout()
    assert visitor.tally.failures == 2
    client.replicaof("NO", "ONE")
    # What a replica refuses it has not done.
    visitor.possible, visitor.may_have_ended = {1}, False
    visitor.read()
    visitor.write()
    assert visitor.tally.failures == 2


def test_a_redis_that_forgets_its_scripts_under_load(own_redis: Server) -> None:
    client = redis_client(own_redis)
    with visited(visited_app(**redis_config(own_redis)), at_least=100) as tally:
        deadline = time.monotonic() + scaled(1, 30)
        while time.monotonic() < deadline:
            client.script_flush()
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_redis_without_getex(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--rename-command", "GETEX", "") as server:
        app = visited_app(**redis_config(server))
        with visited(app) as tally:
            time.sleep(scaled(0.5, 10))
        visitor = Visitor(app, "ada")
        visitor.write()
        client = redis_client(server)
        key = f"session:{visitor.sid}"
        client.expire(key, 10)
        visitor.read()
        assert client.ttl(key) > 10
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_redis_that_keeps_its_data_loses_nothing_when_it_is_killed(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        app = visited_app(**redis_config(server))
        with visited(app) as tally:
            for _ in range(CYCLES):
                time.sleep(0.3)
                server.kill()
                server.start()
            time.sleep(0.3)
    assert tally.failures
    assert most_failed_calls(app) == 1


# --- The client's own patience --------------------------------------------------------------------------------------


def patient_app(server: Server, retry: Retry | None) -> Flask:
    options: dict[str, t.Any] = {} if retry is None else {"retry": retry}
    client = redis.Redis(host=server.host, port=server.port, socket_timeout=TIMEOUT, **options)
    return visited_app(SESSION_TYPE="redis", SESSION_REDIS=client)


RETRIES = {
    "default": None,
    "long": Retry(ConstantBackoff(0.05), 200),
    "for ever": Retry(ConstantBackoff(0.05), -1),
}


@pytest.fixture
def lasting_redis(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.mark.parametrize("name", RETRIES)
@pytest.mark.parametrize("rest", [0, 0.6])
def test_a_restart_of_redis_is_waited_for_as_the_clients_retry_has_it(
    lasting_redis: Server, name: str, rest: float
) -> None:
    """On connections used before, whether or not they were used so lately that they are taken for open."""
    app = patient_app(lasting_redis, RETRIES[name])
    visitors = [Visitor(app, f"user-{number}") for number in range(4)]
    for visitor in visitors:
        visitor.write()
    for act in ("read", "write", "login", "logout", "write"):
        time.sleep(rest)
        lasting_redis.kill()
        with ThreadPoolExecutor(len(visitors)) as pool:
            done = [pool.submit(getattr(visitor, act)) for visitor in visitors]
            time.sleep(0.3)
            lasting_redis.start()
            for each in done:
                each.result()
        assert [visitor.reason for visitor in visitors] == [""] * len(visitors)


@pytest.mark.parametrize("name", [name for name in RETRIES if name != "default"])
def test_no_request_fails_while_redis_restarts_under_load(lasting_redis: Server, name: str) -> None:
    app = patient_app(lasting_redis, RETRIES[name])
    with visited(app, at_least=100) as tally:
        for _ in range(CYCLES):
            time.sleep(0.3)
            lasting_redis.kill()
            time.sleep(0.3)
            lasting_redis.start()
        time.sleep(0.3)
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_redis_that_stays_away_is_tried_as_often_as_the_clients_retry_has_it(own_redis: Server) -> None:
    """Not that often to connect for each of so many attempts to send."""
    app = patient_app(own_redis, Retry(ConstantBackoff(0.1), 8))
    visitor = Visitor(app, "ada")
    visitor.write()
    own_redis.kill()
    visitor.read()
    assert visitor.tally.failures == 1
    assert visitor.tally.longest >= 0.8


def test_what_only_reads_is_sent_again_on_a_connection_that_had_been_closed(own_redis: Server) -> None:
    """By a client that has nothing sent again; a change is, if the connection was not used a moment ago."""
    with redis_client(own_redis) as client, redis_client(own_redis) as other:
        store = RedisStore(client)
        store.create("key", b"data", 1000)
        store.enlist("owner", "h.1", "key", 1000, renew=False)
        for _ in range(3):
            for read, reply in [
                (lambda: store.load("key", 1000), b"data"),
                (lambda: store.load("key"), b"data"),
                (lambda: store.is_listed("owner", "h.1", b"data"), True),
                (lambda: store.listed("owner"), [("h.1", "key")]),
            ]:
                other.client_kill_filter(_type="normal", skipme=True)
                assert read() == reply
        other.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(SessionStoreError):
            store.replace("key", b"data", b"new", 1000)
        assert store.replace("key", b"data", b"new", 1000) is True
        time.sleep(0.6)
        other.client_kill_filter(_type="normal", skipme=True)
        assert store.replace("key", b"new", b"newer", 1000) is True


def test_what_a_lost_reply_was_about_is_done_once(own_redis: Server) -> None:
    """A client that sends a command again may do so after it was done."""
    with delaying_proxy(own_redis.port, delay_seconds=0.1) as proxy:
        client = redis.Redis(port=proxy.port, retry=Retry(ConstantBackoff(0.01), 20), socket_timeout=5)
        store = RedisStore(client)
        store.create("key", b"old", 1000)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(store.replace, "key", b"old", b"new", 1000)
            # It has been done, and the reply is on its way.
            time.sleep(0.15)
            proxy.reset_all()
            assert done.result() is True
            assert store.load("key") == b"new"


# --- SQLite ---------------------------------------------------------------------------------------------------------


def sqlite_app(path: Path, timeout: float = TIMEOUT) -> Flask:
    return visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=timeout)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process's transaction that takes its time; within this process SQLite would see to it by itself."""
    script = """
        import os
        import sqlite3
        os.umask(0o077)
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.read()
    """
    with started(script, path) as process:
        assert process.stdout and process.stdout.readline() == "locked\n"
        yield


def test_a_database_that_another_process_has_locked(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = sqlite_app(path)
    visitor, newcomer = Visitor(app, "ada"), Visitor(app, "bob")
    visitor.write()
    with locked(path):
        visitor.read()
        assert visitor.tally.failures == 0
        for act in (visitor.write, visitor.logout, newcomer.write):
            started_at = time.monotonic()
            act()
            assert time.monotonic() - started_at > TIMEOUT * 0.9
        assert (visitor.tally.failures, newcomer.tally.failures) == (2, 1)
        assert most_failed_calls(app) == 1
    visitor.write()
    visitor.read()
    assert visitor.tally.failures == 2


def test_a_first_connection_while_another_process_has_locked_the_database(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    Visitor(sqlite_app(path), "ada").write()
    visitor = Visitor(sqlite_app(path), "bob")
    with locked(path):
        visitor.write()
        visitor.read()
    visitor.write()
    assert visitor.tally.failures == 1


def test_a_first_connection_waits_while_another_process_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    visitor = Visitor(sqlite_app(path, timeout=5), "ada")
    with ThreadPoolExecutor(1) as pool:
        with locked(path):
            done = pool.submit(visitor.write)
            time.sleep(0.2)
        done.result()
    visitor.read()
    assert (visitor.tally.failures, visitor.reason) == (0, "")


def test_sweeping_that_fails_fails_no_request(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=TIMEOUT, SESSION_CLEANUP_N_REQUESTS=1)
    visitor = Visitor(app, "ada")
    visitor.write()
    with locked(path):
        visitor.read()
    assert visitor.tally.failures == 0


def test_a_database_that_is_locked_for_a_shorter_time_under_load(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    with visited(sqlite_app(path, timeout=30), at_least=100) as tally:
        for _ in range(3 * CYCLES):
            time.sleep(0.1)
            with locked(path):
                time.sleep(0.1)
    assert (tally.failures, tally.losses) == (0, 0)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    path.write_bytes(b"no database" * 1000)
    visitor = Visitor(sqlite_app(path), "ada")
    visitor.write()
    visitor.login()
    assert visitor.tally.failures == 2
    path.unlink()
    visitor.write()
    visitor.read()
    assert visitor.tally.failures == 2


def test_a_file_that_is_overwritten_while_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = sqlite_app(path)
    visitor = Visitor(app, "ada", may_lose=True)
    visitor.write()
    for name in tmp_path.iterdir():
        name.write_bytes(os.urandom(name.stat().st_size))
    for _ in range(3):
        visitor.write()
        visitor.read()
    assert visitor.tally.failures == 6
    for name in tmp_path.iterdir():
        name.unlink()
    assert recovers(app)


def test_a_file_that_is_deleted_under_load(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = sqlite_app(path)
    deletions = 3 * CYCLES
    with visited(app, may_lose=True) as tally:
        for _ in range(deletions):
            time.sleep(0.2)
            for name in tmp_path.iterdir():
                name.unlink()
        time.sleep(0.2)
    # Each visitor loses a session once at most each time, and not what was confirmed after that.
    assert tally.losses <= 4 * deletions
    assert recovers(app)
    assert path.exists() and is_sound(path)


def test_processes_go_on_together_after_the_file_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app, other = sqlite_app(path), sqlite_app(path)
    visitor = Visitor(app, "ada", may_lose=True)
    visitor.write()
    for name in tmp_path.iterdir():
        name.unlink()
    visitor.write()
    cookie = visitor.sid
    visitor.client = other.test_client()
    visitor.client.set_cookie("session", cookie)
    visitor.may_lose = False
    visitor.is_known = True
    visitor.read()


def test_a_directory_that_is_missing_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "more" / "and more"
    visitor = Visitor(sqlite_app(folder / "sessions.sqlite"), "ada")
    visitor.write()
    visitor.read()
    assert visitor.tally.failures == 0


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    obstacle = tmp_path / "more"
    obstacle.touch()
    visitor = Visitor(sqlite_app(obstacle / "sessions.sqlite"), "ada")
    visitor.write()
    assert visitor.tally.failures == 1
    obstacle.unlink()
    visitor.write()
    visitor.read()
    assert visitor.tally.failures == 1


# In a process of its own, which gives up the rights of root where it has them, as these know no read-only files.
READ_ONLY = """
    import tempfile
    from contextlib import ExitStack
    from pathlib import Path

    NOBODY = 65534

    def as_owner():
        os.seteuid(os.getuid() or NOBODY)

    def allow(mode_of_files, mode_of_folder):
        for path in folder.iterdir():
            path.chmod(mode_of_files)
        folder.chmod(mode_of_folder)

    files, directory, is_new = int(sys.argv[1], 8), int(sys.argv[2], 8), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        stack.callback(os.seteuid, os.getuid())
        os.chmod(home, 0o755)
        # What is imported at the first request may not be there for everybody.
        visits(visited_app(SESSION_SQLITE_PATH=f"{home}/other.sqlite"), "nobody", 20)
        folder = Path(home) / "store"
        folder.mkdir()
        if not os.getuid():
            os.chown(folder, NOBODY, NOBODY)
        as_owner()
        app = visited_app(SESSION_SQLITE_PATH=folder / "sessions.sqlite", SESSION_SQLITE_TIMEOUT=0.3)
        stack.callback(app.session_interface.store.close)
        visitor = Visitor(app, "ada")
        visitor.write()
        if is_new:
            app.session_interface.store.close()
        allow(files, directory)
        visitor.write()
        visitor.read()
        print(visitor.tally.failures, "failures")
        allow(0o600, 0o700)
        # A connection that was made for reading alone may have to find that out.
        visitor.write()
        before = visitor.tally.failures
        visitor.write()
        visitor.read()
        print(visitor.tally.failures - before, "more")
"""


@pytest.mark.parametrize(("files", "directory"), [("400", "700"), ("400", "500"), ("600", "500")])
def test_a_new_connection_to_a_database_that_is_read_only(files: str, directory: str) -> None:
    assert run_script(READ_ONLY, files, directory, 1) == Ending("exit 0", "1 failures\n0 more\n")


def test_a_file_that_becomes_read_only_under_an_open_connection_is_still_written() -> None:
    assert run_script(READ_ONLY, "400", "700", 0) == Ending("exit 0", "0 failures\n0 more\n")


# The limit is on each file, and what is written beyond fails as on a disk that is full.
FULL = """
    import resource

    def allow(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    app = visited_app(SESSION_SQLITE_PATH=sys.argv[1], SESSION_SQLITE_TIMEOUT=5.0)
    count, seconds = int(sys.argv[2]), float(sys.argv[3])
    with visited(app) as tally:
        for _ in range(count):
            allow(40_000)
            time.sleep(seconds)
            allow(resource.RLIM_INFINITY)
            time.sleep(seconds)
    visitor = Visitor(app, "newcomer")
    visitor.write()
    visitor.read()
    print(visitor.tally.failures, "failures later")
    assert 0 < tally.failures < tally.requests, in_figures(tally)
    assert most_failed_calls(app) == 1
"""


def test_a_full_disk_under_load(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    ending = run_script(FULL, path, CYCLES, 0.5, timeout=60 + 2 * CYCLES)
    assert ending == Ending("exit 0", "0 failures later\n")
    assert is_sound(path)
