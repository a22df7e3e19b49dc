"""Flask's own test suite, with its own session interface and with ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import typing as t
from pathlib import Path

import pytest

VERSION = "3.1.3"
SHA256 = "0ef0e52b8a9cd932855379197dd8f94047b359ca0a78695144304cb45f87c9eb"

#: Fewer would mean that the suite did not run as it should.
AT_LEAST = 400

PLUGIN = Path(__file__).parent


@pytest.fixture(scope="module")
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist of Flask, kept in pytest's cache from run to run."""
    cache = request.config.cache
    assert cache is not None
    sdist = cache.mkdir("flask-sdist") / f"flask-{VERSION}.tar.gz"
    if not sdist.exists() or hashlib.sha256(sdist.read_bytes()).hexdigest() != SHA256:
        download(sdist.parent)
    directory = tmp_path_factory.mktemp("flask")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    return directory / f"flask-{VERSION}"


def download(directory: Path) -> None:
    requirements = directory / "requirements.txt"
    requirements.write_text(f"flask=={VERSION} --hash=sha256:{SHA256}\n")
    options = ["--quiet", "--no-deps", "--no-binary", "flask", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(directory)]
    subprocess.run(command, check=True)


def run(suite: Path, interface: str) -> dict[str, t.Any]:
    """What became of each test, and how much of it our interface did natively."""
    outcomes = suite / f"{interface}.json"
    python_path = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    # Only what Flask's suite brings along is to be at work in it, plugins of this environment are not.
    environment = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONPATH": os.pathsep.join([str(PLUGIN), *map(os.path.abspath, python_path)]),
    }
    options = ["-q", "-p", "session_plugin", f"--session-interface={interface}", f"--outcomes={outcomes}"]
    command = [sys.executable, "-m", "pytest", *options, "tests"]
    done = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True)
    assert outcomes.exists(), done.stdout + done.stderr
    return t.cast("dict[str, t.Any]", json.loads(outcomes.read_text()))


def test_what_passes_with_stock_passes_with_ours(suite: Path) -> None:
    stock = run(suite, "stock")
    ours = run(suite, "ours")
    passed = [test for test, outcome in stock["outcomes"].items() if outcome == "passed"]
    assert len(passed) >= AT_LEAST
    assert {test: ours["outcomes"].get(test) for test in passed if ours["outcomes"].get(test) != "passed"} == {}
    assert ours["stats"]["dumps"]["native"] > 0
    assert ours["stats"]["loads"]["native"] > 0
