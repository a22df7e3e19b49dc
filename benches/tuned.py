"""How far careful pure Python gets: the honest baseline beside stock.

It keeps what stock makes anew at each call, goes straight to the C parts of the standard library, and leaves to stock
whatever is not plain. It is right for the sessions of these benchmarks, but it trusts an app not to replace Flask's
hooks, tags or JSON provider, and so is never shipped.
"""

from __future__ import annotations

import binascii
import hmac
import time
import typing as t
import uuid
import zlib
from datetime import datetime
from functools import lru_cache
from json import JSONDecoder
from json import JSONEncoder

from flask import Flask
from flask import Request
from flask import Response
from flask.json.tag import TagBytes
from flask.json.tag import TagDateTime
from flask.json.tag import TaggedJSONSerializer
from flask.json.tag import TagMarkup
from flask.json.tag import TagUUID
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin
from itsdangerous import BadSignature
from itsdangerous import URLSafeTimedSerializer
from markupsafe import Markup
from werkzeug.http import dump_cookie
from werkzeug.http import http_date

STOCK_TAGS = TaggedJSONSerializer()
PLAIN = frozenset({str, int, float, bool, type(None)})
TAG_BY_TYPE: dict[type, t.Callable[[t.Any], t.Any]] = {
    bytes: TagBytes(STOCK_TAGS).tag,
    Markup: TagMarkup(STOCK_TAGS).tag,
    uuid.UUID: TagUUID(STOCK_TAGS).tag,
    datetime: TagDateTime(STOCK_TAGS).tag,
}
# A tag is a key that begins with a space: compact JSON without this text has nothing to untag.
TAG_MARK = '{" '

TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


# --- Tagged JSON ------------------------------------------------------------------------------------------------------


def tag(value: t.Any) -> t.Any:
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is dict:
        if len(value) == 1 and next(iter(value)) in STOCK_TAGS.tags:
            return STOCK_TAGS.tag(value)
        if PLAIN.issuperset(map(type, value.values())):
            return value
        return {key: item if type(item) in PLAIN else tag(item) for key, item in value.items()}
    if kind is list:
        return [tag(item) for item in value]
    if kind is tuple:
        return {" t": [tag(item) for item in value]}
    return TAG_BY_TYPE.get(kind, STOCK_TAGS.tag)(value)


def untag(value: dict[str, t.Any]) -> t.Any:
    if len(value) != 1:
        return value
    key = next(iter(value))
    return STOCK_TAGS.tags[key].to_python(value[key]) if key in STOCK_TAGS.tags else value


encode = JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode
decode = JSONDecoder().raw_decode
decode_tagged = JSONDecoder(object_hook=untag).raw_decode


# --- Tokens -----------------------------------------------------------------------------------------------------------


