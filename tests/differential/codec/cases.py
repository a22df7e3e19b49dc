"""Random cases: a setting, a call of a serializer, and what is handed to it."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass

from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from .changes import CHANGES
from .changes import change
from .comparison import Sides
from .comparison import Use
from .damages import DAMAGES
from .json_texts import json_bytes
from .settings import SALTS
from .settings import Setting
from .settings import setting
from .tokens import MAX_AGES
from .tokens import as_token
from .tokens import payload
from .tokens import signed
from .tokens import timestamp
from .values import session


@dataclass(frozen=True)
class Check:
    """A use of a serializer. The argument is made anew for each side, as a call may change or exhaust it."""

    setting: Setting
    method: str
    argument: t.Callable[[], t.Any]
    options: dict[str, t.Any]
    #: Made to the serializer once it has been at work.
    change: str | None = None

    def use(self) -> Use:
        argument = self.argument()

        def use(serializer: URLSafeTimedSerializer) -> t.Any:
            if self.change:
                serializer.loads(serializer.dumps({}))
                CHANGES[self.change](serializer)
            return getattr(serializer, self.method)(argument, **self.options)

        return use

    def __str__(self) -> str:
        try:
            argument = repr(self.argument())
        except Exception as error:
            argument = f"(an argument whose repr raises {type(error).__name__})"
        change = f", after it was given {self.change}" if self.change else ""
        return f"{self.setting}{change}\n    {self.method}({argument[:4000]}, **{self.options})"


def writing(rng: random.Random, sides: Sides) -> Check:
    """A session is written."""
    seed = rng.getrandbits(64)
    options = {"salt": rng.choice(SALTS)} if rng.random() < 0.03 else {}
    return Check(setting(rng), "dumps", lambda: session(random.Random(seed)), options, change(rng))


def reading(rng: random.Random, setting: Setting, token: t.Any) -> Check:
    """A token is read, in one of the ways there are."""
    method = "loads_unsafe" if rng.random() < 0.1 else "loads"
    options: dict[str, t.Any] = {}
    if rng.random() < 0.7:
        options["max_age"] = rng.choice(MAX_AGES) if rng.random() < 0.5 else 2_678_400
    if method == "loads" and rng.random() < 0.2:
        options["return_timestamp"] = rng.choice((True, 1, "yes", 0))
    if rng.random() < 0.03:
        options["salt"] = rng.choice(SALTS)
    return Check(setting, method, lambda: token, options, change(rng))


def damaging(rng: random.Random, sides: Sides) -> Check:
    """A good token is damaged."""
    chosen = setting(rng)
    token = signed(sides.signer(chosen), base64_encode(json_bytes(rng)) + b"." + timestamp(rng))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        token = rng.choice(DAMAGES)(rng, token)
    return reading(rng, chosen, as_token(rng, token))


def forging(rng: random.Random, sides: Sides) -> Check:
    """Anything at all is signed as it should be."""
    chosen = setting(rng)
    content = payload(rng)
    if rng.random() < 0.97:
        content += b"." + timestamp(rng)
    return reading(rng, chosen, as_token(rng, signed(sides.signer(chosen), content)))


CASES = (writing, writing, damaging, forging)
