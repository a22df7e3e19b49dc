from __future__ import annotations

import secrets
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import pytest
from flask import Flask
from flask import session

from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import SessionStoreError
from flask_fastsession.revocations import Cursor
from flask_fastsession.revocations import revocations as module
from tests.server.conftest import cluster_processes  # noqa: F401
from tests.server.conftest import redis_process  # noqa: F401
from tests.server.servers import SQLServer
from tests.server.servers import mariadb_server
from tests.server.servers import postgresql_server


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[SQLServer]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_process() -> Iterator[SQLServer]:
    with mariadb_server() as server:
        yield server


class MemoryStore:
    """The plainest store there can be, which a test may fail, and whose calls are counted."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str]] = []
        self.is_failing = False
        self.calls: list[str] = []
        #: What is done once, before the next call of a method.
        self.before: dict[str, Callable[[], object]] = {}
        self.begin()

    def begin(self) -> None:
        """Lose the list."""
        self.entries = []
        self.generation = secrets.token_urlsafe(16)

    def add(self, entry: str, ttl: int) -> Cursor:
        self._called("add")
        last = self.entries[-1][0] if self.entries else 0
        self.entries.append((max(last + 1, int(time.time() * 1_000_000)), entry))
        return Cursor(self.entries[-1][0], self.generation)

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        self._called("since")
        if not self.entries:
            return [], Cursor(0, self.generation)
        end = Cursor(self.entries[-1][0], self.generation)
        is_known = cursor is not None and cursor.generation == end.generation and cursor.number <= end.number
        after = cursor.number if cursor is not None and is_known else 0
        return [entry for entry in self.entries if entry[0] > after], end

    def counted(self) -> list[str]:
        """The calls since this was asked last."""
        calls, self.calls = self.calls, []
        return calls

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.before.pop(name, lambda: None)()
        if self.is_failing:
            raise SessionStoreError(f"{name} fails")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Monotonic:
    """The clock by which a list is young or old. It stands still until a test turns it.

    It is behind that of the machine, which native code asks, however short a time ago the machine was started: a list
    is never young for native code, which then leaves it to this clock.
    """

    def __init__(self) -> None:
        self.now = -1_000_000.0

    def monotonic(self) -> float:
        # No two fetches are at the same time.
        self.now += 1e-6
        return self.now


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    clock = Monotonic()

    class Time:
        monotonic = staticmethod(clock.monotonic)

        @staticmethod
        def time() -> float:
            return time.time()

    monkeypatch.setattr(module, "time", Time)
    return clock


MakeApp = Callable[..., Flask]


def app_with(revocations: Revocations | None, **options: t.Any) -> Flask:
    """An app that logs in and out, and shows its session."""
    app = Flask("app")
    app.secret_key = "secret"
    sessions = FastSessionInterface(revocations=revocations, **options)
    app.session_interface = sessions

    @app.get("/")
    def show() -> dict[str, t.Any]:
        return dict(session)

    @app.get("/put/<name>/<value>")
    def put(name: str, value: str) -> str:
        session[name] = value
        return "put"

    @app.get("/login/<user>")
    def log_in(user: str) -> str:
        session["user"] = user
        sessions.bind_user(session, user)
        return "in"

    @app.get("/logout")
    def log_out() -> str:
        session.clear()
        return "out"

    @app.get("/revoke")
    def revoke() -> str:
        sessions.revoke(session)
        return "revoked"

    @app.get("/revoke/<user>")
    def revoke_user(user: str) -> str:
        sessions.revoke_user(user)
        return "revoked"

    @app.get("/revoke-others/<user>")
    def revoke_others(user: str) -> str:
        sessions.revoke_user(user, keep=session)
        return "revoked"

    return app


#: What else an interface may do: natively, and in Python code.
BESIDE: dict[str, dict[str, t.Any]] = {
    "alone": {},
    "encrypted": {"encrypt": True, "accept_signed": True},
    "with a native policy": {"accept_any": True},
    "with a policy": {"lifetime": lambda session: None},
}


@pytest.fixture(params=BESIDE.values(), ids=list(BESIDE))
def make_app(store: MemoryStore, request: pytest.FixtureRequest) -> MakeApp:
    """Make an app with a list of its own, as another process has it, on the store that all of a test share."""
    return lambda every=5, on_outage="keep", user_of=None, **options: app_with(
        Revocations(store, every, on_outage, user_of), **(request.param | options)
    )


def cookie_of(client: t.Any) -> str:
    cookie = client.get_cookie("session")
    return "" if cookie is None else t.cast(str, cookie.value)


def shows(app: Flask, cookie: str) -> t.Any:
    """What a browser sees that has a cookie, which it keeps as it is."""
    client = app.test_client(use_cookies=False)
    return client.get("/", headers={"Cookie": f"session={cookie}"}).json


def logged_in(app: Flask, user: str = "ada") -> tuple[t.Any, str]:
    client = app.test_client()
    client.get(f"/login/{user}")
    return client, cookie_of(client)
