"""The command."""

from __future__ import annotations

import argparse
import secrets
import sys

from .batches import Plan
from .batches import as_text
from .batches import report
from .batches import run_here
from .batches import run_in_processes
from .batches import total


def main() -> int:
    options = parse()
    plan = Plan(options.seed, options.cases, options.first, options.stop)
    if options.batch is not None:
        # For the process that has started this one.
        print(as_text(run_here(plan, plan.numbers(int(options.batch.partition("/")[0])))), end="")
        return 0
    # Printed first, lest a crash take it along.
    print(f"seed {plan.seed}", flush=True)
    if options.only is not None:
        result = run_here(plan, range(options.only, options.only + 1))
    else:
        result = total(run_in_processes(plan, options.jobs))
    print(report(result, plan))
    return 1 if result.differences or result.idle else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.changes", description="Compare stock and ours across changes while the app runs."
    )
    add = parser.add_argument
    add("--cases", type=int, metavar="N", help="how many (default: each place with each value in each way)")
    add("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    add("--only", type=int, metavar="NUMBER", help="run but the case of this number")
    add("--first", default="", metavar="NAME", help="begin with places of this name, such as request.cookies")
    add("--stop", action="store_true", help="stop at the first difference")
    add("--jobs", type=int, metavar="N", help="how many processes at a time (default: one for each CPU, at most 4)")
    add("--batch", metavar="I/N", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
