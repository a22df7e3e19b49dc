"""Facts that two tools want to be told, each in a file of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest

import flask_fastsession

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_version_is_that_of_the_crate() -> None:
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert f'version = "{flask_fastsession.__version__}"' in cargo
    assert version("flask-fastsession") == flask_fastsession.__version__


def test_the_oldest_python_is_the_same_for_pip_and_for_the_extension() -> None:
    cargo = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    minimum = re.findall(r'requires-python = ">=(\d+)\.(\d+)"', PYPROJECT)
    assert minimum == re.findall(r"abi3-py(\d)(\d+)", cargo)
    assert len(minimum) == 1


# --- The package index ----------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_of_the_package_is_complete_as_the_index_renders_it() -> None:
    """A package index has none of the repository's files, so links and pictures cannot be relative."""
    markdown = pytest.importorskip("readme_renderer.markdown", reason="it is installed by make docs and make test")
    (page,) = re.findall(r'^readme = "(.+)"$', PYPROJECT, re.MULTILINE)
    html = markdown.render((ROOT / page).read_text(encoding="utf-8"))
    assert html is not None
    elements = Elements(html).found
    assert {"h1", "h2", "p", "pre", "table", "li"} <= {tag for tag, _ in elements}
    anchors = {f"#{attributes['id']}" for _, attributes in elements if "id" in attributes}
    targets = {attributes[name] or "" for _, attributes in elements for name in ("href", "src") if name in attributes}
    assert [target for target in targets - anchors if not target.startswith("https://")] == []
    # What the renderer did not understand is left as it was written.
    assert not re.search(r"\]\(|```|\{\w+\}`", html)


def test_classifiers_name_what_is_supported() -> None:
    classifiers = set(re.findall(r'^    "(\w.* :: .*)",$', PYPROJECT, re.MULTILINE))
    versions = {it.rpartition(" ")[2] for it in classifiers if re.search(r"Python :: 3\.\d+$", it)}
    assert versions == {f"3.{minor}" for minor in range(10, 15)}
    # Wheels are native: there is one for each of these.
    systems = {it for it in classifiers if it.startswith("Operating System")}
    names = ("MacOS", "Microsoft :: Windows", "POSIX :: Linux")
    assert systems == {f"Operating System :: {name}" for name in names}


# --- Wheels ---------------------------------------------------------------------------------------------------------

#: Those of one platform.
TAGS = ["cp310-abi3", "cp311-cp311", "cp312-cp312", "cp313-cp313", "cp314-cp314", "cp314-cp314t"]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with a wheel for each of them. They are empty, for pip chooses by their names."""
    for tags in TAGS:
        tag = f"{tags}-manylinux_2_17_x86_64"
        with zipfile.ZipFile(tmp_path / f"flask_fastsession-1.0-{tag}.whl", "w") as wheel:
            info = "flask_fastsession-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: flask-fastsession\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            wheel.writestr(f"{info}/RECORD", "")
    return tmp_path


def check_choice(wheels: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "pip_choice.py"), str(wheels)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pip_chooses_the_wheel_for_a_version_and_else_that_for_the_stable_abi(wheels: Path) -> None:
    done = check_choice(wheels)
    assert done.returncode == 0, done.stderr
    chosen = re.findall(r"^CPython (\S+) +(\S+) +\S+: flask_fastsession-1\.0-(\w+-\w+)-", done.stdout, re.MULTILINE)
    assert {abi: tags for _, abi, tags in chosen} == {
        "cp310": "cp310-abi3",
        "cp311": "cp311-cp311",
        "cp312": "cp312-cp312",
        "cp313": "cp313-cp313",
        "cp314": "cp314-cp314",
        "cp314t": "cp314-cp314t",
        "cp315": "cp310-abi3",
    }


def test_a_wheel_that_is_missing_is_noticed(wheels: Path) -> None:
    (wheels / "flask_fastsession-1.0-cp312-cp312-manylinux_2_17_x86_64.whl").unlink()
    done = check_choice(wheels)
    assert done.returncode == 1
    assert "cp310-abi3-manylinux_2_17_x86_64.whl instead of one for cp312-cp312" in done.stderr
