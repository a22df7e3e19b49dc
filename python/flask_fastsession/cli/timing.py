"""Timing of jobs in turns, for ``flask session bench`` and for the inspector."""

from __future__ import annotations

import gc
import random
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from statistics import median

WARM_UP_ROUNDS = 5

#: A ratio whose spread is a greater share of its value is not conclusive.
MOST_SPREAD = 0.1


#: The processor time of this thread, in seconds, to which other processes and threads add nothing. Where that clock is
#: too coarse, as on Windows, it is wall-clock time.
clock: Callable[[], float] = (
    time.thread_time if time.get_clock_info("thread_time").resolution <= 1e-6 else time.perf_counter
)


class Timing(t.NamedTuple):
    """Seconds for one call, a value for each round."""

    seconds: list[float]

    def __sub__(self, other: Timing) -> Timing:
        """The difference in seconds, round by round."""
        return Timing([mine - its for mine, its in zip(self.seconds, other.seconds, strict=True)])

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """The median distance from the median."""
        return median(abs(value - self.median) for value in self.seconds)


class Ratio(t.NamedTuple):
    """The ratio of two medians, and the median distance of the ratios in each round from it."""

    value: float
    spread: float

    @property
    def is_conclusive(self) -> bool:
        """Whether the spread is small enough for a conclusion."""
        return self.value > 0 and self.spread <= MOST_SPREAD * self.value


def ratio(slow: Timing, fast: Timing) -> Ratio:
    """Compare timings of the same rounds. If a time is not above zero, the ratio is 0 and not conclusive."""
    if fast.median <= 0 or not all(fast.seconds):
        return Ratio(0.0, 0.0)
    value = slow.median / fast.median
    by_round = [its / other for its, other in zip(slow.seconds, fast.seconds, strict=True)]
    return Ratio(value, median(abs(found - value) for found in by_round))


def take_turns(
    jobs: Mapping[str, Callable[[int], float]], calls: Mapping[str, int], rounds: Iterable[int]
) -> dict[str, Timing]:
    """Run each job once in each round, in random order.

    A job gets the number of calls, and returns the seconds for one call. The first :data:`WARM_UP_ROUNDS` do not count.
    """
    turns = list(jobs.items())
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    with without_gc():
        for _ in rounds:
            random.shuffle(turns)
            gc.collect()
            for name, job in turns:
                seconds[name].append(job(calls[name]))
    return {name: Timing(values[WARM_UP_ROUNDS:]) for name, values in seconds.items()}


@contextmanager
def without_gc() -> Iterator[None]:
    """Collect garbage only on request, so that the turn of a job does not pay for the garbage of others."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.unfreeze()
