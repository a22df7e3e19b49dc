"""The operations whose instructions are counted: do each of them over and over, each time in a process of its own.

``instructions`` runs this under valgrind: ``python -m benches.operations 2 6`` takes two turns in one process, then six
in another. They are forked from this one, so that they differ by nothing but their turns. Their ids are printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import typing as t
from contextlib import AbstractContextManager
from contextlib import nullcontext

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from benches import bench_codec
from benches import bench_request
from benches.bench_codec import dump_all
from benches.bench_codec import load_all
from benches.bench_request import CASES
from benches.bench_request import answer_all
from benches.bench_request import create_app
from benches.bench_request import create_null_app
from benches.bench_request import make_environs
from benches.timing import declined_in
from flask_fastsession import FastSessionInterface

if t.TYPE_CHECKING:
    from itsdangerous import URLSafeTimedSerializer

CASE = CASES["refreshed read"]
CALLS_A_TURN = len(CASE.sessions)
WARM_UP_TURNS = 2


def make_app(interface: SecureCookieSessionInterface) -> tuple[Flask, URLSafeTimedSerializer]:
    """Return an app, and the serializer of its sessions."""
    app = create_app(interface)
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    return app, serializer


def check() -> None:
    """Make sure that all that is to be counted gives stock's answers."""
    stock_app, stock_serializer = make_app(SecureCookieSessionInterface())
    our_app, our_serializer = make_app(FastSessionInterface())
    bench_codec.check({"stock": stock_serializer, "ours": our_serializer}, CASE.sessions)
    bench_request.check({"stock": stock_app, "ours": our_app}, make_environs(CASE))


class Operation(t.NamedTuple):
    """In one turn it is done once with each session."""

    turn: t.Callable[[], None]
    context: t.Callable[[], AbstractContextManager[object]] = nullcontext

    def repeat(self, turns: int) -> None:
        with self.context():
            for _ in range(turns):
                self.turn()


def make_operations() -> dict[str, Operation]:
    interface = FastSessionInterface()
    app, serializer = make_app(interface)
    environs = make_environs(CASE)
    tokens = [serializer.dumps(value) for value in CASE.sessions]
    operations = {
        "null request": Operation(answer_all(create_null_app(CASE), environs)),
        "refreshed request": Operation(answer_all(app, environs)),
        "dumps": Operation(dump_all(serializer, CASE.sessions), app.app_context),
        "loads": Operation(load_all(serializer, tokens), app.app_context),
    }
    for operation in operations.values():
        operation.repeat(WARM_UP_TURNS)
    declined = declined_in(interface.stats())
    assert not declined, f"some of it was not done natively: {declined}"
    return operations


def run(operation: Operation, turns: int) -> int:
    """Fork a process that takes so many turns, and return its id."""
    process = os.fork()
    if not process:
        operation.repeat(turns)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    assert status == 0, f"{operation} failed"
    return process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", type=int, nargs="+")
    arguments = parser.parse_args()

    operations = make_operations()
    gc.collect()
    gc.disable()
    processes = {name: [run(operation, turns) for turns in arguments.turns] for name, operation in operations.items()}
    print(json.dumps(processes))


if __name__ == "__main__":
    main()
