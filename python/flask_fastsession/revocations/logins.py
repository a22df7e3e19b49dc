"""Support for Flask-Login: a session is bound to its user at the login, and ends at the logout."""

from __future__ import annotations

import functools
import typing as t

from flask import current_app
from flask import session

from ..interface import FastSessionInterface
from ..session import SecureCookieSession
from . import sessions
from .revocations import Revocations


@functools.cache
def follow_logins() -> None:
    """Bind sessions at each login and end them at each logout, in all apps whose sessions can be revoked."""
    try:
        import flask_login
    except ImportError:
        return
    flask_login.user_logged_in.connect(begin, weak=False)
    flask_login.user_loaded_from_cookie.connect(begin, weak=False)
    flask_login.user_logged_out.connect(end, weak=False)


def begin(sender: object, user: t.Any, **extra: object) -> None:
    interface = current_interface()
    if interface is not None:
        interface.bind_user(session, user.get_id())


def end(sender: object, **extra: object) -> None:
    interface = current_interface()
    if interface is not None:
        sessions.end(t.cast(Revocations, interface._options.revocations), sessions.actual(session))


def current_interface() -> FastSessionInterface | None:
    """The session interface of the current app, or ``None`` if the current session cannot be revoked."""
    interface = current_app.session_interface
    if not isinstance(interface, FastSessionInterface) or interface._options.revocations is None:
        return None
    is_ours = isinstance(session._get_current_object(), SecureCookieSession)  # type: ignore[attr-defined]
    return interface if is_ours else None
