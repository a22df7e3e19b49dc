"""Types, as users' checkers see them. `make lint` runs mypy and Pyright on the two files that are named here."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

import flask_fastsession
from examples import every_name
from flask_fastsession import FastSessionInterface
from flask_fastsession.stats import SessionStats

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "every_name.py"
WRONG = ROOT / "tests" / "project" / "wrong_types.py"


def public_names() -> set[str]:
    """What docs/api.md documents, and what the modules that it names export."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(
        r"^(?:\.\. auto(?!module)\w+|\.\. py:\w+):: flask_fastsession((?:\.\w+)+)", page, re.MULTILINE
    )
    names = {name.rpartition(".")[2] for name in documented}
    for module in re.findall(r"^## (flask_fastsession\S*)$", page, re.MULTILINE):
        found = importlib.import_module(module)
        names |= set(getattr(found, "__all__", ())) | {name for name in vars(found) if name.startswith("session_")}
    # The same class under the name of Flask's.
    return names - {"SecureCookieSession"}


def test_the_example_uses_every_public_name() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names = public_names()
    assert {"FastSessionInterface", "ServerSession", "StoreTests", "session_created"} <= names
    assert names - used == set()


def test_mypy_and_pyright_check_them_strictly() -> None:
    config = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    paths = [path.relative_to(ROOT).as_posix() for path in (EXAMPLE, WRONG)]
    assert f"include = {paths}".replace("'", '"') in config
    assert f'strict = ["{paths[0]}"]' in config
    assert "$(BIN)/pyright\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_pyright_finds_each_mistake_and_no_other() -> None:
    pytest.importorskip("pyright", reason="requirements/lint.txt is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_runs(tmp_path: Path) -> None:
    app = every_name.cookie_app()
    client = app.test_client()
    assert client.get("/").text.startswith("1 since ")
    assert client.get("/").text.startswith("2 since ")
    interface = app.session_interface
    assert isinstance(interface, FastSessionInterface)
    saved, rejected, verified, declined = every_name.counts(interface)
    assert (saved, rejected, verified, declined) == (2, 0, 1, {})
    assert len(every_name.signatures("key")) == 7

    app = Flask(__name__)
    app.secret_key = "key"
    app.session_interface, revoked = every_name.revocable(every_name.MemoryRevocations())
    assert revoked["entries"] == 0
    with app.test_request_context():
        every_name.log_out_everywhere_else(app.session_interface, "ada")
        every_name.log_out(app.session_interface)
    # No browser has a cookie of the session that ended.
    assert app.session_interface.stats()["revocations"]["revoked"] == 1

    app, sessions = every_name.server_app(str(tmp_path / "sessions.sqlite"))
    log: list[str] = []
    receiver = every_name.log_signals(app, log)
    client = app.test_client()
    client.get("/login/ada")
    assert len(client.get("/login/ada").json or []) == 1
    client.get("/logout/ada")
    assert every_name.server_counts(sessions)[0] == 1
    assert log == ["done"] * len(log) != []
    del receiver
    assert every_name.what_it_can(every_name.MemoryStore()) == []
    assert "list" in every_name.what_it_can(sessions.interface.store)


def test_other_arguments_go_to_other_bases() -> None:
    interface = every_name.SiteInterface(site="shop", leeway=5)
    assert (interface.site, interface._options.leeway) == ("shop", 5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'leway'"):
        FastSessionInterface(leway=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        FastSessionInterface(5)  # type: ignore[arg-type]


def test_counts_have_the_declared_keys() -> None:
    stats = FastSessionInterface().stats()
    assert set(stats) == SessionStats.__required_keys__
    for name in ("open", "serializer", "cookies", "save", "dumps", "headers"):
        assert set(stats[name]) == {"native", "declined"}
    assert set(stats["loads"]) == {"native", "rejected", "declined"}
    assert set(stats["keys"]) == {"current", "fallbacks", "old_digests"}


def test_dir_lists_what_can_be_imported() -> None:
    assert set(flask_fastsession.__all__) <= set(dir(flask_fastsession))
    for name in dir(flask_fastsession):
        getattr(flask_fastsession, name)
