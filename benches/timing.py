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


class Ratio(t.NamedTuple):
    """How many times one median the other is, and how far the ratios within the rounds are from that."""

    value: float
    spread: float

    def __str__(self) -> str:
        return f"{self.value:.2f}x ±{self.spread:.2f}"


def ratio(slow: Timing, fast: Timing) -> Ratio:
    value = slow.median / fast.median
    by_round = [its / other for its, other in zip(slow.seconds, fast.seconds, strict=True)]
    return Ratio(value, median(abs(found - value) for found in by_round))


def store(path: Path, timings: t.Mapping[str, Timing]) -> None:
    runs = [
        pyperf.Run(timing.seconds, metadata={"name": name, "unit": "second", "loops": timing.calls})
        for name, timing in timings.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite([pyperf.Benchmark([run]) for run in runs]).dump(str(path), replace=True)
    print(f"\nStored in {path}.")


def store_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"Stored in {path}.")


def print_table(header: t.Sequence[str], rows: t.Sequence[t.Sequence[object]]) -> None:
    """Print a table in Markdown, the first column aligned to the left, the others to the right."""
    table = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    for first, *others in table:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        print(f"| {' | '.join(cells)} |")


def declined_in(stats: t.Mapping[str, t.Any]) -> dict[str, dict[str, int]]:
    """Return what stock code was left to do, by call and reason, as an interface has counted it."""
    calls = ("open", "save", "dumps", "loads")
    return {call: stats[call]["declined"] for call in calls if stats[call]["declined"]}
