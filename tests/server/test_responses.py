"""Whichever response of a request is sent, it tells the browser what has become of its session."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

import flask
import pytest
from flask import Flask
from flask import Response
from flask import session
from werkzeug.test import TestResponse

from flask_fastsession import SessionStoreError
from flask_fastsession import signals
from flask_fastsession.server import ServerSideSession

from .conftest import SpyStore
from .conftest import app_with
from .test_kit import MovingOwnerMemoryStore
from .test_kit import OwnerMemoryStore

SID = "a" * 43


class OwnerSpy(SpyStore):
    """Asks the other store whose the sessions are."""

    def enlist(self, *arguments: t.Any) -> t.Any:
        return self._call("enlist", *arguments)

    def is_listed(self, *arguments: t.Any) -> t.Any:
        return self._call("is_listed", *arguments)

    def listed(self, *arguments: t.Any) -> t.Any:
        return self._call("listed", *arguments)

    def unlist(self, *arguments: t.Any) -> t.Any:
        return self._call("unlist", *arguments)

    def end(self, *arguments: t.Any) -> t.Any:
        return self._call("end", *arguments)

    def end_all(self, *arguments: t.Any) -> t.Any:
        return self._call("end_all", *arguments)


class MovingSpy(OwnerSpy):
    def move(self, *arguments: t.Any) -> t.Any:
        return self._call("move", *arguments)


@pytest.fixture(params=[False, True], ids=["several commands move", "one command moves"])
def spy(request: pytest.FixtureRequest) -> OwnerSpy:
    return MovingSpy(MovingOwnerMemoryStore()) if request.param else OwnerSpy(OwnerMemoryStore())


class Failing(Flask):
    """Fails once, after the session was saved, where a test says so."""

    fails = False

    def process_response(self, *arguments: t.Any) -> Response:
        response = super().process_response(*arguments)
        if self.fails:
            self.fails = False
            raise RuntimeError("after the save")
        return response


@pytest.fixture
def app(spy: OwnerSpy, monkeypatch: pytest.MonkeyPatch) -> Failing:
    monkeypatch.setattr("tests.server.conftest.Flask", Failing)
    app = t.cast(Failing, app_with({"SESSION_TYPE": spy, "SESSION_CLEANUP_N_REQUESTS": 0}))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/<act>", "view", lambda act: ACTS[act]() or "")
    return app


def interface() -> t.Any:
    return flask.current_app.session_interface


def begin() -> None:
    session["user"] = "ann"


def log_in() -> None:
    interface().regenerate(session)
    interface().bind_user(session, "ann")
    session["user"] = "ann"


def switch() -> None:
    log_in()
    interface().bind_user(session, "bob")


def begin_another() -> None:
    session.clear()
    session["user"] = "bob"


ACTS: dict[str, Callable[[], t.Any]] = {
    "begin": begin,
    "log-in": log_in,
    "switch": switch,
    "regenerate": lambda: interface().regenerate(session),
    "begin-another": begin_another,
    "clear": lambda: session.clear(),
    "revoke": lambda: interface().revoke(session),
    "read": lambda: session.get("user"),
}

#: What each act has the browser do: of a new visitor, and of one with a session.
TOLD = [
    ("begin", False, "set"),
    ("log-in", False, "set"),
    ("switch", True, "set"),
    ("log-in", True, "set"),
    ("regenerate", True, "set"),
    ("begin-another", True, "set"),
    ("clear", True, "delete"),
    ("revoke", True, "delete"),
]


def cookie_in(response: Response | TestResponse) -> str | None:
    """The id in the cookie that a response sets, ``""`` where it deletes it, and ``None`` where it does neither."""
    headers = [header for header in response.headers.getlist("Set-Cookie") if header.startswith("session=")]
    assert len(headers) <= 1
    return headers[0].partition("=")[2].partition(";")[0] if headers else None


def request_to(app: Flask, act: str, cookie: str | None = None) -> TestResponse:
    client = app.test_client(use_cookies=False)
    return client.get(f"/{act}", headers={} if cookie is None else {"Cookie": f"session={cookie}"})


def cookie_before(app: Flask, has_session: bool) -> str | None:
    return cookie_in(request_to(app, "log-in")) if has_session else None


def assert_told(app: Flask, told: str, response: Response | TestResponse, before: str | None) -> None:
    cookie = cookie_in(response)
    assert "Cookie" in response.vary
    if told == "delete":
        assert cookie == ""
        assert not is_live(app, before)
    else:
        assert cookie not in (None, "", before)
        assert is_live(app, cookie)


def is_live(app: Flask, cookie: str | None) -> bool:
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        return "user" in session


# --- Several saves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "has_session", "told"), TOLD)
@pytest.mark.parametrize("saves", [2, 3])
def test_each_save_of_a_request_tells_it(app: Failing, act: str, has_session: bool, told: str, saves: int) -> None:
    before = cookie_before(app, has_session)
    headers = {} if before is None else {"Cookie": f"session={before}"}
    with app.test_request_context(headers=headers):
        ACTS[act]()
        responses = [Response() for _ in range(saves)]
        for response in responses:
            app.session_interface.save_session(app, session._get_current_object(), response)  # type: ignore[attr-defined]
    for response in responses:
        assert_told(app, told, response, before)
    assert len({cookie_in(response) for response in responses}) == 1


@pytest.mark.parametrize(("act", "has_session", "told"), TOLD)
def test_saved_by_hand_in_the_view(app: Failing, act: str, has_session: bool, told: str) -> None:
    """As before an answer that is streamed, or before another process is told the id."""

    @app.get("/by-hand/<act>")
    def by_hand(act: str) -> str:
        ACTS[act]()
        app.session_interface.save_session(app, session._get_current_object(), Response())  # type: ignore[attr-defined]
        return ""

    before = cookie_before(app, has_session)
    assert_told(app, told, request_to(app, f"by-hand/{act}", before), before)


def test_what_comes_after_a_save_by_hand_is_told_as_well(app: Failing) -> None:
    @app.get("/by-hand/<first>/<second>")
    def by_hand(first: str, second: str) -> str:
        ACTS[first]()
        app.session_interface.save_session(app, session._get_current_object(), Response())  # type: ignore[attr-defined]
        ACTS[second]()
        return ""

    for first in ("begin", "log-in", "begin-another", "clear", "revoke"):
        for second, told in (("read", None), ("log-in", "set"), ("begin-another", "set"), ("clear", "delete")):
            for has_session in (False, True):
                is_set = first in ("begin", "log-in", "begin-another")
                before = cookie_before(app, has_session)
                if not is_set and not has_session and second in ("read", "clear"):
                    continue
                response = request_to(app, f"by-hand/{first}/{second}", before)
                if first == "begin" and has_session and second == "read":
                    assert cookie_in(response) is None
                else:
                    assert_told(app, told or ("set" if is_set else "delete"), response, before)


def test_a_save_that_fails_after_one_by_hand(app: Failing, spy: OwnerSpy) -> None:
    """The answer to the error says what was done before it."""

    @app.get("/by-hand/<act>")
    def by_hand(act: str) -> str:
        ACTS[act]()
        app.session_interface.save_session(app, session._get_current_object(), Response())  # type: ignore[attr-defined]
        session["more"] = True
        spy.failing = {"create", "replace", "move"}
        return ""

    for act, has_session in (("begin", False), ("log-in", False), ("log-in", True), ("begin-another", True)):
        spy.failing = set()
        before = cookie_before(app, has_session)
        response = request_to(app, f"by-hand/{act}", before)
        assert response.status_code == 500
        spy.failing = set()
        assert_told(app, "set", response, before)


# --- Errors past the save -------------------------------------------------------------------------------------------


def fail_in_process_response(app: Failing) -> None:
    app.fails = True


def fail_when_finished(app: Failing) -> None:
    def fail(sender: object, **extra: object) -> None:
        raise RuntimeError("after the save")

    app.extensions["receiver"] = fail
    flask.request_finished.connect(fail, app)


def fail_after_the_request_once(app: Failing) -> None:
    """These functions run before the save, and again for the answer to the error."""
    app.extensions["is first"] = True


@pytest.mark.parametrize("handles", [None, 500, Exception, RuntimeError])
@pytest.mark.parametrize("fail", [fail_in_process_response, fail_when_finished, fail_after_the_request_once])
@pytest.mark.parametrize(("act", "has_session", "told"), TOLD)
def test_the_answer_to_an_error_past_the_save(
    app: Failing, act: str, has_session: bool, told: str, fail: Callable[[Failing], None], handles: t.Any
) -> None:
    if handles is not None:
        app.register_error_handler(handles, lambda error: (f"handled {type(error).__name__}", 503))

    @app.after_request
    def fail_once(response: Response) -> Response:
        if app.extensions.pop("is first", False):
            raise RuntimeError("before the save")
        return response

    before = cookie_before(app, has_session)
    fail(app)
    response = request_to(app, act, before)
    flask.request_finished.disconnect(app.extensions.get("receiver", fail), app)
    # Past the view Flask answers with the handler for status 500, or for all exceptions.
    assert response.status_code == (503 if handles in (500, Exception) else 500)
    assert_told(app, told, response, before)


@pytest.mark.parametrize(("act", "has_session", "told"), TOLD)
def test_the_answer_to_an_error_in_the_view(app: Failing, act: str, has_session: bool, told: str) -> None:
    @app.get("/failing/<act>")
    def failing(act: str) -> str:
        ACTS[act]()
        raise RuntimeError("in the view")

    before = cookie_before(app, has_session)
    assert_told(app, told, request_to(app, f"failing/{act}", before), before)


@pytest.mark.parametrize(("act", "has_session", "told"), TOLD)
def test_the_answer_to_an_error_in_teardown(app: Failing, act: str, has_session: bool, told: str) -> None:
    """The response is on its way by then."""
    started: list[t.Any] = []

    @app.teardown_request
    def fail(error: BaseException | None) -> None:
        if app.fails_in_teardown:  # type: ignore[attr-defined]
            raise RuntimeError("in teardown")

    app.fails_in_teardown = False  # type: ignore[attr-defined]
    before = cookie_before(app, has_session)
    app.fails_in_teardown = True  # type: ignore[attr-defined]
    headers = {} if before is None else {"Cookie": f"session={before}"}
    environ = flask.testing.EnvironBuilder(app, f"/{act}", headers=headers).get_environ()
    with pytest.raises(RuntimeError, match="in teardown"):
        app.wsgi_app(environ, lambda status, headers, *exc: started.extend(headers) or (lambda data: None))
    app.fails_in_teardown = False  # type: ignore[attr-defined]
    assert_told(app, told, Response(headers=started), before)


#: The signal that each act has sent.
SIGNALS = {
    "begin": signals.session_created,
    "log-in": signals.session_regenerated,
    "clear": signals.session_ended,
    "begin-another": signals.session_ended,
}


@pytest.mark.parametrize(("act", "has_session", "told"), [each for each in TOLD if each[0] in SIGNALS and each[1]])
def test_a_receiver_of_our_signals_that_fails(app: Failing, act: str, has_session: bool, told: str) -> None:
    def fail(sender: object) -> None:
        raise RuntimeError("by a receiver")

    before = cookie_before(app, has_session)
    with SIGNALS[act].connected_to(fail, app):
        assert_told(app, told, request_to(app, act, before), before)


def test_a_receiver_that_fails_when_a_session_begins(app: Failing) -> None:
    def fail(sender: object) -> None:
        raise RuntimeError("by a receiver")

    with signals.session_created.connected_to(fail, app):
        assert_told(app, "set", request_to(app, "begin"), None)


@pytest.mark.parametrize("failing", ["unlist", "enlist"])
def test_a_store_that_fails_once_the_session_has_moved(app: Failing, spy: OwnerSpy, failing: str) -> None:
    """The old id is none any more, so the browser is told the new one with the answer to the error."""
    if failing == "enlist" and isinstance(spy, MovingSpy):
        pytest.skip("such a store has moved what is listed in the same step")
    act = "switch" if failing == "unlist" else "regenerate"
    before = cookie_before(app, has_session=True)
    spy.after["move" if isinstance(spy, MovingSpy) else "replace"] = lambda: spy.failing.add(failing)
    response = request_to(app, act, before)
    spy.failing = set()
    assert response.status_code == 500
    assert not is_live(app, before)
    assert_told(app, "set", response, before)


def test_a_session_that_cannot_begin_after_another_has_ended(app: Failing, spy: OwnerSpy) -> None:
    before = cookie_before(app, has_session=True)
    spy.failing = {"create"}
    response = request_to(app, "begin-another", before)
    assert response.status_code == 500
    assert_told(app, "delete", response, before)


def test_a_value_that_cannot_be_stored(app: Failing) -> None:
    """Flask logs the second error, and sends the answer to the first."""

    @app.get("/unstorable")
    def unstorable() -> str:
        session.clear()
        session["object"] = object()
        return ""

    before = cookie_before(app, has_session=True)
    response = request_to(app, "unstorable", before)
    assert response.status_code == 500
    assert_told(app, "delete", response, before)


def test_an_ended_session_that_cannot_be_removed_keeps_its_cookie(app: Failing, spy: OwnerSpy) -> None:
    """It was no logout, and the answer is an error."""
    before = cookie_before(app, has_session=True)
    spy.failing = {"replace", "unlist"}
    response = request_to(app, "clear", before)
    assert (response.status_code, cookie_in(response)) == (500, None)
    spy.failing = set()
    assert is_live(app, before)


def test_revoked_on_its_way_to_a_new_id(app: Failing, spy: OwnerSpy) -> None:
    """Neither id is one any more, so there is no cookie to set."""
    before = cookie_before(app, has_session=True)
    spy.before["move" if isinstance(spy, MovingSpy) else "replace"] = lambda: spy.store.end_all(owner_key(app))
    response = request_to(app, "regenerate", before)
    assert (response.status_code, cookie_in(response)) == (200, None)
    assert not is_live(app, before)


def owner_key(app: Flask) -> str:
    return t.cast(str, t.cast(t.Any, app.session_interface).ids.owner_key("ann"))


def test_a_store_that_failed_is_not_asked_again(app: Failing, spy: OwnerSpy) -> None:
    before = cookie_before(app, has_session=True)
    spy.failing = {"load"}
    spy.counted()
    response = request_to(app, "read", before)
    assert (response.status_code, cookie_in(response)) == (500, None)
    assert spy.counted() == {"load": 1}


def test_a_cookie_that_was_set_is_not_set_by_the_next_request(app: Failing) -> None:
    cookie = cookie_in(request_to(app, "log-in"))
    assert cookie_in(request_to(app, "read", cookie)) is None
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        assert session.get("user") == "ann"
        assert t.cast(ServerSideSession, session).cookie_due is None


def test_errors_are_those_of_the_store(app: Failing, spy: OwnerSpy) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True
    spy.failing = {"create"}
    with pytest.raises(SessionStoreError):
        request_to(app, "begin")
