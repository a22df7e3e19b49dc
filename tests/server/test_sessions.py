"""A session in a request: when it is loaded, stored and sent as a cookie, and what a request has of it."""

from __future__ import annotations

import copy
import gc
import json
import logging
import operator
import pickle
import re
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from hashlib import sha256
from pathlib import Path

import flask
import flask.sessions
import pytest
import time_machine
from flask import Flask
from flask import session
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer
from markupsafe import Markup
from werkzeug.datastructures import CallbackDict
from werkzeug.http import parse_cookie

from flask_fastsession import SessionStoreError
from flask_fastsession.server import ServerSideSession
from flask_fastsession.server.record import NotARecord
from flask_fastsession.server.record import RecordFormat
from flask_fastsession.server.session import UnloadedSession
from tests.contract.parity import process_response
from tests.patience import HANGS_AFTER

from . import peer
from .conftest import MakeApp
from .conftest import SpyStore
from .conftest import app_with
from .interleavings import WithRows
from .servers import Server

MONTH = 31 * 24 * 60 * 60
BEGIN = {"user": "ann", "list": [1]}

Act = Callable[[], object]


def handle(app: Flask, act: Act, cookie: str | None = None) -> flask.Response:
    """The response to a request in which something is done."""
    headers = {} if cookie is None else {"Cookie": f"{app.config['SESSION_COOKIE_NAME']}={cookie}"}
    with app.test_request_context(headers=headers):
        act()
        return process_response(app, app.response_class())


def cookie_of(response: flask.Response) -> str | None:
    header = response.headers.get("Set-Cookie")
    return None if header is None else header.partition("=")[2].partition(";")[0]


def begun(app: Flask, **data: t.Any) -> str:
    cookie = cookie_of(handle(app, lambda: session.update(data or BEGIN)))
    assert cookie
    return cookie


def attributes_of(response: flask.Response) -> set[str]:
    (header,) = response.headers.getlist("Set-Cookie")
    return set(header.split("; ")[1:])


def record_of(spy: SpyStore) -> tuple[str, bytes]:
    ((key, (data, _)),) = spy.store.records.items()
    return key, data


@pytest.fixture
def app(spied_app: MakeApp) -> Flask:
    return spied_app()


@pytest.fixture
def cookie(app: Flask, spy: SpyStore) -> str:
    """That of a session which has begun; its calls are not counted."""
    cookie = begun(app)
    spy.counted()
    return cookie


# --- What is asked of the store -------------------------------------------------------------------------------------


def nothing() -> None:
    pass


def read() -> None:
    assert session["user"] == "ann"


def write() -> None:
    session["more"] = 2


def write_the_same() -> None:
    session["user"] = "ann"


def append() -> None:
    session["list"].append(2)


