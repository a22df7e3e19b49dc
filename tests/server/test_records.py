"""Records: what a session is stored as, and what becomes of bytes that are none."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import pickle
import random
import struct
import sys
import typing as t
import uuid
from collections import Counter
from collections import OrderedDict
from collections import UserString
from unittest import mock

import flask
import msgspec
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask_session.base import MsgSpecSerializer
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from flask_fastsession._native import dump_tagged
from flask_fastsession._native import load_tagged
from flask_fastsession.server import ServerSession
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server import record as record_module
from flask_fastsession.server.record import TAGGED
from flask_fastsession.server.record import TAGGED_EXTENSION
from flask_fastsession.server.record import NotARecord
from flask_fastsession.server.record import PickledRecord
from flask_fastsession.server.record import RecordFormat
from tests.differential.codec.comparison import described
from tests.differential.codec.comparison import described_error
from tests.differential.codec.json_texts import json_bytes
from tests.differential.codec.odd_types import Timeout
from tests.differential.codec.values import session
from tests.faults.support import scaled

NAMES = ("tagged", "msgpack", "json")
FORMATS = {name: RecordFormat(name) for name in NAMES}
FLASKS = TaggedJSONSerializer()

CASES = 5_000

SAMPLE: dict[str, t.Any] = {
    "_permanent": True,
    "_user_id": "42",
    "_flashes": [["message", "saved ☕"]],
    "cart": [{"sku": "a-1", "count": 2, "price": 9.5}, None, -1, 2**40],
    "nested": {"a": {"b": [[], {}]}},
}
#: What JSON and msgpack do not tell apart from other things.
TAGS: dict[str, t.Any] = {
    "pair": (1, ("a",)),
    "blob": b"\x00\xff",
    "markup": Markup("<b>"),
    "id": uuid.UUID(int=7),
    "at": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
    "lookalike": {" t": [1]},
}
SAMPLES = {
    "tagged": FORMATS["tagged"].dumps({**SAMPLE, **TAGS}),
    "msgpack": FORMATS["msgpack"].dumps({**SAMPLE, "blob": b"\x00\xff", "at": TAGS["at"], "real": 0.1}),
    "json": FORMATS["json"].dumps(SAMPLE),
}

with_each_format = pytest.mark.parametrize("name", NAMES)
with_each_sample = pytest.mark.parametrize("record", SAMPLES.values(), ids=SAMPLES)


# --- Tagged ---------------------------------------------------------------------------------------------------------


def outcome(call: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
    try:
        return described(call(*args))
    except (Exception, Timeout) as error:
        return described_error(error)


def dumps_as_flask(data: t.Any) -> bytes:
    return FLASKS.dumps(data).encode()


def dumps_as_record(data: t.Any) -> bytes:
    return FORMATS["tagged"].dumps(data).removeprefix(TAGGED)


def test_tagged_records_are_what_flask_puts_into_cookies() -> None:
    seen: Counter[str] = Counter()
    with flask.Flask("app").app_context():
        for number in range(CASES):
            # Some values change when they are looked at.
            ours, stocks = (session(random.Random(number)) for _ in range(2))
            kind, text, *rest = outcome(dumps_as_flask, stocks)
            assert outcome(dumps_as_record, ours) == (kind, text, *rest), f"case {number}"
            if kind is not bytes:
                seen[kind.__name__] += 1
                continue
            seen["native" if dump_tagged(FLASKS, session(random.Random(number))) else "declined"] += 1
            read = outcome(FLASKS.loads, text.decode())
            if read[0] is dict:
                assert outcome(FORMATS["msgpack"].loads, TAGGED + text) == read, f"case {number}"
                seen["loaded natively" if load_tagged(FLASKS, text) is not NotImplemented else "by Flask"] += 1
    assert {"native", "declined", "TypeError", "loaded natively"} <= seen.keys(), seen


@given(st.randoms(use_true_random=True))
@settings(max_examples=scaled(80, 5_000))
def test_whatever_is_tagged_json_for_flask_is_a_record_or_none(rng: random.Random) -> None:
    text = json_bytes(rng)
    try:
        stock: t.Any = FLASKS.loads(text.decode())
    except Exception:
        stock = None
    read = read_or_none(TAGGED + text)
    assert described(read) == described(stock if type(stock) is dict else None)


def read_or_none(record: bytes, name: str = "tagged") -> dict[str, t.Any] | None:
    try:
        return FORMATS[name].loads(record)
    except NotARecord:
        return None


# --- Every format ---------------------------------------------------------------------------------------------------


@with_each_format
@with_each_sample
def test_every_format_is_read_whichever_is_configured(name: str, record: bytes) -> None:
    (written,) = (other for other in NAMES if SAMPLES[other] is record)
    assert described(FORMATS[name].loads(record)) == described(FORMATS[written].loads(record))
    assert FORMATS[name].loads(record)["_flashes"] == SAMPLE["_flashes"]


@with_each_format
def test_a_record_says_by_its_first_byte_what_it_is(name: str) -> None:
    for count in (0, 1, 15, 16, 17, 70_000):
        data = {f"key {number}": number for number in range(count)}
        record = FORMATS[name].dumps(data)
        assert all(reader.loads(record) == data for reader in FORMATS.values())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.text().map(Markup)
    | st.uuids()
    # Flask writes years of two digits as such, and reads them as of another century.
    | st.datetimes(min_value=datetime.datetime(1000, 1, 1)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=6,
)


@with_each_format
@given(data=st.dictionaries(st.text(), json_values, max_size=4))
@settings(max_examples=scaled(50, 3_000))
def test_what_has_been_read_is_written_as_it_was(name: str, data: dict[str, t.Any]) -> None:
    """Or else a session would be written each time it is read, and perhaps become something else."""
    record = FORMATS[name].dumps(data)
    assert FORMATS[name].dumps(FORMATS[name].loads(record)) == record


EXTREMES = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 2**53 + 1, 2**64, -(2**63) - 1, 10**30]


@pytest.mark.parametrize("number", EXTREMES)
@with_each_format
def test_extreme_numbers_are_written_and_read(name: str, number: float) -> None:
    read = FORMATS[name].loads(FORMATS[name].dumps({"n": number}))["n"]
    if name == "json" and isinstance(number, float) and not math.isfinite(number):
        assert read is None
    else:
        assert described(read) == described(number) or (math.isnan(number) and math.isnan(read))


def test_keys_that_are_no_strings_are_read_as_flask_session_reads_them() -> None:
    for data in ({1: "a", None: "b", 2.5: "c", b"d": 1}, {True: 1}, {(1, 2): 3}):
        record = msgspec.msgpack.encode(data)
        try:
            stock = msgspec.msgpack.decode(record)
        except (msgspec.DecodeError, TypeError):
            assert read_or_none(record) is None
        else:
            assert described(FORMATS["msgpack"].loads(record)) == described(stock)


# --- As Flask-Session -----------------------------------------------------------------------------------------------

PEERS = {name: MsgSpecSerializer(flask.Flask("peer"), name) for name in ("msgpack", "json")}
with_each_peer = pytest.mark.parametrize("name", PEERS)

zones: st.SearchStrategy[t.Any] = st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
#: Far enough from the first and the last year that there is a time in UTC.
moments = st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1), timezones=st.none() | zones)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
integers = st.integers(-(2**63), 2**64 - 1)
peer_scalars = (
    st.none()
    | st.booleans()
    | integers
    | st.floats()
    | texts
    | st.binary(max_size=5)
    | moments
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
json_keys = texts | integers | st.uuids() | st.dates()
msgpack_keys = json_keys | st.none() | st.booleans() | st.binary(max_size=3) | st.tuples(texts, integers)


def nested(scalars: st.SearchStrategy[t.Any], keys: st.SearchStrategy[t.Any]) -> st.SearchStrategy[dict[t.Any, t.Any]]:
    values = st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
            | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
            | st.frozensets(integers, max_size=3)
        ),
        max_leaves=6,
    )
    return st.dictionaries(texts | keys, values, max_size=5)


peer_sessions = {"msgpack": nested(peer_scalars, msgpack_keys), "json": nested(peer_scalars, json_keys)}


@with_each_peer
@given(data=st.data())
@settings(max_examples=scaled(50, 3_000))
def test_what_flask_session_can_write_is_written_and_read_as_by_flask_session(name: str, data: st.DataObject) -> None:
    session = data.draw(peer_sessions[name])
    record = FORMATS[name].dumps(session)
    assert record == PEERS[name].encode(session)
    assert described(FORMATS[name].loads(record)) == described(PEERS[name].decode(record))


def test_flask_session_keeps_the_values_that_it_cannot_write() -> None:
    data = {"markup": Markup("<b>"), "great": 2**70, "a": {7: 1}}
    record = FORMATS["msgpack"].dumps(data)
    theirs = PEERS["msgpack"].decode(record)
    assert theirs["a"] == {7: 1}
    theirs["a"][8] = 2
    written = PEERS["msgpack"].encode(theirs)
    assert described(FORMATS["msgpack"].loads(written)) == described({**data, "a": {7: 1, 8: 2}})


# --- What msgspec cannot write --------------------------------------------------------------------------------------


class Lazy:
    """A lazy string as Flask-Babel's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __getattr__(self, name: str) -> t.Any:
        return getattr(str(self), name)


