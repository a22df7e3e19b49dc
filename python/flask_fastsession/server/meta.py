"""What a record holds about its session besides the application's data, and how it is checked."""

from __future__ import annotations

import re
import secrets
import typing as t
from dataclasses import dataclass
from hashlib import sha256

from .record import Data

#: The key of the meta data in a record. The application never sees it.
KEY = "_server_side"

#: The most characters that an owner or a note may have.
MAX_LENGTH = 1000

HANDLE = re.compile(r"h\.[A-Za-z0-9_-]{22}", re.ASCII)

#: Where an owner's name is made from a user id that cannot be a name itself.
DIGEST_PREFIX = "sha256:"


@dataclass(slots=True)
class SessionMeta:
    """When a session began, when it expires, whose it is, its public handle, and the application's note on it.

    Times are in whole seconds since 1970. ``expires_at`` is when the cookie and the owner's list expire unless the
    session is renewed. What is ``None`` is unknown and is not stored.
    """

    begun: int | None = None
    expires_at: int | None = None
    owner: str | None = None
    handle: str | None = None
    note: str | None = None

    @classmethod
    def taken_from(cls, data: Data) -> SessionMeta:
        """Remove the meta data from the data of a record and return it. What is not valid counts as unknown."""
        found = data.pop(KEY, None)
        if type(found) is not dict:
            return cls()
        return cls(
            begun=time_or_none(found.get("begun")),
            # Stored under the names that earlier versions wrote.
            expires_at=time_or_none(found.get("until")),
            owner=text_or_none(found.get("user")),
            handle=handle_or_none(found.get("handle")),
            note=text_or_none(found.get("note")),
        )

    def put_into(self, data: Data) -> Data:
        """Add what is known to the data of a record, in place of whatever the application wrote under that key.

        Raise :exc:`ValueError` for a value that :meth:`taken_from` would not return: a session that loses its owner on
        the way could not be revoked.
        """
        # Removed first, because a key that is overwritten keeps its place, and equal sessions must be equal bytes.
        data.pop(KEY, None)
        named = {
            "begun": self.begun,
            "until": self.expires_at,
            "user": self.owner,
            "handle": self.handle,
            "note": self.note,
        }
        known = {name: value for name, value in named.items() if value is not None}
        if known:
            if SessionMeta.taken_from({KEY: known}) != self:
                raise ValueError(f"not valid as a session's meta data: {self}")
            data[KEY] = known
        return data


def time_or_none(value: object) -> int | None:
    """Return a time that every format and every store can hold exactly. ``True`` is none."""
    return value if type(value) is int and 0 <= value < 2**53 else None


def text_or_none(value: object) -> str | None:
    """Return a text that is not too long and can be encoded: JSON may hold half of a surrogate pair."""
    if type(value) is not str or len(value) > MAX_LENGTH:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def handle_or_none(value: object) -> str | None:
    return value if type(value) is str and HANDLE.fullmatch(value) else None


def new_handle() -> str:
    """Return a public name for a session. No id has a dot, so a handle is never taken for one."""
    return "h." + secrets.token_urlsafe(16)


def owner_name(user_id: t.Any) -> str:
    """Return a user's id as :attr:`SessionMeta.owner`, or a digest of it if it is too long or cannot be encoded.

    Different ids have different names: an id that looks like a digest is hashed, too. Raise :exc:`TypeError` for
    ``None``, for a user of Flask-Login or its method ``get_id`` in place of its id, and for an object whose text is its
    place in memory.
    """
    kind = type(user_id)
    is_other = user_id is None or kind is memoryview or callable(user_id) or hasattr(user_id, "get_id")
    if kind not in (str, int) and (is_other or is_without_text(kind)):
        raise TypeError(
            "expected the id of a user, such as a str or an int, not"
            f" {kind.__module__}.{kind.__qualname__}; with Flask-Login that is current_user.get_id()"
        )
    text = str(user_id)
    if text_or_none(text) == text and not text.startswith(DIGEST_PREFIX):
        return text
    return DIGEST_PREFIX + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_without_text(kind: t.Any) -> bool:
    return kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__


def note_text(note: object) -> str | None:
    """Return what an app notes as :attr:`SessionMeta.note`: as text, without what cannot be encoded, and cut to its
    greatest length. ``None`` is no note.
    """
    return None if note is None else str(note)[:MAX_LENGTH].encode("utf-8", "replace").decode()
