"""C54-C66: from a session to the response."""

from __future__ import annotations

import base64
import datetime
import json
import random
import string
import typing as t
import zlib
from datetime import timedelta

import flask
import pytest
import quart.sessions
from flask.sessions import NullSession
from flask.sessions import SecureCookieSession
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from werkzeug.local import LocalProxy

from .parity import INTERFACES
from .parity import NOW
from .parity import Interface
from .parity import View
from .parity import dumps
from .parity import exactly
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import process_response
from .parity import sealed_json
from .parity import serializer_of
from .parity import snapshot
from .parity import store
from .parity import touch_nothing

COOKIE = sealed_json('{"user":"ada"}')
PERMANENT = sealed_json('{"_permanent":true,"user":"ada"}')
CART = sealed_json('{"cart":[1]}')
UNSUPPORTED = {1, 2}


def clear(session: SessionMixin) -> None:
    session.clear()


def set_and_clear(session: SessionMixin) -> None:
    session["n"] = 1
    session.clear()


def clear_and_fill(session: SessionMixin) -> None:
    session.clear()
    session["user"] = "ada"


def set_unmarked(session: SessionMixin) -> None:
    session["n"] = 1
    session.modified = False


# --- The headers and their order ------------------------------------------------------------------------------------


@pytest.mark.contract("C54")
@pytest.mark.parametrize("view", [touch_nothing, snapshot, store(n=1), store(_permanent=True), clear])
@pytest.mark.parametrize("cookie", [None, COOKIE, PERMANENT, "junk"])
@pytest.mark.parametrize("refresh", [True, False])
def test_the_headers_and_their_order(parity, view, cookie, refresh):
    parity(
        lambda interface_class: exchange(
            make_app(interface_class(), SESSION_REFRESH_EACH_REQUEST=refresh), view, cookie
        )
    )


@pytest.mark.contract("C54", "C13a")
@pytest.mark.parametrize("view", [touch_nothing, snapshot, store(n=1), store(_permanent=True), clear])
@pytest.mark.parametrize("cookie", [None, PERMANENT])
def test_the_order_of_the_steps(parity, view, cookie):
    def scenario(interface_class):
        steps: list[object] = []

        class Response(flask.Response):
            @property
            def vary(self):
                steps.append("vary")
                return super().vary

            def set_cookie(self, *args, **kwargs):
                steps.append("set_cookie")
                super().set_cookie(*args, **kwargs)

            def delete_cookie(self, *args, **kwargs):
                steps.append("delete_cookie")
                super().delete_cookie(*args, **kwargs)

        class Watching(interface_class):
            def __getattribute__(self, name):
                if name.startswith(("get_", "should_", "open_", "save_")):
                    steps.append(name)
                return super().__getattribute__(name)

        app = make_app(Watching())
        app.response_class = Response
        return exchange(app, view, cookie), steps

    _, steps = parity(scenario).value
    assert steps.index("save_session") < steps.index("get_cookie_name", steps.index("save_session"))


@pytest.mark.contract("C54")
@pytest.mark.parametrize("fault", ["get_cookie_name", "should_set_cookie", "get_expiration_time"])
@pytest.mark.parametrize("cookie", [None, COOKIE])
def test_an_error_at_a_step_leaves_what_came_before(parity, fault, cookie):
    def fail(self, *args):
        raise LookupError(fault)

    def scenario(interface_class):
        return exchange(make_app(type("Failing", (interface_class,), {fault: fail})()), store(n=1), cookie)

    assert parity(scenario).value.status == "500 INTERNAL SERVER ERROR"


def answer(*headers: tuple[str, str], use: t.Callable[[SessionMixin], object] = lambda session: None) -> View:
    """A view with headers of its own."""

    def view(session: SessionMixin) -> object:
        use(session)
        response = flask.Response("text")
        for name, value in headers:
            response.headers.add(name, value)
        return response

    return view


