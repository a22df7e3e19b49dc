"""What a session is stored as: Flask's tagged JSON, or the msgpack and JSON of Flask-Session.

The first byte of a record tells which it is, so that an app may change its format while sessions live.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Callable

from flask.sessions import session_json_serializer

from .._native import dump_tagged
from .._native import load_tagged

TAGGED = b"~"

Data: t.TypeAlias = "dict[str, t.Any]"


class NotARecord(Exception):
    """Bytes in a store that hold no session: damaged, or somebody else's."""


class RecordFormat:
    """Writes sessions in one format, and reads all.

    ``name`` is ``"tagged"``, ``"msgpack"`` or ``"json"``. The latter two are written byte for byte as Flask-Session 0.8
    writes them, and need the package msgspec. What they cannot hold, such as ``Markup``, is stored as tagged JSON.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dumps: Callable[[Data], bytes]
        if name == "tagged":
            self.dumps = tagged
        elif name in ("msgpack", "json"):
            self.dumps = or_tagged(encoder_of(name))
        else:
            raise ValueError(f'SESSION_SERIALIZATION_FORMAT is "tagged", "msgpack" or "json", not {name!r}')

    def loads(self, record: bytes) -> Data:
        """Return the data of a record; raise :exc:`NotARecord` if it is none. Nothing is ever unpickled."""
        try:
            data = reader_of(record)(record)
        except Exception as error:
            # A tag can be around anything, and then each reader fails in a way of its own.
            raise NotARecord(str(error) if isinstance(error, ImportError) else type(error).__name__) from error
        if type(data) is not dict:
            raise NotARecord("no mapping")
        return data


def tagged(data: Data) -> bytes:
    text = dump_tagged(session_json_serializer, data)
    return TAGGED + (session_json_serializer.dumps(data).encode() if text is None else text)


def read_tagged(record: bytes) -> t.Any:
    text = record[len(TAGGED) :]
    data = load_tagged(session_json_serializer, text)
    return session_json_serializer.loads(text.decode()) if data is NotImplemented else data


def or_tagged(encode: Callable[[Data], bytes]) -> Callable[[Data], bytes]:
    def dumps(data: Data) -> bytes:
        try:
            return encode(data)
        except (TypeError, ValueError, OverflowError):
            return tagged(data)

    return dumps


def encoder_of(name: str) -> Callable[[Data], bytes]:
    try:
        import msgspec
    except ImportError:
        raise ValueError(
            f"SESSION_SERIALIZATION_FORMAT={name!r} needs msgspec: pip install 'flask-fastsession[redis]'"
        ) from None
    return msgspec.msgpack.Encoder().encode if name == "msgpack" else msgspec.json.Encoder().encode


def reader_of(record: bytes) -> Callable[[bytes], t.Any]:
    first = record[:1]
    if first == TAGGED:
        return read_tagged
    if first == b"{":
        return read_json
    if b"\x80" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        return read_msgpack
    raise ValueError("no known format")


def read_msgpack(record: bytes) -> t.Any:
    import msgspec

    return msgspec.msgpack.decode(record)


def read_json(record: bytes) -> t.Any:
    # Of bytes it would also guess UTF-16 and UTF-32.
    return json.loads(record.decode())
