"""A page that shows the session of whoever looks at it, its cookie taken apart, and what sessions cost this app."""

from __future__ import annotations

import json
import statistics
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint
from flask import Flask
from flask import current_app
from flask import render_template
from flask import request
from flask import session
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from werkzeug.test import create_environ

from flask_fastsession import FastSessionInterface
from flask_fastsession.cli.cookies import is_id
from flask_fastsession.cli.cookies import take_apart

inspector = Blueprint("inspector", __name__)

#: Rounds that are timed, stock and ours in turns, and requests in each.
ROUNDS = 15
REQUESTS = 10


@inspector.get("/inspector")
def show() -> str:
    cookie = request.cookies.get(current_app.config["SESSION_COOKIE_NAME"], "")
    # A session that is not empty came from a cookie that was accepted; others are not worth a look.
    token = take_apart(cookie) if session and not is_id(cookie) else None
    text = None if token is None else json.dumps(json.loads(token.payload.text or b""), indent=2)
    return render_template(
        "inspector.html",
        items=[(key, type(value).__name__, repr(value)) for key, value in session.items()],
        token=token,
        text=text,
        parts=dict(zip(("payload", "timestamp", "signature"), cookie.rsplit(".", 2), strict=False)),
        is_refused=bool(cookie) and not session,
        costs=costs_of(current_app._get_current_object(), cookie),  # type: ignore[attr-defined]
    )


# --- What it costs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What one session costs a request, in microseconds: with Flask's own interface, and with ours."""

    name: str
    stock: float
    ours: float


def costs_of(app: Flask, cookie: str) -> list[Cost]:
    sides = SecureCookieSessionInterface(), FastSessionInterface()
    uses: dict[str, Callable[[t.Any], object]] = {
        "read": lambda opened: opened.get("user"),
        "changed": lambda opened: opened.update(inspected=True),
    }
    return [Cost(name, *medians_of(app, sides, cookie, use)) for name, use in uses.items()]


def medians_of(
    app: Flask, sides: tuple[SessionInterface, ...], cookie: str, use: Callable[[t.Any], object]
) -> list[float]:
    rounds = [[microseconds(app, side, cookie, use) for side in sides] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def microseconds(app: Flask, side: SessionInterface, cookie: str, use: Callable[[t.Any], object]) -> float:
    """What it takes to open, use and save a session, once all that is not the session's is there."""
    headers = {"Cookie": f"{app.config['SESSION_COOKIE_NAME']}={cookie}"}
    exchanges = [(app.request_class(create_environ(headers=headers)), app.response_class()) for _ in range(REQUESTS)]
    start = time.perf_counter()
    for incoming, response in exchanges:
        opened = side.open_session(app, incoming)
        assert opened is not None
        use(opened)
        side.save_session(app, opened, response)
    return (time.perf_counter() - start) / REQUESTS * 1e6
