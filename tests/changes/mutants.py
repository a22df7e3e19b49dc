"""Whether a build that leaves out one of its checks is found out: the matrix once for each check.

::

    make mutants
    scripts/mutants.sh .venv/bin/python --seed 7 provider.dumps

A build with the feature ``mutants`` ignores the checks that ``FASTSESSION_SKIP_CHECK`` names. The matrix has to fail
then; a check without which it passes is either not needed or not tested. Where the interpreter cannot take a change
back, a test of its own takes the place of the matrix.
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
from .batches import run_here

VARIABLE = "FASTSESSION_SKIP_CHECK"

#: A class whose ``__new__`` was deleted takes no arguments any more.
TESTS = {
    "signing serializer.__new__": "tests/contract/test_replaced.py::test_a_serializer_that_is_made_in_another_way",
}


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
    """The names of all checks, as far as a few cases make them; none in other builds."""
    names: t.Any = getattr(_native, "guard_checks", None)
    if names is None:
        return ()
    run_here(Plan(seed=1), range(3))
    return t.cast(Sequence[str], names())


def report(check: str, seed: int, cases: int | None) -> str:
    outcome = outcome_without([check], seed, cases)
    print(f"{check}: {outcome}", flush=True)
    return outcome


def outcome_without(checks: list[str], seed: int, cases: int | None) -> str:
    """What the matrix comes to where these checks are left out."""
    plan = Plan(seed, cases, first=checks[0] if checks else "", stops=True)
    test = TESTS.get(*checks) if checks else None
    command = [sys.executable, "-m", *(["pytest", "-q", test] if test else ["tests.changes", *plan.options])]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, VARIABLE: ",".join(checks)}, capture_output=True, text=True
    )
    if done.returncode == 1 and ("1 failed" if test else " differences (seed ") in done.stdout:
        return "killed"
    return "survived" if done.returncode == 0 else f"crashed\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
