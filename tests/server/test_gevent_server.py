"""Greenlets that wait for a store at the same time, in a process of their own that gevent has patched."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.support import Ending
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from .load import PRELUDE
from .load import run_script
from .servers import Server
from .servers import delaying_proxy
from .servers import memcached_server
from .servers import redis_server

PATCHED = "from gevent import monkey; monkey.patch_all()" + PRELUDE

MAKING = """
    import gevent
    import pymemcache
    import redis

    HOST = "127.0.0.1"

    def app_of(kind, place):
        match kind:
            case "sqlite":
                return visited_app(SESSION_SQLITE_PATH=place, SESSION_SQLITE_TIMEOUT=5.0)
            case "redis":
                return visited_app(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=int(place)))
            case "redis, blocking pool":
                pool = redis.BlockingConnectionPool(host=HOST, port=int(place))
                return visited_app(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(connection_pool=pool))
            case "memcached":
                client = pymemcache.PooledClient((HOST, int(place)), no_delay=True, max_pool_size=30)
            case _:
                client = pymemcache.Client((HOST, int(place)), no_delay=True)
        return visited_app(SESSION_TYPE="memcached", SESSION_MEMCACHED=client)

    app = app_of(*sys.argv[1:3])
"""

SERVERS: dict[str, Callable[[Path], t.ContextManager[Server]] | None] = {
    "sqlite": None,
    "redis": redis_server,
    "redis, blocking pool": redis_server,
    "memcached": memcached_server,
    "memcached, one connection": memcached_server,
}

WAITS = """
    visitors = [Visitor(app, f"user-{number}") for number in range(10)]

    store = app.session_interface.store
    load, waiting = store.load, set()

    def counted(*arguments):
        waiting.add(gevent.getcurrent())
        most.append(len(waiting))
        try:
            return load(*arguments)
        finally:
            waiting.remove(gevent.getcurrent())

    def together(act):
        gevent.joinall([gevent.spawn(act, visitor) for visitor in visitors], raise_error=True)

    # Connections are made, and sessions.
    together(Visitor.write)
    store.load, most = counted, []
    together(Visitor.read)
    print(max(most))
"""


@pytest.mark.parametrize("kind", ["redis", "redis, blocking pool", "memcached"])
def test_ten_requests_wait_for_their_store_at_the_same_time(tmp_path: Path, kind: str) -> None:
    server_of = SERVERS[kind]
    assert server_of is not None
    with server_of(tmp_path) as server, delaying_proxy(server.port, delay_seconds=0.5) as proxy:
        ending = run_script(MAKING + WAITS, kind, proxy.port, prelude=PATCHED)
    assert ending == Ending("exit 0", "10\n")


TURNS = """
    def live(number):
        visitor = Visitor(app, f"user-{number}")
        for _ in range(int(sys.argv[3])):
            visitor.act()
            gevent.sleep(0)
        assert not visitor.tally.failures
        return visitor.tally.requests

    greenlets = [gevent.spawn(live, number) for number in range(20)]
    gevent.joinall(greenlets, raise_error=True)
    print(sum(greenlet.value for greenlet in greenlets))
"""


def ending_of(script: str, kind: str, folder: Path, *arguments: object, timeout: float = HANGS_AFTER) -> Ending:
    server_of = SERVERS[kind]
    if server_of is None:
        place: object = folder / "sessions.sqlite"
        return run_script(MAKING + script, kind, place, *arguments, prelude=PATCHED, timeout=timeout)
    with server_of(folder) as server:
        return run_script(MAKING + script, kind, server.port, *arguments, prelude=PATCHED, timeout=timeout)


@pytest.mark.parametrize("kind", SERVERS)
def test_greenlets_take_turns_in_the_midst_of_it(tmp_path: Path, kind: str) -> None:
    count = scaled(30, 2_000)
    assert ending_of(TURNS, kind, tmp_path, count, timeout=HANGS_AFTER + count) == Ending("exit 0", f"{20 * count}\n")


# A greenlet that is ended while it waits never reads its answer, and nobody else may. What it was about to do may have
# been done.
HURRY = """
    class Hurried(Visitor):
        def request(self, method, path):
            try:
                with gevent.Timeout(random.choice([0.0002, 0.0005, 0.001, 0.002, 1])):
                    return super().request(method, path)
            except gevent.Timeout:
                timeouts.append(path)
                return None

    def live(number):
        visitor = Hurried(app, f"user-{number}")
        for _ in range(int(sys.argv[3])):
            visitor.act()
        reasons.add(visitor.reason)
        return visitor.tally.failures

    reasons = set()
    timeouts = []
    greenlets = [gevent.spawn(live, number) for number in range(8)]
    gevent.joinall(greenlets, raise_error=True)
    assert timeouts
    print(sum(greenlet.value for greenlet in greenlets), "failures", *sorted(filter(None, reasons)))
    print(len(timeouts), "timeouts", file=sys.stderr)
"""


# SQLite is not waited for: it lets nobody else have a turn.
@pytest.mark.parametrize("kind", [kind for kind, server_of in SERVERS.items() if server_of is not None])
def test_greenlets_that_are_ended_while_they_wait(tmp_path: Path, kind: str) -> None:
    count = scaled(50, 5_000)
    assert ending_of(HURRY, kind, tmp_path, count, timeout=HANGS_AFTER + count) == Ending("exit 0", "0 failures\n")
