"""``flask session``, and ``python -m flask_fastsession``."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tracemalloc
import typing as t
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import click
import flask
import flask_login
import itsdangerous
import pytest
import redis
import wrapt
from click.testing import CliRunner
from click.testing import Result
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from hypothesis import example
from hypothesis import given
from hypothesis import reject
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.datastructures import Headers
from werkzeug.sansio.http import parse_cookie
from werkzeug.test import create_environ

import flask_fastsession
from examples.every_name import MemoryRevocations
from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import ServerSession
from flask_fastsession import SessionStoreError
from flask_fastsession import cli
from flask_fastsession.cli import cookies
from flask_fastsession.cli import timing
from flask_fastsession.cli import trial
from flask_fastsession.cli.bench import costs_as_json
from flask_fastsession.cli.config_checks import Patience
from flask_fastsession.cli.config_checks import patience_of
from flask_fastsession.cli.counterparts import counterparts_of
from flask_fastsession.cli.counterparts import is_stock
from flask_fastsession.cli.errors import described
from flask_fastsession.cli.errors import own_text
from flask_fastsession.cli.inspect import shortened
from flask_fastsession.cli.text import counted
from flask_fastsession.cli.text import in_time
from flask_fastsession.cli.timing import Ratio
from flask_fastsession.cli.timing import Timing
from flask_fastsession.cli.timing import ratio
from flask_fastsession.server import Store
from tests.contract.parity import Outcome
from tests.contract.parity import exactly
from tests.contract.parity import outcome_of
from tests.faults.support import scaled
from tests.patience import HANGS_AFTER
from tests.server.test_kit import OwnerMemoryStore

#: As attributes of the package they are the commands, once they are loaded.
bench_module = importlib.import_module("flask_fastsession.cli.bench")

ROOT = Path(__file__).parents[2]
PACKAGES = Path(flask_fastsession.__file__).parents[1]

KEY = "the key of today, which is long enough"
FALLBACKS: list[t.Any] = ["the key of yesterday, long enough as well", b"the key of the day before \xff\x00, in bytes"]
STRANGER = "a key that the app does not know of at all"
LIFETIME = 3600
SAFE: dict[str, t.Any] = {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_SAMESITE": "Lax"}


def make_app(interface: flask.sessions.SessionInterface | None = None, **config: t.Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    app.config.update(SECRET_KEY=KEY, PERMANENT_SESSION_LIFETIME=LIFETIME)
    app.config.update(config)
    app.session_interface = interface or FastSessionInterface()
    app.cli.add_command(cli.session)
    return app


def run(app: flask.Flask, *arguments: str, stdin: str | bytes | None = None, **options: t.Any) -> Result:
    """As ``flask --app ... session ...`` does it."""
    result = app.test_cli_runner().invoke(args=["session", *arguments], input=stdin, **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run_json(app: flask.Flask, *arguments: str, **options: t.Any) -> dict[str, t.Any]:
    result = run(app, *arguments, "--json", **options)
    return t.cast("dict[str, t.Any]", json.loads(result.stdout))


def run_alone(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """As ``python -m flask_fastsession`` does it."""
    result = CliRunner().invoke(cli.main, arguments, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def token_of(
    data: object, key: str | bytes = KEY, digest: t.Any = hashlib.sha1, signed_at: int | None = None, **options: t.Any
) -> str:
    """A cookie of itsdangerous's own, as if made at some other time."""

    class Signer(itsdangerous.TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) if signed_at is None else signed_at

    return itsdangerous.URLSafeTimedSerializer(
        key,
        salt=options.pop("salt", "cookie-session"),
        serializer=TaggedJSONSerializer(),
        signer=Signer,
        signer_kwargs={"key_derivation": "hmac", "digest_method": digest},
    ).dumps(data)


def forged(payload: bytes, is_compressed: bool = False) -> str:
    encoded = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    return f"{'.' if is_compressed else ''}{encoded}.aaaaaa.{'A' * 27}"


# --- How it is called -----------------------------------------------------------------------------------------------

APP = f"""
from flask import Flask
from flask_fastsession import FastSessionInterface
from flask_fastsession.cli import session

app = Flask(__name__)
app.secret_key = {KEY!r}
app.session_interface = FastSessionInterface()
app.cli.add_command(session)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def process(directory: Path, *command: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLASK_", "COLUMNS"))}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env=inherited | {"PYTHONPATH": os.pathsep.join([str(PACKAGES), *sys.path])} | environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
    )


def on_a_terminal(
    directory: Path, stream: str, *command: str, **environ: str
) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """Run a command with one of its streams on a terminal, and return what that shows."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: theirs}
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "flask_fastsession", "--app", "shop", *command],
        cwd=directory,
        env=inherited | {"PYTHONPATH": os.pathsep.join([str(PACKAGES), *sys.path])} | environ,
        stdin=subprocess.DEVNULL,
        timeout=HANGS_AFTER,
        **streams,
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    return done, shown


def test_it_is_a_command_of_flask(directory: Path) -> None:
    signed = process(directory, "flask", "--app", "shop", "session", "sign", '{"user": "ada"}')
    assert (signed.returncode, signed.stderr) == (0, "")
    (token,) = signed.stdout.splitlines()
    seen = process(directory, "flask", "--app", "shop", "session", "inspect", "-", stdin=f"Cookie: session={token}\n")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "'ada'" in seen.stdout
    assert "yes, by SECRET_KEY with sha1" in seen.stdout
    assert "\x1b" not in seen.stdout


def test_it_is_a_module_to_run(directory: Path) -> None:
    signed = process(directory, "flask_fastsession", "sign", "-", stdin='{"user": "ada"}', FLASK_APP="shop")
    assert (signed.returncode, signed.stderr) == (0, "")
    seen = process(directory, "flask_fastsession", "--app", "shop:app", "inspect", signed.stdout.strip(), "--json")
    assert json.loads(seen.stdout)["app"]["accepted"] is True
    assert process(directory, "flask_fastsession", "--app", "shop", "doctor").returncode == 1
    timed = process(directory, "flask_fastsession", "--app", "shop", "bench", "--rounds", "5")
    assert (timed.returncode, timed.stderr) == (0, "")


def test_the_module_needs_no_app_to_inspect(directory: Path) -> None:
    (directory / "app.py").write_text("raise SystemExit('loaded')")
    seen = process(directory, "flask_fastsession", "inspect", token_of({"user": "ada"}))
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "'ada'" in seen.stdout
    assert "no key was tried" in seen.stdout


def test_flask_finds_an_app_by_itself(directory: Path) -> None:
    (directory / "shop.py").rename(directory / "app.py")
    seen = process(directory, "flask", "session", "inspect", token_of({}), "--json")
    assert json.loads(seen.stdout)["app"]["accepted"] is True
    without = process(directory, "flask", "session", "inspect", token_of({}), "--json", "--no-app")
    assert json.loads(without.stdout)["app"] is None


def test_an_app_that_flask_found_and_cannot_load(directory: Path) -> None:
    token = token_of({"user": "ada"})
    for source, name in (
        ("raise LookupError('boom')", "LookupError"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise SystemExit('boom')", "SystemExit"),
        ("x = 1", "Failed to find Flask application"),
    ):
        (directory / "app.py").write_text(source)
        seen = process(directory, "flask", "session", "inspect", token)
        assert seen.returncode == 0
        assert "'ada'" in seen.stdout
        assert re.fullmatch(r"Warning: no key was tried, .+\n", seen.stderr)
        assert name in seen.stderr
        assert "boom" not in seen.stderr
    (directory / "app.py").unlink()
    seen = process(directory, "flask", "session", "inspect", token)
    assert (seen.returncode, seen.stderr) == (0, "")


def test_what_the_app_prints_while_it_is_loaded_is_not_what_the_command_prints(directory: Path) -> None:
    shop = directory / "shop.py"
    shop.write_text("print('Loading the shop')\n" + shop.read_text())
    signed = process(directory, "flask", "--app", "shop", "session", "sign", "{}")
    assert signed.stderr == "Loading the shop\n"
    seen = process(directory, "flask", "--app", "shop", "session", "inspect", signed.stdout.strip(), "--json")
    assert json.loads(seen.stdout)["app"]["accepted"] is True


def test_the_app_may_have_a_group_of_this_name(directory: Path) -> None:
    shop = directory / "shop.py"
    shop.write_text(
        shop.read_text().replace("app.cli.add_command(session)", "")
        + """
import click
import flask

@app.cli.group("session")
@click.pass_context
def own(context):
    context.obj = "purged by"

@own.command()
@click.argument("name")
@click.pass_obj
def purge(words, name):
    "Remove old sessions."
    print(words, flask.current_app.name, name)

@own.command()
def sign():
    print("not this one")
"""
    )
    ours = (
        "from flask_fastsession.cli import session\nfrom flask.cli import FlaskGroup\nFlaskGroup(commands=[session])()"
    )
    (directory / "as_flask.py").write_text(ours)
    purged = process(directory, "as_flask", "--app", "shop", "session", "purge", "ada")
    assert (purged.returncode, purged.stdout, purged.stderr) == (0, "purged by shop ada\n", "")
    listed = process(directory, "as_flask", "--app", "shop", "session", "--help").stdout
    assert re.search(r"^  inspect +Take a session cookie apart\.$", listed, re.MULTILINE)
    assert re.search(r"^  purge +Remove old sessions\.$", listed, re.MULTILINE)
    signed = process(directory, "as_flask", "--app", "shop", "session", "sign", "{}")
    assert signed.stdout.startswith("e30.")
    for arguments in (["purge", "--nonsense"], ["nonsense"], ["--nonsense"]):
        done = process(directory, "as_flask", "--app", "shop", "session", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "nonsense" in done.stderr


def test_a_command_that_nobody_has(directory: Path) -> None:
    for arguments in (["flask", "--app", "shop", "session"], ["flask_fastsession", "--app", "shop"]):
        done = process(directory, *arguments, "nonsense")
        assert done.returncode == 2
        assert done.stderr.endswith("Error: No such command 'nonsense'.\n")
    done = process(directory, "flask", "--app", "nowhere", "session", "nonsense")
    assert done.stderr.count("Could not import 'nowhere'") == 1
    assert done.stderr.endswith("Error: No such command 'nonsense'.\n")
    listed = process(directory, "flask", "--app", "nowhere", "session", "--help")
    assert "inspect" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["insepct"], "Did you mean 'inspect'?"),
        (["revoke-usr", "ada"], "Did you mean 'revoke-user' or 'revoke'?"),
        (["inspect", "--jsno"], "Did you mean '--json'?"),
        (["bench", "--jsno"], "Did you mean '--json'?"),
        (["sign", "--taged", "{}"], "Did you mean '--tagged'?"),
        (["doctor", "--jsno"], "Did you mean '--json'?"),
    ],
)
def test_did_you_mean(arguments: list[str], suggestion: str) -> None:
    for result in (run(make_app(), *arguments), run_alone(*arguments)):
        assert (result.exit_code, result.stdout) == (2, "")
        assert suggestion in result.stderr


def test_versions() -> None:
    for result in (run(make_app(), "--version"), run_alone("--version")):
        assert (result.exit_code, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert lines[0] == f"flask-fastsession {flask_fastsession.__version__}"
        assert {line.split()[0] for line in lines[1:]} == {"Python", "Flask", "Werkzeug", "itsdangerous"}


def test_all_commands_are_in_one_group(server_app: flask.Flask) -> None:
    """`flask --help` lists no command of ours beside the group; the name of Flask-Session's command works."""
    listed = server_app.test_cli_runner().invoke(args=["--help"]).stdout
    assert re.search(r"^  session +", listed, re.MULTILINE)
    assert "session_cleanup" not in listed
    assert server_app.test_cli_runner().invoke(args=["session_cleanup"]).stdout.endswith("expired sessions removed.\n")


def test_it_prints_on_any_terminal(directory: Path) -> None:
    token = token_of({"name": "\u00e9\u2713\U0001f512", "\u2713": "\ud800"})
    seen = process(directory, "flask_fastsession", "inspect", token, PYTHONIOENCODING="ascii")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert r"'\xe9\u2713\U0001f512'" in seen.stdout
    timed = process(directory, "flask_fastsession", "--app", "shop", "bench", "--rounds", "5", PYTHONIOENCODING="ascii")
    assert (timed.returncode, timed.stderr) == (0, "")


@pytest.mark.parametrize("command", ["inspect", "sign", "doctor", "bench"])
def test_help(command: str) -> None:
    assert run_alone("--help").exit_code == 0
    assert f"  {command} " in run_alone("--help").stdout
    assert run_alone(command, "--help").stdout.startswith("Usage: ")
    assert run(make_app(), command, "--help").exit_code == 0


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_the_group_is_that_of_its_commands(command: str) -> None:
    loaded = cli.session.get_command(click.Context(cli.session), command)
    assert loaded is not None
    _, text = cli.COMMANDS[command]
    assert loaded.name == command
    assert loaded.get_short_help_str(limit=120).startswith(text.removesuffix("."))


def test_other_commands_of_flask_do_not_wait_for_it(directory: Path) -> None:
    """`flask routes` imports the group; what the commands need is loaded with them."""
    (directory / "load.py").write_text(
        "import sys, flask.cli, flask_fastsession\n"
        "before = set(sys.modules)\n"
        "import flask_fastsession.cli\n"
        "print(*sorted(set(sys.modules) - before))\n"
        "print(*sorted(set(sys.modules) & {'flask_fastsession.cli.cookies', 'statistics', 'flask_fastsession.server'}))"
    )
    done = process(directory, "load")
    assert (done.stdout, done.stderr) == ("flask_fastsession.cli\n\n", "")


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
    ids=["a terminal", "an empty NO_COLOR", "NO_COLOR", "a dumb terminal"],
)
def test_colours_are_for_terminals_that_want_them(directory: Path, environ: dict[str, str], is_coloured: bool) -> None:
    for command in (["inspect", token_of({})], ["doctor"]):
        done, shown = on_a_terminal(directory, "stdout", *command, **environ)
        assert b"\x1b[" not in done.stderr
        assert (b"\x1b[" in shown) is is_coloured
        assert shown


