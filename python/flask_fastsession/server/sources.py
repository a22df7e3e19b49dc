"""The sources that sessions are taken over from: the backends of Flask-Session 0.8, configured as for Flask-Session.

Each source is a class of its own, so that you can take over from other servers, tables or prefixes than those in the
config: ``SESSION_TAKE_OVER = [RedisSource(old_client), "mongodb"]``.
"""

from __future__ import annotations

import inspect
import io
import logging
import math
import pickle
import typing as t
from contextlib import nullcontext
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from hashlib import md5
from importlib import import_module
from pathlib import Path

from .info import current_app_or_none
from .record import Data
from .store import Store
from .take_over import Source

if t.TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("flask_fastsession")

KEY_PREFIX = "session:"


class RedisSource:
    """Sessions that Flask-Session keeps in Redis. ``client`` is a client of redis-py, or a URL.

    Any other object raises :exc:`ValueError`.
    """

    def __init__(self, client: t.Any, key_prefix: str = KEY_PREFIX) -> None:
        if isinstance(client, str):
            from .stores.redis import client_from_url

            client = client_from_url(client)
        is_ready = all(callable(getattr(client, method, None)) for method in ("execute_command", "delete", "ttl"))
        bases = type(client).__mro__
        # Not by redis-py's own classes, since those of valkey-py do as well.
        is_late = any(".asyncio" in base.__module__ or base.__name__ == "Pipeline" for base in bases)
        if not is_ready or is_late or isinstance(client, type):
            raise ValueError(f"SESSION_REDIS must be a client such as redis.Redis(host=...), not {kind_of(client)}")
        self.client = client
        self.key_prefix = key_prefix

    def load(self, sid: str) -> bytes | None:
        key = self.key_prefix + sid
        try:
            # A client with decode_responses=True would decode the record, and one with a cache asks for the keys.
            record = self.client.execute_command("GET", key, keys=[key], NEVER_DECODE=True)
        except Exception as error:
            if "WRONGTYPE" in str(error):
                return b""
            raise
        return t.cast("bytes | None", record) or None

    def expires_in(self, sid: str) -> float | None:
        seconds = self.client.ttl(self.key_prefix + sid)
        if seconds == -1:
            return math.inf
        return seconds if seconds >= 0 else None

    def delete(self, sid: str) -> None:
        self.client.delete(self.key_prefix + sid)

    def sids(self) -> t.Iterator[str]:
        """The ids of all sessions, for ``flask session convert``."""
        for key in self.client.scan_iter(match=glob_escaped(self.key_prefix) + "*", count=1000):
            yield (key.decode() if isinstance(key, bytes) else key)[len(self.key_prefix) :]


class MemcachedSource:
    """Sessions that Flask-Session keeps in memcached. ``client`` is a client of pymemcache, or a URL.

    A client that unpickles data raises :exc:`ValueError`. Memcached does not tell how long a record lives, so there is
    no ``expires_in``.
    """

    def __init__(self, client: t.Any, key_prefix: str = KEY_PREFIX) -> None:
        from .stores.memcached import MemcachedStore
        from .stores.memcached import client_at

        self.store = MemcachedStore(client_at(client) if isinstance(client, str) else client)
        self.key_prefix = key_prefix

    def load(self, sid: str) -> bytes | None:
        return self.store.load(self.key_prefix + sid) or None

    def delete(self, sid: str) -> None:
        self.store.delete(self.key_prefix + sid)


