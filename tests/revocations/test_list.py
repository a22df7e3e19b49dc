"""The list of a process: when it is fetched, what happens while it cannot be, and what it does about a lost one."""

from __future__ import annotations

import copy
import logging
import os
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from flask_fastsession import Revocations
from flask_fastsession import SessionStoreError
from flask_fastsession._native import IDENTITY_KEY
from flask_fastsession._native import Identity
from flask_fastsession._native import RevokedList
from flask_fastsession._native import hash_user
from flask_fastsession.revocations import revocations as module
from flask_fastsession.revocations.entry import SessionEntry
from flask_fastsession.revocations.entry import UserEntry
from flask_fastsession.revocations.entry import entry_from
from flask_fastsession.signals import revocations_outdated
from tests.patience import HANGS_AFTER

from .conftest import MemoryStore
from .conftest import Monotonic

#: Later than any run of the tests ends that this module is imported for.
UNTIL = int(time.time()) + 1_000_000
ONE, TWO = b"1" * 16, b"2" * 16
ADA = hash_user("ada")
#: An id as entries have it, and one as cookies have it.
NAME = "MTExMTExMTExMTExMTExMQ"
ID = "0123456789abcdef" * 2


# --- Entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        SessionEntry(UNTIL, ONE),
        UserEntry(UNTIL, ADA),
        UserEntry(UNTIL, ADA, ((ONE, 7), (TWO, 2**52)), floor=9),
        UserEntry(UNTIL, ADA, cursor=2**52),
    ],
    ids=["session", "user", "user, some left", "user, by cursor"],
)
def test_an_entry_is_read_as_it_was_written(entry: SessionEntry | UserEntry) -> None:
    text = entry.to_text()
    assert text.isascii()
    assert entry_from(text) == entry
    assert "ada" not in text


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[]", '["s"]', '["s",1,"short"]', f'["t",1,"{NAME}"]', '["s","x",1]', "[" * 100_000),
        *(f'["s",{until},"{NAME}"]' for until in ("1e999", "-1", "2.5", "true", f"{2**64}", "NaN", "null", '"1"')),
        *(f'["u",1,"{NAME}",{rest}]' for rest in ("-5,0,[]", "1,-1,[]", f'1,1,[["{NAME}",-1]]', f"{2**64},0,[]")),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_entry_is_overlooked(text: str, store: MemoryStore) -> None:
    store.add(text, 1000)
    store.add(SessionEntry(UNTIL, ONE).to_text(), 1000)
    revocations = Revocations(store)
    revocations.fetch()
    assert revocations.refuses(Identity(ONE))
    assert revocations.stats()["entries"] == 1


# --- Identities -----------------------------------------------------------------------------------------------------


def test_an_identity_is_taken_out_of_the_data() -> None:
    users = (None, "", "ada", ":", "=1:", "\u00e4\u2603", "x" * 1000)
    named = [Identity(ONE, 5, user, is_named) for user in users for is_named in (False, True)]
    for identity in (Identity(ONE), Identity(TWO, 2**53), Identity(bytes(range(0, 256, 16)), 2**64 - 1, "ada"), *named):
        data = {"a": 1, IDENTITY_KEY: identity.value}
        taken = RevokedList().take(data)
        assert isinstance(taken, Identity)
        for same in (taken, copy.deepcopy(identity)):
            assert (same.id, same.cursor, same.user, same.is_named, same.value) == (
                identity.id,
                identity.cursor,
                identity.user,
                identity.is_named,
                identity.value,
            )
        assert data == {"a": 1}


NO_IDENTITIES: list[t.Any] = [
    *(None, 5, "", "x", ":", "x:1", ID, f"{ID}:", f"{ID}:ada", f"{ID}:-1", f"{ID}:1.5", f"{ID}:{2**64}"),
    *(f"{ID} :1", f"{ID}0:1", f"{ID[:31]}:1", f"{ID[:31]}\u0661:1", f"{ID[:30]}\u00e9:1", f"{ID.upper()}:1"),
    *(
        f"{ID}:+1",
        f"{ID}:007",
        f"{ID}:00",
        f"{ID}:1 ",
        f"{ID}:\u0661",
        f" {ID}:1",
        f"+{ID[1:]}:1",
        f"{ID}:1:\ud800",
        [f"{ID}:1"],
        {f"{ID}:1": 1},
    ),
]


@pytest.mark.parametrize("value", NO_IDENTITIES, ids=ascii)
def test_what_is_no_identity_is_taken_out_as_well(value: t.Any) -> None:
    data = {"a": 1, IDENTITY_KEY: value}
    assert RevokedList().take(data) is None
    assert data == {"a": 1}


def test_an_id_has_16_bytes() -> None:
    for call in (lambda: Identity(b"short"), lambda: RevokedList().add_session(b"short", 1)):
        with pytest.raises(ValueError, match="16"):
            call()


# --- When the store is asked ----------------------------------------------------------------------------------------


def test_the_list_is_fetched_once_it_is_old(store: MemoryStore, monotonic: Monotonic) -> None:
    revocations = Revocations(store, every=5)
    for passed, calls in ((0, ["since"]), (4, []), (0.9, []), (0.2, ["since"]), (4.9, []), (60, ["since"])):
        monotonic.now += passed
        for _ in range(10):
            revocations.renew()
        assert store.counted() == calls


def test_what_depends_on_it_fetches_at_once(store: MemoryStore, monotonic: Monotonic) -> None:
    revocations = Revocations(store)
    for _ in range(3):
        revocations.fetch()
    assert store.counted() == ["since"] * 3
    revocations.renew()
    assert store.counted() == []


def test_whoever_comes_while_it_is_fetched_goes_on_or_waits(store: MemoryStore, monotonic: Monotonic) -> None:
    """They go on while the list is younger than twice ``every``."""
    revocations = Revocations(store, every=5)
    revocations.renew()

    def goes_on() -> None:
        thread = threading.Thread(target=revocations.renew)
        thread.start()
        thread.join(HANGS_AFTER)
        assert not thread.is_alive()

    def waits() -> None:
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()

    waiting = threading.Thread(target=revocations.renew)
    for passed, another in ((6, goes_on), (11, waits)):
        monotonic.now += passed
        store.before["since"] = another
        revocations.renew()
    waiting.join()
    # Whoever has waited need not fetch.
    assert store.counted() == ["since"] * 3


# --- Outages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_list", [True, False])
@pytest.mark.parametrize("on_outage", ["keep", "accept", "refuse"])
def test_on_outage_decides(
    store: MemoryStore, monotonic: Monotonic, on_outage: module.OnOutage, has_list: bool
) -> None:
    revocations = Revocations(store, 5, on_outage)
    goes_on = on_outage == "accept" or (on_outage == "keep" and has_list)
    if has_list:
        revocations.renew()
        store.counted()
        monotonic.now += 6
    store.is_failing = True
    for passed, calls in ((0, 1), (4.9, 0), (0.2, 1), (20, 1)):
        monotonic.now += passed
        for ask in (revocations.renew, revocations.fetch, revocations.renew):
            if goes_on:
                ask()
            else:
                with pytest.raises(SessionStoreError, match="since fails"):
                    ask()
        assert len(store.counted()) == calls
    store.is_failing = False
    monotonic.now += 6
    revocations.renew()
    assert store.counted() == ["since"]


def test_an_outage_is_told_once_and_its_age_each_time(
    store: MemoryStore, monotonic: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    ages: list[float | None] = []
    with revocations_outdated.connected_to(lambda sender, age: ages.append(age)), caplog.at_level(logging.WARNING):
        revocations = Revocations(store, 5, "accept")
        store.is_failing = True
        revocations.renew()
        assert revocations.stats()["age"] is None
        store.is_failing = False
        monotonic.now += 6
        revocations.renew()
        store.is_failing = True
        for _ in range(3):
            monotonic.now += 6
            revocations.renew()
        assert [age and round(age) for age in ages] == [None, 6, 12, 18]
        assert round(revocations.stats()["age"] or 0) == 18
        assert revocations.stats()["failed_fetches"] == 4
    assert ["none yet" in record.message for record in caplog.records] == [True, False]


def test_what_could_not_be_stored_is_refused_here_and_stored_later(store: MemoryStore, monotonic: Monotonic) -> None:
    revocations, other = Revocations(store), Revocations(store)
    revocations.fetch()
    store.is_failing = True
    ada = Identity(TWO, revocations.latest, "ada")
    for entry in (SessionEntry(UNTIL, ONE), UserEntry(UNTIL, ADA)):
        with pytest.raises(SessionStoreError):
            revocations.add(entry)
    # Bound since then, while the store is still away.
    later = Identity(TWO, revocations.latest, "ada")
    assert revocations.stats()["waiting"] == 2
    store.is_failing = False
    monotonic.now += 6
    revocations.renew()
    assert revocations.stats()["waiting"] == 0
    other.fetch()
    for each in (revocations, other):
        assert each.refuses(Identity(ONE)) and each.refuses(ada) and not each.refuses(later)


def test_what_has_waited_lives_on_for_as_long_as_it_would_have(
    store: MemoryStore, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes have sent the cookies that it refuses anew all the time."""
    revocations, other = Revocations(store, on_outage="accept"), Revocations(store)
    store.is_failing = True
    made_at = time.time()
    for entry in (SessionEntry(UNTIL, ONE), UserEntry(UNTIL, ADA)):
        with pytest.raises(SessionStoreError):
            revocations.add(entry)
    stored_at = UNTIL + 5000
    monkeypatch.setattr(time, "time", lambda: stored_at)
    store.is_failing = False
    monotonic.now += 301
    revocations.renew()
    other.fetch()
    assert revocations.stats()["waiting"] == 0
    for seconds, is_refused in ((UNTIL - made_at - 1, True), (UNTIL - made_at + 2, False)):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: stored_at + seconds)
        monotonic.now += 301
        for each in (revocations, other):
            each.fetch()
            assert each.refuses(Identity(ONE)) == each.refuses(Identity(TWO, 1, "ada")) == is_refused


def test_what_a_process_has_missed_in_an_outage_lives_longer_by_its_length(
    store: MemoryStore, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until now it has sent the cookies anew that are refused."""
    here, there = Revocations(store), Revocations(store)
    here.fetch()
    there.add(SessionEntry(UNTIL, TWO))
    here.fetch()
    store.is_failing = True
    monotonic.now += 6
    here.renew()
    store.is_failing = False
    there.add(SessionEntry(UNTIL, ONE))
    there.add(UserEntry(UNTIL, ADA, ((TWO, 3),)))
    monotonic.now += 3600
    here.renew()
    assert here.stats()["waiting"] == 0
    new = Revocations(store)
    for after, is_refused in ((3599, True), (3700, False)):
        monkeypatch.setattr(time, "time", lambda after=after: UNTIL + after)
        monotonic.now += 301
        for each in (here, there, new):
            each.fetch()
            assert each.refuses(Identity(ONE)) == each.refuses(Identity(b"3" * 16, 1, "ada")) == is_refused
            # Neither what it knew before, nor what the entry of the user keeps.
            assert not each.refuses(Identity(TWO, 3, "ada"))


def test_a_process_that_was_idle_adds_nothing(store: MemoryStore, monotonic: Monotonic) -> None:
    here, there = Revocations(store), Revocations(store)
    here.fetch()
    there.add(SessionEntry(UNTIL, ONE))
    monotonic.now += 3600
    here.renew()
    assert len(store.entries) == 1


def test_a_store_that_fails_while_it_is_told_is_told_at_the_next_fetch(
    store: MemoryStore, monotonic: Monotonic
) -> None:
    revocations = Revocations(store)
    store.is_failing = True
    with pytest.raises(SessionStoreError):
        revocations.add(SessionEntry(UNTIL, ONE))

    def fail() -> None:
        raise SessionStoreError("add fails")

    store.is_failing, store.before["add"] = False, fail
    revocations.fetch()
    assert revocations.stats()["waiting"] == 1
    revocations.fetch()
    assert revocations.stats()["waiting"] == 0


# --- Lists that are lost --------------------------------------------------------------------------------------------


def test_what_a_store_has_lost_is_added_again(store: MemoryStore) -> None:
    first, second = Revocations(store), Revocations(store)
    first.fetch()
    bound = Identity(TWO, first.latest, "ada")
    kept = Identity(b"3" * 16, first.latest, "ada")
    first.add(SessionEntry(UNTIL, ONE))
    first.add(UserEntry(UNTIL, ADA, ((kept.id, kept.cursor),)))
    second.fetch()
    later = Identity(TWO, second.latest, "ada")
    store.begin()
    second.fetch()
    third = Revocations(store)
    third.fetch()
    for each in (first, second, third):
        assert each.refuses(Identity(ONE)) and each.refuses(bound)
        assert not each.refuses(later) and not each.refuses(kept)
    # Who comes after that finds them all, and has nothing to add.
    store.counted()
    first.fetch()
    assert store.counted() == ["since"]


def test_a_list_that_begins_anew_with_a_clock_that_is_behind_does_not_fall_behind(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    revocations = Revocations(store)
    revocations.add(SessionEntry(UNTIL, ONE))
    revocations.fetch()
    bound = Identity(TWO, revocations.latest, "ada")
    store.begin()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 100)
    revocations.add(UserEntry(UNTIL, ADA, floor=revocations.latest + 1))
    other = Revocations(store)
    other.fetch()
    assert revocations.refuses(bound) and other.refuses(bound)


# --- Threads and forks ----------------------------------------------------------------------------------------------


def test_threads_share_a_list(store: MemoryStore) -> None:
    revocations = Revocations(store, every=0)
    is_over = threading.Event()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            while not is_over.is_set():
                revocations.renew()
                revocations.refuses(Identity(ONE, 0, "ada"))
                revocations.stats()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    ids = [os.urandom(16) for _ in range(200)]
    for at, id in enumerate(ids):
        revocations.add(SessionEntry(UNTIL, id))
        if at % 50 == 0:
            store.begin()
    is_over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(revocations.refuses(Identity(id)) for id in ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_goes_on_that_was_forked_during_a_fetch(store: MemoryStore, monotonic: Monotonic) -> None:
    revocations = Revocations(store)
    revocations.add(SessionEntry(UNTIL, ONE))
    revocations.fetch()

    def fork_meanwhile() -> None:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

    def fork() -> None:
        child = os.fork()
        if not child:
            revocations.fetch()
            revocations.add(SessionEntry(UNTIL, TWO))
            os._exit(0 if revocations.refuses(Identity(ONE)) and revocations.refuses(Identity(TWO)) else 1)
        statuses.append(os.waitpid(child, 0)[1])

    statuses: list[int] = []
    store.before["since"] = fork_meanwhile
    revocations.fetch()
    assert statuses == [0]


def test_an_interrupted_addition_is_made_up_for(store: MemoryStore) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    revocations = Revocations(store)
    store.before["add"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        revocations.add(SessionEntry(UNTIL, ONE))
    assert revocations.refuses(Identity(ONE))
    revocations.fetch()
    assert len(store.entries) == 1


def test_a_copy_shares_the_list(store: MemoryStore) -> None:
    revocations = Revocations(store)
    assert copy.copy(revocations) is revocations is copy.deepcopy(revocations)


# --- Size -----------------------------------------------------------------------------------------------------------


MILLION = """
import os
from flask_fastsession._native import RevokedList

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

revoked = RevokedList()
before = resident()
for number in range(1_000_000):
    revoked.add_user(number.to_bytes(16, "big"), number, 2**40, [])
print(len(revoked), resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux tells how much memory a process has")
def test_a_million_fit_in_100_megabytes() -> None:
    """Of users, which take more room than sessions; in a process that has no memory left from other things."""
    done = subprocess.run([sys.executable, "-c", MILLION], stdout=subprocess.PIPE, text=True, check=True)
    count, growth = map(int, done.stdout.split())
    assert count == 1_000_000
    assert growth < 100_000_000
