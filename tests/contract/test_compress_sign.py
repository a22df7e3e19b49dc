"""C49-C53: from JSON to a token."""

from __future__ import annotations

import base64
import functools
import hashlib
import random
import string
import subprocess
import sys
import time
import typing as t
import zlib

import itsdangerous
import pytest

from .parity import NOW
from .parity import SECRET_KEY
from .parity import Interface
from .parity import dumps
from .parity import encoded_second
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import serializer_of
from .parity import snapshot
from .parity import store


def words(length: int, letters: int, seed: int = 1) -> str:
    """Text that compresses the better the fewer letters it has."""
    return "".join(random.Random(seed).choices(string.ascii_letters[:letters], k=length))


def signed_part(token: str) -> list[str]:
    return token.rsplit(".", 2)


@pytest.mark.contract("C49")
@pytest.mark.parametrize("letters", [1, 2, 3, 4, 8, 52])
def test_what_is_compressed(parity, letters):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        return [serializer.dumps({"v": words(length, letters, length)}) for length in range(150)]

    is_compressed = [token.startswith(".") for token in parity(scenario).value]
    assert not is_compressed[0]
    assert is_compressed[-1]


@pytest.mark.contract("C49")
def test_compression_must_win_two_bytes(parity):
    """Around the rule: texts that lose one byte, keep their length, win one, and win two."""
    wins = set()
    for length, letters in [(length, letters) for length in range(12, 60) for letters in (1, 2, 3)]:
        value = words(length, letters, length)
        token = parity(lambda interface_class, value=value: dumps(interface_class, value)).value
        text = f'"{value}"'.encode()
        win = len(text) - len(zlib.compress(text))
        assert token.startswith(".") is (win > 1)
        wins.add(win)
    assert {0, 1, 2} <= wins


SAMPLES: dict[str, t.Any] = {
    "nothing": {},
    "one string": {"user_id": "42"},
    "a login": {"_fresh": True, "_id": "0" * 128, "_user_id": "42", "csrf_token": hashlib.sha1(b"x").hexdigest()},
    "flashes": {"_flashes": [("message", "Welcome!"), ("error", "Wrong password.")] * 3},
    "words": {"text": " ".join(words(5, 9, seed) for seed in range(700))},
    "numbers": {"n": list(range(3000))},
    "noise": {"b": random.Random(1).randbytes(3000)},
    "umlauts": {"t": "äöü€😀" * 200},
    "one letter": {"t": "a" * 100_000},
    "64 KB": {"t": words(1 << 16, 20)},
    "1 MB": {"t": words(1 << 20, 52)},
}


ZLIB = f"{'zlib-ng' if 'ng' in zlib.ZLIB_RUNTIME_VERSION else 'classic zlib'} {zlib.ZLIB_RUNTIME_VERSION}"


@pytest.mark.contract("C50")
@pytest.mark.parametrize("value", SAMPLES.values(), ids=[f"{name}, {ZLIB}" for name in SAMPLES])
def test_compressed_bytes_are_those_of_the_interpreter(parity, value):
    token = parity(lambda interface_class: dumps(interface_class, value)).value
    assert parity(lambda interface_class: loads(interface_class, token)).value == value


WITH_ANOTHER_ZLIB = """
import time, zlib
time.time = lambda: 1700000000
if {version!r}:
    zlib.ZLIB_RUNTIME_VERSION = {version!r}
else:
    plain_compress = zlib.compress
    zlib.compress = lambda data: plain_compress(data, 1)
import flask, flask.sessions, flask_fastsession
for interface in flask.sessions.SecureCookieSessionInterface(), flask_fastsession.FastSessionInterface():
    app = flask.Flask("app")
    app.secret_key = "key"
    serializer = interface.get_signing_serializer(app)
    print(serializer.dumps({{"text": "the same, the same, another, the same, another, the same" * 9, "tuple": (1,)}}))
    print(serializer.loads(serializer.dumps({{"text": "the same" * 99}})))
    app.session_interface = interface
    app.add_url_rule("/<int:count>", view_func=lambda count: flask.session.update(text="the same" * count) or "done")
    client = app.test_client()
    # The third finds what the second has left.
    print([client.get(path).headers["Set-Cookie"] for path in ("/1", "/99", "/99")])
print(interface.stats()["save"], interface.stats()["dumps"])
"""


