"""Encrypted sessions as people write them by hand: an interface over the Fernet of PyCA ``cryptography``.

It makes its key from ``SECRET_KEY`` at each use. :class:`CarefulFernetSessionInterface` keeps it. Both are Flask's
interface in all else.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import typing as t

from cryptography.fernet import Fernet
from cryptography.fernet import InvalidToken
from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface


class FernetSerializer:
    """What of a serializer Flask's interface uses."""

    def __init__(self, secret_key: str) -> None:
        self.fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret_key.encode()).digest()))
        self.json = TaggedJSONSerializer()

    def dumps(self, value: t.Any) -> str:
        return self.fernet.encrypt(self.json.dumps(value).encode()).decode()

    def loads(self, token: str, max_age: int) -> t.Any:
        return self.json.loads(self.fernet.decrypt(token, ttl=max_age).decode())


class FernetSessionInterface(SecureCookieSessionInterface):
    def get_signing_serializer(self, app: Flask) -> t.Any:
        return FernetSerializer(t.cast(str, app.secret_key))

    def open_session(self, app: Flask, request: t.Any) -> t.Any:
        try:
            return super().open_session(app, request)
        except InvalidToken:
            return self.session_class()


class CarefulFernetSessionInterface(FernetSessionInterface):
    def get_signing_serializer(self, app: Flask) -> t.Any:
        return kept_serializer(t.cast(str, app.secret_key))


kept_serializer = functools.lru_cache(FernetSerializer)
