"""What apps do before and after each request, and when one fails."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import flask
from flask import Flask

from ..codec.odd_types import calls
from .apps import by_name
from .replies import Handled
from .sessions import interface


def reads_headers(app: Flask) -> None:
    @app.after_request
    def read(response: t.Any) -> t.Any:
        calls.append(f"after {list(response.headers)}")
        return response


def touches_session_after(app: Flask) -> None:
    @app.after_request
    def touch(response: t.Any) -> t.Any:
        flask.session["after"] = flask.session.get("after", 0) + 1
        return response


def saves_session_itself(app: Flask) -> None:
    @app.after_request
    def save(response: t.Any) -> t.Any:
        interface().save_session(app, t.cast(t.Any, flask.session), response)
        return response


def answers_anew(app: Flask) -> None:
    @app.after_request
    def anew(response: t.Any) -> t.Any:
        return app.response_class(b"anew", headers=list(response.headers))


def varies(app: Flask) -> None:
    @app.after_request
    def vary(response: t.Any) -> t.Any:
        response.vary.add("Accept-Language")
        return response


def sets_a_cookie(app: Flask) -> None:
    @app.after_request
    def set_cookie(response: t.Any) -> t.Any:
        response.set_cookie("other", "1")
        return response


def reads_session_before(app: Flask) -> None:
    @app.before_request
    def read() -> None:
        flask.g.user = flask.session.get("user")


def reads_cookies_before(app: Flask) -> None:
    @app.before_request
    def read() -> None:
        flask.g.cookies = dict(flask.request.cookies)


def answers_before(app: Flask) -> None:
    @app.before_request
    def answer() -> str | None:
        return "early" if "user" in flask.request.cookies else None


def handles_errors(app: Flask) -> None:
    @app.errorhandler(Handled)
    @app.errorhandler(404)
    def handle(error: Exception) -> t.Any:
        flask.session["error"] = type(error).__name__
        return "handled", 418


def handles_everything(app: Flask) -> None:
    @app.errorhandler(Exception)
    def handle(error: Exception) -> t.Any:
        flask.flash("sorry")
        return "sorry", 503


def logs_out_at_errors(app: Flask) -> None:
    @app.errorhandler(500)
    def handle(error: Exception) -> t.Any:
        flask.session.clear()
        return "logged out", 500


def lets_errors_pass(app: Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True


def shuts_down_session(app: Flask) -> None:
    @app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        flask.session["torn down"] = 1


HANDLERS: dict[str, Callable[[Flask], None]] = by_name(
    *(reads_headers, touches_session_after, saves_session_itself, answers_anew, varies, sets_a_cookie),
    *(reads_session_before, reads_cookies_before, answers_before, handles_errors, handles_everything),
    *(logs_out_at_errors, lets_errors_pass, shuts_down_session),
)
