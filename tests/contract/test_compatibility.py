"""The list in docs/compatibility.md and the tests agree, and so do its table and the reasons of native code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_fastsession import _native

from .test_stats import BOTH_WAYS
from .test_stats import CIRCUMSTANCES
from .test_stats import IN
from .test_stats import OUT

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")

LISTED = {
    number: re.findall(r"`contract/(\w+)\.py::(\w+)`", line)
    for number, line in re.findall(r"^- \*\*(C\d+a?)\*\* (.*)$", DOCUMENT, re.MULTILINE)
}


def numbers_by_test() -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Each test of this package, by module and name, with the numbers it cites."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        for name, value in vars(importlib.import_module(f"{__package__}.{module.name}")).items():
            if name.startswith("test_") and callable(value):
                marks = [mark for mark in getattr(value, "pytestmark", []) if mark.name == "contract"]
                yield (module.name, name), {number for mark in marks for number in mark.args}


CITED = dict(numbers_by_test())


def test_the_numbers_are_complete_and_in_order() -> None:
    assert [number for number in LISTED if not number.endswith("a")] == [f"C{n}" for n in range(1, 70)]
    assert list(LISTED) == sorted(LISTED, key=lambda number: (int(number[1:].rstrip("a")), number))
    assert len(re.findall(r"^- \*\*C\d", DOCUMENT, re.MULTILINE)) == len(LISTED)


@pytest.mark.parametrize("number", LISTED)
def test_each_line_names_tests_that_cite_it(number: str) -> None:
    assert LISTED[number]
    for test in LISTED[number]:
        assert number in CITED[test]


def test_no_test_cites_what_is_not_listed() -> None:
    assert set().union(*CITED.values()) == set(LISTED)


def test_the_table_of_reasons_is_that_of_native_code() -> None:
    names = [name for name, _ in _native.reasons()]
    assert re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE) == names


def test_each_reason_is_provoked_by_a_test() -> None:
    names = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    # Another zlib takes another process: test_compress_sign.py::test_another_zlib_of_the_interpreter_is_used.
    assert {*BOTH_WAYS, *OUT, *IN, *CIRCUMSTANCES} == names - {"zlib"}
