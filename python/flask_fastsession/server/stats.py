"""What a process has done with sessions on the server, counted."""

from __future__ import annotations

import threading
import typing as t
from collections import Counter


class ServerStats(t.TypedDict):
    """Counts of one interface in one process since it was created.

    ``loaded`` sessions were found by their id; ``refused`` counts the cookies that opened none, by the reasons of
    :data:`flask_fastsession.signals.session_refused`. ``created``, ``written``, ``regenerated`` and ``ended`` count
    what requests did with their sessions, and ``dropped`` counts writes to sessions that had ended or moved by then.
    ``revoked`` counts sessions that ``revoke`` and ``revoke_user`` ended, and ``failed`` counts how often a session
    could not be loaded, stored or revoked because of a :exc:`flask_fastsession.server.SessionStoreError`.
    """

    loaded: int
    refused: dict[str, int]
    created: int
    written: int
    regenerated: int
    ended: int
    dropped: int
    revoked: int
    failed: int


Count: t.TypeAlias = t.Literal["loaded", "created", "written", "regenerated", "ended", "dropped", "revoked", "failed"]


class Counts:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def add(self, name: Count, number: int = 1) -> None:
        with self._lock:
            self._counts[name] += number

    def add_refused(self, reason: str) -> None:
        with self._lock:
            self._refused[reason] += 1

    def as_dict(self) -> ServerStats:
        with self._lock:
            counts, refused = Counter(self._counts), dict(self._refused)
        return {
            "loaded": counts["loaded"],
            "refused": refused,
            "created": counts["created"],
            "written": counts["written"],
            "regenerated": counts["regenerated"],
            "ended": counts["ended"],
            "dropped": counts["dropped"],
            "revoked": counts["revoked"],
            "failed": counts["failed"],
        }
