"""Requests: what sessions cost a Flask app, stock, tuned Python and ours, beside an app whose sessions do nothing.

The cost is the time of a request less that of the same request with a null session, measured in the same round.
Run from the root of the project by ``python -m benches.bench_request``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import typing as t
from importlib.metadata import version
from pathlib import Path

from flask import Flask
from flask import Request
from flask import Response
from flask import session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from werkzeug.test import create_environ

from benches import chart
from benches.payloads import Session
from benches.payloads import sessions
from benches.timing import Ratio
from benches.timing import Timing
from benches.timing import declined_in
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from benches.timing import store_text
from benches.timing import take_turns
from benches.tuned import TunedSessionInterface
from flask_fastsession import FastSessionInterface
from flask_fastsession import __version__

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

IMPLEMENTATIONS: dict[str, t.Callable[[], SessionInterface]] = {
    "stock": SecureCookieSessionInterface,
    "tuned": TunedSessionInterface,
    "ours": FastSessionInterface,
}
PAYLOAD = "login"
DIFFERENT_SESSIONS = 50
CALLS = 50


class NullSessionInterface(SessionInterface):
    """Sessions that cost nothing: every request finds the same one."""

    def __init__(self, session: Session) -> None:
        self.session = SecureCookieSession(session)

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
    """Requests to a path, one with each session; an empty one comes without a cookie."""

    path: str
    sessions: t.Sequence[Session]
    is_forged: bool = False


PERMANENT = sessions(PAYLOAD, DIFFERENT_SESSIONS)
PASSING = [value | {"_permanent": False} for value in PERMANENT]
CASES = {
    "no cookie": Case("/untouched", [{}]),
    "read": Case("/read", PASSING),
    "refreshed untouched": Case("/untouched", PERMANENT),
    "refreshed read": Case("/read", PERMANENT),
    "written": Case("/write", PASSING),
    "bad signature": Case("/read", PASSING, is_forged=True),
}


def make_environs(case: Case, interface: SecureCookieSessionInterface | None = None) -> list[WSGIEnvironment]:
    """Return requests with cookies as an interface makes them; by default as stock does."""
    interface = interface or SecureCookieSessionInterface()
    app = create_app(interface)
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    tokens = [str(serializer.dumps(value)) if value else "" for value in case.sessions]
    if case.is_forged:
        tokens = [forge(token) for token in tokens]
    return [create_environ(case.path, headers={"Cookie": f"session={token}"} if token else {}) for token in tokens]


def forge(token: str) -> str:
    """Change the signature in its fifth character from the end; of the last one not all bits count."""
    other = "B" if token[-5] == "A" else "A"
    return f"{token[:-5]}{other}{token[-4:]}"


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


class Measurement(t.NamedTuple):
    """The timings of whole requests, those of the null session among them, and the share that ours declined."""

    whole: dict[str, Timing]
    declined: float

    def cost(self, implementation: str) -> Timing:
        return self.whole[implementation] - self.whole["null"]

    def ratios(self) -> dict[str, Ratio]:
        stock, tuned, ours = map(self.cost, IMPLEMENTATIONS)
        return {
            "whole ours/null": ratio(self.whole["ours"], self.whole["null"]),
            "stock/tuned": ratio(stock, tuned),
            "stock/ours": ratio(stock, ours),
            "tuned/ours": ratio(tuned, ours),
        }


def measure(case: Case, *, calls: int, rounds: int, names: t.Sequence[str] = tuple(IMPLEMENTATIONS)) -> Measurement:
    environs = make_environs(case)
    apps = {name: create_app(IMPLEMENTATIONS[name]()) for name in names}
    check(apps, environs)
    null = create_null_app(case)
    expected, given = answer(null, environs[0]).body, answer(apps["stock"], environs[0]).body
    assert given == expected, f"views find another session than they should: {given!r}, not {expected!r}"
    requests = (environs * calls)[:calls]
    jobs = {name: answer_all(app, requests) for name, app in {**apps, "null": null}.items()}
    whole = take_turns(jobs, calls=calls, rounds=rounds)
    return Measurement(whole, declined_share(apps["ours"].session_interface))


def time_apps(case: Case, apps: t.Mapping[str, tuple[Flask, list[WSGIEnvironment]]], rounds: int) -> dict[str, Timing]:
    """Time each app with requests of its own, and the app with a null session, after comparing what they answer."""
    null = create_null_app(case)
    jobs = {"null": answer_all(null, (make_environs(case) * CALLS)[:CALLS])}
    for name, (app, environs) in apps.items():
        found, wanted = answer(app, environs[0]), answer(null, environs[0])
        assert (found.status, found.body) == (wanted.status, wanted.body), f"{name}: {found}"
        jobs[name] = answer_all(app, (environs * CALLS)[:CALLS])
    return take_turns(jobs, calls=CALLS, rounds=rounds)


def create_null_app(case: Case) -> Flask:
    """Return an app whose views do the same, with a session such as they are to find."""
    return create_app(NullSessionInterface({} if case.is_forged else case.sessions[0]))


def answer_all(app: Flask, environs: t.Sequence[WSGIEnvironment]) -> t.Callable[[], None]:
    def job() -> None:
        for environ in environs:
            answer(app, environ)

    return job


def declined_share(interface: SessionInterface) -> float:
    """Return the share of requests that were left to stock code; one that was so twice counts twice."""
    assert isinstance(interface, FastSessionInterface)
    stats = interface.stats()
    requests: int = stats["open"]["native"] + sum(stats["open"]["declined"].values())
    left = sum(sum(reasons.values()) for reasons in declined_in(stats).values())
    return left / requests


# --- What comes of it -------------------------------------------------------------------------------------------------


def print_measurements(measurements: t.Mapping[str, Measurement]) -> None:
    rows = []
    for name, measured in measurements.items():
        costs = map(measured.cost, IMPLEMENTATIONS)
        ratios = measured.ratios()
        rows.append([name, measured.whole["null"], *costs, *ratios.values(), f"{measured.declined:.1%}"])
    print_table(["request", "null request", *IMPLEMENTATIONS, *ratios, "declined"], rows)


def summary(measurements: t.Mapping[str, Measurement], rounds: int) -> dict[str, t.Any]:
    """Return the medians, in microseconds, and how they came about."""
    return {
        "versions": {
            platform.python_implementation(): platform.python_version(),
            **{name: version(name) for name in ("Flask", "Werkzeug", "itsdangerous")},
            "flask-fastsession": __version__,
        },
        "payload": {"name": PAYLOAD, "bytes": len(TaggedJSONSerializer().dumps(PERMANENT[0]))},
        "rounds": rounds,
        "requests": {name: summary_of_request(measured) for name, measured in measurements.items()},
    }


def summary_of_request(measured: Measurement) -> dict[str, t.Any]:
    return {
        "null request": microseconds(measured.whole["null"]),
        "session cost": {name: microseconds(measured.cost(name)) for name in IMPLEMENTATIONS},
        "ratios": {name: round(found.value, 2) for name, found in measured.ratios().items()},
        "declined": measured.declined,
    }


def microseconds(timing: Timing) -> float:
    return round(timing.median * 1e6, 3)


def draw(results: dict[str, t.Any]) -> str:
    payload = results["payload"]
    caption = [
        f"On top of a null session; medians of {results['rounds']} interleaved rounds. "
        f"Session: {payload['name']}, {payload['bytes']} bytes of JSON with random ids.",
        ", ".join(f"{name} {number}" for name, number in results["versions"].items()),
    ]
    return chart.draw({name: request["session cost"] for name, request in results["requests"].items()}, caption)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each implementation (default: %(default)s)")
    outputs = {
        "--output": ("request.json", "all timings, for pyperf"),
        "--results": ("request-results.json", "their medians and ratios"),
        "--chart": ("request.svg", "the session costs as a chart"),
    }
    for option, (name, content) in outputs.items():
        path = Path("build/bench", name)
        parser.add_argument(option, type=Path, default=path, metavar="PATH", help=f"{content} (default: %(default)s)")
    arguments = parser.parse_args()

    measurements = {name: measure(case, calls=CALLS, rounds=arguments.rounds) for name, case in CASES.items()}
    print("Requests with a null session, and what sessions add to them, microseconds:")
    print(f"median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    print_measurements(measurements)
    declined = {name: measured.declined for name, measured in measurements.items() if measured.declined}
    assert not declined, f"some of it was not done natively: {declined}"

    timings = {
        f"request {name} {implementation}": timing
        for name, measured in measurements.items()
        for implementation, timing in measured.whole.items()
    }
    store(arguments.output, timings)
    results = summary(measurements, arguments.rounds)
    store_text(arguments.results, json.dumps(results, indent=2) + "\n")
    store_text(arguments.chart, draw(results))


if __name__ == "__main__":
    main()
