"""Encrypted cookies: what they hold, who can read them, and what is refused."""

from __future__ import annotations

import decimal
import json
import random
import typing as t
import uuid
import warnings
from datetime import datetime
from datetime import timezone

import flask
import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from markupsafe import Markup
from werkzeug.test import create_environ

from flask_fastsession import FastSessionInterface
from flask_fastsession import SessionTooLargeError
from tests.conftest import Clock
from tests.contract.parity import NOW
from tests.contract.parity import SECRET_KEY
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import snapshot
from tests.contract.parity import store
from tests.contract.parity import touch_nothing
from tests.faults.support import open_by
from tests.faults.support import save_by
from tests.faults.support import written

from . import random_sessions
from . import reference

KEY = SECRET_KEY.encode()
SALT = b"cookie-session"

needs_fallback_keys = pytest.mark.skipif(
    "SECRET_KEY_FALLBACKS" not in flask.Flask.default_config, reason="Flask has fallback keys from 3.1 on"
)


def app_with(config: dict[str, t.Any] | None = None, **options: t.Any) -> flask.Flask:
    return make_app(FastSessionInterface(**{"encrypt": True, **options}), **(config or {}))


def stats_of(app: flask.Flask) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", t.cast(FastSessionInterface, app.session_interface).stats())


def sealed(value: object, now: int = NOW, **inputs: t.Any) -> str:
    """A token of the second implementation."""
    given = {"secret_key": KEY, "salt": SALT, "purpose": b"session", **inputs}
    return reference.seal(text=json.dumps(value).encode(), seconds=now, **given)


def opened(app: flask.Flask, token: str) -> t.Any:
    with app.app_context():
        return open_by(app, token)


# --- What they hold -------------------------------------------------------------------------------------------------

VALUES: dict[str, t.Any] = {
    "text": "ä€😀",
    "tuple": (1, (2, [3])),
    "bytes": b"\xff\0",
    "markup": Markup("<b>"),
    "uuid": uuid.UUID(int=5),
    "date": datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc),
    "tag": {" t": 1},
    "numbers": [1, 2**100, 0.1, None, True],
    "decimal": decimal.Decimal("1.5"),
    "deep": json.loads("[" * 40 + "]" * 40),
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_values_are_as_with_signed_cookies(clock: Clock, name: str, compress: bool) -> None:
    seen = []
    for interface in (SecureCookieSessionInterface(), FastSessionInterface(encrypt=True, compress=compress)):
        app = make_app(interface)
        token = exchange(app, store(value=VALUES[name], words="word " * 50)).token
        seen.append(exchange(app, snapshot, token).seen)
    assert repr(seen[0]) == repr(seen[1])


def test_random_sessions_are_the_same_in_a_second_implementation() -> None:
    seed = random.SystemRandom().getrandbits(32)
    assert random_sessions.compare(1500, seed) > 300


def test_a_cookie_tells_nothing_of_what_is_in_it(clock: Clock) -> None:
    app = app_with()
    tokens = {exchange(app, store(user="ada")).token for _ in range(5)}
    assert len(tokens) == 5
    for token in tokens:
        data = reference.decode(token)
        assert data is not None
        assert b"ada" not in data
        assert b"user" not in data
        assert "." not in token
        assert (
            SecureCookieSessionInterface().open_session(make_app(SecureCookieSessionInterface()), request(token)) == {}
        )


def request(token: str) -> t.Any:
    return flask.wrappers.Request({"HTTP_COOKIE": f"session={token}", "wsgi.url_scheme": "http"})


def test_it_runs_natively(clock: Clock) -> None:
    app = app_with()
    token = exchange(app, store(user="ada", _permanent=True)).token
    exchange(app, snapshot, token)
    stats = stats_of(app)
    assert stats["open"] == {"native": 2, "declined": {}}
    assert stats["save"] == {"native": 2, "declined": {}}
    assert stats["kinds"] == {"signed": 0, "encrypted": 1, "too_large_when_encrypted": 0}


def test_compression_is_not_the_default(clock: Clock) -> None:
    words = "the same words " * 100
    lengths = [len(exchange(app_with(compress=compress), store(words=words)).token) for compress in (False, True)]
    assert lengths[0] > 2000
    assert lengths[1] < 200


def test_either_reads_what_the_other_has_compressed_or_not(clock: Clock) -> None:
    words = "the same words " * 100
    for compress in (False, True):
        token = exchange(app_with(compress=compress), store(words=words)).token
        assert opened(app_with(compress=not compress), token) == {"words": words}


