"""Flask-Login is followed, and clocks that are apart decide nothing."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager

import flask_login
import pytest
from flask import Flask
from flask import session

from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations

from .conftest import MemoryStore
from .conftest import cookie_of
from .conftest import logged_in
from .conftest import shows


class User(flask_login.UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


def app_with_logins(store: MemoryStore, leeway: int = 0) -> Flask:
    app = Flask("app")
    app.secret_key = "secret"
    app.session_interface = interface = FastSessionInterface(revocations=Revocations(store, every=0), leeway=leeway)
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)

    @app.get("/")
    def show() -> dict[str, t.Any]:
        user = flask_login.current_user
        return {"user": user.get_id() if user.is_authenticated else None, "cart": session.get("cart")}

    @app.get("/put/<name>/<value>")
    def put(name: str, value: str) -> str:
        session[name] = value
        return "put"

    @app.get("/login/<user>")
    def log_in(user: str) -> str:
        flask_login.login_user(User(user), remember="remember" in user)
        return "in"

    @app.get("/logout")
    def log_out() -> str:
        flask_login.logout_user()
        return "out"

    @app.get("/revoke/<user>")
    def revoke_user(user: str) -> str:
        interface.revoke_user(user)
        return "revoked"

    return app


NOBODY = {"user": None, "cart": None}


@pytest.fixture
def apps(store: MemoryStore) -> list[Flask]:
    return [app_with_logins(store) for _ in range(2)]


def test_a_login_binds(apps: list[Flask]) -> None:
    cookies = [logged_in(app)[1] for app in apps]
    assert [shows(app, cookie)["user"] for app in apps for cookie in cookies] == ["ada"] * 4
    logged_in(apps[0], "bob")[0].get("/revoke/ada")
    assert [shows(app, cookie) for app in apps for cookie in cookies] == [NOBODY] * 4
    assert shows(apps[1], logged_in(apps[0])[1])["user"] == "ada"


def test_a_logout_ends_the_session_and_keeps_its_data(apps: list[Flask]) -> None:
    client = apps[0].test_client()
    client.get("/put/cart/tea")
    anonymous = cookie_of(client)
    client.get("/login/ada")
    copied = cookie_of(client)
    client.get("/logout")
    for app in apps:
        assert shows(app, copied) == shows(app, anonymous) == NOBODY
    assert client.get("/").json == {"user": None, "cart": "tea"}


def test_a_user_who_is_remembered_is_bound_again(apps: list[Flask]) -> None:
    client, copied = logged_in(apps[0], "remember")
    logged_in(apps[0], "bob")[0].get("/revoke/remember")
    assert shows(apps[1], copied) == NOBODY
    # The remember cookie is not ended by this: the docs say how to.
    assert client.get("/").json == {"user": "remember", "cart": None}
    copied = cookie_of(client)
    logged_in(apps[0], "bob")[0].get("/revoke/remember")
    assert shows(apps[1], copied) == NOBODY


# --- Clocks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], t.ContextManager[None]]:
    """Have the clock of a server go by so many seconds ahead."""

    @contextmanager
    def ahead(seconds: float) -> Iterator[None]:
        real = time.time
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: real() + seconds)
            yield

    return ahead


@pytest.mark.parametrize("skew", [-10, 10])
def test_clocks_10_seconds_apart(
    store: MemoryStore, at: Callable[[float], t.ContextManager[None]], skew: float
) -> None:
    """The order of what was done decides. Cookies themselves want a leeway, as without revocations."""
    here, there = (app_with_logins(store, leeway=20) for _ in range(2))
    with at(skew):
        before = logged_in(there)[1]
    logged_in(here, "bob")[0].get("/revoke/ada")
    with at(skew):
        after = logged_in(there)[1]
        logged_in(there, "bob")[0].get("/revoke/nobody")
        # Within a second, in both directions.
        also_before = logged_in(there)[1]
    client, also_revoked = logged_in(here)
    assert shows(here, after)["user"] == shows(here, also_before)["user"] == "ada"
    assert shows(here, before) == NOBODY
    with at(skew):
        logged_in(there, "bob")[0].get("/revoke/ada")
    later = logged_in(here)[1]
    for app, seconds in ((here, 0), (there, skew)):
        with at(seconds):
            for cookie in (before, after, also_before, also_revoked):
                assert shows(app, cookie) == NOBODY
            assert shows(app, later)["user"] == "ada"
    client.get("/logout")