class MongoDBSource:
    """Sessions that Flask-Session keeps in MongoDB. ``client`` is pymongo's ``MongoClient``, or a collection.

    Any other object raises :exc:`ValueError`.
    """

    def __init__(
        self, client: t.Any, db: str = "flask_session", collection: str = "sessions", key_prefix: str = KEY_PREFIX
    ) -> None:
        # Not hasattr(client), since a client and a database have attributes of any name: their collections.
        has_method = type(client)
        if hasattr(has_method, "list_database_names"):
            client = client[db][collection]
            has_method = type(client)
        find_one = getattr(has_method, "find_one", None)
        if find_one is None or inspect.iscoroutinefunction(find_one):
            raise ValueError(f"SESSION_MONGODB must be a MongoClient or a collection of pymongo, not {kind_of(client)}")
        self.collection = client
        self.key_prefix = key_prefix

    def load(self, sid: str) -> bytes | None:
        found = self._found(sid)
        return None if found is None else record_of(found.get("val"))

    def expires_in(self, sid: str) -> float | None:
        found = self._found(sid)
        return None if found is None else seconds_until(found.get("expiration"))

    def delete(self, sid: str) -> None:
        self.collection.delete_one({"id": self.key_prefix + sid})

    def sids(self) -> t.Iterator[str]:
        for found in self.collection.find({}, {"id": True}):
            key = found.get("id")
            if isinstance(key, str) and key.startswith(self.key_prefix):
                yield key[len(self.key_prefix) :]

    def _found(self, sid: str) -> dict[str, t.Any] | None:
        found: dict[str, t.Any] | None = self.collection.find_one({"id": self.key_prefix + sid})
        # MongoDB removes expired documents only once a minute.
        return None if found is None or seconds_until(found.get("expiration")) <= 0 else found


class DynamoDBSource:
    """Sessions that Flask-Session keeps in DynamoDB. ``resource`` is ``boto3.resource("dynamodb")``, or a table.

    Any other object raises :exc:`ValueError`.
    """

    def __init__(self, resource: t.Any, table: str = "Sessions", key_prefix: str = KEY_PREFIX) -> None:
        if hasattr(resource, "Table"):
            resource = resource.Table(table)
        if not hasattr(resource, "get_item") or not hasattr(resource, "table_name"):
            raise ValueError(f'SESSION_DYNAMODB must be boto3.resource("dynamodb") or a table, not {kind_of(resource)}')
        self.table = resource
        self.key_prefix = key_prefix

    def load(self, sid: str) -> bytes | None:
        item = self._item(sid)
        return None if item is None else record_of(getattr(item.get("val"), "value", None))

    def expires_in(self, sid: str) -> float | None:
        item = self._item(sid)
        return None if item is None else self._seconds_left(item)

    def delete(self, sid: str) -> None:
        self.table.delete_item(Key={"id": self.key_prefix + sid})

    def _item(self, sid: str) -> dict[str, t.Any] | None:
        item = self.table.get_item(Key={"id": self.key_prefix + sid}, ConsistentRead=True).get("Item")
        # DynamoDB takes up to two days to remove expired items.
        return None if item is None or self._seconds_left(item) <= 0 else item

    def _seconds_left(self, item: dict[str, t.Any]) -> float:
        expiration = item.get("expiration")
        if expiration is None:
            return math.inf
        try:
            # Flask-Session treats a time in UTC as local time when it converts it to a number. This undoes that.
            return seconds_until(datetime.fromtimestamp(float(expiration)))
        except (TypeError, ValueError, OverflowError, OSError):
            return 0


class CachelibSource:
    """Sessions that Flask-Session keeps in a cache of cachelib.

    A cache that may load pickles raises :exc:`ValueError`, as all caches with cachelib's own serializers do.
    """

    def __init__(self, cache: t.Any, key_prefix: str = KEY_PREFIX) -> None:
        if not all(callable(getattr(cache, method, None)) for method in ("get", "delete")):
            raise ValueError(f"SESSION_CACHELIB must be a cache of cachelib, not {kind_of(cache)}")
        if may_unpickle(cache):
            raise ValueError(
                f"{kind_of(cache)} stores pickles, and no request loads a pickle, because that can run code: run"
                ' `flask session convert --allow-pickle` once, and then take over from "filesystem"'
            )
        self.cache = cache
        self.key_prefix = key_prefix

    def load(self, sid: str) -> Data | None:
        found = self.cache.get(self.key_prefix + sid)
        return t.cast("Data | None", found)

    def delete(self, sid: str) -> None:
        self.cache.delete(self.key_prefix + sid)