class LazyWithHTML(Lazy):
    def __html__(self) -> str:
        return self.text


class Text(str):
    def __str__(self) -> str:
        return "something else"


class Number(int):
    pass


class Real(float):
    pass


class Blob(bytes):
    pass


class Moment(datetime.datetime):
    pass


class Day(datetime.date):
    pass


class Span(datetime.timedelta):
    pass


class Price(decimal.Decimal):
    pass


@dataclasses.dataclass
class Item:
    name: t.Any


UTC = datetime.timezone.utc
#: Values that msgspec cannot write, and what is read of them in msgpack.
ODD: list[tuple[t.Any, t.Any]] = [
    (Markup("<b>é"), Markup("<b>é")),
    (Markup("\ud800"), Markup("\ud800")),
    (LazyWithHTML("<i>"), Markup("<i>")),
    (Lazy("hello"), "hello"),
    (UserString("hello"), "hello"),
    (Text("hello"), "hello"),
    (Number(7), 7),
    (Real(0.5), 0.5),
    (Blob(b"\xff"), b"\xff"),
    (Moment(2024, 2, 29, 12, 0, 0, 123456, UTC), datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)),
    (Moment(2024, 2, 29, 12, 0, 0, 123456), "2024-02-29T12:00:00.123456"),
    (Day(2024, 2, 29), "2024-02-29"),
    (Span(1, 2, 3), "P1DT2.000003S"),
    (Price("1.50"), "1.50"),
    (2**64, 2**64),
    (-(2**63) - 1, -(2**63) - 1),
    (10**400, 10**400),
    (Number(2**70), 2**70),
    ("\ud800", "\ud800"),
    (Item(Markup("<b>")), {"name": Markup("<b>")}),
]
odd_ids = [f"{type(value).__name__} {ascii(value)[:20]}" for value, _ in ODD]


