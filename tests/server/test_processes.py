"""Sessions that many processes share: started at the same moment, forked, or workers of gunicorn."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import redis

from tests.faults.support import Ending
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER

from .load import Tally
from .load import Visitor
from .load import environ
from .load import is_sound
from .load import run_script
from .load import visited_app
from .servers import HOST
from .servers import Server
from .servers import memcached_server
from .servers import redis_server

PROCESSES = 4
VISITS = scaled(60, 10_000)


# --- One SQLite file ------------------------------------------------------------------------------------------------

# Each process has a session of its own, and notes numbers in sessions of all, which one of them ends in due course.
TOGETHER = """
    from pathlib import Path

    path, start, number, count, *cookies = sys.argv[1:]
    app = visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=60.0)
    me = Visitor(app, f"process-{number}")
    client = app.test_client()
    confirmed = {cookie: 0 for cookie in cookies}

    def note(cookie, number):
        client.set_cookie("session", cookie)
        started = time.monotonic()
        response = client.post(f"/note/{me.name}/{number}")
        me.tally.longest = max(me.tally.longest, time.monotonic() - started)
        me.tally.requests += 1
        assert response.status_code == 200, response.text
        found = response.json
        if confirmed[cookie] is None or "name" not in found:
            assert "name" not in found, f"{cookie} is back: {found}"
            assert cookie != cookies[-1], "a session that nobody has ended is gone"
            confirmed[cookie] = None
        else:
            assert found["name"] == "everybody"
            assert found.get(me.name, 0) == confirmed[cookie], (found, confirmed[cookie])
            confirmed[cookie] = number

    def end(cookie):
        client.set_cookie("session", cookie)
        assert client.post("/logout").status_code == 200
        confirmed[cookie] = None

    time.sleep(max(0, float(start) - time.time()))
    for visit in range(1, int(count) // 2 + 1):
        me.act()
        note(random.choice(cookies), visit)
        if visit == int(count) // 4 and len(cookies) > int(number) + 1:
            end(cookies[int(number)])
    print(in_figures(me.tally), file=sys.stderr)
    print(me.tally.failures, "failures")
"""


def run_together(path: Path, cookies: list[str], count: int) -> list[Ending]:
    # By then all of them have imported what they need.
    start = time.time() + 2.5

    def run(number: int) -> Ending:
        return run_script(TOGETHER, path, start, number, count, *cookies, timeout=HANGS_AFTER + count)

    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(run, range(PROCESSES)))


def test_processes_use_one_file_together(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = visited_app(SESSION_SQLITE_PATH=path)
    cookies = []
    for _ in range(PROCESSES + 1):
        visitor = Visitor(app, "everybody")
        visitor.write()
        cookies.append(visitor.sid)
    assert run_together(path, cookies, VISITS) == [Ending("exit 0", "0 failures\n")] * PROCESSES
    assert is_sound(path)


# Nobody but the first request of each process makes the file, all at the same moment.
AT_ONCE = """
    path, start, number, count = sys.argv[1:]
    app = visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=10.0)
    visitor = Visitor(app, f"process-{number}")
    # Not asleep: whoever wakes is late.
    while time.time() < float(start):
        pass
    for _ in range(int(count)):
        visitor.write()
        visitor.read()
    print(visitor.tally.failures, "failures", visitor.reason)
"""


@pytest.mark.parametrize("attempt", range(scaled(2, 25)))
def test_processes_make_a_file_at_the_same_moment(tmp_path: Path, attempt: int) -> None:
    start = time.time() + 2.5

    def run(number: int) -> Ending:
        return run_script(AT_ONCE, tmp_path / "sessions.sqlite", start, number, 20)

    with ThreadPoolExecutor(PROCESSES) as pool:
        endings = list(pool.map(run, range(PROCESSES)))
    assert endings == [Ending("exit 0", "0 failures \n")] * PROCESSES


# The same many times over: a fresh interpreter takes far longer than the moment in question.
FORKED_AT_ONCE = """
    folder, count = sys.argv[1:]

    def visit(path, start, number):
        visitor = Visitor(visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=10.0), f"process-{number}")
        while time.time() < start:
            pass
        visitor.write()
        visitor.read()
        if visitor.tally.failures:
            print(visitor.reason, flush=True)
        os._exit(visitor.tally.failures)

    failures = 0
    for attempt in range(int(count)):
        start = time.time() + 0.05
        children = []
        for number in range(4):
            child = os.fork()
            if not child:
                visit(f"{folder}/{attempt}.sqlite", start, number)
            children.append(child)
        failures += sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    print(failures, "failures")
