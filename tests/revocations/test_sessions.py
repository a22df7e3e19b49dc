"""What revocations do to the sessions of an app; two apps on one store are two processes."""

from __future__ import annotations

import copy
import json
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta

import flask_login
import pytest
from flask import Flask
from flask import request
from flask import session
from flask import stream_with_context
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSession
from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import SessionStoreError
from flask_fastsession import signals
from flask_fastsession._native import IDENTITY_KEY
from flask_fastsession.revocations import revocations as module

from .conftest import BESIDE
from .conftest import MakeApp
from .conftest import MemoryStore
from .conftest import Monotonic
from .conftest import app_with
from .conftest import cookie_of
from .conftest import logged_in
from .conftest import shows

ADA = {"user": "ada"}

#: For what stock reads as well.
SIGNED = [pytest.param(options, id=name) for name, options in BESIDE.items() if "encrypt" not in options]


@pytest.fixture
def here(make_app: MakeApp, monotonic: Monotonic) -> Flask:
    return make_app()


@pytest.fixture
def there(make_app: MakeApp, monotonic: Monotonic) -> Flask:
    return make_app()


def fetched(app: Flask) -> None:
    revocations = t.cast(FastSessionInterface, app.session_interface)._options.revocations
    assert revocations is not None
    revocations.fetch()


def payload_of(app: Flask, cookie: str) -> dict[str, t.Any]:
    """What stands in a cookie."""
    serializer = t.cast(FastSessionInterface, app.session_interface).get_signing_serializer(app)
    assert serializer is not None
    return t.cast("dict[str, t.Any]", serializer.loads(cookie))


def id_in(app: Flask, cookie: str) -> str:
    return str(payload_of(app, cookie)[IDENTITY_KEY].partition(":")[0])


# --- Ending ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/logout", "/revoke", "/revoke/ada"])
def test_a_copy_is_refused_at_once_here_and_soon_everywhere(
    here: Flask, there: Flask, monotonic: Monotonic, path: str
) -> None:
    client, copied = logged_in(here)
    assert shows(here, copied) == shows(there, copied) == ADA
    response = client.get(path)
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert shows(here, copied) == {}
    assert shows(there, copied) == ADA
    monotonic.now += 5
    assert shows(there, copied) == {}
    assert client.get("/").json == {}


def test_all_sessions_of_a_user_but_one(here: Flask, there: Flask) -> None:
    others = [logged_in(app)[1] for app in (here, there)]
    bob = logged_in(there, "bob")[1]
    client, own = logged_in(here)
    client.get("/revoke-others/ada")
    fetched(there)
    for app in (here, there):
        assert [shows(app, cookie) for cookie in others] == [{}, {}]
        assert shows(app, bob) == {"user": "bob"}
        assert shows(app, own) == ADA
    assert client.get("/").json == ADA
    # Again, and the one that was kept before can be ended.
    again, _ = logged_in(there)
    again.get("/revoke-others/ada")
    fetched(here)
    assert shows(here, own) == {}


def test_several_sessions_are_kept(here: Flask, there: Flask) -> None:
    interface = t.cast(FastSessionInterface, here.session_interface)
    cookies = [logged_in(here)[1] for _ in range(3)]
    with here.app_context():
        opened = []
        for cookie in cookies[:2]:
            with here.test_request_context(headers={"Cookie": f"session={cookie}"}) as context:
                opened.append(interface.open_session(here, context.request))
        interface.revoke_user("ada", keep=t.cast(t.Any, opened))
    assert [shows(there, cookie) for cookie in cookies] == [ADA, ADA, {}]


def test_who_logs_in_later_is_not_refused(here: Flask, there: Flask) -> None:
    """Login, revocation and login within one second."""
    before = logged_in(here)[1]
    logged_in(here)[0].get("/revoke/ada")
    after = [logged_in(app)[1] for app in (here, there)]
    for app in (here, there):
        assert shows(app, before) == {}
        assert [shows(app, cookie) for cookie in after] == [ADA, ADA]