def b64encode(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(TO_URL_SAFE).rstrip(b"=")


def b64decode(data: bytes) -> bytes:
    return binascii.a2b_base64(data.translate(FROM_URL_SAFE) + b"==")


@lru_cache(maxsize=4)
def b64_timestamp(second: int) -> bytes:
    return b64encode(second.to_bytes((second.bit_length() + 7) // 8, "big"))


class Mac:
    """HMAC under one key, from two hash states to copy; cheaper than :meth:`hmac.HMAC.copy`."""

    def __init__(self, key: bytes, digest_method: t.Callable[[], t.Any]) -> None:
        self.inner = digest_method()
        self.outer = digest_method()
        # A derived key is no longer than a block.
        key = key.ljust(self.inner.block_size, b"\0")
        self.inner.update(bytes(byte ^ 0x36 for byte in key))
        self.outer.update(bytes(byte ^ 0x5C for byte in key))

    def sign(self, message: bytes) -> bytes:
        inner = self.inner.copy()
        inner.update(message)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return t.cast(bytes, outer.digest())


class TunedSerializer(URLSafeTimedSerializer):
    """Stock's serializer with keys derived once."""

    def __init__(self, stock: URLSafeTimedSerializer) -> None:
        vars(self).update(vars(stock))
        signer = self.make_signer(self.salt)
        self.macs = [Mac(signer.derive_key(key), signer.digest_method) for key in reversed(signer.secret_keys)]

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        if salt is not None:
            return super().dumps(obj, salt)
        text = encode(tag(obj)).encode("ascii")
        deflated = zlib.compress(text)
        payload = b"." + b64encode(deflated) if len(deflated) < len(text) - 1 else b64encode(text)
        message = payload + b"." + b64_timestamp(int(time.time()))
        return (message + b"." + b64encode(self.macs[0].sign(message))).decode("ascii")

    def loads(  # type: ignore[override]
        self, s: str, max_age: int | None = None, return_timestamp: bool = False, salt: str | bytes | None = None
    ) -> t.Any:
        if salt is not None:
            return super().loads(s, max_age, return_timestamp, salt)
        message, _, signature = s.encode().rpartition(b".")
        given = b64decode(signature)
        if not any(hmac.compare_digest(mac.sign(message), given) for mac in self.macs):
            raise BadSignature("Signature does not match")
        payload, _, timestamp = message.rpartition(b".")
        age = int(time.time()) - int.from_bytes(b64decode(timestamp), "big")
        if return_timestamp or (max_age is not None and not 0 <= age <= max_age):
            return super().loads(s, max_age, return_timestamp, salt)
        deflated = payload.startswith(b".")
        data = zlib.decompress(b64decode(payload[1:])) if deflated else b64decode(payload)
        text = data.decode()
        return (decode_tagged if TAG_MARK in text else decode)(text)[0]


# --- Requests and responses -------------------------------------------------------------------------------------------


class CookieTemplate(t.NamedTuple):
    """A ``Set-Cookie`` line without its value and its date: the rest of it rarely changes."""

    head: str
    middle: str
    tail: str

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, name: str, **attributes: t.Any) -> CookieTemplate:
        head, _, rest = dump_cookie(name, "VALUE", expires="DATE", **attributes).partition("VALUE")
        middle, _, tail = rest.partition("; Expires=DATE")
        return cls(head, middle, tail)


@lru_cache(maxsize=4)
def expires_at(second: int) -> str:
    return "; Expires=" + http_date(second)


class TunedSessionInterface(SecureCookieSessionInterface):
    """Stock's interface with serializers and header lines kept from one request to the next."""

    def __init__(self) -> None:
        self.serializers: dict[t.Any, TunedSerializer] = {}

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        fallbacks = app.config["SECRET_KEY_FALLBACKS"]
        state = (app.secret_key, tuple(fallbacks or ()), self.salt, self.key_derivation, self.digest_method)
        serializer = self.serializers.get(state)
        if serializer is None:
            stock = super().get_signing_serializer(app)
            if stock is None:
                return None
            serializer = self.serializers[state] = TunedSerializer(stock)
        return serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        serializer = self.get_signing_serializer(app)
        if serializer is None:
            return None
        token = find_cookie(request, self.get_cookie_name(app))
        if not token:
            return self.session_class()
        max_age = int(app.permanent_session_lifetime.total_seconds())
        try:
            return self.session_class(serializer.loads(token, max_age=max_age))
        except BadSignature:
            return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not session:
            return super().save_session(app, session, response)
        if session.accessed:
            vary_on_cookie(response)
        if not self.should_set_cookie(app, session):
            return None
        serializer = self.get_signing_serializer(app)
        assert serializer is not None, "a session without a key cannot be changed"
        template = CookieTemplate.of(
            self.get_cookie_name(app),
            domain=self.get_cookie_domain(app),
            path=self.get_cookie_path(app),
            secure=self.get_cookie_secure(app),
            httponly=self.get_cookie_httponly(app),
            samesite=self.get_cookie_samesite(app),
            partitioned=self.get_cookie_partitioned(app),
        )
        lifetime = app.permanent_session_lifetime.total_seconds()
        expires = expires_at(int(time.time() + lifetime)) if session.permanent else ""
        token = serializer.dumps(dict(session))
        line = f"{template.head}{token}{template.middle}{expires}{template.tail}"
        if len(line) > response.max_cookie_size:
            return super().save_session(app, session, response)
        response.headers.add("Set-Cookie", line)
        vary_on_cookie(response)


def find_cookie(request: Request, name: str) -> str | None:
    """Return the cookie from a header that holds no other; most often that spares parsing it."""
    header: str = request.environ.get("HTTP_COOKIE", "")
    found, _, value = header.partition("=")
    if found == name and value.isascii() and not any(mark in value for mark in ';" ='):
        return value
    return request.cookies.get(name)


def vary_on_cookie(response: Response) -> None:
    if "Vary" in response.headers:
        response.vary.add("Cookie")
    else:
        response.headers.add("Vary", "Cookie")
