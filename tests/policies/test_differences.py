"""With each option, what it is to change differs from Flask, and nothing else does."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from flask_fastsession import FastSessionInterface
from tests.differential.requests.run import Run

from .differences import OPTIONS
from .differences import REQUESTS
from .differences import differences
from .differences import reply_of
from .differences import table

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

CASES = 40


class Untouched(FastSessionInterface):
    """Has options that come to nothing."""

    def __init__(self) -> None:
        super().__init__(
            skip=lambda request: False,
            on_refused=lambda request, reason: None,
            accept_any=False,
            delete_refused=False,
        )


def test_the_table_in_the_docs_is_what_differs() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


def test_without_options_nothing_differs() -> None:
    assert differences(OPTIONS["none"]) == {}


def test_options_that_come_to_nothing_differ_in_nothing_in_random_requests() -> None:
    run = Run(secrets.randbelow(2**32), Untouched)
    assert [found for number in range(CASES) if (found := run.case(number))] == []


@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "none"])
def test_a_session_that_asks_nothing_of_an_option_stays_native(option: str) -> None:
    interface = FastSessionInterface(**OPTIONS[option])
    for request in (REQUESTS["reads a permanent session"], REQUESTS["writes"]):
        reply_of(interface, request)
    assert interface.stats()["open"]["declined"] == interface.stats()["save"]["declined"] == {}