YELLOW, CYAN = b"\x1b[33m", b"\x1b[36m"


def test_warnings_are_yellow_and_notes_are_cyan(directory: Path) -> None:
    _, shown = on_a_terminal(directory, "stdout", "doctor", TERM="xterm")
    assert YELLOW + b"not-secure" in shown
    assert CYAN + b"sha1" in shown
    _, shown = on_a_terminal(directory, "stderr", "sign", LARGE, TERM="xterm")
    assert shown.startswith(YELLOW + b"Warning: ")
    _, shown = on_a_terminal(directory, "stderr", "sign", LARGE, TERM="xterm", NO_COLOR="1")
    assert shown.startswith(b"Warning: ")


def test_colours_are_for_terminals_alone() -> None:
    app, token = make_app(), token_of({})
    assert "\x1b[" not in run(app, "inspect", token).stdout
    assert "\x1b[" not in run(app, "inspect", token, "--json", color=True).stdout


# --- Bad input ------------------------------------------------------------------------------------------------------

BAD_INPUT: dict[str, tuple[list[str], str | bytes]] = {
    "no cookie": (["inspect"], ""),
    "blank": (["inspect", " "], ""),
    "text": (["inspect", "nonsense"], ""),
    "an id that is too short": (["inspect", "session=abc"], ""),
    "two parts": (["inspect", "eyJhIjoxfQ.aaaaaa"], ""),
    "bytes": (["inspect", "-"], b"\xff\xfe\x00"),
    "a surrogate": (["inspect", "\udc80.a.b"], ""),
    "a deleted cookie": (["inspect", "Set-Cookie: session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
    "headers without a cookie": (["inspect", "-"], "HTTP/1.1 200 OK\nContent-Type: text/html\n"),
    "another cookie": (["inspect", "Cookie: theme=dark"], ""),
    "a megabyte": (["inspect", "-"], "a" * (1 << 20) + "bc"),
    "no JSON": (["sign"], ""),
    "half of JSON": (["sign", '{"user":'], ""),
    "deep JSON": (["sign", "-"], "[" * 100_000),
    "a list": (["sign", "[1]"], ""),
    "a number": (["sign", "-"], "1"),
    "a bad tag": (["sign", "--tagged", '{"u": {" u": "x"}}'], ""),
    "a tagged value": (["sign", "--tagged", '{" t": [1]}'], ""),
    "nothing to measure": (["bench", "{}"], ""),
    "text to measure": (["bench", "x"], ""),
    "a cookie to examine": (["doctor", "nonsense"], ""),
    "no cookie of this name": (["inspect", "--name", "sid", f"session={token_of({})}"], ""),
    "none of this name in headers": (["inspect", "--name", "sid", f"Cookie: session={token_of({})}"], ""),
    "half of a quotation": (["inspect", f'"{token_of({})}'], ""),
    "a session that is not UTF-8": (["sign", "-"], b'{"user": "\xe4"}'),
    "an argument that is not UTF-8": (["sign", '{"user": "\udce4"}'], ""),
    "a session to measure that is not UTF-8": (["bench", "-"], b'{"user": "\xe4"}'),
    "a megabyte to sign": (["sign", "-"], b'{"a":"' + b"a" * (1 << 20) + b'"}'),
    "a megabyte to measure": (["bench"], b'{"a":"' + b"a" * (1 << 20) + b'"}'),
    "nothing in standard input to measure": (["bench", "-"], ""),
}


@pytest.mark.parametrize(("arguments", "stdin"), BAD_INPUT.values(), ids=list(BAD_INPUT))
def test_bad_input_is_one_line(arguments: list[str], stdin: str | bytes) -> None:
    result = run(make_app(), *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"Error: .+\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [given for given in BAD_INPUT.values() if given[0][0] != "sign"],
    ids=[name for name, given in BAD_INPUT.items() if given[0][0] != "sign"],
)
def test_bad_input_is_json_with_json(arguments: list[str], stdin: str | bytes) -> None:
    text = run(make_app(), *arguments, stdin=stdin).stderr
    result = run(make_app(), *arguments, "--json", stdin=stdin)
    assert (result.exit_code, result.stderr) == (2, "")
    assert f"Error: {json.loads(result.stdout)['error']}\n" == text


def test_errors_of_options_and_of_the_app_are_json_with_json(directory: Path) -> None:
    result = run(make_app(), "bench", "--rounds", "1", "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert "--rounds" in json.loads(result.stdout)["error"]
    (directory / "broken.py").write_text("raise RuntimeError('boom')")
    done = process(directory, "flask_fastsession", "--app", "broken", "doctor", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    assert "RuntimeError" in json.loads(done.stdout)["error"]
    unforeseen = make_app()
    unforeseen.request_class = None  # type: ignore[assignment]
    assert "TypeError" in json.loads(run(unforeseen, "doctor", "--json").stdout)["error"]


def test_a_terminal_is_asked_for_the_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    for name, text, shown in (("inspect", token_of({"user": "ada"}), "'ada'"), ("sign", "{}", "e30.")):
        command = cli.main.get_command(click.Context(cli.main), name)
        assert command is not None
        with make_app().app_context(), click.Context(command, obj=flask.cli.ScriptInfo()) as context:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Terminal(text.encode())))
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                context.invoke(command)
        assert shown in out.getvalue()
        assert err.getvalue().startswith("Paste the ")


UNUSABLE_APPS: dict[str, Callable[[], flask.Flask]] = {
    "no key": lambda: make_app(SECRET_KEY=None),
    "a key of another type": lambda: make_app(SECRET_KEY=[7]),
    "a fallback that is no list": lambda: make_app(SECRET_KEY_FALLBACKS=7),
    "an unknown derivation": lambda: make_app(with_attributes(key_derivation="other")),
    "no cookies": lambda: make_app(flask.sessions.SessionInterface()),
}


def with_attributes(**attributes: t.Any) -> FastSessionInterface:
    interface = FastSessionInterface()
    vars(interface).update(attributes)
    return interface


@pytest.mark.parametrize("make", UNUSABLE_APPS.values(), ids=list(UNUSABLE_APPS))
@pytest.mark.parametrize("command", ["sign", "bench"])
def test_an_app_that_cannot_sign_is_one_line(make: Callable[[], flask.Flask], command: str) -> None:
    result = run(make(), command, '{"user": "ada"}')
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"Error: .+\n", result.stderr)


# What an interface of the app's own stores in cookies, it alone can read.
@pytest.mark.parametrize("name", [name for name in UNUSABLE_APPS if name != "no cookies"])
def test_such_an_app_does_not_keep_a_cookie_from_being_read(name: str) -> None:
    make = UNUSABLE_APPS[name]
    result = run(make(), "inspect", token_of({"user": "ada"}))
    assert result.exit_code == 0
    assert "'ada'" in result.stdout
    assert run_json(make(), "inspect", token_of({"user": "ada"}))["app"]["accepted"] is False


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('boom')", "RuntimeError"),
        ("x = 1", "Failed to find Flask application"),
        ("def create_app(needed): pass", "without arguments"),
        ("syntax error", "SyntaxError"),
        ("import sys; sys.exit('boom')", "SystemExit"),
        ("import click; raise click.ClickException('boom')", "ClickException"),
        ("import click; raise click.UsageError('boom')", "UsageError"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_one_line(directory: Path, source: str, text: str) -> None:
    (directory / "broken.py").write_text(source)
    result = process(directory, "flask_fastsession", "--app", "broken", "doctor")
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"Error: .+\n", result.stderr)
    assert text in result.stderr


BEGIN = "from flask import Flask\nfrom flask_fastsession import *\napp = Flask('shop')\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("FastSessionInterface(leeway=-1)", "ValueError: leeway must be a number of whole seconds, 0 or more, not -1"),
        (
            "FastSessionInterface(leway=1)",
            "TypeError: FastSessionInterface() got an unexpected keyword argument 'leway'; did you mean leeway?",
        ),
        (
            "app.config['SESSION_TYPE'] = 'redis'; ServerSession(app)",
            "ValueError: SESSION_REDIS is not configured: set it to a client of redis, such as redis.Redis(host=...),"
            ' or a URL such as "redis://localhost"',
        ),
        (
            "FastSessionInterface(revocations='redis://:hunter2@localhost/0')",
            "ValueError: revocations must be a flask_fastsession.Revocations, such as Revocations(path), not 'redis://...'",
        ),
        (
            "app.config['SESSION_TYPE'] = 'redis://localhost?password=hunter2'; ServerSession(app)",
            "ValueError: SESSION_TYPE must be one of 'sqlite', 'redis', 'memcached', 'sqlalchemy', or a store object,"
            " not 'redis://...'",
        ),
        ("raise ValueError('hunter2')", 'ValueError; run "flask --app broken routes" to see the traceback'),
        ("FastSessionInterface(lambda: 0)", 'TypeError; run "flask --app broken routes" to see the traceback'),
    ],
)
def test_what_this_package_says_of_the_config_is_shown(directory: Path, source: str, text: str) -> None:
    (directory / "broken.py").write_text(BEGIN + source)
    result = process(directory, "flask_fastsession", "--app", "broken", "doctor")
    assert (result.returncode, result.stderr) == (2, f"Error: the app cannot be loaded: {text}\n")


def test_the_way_to_the_traceback_of_an_app_without_a_name(directory: Path) -> None:
    (directory / "app.py").write_text("raise RuntimeError('hunter2')")
    result = process(directory, "flask_fastsession", "sign", "{}")
    assert result.stderr == 'Error: the app cannot be loaded: RuntimeError; run "flask routes" to see the traceback\n'


@pytest.mark.parametrize(
    ("module", "statement", "text"),
    [
        ("flask_fastsession.config", "raise ValueError('wrong')", "wrong"),
        ("flask_fastsession.config", "raise TypeError('wrong')", "wrong"),
        ("flask_fastsession.config", "raise SessionStoreError('wrong\\nfile')", "wrong file"),
        ("flask_fastsession.config", "raise LookupError('wrong')", None),
        ("flask_fastsession.config", "raise SystemExit('wrong')", None),
        ("flask_fastsession.config", "int('wrong')", None),
        ("flask_fastsession.config", "'wrong\\udc80'.encode()", None),
        ("flask_fastsession_of_mine", "raise ValueError('wrong')", None),
    ],
)
def test_whose_texts_are_shown(module: str, statement: str, text: str | None) -> None:
    names = {"__name__": module, "SessionStoreError": SessionStoreError}
    with pytest.raises(BaseException, match=r"wrong|surrogates") as caught:
        exec(statement, names)
    assert own_text(caught.value) == text
    assert described(caught.value) == caught.typename + (f": {text}" if text else "")
    assert own_text(ValueError("never raised")) is None


