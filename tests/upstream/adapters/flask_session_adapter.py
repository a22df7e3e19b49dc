"""A plugin for Flask-Session's suite: :class:`ServerSession` stands in for its extension.

What the suite looks at in a store is shown to it as Flask-Session would. Its backends of files are SQLite here.
"""

from __future__ import annotations

import importlib
import tempfile
import typing as t
from pathlib import Path

import adapter  # type: ignore[import-not-found]
import flask
import flask_session
import pytest
import sqlalchemy
from sqlalchemy import orm

from flask_fastsession import ServerSession
from flask_fastsession.server.session import ServerSideSession

CLASSES = {
    "cachelib": "CacheLibSession",
    "filesystem": "FileSystemSession",
    "memcached": "MemcachedSession",
    "redis": "RedisSession",
    "sqlalchemy": "SqlAlchemySession",
}

pytest_addoption = adapter.add_options


def pytest_configure(config: pytest.Config) -> None:
    if adapter.configure(config):
        for name, session_class in CLASSES.items():
            setattr(importlib.import_module(f"flask_session.{name}"), session_class, ServerSideSession)
        flask_session.Session = extend


def extend(app: flask.Flask) -> None:
    kind = app.config.get("SESSION_TYPE")
    # The suite looks for records by the ids in cookies.
    app.config["SESSION_HASH_SID"] = False
    if kind in ("cachelib", "filesystem"):
        app.config.update(SESSION_TYPE="sqlite", SESSION_SQLITE_PATH=temporary_file())
    if kind == "sqlalchemy":
        # Its database in memory is none for ours.
        engine = sqlalchemy.create_engine(f"sqlite:///{temporary_file()}")
        app.config.update(SESSION_SQLALCHEMY=engine, SESSION_SQLALCHEMY_TABLE="sessions")
    ServerSession(app)
    interface: t.Any = app.session_interface
    interface.cache = Records(interface)
    if kind == "sqlalchemy":
        show_table(interface, engine)


def temporary_file() -> Path:
    return Path(tempfile.mkdtemp()) / "sessions.sqlite"


class Records:
    """What is stored, decoded, as cachelib gives it."""

    def __init__(self, interface: t.Any) -> None:
        self.interface = interface

    def get(self, key: str) -> t.Any:
        return self.interface.format.loads(self.interface.store.load(key))


def show_table(interface: t.Any, engine: sqlalchemy.Engine) -> None:
    """Give an interface what Flask-Session's has for its table."""
    interface.store.init_db()
    table = interface.store.records
    model = type("Session", (), {})
    orm.registry().map_imperatively(model, table, properties={"session_id": table.c.key})
    interface.sql_session_model = model
    interface.client = t.cast(t.Any, type("Client", (), {"session": orm.Session(engine)}))
