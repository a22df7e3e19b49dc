"""What the interface does beyond Flask, natively and where stock code answers."""

from __future__ import annotations

import hashlib
import math
import pickle
import typing as t
import warnings
from collections import UserDict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import flask
import itsdangerous
import pytest
import time_machine
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin
from werkzeug.test import create_environ

from flask_fastsession import FastSessionInterface
from flask_fastsession import SessionTooLargeError
from tests.faults.support import open_by
from tests.faults.support import save_by
from tests.faults.support import token_in
from tests.faults.support import written

from ..recorded import recorded_warnings
from .parity import make_app

#: A value that is read and written natively, and one that has stock code answer for it.
VALUES = pytest.mark.parametrize("value", ["ada", Decimal("0.5")], ids=["native", "declined"])

START = 1_700_000_000.0


def app_with(config: dict[str, t.Any] | None = None, **options: t.Any) -> flask.Flask:
    return make_app(FastSessionInterface(**options), **(config or {}))


def stats_of(app: flask.Flask) -> t.Any:
    return t.cast(FastSessionInterface, app.session_interface).stats()


def token_of(app: flask.Flask, **values: t.Any) -> str:
    with app.app_context():
        return token_in(save_by(app, written(app, **values)))


def stock_token(digest_method: t.Any = hashlib.sha1, key: str | None = None, **values: t.Any) -> str:
    interface = SecureCookieSessionInterface()
    interface.digest_method = digest_method
    app = make_app(interface)
    app.secret_key = key or app.secret_key
    return token_of(app, **values)


def opened(app: flask.Flask, token: str) -> t.Any:
    with app.app_context():
        return open_by(app, token)


# --- Digests --------------------------------------------------------------------------------------------------------

DIGESTS = [hashlib.sha1, hashlib.sha224, hashlib.sha256, hashlib.sha384, hashlib.sha512]


@pytest.mark.parametrize("old", DIGESTS)
@pytest.mark.parametrize("new", DIGESTS)
@VALUES
def test_old_digests_are_read_and_written_anew(old: t.Any, new: t.Any, value: object) -> None:
    app = app_with(digest_method=new, accept_digest_methods=[old])
    token = stock_token(old, user=value)
    with app.app_context():
        session = open_by(app, token)
        assert session["user"] == str(value)
        session["more"] = value
        renewed = token_in(save_by(app, session))
    # What stock makes of it, with the new digest alone.
    interface = SecureCookieSessionInterface()
    interface.digest_method = new
    assert opened(make_app(interface), renewed) == {"user": str(value), "more": str(value)}
    assert stats_of(app)["keys"]["old_digests"] == int(old is not new)


def test_digests_are_read_natively() -> None:
    app = app_with(digest_method=hashlib.sha256, accept_digest_methods=(hashlib.sha1, hashlib.sha512))
    for digest_method in (hashlib.sha1, hashlib.sha256, hashlib.sha512):
        assert opened(app, stock_token(digest_method, user="ada")) == {"user": "ada"}
    assert stats_of(app)["open"] == {"native": 3, "declined": {}}
    assert stats_of(app)["keys"] == {"current": 3, "fallbacks": [], "old_digests": 2}


def test_a_digest_that_is_not_listed_is_refused() -> None:
    app = app_with(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha512])
    assert opened(app, stock_token(hashlib.sha1, user="ada")) == {}
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    with pytest.raises(itsdangerous.BadSignature):
        serializer.loads(stock_token(hashlib.sha1, user="ada"))


@pytest.mark.parametrize("salt", [None, "another"])
def test_the_serializer_agrees_with_itsdangerous(salt: str | None) -> None:
    app = app_with(
        {"SECRET_KEY_FALLBACKS": ["older"]}, digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1]
    )
    ours: t.Any = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    stock = itsdangerous.URLSafeTimedSerializer(
        ours.secret_keys,
        salt=ours.salt,
        serializer=ours.serializer,
        signer_kwargs=ours.signer_kwargs,
        fallback_signers=ours.fallback_signers,
    )
    for key in [app.secret_key, "older", "unknown"]:
        for digest_method in DIGESTS:
            token = itsdangerous.URLSafeTimedSerializer(
                t.cast(str, key),
                salt=salt or ours.salt,
                serializer=ours.serializer,
                signer_kwargs={**ours.signer_kwargs, "digest_method": digest_method},
            ).dumps({"n": 1})
            assert outcome(ours.loads, token, salt=salt) == outcome(stock.loads, token, salt=salt)
    ours.fallback_signers.clear()
    with pytest.raises(itsdangerous.BadSignature):
        ours.loads(stock_token(hashlib.sha1, user="ada"))


