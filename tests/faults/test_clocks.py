"""Clocks that jump, between requests and within one."""

from __future__ import annotations

import datetime
import threading
import time
import typing as t
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain
from random import Random

import flask.sessions
import freezegun
import pytest
import time_machine

from flask_fastsession import FastSessionInterface
from tests.contract.parity import NOW
from tests.contract.parity import Interface
from tests.contract.parity import exactly
from tests.contract.parity import outcome_of
from tests.contract.parity import serializer_of

from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import token_in
from .support import written

LIFETIME = 100
REQUESTS = scaled(300, 20_000)

JUMPS: dict[str, t.Callable[[Random, float], float]] = {
    "to and fro": lambda random, now: now + random.choice([-1, 1]) * random.random() * 250,
    "by fractions": lambda random, now: now + random.choice([-1e-6, 1e-6, 0.3, -0.3, 0.999999, -0.999999]),
    "to ends of seconds": lambda random, now: int(now) + random.choice([0, 1e-6, 0.999993, 0.999997, 0.999999, 1]),
    "anywhere": lambda random, now: random.choice([0, 1, 59, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**35, NOW, 0.5]),
    "back only": lambda random, now: max(now - random.random() * 3, 0),
}


def readings(jump: str, seed: int) -> Iterator[float]:
    random, now = Random(seed), float(NOW)
    while True:
        yield now
        now = JUMPS[jump](random, now)


def requests_in_a_row(interface_class: type[Interface], before_each: t.Callable[[], object]) -> list[object]:
    """A visitor's requests, each with the cookie of the one before, and what becomes of them."""
    app = app_with(interface_class, PERMANENT_SESSION_LIFETIME=LIFETIME)
    seen: list[object] = []
    token = None

    def visit() -> object:
        nonlocal token
        session = open_by(app, token)
        loaded = dict(session)
        session["visits"] = session.get("visits", 0) + 1
        session["_permanent"] = session["visits"] % 3 > 0
        headers = save_by(app, session)
        token = token_in(headers)
        return loaded, headers

    with app.app_context():
        for _ in range(REQUESTS):
            before_each()
            seen.append(exactly(outcome_of(visit)))
    return seen


def check(stock: list[object], ours: list[object]) -> None:
    for number, (one, other) in enumerate(zip(stock, ours, strict=True)):
        assert one == other, f"request {number}"


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps_at_each_reading(monkeypatch: pytest.MonkeyPatch, jump: str) -> None:
    def visit_all(interface_class: type[Interface]) -> list[object]:
        clock = readings(jump, seed=1)

        class Jumping(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> Jumping:
                return cls.fromtimestamp(next(clock), tz)

        monkeypatch.setattr(time, "time", lambda: next(clock))
        monkeypatch.setattr(flask.sessions, "datetime", Jumping)
        return requests_in_a_row(interface_class, lambda: None)

    check(visit_all(Interface), visit_all(FastSessionInterface))


@pytest.mark.parametrize("jump", JUMPS)
def test_time_machine_jumps_between_requests(jump: str) -> None:
    def visit_all(interface_class: type[Interface]) -> list[object]:
        clock = readings(jump, seed=2)
        with time_machine.travel(next(clock), tick=False) as traveller:
            return requests_in_a_row(interface_class, lambda: traveller.move_to(next(clock)))

    check(visit_all(Interface), visit_all(FastSessionInterface))


@pytest.mark.parametrize("jump", JUMPS)
def test_freezegun_jumps_between_requests(jump: str) -> None:
    def visit_all(interface_class: type[Interface]) -> list[object]:
        clock = readings(jump, seed=3)
        with freezegun.freeze_time(datetime.datetime.fromtimestamp(next(clock), datetime.timezone.utc)) as frozen:
            return requests_in_a_row(
                interface_class,
                lambda: frozen.move_to(datetime.datetime.fromtimestamp(next(clock), datetime.timezone.utc)),
            )

    check(visit_all(Interface), visit_all(FastSessionInterface))


def test_clocks_are_stopped_and_started_again() -> None:
    """Each tool for one request, and the clock of the system in between."""

    def visit_all(interface_class: type[Interface]) -> object:
        app = app_with(interface_class, PERMANENT_SESSION_LIFETIME=LIFETIME)
        seen: list[object] = []
        stops: list[AbstractContextManager[object]] = [
            freezegun.freeze_time("2020-01-01"),
            time_machine.travel("2020-01-01 00:01+0000", tick=False),
            freezegun.freeze_time("2020-01-01 00:00:30", tick=False),
            time_machine.travel("2019-12-31 23:59:59.999999+0000", tick=False),
        ]
        token = None
        with app.app_context():
            for stop in chain(stops, stops):
                with stop:
                    loaded = dict(open_by(app, token))
                    headers = save_by(app, written(app, user="ada", _permanent=True))
                    token = token_in(headers)
                    seen.append((loaded, headers))
                now = open_by(app, token_in(save_by(app, written(app, user="now"))))
                seen.append((dict(now), dict(open_by(app, token))))
        return seen

    assert visit_all(FastSessionInterface) == visit_all(Interface)


@pytest.mark.parametrize("ignore", [[], ["itsdangerous"], ["flask"], ["werkzeug"]], ids=str)
@pytest.mark.parametrize("is_in_thread", [False, True], ids=["main thread", "other thread"])
def test_freezegun_looks_at_who_asks(ignore: list[str], is_in_thread: bool) -> None:
    """It gives the real time to callers in certain modules, `threading` among them, up to five calls up the stack."""

    def visit(interface_class: type[Interface]) -> None:
        app = app_with(interface_class, PERMANENT_SESSION_LIFETIME=LIFETIME)
        with app.app_context():
            seen.append(dict(open_by(app, token)))

    seen: list[object] = []
    with freezegun.freeze_time("2020-01-01", ignore=ignore):
        token = serializer_of(app_with(Interface)).dumps({"user": "ada"})
        for interface_class in (Interface, FastSessionInterface):
            if is_in_thread:
                thread = threading.Thread(target=visit, args=(interface_class,))
                thread.start()
                thread.join()
            else:
                visit(interface_class)
    stock, ours = seen
    assert ours == stock
