"""Tests for a session store of your own: whether it keeps the promises of :class:`flask_fastsession.server.Store`.

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
that can be swept is tested by :class:`SweepingStoreTests`, which has the same tests and more. All of this needs pytest,
takes a few seconds, and sleeps where a record is to expire, unless ``passes`` is overridden.
"""

from __future__ import annotations

import secrets
import threading
import time
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .server.store import Store
from .server.store import SweepingStore

__all__ = ["StoreTests", "SweepingStoreTests"]

T = t.TypeVar("T")

#: Long enough that no record of a test expires by itself.
LONG = 1000

#: Threads that do the same at once, and how often they are set off.
THREADS = 8
ROUNDS = 25

#: A record of one second can be gone before anybody has looked at it, where a store counts seconds by its own clock.
TRIES = 10


class StoreTests:
    """What any store has to do. A subclass has a fixture ``store``."""

    @pytest.fixture
    def store(self) -> Store:
        """The store that is tested."""
        raise NotImplementedError("a subclass of StoreTests needs a fixture named store")

    @pytest.fixture
    def other_store(self, store: Store) -> Store:
        """Another one on the same data, as another process has it."""
        return store

    def passes(self, seconds: float) -> None:
        """Let this time pass for the store."""
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
    """What a store has to do that can be swept."""

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


def a_key() -> str:
    return f"test:{secrets.token_urlsafe(24)}"


def at_once(act: Callable[[Store, int], T], *stores: Store) -> list[T]:
    """What each of many threads returns that begin together, half of them on the one store and half on the other."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> T:
        barrier.wait()
        return act(stores[number % len(stores)], number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


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
