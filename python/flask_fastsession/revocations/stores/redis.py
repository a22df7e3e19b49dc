"""Revocations in Redis, in Valkey, or in any other server with their protocol: a stream under one key."""

from __future__ import annotations

import secrets
import typing as t

from ...server.store import SessionStoreError
from ...server.stores.redis import client_from_url
from ...server.stores.redis_connections import Errors
from ...server.stores.redis_connections import errors
from ...server.stores.redis_connections import is_client
from ..entry import Cursor

# The first entry of the stream, 0-1, has the generation. The others get their numbers from the script, so that they
# rise even if the server's clock is set back, and fit into one integer. Each has its end in seconds since 1970.

#: The number of the last entry, and the generation: that of the stream, and the run id of the server.
PLACE = """
local function place()
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    local last = '0'
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then last = string.match(info[i + 1], '^%d+') end
    end
    local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
    return last, redis.call('XRANGE', KEYS[1], '0-1', '0-1')[1][2][2] .. '.' .. run
end
"""

# ARGV is the entry, its ttl in seconds, and the generation for a new stream.
ADD = (
    PLACE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('XADD', KEYS[1], '0-1', 'generation', ARGV[3]) end
local time = redis.call('TIME')
local now = tonumber(time[1])
local last, generation = place()
local number = string.format('%.0f', math.max(tonumber(last) + 1, now * 1000000 + time[2]))
redis.call('XADD', KEYS[1], number .. '-0', 'entry', ARGV[1], 'ends', string.format('%.0f', now + ARGV[2]))
for _, old in ipairs(redis.call('XRANGE', KEYS[1], '1', '+', 'COUNT', 20)) do
    if tonumber(old[2][4]) > now then break end
    redis.call('XDEL', KEYS[1], old[1])
end
local ttl = tonumber(ARGV[2]) + 1
if redis.call('TTL', KEYS[1]) < ttl then redis.call('EXPIRE', KEYS[1], string.format('%.0f', ttl)) end
return {number, generation}
"""
)

# ARGV is the number after which to return entries, its generation, and how many to return at most.
SINCE = (
    PLACE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return {'0', '', {}} end
local last, generation = place()
local after = ARGV[1]
if ARGV[2] ~= generation or tonumber(after) > tonumber(last) then after = '0' end
local first = after == '0' and '1' or after .. '-1'
local found = {}
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], first, '+', 'COUNT', ARGV[3])) do
    found[i] = {string.match(entry[1], '^%d+'), entry[2][2]}
end
return {last, generation, found}
"""
)

#: How many entries one command reads at most, so that other clients do not wait for long.
AT_ONCE = 10_000


class RedisRevocations:
    """Keeps revocations in Redis, in a stream at ``key``, which Redis must not evict.

    ``client`` is a client of redis-py or a compatible one, such as valkey-py's, or a URL. Any other object raises
    :exc:`ValueError`. The client's time limits and retries apply. The generation changes after a failover or a restart,
    because the server may lack the latest entries.
    """

    def __init__(self, client: t.Any, key: str = "fastsession:revocations") -> None:
        if isinstance(client, str):
            client = client_from_url(client)
        if not is_client(client):
            raise ValueError(
                "the store of Revocations is a URL, or a client such as redis.Redis(host=...), redis.RedisCluster(...)"
                f" or that of Sentinel's master_for(...), not {type(client).__module__}.{type(client).__qualname__}"
            )
        self.client = client
        self.key = key
        self.errors: Errors = (
            *errors("RedisError", "RedisClusterException", "ValkeyError", "ValkeyClusterException"),
            OSError,
        )

    def add(self, entry: str, ttl: int) -> Cursor:
        number, generation = self._run(ADD, entry, str(ttl), secrets.token_urlsafe(16))
        return Cursor(int(number), text(generation))

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        after, known = cursor or Cursor(0, "")
        entries: list[tuple[int, str]] = []
        while True:
            last, generation, found = self._run(SINCE, str(after), known, str(AT_ONCE))
            generation = text(generation)
            if entries and generation != known:
                # The list was lost in between.
                return self.since(None)
            entries += [(int(number), text(entry)) for number, entry in found]
            if len(found) < AT_ONCE:
                return entries, Cursor(int(last), generation)
            after, known = entries[-1][0], generation

    def _run(self, script: str, *arguments: str) -> t.Any:
        try:
            return self.client.execute_command("EVAL", script, 1, self.key, *arguments)
        except self.errors as error:
            raise SessionStoreError(f"the store of revocations in Redis failed: {type(error).__name__}") from error


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
