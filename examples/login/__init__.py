"""The login application of every Flask tutorial, with one line changed: its session interface."""

from __future__ import annotations

import secrets
from datetime import datetime
from datetime import timedelta
from datetime import timezone

from flask import Flask
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import session
from flask import url_for
from flask.sessions import SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash

from flask_fastsession import FastSessionInterface
from flask_fastsession.inspector import inspector

USERS = {"ada": generate_password_hash("lovelace"), "alan": generate_password_hash("turing")}


def create_app(session_interface: SessionInterface | None = None) -> Flask:
    app = Flask(__name__)
    app.config.update(PERMANENT_SESSION_LIFETIME=timedelta(days=14), SESSION_COOKIE_SAMESITE="Lax")
    app.config.from_prefixed_env()
    if not app.secret_key:
        # Without FLASK_SECRET_KEY in the environment, a restart logs everybody out.
        app.secret_key = secrets.token_hex()
    app.session_interface = session_interface or FastSessionInterface()
    # It answers in debug mode only.
    app.register_blueprint(inspector)

    @app.get("/")
    def index() -> str:
        return render_template("index.html")

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        if request.method == "GET":
            return render_template("login.html")
        user = request.form["user"]
        if user not in USERS or not check_password_hash(USERS[user], request.form["password"]):
            flash("Unknown user or wrong password.", "error")
            return redirect(url_for("login"))
        session.clear()
        session["user"] = user
        session["since"] = datetime.now(timezone.utc)
        session.permanent = "remember" in request.form
        flash(f"Welcome, {user}.", "success")
        return redirect(url_for("index"))

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        session.clear()
        flash("You are logged out.", "success")
        return redirect(url_for("index"))

    return app
