"""The kit that tests stores notices when one does not keep its promises."""

from __future__ import annotations

import fnmatch
import inspect
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from flask_fastsession.server.store import MOVED_TTL
from flask_fastsession.testing import ListingStoreTests
from flask_fastsession.testing import MovingStoreTests
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import StoreTests
from flask_fastsession.testing import SweepingStoreTests

from .conftest import MemoryStore


class ByHand:
    """Mixed with tests of the kit, runs them on a store whose clock can be turned."""

    __test__ = False

    def __init__(self, store: MemoryStore) -> None:
        self.memory = store

    def passes(self, seconds: float) -> None:
        self.memory.now += seconds

    def failures(self, names: t.Collection[str] = ()) -> Iterator[str]:
        for name in names or dir(self):
            if name.startswith("test_"):
                for arguments in self.arguments_of(getattr(self, name)):
                    try:
                        getattr(self, name)(**arguments)
                    except Exception as error:
                        yield f"{name}: {error!r}"

    def arguments_of(self, test: Callable[..., None]) -> Iterator[dict[str, t.Any]]:
        marks = getattr(test, "pytestmark", [])
        for values in marks[0].args[1] if marks else [None]:
            values_by_name = {marks[0].args[0]: values} if marks else {}
            yield {
                name: values_by_name[name] if name in values_by_name else self.fixture(name)
                for name in inspect.signature(test).parameters
            }

    def fixture(self, name: str) -> t.Any:
        if name in ("store", "other_store"):
            return self.memory
        function = getattr(type(self), name).__wrapped__
        return function(self, self.memory) if "store" in inspect.signature(function).parameters else function(self)


class Kit(ByHand, SweepingStoreTests):
    """For a store that can be swept, and no more."""


class ListingKit(ByHand, ListingStoreTests):
    """For a store that lists its keys."""


class MovingKit(ByHand, MovingStoreTests):
    """For a store that moves records."""


class OwnerKit(ByHand, OwnerStoreTests):
    """For a store that lists whose sessions it has."""


def in_turn(method: t.Any) -> t.Any:
    def one_at_a_time(self: t.Any, *arguments: t.Any, **named: t.Any) -> t.Any:
        with self.turn:
            return method(self, *arguments, **named)

    return one_at_a_time


FIRST_METHODS = ("load", "create", "replace", "delete")
METHODS = (*FIRST_METHODS, "move", "enlist", "is_listed", "listed", "unlist", "end", "end_all")


def locked(store_class: type[MemoryStore], names: t.Collection[str] = METHODS) -> MemoryStore:
    """A store whose only fault is its own."""
    methods = {name: in_turn(getattr(store_class, name)) for name in names if hasattr(store_class, name)}
    locking = type(store_class.__name__, (store_class,), {**methods, "turn": threading.RLock()})
    return t.cast(MemoryStore, locking())


class CreatesTwice(MemoryStore):
    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        self._put(key, data, ttl)
        return True


class CreatesUnseen(MemoryStore):
    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        super().create(key, data, ttl)
        return True


class ForgetsNothing(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data, None)


class IsNotProlonged(MemoryStore):
    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return super().load(key)


class ReplacesAnything(MemoryStore):
    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        found = self.load(key)
        return found is not None and super().replace(key, found, new, ttl)


class ReplacesNothing(MemoryStore):
    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        return super().replace(key, old, new, ttl) or (new is not None and self.create(key, new, ttl))


class SaysNotByWhat(MemoryStore):
    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        return super().replace(key, old, new, ttl) is True


class LeavesNothing(MemoryStore):
    """Where a record was deleted by None there is an empty one."""

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        return super().replace(key, old, new or b"", ttl)


class LeavesItsEnd(MemoryStore):
    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        end = self.records.get(key, (b"", None))[1]
        done = super().replace(key, old, new, ttl)
        if done is True and new is not None:
            self.records[key] = new, end
        return done


