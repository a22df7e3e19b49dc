"""From signed cookies to encrypted ones and back, by steps that log nobody out."""

from __future__ import annotations

import hashlib
import random
import typing as t
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from flask_fastsession import FastSessionInterface
from tests.conftest import Clock
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import snapshot
from tests.contract.parity import store
from tests.contract.parity import touch_nothing

#: What is deployed one after the other. Of any two that follow each other, some workers run one and some the other.
STEPS: list[dict[str, t.Any]] = [
    {},
    {"accept_encrypted": True},
    {"encrypt": True, "accept_signed": True, "resign_fallbacks": True},
    {"encrypt": True},
]


def worker(step: dict[str, t.Any]) -> flask.Flask:
    return make_app(FastSessionInterface(**step))


def kinds_of(app: flask.Flask) -> dict[str, int]:
    return t.cast("dict[str, int]", t.cast(FastSessionInterface, app.session_interface).stats()["kinds"])


def is_encrypted(token: str) -> bool:
    return "." not in token


@pytest.mark.parametrize("made", range(len(STEPS)))
@pytest.mark.parametrize("read", range(len(STEPS)))
def test_what_is_read_at_each_step(clock: Clock, made: int, read: int) -> None:
    token = exchange(worker(STEPS[made]), store(user="ada")).token
    assert is_encrypted(token) is (made >= 2)
    seen = exchange(worker(STEPS[read]), snapshot, token).seen[0][0]
    # Only the first and the last refuse, and only each other's kind.
    is_read = not (read == 0 and made >= 2) and not (read == 3 and made < 2)
    assert seen == ({"user": "ada"} if is_read else {})


@pytest.mark.parametrize("resigns", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"encrypt": True, "accept_signed": True}),
        ({"encrypt": True}, {"accept_encrypted": True}),
    ],
)
def test_old_cookies_are_replaced_when_saved(
    clock: Clock, old: dict[str, t.Any], new: dict[str, t.Any], resigns: bool
) -> None:
    app = worker({**new, "resign_fallbacks": resigns})
    before = exchange(worker(old), store(user="ada")).token
    read = exchange(app, touch_nothing, before)
    assert len(read.cookies) == int(resigns)
    after = exchange(app, store(more=1), before).token
    assert is_encrypted(after) is not is_encrypted(before)
    assert exchange(app, snapshot, after).seen[0][0] == {"user": "ada", "more": 1}
    # What is of the new kind stays as it is.
    assert exchange(app, touch_nothing, after).cookies == []
    assert sum(kinds_of(app).values()) == 4


def test_both_kinds_are_counted(clock: Clock) -> None:
    app = worker(STEPS[2])
    signed, encrypted = (exchange(worker(step), store(user="ada")).token for step in (STEPS[0], STEPS[3]))
    for token in (signed, signed, encrypted):
        exchange(app, touch_nothing, token)
    # Also where stock code verifies, because the signature is written in an unusual way.
    exchange(app, touch_nothing, signed + "=")
    assert kinds_of(app) == {"signed": 3, "encrypted": 1, "too_large_when_encrypted": 0}
    for token in (signed[:-3], encrypted[:-3], "junk"):
        exchange(app, touch_nothing, token)
    assert kinds_of(app) == {"signed": 3, "encrypted": 1, "too_large_when_encrypted": 0}


def test_signed_cookies_are_accepted_by_the_full_rules(clock: Clock) -> None:
    old = make_app(FastSessionInterface(digest_method=hashlib.sha512))
    token = exchange(old, store(user="ada")).token
    options: dict[str, t.Any] = {"encrypt": True, "accept_signed": True}
    assert exchange(worker(options), snapshot, token).seen[0][0] == {}
    options["accept_digest_methods"] = [hashlib.sha512]
    assert exchange(worker(options), snapshot, token).seen[0][0] == {"user": "ada"}
    assert exchange(worker(options), snapshot, token + "=").seen[0][0] == {"user": "ada"}
    assert exchange(worker({**options, "accept_signed": False}), snapshot, token).seen[0][0] == {}
    clock.now += 32 * 86_400
    assert exchange(worker(options), snapshot, token).seen[0][0] == {}


@pytest.mark.parametrize("direction", [1, -1], ids=["there", "back"])
def test_a_rolling_deploy_logs_nobody_out(direction: int) -> None:
    """Visitors whose requests go to any worker, while workers are replaced one after the other."""
    workers = [worker(STEPS[::direction][0]) for _ in range(4)]
    visitors = [exchange(workers[0], store(user=number, _permanent=True)).token for number in range(24)]

    def visit(number: int, seed: int) -> str:
        rng = random.Random(f"{number} {seed}")
        token = visitors[number]
        for turn in range(6):
            reply = exchange_with(rng.choice(workers), token, turn)
            assert reply[0] == number, f"visitor {number} is logged out"
            token = reply[1]
        return token

    with ThreadPoolExecutor(4) as pool:
        for step in STEPS[::direction]:
            for at in range(len(workers)):
                workers[at] = worker(step)
                visitors[:] = pool.map(visit, range(len(visitors)), [at] * len(visitors))
    assert all(is_encrypted(token) is (direction == 1) for token in visitors)


def exchange_with(app: flask.Flask, token: str, turn: int) -> tuple[object, str]:
    """One request whose view reads, and sometimes writes: who is logged in, and the cookie that is set."""
    with app.test_request_context("/", headers={"Cookie": f"session={token}"}):
        user = flask.session.get("user")
        if turn % 3 == 0:
            flask.session["turn"] = turn
        response = app.process_response(flask.Response())
    (cookie,) = response.headers.getlist("Set-Cookie")
    return user, cookie.partition("=")[2].partition(";")[0]
