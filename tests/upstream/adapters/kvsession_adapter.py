"""A plugin for Flask-KVSession's suite, of 2014: stands in for its modules, and for what pytest and Werkzeug had then.

Flask-KVSession itself does not run on a Flask of today. Where the suite looks into a store, it sees the keys of
sessions that are there, without what a moved session leaves behind.
"""

from __future__ import annotations

import sys
import time
import types
import typing as t

import adapter  # type: ignore[import-not-found]
import flask
import pytest
import redis
import werkzeug.test
from _pytest.fixtures import FixtureFunctionDefinition
from flask.testing import FlaskClient

from flask_fastsession import ServerSession
from flask_fastsession.server.ids import new_key_in
from flask_fastsession.server.session import ServerSideSession

pytest_addoption = adapter.add_options


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    stand_in("flask_kvsession", KVSessionExtension=KVSessionExtension, KVSession=ServerSideSession)
    stand_in("simplekv")
    stand_in("simplekv.memory", DictStore=DictStore)
    stand_in("simplekv.memory.redisstore", RedisStore=RedisStore)
    session: t.Any = ServerSideSession
    session.destroy = lambda self: self.clear()
    let_run()


def pytest_configure(config: pytest.Config) -> None:
    adapter.configure(config)


def stand_in(module: str, **names: object) -> None:
    sys.modules[module] = types.ModuleType(module)
    vars(sys.modules[module]).update(names)


class KVSessionExtension:
    def __init__(self, session_kvstore: t.Any = None, app: flask.Flask | None = None) -> None:
        self.store = session_kvstore
        if app is not None:
            self.init_app(app)

    def init_app(self, app: t.Any, session_kvstore: t.Any = None) -> None:
        store = session_kvstore or self.store
        if store is None:
            raise ValueError("there is no store")
        # Its sessions are not permanent until a view says so.
        app.config.update(store.config, SESSION_PERMANENT=False)
        ServerSession(app)
        app.kvsession_store = store

    def cleanup_sessions(self, app: flask.Flask) -> None:
        interface: t.Any = app.session_interface
        list(interface.sweep())


class DictStore:
    def __init__(self) -> None:
        self.records: dict[str, tuple[bytes, float | None]] = {}
        self.config = {"SESSION_TYPE": self}

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        data, end = self.records.get(key, (None, None))
        if data is None or (end is not None and end <= time.time()):
            return None
        if ttl is not None:
            self.put(key, data, ttl)
        return data

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        if self.load(key) is not None:
            return False
        self.put(key, data, ttl)
        return True

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        found = self.load(key)
        if found != old:
            return False if found is None else found
        if new is None:
            self.delete(key)
        else:
            self.put(key, new, ttl)
        return True

    def put(self, key: str, data: bytes, ttl: int | None) -> None:
        self.records[key] = data, None if ttl is None else time.time() + ttl

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.records.pop(key, None)

    def sweep(self, limit: int) -> int:
        ended = [key for key in self.records if self.load(key) is None]
        self.delete(*ended)
        return len(ended)

    def keys(self) -> list[str]:
        return [key for key, (data, _) in self.records.items() if new_key_in(data) is None]


class RedisStore:
    def __init__(self, client: redis.Redis) -> None:
        self.client: t.Any = client
        self.config = {"SESSION_TYPE": "redis", "SESSION_REDIS": client}

    def keys(self) -> list[str]:
        return [key for key in self.client.scan_iter() if new_key_in(self.client.get(key)) is None]

    def delete(self, key: str) -> None:
        self.client.delete(key)


# --- What there was in 2014 -----------------------------------------------------------------------------------------


def let_run() -> None:
    old: t.Any = pytest.FixtureRequest
    old.getfuncargvalue = old.getfixturevalue
    # Tests could call fixtures.
    fixture: t.Any = FixtureFunctionDefinition
    fixture.__call__ = lambda self, *args: self._fixture_function(*args)
    app: t.Any = flask.Flask
    app.session_cookie_name = property(lambda self: self.config["SESSION_COOKIE_NAME"])
    client: t.Any = FlaskClient
    client.cookie_jar = property(Jar)
    cookie: t.Any = werkzeug.test.Cookie
    cookie.has_nonstandard_attr = lambda self, name: self.http_only


class Jar:
    """A client's cookies by domain, path and name."""

    def __init__(self, client: t.Any) -> None:
        self._cookies: dict[str, dict[str, dict[str, t.Any]]] = {"localhost.local": {}}
        for cookie in client._cookies.values():
            self._cookies["localhost.local"].setdefault(cookie.path, {})[cookie.key] = cookie
