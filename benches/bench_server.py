"""Server-side sessions: ours beside Flask-Session, each with sessions of its own in the same servers.

Whole requests are timed, those of an app with a null session among them, and what else is promised is counted: commands
sent, cookies set, writes lost, logouts undone. All of it shares one core: it depends on the machine, and on its mood,
what it takes to wake up another. It needs redis-server, memcached and PostgreSQL, which ``scripts/servers.sh``
installs. Run from the root of the project by ``python -m benches.bench_server``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread

import flask_session
import msgspec
import pymemcache
import redis
from cachelib.file import FileSystemCache
from flask import Flask
from flask import Request
from flask import Response
from flask import request
from flask import session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy import event
from werkzeug.http import parse_cookie
from werkzeug.test import create_environ

from benches import server_chart
from benches.bench_request import Answer
from benches.bench_request import NullSessionInterface
from benches.bench_request import answer
from benches.bench_request import answer_all
from benches.bench_request import microseconds
from benches.payloads import Session
from benches.payloads import sessions
from benches.timing import WARM_UP_ROUNDS
from benches.timing import Ratio
from benches.timing import Timing
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from benches.timing import store_text
from benches.timing import take_turns
from flask_fastsession import __version__
from flask_fastsession.server import ServerSession
from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server.meta import SessionMeta
from tests.server.servers import HOST
from tests.server.servers import delaying_proxy
from tests.server.servers import memcached_server
from tests.server.servers import postgresql_server
from tests.server.servers import redis_server

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

EXTENSIONS: dict[str, Callable[[Flask], object]] = {"peer": flask_session.Session, "ours": ServerSession}
PATHS = ("untouched", "read", "write")
PAYLOAD = "login"
DIFFERENT_SESSIONS = 50
# Each way; with what the proxy itself takes, the store is half a millisecond away.
DELAY = 0.00015
# Each way as well: ten requests at once, each of which waits for its store a tenth of a second.
LONG_DELAY = 0.05

Config: t.TypeAlias = "Mapping[str, object]"


# --- Apps and visitors ------------------------------------------------------------------------------------------------


def create_app(extend: Callable[[Flask], object], config: Config) -> Flask:
    app = Flask(__name__)
    app.secret_key = "bench"
    app.config.from_mapping(config)
    # No session is a user's, as it is because of its `_user_id` where Flask-Login is installed, unless a job says so.
    app.config["SESSION_REGENERATE_ON_LOGIN"] = False
    if "SQLALCHEMY_DATABASE_URI" in config:
        app.config["SESSION_SQLALCHEMY"] = SQLAlchemy(app)
    extend(app)

    @app.get("/untouched")
    def untouched() -> str:
        return "hello"

    @app.get("/read")
    def read() -> str:
        return str(session.get("_user_id"))

    @app.get("/write")
    def write() -> str:
        session["views"] = views = session.get("views", 0) + 1
        return str(views)

    @app.get("/put/<key>")
    def put(key: str) -> str:
        session[key] = True
        return ""

    @app.get("/keys")
    def keys() -> str:
        return " ".join(session)

    @app.get("/logout")
    def logout() -> str:
        session.clear()
        return ""

    @app.get("/regenerate")
    def regenerate() -> str:
        interface: t.Any = app.session_interface
        interface.regenerate(session)
        return ""

    @app.get("/slow/<kind>")
    def slow(kind: str) -> str:
        if kind == "read":
            read()
        elif kind == "write":
            put("mine")
        app.config["MEANWHILE"]()
        return ""

    return app


def create_null_app(value: Session) -> Flask:
    def extend(app: Flask) -> None:
        app.session_interface = NullSessionInterface(value.copy())

    return create_app(extend, {})


@dataclass
class Visitor:
    """Somebody who has a session, by its id in a cookie, and keeps the cookies that are set."""

    app: Flask
    sid: str

    @classmethod
    def with_session(cls, app: Flask, value: Session, user: str | None = None) -> Visitor:
        interface: t.Any = app.session_interface
        with app.app_context():
            begun = interface.open_session(app, app.request_class(create_environ("/")))
            begun.update(value)
            if user is not None:
                interface.bind_user(begun, user)
            interface.save_session(app, begun, app.response_class())
        return cls(app, begun.sid)

    def environ(self, path: str) -> WSGIEnvironment:
        return create_environ(path, headers={"Cookie": f"session={self.sid}"})

    def get(self, path: str) -> str:
        given = answer(self.app, self.environ(path))
        assert given.status == "200 OK", given
        for line in cookies_set(given):
            self.sid = parse_cookie(line)["session"]
        return given.body.decode()

    @property
    def record(self) -> Session | None:
        """What the store holds for the session, less what ours keeps there for itself."""
        interface: t.Any = self.app.session_interface
        if not isinstance(interface, ServerSessionInterface):
            with self.app.app_context():
                return t.cast("Session | None", interface._retrieve_session_data(f"session:{self.sid}"))
        record = interface.store.load(interface.ids.key(self.sid))
        if record is None:
            return None
        data = interface.format.loads(record)
        SessionMeta.taken_from(data)
        return data


def cookies_set(given: Answer) -> list[str]:
    return [value for name, value in given.headers if name == "Set-Cookie"]


# --- The least that a session takes -----------------------------------------------------------------------------------


class BareStore(t.NamedTuple):
    """How a client of a store reads a record, and writes one."""

    read: Callable[[str], bytes]
    write: Callable[[str, bytes], object]


class BareSessionInterface(SessionInterface):
    """Sessions that cost a command to read, another one to write, and nothing else: anybody may lose and undo anything.

    What a request takes beyond this is what an interface does itself.
    """

    def __init__(self, store: BareStore) -> None:
        self.store = store

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        return SecureCookieSession(msgspec.msgpack.decode(self.store.read(request.cookies["session"])))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        response.vary.add("Cookie")
        if session.modified:
            self.store.write(request.cookies["session"], msgspec.msgpack.encode(session))


def bare_redis(port: int) -> BareStore:
    client = redis.Redis(HOST, port)
    lifetime = 31 * 24 * 60 * 60

    def read(sid: str) -> bytes:
        return t.cast(bytes, client.getex(f"bare:{sid}", ex=lifetime))

    return BareStore(read, lambda sid, record: client.set(f"bare:{sid}", record, ex=lifetime))


def bare_sqlite(path: Path) -> BareStore:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (sid TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID")

    def read(sid: str) -> bytes:
        ((record,),) = connection.execute("SELECT record FROM bare WHERE sid = ?", (sid,)).fetchall()
        return t.cast(bytes, record)

    return BareStore(read, lambda sid, record: connection.execute("REPLACE INTO bare VALUES (?, ?)", (sid, record)))


def create_bare_app(bare: BareStore, visitors: Sequence[Visitor], values: Sequence[Session]) -> Flask:
    """Return an app in which the visitors have sessions of the same ids."""
    for visitor, value in zip(visitors, values, strict=True):
        bare.write(visitor.sid, msgspec.msgpack.encode(value | {"_permanent": True}))

    def extend(app: Flask) -> None:
        app.session_interface = BareSessionInterface(bare)

    app = create_app(extend, {})
    for visitor, value in zip(visitors, values, strict=True):
        assert replace(visitor, app=app).get("/read") == value["_user_id"]
    return app


# --- What takes time --------------------------------------------------------------------------------------------------


@dataclass
class Stores:
    """Where either side keeps its sessions, and in how many calls a turn."""

    configs: Mapping[str, Config]
    calls: int = DIFFERENT_SESSIONS
    #: Counts how many commands a job sends to them, where that can be seen.
    count: Callable[[Callable[[], None]], int] | None = None
    bare: BareStore | None = None


class Measurement(t.NamedTuple):
    """The timings of whole requests, and what each side did in one of them."""

    whole: dict[str, Timing]
    cookies: dict[str, float]
    commands: dict[str, float] | None

    @property
    def ratio(self) -> Ratio:
        return self.ratio_of("peer", "ours")

    def ratio_of(self, slow: str, fast: str) -> Ratio:
        return ratio(self.whole[slow], self.whole[fast])


def measure(stores: Stores, path: str, *, rounds: int) -> Measurement:
    values = sessions(PAYLOAD, stores.calls)
    apps = {side: create_app(extend, stores.configs[side]) for side, extend in EXTENSIONS.items()}
    visitors = {side: [Visitor.with_session(app, value) for value in values] for side, app in apps.items()}
    check(visitors, values)
    environs = {side: [visitor.environ(f"/{path}") for visitor in those] for side, those in visitors.items()}
    jobs = {side: answer_all(app, environs[side]) for side, app in apps.items()}
    others = {"null": answer_all(create_null_app(values[0]), environs["ours"])}
    if stores.bare is not None and path != "untouched":
        others["bare"] = answer_all(create_bare_app(stores.bare, visitors["ours"], values), environs["ours"])
    whole = take_turns({**others, **jobs}, calls=stores.calls, rounds=rounds)
    check_records(visitors, values, writes=1 + (WARM_UP_ROUNDS + rounds) * (path == "write"))

    cookies = {side: count_cookies(app, environs[side]) / stores.calls for side, app in apps.items()}
    return Measurement(whole, cookies, commands_of(stores, jobs))


def commands_of(stores: Stores, jobs: Mapping[str, Callable[[], None]]) -> dict[str, float] | None:
    """Return how many commands each job sends for a request."""
    if stores.count is None:
        return None
    return {name: stores.count(job) / stores.calls for name, job in jobs.items()}


def check(visitors: Mapping[str, Sequence[Visitor]], values: Sequence[Session]) -> None:
    """Make sure that views find the same on both sides, what there is, and that the stores hold what they should."""
    for side, those in visitors.items():
        for visitor, value in zip(those, values, strict=True):
            answers = [visitor.get(f"/{path}") for path in PATHS]
            assert answers == ["hello", value["_user_id"], "1"], f"{side} answers {answers}"
    check_records(visitors, values, writes=1)


def check_records(visitors: Mapping[str, Sequence[Visitor]], values: Sequence[Session], *, writes: int) -> None:
    for side, those in visitors.items():
        for visitor, value in zip(those, values, strict=True):
            expected = value | {"views": writes}
            assert visitor.record == expected, f"{side} holds {visitor.record}, not {expected}"


def count_cookies(app: Flask, environs: Sequence[WSGIEnvironment]) -> int:
    return sum(len(cookies_set(answer(app, environ))) for environ in environs)


def count_commands(admin: redis.Redis, job: Callable[[], None]) -> int:
    """Return how many commands a job sends to Redis; what a script calls in there was not sent."""
    with admin.monitor() as monitor:  # type: ignore[no-untyped-call]
        admin.echo("begin")
        job()
        admin.echo("end")
        commands = iter(monitor.next_command, None)
        while next(commands)["command"] != "ECHO begin":
            pass
        sent = itertools.takewhile(lambda command: command["command"] != "ECHO end", commands)
        return sum(command["client_type"] != "lua" for command in sent)


def count_statements(job: Callable[[], None]) -> int:
    """Return how many statements a job sends to a database, those that begin and end a transaction among them."""
    sent = 0

    def count(connection: t.Any, *_: object) -> None:
        nonlocal sent
        sent += 1

    def count_in_transaction(connection: t.Any) -> None:
        nonlocal sent
        # A connection that commits by itself has nothing to begin nor to end.
        sent += not connection.connection.autocommit

    listeners: dict[str, Callable[..., None]] = {
        "before_cursor_execute": count,
        **dict.fromkeys(("begin", "commit", "rollback"), count_in_transaction),
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        job()
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
    return sent


# --- Sessions of users ------------------------------------------------------------------------------------------------

#: Each request that looks at a user's session asks whether the user's list still has it, so that a revocation holds.
USER = "ada"
#: By whose sessions are measured, in which extension, and whose they are.
OWNERS = {"peer": ("peer", None), "nobody": ("ours", None), "user": ("ours", USER)}
OWNED_PATHS = ("read", "write", "regenerate")
RATIOS_OF_OWNED = (("peer", "user"), ("user", "nobody"))


def measure_owned(stores: Stores, path: str, *, rounds: int) -> Measurement:
    """Time requests of Flask-Session, and of ours with sessions of nobody and of a user. All follow their cookies."""
    apps = {side: create_app(extend, stores.configs[side]) for side, extend in EXTENSIONS.items()}
    values = sessions(PAYLOAD, stores.calls)
    visitors = {
        name: [Visitor.with_session(apps[side], value, user) for value in values]
        for name, (side, user) in OWNERS.items()
    }
    jobs = {name: partial(visit_all, those, f"/{path}") for name, those in visitors.items()}
    whole = take_turns(jobs, calls=stores.calls, rounds=rounds)
    commands = commands_of(stores, jobs)
    for those in visitors.values():
        for visitor, value in zip(those, values, strict=True):
            assert visitor.get("/read") == value["_user_id"], "a session was lost on its way"
    interface: t.Any = apps["ours"].session_interface
    with apps["ours"].app_context():
        assert len(interface.sessions_of(USER)) == stores.calls, "a session is on no list"
        interface.revoke_user(USER)
    assert all(visitor.get("/read") == "None" for visitor in visitors["user"]), "a session goes on that was revoked"
    return Measurement(whole, {}, commands)


def visit_all(visitors: Sequence[Visitor], path: str) -> None:
    for visitor in visitors:
        visitor.get(path)


# --- What goes wrong --------------------------------------------------------------------------------------------------

#: What a request in flight may do to what another one has done meanwhile.
HARMS = {"logout undone": "/logout", "regenerate undone": "/regenerate", "write lost": "/put/theirs"}
THREADS, WRITES = 8, 25


def harms_done(side: str, config: Config) -> list[str]:
    app = create_app(EXTENSIONS[side], config)
    return [f"{harm}, {path} in flight" for harm, path in product(HARMS, PATHS) if is_done(harm, path, app)]


def is_done(harm: str, path: str, app: Flask) -> bool:
    (value,) = sessions(PAYLOAD, 1)
    slow = Visitor.with_session(app, value)
    quick, later = replace(slow), replace(slow)
    app.config["MEANWHILE"] = lambda: quick.get(HARMS[harm])
    slow.get(f"/slow/{path}")
    if harm == "write lost":
        written = {"theirs", "mine"} if path == "write" else {"theirs"}
        return not written <= set(later.get("/keys").split())
    if harm == "regenerate undone":
        assert quick.sid != later.sid and quick.get("/read") == value["_user_id"], "the session has no other id"
    return later.get("/read") == str(value["_user_id"])


def writes_kept(side: str, config: Config) -> int:
    """Return how many keys there are after threads have put different ones into one session at the same time."""
    app = create_app(EXTENSIONS[side], config)
    visitor = Visitor.with_session(app, {"begun": True})

    def put(thread: int) -> None:
        for number in range(WRITES):
            replace(visitor).get(f"/put/{thread}-{number}")

    run_together([partial(put, thread) for thread in range(THREADS)])
    return sum("-" in key for key in visitor.get("/keys").split())


def run_together(jobs: Sequence[Callable[[], object]]) -> None:
    threads = [Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- In processes of their own ----------------------------------------------------------------------------------------

IMPORT = "from benches import bench_server as it"
WAITS = 10
PROCESSES, REPLIES = 4, 250


def seconds_to_wait(side: str, port: int) -> float:
    """Return how long requests take that read at the same time, in a process that gevent has patched."""
    app = create_app(EXTENSIONS[side], redis_config(port))
    reads = [partial(Visitor.with_session(app, value).get, "/read") for value in sessions(PAYLOAD, WAITS)]
    # After that each finds a connection open.
    run_together(reads)
    start = time.perf_counter()
    run_together(reads)
    return time.perf_counter() - start


def wrong_replies(side: str, port: int) -> int:
    """Return how often a process finds another session than its own, forked off when connections were open."""
    app = create_app(EXTENSIONS[side], redis_config(port))
    fork = multiprocessing.get_context("fork")
    counts = fork.SimpleQueue()

    def ask(environ: WSGIEnvironment, user: str) -> None:
        counts.put(sum(answer(app, environ).body.decode() != user for _ in range(REPLIES)))

    values = sessions(PAYLOAD, PROCESSES + 1)
    (mine, *theirs) = [(Visitor.with_session(app, value).environ("/read"), value["_user_id"]) for value in values]
    processes = [fork.Process(target=ask, args=arguments) for arguments in theirs]
    for process in processes:
        process.start()
    ask(*mine)
    for process in processes:
        process.join()
    return sum(counts.get() for _ in values)


def in_gevent(side: str, port: int) -> float:
    patch = "from gevent import monkey; monkey.patch_all()"
    return float(printed_by(f"{patch}; {IMPORT}; print(it.seconds_to_wait({side!r}, {port}))"))


def after_fork(side: str, port: int) -> int:
    return int(printed_by(f"{IMPORT}; print(it.wrong_replies({side!r}, {port}))"))


def printed_by(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout


# --- All of it --------------------------------------------------------------------------------------------------------


class Ports(t.NamedTuple):
    """Where the servers are, two of them a proxy before the first."""

    redis: int
    far: int
    further: int
    memcached: int
    #: The URL of its database.
    postgresql: str

    @classmethod
    @contextmanager
    def of_servers(cls, folder: Path) -> Iterator[Ports]:
        with ExitStack() as stack:
            near = stack.enter_context(redis_server(folder)).port
            far, further = (stack.enter_context(delaying_proxy(near, delay)).port for delay in (DELAY, LONG_DELAY))
            memcached = stack.enter_context(memcached_server(folder)).port
            yield cls(near, far, further, memcached, stack.enter_context(postgresql_server()).url)


def redis_config(port: int) -> Config:
    return {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(HOST, port)}


def memcached_config(client: object) -> Config:
    return {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client}


def postgresql_config(url: str) -> Config:
    return {"SESSION_TYPE": "sqlalchemy", "SQLALCHEMY_DATABASE_URI": url}


def stores_of(ports: Ports, folder: Path) -> dict[str, Stores]:
    address = (HOST, ports.memcached)
    in_redis = partial(count_commands, redis.Redis(HOST, ports.redis))
    in_memcached = {
        "peer": memcached_config(pymemcache.Client(address, no_delay=True)),
        "ours": memcached_config(pymemcache.PooledClient(address, no_delay=True)),
    }
    in_files: dict[str, Config] = {
        "peer": {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": FileSystemCache(str(folder / "files"), threshold=500)},
        "ours": {"SESSION_SQLITE_PATH": folder / "sessions.sqlite"},
    }
    return {
        "Redis": Stores(
            {side: redis_config(ports.redis) for side in EXTENSIONS}, count=in_redis, bare=bare_redis(ports.redis)
        ),
        "SQLite / files": Stores(in_files, bare=bare_sqlite(folder / "bare.sqlite")),
        "PostgreSQL": Stores(
            {side: postgresql_config(ports.postgresql) for side in EXTENSIONS}, count=count_statements
        ),
        "memcached": Stores(in_memcached),
        "distant Redis": Stores(
            {side: redis_config(ports.far) for side in EXTENSIONS},
            calls=10,
            count=in_redis,
            bare=bare_redis(ports.far),
        ),
    }


def round_trip(port: int) -> float:
    """Return how many microseconds a Redis takes to answer, as seen from a bare socket."""
    with socket.create_connection((HOST, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = [time.perf_counter()]
        for _ in range(500):
            connection.sendall(b"PING\r\n")
            assert connection.recv(100) == b"+PONG\r\n"
            times.append(time.perf_counter())
    return round(median(after - before for before, after in itertools.pairwise(times)) * 1e6, 1)


def stay_on_one_core() -> None:
    """Keep this process, and those that it starts, on one core, where the system lets a process choose."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


