"""A slice of the rounds of thieves that ``make prove`` runs, and whether they notice the fault that they are about."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from flask_fastsession.server.lifecycle import Lifecycle

from .servers import wait_until
from .thieves import KINDS
from .thieves import STORES
from .thieves import Report
from .thieves import app_with
from .thieves import in_sqlite
from .thieves import rounds
from .thieves import run_round
from .thieves import sql_config


@pytest.mark.parametrize("name", STORES)
def test_no_session_survives_its_revocation(name: str, request: pytest.FixtureRequest) -> None:
    with contextlib.ExitStack() as stack:
        if name in ("postgresql", "mariadb"):
            # They take seconds to start, and other tests have them as well.
            config = sql_config(request.getfixturevalue(f"{name}_process"))
            config["SESSION_SQLALCHEMY_TABLE"] = "of_thieves"
        else:
            config = stack.enter_context(STORES[name]())
        for kind in KINDS:
            report = rounds(config, kind, range(4))
            assert report.survivors == 0 and not report.failures, f"{kind}: {report}"


def test_sessions_survive_where_they_are_listed_first_and_then_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    def revoke_user(self: Lifecycle, user: str, keep: t.Collection[str], **options: t.Any) -> int:
        listed = self.require_owners().listed(self.ids.owner_key(user))
        # Sooner or later a thief comes in between; here each time.
        wait_until(lambda: any(self._follow(key)[0] != key for _, key in listed), "a thief to move his session")
        self.store.delete(*(key for _, key in listed))
        return len(listed)

    monkeypatch.setattr(Lifecycle, "revoke_user", revoke_user)
    report = Report()
    with in_sqlite() as config:
        run_round(app_with(config), "user", "ada", report)
    assert report.survivors > 0
