"""Sessions in Redis, or in whatever speaks its protocol: Valkey, Sentinel, Cluster."""

from __future__ import annotations

import os
import sys
import typing as t
from hashlib import sha1
from time import monotonic

from redis import ConnectionPool
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.exceptions import ResponseError

from ..store import SessionStoreError

# GETEX, where there is none. ARGV[1] is for how many seconds the key is to live on: 0 leaves that as it is.
LOAD = b"""
local found = redis.call('GET', KEYS[1])
if found and ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return found
"""

# KEYS[1] is the key, ARGV what it should hold, what it is to hold, and for how many seconds: 0 stands for no end.
REPLACE = b"""
local found = redis.call('GET', KEYS[1])
if found ~= ARGV[1] then return found end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1
"""

REMOVE = b"""
local found = redis.call('GET', KEYS[1])
if found ~= ARGV[1] then return found end
return redis.call('DEL', KEYS[1])
"""

Reply: t.TypeAlias = "bytes | int | None"
Errors: t.TypeAlias = "tuple[type[Exception], ...]"


class RedisStore:
    """Keeps sessions by a client of redis-py, or one made like it, whose connections, time limits and retries are used.

    One command for each call, each on one key, so that any of them may be on another node of a cluster.
    """

    def __init__(self, client: t.Any) -> None:
        if not is_client(client):
            raise ValueError(
                "SESSION_REDIS is to be a client such as redis.Redis(host=...), redis.RedisCluster(...) or that of"
                f" Sentinel's master_for(...), and is {type(client).__module__}.{type(client).__qualname__}"
            )
        self.client = client
        self.errors: Errors = (
            *errors("RedisError", "RedisClusterException", "ValkeyError", "ValkeyClusterException"),
            OSError,
        )
        self.no_script_errors = errors("NoScriptError")
        self.has_getex = True
        # A client sends a command once more whose answer was lost, and it may have been done the first time.
        self.repeats = not has_plain_pool(client)
        self._command: t.Callable[..., Reply] = self._public_command if self.repeats else Pipe(client.connection_pool)

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        try:
            return self._load(key, ttl)
        except self.errors as error:
            if is_wrong_type(error):
                return b""
            raise failed(error) from error

    def _load(self, key: str, ttl: int | None) -> bytes | None:
        # Not by GET, for which a client may ask a replica, or a cache of its own, that does not know the latest.
        if self.has_getex:
            try:
                reply = self._command("GETEX", key) if ttl is None else self._command("GETEX", key, "EX", ttl)
                return t.cast("bytes | None", reply)
            except self.errors as error:
                if not is_unknown_command(error):
                    raise
                self.has_getex = False  # Before Redis 6.2.
        return t.cast("bytes | None", self._run(LOAD, key, ttl or 0))

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        life = () if ttl is None else ("EX", ttl)
        return self._try("SET", key, data, "NX", *life) is not None

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        try:
            reply = self._run(REMOVE, key, old) if new is None else self._run(REPLACE, key, old, new, ttl or 0)
        except self.errors as error:
            if is_wrong_type(error):
                return False
            raise failed(error) from error
        if reply is None:
            return False
        return reply if isinstance(reply, bytes) and not (self.repeats and reply == new) else True

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._try("DEL", key)

    def expires_in(self, key: str) -> int | None:
        seconds = self._try("TTL", key)
        return seconds if isinstance(seconds, int) and seconds >= 0 else None

    def _run(self, script: bytes, key: str, *arguments: bytes | int) -> Reply:
        try:
            return self._command("EVALSHA", SHA1[script], 1, key, *arguments)
        except self.no_script_errors:
            return self._command("EVAL", script, 1, key, *arguments)

    def _try(self, *command: str | bytes | int) -> Reply:
        try:
            return self._command(*command)
        except self.errors as error:
            raise failed(error) from error

    def _public_command(self, *command: str | bytes | int) -> Reply:
        # Some clients are set up to decode what they are answered.
        return t.cast(Reply, self.client.execute_command(*command, NEVER_DECODE=True))


