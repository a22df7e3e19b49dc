"""Random JSON texts: as Flask's serializer writes them, as others do, and as nobody should."""

from __future__ import annotations

import random
import typing as t

from .damages import flip_bit
from .damages import insert
from .values import ASTRAL
from .values import BEYOND_ASCII
from .values import LETTERS
from .values import TAG_KEYS
from .values import WORDS
from .values import integer
from .values import real

ESCAPES = (r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\u00e9", r"\u2028", r"\uD83D\uDE00")
ODD_ESCAPES = (r"\ud800", r"\udc00\ud800", r"\ud83d\u0041", r"\x41", r"\u00G0", "\\", "\t", "\x00", "\x1f", '"')
NUMBERS = ("0", "-0", "7", "-12", "0.0", "-0.0", "1e5", "1E+2", "2.50", "1.7976931348623157e308", "5e-324", "0.1e-6")
EXTREME_NUMBERS = (
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "9.2e18", "9300000000000000000", "9300000000000000000.0", "1e22"),
    *("1e400", "-1e400", "1e-400", "2.4703282292062327e-324", "123456789012345678901234567890", "1" * 4301),
    *("2.2250738585072011e-308", "9007199254740993", "9007199254740993.0", "0.500000000000000166533453693773481063544"),
)
ODD_NUMBERS = ("NaN", "Infinity", "-Infinity", "-NaN", "01", ".5", "1.", "+1", "1e", "0x10", "1_0", "--1", "\u0663")
ODD_LITERALS = ("True", "nul", "nulll", "'a'", "[1,]", '{"a":1,}', "{a:1}", '{"a" 1}', "[1 2]", "/**/1", "")
WHITESPACE = (" ", "\n", "\t", "\r\n", "  ")
ODD_WHITESPACE = ("\f", "\v", "\xa0", "\u2028", "\ufeff", "\x00")
TRAILERS = (" ", "\n", "\x00", "x", "{}", ",", "]", " null", "//")
DATES = (
    *("Tue, 14 Nov 2023 22:13:20 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"),
    *("Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 29 Feb 2024 12:00:00 GMT", "Thu, 29 Feb 2023 12:00:00 GMT"),
    *("Wed, 14 Nov 2023 22:13:20 GMT", "14 Nov 2023 22:13:20 GMT", "Tuesday, 14-Nov-23 22:13:20 GMT"),
    *("Tue Nov 14 22:13:20 2023", "Tue, 14 Nov 2023 22:13:20 +0530", "Tue, 14 Nov 2023 22:13:20 -0000"),
    *("Tue, 14 Nov 2023 22:13:20", "Tue, 14 Nov 2023 22:13 GMT", "Tue, 14 Nov 23 22:13:20 GMT", "2023-11-14T22:13:20Z"),
    *("Tue, 14 Nov 68 22:13:20 GMT", "Tue, 14 Nov 69 22:13:20 GMT", "Tue, 14 Nov 2023 24:00:00 GMT", "", "GMT", "0"),
    *("Sat, 31 Dec 2016 23:59:60 GMT", "Tue, 14 Nov 2023 22:13:20 EST", "tue, 14 nov 2023 22:13:20 gmt"),
)
HEXES = (
    *("0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF", "01234567-89ab-cdef-0123-456789abcdef"),
    *("{01234567-89ab-cdef-0123-456789abcdef}", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef", "0123456789abcdef"),
    *("0123456789abcdef0123456789abcdeg", "", "0x23456789abcdef0123456789abcdef", " 123456789abcdef0123456789abcdef"),
    *("+123456789abcdef0123456789abcdef", "01_3456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef0"),
)
BASE64S = ("", "AAEC", "/+8=", "_-8=", "AA==", "AB==", "AA", "AA=", "A A E C", "AAEC=", "AA==AAEC", "\xe9AAEC", "A")


def json_string(rng: random.Random, odd: float) -> str:
    pieces = []
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        kind = rng.random()
        if kind < 0.6:
            pieces.append("".join(rng.choices(LETTERS, k=5)))
        elif kind < 0.75:
            pieces.append(rng.choice(ESCAPES))
        elif kind < 0.9:
            pieces.append(rng.choice(BEYOND_ASCII + ASTRAL + "\x7f"))
        elif rng.random() < odd:
            pieces.append(rng.choice(ODD_ESCAPES))
    return '"' + "".join(pieces) + '"'


def json_number(rng: random.Random, odd: float) -> str:
    if rng.random() < odd:
        return rng.choice(EXTREME_NUMBERS + ODD_NUMBERS)
    if rng.random() < 0.3:
        return rng.choice(NUMBERS)
    return repr(rng.choice((integer, real))(rng))


def json_tagged(rng: random.Random, odd: float, depth: int) -> str:
    key = rng.choice(TAG_KEYS[:6])
    if rng.random() < odd:
        inner = json_value(rng, odd, depth)
    elif key in (" d", " u", " b"):
        spellings = {" d": DATES, " u": HEXES, " b": BASE64S}[key]
        inner = '"' + rng.choice(spellings) + '"'
    elif key == " di":
        inner = '{"' + rng.choice((" t__", " di__", " x__", "a", "")) + '":' + json_value(rng, odd, depth) + "}"
    else:
        inner = json_array(rng, odd, depth) if key == " t" else json_string(rng, odd)
    return '{"' + key + '":' + inner + "}"


def json_array(rng: random.Random, odd: float, depth: int) -> str:
    return "[" + ",".join(json_value(rng, odd, depth) for _ in range(rng.randrange(4))) + "]"


def json_object(rng: random.Random, odd: float, depth: int) -> str:
    members = []
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5))):
        # From a list so short that duplicates are common.
        name = '"' + rng.choice(TAG_KEYS[:6] + WORDS[:4]) + '"' if rng.random() < 0.7 else json_string(rng, odd)
        members.append(name + ":" + json_value(rng, odd, depth))
    return "{" + ",".join(members) + "}"


