"""What each option does for sessions in cookies, natively and where stock code answers."""

from __future__ import annotations

import copy
import pickle
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import flask
import pytest
import time_machine
from flask.sessions import NullSession
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin
from werkzeug.http import parse_date

from flask_fastsession import FastSessionInterface
from flask_fastsession import signals
from flask_fastsession.options import DEFAULTS
from flask_fastsession.policies import MOST_COOKIES
from tests.contract.parity import Reply
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import sealed
from tests.contract.parity import snapshot
from tests.contract.parity import store
from tests.contract.parity import touch_nothing

START = 1_700_000_000

#: A value that is read and written natively, and one that has stock code answer for it.
VALUES = pytest.mark.parametrize("value", ["ada", Decimal("0.5")], ids=["native", "declined"])


class InSteps(FastSessionInterface):
    """One that overrides a step, so that each other step is taken by itself."""

    def get_cookie_path(self, app: flask.Flask) -> str:
        return super().get_cookie_path(app)

    def get_cookie_name(self, app: flask.Flask) -> str:
        return super().get_cookie_name(app)


PATHS = pytest.mark.parametrize("kind", [FastSessionInterface, InSteps], ids=["whole", "steps"])


@pytest.fixture
def clock() -> Iterator[t.Any]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def heard() -> Iterator[list[str]]:
    reasons: list[str] = []

    def hear(sender: flask.Flask, reason: str) -> None:
        reasons.append(reason)

    with signals.session_refused.connected_to(hear):
        yield reasons


def app_with(kind: type[FastSessionInterface] = FastSessionInterface, /, **options: t.Any) -> flask.Flask:
    config = options.pop("config", {})
    return make_app(kind(**options), **config)


def token_of(app: flask.Flask, **values: t.Any) -> str:
    return exchange(app, store(**values)).token


def stats_of(app: flask.Flask) -> t.Any:
    return t.cast(FastSessionInterface, app.session_interface).stats()


def with_cookies(app: flask.Flask, view: Callable[[t.Any], object], *tokens: str) -> Reply:
    header = "; ".join(f"session={token}" for token in tokens)
    return exchange(app, view, headers={"Cookie": header})


# --- skip -----------------------------------------------------------------------------------------------------------


@PATHS
def test_a_skipped_request_reads_nothing_and_sets_nothing(kind: type[FastSessionInterface]) -> None:
    app = app_with(kind, skip=lambda request: request.path == "/")
    token = token_of(app_with(kind), user="ada", _permanent=True)
    reply = exchange(app, lambda session: (dict(session), isinstance(session, NullSession), session.get("user")), token)
    assert reply.seen == [({}, True, None)]
    assert reply.cookies == [] and reply.all("Vary") == []


WRITES: dict[str, Callable[[t.Any], object]] = {
    "setitem": lambda session: session.__setitem__("a", 1),
    "delitem": lambda session: session.__delitem__("a"),
    "update": lambda session: session.update(a=1),
    "ior": lambda session: session.__ior__({"a": 1}),
    "setdefault": lambda session: session.setdefault("a", 1),
    "pop": lambda session: session.pop("a", None),
    "popitem": lambda session: session.popitem(),
    "clear": lambda session: session.clear(),
    "permanent": lambda session: setattr(session, "permanent", True),
}


@pytest.mark.parametrize("name", WRITES)
def test_to_write_in_a_skipped_request_is_an_error_that_says_so(name: str) -> None:
    app = app_with(skip=lambda request: True)

    def write(session: SessionMixin) -> None:
        with pytest.raises(RuntimeError, match="the option skip"):
            WRITES[name](session)

    assert exchange(app, write).status == "200 OK"


def test_a_skipped_request_needs_no_key() -> None:
    app = app_with(skip=lambda request: True, config={"SECRET_KEY": None})
    assert exchange(app, touch_nothing).status == "200 OK"