def test_what_is_put_in_after_clear_is_another_session(here: Flask, there: Flask) -> None:
    @here.get("/again")
    def again() -> str:
        session.clear()
        session["user"] = "bob"
        return "again"

    client, before = logged_in(here)
    client.get("/again")
    after = cookie_of(client)
    fetched(there)
    for app in (here, there):
        assert shows(app, before) == {}
        assert shows(app, after) == {"user": "bob"}
    ids = [id_in(here, cookie) for cookie in (before, after)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("revokes", ["session", "user"])
def test_a_login_after_a_revocation_in_one_request(here: Flask, there: Flask, revokes: str) -> None:
    """As after a change of the password."""
    interface = t.cast(FastSessionInterface, here.session_interface)

    @here.get("/change")
    def change() -> str:
        if revokes == "user":
            interface.revoke_user("ada")
        else:
            interface.revoke(session)
        assert not session
        session["user"] = "ada"
        interface.bind_user(session, "ada")
        return "changed"

    client, before = logged_in(here)
    client.get("/change")
    fetched(there)
    for app in (here, there):
        assert (shows(app, before), shows(app, cookie_of(client))) == ({}, ADA)


def test_an_id_is_kept_until_the_session_ends(here: Flask, there: Flask) -> None:
    client = here.test_client()
    client.get("/put/color/red")
    copied = cookie_of(client)
    for path in ("/login/ada", "/put/color/blue", "/login/bob"):
        client.get(path)
    assert id_in(here, copied) == id_in(here, cookie_of(client))
    client.get("/logout")
    fetched(there)
    assert shows(there, copied) == {}


def test_an_emptied_session_is_not_ended(here: Flask, store: MemoryStore) -> None:
    """As on the server: another request may be about to put something into it."""

    @here.get("/pop")
    def pop() -> str:
        session.pop("user")
        return "popped"

    client, copied = logged_in(here)
    store.counted()
    assert "Max-Age=0" in client.get("/pop").headers["Set-Cookie"]
    assert shows(here, copied) == ADA
    assert store.counted() == []


def test_sessions_that_no_browser_has_need_no_revocation(here: Flask, store: MemoryStore) -> None:
    @here.get("/nothing")
    def nothing() -> str:
        session["a"] = 1
        session.clear()
        t.cast(FastSessionInterface, here.session_interface).bind_user(session, "ada")
        session.clear()
        return "nothing"

    client = here.test_client()
    client.get("/nothing")
    assert store.entries == []
    client.get("/logout")
    client.get("/revoke")
    assert store.entries == []


def test_a_session_that_is_revoked_during_its_request_is_not_saved(here: Flask, there: Flask) -> None:
    copies: list[str] = []

    @here.get("/slow")
    def slow() -> str:
        session["more"] = 1
        other = there.test_client()
        other.set_cookie("session", copies[0])
        other.get("/logout")
        fetched(here)
        return "slow"

    client, copied = logged_in(here)
    copies.append(copied)
    response = client.get("/slow")
    assert "Set-Cookie" not in response.headers
    assert shows(here, copied) == {}


@pytest.mark.parametrize("act", ["clear", "bind", "keep", "revoke"])
def test_who_has_a_revoked_session_makes_no_other_of_it(
    here: Flask, there: Flask, store: MemoryStore, act: str
) -> None:
    """In a process that has not heard of it yet."""
    thief = t.cast(FastSessionInterface, there.session_interface)

    @there.get("/rotate")
    def rotate() -> str:
        data = dict(session)
        if act == "clear":
            session.clear()
        elif act == "bind":
            thief.bind_user(session, "ada")
        elif act == "keep":
            thief.revoke_user("ada", keep=session)
        else:
            thief.revoke(session)
        session.update(data)
        return "rotated"

    client, copied = logged_in(here)
    assert shows(there, copied) == ADA
    client.get("/revoke/ada")
    other = there.test_client()
    other.set_cookie("session", copied)
    assert other.get("/").json == ADA
    assert "Set-Cookie" not in other.get("/rotate").headers
    assert other.get("/").json == {}


# --- What the app sees ----------------------------------------------------------------------------------------------


def test_an_app_neither_sees_nor_sets_what_a_session_carries(here: Flask) -> None:
    @here.get("/forge")
    def forge() -> str:
        assert IDENTITY_KEY not in session
        session[IDENTITY_KEY] = f"{'0' * 32}:{2**52}"
        return "forged"

    client, cookie = logged_in(here)
    carried = payload_of(here, cookie)[IDENTITY_KEY]
    for _ in range(2):
        client.get("/forge")
        assert payload_of(here, cookie_of(client))[IDENTITY_KEY] == carried
    assert client.get("/").json == ADA
    fresh = here.test_client()
    fresh.get("/forge")
    assert cookie_of(fresh) == ""


@pytest.mark.parametrize("user", ["ada", "", "x" * 50, "\u00e4\u2603", '"'])
def test_it_takes_63_bytes_beside_the_user(here: Flask, user: str) -> None:
    with here.test_request_context():
        interface = t.cast(FastSessionInterface, here.session_interface)
        session["a"] = 1
        interface.bind_user(session, user)
        response = here.response_class()
        interface.save_session(here, t.cast(t.Any, session)._get_current_object(), response)
        cookie = response.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        data = payload_of(here, cookie)
    assert data[IDENTITY_KEY].endswith(f"={user}")
    beside = len(here.json.dumps(data, separators=(",", ":"))) - len('{"a":1}') - len(json.dumps(user))
    assert beside <= 63


@pytest.mark.parametrize("make_app", SIGNED, indirect=True)
def test_a_session_that_says_the_same_keeps_its_payload(here: Flask) -> None:
    @here.get("/permanent")
    def permanent() -> str:
        session.permanent = True
        return "permanent"

    client, _ = logged_in(here)
    client.get("/permanent")
    before = cookie_of(client)
    client.get("/")
    assert cookie_of(client).partition(".")[0] == before.partition(".")[0]
    stats = here.session_interface.stats()  # type: ignore[attr-defined]
    assert stats["open"]["declined"] == stats["save"]["declined"] == {}


def test_ordinary_requests_send_no_command(here: Flask, store: MemoryStore) -> None:
    clients = [logged_in(here, f"user {number}")[0] for number in range(5)]
    store.counted()
    for client in clients:
        for path in ("/", "/put/color/red", "/"):
            client.get(path)
    assert here.test_client().get("/put/color/red").status_code == 200
    assert store.counted() == []


@pytest.mark.parametrize("make_app", [pytest.param({}, id="alone")], indirect=True)
def test_commands_of_10_000_requests_in_10_seconds(here: Flask, store: MemoryStore, monotonic: Monotonic) -> None:
    check_commands(here, store, monotonic, 10_000)


def test_commands_in_10_seconds(here: Flask, store: MemoryStore, monotonic: Monotonic) -> None:
    check_commands(here, store, monotonic, 1_000)


def check_commands(app: Flask, store: MemoryStore, monotonic: Monotonic, requests: int) -> None:
    cookie = logged_in(app)[1]
    client = app.test_client(use_cookies=False)
    monotonic.now += 5
    store.counted()
    for _ in range(requests):
        monotonic.now += 10 / requests
        client.get("/", headers={"Cookie": f"session={cookie}"})
    assert 2 <= len(store.counted()) <= 3


def test_stats_and_signals(here: Flask, there: Flask) -> None:
    told: list[t.Any] = []
    with (
        signals.session_refused.connected_to(lambda app, reason: told.append((app, reason))),
        signals.session_revoked.connected_to(lambda app: told.append(app)),
    ):
        client, copied = logged_in(here)
        client.get("/revoke")
        fetched(there)
        shows(there, copied)
        client.get("/revoke/bob")
    assert told == [here, (there, "revoked"), here]
    stats = [app.session_interface.stats()["revocations"] for app in (here, there)]  # type: ignore[attr-defined]
    assert [(each["revoked"], each["refused"], each["waiting"]) for each in stats] == [(2, 0, 0), (0, 1, 0)]


def test_a_session_that_is_cleared_has_ended(here: Flask, store: MemoryStore) -> None:
    told: list[t.Any] = []
    with signals.session_ended.connected_to(lambda app: told.append(app)):
        client, _ = logged_in(here)
        assert told == []
        client.get("/logout")
        client.get("/logout")
        assert told == [here]
        client, _ = logged_in(here)
        store.is_failing = True
        assert client.get("/logout").status_code == 500
        assert told == [here]


# --- Without it -----------------------------------------------------------------------------------------------------


def test_without_revocations() -> None:
    app = Flask("app")
    app.secret_key = "secret"
    app.session_interface = interface = FastSessionInterface()
    with app.test_request_context():
        session["a"] = 1
        interface.bind_user(session, "ada")
        assert dict(session) == {"a": 1}
        for call in (lambda: interface.revoke(session), lambda: interface.revoke_user("ada")):
            with pytest.raises(RuntimeError, match=r"revocations=\.\.\."):
                call()
        session.clear()
    assert "revocations" not in interface.stats()


def test_what_is_no_revocations_is_an_error(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="revocations must be"):
        FastSessionInterface(revocations=t.cast(t.Any, store))


def test_without_a_secret_key(store: MemoryStore) -> None:
    app = Flask("app")
    app.session_interface = interface = FastSessionInterface(revocations=Revocations(store))
    with app.test_request_context(), pytest.raises(TypeError, match="NullSession"):
        interface.bind_user(session, "ada")


class OwnSession(FastSession):
    pass


class OtherSession(SecureCookieSession):
    pass


def test_a_session_class_that_cannot_hold_it_is_an_error(make_app: MakeApp) -> None:
    app = make_app()
    app.testing = True
    app.session_interface.session_class = OtherSession  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="OtherSession"):
        app.test_client().get("/")


