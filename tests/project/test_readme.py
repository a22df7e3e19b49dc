"""The README's Python runs as printed, block after block, in one namespace."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # They name files.
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, t.Any] = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, str(README), "exec"), namespace)
    assert [capsys.readouterr().out] == blocks("text")
    client = namespace["app"].test_client()
    assert client.get("/").text == "visits: 1"
    assert client.get("/").text == "visits: 2"
    stats = namespace["app"].session_interface.stats()
    assert stats["loads"]["native"] == 1
    assert stats["dumps"]["native"] == 2


def test_its_commands_exist() -> None:
    makefile = README.with_name("Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"make ([a-z-]+)", README.read_text(encoding="utf-8")))
    assert commands >= {"demo", "serve", "test"}
    for command in commands:
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE), f"make {command} is not in the Makefile"