def test_a_null_session_class_of_the_app_saves_no_skipped_session() -> None:
    interface = FastSessionInterface(skip=lambda request: True)
    interface.null_session_class = t.cast(t.Any, type("Own", (NullSession,), {}))
    assert exchange(make_app(interface), snapshot).cookies == []


def test_what_is_not_skipped_is_native() -> None:
    app = app_with(skip=lambda request: False)
    exchange(app, snapshot, token_of(app, user="ada"))
    assert stats_of(app)["open"] == {"native": 2, "declined": {}}
    assert stats_of(app)["save"] == {"native": 2, "declined": {}}


# --- refresh_after --------------------------------------------------------------------------------------------------


@PATHS
@VALUES
def test_a_young_cookie_is_not_sent_again(kind: type[FastSessionInterface], value: object, clock: t.Any) -> None:
    app = app_with(kind, refresh_after=timedelta(seconds=60))
    token = token_of(app, user=value, _permanent=True)
    for age, is_sent in [(0, False), (60, False), (61, True)]:
        clock.move_to(START + age)
        reply = exchange(app, snapshot, token)
        assert bool(reply.cookies) is is_sent, age
        # It was looked at all the same.
        assert reply.all("Vary") == ["Cookie"]
        assert exchange(app, touch_nothing, token).all("Vary") == (["Cookie"] if is_sent else [])


@PATHS
def test_what_changes_is_sent_at_any_age(kind: type[FastSessionInterface], clock: t.Any) -> None:
    app = app_with(kind, refresh_after=60)
    token = token_of(app, user="ada", _permanent=True)
    assert exchange(app, store(user="bob"), token).cookies
    assert exchange(app, lambda session: session.clear(), token).cookies


def test_a_session_of_this_request_or_of_an_own_class_is_sent(clock: t.Any) -> None:
    class Own(dict, SessionMixin):  # type: ignore[type-arg]
        __slots__ = ("modified",)
        accessed = True

    interface = FastSessionInterface(refresh_after=60)
    app = make_app(interface)
    token = token_of(app, user="ada", _permanent=True)
    interface.session_class = t.cast(t.Any, SecureCookieSession)
    assert exchange(app, snapshot, token).cookies == []
    interface.session_class = t.cast(t.Any, Own)
    assert exchange(app, lambda session: setattr(session, "modified", False), token).status == "200 OK"


# --- lifetime -------------------------------------------------------------------------------------------------------


def for_admins(session: SessionMixin) -> float | None:
    return 60 if session.get("admin") else None


@PATHS
@VALUES
@pytest.mark.parametrize("admin", [True, False])
def test_some_sessions_live_shorter(
    kind: type[FastSessionInterface], value: object, admin: bool, clock: t.Any, heard: list[str]
) -> None:
    app = app_with(kind, lifetime=for_admins, config={"PERMANENT_SESSION_LIFETIME": 100})
    reply = exchange(app, store(user=value, admin=admin, _permanent=True))
    expires = parse_date(reply.cookies[0].partition("Expires=")[2].partition(";")[0])
    assert expires is not None and expires.timestamp() == START + (60 if admin else 100)
    for age in (60, 61, 100, 101):
        clock.move_to(START + age)
        lives = age <= (60 if admin else 100)
        assert exchange(app, lambda session: session.get("user"), reply.token).seen == [str(value) if lives else None]
    assert heard == ["expired"] * (3 if admin else 1)


@PATHS
def test_to_ask_for_a_lifetime_is_no_access(kind: type[FastSessionInterface], clock: t.Any) -> None:
    app = app_with(kind, lifetime=for_admins)
    token = token_of(app, admin=True)
    assert exchange(app, touch_nothing, token).all("Vary") == []


def test_no_lifetime_is_longer_than_flasks(clock: t.Any) -> None:
    app = app_with(lifetime=lambda session: 1000, config={"PERMANENT_SESSION_LIFETIME": 100})
    token = token_of(app, user="ada", _permanent=True)
    clock.move_to(START + 101)
    assert exchange(app, lambda session: dict(session), token).seen == [{}]


