"""Whose sessions a store has, for stores that can do no more than load, create, replace and delete.

There are two kinds of records, of JSON:

* One for each owner: ``{handle: [end, key]}``, the oldest session first. It is the truth: a session is listed if it is
  here and its end, in seconds since 1970, has not come. Each change is one compare-and-set on this record, so any two
  changes of a list happen one after the other, and each is there as a whole or not at all, wherever it is stopped.
* One for each handle: ``[token, owner, ...]``, by which :meth:`OwnerRecords.end` finds the lists that may have it. It
  decides which owner has a handle that several of them enlist: the one who wrote it last.

Records that are damaged, or were made by somebody else, count as none.
"""

from __future__ import annotations

import json
import math
import random
import re
import secrets
import time
import typing as t
from collections.abc import Callable
from hashlib import sha256

from .store import SessionStoreError
from .store import Store

#: So many sessions of one owner are listed. The oldest ends where one more begins. What is stored of a thousand, with
#: the longest keys, is a third of what memcached takes.
LISTED = 1000

#: For so many seconds a change that others overtake is tried again before it is an error.
PATIENCE = 5.0

#: For so many seconds at most others wait for a change that cannot wait.
DOOR_TTL = 2

#: The longest pauses between two attempts, in seconds.
LONGEST_PAUSE = 0.05
SHORTEST_PAUSE = 0.001

KEY = re.compile(r"[!-~]{1,250}")
HANDLE = re.compile(r"[!-~]{1,40}")

#: No listing ends after this moment, which a float counts to the second.
LATEST = 2.0**53

T = t.TypeVar("T")

#: By handle: the end and the key. The oldest comes first.
Sessions: t.TypeAlias = "dict[str, tuple[float, str]]"


class OwnerRecords:
    """Mixed with a store, gives it the methods of :class:`OwnerStore`; it has none of its own to move records.

    **Logging in.** Many processes that log one user in at once overtake each other. Whoever fails was overtaken by
    somebody who succeeded, so that all succeed in time; each tries for :data:`PATIENCE`, after pauses at random.

    **Revoking.** :meth:`end_all` is to succeed however many logins overtake it. It could overwrite the list, which
    nothing can overtake; but what it writes depends on what it has read (the sessions to keep), and one of these that
    has been ended in between would be listed again. A list under another name, which a pointer leads to, has the same
    fault: it is copied before the pointer is changed. So it is a compare-and-set like any other change, and has the
    right of way: once overtaken it closes a door, a record that enlisting looks for before each attempt, and waits
    while it is there. Whoever had looked before can overtake it once more, and so there is an end to that, as many
    logins as there may be. The door is no lock: nothing goes wrong if it is gone, if it stays because a process was
    killed, which takes :data:`DOOR_TTL` of logins' time, or if somebody passes it.
    """

    def enlist(self: Store, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        end = time.time() + ttl
        if not renew:
            return take(self, owner, handle, (end, key), ttl)
        is_listed = change(self, owner, lambda sessions: renewed(sessions, handle, (end, key)))
        if is_listed:
            lead(self, handle, owner, ttl)
        return is_listed

    def is_listed(self: Store, owner: str, handle: str, record: bytes) -> bool:
        found = json_in(self.load(owner))
        return isinstance(found, dict) and is_session(handle, found.get(handle), time.time())

    def listed(self: Store, owner: str) -> list[tuple[str, str]]:
        sessions, now = sessions_in(self.load(owner)), time.time()
        for handle, (end, _) in sessions.items():
            # What is shown is to be found by `end`, though a store may have no room for records of long ago.
            lead(self, handle, owner, math.ceil(end - now))
        return [(handle, key) for handle, (_, key) in sessions.items()]

    def unlist(self: Store, owner: str, handle: str) -> None:
        change(self, owner, lambda sessions: sessions.pop(handle, None), cannot_wait=True)
        name = name_of(handle)
        record = self.load(name)
        if record is not None and owners_in(record) == [owner]:
            self.replace(name, record, None, None)

    def end(self: Store, handle: str) -> bool:
        name, is_ended = name_of(handle), False
        for _ in attempts(LONGEST_PAUSE / 10):
            record = self.load(name)
            for owner in owners_in(record):
                found = change(self, owner, lambda sessions: sessions.pop(handle, None), cannot_wait=True)
                if found is not None:
                    is_ended = True
                    self.delete(found[1])
            # Somebody who is about to enlist it has written it, and from now on notices that it is gone.
            if record is None or self.replace(name, record, None, None) is True:
                return is_ended
            if not record:
                self.delete(name)
        raise overtaken()

    def end_all(self: Store, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = change(self, owner, lambda sessions: without(sessions, keep), cannot_wait=True)
        # What leads from the handles to the owner ends by itself. Another owner may have them by now.
        self.delete(*(key for _, key in ended.values()))
        return len(ended)


# --- The list of an owner -------------------------------------------------------------------------------------------


def change(store: Store, owner: str, edit: Callable[[Sessions], T], cannot_wait: bool = False) -> T:
    """Edit the list of an owner, and return what the edit of what was then stored has returned."""
    has_closed = False
    opens = time.monotonic() + DOOR_TTL
    try:
        for _ in attempts(LONGEST_PAUSE / 10 if cannot_wait else LONGEST_PAUSE):
            if not cannot_wait:
                wait_at_door(store, owner, opens)
            record = store.load(owner)
            sessions = sessions_in(record)
            before = dict(sessions)
            result = edit(sessions)
            if sessions == before or put(store, owner, record, *stored_as(sessions)):
                return result
            if cannot_wait:
                has_closed = store.create(door_of(owner), b"closed", DOOR_TTL) or has_closed
    finally:
        if has_closed:
            store.delete(door_of(owner))
    raise overtaken()


def wait_at_door(store: Store, owner: str, opens: float) -> None:
    while time.monotonic() < opens and store.load(door_of(owner)) is not None:
        time.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))


