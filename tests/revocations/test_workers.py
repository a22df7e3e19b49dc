"""A slice of what ``python -m tests.revocations.workers`` does, and a store that is killed under load."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.patience import HANGS_AFTER
from tests.server.servers import redis_server
from tests.server.servers import wait_until

from . import workers

ROUNDS = 1000 if os.environ.get("FAULTS") == "whole" else 10


@pytest.mark.parametrize("store", workers.STORES)
def test_a_copy_is_refused_by_all_workers(store: str, tmp_path: Path) -> None:
    with workers.source_of(store, tmp_path) as source, workers.served(source, tmp_path, 0.5) as port:
        outcome = workers.run(workers.connected(port), ROUNDS, 0.5)
    assert (outcome.rounds, outcome.accepted_at_once, outcome.accepted_later, outcome.thieves) == (ROUNDS, 0, 0, 0)


def test_a_store_that_is_killed_under_load(tmp_path: Path) -> None:
    every, time_limit = 1.0, 0.25
    # How many answers each of those has got who send requests without pause, and what answers.
    counts, answers = [0] * 4, set()
    is_over = threading.Event()

    def load(number: int, port: int, cookie: str) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=HANGS_AFTER)
        while not is_over.wait(0.01):
            connection.request("GET", "/", headers={"Cookie": f"session={cookie}"})
            answers.add(connection.getresponse().read().decode())
            counts[number] += 1

    def all_get_answers() -> None:
        before = list(counts)
        wait_until(lambda: all(now > was + 5 for now, was in zip(counts, before, strict=True)), "answers")

    def status_of(port: int, path: str, cookie: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=HANGS_AFTER)
        connection.request("GET", path, headers={"Cookie": f"session={cookie}"})
        return connection.getresponse().status

    with redis_server(tmp_path) as redis:
        source = f"redis://{redis.host}:{redis.port}"
        with workers.served(source, tmp_path, every, time_limit) as port:
            connections = workers.connected(port)
            _, ada = connections[0].get("/login/ada")
            _, bob = connections[0].get("/login/bob")
            for worker in connections:
                assert worker.get("/", ada)[0] == "ada"
            with ThreadPoolExecutor(4) as pool:
                loads = [pool.submit(load, number, port, ada) for number in range(4)]
                try:
                    all_get_answers()
                    redis.pause()
                    time.sleep(1.5 * every)
                    all_get_answers()
                    redis.kill()
                    # In any worker, which may notice only now that the store is away.
                    assert status_of(port, "/logout", bob) == 500
                    time.sleep(every)
                    all_get_answers()
                    redis.start()
                    all_get_answers()
                finally:
                    is_over.set()
                for each in loads:
                    each.result()
            assert answers == {"ada"}
            deadline = time.monotonic() + HANGS_AFTER
            while time.monotonic() < deadline:
                texts = [worker.get("/", bob)[0] for worker in connections]
                waiting = sum(json.loads(worker.get("/stats")[0])["waiting"] for worker in connections)
                if set(texts) == {"nobody"} and not waiting:
                    return
                time.sleep(0.1)
            raise AssertionError(f"{texts}, and {waiting} wait")
