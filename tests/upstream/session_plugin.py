"""A plugin for a run of Flask's own suite: all apps have the given session interface, and all outcomes are recorded.

The suite knows nothing of this package, so this comes in by ``pytest -p session_plugin``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface

INTERFACES: dict[str, type[SecureCookieSessionInterface]] = {
    "stock": SecureCookieSessionInterface,
    "ours": FastSessionInterface,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--session-interface", choices=list(INTERFACES), required=True)
    parser.addoption("--outcomes", type=Path, required=True, help="the JSON file to write")


def pytest_configure(config: pytest.Config) -> None:
    interface = INTERFACES[config.getoption("--session-interface")]()
    Flask.session_interface = interface
    config.pluginmanager.register(Recorder(interface, config.getoption("--outcomes")))


class Recorder:
    def __init__(self, interface: SecureCookieSessionInterface, file: Path) -> None:
        self.interface = interface
        self.file = file
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # One report each for set-up, call and tear-down: passed is what passed in all.
        if report.passed:
            self.outcomes.setdefault(report.nodeid, "passed")
        else:
            self.outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        stats = self.interface.stats() if isinstance(self.interface, FastSessionInterface) else None
        self.file.write_text(json.dumps({"outcomes": self.outcomes, "stats": stats}))
