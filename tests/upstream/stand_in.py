"""A plugin for the suites of others: our classes stand in for stock's, and what becomes of each test is recorded.

Those suites know nothing of this package, so this comes in by ``pytest -p stand_in``.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import flask.sessions
import itsdangerous
import itsdangerous.url_safe
import pytest
from flask.json.tag import TaggedJSONSerializer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--with", choices=["stock", "ours"], dest="classes", required=True)
    parser.addoption("--outcomes", type=Path, required=True, help="the JSON file to write")
    parser.addoption("--tagged", action="store_true", help="serializers write Flask's tagged JSON by default")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--tagged"):
        itsdangerous.URLSafeTimedSerializer.default_serializer = TaggedJSONSerializer()
    stats = stand_in() if config.getoption("classes") == "ours" else dict
    config.pluginmanager.register(Recorder(config.getoption("--outcomes"), stats))


def stand_in() -> t.Callable[[], t.Mapping[str, t.Any]]:
    """Put our classes in the places of stock's, and give what tells how much of the work they did natively."""
    # Imported here, because stock is to run in a process that knows nothing of this package.
    from flask_fastsession import FastSessionInterface
    from flask_fastsession import signing

    interface = FastSessionInterface()
    flask.Flask.session_interface = interface
    # Suites make subclasses of this one.
    flask.sessions.SecureCookieSessionInterface = FastSessionInterface

    def serializer(*args: t.Any, **kwargs: t.Any) -> signing.URLSafeTimedSerializer:
        made = signing.URLSafeTimedSerializer(*args, **kwargs)
        made.count_with(interface._counters)
        return made

    for name in ("Signer", "TimestampSigner", "Serializer", "TimedSerializer", "URLSafeSerializer"):
        module = sys.modules[getattr(itsdangerous, name).__module__]
        setattr(module, name, getattr(signing, name))
    # A function rather than the class, for only an instance can be told where to count.
    itsdangerous.url_safe.URLSafeTimedSerializer = serializer  # type: ignore[assignment]
    return interface.stats


class Recorder:
    def __init__(self, file: Path, stats: t.Callable[[], t.Mapping[str, t.Any]]) -> None:
        self.file = file
        self.stats = stats
        self.tests: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self.tests[report.nodeid] = ending(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # One report each for set-up, call and tear-down: passed is what passed in all.
        if report.passed:
            self.tests.setdefault(report.nodeid, "passed")
        else:
            self.tests[report.nodeid] = ending(report)

    def pytest_sessionfinish(self) -> None:
        self.file.write_text(json.dumps({"tests": self.tests, "stats": self.stats()}))


def ending(report: pytest.CollectReport | pytest.TestReport) -> str:
    """How a test ended that did not pass, and the first line of the reason."""
    if isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr)
    return f"{report.outcome}: {reason.splitlines()[0]}"