@pytest.mark.parametrize("command", ["inspect", "doctor", "bench", "sign"])
def test_what_nobody_thought_of_is_one_line(command: str) -> None:
    class Request(flask.Request):
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            raise LookupError(KEY)

    app = make_app()
    app.request_class = Request
    result = run(app, command, token_of({}) if command == "inspect" else "{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"Error: LookupError in __init__, .+test_cli\.py:\d+\n", result.stderr)


def test_no_app_is_one_line(directory: Path) -> None:
    for arguments in (["doctor"], ["sign", "{}"], ["--app", "nowhere", "inspect", token_of({})]):
        result = process(directory, "flask_fastsession", *arguments)
        assert result.returncode == 2
        assert re.fullmatch(r"Error: .+\n", result.stderr)


# --- inspect: finding the cookie ------------------------------------------------------------------------------------


def pasted(token: str) -> list[str]:
    return [
        token,
        f"  {token}\r\n",
        f"session={token}",
        f"session={token}; theme=dark",
        f'theme=dark; session="{token}"',
        f"Cookie: theme=dark; session={token}; lang=en.x.y",
        f"cookie: lang=en.x.y; session={token}",
        f"Set-Cookie: session={token}; Secure; HttpOnly; Path=/; SameSite=Lax",
        f"HTTP/1.1 200 OK\r\nSet-Cookie: theme=dark\r\nSet-Cookie: session={token}; Path=/\r\n\r\n<html>\r\n</html>",
        f"> GET / HTTP/1.1\n> Cookie: session={token}\n>\n",
        f"\ufeff{token}\n",
        f"sid={token}",
        f'"{token}"',
        f"'session={token}'\n",
        f"Set-Cookie: session={token_of({}, STRANGER)}; Path=/\nSet-Cookie: session={token}; Path=/; session=a.b.c\n",
        f"> Cookie: session={token_of({}, STRANGER)}\n< Set-Cookie: session={token}\n",
        f"Cookie: session={token}\nCookie: session={token_of({}, STRANGER)}",
        f"Cookie: session={token}; session={token_of({}, STRANGER)}",
    ]


@pytest.mark.parametrize("number", range(18))
@pytest.mark.parametrize("data", [{"user": "ada"}, {"user": "ada " * 50}], ids=["plain", "compressed"])
def test_a_cookie_is_found_in_what_was_pasted(number: int, data: dict[str, str]) -> None:
    token = token_of(data)
    text = pasted(token)[number]
    assert json.loads(run_alone("inspect", "--json", stdin=text).stdout)["payload"] == data
    if not text.startswith("\ufeff"):
        assert cookies.find_cookie(text, "session") == token


@pytest.mark.parametrize(
    "value", ["-OYH65fZUyEAVpLWTYBcp2ioshtAP5BqezvI0v_ig5Q", "--json65fZUyEAVpLWTYBcp2i", "-h" * 20]
)
def test_an_id_may_begin_with_a_hyphen(value: str) -> None:
    for arguments in (["inspect", value], ["inspect", value, "--json"], ["inspect", "--json", f"{value}.{'-' * 27}"]):
        assert run_alone(*arguments).exit_code == 0
        assert run(make_app(), *arguments).exit_code == 0
    assert codes(make_app(**SAFE), value) == ["cookie-refused"]


@pytest.mark.parametrize("option", ["--jsn", "-h", "-" * 15, "--keep=name"])
def test_what_is_shorter_than_an_id_is_an_option(option: str) -> None:
    for command in ("inspect", "doctor", "revoke"):
        for arguments in ([command, option], [command, token_of({}), option], [command, option, token_of({})]):
            result = run(make_app(), *arguments)
            assert (result.exit_code, result.stdout) == (2, "")
            assert "Error: No such option" in result.stderr


def test_an_option_without_its_value_is_reported() -> None:
    value = "-OYH65fZUyEAVpLWTYBcp2ioshtAP5BqezvI0v_ig5Q"
    for cookie in (value, token_of({})):
        result = run(make_app(), "inspect", cookie, "--name")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "Error: Option '--name' requires an argument." in result.stderr


@pytest.mark.parametrize(
    "arguments", [["Cookie:", "session=abcdefghijklmnopqrstuvwxyz"], ["--a.bcdefghijklmnopqrstuvwxyz.c"]], ids=len
)
def test_errors_of_options_quote_no_cookie(arguments: list[str]) -> None:
    for command in ("inspect", "doctor"):
        for option in ([], ["--json"]):
            result = run(make_app(), command, *arguments, *option)
            assert result.exit_code == 2
            assert "cdef" not in result.stderr + (result.stdout if "--json" in option else "")


def test_after_two_hyphens_nothing_is_an_option() -> None:
    for value in ("--json", "-h"):
        result = run(make_app(), "inspect", "--", value)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Error: this is no session cookie")
    value = "-OYH65fZUyEAVpLWTYBcp2ioshtAP5BqezvI0v_ig5Q"
    assert json.loads(run_alone("inspect", "--json", "--", value).stdout)["kind"] == "id"


def test_a_cookie_is_found_among_headers_in_any_encoding() -> None:
    token = token_of({"user": "ada"})
    headers = f"HTTP/1.1 200 OK\r\nX-City: K\u00f6ln\r\nSet-Cookie: session={token}; Path=/\r\n".encode("latin-1")
    assert json.loads(run_alone("inspect", "--json", stdin=headers).stdout)["payload"] == {"user": "ada"}


def test_the_cookie_has_the_name_that_the_app_gives_it() -> None:
    app = make_app(SESSION_COOKIE_NAME="shop")
    text = f"session={token_of({'n': 1}, STRANGER)}; shop={token_of({'n': 2})}"
    assert run_json(app, "inspect", text)["payload"] == {"n": 2}
    assert run_json(app, "inspect", text, "--name", "session")["payload"] == {"n": 1}
    assert json.loads(run_alone("inspect", text, "--name", "shop", "--json").stdout)["payload"] == {"n": 2}


# --- inspect: without a key -----------------------------------------------------------------------------------------

VALUES: dict[str, t.Any] = {
    "text": "ada",
    "number": 1.5,
    "nothing": None,
    "tuple": (1, (2, 3)),
    "bytes": b"\x00\xff",
    "markup": Markup("<b>"),
    "list": [1, "two"],
    "tag": {" t": [1]},
}


def test_what_is_told_without_a_key(clock: t.Any) -> None:
    signed_at = clock.now - 7200
    token = token_of(VALUES, STRANGER, hashlib.sha256, signed_at)
    result = run_alone("inspect", token)
    for name, value in VALUES.items():
        assert re.search(rf"^  {name} +{type(value).__name__} +{re.escape(repr(value))}$", result.stdout, re.MULTILINE)
    assert "  Signed    2023-11-14 20:13:20 UTC, 2 hours ago\n" in result.stdout
    report = json.loads(run_alone("inspect", token, "--json").stdout)
    text = TaggedJSONSerializer().dumps(VALUES)
    assert report["payload"] == json.loads(text)
    assert report["text_bytes"] == len(text)
    assert report["types"] == {name: type(value).__name__ for name, value in VALUES.items()}
    assert report["bytes"] == len("session=") + len(token)
    assert report["compressed"] is token.startswith(".")
    assert report["timestamp"] == signed_at
    assert report["signed_at"] == "2023-11-14T20:13:20+00:00"
    assert report["age"] == 7200
    assert (report["digest"], report["signature_bytes"]) == ("sha256", 32)
    assert report["app"] is None


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_digests_by_the_length_of_the_signature(digest: str) -> None:
    token = token_of({}, STRANGER, getattr(hashlib, digest))
    assert cookies.take_apart(token).digest == digest


def test_timestamps_that_count_from_2011(clock: t.Any) -> None:
    """As itsdangerous 0.24 wrote them: ``int(time.time() - 1293840000)``."""
    then = 1_500_000_000
    token = token_of({"user": "ada"}, signed_at=then - 1_293_840_000)
    report = run_json(make_app(), "inspect", token)
    assert report["counts_from"] == 2011
    assert report["signed_at"] == "2017-07-14T02:40:00+00:00"
    assert report["age"] == clock.now - then
    assert report["app"]["verified"] is True
    assert "too old" in report["app"]["reason"]
    assert run_json(make_app(), "inspect", token_of({}))["counts_from"] == 1970
    output = run(make_app(), "inspect", token).stdout
    assert re.search(r"^  Signed +2017-07-14 02:40:00 UTC", output, re.MULTILINE)
    assert re.search(r"^ +by itsdangerous before 1\.1, .+ takes it for 1976-07-14$", output, re.MULTILINE)
    assert re.search(r"^  Expires +1976-07-14 03:40:00 UTC", output, re.MULTILINE)
    # There is such a lifetime.
    output = run(make_app(PERMANENT_SESSION_LIFETIME=10**10), "inspect", token).stdout
    assert re.search(r"^  Accepted +yes$", output, re.MULTILINE)


def test_the_first_second_of_2011_and_the_last_of_2010() -> None:
    for second, signed_at in (
        (1, "2011-01-01T00:00:01+00:00"),
        (1_293_839_999, "2051-12-31T23:59:59+00:00"),
        (1_293_840_000, "2011-01-01T00:00:00+00:00"),
    ):
        report = json.loads(run_alone("inspect", token_of({}, signed_at=second), "--json").stdout)
        assert report["signed_at"] == signed_at
        assert report["counts_from"] == (1970 if second == 1_293_840_000 else 2011)


@pytest.mark.parametrize("timestamp", ["", "AA", "AAAAAAAA"])
def test_a_timestamp_of_zero(timestamp: str) -> None:
    """Nothing at all is zero to itsdangerous, too."""
    signer = stock_serializer(parity_app()).make_signer()
    value = f"e30.{timestamp}".encode()
    token = (value + b"." + signer.get_signature(value)).decode()
    report = run_json(parity_app(), "inspect", token)
    assert (report["timestamp"], report["counts_from"]) == (0, 1970)
    assert report["signed_at"] == "1970-01-01T00:00:00+00:00"
    assert report["app"]["expires_at"] == "1970-01-01T01:00:00+00:00"
    check_against_stock(token)


def token_of_size(size: int) -> str:
    """A cookie of so many bytes with its name."""
    return f"{'A' * (size - len('session=.aaaaaa.') - 27)}.aaaaaa.{'A' * 27}"


def test_a_cookie_that_browsers_drop() -> None:
    for size, is_dropped in ((4093, False), (4094, True)):
        token = token_of_size(size)
        report = json.loads(run_alone("inspect", token, "--json").stdout)
        assert report["bytes"] == size
        assert ("browsers drop it" in report["problem"]) is is_dropped
        assert bool(re.search("Problem +browsers drop it", run_alone("inspect", token).stdout)) is is_dropped
        assert (codes(make_app(**SAFE), token) == ["cookie-refused", "too-large"]) is is_dropped


@pytest.mark.parametrize("is_known", [False, True])
def test_a_bomb_is_not_inflated(is_known: bool) -> None:
    bomb = forged(zlib.compress(b"[" + b" " * 60_000_000, 9), is_compressed=True)
    tracemalloc.start()
    try:
        result = run(make_app(), "inspect", "-", stdin=bomb) if is_known else run_alone("inspect", "-", stdin=bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.exit_code == 0
    assert "more than 1048576 bytes" in result.stdout
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (forged(b"{"), "not JSON"),
        (forged(b"\xff"), "not JSON"),
        (forged(b"[" * 100_000), "nested too deeply"),
        (forged(b"[" * 3000 + b"]" * 3000), "nested too deeply"),
        (forged(b'{"n":' + b"1" * 5000 + b"}"), "too many digits"),
        (forged(b'{"u":{" u":"x"}}'), "tagged values"),
        (forged(b"{}", is_compressed=True), "is not"),
        (forged(zlib.compress(b"{}" * 99)[:-9], is_compressed=True), "cut short"),
        ("a.aaaaaa.bbb", "not base64"),
    ],
    ids=[
        "half",
        "bytes",
        "half and deep",
        "deep",
        "long number",
        "bad tag",
        "not compressed",
        "cut short",
        "no base64",
    ],
)
def test_damaged_payloads(token: str, problem: str) -> None:
    for result in (run_alone("inspect", token), run(make_app(), "inspect", token)):
        assert result.exit_code == 0
        assert re.search(rf"Problem +.*{problem}", result.stdout)
    assert problem in run_json(make_app(), "inspect", token)["problem"]


@pytest.mark.parametrize("text", ['{"n": NaN}', '{"n": 1e999}', '{"s": "\\ud800"}', "[1]", '"ada"', "null", "{}"])
def test_odd_payloads_make_json_for_any_program(text: str) -> None:
    output = run_alone("inspect", forged(text.encode()), "--json").stdout
    json.loads(output, parse_constant=pytest.fail)
    assert run_alone("inspect", forged(text.encode())).exit_code == 0


def test_nothing_in_a_cookie_controls_the_terminal() -> None:
    token = forged(json.dumps({"\x1b[2J\x07": "\x1b[31m\r\n\x07", "\u202e": "\u202e"}).encode())
    output = run(make_app(), "inspect", token, color=True).stdout
    # But for colours of our own.
    assert not re.search(r"[^ -~\n]", re.sub(r"\x1b\[[0-9;]*m", "", output))
    assert "\x1b[31m\r" not in output


