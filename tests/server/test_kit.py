"""The kit that tests stores notices when one does not keep its promises."""

from __future__ import annotations

import inspect
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from flask_fastsession.server.store import MOVED_TTL
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


class MovingKit(ByHand, MovingStoreTests):
    """For a store that moves records."""


class OwnerKit(ByHand, OwnerStoreTests):
    """For a store that lists whose sessions it has."""


def in_turn(method: t.Any) -> t.Any:
    def one_at_a_time(self: t.Any, *arguments: t.Any) -> t.Any:
        with self.turn:
            return method(self, *arguments)

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


# --- Stores that move records ---------------------------------------------------------------------------------------


class MovingMemoryStore(MemoryStore):
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

    def expires_in(self, key: str) -> int | None:
        data, end = self.records.get(key, (None, None))
        return None if data is None or end is None else int(end - self.now)


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


class MovesOverTheDeadOnly(MovingMemoryStore):
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


class LeavesAnEmptyRecord(MovingMemoryStore):
    def _leave(self, key: str, left: bytes | None) -> None:
        super()._leave(key, left or b"")


BROKEN_MOVING = [
    MovesAnything,
    MovesNothing,
    MovesWhatIsNotThere,
    MovesOver,
    MovesOverTheDeadOnly,
    MovesTheDead,
    MovesAsItWas,
    MovesWithItsEnd,
    SaysNotWhatIsThere,
    Copies,
    LeavesNothingBehind,
    LeavesItAsItWas,
    LeavesItForEver,
    LeavesAnEmptyRecord,
]


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


def test_the_kit_finds_no_fault_with_a_moving_store_that_has_none() -> None:
    assert list(MovingKit(locked(MovingMemoryStore)).failures()) == []


@pytest.mark.parametrize("store_class", BROKEN_MOVING)
def test_the_kit_finds_the_fault_of_a_moving_store(store_class: type[MemoryStore]) -> None:
    assert failure_of(MovingKit(locked(store_class)), MovingStoreTests) is not None


@pytest.mark.parametrize("store_class", [MovesInSteps, LeavesBeforeItComes, LooksBeforeItMoves])
def test_the_kit_finds_that_moving_is_not_atomic(store_class: type[MemoryStore]) -> None:
    store = locked(store_class, FIRST_METHODS)
    assert failure_of(MovingKit(store), MovingStoreTests) is not None


def failure_of(kit: t.Any, tests: type[StoreTests]) -> str | None:
    """What a class of tests finds by the tests that are its own."""
    return next(kit.failures(vars(tests)), None)
