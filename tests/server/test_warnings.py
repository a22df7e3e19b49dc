"""Settings that have no effect, and sessions that cannot be read: what is said of them, and that it is said once."""

from __future__ import annotations

import logging
import pickle
import re
import typing as t
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import flask_login
import pytest
from flask import Flask
from flask import session
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import ServerSession
from flask_fastsession import server
from flask_fastsession.server.config import READ_ONCE

from ..recorded import recorded_warnings
from .conftest import MemoryStore
from .conftest import app_with
from .test_kit import MovingOwnerMemoryStore

#: Settings of Flask, which asks for them at each request, and of Flask-Login.
NOT_OURS = {"SESSION_PROTECTION", "SESSION_REFRESH_EACH_REQUEST"}


def make_app(**config: t.Any) -> Flask:
    return app_with({"SESSION_TYPE": MovingOwnerMemoryStore(), **config})


def warnings_in(*acts: Callable[[], object]) -> list[str]:
    with recorded_warnings() as found:
        for act in acts:
            act()
    assert all(warning.category is UserWarning for warning in found)
    return [str(warning.message) for warning in found]


def get(app: Flask) -> None:
    assert app.test_client().get("/").status_code == 404


# --- The config -----------------------------------------------------------------------------------------------------


def test_all_that_is_read_is_looked_at() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(server.__file__).parent.rglob("*.py"))
    named = set(re.findall(r'"(SESSION_[A-Z_]+)"', source))
    assert {name for name in named if not name.startswith("SESSION_COOKIE_")} - NOT_OURS == set(READ_ONCE)


@pytest.mark.parametrize("name", READ_ONCE)
def test_a_setting_that_has_changed_since_it_was_read(name: str) -> None:
    app = make_app()
    app.config[name] = object()
    assert warnings_in(lambda: get(app), lambda: get(app)) == [
        f"{name} was changed after init_app, which has no effect"
    ]


def test_a_setting_that_was_removed(tmp_path: Path) -> None:
    app = app_with({"SESSION_SQLITE_PATH": tmp_path / "sessions.sqlite"})
    del app.config["SESSION_SQLITE_PATH"]
    assert len(warnings_in(lambda: get(app))) == 1


def test_several_settings_at_once() -> None:
    app = make_app()
    app.config.update(SESSION_KEY_PREFIX="other:", SESSION_ID_LENGTH=16, SESSION_USE_SIGNER=True)
    assert len(warnings_in(lambda: get(app), lambda: get(app))) == 3


def test_each_app_is_looked_at() -> None:
    apps = [make_app() for _ in range(2)]
    for app in apps:
        app.config["SESSION_KEY_PREFIX"] = "other:"
    assert len(warnings_in(*[lambda app=app: get(app) for app in apps])) == 2


def test_nothing_is_said_of_settings_that_have_an_effect() -> None:
    app = make_app(SESSION_KEY_PREFIX="same:", SESSION_ABSOLUTE_LIFETIME=timedelta(days=1))
    app.config.update(
        SESSION_KEY_PREFIX="".join(["sa", "me:"]),
        SESSION_ABSOLUTE_LIFETIME=timedelta(hours=24),
        SESSION_COOKIE_NAME="other",
        SESSION_COOKIE_SECURE=True,
        SESSION_REFRESH_EACH_REQUEST=False,
        SESSION_PROTECTION="basic",
        SESSION_OF_ANOTHER_EXTENSION=1,
        PERMANENT_SESSION_LIFETIME=60,
        SECRET_KEY="other",
    )
    assert warnings_in(lambda: get(app)) == []


def test_a_warning_that_is_an_error_fails_one_request() -> None:
    app = make_app()
    app.config["SESSION_KEY_PREFIX"] = "other:"
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="SESSION_KEY_PREFIX"):
            get(app)
        get(app)


# --- A second init_app ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [lambda app: ServerSession(app), lambda app: ServerSession().init_app(app)])
def test_a_second_init_app(by: Callable[[Flask], object]) -> None:
    app = make_app()
    interface, extension = app.session_interface, app.extensions["flask_fastsession"]
    app.config["SESSION_TYPE"] = MemoryStore()
    assert warnings_in(lambda: by(app)) == ["init_app was called again for the app 'app', which has no effect"]
    assert (app.session_interface, app.extensions["flask_fastsession"]) == (interface, extension)


def test_what_is_made_by_a_second_init_app_can_be_used() -> None:
    app = make_app()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = ServerSession(app)
    assert again.interface is app.session_interface
    assert again.sessions_of("ann") == []


