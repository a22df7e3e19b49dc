"""The extension on a free-threaded CPython: many threads at one app, stock as the judge, and what a second thread adds.

::

    scripts/free_threaded.sh --threads 8 --operations 100000

On an interpreter that has a GIL nothing is tested; the program says so and fails.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import gc
import itertools
import random
import sys
import sysconfig
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature

from benches import payloads
from flask_fastsession import FastSessionInterface

Session = t.Any
Change = Callable[[Session], object]

SUITES = ["tests/contract", "tests/faults/test_threads.py", "tests/faults/test_robustness.py"]

KEYS = [f"key {number}" for number in range(4)]
#: With the keys they make more settings than an interface remembers, so that it never stops finding them out anew.
LIFETIMES = [timedelta(days=days) for days in (1, 2, 3)]
PATHS = ["/", "/shop"]

# --- Requests -------------------------------------------------------------------------------------------------------


class Reply(t.NamedTuple):
    """What the view saw in the session, and the cookie that was set."""

    seen: dict[str, t.Any]
    set_cookie: str | None

    @property
    def token(self) -> str:
        assert self.set_cookie is not None
        return self.set_cookie.partition("=")[2].partition(";")[0]

    def option(self, name: str) -> str:
        assert self.set_cookie is not None
        options = dict(part.partition("=")[::2] for part in self.set_cookie.split("; "))
        return options[name]


def make_app(interface: SecureCookieSessionInterface, secret_key: str = KEYS[0]) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    app.config.update(SECRET_KEY=secret_key, PROPAGATE_EXCEPTIONS=True)
    app.session_interface = interface

    @app.get("/")
    def view() -> str:
        flask.request.environ["test.view"](flask.session)
        return "ok"

    return app


def environ_of(token: str | None) -> dict[str, t.Any]:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
    }
    return environ if token is None else {**environ, "HTTP_COOKIE": f"session={token}"}


def exchange(app: flask.Flask, token: str | None, change: Change) -> Reply:
    seen: dict[str, t.Any] = {}
    headers: list[tuple[str, str]] = []

    def view(session: Session) -> None:
        seen.update(session)
        change(session)

    def start_response(status: str, started: list[tuple[str, str]], exc_info: object = None) -> None:
        headers.extend(started)

    environ = {**environ_of(token), "test.view": view}
    assert b"".join(app(environ, start_response)) == b"ok"  # type: ignore[arg-type]
    return Reply(seen, dict(headers).get("Set-Cookie"))


# --- Stock, the judge -----------------------------------------------------------------------------------------------

JUDGES = {key: make_app(SecureCookieSessionInterface(), key) for key in KEYS}


@functools.cache
def stock_serializer(key: str) -> t.Any:
    app = JUDGES[key]
    return t.cast(SecureCookieSessionInterface, app.session_interface).get_signing_serializer(app)


def key_of(token: str) -> str:
    """The key that a token is signed with, as stock verifies it."""
    for key in KEYS:
        try:
            stock_serializer(key).loads(token)
        except BadSignature:
            continue
        return key
    raise AssertionError(f"signed with none of the keys: {token}")


def assert_is_stocks(token: str, data: dict[str, t.Any]) -> None:
    """Check a token's payload against what stock makes of the same session, and that stock verifies it."""
    with JUDGES[KEYS[0]].app_context():
        payload = stock_serializer(KEYS[0]).dump_payload(data)
    assert token.encode().rsplit(b".", 2)[0] == payload
    assert key_of(token) in KEYS


# --- Threads --------------------------------------------------------------------------------------------------------


def run_at_once(works: list[Callable[[], object]]) -> None:
    """Run each of these in a thread, all beginning together, and raise what any of them raised."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        start.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(run, work) for work in works]:
            done.result()


@contextmanager
def meanwhile(work: Callable[[], object], threads: int = 1) -> Iterator[None]:
    """Repeat something in other threads, and raise what it raised."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.is_set():
            work()

    with ThreadPoolExecutor(threads) as pool:
        repeating = [pool.submit(repeat) for _ in range(threads)]
        try:
            yield
        finally:
            is_over.set()
        for done in repeating:
            done.result()


