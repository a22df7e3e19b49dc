"""Facts that two tools want to be told, each in a file of its own."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import flask_fastsession

ROOT = Path(__file__).parents[2]


def test_the_version_is_that_of_the_crate() -> None:
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert f'version = "{flask_fastsession.__version__}"' in cargo
    assert version("flask-fastsession") == flask_fastsession.__version__


def test_the_oldest_python_is_the_same_for_pip_and_for_the_extension() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    minimum = re.findall(r'requires-python = ">=(\d+)\.(\d+)"', pyproject)
    assert minimum == re.findall(r"abi3-py(\d)(\d+)", cargo)
    assert len(minimum) == 1