# --- inspect: with the app's keys -----------------------------------------------------------------------------------

KEYS: dict[str, str | bytes] = {
    "SECRET_KEY": KEY,
    "SECRET_KEY_FALLBACKS[0]": FALLBACKS[0],
    "SECRET_KEY_FALLBACKS[1]": FALLBACKS[1],
}


@pytest.mark.parametrize("interface", [SecureCookieSessionInterface, FastSessionInterface], ids=["stock", "ours"])
@pytest.mark.parametrize("name", KEYS)
def test_which_key_it_was(clock: t.Any, interface: type[SecureCookieSessionInterface], name: str) -> None:
    app = make_app(interface(), SECRET_KEY_FALLBACKS=FALLBACKS)
    token = token_of({"user": "ada"}, KEYS[name], signed_at=int(time.time()) - 60)
    verdict = run_json(app, "inspect", token)["app"]
    assert (verdict["verified"], verdict["key"], verdict["digest"]) == (True, name, "sha1")
    assert verdict["accepted"] is True
    assert verdict["expires_at"] == "2023-11-14T23:12:20+00:00"
    output = run(app, "inspect", token).stdout
    assert f"  Verified  yes, by {name} with sha1\n" in output
    assert "  Signed    2023-11-14 22:12:20 UTC, 60 seconds ago\n" in output
    assert "  Expires   2023-11-14 23:12:20 UTC, in 59 minutes\n" in output


@pytest.mark.parametrize(
    ("options", "data", "seconds"),
    [
        ({"absolute_lifetime": 1000}, {"_created": 1_700_000_000 - 400}, 600),
        ({"absolute_lifetime": 10_000}, {"_created": 1_700_000_000 - 400}, 3540),
        ({"absolute_lifetime": 1000}, {}, 3540),
        ({"lifetime": lambda session: 900}, {"user": "ada"}, 840),
        ({"lifetime": lambda session: 900, "leeway": 5}, {"user": "ada"}, 845),
        ({"lifetime": lambda session: None}, {"user": "ada"}, 3540),
        ({"lifetime": lambda session: 900, "absolute_lifetime": 500}, {"_created": 1_700_000_000 - 60}, 440),
    ],
)
def test_when_it_expires_is_by_the_shortest_life(
    clock: t.Any, options: dict[str, t.Any], data: dict[str, t.Any], seconds: int
) -> None:
    app = make_app(FastSessionInterface(**options))
    verdict = run_json(app, "inspect", token_of(data, signed_at=int(time.time()) - 60))["app"]
    assert datetime.fromisoformat(verdict["expires_at"]).timestamp() == 1_700_000_000 + seconds


def test_whether_it_is_accepted_may_be_the_exit_code(server_app: flask.Flask) -> None:
    good, old, strange = token_of({}), token_of({}, signed_at=1_400_000_000), token_of({}, STRANGER)
    for token, exit_code in ((good, 0), (old, 1), (strange, 1)):
        assert run(make_app(), "inspect", token).exit_code == 0
        result = run(make_app(), "inspect", token, "--check")
        assert result.exit_code == exit_code
        assert "Verified" in result.stdout
        assert run_alone("inspect", token, "--check").exit_code == 1
    assert run(server_app, "inspect", visit(server_app), "--check").exit_code == 0
    assert run(server_app, "inspect", "A" * 43, "--check").exit_code == 1


def test_which_digest_it_was() -> None:
    app = make_app(FastSessionInterface(digest_method=hashlib.sha512, accept_digest_methods=[hashlib.sha1]))
    for digest, accepted in ((hashlib.sha512, True), (hashlib.sha1, True), (hashlib.sha256, False)):
        verdict = run_json(app, "inspect", token_of({"user": "ada"}, digest=digest))["app"]
        assert verdict["accepted"] is verdict["verified"] is accepted
        assert verdict["digest"] == (digest().name if accepted else None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (-1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (172_799, "48 hours"),
        (-172_800, "2 days"),
        (31 * 86_400 - 1, "31 days"),
        (31 * 86_400 - 43_201, "30 days"),
    ],
)
def test_lengths_of_time(seconds: int, text: str) -> None:
    assert in_time(seconds) == text


def test_a_number_of_things() -> None:
    assert [counted(count, "session") for count in (0, 1, 2)] == ["0 sessions", "1 session", "2 sessions"]


@pytest.mark.parametrize(("age", "accepted"), [(LIFETIME, True), (LIFETIME + 1, False), (0, True), (-1, False)])
def test_the_first_and_the_last_second_of_a_cookie(clock: t.Any, age: int, accepted: bool) -> None:
    token = token_of({"user": "ada"}, signed_at=clock.now - age)
    assert run_json(make_app(), "inspect", token)["app"]["accepted"] is accepted
    assert check_against_stock(token).accepted is accepted


def test_what_is_too_long_for_a_line_is_shortened() -> None:
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "abcd ..."
    output = run_alone("inspect", token_of({"a" * 500: "b" * 500})).stdout
    assert max(map(len, output.splitlines())) <= 120
    assert output.splitlines()[-1].count(" ...") == 2


def test_leeway_and_absolute_lifetime_are_the_apps(clock: t.Any) -> None:
    now = clock.now
    token = token_of({"user": "ada"}, signed_at=now - LIFETIME - 30)
    assert run_json(make_app(), "inspect", token)["app"]["accepted"] is False
    assert run_json(make_app(FastSessionInterface(leeway=60)), "inspect", token)["app"]["accepted"] is True
    token = token_of({"user": "ada", "_created": now - 500})
    assert run_json(make_app(FastSessionInterface(absolute_lifetime=600)), "inspect", token)["app"]["accepted"] is True
    verdict = run_json(make_app(FastSessionInterface(absolute_lifetime=400)), "inspect", token)["app"]
    assert (verdict["verified"], verdict["accepted"]) == (True, False)
    assert "absolute lifetime" in verdict["reason"]


def test_tags_of_the_app_are_for_genuine_cookies_only() -> None:
    class PriceTag(flask.json.tag.JSONTag):
        key = " price"

        def check(self, value: t.Any) -> bool:
            return isinstance(value, Decimal)

        def to_json(self, value: t.Any) -> t.Any:
            return str(value)

        def to_python(self, value: t.Any) -> t.Any:
            return Decimal(value)

    interface = FastSessionInterface()
    interface.serializer = TaggedJSONSerializer()
    interface.serializer.register(PriceTag)
    app = make_app(interface)
    token = run(app, "sign", "--tagged", '{"price": {" price": "0.5"}}').stdout.strip()
    assert run_json(app, "inspect", token)["types"] == {"price": "Decimal"}
    payload, timestamp, _ = token.rsplit(".", 2)
    assert run_json(app, "inspect", f"{payload}.{timestamp}.AAAA")["types"] == {"price": "dict"}


@functools.cache
def parity_app() -> flask.Flask:
    return make_app(SECRET_KEY_FALLBACKS=FALLBACKS)


def stock_outcome(app: flask.Flask, token: str) -> Outcome:
    """What itsdangerous itself says, with the keys and the age that Flask gives it."""
    return outcome_of(stock_serializer(app).loads, token, max_age=LIFETIME)


def stock_serializer(app: flask.Flask) -> itsdangerous.URLSafeTimedSerializer:
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return serializer


def check_against_stock(token: str) -> cookies.Verdict:
    """Compare the verdict with those of itsdangerous and of Flask's own interface."""
    app = parity_app()
    with app.app_context():
        request = app.request_class(create_environ(headers={"Cookie": f"session={token}"}))
        before = stock_outcome(app, token)
        verdict = cookies.judge(app, cookies.take_apart(token))
        if type(stock_outcome(app, token).error) is not type(before.error):
            # It has come of age in this very moment.
            reject()
        opened = outcome_of(SecureCookieSessionInterface().open_session, app, request)
    value, _, signature = token.rpartition(".")
    assert (verdict.key is not None) is stock_serializer(app).make_signer().verify_signature(value, signature)
    assert verdict.accepted is (before.error is None and opened.error is None)
    assert (verdict.reason is None) is verdict.accepted
    if before.error is None:
        assert exactly(verdict.data) == exactly(before.value)
    return verdict


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(
    data=st.dictionaries(st.text(max_size=8), JSON, max_size=6),
    name=st.sampled_from([*KEYS, None]),
    digest=st.sampled_from([hashlib.sha1, hashlib.sha256]),
    age=st.sampled_from([0, 1, LIFETIME - 30, LIFETIME + 30, 10**6, -30]) | st.integers(-(10**6), 10**9),
)
@settings(max_examples=scaled(60, 1_000))
def test_signed_cookies_are_judged_as_itsdangerous_does(
    data: dict[str, t.Any], name: str | None, digest: t.Any, age: int
) -> None:
    token = token_of(data, STRANGER if name is None else KEYS[name], digest, int(time.time()) - age)
    verdict = check_against_stock(token)
    assert verdict.key == (name if digest is hashlib.sha1 else None)


@pytest.mark.parametrize("text", ["[]", "[1]", "null", "0", "{", '{" u":"x"}', "NaN", '{"n":NaN}', "[" * 2000])
@pytest.mark.parametrize("age", [5, LIFETIME + 30])
def test_genuine_cookies_with_odd_payloads(text: str, age: int) -> None:
    signer = stock_serializer(parity_app()).make_signer()
    value = base64.urlsafe_b64encode(text.encode()).rstrip(b"=") + b"."
    value += itsdangerous.encoding.base64_encode((int(time.time()) - age).to_bytes(4, "big"))
    token = (value + b"." + signer.get_signature(value)).decode()
    check_against_stock(token)
    assert run(parity_app(), "inspect", token).exit_code == 0


@given(
    token=st.from_regex(r"\A\.?[\w=-]{0,40}(\.[\w=-]{0,9}){1,3}\Z")
    | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
    | st.builds(
        lambda token, at, by: token[: at % len(token)] + by + token[at % len(token) + 1 :],
        st.sampled_from([token_of({"user": "ada"}), token_of({"t": "x" * 200}), token_of({"d": (1, b"x")})]),
        st.integers(0, 10**6),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=3),
    )
)
@example(token="..")
@example(token="...")
@example(token="e30.." + "A" * 27)
@example(token="e30." + "_" * 4000 + "." + "A" * 27)
@settings(max_examples=scaled(80, 1_000))
def test_whatever_is_given_as_a_cookie(token: str) -> None:
    """Either it is no cookie, in one line, or it is judged as itsdangerous judges it."""
    try:
        value = cookies.find_cookie(f"session={token}", "session")
    except cookies.NotACookie:
        pass
    else:
        if not cookies.is_id(value):
            check_against_stock(value)
    for result in (run_alone("inspect", "--", token), run(parity_app(), "inspect", f"session={token}", "--json")):
        assert result.exit_code in (0, 2)
        assert result.exit_code == 0 or re.fullmatch(r"Error: .+\n", result.stderr) or "error" in result.stdout


@given(text=st.text(max_size=200) | st.binary(max_size=200))
@settings(max_examples=scaled(80, 1_000))
def test_whatever_is_piped_in(text: str | bytes) -> None:
    stdin = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    for command in ("inspect", "sign"):
        result = run(parity_app(), command, "-", stdin=stdin)
        assert result.exit_code in (0, 2)


