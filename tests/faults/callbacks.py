"""Places at which code of an app runs while a session is opened or saved: each has the app call a function there."""

from __future__ import annotations

import hashlib
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from unittest.mock import patch

import flask
import flask.sessions
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.sessions import SecureCookieSession

from tests.contract.parity import Interface
from tests.contract.parity import borrowed_tags

Callback = Callable[[], object]


@contextmanager
def in_html(app: flask.Flask, call: Callback) -> Iterator[object]:
    class Markup:
        def __html__(self) -> str:
            call()
            return "<b>"

    yield Markup()


@contextmanager
def in_default(app: flask.Flask, call: Callback) -> Iterator[object]:
    def default(value: object) -> str:
        call()
        return str(value)

    provider = t.cast(DefaultJSONProvider, app.json)
    with patch.object(provider, "default", default):
        yield Decimal("1.5")


@contextmanager
def in_provider(app: flask.Flask, call: Callback) -> Iterator[object]:
    class Provider(DefaultJSONProvider):
        @property
        def sort_keys(self) -> bool:  # type: ignore[override]
            call()
            return True

    with patch.object(app, "json", Provider(app)):
        yield "plain"


class Point(complex):
    pass


@contextmanager
def with_tag(**methods: Callback) -> Iterator[object]:
    """Register a tag for points, which calls what is given first in each of its methods."""

    def nothing() -> None:
        pass

    class TagPoint(JSONTag):
        key = " p"

        def check(self, value: object) -> bool:
            if isinstance(value, Point):
                methods.get("check", nothing)()
            return isinstance(value, Point)

        def to_json(self, value: Point) -> object:
            methods.get("to_json", nothing)()
            return [value.real, value.imag]

        def to_python(self, value: list[float]) -> Point:
            methods.get("to_python", nothing)()
            return Point(*value)

    with borrowed_tags() as serializer:
        serializer.register(TagPoint, index=0)
        yield Point(1, 2)


@contextmanager
def in_check(app: flask.Flask, call: Callback) -> Iterator[object]:
    with with_tag(check=call) as value:
        yield value


@contextmanager
def in_to_json(app: flask.Flask, call: Callback) -> Iterator[object]:
    with with_tag(to_json=call) as value:
        yield value


@contextmanager
def in_to_python(app: flask.Flask, call: Callback) -> Iterator[object]:
    with with_tag(to_python=call) as value:
        yield value


@contextmanager
def in_clock(app: flask.Flask, call: Callback) -> Iterator[object]:
    read = time.time

    def clock() -> float:
        call()
        return read()

    with patch.object(time, "time", clock):
        yield "plain"


@contextmanager
def in_date(app: flask.Flask, call: Callback) -> Iterator[object]:
    read: t.Any = flask.sessions.datetime  # type: ignore[attr-defined]

    class Datetime(read):
        @classmethod
        def now(cls, zone: t.Any = None) -> t.Any:
            call()
            return read.now(zone)

    with patch.object(flask.sessions, "datetime", Datetime):
        yield "plain"


@contextmanager
def in_digest(app: flask.Flask, call: Callback) -> Iterator[object]:
    def digest(data: bytes = b"") -> t.Any:
        call()
        return hashlib.sha256(data)

    interface: t.Any = app.session_interface
    interface.digest_method = digest
    try:
        yield "plain"
    finally:
        del interface.digest_method


@contextmanager
def in_session_class(app: flask.Flask, call: Callback) -> Iterator[object]:
    class Session(SecureCookieSession):
        def __init__(self, initial: t.Any = None) -> None:
            call()
            super().__init__(initial)

    interface: t.Any = app.session_interface
    interface.session_class = Session
    try:
        yield "plain"
    finally:
        del interface.session_class


@contextmanager
def in_getter(app: flask.Flask, call: Callback) -> Iterator[object]:
    def get_cookie_path(app: flask.Flask) -> str:
        call()
        return Interface.get_cookie_path(t.cast(Interface, app.session_interface), app)

    interface: t.Any = app.session_interface
    interface.get_cookie_path = get_cookie_path
    try:
        yield "plain"
    finally:
        del interface.get_cookie_path


PLACES = (
    in_html,
    in_default,
    in_provider,
    in_check,
    in_to_json,
    in_to_python,
    in_clock,
    in_date,
    in_digest,
    in_session_class,
    in_getter,
)
