"""C1-C14: what stands behind the interface, and what somebody has put in the place of parts of the libraries."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import typing as t
import uuid
from collections.abc import Callable
from datetime import timedelta

import flask
import itsdangerous
import pytest
import werkzeug.http
import werkzeug.sansio.http
import werkzeug.sansio.request
import werkzeug.sansio.response
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSession

from flask_fastsession import FastSessionInterface

from .parity import Interface
from .parity import dumps
from .parity import exchange
from .parity import make_app
from .parity import sealed_json
from .parity import snapshot
from .parity import store
from .parity import touch_nothing

COOKIE = sealed_json('{"user":"ada"}')

# --- Classes between the interface and stock's ----------------------------------------------------------------------


class KeysByHost(Interface):
    """Signs for each host with a key of its own."""

    def get_signing_serializer(self, app: flask.Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.secret_keys = [b"of " + flask.request.host.encode() + b" by " + app.name.encode()]
        return serializer


class SeesAll(Interface):
    """Opens and saves in a way of its own."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession | None:
        session = super().open_session(app, request)
        if session is not None:
            session["opened"] = True
        return session

    def save_session(self, app: flask.Flask, session: t.Any, response: flask.Response) -> None:
        super().save_session(app, session, response)
        response.headers["X-Saved"] = repr(dict(session))


@pytest.mark.contract("C3", "C12")
@pytest.mark.parametrize("theirs", [KeysByHost, SeesAll])
def test_a_class_between_ours_and_stocks_is_obeyed(parity: t.Any, theirs: type[Interface]) -> None:
    def scenario(interface_class: type[Interface]) -> object:
        interface = theirs() if interface_class is Interface else type("Both", (interface_class, theirs), {})()
        app = make_app(interface)
        first = exchange(app, store(n=1), base_url="http://a.example")
        return first, [
            exchange(app, snapshot, first.token, base_url=f"http://{host}.example") for host in ("a", "b", "a")
        ]

    parity(scenario)


# --- Defaults of itsdangerous's classes -----------------------------------------------------------------------------


class LaxSigner(itsdangerous.TimestampSigner):
    def get_signature(self, value: str | bytes) -> bytes:
        return b"lax"

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        return sig == b"lax"


DEFAULTS: dict[str, tuple[str, Callable[[], object]]] = {
    "a signer": ("default_signer", lambda: LaxSigner),
    "another digest": (
        "default_fallback_signers",
        lambda: [{"digest_method": hashlib.sha512, "key_derivation": "hmac"}],
    ),
    "another class": ("default_fallback_signers", lambda: [LaxSigner]),
    "none": ("default_fallback_signers", lambda: None),
}


@pytest.mark.contract("C2", "C3")
@pytest.mark.parametrize("when", ["before", "after", "in place"])
@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_of_the_serializers_class_count(
    parity: t.Any, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    attribute, value = DEFAULTS[name]
    owner = itsdangerous.URLSafeTimedSerializer

    def replace(patch: pytest.MonkeyPatch) -> None:
        if when == "in place" and isinstance(value(), list):
            # One that everybody shares, for else it would outlive this test.
            owner.default_fallback_signers.extend(t.cast("list[t.Any]", value()))
        else:
            patch.setattr(owner, attribute, value())

    other = Interface()
    other.digest_method = staticmethod(hashlib.sha512)
    by_sha512 = exchange(make_app(other), store(user="ada")).token
    by_lax = f"{by_sha512.rpartition('.')[0]}.lax"

    def scenario(interface_class: type[Interface]) -> object:
        app = make_app(interface_class())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, "default_fallback_signers", [])
            if when == "before":
                replace(patch)
            replies = [exchange(app, snapshot, COOKIE)]
            if when != "before":
                replace(patch)
            replies += [exchange(app, snapshot, cookie) for cookie in (COOKIE, by_sha512, by_lax)]
            return [*replies, exchange(app, store(n=1))]

    parity(scenario)


# --- Ways to look things up -----------------------------------------------------------------------------------------


def looking_up(base: t.Any, name: str, value: object) -> t.Any:
    def look_up(self: object, asked: str) -> object:
        return value if asked == name else base.__getattribute__(self, asked)

    return type(f"Looking{base.__name__}", (base,), {"__getattribute__": look_up})


