"""The meta data of a session: what of a record is believed, and what an application cannot write."""

from __future__ import annotations

import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_fastsession.server.meta import KEY
from flask_fastsession.server.meta import SessionMeta
from flask_fastsession.server.meta import new_handle
from flask_fastsession.server.meta import note_text
from flask_fastsession.server.meta import owner_name
from flask_fastsession.server.record import NotARecord
from flask_fastsession.server.record import RecordFormat

FORMATS = [RecordFormat(name) for name in ("tagged", "msgpack", "json")]
with_each_format = pytest.mark.parametrize("record_format", FORMATS, ids=["tagged", "msgpack", "json"])

HANDLE = "h." + "aB3_-" * 4 + "xy"

times = st.integers(0, 2**53 - 1)
texts = st.text(max_size=1000)
handles = st.from_regex(re.compile(r"h\.[A-Za-z0-9_-]{22}", re.ASCII), fullmatch=True)
metas = st.builds(
    SessionMeta,
    begun=st.none() | times,
    expires_at=st.none() | times,
    owner=st.none() | texts,
    handle=st.none() | handles,
    note=st.none() | texts,
)
#: What an application, or a damaged record, may hold under our key.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["begun", "until", "user", "handle", "note"]) | st.text(), inner, max_size=5)
    ),
    max_leaves=8,
)


def taken(meta: t.Any) -> SessionMeta:
    return SessionMeta.taken_from({KEY: meta})


@with_each_format
@given(meta=metas)
def test_what_is_put_into_a_record_is_taken_from_it(record_format: RecordFormat, meta: SessionMeta) -> None:
    data = record_format.loads(record_format.dumps(meta.put_into({"a": 1})))
    assert SessionMeta.taken_from(data) == meta
    assert data == {"a": 1}


def test_the_names_in_a_record_are_those_of_earlier_versions() -> None:
    meta = SessionMeta(1, 2, "ada", HANDLE, "Firefox")
    assert meta.put_into({}) == {KEY: {"begun": 1, "until": 2, "user": "ada", "handle": HANDLE, "note": "Firefox"}}
    assert SessionMeta(begun=1).put_into({}) == {KEY: {"begun": 1}}
    assert SessionMeta().put_into({"a": 1}) == {"a": 1}


@given(written=anything, meta=metas)
def test_what_the_application_writes_under_the_key_is_replaced_or_removed(written: t.Any, meta: SessionMeta) -> None:
    data = meta.put_into({KEY: written, "a": 1})
    assert list(data.items()) == list(meta.put_into({"a": 1}).items())
    assert SessionMeta.taken_from(data) == meta
    assert data == {"a": 1}


@given(found=anything)
def test_whatever_is_found_is_removed_and_is_valid_or_unknown(found: t.Any) -> None:
    data = {"a": 1, KEY: found}
    meta = SessionMeta.taken_from(data)
    assert data == {"a": 1}
    assert SessionMeta.taken_from(meta.put_into({})) == meta


@with_each_format
@given(found=anything)
def test_what_any_format_has_read_is_valid_or_unknown(record_format: RecordFormat, found: t.Any) -> None:
    try:
        data = record_format.loads(record_format.dumps({KEY: found}))
    except (NotARecord, UnicodeEncodeError):
        return
    meta = SessionMeta.taken_from(data)
    assert data == {}
    record_format.dumps(meta.put_into(data))


@pytest.mark.parametrize("name", ["begun", "until"])
@pytest.mark.parametrize("value", [-1, 2**53, 10**400, True, False, 1.0, float("nan"), "1", None, [], {}])
def test_a_time_that_is_none_is_unknown(name: str, value: t.Any) -> None:
    assert taken({name: value, "user": "ada"}) == SessionMeta(owner="ada")


@pytest.mark.parametrize("name", ["user", "note"])
@pytest.mark.parametrize("value", ["a" * 1001, "\ud800", "a\udfff", b"ada", 5, True, None, ["ada"], {"a": 1}])
def test_a_text_that_is_none_is_unknown(name: str, value: t.Any) -> None:
    assert taken({name: value, "begun": 5}) == SessionMeta(begun=5)


@pytest.mark.parametrize(
    "value",
    ["", "h.", HANDLE[:-1], HANDLE + "a", HANDLE + "\n", "x" + HANDLE[1:], HANDLE[:-1] + "é", HANDLE[:-1] + ".", 5, []],
)
def test_a_handle_that_is_none_is_unknown(value: t.Any) -> None:
    assert taken({"handle": value, "begun": 5}) == SessionMeta(begun=5)


def test_the_greatest_and_the_longest_are_known() -> None:
    meta = SessionMeta(2**53 - 1, 0, "é" * 1000, HANDLE, "")
    assert SessionMeta.taken_from(meta.put_into({})) == meta


@pytest.mark.parametrize("found", [None, True, 5, "text", [], [["begun", 1]], b"", {}, {1: 2, None: 3}])
def test_what_is_no_mapping_of_names_is_unknown(found: t.Any) -> None:
    assert taken(found) == SessionMeta()


@pytest.mark.parametrize(
    "meta",
    [
        SessionMeta(owner="a" * 1001),
        SessionMeta(owner="\ud800"),
        SessionMeta(note="a" * 1001),
        SessionMeta(begun=-1),
        SessionMeta(begun=True),
        SessionMeta(expires_at=2**53),
        SessionMeta(handle="h.short"),
    ],
)
def test_what_would_be_lost_on_the_way_is_an_error(meta: SessionMeta) -> None:
    with pytest.raises(ValueError, match="not valid"):
        meta.put_into({})


# --- Names ----------------------------------------------------------------------------------------------------------


def test_handles_are_valid_and_differ() -> None:
    found = {new_handle() for _ in range(1000)}
    assert len(found) == 1000
    assert all(taken({"handle": handle}).handle == handle for handle in found)


@pytest.mark.parametrize("user_id", ["ada", "", 5, "é" * 1000])
def test_a_user_id_is_the_name_of_its_owner(user_id: t.Any) -> None:
    assert owner_name(user_id) == str(user_id)


ids = st.text(st.characters(), max_size=3) | st.sampled_from(["a" * 1001, "a" * 1002, "\ud800", "\udfff", "sha256:"])


@given(one=ids | ids.map(owner_name), other=ids | ids.map(owner_name))
def test_every_user_id_has_a_valid_name_of_its_own(one: str, other: str) -> None:
    assert taken({"user": owner_name(one)}).owner == owner_name(one)
    assert (owner_name(one) == owner_name(other)) == (one == other)


@given(text=st.text(st.characters()) | st.text(st.characters()).map(lambda text: text * 500))
def test_every_text_has_a_valid_note(text: str) -> None:
    note = note_text(text)
    assert taken({"note": note}).note == note
    assert note == text or len(text) > 1000 or re.search("[\ud800-\udfff]", text)
