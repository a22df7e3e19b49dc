"""Sessions on the server: users see on which devices they are logged in, and log out there.

    flask --app examples.devices run

Sessions are in SQLite, in the instance folder, so there is nothing else to run.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from flask import Blueprint
from flask import Flask
from flask import abort
from flask import redirect
from flask import render_template_string
from flask import request
from flask import session
from flask import url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash

from flask_fastsession import ServerSession

PASSWORDS = {"ada": generate_password_hash("lovelace"), "alan": generate_password_hash("turing")}

FORM = """<form method=post action=/login><input name=user placeholder=ada>
<input name=password type=password placeholder=lovelace> <button>Log in</button></form>"""

DEVICES = """<p>Hello, {{ user }}. You are logged in on
<ul>{% for device in devices %}
<li>{{ device.note }}, since {{ device.begun.strftime("%Y-%m-%d %H:%M") }}
<form method=post action="{{ url_for("pages.end", name=device.name) }}"><button>Log out there</button></form>
{% endfor %}</ul>
<form method=post action="{{ url_for("pages.end_others") }}"><button>Log out everywhere else</button></form>
<form method=post action="{{ url_for("pages.logout") }}"><button>Log out</button></form>"""

pages = Blueprint("pages", __name__)

# One object for any number of apps, as with other extensions.
sessions = ServerSession()


@pages.get("/")
def index() -> str:
    if "user" not in session:
        return FORM
    return render_template_string(DEVICES, user=session["user"], devices=sessions.sessions_of(session["user"]))


@pages.post("/login")
def login() -> ResponseReturnValue:
    name = request.form["user"]
    if name not in PASSWORDS or not check_password_hash(PASSWORDS[name], request.form["password"]):
        return FORM, 401
    # A new id, so that an id which somebody planted in this browser does not become the user's.
    session.regenerate()  # type: ignore[attr-defined]
    session["user"] = name
    sessions.bind_user(session, name)
    return redirect(url_for("pages.index"))


@pages.post("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("pages.index"))


@pages.post("/devices/<name>/end")
def end(name: str) -> ResponseReturnValue:
    # Among the user's own alone: a name is no secret.
    own = {device.name: device for device in sessions.sessions_of(user_or_401())}
    sessions.revoke(own[name] if name in own else abort(404))
    return redirect(url_for("pages.index"))


@pages.post("/devices/end-others")
def end_others() -> ResponseReturnValue:
    sessions.revoke_user(user_or_401(), keep=session)
    return redirect(url_for("pages.index"))


def user_or_401() -> str:
    return t.cast("str", session["user"]) if "user" in session else abort(401)


def describe(given: t.Any) -> str:
    """What the page shows of a device, taken from the request that logged in."""
    return t.cast("str", given.user_agent.string)


def create_app(config: Mapping[str, t.Any] | None = None) -> Flask:
    app = Flask(__name__)
    # Browsers do not send a cookie that is Lax with forms of other sites. A real app has CSRF tokens as well.
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_NOTE=describe)
    app.config.from_prefixed_env()
    app.config.update(config or {})
    sessions.init_app(app)
    app.register_blueprint(pages)
    return app
