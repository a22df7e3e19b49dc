"""What the pages say is so: their code runs and prints what they show, their commands exist, their links lead on.

Sphinx is not needed for this; `make docs` has it build the pages, and fails at any warning.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import os
import pkgutil
import re
import shlex
import sys
import typing as t
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
from click import Command
from click import Context
from click import Group
from flask.cli import FlaskGroup
from prometheus_client import CollectorRegistry

import flask_fastsession
import flask_fastsession.server
import flask_fastsession.signing
import flask_fastsession.testing
from flask_fastsession import FastSessionInterface
from flask_fastsession import ServerSession
from flask_fastsession import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])}

FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\S*).*?\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
MARKED = re.compile(r"<!-- not run: \S.* -->\n\s*\Z")


class Block(t.NamedTuple):
    line: int
    language: str
    text: str
    is_marked: bool


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCED.finditer(text):
        before = text[: match.start()]
        code = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(before.count("\n") + 2, match["language"], code, bool(MARKED.search(before)))


def prose_of(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


every_page = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))


# --- Code -----------------------------------------------------------------------------------------------------------


@every_page
def test_python_runs_and_prints_what_is_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Block after block, in one namespace. A block of text is what the block of Python before it prints."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, t.Any] = {"__name__": "page"}
    shown = [block for block in blocks_of(page) if block.language in ("python", "text") and not block.is_marked]
    for block, following in itertools.zip_longest(shown, shown[1:]):
        if block.language == "text":
            continue
        run(block, page, namespace)
        expected = following.text if following is not None and following.language == "text" else ""
        assert capsys.readouterr().out == expected, f"{page}:{block.line}"


def run(block: Block, page: Path, namespace: dict[str, t.Any]) -> None:
    # Lines of their own, so that a traceback names those of the page.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, str(page), "exec", dont_inherit=True)
    with namespace["app"].test_request_context() if is_inside_of_a_view(block) else contextlib.nullcontext():
        exec(code, namespace)


def is_inside_of_a_view(block: Block) -> bool:
    """Whether it uses the session, and not in functions alone."""
    definitions = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    statements = [it for it in ast.parse(block.text).body if not isinstance(it, definitions)]
    names = {node.id for it in statements for node in ast.walk(it) if isinstance(node, ast.Name)}
    return "session" in names


def test_the_collector_for_prometheus_works_with_an_app_factory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page registers it, too.
    registry = CollectorRegistry(auto_describe=True)
    monkeypatch.setattr("prometheus_client.REGISTRY", registry)
    (block,) = [it for it in blocks_of(DOCS / "server_side.md") if "class SessionCollector" in it.text]
    sessions = ServerSession()
    sessions.init_app(flask.Flask("app", instance_path=str(tmp_path)))
    exec(block.text, {"__name__": "page", "sessions": sessions})
    assert registry.get_sample_value("sessions_created_total", {"worker": str(os.getpid())}) == 0


@every_page
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    """Directives are Sphinx's."""
    languages = {"python", "console", "text"}
    blocks = list(blocks_of(page))
    assert [it for it in blocks if not (it.language in languages or it.language[:1] == "{" or it.is_marked)] == []
    unmarked = [it.language for it in blocks if not it.is_marked]
    assert "text" not in unmarked[:1]
    assert {before for before, after in itertools.pairwise(unmarked) if after == "text"} <= {"python"}
    # No fence of another form is overlooked.
    assert len(re.findall(r"^ *(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)) == 2 * len(blocks)


# --- Commands -------------------------------------------------------------------------------------------------------

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def is_of_make(*arguments: str) -> bool:
    """Targets, and variables that the Makefile knows."""
    words = [argument.partition("=") for argument in arguments]
    patterns = [rf"^{re.escape(name)}{' ?[?]=' if equals else ':'}" for name, equals, _value in words]
    return all(re.search(pattern, MAKEFILE, re.MULTILINE) for pattern in patterns)


def is_of_pip(command: str, *requirements: str) -> bool:
    """This package, from the index or a clone, with extras that it has."""
    found = [re.fullmatch(r"(?:flask-fastsession|\.)(?:\[(\w+)\])?", requirement) for requirement in requirements]
    extras = [match and (match[1] is None or f"optional-dependencies.{match[1]} " in PYPROJECT) for match in found]
    return command == "install" and all(extras)


def is_of_gunicorn(option: str, config: str) -> bool:
    """The config of an example, which test_examples.py starts."""
    return option == "--config" and (ROOT / config).is_file()


def is_of_flask(*arguments: str) -> bool:
    """A command of Flask's, or of this package, with arguments and options that it has."""
    group = FlaskGroup(load_dotenv=False)
    # pyproject.toml does so where the package is installed.
    group.add_command(cli.session)
    return is_of(group, *(arguments[2:] if arguments[0] == "--app" else arguments))


def is_of_python(option: str, module: str, *arguments: str) -> bool:
    return (option, module) == ("-m", "flask_fastsession") and is_of(cli.session, *arguments)


def is_of(command: Command, *arguments: str) -> bool:
    """Whether a command of click's takes these; what it does not is its `UsageError`."""
    if isinstance(command, Group):
        if arguments[0].startswith("-"):
            return any(arguments[0] in parameter.opts for parameter in command.get_params(Context(command)))
        found = command.get_command(Context(command), arguments[0])
        return found is not None and is_of(found, *arguments[1:])
    command.make_context(command.name, list(arguments))
    return True


def is_of_cat(name: str) -> bool:
    return name.endswith(".txt")


COMMANDS: dict[str, t.Callable[..., bool]] = {
    "cat": is_of_cat,
    "flask": is_of_flask,
    "gunicorn": is_of_gunicorn,
    "make": is_of_make,
    "pip": is_of_pip,
    "python": is_of_python,
}

#: Settings before a command, for the environment it runs in.
ENVIRONMENT = re.compile(r"(?:[A-Z_]+=\S+ )*")


@every_page
def test_commands_exist(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "console" and not block.is_marked:
            lines = re.findall(r"^\$ (.+)$", block.text, re.MULTILINE)
            assert lines, f"{page}:{block.line} shows no command"
            for command in itertools.chain.from_iterable(map(commands_in, lines)):
                assert is_known(command), f"{page}:{block.line}: {' '.join(command)}"


@every_page
def test_commands_in_the_text_exist(page: Path) -> None:
    for line in re.findall(r"`((?:make|pip|flask session) [^`]+)`", prose_of(page)):
        assert all(map(is_known, commands_in(line))), f"{page}: {line}"


def commands_in(line: str) -> Iterator[list[str]]:
    """The commands that a line pipes into each other."""
    words = shlex.split(ENVIRONMENT.sub("", line, count=1), comments=True)
    for is_pipe, command in itertools.groupby(words, "|".__eq__):
        if not is_pipe:
            yield list(command)


def is_known(command: list[str]) -> bool:
    name, *arguments = command
    return name in COMMANDS and COMMANDS[name](*arguments)


# --- Links ----------------------------------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)\s]+)\)")
INCLUDED = re.compile(r"^```\{(?:literal)?include\} (\S+)$", re.MULTILINE)


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in [*LINK.findall(prose_of(page)), *INCLUDED.findall(page.read_text(encoding="utf-8"))]:
        if re.match(r"\w+:", target):
            assert target.startswith("https://"), target
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT) and file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors_of(file), f"{page} links to {target}"


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page can be linked by, those that it includes among them."""
    included = [page.parent / path for path in INCLUDED.findall(page.read_text(encoding="utf-8"))]
    headings = [it for file in (page, *included) for it in re.findall(r"^#+ (.+)$", prose_of(file), re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_are_drawn_for_light_and_dark() -> None:
    pictures = list(DOCS.glob("*.svg"))
    assert DOCS / "path.svg" in pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        # The theme of the system, and that of the page, which conf.py puts it into.
        assert "prefers-color-scheme: dark" in text
        assert '[data-theme="light"]' in text and '[data-theme="dark"]' in text
        assert 'class="chart' in text and 'role="img"' in text
        # Its style applies to that whole page.
        (style,) = re.findall(r"<style>(.*)</style>", text, re.DOTALL)
        selectors = [it for rule in re.findall(r"([^{};]+)\{", style) for it in rule.split(",")]
        assert [it for it in selectors if not re.search(r"@media|\.chart|\.path", it)] == []


# --- What is listed is complete -------------------------------------------------------------------------------------


def names_in_tables(page: str, heading: str) -> list[str]:
    text = PAGES[page].read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_all_options_are_listed() -> None:
    parameters = inspect.signature(FastSessionInterface.__init__).parameters.values()
    options = [it.name for it in parameters if it.kind is inspect.Parameter.KEYWORD_ONLY]
    assert names_in_tables("docs/configuration.md", "Beyond Flask") == options


def test_all_settings_of_flask_are_listed() -> None:
    settings = {name for name in flask.Flask.default_config if re.match("SECRET_|SESSION_|PERMANENT_|MAX_COOKIE", name)}
    assert set(names_in_tables("docs/configuration.md", "Flask's settings")) == settings


MODULES = [flask_fastsession, flask_fastsession.signing, flask_fastsession.server, flask_fastsession.testing]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_public_names_are_in_the_api(module: t.Any) -> None:
    text = PAGES["docs/api.md"].read_text(encoding="utf-8")
    documented = re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)", text, re.MULTILINE)
    values = [pkgutil.resolve_name(name) for name in documented]
    assert [name for name in module.__all__ if getattr(module, name) not in values] == []


def test_signatures_in_the_api_are_right() -> None:
    """Those that are written out, because their annotations are overloads of several pages."""
    text = PAGES["docs/api.md"].read_text(encoding="utf-8")
    written = re.findall(r"^\.\. autoclass:: ([\w.]+)\((.+)\)$", text, re.MULTILINE)
    assert len(written) >= len(flask_fastsession.signing.__all__)
    for name, arguments in written:
        expected = inspect.signature(pkgutil.resolve_name(name).__init__).parameters.values()
        found = inspect.signature(eval(f"lambda self, {arguments}: None")).parameters.values()
        assert [(it.name, it.default) for it in found] == [(it.name, it.default) for it in expected], name


INVENTORIES = sorted((DOCS / "inventories").glob("*.txt"))


@pytest.mark.parametrize("inventory", INVENTORIES, ids=[it.stem for it in INVENTORIES])
def test_what_is_said_to_be_documented_elsewhere_exists(inventory: Path) -> None:
    lines = inventory.read_text(encoding="utf-8").splitlines()[4:]
    assert lines == sorted(lines)
    for name in (line.split()[0] for line in lines):
        in_module = "." in name or name in sys.stdlib_module_names
        pkgutil.resolve_name(name if in_module else f"builtins:{name}")