VARIES: list[list[tuple[str, str]]] = [
    [("Vary", "Accept")],
    [("Vary", "Cookie")],
    [("vary", "cookie")],
    [("VARY", "COOKIE, Accept")],
    [("Vary", "Accept-Encoding,  cookie")],
    [("Vary", "*")],
    [("Vary", "")],
    [("Vary", " ")],
    [("Vary", ",,")],
    [("Vary", '"Cookie"')],
    [("Vary", "Accept"), ("Vary", "Origin")],
    [("Vary", "Accept"), ("Vary", "Cookie")],
    [("Vary", "Cookie"), ("Vary", "Accept")],
    [("X-First", "1"), ("Vary", "Accept"), ("X-Last", "2")],
    [("Set-Cookie", "other=1"), ("X-Last", "2")],
    [("Set-Cookie", "session=mine"), ("Vary", "Accept"), ("Set-Cookie", "other=1")],
    [("Vary", "é")],
    [("Vary", "a b, c")],
]


@pytest.mark.contract("C54a")
@pytest.mark.parametrize("headers", VARIES, ids=repr)
@pytest.mark.parametrize("use", [touch_nothing, snapshot, store(n=1), clear])
def test_an_existing_vary(parity, headers, use):
    parity(lambda interface_class: exchange(make_app(interface_class()), answer(*headers, use=use), COOKIE))


@pytest.mark.contract("C54a")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Vary", "cOOKIE")], ["cOOKIE"]),
        ([("Vary", "*")], ["*, Cookie"]),
        ([("Vary", "Accept"), ("Vary", "Origin")], ["Accept, Cookie"]),
    ],
)
def test_what_becomes_of_an_existing_vary(parity, headers, expected):
    view = answer(*headers, use=store(n=1))
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), view)).value
    assert reply.all("Vary") == expected


@pytest.mark.contract("C54a")
def test_vary_set_by_the_app_itself(parity):
    def view(session):
        session["n"] = 1
        response = flask.Response("text")
        response.vary.update(["Accept", "Origin"])
        return response

    parity(lambda interface_class: exchange(make_app(interface_class()), view))


# --- When a cookie is set -------------------------------------------------------------------------------------------

ATTRIBUTES: dict[str, t.Any] = {
    "SESSION_COOKIE_DOMAIN": "example.org",
    "SESSION_COOKIE_PATH": "/app",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Strict",
    "SESSION_COOKIE_PARTITIONED": True,
}

EMPTYING: dict[str, View] = {
    "clear": clear,
    "pop": lambda session: session.pop("user"),
    "popitem": lambda session: session.popitem(),
    "del": lambda session: session.__delitem__("user"),
    "set and clear": set_and_clear,
}


@pytest.mark.contract("C55")
@pytest.mark.parametrize("view", EMPTYING.values(), ids=list(EMPTYING))
@pytest.mark.parametrize("config", [{}, ATTRIBUTES])
def test_a_session_that_was_emptied_is_deleted(parity, view, config):
    reply = parity(lambda interface_class: exchange(make_app(interface_class(), **config), view, COOKIE)).value
    (cookie,) = reply.cookies
    assert cookie.startswith("session=;")
    assert "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;" in cookie
    assert reply.all("Vary") == ["Cookie"]


@pytest.mark.contract("C55")
@pytest.mark.parametrize("size", [0, 10, 200])
@pytest.mark.parametrize("config", [{}, ATTRIBUTES])
def test_a_line_that_deletes_may_be_too_long(parity, config, size):
    config = {**config, "MAX_COOKIE_SIZE": size}
    parity(lambda interface_class: exchange(make_app(interface_class(), **config), clear, COOKIE))


@pytest.mark.contract("C55")
@pytest.mark.parametrize("view", [touch_nothing, snapshot, lambda session: session.get("user")])
@pytest.mark.parametrize("cookie", [None, sealed_json("{}"), "junk"])
def test_an_empty_session_left_alone_does_nothing(parity, view, cookie):
    assert not parity(lambda interface_class: exchange(make_app(interface_class()), view, cookie)).value.cookies


@pytest.mark.contract("C56")
@pytest.mark.parametrize("refresh", [True, False, None, 1, "no"])
@pytest.mark.parametrize("cookie", [COOKIE, PERMANENT])
def test_permanent_sessions_are_refreshed(parity, clock, refresh, cookie):
    def scenario(interface_class):
        app = make_app(interface_class(), SESSION_REFRESH_EACH_REQUEST=refresh)
        return exchange(app, touch_nothing, cookie)

    clock.now = NOW + 3600
    reply = parity(scenario).value
    assert bool(reply.cookies) is (bool(refresh) and cookie == PERMANENT)
    assert bool(reply.all("Vary")) is bool(reply.cookies)


