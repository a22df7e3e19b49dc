"""A number of cases, and what came of them."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from dataclasses import field

from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface

from .cases import numbered
from .comparison import compare
from .comparison import difference
from .comparison import reduced


@dataclass
class Run:
    """A number of cases, and what came of them."""

    seed: int
    ours: type[SecureCookieSessionInterface] = FastSessionInterface
    requests: int = 0
    differences: int = 0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    #: How often each method was native, rejected, or left to stock for which reason.
    stats: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)

    def case(self, number: int) -> str | None:
        """Run one case, and return what to print if stock and ours differ."""
        case = numbered(self.seed, number)
        result = compare(case, self.ours)
        self.requests += len(result.outcomes)
        self.outcomes.update(result.outcomes)
        for method in ("open", "save", "dumps", "loads"):
            counts = result.stats[method]
            for name, count in {**counts, **counts.get("declined", {})}.items():
                if isinstance(count, int):
                    self.stats[method, name] += count
        if result.difference is None:
            return None
        self.differences += 1
        case = reduced(case, self.ours)
        repeat = f"case {number} (repeat it with --seed {self.seed} --only {number}), reduced"
        return f"{repeat}:\n  {case!r}\n{difference(case, self.ours) or result.difference}"

    def native_share(self, method: str) -> float:
        """How much of what went through a method of ours was settled natively."""
        counts = {name: count for (used, name), count in self.stats.items() if used == method}
        return (counts.get("native", 0) + counts.get("rejected", 0)) / max(sum(counts.values()), 1)

    def report(self) -> str:
        lines = []
        for method in dict.fromkeys(method for method, _ in self.stats):
            counts = [(name, count) for (used, name), count in self.stats.most_common() if used == method]
            declined = ", ".join(f"{name} {count}" for name, count in counts if name not in ("native", "rejected"))
            lines.append(f"{method}: {self.native_share(method):.1%} natively; declined: {declined}")
        return "\n".join(
            [*lines, "requests gave " + ", ".join(f"{name} {n}" for name, n in self.outcomes.most_common())]
        )
