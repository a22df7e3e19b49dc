"""Interfaces: what overridden methods answer, subclasses on top of the interface, attributes set on it."""

from __future__ import annotations

import collections
import datetime
import functools
import hashlib
import json
import typing as t
from collections.abc import Callable
from datetime import timedelta
from datetime import timezone

import flask
import flask.sessions
from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import NullSession
from flask.sessions import SecureCookieSession
from flask.sessions import SessionMixin
from itsdangerous import URLSafeSerializer
from itsdangerous import URLSafeTimedSerializer

from ..codec.odd_types import calls
from ..codec.settings import SERIALIZERS


def stock_answer(stock: Callable[..., t.Any], *args: t.Any) -> t.Any:
    return stock(*args)


def error_answer(stock: Callable[..., t.Any], *args: t.Any) -> t.NoReturn:
    raise LookupError("in a hook")


def answer(value: t.Any) -> Callable[..., t.Any]:
    return lambda stock, *args: value


def today() -> datetime.datetime:
    """Looked up as stock does, so that it is stopped when stock's is."""
    return t.cast(t.Any, flask.sessions).datetime.now(timezone.utc)  # type: ignore[no-any-return]


class PlainSession(dict, SessionMixin):  # type: ignore[type-arg]
    """The session that Flask's documentation recommends to begin with."""


class ListedSession(collections.UserDict, SessionMixin):  # type: ignore[type-arg]
    """No dict at all."""

    modified = False


def plain_opened(stock: Callable[..., t.Any], app: Flask, request: t.Any) -> t.Any:
    session = stock(app, request)
    return None if session is None else PlainSession(session)


def opened_and_changed(stock: Callable[..., t.Any], app: Flask, request: t.Any) -> t.Any:
    session = stock(app, request)
    if session is not None:
        session["opened"] = session.get("opened", 0) + 1
        session.modified = False
    return session


def saved_twice(stock: Callable[..., t.Any], app: Flask, session: t.Any, response: t.Any) -> None:
    stock(app, session, response)
    stock(app, session, response)


def saved_with_time(stock: Callable[..., t.Any], app: Flask, session: t.Any, response: t.Any) -> None:
    session["saved"] = session.get("saved", 0) + 1
    stock(app, session, response)
    response.headers["X-Saved"] = str(session["saved"])


def saved_if_modified(stock: Callable[..., t.Any], app: Flask, session: t.Any, response: t.Any) -> None:
    if session.modified:
        stock(app, session, response)


def salted(stock: Callable[..., t.Any], app: Flask) -> t.Any:
    serializer = stock(app)
    if serializer is not None:
        serializer.salt = b"own salt"
    return serializer


