"""The suites of Flask, itsdangerous and extensions, out of their sdists, with stock's classes and with ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import typing as t
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where plugins are: what stands in for stock's classes, and the adapters for suites of server-side sessions.
PLUGINS = Path(__file__).parent
ADAPTERS = PLUGINS / "adapters"

#: No suite takes longer by far.
SECONDS = 600


@dataclass(frozen=True)
class Suite:
    """A suite as it was released."""

    project: str
    version: str
    sha256: str
    #: Fewer that pass with stock would mean that the suite did not run as it should.
    at_least: int
    #: The Flask it runs with.
    flask: str = "3.1.3"
    #: Whether its serializers write Flask's tagged JSON, which they do not by themselves.
    tagged: bool = False
    #: Whether native code finds anything to do in it.
    native: bool = True
    #: A warning that it meets on Pythons newer than itself, and would take for an error.
    ignored: str = ""

    @property
    def sdist(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def name(self) -> str:
        return f"{self.project} {self.version}" + (", tagged JSON" if self.tagged else "")


_ITSDANGEROUS = "e0050c0b7da1eea53ffaf149c0cfbb5c6e2e2b69c4bef22c81fa6eb73e5f6173"

SUITES = (
    Suite("Flask", "3.0.3", "ceb27b0af3823ea2737928a4d99d125a06175b8512c445cbd9a9ce200ef76842", 400, flask="3.0.3"),
    Suite("Flask", "3.1.2", "bf656c15c80190ed628ad08cdfd3aaa35beb087855e2f494910aa3774cc4fd87", 400, flask="3.1.2"),
    Suite("Flask", "3.1.3", "0ef0e52b8a9cd932855379197dd8f94047b359ca0a78695144304cb45f87c9eb", 400),
    Suite("itsdangerous", "2.2.0", _ITSDANGEROUS, 290, native=False),
    Suite("itsdangerous", "2.2.0", _ITSDANGEROUS, 290, tagged=True),
    Suite(
        "Flask-Login",
        "0.6.3",
        "5e23d14a607ef12806c699590b89d0f0e0d67baeec599d75947bf9c147330333",
        110,
        ignored="ignore:datetime.datetime.utc:DeprecationWarning",
    ),
    Suite("Flask-WTF", "1.3.0", "61d5dabc50c3df885c297dcbd80810443a5d632106c8a69cab8ce740f0cdd7cc", 75),
)


def unpacked(suite: Suite, directory: Path) -> Path:
    """The sdist of a suite, unpacked below ``directory``, where it is kept from run to run."""
    home = directory / suite.sdist.replace("==", "-")
    home.mkdir(parents=True, exist_ok=True)
    sdist = _downloaded(suite, home)
    with tarfile.open(sdist) as archive:
        archive.extractall(home, filter="data")
    return home / sdist.name.removesuffix(".tar.gz")


def _downloaded(suite: Suite, home: Path) -> Path:
    if not list(home.glob("*.tar.gz")):
        requirements = home / "requirements.txt"
        requirements.write_text(f"{suite.sdist} --hash=sha256:{suite.sha256}\n")
        options = ["--quiet", "--no-deps", "--no-binary", suite.project, "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(home)]
        subprocess.run(command, check=True)
    (sdist,) = home.glob("*.tar.gz")
    assert hashlib.sha256(sdist.read_bytes()).hexdigest() == suite.sha256, f"{sdist} is not what was released"
    return sdist


@dataclass(frozen=True)
class Outcomes:
    """How each test of one run ended, by its id, and our counters after the run.

    A test ended as "passed", or "failed: " or "skipped: " with a reason.
    """

    tests: dict[str, str]
    stats: dict[str, t.Any]

    def count(self, outcome: str) -> int:
        return sum(ending.startswith(outcome) for ending in self.tests.values())

    def not_passed(self) -> Counter[str]:
        return Counter(ending for ending in self.tests.values() if ending != "passed")

    def __str__(self) -> str:
        return f"{self.count('passed')} / {self.count('failed')} / {self.count('skipped')}"


def run_tests(
    python: Sequence[str],
    arguments: Sequence[str],
    classes: str,
    directory: Path,
    record: Path,
    plugin: str = "stand_in",
) -> Outcomes:
    """Run pytest in a directory, by the command ``python``, with the classes of ``stock`` or ``ours``."""
    record.unlink(missing_ok=True)
    options = ["-q", "-p", "no:cacheprovider", "-p", plugin, f"--with={classes}", f"--outcomes={record}"]
    command = [*python, "-m", "pytest", *options, *arguments]
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if not record.exists():
        # It crashed, or never began.
        print(done.stdout, done.stderr, file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    return Outcomes(**json.loads(record.read_text()))


def environment() -> dict[str, str]:
    """Only what a suite brings along is to be at work in it, plugins that are installed beside it are not."""
    python_path = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(PLUGINS), str(ADAPTERS), *map(os.path.abspath, python_path)]),
    }


def run_suite(python: Sequence[str], suite: Suite, directory: Path) -> tuple[Outcomes, Outcomes]:
    """The outcomes of an unpacked suite with stock and with ours."""
    arguments = ["tests"]
    if suite.tagged:
        arguments.append("--tagged")
    if suite.ignored:
        arguments += ["-W", suite.ignored]
    stock, ours = (
        run_tests(python, arguments, classes, directory, record=directory / f"{classes}.json")
        for classes in ("stock", "ours")
    )
    return stock, ours


def complaints(suite: Suite, stock: Outcomes, ours: Outcomes) -> list[str]:
    """What is wrong with the outcomes of a suite: nothing, if they are the same and the suite did run."""
    found = [
        f"{test}: {stock.tests.get(test)} with stock, {ours.tests.get(test)} with ours"
        for test in sorted(stock.tests.keys() | ours.tests.keys())
        if stock.tests.get(test) != ours.tests.get(test)
    ]
    if stock.count("passed") < suite.at_least:
        found.append(f"only {stock.count('passed')} tests passed with stock")
    # What itsdangerous's suite dumps, it dumps by freezegun's clock, which is left to stock.
    if suite.native and not ours.stats["loads"]["native"]:
        found.append("native code did none of the work")
    return found