# --- inspect: sessions on the server --------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "signed"])
def server_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[flask.Flask]:
    app = make_app(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"), SESSION_USE_SIGNER=request.param)
    ServerSession(app)

    @app.get("/")
    def index() -> str:
        flask.session["user"] = "ada"
        flask.session["seen"] = (1, 2)
        return ""

    yield app
    app.session_interface.store.close()  # type: ignore[attr-defined]


def visit(app: flask.Flask) -> str:
    client = app.test_client()
    client.get("/")
    cookie = client.get_cookie("session")
    assert cookie is not None
    return cookie.value


def test_an_id_is_looked_up(server_app: flask.Flask) -> None:
    value = visit(server_app)
    report = run_json(server_app, "inspect", f"Cookie: session={value}")
    assert report["kind"] == "id"
    assert report["app"]["found"] is True
    assert report["app"]["payload"] == {"_permanent": True, "user": "ada", "seen": {" t": [1, 2]}}
    assert report["app"]["types"]["seen"] == "tuple"
    output = run(server_app, "inspect", value).stdout
    assert "the session is on the server" in output
    assert re.search(r"user +str +'ada'", output)


def test_when_a_record_expires(server_app: flask.Flask, clock: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store: t.Any = server_app.session_interface.store  # type: ignore[attr-defined]
    value = visit(server_app)
    asked = []

    def expires_in(key: str) -> int | None:
        asked.append(key)
        return left

    monkeypatch.setattr(store, "expires_in", expires_in, raising=False)
    for left, expires_at in ((90, "2023-11-14T22:14:50+00:00"), (None, None)):
        assert run_json(server_app, "inspect", value)["app"]["expires_at"] == expires_at
        assert ("Expires" in run(server_app, "inspect", value).stdout) is (left is not None)
    interface: t.Any = server_app.session_interface
    assert set(asked) == {interface.ids.key(value.partition(".")[0])}
    monkeypatch.setattr(store, "expires_in", None)
    assert run_json(server_app, "inspect", value)["app"]["found"] is True


def test_an_id_that_names_nothing(server_app: flask.Flask) -> None:
    value = visit(server_app)
    strange = value.swapcase()
    for app in (server_app, make_app()):
        report = run_json(app, "inspect", strange)
        assert report["app"]["found"] is False
        assert run(app, "inspect", strange).exit_code == 0
    assert "no store was asked" in run_alone("inspect", value).stdout
    assert json.loads(run_alone("inspect", value, "--json").stdout)["app"] is None


def test_a_session_on_the_server_that_is_at_its_end(tmp_path: Path, clock: t.Any) -> None:
    app = make_app(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"), SESSION_ABSOLUTE_LIFETIME=600)
    ServerSession(app)
    app.add_url_rule("/", view_func=lambda: str(flask.session.setdefault("user", "ada")))
    value = visit(app)
    report = run_json(app, "inspect", value)["app"]
    assert report["found"] is True
    assert report["begun_at"] == "2023-11-14T22:13:20+00:00"
    interface: t.Any = app.session_interface
    interface.options = dataclasses.replace(interface.options, absolute_lifetime=-1)
    assert "absolute lifetime" in run_json(app, "inspect", value)["app"]["reason"]
    assert app.test_client().get("/", headers={"Cookie": f"session={value}"}).headers["Set-Cookie"]


def test_a_cookie_that_such_an_app_did_not_set(server_app: flask.Flask) -> None:
    verdict = run_json(server_app, "inspect", token_of({"user": "ada"}))["app"]
    assert (verdict["verified"], verdict["accepted"]) == (False, False)


def test_a_store_that_fails(server_app: flask.Flask, tmp_path: Path) -> None:
    value = visit(server_app)
    server_app.session_interface.store.close()  # type: ignore[attr-defined]
    (tmp_path / "sessions.sqlite").write_bytes(b"no database " * 1000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"sessions.sqlite{suffix}").unlink(missing_ok=True)
    assert "the store failed" in run(server_app, "inspect", value).stdout
    result = run(server_app, "doctor")
    assert result.exit_code == 1
    assert "store-failed" in result.stdout


# --- sign -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interface", [SecureCookieSessionInterface, FastSessionInterface], ids=["stock", "ours"])
@pytest.mark.parametrize(
    "data", [{}, {"user": "ada"}, {" t": [1]}, {"x": {" u": "no uuid"}}, {"\u00e9": "\u2713" * 99}]
)
def test_a_signed_session_is_read_by_stock(
    interface: type[SecureCookieSessionInterface], data: dict[str, t.Any]
) -> None:
    app = make_app(interface(), SECRET_KEY_FALLBACKS=FALLBACKS)
    for arguments, stdin in (([json.dumps(data)], None), (["-"], json.dumps(data)), ([], json.dumps(data))):
        result = run(app, "sign", *arguments, stdin=stdin)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout.count("\n") == 1
        outcome = stock_outcome(app, result.stdout.strip())
        assert exactly(outcome.value) == exactly(data)
        assert run_json(app, "inspect", result.stdout)["app"]["key"] == "SECRET_KEY"


@pytest.mark.parametrize(("text", "problem"), [("[" * 3000 + "]" * 3000, "deeply|Recursion"), ("1" * 5000, "digits")])
def test_json_that_python_does_not_read(text: str, problem: str) -> None:
    result = run(make_app(), "sign", f'{{"a":{text}}}')
    assert result.exit_code == 2
    assert re.search(problem, result.stderr)
    assert "not JSON" not in result.stderr


@pytest.mark.parametrize("command", ["sign", "bench"])
def test_the_json_is_optional(command: str) -> None:
    assert f"{command} [OPTIONS] [JSON]\n" in run(make_app(), command, "--help").stdout


def test_tagged_json_is_what_inspect_prints() -> None:
    app = make_app()
    payload = run_json(app, "inspect", token_of(VALUES, STRANGER))["payload"]
    token = run(app, "sign", "--tagged", json.dumps(payload)).stdout.strip()
    assert exactly(stock_outcome(app, token)) == exactly(stock_outcome(app, token_of(dict(sorted(VALUES.items())))))


def test_a_digest_of_the_app_is_used() -> None:
    token = run(make_app(FastSessionInterface(digest_method=hashlib.sha384)), "sign", "{}").stdout.strip()
    assert cookies.take_apart(token).digest == "sha384"


LARGE = json.dumps({"text": "".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(60))})


@pytest.mark.parametrize("limit", [None, 1000])
def test_a_cookie_that_browsers_drop_is_signed_with_a_warning(limit: int | None) -> None:
    config: dict[str, t.Any] = {} if limit is None else {"MAX_COOKIE_SIZE": limit}
    app = make_app(**config)
    result = run(app, "sign", LARGE)
    assert result.exit_code == 0
    (token,) = result.stdout.split()
    size = len(f"session={token}")
    bound = "browsers drop those above 4093" if limit is None else f"MAX_COOKIE_SIZE is {limit}"
    assert result.stderr == f"Warning: the session cookie has {size} bytes, and {bound}\n"
    assert run(app, "sign", "{}").stderr == ""


def test_there_is_nothing_to_sign_where_sessions_are_on_the_server(server_app: flask.Flask) -> None:
    for command in ("sign", "bench"):
        result = run(server_app, command, '{"user": "ada"}')
        assert result.exit_code == 2
        assert re.fullmatch(r"Error: .+\n", result.stderr)


# --- doctor ---------------------------------------------------------------------------------------------------------


def codes(app: flask.Flask, *arguments: str, level: str = "warning", stdin: str | None = None) -> list[str]:
    report = run_json(app, "doctor", *arguments, stdin=stdin)
    return [finding["code"] for finding in report["findings"] if finding["level"] == level]


def test_nothing_to_warn_of() -> None:
    app = make_app(**SAFE)
    result = run(app, "doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Nothing to warn of." in result.stdout
    report = run_json(app, "doctor")
    assert report["clean"] is True
    stages = ("open", "serializer", "cookies", "loads", "save", "dumps", "headers")
    assert report["stages"] == {name: {"native": True, "declined": []} for name in stages}
    assert report["guard"] in ("tags", "look-ups")
    assert codes(app, level="note") == ["sha1"]
    assert codes(make_app(FastSessionInterface(digest_method=hashlib.sha256), **SAFE), level="note") == []


WARNINGS: dict[str, list[dict[str, t.Any]]] = {
    "known-key": [
        {"SECRET_KEY": "dev"},
        {"SECRET_KEY": "Change-Me!"},
        {"SECRET_KEY": "super secret key"},
        {"SECRET_KEY": b'_5#y2L"F4Q8z\n\xec]/'},
        {"SECRET_KEY": '_5#y2L"F4Q8z\\n\\xec]/'},
        {"SECRET_KEY": "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"},
        {"SECRET_KEY": "A0Zr98j/3yX R~XHH!jmN]LWX/,?RT"},
        {"SECRET_KEY": "to be replaced by a long random one"},
        {"SECRET_KEY_FALLBACKS": ["secret"]},
    ],
    "short-key": [
        {"SECRET_KEY": "x7-q9_k3!p5:z1."},
        {"SECRET_KEY": bytes(range(200, 215))},
        {"SECRET_KEY_FALLBACKS": [KEY[::-1], "x7-q9"]},
    ],
    "key-type": [{"SECRET_KEY": [7]}, {"SECRET_KEY_FALLBACKS": [None]}],
    "no-key": [{"SECRET_KEY": None}, {"SECRET_KEY": ""}],
    "fallbacks-text": [{"SECRET_KEY_FALLBACKS": KEY[::-1]}, {"SECRET_KEY_FALLBACKS": b"bytes are no list either"}],
    "fallbacks-type": [{"SECRET_KEY_FALLBACKS": 5}, {"SECRET_KEY_FALLBACKS": True}],
    "fallback-current": [{"SECRET_KEY_FALLBACKS": [KEY]}],
    "bad-name": [{"SESSION_COOKIE_NAME": "a b;c"}, {"SESSION_COOKIE_NAME": "\u2713"}, {"SESSION_COOKIE_NAME": ""}],
    "not-secure": [{"SESSION_COOKIE_SECURE": False}],
    "not-httponly": [{"SESSION_COOKIE_HTTPONLY": False}],
    "no-samesite": [{"SESSION_COOKIE_SAMESITE": None}],
    "bad-samesite": [{"SESSION_COOKIE_SAMESITE": "none of these"}],
    "samesite-none": [{"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": False}],
    "prefix-secure": [
        {"SESSION_COOKIE_NAME": "__Host-session", "SESSION_COOKIE_SECURE": False},
        {"SESSION_COOKIE_NAME": "__secure-session", "SESSION_COOKIE_SECURE": False},
    ],
    "prefix-domain": [{"SESSION_COOKIE_NAME": "__Host-session", "SESSION_COOKIE_DOMAIN": "shop.example"}],
    "prefix-path": [
        {"SESSION_COOKIE_NAME": "__Host-session", "SESSION_COOKIE_PATH": "/shop"},
        {"SESSION_COOKIE_NAME": "__HOST-session", "APPLICATION_ROOT": "/shop"},
    ],
    "no-limit": [{"MAX_COOKIE_SIZE": 0}, {"MAX_COOKIE_SIZE": 5000}, {"MAX_COOKIE_SIZE": None}],
    "nearly-too-large": [{"MAX_COOKIE_SIZE": 320}],
    "too-large": [{"MAX_COOKIE_SIZE": 100}],
    "bad-lifetime": [{"PERMANENT_SESSION_LIFETIME": each} for each in (0, -5, "3600", None, 1e400)],
    "check-failed": [{"PERMANENT_SESSION_LIFETIME": None, "SECRET_KEY_FALLBACKS": FALLBACKS}],
    "failure": [{"SESSION_COOKIE_SAMESITE": "none of these"}, {"SECRET_KEY": [7]}],
}


@pytest.mark.parametrize(
    ("code", "config"),
    [
        pytest.param(code, config, id=f"{code}-{number}")
        for code, configs in WARNINGS.items()
        for number, config in enumerate(configs)
    ],
)
@pytest.mark.filterwarnings("error")
def test_warnings(code: str, config: dict[str, t.Any]) -> None:
    app = make_app(**{**SAFE, **config})
    assert code in codes(app)
    result = run(app, "doctor")
    assert result.exit_code == 1
    assert f"  {code}: " in result.stdout


NOTES: dict[str, tuple[Callable[[], flask.Flask], str]] = {
    "option": (
        lambda: make_app(FastSessionInterface(refresh_after=60), **SAFE),
        "refresh_after is on: native",
    ),
    "interface": (lambda: make_app(SecureCookieSessionInterface()), "FastSessionInterface()"),
    "hooks": (lambda: make_app(OwnInterface()), "overrides get_cookie_secure"),
    "overridden": (lambda: with_requests(OwnRequest), "request.cookies is not Flask's but"),
    "sha1": (make_app, "to change it: FastSessionInterface(digest_method=hashlib.sha256"),
    "fallbacks": (lambda: make_app(SECRET_KEY_FALLBACKS=FALLBACKS), "(2): no session needs one that was retired more"),
    "store": (lambda: on_server(), "by Memory, under keys that begin with 'session:'"),
    "ids-readable": (lambda: on_server(SESSION_HASH_SID=False), "SESSION_HASH_SID"),
    "no-end": (lambda: on_server(), "SESSION_ABSOLUTE_LIFETIME"),
    "remember-cookie": (lambda: with_logins(on_server(OwnerMemoryStore())), "a version in the user's get_id() ends it"),
}


def with_logins(app: flask.Flask) -> flask.Flask:
    flask_login.LoginManager(app)
    return app


def with_requests(request_class: type[flask.Request]) -> flask.Flask:
    app = make_app(**SAFE)
    app.request_class = request_class
    return app


class Memory(Store):
    """As much of a store as the doctor asks for."""

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return None


def on_server(store: object = None, **config: t.Any) -> flask.Flask:
    app = make_app(SESSION_TYPE=store or Memory(), **{**SAFE, **config})  # type: ignore[abstract]
    ServerSession(app)
    return app


@pytest.mark.parametrize("code", NOTES)
def test_notes(code: str) -> None:
    make, text = NOTES[code]
    assert code in codes(make(), level="note")
    assert re.search(rf"^  {code}: .*{re.escape(text)}", run(make(), "doctor").stdout, re.MULTILINE)


def test_no_note_without_a_reason() -> None:
    options: dict[str, t.Any] = {"digest_method": hashlib.sha256, "accept_digest_methods": [hashlib.sha1]}
    assert codes(make_app(FastSessionInterface(**options), **SAFE), level="note") == ["option"]
    app = on_server(SESSION_HASH_SID=True, SESSION_ABSOLUTE_LIFETIME=600)
    assert sorted(codes(app, level="note")) == ["option", "store"]


@pytest.mark.parametrize("name", ["__Host-session", "__Secure-session"])
def test_a_prefix_that_is_kept_to(name: str) -> None:
    assert codes(make_app(**{**SAFE, "SESSION_COOKIE_NAME": name})) == []


def test_options_are_listed_with_what_they_cost() -> None:
    given: dict[str, t.Any] = {
        "accept_digest_methods": [hashlib.sha512],
        "resign_fallbacks": True,
        "leeway": 1,
        "oversize": "raise",
        "absolute_lifetime": 10**6,
        "skip": lambda request: False,
        "refresh_after": 60,
        "lifetime": lambda session: None,
        "on_refused": lambda request, reason: None,
        "delete_refused": True,
        "accept_any": True,
    }
    report = run_json(make_app(FastSessionInterface(**given), **SAFE), "doctor")
    assert report["clean"] and all(stage["native"] for stage in report["stages"].values())
    texts = [finding["text"] for finding in report["findings"] if finding["code"] == "option"]
    assert {text.partition(" ")[0] for text in texts} == given.keys() and all(
        "native" in text or "yours" in text for text in texts
    )


@pytest.mark.parametrize("is_in_config", [False, True])
def test_an_app_that_skips_the_requests_of_commands(is_in_config: bool) -> None:
    """They say of a session what the app does with it where it looks at sessions."""
    skipped: list[str] = []

    def skip(request: flask.Request) -> bool:
        skipped.append(request.path)
        return True

    class Own(FastSessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
            return super().open_session(app, request)

    token = token_of({"user": "ada"})
    for kind in (FastSessionInterface, Own):
        interface = kind() if is_in_config else kind(skip=skip)
        app = make_app(interface, **SAFE, **({"SESSION_SKIP": skip} if is_in_config else {}))
        report = run_json(app, "doctor", token)
        assert report["clean"] and report["stages"]["save"]["native"]
        assert run_json(app, "inspect", token)["app"]["accepted"] is True
        old = token_of({"user": "ada"}, signed_at=int(time.time()) - 2 * LIFETIME)
        assert run_json(app, "inspect", old)["app"]["accepted"] is False
        assert run_json(app, "bench", "--rounds", "5")["seconds"]
        assert run(app, "sign", '{"user": "ada"}').exit_code == 0
        assert skipped == []
        # It is the app's own again.
        assert app.session_interface is interface
        app.get("/")(lambda: "")
        app.test_client().get("/")
        assert skipped
        skipped.clear()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"encrypt": True}, "encrypt"),
        (
            {"encrypt": True, "accept_signed": True, "lifetime": lambda session: 60},
            "encrypt or accept_signed or lifetime",
        ),
        ({"revocations": Revocations(MemoryRevocations())}, "revocations"),
    ],
    ids=["one", "several", "revocations"],
)
def test_what_flask_does_not_have_is_not_measured(options: dict[str, t.Any], names: str) -> None:
    result = run(make_app(FastSessionInterface(**options)), "bench", "--rounds", "5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"so their times cannot be compared: Flask has no {names}, which the app uses\n" in result.stderr


#: Findings that other tests bring about: those below, those of stores, ``tests/encryption/test_cli.py`` and
#: ``tests/revocations/test_doctor.py``.
NOTED_ELSEWHERE = {"accepts-encrypted", "accepts-signed", "compresses", "fallback-needed", "revocations"}
WARNED_ELSEWHERE = {
    "class",
    "cookie-refused",
    "late-refresh",
    "no-effect",
    "not-encrypted",
    "revocations-failed",
    "slow-outage",
    "store-failed",
    "too-large-when-encrypted",
}


def test_every_finding_is_tested() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(cli.__file__).parent.glob("*.py"))
    assert set(re.findall(r'\bwarning\(\s*"([a-z0-9-]+)"', source)) == {*WARNINGS, *WARNED_ELSEWHERE}
    assert set(re.findall(r'\bnote\(\s*"([a-z0-9-]+)"', source)) == {*NOTES, *NOTED_ELSEWHERE}


