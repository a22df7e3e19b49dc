"""An app whose classes nobody else has, on stock or on ours, and all that comes of a request to it."""

from __future__ import annotations

import contextvars
import dataclasses
import itertools
import types
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import flask
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import Headers

from flask_fastsession import FastSession
from flask_fastsession import FastSessionInterface
from flask_fastsession._native import IDENTITY_KEY
from flask_fastsession.revocations import Cursor
from flask_fastsession.revocations import Revocations

from ..recorded import recorded_warnings
from .values import CALLS
from .values import impersonal
from .visits import KEY
from .visits import OLD_KEY
from .visits import OLDEST_KEY
from .visits import OTHER_KEY
from .visits import Visit

HERE = str(Path(__file__).parent)

CONFIG = {"SECRET_KEY": KEY, "ANOTHER_KEY": OTHER_KEY, "SPARE": None, "PROPAGATE_EXCEPTIONS": True}

#: Of a difference the first lines tell enough.
MOST_LINES = 18

Change = Callable[[t.Any], object]
Undo = Callable[[], object]


@dataclass
class Family:
    """A class of one case: the library's, with a mixin before it and one behind it that inherit from something too."""

    library: t.Any
    root: t.Any
    before: t.Any
    behind: t.Any
    own: t.Any


def family(library: type, **namespace: t.Any) -> Family:
    # Each has a name that nobody needs, to be deleted as another is set.
    def empty(name: str, *bases: type) -> type:
        return type(name, bases, {"spare": None})

    root = empty("Root")
    before, behind = empty("Before", root), empty("Behind", empty("Floor"))
    own = types.new_class("Own", (before, library, behind), {}, lambda names: names.update(spare=None, **namespace))
    return Family(library, root, before, behind, own)


