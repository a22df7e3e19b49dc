"""The kit that tests stores notices when one does not keep its promises."""

from __future__ import annotations

import inspect
import threading
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import pytest

from flask_fastsession.testing import StoreTests
from flask_fastsession.testing import SweepingStoreTests

from .conftest import MemoryStore


class Kit(SweepingStoreTests):
    """The tests, run by hand on a store whose clock can be turned."""

    __test__ = False

    def __init__(self, store: MemoryStore) -> None:
        self.memory = store

    def passes(self, seconds: float) -> None:
        self.memory.now += seconds

    def failures(self) -> Iterator[str]:
        for name in dir(self):
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


def in_turn(method: t.Any) -> t.Any:
    def one_at_a_time(self: t.Any, *arguments: t.Any) -> t.Any:
        with self.turn:
            return method(self, *arguments)

    return one_at_a_time


def locked(store_class: type[MemoryStore]) -> MemoryStore:
    """A store whose only fault is its own."""
    methods = {name: in_turn(getattr(store_class, name)) for name in ("load", "create", "replace", "delete")}
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
