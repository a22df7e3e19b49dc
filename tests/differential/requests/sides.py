"""A side: apps, the interface they share, and the ways to run a request through them."""

from __future__ import annotations

import contextvars
import itertools
import random
import typing as t
from collections.abc import Callable
from pathlib import Path

import flask
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.http import parse_cookie

from ...recorded import recorded_warnings
from ..codec.odd_types import calls
from ..codec.settings import PROVIDERS
from .apps import CONFIG_CLASSES
from .apps import FLASK_CLASSES
from .apps import REQUEST_CLASSES
from .apps import RESPONSE_CLASSES
from .by_hand import CONTEXTS
from .by_hand import REQUESTS_BY_HAND
from .by_hand import RESPONSES_BY_HAND
from .by_hand import SESSIONS_BY_HAND
from .by_hand import environ_of
from .by_hand import fake_app
from .changes import CHANGES
from .handlers import HANDLERS
from .interfaces import LAYERS
from .observed import APP_NAME
from .observed import Seen
from .observed import listening
from .observed import observed
from .observed import snapshot
from .plan import AppPlan
from .plan import Case
from .plan import Change
from .plan import Step
from .replies import respond
from .replies import streams
from .sessions import ACTIONS

HERE = str(Path(__file__).parent)


class Side:
    """Apps and the interface they share."""

    def __init__(self, case: Case, base: type[SecureCookieSessionInterface]) -> None:
        for layer in case.interface:
            base = LAYERS[layer](base)
        self.interface = base()
        self.warnings = case.warnings
        self.step = Step()
        self.seen = Seen()
        self.refused: list[t.Any] = []
        self.apps = [self._app(plan) for plan in case.apps or (AppPlan(),)]

    def _app(self, plan: AppPlan) -> Flask:
        flask_class = FLASK_CLASSES[plan.flask_class]
        if plan.config_class != AppPlan.config_class:
            config_class = CONFIG_CLASSES[plan.config_class]
            flask_class = type("Configured", (flask_class,), {"config_class": config_class})
        app = flask_class(APP_NAME, static_folder=None, root_path=HERE, instance_path=HERE)
        app.config["SECRET_KEY"] = "secret"
        app.request_class = REQUEST_CLASSES[plan.request_class]
        app.response_class = RESPONSE_CLASSES[plan.response_class]
        app.session_interface = self.interface
        app.json = PROVIDERS[plan.provider](app)
        app.before_request(self.before)
        app.teardown_request(self.after)
        for path in ("/", "/deeper/path"):
            app.add_url_rule(path, path, self.view)
        for handler in plan.handlers:
            HANDLERS[handler](app)
        for change in plan.changes:
            self.change(app, change)
        return app

    def change(self, app: Flask, change: Change) -> None:
        try:
            CHANGES[change.kind](app, change.name, change.value)
        except Exception as error:
            # What cannot be changed stays as it is; how it was refused is compared with what comes of the next request.
            self.refused.append((change.kind, observed(error)))

    def app(self, step: Step) -> Flask:
        return self.apps[step.app % len(self.apps)]

    def run(self, step: Step, header: str | None) -> Seen:
        self.step, self.seen = step, Seen()
        calls.clear()
        way: Callable[[Flask, str | None], None] = getattr(self, "_" + step.way.replace(" ", "_"))
        with listening() as logged, recorded_warnings(self.warnings) as warned:
            try:
                # Apart from other requests, also if a context is left behind.
                contextvars.copy_context().run(self._run, way, header)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self.seen.error = observed(error)
        self.seen.warned = [(each.category, str(each.message)) for each in warned or ()]
        self.seen.logged, self.seen.calls, self.seen.refused = logged, list(calls), self.refused
        self.refused = []
        return self.seen

    def _run(self, way: Callable[[Flask, str | None], None], header: str | None) -> None:
        try:
            way(self.app(self.step), header)
        finally:
            while streams:
                streams.pop().close()

    def note(self, *what: t.Any) -> None:
        self.seen.views.append(what)

    # In requests.

    def before(self) -> None:
        if self.step.watched:
            self.note("opened", snapshot(session_of_request()))

    def after(self, error: BaseException | None) -> None:
        if self.step.watched:
            self.note("saved", snapshot(session_of_request()))

    def view(self) -> t.Any:
        self.act(flask.session)
        for change in self.step.during:
            self.change(flask.current_app, change)
        return respond(self.step.reply)

    def act(self, session: t.Any) -> None:
        for action in self.step.actions:
            try:
                self.note(action.name, ACTIONS[action.name](session, random.Random(action.seed)))
            except Exception as error:
                self.note(action.name, observed(error))
                if action.escapes:
                    raise

    # Ways to open and save a session.

    def _request(self, app: Flask, header: str | None) -> None:
        chunks = app(environ_of(self.step, header), t.cast(t.Any, self.seen.start_response))
        try:
            self.seen.body = b"".join(chunks)
        finally:
            getattr(chunks, "close", bool)()

    def _transaction(self, app: Flask, header: str | None) -> None:
        client = app.test_client()
        for name, value in itertools.islice(parse_cookie(header).items(), 3):
            client.set_cookie(name, value)
        with client.session_transaction(path=self.step.path) as session:
            self.note("opened", snapshot(session))
            self.act(session)
        self.note("saved", snapshot(session))
        response = client.get("/deeper/path")
        self.seen.start_response(response.status, list(response.headers))

    def _by_hand(self, app: Flask, header: str | None) -> None:
        hand = self.step.hand
        request = REQUESTS_BY_HAND[hand.request](app, self.step, header)
        response = RESPONSES_BY_HAND[hand.response]()
        used = fake_app(app) if hand.app == "fake" else app
        with CONTEXTS[hand.context](app):
            session: t.Any = self.interface.open_session(used, request)
            self.note("opened", snapshot(session))
            if session is None:
                session = self.interface.make_null_session(used)
            self.act(session)
            self.interface.save_session(used, SESSIONS_BY_HAND[hand.session](session), response)
            self.note("saved", snapshot(session))
        self.seen.headers = list(getattr(response, "headers", ()))


def session_of_request() -> t.Any:
    """The session, got in a way that does not count as access."""
    context = vars(t.cast(t.Any, flask.globals.request_ctx)._get_current_object())
    return context.get("_session", context.get("session"))
