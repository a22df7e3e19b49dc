"""Visitors who come back again and again, and remember what they were promised.

::

    app = visited_app(SESSION_TYPE="redis", SESSION_REDIS=client)
    with visited(app, threads=4) as tally:
        server.restart()
    assert tally.failures < tally.requests
"""

from __future__ import annotations

import functools
import logging
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import flask
from flask import Flask
from flask import session
from werkzeug.exceptions import InternalServerError

from flask_fastsession.server import ServerSession
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.config import METHODS
from tests.faults.support import ROOT
from tests.faults.support import Ending
from tests.faults.support import status_text
from tests.patience import HANGS_AFTER

#: The status by which the app says that its store has failed. Any other failure is a defect.
STORE_FAILED = 503

Found: t.TypeAlias = dict[str, t.Any]


def visited_app(**config: t.Any) -> Flask:
    """An app whose every view answers with what the session held before."""
    app = Flask("visited", static_folder=None)
    app.config.from_mapping({"SECRET_KEY": "secret", **config})
    ServerSession(app)
    interface: t.Any = app.session_interface
    count_failed_calls(app, interface.store)
    logging.getLogger("visited").disabled = True

    @app.get("/")
    def read() -> Found:
        return dict(session)

    @app.post("/write/<name>/<int:number>")
    def write(name: str, number: int) -> Found:
        found = dict(session)
        session.update(name=name, number=number)
        return found

    @app.post("/login/<name>")
    def login(name: str) -> Found:
        found = dict(session)
        session["name"] = name
        interface.regenerate(session)
        interface.bind_user(session, name)
        return found

    @app.post("/logout")
    def logout() -> Found:
        found = dict(session)
        session.clear()
        return found

    @app.post("/note/<name>/<int:number>")
    def note(name: str, number: int) -> Found:
        """Write into a session of many writers, if it is still there."""
        found = dict(session)
        if "name" in found:
            session[name] = number
        return found

    @app.errorhandler(InternalServerError)
    @app.errorhandler(SessionStoreError)
    def failed(error: Exception) -> flask.typing.ResponseReturnValue:
        cause = getattr(error, "original_exception", error)
        status = STORE_FAILED if isinstance(cause, SessionStoreError) else 500
        return f"{type(cause).__name__}: {cause}", status

    return app


def count_failed_calls(app: Flask, store: t.Any) -> None:
    """Have the app know the most calls of its store that failed in one request, for :func:`most_failed_calls`."""
    app.extensions["most_failed_calls"] = 0

    def counted(call: Callable[..., t.Any]) -> Callable[..., t.Any]:
        @functools.wraps(call)
        def counting(*args: t.Any) -> t.Any:
            try:
                return call(*args)
            except SessionStoreError:
                if flask.has_app_context():
                    flask.g.failed_calls = flask.g.get("failed_calls", 0) + 1
                raise

        return counting

    for method in METHODS:
        setattr(store, method, counted(getattr(store, method)))

    @app.teardown_appcontext
    def count(error: BaseException | None) -> None:
        app.extensions["most_failed_calls"] = max(most_failed_calls(app), flask.g.get("failed_calls", 0))


def most_failed_calls(app: Flask) -> int:
    """How many calls of the store failed in the request where most did.

    That a request which has waited once in vain asks no more is so told by a number, and not by a clock, which would
    also tell what else the machine had to do.
    """
    most: int = app.extensions["most_failed_calls"]
    return most


@dataclass
class Tally:
    """What came of many requests; ``failures`` of the store among them, ``losses`` of sessions that the store lost."""

    requests: int = 0
    failures: int = 0
    losses: int = 0
    longest: float = 0.0
    #: Those of the visitors that this is the sum of, while they come.
    each: list[Tally] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.requests += other.requests
        self.failures += other.failures
        self.losses += other.losses
        self.longest = max(self.longest, other.longest)