#: Where the sessions of users are measured as well.
OWNED_PLACES = ("Redis", "SQLite / files", "PostgreSQL")


class Results(t.NamedTuple):
    requests: dict[str, dict[str, Measurement]]
    owned: dict[str, dict[str, Measurement]]
    round_trips: dict[str, float]
    harms: dict[str, list[str]]
    kept: dict[str, int]
    waited: dict[str, float]
    wrong: dict[str, int]


def measure_all(rounds: int) -> Results:
    with TemporaryDirectory() as name, Ports.of_servers(Path(name)) as ports:
        places = stores_of(ports, Path(name))
        return Results(
            requests={
                place: {path: measure(stores, path, rounds=rounds) for path in PATHS}
                for place, stores in places.items()
            },
            owned={
                place: {path: measure_owned(places[place], path, rounds=rounds) for path in OWNED_PATHS}
                for place in OWNED_PLACES
            },
            round_trips={"Redis": round_trip(ports.redis), "distant Redis": round_trip(ports.far)},
            harms={side: harms_done(side, redis_config(ports.redis)) for side in EXTENSIONS},
            kept={side: writes_kept(side, redis_config(ports.redis)) for side in EXTENSIONS},
            waited={side: in_gevent(side, ports.further) for side in EXTENSIONS},
            wrong={side: after_fork(side, ports.redis) for side in EXTENSIONS},
        )


