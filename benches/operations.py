"""The operations whose instructions are counted: do each of them over and over, each time in a process of its own.

``instructions`` runs this under valgrind: ``python -m benches.operations sessions 2 6`` takes two turns in one process,
then six in another. They are forked from this one, so that they differ by nothing but their turns. Their ids are
printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
import typing as t
from contextlib import AbstractContextManager
from contextlib import nullcontext
from hashlib import sha256

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from benches import bench_codec
from benches import bench_request
from benches.bench_codec import dump_all
from benches.bench_codec import load_all
from benches.bench_request import CASES
from benches.bench_request import Case
from benches.bench_request import answer_all
from benches.bench_request import create_app
from benches.bench_request import create_null_app
from benches.bench_request import make_environs
from benches.fernet import CarefulFernetSessionInterface
from benches.fernet import FernetSessionInterface
from benches.overrides import OVERRIDES
from benches.overrides import SIDES
from benches.overrides import overriding
from benches.timing import declined_in
from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession._native import IDENTITY_KEY
from flask_fastsession._native import Identity
from flask_fastsession.revocations import Cursor

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from itsdangerous import URLSafeTimedSerializer

CASE = CASES["refreshed read"]
CALLS_A_TURN = len(CASE.sessions)
WARM_UP_TURNS = 2

#: The requests whose sessions are counted, each beside one with a null session.
COUNTED = {"no cookie": "no cookie", "read": "read", "refreshed": "refreshed read", "written": "written"}

#: Live revocations where sessions can be revoked.
REVOKED = (0, 100_000)


#: The same as the refreshed one, but encrypted.
ENCRYPTED = "encrypted, refreshed"


#: What is compared with interfaces over Fernet.
ENCRYPTING: dict[str, t.Callable[[], SecureCookieSessionInterface]] = {
    "signed": FastSessionInterface,
    "encrypted": lambda: FastSessionInterface(encrypt=True),
    "fernet": FernetSessionInterface,
    "fernet, its key kept": CarefulFernetSessionInterface,
}


def make_app(interface: SecureCookieSessionInterface) -> tuple[Flask, URLSafeTimedSerializer]:
    """Return an app, and the serializer of its sessions."""
    app = create_app(interface)
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    return app, serializer


def environs_of(case: Case, interface: SecureCookieSessionInterface | None = None) -> list[WSGIEnvironment]:
    """As many as there are calls in a turn."""
    environs = make_environs(case, interface)
    return environs * (CALLS_A_TURN // len(environs))


def check() -> None:
    """Make sure that all that is to be counted gives stock's answers."""
    stock_app, stock_serializer = make_app(SecureCookieSessionInterface())
    our_app, our_serializer = make_app(FastSessionInterface())
    bench_codec.check({"stock": stock_serializer, "ours": our_serializer}, CASE.sessions)
    for name in COUNTED.values():
        bench_request.check({"stock": stock_app, "ours": our_app}, make_environs(CASES[name]))
    for name in OVERRIDES:
        apps = {side: overriding(name, kind) for side, kind in SIDES.items()}
        bench_request.check(apps, make_environs(CASE))


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
    tokens = [serializer.dumps(value) for value in CASE.sessions]
    operations = {
        "dumps": Operation(dump_all(serializer, CASE.sessions), app.app_context),
        "loads": Operation(load_all(serializer, tokens), app.app_context),
    }
    for name, case in COUNTED.items():
        environs = environs_of(CASES[case])
        operations[f"null: {name}"] = Operation(answer_all(create_null_app(CASES[case]), environs))
        operations[f"ours: {name}"] = Operation(answer_all(app, environs))
    encrypting = FastSessionInterface(encrypt=True)
    environs = environs_of(CASE, encrypting)
    operations[f"null: {ENCRYPTED}"] = Operation(answer_all(create_null_app(CASE), environs))
    operations[f"ours: {ENCRYPTED}"] = Operation(answer_all(create_app(encrypting), environs))
    warm_up(operations)
    for each in (interface, encrypting):
        declined = declined_in(each.stats())
        assert not declined, f"some of it was not done natively: {declined}"
    return operations


def make_encrypting_operations() -> dict[str, Operation]:
    """A permanent session that is read and refreshed: signed, encrypted by us, and by Fernet."""
    operations = {}
    for name, make in ENCRYPTING.items():
        interface = make()
        environs = environs_of(CASE, interface)
        operations[f"null: {name}"] = Operation(answer_all(create_null_app(CASE), environs))
        operations[name] = Operation(answer_all(create_app(interface), environs))
    warm_up(operations)
    return operations


