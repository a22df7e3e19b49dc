"""Flask's own test suite, with stock's classes and with ours. ``make matrix`` runs the suites of others as well."""

from __future__ import annotations

import sys

import pytest

from .suites import SUITES
from .suites import complaints
from .suites import run_suite
from .suites import unpacked

(FLASK,) = [suite for suite in SUITES if suite.sdist == "Flask==3.1.3"]


def test_each_test_of_flask_ends_with_ours_as_with_stock(pytestconfig: pytest.Config) -> None:
    cache = pytestconfig.cache
    assert cache is not None
    # The sdist stays in pytest's cache from run to run.
    directory = unpacked(FLASK, cache.mkdir("suites"))
    stock, ours = run_suite([sys.executable], FLASK, directory)
    assert complaints(FLASK, stock, ours) == []
    assert ours.stats["dumps"]["native"] > 0