def outcome(call: Callable[..., object], *args: object, **kwargs: object) -> object:
    try:
        return call(*args, **kwargs)
    except itsdangerous.BadData as error:
        return type(error), str(error)


# --- Keys -----------------------------------------------------------------------------------------------------------


needs_fallback_keys = pytest.mark.skipif(
    "SECRET_KEY_FALLBACKS" not in flask.Flask.default_config, reason="Flask has fallback keys from 3.1 on"
)


@needs_fallback_keys
def test_keys_are_counted_by_their_age() -> None:
    app = app_with({"SECRET_KEY_FALLBACKS": ["oldest", "older", "old"]})
    for key, times in [(None, 4), ("old", 3), ("oldest", 1)]:
        for number in range(times):
            assert opened(app, stock_token(key=key, number=number))
    # Of one that stock reads in part, the key is counted once.
    assert opened(app, stock_token(key="old", number=2**70))
    assert opened(app, stock_token(key="unknown", user="eve")) == {}
    assert stats_of(app)["keys"] == {"current": 4, "fallbacks": [4, 0, 1], "old_digests": 0}


@needs_fallback_keys
@VALUES
@pytest.mark.parametrize("resign", [False, True])
def test_what_a_fallback_key_has_signed_is_signed_anew_where_wanted(resign: bool, value: object) -> None:
    app = app_with({"SECRET_KEY_FALLBACKS": ["old"]}, resign_fallbacks=resign)
    number = 1 if value == "ada" else 2**70
    with app.app_context():
        session = open_by(app, stock_token(key="old", number=number))
        assert session.modified is resign
        headers = save_by(app, session)
        assert bool(headers) is resign
        if resign:
            session = open_by(app, token_in(headers))
            assert session == {"number": number} and not session.modified
    app.config["SECRET_KEY_FALLBACKS"] = None
    if resign:
        assert opened(app, token_in(headers)) == {"number": number}


def test_what_an_old_digest_has_signed_is_signed_anew_where_wanted() -> None:
    app = app_with(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1], resign_fallbacks=True)
    assert opened(app, stock_token(hashlib.sha1, user="ada")).modified
    assert not opened(app, stock_token(hashlib.sha256, user="ada")).modified


def test_a_request_without_a_cookie_has_nothing_to_be_signed_anew() -> None:
    class Prepared(SecureCookieSession):
        def __init__(self, initial: t.Any = None) -> None:
            super().__init__(initial or {"theme": "dark"})

    interface = FastSessionInterface(resign_fallbacks=True)
    interface.session_class = Prepared
    app = make_app(interface)
    request = app.request_class(create_environ("/", headers={"Cookie": 'other="x y"'}))
    session: t.Any = interface.open_session(app, request)
    assert session == {"theme": "dark"} and not session.modified


def test_what_another_signer_has_signed_is_not_signed_anew_at_each_request() -> None:
    class Sha512Signer(itsdangerous.TimestampSigner):
        default_digest_method = staticmethod(hashlib.sha512)

    class Custom(FastSessionInterface):
        def get_signing_serializer(self, app: flask.Flask) -> itsdangerous.URLSafeTimedSerializer | None:
            return itsdangerous.URLSafeTimedSerializer(
                t.cast(str, app.secret_key), salt="mine", serializer=self.serializer, signer=Sha512Signer
            )

    app = make_app(Custom(resign_fallbacks=True))
    assert not opened(app, token_of(app, user="ada")).modified


# --- Time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2**70], ids=["native", "declined"])
@pytest.mark.parametrize("leeway", [0, 5])
def test_leeway_counts_at_both_ends(number: int, leeway: int) -> None:
    app = app_with({"PERMANENT_SESSION_LIFETIME": 100}, leeway=leeway)
    with time_machine.travel(START, tick=False) as clock:
        token = stock_token(number=number)
        for age in (-leeway, 0, 100, 100 + leeway):
            clock.move_to(START + age)
            assert opened(app, token) == {"number": number}, age
        for age in (-leeway - 1, 101 + leeway):
            clock.move_to(START + age)
            assert opened(app, token) == {}, age


@VALUES
def test_a_session_ends_after_its_absolute_lifetime(value: object) -> None:
    app = app_with({"PERMANENT_SESSION_LIFETIME": 100}, absolute_lifetime=timedelta(seconds=150))
    with time_machine.travel(START, tick=False) as clock:
        token = token_of(app, user=value, _permanent=True)
        for age in (90, 149):
            clock.move_to(START + age)
            with app.app_context():
                session = open_by(app, token)
                assert session["user"] == str(value)
                session["age"] = age
                token = token_in(save_by(app, session))
        clock.move_to(START + 150)
        assert opened(app, token) == {}