@pytest.mark.contract("C50")
@pytest.mark.parametrize("version", ["1.3.1.zlib-ng", ""], ids=["another zlib", "an old name for other bytes"])
def test_another_zlib_of_the_interpreter_is_used(version):
    """In a process of its own, since what the interpreter links is found out on import."""
    script = WITH_ANOTHER_ZLIB.format(version=version)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, stats = done.stdout.splitlines()
    assert lines[:3] == lines[3:]
    # A text that no zlib can make shorter is not tried, and a payload that still says the same is kept.
    assert stats == "{'native': 3, 'declined': {}} {'native': 2, 'declined': {'zlib': 3}}"


@pytest.mark.contract("C51")
@pytest.mark.parametrize("second", [0, 1, 255, 256, 65_535, 65_536, 2**24, 2**31, 2**32 - 1])
def test_the_timestamp_is_stripped_of_zeros(parity, clock, second):
    clock.now = second
    token = parity(lambda interface_class: dumps(interface_class, {"n": 1})).value
    stamp = signed_part(token)[1]
    assert stamp == encoded_second(second).decode()
    assert int.from_bytes(base64.urlsafe_b64decode(stamp + "=="), "big") == second


@pytest.mark.contract("C51")
@pytest.mark.parametrize("length", range(9))
def test_base64_has_no_padding(parity, length):
    token = parity(lambda interface_class: dumps(interface_class, {"v": "?>~" * length + "é" * (length % 3)})).value
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")


DERIVATIONS = ["hmac", "concat", "django-concat", "none", None]
SALTS = ["cookie-session", "", "é", b"\xff", None]


def interface_with(interface_class: type[Interface], **attributes: t.Any) -> t.Any:
    return type("Custom", (interface_class,), attributes)()


def tokens_and_readings(interface: Interface, key: t.Any) -> object:
    """What an interface writes, and what stock with the same attributes makes of it."""
    app = make_app(interface, SECRET_KEY=key)
    serializer = serializer_of(app)
    token = outcome_of(serializer.dumps, {"n": (1,)})
    return token, outcome_of(serializer.loads, token.value), exchange(app, store(n=1))


@pytest.mark.contract("C52")
@pytest.mark.parametrize("key_derivation", DERIVATIONS)
@pytest.mark.parametrize("salt", SALTS)
@pytest.mark.parametrize("key", ["key", b"\x00" * 64, "long" * 40, "é"])
def test_derivations_and_salts(parity, key_derivation, salt, key):
    def scenario(interface_class):
        interface = interface_with(interface_class, key_derivation=key_derivation, salt=salt)
        return tokens_and_readings(interface, key)

    assert parity(scenario).value[1].value == {"n": (1,)}


@pytest.mark.contract("C52")
@pytest.mark.parametrize(("attribute", "value"), [("key_derivation", "django-concat"), ("salt", "itsdangerous.Signer")])
def test_what_none_means(interface_class, clock, attribute, value):
    tokens = []
    for chosen in (None, value):
        interface = interface_with(interface_class, **{attribute: chosen})
        tokens.append(serializer_of(make_app(interface)).dumps({"n": 1}))
    assert tokens[0] == tokens[1]


@pytest.mark.contract("C52")
@pytest.mark.parametrize(
    "key_derivation", ["", "HMAC", "other", 7, b"hmac", ["hmac"], type("Name", (str,), {})("hmac")]
)
def test_odd_derivations(parity, key_derivation):
    def scenario(interface_class):
        return tokens_and_readings(interface_with(interface_class, key_derivation=key_derivation), "key")

    error = parity(scenario).value[0].error
    assert type(error) is TypeError or key_derivation == "hmac"


