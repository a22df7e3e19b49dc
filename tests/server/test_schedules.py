"""A sample of the orders that commands of several requests can have, and whether they find faults put back."""

from __future__ import annotations

import random
import typing as t
from collections.abc import Callable

import pytest

from flask_fastsession.server import interface as interface_module
from flask_fastsession.server import lifecycle
from flask_fastsession.server import saving
from flask_fastsession.server.lifecycle import Lifecycle
from flask_fastsession.server.saving import Plan

from .interleavings import OPERATIONS
from .interleavings import STORES
from .interleavings import Bounds
from .interleavings import Report
from .interleavings import WithRecords
from .interleavings import WithRows
from .interleavings import explore
from .interleavings import groups


@pytest.mark.parametrize("name", STORES)
def test_two_at_once(name: str) -> None:
    """All of them, and more of three at once, are tried by ``make prove``."""
    seed = random.randrange(2**32)
    with STORES[name]() as store:
        report = explore(
            store,
            random.Random(seed).sample(groups(2), 20 if name != "memcached" else 8),
            Bounds(preemptions=1, crashes=1),
        )
    assert not report.found, f"seed {seed}: {report}"
    assert report.schedules > 100


@pytest.mark.parametrize("name", ["records", "rows"])
def test_three_at_once(name: str) -> None:
    seed = random.randrange(2**32)
    with STORES[name]() as store:
        report = explore(store, random.Random(seed).sample(groups(3), 6), Bounds(preemptions=1, crashes=0))
    assert not report.found, f"seed {seed}: {report}"


def test_what_is_written_while_its_user_logs_out_and_in_again_does_not_end_the_new_login() -> None:
    operations = tuple(OPERATIONS[name] for name in ("write", "log_in", "log_out"))
    report = explore(WithRows(), [("alice", operations)], Bounds(preemptions=2, crashes=0))
    assert not report.found, report


# --- Faults put back ------------------------------------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, tuple[Patch, t.Any, str | None, tuple[str, ...]]] = {}


def fault(store: t.Any, user: str | None, *operations: str) -> Callable[[Patch], Patch]:
    def add(patch: Patch) -> Patch:
        FAULTS[patch.__name__] = patch, store, user, operations
        return patch

    return add


@fault(WithRecords, "alice", "regenerate", "revoke_user")
def a_session_that_is_on_no_list_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lifecycle, "_is_listed", lambda *_: True)


@fault(WithRows, "alice", "log_in", "revoke_user")
def a_renewal_lists_what_is_on_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief survives a revocation."""
    enlist = WithRows.enlist

    def always(self: WithRows, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        return enlist(self, owner, handle, key, ttl, False)

    monkeypatch.setattr(WithRows, "enlist", always)
    monkeypatch.setattr(WithRows, "_end", lambda self, handle: self.lists.pop(handle, None) is not None)


@fault(WithRows, None, "regenerate", "revoke_id")
def a_revocation_does_not_follow_a_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "new_key_in", lambda record: None)


@fault(WithRows, None, "write", "empty")
def what_is_emptied_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(session: t.Any, **settings: t.Any) -> Plan:
        if session.is_empty and session.stored is not None:
            return Plan(ends=True)
        return saving.plan_of(session, **settings)

    monkeypatch.setattr(interface_module, "plan_of", plan)


@fault(WithRows, "alice", "write", "log_in_as_another")
def what_others_wrote_comes_along_at_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = Lifecycle._merge

    def merged(self: Lifecycle, session: t.Any, stored: t.Any, base: bytes, theirs: bytes) -> bool:
        session.replace_data({**self.read(theirs)[0], **session})
        return merge(self, session, stored, base, theirs)

    monkeypatch.setattr(Lifecycle, "_merge", merged)


@fault(WithRecords, None, "regenerate", "read")
def a_move_deletes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed in between has lost the session."""

    def put(self: Lifecycle, new_key: str, key: str, old: bytes, new: bytes, ttl: int, left: bytes | None) -> t.Any:
        done = self.store.replace(key, old, None, None)
        return self.store.create(new_key, new, ttl) if done is True else done

    monkeypatch.setattr(Lifecycle, "_put_at", put)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_put_back_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, store, user, operations = FAULTS[name]
    chosen = [(user, tuple(OPERATIONS[each] for each in operations))]
    bounds = Bounds(preemptions=2, crashes=1)
    assert not found(explore(store(), chosen, bounds))
    patch(monkeypatch)
    assert found(explore(store(), chosen, bounds))


def found(report: Report) -> int:
    return sum(report.found.values())
