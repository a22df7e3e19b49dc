"""Settings that another thread changes in the midst of a request.

Whether and when a thread is interrupted is chance, so a profile function stands for the other thread: it changes the
settings at the first, the second, the third call of a Python function during a request, and so on until its end.
"""

from __future__ import annotations

import itertools
import random
import typing as t
from collections.abc import Callable

import pytest

from tests.contract.parity import Interface
from tests.contract.parity import Scenario
from tests.contract.parity import exchange
from tests.contract.parity import serializer_of
from tests.contract.parity import snapshot
from tests.contract.parity import store

from .support import AtCall
from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import written

#: Of how many calls one is tried, another one each time.
STEP = scaled(7, 1)

NEW, OLD = "a new key", "an old key"

# What the settings are before, from that moment on, and after the request.
CHANGES: dict[str, tuple[dict[str, object], dict[str, object], dict[str, object]]] = {
    "there and back": (
        {"SECRET_KEY": OLD},
        {"SECRET_KEY": NEW},
        {"SECRET_KEY": OLD},
    ),
    "a key that is revoked later": (
        {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": None},
        {"SECRET_KEY_FALLBACKS": [OLD]},
        {"SECRET_KEY_FALLBACKS": None},
    ),
    "a lifetime": (
        {"PERMANENT_SESSION_LIFETIME": 100},
        {"PERMANENT_SESSION_LIFETIME": 100_000},
        {"PERMANENT_SESSION_LIFETIME": 100},
    ),
    "the name of the cookie": (
        {"SESSION_COOKIE_NAME": "session"},
        {"SESSION_COOKIE_NAME": "another"},
        {"SESSION_COOKIE_NAME": "session"},
    ),
    "security of the cookie": (
        {"SESSION_COOKIE_SECURE": True},
        {"SESSION_COOKIE_SECURE": False},
        {"SESSION_COOKIE_SECURE": True},
    ),
    "path of the cookie": (
        {"SESSION_COOKIE_PATH": None, "APPLICATION_ROOT": "/"},
        {"APPLICATION_ROOT": "/app"},
        {"APPLICATION_ROOT": "/"},
    ),
}


def behaviour(app: t.Any) -> list[object]:
    """What an app accepts and answers now."""
    tokens = [serializer_of(app_with(Interface, SECRET_KEY=key)).dumps({"by": key}) for key in (NEW, OLD)]
    return [
        [exchange(app, snapshot, cookie=token) for token in tokens],
        exchange(app, store(user="ada")),
        exchange(app, store(user="ada", _permanent=True)),
    ]


def with_change_at(number: int, change: str, *, opens: bool) -> tuple[Scenario, Callable[[], bool]]:
    reached: list[bool] = []
    before, meanwhile, after = CHANGES[change]

    def scenario(interface_class: type[Interface]) -> object:
        app = app_with(interface_class, **before)
        with app.app_context():
            session = written(app_with(interface_class), user="ada", _permanent=True)
            moment = AtCall(number, lambda: app.config.update(meanwhile))
            moment.during(lambda: open_by(app) if opens else save_by(app, session))
            reached.append(moment.is_reached)
        app.config.update(after)
        return behaviour(app)

    return scenario, lambda: any(reached)


@pytest.mark.parametrize("opens", [True, False], ids=["open", "save"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_setting_that_changes_meanwhile_leaves_no_trace(parity: t.Any, change: str, opens: bool) -> None:
    for number in itertools.count(random.randint(1, STEP), STEP):
        # Shown if it fails.
        print(number)
        scenario, was_reached = with_change_at(number, change, opens=opens)
        parity(scenario)
        if not was_reached():
            break
    assert number > 10
