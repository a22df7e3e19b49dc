"""Many cases in fresh processes: CPython gives a class that was changed a thousand times no more version tags."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .matrix import Result
from .matrix import all_changes
from .matrix import case_of
from .matrix import run
from .matrix import summary

#: So many cases run in one process. Some change a class of a library up to fifty times, most do not change any.
BATCH = 40

#: Of many differences the first few tell enough.
MOST_PRINTED = 10

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plan:
    """Which cases to run."""

    seed: int
    cases: int | None = None
    #: The name of a check of native code, whose places come first.
    first: str = ""
    #: Whether one difference is enough.
    stops: bool = False

    @property
    def size(self) -> int:
        return self.cases or len(all_changes(self.seed, self.first))

    @property
    def batches(self) -> int:
        return -(-self.size // BATCH)

    def numbers(self, batch: int) -> range:
        return range(batch * BATCH, min((batch + 1) * BATCH, self.size))

    @property
    def options(self) -> list[str]:
        first = ["--first", self.first] if self.first else []
        return ["--seed", str(self.seed), "--cases", str(self.size), *first, *["--stop"] * self.stops]


def run_here(plan: Plan, numbers: range) -> Result:
    """Run some cases in this process."""
    result = Result()
    for number in numbers:
        case = case_of(number, plan.seed, plan.first)
        try:
            run(case, result)
        except Exception as error:
            raise RuntimeError(f"{case} could not be run") from error
        if plan.stops and result.differences:
            break
    return result


def run_in_processes(plan: Plan, jobs: int | None = None) -> Iterator[Result]:
    """The results of all batches, each in a process of its own."""
    with ThreadPoolExecutor(jobs or min(os.cpu_count() or 1, 4)) as pool:
        pending = [pool.submit(run_batch, plan, batch) for batch in range(plan.batches)]
        try:
            for future in pending:
                result = future.result()
                yield result
                if plan.stops and result.differences:
                    return
        finally:
            for future in pending:
                future.cancel()


def run_batch(plan: Plan, batch: int) -> Result:
    command = [sys.executable, "-m", "tests.changes", *plan.options, "--batch", f"{batch}/{plan.batches}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    last = done.stdout.rpartition("\n")[2]
    if done.returncode or not last.startswith("{"):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Result(**json.loads(last))


def as_text(result: Result) -> str:
    """A result for :func:`run_batch` to read."""
    return json.dumps(dataclasses.asdict(result))


def total(results: t.Iterable[Result]) -> Result:
    """All results in one."""
    whole = Result()
    for result in results:
        whole.comparisons += result.comparisons
        whole.differences += result.differences
        whole.idle += result.idle
        whole.refused += result.refused
        for place, ways in result.places.items():
            whole.places.setdefault(place, []).extend(ways)
    return whole


def report(result: Result, plan: Plan) -> str:
    """What is to be printed of a result."""
    lines = result.differences[:MOST_PRINTED]
    if result.places:
        lines += [f"\nChanges that were not noticed, by their places:\n{summary(result.places)}\n"]
    lines += [f"Stock does not notice either: {case}" for case in result.idle]
    lines += [f"{len(result.refused)} changes refused by the interpreter"]
    lines += [f"{result.comparisons} comparisons, {len(result.differences)} differences (seed {plan.seed})"]
    return "\n".join(lines)
