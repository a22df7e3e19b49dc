"""Tests for your own session store: whether it behaves as :class:`flask_fastsession.server.Store` says.

::

    from flask_fastsession.testing import StoreTests

    class TestMyStore(StoreTests):
        @pytest.fixture
        def store(self):
            return MyStore("somewhere")

        @pytest.fixture
        def other_store(self):
            return MyStore("somewhere")

``other_store`` is a second one on the same data, with connections of its own; if it is left out, ``store`` is used in
its place. What is in the store already does no harm, and what the tests put there may be removed at any time. A store
that can be swept is tested by :class:`SweepingStoreTests`, one that lists its keys by :class:`ListingStoreTests`, one
that moves records by :class:`MovingStoreTests`, and one that lists whose sessions it has by :class:`OwnerStoreTests`.
Each has the tests of :class:`StoreTests` and more; for a store that does several of these, name several as bases. A
store of revocations, for :class:`~flask_fastsession.revocations.Revocations`, is tested by
:class:`RevocationStoreTests` in the same way. All of this needs pytest, takes a few seconds, and sleeps where a record
is to expire, unless ``passes`` is overridden. Only if it is, a test looks at what expires after ten minutes.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from .revocations.kit import RevocationStoreTests
from .server.store import MOVED_TTL
from .server.store import ListingStore
from .server.store import MovingStore
from .server.store import OwnerStore
from .server.store import Store
from .server.store import SweepingStore

__all__ = [
    "ListingStoreTests",
    "MovingStoreTests",
    "OwnerStoreTests",
    "RevocationStoreTests",
    "StoreTests",
    "SweepingStoreTests",
]

T = t.TypeVar("T")
S = t.TypeVar("S", bound=Store)

#: Long enough that no record of a test expires by itself.
LONG = 1000

#: Threads that do the same at once, and how often they are set off.
THREADS = 8
ROUNDS = 25

#: So many sessions are begun by each thread, while others end them.
MOST_BEGUN = 200

#: So many sessions of one owner are ended at once, or fewer if the store lists fewer.
MOST_ENDED = 200

#: So many keys begin alike, which is more than a server returns at a time.
KEYS = 1200

#: A record of one second can be gone before anybody has looked at it, where a store counts seconds by its own clock.
TRIES = 10


class StoreTests:
    """Tests for any store. A subclass needs a fixture ``store``."""

    @pytest.fixture
    def store(self) -> Store:
        """The store to test."""
        raise NotImplementedError("a subclass of StoreTests needs a fixture named store")

    @pytest.fixture
    def other_store(self, store: Store) -> Store:
        """A second store with the same data, like that of another process."""
        return store

    def passes(self, seconds: float) -> None:
        """Let the store's clock advance by so many seconds."""
        time.sleep(seconds)

    @pytest.fixture
    def key(self) -> str:
        return a_key()

    # --- load and create --------------------------------------------------------------------------------------------

    def test_what_was_never_created_is_not_there(self, store: Store, key: str) -> None:
        assert store.load(key) is None
        assert store.load(key, LONG) is None

    def test_a_record_is_loaded_as_it_was_created(self, store: Store, other_store: Store, key: str) -> None:
        assert store.create(key, b"data", LONG) is True
        for either in (store, other_store):
            assert either.load(key) == b"data"
            assert either.load(key, LONG) == b"data"

    def test_a_record_without_end(self, store: Store, key: str) -> None:
        assert store.create(key, b"data", None) is True
        assert store.load(key) == b"data"

    def test_loading_creates_nothing(self, store: Store, key: str) -> None:
        store.load(key, LONG)
        assert store.load(key) is None

    def test_what_is_there_is_not_created_again(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        assert other_store.create(key, b"other", LONG) is False
        assert store.create(key, b"data", None) is False
        assert store.load(key) == b"data"

    @pytest.mark.parametrize(
        "data",
        [
            bytes(range(256)),
            b"\0",
            b"\xff\xfe",
            b"\r\nEND\r\n",
            b"0",
            b"-1",
            b" ",
            b"None",
            "\u00e9\U0001f512".encode(),
            bytes(range(256)) * 400,
        ],
        ids=lambda data: f"{len(data)}-{data[:4].hex()}",
    )
    def test_data_is_any_bytes(self, store: Store, other_store: Store, key: str, data: bytes) -> None:
        """Among them what is no text, what looks like a number or a reply of a server, and 100 KB."""
        assert store.create(key, data, LONG) is True
        assert other_store.load(key) == data
        assert other_store.replace(key, data, data[::-1] + b"!", LONG) is True
        assert store.replace(key, data, b"more", LONG) == data[::-1] + b"!"
        assert store.replace(key, data[::-1] + b"!", None, LONG) is True

    def test_data_is_bytes_when_it_comes_back(self, store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        assert isinstance(store.load(key), bytes)
        assert isinstance(store.replace(key, b"other", b"new", LONG), bytes)

    def test_a_key_is_any_visible_ascii_up_to_250_characters(self, store: Store) -> None:
        visible = "".join(map(chr, range(0x21, 0x7F)))
        keys = [(a_key() + visible + "x" * 250)[:250], a_key() + ":" + visible, a_key() + "%s", a_key() + "'--"]
        for key in keys:
            assert store.create(key, key.encode(), LONG) is True
        assert [store.load(key) for key in keys] == [key.encode() for key in keys]

    def test_keys_that_are_nearly_alike_are_different(self, store: Store, key: str) -> None:
        keys = [key, key + "x", key + "X", key + "*", key + "_", key + "%", key + ":", key[:-1]]
        for number, each in enumerate(keys):
            assert store.create(each, b"%d" % number, LONG) is True
        assert [store.load(each) for each in keys] == [b"%d" % number for number in range(len(keys))]
        store.delete(key + "*")
        assert [each for each in keys if store.load(each) is None] == [key + "*"]

    # --- replace ----------------------------------------------------------------------------------------------------

    def test_a_record_that_is_as_expected_is_replaced(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"old", LONG)
        assert other_store.replace(key, b"old", b"new", LONG) is True
        assert store.load(key) == b"new"
        assert store.replace(key, b"new", b"newer", None) is True
        assert other_store.load(key) == b"newer"

    def test_a_record_is_replaced_by_one_that_is_equal(self, store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        assert store.replace(key, b"data", b"data", LONG) is True
        assert store.load(key) == b"data"

    def test_another_record_is_returned_and_stays(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        for expected in (b"old", b"dat", b"data ", b"DATA", b"data\0"):
            assert other_store.replace(key, expected, b"new", LONG) == b"data"
            assert other_store.replace(key, expected, None, LONG) == b"data"
        assert store.load(key) == b"data"

    def test_what_is_not_there_is_not_replaced(self, store: Store, key: str) -> None:
        assert store.replace(key, b"old", b"new", LONG) is False
        assert store.replace(key, b"old", None, LONG) is False
        assert store.load(key) is None

    def test_a_deleted_record_does_not_come_back(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        other_store.delete(key)
        assert store.replace(key, b"data", b"new", LONG) is False
        assert store.load(key, LONG) is None

    def test_a_record_that_is_as_expected_is_deleted_by_none(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        assert store.replace(key, b"data", None, LONG) is True
        for either in (store, other_store):
            assert either.load(key) is None
            assert either.replace(key, b"data", None, LONG) is False
            assert either.replace(key, b"", b"new", LONG) is False
        assert other_store.create(key, b"again", LONG) is True
        assert store.load(key) == b"again"

    # --- delete -----------------------------------------------------------------------------------------------------

    def test_what_is_deleted_is_gone(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        other_store.delete(key)
        assert store.load(key) is None
        assert store.create(key, b"again", LONG) is True
        assert other_store.load(key) == b"again"

    def test_many_are_deleted_at_once_and_no_other(self, store: Store) -> None:
        keys = [a_key() for _ in range(5)]
        for key in keys:
            store.create(key, b"data", LONG)
        store.delete(*keys[:4])
        assert [store.load(key) for key in keys] == [None, None, None, None, b"data"]

    def test_it_does_not_matter_whether_there_is_anything_to_delete(self, store: Store, key: str) -> None:
        store.create(key, b"data", LONG)
        store.delete()
        store.delete(a_key())
        assert store.load(key) == b"data"
        store.delete(a_key(), key, key, a_key())
        store.delete(key)
        assert store.load(key) is None

    # --- Time -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("days", [31, 20 * 365, 100 * 365], ids=["a month", "twenty years", "a century"])
    def test_a_long_life(self, store: Store, key: str, days: int) -> None:
        ttl = days * 24 * 60 * 60
        assert store.create(key, b"data", ttl) is True
        assert store.load(key, ttl) == b"data"
        assert store.replace(key, b"data", b"new", ttl) is True
        assert store.load(key) == b"new"

    def test_a_record_lives_for_as_long_as_was_said_last(self, store: Store, other_store: Store) -> None:
        outlived = {name: begin(store) for name, begin in SHORT_LIVES.items()}
        prolonged = {name: self.prolonged(store, act) for name, act in LONG_LIVES.items()}
        expired = [created_and(store, 1) for _ in range(6)]
        self.passes(1.2)
        for either in (other_store, store):
            assert [name for name, key in outlived.items() if either.load(key) is not None] == []
            assert [name for name, key in prolonged.items() if either.load(key) is None] == []
        self.are_as_good_as_none(expired, store, other_store)

    def prolonged(self, store: Store, prolong: Callable[[Store, str], object]) -> str:
        for _ in range(TRIES):
            key = a_key()
            if store.create(key, b"data", 1) and prolong(store, key):
                return key
        raise AssertionError(f"{TRIES} records of one second were gone at once")

    def are_as_good_as_none(self, keys: list[str], store: Store, other_store: Store) -> None:
        assert other_store.load(keys[0]) is None
        assert other_store.load(keys[1], LONG) is None
        assert store.load(keys[1]) is None
        assert store.replace(keys[2], b"data", b"new", LONG) is False
        assert store.load(keys[2]) is None
        assert store.replace(keys[3], b"data", None, LONG) is False
        store.delete(keys[4])
        assert store.create(keys[5], b"new", LONG) is True
        assert other_store.load(keys[5]) == b"new"

    def test_in_how_many_seconds_a_record_expires(self, store: t.Any, other_store: t.Any, key: str) -> None:
        """Not at what time, nor how long its life was to be. Only where the store has ``expires_in``."""
        if not hasattr(store, "expires_in"):
            return
        assert store.expires_in(key) is None
        lives = (LONG, 100 * LONG, 100 * 365 * 24 * 60 * 60)
        keys = [created_and(store, ttl) for ttl in lives]
        endless, expired, deleted = created_and(store, None), created_and(store, 1), created_and(store, LONG)
        other_store.delete(deleted)
        loaded = created_and(store, LONG, lambda key: store.load(key, 10 * LONG))
        replaced = created_and(store, 10 * LONG, lambda key: store.replace(key, b"data", b"new", LONG))
        freed = created_and(store, LONG, lambda key: store.replace(key, b"data", b"new", None))
        for either in (store, other_store):
            for each, ttl in zip((*keys, loaded, replaced), (*lives, 10 * LONG, LONG), strict=True):
                assert either.expires_in(each) in seconds_left_of(ttl)
            assert [either.expires_in(each) for each in (endless, freed, deleted)] == [None] * 3
        self.passes(1.2)
        for either in (other_store, store):
            for each, ttl in zip(keys, lives, strict=True):
                assert either.expires_in(each) in seconds_left_of(ttl - 1)
            assert either.expires_in(expired) is None

    # --- Many at once -----------------------------------------------------------------------------------------------

    def test_one_of_many_creates(self, store: Store, other_store: Store) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            created = at_once(lambda own, n, key=key: own.create(key, b"%d" % n, LONG), store, other_store)  # type: ignore[misc]
            assert created.count(True) == 1
            assert created.count(False) == THREADS - 1
            assert store.load(key) == b"%d" % created.index(True)

    def test_one_of_many_replaces_and_the_others_are_told_by_what(
        self, store: Store, other_store: Store, key: str
    ) -> None:
        current = b"data"
        store.create(key, current, LONG)
        for number in range(ROUNDS):
            news = [b"%d-%d" % (number, n) for n in range(THREADS)]
            done = at_once(lambda own, n: own.replace(key, current, news[n], LONG), store, other_store)  # noqa: B023
            assert done.count(True) == 1
            current = news[done.index(True)]
            assert set(done) - {True} == {current}
            assert store.load(key) == current

    def test_one_of_many_deletes(self, store: Store, other_store: Store) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            store.create(key, b"data", LONG)
            done = at_once(lambda own, n, key=key: own.replace(key, b"data", None, LONG), store, other_store)  # type: ignore[misc]
            assert sorted(done) == [False] * (THREADS - 1) + [True]
            assert store.load(key) is None

    def test_no_change_is_lost(self, store: Store, other_store: Store, key: str) -> None:
        store.create(key, b"|", LONG)

        def add(own: Store, thread: int) -> None:
            for number in range(ROUNDS):
                found: bool | bytes | None = own.load(key, LONG)
                while found is not True:
                    assert isinstance(found, bytes)
                    found = own.replace(key, found, found + b"%d-%d|" % (thread, number), LONG)

        at_once(add, store, other_store)
        data = store.load(key)
        assert data is not None
        assert len(set(data.split(b"|")) - {b""}) == data.count(b"|") - 1 == THREADS * ROUNDS

    def test_what_is_deleted_amid_changes_stays_deleted(self, store: Store, other_store: Store) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            store.create(key, b"data", LONG)

            def change(own: Store, thread: int, key: str = key) -> None:
                if thread == 0:
                    own.delete(key)
                    return
                own.load(key, LONG)
                found: bool | bytes = b"data"
                while isinstance(found, bytes):
                    found = own.replace(key, found, found + b"%d" % thread, LONG)

            at_once(change, store, other_store)
            assert store.load(key) is None

    def test_nothing_but_whole_records_is_ever_loaded(self, store: Store, other_store: Store, key: str) -> None:
        """Not half of one, nor ``b""``, nor that of another key, while records come, change and go."""
        records = [bytes([letter]) * 50_000 for letter in b"ab"]
        others = {a_key(): b"%d" % n for n in range(THREADS)}
        for other, data in others.items():
            store.create(other, data, LONG)

        def read_or_write(own: Store, thread: int) -> set[bytes | None]:
            if thread % 4:
                name, data = list(others.items())[thread]
                loaded = {own.load(key, LONG) for _ in range(ROUNDS)}
                assert {own.load(name) for _ in range(ROUNDS)} == {data}
                return loaded
            for _ in range(ROUNDS):
                own.create(key, records[0], LONG)
                own.replace(key, records[0], records[1], LONG)
                own.replace(key, records[1], None, LONG)
            return set()

        assert set().union(*at_once(read_or_write, store, other_store)) <= {None, *records}


class SweepingStoreTests(StoreTests):
    """Tests for a store that removes expired records on request."""

    @pytest.fixture
    def expired(self, store: Store) -> list[str]:
        """Keys of five records that have expired, and are to be swept out."""
        assert isinstance(store, SweepingStore)
        while store.sweep(LONG):
            pass
        keys = [a_key() for _ in range(5)]
        for key in keys:
            store.create(key, b"data", 1)
        self.passes(1.2)
        return keys

    def test_expired_records_are_swept_out_by_and_by(self, store: SweepingStore, expired: list[str]) -> None:
        living = [a_key(), a_key()]
        store.create(living[0], b"data", LONG)
        store.create(living[1], b"data", None)
        assert [store.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
        assert [store.load(key) for key in living] == [b"data", b"data"]
        assert [store.load(key) for key in expired] == [None] * 5

    def test_what_has_been_given_new_life_is_not_swept_out(self, store: SweepingStore, expired: list[str]) -> None:
        assert store.create(expired[0], b"new", LONG) is True
        assert store.sweep(LONG) == 4
        assert store.load(expired[0]) == b"new"


class ListingStoreTests(StoreTests):
    """Tests for a store that can say which records it has, and how long each is kept."""

    def test_the_keys_that_begin_with_a_prefix(self, store: ListingStore, other_store: ListingStore, key: str) -> None:
        """And no others, also where a prefix has letters that are more than letters in a pattern."""
        assert isinstance(store, ListingStore)
        prefixes = [key + end for end in ("x:", "X:", "*", "?", "%", "_", "[a-z]", "\\", "\\*", "'--", "^", ".*")]
        keys = {prefix + end for prefix in prefixes for end in ("a", "b", "Z9")} | {"x" + key, key[:-1] + "/" + key}
        for each in keys:
            assert store.create(each, b"data", LONG) is True
        for either in (store, other_store):
            for prefix in (key, *prefixes):
                assert set(either.keys(prefix)) == {each for each in keys if each.startswith(prefix)}
            assert list(either.keys(key + "none")) == []

    def test_only_what_is_there_has_a_key(self, store: ListingStore, other_store: ListingStore, key: str) -> None:
        """Whatever its life is. Those that have expired may be yielded or not, until they are removed."""
        lives = {key + ":a": None, key + ":b": LONG, key + ":c": LONG, key + ":d": LONG, key + ":e": None}
        for each, ttl in lives.items():
            store.create(each, b"data", ttl)
        store.load(key + ":f", LONG)
        store.replace(key + ":g", b"data", b"new", LONG)
        other_store.replace(key + ":b", b"data", b"new", None)
        other_store.replace(key + ":c", b"data", None, None)
        other_store.delete(key + ":d", key + ":e")
        for either in (store, other_store):
            assert sorted(set(either.keys(key + ":"))) == [key + ":a", key + ":b"]

    def test_many_keys(self, store: ListingStore, other_store: ListingStore, key: str) -> None:
        def create(own: ListingStore, thread: int) -> None:
            for number in range(thread, KEYS, THREADS):
                assert own.create(f"{key}:{number}", b"data", LONG) is True

        at_once(create, store, other_store)
        assert set(store.keys(key + ":")) == {f"{key}:{number}" for number in range(KEYS)}
        store.delete(*(f"{key}:{number}" for number in range(1, KEYS)))
        assert set(other_store.keys(key + ":")) == {f"{key}:0"}


class MovingStoreTests(StoreTests):
    """Tests for a store that moves records in one step."""

    @pytest.fixture
    def new_key(self) -> str:
        return a_key()

    @pytest.mark.parametrize("left", [None, b"\0elsewhere", bytes(range(256))], ids=["nothing", "marker", "bytes"])
    def test_a_record_is_moved(
        self, store: MovingStore, other_store: MovingStore, key: str, new_key: str, left: bytes | None
    ) -> None:
        store.create(key, b"old", LONG)
        assert other_store.move(key, new_key, b"old", b"new", LONG, left) is True
        for either in (store, other_store):
            assert either.load(new_key) == b"new"
            assert either.load(key) == left
        assert store.replace(new_key, b"new", b"newer", LONG) is True
        assert other_store.load(new_key) == b"newer"

    def test_a_record_is_moved_as_it_was_loaded(self, store: MovingStore, key: str, new_key: str) -> None:
        store.create(key, b"old", LONG)
        loaded = store.load(key, LONG)
        assert loaded is not None
        assert store.move(key, new_key, loaded, b"new", LONG, b"left") is True
        assert store.move(key, a_key(), loaded, b"new", LONG, None) == b"left"
        assert store.load(new_key) == b"new"

    def test_any_bytes_are_moved(self, store: MovingStore, key: str, new_key: str) -> None:
        data = bytes(range(256)) * 400
        store.create(key, data, LONG)
        assert store.move(key, new_key, data, data[::-1], LONG, data) is True
        assert store.load(new_key) == data[::-1]
        assert store.load(key) == data

    def test_what_is_left_behind_is_a_record_like_others(self, store: MovingStore, key: str, new_key: str) -> None:
        store.create(key, b"old", LONG)
        store.move(key, new_key, b"old", b"new", LONG, b"left")
        assert store.create(key, b"data", LONG) is False
        assert store.replace(key, b"old", b"data", LONG) == b"left"
        assert store.replace(key, b"left", None, LONG) is True
        assert store.load(key) is None
        assert store.load(new_key) == b"new"

    def test_a_record_is_moved_on_and_back(self, store: MovingStore, key: str, new_key: str) -> None:
        store.create(key, b"1", LONG)
        assert store.move(key, new_key, b"1", b"2", LONG, None) is True
        assert store.move(new_key, key, b"2", b"3", LONG, b"left") is True
        assert store.load(key) == b"3"
        assert store.load(new_key) == b"left"

    def test_another_record_is_returned_and_not_moved(
        self, store: MovingStore, other_store: MovingStore, key: str, new_key: str
    ) -> None:
        store.create(key, b"data", LONG)
        for expected in (b"old", b"dat", b"data ", b"DATA", b"data\0"):
            for left in (None, b"left"):
                found = other_store.move(key, new_key, expected, b"new", LONG, left)
                assert isinstance(found, bytes)
                assert found == b"data"
        assert store.load(key) == b"data"
        assert store.load(new_key) is None

    @pytest.mark.parametrize("left", [None, b"left"], ids=["nothing", "marker"])
    def test_what_is_not_there_is_not_moved(
        self, store: MovingStore, key: str, new_key: str, left: bytes | None
    ) -> None:
        assert store.move(key, new_key, b"old", b"new", LONG, left) is False
        store.create(key, b"old", LONG)
        store.delete(key)
        assert store.move(key, new_key, b"old", b"new", LONG, left) is False
        assert store.load(key) is store.load(new_key) is None

    @pytest.mark.parametrize("left", [None, b"left"], ids=["nothing", "marker"])
    def test_nothing_is_moved_over_another_record(
        self, store: MovingStore, key: str, new_key: str, left: bytes | None
    ) -> None:
        store.create(key, b"old", LONG)
        store.create(new_key, b"other", LONG)
        assert store.move(key, new_key, b"old", b"new", LONG, left) is False
        # There are two reasons why not, and it may give either.
        assert store.move(key, new_key, b"older", b"new", LONG, left) in (False, b"old")
        assert store.load(key) == b"old"
        assert store.load(new_key) == b"other"

    def test_how_long_it_lives_where_it_has_moved_to(self, store: MovingStore, other_store: MovingStore) -> None:
        lives = [(LONG, 1), (None, 1), (1, LONG), (1, None)]
        moved = [self.moved_in_time(store, *life) for life in lives]
        expired, taken = a_key(), a_key()
        store.create(expired, b"old", 1)
        store.create(taken, b"other", 1)
        self.passes(1.2)
        for either in (other_store, store):
            assert [either.load(new_key) for _, new_key in moved] == [None, None, b"new", b"new"]
            assert [either.load(key) for key, _ in moved] == [b"left"] * 4
        assert store.move(expired, a_key(), b"old", b"new", LONG, b"left") is False
        assert store.load(expired) is None
        # What has expired there is as good as none.
        assert store.move(moved[2][1], taken, b"new", b"newer", LONG, None) is True
        assert other_store.load(taken) == b"newer"

    def moved_in_time(self, store: MovingStore, ttl: int | None, new_ttl: int | None) -> tuple[str, str]:
        for _ in range(TRIES):
            key, new_key = a_key(), a_key()
            store.create(key, b"old", ttl)
            if store.move(key, new_key, b"old", b"new", new_ttl, b"left") is True:
                return key, new_key
        raise AssertionError(f"{TRIES} records of one second were gone at once")

    def test_when_that_ends_which_is_left_behind(self, store: t.Any, key: str, new_key: str) -> None:
        """Not when the record would have, nor after it has been loaded. Only where the store has ``expires_in``."""
        left = b"\0" + new_key.encode()
        store.create(key, b"old", None)
        store.move(key, new_key, b"old", b"new", LONG, left)
        if hasattr(store, "expires_in"):
            assert store.expires_in(key) in seconds_left_of(MOVED_TTL)
            assert store.expires_in(new_key) in seconds_left_of(LONG)
            assert store.load(key, 10 * LONG) == left
            assert store.expires_in(key) in seconds_left_of(MOVED_TTL)

    def test_what_is_left_behind_is_gone_after_ten_minutes(self, store: MovingStore, other_store: MovingStore) -> None:
        """However long the record was to live, and however often requests with the old key load what is there."""
        if type(self).passes is StoreTests.passes:
            pytest.skip("this would sleep for ten minutes: override passes()")
        keys = [a_key() for _ in range(6)]
        marks = [b"\0" + a_key().encode() for _ in keys]
        for number, (key, mark) in enumerate(zip(keys, marks, strict=True)):
            store.create(key, b"old", (60, 10 * LONG, None)[number // 2])
            assert store.move(key, mark[1:].decode(), b"old", b"new", 10 * LONG, mark) is True
        loaded = keys[::2]
        assert [other_store.load(key, 10 * LONG) for key in loaded] == marks[::2]
        self.passes(MOVED_TTL - 10)
        for either in (store, other_store):
            assert [either.load(key) for key in keys] == marks
        assert [store.load(key, 10 * LONG) for key in loaded] == marks[::2]
        self.passes(30)
        for either in (other_store, store):
            assert [either.load(key) for key in keys] == [None] * len(keys)
            assert [either.load(mark[1:].decode()) for mark in marks] == [b"new"] * len(keys)

    # --- Many at once -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("left", [None, b"left"], ids=["nothing", "marker"])
    def test_one_of_many_moves(self, store: MovingStore, other_store: MovingStore, left: bytes | None) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            store.create(key, b"old", LONG)
            new_keys = [a_key() for _ in range(THREADS)]

            def move(own: MovingStore, n: int, key: str = key, new_keys: list[str] = new_keys) -> bool | bytes:
                return own.move(key, new_keys[n], b"old", b"%d" % n, LONG, left)

            done = at_once(move, store, other_store)
            assert done.count(True) == 1
            assert done.count(left or False) == THREADS - 1
            winner = done.index(True)
            assert [store.load(each) for each in new_keys] == [
                b"%d" % n if n == winner else None for n in range(THREADS)
            ]

    def test_one_of_many_moves_to_a_key(self, store: MovingStore, other_store: MovingStore) -> None:
        for new_key in [a_key() for _ in range(ROUNDS)]:
            keys = [a_key() for _ in range(THREADS)]
            for key in keys:
                store.create(key, b"old", LONG)

            def move(own: MovingStore, n: int, new_key: str = new_key, keys: list[str] = keys) -> bool | bytes:
                return own.move(keys[n], new_key, b"old", b"%d" % n, LONG, None)

            done = at_once(move, store, other_store)
            winner = done.index(True)
            assert done == [n == winner for n in range(THREADS)]
            assert store.load(new_key) == b"%d" % winner
            assert [store.load(key) for key in keys] == [None if n == winner else b"old" for n in range(THREADS)]

    def test_a_record_is_never_at_both_keys_nor_at_none(self, store: MovingStore, other_store: MovingStore) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            new_key = a_key()
            store.create(key, b"old", LONG)
            is_over = threading.Event()

            def move_or_look(
                own: MovingStore, thread: int, key: str = key, new_key: str = new_key, is_over: t.Any = is_over
            ) -> None:
                if thread == 0:
                    try:
                        assert own.move(key, new_key, b"old", b"new", LONG, b"left") is True
                    finally:
                        is_over.set()
                    return
                is_last = False
                while not is_last:
                    is_last = is_over.is_set()
                    if thread % 4 < 2:
                        # What has not come yet has not left yet, or did so between the two looks.
                        there, here = own.load(new_key), own.load(key)
                        assert (there, here) in ((None, b"old"), (None, b"left"), (b"new", b"left"))
                    else:
                        here, there = own.load(key), own.load(new_key)
                        assert (there, here) in ((None, b"old"), (b"new", b"old"), (b"new", b"left"))

            at_once(move_or_look, store, other_store)

    def test_no_change_is_lost_to_a_move(self, store: MovingStore, other_store: MovingStore, key: str) -> None:
        """Half of the threads change the record, and half of them move it."""
        store.create(key, b"|", LONG)

        def change_or_move(own: MovingStore, thread: int) -> None:
            at = key
            for number in range(ROUNDS):
                # Whoever fails was overtaken by a change of somebody else, and there are only so many.
                for _ in range(THREADS * ROUNDS):
                    at, data = followed(own, at)
                    new = data + b"%d-%d|" % (thread, number)
                    new_key = a_key()
                    if thread % 4 < 2:
                        done = own.replace(at, data, new, LONG)
                    else:
                        done = own.move(at, new_key, data, new, LONG, b"\0" + new_key.encode())
                    if done is True:
                        break

        at_once(change_or_move, store, other_store)
        _, data = followed(store, key)
        assert len(set(data.split(b"|")) - {b""}) == data.count(b"|") - 1 == THREADS * ROUNDS

    def test_what_is_deleted_is_not_moved(self, store: MovingStore, other_store: MovingStore) -> None:
        for key in [a_key() for _ in range(ROUNDS)]:
            store.create(key, b"old", LONG)
            new_keys = [a_key() for _ in range(THREADS)]

            def delete_or_move(
                own: MovingStore, n: int, key: str = key, new_keys: list[str] = new_keys
            ) -> bool | bytes:
                if n == 0:
                    return own.replace(key, b"old", None, LONG)
                return own.move(key, new_keys[n], b"old", b"new", LONG, None)

            done = at_once(delete_or_move, store, other_store)
            assert done.count(True) == 1
            assert done.count(False) == THREADS - 1
            found = [n for n, new_key in enumerate(new_keys) if store.load(new_key) is not None]
            assert found == ([] if done[0] else [done.index(True)])
            assert store.load(key) is None


def followed(store: Store, key: str) -> tuple[str, bytes]:
    """Where a record is that has been moved from a key any number of times, and what it is."""
    data = store.load(key)
    while data is not None and data.startswith(b"\0"):
        key = data[1:].decode()
        data = store.load(key)
    assert data is not None, "it is at no key"
    return key, data


class OwnerStoreTests(StoreTests):
    """Tests for a store that lists the sessions of each user."""

    #: So many sessions of one owner are listed in a test. Say so if your store lists fewer.
    sessions_listed = 3000

    @pytest.fixture
    def owner(self) -> str:
        return an_owner()

    def test_to_begin_with_nothing_is_listed(self, store: OwnerStore, owner: str, key: str) -> None:
        handle = a_handle()
        store.create(key, b"data", LONG)
        assert store.listed(owner) == []
        assert not is_alive(store, owner, handle, key)
        store.unlist(owner, handle)
        assert store.end(handle) is False
        assert store.end_all(owner) == 0
        assert store.end_all(owner, [handle]) == 0
        assert store.enlist(owner, handle, key, LONG, renew=True) is False
        assert store.listed(owner) == []
        assert not is_alive(store, owner, handle, key)
        assert store.load(key) == b"data"

    def test_sessions_are_listed(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        sessions = [begun(store, owner), begun(other_store, owner), begun(store, owner)]
        stranger = an_owner()
        strange = begun(store, stranger)
        for either in (store, other_store):
            assert sorted(either.listed(owner)) == sorted(sessions)
            assert either.listed(stranger) == [strange]
            for handle, key in sessions:
                assert is_alive(either, owner, handle, key)
                assert not is_alive(either, stranger, handle, key)
            assert not is_alive(either, owner, strange[0], strange[1])

    def test_it_stays_listed_while_its_record_changes(
        self, store: OwnerStore, other_store: OwnerStore, owner: str
    ) -> None:
        handle, key = begun(store, owner)
        assert other_store.replace(key, b"data", b"new", LONG) is True
        assert store.load(key, LONG) == b"new"
        assert store.replace(key, b"data", None, LONG) == b"new"
        for either in (store, other_store):
            assert either.listed(owner) == [(handle, key)]
            assert is_alive(either, owner, handle, key)

    def test_a_session_is_listed_once_however_often_that_is_done(
        self, store: OwnerStore, other_store: OwnerStore, owner: str
    ) -> None:
        handle, key = begun(store, owner)
        for renew in (False, True, False, True):
            assert other_store.enlist(owner, handle, key, LONG, renew=renew) is True
        assert store.listed(owner) == [(handle, key)]
        assert store.end_all(owner) == 1
        assert other_store.listed(owner) == []

    @pytest.mark.parametrize("renew", [True, False])
    def test_the_key_that_is_listed_is_the_latest(
        self, store: OwnerStore, other_store: OwnerStore, owner: str, renew: bool
    ) -> None:
        handle, _ = begun(store, owner)
        new_key = a_key()
        store.create(new_key, b"data", LONG)
        assert store.enlist(owner, handle, new_key, LONG, renew=renew) is True
        assert other_store.listed(owner) == [(handle, new_key)]
        assert is_alive(other_store, owner, handle, new_key)
        assert other_store.end(handle) is True
        assert store.load(new_key) is None
        assert store.listed(owner) == []

    def test_what_is_listed_moves_along(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        sessions = [begun(store, owner) for _ in range(3)]
        new_keys = [a_key() for _ in range(3)]
        for (handle, key), new_key in zip(sessions, new_keys, strict=True):
            assert moved(store, owner, handle, key, new_key) is True
        handles = [handle for handle, _ in sessions]
        for either in (store, other_store):
            assert sorted(either.listed(owner)) == sorted(zip(handles, new_keys, strict=True))
            assert all(is_alive(either, owner, *session) for session in zip(handles, new_keys, strict=True))
        assert other_store.end(handles[0]) is True
        assert store.end_all(owner) == 2
        assert [other_store.load(new_key) for new_key in new_keys] == [None] * 3

    def test_handles_are_any_visible_ascii_and_so_are_owners(self, store: OwnerStore, owner: str, key: str) -> None:
        visible = "".join(map(chr, range(0x21, 0x7F)))
        handles = [visible[n : n + 31] + secrets.token_urlsafe(6) for n in (0, 31, 63)]
        owners = [(owner + visible + "x" * 250)[:250], owner + "*", owner + "'--", owner + "%s", owner + "x"]
        owners += [owner + "X", owner + "_", owner + ":"]
        pairs = [(each, handle + str(n)) for n, each in enumerate(owners) for handle in handles]
        keys = [a_key() for _ in pairs]
        for (each, handle), where in zip(pairs, keys, strict=True):
            store.create(where, b"data", LONG)
            assert store.enlist(each, handle, where, LONG, renew=False) is True
        for number, each in enumerate(owners):
            own = slice(number * 3, number * 3 + 3)
            expected = [(handle, where) for (_, handle), where in zip(pairs[own], keys[own], strict=True)]
            assert sorted(store.listed(each)) == sorted(expected)
        assert store.end(pairs[0][1]) is True
        assert store.end_all(owners[0]) == 2
        assert [len(store.listed(each)) for each in owners] == [0] + [3] * (len(owners) - 1)

    # --- One owner --------------------------------------------------------------------------------------------------

    def test_who_enlists_a_session_takes_it_from_the_owner_before(
        self, store: OwnerStore, other_store: OwnerStore, owner: str
    ) -> None:
        handle, key = begun(store, owner)
        left = begun(store, owner)
        taker = an_owner()
        assert other_store.enlist(taker, handle, key, LONG, renew=True) is False
        assert is_alive(store, owner, handle, key)
        assert other_store.enlist(taker, handle, key, LONG, renew=False) is True
        for either in (store, other_store):
            assert either.listed(owner) == [left]
            assert either.listed(taker) == [(handle, key)]
            assert not is_alive(either, owner, handle, key)
            assert is_alive(either, taker, handle, key)
            assert either.enlist(owner, handle, key, LONG, renew=True) is False
        store.unlist(owner, handle)
        assert store.end_all(owner) == 1
        assert is_alive(other_store, taker, handle, key)
        assert store.end(handle) is True
        assert other_store.listed(taker) == []
        assert other_store.load(key) is None

    # --- The end ----------------------------------------------------------------------------------------------------

    def test_an_unlisted_session_keeps_its_record(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        (handle, key), other = begun(store, owner), begun(store, owner)
        store.unlist(an_owner(), handle)
        assert is_alive(other_store, owner, handle, key)
        other_store.unlist(owner, handle)
        assert store.listed(owner) == [other]
        assert not is_alive(store, owner, handle, key)
        assert store.load(key) == b"data"
        store.unlist(owner, handle)
        assert store.end(handle) is False
        assert store.load(key) == b"data"
        new_key = a_key()
        moved(store, owner, handle, key, new_key)
        assert not is_alive(store, owner, handle, new_key)
        assert other_store.listed(owner) == [other]
        assert store.end_all(owner) == 1

    def test_one_session_is_ended(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        (handle, key), other = begun(store, owner), begun(store, owner)
        assert other_store.end(handle) is True
        for either in (store, other_store):
            assert either.load(key) is None
            assert either.listed(owner) == [other]
            assert is_alive(either, owner, *other)
            assert either.end(handle) is False

    @pytest.mark.parametrize("collection", [list, tuple, set, frozenset, dict.fromkeys])
    def test_all_sessions_are_ended_but_those_to_keep(
        self, store: OwnerStore, other_store: OwnerStore, owner: str, collection: Callable[[list[str]], t.Any]
    ) -> None:
        sessions = [begun(store, owner) for _ in range(5)]
        stranger = an_owner()
        strange = begun(store, stranger)
        kept, ended = sessions[:2], sessions[2:]
        assert other_store.end_all(owner, collection([a_handle(), strange[0], kept[0][0], kept[1][0]])) == 3
        for either in (store, other_store):
            assert sorted(either.listed(owner)) == sorted(kept)
            assert all(is_alive(either, owner, *session) for session in kept)
            assert [either.load(key) for _, key in ended] == [None] * 3
            assert is_alive(either, stranger, *strange)
        assert store.end_all(owner, collection([])) == 2
        assert other_store.listed(owner) == []
        assert store.end_all(owner) == 0
        assert other_store.listed(stranger) == [strange]

    def test_what_is_not_where_the_list_says_is_ended_all_the_same(
        self, store: OwnerStore, other_store: OwnerStore, owner: str
    ) -> None:
        """As it is while another request moves it by several commands, or had been stopped amid them."""
        (handle, key), other = begun(store, owner), begun(store, owner)
        new_keys = [a_key(), a_key()]
        for each, new_key in zip((key, other[1]), new_keys, strict=True):
            store.create(new_key, b"data", LONG)
            assert store.replace(each, b"data", b"\0" + new_key.encode(), LONG) is True
        assert other_store.end(handle) is True
        assert store.end_all(owner) == 1
        for either in (store, other_store):
            assert either.listed(owner) == []
            assert not is_alive(either, owner, handle, new_keys[0])
            assert not is_alive(either, owner, other[0], new_keys[1])
            assert either.enlist(owner, handle, new_keys[0], LONG, renew=True) is False

    @pytest.mark.parametrize("end", ["unlist", "end", "end_all", "end_all but others", "taken"])
    def test_what_was_ended_is_not_renewed(
        self, store: OwnerStore, other_store: OwnerStore, owner: str, end: str
    ) -> None:
        handle, key = begun(store, owner)
        other = begun(store, owner)
        if end == "unlist":
            store.unlist(owner, handle)
        elif end == "end":
            store.end(handle)
        elif end == "taken":
            store.enlist(an_owner(), handle, key, LONG, renew=False)
        else:
            store.end_all(owner, () if end == "end_all" else [other[0]])
        # As a request does that began before.
        store.create(key, b"data", LONG)
        for either in (other_store, store):
            assert either.enlist(owner, handle, key, LONG, renew=True) is False
            assert not is_alive(either, owner, handle, key)
            assert handle not in dict(either.listed(owner))
        if end != "taken":
            assert store.enlist(owner, handle, key, LONG, renew=False) is True
            assert is_alive(other_store, owner, handle, key)

    def test_a_long_list(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        def begin(own: OwnerStore, thread: int) -> list[tuple[str, str]]:
            return [begun(own, owner) for _ in range(thread, self.sessions_listed, THREADS)]

        sessions = [session for some in at_once(begin, store, other_store) for session in some]
        assert len(sessions) == self.sessions_listed
        count = len(store.listed(owner))
        assert count == self.sessions_listed, (
            f"{count} of {self.sessions_listed} sessions are listed. If the store lists no more, as those with"
            f" OwnerRecords do, set sessions_listed = {count} in the class of these tests."
        )
        assert sorted(store.listed(owner)) == sorted(sessions)
        kept, ended, *_ = sessions
        assert is_alive(store, owner, *kept)
        assert other_store.end(ended[0]) is True
        assert other_store.end_all(owner, [kept[0]]) == self.sessions_listed - 2
        assert store.listed(owner) == [kept]
        assert [key for _, key in sessions if store.load(key) is not None] == [kept[1]]

    # --- Time -------------------------------------------------------------------------------------------------------

    def test_a_session_is_listed_for_as_long_as_was_said_last(
        self, store: OwnerStore, other_store: OwnerStore, owner: str
    ) -> None:
        outlived = [begun(store, owner, LONG, 1), begun(store, owner, LONG, LONG), begun(store, owner, LONG, LONG)]
        for renew, (handle, key) in zip((True, False), outlived[1:], strict=True):
            store.enlist(owner, handle, key, 1, renew=renew)
        renewed = [self.renewed_in_time(store, owner, renew) for renew in (True, False)]
        gone = [begun(store, owner, 1, 1) for _ in range(3)]
        self.passes(1.2)
        for either in (other_store, store):
            assert [session for session in outlived if is_alive(either, owner, *session)] == []
            assert [session for session in renewed if not is_alive(either, owner, *session)] == []
            assert sorted(either.listed(owner)) == sorted(renewed)
        for handle, key in (outlived[0], gone[0]):
            assert store.enlist(owner, handle, key, LONG, renew=True) is False
        assert not is_alive(store, owner, *outlived[0])
        store.unlist(owner, gone[1][0])
        assert store.end(outlived[1][0]) is False
        assert store.end(gone[2][0]) is False
        assert store.end_all(owner) == 2

    def renewed_in_time(self, store: OwnerStore, owner: str, renew: bool) -> tuple[str, str]:
        for _ in range(TRIES):
            handle, key = begun(store, owner, LONG, 1)
            if store.enlist(owner, handle, key, LONG, renew=renew):
                return handle, key
        raise AssertionError(f"{TRIES} listings of one second were gone at once")

    @pytest.mark.parametrize("days", [31, 20 * 365, 100 * 365], ids=["a month", "twenty years", "a century"])
    def test_a_listing_of_long_life(self, store: OwnerStore, owner: str, days: int) -> None:
        ttl = days * 24 * 60 * 60
        handle, key = begun(store, owner, ttl, ttl)
        assert store.enlist(owner, handle, key, ttl, renew=True) is True
        assert is_alive(store, owner, handle, key)
        assert store.end(handle) is True

    # --- Many at once -----------------------------------------------------------------------------------------------

    def test_all_that_are_ended_leave_the_list_in_one_step(self, store: OwnerStore, other_store: OwnerStore) -> None:
        """Before their records go. If the process is killed amid this, they have ended all the same.

        All threads but one wait for the end of one session. By then no other is listed, except the one that is kept.
        """
        for number in range(ROUNDS):
            owner = an_owner()
            sessions = [begun(store, owner) for _ in range(min(MOST_ENDED, self.sessions_listed))]
            kept = sessions[-1:] if number % 2 else []
            ended = sessions[: len(sessions) - len(kept)]
            looks, is_over = threading.Semaphore(0), threading.Event()

            def end_or_watch(
                own: OwnerStore,
                thread: int,
                owner: str = owner,
                kept: list[tuple[str, str]] = kept,
                ended: list[tuple[str, str]] = ended,
                looks: threading.Semaphore = looks,
                is_over: threading.Event = is_over,
            ) -> None:
                if thread == 0:
                    try:
                        # When all the others have begun to look, so that they see what comes.
                        for _ in range(THREADS - 1):
                            looks.acquire()
                        assert own.end_all(owner, [handle for handle, _ in kept]) == len(ended)
                    finally:
                        is_over.set()
                    return
                # Among them the first and the last one.
                watched = ended[(thread - 1) * (len(ended) - 1) // (THREADS - 2)]
                try:
                    is_last, is_there = False, is_alive(own, owner, *watched)
                finally:
                    looks.release()
                while is_there and not is_last:
                    is_last = is_over.is_set()
                    is_there = is_alive(own, owner, *watched) if thread % 4 < 2 else watched in own.listed(owner)
                assert not is_there
                assert own.listed(owner) == kept

            with many_switches():
                at_once(end_or_watch, store, other_store)

    def test_no_session_is_lost_that_many_list(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        """While others are taken off the list, and renewed."""

        def begin(own: OwnerStore, thread: int) -> list[tuple[str, str]]:
            sessions = []
            for _ in range(ROUNDS):
                handle, key = begun(own, owner)
                left = begun(own, owner)
                assert own.enlist(owner, handle, key, LONG, renew=True) is True
                if thread % 4 < 2:
                    own.unlist(owner, left[0])
                else:
                    assert own.end(left[0]) is True
                sessions.append((handle, key))
            return sessions

        sessions = [session for some in at_once(begin, store, other_store) for session in some]
        assert sorted(store.listed(owner)) == sorted(sessions)
        assert other_store.end_all(owner) == THREADS * ROUNDS

    def test_one_of_many_owners_has_a_session(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        for _ in range(ROUNDS):
            handle, key = begun(store, owner)
            owners = [an_owner() for _ in range(THREADS)]

            def take(own: OwnerStore, n: int, handle: str = handle, key: str = key, owners: list[str] = owners) -> None:
                own.enlist(owners[n], handle, key, LONG, renew=False)

            at_once(take, store, other_store)
            lists = [store.listed(each) for each in (owner, *owners)]
            assert sorted(lists) == [[]] * THREADS + [[(handle, key)]]
            (last,) = [each for each in owners if store.listed(each)]
            assert is_alive(other_store, last, handle, key)
            assert other_store.end(handle) is True
            assert store.listed(last) == []

    def test_one_of_many_ends_a_session(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        for _ in range(ROUNDS):
            handle, key = begun(store, owner)
            done = at_once(lambda own, n, handle=handle: own.end(handle), store, other_store)  # type: ignore[misc]
            assert sorted(done) == [False] * (THREADS - 1) + [True]
            assert store.load(key) is None

    def test_each_session_is_ended_by_one_of_many(self, store: OwnerStore, other_store: OwnerStore, owner: str) -> None:
        for number in range(ROUNDS):
            sessions = [begun(store, owner) for _ in range(THREADS)]

            def end(own: OwnerStore, n: int, number: int = number, sessions: list[tuple[str, str]] = sessions) -> int:
                return own.end(sessions[n][0]) if (n + number) % 4 < 2 else own.end_all(owner)

            assert sum(at_once(end, store, other_store)) == THREADS
            assert store.listed(owner) == []
            assert [key for _, key in sessions if store.load(key) is not None] == []

    @pytest.mark.parametrize("end", ["end", "end_all", "end_all but one", "unlist"])
    def test_what_was_ended_is_dead_wherever_it_goes(
        self, store: OwnerStore, other_store: OwnerStore, owner: str, end: str
    ) -> None:
        """Sessions are moved and renewed by all threads but one, which ends them, and do not find back."""
        for _ in range(ROUNDS):
            sessions = [begun(store, owner) for _ in range(THREADS)]
            kept = sessions[-1]
            is_ended = threading.Event()
            keys: list[list[str]] = [[key] for _, key in sessions]

            def end_or_run(
                own: OwnerStore,
                n: int,
                sessions: list[tuple[str, str]] = sessions,
                keys: list[list[str]] = keys,
                is_ended: threading.Event = is_ended,
            ) -> None:
                if n:
                    runs(own, owner, sessions[n][0], keys[n], is_ended)
                    return
                try:
                    if end.startswith("end_all"):
                        own.end_all(owner, [sessions[-1][0]] if "one" in end else ())
                        return
                    for handle, _ in sessions:
                        if end == "end":
                            own.end(handle)
                        else:
                            own.unlist(owner, handle)
                finally:
                    is_ended.set()

            at_once(end_or_run, store, other_store)
            left = [sessions[-1][0]] if "one" in end else []
            for either in (store, other_store):
                assert [handle for handle, _ in either.listed(owner)] == left
                for (handle, _), known in zip(sessions, keys, strict=True):
                    alive = [key for key in known if is_alive(either, owner, handle, key)]
                    assert alive == ([known[-1]] if handle in left else [])
            if left:
                assert store.listed(owner) == [(kept[0], keys[-1][-1])]
                assert store.end_all(owner) == 1

    @pytest.mark.parametrize("keeps", [False, True])
    def test_all_are_ended_though_others_begin(
        self, store: OwnerStore, other_store: OwnerStore, owner: str, keeps: bool
    ) -> None:
        kept = begun(store, owner)
        keep = [kept[0]] if keeps else []
        is_over = threading.Event()

        def end_or_begin(own: OwnerStore, thread: int) -> tuple[int, int]:
            """How many it has ended, or how many it has begun, with and without those that were ended at once."""
            ended = listed = tried = 0
            try:
                # Where it takes longer to end a session than to begin one there would be more and more of them.
                while thread and tried < MOST_BEGUN and not is_over.is_set():
                    handle, key = a_handle(), a_key()
                    own.create(key, b"data", LONG)
                    listed += own.enlist(owner, handle, key, LONG, renew=False)
                    tried += 1
                for _ in range(0 if thread else ROUNDS):
                    before = {handle for handle, _ in own.listed(owner)}
                    ended += own.end_all(owner, keep)
                    assert before & {handle for handle, _ in own.listed(owner)} == set(keep)
            finally:
                if not thread:
                    is_over.set()
            return (listed, tried) if thread else (ended, ended)

        (ended, _), *begun_by = at_once(end_or_begin, store, other_store)
        ended += store.end_all(owner, keep) - (not keeps)
        assert sum(listed for listed, _ in begun_by) <= ended <= sum(tried for _, tried in begun_by)
        assert other_store.listed(owner) == ([kept] if keeps else [])


def an_owner() -> str:
    return f"test:owner:{secrets.token_urlsafe(24)}"


def a_handle() -> str:
    return f"h.{secrets.token_urlsafe(16)}"


def begun(store: OwnerStore, owner: str, ttl: int = LONG, listed_ttl: int = LONG) -> tuple[str, str]:
    """The handle and the key of a new session."""
    handle, key = a_handle(), a_key()
    assert store.create(key, b"data", ttl) is True
    is_listed = store.enlist(owner, handle, key, listed_ttl, renew=False)
    assert is_listed is True or 1 in (ttl, listed_ttl)
    return handle, key


def is_alive(store: OwnerStore, owner: str, handle: str, key: str) -> bool:
    """Whether a session is one to whom asks for it by this key."""
    record = store.load(key)
    return record is not None and not record.startswith(b"\0") and store.is_listed(owner, handle, record)


def moved(store: OwnerStore, owner: str, handle: str, key: str, new_key: str) -> bool:
    """Move a listed session as the session interface does: in one step, or where a store has none, in several."""
    left = b"\0" + new_key.encode()
    if isinstance(store, MovingStore):
        return store.move(key, new_key, b"data", b"data", LONG, left) is True
    store.create(new_key, b"data", LONG)
    if store.replace(key, b"data", left, LONG) is True:
        return store.enlist(owner, handle, new_key, LONG, renew=True)
    store.delete(new_key)
    return False


def runs(store: OwnerStore, owner: str, handle: str, keys: list[str], is_ended: threading.Event) -> None:
    """Move and renew a session, adding each key it gets, until after it was ended."""
    has_ended = False
    while not has_ended:
        has_ended = is_ended.is_set()
        new_key = a_key()
        # The new key is chosen before the move, so that it is known even if the move fails halfway.
        is_moved = moved(store, owner, handle, keys[-1], new_key)
        if is_moved:
            keys.append(new_key)
        else:
            keys.insert(0, new_key)
        store.replace(keys[-1], b"data", b"data", LONG)
        store.enlist(owner, handle, keys[-1], LONG, renew=True)


def a_key() -> str:
    return f"test:{secrets.token_urlsafe(24)}"


def at_once(act: Callable[[S, int], T], *stores: S) -> list[T]:
    """What each of many threads returns that begin together, half of them on the one store and half on the other."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> T:
        barrier.wait()
        return act(stores[number % len(stores)], number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def seconds_left_of(ttl: int) -> range:
    """What may be left of a life that began just now, on a machine that has been busy since."""
    return range(ttl - 30, ttl + 1)


@contextmanager
def many_switches() -> Iterator[None]:
    """Let threads take turns so often that others come between any two steps of a store that is in memory."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def created_and(store: Store, ttl: int | None, *acts: Callable[[str], object]) -> str:
    key = a_key()
    store.create(key, b"data", ttl)
    for act in acts:
        act(key)
    return key


#: Ways to make a record that has expired after a second.
SHORT_LIVES: dict[str, Callable[[Store], str]] = {
    "created": lambda store: created_and(store, 1),
    "loaded": lambda store: created_and(store, LONG, lambda key: store.load(key, 1)),
    "replaced": lambda store: created_and(store, LONG, lambda key: store.replace(key, b"data", b"new", 1)),
    "replaced by its like": lambda store: created_and(store, LONG, lambda key: store.replace(key, b"data", b"data", 1)),
    "loaded that had no end": lambda store: created_and(store, None, lambda key: store.load(key, 1)),
    "created again": lambda store: created_and(store, 1, lambda key: store.create(key, b"data", LONG)),
    "replaced in vain": lambda store: created_and(store, 1, lambda key: store.replace(key, b"other", b"new", LONG)),
    "loaded without a time": lambda store: created_and(store, 1, store.load),
}

#: Ways to make a record that was to live for one second live on, which return whether it was still there.
LONG_LIVES: dict[str, Callable[[Store, str], object]] = {
    "loaded": lambda store, key: store.load(key, LONG),
    "replaced": lambda store, key: store.replace(key, b"data", b"new", LONG),
    "replaced by its like": lambda store, key: store.replace(key, b"data", b"data", LONG),
    "replaced without end": lambda store, key: store.replace(key, b"data", b"new", None),
}
