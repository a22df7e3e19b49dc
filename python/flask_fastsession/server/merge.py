"""Two requests that have changed one session: what becomes of it."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from .record import Data

MISSING = object()


def merged(base: Data, theirs: Data, mine: Data, dumps: Callable[[Data], bytes]) -> Data:
    """Return ``theirs`` with all that ``mine`` has changed since both were ``base``.

    Key by key at the top level: of one that both have changed mine counts, but for lists that both have only made
    longer, such as flashed messages, which keep what either has added. Equal is what ``dumps`` stores alike.
    """

    def differs(one: object, other: object) -> bool:
        if one is MISSING or other is MISSING:
            return one is not other
        return dumps({"": one}) != dumps({"": other})

    result = dict(theirs)
    for key in [*mine, *(key for key in base if key not in mine)]:
        before, value = base.get(key, MISSING), mine.get(key, MISSING)
        if not differs(before, value):
            continue
        if value is MISSING:
            result.pop(key, None)
        else:
            result[key] = grown(before, theirs.get(key), value) or value
    return result


def grown(before: object, theirs: object, mine: t.Any) -> list[t.Any] | None:
    """The list that has grown on both sides, if it is one."""
    start = [] if before is MISSING else before
    if not (isinstance(start, list) and isinstance(theirs, list) and isinstance(mine, list)):
        return None
    length = len(start)
    if theirs[:length] != start or mine[:length] != start:
        return None
    return theirs + mine[length:]
