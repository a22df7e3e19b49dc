"""Stock and ours set up alike, and all that can be observed of what they answer."""

from __future__ import annotations

import contextlib
import time
import typing as t
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from unittest import mock
from uuid import UUID

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner
from itsdangerous import URLSafeTimedSerializer

from flask_fastsession import FastSessionInterface

from .odd_types import at_work
from .odd_types import calls
from .settings import DIGESTS
from .settings import PROVIDERS
from .settings import SERIALIZERS
from .settings import Setting

Use = t.Callable[[URLSafeTimedSerializer], t.Any]


def described(value: t.Any) -> t.Any:
    """All of a value that can be observed, in a form that compares as equal only where nothing differs."""
    if isinstance(value, float):
        return type(value), float.hex(value)
    if isinstance(value, (list, tuple)):
        return type(value), [described(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(described(key), described(item)) for key, item in value.items()]
    if isinstance(value, BaseException):
        return described_error(value)
    if isinstance(value, (datetime, UUID)):
        return type(value), repr(value)
    return type(value), value


def described_error(error: BaseException) -> t.Any:
    # Where the stack ends depends on the frames that lie on it, and the wording on where it ends.
    words = "" if isinstance(error, RecursionError) else str(error)
    attributes = {name: described(value) for name, value in vars(error).items()}
    return type(error), words, attributes, type(error.__cause__)


@dataclass(frozen=True)
class Outcome:
    """What came of one call: ``result`` is the description of a value or of an exception."""

    name: str
    result: t.Any
    calls: tuple[str, ...]
    value: t.Any = field(default=None, compare=False, repr=False)


@contextlib.contextmanager
def frozen_clock(now: t.Any) -> t.Iterator[None]:
    with mock.patch.object(time, "time", lambda: now):
        yield


class Sides:
    """Stock and ours, set up alike."""

    def __init__(self) -> None:
        self.app = Flask(__name__)
        self.providers = {name: make(self.app) for name, make in PROVIDERS.items()}
        self.stock = SecureCookieSessionInterface()
        self.ours = FastSessionInterface()

    def set_up(self, setting: Setting) -> None:
        self.app.secret_key = setting.secret_key
        self.app.config["SECRET_KEY_FALLBACKS"] = setting.fallbacks
        self.app.json = self.providers[setting.provider]
        for interface in (self.stock, self.ours):
            interface.salt = setting.salt
            interface.key_derivation = setting.key_derivation
            interface.digest_method = DIGESTS[setting.digest]
            interface.serializer = SERIALIZERS[setting.serializer]

    def signer(self, setting: Setting) -> TimestampSigner:
        """What signs with this setting, or with none that can sign, some other signer."""
        self.set_up(setting)
        try:
            serializer = self.stock.get_signing_serializer(self.app)
            return t.cast(TimestampSigner, serializer.make_signer())  # type: ignore[union-attr]
        except Exception:
            return TimestampSigner("nobody's")

    def outcomes(self, setting: Setting, use: Use, same_use: Use) -> tuple[Outcome, Outcome]:
        """What comes of one use of a serializer of stock, and of the same use of one of ours."""
        self.set_up(setting)
        context = self.app.app_context() if setting.in_app_context else contextlib.nullcontext()
        with context, frozen_clock(setting.now):
            return self._outcome(self.stock, use), self._outcome(self.ours, same_use)

    def _outcome(self, interface: SecureCookieSessionInterface, use: Use) -> Outcome:
        calls.clear()
        try:
            serializer = t.cast(URLSafeTimedSerializer, interface.get_signing_serializer(self.app))
            at_work[:] = [serializer]
            value = use(serializer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Outcome(type(error).__name__, described_error(error), tuple(calls))
        return Outcome("a value", described(value), tuple(calls), value)
