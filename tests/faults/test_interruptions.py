"""Exceptions that strike out of the blue: Ctrl-C, a time limit, a server that ends its worker, memory that has run out.

They are raised at the first, the second, the third call of a Python function while a session is opened or saved, and so
on until its end; and by every single allocation of memory in turn.
"""

from __future__ import annotations

import itertools
import sys
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from decimal import Decimal

import flask
import pytest
from werkzeug.datastructures import Headers

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import serializer_of

from .support import AtCall
from .support import Ending
from .support import app_with
from .support import open_by
from .support import request_of
from .support import run_script
from .support import save_by
from .support import scaled
from .support import token_in

VALUE = {"user": "ada", "list": [1, (2, b"3")], "_permanent": True}


class Struck(BaseException):
    """Like a `KeyboardInterrupt`, a `SystemExit` or a `gevent.Timeout`."""


def opening(app: flask.Flask) -> Callable[[], object]:
    cookie = serializer_of(app_with(Interface)).dumps(VALUE)
    request = request_of(app, cookie)
    return lambda: app.session_interface.open_session(app, request)


def saving(app: flask.Flask) -> Callable[[], object]:
    return saving_of(app, VALUE)


def saving_what_is_declined(app: flask.Flask) -> Callable[[], object]:
    return saving_of(app, VALUE | {"price": Decimal(1)})


def saving_of(app: flask.Flask, value: dict[str, object]) -> Callable[[], object]:
    session = t.cast(Interface, app.session_interface).session_class(value)
    session.modified = True
    response = flask.Response(headers=Headers())
    return lambda: app.session_interface.save_session(app, session, response)


ACTS = pytest.mark.parametrize("act", [opening, saving, saving_what_is_declined])
WARM = pytest.mark.parametrize("is_warm", [False, True], ids=["first", "second"])


def prepare(app: flask.Flask, act: t.Any, *, is_warm: bool) -> Callable[[], object]:
    if is_warm:
        act(app)()
    return t.cast(Callable[[], object], act(app))


def check_that_all_is_well(app: flask.Flask) -> None:
    token = token_in(save_by(app, app.session_interface.session_class(VALUE)))  # type: ignore[attr-defined]
    assert dict(open_by(app, token)) == VALUE


@contextmanager
def unraisable() -> Iterator[list[object]]:
    """Collect what is raised where Python itself lets no exception pass, as while a generator is closed."""
    ignored: list[object] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda found: ignored.append(found.exc_type)
    try:
        yield ignored
    finally:
        sys.unraisablehook = before


def strike() -> None:
    raise Struck


@ACTS
@WARM
def test_an_interruption_passes_through_wherever_it_strikes(
    interface_class: type[Interface], act: t.Any, is_warm: bool
) -> None:
    held_up = []
    for number in itertools.count(1):
        app = app_with(interface_class)
        with app.app_context():
            call = prepare(app, act, is_warm=is_warm)
            passed = False
            moment = AtCall(number, strike)
            with unraisable() as ignored:
                try:
                    moment.during(call)
                except Struck:
                    passed = True
            if not moment.is_reached:
                break
            if not passed and not ignored:
                held_up.append((number, moment.name))
            check_that_all_is_well(app)
    assert held_up == []


ALLOCATING = """
    import _testcapi
    from tests.faults.test_interruptions import *

    for number in range(1, int(sys.argv[4])):
        app = app_with(interface_class)
        with app.app_context():
            call = prepare(app, globals()[sys.argv[2]], is_warm=sys.argv[3] == "True")
            try:
                _testcapi.set_nomemory(number, number + 1)
                try:
                    call()
                finally:
                    _testcapi.remove_mem_hooks()
            except Exception:
                pass  # Stock has many names for it: MemoryError, SystemError, BadPayload.
            except BaseException as error:
                print(f"allocation {number}: {type(error).__name__}", flush=True)
            check_that_all_is_well(app)
"""


@ACTS
@WARM
def test_an_allocation_that_fails_is_an_error_of_the_request(
    interface_class: type[Interface], act: t.Any, is_warm: bool
) -> None:
    pytest.importorskip("_testcapi", reason="this interpreter cannot make allocations fail")
    ending = run_script(interface_class, ALLOCATING, act.__name__, is_warm, scaled(40, 400))
    assert ending == Ending("exit 0", "")


def test_the_next_request_is_native_after_an_interruption() -> None:
    # What was found out about an app while an exception was on its way is not to be kept.
    app = app_with(FastSessionInterface)
    for number in itertools.count(1):
        interface = app.session_interface = FastSessionInterface()
        with app.app_context():
            moment = AtCall(number, strike)
            call = saving(app)
            with suppress(Struck):
                moment.during(call)
            if not moment.is_reached:
                break
            before = interface.stats()["save"]["native"]
            saving(app)()
            assert interface.stats()["save"]["native"] == before + 1, moment.name
