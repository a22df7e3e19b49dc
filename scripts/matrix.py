"""Run our contract suite and the suites of other projects on every available CPython, and write docs/matrix.md.

::

    python -m scripts.matrix                  # all of them: two minutes for each on an idle core
    python -m scripts.matrix --python 3.11    # one of them, without writing the table

Pythons are taken from ``PATH`` and from pyenv, those that are not released yet from Debian's unstable suite, which is
bootstrapped into ``build/sid``; that needs root, and apt. Everything is made in ``build``. It fails where a test ends
otherwise with our classes than with stock's.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from tests.upstream.suites import SUITES
from tests.upstream.suites import Suite
from tests.upstream.suites import complaints
from tests.upstream.suites import run_suite
from tests.upstream.suites import run_tests
from tests.upstream.suites import unpacked

CLONE = Path(__file__).resolve().parent.parent
BUILD = CLONE / "build" / "matrix"
SID = CLONE / "build" / "sid"
TABLE = CLONE / "docs" / "matrix.md"

INSTALLED = ("3.10", "3.11", "3.12", "3.13")
UNSTABLE = ("3.14", "3.15")

#: Each Flask with its Werkzeug; the oldest Flask with the oldest Werkzeug that it accepts.
WERKZEUG = {"3.0.3": "3.0.6", "3.1.2": "3.1.9", "3.1.3": "3.1.9"}

#: Ten requests each.
DIFFERENTIAL_CASES = 200

#: Fewer that pass would mean that the contract suite did not run as it should.
CONTRACT_AT_LEAST = 3000

#: More than the slowest step takes, which is to compile for a Python that has no wheels yet.
SECONDS = 1200


class Unavailable(Exception):
    """A Python cannot be had."""


# --- Pythons --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interpreter:
    version: str
    command: tuple[str, ...]
    origin: str = ""


def find(minor: str) -> Interpreter:
    """The Python of a version such as 3.11."""
    for executable in candidates(minor):
        if version := version_of((executable,), minor):
            return Interpreter(version, (executable,))
    if minor in UNSTABLE:
        return from_sid(minor)
    raise Unavailable(f"there is no python{minor} with venv on `PATH` or in pyenv")


def candidates(minor: str) -> Iterator[str]:
    if on_path := shutil.which(f"python{minor}"):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}"), reverse=True):
        yield str(found)


def version_of(command: tuple[str, ...], minor: str) -> str | None:
    """The full version of a Python that runs, is the one it is named after, and can make virtual environments."""
    script = "import ensurepip, platform, venv; print(platform.python_version())"
    done = subprocess.run([*command, "-c", script], capture_output=True, text=True, check=False)
    version = done.stdout.strip()
    return version if done.returncode == 0 and version.startswith(f"{minor}.") else None


# The mounts are seen by the one process and end with it. The clone stands in the same place inside and outside.
IN_SID = """
root=$1 clone=$2; shift 2
mkdir -p "$root$clone"
mount --bind "$clone" "$root$clone"
for shared in /dev /proc /etc/ssl; do
    if [ -d "$shared" ]; then mount --rbind "$shared" "$root$shared"; fi
