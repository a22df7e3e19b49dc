"""Random sessions and random tokens, by stock and by ours: the same bytes, the same value, or the same exception.

::

    python -m tests.differential --cases 200000 --seed 1

Cases are numbered, and each depends on nothing but the seed and its number: ``--only NUMBER`` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import decimal
import enum
import functools
import hashlib
import itertools
import json
import math
import random
import re
import secrets
import struct
import sys
import time
import typing as t
import zlib
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import tzinfo
from types import MappingProxyType
from unittest import mock
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask.json.provider import JSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask.json.tag import TagTuple
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import NoneAlgorithm
from itsdangerous import Signer
from itsdangerous import TimestampSigner
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.encoding import int_to_bytes
from markupsafe import Markup
from werkzeug.local import LocalProxy

from flask_fastsession import FastSessionInterface

NOW = 1_700_000_000.25

#: Of many differences the first few tell enough.
MOST_PRINTED = 10

Make = t.Callable[[random.Random], t.Any]

# --- Types that sessions are not made for ---------------------------------------------------------------------------

#: What Python code of the values below has run: neither more nor less of it may run with ours than with stock.
calls: list[str] = []

#: The serializer that is at work, for values that call it again.
at_work: list[URLSafeTimedSerializer] = []


class Timeout(BaseException):
    """As gevent's: not an error that anybody should swallow."""


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not the text"


class HtmlText(str):
    __slots__ = ()

    def __html__(self) -> str:
        calls.append("HtmlText.__html__")
        return self.upper()


class Integer(int):
    def __repr__(self) -> str:
        return "an integer"


class Real(float):
    def __repr__(self) -> str:
        return "a real"


class Blob(bytes):
    pass


class Moment(datetime):
    pass


class Identifier(UUID):
    pass


class MoreMarkup(Markup):
    __slots__ = ()


class Items(dict):  # type: ignore[type-arg]
    def items(self) -> t.Any:
        calls.append("Items.items")
        return [("items", list(super().items()))]


class Twice(tuple):  # type: ignore[type-arg]
    __slots__ = ()

    def __iter__(self) -> t.Iterator[t.Any]:
        calls.append("Twice.__iter__")
        return itertools.chain(super().__iter__(), super().__iter__())


class Row(list):  # type: ignore[type-arg]
    pass


class Point(t.NamedTuple):
    x: t.Any
    y: t.Any = 0


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**70


class Word(str, enum.Enum):
    YES = "yes"


@dataclass
class Record:
    name: t.Any


class Html:
    """``markup`` may be anything; an exception is raised."""

    def __init__(self, markup: t.Any) -> None:
        self.markup = markup

    def __html__(self) -> t.Any:
        calls.append("Html.__html__")
        if isinstance(self.markup, BaseException):
            raise self.markup
        return self.markup


class HtmlAttribute:
    """``__html__`` is an attribute of the instance, and need not be callable."""

    def __init__(self, html: t.Any) -> None:
        self.__html__ = html