def added(sessions: Sessions, handle: str, session: tuple[float, str]) -> None:
    # It is the newest now.
    sessions.pop(handle, None)
    sessions[handle] = session
    for oldest in list(sessions)[:-LISTED]:
        del sessions[oldest]


def renewed(sessions: Sessions, handle: str, session: tuple[float, str]) -> bool:
    if handle not in sessions:
        return False
    sessions[handle] = session
    return True


def without(sessions: Sessions, keep: t.Collection[str]) -> Sessions:
    """Take off the list what is not to keep, and return it."""
    return {handle: sessions.pop(handle) for handle in list(sessions) if handle not in keep}


def sessions_in(record: bytes | None) -> Sessions:
    found, now = json_in(record), time.time()
    pairs = found.items() if isinstance(found, dict) else ()
    return {handle: (value[0], value[1]) for handle, value in pairs if is_session(handle, value, now)}


def is_session(handle: str, value: object, now: float) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    end, key = value
    is_alive = isinstance(end, (int, float)) and now < end < LATEST
    return is_alive and isinstance(key, str) and bool(KEY.fullmatch(key) and HANDLE.fullmatch(handle))


def stored_as(sessions: Sessions) -> tuple[bytes | None, int | None]:
    """What to store, nothing where there are none, and for how many seconds."""
    if not sessions:
        return None, None
    last = max(end for end, _ in sessions.values())
    return json.dumps(sessions, separators=(",", ":")).encode(), max(math.ceil(last - time.time()), 1)


# --- The owner of a handle ------------------------------------------------------------------------------------------


def take(store: Store, owner: str, handle: str, session: tuple[float, str], ttl: int) -> bool:
    """List a session as this owner's and nobody else's; return whether it was neither ended nor taken meanwhile."""
    name = name_of(handle)
    for _ in attempts(LONGEST_PAUSE):
        record = store.load(name)
        others = [each for each in owners_in(record) if each != owner]
        # While it is not known that the others have it no longer, `end` is to look for it there as well.
        claim = lead_to(owner, *others)
        if not put(store, name, record, claim, ttl):
            continue
        change(store, owner, lambda sessions: added(sessions, handle, session))
        for other in others:
            change(store, other, lambda sessions: sessions.pop(handle, None), cannot_wait=True)
        settled = store.replace(name, claim, lead_to(owner) if others else claim, ttl)
        if settled is True:
            return True
        if settled is False or owners_in(settled)[:1] != [owner]:
            change(store, owner, lambda sessions: sessions.pop(handle, None), cannot_wait=True)
            return False
    raise overtaken()


def lead(store: Store, handle: str, owner: str, ttl: int) -> None:
    """Have a handle lead to its owner for so long, as it does if there was room enough in the store."""
    name = name_of(handle)
    record = store.load(name, ttl)
    if not owners_in(record):
        put(store, name, record, lead_to(owner), ttl)


def lead_to(*owners: str) -> bytes:
    """A record that no other is equal to, so that to find it means that nobody has written there since."""
    return json.dumps([secrets.token_urlsafe(9), *owners]).encode()


def owners_in(record: bytes | None) -> list[str]:
    found = json_in(record)
    owners = found[1:] if isinstance(found, list) else []
    return owners if all(isinstance(owner, str) and KEY.fullmatch(owner) for owner in owners) else []


# --- Records --------------------------------------------------------------------------------------------------------

# No session has a colon in what its key ends in.


def name_of(handle: str) -> str:
    return f"handle:{handle}"


def door_of(owner: str) -> str:
    return f"door:{sha256(owner.encode()).hexdigest()}"


def json_in(record: bytes | None) -> t.Any:
    try:
        return json.loads(record or b"null")
    except (ValueError, RecursionError):
        return None


def put(store: Store, key: str, record: bytes | None, new: bytes | None, ttl: int | None) -> bool:
    """Put something, or nothing, where this record was loaded, or none; return whether that was still so."""
    if record is None:
        return new is None or store.create(key, new, ttl)
    if not record:
        # It is no record, and could not be replaced.
        store.delete(key)
        return new is None or store.create(key, new, ttl)
    return store.replace(key, record, new, ttl) is True


def attempts(longest_pause: float) -> t.Iterator[None]:
    """Begin attempts until there is no more time for them, with pauses in between."""
    deadline = time.monotonic() + PATIENCE
    pause = SHORTEST_PAUSE
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(random.uniform(0, pause))
        pause = min(pause * 2, longest_pause)


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"the sessions of a user were overtaken by other requests for {PATIENCE} seconds")
