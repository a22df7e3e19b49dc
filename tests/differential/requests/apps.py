"""The classes that apps are made of."""

from __future__ import annotations

import contextlib
import typing as t
from datetime import timedelta

import flask
import werkzeug
from flask import Flask
from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import Headers
from werkzeug.datastructures import MultiDict

from ..codec.odd_types import calls
from .observed import observed_call
from .replies import WatchedHeaders


def by_name(*things: t.Any) -> dict[str, t.Any]:
    return {thing.__name__: thing for thing in things}


class OwnFlask(Flask):
    """Like Flask's, until it is patched."""


class ShortLived(Flask):
    permanent_session_lifetime = timedelta(seconds=40)


class LifetimeByProperty(Flask):
    @property
    def permanent_session_lifetime(self) -> timedelta:  # type: ignore[override]
        calls.append("lifetime")
        return timedelta(seconds=len(flask.request.path) * 50 if flask.has_request_context() else 50)


class SecretByProperty(Flask):
    @property
    def secret_key(self) -> str:  # type: ignore[override]
        return "of the class"


class Processing(Flask):
    def process_response(self, response: t.Any) -> t.Any:
        response.headers["X-Before"] = "1"
        response = super().process_response(response)
        response.headers["X-After"] = "1"
        return response


class Falsy(Flask):
    def __bool__(self) -> bool:
        return False


class Sized(Flask):
    def __len__(self) -> int:
        return 0


class Replying(Flask):
    def make_response(self, rv: t.Any) -> t.Any:
        response = super().make_response(rv)
        response.vary.add("Accept")
        return response


FLASK_CLASSES: dict[str, type[Flask]] = by_name(
    *(Flask, OwnFlask, ShortLived, LifetimeByProperty, SecretByProperty, Processing, Falsy, Sized, Replying)
)


class DynamicConfig(flask.Config):
    def __getitem__(self, name: str) -> t.Any:
        return "/dynamic" if name == "SESSION_COOKIE_PATH" else super().__getitem__(name)


class LenientConfig(flask.Config):
    def __missing__(self, name: str) -> t.Any:
        return "lenient"


class LowerConfig(flask.Config):
    def get(self, name: str, default: t.Any = None) -> t.Any:
        return super().get(name.upper(), default)


CONFIG_CLASSES: dict[str, type[flask.Config]] = by_name(flask.Config, DynamicConfig, LenientConfig, LowerConfig)


class OwnRequest(flask.Request):
    """Like Flask's, until it is patched."""


class CookieAddingRequest(flask.Request):
    @property
    def cookies(self) -> t.Any:
        calls.append("request.cookies")
        return {**super().cookies, "added": "1"}


class CookielessRequest(flask.Request):
    cookies: t.Any = {}  # noqa: RUF012


class HeaderChangingRequest(flask.Request):
    @property
    def headers(self) -> t.Any:
        return Headers([("Cookie", "first=1"), ("Cookie", self.environ.get("HTTP_COOKIE", ""))])

    @headers.setter
    def headers(self, value: t.Any) -> None:
        pass


class InitHeadersRequest(flask.Request):
    """Changes its headers once, when it is made."""

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers = Headers([("Cookie", "session=from-init")])


class EnvironChangingRequest(flask.Request):
    def __init__(self, environ: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(environ, *args, **kwargs)
        environ["HTTP_COOKIE"] = "early=1; " + environ.get("HTTP_COOKIE", "")


class OtherEnvironRequest(flask.Request):
    """Its headers are of another environ than its own."""

    def __init__(self, environ: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(environ, *args, **kwargs)
        self.headers = EnvironHeaders({**environ, "HTTP_COOKIE": "other=1"})


class CookiesOfInstanceRequest(flask.Request):
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        vars(self)["cookies"] = {"session": "from-the-instance"}


class MutableRequest(flask.Request):
    dict_storage_class = MultiDict  # type: ignore[assignment]


class LastWins(dict):  # type: ignore[type-arg]
    """Of cookies of one name the last."""


class LastWinsRequest(flask.Request):
    dict_storage_class = LastWins  # type: ignore[assignment]


class EarlyReadingRequest(flask.Request):
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        with contextlib.suppress(UnicodeError):
            calls.append(str(len(self.cookies)))


REQUEST_CLASSES: dict[str, type[flask.Request]] = by_name(
    *(flask.Request, OwnRequest, CookieAddingRequest, CookielessRequest, HeaderChangingRequest, InitHeadersRequest),
    *(EnvironChangingRequest, OtherEnvironRequest, CookiesOfInstanceRequest, MutableRequest, LastWinsRequest),
    EarlyReadingRequest,
)


class OwnResponse(flask.Response):
    """Like Flask's, until it is patched."""


class CookieSettingResponse(flask.Response):
    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        calls.append(observed_call("set_cookie", args, kwargs))
        super().set_cookie(*args, **kwargs)
        self.headers["X-Cookie-Set"] = "1"


class CookieDeletingResponse(flask.Response):
    def delete_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        calls.append(observed_call("delete_cookie", args, kwargs))
        super().delete_cookie(*args, **kwargs)


class OwnVaryResponse(flask.Response):
    @property
    def vary(self) -> t.Any:
        calls.append("vary")
        return super().vary


class VarySetResponse(flask.Response):
    """Its Vary is a set that nobody sends."""

    @property
    def vary(self) -> t.Any:
        return set()


class OwnHeadersResponse(flask.Response):
    @property
    def headers(self) -> t.Any:
        return self._headers

    @headers.setter
    def headers(self, value: t.Any) -> None:
        self._headers = WatchedHeaders(value)


class SmallCookieResponse(flask.Response):
    max_cookie_size = 60


class FailingSizeResponse(flask.Response):
    @property
    def max_cookie_size(self) -> int:  # type: ignore[override]
        raise LookupError("max_cookie_size")


class WatchingResponse(flask.Response):
    def __getattribute__(self, name: str) -> t.Any:
        if name in ("set_cookie", "delete_cookie", "vary"):
            calls.append(name)
        return super().__getattribute__(name)


class OwnDefaultsResponse(flask.Response):
    default_mimetype = "text/x-own"
    default_status = 202

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers["Vary"] = "Accept"


RESPONSE_CLASSES: dict[str, t.Any] = by_name(
    *(flask.Response, OwnResponse, CookieSettingResponse, CookieDeletingResponse, OwnVaryResponse, VarySetResponse),
    *(OwnHeadersResponse, SmallCookieResponse, FailingSizeResponse, WatchingResponse, OwnDefaultsResponse),
)
RESPONSE_CLASSES["Werkzeug's"] = werkzeug.Response
