"""Fair timing, and what is made of it: a table to read, and a file that pyperf reads.

pyperf's runner gives each benchmark a process of its own, one after the other, so that a machine which slows down
meanwhile changes the ratio. Here the implementations take turns, a few milliseconds each, in one process that is warm
with Flask: there zlib finds the memory that it would otherwise ask of the system at each call, and what disturbs one
disturbs all. pyperf stores the results; `python -m pyperf compare_to` and its other commands work on the files.
"""

from __future__ import annotations

import gc
import typing as t
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import pyperf

WARM_UP_ROUNDS = 3


class Timing(t.NamedTuple):
    """Seconds for one call, a value for each round of so many calls."""

    seconds: list[float]
    calls: int

    def __sub__(self, other: Timing) -> Timing:
        """Return the difference within each round, in which both were timed under the same conditions."""
        differences = [mine - its for mine, its in zip(self.seconds, other.seconds, strict=True)]
        return Timing(differences, self.calls)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """The median distance from the median."""
        return median(abs(value - self.median) for value in self.seconds)

    def __str__(self) -> str:
        return f"{self.median * 1e6:.2f} ±{self.spread * 1e6:.2f}"


def take_turns(jobs: t.Mapping[str, t.Callable[[], object]], *, calls: int, rounds: int) -> dict[str, Timing]:
    """Time jobs that do the same number of calls each, every one once a round, in an order that is shuffled anew."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    turns = list(jobs.items())
    random = Random(rounds)
    gc.collect()
    # What is there already need not be looked at between rounds.
    gc.freeze()
    gc.disable()
    try:
        for _ in range(WARM_UP_ROUNDS + rounds):
            random.shuffle(turns)
            gc.collect()
            for name, job in turns:
                start = perf_counter()
                job()
                seconds[name].append((perf_counter() - start) / calls)
    finally:
        gc.enable()
        gc.unfreeze()
    return {name: Timing(values[WARM_UP_ROUNDS:], calls) for name, values in seconds.items()}


def ratio(slow: Timing, fast: Timing) -> str:
    return f"{slow.median / fast.median:.1f}x"


def store(path: Path, timings: t.Mapping[str, Timing]) -> None:
    runs = [
        pyperf.Run(timing.seconds, metadata={"name": name, "unit": "second", "loops": timing.calls})
        for name, timing in timings.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite([pyperf.Benchmark([run]) for run in runs]).dump(str(path), replace=True)
    print(f"\nStored in {path}.")


def print_table(header: t.Sequence[str], rows: t.Sequence[t.Sequence[str]]) -> None:
    """Print columns of text, the first aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
