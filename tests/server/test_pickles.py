"""The reader of old pickles: what it reads, and that nothing it is given can do more than make plain values."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import os
import pickle
import pickletools
import struct
import typing as t
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup

from flask_fastsession.server.pickles import MOST
from flask_fastsession.server.pickles import OPCODES
from flask_fastsession.server.pickles import TYPES
from flask_fastsession.server.pickles import NotPlain
from flask_fastsession.server.pickles import plain_pickle
from flask_fastsession.server.pickles import plain_session
from flask_fastsession.server.pickles import plain_session_in_file
from tests.faults.support import scaled

PROTOCOLS = range(3, pickle.HIGHEST_PROTOCOL + 1)

SESSION = {
    "_permanent": True,
    "_user_id": "42",
    "cart": [{"sku": "a-1", "count": 2, "price": decimal.Decimal("9.90")}],
    "at": datetime.datetime(2024, 2, 29, 12, 0, 0, 5, tzinfo=datetime.timezone.utc),
    "naive": datetime.datetime(2024, 2, 29),
    "zone": datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET")),
    "day": datetime.date(2024, 2, 29),
    "hour": datetime.time(12, 30),
    "span": datetime.timedelta(days=1, microseconds=7),
    "id": uuid.UUID(int=7),
    "ids": [uuid.uuid1(), uuid.uuid4()],
    "_flashes": [("message", Markup("<b>hello</b>"))],
    "blob": b"\x00\xff" * 200,
    "numbers": [0, -1, 255, 2**40, 2**70, 1.5, None, False],
    "name": "Zoë ☕" * 100,
    "ordered": collections.OrderedDict(b=1, a=2),
    "": {},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_sessions_hold_is_read(protocol: int) -> None:
    found = plain_session(pickle.dumps(SESSION, protocol))
    assert found == SESSION
    assert type(found["_flashes"][0][1]) is Markup
    assert type(found["id"]) is uuid.UUID
    assert type(found["ordered"]) is dict


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sets_are_read_as_flask_session_writes_them(protocol: int) -> None:
    found = plain_session(pickle.dumps({"set": {1}, "frozen": frozenset("a"), "none": set()}, protocol))
    assert found == {"set": [1], "frozen": ["a"], "none": []}


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.decimals(allow_nan=False) | st.datetimes() | st.dates() | st.timedeltas() | st.uuids() | st.text().map(Markup),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(), plain_values), st.sampled_from(PROTOCOLS))
@settings(deadline=None, max_examples=30)
def test_any_plain_session_is_read(data: dict[str, t.Any], protocol: int) -> None:
    assert plain_session(pickle.dumps(data, protocol)) == data


def test_values_may_be_shared() -> None:
    shared = ["x" * 300]
    assert plain_session(pickle.dumps({"a": shared, "b": shared})) == {"a": shared, "b": shared}


# --- What is refused ------------------------------------------------------------------------------------------------


class Runs:
    def __init__(self, function: t.Any, *arguments: t.Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> t.Any:
        return self.reduced


def attacks(path: Path) -> list[t.Any]:
    return [
        Runs(os.mkdir, str(path)),
        Runs(os.system, f"mkdir {path}"),
        Runs(eval, f"__import__('os').mkdir({str(path)!r})"),
        Runs(exec, f"import os; os.mkdir({str(path)!r})"),
        Runs(open, str(path), "w"),
        Runs(getattr, path, "mkdir"),
        Runs(Path.mkdir, path),
        Runs(__import__, "antigravity"),
        Runs(print, "x"),
        path,
        collections.Counter("a"),
        collections.defaultdict(list),
        print,
        os,
        object(),
        1j,
        bytearray(b"x"),
        range(3),
        Runs(bytearray, 10**12),
        Runs(tuple, "abc"),
        ValueError("x"),
    ]


@pytest.mark.parametrize("number", range(21))
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(number: int, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "made"
    attack = attacks(path)[number]
    for value in (attack, {"a": attack}, {"a": [("b", attack)]}):
        try:
            text = pickle.dumps(value, protocol)
        except TypeError:
            # A module cannot be pickled.
            continue
        with pytest.raises(NotPlain) as error:
            plain_session(text)
        assert str(error.value).isascii()
        assert len(str(error.value)) < 120
        assert not path.exists()


def test_names_in_messages_cannot_control_the_terminal() -> None:
    text = b"c\x1b[2Jos\n" + b"x" * 500 + b"\n."
    with pytest.raises(NotPlain) as error:
        plain_pickle(text)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 120


def stack_global(module: str, name: str) -> bytes:
    return b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"


STATES = {
    "attribute": pickle.dumps((None, {"x": 1}), 4),
    "method": pickle.dumps((None, {"__setstate__": 1, "__init__": 1, "__eq__": 1}), 4),
    "dict": pickle.dumps({"x": 1}, 4),
    "text": pickle.dumps("x", 4),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", TYPES)
def test_no_type_that_a_pickle_can_name_can_be_changed_by_it(name: tuple[str, str], state: str) -> None:
    kind = TYPES[name]
    before = dict(vars(kind))
    body = STATES[state][2:-1]
    # The state is put on the type itself by BUILD.
    text = (
        b"\x80\x04"
        + stack_global(*name)
        + body.removeprefix(b"\x95" + body[1:9] if body[:1] == b"\x95" else b"")
        + b"b."
    )
    with pytest.raises(NotPlain):
        plain_pickle(text)
    assert dict(vars(kind)) == before


@pytest.mark.parametrize("name", TYPES)
def test_a_type_itself_is_no_value(name: tuple[str, str]) -> None:
    with pytest.raises(NotPlain):
        plain_pickle(b"\x80\x04" + stack_global(*name) + b".")


def test_all_types_are_those_of_plain_values() -> None:
    assert {f"{module}.{name}" for module, name in TYPES} == {
        "builtins.frozenset",
        "builtins.set",
        "collections.OrderedDict",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "markupsafe.Markup",
        "uuid.UUID",
    }


def test_the_instructions_are_known_ones() -> None:
    known = {opcode.name for opcode in pickletools.opcodes}
    assert set(OPCODES.split()) <= known
    for refused in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX", "NEXT_BUFFER"):
        assert refused in known
        assert refused not in OPCODES.split()


@pytest.mark.parametrize(
    "text", [b"Px\n.", b"\x80\x04\x8c\x01xQ.", b"\x82\x01.", b"(ios\nsystem\n.", b"(cos\nsystem\no."]
)
def test_other_instructions_are_refused(text: bytes) -> None:
    with pytest.raises(NotPlain):
        plain_pickle(text)


def test_no_memory_is_made_for_what_a_pickle_only_says() -> None:
    for text in (b"\x80\x04Nr\xff\xff\xff\x7f.", b"Np2000000000\n.", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x00abc."):
        with pytest.raises(NotPlain):
            plain_pickle(text)


def test_what_is_small_and_would_grow_is_refused() -> None:
    value: t.Any = ["x"]
    for _ in range(40):
        value = [value, value]
    with pytest.raises(NotPlain, match="large"):
        plain_session(pickle.dumps({"a": value}))
    text = "x" * 1_000_000
    with pytest.raises(NotPlain, match="large"):
        plain_session(pickle.dumps({"a": [text] * (MOST // 1_000_000)}))
    with pytest.raises(NotPlain, match="large"):
        plain_session(pickle.dumps({"a": [2**800_000] * 100}))


def test_what_contains_itself_or_is_deep_is_refused() -> None:
    loop: list[t.Any] = []
    loop.append(loop)
    with pytest.raises(NotPlain, match="deep"):
        plain_session(pickle.dumps({"a": loop}))
    deep = b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."
    with pytest.raises(NotPlain):
        plain_pickle(deep)


@pytest.mark.parametrize("value", [[], 5, None, "text", {1: 2}, {"a": 1, None: 2}], ids=repr)
def test_what_is_no_session(value: t.Any) -> None:
    with pytest.raises(NotPlain, match="no session"):
        plain_session(pickle.dumps(value))


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"\x80\x04}" + tail))
@settings(deadline=None, max_examples=scaled(80, 2_000))
def test_damage_is_never_another_error(text: bytes) -> None:
    for read in (plain_session, plain_session_in_file):
        with contextlib.suppress(NotPlain):
            read(text)


@given(st.data(), st.sampled_from(PROTOCOLS))
@settings(deadline=None, max_examples=scaled(80, 2_000))
def test_pickles_that_are_changed_anywhere(data: st.DataObject, protocol: int) -> None:
    text = bytearray(pickle.dumps(SESSION, protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = plain_session(bytes(text))
    except NotPlain:
        return
    assert type(found) is dict


# --- The files of cachelib ------------------------------------------------------------------------------------------


def test_a_file() -> None:
    for end in (0, 1_700_000_000, 0x80000004):
        content = struct.pack("I", end) + pickle.dumps(SESSION, pickle.HIGHEST_PROTOCOL)
        assert plain_session_in_file(content) == (SESSION, end)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("end", [0, 1_700_000_000, 1_700_000_000.5, 0x80])
def test_a_file_from_before_the_time_was_four_bytes(protocol: int, end: float) -> None:
    content = pickle.dumps(end, protocol) + pickle.dumps({"a": 1}, protocol)
    assert plain_session_in_file(content) == ({"a": 1}, end)


def test_why_a_file_is_not_read_does_not_depend_on_its_time(tmp_path: Path) -> None:
    attack = {"a": Runs(os.mkdir, str(tmp_path / "made"))}
    reasons = ["holds posix.mkdir, which is no plain type", "is no session", r"is damaged \(UnpicklingError\)"]
    for value, reason in zip([pickle.dumps(attack), pickle.dumps([1]), b"\x80\x04."], reasons, strict=True):
        for end in range(1_700_000_000, 1_700_000_256):
            with pytest.raises(NotPlain, match=f"^{reason}$"):
                plain_session_in_file(struct.pack("I", end) + value)


def test_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "made"
    for content in (b"", b"\0\0\0\0", struct.pack("I", 5) + pickle.dumps(12), pickle.dumps("x") + pickle.dumps({})):
        with pytest.raises(NotPlain):
            plain_session_in_file(content)
    for content in (
        struct.pack("I", 5) + pickle.dumps({"a": Runs(os.mkdir, str(path))}),
        pickle.dumps(Runs(os.mkdir, str(path))) + pickle.dumps({}),
        pickle.dumps(5) + pickle.dumps(Runs(os.mkdir, str(path))),
    ):
        with pytest.raises(NotPlain):
            plain_session_in_file(content)
    assert not path.exists()