@pytest.mark.contract("C56", "C16")
@pytest.mark.parametrize(
    "lifetime", [timedelta(days=31), timedelta(seconds=0.5), timedelta(0), timedelta(-1), 7, timedelta.max], ids=repr
)
@pytest.mark.parametrize("fraction", [0, 0.4, 0.999999])
def test_the_date_of_expiry(parity, clock, lifetime, fraction):
    clock.now = NOW + fraction

    def scenario(interface_class):
        app = make_app(interface_class(), PERMANENT_SESSION_LIFETIME=lifetime)
        return exchange(app, store(_permanent=True))

    reply = parity(scenario).value
    assert ("Expires=" in "".join(reply.cookies)) is (lifetime != timedelta.max)


EXPIRIES = [
    None,
    NOW,
    NOW + 0.5,
    0,
    -1,
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "tomorrow",
    "",
    datetime.datetime(2015, 10, 21),
    datetime.datetime(2015, 10, 21, tzinfo=datetime.timezone(timedelta(hours=2))),
    datetime.date(2015, 10, 21),
    (2015, 10, 21, 7, 28, 0, 0, 0, 0),
    b"x",
    10**20,
]


@pytest.mark.contract("C12", "C56")
@pytest.mark.parametrize("expires", EXPIRIES, ids=repr)
def test_expiry_may_be_said_in_many_ways(parity, expires):
    def scenario(interface_class):
        custom = type("Custom", (interface_class,), {"get_expiration_time": lambda self, app, session: expires})
        return exchange(make_app(custom()), store(n=1))

    parity(scenario)


@pytest.mark.contract("C57")
@pytest.mark.parametrize("value", [False, None, 0, "", True, "yes", []])
def test_a_session_that_is_only_not_permanent_is_not_empty(parity, value):
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), store(_permanent=value))).value
    assert loads(Interface, reply.token) == {"_permanent": value}


@pytest.mark.contract("C57")
@pytest.mark.parametrize("value", [True, False, None, 1, "yes", []])
def test_permanent_is_stored_as_a_bool(parity, value):
    def view(session):
        session.permanent = value

    reply = parity(lambda interface_class: exchange(make_app(interface_class()), view)).value
    assert loads(Interface, reply.token) == {"_permanent": bool(value)}


# --- What a session may be ------------------------------------------------------------------------------------------


class DictSession(dict[str, t.Any], SessionMixin):
    """What Flask's documentation proposes: always modified, as the mixin has it."""


class MappingSession(SessionMixin):
    """A mapping that is no dict."""

    def __init__(self, values: t.Any = ()) -> None:
        self.values_by_key = dict(values)

    def __getitem__(self, key: str) -> t.Any:
        return self.values_by_key[key]

    def __setitem__(self, key: str, value: t.Any) -> None:
        self.values_by_key[key] = value

    def __delitem__(self, key: str) -> None:
        del self.values_by_key[key]

    def __iter__(self) -> t.Any:
        return iter(sorted(self.values_by_key, reverse=True))

    def __len__(self) -> int:
        return len(self.values_by_key)


class FalsySession(SecureCookieSession):
    def __bool__(self) -> bool:
        return False


class TruthySession(SecureCookieSession):
    def __bool__(self) -> bool:
        return True


class KeysSession(SecureCookieSession):
    """``dict(session)`` asks a subclass that overrides ``__iter__`` for its keys and items."""

    def __iter__(self) -> t.Any:
        return iter(["chosen"])

    def keys(self) -> t.Any:
        return ["chosen"]

    def __getitem__(self, key: str) -> t.Any:
        return f"item {key}"


class PropertySession(SecureCookieSession):
    permanent = property(lambda self: True)
    modified = property(lambda self: True, lambda self, value: None)
    accessed = property(lambda self: True, lambda self, value: None)


def proxied(session_class: t.Any) -> t.Callable[..., t.Any]:
    def make(values: t.Any = ()) -> t.Any:
        session = session_class(values)
        return LocalProxy(lambda: session)

    return make


SESSION_CLASSES = [
    dict,
    DictSession,
    MappingSession,
    FalsySession,
    TruthySession,
    KeysSession,
    PropertySession,
    proxied(SecureCookieSession),
    proxied(DictSession),
]


