"""The stores of revocations that come with the package, and which of them an argument of :class:`Revocations` means."""

from __future__ import annotations

import os
import typing as t
from importlib import import_module

from ..store import RevocationStore

WANTED = (
    "the store of Revocations is a path for SQLite, a client or URL of Redis, an Engine or URL of SQLAlchemy, or an "
    "object with the methods add() and since()"
)


def store_from(source: t.Any) -> RevocationStore:
    """Return the store that a path, a URL, a client, an Engine or a store itself stands for.

    Raise :exc:`ValueError` for anything else.
    """
    if isinstance(source, type):
        raise ValueError(f"{WANTED}, not the class {source.__name__}")
    if all(callable(getattr(source, method, None)) for method in ("add", "since")):
        return t.cast(RevocationStore, source)
    if isinstance(source, str) and "://" in source:
        scheme = source.partition("://")[0]
        if scheme in ("redis", "rediss", "unix", "valkey", "valkeys"):
            return redis_store(source.replace("valkey", "redis", 1) if scheme.startswith("valkey") else source)
        return sql_store(source)
    if isinstance(source, str | os.PathLike):
        return sqlite_store(source)
    if callable(getattr(source, "execute_command", None)):
        return redis_store(source)
    if hasattr(type(source), "engine") or hasattr(source, "dialect") or hasattr(source, "get_backend_name"):
        return sql_store(source)
    raise ValueError(f"{WANTED}, not {type(source).__module__}.{type(source).__qualname__}")


def sqlite_store(path: str | os.PathLike[str]) -> RevocationStore:
    from .sqlite import SQLiteRevocations

    if os.fspath(path) in ("", ":memory:") or "\0" in os.fspath(path):
        raise ValueError(f"{WANTED}: a file that processes can share, not {path!r}")
    return SQLiteRevocations(path)


def redis_store(source: t.Any) -> RevocationStore:
    require("redis", "redis")
    from .redis import RedisRevocations

    return RedisRevocations(source)


def sql_store(source: t.Any) -> RevocationStore:
    require("sqlalchemy", "sqlalchemy")
    from .sql import SQLAlchemyRevocations

    return SQLAlchemyRevocations(source)


def require(package: str, extra: str) -> None:
    try:
        import_module(package)
    except ImportError:
        raise ValueError(
            f"this store of Revocations needs {package}: pip install 'flask-fastsession[{extra}]'"
        ) from None
