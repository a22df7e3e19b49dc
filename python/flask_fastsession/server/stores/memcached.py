"""Sessions in memcached."""

from __future__ import annotations

import math
import os
import pickle
import re
import time
import typing as t
import weakref
from collections import defaultdict
from copy import copy
from copy import deepcopy
from functools import partial

from pymemcache import Client
from pymemcache import HashClient
from pymemcache import PooledClient
from pymemcache.exceptions import MemcacheError
from pymemcache.exceptions import MemcacheUnexpectedCloseError
from pymemcache.serde import FLAG_PICKLE

from ..owners import OwnerRecords
from ..store import SessionStoreError

#: In seconds. Memcached treats a larger number as a time in seconds since 1970.
LONGEST_TTL = 30 * 24 * 60 * 60

#: The last time that memcached accepts, in January 2038. A later one is an error, or in the past.
LAST_MOMENT = 2**31 - 1

#: How many times a change that other requests overtake is tried before it is an error.
ATTEMPTS = 64


#: How many records are deleted before the replies are read.
AT_ONCE = 500

#: A server in a URL, and the port if it names none.
SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
PORT = 11211

#: For how many seconds a client that is made from a URL waits for a server.
TIMEOUT = 3.0


class MemcachedStore(OwnerRecords):
    """Keeps sessions in memcached. ``client`` is pymemcache's ``PooledClient``, ``HashClient`` or ``Client``.

    Memcached drops records when it needs room, so a session may be gone at any time. The 1 000 newest sessions of a
    user are listed. A client that cannot be used, ignores errors or unpickles data raises :exc:`ValueError`.
    """

    def __init__(self, client: t.Any) -> None:
        if not isinstance(client, (Client, PooledClient, HashClient)):
            raise ValueError(
                "SESSION_MEMCACHED must be a client such as pymemcache.PooledClient((host, port), no_delay=True), not"
                f" {type(client).__module__}.{type(client).__qualname__}"
            )
        check(client)
        self.server_of = servers_of(client) if isinstance(client, HashClient) else only(Connections(client))

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        data, version = self._call("gets", key)
        if data is not None and ttl is not None:
            # The reply does not matter, since the data was read.
            self._call("touch", key, expires(ttl), noreply=True)
        if data is None:
            return None
        return Versioned.of(data, version) if isinstance(data, bytes) else b""

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        return bool(self._call("add", key, data, expires(ttl), noreply=False))

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        version = old.version if isinstance(old, Versioned) else None
        for _ in range(ATTEMPTS):
            if version is None:
                data, version = self._call("gets", key)
                if data is None:
                    return False
                if data != old:
                    return isinstance(data, bytes) and Versioned.of(data, version)
            # A record with a negative time to live expires at once.
            swapped = self._call("cas", key, new or b"", version, -1 if new is None else expires(ttl), noreply=False)
            if swapped:
                return True
            if swapped is None:
                return False
            version = None
        raise SessionStoreError(f"memcached: other requests changed a record {ATTEMPTS} times first")

    def delete(self, *keys: str) -> None:
        keys_by_server: dict[Connections, list[str]] = defaultdict(list)
        for key in keys:
            keys_by_server[self.server_of(key)].append(key)
        for server, its_keys in keys_by_server.items():
            for first in range(0, len(its_keys), AT_ONCE):
                self._call_on(server, "delete_many", its_keys[first : first + AT_ONCE], noreply=False)

    def _call(self, method: str, key: str, *args: object, **options: bool) -> t.Any:
        return self._call_on(self.server_of(key), method, key, *args, **options)

    def _call_on(self, server: Connections, method: str, *args: object, **options: bool) -> t.Any:
        try:
            return server.call(method, *args, **options)
        except (MemcacheError, OSError) as error:
            raise SessionStoreError(f"memcached command failed: {type(error).__name__}") from error


class Versioned(bytes):
    """A record with its cas unique, so that it need not be loaded again before it is replaced."""

    version: bytes

    @classmethod
    def of(cls, data: bytes, version: bytes) -> Versioned:
        self = cls(data)
        self.version = version
        return self


def servers_of(client: HashClient) -> t.Callable[[str], Connections]:
    """Return a function that returns the server for a key, even if that server does not answer.

    The client and its hasher use another server while one fails, and return to it later. A session that was ended on
    the other server meanwhile would then come back.
    """
    servers = {name: Connections(one) for name, one in client.clients.items()}
    hasher = deepcopy(client.hasher)
    for name in servers:
        hasher.add_node(name)
    return lambda key: servers[hasher.get_node(key)]


def only(server: Connections) -> t.Callable[[str], Connections]:
    return lambda key: server


