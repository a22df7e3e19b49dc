"""``flask session list``, ``revoke``, ``revoke-user``, ``cleanup`` and ``init-db``."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import sqlite3
import subprocess
import sys
import typing as t
from contextlib import closing
from pathlib import Path

import click
import flask
import pytest
from click.testing import Result
from flask import session
from flask.sessions import SessionInterface

from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import ServerSession
from flask_fastsession import cli


@pytest.fixture
def app(tmp_path: Path) -> flask.Flask:
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"))
    app.config["SESSION_NOTE"] = lambda request: request.user_agent.string
    sessions = ServerSession(app)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        session["user"] = user
        sessions.bind_user(session, user)
        return str(session.sid)  # type: ignore[attr-defined]

    @app.get("/whoami")
    def whoami() -> str:
        return str(session.get("user"))

    return app


def run(app: flask.Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(cli.session, arguments)


def logged_in(app: flask.Flask, user: str, agent: str = "phone") -> flask.testing.FlaskClient:
    client = app.test_client()
    client.get(f"/login/{user}", headers={"User-Agent": agent})
    return client


def names(app: flask.Flask, user: str) -> list[str]:
    return [one["name"] for one in json.loads(run(app, "list", user, "--json").stdout)]


def check_that_it_is_one_line(app: flask.Flask, *arguments: str, message: str) -> None:
    result = run(app, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "secret" not in result.stderr


@pytest.mark.parametrize("command", ["list", "revoke", "revoke-user", "cleanup", "init-db", "convert"])
def test_a_command_can_be_imported_before_the_app(command: str) -> None:
    """As Flask does: its command line finds a command of a package before it loads the app."""
    done = subprocess.run(
        [sys.executable, "-m", "flask_fastsession", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_list(app: flask.Flask) -> None:
    clients = [logged_in(app, "ada", agent) for agent in ("phone", "laptop")]
    logged_in(app, "bob")
    output = run(app, "list", "ada").stdout
    assert "phone" in output
    assert "laptop" in output
    found = json.loads(run(app, "list", "ada", "--json").stdout)
    assert {one["note"] for one in found} == {"phone", "laptop"}
    assert all(one["begun"].endswith("+00:00") and one["last_seen"] for one in found)
    for client in clients:
        cookie = client.get_cookie("session")
        assert cookie is not None
        assert cookie.value not in output
    assert run(app, "list", "nobody").stdout.startswith("No sessions are listed for 'nobody'.\n")
    assert json.loads(run(app, "list", "nobody", "--json").stdout) == []


def test_the_apps_own_runner_finds_the_commands(app: flask.Flask) -> None:
    logged_in(app, "ada")
    result = app.test_cli_runner().invoke(args=["session", "list", "ada"])
    assert "phone" in result.output


def test_a_command_of_the_app_keeps_its_name(tmp_path: Path) -> None:
    app = flask.Flask("shop")
    app.config["SESSION_SQLITE_PATH"] = str(tmp_path / "sessions.sqlite")

    @app.cli.command("session")
    def own() -> None:
        click.echo("the app's own")

    ServerSession(app)
    assert app.test_cli_runner().invoke(args=["session"]).output == "the app's own\n"


def test_a_note_stays_in_its_row(app: flask.Flask) -> None:
    interface = t.cast(t.Any, app.session_interface)
    interface.options = dataclasses.replace(interface.options, note=lambda request: "one\ntwo\x1b[31m\u202ered é")
    logged_in(app, "ada")
    lines = run(app, "list", "ada").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("one\\ntwo\\x1b[31m\\u202ered é")


def test_a_mistyped_session_to_keep_ends_none(app: flask.Flask) -> None:
    clients = [logged_in(app, "ada") for _ in range(2)]
    logged_in(app, "bob")
    cookie = clients[0].get_cookie("session")
    assert cookie is not None
    for keep in ("h." + "x" * 22, "foo", names(app, "bob")[0], "a" * 43):
        result = run(app, "revoke-user", "ada", "--keep", names(app, "ada")[1], "--keep", keep)
        assert (result.exit_code, result.stdout) == (2, "")
        assert keep not in result.stderr
    assert len(names(app, "ada")) == 2
    assert run(app, "revoke-user", "ada", "--keep", cookie.value).exit_code == 0
    assert len(names(app, "ada")) == 1
    assert clients[0].get("/whoami").text == "ada"


SHOP = """
import flask
from flask_fastsession import ServerSession

app = flask.Flask("shop")
app.config.update(SECRET_KEY="k" * 32, SESSION_SQLITE_PATH="sessions.sqlite")
ServerSession(app)
"""


REVOCABLE = """
import flask
from flask_fastsession import FastSessionInterface, Revocations

