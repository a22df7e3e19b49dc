"""What a store of revocations has to do. :mod:`flask_fastsession.testing` has tests for your own store."""

from __future__ import annotations

import typing as t

from .entry import Cursor


@t.runtime_checkable
class RevocationStore(t.Protocol):
    """A list of entries that only grows at its end, and drops entries after their time is over.

    An entry is ASCII text. Each place in the list has a number: ``max(last + 1, now)``, where ``now`` is the time in
    microseconds since 1970. **Entries must become visible in the order of their numbers**: a reader that sees an entry
    also sees all entries with smaller numbers, unless they have expired. No entry may become visible before one with a
    smaller number.

    ``generation`` is random text that is made with the list. If the list is lost, or another server replaces it that
    may lack entries, the generation changes. Each method raises :exc:`flask_fastsession.server.SessionStoreError` if it
    does not know, within the time limit of the client, whether it succeeded.
    """

    def add(self, entry: str, ttl: int) -> Cursor:
        """Append an entry that is kept for at least ``ttl`` whole seconds, and return its place."""

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        """Return the entries after a place as pairs of number and text, in order, and the place of the last entry.

        Return all entries if ``cursor`` is ``None``, of another generation, or after the end of the list. Entries that
        have ended may be among them. The place of a list that nobody has added to is ``Cursor(0, "")``.
        """
