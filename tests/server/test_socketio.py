"""Flask-SocketIO, the real package, with Flask-Login: events share the sessions of HTTP, and cannot set a cookie.

The app does what Flask-SocketIO's own example of sessions does, with ``manage_session=False``.
"""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import flask_login
import flask_socketio
import pytest
import requests
import socketio
from flask import Flask
from flask import current_app
from flask import request
from flask import session
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from flask_fastsession import SessionStoreError
from tests.patience import HANGS_AFTER

from .conftest import SpyStore
from .conftest import app_with
from .test_kit import MovingOwnerMemoryStore
from .test_kit import OwnerMemoryStore
from .test_logins import User
from .test_logins import cookie_of
from .test_logins import records_of
from .test_logins import sessions_of
from .test_logins import visitor
from .test_logins import who_is
from .test_logins import with_logins

EVENTS: dict[str, Callable[..., t.Any]] = {
    "login": lambda name, remember=False: flask_login.login_user(User(name), remember=remember),
    "confirm": lambda: flask_login.confirm_login(),
    "logout": lambda: flask_login.logout_user(),
    "add": lambda item: session.update(cart=[*session.get("cart", []), item]),
    "look": lambda: [getattr(flask_login.current_user, "id", "nobody"), session.get("cart", [])],
    "regenerate": lambda: [sessions_of(current_app).regenerate(session), session.update(more=True)],
    "clear": lambda: session.clear(),
    "revoke-elsewhere": lambda: sessions_of(current_app).revoke_user("ann", keep=session),
    "fail": lambda: 1 / 0,
}


@pytest.fixture(params=[OwnerMemoryStore, MovingOwnerMemoryStore])
def app(request: pytest.FixtureRequest) -> Flask:
    return with_events(app_with({"SESSION_TYPE": request.param()}))


def with_events(app: Flask, **options: t.Any) -> Flask:
    with_logins(app)
    app.add_url_rule("/add/<item>", "add", lambda item: EVENTS["add"](item) or "")
    app.add_url_rule("/look", "look", lambda: EVENTS["look"]())
    server = flask_socketio.SocketIO(app, async_mode="threading", **{"manage_session": False, **options})
    for name, handler in EVENTS.items():
        server.on_event(name, handler)
    return app


class Socket:
    """A connection of a browser, with the cookies that it had when it was made."""

    def __init__(self, app: Flask, browser: FlaskClient) -> None:
        self.client = app.extensions["socketio"].test_client(app, flask_test_client=browser)

    def emit(self, event: str, *arguments: object) -> t.Any:
        return self.client.emit(event, *arguments, callback=True)


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """One with a session."""
    client = app.test_client()
    client.get("/add/apple")
    return client


# --- A session that is there ----------------------------------------------------------------------------------------


def test_who_logs_in_in_an_event_is_logged_in_over_http(app: Flask, browser: FlaskClient) -> None:
    socket = Socket(app, browser)
    assert socket.emit("look") == ["nobody", ["apple"]]
    socket.emit("login", "ann")
    socket.emit("add", "pear")
    assert browser.get("/look").json == socket.emit("look") == ["ann", ["apple", "pear"]]
    browser.get("/add/plum")
    assert browser.get("/look").json == socket.emit("look") == ["ann", ["apple", "pear", "plum"]]
    socket.emit("logout")
    assert browser.get("/look").json == socket.emit("look") == ["nobody", ["apple", "pear", "plum"]]


@pytest.mark.parametrize("event", [("login", "ann"), ("login", "ann", True), ("confirm",), ("regenerate",)])
def test_an_event_moves_no_session_neither_then_nor_later(
    app: Flask, browser: FlaskClient, event: tuple[t.Any, ...]
) -> None:
    before = cookie_of(browser)
    socket = Socket(app, browser)
    socket.emit(*event)
    for _ in range(3):
        response = browser.get("/add/pear")
        assert not any(header.startswith("session=") for header in response.headers.getlist("Set-Cookie"))
        socket.emit("add", "plum")
    assert cookie_of(browser) == before
    assert len(records_of(app)) == 1


def test_a_login_in_an_event_is_listed(app: Flask, browser: FlaskClient) -> None:
    Socket(app, browser).emit("login", "ann")
    assert len(sessions_of(app).sessions_of("ann")) == 1
    sessions_of(app).revoke_user("ann")
    assert browser.get("/look").json == ["nobody", []]


