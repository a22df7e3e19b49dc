"""Revocable sessions in cookies: the data stays in the cookie, and all processes share a short list of revocations."""

from .entry import Cursor
from .revocations import Revocations
from .revocations import RevocationStats
from .store import RevocationStore

__all__ = ["Cursor", "RevocationStats", "RevocationStore", "Revocations"]
