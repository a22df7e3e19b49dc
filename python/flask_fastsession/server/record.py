"""What a session is stored as: Flask's tagged JSON, or the msgpack and JSON of Flask-Session.

The first byte of a record tells which it is, so that an app may change its format while sessions live.
"""

from __future__ import annotations

import datetime
import decimal
import json
import typing as t
from collections.abc import Callable

from flask.sessions import session_json_serializer

from .._native import dump_tagged
from .._native import load_tagged

TAGGED = b"~"

#: The msgpack extension type that holds one value as tagged JSON. Types from -128 to -1 are msgpack's own.
TAGGED_EXTENSION = TAGGED[0]

#: How pickles begin that hold a dict: with the protocols 2 to 5, or with protocol 0. The only msgpack that begins with
#: 0x80 is an empty map, and that is one byte.
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(dp")

Data: t.TypeAlias = "dict[str, t.Any]"


class NotARecord(Exception):
    """Bytes in a store that hold no session: damaged, or somebody else's."""


class PickledRecord(NotARecord):
    """A session that Flask-Session before 0.8 has stored. To load a pickle is to run it, so it is never loaded."""


class RecordFormat:
    """Writes sessions in one format, and reads all.

    ``name`` is ``"tagged"``, ``"msgpack"`` or ``"json"``. How a value is stored depends on the value and the format
    alone, never on what else is in the session.

    ``"tagged"`` keeps the types that Flask's cookies keep.

    ``"msgpack"`` and ``"json"`` need the package msgspec. A session that Flask-Session 0.8 can write is written byte
    for byte as Flask-Session writes it, and is read as Flask-Session reads it: a tuple as a list, and a
    :class:`~datetime.timedelta`, a naive datetime, a UUID and a :class:`~decimal.Decimal` as a string. ``"msgpack"``
    keeps keys that are no strings, bytes, and aware datetimes, as UTC; ``"json"`` makes strings of these, too.

    What msgspec cannot write is stored as Flask's cookies store it; what has a method ``__html__`` is read as
    ``Markup``. In ``"msgpack"`` the value alone is stored so, as an extension type, which Flask-Session shows to the
    application as ``msgspec.msgpack.Ext`` and keeps. In ``"json"``, which has no extensions, the whole record becomes
    tagged JSON, which Flask-Session cannot read, and the other values in it stay what ``"json"`` makes of them. An
    instance of a subclass of a type that msgspec writes is stored as one of that type, and a lazy string without
    ``__html__`` as a string.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dumps: Callable[[Data], bytes]
        if name == "tagged":
            self.dumps = tagged
        elif name == "msgpack":
            self.dumps = msgpack_writer()
        elif name == "json":
            self.dumps = json_writer()
        else:
            raise ValueError(f'SESSION_SERIALIZATION_FORMAT must be "tagged", "msgpack" or "json", not {name!r}')

    def loads(self, record: bytes) -> Data:
        """Return the data of a record; raise :exc:`NotARecord` if it is none. Nothing is ever unpickled."""
        try:
            data = reader_of(record)(record)
        except NotARecord:
            raise
        except Exception as error:
            # A tag can be around anything, and then each reader fails in a way of its own.
            raise NotARecord(str(error) if isinstance(error, ImportError) else type(error).__name__) from error
        if type(data) is not dict:
            raise NotARecord("no mapping")
        return data


# --- Tagged JSON ----------------------------------------------------------------------------------------------------


def tagged(data: Data) -> bytes:
    return TAGGED + tagged_text(data)


def read_tagged(record: bytes) -> t.Any:
    return read_tagged_text(record[len(TAGGED) :])


def tagged_text(value: t.Any) -> bytes:
    text = dump_tagged(session_json_serializer, value)
    return session_json_serializer.dumps(value).encode() if text is None else text


def read_tagged_text(text: bytes) -> t.Any:
    value = load_tagged(session_json_serializer, text)
    return session_json_serializer.loads(text.decode()) if value is NotImplemented else value


# --- What msgspec cannot write --------------------------------------------------------------------------------------

#: The types whose subclasses msgspec does not write, and how to make of such an instance one of the type itself.
#: A datetime is a date, too, so it comes first. The types are those at import: freezegun replaces them later.
BASES: dict[type, Callable[[t.Any, t.Any], t.Any]] = {
    str: lambda base, value: base.__str__(value),
    int: lambda base, value: base.__int__(value),
    float: lambda base, value: base.__float__(value),
    bytes: lambda base, value: base(value),
    datetime.datetime: lambda base, value: base.combine(value.date(), value.timetz()),
    datetime.date: lambda base, value: base(value.year, value.month, value.day),
    datetime.timedelta: lambda base, value: base(value.days, value.seconds, value.microseconds),
    decimal.Decimal: lambda base, value: base(value),
}


def has_html(value: object) -> bool:
    """Whether Flask's tagged JSON makes ``Markup`` of a value."""
    return callable(getattr(value, "__html__", None))


def as_base(value: object) -> t.Any:
    """Return what msgspec can write in place of a value, or ``NotImplemented``."""
    for base, convert in BASES.items():
        if issubclass(type(value), base):
            return convert(base, value)
    # A lazy string forwards to the string that it makes.
    if not isinstance(value, type) and callable(getattr(value, "casefold", None)):
        return str(value)
    return NotImplemented


class Unfit:
    """A value of a type that msgspec writes, but which it cannot write: a greater integer, or half a surrogate pair."""

    __slots__ = ("value",)

    def __init__(self, value: t.Any) -> None:
        self.value = value


def msgpack_writer() -> Callable[[Data], bytes]:
    msgspec = import_msgspec("msgpack")

    def extended(value: t.Any) -> t.Any:
        """Called by msgspec for what it cannot write; returns what it writes in its place."""
        if type(value) is Unfit:
            return msgspec.msgpack.Ext(TAGGED_EXTENSION, tagged_text(value.value))
        if has_html(value):
            return msgspec.msgpack.Ext(TAGGED_EXTENSION, tagged_text(value))
        base = as_base(value)
        if base is not NotImplemented:
            return base
        text = tagged_text(value)
        read = read_tagged_text(text)
        # The app's JSON provider may make a dict of a type of the app's; a tag of the app's own restores the type.
        return msgspec.msgpack.Ext(TAGGED_EXTENSION, text) if type(read) is type(value) else read

    encode: Callable[[t.Any], bytes] = msgspec.msgpack.Encoder(enc_hook=extended).encode

    def fitted(value: t.Any) -> t.Any:
        if isinstance(value, dict):
            return {fitted_one(key): fitted(item) for key, item in dict.items(value)}
        if isinstance(value, list | tuple | set | frozenset):
            return [fitted(item) for item in value]
        return fitted_one(value)

    def fitted_one(value: t.Any) -> t.Any:
        try:
            encode(value)
        except (OverflowError, UnicodeEncodeError):
            return Unfit(value)
        return value

    def dumps(data: Data) -> bytes:
        try:
            return encode(data)
        except (OverflowError, UnicodeEncodeError):
            return encode(fitted(data))

    return dumps


def json_writer() -> Callable[[Data], bytes]:
    msgspec = import_msgspec("json")

    def based(value: t.Any) -> t.Any:
        base = NotImplemented if has_html(value) else as_base(value)
        if base is NotImplemented:
            raise TypeError
        return base

    encode: Callable[[t.Any], bytes] = msgspec.json.Encoder(enc_hook=based).encode

    def reduced(value: t.Any) -> t.Any:
        """Return what would be read of a value if all of it could be written; what cannot be is left to Flask."""
        if isinstance(value, dict):
            return {reduced_key(key): reduced(item) for key, item in dict.items(value)}
        if isinstance(value, list | tuple | set | frozenset):
            return [reduced(item) for item in value]
        try:
            return json.loads(encode(value))
        except (TypeError, ValueError, OverflowError):
            return value

    def reduced_key(key: t.Any) -> t.Any:
        try:
            (read,) = json.loads(encode({key: None}))
        except (TypeError, ValueError, OverflowError):
            return key
        return read

    def dumps(data: Data) -> bytes:
        try:
            return encode(data)
        except (TypeError, ValueError, OverflowError):
            return tagged(reduced(data))

    return dumps


def import_msgspec(name: str) -> t.Any:
    try:
        import msgspec
    except ImportError:
        raise ValueError(
            f"SESSION_SERIALIZATION_FORMAT={name!r} needs msgspec: pip install 'flask-fastsession[redis]'"
        ) from None
    return msgspec


# --- Reading --------------------------------------------------------------------------------------------------------


def reader_of(record: bytes) -> Callable[[bytes], t.Any]:
    first = record[:1]
    if first == TAGGED:
        return read_tagged
    if first == b"{":
        return read_json
    if record.startswith(PICKLES):
        raise PickledRecord("written by Flask-Session < 0.8 as a pickle, which is never loaded")
    if b"\x80" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        return read_msgpack
    raise NotARecord("no known format")


def read_msgpack(record: bytes) -> t.Any:
    import msgspec

    return msgspec.msgpack.decode(record, ext_hook=read_extension)


def read_extension(code: int, text: memoryview) -> t.Any:
    if code != TAGGED_EXTENSION:
        # Of another program, or of a later version of this one.
        raise NotARecord(f"unknown msgpack extension type {code}")
    return read_tagged_text(bytes(text))


def read_json(record: bytes) -> t.Any:
    # Of bytes it would also guess UTF-16 and UTF-32.
    return json.loads(record.decode())
