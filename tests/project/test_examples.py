"""The small applications under examples/ do what their first lines say. test_readme.py has the README's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType

import pytest
import time_machine
from flask.sessions import SecureCookieSessionInterface

from examples import devices
from examples import factory
from examples import flask_login_app
from examples import gunicorn_app
from examples import login
from tests.patience import HANGS_AFTER

ROOT = Path(__file__).parents[2]


# --- The factory ----------------------------------------------------------------------------------------------------


def test_the_factory_makes_apps_that_share_an_interface_but_no_session() -> None:
    apps = [factory.create_app({"SECRET_KEY": key}) for key in ("one", "another")]
    assert apps[0].session_interface is apps[1].session_interface
    clients = [app.test_client() for app in apps]
    clients[0].post("/basket/tea")
    assert clients[0].post("/basket/milk").text == "in the basket: tea, milk"
    assert clients[0].get("/").text == "in the basket: tea, milk"
    cookie = clients[0].get_cookie("session")
    assert cookie is not None
    clients[1].set_cookie("session", cookie.value)
    assert clients[1].get("/").text == "in the basket: nothing"


def test_the_factory_takes_its_config_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SECRET_KEY", "from the environment")
    monkeypatch.setenv("FLASK_SESSION_COOKIE_SECURE", "true")
    app = factory.create_app()
    assert app.secret_key == "from the environment"
    response = app.test_client().post("/basket/tea", base_url="https://localhost")
    assert "; Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("module", [factory, gunicorn_app])
def test_without_a_key_there_is_no_app(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASK_SECRET_KEY", raising=False)
    with pytest.raises(RuntimeError, match="FLASK_SECRET_KEY"):
        module.create_app()


# --- Flask-Login ----------------------------------------------------------------------------------------------------


def test_flask_login_logs_in_and_out() -> None:
    client = flask_login_app.create_app().test_client()
    assert client.get("/").status_code == 302
    assert client.post("/login", data={"user": "ada", "password": "byron"}).status_code == 401
    assert client.get("/").status_code == 302
    client.post("/login", data={"user": "ada", "password": "lovelace"})
    assert "Hello, ada." in client.get("/").text
    client.get("/logout")
    assert client.get("/").status_code == 302


def test_a_login_lasts_for_thirty_days_at_most() -> None:
    app = flask_login_app.create_app()
    client = app.test_client()
    with time_machine.travel("2026-01-01", tick=False) as clock:
        client.post("/login", data={"user": "alan", "password": "turing"})
        clock.shift(timedelta(days=29))
        assert "Hello, alan." in client.get("/").text
        clock.shift(timedelta(days=1))
        assert client.get("/").status_code == 302


@pytest.mark.parametrize("module", [flask_login_app, login])
def test_logins_are_handled_natively(module: ModuleType) -> None:
    app = module.create_app()
    client = app.test_client()
    client.post("/login", data={"user": "ada", "password": "lovelace"})
    for _ in range(3):
        client.get("/")
    stats = app.session_interface.stats()
    assert stats["open"] == {"native": 4, "declined": {}}
    assert stats["loads"]["native"] == 3
    assert not stats["dumps"]["declined"]


# --- Sessions on the server -----------------------------------------------------------------------------------------


def test_a_user_sees_devices_and_logs_out_there(tmp_path: Path) -> None:
    app = devices.create_app({"SESSION_SQLITE_PATH": str(tmp_path / "sessions.sqlite"), "TESTING": True})
    phone, laptop, stranger = (app.test_client() for _ in range(3))
    for client, agent in ((phone, "a phone"), (laptop, "a laptop")):
        client.post("/login", data={"user": "ada", "password": "lovelace"}, headers={"User-Agent": agent})
    stranger.post("/login", data={"user": "alan", "password": "turing"})
    page = laptop.get("/").text
    assert "a phone" in page and "a laptop" in page
    forms = re.findall(r'action="(/devices/[^"]+/end)"', page)
    assert len(forms) == 2

    # Another user's device is none of his.
    assert stranger.post(forms[0]).status_code == 404
    assert app.test_client().post(forms[0]).status_code == 401
    # Those that begin within one second may be listed in either order.
    laptop.post(re.findall(r'a phone,.*?action="(/devices/[^"]+/end)"', page, re.DOTALL)[0])
    assert "Log in" in phone.get("/").text
    assert "a phone" not in laptop.get("/").text

    phone.post("/login", data={"user": "ada", "password": "lovelace"})
    laptop.post("/devices/end-others")
    assert "Log in" in phone.get("/").text
    assert "Hello, ada." in laptop.get("/").text
    laptop.post("/logout")
    assert "Log in" in laptop.get("/").text
    assert "Hello, alan." in stranger.get("/").text


def test_a_wrong_password_opens_nothing(tmp_path: Path) -> None:
    client = devices.create_app({"SESSION_SQLITE_PATH": str(tmp_path / "sessions.sqlite")}).test_client()
    assert client.post("/login", data={"user": "ada", "password": "byron"}).status_code == 401
    assert "Log in" in client.get("/").text


# --- gunicorn -------------------------------------------------------------------------------------------------------

LISTENS = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")
COUNTS = re.compile(r"Sessions of worker (\d+): (\{.*\})")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """gunicorn with the example's config, on any free port."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "gunicorn", "--config", "examples/gunicorn_app/config.py"]
    environment = {**os.environ, "FLASK_SECRET_KEY": "shared by the workers", "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--bind", "127.0.0.1:0"], cwd=ROOT, env=environment, stdout=errors, stderr=errors
        )
    try:
        yield int(awaited(LISTENS, log, process)[1]), process, log
    finally:
        process.kill()
        process.wait()


