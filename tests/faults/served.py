"""An app for gunicorn, that looks after visitors' sessions and is used before there are workers."""

from __future__ import annotations

import os
import time
import typing as t
from decimal import Decimal

from flask import Flask
from flask import session

from flask_fastsession import FastSessionInterface

# How often sessions are used in the process that is going to fork.
USED_BEFORE = 3


class Waiting:
    """Markup that takes its time, and lets others have a turn while a session is being saved."""

    def __html__(self) -> str:
        time.sleep(0.0005)
        return "waited"


def create_app() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.secret_key = "a secret key for tests"
    app.session_interface = interface = FastSessionInterface()

    @app.get("/visit/<user>")
    def visit(user: str) -> dict[str, t.Any]:
        session.permanent = True
        session["user"] = session.get("user", user)
        session["visits"] = session.get("visits", 0) + 1
        match session["visits"] % 3:
            case 0:
                session["value"] = Decimal(1)
            case 1:
                session["value"] = Waiting()
            case _:
                session["value"] = 1
        return {
            "user": session["user"],
            "visits": session["visits"],
            "process": os.getpid(),
            "stats": interface.stats(),
        }

    client = app.test_client()
    for number in range(1, USED_BEFORE + 1):
        answer = client.get("/visit/nobody").json
        assert answer is not None and answer["visits"] == number
    return app
