"""The Flask extension for sessions on the server."""

from __future__ import annotations

import typing as t
import warnings
import weakref
from collections.abc import Callable
from collections.abc import Iterable
from datetime import timedelta

from flask import Flask
from flask import current_app
from flask import has_app_context
from flask.sessions import SessionMixin

from ..options import Policies
from .config import bool_in
from .config import checker_of
from .config import interface_of
from .config import seconds_of
from .info import AnySession
from .info import SessionInfo
from .interface import ServerSessionInterface
from .logins import follow_logins
from .stats import ServerStats

if t.TYPE_CHECKING:
    from flask import Request


class ServerSession:
    """Keeps the sessions of an app on the server, and an id in the cookie.

    ::

        app = Flask(__name__)
        sessions = ServerSession(app)

    By default the sessions are in the file ``sessions.sqlite`` in ``app.instance_path``. The config is read once, here;
    an invalid setting or argument raises :exc:`ValueError`. After that ``app.session_interface`` is a
    :class:`ServerSessionInterface`, ``app.extensions["flask_fastsession"]`` is this object, and ``flask session`` has
    commands for these sessions. The counterpart in Flask-Session is ``flask_session.Session``.

    One object may serve several apps, with :meth:`init_app`. Its methods then use the app of the current context. With
    one app they need no context.

    The arguments mean the same as those of :class:`flask_fastsession.FastSessionInterface`. Each may also be a setting,
    ``SESSION_`` followed by its name in capitals. If both are given, the argument is used.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        absolute_lifetime: float | timedelta | None = None,
        skip: Callable[[Request], object] | None = None,
        refresh_after: float | timedelta | None = None,
        lifetime: Callable[[SessionMixin], float | timedelta | None] | None = None,
        on_refused: Callable[[Request, str], object] | None = None,
        delete_refused: bool | None = None,
        accept_any: bool | None = None,
    ) -> None:
        self._policies = Policies.given(
            {
                "skip": skip,
                "refresh_after": refresh_after,
                "lifetime": lifetime,
                "on_refused": on_refused,
                "delete_refused": delete_refused,
                "accept_any": accept_any,
            }
        )
        self._absolute_lifetime = seconds_of(absolute_lifetime, "absolute_lifetime")
        self._interface: ServerSessionInterface | None = None
        #: That of the only app, as long as there are no others.
        self._only: ServerSessionInterface | None = None
        self._has_apps = False
        if app is not None:
            self.init_app(app)
            self._interface = t.cast(ServerSessionInterface, app.session_interface)

    def init_app(self, app: Flask) -> None:
        """Read the config of an app, and keep its sessions on the server. Raise :exc:`ValueError` if it is invalid.

        What is not an app raises :exc:`TypeError`. A second call for the same app only warns, because other settings
        would not find the app's sessions.
        """
        if not isinstance(app, Flask):
            raise TypeError(f"ServerSession is for a Flask app, not {app!r}")
        if "flask_fastsession" in app.extensions and isinstance(app.session_interface, ServerSessionInterface):
            warnings.warn(f"init_app was called again for the app {app.name!r}, which has no effect", stacklevel=2)
            return
        interface = interface_of(app, self._policies, self._absolute_lifetime)
        interface.made_for = weakref.ref(app)
        interface.at_first_request = checker_of(app, interface)
        is_following = bool_in(app.config, "SESSION_REGENERATE_ON_LOGIN", True)
        app.session_interface = interface
        app.extensions["flask_fastsession"] = self
        self._only, self._has_apps = None if self._has_apps else interface, True
        # Imported here, because the commands import this package, and Flask imports them before the app.
        from ..cli import session
        from ..cli.operate import session_cleanup

        app.cli.add_command(session_cleanup)
        if session.name not in app.cli.commands:
            # `flask` finds it without this, and app.test_cli_runner() does not.
            app.cli.add_command(session)
        if is_following:
            follow_logins(app, interface)

    @property
    def interface(self) -> ServerSessionInterface:
        """The interface of the current app or, outside of an app context, of the app given to the constructor, or of
        the only app that :meth:`init_app` was called for.

        Raise :exc:`RuntimeError` if there is none of these, or if :meth:`init_app` was not called for the current app.
        """
        found = current_app.session_interface if has_app_context() else self._interface or self._only
        if not isinstance(found, ServerSessionInterface):
            raise RuntimeError("there is no app context, or init_app was not called for its app")
        return found

    def regenerate(self, session: SessionMixin) -> None:
        """See :meth:`ServerSideSession.regenerate`."""
        self.interface.regenerate(session)

    def bind_user(self, session: SessionMixin, user_id: object) -> None:
        """See :meth:`ServerSessionInterface.bind_user`."""
        self.interface.bind_user(session, user_id)

    def sessions_of(self, user_id: object) -> list[SessionInfo]:
        """See :meth:`ServerSessionInterface.sessions_of`."""
        return self.interface.sessions_of(user_id)

    def revoke(self, *sessions: AnySession) -> None:
        """See :meth:`ServerSessionInterface.revoke`."""
        self.interface.revoke(*sessions)

    def revoke_user(self, user_id: object, keep: AnySession | Iterable[AnySession] | None = None) -> None:
        """See :meth:`ServerSessionInterface.revoke_user`."""
        self.interface.revoke_user(user_id, keep)

    def stats(self) -> ServerStats:
        """See :class:`~flask_fastsession.server.stats.ServerStats`."""
        return self.interface.stats()