@pytest.mark.contract("C58")
@pytest.mark.parametrize("session_class", SESSION_CLASSES)
@pytest.mark.parametrize("view", [touch_nothing, store(n=1), clear, store(_permanent=True)])
@pytest.mark.parametrize("cookie", [None, COOKIE])
def test_sessions_of_all_classes(parity, session_class, view, cookie):
    def scenario(interface_class):
        interface = interface_class()
        interface.session_class = session_class
        return exchange(make_app(interface), view, cookie)

    parity(scenario)


@pytest.mark.contract("C58")
@pytest.mark.parametrize("session_class", SESSION_CLASSES)
@pytest.mark.parametrize("values", [{}, {"a": (1,)}])
@pytest.mark.parametrize("modified", [True, False])
def test_sessions_saved_by_hand(parity, session_class, values, modified):
    def scenario(interface_class):
        app = make_app(interface_class())
        response = app.response_class("text")
        session = session_class(values)
        outcome_of(setattr, session, "modified", modified)
        with app.app_context():
            saved = outcome_of(app.session_interface.save_session, app, session, response)
        return saved, list(response.headers)

    parity(scenario)


@pytest.mark.contract("C58")
@pytest.mark.parametrize("in_app", [True, False])
def test_the_session_of_another_interface_is_saved_too(parity, in_app):
    def scenario(interface_class):
        app = make_app(interface_class())
        response = app.response_class("text")
        session = Interface.session_class({"b": 1})
        session["a"] = 2
        if in_app:
            with app.app_context():
                app.session_interface.save_session(app, session, response)
        else:
            app.session_interface.save_session(app, session, response)
        return list(response.headers)

    parity(scenario)


def merge(session: t.Any) -> None:
    session |= {"n": 1}


def set_attribute(name: str, value: object) -> View:
    return lambda session: setattr(session, name, value)


USES: dict[str, View] = {
    "item": lambda session: session["user"],
    "missing item": lambda session: outcome_of(lambda: session["x"]),
    "get": lambda session: session.get("user"),
    "get missing": lambda session: session.get("x", 1),
    "in": lambda session: "user" in session,
    "len": len,
    "bool": bool,
    "iter": list,
    "keys": lambda session: list(session.keys()),
    "values": lambda session: list(session.values()),
    "items": lambda session: list(session.items()),
    "equal": lambda session: session == {"user": "ada"},
    "copy": lambda session: (type(session.copy()), session.copy()),
    "or": lambda session: (type(session | {"n": 1}), session | {"n": 1}),
    "reversed": lambda session: list(reversed(session)),
    "permanent": lambda session: session.permanent,
    "modified": lambda session: session.modified,
    "new": lambda session: session.new,
    "accessed": lambda session: session.accessed,
    "set": lambda session: session.__setitem__("n", 1),
    "set the same": lambda session: session.__setitem__("user", "ada"),
    "del": lambda session: session.__delitem__("user"),
    "del missing": lambda session: outcome_of(session.__delitem__, "x"),
    "pop": lambda session: session.pop("user"),
    "pop missing": lambda session: outcome_of(session.pop, "x"),
    "pop missing with a default": lambda session: session.pop("x", None),
    "popitem": lambda session: session.popitem(),
    "setdefault existing": lambda session: session.setdefault("user", "bob"),
    "setdefault missing": lambda session: session.setdefault("n", 1),
    "update": lambda session: session.update(n=1),
    "update with nothing": lambda session: session.update(),
    "update with an empty dict": lambda session: session.update({}),
    "clear": clear,
    "clear and fill": clear_and_fill,
    "or in place": merge,
    "set permanent": set_attribute("permanent", True),
    "set not permanent": set_attribute("permanent", False),
    "set modified": set_attribute("modified", True),
    "set not modified": set_unmarked,
    "set accessed": set_attribute("accessed", True),
    "flash": lambda session: flask.flash("message"),
    "flashed": lambda session: flask.get_flashed_messages(),
}


@pytest.mark.contract("C59", "C63")
@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.parametrize("cookie", [None, COOKIE, PERMANENT], ids=["new", "loaded", "permanent"])
def test_what_a_use_of_the_session_does_to_the_response(parity, use, cookie):
    config: dict[str, t.Any] = {"SESSION_REFRESH_EACH_REQUEST": False}
    parity(lambda interface_class: exchange(make_app(interface_class(), **config), use, cookie))


