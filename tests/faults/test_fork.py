"""Processes that fork after sessions were used: servers with workers, and programs with threads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import typing as t
from collections import ChainMap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextlib import contextmanager
from http.client import HTTPConnection
from textwrap import dedent
from urllib.parse import quote

import pytest

from tests.contract.parity import Interface
from tests.patience import HANGS_AFTER

from .served import USED_BEFORE
from .support import ROOT
from .support import Ending
from .support import run_script
from .support import scaled

HOST = "127.0.0.1"
USERS = 12
VISITS = scaled(15, 3_000)

WORKERS = {
    "sync": ["--preload", "--workers", "4", "--worker-class", "sync"],
    "gthread": ["--preload", "--workers", "4", "--worker-class", "gthread", "--threads", "4"],
    # gevent has to replace what the app uses before the app is made, so not with --preload.
    "gevent": ["--workers", "1", "--worker-class", "gevent"],
}


@contextmanager
def serving(worker: str) -> Iterator[int]:
    """Run gunicorn, and yield its port."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with socket.create_server((HOST, 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port: int = listener.getsockname()[1]
        bind = ["--bind", f"fd://{listener.fileno()}", "--no-control-socket", "--log-level", "warning"]
        command = [sys.executable, "-m", "gunicorn", *WORKERS[worker], *bind, "tests.faults.served:create_app()"]
        server = subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()])
    with server:
        try:
            yield port
        finally:
            server.terminate()
    assert server.returncode == 0


def get(port: int, path: str, cookie: str | None) -> tuple[dict[str, t.Any], str]:
    """The JSON of the answer, and the cookie to come back with."""
    with closing(HTTPConnection(HOST, port, timeout=HANGS_AFTER)) as connection:
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read()), response.getheader("Set-Cookie", "").partition(";")[0]


def visit_often(port: int, user: str) -> dict[int, dict[str, t.Any]]:
    """Come back again and again as one user, and return which processes have answered, with their latest stats."""
    cookie: str | None = None
    stats = {}
    for number in range(1, VISITS + 1):
        answer, cookie = get(port, f"/visit/{quote(user)}", cookie)
        assert (answer["user"], answer["visits"]) == (user, number)
        stats[answer["process"]] = answer["stats"]
    return stats


@pytest.mark.parametrize("worker", WORKERS)
def test_workers_keep_sessions_apart(worker: str) -> None:
    with serving(worker) as port, ThreadPoolExecutor(USERS) as pool:
        users = [f"user {number}" for number in range(USERS)]
        by_process = ChainMap(*pool.map(lambda user: visit_often(port, user), users))
    assert (len(by_process) > 1) == ("--preload" in WORKERS[worker])
    for stats in by_process.values():
        # Those of the process that forked are counted on.
        assert stats["open"]["native"] > USED_BEFORE
        assert stats["open"]["declined"] == {}
        assert set(stats["save"]["declined"]) == {"value_type"}


# A process that hangs is ended by its alarm.
USING = """
    import signal
    import threading
    import time

    def use():
        with app.app_context():
            session = open_by(app, token)
            session["name 0"] += 1
            assert open_by(app, token_in(save_by(app, session))) == {**value, "name 0": 1}

    def fork_and_use():
        process = os.fork()
        if not process:
            signal.alarm(HANGS_AFTER)
            use()
            os._exit(0)
        return status_text(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))

    def repeat(act):
        while not is_over.is_set():
            act()

    def come_and_go():
        threads = [threading.Thread(target=open_by, args=(app, token)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    app = app_with(interface_class)
    # Many names, for what a thread keeps for itself.
    value = {f"name {number}": number for number in range(200)}
    token = app_with(Interface).session_interface.get_signing_serializer(app).dumps(value)
    is_over = threading.Event()
"""


@pytest.mark.parametrize("act", ["use", "come_and_go"])
def test_forks_while_threads_use_it(interface_class: type[Interface], act: str) -> None:
    script = f"""
        use()
        threads = [threading.Thread(target=repeat, args=({act},)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(int(sys.argv[2])):
            status = fork_and_use()
            if status != "exit 0":
                print(f"fork {{number}}:", status)
                break
        is_over.set()
    """
    ending = run_script(
        interface_class, dedent(USING) + dedent(script), scaled(80, 10_000), timeout=scaled(HANGS_AFTER, 1200)
    )
    assert ending == Ending("exit 0", "")


def test_forks_while_another_thread_uses_it_for_the_first_time(interface_class: type[Interface]) -> None:
    # Each try is a process in which the package has been imported, but nothing of it was used.
    script = """
        def try_once(is_saved):
            def use_for_the_first_time():
                nonlocal is_in_use
                with app.app_context():
                    session = app.session_interface.session_class(value)
                    session.modified = True
                    request = request_of(app, token)
                    is_in_use = True
                    save_by(app, session) if is_saved else app.session_interface.open_session(app, request)

            is_in_use = False
            thread = threading.Thread(target=use_for_the_first_time)
            thread.start()
            # Once the other thread is in the middle of it, this one goes on as soon as it is given the chance.
            while not is_in_use:
                pass
            status = fork_and_use()
            thread.join()
            return status

        for number in range(int(sys.argv[2])):
            process = os.fork()
            if not process:
                os._exit(try_once(number % 2) != "exit 0")
            if os.waitpid(process, 0)[1]:
                print(f"try {number}: hung")
                break
    """
    ending = run_script(
        interface_class, dedent(USING) + dedent(script), scaled(20, 4_000), timeout=scaled(HANGS_AFTER, 1200)
    )
    assert ending == Ending("exit 0", "")