done
cp /etc/resolv.conf "$root/etc/"
exec chroot "$root" env --chdir="$PWD" "$@"
"""


def in_sid(*command: str) -> tuple[str, ...]:
    return ("unshare", "--mount", "sh", "-euc", IN_SID, "in-sid", str(SID), str(CLONE), *command)


def from_sid(minor: str) -> Interpreter:
    bootstrap()
    packages = [f"python{minor}", f"python{minor}-venv", f"python{minor}-dev"]
    try:
        step(*in_sid("apt-get", "update", "-q"))
        step(*in_sid("apt-get", "install", "-qy", "--no-install-recommends", *packages))
    except subprocess.SubprocessError as error:
        raise Unavailable(f"Debian's unstable suite did not give python{minor}") from error
    command = in_sid(f"/usr/bin/python{minor}")
    version = version_of(command, minor)
    if version is None:
        raise Unavailable(f"python{minor} of Debian's unstable suite does not run")
    return Interpreter(version, command, "Debian unstable")


@functools.cache
def bootstrap() -> None:
    """Unpack Debian's unstable suite into a folder, with a C compiler for what has no wheels yet."""
    if SID.exists():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable("Debian's unstable suite is bootstrapped by root, on a system with apt")
    if shutil.which("mmdebstrap") is None:
        step("apt-get", "update", "-q")
        step("apt-get", "install", "-qy", "--no-install-recommends", "mmdebstrap")
    # A mirror may stand still; whether that is acceptable, this machine's apt has been told.
    options = subprocess.run(
        ["apt-config", "dump", "--no-empty", "Acquire::Check-Valid-Until"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    unfinished = SID.with_name("sid.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(exist_ok=True)
    command = ["mmdebstrap", "--variant=apt", "--include=ca-certificates,gcc,libc6-dev"]
    command += [f"--aptopt={option}" for option in options]
    try:
        step(*command, "sid", str(unfinished), *debian_mirror())
    except subprocess.SubprocessError as error:
        raise Unavailable("Debian's unstable suite could not be bootstrapped") from error
    unfinished.rename(SID)


def debian_mirror() -> list[str]:
    """Where this machine has its packages from; nothing where that is not Debian."""
    printed = step("apt-get", "indextargets", "--format", "$(REPO_URI)")
    return [uri for uri in printed.splitlines() if uri.rstrip("/").endswith("/debian")][:1]


# --- Environments ---------------------------------------------------------------------------------------------------


def build_wheel() -> Path:
    """Build the one wheel for all of them."""
    directory = BUILD / "wheel"
    shutil.rmtree(directory, ignore_errors=True)
    maturin = Path(sys.executable).with_name("maturin")
    step(str(maturin), "build", "--release", "--locked", "--features", "abi3", "--out", str(directory))
    (wheel,) = directory.glob("*.whl")
    return wheel


def make_environment(interpreter: Interpreter, flask: str, wheel: Path) -> tuple[str, ...]:
    """A virtual environment with a Flask, our wheel and what the suites need; the command of its Python."""
    directory = BUILD / "environments" / f"python-{interpreter.version}-flask-{flask}"
    *place, python = interpreter.command
    command = (*place, str(directory / "bin" / "python"))
    pip = (*command, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    requirements = ("-r", "requirements/test.txt", "-r", "tests/upstream/requirements.txt")
    try:
        if not directory.exists():
            step(*place, python, "-m", "venv", str(directory))
        step(*pip, *requirements, f"Flask=={flask}", f"Werkzeug=={WERKZEUG[flask]}", "itsdangerous==2.2.0")
        step(*pip, "--force-reinstall", "--no-deps", str(wheel))
    except subprocess.SubprocessError as error:
        raise Unavailable(f"with Python {interpreter.version}, what the suites need could not be installed") from error
    return command


def step(*command: str) -> str:
    """Run a command in the clone and give what it printed."""
    try:
        done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(error.stdout, error.stderr, file=sys.stderr)
        raise
    return done.stdout


# --- Cells ----------------------------------------------------------------------------------------------------------


@dataclass
class Cell:
    """What came of one row on one Python."""

    text: str
    complaints: list[str] = field(default_factory=list)
    #: How tests ended that did not pass.
    not_passed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Row:
    title: str
    flask: str
    run: Callable[[tuple[str, ...]], Cell]


def run_contract(python: tuple[str, ...]) -> Cell:
    # It compares by itself, so stock's classes stay where they are.
    outcomes = run_tests(python, ["tests/contract"], "stock", directory=CLONE, record=BUILD / "contract.json")
    found = [f"{test} {ending}" for test, ending in outcomes.tests.items() if ending.startswith("failed")]
    if outcomes.count("passed") < CONTRACT_AT_LEAST:
        found.append(f"only {outcomes.count('passed')} tests passed")
    return Cell(str(outcomes), found, outcomes.not_passed())


def run_differential(python: tuple[str, ...]) -> Cell:
    command = (*python, "-m", "tests.differential.requests", "--cases", str(DIFFERENTIAL_CASES), "--seed", "1")
    printed = step(*command)
    summary = re.search(r"^(\d+ requests, 0 differences)", printed, re.MULTILINE)
    assert summary is not None, printed
    return Cell(summary[1])


def run_upstream(suite: Suite, python: tuple[str, ...]) -> Cell:
    stock, ours = run_suite(python, suite, unpacked(suite, BUILD / "suites"))
    return Cell(f"stock {stock}<br>ours {ours}", complaints(suite, stock, ours), stock.not_passed())


def rows() -> Iterator[Row]:
    for flask in WERKZEUG:
        yield Row(f"our contract, Flask {flask}", flask, run_contract)
        yield Row(f"random requests, Flask {flask}", flask, run_differential)
    for suite in SUITES:
        yield Row(f"{suite.name}: its own tests", suite.flask, functools.partial(run_upstream, suite))


# --- The table ------------------------------------------------------------------------------------------------------


@dataclass
class Column:
    """All that came of one Python, or why there is none."""

    minor: str
    interpreter: Interpreter | None = None
    unavailable: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        if self.interpreter is None:
            return self.minor
        return f"{self.interpreter.version}{self.interpreter.origin and ', ' + self.interpreter.origin}"


def run_column(minor: str, wheel: Path) -> Column:
    try:
        interpreter = find(minor)
        environments = {flask: make_environment(interpreter, flask, wheel) for flask in WERKZEUG}
    except Unavailable as error:
        return Column(minor, unavailable=str(error))
    column = Column(minor, interpreter)
    for row in rows():
        cell = run_row(row, environments[row.flask])
        column.cells[row.title] = cell
        print(f"{column.heading} | {row.title} | {cell.text} | {', '.join(cell.complaints) or 'ok'}", flush=True)
    return column


def run_row(row: Row, python: tuple[str, ...]) -> Cell:
    try:
        return row.run(python)
    except subprocess.CalledProcessError as error:
        return Cell("broke off", [f"exit code {error.returncode}"])
    except subprocess.TimeoutExpired as error:
        return Cell("broke off", [f"not done after {error.timeout:.0f} s"])


def table(columns: list[Column], wheel: Path) -> str:
    pairs = ", ".join(f"Flask {flask} with Werkzeug {werkzeug}" for flask, werkzeug in WERKZEUG.items())
    introduction = INTRODUCTION.format(wheel=wheel.name, pairs=pairs)
    return "\n".join([introduction, *grid(columns), "", *remarks(columns)]).rstrip() + "\n"


INTRODUCTION = """\
# Test matrix

`make matrix` writes this page. It builds one wheel, `{wheel}`,
installs it on every CPython below, and runs

- our contract suite and random requests, both of which compare stock with this package, on three versions of Flask;
- the suites of Flask, itsdangerous, Flask-Login and Flask-WTF from their sdists, pinned by hash: once unchanged
  (*stock*), once with `FastSessionInterface` as the session interface of all apps and with the signers and serializers
  of `flask_fastsession.signing` in place of itsdangerous's (*ours*). Each test must have the same outcome in both runs.
  In the row *tagged JSON*, serializers write Flask's JSON unless a test says otherwise, because native code handles
  that format.

Flask-Login's suite turns every warning into an error. From Python 3.12 on its own use of `utcnow` would make it fail,
so both runs ignore that `DeprecationWarning`.

Versions are {pairs};
`requirements` and `tests/upstream/requirements.txt` pin all others.

Figures are tests *passed / failed / skipped*. The list below the table says why tests did not pass, with stock and ours
alike.
"""


def grid(columns: list[Column]) -> Iterator[str]:
    yield f"| | {' | '.join(column.heading for column in columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for row in rows():
        yield f"| {row.title} | {' | '.join(shown(column.cells.get(row.title)) for column in columns)} |"


def shown(cell: Cell | None) -> str:
    if cell is None:
        return "did not run"
    return f"{cell.text}<br>**differs**" if cell.complaints else cell.text


def remarks(columns: list[Column]) -> Iterator[str]:
    """What the figures alone would hide."""
    for column in columns:
        if column.unavailable:
            yield f"- {column.minor} did not run: {column.unavailable}."
    for row in rows():
        where: dict[str, list[str]] = {}
        for column in columns:
            for finding in findings(column.cells.get(row.title)):
                where.setdefault(finding, []).append(column.minor)
        for finding, minors in where.items():
            yield f"- {row.title}, on {', '.join(minors)}: {finding}"


def findings(cell: Cell | None) -> Iterator[str]:
    if cell is None:
        return
    yield from (f"**differs**: {quoted(complaint)}" for complaint in cell.complaints)
    yield from (f"{count} {quoted(ending)}" for ending, count in cell.not_passed.items())


def quoted(text: str) -> str:
    text = text.replace("`", "'")
    return f"`{text}`"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run all suites on all Pythons, and write docs/matrix.md.")
    parser.add_argument("--python", choices=[*INSTALLED, *UNSTABLE], help="run one of them, without writing the table")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel()
    columns = [run_column(minor, wheel) for minor in ([options.python] if options.python else [*INSTALLED, *UNSTABLE])]
    text = table(columns, wheel)
    print(f"\n{text}")
    if options.python is None:
        TABLE.write_text(text)
    return 1 if any(cell.complaints for column in columns for cell in column.cells.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