def test_a_login_in_an_event_is_remembered_with_the_next_response(app: Flask, browser: FlaskClient) -> None:
    Socket(app, browser).emit("login", "ann", True)
    browser.get("/look")
    assert who_is(app, remember_token=cookie_of(browser, "remember_token")) == "ann"


def test_clearing_in_an_event_ends_the_session(app: Flask, browser: FlaskClient) -> None:
    Socket(app, browser).emit("clear")
    assert browser.get("/look").json == ["nobody", []]
    assert records_of(app) == []


def test_revoking_in_an_event(app: Flask, browser: FlaskClient) -> None:
    other = app.test_client()
    browser.get("/login/ann"), other.get("/login/ann")
    Socket(app, browser).emit("revoke-elsewhere")
    assert [client.get("/whoami").text for client in (browser, other)] == ["ann", "nobody"]


def test_a_session_that_is_revoked_while_a_socket_is_open(app: Flask, browser: FlaskClient) -> None:
    browser.get("/login/ann")
    socket = Socket(app, browser)
    sessions_of(app).revoke_user("ann")
    socket.emit("add", "pear")
    assert socket.emit("look") == ["nobody", []]
    assert records_of(app) == []


# --- Fixation -------------------------------------------------------------------------------------------------------


def planted(app: Flask) -> tuple[FlaskClient, FlaskClient]:
    """One who has planted the id of a session, and the browser of the victim that has it now."""
    planter = app.test_client()
    planter.get("/add/apple")
    return planter, visitor(app, session=cookie_of(planter))


def test_a_login_in_an_event_gives_the_planter_of_its_id_no_new_one(app: Flask) -> None:
    """Both have one session, as the docs say, and it stays with its id."""
    planter, victim = planted(app)
    before = cookie_of(planter)
    Socket(app, victim).emit("login", "ann")
    for path in ("/look", "/add/pear", "/whoami", "/"):
        assert cookie_of(planter) == before
        response = planter.get(path)
        assert "Set-Cookie" not in response.headers
    assert len(records_of(app)) == 1


@pytest.mark.parametrize("logs_in_first", [False, True], ids=["nobody yet", "logged in in an event"])
def test_after_a_login_over_http_the_planted_id_is_dead(app: Flask, logs_in_first: bool) -> None:
    planter, victim = planted(app)
    sockets = [Socket(app, planter), Socket(app, victim)]
    if logs_in_first:
        sockets[1].emit("login", "ann")
    victim.get("/login/ann")
    assert planter.get("/look").json == ["nobody", []]
    # Neither does a socket lead to the new id that was open before: there is no telling whose it is.
    for socket in (*sockets, Socket(app, visitor(app, session=cookie_of(planter)))):
        assert socket.emit("look") == ["nobody", []]
        socket.emit("add", "pear")
        socket.emit("login", "mallory")
        socket.emit("clear")
    assert victim.get("/look").json == Socket(app, victim).emit("look") == ["ann", ["apple"]]
    assert len(records_of(app)) == 1


def test_after_confirming_over_http_the_old_id_is_dead(app: Flask, browser: FlaskClient) -> None:
    browser.get("/login/ann")
    socket = Socket(app, browser)
    browser.get("/confirm")
    assert socket.emit("look") == ["nobody", []]
    assert Socket(app, browser).emit("look") == ["ann", ["apple"]]


@pytest.mark.parametrize("names", [("namespace",), ("sid", "namespace"), ("event",)])
def test_what_an_app_calls_a_namespace_is_no_event(app: Flask, names: tuple[str, ...]) -> None:
    """Logins over HTTP move a session, whatever the app has put into its requests."""

    @app.before_request
    def name_it() -> None:
        vars(request._get_current_object()).update(dict.fromkeys(names, "tenant"))  # type: ignore[attr-defined]

    planter, victim = planted(app)
    victim.get("/login/ann")
    assert planter.get("/whoami").text == "nobody"


