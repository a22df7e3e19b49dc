"""Sessions in memcached."""

from __future__ import annotations

import os
import pickle
import threading
import time
import typing as t
from contextlib import AbstractContextManager
from contextlib import nullcontext

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
        # Threads that use one socket read each other's answers.
        is_shared = type(client) is Client
        self.turn: AbstractContextManager[t.Any] = threading.Lock() if is_shared else nullcontext()
        self.process = os.getpid()

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
                return data if isinstance(data, bytes) else False
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

    def _call(self, method: str, *args: object, **options: bool) -> t.Any:
        with self.turn:
            if self.process != os.getpid():
                self.process = os.getpid()
                self.client.close()
            try:
                return getattr(self.client, method)(*args, **options)
            except (MemcacheError, OSError) as error:
                raise SessionStoreError(f"memcached did not do what it was asked: {error}") from error


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
    return deserialize("key", pickle.dumps(["probe"]), FLAG_PICKLE) == ["probe"]