@pytest.mark.parametrize(
    ("key", "is_short"), [("x7-q9_k3!p5:z1.", True), ("x7-q9_k3!p5:z1.w", False), ("\u2713" * 5 + "x", False)]
)
def test_the_shortest_key(key: str, is_short: bool) -> None:
    """Counted in bytes."""
    for value in (key, key.encode()):
        assert codes(make_app(SECRET_KEY=value, **SAFE)) == (["short-key"] if is_short else [])


def test_from_which_size_on_a_cookie_is_nearly_too_large() -> None:
    for size, near in ((3274, []), (3275, ["nearly-too-large"]), (4093, ["nearly-too-large"])):
        assert codes(make_app(**SAFE), token_of_size(size)) == ["cookie-refused", *near]
    for size, found in ((800, []), (801, ["nearly-too-large"]), (1000, ["nearly-too-large"]), (1001, ["too-large"])):
        assert codes(make_app(MAX_COOKIE_SIZE=1000, **SAFE), token_of_size(size)) == ["cookie-refused", *found]
    assert "MAX_COOKIE_SIZE is 1000" in run(make_app(MAX_COOKIE_SIZE=1000), "doctor", token_of_size(1001)).stdout
    assert codes(make_app(MAX_COOKIE_SIZE=4093, **SAFE)) == []
    assert codes(make_app(MAX_COOKIE_SIZE=4094, **SAFE)) == ["no-limit"]


def test_what_exceptions_say_is_withheld() -> None:
    class FailingStore(Memory):
        def load(self, key: str, ttl: int | None = None) -> bytes | None:
            raise LookupError(KEY)

    class FailingName(FastSessionInterface):
        def get_cookie_samesite(self, app: flask.Flask) -> t.NoReturn:
            raise LookupError(KEY)

    for app, codes_expected in (
        (on_server(FailingStore()), ["store-failed"]),  # type: ignore[abstract]
        (make_app(FailingName(), **SAFE), ["failure", "check-failed"]),
        (make_app(Failing(), **SAFE), ["failure"]),
    ):
        assert codes(app) == codes_expected
        for output in (run(app, "doctor").output, run(app, "doctor", "--json").output):
            assert "LookupError" in output
            assert KEY not in output


def test_what_is_wrong_with_a_setting_is_told() -> None:
    result = run(make_app(SESSION_SKIP="/static", **SAFE), "doctor")
    assert result.exit_code == 1
    wrong = "ValueError: SESSION_SKIP must be a callable, not '/static'"
    assert f"  failure: saving and opening a session raises {wrong}\n" in result.stdout
    assert f"  check-failed: check_options: {wrong}\n" in result.stdout


@pytest.mark.skipif(os.name != "posix", reason="files have no modes here")
def test_what_a_store_says_is_told(server_app: flask.Flask, tmp_path: Path) -> None:
    value = visit(server_app)
    server_app.session_interface.store.close()  # type: ignore[attr-defined]
    (tmp_path / "sessions.sqlite").chmod(0o644)
    told = "sessions.sqlite is accessible to other users (mode 644)"
    assert f"  store-failed: the store cannot be used: {told}" in run(server_app, "doctor").stdout
    assert "chmod 600 sessions.sqlite" in run(server_app, "doctor").stdout
    assert told in run_json(server_app, "inspect", value)["app"]["reason"]
    revocable = make_app(FastSessionInterface(revocations=Revocations(tmp_path / "sessions.sqlite")), **SAFE)
    output = run(revocable, "doctor").stdout
    assert f"revocations-failed: revocations cannot be fetched: {told}" in output
    assert f"SQLiteRevocations in {tmp_path / 'sessions.sqlite'}: everywhere within 5 s" in output


def test_a_class_in_place_of_an_interface() -> None:
    app = make_app(**SAFE)
    app.session_interface = FastSessionInterface  # type: ignore[assignment]
    text = "app.session_interface is the class FastSessionInterface: add the parentheses"
    for arguments in ([], [token_of({"user": "ada"})]):
        report = run_json(app, "doctor", *arguments)
        assert report["findings"] == [{"level": "warning", "code": "class", "text": text}]
        assert report["interface"] == "flask_fastsession.interface.FastSessionInterface"
        assert run(app, "doctor", *arguments).exit_code == 1
    for arguments in (["sign", "{}"], ["bench"], ["list", "ada"], ["revoke-user", "ada"]):
        result = run(app, *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {text}\n")


@pytest.mark.parametrize(
    ("refresh_after", "is_late"), [(LIFETIME // 2 - 1, False), (LIFETIME // 2, True), (10**9, True)]
)
def test_refreshing_in_time(refresh_after: int, is_late: bool) -> None:
    expected = ["late-refresh"] if is_late else []
    assert codes(make_app(FastSessionInterface(refresh_after=refresh_after), **SAFE)) == expected
    assert codes(make_app(SESSION_REFRESH_AFTER=refresh_after, **SAFE)) == expected
    assert codes(on_server(SESSION_REFRESH_AFTER=refresh_after)) == expected


@pytest.mark.parametrize(
    ("config", "written"),
    [
        ({"SESSION_ENCRYPT": True}, "encrypt=True"),
        ({"SESSION_REVOCATIONS": "revoked.sqlite"}, "revocations=..."),
        ({"SESSION_DIGEST_METHOD": hashlib.sha256}, "digest_method=..."),
    ],
)
def test_a_setting_that_is_none(config: dict[str, t.Any], written: str) -> None:
    (name,) = config
    output = run(make_app(**config, **SAFE), "doctor").stdout
    assert f"  no-effect: {name} has no effect: write FastSessionInterface({written})\n" in output


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SESSION_ENCRYPT", "sessions on the server are not encrypted"),
        ("SESSION_REVOCATIONS", "it is for sessions in cookies"),
        ("SESSION_LEEWAY", "it is for sessions in cookies"),
    ],
)
def test_a_setting_that_is_none_on_the_server(name: str, why: str) -> None:
    output = run(on_server(**{name: 5}), "doctor").stdout
    assert f"  no-effect: {name} has no effect: {why}\n" in output


def test_settings_that_have_an_effect_or_need_none() -> None:
    policies: dict[str, t.Any] = {
        "SESSION_REFRESH_AFTER": 60,
        "SESSION_ABSOLUTE_LIFETIME": 60,
        "SESSION_ACCEPT_ANY": True,
    }
    assert codes(make_app(**policies, **SAFE)) == []
    assert codes(make_app(SESSION_ENCRYPT=False, **SAFE)) == []
    assert codes(on_server(SESSION_ENCRYPT=False, **policies)) == []
    # The app passes what its config says.
    given: dict[str, t.Any] = {"encrypt": True, "digest_method": hashlib.sha256, "leeway": 5}
    config = {f"SESSION_{name.upper()}": value for name, value in given.items()}
    assert codes(make_app(FastSessionInterface(**given), **config, **SAFE)) == []


SLOW = "tries a command 3 times, for up to 2 s each, so that an outage may hold a request for 6 s and more: pass retry="


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry": Retry(NoBackoff(), 2), "socket_timeout": 1, "socket_connect_timeout": 2}, SLOW),
        ({"retry": Retry(NoBackoff(), 0), "socket_timeout": None, "socket_connect_timeout": 1}, "has no time limit"),
        ({"retry": Retry(NoBackoff(), 0), "socket_timeout": 1, "socket_connect_timeout": 1}, None),
    ],
)
def test_clients_that_make_an_outage_slow(options: dict[str, t.Any], text: str | None) -> None:
    # Nothing listens there.
    client = redis.Redis(port=1, **options)
    revocable = make_app(FastSessionInterface(revocations=Revocations(client)), **SAFE)
    for app in (revocable, on_server("redis", SESSION_REDIS=client)):
        found = re.findall(r"^  slow-outage: (.*)$", run(app, "doctor").stdout, re.MULTILINE)
        assert len(found) == (text is not None)
        assert text is None or text in found[0]