# --- A session that is not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [("login", "ann"), ("add", "apple"), ("regenerate",)])
@pytest.mark.parametrize("cookie", [None, "a" * 43, "no id"])
def test_no_session_begins_in_an_event(
    app: Flask, event: tuple[t.Any, ...], cookie: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would get to know its id, and each event would leave one more behind."""
    browser = visitor(app, session=cookie)
    socket = Socket(app, browser)
    for _ in range(3):
        socket.emit(*event)
    assert records_of(app) == []
    assert sessions_of(app).sessions_of("ann") == []
    assert [message for message in caplog.messages if "Flask-SocketIO" in message] == [
        "A session that begins in an event of Flask-SocketIO is not stored: no response would tell the browser its id. "
        "Let it begin in a view."
    ]


def test_who_is_remembered_is_nobody_new_in_each_event(app: Flask, browser: FlaskClient) -> None:
    browser.get("/login/ann?remember")
    socket = Socket(app, visitor(app, remember_token=cookie_of(browser, "remember_token")))
    for _ in range(3):
        assert socket.emit("look") == ["ann", []]
    assert len(sessions_of(app).sessions_of("ann")) == 1


# --- Around it ------------------------------------------------------------------------------------------------------


def test_sessions_that_flask_socketio_manages_are_copies(app: Flask) -> None:
    """Its default: events have a session of their own, which begins as that of HTTP."""
    store = t.cast(t.Any, app.session_interface).store
    managed = with_events(app_with({"SESSION_TYPE": store}), manage_session=True)
    browser = managed.test_client()
    browser.get("/add/apple")
    before = cookie_of(browser)
    socket = Socket(managed, browser)
    socket.emit("login", "ann"), socket.emit("add", "pear")
    assert socket.emit("look") == ["ann", ["apple", "pear"]]
    assert browser.get("/look").json == ["nobody", ["apple"]]
    assert cookie_of(browser) == before
    assert sessions_of(managed).sessions_of("ann") == []


def test_a_store_that_fails_in_an_event() -> None:
    spy = SpyStore()
    app = with_events(app_with({"SESSION_TYPE": spy, "SESSION_CLEANUP_N_REQUESTS": 0}))
    errors: list[Exception] = []
    app.extensions["socketio"].on_error_default(errors.append)
    browser = app.test_client()
    browser.get("/add/apple")
    socket = Socket(app, browser)
    spy.failing = {"load"}
    socket.emit("add", "pear")
    assert [type(error) for error in errors] == [SessionStoreError]
    spy.failing = set()
    assert browser.get("/look").json == ["nobody", ["apple"]]


def test_events_and_requests_at_once(app: Flask, browser: FlaskClient) -> None:
    """What an event has put into a session while a view was busy with it stays."""
    socket = Socket(app, browser)

    def busy() -> str:
        session["busy"] = True
        socket.emit("add", "pear")
        return ""

    with app.test_request_context(headers={"Cookie": f"session={cookie_of(browser)}"}):
        busy()
        app.session_interface.save_session(app, session._get_current_object(), app.response_class())  # type: ignore[attr-defined]
    assert browser.get("/look").json == ["nobody", ["apple", "pear"]]


# --- A real server, and a real client -------------------------------------------------------------------------------


@contextmanager
def served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join(HANGS_AFTER)
        server.server_close()


@contextmanager
def connected(url: str, browser: requests.Session, transport: str) -> Iterator[Callable[..., t.Any]]:
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    client = socketio.Client(reconnection=False)
    client.connect(url, headers={"Cookie": cookies}, transports=[transport], wait_timeout=HANGS_AFTER)
    try:
        yield lambda event, *arguments: client.call(event, arguments or None, timeout=HANGS_AFTER)
    finally:
        client.disconnect()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_browser_at_a_server(tmp_path: Path, transport: str) -> None:
    app = with_events(app_with({"SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite"}))
    with served(app) as url, requests.Session() as browser, requests.Session() as planter:
        planter.get(f"{url}/add/apple", timeout=HANGS_AFTER)
        browser.cookies.update(planter.cookies)
        before = browser.cookies["session"]
        with connected(url, browser, transport) as emit:
            emit("login", "ann"), emit("add", "pear")
            assert emit("look") == ["ann", ["apple", "pear"]]
            assert browser.get(f"{url}/look", timeout=HANGS_AFTER).json() == ["ann", ["apple", "pear"]]
            assert browser.cookies["session"] == planter.cookies["session"] == before
            browser.get(f"{url}/login/ann", timeout=HANGS_AFTER)
            assert browser.cookies["session"] != before
            assert planter.get(f"{url}/look", timeout=HANGS_AFTER).json() == emit("look") == ["nobody", []]
        with connected(url, browser, transport) as emit:
            assert emit("look") == ["ann", ["apple", "pear"]]