app = flask.Flask("shop")
app.secret_key = "k" * 32
app.session_interface = FastSessionInterface(revocations=Revocations("redis://127.0.0.1:1"))
"""


def test_a_list_that_is_away_is_one_line(tmp_path: Path) -> None:
    Path(tmp_path, "shop.py").write_text(REVOCABLE)
    command = [sys.executable, "-m", "flask_fastsession", "--app", "shop", "revoke-user", "ada"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"Error: .*\n", done.stderr)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_is_named(tmp_path: Path, options: list[str]) -> None:
    Path(tmp_path, "shop.py").write_text(SHOP)
    command = [sys.executable, "-m", "flask_fastsession", "--app", "shop", "list", "ada", *options]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"Error: OSError: {os.strerror(errno.ENOSPC)}\n"


def test_no_standard_output_is_no_other_error() -> None:
    command = f"{sys.executable} -m flask_fastsession inspect x >&-"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"Error: .*\n", done.stderr)


def test_revoke_by_name_and_by_id(app: flask.Flask) -> None:
    clients = [logged_in(app, "ada") for _ in range(3)]
    name = names(app, "ada")[0]
    assert run(app, "revoke", name).exit_code == 0
    living = [client for client in clients if client.get("/whoami").text == "ada"]
    assert len(living) == len(names(app, "ada")) == 2
    assert run(app, "revoke", living[0].get_cookie("session").value).exit_code == 0  # type: ignore[union-attr]
    assert [client.get("/whoami").text for client in living] == ["None", "ada"]
    assert run(app, "revoke", name).exit_code == 0
    assert run(app, "revoke").exit_code == 2


def test_revoke_says_what_it_did(app: flask.Flask) -> None:
    for _ in range(4):
        logged_in(app, "ada")
    first, *others = names(app, "ada")
    unknown = "h." + "a" * 22
    for arguments, text in (
        ([first], "1 session ended."),
        ([first], "0 sessions ended: 1 was not found."),
        ([*others[:2], first], "2 sessions ended: 1 was not found."),
        ([others[2], unknown, "a" * 43], "1 session ended: 2 were not found."),
    ):
        result = run(app, "revoke", *arguments)
        assert (result.exit_code, result.stdout) == (0, f"{text}\n")


@pytest.mark.parametrize("is_signed", [False, True])
def test_revoke_takes_a_cookie(tmp_path: Path, is_signed: bool) -> None:
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"))
    app.config.update(SESSION_USE_SIGNER=is_signed, SESSION_COOKIE_NAME="sid")
    ServerSession(app)

    @app.get("/")
    def begin() -> str:
        session["a"] = 1
        return str(session.sid)  # type: ignore[attr-defined]

    for spelling in ("{}", "sid={}", "Cookie: theme=dark; sid={}"):
        client = app.test_client()
        sid = client.get("/").text
        cookie = client.get_cookie("sid")
        assert cookie is not None and (cookie.value == sid) is not is_signed
        for value, count in ((cookie.value, "1 session ended."), (sid, "0 sessions ended: 1 was not found.")):
            result = run(app, "revoke", spelling.format(value))
            assert (result.exit_code, result.stdout) == (0, f"{count}\n")


@pytest.mark.parametrize(
    "wrong",
    ["ada", "h.short", "H." + "a" * 22, "other=" + "a" * 43, "a" * 43 + ".forged", "a" * 129, "", "a b", "e30.a.b"],
)
def test_revoke_refuses_what_can_be_no_session(app: flask.Flask, wrong: str) -> None:
    logged_in(app, "ada")
    (name,) = names(app, "ada")
    message = 'not a session\'s name or id: give a name as "flask session list" prints it, or the value of the cookie'
    check_that_it_is_one_line(app, "revoke", name, wrong, message=message)
    # Nothing is ended by half a command.
    assert names(app, "ada") == [name]


def test_revoke_user(app: flask.Flask) -> None:
    clients = [logged_in(app, "ada") for _ in range(3)]
    other = logged_in(app, "bob")
    kept = names(app, "ada")[1]
    for arguments, text in (
        (["--keep", kept], "2 listed sessions ended."),
        ([], "1 listed session ended."),
        ([], "0 listed sessions ended."),
    ):
        assert run(app, "revoke-user", "ada", *arguments).stdout.startswith(f"{text}\n")
        assert names(app, "ada") == arguments[1:]
    assert {client.get("/whoami").text for client in clients} == {"None"}
    assert other.get("/whoami").text == "bob"


class Before:
    """Where the sessions from before are."""

    def load(self, sid: str) -> dict[str, t.Any]:
        return {"_user_id": "ada", "user": "ada"}


def from_before(tmp_path: Path, follows_logins: bool) -> tuple[flask.Flask, flask.testing.FlaskClient]:
    """An app, and a visitor who has logged in before the app was switched to ServerSession."""
    app = flask.Flask("shop")
    app.config.update(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"), SESSION_TAKE_OVER=Before())
    app.config["SESSION_REGENERATE_ON_LOGIN"] = follows_logins
    ServerSession(app)
    app.add_url_rule("/whoami", "whoami", lambda: str(session.get("user")))
    client = app.test_client()
    client.set_cookie("session", "a" * 43)
    return app, client


def test_no_false_all_clear_before_the_next_request(tmp_path: Path) -> None:
    app, client = from_before(tmp_path, follows_logins=True)
    assert run(app, "list", "ada").stdout == (
        "No sessions are listed for 'ada'.\n"
        "Sessions from before the switch from Flask-Session are listed after their next request.\n"
    )
    assert client.get("/whoami").text == "ada"
    assert len(names(app, "ada")) == 1


def test_revoke_user_says_that_unlisted_sessions_are_refused(tmp_path: Path) -> None:
    app, client = from_before(tmp_path, follows_logins=True)
    assert run(app, "revoke-user", "ada").stdout == (
        "0 listed sessions ended.\nOlder sessions of 'ada' that were not listed are refused, too.\n"
    )
    assert client.get("/whoami").text == "None"


def test_no_false_all_clear_where_the_app_binds_sessions(tmp_path: Path) -> None:
    app, client = from_before(tmp_path, follows_logins=False)
    assert client.get("/whoami").text == "ada"
    listed = "No sessions are listed for 'ada'.\nA session is listed once the app has called bind_user for it.\n"
    assert run(app, "list", "ada").stdout == listed
    revoked = "0 listed sessions ended.\nSessions that the app has not bound by bind_user may go on.\n"
    assert run(app, "revoke-user", "ada").stdout == revoked
    assert client.get("/whoami").text == "ada"


def test_cleanup_has_two_names(app: flask.Flask) -> None:
    assert (run(app, "cleanup").stdout, run(app, "cleanup").stderr) == ("0 expired sessions removed.\n", "")
    assert app.test_cli_runner().invoke(args=["session_cleanup"]).stdout == "0 expired sessions removed.\n"


def test_init_db(tmp_path: Path) -> None:
    app = flask.Flask("shop")
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=f"sqlite:///{tmp_path}/shop.db")
    ServerSession(app)
    assert run(app, "init-db").stdout == "Created: fastsession, fastsession_owners.\n"
    assert run(app, "init-db").stdout == "Nothing to do: the tables are there.\n"
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("DROP TABLE fastsession_owners")
    assert run(app, "init-db").stdout == "Created: fastsession_owners.\n"


def test_init_db_where_no_tables_are_needed(app: flask.Flask) -> None:
    check_that_it_is_one_line(app, "init-db", message="there are no tables to create: SQLiteStore needs none")


@pytest.mark.parametrize(
    "arguments", [["list", "ada"], ["revoke", "h." + "a" * 22], ["revoke-user", "ada"], ["cleanup"], ["init-db"]]
)
def test_an_app_with_its_sessions_in_cookies(arguments: list[str]) -> None:
    app = flask.Flask("shop")
    app.secret_key = "k" * 32
    result = run(app, *arguments)
    assert result.exit_code == 2
    assert "ServerSession(app)" in result.output
    assert len(result.output.splitlines()) == 1


# --- Sessions in cookies that can be revoked --------------------------------------------------------------------------


def with_revocations(store: t.Any, every: float = 5) -> flask.Flask:
    app = flask.Flask("shop")
    app.secret_key = "k" * 32
    interface = FastSessionInterface(revocations=Revocations(store, every=every))
    app.session_interface = interface

    @app.get("/login/<user>")
    def login(user: str) -> str:
        session["user"] = user
        interface.bind_user(session, user)
        return user

    @app.get("/whoami")
    def whoami() -> str:
        return str(session.get("user"))

    return app


def test_revoke_user_ends_sessions_in_cookies(tmp_path: Path) -> None:
    app, operator = (
        with_revocations(tmp_path / "revoked.sqlite", every=0),
        with_revocations(tmp_path / "revoked.sqlite"),
    )
    clients = [logged_in(app, user) for user in ("ada", "ada", "bob")]
    result = run(operator, "revoke-user", "ada")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "All present sessions of 'ada' are revoked. Every process refuses them within 5 s.\n"
    assert [client.get("/whoami").text for client in clients] == ["None", "None", "bob"]


def test_init_db_for_revocations(tmp_path: Path) -> None:
    app = with_revocations(f"sqlite:///{tmp_path}/shop.db")
    assert run(app, "init-db").stdout == "Created: fastsession_revocations, fastsession_revocations_end.\n"
    assert run(app, "init-db").stdout == "Nothing to do: the tables are there.\n"
    app = with_revocations(tmp_path / "revoked.sqlite")
    check_that_it_is_one_line(app, "init-db", message="there are no tables to create: SQLiteRevocations needs none")


def test_revoke_user_keeps_no_session_in_a_cookie(tmp_path: Path) -> None:
    app = with_revocations(tmp_path / "revoked.sqlite", every=0)
    client = logged_in(app, "ada")
    check_that_it_is_one_line(app, "revoke-user", "ada", "--keep", "h." + "a" * 22, message="have no names")
    assert client.get("/whoami").text == "ada"


def test_revoke_user_takes_no_empty_id(tmp_path: Path) -> None:
    """As an unset variable of a shell gives it."""
    check_that_it_is_one_line(with_revocations(tmp_path / "revoked.sqlite"), "revoke-user", "", message="USER is empty")


def test_revoke_user_says_what_it_needs() -> None:
    app = flask.Flask("shop")
    app.session_interface = FastSessionInterface()
    message = "in cookies: to end sessions, an app needs FastSessionInterface(revocations=...) or ServerSession(app)"
    check_that_it_is_one_line(app, "revoke-user", "ada", message=message)


@pytest.mark.parametrize("arguments", [["list", "ada"], ["revoke", "h." + "a" * 22]])
def test_a_list_of_sessions_in_cookies(tmp_path: Path, arguments: list[str]) -> None:
    way_out = 'the server has no list of them: "flask session revoke-user USER" ends those of a user'
    check_that_it_is_one_line(with_revocations(tmp_path / "revoked.sqlite"), *arguments, message=f"{way_out};")
    app = flask.Flask("shop")
    app.session_interface = FastSessionInterface()
    message = f"{way_out}, which needs FastSessionInterface(revocations=...);"
    check_that_it_is_one_line(app, *arguments, message=message)


def test_commands_that_end_nothing_do_not_speak_of_it() -> None:
    app = flask.Flask("shop")
    app.session_interface = FastSessionInterface()
    for command in ("cleanup", "migrate", "convert"):
        message = "Error: the app keeps its sessions in cookies; this command is for ServerSession(app)\n"
        check_that_it_is_one_line(app, command, message=message)
    message = "there are no tables without FastSessionInterface(revocations=...) or ServerSession(app)"
    check_that_it_is_one_line(app, "init-db", message=message)


@pytest.mark.parametrize(
    "arguments",
    [["list", "ada"], ["revoke-user", "ada"], ["revoke", "h." + "a" * 22], ["cleanup"], ["migrate"], ["init-db"]],
)
def test_sessions_of_another_package(arguments: list[str]) -> None:
    app = flask.Flask("shop")
    app.session_interface = SessionInterface()
    check_that_it_is_one_line(app, *arguments, message="SessionInterface, which is of another package")


def test_a_store_of_revocations_that_fails_is_one_line() -> None:
    app = with_revocations("redis://:secret@127.0.0.1:1/0")
    check_that_it_is_one_line(app, "revoke-user", "ada", message="ConnectionError")


# --- Stores -----------------------------------------------------------------------------------------------------------


class Plain:
    """A store of somebody's own that knows no owners."""

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return None

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        return True

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool:
        return False

    def delete(self, *keys: str) -> None: ...