CALLS: dict[str, tuple[Act, dict[str, int]]] = {
    "untouched": (nothing, {}),
    "read": (read, {"load": 1}),
    "read often": (lambda: [read() for _ in range(5)], {"load": 1}),
    "written": (write, {"load": 1, "replace": 1}),
    "written often": (lambda: [write() for _ in range(5)], {"load": 1, "replace": 1}),
    "written as it was": (write_the_same, {"load": 1}),
    "changed in place": (append, {"load": 1, "replace": 1}),
    "ended": (lambda: session.clear(), {"load": 1, "delete": 1, "replace": 1}),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_for_a_session_that_was(app: Flask, spy: SpyStore, cookie: str, name: str) -> None:
    act, calls = CALLS[name]
    handle(app, act, cookie)
    assert spy.counted() == calls


NEW_CALLS: dict[str, tuple[Act, dict[str, int]]] = {
    "untouched": (nothing, {}),
    "read": (lambda: session.get("user"), {}),
    "written": (write, {"create": 1}),
    "ended": (lambda: session.clear(), {}),
    "written and ended": (lambda: (write(), session.clear()), {}),
    "made permanent": (lambda: setattr(session, "permanent", True), {}),
    "regenerated": (lambda: t.cast(t.Any, flask.current_app.session_interface).regenerate(session), {}),
}


@pytest.mark.parametrize("name", NEW_CALLS)
def test_calls_for_a_new_session_that_was(app: Flask, spy: SpyStore, name: str) -> None:
    act, calls = NEW_CALLS[name]
    response = handle(app, act)
    assert spy.counted() == calls
    assert len(spy.store.records) == len(calls)
    assert bool(cookie_of(response)) == bool(calls)


def test_calls_to_regenerate(app: Flask, spy: SpyStore, cookie: str) -> None:
    response = handle(app, lambda: app.session_interface.regenerate(session), cookie)  # type: ignore[attr-defined]
    assert spy.counted() == {"load": 1, "replace": 1, "create": 1}
    assert cookie_of(response) not in (None, cookie)


def test_an_untouched_session_is_left_alone(app: Flask, spy: SpyStore, cookie: str) -> None:
    before = dict(spy.store.records)
    response = handle(app, nothing, cookie)
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers
    assert spy.store.records == before


def test_what_changes_in_place_is_kept(app: Flask, cookie: str) -> None:
    handle(app, append, cookie)
    assert peer.session_of(app, cookie)["list"] == [1, 2]


def test_unhandled_paths_and_static_files_cost_nothing(app: Flask, spy: SpyStore, cookie: str) -> None:
    client = app.test_client()
    client.set_cookie("session", cookie)
    assert client.get("/nowhere").status_code == 404
    assert spy.counted() == {}


# --- Ids ------------------------------------------------------------------------------------------------------------

NO_IDS = [
    "",
    "a" * 15,
    "a" * 129,
    "a" * 15 + ".",
    "a" * 15 + " ",
    "a" * 20 + "%0a",
    "../" * 10,
    "a" * 20 + ":user",
    "user:" + "a" * 20,
    "a" * 20 + "\u00e9",
    "\u0661" * 20,
    "a" * 20 + "\0",
    "*" * 20,
]


@pytest.mark.parametrize("no_id", NO_IDS)
def test_what_is_no_id_never_reaches_the_store(app: Flask, spy: SpyStore, no_id: str) -> None:
    headers = {"Cookie": f'session="{no_id}"'.encode().decode("latin1")}
    with app.test_request_context(headers=headers):
        assert "user" not in session
        assert session.new
    assert spy.counted() == {}


@pytest.mark.parametrize("sid", ["a" * 16, "Z_-9" * 32])
def test_what_may_be_an_id_is_looked_up(app: Flask, spy: SpyStore, sid: str) -> None:
    handle(app, lambda: session.get("user"), sid)
    # The first once more, because another process may move it there meanwhile.
    assert spy.keys == [hashed_key(sid), f"session:{sid}", hashed_key(sid)]


def test_an_unknown_id_is_not_adopted(app: Flask, spy: SpyStore) -> None:
    given = "chosen-by-an-attacker"
    response = handle(app, write, given)
    assert cookie_of(response) not in (None, given)
    key, _ = record_of(spy)
    assert key == hashed_key(t.cast(str, cookie_of(response)))


def test_ids_are_all_different_and_as_long_as_configured(spied_app: MakeApp) -> None:
    for size, characters in ((12, 16), (32, 43), (96, 128)):
        app = spied_app(SESSION_ID_LENGTH=size)
        ids = {begun(app) for _ in range(50)}
        assert len(ids) == 50
        assert {len(sid) for sid in ids} == {characters}
        assert all(peer.session_of(app, sid)["user"] == "ann" for sid in ids)


def hashed_key(sid: str) -> str:
    return f"session:#{sha256(sid.encode()).hexdigest()}"


def test_hashed_ids_are_not_in_the_store(app: Flask, spy: SpyStore) -> None:
    cookie = begun(app)
    key, data = record_of(spy)
    assert key == hashed_key(cookie)
    assert cookie.encode() not in data
    assert peer.session_of(app, cookie)["user"] == "ann"
    for stored_name in (key.removeprefix("session:"), key.removeprefix("session:#"), key):
        assert "user" not in peer.session_of(app, stored_name)


@pytest.mark.parametrize("before", [True, False])
def test_ids_are_hashed_by_some_processes_and_not_by_others(spied_app: MakeApp, spy: SpyStore, before: bool) -> None:
    """As while a deployment is under way: nobody is logged out, and an end is one everywhere."""
    old, new = (spied_app(SESSION_HASH_SID=is_hashed) for is_hashed in (before, not before))
    cookie = begun(old)
    for app in (new, old, new, old):
        assert peer.session_of(app, cookie)["user"] == "ann"
        handle(app, write, cookie)
    assert len(spy.store.records) == 1
    handle(old, lambda: session.clear(), cookie)
    assert spy.store.records == {}
    assert "user" not in peer.session_of(new, cookie)


def test_a_session_under_its_id_is_given_the_key_of_a_hash_when_it_moves(spied_app: MakeApp, spy: SpyStore) -> None:
    """This store cannot hash the id in one step, and so does not when a session is found."""
    cookie = begun(spied_app(SESSION_HASH_SID=False))
    app = spied_app()
    assert peer.session_of(app, cookie)["user"] == "ann"
    assert record_of(spy)[0] == f"session:{cookie}"
    newer = cookie_of(handle(app, lambda: session.regenerate(), cookie))  # type: ignore[attr-defined]
    assert newer is not None
    assert hashed_key(newer) in spy.store.records
    assert peer.session_of(app, newer)["user"] == "ann"


def test_a_session_under_its_id_is_given_the_key_of_its_hash_when_found() -> None:
    store = WithRows()
    cookie = begun(app_with({"SESSION_TYPE": store, "SESSION_HASH_SID": False}))
    app = app_with({"SESSION_TYPE": store})
    for _ in range(2):
        assert peer.session_of(app, cookie)["user"] == "ann"
        assert store.load(hashed_key(cookie)) is not None
        assert store.load(f"session:{cookie}") is None


# --- Signed cookies -------------------------------------------------------------------------------------------------


def test_a_signed_cookie(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(SESSION_USE_SIGNER=True)
    cookie = begun(app)
    sid = Signer("secret", salt="flask-session", key_derivation="hmac").unsign(cookie).decode()
    assert record_of(spy)[0] == hashed_key(sid)
    assert peer.session_of(app, cookie)["user"] == "ann"
    spy.counted()
    for forged in (sid, cookie[:-1] + ("A" if cookie[-1] != "A" else "E"), f"{sid}.", "." + cookie, cookie + "x"):
        assert "user" not in peer.session_of(app, forged)
    assert spy.counted() == {}


def test_a_cookie_that_was_signed_with_a_former_key(spied_app: MakeApp) -> None:
    cookie = begun(spied_app(SESSION_USE_SIGNER=True))
    rotated = spied_app(SESSION_USE_SIGNER=True, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "secret"])
    assert peer.session_of(rotated, cookie)["user"] == "ann"
    new = begun(rotated)
    assert Signer("new", salt="flask-session", key_derivation="hmac").unsign(new)
    forgotten = spied_app(SESSION_USE_SIGNER=True, SECRET_KEY="new")
    assert "user" not in peer.session_of(forgotten, cookie)
    assert peer.session_of(forgotten, new)["user"] == "ann"


# --- The cookie and Vary, as with Flask's own sessions --------------------------------------------------------------

COOKIES: list[dict[str, t.Any]] = [
    {},
    {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_SAMESITE": "Lax"},
    {"SESSION_COOKIE_HTTPONLY": False, "SESSION_COOKIE_SAMESITE": "Strict"},
    {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_PARTITIONED": True},
    {"SESSION_COOKIE_DOMAIN": "example.com", "SESSION_COOKIE_PATH": "/app", "SESSION_COOKIE_NAME": "other"},
    {"APPLICATION_ROOT": "/root"},
    {"SESSION_COOKIE_NAME": "__Host-session", "SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_PATH": "/"},
]


def stock_app(config: dict[str, t.Any]) -> Flask:
    app = Flask("stock")
    app.secret_key = "secret"
    app.config.update(config)
    return app


def headers_of(response: flask.Response, name: str) -> list[str]:
    """All that matters to browsers and caches, but for the id."""
    values = [value for header, value in response.headers if header in ("Set-Cookie", "Vary")]
    return [re.sub(f"^{name}=[^;]+", f"{name}=...", value) for value in values]


@pytest.mark.parametrize("permanent", [True, False])
@pytest.mark.parametrize("config", COOKIES, ids=lambda config: " ".join(config) or "default")
def test_cookies_are_set_and_deleted_as_flask_does(
    spied_app: MakeApp, config: dict[str, t.Any], permanent: bool
) -> None:
    name = config.get("SESSION_COOKIE_NAME", "session")

    def begin() -> None:
        session.permanent = permanent
        session["user"] = "ann"

    seen = []
    with time_machine.travel(1_700_000_000, tick=False):
        for app in (stock_app(config), spied_app(SESSION_PERMANENT=False, **config)):
            response = handle(app, begin)
            cookie = cookie_of(response)

            def end() -> None:
                assert session["user"] == "ann"
                session.clear()
                session.pop("_permanent", None)

            seen.append([headers_of(each, name) for each in (response, handle(app, end, cookie))])
    stock, ours = seen
    assert ours == stock
    assert any("Max-Age=0" in value for value in ours[1])


@pytest.mark.parametrize(
    "act",
    [
        nothing,
        lambda: session.get("user"),
        lambda: "user" in session,
        lambda: len(session),
        lambda: list(session),
        lambda: bool(session),
        lambda: session.permanent,
        lambda: session.modified,
        lambda: session.pop("nothing", None),
    ],
)
@pytest.mark.parametrize("permanent", [True, False])
def test_vary_and_cookie_of_a_new_session_that_stays_empty(spied_app: MakeApp, act: Act, permanent: bool) -> None:
    stock, ours = (handle(app, act) for app in (stock_app({}), spied_app(SESSION_PERMANENT=permanent)))
    assert headers_of(ours, "session") == headers_of(stock, "session")


@pytest.mark.parametrize("act", [read, write, append, lambda: session.clear()])
def test_who_looks_at_a_session_makes_the_response_vary(app: Flask, cookie: str, act: Act) -> None:
    assert handle(app, act, cookie).headers["Vary"] == "Cookie"


def test_a_deleted_cookie_is_deleted_but_once(app: Flask, cookie: str) -> None:
    assert cookie_of(handle(app, lambda: session.clear(), cookie)) == ""
    assert cookie_of(handle(app, lambda: session.get("user"), cookie)) is None


def test_emptied_by_hand_is_not_ended(app: Flask, spy: SpyStore, cookie: str) -> None:
    """Another request may put something into it."""
    handle(app, lambda: [session.pop(key) for key in BEGIN], cookie)
    assert peer.session_of(app, cookie) == {"_permanent": True}
    handle(app, write, cookie)
    assert peer.session_of(app, cookie)["more"] == 2


@pytest.mark.parametrize("is_popped_first", [True, False])
def test_what_is_written_while_the_last_key_is_popped_is_kept(
    spied_app: MakeApp, spy: SpyStore, is_popped_first: bool
) -> None:
    app = spied_app()
    cookie = t.cast(str, cookie_of(handle(app, lambda: session.update(note=1))))
    inner, outer = (write, lambda: session.pop("note"))[:: -1 if is_popped_first else 1]
    responses = []

    def act() -> None:
        outer()
        responses.append(handle(app, inner, cookie))

    responses.append(handle(app, act, cookie))
    assert {cookie_of(response) for response in responses} <= {None, cookie}
    assert peer.session_of(app, cookie) == {"_permanent": True, "more": 2}


# --- Times ----------------------------------------------------------------------------------------------------------


def expiry_of(response: flask.Response) -> datetime | None:
    for attribute in attributes_of(response):
        if attribute.startswith("Expires="):
            return datetime.strptime(attribute[8:], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=timezone.utc)
    return None


def test_a_new_session_is_permanent_as_configured(spied_app: MakeApp) -> None:
    for permanent in (True, False):
        app = spied_app(SESSION_PERMANENT=permanent)
        response = handle(app, write)
        assert (expiry_of(response) is not None) == permanent
        assert peer.session_of(app, t.cast(str, cookie_of(response))).get("_permanent", False) == permanent


class Times:
    """An app whose store and cookies have one clock."""

    def __init__(self, make_app: MakeApp, spy: SpyStore, travelling: time_machine.Traveller, **config: t.Any) -> None:
        self.app = make_app(PERMANENT_SESSION_LIFETIME=1000, **config)
        self.spy = spy
        self.travelling = travelling
        spy.store.now = time.time()

    def passes(self, seconds: float) -> None:
        self.travelling.shift(seconds)
        self.spy.store.now = time.time()

    def ends(self) -> float | None:
        """In how many seconds the record does."""
        ((_, (_, end)),) = self.spy.store.records.items()
        return None if end is None else round(end - time.time())

    def is_set(self, act: Act, cookie: str) -> bool:
        return cookie_of(handle(self.app, act, cookie)) is not None


@pytest.fixture
def times(spied_app: MakeApp, spy: SpyStore) -> t.Iterator[Callable[..., Times]]:
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        yield lambda **config: Times(spied_app, spy, travelling, **config)


def test_reading_prolongs_the_record_and_now_and_then_the_cookie(times: Callable[..., Times]) -> None:
    at = times()
    cookie = begun(at.app)
    assert at.ends() == 1000
    at.passes(49)
    assert not at.is_set(read, cookie)
    assert at.ends() == 1000
    at.passes(1)
    assert at.is_set(read, cookie)
    at.passes(49)
    assert not at.is_set(write, cookie)
    for _ in range(10):
        at.passes(900)
        assert at.is_set(read, cookie)
    at.passes(1001)
    assert "user" not in peer.session_of(at.app, cookie)


def test_a_cookie_is_set_again_with_a_new_date(times: Callable[..., Times]) -> None:
    at = times()
    cookie = begun(at.app)
    at.passes(500)
    response = handle(at.app, read, cookie)
    assert cookie_of(response) == cookie
    assert expiry_of(response) == datetime.fromtimestamp(time.time() + 1000, timezone.utc)


@pytest.mark.parametrize(
    "act",
    [
        lambda: session.clear(),
        lambda: session.pop("user", None),
        lambda: setattr(session, "permanent", True),
        lambda: (write(), session.clear()),
    ],
)
def test_where_there_was_no_session_no_cookie_is_deleted(app: Flask, cookie: str, act: Act) -> None:
    """It may be a newer one by now, that came with a login after this request was sent."""
    handle(app, lambda: app.session_interface.regenerate(session), cookie)  # type: ignore[attr-defined]
    for late in (cookie, None):
        assert cookie_of(handle(app, act, late)) is None


def test_a_session_that_moves_while_it_is_emptied_keeps_its_new_cookie(app: Flask, cookie: str) -> None:
    def empty() -> None:
        for key in list(session):
            del session[key]
        handle(app, lambda: app.session_interface.regenerate(session), cookie)  # type: ignore[attr-defined]

    assert cookie_of(handle(app, empty, cookie)) is None


def test_refresh_each_request_off_renews_what_is_written_as_flask_does(times: Callable[..., Times]) -> None:
    at = times(SESSION_REFRESH_EACH_REQUEST=False)
    cookie = begun(at.app)
    for act, is_set in ((read, False), (write, True), (write, True), (read, False), (nothing, False)):
        at.passes(10)
        assert at.is_set(act, cookie) == is_set
    handle(at.app, lambda: setattr(session, "permanent", False), cookie)
    assert not at.is_set(write, cookie)


@pytest.mark.parametrize("lifetime", [600, 2000, 100_000])
def test_another_lifetime_is_that_of_the_next_cookie(times: Callable[..., Times], lifetime: int) -> None:
    at = times()
    cookie = begun(at.app)
    at.app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
    assert at.is_set(read, cookie)
    assert not at.is_set(read, cookie)
    at.passes(lifetime - 1)
    assert at.is_set(read, cookie)


def test_a_record_that_knows_only_when_its_cookie_was_set_is_renewed(
    times: Callable[..., Times], spy: SpyStore
) -> None:
    at = times()
    spy.store.create(
        "session:" + "a" * 43, b'~{"_permanent":true,"_server_side":{"refreshed":1700000000},"user":"ann"}', 100
    )
    assert at.is_set(read, "a" * 43)
    assert not at.is_set(read, "a" * 43)


def test_a_record_lives_no_longer_than_the_session_may(times: Callable[..., Times], spy: SpyStore) -> None:
    at = times(SESSION_ABSOLUTE_LIFETIME=300)
    cookie = begun(at.app)
    assert at.ends() == 300
    handle(at.app, read, cookie)
    assert at.ends() == 300


def test_a_cookie_that_an_older_key_has_signed_is_signed_anew(spied_app: MakeApp) -> None:
    app = spied_app(SESSION_USE_SIGNER=True, SESSION_PERMANENT=False)
    cookie = begun(app)
    app.secret_key, app.config["SECRET_KEY_FALLBACKS"] = "new", [app.secret_key]
    newer = cookie_of(handle(app, read, cookie))
    assert newer not in (None, cookie)
    app.config["SECRET_KEY_FALLBACKS"] = []
    assert cookie_of(handle(app, read, newer)) is None


def test_what_was_read_and_cannot_be_renewed_is_renewed_later(times: Callable[..., Times], spy: SpyStore) -> None:
    at = times()
    cookie = begun(at.app)
    at.passes(100)
    spy.failing = {"replace"}
    assert not at.is_set(read, cookie)
    with pytest.raises(SessionStoreError):
        handle(at.app, write, cookie)
    spy.failing = set()
    assert at.is_set(read, cookie)


def test_an_outage_is_nothing_to_views_that_do_not_look(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(SESSION_REFRESH_UNACCESSED=True, PERMANENT_SESSION_LIFETIME=1000)
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        cookie = begun(app)
        travelling.shift(100)
        for method in ("load", "replace"):
            spy.failing = {method}
            assert handle(app, nothing, cookie).status_code == 200
        spy.failing = set()
        assert cookie_of(handle(app, nothing, cookie)) == cookie


def test_a_value_that_only_the_configured_format_holds(spied_app: MakeApp) -> None:
    app = spied_app(SESSION_SERIALIZATION_FORMAT="msgpack")
    cookie = begun(app, markup=Markup("<b>"))
    handle(app, lambda: (session.pop("markup"), session.update(numbers={1, 2})), cookie)
    assert sorted(peer.session_of(app, cookie)["numbers"]) == [1, 2]


def test_refresh_each_request_off(times: Callable[..., Times]) -> None:
    at = times(SESSION_REFRESH_EACH_REQUEST=False)
    cookie = begun(at.app)
    at.passes(900)
    assert not at.is_set(read, cookie)
    assert not at.is_set(nothing, cookie)
    assert at.ends() == 1000


@pytest.mark.parametrize("refreshes", [True, False])
def test_an_app_that_calls_it_modified_renews_it(times: Callable[..., Times], spy: SpyStore, refreshes: bool) -> None:
    def call_it_modified() -> None:
        session.modified = True

    at = times(SESSION_REFRESH_EACH_REQUEST=refreshes)
    cookie = begun(at.app)
    at.passes(500)
    assert at.is_set(call_it_modified, cookie)
    assert at.ends() == 1000
    assert cookie_of(handle(at.app, call_it_modified)) is None
    spy.failing = {"load"}
    assert handle(at.app, call_it_modified, cookie).status_code == 200


def test_a_cookie_for_the_browser_session_is_not_set_again(times: Callable[..., Times]) -> None:
    at = times(SESSION_PERMANENT=False)
    cookie = begun(at.app)
    at.passes(900)
    assert not at.is_set(read, cookie)
    assert not at.is_set(write, cookie)
    assert at.ends() == 1000


@pytest.mark.parametrize("before", [True, False])
def test_a_cookie_is_set_again_when_it_becomes_permanent_or_no_longer(spied_app: MakeApp, before: bool) -> None:
    app = spied_app(SESSION_PERMANENT=before)
    cookie = begun(app)
    response = handle(app, lambda: setattr(session, "permanent", not before), cookie)
    assert cookie_of(response) == cookie
    assert (expiry_of(response) is None) == before


def test_untouched_sessions_are_refreshed_if_so_configured(times: Callable[..., Times], spy: SpyStore) -> None:
    at = times(SESSION_REFRESH_UNACCESSED=True)
    cookie = begun(at.app)
    at.passes(500)
    spy.counted()
    assert at.is_set(nothing, cookie)
    assert at.ends() == 1000
    assert spy.counted() == {"load": 1, "replace": 1}
    assert not at.is_set(nothing, "of-nobody-known-here")
    assert cookie_of(handle(at.app, nothing)) is None
    assert spy.counted() == {"load": 3}


def test_untouched_sessions_are_not_refreshed_otherwise(times: Callable[..., Times]) -> None:
    at = times()
    cookie = begun(at.app)
    at.passes(500)
    assert not at.is_set(nothing, cookie)
    assert at.ends() == 500


@pytest.mark.parametrize("limit", [2500, 2500.0, timedelta(seconds=2500)])
def test_absolute_lifetime(times: Callable[..., Times], spy: SpyStore, limit: object) -> None:
    at = times(SESSION_ABSOLUTE_LIFETIME=limit)
    cookie = begun(at.app)
    for _ in range(3):
        at.passes(800)
        handle(at.app, write if at.ends() else read, cookie)
        assert peer.session_of(at.app, cookie)["user"] == "ann"
    at.passes(99)
    assert peer.session_of(at.app, cookie)["user"] == "ann"
    at.passes(1)
    assert "user" not in peer.session_of(at.app, cookie)
    assert spy.store.records == {}


def test_absolute_lifetime_outlives_a_new_id(times: Callable[..., Times]) -> None:
    at = times(SESSION_ABSOLUTE_LIFETIME=1200)
    cookie = begun(at.app)
    at.passes(900)
    moved = cookie_of(handle(at.app, lambda: at.app.session_interface.regenerate(session), cookie))  # type: ignore[attr-defined]
    assert moved is not None
    at.passes(299)
    assert peer.session_of(at.app, moved)["user"] == "ann"
    at.passes(1)
    assert "user" not in peer.session_of(at.app, moved)


def test_who_logs_in_after_a_logout_has_an_absolute_lifetime_of_his_own(times: Callable[..., Times]) -> None:
    at = times(SESSION_ABSOLUTE_LIFETIME=1200)
    cookie = begun(at.app)
    at.passes(900)

    def log_in_anew() -> None:
        session.clear()
        session["user"] = "bob"

    cookie = cookie_of(handle(at.app, log_in_anew, cookie)) or cookie
    at.passes(600)
    assert peer.session_of(at.app, cookie).get("user") == "bob"


# --- A session that is not loaded is a dict like any other ----------------------------------------------------------

DICT_ACTS: dict[str, Callable[[t.Any], object]] = {
    "getitem": lambda s: s["user"],
    "getitem missing": lambda s: s["missing"],
    "setitem": lambda s: operator.setitem(s, "user", "bob"),
    "delitem": lambda s: operator.delitem(s, "user"),
    "delitem missing": lambda s: operator.delitem(s, "missing"),
    "contains": lambda s: ("user" in s, "missing" in s),
    "len": len,
    "bool": bool,
    "not": lambda s: not s,
    "iter": lambda s: list(s),
    "for": lambda s: [key for key in s],
    "reversed": lambda s: list(reversed(s)),
    "set": set,
    "sorted": sorted,
    "unpacked": lambda s: [*s],
    "keys": lambda s: list(s.keys()),
    "values": lambda s: list(s.values()),
    "items": lambda s: list(s.items()),
    "get": lambda s: (s.get("user"), s.get("missing"), s.get("missing", 1)),
    "pop": lambda s: s.pop("user"),
    "pop missing": lambda s: s.pop("missing"),
    "pop default": lambda s: s.pop("missing", 1),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault("user", 1),
    "setdefault missing": lambda s: s.setdefault("missing", 1),
    "update": lambda s: s.update({"user": 1}, more=2),
    "update nothing": lambda s: s.update(),
    "clear": lambda s: s.clear(),
    "copy": lambda s: s.copy(),
    "copy.copy": lambda s: copy.copy(s),
    "copy.deepcopy": lambda s: copy.deepcopy(s),
    "dict": dict,
    "dict with more": lambda s: dict(s, more=1),
    "double star": lambda s: {**s},
    "keywords": lambda s: (lambda **keywords: keywords)(**s),
    "dict.update": lambda s: (lambda d: (d.update(s), d))({}),
    "dict.fromkeys": lambda s: dict.fromkeys(s),
    "eq": lambda s: (s == {**BEGIN, "_permanent": True}, s == {}),
    "eq reflected": lambda s: ({**BEGIN, "_permanent": True} == s, {} == s),  # noqa: SIM300
    "ne": lambda s: (s != {}, s != {**BEGIN, "_permanent": True}),
    "ne reflected": lambda s: {} != s,  # noqa: SIM300
    "or": lambda s: s | {"more": 1},
    "or reflected": lambda s: {"more": 1} | s,
    "ior": lambda s: operator.ior(s, {"more": 1}) is s,
    "ior into": lambda s: operator.ior({"more": 1}, s),
    "repr": repr,
    "str": str,
    "format": lambda s: f"{s}",
    "format_map": lambda s: "{user}".format_map(s),
    "percent": lambda s: "%(user)s" % s,  # noqa: UP031
    "json": json.dumps,
    "json indented": lambda s: json.dumps(s, indent=1),
    "json sorted": lambda s: json.dumps(s, sort_keys=True),
    "json within": lambda s: json.dumps([s]),
    "flask.json": lambda s: flask.json.dumps(s),
    "tagged json": lambda s: flask.sessions.session_json_serializer.dumps(s),
    "match": lambda s: matched(s),
    "permanent": lambda s: s.permanent,
    "permanent set": lambda s: setattr(s, "permanent", False),
    "new": lambda s: s.new,
    "sid": lambda s: s.sid,
    "is_empty": lambda s: s.is_empty,
    "or with itself": lambda s: s | s,
    "union of items": lambda s: sorted(s.items() | {("more", 1)}, key=str) if "list" not in s else None,
    "isinstance": lambda s: (isinstance(s, dict), isinstance(s, CallbackDict), isinstance(s, ServerSideSession)),
    "hash": lambda s: s.__hash__,
    "template": lambda s: flask.render_template_string("{{ s.user }} {{ s['list'] }}", s=s),
}


def matched(s: object) -> object:
    match s:
        case {"user": user, **rest}:
            return user, rest
    return None


def outcome_of(act: Callable[[t.Any], object], subject: t.Any) -> tuple[object, ...]:
    try:
        result = act(subject)
    except Exception as error:
        result = type(error), str(error)
    if isinstance(result, ServerSideSession) and result is not subject:
        result = "a session", dict(result)
    return result, dict(subject), subject.accessed, subject.modified


@pytest.mark.parametrize("name", DICT_ACTS)
def test_an_unloaded_session_does_as_a_loaded_one(app: Flask, cookie: str, name: str) -> None:
    act = DICT_ACTS[name]
    with app.test_request_context():
        loaded, unloaded = peer.opened(app, cookie), peer.opened(app, cookie)
        assert len(loaded) == 3
        assert dict.__len__(unloaded) in (0, 1)
        assert outcome_of(act, unloaded) == outcome_of(act, loaded)
        if name not in ("isinstance", "hash"):
            assert type(unloaded) is type(loaded)


#: What is different from a cookie of Flask's by intention, or has no counterpart there.
OURS_ALONE = {"clear", "repr", "str", "format", "new", "sid", "is_empty", "isinstance"}


@pytest.mark.parametrize("name", [name for name in DICT_ACTS if name not in OURS_ALONE])
def test_a_session_does_as_one_of_flasks_own(app: Flask, cookie: str, name: str) -> None:
    act = DICT_ACTS[name]
    stock = flask.sessions.SecureCookieSession(peer.session_of(app, cookie))
    with app.test_request_context():
        ours, theirs = outcome_of(act, peer.opened(app, cookie)), outcome_of(act, stock)
    assert re.sub("ServerSideSession", "SecureCookieSession", repr(ours[0])) == re.sub(
        "<SecureCookieSession (.*)>", r"('a session', \1)", repr(theirs[0])
    )
    assert ours[1] == theirs[1]
    assert ours[3] == theirs[3]


def test_no_method_of_a_dict_was_forgotten(app: Flask, cookie: str) -> None:
    harmless = {"__class_getitem__", "__getattribute__", "__init__", "__new__", "__sizeof__", "fromkeys"}
    # They say NotImplemented, or nothing of what is in it.
    harmless |= {"__hash__", "__doc__", "__ge__", "__gt__", "__le__", "__lt__"}
    own = type(peer.opened(app, cookie)).__dict__
    assert vars(dict).keys() - harmless - own.keys() == set()


@pytest.mark.parametrize("permanent", [True, False])
def test_a_new_session_is_falsy_as_with_flask_session(spied_app: MakeApp, permanent: bool) -> None:
    app = spied_app(SESSION_PERMANENT=permanent)
    assert bool(peer.opened(app, None)) is bool(flask.sessions.SecureCookieSession())


def test_the_peer_is_falsy_when_new(redis_process: Server) -> None:
    with peer.client_of("redis", redis_process) as client:
        assert not peer.opened(peer.peer_app("redis", t.cast(t.Any, client)), None)


def test_a_session_keeps_no_request_alive_when_it_is_over(app: Flask, cookie: str) -> None:
    handle(app, read, cookie)
    gc.collect()
    before = len([each for each in gc.get_objects() if type(each) is ServerSideSession])
    for _ in range(20):
        handle(app, read, cookie)
    gc.collect()
    assert len([each for each in gc.get_objects() if type(each) is ServerSideSession]) <= before


# --- Around it: the test client, streaming, errors of views ---------------------------------------------------------


def test_session_transaction(app: Flask, spy: SpyStore) -> None:
    app.add_url_rule("/", view_func=lambda: dict(session))
    client = app.test_client()
    with client.session_transaction() as opened:
        opened["user"] = "ann"
    assert client.get("/").json == {"_permanent": True, "user": "ann"}
    with client.session_transaction() as opened:
        assert opened["user"] == "ann"
        opened.clear()
    assert client.get_cookie("session") is None
    assert spy.store.records == {}
    with client.session_transaction():
        pass
    assert client.get_cookie("session") is None


def test_a_client_that_preserves_its_context(app: Flask, cookie: str) -> None:
    app.add_url_rule("/", view_func=lambda: session["user"])
    with app.test_client() as client:
        client.set_cookie("session", cookie)
        client.get("/")
        assert session["list"] == [1]


def test_a_stream_reads_the_session(app: Flask, spy: SpyStore, cookie: str) -> None:
    @app.get("/")
    def stream() -> t.Any:
        @flask.stream_with_context
        def parts() -> t.Iterator[str]:
            yield "user: "
            yield session["user"]

        return app.response_class(t.cast(t.Any, parts)())

    client: FlaskClient = app.test_client()
    client.set_cookie("session", cookie)
    assert client.get("/").text == "user: ann"
    assert spy.counted() == {"load": 1}


def test_what_a_failing_view_wrote_is_kept_as_with_flask(app: Flask, cookie: str) -> None:
    @app.get("/")
    def fail() -> str:
        session["more"] = 2
        raise ZeroDivisionError

    client = app.test_client()
    client.set_cookie("session", cookie)
    assert client.get("/").status_code == 500
    assert peer.session_of(app, cookie)["more"] == 2


def test_what_cannot_be_stored_is_an_error_and_changes_nothing(app: Flask, spy: SpyStore, cookie: str) -> None:
    app.add_url_rule("/", view_func=lambda: session.update(more=object()) or "")
    client = app.test_client()
    client.set_cookie("session", cookie)
    before = dict(spy.store.records)
    response = client.get("/")
    assert response.status_code == 500
    assert "Set-Cookie" not in response.headers
    assert spy.store.records == before


# --- A store that fails ---------------------------------------------------------------------------------------------


@pytest.fixture
def failing_app(app: Flask, cookie: str) -> Flask:
    app.add_url_rule("/read", "read", view_func=lambda: session["user"])
    app.add_url_rule("/write", "write", view_func=lambda: session.update(more=2) or "done")
    app.add_url_rule("/regenerate", "regenerate", view_func=lambda: app.session_interface.regenerate(session) or "done")  # type: ignore[attr-defined]
    app.add_url_rule("/end", "end", view_func=lambda: session.clear() or "done")
    app.add_url_rule("/untouched", "untouched", view_func=lambda: "done")

    @app.get("/insist")
    def insist() -> str:
        for _ in range(3):
            with pytest.raises(SessionStoreError):
                session.get("user")
        return "done without"

    return app


@pytest.fixture
def client(failing_app: Flask, cookie: str) -> FlaskClient:
    client = failing_app.test_client()
    client.set_cookie("session", cookie)
    return client


@pytest.mark.parametrize("path", ["/read", "/write", "/regenerate", "/end"])
def test_an_error_handler_answers_where_loading_fails(
    failing_app: Flask, client: FlaskClient, spy: SpyStore, path: str
) -> None:
    failing_app.register_error_handler(SessionStoreError, lambda error: ("sorry", 503))
    spy.failing = {"load"}
    response = client.get(path)
    assert (response.status_code, response.text) == (503, "sorry")
    assert "Set-Cookie" not in response.headers
    assert spy.counted() == {"load": 1}


def test_an_error_handler_may_look_at_the_session_in_vain(
    failing_app: Flask, client: FlaskClient, spy: SpyStore
) -> None:
    @failing_app.errorhandler(SessionStoreError)
    def answer(error: SessionStoreError) -> tuple[str, int]:
        with pytest.raises(SessionStoreError) as raised:
            session.get("user")
        assert raised.value is error
        return "sorry", 503

    spy.failing = {"load"}
    assert client.get("/write").status_code == 503
    assert spy.counted() == {"load": 1}


def test_a_view_that_goes_on_without_its_session(client: FlaskClient, spy: SpyStore) -> None:
    before = dict(spy.store.records)
    spy.failing = {"load"}
    response = client.get("/insist")
    assert response.text == "done without"
    assert "Set-Cookie" not in response.headers
    assert spy.counted() == {"load": 1}
    assert spy.store.records == before


def test_without_a_handler_it_is_500(client: FlaskClient, spy: SpyStore) -> None:
    spy.failing = {"load"}
    assert client.get("/read").status_code == 500
    assert client.get("/untouched").text == "done"
    spy.failing = set()
    assert client.get("/read").text == "ann"


FAILING_WRITES = [("/write", "replace"), ("/regenerate", "replace"), ("/regenerate", "create"), ("/end", "delete")]


@pytest.mark.parametrize(("path", "method"), FAILING_WRITES)
def test_a_write_that_failed_is_answered_by_the_handler_for_500(
    failing_app: Flask, client: FlaskClient, spy: SpyStore, path: str, method: str
) -> None:
    causes = []

    @failing_app.errorhandler(500)
    def answer(error: t.Any) -> tuple[str, int]:
        causes.append(error.original_exception)
        return f"sorry, {session.get('user')}", 500

    spy.failing = {method}
    response = client.get(path)
    assert response.status_code == 500
    assert response.text.startswith("sorry")
    assert [type(cause) for cause in causes] == [SessionStoreError]
    assert "Set-Cookie" not in response.headers
    assert spy.counted()[method] == 1


@pytest.mark.parametrize(("path", "method"), [("/write", "replace"), ("/end", "delete")])
def test_a_session_is_still_there_after_a_write_that_failed(
    client: FlaskClient, spy: SpyStore, path: str, method: str
) -> None:
    spy.failing = {method}
    assert client.get(path).status_code == 500
    spy.failing = set()
    assert client.get("/read").text == "ann"


def test_a_new_session_that_cannot_be_created(failing_app: Flask, spy: SpyStore) -> None:
    spy.failing = {"create"}
    response = failing_app.test_client().get("/write")
    assert response.status_code == 500
    assert "Set-Cookie" not in response.headers
    assert spy.counted() == {"create": 1}


def test_a_sweep_that_fails_does_not_fail_a_request(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(SESSION_CLEANUP_N_REQUESTS=1)
    spy.failing = {"sweep"}
    response = handle(app, write)
    assert spy.counted() == {"create": 1, "sweep": 1}
    assert cookie_of(response)


def test_sweeping_by_the_way(times: Callable[..., Times], spy: SpyStore) -> None:
    at = times(SESSION_CLEANUP_N_REQUESTS=1)
    for _ in range(3):
        begun(at.app)
    at.passes(1001)
    begun(at.app)
    assert len(spy.store.records) == 1


# --- What is no record ----------------------------------------------------------------------------------------------


harm_done: list[str] = []


def do_harm(kind: str) -> None:
    harm_done.append(kind)


class Harm:
    """Whose pickle does harm when it is loaded."""

    def __reduce__(self) -> t.Any:
        return do_harm, ("harm",)


NO_RECORDS: dict[str, bytes] = {
    "empty": b"",
    "pickle": pickle.dumps(Harm()),
    "old pickle": pickle.dumps({"user": Harm()}, protocol=0),
    "text": b"hello",
    "number": b"1",
    "json list": b"[1]",
    "json cut": b'{"user": "ann"',
    "json twice": b"{}{}",
    "json bytes": b'{"user": "\xff"}',
    "json deep": b'{"a":' * 100_000,
    "msgpack cut": b"\x82\xa4user\xa3ann",
    "msgpack more": b"\x81\xa4user\xa3ann\x00",
    "msgpack list": b"\x91\x01",
    "msgpack bad text": b"\x81\xa4user\xa3\xff\xff\xff",
    "msgpack timestamp": b"\x81\xa1t\xc7\x0c\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
    "tagged": b"~",
    "tagged list": b"~[]",
    "tagged text": b"~hello",
    "tagged bytes": b'~{"user":"\xff"}',
    "tagged deep": b'~{"a":' * 100_000,
    "tagged uuid": b'~{"a":{" u":5}}',
    "tagged bad uuid": b'~{"a":{" u":"x"}}',
    "tagged date": b'~{"a":{" d":5}}',
    "tagged far date": b'~{"a":{" d":"Fri, 99 Nov 99999999999 00:00:00 GMT"}}',
    "tagged bytes number": b'~{"a":{" b":5}}',
    "tagged base64": b'~{"a":{" b":"x"}}',
    "tagged tuple": b'~{"a":{" t":5}}',
    "tagged dict": b'~{"a":{" di":5}}',
    "tagged empty dict": b'~{"a":{" di":{}}}',
    "tagged whole": b'~{" t":[1]}',
}


@pytest.mark.parametrize("name", NO_RECORDS)
def test_what_is_no_record_is_a_new_session_and_one_line_in_the_log(
    app: Flask, spy: SpyStore, cookie: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    key, _ = record_of(spy)
    spy.store.records[key] = (NO_RECORDS[name], None)

    def look() -> None:
        assert dict(session) == {"_permanent": True}
        assert session.new
        session["user"] = "bob"

    with caplog.at_level(logging.DEBUG):
        response = handle(app, look, cookie)
    assert cookie_of(response) not in (None, cookie)
    assert [(record.name, record.levelname) for record in caplog.records] == [("flask_fastsession", "WARNING")]
    assert harm_done == []
    assert cookie not in caplog.text


@given(st.sampled_from([b"", b"~", b'~{"a":{" ', b"{", b"\x81\xa1a", b"\x80"]), st.binary(max_size=40))
def test_any_bytes_are_a_session_or_none(beginning: bytes, rest: bytes) -> None:
    with suppress(NotARecord):
        assert type(RecordFormat("tagged").loads(beginning + rest)) is dict


@pytest.mark.parametrize("facts", [b"1", b"[]", b'{"begun":"x","refreshed":{},"user":5}', b'{"begun":-1}', b"null"])
def test_facts_that_are_none_do_no_harm(app: Flask, spy: SpyStore, cookie: str, facts: bytes) -> None:
    key, _ = record_of(spy)
    spy.store.records[key] = (b'{"user":"ann","_server_side":' + facts + b"}", None)
    handle(app, write, cookie)
    assert peer.session_of(app, cookie) == {"user": "ann", "more": 2}


def test_a_value_of_another_type_in_redis(redis_process: Server, caplog: pytest.LogCaptureFixture) -> None:
    with peer.client_of("redis", redis_process) as client:
        app = app_with({"SESSION_TYPE": "redis", "SESSION_REDIS": client})
        cookie = begun(app)
        t.cast(t.Any, client).delete(f"session:{cookie}")
        t.cast(t.Any, client).rpush(f"session:{cookie}", "element")
        assert cookie_of(handle(app, write, cookie)) not in (None, cookie)
        assert [record.name for record in caplog.records] == ["flask_fastsession"]


def test_the_peer_runs_what_it_finds(redis_process: Server) -> None:
    with peer.client_of("redis", redis_process) as client:
        app = peer.peer_app("redis", client)
        cookie = peer.cookie_with(app, {"user": 1})
        peer.put_record(app, cookie, pickle.dumps(Harm()))
        try:
            peer.opened(app, cookie)
            assert harm_done == ["harm"]
        finally:
            harm_done.clear()


# --- On each store --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serialization", ["tagged", "msgpack", "json"])
def test_a_session_from_its_beginning_to_its_end(make_app: MakeApp, serialization: str) -> None:
    app, other = (make_app(SESSION_SERIALIZATION_FORMAT=serialization) for _ in range(2))
    cookie = begun(app)
    for each in (other, app):
        handle(each, append, cookie)
    assert peer.session_of(other, cookie) == {"_permanent": True, "user": "ann", "list": [1, 2, 2]}
    moved = cookie_of(handle(app, lambda: app.session_interface.regenerate(session), cookie))  # type: ignore[attr-defined]
    assert moved is not None
    assert peer.session_of(other, cookie) == {"_permanent": True}
    handle(other, lambda: session.clear(), moved)
    assert peer.session_of(app, moved) == {"_permanent": True}


def test_formats_may_change_while_sessions_live(make_app: MakeApp) -> None:
    apps = [make_app(SESSION_SERIALIZATION_FORMAT=name) for name in ("tagged", "msgpack", "json", "tagged")]
    cookie = begun(apps[0])
    for app in apps:
        handle(app, append, cookie)
    assert peer.session_of(apps[0], cookie)["list"] == [1, 2, 2, 2, 2]


def test_flashed_markup_on_each_store(make_app: MakeApp) -> None:
    app = make_app()
    cookie = cookie_of(handle(app, lambda: flask.flash(t.cast(str, Markup("<b>hello</b>")))))
    messages: list[t.Any] = []
    handle(app, lambda: messages.extend(flask.get_flashed_messages()), cookie)
    assert messages == [Markup("<b>hello</b>")]
    assert type(messages[0]) is Markup


def test_nothing_is_made_before_a_session_is_touched(tmp_path: Path) -> None:
    app = app_with({"SESSION_SQLITE_PATH": tmp_path / "sub" / "sessions.sqlite"})
    handle(app, nothing, "a" * 43)
    assert list(tmp_path.iterdir()) == []


def test_cookies_of_others_are_left_alone(app: Flask, cookie: str) -> None:
    with app.test_request_context(headers={"Cookie": f"a=1; session={cookie}; session=other"}):
        assert parse_cookie(flask.request.headers["Cookie"])["a"] == "1"
        assert session["user"] == "ann"


def test_a_thread_that_is_late_finds_what_another_has_loaded(spied_app: MakeApp) -> None:
    """It has seen that nobody has loaded the session yet, and goes on when that is not so any more."""
    app = spied_app()
    cookie = begun(app, user="ada")
    loading, late, may_go_on = UnloadedSession.load.__code__, threading.Event(), threading.Event()

    def trace(frame: t.Any, event: str, _: object) -> t.Any:
        if frame.f_code is loading and "turn" in frame.f_locals and not late.is_set():
            late.set()
            assert may_go_on.wait(HANGS_AFTER)
        return trace

    def look(found: t.Any) -> object:
        sys.settrace(trace)
        return found.get("user")

    with app.test_request_context(headers={"Cookie": f"session={cookie}"}), ThreadPoolExecutor(1) as pool:
        found = session._get_current_object()  # type: ignore[attr-defined]
        seen = pool.submit(look, found)
        assert late.wait(HANGS_AFTER)
        assert found.get("user") == "ada"
        may_go_on.set()
        assert seen.result() == "ada"


@pytest.mark.parametrize("looks", ["store", "filter", "lifetime"])
def test_what_looks_at_a_session_while_it_is_loaded_does_not_wait_for_itself(
    spied_app: MakeApp, spy: SpyStore, looks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait for ever."""

    def look(*_: object) -> t.Any:
        if flask.has_request_context():
            session.get("user")

    app = spied_app(**({"SESSION_LIFETIME": look} if looks == "lifetime" else {}))
    with time_machine.travel(1_700_000_000) as travelling:
        cookie = begun(app)
        if looks == "store":
            spy.before["load"] = look
        elif looks == "filter":
            for key in spy.store.records:
                spy.store.records[key] = (b"no record", None)
            monkeypatch.setattr(logging.getLogger("flask_fastsession"), "filters", [look])
        else:
            travelling.shift(app.permanent_session_lifetime + timedelta(seconds=1))
        with pytest.raises(RuntimeError, match="The session is being loaded"):
            handle(app, read, cookie)
