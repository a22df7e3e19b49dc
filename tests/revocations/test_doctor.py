"""What ``flask session doctor`` says of revocations."""

from __future__ import annotations

import json
import logging
import typing as t

import pytest
from flask import Flask

from examples.every_name import MemoryRevocations
from examples.every_name import MemoryRevocationsSuite
from flask_fastsession import Revocations
from flask_fastsession import SessionStoreError
from flask_fastsession import cli

from .conftest import app_with


class StoreAway(MemoryRevocations):
    def since(self, cursor: t.Any) -> t.NoReturn:
        raise SessionStoreError("the server is away")


def findings(app: Flask) -> dict[str, str]:
    result = app.test_cli_runner().invoke(cli.session, ["doctor", "--json"])
    return {finding["code"]: finding["text"] for finding in json.loads(result.stdout)["findings"]}


def test_it_says_within_what_time_sessions_end() -> None:
    found = findings(app_with(Revocations(MemoryRevocations(), every=7)))
    assert "MemoryRevocations" in found["revocations"] and "within 7 s" in found["revocations"]
    assert "revocations-failed" not in found


def test_it_warns_of_a_store_that_does_not_answer() -> None:
    found = findings(app_with(Revocations(StoreAway())))
    assert "revocations cannot be fetched" in found["revocations-failed"]


def test_it_prints_no_line_of_the_log_beside_that(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that no handler of pytest's has it, and Python prints it.
    monkeypatch.setattr(logging.getLogger("flask_fastsession"), "propagate", False)
    result = app_with(Revocations(StoreAway())).test_cli_runner().invoke(cli.session, ["doctor"])
    assert "revocations cannot be fetched" in result.stdout
    assert result.stderr == ""


class TestTheStoreOfTheExample(MemoryRevocationsSuite):
    """It keeps the protocol."""
