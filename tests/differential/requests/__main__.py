"""The command."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from ..codec.run import MOST_PRINTED
from ..codec.run import progress
from .cases import REQUESTS
from .run import Run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.differential.requests", description="Compare stock and ours over random requests."
    )
    parser.add_argument(
        "--cases",
        type=int,
        default=2_000,
        metavar="N",
        help=f"how many, of {REQUESTS} requests each (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run but the case of this number")
    options = parser.parse_args()
    numbers = range(options.cases) if options.only is None else range(options.only, options.only + 1)
    # Printed first, lest a crash take it along.
    print(f"seed {options.seed}", flush=True)
    run = Run(options.seed)
    start = time.perf_counter()
    for done, number in enumerate(numbers):
        if done % 100 == 0:
            progress(done, len(numbers))
        if (found := run.case(number)) and run.differences <= MOST_PRINTED:
            print(f"\n{found}", flush=True)
    progress(len(numbers), len(numbers))
    seconds = time.perf_counter() - start
    print(f"\n{run.report()}\n{run.requests / seconds:.0f} requests per second")
    print(f"{run.requests} requests, {run.differences} differences (seed {run.seed})")
    return 1 if run.differences else 0


if __name__ == "__main__":
    sys.exit(main())