@pytest.mark.parametrize("value, expected", ODD, ids=odd_ids)
def test_what_msgspec_cannot_write_is_read_from_msgpack(value: t.Any, expected: t.Any) -> None:
    msgpack = FORMATS["msgpack"]
    for container in ({"v": value}, {"v": [value, (value,)]}, {"v": {7: value, "s": {1, 2}}}):
        read = msgpack.loads(msgpack.dumps(container))
        found = read["v"] if container["v"] is value else read["v"][0 if isinstance(read["v"], list) else 7]
        assert described(found) == described(expected)
        assert msgpack.dumps(read) == msgpack.dumps(container)


def test_the_other_values_of_a_session_stay_as_they_are() -> None:
    """They became those of Flask's cookies: keys were strings, a time lost its fraction, a duration was an error."""
    at = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, UTC)
    others = {"keys": {7: 1, None: 2}, "lasts": datetime.timedelta(hours=1, microseconds=5), "at": at, "blob": b"\xff"}
    for value in (Markup("<b>"), LazyWithHTML("<b>"), Lazy("<b>"), 2**70, "\ud800"):
        msgpack = FORMATS["msgpack"]
        read = msgpack.loads(msgpack.dumps({**others, "odd": value}))
        assert read.pop("odd") == (str(value) if isinstance(value, Lazy) else value)
        assert described(read) == described(PEERS["msgpack"].decode(PEERS["msgpack"].encode(others)))
        assert read["keys"] == others["keys"]
        assert read["at"] == at


odd_scalars = st.sampled_from([value for value, _ in ODD]) | st.text(st.characters(), max_size=3).map(Markup)
odd_keys = st.sampled_from(["\ud800", Text("text"), Markup("<b>"), "a"])
mixed_sessions = {
    "msgpack": nested(peer_scalars | odd_scalars, msgpack_keys | odd_keys | st.just(2**70) | st.just((2**70,))),
    "json": nested(peer_scalars | odd_scalars, json_keys | odd_keys),
}


