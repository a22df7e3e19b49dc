"""Random values of all kinds, and random sessions of them."""

from __future__ import annotations

import collections
import decimal
import math
import random
import re
import struct
import sys
import typing as t
from datetime import date
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import tzinfo
from types import MappingProxyType
from uuid import UUID
from zoneinfo import ZoneInfo

from markupsafe import Markup
from werkzeug.local import LocalProxy

from .odd_types import Blob
from .odd_types import Colour
from .odd_types import Html
from .odd_types import HtmlAttribute
from .odd_types import HtmlProperty
from .odd_types import HtmlText
from .odd_types import Identifier
from .odd_types import Integer
from .odd_types import Items
from .odd_types import Level
from .odd_types import Meddler
from .odd_types import Moment
from .odd_types import MoreMarkup
from .odd_types import Obliging
from .odd_types import Point
from .odd_types import Real
from .odd_types import Record
from .odd_types import Reentrant
from .odd_types import Row
from .odd_types import Text
from .odd_types import Timeout
from .odd_types import Twice
from .odd_types import Vague
from .odd_types import Word

Make = t.Callable[[random.Random], t.Any]


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