def test_the_patience_of_clients() -> None:
    """As redis-py has it, not yet opened; a cluster does not tell."""
    retry = Retry(NoBackoff(), 4)
    assert patience_of(redis.Redis(socket_timeout=3, socket_connect_timeout=1, retry=retry)) == Patience(5, 3)
    url = "redis://localhost?socket_timeout=2&socket_connect_timeout=2"
    assert patience_of(redis.Redis.from_url(url)) == Patience(1, 2)
    assert patience_of(object()) is None


def test_a_partitioned_cookie_is_secure() -> None:
    """By Werkzeug, whatever SESSION_COOKIE_SECURE is."""
    if not hasattr(flask.sessions.SessionInterface, "get_cookie_partitioned"):
        pytest.skip("this Flask has no partitioned cookies")
    config: dict[str, t.Any] = {"SESSION_COOKIE_PARTITIONED": True}
    config |= {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": False}
    assert codes(make_app(**config)) == []
    assert codes(make_app(SecureCookieSessionInterface(), **config)) == []
    # Without a key there is no header to judge by.
    assert codes(make_app(SECRET_KEY=None, **config)) == ["no-key"]


def test_a_cookie_is_judged_by_its_header() -> None:
    class Protecting(FastSessionInterface):
        def save_session(self, app: flask.Flask, session: t.Any, response: flask.Response) -> None:
            response.set_cookie("session", "no.to.ken", secure=True, httponly=True, samesite="Strict")
            response.set_cookie("theme", "dark")

    assert codes(make_app(Protecting(), SESSION_COOKIE_HTTPONLY=False)) == []
    assert codes(make_app(SESSION_COOKIE_HTTPONLY=False)) == ["not-secure", "not-httponly", "no-samesite"]


def test_what_the_config_says_of_other_interfaces_is_a_note() -> None:
    app = make_app(flask.sessions.SessionInterface())
    assert codes(app) == []
    assert codes(app, level="note") == ["interface", "not-secure", "no-samesite"]


def test_settings_at_which_checks_fail() -> None:
    def fail(app: flask.Flask) -> t.Any:
        raise LookupError(KEY)

    lacking = make_app(**SAFE)
    del lacking.config["SESSION_COOKIE_SECURE"]
    interface = FastSessionInterface()
    interface.get_cookie_secure = fail  # type: ignore[method-assign]
    for app, error in ((lacking, "KeyError"), (make_app(interface, **SAFE), "LookupError")):
        result = run(app, "doctor")
        assert result.exit_code == 1
        assert f"  failure: saving and opening a session raises {error}\n" in result.stdout
        assert f"  check-failed: check_attributes: {error}\n" in result.stdout
        assert KEY not in result.output
    app = make_app(**SAFE)
    app.session_interface = None  # type: ignore[assignment]
    assert codes(app) == ["check-failed"] * 2
    assert codes(app, token_of({"user": "ada"})) == ["cookie-refused", "check-failed", "check-failed"]
    assert run_json(app, "inspect", token_of({"user": "ada"}))["app"]["accepted"] is False


class OwnInterface(FastSessionInterface):
    def get_cookie_secure(self, app: flask.Flask) -> bool:
        return super().get_cookie_secure(app)


class OwnProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **kwargs)


class OwnResponse(flask.Response):
    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().set_cookie(*args, **kwargs)


def test_why_stages_are_not_native() -> None:
    app = make_app(OwnInterface(), **SAFE)
    stages = run_json(app, "doctor")["stages"]
    assert stages["save"] == {"native": False, "declined": ["hook"]}
    assert stages["open"]["native"] is stages["dumps"]["native"] is True
    assert "hook: a method of the interface is overridden" in run(app, "doctor").stdout
    assert "overrides get_cookie_secure" in run(app, "doctor").stdout
    assert run(app, "doctor").exit_code == 0

    app = make_app(**SAFE)
    app.json = OwnProvider(app)
    assert run_json(app, "doctor")["stages"]["dumps"]["declined"] == ["json_provider"]
    app = make_app(**SAFE)
    app.response_class = OwnResponse
    assert run_json(app, "doctor")["stages"]["save"]["declined"] == ["response"]


class OwnRequest(flask.Request):
    @property
    def cookies(self) -> t.Any:
        return super().cookies


class KeyOnClass(flask.Flask):
    @property
    def secret_key(self) -> str:  # type: ignore[override]
        return KEY


def trace(wrapped: t.Any, instance: t.Any, args: t.Any, kwargs: t.Any) -> t.Any:
    return wrapped(*args, **kwargs)


def test_what_is_overridden_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(**SAFE)
    app.request_class, app.response_class, app.json = OwnRequest, OwnResponse, OwnProvider(app)
    report = run_json(app, "doctor")
    assert report["stages"]["cookies"]["declined"] == ["request"]
    assert report["stages"]["headers"]["declined"] == ["response"]
    texts = [finding["text"] for finding in report["findings"] if finding["code"] == "overridden"]
    assert texts == [
        f"json.dumps is not Flask's but {__name__}.OwnProvider",
        f"request.cookies is not Flask's but {__name__}.OwnRequest",
        f"response.set_cookie is not Flask's but {__name__}.OwnResponse",
    ]
    app = KeyOnClass("shop")
    app.config.update(SAFE)
    app.session_interface = FastSessionInterface()
    app.cli.add_command(cli.session)
    assert f"overridden: app.secret_key is not Flask's but {__name__}.KeyOnClass" in run(app, "doctor").stdout

    app = make_app(**SAFE)
    monkeypatch.setattr(Headers, "add", wrapt.FunctionWrapper(Headers.add, trace))
    monkeypatch.setattr("werkzeug.sansio.request.parse_cookie", lambda *args, **kwargs: parse_cookie(*args, **kwargs))
    output = run(app, "doctor").stdout
    assert f"headers.add is not Flask's but {__name__}.trace" in output
    assert f"werkzeug.sansio.request.parse_cookie is not Flask's but {__name__}." in output


def test_a_method_put_on_the_instance_is_named() -> None:
    interface = FastSessionInterface()
    interface.get_cookie_path = lambda app: "/"  # type: ignore[method-assign]
    assert "overrides get_cookie_path" in run(make_app(interface, **SAFE), "doctor").stdout


def test_apps_with_other_interfaces() -> None:
    app = make_app(SecureCookieSessionInterface(), **SAFE)
    assert codes(app, level="note") == ["interface", "sha1"]
    assert run_json(app, "doctor")["stages"] == {}
    assert run(app, "doctor").exit_code == 0
    assert codes(make_app(flask.sessions.SessionInterface(), **SAFE), level="note") == ["interface"]


def test_without_a_key_no_stage_runs() -> None:
    stages = run_json(make_app(SECRET_KEY=None), "doctor")["stages"]
    assert stages["save"] == {"native": False, "declined": []}
    assert "did not run" in run(make_app(SECRET_KEY=None), "doctor").stdout


def test_sessions_on_the_server(server_app: flask.Flask) -> None:
    server_app.config.update(SAFE)
    assert codes(server_app) == []
    assert {"store", "no-end"} <= set(codes(server_app, level="note"))
    server_app.secret_key = "dev"
    assert codes(server_app) == (["known-key"] if server_app.config["SESSION_USE_SIGNER"] else [])
    assert codes(server_app, visit(server_app)) == codes(server_app)
    assert "cookie-refused" in codes(server_app, "A" * 43)


def test_a_cookie_is_examined_with_its_own_session() -> None:
    app = make_app(SECRET_KEY_FALLBACKS=FALLBACKS, **SAFE)
    odd = token_of({"text": "\ud800"}, FALLBACKS[1])
    report = run_json(app, "doctor", f"session={odd}")
    assert report["stages"]["dumps"]["declined"] == ["surrogate"]
    assert codes(app, "-", level="note", stdin=odd) == ["fallback-needed", "sha1", "fallbacks"]
    noise = hashlib.sha512(b"").hexdigest()
    large = token_of({"text": "".join(hashlib.sha512(noise[:n].encode()).hexdigest() for n in range(36))})
    assert codes(app, large) == ["nearly-too-large"]
    assert codes(app, token_of({"user": "ada"}, STRANGER)) == ["cookie-refused"]
    assert codes(app, token_of({"user": "ada"}, signed_at=1_400_000_000)) == ["cookie-refused"]


def test_reasons_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    table = page[page.index("## Why stock code answered") :]
    assert list(trial.REASONS) == re.findall(r"^\| `([a-z_]+)` \|", table, flags=re.MULTILINE)


# --- bench ----------------------------------------------------------------------------------------------------------


def test_stock_and_ours_are_timed(tmp_path: Path) -> None:
    app = make_app(SECRET_KEY_FALLBACKS=FALLBACKS, SESSION_COOKIE_NAME="shop")
    result = run(app, "bench", "--rounds", "5")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(
        r"^  open +[\d.]+ \u00b1[\d.]+ +[\d.]+ \u00b1[\d.]+ +[\d.]+x \u00b1[\d.]+$", result.stdout, re.MULTILINE
    )
    file = tmp_path / "session.json"
    file.write_text('{"user": "ada"}')
    sizes = set()
    for arguments, stdin in (['{"user": "ada"}'], None), (["-"], '{"user": "ada"}'), (["--file", str(file)], None):
        report = run_json(app, "bench", "--rounds", "5", *arguments, stdin=stdin)
        sizes.add(report["cookie_bytes"])
        for operation in ("open", "save"):
            seconds = report["seconds"][operation]
            assert all(0 < seconds[name]["median"] < 1 for name in ("stock", "ours"))
            assert seconds["ratio"]["median"] > 0
            assert type(seconds["conclusive"]) is bool
        assert not any(report["declined"].values())
    assert sizes == {len("shop=") + len(token_of({"user": "ada"}))}
    assert run_json(app, "bench", "--rounds", "5", stdin='{"user": "ada"}')["cookie_bytes"] in sizes
    assert run_json(app, "bench", "--rounds", "5")["cookie_bytes"] not in sizes
    file.write_bytes(b'{"a":"' + b"a" * (1 << 20) + b'"}')
    result = run(app, "bench", "--file", str(file))
    assert (result.exit_code, result.stderr) == (2, "Error: the input is longer than 1048576 bytes\n")
    assert run(app, "bench", "{}", "--file", str(file)).exit_code == 2


@pytest.mark.parametrize(
    "interface",
    [
        SecureCookieSessionInterface(),
        OwnInterface(),
        FastSessionInterface(digest_method=hashlib.sha256, absolute_lifetime=60, leeway=5),
        with_attributes(salt="another", key_derivation="concat"),
    ],
    ids=["stock", "overridden", "options", "attributes"],
)
def test_interfaces_of_all_sorts_are_timed(interface: SecureCookieSessionInterface) -> None:
    result = run(make_app(interface), "bench", "--rounds", "5")
    assert (result.exit_code, result.stderr) == (0, "")
    assert ("save was left to Flask's own code; hook" in result.stdout) is isinstance(interface, OwnInterface)


def test_a_spread_that_is_too_large_is_said() -> None:
    fast, even, uneven = Timing([1.0] * 5), Timing([9.8, 9.9, 10.0, 10.1, 10.2]), Timing([5.0, 8.0, 10.0, 12.0, 15.0])
    assert ratio(even, fast).spread == pytest.approx(0.1)
    assert ratio(even, fast).is_conclusive
    assert ratio(uneven, fast) == Ratio(10.0, 2.0)
    assert not ratio(uneven, fast).is_conclusive
    assert not ratio(even, Timing([0.0] * 5)).is_conclusive
    assert costs_as_json(uneven, fast)["conclusive"] is False


def test_a_measurement_that_says_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "measure", lambda jobs, rounds: {name: Timing([1.0, 2.0, 3.0]) for name in jobs})
    monkeypatch.setattr(timing, "MOST_SPREAD", -1.0)
    output = run(make_app(), "bench").stdout
    for operation in ("open", "save"):
        assert f"{operation}: {bench_module.INCONCLUSIVE}\n" in output


class Overriding:
    """What an app may override of either interface."""

    salt = "of the app"
    opened = 0

    def get_cookie_path(self, app: flask.Flask) -> str:
        return "/shop"

    def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
        self.opened = self.opened + 1
        return super().open_session(app, request)

    def save_session(self, app: flask.Flask, session: t.Any, response: flask.Response) -> None:
        super().save_session(app, session, response)
        response.headers["X-Session"] = "saved"


class OverridingStock(Overriding, SecureCookieSessionInterface):
    pass


class OverridingOurs(Overriding, FastSessionInterface):
    pass


