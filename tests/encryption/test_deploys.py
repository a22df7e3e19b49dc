"""Rolling deploys under load: workers of gunicorn are replaced one after the other, and nobody is logged out."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.patience import HANGS_AFTER
from tests.workers import serving

from .test_migration import STEPS
from .test_migration import is_encrypted

WORKERS = 2
VISITORS = 4


class Visitor:
    """A browser, whose requests go to any worker."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name, self.cookie, self.count = port, name, "", 0
        self.get(f"/login/{name}")

    def get(self, path: str) -> tuple[str, str]:
        """Return which worker has answered, and its step."""
        response, user = self._answer(path)
        assert (response.status, user) == (200, self.name), f"{self.name} is logged out, after {self.count} requests"
        line = response.headers["Set-Cookie"]
        assert line is not None
        self.cookie = line.partition("=")[2].partition(";")[0]
        self.count += 1
        return response.headers["X-Worker"], response.headers["X-Step"]

    def _answer(self, path: str) -> tuple[HTTPResponse, str]:
        while True:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=HANGS_AFTER)
            try:
                connection.request("GET", path, headers={"Cookie": f"session={self.cookie}"} if self.cookie else {})
                response = connection.getresponse()
                return response, response.read().decode()
            except ConnectionError:
                # A worker that is stopped may give up a connection that it has just accepted. A browser tries again.
                continue
            finally:
                connection.close()

    def visit(self, is_over: threading.Event) -> None:
        # Slowly: workers that start need the cores, too.
        while not is_over.wait(0.1):
            self.get("/")
            self.get(f"/write/{self.count}")


def replace_workers(visitor: Visitor, step: str) -> None:
    """Stop workers of another step, one by one, until all are of this one. gunicorn starts others in their place."""
    stopped: set[str] = set()
    found: set[str] = set()
    deadline = time.monotonic() + HANGS_AFTER
    while len(found) < WORKERS:
        assert time.monotonic() < deadline, f"only {len(found)} workers are at step {step}"
        worker, its_step = visitor.get("/")
        if its_step == step:
            found.add(worker)
        elif len(stopped) == len(found) and worker not in stopped:
            stopped.add(worker)
            os.kill(int(worker), signal.SIGTERM)


def deploy(steps: list[int], folder: Path) -> list[Visitor]:
    """Deploy one step after the other, and return the visitors, none of whom was logged out."""
    file = folder / "step"
    file.write_text(f"{steps[0]}")
    options = ["--workers", f"{WORKERS}"]
    with serving("tests.encryption.served:create_app()", folder, {"STEP_FILE": str(file)}, *options) as port:
        visitors = [Visitor(port, f"visitor-{number}") for number in range(VISITORS)]
        is_over = threading.Event()
        with ThreadPoolExecutor(VISITORS) as pool:
            visits = [pool.submit(visitor.visit, is_over) for visitor in visitors]
            try:
                deployer = Visitor(port, "deployer")
                for step in steps:
                    file.write_text(f"{step}")
                    replace_workers(deployer, f"{step}")
            finally:
                is_over.set()
            for visit in visits:
                visit.result()
    return visitors


@pytest.mark.parametrize("direction", [1, -1], ids=["there", "back"])
def test_a_rolling_deploy_logs_nobody_out(direction: int, tmp_path: Path) -> None:
    visitors = deploy(list(range(len(STEPS)))[::direction], tmp_path)
    assert all(visitor.count > 10 for visitor in visitors)
    assert {is_encrypted(visitor.cookie) for visitor in visitors} == {direction == 1}


def test_a_step_that_is_left_out_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="logged out"):
        deploy([0, 2], tmp_path)