@pytest.mark.contract("C52")
@pytest.mark.parametrize("salt", [7, bytearray(b"x"), memoryview(b"x"), "\ud800", type("Salt", (str,), {})("x"), ["x"]])
def test_odd_salts(parity, salt):
    def scenario(interface_class):
        serializer = outcome_of(serializer_of, make_app(interface_class()))
        with_salt = [
            outcome_of(serializer.value.dumps, {}, salt),
            outcome_of(serializer.value.loads, "a.b.c", salt=salt),
        ]
        return with_salt, outcome_of(tokens_and_readings, interface_with(interface_class, salt=salt), "key")

    parity(scenario)


def lazily_named(data: bytes = b"") -> t.Any:
    return hashlib.new("sha256", data)


def seeded(data: bytes = b"") -> t.Any:
    return hashlib.sha1(b"seed" + data)


class Sha1LikeByName:
    """Says it is SHA-1, and is not."""

    name = "sha1"
    digest_size = 20
    block_size = 64

    def __init__(self, data: bytes = b"") -> None:
        self.inner = hashlib.blake2b(data, digest_size=20)

    def update(self, data: bytes) -> None:
        self.inner.update(data)

    def copy(self) -> Sha1LikeByName:
        twin = Sha1LikeByName()
        twin.inner = self.inner.copy()
        return twin

    def digest(self) -> bytes:
        return self.inner.digest()


def refusing(data: bytes = b"") -> t.NoReturn:
    raise ValueError("disabled for FIPS")


DIGESTS: dict[str, t.Any] = {
    "sha1": hashlib.sha1,
    "sha224": hashlib.sha224,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
    "sha3_256": hashlib.sha3_256,
    "sha3_512": hashlib.sha3_512,
    "blake2b": hashlib.blake2b,
    "blake2s": hashlib.blake2s,
    "shake_128": hashlib.shake_128,
    # Bare in a class, these warn at each reading since Python 3.13, and we read them once more than stock.
    "partial": staticmethod(functools.partial(hashlib.new, "sha256")),
    "partial of a small blake2b": staticmethod(functools.partial(hashlib.blake2b, digest_size=20)),
    "staticmethod": staticmethod(lazily_named),
    "lambda": staticmethod(lambda data=b"": hashlib.sha512(data)),
    "unbound": lazily_named,
    "seeded": staticmethod(seeded),
    "lying": Sha1LikeByName,
    "refusing": staticmethod(refusing),
    "name": "sha256",
    "name in capitals": "SHA1",
    "unknown name": "no such digest",
    "module": hashlib,
    "none": None,
    "int": 7,
}


@pytest.mark.contract("C53")
@pytest.mark.parametrize("digest_method", DIGESTS.values(), ids=list(DIGESTS))
@pytest.mark.parametrize("key_derivation", DERIVATIONS)
def test_digests_of_all_sorts(parity, digest_method, key_derivation):
    def scenario(interface_class):
        attributes = {"digest_method": digest_method, "key_derivation": key_derivation}
        return tokens_and_readings(interface_with(interface_class, **attributes), "key")

    parity(scenario)


@pytest.mark.contract("C53")
def test_a_policy_against_sha1_is_obeyed(parity, monkeypatch):
    monkeypatch.setattr(hashlib, "sha1", refusing)

    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY="a key that was not used before")
        return exchange(app, snapshot), exchange(app, snapshot, "a.b.abcd"), exchange(app, store(n=1))

    _, opened, saved = parity(scenario).value
    assert opened.status == saved.status == "500 INTERNAL SERVER ERROR"


@pytest.mark.contract("C53")
def test_another_digest_does_not_verify(parity):
    token = dumps(Interface, {"n": 1})

    def scenario(interface_class):
        interface = interface_with(interface_class, digest_method=hashlib.sha256)
        return exchange(make_app(interface), snapshot, token)

    assert parity(scenario).value.seen[0][0] == {}


@pytest.mark.contract("C51", "C52")
def test_the_token_is_what_itsdangerous_would_make(interface_class, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    token = dumps(interface_class, {"user": "ada"})
    signer = itsdangerous.TimestampSigner(
        SECRET_KEY, salt="cookie-session", key_derivation="hmac", digest_method=hashlib.sha1
    )
    assert signer.sign(base64.urlsafe_b64encode(b'{"user":"ada"}').rstrip(b"=")).decode() == token
