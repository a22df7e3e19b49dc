"""A slice of what ``python -m tests.revocations.workers`` does, and a store that is killed under load."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.server.servers import redis_server

from . import workers
from .served import TIME_LIMIT

ROUNDS = 1000 if os.environ.get("FAULTS") == "whole" else 10


@pytest.mark.parametrize("store", workers.STORES)
def test_a_copy_is_refused_by_all_workers(store: str, tmp_path: Path) -> None:
    with workers.source_of(store, tmp_path) as source, workers.served(source, tmp_path, 0.5) as port:
        outcome = workers.run(workers.connected(port), ROUNDS, 0.5)
    assert (outcome.rounds, outcome.accepted_at_once, outcome.accepted_later, outcome.thieves) == (ROUNDS, 0, 0, 0)


def test_a_store_that_is_killed_under_load(tmp_path: Path) -> None:
    every = 1.0

    def load(port: int, cookie: str, deadline: float) -> tuple[float, set[str]]:
        """The longest time of a request, and the answers."""
        longest, answers = 0.0, set()
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < deadline:
            began = time.monotonic()
            connection.request("GET", "/", headers={"Cookie": f"session={cookie}"})
            answers.add(connection.getresponse().read().decode())
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
        return longest, answers

    def status_of(port: int, path: str, cookie: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path, headers={"Cookie": f"session={cookie}"})
        return connection.getresponse().status

    with redis_server(tmp_path) as redis:
        source = f"redis://{redis.host}:{redis.port}"
        with workers.served(source, tmp_path, every) as port:
            connections = workers.connected(port)
            _, ada = connections[0].get("/login/ada")
            _, bob = connections[0].get("/login/bob")
            for worker in connections:
                assert worker.get("/", ada)[0] == "ada"
            with ThreadPoolExecutor(4) as pool:
                loads = [pool.submit(load, port, ada, time.monotonic() + 5) for _ in range(4)]
                time.sleep(0.5)
                redis.pause()
                time.sleep(1.5)
                redis.kill()
                # In any worker, which may notice only now that the store is away.
                assert status_of(port, "/logout", bob) == 500
                time.sleep(1)
                redis.start()
                outcomes = [each.result() for each in loads]
            # The machine may be slow, but a request that waits for one that waits would show.
            assert max(longest for longest, _ in outcomes) < 10 * TIME_LIMIT
            assert set().union(*(answers for _, answers in outcomes)) == {"ada"}
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                texts = [worker.get("/", bob)[0] for worker in connections]
                waiting = sum(json.loads(worker.get("/stats")[0])["waiting"] for worker in connections)
                if set(texts) == {"nobody"} and not waiting:
                    return
                time.sleep(0.1)
            raise AssertionError(f"{texts}, and {waiting} wait")