@pytest.mark.parametrize("wrong", [0, -1, "60", True, float("nan")])
def test_a_lifetime_that_is_none_is_an_error(wrong: object) -> None:
    app = app_with(lifetime=lambda session: wrong)
    reply = exchange(app, store(user="ada", _permanent=True))
    assert reply.status == "500 INTERNAL SERVER ERROR" and "what lifetime returns" in str(reply.logged)


# --- Refusals -------------------------------------------------------------------------------------------------------

OTHER_KEY = "another key, of somebody else"


def refused_tokens() -> dict[str, str]:
    """A cookie for each reason, made at START."""
    token = token_of(app_with(), user="ada")
    return {
        "malformed": "nonsense",
        "forged": token_of(app_with(config={"SECRET_KEY": OTHER_KEY}), user="eve"),
        "expired": token,
        "future": token,
    }


AT = {"expired": START + 101, "future": START - 1}

ODD = {
    "malformed": ["nonsense", "one.dot", sealed(b"e30", b"A"), sealed(b"e30", b"AAAAAAAAAAAAAAAA")],
    "forged": ["e30.AAAA.AAAA", "e30.A.AAAA", "e30.ZVPxAA.*", "e30.__________8.AAAA", "a.b.c.d", ".."],
}


@PATHS
@pytest.mark.parametrize("reason", ["malformed", "forged", "expired", "future"])
def test_the_reason_of_a_refusal(kind: type[FastSessionInterface], reason: str, clock: t.Any, heard: list[str]) -> None:
    told: list[tuple[str, str]] = []
    config = {"PERMANENT_SESSION_LIFETIME": 100}
    token = refused_tokens()[reason]
    clock.move_to(AT.get(reason, START))
    for app in (
        app_with(kind, config=config),
        app_with(kind, on_refused=lambda request, reason: told.append((request.path, reason)), config=config),
        app_with(kind, delete_refused=True, config=config),
    ):
        for _ in range(2):
            assert exchange(app, lambda session: dict(session), token).seen == [{}]
    assert heard == [reason] * 6 and told == [("/", reason)] * 2


@pytest.mark.parametrize("reason", ODD)
def test_native_code_and_stock_code_tell_the_same_reason(reason: str, heard: list[str]) -> None:
    for token in ODD[reason]:
        for kind in (FastSessionInterface, InSteps):
            exchange(app_with(kind, on_refused=lambda request, reason: None), touch_nothing, token)
    assert heard == [reason] * 2 * len(ODD[reason])


def test_nobody_hears_of_sessions_that_open_or_of_no_cookie(heard: list[str]) -> None:
    app = app_with()
    token = token_of(app, user="ada")
    for cookie in (token, "", None):
        exchange(app, snapshot, cookie)
    assert heard == []


def test_an_absolute_lifetime_refuses(clock: t.Any, heard: list[str]) -> None:
    app = app_with(absolute_lifetime=50)
    token = token_of(app, user="ada")
    clock.move_to(START + 50)
    assert exchange(app, lambda session: dict(session), token).seen == [{}]
    assert heard == ["expired"]


@PATHS
def test_a_refused_cookie_is_deleted_where_wanted(kind: type[FastSessionInterface]) -> None:
    app = app_with(kind, delete_refused=True)
    reply = exchange(app, touch_nothing, "nonsense")
    # As stock deletes the cookie of a session that is cleared.
    stock = exchange(make_app(SecureCookieSessionInterface()), lambda session: session.clear())
    assert sorted(reply.headers) == sorted(stock.headers) and reply.cookies
    # What the view writes takes its place.
    (cookie,) = exchange(app, store(user="ada"), "nonsense").cookies
    assert not cookie.startswith("session=;")
    assert exchange(app, touch_nothing).cookies == []