@dataclass
class Seen:
    """All that came of a request on one side."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    error: str = ""
    warned: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> None:
        self.status, self.headers = status, list(headers)

    @property
    def cookie(self) -> str:
        """The cookie that was set, as a client sends it back."""
        set_cookies = [value for name, value in self.headers if name == "Set-Cookie"]
        return set_cookies[-1].partition(";")[0] if set_cookies else ""


def diverging(stock: Seen, ours: Seen) -> str:
    """The two sides of whatever differs, or nothing."""
    lines = []
    for each in dataclasses.fields(Seen):
        pair = [getattr(seen, each.name) for seen in (stock, ours)]
        for values in itertools.zip_longest(*pair) if isinstance(pair[0], list) else [pair]:
            if values[0] != values[1]:
                lines += [f"    {each.name}:", f"        stock: {values[0]!r}", f"        ours:  {values[1]!r}"]
    return "\n".join([*lines[:MOST_LINES], "    ..."] if len(lines) > MOST_LINES else lines)


class Side:
    """An app, with an interface and classes of its own."""

    def __init__(
        self, interface_class: type[SecureCookieSessionInterface], owner: str = "", is_revocable: bool = False
    ) -> None:
        """``owner`` is that of the place that is to be changed, ``is_revocable`` whether ours has revocations."""
        #: What is done to each request, response, ... once it has been made.
        self.on: dict[str, list[Change]] = {
            name: [] for name in ("request", "request headers", "response", "headers", "session")
        }
        self.during: Callable[[], object] | None = None
        self.visit = Visit("none", lambda session: None)
        #: The class of the session of the last request, and the one that sessions have before anything is changed.
        self.last_session_type: type = SecureCookieSession
        self.session_type: type = SecureCookieSession
        self.families = self._families(interface_class)
        self.headers_class = self.families["headers"].own if owner == "headers" else None
        if owner == "session" and interface_class is SecureCookieSessionInterface:
            # As ours has, a class that inherits from stock's, so that a change of the one is none of the other.
            self.families["interface"].own.session_class = type("SecureCookieSession", (SecureCookieSession,), {})
        has_revocations = is_revocable and issubclass(interface_class, FastSessionInterface)
        options = {"revocations": Revocations(EmptyStore(), every=10_000)} if has_revocations else {}
        self.interface: t.Any = self.families["interface"].own(**options)
        #: What a class inherits from that takes the place of the session's.
        self.base_of_sessions: type = FastSession if has_revocations else SecureCookieSession
        self.app: t.Any = self._app()
        lasting: tuple[t.Any, ...] = (self.app, self.app.config, self.app.json, self.interface)
        for instance in lasting:
            instance.spare = None

    def _families(self, interface_class: type) -> dict[str, Family]:
        on = self.on

        def made(request: t.Any, environ: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
            flask.Request.__init__(request, environ, *args, **kwargs)
            apply(on["request"], request)
            apply(on["request headers"], request.headers)

        families = {
            "config": family(flask.Config),
            "provider": family(DefaultJSONProvider),
            "interface": family(interface_class),
            "request": family(flask.Request, __init__=made),
            "response": family(flask.Response),
            "headers": family(Headers),
        }
        classes: dict[str, t.Any] = {
            "config_class": families["config"].own,
            "json_provider_class": families["provider"].own,
            "request_class": families["request"].own,
            "response_class": families["response"].own,
        }
        return {"app": family(flask.Flask, **classes), **families}

    def _app(self) -> flask.Flask:
        app: flask.Flask = self.families["app"].own("changes", static_folder=None, root_path=HERE, instance_path=HERE)
        app.config.update(CONFIG)
        if "SECRET_KEY_FALLBACKS" in flask.Flask.default_config:
            app.config["SECRET_KEY_FALLBACKS"] = [OLDEST_KEY, OLD_KEY]
        app.session_interface = self.interface
        app.after_request(self._after)
        app.add_url_rule("/", "view", self._view)
        return app

    def _view(self) -> str:
        apply(self.on["session"], session_of_request())
        if self.during is not None:
            self.during()
        self.visit.act(flask.session)
        session: t.Any = session_of_request()
        if self.visit.name in ("left alone", "refreshed"):
            return repr(without_identity(dict(dict.items(session))))
        user = session["user"] if "user" in session else session.get("user")
        return repr([without_identity(dict(session)), session.modified, session.accessed, session.permanent, user])

    def _after(self, response: flask.Response) -> flask.Response:
        if self.headers_class is not None:
            response.headers = self.headers_class(response.headers)
        apply(self.on["headers"], response.headers)
        apply(self.on["response"], response)
        self.last_session_type = type(session_of_request())
        return response

    def run(self, visit: Visit, latest: str = "") -> Seen:
        """Answer one request, apart from all other ones."""
        self.visit, seen = visit, Seen()
        CALLS.clear()
        with recorded_warnings() as warned:
            try:
                contextvars.copy_context().run(self._respond, visit.environ(latest), seen)
            except Exception as error:
                seen.error = impersonal(f"{type(error).__name__}: {error}")
        seen.warned = [f"{each.category.__name__}: {each.message}" for each in warned]
        seen.calls = list(CALLS)
        return seen

    def _respond(self, environ: dict[str, t.Any], seen: Seen) -> None:
        chunks = self.app(environ, seen.start_response)
        try:
            seen.body = impersonal(b"".join(chunks).decode())
        finally:
            getattr(chunks, "close", bool)()


class EmptyStore:
    """A list without revocations."""

    def add(self, entry: str, ttl: int) -> t.NoReturn:
        raise AssertionError("no request revokes a session")

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        return [], Cursor(0, "")


def without_identity(values: dict[str, t.Any]) -> dict[str, t.Any]:
    """What an app sees of a session that can be revoked."""
    return {key: value for key, value in values.items() if key != IDENTITY_KEY}


def apply(changes: list[Change], instance: t.Any) -> None:
    for change in changes:
        change(instance)


def session_of_request() -> t.Any:
    """The session, got in a way that does not count as access."""
    context = vars(t.cast(t.Any, flask.globals.request_ctx)._get_current_object())
    return context.get("_session", context.get("session"))
