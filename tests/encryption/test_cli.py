"""``flask session`` on encrypted cookies, and on those of apps that read and write cookies by code of their own."""

from __future__ import annotations

import json
import time
import typing as t

import flask
import itsdangerous
import pytest
from cryptography.fernet import Fernet
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface

from flask_fastsession import FastSessionInterface
from tests.cli.test_cli import FALLBACKS
from tests.cli.test_cli import KEY
from tests.cli.test_cli import LIFETIME
from tests.cli.test_cli import SAFE
from tests.cli.test_cli import make_app
from tests.cli.test_cli import run
from tests.cli.test_cli import run_alone
from tests.cli.test_cli import run_json
from tests.cli.test_cli import token_of

from . import reference

DATA: dict[str, t.Any] = {"user": "ada", "size": [1, 2]}


def sealed(data: object = DATA, key: str | bytes = KEY, age: int = 0, **inputs: t.Any) -> str:
    given = {"salt": b"cookie-session", "purpose": b"session", **inputs}
    return reference.seal(
        itsdangerous.want_bytes(key), text=json.dumps(data).encode(), seconds=int(time.time()) - age, **given
    )


def app_with(config: dict[str, t.Any] | None = None, **options: t.Any) -> flask.Flask:
    return make_app(FastSessionInterface(**{"encrypt": True, **options}), **(config or {}))


# --- inspect --------------------------------------------------------------------------------------------------------


def test_without_an_app_nothing_is_told_but_that_it_is_encrypted() -> None:
    for cookie in (sealed(), f"session={sealed()}", f"Set-Cookie: session={sealed()}; Path=/", f"other={sealed()}"):
        result = run_alone("inspect", cookie)
        assert "encrypted; give the app" in result.stdout
        assert "ada" not in result.stdout
    report = json.loads(run_alone("inspect", sealed(), "--json").stdout)
    assert (report["kind"], report["payload"], report["app"]) == ("encrypted", None, None)
    assert run_alone("inspect", sealed(), "--check").exit_code == 1


@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}])
def test_with_an_app_it_is_opened(options: dict[str, t.Any]) -> None:
    app = app_with(**options)
    report = run_json(app, "inspect", sealed())
    assert report["kind"] == "encrypted"
    assert report["payload"] == DATA
    assert report["app"]["key"] == "SECRET_KEY"
    assert report["app"]["accepted"] is True
    assert run(app, "inspect", sealed(), "--check").exit_code == 0
    shown = run(app, "inspect", sealed()).stdout
    assert "yes, by SECRET_KEY" in shown
    assert "'ada'" in shown
    assert KEY not in shown


@pytest.mark.skipif("SECRET_KEY_FALLBACKS" not in flask.Flask.default_config, reason="Flask has them from 3.1 on")
def test_which_key_it_was() -> None:
    app = app_with({"SECRET_KEY_FALLBACKS": FALLBACKS})
    for number, key in enumerate(FALLBACKS):
        assert run_json(app, "inspect", sealed(key=key))["app"]["key"] == f"SECRET_KEY_FALLBACKS[{number}]"
    assert "fallback-needed" in run(app, "doctor", sealed(key=FALLBACKS[0])).stdout


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (sealed(key="another key"), "none of the app's keys"),
        (sealed(purpose=b"other"), "none of the app's keys"),
        (sealed(age=LIFETIME + 1000), "too old"),
        (sealed(age=-1_000_000), "from now"),
        (sealed(["no", "dict"]), "each request with it fails"),
    ],
    ids=["another key", "another name", "too old", "of the future", "no dict"],
)
def test_why_it_is_refused(token: str, reason: str) -> None:
    verdict = run_json(app_with(), "inspect", token)["app"]
    assert verdict["accepted"] is False
    assert reason in verdict["reason"]
    assert run(app_with(), "inspect", token, "--check").exit_code == 1
    assert "cookie-refused" in run(app_with(SAFE), "doctor", token).stdout


def test_either_kind_is_refused_by_an_app_that_does_not_read_it() -> None:
    assert "encrypt" in run_json(make_app(), "inspect", sealed())["app"]["reason"]
    assert "accept_signed" in run_json(app_with(), "inspect", token_of(DATA))["app"]["reason"]
    for options in ({"accept_signed": True}, {"encrypt": False, "accept_encrypted": True}):
        assert run_json(app_with(**options), "inspect", token_of(DATA))["app"]["accepted"] is True  # type: ignore[arg-type]


# --- sign -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"accept_signed": True}, {"compress": True}])
def test_a_cookie_is_made_as_the_app_makes_it(options: dict[str, t.Any]) -> None:
    app = app_with(**options)
    token = run(app, "sign", json.dumps(DATA)).stdout.strip()
    assert "." not in token
    assert run_json(app, "inspect", token)["payload"] == DATA


# --- doctor ---------------------------------------------------------------------------------------------------------


def codes(app: flask.Flask, *arguments: str) -> set[str]:
    return {finding["code"] for finding in run_json(app, "doctor", *arguments)["findings"]}


def test_the_doctor_knows_the_steps_of_a_migration() -> None:
    assert "sha1" in codes(make_app(**SAFE))
    assert not {"sha1", "accepts-signed", "accepts-encrypted", "compresses"} & codes(app_with(SAFE))
    assert "accepts-signed" in codes(app_with(SAFE, accept_signed=True))
    assert "compresses" in codes(app_with(SAFE, compress=True))
    assert {"sha1", "accepts-encrypted"} <= codes(app_with(SAFE, encrypt=False, accept_encrypted=True))
    assert run(app_with(SAFE), "doctor").exit_code == 0