@pytest.mark.contract("C59", "C63")
@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.parametrize("values", [(), ({"user": "ada"},), ([("user", "ada")],), (None,)])
def test_what_a_use_of_the_session_marks(parity, use, values):
    def scenario(interface_class):
        session = interface_class.session_class(*values)
        marks = [(session.modified, session.accessed)]
        result = outcome_of(use, session)
        return result, marks, session.modified, session.accessed, dict(session)

    parity(scenario)


@pytest.mark.contract("C59")
@pytest.mark.parametrize(
    ("use", "is_modified"),
    [
        ("update with nothing", True),
        ("clear", True),
        ("pop missing with a default", False),
        ("setdefault existing", False),
        ("set the same", True),
    ],
)
def test_which_uses_mark_the_session_modified(interface_class, use, is_modified):
    session = interface_class.session_class({"user": "ada"})
    USES[use](session)
    assert session.modified is is_modified
    assert type(session.copy()) is dict


@pytest.mark.contract("C59")
def test_nested_changes_ride_along(parity):
    def nested(session):
        session["cart"].append(2)

    def nested_and_plain(session):
        session["cart"].append(2)
        session["n"] = 1

    def scenario(interface_class):
        app = make_app(interface_class())
        return [exchange(app, view, CART) for view in (nested, nested_and_plain)]

    alone, along = parity(scenario).value
    assert not alone.cookies
    assert loads(Interface, along.token) == {"cart": [1, 2], "n": 1}


@pytest.mark.contract("C59", "C56")
def test_nested_changes_ride_along_with_a_refresh(parity):
    cookie = sealed_json('{"_permanent":true,"cart":[1]}')

    def nested(session):
        session["cart"].append(2)

    reply = parity(lambda interface_class: exchange(make_app(interface_class()), nested, cookie)).value
    assert loads(Interface, reply.token) == {"_permanent": True, "cart": [1, 2]}


# --- What may go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.contract("C60")
@pytest.mark.parametrize("value", [UNSUPPORTED, 1j, object, {1: 1, "a": 2}, {(1,): 1}], ids=ascii)
@pytest.mark.parametrize("cookie", [None, PERMANENT])
def test_an_unserializable_value_is_an_error_at_save(parity, value, cookie):
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), store(v=value), cookie)).value
    assert reply.status == "500 INTERNAL SERVER ERROR"
    assert reply.all("Vary") == ["Cookie"]
    assert not reply.cookies


@pytest.mark.contract("C60")
def test_an_unserializable_value_reaches_the_tester(interface_class):
    app = make_app(interface_class(), TESTING=True)
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        exchange(app, store(v=UNSUPPORTED))


class SmallResponse(flask.Response):
    max_cookie_size = 60


class UnlimitedResponse(flask.Response):
    max_cookie_size = 0


NOISE = "".join(random.Random(1).choices(string.printable, k=6000))


@pytest.mark.contract("C61")
@pytest.mark.parametrize(
    ("response_class", "limit"), [(flask.Response, 4093), (SmallResponse, 60), (UnlimitedResponse, float("inf"))]
)
@pytest.mark.parametrize("length", [0, 2600, 2900, 3000, 6000])
def test_an_oversize_cookie_is_warned_of_and_sent(parity, response_class, limit, length):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.response_class = response_class
        return exchange(app, store(noise=NOISE[:length]))

    reply = parity(scenario).value
    assert bool(reply.warned) is (len(reply.cookies[0]) > limit)


@pytest.mark.contract("C61")
def test_the_limit_may_come_from_the_config(parity):
    def scenario(interface_class):
        return exchange(make_app(interface_class(), MAX_COOKIE_SIZE=60), store(n=1))

    ((category, text),) = parity(scenario).value.warned
    assert category is UserWarning
    assert "too large" in text