def itsdangerous_own(stock: Callable[..., t.Any], app: Flask) -> t.Any:
    kwargs = {"key_derivation": "concat", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(app.secret_key or "none", "own", TaggedJSONSerializer(), signer_kwargs=kwargs)


def second_chance(stock: Callable[..., t.Any], app: Flask, session: t.Any) -> t.Any:
    return stock(app, session) or "user" in session


#: What an overriding method may answer, which is given stock's to call.
ANSWERS: dict[str, dict[str, Callable[..., t.Any]]] = {
    "get_cookie_name": {
        "another": answer("own"),
        "by path": lambda stock, app: stock(app) + flask.request.path.strip("/"),
        "odd": answer("né;w"),
        "None": answer(None),
    },
    "get_cookie_domain": {
        "another": answer("own.example"),
        "none": answer(None),
        "by host": lambda stock, app: flask.request.host,
    },
    "get_cookie_path": {
        "another": answer("/own"),
        "none": answer(None),
        "by path": lambda stock, app: flask.request.path,
    },
    "get_cookie_httponly": {"off": answer(False), "on": answer(True), "odd": answer("yes")},
    "get_cookie_secure": {"off": answer(False), "on": answer(True), "odd": answer(1)},
    "get_cookie_samesite": {"lax": answer("lax"), "bad": answer("bad"), "none": answer(None)},
    "get_cookie_partitioned": {"off": answer(False), "on": answer(True), "odd": answer(1)},
    "get_expiration_time": {
        "tomorrow": lambda stock, app, session: today() + timedelta(days=1),
        "in another zone": lambda stock, app, session: today().astimezone(timezone(timedelta(hours=5))),
        "naive": answer(datetime.datetime(2030, 1, 2, 3, 4, 5, 678)),
        "day": answer(datetime.date(2030, 1, 2)),
        "number": answer(1_800_000_000.5),
        "text": answer("Some, day"),
        "never": answer(None),
        "zero": answer(0),
        "odd": answer([]),
    },
    "should_set_cookie": {"always": answer(True), "never": answer(False), "odd": answer("yes"), "or": second_chance},
    "is_null_session": {"always": answer(True), "never": answer(False)},
    "make_null_session": {
        "empty": lambda stock, app: SecureCookieSession(),
        "plain": lambda stock, app: PlainSession(),
    },
    "open_session": {
        "none": answer(None),
        "plain": plain_opened,
        "changed": opened_and_changed,
        "twice": lambda stock, app, request: (stock(app, request), stock(app, request))[1],
        "empty": lambda stock, app, request: PlainSession(),
    },
    "save_session": {
        "skip": answer(None),
        "twice": saved_twice,
        "with time": saved_with_time,
        "if modified": saved_if_modified,
        "elsewhere": lambda stock, app, session, response: stock(app, session, app.response_class()),
        "as a dict": lambda stock, app, session, response: stock(app, PlainSession(session), response),
    },
    "get_signing_serializer": {
        "own salt": salted,
        "itsdangerous's": itsdangerous_own,
        "without time": lambda stock, app: URLSafeSerializer(app.secret_key, salt="own"),
        "none": answer(None),
        "number": answer(5),
    },
}
for _answers in ANSWERS.values():
    _answers["stock's"] = stock_answer
    _answers["error"] = error_answer


def overridden(hook: str, answer: Callable[..., t.Any]) -> Callable[[t.Any], t.Any]:
    """A subclass with this method."""

    def layer(base: t.Any) -> t.Any:
        def method(self: t.Any, *args: t.Any) -> t.Any:
            calls.append(hook)
            return answer(getattr(super(layered, self), hook), *args)

        layered = type(f"With_{hook}", (base,), {hook: method})
        return layered

    return layer


def with_attributes(**attributes: t.Any) -> Callable[[t.Any], t.Any]:
    return lambda base: type("WithAttributes", (base,), attributes)


def with_session(**attributes: t.Any) -> Callable[[t.Any], t.Any]:
    """The interface with a subclass of its own session class."""

    def layer(base: t.Any) -> t.Any:
        inherited = base.session_class if isinstance(base.session_class, type) else SecureCookieSession
        return type("WithSession", (base,), {"session_class": type("OwnSession", (inherited,), attributes)})

    return layer


def watching(base: t.Any) -> t.Any:
    """Notes whatever is looked up on it."""

    class Watching(base):
        def __getattribute__(self, name: str) -> t.Any:
            if name.startswith(("get_", "should_", "open_", "save_", "is_", "make_")):
                calls.append(name)
            return super().__getattribute__(name)

    return Watching


def looking_up(base: t.Any) -> t.Any:
    """Has its hooks from elsewhere."""

    class LookingUp(base):
        def __getattribute__(self, name: str) -> t.Any:
            if name == "get_cookie_path":
                return lambda app: "/looked-up"
            return super().__getattribute__(name)

    return LookingUp


class NotedSession(SecureCookieSession):
    """Does something of its own when it is made."""

    def __init__(self, *args: t.Any) -> None:
        calls.append(f"session of {len(args)}")
        super().__init__(*args)


def note_access(self: t.Any, name: str) -> t.Any:
    if name in ("modified", "accessed", "permanent"):
        calls.append(name)
    return super(SecureCookieSession, self).__getattribute__(name)


SESSION_ATTRIBUTES: dict[str, dict[str, t.Any]] = {
    "like Flask's": {},
    "always modified": {"modified": True},
    "always permanent": {"permanent": True},
    "permanent by user": {"permanent": property(lambda self: "user" in self, lambda self, value: None)},
    "never accessed": {"accessed": property(lambda self: False, lambda self, value: None)},
    "modified computed": {
        "modified": property(lambda self: "user" in self, lambda self, value: calls.append("modified"))
    },
    "never empty": {"__bool__": lambda self: True},
    "ever empty": {"__bool__": lambda self: False},
    "of no length": {"__len__": lambda self: 0},
    "own items": {"items": lambda self: [("own", 1)], "__iter__": lambda self: iter(["user"])},
    "own keys": {"keys": lambda self: ["user"], "__getitem__": lambda self, key: "own"},
    "own get": {"get": lambda self, key, default=None: calls.append(f"get {key}")},
    "new": {"new": True},
    "slots": {"__slots__": ("colour",)},
    "noted": {"__getattribute__": note_access},
}


#: Subclasses of interfaces, made for the base they are given.
LAYERS: dict[str, Callable[[t.Any], t.Any]] = {
    **{f"{hook}: {how}": overridden(hook, made) for hook, ways in ANSWERS.items() for how, made in ways.items()},
    **{f"session {name}": with_session(**attributes) for name, attributes in SESSION_ATTRIBUTES.items()},
    "plain session": with_attributes(session_class=PlainSession),
    "session no dict": with_attributes(session_class=ListedSession),
    "session of Flask": with_attributes(session_class=SecureCookieSession),
    "noted session": with_attributes(session_class=NotedSession),
    "session by function": with_attributes(session_class=staticmethod(lambda *args: SecureCookieSession(*args))),
    "null session": with_attributes(null_session_class=type("OwnNull", (NullSession,), {})),
    "all sessions null": with_attributes(null_session_class=SecureCookieSession),
    "salt": with_attributes(salt="own salt"),
    "salt of bytes": with_attributes(salt=b"\xff"),
    "no salt": with_attributes(salt=None),
    "sha512": with_attributes(digest_method=staticmethod(hashlib.sha512)),
    "bound digest": with_attributes(digest_method=lambda self, data=b"": hashlib.sha256(data)),
    "md5": with_attributes(digest_method=staticmethod(hashlib.md5)),
    "concat": with_attributes(key_derivation="concat"),
    "no derivation": with_attributes(key_derivation="none"),
    "unknown derivation": with_attributes(key_derivation="unknown"),
    "json": with_attributes(serializer=json),
    "more tags": with_attributes(serializer=SERIALIZERS["one more tag"]),
    "bytes": with_attributes(serializer=SERIALIZERS["bytes"]),
    "like Flask's": with_attributes(serializer=SERIALIZERS["like Flask's"]),
    "static path": with_attributes(get_cookie_path=staticmethod(lambda app: "/static")),
    "class path": with_attributes(get_cookie_path=classmethod(lambda cls, app: "/class")),
    "path by property": with_attributes(get_cookie_path=property(lambda self: lambda app: "/property")),
    "nothing of its own": with_attributes(),
    "own init": with_attributes(__init__=lambda self: None),
    "watching": watching,
    "looking up": looking_up,
}

#: What is set on an interface while it is in use.
ATTRIBUTES: dict[str, tuple[str, t.Any]] = {
    **{
        f"{hook}: {how}": (hook, functools.partial(made, lambda *args: None))
        for hook, ways in ANSWERS.items()
        for how, made in ways.items()
        if how not in ("stock's", "by path")
    },
    "salt": ("salt", "another salt"),
    "salt of bytes": ("salt", b"cookie-session"),
    "sha256": ("digest_method", hashlib.sha256),
    "sha1": ("digest_method", hashlib.sha1),
    "digest by name": ("digest_method", "sha1"),
    "concat": ("key_derivation", "concat"),
    "django-concat": ("key_derivation", None),
    "json": ("serializer", json),
    "more tags": ("serializer", SERIALIZERS["one more tag"]),
    "plain session": ("session_class", PlainSession),
    "session of Flask": ("session_class", SecureCookieSession),
    "noted session": ("session_class", NotedSession),
    "null session": ("null_session_class", SecureCookieSession),
    "colour": ("colour", "red"),
}
