"""Served by gunicorn: how many requests a second one worker answers, stock, tuned Python, ours and without sessions.

The request is the usual one of an app with Flask-Login: a permanent session, read by the view and refreshed in the
answer. wrk sends it as fast as it is answered, from another core.
Run from the root of the project by ``python -m benches.bench_serve``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from contextlib import ExitStack
from contextlib import closing
from contextlib import contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median

from flask import Flask

from benches import bench_request
from benches.bench_request import IMPLEMENTATIONS
from benches.bench_request import Answer
from benches.bench_request import NullSessionInterface
from benches.timing import Timing
from benches.timing import declined_in
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from flask_fastsession import FastSessionInterface

CASE = bench_request.CASES["refreshed read"]
NAMES = (*IMPLEMENTATIONS, "null")
WORKERS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
}
HOST = "127.0.0.1"
# So many that no thread of a worker ever waits for its next request.
CONNECTIONS = 8
SCRIPT = Path(__file__).with_name("wrk.lua")


def create_app(name: str) -> Flask:
    """Return the app that gunicorn serves."""
    interface = NullSessionInterface(CASE.sessions[0]) if name == "null" else IMPLEMENTATIONS[name]()
    app = bench_request.create_app(interface)
    if isinstance(interface, FastSessionInterface):
        app.add_url_rule("/stats", view_func=interface.stats)
    return app


class Cores(t.NamedTuple):
    """One to serve and another to ask; which ones is up to the system where it does not let processes choose."""

    server: int | None
    client: int | None

    @classmethod
    def choose(cls) -> Cores:
        if sys.platform != "linux":
            return cls(None, None)
        available = sorted(os.sched_getaffinity(0))
        # The first and the last are seldom two threads of one core.
        return cls(available[0], available[-1])


def on_core(core: int | None, *command: str) -> list[str]:
    return list(command) if core is None else ["taskset", "-c", f"{core}", *command]


# --- The server -------------------------------------------------------------------------------------------------------


@contextmanager
def serving(name: str, worker: str, core: int | None) -> t.Iterator[int]:
    """Run gunicorn with one worker, and yield its port."""
    # gunicorn is handed a socket that listens already: its port was free, and the first request waits for the worker.
    with socket.create_server((HOST, 0)) as listener:
        # As gunicorn has it on sockets of its own making; without it some answers wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port: int = listener.getsockname()[1]
        bind = ["--bind", f"fd://{listener.fileno()}", "--no-control-socket", "--log-level", "warning"]
        options = ["--workers", "1", *WORKERS[worker], *bind, f"benches.bench_serve:create_app({name!r})"]
        command = on_core(core, sys.executable, "-m", "gunicorn", *options)
        server = subprocess.Popen(command, pass_fds=[listener.fileno()])
    with server:
        try:
            yield port
        finally:
            server.terminate()


def get(port: int, path: str, headers: t.Mapping[str, str]) -> Answer:
    with closing(HTTPConnection(HOST, port, timeout=30)) as connection:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        received = [(name, value) for name, value in response.getheaders() if name != "Date"]
        return Answer(f"{response.status} {response.reason}", received, response.read())


# --- Before the load, and after it ------------------------------------------------------------------------------------


def check(ports: t.Mapping[str, int], cookies: t.Sequence[str]) -> None:
    """Make sure that all answer alike, down to the order of the headers, and each cookie with the user in it."""
    for cookie, value in zip(cookies, CASE.sessions, strict=True):
        answers = answers_of_one_second(ports, cookie)
        for name in IMPLEMENTATIONS:
            assert answers[name] == answers["stock"], f"{name} answers {answers[name]}, but stock {answers['stock']}"
        assert answers["stock"].status == answers["null"].status == "200 OK", answers
        assert answers["stock"].body.decode() == value["_user_id"], answers["stock"]


def answers_of_one_second(ports: t.Mapping[str, int], cookie: str) -> dict[str, Answer]:
    """Ask until no second passed meanwhile, so that the dates in the answers are the same."""
    while True:
        second = int(time.time())
        answers = {name: get(port, CASE.path, {"Cookie": cookie}) for name, port in ports.items()}
        if int(time.time()) == second:
            return answers


def check_native(port: int, requests: int) -> None:
    """Make sure that native code found so many sessions, every one good, and left none to stock code."""
    stats = json.loads(get(port, "/stats", {}).body)
    assert stats["open"]["native"] >= requests, f"{requests} requests, but these sessions: {stats}"
    assert stats["loads"]["rejected"] == 0, f"not every cookie was good: {stats}"
    assert not declined_in(stats), f"some of it was not done natively: {stats}"


# --- The load ---------------------------------------------------------------------------------------------------------


class Load(t.NamedTuple):
    requests: int
    seconds: float


def put_load(port: int, cookies: t.Sequence[str], seconds: int, core: int | None) -> Load:
    """Have wrk send requests for some seconds, and return what was answered."""
    options = ["--threads", "1", "--connections", f"{CONNECTIONS}", "--duration", f"{seconds}s"]
    command = on_core(core, "wrk", *options, "--script", str(SCRIPT), f"http://{HOST}:{port}{CASE.path}")
    environ = os.environ | {"COOKIES": "\n".join(cookies)}
    printed = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True).stdout
    counts = json.loads(printed.splitlines()[-1])
    # Failures by status are among them. A connection that a sync worker closes is no error: its answer has a length.
    assert not any(counts["errors"].values()), f"not every request was answered well: {printed}"
    return Load(counts["requests"], counts["microseconds"] / 1e6)


def measure(worker: str, *, seconds: int, rounds: int, cores: Cores) -> dict[str, Timing]:
    """Return the time from one answer to the next, the null session's among them."""
    cookies = [environ["HTTP_COOKIE"] for environ in bench_request.make_environs(CASE)]
    loads: dict[str, list[Load]] = {name: [] for name in NAMES}
    random = Random(rounds)
    for _ in range(rounds):
        # Each round has servers of its own: what a process got by luck, its addresses and hashes, it keeps for life.
        # They run all the while, for those that wait take nothing, and were compared before the load.
        with ExitStack() as servers:
            ports = {name: servers.enter_context(serving(name, worker, cores.server)) for name in NAMES}
            check(ports, cookies)
            for name, load in take_turns(ports, cookies, seconds, cores.client, random).items():
                loads[name].append(load)
            check_native(ports["ours"], loads["ours"][-1].requests)
    return {name: timing_of(values) for name, values in loads.items()}