def json_value(rng: random.Random, odd: float, depth: int) -> str:
    """The text of a value; ``odd`` is the share of what no JSON library writes, or none should read."""
    kind = rng.random()
    if depth and kind < 0.5:
        make = rng.choice((json_object, json_array, json_tagged))
        written = make(rng, odd, depth - 1)
    elif kind < 0.75:
        written = json_string(rng, odd)
    elif kind < 0.9:
        written = json_number(rng, odd)
    else:
        written = rng.choice(("null", "true", "false") if rng.random() >= odd else ODD_LITERALS)
    if rng.random() < odd / 2:
        written = rng.choice(WHITESPACE if rng.random() < 0.8 else ODD_WHITESPACE) + written + rng.choice(WHITESPACE)
    return written


def nested_json(rng: random.Random) -> str:
    """A deep text, far from stock's own limit as in :func:`nested`."""
    depth = rng.choice((60, 100, 125, 126, 127, 128, 129, 130, 5000, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}"), ('{" t":[', "]}")))
    return opening * depth + "1" + closing * (depth if rng.random() < 0.7 else 0)


def json_bytes(rng: random.Random) -> bytes:
    if rng.random() < 0.01:
        return nested_json(rng).encode()
    odd = rng.choice((0.0, 0.0, 0.02, 0.2))
    written = json_value(rng, odd, 4) if rng.random() < 0.1 else json_object(rng, odd, 3)
    raw = written.encode("utf-8", "surrogatepass")
    if rng.random() < odd:
        damages: tuple[t.Callable[[], bytes], ...] = (
            lambda: raw + rng.choice(TRAILERS).encode(),
            lambda: b"\xef\xbb\xbf" + raw,
            lambda: written.encode("utf-16", "surrogatepass"),
            lambda: raw[: rng.randrange(len(raw) + 1)],
            lambda: insert(rng, raw, rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5", b"\x80", b"\x00"))),
            lambda: flip_bit(rng, raw),
            lambda: b"",
        )
        raw = rng.choice(damages)()
    return raw