CONFIGS: list[dict[str, t.Any]] = [
    {"SESSION_COOKIE_SAMESITE": value} for value in ("Lax", "lax", "STRICT", "None", "", "bad", 7, True, b"Lax")
]
CONFIGS += [
    {"SESSION_COOKIE_DOMAIN": value}
    for value in ("example.org", ".example.org", "..example.org", "exämple.org", "a.org:80", "", False, "x" * 80, 7)
]
CONFIGS += [
    {"SESSION_COOKIE_PATH": value} for value in ("/a", '/ä b;c"d', "/a%20b", "a", "", None, "/,=", "/\x7f", 7, b"/a")
]
CONFIGS += [{"APPLICATION_ROOT": value} for value in ("/root", "", None, "/ä")]
CONFIGS += [{"SESSION_COOKIE_PATH": "/path", "APPLICATION_ROOT": "/root"}]
CONFIGS += [{"SESSION_COOKIE_SECURE": value} for value in (True, False, None, 1, "")]
CONFIGS += [{"SESSION_COOKIE_HTTPONLY": value} for value in (True, False, None, 1, "")]
CONFIGS += [{"SESSION_COOKIE_PARTITIONED": value} for value in (True, False, None, 1, "")]
CONFIGS += [{"SESSION_COOKIE_PARTITIONED": True, "SESSION_COOKIE_SECURE": False, "SESSION_COOKIE_SAMESITE": "None"}]
CONFIGS += [{"SESSION_COOKIE_NAME": value} for value in ("renamed", "a b", "ä", "a=b", "a;b", "", '"', "__Host-s", 7)]
CONFIGS += [{"SERVER_NAME": "example.org:80"}, {"SERVER_NAME": "localhost", "PREFERRED_URL_SCHEME": "https"}]
CONFIGS += [ATTRIBUTES]


@pytest.mark.contract("C62")
@pytest.mark.parametrize("config", CONFIGS, ids=ascii)
@pytest.mark.parametrize("view", [store(n=1), store(_permanent=True), clear, touch_nothing])
def test_attributes_of_the_cookie(parity, config, view):
    parity(lambda interface_class: exchange(make_app(interface_class(), **config), view, headers={}))


@pytest.mark.contract("C62")
def test_what_becomes_of_the_attributes(parity):
    def cookie(**config: t.Any) -> str:
        reply = parity(lambda interface_class: exchange(make_app(interface_class(), **config), store(n=1))).value
        return "".join(reply.cookies)

    assert cookie(SESSION_COOKIE_SAMESITE="bad") == ""
    assert "Domain=example.org;" in cookie(SESSION_COOKIE_DOMAIN=".example.org")
    assert "Domain=xn--exmple-cua.org;" in cookie(SESSION_COOKIE_DOMAIN="exämple.org")
    assert "Path=/%C3%A4%20b%3Bc" in cookie(SESSION_COOKIE_PATH="/ä b;c")
    has_partitioned = hasattr(SessionInterface, "get_cookie_partitioned")
    assert ("Secure; HttpOnly; Path=/; Partitioned" in cookie(SESSION_COOKIE_PARTITIONED=True)) is has_partitioned


# --- Versions of Flask, and others who read the cookie --------------------------------------------------------------


@pytest.mark.contract("C63")
@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_any_use_of_the_session_varies_the_response(interface_class, clock, use):
    """CVE-2023-30861 and CVE-2026-27205: a response that came of a session is that of one user only.

    Up to Flask 3.1.2 some uses went unnoticed; then ours is as good as the Flask it builds on.
    """
    reply = exchange(make_app(interface_class()), use, COOKIE)
    stock = exchange(make_app(Interface()), use, COOKIE)
    assert reply.all("Vary") == stock.all("Vary")
    if reply.cookies:
        assert reply.all("Vary") == ["Cookie"]


@pytest.mark.contract("C63")
def test_the_session_is_one_of_the_installed_flask(interface_class):
    assert issubclass(interface_class.session_class, SecureCookieSession)
    assert interface_class.null_session_class is NullSession
    for name in ("__init__", "__getitem__", "get", "setdefault", "update", "clear", "pop", "copy"):
        assert getattr(interface_class.session_class, name) is getattr(SecureCookieSession, name)


@pytest.mark.contract("C63")
def test_the_null_session_is_of_the_class_of_any_session(interface_class):
    app = make_app(interface_class(), SECRET_KEY=None)
    seen = exchange(app, lambda session: isinstance(session._get_current_object(), SecureCookieSession)).seen
    assert seen == [True]