@pytest.mark.parametrize("arguments", [["list", "ada"], ["revoke", "h." + "a" * 22], ["revoke-user", "ada"]])
def test_a_store_that_lists_nobodys_sessions(arguments: list[str]) -> None:
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, SESSION_TYPE=t.cast(t.Any, Plain()))
    ServerSession(app)
    result = run(app, *arguments)
    assert result.exit_code == 2
    assert "enlist" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_store_that_fails(app: flask.Flask, tmp_path: Path) -> None:
    (tmp_path / "sessions.sqlite").mkdir()
    result = run(app, "list", "ada")
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1


COMMANDS = (["list", "ada"], ["revoke-user", "ada"], ["cleanup"])


def test_a_store_that_is_locked_is_one_line(tmp_path: Path) -> None:
    app = flask.Flask("shop")
    app.config.update(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"), SESSION_SQLITE_TIMEOUT=0.05)
    ServerSession(app)
    assert run(app, "list", "ada").stdout.startswith("No sessions are listed for 'ada'.\n")
    with closing(sqlite3.connect(tmp_path / "sessions.sqlite")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for arguments in COMMANDS[1:]:
            check_that_it_is_one_line(app, *arguments, message="database is locked")


def test_a_store_that_is_away_is_one_line() -> None:
    app = flask.Flask("shop")
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS="redis://:secret@127.0.0.1:1/0")
    ServerSession(app)
    for arguments in COMMANDS[:2]:
        check_that_it_is_one_line(app, *arguments, message="ConnectionError")
    failed = run(app, "list", "ada", "--json")
    assert (failed.exit_code, failed.stderr) == (2, "")
    assert "ConnectionError" in json.loads(failed.stdout)["error"]
