"""Both sides in step: with one clock, and with one jar of cookies."""

from __future__ import annotations

import collections
import contextlib
import datetime
import hashlib
import inspect
import json
import random
import time
import typing as t
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from unittest import mock

import flask
import flask.sessions
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner
from itsdangerous import URLSafeSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.encoding import int_to_bytes

from ..codec.damages import DAMAGES
from ..codec.json_texts import json_object
from ..codec.settings import NOW
from ..codec.tokens import payload
from ..codec.tokens import signed
from .changes import PATCHES
from .observed import Seen
from .plan import Case
from .plan import Change
from .plan import Step
from .sides import Side


class Clock:
    """The time on both sides, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = NOW
        #: What ``time.time`` says instead.
        self.says: t.Any = None

    def time(self) -> t.Any:
        return self.now if self.says is None else self.says

    @contextlib.contextmanager
    def stopped(self, also_datetime: bool) -> Iterator[None]:
        clock = self

        class StoppedDatetime(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> t.Any:
                return cls.fromtimestamp(clock.now, tz)

        stopped = StoppedDatetime if also_datetime else datetime.datetime
        with mock.patch.object(time, "time", clock.time), mock.patch.object(flask.sessions, "datetime", stopped):
            yield


class Pair:
    """Stock and ours in step, with one jar for both: what either has set is sent to both."""

    def __init__(self, case: Case, ours: type[SecureCookieSessionInterface]) -> None:
        self.case = case
        self.clock = Clock()
        self.stock = Side(case, SecureCookieSessionInterface)
        self.ours = Side(case, ours)
        self.patches = contextlib.ExitStack()
        #: The name of each app's cookie, and its tokens, the latest last.
        self.names: dict[int, str] = {}
        self.tokens: dict[int, list[str]] = collections.defaultdict(list)

    def run(self, step: Step) -> tuple[str | None, Seen, Seen]:
        """The Cookie header that was sent, and what came of it on each side."""
        self.step = step
        for change in step.before:
            self.change(change)
        header = self.header(step)
        stock, ours = self.stock.run(step, header), self.ours.run(step, header)
        self.keep_cookies(random.Random(len(stock.headers)).choice((stock, ours)))
        return header, stock, ours

    def change(self, change: Change) -> None:
        if change.kind == "wait":
            self.clock.now = max(self.clock.now + change.value, 0.0)
        elif change.kind == "time.time":
            self.clock.says = change.value
        elif change.kind == "patch":
            owner, name, replace = PATCHES[change.name]
            replacement = replace(inspect.getattr_static(owner, name, None))
            self.patches.enter_context(mock.patch.object(owner, name, replacement, create=True))
        elif change.kind == "unpatch":
            self.patches.close()
        else:
            for side in (self.stock, self.ours):
                side.change(side.app(self.step), change)

    def keep_cookies(self, seen: Seen) -> None:
        app = self.step.app
        for name, value in seen.headers:
            cookie, _, rest = value.partition("=") if name == "Set-Cookie" else ("other", "", "")
            if cookie not in ("other", "a"):
                self.names[app] = cookie
                self.tokens[app].append(rest.partition(";")[0])

    def header(self, step: Step) -> str | None:
        return None if step.cookie is None else "".join(self.filled(piece) for piece in step.cookie)

    def filled(self, piece: str) -> str:
        if not piece.startswith("<"):
            return piece
        name, _, seed = piece[1:-1].partition(":")
        return FILLERS[name](self, random.Random(seed))

    def name(self) -> str:
        configured = self.stock.app(self.step).config.get("SESSION_COOKIE_NAME", "session")
        return self.names.get(self.step.app) or str(configured).encode("utf-8", "replace").decode("latin-1")

    def token(self, which: int) -> str:
        tokens = self.tokens[self.step.app]
        return tokens[which] if tokens else ""

    def signer(self) -> TimestampSigner:
        """Signs as the app does at this moment, or if it cannot, as nobody does."""
        try:
            serializer = self.stock.interface.get_signing_serializer(self.stock.app(self.step))
            return t.cast(TimestampSigner, serializer.make_signer())  # type: ignore[union-attr]
        except Exception:
            return TimestampSigner("nobody's")

    def sealed(self, rng: random.Random, age: int = 0) -> str:
        """A token of some age, as stock writes it."""
        values: dict[str, t.Any] = {"user": "ada", "cart": [1, (2,)], "text": "x" * rng.choice((0, 9, 300))}
        if rng.random() < 0.4:
            values["_permanent"] = True
        return self.signed(URLSafeSerializer("", serializer=TaggedJSONSerializer()).dump_payload(values), age)

    def packed(self, rng: random.Random) -> str:
        """A token as somebody else may write it."""
        text = json_object(rng, 0.0, 2)
        if rng.random() < 0.5:
            text = json.dumps({"_permanent": True, "text": "x" * rng.choice((1, 50))}, separators=(",", ":"))
        packed = text.encode()
        if rng.random() < 0.7:
            return self.signed(base64_encode(packed))
        return self.signed(b"." + base64_encode(zlib.compress(packed, rng.choice((-1, 0, 1, 9)))))

    def signed(self, payload: bytes, age: int = 0, signer: TimestampSigner | None = None) -> str:
        second = max(int(self.clock.now) - age, 0)
        content = payload + b"." + base64_encode(int_to_bytes(second))
        return signed(signer or self.signer(), content).decode("latin-1")


def damaged(pair: Pair, rng: random.Random) -> str:
    token = (pair.token(-1) or pair.sealed(rng)).encode("latin-1", "replace")
    for _ in range(rng.choice((1, 1, 2))):
        token = rng.choice(DAMAGES)(rng, token)
    return token.decode("latin-1")


def foreign(pair: Pair, rng: random.Random) -> str:
    """Signed with another key: one that the app may have had, or may come to have."""
    key = rng.choice(("secret", "old", "older", "rotated", "stranger"))
    signer = TimestampSigner(key, salt="cookie-session", key_derivation="hmac", digest_method=hashlib.sha1)
    return pair.signed(base64_encode(b'{"user":"eve"}'), signer=signer)


def escaped(token: str) -> str:
    return '"' + "".join(f"\\{ord(character) & 0o377:03o}" for character in token) + '"'


#: What pieces of a Cookie header may stand for.
FILLERS: dict[str, Callable[[Pair, random.Random], str]] = {
    "name": lambda pair, rng: pair.name(),
    "NAME": lambda pair, rng: pair.name().upper(),
    "jar": lambda pair, rng: pair.token(-1),
    "first": lambda pair, rng: pair.token(0),
    "other app's": lambda pair, rng: "".join(pair.tokens[1 - pair.step.app % 2][-1:]),
    "sealed": lambda pair, rng: pair.sealed(rng),
    "packed": lambda pair, rng: pair.packed(rng),
    "aged": lambda pair, rng: pair.sealed(
        rng, rng.choice((59, 60, 61, 3600, 3601, 2_678_400, 2_678_401, 10**9, -1, -60))
    ),
    "damaged": damaged,
    "foreign": foreign,
    "made": lambda pair, rng: pair.signed(payload(rng)),
    "escaped": lambda pair, rng: escaped(pair.token(-1) or "x"),
    "half escaped": lambda pair, rng: '"' + (pair.token(-1) or "x").replace("e", "\\145").replace("_", "\\_") + '"',
    "long": lambda pair, rng: "x" * rng.choice((4096, 20_000)),
}