# --- What comes of it -------------------------------------------------------------------------------------------------

#: How many times as long as ours a request takes with Flask-Session, at least.
GOALS: dict[str, dict[str, float]] = {
    "Redis": {"untouched": 4, "read": 2, "write": 1.4},
    "SQLite / files": {"read": 5.5, "write": 4},
    "PostgreSQL": {"read": 2, "write": 2},
    "distant Redis": {"untouched": 20, "read": 2, "write": 1.05},
}
COMMANDS = {"untouched": 0, "read": 1, "write": 2}


def print_requests(results: Results) -> None:
    rows = []
    for place, measurements in results.requests.items():
        for path, measured in measurements.items():
            commands = in_pair(measured.commands) if measured.commands else ""
            times = [measured.whole.get(name, "") for name in ("null", "bare", *EXTENSIONS)]
            rows.append([f"{place}, {path}", *times, measured.ratio, commands, in_pair(measured.cookies)])
    print_table(["request", "null session", "bare", "Flask-Session", "ours", "ratio", "commands", "cookies"], rows)


def print_owned(results: Results) -> None:
    rows = []
    for place, measurements in results.owned.items():
        for path, measured in measurements.items():
            times = [measured.whole[name] for name in OWNERS]
            ratios = [measured.ratio_of(slow, fast) for slow, fast in RATIOS_OF_OWNED]
            counts = [f"{measured.commands[name]:.3g}" if measured.commands else "" for name in OWNERS]
            rows.append([f"{place}, {path}", *times, *ratios, " / ".join(filter(None, counts))])
    header = ["Flask-Session", "nobody's", "a user's", "Flask-Session / a user's", "a user's / nobody's", "commands"]
    print_table(["request", *header], rows)


