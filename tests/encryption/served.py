"""The app of the rolling deploys: it says who is logged in, and at which step the worker is that has answered."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask
from flask import Response
from flask import session

from flask_fastsession import FastSessionInterface

from .test_migration import STEPS


def create_app() -> Flask:
    """Return the app of a worker, which stays at the step that it finds when it starts."""
    step = Path(os.environ["STEP_FILE"]).read_text()
    app = Flask("served")
    app.secret_key = "shared by the workers"
    app.session_interface = FastSessionInterface(**STEPS[int(step)])

    @app.after_request
    def name_worker(response: Response) -> Response:
        response.headers["X-Worker"] = str(os.getpid())
        response.headers["X-Step"] = step
        return response

    @app.get("/login/<user>")
    def log_in(user: str) -> str:
        session.permanent = True
        session["user"] = user
        return user

    @app.get("/")
    def read() -> str:
        return str(session.get("user"))

    @app.get("/write/<value>")
    def write(value: str) -> str:
        session["value"] = value
        return str(session.get("user"))

    return app