class Answer(t.Protocol):
    @property
    def status_code(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def json(self) -> t.Any: ...


class Browser(t.Protocol):
    """What a visitor needs of Flask's test client, or of what goes over a connection instead."""

    def open(self, path: str, *, method: str) -> Answer: ...


class Visitor:
    """Somebody with a browser of his own, who finds in his session what was confirmed to him, and nothing else.

    A write that was answered with an error may have been done or not, and may yet be done as long as no other was
    confirmed. ``may_lose`` says that the store loses sessions, each as a whole.
    """

    def __init__(self, client: Flask | Browser, name: str, may_lose: bool = False) -> None:
        self.client: t.Any = client.test_client() if isinstance(client, Flask) else client
        self.name = name
        self.may_lose = may_lose
        self.tally = Tally()
        self.last = 0
        #: How the app has put the last failure of the store.
        self.reason = ""
        self.forget()

    @property
    def sid(self) -> str:
        value: str = self.client.get_cookie("session").value
        return value

    def forget(self) -> None:
        self.possible: set[int | None] = {None}
        self.is_known = False
        #: An end or a new beginning of the session was asked for, and nobody knows what has come of it.
        self.may_have_ended = False

    def request(self, method: str, path: str) -> Found | None:
        """What the session held, or ``None`` if the store failed."""
        started = time.monotonic()
        response = self.client.open(path, method=method)
        self.tally.longest = max(self.tally.longest, time.monotonic() - started)
        self.tally.requests += 1
        if response.status_code == STORE_FAILED:
            self.tally.failures += 1
            self.reason = response.text
            return None
        assert response.status_code == 200, f"{method} {path}: {response.status} {response.text}"
        found: Found = response.json
        self.check(found)
        return found

    def check(self, found: Found) -> None:
        values = {name: value for name, value in found.items() if name != "_permanent"}
        if values:
            assert values.pop("name") == self.name, f"{self.name} finds {found}"
            assert values.pop("number", None) in self.possible, f"{self.name} finds {found}, not of {self.possible}"
            assert not values
            self.is_known = True
        elif self.is_known:
            assert self.may_lose or self.may_have_ended, f"the session of {self.name} is gone, with {self.possible}"
            self.tally.losses += 1
            self.forget()

    def read(self) -> None:
        self.request("GET", "/")

    def write(self) -> None:
        self.last += 1
        if self.request("POST", f"/write/{self.name}/{self.last}") is None:
            self.possible.add(self.last)
        else:
            self.possible = {self.last}
            self.is_known = True

    def login(self) -> None:
        if self.request("POST", f"/login/{self.name}") is None:
            self.may_have_ended = True
        else:
            self.is_known = True

    def logout(self) -> None:
        if self.request("POST", "/logout") is None:
            self.may_have_ended = True
        else:
            self.forget()

    def act(self) -> None:
        """Do something, most often something harmless."""
        acts, weights = (self.read, self.write, self.login, self.logout), (8, 8, 2, 1)
        random.choices(acts, weights)[0]()


# --- Many of them ---------------------------------------------------------------------------------------------------


@contextmanager
def visited(app: Flask, threads: int = 4, may_lose: bool = False, at_least: int = 0) -> Iterator[Tally]:
    """Have visitors, one for each thread, come until the block ends; the tally is complete after that.

    On a slow machine they go on until there were ``at_least`` so many requests.
    """
    is_over = threading.Event()
    total = Tally()
    visitors = [Visitor(app, f"user-{number}", may_lose) for number in range(threads)]
    total.each = [visitor.tally for visitor in visitors]

    def come(visitor: Visitor) -> None:
        while not is_over.is_set() or visitor.tally.requests < at_least / threads:
            visitor.act()

    with ThreadPoolExecutor(threads) as pool:
        results = [pool.submit(come, visitor) for visitor in visitors]
        try:
            yield total
        finally:
            is_over.set()
    for result, visitor in zip(results, visitors, strict=True):
        result.result()
        total.add(visitor.tally)
    print(in_figures(total), file=sys.stderr)


def visits(app: Flask, name: str, count: int) -> Tally:
    """Let one visitor come so many times."""
    visitor = Visitor(app, name)
    for _ in range(count):
        visitor.act()
    return visitor.tally


def is_sound(path: Path) -> bool:
    """Whether an SQLite file is what it should be."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- Processes of their own -----------------------------------------------------------------------------------------

PRELUDE = """
from tests.faults.support import *
from tests.server.load import *
"""


def run_script(script: str, *arguments: object, prelude: str = PRELUDE, timeout: float = HANGS_AFTER) -> Ending:
    """Run a script in an interpreter of its own, which has the names of this module."""
    command = [sys.executable, "-c", prelude + textwrap.dedent(script), *map(str, arguments)]
    try:
        done = subprocess.run(command, env=environ(), stdout=subprocess.PIPE, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        return Ending("hung", (expired.stdout or b"").decode())
    return Ending(status_text(done.returncode), done.stdout)


@contextmanager
def started(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script likewise beside what is in the block; its input and output are pipes."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, arguments)]
    process = subprocess.Popen(command, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def environ() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def in_figures(tally: Tally) -> str:
    figures = f"{tally.requests} requests, longest {tally.longest:.3f} s"
    return f"{figures}, {tally.failures} failures of the store, {tally.losses} sessions lost"