# --- accept_any -----------------------------------------------------------------------------------------------------


@PATHS
@VALUES
def test_the_first_valid_cookie_counts(kind: type[FastSessionInterface], value: object, heard: list[str]) -> None:
    app = app_with(kind, accept_any=True)
    tokens = [token_of(app, user=value, number=number) for number in (1, 2)]
    for cookies, number in [
        (["nonsense", tokens[0], tokens[1]], 1),
        (["", "nonsense", tokens[1], tokens[0]], 2),
        ([tokens[0], "nonsense"], 1),
        (["nonsense"] * (MOST_COOKIES - 1) + [tokens[0]], 1),
    ]:
        assert with_cookies(app, lambda session: session.get("number"), *cookies).seen == [number]
    assert heard == []
    for cookies in (["nonsense"] * MOST_COOKIES + [tokens[0]], ["nonsense", "a.b.c"], ["", "nonsense"]):
        assert with_cookies(app, lambda session: session.get("number"), *cookies).seen == [None]
    assert heard == ["malformed"] * 3


def test_a_fake_request_has_one_cookie_of_each_name() -> None:
    app = app_with(accept_any=True)
    token = token_of(app, user="ada")

    class FakeRequest:
        cookies = {"session": token}  # noqa: RUF012

    with app.app_context():
        assert open_fake(app, FakeRequest()) == {"user": "ada"}


# --- As settings ----------------------------------------------------------------------------------------------------


def test_settings_mean_what_arguments_mean(clock: t.Any, heard: list[str]) -> None:
    told: list[str] = []
    settings: dict[str, t.Any] = {
        "SESSION_ABSOLUTE_LIFETIME": timedelta(seconds=90),
        "SESSION_SKIP": lambda request: request.args.get("skip"),
        "SESSION_REFRESH_AFTER": 30,
        "SESSION_LIFETIME": for_admins,
        "SESSION_ON_REFUSED": lambda request, reason: told.append(reason),
        "SESSION_DELETE_REFUSED": "true",
        "SESSION_ACCEPT_ANY": True,
    }
    app = app_with(config=settings)
    token = token_of(app, user="ada", _permanent=True)
    assert exchange(app, lambda session: dict(session), token, query_string="skip=1").seen == [{}]
    assert exchange(app, snapshot, token).cookies == []
    assert with_cookies(app, lambda session: session["user"], "nonsense", token).seen == ["ada"]
    clock.move_to(START + 90)
    (deletion,) = exchange(app, touch_nothing, token).cookies
    assert deletion.startswith("session=;") and told == heard == ["expired"]
    assert stats_of(app)["open"]["declined"] == {}


def test_an_argument_wins() -> None:
    config: dict[str, t.Any] = {
        "SESSION_DELETE_REFUSED": True,
        "SESSION_ABSOLUTE_LIFETIME": 5,
        "SESSION_REFRESH_AFTER": 5,
    }
    interface = FastSessionInterface(delete_refused=False, absolute_lifetime=7)
    found = interface._options_for(make_app(interface, **config))
    assert not found.policies.delete_refused
    assert (found.absolute_lifetime, found.policies.refresh_after) == (7, 5)


def test_each_app_of_an_interface_has_its_own_settings() -> None:
    interface = FastSessionInterface()
    apps = [make_app(interface, SESSION_DELETE_REFUSED=number % 2 == 1) for number in range(20)]
    for _ in range(2):
        for number, app in enumerate(apps):
            assert bool(exchange(app, touch_nothing, "nonsense").cookies) is (number % 2 == 1)


def test_without_settings_there_are_no_options() -> None:
    interface = FastSessionInterface()
    app = make_app(interface)
    exchange(app, snapshot)
    assert interface._known_options(app) is DEFAULTS and interface._options_for(app) is DEFAULTS