@pytest.mark.contract("C64")
def test_session_transactions_of_the_test_client(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        seen: list[object] = []
        app.view_functions["view"] = lambda: seen.append(dict(flask.session)) or "ok"
        client = app.test_client()
        with client.session_transaction() as session:
            session["user"] = "ada"
            session["tuple"] = (1, b"a")
        client.get("/")
        with client.session_transaction("/", base_url="http://other.example") as session:
            seen.append(dict(session))
        with client.session_transaction() as session:
            session.pop("tuple")
            session.permanent = True
        response = client.get("/")
        with client.session_transaction() as session:
            session.clear()
        client.get("/")
        return seen, list(response.headers), client.get_cookie("session")

    seen, *_ = parity(scenario).value
    assert seen == [{"user": "ada", "tuple": (1, b"a")}, {}, {"user": "ada", "_permanent": True}, {}]


@pytest.mark.contract("C64", "C6")
def test_a_session_transaction_without_a_key(parity):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY=None)

        def transact() -> object:
            with app.test_client().session_transaction() as session:
                return dict(session)

        return outcome_of(transact)

    parity(scenario)


@pytest.mark.contract("C64")
def test_a_response_may_be_saved_twice(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        with app.test_request_context("/", headers={"Cookie": f"session={PERMANENT}"}):
            response = process_response(app, flask.Response("text"))
            flask.session["n"] = 1
            return list(process_response(app, response).headers)

    headers = parity(scenario).value
    assert [name for name, _ in headers].count("Set-Cookie") == 2


@pytest.mark.contract("C64")
def test_a_changed_session_is_never_taken_for_the_loaded_one(parity):
    """Saved, changed in place, saved again: each cookie says what the session held at that moment."""

    def scenario(interface_class):
        app = make_app(interface_class())
        tokens = []
        items: list[t.Any] = ["a", 1, 1.0, True, (1,), {"a": []}]
        with app.test_request_context("/", headers={"Cookie": f"session={CART}"}):
            for item in items:
                flask.session["cart"][0] = item
                flask.session.modified = True
                tokens.append(process_response(app, flask.Response()).headers["Set-Cookie"])
        return tokens

    assert len(set(parity(scenario).value)) == 6


@pytest.mark.contract("C64", "C10")
def test_requests_that_overlap_are_kept_apart(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        one, two = (app.test_request_context("/", headers={"Cookie": f"session={c}"}) for c in (COOKIE, PERMANENT))
        with one:
            flask.session["n"] = 1
            with two:
                flask.session["n"] = 2
                second = process_response(app, flask.Response())
            flask.session["m"] = 1
            first = process_response(app, flask.Response())
        return list(first.headers), list(second.headers)

    first, second = parity(scenario).value
    assert first != second


@pytest.mark.contract("C64")
def test_nothing_is_kept_in_the_interface(interface_class):
    interface = interface_class()
    before = sorted(vars(interface))
    app = make_app(interface)
    for view in (touch_nothing, store(n=1), clear):
        exchange(app, view, PERMANENT)
    assert sorted(vars(interface)) == before


@pytest.mark.contract("C64")
def test_a_streamed_response_keeps_its_session(parity):
    def view(session):
        session["n"] = 1

        @flask.stream_with_context
        def stream():
            yield str(flask.session.get("user"))
            yield str(flask.session.get("n"))

        return flask.Response(t.cast(t.Any, stream)())

    reply = parity(lambda interface_class: exchange(make_app(interface_class()), view, COOKIE)).value
    assert reply.body == b"ada1"
    assert reply.cookies


NULL_USES: dict[str, View] = {
    "or in place": merge,
    "set modified": set_attribute("modified", True),
    "set accessed": set_attribute("accessed", True),
    "pop with a default": lambda session: session.pop("x", None),
    "setdefault": lambda session: session.setdefault("x"),
    "set permanent": set_attribute("permanent", True),
    "set not permanent": set_attribute("permanent", False),
    "flash": lambda session: flask.flash("message"),
    "flashed": lambda session: flask.get_flashed_messages(),
}


@pytest.mark.contract("C64a", "C6")
@pytest.mark.parametrize("use", NULL_USES.values(), ids=list(NULL_USES))
def test_without_a_key_some_changes_pass_silently(parity, use):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY=None)
        return exchange(app, lambda session: outcome_of(use, session), COOKIE)

    reply = parity(scenario).value
    is_silent = use in [NULL_USES[name] for name in ("or in place", "set modified", "set accessed", "flashed")]
    assert (reply.seen[0].error is None) is is_silent
    assert not reply.cookies


@pytest.mark.contract("C65")
@pytest.mark.parametrize("missing", ["SECRET_KEY_FALLBACKS", "SESSION_COOKIE_PARTITIONED", "SESSION_COOKIE_DOMAIN"])
@pytest.mark.parametrize("view", [touch_nothing, store(n=1)])
def test_a_config_without_a_key_of_later_flask(parity, missing, view):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.config.pop(missing, None)
        return exchange(app, view, COOKIE)

    parity(scenario)


@pytest.mark.contract("C65")
def test_the_interface_has_what_the_installed_flask_has(interface_class):
    assert {name for name in dir(Interface) if not name.startswith("_")} <= set(dir(interface_class))


VALUE = {
    "user": "ada",
    "tuple": (1, (2,)),
    "bytes": b"\x00\xff",
    "date": datetime.datetime(2015, 10, 21, 7, 28, tzinfo=datetime.timezone.utc),
    "tag": {" t": [1]},
    "text": "é€😀" * 30,
    "numbers": [1, 1.5, 10**30, None, True],
}


@pytest.mark.contract("C66")
@pytest.mark.parametrize("writer", INTERFACES, ids=["stock", "ours"])
@pytest.mark.parametrize("reader", INTERFACES, ids=["stock", "ours"])
def test_deploys_and_rollbacks_lose_no_session(clock, writer, reader):
    token = exchange(make_app(writer()), store(**VALUE)).token
    reply = exchange(make_app(reader()), snapshot, token)
    assert exactly(reply.seen[0][0]) == exactly({key: VALUE[key] for key in sorted(VALUE)})


@pytest.mark.contract("C66")
def test_quart_reads_ours_and_ours_reads_quarts(interface_class, clock):
    app = make_app(interface_class(), SECRET_KEY_FALLBACKS=[])
    stranger = quart.sessions.SecureCookieSessionInterface().get_signing_serializer(t.cast(t.Any, app))
    assert stranger is not None
    own = serializer_of(app)
    assert exactly(stranger.loads(own.dumps(VALUE))) == exactly(VALUE)
    assert exactly(own.loads(stranger.dumps(VALUE))) == exactly(VALUE)


def decode(cookie: str) -> t.Any:
    """As the scripts do that look into a cookie without a key."""
    payload = cookie.rsplit(".", 2)[0]
    is_compressed = payload.startswith(".")
    payload = payload.lstrip(".")
    data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    return json.loads(zlib.decompress(data) if is_compressed else data)


@pytest.mark.contract("C66")
@pytest.mark.parametrize("text", ["short", "long enough to be compressed " * 9])
def test_scripts_that_look_into_cookies(interface_class, text):
    assert decode(dumps(interface_class, {"text": text, "tuple": (1,)})) == {"text": text, "tuple": {" t": [1]}}


@pytest.mark.contract("C66")
def test_a_flow_of_many_requests(parity, clock):
    """Login, visits, flashes, logout, as tutorials have it."""

    def login(session):
        session.clear()
        session.permanent = True
        session["_user_id"] = "42"
        flask.flash("Welcome!", "success")

    views = [touch_nothing, login, USES["flashed"], snapshot, touch_nothing, clear, snapshot]

    def scenario(interface_class):
        app = make_app(interface_class())
        clock.now = NOW
        replies, cookie = [], None
        for view in views:
            clock.now += 86_400
            reply = exchange(app, view, cookie)
            replies.append(reply)
            cookie = reply.token if reply.cookies else cookie
        return replies

    replies = parity(scenario).value
    assert replies[3].seen[0][0] == {"_permanent": True, "_user_id": "42"}
    assert replies[-1].seen[0][0] == {}


@pytest.mark.contract("C69")
def test_a_session_prints_as_stocks_does(parity):
    def look(session):
        kind = type(session._get_current_object())
        return repr(session), kind.__name__, kind.__qualname__

    kinds = parity(lambda interface_class: exchange(make_app(interface_class()), look).seen).value
    assert kinds[0][1] == "SecureCookieSession"