class HtmlProperty:
    """The look-up of ``__html__`` itself fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def __html__(self) -> t.Any:
        calls.append("HtmlProperty.__html__")
        raise self.error


class Obliging:
    """Has every attribute there is, as mocks do."""

    def __getattr__(self, name: str) -> t.Any:
        if name == "__html__":
            calls.append("Obliging.__getattr__")
        return lambda: name


class Reentrant:
    """Has the serializer at work encode something else meanwhile."""

    def __html__(self) -> str:
        calls.append("Reentrant.__html__")
        token = at_work[-1].dumps({"inner": [1, "ü", (2,)]})
        return f"{token} {at_work[-1].loads(token)}"


class Meddler:
    """Changes the list that holds it."""

    def __init__(self, holder: list[t.Any]) -> None:
        self.holder = holder

    def __html__(self) -> str:
        calls.append("Meddler.__html__")
        self.holder[1:] = ["meddled"]
        return "meddler"


class Vague(tzinfo):
    """Knows no offset, so what it belongs to counts as naive."""

    def utcoffset(self, when: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


# --- Values ---------------------------------------------------------------------------------------------------------

WORDS = ("user_id", "_fresh", "_id", "csrf_token", "cart", "_permanent", "_flashes", "name", "a", "B", "é", "", "10")
TAG_KEYS = (" di", " t", " b", " m", " u", " d", " di__", " t__", " ", " x", "t")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_. "
CONTROL = "".join(map(chr, range(0x20))) + "\x7f\x80\x9f\"\\/<>&'"
BEYOND_ASCII = "\xa0\xdf\xe9\u0416\u05e9\u0915\u20ac\u2028\u2029\u4e2d\ud7ff\ue000\ufeff\uffff"
ASTRAL = "\U00010000\U0001d11e\U0001f600\U0010ffff"
SURROGATES = "\ud800\udbff\udc00\udfff"
ALPHABETS = (LETTERS, LETTERS, LETTERS, CONTROL, BEYOND_ASCII, ASTRAL, LETTERS + CONTROL + BEYOND_ASCII + ASTRAL)
LENGTHS = (0, 1, 2, 5, 8, 12, 20, 40, 120)

TIMEZONES: tuple[tzinfo | None, ...] = (
    None,
    timezone.utc,
    timezone(timedelta(0)),
    timezone(timedelta(hours=5, minutes=30)),
    timezone(timedelta(hours=14), "far east"),
    timezone(-timedelta(hours=23, minutes=59, seconds=59)),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/New_York"),
    Vague(),
)
FLOATS = (
    *(0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e15, 1e16, 1e17, 1e22, 1e-4, 1e-5, 1e-7, 5e-324, 2.2250738585072014e-308),
    *(math.nextafter(1e16, 0), math.nextafter(1e16, math.inf), math.nextafter(1e-4, 0), sys.float_info.max),
    *(2.0**53, 2.0**63, 2.0**64, -(2.0**63), 1e300, 123456.789),
)


def text(rng: random.Random) -> str:
    if rng.random() < 0.04:
        return compressible_text(rng)
    return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.choice(LENGTHS)))


def compressible_text(rng: random.Random) -> str:
    """Of any length, and of more or less order: some of these are shorter when deflated, and some only just not."""
    length = int(2 ** rng.uniform(3, rng.choice((6, 9, 12, 16))))
    alphabet = rng.choices(LETTERS + CONTROL, k=rng.choice((1, 2, 4, 16, 64)))
    kind = rng.random()
    if kind < 0.02:
        # Noise of so many letters that zlib makes two blocks or more of it.
        return "".join(rng.choices(LETTERS, k=rng.randrange(10_000, 40_000)))
    if kind < 0.3:
        return "".join(rng.choices(alphabet, k=length))
    if kind < 0.4:
        return text_with_far_match(rng)
    chunks = ["".join(rng.choices(alphabet, k=int(2 ** rng.uniform(0, 8)))) for _ in range(rng.randrange(1, 9))]
    if kind < 0.6:
        chunks += WORDS
    return "".join(rng.choices(chunks, k=length // 4))[:length]


def text_with_far_match(rng: random.Random) -> str:
    """Something that comes again, about as far away as zlib cares: 4096 bytes for three of them, 32506 for more."""
    distance = rng.choice((4096, 4096, 4096, 32_506)) + rng.randrange(-2, 3)
    repeated = "".join(rng.choices("ABCDEFGHIJ", k=rng.choice((3, 3, 4, 10, 258, 300))))
    return repeated + "".join(rng.choices(LETTERS, k=distance - len(repeated))) + repeated


def surrogate_text(rng: random.Random) -> str:
    return "".join(rng.choices(LETTERS + SURROGATES, k=rng.randrange(1, 9)))


def integer(rng: random.Random) -> int:
    if rng.random() < 0.7:
        return rng.randrange(-1000, 100_000)
    return rng.choice((-1, 1)) * ((1 << rng.choice((31, 32, 53, 62, 63, 64, 126))) + rng.randrange(-2, 3))


def huge_integer(rng: random.Random) -> int:
    if rng.random() < 0.05:
        # The second has one digit more than the interpreter is ready to print.
        return rng.choice((10**4299, 10**4300))
    return rng.choice((-1, 1)) * ((1 << rng.choice((127, 128, 200, 1000))) + rng.randrange(-2, 3))


def real(rng: random.Random) -> float:
    if rng.random() < 0.5:
        return rng.choice(FLOATS)
    if rng.random() < 0.5:
        return round(rng.uniform(-1e6, 1e6), rng.randrange(6))
    if rng.random() < 0.3:
        # Exact in few digits, and often in the middle between two shortest spellings.
        return (2 * rng.randrange(1 << 10) + 1) / (1 << rng.randrange(60))
    number: float = struct.unpack("<d", rng.randbytes(8))[0]
    return number if math.isfinite(number) else 0.5


def blob(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice(LENGTHS))


def uuid(rng: random.Random) -> UUID:
    return UUID(int=rng.choice((0, 2**128 - 1, rng.getrandbits(128), rng.getrandbits(128))))


def moment(rng: random.Random) -> datetime:
    zone = rng.choice(TIMEZONES)
    if rng.random() < 0.1:
        return rng.choice((datetime.min, datetime.max)).replace(tzinfo=zone)
    first = rng.choice((datetime(1, 1, 2), datetime(1900, 1, 1), datetime(1970, 1, 1)))
    span = rng.choice((10**9, 4 * 10**9, 63 * 10**9))
    shifted = first + timedelta(seconds=rng.randrange(span), microseconds=rng.choice((0, 1, 999_999)))
    return shifted.replace(tzinfo=zone, fold=rng.randrange(2))


def proxy(rng: random.Random) -> t.Any:
    behind = value(rng, PLAIN, 2)
    return LocalProxy(lambda: behind)


PLAIN: tuple[Make, ...] = (
    *[text] * 8,
    *[integer] * 4,
    *[real] * 3,
    *[lambda rng: rng.choice((None, True, False))] * 3,
    lambda rng: rng.choice(WORDS + TAG_KEYS),
    blob,
    uuid,
    moment,
    lambda rng: Markup(text(rng)),
)

ODD: tuple[Make, ...] = (
    *PLAIN,
    *[surrogate_text, huge_integer, lambda rng: rng.choice((math.nan, -math.nan, math.inf, -math.inf))] * 2,
    lambda rng: Text(text(rng)),
    lambda rng: Word.YES,
    lambda rng: Integer(integer(rng)),
    lambda rng: Real(real(rng)),
    lambda rng: rng.choice(tuple(Level)),
    lambda rng: Blob(blob(rng)),
    lambda rng: MoreMarkup(text(rng)),
    lambda rng: Markup(surrogate_text(rng)),
    lambda rng: Identifier(int=rng.getrandbits(128)),
    lambda rng: Moment(2024, 2, 29, 23, 59, 59, tzinfo=rng.choice(TIMEZONES)),
    lambda rng: bytearray(blob(rng)),
    lambda rng: memoryview(blob(rng)),
    lambda rng: date(rng.randrange(1, 10_000), 12, 31),
    lambda rng: datetime(2024, 5, 6, 7, 8, tzinfo=rng.choice(TIMEZONES)).timetz(),
    lambda rng: timedelta(seconds=rng.randrange(10**6)),
    lambda rng: decimal.Decimal(integer(rng)) / 8,
    lambda rng: rng.choice((set, frozenset, collections.deque, iter))([1, 2]),
    lambda rng: rng.choice((Colour.RED, Colour, Markup, object, len, range(3), 1j, ..., NotImplemented)),
    lambda rng: rng.choice((ValueError("v"), re.compile("r"), MappingProxyType({"a": 1}))),
    lambda rng: HtmlText(text(rng)),
    lambda rng: Html(rng.choice((text(rng), Markup("<b>"), None, 5, b"bytes", Text("t"), surrogate_text(rng)))),
    lambda rng: Html(rng.choice((ValueError("html"), AttributeError("html"), KeyError("html"), Timeout("html")))),
    lambda rng: HtmlAttribute(rng.choice((None, 5, "text", lambda: "called", lambda needless: ""))),
    lambda rng: HtmlProperty(rng.choice((AttributeError("gone"), ValueError("broken")))),
    lambda rng: rng.choice((Obliging, Reentrant))(),
    proxy,
)

ODD_KEYS: tuple[Make, ...] = (
    *[lambda rng: rng.choice(WORDS)] * 6,
    *[integer] * 2,
    lambda rng: rng.choice((None, True, False, 1.5, -0.0, 1e16, math.nan, math.inf, huge_integer(rng))),
    lambda rng: rng.choice((Text("text"), Word.YES, Level.LOW, Integer(7), Real(0.5), Markup("m"))),
    lambda rng: rng.choice((b"bytes", (1, 2), Colour.RED, uuid(rng), surrogate_text(rng), datetime(2024, 1, 1))),
)


def value(rng: random.Random, leaves: tuple[Make, ...], depth: int) -> t.Any:
    """A value of any of these kinds, at most so deep."""
    kind = rng.random() if depth else 1
    if kind < 0.16:
        return mapping(rng, leaves, depth - 1)
    if kind < 0.30:
        return items(rng, leaves, depth - 1)
    if kind < 0.38:
        return tuple(items(rng, leaves, depth - 1))
    if kind < 0.44 and leaves is ODD:
        return odd_container(rng, depth - 1)
    return rng.choice(leaves)(rng)


def items(rng: random.Random, leaves: tuple[Make, ...], depth: int) -> list[t.Any]:
    return [value(rng, leaves, depth) for _ in range(rng.randrange(5))]


def mapping(rng: random.Random, leaves: tuple[Make, ...], depth: int) -> dict[t.Any, t.Any]:
    if rng.random() < 0.2:
        return {rng.choice(TAG_KEYS): value(rng, leaves, depth)}
    keys: tuple[Make, ...] = (text,) if rng.random() < 0.2 else (lambda rng: rng.choice(WORDS),)
    if leaves is ODD and rng.random() < 0.2:
        # One kind of key can be sorted, several cannot.
        keys = ODD_KEYS if rng.random() < 0.5 else (rng.choice(ODD_KEYS),)
    return {rng.choice(keys)(rng): value(rng, leaves, depth) for _ in range(rng.randrange(6))}


def odd_container(rng: random.Random, depth: int) -> t.Any:
    kind: t.Callable[..., t.Any] = rng.choice(
        (Items, Twice, Row, Point, Record, collections.OrderedDict, collections.Counter, Meddler)
    )
    if kind is Point or kind is Record:
        return kind(value(rng, ODD, depth))
    if kind is Meddler:
        holder: list[t.Any] = [None, *items(rng, ODD, depth)]
        holder[0] = Meddler(holder)
        return holder
    return kind(items(rng, ODD, depth) if kind in (Twice, Row) else mapping(rng, ODD, depth))


def nested(rng: random.Random) -> t.Any:
    """A deep value. Depths near stock's own limit are left out: it is some frames lower beneath a caller of ours."""
    deep: t.Any = rng.choice(PLAIN)(rng)
    wrap: t.Callable[[t.Any], t.Any] = rng.choice(
        (lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}, lambda inner: {" t": inner})
    )
    for _ in range(rng.choice((10, 60, 97, 98, 99, 100, 101, 102, 3000))):
        deep = wrap(deep)
    return deep