# --- Many visitors of one app, whose settings change ----------------------------------------------------------------


class Text(str):
    """Not a type that native code writes."""


class Visitor:
    """A browser that knows what its session should hold."""

    def __init__(self, app: flask.Flask, seed: int) -> None:
        self.app = app
        self.random = random.Random(seed)
        self.token: str | None = None
        self.data: dict[str, t.Any] = {}

    def visit(self, times: int) -> None:
        deeds = [self.look, self.look, self.count, self.count, self.count, self.shop, self.stay, self.forge]
        rare_deeds = [self.leave, self.puzzle]
        for _ in range(times):
            self.random.choice(deeds if self.random.random() < 0.97 else rare_deeds)()

    def look(self) -> None:
        reply = exchange(self.app, self.token, lambda session: None)
        assert reply.seen == self.data
        assert (reply.set_cookie is not None) == ("_permanent" in self.data)

    def count(self) -> None:
        self.change(visits=self.data.get("visits", 0) + 1)

    def shop(self) -> None:
        self.change(**payloads.rich(self.random))

    def stay(self) -> None:
        self.change(_permanent=True)

    def puzzle(self) -> None:
        self.change(text=Text("of another type"))

    def change(self, **values: t.Any) -> None:
        reply = exchange(self.app, self.token, lambda session: session.update(values))
        assert reply.seen == self.data
        self.data.update(values)
        self.token = reply.token
        if self.random.random() < 0.05:
            assert_is_stocks(reply.token, self.data)

    def leave(self) -> None:
        reply = exchange(self.app, self.token, lambda session: session.clear())
        assert reply.seen == self.data
        assert reply.set_cookie is not None
        self.token, self.data = None, {}

    def forge(self) -> None:
        if self.token is not None:
            at = self.random.randrange(len(self.token) - 2)
            forged = self.token[:at] + ("A" if self.token[at] != "A" else "B") + self.token[at + 1 :]
            assert exchange(self.app, forged, lambda session: None) == Reply({}, None)


class Administrator:
    """The only one who changes settings, so that nobody knows better what the next cookie should look like."""

    def __init__(self, app: flask.Flask) -> None:
        self.app = app
        self.random = random.Random(0)
        self.changes = 0

    def change_settings(self) -> None:
        key, path = self.random.choice(KEYS), self.random.choice(PATHS)
        lifetime = self.random.choice(LIFETIMES)
        self.app.config["SECRET_KEY"] = key
        self.app.config["SESSION_COOKIE_PATH"] = path
        self.app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
        reply = exchange(self.app, None, lambda session: session.update(_permanent=True))
        expires = parsedate_to_datetime(reply.option("Expires"))
        _, signed_at = stock_serializer(key_of(reply.token)).loads(reply.token, return_timestamp=True)
        found = key_of(reply.token), reply.option("Path"), round((expires - signed_at) / timedelta(days=1))
        assert found == (key, path, lifetime.days), f"{found}, not {(key, path, lifetime.days)}"
        self.changes += 1


def visitors_while_settings_change(threads: int, operations: int) -> str:
    interface = FastSessionInterface()
    app = make_app(interface)
    app.config["SECRET_KEY_FALLBACKS"] = KEYS
    administrator = Administrator(app)
    visitors = [Visitor(app, seed) for seed in range(threads)]
    with meanwhile(administrator.change_settings):
        run_at_once([functools.partial(visitor.visit, operations) for visitor in visitors])
    opened = interface.stats()["open"]
    assert opened["native"] > threads * operations * 0.9, opened
    return f"{threads} x {operations} requests, settings changed {administrator.changes} times, {interface.stats()}"


# --- Values that change while they are written ----------------------------------------------------------------------


STATES = 4


def state(number: int) -> dict[str, t.Any]:
    """A dict whose values are all of one number, and of which there are more the higher it is."""
    return {f"name {at}": number for at in range(8)} | {f"more {at}": number for at in range(number)}


