"""``flask session bench``: what sessions cost.

This does not use the benchmarks in ``benches/``, because they are not installed with the package and need pyperf. The
time to create requests and sessions is not counted here.
"""

from __future__ import annotations

import functools
import sys
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import Flask
from flask import Request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.http import parse_cookie

from ..interface import FastSessionInterface
from ..options import CREATED
from ..options import DEFAULTS
from . import cookies
from .app import serializer_of
from .app import with_app
from .checks import options_on
from .counterparts import Interface
from .counterparts import counterparts_of
from .counterparts import is_stock
from .errors import BadInput
from .errors import Command
from .errors import described
from .text import COLOURS
from .text import as_json
from .text import echo
from .text import echo_json
from .text import echo_table
from .text import given
from .text import heading
from .text import read_session
from .timing import WARM_UP_ROUNDS
from .timing import Ratio
from .timing import Timing
from .timing import clock
from .timing import ratio
from .timing import take_turns
from .trial import login_session
from .trial import stages_between
from .trial import why

#: How long a turn of stock should take, in seconds.
TURN = 0.002

#: How many times to try to save a session with both within the same second.
ATTEMPTS = 5

INCONCLUSIVE = "the times spread too far to conclude anything; try an idle machine, or more --rounds"

CANNOT_COMPARE = "so their times cannot be compared"

Jobs = dict[str, Callable[[int], float]]


@click.command(cls=Command)
@click.argument("session_json", metavar="[JSON]", required=False)
@click.option("--file", type=click.File("rb"), help="Read the JSON from a file.")
@click.option(
    "--tagged", is_flag=True, help='Read {" t": [...]} and the like as Flask\'s tags, as inspect --json has them.'
)
@click.option("--rounds", type=click.IntRange(5, 100_000), default=200, show_default=True, help="Number of rounds.")
@as_json
@with_app
def bench(
    app: Flask, session_json: str | None, file: t.BinaryIO | None, tagged: bool, rounds: int, as_json: bool
) -> None:
    """Measure what sessions cost, with Flask's own code and with this package.

    JSON is the session, such as '{"user": "ada"}'; without it, or where it is -, standard input is read. Without
    either, the session is such as Flask-Login and Flask-WTF keep. The app's own config, keys, requests and
    responses are used, and what the app's interface overrides is so on both sides: "open" is a request that brings the
    session, "save" a response to one that has changed it. Both take turns in one process, and their answers are
    compared before. Times are CPU times.
    """
    if not isinstance(app.session_interface, SecureCookieSessionInterface):
        raise BadInput("only sessions in cookies can be compared with Flask's, and the app keeps its own elsewhere")
    serializer_of(app)
    data = bench_session(session_json, file, tagged)
    stock, ours = interfaces_for(app, data)
    before = ours.stats()
    jobs, value = make_jobs(app, {"stock": stock, "ours": ours}, data)
    size = cookies.size_of(cookies.name_of_cookie(app), value)
    timings = measure(jobs, rounds)
    declined = {name: stage.declined for name, stage in stages_between(before, ours.stats()).items()}
    results = {
        operation: (timings[f"{operation} stock"], timings[f"{operation} ours"]) for operation in ("open", "save")
    }
    if as_json:
        echo_json(
            {
                "cookie_bytes": size,
                "rounds": rounds,
                "seconds": {operation: costs_as_json(*both) for operation, both in results.items()},
                "declined": declined,
            }
        )
        return
    heading(f"Microseconds for a session cookie of {size} bytes: median of {rounds} rounds, \u00b1 median deviation")
    rows = [(operation, *map(micros, both), times(ratio(*both))) for operation, both in results.items()]
    echo_table([("", "stock", "ours", "stock/ours"), *rows], align=str.rjust)
    for operation, both in results.items():
        if not ratio(*both).is_conclusive:
            echo(click.style(f"{operation}: {INCONCLUSIVE}", fg=COLOURS["warning"]))
    for stage, reasons in declined.items():
        if reasons:
            echo(f"{stage} was left to Flask's own code{why(reasons)}")


def bench_session(session_json: str | None, file: t.BinaryIO | None, is_tagged: bool) -> dict[str, t.Any]:
    text = given(session_json, file)
    data = login_session() if text is None else read_session(text, is_tagged)
    if not data:
        raise BadInput("an empty session has no cookie")
    return data


def interfaces_for(app: Flask, data: dict[str, t.Any]) -> tuple[Interface, FastSessionInterface]:
    """Stock's and ours with the overrides and settings of the app's own interface, which is one of the two."""
    stock, ours = counterparts_of(t.cast(Interface, cookies.unskipping(app)))
    if ours._options is not DEFAULTS and ours._options.absolute_lifetime is not None:
        # Otherwise only ours would add this key, and the cookies would differ.
        data.setdefault(CREATED, int(time.time()))
    return stock, ours


