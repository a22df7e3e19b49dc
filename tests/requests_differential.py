"""Random requests to two apps, one with stock's sessions, one with ours: the same responses, and the same in the views.

::

    python -m tests.requests_differential --cases 2000 --seed 1

A case is a sequence of ten requests to one or two apps that share an interface, with changes to all of them in between.
Each depends on nothing but the seed and its number: ``--only NUMBER`` repeats one. A case that differs is reduced to
what the difference needs, and printed as the Python that :func:`difference` takes.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import contextvars
import copy
import dataclasses
import datetime
import functools
import hashlib
import inspect
import io
import itertools
import json
import logging
import random
import re
import secrets
import sys
import time
import types
import typing as t
import warnings
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from datetime import timedelta
from datetime import timezone
from pathlib import Path
from unittest import mock
from uuid import UUID

import flask
import flask.sessions
import werkzeug
import werkzeug.exceptions
from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import NullSession
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from itsdangerous import TimestampSigner
from itsdangerous import URLSafeSerializer
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.encoding import int_to_bytes
from markupsafe import Markup
from werkzeug.datastructures import CallbackDict
from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import Headers
from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_cookie
from werkzeug.local import LocalProxy
from werkzeug.sansio.response import Response as SansIOResponse

from flask_fastsession import FastSessionInterface

try:
    import differential
except ModuleNotFoundError:
    # Run as a module of the directory above, not by pytest.
    from tests import differential  # type: ignore[import-not-found,no-redef]

APP_NAME = "requests_differential"
HERE = str(Path(__file__).parent)
NOW = differential.NOW

#: How many requests make a case: enough for keys to be rotated, for cookies to grow old, and for what was remembered of
#: earlier requests to be wrong.
REQUESTS = 10

#: How much a difference is worth to be reduced.
MOST_TRIES = 600

#: The hooks that have run on one side during a request.
calls = differential.calls

# --- What a case consists of ----------------------------------------------------------------------------------------


class Plan:
    """A part of a case: plain data, printed as Python without what is left at its default."""

    def __repr__(self) -> str:
        values = {
            each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(t.cast(t.Any, self))
        }
        given = [f"{name}={value!r}" for name, (value, default) in values.items() if value != default]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Change(Plan):
    """A change to an app, to the interface, to a class of Flask, or of the clock; ``kind`` is one of CHANGES."""

    kind: str
    name: str = ""
    value: t.Any = None


@dataclass(frozen=True, repr=False)
class Action(Plan):
    """Something that a view does with the session. What it raises is caught unless it ``escapes``."""

    name: str
    seed: int = 0
    escapes: bool = False


@dataclass(frozen=True, repr=False)
class Reply(Plan):
    """What a view returns: one of REPLIES, with further headers, and with some of TWEAKS."""

    kind: str = "text"
    headers: tuple[str, ...] = ()
    tweaks: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Hand(Plan):
    """How ``open_session`` and ``save_session`` are called by hand."""

    app: str = "real"
    request: str = "fake"
    session: str = "as it was opened"
    response: str = "fake"
    context: str = "none"


@dataclass(frozen=True, repr=False)
class Step(Plan):
    """A request, or what stands for one.

    The pieces of ``cookie`` make up its header; those in angle brackets stand for others, as FILLERS say.
    """

    way: str = "request"
    app: int = 0
    method: str = "GET"
    path: str = "/"
    before: tuple[Change, ...] = ()
    cookie: tuple[str, ...] | None = ("<name>", "=", "<jar>")
    actions: tuple[Action, ...] = ()
    during: tuple[Change, ...] = ()
    reply: Reply = Reply()
    hand: Hand = Hand()
    #: Whether the session is looked at before the view is called, and after it was saved.
    watched: bool = True


@dataclass(frozen=True, repr=False)
class AppPlan(Plan):
    """How an app is made; the names are keys of the tables below."""

    flask_class: str = "Flask"
    config_class: str = "Config"
    request_class: str = "Request"
    response_class: str = "Response"
    provider: str = "Flask's"
    changes: tuple[Change, ...] = ()
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Case(Plan):
    apps: tuple[AppPlan, ...] = (AppPlan(),)
    #: The subclasses on top of the interface, each a key of LAYERS.
    interface: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    #: What Flask finds as ``datetime``; the real one cannot be stopped.
    stopped_datetime: bool = True
    warnings: t.Literal["always", "error"] = "always"


# --- The clock ------------------------------------------------------------------------------------------------------


class Clock:
    """The time on both sides, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = NOW
        #: What ``time.time`` says instead.
        self.says: t.Any = None

    def time(self) -> t.Any:
        return self.now if self.says is None else self.says

    @contextlib.contextmanager
    def stopped(self, also_datetime: bool) -> Iterator[None]:
        clock = self

        class StoppedDatetime(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> t.Any:
                return cls.fromtimestamp(clock.now, tz)

        stopped = StoppedDatetime if also_datetime else datetime.datetime
        with mock.patch.object(time, "time", clock.time), mock.patch.object(flask.sessions, "datetime", stopped):
            yield


# --- What is observed -----------------------------------------------------------------------------------------------

LEAVES = (str, int, float, bool, bytes, type(None), UUID, Markup, timedelta, type)
BRACKETS = {dict: ("{", "}"), list: ("[", "]"), tuple: ("(", ")")}


def observed(value: t.Any) -> str:
    """All that matters of a value, as a text that equals only that of its like."""
    kind = type(value)
    if issubclass(kind, BaseException):
        return observed_error(value)
    if kind in LEAVES or issubclass(kind, datetime.date):
        return impersonal(repr(value))
    for base, (opening, closing) in BRACKETS.items():
        if issubclass(kind, base):
            items = dict.items(value) if base is dict else value
            inner = ", ".join(
                f"{observed(item[0])}: {observed(item[1])}" if base is dict else observed(item) for item in items
            )
            return ("" if kind is base else family(kind)) + opening + inner + closing
    return f"<{family(kind)}>"


def observed_error(error: BaseException) -> str:
    # Where the stack ends depends on the frames that lie on it, and the wording on where it ends.
    words = "" if isinstance(error, RecursionError) else impersonal(str(error))
    cause = f" from {type(error.__cause__).__name__}" if error.__cause__ else ""
    return f"{type(error).__name__}({words!r}{observed(vars(error))}{cause})"


def family(kind: type) -> str:
    """The classes that a class consists of, but for those that only ours has."""
    names = [base.__qualname__ for base in kind.__mro__ if not base.__module__.startswith("flask_fastsession")]
    return " < ".join(names[:5] if issubclass(kind, SessionMixin) else names[:1])


def impersonal(text: str) -> str:
    """A text without addresses, and without the names that tell ours from stock."""
    return re.sub("0x[0-9a-f]+", "0x", text).replace("FastSession", "SecureCookieSession")


def observed_call(name: str, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> str:
    expires = kwargs.get("expires")
    if type(expires) is datetime.datetime:
        # Of the real clock, in which both sides have only the second in common.
        kwargs = {**kwargs, "expires": expires.replace(microsecond=0)}
    return impersonal(f"{name} {args} {kwargs}")


def contents(session: t.Any) -> str:
    try:
        return observed(dict(session))
    except Exception as error:
        return observed(error)


def snapshot(session: t.Any) -> str:
    """All that a view can learn of its session."""
    marks = {name: getattr(session, name, "nothing") for name in ("modified", "accessed", "new", "permanent")}
    return f"{family(type(session))} {contents(session)} {observed(marks)}"


@dataclass
class Seen:
    """All that came of a request on one side."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: str = ""
    views: list[t.Any] = field(default_factory=list)
    warned: list[t.Any] = field(default_factory=list)
    logged: list[t.Any] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    #: The changes that could not be made.
    refused: list[t.Any] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """How it went, in a word."""
        return self.status or self.error.partition("(")[0] or "by hand"

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> None:
        self.status = status
        self.headers = list(headers)


def diverging(stock: Seen, ours: Seen) -> str:
    """The two sides of whatever differs, or nothing."""
    lines = []
    for each in dataclasses.fields(Seen):
        sides = [getattr(seen, each.name) for seen in (stock, ours)]
        for values in itertools.zip_longest(*sides) if isinstance(sides[0], list) else [sides]:
            if observed(values[0]) != observed(values[1]):
                lines += [f"    {each.name}:", f"        stock: {values[0]!r}", f"        ours:  {values[1]!r}"]
    return "\n".join(lines)


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.logged: list[t.Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append((impersonal(record.getMessage()), observed(record.exc_info and record.exc_info[1])))


# --- Sessions in views ----------------------------------------------------------------------------------------------

Session = t.Any
Act = Callable[[Session, random.Random], t.Any]


class Unsupported:
    """Of a type that no session can hold."""


def fill(session: Session, rng: random.Random) -> None:
    session.update(differential.mapping(rng, differential.PLAIN, 2))


def fill_oddly(session: Session, rng: random.Random) -> None:
    session.update(differential.mapping(rng, differential.ODD, 2))


def fill_with_tags(session: Session, rng: random.Random) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc)
    session["tagged"] = {
        "moment": moment,
        "tuple": (1, ("two",)),
        "bytes": rng.randbytes(5),
        "uuid": UUID(int=rng.getrandbits(128)),
        "markup": Markup("<b>"),
        "like a tag": {" t": [1]},
    }


def refill(session: Session, rng: random.Random) -> None:
    """What was loaded is put in again."""
    for key, value in dict(session).items():
        session[key] = copy.deepcopy(value)


def delete_one_by_one(session: Session, rng: random.Random) -> None:
    for key in list(session):
        del session[key]


def write_and_empty(session: Session, rng: random.Random) -> None:
    session["short-lived"] = 1
    del session["short-lived"]


def change_nested(session: Session, rng: random.Random) -> None:
    session.get("cart", []).append(rng.randrange(100))


def change_nested_and_mark(session: Session, rng: random.Random) -> None:
    change_nested(session, rng)
    session.modified = True


def set_permanent(value: bool) -> Act:
    return lambda session, rng: setattr(session, "permanent", value)


def mark(name: str, *values: t.Any) -> Act:
    return lambda session, rng: setattr(session, name, rng.choice(values))


def see_cookies(session: Session, rng: random.Random) -> t.Any:
    cookies = flask.request.cookies
    names = {*cookies, "session", "missing"}
    return [type(cookies).__name__, list(cookies.items()), [(name, cookies.get(name)) for name in sorted(names)]]


def interface() -> SecureCookieSessionInterface:
    return t.cast(SecureCookieSessionInterface, flask.current_app.session_interface)


def save_now(session: Session, rng: random.Random) -> t.Any:
    response = flask.current_app.response_class()
    interface().save_session(flask.current_app, session, response)
    return list(response.headers)


def open_again(session: Session, rng: random.Random) -> t.Any:
    return snapshot(interface().open_session(flask.current_app, flask.request))


def use_serializer(session: Session, rng: random.Random) -> t.Any:
    serializer = interface().get_signing_serializer(flask.current_app)
    token = serializer.dumps(dict(session))  # type: ignore[union-attr]
    return token, observed(serializer.loads(token, max_age=1, return_timestamp=True))  # type: ignore[union-attr]


def copies(session: Session, rng: random.Random) -> t.Any:
    real = session._get_current_object() if type(session) is LocalProxy else session
    return [snapshot(copied) for copied in (session.copy(), copy.copy(real), copy.deepcopy(real), session | {"a": 1})]


def combine(session: Session, rng: random.Random) -> t.Any:
    """``session |= ...`` as a view spells it changes the session's own dict."""
    session |= rng.choice(({}, {"combined": 1}))
    return snapshot(session)


ACTIONS: dict[str, Act] = {
    "read": lambda session, rng: session.get("user"),
    "look": lambda session, rng: snapshot(session),
    "cookies": see_cookies,
    "length": lambda session, rng: (len(session), bool(session), "user" in session),
    "iterate": lambda session, rng: [list(session), list(session.keys()), contents(session.items())],
    "compare": lambda session, rng: (session == {}, session == {"user": "ada"}),
    "read missing": lambda session, rng: session["missing"],
    "write": lambda session, rng: session.__setitem__(rng.choice(differential.WORDS), rng.randrange(100)),
    "log in": lambda session, rng: session.update(user="ada", _fresh=True, _id="f" * 128, csrf_token="0" * 40),
    "fill": fill,
    "fill oddly": fill_oddly,
    "fill with tags": fill_with_tags,
    "new cart": lambda session, rng: session.__setitem__("cart", [1, {"n": (2,)}]),
    "change nested": change_nested,
    "change nested and mark": change_nested_and_mark,
    "refill": refill,
    "write and empty": write_and_empty,
    "delete one by one": delete_one_by_one,
    "delete": lambda session, rng: session.__delitem__("user"),
    "clear": lambda session, rng: session.clear(),
    "pop": lambda session, rng: session.pop("user"),
    "pop missing": lambda session, rng: session.pop("missing", None),
    "popitem": lambda session, rng: observed(session.popitem()),
    "setdefault": lambda session, rng: observed(session.setdefault("user", "bob")),
    "update with nothing": lambda session, rng: session.update(),
    "combine": combine,
    "be permanent": set_permanent(True),
    "be not permanent": set_permanent(False),
    "odd permanent": lambda session, rng: session.__setitem__(
        "_permanent", rng.choice((0, 1, "no", "", None, [], [0]))
    ),
    "mark modified": mark("modified", True),
    "mark unmodified": mark("modified", False),
    "mark oddly": mark("modified", 1, "yes", None, 0, []),
    "mark accessed": mark("accessed", True, False, 1, None),
    "mark new": mark("new", True),
    "attribute": lambda session, rng: setattr(session, "colour", "red"),
    "other attributes": lambda session, rng: sorted(set(vars(session)) - {"on_update", "modified", "accessed", "new"}),
    "drop mark": lambda session, rng: delattr(session, "modified"),
    "no on_update": mark("on_update", None),
    "own on_update": lambda session, rng: setattr(session, "on_update", lambda changed: calls.append("on_update")),
    "own get": lambda session, rng: setattr(session, "get", lambda key, default=None: True),
    "flash": lambda session, rng: flask.flash("mess<a>ge", "warning"),
    "flashed": lambda session, rng: flask.get_flashed_messages(with_categories=True),
    "copy": copies,
    "big": lambda session, rng: session.__setitem__("big", "".join(rng.choices(differential.LETTERS, k=6000))),
    "unsupported": lambda session, rng: session.__setitem__(
        "x", rng.choice(({1}, Unsupported(), timedelta(1), object))
    ),
    "circular": lambda session, rng: session.__setitem__("circle", differential.circular(rng)),
    "save now": save_now,
    "open again": open_again,
    "serialize": use_serializer,
    "render": lambda session, rng: flask.render_template_string("{{ session.user }}{{ session.modified }}"),
}

USUAL_ACTIONS = (
    *(
        "read",
        "look",
        "look",
        "length",
        "write",
        "write",
        "log in",
        "log in",
        "fill",
        "fill with tags",
        "new cart",
        "cookies",
    ),
    *(
        "change nested",
        "change nested and mark",
        "refill",
        "delete",
        "clear",
        "pop missing",
        "setdefault",
        "be permanent",
    ),
    *("be permanent", "be not permanent", "flash", "flashed", "mark modified"),
)

# --- What views return ----------------------------------------------------------------------------------------------


class Handled(Exception):
    """Has a handler, if the app has one at all."""


def fail(error: BaseException) -> t.NoReturn:
    raise error


#: What views have streamed; of a response that nobody reads to its end, the request's context stays behind.
streams: list[t.Any] = []


def streamed(*, in_context: bool = False, write: bool = False, error: Exception | None = None) -> flask.Response:
    def pieces() -> Iterator[str]:
        yield "first "
        if in_context:
            yield contents(flask.session)
        if write:
            flask.session["late"] = 1
        if error is not None:
            raise error

    stream = flask.stream_with_context(pieces()) if in_context or write else pieces()
    streams.append(stream)
    return flask.Response(stream)


def aborted(status: int, *headers: tuple[str, str]) -> t.NoReturn:
    flask.abort(flask.make_response("aborted", status, list(headers)) if headers else status)


REPLIES: dict[str, Callable[[], t.Any]] = {
    "text": lambda: "text",
    "bytes": lambda: b"\xff",
    "json": lambda: {"b": 1, "a": 2},
    "tuple": lambda: ("text", 201, [("X-Tuple", "1"), ("Set-Cookie", "other=1")]),
    "no content": lambda: ("", 204),
    "not modified": lambda: flask.Response(status=304),
    "redirect": lambda: flask.redirect("/elsewhere"),
    "response": lambda: flask.current_app.response_class("text"),
    "Werkzeug's": lambda: werkzeug.Response("text", headers=[("Vary", "Accept")]),
    "WSGI app": lambda: werkzeug.exceptions.Gone(),
    "abort": lambda: aborted(403),
    "abort with headers": lambda: aborted(403, ("Vary", "Accept"), ("Set-Cookie", "other=1")),
    "error": lambda: fail(LookupError("in the view")),
    "handled error": lambda: fail(Handled("in the view")),
    "no error": lambda: fail(differential.Timeout("in the view")),
    "nothing": lambda: None,
    "stream": streamed,
    "stream in context": lambda: streamed(in_context=True),
    "stream that writes": lambda: streamed(write=True),
    "stream that fails": lambda: streamed(error=LookupError("in the stream")),
}

HEADERS = (
    *(
        "Vary: Accept-Encoding",
        "Vary: Cookie",
        "Vary: cookie",
        "Vary: *",
        "Vary: ",
        "Vary:  Accept ,  COOKIE ",
        "Vary: ,",
    ),
    *(
        'Vary: "Cookie"',
        "vary: Accept",
        "VARY: Cookie, Accept",
        "Vary: Origin",
        "Vary: é",
        "Vary: Cookies",
        "Vary: a b",
    ),
    *(
        "Set-Cookie: other=1",
        "Set-Cookie: session=mine; Path=/",
        "set-cookie: a=b",
        "X-First: 1",
        "Content-Type: text/x",
    ),
    *("X-Cookie: Cookie", "Content-Length: 4", "Cache-Control: no-store", "Location: /x"),
)


class WatchedHeaders(Headers):
    """Notes what is added."""

    def add(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        calls.append(f"headers.add {key}")
        super().add(key, value, **kwargs)


def shadow(name: str, and_call: bool) -> Callable[[t.Any], None]:
    """Replaces a method of the one response."""

    def tweak(response: t.Any) -> None:
        stock = getattr(response, name)

        def shadowing(*args: t.Any, **kwargs: t.Any) -> None:
            calls.append(observed_call(name, args, kwargs))
            if and_call:
                stock(*args, **kwargs)

        setattr(response, name, shadowing)

    return tweak


TWEAKS: dict[str, Callable[[t.Any], object]] = {
    "vary read": lambda response: calls.append(str(response.vary)),
    "vary added": lambda response: response.vary.add("Origin"),
    "vary updated": lambda response: response.vary.update(["Accept", "Origin", "cookie"]),
    "vary discarded": lambda response: response.vary.discard("Cookie"),
    "vary cleared": lambda response: response.vary.clear(),
    "vary assigned": lambda response: setattr(response, "vary", ["Accept", "COOKIE"]),
    "vary assigned as text": lambda response: setattr(response, "vary", "Accept, Origin"),
    "set_cookie replaced": shadow("set_cookie", and_call=False),
    "set_cookie wrapped": shadow("set_cookie", and_call=True),
    "delete_cookie replaced": shadow("delete_cookie", and_call=False),
    "delete_cookie wrapped": shadow("delete_cookie", and_call=True),
    "cookie set": lambda response: response.set_cookie("other", "valué", max_age=5, expires=0, secure=True),
    "cookie deleted": lambda response: response.delete_cookie("session"),
    "other cookie deleted": lambda response: response.delete_cookie("other", path="/x"),
    "headers watched": lambda response: setattr(response, "headers", WatchedHeaders(response.headers)),
    "headers anew": lambda response: setattr(response, "headers", Headers([("X-Anew", "1"), ("Vary", "Accept")])),
    "headers a list": lambda response: setattr(response, "headers", []),
    "headers a dict": lambda response: setattr(response, "headers", {}),
    "headers cleared": lambda response: response.headers.clear(),
    "header of a number": lambda response: response.headers.set("X-Number", 5),
    "headers' own add": lambda response: setattr(response.headers, "add", functools.partial(calls.append)),
    "etag": lambda response: response.add_etag(),
    "conditional": lambda response: response.make_conditional(flask.request),
    "attribute": lambda response: setattr(response, "colour", "red"),
    "max_cookie_size": lambda response: setattr(response, "max_cookie_size", 5),
}

# --- Interfaces -----------------------------------------------------------------------------------------------------


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

    class Watching(base):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> t.Any:
            if name.startswith(("get_", "should_", "open_", "save_", "is_", "make_")):
                calls.append(name)
            return super().__getattribute__(name)

    return Watching


def looking_up(base: t.Any) -> t.Any:
    """Has its hooks from elsewhere."""

    class LookingUp(base):  # type: ignore[misc]
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
    "more tags": with_attributes(serializer=differential.SERIALIZERS["one more tag"]),
    "bytes": with_attributes(serializer=differential.SERIALIZERS["bytes"]),
    "like Flask's": with_attributes(serializer=differential.SERIALIZERS["like Flask's"]),
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
    "more tags": ("serializer", differential.SERIALIZERS["one more tag"]),
    "plain session": ("session_class", PlainSession),
    "session of Flask": ("session_class", SecureCookieSession),
    "noted session": ("session_class", NotedSession),
    "null session": ("null_session_class", SecureCookieSession),
    "colour": ("colour", "red"),
}

# --- Apps -----------------------------------------------------------------------------------------------------------


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


def reads_headers(app: Flask) -> None:
    @app.after_request
    def read(response: t.Any) -> t.Any:
        calls.append(f"after {list(response.headers)}")
        return response


def touches_session_after(app: Flask) -> None:
    @app.after_request
    def touch(response: t.Any) -> t.Any:
        flask.session["after"] = flask.session.get("after", 0) + 1
        return response


def saves_session_itself(app: Flask) -> None:
    @app.after_request
    def save(response: t.Any) -> t.Any:
        interface().save_session(app, t.cast(t.Any, flask.session), response)
        return response


def answers_anew(app: Flask) -> None:
    @app.after_request
    def anew(response: t.Any) -> t.Any:
        return app.response_class(b"anew", headers=list(response.headers))


def varies(app: Flask) -> None:
    @app.after_request
    def vary(response: t.Any) -> t.Any:
        response.vary.add("Accept-Language")
        return response


def sets_a_cookie(app: Flask) -> None:
    @app.after_request
    def set_cookie(response: t.Any) -> t.Any:
        response.set_cookie("other", "1")
        return response


def reads_session_before(app: Flask) -> None:
    @app.before_request
    def read() -> None:
        flask.g.user = flask.session.get("user")


def reads_cookies_before(app: Flask) -> None:
    @app.before_request
    def read() -> None:
        flask.g.cookies = dict(flask.request.cookies)


def answers_before(app: Flask) -> None:
    @app.before_request
    def answer() -> str | None:
        return "early" if "user" in flask.request.cookies else None


def handles_errors(app: Flask) -> None:
    @app.errorhandler(Handled)
    @app.errorhandler(404)
    def handle(error: Exception) -> t.Any:
        flask.session["error"] = type(error).__name__
        return "handled", 418


def handles_everything(app: Flask) -> None:
    @app.errorhandler(Exception)
    def handle(error: Exception) -> t.Any:
        flask.flash("sorry")
        return "sorry", 503


def logs_out_at_errors(app: Flask) -> None:
    @app.errorhandler(500)
    def handle(error: Exception) -> t.Any:
        flask.session.clear()
        return "logged out", 500


def lets_errors_pass(app: Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True


def shuts_down_session(app: Flask) -> None:
    @app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        flask.session["torn down"] = 1


HANDLERS: dict[str, Callable[[Flask], None]] = by_name(
    *(reads_headers, touches_session_after, saves_session_itself, answers_anew, varies, sets_a_cookie),
    *(reads_session_before, reads_cookies_before, answers_before, handles_errors, handles_everything),
    *(logs_out_at_errors, lets_errors_pass, shuts_down_session),
)

# --- Config ---------------------------------------------------------------------------------------------------------

ODD_FLAGS: tuple[t.Any, ...] = (True, False, 1, 0, None, "yes", "", 1.0, [])

#: What an app may be configured with, and what it should rather not.
USUAL_CONFIG: dict[str, tuple[t.Any, ...]] = {
    "SESSION_COOKIE_NAME": ("session", "session", "sid", "__Host-x", "a_b.c"),
    "SESSION_COOKIE_DOMAIN": (None, "example.org", ".example.org", "example.org:8080", "bücher.example", "localhost"),
    "SESSION_COOKIE_PATH": (None, "/", "/app", "/ä b;c", "/%20"),
    "APPLICATION_ROOT": ("/", "/root"),
    "SESSION_COOKIE_SECURE": (True, False),
    "SESSION_COOKIE_HTTPONLY": (True, False),
    "SESSION_COOKIE_SAMESITE": (None, "Strict", "lax", "Lax", "None"),
    "SESSION_COOKIE_PARTITIONED": (True, False),
    "SESSION_REFRESH_EACH_REQUEST": (True, False),
    "PERMANENT_SESSION_LIFETIME": (3600, timedelta(days=31), timedelta(seconds=90), 60, timedelta(days=365)),
    "MAX_COOKIE_SIZE": (4093, 0, 150),
    "SECRET_KEY": differential.KEYS,
    "SECRET_KEY_FALLBACKS": (None, [], ["old"], ["older", b"old"], ("old",)),
    "PROPAGATE_EXCEPTIONS": (True, False, None),
}
ODD_CONFIG: dict[str, tuple[t.Any, ...]] = {
    "SESSION_COOKIE_NAME": ("", "sess ion", " session", "sessi\xf6n", "a=b", "x;y", 'q"q', "a\r\nb", "\ud800", None, 5),
    "SESSION_COOKIE_DOMAIN": ("", "..a", "a" * 70, "a..b", False, 5, "a\nb", "EXAMPLE.org"),
    "SESSION_COOKIE_PATH": ("", "x", "/\n", "/a\\b", "/\ud800", 5, False, "/flask-fastsession-token", b"/bytes"),
    "APPLICATION_ROOT": (None, "", "x", 5),
    "SESSION_COOKIE_SECURE": ODD_FLAGS,
    "SESSION_COOKIE_HTTPONLY": ODD_FLAGS,
    "SESSION_COOKIE_SAMESITE": ("bad", "", "STRICT", 5, False, "laX"),
    "SESSION_COOKIE_PARTITIONED": ODD_FLAGS,
    "SESSION_REFRESH_EACH_REQUEST": ODD_FLAGS,
    "PERMANENT_SESSION_LIFETIME": (
        *(0, -1, 1.5, 10**12, "5", None, True, timedelta(0), timedelta(seconds=-90), timedelta.max, timedelta.min),
        *(timedelta(seconds=1.5), timedelta(microseconds=-1), timedelta(days=3_000_000)),
    ),
    "MAX_COOKIE_SIZE": (-1, None, 10, 1.5, "5", True),
    "SECRET_KEY": differential.ODD_KEY_VALUES,
    "SECRET_KEY_FALLBACKS": differential.ODD_FALLBACKS,
    "PROPAGATE_EXCEPTIONS": (True, False),
}

# --- Changes between requests ---------------------------------------------------------------------------------------


def configure(side: Side, app: Flask, name: str, value: t.Any) -> None:
    app.config[name] = copy.deepcopy(value)


def unconfigure(side: Side, app: Flask, name: str, value: t.Any) -> None:
    app.config.pop(name, None)


def rotate_keys(side: Side, app: Flask, name: str, value: t.Any) -> None:
    app.config["SECRET_KEY_FALLBACKS"] = [app.config["SECRET_KEY"]]
    app.config["SECRET_KEY"] = name


def change_fallbacks(side: Side, app: Flask, name: str, value: t.Any) -> None:
    """In place, if it is a list."""
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
    if isinstance(fallbacks, list):
        getattr(fallbacks, name)(*value)


def set_on_interface(side: Side, app: Flask, name: str, value: t.Any) -> None:
    setattr(side.interface, *ATTRIBUTES[name])


def delete_from_interface(side: Side, app: Flask, name: str, value: t.Any) -> None:
    vars(side.interface).pop(name, None)


def set_on_app(side: Side, app: Flask, name: str, value: t.Any) -> None:
    classes = {"request_class": REQUEST_CLASSES, "response_class": RESPONSE_CLASSES}
    setattr(app, name, classes[name][value] if name in classes else value)


def set_provider(side: Side, app: Flask, name: str, value: t.Any) -> None:
    app.json = differential.PROVIDERS[name](app)


def set_json_option(side: Side, app: Flask, name: str, value: t.Any) -> None:
    setattr(app.json, name, value)


def replace_config(side: Side, app: Flask, name: str, value: t.Any) -> None:
    """Flask needs no more than a dict."""
    t.cast(t.Any, app).config = dict(app.config)


#: Each is made to both sides.
CHANGES: dict[str, Callable[[Side, Flask, str, t.Any], None]] = {
    "config": configure,
    "config less": unconfigure,
    "config a dict": replace_config,
    "key": rotate_keys,
    "fallbacks": change_fallbacks,
    "interface": set_on_interface,
    "interface less": delete_from_interface,
    "app": set_on_app,
    "json provider": set_provider,
    "json option": set_json_option,
}


def patched(hook: str, answer: Callable[..., t.Any]) -> Callable[[t.Any], t.Any]:
    def replace(original: t.Any) -> t.Any:
        def method(self: t.Any, *args: t.Any) -> t.Any:
            calls.append(f"patched {hook}")
            return answer(functools.partial(original, self), *args)

        return method

    return replace


def noted(original: t.Any) -> t.Any:
    @functools.wraps(original)
    def method(*args: t.Any, **kwargs: t.Any) -> t.Any:
        calls.append(observed_call(f"patched {original.__name__}", args[1:], kwargs))
        return original(*args, **kwargs)

    return method


def always(value: t.Any) -> Callable[[t.Any], t.Any]:
    return lambda original: value


#: Attributes of classes that tests and tools replace: for a while, in the midst of everything.
PATCHES: dict[str, tuple[type, str, Callable[[t.Any], t.Any]]] = {
    **{
        f"{owner.__name__}.{hook}: {how}": (owner, hook, patched(hook, made))
        for owner in (SessionInterface, SecureCookieSessionInterface)
        for hook, ways in ANSWERS.items()
        for how, made in ways.items()
        if hasattr(owner, hook) and not (owner is SessionInterface and hook in vars(SecureCookieSessionInterface))
    },
    "salt": (SecureCookieSessionInterface, "salt", always("patched salt")),
    "digest": (SecureCookieSessionInterface, "digest_method", always(staticmethod(hashlib.sha256))),
    "derivation": (SecureCookieSessionInterface, "key_derivation", always("concat")),
    "serializer": (SecureCookieSessionInterface, "serializer", always(json)),
    "session class": (SecureCookieSessionInterface, "session_class", always(NotedSession)),
    "null session": (SessionInterface, "null_session_class", always(SecureCookieSession)),
    "permanent": (SessionMixin, "permanent", always(property(lambda self: True, lambda self, value: None))),
    "permanent of cookies": (SecureCookieSession, "permanent", always(True)),
    "modified": (SecureCookieSession, "modified", always(True)),
    "accessed": (SessionMixin, "accessed", always(True)),
    "bool": (SecureCookieSession, "__bool__", always(lambda self: True)),
    "init": (SecureCookieSession, "__init__", noted),
    "on change": (CallbackDict, "__setitem__", noted),
    "set_cookie": (SansIOResponse, "set_cookie", noted),
    "delete_cookie": (SansIOResponse, "delete_cookie", noted),
    "set_cookie of Flask": (flask.Response, "set_cookie", noted),
    "vary": (flask.Response, "vary", always(property(lambda self: set()))),
    "max_cookie_size": (flask.Response, "max_cookie_size", always(30)),
    "cookies": (flask.Request, "cookies", always(property(lambda self: {"session": "patched"}))),
    "cookies of the app's own requests": (OwnRequest, "cookies", always(property(lambda self: {"session": ""}))),
    "set_cookie of the app's own responses": (OwnResponse, "set_cookie", noted),
    "lifetime of the app's own class": (OwnFlask, "permanent_session_lifetime", always(timedelta(seconds=20))),
    "lifetime": (Flask, "permanent_session_lifetime", always(timedelta(seconds=20))),
    "secret key": (Flask, "secret_key", always("patched key")),
    "config": (flask.Config, "__getitem__", always(lambda self, name: dict.get(self, name) or None)),
    "timestamp": (TimestampSigner, "get_timestamp", always(lambda self: int(NOW) - 5)),
}

# --- Both sides -----------------------------------------------------------------------------------------------------


class Side:
    """Apps and the interface they share."""

    def __init__(self, case: Case, base: type[SecureCookieSessionInterface]) -> None:
        for layer in case.interface:
            base = LAYERS[layer](base)
        self.interface = base()
        self.warnings = case.warnings
        self.step = Step()
        self.seen = Seen()
        self.refused: list[t.Any] = []
        self.apps = [self._app(plan) for plan in case.apps or (AppPlan(),)]

    def _app(self, plan: AppPlan) -> Flask:
        flask_class = FLASK_CLASSES[plan.flask_class]
        if plan.config_class != AppPlan.config_class:
            config_class = CONFIG_CLASSES[plan.config_class]
            flask_class = type("Configured", (flask_class,), {"config_class": config_class})
        app = flask_class(APP_NAME, static_folder=None, root_path=HERE, instance_path=HERE)
        app.config["SECRET_KEY"] = "secret"
        app.request_class = REQUEST_CLASSES[plan.request_class]
        app.response_class = RESPONSE_CLASSES[plan.response_class]
        app.session_interface = self.interface
        app.json = differential.PROVIDERS[plan.provider](app)
        app.before_request(self.before)
        app.teardown_request(self.after)
        for path in ("/", "/deeper/path"):
            app.add_url_rule(path, path, self.view)
        for handler in plan.handlers:
            HANDLERS[handler](app)
        for change in plan.changes:
            self.change(app, change)
        return app

    def change(self, app: Flask, change: Change) -> None:
        try:
            CHANGES[change.kind](self, app, change.name, change.value)
        except Exception as error:
            # What cannot be changed stays as it is; how it was refused is compared with what comes of the next request.
            self.refused.append((change.kind, observed(error)))

    def app(self, step: Step) -> Flask:
        return self.apps[step.app % len(self.apps)]

    def run(self, step: Step, header: str | None) -> Seen:
        self.step, self.seen = step, Seen()
        calls.clear()
        way: Callable[[Flask, str | None], None] = getattr(self, "_" + step.way.replace(" ", "_"))
        with listening() as logged, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter(self.warnings)
            try:
                # Apart from other requests, also if a context is left behind.
                contextvars.copy_context().run(self._run, way, header)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self.seen.error = observed(error)
        self.seen.warned = [(each.category, str(each.message)) for each in warned or ()]
        self.seen.logged, self.seen.calls, self.seen.refused = logged, list(calls), self.refused
        self.refused = []
        return self.seen

    def _run(self, way: Callable[[Flask, str | None], None], header: str | None) -> None:
        try:
            way(self.app(self.step), header)
        finally:
            while streams:
                streams.pop().close()

    def note(self, *what: t.Any) -> None:
        self.seen.views.append(what)

    # In requests.

    def before(self) -> None:
        if self.step.watched:
            self.note("opened", snapshot(session_of_request()))

    def after(self, error: BaseException | None) -> None:
        if self.step.watched:
            self.note("saved", snapshot(session_of_request()))

    def view(self) -> t.Any:
        self.act(flask.session)
        for change in self.step.during:
            self.change(flask.current_app, change)
        return respond(self.step.reply)

    def act(self, session: t.Any) -> None:
        for action in self.step.actions:
            try:
                self.note(action.name, ACTIONS[action.name](session, random.Random(action.seed)))
            except Exception as error:
                self.note(action.name, observed(error))
                if action.escapes:
                    raise

    # Ways to open and save a session.

    def _request(self, app: Flask, header: str | None) -> None:
        chunks = app(environ_of(self.step, header), t.cast(t.Any, self.seen.start_response))
        try:
            self.seen.body = b"".join(chunks)
        finally:
            getattr(chunks, "close", bool)()

    def _transaction(self, app: Flask, header: str | None) -> None:
        client = app.test_client()
        for name, value in itertools.islice(parse_cookie(header).items(), 3):
            client.set_cookie(name, value)
        with client.session_transaction(path=self.step.path) as session:
            self.note("opened", snapshot(session))
            self.act(session)
        self.note("saved", snapshot(session))
        response = client.get("/deeper/path")
        self.seen.start_response(response.status, list(response.headers))

    def _by_hand(self, app: Flask, header: str | None) -> None:
        hand = self.step.hand
        request = REQUESTS_BY_HAND[hand.request](app, self.step, header)
        response = RESPONSES_BY_HAND[hand.response]()
        used = fake_app(app) if hand.app == "fake" else app
        with CONTEXTS[hand.context](app):
            session: t.Any = self.interface.open_session(used, request)
            self.note("opened", snapshot(session))
            if session is None:
                session = self.interface.make_null_session(used)
            self.act(session)
            self.interface.save_session(used, SESSIONS_BY_HAND[hand.session](session), response)
            self.note("saved", snapshot(session))
        self.seen.headers = list(getattr(response, "headers", ()))


def session_of_request() -> t.Any:
    """The session, got in a way that does not count as access."""
    context = vars(t.cast(t.Any, flask.globals.request_ctx)._get_current_object())
    return context.get("_session", context.get("session"))


def respond(reply: Reply) -> t.Any:
    value = REPLIES[reply.kind]()
    if not reply.headers and not reply.tweaks:
        return value
    response = flask.make_response(value)
    for header in reply.headers:
        name, _, text = header.partition(": ")
        response.headers.add(name, text)
    for tweak in reply.tweaks:
        TWEAKS[tweak](response)
    return response


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


LISTENER = Listener()


@contextlib.contextmanager
def listening() -> Iterator[list[t.Any]]:
    """What the apps log, for as long as this lasts; nobody else hears of it."""
    logger = logging.getLogger(APP_NAME)
    logger.handlers, logger.propagate = [LISTENER], False
    LISTENER.logged = []
    yield LISTENER.logged


# --- By hand --------------------------------------------------------------------------------------------------------


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

# --- Cookies --------------------------------------------------------------------------------------------------------


class Pair:
    """Stock and ours in step, with one jar for both: what either has set is sent to both."""

    def __init__(self, case: Case, ours: type[SecureCookieSessionInterface]) -> None:
        self.case = case
        self.clock = Clock()
        self.stock = Side(case, SecureCookieSessionInterface)
        self.ours = Side(case, ours)
        self.patches = contextlib.ExitStack()
        #: The name of each app's cookie, and its tokens, the latest last.
        self.names: dict[int, str] = {}
        self.tokens: dict[int, list[str]] = collections.defaultdict(list)

    def run(self, step: Step) -> tuple[str | None, Seen, Seen]:
        """The Cookie header that was sent, and what came of it on each side."""
        self.step = step
        for change in step.before:
            self.change(change)
        header = self.header(step)
        stock, ours = self.stock.run(step, header), self.ours.run(step, header)
        self.keep_cookies(random.Random(len(stock.headers)).choice((stock, ours)))
        return header, stock, ours

    def change(self, change: Change) -> None:
        if change.kind == "wait":
            self.clock.now = max(self.clock.now + change.value, 0.0)
        elif change.kind == "time.time":
            self.clock.says = change.value
        elif change.kind == "patch":
            owner, name, replace = PATCHES[change.name]
            replacement = replace(inspect.getattr_static(owner, name, None))
            self.patches.enter_context(mock.patch.object(owner, name, replacement, create=True))
        elif change.kind == "unpatch":
            self.patches.close()
        else:
            for side in (self.stock, self.ours):
                side.change(side.app(self.step), change)

    def keep_cookies(self, seen: Seen) -> None:
        app = self.step.app
        for name, value in seen.headers:
            cookie, _, rest = value.partition("=") if name == "Set-Cookie" else ("other", "", "")
            if cookie not in ("other", "a"):
                self.names[app] = cookie
                self.tokens[app].append(rest.partition(";")[0])

    def header(self, step: Step) -> str | None:
        return None if step.cookie is None else "".join(self.filled(piece) for piece in step.cookie)

    def filled(self, piece: str) -> str:
        if not piece.startswith("<"):
            return piece
        name, _, seed = piece[1:-1].partition(":")
        return FILLERS[name](self, random.Random(seed))

    def name(self) -> str:
        configured = self.stock.app(self.step).config.get("SESSION_COOKIE_NAME", "session")
        return self.names.get(self.step.app) or str(configured).encode("utf-8", "replace").decode("latin-1")

    def token(self, which: int) -> str:
        tokens = self.tokens[self.step.app]
        return tokens[which] if tokens else ""

    def signer(self) -> TimestampSigner:
        """Signs as the app does at this moment, or if it cannot, as nobody does."""
        try:
            serializer = self.stock.interface.get_signing_serializer(self.stock.app(self.step))
            return t.cast(TimestampSigner, serializer.make_signer())  # type: ignore[union-attr]
        except Exception:
            return TimestampSigner("nobody's")

    def sealed(self, rng: random.Random, age: int = 0) -> str:
        """A token of some age, as stock writes it."""
        values: dict[str, t.Any] = {"user": "ada", "cart": [1, (2,)], "text": "x" * rng.choice((0, 9, 300))}
        if rng.random() < 0.4:
            values["_permanent"] = True
        return self.signed(URLSafeSerializer("", serializer=TaggedJSONSerializer()).dump_payload(values), age)

    def packed(self, rng: random.Random) -> str:
        """A token as somebody else may write it."""
        text = differential.json_object(rng, 0.0, 2)
        if rng.random() < 0.5:
            text = json.dumps({"_permanent": True, "text": "x" * rng.choice((1, 50))}, separators=(",", ":"))
        packed = text.encode()
        if rng.random() < 0.7:
            return self.signed(base64_encode(packed))
        return self.signed(b"." + base64_encode(zlib.compress(packed, rng.choice((-1, 0, 1, 9)))))

    def signed(self, payload: bytes, age: int = 0, signer: TimestampSigner | None = None) -> str:
        second = max(int(self.clock.now) - age, 0)
        content = payload + b"." + base64_encode(int_to_bytes(second))
        return differential.signed(signer or self.signer(), content).decode("latin-1")


def damaged(pair: Pair, rng: random.Random) -> str:
    token = (pair.token(-1) or pair.sealed(rng)).encode("latin-1", "replace")
    for _ in range(rng.choice((1, 1, 2))):
        token = rng.choice(differential.DAMAGES)(rng, token)
    return token.decode("latin-1")


def foreign(pair: Pair, rng: random.Random) -> str:
    """Signed with another key: one that the app may have had, or may come to have."""
    key = rng.choice(("secret", "old", "older", "rotated", "stranger"))
    signer = TimestampSigner(key, salt="cookie-session", key_derivation="hmac", digest_method=hashlib.sha1)
    return pair.signed(base64_encode(b'{"user":"eve"}'), signer=signer)


def escaped(token: str) -> str:
    return '"' + "".join(f"\\{ord(character) & 0o377:03o}" for character in token) + '"'


#: What pieces of a Cookie header may stand for.
FILLERS: dict[str, Callable[[Pair, random.Random], str]] = {
    "name": lambda pair, rng: pair.name(),
    "NAME": lambda pair, rng: pair.name().upper(),
    "jar": lambda pair, rng: pair.token(-1),
    "first": lambda pair, rng: pair.token(0),
    "other app's": lambda pair, rng: "".join(pair.tokens[1 - pair.step.app % 2][-1:]),
    "sealed": lambda pair, rng: pair.sealed(rng),
    "packed": lambda pair, rng: pair.packed(rng),
    "aged": lambda pair, rng: pair.sealed(
        rng, rng.choice((59, 60, 61, 3600, 3601, 2_678_400, 2_678_401, 10**9, -1, -60))
    ),
    "damaged": damaged,
    "foreign": foreign,
    "made": lambda pair, rng: pair.signed(differential.payload(rng)),
    "escaped": lambda pair, rng: escaped(pair.token(-1) or "x"),
    "half escaped": lambda pair, rng: '"' + (pair.token(-1) or "x").replace("e", "\\145").replace("_", "\\_") + '"',
    "long": lambda pair, rng: "x" * rng.choice((4096, 20_000)),
}

NAMES = ("<name>", "<name>", "<name>", "<name>", "<NAME>", "x<name>", "other", "a", "", "user", "<name> ", " <name>")
ODD_NAMES = (
    "\t<name>",
    "<name>\t ",
    "né",
    "n\xc3\xa9",
    '"<name>"',
    "<name>,",
    "$Version",
    "\x00<name>",
    "\xa0<name>",
    "a b",
)
VALUES = (
    *(
        "<jar>",
        "<jar>",
        "<jar>",
        "<jar>",
        "<first>",
        "<sealed>",
        "<sealed>",
        "<sealed>",
        "<aged>",
        "<damaged>",
        "<foreign>",
    ),
    *("<packed>", "<made>", "", "junk", "1", "a.b.c", "<other app's>"),
)
ODD_VALUES = (
    *(
        '"<jar>"',
        " <jar>",
        "<jar> ",
        "\t<jar>\t",
        '"<jar>',
        '<jar>"',
        '" <jar> "',
        "<jar> x",
        "<jar>,x",
        "'<jar>'",
        "=<jar>",
    ),
    *(
        "<escaped>",
        "<half escaped>",
        "<long>",
        '"\\"',
        '"\\',
        "\\",
        '""',
        '"a;b"',
        '"a\\;b"',
        '"<sealed>" ',
        '"<sealed>"',
    ),
    *(
        "\xe9",
        "\xc3\xa9",
        "\xff<jar>",
        "<jar>\xed\xa0\x80",
        "\x00",
        "<jar>\x00",
        "\x1f<jar>",
        "<jar>\x7f",
        "\x85",
        "\n<jar>",
    ),
    *("<jar>\r", '"\\303\\251"', '"\\377"', '"\\400"', "\u20ac", "<jar>\u20ac", "....", "."),
)
SEPARATORS = ("; ", "; ", "; ", ";", ";")
ODD_SEPARATORS = (";;", " ; ", ",", ", ", "\t;\t", " ", "; ;", "\x00;", ";\xa0", "; \x1f", ";\n", "&", "; $Path=/; ")


def pieces(text: str, rng: random.Random) -> list[str]:
    """The literal text and the fillers that it is made of, with a seed for each of these."""
    found = re.findall("<[a-zA-Z' ]+>|[^<]+", text)
    return [f"{piece[:-1]}:{rng.getrandbits(32)}>" if piece in SEEDED else piece for piece in found]


SEEDED = ("<sealed>", "<packed>", "<aged>", "<damaged>", "<foreign>", "<made>", "<long>")


def cookie(rng: random.Random, odd: float) -> tuple[str, ...] | None:
    kind = rng.random()
    if kind < 0.1:
        return None
    if kind < 0.5:
        return Step.cookie
    if kind < 0.6:
        return ("a=b; ", "<name>", "=", "<jar>", "; c=d")
    if kind < 0.75:
        return ("<name>", "=", *pieces(rng.choice(VALUES), rng))
    crumbs: list[str] = []
    for number in range(rng.choice((0, 1, 1, 2, 2, 3, 4))):
        if number:
            crumbs.append(rng.choice(SEPARATORS if rng.random() >= odd else ODD_SEPARATORS))
        crumbs += pieces(rng.choice(NAMES if rng.random() >= odd else ODD_NAMES), rng)
        if rng.random() < 0.93:
            crumbs += [rng.choice(("=", "=", "=", " = ", "==") if rng.random() < odd else "=")]
            crumbs += pieces(rng.choice(VALUES if rng.random() >= odd else ODD_VALUES), rng)
    if rng.random() < odd:
        crumbs.append(rng.choice((";", "; ", " ", ",", "\t", '"')))
    return tuple(crumbs)


# --- Cases ----------------------------------------------------------------------------------------------------------


def config_change(rng: random.Random, odd: float) -> Change:
    name = rng.choice(tuple(USUAL_CONFIG))
    return Change("config", name, rng.choice((ODD_CONFIG if rng.random() < odd else USUAL_CONFIG)[name]))


def app_change(rng: random.Random, odd: float) -> Change:
    """A change that may come at any time, also while a view is at work."""
    kind = rng.random()
    if kind < 0.5:
        return config_change(rng, odd)
    if kind < 0.7:
        return Change("key", "rotated") if rng.random() < 0.5 else fallbacks_change(rng)
    if kind < 0.8:
        return Change("json option", rng.choice(("sort_keys", "ensure_ascii")), rng.choice((True, False, 0, 1)))
    if kind < 0.9:
        return Change("interface", rng.choice(tuple(ATTRIBUTES)))
    makes: tuple[Callable[[], Change], ...] = (
        lambda: Change("interface less", rng.choice(tuple(ATTRIBUTES.values()))[0]),
        lambda: Change("config less", rng.choice(tuple(USUAL_CONFIG))),
        lambda: Change("config a dict"),
        lambda: Change("app", "response_class", rng.choice(tuple(RESPONSE_CLASSES))),
        lambda: Change("app", "request_class", rng.choice(tuple(REQUEST_CLASSES))),
        lambda: Change("app", "secret_key", rng.choice(differential.KEYS)),
        lambda: Change("app", "permanent_session_lifetime", rng.choice((5, timedelta(hours=1)))),
        lambda: Change("json provider", rng.choice(tuple(differential.PROVIDERS))),
    )
    return rng.choice(makes)()


def fallbacks_change(rng: random.Random) -> Change:
    key = rng.choice(differential.KEYS)
    return Change("fallbacks", *rng.choice((("append", (key,)), ("insert", (0, key)), ("clear", ()), ("reverse", ()))))


def change(rng: random.Random, odd: float) -> Change:
    """A change between two requests."""
    kind = rng.random()
    if kind < 0.35:
        return Change("wait", value=rng.choice((0.5, 1, 1, 59, 61, 3601, 86_400, 2_678_401, -1, -3600)))
    if kind < 0.35 + odd / 3:
        patch = Change("patch", rng.choice(tuple(PATCHES)))
        return rng.choice((patch, patch, Change("unpatch")))
    if kind < 0.35 + odd / 2:
        return Change("time.time", value=rng.choice((None, *differential.CLOCKS)))
    return app_change(rng, odd)


def action(rng: random.Random, odd: float) -> Action:
    name = rng.choice(USUAL_ACTIONS if rng.random() >= odd else tuple(ACTIONS))
    return Action(name, rng.getrandbits(32), escapes=rng.random() < 0.2)


def reply(rng: random.Random, odd: float) -> Reply:
    if rng.random() < 0.4:
        return Reply()
    return Reply(
        rng.choice(tuple(REPLIES)) if rng.random() < 0.4 else "response",
        tuple(rng.choices(HEADERS, k=rng.choice((0, 0, 1, 1, 2, 3)))),
        tuple(rng.choices(tuple(TWEAKS), k=rng.choice((1, 2)))) if rng.random() < 2 * odd else (),
    )


def some(
    rng: random.Random, odd: float, make: Callable[[random.Random, float], t.Any], *numbers: int
) -> tuple[t.Any, ...]:
    return tuple(make(rng, odd) for _ in range(rng.choice(numbers)))


def step(rng: random.Random, odd: float) -> Step:
    kind = rng.random()
    return Step(
        way="request" if kind < 0.93 else "transaction" if kind < 0.95 else "by hand",
        app=rng.choice((0, 0, 1)),
        method=rng.choice(("GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST")),
        path=rng.choice(("/", "/", "/", "/", "/deeper/path", "/missing")),
        before=some(rng, odd, change, 0, 0, 0, 1, 1, 2),
        cookie=cookie(rng, odd),
        actions=some(rng, odd, action, 0, 0, 1, 1, 2, 3),
        during=some(rng, odd, app_change, 1) if rng.random() < odd / 3 else (),
        reply=reply(rng, odd),
        hand=hand(rng),
        watched=rng.random() < 0.5,
    )


def hand(rng: random.Random) -> Hand:
    return Hand(
        rng.choice(("real", "fake")),
        rng.choice(tuple(REQUESTS_BY_HAND)),
        rng.choice(tuple(SESSIONS_BY_HAND)),
        rng.choice(tuple(RESPONSES_BY_HAND)),
        rng.choice(tuple(CONTEXTS)),
    )


def app_plan(rng: random.Random, odd: float) -> AppPlan:
    def choice(table: dict[str, t.Any]) -> str:
        return rng.choice(tuple(table)) if rng.random() < odd / 2 else next(iter(table))

    return AppPlan(
        choice(FLASK_CLASSES),
        choice(CONFIG_CLASSES),
        choice(REQUEST_CLASSES),
        choice(RESPONSE_CLASSES),
        choice(differential.PROVIDERS),
        some(rng, odd, config_change, 0, 0, 1, 2, 4),
        tuple(rng.sample(tuple(HANDLERS), rng.choice((1, 2)))) if rng.random() < 0.3 else (),
    )


def case_of(rng: random.Random) -> Case:
    """Ten requests to apps as most are, or to apps that are odd in some ways."""
    odd = rng.choice((0.0, 0.02, 0.1, 0.3))
    return Case(
        some(rng, odd, app_plan, 1, 1, 2),
        tuple(rng.choices(tuple(LAYERS), k=rng.choice((1, 1, 2, 3)))) if rng.random() < 2 * odd else (),
        tuple(step(rng, odd) for _ in range(REQUESTS)),
        stopped_datetime=rng.random() < 0.5,
        warnings="error" if rng.random() < 0.05 else "always",
    )


# --- Comparison -----------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What came of a case up to its end or to the first difference."""

    difference: str | None = None
    outcomes: list[str] = field(default_factory=list)
    stats: dict[str, t.Any] = field(default_factory=dict)


def compare(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> Result:
    """Run a case, again if both sides did not read the same second from a clock that cannot be stopped."""
    while True:
        second = datetime.datetime.now().second
        result = _compare(case, ours)
        if result.difference is None or case.stopped_datetime or second == datetime.datetime.now().second:
            return result


def _compare(case: Case, ours: type[SecureCookieSessionInterface]) -> Result:
    pair, result = Pair(case, ours), Result()
    with pair.clock.stopped(case.stopped_datetime), pair.patches:
        for number, each in enumerate(case.steps):
            header, stock_seen, ours_seen = pair.run(each)
            result.outcomes.append(stock_seen.outcome)
            if found := diverging(stock_seen, ours_seen):
                result.difference = f"  request {number}, with the Cookie header {header!r}\n{found}"
                break
    result.stats = getattr(pair.ours.interface, "stats", dict)()
    return result


def difference(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> str | None:
    """Where stock and ours differ, if they do."""
    return compare(case, ours).difference


def smaller(value: t.Any) -> Iterator[t.Any]:
    """The same with something left out."""
    if isinstance(value, tuple):
        for at in range(len(value)):
            yield value[:at] + value[at + 1 :]
        for at, part in enumerate(value):
            yield from ((*value[:at], less, *value[at + 1 :]) for less in smaller(part))
    elif isinstance(value, Plan) and not isinstance(value, Change):
        given = t.cast(t.Any, value)
        for each in dataclasses.fields(given):
            part = getattr(value, each.name)
            if each.default is not dataclasses.MISSING and part != each.default:
                yield dataclasses.replace(given, **{each.name: each.default})
                yield from (dataclasses.replace(given, **{each.name: less}) for less in smaller(part))


def reduced(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> Case:
    """The least that still differs, as far as leaving out one thing after the other leads."""
    tries = MOST_TRIES
    while True:
        for candidate in smaller(case):
            tries -= 1
            if tries < 0:
                return case
            if difference(candidate, ours):
                case = candidate
                break
        else:
            return case


def numbered(seed: int, number: int) -> Case:
    """The case of this number."""
    return case_of(random.Random(seed * 2**64 + number))


@dataclass
class Run:
    """A number of cases, and what came of them."""

    seed: int
    ours: type[SecureCookieSessionInterface] = FastSessionInterface
    requests: int = 0
    differences: int = 0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    #: How often each method was native, rejected, or left to stock for which reason.
    stats: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)

    def case(self, number: int) -> str | None:
        """Run one case, and return what to print if stock and ours differ."""
        case = numbered(self.seed, number)
        result = compare(case, self.ours)
        self.requests += len(result.outcomes)
        self.outcomes.update(result.outcomes)
        for method in ("open", "save", "dumps", "loads"):
            counts = result.stats[method]
            for name, count in {**counts, **counts.get("declined", {})}.items():
                if isinstance(count, int):
                    self.stats[method, name] += count
        if result.difference is None:
            return None
        self.differences += 1
        case = reduced(case, self.ours)
        repeat = f"case {number} (repeat it with --seed {self.seed} --only {number}), reduced"
        return f"{repeat}:\n  {case!r}\n{difference(case, self.ours) or result.difference}"

    def native_share(self, method: str) -> float:
        """How much of what went through a method of ours was settled natively."""
        counts = {name: count for (used, name), count in self.stats.items() if used == method}
        return (counts.get("native", 0) + counts.get("rejected", 0)) / max(sum(counts.values()), 1)

    def report(self) -> str:
        lines = []
        for method in dict.fromkeys(method for method, _ in self.stats):
            counts = [(name, count) for (used, name), count in self.stats.most_common() if used == method]
            declined = ", ".join(f"{name} {count}" for name, count in counts if name not in ("native", "rejected"))
            lines.append(f"{method}: {self.native_share(method):.1%} natively; declined: {declined}")
        return "\n".join(
            [*lines, "requests gave " + ", ".join(f"{name} {n}" for name, n in self.outcomes.most_common())]
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare stock and ours over random requests.")
    parser.add_argument(
        "--cases",
        type=int,
        default=2_000,
        metavar="N",
        help=f"how many, of {REQUESTS} requests each (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run but the case of this number")
    options = parser.parse_args()
    numbers = range(options.cases) if options.only is None else range(options.only, options.only + 1)
    # Printed first, lest a crash take it along.
    print(f"seed {options.seed}", flush=True)
    run = Run(options.seed)
    start = time.perf_counter()
    for done, number in enumerate(numbers):
        if done % 100 == 0:
            differential.progress(done, len(numbers))
        if (found := run.case(number)) and run.differences <= differential.MOST_PRINTED:
            print(f"\n{found}", flush=True)
    differential.progress(len(numbers), len(numbers))
    seconds = time.perf_counter() - start
    print(f"\n{run.report()}\n{run.requests / seconds:.0f} requests per second")
    print(f"{run.requests} requests, {run.differences} differences (seed {run.seed})")
    return 1 if run.differences else 0


if __name__ == "__main__":
    sys.exit(main())