def values_that_change(threads: int, operations: int) -> str:
    """Threads write one session, in whose dicts and lists others are busy.

    Each dict is changed in one step, so it must be written as it was between two. Lists are read item by item, by stock
    as by ours.
    """
    shared, mutate = shared_session()
    app, numbers = make_app(FastSessionInterface()), itertools.count()

    def write() -> None:
        for value in written_values(app, shared, operations):
            assert list(value) == ["inner", "items", "text", "tuple"], value
            for inner in (value["inner"], value["tuple"][1]):
                assert len({inner[name] for name in inner if name.startswith("name")}) <= 1, inner
            for items in (value["items"], value["tuple"][0]):
                assert set(items) <= set(range(STATES)), items
            assert value["text"] in {f"text {number}" for number in range(STATES)}, value

    with meanwhile(lambda: mutate(next(numbers)), threads=2):
        run_at_once([write] * threads)
    dumps = t.cast(FastSessionInterface, app.session_interface).stats()["dumps"]
    assert dumps == {"native": threads * operations, "declined": {}}
    return f"{threads} x {operations} texts, {next(numbers)} changes, {dumps}"


def values_that_change_while_stock_writes(threads: int, operations: int) -> str:
    """The same, where native code gives up half way; then stock writes the session, or raises its error."""
    shared, mutate = shared_session()
    app, numbers, refused = make_app(FastSessionInterface()), itertools.count(), itertools.count()

    def mutate_types() -> None:
        number = next(numbers)
        mutate(number)
        if number % 3 == 0:
            shared["text"] = Text("text 0")

    def write() -> None:
        for _ in range(operations):
            try:
                next(written_values(app, shared, 1))
            except RuntimeError as error:
                assert "dictionary" in str(error) and "during iteration" in str(error), error
                next(refused)

    with meanwhile(mutate_types, threads=2):
        run_at_once([write] * threads)
    dumps = t.cast(FastSessionInterface, app.session_interface).stats()["dumps"]
    assert dumps["native"] > 0 and dumps["declined"].keys() == {"value_type"}, dumps
    return f"{threads} x {operations} texts, {next(numbers)} changes, {next(refused)} times RuntimeError, {dumps}"


def shared_session() -> tuple[dict[str, t.Any], Callable[[int], None]]:
    """A session, and what takes it to the state of a number."""
    inner, items = state(0), [0]
    session: dict[str, t.Any] = {"inner": inner, "items": items, "text": "text 0", "tuple": (items, inner)}

    def mutate(number: int) -> None:
        number %= STATES
        if number == 0:
            inner.clear()
        inner.update(state(number))
        items[:] = [number] * (number * 5)
        items.append(number)
        session["text"] = f"text {number}"

    return session, mutate


def written_values(app: flask.Flask, session: dict[str, t.Any], times: int) -> Iterator[dict[str, t.Any]]:
    """What stock reads in the tokens that are made of a session."""
    serializer = t.cast(FastSessionInterface, app.session_interface).get_signing_serializer(app)
    assert serializer is not None
    for _ in range(times):
        with app.app_context():
            token = serializer.dumps(session)
        yield stock_serializer(KEYS[0]).loads(token)


# --- Threads that come and go ---------------------------------------------------------------------------------------


