"""A number of cases, and what came of them."""

from __future__ import annotations

import collections
import random
import sys
import typing as t
from dataclasses import dataclass
from dataclasses import field

from .cases import CASES
from .cases import Check
from .cases import reading
from .comparison import Outcome
from .comparison import Sides

#: Of many differences the first few tell enough.
MOST_PRINTED = 10


@dataclass
class Run:
    """A number of cases, and what came of them."""

    seed: int
    sides: Sides
    cases: int = 0
    differences: int = 0
    #: How often each method came to which outcome.
    outcomes: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)

    def case(self, number: int) -> str | None:
        """Run one case, and return what to print if stock and ours differ."""
        rng = random.Random(self.seed * 2**64 + number)
        check = rng.choice(CASES)(rng, self.sides)
        self.cases += 1
        difference, stock = self._compare(check)
        if difference is None and check.method == "dumps" and isinstance(stock.value, (str, bytes)):
            difference, _ = self._compare(reading(rng, check.setting, stock.value))
        if difference is None:
            return None
        self.differences += 1
        return f"case {number} (repeat it with --seed {self.seed} --only {number})\n{difference}"

    def _compare(self, check: Check) -> tuple[str | None, Outcome]:
        stock, ours = self.sides.outcomes(check.setting, check.use(), check.use())
        self.outcomes[check.method, stock.name] += 1
        return (None if stock == ours else f"    {check}\n    stock: {stock}\n    ours:  {ours}"), stock

    def native_share(self, method: str) -> float:
        """How much of what went through a method of ours was settled natively."""
        stats: t.Any = self.sides.ours.stats()
        counts = stats[method]
        native: int = counts["native"] + counts.get("rejected", 0)
        declined: int = sum(counts["declined"].values())
        return native / max(native + declined, 1)

    def report(self) -> str:
        lines = []
        for method in ("dumps", "loads"):
            declined = collections.Counter(self.sides.ours.stats()[method]["declined"])
            reasons = ", ".join(f"{reason} {count}" for reason, count in declined.most_common())
            lines.append(f"{method}: {self.native_share(method):.1%} natively; declined: {reasons}")
        for method in ("dumps", "loads", "loads_unsafe"):
            named = collections.Counter({name: n for (used, name), n in self.outcomes.items() if used == method})
            lines.append(f"{method} gave " + ", ".join(f"{name} {count}" for name, count in named.most_common()))
        return "\n".join(lines)


def progress(done: int, cases: int) -> None:
    """A bar, for those who watch."""
    if sys.stderr.isatty():
        share = done / cases
        print(f"\r[{'#' * int(40 * share):40}] {done} / {cases}", end="", file=sys.stderr, flush=True)
