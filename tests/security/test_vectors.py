"""The known answers in ``vectors``, asked of stock and of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
import zlib
from pathlib import Path

import pytest
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode

from flask_fastsession import FastSessionInterface
from tests.differential.codec.comparison import described

from .vectors import make_vectors
from .vectors.make_vectors import Vector

VECTORS = Path(make_vectors.__file__).parent
EVIDENCE = {"exception", "message", "payload", "date_signed", "original_error"}


def vectors_of(name: str, at_least: int) -> list[Vector]:
    contents = json.loads((VECTORS / name).read_text("utf-8"))
    assert contents["defaults"] == make_vectors.DEFAULTS
    assert len(contents["vectors"]) >= at_least
    return t.cast("list[Vector]", contents["vectors"])


def each(vectors: list[Vector]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=[vector["description"] for vector in vectors])


GENERATE = vectors_of("generate.json", 40)
VERIFY = vectors_of("verify.json", 40)
INVALID = vectors_of("invalid.json", 60)


@pytest.fixture(params=[SecureCookieSessionInterface, FastSessionInterface], ids=["stock", "ours"])
def interface(request: pytest.FixtureRequest) -> SecureCookieSessionInterface:
    return t.cast(SecureCookieSessionInterface, request.param())


def is_deflated(token: str) -> bool:
    return token.startswith(".")


def data_in(token: str) -> bytes:
    return base64_decode(token.lstrip(".").split(".")[0])


def text_in(token: str) -> str:
    """The JSON text that a token carries."""
    return (zlib.decompress(data_in(token)) if is_deflated(token) else data_in(token)).decode()


DEFLATED = [vector for vector in GENERATE if is_deflated(vector["token"])]

#: Whether this zlib deflates to the bytes that zlib itself does. Others, such as zlib-ng, do not, though all read all.
IS_CLASSIC_ZLIB = all(zlib.compress(vector["json"].encode()) == data_in(vector["token"]) for vector in DEFLATED)

needs_classic_zlib = pytest.mark.skipif(
    not IS_CLASSIC_ZLIB,
    reason=f"zlib is {zlib.ZLIB_RUNTIME_VERSION}: deflated tokens were compared with stock's of today",
)


def loaded(interface: SecureCookieSessionInterface, vector: Vector, token: t.Any) -> t.Any:
    """What ``loads`` gives, or raises, in a form to be compared."""

    def load(serializer: URLSafeTimedSerializer) -> t.Any:
        return serializer.loads(token, max_age=vector.get("max_age"), return_timestamp=True)

    with make_vectors.prepared(interface, vector) as serializer:
        try:
            return described(load(serializer))
        except Exception as error:
            return described(error)


@each(GENERATE)
def test_generate(interface: SecureCookieSessionInterface, vector: Vector) -> None:
    expected = vector
    if is_deflated(vector["token"]) and not IS_CLASSIC_ZLIB:
        expected = make_vectors.generated(SecureCookieSessionInterface(), vector)
    answer = make_vectors.generated(interface, vector)
    assert answer == {"json": vector["json"], "token": expected["token"]}
    assert text_in(answer["token"]) == vector["json"]


@needs_classic_zlib
def test_deflated_tokens_were_among_them() -> None:
    assert len(DEFLATED) >= 10


@each(VERIFY)
def test_verify(interface: SecureCookieSessionInterface, vector: Vector) -> None:
    answer = make_vectors.verified(interface, vector)
    assert answer == {"json": vector["json"], "signed": vector["signed"]}


@each(INVALID)
def test_invalid(interface: SecureCookieSessionInterface, vector: Vector) -> None:
    answer = make_vectors.refused(interface, vector)
    assert answer == {name: vector[name] for name in EVIDENCE & vector.keys()}


@each(VERIFY + INVALID)
def test_all_the_rest_is_as_with_stock(vector: Vector) -> None:
    """Types and texts that the files do not tell, also where the token comes as bytes."""
    tokens = [vector["token"]]
    if "\ud800" not in vector["token"]:
        tokens += [vector["token"].encode(), bytearray(vector["token"].encode())]
    for token in tokens:
        assert loaded(FastSessionInterface(), vector, token) == loaded(SecureCookieSessionInterface(), vector, token)


@needs_classic_zlib
def test_the_vectors_are_those_of_this_stock() -> None:
    subprocess.run([sys.executable, make_vectors.__file__, "--check"], check=True)
