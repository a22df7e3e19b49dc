"""What is Redis's own: owners as sorted sets, the connections of the store, tracing tools, and its start."""

from __future__ import annotations

import gc
import logging
import os
import random
import secrets
import signal
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import redis
import valkey
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.store import SessionStoreError
from flask_fastsession.server.stores.redis import RedisStore
from flask_fastsession.server.stores.redis import client_from_url
from tests.faults.support import Ending
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from .conftest import redis_client
from .load import run_script
from .servers import Server
from .servers import redis_server

LONG = 1000


def decoding(server: Server) -> t.Any:
    pool = redis.BlockingConnectionPool(host=server.host, port=server.port, decode_responses=True, protocol=2)
    return redis.Redis(connection_pool=pool)


class Bare:
    """A client that can do no more than it has to."""

    def __init__(self, client: redis.Redis) -> None:
        self.execute_command = client.execute_command


CLIENTS: dict[str, Callable[[Server], t.Any]] = {
    "pool": redis_client,
    "RESP2": lambda server: redis_client(server, protocol=2),
    "blocking, decoding": decoding,
    "valkey": lambda server: valkey.Valkey(host=server.host, port=server.port),
    "bare": lambda server: Bare(redis_client(server)),
}


@pytest.fixture(params=[*CLIENTS, "cluster"])
def client(request: pytest.FixtureRequest) -> t.Any:
    if request.param == "cluster":
        node = request.getfixturevalue("cluster_processes")[0]
        return RedisCluster(host=node.host, port=node.port)
    return CLIENTS[request.param](request.getfixturevalue("redis_process"))


@pytest.fixture
def store(client: t.Any, prefix: str) -> RedisStore:
    return RedisStore(client, prefix)


@pytest.fixture
def prefix() -> str:
    return f"{secrets.token_hex(4)}:"


@pytest.fixture
def ada(prefix: str) -> str:
    return f"{prefix}owner:ada"


@pytest.fixture
def bob(prefix: str) -> str:
    return f"{prefix}owner:bob"


def begun(store: RedisStore, owner: str, prefix: str, count: int = 1, ttl: int = LONG) -> list[tuple[str, str]]:
    """New sessions that an owner lists: the handle and the key of each."""
    sessions = [(f"h.{secrets.token_hex(8)}", f"{prefix}{secrets.token_hex(8)}") for _ in range(count)]
    for handle, key in sessions:
        assert store.create(key, b"data", ttl)
        assert store.enlist(owner, handle, key, ttl, renew=False) is True
    return sessions


# --- Owners ---------------------------------------------------------------------------------------------------------


def test_it_is_a_store_of_owners(store: RedisStore) -> None:
    assert isinstance(store, OwnerStore)


def test_who_lists_what(store: RedisStore, ada: str, bob: str, prefix: str) -> None:
    mine = begun(store, ada, prefix, 3)
    (theirs,) = begun(store, bob, prefix)
    assert sorted(store.listed(ada)) == sorted(mine)
    assert store.listed(bob) == [theirs]
    assert [store.is_listed(ada, handle, b"data") for handle, _ in [*mine, theirs]] == [True, True, True, False]
    assert store.listed(f"{prefix}owner:nobody") == []
    assert not store.is_listed(f"{prefix}owner:nobody", theirs[0], b"data")


def test_what_is_renewed_has_another_key_and_end(store: RedisStore, ada: str, prefix: str) -> None:
    ((handle, _),) = begun(store, ada, prefix, ttl=2)
    assert store.enlist(ada, handle, "another", LONG, renew=True) is True
    time.sleep(2.1)
    assert store.listed(ada) == [(handle, "another")]
    assert store.is_listed(ada, handle, b"data")
    assert store.expires_in(ada) in range(LONG - 5, LONG + 2)


def test_renewing_never_lists_anew(store: RedisStore, ada: str, bob: str, prefix: str) -> None:
    ((handle, key),) = begun(store, ada, prefix)
    assert store.enlist(bob, handle, key, LONG, renew=True) is False
    assert store.enlist(ada, "h.another", key, LONG, renew=True) is False
    store.unlist(ada, handle)
    assert store.enlist(ada, handle, key, LONG, renew=True) is False
    assert store.listed(ada) == store.listed(bob) == []
    assert store.load(key) == b"data"


