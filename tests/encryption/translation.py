"""Signed cookies to encrypted ones and back, so that scenarios of the contract run on an interface that encrypts.

A scenario hands signed cookies to an app and compares the headers that come out with stock's. In between, a signed one
that is genuine is replaced by an encrypted one of the same text and second, and an encrypted one by what stock signs of
the same text and second. Both are done by stock and ``reference.py``, without the package, before a session is opened
and after it is saved.
"""

from __future__ import annotations

import base64
import re
import typing as t
import zlib

import flask
import itsdangerous

from flask_fastsession import FastSessionInterface

from . import reference


class EncryptedInterface(FastSessionInterface):
    """The one whose contract is compared with stock's."""

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        kwargs.setdefault("encrypt", True)
        super().__init__(*args, **kwargs)

    def open_session(self, app: flask.Flask, request: t.Any) -> t.Any:
        environ = getattr(request, "environ", None)
        header = environ.get("HTTP_COOKIE") if isinstance(environ, dict) else None
        if environ is None or header is None or "cookies" in vars(request):
            return super().open_session(app, request)
        environ["HTTP_COOKIE"] = TOKEN.sub(lambda found: encrypted(app, found[0]), header)
        try:
            return super().open_session(app, request)
        finally:
            environ["HTTP_COOKIE"] = header
            vars(request).pop("cookies", None)

    def save_session(self, app: flask.Flask, session: t.Any, response: t.Any) -> None:
        super().save_session(app, session, response)
        # What stands for a response may have other headers.
        headers: list[tuple[str, str]] = getattr(getattr(response, "headers", None), "_list", [])
        for at, (name, value) in enumerate(headers):
            if name == "Set-Cookie":
                headers[at] = name, TOKEN.sub(lambda found: signed(app, found[0]), value)


#: Where an encrypted cookie is not genuine, there is no telling whether its timestamp is.
KINDS_OF_REFUSAL: dict[type, type] = {itsdangerous.BadTimeSignature: itsdangerous.BadSignature}


def evidence_of(error: itsdangerous.BadData) -> object:
    """What an error says that is not of the bytes of a token."""
    if isinstance(error, itsdangerous.SignatureExpired):
        return str(error), error.date_signed
    if isinstance(error, itsdangerous.BadPayload):
        return type(error.original_error)
    return None


def is_encrypting(app: flask.Flask) -> bool:
    return isinstance(app.session_interface, EncryptedInterface)


def keys_of(app: flask.Flask) -> list[bytes]:
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS") or ()
    return [itsdangerous.encoding.want_bytes(key) for key in (*fallbacks, app.secret_key)]


def inputs_of(app: flask.Flask) -> tuple[bytes, bytes]:
    """The salt and the purpose of an app's cookie."""
    interface = t.cast(EncryptedInterface, app.session_interface)
    salt = b"itsdangerous.Signer" if interface.salt is None else itsdangerous.encoding.want_bytes(interface.salt)
    return salt, interface.get_cookie_name(app).encode()


def stock_signer(app: flask.Flask, key: bytes) -> t.Any:
    """Stock's signer for one key, with what the interface says of signatures."""
    interface = t.cast(EncryptedInterface, app.session_interface)
    options = {"key_derivation": interface.key_derivation, "digest_method": interface.digest_method}
    return itsdangerous.TimestampSigner(key, salt=interface.salt, **options)  # type: ignore[arg-type]


def encrypted(app: flask.Flask, token: str) -> str:
    """What an app that encrypts is given in the place of a signed cookie."""
    if not is_encrypting(app) or not app.secret_key:
        return token
    for key in keys_of(app):
        signer = stock_signer(app, key)
        try:
            signed = itsdangerous.Signer.unsign(signer, token)
            payload, timestamp = signed.rsplit(b".", 1)
            second = itsdangerous.encoding.bytes_to_int(itsdangerous.encoding.base64_decode(timestamp))
            return reference.seal(key, *inputs_of(app), unpacked(payload), second)
        except (itsdangerous.BadData, ValueError, OverflowError, zlib.error):
            continue
    return token


def unpacked(payload: bytes) -> bytes:
    text = itsdangerous.encoding.base64_decode(payload.removeprefix(b"."))
    return zlib.decompress(text) if payload.startswith(b".") else text


def signed(app: flask.Flask, token: str) -> str:
    """What stock would have made in the place of an encrypted cookie."""
    if not is_encrypting(app) or not app.secret_key:
        return token
    opened = reference.open_token(keys_of(app), *inputs_of(app), token)
    if opened is None:
        return token
    key = keys_of(app)[-1 - opened.newer_keys]
    compressed = zlib.compress(opened.text)
    is_shorter = len(compressed) < len(opened.text) - 1
    payload = base64.urlsafe_b64encode(compressed if is_shorter else opened.text).rstrip(b"=")
    timestamp = itsdangerous.encoding.base64_encode(itsdangerous.encoding.int_to_bytes(opened.seconds))
    value = (b"." if is_shorter else b"") + payload + b"." + timestamp
    return itsdangerous.Signer.sign(stock_signer(app, key), value).decode("ascii")


#: A signed or encrypted token in a header.
TOKEN = re.compile(r"\.?[\w-]+(?:\.[\w=-]+){2}|[\w-]{66,}", re.ASCII)


class Translating:
    """A serializer that encrypts, for scenarios that use it directly and know signed tokens only."""

    def __init__(self, app: flask.Flask, serializer: itsdangerous.URLSafeTimedSerializer) -> None:
        self._app = app
        self._serializer = serializer

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._serializer, name)

    def dumps(self, *args: t.Any, **kwargs: t.Any) -> str:
        return signed(self._app, self._serializer.dumps(*args, **kwargs))

    def loads(self, token: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return self._serializer.loads(self._encrypted(token), *args, **kwargs)

    def loads_unsafe(self, token: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return self._serializer.loads_unsafe(self._encrypted(token), *args, **kwargs)

    def _encrypted(self, token: t.Any) -> t.Any:
        return encrypted(self._app, token) if isinstance(token, str) else token