def circular(rng: random.Random) -> t.Any:
    circle: t.Any = rng.choice(([], {}))
    if isinstance(circle, list):
        circle.append((circle,))
    else:
        circle["a"] = [circle]
    return circle


def session(rng: random.Random) -> t.Any:
    """What a view may have put into a session, or somebody's script into a token."""
    kind = rng.random()
    if kind < 0.004:
        return {"deep": nested(rng)}
    if kind < 0.005:
        return {"circle": circular(rng)}
    if kind < 0.05:
        # As small as many sessions are, so that it is a close thing whether deflating pays.
        return {rng.choice(WORDS): compressible_text(rng)[:64]}
    leaves = ODD if rng.random() < 0.4 else PLAIN
    return value(rng, leaves, 2) if kind < 0.15 else mapping(rng, leaves, 3)


# --- JSON texts -----------------------------------------------------------------------------------------------------

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


# --- Deflate streams ------------------------------------------------------------------------------------------------
#
# zlib's own streams are all alike. These are what RFC 1951 allows besides, and what it almost allows.

Bits = list[int]

#: The smallest value of each code, and how many bits of the value follow the code (RFC 1951 section 3.2.5).
Codes = list[tuple[int, int]]
LENGTH_EXTRAS = [0] * 8 + [bits for bits in (1, 2, 3, 4, 5) for _ in range(4)]
DISTANCE_EXTRAS = [0, 0] + [bits for bits in range(14) for _ in range(2)]
LENGTH_CODES: Codes = [
    *zip(itertools.accumulate((1 << bits for bits in LENGTH_EXTRAS), initial=3), LENGTH_EXTRAS, strict=False),
    (258, 0),
]
DISTANCE_CODES: Codes = list(
    zip(itertools.accumulate((1 << bits for bits in DISTANCE_EXTRAS), initial=1), DISTANCE_EXTRAS, strict=False)
)
CODE_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
END_OF_BLOCK = 256
FIXED_LITERALS = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
FIXED_DISTANCES = [5] * 32


