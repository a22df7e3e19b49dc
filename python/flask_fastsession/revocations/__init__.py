"""Signed cookie sessions that can be revoked: the data stays in the cookie, and the few revocations are shared."""

from .entry import Cursor
from .revocations import Revocations
from .revocations import RevocationStats
from .store import RevocationStore

__all__ = ["Cursor", "RevocationStats", "RevocationStore", "Revocations"]
