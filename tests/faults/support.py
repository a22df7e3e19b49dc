"""What the tests of faults share: how much of them is run, sessions by hand, and processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import flask
from werkzeug.test import create_environ

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import make_app
from tests.patience import HANGS_AFTER

T = t.TypeVar("T")

ROOT = Path(__file__).parents[2]

# The whole takes minutes; the slice is what fits into every run of the tests.
RUNS_WHOLE = os.environ.get("FAULTS") == "whole"

NAME_OF = {Interface: "stock", FastSessionInterface: "ours"}


def scaled(part: T, whole: T) -> T:
    """Choose between the slice and the whole: ``FAULTS=whole`` in the environment asks for the latter."""
    return whole if RUNS_WHOLE else part


# --- Sessions by hand -----------------------------------------------------------------------------------------------


def request_of(app: flask.Flask, cookie: str | None = None) -> flask.Request:
    headers = {} if cookie is None else {"Cookie": f"{app.config['SESSION_COOKIE_NAME']}={cookie}"}
    return app.request_class(create_environ("/", headers=headers))


def open_by(app: flask.Flask, cookie: str | None = None) -> t.Any:
    return app.session_interface.open_session(app, request_of(app, cookie))


def save_by(app: flask.Flask, session: t.Any) -> list[tuple[str, str]]:
    """Save a session into a response of its own, and return the headers that it gained."""
    response = flask.wrappers.Response()
    response.headers.clear()
    app.session_interface.save_session(app, session, response)
    return list(response.headers)


def token_in(headers: t.Iterable[tuple[str, str]]) -> str:
    (cookie,) = [value for name, value in headers if name == "Set-Cookie"]
    return cookie.partition("=")[2].partition(";")[0]


def written(app: flask.Flask, **values: t.Any) -> t.Any:
    """A session of the app's own class, as a view leaves it that put values there."""
    session = open_by(app)
    session.update(values)
    return session


def app_with(interface_class: type[Interface], **config: t.Any) -> flask.Flask:
    return make_app(interface_class(), **config)


# --- At any moment --------------------------------------------------------------------------------------------------


class AtCall:
    """Acts at the so-many-th call of a Python function.

    What another thread, a signal or a lack of memory does at a moment of its own choosing is so done at a chosen one.
    """

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.left = number
        self.act = act
        self.name = ""

    @property
    def is_reached(self) -> bool:
        return self.left <= 0

    def during(self, call: Callable[[], object]) -> None:
        before = sys.getprofile()
        sys.setprofile(self.profile)
        try:
            call()
        finally:
            sys.setprofile(before)

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.left -= 1
            if self.left == 0:
                self.name = frame.f_code.co_name
                self.act()


# --- Processes of their own -----------------------------------------------------------------------------------------

PRELUDE = """
from tests.faults.support import *
interface_class = {value: key for key, value in NAME_OF.items()}[sys.argv[1]]
"""


@dataclass(frozen=True)
class Ending:
    """How a process ended, and what it had printed until then."""

    status: str
    printed: str


def run_script(
    interface_class: type[Interface], script: str, *arguments: object, timeout: float = HANGS_AFTER
) -> Ending:
    """Run a script in an interpreter of its own, which has ``interface_class`` and the names of this module."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    source = PRELUDE + textwrap.dedent(script)
    command = [sys.executable, "-c", source, NAME_OF[interface_class], *map(str, arguments)]
    try:
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as expired:
        return Ending("hung", (expired.stdout or b"").decode())
    return Ending(status_text(done.returncode), done.stdout)


def status_text(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