"""


def test_forked_processes_make_a_file_at_the_same_moment(tmp_path: Path) -> None:
    count = scaled(20, 1_000)
    assert run_script(FORKED_AT_ONCE, tmp_path, count, timeout=HANGS_AFTER + count) == Ending("exit 0", "0 failures\n")


# A process that leaves takes itself for the last one if the others have lost their locks on the file, and puts the log
# away that they write. A process loses all its locks when it closes any handle of its own on the file.
GUEST = """
    visitor = Visitor(visited_app(SESSION_SQLITE_PATH=sys.argv[1]), "guest")
    visitor.write()
    print(visitor.tally.failures)
"""

LOOK = """
    app = visited_app(SESSION_SQLITE_PATH=sys.argv[1])
    client = app.test_client()
    client.set_cookie("session", sys.argv[2])
    print(client.get("/").json.get("number"))
"""


def test_a_process_that_leaves_takes_nothing_with_it(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    app = visited_app(SESSION_SQLITE_PATH=path)
    visitor = Visitor(app, "ada")
    visitor.write()
    # A second connection of this process, as its second thread has one.
    Visitor(visited_app(SESSION_SQLITE_PATH=path), "bob").write()
    assert run_script(GUEST, path) == Ending("exit 0", "0\n")
    visitor.write()
    assert not visitor.tally.failures
    assert run_script(LOOK, path, visitor.sid) == Ending("exit 0", f"{visitor.last}\n")
    assert is_sound(path)


THREADS = """
    path, count = sys.argv[1:]
    app = visited_app(SESSION_SQLITE_PATH=path, SESSION_SQLITE_TIMEOUT=60.0)
    total = Tally()
    with ThreadPoolExecutor(8) as pool:
        for tally in pool.map(lambda number: visits(app, f"user-{number}", int(count)), range(8)):
            total.add(tally)
    print(in_figures(total), file=sys.stderr)
    print(total.requests, total.failures)
"""


def test_eight_threads_use_one_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    assert run_script(THREADS, path, VISITS, timeout=HANGS_AFTER + VISITS) == Ending("exit 0", f"{8 * VISITS} 0\n")
    assert is_sound(path)


# --- Forks ----------------------------------------------------------------------------------------------------------

STORES: dict[str, Callable[[Path], t.ContextManager[Server]] | None] = {
    "sqlite": None,
    "redis": redis_server,
    "memcached": memcached_server,
    "memcached, one connection": memcached_server,
}

MAKING = """
    import pymemcache
    import redis

    def app_of(kind, place):
        host = "127.0.0.1"
        match kind:
            case "sqlite":
                return visited_app(SESSION_SQLITE_PATH=place, SESSION_SQLITE_TIMEOUT=HANGS_AFTER)
            case "redis":
                return visited_app(SESSION_TYPE=kind, SESSION_REDIS=redis.Redis(port=int(place)))
            case "memcached":
                client = pymemcache.PooledClient((host, int(place)), no_delay=True)
            case _:
                client = pymemcache.Client((host, int(place)), no_delay=True)
        return visited_app(SESSION_TYPE="memcached", SESSION_MEMCACHED=client)

    app = app_of(*sys.argv[1:3])
"""

# Children that hang are ended by their alarm.
FORKS = """
    import signal

    def live(name, count=20):
        visitor = Visitor(app, name)
        visitor.write()
        for _ in range(count):
            visitor.act()
        assert not visitor.tally.failures

    def child(number, visitor):
        signal.alarm(HANGS_AFTER)
        visitor.read()
        # Those who were here before the fork go on in the parent, as this one does in the child.
        with ThreadPoolExecutor(3) as pool:
            for _ in pool.map(live, [f"child-{number}-{thread}" for thread in range(3)]):
                pass
        visitor.read()
        assert not visitor.tally.failures

    def fork(number):
        visitor = Visitor(app, f"forking-{number}")
        visitor.write()
        started = time.monotonic()
        process = os.fork()
        if not process:
            status = 1
            try:
                child(number, visitor)
                status = 0
            except BaseException as error:
                print(f"fork {number}: {error!r}", flush=True)
            os._exit(status)
        took.append(time.monotonic() - started)
        for _ in range(3):
            visitor.read()
        return status_text(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))

    took = []
    live("before")
    with visited(app, threads=int(sys.argv[3])) as tally:
        for number in range(int(sys.argv[4])):
            status = fork(number)
            if status != "exit 0":
                break
    print(f"longest fork {max(took):.3f} s", file=sys.stderr)
    print(status, tally.failures)
