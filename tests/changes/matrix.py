"""The cases, and how one is compared: warm, changed, undone, changed in other ways, and changed in a request."""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import random
import time
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from unittest import mock

import flask.sessions
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface
from flask_fastsession import _native

from .places import PLACES
from .places import Place
from .sides import Seen
from .sides import Side
from .sides import Undo
from .sides import diverging
from .values import Value
from .visits import Visit
from .visits import visits
from .way import LASTING
from .way import Way
from .way import class_of
from .way import find
from .way import in_turn
from .way import instance_of
from .ways import ways_of

#: As many rounds of requests as it takes to have everything looked up and kept.
WARM_ROUNDS = 2

#: In the midst of these requests the change is made once more.
INTERRUPTED = ("read", "refreshed", "written", "emptied")

#: The steps in which both changes of a case had a part.
TWO = ("both", "first alone", "undone again", "undone in the request")

#: How often a case is run again in which stock and ours answered in different seconds.
ATTEMPTS = 5

#: Attributes that requests have of their own, so that those of a class do not show.
OF_REQUESTS = ("headers", "environ")

INTERFACES: tuple[type[SecureCookieSessionInterface], ...] = (SecureCookieSessionInterface, FastSessionInterface)

system_time = time.time


@dataclass(frozen=True)
class Change:
    """A value put into a place in some way."""

    value: Value
    way: Way

    def __str__(self) -> str:
        return f"{self.value.label}, {self.way.name}"


@dataclass(frozen=True)
class Case:
    """A place that changes, in one way and in another."""

    number: int
    place: Place
    first: Change
    second: Change
    #: Whether the clocks are stopped; otherwise they are the system's.
    is_stopped: bool
    seed: int
    #: The check whose places came first.
    sought: str = ""

    def __str__(self) -> str:
        clock = "stopped" if self.is_stopped else "the system's"
        first = f" --first {self.sought}" if self.sought else ""
        return (
            f"case {self.number}: {self.place.name} ({self.first}; then {self.second}; clock {clock};"
            f" repeat it with --seed {self.seed}{first} --only {self.number})"
        )


@dataclass
class Result:
    """What came of some cases."""

    comparisons: int = 0
    differences: list[str] = field(default_factory=list)
    #: Cases in which stock did not notice the change either, and so tested nothing.
    idle: list[str] = field(default_factory=list)
    #: Changes that the interpreter refuses.
    refused: list[str] = field(default_factory=list)
    #: By place, in which ways a change was not noticed.
    places: dict[str, list[str]] = field(default_factory=dict)


class Refused(Exception):
    """The interpreter does not let this be changed."""


class Disturbed(Exception):
    """The system's clock went on between stock and ours."""


# --- Cases ----------------------------------------------------------------------------------------------------------


@functools.cache
def changes_of(place: Place) -> tuple[Change, ...]:
    return tuple(
        Change(value, way) for way in ways_of(place) for value in place.values if is_possible(place, value, way)
    )


def is_possible(place: Place, value: Value, way: Way) -> bool:
    if way.by_instance:
        # The interpreter looks for special methods on the class alone.
        return value.fits_instances and not place.attribute.startswith("__")
    return way.name != "taken away" or value is place.values[0]


@functools.cache
def all_changes(seed: int, first: str = "") -> tuple[tuple[Place, Change], ...]:
    """All places with all their changes: each place once, then each once more; ``first`` those of a name like this."""
    rng = random.Random(seed)
    rounds = []
    for place in PLACES:
        changes = list(changes_of(place))
        rng.shuffle(changes)
        rounds += [(likeness(place.name, first), number, place, change) for number, change in enumerate(changes)]
    rounds.sort(key=lambda entry: (-entry[0], entry[1]) if entry[0] else (0, entry[1]))
    return tuple((place, change) for _, _, place, change in rounds)


def likeness(name: str, check: str) -> int:
    """How well the name of a place fits that of a check of native code."""
    if not check:
        return 0
    (owner, _, attribute), (guard, _, checked) = name.rpartition("."), check.rpartition(".")
    return 2 * (attribute == checked) + (attribute == checked and owner == guard) + (owner == guard)


def case_of(number: int, seed: int, first: str = "") -> Case:
    changes = all_changes(seed, first)
    place, change = changes[number % len(changes)]
    rng = random.Random(seed * 2**64 + number)
    others = [other for other in changes_of(place) if other.way.slot != change.way.slot] or changes_of(place)
    return Case(number, place, change, rng.choice(others), rng.random() < 0.7, seed, first)