def take_turns(
    ports: t.Mapping[str, int], cookies: t.Sequence[str], seconds: int, core: int | None, random: Random
) -> dict[str, Load]:
    """Put so many seconds of load on each server, one second at a time, since a machine has its moods."""
    requests = dict.fromkeys(ports, 0)
    elapsed = dict.fromkeys(ports, 0.0)
    turns = list(ports)
    for _ in range(seconds):
        random.shuffle(turns)
        for name in turns:
            load = put_load(ports[name], cookies, 1, core)
            requests[name] += load.requests
            elapsed[name] += load.seconds
    return {name: Load(requests[name], elapsed[name]) for name in ports}


def timing_of(loads: t.Sequence[Load]) -> Timing:
    typical = round(median(load.requests for load in loads))
    return Timing([load.seconds / load.requests for load in loads], typical)


def rate(timing: Timing) -> str:
    # Of three rounds or so, the lowest and the highest say more than a deviation.
    rates = sorted(1 / seconds for seconds in timing.seconds)
    return f"{median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of load in each round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="each with new servers (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/serve.json"), help="default: %(default)s")
    arguments = parser.parse_args()
    cores = Cores.choose()
    if shutil.which("wrk") is None:
        parser.exit(2, "wrk is needed: apt-get install wrk\n")
    if find_spec("gunicorn") is None:
        parser.exit(2, "gunicorn is needed: pip install -r requirements/bench.txt\n")
    if cores.server is not None and cores.server == cores.client:
        parser.exit(2, "Two cores are needed: one to serve, and one for wrk.\n")
    # Terminated, or with its terminal gone, it leaves no server behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))

    rows: list[list[object]] = []
    timings: dict[str, Timing] = {}
    for worker in WORKERS:
        timing = measure(worker, seconds=arguments.seconds, rounds=arguments.rounds, cores=cores)
        timings |= {f"serve {worker} {name}": value for name, value in timing.items()}
        rates = [rate(timing[name]) for name in ("null", *IMPLEMENTATIONS)]
        rows.append([worker, *rates, ratio(timing["stock"], timing["ours"]), ratio(timing["null"], timing["ours"])])
    print("Requests a second that one worker of gunicorn answers:")
    print(f"median (lowest-highest) of {arguments.rounds} rounds of {arguments.seconds} seconds in turns of one.\n")
    print_table(["", "null session", "stock", "tuned", "ours", "ours/stock", "ours/null"], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
