"""The requests of a step: which cookie each brings, and what its view does with the session."""

from __future__ import annotations

import datetime
import decimal
import functools
import hashlib
import time
import typing as t
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from flask.sessions import session_json_serializer
from itsdangerous import TimestampSigner
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import create_environ

from flask_fastsession._native import IDENTITY_KEY
from flask_fastsession._native import Identity

KEY = "a key"
OLD_KEY = "an old key"
OLDEST_KEY = "the oldest key"
OTHER_KEY = "another key"
OTHER_NAME = "another"

#: So long ago the cookies were signed.
AGE = 3600

#: Of the sessions that can be revoked.
IDENTITY = Identity(bytes(range(16)))

Act = Callable[[t.Any], None]


def leave(session: t.Any) -> None:
    """Not even look at the session."""


def look(session: t.Any) -> None:
    session.get("user")


def write(session: t.Any) -> None:
    session["zeta"] = 1
    session["alpha"] = "<é>"
    session["tuple"] = (1, uuid.UUID(int=7), datetime.datetime(2024, 5, 17, tzinfo=datetime.timezone.utc))


def write_oddly(session: t.Any) -> None:
    """What Flask does not tag, and the JSON provider is asked about."""
    session.permanent = True
    session["price"] = decimal.Decimal("1.5")


def clear(session: t.Any) -> None:
    session.clear()


@dataclass(frozen=True)
class Visit:
    """One request of a step."""

    name: str
    act: Act
    #: The header, but for ``back``, whose cookie is the one that stock has set last, if it has set one.
    cookie: str = ""

    def environ(self, latest: str) -> dict[str, t.Any]:
        cookie = (self.name == "back" and latest) or self.cookie
        return {**_environ(), **({"HTTP_COOKIE": cookie} if cookie else {})}


@functools.cache
def _environ() -> dict[str, t.Any]:
    return create_environ("/")


def token(key: str = KEY, digest: str = "sha1", **values: t.Any) -> str:
    """A cookie of stock's that is an hour old."""
    now = int(time.time())

    class Earlier(TimestampSigner):
        def get_timestamp(self) -> int:
            return now - AGE

    options = {"key_derivation": "hmac", "digest_method": lambda data=b"": hashlib.new(digest, data)}
    serializer = URLSafeTimedSerializer(
        key, salt="cookie-session", serializer=session_json_serializer, signer=Earlier, signer_kwargs=options
    )
    made = serializer.dumps(values)
    return made if isinstance(made, str) else made.decode()


def visits(are_revocable: bool = False) -> tuple[Visit, ...]:
    """The requests of each step. Those that no key should open are opened by some of the changes.

    Where sessions can be revoked, each cookie has an identity already, and there are no requests for which ours makes
    another one or ends one.
    """
    own = {IDENTITY_KEY: IDENTITY.value} if are_revocable else {}
    usual = f"session={token(user='ada', tuple=(1, 2), **own)}; {OTHER_NAME}={token(user='eve', **own)}"
    permanent = token(user="ada", _permanent=True, **own)
    opened = (
        Visit("read", look, usual),
        Visit("left alone", leave, usual),
        Visit("refreshed", leave, f"session={permanent}"),
        Visit("written", write, usual),
        Visit("of an old key", look, f"session={token(OLD_KEY, user='bob', **own)}"),
        Visit("back", look, usual if are_revocable else ""),
    )
    if are_revocable:
        return opened
    return (
        *opened,
        Visit("new", write_oddly),
        Visit("of another key", look, f"session={token(OTHER_KEY, user='mallory')}"),
        Visit("of another digest", look, f"session={token(digest='sha256', user='mallory')}"),
        Visit("forged", look, f"session={permanent[:-2]}xx"),
        Visit("emptied", clear, f"session={permanent}"),
    )
