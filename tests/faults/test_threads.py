"""Many threads, one interface, and keys that are rotated meanwhile."""

from __future__ import annotations

import sys
import threading
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from random import Random

import flask
import itsdangerous

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import serializer_of

from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import token_in

THREADS = 8
OPERATIONS = scaled(500, 100_000)


class Keyring:
    """The keys of an app, of which the newest signs and the two before it verify.

    They are few and come again and again, as the very same objects: whatever is kept of a key that was in use shows.
    """

    KEYS = tuple(f"key {number}" for number in range(8))
    FALLBACKS = 2

    def __init__(self, app: flask.Flask) -> None:
        self.app = app
        self.epoch = self.FALLBACKS
        self.apply(self.epoch)
        self.stock = {key: serializer_of(app_with(Interface, SECRET_KEY=key)) for key in self.KEYS}

    def key(self, epoch: int) -> str:
        return self.KEYS[epoch % len(self.KEYS)]

    def apply(self, epoch: int) -> None:
        # In this order the key in use is among them at every moment.
        self.app.config["SECRET_KEY_FALLBACKS"] = [self.key(epoch - back) for back in range(self.FALLBACKS, -1, -1)]
        self.app.config["SECRET_KEY"] = self.key(epoch)

    def rotate(self) -> None:
        self.apply(self.epoch + 1)
        self.epoch += 1

    def sign(self, value: object, epoch: int) -> str:
        return t.cast(str, self.stock[self.key(epoch)].dumps(value))

    def read_by_stock(self, token: str, epochs: range) -> object:
        """What stock reads with a key of that time; an error if no such key has signed the token."""
        for epoch in epochs:
            try:
                return self.stock[self.key(epoch)].loads(token)
            except itsdangerous.BadSignature:
                pass
        raise AssertionError(f"{token} was not signed with a key of {epochs}")


class Visitor:
    """Somebody with a session, who makes sure of every answer."""

    def __init__(self, keyring: Keyring, number: int) -> None:
        self.keyring = keyring
        self.app = keyring.app
        self.random = Random(number)
        self.number = number
        self.visits = 0

    def visit(self) -> None:
        self.visits += 1
        self.random.choice(KINDS)(self)

    def value(self, **more: object) -> dict[str, object]:
        return {"user": f"user {self.number}", "visit": self.visits, "items": [self.number] * 5, **more}

    def comes_without_a_cookie(self) -> None:
        session = open_by(self.app)
        assert session == {}
        assert save_by(self.app, session) == []  # Neither a cookie nor a mark in Vary.

    def only_reads(self) -> None:
        session = self.open(self.value())
        assert not [name for name, _ in save_by(self.app, session) if name == "Set-Cookie"]

    def is_refreshed(self) -> None:
        session = self.open(self.value(_permanent=True))
        if session:
            self.save(session)

    def writes(self) -> None:
        session = self.open(self.value())
        session["visit"] = -self.visits
        self.save(session)

    def writes_what_is_declined(self) -> None:
        session = self.open(self.value(name="José"))
        session["price"] = Decimal(self.visits)
        self.save(session, price=str(self.visits))

    def forges(self) -> None:
        token = self.keyring.sign(self.value(), self.keyring.epoch)
        at = self.random.randrange(len(token) - 1)
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert open_by(self.app, changed) == {}

    def comes_with_a_revoked_key(self) -> None:
        # Two rotations from coming back, so that it has not done so by the end of this visit.
        before = self.keyring.epoch
        token = self.keyring.sign(self.value(), before - Keyring.FALLBACKS - 2)
        session = open_by(self.app, token)
        if self.keyring.epoch == before:
            assert session == {}

    def open(self, value: dict[str, object]) -> t.Any:
        before = self.keyring.epoch
        session = open_by(self.app, self.keyring.sign(value, before))
        # Two more rotations, and the key was no longer good for certain while this went on.
        if self.keyring.epoch < before + Keyring.FALLBACKS:
            assert session == value
        else:
            assert session in (value, {})
        return session

    def save(self, session: t.Any, **changed: object) -> None:
        expected = {**session, **changed}
        epoch = self.keyring.epoch
        token = token_in(save_by(self.app, session))
        assert self.keyring.read_by_stock(token, range(epoch, self.keyring.epoch + 2)) == expected


KINDS: tuple[Callable[[Visitor], None], ...] = (
    Visitor.comes_without_a_cookie,
    Visitor.only_reads,
    Visitor.is_refreshed,
    Visitor.writes,
    Visitor.writes_what_is_declined,
    Visitor.forges,
    Visitor.comes_with_a_revoked_key,
)


@contextmanager
def restless() -> Iterator[None]:
    """Have threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def rotating(keyring: Keyring) -> Iterator[None]:
    is_over = threading.Event()

    def rotate() -> None:
        while not is_over.wait(0.003):
            keyring.rotate()

    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def visit_often(visitor: Visitor) -> None:
    with visitor.app.app_context():
        for _ in range(OPERATIONS):
            visitor.visit()


def test_threads_share_an_interface_whose_keys_are_rotated(interface_class: type[Interface]) -> None:
    app = app_with(interface_class)
    keyring = Keyring(app)
    visitors = [Visitor(keyring, number) for number in range(THREADS)]
    with restless(), rotating(keyring), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(visit_often, visitors))
    assert keyring.epoch > Keyring.FALLBACKS + len(Keyring.KEYS)
    if interface_class is FastSessionInterface:
        check_stats(t.cast(FastSessionInterface, app.session_interface).stats())


def check_stats(stats: t.Any) -> None:
    """Make sure that each request was counted once, and that it was native code that was looked at."""
    opened = stats["open"]["native"] + sum(stats["open"]["declined"].values())
    assert opened == THREADS * OPERATIONS
    assert stats["open"]["native"] > 0.9 * opened
    assert set(stats["save"]["declined"]) <= {"value_type"}, stats


def test_threads_come_and_go(interface_class: type[Interface]) -> None:
    # Whatever a thread keeps for itself is let go of at its end, when it no longer holds the interpreter.
    app = app_with(interface_class)
    keyring = Keyring(app)

    def visit_once(number: int) -> None:
        visitor = Visitor(keyring, number)
        with app.app_context():
            for _ in range(10):
                visitor.visit()
        finished.append(number)

    finished: list[int] = []
    rounds = scaled(30, 1_000)
    with restless():
        for at in range(rounds):
            threads = [threading.Thread(target=visit_once, args=(THREADS * at + one,)) for one in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sorted(finished) == list(range(rounds * THREADS))