class Connections:
    """Connections to one server, made as a client makes them: one for each call that is under way.

    They do not belong to the client, whose pool would run out of connections while they are idle here.

    A signal or a timeout of gevent may raise an exception between any two instructions. So nothing is counted, locked
    or marked that would have to be undone. A connection is in ``idle`` while no reply is awaited, and otherwise in a
    local variable. If an exception drops it, it is closed when it is freed, which also removes it from ``alive``.
    """

    def __init__(self, client: t.Any) -> None:
        self.client = client
        pool = getattr(client, "client_pool", None)
        self.most: float = math.inf if pool is None else pool.max_size
        self.begin()

    def begin(self) -> None:
        self.idle: list[Client] = []
        self.alive: dict[int, weakref.ref[Client]] = {}
        # Last, so that all of this is repeated if an exception interrupts it.
        self.process = os.getpid()

    def call(self, method: str, *args: object, **options: bool) -> t.Any:
        if self.process != os.getpid():
            self.begin()
        connection = self.rested()
        if connection is not None:
            try:
                return self.call_on(connection, method, *args, **options)
            except (MemcacheUnexpectedCloseError, ConnectionError):
                # The server has closed this idle connection, and so probably the others, too.
                while (connection := self.rested()) is not None:
                    connection.close()
                if method != "gets":
                    raise
        return self.call_on(self.another(), method, *args, **options)

    def rested(self) -> Client | None:
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def call_on(self, connection: Client, method: str, *args: object, **options: bool) -> t.Any:
        try:
            reply = getattr(connection, method)(*args, **options)
        except BaseException:
            # The reply may still arrive, and the next call would read it. Closed here, because the traceback of the
            # exception may keep the connection alive.
            self.alive.pop(id(connection), None)
            connection.close()
            raise
        self.idle.append(connection)
        return reply

    def another(self) -> Client:
        if isinstance(self.client, PooledClient):
            connection = self.client._create_client()
        else:
            connection = copy(self.client)
            connection.sock = None
        # The callback gets the reference, which `pop` takes as its default. None of this is Python code, so that no
        # handler of a signal can run in between.
        self.alive[id(connection)] = weakref.ref(connection, partial(self.alive.pop, id(connection)))
        if len(self.alive) > self.most:
            del self.alive[id(connection)]
            raise MemcacheError(f"{self.most} calls are under way, as many as max_pool_size allows")
        return t.cast(Client, connection)


def client_at(url: str) -> PooledClient | HashClient:
    """Make a client from ``memcached://host:port``, or from ``memcached://host:port,host:port`` for several servers.

    Raise :exc:`ValueError` for any other text.
    """
    scheme, _, hosts = url.partition("://")
    servers = [server_in(host) for host in hosts.removesuffix("/").split(",")]
    if scheme.lower() != "memcached" or not all(servers):
        # The text is not quoted, because there may be a password in it.
        raise ValueError(
            "SESSION_MEMCACHED must be a client of pymemcache or a URL such as memcached://localhost:11211, or"
            " memcached://one:11211,two:11211 for several servers"
        )
    options = {"no_delay": True, "connect_timeout": TIMEOUT, "timeout": TIMEOUT}
    if len(servers) == 1:
        return PooledClient(servers[0], **options)
    return HashClient(servers, use_pooling=True, **options)


def server_in(text: str) -> tuple[str, int] | None:
    found = SERVER.fullmatch(text)
    if found is None:
        return None
    address, name, port = found.groups()
    number = int(port or PORT)
    return (address or name, number) if 0 < number < 2**16 else None


def expires(ttl: int | None) -> int:
    if ttl is None:
        return 0
    return ttl if ttl <= LONGEST_TTL else min(int(time.time()) + ttl, LAST_MOMENT)


def check(client: t.Any) -> None:
    if isinstance(client, HashClient) and not client.clients:
        raise ValueError("SESSION_MEMCACHED has no servers: name them when you create the client")
    if getattr(client, "ignore_exc", False):
        raise ValueError("SESSION_MEMCACHED ignores errors (ignore_exc), and would lose sessions silently")
    options = getattr(client, "default_kwargs", {})
    serde = getattr(client, "serde", None) or options.get("serde")
    for deserialize in (getattr(serde, "deserialize", None), options.get("deserializer")):
        if deserialize is not None and unpickles(deserialize):
            raise ValueError("SESSION_MEMCACHED has a serde that unpickles data: use a client without it")


def unpickles(deserialize: t.Callable[[str, bytes, int], object]) -> bool:
    """Whether ``deserialize`` loads a pickle if pymemcache's flag for pickles is set."""
    try:
        return deserialize("key", pickle.dumps(["probe"]), FLAG_PICKLE) == ["probe"]
    except Exception:
        return False
