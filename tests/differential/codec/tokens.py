"""Random tokens: payload, timestamp and signature, each good or bad."""

from __future__ import annotations

import decimal
import math
import random
import typing as t

from itsdangerous import Signer
from itsdangerous import TimestampSigner
from itsdangerous.encoding import base64_encode
from itsdangerous.encoding import int_to_bytes

from .damages import SIGNED_DAMAGES
from .deflate import deflated
from .json_texts import json_bytes
from .odd_types import Blob
from .odd_types import Text
from .settings import NOW

MAX_AGES = (0, 1, 10, 60, 2_678_400, -1, True, False, 10**20, 10.0, 10.5, -0.5, math.nan, math.inf, decimal.Decimal(10))
ODD_TIMESTAMPS = (
    *(b"", b"A", b"AA", b"!!!!", b"====", b"\xff", b" " + base64_encode(int_to_bytes(int(NOW)))),
    *(base64_encode(b"\x00\x00" + int_to_bytes(int(NOW))), base64_encode(bytes(9)), base64_encode(b"\x01" * 9)),
)


def timestamp(rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        seconds = int(NOW) + rng.choice((0, 0, 0, -1, 1, -10, -11, -60, -61, -2_678_400, -2_678_401))
        return base64_encode(int_to_bytes(seconds))
    if rng.random() < 0.5:
        # The second is the last that datetime knows.
        seconds = rng.choice((0, 253_402_300_799, 253_402_300_800, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1))
        return base64_encode(int_to_bytes(seconds))
    return rng.choice(ODD_TIMESTAMPS)


def payload(rng: random.Random) -> bytes:
    data = json_bytes(rng)
    encoded = b"." + base64_encode(deflated(rng, data)) if rng.random() < 0.25 else base64_encode(data)
    if rng.random() < 0.05:
        encoded = rng.choice(SIGNED_DAMAGES)(rng, encoded)
    return encoded


def signed(signer: TimestampSigner, content: bytes) -> bytes:
    """Payload and timestamp as they are, with a signature that holds."""
    try:
        return Signer.sign(signer, content)
    except TypeError:
        # The setting is one with which nothing can be signed.
        return content + b".signature"


def as_token(rng: random.Random, token: bytes) -> t.Any:
    """The token as a cookie, or as whatever else ``loads`` may be handed."""
    kind = rng.random()
    if kind < 0.70:
        return token.decode("utf-8", "surrogateescape")
    if kind < 0.76:
        return token.decode("latin-1")
    if kind < 0.90:
        return token
    if kind < 0.99:
        return rng.choice((bytearray, Blob, lambda token: Text(token, "latin-1")))(token)
    return rng.choice((memoryview(token), None, 5, [token], list(token)))