LOOK_UPS = {
    "a key": ("app", "secret_key", "another key"),
    "a lifetime": ("app", "permanent_session_lifetime", timedelta(days=-1)),
    "cookies": ("request", "cookies", {"session": sealed_json('{"user":"bob"}')}),
    "dumps": ("provider", "dumps", lambda *args, **kwargs: '{"written":1}'),
    "loads": ("provider", "loads", lambda *args, **kwargs: {"read": 1}),
}


@pytest.mark.contract("C14")
@pytest.mark.parametrize("name", LOOK_UPS)
def test_classes_may_look_up_attributes_in_their_own_way(parity: t.Any, name: str) -> None:
    which, attribute, value = LOOK_UPS[name]

    def scenario(interface_class: type[Interface]) -> object:
        flask_class = looking_up(flask.Flask, attribute, value) if which == "app" else flask.Flask
        app = make_app(interface_class(), t.cast("type[flask.Flask]", flask_class))
        if which == "request":
            app.request_class = t.cast("type[flask.Request]", looking_up(flask.Request, attribute, value))
        if which == "provider":
            app.json = looking_up(DefaultJSONProvider, attribute, value)(app)
        return [exchange(app, view, COOKIE) for view in (snapshot, store(n=1), snapshot)]

    plain = [exchange(make_app(Interface()), view, COOKIE) for view in (snapshot, store(n=1), snapshot)]
    found = parity(scenario).value
    assert [(reply.status, reply.seen, reply.cookies) for reply in found] != [
        (reply.status, reply.seen, reply.cookies) for reply in plain
    ]


