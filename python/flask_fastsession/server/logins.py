"""Support for Flask-Login: at each login the session moves to a new id and is bound to the user."""

from __future__ import annotations

import typing as t

from .interface import ServerSessionInterface
from .session import ServerSideSession

if t.TYPE_CHECKING:
    from flask import Flask


def follow_logins(app: Flask, interface: ServerSessionInterface) -> None:
    """Move the session to a new id and bind it at each login, if Flask-Login is installed. Unbind it at each logout."""
    try:
        import flask_login
    except ImportError:
        return
    from flask import session

    # Sessions from before this interface, such as those of Flask-Session, have this key, too.
    interface.user_key = "_user_id"

    def is_ours() -> bool:
        # Flask-SocketIO, for example, has sessions of its own in the handlers of its events.
        return isinstance(session._get_current_object(), ServerSideSession)  # type: ignore[attr-defined]

    def begin(sender: object, user: t.Any, **extra: object) -> None:
        if is_ours():
            interface.regenerate(session)
            bind(user.get_id())

    def confirm(sender: object, **extra: object) -> None:
        if is_ours():
            interface.regenerate(session)

    def end(sender: object, **extra: object) -> None:
        if is_ours():
            bind(None)

    def bind(user_id: object) -> None:
        if interface.lifecycle.owners is not None:
            interface.bind_user(session, user_id)

    for signal in (flask_login.user_logged_in, flask_login.user_loaded_from_cookie):
        signal.connect(begin, app)
    flask_login.user_login_confirmed.connect(confirm, app)
    flask_login.user_logged_out.connect(end, app)
    interface.login_receivers = begin, confirm, end
