"""Flask-Login, the real package, beside sessions on the server."""

from __future__ import annotations

import gc
import secrets
import subprocess
import sys
import typing as t
import weakref
from collections.abc import Iterator
from pathlib import Path

import flask_login
import pytest
from flask import Flask
from flask import request
from flask import session
from flask.globals import request_ctx as request_context
from flask.sessions import SecureCookieSession
from flask.testing import FlaskClient

from flask_fastsession import ServerSession
from flask_fastsession import SessionStoreError
from flask_fastsession.server import ServerSideSession

from .conftest import STORES
from .conftest import MakeApp
from .conftest import SpyStore
from .conftest import app_with
from .conftest import memcached_client
from .conftest import redis_client
from .test_kit import MovingOwnerMemoryStore
from .test_kit import OwnerMemoryStore

MEMORY = {"memory": OwnerMemoryStore, "moving memory": MovingOwnerMemoryStore}


@pytest.fixture(params=[*MEMORY, *STORES, "sqlalchemy"])
def make_login_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeApp]:
    """Make an app with logins; all that a test makes share one store."""
    config: dict[str, t.Any] = {"SESSION_TYPE": request.param, "SESSION_KEY_PREFIX": f"{secrets.token_urlsafe(6)}:"}

    def make(**more: t.Any) -> Flask:
        return with_logins(app_with({**config, **more}))

    if request.param in MEMORY:
        config["SESSION_TYPE"] = MEMORY[request.param]()
    elif request.param == "sqlite":
        config["SESSION_SQLITE_PATH"] = tmp_path / "sessions.sqlite"
    elif request.param == "sqlalchemy":
        config["SESSION_SQLALCHEMY"] = f"sqlite:///{tmp_path}/sessions.sqlite"
    else:
        server = request.getfixturevalue(f"{request.param}_process")
        with redis_client(server) if request.param == "redis" else memcached_client(server) as client:
            config[f"SESSION_{request.param.upper()}"] = client
            yield make
            return
    yield make


@pytest.fixture
def app(make_login_app: MakeApp) -> Flask:
    return make_login_app()


class User(flask_login.UserMixin):
    #: By name. It goes up when a user is logged out everywhere.
    versions: t.ClassVar[dict[str, int]] = {}

    def __init__(self, name: str) -> None:
        self.id = name


class VersionedUser(User):
    """The recipe of the docs, which puts an end to remember cookies."""

    def get_id(self) -> str:
        return f"{self.id}.{self.versions.get(self.id, 0)}"

    @classmethod
    def with_id(cls, user_id: str) -> VersionedUser | None:
        name, _, _ = user_id.rpartition(".")
        user = cls(name)
        return user if user.get_id() == user_id else None


