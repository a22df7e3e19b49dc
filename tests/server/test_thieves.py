"""A slice of the rounds of thieves that ``make prove`` runs, and whether they notice the fault that they are about."""

from __future__ import annotations

import typing as t

import pytest

from flask_fastsession.server.lifecycle import Lifecycle

from .thieves import KINDS
from .thieves import STORES
from .thieves import Report
from .thieves import app_with
from .thieves import in_sqlite
from .thieves import rounds
from .thieves import run_round


@pytest.mark.parametrize("name", STORES)
def test_no_session_survives_its_revocation(name: str) -> None:
    with STORES[name]() as config:
        for kind in KINDS:
            report = rounds(config, kind, range(4))
            assert report.survivors == 0 and not report.failures, f"{kind}: {report}"


def test_sessions_survive_where_they_are_listed_first_and_then_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    def revoke_user(self: Lifecycle, user: str, keep: t.Collection[str]) -> int:
        listed = self.require_owners().listed(self.ids.owner_key(user))
        self.store.delete(*(key for _, key in listed))
        return len(listed)

    monkeypatch.setattr(Lifecycle, "revoke_user", revoke_user)
    report = Report()
    with in_sqlite() as config:
        app = app_with(config)
        for number in range(100):
            run_round(app, "user", f"user {number}", report)
            if report.survivors:
                break
    assert report.survivors > 0
