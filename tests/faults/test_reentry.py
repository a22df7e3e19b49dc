"""Code of an app that signs, loads, opens and saves sessions while one is being opened or saved."""

from __future__ import annotations

import gc
import typing as t
from collections.abc import Callable
from contextlib import suppress

import flask
import pytest

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import serializer_of

from .callbacks import PLACES
from .callbacks import in_date
from .callbacks import in_digest
from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import token_in
from .support import written

INNER = {"inner": [1, {" t": b"2"}], "_permanent": True}


def sign_and_load(app: flask.Flask) -> object:
    serializer = serializer_of(app)
    token = serializer.dumps(INNER)
    return token, serializer.loads(token, max_age=10), serializer.loads_unsafe(token[:-1])


def save_and_open(app: flask.Flask) -> object:
    headers = save_by(app, written(app, **INNER))
    return headers, dict(open_by(app, token_in(headers))), dict(open_by(app, "forged"))


def serve(app: flask.Flask) -> object:
    client = app.test_client()
    return [(answer.status, list(answer.headers)) for answer in (client.get("/"), client.get("/"))]


def fail(app: flask.Flask) -> object:
    with suppress(TypeError):
        return serializer_of(app).dumps({"unknown": object})
    return "failed"


def change_keys(app: flask.Flask) -> object:
    app.config.update(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=["one more"])
    return sign_and_load(app)


def collect(app: flask.Flask) -> object:
    """Have a finalizer sign."""
    tokens: list[object] = []

    class Signing:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            tokens.append(sign_and_load(app))

    Signing()
    gc.collect(0)
    return tokens


ACTS = [sign_and_load, save_and_open, serve, fail, change_keys, collect]


def app_to_serve(interface: Interface) -> flask.Flask:
    app = app_with(type(interface))
    app.session_interface = interface
    app.view_functions["view"] = lambda: f"{flask.session.setdefault('seen', [1, (2,)])}"
    return app


CASES = [
    (place, act, which)
    for place in PLACES
    for act in ACTS
    for which in ("same app", "another app", "another interface")
    # Keys are read and derived a moment earlier than in stock. Where code that runs in between changes them, one is as
    # if another thread had done so before, the other as if after.
    if not (place in (in_date, in_digest) and act is change_keys and which == "same app")
]


@pytest.mark.parametrize(("place", "act", "which"), CASES)
def test_sessions_within_sessions(
    parity: t.Any, place: t.Any, act: Callable[[flask.Flask], object], which: str
) -> None:
    def scenario(interface_class: type[Interface]) -> object:
        interface = interface_class()
        outer = app_to_serve(interface)
        inner = {
            "same app": outer,
            "another app": app_to_serve(interface),
            "another interface": app_to_serve(interface_class()),
        }[which]
        seen: list[object] = []
        is_inside = False

        def note(result: object) -> None:
            # Once, for some places are passed more or less often than in stock: see the differences in the docs.
            if result not in seen:
                seen.append(result)

        def enter() -> None:
            # Inside of itself it does nothing, or there would be no end of it.
            nonlocal is_inside
            if not is_inside:
                is_inside = True
                try:
                    note(act(inner))
                finally:
                    is_inside = False

        with outer.app_context(), place(outer, enter) as value:
            for _ in range(scaled(2, 100)):
                headers = save_by(outer, written(outer, value=[value], name="outer", _permanent=True))
                note((headers, open_by(outer, token_in(headers))))
        assert len(seen) > 1
        return seen

    parity(scenario)


def test_a_finalizer_may_do_anything_at_any_time(parity: t.Any) -> None:
    # The collector runs whenever something is made, so also while native code makes it.
    def scenario(interface_class: type[Interface]) -> object:
        app = app_to_serve(interface_class())
        tokens: set[str] = set()

        class Saving:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                with app.app_context():
                    tokens.add(token_in(save_by(app, written(app, **INNER))))

        before = gc.get_threshold()
        with app.app_context():
            headers = save_by(app, written(app, number=1))
            gc.set_threshold(7)
            try:
                for _ in range(scaled(300, 30_000)):
                    Saving()
                    assert open_by(app, token_in(headers)) == {"number": 1}
            finally:
                gc.set_threshold(*before)
        return headers, tokens

    parity(scenario)


def test_reentry_runs_natively_inside_of_native_code(clock: t.Any) -> None:
    # The stopped clock is Python code that native code calls in the midst of saving.
    app = app_to_serve(FastSessionInterface())
    interface = t.cast(FastSessionInterface, app.session_interface)
    serve(app)
    stats = interface.stats()
    assert stats["save"] == {"native": 2, "declined": {}}
    assert stats["open"] == {"native": 2, "declined": {}}