def with_logins(app: Flask) -> Flask:
    """Let ``/login/ann`` log ann in, and ``/login/ann?remember`` for longer."""
    is_versioned = app.config.get("VERSIONS", False)
    user_class = VersionedUser if is_versioned else User
    manager = flask_login.LoginManager(app)
    manager.user_loader(VersionedUser.with_id if is_versioned else User)

    @app.get("/")
    def visit() -> str:
        session["visited"] = True
        return session_sid()

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(user_class(name), remember="remember" in request.args)
        return session_sid()

    @app.get("/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        return session_sid()

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return ""

    @app.get("/whoami")
    def whoami() -> str:
        return getattr(flask_login.current_user, "id", "nobody")

    return app


def test_an_app_that_is_gone_leaves_nothing_at_the_signals() -> None:
    """As in tests, where each has an app of its own. In a process of its own, where no other apps come and go."""
    code = "from tests.server.test_logins import check_that_nothing_is_left; check_that_nothing_is_left()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_that_nothing_is_left() -> None:
    signals = [flask_login.user_logged_in, flask_login.user_loaded_from_cookie]
    signals += [flask_login.user_login_confirmed, flask_login.user_logged_out]
    before = [len(signal.receivers) for signal in signals]
    app = with_logins(app_with({"SESSION_TYPE": OwnerMemoryStore()}))
    client = app.test_client()
    gc.collect()
    client.get("/login/ann")
    assert len(sessions_of(app).sessions_of("ann")) == 1
    assert [len(signal.receivers) for signal in signals] == [count + 1 for count in before]
    left = weakref.ref(app), weakref.ref(app.session_interface)
    del app, client
    gc.collect()
    assert [each() for each in left] == [None, None]
    assert [len(signal.receivers) for signal in signals] == before


def session_sid() -> str:
    return t.cast(ServerSideSession, session).sid


def sessions_of(app: Flask) -> ServerSession:
    return t.cast(ServerSession, app.extensions["flask_fastsession"])


def cookie_of(client: FlaskClient, name: str = "session") -> str | None:
    cookie = client.get_cookie(name)
    return None if cookie is None else cookie.value


def visitor(app: Flask, **cookies: str | None) -> FlaskClient:
    """A browser that has some cookies, as that of a thief who has copied them."""
    client = app.test_client()
    for name, value in cookies.items():
        if value is not None:
            client.set_cookie(name, value)
    return client


def who_is(app: Flask, **cookies: str | None) -> str:
    return visitor(app, **cookies).get("/whoami").text


def records_of(app: Flask) -> list[bytes]:
    """The sessions in a store in memory, without the marks that those leave which have moved."""
    store = t.cast(t.Any, app.session_interface).store
    return [record for record, _ in store.records.values() if not record.startswith(b"\0")]


# --- The id that the cookie will hold -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/login/ann"])
def test_the_id_in_a_view_is_that_of_the_cookie_of_a_new_visitor(app: Flask, path: str) -> None:
    client = app.test_client()
    assert client.get(path).text == cookie_of(client)


@pytest.mark.parametrize("path", ["/login/ann", "/login/bob", "/confirm"])
@pytest.mark.parametrize("before", ["/", "/login/ann", "/login/ann?remember"])
def test_the_id_in_a_view_is_that_of_the_cookie_after_a_move(app: Flask, before: str, path: str) -> None:
    client = app.test_client()
    client.get(before)
    old = cookie_of(client)
    assert client.get(path).text == cookie_of(client) != old
    assert who_is(app, session=old) == "nobody"


def test_the_id_in_a_view_of_whoever_is_remembered(app: Flask) -> None:
    @app.get("/remembered")
    def remembered() -> list[str]:
        return [session_sid(), flask_login.current_user.id, session_sid()]

    client = app.test_client()
    client.get("/login/ann?remember")
    old = cookie_of(client)
    client.delete_cookie("session")
    assert t.cast(t.Any, client.get("/remembered").json)[1:] == ["ann", cookie_of(client)]
    assert cookie_of(client) != old


def test_the_id_stays_the_same_however_often_it_is_asked_for(app: Flask) -> None:
    @app.get("/asking/<name>")
    def asking(name: str) -> list[str]:
        before = session_sid()
        flask_login.login_user(User(name))
        return [before, session_sid(), session_sid()]

    client = app.test_client()
    for number in range(2):
        old = cookie_of(client)
        before, *after = t.cast(t.Any, client.get(f"/asking/ann{number}").json)
        assert after == [cookie_of(client)] * 2
        assert number == 0 or before == old


@pytest.mark.parametrize(
    ("how", "is_new"), [("id", True), ("session", True), ("id", False), ("session", False), ("handle", False)]
)
def test_a_session_is_revoked_from_the_view_that_logs_in(app: Flask, how: str, is_new: bool) -> None:
    @app.get("/refuse/<name>")
    def refuse(name: str) -> str:
        flask_login.login_user(User(name))
        sid = session_sid()
        names: dict[str, t.Any] = {
            "id": sid,
            "session": session,
            "handle": t.cast(ServerSideSession, session).meta.handle,
        }
        sessions_of(app).revoke(names[how])
        return sid

    client = app.test_client()
    if not is_new:
        client.get("/login/ann")
    old = cookie_of(client)
    sid = client.get("/refuse/ann").text
    for cookie in (sid, old, cookie_of(client)):
        assert who_is(app, session=cookie) == "nobody"
    assert client.get("/whoami").text == "nobody"
    assert sessions_of(app).sessions_of("ann") == []


def test_a_session_is_revoked_by_the_id_that_its_login_was_told(app: Flask, make_login_app: MakeApp) -> None:
    client, other_process = app.test_client(), make_login_app()
    client.get("/")
    sid = client.get("/login/ann").text
    sessions_of(other_process).revoke(sid)
    assert client.get("/whoami").text == "nobody"
    assert sessions_of(app).sessions_of("ann") == []


def test_a_session_that_logged_in_again_is_revoked_by_the_id_before(app: Flask, make_login_app: MakeApp) -> None:
    client, other_process = app.test_client(), make_login_app()
    sid = client.get("/login/ann").text
    client.get("/confirm")
    sessions_of(other_process).revoke(sid)
    assert client.get("/whoami").text == "nobody"


# --- Moving ---------------------------------------------------------------------------------------------------------


def test_a_login_moves_a_session_and_lists_it(app: Flask) -> None:
    client = app.test_client()
    client.get("/")
    client.get("/login/ann")
    assert client.get("/whoami").text == "ann"
    with client.session_transaction() as found:
        assert found["visited"] is True
        handle = t.cast(ServerSideSession, found).meta.handle
    assert [info.name for info in sessions_of(app).sessions_of("ann")] == [handle]


def test_who_planted_an_id_is_left_with_nothing(app: Flask) -> None:
    planter = app.test_client()
    planter.get("/")
    victim = visitor(app, session=cookie_of(planter))
    victim.get("/login/ann")
    assert planter.get("/whoami").text == "nobody"
    assert victim.get("/whoami").text == "ann"


def test_confirming_a_login_moves_the_session(app: Flask) -> None:
    """It makes a stale login a fresh one, so whoever knew the id of the stale one gains nothing by it."""
    client = app.test_client()
    client.get("/login/ann?remember")
    client.delete_cookie("session")
    client.get("/whoami")
    thief = visitor(app, session=cookie_of(client))
    assert thief.get("/whoami").text == "ann"
    client.get("/confirm")
    assert thief.get("/whoami").text == "nobody"
    with client.session_transaction() as found:
        assert (found["_user_id"], found["_fresh"]) == ("ann", True)


def test_who_is_remembered_has_a_session_of_its_own_and_is_listed(app: Flask) -> None:
    client = app.test_client()
    client.get("/login/ann?remember")
    client.delete_cookie("session")
    assert client.get("/whoami").text == "ann"
    assert len(sessions_of(app).sessions_of("ann")) == 2
    sessions_of(app).revoke_user("ann")
    assert who_is(app, session=cookie_of(client)) == "nobody"


def test_logging_out(app: Flask) -> None:
    client = app.test_client()
    client.get("/login/ann")
    client.get("/logout")
    assert client.get("/whoami").text == "nobody"
    assert sessions_of(app).sessions_of("ann") == []


def test_logging_in_as_somebody_else(app: Flask) -> None:
    client = app.test_client()
    client.get("/login/ann")
    client.get("/login/bob")
    assert sessions_of(app).sessions_of("ann") == []
    sessions_of(app).revoke_user("ann")
    assert client.get("/whoami").text == "bob"


def test_a_session_that_is_kept_may_have_become_another_users_in_the_same_request(app: Flask) -> None:
    @app.get("/switch")
    def switch() -> str:
        flask_login.login_user(User("bob"))
        sessions_of(app).revoke_user("ann", keep=session)
        return ""

    client, other = app.test_client(), app.test_client()
    client.get("/login/ann"), other.get("/login/ann")
    client.get("/switch")
    assert client.get("/whoami").text == "bob"
    assert other.get("/whoami").text == "nobody"


def test_logins_are_not_followed_if_so_configured(make_login_app: MakeApp) -> None:
    client = make_login_app(SESSION_REGENERATE_ON_LOGIN=False).test_client()
    client.get("/")
    before = cookie_of(client)
    client.get("/login/ann"), client.get("/confirm")
    assert cookie_of(client) == before


def test_two_apps_in_one_process(make_login_app: MakeApp) -> None:
    one, other = (make_login_app(SESSION_KEY_PREFIX=f"{secrets.token_hex(6)}:") for _ in range(2))
    one.test_client().get("/login/ann")
    assert len(sessions_of(one).interface.sessions_of("ann")) == 1
    assert sessions_of(other).interface.sessions_of("ann") == []


def test_sessions_that_are_not_ours_are_left_alone(app: Flask) -> None:
    with app.test_request_context():
        request_context._session = SecureCookieSession()
        assert flask_login.login_user(User("ann"))
        flask_login.confirm_login()
        flask_login.logout_user()
    assert sessions_of(app).sessions_of("ann") == []


# --- The remember cookie --------------------------------------------------------------------------------------------


def robbed(app: Flask) -> tuple[FlaskClient, str | None, str | None]:
    """A browser that is remembered, and the two cookies that a thief has copied of it."""
    client = app.test_client()
    client.get("/login/ann?remember")
    return client, cookie_of(client), cookie_of(client, "remember_token")


def test_a_remember_cookie_outlives_a_revocation(app: Flask) -> None:
    """So the docs and the doctor say."""
    _, stolen, stolen_token = robbed(app)
    sessions_of(app).revoke_user("ann")
    assert who_is(app, session=stolen) == "nobody"
    assert who_is(app, session=stolen, remember_token=stolen_token) == "ann"


@pytest.fixture
def versioned_app(make_login_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr(User, "versions", {})
    app = make_login_app(VERSIONS=True)

    @app.get("/logout-everywhere")
    def logout_everywhere() -> str:
        log_out(app, flask_login.current_user)
        return ""

    @app.get("/logout-elsewhere")
    def logout_elsewhere() -> str:
        user = flask_login.current_user._get_current_object()
        log_out(app, user, keep=session)
        flask_login.login_user(user, remember=True)
        return session_sid()

    return app


def log_out(app: Flask, user: User, **keep: t.Any) -> None:
    """The recipe of the docs."""
    sessions_of(app).revoke_user(user.get_id(), **keep)
    User.versions[user.id] = User.versions.get(user.id, 0) + 1


def test_a_version_ends_remember_cookies(versioned_app: Flask) -> None:
    app = versioned_app
    client, stolen, stolen_token = robbed(app)
    assert who_is(app, remember_token=stolen_token) == "ann"
    client.get("/logout-everywhere")
    thief = visitor(app, session=stolen, remember_token=stolen_token)
    for _ in range(3):
        assert thief.get("/whoami").text == "nobody"
    assert who_is(app, remember_token=stolen_token) == "nobody"
    assert client.get("/whoami").text == "nobody"
    client.get("/login/ann?remember")
    assert client.get("/whoami").text == who_is(app, remember_token=cookie_of(client, "remember_token")) == "ann"
    assert thief.get("/whoami").text == who_is(app, remember_token=stolen_token) == "nobody"


def test_a_version_ends_all_but_the_browser_that_asked_for_it(versioned_app: Flask) -> None:
    app = versioned_app
    client, stolen, stolen_token = robbed(app)
    others = [robbed(app)[0] for _ in range(2)]
    assert client.get("/logout-elsewhere").text == cookie_of(client) != stolen
    assert client.get("/whoami").text == "ann"
    assert who_is(app, session=stolen, remember_token=stolen_token) == "nobody"
    assert [other.get("/whoami").text for other in others] == ["nobody", "nobody"]
    client.delete_cookie("session")
    assert client.get("/whoami").text == "ann"
    assert len(sessions_of(app).sessions_of("ann.1")) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_who_is_remembered_while_logging_out_everywhere(versioned_app: Flask, moment: str) -> None:
    """A request that has been let in by the stolen cookie is in the middle of its view."""
    app = versioned_app

    @app.get("/slow")
    def slow() -> str:
        name = flask_login.current_user.id if moment == "before" else ""
        log_out(app, VersionedUser("ann"))
        return name or str(flask_login.current_user.get_id())

    _, _, stolen_token = robbed(app)
    thief = visitor(app, remember_token=stolen_token)
    assert thief.get("/slow").text == ("ann" if moment == "before" else "None")
    assert thief.get("/whoami").text == "nobody"


def test_the_remember_cookie_of_a_session_that_was_moved(app: Flask) -> None:
    """A remember cookie of one user does not bring back the other, who has logged in since."""
    client = app.test_client()
    client.get("/login/ann?remember")
    client.get("/login/bob")
    sessions_of(app).revoke_user("bob")
    assert client.get("/whoami").text == "ann"
    assert sessions_of(app).sessions_of("bob") == []


# --- When the store fails -------------------------------------------------------------------------------------------


def test_an_error_handler_answers_although_flask_login_looks_at_the_session_after_it(
    spied_app: MakeApp, spy: SpyStore
) -> None:
    app = with_logins(spied_app())
    cookie = cookie_of_visit(app)

    @app.errorhandler(SessionStoreError)
    def without_sessions(error: SessionStoreError) -> tuple[str, int]:
        with pytest.raises(SessionStoreError):
            session.get("visited")
        return "Please come back in a minute.", 503

    @app.get("/swallowed")
    def swallowed() -> str:
        for _ in range(2):
            # However often the view looks, it is not told that there is no session.
            with pytest.raises(SessionStoreError):
                session.get("visited")
        return ""

    spy.failing = {"load"}
    response = visitor(app, session=cookie).get("/")
    assert (response.status_code, response.text) == (503, "Please come back in a minute.")
    assert "Set-Cookie" not in response.headers
    assert visitor(app, session=cookie).get("/swallowed").status_code == 200
    assert spy.counted()["load"] == 2
    spy.failing = set()
    assert spy.store.records
    assert visitor(app, session=cookie).get("/whoami").status_code == 200


def cookie_of_visit(app: Flask) -> str | None:
    # As a client that is not one of the app under test, which handles its first request after all views are there.
    with app.test_request_context("/"):
        session["visited"] = True
        response = app.response_class()
        app.session_interface.save_session(app, session._get_current_object(), response)  # type: ignore[attr-defined]
    return response.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
