"""One scenario on Flask's session interface and on ours: how to set it up, and all that can be seen of it."""

from __future__ import annotations

import base64
import dataclasses
import inspect
import logging
import os
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

import flask
import itsdangerous
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin

from flask_fastsession import FastSession
from flask_fastsession import FastSessionInterface
from flask_fastsession import signing
from tests.encryption import translation
from tests.recorded import recorded_warnings

Interface = SecureCookieSessionInterface
Scenario = Callable[[type[Interface]], object]
View = Callable[[t.Any], object]

#: With CONTRACT=encrypted in the environment, ours encrypts; cookies are translated on their way in and out.
IS_ENCRYPTED = os.environ.get("CONTRACT") == "encrypted"
OURS = translation.EncryptedInterface if IS_ENCRYPTED else FastSessionInterface

INTERFACES: tuple[type[Interface], ...] = (SecureCookieSessionInterface, OURS)

SECRET_KEY = "a secret key for tests"
NOW = 1_700_000_000

# What of ours stands for which class of stock. Their names are all that may tell them apart.
_STANDS_FOR: dict[type, type] = {
    FastSession: SecureCookieSession,
    FastSessionInterface: SecureCookieSessionInterface,
    signing.URLSafeTimedSerializer: itsdangerous.URLSafeTimedSerializer,
    translation.EncryptedInterface: SecureCookieSessionInterface,
    signing.EncryptedSerializer: itsdangerous.URLSafeTimedSerializer,
    **(translation.KINDS_OF_REFUSAL if IS_ENCRYPTED else {}),
}


# --- Seeing ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call came to."""

    value: t.Any = None
    error: Exception | None = None


def outcome_of(call: Callable[..., object], *args: t.Any, **kwargs: t.Any) -> Outcome:
    try:
        return Outcome(value=call(*args, **kwargs))
    except Exception as error:
        return Outcome(error=error)


