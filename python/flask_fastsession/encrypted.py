"""The serializers of interfaces whose cookies are encrypted, or were, or will be.

Each is an :class:`itsdangerous.URLSafeTimedSerializer`, which code that calls ``get_signing_serializer`` relies on.
"""

from __future__ import annotations

import typing as t
import zlib

import itsdangerous
from flask import Flask
from itsdangerous.encoding import base64_decode

from .signing import EncryptedSerializer
from .signing import URLSafeTimedSerializer

if t.TYPE_CHECKING:
    from flask import Response

    from .interface import FastSessionInterface


class EncryptedOrSignedSerializer(EncryptedSerializer):
    """Encrypts, and reads signed tokens as well: ``encrypt=True, accept_signed=True``."""

    _signed: URLSafeTimedSerializer

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        if is_signed(s):
            return self._signed.loads(s, max_age, return_timestamp, salt)
        return super().loads(s, max_age, return_timestamp, salt)

    def loads_unsafe(  # type: ignore[override]
        self, s: str | bytes, max_age: int | None = None, salt: str | bytes | None = None
    ) -> tuple[bool, t.Any]:
        if is_signed(s):
            return self._signed.loads_unsafe(s, max_age, salt)
        return super().loads_unsafe(s, max_age, salt)

    def _is_current(self, token: str | bytes) -> bool:
        return not is_signed(token) and super()._is_current(token)


class SignedOrEncryptedSerializer(itsdangerous.URLSafeTimedSerializer):
    """Signs, and reads encrypted tokens as well: ``accept_encrypted=True``."""

    _signed: URLSafeTimedSerializer
    _encrypted: EncryptedSerializer

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        return self._signed.dumps(obj, salt)

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        serializer = self._signed if is_signed(s) else self._encrypted
        return serializer.loads(s, max_age, return_timestamp, salt)

    def loads_unsafe(  # type: ignore[override]
        self, s: str | bytes, max_age: int | None = None, salt: str | bytes | None = None
    ) -> tuple[bool, t.Any]:
        serializer = self._signed if is_signed(s) else self._encrypted
        return serializer.loads_unsafe(s, max_age, salt)

    def _is_current(self, token: str | bytes) -> bool:
        signer = self._signed.make_signer(self._signed.salt)
        signer.secret_keys = signer.secret_keys[-1:]
        return is_signed(token) and signer.validate(token)


def is_signed(token: str | bytes) -> bool:
    """Return whether a token can only be a signed one. Encrypted tokens have no dot."""
    return b"." in itsdangerous.want_bytes(token)


def make_serializer(
    interface: FastSessionInterface, app: Flask, signed: itsdangerous.URLSafeTimedSerializer | None
) -> itsdangerous.URLSafeTimedSerializer | None:
    """Return the serializer of an interface that encrypts, or reads what is encrypted; ``None`` without a secret key.

    ``signed`` is the interface's serializer for signed cookies, if it signs or reads them. Raise :exc:`ValueError` for
    keys that cannot encrypt.
    """
    if not app.secret_key:
        return None
    options = interface._options
    if options.encrypt and signed is None:
        return new_serializer(interface, app, EncryptedSerializer)
    if options.encrypt:
        both = new_serializer(interface, app, EncryptedOrSignedSerializer)
        both._signed = t.cast(URLSafeTimedSerializer, signed)
        return both
    if signed is None:
        return None
    back = SignedOrEncryptedSerializer.__new__(SignedOrEncryptedSerializer)
    vars(back).update(vars(signed))
    back._signed = t.cast(URLSafeTimedSerializer, signed)
    back._encrypted = new_serializer(interface, app, EncryptedSerializer)
    return back


TEncrypted = t.TypeVar("TEncrypted", bound=EncryptedSerializer)


def new_serializer(interface: FastSessionInterface, app: Flask, kind: type[TEncrypted]) -> TEncrypted:
    between = interface._serializer_between(app)
    if between is None:
        inputs: tuple[t.Any, ...] = secret_keys_of(app), interface.salt, interface.serializer
    else:
        inputs = between.secret_keys, between.salt, between.serializer
    secret_keys, salt, json = inputs
    serializer = kind(secret_keys, salt, interface.get_cookie_name(app), json)
    serializer._compress = interface._options.compress
    serializer._counters = interface._counters
    serializer._derived = None
    return serializer


def secret_keys_of(app: Flask) -> list[t.Any]:
    """Return the keys of an app, oldest first, as Flask passes them to itsdangerous."""
    # Flask 3.0 has no fallback keys.
    fallbacks = app.config["SECRET_KEY_FALLBACKS"] if "SECRET_KEY_FALLBACKS" in Flask.default_config else None
    if isinstance(fallbacks, str | bytes):
        raise ValueError(
            "SECRET_KEY_FALLBACKS must be a list of keys: each character of a text would be a key by itself"
        )
    keys: list[t.Any] = []
    if fallbacks:
        keys.extend(fallbacks)
    return [*keys, app.secret_key]


def count_if_too_large(interface: FastSessionInterface, response: Response, token: t.Any) -> None:
    """Count a cookie that was signed, and would be larger than ``MAX_COOKIE_SIZE`` if it were encrypted."""
    limit = response.max_cookie_size
    lines = [line for line in response.headers.getlist("Set-Cookie") if str(token) in line]
    if limit and lines and len(lines[-1]) - len(token) + length_when_encrypted(token) > limit:
        interface._counters._count_too_large_when_encrypted()


def length_when_encrypted(token: str) -> int:
    """Return the length of the encrypted form of a signed token, both in characters."""
    payload = token.rsplit(".", 2)[0]
    text = base64_decode(payload.removeprefix("."))
    size = len(zlib.decompress(text) if payload.startswith(".") else text)
    # Version, nonce, seconds and tag are beside the text; base64 makes four characters of three bytes.
    return ((1 + 24 + 8 + 16 + size) * 4 + 2) // 3
