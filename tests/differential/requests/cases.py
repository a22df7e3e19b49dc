"""Random cases, each of which depends on nothing but the seed and its number."""

from __future__ import annotations

import random
import typing as t
from collections.abc import Callable
from datetime import timedelta

from ..codec.settings import CLOCKS
from ..codec.settings import KEYS
from ..codec.settings import PROVIDERS
from .apps import CONFIG_CLASSES
from .apps import FLASK_CLASSES
from .apps import REQUEST_CLASSES
from .apps import RESPONSE_CLASSES
from .by_hand import CONTEXTS
from .by_hand import REQUESTS_BY_HAND
from .by_hand import RESPONSES_BY_HAND
from .by_hand import SESSIONS_BY_HAND
from .changes import ODD_CONFIG
from .changes import PATCHES
from .changes import USUAL_CONFIG
from .cookies import cookie
from .handlers import HANDLERS
from .interfaces import ATTRIBUTES
from .interfaces import LAYERS
from .plan import Action
from .plan import AppPlan
from .plan import Case
from .plan import Change
from .plan import Hand
from .plan import Reply
from .plan import Step
from .replies import HEADERS
from .replies import REPLIES
from .replies import TWEAKS
from .sessions import ACTIONS
from .sessions import USUAL_ACTIONS

#: How many requests make a case: enough for keys to be rotated, for cookies to grow old, and for what was remembered of
#: earlier requests to be wrong.
REQUESTS = 10


def config_change(rng: random.Random, odd: float) -> Change:
    name = rng.choice(tuple(USUAL_CONFIG))
    return Change("config", name, rng.choice((ODD_CONFIG if rng.random() < odd else USUAL_CONFIG)[name]))


def app_change(rng: random.Random, odd: float) -> Change:
    """A change that may come at any time, also while a view is at work."""
    kind = rng.random()
    if kind < 0.5:
        return config_change(rng, odd)
    if kind < 0.7:
        return Change("key", "rotated") if rng.random() < 0.5 else fallbacks_change(rng)
    if kind < 0.8:
        return Change("json option", rng.choice(("sort_keys", "ensure_ascii")), rng.choice((True, False, 0, 1)))
    if kind < 0.9:
        return Change("interface", rng.choice(tuple(ATTRIBUTES)))
    makes: tuple[Callable[[], Change], ...] = (
        lambda: Change("interface less", rng.choice(tuple(ATTRIBUTES.values()))[0]),
        lambda: Change("config less", rng.choice(tuple(USUAL_CONFIG))),
        lambda: Change("config a dict"),
        lambda: Change("app", "response_class", rng.choice(tuple(RESPONSE_CLASSES))),
        lambda: Change("app", "request_class", rng.choice(tuple(REQUEST_CLASSES))),
        lambda: Change("app", "secret_key", rng.choice(KEYS)),
        lambda: Change("app", "permanent_session_lifetime", rng.choice((5, timedelta(hours=1)))),
        lambda: Change("json provider", rng.choice(tuple(PROVIDERS))),
    )
    return rng.choice(makes)()


def fallbacks_change(rng: random.Random) -> Change:
    key = rng.choice(KEYS)
    return Change("fallbacks", *rng.choice((("append", (key,)), ("insert", (0, key)), ("clear", ()), ("reverse", ()))))


def change(rng: random.Random, odd: float) -> Change:
    """A change between two requests."""
    kind = rng.random()
    if kind < 0.35:
        return Change("wait", value=rng.choice((0.5, 1, 1, 59, 61, 3601, 86_400, 2_678_401, -1, -3600)))
    if kind < 0.35 + odd / 3:
        patch = Change("patch", rng.choice(tuple(PATCHES)))
        return rng.choice((patch, patch, Change("unpatch")))
    if kind < 0.35 + odd / 2:
        return Change("time.time", value=rng.choice((None, *CLOCKS)))
    return app_change(rng, odd)


def action(rng: random.Random, odd: float) -> Action:
    name = rng.choice(USUAL_ACTIONS if rng.random() >= odd else tuple(ACTIONS))
    return Action(name, rng.getrandbits(32), escapes=rng.random() < 0.2)


def reply(rng: random.Random, odd: float) -> Reply:
    if rng.random() < 0.4:
        return Reply()
    return Reply(
        rng.choice(tuple(REPLIES)) if rng.random() < 0.4 else "response",
        tuple(rng.choices(HEADERS, k=rng.choice((0, 0, 1, 1, 2, 3)))),
        tuple(rng.choices(tuple(TWEAKS), k=rng.choice((1, 2)))) if rng.random() < 2 * odd else (),
    )


def some(
    rng: random.Random, odd: float, make: Callable[[random.Random, float], t.Any], *numbers: int
) -> tuple[t.Any, ...]:
    return tuple(make(rng, odd) for _ in range(rng.choice(numbers)))


def step(rng: random.Random, odd: float) -> Step:
    kind = rng.random()
    return Step(
        way="request" if kind < 0.93 else "transaction" if kind < 0.95 else "by hand",
        app=rng.choice((0, 0, 1)),
        method=rng.choice(("GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST")),
        path=rng.choice(("/", "/", "/", "/", "/deeper/path", "/missing")),
        before=some(rng, odd, change, 0, 0, 0, 1, 1, 2),
        cookie=cookie(rng, odd),
        actions=some(rng, odd, action, 0, 0, 1, 1, 2, 3),
        during=some(rng, odd, app_change, 1) if rng.random() < odd / 3 else (),
        reply=reply(rng, odd),
        hand=hand(rng),
        watched=rng.random() < 0.5,
    )


def hand(rng: random.Random) -> Hand:
    return Hand(
        rng.choice(("real", "fake")),
        rng.choice(tuple(REQUESTS_BY_HAND)),
        rng.choice(tuple(SESSIONS_BY_HAND)),
        rng.choice(tuple(RESPONSES_BY_HAND)),
        rng.choice(tuple(CONTEXTS)),
    )


def app_plan(rng: random.Random, odd: float) -> AppPlan:
    def choice(table: dict[str, t.Any]) -> str:
        return rng.choice(tuple(table)) if rng.random() < odd / 2 else next(iter(table))

    return AppPlan(
        choice(FLASK_CLASSES),
        choice(CONFIG_CLASSES),
        choice(REQUEST_CLASSES),
        choice(RESPONSE_CLASSES),
        choice(PROVIDERS),
        some(rng, odd, config_change, 0, 0, 1, 2, 4),
        tuple(rng.sample(tuple(HANDLERS), rng.choice((1, 2)))) if rng.random() < 0.3 else (),
    )


def case_of(rng: random.Random) -> Case:
    """Ten requests to apps as most are, or to apps that are odd in some ways."""
    odd = rng.choice((0.0, 0.02, 0.1, 0.3))
    return Case(
        some(rng, odd, app_plan, 1, 1, 2),
        tuple(rng.choices(tuple(LAYERS), k=rng.choice((1, 1, 2, 3)))) if rng.random() < 2 * odd else (),
        tuple(step(rng, odd) for _ in range(REQUESTS)),
        stopped_datetime=rng.random() < 0.5,
        warnings="error" if rng.random() < 0.05 else "always",
    )


def numbered(seed: int, number: int) -> Case:
    """The case of this number."""
    return case_of(random.Random(seed * 2**64 + number))
