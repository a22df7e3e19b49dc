"""Flask-Login and Flask-WTF on two equal apps, one with stock's session interface and one with ours.

The same visits must give the same statuses, headers and bodies, and also if the two apps take turns in answering, as
servers do in a rolling deploy. Time and randomness are under control, so that nothing else can differ.
"""

from __future__ import annotations

import itertools
import random
import re
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from unittest import mock

import pytest
import time_machine
from flask import Flask
from flask import get_flashed_messages
from flask import jsonify
from flask import redirect
from flask import render_template_string
from flask import request
from flask import session
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager
from flask_login import UserMixin
from flask_login import confirm_login
from flask_login import current_user
from flask_login import fresh_login_required
from flask_login import login_required
from flask_login import login_user
from flask_login import logout_user
from flask_wtf import CSRFProtect
from flask_wtf import FlaskForm
from flask_wtf.csrf import generate_csrf
from werkzeug.test import Client
from werkzeug.test import TestResponse
from wtforms import StringField
from wtforms.validators import DataRequired

from flask_fastsession import FastSessionInterface

START = datetime(2024, 2, 29, 12, 0, 0, 250_000, tzinfo=timezone.utc)
BROWSER = "Mozilla/5.0"
OTHER_BROWSER = "curl/8.0"

FORM = """<form method=post>{{ form.csrf_token }} {{ form.name }} {{ form.errors }}</form>"""


# --- The app --------------------------------------------------------------------------------------------------------


