"""Whose sessions a store has, for stores that can do no more than load, create, replace and delete.

There are two kinds of records, of JSON:

* One for each owner: ``{handle: [end, key, token]}``, the oldest session first. It is the truth: a session is listed if
  it is here and its end, in seconds since 1970, has not come. Each change is one compare-and-set on this record, so any
  two changes of a list happen one after the other, and each is there as a whole or not at all, wherever it is stopped.
* One for each handle: ``[number, [token, owner], ...]``, by which :meth:`OwnerRecords.end` finds the lists that may
  have it. It decides which owner has a handle that several of them enlist: the one who wrote it last. Each time a
  session is enlisted it gets another token, so that nobody takes from a list what was enlisted there since.

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

#: For so many seconds a change that others overtake is tried again before it is an error. For the first half of them it
#: waits for its turn.
PATIENCE = 10.0

#: For so many seconds at most others wait for a process that was killed in its turn.
TURN_TTL = 2

#: The first and the longest pause between two attempts, in seconds; the length is random, up to this.
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.05

KEY = re.compile(r"[!-~]{1,250}")
HANDLE = re.compile(r"[!-~]{1,40}")

#: No listing ends after this moment, which a float counts to the second.
LATEST = 2.0**53

T = t.TypeVar("T")

#: Its end, its key, and the token of the login that has enlisted it.
Session: t.TypeAlias = "tuple[float, str, str]"

#: By handle. The oldest comes first.
Sessions: t.TypeAlias = "dict[str, Session]"


class OwnerRecords:
    """Mixed with a store, gives it the methods of :class:`OwnerStore`; it has none of its own to move records.

    **Logging in.** Processes that change one list at once overtake each other. One of them succeeds each time, but the
    same one may fail each time. So a process that was overtaken asks for its turn: it creates a record, and processes
    that come later wait until that is gone, and then ask for the next turn. Those that came before may overtake it once
    more. A turn is not a lock: the compare-and-set alone keeps the list right. A turn ends :data:`TURN_TTL` after its
    process was killed, and a process that has waited for long goes on without one.

    **Revoking.** :meth:`end_all` has to succeed however many logins there are. It cannot overwrite the list: it writes
    the sessions to keep, which it has read before, and would list one again that was ended in between. Copying the list
    and setting a pointer to the copy has the same fault. So it is a compare-and-set like any other change. But it does
    not wait for its turn: once overtaken, it takes the turn away from the process that has it. Only changes that are
    under way at that moment may come before.
    """

    def enlist(self: Store, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        end = time.time() + ttl
        if not renew:
            return take(self, owner, handle, end, key, ttl)
        token = change(self, owner, lambda sessions: renewed(sessions, handle, end, key))
        if token is None:
            return False
        lead(self, handle, token, owner, ttl)
        return True

    def is_listed(self: Store, owner: str, handle: str, record: bytes) -> bool:
        found = json_in(self.load(owner))
        return isinstance(found, dict) and is_session(handle, found.get(handle), time.time())

    def listed(self: Store, owner: str) -> list[tuple[str, str]]:
        sessions, now = sessions_in(self.load(owner)), time.time()
        for handle, (end, _, token) in sessions.items():
            # What is shown is to be found by `end`, though a store may have no room for records of long ago.
            lead(self, handle, token, owner, math.ceil(end - now))
        return [(handle, key) for handle, (_, key, _) in sessions.items()]

    def unlist(self: Store, owner: str, handle: str) -> None:
        # Loaded before, it is deleted only if nobody has enlisted the session since.
        name = name_of(handle)
        record = self.load(name)
        change(self, owner, lambda sessions: sessions.pop(handle, None))
        if record is not None and {each for _, each in logins_in(record)} == {owner}:
            self.replace(name, record, None, None)

    def end(self: Store, handle: str) -> bool:
        name, is_ended = name_of(handle), False
        for _ in attempts():
            record = self.load(name)
            for owner in {each: None for _, each in logins_in(record)}:
                found = change(self, owner, lambda sessions: sessions.pop(handle, None))
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
        ended = change(self, owner, lambda sessions: without(sessions, keep), goes_first=True)
        # What leads from the handles to the owner ends by itself. Another owner may have them by now.
        self.delete(*(key for _, key, _ in ended.values()))
        return len(ended)


# --- The list of an owner -------------------------------------------------------------------------------------------


def change(store: Store, owner: str, edit: Callable[[Sessions], T], goes_first: bool = False) -> T:
    """Edit the list of an owner, and return what the edit of what was then stored has returned."""
    turn = Turn(store, owner, goes_first)
    try:
        for waited in attempts():
            if not turn.has_come() and waited < PATIENCE / 2:
                continue
            record = store.load(owner)
            sessions = sessions_in(record)
            before = dict(sessions)
            result = edit(sessions)
            if sessions == before or put(store, owner, record, *stored_as(sessions)):
                return result
            turn.was_overtaken()
    finally:
        turn.end()
    raise overtaken()


class Turn:
    """The turn to change the list of an owner: a record there is while several want to."""

    def __init__(self, store: Store, owner: str, goes_first: bool) -> None:
        self.store = store
        self.key = f"turn:{sha256(owner.encode()).hexdigest()}"
        self.goes_first = goes_first
        self.mark = (FIRST if goes_first else b"") + secrets.token_urlsafe(9).encode()
        self.has_to_ask = False

    def has_come(self) -> bool:
        if self.goes_first:
            return True
        found = self.store.load(self.key)
        if found is None:
            return not self.has_to_ask or self.store.create(self.key, self.mark, TURN_TTL)
        self.has_to_ask = True
        return found == self.mark

    def was_overtaken(self) -> None:
        self.has_to_ask = True
        if self.goes_first and not self.store.create(self.key, self.mark, TURN_TTL):
            found = self.store.load(self.key)
            if found and not found.startswith(FIRST):
                self.store.replace(self.key, found, self.mark, TURN_TTL)

    def end(self) -> None:
        if self.has_to_ask:
            self.store.replace(self.key, self.mark, None, None)


#: The mark of a turn that no other process may take over.
FIRST = b"first:"


def added(sessions: Sessions, handle: str, session: Session) -> None:
    # It is the newest now.
    sessions.pop(handle, None)
    sessions[handle] = session
    for oldest in list(sessions)[:-LISTED]:
        del sessions[oldest]


def renewed(sessions: Sessions, handle: str, end: float, key: str) -> str | None:
    """Return its token if it is listed."""
    if handle not in sessions:
        return None
    token = sessions[handle][2]
    sessions[handle] = end, key, token
    return token


def taken_off(sessions: Sessions, handle: str, token: str) -> None:
    """Take it off the list if it is what this login has enlisted."""
    if handle in sessions and sessions[handle][2] == token:
        del sessions[handle]


def without(sessions: Sessions, keep: t.Collection[str]) -> Sessions:
    """Take off the list what is not to keep, and return it."""
    return {handle: sessions.pop(handle) for handle in list(sessions) if handle not in keep}


def sessions_in(record: bytes | None) -> Sessions:
    found, now = json_in(record), time.time()
    pairs = found.items() if isinstance(found, dict) else ()
    return {handle: (value[0], value[1], value[2]) for handle, value in pairs if is_session(handle, value, now)}


def is_session(handle: str, value: object, now: float) -> bool:
    if type(value) is not list or len(value) != 3:
        return False
    end, key, token = value
    if type(end) not in (float, int) or not now < end < LATEST or not is_key(key) or not is_key(token):
        return False
    return HANDLE.fullmatch(handle) is not None


def is_key(value: object) -> bool:
    return type(value) is str and KEY.fullmatch(value) is not None


def stored_as(sessions: Sessions) -> tuple[bytes | None, int | None]:
    """What to store, nothing where there are none, and for how many seconds."""
    if not sessions:
        return None, None
    last = max(end for end, _, _ in sessions.values())
    return json.dumps(sessions, separators=(",", ":")).encode(), max(math.ceil(last - time.time()), 1)


# --- The owner of a handle ------------------------------------------------------------------------------------------


def take(store: Store, owner: str, handle: str, end: float, key: str, ttl: int) -> bool:
    """List a session as this owner's and nobody else's; return whether it was neither ended nor taken meanwhile."""
    name = name_of(handle)
    for _ in attempts():
        token = secrets.token_urlsafe(6)
        record = store.load(name)
        before = logins_in(record)
        # While it is not known that those before have it no longer, `end` is to look for it there as well.
        claim = lead_to((token, owner), *before)
        if not put(store, name, record, claim, ttl):
            continue
        change(store, owner, lambda sessions: added(sessions, handle, (end, key, token)))  # noqa: B023
        for other_token, other in before:
            if other != owner:
                change(store, other, lambda sessions: taken_off(sessions, handle, other_token))  # noqa: B023
        settled = store.replace(name, claim, lead_to((token, owner)) if before else claim, ttl)
        if settled is True:
            return True
        if settled is False or owner not in [each for _, each in logins_in(settled)[:1]]:
            change(store, owner, lambda sessions: taken_off(sessions, handle, token))  # noqa: B023
            return False
    raise overtaken()


def lead(store: Store, handle: str, token: str, owner: str, ttl: int) -> None:
    """Have a handle lead to its owner for so long, as it does if there was room enough in the store."""
    name = name_of(handle)
    record = store.load(name, ttl)
    if not logins_in(record):
        put(store, name, record, lead_to((token, owner)), ttl)


def lead_to(*logins: tuple[str, str]) -> bytes:
    """A record that no other is equal to, so that to find it means that nobody has written there since."""
    return json.dumps([secrets.token_urlsafe(6), *logins]).encode()


def logins_in(record: bytes | None) -> list[tuple[str, str]]:
    """The tokens and the owners a handle leads to, the last one first."""
    found = json_in(record)
    logins = found[1:] if isinstance(found, list) else []
    if not all(isinstance(login, list) and len(login) == 2 and all(map(is_key, login)) for login in logins):
        return []
    return [(token, owner) for token, owner in logins]


# --- Records --------------------------------------------------------------------------------------------------------

# No session has a colon in what its key ends in.


def name_of(handle: str) -> str:
    return f"handle:{handle}"


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


def attempts() -> t.Iterator[float]:
    """Begin attempts until there is no more time for them, with pauses in between. Yield how long it took so far."""
    begun, pause = time.monotonic(), FIRST_PAUSE
    waited = 0.0
    while waited <= PATIENCE:
        yield waited
        time.sleep(random.uniform(0, pause))
        pause = min(pause * 2, LONGEST_PAUSE)
        waited = time.monotonic() - begun


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"other requests kept changing the list of a user's sessions for {PATIENCE} seconds")
