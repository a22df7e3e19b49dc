"""Long random histories of sessions, each operation checked against a model.

Some browsers, which copy cookies of each other, send requests; sessions are revoked and expire. After each operation
the store has to hold what the model says: which ids find a session, what is in it, whose it is. Now and then an
operation comes between two commands of another one. Then the store has to hold what the model says of one of their
orders, or, if the one in between has moved, bound or ended the session, of that one alone.

``python -m tests.server.histories --operations 1000000`` runs as many operations on each store.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import random
import sys
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

import click
import flask
from werkzeug.test import create_environ

from flask_fastsession.server import ServerSession
from flask_fastsession.server.lifecycle import Refused

from .interleavings import NOTHING
from .interleavings import STORES as ALL_STORES
from .interleavings import waiting_is_seen

STORES = ("records", "rows", "sqlite")

#: A history begins with an empty store after so many operations, so that any of them can be run alone.
OPERATIONS = 500

USERS = ("alice", "bob")
BROWSERS = 4
KEYS = ("a", "b", "c")

#: So many ids that find nothing any more are tried after each operation.
ENDED = 12

#: One operation in so many has another one inside.
OVERLAPPED = 4


class Difference(AssertionError):
    """The store holds something else than the model."""


@dataclass(frozen=True)
class Operation:
    """What is done. An id is that of the browser's cookie for a request, and of the session to end for the others."""

    name: str
    sid: str | None
    user: str = USERS[0]
    key: str = KEYS[0]
    value: int = 0
    keep: str | None = None
    #: The browser of a request.
    browser: int = 0


# --- The model ------------------------------------------------------------------------------------------------------


@dataclass
class ModelSession:
    data: dict[str, t.Any] = field(default_factory=dict)
    owner: str | None = None
    #: The id that finds it, ``None`` for one that the store is still to tell.
    sid: str | None = None
    #: The ids that it had, the oldest first, and whether what leads from them to the session may be gone.
    former: dict[str, bool] = field(default_factory=dict)

    def move(self) -> None:
        if self.sid is not None:
            self.former[self.sid] = False
        self.sid = None

    def bind(self, owner: str | None) -> None:
        if owner != self.owner:
            self.former = dict.fromkeys(self.former, True)
        self.owner = owner


class Model:
    """Sessions as they are documented, each operation in one step."""

    def __init__(self) -> None:
        self.sessions: list[ModelSession] = []

    def found(self, sid: str | None) -> ModelSession | None:
        return next((one for one in self.sessions if sid is not None and one.sid == sid), None)

    def do(self, operation: Operation) -> t.Literal["set", "delete"] | None:
        """Do it, and return what its response tells the browser to do with the cookie."""
        return t.cast(t.Any, getattr(self, operation.name)(operation))  # type: ignore[no-any-return]

    def changed(self, operation: Operation, change: Callable[[ModelSession], None]) -> t.Any:
        """Change a session, which begins if there is none and something is put into it."""
        session = self.found(operation.sid)
        begins = session is None
        session = session or ModelSession()
        before = session.sid, session.owner
        change(session)
        if begins and not session.data:
            return None
        if begins:
            self.sessions.append(session)
        # A session that becomes another's begins its lifetime anew, and its cookie as well.
        return "set" if begins or (session.sid, session.owner) != before else None

    def read(self, operation: Operation) -> t.Any:
        return None

    def write(self, operation: Operation) -> t.Any:
        return self.changed(operation, lambda session: session.data.update({operation.key: operation.value}))

    def append(self, operation: Operation) -> t.Any:
        return self.changed(operation, lambda session: session.data.setdefault("list", []).append(operation.value))

    def pop(self, operation: Operation) -> t.Any:
        return self.changed(operation, lambda session: session.data.pop(operation.key, None) and None)

    def empty(self, operation: Operation) -> t.Any:
        return self.changed(operation, lambda session: session.data.clear())

    def regenerate(self, operation: Operation) -> t.Any:
        return self.changed(operation, ModelSession.move)

    def log_in(self, operation: Operation) -> t.Any:
        def change(session: ModelSession) -> None:
            session.move()
            session.bind(operation.user)
            session.data["login"] = operation.value

        return self.changed(operation, change)

    def log_out(self, operation: Operation) -> t.Any:
        def change(session: ModelSession) -> None:
            session.bind(None)
            session.data.pop("login", None)

        return self.changed(operation, change)

    def clear(self, operation: Operation) -> t.Any:
        session = self.found(operation.sid)
        if session is None:
            return None
        self.sessions.remove(session)
        return "delete"

    def restart(self, operation: Operation) -> t.Any:
        self.clear(operation)
        self.sessions.append(ModelSession({operation.key: operation.value}))
        return "set"

    def revoke(self, operation: Operation) -> None:
        self.sessions = [one for one in self.sessions if operation.sid != one.sid and operation.sid not in one.former]

    def revoke_name(self, operation: Operation) -> None:
        self.sessions = [one for one in self.sessions if operation.sid != one.sid or one.owner is None]

    def revoke_user(self, operation: Operation) -> None:
        self.sessions = [
            one
            for one in self.sessions
            if one.owner != operation.user or operation.keep in (one.sid or "", *one.former)
        ]

    def expire(self, operation: Operation) -> None:
        self.sessions = [one for one in self.sessions if one.sid != operation.sid]
        for one in self.sessions:
            # It may have moved. Then what led from this id, and from those before, to where it is now is gone.
            former = list(one.former)
            if operation.sid in former:
                one.former.update(dict.fromkeys(former[: former.index(operation.sid) + 1], True))

    def sweep(self, operation: Operation) -> None:
        pass


