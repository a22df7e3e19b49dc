"""Thieves against revocation: sessions that are moved without pause are revoked, and must be gone.

In each round a user is logged in by some browsers, and each cookie has been copied by a thief, whose requests
regenerate the session in a loop, in a thread of its own. Meanwhile the user, or one session by an id seen a moment ago,
is revoked once. Afterwards nobody may be logged in by any cookie that a response has ever set.

``python -m tests.server.thieves --rounds 1000`` runs so many rounds of either kind on each store.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import click
import flask
import pymemcache
import redis
from werkzeug.http import parse_cookie

from flask_fastsession import ServerSession
from tests.patience import HANGS_AFTER

from .servers import SQLServer
from .servers import mariadb_server
from .servers import memcached_server
from .servers import postgresql_server
from .servers import redis_server

Config: t.TypeAlias = "dict[str, t.Any]"

#: How many sessions of a user are stolen at once.
THIEVES = 3

#: A thief has moved his session so often before the revocation begins.
MOVES = 2

KINDS = ("user", "id")


# --- Stores ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def in_sqlite() -> Iterator[Config]:
    with tempfile.TemporaryDirectory() as directory:
        yield {"SESSION_SQLITE_PATH": Path(directory, "sessions.sqlite")}


@contextlib.contextmanager
def in_redis() -> Iterator[Config]:
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        yield {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis(server.host, server.port)}


@contextlib.contextmanager
def in_memcached() -> Iterator[Config]:
    with tempfile.TemporaryDirectory() as directory, memcached_server(Path(directory)) as server:
        client = pymemcache.PooledClient((server.host, server.port), no_delay=True)
        yield {"SESSION_TYPE": "memcached", "SESSION_MEMCACHED": client}


@contextlib.contextmanager
def in_postgresql() -> Iterator[Config]:
    with postgresql_server() as server:
        yield sql_config(server)


@contextlib.contextmanager
def in_mariadb() -> Iterator[Config]:
    with mariadb_server() as server:
        yield sql_config(server)


def sql_config(server: SQLServer) -> Config:
    return {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY": server.url}


STORES: dict[str, Callable[[], contextlib.AbstractContextManager[Config]]] = {
    "sqlite": in_sqlite,
    "redis": in_redis,
    "memcached": in_memcached,
    "postgresql": in_postgresql,
    "mariadb": in_mariadb,
}


# --- An app and its visitors ----------------------------------------------------------------------------------------


def app_with(config: Config) -> flask.Flask:
    app = flask.Flask("app")
    app.config.update(config)
    sessions = ServerSession(app)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        sessions.regenerate(flask.session)
        sessions.bind_user(flask.session, user)
        flask.session["user"] = user
        return user

    @app.get("/whoami")
    def whoami() -> str:
        return str(flask.session.get("user", "nobody"))

    @app.get("/regenerate")
    def regenerate() -> str:
        sessions.regenerate(flask.session)
        return str(flask.session.get("user", "nobody"))

    return app


@dataclass
class Visitor:
    """A browser, or a thief who has copied its cookie; he keeps each cookie that he has been given."""

    app: flask.Flask
    cookies: list[str] = field(default_factory=list)

    def get(self, path: str) -> str:
        client = self.app.test_client(use_cookies=False)
        headers = {"Cookie": f"session={self.cookies[-1]}"} if self.cookies else {}
        response = client.get(path, headers=headers)
        assert response.status_code == 200, response.status
        for line in response.headers.getlist("Set-Cookie"):
            cookie = parse_cookie(line)["session"]
            if cookie:
                self.cookies.append(cookie)
        return response.text


# --- Rounds ---------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    rounds: int = 0
    moves: int = 0
    survivors: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        first = f"; {len(self.failures)} requests failed, first {self.failures[0]}" if self.failures else ""
        return f"{self.rounds} rounds, {self.moves} moves, {self.survivors} sessions survived{first}"


class Race:
    """Thieves who move the sessions of one user until somebody says that it is over, or they have no session left."""

    def __init__(self, app: flask.Flask, user: str, report: Report) -> None:
        self.app, self.user, self.report = app, user, report
        self.is_over = threading.Event()
        self.thieves = []
        for _ in range(THIEVES):
            browser = Visitor(app)
            browser.get(f"/login/{user}")
            self.thieves.append(Visitor(app, browser.cookies[-1:]))

    def steal(self, thief: Visitor) -> None:
        try:
            while not self.is_over.is_set() and thief.get("/regenerate") == self.user:
                pass
        except Exception as error:
            self.report.failures.append(repr(error))

    def run(self, revoke: Callable[[Race], object]) -> None:
        threads = [threading.Thread(target=self.steal, args=(thief,)) for thief in self.thieves]
        for thread in threads:
            thread.start()
        try:
            deadline = time.monotonic() + HANGS_AFTER
            while any(len(thief.cookies) <= MOVES for thief in self.thieves) and time.monotonic() < deadline:
                time.sleep(0.0005)
            if time.monotonic() >= deadline:
                self.report.failures.append("a thief could not move a session that nobody has revoked")
            revoke(self)
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join()

    def survivors(self, thieves: list[Visitor]) -> int:
        self.report.moves += sum(len(thief.cookies) - 1 for thief in thieves)
        return sum(Visitor(self.app, [cookie]).get("/whoami") != "nobody" for one in thieves for cookie in one.cookies)


def run_round(app: flask.Flask, kind: str, user: str, report: Report) -> None:
    race = Race(app, user, report)
    interface: t.Any = app.session_interface
    if kind == "user":
        race.run(lambda race: interface.revoke_user(user))
        report.survivors += race.survivors(race.thieves)
    else:
        race.run(lambda race: interface.revoke(race.thieves[0].cookies[-1]))
        report.survivors += race.survivors(race.thieves[:1])
        # That one session was revoked is no business of the others.
        if any(Visitor(app, thief.cookies[-1:]).get("/whoami") != user for thief in race.thieves[1:]):
            report.failures.append("a session was lost that was not revoked")
        interface.revoke_user(user)
    report.rounds += 1


def rounds(config: Config, kind: str, numbers: t.Iterable[int]) -> Report:
    app, report = app_with(config), Report()
    for number in numbers:
        run_round(app, kind, f"{kind} {number}", report)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--store", choices=STORES, action="append", help="default: each")
    arguments = parser.parse_args()
    failed = False
    for name in arguments.store or STORES:
        with STORES[name]() as config:
            for kind in KINDS:
                with click.progressbar(range(arguments.rounds), label=f"{name}, {kind}", file=sys.stderr) as bar:
                    report = rounds(config, kind, bar)
                print(f"{name}, revoked by {kind}: {report}")
                failed = failed or bool(report.survivors or report.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
