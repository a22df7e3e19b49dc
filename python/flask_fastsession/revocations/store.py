"""What a store of revocations has to do. :mod:`flask_fastsession.testing` has tests for one of your own."""

from __future__ import annotations

import typing as t

from .entry import Cursor


@t.runtime_checkable
class RevocationStore(t.Protocol):
    """A list of entries that only grows at its end, and forgets them when their time is over.

    An entry is ASCII text. Places in the list have numbers that rise with each entry, and are to be about the
    microseconds since 1970 at which it was added: ``max(last + 1, now)``. **The order of the numbers is the order in
    which entries become visible**: whoever sees an entry sees all with smaller numbers, or will never see them because
    they have ended. A number whose entry is still about to become visible must not be passed by another.

    ``generation`` is random text made with the list. If the list is lost, or another server takes its place that may
    lack some of it, the generation is another one. Each method raises
    :exc:`flask_fastsession.server.SessionStoreError` if it cannot tell that it has done its work, within the time
    limit of the client.
    """

    def add(self, entry: str, ttl: int) -> Cursor:
        """Append an entry that is kept for at least ``ttl`` whole seconds, and return its place."""

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        """Return the entries after a place, each with its number, in order; and the place of the last there is.

        All entries, where ``cursor`` is ``None``, of another generation, or after the end of the list. Entries that
        have ended may be among them. An empty list that nobody has added to is at ``Cursor(0, "")``.
        """
