"""What each option does for sessions on the server, as an argument and as a setting."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import flask
import pytest
import time_machine
from flask.sessions import NullSession
from werkzeug.http import parse_date

from flask_fastsession import ServerSession
from flask_fastsession import signals
from flask_fastsession.policies import MOST_COOKIES
from flask_fastsession.server import saving
from tests.contract.parity import exchange

from .test_cookies import for_admins

START = 1_700_000_000


@pytest.fixture
def clock() -> Iterator[t.Any]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


MakeApp = Callable[..., flask.Flask]


@pytest.fixture(params=["arguments", "settings"])
def make_app(request: pytest.FixtureRequest, tmp_path: Path) -> MakeApp:
    """Makes an app with options, given in one of the two ways; a store is shared by all apps of a test."""

    def make(config: dict[str, t.Any] | None = None, **options: t.Any) -> flask.Flask:
        app = flask.Flask(__name__, static_folder=None, instance_path=str(tmp_path))
        app.config.update({"PERMANENT_SESSION_LIFETIME": 100, **(config or {})})
        app.add_url_rule("/", endpoint="view")
        if request.param == "settings":
            app.config.update({f"SESSION_{name.upper()}": value for name, value in options.items()})
            options = {}
        ServerSession(app, **options)
        return app

    return make


def write(**values: t.Any) -> Callable[[t.Any], object]:
    return lambda session: session.update(values)


def read(session: t.Any) -> object:
    return session.get("user")


def test_a_skipped_request_has_no_session(make_app: MakeApp) -> None:
    token = exchange(make_app(), write(user="ada")).token
    app = make_app(skip=lambda request: True)

    def view(session: t.Any) -> object:
        with pytest.raises(RuntimeError, match="the option skip"):
            session["user"] = "eve"
        return isinstance(session, NullSession), dict(session)

    reply = exchange(app, view, token)
    assert reply.seen == [(True, {})] and not reply.cookies and not reply.all("Vary")


def test_a_session_is_renewed_when_its_cookie_is_old_enough(make_app: MakeApp, clock: t.Any) -> None:
    app = make_app(refresh_after=60)
    token = exchange(app, write(user="ada")).token
    for age, is_sent in [(59, False), (60, False), (61, True), (62, False)]:
        clock.move_to(START + age)
        assert bool(exchange(app, read, token).cookies) is is_sent, age
    # What changes is renewed as without the option, once a twentieth of its lifetime has passed.
    assert exchange(app, write(user="bob"), token).cookies == []
    clock.move_to(START + 61 + 5)
    reply = exchange(app, read, token)
    assert (reply.seen, reply.cookies) == (["bob"], [])
    assert exchange(app, write(user="eve"), token).cookies
    clock.move_to(START + 66 + 5)

    def call_it_modified(session: t.Any) -> None:
        session.modified = True

    assert exchange(app, call_it_modified, token).cookies


def test_what_changes_is_renewed_no_later_than_what_is_read(make_app: MakeApp, clock: t.Any) -> None:
    app = make_app(refresh_after=2)
    token = exchange(app, write(user="ada")).token
    clock.move_to(START + 3)
    assert exchange(app, write(user="bob"), token).cookies


def test_what_is_not_renewed_stays_on_the_list_of_its_user(make_app: MakeApp, clock: t.Any) -> None:
    app = make_app(refresh_after=9_000, config={"PERMANENT_SESSION_LIFETIME": 10_000})
    sessions = app.extensions["flask_fastsession"]
    token = exchange(app, lambda session: (session.update(user="ada"), sessions.bind_user(session, "ada"))[0]).token
    # It is read just before it would be renewed, and as late as it can be after that.
    clock.move_to(START + 9_000)
    assert exchange(app, read, token).seen == ["ada"]
    clock.move_to(START + 9_000 + 9_999)
    assert exchange(app, read, token).seen == ["ada"]


@pytest.mark.parametrize("admin", [True, False])
def test_some_sessions_live_shorter(make_app: MakeApp, admin: bool, clock: t.Any) -> None:
    heard: list[str] = []
    app = make_app(lifetime=for_admins, on_refused=lambda request, reason: heard.append(reason))
    reply = exchange(app, write(user="ada", admin=admin))
    expires = parse_date(reply.cookies[0].partition("Expires=")[2].partition(";")[0])
    assert expires is not None and expires.timestamp() == START + (60 if admin else 100)
    clock.move_to(START + 50)
    assert exchange(app, read, reply.token).seen == ["ada"]
    clock.move_to(START + 109)
    assert exchange(app, read, reply.token).seen == ["ada"]
    clock.move_to(START + 109 + 60)
    assert exchange(app, read, reply.token).seen == [None if admin else "ada"]
    assert heard == ["expired"] * admin


@pytest.mark.parametrize("admin", [True, False])
def test_those_at_the_end_of_a_shorter_life_are_not_listed(make_app: MakeApp, admin: bool, clock: t.Any) -> None:
    app = make_app(lifetime=for_admins)
    sessions = app.extensions["flask_fastsession"]

    def log_in(session: t.Any) -> None:
        session.update(user="ada", admin=admin)
        sessions.bind_user(session, "ada")

    def seen() -> list[tuple[float, float]]:
        infos = sessions.sessions_of("ada")
        return [(info.begun.timestamp() - START, info.last_seen.timestamp() - START) for info in infos]

    def inspected() -> tuple[int, float | None]:
        """The exit code, and when the session expires, in seconds from the start."""
        result = app.test_cli_runner().invoke(args=["session", "inspect", "--check", "--json", token])
        end = json.loads(result.stdout)["app"]["expires_at"]
        return result.exit_code, None if end is None else datetime.fromisoformat(end).timestamp() - START

    token = exchange(app, log_in).token
    ends = 60 if admin else 100
    assert seen() == [(0, 0)]
    assert inspected() == (0, ends)
    clock.move_to(START + 50)
    exchange(app, read, token)
    assert seen() == [(0, 50)]
    clock.move_to(START + 50 + 59)
    assert (seen(), inspected()) == ([(0, 50)], (0, 50 + ends))
    clock.move_to(START + 50 + 60)
    assert seen() == ([] if admin else [(0, 50)])
    assert inspected() == ((1, None) if admin else (0, 50 + ends))


def test_a_lifetime_that_is_made_for_requests(make_app: MakeApp) -> None:
    """Where there is none, the sessions are shown as those without it."""
    app = make_app(lifetime=lambda session: 60 if flask.request.path == "/admin" and session["user"] else None)
    sessions = app.extensions["flask_fastsession"]
    token = exchange(app, lambda session: (session.update(user="ada"), sessions.bind_user(session, "ada"))).token
    assert len(sessions.sessions_of("ada")) == 1
    for command in (["list", "ada"], ["inspect", "--check", token]):
        assert app.test_cli_runner().invoke(args=["session", *command]).exit_code == 0
    exchange(app, lambda session: session.pop("user"), token)
    assert len(sessions.sessions_of("ada")) == 1


def test_who_was_seen_before_a_lifetime_was_raised(make_app: MakeApp, clock: t.Any) -> None:
    app = make_app()
    sessions = app.extensions["flask_fastsession"]
    exchange(app, lambda session: (session.update(user="ada"), sessions.bind_user(session, "ada")))
    app.config["PERMANENT_SESSION_LIFETIME"] = 10_000
    clock.move_to(START + 50)
    (info,) = sessions.sessions_of("ada")
    assert (info.begun.timestamp(), info.last_seen.timestamp()) == (START, START)


@pytest.mark.parametrize("permanent", [True, False])
def test_a_session_from_before_begins_its_shorter_life_when_seen(
    make_app: MakeApp, permanent: bool, clock: t.Any
) -> None:
    token = exchange(make_app({"SESSION_PERMANENT": permanent}), write(user="ada", admin=True)).token
    app = make_app({"SESSION_PERMANENT": permanent}, lifetime=for_admins)
    for age, found in [(59, "ada"), (118, "ada"), (178, None)]:
        clock.move_to(START + age)
        assert exchange(app, read, token).seen == [found], age


def test_refusals_are_told_and_deleted(make_app: MakeApp) -> None:
    told: list[tuple[str, str]] = []
    heard: list[str] = []

    def hear(sender: flask.Flask, reason: str) -> None:
        heard.append(reason)

    app = make_app(delete_refused=True, on_refused=lambda request, reason: told.append((request.path, reason)))
    with signals.session_refused.connected_to(hear):
        (deletion,) = exchange(app, read, "nonsense").cookies
        (cookie,) = exchange(app, write(user="ada"), "A" * 43).cookies
    assert deletion.startswith("session=;") and not cookie.startswith("session=;")
    assert heard == ["malformed", "expired"] and told == [("/", reason) for reason in heard]
    assert exchange(app, read).cookies == []
    assert exchange(make_app(), read, "nonsense").cookies == []


def test_who_is_told_of_a_refusal_may_use_the_session(make_app: MakeApp) -> None:
    def hear(sender: flask.Flask, reason: str) -> None:
        flask.session["reason"] = reason

    app = make_app(on_refused=lambda request, reason: flask.flash(reason))
    with signals.session_refused.connected_to(hear):
        reply = exchange(app, read, "A" * 43)
    seen = exchange(app, dict, reply.token).seen
    assert seen == [{"_permanent": True, "reason": "expired", "_flashes": [("message", "expired")]}]


def test_the_first_valid_cookie_counts(make_app: MakeApp) -> None:
    app = make_app(accept_any=True)
    token = exchange(app, write(user="ada")).token
    for many, found in [(1, "ada"), (MOST_COOKIES - 1, "ada"), (MOST_COOKIES, None)]:
        header = "; ".join(f"session={value}" for value in ["A" * 43] * many + [token])
        assert exchange(app, read, headers={"Cookie": header}).seen == [found]
    header = f"session=nonsense; session={token}"
    assert exchange(make_app(), read, headers={"Cookie": header}).seen == [None]


def test_the_absolute_lifetime_may_be_an_argument(make_app: MakeApp, clock: t.Any) -> None:
    app = make_app(absolute_lifetime=70)
    token = exchange(app, write(user="ada")).token
    for age, found in [(69, "ada"), (70, None)]:
        clock.move_to(START + age)
        assert exchange(app, read, token).seen == [found]


def test_an_argument_wins(tmp_path: Path) -> None:
    app = flask.Flask(__name__, instance_path=str(tmp_path))
    app.config.update(SESSION_DELETE_REFUSED=True, SESSION_ABSOLUTE_LIFETIME=5, SESSION_REFRESH_AFTER=5)
    options = ServerSession(app, delete_refused=False, absolute_lifetime=7).interface.options
    assert not options.policies.delete_refused
    assert (options.absolute_lifetime, options.policies.refresh_after) == (7, 5)


def test_what_makes_no_sense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skip must be a callable"):
        ServerSession(skip=5)  # type: ignore[arg-type]
    app = flask.Flask(__name__, instance_path=str(tmp_path))
    app.config["SESSION_SKIP"] = 5
    with pytest.raises(ValueError, match="SESSION_SKIP must be a callable"):
        ServerSession(app)


def test_a_shorter_lifetime_is_renewed_at_once() -> None:
    assert saving.needs_renewal(None, 0, 100, 60)
    assert saving.needs_renewal(1100, 1000, 50, 60)
    assert not saving.needs_renewal(1100, 1000, 100, 60)
