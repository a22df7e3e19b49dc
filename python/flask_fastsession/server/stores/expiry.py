"""When records expire, in the stores that keep a time with each."""

from __future__ import annotations

from ..ids import MOVED

#: A record is not renewed before this share of its lifetime has passed, so that most loads write nothing, and most
#: writes change no index.
UNTOUCHED_SHARE = 0.05


def end_of(ttl: int | None, now: float) -> float | None:
    """When a record expires that is to live for ``ttl`` seconds; ``None`` is never."""
    return None if ttl is None else now + ttl


def about_right(ttl: int, now: float) -> tuple[float, float]:
    """The first and the last end of a record that need not be renewed to live for ``ttl`` seconds."""
    return now + ttl * (1 - UNTOUCHED_SHARE), now + ttl + 1


def is_about_right(expires: float | None, ttl: int, now: float) -> bool:
    first, last = about_right(ttl, now)
    return expires is not None and first <= expires <= last


def ends_that_stay(record: bytes, ttl: int | None, now: float) -> tuple[float, float] | None:
    """The first and the last end that is left as it is where a record becomes this one; ``None`` if each is renewed.

    A session may expire a twentieth of its life earlier. What keeps one from living may not: a mark, a tombstone, and
    what is left behind by a move.
    """
    return None if ttl is None or record.startswith(MOVED) else about_right(ttl, now)
