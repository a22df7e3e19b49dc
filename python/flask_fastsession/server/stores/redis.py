"""Sessions in Redis, in Valkey, or in any other server with their protocol, also with Sentinel or as a Cluster."""

from __future__ import annotations

import logging
import time
import typing as t
from collections.abc import Sequence
from hashlib import sha1
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ..sources import glob_escaped
from ..store import SessionStoreError
from .redis_connections import Client
from .redis_connections import Command
from .redis_connections import Errors
from .redis_connections import Pipe
from .redis_connections import Reply
from .redis_connections import errors
from .redis_connections import has_plain_pool
from .redis_connections import is_client

log = logging.getLogger("flask_fastsession")

#: The owner of a session and the key of its record, or two ``None``.
Place: t.TypeAlias = "tuple[str, str] | tuple[None, None]"

# Each script uses one key, KEYS[1], so that the keys may be on different nodes of a cluster.

# For servers without GETEX. ARGV[1] is the ttl in seconds; 0 leaves the expiry unchanged.
LOAD = b"""
local found = redis.call('GET', KEYS[1])
if found and ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return found
"""

# ARGV is the old value, the new value, and the ttl in seconds; 0 means that the record does not expire.
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

# --- The list of an owner: a sorted set of handles, with the end of each in seconds since 1970 as its score ----------

NOW = b"""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""

# ARGV is the handle, the ttl in seconds, and 1 to renew only a handle that is listed, or 0. Each call also removes up
# to 100 handles that have ended: more than it adds, but not so many that other clients have to wait.
ENLIST = (
    NOW
    + b"""
local ended = redis.call('ZCOUNT', KEYS[1], '-inf', now)
if ended > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, math.min(ended, 100) - 1) end
if ARGV[3] == '1' then
    local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if not ends or tonumber(ends) <= now then return 0 end
