"""A slice of the random histories that ``make prove`` runs, and whether they notice faults."""

from __future__ import annotations

import random
import typing as t
from collections.abc import Callable

import pytest

from flask_fastsession.server import lifecycle
from flask_fastsession.server.lifecycle import Lifecycle

from .histories import STORES
from .histories import Difference
from .histories import histories
from .interleavings import STORES as ALL_STORES
from .interleavings import WithRows


@pytest.mark.parametrize("name", STORES)
def test_the_store_holds_what_the_model_says(name: str) -> None:
    seed = random.randrange(2**32)
    with ALL_STORES[name]() as store:
        assert sum(histories(store, seed, range(2))) >= 1000


# --- Faults put in --------------------------------------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]


def moves_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a revocation by an old id ends nothing."""
    monkeypatch.setattr(lifecycle, "new_key_in", lambda record: None)


def writes_overwrite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "merged", lambda before, theirs, mine, dumps: mine)


def lists_forget_a_user_who_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    move = WithRows.move

    def forgetful(self: WithRows, key: str, *arguments: t.Any) -> bool | bytes:
        done = move(self, key, *arguments)
        if done is True:
            self.lists = {handle: listed for handle, listed in self.lists.items() if listed[1] != arguments[0]}
        return done

    monkeypatch.setattr(WithRows, "move", forgetful)


def whoever_logs_out_keeps_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lifecycle, "_unlist", lambda self, meta: None)


FAULTS: list[Patch] = [
    moves_leave_nothing,
    writes_overwrite,
    lists_forget_a_user_who_moves,
    whoever_logs_out_keeps_the_session,
]


@pytest.mark.parametrize("patch", FAULTS)
def test_faults_are_found(patch: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch)
    with pytest.raises(Difference):
        sum(histories(WithRows(), 1, range(40)))
