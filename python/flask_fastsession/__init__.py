"""A drop-in replacement for Flask's sessions, written in Rust: in the same cookies, or on the server."""

from __future__ import annotations

import typing as t

from ._native import __version__
from .interface import FastSessionInterface
from .options import SessionTooLargeError
from .session import FastSession

if t.TYPE_CHECKING:
    from .revocations import Revocations
    from .server import ServerSession
    from .server import SessionStoreError

__all__ = [
    "FastSession",
    "FastSessionInterface",
    "Revocations",
    "ServerSession",
    "SessionStoreError",
    "SessionTooLargeError",
    "__version__",
]


# Hidden from type checkers, which would take any name for one of the package.
if not t.TYPE_CHECKING:

    def __getattr__(name: str) -> t.Any:
        # Whose sessions are in cookies need not load stores.
        if name in ("ServerSession", "SessionStoreError"):
            from . import server

            return getattr(server, name)
        if name == "Revocations":
            from .revocations import Revocations

            return Revocations
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