def awaited(pattern: re.Pattern[str], log: Path, process: subprocess.Popen[bytes]) -> re.Match[str]:
    deadline = time.monotonic() + HANGS_AFTER
    while time.monotonic() < deadline and process.poll() is None:
        if match := pattern.search(log.read_text()):
            return match
        time.sleep(0.05)
    raise AssertionError(f"gunicorn did not say {pattern.pattern}:\n{log.read_text()}")


def answer(port: int, cookie: str | None) -> tuple[dict[str, int], str]:
    """What the app answers over a connection of its own, so that either worker may take it, and the cookie it sets."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HANGS_AFTER)
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    response = connection.getresponse()
    body: dict[str, int] = json.loads(response.read())
    connection.close()
    return body, t.cast(str, response.headers["Set-Cookie"]).partition(";")[0]


def test_workers_of_gunicorn_share_sessions_and_count_for_themselves(
    server: tuple[int, subprocess.Popen[bytes], Path],
) -> None:
    port, process, log = server
    cookie = None
    visits: list[int] = []
    workers: set[int] = set()
    while len(workers) < 2 and len(visits) < 2000:
        body, cookie = answer(port, cookie)
        visits.append(body["visits"])
        workers.add(body["worker"])
    assert visits == list(range(1, len(visits) + 1))
    assert len(workers) == 2, "only one worker has ever answered"

    process.terminate()
    assert process.wait(HANGS_AFTER) == 0
    counts = {int(pid): json.loads(text) for pid, text in COUNTS.findall(log.read_text())}
    assert counts.keys() == workers
    assert sum(count["save"]["native"] for count in counts.values()) == len(visits)
    assert not any(count["open"]["declined"] for count in counts.values())


def test_a_cookie_of_the_gunicorn_app_is_one_of_flask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SECRET_KEY", "shared by the workers")
    app = gunicorn_app.create_app()
    client = app.test_client()
    assert client.get("/").json == {"visits": 1, "worker": os.getpid()}
    app.session_interface = SecureCookieSessionInterface()
    assert client.get("/").json == {"visits": 2, "worker": os.getpid()}