def test_a_text_too_long_to_be_read_again_is_not_compressed(clock: Clock) -> None:
    app = app_with({"MAX_COOKIE_SIZE": 0}, compress=True)
    text = "a" * (1 << 20)
    token = exchange(app, store(text=text)).token
    assert len(token) > 1 << 20
    assert opened(app, token)["text"] == text


# --- Refused --------------------------------------------------------------------------------------------------------


def is_refused(app: flask.Flask, token: str) -> bool:
    """Whether a cookie gives an empty session, and nothing is said to the browser."""
    reply = exchange(app, snapshot, token)
    assert reply.status == "200 OK"
    assert reply.cookies == []
    return reply.seen == [({}, False, False, False)]


@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}])
def test_every_changed_bit_and_every_cut_is_refused(clock: Clock, options: dict[str, t.Any]) -> None:
    app = app_with(**options)
    token = sealed({"user": "ada"})
    assert not is_refused(app, token)
    data = token.encode()
    with app.app_context():
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            header = "session=" + changed.decode("latin-1")
            # Not by way of headers, which would not take a line break.
            request = app.request_class(create_environ("/", environ_overrides={"HTTP_COOKIE": header}))
            session: t.Any = app.session_interface.open_session(app, request)
            assert session == {}, f"bit {bit}"
        for length in range(len(token)):
            assert open_by(app, token[:length]) == {}, f"{length} characters"
            assert open_by(app, token[len(token) - length :]) == {}, f"the last {length} characters"


def test_other_keys_names_salts_and_versions_are_refused(clock: Clock) -> None:
    app = app_with()
    assert not is_refused(app, sealed({"user": "ada"}))
    assert is_refused(app, sealed({"user": "ada"}, secret_key=b"another key"))
    assert is_refused(app, sealed({"user": "ada"}, purpose=b"another"))
    assert is_refused(app, sealed({"user": "ada"}, salt=b"another"))
    # It is not compressed, and so nothing of that version.
    assert is_refused(app, sealed({"user": "ada"}, version=2))


def test_a_cookie_moved_to_another_name_is_refused(clock: Clock) -> None:
    token = exchange(app_with(), store(user="ada")).token
    assert is_refused(app_with({"SESSION_COOKIE_NAME": "other"}), token)


def test_age_is_as_with_signed_cookies(clock: Clock) -> None:
    app = app_with({"PERMANENT_SESSION_LIFETIME": 60})
    lenient = app_with({"PERMANENT_SESSION_LIFETIME": 60}, leeway=5)
    token = sealed({"user": "ada"})
    for age, is_accepted, is_within_leeway in [
        (-6, False, False),
        (-5, False, True),
        (-1, False, True),
        (0, True, True),
        (60, True, True),
        (61, False, True),
        (65, False, True),
        (66, False, False),
    ]:
        clock.now = NOW + age
        assert is_refused(app, token) is not is_accepted, age
        assert is_refused(lenient, token) is not is_within_leeway, age
    clock.now = NOW
    assert is_refused(app, sealed({"user": "ada"}, now=2**63))


def test_no_kind_is_taken_for_the_other(clock: Clock) -> None:
    signed = exchange(make_app(FastSessionInterface()), store(user="ada")).token
    encrypted = exchange(app_with(), store(user="ada")).token
    assert is_refused(app_with(), signed)
    assert is_refused(app_with(resign_fallbacks=True, leeway=9), signed)
    assert is_refused(make_app(FastSessionInterface()), encrypted)
    # Nor where the encrypted form has parts that look like those of a signed cookie.
    assert is_refused(app_with(accept_signed=True), f"{encrypted}.aaaaaa.{'a' * 27}")
    payload, timestamp, signature = signed.split(".")
    for odd in (payload, payload + timestamp, payload + timestamp + signature, f"{payload}.{timestamp}"):
        assert is_refused(app_with(accept_signed=True), odd)


def test_what_is_no_json_is_an_error_as_with_signed_cookies(clock: Clock) -> None:
    token = reference.seal(KEY, SALT, b"session", b"not JSON", NOW)
    assert exchange(app_with(), snapshot, token).status.startswith("500")
    assert opened(app_with(), sealed(None)) == {}


# --- Keys -----------------------------------------------------------------------------------------------------------


@needs_fallback_keys
def test_fallback_keys_open_and_the_newest_seals(clock: Clock) -> None:
    config = {"SECRET_KEY_FALLBACKS": ["oldest", b"older", "old"]}
    for number, key in enumerate([KEY, b"old", b"older", b"oldest"]):
        app = app_with(config)
        reply = exchange(app, store(more=1), sealed({"user": "ada"}, secret_key=key))
        assert stats_of(app)["keys"]["fallbacks"] == [0] * (number - 1) + [1] * bool(number)
        made = reference.open_token([KEY], SALT, b"session", reply.token)
        assert made is not None
        assert json.loads(made.text) == {"user": "ada", "more": 1}
    assert is_refused(app_with(config), sealed({"user": "ada"}, secret_key=b"removed"))


