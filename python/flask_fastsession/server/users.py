"""Which sessions a user has: a record for each user, of their names, and when each has ended if it is not renewed."""

from __future__ import annotations

import json
import time
import typing as t
from hashlib import sha256

from .store import SessionStoreError
from .store import Store

#: So often a change that others overtake is made again before it is an error.
ATTEMPTS = 64

#: A session is renewed, in its cookie and in its user's record, where what is left of it is so much off its lifetime.
RENEWED_SHARE = 0.05

#: A request takes no longer, in seconds, as far as these records are concerned.
LONGEST_REQUEST = 600

Names: t.TypeAlias = "dict[str, int]"


class Users:
    """The sessions of users, by the names that the store knows them by."""

    def __init__(self, store: Store, key_prefix: str) -> None:
        self.store = store
        self.key_prefix = key_prefix

    def key_of(self, user: str) -> str:
        # No session has a colon in its name.
        return f"{self.key_prefix}user:{sha256(user.encode()).hexdigest()}"

    def load(self, user: str) -> tuple[bytes | None, Names]:
        """A user's record, and what it says; raise :exc:`SessionStoreError`, as all of these do."""
        record = self.store.load(self.key_of(user))
        return record, names_in(record)

    def names_of(self, user: str) -> Names:
        return self.load(user)[1]

    def add(self, user: str, name: str, until: int) -> None:
        """Have a session among those of a user which is renewed at that time at the latest."""
        now = time.time()
        # It may have been read for a while after it was renewed last.
        end = until + int((until - now) * RENEWED_SHARE) + LONGEST_REQUEST
        self._change(user, lambda names: names.update({name: end}))

    def remove(self, user: str, name: str) -> None:
        self._change(user, lambda names: names.pop(name, None))

    def replace(self, user: str, record: bytes, names: Names) -> bool | bytes:
        """Put other names in the place of a record, as :meth:`Store.replace`; no names, no record."""
        return self.store.replace(self.key_of(user), record, *stored_as(names))

    def _change(self, user: str, change: t.Callable[[Names], object]) -> None:
        record, names = self.load(user)
        for _ in range(ATTEMPTS):
            now = time.time()
            names = {name: end for name, end in names.items() if end > now}
            change(names)
            done = self._begin(user, names) if record is None else self.replace(user, record, names)
            if done is True:
                return
            record, names = self.load(user) if done is False else (done, names_in(done))
        raise SessionStoreError(f"the sessions of a user were overtaken {ATTEMPTS} times by other requests")

    def _begin(self, user: str, names: Names) -> bool:
        new, ttl = stored_as(names)
        return new is None or self.store.create(self.key_of(user), new, ttl)


def names_in(record: bytes | None) -> Names:
    try:
        names = json.loads(record or b"")
    except ValueError:
        return {}
    pairs = names.items() if isinstance(names, dict) else ()
    return {name: end for name, end in pairs if isinstance(end, int)}


def stored_as(names: Names) -> tuple[bytes | None, int | None]:
    """What to store, nothing where there are none, and for how many seconds."""
    if not names:
        return None, None
    return json.dumps(names).encode(), max(int(max(names.values()) - time.time()), 1)
