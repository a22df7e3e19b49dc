"""Sessions in memcached."""

from __future__ import annotations

import os
import pickle
import time
import typing as t
from copy import copy

from pymemcache import Client
from pymemcache import HashClient
from pymemcache import PooledClient
from pymemcache.exceptions import MemcacheError
from pymemcache.serde import FLAG_PICKLE

from .store import SessionStoreError

#: Longer times memcached takes for a moment in seconds since 1970.
LONGEST_TTL = 30 * 24 * 60 * 60

#: So often a change that was overtaken by another is tried again before it is an error.
ATTEMPTS = 64


class MemcachedStore:
    """Keeps sessions by a pymemcache client: ``PooledClient``, ``HashClient`` or ``Client``.

    Memcached forgets what it has no room for: a session may be gone at any time.
    """

    def __init__(self, client: t.Any) -> None:
        if not isinstance(client, (Client, PooledClient, HashClient)):
            raise ValueError(
                "SESSION_MEMCACHED is to be a client such as pymemcache.PooledClient((host, port), no_delay=True), and"
                f" is {type(client).__module__}.{type(client).__qualname__}"
            )
        check(client)
        self.client = client
        self.servers = (
            {name: Connections(one) for name, one in client.clients.items()} if isinstance(client, HashClient) else {}
        )
        self.server = None if self.servers else Connections(client)

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        data = self._call("get", key)
        if data is not None and ttl is not None:
            # Whether it was still there does not matter: the data was.
            self._call("touch", key, expires(ttl), noreply=True)
        return data if data is None or isinstance(data, bytes) else b""

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        return bool(self._call("add", key, data, expires(ttl), noreply=False))

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        for _ in range(ATTEMPTS):
            data, token = self._call("gets", key)
            if data is None:
                return False
            if data != old:
                return isinstance(data, bytes) and data
            # What has a negative time to live is gone at once.
            swapped = self._call("cas", key, new or b"", token, -1 if new is None else expires(ttl), noreply=False)
            if swapped:
                return True
            if swapped is None:
                return False
        raise SessionStoreError(f"memcached: overtaken {ATTEMPTS} times")

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._call("delete", key, noreply=False)

    def touch(self, key: str, ttl: int) -> bool:
        return bool(self._call("touch", key, expires(ttl), noreply=False))

    def _call(self, method: str, key: str, *args: object, **options: bool) -> t.Any:
        # Not by the HashClient itself: while a server is away it answers without asking, and turns to others later.
        server = self.server or self.servers.get(self.client.hasher.get_node(key))
        if server is None:
            raise SessionStoreError("memcached: the client has none of its servers left")
        try:
            return server.call(method, key, *args, **options)
        except (MemcacheError, OSError) as error:
            raise SessionStoreError(f"memcached did not do what it was asked: {type(error).__name__}") from error


class Connections:
    """Connections to one server, as a client makes them: one for each call that is under way."""

    def __init__(self, client: t.Any) -> None:
        self.client = client
        self.process = os.getpid()
        self.idle: list[Client] = []

    def call(self, method: str, *args: object, **options: bool) -> t.Any:
        connection = self.take()
        try:
            return getattr(connection, method)(*args, **options)
        except BaseException:
            # An answer may still be on its way to somebody else.
            connection.close()
            raise
        finally:
            self.idle.append(connection)

    def take(self) -> Client:
        if self.process != os.getpid():
            self.idle, self.process = [], os.getpid()
        try:
            return self.idle.pop()
        except IndexError:
            return self.another()

    def another(self) -> Client:
        if isinstance(self.client, PooledClient):
            try:
                return t.cast(Client, self.client.client_pool.get())
            except RuntimeError as error:
                raise MemcacheError(str(error)) from error
        connection = copy(self.client)
        connection.sock = None
        return connection


def expires(ttl: int | None) -> int:
    if ttl is None:
        return 0
    return ttl if ttl <= LONGEST_TTL else int(time.time()) + ttl


def check(client: t.Any) -> None:
    if getattr(client, "ignore_exc", False):
        raise ValueError("SESSION_MEMCACHED ignores errors (ignore_exc), and would lose sessions without a word")
    options = getattr(client, "default_kwargs", {})
    serde = getattr(client, "serde", None) or options.get("serde")
    for deserialize in (getattr(serde, "deserialize", None), options.get("deserializer")):
        if deserialize is not None and unpickles(deserialize):
            raise ValueError("SESSION_MEMCACHED has a serde that unpickles what it finds; give it a client without one")


def unpickles(deserialize: t.Callable[[str, bytes, int], object]) -> bool:
    """Whether it takes a pickle for what is in it, where the flag of pymemcache says that it is one."""
    try:
        return deserialize("key", pickle.dumps(["probe"]), FLAG_PICKLE) == ["probe"]
    except Exception:
        return False