def test_one_object_for_two_apps() -> None:
    sessions = ServerSession()
    apps = [Flask("one"), Flask("other")]
    for app in apps:
        app.config["SESSION_TYPE"] = MemoryStore()
    assert warnings_in(*[lambda app=app: sessions.init_app(app) for app in apps]) == []


def test_an_app_that_has_had_another_interface_since() -> None:
    """Then the call has an effect."""
    app = make_app()
    app.session_interface = SecureCookieSessionInterface()
    assert warnings_in(lambda: ServerSession(app)) == []
    assert isinstance(app.session_interface, server.ServerSessionInterface)


def test_a_first_call_that_failed() -> None:
    app = Flask("app")
    app.config["SESSION_TYPE"] = "none"
    with pytest.raises(ValueError):
        ServerSession(app)
    app.config["SESSION_TYPE"] = MemoryStore()
    assert warnings_in(lambda: ServerSession(app), lambda: get(app)) == []


# --- Flask-Login's protection ---------------------------------------------------------------------------------------


def with_protection(app: Flask, protection: str | None) -> Flask:
    manager = flask_login.LoginManager(app)
    manager.session_protection = protection
    manager.user_loader(lambda user_id: None)
    return app


STRONG = (
    'Flask-Login treats session_protection = "strong" as "basic" for permanent sessions, which are the default '
    "here: set SESSION_PERMANENT = False to change that"
)


def test_strong_protection() -> None:
    app = with_protection(make_app(), "strong")
    assert warnings_in(lambda: get(app), lambda: get(app)) == [STRONG]


def test_strong_protection_by_the_config() -> None:
    app = with_protection(make_app(SESSION_PROTECTION="strong"), "basic")
    assert warnings_in(lambda: get(app)) == [STRONG]


def test_other_protection() -> None:
    for protection in ("basic", None):
        assert warnings_in(lambda protection=protection: get(with_protection(make_app(), protection))) == []
    assert warnings_in(lambda: get(with_protection(make_app(SESSION_PROTECTION=None), "strong"))) == []
    assert warnings_in(lambda: get(with_protection(make_app(SESSION_PERMANENT=False), "strong"))) == []
    # No Flask-Login, no protection.
    assert warnings_in(lambda: get(make_app(SESSION_PROTECTION="strong"))) == []


@pytest.mark.parametrize(("is_permanent", "who"), [(True, "ann"), (False, "nobody")])
def test_what_the_warning_says_is_so(is_permanent: bool, who: str) -> None:
    """Of one who sends the cookie of another browser."""
    app = make_app(SESSION_PERMANENT=is_permanent)
    manager = flask_login.LoginManager(app)
    manager.session_protection = "strong"

    class User(flask_login.UserMixin):
        id = "ann"

    manager.user_loader(lambda user_id: User())
    app.add_url_rule("/login", "login", lambda: str(flask_login.login_user(User())))
    app.add_url_rule("/whoami", "whoami", lambda: getattr(flask_login.current_user, "id", "nobody"))
    app.add_url_rule("/permanent", "permanent", lambda: str(session.permanent))
    client = app.test_client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.get("/login", headers={"User-Agent": "one"})
        assert client.get("/permanent", headers={"User-Agent": "one"}).text == str(is_permanent)
        assert client.get("/whoami", headers={"User-Agent": "other"}).text == who


# --- Sessions that cannot be read -----------------------------------------------------------------------------------


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> t.Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, "flask_fastsession"):
        yield caplog


def send_ids_of(app: Flask, records: list[bytes]) -> None:
    interface = t.cast(t.Any, app.session_interface)
    for number, record in enumerate(records):
        sid = f"{number:043}"
        interface.store.create(interface.ids.key(sid), record, 600)
        for _ in range(2):
            with app.test_request_context(headers={"Cookie": f"session={sid}"}):
                assert session.get("user") is None
                assert not session.modified


def test_pickles_are_logged_once(said: pytest.LogCaptureFixture) -> None:
    """Flask-Session before 0.8 has stored them, one for each visitor."""
    app = make_app()
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    send_ids_of(app, [pickle.dumps({"user": "ann"}, protocol) for protocol in protocols if protocol != 1])
    assert said.messages == [
        "A session in the store cannot be read (written by Flask-Session < 0.8 as a pickle, which is never loaded); "
        "the visitor gets a new one."
    ]


def test_damaged_records_are_logged_each(said: pytest.LogCaptureFixture) -> None:
    send_ids_of(make_app(), [b"~{", b"hello"])
    assert len(said.messages) == 4