class Decodes(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data.decode(errors="replace").encode(), ttl)


class Strips(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data.strip() or b" ", ttl)


class Truncates(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data[:65535], ttl)


class CutsKeys(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key[:249], data, ttl)


class IsCaseless(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key.lower(), data, ttl)

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return super().load(key.lower(), ttl)


class DeletesOne(MemoryStore):
    def delete(self, *keys: str) -> None:
        super().delete(*keys[:1])


class DeletesAll(MemoryStore):
    def delete(self, *keys: str) -> None:
        self.records.clear()


class ExpectsToDelete(MemoryStore):
    def delete(self, *keys: str) -> None:
        for key in keys:
            del self.records[key]


class CountsMonthsAsMoments(MemoryStore):
    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data, -1 if ttl is not None and ttl > 30 * 86400 else ttl)


class SweepsTheLiving(MemoryStore):
    def sweep(self, limit: int) -> int:
        keys = [key for key, (_, end) in self.records.items() if end is not None][:limit]
        self.delete(*keys)
        return len(keys)


class SweepsAll(MemoryStore):
    def sweep(self, limit: int) -> int:
        return super().sweep(1000)


BROKEN = [
    CreatesTwice,
    CreatesUnseen,
    ForgetsNothing,
    IsNotProlonged,
    ReplacesAnything,
    ReplacesNothing,
    SaysNotByWhat,
    LeavesNothing,
    LeavesItsEnd,
    Decodes,
    Strips,
    Truncates,
    CutsKeys,
    IsCaseless,
    DeletesOne,
    DeletesAll,
    ExpectsToDelete,
    CountsMonthsAsMoments,
    SweepsTheLiving,
    SweepsAll,
]


class Dawdles(MemoryStore):
    """Between its looking and its writing others may come."""

    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        time.sleep(0.0001)
        super()._put(key, data, ttl)


def test_the_kit_finds_no_fault_with_a_store_that_has_none() -> None:
    assert list(Kit(locked(MemoryStore)).failures()) == []


@pytest.mark.parametrize("store_class", BROKEN)
def test_the_kit_finds_the_fault_of(store_class: type[MemoryStore]) -> None:
    assert next(Kit(locked(store_class)).failures(), None) is not None


@pytest.mark.parametrize(
    "name",
    [
        "test_one_of_many_creates",
        "test_one_of_many_replaces_and_the_others_are_told_by_what",
        "test_no_change_is_lost",
        "test_what_is_deleted_amid_changes_stays_deleted",
    ],
)
def test_the_kit_finds_that_a_store_is_not_atomic(name: str) -> None:
    assert any(failure.startswith(name) for failure in Kit(Dawdles()).failures())


def test_a_subclass_has_to_say_which_store_is_tested() -> None:
    with pytest.raises(NotImplementedError, match="fixture named store"):
        StoreTests.store.__wrapped__(StoreTests())


# --- Stores that say which records they have, and for how long --------------------------------------------------------


class TellingMemoryStore(MemoryStore):
    def expires_in(self, key: str) -> int | None:
        _, end = self.records.get(key, (b"", None))
        return None if end is None or end <= self.now else int(end - self.now)


class ListingMemoryStore(TellingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in self.records if key.startswith(prefix)])


class TellsAtWhatTime(ListingMemoryStore):
    def expires_in(self, key: str) -> int | None:
        seconds = super().expires_in(key)
        return None if seconds is None else int(self.now) + seconds


class TellsTheTimeOfDay(ListingMemoryStore):
    def expires_in(self, key: str) -> int | None:
        seconds = super().expires_in(key)
        return None if seconds is None else int(time.time()) + seconds


class TellsMilliseconds(ListingMemoryStore):
    def expires_in(self, key: str) -> int | None:
        seconds = super().expires_in(key)
        return None if seconds is None else 1000 * seconds


