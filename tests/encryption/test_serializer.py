"""``EncryptedSerializer``, by itself and as an interface gives it to whoever asks for its serializer."""

from __future__ import annotations

import copy
import io
import json
import pickle
import typing as t
from datetime import datetime
from datetime import timezone

import itsdangerous
import pytest

from flask_fastsession import FastSessionInterface
from flask_fastsession.signing import EncryptedSerializer
from tests.conftest import Clock
from tests.contract.parity import NOW
from tests.contract.parity import make_app

from . import reference

KINDS: list[dict[str, t.Any]] = [
    {"encrypt": True},
    {"encrypt": True, "accept_signed": True},
    {"encrypt": True, "compress": True},
]


def serializer_with(**options: t.Any) -> t.Any:
    app = make_app(FastSessionInterface(**options))
    return app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]


def test_it_speaks_the_format(clock: Clock) -> None:
    serializer = EncryptedSerializer("key", "salt", "purpose")
    opened = reference.open_token([b"key"], b"salt", b"purpose", serializer.dumps({"a": [1]}))
    assert opened == reference.Opened(b'{"a":[1]}', NOW, 1, 0)
    assert serializer.loads(reference.seal(b"key", b"salt", b"purpose", b"[1]", NOW)) == [1]


@pytest.mark.parametrize("options", KINDS)
def test_interfaces_give_one(clock: Clock, options: dict[str, t.Any]) -> None:
    serializer = serializer_with(**options)
    assert isinstance(serializer, itsdangerous.URLSafeTimedSerializer)
    assert isinstance(serializer, EncryptedSerializer)
    token = serializer.dumps({"a": (1, 2)})
    assert "." not in token
    assert serializer.loads(token, max_age=0) == {"a": (1, 2)}


def test_the_way_back_is_one_that_signs(clock: Clock) -> None:
    serializer = serializer_with(accept_encrypted=True)
    assert isinstance(serializer, itsdangerous.URLSafeTimedSerializer)
    token = serializer.dumps({"a": 1})
    assert serializer_with().loads(token) == {"a": 1}
    assert serializer.make_signer().validate(token)
    encrypted = serializer_with(encrypt=True).dumps({"a": 1})
    assert serializer.loads(encrypted, max_age=1, return_timestamp=True)[0] == {"a": 1}
    assert serializer.loads_unsafe(encrypted) == (True, {"a": 1})
    assert serializer.loads_unsafe(encrypted[:-1]) == (False, None)


def test_times(clock: Clock) -> None:
    serializer = EncryptedSerializer("key", "salt", "purpose")
    token = serializer.dumps(1)
    date = datetime.fromtimestamp(NOW, timezone.utc)
    assert serializer.loads(token, return_timestamp=True) == (1, date)
    for age, text in [(61, "Signature age 61 > 60 seconds"), (-1, "Signature age -1 < 0 seconds")]:
        clock.now = NOW + age
        with pytest.raises(itsdangerous.SignatureExpired) as caught:
            serializer.loads(token, max_age=60)
        assert (str(caught.value), caught.value.date_signed, caught.value.payload) == (text, date, None)
        assert serializer.loads_unsafe(token, max_age=60) == (False, 1)
        assert serializer.loads(token) == 1
    clock.now = NOW + 60
    assert serializer.loads(token, max_age=60) == 1


@pytest.mark.parametrize("token", ["", "A", "AAAA", "a.b.c", b"AQ", bytearray(b"AQ"), "é", "\0"])
def test_other_tokens_are_bad_signatures(token: t.Any) -> None:
    for serializer in (
        EncryptedSerializer("key", "salt", "purpose"),
        serializer_with(encrypt=True, accept_signed=True),
    ):
        with pytest.raises(itsdangerous.BadSignature):
            serializer.loads(token)
        assert serializer.loads_unsafe(token) == (False, None)


def test_tokens_that_are_no_text_are_type_errors() -> None:
    for token in (5, None, ["AQ"]):
        with pytest.raises(TypeError):
            EncryptedSerializer("key", "salt", "purpose").loads(t.cast(t.Any, token))