def print_yardsticks(results: Results) -> None:
    rows: list[list[str]] = []
    for place, goals in GOALS.items():
        for path, goal in goals.items():
            measured = results.requests[place][path]
            rows.append([f"{place}, {path}", f">= {goal}x", f"{measured.ratio}"])
            if "bare" in measured.whole:
                rows.append([f"{place}, {path}, a bare session", "", f"{measured.ratio_of('peer', 'bare')}"])
            owned = results.owned.get(place, {}).get(path)
            if owned is not None:
                rows.append([f"{place}, {path}, a user's session", f">= {goal}x", f"{owned.ratio_of('peer', 'user')}"])
    for path, measured in results.requests["Redis"].items():
        assert measured.commands is not None
        rows.append([f"commands, {path}", f"{COMMANDS[path]}", in_pair(measured.commands)])
    for path, measured in results.requests["Redis"].items():
        rows.append([f"cookies, {path}", "0", in_pair(measured.cookies)])
    harms = {side: len(done) for side, done in results.harms.items()}
    rows.append(["parallel writes to distinct keys kept", f"{THREADS * WRITES}", in_pair(results.kept)])
    rows.append([f"{', '.join(HARMS)}: of {len(HARMS) * len(PATHS)}", "0", in_pair(harms)])
    rows.append([f"gevent: {WAITS} waits of 100 ms, seconds", "<= 0.15", in_pair(results.waited)])
    rows.append(["wrong replies after fork", "0", in_pair(results.wrong)])
    print_table(["", "goal", "measured"], rows)