def make_jobs(app: Flask, interfaces: dict[str, Interface], data: dict[str, t.Any]) -> tuple[Jobs, str]:
    """Check that both interfaces give the same results. Return the jobs to time, and the cookie.

    A job gets the number of calls, and returns the seconds for one call.
    """
    try:
        lines = saved_alike(app, interfaces.values(), data)
        value = parse_cookie(lines[-1])[cookies.name_of_cookie(app)]
        opened = [opened_by(interface, app, value) for interface in interfaces.values()]
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"the app cannot save and open this session: {described(error)}") from None
    if not is_stock(interfaces["stock"]):
        raise BadInput("the app's interface calls FastSessionInterface by its name, and so does what stands for stock")
    # Compared by their repr, since values of different types may be equal.
    if len({repr(dict(session or {})) for session in opened}) != 1 or not opened[0]:
        raise BadInput(f"stock and this package open the session differently, {CANNOT_COMPARE}{without_options(app)}")
    jobs: Jobs = {}
    for label, interface in interfaces.items():
        jobs[f"open {label}"] = functools.partial(time_open, app, interface, value)
        jobs[f"save {label}"] = functools.partial(time_save, app, interface, data)
    return jobs, value


def saved_alike(app: Flask, interfaces: Iterable[Interface], data: dict[str, t.Any]) -> list[str]:
    """The headers that all interfaces add, which have to be the same."""
    for _ in range(ATTEMPTS):
        answers = [headers_by(interface, app, data) for interface in interfaces]
        if all(answer == answers[0] for answer in answers):
            return answers[0]
    raise BadInput(f"stock and this package save the session differently, {CANNOT_COMPARE}{without_options(app)}")


def without_options(app: Flask) -> str:
    """Text to append, on what may be why."""
    names, interface = options_on(app), app.session_interface
    if isinstance(interface, FastSessionInterface) and interface._options.revocations is not None:
        names.append("revocations")
    return f": Flask has no {' or '.join(names)}, which the app uses" if names else ""


def headers_by(interface: Interface, app: Flask, data: dict[str, t.Any]) -> list[str]:
    with cookies.request_with(app, None) as request:
        response = app.response_class()
        interface.save_session(app, new_session(app, interface, request, data), response)
    return [*response.headers.getlist("Vary"), *response.headers.getlist("Set-Cookie")]


def opened_by(interface: Interface, app: Flask, value: str) -> t.Any:
    with cookies.request_with(app, value) as request:
        return interface.open_session(app, request)


def new_session(app: Flask, interface: Interface, request: Request, data: dict[str, t.Any]) -> t.Any:
    session = t.cast("dict[str, t.Any]", interface.open_session(app, request))
    session.update(data)
    return session


def time_open(app: Flask, interface: Interface, value: str, calls: int) -> float:
    with cookies.request_with(app, value) as request:
        requests = copies_of(app, request, calls)
        start = clock()
        for each in requests:
            interface.open_session(app, each)
        return (clock() - start) / calls


def time_save(app: Flask, interface: Interface, data: dict[str, t.Any], calls: int) -> float:
    with cookies.request_with(app, None) as request:
        sessions = [new_session(app, interface, each, data) for each in copies_of(app, request, calls)]
        answers = [(session, app.response_class()) for session in sessions]
        start = clock()
        for session, response in answers:
            interface.save_session(app, session, response)
        return (clock() - start) / calls


def copies_of(app: Flask, request: Request, number: int) -> list[Request]:
    """New requests, because a request parses its cookies only once."""
    return [app.request_class(request.environ.copy()) for _ in range(number)]


def measure(jobs: Jobs, rounds: int) -> dict[str, Timing]:
    """Time all jobs in turns, and show the progress."""
    calls = {name: max(1, int(TURN / jobs[name.replace("ours", "stock")](10))) for name in jobs}
    with progress(WARM_UP_ROUNDS + rounds) as each_round:
        return take_turns(jobs, calls, each_round)


@contextmanager
def progress(length: int) -> Iterator[Iterable[int]]:
    """Give a range of this length, with a progress bar if standard error is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield range(length)
        return
    with click.progressbar(range(length), label="Measuring", file=sys.stderr) as bar:
        yield bar


def micros(timing: Timing) -> str:
    return f"{timing.median * 1e6:.2f} \u00b1{timing.spread * 1e6:.2f}"


def times(found: Ratio) -> str:
    return f"{found.value:.2f}x \u00b1{found.spread:.2f}"


def costs_as_json(stock: Timing, ours: Timing) -> dict[str, t.Any]:
    found = ratio(stock, ours)
    return {
        "stock": {"median": stock.median, "spread": stock.spread},
        "ours": {"median": ours.median, "spread": ours.spread},
        "ratio": {"median": found.value, "spread": found.spread},
        "conclusive": found.is_conclusive,
    }
