"""Two requests, or a request and a revocation, with one inside the other: between any two commands to the store.

Whatever the order in which the store saw their commands, what they leave behind is to be what they leave behind one
after the other; or, where one of them has ended the session, what that one leaves behind alone.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

import flask
import greenlet  # type: ignore[import-untyped]
import pytest
from werkzeug.test import create_environ

from flask_fastsession.server import ServerSession
from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server import SessionStoreError
from flask_fastsession.server.lifecycle import Refused

from .interleavings import WithRows

USER = "alice"


class World:
    """An app, its store, and the session of one browser in it, which several requests bring at a time."""

    def __init__(self, starts_with: dict[str, t.Any], user: str | None) -> None:
        self.store = WithRows()
        self.app = flask.Flask("app")
        self.app.config.update(SESSION_TYPE=self.store, SESSION_HASH_SID=False)
        ServerSession(self.app)
        self.cookie: str | None = None
        with self.request() as session:
            session.update(starts_with)
            self.interface.bind_user(session, user)
        (self.cookie,) = self.sessions()

    @property
    def interface(self) -> ServerSessionInterface:
        interface = self.app.session_interface
        assert isinstance(interface, ServerSessionInterface)
        return interface

    @contextlib.contextmanager
    def request(self, brings_cookie: bool = True) -> Iterator[t.Any]:
        headers = {"Cookie": f"session={self.cookie}"} if brings_cookie and self.cookie else {}
        request = self.app.request_class(create_environ("/", headers=headers))
        session = self.interface.open_session(self.app, request)
        yield session
        response = flask.Response()
        self.interface.save_session(self.app, session, response)
        header = response.headers.get("Set-Cookie", "")
        self.told = header.partition("=")[2].partition(";")[0] or None

    def sessions(self) -> dict[str, dict[str, t.Any]]:
        """The data of each live session in the store, and whose it is, by id."""
        found = {}
        for key in self.store.records:
            sid = key.removeprefix("session:")
            with contextlib.suppress(Refused):
                _, data, meta = self.interface.lifecycle.find(sid, None)
                found[sid] = {**data, "whose": meta.owner}
        return found

    def left_behind(self) -> t.Any:
        """What is in the store, with new ids all alike."""
        sessions = [(sid == self.cookie, sorted(data.items(), key=repr)) for sid, data in self.sessions().items()]
        return sorted(sessions, key=repr), len(self.interface.sessions_of(USER))

    def unlisted(self) -> list[str]:
        """Sessions of a user that no revocation would find."""
        listed = [key for _, _, key in self.interface.lifecycle.listed(USER)]
        sessions = self.sessions().items()
        return [sid for sid, data in sessions if data["whose"] == USER and f"session:{sid}" not in listed]


Act = Callable[[World], None]


@dataclass
class Operation:
    name: str
    act: Act
    #: Whether it ends the session that the cookie has, so that others in flight may come to nothing.
    ends: bool = False
    #: Whether the session has another id afterwards.
    moves: bool = False
    #: Whether it is another user's afterwards, whom what others write meanwhile is none of.
    binds: bool = False

    def __str__(self) -> str:
        return self.name


OPERATIONS: list[Operation] = []


def operation(**traits: bool) -> Callable[[Act], Act]:
    def add(act: Act) -> Act:
        OPERATIONS.append(Operation(act.__name__, act, **traits))
        return act

    return add


@operation()
def read(world: World) -> None:
    with world.request() as session:
        session.get("x")


@operation()
def write_a(world: World) -> None:
    with world.request() as session:
        session["a"] = 1


@operation()
def write_b(world: World) -> None:
    with world.request() as session:
        session["b"] = {"c": 2}


@operation()
def overwrite(world: World) -> None:
    with world.request() as session:
        session["x"] = "mine"


@operation()
def remove_key(world: World) -> None:
    with world.request() as session:
        session.pop("x", None)


@operation()
def flash(world: World) -> None:
    with world.request() as session:
        session.setdefault("_flashes", []).append("hello")


@operation()
def flash_another(world: World) -> None:
    with world.request() as session:
        session.setdefault("_flashes", []).append("good bye")


@operation(binds=True)
def bind(world: World) -> None:
    with world.request() as session:
        session["user_id"] = USER
        world.interface.bind_user(session, USER)


@operation(binds=True)
def unbind(world: World) -> None:
    with world.request() as session:
        session.pop("user_id", None)
        world.interface.bind_user(session, None)


@operation(moves=True)
def regenerate(world: World) -> None:
    with world.request() as session:
        world.interface.regenerate(session)


@operation(moves=True, binds=True)
def log_in(world: World) -> None:
    with world.request() as session:
        world.interface.regenerate(session)
        session["user_id"] = USER
        world.interface.bind_user(session, USER)


@operation()
def log_in_elsewhere(world: World) -> None:
    with world.request(brings_cookie=False) as session:
        session["user_id"] = USER
        world.interface.bind_user(session, USER)


@operation(ends=True)
def log_out(world: World) -> None:
    with world.request() as session:
        session.clear()


@operation(ends=True)
def revoke(world: World) -> None:
    assert world.cookie is not None
    world.interface.revoke(world.cookie)


@operation(ends=True)
def revoke_user(world: World) -> None:
    world.interface.revoke_user(USER)


@operation()
def revoke_others(world: World) -> None:
    world.interface.revoke_user(USER, keep=world.cookie)


# --- Each inside each -----------------------------------------------------------------------------------------------

#: What is in the session, and whose it is.
Start = tuple[dict[str, t.Any], "str | None"]

STARTS: dict[str, Start] = {
    "bound": ({"x": "old", "_flashes": ["start"], "user_id": USER}, USER),
    "nobody's": ({"x": "old", "_flashes": ["start"]}, None),
}


@dataclass
class Within:
    """Runs one operation before the given command of another."""

    world: World
    inner: Callable[[], None]
    at: int
    commands: int = field(default=0)

    def __call__(self) -> None:
        self.commands += 1
        if self.commands == self.at + 1:
            self.world.store.before_command = lambda: None
            self.inner()
            self.world.store.before_command = self


def after(start: Start, *operations: Operation) -> World:
    world = World(*start)
    for each in operations:
        each.act(world)
    return world


def interleaved(start: Start, outer: Operation, inner: Operation) -> Iterator[tuple[int, World]]:
    """The worlds after ``inner`` came before the first, second, ... command of ``outer``."""
    for at in itertools.count():
        world = World(*start)
        within = Within(world, lambda world=world: inner.act(world), at)
        world.store.before_command = within
        outer.act(world)
        world.store.before_command = lambda: None
        if within.commands <= at:
            return
        yield at, world


#: Tested by themselves: what another one sets to what it was, or to just the same, is no change that a merge could see.
ALIKE = {("bound", "log_in", "unbind"), ("bound", "flash", "flash"), ("nobody's", "flash", "flash")}
ALIKE |= {("bound", "unbind", "log_in")} | {(start, "flash_another", "flash_another") for start in STARTS}


#: A session that is being bound while all others are revoked may be revoked with them, or not.
UNDECIDED = [{"bind", "revoke_others"}, {"log_in", "revoke_others"}]


def pairs() -> Iterator[t.Any]:
    for start, outer, inner in itertools.product(STARTS, OPERATIONS, OPERATIONS):
        if (start, outer.name, inner.name) in ALIKE or {outer.name, inner.name} in UNDECIDED:
            continue
        yield pytest.param(STARTS[start], outer, inner, id=f"{start}-{inner}-within-{outer}")


@pytest.mark.parametrize("start, outer, inner", pairs())
def test_two_leave_behind_what_they_do_one_after_the_other(start: Start, outer: Operation, inner: Operation) -> None:
    allowed = [after(start, outer, inner).left_behind(), after(start, inner, outer).left_behind()]
    allowed += [after(start, each).left_behind() for each in (outer, inner) if each.ends or each.moves or each.binds]
    for at, world in interleaved(start, outer, inner):
        assert world.unlisted() == [], f"before command {at}"
        assert world.left_behind() in allowed, f"before command {at}"


@pytest.mark.parametrize("start, outer, inner", pairs())
def test_what_was_ended_or_moved_is_not_at_its_old_id(start: Start, outer: Operation, inner: Operation) -> None:
    if not any(each.moves or each.name in ("log_out", "revoke") for each in (outer, inner)):
        return
    for at, world in interleaved(start, outer, inner):
        assert world.cookie not in world.sessions(), f"before command {at}"


#: Of all pairs, those of `make interleavings`, all schedules are tried there.
SCHEDULES = 1


def in_turns(start: Start, one: Operation, other: Operation, rng: random.Random) -> World:
    """The world after both have run at once: before each command it is chance whose turn it is."""
    world = World(*start)
    scheduler = greenlet.getcurrent()
    runs = [greenlet.greenlet(each.act, parent=scheduler) for each in (one, other)]
    world.store.before_command = scheduler.switch
    while runs:
        chosen = rng.choice(runs)
        chosen.switch(*() if chosen else (world,))
        runs = [run for run in runs if not run.dead]
    world.store.before_command = lambda: None
    return world


@pytest.mark.parametrize("start, one, other", pairs())
def test_two_at_once_leave_behind_what_they_do_one_after_the_other(
    start: Start, one: Operation, other: Operation
) -> None:
    allowed = [after(start, one, other).left_behind(), after(start, other, one).left_behind()]
    allowed += [after(start, each).left_behind() for each in (one, other) if each.ends or each.moves or each.binds]
    for seed in range(SCHEDULES):
        world = in_turns(start, one, other, random.Random(seed))
        assert world.unlisted() == [], f"schedule {seed}"
        assert world.left_behind() in allowed, f"schedule {seed}"
        if any(each.moves or each.name in ("log_out", "revoke") for each in (one, other)):
            assert world.cookie not in world.sessions(), f"schedule {seed}"


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("outer", [each for each in OPERATIONS if each.name != "log_in_elsewhere"], ids=str)
def test_a_cookie_that_is_set_is_of_a_session_that_is_there(start: Start, outer: Operation) -> None:
    world = after(start)
    world.told = None
    outer.act(world)
    assert world.told is None or world.told in world.sessions()


# --- Each failing ---------------------------------------------------------------------------------------------------


def failing(start: Start, each: Operation, lasts: bool) -> Iterator[World]:
    """The worlds after the store failed at the first, second, ... command, or from that on."""
    for at in itertools.count():
        world = World(*start)
        commands = itertools.count()

        def fail(at: int = at, commands: t.Any = commands) -> None:
            number = next(commands)
            if number == at or (lasts and number > at):
                raise SessionStoreError("out of order")

        world.store.before_command = fail
        try:
            each.act(world)
        except SessionStoreError:
            world.store.before_command = lambda: None
            yield world
        else:
            return


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("each", OPERATIONS, ids=str)
def test_a_failure_leaves_no_session_that_no_revocation_finds(start: Start, each: Operation, lasts: bool) -> None:
    for world in failing(start, each, lasts):
        assert world.unlisted() == []


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("each", OPERATIONS, ids=str)
def test_after_a_failure_there_are_never_two_sessions_of_one(start: Start, each: Operation) -> None:
    if each.name == "log_in_elsewhere":
        return
    for world in failing(start, each, lasts=False):
        assert len(world.sessions()) <= 1


# --- What ends a session and what only empties it --------------------------------------------------------------------


def test_what_is_written_while_the_last_key_goes_is_kept() -> None:
    """Whoever shows the last flashed message empties a session, and does not end it."""

    def show(world: World) -> None:
        with world.request() as session:
            session.pop("_flashes", None)

    start: Start = ({"_flashes": ["seen"]}, None)
    for at, world in interleaved(start, Operation("show", show), Operation("write", write_a)):
        assert [data["a"] for data in world.sessions().values() if "a" in data] == [1], f"lost before command {at}"


# --- What is set to what it was, or to just the same ----------------------------------------------------------------


def test_who_logs_in_again_while_logging_out_is_either_wholly() -> None:
    log_in_again, log_out_partly = Operation("log_in", log_in), Operation("unbind", unbind)
    for _, world in interleaved(STARTS["bound"], log_in_again, log_out_partly):
        (data,) = world.sessions().values()
        assert data.get("user_id") == data["whose"]


@pytest.mark.parametrize("act", [flash, flash_another])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_two_that_add_the_same_have_both_added_it(start: Start, act: Act) -> None:
    once = Operation("once", act)
    both = after(start, once, once).left_behind()
    for at, world in interleaved(start, once, once):
        assert world.left_behind() == both, f"before command {at}"
