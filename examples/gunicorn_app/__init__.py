"""An application for gunicorn, whose workers share the key and say at their end what their sessions were like.

FLASK_SECRET_KEY=... gunicorn --config examples/gunicorn_app/config.py
"""

from __future__ import annotations

import os

from flask import Flask
from flask import session

from flask_fastsession import FastSessionInterface


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env()
    if not app.secret_key:
        # A key made up here would be another one in each worker, and after each restart.
        raise RuntimeError("No secret key: set FLASK_SECRET_KEY, the same for all workers.")
    app.session_interface = FastSessionInterface()

    @app.get("/")
    def index() -> dict[str, int]:
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"], "worker": os.getpid()}

    return app
