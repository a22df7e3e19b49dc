"""Records: what a session is stored as, and what becomes of bytes that are none."""

from __future__ import annotations

import datetime
import json
import math
import random
import struct
import sys
import typing as t
import uuid
from collections import Counter

import flask
import msgspec
import pytest
from flask.json.tag import TaggedJSONSerializer
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup

from flask_fastsession._native import dump_tagged
from flask_fastsession._native import load_tagged
from flask_fastsession.server import ServerSession
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.record import TAGGED
from flask_fastsession.server.record import NotARecord
from flask_fastsession.server.record import RecordFormat
from tests.differential.codec.comparison import described
from tests.differential.codec.comparison import described_error
from tests.differential.codec.json_texts import json_bytes
from tests.differential.codec.odd_types import Timeout
from tests.differential.codec.values import session

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
@settings(max_examples=500)
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
@settings(max_examples=300)
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


@pytest.mark.parametrize("code", [-128, -2, -1, 0, 5, 127])
@pytest.mark.parametrize("length", [0, 1, 2, 4, 8, 12, 16, 300])
def test_ext_types_are_read_as_flask_session_reads_them_or_are_no_record(code: int, length: int) -> None:
    record = msgspec.msgpack.encode({"ext": msgspec.msgpack.Ext(code, bytes(length))})
    try:
        stock = msgspec.msgpack.decode(record)
    except msgspec.DecodeError:
        assert read_or_none(record) is None
    else:
        assert FORMATS["msgpack"].loads(record) == stock
        FORMATS["msgpack"].dumps(stock)


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
@settings(max_examples=2000)
def test_any_bytes_are_a_record_or_none(start: bytes, rest: bytes) -> None:
    data = read_or_none(start + rest)
    assert data is None or type(data) is dict


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
    for value in (object(), {1, 2} if name == "tagged" else 1j, struct):
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
    with pytest.raises(ValueError, match="SESSION_SERIALIZATION_FORMAT is"):
        ServerSession(app)


def test_a_record_that_is_none_is_no_error_of_the_store() -> None:
    assert not issubclass(NotARecord, SessionStoreError)
