"""From the id in a cookie to the key in the store: ids, the keys of records, and where a moved session went."""

from __future__ import annotations

import re
import secrets
import typing as t
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadSignature
from itsdangerous import Signer

if t.TYPE_CHECKING:
    from flask import Flask

#: What may be an id. Anything else in a cookie never reaches the store.
SID = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)

#: What begins the record that a moved session leaves behind. No format of sessions begins with it.
MOVED = b"\0"

#: What begins the record at an id that is being taken over, and the tombstone of one that was. No key begins with a
#: null, so neither says where a session has moved.
TAKING = b"\0\0"


@dataclass(frozen=True)
class Ids:
    """How ids are made, signed, and stored.

    A key is a prefix and the id or, with ``is_hashed``, a number sign and the SHA-256 of the id. No id has a number
    sign in it, so a hashed key that someone has read in the store finds nothing when sent as a cookie.
    """

    key_prefix: str = "session:"
    length: int = 32
    is_hashed: bool = False

    def new(self) -> str:
        return secrets.token_urlsafe(self.length)

    def key(self, sid: str) -> str:
        return self._hashed_key(sid) if self.is_hashed else self.key_prefix + sid

    def other_key(self, sid: str) -> str:
        """The key where a process that hashes ids, or does not, stored the session."""
        return self.key_prefix + sid if self.is_hashed else self._hashed_key(sid)

    def both_keys(self, sid: str) -> tuple[str, str]:
        """The key with the id, and that with its hash. A session only ever moves from the first to the second."""
        return self.key_prefix + sid, self._hashed_key(sid)

    def rehashed_key(self, key: str) -> str | None:
        """Where a process that hashes ids moves the session at a key; ``None`` if the key has a hash already."""
        sid = key.removeprefix(self.key_prefix)
        return self._hashed_key(sid) if SID.fullmatch(sid) else None

    def _hashed_key(self, sid: str) -> str:
        return f"{self.key_prefix}#{sha256(sid.encode()).hexdigest()}"

    def owner_key(self, user: str) -> str:
        """The key of what lists a user's sessions. No id has a colon in it."""
        return f"{self.key_prefix}owner:{sha256(user.encode()).hexdigest()}"

    def taken_key(self, sid: str) -> str:
        """The key of the tombstone that keeps an id from being taken over again."""
        return f"{self.key_prefix}taken:{sha256(sid.encode()).hexdigest()}"

    def revoked_key(self, user: str) -> str:
        """The key of the mark that keeps a user's sessions from being taken over."""
        return f"{self.key_prefix}revoked:{sha256(user.encode()).hexdigest()}"


def moved_to(key: str) -> bytes:
    """The record that a session leaves behind at its old key."""
    return MOVED + key.encode()


def new_key_in(record: bytes) -> str | None:
    """The key that a session has moved to, if that is what a record says. A damaged record says nothing."""
    if not record.startswith(MOVED) or is_taking(record):
        return None
    try:
        return record[len(MOVED) :].decode() or None
    except UnicodeDecodeError:
        return None


def taking(number: str = "") -> bytes:
    """The record at an id that is being taken over; without a number, the tombstone of one that never will be."""
    return TAKING + number.encode()


def is_taking(record: bytes) -> bool:
    return record.startswith(TAKING)


def signed(app: Flask, sid: str) -> str:
    return signer_of(app).sign(sid).decode()


def unsigned(app: Flask, cookie: str) -> str | None:
    try:
        return signer_of(app).unsign(cookie).decode()
    except (BadSignature, UnicodeDecodeError):
        return None


def signer_of(app: Flask) -> Signer:
    # That of Flask-Session.
    keys = [*(app.config.get("SECRET_KEY_FALLBACKS") or ()), app.secret_key]
    return Signer(keys, salt="flask-session", key_derivation="hmac")
