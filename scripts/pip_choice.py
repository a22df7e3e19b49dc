"""Does pip choose the right wheel in a folder, for each Python and each platform that the folder has wheels for?

::

    python scripts/pip_choice.py dist

pip itself is asked, also for Pythons and platforms that are not here; it reads nothing but the folder. A CPython gets
the wheel of its own where there is one, and else that for the stable ABI, which a free-threaded CPython cannot load.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: The tags of the wheel that each Python gets, by its version and its ABI. CPython 3.15 has no wheel of its own.
CHOICES = {
    ("3.10", "cp310"): "cp310-abi3",
    ("3.11", "cp311"): "cp311-cp311",
    ("3.12", "cp312"): "cp312-cp312",
    ("3.13", "cp313"): "cp313-cp313",
    ("3.14", "cp314"): "cp314-cp314",
    ("3.15", "cp315"): "cp310-abi3",
    ("3.14", "cp314t"): "cp314-cp314t",
}


class WrongChoice(Exception):
    """pip takes another wheel than it should, or none."""


def platforms(folder: Path) -> Iterator[str]:
    """Each platform once, though a wheel may have several names for it."""
    seen: set[str] = set()
    for wheel in sorted(folder.glob("*.whl")):
        names = wheel.stem.split("-")[-1].split(".")
        if not seen.intersection(names):
            yield names[-1]
        seen.update(names)


def chosen(folder: Path, version: str, abi: str, platform: str) -> Path:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-I", "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check"]
        command += ["download", "--no-index", "--find-links", str(folder), "--no-deps", "--only-binary", ":all:"]
        command += ["--dest", directory]
        command += ["--implementation", "cp", "--python-version", version, "--abi", abi, "--platform", platform]
        # With an ABI given, pip knows no other one unless told.
        command += [] if abi.endswith("t") else ["--abi", "abi3"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        done = subprocess.run(
            [*command, "flask-fastsession"], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise WrongChoice(f"CPython {version}, {abi}, {platform}: {done.stderr.strip()}")
        (wheel,) = Path(directory).iterdir()
        return Path(wheel.name)


def check_choice(folder: Path, version: str, abi: str, platform: str) -> str:
    wheel = chosen(folder, version, abi, platform)
    tags = CHOICES[version, abi]
    if f"-{tags}-" not in wheel.name:
        raise WrongChoice(f"CPython {version}, {abi}, {platform}: {wheel} instead of one for {tags}")
    return f"CPython {version:5} {abi:7} {platform}: {wheel}"


def check_choices(folder: Path) -> list[str]:
    places = [(version, abi, platform) for platform in platforms(folder) for version, abi in CHOICES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda place: check_choice(folder, *place), places))


def main() -> int:
    parser = argparse.ArgumentParser(description="Check which wheel of a folder pip chooses for which Python.")
    parser.add_argument("folder", type=Path, help="such as dist")
    try:
        lines = check_choices(parser.parse_args().folder)
    except WrongChoice as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
