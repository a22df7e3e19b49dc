"""Loads the app that a command is called for."""

from __future__ import annotations

import functools
import shlex
import sys
import typing as t
from collections.abc import Callable
from contextlib import redirect_stdout

import click
from flask import Flask
from flask import current_app
from flask.cli import NoAppException
from flask.cli import ScriptInfo

from . import cookies
from . import main
from .errors import BadInput
from .errors import described
from .errors import own_text
from .text import warn


def load_app(context: click.Context) -> Flask:
    """The app of Flask's command line. Raise :exc:`BadInput` with one line of text if it cannot be loaded."""
    if current_app:
        return t.cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
    info = context.ensure_object(ScriptInfo)
    try:
        # What the app prints while it is loaded must not mix with the output of the command.
        with redirect_stdout(sys.stderr):
            return info.load_app()
    except NoAppException as error:
        raise CannotLoad(error) from None
    except (Exception, SystemExit) as error:
        hint = "" if own_text(error) is not None else f"; {how_to_see_more(info)}"
        raise BadInput(f"the app cannot be loaded: {described(error)}{hint}") from None


def how_to_see_more(info: ScriptInfo) -> str:
    app = "" if info.app_import_path is None else f" --app {shlex.quote(info.app_import_path)}"
    return f'run "flask{app} routes" to see the traceback'


class CannotLoad(BadInput):
    """Flask says that there is no app, or none that it can import."""

    def __init__(self, error: NoAppException) -> None:
        lines = [line for line in error.message.splitlines() if line.strip()]
        # If an import failed, Flask's message contains the traceback.
        super().__init__(f"{lines[0]} {lines[-1]}" if "Traceback" in error.message else " ".join(lines))
        self.is_nothing_found = error.message.startswith("Could not locate a Flask application")


def load_app_if_any() -> Flask | None:
    """The app, if the command line names one or Flask finds one by itself."""
    context = click.get_current_context()
    info = context.ensure_object(ScriptInfo)
    if current_app or info.app_import_path or info.create_app:
        return load_app(context)
    if context.find_root().command is main:
        return None
    try:
        return load_app(context)
    except BadInput as error:
        if not (isinstance(error, CannotLoad) and error.is_nothing_found):
            warn(f"no key was tried, because the app cannot be used: {error.message}")
        return None


def with_any_app(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that gets the app as its first argument, and runs in the context of a request."""

    @functools.wraps(command)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> None:
        app = load_app(click.get_current_context())
        with cookies.request_with(app, None):
            command(app, *args, **kwargs)

    return wrapper


def with_app(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command as :func:`with_any_app` does, for which the app needs an interface that can be used."""

    @functools.wraps(command)
    def wrapper(app: Flask, *args: t.Any, **kwargs: t.Any) -> None:
        if isinstance(app.session_interface, type):
            raise BadInput(is_class(app.session_interface))
        command(app, *args, **kwargs)

    return with_any_app(wrapper)


def is_class(interface: type) -> str:
    return f"app.session_interface is the class {interface.__name__}: add the parentheses"


def serializer_of(app: Flask) -> t.Any:
    try:
        return cookies.serializer_of(app)
    except cookies.Unusable as error:
        raise BadInput(str(error)) from None


def name_of_cookie(app: Flask) -> str:
    """The name of the session cookie: the app's or, if the app raises an exception, Flask's default."""
    try:
        return cookies.name_of_cookie(app)
    except Exception:
        return "session"