end
redis.call('ZADD', KEYS[1], string.format('%.3f', now + ARGV[2]), ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
redis.call('EXPIREAT', KEYS[1], string.format('%d', math.ceil(tonumber(last))))
return 1
"""
)

# ARGV[1] is the handle.
IS_LISTED = (
    NOW
    + b"""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and tonumber(ends) > now then return 1 end
return 0
"""
)

LISTED = (
    NOW
    + b"""
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.3f', now), '+inf')
"""
)

# ARGV are the handles to keep.
KEEP = (
    NOW
    + b"""
local life = redis.call('PTTL', KEYS[1])
local kept = {}
for _, handle in ipairs(ARGV) do
    local ends = redis.call('ZSCORE', KEYS[1], handle)
    if ends then kept[handle] = ends end
    redis.call('ZREM', KEYS[1], handle)
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.3f', now), '+inf')
redis.call('UNLINK', KEYS[1])
for handle, ends in pairs(kept) do redis.call('ZADD', KEYS[1], ends, handle) end
if next(kept) and life > 0 then redis.call('PEXPIRE', KEYS[1], life) end
return ended
"""
)

# --- The place of a handle: its owner and the key of its record, with a space after each ------------------------------

# ARGV is the owner and a space, the key and a space, the ttl in seconds, and 1 to leave another owner's place, or 0.
PLACE = b"""
local found = redis.call('GET', KEYS[1])
if ARGV[4] == '1' and found and string.sub(found, 1, #ARGV[1]) ~= ARGV[1] then return found end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'EX', ARGV[3])
return found
"""

# ARGV[1] is how the place has to begin to be removed: the owner and a space.
FORGET = b"""
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return found
"""

SCRIPTS = (LOAD, REPLACE, REMOVE, ENLIST, IS_LISTED, LISTED, KEEP, PLACE, FORGET)
SHA1 = {script: sha1(script).hexdigest() for script in SCRIPTS}

READING_COMMANDS = ("GETEX", "ZSCORE")
READING_SCRIPTS = {text for script in (LOAD, IS_LISTED, LISTED) for text in (script, SHA1[script])}

#: How many times end() tries again if a session gets another owner meanwhile.
ATTEMPTS = 64


class RedisStore:
    """Keeps sessions in Redis. ``client`` is a client of redis-py or a compatible one, such as valkey-py's.

    Any other object raises :exc:`ValueError`. The client's settings for connections, time limits and retries apply. A
    record is a string at its key. The list of an owner is a sorted set of handles. For each handle a string at
    ``<key_prefix>handle:<handle>`` has its owner and the key of its record. Each command uses one key.
    """

    def __init__(self, client: t.Any, key_prefix: str = "session:") -> None:
        if not is_client(client):
            raise ValueError(
                "SESSION_REDIS must be a URL, or a client such as redis.Redis(host=...), redis.RedisCluster(...) or"
                f" the result of Sentinel.master_for(...), not {type(client).__module__}.{type(client).__qualname__}"
            )
        self.client = client
        self.handle_prefix = f"{key_prefix}handle:"
        self.errors: Errors = (
            *errors("RedisError", "RedisClusterException", "ValkeyError", "ValkeyClusterException"),
            OSError,
        )
        self.no_script_errors = errors("NoScriptError")
        self.has_getex = True
        #: Whether all commands go to the one server itself, never to a replica or a cache.
        self.is_plain = has_plain_pool(client)
        self._command: Client = Pipe(client, is_read) if self.is_plain else Client(client)
        # The client may repeat a command whose reply was lost, though the server has executed it the first time.
        self.repeats = not self.is_plain or has_retries(client)
        warn_of_eviction(client)

    # --- Records ----------------------------------------------------------------------------------------------------

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        try:
            return self._load(key, ttl)
        except self.errors as error:
            if is_wrong_type(error):
                return b""
            raise failed(error) from error

    def _load(self, key: str, ttl: int | None) -> bytes | None:
        # Not by GET, which a client may send to a replica, or answer from a cache. Either may be out of date.
        if self.has_getex:
            try:
                reply = self._command("GETEX", key) if ttl is None else self._command("GETEX", key, "EX", str(ttl))
                return t.cast("bytes | None", reply)
            except self.errors as error:
                if not is_unknown_command(error):
                    raise
                self.has_getex = False  # Before Redis 6.2.
        return t.cast("bytes | None", self._run(LOAD, key, str(ttl or 0)))

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        life = () if ttl is None else ("EX", str(ttl))
        return self._try("SET", key, data, "NX", *life) is not None

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        try:
            reply = self._run(REMOVE, key, old) if new is None else self._run(REPLACE, key, old, new, str(ttl or 0))
        except self.errors as error:
            if is_wrong_type(error):
                return False
            raise failed(error) from error
        if reply is None:
            return False
        return reply if isinstance(reply, bytes) and not (self.repeats and reply == new) else True

    def delete(self, *keys: str) -> None:
        if len(keys) == 1:
            self._try("DEL", keys[0])
        else:
            self._try_all([("DEL", key) for key in keys])

    def keys(self, prefix: str) -> t.Iterator[str]:
        try:
            for key in self.client.scan_iter(match=glob_escaped(prefix) + "*", count=1000):
                yield key.decode() if isinstance(key, bytes) else key
        except self.errors as error:
            raise failed(error) from error

    def expires_in(self, key: str) -> int | None:
        seconds = self._try("TTL", key)
        return seconds if isinstance(seconds, int) and seconds >= 0 else None

    # --- Owners -----------------------------------------------------------------------------------------------------

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        life, only = str(ttl), "1" if renew else "0"
        # The list before the place. So an owner that the next one finds in the place has the handle on its list, and
        # the next one removes it there.
        if not self._try_script(ENLIST, owner, handle, life, only):
            return False
        found = self._try_script(PLACE, self._place_key(handle), f"{owner} ", f"{key} ", life, only)
        former, _ = place_in(found)
        if former is None or former == owner:
            return True
        # Another owner has enlisted the session since, if this is a renewal, or had enlisted it before.
        self._try("ZREM", owner if renew else former, handle)
        return not renew

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        if self.is_plain:
            # This costs the server a third of what the script does. The end was set by the server's clock and is
            # compared with this machine's, but usually the record expires at the same time.
            ends = self._try("ZSCORE", owner, handle)
            return ends is not None and float(t.cast("bytes | float", ends)) > time.time()
        return self._try_script(IS_LISTED, owner, handle) == 1

    def listed(self, owner: str) -> list[tuple[str, str]]:
        handles = [text(handle) for handle in t.cast("list[bytes | str]", self._try_script(LISTED, owner))]
        # Not by GET, as in _load().
        replies = self._try_all([("EVAL", LOAD, "1", self._place_key(handle), "0") for handle in handles])
        places = zip(handles, map(place_in, replies), strict=True)
        return [(handle, place[1]) for handle, place in places if place[0] == owner]

    def unlist(self, owner: str, handle: str) -> None:
        self._taken_off(owner, handle)

    def end(self, handle: str) -> bool:
        owner, key = self._place_of(handle)
        for _ in range(ATTEMPTS):
            if owner is None or key is None:
                return False
            place = self._taken_off(owner, handle)
            if place is not None:
                # If the session has moved since, its place has the new key.
                latest = place[1] if place[0] == owner else None
                self.delete(*{key, latest or key})
                return True
            before = owner
            owner, key = self._place_of(handle)
            if owner == before:
                return False
        raise SessionStoreError(f"a session changed its user {ATTEMPTS} times during one command")

    def _taken_off(self, owner: str, handle: str) -> Place | None:
        """Remove a session from a list, and return its place; ``None`` if it was not on the list.

        In the second case, the request that removed it from the list deletes its record.
        """
        if not self._try("ZREM", owner, handle):
            return None
        return place_in(self._try_script(FORGET, self._place_key(handle), f"{owner} "))

    def _place_of(self, handle: str) -> Place:
        return place_in(self._try_script(LOAD, self._place_key(handle), "0"))

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = [text(handle) for handle in t.cast("list[bytes | str]", self._try_script(KEEP, owner, *keep))]
        # The sessions have ended, since none of them is listed any more. What follows only frees space.
        forget = [("EVAL", FORGET, "1", self._place_key(handle), f"{owner} ") for handle in ended]
        places = map(place_in, self._try_all(forget))
        self._try_all([("DEL", place[1]) for place in places if place[0] == owner])
        return len(ended)

    def _place_key(self, handle: str) -> str:
        return self.handle_prefix + handle

    # --- Commands ---------------------------------------------------------------------------------------------------

    def _run(self, script: bytes, key: str, *arguments: str | bytes) -> Reply:
        try:
            return self._command("EVALSHA", SHA1[script], "1", key, *arguments)
        except self.no_script_errors:
            return self._command("EVAL", script, "1", key, *arguments)

    def _try_script(self, script: bytes, key: str, *arguments: str | bytes) -> Reply:
        try:
            return self._run(script, key, *arguments)
        except self.errors as error:
            raise failed(error) from error

    def _try(self, *command: str | bytes) -> Reply:
        try:
            return self._command(*command)
        except self.errors as error:
            raise failed(error) from error

    def _try_all(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            return self._command.batch(commands)
        except self.errors as error:
            raise failed(error) from error


def is_read(command: Command) -> bool:
    """Whether a command only reads, so that it may be sent twice."""
    return command[0] in READING_COMMANDS or (command[0] in ("EVALSHA", "EVAL") and command[1] in READING_SCRIPTS)


def place_in(reply: Reply) -> Place:
    """The owner and the key in the place of a handle."""
    owner, _, key = text(t.cast("bytes | str | None", reply) or b"").partition(" ")
    return (owner, key.rstrip()) if key else (None, None)


def text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode()


def failed(error: Exception) -> SessionStoreError:
    # The text of the error is left out, because it may quote the key and with it the id. It is in the __cause__.
    return SessionStoreError(f"Redis command failed: {type(error).__name__}")


def is_wrong_type(error: Exception) -> bool:
    # An error from within a script has other words before this.
    return "WRONGTYPE" in str(error)


def is_unknown_command(error: Exception) -> bool:
    """Whether the server, or a client of a cluster, says that the server does not know a command."""
    words = str(error).lower()
    return words.startswith("unknown command") or "command doesn't exist" in words


# --- At start -------------------------------------------------------------------------------------------------------

URL_SCHEMES = ("redis://", "rediss://", "unix://")

#: The time limit for asking a server about its settings at start, in seconds.
PROBE_TIMEOUT = 1


def client_from_url(url: str) -> Redis:
    """Return a client for a URL such as ``redis://:password@host:6379/0``; raise :exc:`ValueError` if it is wrong.

    The text of the error does not quote the URL, because it may have a password in it.
    """
    if not url.startswith(URL_SCHEMES):
        raise ValueError(f"SESSION_REDIS must be a URL that begins with {', '.join(URL_SCHEMES)}, or a client")
    try:
        client: Redis = Redis.from_url(url)
        pool = client.connection_pool
        # Creates a connection without opening it. Otherwise an unknown option would fail only at the first request.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, AttributeError, RedisError) as error:
        raise ValueError(f"SESSION_REDIS is a URL that redis-py cannot use ({type(error).__name__})") from None
    if pool.connection_kwargs.get("db") is None and not url.startswith("unix:") and urlsplit(url).path.strip("/"):
        # redis-py would use the database 0.
        raise ValueError("SESSION_REDIS is a URL in which what follows the host is not the number of a database")
    return client


def has_retries(client: Redis) -> bool:
    options = client.connection_pool.connection_kwargs
    retry = options.get("retry")
    return any(map(options.get, ("retry_on_error", "retry_on_timeout"))) or (retry and retry.get_retries()) not in (
        None,
        0,
    )


def warn_of_eviction(client: t.Any) -> None:
    """Log a warning if Redis is configured to drop sessions when it is short of memory."""
    try:
        found = settings_of(client)
    except Exception:
        # The server is unreachable, or this user may not read its config. Neither is an error here.
        return
    policy = found.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        log.warning(
            "Redis has the maxmemory-policy %r: when it has used its maxmemory it drops sessions, which logs visitors"
            " out. Use noeviction, and a Redis that is not also a cache.",
            policy,
        )


def settings_of(client: t.Any) -> dict[str, str]:
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        reply = client.execute_command("CONFIG GET", "maxmemory*")
    else:
        # On a connection of its own, so that a process that is forked later does not share it, and with a short limit.
        options = dict(pool.connection_kwargs)
        for name in ("socket_timeout", "socket_connect_timeout"):
            options[name] = min(options.get(name) or PROBE_TIMEOUT, PROBE_TIMEOUT)
        connection = pool.connection_class(**{**options, "retry": Retry(NoBackoff(), 0), "retry_on_error": []})
        try:
            connection.send_command("CONFIG", "GET", "maxmemory*")
            reply = connection.read_response()
        finally:
            connection.disconnect()
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {text(name): text(value) for name, value in pairs}