def test_a_session_class_that_extends_ours(make_app: MakeApp, monotonic: Monotonic) -> None:
    apps = [make_app(), make_app()]
    for app in apps:
        app.session_interface.session_class = OwnSession  # type: ignore[attr-defined]
    client, copied = logged_in(apps[0])
    client.get("/logout")
    assert shows(apps[0], copied) == {}
    monotonic.now += 6
    assert shows(apps[1], copied) == {}


OPTIONS: dict[str, dict[str, t.Any]] = {
    "none": {},
    "absolute lifetime": {"absolute_lifetime": 1000},
    "oversize": {"oversize": "raise"},
    "leeway": {"leeway": 5},
    "all": {"absolute_lifetime": 1000, "oversize": "raise", "leeway": 5, "resign_fallbacks": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_other_options_apply_as_well(make_app: MakeApp, options: dict[str, t.Any]) -> None:
    here, there = make_app(**options), make_app(**options)
    client, copied = logged_in(here)
    assert client.get("/").json["user"] == "ada"
    other = logged_in(there)[1]
    client.get("/revoke-others/ada")
    assert shows(here, copied)["user"] == "ada"
    fetched(there)
    assert shows(there, other) == {}
    client.get("/logout")
    assert shows(here, copied) == {}


def test_an_interface_that_overrides_a_step(store: MemoryStore) -> None:
    class Own(FastSessionInterface):
        def get_cookie_samesite(self, app: Flask) -> str:
            return "Lax"

        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            return super().open_session(app, request)

    app = Flask("app")
    app.secret_key = "secret"
    app.session_interface = interface = Own(revocations=Revocations(store))

    @app.get("/")
    def show() -> dict[str, t.Any]:
        return dict(session)

    @app.get("/login/<user>")
    def log_in(user: str) -> str:
        session["user"] = user
        interface.bind_user(session, user)
        return "in"

    @app.get("/logout")
    def log_out() -> str:
        session.clear()
        return "out"

    client, copied = logged_in(app)
    assert shows(app, copied) == ADA
    client.get("/logout")
    assert shows(app, copied) == {}


# --- Sessions from before -------------------------------------------------------------------------------------------


def app_of_stock() -> Flask:
    app = Flask("app")
    app.secret_key = "secret"
    app.session_interface = SecureCookieSessionInterface()

    @app.get("/put/<name>/<value>")
    def put(name: str, value: str) -> str:
        session[name] = value
        return "put"

    @app.get("/")
    def show() -> dict[str, t.Any]:
        return dict(session)

    return app


def from_before(**data: t.Any) -> str:
    client = app_of_stock().test_client()
    for name, value in data.items():
        client.get(f"/put/{name}/{value}")
    return cookie_of(client)


def user_in(data: t.Mapping[str, t.Any]) -> object:
    return data.get("user")


def test_a_session_from_before_is_upgraded_once(here: Flask, store: MemoryStore) -> None:
    cookie = from_before(color="red")
    client = here.test_client()
    client.set_cookie("session", cookie)
    fetched(here)
    store.counted()
    for _ in range(3):
        assert client.get("/").json == {"color": "red"}
    assert store.counted() == ["since"]
    assert IDENTITY_KEY in payload_of(here, cookie_of(client))


def test_each_copy_of_a_session_from_before_is_the_same(here: Flask, there: Flask) -> None:
    cookie = from_before(color="red")
    clients = [app.test_client() for app in (here, there)]
    for client in clients:
        client.set_cookie("session", cookie)
        client.get("/")
    first, second = (payload_of(here, cookie_of(client))[IDENTITY_KEY] for client in clients)
    assert first == second
    clients[0].get("/logout")
    fetched(there)
    for app in (here, there):
        # The copy as it was, spelled in another way, and as it was upgraded.
        for copied in (cookie, cookie + "=", cookie_of(clients[1])):
            assert shows(app, copied) == {}


@pytest.mark.parametrize("user_of", [None, user_in], ids=["of Flask-Login", "own"])
def test_a_user_of_sessions_from_before_is_revoked(
    make_app: MakeApp, user_of: Callable[..., object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = make_app(user_of=user_of), make_app(user_of=user_of)
    key = "user" if user_of else "_user_id"
    before = from_before(**{key: "ada"})
    upgraded = there.test_client()
    upgraded.set_cookie("session", before)
    upgraded.get("/")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2)
    logged_in(here, "bob")[0].get("/revoke/ada")
    monkeypatch.setattr(time, "time", lambda: now + 4)
    after = from_before(**{key: "ada"})
    fetched(there)
    for app in (here, there):
        assert shows(app, before) == shows(app, cookie_of(upgraded)) == {}
        assert shows(app, after) == {key: "ada"}


def test_the_leeway_counts_for_sessions_from_before(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(user_of=user_in, leeway=10)
    now = time.time()
    logged_in(app, "bob")[0].get("/revoke/ada")
    monkeypatch.setattr(time, "time", lambda: now + 5)
    assert shows(app, from_before(user="ada")) == {}
    monkeypatch.setattr(time, "time", lambda: now + 15)
    assert shows(app, from_before(user="ada")) == ADA


@pytest.mark.parametrize("make_app", SIGNED, indirect=True)
def test_stock_carries_it_along_and_the_way_back(here: Flask, there: Flask) -> None:
    client, _ = logged_in(here)
    carried = payload_of(here, cookie_of(client))[IDENTITY_KEY]
    stock = app_of_stock().test_client()
    stock.set_cookie("session", cookie_of(client))
    stock.get("/put/color/red")
    assert stock.get("/").json == {IDENTITY_KEY: carried, "color": "red", "user": "ada"}
    client.set_cookie("session", cookie_of(stock))
    assert client.get("/").json == {"color": "red", "user": "ada"}
    logged_in(there)[0].get("/revoke/ada")
    fetched(here)
    assert client.get("/").json == {}


@pytest.mark.parametrize("make_app", SIGNED, indirect=True)
def test_who_logs_in_on_stock_is_known_by_it(here: Flask, there: Flask) -> None:
    client, _ = logged_in(here)
    client.get("/put/_user_id/ada")
    anonymous = here.test_client()
    anonymous.get("/put/color/red")
    for former in (client, anonymous):
        stock = app_of_stock().test_client()
        stock.set_cookie("session", cookie_of(former))
        stock.get("/put/_user_id/bob")
        former.set_cookie("session", cookie_of(stock))
        former.get("/")
    # The first one was bound by the app.
    assert payload_of(here, cookie_of(client))[IDENTITY_KEY].endswith("=ada")
    assert payload_of(here, cookie_of(anonymous))[IDENTITY_KEY].endswith(":bob")


# --- Stores that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/logout", "/revoke", "/revoke/ada"])
def test_a_revocation_that_cannot_be_stored(
    here: Flask, there: Flask, store: MemoryStore, monotonic: Monotonic, path: str
) -> None:
    client, copied = logged_in(here)
    store.is_failing = True
    response = client.get(path)
    assert response.status_code == 500
    assert response.headers.getlist("Set-Cookie")[-1].startswith("session=; Expires=Thu, 01 Jan 1970")
    assert cookie_of(client) == ""
    assert shows(here, copied) == {}
    assert here.session_interface.stats()["revocations"]["waiting"] == 1  # type: ignore[attr-defined]
    store.is_failing = False
    monotonic.now += 6
    assert shows(here, logged_in(here)[1]) == ADA
    fetched(there)
    assert shows(there, copied) == {}


@pytest.mark.parametrize("path", ["/logout", "/revoke", "/revoke/ada"])
def test_the_answer_of_an_error_handler_deletes_the_cookie(here: Flask, store: MemoryStore, path: str) -> None:
    @here.errorhandler(SessionStoreError)
    def without_store(error: SessionStoreError) -> tuple[str, int]:
        return "come back later", 503

    @here.errorhandler(500)
    def failed(error: t.Any) -> tuple[str, int]:
        assert isinstance(error.original_exception, SessionStoreError)
        return "come back later", 503

    client, copied = logged_in(here)
    store.is_failing = True
    response = client.get(path)
    assert (response.status_code, response.text) == (503, "come back later")
    assert response.headers.getlist("Set-Cookie")[-1].startswith("session=; Expires=Thu, 01 Jan 1970")
    assert shows(here, copied) == {}


@pytest.mark.parametrize("on_outage", ["keep", "accept", "refuse"])
@pytest.mark.parametrize("has_list", [True, False])
def test_sessions_while_the_store_is_away(
    make_app: MakeApp, store: MemoryStore, monotonic: Monotonic, on_outage: module.OnOutage, has_list: bool
) -> None:
    cookie = logged_in(make_app())[1]
    app = make_app(on_outage=on_outage)

    @app.after_request
    def look(response: t.Any) -> t.Any:
        session.get("_remember")
        return response

    @app.errorhandler(SessionStoreError)
    def without_store(error: SessionStoreError) -> tuple[str, int]:
        return "come back later", 503

    if has_list:
        shows(app, cookie)
        monotonic.now += 6
    store.is_failing = True
    client = app.test_client(use_cookies=False)
    header = {"Cookie": f"session={cookie}"}
    for _ in range(2):
        response = client.get("/", headers=header)
        if on_outage == "accept" or (on_outage == "keep" and has_list):
            assert response.json == ADA
        else:
            assert (response.status_code, response.text) == (503, "come back later")
            assert "Set-Cookie" not in response.headers
        # Who has no session needs no list.
        assert client.get("/").json == {}
    assert len(store.counted()) <= 3 + has_list
    store.is_failing = False
    monotonic.now += 6
    assert shows(app, cookie) == ADA


def test_views_that_do_not_look_at_it_go_on(make_app: MakeApp, store: MemoryStore) -> None:
    cookie = logged_in(make_app())[1]
    app = make_app(on_outage="refuse")

    @app.get("/static-page")
    def static_page() -> str:
        return "page"

    store.is_failing = True
    client = app.test_client(use_cookies=False)
    response = client.get("/static-page", headers={"Cookie": f"session={cookie}"})
    assert (response.status_code, "Set-Cookie" in response.headers) == (200, False)


# --- Lifetimes ------------------------------------------------------------------------------------------------------


def test_entries_live_as_long_as_the_cookies_that_they_refuse(store: MemoryStore, make_app: MakeApp) -> None:
    app = make_app(every=7, leeway=11)
    app.permanent_session_lifetime = timedelta(seconds=100)
    client, _ = logged_in(app)
    for path in ("/logout", "/revoke/ada"):
        client.get(path)
    for _, text in store.entries:
        assert 125 <= json.loads(text)[1] - time.time() <= 186


# --- Requests that take long, or fail -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/logout", "/revoke/ada"])
def test_a_long_request_sends_no_cookie_of_a_session_that_was_revoked_meanwhile(
    here: Flask, there: Flask, monotonic: Monotonic, path: str
) -> None:
    client, cookie = logged_in(here)

    @there.get("/long")
    def long() -> str:
        session["color"] = "red"
        client.get(path)
        monotonic.now += 6
        return "done"

    thief = there.test_client(use_cookies=False)
    response = thief.get("/long", headers={"Cookie": f"session={cookie}"})
    assert (response.text, "Set-Cookie" in response.headers) == ("done", False)


def test_nor_does_native_code(store: MemoryStore) -> None:
    """By the real clock, because native code does not look at that of the other tests."""
    here, there = (app_with(Revocations(store, every=0.05)) for _ in range(2))
    client, cookie = logged_in(here)

    @there.get("/long")
    def long() -> str:
        session["color"] = "red"
        if not is_over:
            client.get("/logout")
            is_over.append(True)
            time.sleep(0.06)
        return "done"

    is_over: list[bool] = []
    thief = there.test_client(use_cookies=False)
    response = thief.get("/long", headers={"Cookie": f"session={cookie}"})
    assert (response.text, "Set-Cookie" in response.headers) == ("done", False)


def test_a_session_is_ended_though_its_request_fails_before_it_is_saved(
    here: Flask, there: Flask, store: MemoryStore
) -> None:
    @here.after_request
    def fail(response: t.Any) -> t.Any:
        if request.path == "/logout":
            raise RuntimeError
        return response

    client, copied = logged_in(here)
    assert shows(there, copied) == ADA
    assert client.get("/logout").status_code == 500
    assert shows(here, copied) == {}
    fetched(here)
    fetched(there)
    assert shows(there, copied) == {}
    assert here.session_interface.stats()["revocations"]["waiting"] == 0  # type: ignore[attr-defined]


def test_a_session_is_ended_that_is_cleared_while_the_response_is_sent(here: Flask, there: Flask) -> None:
    @here.get("/stream")
    def stream() -> t.Any:
        def parts() -> Iterator[str]:
            yield "begun"
            session.clear()
            yield "done"

        return here.response_class(stream_with_context(parts()))

    client, copied = logged_in(here)
    assert client.get("/stream").text == "begundone"
    fetched(here)
    fetched(there)
    assert shows(here, copied) == shows(there, copied) == {}


# --- Several cookies ------------------------------------------------------------------------------------------------


def shows_of_several(app: Flask, *cookies: str) -> t.Any:
    header = "; ".join(f"session={cookie}" for cookie in cookies)
    return app.test_client(use_cookies=False).get("/", headers={"Cookie": header}).json


def test_a_session_from_before_is_known_by_its_own_cookie(make_app: MakeApp) -> None:
    """Not by the first of several, with which a copy would be another session."""
    app = make_app(accept_any=True)
    before = from_before(user="ada")
    client = app.test_client()
    client.set_cookie("session", before)
    client.get("/logout")
    for cookies in ([before], ["x", before], ["other", before], [before, "x"], ["x", "y", before]):
        assert shows_of_several(app, *cookies) == {}


def test_the_first_that_is_not_revoked_is_opened(make_app: MakeApp) -> None:
    app = make_app(accept_any=True)
    client, revoked = logged_in(app)
    client.get("/logout")
    other = logged_in(app, "bob")[1]
    before = from_before(user="eva")
    interface = t.cast(FastSessionInterface, app.session_interface)
    refused = interface.stats()["revocations"]["refused"]
    for cookies in ([revoked, other], ["x", revoked, other], [other, revoked]):
        assert shows_of_several(app, *cookies) == {"user": "bob"}
    for cookies in ([revoked, before], [revoked, "x", before]):
        assert shows_of_several(app, *cookies) == {"user": "eva"}
    assert interface.stats()["revocations"]["refused"] == refused
    assert shows_of_several(app, revoked, "x", revoked) == {}
    assert interface.stats()["revocations"]["refused"] == refused + 1


# --- Beside other options -------------------------------------------------------------------------------------------


def test_others_are_told_of_a_revoked_session(make_app: MakeApp, monotonic: Monotonic) -> None:
    told: list[str] = []
    app = make_app(on_refused=lambda request, reason: told.append(reason), delete_refused=True)
    client, copied = logged_in(app)
    client.get("/logout")
    thief = app.test_client()
    thief.set_cookie("session", copied)
    response = thief.get("/")
    assert (response.json, told) == ({}, ["revoked"])
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert thief.get_cookie("session") is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_an_interface_refuses_as_well(here: Flask, there: Flask, duplicate: Callable[[t.Any], t.Any]) -> None:
    client, copied = logged_in(here)
    assert shows(there, copied) == ADA
    there.session_interface = duplicate(here.session_interface)
    assert shows(there, copied) == ADA
    client.get("/logout")
    assert shows(there, copied) == {}


def test_settings_of_the_app_count_beside_it(make_app: MakeApp, monotonic: Monotonic) -> None:
    app = make_app()
    app.config["SESSION_SKIP"] = lambda request: request.path == "/put/color/red"
    client, copied = logged_in(app)
    assert client.get("/put/color/red").status_code == 500
    assert shows(app, copied) == ADA
    client.get("/logout")
    assert shows(app, copied) == {}


def test_what_native_code_declines_is_counted_once(make_app: MakeApp, monotonic: Monotonic) -> None:
    app = make_app()
    client, _ = logged_in(app)
    interface = t.cast(FastSessionInterface, app.session_interface)
    before = interface.stats()["open"]
    # A request whose cookies were read by somebody before.
    app.request_class = type("Request", (app.request_class,), {"cookies": {"session": cookie_of(client)}})
    assert client.get("/").json == ADA
    after = interface.stats()["open"]
    assert sum(after["declined"].values()) - sum(before["declined"].values()) == 1


def test_no_function_of_the_app_sees_what_a_session_carries(make_app: MakeApp, monotonic: Monotonic) -> None:
    seen: list[dict[str, t.Any]] = []

    def lifetime(session: t.Any) -> None:
        seen.append(dict(session))

    def user_of(session: t.Mapping[str, t.Any]) -> object:
        seen.append(dict(session))
        return session.get("user")

    app = make_app(lifetime=lifetime, user_of=user_of)
    _, cookie = logged_in(app)
    assert shows(app, cookie) == shows(app, from_before(user="ada")) == ADA
    assert ADA in seen
    assert all(IDENTITY_KEY not in data for data in seen)


@pytest.mark.parametrize(
    "user", [None, flask_login.UserMixin(), flask_login.current_user], ids=["None", "a user", "current_user"]
)
def test_what_is_no_id_of_a_user_is_an_error(here: Flask, user: t.Any) -> None:
    interface = t.cast(FastSessionInterface, here.session_interface)
    flask_login.LoginManager(here).user_loader(lambda user: None)
    with here.test_request_context():
        with pytest.raises(TypeError, match=r"current_user\.get_id"):
            interface.revoke_user(user)
        if user is not None:
            with pytest.raises(TypeError, match=r"current_user\.get_id"):
                interface.bind_user(session, user)