def make_revocable_operations() -> dict[str, Operation]:
    """The same requests where sessions can be revoked, beside the null session, and without that."""
    apps = {"off": make_app(FastSessionInterface())[0]}
    for entries in REVOKED:
        apps[f"{entries} entries"] = make_app(FastSessionInterface(revocations=revocations_of(entries)))[0]
    operations = {}
    for name, case in COUNTED.items():
        operations[f"null: {name}"] = Operation(answer_all(create_null_app(CASES[case]), environs_of(CASES[case])))
        for side, app in apps.items():
            environs = environs_of(CASES[case])
            if side != "off":
                for environ in environs:
                    bring_identity(app, environ)
            operations[f"{side}: {name}"] = Operation(answer_all(app, environs))
    warm_up(operations)
    return operations


def revocations_of(entries: int) -> Revocations:
    """As many of sessions as of users, and none that a request of this process has to fetch."""
    revocations = Revocations(EmptyStore(), every=1_000_000)
    revocations.fetch()
    until = int(time.time()) + 1_000_000
    for number in range(entries // 2):
        # Under valgrind the way through the text of entries would take minutes.
        revocations._list.add_session(number.to_bytes(16, "big"), until)
        revocations._list.add_user(number.to_bytes(16, "big"), 1, until, [])
    return revocations


class EmptyStore:
    def add(self, entry: str, ttl: int) -> Cursor:
        raise NotImplementedError

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        return [], Cursor(1, "list")


def bring_identity(app: Flask, environ: WSGIEnvironment) -> None:
    """Have the browser bring a cookie that was saved with revocations."""
    if "HTTP_COOKIE" not in environ:
        return
    interface = t.cast(FastSessionInterface, app.session_interface)
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    token = environ["HTTP_COOKIE"].partition("=")[2]
    with app.app_context():
        data = serializer.loads(token)
        revocations = t.cast(Revocations, interface._options.revocations)
        revocations.renew()
        user = data.get("_user_id")
        # Not a random id, so that each run counts the same cookies.
        data[IDENTITY_KEY] = Identity(sha256(token.encode()).digest()[:16], revocations.latest, user).value
        environ["HTTP_COOKIE"] = f"session={serializer.dumps(data)}"


def make_overriding_operations() -> dict[str, Operation]:
    """A permanent session that is read and refreshed, in apps that override a step of Flask's."""
    environs = environs_of(CASE)
    operations = {"null": Operation(answer_all(create_null_app(CASE), environs))}
    for name in OVERRIDES:
        for side, kind in SIDES.items():
            operations[f"{side}: {name}"] = Operation(answer_all(overriding(name, kind), environs))
    warm_up(operations)
    return operations


#: Requests to apps without and with options.
POLICIES: dict[str, tuple[str, dict[str, t.Any]]] = {
    "read": ("read", {}),
    "refreshed": ("refreshed read", {}),
    "refreshed, refresh_after=": ("refreshed read", {"refresh_after": 10**6}),
    "read, lifetime=": ("read", {"lifetime": lambda session: None}),
    "read, skip=": ("read", {"skip": lambda request: False}),
    "read, accept_any=": ("read", {"accept_any": True}),
    "read, delete_refused=": ("read", {"delete_refused": True}),
    "refused": ("bad signature", {}),
    "refused, on_refused=": ("bad signature", {"on_refused": lambda request, reason: None}),
    "skipped": ("read", {"skip": lambda request: True}),
}


def make_policy_operations() -> dict[str, Operation]:
    """Requests by the names of POLICIES, and each such request with a null session."""
    operations: dict[str, Operation] = {}
    for name, (case, options) in POLICIES.items():
        environs = environs_of(CASES[case])
        operations.setdefault(f"null: {case}", Operation(answer_all(create_null_app(CASES[case]), environs)))
        app, _ = make_app(FastSessionInterface(**options))
        operations[name] = Operation(answer_all(app, environs))
    warm_up(operations)
    return operations


def warm_up(operations: dict[str, Operation]) -> None:
    for operation in operations.values():
        operation.repeat(WARM_UP_TURNS)


GROUPS = {
    "sessions": make_operations,
    "overrides": make_overriding_operations,
    "encryption": make_encrypting_operations,
    "policies": make_policy_operations,
    "revocable": make_revocable_operations,
}


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
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("turns", type=int, nargs="+")
    arguments = parser.parse_args()

    operations = GROUPS[arguments.group]()
    gc.collect()
    gc.disable()
    processes = {name: [run(operation, turns) for turns in arguments.turns] for name, operation in operations.items()}
    print(json.dumps(processes))


if __name__ == "__main__":
    main()