def test_the_doctor_warns_of_sessions_that_will_be_too_large() -> None:
    app = app_with(SAFE, encrypt=False, accept_encrypted=True)
    token = token_of({"words": "the same words " * 250})
    assert "too-large-when-encrypted" not in codes(app)
    assert "too-large-when-encrypted" in codes(app, token)
    assert run(app, "doctor", token).exit_code == 1


def test_the_doctor_warns_of_a_serializer_that_does_not_encrypt() -> None:
    class Own(FastSessionInterface):
        def get_signing_serializer(self, app: flask.Flask) -> t.Any:
            return SecureCookieSessionInterface.get_signing_serializer(self, app)

    app = make_app(Own(encrypt=True, leeway=1), **SAFE)
    assert "not-encrypted" in codes(app)
    texts = [each["text"] for each in run_json(app, "doctor")["findings"] if each["code"] == "option"]
    assert texts == ["leeway is on: native"]


# --- Interfaces with a way of their own -----------------------------------------------------------------------------


class FernetInterface(SessionInterface):
    """One that is no cookie interface of Flask's at all."""

    fernet = Fernet(Fernet.generate_key())

    def open_session(self, app: flask.Flask, request: t.Any) -> t.Any:
        try:
            text = self.fernet.decrypt(request.cookies.get(self.get_cookie_name(app), ""))
        except Exception:
            return SecureCookieSession()
        return SecureCookieSession(json.loads(text))

    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        if session:
            token = self.fernet.encrypt(json.dumps(dict(session)).encode()).decode()
            response.set_cookie(self.get_cookie_name(app), token)


class Overriding(FastSessionInterface):
    """One that keeps its own text in the cookie."""

    def open_session(self, app: flask.Flask, request: t.Any) -> t.Any:
        value = request.cookies.get(self.get_cookie_name(app), "")
        return self.session_class(json.loads(bytes.fromhex(value)) if value else {})

    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        if session:
            response.set_cookie(self.get_cookie_name(app), json.dumps(dict(session)).encode().hex())


class OwnSerializer:
    def dumps(self, value: object) -> str:
        return json.dumps(value).encode().hex()

    def loads(self, text: str, max_age: int | None = None) -> t.Any:
        try:
            return json.loads(bytes.fromhex(text))
        except ValueError:
            raise itsdangerous.BadSignature("no") from None


class Bringing(FastSessionInterface):
    """One that brings a serializer."""

    def get_signing_serializer(self, app: flask.Flask) -> t.Any:
        return OwnSerializer()


class Deaf(SessionInterface):
    """One that does not read what it writes."""

    def open_session(self, app: flask.Flask, request: t.Any) -> t.Any:
        return SecureCookieSession()

    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        response.set_cookie(self.get_cookie_name(app), "value")


class Silent(Deaf):
    """One that sets no cookie."""

    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        pass


class Failing(Deaf):
    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        raise RuntimeError(KEY)


@pytest.mark.parametrize("interface", [FernetInterface, Overriding, Bringing])
def test_cookies_of_their_own_are_signed_and_inspected(interface: type[SessionInterface]) -> None:
    app = make_app(interface(), **SAFE)
    token = run(app, "sign", json.dumps(DATA)).stdout.strip()
    report = run_json(app, "inspect", token)
    assert report["kind"] == "own"
    assert report["payload"] == DATA
    assert report["app"] == {"accepted": True, "reason": None}
    assert "'ada'" in run(app, "inspect", token).stdout
    assert run(app, "inspect", token, "--check").exit_code == 0
    with app.test_client() as client:
        client.set_cookie("session", token)
        client.get("/")
        assert dict(flask.session) == DATA
    assert "cookie-refused" not in run(app, "doctor", token).stdout


@pytest.mark.parametrize("interface", [FernetInterface, Overriding, Bringing, Deaf])
def test_other_cookies_are_refused_by_them(interface: type[SessionInterface]) -> None:
    app = make_app(interface(), **SAFE)
    for token in (token_of(DATA), sealed(), "abcdef", "A" * 43):
        verdict = run_json(app, "inspect", token)["app"]
        assert verdict["accepted"] is False
        assert verdict["reason"]
        assert run(app, "doctor", token).exit_code == 1


@pytest.mark.parametrize(
    ("interface", "text"),
    [(Deaf, "reads another session"), (Silent, "sets no cookie"), (Failing, "RuntimeError")],
)
def test_where_none_can_be_signed_that_is_said(interface: type[SessionInterface], text: str) -> None:
    result = run(make_app(interface()), "sign", "{}" if interface is Silent else json.dumps(DATA))
    assert result.exit_code == 2
    assert text in result.stderr
    assert KEY not in result.stderr


def test_an_interface_that_only_adds_to_flasks_is_taken_apart_as_before() -> None:
    class Logging(FastSessionInterface):
        def open_session(self, app: flask.Flask, request: t.Any) -> t.Any:
            return super().open_session(app, request)

    report = run_json(make_app(Logging()), "inspect", token_of(DATA))
    assert report["kind"] == "cookie"
    assert report["app"]["key"] == "SECRET_KEY"
