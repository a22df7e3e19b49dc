"""An application factory, with the session interface among its extensions.

    FLASK_SECRET_KEY=... flask --app examples.factory run

All that Flask knows of sessions is configured where everything else is: defaults here, what differs from place to
place in the environment (`FLASK_SESSION_COOKIE_SECURE=true`), and what a test needs in its call.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from datetime import timedelta

from flask import Blueprint
from flask import Flask
from flask import session

from flask_fastsession import FastSessionInterface

pages = Blueprint("pages", __name__)

# One interface may serve any number of apps: what it needs to know of an app, it asks that app at each request.
sessions = FastSessionInterface()


@pages.get("/")
def index() -> str:
    return f"in the basket: {', '.join(session.get('basket', [])) or 'nothing'}"


@pages.post("/basket/<article>")
def put(article: str) -> str:
    # A new list, because the session would not notice that the old one has grown.
    session["basket"] = [*session.get("basket", []), article]
    return index()


def create_app(config: Mapping[str, t.Any] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.update(PERMANENT_SESSION_LIFETIME=timedelta(days=14), SESSION_COOKIE_SAMESITE="Lax")
    app.config.from_prefixed_env()
    app.config.update(config or {})
    if not app.secret_key:
        raise RuntimeError("No secret key: set FLASK_SECRET_KEY, for instance to what secrets.token_hex() gives.")
    app.session_interface = sessions
    app.register_blueprint(pages)
    return app
