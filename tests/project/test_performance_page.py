"""docs/performance.md, its charts, and the figures on other pages say what was measured."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

from benches import bench_request
from benches import bench_server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def results() -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((DOCS / "request.json").read_text(encoding="utf-8")))


def test_the_chart_is_drawn_from_the_results(results: dict[str, t.Any]) -> None:
    assert (DOCS / "request.svg").read_text(encoding="utf-8") == bench_request.draw(results)


def test_the_table_has_the_medians_of_the_results(results: dict[str, t.Any]) -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8").partition("## Under gunicorn")[0]
    for name, request in results["requests"].items():
        (row,) = re.findall(rf"^\| {name} +\|(.*)\|$", page, flags=re.MULTILINE)
        medians = [float(cell) for cell in re.findall(r"([\d.]+) ±", row)]
        assert medians[:4] == [pytest.approx(it, abs=0.006) for it in (request["null request"], *costs(request))]


def costs(request: dict[str, t.Any]) -> list[float]:
    return [request["session cost"][name] for name in bench_request.IMPLEMENTATIONS]


@pytest.mark.parametrize("page", ["README.md", "docs/pypi.md", "docs/index.md", "docs/faq.md"])
def test_the_figures_on_other_pages_are_those_of_this_one(page: str, results: dict[str, t.Any]) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    cost = results["requests"]["refreshed read"]["session cost"]
    (claimed,) = re.findall(r"costs a request (\d+) microseconds instead of (\d+)", text)
    assert [int(it) for it in claimed] == [round(cost["ours"]), round(cost["stock"])]

    (row,) = re.findall(r"^\| sync +\|(.*)\|$", (DOCS / "performance.md").read_text(encoding="utf-8"), re.MULTILINE)
    _null, stock, _tuned, ours = re.findall(r"(\d+) \(\d+-\d+\)", row)
    assert re.findall(r"(\d+) requests per second instead of (\d+)", text) == [(ours, stock)]


def test_the_instructions_are_those_of_the_baseline() -> None:
    section = (DOCS / "performance.md").read_text(encoding="utf-8").partition("## Instructions")[2]
    rows = re.findall(r"^\| ([a-z].*?) +\| +(\d+) \|$", section, re.MULTILINE)
    baseline = json.loads((ROOT / "benches" / "instructions.json").read_text(encoding="utf-8"))
    assert {name: int(count) for name, count in rows} == baseline["instructions"]


def test_no_request_was_declined(results: dict[str, t.Any]) -> None:
    assert results["requests"].keys() == bench_request.CASES.keys()
    assert not any(request["declined"] for request in results["requests"].values())


# --- Server-side sessions -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server_results() -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", json.loads((DOCS / "server.json").read_text(encoding="utf-8")))


def test_the_chart_of_servers_is_drawn_from_the_results(server_results: dict[str, t.Any]) -> None:
    assert (DOCS / "server.svg").read_text(encoding="utf-8") == bench_server.draw(server_results)


def test_nothing_was_lost_or_undone(server_results: dict[str, t.Any]) -> None:
    assert server_results["harms"]["ours"] == []
    assert server_results["writes kept"]["ours"] == 200
    assert server_results["wrong replies"]["ours"] == 0
