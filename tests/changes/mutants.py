"""Whether a build that leaves out one of its checks is found out: the matrix once for each check.

::

    maturin develop --release --features mutants
    python -m tests.changes.mutants --seed 7

A build with the feature ``mutants`` ignores the checks that ``FASTSESSION_SKIP_CHECK`` names. The matrix has to fail
then; a check without which it passes is either not needed or not tested.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import typing as t
from collections.abc import Sequence

from flask_fastsession import _native

from .batches import ROOT
from .batches import Plan

VARIABLE = "FASTSESSION_SKIP_CHECK"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.changes.mutants", description="Leave out one check at a time."
    )
    parser.add_argument("checks", nargs="*", help="the checks to leave out (default: all)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="default: a random one")
    parser.add_argument("--cases", type=int, metavar="N", help="how many for each check (default: all)")
    options = parser.parse_args()
    checks = options.checks or guard_checks()
    if not checks:
        parser.error("this build names no checks: build it with the feature mutants")
    if outcome_without([], options.seed, options.cases) != "survived":
        parser.error("the matrix fails with all checks in place")
    survivors = [check for check in checks if report(check, options.seed, options.cases) != "killed"]
    print(f"{len(checks)} checks left out, {len(survivors)} survived (seed {options.seed}) {' '.join(survivors)}")
    return 1 if survivors else 0


def guard_checks() -> Sequence[str]:
    names: t.Any = getattr(_native, "guard_checks", list)
    return t.cast(Sequence[str], names())


def report(check: str, seed: int, cases: int | None) -> str:
    outcome = outcome_without([check], seed, cases)
    print(f"{check}: {outcome}", flush=True)
    return outcome


def outcome_without(checks: list[str], seed: int, cases: int | None) -> str:
    """What the matrix comes to where these checks are left out."""
    plan = Plan(seed, cases, first=checks[0] if checks else "", stops=True)
    command = [sys.executable, "-m", "tests.changes", *plan.options]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, VARIABLE: ",".join(checks)}, capture_output=True, text=True
    )
    if done.returncode == 1 and " differences (seed " in done.stdout:
        return "killed"
    return "survived" if done.returncode == 0 else f"crashed\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
