"""Run cases of the change matrix and print what differs; exit with 1 where anything does.

From the root of the project: ``python -m tests.changes --cases 300 --seed 7``; ``--first 140 --cases 1`` repeats one
case.
"""

from __future__ import annotations

import argparse
import random
import sys

from .matrix import Result
from .matrix import case_of
from .matrix import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    result = Result()
    for number in range(arguments.first, arguments.first + arguments.cases):
        run(case_of(number, arguments.seed), result)
    for difference in result.differences:
        print(difference)
    print(f"{result.comparisons} comparisons, {len(result.differences)} differences (seed {arguments.seed})")
    sys.exit(bool(result.differences))


if __name__ == "__main__":
    main()
