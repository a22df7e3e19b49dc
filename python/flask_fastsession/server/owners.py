"""The sessions of each user, for stores that can only load, create, replace and delete.

There are two kinds of records, both in JSON:

* One for each owner: ``{handle: [end, key, token]}``, the oldest session first. It decides: a session is listed if it
  is here and its end, in seconds since 1970, is not over. Each change is one compare-and-set on this record. So changes
  of a list happen one after the other, and each happens completely or not at all, even if the process is killed.
* One for each handle: ``[nonce, [token, owner], ...]``. :meth:`OwnerRecords.end` finds in it the owners whose lists may
  have the handle. If several owners enlist a handle, the last one to write this record has it. A session gets a new
  token each time it is enlisted, so that nobody removes from a list what was enlisted there later.

A record that is damaged, or that other code has written, is treated as if it were not there.
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

#: How many sessions of one owner are listed. When one more begins, the oldest ends. The record of a thousand sessions
#: with the longest keys is a third of the largest that memcached stores.
LISTED = 1000

#: For how many seconds a change that others overtake is tried again before it is an error. In the first half of this
#: time it waits for its turn.
PATIENCE = 10.0

#: For how many seconds at most others wait for a process that was killed in its turn.
TURN_TTL = 2

#: A pause between two attempts has a random length. These are the first and the last upper limit, in seconds.
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.05

KEY = re.compile(r"[!-~]{1,250}")
HANDLE = re.compile(r"[!-~]{1,40}")

#: All listings end before this time, in seconds since 1970. Up to here a float is exact to the second.
LATEST = 2.0**53

T = t.TypeVar("T")

#: The end of its listing in seconds since 1970, its key, and the token that it was enlisted with.
Session: t.TypeAlias = "tuple[float, str, str]"

#: The sessions of an owner by their handles, the oldest first.
Sessions: t.TypeAlias = "dict[str, Session]"


class OwnerRecords:
    """A mixin with the methods of :class:`~flask_fastsession.server.OwnerStore`, for stores that cannot move a record.

    **Logging in.** Processes that change one list at once overtake each other. One of them succeeds each time, but the
    same one may fail each time. So a process that was overtaken asks for its turn: it creates a record. Processes that
    come later wait until this record is gone, and then ask for the next turn. Processes that came before may overtake
    it once more. A turn is not a lock: only the compare-and-set keeps the list correct. A turn whose process was killed
    ends after ``TURN_TTL`` seconds, and a process that has waited too long goes on without a turn.

    **Revoking.** ``end_all`` has to succeed however many logins there are. It cannot simply overwrite the list with
    the sessions to keep: one of them may have ended since the list was read, and would be listed again. Copying the
    list and setting a pointer to the copy has the same fault. So this is a compare-and-set like any other change. But
    it does not wait for its turn: once overtaken, it takes the turn away from the process that has it. After that only
    changes that are already under way can overtake it.
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
            # end() has to find each session that this returns, though the store may have dropped its handle's record.
            lead(self, handle, token, owner, math.ceil(end - now))
        return [(handle, key) for handle, (_, key, _) in sessions.items()]

    def unlist(self: Store, owner: str, handle: str) -> None:
        # It is loaded before the change, so that it is deleted only if nobody has enlisted the session since.
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
            # A process that is about to enlist the session has written this record, and notices when it is gone.
            if record is None or self.replace(name, record, None, None) is True:
                return is_ended
            if not record:
                self.delete(name)
        raise overtaken()

    def end_all(self: Store, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = change(self, owner, lambda sessions: without(sessions, keep), goes_first=True)
        # The records of the handles expire. They are not deleted, since another owner may have the handles by now.
        self.delete(*(key for _, key, _ in ended.values()))
        return len(ended)


# --- The list of an owner -------------------------------------------------------------------------------------------


def change(store: Store, owner: str, edit: Callable[[Sessions], T], goes_first: bool = False) -> T:
    """Edit the list of an owner, and return what ``edit`` has returned for the list that was stored.

    ``edit`` changes the sessions that it gets, and is called once for each attempt.
    """
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
    """The turn to change the list of an owner: a record that exists while several processes want to change it."""

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


#: How the mark of a turn begins that no other process may take over.
FIRST = b"first:"


def added(sessions: Sessions, handle: str, session: Session) -> None:
    # Removed first, so that it becomes the newest.
    sessions.pop(handle, None)
    sessions[handle] = session
    for oldest in list(sessions)[:-LISTED]:
        del sessions[oldest]


def renewed(sessions: Sessions, handle: str, end: float, key: str) -> str | None:
    """Give a listed session another end and key. Return its token, or ``None`` if it is not listed."""
    if handle not in sessions:
        return None
    token = sessions[handle][2]
    sessions[handle] = end, key, token
    return token


def taken_off(sessions: Sessions, handle: str, token: str) -> None:
    """Remove a session from the list if it was enlisted with this token."""
    if handle in sessions and sessions[handle][2] == token:
        del sessions[handle]


def without(sessions: Sessions, keep: t.Collection[str]) -> Sessions:
    """Remove from the list all sessions except those to keep, and return what was removed."""
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
    """The record of a list, and for how many seconds it is stored; two ``None`` for an empty list."""
    if not sessions:
        return None, None
    last = max(end for end, _, _ in sessions.values())
    return json.dumps(sessions, separators=(",", ":")).encode(), max(math.ceil(last - time.time()), 1)


# --- The owner of a handle ------------------------------------------------------------------------------------------


def take(store: Store, owner: str, handle: str, end: float, key: str, ttl: int) -> bool:
    """List a session for this owner and nobody else. Return ``False`` if it has ended or was taken meanwhile."""
    name = name_of(handle)
    for _ in attempts():
        token = secrets.token_urlsafe(6)
        record = store.load(name)
        before = logins_in(record)
        # Until the lists of the former owners do not have the session any more, end() has to look there, too.
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
    """Let the record of a handle live for ``ttl`` seconds. Write it again if the store has dropped it."""
    name = name_of(handle)
    record = store.load(name, ttl)
    if not logins_in(record):
        put(store, name, record, lead_to((token, owner)), ttl)


def lead_to(*logins: tuple[str, str]) -> bytes:
    """The record of a handle. Its nonce makes it unique, so that it is equal only if nobody has written there since."""
    return json.dumps([secrets.token_urlsafe(6), *logins]).encode()


def logins_in(record: bytes | None) -> list[tuple[str, str]]:
    """The tokens and the owners in the record of a handle, the last to write it first."""
    found = json_in(record)
    logins = found[1:] if isinstance(found, list) else []
    if not all(isinstance(login, list) and len(login) == 2 and all(map(is_key, login)) for login in logins):
        return []
    return [(token, owner) for token, owner in logins]


# --- Records --------------------------------------------------------------------------------------------------------

# After its prefix, the key of a session has no colon. So these keys are never those of sessions.


def name_of(handle: str) -> str:
    return f"handle:{handle}"


def json_in(record: bytes | None) -> t.Any:
    try:
        return json.loads(record or b"null")
    except (ValueError, RecursionError):
        return None


def put(store: Store, key: str, record: bytes | None, new: bytes | None, ttl: int | None) -> bool:
    """Replace ``record`` by ``new``, either of which may be ``None``; return whether the key still had ``record``."""
    if record is None:
        return new is None or store.create(key, new, ttl)
    if not record:
        # The key holds something that is not a record, which replace() does not replace.
        store.delete(key)
        return new is None or store.create(key, new, ttl)
    return store.replace(key, record, new, ttl) is True


def attempts() -> t.Iterator[float]:
    """Yield the seconds that have passed, once for each attempt, with pauses in between, up to :data:`PATIENCE`."""
    begun, pause = time.monotonic(), FIRST_PAUSE
    waited = 0.0
    while waited <= PATIENCE:
        yield waited
        time.sleep(random.uniform(0, pause))
        pause = min(pause * 2, LONGEST_PAUSE)
        waited = time.monotonic() - begun


def overtaken() -> SessionStoreError:
    return SessionStoreError(f"other requests kept changing the list of a user's sessions for {PATIENCE} seconds")
