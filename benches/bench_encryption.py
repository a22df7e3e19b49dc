"""Encrypted cookies: what sessions cost a request if they are signed, encrypted by us, and encrypted by Fernet.

The cost is the time of a request less that of the same request with a null session, measured in the same round.
Run from the root of the project by ``python -m benches.bench_encryption``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benches.bench_request import CASES
from benches.bench_request import Case
from benches.bench_request import create_app
from benches.bench_request import make_environs
from benches.bench_request import time_apps
from benches.operations import ENCRYPTING
from benches.timing import Timing
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store

MEASURED = {"read": "read", "refreshed": "refreshed read"}


def measure(case: Case, rounds: int) -> dict[str, Timing]:
    """Return the timings of whole requests by the kind of cookie, those of the null session among them."""
    apps = {}
    for name, make in ENCRYPTING.items():
        interface = make()
        apps[name] = create_app(interface), make_environs(case, interface)
    return time_apps(case, apps, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each kind (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/encryption.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    rows: list[list[object]] = []
    timings: dict[str, Timing] = {}
    for name, case in MEASURED.items():
        whole = measure(CASES[case], arguments.rounds)
        timings |= {f"{name} {kind}": timing for kind, timing in whole.items()}
        costs = {kind: whole[kind] - whole["null"] for kind in ENCRYPTING}
        signed, encrypted, *fernet = costs.values()
        rows.append([name, *costs.values(), ratio(encrypted, signed), *(ratio(theirs, encrypted) for theirs in fernet)])
    print("What sessions add to a request, microseconds:")
    print(f"median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    print_table(["request", *ENCRYPTING, "encrypted/signed", "fernet/encrypted", "key kept/encrypted"], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