class TellsOfTheDead(ListingMemoryStore):
    def expires_in(self, key: str) -> int | None:
        _, end = self.records.get(key, (b"", None))
        return None if end is None else int(end - self.now)


class TellsByNumbersThatThereIsNone(ListingMemoryStore):
    """As a server may."""

    def expires_in(self, key: str) -> int | None:
        return -2 if self.load(key) is None else super().expires_in(key) or -1


class TellsTheFirstEnd(ListingMemoryStore):
    """That which a record had when it was created."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, float | None] = {}

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        created = super().create(key, data, ttl)
        if created:
            self.ends[key] = self.records[key][1]
        return created

    def expires_in(self, key: str) -> int | None:
        end = self.ends.get(key)
        return None if self.load(key) is None or end is None else int(end - self.now)


class YieldsAnyKeys(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return super().keys("")


class YieldsWhatHasItAnywhere(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in self.records if prefix in key])


class YieldsByPattern(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in self.records if fnmatch.fnmatchcase(key, prefix + "*")])


class YieldsInAnyCase(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in self.records if key.lower().startswith(prefix.lower())])


class YieldsWithoutThePrefix(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key.removeprefix(prefix) for key in super().keys(prefix)])


class YieldsBytes(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter(t.cast("list[str]", [key.encode() for key in super().keys(prefix)]))


class YieldsAThousand(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter(list(super().keys(prefix))[:1000])


class YieldsOnlyWhatEnds(ListingMemoryStore):
    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in super().keys(prefix) if self.expires_in(key) is not None])


class YieldsTheDeleted(ListingMemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, None] = {}

    def _put(self, key: str, data: bytes, ttl: int | None) -> None:
        super()._put(key, data, ttl)
        self.known[key] = None

    def keys(self, prefix: str) -> Iterator[str]:
        return iter([key for key in self.known if key.startswith(prefix)])


ENDS, PREFIXES = "test_in_how_many_seconds_a_record_expires", "test_the_keys_that_begin_with_a_prefix"
PRESENT, MANY = "test_only_what_is_there_has_a_key", "test_many_keys"

#: By which tests the fault is found.
BROKEN_LISTING: dict[type[MemoryStore], set[str]] = {
    TellsAtWhatTime: {ENDS},
    TellsTheTimeOfDay: {ENDS},
    TellsMilliseconds: {ENDS},
    TellsOfTheDead: {ENDS},
    TellsByNumbersThatThereIsNone: {ENDS},
    TellsTheFirstEnd: {ENDS},
    YieldsAnyKeys: {PREFIXES, PRESENT, MANY},
    YieldsWhatHasItAnywhere: {PREFIXES},
    YieldsByPattern: {PREFIXES},
    YieldsInAnyCase: {PREFIXES},
    YieldsWithoutThePrefix: {PREFIXES, PRESENT, MANY},
    YieldsBytes: {PREFIXES, PRESENT, MANY},
    YieldsAThousand: {MANY},
    YieldsOnlyWhatEnds: {PRESENT},
    YieldsTheDeleted: {PRESENT, MANY},
}


def test_the_kit_finds_no_fault_with_a_listing_store_that_has_none() -> None:
    assert list(ListingKit(locked(ListingMemoryStore)).failures()) == []


@pytest.mark.parametrize("store_class", BROKEN_LISTING)
def test_the_kit_finds_the_fault_of_a_listing_store(store_class: type[MemoryStore]) -> None:
    assert finders(ListingKit(locked(store_class)), ListingStoreTests, StoreTests) == BROKEN_LISTING[store_class]


def test_a_store_that_lists_no_keys_may_say_when_they_expire() -> None:
    assert list(Kit(locked(TellingMemoryStore)).failures()) == []


# --- Stores that move records ---------------------------------------------------------------------------------------


class MovingMemoryStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        #: The records that were left behind.
        self.left: dict[str, tuple[bytes, float | None]] = {}

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return super().load(key, None if self.records.get(key) is self.left.get(key) else ttl)

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        found = self.load(key)
        if found is None or self.load(new_key) is not None:
            return False
        if found != old:
            return found
        self._put(new_key, new, ttl)
        self._leave(key, left)
        return True

    def _leave(self, key: str, left: bytes | None) -> None:
        if left is None:
            self.delete(key)
        else:
            self._put(key, left, MOVED_TTL)
            self.left[key] = self.records[key]


class MovingTellingMemoryStore(MovingMemoryStore, TellingMemoryStore):
    """Says in how many seconds that ends which it has left behind."""


class MovesAnything(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return super().move(key, new_key, self.load(key) or b"", new, ttl, left)


class MovesNothing(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return False


class MovesWhatIsNotThere(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        self.create(key, old, ttl)
        return super().move(key, new_key, old, new, ttl, left)


class MovesOver(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        if self.load(key) == old:
            self.delete(new_key)
        return super().move(key, new_key, old, new, ttl, left)


class MovesNotOverTheDead(MovingMemoryStore):
    """It does not see that a record at the new key has expired."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return new_key not in self.records and super().move(key, new_key, old, new, ttl, left)


