"""What :meth:`flask_fastsession.FastSessionInterface.stats` returns."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .revocations.revocations import RevocationStats


class StageCounts(t.TypedDict):
    """How often a step ran natively, and how often Flask's own code ran it instead, by reason."""

    native: int
    declined: dict[str, int]


class LoadCounts(StageCounts):
    """The same for reading cookies. ``rejected`` counts those that are malformed, forged or expired."""

    rejected: int


class KeyCounts(t.TypedDict):
    """How many cookies each key verified.

    ``current`` is for ``SECRET_KEY``, ``fallbacks`` for the keys of ``SECRET_KEY_FALLBACKS`` that were used, the last
    of them first. ``old_digests`` counts the cookies with a digest from ``accept_digest_methods``.
    """

    current: int
    fallbacks: list[int]
    old_digests: int


class KindCounts(t.TypedDict):
    """How many genuine cookies of each kind were read, and how many saved ones would be too large if encrypted.

    The last is counted with ``accept_encrypted=True`` alone: cookies that were signed, and would be larger than
    ``MAX_COOKIE_SIZE`` if they were encrypted.
    """

    signed: int
    encrypted: int
    too_large_when_encrypted: int


class CommonStats(t.TypedDict):
    """The counts that each interface has."""

    guard: t.Literal["tags", "look-ups"]
    open: StageCounts
    serializer: StageCounts
    cookies: StageCounts
    loads: LoadCounts
    save: StageCounts
    dumps: StageCounts
    headers: StageCounts
    keys: KeyCounts
    kinds: KindCounts


class SessionStats(CommonStats, total=False):
    """The counts of one interface in one process since it was made; ``revocations`` if it has any."""

    revocations: RevocationStats
