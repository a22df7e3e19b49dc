"""Requests: what sessions cost a Flask app, stock, tuned Python and ours, beside an app whose sessions do nothing.

The cost is the time of a request less that of the same request with a null session, measured in the same round.
Run from the root of the project by ``python -m benches.bench_request``.
"""

from __future__ import annotations

import argparse
import time
import typing as t
from pathlib import Path

from flask import Flask
from flask import Request
from flask import Response
from flask import session
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from werkzeug.test import create_environ

from benches.payloads import Session
from benches.payloads import sessions
from benches.timing import Timing
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from benches.timing import take_turns
from benches.tuned import TunedSessionInterface
from flask_fastsession import FastSessionInterface

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

IMPLEMENTATIONS: dict[str, t.Callable[[], SessionInterface]] = {
    "stock": SecureCookieSessionInterface,
    "tuned": TunedSessionInterface,
    "ours": FastSessionInterface,
}
DIFFERENT_SESSIONS = 50
CALLS = 50


class NullSessionInterface(SessionInterface):
    """Sessions that cost nothing."""

    def __init__(self) -> None:
        self.session = SecureCookieSession()

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        return self.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        pass


def create_app(session_interface: SessionInterface) -> Flask:
    app = Flask(__name__)
    app.secret_key = "bench"
    app.session_interface = session_interface

    @app.get("/untouched")
    def untouched() -> str:
        return "hello"

    @app.get("/read")
    def read() -> str:
        return str(session.get("_user_id"))

    @app.get("/write")
    def write() -> str:
        session["views"] = session.get("views", 0) + 1
        return "hello"

    return app


class Case(t.NamedTuple):
    path: str
    make_sessions: t.Callable[[], list[Session]]


def passing() -> list[Session]:
    return [value | {"_permanent": False} for value in permanent()]


def permanent() -> list[Session]:
    return sessions("login", DIFFERENT_SESSIONS)


CASES = {
    "no cookie": Case("/untouched", lambda: []),
    "read": Case("/read", passing),
    "refreshed": Case("/read", permanent),
    "written": Case("/write", passing),
}


def make_environs(case: Case) -> list[WSGIEnvironment]:
    app = create_app(SecureCookieSessionInterface())
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    cookies = [f"session={serializer.dumps(value)}" for value in case.make_sessions()]
    return [create_environ(case.path, headers={"Cookie": cookie}) for cookie in cookies] or [create_environ(case.path)]


class Answer(t.NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(app: Flask, environ: WSGIEnvironment) -> Answer:
    """Serve one request, as a WSGI server does."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> t.Callable[..., None]:
        started.append((status, headers))
        return lambda data: None

    # Flask leaves its own marks in the environ.
    iterable = app.wsgi_app(environ.copy(), start_response)
    body = b"".join(iterable)
    iterable.close()  # type: ignore[attr-defined]
    status, headers = started.pop()
    return Answer(status, headers, body)


def check(apps: t.Mapping[str, Flask], environs: t.Sequence[WSGIEnvironment]) -> None:
    """Make sure that all answer alike, down to the order of the headers."""
    for environ in environs:
        answers = answers_of_one_second(apps, environ)
        for name, given in answers.items():
            assert given == answers["stock"], f"{name} answers {given}, but stock {answers['stock']}"
        assert answers["stock"].status == "200 OK", answers["stock"]


def answers_of_one_second(apps: t.Mapping[str, Flask], environ: WSGIEnvironment) -> dict[str, Answer]:
    """Ask until no second passed meanwhile, so that the dates in the answers are the same."""
    while True:
        second = int(time.time())
        answers = {name: answer(app, environ) for name, app in apps.items()}
        if int(time.time()) == second:
            return answers


def measure(
    case: Case, *, calls: int, rounds: int, names: t.Sequence[str] = tuple(IMPLEMENTATIONS)
) -> dict[str, Timing]:
    """Return the timings of whole requests, those of the null session among them."""
    environs = make_environs(case)
    apps = {name: create_app(IMPLEMENTATIONS[name]()) for name in names}
    check(apps, environs)
    apps["null"] = create_app(NullSessionInterface())
    requests = (environs * calls)[:calls]
    return take_turns({name: answer_all(app, requests) for name, app in apps.items()}, calls=calls, rounds=rounds)


def answer_all(app: Flask, environs: t.Sequence[WSGIEnvironment]) -> t.Callable[[], None]:
    def job() -> None:
        for environ in environs:
            answer(app, environ)

    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each implementation (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/request.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    rows = []
    timings: dict[str, Timing] = {}
    for name, case in CASES.items():
        whole = measure(case, calls=CALLS, rounds=arguments.rounds)
        timings |= {f"request {name} {implementation}": timing for implementation, timing in whole.items()}
        stock, tuned, ours = (whole[implementation] - whole["null"] for implementation in IMPLEMENTATIONS)
        against = [ratio(stock, tuned), ratio(stock, ours), ratio(tuned, ours)]
        rows.append([name, str(whole["null"]), str(stock), str(tuned), str(ours), *against])
    print("Requests with a null session, and what sessions add to them, microseconds:")
    print(f"median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    print_table(["", "null request", "stock", "tuned", "ours", "stock/tuned", "stock/ours", "tuned/ours"], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
