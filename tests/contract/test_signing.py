"""The classes of :mod:`flask_fastsession.signing` beside those of itsdangerous."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import typing as t
from collections.abc import Callable

import itsdangerous
import pytest
import time_machine
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_fastsession import signing
from tests.faults.support import scaled

from .parity import exactly
from .parity import outcome_of

SIGNERS = ("Signer", "TimestampSigner")
SERIALIZERS = ("Serializer", "TimedSerializer", "URLSafeSerializer", "URLSafeTimedSerializer")

START = 1_700_000_000

keys = st.one_of(st.text(max_size=80), st.binary(max_size=200), st.lists(st.text(max_size=9), min_size=1, max_size=3))
salts = st.one_of(st.none(), st.text(max_size=20), st.binary(max_size=20))
derivations = st.sampled_from(["concat", "django-concat", "hmac", "none", None])
digests = st.sampled_from(
    [None, hashlib.sha1, hashlib.sha224, hashlib.sha256, hashlib.sha384, hashlib.sha512, hashlib.md5, hashlib.sha3_256]
)
values = st.one_of(st.text(max_size=50), st.binary(max_size=50), st.sampled_from(["a.b", b".", "é"]))
separators = st.sampled_from([".", ":", b"..", "§"])
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=20,
)


def both(name: str) -> tuple[t.Any, t.Any]:
    return getattr(itsdangerous, name), getattr(signing, name)


def check_alike(call: Callable[[t.Any], object], stock: object, ours: object) -> None:
    assert exactly(outcome_of(call, ours)) == exactly(outcome_of(call, stock))


@pytest.mark.parametrize("name", SIGNERS)
@given(key=keys, salt=salts, derivation=derivations, digest=digests, sep=separators, value=values, data=st.data())
@settings(max_examples=scaled(60, 1_000))
def test_signers_agree(
    name: str,
    key: t.Any,
    salt: t.Any,
    derivation: str | None,
    digest: t.Any,
    sep: t.Any,
    value: t.Any,
    data: st.DataObject,
) -> None:
    options = {"salt": salt, "sep": sep, "key_derivation": derivation, "digest_method": digest}
    with time_machine.travel(START, tick=False):
        stock, ours = (make(key, **options) for make in both(name))
        signed = stock.sign(value)
        check_alike(lambda signer: signer.sign(value), stock, ours)
        check_alike(lambda signer: signer.unsign(signed), stock, ours)
        at = data.draw(st.integers(0, len(signed) - 1))
        tampered = signed[:at] + bytes([signed[at] ^ data.draw(st.integers(1, 255))]) + signed[at + 1 :]
        check_alike(lambda signer: signer.unsign(tampered), stock, ours)
        check_alike(lambda signer: signer.validate(tampered), stock, ours)
        check_alike(lambda signer: signer.unsign(value), stock, ours)
        check_alike(lambda signer: signer.verify_signature(value, tampered), stock, ours)


@pytest.mark.parametrize("name", SERIALIZERS)
@given(key=keys, salt=salts, digest=digests, value=json_values, data=st.data())
@settings(max_examples=scaled(60, 1_000))
def test_serializers_agree(
    name: str, key: t.Any, salt: t.Any, digest: t.Any, value: object, data: st.DataObject
) -> None:
    with time_machine.travel(START, tick=False) as clock:
        options: dict[str, t.Any] = {"signer_kwargs": {"digest_method": digest}}
        if salt is not None:
            options["salt"] = salt
        stock, ours = (make(key, **options) for make in both(name))
        token = stock.dumps(value)
        check_alike(lambda serializer: serializer.dumps(value), stock, ours)
        check_alike(lambda serializer: serializer.dumps(value, salt="another"), stock, ours)
        check_alike(lambda serializer: serializer.loads(token), stock, ours)
        check_alike(lambda serializer: serializer.loads(token, salt="another"), stock, ours)
        check_alike(lambda serializer: serializer.loads_unsafe(token, salt="another"), stock, ours)
        at = data.draw(st.integers(0, len(token) - 1))
        tampered = token[:at] + data.draw(st.sampled_from("aZ_.=")) + token[at + 1 :]
        check_alike(lambda serializer: serializer.loads(tampered), stock, ours)
        if "Timed" in name:
            clock.move_to(START + data.draw(st.integers(-3, 3)))
            check_alike(lambda serializer: serializer.loads(token, max_age=2), stock, ours)
            check_alike(lambda serializer: serializer.loads(token, return_timestamp=True), stock, ours)


class Reversing(itsdangerous.signer.SigningAlgorithm):
    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return bytes(reversed(key + value))


@pytest.mark.parametrize("name", SIGNERS)
def test_hooks_of_signers_are_obeyed(name: str) -> None:
    stock_class, our_class = both(name)

    def custom(base: t.Any) -> t.Any:
        class Custom(base):
            default_digest_method = staticmethod(hashlib.sha512)

            def derive_key(self, secret_key: t.Any = None) -> bytes:
                return b"always the same"

        return Custom("key")

    def with_attribute(attribute: str, value: object) -> Callable[[t.Any], t.Any]:
        def make(base: t.Any) -> t.Any:
            signer = base("key")
            setattr(signer, attribute, value)
            return signer

        return make

    def with_algorithms_attribute(base: t.Any) -> t.Any:
        signer = base("key")
        signer.algorithm.get_signature = lambda key, value: b"put here"
        return signer

    makers: list[Callable[[t.Any], t.Any]] = [
        custom,
        lambda base: base("key", algorithm=Reversing()),
        lambda base: base("key", algorithm=itsdangerous.NoneAlgorithm()),
        lambda base: base("key", algorithm=itsdangerous.HMACAlgorithm(hashlib.sha256)),
        lambda base: base("key", key_derivation="unknown"),
        with_attribute("derive_key", lambda secret_key=None: b"put here"),
        with_attribute("salt", b"changed"),
        with_attribute("secret_keys", [b"changed", b"newer"]),
        with_attribute("digest_method", hashlib.sha256),
        with_attribute("algorithm", Reversing()),
        with_algorithms_attribute,
    ]
    with time_machine.travel(START, tick=False):
        for make in makers:
            stock, ours = make(stock_class), make(our_class)
            check_alike(lambda signer: signer.sign("value"), stock, ours)
            signed = outcome_of(stock.sign, "value").value
            if signed is not None:
                check_alike(lambda signer, signed=signed: signer.unsign(signed), stock, ours)


class Json:
    """The module :mod:`json`, which itself cannot be copied."""

    dumps = staticmethod(json.dumps)
    loads = staticmethod(json.loads)


@pytest.mark.parametrize("name", SIGNERS + SERIALIZERS)
def test_they_are_copied_and_pickled(name: str) -> None:
    stock_class, our_class = both(name)
    options = {} if name in SIGNERS else {"serializer": Json()}
    ours = our_class("key", salt="salt", **options)
    assert isinstance(ours, stock_class)
    pickled = [pickle.loads(pickle.dumps(ours, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (copy.copy(ours), copy.deepcopy(ours), *pickled):
        assert type(twin) is our_class
        if name in SIGNERS:
            assert twin.unsign(stock_class("key", salt="salt").sign("value")) == b"value"
        else:
            assert twin.loads(stock_class("key", salt="salt", **options).dumps([1])) == [1]


@pytest.mark.parametrize("name", ["Serializer", "TimedSerializer"])
def test_they_are_generic(name: str) -> None:
    stock_class, our_class = both(name)
    assert stock_class[str]("key").loads(our_class[str]("key").dumps([1])) == [1]


def test_keys_are_rotated() -> None:
    for name in SIGNERS:
        stock_class, our_class = both(name)
        old = stock_class("old").sign("value")
        ours = our_class(["old", "new"])
        assert ours.unsign(old) == b"value"
        ours.secret_keys.remove(b"old")
        with pytest.raises(itsdangerous.BadSignature):
            ours.unsign(old)
