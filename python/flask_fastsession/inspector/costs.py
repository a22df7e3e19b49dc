"""What a session costs an app, measured as ``make bench-request`` does.

Whole requests are timed: to an app without views of its own but with this one's config, request, response and JSON
classes, once with Flask's session interface, once with this package's, and once with a session that costs nothing. The
cost of a session is the time of a request less that of the same request with the session that costs nothing.
"""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass

from flask import Flask
from flask import session
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from werkzeug.test import create_environ

from ..cli.counterparts import counterparts_of
from ..cli.counterparts import is_stock
from ..cli.errors import BadInput
from ..cli.timing import WARM_UP_ROUNDS
from ..cli.timing import Ratio
from ..cli.timing import Timing
from ..cli.timing import clock
from ..cli.timing import ratio
from ..cli.timing import take_turns
from ..interface import FastSessionInterface

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

#: Rounds that are timed, and requests of each side in each. On a busy machine they are fewer.
ROUNDS = 60
FEWEST_ROUNDS = 10
REQUESTS = 20

#: So many seconds may pass until the rounds become fewer.
PATIENCE = 2.0

#: Attempts to have all sides answer within the same second.
ATTEMPTS = 5

#: What is measured: the path of a view, and what its request does.
VIEWS = {"/read": "A request that reads the session", "/write": "A request that changes it"}

#: The key that a view changes.
CHANGED = "inspected"

# Two measurements at once would be one of each other.
_lock = threading.Lock()


class NotMeasured(Exception):
    """Why nothing was measured; the text is for the page."""


@dataclass(frozen=True)
class Cost:
    """What a session adds to a request, with Flask's own interface and with ours; timings are in seconds."""

    name: str
    stock: Timing
    ours: Timing

    @property
    def ratio(self) -> Ratio:
        return ratio(self.stock, self.ours)


@dataclass(frozen=True)
class Costs:
    costs: list[Cost]

    @property
    def rounds(self) -> int:
        """How many rounds were timed, at least."""
        return min(len(cost.stock.seconds) for cost in self.costs)

    @property
    def most(self) -> float:
        """The longest of the timings, in seconds."""
        return max(max(cost.stock.median, cost.ours.median) for cost in self.costs)


class FreeSessionInterface(SessionInterface):
    """A session that costs nothing: every request finds the same one."""

    def __init__(self, data: Mapping[str, t.Any]) -> None:
        self.session = SecureCookieSession(data)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        return self.session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        pass


def measured(app: Flask, request: Request, data: Mapping[str, t.Any] | None) -> Costs:
    """Measure what a session costs whose cookie is in a request, which has opened it with this data.

    Raise :exc:`NotMeasured` with the reason, also if the request opened none.
    """
    own = app.session_interface
    if not isinstance(own, SecureCookieSessionInterface):
        raise NotMeasured("Only sessions in cookies can be compared with Flask's.")
    if isinstance(own, FastSessionInterface) and own._options.encrypt:
        raise NotMeasured("Flask does not encrypt cookies, so there is nothing to compare with.")
    if not data:
        raise NotMeasured("There is no session to measure: your browser sent no cookie that opens one.")
    if not _lock.acquire(blocking=False):
        raise NotMeasured("Another measurement is running: reload this page when it is done.")
    try:
        stock, ours = counterparts_of(own)
        sides = {
            "stock": bare_app(app, stock),
            "ours": bare_app(app, ours),
            "free": bare_app(app, FreeSessionInterface(data)),
        }
        costs = [cost_of(name, sides, environ_like(request, path)) for path, name in VIEWS.items()]
        if not is_stock(stock):
            raise NotMeasured("The app's interface calls FastSessionInterface by name, so there is nothing to compare.")
        return Costs(costs)
    except BadInput as error:
        raise NotMeasured(f"Not measured: {error.message}.") from None
    except NotMeasured:
        raise
    except Exception as error:
        # Its text might quote a key.
        raise NotMeasured(f"Not measured: a request with this session raises {type(error).__name__}.") from None
    finally:
        _lock.release()


def bare_app(app: Flask, interface: SessionInterface) -> Flask:
    """Return an app that has the config and the classes of another, and views that do nothing but use the session."""
    bare = Flask(app.import_name, static_folder=None)
    bare.config.update(app.config)
    # Its URLs are under no other name than the request's.
    bare.config.update(SERVER_NAME=None, APPLICATION_ROOT="/")
    bare.request_class, bare.response_class = app.request_class, app.response_class
    bare.json = type(app.json)(bare)
    vars(bare.json).update({name: value for name, value in vars(app.json).items() if name != "_app"})
    bare.session_interface = interface

    @bare.get("/read")
    def read() -> str:
        session.get(CHANGED)
        return ""

    @bare.get("/write")
    def write() -> str:
        session[CHANGED] = True
        return ""

    return bare


def environ_like(request: Request, path: str) -> WSGIEnvironment:
    """Return the environ of a request to a path, with the cookies of another request."""
    headers = {"Cookie": request.headers.get("Cookie", "")}
    return create_environ(path, base_url=request.host_url, headers=headers)


class Answer(t.NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


def answer(app: Flask, environ: WSGIEnvironment) -> Answer:
    """Serve one request, as a WSGI server does."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> Callable[..., None]:
        started.append((status, headers))
        return lambda data: None

    # Flask leaves its own marks in the environ.
    iterable = app.wsgi_app(environ.copy(), start_response)
    body = b"".join(iterable)
    iterable.close()  # type: ignore[attr-defined]
    status, headers = started.pop()
    return Answer(status, headers, body)


def cost_of(name: str, sides: Mapping[str, Flask], environ: WSGIEnvironment) -> Cost:
    check(sides, environ)
    jobs = {side: job_of(app, environ) for side, app in sides.items()}
    timings = take_turns(jobs, dict.fromkeys(jobs, REQUESTS), rounds_within(PATIENCE))
    return Cost(name, timings["stock"] - timings["free"], timings["ours"] - timings["free"])


def rounds_within(seconds: float) -> Iterator[int]:
    """Count rounds, until there are enough of them, or so many seconds have passed and there are some."""
    end = time.monotonic() + seconds
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        if number >= WARM_UP_ROUNDS + FEWEST_ROUNDS and time.monotonic() > end:
            return
        yield number


def check(sides: Mapping[str, Flask], environ: WSGIEnvironment) -> None:
    """Raise :exc:`NotMeasured` unless both answer alike, down to the order of the headers."""
    for _ in range(ATTEMPTS):
        second = int(time.time())
        stock, ours = answer(sides["stock"], environ), answer(sides["ours"], environ)
        if stock == ours and stock.status == "200 OK":
            return
        if int(time.time()) == second:
            break
    raise NotMeasured("Flask's interface and this package's answer differently, so their times cannot be compared.")


def job_of(app: Flask, environ: WSGIEnvironment) -> Callable[[int], float]:
    def job(calls: int) -> float:
        start = clock()
        for _ in range(calls):
            answer(app, environ)
        return (clock() - start) / calls

    return job