def test_a_session_from_before_begins_its_absolute_lifetime_now() -> None:
    app = app_with(absolute_lifetime=150)
    with time_machine.travel(START, tick=False):
        session = opened(app, stock_token(user="ada"))
        assert session == {"user": "ada", "_created": START} and session.modified


def test_nothing_is_put_into_sessions_that_are_empty_or_left_alone() -> None:
    app = app_with(absolute_lifetime=150)
    with app.app_context():
        assert save_by(app, open_by(app)) == []
        untouched = open_by(app, token_of(app, user="ada"))
        assert save_by(app, untouched) == []


@VALUES
def test_a_session_that_says_only_when_it_began_is_empty(value: object) -> None:
    app = app_with(absolute_lifetime=150)
    token = token_of(app, user=value)
    with app.app_context():
        session = open_by(app, token)
        session.pop("user")
        (cookie,) = [line for name, line in save_by(app, session) if name == "Set-Cookie"]
    assert cookie.startswith("session=; Expires=Thu, 01 Jan 1970")


def test_sessions_that_are_no_dicts_have_no_absolute_lifetime() -> None:
    class Session(UserDict[str, t.Any], SessionMixin):
        pass

    interface = FastSessionInterface(absolute_lifetime=150)
    interface.session_class = t.cast("type[t.Any]", Session)
    app = make_app(interface)
    assert opened(app, stock_token(user="ada")) == {"user": "ada"}


# --- Size -----------------------------------------------------------------------------------------------------------


def test_a_cookie_too_large_is_an_error_where_wanted() -> None:
    app = app_with(oversize="raise")
    warned = pytest.warns(UserWarning, match="too large")
    raised = pytest.raises(SessionTooLargeError, match=r"has \d+ bytes, and browsers take 4093")
    with app.app_context(), warned, raised:
        save_by(app, written(app, text=[str(number) for number in range(3000)]))
    with app.app_context():
        assert save_by(app, written(app, text="short"))


@pytest.mark.parametrize("limit", [200, 0])
def test_no_cookie_goes_out_with_the_error(limit: int) -> None:
    app = app_with({"MAX_COOKIE_SIZE": limit}, oversize="raise")

    @app.errorhandler(500)
    def failed(error: t.Any) -> flask.typing.ResponseReturnValue:
        response = flask.make_response(type(error.original_exception).__name__, 500)
        response.set_cookie("other", "x" * 300)
        return response

    @app.get("/write")
    def write() -> str:
        flask.session["text"] = [str(number) for number in range(200)]
        return "written"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        response = app.test_client().get("/write")
    names = [line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")]
    if limit:
        assert (response.status_code, response.text, names) == (500, "SessionTooLargeError", ["other"])
    else:
        assert (response.status_code, response.text, names) == (200, "written", ["session"])


def test_other_cookies_may_be_as_large_as_they_like() -> None:
    app = app_with(oversize="raise")
    response = flask.wrappers.Response()
    with app.app_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        response.set_cookie("other", "x" * 5000)
        app.session_interface.save_session(app, written(app, user=Decimal("0.5")), response)
    assert len(response.headers.getlist("Set-Cookie")) == 2


def test_a_cookie_too_large_is_shown_to_a_callable() -> None:
    seen: list[tuple[object, object, int]] = []
    app = app_with(oversize=lambda *arguments: seen.append(arguments))
    with app.app_context(), pytest.warns(UserWarning, match="too large"):
        headers = save_by(app, session := written(app, text=[str(number) for number in range(3000)]))
    ((seen_session, response, size),) = seen
    assert seen_session is session and isinstance(response, flask.wrappers.Response)
    assert size == len(dict(headers)["Set-Cookie"])


# --- All of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"leeway": -1},
        {"leeway": 0.5},
        {"oversize": "ignore"},
        {"oversize": 1},
        {"leeway": True},
        {"leeway": "5"},
        {"leeway": None},
        {"leeway": timedelta(seconds=5)},
        {"absolute_lifetime": "x"},
        {"absolute_lifetime": 0},
        {"absolute_lifetime": -1.5},
        {"absolute_lifetime": math.nan},
        {"absolute_lifetime": True},
        {"accept_digest_methods": "sha1"},
        {"accept_digest_methods": hashlib.sha1},
        {"accept_digest_methods": [None]},
        {"accept_digest_methods": ["no such digest"]},
        {"digest_method": "no such digest"},
        {"digest_method": hashlib},
    ],
    ids=str,
)
def test_odd_options_are_refused(options: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        FastSessionInterface(**options)


def test_options_survive_copies_and_subclasses() -> None:
    class Custom(FastSessionInterface):
        def __init__(self) -> None:
            super().__init__(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1], leeway=3)

    interface = FastSessionInterface(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1])
    for copy in (interface, Custom(), pickle.loads(pickle.dumps(interface))):
        assert opened(make_app(copy), stock_token(hashlib.sha1, user="ada")) == {"user": "ada"}
    assert vars(FastSessionInterface()) == {}


