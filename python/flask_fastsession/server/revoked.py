"""Users whose sessions were revoked, for sessions that are on no list yet.

Sessions that Flask-Session has made name their user, and are listed once a request has bound them. A revocation cannot
find them, so it leaves a mark for the user in the store, and what is bound from then on is refused if the user has one.
"""

from __future__ import annotations

from .ids import Ids
from .ids import taking
from .store import SessionStoreError
from .store import Store

#: How often it is tried to leave a mark that others leave and expires meanwhile.
ATTEMPTS = 64


class RevokedUsers:
    """Marks in a store, each for ``lifetime`` seconds, ``None`` for ever. Methods raise :exc:`SessionStoreError`."""

    def __init__(self, store: Store, ids: Ids, lifetime: int | None) -> None:
        self.store = store
        self.ids = ids
        self.lifetime = lifetime

    def add(self, owner: str) -> None:
        key = self.ids.revoked_key(owner)
        for _ in range(ATTEMPTS):
            # One that is there gets new life.
            if self.store.create(key, taking(), self.lifetime) or self.store.load(key, self.lifetime) is not None:
                return
        raise SessionStoreError(f"a mark of a user was overtaken {ATTEMPTS} times by others")

    def has(self, owner: str) -> bool:
        return self.store.load(self.ids.revoked_key(owner)) is not None