class MovesTheDead(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        if key in self.records:
            self._put(key, self.records[key][0], ttl)
        return super().move(key, new_key, old, new, ttl, left)


class MovesAsItWas(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return super().move(key, new_key, old, old, ttl, left)


class MovesWithItsEnd(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        end = self.records.get(key, (b"", None))[1]
        done = super().move(key, new_key, old, new, ttl, left)
        if done is True:
            self.records[new_key] = new, end
        return done


class SaysNotWhatIsThere(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return super().move(key, new_key, old, new, ttl, left) is True


class Copies(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        pass


class LeavesNothingBehind(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        self.delete(key)


class LeavesItAsItWas(MovingMemoryStore):
    """What is left behind ends when the record would have."""

    def _leave(self, key: str, left: bytes | None) -> None:
        if left is None:
            self.delete(key)
        else:
            self.records[key] = left, self.records[key][1]


class LeavesItForEver(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        if left is None:
            self.delete(key)
        else:
            self._put(key, left, None)


class LeavesItForAMinute(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        super()._leave(key, left)
        if left is not None:
            self.records[key] = self.left[key] = left, self.now + 60


class LeavesItForAnHour(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        super()._leave(key, left)
        if left is not None:
            self.records[key] = self.left[key] = left, self.now + 3600


class ProlongsWhatItLeft(MovingMemoryStore):
    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return MemoryStore.load(self, key, ttl)


class ProlongsWhatItLeftAndSaysSo(ProlongsWhatItLeft, TellingMemoryStore):
    pass


class LeavesAnEmptyRecord(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        super()._leave(key, left or b"")


BROKEN_MOVING = [
    MovesAnything,
    MovesNothing,
    MovesWhatIsNotThere,
    MovesOver,
    MovesNotOverTheDead,
    MovesTheDead,
    MovesAsItWas,
    MovesWithItsEnd,
    SaysNotWhatIsThere,
    Copies,
    LeavesNothingBehind,
    LeavesItAsItWas,
    LeavesAnEmptyRecord,
]

IS_GONE, WHEN = "test_what_is_left_behind_is_gone_after_ten_minutes", "test_when_that_ends_which_is_left_behind"

#: Those whose fault can be seen only as time passes, and by which tests.
BROKEN_LEAVING: dict[type[MemoryStore], set[str]] = {
    LeavesItForEver: {IS_GONE},
    LeavesItForAMinute: {IS_GONE},
    LeavesItForAnHour: {IS_GONE},
    ProlongsWhatItLeft: {IS_GONE},
    ProlongsWhatItLeftAndSaysSo: {IS_GONE, WHEN},
}


class MovesInSteps(MovingMemoryStore):
    """Others may come between the steps, each of which is atomic, and see the record at both keys."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        if self.load(key) is None or not self.create(new_key, new, ttl):
            return False
        time.sleep(0.0001)
        done = self.replace(key, old, left, MOVED_TTL)
        if done is not True:
            self.delete(new_key)
        return done


class LeavesBeforeItComes(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        if self.load(new_key) is not None:
            return False
        done = self.replace(key, old, left, MOVED_TTL)
        time.sleep(0.0001)
        return self.create(new_key, new, ttl) if done is True else done


class LooksBeforeItMoves(MovingMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        found = self.load(key)
        if found is None or self.load(new_key) is not None:
            return False
        if found != old:
            return found
        time.sleep(0.0001)
        self._put(new_key, new, ttl)
        self._leave(key, left)
        return True


@pytest.mark.parametrize("store_class", [MovingMemoryStore, MovingTellingMemoryStore])
def test_the_kit_finds_no_fault_with_a_moving_store_that_has_none(store_class: type[MemoryStore]) -> None:
    assert list(MovingKit(locked(store_class)).failures()) == []


@pytest.mark.parametrize("store_class", BROKEN_MOVING)
def test_the_kit_finds_the_fault_of_a_moving_store(store_class: type[MemoryStore]) -> None:
    assert failure_of(MovingKit(locked(store_class)), MovingStoreTests) is not None


@pytest.mark.parametrize("store_class", BROKEN_LEAVING)
def test_the_kit_finds_that_what_is_left_behind_does_not_live_for_ten_minutes(store_class: type[MemoryStore]) -> None:
    assert finders(MovingKit(locked(store_class)), MovingStoreTests) == BROKEN_LEAVING[store_class]


def test_the_kit_does_not_sleep_for_ten_minutes() -> None:
    store = MovingMemoryStore()
    with pytest.raises(pytest.skip.Exception, match="override passes"):
        MovingStoreTests().test_what_is_left_behind_is_gone_after_ten_minutes(store, store)
    assert store.records == {}


@pytest.mark.parametrize("store_class", [MovesInSteps, LeavesBeforeItComes, LooksBeforeItMoves])
def test_the_kit_finds_that_moving_is_not_atomic(store_class: type[MemoryStore]) -> None:
    store = locked(store_class, FIRST_METHODS)
    assert failure_of(MovingKit(store), MovingStoreTests) is not None


# --- Stores that list whose sessions they have ----------------------------------------------------------------------


class OwnerMemoryStore(MemoryStore):
    """Lists sessions, and leaves it to several commands to move them."""

    def __init__(self) -> None:
        super().__init__()
        #: By handle: the owner, the key and the end.
        self.sessions: dict[str, tuple[str, str, float]] = {}

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        if renew and not self._is_listed(owner, handle):
            return False
        self.sessions[handle] = owner, key, self.now + ttl
        return True

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        return self._is_listed(owner, handle)

    def _is_listed(self, owner: str, handle: str) -> bool:
        found, _, end = self.sessions.get(handle, (None, None, 0.0))
        return found == owner and end > self.now

    def listed(self, owner: str) -> list[tuple[str, str]]:
        return [(handle, key) for handle, (_, key, _) in self.sessions.items() if self._is_listed(owner, handle)]

    def unlist(self, owner: str, handle: str) -> None:
        if self._is_listed(owner, handle):
            del self.sessions[handle]

    def end(self, handle: str) -> bool:
        owner, key, _ = self.sessions.get(handle, ("", "", 0.0))
        if not self._is_listed(owner, handle):
            return False
        self.unlist(owner, handle)
        self.delete(key)
        return True

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        return [self.end(handle) for handle, _ in self.listed(owner) if handle not in keep].count(True)


class MovingOwnerMemoryStore(OwnerMemoryStore, MovingTellingMemoryStore):
    """Lists sessions, and moves them in one step."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        done = super().move(key, new_key, old, new, ttl, left)
        if done is True:
            for handle, (owner, listed_key, end) in self.sessions.items():
                if listed_key == key:
                    self.sessions[handle] = owner, new_key, end
        return done


class RenewsWhatHasEnded(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner, handle, key, ttl, False)


class RenewsWhatAnotherHas(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner, handle, key, ttl, renew and handle not in self.sessions)


class RenewsTheDead(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner, handle, key, ttl, renew and self.sessions.get(handle, ("",))[0] != owner)


class RenewsNothing(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner, handle, key, ttl, renew) if not renew else self._is_listed(owner, handle)


class EnlistsOnce(OwnerMemoryStore):
    """A session that is listed keeps its first key and end."""

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return self._is_listed(owner, handle) or super().enlist(owner, handle, key, ttl, renew)


class SaysThatItIsListed(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        super().enlist(owner, handle, key, ttl, renew)
        return True


class ListsForEver(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner, handle, key, 10**9, renew)


class ListsUnderBoth(OwnerMemoryStore):
    """A handle that another owner has enlisted is still listed by the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.firsts: dict[str, str] = {}

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        self.firsts.setdefault(handle, owner)
        return super().enlist(owner, handle, key, ttl, renew)

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        return (handle in self.sessions and self.firsts.get(handle) == owner) or super().is_listed(
            owner, handle, record
        )


class KeepsToTheFirst(OwnerMemoryStore):
    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        found = self.sessions.get(handle, (owner,))[0]
        return found == owner and super().enlist(owner, handle, key, ttl, renew)


class ListsAnybodys(OwnerMemoryStore):
    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        return handle in self.sessions


class ListsTheRecordless(OwnerMemoryStore):
    """What is listed are keys, and so it counts for nothing where a record went."""

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        found = self.sessions.get(handle)
        return super().is_listed(owner, handle, record) and found is not None and self.load(found[1]) == b"data"


class ForgetsTheHundredth(OwnerMemoryStore):
    def listed(self, owner: str) -> list[tuple[str, str]]:
        return super().listed(owner)[-100:]


class ListsTheDead(OwnerMemoryStore):
    def listed(self, owner: str) -> list[tuple[str, str]]:
        return [(handle, key) for handle, (found, key, _) in self.sessions.items() if found == owner]


class IsCaselessOfOwners(OwnerMemoryStore):
    def _is_listed(self, owner: str, handle: str) -> bool:
        return super()._is_listed(owner.lower(), handle)

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return super().enlist(owner.lower(), handle, key, ttl, renew)


class UnlistsAnybodys(OwnerMemoryStore):
    def unlist(self, owner: str, handle: str) -> None:
        self.sessions.pop(handle, None)


class UnlistsTheRecord(OwnerMemoryStore):
    def unlist(self, owner: str, handle: str) -> None:
        self.delete(self.sessions.get(handle, ("", ""))[1])
        super().unlist(owner, handle)


class ExpectsToUnlist(OwnerMemoryStore):
    def unlist(self, owner: str, handle: str) -> None:
        del self.sessions[handle]


class EndsTheListing(OwnerMemoryStore):
    """The record stays."""

    def end(self, handle: str) -> bool:
        found = self.sessions.get(handle, ("", "", 0.0))
        self.unlist(found[0], handle)
        return found[2] > self.now


class EndsTheRecord(OwnerMemoryStore):
    """It stays listed."""

    def end(self, handle: str) -> bool:
        _, key, end = self.sessions.get(handle, ("", "", 0.0))
        self.delete(key)
        return end > self.now


class SaysThatItEnds(OwnerMemoryStore):
    def end(self, handle: str) -> bool:
        super().end(handle)
        return True


class EndsAllTheSame(OwnerMemoryStore):
    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        return super().end_all(owner)


class EndsNothingIfAnythingIsKept(OwnerMemoryStore):
    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        return 0 if keep else super().end_all(owner)


class KeepsWhatIsNot(OwnerMemoryStore):
    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = super().end_all(owner, keep)
        for handle in keep:
            self.sessions[handle] = owner, "key", self.now + 1000
        return ended


class CountsWhatItKeeps(OwnerMemoryStore):
    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        return super().end_all(owner, keep) + len(keep)


class EndsAllOfAll(OwnerMemoryStore):
    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        return [self.end(handle) for handle in list(self.sessions) if handle not in keep].count(True)


class EndsWhatIsStored(OwnerMemoryStore):
    """A session whose record is not where the list says goes on."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        keep = {*keep, *(handle for handle, key in self.listed(owner) if self.load(key) != b"data")}
        return super().end_all(owner, keep)


class MovesNoListing(MovingOwnerMemoryStore):
    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        return MovingMemoryStore.move(self, key, new_key, old, new, ttl, left)


class MovesWhatWasUnlisted(MovingOwnerMemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, tuple[str, str, float]] = {}

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        done = super().move(key, new_key, old, new, ttl, left)
        known = {handle: found for handle, found in self.known.items() if found[1] == key}
        if done is True:
            for handle, (owner, _, end) in known.items():
                self.sessions[handle] = self.known[handle] = owner, new_key, end
        return done

    def unlist(self, owner: str, handle: str) -> None:
        if handle in self.sessions:
            self.known[handle] = self.sessions[handle]
        super().unlist(owner, handle)


BROKEN_OWNERS = [
    RenewsWhatHasEnded,
    RenewsWhatAnotherHas,
    RenewsTheDead,
    RenewsNothing,
    EnlistsOnce,
    SaysThatItIsListed,
    ListsForEver,
    ListsUnderBoth,
    KeepsToTheFirst,
    ListsAnybodys,
    ListsTheRecordless,
    ForgetsTheHundredth,
    ListsTheDead,
    IsCaselessOfOwners,
    UnlistsAnybodys,
    UnlistsTheRecord,
    ExpectsToUnlist,
    EndsTheListing,
    EndsTheRecord,
    SaysThatItEnds,
    EndsAllTheSame,
    EndsNothingIfAnythingIsKept,
    KeepsWhatIsNot,
    CountsWhatItKeeps,
    EndsAllOfAll,
    EndsWhatIsStored,
    MovesNoListing,
    MovesWhatWasUnlisted,
]


class RenewsInSteps(OwnerMemoryStore):
    """What was ended between looking and writing is back."""

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        if renew and not self._is_listed(owner, handle):
            return False
        time.sleep(0.0001)
        return super().enlist(owner, handle, key, ttl, False)


class EndsAllInSteps(OwnerMemoryStore):
    """It writes what it read before, without those that began meanwhile, and with those that ended."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        listed = dict(self.listed(owner))
        before = dict(self.sessions)
        time.sleep(0.0001)
        self.sessions = {handle: found for handle, found in before.items() if handle not in listed or handle in keep}
        ended = listed.keys() - set(keep)
        self.delete(*(listed[handle] for handle in ended))
        return len(ended)


class EndsWhatItHasRead(OwnerMemoryStore):
    """A session that was moved since escapes."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        listed = self.listed(owner)
        time.sleep(0.0001)
        found = [(handle, key) for handle, key in listed if self.sessions.get(handle, ("", ""))[1] == key]
        return [self.end(handle) for handle, _ in found if handle not in keep].count(True)


class EndsAllTwice(OwnerMemoryStore):
    """Several that end all at once count the same sessions."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        handles = [handle for handle, _ in self.listed(owner) if handle not in keep]
        time.sleep(0.0001)
        for handle in handles:
            self.end(handle)
        return len(handles)


class EndsOneByOne(OwnerMemoryStore):
    """If it is stopped amid this, some go on."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = 0
        for handle, _ in self.listed(owner):
            if handle not in keep:
                time.sleep(0.0001)
                ended += self.end(handle)
        return ended


class EndsTheRecordsFirst(OwnerMemoryStore):
    """If it is stopped amid this, all are listed that have no record, and those go on that have just moved."""

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        found = [(handle, key) for handle, key in self.listed(owner) if handle not in keep]
        self.delete(*(key for _, key in found))
        time.sleep(0.0001)
        with self.turn:  # type: ignore[attr-defined]
            ended = [handle for handle, _ in found if self._is_listed(owner, handle)]
            for handle in ended:
                del self.sessions[handle]
        return len(ended)


class EndsTwice(OwnerMemoryStore):
    def end(self, handle: str) -> bool:
        is_listed = self._is_listed(self.sessions.get(handle, ("",))[0], handle)
        time.sleep(0.0001)
        super().end(handle)
        return is_listed


class IsRewritten(OwnerMemoryStore):
    """The list is read, changed and written as a whole, and others do so at the same time."""

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        before = dict(self.sessions)
        time.sleep(0.0001)
        listed = super().enlist(owner, handle, key, ttl, renew)
        self.sessions = {**before, **({handle: self.sessions[handle]} if listed else {})}
        return listed


class MovesTheListingLater(MovingOwnerMemoryStore):
    """What was ended between the record's move and that of its listing is listed again."""

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        before = [(handle, *found) for handle, found in list(self.sessions.items()) if found[1] == key]
        with self.turn:  # type: ignore[attr-defined]
            done = MovingMemoryStore.move(self, key, new_key, old, new, ttl, left)
        time.sleep(0.0001)
        for handle, owner, _, end in before if done is True else ():
            self.sessions[handle] = owner, new_key, end
        return done


#: Those that end all sessions, but not at one moment.
NOT_AT_ONCE = [EndsOneByOne, EndsTheRecordsFirst]

NOT_ATOMIC: dict[type[MemoryStore], str] = {
    RenewsInSteps: "enlist",
    EndsAllInSteps: "end_all",
    EndsWhatItHasRead: "end_all",
    EndsAllTwice: "end_all",
    EndsTwice: "end",
    IsRewritten: "enlist",
    MovesTheListingLater: "move",
}


@pytest.mark.parametrize("store_class", [OwnerMemoryStore, MovingOwnerMemoryStore])
def test_the_kit_finds_no_fault_with_a_store_of_owners_that_has_none(store_class: type[MemoryStore]) -> None:
    assert list(OwnerKit(locked(store_class)).failures(vars(OwnerStoreTests))) == []


@pytest.mark.parametrize("store_class", BROKEN_OWNERS)
def test_the_kit_finds_the_fault_of_a_store_of_owners(store_class: type[MemoryStore]) -> None:
    assert failure_of(OwnerKit(locked(store_class)), OwnerStoreTests) is not None


@pytest.mark.parametrize("store_class", NOT_ATOMIC)
def test_the_kit_finds_that_a_store_of_owners_is_not_atomic(store_class: type[MemoryStore]) -> None:
    store = locked(store_class, [name for name in METHODS if name != NOT_ATOMIC[store_class]])
    assert failure_of(OwnerKit(store), OwnerStoreTests) is not None


@pytest.mark.usefixtures("fewer_rounds")
@pytest.mark.parametrize("store_class", NOT_AT_ONCE)
def test_the_kit_finds_that_not_all_sessions_leave_the_list_in_one_step(store_class: type[MemoryStore]) -> None:
    kit = OwnerKit(locked(store_class, [name for name in METHODS if name != "end_all"]))
    assert finders(kit, OwnerStoreTests) == {"test_all_that_are_ended_leave_the_list_in_one_step"}


def finders(kit: t.Any, *tests: type[StoreTests]) -> set[str]:
    """The names of all the tests of these classes that a store fails."""
    return {failure.partition(":")[0] for each in tests for failure in kit.failures(vars(each))}


def failure_of(kit: t.Any, tests: type[StoreTests]) -> str | None:
    """What a class of tests finds by the tests that are its own."""
    return next(kit.failures(vars(tests)), None)
