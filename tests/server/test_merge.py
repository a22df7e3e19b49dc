"""Two requests that have changed one session: properties of what becomes of it, and a slow model of it."""

from __future__ import annotations

import math
import typing as t

import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_fastsession.server.merge import merged
from flask_fastsession.server.record import RecordFormat
from tests.faults.support import scaled

Data = dict[str, t.Any]

FORMATS = [RecordFormat(name) for name in ("tagged", "msgpack", "json")]

#: What Python takes for equal, or for unequal to itself, and a format need not.
LOOKALIKES: tuple[t.Any, ...] = (
    0,
    False,
    0.0,
    -0.0,
    1,
    True,
    1.0,
    "1",
    None,
    math.nan,
    [],
    {},
    "",
    [1],
    [True],
    [1.0],
    [math.nan],
)

keys = st.sampled_from(["a", "b", "c", "_flashes", "_permanent"])
leaves = st.sampled_from(LOOKALIKES) | st.integers(-5, 5) | st.text(max_size=3)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2))
sessions = st.dictionaries(keys, values, max_size=5)
formats = st.sampled_from(FORMATS)


@st.composite
def versions(draw: st.DrawFn) -> tuple[Data, Data, Data]:
    """A session, and what each of two requests has made of it: a few keys set, deleted, made longer, looking alike."""
    base = draw(sessions)
    return base, draw(edited(base)), draw(edited(base))


@st.composite
def edited(draw: st.DrawFn, base: Data) -> Data:
    # Each request has loaded its own.
    data: Data = FORMATS[1].loads(FORMATS[1].dumps(base))
    for key in draw(st.lists(keys, max_size=4)):
        edit = draw(st.sampled_from(["set", "delete", "lengthen", "lengthen"]))
        if edit == "set":
            data[key] = draw(values)
        elif edit == "delete":
            data.pop(key, None)
        elif isinstance(data.setdefault(key, []), list):
            data[key].append(draw(values))
    return data


def merge(record_format: RecordFormat, base: Data, theirs: Data, mine: Data) -> Data:
    return merged(base, theirs, mine, record_format.dumps)


def stored(record_format: RecordFormat, data: Data) -> dict[str, bytes]:
    """What a session comes to in a store, whatever the order of its keys."""
    return {key: record_format.dumps({"": value}) for key, value in data.items()}


def changed(data: Data, changes: Data) -> Data:
    return {**data, **changes}


@given(formats, sessions, sessions)
def test_without_changes_of_mine_it_is_theirs(record_format: RecordFormat, base: Data, theirs: Data) -> None:
    merge_of = merge(record_format, base, theirs, dict(base))
    assert stored(record_format, merge_of) == stored(record_format, theirs)
    assert list(merge_of) == list(theirs)


@given(formats, sessions, sessions)
def test_without_changes_of_theirs_it_is_mine(record_format: RecordFormat, base: Data, mine: Data) -> None:
    merge_of = merge(record_format, base, dict(base), mine)
    assert stored(record_format, merge_of) == stored(record_format, mine)


@given(formats, sessions)
def test_nothing_given_is_changed(record_format: RecordFormat, base: Data) -> None:
    theirs, mine = changed(base, {"_flashes": [1]}), changed(base, {"_flashes": [2], "a": 3})
    before = [stored(record_format, data) for data in (base, theirs, mine)]
    merge(record_format, base, theirs, mine)
    assert [stored(record_format, data) for data in (base, theirs, mine)] == before


@given(formats, sessions, *(st.dictionaries(st.sampled_from(letters), values) for letters in ("ab", "cd")))
def test_changes_of_distinct_keys_commute(record_format: RecordFormat, base: Data, one: Data, other: Data) -> None:
    ones, others = changed(base, one), changed(base, other)
    both = stored(record_format, {**base, **one, **other})
    assert stored(record_format, merge(record_format, base, ones, others)) == both
    assert stored(record_format, merge(record_format, base, others, ones)) == both


@given(formats, sessions, sessions, st.sets(keys))
def test_what_i_have_deleted_is_gone_unless_they_have_made_it_longer(
    record_format: RecordFormat, base: Data, theirs: Data, deleted: set[str]
) -> None:
    mine = {key: value for key, value in base.items() if key not in deleted}
    merge_of = merge(record_format, base, theirs, mine)
    for key in deleted & base.keys():
        if not isinstance(base[key], list):
            assert key not in merge_of


@given(formats, versions())
def test_keys_that_they_alone_have_deleted_are_gone(
    record_format: RecordFormat, three: tuple[Data, Data, Data]
) -> None:
    base, theirs, mine = three
    merge_of = merge(record_format, base, theirs, mine)
    before, now = stored(record_format, base), stored(record_format, mine)
    for key in base.keys() - theirs.keys():
        if now.get(key) == before[key]:
            assert key not in merge_of