#: A connection that was used so lately is taken for open. To ask each time costs a tenth of a command.
SECONDS_TRUSTED = 0.5


class Pipe:
    """Commands on connections made as those of a client's pool, without what its ``execute_command`` does around them.

    Nothing is sent twice.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        # Nothing is given back to it, so it is not the client's own, which would run out of connections.
        self.pool = ConnectionPool(pool.connection_class, pool.max_connections, **pool.connection_kwargs)
        self.process = os.getpid()
        #: The connections that nobody uses, and since when.
        self.idle: list[tuple[t.Any, float]] = []

    def __call__(self, *command: str | bytes | int) -> Reply:
        connection = self.take()
        try:
            send(connection, command)
            reply = connection.read_response(disable_decoding=True)
        except ResponseError:
            raise
        except BaseException:
            # An answer may still be on its way to somebody else.
            connection.disconnect()
            raise
        finally:
            self.idle.append((connection, monotonic()))
        return t.cast(Reply, reply)

    def take(self) -> t.Any:
        if self.process != os.getpid():
            self.idle, self.process = [], os.getpid()
        try:
            connection, since = self.idle.pop()
        except IndexError:
            # Made by the pool, which knows of forks, counts it, and never has it back.
            return self.pool.get_connection()
        try:
            is_rested = monotonic() - since > SECONDS_TRUSTED
            if connection.should_reconnect() or (is_rested and connection._sock is not None and is_stale(connection)):
                connection.disconnect()
        except BaseException:
            connection.disconnect()
            self.idle.append((connection, since))
            raise
        return connection


try:
    from hiredis import pack_command
except ImportError:

    def send(connection: t.Any, command: tuple[str | bytes | int, ...]) -> None:
        connection.send_command(*command)

else:

    def send(connection: t.Any, command: tuple[str | bytes | int, ...]) -> None:
        connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]


def is_stale(connection: t.Any) -> bool:
    """Whether the other end has closed it, or says something unasked."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


SHA1 = {script: sha1(script).hexdigest() for script in (LOAD, REPLACE, REMOVE)}


def errors(*names: str) -> Errors:
    """Exceptions of redis-py and, if that is imported, of valkey-py, which has grown from it and has its own."""
    modules = [sys.modules.get(f"{package}.exceptions") for package in ("redis", "valkey")]
    return tuple(getattr(module, name) for module in modules for name in names if hasattr(module, name))


def failed(error: Exception) -> SessionStoreError:
    # Its text may quote the key, and with it the id. Who looks for the cause finds it there.
    return SessionStoreError(f"Redis did not do what it was asked: {type(error).__name__}")


def is_wrong_type(error: Exception) -> bool:
    # In the midst of it where a script has met it.
    return "WRONGTYPE" in str(error)


def is_unknown_command(error: Exception) -> bool:
    """Whether the server has not got a command, by its own word, or by that of a client of a cluster."""
    text = str(error).lower()
    return text.startswith("unknown command") or "command doesn't exist" in text


def is_client(client: object) -> bool:
    """Whether it answers commands: one by one, and without being awaited."""
    is_ready = callable(getattr(client, "execute_command", None)) and not isinstance(client, (type, Pipeline))
    return is_ready and not any(".asyncio" in base.__module__ for base in type(client).__mro__)


def has_plain_pool(client: t.Any) -> bool:
    """Whether commands may go past the client: it adds nothing to them, and its pool nothing to a connection."""
    if type(client) is not Redis or client.connection is not None:
        return False
    pool = client.connection_pool
    return (
        type(pool) is ConnectionPool
        # Before redis-py 7.0 connections are other ones.
        and hasattr(pool.connection_class, "should_reconnect")
        and pool.cache is None
        # Passwords that change are told to the client's own connections.
        and pool.connection_kwargs.get("credential_provider") is None
    )