def threads_that_end(threads: int, operations: int) -> str:
    """What each thread keeps for itself is let go of with it."""
    app = make_app(FastSessionInterface())
    token = exchange(app, None, lambda session: session.update(payloads.rich(random.Random(0)))).token
    generations, settled = max(operations // 100, 50), 0
    for generation in range(generations):
        run_at_once([lambda: exchange(app, token, lambda session: session.update(visits=1))] * threads)
        if generation == 10:
            settled = allocated_blocks()
    grown = allocated_blocks() - settled
    assert grown < generations, f"{grown} blocks more"
    return f"{generations} x {threads} threads, {grown} blocks more than after the first"


def allocated_blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


# --- Throughput -----------------------------------------------------------------------------------------------------

#: Gives each thread its operation.
MakeOperation = Callable[[], Callable[[], object]]


def arithmetic() -> Callable[[], object]:
    """Nothing shared: what two threads can do on this machine."""
    return lambda: sum(number * number for number in range(300))


def open_and_save(app: flask.Flask) -> Callable[[], object]:
    interface, token = app.session_interface, logged_in(app)
    app.app_context().push()
    request, response = app.request_class(environ_of(token)), app.response_class()
    visits = itertools.count()

    def operation() -> None:
        vars(request).pop("cookies", None)
        response.headers.clear()
        session = interface.open_session(app, request)
        assert session is not None
        session["visits"] = next(visits)
        interface.save_session(app, session, response)

    return operation


def whole_request(app: flask.Flask) -> Callable[[], object]:
    token, visits = logged_in(app), itertools.count()
    return lambda: exchange(app, token, lambda session: session.update(visits=next(visits)))


def logged_in(app: flask.Flask) -> str:
    return exchange(app, None, lambda session: session.update(payloads.login(random.Random(0)))).token


def rate(make_operation: MakeOperation, threads: int, seconds: float) -> float:
    """How many operations so many threads do in a second, together."""
    counts: list[int] = []

    def work() -> None:
        operation = make_operation()
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(20):
                operation()
            done += 20
        counts.append(done)

    run_at_once([work] * threads)
    return sum(counts) / seconds


def throughput(rounds: int, seconds: float) -> str:
    """The best of some rounds: what disturbs a round takes from it, and never adds to it."""

    def ours() -> flask.Flask:
        return make_app(FastSessionInterface())

    stock = make_app(SecureCookieSessionInterface())
    shared = ours()
    works: dict[str, MakeOperation] = {
        "arithmetic, nothing shared": arithmetic,
        "open and save, one app": lambda: open_and_save(shared),
        "open and save, an app each": lambda: open_and_save(ours()),
        "open and save, one app, stock": lambda: open_and_save(stock),
        "whole request, one app": lambda: whole_request(shared),
        "whole request, an app each": lambda: whole_request(ours()),
        "whole request, one app, stock": lambda: whole_request(stock),
    }
    best: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for (name, make_operation), threads in itertools.product(works.items(), (1, 2)):
            measured = rate(make_operation, threads, seconds)
            best[name, threads] = max(measured, best.get((name, threads), 0))
    lines = [f"{'operations a second':34}{'1 thread':>10}{'2 threads':>11}{'2 / 1':>8}"]
    for name in works:
        one, two = best[name, 1], best[name, 2]
        lines.append(f"{name:34}{one:10.0f}{two:11.0f}{two / one:7.2f}x")
    return "\n".join(lines)


# --- All of it ------------------------------------------------------------------------------------------------------


def assert_free_threaded() -> None:
    """Importing an extension that has not declared itself fit turns the GIL on, so this is asked again and again."""
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        sys.exit("NOT TESTED: this interpreter runs with a GIL. scripts/free_threaded.sh builds one that has none.")


def suites() -> str:
    status = pytest.main(["-q", "-p", "no:cacheprovider", *SUITES])
    assert status == 0, status
    return "passed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=100_000, help="of each thread")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement")
    options = parser.parse_args()
    assert_free_threaded()
    print(sys.version, sysconfig.get_config_var("EXT_SUFFIX"))
    load = options.threads, options.operations
    parts: list[Callable[[], str]] = [
        suites,
        functools.partial(visitors_while_settings_change, *load),
        functools.partial(values_that_change, *load),
        functools.partial(values_that_change_while_stock_writes, *load),
        functools.partial(threads_that_end, *load),
        functools.partial(throughput, options.rounds, 1.0),
    ]
    for part in parts:
        # A deadlock ends in the stacks of all threads.
        faulthandler.dump_traceback_later(3600, exit=True)
        began = time.monotonic()
        report = part()
        assert_free_threaded()
        name = getattr(part, "func", part).__name__.replace("_", " ")
        print(f"\n{name}: {time.monotonic() - began:.0f} s, GIL off\n{report}", flush=True)


if __name__ == "__main__":
    main()
