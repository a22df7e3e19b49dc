"""What a process tells of the sessions on the server: counts, and signals."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask import session

from flask_fastsession import ServerSession
from flask_fastsession import SessionStoreError
from flask_fastsession import signals

from . import peer
from .conftest import MakeApp
from .conftest import SpyStore

USER = "ada"
Heard = list[tuple[str, object, dict[str, t.Any]]]


def sessions_of(app: Flask) -> ServerSession:
    return t.cast(ServerSession, app.extensions["flask_fastsession"])


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()
    sessions = sessions_of(app)

    @app.get("/login")
    def login() -> str:
        session["user"] = USER
        sessions.bind_user(session, USER)
        return ""

    app.add_url_rule("/read", "read", lambda: str(session.get("user")))
    app.add_url_rule("/write", "write", lambda: session.update(more=1) or "")
    app.add_url_rule("/move", "move", lambda: sessions.regenerate(session) or "")
    app.add_url_rule("/clear", "clear", lambda: session.clear() or "")
    app.add_url_rule("/revoke", "revoke", lambda: sessions.revoke(session) or "")
    return app


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The name, the sender and the arguments of each signal of this package."""
    found: Heard = []
    receivers = []
    for name in ("session_created", "session_regenerated", "session_ended", "session_revoked", "session_refused"):

        def receive(sender: object, name: str = name, **arguments: t.Any) -> None:
            found.append((name, sender, arguments))

        getattr(signals, name).connect(receive)
        receivers.append((name, receive))
    yield found
    for name, receive in receivers:
        getattr(signals, name).disconnect(receive)


def counted(app: Flask) -> dict[str, object]:
    """The counts that are not 0."""
    return {name: count for name, count in sessions_of(app).stats().items() if count}


def test_what_requests_do_is_counted_and_signalled(app: Flask, heard: Heard) -> None:
    assert counted(app) == {}
    client = app.test_client()
    for path in ("/login", "/read", "/write", "/move", "/clear", "/read"):
        assert client.get(path).status_code == 200
    assert counted(app) == {"loaded": 4, "created": 1, "written": 1, "regenerated": 1, "ended": 1}
    assert heard == [(name, app, {}) for name in ("session_created", "session_regenerated", "session_ended")]


def test_sessions_that_are_revoked(app: Flask, heard: Heard) -> None:
    sessions, clients = sessions_of(app), [app.test_client() for _ in range(5)]
    for client in clients:
        client.get("/login")
    heard.clear()
    with app.app_context():
        sessions.revoke(sessions.sessions_of(USER)[0].name)
        sessions.revoke(clients[0].get_cookie("session").value)  # type: ignore[union-attr]
        living = len(sessions.sessions_of(USER))
        sessions.revoke_user(USER)
    assert counted(app)["revoked"] == 5 == len(heard)
    assert living in (3, 4)
    assert {(name, sender) for name, sender, _ in heard} == {("session_revoked", app)}


def test_outside_of_an_app_context_the_sender_is_the_app(app: Flask, heard: Heard) -> None:
    sessions = sessions_of(app)
    app.test_client().get("/login")
    heard.clear()
    (found,) = sessions.sessions_of(USER)
    assert found.last_seen is not None
    sessions.revoke_user(USER)
    assert heard == [("session_revoked", app, {})]


def test_outside_of_an_app_context_it_is_the_app_given_or_the_only_one(tmp_path: Path) -> None:
    apps = [Flask(f"app{number}", instance_path=str(tmp_path / str(number))) for number in range(3)]
    given, factory = ServerSession(apps[0]), ServerSession()
    with pytest.raises(RuntimeError, match="there is no app context"):
        factory.stats()
    factory.init_app(apps[1])
    peer.cookie_with(apps[1], {"user": USER})
    assert (given.stats()["created"], factory.stats()["created"]) == (0, 1)
    given.init_app(apps[2])
    assert given.interface is apps[0].session_interface
    for number in (3, 4):
        app = Flask(f"app{number}", instance_path=str(tmp_path / str(number)))
        factory.init_app(app)
        with pytest.raises(RuntimeError, match="there is no app context"):
            factory.stats()
        with app.app_context():
            assert factory.interface is app.session_interface


def test_a_session_that_a_view_revokes_has_not_ended_twice(app: Flask, heard: Heard) -> None:
    client = app.test_client()
    client.get("/login")
    response = client.get("/revoke")
    assert "Expires=Thu, 01 Jan 1970" in response.headers["Set-Cookie"]
    assert client.get("/read").text == "None"
    assert counted(app) == {"created": 1, "loaded": 1, "revoked": 1}
    assert [name for name, _, _ in heard] == ["session_created", "session_revoked"]


