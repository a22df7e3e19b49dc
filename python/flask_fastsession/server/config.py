"""What the config says about server-side sessions, checked once and made into a session interface."""

from __future__ import annotations

import math
import os
import re
import typing as t
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from ..options import BOOLS
from ..options import NO_POLICIES
from ..options import Policies
from ..options import policies_in
from .interface import Options
from .interface import ServerSessionInterface
from .interface import lifetime_of
from .record import RecordFormat
from .sources import SOURCES
from .sources import require
from .sources import source_of
from .sources import sql_source_in
from .store import Store
from .store import SweepingStore
from .take_over import Sources

if t.TYPE_CHECKING:
    from flask import Config
    from flask import Flask
    from flask import Request

#: How each type of store writes sessions, if the config does not say. Flask-Session writes msgpack.
FORMATS = {"redis": "msgpack", "memcached": "msgpack"}

#: Where sessions are stored under their ids if the config does not say: there may be sessions of Flask-Session there.
UNHASHED = ("redis", "memcached")

#: Seconds that SQLite can be told to wait: it counts milliseconds in 32 bits, and takes too many for none at all.
LONGEST_TIMEOUT = 2_000_000

#: A store that can be swept is, after so many requests that stored something, on average.
SWEPT_EVERY = 500

METHODS = ("load", "create", "replace", "delete")

#: Backends of Flask-Session that are no stores of ours.
TAKEN_OVER = ("mongodb", "dynamodb", "cachelib", "filesystem")

#: What is read once, when an app is given its interface.
READ_ONCE = (
    "SESSION_ABSOLUTE_LIFETIME",
    "SESSION_ACCEPT_ANY",
    "SESSION_CACHELIB",
    "SESSION_CLEANUP_N_REQUESTS",
    "SESSION_DELETE_REFUSED",
    "SESSION_DYNAMODB",
    "SESSION_DYNAMODB_TABLE",
    "SESSION_FILE_DIR",
    "SESSION_HASH_SID",
    "SESSION_ID_LENGTH",
    "SESSION_KEY_PREFIX",
    "SESSION_LIFETIME",
    "SESSION_MEMCACHED",
    "SESSION_MONGODB",
    "SESSION_MONGODB_COLLECT",
    "SESSION_MONGODB_DB",
    "SESSION_NOTE",
    "SESSION_ON_REFUSED",
    "SESSION_PERMANENT",
    "SESSION_REDIS",
    "SESSION_REFRESH_AFTER",
    "SESSION_REFRESH_UNACCESSED",
    "SESSION_REGENERATE_ON_LOGIN",
    "SESSION_SERIALIZATION_FORMAT",
    "SESSION_SKIP",
    "SESSION_SQLALCHEMY",
    "SESSION_SQLALCHEMY_BIND_KEY",
    "SESSION_SQLALCHEMY_SCHEMA",
    "SESSION_SQLALCHEMY_TABLE",
    "SESSION_SQLITE_PATH",
    "SESSION_SQLITE_TIMEOUT",
    "SESSION_TAKE_OVER",
    "SESSION_TAKE_OVER_DELETE",
    "SESSION_TAKE_OVER_LIFETIME",
    "SESSION_TYPE",
    "SESSION_USE_SIGNER",
)


def interface_of(
    app: Flask, given: Policies = NO_POLICIES, absolute_lifetime: float | None = None
) -> ServerSessionInterface:
    """Return the interface for an app. What is ``given`` as an argument counts before what the config says."""
    config = app.config
    kind = config.get("SESSION_TYPE", "sqlite")
    store = STORES[kind](app) if isinstance(kind, str) and kind in STORES else kind
    if isinstance(store, (str, type)) or not all(callable(getattr(store, method, None)) for method in METHODS):
        hint = f'; to take over the sessions there, set SESSION_TAKE_OVER = "{kind}"' if kind in TAKEN_OVER else ""
        raise ValueError(
            f"SESSION_TYPE must be one of {', '.join(map(repr, STORES))}, or a store object, not {kind!r}{hint}"
        )
    name = FORMATS.get(kind, "tagged") if isinstance(kind, str) else "tagged"
    may_be_of_others = isinstance(kind, str) and kind in UNHASHED
    sweeps = isinstance(store, SweepingStore)
    options = Options(
        key_prefix=prefix_of(config.get("SESSION_KEY_PREFIX", "session:")),
        permanent=bool_in(config, "SESSION_PERMANENT", True),
        id_length=id_length_of(config.get("SESSION_ID_LENGTH", 32)),
        use_signer=bool_in(config, "SESSION_USE_SIGNER", False),
        hash_sid=bool_in(config, "SESSION_HASH_SID", not may_be_of_others),
        refresh_unaccessed=bool_in(config, "SESSION_REFRESH_UNACCESSED", False),
        absolute_lifetime=absolute_lifetime or seconds_of(config.get("SESSION_ABSOLUTE_LIFETIME")),
        cleanup_n_requests=cleanup_of(config.get("SESSION_CLEANUP_N_REQUESTS", SWEPT_EVERY if sweeps else None)),
        note=note_of(config.get("SESSION_NOTE")),
        unlisted_lifetime=lifetime_in(app),
        policies=given.or_else(policies_in(config)),
    )
    if options.use_signer and not app.secret_key:
        raise ValueError("SESSION_USE_SIGNER needs a SECRET_KEY")
    record_format = RecordFormat(config.get("SESSION_SERIALIZATION_FORMAT", name))
    return ServerSessionInterface(store, record_format, options, sources_of(app, store))


