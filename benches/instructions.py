"""Instructions: how many a refreshed request, dumps and loads take, beside a baseline that is kept in this directory.

Time depends on the machine and its mood; a count is the same each time but for a percent, so that a few percent more
show. It compares only with counts of the same compilers, libraries and valgrind, whose versions the baseline therefore
names.
Run from the root of the project by ``python -m benches.instructions``; it exits with 1 where a count has risen too far
above the baseline, and with 2 where valgrind is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benches import operations
from benches.overrides import OVERRIDES
from benches.overrides import SIDES
from benches.timing import print_table
from benches.timing import store_text

BASELINE = Path(__file__).with_suffix(".json")
ALLOWED_RISE = 0.05
# What happens but once goes away in the difference.
FEW_TURNS, MORE_TURNS = 2, 6
# Which of CPython's cached attribute lookups collide depends on where things lie in memory, and makes some percent of a
# request. With another seed for its hashes each process has another layout; counts are the mean of them.
HASH_SEEDS = range(6)


def count(group: str, hash_seeds: t.Sequence[int]) -> dict[str, int]:
    """Return the instructions that one call of each operation of a group takes."""
    operations.check()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(count_with_seed, [group] * len(hash_seeds), hash_seeds))
    return {name: round(fmean(by_name[name] for by_name in counts)) for name in counts[0]}


def count_sessions() -> dict[str, int]:
    """Return the instructions of ``dumps`` and ``loads``, and the session's share of each request."""
    counted = count("sessions", HASH_SEEDS)
    names = [*operations.COUNTED, operations.ENCRYPTED]
    shares = {name: counted[f"ours: {name}"] - counted[f"null: {name}"] for name in names}
    return {f"session: {name}": share for name, share in shares.items()} | {
        name: counted[name] for name in ("dumps", "loads")
    }


def print_overrides() -> None:
    """Print what a session costs stock and ours in apps that override a step of Flask's."""
    counted = count("overrides", HASH_SEEDS[:2])
    rows = []
    for name in OVERRIDES:
        stock, ours = (counted[f"{side}: {name}"] - counted["null"] for side in SIDES)
        rows.append([name, stock, ours, f"{stock / ours:.1f}x"])
    print("Instructions of a permanent session that is read and refreshed, where an app overrides a step:\n")
    print_table(["overridden", "stock", "ours", "stock / ours"], rows)


def print_encryption() -> None:
    """Print what a session costs if it is signed, encrypted by us, and encrypted by an interface over Fernet."""
    counted = count("encryption", HASH_SEEDS[:2])
    shares = {name: counted[name] - counted[f"null: {name}"] for name in operations.ENCRYPTING}
    print("Instructions of a permanent session that is read and refreshed:\n")
    rows = [
        [name, share, f"{share / shares['signed']:.2f}x", f"{share / shares['encrypted']:.2f}x"]
        for name, share in shares.items()
    ]
    print_table(["cookie", "instructions", "to signed", "to encrypted"], rows)


def print_policies() -> None:
    """Print what a session costs with options beyond Flask's."""
    counted = count("policies", HASH_SEEDS[:2])
    rows = [[name, counted[name] - counted[f"null: {case}"]] for name, (case, _) in operations.POLICIES.items()]
    print("Instructions of a session in a request, with options:\n")
    print_table(["", "instructions"], rows)


def print_revocable() -> None:
    """Print what a session costs where it can be revoked."""
    counted = count("revocable", HASH_SEEDS[:2])
    rows = []
    for name in operations.COUNTED:
        sides = ["off", *(f"{entries} entries" for entries in operations.REVOKED)]
        off, *on = (counted[f"{side}: {name}"] - counted[f"null: {name}"] for side in sides)
        rows.append([name, off, *(cell for share in on for cell in (share, f"{share / off:.2f}x"))])
    print("Instructions of a session where sessions can be revoked, beside one where they cannot:\n")
    print_table(["", "off", *(cell for entries in operations.REVOKED for cell in (f"{entries:,} entries", ""))], rows)


def count_with_seed(group: str, hash_seed: int) -> dict[str, float]:
    program = [sys.executable, "-m", operations.__name__, group, f"{FEW_TURNS}", f"{MORE_TURNS}"]
    environment = os.environ | {"PYTHONHASHSEED": f"{hash_seed}"}
    with TemporaryDirectory() as directory:
        callgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={directory}/%p"]
        done = subprocess.run([*callgrind, *program], env=environment, stdout=subprocess.PIPE, check=True)
        counts = {}
        for name, processes in json.loads(done.stdout).items():
            few, more = (read_total(Path(directory, f"{process}")) for process in processes)
            counts[name] = (more - few) / ((MORE_TURNS - FEW_TURNS) * operations.CALLS_A_TURN)
    return counts


def read_total(profile: Path) -> int:
    found = re.search(r"^totals: (\d+)$", profile.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"no totals in {profile}"
    return int(found[1])


def versions() -> dict[str, str]:
    """Return whatever decides on the counts beside the project itself."""
    return {
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": first_line("valgrind", "--version"),
        "rustc": first_line("rustc", "--version"),
        "C compiler": first_line("cc", "--version"),
        platform.python_implementation(): " ".join(sys.version.split()),
        **{name: version(name) for name in ("Flask", "Werkzeug", "itsdangerous")},
    }


def first_line(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[0]


def print_counts(counts: t.Mapping[str, int], baseline: t.Mapping[str, int]) -> None:
    rows = [[name, baseline[name], now, f"{rise(baseline[name], now):+.1%}"] for name, now in counts.items()]
    print("Instructions, counted by callgrind:\n")
    print_table(["", "baseline", "now", "change"], rows)


def rise(before: int, now: int) -> float:
    return now / before - 1


def print_other_versions(baseline: t.Mapping[str, str]) -> None:
    now = versions()
    names = [name for name in {**baseline, **now} if baseline.get(name) != now.get(name)]
    if names:
        print("\nThe baseline comes from another tool chain, so little can be said by comparing with it:\n")
        print_table(["", "baseline", "now"], [[name, baseline.get(name, "-"), now.get(name, "-")] for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make what is counted the new baseline")
    parser.add_argument("--overrides", action="store_true", help="count apps that override a step, beside stock")
    parser.add_argument(
        "--encryption", action="store_true", help="count encrypted sessions, beside signed and Fernet's"
    )
    parser.add_argument("--policies", action="store_true", help="count requests with options beyond Flask's")
    parser.add_argument("--revocable", action="store_true", help="count sessions that can be revoked, beside others")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("Instructions are counted by valgrind; please install it (apt-get install valgrind).", file=sys.stderr)
        sys.exit(2)

    if arguments.overrides:
        print_overrides()
        return
    if arguments.encryption:
        print_encryption()
        return
    if arguments.policies:
        print_policies()
        return
    if arguments.revocable:
        print_revocable()
        return
    counts = count_sessions()
    if arguments.write:
        store_text(BASELINE, json.dumps({"versions": versions(), "instructions": counts}, indent=2) + "\n")
        return
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    print_counts(counts, baseline["instructions"])
    print_other_versions(baseline["versions"])
    risen = [name for name, now in counts.items() if rise(baseline["instructions"][name], now) > ALLOWED_RISE]
    if risen:
        sys.exit(f"\nMore than {ALLOWED_RISE:.0%} above the baseline: {', '.join(risen)}.")


if __name__ == "__main__":
    main()