@with_each_peer
@given(data=st.data())
@settings(max_examples=scaled(80, 5_000))
def test_no_value_depends_on_what_else_is_in_the_session(name: str, data: st.DataObject) -> None:
    session = data.draw(mixed_sessions[name])
    written = FORMATS[name]
    together = written.loads(written.dumps(session))
    apart: dict[t.Any, t.Any] = {}
    for key, value in session.items():
        apart.update(written.loads(written.dumps({key: value})))
    assert described(together) == described(apart)
    assert written.dumps(together) == written.dumps(written.loads(written.dumps(together)))


any_texts = st.text(st.characters(), max_size=5)
utc_times = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0))
# Flask writes no fractions, and years of two digits as such, which it reads as of another century.
whole_times = utc_times.map(lambda moment: moment.replace(microsecond=0)).filter(lambda moment: moment.year >= 1000)
json_scalars = st.none() | st.booleans() | st.integers() | any_texts | any_texts.map(Markup)
#: What each format keeps, as it is.
kept_scalars: dict[str, st.SearchStrategy[t.Any]] = {
    "tagged": json_scalars | st.floats() | st.binary(max_size=5) | st.uuids() | whole_times,
    "msgpack": json_scalars | st.floats() | st.binary(max_size=5) | utc_times,
    "json": json_scalars | st.floats(allow_nan=False, allow_infinity=False),
}
kept_keys: dict[str, st.SearchStrategy[t.Any]] = {
    "tagged": any_texts,
    "msgpack": any_texts
    | st.integers()
    | st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.binary(max_size=3),
    "json": any_texts,
}