@dataclass(frozen=True)
class Symbol:
    """A literal, the end of a block, or a match, which has a distance."""

    code: int
    extra: Bits = field(default_factory=list)
    distance: int | None = None
    distance_extra: Bits = field(default_factory=list)


def low_bits_first(number: int, width: int) -> Bits:
    return [number >> bit & 1 for bit in range(width)]


def huffman(lengths: list[int]) -> dict[int, Bits]:
    """The canonical codes of these lengths (RFC 1951 section 3.2.2); of lengths that make no code, something alike."""
    codes = {}
    code = 0
    for length in range(1, 16):
        code <<= 1
        for symbol, width in enumerate(lengths):
            if width == length:
                codes[symbol] = low_bits_first(code, length)[::-1]
                code += 1
    return codes


def code_lengths(rng: random.Random, symbols: set[int], count: int, longest: int) -> list[int]:
    """Lengths of a random complete code for the symbols, with a small chance that it is not quite complete."""
    widths = [0]
    while len(widths) < len(symbols) or len(widths) == 1:
        split = rng.randrange(len(widths))
        if widths[split] < longest:
            widths[split] += 1
            widths.append(widths[split])
    rng.shuffle(widths)
    lengths = [0] * count
    for symbol, width in zip(sorted(symbols), widths, strict=False):
        lengths[symbol] = width
    if rng.random() < 0.03:
        at = rng.choice(sorted(symbols))
        lengths[at] = rng.choice((0, max(lengths[at] - 1, 1), min(lengths[at] + 1, longest)))
    return lengths


def coded(codes: Codes, value: int) -> tuple[int, Bits]:
    """Which of the codes stands for the value, and the bits that follow."""
    code = max(code for code, (first, _) in enumerate(codes) if first <= value)
    first, width = codes[code]
    return code, low_bits_first(value - first, width)


