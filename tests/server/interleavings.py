"""Several requests to one session, in every order that the commands they send to the store can have.

An operation is a request, or a revocation, in a greenlet of its own. It stops before each command to the store, where
another may go on. A schedule says which one does at each step. Tried are all schedules with at most so many
preemptions, which is a change to another operation where the one before could have gone on, and at most so many
crashes, after which an operation sends no command any more.

``python -m tests.server.interleavings --whole`` tries all triples of operations with two preemptions and one crash.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import typing as t
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import click
import flask
import greenlet  # type: ignore[import-untyped]
import pymemcache
import redis
from werkzeug.test import create_environ

from flask_fastsession.server import ServerSession
from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server import interface as interface_module
from flask_fastsession.server import owners
from flask_fastsession.server.lifecycle import Refused
from flask_fastsession.server.owners import OwnerRecords
from flask_fastsession.server.stores.memcached import MemcachedStore
from flask_fastsession.server.stores.redis import SHA1
from flask_fastsession.server.stores.redis import RedisStore
from flask_fastsession.server.stores.sqlite import SQLiteStore
from flask_fastsession.server.stores.sqlite import executed

from .servers import memcached_server
from .servers import redis_server

USER, OTHER = "alice", "bob"

NOTHING: Callable[[], None] = lambda: None  # noqa: E731


# --- Stores that stop before each command ---------------------------------------------------------------------------


class Memory:
    """A store in memory that calls ``before_command`` before each of its commands."""

    before_command = staticmethod(NOTHING)

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def forget(self) -> None:
        """Begin with nothing."""
        self.records.clear()

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        self.before_command()
        return self.records.get(key)

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        self.before_command()
        return self.records.setdefault(key, data) is data

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        self.before_command()
        found = self.records.get(key)
        if found is None:
            return False
        if found != old:
            return found
        if new is None:
            del self.records[key]
        else:
            self.records[key] = new
        return True

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.before_command()
            self.records.pop(key, None)


class WithRecords(OwnerRecords, Memory):
    """As memcached, or any store of five methods: whose sessions are is in records, and moving takes several steps."""


class WithRows(Memory):
    """As SQL databases: a move is one step, and so is all that is done to the list of an owner."""

    def __init__(self) -> None:
        super().__init__()
        #: By handle: the owner and the key.
        self.lists: dict[str, tuple[str, str]] = {}

    def forget(self) -> None:
        super().forget()
        self.lists.clear()

    def move(self, key: str, new_key: str, old: bytes, new: bytes, ttl: int | None, left: bytes | None) -> bool | bytes:
        self.before_command()
        found = self.records.get(key)
        if found is None or new_key in self.records:
            return False
        if found != old:
            return found
        del self.records[key]
        self.records[new_key] = new
        if left is not None:
            self.records[key] = left
        for handle, (owner, listed) in self.lists.items():
            if listed == key:
                self.lists[handle] = owner, new_key
        return True

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        self.before_command()
        if renew and self.lists.get(handle, ("", ""))[0] != owner:
            return False
        self.lists[handle] = owner, key
        return True

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        self.before_command()
        return self.lists.get(handle, ("", ""))[0] == owner

    def listed(self, owner: str) -> list[tuple[str, str]]:
        self.before_command()
        return [(handle, key) for handle, (name, key) in self.lists.items() if name == owner]

    def unlist(self, owner: str, handle: str) -> None:
        self.before_command()
        if self.lists.get(handle, ("", ""))[0] == owner:
            del self.lists[handle]

    def end(self, handle: str) -> bool:
        self.before_command()
        return self._end(handle)

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        self.before_command()
        ended = [handle for handle, (name, _) in self.lists.items() if name == owner and handle not in keep]
        return sum(map(self._end, ended))

    def _end(self, handle: str) -> bool:
        _, key = self.lists.pop(handle, ("", None))
        if key is not None:
            self.records.pop(key, None)
        return key is not None


class Stopping:
    """A function of a real store that sends a command, or runs a transaction, and calls ``before_command`` first."""

    def __init__(self, store: t.Any, function: Callable[..., t.Any]) -> None:
        self.store = store
        self.function = function

    def __call__(self, *args: t.Any, **options: t.Any) -> t.Any:
        self.store.before_command()
        return self.function(*args, **options)

    def batch(self, *args: t.Any) -> t.Any:
        self.store.before_command()
        return t.cast(t.Any, self.function).batch(*args)


@contextlib.contextmanager
def in_sqlite() -> Iterator[t.Any]:
    """SQLite, where each transaction is a step."""
    with tempfile.TemporaryDirectory() as directory:
        store: t.Any = SQLiteStore(Path(directory, "sessions.sqlite"))
        run = store._run

        def forget() -> None:
            store.load("session:none")
            for table in ("sessions", "owners"):
                run(executed, f"DELETE FROM {table}", ())

        store.before_command, store.forget, store._run = NOTHING, forget, Stopping(store, run)
        yield store


@contextlib.contextmanager
def in_redis() -> Iterator[t.Any]:
    """Redis, where each command or script is a step."""
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as server:
        client = redis.Redis(host=server.host, port=server.port)
        store: t.Any = RedisStore(client)
        # Each takes one command more where the server does not know it yet.
        for script in SHA1:
            client.script_load(script.decode())
        store.before_command, store.forget = NOTHING, client.flushdb
        store._command = Stopping(store, store._command)
        yield store


@contextlib.contextmanager
def in_memcached() -> Iterator[t.Any]:
    """memcached, where each command is a step."""
    with tempfile.TemporaryDirectory() as directory, memcached_server(Path(directory)) as server:
        client = pymemcache.PooledClient((server.host, server.port), no_delay=True)
        store: t.Any = MemcachedStore(client)
        call, used = store._call_on, set[str]()

        def noting(server: t.Any, method: str, first: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
            used.update([first] if isinstance(first, str) else first)
            return call(server, method, first, *args, **options)

        def forget() -> None:
            # One by one, since a command that ends all of them at once would take memcached a second.
            client.delete_many(used, noreply=False)
            used.clear()

        store.before_command, store.forget, store._call_on = NOTHING, forget, Stopping(store, noting)
        yield store
        if dropped := client.stats()[b"evictions"]:
            raise AssertionError(f"memcached had no room and dropped {dropped} records, which no schedule says")


# --- The world ------------------------------------------------------------------------------------------------------


@dataclass
class Done:
    """What became of an operation."""

    name: str
    #: Whether it found the session that all of them are about.
    found: bool = False
    #: The id that its response told the browser; ``""`` where it deleted the cookie.
    told: str | None = None
    is_complete: bool = False
    #: The id that it meant the session to have.
    sid: str | None = None
    failure: SessionStoreError | None = None


class World:
    """An app and its store, and the session of one browser in it, which several requests bring at a time."""

    def __init__(self, store: t.Any) -> None:
        self.store = store
        self.app = flask.Flask("app")
        self.interface = self.made(SESSION_HASH_SID=False)
        #: As in another process, where ids are hashed already.
        self.hashing = self.made(SESSION_HASH_SID=True)

    def made(self, **config: bool) -> ServerSessionInterface:
        app = flask.Flask("app")
        # Sweeping by chance would make two runs of one schedule differ.
        app.config.update(SESSION_TYPE=self.store, SESSION_CLEANUP_N_REQUESTS=0, **config)
        ServerSession(app)
        assert isinstance(app.session_interface, ServerSessionInterface)
        return app.session_interface

    def begin(self, user: str | None) -> None:
        """Begin a session anew. All that was done before is forgotten."""
        self.store.forget()
        self.cookie: str | None = None
        #: All ids that the session has ever had, and may have had.
        self.ids: set[str] = set()
        self.done: dict[int, Done] = {}
        with self.request(Done("start"), {"note": 1}) as session:
            self.interface.bind_user(session, user)
            self.cookie = session.sid
        self.ids = {t.cast(str, self.cookie)}
        self.handle = session.meta.handle
        self.user = user

    @contextlib.contextmanager
    def request(
        self,
        done: Done,
        starts_with: dict[str, t.Any] | None = None,
        interface: ServerSessionInterface | None = None,
    ) -> Iterator[t.Any]:
        interface = interface or self.interface
        headers = {"Cookie": f"session={self.cookie}"} if self.cookie else {}
        request = self.app.request_class(create_environ("/", headers=headers))
        session: t.Any = interface.open_session(self.app, request)
        session.load()
        done.found = session.stored is not None
        session.update(starts_with or {})
        yield session
        if done.found and not session.was_cleared:
            done.sid = session.sid if session.needs_new_id else None
            self.ids.add(session.sid)
        response = flask.Response()
        interface.save_session(self.app, session, response)
        header = response.headers.get("Set-Cookie")
        done.told = None if header is None else header.partition("=")[2].partition(";")[0]

    def live(self) -> dict[str, tuple[dict[str, t.Any], t.Any]]:
        """The data and the meta data of the session, by each id that finds it."""
        found = {}
        for sid in self.ids:
            with contextlib.suppress(Refused):
                _, data, meta = self.interface.lifecycle.find(sid, None)
                found[sid] = data, meta
        return found


Act = Callable[[World, Done, int], None]


@dataclass(frozen=True)
class Operation:
    name: str
    act: Act = field(compare=False)
    #: Whether the session ends by it; whether it moves to another id; whose it is after.
    ends: bool = False
    moves: bool = False
    owner: str | None = "same"
    writes: bool = False

    def __str__(self) -> str:
        return self.name


OPERATIONS: dict[str, Operation] = {}


def operation(**traits: t.Any) -> Callable[[Act], Act]:
    def add(act: Act) -> Act:
        OPERATIONS[act.__name__] = Operation(act.__name__, act, **traits)
        return act

    return add


@operation()
def read(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        session.get("note")


@operation()
def read_and_hash(world: World, done: Done, number: int) -> None:
    with world.request(done, interface=world.hashing) as session:
        session.get("note")


@operation(writes=True)
def write(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        session[f"key {number}"] = number


@operation()
def empty(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        for key in list(session):
            if key != "_permanent":
                session.pop(key)


@operation(ends=True)
def clear(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        session.clear()


@operation(moves=True)
def regenerate(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        session.regenerate()


@operation(moves=True, owner=USER)
def log_in(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        session.regenerate()
        world.interface.bind_user(session, USER)


@operation(moves=True, owner=OTHER)
def log_in_as_another(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        for key in list(session):
            session.pop(key)
        session["of"] = OTHER
        session.regenerate()
        world.interface.bind_user(session, OTHER)


@operation(owner=None)
def log_out(world: World, done: Done, number: int) -> None:
    with world.request(done) as session:
        world.interface.bind_user(session, None)


@operation(ends=True)
def revoke_id(world: World, done: Done, number: int) -> None:
    assert world.cookie is not None
    world.interface.revoke(world.cookie)


@operation(ends=True)
def revoke_handle(world: World, done: Done, number: int) -> None:
    if world.handle is not None:
        world.interface.revoke(world.handle)


@operation(ends=True)
def revoke_user(world: World, done: Done, number: int) -> None:
    world.interface.revoke_user(USER)


@operation(ends=True)
def expire(world: World, done: Done, number: int) -> None:
    """The store drops the record by itself, or has no room for it."""
    ids, sid = world.interface.ids, t.cast(str, world.cookie)
    world.store.delete(ids.key(sid), ids.other_key(sid))


# --- Schedules ------------------------------------------------------------------------------------------------------

#: Which operation takes the next step; the complement of its number, if it crashes there.
Choice: t.TypeAlias = int


class Stuck(Exception):
    """No operation goes on: each waits for another."""


@dataclass
class Run:
    """One schedule: it begins with the given choices, and goes on with whoever went on before."""

    world: World
    operations: t.Sequence[Operation]
    given: t.Sequence[Choice]
    taken: list[Choice] = field(default_factory=list)
    #: What else could have been chosen at each step, and at what cost in preemptions and crashes.
    others: list[list[tuple[Choice, int, int]]] = field(default_factory=list)

    def __call__(self) -> Run:
        self.scheduler = greenlet.getcurrent()
        self.waiting: set[int] = set()
        self.world.store.before_command = self.scheduler.switch
        self.greenlets = {number: greenlet.greenlet(self.act) for number in range(len(self.operations))}
        crashed = []
        # Nothing is done before the first command.
        for number in list(self.greenlets):
            self.go_on(number)
        current = -1
        while self.greenlets:
            choice = self.choose(current)
            self.taken.append(choice)
            if choice < 0:
                # It is kept, since Python would end a greenlet that nobody has, by an exception in it.
                crashed.append(self.greenlets.pop(~choice))
                current = -1
            else:
                current = choice
                self.go_on(choice)
        self.world.store.before_command = NOTHING
        for each in crashed:
            self.world.store.before_command = forbidden
            with contextlib.suppress(Crashed):
                each.throw(Crashed)
        self.world.store.before_command = NOTHING
        return self

    def act(self, number: int) -> None:
        operation = self.operations[number]
        done = self.world.done[number] = Done(operation.name)
        try:
            operation.act(self.world, done, number)
            done.is_complete = True
        except SessionStoreError as error:
            done.failure = error

    def go_on(self, number: int) -> None:
        each = self.greenlets[number]
        asked = each.switch(*() if each else (number,))
        self.waiting.discard(number)
        if asked == "wait":
            self.waiting.add(number)
        if each.dead:
            del self.greenlets[number]

    def choose(self, current: int) -> Choice:
        ready = [number for number in self.greenlets if number not in self.waiting]
        if not ready:
            # What they wait for is a matter of time.
            self.waiting.clear()
            ready = list(self.greenlets)
        can_go_on = current in ready
        usual = current if can_go_on else ready[0]
        costs = [(number, int(can_go_on and number != current), 0) for number in ready]
        if can_go_on:
            costs.append((~current, 0, 1))
        step = len(self.taken)
        choice = self.given[step] if step < len(self.given) else usual
        if (choice if choice >= 0 else ~choice) not in self.greenlets:
            # A real store has needed a command less than last time, as its own clock goes on.
            choice = usual
        self.others.append([cost for cost in costs if cost[0] != choice])
        return choice


class Crashed(BaseException):
    pass


def forbidden() -> t.NoReturn:
    raise Crashed


@dataclass(frozen=True)
class Bounds:
    preemptions: int
    crashes: int


def runs(world: World, user: str | None, operations: t.Sequence[Operation], bounds: Bounds) -> Iterator[Run]:
    """Run each schedule within the bounds, and yield it before the next one begins."""
    stack: list[tuple[list[Choice], int, int]] = [([], 0, 0)]
    while stack:
        given, preemptions, crashes = stack.pop()
        world.begin(user)
        run = Run(world, operations, given)()
        yield run
        for step in range(len(given), len(run.taken)):
            for choice, preempts, crash in run.others[step]:
                cost = preemptions + preempts, crashes + crash
                if cost[0] <= bounds.preemptions and cost[1] <= bounds.crashes:
                    stack.append(([*run.taken[:step], choice], *cost))


# --- What must hold -------------------------------------------------------------------------------------------------


def violations(run: Run) -> Iterator[str]:
    """What is wrong with the world that a schedule left behind."""
    world, operations = run.world, run.operations
    live = world.live()
    crashes = any(choice < 0 for choice in run.taken)
    done = [world.done[number] for number in range(len(operations))]
    completed = [
        operation
        for operation, each in zip(operations, done, strict=True)
        # What a request does not find it cannot clear.
        if each.is_complete and (each.found or operation.name != "clear")
    ]
    for each in done:
        if each.failure is not None:
            yield f"{each.name} failed: {each.failure}"
    # An operation may have had an effect although it crashed.
    changes_owner = any(one.owner not in ("same", world.user) for one in operations)
    # What only a crashed operation knew is no id: nobody was told.
    known = {
        sid: found for sid, found in live.items() if sid not in {each.sid for each in done if not each.is_complete}
    }
    moves = any(one.moves for one in operations)
    yield from ended_stays_ended(world, operations, completed, known, changes_owner, moves)
    yield from nothing_is_lost(world, operations, done, live, changes_owner, crashes)
    yield from nothing_of_others(live)
    yield from ids_are_right(world, operations, done, live)
    yield from lists_are_right(world, live)


def ended_stays_ended(
    world: World,
    operations: t.Sequence[Operation],
    completed: list[Operation],
    live: t.Any,
    changes_owner: bool,
    moves: bool,
) -> Iterator[str]:
    for operation in completed:
        if not operation.ends or not live or operation.name == "expire":
            continue
        if operation.name == "revoke_id" and moves and any(one.name == "expire" for one in operations):
            # What leads from the old id to the new one is gone after ten minutes.
            continue
        ends_former = any(one.name in ("revoke_user", "revoke_handle") for one in operations)
        if operation.name == "revoke_id" and changes_owner and ends_former:
            # Or when the former user's sessions are revoked, whose key that was.
            continue
        if operation.name == "revoke_handle" and world.handle is None:
            continue
        if operation.name == "clear" and world.user is None and moves:
            # Of nobody's session, a request from before a move has no say in what became of it.
            continue
        if operation.name == "revoke_user" and world.user != USER:
            # It has nothing to end but a login that may have begun since.
            continue
        if operation.name != "revoke_id" and changes_owner:
            # The session is another one's since, or nobody's, and goes on as such.
            continue
        yield f"{operation.name} is complete, and the session goes on"


def nothing_is_lost(
    world: World,
    operations: t.Sequence[Operation],
    done: list[Done],
    live: t.Any,
    changes_owner: bool,
    crashes: bool,
) -> Iterator[str]:
    if any(one.ends for one in operations):
        return
    is_switched = world.user is not None and any(one.owner == OTHER for one in operations)
    if not live and not (crashes and is_switched):
        yield "the session is lost"
    if changes_owner or (world.user is None and any(one.moves for one in operations)):
        return
    for number, (operation, each) in enumerate(zip(operations, done, strict=True)):
        is_lost = not any(f"key {number}" in data for data, _ in live.values())
        if operation.writes and each.is_complete and each.found and is_lost and live:
            empties = [other for other in operations if other.name == "empty"]
            if not empties:
                yield f"what operation {number} wrote is lost"


def nothing_of_others(live: t.Any) -> Iterator[str]:
    for data, meta in live.values():
        if meta.owner == OTHER and data.keys() - {"of", "_permanent"}:
            yield f"{OTHER} has {sorted(data)}"


def ids_are_right(world: World, operations: t.Sequence[Operation], done: list[Done], live: t.Any) -> Iterator[str]:
    told = {world.cookie} | {each.told for each in done if each.told}
    if len(live.keys() & told) > 1:
        yield "the session has two ids that browsers know"
    for operation, each in zip(operations, done, strict=True):
        if operation.moves and each.is_complete and each.told and each.found and world.cookie in live:
            yield f"after {each.name} the old id finds the session"


def lists_are_right(world: World, live: t.Any) -> Iterator[str]:
    for _, meta in live.values():
        if meta.owner is not None:
            owner = world.interface.ids.owner_key(meta.owner)
            if meta.handle not in dict(world.store.listed(owner)):
                yield f"a session of {meta.owner} is on no list"


# --- All of them ----------------------------------------------------------------------------------------------------

STARTS = (None, USER)


def groups(size: int) -> list[tuple[str | None, tuple[Operation, ...]]]:
    """All starts and multisets of so many operations."""
    return [
        (user, chosen)
        for user in STARTS
        for chosen in itertools.combinations_with_replacement(OPERATIONS.values(), size)
    ]


@dataclass
class Report:
    schedules: int = 0
    found: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, run: Run, user: str | None) -> None:
        self.schedules += 1
        for violation in violations(run):
            names = ", ".join(map(str, run.operations))
            self.found[violation] += 1
            self.examples.setdefault(violation, f"of {user}: {names}: {run.taken}")

    def __str__(self) -> str:
        lines = [f"{count} x {what}; first {self.examples[what]}" for what, count in self.found.most_common()]
        return "\n".join([f"{self.schedules} schedules, {sum(self.found.values())} violations", *lines])


def explore(store: t.Any, chosen: t.Iterable[tuple[str | None, tuple[Operation, ...]]], bounds: Bounds) -> Report:
    report, world = Report(), World(store)
    with waiting_is_seen():
        for user, operations in chosen:
            for run in runs(world, user, operations, bounds):
                report.add(run, user)
    return report


@contextlib.contextmanager
def waiting_is_seen() -> Iterator[None]:
    """Time passes only while somebody sleeps, who lets others go on first: a schedule is the same each time."""
    clock = Clock()
    modules = (owners, interface_module)
    before = [module.time for module in modules]
    for module in modules:
        module.time = clock  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, real in zip(modules, before, strict=True):
            module.time = real  # type: ignore[attr-defined]


class Clock:
    """As the module ``time``."""

    now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        # How long others sleep is chance.
        self.now += 0.01
        parent = greenlet.getcurrent().parent
        if parent is not None:
            parent.switch("wait")


STORES: dict[str, Callable[[], contextlib.AbstractContextManager[t.Any]]] = {
    "records": lambda: contextlib.nullcontext(WithRecords()),
    "rows": lambda: contextlib.nullcontext(WithRows()),
    "sqlite": in_sqlite,
    "redis": in_redis,
    "memcached": in_memcached,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--whole", action="store_true", help="all triples; without it, a sample of them")
    parser.add_argument("--sample", type=int, default=40, help="how many triples (default: %(default)s)")
    parser.add_argument("--size", type=int, default=3, help="operations at a time (default: %(default)s)")
    parser.add_argument("--preemptions", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--crashes", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the sample")
    parser.add_argument("--store", choices=STORES, action="append", help="default: each")
    arguments = parser.parse_args()
    bounds = Bounds(arguments.preemptions, arguments.crashes)
    chosen = groups(arguments.size)
    if not arguments.whole:
        chosen = random.Random(arguments.seed).sample(chosen, min(arguments.sample, len(chosen)))
    failed = False
    for name in arguments.store or STORES:
        with STORES[name]() as store, click.progressbar(chosen, label=name, file=sys.stderr) as bar:
            report = explore(store, bar, bounds)
        print(
            f"{name}: {len(chosen)} groups of {arguments.size} operations, {bounds.preemptions} preemptions,", end=" "
        )
        print(f"{bounds.crashes} crashes: {report} (seed {arguments.seed})")
        failed = failed or bool(report.found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