@needs_fallback_keys
@pytest.mark.parametrize("value", ["ada", decimal.Decimal(1)], ids=["native", "declined"])
def test_old_keys_are_replaced_at_once_where_that_is_asked_for(clock: Clock, value: object) -> None:
    for resign in (False, True):
        app = app_with({"SECRET_KEY_FALLBACKS": ["old"]}, resign_fallbacks=resign)
        if not isinstance(value, str):
            app.json = type("Own", (DefaultJSONProvider,), {"loads": lambda self, text, **_: json.loads(text)})(app)
        reply = exchange(app, touch_nothing, sealed({"user": "ada"}, secret_key=b"old"))
        assert len(reply.cookies) == int(resign)
        assert exchange(app, touch_nothing, sealed({"user": "ada"})).cookies == []


@needs_fallback_keys
@pytest.mark.parametrize("fallbacks", ["a text", b"bytes", [""], ["old", b""], [1], ["old", None]])
@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}])
def test_keys_that_can_be_guessed_are_an_error(fallbacks: t.Any, options: dict[str, t.Any]) -> None:
    app = app_with({"SECRET_KEY_FALLBACKS": fallbacks}, **options)
    for _ in range(2):
        with pytest.raises((ValueError, TypeError)), app.app_context():
            open_by(app, sealed({}))


@needs_fallback_keys
def test_a_text_of_fallback_keys_is_a_value_error(clock: Clock) -> None:
    app = app_with({"SECRET_KEY_FALLBACKS": "a text"})
    with pytest.raises(ValueError, match="SECRET_KEY_FALLBACKS"), app.app_context():
        open_by(app)


def test_without_a_key_sessions_are_empty_and_cannot_be_written(clock: Clock) -> None:
    for options in ({}, {"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}):
        app = app_with({"SECRET_KEY": None}, **options)
        assert exchange(app, lambda session: session.get("user"), sealed({"user": "ada"})).seen == [None]
        assert exchange(app, store(user="ada")).status.startswith("500")


@pytest.mark.parametrize("salt", [None, b"bytes", "text"])
def test_salts_are_as_with_signed_cookies(clock: Clock, salt: t.Any) -> None:
    app = app_with()
    t.cast(FastSessionInterface, app.session_interface).salt = salt
    expected = b"itsdangerous.Signer" if salt is None else itsdangerous.want_bytes(salt)
    assert opened(app, sealed({"user": "ada"}, salt=expected)) == {"user": "ada"}
    token = exchange(app, store(user="ada")).token
    assert reference.open_token([KEY], expected, b"session", token) is not None


def test_keys_are_read_anew_at_each_request(clock: Clock) -> None:
    app = app_with()
    first = exchange(app, store(user="ada")).token
    app.secret_key = "another"
    assert is_refused(app, first)
    second = exchange(app, store(user="ada")).token
    assert reference.open_token([b"another"], SALT, b"session", second) is not None
    app.secret_key = SECRET_KEY
    assert is_refused(app, second)
    assert not is_refused(app, first)


def test_signatures_play_no_part(clock: Clock) -> None:
    interface = FastSessionInterface(encrypt=True)
    interface.key_derivation = "no such derivation"
    interface.digest_method = None  # type: ignore[assignment]
    app = make_app(interface)
    token = exchange(app, store(user="ada")).token
    assert opened(app, token) == {"user": "ada"}
    assert stats_of(app)["open"]["declined"] == {}


# --- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"encrypt": 1},
        {"encrypt": "yes"},
        {"accept_signed": True},
        {"compress": True},
        {"compress": True, "accept_encrypted": True},
        {"encrypt": True, "accept_signed": None},
        {"accept_encrypted": 0},
    ],
)
def test_arguments_that_make_no_sense_are_errors(options: dict[str, t.Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(options)) if "compress" not in options else "compress"):
        FastSessionInterface(**options)


def test_an_absolute_lifetime_ends_a_session(clock: Clock) -> None:
    app = app_with(absolute_lifetime=100)
    token = exchange(app, store(user="ada")).token
    clock.now += 60
    token = exchange(app, store(more=1), token).token
    assert not is_refused(app, token)
    clock.now += 60
    assert exchange(app, snapshot, token).seen[0][0] == {}


def test_oversize_is_as_with_signed_cookies(clock: Clock) -> None:
    large = {"text": "".join(random.Random(1).choices("abcdefghijkl", k=3500))}
    reply = exchange(app_with(), store(**large))
    assert len(reply.cookies) == 1
    assert len(reply.warned) == 1
    app = app_with(oversize="raise")
    with app.test_request_context(), pytest.warns(UserWarning), pytest.raises(SessionTooLargeError):
        save_by(app, written(app, **large))


