"""Two requests that have changed one session: what becomes of it."""

from __future__ import annotations

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
        before, found, value = (data.get(key, MISSING) for data in (base, theirs, mine))
        if not differs(before, value):
            continue
        if differs(before, found):
            value = grown(before, found, value, differs)
        if value is MISSING:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def grown(before: object, theirs: object, mine: object, differs: Callable[[object, object], bool]) -> object:
    """Of lists that have only grown, or been used up, all that is new; of anything else, mine."""
    start, others, ours = ([] if value is MISSING else value for value in (before, theirs, mine))
    if not (isinstance(start, list) and isinstance(others, list) and isinstance(ours, list)):
        return mine
    length = len(start)
    for value, items in ((theirs, others), (mine, ours)):
        if value is not MISSING and differs(start, items[:length]):
            return mine
    new = others[length:] + ours[length:]
    if theirs is MISSING or mine is MISSING:
        return new or MISSING
    return start + new