def sources_of(app: Flask, store: Store) -> Sources | None:
    wanted = app.config.get("SESSION_TAKE_OVER")
    if wanted is None:
        return None
    names = [*SOURCES, "filesystem"]
    sources = []
    for one in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
        source = named_source(app, one, store) if isinstance(one, str) and one in names else one
        if isinstance(source, type) or not callable(getattr(source, "load", None)):
            raise ValueError(
                f"SESSION_TAKE_OVER must be one of {', '.join(map(repr, names))}, an object with a method load(sid),"
                f" or a list of these, not {one!r}"
            )
        sources.append(source)
    deletes = bool_in(app.config, "SESSION_TAKE_OVER_DELETE", False)
    for source in sources:
        if deletes and not callable(getattr(source, "delete", None)):
            raise ValueError(f"SESSION_TAKE_OVER_DELETE needs a source with delete(sid), not {type(source).__name__}")
    return Sources(tuple(sources), deletes, lifetime_of_sources(app))


def named_source(app: Flask, name: str, store: Store) -> t.Any:
    try:
        return source_of(app, name, store)
    except ValueError:
        raise
    except Exception as error:
        # The client's text may quote what is in the config.
        raise ValueError(
            f"SESSION_TAKE_OVER is {name!r}, and a setting of Flask-Session for it is wrong: its client raises"
            f" {type(error).__name__}"
        ) from None


def lifetime_of_sources(app: Flask) -> int:
    lifetime = app.config.get("SESSION_TAKE_OVER_LIFETIME")
    seconds = seconds_of(app.permanent_session_lifetime if lifetime is None else lifetime, "SESSION_TAKE_OVER_LIFETIME")
    return math.ceil(t.cast(float, seconds))


def lifetime_in(app: Flask) -> int:
    try:
        return lifetime_of(app)
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise ValueError(
            "PERMANENT_SESSION_LIFETIME must be a timedelta or a number of seconds, not"
            f" {app.config.get('PERMANENT_SESSION_LIFETIME')!r}"
        ) from None


def bool_in(config: Config, name: str, default: bool) -> bool:
    value = config.get(name, default)
    # Any text is true to Python, "false" from the environment as well.
    found = BOOLS.get(value.lower() if isinstance(value, str) else value) if isinstance(value, (str, int)) else None
    if found is None:
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return found


def id_length_of(length: object) -> int:
    # Sixteen characters are the least, and 128 the most, that an id in a cookie may have.
    if not isinstance(length, int) or not 12 <= length <= 96:
        raise ValueError(f"SESSION_ID_LENGTH must be a number of random bytes from 12 to 96, not {length!r}")
    return length


def prefix_of(prefix: object) -> str:
    # With the longest id it is to be a key for any store.
    if not isinstance(prefix, str) or not re.fullmatch(r"[!-~]{0,120}", prefix):
        raise ValueError(f"SESSION_KEY_PREFIX must be at most 120 visible ASCII characters, not {prefix!r}")
    return prefix


def seconds_of(lifetime: object, name: str = "SESSION_ABSOLUTE_LIFETIME") -> float | None:
    if lifetime is None:
        return None
    seconds = lifetime.total_seconds() if isinstance(lifetime, timedelta) else lifetime
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 1 <= seconds < math.inf:
        raise ValueError(f"{name} must be a timedelta or a number of seconds, at least 1, not {lifetime!r}")
    return seconds