class ConvertedSource:
    """Sessions from files of cachelib that ``flask session convert`` has put into the store.

    The name of a file is the MD5 of a key, so a session is found only by its id. ``folder`` is where the files are, for
    a warning if the file of a session was not converted.
    """

    def __init__(self, store: Store, key_prefix: str = KEY_PREFIX, folder: Path | None = None) -> None:
        self.store = store
        self.key_prefix = key_prefix
        self.folder = folder

    def load(self, sid: str) -> bytes | None:
        record = self.store.load(self._key(sid))
        if record is None and self.folder is not None and (self.folder / self._name(sid)).exists():
            self.folder = None
            log.warning(
                "A visitor has a session in a file of cachelib that was not converted:"
                " run `flask session convert filesystem --allow-pickle`."
            )
        return record

    def expires_in(self, sid: str) -> float | None:
        ask = getattr(self.store, "expires_in", None)
        return None if ask is None else ask(self._key(sid))

    def delete(self, sid: str) -> None:
        self.store.delete(self._key(sid))

    def _key(self, sid: str) -> str:
        return converted_key(self.key_prefix, self._name(sid))

    def _name(self, sid: str) -> str:
        return md5((self.key_prefix + sid).encode(), usedforsecurity=False).hexdigest()


def converted_key(key_prefix: str, name: str) -> str:
    """The key of a session that was converted from the file of this name."""
    return f"{key_prefix}converted:{name}"


def may_unpickle(cache: t.Any) -> bool:
    """Whether a cache may load pickles. ``False`` only if its serializer is not cachelib's, and refuses pickles."""
    serializer = getattr(cache, "serializer", None)
    methods = [method for name in ("load", "loads") if callable(method := getattr(serializer, name, None))]
    if not methods or serializer is pickle:
        return True
    for method in methods:
        if (getattr(method, "__module__", None) or "").partition(".")[0] in ("cachelib", "pickle", "_pickle"):
            return True
        for probe in (pickle.dumps(["probe"]), b"!" + pickle.dumps(["probe"])):
            for given in (probe, io.BytesIO(probe)):
                try:
                    if method(given) == ["probe"]:
                        return True
                except Exception:
                    continue
    return False


