"""A slice of the change matrix, and that the matrix itself can fail."""

from __future__ import annotations

import dataclasses
import secrets
import subprocess
import sys
import typing as t

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface

from . import matrix
from . import mutants
from .batches import BATCH
from .batches import ROOT
from .batches import Plan
from .batches import report
from .batches import run_here
from .batches import run_in_processes
from .batches import total
from .matrix import Result
from .matrix import all_changes
from .matrix import case_of
from .places import PLACES
from .ways import ways_of

CASES = 5 * BATCH


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(secrets.randbelow(2**32), CASES)


@pytest.fixture(scope="module")
def result(plan: Plan) -> Result:
    return total(run_in_processes(plan))


def test_each_change_is_noticed_and_its_undoing_too(plan: Plan, result: Result) -> None:
    assert not result.differences, report(result, plan)
    assert result.comparisons > 50 * CASES


def test_stock_notices_each_change(result: Result) -> None:
    assert not result.idle


def test_few_changes_are_refused(result: Result) -> None:
    assert len(result.refused) < CASES / 20


def test_a_slice_has_all_places() -> None:
    assert {place.name for place, _ in all_changes(1)[:CASES]} == {place.name for place in PLACES}
    assert all(ways_of(place) for place in PLACES)


def test_a_case_depends_on_nothing_but_the_seed_and_its_number() -> None:
    assert str(case_of(17, 1)) == str(case_of(17, 1)) != str(case_of(17, 2))


def test_places_like_a_check_come_first() -> None:
    first = [place.name for place, _ in all_changes(1, "request.cookies")[:3]]
    assert first == ["request.cookies"] * 3


# --- That it can fail -----------------------------------------------------------------------------------------------


class Forgetful(FastSessionInterface):
    """Remembers the first key for good."""

    known: t.ClassVar[dict[int, t.Any]] = {}

    def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
        key = self.known.setdefault(id(app), app.config["SECRET_KEY"])
        config, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], key
        try:
            return super().open_session(app, request)
        finally:
            app.config["SECRET_KEY"] = config


def numbers_of(name: str, kind: str, seed: int = 1) -> list[int]:
    changes = enumerate(all_changes(seed))
    return [number for number, (place, _) in changes if place.name == name and place.kind == kind]


def test_what_is_not_noticed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "INTERFACES", (SecureCookieSessionInterface, Forgetful))
    result = Result()
    number = numbers_of("config.SECRET_KEY", "item")[0]
    matrix.run(case_of(number, 1), result)
    assert result.differences
    text = report(result, Plan(1))
    assert f"repeat it with --seed 1 --only {number}" in text
    assert "stock:" in text and "ours:" in text and "step 'changed'" in text


def test_a_change_that_stock_does_not_notice_is_reported() -> None:
    cases = [case_of(number, 1) for number in numbers_of("app.name_of_nothing", "attribute")]
    case = next(case for case in cases if case.is_stopped and case.first.way.name == "set on the class")
    case = dataclasses.replace(case, place=dataclasses.replace(case.place, matters=True))
    result = Result()
    matrix.run(case, result)
    assert result.idle == [str(case)]


def test_the_command_says_what_it_found() -> None:
    done = command("--seed", "1", "--only", str(numbers_of("config.SESSION_COOKIE_PATH", "item")[0]))
    assert done.stdout.splitlines()[-1].endswith("comparisons, 0 differences (seed 1)")
    assert done.returncode == 0


def test_a_build_without_mutants_says_so() -> None:
    if mutants.guard_checks():
        pytest.skip("this build can leave out its checks")
    done = subprocess.run([sys.executable, "-m", "tests.changes.mutants"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "build it with the feature mutants" in done.stderr


def command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.changes", *options], cwd=ROOT, capture_output=True, text=True)


def test_one_process_runs_the_cases_of_one_batch() -> None:
    plan = Plan(1, 2 * BATCH + 1)
    assert [len(plan.numbers(batch)) for batch in range(plan.batches)] == [BATCH, BATCH, 1]
    assert run_here(plan, range(0)) == Result()