#: Operations after which a request that began before may come to nothing.
DECISIVE = frozenset(
    ["regenerate", "log_in", "log_out", "clear", "restart", "revoke", "revoke_name", "revoke_user", "expire"]
)

#: Operations that have others between their commands; what those do is tried in all orders by ``interleavings``.
OUTER = ("read", "write", "append", "pop", "regenerate", "clear")

REQUESTS = ("read", "write", "append", "pop", "empty", "regenerate", "log_in", "log_out", "clear", "restart")

#: How often each is done.
WEIGHTS = {
    "read": 4,
    "write": 8,
    "append": 3,
    "pop": 3,
    "empty": 1,
    "regenerate": 3,
    "log_in": 4,
    "log_out": 2,
    "clear": 1,
    "restart": 1,
    "revoke": 1,
    "revoke_name": 1,
    "revoke_user": 1,
    "expire": 4,
    "sweep": 1,
}


# --- The store ------------------------------------------------------------------------------------------------------


class World:
    """An app, its store, some browsers, and what the model says of them."""

    def __init__(self, store: t.Any) -> None:
        self.store = store
        self.app = flask.Flask("app")
        self.app.config.update(SESSION_TYPE=store, SESSION_CLEANUP_N_REQUESTS=0)
        ServerSession(self.app)
        self.interface: t.Any = self.app.session_interface

    def begin(self) -> None:
        self.store.forget()
        self.model = Model()
        self.cookies: list[str | None] = [None] * BROWSERS
        #: Ids that sessions had, the latest last.
        self.ended: list[str] = []
        #: Ids that responses told since the last look.
        self.told: list[str] = []

    def do(self, operation: Operation) -> t.Literal["set", "delete"] | None:
        """Do it for real, and return what its response tells the browser to do with the cookie."""
        interface, sid = self.interface, operation.sid
        if operation.name in REQUESTS:
            return self.request(operation)
        if operation.name == "revoke_user":
            interface.revoke_user(operation.user, operation.keep)
        elif operation.name == "revoke":
            interface.revoke(sid)
        elif operation.name == "revoke_name":
            for info in map(interface.sessions_of, USERS):
                interface.revoke(*(one for one in info if sid is not None and one.name == self.name_of(sid)))
        elif operation.name == "expire":
            self.store.delete(interface.ids.key(sid))
        else:
            list(interface.sweep())
        return None

    def name_of(self, sid: str) -> str | None:
        with contextlib.suppress(Refused):
            return t.cast("str | None", self.interface.lifecycle.find(sid, None)[2].handle)
        return None

    def request(self, operation: Operation) -> t.Literal["set", "delete"] | None:
        headers = {"Cookie": f"session={operation.sid}"} if operation.sid else {}
        request = self.app.request_class(create_environ("/", headers=headers))
        session: t.Any = self.interface.open_session(self.app, request)
        getattr(self, f"_{operation.name}")(session, operation)
        response = flask.Response()
        self.interface.save_session(self.app, session, response)
        header = response.headers.get("Set-Cookie")
        if header is None:
            return None
        cookie = header.partition("=")[2].partition(";")[0]
        self.cookies[operation.browser] = cookie or None
        self.told += [cookie] if cookie else []
        return "set" if cookie else "delete"

    def _read(self, session: t.Any, operation: Operation) -> None:
        session.get(operation.key)

    def _write(self, session: t.Any, operation: Operation) -> None:
        session[operation.key] = operation.value

    def _append(self, session: t.Any, operation: Operation) -> None:
        session.setdefault("list", []).append(operation.value)

    def _pop(self, session: t.Any, operation: Operation) -> None:
        session.pop(operation.key, None)

    def _empty(self, session: t.Any, operation: Operation) -> None:
        for key in list(session):
            if key != "_permanent":
                session.pop(key)

    def _regenerate(self, session: t.Any, operation: Operation) -> None:
        session.regenerate()

    def _log_in(self, session: t.Any, operation: Operation) -> None:
        session.regenerate()
        self.interface.bind_user(session, operation.user)
        session["login"] = operation.value

    def _log_out(self, session: t.Any, operation: Operation) -> None:
        self.interface.bind_user(session, None)
        session.pop("login", None)

    def _clear(self, session: t.Any, operation: Operation) -> None:
        session.clear()

    def _restart(self, session: t.Any, operation: Operation) -> None:
        session.clear()
        session[operation.key] = operation.value

    def live(self) -> dict[str, tuple[dict[str, t.Any], str | None]]:
        """What is found by each id that sessions have or had."""
        ids = {sid for one in self.model.sessions for sid in (one.sid, *list(one.former)[-3:]) if sid is not None}
        found = {}
        for sid in ids.union(self.told, self.ended[-ENDED:], filter(None, self.cookies)):
            with contextlib.suppress(Refused):
                _, data, meta = self.interface.lifecycle.find(sid, None)
                found[sid] = {key: value for key, value in data.items() if key != "_permanent"}, meta.owner
        return found

    # --- Checked ----------------------------------------------------------------------------------------------------

    def step(self, operation: Operation) -> None:
        told = self.do(operation)
        outcomes = self.outcomes(operation)
        expected = outcomes[0].do(operation)
        if told != expected:
            raise Difference(f"the browser was told to {told} its cookie, not to {expected}")
        for other in outcomes[1:]:
            other.do(operation)
        self.settle(outcomes)

    def step_with(self, inner: Operation, outer: Operation, command: int) -> bool:
        """Do one operation before the given command of another; return whether that had so many."""
        commands, is_done = 0, False

        def before_command() -> None:
            nonlocal commands, is_done
            commands += 1
            if commands == command:
                is_done = True
                self.store.before_command = NOTHING
                self.do(inner)
                self.store.before_command = before_command

        self.store.before_command = before_command
        try:
            self.do(outer)
        finally:
            self.store.before_command = NOTHING
        if not is_done:
            self.do(inner)
        outcomes = []
        for order in ((outer, inner), (inner, outer), (inner,)):
            if order != (inner,) or (is_done and inner.name in DECISIVE):
                for outcome in self.outcomes(inner):
                    for each in order:
                        outcome.do(each)
                    outcomes.append(outcome)
        if is_done and outer.name == "clear":
            outcomes += [self.followed(outcome, inner, outer) for outcome in self.outcomes(inner)]
        self.settle(outcomes)
        return is_done

    def followed(self, model: Model, inner: Operation, outer: Operation) -> Model:
        """The model after a request that clears a session, and goes after it where another request has moved it.

        It does so for the session of a user which is still theirs: then both requests are of one person.
        """
        session = model.found(outer.sid)
        owner = None if session is None else session.owner
        model.do(inner)
        if owner is not None:
            model.sessions = [one for one in model.sessions if one is not session or one.owner != owner]
        return model

    def outcomes(self, operation: Operation) -> list[Model]:
        """The model before an operation, and another one if the operation may find less than it says."""
        model = copy.deepcopy(self.model)
        if operation.name not in ("revoke", "revoke_user"):
            return [model]
        forgetful = copy.deepcopy(self.model)
        for one in forgetful.sessions:
            # It goes when the sessions of the user are revoked whose id that was, for one.
            one.former = {sid: False for sid, may_be_gone in one.former.items() if not may_be_gone}
        return [model, forgetful]

    def settle(self, outcomes: list[Model]) -> None:
        """Go on with the outcome that the store holds."""
        live = self.live()
        before = {one.sid for one in self.model.sessions}
        for model in outcomes:
            if is_held(model, live):
                self.model = model
                break
        else:
            expected = {str(one.sid): (one.data, one.owner) for one in outcomes[0].sessions}
            unlike = [(sid, live.get(sid), expected.get(sid)) for sid in live.keys() | expected.keys()]
            unlike = [each for each in unlike if each[1] != each[2]]
            raise Difference(f"id, what the store has, and what the model has: {unlike}")
        self.ended += sorted(sid for sid in before - {one.sid for one in model.sessions} if sid is not None)
        self.told.clear()
        for user in USERS:
            owned = sum(one.owner == user for one in model.sessions)
            if len(self.interface.sessions_of(user)) != owned:
                raise Difference(f"{user} has {owned} sessions, which are not those that are listed")


