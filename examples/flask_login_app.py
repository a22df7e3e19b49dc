"""Flask-Login, as it always was: its logins are sessions, and so they are read and signed natively.

    FLASK_SECRET_KEY=... flask --app examples.flask_login_app run

This one also uses what is beyond Flask: nobody stays logged in for more than 30 days, however often they come.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from flask import Flask
from flask import redirect
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_login import UserMixin
from flask_login import current_user
from flask_login import login_required
from flask_login import login_user
from flask_login import logout_user
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash

from flask_fastsession import FastSessionInterface


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


PASSWORDS = {"ada": generate_password_hash("lovelace"), "alan": generate_password_hash("turing")}

FORM = """<form method=post><input name=user placeholder=ada> <input name=password type=password placeholder=lovelace>
<button>Log in</button></form>"""


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax")
    app.config.from_prefixed_env()
    if not app.secret_key:
        # Without FLASK_SECRET_KEY in the environment, a restart logs everybody out.
        app.secret_key = secrets.token_hex()
    app.session_interface = FastSessionInterface(absolute_lifetime=timedelta(days=30))

    logins = LoginManager(app)
    logins.login_view = "login"

    @logins.user_loader  # type: ignore[untyped-decorator]
    def load_user(name: str) -> User | None:
        return User(name) if name in PASSWORDS else None

    @app.get("/")
    @login_required  # type: ignore[untyped-decorator]
    def index() -> str:
        return f"Hello, {current_user.id}. <a href={url_for('logout')}>Log out</a>"

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        if request.method == "GET":
            return FORM
        name = request.form["user"]
        if name not in PASSWORDS or not check_password_hash(PASSWORDS[name], request.form["password"]):
            return FORM, 401
        login_user(User(name))
        return redirect(url_for("index"))

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        logout_user()
        return redirect(url_for("login"))

    return app
