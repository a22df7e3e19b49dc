"""The app that workers of gunicorn serve: it logs in and out, and says which of them has answered."""

from __future__ import annotations

import os
import typing as t

import redis
from flask import Flask
from flask import Response
from flask import session
from redis.backoff import NoBackoff
from redis.retry import Retry

from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations


def store_from(source: str) -> t.Any:
    if not source.startswith("redis://"):
        return source
    limit = float(os.environ["REVOCATIONS_TIME_LIMIT"])
    limits: dict[str, t.Any] = {"socket_timeout": limit, "socket_connect_timeout": limit}
    return redis.Redis.from_url(source, **limits, retry=Retry(NoBackoff(), 0))


def create_app() -> Flask:
    app = Flask("served")
    app.secret_key = "shared by the workers"
    revocations = Revocations(store_from(os.environ["REVOCATIONS"]), every=float(os.environ["REVOCATIONS_EVERY"]))
    app.session_interface = interface = FastSessionInterface(revocations=revocations)

    @app.after_request
    def name_worker(response: Response) -> Response:
        response.headers["X-Worker"] = str(os.getpid())
        return response

    @app.get("/")
    def show() -> str:
        return str(session.get("user", "nobody"))

    @app.get("/login/<user>")
    def log_in(user: str) -> str:
        session["user"] = user
        interface.bind_user(session, user)
        return user

    @app.get("/logout")
    def log_out() -> str:
        session.clear()
        return "out"

    @app.get("/revoke/<user>")
    def revoke_user(user: str) -> str:
        interface.revoke_user(user)
        return "revoked"

    @app.get("/rotate/<how>")
    def rotate(how: str) -> str:
        """What a thief would do to keep a session."""
        data = dict(session)
        if how == "clear":
            session.clear()
        session.update(data)
        if how == "bind" and "user" in data:
            interface.bind_user(session, data["user"])
        return str(data.get("user", "nobody"))

    @app.get("/stats")
    def stats() -> dict[str, t.Any]:
        return dict(revocations.stats())

    return app
