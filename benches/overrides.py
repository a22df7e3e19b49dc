"""Apps that override a step of Flask's sessions, on stock and on ours."""

from __future__ import annotations

import json
import typing as t

from flask import Flask
from flask import Request
from flask import Response
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSessionInterface
from werkzeug.sansio.request import Request as SansIORequest

from benches.bench_request import create_app
from flask_fastsession import FastSessionInterface

Interface = SecureCookieSessionInterface

SIDES: dict[str, type[Interface]] = {"stock": Interface, "ours": FastSessionInterface}


def with_getters(kind: type[Interface]) -> Flask:
    def get_cookie_secure(self: Interface, app: Flask) -> bool:
        return True

    def get_cookie_samesite(self: Interface, app: Flask) -> str:
        return "Lax"

    namespace = {"get_cookie_secure": get_cookie_secure, "get_cookie_samesite": get_cookie_samesite}
    return create_app(type("Own", (kind,), namespace)())


def with_key_on_the_class(kind: type[Interface]) -> Flask:
    app = create_app(kind())
    app.__class__ = type("Own", (Flask,), {"secret_key": app.secret_key})
    return app


class OwnResponse(Response):
    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().set_cookie(*args, **kwargs)


def with_set_cookie(kind: type[Interface]) -> Flask:
    app = create_app(kind())
    app.response_class = OwnResponse
    return app


class OwnRequest(Request):
    @property
    def cookies(self) -> t.Any:
        return vars(SansIORequest)["cookies"].__get__(self)


def with_cookies(kind: type[Interface]) -> Flask:
    app = create_app(kind())
    app.request_class = OwnRequest
    return app


class OwnProvider(DefaultJSONProvider):
    """Writes and reads by a JSON library of its own, as many do."""

    encoder = json.JSONEncoder(separators=(",", ":"))

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return self.encoder.encode(obj)

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return json.loads(s)


class ProviderWithDefault(DefaultJSONProvider):
    @staticmethod
    def default(o: t.Any) -> t.Any:
        return str(o)


def with_provider(kind: type[Interface]) -> Flask:
    app = create_app(kind())
    app.json = OwnProvider(app)
    return app


def with_default(kind: type[Interface]) -> Flask:
    app = create_app(kind())
    app.json = ProviderWithDefault(app)
    return app


OVERRIDES: dict[str, t.Callable[[type[Interface]], Flask]] = {
    "two get_cookie_... methods": with_getters,
    "secret_key on the app's class": with_key_on_the_class,
    "Response.set_cookie": with_set_cookie,
    "Request.cookies": with_cookies,
    "dumps and loads of the JSON provider": with_provider,
    "default of the JSON provider": with_default,
}


def overriding(name: str, kind: type[Interface]) -> Flask:
    return OVERRIDES[name](kind)
