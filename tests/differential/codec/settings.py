"""How apps and interfaces are set up: tables of what there is, and random choices of it."""

from __future__ import annotations

import decimal
import functools
import hashlib
import json
import math
import random
import typing as t
from dataclasses import dataclass
from dataclasses import fields

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask.json.provider import JSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask.json.tag import TagTuple
from flask.sessions import SecureCookieSessionInterface

from .odd_types import Text

NOW = 1_700_000_000.25


class OwnDefault(DefaultJSONProvider):
    @staticmethod
    def default(value: t.Any) -> t.Any:
        return sorted(value) if isinstance(value, (set, frozenset)) else DefaultJSONProvider.default(value)


class OwnDumps(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **{**kwargs, "separators": (", ", ": ")})


class OwnLoads(DefaultJSONProvider):
    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, parse_float=decimal.Decimal, **kwargs)


def type_name(value: t.Any) -> str:
    return type(value).__name__


def with_options(app: Flask, **options: t.Any) -> JSONProvider:
    provider = DefaultJSONProvider(app)
    vars(provider).update(options)
    return provider


PROVIDERS: dict[str, t.Callable[[Flask], JSONProvider]] = {
    "Flask's": with_options,
    "unsorted": functools.partial(with_options, sort_keys=False),
    "not escaping": functools.partial(with_options, ensure_ascii=False),
    "neither": functools.partial(with_options, sort_keys=0, ensure_ascii=""),
    "own default in the instance": functools.partial(with_options, default=type_name),
    "own dumps in the instance": functools.partial(with_options, dumps=lambda obj, **options: '{"own":1}'),
    "own default": OwnDefault,
    "own dumps": OwnDumps,
    "own loads": OwnLoads,
}


class TagSet(JSONTag):
    key = " s"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, (set, frozenset))

    def to_json(self, value: t.Any) -> t.Any:
        return self.serializer.tag(sorted(value))

    def to_python(self, value: t.Any) -> t.Any:
        return set(value)


class TagReversed(TagTuple):
    def to_python(self, value: t.Any) -> t.Any:
        return tuple(reversed(value))


def with_tag(tag: type[JSONTag], **how: t.Any) -> TaggedJSONSerializer:
    serializer = TaggedJSONSerializer()
    serializer.register(tag, **how)
    return serializer


class BytesSerializer:
    """Writes and reads bytes, so that tokens are bytes as well."""

    def dumps(self, value: t.Any) -> bytes:
        return json.dumps(value, default=type_name).encode()

    def loads(self, data: bytes) -> t.Any:
        return json.loads(data)


SERIALIZERS: dict[str, t.Any] = {
    "Flask's": SecureCookieSessionInterface.serializer,
    "like Flask's": TaggedJSONSerializer(),
    "one more tag": with_tag(TagSet),
    "one more tag at the front": with_tag(TagSet, index=0),
    "another tag for tuples": with_tag(TagReversed, force=True),
    "json": json,
    "bytes": BytesSerializer(),
}

SALTS = ("cookie-session", b"other", None)

FLASKS_DIGEST = SecureCookieSessionInterface.digest_method

DIGESTS: dict[str, t.Any] = {
    "Flask's": FLASKS_DIGEST,
    **{name: getattr(hashlib, name) for name in ("sha1", "sha224", "sha256", "sha384", "sha512", "md5", "sha3_256")},
    "lambda": lambda data=b"": hashlib.sha256(data),
    "partial": functools.partial(hashlib.new, "sha512"),
    "blake2s": hashlib.blake2s,
    "seeded": lambda data=b"": hashlib.sha1(b"seed" + data),
    "name": "sha256",
    "none": None,
}

#: What ``time.time`` may say: it ends natively in 2106, and by freezing clocks it may become an integer.
CLOCKS = (0.0, NOW + 0.5, 2.0**31, 2**32 - 1.0, 2.0**32, 1e12, -5.0, math.nan, "", int(NOW), 2**32, 2**64, -5)

KEYS: tuple[t.Any, ...] = ("secret", b"secret", "sécret", b"\x00\xff" * 50, "old", b"older", "k" * 64)
ODD_KEY_VALUES: tuple[t.Any, ...] = ("", None, 5, "\ud800", bytearray(b"secret"), ["a", "b"])
ODD_FALLBACKS: tuple[t.Any, ...] = ("old", b"old", ("",), {"old": 1}, [None], [5], 5)


@dataclass(frozen=True)
class Setting:
    """How an app and its interface are set up, and the time of day."""

    secret_key: t.Any = "secret"
    fallbacks: t.Any = ()
    salt: t.Any = "cookie-session"
    key_derivation: t.Any = "hmac"
    digest: str = "Flask's"
    serializer: str = "Flask's"
    provider: str = "Flask's"
    in_app_context: bool = True
    now: t.Any = NOW

    def __str__(self) -> str:
        peculiar = {key.name: getattr(self, key.name) for key in fields(self) if getattr(self, key.name) != key.default}
        return f"Setting({', '.join(f'{name}={value!r}' for name, value in peculiar.items())})"


def setting(rng: random.Random) -> Setting:
    """One as most apps have, or one with some peculiarities."""
    if rng.random() < 0.55:
        return Setting(in_app_context=rng.random() < 0.8)
    peculiar: dict[str, t.Any] = {
        "secret_key": rng.choice(KEYS if rng.random() < 0.9 else ODD_KEY_VALUES),
        "fallbacks": rng.choices(KEYS, k=rng.randrange(1, 4)) if rng.random() < 0.9 else rng.choice(ODD_FALLBACKS),
        "salt": rng.choice(("cookie-session", "", "sält", b"salt", b"\xff", None, "\ud800", 5)),
        "key_derivation": rng.choice(("concat", "django-concat", "none", None, "unknown", "HMAC", Text("hmac"))),
        "digest": rng.choice(tuple(DIGESTS)),
        "serializer": rng.choice(tuple(SERIALIZERS)),
        "provider": rng.choice(tuple(PROVIDERS)),
        "now": rng.choice(CLOCKS),
    }
    names = [name for name in peculiar if rng.random() < 0.2]
    return Setting(in_app_context=rng.random() < 0.8, **{name: peculiar[name] for name in names})