def symbols_of(rng: random.Random, data: bytes, start: int, end: int) -> list[Symbol]:
    """Literals, and matches here and there."""
    symbols = []
    at = start
    while at < end:
        earlier = data.rfind(data[at : at + 3], 0, at + 2) if at + 3 <= end and rng.random() < 0.5 else -1
        if earlier < 0:
            symbols.append(Symbol(data[at]))
            at += 1
            continue
        length = 3
        while length < 258 and at + length < end and data[earlier + length] == data[at + length]:
            length += 1
        # The longest match has a code of its own, but may also be spelled with the code before.
        spelled = coded(LENGTH_CODES[:-1] if rng.random() < 0.5 else LENGTH_CODES, length)
        distance = at - earlier if rng.random() < 0.98 else rng.choice((at, at + 1, 32_768))
        symbols.append(Symbol(END_OF_BLOCK + 1 + spelled[0], spelled[1], *coded(DISTANCE_CODES, distance)))
        at += length
    return [*symbols, Symbol(END_OF_BLOCK)]


def block_body(symbols: list[Symbol], literals: list[int], distances: list[int]) -> Bits:
    literal_codes, distance_codes = huffman(literals), huffman(distances)
    bits: Bits = []
    for symbol in symbols:
        bits += literal_codes.get(symbol.code, []) + symbol.extra
        if symbol.distance is not None:
            bits += distance_codes.get(symbol.distance, []) + symbol.distance_extra
    return bits


def fixed_block(rng: random.Random, symbols: list[Symbol]) -> Bits:
    if rng.random() < 0.03:
        # Codes that exist but stand for nothing.
        odd = rng.choice((Symbol(286), Symbol(287), Symbol(257, [], 30), Symbol(257, [], 31)))
        symbols = [*symbols[:-1], odd, symbols[-1]]
    return low_bits_first(1, 2) + block_body(symbols, FIXED_LITERALS, FIXED_DISTANCES)


def dynamic_block(rng: random.Random, symbols: list[Symbol]) -> Bits:
    used = {symbol.code for symbol in symbols} | set(rng.choices(range(286), k=rng.choice((0, 1, 9))))
    used_distances = {symbol.distance for symbol in symbols if symbol.distance is not None}
    used_distances |= set(rng.choices(range(30), k=rng.choice((0, 0, 1, 9))))
    literals = code_lengths(rng, used, rng.choice((286, 286, max(used | {256}) + 1)), 15)
    distances = code_lengths(rng, used_distances, 30, 15) if used_distances else [0]
    if rng.random() < 0.02:
        rng.choice((literals, distances)).extend((0, 0))
    return low_bits_first(2, 2) + code_header(rng, literals, distances) + block_body(symbols, literals, distances)


def code_header(rng: random.Random, literals: list[int], distances: list[int]) -> Bits:
    """The two codes of a block, themselves run-length coded (RFC 1951 section 3.2.7)."""
    lengths = literals + distances
    runs: list[tuple[int, Bits]] = []
    at = 0
    while at < len(lengths):
        run = sum(1 for _ in itertools.takewhile(lengths[at].__eq__, lengths[at : at + 138]))
        if rng.random() < 0.002:
            # Too long a run, or one of nothing.
            runs.append((18, low_bits_first(127, 7)) if at else (16, low_bits_first(0, 2)))
            at += 138
        elif lengths[at] == 0 and run >= 11:
            runs.append((18, low_bits_first(run - 11, 7)))
            at += run
        elif lengths[at] == 0 and run >= 3:
            runs.append((17, low_bits_first(run - 3, 3)))
            at += run
        elif at and lengths[at - 1] == lengths[at] and run >= 3 and rng.random() < 0.8:
            runs.append((16, low_bits_first(min(run, 6) - 3, 2)))
            at += min(run, 6)
        else:
            runs.append((lengths[at], []))
            at += 1
    used = {symbol for symbol, _ in runs} | set(rng.choices(range(19), k=rng.randrange(3)))
    widths = code_lengths(rng, used, 19, 7)
    codes = huffman(widths)
    last = max(at for at, symbol in enumerate(CODE_LENGTH_ORDER, 1) if widths[symbol] or at == 4)
    sent = last if rng.random() < 0.5 else 19
    header = low_bits_first(len(literals) - 257, 5) + low_bits_first(len(distances) - 1, 5)
    header += low_bits_first(sent - 4, 4)
    header += [bit for symbol in CODE_LENGTH_ORDER[:sent] for bit in low_bits_first(widths[symbol], 3)]
    return header + [bit for symbol, extra in runs for bit in codes.get(symbol, []) + extra]


def stored_block(rng: random.Random, data: bytes, bits_before: int) -> Bits:
    padding = [rng.randrange(2) for _ in range(-(bits_before + 2) % 8)]
    check = ~len(data) & 0xFFFF if rng.random() < 0.97 else 0
    stored = len(data).to_bytes(2, "little") + check.to_bytes(2, "little") + data
    return low_bits_first(0, 2) + padding + [bit for byte in stored for bit in low_bits_first(byte, 8)]