def record_of(value: object) -> bytes:
    """Return the record in a field of a database, and an empty one, which is no session, for what cannot be one."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


def seconds_until(moment: object) -> float:
    """How many seconds are left until a time in UTC; infinity if it is ``None``, and none if it is no time."""
    if moment is None:
        return math.inf
    if not isinstance(moment, datetime):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - datetime.now(timezone.utc)) / timedelta(seconds=1)


def glob_escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in text)


def kind_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


# --- From the config of Flask-Session -------------------------------------------------------------------------------


def source_of(app: Flask, name: str, store: Store, may_be_own: bool = False) -> Source:
    """Return a source as the config for Flask-Session describes it; raise :exc:`ValueError` if it does not.

    A source in the same place as the sessions of this package is an error, unless ``may_be_own`` is true.
    """
    if name == "filesystem":
        return ConvertedSource(store, app.config.get("SESSION_KEY_PREFIX", KEY_PREFIX), folder_of(app))
    if not may_be_own and app.config.get("SESSION_TYPE") == name and name != "sqlalchemy":
        raise ValueError(
            f"SESSION_TAKE_OVER is {name!r}, and so is SESSION_TYPE: sessions of Flask-Session there are read anyway."
            " To take over from another server or prefix, pass a source of flask_fastsession.server.sources"
        )
    return SOURCES[name](app, app.config.get("SESSION_KEY_PREFIX", KEY_PREFIX))


def redis_source(app: Flask, prefix: str) -> Source:
    return RedisSource(given(app, "SESSION_REDIS", "redis", "msgspec"), prefix)


def memcached_source(app: Flask, prefix: str) -> Source:
    return MemcachedSource(given(app, "SESSION_MEMCACHED", "pymemcache", "msgspec"), prefix)


def sqlalchemy_source(app: Flask, prefix: str) -> Source:
    client = sql_source_in(app, given(app, "SESSION_SQLALCHEMY", "sqlalchemy", "msgspec"))
    from .stores.sql import FlaskSessionTable

    # If SESSION_TYPE is "sqlalchemy", the setting names the table of this package, not that of Flask-Session.
    table = None if app.config.get("SESSION_TYPE") == "sqlalchemy" else app.config.get("SESSION_SQLALCHEMY_TABLE")
    schema = app.config.get("SESSION_SQLALCHEMY_SCHEMA")
    return FlaskSessionTable(client, table or "sessions", schema, prefix)


def sql_source_in(app: Flask, client: t.Any) -> t.Any:
    """Return a function that returns the app's engine, for a Flask-SQLAlchemy object; return other clients unchanged.

    The function needs no app context. It is called when the engine is first needed, because the object's ``init_app``
    may be called for the app after this.
    """
    bind_key = app.config.get("SESSION_SQLALCHEMY_BIND_KEY")
    if not hasattr(type(client), "init_app"):
        if bind_key is not None:
            raise ValueError(
                "SESSION_SQLALCHEMY_BIND_KEY is for the SQLAlchemy object of an app, and SESSION_SQLALCHEMY is of type"
                f" {kind_of(client)}"
            )
        return client
    if bind_key is not None and not isinstance(bind_key, str):
        raise ValueError(f"SESSION_SQLALCHEMY_BIND_KEY must be a name in SQLALCHEMY_BINDS, or None, not {bind_key!r}")

    def engine() -> t.Any:
        # The end of a context runs the app's teardown functions, one of which may remove a session of SQLAlchemy that a
        # view is using. So a new context is made only where there is none.
        with nullcontext() if current_app_or_none() is app else app.app_context():
            if bind_key is None:
                return client.engine
            if bind_key not in client.engines:
                raise ValueError(f"SESSION_SQLALCHEMY_BIND_KEY is {bind_key!r}, which SQLALCHEMY_BINDS does not have")
            return client.engines[bind_key]

    return engine


def mongodb_source(app: Flask, prefix: str) -> Source:
    names = app.config.get("SESSION_MONGODB_DB", "flask_session"), app.config.get("SESSION_MONGODB_COLLECT", "sessions")
    return MongoDBSource(given(app, "SESSION_MONGODB", "msgspec"), *names, prefix)


def dynamodb_source(app: Flask, prefix: str) -> Source:
    table = app.config.get("SESSION_DYNAMODB_TABLE", "Sessions")
    return DynamoDBSource(given(app, "SESSION_DYNAMODB", "msgspec"), table, prefix)


def cachelib_source(app: Flask, prefix: str) -> Source:
    return CachelibSource(given(app, "SESSION_CACHELIB"), prefix)


def folder_of(app: Flask) -> Path:
    """The directory of Flask-Session's files."""
    of_cache = getattr(app.config.get("SESSION_CACHELIB"), "_path", None)
    return Path(of_cache or app.config.get("SESSION_FILE_DIR") or "flask_session").absolute()


def given(app: Flask, name: str, *packages: str) -> t.Any:
    client = app.config.get(name)
    if client is None:
        raise ValueError(f"{name} is not configured: SESSION_TAKE_OVER needs it, set as for Flask-Session")
    require(name, *packages)
    return client


def require(name: str, *packages: str) -> None:
    """Raise :exc:`ValueError` if a setting needs a package that is not installed."""
    for package in packages:
        try:
            import_module(package)
        except ImportError:
            raise ValueError(f"{name} needs {package}: pip install {INSTALLED_BY.get(package, package)}") from None


#: The extras that install packages.
INSTALLED_BY = {
    "pymemcache": "'flask-fastsession[memcached]'",
    "redis": "'flask-fastsession[redis]'",
    "sqlalchemy": "'flask-fastsession[sqlalchemy]'",
}


SOURCES: dict[str, t.Callable[[Flask, str], Source]] = {
    "redis": redis_source,
    "memcached": memcached_source,
    "sqlalchemy": sqlalchemy_source,
    "mongodb": mongodb_source,
    "dynamodb": dynamodb_source,
    "cachelib": cachelib_source,
}
