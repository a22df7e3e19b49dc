"""Exceptions of all kinds, raised by code of an app while a session is opened or saved."""

from __future__ import annotations

import typing as t

import pytest

from tests.contract.parity import Interface
from tests.contract.parity import serializer_of

from .callbacks import PLACES
from .support import app_with
from .support import open_by
from .support import save_by
from .support import written


class Interruption(BaseException):
    """As gevent and eventlet have them for their time limits."""


KINDS = [
    Exception,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    RecursionError,
    MemoryError,
    OSError,
    StopIteration,
    StopAsyncIteration,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Interruption,
]


# As the tag among the places writes it.
POINT = {"value": {" p": [1, 2]}, "_permanent": True}


def signed_by(key: str, value: object) -> str:
    return t.cast(str, serializer_of(app_with(Interface, SECRET_KEY=key)).dumps(value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_raised_comes_out(parity: t.Any, place: t.Any, kind: type[BaseException]) -> None:
    """Requests that fail and requests that do not, by turns, so that it shows what a failure leaves behind."""

    def scenario(interface_class: type[Interface]) -> object:
        app = app_with(interface_class)
        raised = kind("out of the blue")
        is_failing = False
        keys = [f"key {turn}" for turn in range(6)]
        tokens = [signed_by(key, POINT) for key in keys]
        seen: list[object] = []

        def fail() -> None:
            if is_failing:
                raise raised

        def attempt(act: t.Any, *arguments: object) -> None:
            try:
                seen.append(act(app, *arguments))
            except BaseException as error:
                # The very object where it passes, and what it became where stock makes it another.
                seen.append((error is raised, type(error), str(error)))

        with app.app_context(), place(app, fail) as value:
            for turn, (key, token) in enumerate(zip(keys, tokens, strict=True)):
                is_failing = False
                session = app.session_interface.session_class({"value": value, "_permanent": True})  # type: ignore[attr-defined]
                # A new key, so that its digest is asked.
                app.config["SECRET_KEY"] = key
                is_failing = turn % 2 == 1
                attempt(save_by, session)
                attempt(open_by, token)
        with app.app_context():
            seen.append(save_by(app, written(app, user="ada")))
        return seen

    parity(scenario)