# --- Overridden steps -----------------------------------------------------------------------------------------------


class OwnJSON(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return "  " + super().dumps(obj, **kwargs)


class TagSet(JSONTag):
    key = " s"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, set)

    def to_json(self, value: t.Any) -> t.Any:
        return sorted(value)

    def to_python(self, value: t.Any) -> t.Any:
        return set(value)


def test_a_json_provider_of_the_app_is_used(clock: Clock) -> None:
    app = app_with()
    app.json = OwnJSON(app)
    token = exchange(app, store(user="ada")).token
    made = reference.open_token([KEY], SALT, b"session", token)
    assert made is not None
    assert made.text == b'  {"user":"ada"}'
    assert exchange(app, snapshot, token).seen[0][0] == {"user": "ada"}


@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}])
def test_tags_of_the_app_are_used(clock: Clock, options: dict[str, t.Any]) -> None:
    app = app_with(**options)
    serializer = TaggedJSONSerializer()
    serializer.register(TagSet, index=0)
    t.cast(FastSessionInterface, app.session_interface).serializer = serializer
    token = exchange(app, store(numbers={1, 2})).token
    assert exchange(app, snapshot, token).seen[0][0] == {"numbers": {1, 2}}


def test_an_overridden_name_is_what_the_cookie_is_bound_to(clock: Clock) -> None:
    class ByHost(FastSessionInterface):
        name = "a"

        def get_cookie_name(self, app: flask.Flask) -> str:
            return self.name

    interface = ByHost(encrypt=True)
    app = make_app(interface, SESSION_COOKIE_NAME="ignored")
    with app.app_context():
        serializer: t.Any = interface.get_signing_serializer(app)
        token = serializer.dumps({"user": "ada"})
        assert reference.open_token([KEY], SALT, b"a", token) is not None
        interface.name = "b"
        with pytest.raises(itsdangerous.BadSignature):
            interface.get_signing_serializer(app).loads(token)  # type: ignore[union-attr]


def test_an_overridden_step_leaves_the_others_native(clock: Clock) -> None:
    class Secure(FastSessionInterface):
        def get_cookie_secure(self, app: flask.Flask) -> bool:
            return True

    app = make_app(Secure(encrypt=True))
    reply = exchange(app, store(user="ada"))
    assert "Secure" in reply.cookies[0]
    assert opened(app, reply.token) == {"user": "ada"}
    assert stats_of(app)["dumps"] == {"native": 1, "declined": {}}


def test_a_serializer_of_the_app_has_the_last_word(clock: Clock) -> None:
    class Own(FastSessionInterface):
        def get_signing_serializer(self, app: flask.Flask) -> t.Any:
            return itsdangerous.URLSafeTimedSerializer("own")

    app = make_app(Own(encrypt=True))
    token = exchange(app, store(user="ada")).token
    assert itsdangerous.URLSafeTimedSerializer("own").loads(token) == {"user": "ada"}


# --- Cookies that will be too large ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_overridden", [False, True])
@pytest.mark.parametrize("text", ["short", "the same words " * 250])
def test_cookies_that_would_be_too_large_are_counted(clock: Clock, text: str, is_overridden: bool) -> None:
    class Own(FastSessionInterface):
        def get_cookie_path(self, app: flask.Flask) -> str:
            return "/"

    app = make_app((Own if is_overridden else FastSessionInterface)(accept_encrypted=True))
    encrypting = app_with({"MAX_COOKIE_SIZE": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reply = exchange(app, store(text=text))
    assert len(reply.cookies) == 1
    is_too_large = len(exchange(encrypting, store(text=text)).cookies[0]) > 4093
    assert is_too_large is (text != "short")
    assert stats_of(app)["kinds"]["too_large_when_encrypted"] == int(is_too_large)


@pytest.mark.parametrize("size", [0, 1])
def test_the_limit_is_exact(clock: Clock, size: int) -> None:
    """At the limit none is counted, and from one byte on above it each is, natively and step by step."""
    text = "a" * 1000
    limit = len(exchange(app_with({"MAX_COOKIE_SIZE": 0}), store(text=text)).cookies[0])
    for provider in (DefaultJSONProvider, OwnJSON):
        app = make_app(FastSessionInterface(accept_encrypted=True), MAX_COOKIE_SIZE=limit - size)
        app.json = provider(app)
        exchange(app, store(text=text if provider is DefaultJSONProvider else text[2:]))
        assert stats_of(app)["kinds"]["too_large_when_encrypted"] == size