def kept(name: str) -> st.SearchStrategy[dict[t.Any, t.Any]]:
    keys = kept_keys[name]

    def containers(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
        found = st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
        return found | st.lists(inner, max_size=3).map(tuple) if name == "tagged" else found

    return st.dictionaries(keys, st.recursive(kept_scalars[name], containers, max_leaves=8), max_size=5)


kept_sessions = {name: kept(name) for name in NAMES}


@with_each_format
@given(data=st.data())
@settings(max_examples=scaled(80, 5_000))
def test_what_a_format_keeps_is_read_with_values_and_types_as_it_was(name: str, data: st.DataObject) -> None:
    session = data.draw(kept_sessions[name])
    for reader in FORMATS.values():
        assert described(reader.loads(FORMATS[name].dumps(session))) == described(session)


def test_no_name_that_a_visitor_chooses_makes_markup() -> None:
    for name in NAMES:
        for value in ({" m": "<script>"}, {" t": [1]}, {" m__": "<script>"}, {" di": {" m__": "<script>"}}):
            for data in ({"v": value}, {"v": value, "markup": Markup("<b>")}, value):
                read = FORMATS[name].loads(FORMATS[name].dumps(data))
                assert described(read) == described(data)


def test_values_of_the_apps_own_types_are_what_flask_makes_of_them() -> None:
    class Color:
        def __init__(self, name: str) -> None:
            self.name = name

    class TagColor(JSONTag):
        key = " color"

        def check(self, value: t.Any) -> bool:
            return isinstance(value, Color)

        def to_json(self, value: t.Any) -> str:
            return str(value.name)

        def to_python(self, value: t.Any) -> Color:
            return Color(value)

    class Provider(DefaultJSONProvider):
        default = staticmethod(lambda value: {"color": value.name, "of": Markup("<b>")})

    app = flask.Flask("app")
    app.json = Provider(app)
    for name in ("msgpack", "json"):
        with app.app_context():
            record = FORMATS[name].dumps({"v": Color("red"), "a": (1,)})
            assert name == "json" or FORMATS[name].dumps(FORMATS[name].loads(record)) == record
        assert FORMATS[name].loads(record) == {"v": {"color": "red", "of": "<b>"}, "a": [1]}
    serializer = TaggedJSONSerializer()
    serializer.register(TagColor)
    with mock.patch.object(record_module, "session_json_serializer", serializer):
        for name in ("msgpack", "json"):
            written = FORMATS[name].dumps({"v": Color("red"), "a": (1,)})
            read = FORMATS[name].loads(written)
            assert (type(read["v"]), read["v"].name, read["a"]) == (Color, "red", [1])
            assert FORMATS[name].dumps(read) == written


def test_times_are_written_while_their_types_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As freezegun does, whose types are subclasses."""
    monkeypatch.setattr(datetime, "datetime", Moment)
    monkeypatch.setattr(datetime, "date", Day)
    for name in ("msgpack", "json"):
        data = {"at": datetime.datetime(2024, 2, 29, 12, 0, 0, 5, UTC), "on": datetime.date(2024, 2, 29)}
        read = FORMATS[name].loads(FORMATS[name].dumps(data))
        assert read["on"] == "2024-02-29"
        assert read["at"] == (data["at"] if name == "msgpack" else "2024-02-29T12:00:00.000005Z")


def test_mappings_with_several_values_are_written_as_msgspec_does() -> None:
    for name in ("msgpack", "json"):
        several = MultiDict([("a", "1"), ("a", "2")])
        assert FORMATS[name].loads(FORMATS[name].dumps({"v": several, "odd": "\ud800"}))["v"] == {"a": ["1", "2"]}


@with_each_peer
def test_records_that_earlier_versions_wrote_as_tagged_json_are_read(name: str) -> None:
    data = {**SAMPLE, **TAGS, "keys": {"7": 1}}
    old = TAGGED + FLASKS.dumps(data).encode()
    read = FORMATS[name].loads(old)
    assert described(read) == described(FLASKS.loads(FLASKS.dumps(data)))
    # What is written instead, once it changes, is what the format keeps of it.
    assert FORMATS[name].loads(FORMATS[name].dumps(read))["markup"] == Markup("<b>")


# --- Extension types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-128, -2, -1, 0, 5, TAGGED_EXTENSION, 127])
@pytest.mark.parametrize("length", [0, 1, 2, 4, 8, 12, 16, 300])
def test_ext_types_are_times_as_for_flask_session_or_no_record(code: int, length: int) -> None:
    record = msgspec.msgpack.encode({"ext": msgspec.msgpack.Ext(code, bytes(length))})
    try:
        stock = msgspec.msgpack.decode(record)
    except msgspec.DecodeError:
        assert read_or_none(record) is None
    else:
        assert read_or_none(record) == (stock if code == -1 else None)


def test_an_unknown_ext_type_says_which() -> None:
    for code in {*range(-128, 128)} - {-1, TAGGED_EXTENSION}:
        with pytest.raises(NotARecord, match=f"unknown msgpack extension type {code}"):
            FORMATS["msgpack"].loads(msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(code, b"1")}))


def ext_record(text: bytes) -> bytes:
    return msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(TAGGED_EXTENSION, text)})


@given(st.randoms(use_true_random=True))
@settings(max_examples=scaled(80, 5_000))
def test_whatever_is_in_an_ext_type_is_a_value_or_no_record(rng: random.Random) -> None:
    text = json_bytes(rng)
    try:
        stock: t.Any = {"a": FLASKS.loads(text.decode())}
    except Exception:
        stock = None
    assert described(read_or_none(ext_record(text))) == described(stock)


@given(st.binary())
def test_any_bytes_in_an_ext_type_are_a_value_or_no_record(text: bytes) -> None:
    data = read_or_none(ext_record(text))
    assert data is None or type(data) is dict


@pytest.mark.parametrize("key", [b'"a"', b"[]", b"{}", b'{" m":"a"}', b'{" t":[[]]}', b"1", b"null"])
def test_an_ext_type_as_a_key_is_one_or_no_record(key: bytes) -> None:
    record = b"\x81\xc7" + bytes([len(key), TAGGED_EXTENSION]) + key + b"\x01"
    data = read_or_none(record)
    assert data is None or list(data.values()) == [1]


# --- Pickles --------------------------------------------------------------------------------------------------------


class Trap:
    def __reduce__(self) -> tuple[t.Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("data", [{}, SAMPLE, TAGS, {"a": Trap()}], ids=["empty", "sample", "tags", "trap"])
def test_a_pickled_session_is_recognized_and_not_loaded(protocol: int, data: dict[str, t.Any]) -> None:
    record = pickle.dumps(data, protocol)
    for reader in FORMATS.values():
        with pytest.raises(PickledRecord, match=r"written by Flask-Session < 0\.8"):
            reader.loads(record)


def test_an_empty_map_is_no_pickle() -> None:
    assert FORMATS["msgpack"].loads(b"\x80") == {}
    assert FORMATS["msgpack"].dumps({}) == b"\x80"
    for rest in range(256):
        with pytest.raises(NotARecord) as error:
            FORMATS["msgpack"].loads(b"\x80" + bytes([rest]))
        assert (type(error.value) is PickledRecord) == (rest in (2, 3, 4, 5))


@with_each_format
@given(data=st.data())
def test_no_record_is_taken_for_a_pickle(name: str, data: st.DataObject) -> None:
    FORMATS[name].loads(FORMATS[name].dumps(data.draw(kept_sessions[name])))


# --- Damage ---------------------------------------------------------------------------------------------------------


@with_each_sample
def test_a_record_that_has_been_cut_off_is_none(record: bytes) -> None:
    for length in range(len(record)):
        assert read_or_none(record[:length]) is None
        assert read_or_none(record[length + 1 :]) is None or record[length + 1 : length + 2] in (b"{", b"~", b"\x80")


@with_each_sample
def test_a_record_with_any_bit_flipped_is_one_or_none(record: bytes) -> None:
    for position in range(len(record) * 8):
        damaged = bytearray(record)
        damaged[position // 8] ^= 1 << position % 8
        data = read_or_none(bytes(damaged))
        assert data is None or type(data) is dict


@with_each_sample
def test_a_record_with_any_byte_replaced_is_one_or_none(record: bytes) -> None:
    for position in range(len(record)):
        for byte in (0x00, 0x20, 0x22, 0x5B, 0x7B, 0x7E, 0x80, 0x90, 0xC1, 0xC7, 0xC9, 0xCB, 0xD8, 0xDD, 0xDF, 0xFF):
            data = read_or_none(record[:position] + bytes([byte]) + record[position + 1 :])
            assert data is None or type(data) is dict


@given(st.sampled_from([b"", b"~", b"{", b"~{", b"\x81\xa1a", b"\xde\x00\x01\xa1a", b"\xdf", b"\x80\x04"]), st.binary())
@settings(max_examples=scaled(200, 20_000))
def test_any_bytes_are_a_record_or_none(start: bytes, rest: bytes) -> None:
    data = read_or_none(start + rest)
    assert data is None or type(data) is dict


@given(st.sampled_from([TAGGED, b""]), st.randoms(use_true_random=True))
@settings(max_examples=scaled(80, 5_000))
def test_whatever_has_been_read_can_be_written_in_every_format(start: bytes, rng: random.Random) -> None:
    """Or else a damaged record would be an error at each request instead of none."""
    data = read_or_none(start + b'{"a":' + json_bytes(rng) + b"}")
    if data is not None:
        for name in NAMES:
            record = FORMATS[name].dumps(data)
            assert FORMATS[name].dumps(FORMATS[name].loads(record)) == record


@pytest.mark.parametrize("start", [b"", TAGGED])
@pytest.mark.parametrize(
    "text", [b"9" * 400, b'"\\ud800"', b'{"\\udfff":1}', b"1e999", b"-0", b"NaN", b"[" * 90 + b"]" * 90]
)
def test_extremes_of_a_record_can_be_written_in_every_format(start: bytes, text: bytes) -> None:
    data = FORMATS["tagged"].loads(start + b'{"a":' + text + b"}")
    for name in NAMES:
        read = FORMATS[name].loads(FORMATS[name].dumps(data))
        if text in (b"1e999", b"NaN") and name == "json":
            assert read == {"a": None}
        else:
            assert described(read) == described(data)


#: Tags around what their writers never put there.
ODD_VALUES: tuple[t.Any, ...] = (
    None,
    True,
    5,
    -1,
    1.5,
    "",
    "x",
    "é",
    "\ud800",
    [],
    [1],
    [[1, 2]],
    {},
    {"a": 1},
    {"__html__": 1},
    10**30,
)
ODD_TAGS = [
    json.dumps({"a": {tag: value}}).encode() for tag in (" di", " t", " b", " m", " u", " d") for value in ODD_VALUES
]


@pytest.mark.parametrize("text", ODD_TAGS, ids=lambda text: text[6:-2].decode())
def test_tags_around_anything_are_a_record_or_none(text: bytes) -> None:
    data = read_or_none(TAGGED + text)
    assert data is None or type(data) is dict


@pytest.mark.parametrize(
    "record",
    [
        b"~[]",
        b"~1",
        b"~null",
        b'~"text"',
        b"~",
        b"~{",
        b"~{}x",
        b"\x90",
        b"\xc0",
        b"\x80\x80",
        b"{}{}",
        b"[]",
        b"1",
        b"",
        b"\xff" * 50,
        b"~\xff",
        # JSON in UTF-16.
        b"{\x00}\x00",
        b'{"n":' + b"9" * 5000 + b"}",
        b'~{"n":' + b"9" * 5000 + b"}",
        # As large as nothing is that follows.
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
    ],
)
def test_what_holds_no_mapping_is_no_record(record: bytes) -> None:
    for reader in FORMATS.values():
        with pytest.raises(NotARecord):
            reader.loads(record)


# --- Depth and size -------------------------------------------------------------------------------------------------


def deep_records(depth: int) -> list[bytes]:
    return [
        b'~{"a":' + b"[" * depth + b"]" * depth + b"}",
        b'{"a":' + b"[" * depth + b"]" * depth + b"}",
        b'~{"a":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}",
        b'{"a":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}",
        b'~{"a":' + b'{" t":[' * depth + b"]}" * depth + b"}",
        b"\x81\xa1a" + b"\x91" * depth + b"\xc0",
        b"\x81\xa1a" + b"\x81\xa1a" * depth + b"\xc0",
        ext_record(b"[" * depth + b"]" * depth),
        ext_record(b'{" t":[' * depth + b"]}" * depth),
    ]


@pytest.mark.parametrize("depth", [10, 90, 300, 900, 1000, 5000, 1_000_000])
def test_however_deep_it_is_a_record_or_none(depth: int) -> None:
    for record in deep_records(depth):
        data = read_or_none(record)
        assert data is None if depth >= 5000 else data is None or type(data) is dict
        assert depth > 90 or data is not None


@with_each_format
def test_a_value_that_is_too_deep_is_an_error_of_the_view_as_in_flask(name: str) -> None:
    deep: list[t.Any] = []
    for _ in range(10 * sys.getrecursionlimit()):
        deep = [deep]
    for dumps in (FLASKS.dumps, FORMATS[name].dumps):
        with pytest.raises(RecursionError):
            dumps({"deep": deep})


@with_each_format
def test_ten_megabytes_are_written_and_read(name: str) -> None:
    for value in ("é\x00" * 5_000_000, list(range(1_500_000)), {str(number): number for number in range(500_000)}):
        data = {"value": value}
        record = FORMATS[name].dumps(data)
        assert len(record) > 5_000_000
        assert FORMATS[name].loads(record) == data


@with_each_format
def test_what_no_format_holds_is_the_error_of_a_cookie_session(name: str) -> None:
    for value in (object(), {1, 2} if name == "tagged" else 1j, struct, str):
        with pytest.raises(TypeError) as stock:
            FLASKS.dumps({"value": value})
        with pytest.raises(TypeError) as ours:
            FORMATS[name].dumps({"value": value})
        assert str(ours.value) == str(stock.value)


# --- Without msgspec ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)


@pytest.mark.usefixtures("no_msgspec")
def test_without_msgspec_its_formats_are_an_error_at_start_that_says_what_to_do() -> None:
    for name in ("msgpack", "json"):
        app = flask.Flask("app")
        app.config["SESSION_SERIALIZATION_FORMAT"] = name
        with pytest.raises(ValueError, match="needs msgspec: pip install"):
            ServerSession(app)


@pytest.mark.usefixtures("no_msgspec")
def test_without_msgspec_tagged_and_json_are_read_and_msgpack_says_what_is_missing() -> None:
    tagged = RecordFormat("tagged")
    data = {**SAMPLE, **TAGS}
    assert described(tagged.loads(tagged.dumps(data))) == described(FLASKS.loads(FLASKS.dumps(data)))
    assert tagged.loads(SAMPLES["json"]) == SAMPLE
    with pytest.raises(NotARecord, match="msgspec"):
        tagged.loads(SAMPLES["msgpack"])


@pytest.mark.parametrize("name", ["pickle", "TAGGED", "", None, b"json", 1])
def test_an_unknown_format_is_an_error_at_start(name: t.Any) -> None:
    app = flask.Flask("app")
    app.config["SESSION_SERIALIZATION_FORMAT"] = name
    with pytest.raises(ValueError, match="SESSION_SERIALIZATION_FORMAT must be"):
        ServerSession(app)


def test_a_record_that_is_none_is_no_error_of_the_store() -> None:
    assert not issubclass(NotARecord, SessionStoreError)