"""


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("kind", STORES)
def test_forks_while_visitors_come(tmp_path: Path, kind: str, threads: int) -> None:
    server_of = STORES[kind]
    count = scaled(4, 300)
    script = MAKING + FORKS
    if server_of is None:
        path = tmp_path / "sessions.sqlite"
        ending = run_script(script, kind, path, threads, count, timeout=HANGS_AFTER + 2 * count)
        assert is_sound(path)
    else:
        with server_of(tmp_path) as server:
            ending = run_script(script, kind, server.port, threads, count, timeout=HANGS_AFTER + 2 * count)
    assert ending == Ending("exit 0", "exit 0 0\n")


FORKS_AT_ONCE = """
    app, other = (visited_app(SESSION_SQLITE_PATH=path) for path in sys.argv[1:3])
    visitors = [Visitor(app, "ada"), Visitor(other, "bob")]
    for visitor in visitors:
        visitor.write()

    def fork_often(_):
        for _ in range(40):
            process = os.fork()
            if not process:
                os._exit(0)
            os.waitpid(process, 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fork_often, range(4)))
    for visitor in visitors:
        visitor.read()
        assert not visitor.tally.failures
"""


def test_threads_that_fork_at_once(tmp_path: Path) -> None:
    ending = run_script(FORKS_AT_ONCE, tmp_path / "sessions.sqlite", tmp_path / "other.sqlite")
    assert ending == Ending("exit 0", "")


# A pool counts the connections that it has made; a child has none of its parent's.
LIMITED = """
    import redis

    app = visited_app(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=int(sys.argv[1]), max_connections=1))
    visitor = Visitor(app, "ada")
    visitor.write()
    process = os.fork()
    visitor.read()
    if not process:
        print(visitor.reason, end="", flush=True)
        os._exit(visitor.tally.failures)
    print(status_text(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])), visitor.tally.failures)
"""


def test_a_child_may_have_as_many_connections_as_its_parent(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        assert run_script(LIMITED, server.port) == Ending("exit 0", "exit 0 0\n")


# --- gunicorn -------------------------------------------------------------------------------------------------------


def served_app(kind: str, place: str) -> t.Any:
    """The app for gunicorn, used before there are workers."""
    config: dict[str, t.Any] = {"SESSION_TYPE": kind}
    if kind == "redis":
        config["SESSION_REDIS"] = redis.Redis(host=HOST, port=int(place))
    else:
        config |= {"SESSION_SQLITE_PATH": place, "SESSION_SQLITE_TIMEOUT": 60.0}
    app = visited_app(**config)

    @app.get("/process")
    def process() -> str:
        return str(os.getpid())

    visitor = Visitor(app, "before")
    for _ in range(10):
        visitor.write()
    assert not visitor.tally.failures
    return app


@contextmanager
def gunicorn(kind: str, place: object) -> Iterator[int]:
    """Run it with four workers, and yield its port."""
    with socket.create_server((HOST, 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port: int = listener.getsockname()[1]
        bind = ["--bind", f"fd://{listener.fileno()}", "--no-control-socket", "--log-level", "warning"]
        workers = ["--preload", "--workers", "4", "--worker-class", "gthread", "--threads", "4"]
        app = f"tests.server.test_processes:served_app({kind!r}, {str(place)!r})"
        command = [sys.executable, "-m", "gunicorn", *workers, *bind, app]
        process = subprocess.Popen(command, env=environ(), pass_fds=[listener.fileno()])
    with process:
        try:
            yield port
        finally:
            process.terminate()
    assert process.returncode == 0


class Answer(t.NamedTuple):
    """What a visitor looks at in a response."""

    status_code: int
    status: str
    text: str

    @property
    def json(self) -> t.Any:
        return json.loads(self.text)


class Browser:
    """As Flask's test client, over a connection to a server; each request may be answered by another process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""

    def open(self, path: str, *, method: str = "GET") -> Answer:
        with closing(HTTPConnection(HOST, self.port, timeout=HANGS_AFTER)) as connection:
            connection.request(method, path, headers={"Cookie": self.cookie} if self.cookie else {})
            response = connection.getresponse()
            self.cookie = response.getheader("Set-Cookie", self.cookie).partition(";")[0]
            return Answer(response.status, response.reason, response.read().decode())


@pytest.fixture(params=["sqlite", "redis"])
def gunicorn_port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    with ExitStack() as stack:
        place: object = tmp_path / "sessions.sqlite"
        if request.param == "redis":
            place = stack.enter_context(redis_server(tmp_path)).port
        yield stack.enter_context(gunicorn(request.param, place))


def test_workers_of_gunicorn_share_sessions(gunicorn_port: int) -> None:
    def come(number: int) -> tuple[set[str], Tally]:
        browser = Browser(gunicorn_port)
        visitor = Visitor(browser, f"user-{number}")
        processes = set()
        for _ in range(scaled(40, 3_000)):
            visitor.act()
            processes.add(browser.open("/process").text)
        return processes, visitor.tally

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(come, range(8)))
    assert len(set().union(*(processes for processes, _ in results))) > 1
    assert sum(tally.failures for _, tally in results) == 0