@pytest.mark.parametrize("kind", [OverridingStock, OverridingOurs])
def test_what_the_app_overrides_is_so_on_both_sides(kind: type[SecureCookieSessionInterface]) -> None:
    own = kind()
    own.key_derivation = "concat"
    app = make_app(own)
    stock, ours = counterparts_of(own)
    assert own is (stock if kind is OverridingStock else ours)
    lines = [bench_module.headers_by(interface, app, {"user": "ada"}) for interface in (stock, ours)]
    assert "Path=/shop" in lines[0][-1]
    assert lines[0] == lines[1]
    assert isinstance(stock, Overriding) and isinstance(ours, Overriding)
    assert stock.opened == ours.opened == 1
    assert is_stock(stock)
    assert not is_stock(ours)
    result = run(app, "bench", "--rounds", "5")
    assert (result.exit_code, result.stderr) == (0, "")


def test_an_override_that_calls_ours_by_name_is_not_compared() -> None:
    class ByName(FastSessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
            return FastSessionInterface.open_session(self, app, request)

    result = run(make_app(ByName()), "bench", "--rounds", "5")
    assert result.exit_code == 2
    assert "by its name" in result.stderr


def test_a_class_that_takes_no_subclass_is_not_compared() -> None:
    class Last(FastSessionInterface):
        def __init_subclass__(cls) -> None:
            raise TypeError("no subclasses")

    result = run(make_app(Last()), "bench", "--rounds", "5")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "has no counterpart" in result.stderr


def test_what_differs_is_not_compared() -> None:
    class Different(FastSessionInterface):
        def get_cookie_path(self, app: flask.Flask) -> str:
            return f"/{time.perf_counter_ns()}"

    result = run(make_app(Different()), "bench", "--rounds", "5")
    assert result.exit_code == 2
    assert "differently" in result.stderr


def test_progress_is_shown_on_a_terminal(directory: Path) -> None:
    done, shown = on_a_terminal(directory, "stderr", "bench", "--rounds", "5", "--json", TERM="xterm")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rounds"] == 5
    assert b"Measuring" in shown
    assert b"100%" in shown


# --- Apps whose interfaces look at the request ------------------------------------------------------------------------


class OfRequests(FastSessionInterface):
    """One that works in requests alone, and keeps what it finds for the request."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
        assert flask.g.setdefault("cookies", request.cookies) == request.cookies
        assert flask.request.cookies == request.cookies
        return super().open_session(app, request)

    def get_signing_serializer(self, app: flask.Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        assert flask.request.host
        return super().get_signing_serializer(app)

    def save_session(self, app: flask.Flask, session: t.Any, response: flask.Response) -> None:
        assert flask.request.path == "/"
        super().save_session(app, session, response)


class OfSites(OfRequests):
    def get_cookie_name(self, app: flask.Flask) -> str:
        return f"session_{flask.request.host.partition('.')[0]}"


def test_sessions_are_opened_and_saved_in_requests() -> None:
    app = make_app(OfSites(), SERVER_NAME="shop.example", **SAFE)
    token = run(app, "sign", '{"user": "ada"}').stdout.strip()
    text = f"session={token_of({'user': 'eve'})}; session_shop={token}"
    report = run_json(app, "inspect", text)
    assert report["payload"] == {"user": "ada"}
    assert report["app"]["accepted"] is True
    assert codes(app, text) == []
    assert run_json(app, "doctor")["stages"]["loads"]["native"] is True
    assert run(make_app(OfRequests()), "bench", "--rounds", "5").exit_code == 0
    assert not flask.has_app_context()
    assert not flask.has_request_context()


def test_records_are_looked_up_in_requests(server_app: flask.Flask) -> None:
    interface = server_app.session_interface
    interface.get_cookie_name = lambda app: f"session_{flask.request.host}"  # type: ignore[method-assign]
    client = server_app.test_client()
    client.get("/")
    cookie = client.get_cookie("session_localhost")
    assert cookie is not None
    assert run_json(server_app, "inspect", f"session_localhost={cookie.value}")["app"]["found"] is True


def test_what_an_app_does_at_the_end_of_a_request_does_not_matter() -> None:
    app = make_app(**SAFE)
    closed = []
    app.teardown_request(lambda error: closed.append(flask.g.connection))
    app.teardown_appcontext(lambda error: closed.append(flask.g.connection))
    assert run_json(app, "inspect", token_of({"user": "ada"}))["app"]["accepted"] is True
    assert codes(app) == closed == []


class Failing(FastSessionInterface):
    def open_session(self, app: flask.Flask, request: flask.Request) -> t.Any:
        raise LookupError(KEY)


def test_an_interface_that_fails_in_each_request() -> None:
    app = make_app(Failing(), **SAFE)
    verdict = run_json(app, "inspect", token_of({"user": "ada"}))["app"]
    assert (verdict["verified"], verdict["accepted"]) == (True, False)
    assert verdict["reason"] == "each request with it fails: LookupError"
    assert codes(app) == ["failure"]
    assert codes(app, token_of({"user": "ada"})) == ["cookie-refused", "failure"]
    result = run(app, "bench")
    assert (result.exit_code, result.stderr) == (2, "Error: the app cannot save and open this session: LookupError\n")


@pytest.mark.parametrize("lifetime", [None, "a day", object()])
def test_a_lifetime_that_is_no_time(lifetime: object) -> None:
    app = make_app(PERMANENT_SESSION_LIFETIME=lifetime, **SAFE)
    report = run_json(app, "inspect", token_of({"user": "ada"}))
    assert "PERMANENT_SESSION_LIFETIME" in report["app"]["reason"]
    assert report["app"]["key"] == "SECRET_KEY"
    assert codes(app, token_of({"user": "ada"})) == ["cookie-refused", "failure", "bad-lifetime"]


@pytest.mark.parametrize("name", ["a b;c", "a=b", " shop", "\u2713"])
def test_a_name_that_no_cookie_has(name: str) -> None:
    """Werkzeug takes such names, and no request ever brings them back."""
    app = make_app(SESSION_COOKIE_NAME=name, **SAFE)
    app.add_url_rule("/", view_func=lambda: flask.session.get("user", "nobody"))
    token = token_of({"user": "ada"})
    client = app.test_client(use_cookies=False)
    assert client.get("/", headers={"Cookie": f"{name}={token}".encode().decode("latin-1")}).text == "nobody"
    assert "SESSION_COOKIE_NAME" in run_json(app, "inspect", token)["app"]["reason"]


def test_an_interface_that_cannot_tell_the_name() -> None:
    interface = FastSessionInterface()
    interface.get_cookie_name = lambda app: dict[str, str]()[KEY]  # type: ignore[method-assign]
    app = make_app(interface, **SAFE)
    assert run_json(app, "inspect", f"session={token_of({'a': 1})}")["app"]["reason"].endswith("fails: KeyError")
    assert codes(app, f"session={token_of({'a': 1})}") == ["cookie-refused", "failure", "check-failed", "check-failed"]


def test_a_store_and_a_name_that_fail(server_app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> t.NoReturn:
        raise LookupError(KEY)

    value = visit(server_app)
    monkeypatch.setattr(server_app.session_interface.store, "load", fail)  # type: ignore[attr-defined]
    assert run_json(server_app, "inspect", value)["app"]["reason"] == "the store failed: LookupError"
    monkeypatch.setattr(server_app.session_interface, "get_cookie_name", fail)
    assert run_json(server_app, "inspect", value)["app"]["reason"] == "each request with it fails: LookupError"


# --- Keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["inspect", token_of({"user": "ada"})], {}),
        (["inspect", token_of({"user": "ada"}, FALLBACKS[0])], {}),
        (["inspect", token_of({"user": "ada"}, STRANGER)], {}),
        (["sign", '{"user": "ada"}'], {}),
        (["sign", '{"user": "ada"}'], {"SECRET_KEY_FALLBACKS": ["\ud800" + KEY]}),
        (["doctor"], {}),
        (["doctor", token_of({"user": "ada"}, FALLBACKS[0])], {}),
        (["doctor"], {"SECRET_KEY_FALLBACKS": FALLBACKS[0]}),
        (["doctor"], {"SECRET_KEY_FALLBACKS": ["\ud800" + KEY]}),
        (["bench", "--rounds", "5"], {}),
        (["bench"], {"SECRET_KEY_FALLBACKS": ["\ud800" + KEY]}),
    ],
)
def test_no_key_is_ever_printed(arguments: list[str], config: dict[str, t.Any]) -> None:
    app = make_app(**{"SECRET_KEY_FALLBACKS": FALLBACKS, **config})
    outputs = [run(app, *arguments).output]
    if arguments[0] != "sign":
        outputs.append(run(app, *arguments, "--json").output)
    for key in (KEY, *FALLBACKS, STRANGER):
        secret = key.encode() if isinstance(key, str) else key
        for spelling in (repr(secret)[2:-1], secret.hex(), base64.b64encode(secret).decode().rstrip("=")):
            assert not any(spelling in output for output in outputs)


# --- The page about it ----------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SERVER_PAGE = (ROOT / "docs" / "server_side.md").read_text(encoding="utf-8")


#: The one that the page shows.
COOKIE = (
    ".eJwljkELgkAUhP_KY85LqRnSIp6CTp0KOoTIc32V5Fq4SpDsf2-l08DHfMPMqG4du4c46OsMGkPAinN8F6gALDTyurhIZ15W8nVdUM3mqYgbXsGXvlSo"
    "3jJY7qUP9jhMEsjkZKjaJsgZFFzbG4EOcws58ago3tBeDCVRsqU408lORykdjmf4pf79t5c3aaTwaRtB6f0Piso0Ng.aT2iYA"
    ".9ypub85XIplNNRjWtghBXIf1AAw"
)


def examples() -> list[tuple[str, str]]:
    """Each command on the page, and what is printed below it."""
    run_here = re.sub(r"^<!-- not run: .*? -->\n```.*?^```$", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", run_here, flags=re.DOTALL | re.MULTILINE)
    return t.cast("list[tuple[str, str]]", blocks)


def run_line(directory: Path, line: str) -> str:
    printed = ""
    for command in line.split(" | "):
        words = shlex.split(command)
        if words[0] == "cat":
            printed = (directory / words[1]).read_text()
            continue
        done = process(directory, *words[words[0] == "python" and 2 :], stdin=printed)
        assert done.stderr == ""
        printed = done.stdout
    return printed


def without_chance(text: str) -> str:
    """What is printed, without signatures, numbers and units of time, what space they take, and how they spread."""
    text = re.sub(rf"^\w+: {re.escape(bench_module.INCONCLUSIVE)}\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b[\w-]+\.[\w-]+\.[\w-]{27}\b", "token", text)
    text = re.sub(r"\d+ (second|minute|hour|day)s?\b", "a while", text)
    return re.sub(r" +", " ", re.sub(r"\d+", "0", text))


def test_the_help_without_an_app(directory: Path) -> None:
    (directory / "shop.py").unlink()
    line = "Could not locate a Flask application"
    helped, alone = process(directory, "flask", "session", "--help"), process(directory, "flask_fastsession", "--help")
    assert (helped.returncode, alone.returncode, alone.stderr) == (0, 0, "")
    assert line in helped.stderr and line in PAGE


#: The apps on the page, by the names of their files; others show the inspector.
APPS = ("shop", "forum")

HANDLE = re.compile(r"\bh\.[\w-]{22}")

LOG_IN = """
from forum import app
for agent in ("Firefox on Linux", "Safari on iPhone"):
    app.test_client().get("/login/ada", headers={"User-Agent": agent})
print(*(session.name for session in app.session_interface.sessions_of("ada")))
"""


def write_apps(directory: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    register = "from flask_fastsession.cli import session as group\napp.cli.add_command(group)\n"
    for name, app in zip(APPS, blocks, strict=False):
        (directory / f"{name}.py").write_text(app + register)


@pytest.mark.parametrize(("line", "expected"), examples(), ids=lambda text: text[:40])
def test_the_examples_print_what_the_page_says(directory: Path, line: str, expected: str) -> None:
    write_apps(directory)
    (directory / "cookie.txt").write_text(f"{COOKIE}\n")
    if "--app forum" in line:
        (directory / "log_in.py").write_text(LOG_IN)
        name, _ = process(directory, "log_in").stdout.split()
        line = HANDLE.sub(name, line)
    printed = run_line(directory, line)
    assert printed
    if expected:
        assert comparable(printed) == comparable(expected)


def comparable(text: str) -> list[str]:
    """The lines of what is printed. Sessions that have begun in the same second are in any order."""
    lines = without_chance(HANDLE.sub("h.name", text)).splitlines()
    return sorted(lines) if "h.name" in text or HANDLE.search(text) else lines


def test_all_commands_have_an_example() -> None:
    lines = "\n".join(line for line, _ in examples())
    for command, (module, _) in cli.COMMANDS.items():
        assert f" {command}" in lines or (
            module in ("convert", "operate") and f"flask session {command}" in SERVER_PAGE
        )