def is_held(model: Model, live: dict[str, tuple[dict[str, t.Any], str | None]]) -> bool:
    """Whether ids find the sessions of the model and no others; new ids become known to the model."""
    left = dict(live)
    for one in model.sessions:
        if one.sid is not None and left.pop(one.sid, None) != (one.data, one.owner):
            return False
    for one in model.sessions:
        if one.sid is None:
            matches = [sid for sid, found in left.items() if found == (one.data, one.owner)]
            if not matches:
                return False
            one.sid = matches[0]
            del left[one.sid]
    return not left


# --- Histories ------------------------------------------------------------------------------------------------------


class History:
    def __init__(self, world: World, seed: int, number: int) -> None:
        self.world = world
        self.name = f"history {number} of seed {seed}"
        self.random = random.Random(f"{seed} {number}")
        self.values = 0

    def run(self, operations: int) -> None:
        self.world.begin()
        done = 0
        while done < operations:
            done += self.step(done)

    def step(self, done: int) -> int:
        """Return how many operations were done."""
        operation, inner = self.chosen(tuple(WEIGHTS)), None
        try:
            if self.random.randrange(OVERLAPPED):
                self.world.step(operation)
                return 1
            operation, inner = self.chosen(OUTER), self.chosen(tuple(WEIGHTS))
            self.world.step_with(inner, operation, self.random.randint(1, 5))
            return 2
        except Exception as error:
            raise Difference(f"{self.name}, operation {done}, {operation} with {inner} in it: {error}") from error

    def chosen(self, names: t.Sequence[str]) -> Operation:
        chance, world = self.random, self.world
        (name,) = chance.choices(names, [WEIGHTS[each] for each in names])
        browser = chance.randrange(BROWSERS)
        if chance.randrange(8) == 0:
            # A browser comes with the cookie of another one, or of one that has none.
            world.cookies[browser] = chance.choice([*world.cookies, None])
        self.values += 1
        sids = [sid for one in world.model.sessions for sid in (one.sid, *one.former)]
        if name in REQUESTS:
            sid = world.cookies[browser]
        elif name == "revoke":
            sid = chance.choice(sids or world.ended or ["none-of-any-session"])
        else:
            sid = chance.choice([one.sid for one in world.model.sessions] or ["none-of-any-session"])
        keep = world.cookies[browser] if name == "revoke_user" and chance.randrange(2) else None
        return Operation(name, sid, chance.choice(USERS), chance.choice(KEYS), self.values, keep, browser)


def histories(store: t.Any, seed: int, numbers: t.Iterable[int]) -> Iterator[int]:
    """Run histories, and yield how many operations each was; raise :exc:`Difference`."""
    world = World(store)
    with waiting_is_seen():
        for number in numbers:
            History(world, seed, number).run(OPERATIONS)
            yield OPERATIONS


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000, help="on each store (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--only", type=int, help="the number of one history to run alone")
    parser.add_argument("--store", choices=STORES, action="append", help="default: each")
    arguments = parser.parse_args()
    count = -(-arguments.operations // OPERATIONS)
    numbers = range(count) if arguments.only is None else [arguments.only]
    for name in arguments.store or STORES:
        with ALL_STORES[name]() as store, click.progressbar(numbers, label=name, file=sys.stderr) as bar:
            try:
                done = sum(histories(store, arguments.seed, bar))
            except Difference as difference:
                print(f"\n{name}: {difference}")
                return 1
        print(f"{name}: {done} operations, each as the model says (seed {arguments.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