# --- Beside a serializer of one's own --------------------------------------------------------------------------------


class Foreign:
    """All that Flask asks of a serializer."""

    def __init__(self, serializer: t.Any) -> None:
        self._serializer = serializer

    def dumps(self, obj: object) -> t.Any:
        return self._serializer.dumps(obj)

    def loads(self, s: str, max_age: int) -> t.Any:
        return self._serializer.loads(s, max_age=max_age)


class ForeignInterface(FastSessionInterface):
    def get_signing_serializer(self, app: flask.Flask) -> t.Any:
        serializer = super().get_signing_serializer(app)
        return serializer and Foreign(serializer)


@pytest.mark.parametrize("options", [{"leeway": 7}, {"resign_fallbacks": True}], ids=["leeway", "resign_fallbacks"])
def test_an_option_that_a_foreign_serializer_cannot_serve_is_said_once(options: dict[str, t.Any]) -> None:
    for _ in range(2):
        app = make_app(ForeignInterface(**options))
        with recorded_warnings() as warned:
            token = token_in(save_by(app, written(app, user="ada")))
            for _ in range(3):
                assert open_by(app, token) == {"user": "ada"}
        assert [warning.category for warning in warned] == [RuntimeWarning]
        assert next(iter(options)) in str(warned[0].message)


@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"compress": True}], ids=str)
@pytest.mark.parametrize("size", [1, 5000])
def test_a_serializer_that_does_not_encrypt_is_said_once(options: dict[str, t.Any], size: int) -> None:
    class Signing(FastSessionInterface):
        def get_signing_serializer(self, app: flask.Flask) -> t.Any:
            return Foreign(SecureCookieSessionInterface().get_signing_serializer(app))

    app = make_app(Signing(encrypt=True, **options))
    with recorded_warnings() as warned:
        for _ in range(2):
            save_by(app, written(app, text="x" * size))
    assert [str(warning.message)[:27] for warning in warned] == ["encrypt= does nothing here:"]


def test_a_serializer_that_encrypts_in_its_own_way_is_no_mistake() -> None:
    app = make_app(ForeignInterface(encrypt=True))
    with recorded_warnings() as warned:
        token = token_in(save_by(app, written(app, user="ada")))
        assert open_by(app, token) == {"user": "ada"}
    assert warned == []


class WithoutTime(FastSessionInterface):
    def get_signing_serializer(self, app: flask.Flask) -> t.Any:
        return Foreign(itsdangerous.URLSafeSerializer("a key"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"refresh_after": 60}, "refresh_after= cannot apply here"),
        ({"lifetime": lambda session: 50}, "lifetime= cannot apply here"),
        ({"refresh_after": 60, "lifetime": lambda session: 50}, "refresh_after= and lifetime= cannot apply here"),
    ],
)
@pytest.mark.parametrize("size", [1, 5000])
def test_a_serializer_that_signs_without_a_time_is_said_once(options: dict[str, t.Any], said: str, size: int) -> None:
    app = make_app(WithoutTime(**options))
    with recorded_warnings() as warned:
        token = token_in(save_by(app, written(app, text="x" * size, _permanent=True)))
        for _ in range(2):
            assert "text" in open_by(app, token)
    assert [str(warning.message).partition(":")[0] for warning in warned] == [said]


def test_leeway_lengthens_lives_beside_a_foreign_serializer() -> None:
    app = make_app(ForeignInterface(leeway=5), PERMANENT_SESSION_LIFETIME=100)
    with time_machine.travel(1_700_000_000, tick=False) as clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = token_in(save_by(app, written(app, user="ada")))
        clock.shift(105)
        assert open_by(app, token) == {"user": "ada"}
        clock.shift(1)
        assert open_by(app, token) == {}


def test_a_cookie_that_is_renamed_is_measured() -> None:
    class Renaming(flask.Response):
        def set_cookie(self, key: str, *args: t.Any, **kwargs: t.Any) -> None:
            super().set_cookie(f"__Host-{key}", *args, **kwargs)

    app = make_app(FastSessionInterface(oversize="raise"), MAX_COOKIE_SIZE=500)
    response = Renaming()
    response.headers.add("Set-Cookie", "other=" + 600 * "x")
    with app.test_request_context(), warnings.catch_warnings(), pytest.raises(SessionTooLargeError):
        warnings.simplefilter("ignore")
        app.session_interface.save_session(app, written(app, text=[str(number) for number in range(3000)]), response)
    assert len(response.headers.getlist("Set-Cookie")) == 1
