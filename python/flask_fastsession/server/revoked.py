"""Marks of users whose sessions were revoked, for sessions that are not listed yet.

Sessions that Flask-Session has made name their user, and are listed when the first request binds them. A revocation
cannot find them before that. So it leaves a mark for the user in the store. When such a session is bound later, it is
refused if its user has a mark.
"""

from __future__ import annotations

from collections.abc import Callable

from .ids import Ids
from .ids import taking
from .store import SessionStoreError
from .store import Store

#: How many times to try to leave a mark that others leave at the same time, and that expires in between.
ATTEMPTS = 64


class RevokedUsers:
    """Marks in a store. ``lifetime`` returns for how many seconds one lives, or ``None`` for ever.

    The methods raise :exc:`SessionStoreError` if the store fails.
    """

    def __init__(self, store: Store, ids: Ids, lifetime: Callable[[], int | None]) -> None:
        self.store = store
        self.ids = ids
        self.lifetime = lifetime

    def add(self, owner: str) -> None:
        key, mark, lifetime = self.ids.revoked_key(owner), taking(), self.lifetime()
        for _ in range(ATTEMPTS):
            if self.store.create(key, mark, lifetime) or let_live(self.store, key, mark, lifetime):
                return
        raise SessionStoreError(f"a mark of a user was overtaken {ATTEMPTS} times by others")

    def has(self, owner: str) -> bool:
        return self.store.load(self.ids.revoked_key(owner)) is not None


def let_live(store: Store, key: str, record: bytes, lifetime: int | None) -> bool:
    """Let a record live for so many seconds from now, or longer if it does so already. Return whether there is one."""
    expires_in = getattr(store, "expires_in", None)
    if lifetime is not None and expires_in is not None:
        left = expires_in(key)
        lifetime = None if left is None else max(lifetime, left)
    return store.replace(key, record, record, lifetime) is not False