def hand_made_stream(rng: random.Random, data: bytes) -> bytes:
    """A zlib stream of up to four blocks of all kinds."""
    cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randrange(4)))
    bits: Bits = []
    for start, end in itertools.pairwise([0, *cuts, len(data)]):
        bits.append(int(end == len(data)))
        kind = rng.random()
        if kind < 0.2:
            bits += stored_block(rng, data[start:end], len(bits))
        elif kind < 0.4:
            bits += fixed_block(rng, symbols_of(rng, data, start, end))
        elif kind < 0.99:
            bits += dynamic_block(rng, symbols_of(rng, data, start, end))
        else:
            bits += low_bits_first(3, 2)
    body = bytes(sum(bit << at for at, bit in enumerate(bits[i : i + 8])) for i in range(0, len(bits), 8))
    method, flags = 0x78, rng.choice((0, 0x80))
    if rng.random() < 0.1:
        # Smaller and larger windows, another method, a preset dictionary.
        method, flags = rng.choice(((0x08, 0), (0x18, 0), (0x58, 0x40), (0x88, 0), (0x77, 0), (0x78, 0x20)))
    flags += -(method * 256 + flags) % 31 if rng.random() < 0.98 else 0
    checksum = zlib.adler32(data) if rng.random() < 0.98 else 1
    return bytes((method, flags)) + body + checksum.to_bytes(4, "big")


def zlib_stream(rng: random.Random, data: bytes) -> bytes:
    """A stream of zlib's, of any settings, and flushed in its midst."""
    deflater = zlib.compressobj(
        rng.randrange(-1, 10),
        wbits=rng.choice((15, 15, 15, 9, 10, 12, -15, 31)),
        memLevel=rng.randrange(1, 10),
        strategy=rng.randrange(5),
    )
    flush = rng.choice((zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH))
    half = len(data) // 2
    pieces = [deflater.compress(data[:half]), deflater.flush(flush), deflater.compress(data[half:]), deflater.flush()]
    return b"".join(pieces)


def deflated(rng: random.Random, data: bytes) -> bytes:
    kind = rng.random()
    if kind < 0.3:
        return zlib.compress(data)
    if kind < 0.31:
        return zlib.compress(b" " * 3_000_000 + data)
    stream = zlib.compress(data)
    if kind < 0.65:
        stream = zlib_stream(rng, data)
    elif len(data) < 10_000:
        stream = hand_made_stream(rng, data)
    fate = rng.random()
    if fate < 0.6:
        return stream
    if fate < 0.7:
        return stream + rng.choice((b"\x00", b"trailing", stream))
    if fate < 0.85:
        return stream[: rng.randrange(len(stream))]
    return flip_bit(rng, stream)


# --- Tokens ---------------------------------------------------------------------------------------------------------

MAX_AGES = (0, 1, 10, 60, 2_678_400, -1, True, False, 10**20, 10.0, 10.5, -0.5, math.nan, math.inf, decimal.Decimal(10))
ODD_TIMESTAMPS = (
    *(b"", b"A", b"AA", b"!!!!", b"====", b"\xff", b" " + base64_encode(int_to_bytes(int(NOW)))),
    *(base64_encode(b"\x00\x00" + int_to_bytes(int(NOW))), base64_encode(bytes(9)), base64_encode(b"\x01" * 9)),
)


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


# --- Settings -------------------------------------------------------------------------------------------------------


class OwnDefault(DefaultJSONProvider):
    @staticmethod
    def default(value: t.Any) -> t.Any:
        return sorted(value) if isinstance(value, (set, frozenset)) else DefaultJSONProvider.default(value)


class OwnDumps(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **{**kwargs, "separators": (", ", ": ")})


class OwnLoads(DefaultJSONProvider):
    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, parse_float=decimal.Decimal, **kwargs)


def type_name(value: t.Any) -> str:
    return type(value).__name__


def with_options(app: Flask, **options: t.Any) -> JSONProvider:
    provider = DefaultJSONProvider(app)
    vars(provider).update(options)
    return provider


PROVIDERS: dict[str, t.Callable[[Flask], JSONProvider]] = {
    "Flask's": with_options,
    "unsorted": functools.partial(with_options, sort_keys=False),
    "not escaping": functools.partial(with_options, ensure_ascii=False),
    "neither": functools.partial(with_options, sort_keys=0, ensure_ascii=""),
    "own default in the instance": functools.partial(with_options, default=type_name),
    "own dumps in the instance": functools.partial(with_options, dumps=lambda obj, **options: '{"own":1}'),
    "own default": OwnDefault,
    "own dumps": OwnDumps,
    "own loads": OwnLoads,
}


class TagSet(JSONTag):
    key = " s"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, (set, frozenset))

    def to_json(self, value: t.Any) -> t.Any:
        return self.serializer.tag(sorted(value))

    def to_python(self, value: t.Any) -> t.Any:
        return set(value)


class TagReversed(TagTuple):
    def to_python(self, value: t.Any) -> t.Any:
        return tuple(reversed(value))


