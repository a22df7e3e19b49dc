"""Four workers of gunicorn that share a store: rounds of login, copy and logout, and thieves.

Run by ``python -m tests.revocations.workers --rounds 1000``: on SQLite, Redis and PostgreSQL, or on one ``--store``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from http.client import HTTPConnection
from pathlib import Path

from tests.patience import HANGS_AFTER
from tests.server.servers import postgresql_server
from tests.server.servers import redis_server
from tests.workers import serving

WORKERS = 4
STORES = ("sqlite", "redis", "postgresql")

#: Rounds whose copies are tried together once ``every`` has passed.
BATCH = 50


@dataclass
class Worker:
    """A connection that one worker answers."""

    connection: HTTPConnection
    pid: str = ""

    def get(self, path: str, cookie: str = "") -> tuple[str, str]:
        """The answer, and the cookie that the browser has then."""
        self.connection.request("GET", path, headers={"Cookie": f"session={cookie}"} if cookie else {})
        response = self.connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise AssertionError(f"{path} is answered by {response.status}")
        self.pid = t.cast(str, response.headers["X-Worker"])
        line = response.headers["Set-Cookie"]
        return text, cookie if line is None else line.partition("=")[2].partition(";")[0]


@contextmanager
def source_of(store: str, folder: Path) -> Iterator[str]:
    """A path or URL for a store of this kind."""
    if store == "sqlite":
        yield str(folder / "revocations.sqlite")
    elif store == "redis":
        with redis_server(folder) as redis:
            yield f"redis://{redis.host}:{redis.port}"
    else:
        with postgresql_server() as postgresql:
            yield postgresql.url


@contextmanager
def served(source: str, folder: Path, every: float, time_limit: float = HANGS_AFTER) -> Iterator[int]:
    """The port at which the workers listen; they wait for Redis for ``time_limit`` seconds."""
    environment = {
        "REVOCATIONS": source,
        "REVOCATIONS_EVERY": f"{every}",
        "REVOCATIONS_TIME_LIMIT": f"{time_limit}",
    }
    options = ["--workers", f"{WORKERS}", "--threads", "4", "--keep-alive", "600"]
    with serving("tests.revocations.served:create_app()", folder, environment, *options) as port:
        yield port


def connected(port: int) -> list[Worker]:
    """One connection to each worker."""
    workers: dict[str, Worker] = {}
    for _ in range(1000):
        worker = Worker(HTTPConnection("127.0.0.1", port, timeout=HANGS_AFTER))
        worker.get("/")
        if workers.setdefault(worker.pid, worker) is not worker:
            worker.connection.close()
        if len(workers) == WORKERS:
            return list(workers.values())
    raise AssertionError(f"only {len(workers)} workers have ever answered")


@dataclass
class Outcome:
    rounds: int = 0
    #: Copies that the worker took which had just logged their session out.
    accepted_at_once: int = 0
    #: Copies that any worker took after ``every``.
    accepted_later: int = 0
    #: Thieves that were still in after ``every``.
    thieves: int = 0
    copies: list[str] = field(default_factory=list)


def run(workers: list[Worker], rounds: int, every: float) -> Outcome:
    outcome = Outcome()
    while outcome.rounds < rounds:
        batch = [run_round(workers, outcome) for _ in range(min(BATCH, rounds - outcome.rounds))]
        rob(workers, batch, outcome, every)
    return outcome


def run_round(workers: list[Worker], outcome: Outcome) -> str:
    """Log in, copy the cookie and log out, by one worker after another. Return the copy."""
    number = outcome.rounds
    outcome.rounds += 1
    first, second, third = (workers[(number + step) % WORKERS] for step in range(3))
    _, copied = first.get(f"/login/user-{number}")
    text, _ = second.get("/", copied)
    assert text == f"user-{number}", text
    # Every other one is ended by its user rather than by a logout.
    third.get("/logout" if number % 2 else f"/revoke/user-{number}", copied)
    text, _ = third.get("/", copied)
    outcome.accepted_at_once += text != "nobody"
    return copied


def rob(workers: list[Worker], copies: list[str], outcome: Outcome, every: float) -> None:
    """Have thieves make what they can of the copies until ``every`` has passed, and then try all of it everywhere."""
    deadline = time.monotonic() + every
    loot = {copied: [copied] for copied in copies}
    turn = 0
    while time.monotonic() < deadline:
        for copied in copies:
            turn += 1
            how = ("clear", "bind", "keep")[turn % 3]
            _, cookie = workers[turn % WORKERS].get(f"/rotate/{how}", loot[copied][-1])
            if cookie and cookie != loot[copied][-1]:
                loot[copied].append(cookie)
    for copied, cookies in loot.items():
        answers = {worker.get("/", cookie)[0] for worker in workers for cookie in cookies}
        outcome.accepted_later += any(worker.get("/", copied)[0] != "nobody" for worker in workers)
        outcome.thieves += answers != {"nobody"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    parser.add_argument("--store", choices=STORES, action="append")
    arguments = parser.parse_args()
    failed = False
    for store in arguments.store or STORES:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            source = stack.enter_context(source_of(store, folder))
            port = stack.enter_context(served(source, folder, arguments.every))
            outcome = run(connected(port), arguments.rounds, arguments.every)
        print(
            f"{store}: of {outcome.rounds} copies {outcome.accepted_at_once} were taken at once by the worker that "
            f"ended the session, and {outcome.accepted_later} by any worker after {arguments.every} s; "
            f"{outcome.thieves} thieves were in by then"
        )
        failed |= bool(outcome.accepted_at_once or outcome.accepted_later or outcome.thieves)
    sys.exit(failed)


if __name__ == "__main__":
    main()
