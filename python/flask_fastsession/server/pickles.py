"""Old pickles read without running them, for ``flask session convert`` alone: no request ever comes here.

A pickle is a program that calls what it names. Here it can name a few plain types and nothing else, can use only the
instructions that plain data needs, and what it has made is copied into plain types before anybody looks at it.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import struct
import typing as t
from collections import OrderedDict
from datetime import date
from datetime import datetime
from datetime import time
from datetime import timedelta
from datetime import timezone
from decimal import Decimal
from uuid import UUID

from markupsafe import Markup

from .record import Data

#: How deep values are nested at most.
DEEPEST = 100

#: How many bytes the values take at most, about: a short pickle can refer to one value a million times.
MOST = 4_000_000


class NotPlain(Exception):
    """A pickle that is not read, and why."""


class Sealed(type):
    """Classes that a pickle cannot change. It may set attributes of whatever it can name."""

    def __setattr__(cls, name: str, value: object) -> t.NoReturn:
        raise AttributeError(f"{cls.__name__} cannot be changed")


class PickledUUID(metaclass=Sealed):
    """What a pickle says a UUID is."""

    __slots__ = ("state",)

    def __setstate__(self, state: object) -> None:
        self.state = state


class PickledMarkup(str, metaclass=Sealed):
    """What a pickle says Markup is."""

    __slots__ = ()


#: All that a pickle may name. None of them can be changed.
TYPES: dict[tuple[str, str], type] = {
    ("builtins", "frozenset"): frozenset,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("datetime", "date"): date,
    ("datetime", "datetime"): datetime,
    ("datetime", "time"): time,
    ("datetime", "timedelta"): timedelta,
    ("datetime", "timezone"): timezone,
    ("decimal", "Decimal"): Decimal,
    ("markupsafe", "Markup"): PickledMarkup,
    ("uuid", "UUID"): PickledUUID,
}

#: The instructions of pickles. Those that are missing look up extensions and objects of the application, or come from
#: Python 2.
OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8
    EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD
"""


class PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> t.Any:
        try:
            return TYPES[module, name]
        except KeyError:
            # Whoever made the pickle chose this text, and it is printed on a terminal.
            raise NotPlain(f"holds {ascii(f'{module}.{name}')[1:60].rstrip(chr(39))}, which is no plain type") from None


def plain_pickle(text: bytes) -> t.Any:
    """Return the plain value that a pickle holds; raise :exc:`NotPlain`."""
    return plain_pickles(text)[0]


def plain_pickles(text: bytes, count: int = 1) -> list[t.Any]:
    """Return the values of pickles that follow each other; raise :exc:`NotPlain`."""
    file = io.BytesIO(text)
    values = []
    try:
        for _ in range(count):
            start = file.tell()
            check(file)
            file.seek(start)
            values.append(Copier().copy(PlainUnpickler(file).load()))
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain(f"is damaged ({type(error).__name__})") from error
    return values


def check(file: io.BytesIO) -> None:
    allowed = set(OPCODES.split())
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name not in allowed:
            raise NotPlain(f"uses the instruction {opcode.name}")
        # Memory is made for as many as the number says.
        if opcode.name.endswith("PUT") and int(t.cast(int, argument)) > number:
            raise NotPlain("is damaged (memo)")


class Copier:
    """Copies plain values, up to a size."""

    def __init__(self) -> None:
        self.size = 0

    def copy(self, value: t.Any, depth: int = 0) -> t.Any:
        self.count(8)
        if depth > DEEPEST:
            raise NotPlain("is nested too deeply")
        kind = type(value)
        if value is None or kind in (bool, float, datetime, date, time, timedelta):
            return value
        if kind is int:
            self.count(value.bit_length() // 8)
            return value
        if kind is Decimal:
            self.count(len(value.as_tuple().digits))
            return value
        if kind in (str, bytes):
            self.count(len(value))
            return value
        if kind is PickledMarkup:
            self.count(len(value))
            return Markup(str(value))
        if kind is PickledUUID:
            return uuid_of(value)
        if kind in (list, tuple):
            return kind(self.copy(item, depth + 1) for item in value)
        if kind in (set, frozenset):
            # As Flask-Session 0.8 stores sets.
            return [self.copy(item, depth + 1) for item in value]
        if kind in (dict, OrderedDict):
            return {self.copy(key, depth + 1): self.copy(item, depth + 1) for key, item in dict.items(value)}
        raise NotPlain(f"holds {kind.__module__}.{kind.__qualname__}")

    def count(self, size: int) -> None:
        self.size += size
        if self.size > MOST:
            raise NotPlain("is too large")


def uuid_of(pickled: PickledUUID) -> UUID:
    state = getattr(pickled, "state", None)
    number = state.get("int") if type(state) is dict else None
    if type(number) is not int or not 0 <= number < 1 << 128:
        raise NotPlain("is damaged (UUID)")
    return UUID(int=number)


def plain_session(text: bytes) -> Data:
    """Return the session that a pickle holds; raise :exc:`NotPlain`."""
    return checked_session(plain_pickle(text))


def plain_session_in_file(content: bytes) -> tuple[Data, float]:
    """Return the session in a file of cachelib, and when it ends in seconds since 1970, 0 for never."""
    # Four bytes are the time, and before cachelib 0.7 it was a pickle of its own.
    if content[4:5] != b"\x80":
        return plain_session_and_end(content)
    try:
        return plain_session(content[4:]), struct.unpack("I", content[:4])[0]
    except NotPlain:
        # About one time in 256 begins as a pickle does, so what is said of the file is what its first reading found.
        with contextlib.suppress(NotPlain):
            return plain_session_and_end(content)
        raise


def plain_session_and_end(content: bytes) -> tuple[Data, float]:
    """Return the session in a file of cachelib before 0.7: the time is a pickle, and the session another."""
    end, value = plain_pickles(content, 2)
    if type(end) not in (int, float):
        raise NotPlain("is no file of cachelib")
    return checked_session(value), end


def checked_session(value: t.Any) -> Data:
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise NotPlain("is no session")
    return value