def test_an_entry_that_has_ended_is_not_renewed_nor_counted(store: RedisStore, ada: str, prefix: str) -> None:
    (short,) = begun(store, ada, prefix, ttl=1)
    (long,) = begun(store, ada, prefix)
    time.sleep(1.1)
    assert not store.is_listed(ada, short[0], b"data")
    assert store.listed(ada) == [long]
    assert store.enlist(ada, *short, LONG, renew=True) is False
    assert store.end(short[0]) is False
    assert store.end_all(ada) == 1


def test_a_handle_has_one_owner(store: RedisStore, ada: str, bob: str, prefix: str) -> None:
    ((handle, key),) = begun(store, ada, prefix)
    assert store.enlist(bob, handle, key, LONG, renew=False) is True
    assert store.listed(ada) == []
    assert not store.is_listed(ada, handle, b"data")
    assert store.listed(bob) == [(handle, key)]
    store.unlist(ada, handle)
    assert store.end_all(ada) == 0
    assert store.is_listed(bob, handle, b"data")
    assert store.end(handle) is True
    assert not store.is_listed(bob, handle, b"data")


def test_a_session_is_ended_by_its_handle(store: RedisStore, ada: str, prefix: str) -> None:
    sessions = begun(store, ada, prefix, 3)
    handle, key = sessions.pop()
    assert store.end(handle) is True
    assert store.end(handle) is False
    assert store.end("h.nothing") is False
    assert store.load(key) is None
    assert not store.is_listed(ada, handle, b"data")
    assert sorted(store.listed(ada)) == sorted(sessions)
    assert [store.load(key) for _, key in sessions] == [b"data"] * 2


@pytest.mark.parametrize("kept", [0, 1, 3, 5])
def test_all_are_ended_but_those_to_keep(store: RedisStore, ada: str, bob: str, prefix: str, kept: int) -> None:
    sessions = begun(store, ada, prefix, 5)
    (other,) = begun(store, bob, prefix)
    keep = [handle for handle, _ in sessions[:kept]]
    assert store.end_all(ada, [*keep, "h.nothing", other[0]]) == 5 - kept
    assert sorted(store.listed(ada)) == sorted(sessions[:kept])
    assert [store.load(key) for _, key in sessions] == kept * [b"data"] + (5 - kept) * [None]
    assert [store.is_listed(ada, handle, b"data") for handle, _ in sessions] == kept * [True] + (5 - kept) * [False]
    assert store.listed(bob) == [other]
    assert kept == 0 or store.expires_in(ada) in range(LONG - 5, LONG + 2)
    assert store.end_all(ada) == kept
    assert store.end_all(ada) == 0


def test_nothing_is_left_of_what_has_ended(redis_process: Server, prefix: str, ada: str) -> None:
    client = redis_client(redis_process)
    store = RedisStore(client, prefix)
    sessions = begun(store, ada, prefix, 7)
    store.end(sessions[0][0])
    store.unlist(ada, sessions[1][0])
    store.delete(sessions[1][1])
    store.end_all(ada, [sessions[2][0]])
    store.end_all(ada)
    assert list(client.scan_iter(f"{prefix}*", count=10_000)) == []
    begun(store, ada, prefix, 3, ttl=1)
    time.sleep(2.1)
    assert list(client.scan_iter(f"{prefix}*", count=10_000)) == []


def test_what_has_ended_is_removed_by_the_way(redis_process: Server, prefix: str, ada: str) -> None:
    client = redis_client(redis_process)
    client.zadd(ada, {f"h.{number}": 1 + number for number in range(250)})
    store = RedisStore(client, prefix)
    left = []
    for _ in range(4):
        begun(store, ada, prefix)
        left.append(client.zcard(ada))
    assert left == [151, 52, 3, 4]


@pytest.mark.parametrize("keep", [False, True])
def test_more_than_are_sent_together(redis_process: Server, prefix: str, ada: str, keep: bool) -> None:
    store = RedisStore(redis_client(redis_process), prefix)
    sessions = begun(store, ada, prefix, 1_100)
    assert len(store.listed(ada)) == 1_100
    kept = sessions[:600] if keep else []
    assert store.end_all(ada, [handle for handle, _ in kept]) == 1_100 - len(kept)
    assert sorted(store.listed(ada)) == sorted(kept)
    assert [key for _, key in sessions if store.load(key) is not None] == [key for _, key in kept]


