"""Flask-Login followed: a session moves to a new id at each login, and is its user's from then on."""

from __future__ import annotations

import typing as t

from .interface import ServerSessionInterface
from .session import ServerSideSession

if t.TYPE_CHECKING:
    from flask import Flask


def follow_logins(app: Flask, interface: ServerSessionInterface) -> None:
    """Move a session at each login, and let it be its user's, where Flask-Login is in use."""
    try:
        import flask_login
    except ImportError:
        return
    from flask import session

    # Sessions from before have it, too, as those of Flask-Session.
    interface.user_key = "_user_id"

    def is_ours() -> bool:
        # Flask-SocketIO for one has sessions of its own for what is no request.
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