@pytest.mark.contract("C13")
@pytest.mark.parametrize("when", ["before", "after"])
def test_werkzeugs_functions_for_cookies_may_be_replaced(parity: t.Any, when: str) -> None:
    """Some add an attribute to all cookies so, or read them with another parser."""
    dump, parse = werkzeug.http.dump_cookie, werkzeug.sansio.http.parse_cookie
    swapped = sealed_json('{"user":"bob"}')

    def replace(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(werkzeug.sansio.response, "dump_cookie", lambda *a, **k: dump(*a, **k) + "; Priority=High")
        patch.setattr(
            werkzeug.sansio.request, "parse_cookie", lambda header, **k: parse(header.replace(COOKIE, swapped), **k)
        )

    def scenario(interface_class: type[Interface]) -> object:
        app = make_app(interface_class())
        with pytest.MonkeyPatch.context() as patch:
            if when == "before":
                replace(patch)
            replies = [exchange(app, store(n=1), COOKIE)]
            replace(patch)
            return [*replies, exchange(app, snapshot, COOKIE), exchange(app, store(n=1), COOKIE)]

    *_, seen, written = parity(scenario).value
    assert seen.seen[0][0] == {"user": "bob"}
    assert written.cookies[0].endswith("; Priority=High")


# --- Clocks and sizes -----------------------------------------------------------------------------------------------


@pytest.mark.contract("C18")
@pytest.mark.parametrize("error", [itsdangerous.BadSignature("no"), itsdangerous.SignatureExpired("no"), OSError("no")])
def test_a_clock_that_raises_when_a_session_is_opened(parity: t.Any, error: Exception) -> None:
    def read_clock() -> float:
        raise error

    def scenario(interface_class: type[Interface]) -> object:
        app = make_app(interface_class(), PROPAGATE_EXCEPTIONS=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", read_clock)
            return exchange(app, lambda session: dict(session), COOKIE)

    parity(scenario)


@pytest.mark.contract("C61")
@pytest.mark.parametrize("second", [1_700_000_000, 2**32 - 1, 2**32, 2**40, 2**53])
def test_a_cookie_is_measured_whenever_it_is_signed(
    parity: t.Any, monkeypatch: pytest.MonkeyPatch, second: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: float(second))

    def scenario(interface_class: type[Interface]) -> object:
        interface = interface_class()
        interface.digest_method = hashlib.sha512
        return [exchange(make_app(interface, MAX_COOKIE_SIZE=size), store(n=1)) for size in range(115, 150)]

    replies = parity(scenario).value
    assert {bool(reply.warned) for reply in replies} == {True, False}


# --- Values and classes ---------------------------------------------------------------------------------------------


@pytest.mark.contract("C36")
def test_uuids_that_were_given_a_method_html(parity: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"id": uuid.UUID(int=1)}
    before = dumps(Interface, value)
    monkeypatch.setattr(uuid.UUID, "__html__", lambda self: "<b>", raising=False)
    assert parity(lambda interface_class: dumps(interface_class, value)).value != before


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"^FastSessionInterface\(\) got an unexpected keyword argument 'digest'; did you mean \w+\?$"
    ):
        FastSessionInterface(digest=hashlib.sha256)  # type: ignore[arg-type]


@pytest.mark.contract("C4")
def test_an_interface_of_its_own_class_is_native_all_the_same() -> None:
    class Mine(FastSessionInterface):
        salt = "mine"

    interface = Mine()
    exchange(make_app(interface), store(n=1))
    exchange(make_app(interface), touch_nothing)
    assert interface.stats()["open"] == {"native": 2, "declined": {}}
    assert interface.stats()["save"] == {"native": 2, "declined": {}}


# --- Names that come and go -----------------------------------------------------------------------------------------


def other_cookies(request: flask.Request) -> dict[str, str]:
    return {"session": sealed_json('{"user":"bob"}')}


def failing_look_up(self: object, name: str) -> object:
    if name == "secret_key":
        return "another"
    return object.__getattribute__(self, name)


TRADES: dict[str, tuple[str, str, object]] = {
    "a key": ("app", "secret_key", "another"),
    "a property for the key": ("app", "secret_key", property(lambda app: "another")),
    "a lifetime": ("app", "permanent_session_lifetime", timedelta(days=-1)),
    "cookies": ("request", "cookies", property(other_cookies)),
    "a storage class": ("request", "dict_storage_class", lambda pairs: {}),
    "a look-up": ("app", "__getattribute__", failing_look_up),
}


@pytest.mark.contract("C67")
@pytest.mark.parametrize("where", ["class", "mixin before", "base of the mixin"])
@pytest.mark.parametrize("name", TRADES)
def test_a_class_that_trades_one_name_for_another(parity: t.Any, name: str, where: str) -> None:
    """The number of its names stays what it was."""
    which, attribute, value = TRADES[name]

    def scenario(interface_class: type[Interface]) -> object:
        base = type("Base", (), {"spare": None})
        mixin = type("Mixin", (base,), {"spare": None})
        library = flask.Flask if which == "app" else flask.Request
        own = type("Own", (mixin, library), {"spare": None})
        app = make_app(interface_class(), t.cast("type[flask.Flask]", own) if which == "app" else flask.Flask)
        if which == "request":
            app.request_class = own
        changed: t.Any = {"class": own, "mixin before": mixin, "base of the mixin": base}[where]
        before = [exchange(app, snapshot, COOKIE) for _ in range(3)]
        del changed.spare
        setattr(changed, attribute, value)
        after = [exchange(app, snapshot, COOKIE), exchange(app, store(n=1), COOKIE)]
        delattr(changed, attribute)
        changed.spare = None
        return before, after, exchange(app, snapshot, COOKIE)

    before, (after, _), undone = parity(scenario).value
    assert before[-1].seen == undone.seen != after.seen


REPLACED_NEW = """
import flask, itsdangerous
from flask_fastsession import FastSessionInterface

app = flask.Flask("app")
app.secret_key = "key"
app.session_interface = FastSessionInterface()
app.add_url_rule("/", view_func=lambda: flask.session.update(user="ada") or "done")
client = app.test_client()
client.get("/")
made = []
itsdangerous.URLSafeTimedSerializer.__new__ = lambda cls, *args, **kwargs: made.append(cls) or object.__new__(cls)
for interface in FastSessionInterface(), app.session_interface, flask.sessions.SecureCookieSessionInterface():
    app.session_interface = interface
    made.clear()
    client.get("/")
    print(len(made))
"""


@pytest.mark.contract("C67")
def test_a_serializer_that_is_made_in_another_way():
    """In a process of its own, since the interpreter cannot take a ``__new__`` back."""
    done = subprocess.run([sys.executable, "-c", REPLACED_NEW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "2", "2"]