def with_tag(tag: type[JSONTag], **how: t.Any) -> TaggedJSONSerializer:
    serializer = TaggedJSONSerializer()
    serializer.register(tag, **how)
    return serializer


class BytesSerializer:
    """Writes and reads bytes, so that tokens are bytes as well."""

    def dumps(self, value: t.Any) -> bytes:
        return json.dumps(value, default=type_name).encode()

    def loads(self, data: bytes) -> t.Any:
        return json.loads(data)


SERIALIZERS: dict[str, t.Any] = {
    "Flask's": SecureCookieSessionInterface.serializer,
    "like Flask's": TaggedJSONSerializer(),
    "one more tag": with_tag(TagSet),
    "one more tag at the front": with_tag(TagSet, index=0),
    "another tag for tuples": with_tag(TagReversed, force=True),
    "json": json,
    "bytes": BytesSerializer(),
}

SALTS = ("cookie-session", b"other", None)

FLASKS_DIGEST = SecureCookieSessionInterface.digest_method

DIGESTS: dict[str, t.Any] = {
    "Flask's": FLASKS_DIGEST,
    **{name: getattr(hashlib, name) for name in ("sha1", "sha224", "sha256", "sha384", "sha512", "md5", "sha3_256")},
    "lambda": lambda data=b"": hashlib.sha256(data),
    "partial": functools.partial(hashlib.new, "sha512"),
    "blake2s": hashlib.blake2s,
    "seeded": lambda data=b"": hashlib.sha1(b"seed" + data),
    "name": "sha256",
    "none": None,
}

#: What ``time.time`` may say: it ends natively in 2106, and by freezing clocks it may become an integer.
CLOCKS = (0.0, NOW + 0.5, 2.0**31, 2**32 - 1.0, 2.0**32, 1e12, -5.0, math.nan, "", int(NOW), 2**32, 2**64, -5)

KEYS: tuple[t.Any, ...] = ("secret", b"secret", "sécret", b"\x00\xff" * 50, "old", b"older", "k" * 64)
ODD_KEY_VALUES: tuple[t.Any, ...] = ("", None, 5, "\ud800", bytearray(b"secret"), ["a", "b"])
ODD_FALLBACKS: tuple[t.Any, ...] = ("old", b"old", ("",), {"old": 1}, [None], [5], 5)


class PlainSigner(TimestampSigner):
    """Signs without the time, and so reads what was signed without."""

    sign = Signer.sign


class Replaced:
    """A value that is put in place of a method, and answers as if it were one."""

    def __init__(self, answer: t.Any) -> None:
        self.answer = answer

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return self.answer


#: What a user may do to a serializer.
CHANGES: dict[str, t.Callable[[t.Any], object]] = {
    "another salt": lambda serializer: setattr(serializer, "salt", b"another"),
    "a newer key": lambda serializer: serializer.secret_keys.append(b"newer"),
    "an older key": lambda serializer: serializer.secret_keys.insert(0, b"older"),
    "another key": lambda serializer: serializer.secret_keys.__setitem__(-1, b"another"),
    "no keys": lambda serializer: serializer.secret_keys.clear(),
    "keys in a tuple": lambda serializer: setattr(serializer, "secret_keys", (b"a", b"b")),
    "another digest": lambda serializer: serializer.signer_kwargs.update(digest_method=hashlib.sha512),
    "another derivation": lambda serializer: serializer.signer_kwargs.update(key_derivation="concat"),
    "a separator": lambda serializer: serializer.signer_kwargs.update(sep=b"|"),
    "an algorithm": lambda serializer: serializer.signer_kwargs.update(algorithm=NoneAlgorithm()),
    "no signer options": lambda serializer: serializer.signer_kwargs.clear(),
    "a fallback signer": lambda serializer: serializer.fallback_signers.append({"key_derivation": "none"}),
    "another signer": lambda serializer: setattr(serializer, "signer", PlainSigner),
    "another serializer": lambda serializer: setattr(serializer, "serializer", json),
    "an option of the serializer": lambda serializer: serializer.serializer_kwargs.update(unknown=1),
    "a taste for bytes": lambda serializer: setattr(serializer, "is_text_serializer", False),
    "another payload": lambda serializer: setattr(serializer, "dump_payload", Replaced(b"payload")),
    "another way to read": lambda serializer: setattr(serializer, "load_payload", Replaced("read")),
    "an attribute": lambda serializer: setattr(serializer, "colour", "red"),
    "an attribute less": lambda serializer: delattr(serializer, "signer_kwargs"),
}


@dataclass(frozen=True)
class Setting:
    """How an app and its interface are set up, and the time of day."""

    secret_key: t.Any = "secret"
    fallbacks: t.Any = ()
    salt: t.Any = "cookie-session"
    key_derivation: t.Any = "hmac"
    digest: str = "Flask's"
    serializer: str = "Flask's"
    provider: str = "Flask's"
    in_app_context: bool = True
    now: t.Any = NOW

    def __str__(self) -> str:
        peculiar = {key.name: getattr(self, key.name) for key in fields(self) if getattr(self, key.name) != key.default}
        return f"Setting({', '.join(f'{name}={value!r}' for name, value in peculiar.items())})"