@pytest.mark.parametrize(
    ("unknown", "outcome"),
    [
        *[(name, nullcontext()) for name in ("h." + "a" * 22, "a" * 43)],
        *[(text, pytest.raises(ValueError, match="is neither")) for text in ("no session", "", "h.\ud800", "x" * 300)],
    ],
)
def test_what_names_no_session_is_not_counted(app: Flask, heard: Heard, unknown: str, outcome: t.Any) -> None:
    with outcome:
        sessions_of(app).interface.revoke(unknown)
    sessions_of(app).interface.revoke_user("nobody")
    assert counted(app) == {}
    assert heard == []


def test_cookies_that_are_refused(make_app: MakeApp, heard: Heard) -> None:
    app = make_app(SESSION_USE_SIGNER=True)
    cookie = peer.cookie_with(app, {"user": USER})
    heard.clear()
    with app.app_context():
        sessions_of(app).revoke(cookie.partition(".")[0])
    heard.clear()
    for value in (cookie, "a" * 43, cookie + "x"):
        assert "user" not in peer.session_of(app, value)
    assert counted(app)["refused"] == {"expired": 1, "forged": 2}
    assert heard == [("session_refused", app, {"reason": reason}) for reason in ("expired", "forged", "forged")]


def test_an_id_from_before_a_move_and_one_that_is_no_id(app: Flask, heard: Heard) -> None:
    client = app.test_client()
    client.get("/login")
    old = client.get_cookie("session").value  # type: ignore[union-attr]
    client.get("/move")
    heard.clear()
    for value in (old, "too-short"):
        assert "user" not in peer.session_of(app, value)
    assert [arguments["reason"] for _, _, arguments in heard] == ["revoked", "malformed"]


def test_no_signal_tells_an_id_or_a_user(app: Flask, heard: Heard) -> None:
    client = app.test_client()
    ids = []
    for path in ("/login", "/move", "/clear"):
        client.get(path)
        cookie = client.get_cookie("session")
        ids.append("" if cookie is None else cookie.value)
    assert len(heard) == 3
    text = repr([arguments for _, _, arguments in heard])
    assert not any(secret in text for secret in [USER, *ids] if secret)


def test_requests_that_met_an_error(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app()
    cookie = peer.cookie_with(app, {"user": USER})
    app.add_url_rule("/read", "read", lambda: str(session.get("user")))
    spy.failing = {"load"}
    client = app.test_client()
    client.set_cookie("session", cookie)
    assert client.get("/read").status_code == 500
    assert sessions_of(app).stats()["failed"] == 1


@pytest.mark.parametrize("failing", ["load", "replace"])
def test_sessions_that_could_not_be_renewed_beside_a_view(spied_app: MakeApp, spy: SpyStore, failing: str) -> None:
    app = spied_app(SESSION_REFRESH_UNACCESSED=True, PERMANENT_SESSION_LIFETIME=1000)
    app.add_url_rule("/", "nothing", lambda: "")
    with time_machine.travel(1_700_000_000) as travelling:
        client = app.test_client()
        client.set_cookie("session", peer.cookie_with(app, {"user": USER}))
        travelling.shift(100)
        spy.failing = {failing}
        assert client.get("/").status_code == 200
    assert sessions_of(app).stats()["failed"] == 1


@pytest.mark.parametrize("act", ["revoke", "revoke_user", "keep"])
def test_sessions_that_could_not_be_revoked(spied_app: MakeApp, spy: SpyStore, act: str) -> None:
    app = spied_app()
    sessions = sessions_of(app)
    spy.failing = {"load", "replace", "create"}
    with app.app_context(), pytest.raises(SessionStoreError):
        if act == "revoke":
            sessions.revoke("a" * 43)
        else:
            sessions.revoke_user(USER, keep="a" * 43 if act == "keep" else None)
    assert counted(app) == {"failed": 1}


@pytest.mark.parametrize("act", ["revoke", "keep"])
def test_a_session_that_could_not_be_loaded_to_be_revoked_is_counted_once(
    spied_app: MakeApp, spy: SpyStore, act: str
) -> None:
    app = spied_app()
    cookie = peer.cookie_with(app, {"user": USER})
    spy.failing = {"load"}
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}), pytest.raises(SessionStoreError):
        if act == "revoke":
            sessions_of(app).revoke(session)
        else:
            sessions_of(app).revoke_user(USER, keep=session)
    assert sessions_of(app).stats()["failed"] == 1


def test_what_is_written_to_a_session_that_has_ended_is_dropped(app: Flask) -> None:
    client = app.test_client()

    @app.get("/late")
    def late() -> str:
        session["late"] = True
        # In a thread of its own, as in another process: this request does not know of it.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(app.session_interface.revoke_user, USER).result()  # type: ignore[attr-defined]
        return ""

    client.get("/login")
    client.get("/late")
    assert sessions_of(app).stats()["dropped"] == 1
