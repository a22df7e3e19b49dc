"""Keys of encrypted cookies are told to nobody: not by errors, tracebacks, logs, reprs and counters."""

from __future__ import annotations

import base64
import hashlib
import logging
import pickle
import traceback
import typing as t

import flask
import itsdangerous
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flask_fastsession import FastSessionInterface
from flask_fastsession.signing import EncryptedSerializer
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import outcome_of
from tests.contract.parity import snapshot
from tests.contract.parity import store

from ..recorded import recorded_warnings
from . import reference

KEYS = ["the newest key, told to nobody", "an older key, told to nobody"]


def spellings() -> list[bytes]:
    """The keys, what is derived from them, and each in other spellings."""
    found = []
    for key in KEYS:
        secret = key.encode()
        found.append(secret)
        found.append(hashlib.sha256(secret).digest())
        for label in reference.LABELS.values():
            info = reference.part(label) + reference.part(b"cookie-session")
            found.append(HKDF(SHA256(), 32, salt=None, info=info).derive(secret))
    return [*found, *(each.hex().encode() for each in found), *(base64.b64encode(each)[:-2] for each in found)]


def check(text: object) -> None:
    data = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")
    for spelling in spellings():
        assert spelling not in data


def make(**options: t.Any) -> flask.Flask:
    app = make_app(FastSessionInterface(**options))
    app.secret_key = KEYS[0]
    if "SECRET_KEY_FALLBACKS" in app.config:
        app.config["SECRET_KEY_FALLBACKS"] = [KEYS[1]]
    return app


@pytest.mark.parametrize(
    "options", [{"encrypt": True}, {"encrypt": True, "accept_signed": True}, {"accept_encrypted": True}]
)
def test_nothing_that_is_told_has_a_key(caplog: pytest.LogCaptureFixture, options: dict[str, t.Any]) -> None:
    caplog.set_level(logging.DEBUG)
    app = make(**options)
    interface = t.cast(FastSessionInterface, app.session_interface)
    with recorded_warnings() as warned:
        token = exchange(app, store(user="ada", text="a" * 5000)).token
        for cookie in (
            token,
            token[:-2],
            "junk",
            reference.seal(KEYS[0].encode(), b"cookie-session", b"session", b"{", 0),
        ):
            exchange(app, snapshot, cookie)
        exchange(app, store(user=object()))
    serializer: t.Any = interface.get_signing_serializer(app)
    not_json = reference.seal(KEYS[0].encode(), b"cookie-session", b"session", b"not JSON", 0)
    for call in (
        lambda: serializer.loads("junk"),
        lambda: serializer.loads(not_json),
        lambda: serializer.loads(token, max_age=-1),
        lambda: serializer.loads(5),
        lambda: serializer.dumps(object()),
        lambda: EncryptedSerializer([KEYS[0], ""], "salt", "purpose"),
        lambda: EncryptedSerializer(t.cast(t.Any, [KEYS[0], 5]), "salt", "purpose"),
        lambda: EncryptedSerializer(KEYS[0], "salt", t.cast(t.Any, 5)),
    ):
        error = outcome_of(call).error
        assert error is not None
        check("".join(traceback.format_exception(error)))
        check(repr(error) + repr(vars(error)))
    for value in (interface, serializer, interface.stats(), interface._options, caplog.text, warned, token):
        check(value)
        check(repr(value))
    sealer = getattr(serializer, "_derived", None)
    check(repr(sealer and sealer[1]))
    check(pickle.dumps(interface))


@pytest.mark.skipif("SECRET_KEY_FALLBACKS" not in flask.Flask.default_config, reason="Flask has them from 3.1 on")
@pytest.mark.parametrize("fallbacks", [KEYS[1], [KEYS[1], ""], [KEYS[1], 5]])
def test_errors_about_keys_quote_none(fallbacks: t.Any) -> None:
    app = make(encrypt=True)
    app.config["SECRET_KEY_FALLBACKS"] = fallbacks
    error = outcome_of(lambda: app.session_interface.get_signing_serializer(app)).error  # type: ignore[attr-defined]
    assert isinstance(error, ValueError)
    check("".join(traceback.format_exception(error)))


def test_what_is_expired_does_not_carry_its_text() -> None:
    serializer = EncryptedSerializer("key", "salt", "purpose")
    token = reference.seal(b"key", b"salt", b"purpose", b'"told to nobody"', 0)
    with pytest.raises(itsdangerous.SignatureExpired) as caught:
        serializer.loads(token, max_age=1)
    assert "told" not in repr(vars(caught.value))
