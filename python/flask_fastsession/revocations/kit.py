"""Tests for your own store of revocations. :mod:`flask_fastsession.testing` says how to use them."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from .entry import Cursor
from .store import RevocationStore

#: Long enough that no entry of a test expires by itself.
LONG = 1000

#: How many threads add entries at once, and how many entries each.
THREADS = 8
ROUNDS = 10


class RevocationStoreTests:
    """What any store of revocations has to do. A subclass overrides the fixture ``store``."""

    @pytest.fixture
    def store(self) -> RevocationStore:
        """The store to test, a :class:`~flask_fastsession.revocations.RevocationStore`."""
        raise NotImplementedError("a subclass of RevocationStoreTests needs a fixture named store")

    @pytest.fixture
    def other_store(self, store: RevocationStore) -> RevocationStore:
        """Another store on the same list, as in another process. By default the same store."""
        return store

    def test_an_entry_is_found_after_the_place_before_it(
        self, store: RevocationStore, other_store: RevocationStore
    ) -> None:
        _, before = other_store.since(None)
        place = store.add("an entry", LONG)
        entries, after = other_store.since(before)
        assert entries == [(place.number, "an entry")]
        assert after == place
        assert other_store.since(after) == ([], after)

    def test_numbers_rise(self, store: RevocationStore, other_store: RevocationStore) -> None:
        numbers = [each.add("an entry", LONG).number for _ in range(10) for each in (store, other_store)]
        assert numbers == sorted(set(numbers))

    def test_numbers_are_microseconds_as_far_as_they_can_be(self, store: RevocationStore) -> None:
        # With a tolerance, because the clock of the store may be that of another machine.
        assert abs(store.add("an entry", LONG).number / 1_000_000 - time.time()) < 60

    def test_entries_are_found_in_their_order(self, store: RevocationStore, other_store: RevocationStore) -> None:
        before = store.add("the first", LONG)
        texts = [f"entry {number}" for number in range(50)]
        numbers = [(store, other_store)[number % 2].add(text, LONG).number for number, text in enumerate(texts)]
        entries, _ = store.since(before)
        assert entries == list(zip(numbers, texts, strict=True))
        assert store.since(None)[0][-51:] == [(before.number, "the first"), *entries]

    def test_entries_are_any_ascii(self, store: RevocationStore, other_store: RevocationStore) -> None:
        before = store.add("", LONG)
        texts = ['["u",1,"\\u00e4",null]', " '%s' ? :name \\ ", "x" * 10_000]
        for text in texts:
            store.add(text, LONG)
        assert [text for _, text in other_store.since(before)[0]] == texts

    def test_all_entries_of_another_list(self, store: RevocationStore, other_store: RevocationStore) -> None:
        place = store.add("an entry", LONG)
        everything = other_store.since(None)
        assert everything[0][-1] == (place.number, "an entry")
        assert other_store.since(Cursor(place.number, secrets.token_urlsafe(16))) == everything
        assert other_store.since(Cursor(place.number + 10**9, place.generation)) == everything

    def test_the_generation_stays(self, store: RevocationStore, other_store: RevocationStore) -> None:
        generations = {each.add("an entry", LONG).generation for each in (store, other_store, store)}
        generations |= {each.since(None)[1].generation for each in (store, other_store)}
        assert len(generations) == 1
        assert generations != {""}

    def test_an_entry_lives_for_as_long_as_was_said(self, store: RevocationStore, other_store: RevocationStore) -> None:
        # Entries that end earlier must not remove it.
        place = store.add("a long one", LONG)
        for _ in range(30):
            store.add("a short one", 1)
        time.sleep(1.1)
        other_store.add("another", LONG)
        assert (place.number, "a long one") in other_store.since(None)[0]

    def test_whoever_follows_the_list_misses_nothing(
        self, store: RevocationStore, other_store: RevocationStore
    ) -> None:
        _, start = store.since(None)
        is_over = threading.Event()

        def follow(follower: RevocationStore) -> list[tuple[int, str]]:
            cursor, found = start, []
            while True:
                was_over = is_over.is_set()
                entries, cursor = follower.since(cursor)
                found += entries
                if was_over:
                    return found
                # In some databases, reading without a pause blocks all writers.
                time.sleep(0.005)

        def add(number: int) -> list[int]:
            adder = (store, other_store)[number % 2]
            return [adder.add(f"{number} {turn}", LONG).number for turn in range(ROUNDS)]

        with ThreadPoolExecutor(THREADS + 2) as pool:
            followers = [pool.submit(follow, each) for each in (store, other_store)]
            try:
                numbers = list(pool.map(add, range(THREADS)))
            finally:
                is_over.set()
            followed = [each.result() for each in followers]
        expected = sorted(
            (place, f"{number} {turn}") for number, row in enumerate(numbers) for turn, place in enumerate(row)
        )
        assert followed == [expected, expected]
