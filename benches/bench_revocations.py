"""Revocable sessions: what sessions cost a request if they cannot be revoked, and if they can.

The cost is the time of a request less that of the same request with a null session, measured in the same round.
Run from the root of the project by ``python -m benches.bench_revocations``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benches.bench_request import CASES
from benches.bench_request import Case
from benches.bench_request import create_app
from benches.bench_request import make_environs
from benches.bench_request import time_apps
from benches.operations import COUNTED
from benches.operations import REVOKED
from benches.operations import bring_identity
from benches.operations import revocations_of
from benches.timing import Timing
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from flask_fastsession import FastSessionInterface

KINDS = {"off": None, **{f"{entries:,} entries": entries for entries in REVOKED}}


def measure(case: Case, rounds: int) -> dict[str, Timing]:
    """Return the timings of whole requests by live revocations, those of the null session among them."""
    apps = {}
    for name, entries in KINDS.items():
        revocations = None if entries is None else revocations_of(entries)
        app, environs = create_app(FastSessionInterface(revocations=revocations)), make_environs(case)
        if revocations is not None:
            for environ in environs:
                bring_identity(app, environ)
        apps[name] = app, environs
    return time_apps(case, apps, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each kind (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench/revocations.json"), help="default: %(default)s"
    )
    arguments = parser.parse_args()

    rows: list[list[object]] = []
    timings: dict[str, Timing] = {}
    for name, case in COUNTED.items():
        whole = measure(CASES[case], arguments.rounds)
        timings |= {f"{name} {kind}": timing for kind, timing in whole.items()}
        off, *on = (whole[kind] - whole["null"] for kind in KINDS)
        rows.append([name, off, *(cell for cost in on for cell in (cost, ratio(cost, off)))])
    print("What sessions add to a request, microseconds, and how many times what they add if they cannot be revoked:")
    print(f"median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    names = list(KINDS)[1:]
    print_table(["request", "off", *(cell for name in names for cell in (name, f"{name} / off"))], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
