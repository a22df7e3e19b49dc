"""Damages to any bytes: to JSON texts, to deflate streams, to tokens."""

from __future__ import annotations

import random
import typing as t


def insert(rng: random.Random, data: bytes, piece: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + piece + data[at:]


def flip_bit(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(max(len(data), 1))
    return data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def change_end(rng: random.Random, token: bytes) -> bytes:
    """Of the last character of a signature some bits count for nothing."""
    return token[:-1] + bytes([rng.choice(b"ABCDwxyz0189-_=")])


def move_dot(rng: random.Random, token: bytes) -> bytes:
    parts = token.split(b".")
    rng.choice((parts.reverse, lambda: parts.append(b""), lambda: parts.insert(0, b""), parts.pop))()
    return b".".join(parts)


def to_standard_alphabet(rng: random.Random, token: bytes) -> bytes:
    return token.replace(b"-", b"+").replace(b"_", b"/")


DAMAGES: tuple[t.Callable[[random.Random, bytes], bytes], ...] = (
    flip_bit,
    change_end,
    change_end,
    move_dot,
    to_standard_alphabet,
    lambda rng, token: token[: rng.randrange(len(token) + 1)],
    lambda rng, token: token[rng.randrange(len(token) + 1) :],
    lambda rng, token: insert(rng, token, rng.choice((b"\n", b" ", b"!", b"*", b"\x00", b"\xc3\xa9", b"\xff"))),
    lambda rng, token: insert(rng, token, rng.choice((b".", b"=", b"==", b"A", b"AAAA"))),
    lambda rng, token: token + rng.choice((b"=", b"==", b"\n", b"A", b".", b"\xff")),
    lambda rng, token: token.replace(b".", b"", 1),
    lambda rng, token: token.swapcase(),
    lambda rng, token: b"",
    lambda rng, token: rng.randbytes(rng.randrange(60)),
)

#: What may become of the parts before they are signed, so that the signature holds.
SIGNED_DAMAGES = (*DAMAGES[:1], *DAMAGES[4:10])