# --- One case -------------------------------------------------------------------------------------------------------


def run(case: Case, result: Result) -> None:
    """Compare stock and ours along the steps of a case."""
    # A busy machine may have no second in which both answer.
    for tried in (*[case] * ATTEMPTS, replace(case, is_stopped=True)):
        try:
            with stopped_clocks() if tried.is_stopped else contextlib.nullcontext():
                return Comparison(tried, result).run()
        except Disturbed:
            continue
        except Refused as error:
            result.refused.append(f"{case}: {error}")
            return None
    return None


@contextlib.contextmanager
def stopped_clocks() -> Iterator[None]:
    now = int(system_time())

    class StoppedDatetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> StoppedDatetime:
            return cls.fromtimestamp(now, tz)

    with mock.patch("time.time", lambda: now), mock.patch.object(flask.sessions, "datetime", StoppedDatetime):
        yield


class Comparison:
    """Stock and ours in step."""

    def __init__(self, case: Case, result: Result) -> None:
        self.case, self.result, self.place = case, result, case.place
        self.rng = random.Random(f"{case.seed} {case.number}")
        self.visits = visits(self.place.is_revocable)
        self.sides = [Side(interface, self.place.owner, self.place.is_revocable) for interface in INTERFACES]
        self.latest = ""
        for side in self.sides:
            side.run(self.visits[0])
            side.session_type = side.last_session_type

    def run(self) -> None:
        planted = [undo for side in self.sides if (undo := self.place.prepare(side))]
        planted += [self.planted(change) for change in (self.case.first, self.case.second)]
        try:
            self.go_through_steps()
        finally:
            in_turn(*planted)()

    def planted(self, change: Change) -> Undo:
        plant = change.way.plant
        if plant is None:
            return lambda: None
        sides = self.sides[:1] if change.way.is_shared else self.sides
        return in_turn(*[plant(side, self.place) for side in sides])

    def go_through_steps(self) -> None:
        warm: dict[str, Seen] = {}
        for _ in range(WARM_ROUNDS):
            warm = self.step("warm")
        self.expect_native()
        self.change_and_undo(warm)
        self.change_twice(warm)
        if self.place.owner in (*LASTING, "signing serializer", "signer") or self.place.kind != "attribute":
            self.change_in_requests()
            self.expect_undone(self.step("undone in the request"), warm)

    def change_and_undo(self, warm: dict[str, Seen]) -> None:
        before = find(class_of(self.sides[0], self.place), self.place.attribute) if self.is_attribute else None
        undo = self.apply(self.case.first)
        try:
            # By then it is known whether anything stands before it.
            is_hidden = self.is_hidden(before)
            changed = self.step("changed")
        finally:
            undo()
        must_matter = self.place.matters and self.case.first.value.matters and not is_hidden
        if must_matter and self.case.is_stopped and without_back(changed) == without_back(warm):
            self.result.idle.append(str(self.case))
        self.expect_undone(self.step("undone"), warm)

    def change_twice(self, warm: dict[str, Seen]) -> None:
        """The other change, then both, then the first alone, then none."""
        undos = [self.apply(self.case.second)]
        try:
            self.step("second")
            if self.case.first.way.slot != self.case.second.way.slot:
                undos.append(self.apply(self.case.first))
                self.step("both")
                undos.pop(0)()
                self.step("first alone")
        finally:
            in_turn(*undos)()
        self.expect_undone(self.step("undone again"), warm)

    def change_in_requests(self) -> None:
        """The change made by a view, between opening and saving."""
        for visit in self.visits:
            if visit.name in INTERRUPTED:
                with self.one_second():
                    stock, ours = (self.interrupted(side, visit) for side in self.sides)
                self.compare("changed in the request", visit, stock, ours)

    def interrupted(self, side: Side, visit: Visit) -> Seen:
        undos: list[Undo] = []
        side.during = lambda: undos.append(self.case.first.way.apply(side, self.place, self.case.first.value))
        try:
            return side.run(visit)
        finally:
            side.during = None
            in_turn(*undos)()

    # What is expected.

    def step(self, step: str) -> dict[str, Seen]:
        """Have both sides answer the same requests, in any order, and return what stock answered."""
        return {visit.name: self.pair(step, visit) for visit in self.rng.sample(self.visits, len(self.visits))}

    def pair(self, step: str, visit: Visit) -> Seen:
        with self.one_second():
            stock, ours = (side.run(visit, self.latest) for side in self.sides)
        self.compare(step, visit, stock, ours)
        if visit.name == "written" and step != "warm":
            self.latest = stock.cookie
        return stock

    @contextlib.contextmanager
    def one_second(self) -> Iterator[None]:
        """Both sides are to answer in one second of the system's clock, where that is not stopped."""
        if not self.case.is_stopped and system_time() % 1 > 0.97:
            time.sleep(0.04)
        began = int(system_time())
        yield
        if not self.case.is_stopped and int(system_time()) != began:
            raise Disturbed

    def compare(self, step: str, visit: Visit, stock: Seen, ours: Seen) -> None:
        self.result.comparisons += 1
        if stock != ours:
            self.differ(f"step {step!r}, request {visit.name!r}\n{diverging(stock, ours)}", step)

    def differ(self, text: str, step: str = "warm") -> None:
        self.result.differences.append(f"{self.case}\n    {text}")
        of_first = step in ("warm", "changed", "undone", "changed in the request")
        way = "two ways" if step in TWO else str(self.case.first if of_first else self.case.second)
        self.result.places.setdefault(self.place.name, []).append(way)

    def expect_undone(self, seen: dict[str, Seen], warm: dict[str, Seen]) -> None:
        """That the change has been undone indeed, for stock."""
        if not self.case.is_stopped:
            return
        for name, before in without_back(warm).items():
            if seen[name] != before:
                raise AssertionError(f"{self.case}\n    was not undone: {name!r}\n{diverging(before, seen[name])}")

    def expect_native(self) -> None:
        """That native code opens and saves, by what it knows of classes already."""
        (reading,) = (visit for visit in self.visits if visit.name == "read")
        before, looked_up = self.native_counts(), _native.guard_look_ups()
        self.pair("warm", reading)
        after, later = self.native_counts(), _native.guard_look_ups()
        if not self.place.is_native:
            return
        if after != [count + 1 for count in before]:
            self.differ(f"was left to stock before anything was changed: {self.sides[1].interface.stats()}")
        if later != looked_up:
            self.differ(f"was looked up again before anything was changed: {later - looked_up} times")

    def native_counts(self) -> list[int]:
        stats = self.sides[1].interface.stats()
        return [stats[what]["native"] for what in ("open", "save")]

    # Changes.

    @property
    def is_attribute(self) -> bool:
        return self.place.kind == "attribute" and self.place.owner != "request headers"

    def apply(self, change: Change) -> Undo:
        # Ours first, so that it finds stock's class unchanged where it inherits from it.
        sides = self.sides[:1] if change.way.is_shared else self.sides[::-1]
        try:
            return in_turn(*[change.way.apply(side, self.place, change.value) for side in sides])
        except (AttributeError, TypeError) as error:
            raise Refused(str(error)) from error

    def is_hidden(self, before: t.Any) -> bool:
        """Whether stock finds something else before what was changed."""
        if not self.is_attribute:
            return False
        change, side, name = self.case.first, self.sides[0], self.place.attribute
        now = find(class_of(side, self.place), name)
        if change.way.by_instance:
            return hasattr(type(now), "__set__") and change.way.name != "by setattr"
        if change.value.fits_instances and self.is_of_instances():
            return True
        if change.way.name == "by __class__" and name == "__init__":
            return True
        return change.way.slot not in ("class of the instance", "replacement") and now is before

    def is_of_instances(self) -> bool:
        if self.place.owner in LASTING and self.place.owner != "serializer":
            return self.place.attribute in vars(instance_of(self.sides[0], self.place.owner))
        return self.place.owner == "request" and self.place.attribute in OF_REQUESTS


def without_back(seen: dict[str, Seen]) -> dict[str, Seen]:
    """What stock answered, but for the request whose cookie is another one at each step."""
    return {name: each for name, each in seen.items() if name != "back"}


def summary(places: dict[str, list[str]]) -> str:
    """The places in which something differed, and the ways."""
    lines = []
    for name, ways in sorted(places.items()):
        counted = collections.Counter(ways)
        lines.append(f"    {name}: " + "; ".join(f"{way} ({count})" for way, count in counted.most_common()))
    return "\n".join(lines)