class User(UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


class NameForm(FlaskForm):
    name = StringField(validators=[DataRequired()])


def make_app(interface: SecureCookieSessionInterface, protection: str) -> Flask:
    app = Flask(__name__)
    app.session_interface = interface
    app.config.update(SECRET_KEY="a secret key for tests", SESSION_COOKIE_SAMESITE="Lax")
    add_login(app, protection)
    add_forms(app)
    return app


def add_login(app: Flask, protection: str) -> None:
    manager = LoginManager(app)
    manager.session_protection = protection
    manager.login_view = "login"
    manager.refresh_view = "login"
    manager.user_loader(User)

    @app.route("/")
    def index() -> str:
        return f"{current_user.is_authenticated} {get_flashed_messages(with_categories=True)}"

    @app.route("/login", methods=["GET", "POST"])
    def login() -> t.Any:
        if request.method == "GET":
            return f"Log in to see {request.args.get('next')}. {get_flashed_messages()}"
        session.permanent = "permanent" in request.form
        login_user(User(request.form["user"]), remember="remember" in request.form)
        return redirect("/private")

    @app.route("/logout")
    def logout() -> t.Any:
        logout_user()
        return redirect("/")

    @app.route("/private")
    @login_required
    def private() -> str:
        return f"Hello {current_user.get_id()}"

    @app.route("/fresh")
    @fresh_login_required
    def fresh() -> str:
        return "fresh"

    @app.route("/confirm")
    @login_required
    def confirm() -> t.Any:
        confirm_login()
        return redirect("/fresh")


def add_forms(app: Flask) -> None:
    protect = CSRFProtect(app)

    @app.route("/form", methods=["GET", "POST"])
    def form() -> str:
        form = NameForm()
        if form.validate_on_submit():
            session["name"] = form.name.data
            return f"Saved {form.name.data}"
        return render_template_string(FORM, form=form)

    @app.route("/api", methods=["GET", "POST"])
    def api() -> t.Any:
        return jsonify(token=generate_csrf(), name=session.get("name"))

    protect.exempt(app.view_functions["login"])


# --- Visits ---------------------------------------------------------------------------------------------------------


class Visitor:
    """A browser. If there are several apps, they answer in turn."""

    def __init__(self, apps: Iterable[Flask], clock: time_machine.Traveller) -> None:
        turns = itertools.cycle(apps)
        self.client = Client(lambda environ, start_response: next(turns)(environ, start_response))
        self.clock = clock
        self.answers: list[tuple[str, list[tuple[str, str]], bytes]] = []

    def open(self, method: str, path: str, browser: str = BROWSER, **options: t.Any) -> TestResponse:
        headers = {"User-Agent": browser} | options.pop("headers", {})
        response = self.client.open(path, method=method, headers=headers, **options)
        self.answers.append((response.status, list(response.headers), response.data))
        return response

    def get(self, path: str, **options: t.Any) -> TestResponse:
        return self.open("GET", path, **options)

    def post(self, path: str, data: dict[str, str], **options: t.Any) -> TestResponse:
        return self.open("POST", path, data=data, **options)

    def wait(self, **time: float) -> None:
        self.clock.shift(timedelta(**time))

    def may_see(self, path: str, **options: t.Any) -> bool:
        """Whether the page is shown, rather than the way to the login."""
        response = self.get(path, **options)
        assert response.status_code == 200 or response.location.startswith("/login?next=")
        return response.status_code == 200

    def token(self) -> str:
        found = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', self.get("/form").text)
        assert found
        return found[1]


def log_in_and_out(visitor: Visitor) -> None:
    assert visitor.get("/").text == "False []"
    assert not visitor.may_see("/private")
    assert "Please log in to access this page." in visitor.get("/login?next=/private").text
    assert visitor.post("/login", {"user": "ada"}).location == "/private"
    assert visitor.get("/private").text == "Hello ada"
    assert visitor.may_see("/fresh")
    assert visitor.get("/logout").location == "/"
    assert visitor.get("/").text == "False []"
    assert not visitor.may_see("/private")
    assert not visitor.may_see("/fresh")
    assert "Please log in to access this page." in visitor.get("/").text


def be_remembered(visitor: Visitor) -> None:
    visitor.post("/login", {"user": "ada", "remember": "yes"})
    assert visitor.may_see("/fresh")
    visitor.client.delete_cookie("session")
    assert visitor.may_see("/private")
    assert not visitor.may_see("/fresh")
    assert "reauthenticate" in visitor.get("/login?next=/fresh").text
    assert visitor.get("/confirm").location == "/fresh"
    assert visitor.may_see("/fresh")
    visitor.get("/logout")
    assert visitor.client.get_cookie("remember_token") is None
    assert not visitor.may_see("/private")


def be_remembered_once(visitor: Visitor) -> None:
    visitor.post("/login", {"user": "ada", "remember": "yes"})
    visitor.client.delete_cookie("session")
    assert visitor.may_see("/private")
    assert not visitor.may_see("/private"), "strong protection wants a session that began with a login"
    assert visitor.client.get_cookie("remember_token") is None
    visitor.post("/login", {"user": "ada"})
    assert visitor.may_see("/fresh")


def stay_away(visitor: Visitor) -> None:
    visitor.post("/login", {"user": "ada", "permanent": "yes"})
    visitor.wait(days=31)
    assert visitor.may_see("/private")
    visitor.wait(days=31)
    assert visitor.may_see("/private"), "each answer prolongs a permanent session"
    kept = visitor.client.get_cookie("session")
    assert kept is not None
    visitor.wait(days=31, seconds=1)
    visitor.client.set_cookie("session", kept.value)
    assert not visitor.may_see("/private")


def change_browsers(visitor: Visitor) -> None:
    visitor.post("/login", {"user": "ada"})
    assert visitor.may_see("/fresh")
    assert not visitor.may_see("/fresh", browser=OTHER_BROWSER)
    assert not visitor.may_see("/fresh")
    visitor.may_see("/private", browser=OTHER_BROWSER)
    visitor.may_see("/private")


def submit_forms(visitor: Visitor) -> None:
    token = visitor.token()
    assert visitor.post("/form", {"csrf_token": token, "name": "Ada <3"}).text == "Saved Ada <3"
    assert visitor.get("/api").json["name"] == "Ada <3"  # type: ignore[index]
    assert "This field is required" in visitor.post("/form", {"csrf_token": visitor.token(), "name": ""}).text
    assert visitor.post("/form", {"name": "Eve"}).status_code == 400
    assert visitor.post("/form", {"csrf_token": token[:-1], "name": "Eve"}).status_code == 400
    assert visitor.post("/form", {"csrf_token": "no token", "name": "Eve"}).status_code == 400
    visitor.client.delete_cookie("session")
    assert visitor.post("/form", {"csrf_token": token, "name": "Eve"}).status_code == 400
    assert visitor.token() != token
    assert visitor.post("/form", {"csrf_token": token, "name": "Eve"}).status_code == 400


def be_late_with_a_form(visitor: Visitor) -> None:
    token = visitor.token()
    visitor.wait(hours=1)
    assert visitor.post("/form", {"csrf_token": token, "name": "Ada"}).status_code == 200
    visitor.wait(seconds=1)
    assert "expired" in visitor.post("/form", {"csrf_token": token, "name": "Ada"}).text


def call_the_api(visitor: Visitor) -> None:
    visitor.post("/login", {"user": "ada", "remember": "yes", "permanent": "yes"})
    token = visitor.get("/api").json["token"]  # type: ignore[index]
    assert visitor.post("/api", {}).status_code == 400
    assert visitor.post("/api", {}, headers={"X-CSRFToken": token}).status_code == 200
    assert visitor.post("/api", {}, headers={"X-CSRFToken": token.swapcase()}).status_code == 400
    visitor.get("/logout")
    assert visitor.post("/api", {}, headers={"X-CSRFToken": token}).status_code == 200, "the session is the same"


Visits = Callable[[Visitor], None]

VISITS: list[tuple[Visits, str]] = [
    (log_in_and_out, "basic"),
    (log_in_and_out, "strong"),
    (be_remembered, "basic"),
    (be_remembered_once, "strong"),
    (stay_away, "basic"),
    (change_browsers, "basic"),
    (change_browsers, "strong"),
    (submit_forms, "basic"),
    (be_late_with_a_form, "basic"),
    (call_the_api, "basic"),
]


def answers(visits: Visits, interfaces: Iterable[SecureCookieSessionInterface], protection: str) -> list[t.Any]:
    """All that the apps with these interfaces answer."""
    numbers = random.Random(1)
    with time_machine.travel(START, tick=False) as clock, mock.patch("os.urandom", numbers.randbytes):
        visitor = Visitor([make_app(interface, protection) for interface in interfaces], clock)
        visits(visitor)
    return visitor.answers


@pytest.mark.parametrize(("visits", "protection"), VISITS)
def test_visits(visits: Visits, protection: str) -> None:
    stock, ours = SecureCookieSessionInterface(), FastSessionInterface()
    expected = answers(visits, [stock], protection)
    assert any(name == "Set-Cookie" for _, headers, _ in expected for name, _ in headers)
    assert answers(visits, [ours], protection) == expected
    assert ours.stats()["dumps"]["native"] > 0
    assert ours.stats()["loads"]["native"] > 0
    assert answers(visits, [stock, ours], protection) == expected
    assert answers(visits, [ours, stock], protection) == expected
