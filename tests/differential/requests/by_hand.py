"""The WSGI environ of a request, and what ``open_session`` and ``save_session`` are called with by hand."""

from __future__ import annotations

import contextlib
import io
import types
import typing as t
from collections.abc import Callable
from unittest import mock

import flask
import werkzeug
from flask import Flask
from flask.sessions import SecureCookieSession
from werkzeug.http import parse_cookie
from werkzeug.local import LocalProxy
from werkzeug.sansio.response import Response as SansIOResponse

from ..codec.odd_types import calls
from .interfaces import PlainSession
from .observed import observed_call
from .plan import Step


def environ_of(step: Step, header: str | None) -> dict[str, t.Any]:
    environ = {
        "REQUEST_METHOD": step.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": step.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    return environ if header is None else {**environ, "HTTP_COOKIE": header}


def fake_app(app: Flask) -> t.Any:
    names = ("secret_key", "config", "permanent_session_lifetime")
    return types.SimpleNamespace(**{name: getattr(app, name) for name in names}, response_class=app.response_class)


class FakeVary:
    def add(self, name: str) -> None:
        calls.append(f"vary.add {name}")


class FakeResponse:
    """Has what stock uses, and notes how."""

    vary = FakeVary()

    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        calls.append(observed_call("set_cookie", args, kwargs))

    def delete_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        calls.append(observed_call("delete_cookie", args, kwargs))


REQUESTS_BY_HAND: dict[str, Callable[[Flask, Step, str | None], t.Any]] = {
    "fake": lambda app, step, header: types.SimpleNamespace(cookies=dict(parse_cookie(header))),
    "fake of bytes": lambda app, step, header: types.SimpleNamespace(cookies={"session": (header or "").encode()[8:]}),
    "Werkzeug's": lambda app, step, header: werkzeug.Request(environ_of(step, header)),
    "Flask's": lambda app, step, header: app.request_class(environ_of(step, header)),
}
RESPONSES_BY_HAND: dict[str, Callable[[], t.Any]] = {
    "fake": FakeResponse,
    "Werkzeug's": werkzeug.Response,
    "without WSGI": SansIOResponse,
    "Flask's": flask.Response,
    "mock": lambda: mock.Mock(spec=["vary", "set_cookie", "delete_cookie"]),
}
SESSIONS_BY_HAND: dict[str, Callable[[t.Any], t.Any]] = {
    "as it was opened": lambda session: session,
    "proxy": lambda session: LocalProxy(lambda: session),
    "plain": PlainSession,
    "Flask's": SecureCookieSession,
}
CONTEXTS: dict[str, Callable[[Flask], t.Any]] = {
    "none": lambda app: contextlib.nullcontext(),
    "app": lambda app: app.app_context(),
    "request": lambda app: app.test_request_context(),
}