def in_pair(numbers: Mapping[str, float]) -> str:
    return "{ours:.3g} (Flask-Session {peer:.3g})".format_map(numbers)


SQL_PACKAGES = ("SQLAlchemy", "Flask-SQLAlchemy", "psycopg")


def summary(results: Results, rounds: int) -> dict[str, t.Any]:
    """Return the medians, in microseconds, what was counted, and how it came about."""
    packages = ("Flask", "Flask-Session", "redis", "hiredis", "pymemcache", "cachelib", "msgspec", *SQL_PACKAGES)
    return {
        "versions": {
            platform.python_implementation(): platform.python_version(),
            **{name: version(name) for name in packages},
            "flask-fastsession": __version__,
        },
        "payload": {"name": PAYLOAD, "bytes": len(TaggedJSONSerializer().dumps(sessions(PAYLOAD, 1)[0]))},
        "rounds": rounds,
        "round trips": results.round_trips,
        "requests": {
            place: {path: summary_of_request(measured) for path, measured in measurements.items()}
            for place, measurements in results.requests.items()
        },
        "sessions of users": {
            place: {path: summary_of_owned(measured) for path, measured in measurements.items()}
            for place, measurements in results.owned.items()
        },
        "harms": results.harms,
        "writes kept": results.kept,
        "seconds waited": {side: round(seconds, 3) for side, seconds in results.waited.items()},
        "wrong replies": results.wrong,
    }