def test_one_of_many_ends_it(store: RedisStore, ada: str, prefix: str) -> None:
    for handle, _ in begun(store, ada, prefix, 10):
        assert sorted(at_once(lambda handle=handle: store.end(handle))) == [False] * 7 + [True]


def test_all_that_are_listed_end_while_others_log_in(store: RedisStore, ada: str, prefix: str) -> None:
    before = begun(store, ada, prefix, 20)
    is_over = threading.Event()

    def log_in() -> None:
        while not is_over.is_set():
            begun(store, ada, prefix)

    threads = [threading.Thread(target=log_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert store.end_all(ada) >= 20
    is_over.set()
    for thread in threads:
        thread.join()
    assert not any(store.is_listed(ada, handle, b"data") for handle, _ in before)
    assert all(store.load(key) is None for _, key in before)
    live = [handle for handle, _ in store.listed(ada)]
    assert all(store.is_listed(ada, handle, b"data") for handle in live)


def at_once(call: Callable[[], t.Any]) -> list[t.Any]:
    results: list[t.Any] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        results.append(call())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- What it costs --------------------------------------------------------------------------------------------------


class Counted:
    """The commands of a store, and their replies."""

    def __init__(self, store: RedisStore) -> None:
        self.calls: list[tuple[tuple[t.Any, ...], t.Any]] = []
        command = store._command

        def counting(*arguments: t.Any) -> t.Any:
            reply = command(*arguments)
            self.calls.append((arguments, reply))
            return reply

        store._command = counting  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        return [arguments[0] for arguments, _ in self.calls]


def server_calls(client: redis.Redis) -> dict[str, int]:
    """What the server has done since this was asked last, by scripts as well."""
    stats = t.cast("dict[str, dict[str, int]]", client.info("commandstats"))
    client.config_resetstat()
    own = ("config", "info", "script", "cmdstat_client", "cmdstat_hello")
    return {name: each["calls"] for name, each in stats.items() if not any(word in name for word in own)}


def send_each_script(store: RedisStore, owner: str, prefix: str) -> None:
    """Have the server know the scripts, so that they are called by their names."""
    for handle, key in begun(store, owner, prefix, 2):
        store.replace(key, b"data", b"new", LONG)
        store.unlist(owner, handle)
        store.end(handle)
    store.end_all(owner)


def test_a_login_costs_the_same_with_ten_and_with_100_000_sessions(tmp_path: Path, prefix: str, ada: str) -> None:
    with redis_server(tmp_path) as server, redis_client(server) as client:
        store = RedisStore(client, prefix)
        send_each_script(store, ada, prefix)
        costs = []
        for count in (10, 100_000):
            members = [f"h.{number:020}" for number in range(count)]
            for start in range(0, count, 10_000):
                client.zadd(ada, dict.fromkeys(members[start : start + 10_000], int(time.time()) + LONG))
            server_calls(client)
            counted = Counted(store)
            ((handle, key),) = begun(store, ada, prefix)
            assert store.is_listed(ada, handle, b"data")
            assert store.enlist(ada, handle, key, LONG, renew=True)
            store.unlist(ada, handle)
            assert all(reply is None or isinstance(reply, (int, float, bytes)) for _, reply in counted.calls)
            costs.append((counted.names, server_calls(client)))
        assert costs[0] == costs[1]
        assert costs[0][0] == ["SET", "EVALSHA", "EVALSHA", "ZSCORE", "EVALSHA", "EVALSHA", "ZREM", "EVALSHA"]
        assert RedisStore(client, prefix).end_all(ada) == 100_000


def test_the_commands_of_each_call(redis_process: Server, prefix: str, ada: str, bob: str) -> None:
    store = RedisStore(redis_client(redis_process), prefix)
    send_each_script(store, ada, prefix)
    ((handle, key), (other, _)) = begun(store, ada, prefix, 2)
    counted = Counted(store)
    for call, expected in [
        (lambda: store.load(key, LONG), ["GETEX"]),
        (lambda: store.is_listed(ada, handle, b"data"), ["ZSCORE"]),
        (lambda: store.replace(key, b"data", b"new", LONG), ["EVALSHA"]),
        (lambda: store.enlist(ada, handle, key, LONG, True), ["EVALSHA"] * 2),
        (lambda: store.enlist(bob, handle, key, LONG, False), ["EVALSHA"] * 2 + ["ZREM"]),
        (lambda: store.end(handle), ["EVALSHA", "ZREM", "EVALSHA", "DEL"]),
        (lambda: store.end(handle), ["EVALSHA"]),
        (lambda: store.unlist(ada, other), ["ZREM", "EVALSHA"]),
    ]:
        counted.calls.clear()
        call()
        assert counted.names == expected


# --- An exception at any moment -------------------------------------------------------------------------------------


class Stop(BaseException):
    """What the handler of a signal raises, as ``KeyboardInterrupt`` is."""


class SoftStop(Exception):
    """The same, where somebody has made it an ordinary exception."""


def called_with(error: type[BaseException], number: int, call: Callable[[], object]) -> int:
    """Make a call in which an exception is raised before the so-many-th bytecode, and return how many were begun."""
    begun = 0

    def trace(frame: FrameType, event: str, argument: object) -> t.Any:
        nonlocal begun
        if frame.f_code.co_filename == logging.__file__:
            # It keeps its lock if it is interrupted, and all that logs in other threads waits for that.
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            begun += 1
            if begun == number:
                raise error
        return trace

    def in_a_generator() -> Iterator[object]:
        # What is raised before an instruction that ends the handling of another error, where no signal can be handled,
        # leaves that one behind as the one that is handled; with a generator that is over, too.
        yield call()

    # One in __del__ is nobody's, and would keep what it came up in.
    sys.unraisablehook, hook = lambda unraisable: None, sys.unraisablehook
    before = sys.gettrace()
    generator = in_a_generator()
    # What other tests have left is not destroyed meanwhile, where an exception is raised for nobody.
    gc.disable()
    sys.settrace(trace)
    try:
        next(generator)
    except (error, SessionStoreError):
        pass
    finally:
        sys.settrace(before)
        gc.enable()
        sys.unraisablehook = hook
    return begun


class Interrupted:
    """A store of few connections, whose calls are interrupted."""

    def __init__(self, server: Server, prefix: str) -> None:
        options = {"retry": Retry(NoBackoff(), 0), "client_name": prefix, "driver_info": None}
        self.client = redis_client(server, max_connections=2, **options)
        self.store = RedisStore(self.client, prefix)
        self.key, self.owner = f"{prefix}key", f"{prefix}owner:ada"
        self.others = {f"{prefix}other-{number}": b"other %d" % number for number in range(2)}
        for other, data in self.others.items():
            self.store.create(other, data, LONG)
        #: How often something was left for the collector of garbage.
        self.collected = 0
        self.prepare()

    def prepare(self) -> None:
        self.store.delete(self.key)
        self.store.create(self.key, b"data", LONG)
        self.store.enlist(self.owner, "h.1", self.key, LONG, renew=False)

    @property
    def pipe(self) -> t.Any:
        return self.store._command

    def is_sound(self) -> None:
        """All that is asked is answered, and no more connections are left than there may be."""
        for other, data in self.others.items():
            assert self.store.load(other) == data
        assert self.store.is_listed(self.owner, "h.none", b"data") is False
        assert len(self.pipe.idle) <= 2
        # All connections that are counted are to be had.
        self.pipe.pool.forget(None)
        if len(self.pipe.pool.made) > len(self.pipe.idle):
            self.collected += gc.collect() > 0
            self.pipe.pool.forget(None)
        assert len(self.pipe.pool.made) == len(self.pipe.idle)
        assert len(set(self.pipe.idle)) == len(self.pipe.idle)


CALLS: dict[str, Callable[[Interrupted], object]] = {
    "load": lambda at: at.store.load(at.key, LONG),
    "create": lambda at: at.store.create(at.key, b"data", LONG),
    "replace": lambda at: at.store.replace(at.key, b"data", b"new", LONG),
    "delete": lambda at: at.store.delete(at.key, *at.others.keys() - at.others.keys()),
    "a script unknown to the server": lambda at: at.store.replace(at.key, b"data", b"new", LONG),
    "a record of another type": lambda at: at.store.load(at.owner),
    "enlist": lambda at: at.store.enlist(at.owner, "h.1", at.key, LONG, renew=True),
    "is_listed": lambda at: at.store.is_listed(at.owner, "h.1", b"data"),
    "listed": lambda at: at.store.listed(at.owner),
    "end": lambda at: at.store.end("h.1"),
    "end_all": lambda at: at.store.end_all(at.owner),
    "a new connection": lambda at: (at.pipe.idle.clear(), at.store.load(at.key)),
    "a closed connection": lambda at: (at.pipe.idle[0].connection._sock.shutdown(2), at.store.load(at.key)),
    "a connection to be checked": lambda at: (aged(at), at.store.load(at.key)),
    "a connection to be made again": lambda at: (
        at.pipe.idle[0].connection.mark_for_reconnect(),
        at.store.load(at.key),
    ),
}

#: Nobody interrupts what a test does to a connection first.
LONGER = {"a new connection", "a closed connection", "a connection to be made again"}


def aged(at: Interrupted) -> None:
    for line in at.pipe.idle:
        line.used_at -= 1


@pytest.mark.parametrize("error", [Stop, SoftStop])
@pytest.mark.parametrize("name", CALLS)
def test_an_exception_at_any_bytecode(
    name: str, error: type[BaseException], redis_process: Server, prefix: str
) -> None:
    at = Interrupted(redis_process, prefix)
    steps = scaled(101 if name in LONGER else 13, 1)
    # Others each time.
    number, begun = -random.randrange(steps), 0
    while begun >= number:
        number += steps
        # Shown if it fails.
        print(number)
        if name == "a script unknown to the server":
            at.client.script_flush()
        at.prepare()
        begun = called_with(error, number, lambda: CALLS[name](at))
        at.is_sound()
    print(f"{name}: {begun} bytecodes, collected {at.collected} times", file=sys.stderr)
    assert begun > 100
    has_let_go_of_everything(at)


def has_let_go_of_everything(at: Interrupted) -> None:
    """No thread waits for a lock, and no process that is forked now: with redis-py's it would wait and then fail."""
    clients = [each for each in at.client.client_list() if each["name"] == at.key.removesuffix("key")]
    assert len(clients) <= 3
    child = os.fork()
    if not child:
        signal.alarm(HANGS_AFTER)
        os._exit(0 if at.store.load(next(iter(at.others))) == b"other 0" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    at.is_sound()


STORM = """
    import redis
    import signal
    from flask_fastsession.server.stores.redis import RedisStore

    port, seconds = map(float, sys.argv[1:])
    client = redis.Redis(port=int(port), max_connections=3)
    store = RedisStore(client)
    keys = {f"storm-{number}": b"%d" % number for number in range(5)}
    for key, data in keys.items():
        store.create(key, data, 1000)

    class Stop(BaseException):
        pass

    def stop(*_):
        # One that is raised in __del__ is lost, and one that is raised by the way of another is not what is tested.
        global is_due
        if is_due:
            is_due = False
            raise Stop

    signal.signal(signal.SIGALRM, stop)
    is_due = False
    stops = loads = 0
    end = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0053)
    # Where the machine is slow, no load that a signal may stop comes to its end.
    while time.monotonic() < end or min(stops, loads) <= 30:
        try:
            while time.monotonic() < end or min(stops, loads) <= 30:
                key = random.choice(list(keys))
                is_due = random.random() < 0.5
                found = store.load(key, 1000)
                is_due = False
                assert found == keys[key], (key, found)
                loads += 1
        except Stop:
            stops += 1
    is_due = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert all(store.load(key) == data for key, data in keys.items())
    print(stops, "stops", loads, "loads", file=sys.stderr)
"""


def test_a_storm_of_signals(redis_process: Server) -> None:
    assert run_script(STORM, redis_process.port, scaled(1, 60), timeout=HANGS_AFTER) == Ending("exit 0", "")


# --- Connections ----------------------------------------------------------------------------------------------------


def test_no_more_connections_than_the_client_may_have(redis_process: Server, prefix: str) -> None:
    client = redis_client(redis_process, max_connections=2, retry=Retry(NoBackoff(), 0))
    pipe = t.cast(t.Any, RedisStore(client, prefix)._command)
    taken = [pipe.take() for _ in range(2)]
    with pytest.raises(redis.exceptions.ConnectionError, match="Too many connections"):
        pipe("GETEX", "key")
    assert len(pipe.pool.made) == 2
    # What is lost is no longer counted, whoever has lost it.
    del taken[0]
    assert pipe("GETEX", f"{prefix}key") is None


def test_threads_have_no_more_connections_than_the_client_may_have(redis_process: Server, prefix: str) -> None:
    client = redis_client(redis_process, max_connections=3, retry=Retry(NoBackoff(), 0), client_name=prefix)
    store = RedisStore(client, prefix)
    for _ in range(20):
        t.cast(t.Any, store._command).idle = []

        def load() -> str:
            try:
                return str(store.load(f"{prefix}key"))
            except SessionStoreError as error:
                return type(error.__cause__).__name__

        assert set(at_once(load)) <= {"None", "MaxConnectionsError"}
        assert len([each for each in client.client_list() if each["name"] == prefix]) <= 4
    assert store.load(f"{prefix}key") is None


# --- Tools that see each call ---------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    if RedisInstrumentor().is_instrumented_by_opentelemetry:
        RedisInstrumentor().uninstrument()


def provider_for(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def names_in(spans: InMemorySpanExporter) -> list[str]:
    found = [span.name for span in spans.get_finished_spans()]
    spans.clear()
    return found


@pytest.mark.parametrize("kind", ["pool", "blocking, decoding", "cluster"])
def test_open_telemetry_sees_each_call(
    kind: str, request: pytest.FixtureRequest, prefix: str, ada: str, spans: InMemorySpanExporter
) -> None:
    """Wherever it comes in: after the store was made, and before; and it sees no more once it is gone."""
    if kind == "cluster":
        node = request.getfixturevalue("cluster_processes")[0]
        client: t.Any = RedisCluster(host=node.host, port=node.port)
    else:
        client = CLIENTS[kind](request.getfixturevalue("redis_process"))
    early = RedisStore(client, prefix)
    begun(early, ada, prefix)
    RedisInstrumentor().instrument(tracer_provider=provider_for(spans))
    late = RedisStore(client, prefix)
    names_in(spans)
    for store in (early, late):
        begun(store, ada, prefix)
        assert store.load(f"{prefix}key", LONG) is None
        names = names_in(spans)
        assert names[0] == "SET" and names[-1] == "GETEX" and len(names) >= 4, names
        assert store.end_all(ada)
        assert len(names_in(spans)) >= 3
    RedisInstrumentor().uninstrument()
    for store in (early, late):
        assert store.load(f"{prefix}key", LONG) is None
        assert names_in(spans) == []
    if kind == "pool":
        assert len(t.cast(t.Any, late._command).idle) == 1


def test_open_telemetry_sees_the_calls_of_one_client(
    redis_process: Server, prefix: str, spans: InMemorySpanExporter
) -> None:
    client, other = redis_client(redis_process), redis_client(redis_process)
    store, other_store = RedisStore(client), RedisStore(other)
    RedisInstrumentor().instrument_client(client, tracer_provider=provider_for(spans))
    store.load(f"{prefix}key")
    other_store.load(f"{prefix}key")
    assert names_in(spans) == ["GETEX"]
    RedisInstrumentor().uninstrument_client(client)
    store.load(f"{prefix}key")
    assert names_in(spans) == []


# Sentry stays where it is once it has come.
SENTRY = """
    import redis
    import sentry_sdk
    from sentry_sdk.integrations.redis import RedisIntegration
    from flask_fastsession.server.stores.redis import RedisStore

    class Transport(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope):
            events.append(envelope.get_transaction_event())

    def start():
        sentry_sdk.init(
            dsn="http://key@127.0.0.1/1", transport=Transport, traces_sample_rate=1.0, default_integrations=False,
            auto_enabling_integrations=False, integrations=[RedisIntegration()],
        )

    events = []
    client = redis.Redis(port=int(sys.argv[1]))
    if sys.argv[2] == "before":
        start()
    store = RedisStore(client)
    store.load("sentry-key")
    if sys.argv[2] == "after":
        start()
    with sentry_sdk.start_transaction(name="visit"):
        store.load("sentry-key")
        store.create("sentry-key", b"data", 100)
        store.is_listed("sentry-owner", "h.1", b"data")
        store.delete("sentry-key")
    sentry_sdk.flush()
    [event] = filter(None, events)
    print(*(span["description"].split()[0] for span in event["spans"]))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_sentry_sees_each_call(redis_process: Server, moment: str) -> None:
    assert run_script(SENTRY, redis_process.port, moment) == Ending("exit 0", "GETEX SET ZSCORE DEL\n")


def test_a_wrapper_that_passes_for_what_it_wraps(
    redis_process: Server, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    import functools

    store = RedisStore(redis_client(redis_process))
    seen = []
    own = redis.Redis.execute_command

    @functools.wraps(own)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        seen.append(args[1])
        return own(*args, **kwargs)

    monkeypatch.setattr(redis.Redis, "execute_command", wrapper)
    store.load(f"{prefix}key")
    assert seen == ["GETEX"]


# --- At start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in CLIENTS if kind != "bare"])
@pytest.mark.parametrize(
    ("policy", "memory", "is_warned_of"),
    [
        ("allkeys-lru", "100mb", True),
        ("volatile-ttl", "100mb", True),
        ("noeviction", "100mb", False),
        ("allkeys-lru", "0", True),
        ("noeviction", "0", False),
    ],
)
def test_a_policy_that_drops_sessions_is_warned_of(
    own_redis: Server, caplog: pytest.LogCaptureFixture, kind: str, policy: str, memory: str, is_warned_of: bool
) -> None:
    with redis_client(own_redis) as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", memory)
    store = RedisStore(CLIENTS[kind](own_redis))
    store.load("key")
    found = [record.getMessage() for record in caplog.records if record.name == "flask_fastsession"]
    assert [policy in message for message in found] == [True] * is_warned_of


def test_a_policy_of_a_cluster(cluster_processes: list[Server], caplog: pytest.LogCaptureFixture) -> None:
    for policy, memory, warnings in (("noeviction", "100mb", 0), ("allkeys-lru", "100mb", 1), ("noeviction", "0", 0)):
        for node in cluster_processes:
            with redis_client(node) as client:
                client.config_set("maxmemory-policy", policy)
                client.config_set("maxmemory", memory)
        caplog.clear()
        RedisStore(RedisCluster(host=cluster_processes[0].host, port=cluster_processes[0].port))
        assert len(caplog.records) == warnings


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path) as server:
        yield server


def test_nothing_is_said_where_config_is_forbidden(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ("--rename-command", "CONFIG", "", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.DEBUG), redis_server(tmp_path, *options) as server:
        assert RedisStore(redis_client(server)).load("key") is None
    assert [record for record in caplog.records if record.name == "flask_fastsession"] == []


def test_a_server_that_is_away_or_silent_does_not_keep_an_app_from_starting(
    own_redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    # It stays silent until it is killed, so that whoever waits for it hangs.
    own_redis.pause()
    RedisStore(redis_client(own_redis))
    own_redis.kill()
    RedisStore(redis_client(own_redis))
    assert caplog.records == []


def test_a_start_leaves_no_connection(own_redis: Server) -> None:
    stores = [RedisStore(redis_client(own_redis)) for _ in range(5)]
    with redis_client(own_redis) as client:
        assert len(client.client_list()) == 1
    assert stores


URLS = ("redis://{host}:{port}/0", "redis://{host}:{port}/", "redis://{host}:{port}?protocol=2", "unix://{socket}?db=1")


@pytest.mark.parametrize("url", URLS)
def test_a_client_from_a_url(redis_process: Server, prefix: str, url: str) -> None:
    place = {"host": redis_process.host, "port": redis_process.port, "socket": redis_process.unix_socket}
    store = RedisStore(client_from_url(url.format(**place)))
    assert store.create(f"{prefix}key", b"data", LONG)
    assert store.load(f"{prefix}key") == b"data"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:secret@localhost",
        "redis://:secret@localhost:port/0",
        "redis://:secret@localhost/0?nothing=1",
        "redis://:secret@localhost/0?socket_timeout=soon",
        "redis://:secret@localhost/0?protocol=9",
        "redis://:secret@localhost/app",
    ],
)
def test_a_url_that_is_wrong_is_an_error_that_keeps_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="SESSION_REDIS") as caught:
        client_from_url(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_no_client(tmp_path: Path) -> None:
    for client in (object(), redis.Redis, redis.Redis().pipeline(), redis.asyncio.Redis(), "localhost"):
        with pytest.raises(ValueError, match=r"SESSION_REDIS must be a URL, or a client such as redis\.Redis"):
            RedisStore(client)
