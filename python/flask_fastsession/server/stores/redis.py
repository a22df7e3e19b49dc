"""Sessions in Redis, or in whatever speaks its protocol: Valkey, Sentinel, Cluster."""

from __future__ import annotations

import logging
import time
import typing as t
from collections.abc import Sequence
from hashlib import sha1

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from ..ids import MOVED
from ..store import MOVED_TTL
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

#: The owner of a session, and the key of its record.
Place: t.TypeAlias = "tuple[str, str] | tuple[None, None]"

# Each script has to do with one key, KEYS[1], so that any of them may be on another node of a cluster.

# GETEX, where there is none. ARGV[1] is for how many seconds the key is to live on: 0 leaves that as it is.
LOAD = b"""
local found = redis.call('GET', KEYS[1])
if found and ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return found
"""

# ARGV is what the key should hold, what it is to hold, and for how many seconds: 0 stands for no end.
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

# --- The list of an owner: a sorted set of handles, by the time in seconds since 1970 when each ends -----------------

NOW = b"""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""

# ARGV is the handle, for how many seconds it is listed, and 1 if it is so only where it has been, or 0. Some of those
# that have ended are removed by the way: more than are added, and never so many that others have to wait.
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

# --- The place of a handle: its owner and the key of its record, and a space after each ------------------------------

# ARGV is the owner and a space, the key and a space, for how many seconds, and 1 if another owner's stays, or 0.
PLACE = b"""
local found = redis.call('GET', KEYS[1])
if ARGV[4] == '1' and found and string.sub(found, 1, #ARGV[1]) ~= ARGV[1] then return found end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'EX', ARGV[3])
return found
"""

# ARGV[1] is what it has to begin with to be removed.
FORGET = b"""
local found = redis.call('GET', KEYS[1])
if found and string.sub(found, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return found
"""

SCRIPTS = (LOAD, REPLACE, REMOVE, ENLIST, IS_LISTED, LISTED, KEEP, PLACE, FORGET)
SHA1 = {script: sha1(script).hexdigest() for script in SCRIPTS}

READING_COMMANDS = ("GETEX", "ZSCORE")
READING_SCRIPTS = {text for script in (LOAD, IS_LISTED, LISTED) for text in (script, SHA1[script])}

#: A handle that goes from owner to owner while it is to be ended is followed so often.
ATTEMPTS = 64


class RedisStore:
    """Keeps sessions by a client of redis-py, or one made like it, whose connections, time limits and retries are used.

    A record is a string at its key. An owner is a sorted set of the handles of their sessions, and a string at
    ``<key_prefix>handle:<handle>`` has the owner and the key of each. Each command is on one key.
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
        #: Whether no replica and no cache answers instead of the server.
        self.is_plain = has_plain_pool(client)
        self._command: Client = Pipe(client, is_read) if self.is_plain else Client(client)
        # A client may send a command once more whose answer was lost, and it may have been done the first time.
        self.repeats = not self.is_plain or has_retries(client)
        warn_of_eviction(client)

    # --- Records ----------------------------------------------------------------------------------------------------

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        try:
            record = self._load(key, ttl)
            if ttl is not None and record is not None and record[:1] == MOVED:
                # What a session has left behind does not live as long as the session, whoever still comes for it.
                self._command("EXPIRE", key, str(MOVED_TTL))
        except self.errors as error:
            if is_wrong_type(error):
                return b""
            raise failed(error) from error
        return record

    def _load(self, key: str, ttl: int | None) -> bytes | None:
        # Not by GET, for which a client may ask a replica, or a cache of its own, that does not know the latest.
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

    def expires_in(self, key: str) -> int | None:
        seconds = self._try("TTL", key)
        return seconds if isinstance(seconds, int) and seconds >= 0 else None

    # --- Owners -----------------------------------------------------------------------------------------------------

    def enlist(self, owner: str, handle: str, key: str, ttl: int, renew: bool) -> bool:
        life, only = str(ttl), "1" if renew else "0"
        # The list before the place: what the next owner finds in its place is on a list by then, and taken off that.
        if not self._try_script(ENLIST, owner, handle, life, only):
            return False
        found = self._try_script(PLACE, self._place_key(handle), f"{owner} ", f"{key} ", life, only)
        former, _ = place_in(found)
        if former is None or former == owner:
            return True
        # One that is renewed has been listed by another owner a moment ago; and one that is listed, by another before.
        self._try("ZREM", owner if renew else former, handle)
        return not renew

    def is_listed(self, owner: str, handle: str, record: bytes) -> bool:
        if self.is_plain:
            # A third of what the script takes the server. Its clock has set the end, which is the record's as a rule.
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
                # It may have moved since, which its place says if it is still there.
                latest = place[1] if place[0] == owner else None
                self.delete(*{key, latest or key})
                return True
            before = owner
            owner, key = self._place_of(handle)
            if owner == before:
                return False
        raise SessionStoreError(f"a session changed its user {ATTEMPTS} times during one command")

    def _taken_off(self, owner: str, handle: str) -> Place | None:
        """Take a session off a list, and return its place; ``None`` if it was not on it.

        In that case whoever has taken it off is about to look where it is.
        """
        if not self._try("ZREM", owner, handle):
            return None
        return place_in(self._try_script(FORGET, self._place_key(handle), f"{owner} "))

    def _place_of(self, handle: str) -> Place:
        return place_in(self._try_script(LOAD, self._place_key(handle), "0"))

    def end_all(self, owner: str, keep: t.Collection[str] = ()) -> int:
        ended = [text(handle) for handle in t.cast("list[bytes | str]", self._try_script(KEEP, owner, *keep))]
        # None of them is listed any more. What follows gives back room, and keeps nothing from ending.
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
    """Whether it does no harm to send a command twice, whatever happens in between."""
    return command[0] in READING_COMMANDS or (command[0] in ("EVALSHA", "EVAL") and command[1] in READING_SCRIPTS)


def place_in(reply: Reply) -> Place:
    """The owner and the key that the place of a handle says."""
    owner, _, key = text(t.cast("bytes | str | None", reply) or b"").partition(" ")
    return (owner, key.rstrip()) if key else (None, None)


def text(reply: bytes | str) -> str:
    return reply if isinstance(reply, str) else reply.decode()


def failed(error: Exception) -> SessionStoreError:
    # Its text may quote the key, and with it the id. Who looks for the cause finds it there.
    return SessionStoreError(f"Redis command failed: {type(error).__name__}")


def is_wrong_type(error: Exception) -> bool:
    # In the midst of it where a script has met it.
    return "WRONGTYPE" in str(error)


def is_unknown_command(error: Exception) -> bool:
    """Whether the server has not got a command, by its own word, or by that of a client of a cluster."""
    words = str(error).lower()
    return words.startswith("unknown command") or "command doesn't exist" in words


# --- At start -------------------------------------------------------------------------------------------------------

URL_SCHEMES = ("redis://", "rediss://", "unix://")

#: What is found out about a server at start may take so many seconds.
PROBE_TIMEOUT = 1


def client_from_url(url: str) -> Redis:
    """Return a client for a URL such as ``redis://:password@host:6379/0``; raise :exc:`ValueError` if it is wrong.

    The text of the error does not quote the URL, which may have a password in it.
    """
    if not url.startswith(URL_SCHEMES):
        raise ValueError(f"SESSION_REDIS must be a URL that begins with {', '.join(URL_SCHEMES)}, or a client")
    try:
        client: Redis = Redis.from_url(url)
        pool = client.connection_pool
        # Made, and not opened. An option that there is not would come to light with the first request.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, AttributeError, RedisError) as error:
        raise ValueError(f"SESSION_REDIS is a URL that redis-py cannot use ({type(error).__name__})") from None
    return client


def has_retries(client: Redis) -> bool:
    options = client.connection_pool.connection_kwargs
    retry = options.get("retry")
    return any(map(options.get, ("retry_on_error", "retry_on_timeout"))) or (retry and retry.get_retries()) not in (
        None,
        0,
    )


def warn_of_eviction(client: t.Any) -> None:
    """Log a warning if Redis is set up to drop sessions when it is short of memory."""
    try:
        found = settings_of(client)
    except Exception:
        # It is away, or does not say such things to everybody. Not to know is no fault.
        return
    policy = found.get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and found.get("maxmemory", "0") != "0":
        log.warning(
            "Redis has maxmemory set and the maxmemory-policy %r: when it is full it drops sessions, which logs"
            " visitors out. Use noeviction, and a Redis that is not also a cache.",
            policy,
        )


def settings_of(client: t.Any) -> dict[str, str]:
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        reply = client.execute_command("CONFIG GET", "maxmemory*")
    else:
        # On a connection of its own, which no process that is forked later has as well, and without a long wait.
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