WRONG: list[tuple[str, object, str]] = [
    ("skip", "/static", "must be a callable"),
    ("lifetime", 60, "must be a callable"),
    ("on_refused", 1, "must be a callable"),
    ("refresh_after", "60", "must be a timedelta or a finite number of seconds above 0"),
    ("refresh_after", 0, "must be a timedelta or a finite number of seconds above 0"),
    ("refresh_after", True, "must be a timedelta or a finite number of seconds above 0"),
    ("refresh_after", 10**400, "must be a timedelta or a finite number of seconds above 0"),
    ("delete_refused", "perhaps", "must be True or False"),
    ("accept_any", 2, "must be True or False"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_what_makes_no_sense_is_an_error(name: str, value: object, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} {text}, not "):
        FastSessionInterface(**{name: value})  # type: ignore[arg-type]
    app = app_with(config={f"SESSION_{name.upper()}": value, "PROPAGATE_EXCEPTIONS": True})
    with pytest.raises(ValueError, match=f"^SESSION_{name.upper()} {text}, not "):
        exchange(app, snapshot)


def test_an_interface_with_options_is_pickled_and_copied() -> None:
    interface = FastSessionInterface(refresh_after=5, accept_any=True)
    for made in (pickle.loads(pickle.dumps(interface)), copy.deepcopy(interface), copy.copy(interface)):
        assert made._options == interface._options
        app = make_app(made)
        token = token_of(app, user="ada", _permanent=True)
        assert with_cookies(app, snapshot, "nonsense", token).cookies == []


def test_a_refused_cookie_of_a_fake_request_may_be_bytes(heard: list[str]) -> None:
    app = app_with()

    class FakeRequest:
        cookies: t.Any = {}  # noqa: RUF012

    with app.app_context():
        for token in (b"nonsense", b"a.b.c"):
            FakeRequest.cookies = {"session": token}
            assert open_fake(app, FakeRequest()) == {}
    assert heard == ["malformed", "forged"]


def open_fake(app: flask.Flask, request: object) -> t.Any:
    return app.session_interface.open_session(app, t.cast(t.Any, request))


# --- Encrypted cookies ----------------------------------------------------------------------------------------------


def encrypted_cookies() -> dict[str, str]:
    """A cookie for each reason, made at START."""
    mine, others = (
        token_of(app_with(encrypt=True), user="ada"),
        app_with(encrypt=True, config={"SECRET_KEY": OTHER_KEY}),
    )
    return {
        "not_encrypted": token_of(app_with(), user="ada"),
        "malformed": "nonsense",
        "forged": token_of(others, user="eve"),
        "expired": mine,
        "future": mine,
    }


@PATHS
@pytest.mark.parametrize("reason", ["not_encrypted", "malformed", "forged", "expired", "future"])
def test_the_reason_of_a_refusal_where_cookies_are_encrypted(
    kind: type[FastSessionInterface], reason: str, clock: t.Any, heard: list[str]
) -> None:
    told: list[str] = []
    app = app_with(
        kind,
        encrypt=True,
        on_refused=lambda request, reason: told.append(reason),
        config={"PERMANENT_SESSION_LIFETIME": 100},
    )
    token = encrypted_cookies()[reason]
    clock.move_to(AT.get(reason, START))
    assert exchange(app, lambda session: dict(session), token).seen == [{}]
    assert heard == told == [reason]


@PATHS
@VALUES
def test_an_encrypted_cookie_has_an_age(kind: type[FastSessionInterface], value: object, clock: t.Any) -> None:
    app = app_with(kind, encrypt=True, refresh_after=60, lifetime=for_admins)
    token = token_of(app, user=value, _permanent=True)
    admins = token_of(app, user=value, admin=True, _permanent=True)
    for age, is_sent in [(60, False), (61, True)]:
        clock.move_to(START + age)
        assert bool(exchange(app, snapshot, token).cookies) is is_sent
        assert exchange(app, lambda session: session.get("user"), admins).seen == [None if is_sent else str(value)]
