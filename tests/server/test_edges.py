"""Sessions in the hands of what does not know that they are loaded late, and configurations at the edge."""

from __future__ import annotations

import copy
import json
import threading
import typing as t
from dataclasses import dataclass

import flask
import pytest
from flask.sessions import SecureCookieSession

from flask_fastsession.server import ServerSession
from flask_fastsession.server import SessionStoreError

from .interleavings import Memory
from .peer import cookie_with
from .peer import opened


def app_with(store: object, **config: t.Any) -> flask.Flask:
    app = flask.Flask("app")
    app.config.from_mapping({"SESSION_TYPE": store, **config})
    ServerSession(app)
    return app


@pytest.fixture
def app() -> flask.Flask:
    return app_with(Memory())


# --- A session that nobody has looked at ----------------------------------------------------------------------------

LOOKS: dict[str, t.Callable[[t.Any], t.Any]] = {
    "bool": bool,
    "not": lambda session: not session,
    "len": len,
    "list": list,
    "dict": dict,
    "unpacked": lambda session: {**session},
    "repr": lambda session: repr(session).partition(" ")[2],
    "equal": lambda session: session == {"x": 1},
    "unequal": lambda session: session != {},
    "in": lambda session: "x" in session,
    "or": lambda session: session | {"y": 2},
    "ror": lambda session: {"y": 2} | session,
    "reversed": lambda session: list(reversed(session)),
    "json": json.dumps,
    "sorted json": lambda session: json.dumps(session, sort_keys=True),
    "indented json": lambda session: json.dumps(session, indent=1),
    "copied": lambda session: dict(copy.copy(session)),
    "deeply copied": lambda session: dict(copy.deepcopy(session)),
    "copy": lambda session: dict(session.copy()),
    "get": lambda session: session.get("x"),
    "items": lambda session: list(session.items()),
    "permanent": lambda session: session.permanent,
    "put into another": lambda session: {} | session,
}


@pytest.mark.parametrize("name", LOOKS)
def test_whoever_looks_finds_what_a_cookie_session_has(app: flask.Flask, name: str) -> None:
    cookie = cookie_with(app, {"x": 1})
    session = opened(app, cookie)
    assert LOOKS[name](session) == LOOKS[name](SecureCookieSession({"_permanent": True, "x": 1}))


def test_a_new_session_is_false_as_in_flask_session(app: flask.Flask) -> None:
    """Or Flask-Login writes into the sessions of all visitors, whom it then takes for stale."""
    session = opened(app, None)
    assert not session
    session["x"] = 1
    assert session


def test_threads_that_look_first_at_once_see_the_same() -> None:
    """As those that ``copy_current_request_context`` starts may."""
    store = Memory()
    app = app_with(store)
    session = opened(app, cookie_with(app, {"x": "old"}))
    loading, seen = threading.Event(), threading.Event()
    answers: list[t.Any] = []

    def pause() -> None:
        loading.set()
        seen.wait(0.2)

    def look() -> None:
        answers.append(session.get("x"))
        seen.set()

    store.before_command = pause
    first = threading.Thread(target=look)
    first.start()
    loading.wait()
    second = threading.Thread(target=look)
    second.start()
    first.join()
    second.join()
    assert answers == ["old", "old"]


# --- At the edge ----------------------------------------------------------------------------------------------------


@dataclass
class DataclassStore(Memory):
    """Equal where its fields are, and so without a hash."""

    def __post_init__(self) -> None:
        super().__init__()


def test_a_store_need_not_be_hashable() -> None:
    app_with(DataclassStore())


class UnsweptStore(Memory):
    def sweep(self, limit: int) -> int:
        raise SessionStoreError("locked")


def test_a_session_is_stored_though_sweeping_fails() -> None:
    app = app_with(UnsweptStore(), SESSION_CLEANUP_N_REQUESTS=1)
    assert cookie_with(app, {"x": 1})


@pytest.mark.parametrize("lifetime", [float("nan"), float("inf"), 0, -1, True, "60"])
def test_an_absolute_lifetime_that_is_none_is_an_error_at_start(lifetime: object) -> None:
    with pytest.raises(ValueError, match="SESSION_ABSOLUTE_LIFETIME"):
        app_with(Memory(), SESSION_ABSOLUTE_LIFETIME=lifetime)


@pytest.mark.parametrize("prefix", ["two words:", "line\n", "é:", "x" * 200, 5])
def test_a_prefix_that_makes_no_key_is_an_error_at_start(prefix: object) -> None:
    with pytest.raises(ValueError, match="SESSION_KEY_PREFIX"):
        app_with(Memory(), SESSION_KEY_PREFIX=prefix)