@given(formats, st.lists(values, max_size=4), st.lists(values, max_size=3), st.lists(values, max_size=3))
@example(FORMATS[1], [math.nan], [1], [2])
def test_lists_that_both_have_made_longer_keep_what_either_added(
    record_format: RecordFormat, start: list[t.Any], theirs: list[t.Any], mine: list[t.Any]
) -> None:
    # As they are when each request has loaded its own.
    copies = [record_format.loads(record_format.dumps({"l": start}))["l"] for _ in range(3)]
    merge_of = merge(record_format, {"l": copies[0]}, {"l": copies[1] + theirs}, {"l": copies[2] + mine})
    expected = start + theirs + mine
    assert record_format.dumps(merge_of) == record_format.dumps({"l": expected})


@given(formats, st.lists(values, min_size=1, max_size=3), st.lists(values, min_size=1, max_size=3))
def test_lists_that_both_have_begun_keep_what_either_put_in(
    record_format: RecordFormat, theirs: list[t.Any], mine: list[t.Any]
) -> None:
    merge_of = merge(record_format, {}, {"l": theirs}, {"l": mine})
    either = theirs + mine if record_format.dumps({"": theirs}) != record_format.dumps({"": mine}) else merge_of["l"]
    assert record_format.dumps(merge_of) == record_format.dumps({"l": either})


@pytest.mark.parametrize("record_format", FORMATS, ids=["tagged", "msgpack", "json"])
@pytest.mark.parametrize("before, after", [(1, True), (True, 1), (1, 1.0), (0, False), (0.0, -0.0)])
def test_a_change_that_python_takes_for_none_is_kept(record_format: RecordFormat, before: t.Any, after: t.Any) -> None:
    assert stored(record_format, merge(record_format, {"a": before}, {"a": before, "b": 1}, {"a": after})) == stored(
        record_format, {"a": after, "b": 1}
    )
    # At the beginning of a list that they have made longer: mine counts, as of any two other values.
    merge_of = merge(record_format, {"l": [before]}, {"l": [before, 2]}, {"l": [after]})
    assert stored(record_format, merge_of) == stored(record_format, {"l": [after]})


# --- One conflict after another -------------------------------------------------------------------------------------


@given(formats, st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=12))
@settings(max_examples=scaled(50, 2_000))
def test_conflict_after_conflict_loses_and_doubles_nothing(
    record_format: RecordFormat, rounds: list[tuple[bool, int]]
) -> None:
    """As in a request that others overtake again and again: each time what it has becomes mine, theirs the base."""
    base: Data = {"_flashes": ["start"]}
    theirs: Data = base
    mine: Data = {"_flashes": ["start", "mine"], "m": 1}
    for number, (flashes, value) in enumerate(rounds):
        known = theirs
        addition: Data = {"_flashes": [*theirs["_flashes"], f"theirs {number}"]} if flashes else {f"t{value}": number}
        theirs = changed(theirs, addition)
        mine = merge(record_format, known, theirs, mine)
    additions = [f"theirs {number}" for number, (flashes, _) in enumerate(rounds) if flashes]
    last = {f"t{value}": number for number, (flashes, value) in enumerate(rounds) if not flashes}
    assert sorted(mine.pop("_flashes")) == sorted(["start", "mine", *additions])
    assert mine == {"m": 1, **last}


def test_messages_flashed_while_others_were_shown_are_neither_lost_nor_shown_again() -> None:
    # Showing them is popping the list.
    shown: Data = {}
    base, flashed = {"_flashes": ["old"]}, {"_flashes": ["old", "new"]}
    tagged = FORMATS[0]
    assert merge(tagged, base, theirs=flashed, mine=shown) == {"_flashes": ["new"]}
    assert merge(tagged, base, theirs=shown, mine=flashed) == {"_flashes": ["new"]}


# --- A slow model ---------------------------------------------------------------------------------------------------

ABSENT = object()


def model(record_format: RecordFormat, base: Data, theirs: Data, mine: Data) -> Data:
    """What a key is after a merge, said for each key by itself, over what is stored."""

    def text(value: object) -> bytes | None:
        return None if value is ABSENT else record_format.dumps({"": value})

    def after(key: str) -> t.Any:
        before, ours, others = (data.get(key, ABSENT) for data in (base, mine, theirs))
        if text(ours) == text(before):
            return others
        if text(others) == text(before):
            return ours
        start = [] if before is ABSENT else before
        if isinstance(start, list) and isinstance(ours, list) and isinstance(others, list):
            texts = [list(map(text, items)) for items in (start, ours, others)]
            if all(items[: len(start)] == texts[0] for items in texts[1:]):
                return others + ours[len(start) :]
        return ours

    return {key: value for key in {**base, **theirs, **mine} if (value := after(key)) is not ABSENT}


def has_popped_a_list(base: Data, theirs: Data, mine: Data) -> bool:
    return any(isinstance(value, list) and (key not in theirs or key not in mine) for key, value in base.items())


@given(formats, versions())
@settings(max_examples=scaled(80, 5_000))
def test_it_is_as_in_the_model(record_format: RecordFormat, three: tuple[Data, Data, Data]) -> None:
    base, theirs, mine = three
    if has_popped_a_list(base, theirs, mine):
        return  # Tested above.
    merge_of = merge(record_format, base, theirs, mine)
    assert stored(record_format, merge_of) == stored(record_format, model(record_format, base, theirs, mine))
