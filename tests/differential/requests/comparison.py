"""A case run on both sides, and what differs reduced to the least that still does."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface

from .observed import diverging
from .pair import Pair
from .plan import Case
from .plan import Change
from .plan import Plan

#: How much a difference is worth to be reduced.
MOST_TRIES = 600


@dataclass
class Result:
    """What came of a case up to its end or to the first difference."""

    difference: str | None = None
    outcomes: list[str] = field(default_factory=list)
    stats: dict[str, t.Any] = field(default_factory=dict)


def compare(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> Result:
    """Run a case, again if both sides did not read the same second from a clock that cannot be stopped."""
    while True:
        second = datetime.datetime.now().second
        result = _compare(case, ours)
        if result.difference is None or case.stopped_datetime or second == datetime.datetime.now().second:
            return result


def _compare(case: Case, ours: type[SecureCookieSessionInterface]) -> Result:
    pair, result = Pair(case, ours), Result()
    with pair.clock.stopped(case.stopped_datetime), pair.patches:
        for number, each in enumerate(case.steps):
            header, stock_seen, ours_seen = pair.run(each)
            result.outcomes.append(stock_seen.outcome)
            if found := diverging(stock_seen, ours_seen):
                result.difference = f"  request {number}, with the Cookie header {header!r}\n{found}"
                break
    result.stats = getattr(pair.ours.interface, "stats", dict)()
    return result


def difference(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> str | None:
    """Where stock and ours differ, if they do."""
    return compare(case, ours).difference


def smaller(value: t.Any) -> Iterator[t.Any]:
    """The same with something left out."""
    if isinstance(value, tuple):
        for at in range(len(value)):
            yield value[:at] + value[at + 1 :]
        for at, part in enumerate(value):
            yield from ((*value[:at], less, *value[at + 1 :]) for less in smaller(part))
    elif isinstance(value, Plan) and not isinstance(value, Change):
        given = t.cast(t.Any, value)
        for each in dataclasses.fields(given):
            part = getattr(value, each.name)
            if each.default is not dataclasses.MISSING and part != each.default:
                yield dataclasses.replace(given, **{each.name: each.default})
                yield from (dataclasses.replace(given, **{each.name: less}) for less in smaller(part))


def reduced(case: Case, ours: type[SecureCookieSessionInterface] = FastSessionInterface) -> Case:
    """The least that still differs, as far as leaving out one thing after the other leads."""
    tries = MOST_TRIES
    while True:
        for candidate in smaller(case):
            tries -= 1
            if tries < 0:
                return case
            if difference(candidate, ours):
                case = candidate
                break
        else:
            return case
