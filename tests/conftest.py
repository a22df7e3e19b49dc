from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path

import flask
import flask.sessions
import pytest
from hypothesis import HealthCheck
from hypothesis import settings

from .contract.parity import INTERFACES
from .contract.parity import NOW
from .contract.parity import Interface
from .contract.parity import Outcome
from .contract.parity import Scenario
from .contract.parity import exactly
from .contract.parity import outcome_of
from .faults.support import scaled

# No test depends on how fast the machine is, so Hypothesis measures no time.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=scaled(50, 1_000)
)
settings.load_profile("untimed")

#: The files that take longest. They come first, lest one of them begin when the other processes are almost done.
LONGEST = (
    "differential/test_requests.py",
    "server/test_sql.py",
    "cli/test_cli.py",
    "server/test_outages.py",
    "server/test_stores.py",
    "server/test_memcached.py",
    "server/test_sqlite.py",
    "server/test_take_over.py",
    "security/test_forgery.py",
    "server/test_interleavings.py",
    "server/test_gevent_server.py",
    "differential/test_codec.py",
    "server/test_redis.py",
    "server/test_processes.py",
    "revocations/test_stores.py",
    "encryption/test_deploys.py",
    "changes/test_changes.py",
    "encryption/test_contract.py",
    "faults/test_leaks.py",
    "server/test_flask_session.py",
    "server/test_records.py",
    "server/test_schedules.py",
    "upstream/test_suites.py",
)
PLACES = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "contract(*numbers): behaviours of docs/compatibility.md that a test holds")
    missing = [str(path) for path in PLACES if not path.exists()]
    if missing:
        raise pytest.UsageError(f"LONGEST of conftest.py names files that do not exist: {missing}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    timed = [item.nodeid for item in items if is_timed(getattr(item, "obj", None))]
    if timed:
        raise pytest.UsageError(f"Hypothesis measures time in {timed}: keep what the profile of conftest.py sets")
    items.sort(key=lambda item: PLACES.get(item.path, len(PLACES)))


def is_timed(test: object) -> bool:
    """Whether a property test fails where it is slow."""
    chosen = getattr(test, "_hypothesis_internal_use_settings", None)
    if chosen is None:
        return False
    return chosen.deadline is not None or HealthCheck.too_slow not in chosen.suppress_health_check


class Clock:
    """The clock of stock and ours, in seconds since 1970."""

    def __init__(self) -> None:
        self.now: float = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still, for tokens and for the date at which a cookie expires."""
    clock = Clock()

    class StoppedDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> StoppedDatetime:
            return cls.fromtimestamp(clock.now, tz)

    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(flask.sessions, "datetime", StoppedDatetime)
    return clock


@pytest.fixture
def parity(clock: Clock) -> Callable[[Scenario], Outcome]:
    """Run a scenario on stock and on ours in the same second, compare all that came of it, and give stock's outcome."""

    def compare(scenario: Scenario) -> Outcome:
        # A context left over from elsewhere would change how JSON is written.
        assert not flask.has_app_context()
        stock, ours = (outcome_of(scenario, interface_class) for interface_class in INTERFACES)
        assert exactly(ours) == exactly(stock)
        return stock

    return compare


@pytest.fixture(params=INTERFACES, ids=["stock", "ours"])
def interface_class(request: pytest.FixtureRequest) -> type[Interface]:
    return request.param  # type: ignore[no-any-return]