def test_texts_that_are_no_json_are_bad_payloads() -> None:
    serializer = EncryptedSerializer("key", "salt", "purpose")
    for text in (b"", b"{", b"\xff"):
        token = reference.seal(b"key", b"salt", b"purpose", text, NOW)
        with pytest.raises(itsdangerous.BadPayload):
            serializer.loads(token)
        assert serializer.loads_unsafe(token) == (False, None)


@pytest.mark.parametrize("options", KINDS)
def test_it_signs_nothing(options: dict[str, t.Any]) -> None:
    for serializer in (serializer_with(**options), EncryptedSerializer("key", "salt", "purpose")):
        for method in (serializer.make_signer, serializer.iter_unsigners):
            for arguments in ((), ("salt",)):
                with pytest.raises(TypeError):
                    method(*arguments)


def test_salts_of_a_call() -> None:
    serializer = EncryptedSerializer("key", "salt", "purpose")
    token = serializer.dumps(1, salt="other")
    assert serializer.loads(token, salt=b"other") == 1
    assert serializer.loads_unsafe(token) == (False, None)
    assert EncryptedSerializer("key", "other", "purpose").loads(token) == 1
    assert EncryptedSerializer("key", None, "purpose").loads(
        EncryptedSerializer("key", "itsdangerous.Signer", "purpose").dumps(1)
    )
    file = io.StringIO()
    serializer.dump(1, file, salt="other")
    for load in (serializer.load, lambda file, salt: serializer.load_unsafe(file, salt)[1]):
        file.seek(0)
        assert load(file, salt="other") == 1


def test_keys() -> None:
    rotated = EncryptedSerializer(t.cast("list[str]", ["oldest", b"old", "new"]), "salt", "purpose")
    for key in ("oldest", "old", "new"):
        assert rotated.loads(EncryptedSerializer(key, "salt", "purpose").dumps(1)) == 1
    assert EncryptedSerializer("new", "salt", "purpose").loads(rotated.dumps(1)) == 1
    rotated.secret_keys.pop(0)
    assert rotated.loads_unsafe(EncryptedSerializer("oldest", "salt", "purpose").dumps(1)) == (False, None)
    for keys in ("", b"", [], [""], ["a", b""], [1], [None]):
        with pytest.raises(ValueError, match="key"):
            EncryptedSerializer(t.cast(t.Any, keys), "salt", "purpose")


def test_serializers_of_all_sorts() -> None:
    class Bytes:
        @staticmethod
        def dumps(value: t.Any) -> bytes:
            return json.dumps(value).encode("utf-16")

        @staticmethod
        def loads(text: bytes) -> t.Any:
            return json.loads(text.decode("utf-16"))

    for serializer in (None, json, Bytes):
        encrypted = EncryptedSerializer("key", "salt", "purpose", serializer=serializer)
        assert encrypted.loads(encrypted.dumps({"ä": [1]})) == {"ä": [1]}
        with pytest.raises(TypeError):
            encrypted.dumps(object())


@pytest.mark.parametrize("options", [*KINDS, {"accept_encrypted": True}])
def test_copies(options: dict[str, t.Any]) -> None:
    serializer = serializer_with(**options)
    token = serializer.dumps({"a": 1})
    copies = [copy.copy(serializer), copy.deepcopy(serializer)]
    copies += [pickle.loads(pickle.dumps(serializer, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for each in copies:
        assert each.loads(token) == {"a": 1}
        assert serializer.loads(each.dumps(2)) == 2


def test_interfaces_may_be_copied(clock: Clock) -> None:
    interface = FastSessionInterface(encrypt=True)
    app = make_app(interface)
    token = interface.get_signing_serializer(app).dumps({"a": 1})  # type: ignore[union-attr]
    copies: list[t.Any] = [copy.copy(interface), copy.deepcopy(interface), pickle.loads(pickle.dumps(interface))]
    for each in copies:
        assert each.get_signing_serializer(app).loads(token) == {"a": 1}