def setting(rng: random.Random) -> Setting:
    """One as most apps have, or one with some peculiarities."""
    if rng.random() < 0.55:
        return Setting(in_app_context=rng.random() < 0.8)
    peculiar: dict[str, t.Any] = {
        "secret_key": rng.choice(KEYS if rng.random() < 0.9 else ODD_KEY_VALUES),
        "fallbacks": rng.choices(KEYS, k=rng.randrange(1, 4)) if rng.random() < 0.9 else rng.choice(ODD_FALLBACKS),
        "salt": rng.choice(("cookie-session", "", "sält", b"salt", b"\xff", None, "\ud800", 5)),
        "key_derivation": rng.choice(("concat", "django-concat", "none", None, "unknown", "HMAC", Text("hmac"))),
        "digest": rng.choice(tuple(DIGESTS)),
        "serializer": rng.choice(tuple(SERIALIZERS)),
        "provider": rng.choice(tuple(PROVIDERS)),
        "now": rng.choice(CLOCKS),
    }
    names = [name for name in peculiar if rng.random() < 0.2]
    return Setting(in_app_context=rng.random() < 0.8, **{name: peculiar[name] for name in names})


# --- Comparison -----------------------------------------------------------------------------------------------------

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


# --- Cases ----------------------------------------------------------------------------------------------------------


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


def change(rng: random.Random) -> str | None:
    return rng.choice(tuple(CHANGES)) if rng.random() < 0.05 else None


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


@dataclass
class Run:
    """A number of cases, and what came of them."""

    seed: int
    sides: Sides
    cases: int = 0
    differences: int = 0
    #: How often each method came to which outcome.
    outcomes: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)

    def case(self, number: int) -> str | None:
        """Run one case, and return what to print if stock and ours differ."""
        rng = random.Random(self.seed * 2**64 + number)
        check = rng.choice(CASES)(rng, self.sides)
        self.cases += 1
        difference, stock = self._compare(check)
        if difference is None and check.method == "dumps" and isinstance(stock.value, (str, bytes)):
            difference, _ = self._compare(reading(rng, check.setting, stock.value))
        if difference is None:
            return None
        self.differences += 1
        return f"case {number} (repeat it with --seed {self.seed} --only {number})\n{difference}"

    def _compare(self, check: Check) -> tuple[str | None, Outcome]:
        stock, ours = self.sides.outcomes(check.setting, check.use(), check.use())
        self.outcomes[check.method, stock.name] += 1
        return (None if stock == ours else f"    {check}\n    stock: {stock}\n    ours:  {ours}"), stock

    def native_share(self, method: str) -> float:
        """How much of what went through a method of ours was settled natively."""
        counts = self.sides.ours.stats()[method]
        native: int = counts["native"] + counts.get("rejected", 0)
        declined: int = sum(counts["declined"].values())
        return native / max(native + declined, 1)

    def report(self) -> str:
        lines = []
        for method in ("dumps", "loads"):
            declined = collections.Counter(self.sides.ours.stats()[method]["declined"])
            reasons = ", ".join(f"{reason} {count}" for reason, count in declined.most_common())
            lines.append(f"{method}: {self.native_share(method):.1%} natively; declined: {reasons}")
        for method in ("dumps", "loads", "loads_unsafe"):
            named = collections.Counter({name: n for (used, name), n in self.outcomes.items() if used == method})
            lines.append(f"{method} gave " + ", ".join(f"{name} {count}" for name, count in named.most_common()))
        return "\n".join(lines)


def progress(done: int, cases: int) -> None:
    """A bar, for those who watch."""
    if sys.stderr.isatty():
        share = done / cases
        print(f"\r[{'#' * int(40 * share):40}] {done} / {cases}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare stock and ours over random sessions and tokens.")
    parser.add_argument("--cases", type=int, default=20_000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run but the case of this number")
    options = parser.parse_args()
    numbers = range(options.cases) if options.only is None else range(options.only, options.only + 1)
    # Printed first, lest a crash take it along.
    print(f"seed {options.seed}", flush=True)
    run = Run(options.seed, Sides())
    start = time.perf_counter()
    for done, number in enumerate(numbers):
        if done % 1000 == 0:
            progress(done, len(numbers))
        if (difference := run.case(number)) and run.differences <= MOST_PRINTED:
            print(f"\n{difference}", flush=True)
    progress(len(numbers), len(numbers))
    seconds = time.perf_counter() - start
    print(f"\n{run.report()}\n{run.cases / seconds:.0f} cases per second")
    print(f"{run.cases} cases, {run.differences} differences (seed {run.seed})")
    return 1 if run.differences else 0


if __name__ == "__main__":
    sys.exit(main())