def summary_of_request(measured: Measurement) -> dict[str, t.Any]:
    counted = {} if measured.commands is None else {"commands": measured.commands}
    return {
        **{name: microseconds(timing) for name, timing in measured.whole.items()},
        "ratio": round(measured.ratio.value, 2),
        "cookies": measured.cookies,
        **counted,
    }


def summary_of_owned(measured: Measurement) -> dict[str, t.Any]:
    counted = {} if measured.commands is None else {"commands": measured.commands}
    ratios = {f"{slow}/{fast}": round(measured.ratio_of(slow, fast).value, 2) for slow, fast in RATIOS_OF_OWNED}
    return {**{name: microseconds(measured.whole[name]) for name in OWNERS}, **ratios, **counted}


def draw(results: dict[str, t.Any]) -> str:
    payload, distance = results["payload"], results["round trips"]["distant Redis"]
    versions = list(results["versions"].items())
    caption = [
        f"Medians of {results['rounds']} interleaved rounds, all on one core; each store has a scale of its own.",
        f"Session: {payload['name']}, {payload['bytes']} bytes of JSON. "
        f"The distant Redis answers after {distance / 1000:.2g} ms. Files: of cachelib.",
        *(", ".join(f"{name} {number}" for name, number in half) for half in (versions[:5], versions[5:])),
    ]
    return server_chart.draw(results["requests"], caption)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each side (default: %(default)s)")
    outputs = {
        "--output": ("server.json", "all timings, for pyperf"),
        "--results": ("server-results.json", "their medians and ratios, and what was counted"),
        "--chart": ("server.svg", "the requests as a chart"),
    }
    for option, (name, content) in outputs.items():
        path = Path("build/bench", name)
        parser.add_argument(option, type=Path, default=path, metavar="PATH", help=f"{content} (default: %(default)s)")
    arguments = parser.parse_args()

    load, *_ = os.getloadavg()
    stay_on_one_core()
    found = measure_all(arguments.rounds)
    trips = ", ".join(f"{place} {trip:g}" for place, trip in found.round_trips.items())
    print(f"Whole requests, microseconds: median ±median deviation of {arguments.rounds} interleaved rounds.")
    print(f"Round trips, microseconds: {trips}. Load of the machine before: {load:.1f}.\n")
    print_requests(found)
    print()
    print_owned(found)
    print()
    print_yardsticks(found)

    timings = {
        f"server {place} {path} {name}": timing
        for place, measurements in found.requests.items()
        for path, measured in measurements.items()
        for name, timing in measured.whole.items()
    } | {
        f"server {place} {path} sessions of {name}": timing
        for place, measurements in found.owned.items()
        for path, measured in measurements.items()
        for name, timing in measured.whole.items()
    }
    store(arguments.output, timings)
    results = summary(found, arguments.rounds)
    store_text(arguments.results, json.dumps(results, indent=2) + "\n")
    store_text(arguments.chart, draw(results))


if __name__ == "__main__":
    main()