def cleanup_of(number: object) -> int | None:
    if number is None or (isinstance(number, int) and not isinstance(number, bool) and number >= 0):
        return number
    raise ValueError(f"SESSION_CLEANUP_N_REQUESTS must be a number of requests, or None, not {number!r}")


def note_of(note: object) -> Callable[[Request], object] | None:
    if note is not None and not callable(note):
        raise ValueError(f"SESSION_NOTE must be a function of the request that returns a text, or None, not {note!r}")
    return t.cast("Callable[[Request], object] | None", note)


# --- What has no effect ---------------------------------------------------------------------------------------------


def checker_of(app: Flask, interface: ServerSessionInterface) -> Callable[[], None]:
    """Remember the config as it was read, and return what warns, once the app is set up, of what has no effect in it.

    By :mod:`warnings`, as Flask and Werkzeug do where the code of an app is to be changed: it names the app's mistake
    once, and tests can make it an error. The log is for what comes from visitors and stores.
    """
    before = {name: app.config.get(name) for name in READ_ONCE}

    def check() -> None:
        for name, value in before.items():
            found = app.config.get(name)
            if found is not value and found != value:
                warnings.warn(f"{name} was changed after init_app, which has no effect", stacklevel=2)
        manager = getattr(app, "login_manager", None)
        protection = app.config.get("SESSION_PROTECTION", getattr(manager, "session_protection", None))
        if manager is not None and protection == "strong" and interface.options.permanent:
            warnings.warn(
                'Flask-Login treats session_protection = "strong" as "basic" for permanent sessions, which are the '
                "default here: set SESSION_PERMANENT = False to change that",
                stacklevel=2,
            )

    return check


# --- Stores ---------------------------------------------------------------------------------------------------------


def sqlite_store(app: Flask) -> Store:
    from .stores.sqlite import SQLiteStore

    path = app.config.get("SESSION_SQLITE_PATH", "sessions.sqlite")
    if not isinstance(path, (str, os.PathLike)) or os.fspath(path) in ("", ":memory:") or "\0" in str(path):
        raise ValueError(f"SESSION_SQLITE_PATH must be the path of a file that processes can share, not {path!r}")
    timeout = app.config.get("SESSION_SQLITE_TIMEOUT", 5.0)
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 <= timeout <= LONGEST_TIMEOUT:
        raise ValueError(f"SESSION_SQLITE_TIMEOUT must be a number of seconds up to {LONGEST_TIMEOUT}, not {timeout!r}")
    return SQLiteStore(Path(app.instance_path) / path, timeout)


def redis_store(app: Flask) -> Store:
    client = client_of(app, "SESSION_REDIS", "redis", 'redis.Redis(host=...), or a URL such as "redis://localhost"')
    from .stores.redis import RedisStore
    from .stores.redis import client_from_url

    key_prefix = prefix_of(app.config.get("SESSION_KEY_PREFIX", "session:"))
    return RedisStore(client_from_url(client) if isinstance(client, str) else client, key_prefix)


def memcached_store(app: Flask) -> Store:
    example = 'pymemcache.PooledClient((host, port), no_delay=True), or a URL such as "memcached://localhost"'
    client = client_of(app, "SESSION_MEMCACHED", "pymemcache", example)
    from .stores.memcached import MemcachedStore
    from .stores.memcached import client_at

    return MemcachedStore(client_at(client) if isinstance(client, str) else client)


def sql_store(app: Flask) -> Store:
    source = client_of(app, "SESSION_SQLALCHEMY", "sqlalchemy", "an Engine, a URL, or the SQLAlchemy object of an app")
    from .stores.sql import SQLAlchemyStore

    table = app.config.get("SESSION_SQLALCHEMY_TABLE", "fastsession")
    return SQLAlchemyStore(sql_source_in(app, source), table, schema_of(app.config.get("SESSION_SQLALCHEMY_SCHEMA")))


def schema_of(schema: object) -> str | None:
    if schema is not None and (not isinstance(schema, str) or not re.fullmatch(r"[\w$.-]+", schema)):
        raise ValueError(f"SESSION_SQLALCHEMY_SCHEMA is the name of a schema, or None, not {schema!r}")
    return schema


def client_of(app: Flask, name: str, package: str, example: str) -> object:
    client = app.config.get(name)
    if client is None:
        raise ValueError(f"{name} is not configured: set it to a client of {package}, such as {example}")
    require(name, package)
    return client


STORES: dict[str, t.Callable[[Flask], Store]] = {
    "sqlite": sqlite_store,
    "redis": redis_store,
    "memcached": memcached_store,
    "sqlalchemy": sql_store,
}