def exactly(value: t.Any) -> object:
    """Turn a value into one that equals only its like: the same types all the way down, the same order of keys."""
    kind = name_of(type(value))
    if isinstance(value, BaseException):
        return kind, _evidence(value)
    if isinstance(value, dict):
        items = [(exactly(key), exactly(item)) for key, item in dict.items(value)]
        return kind, items, _marks(value)
    if isinstance(value, list | tuple):
        return kind, [exactly(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return kind, [exactly(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, type):
        return kind, name_of(value)
    return kind, repr(value)


def name_of(cls: type) -> str:
    cls = _STANDS_FOR.get(cls, cls)
    return f"{cls.__module__}.{cls.__qualname__}"


def _evidence(error: BaseException) -> object:
    """All that an exception carries."""
    if isinstance(error, RecursionError):
        # Its text names whichever C function the stack happened to end in.
        return None
    if IS_ENCRYPTED and isinstance(error, itsdangerous.BadData):
        return translation.evidence_of(error)
    return str(error), exactly(error.args), exactly(vars(error)), exactly(error.__cause__)


def _marks(value: object) -> object:
    return (value.new, value.modified, value.accessed) if isinstance(value, SessionMixin) else None


# --- Setting up -----------------------------------------------------------------------------------------------------


def make_app(interface: Interface, flask_class: type[flask.Flask] = flask.Flask, **config: t.Any) -> flask.Flask:
    """An app with one view, at ``/``, for :func:`exchange` to fill in."""
    app = flask_class(__name__, static_folder=None)
    app.config.update({"SECRET_KEY": SECRET_KEY, **config})
    app.session_interface = interface
    app.add_url_rule("/", endpoint="view")
    return app


def serializer_of(app: flask.Flask) -> t.Any:
    serializer: t.Any = t.cast(Interface, app.session_interface).get_signing_serializer(app)
    if isinstance(serializer, signing.EncryptedSerializer):
        return translation.Translating(app, serializer)
    return serializer


def dumps(interface_class: type[Interface], value: object, **config: t.Any) -> t.Any:
    app = make_app(interface_class(), **config)
    with app.app_context():
        return serializer_of(app).dumps(value)


def loads(interface_class: type[Interface], token: t.Any, **options: t.Any) -> t.Any:
    app = make_app(interface_class())
    with app.app_context():
        return serializer_of(app).loads(token, **options)


@contextmanager
def borrowed_tags() -> Iterator[TaggedJSONSerializer]:
    """The one serializer that all interfaces share, for tags to be registered on and forgotten afterwards."""
    serializer = Interface.serializer
    tags, order = dict(serializer.tags), list(serializer.order)
    try:
        yield serializer
    finally:
        serializer.tags, serializer.order = tags, order


def sealed(payload: bytes, timestamp: bytes | None = None) -> str:
    """A validly signed token of any payload whatsoever, and of any base64 of a timestamp."""
    signed = payload + b"." + (encoded_second(NOW) if timestamp is None else timestamp)
    return signed_by_stock(signed).decode("ascii")


def signed_by_stock(signed: bytes) -> bytes:
    signer = serializer_of(make_app(SecureCookieSessionInterface())).make_signer()
    return t.cast(bytes, signed + signer.sep + signer.get_signature(signed))


def sealed_json(text: str | bytes) -> str:
    """A validly signed token of a JSON text."""
    return sealed(encoded(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text))


def encoded(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def encoded_second(second: int) -> bytes:
    return encoded(second.to_bytes((second.bit_length() + 7) // 8, "big"))


# --- Requests -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a client, the view and the log saw of one request."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    seen: list[t.Any]
    logged: list[object]
    warned: list[object]

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    @property
    def cookies(self) -> list[str]:
        return self.all("Set-Cookie")

    @property
    def token(self) -> str:
        """The session's token out of the one cookie that was set."""
        (cookie,) = self.cookies
        return cookie.partition("=")[2].partition(";")[0]


def exchange(app: flask.Flask, view: View, cookie: str | None = None, **options: t.Any) -> Reply:
    """Have ``view`` answer a request, given the session; ``cookie`` is the token that the session comes in.

    What the view returns is recorded, and is the response if it is one. Further options go to the test client.
    """
    seen: list[t.Any] = []

    def respond() -> flask.typing.ResponseReturnValue:
        value = view(flask.session)
        if isinstance(value, flask.wrappers.Response):
            return value
        seen.append(value)
        return "ok"

    app.view_functions["view"] = respond
    if cookie is not None:
        name = app.config["SESSION_COOKIE_NAME"]
        options = {"headers": {"Cookie": f"{name}={cookie}"}, **options}
    with _listening(app) as logged, recorded_warnings() as warned:
        response = app.test_client(use_cookies=False).open("/", **options)
    messages: list[object] = [(warning.category, str(warning.message)) for warning in warned]
    return Reply(response.status, list(response.headers), response.data, seen, logged, messages)


def process_response(app: flask.Flask, response: flask.Response) -> flask.Response:
    """Call the app's method of this name during a request. From Flask 3.2 on, it takes the request's context first."""
    process: Callable[..., flask.Response] = app.process_response
    if "ctx" in inspect.signature(process).parameters:
        return process(t.cast(t.Any, flask.globals.app_ctx)._get_current_object(), response)
    return process(response)


@contextmanager
def _listening(app: flask.Flask) -> Iterator[list[object]]:
    handler = _Listener()
    app.logger.addHandler(handler)
    try:
        yield handler.logged
    finally:
        app.logger.removeHandler(handler)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.logged: list[object] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append((record.getMessage(), record.exc_info and record.exc_info[1]))


def snapshot(session: SessionMixin) -> object:
    """A view that only looks, and gives what it saw."""
    return dict(session), session.modified, session.new, session.permanent


def store(**values: t.Any) -> View:
    """A view that puts values into the session."""
    return lambda session: session.update(values)


def touch_nothing(session: SessionMixin) -> None:
    """A view that leaves the session alone."""
