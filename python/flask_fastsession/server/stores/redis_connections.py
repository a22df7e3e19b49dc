"""How :class:`RedisStore` sends commands: by the client itself, or past it on connections made like the client's."""

from __future__ import annotations

import os
import sys
import typing as t
import weakref
from collections.abc import Sequence
from itertools import count
from time import monotonic
from types import FunctionType

import redis.client
import redis.exceptions
from redis import ConnectionPool
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError
from redis.exceptions import RedisError
from redis.exceptions import ResponseError

Command: t.TypeAlias = "tuple[str | bytes | int, ...]"
Reply: t.TypeAlias = "bytes | int | float | list[t.Any] | None"
Errors: t.TypeAlias = "tuple[type[Exception], ...]"

#: A connection that was used so lately is taken for open. To ask each time costs a tenth of a command.
SECONDS_TRUSTED = 0.5

#: Commands that are sent together, so that neither side waits for the other with its buffers full.
BATCH = 500

#: That of redis-py's own pool, where another count is kept.
NO_LIMIT = 2**31

#: Before redis-py 6.3 it has no class of its own.
TooManyConnections: type[ConnectionError] = getattr(redis.exceptions, "MaxConnectionsError", ConnectionError)


class Client:
    """Sends commands by a client's ``execute_command``, as whoever has made the client might."""

    def __init__(self, client: t.Any) -> None:
        self.client = client

    def __call__(self, *command: str | bytes | int) -> Reply:
        # Some clients are set up to decode what they are answered.
        return t.cast(Reply, self.client.execute_command(*command, NEVER_DECODE=True))

    def batch(self, commands: Sequence[Command]) -> list[Reply]:
        """Send several commands, together where the client has pipelines."""
        if not callable(getattr(self.client, "pipeline", None)):
            return [self(*command) for command in commands]
        replies: list[Reply] = []
        for start in range(0, len(commands), BATCH):
            with self.client.pipeline(transaction=False) as pipeline:
                for command in commands[start : start + BATCH]:
                    pipeline.execute_command(*command, NEVER_DECODE=True)
                replies += pipeline.execute()
        return replies


class Pipe(Client):
    """Sends commands on connections made as those of a client's pool, without what the client does around them.

    That is for as long as ``execute_command`` is redis-py's own. Where somebody has put something in its place, such as
    OpenTelemetry or Sentry, before or after this was made, it is called.

    An exception may come up between any two instructions, from the handler of a signal. So a connection is in ``idle``
    or belongs to one call alone, nothing is locked, and what a call loses on its way is closed and no longer counted.
    ``idle`` gets it back only once all replies to what it was sent have been read.
    """

    def __init__(self, client: Redis, is_read: t.Callable[[Command], bool]) -> None:
        super().__init__(client)
        self.attributes = vars(client)
        self.own_function: object = None
        self.is_read = is_read
        # Its own are for the app, which would run out of connections.
        self.pool = Pool(client.connection_pool)
        self.process = os.getpid()
        #: The connections that nobody uses, and since when.
        self.idle: list[tuple[t.Any, float]] = []

    def __call__(self, *command: str | bytes | int) -> Reply:
        function = Redis.execute_command
        if (function is not self.own_function and not self._is_own(function)) or "execute_command" in self.attributes:
            return super().__call__(*command)
        connection, since = self.take()
        try:
            send(connection, command)
            reply = connection.read_response(disable_decoding=True)
        except RedisError as error:
            return t.cast(Reply, self._after(error, connection, since is not None, [command])[0])
        except BaseException:
            self._drop(connection)
            raise
        self.idle.append((connection, monotonic()))
        return t.cast(Reply, reply)

    def batch(self, commands: Sequence[Command]) -> list[Reply]:
        function = Redis.execute_command
        if not self._is_own(function) or "execute_command" in self.attributes:
            return super().batch(commands)
        replies: list[Reply] = []
        for start in range(0, len(commands), BATCH):
            part = commands[start : start + BATCH]
            connection, since = self.take()
            try:
                replies += exchanged(connection, part)
            except RedisError as error:
                replies += self._after(error, connection, since is not None, part)
                continue
            except BaseException:
                self._drop(connection)
                raise
            self.idle.append((connection, monotonic()))
        return replies

    def _is_own(self, function: object) -> bool:
        # A function that wraps another one may have its name, its module and its attributes, but not its globals.
        if type(function) is FunctionType and function.__globals__ is vars(redis.client):
            self.own_function = function
            return True
        return False

    def take(self) -> tuple[t.Any, float | None]:
        """Return a connection that is open, and since when it was not used; ``None`` if it is new."""
        if self.process != os.getpid():
            self.idle, self.pool.made, self.process = [], {}, os.getpid()
        try:
            connection, since = self.idle.pop()
        except IndexError:
            connection = self.pool.another()
            try:
                connection.connect()
            except BaseException:
                self._drop(connection)
                raise
            return connection, None
        if connection.should_reconnect() or (monotonic() - since > SECONDS_TRUSTED and is_stale(connection)):
            try:
                connection.disconnect()
                connection.connect()
            except BaseException:
                self._drop(connection)
                raise
        return connection, since

    def _after(self, error: RedisError, connection: t.Any, is_used: bool, commands: Sequence[Command]) -> list[t.Any]:
        """What becomes of commands that have met an error: they are sent again as the client's ``Retry`` has it.

        One that only reads is sent again once in any case if the connection had been closed before.
        """
        errors = [error]

        def attempt() -> list[t.Any]:
            if errors:
                raise errors.pop()
            return self._repeated(connection, commands)

        try:
            if isinstance(error, ConnectionError):
                # A server that has closed one as a rule has closed all.
                self.idle = []
                if is_used and all(map(self.is_read, commands)):
                    errors.clear()
                    connection.disconnect()
                    try:
                        return self._back(connection, attempt())
                    except ConnectionError as another:
                        errors.append(another)
            replies = connection.retry.call_with_retry(attempt, lambda _: connection.disconnect())
            return self._back(connection, replies)
        except Unreachable as unreachable:
            self._drop(connection)
            raise unreachable.error from None
        except ResponseError:
            # It was answered in full.
            self._back(connection, [])
            raise
        except BaseException:
            self._drop(connection)
            raise

    def _repeated(self, connection: t.Any, commands: Sequence[Command]) -> list[t.Any]:
        try:
            connection.connect()
        except RedisError as error:
            # That has been tried as often as the client's Retry allows.
            raise Unreachable(error) from error
        return exchanged(connection, commands)

    def _back(self, connection: t.Any, replies: list[t.Any]) -> list[t.Any]:
        if connection._sock is not None:
            self.idle.append((connection, monotonic()))
        return replies

    def _drop(self, connection: t.Any) -> None:
        self.pool.forget(connection)
        connection.disconnect()


class Unreachable(Exception):
    """There is no connection to be had."""

    def __init__(self, error: RedisError) -> None:
        super().__init__()
        self.error = error


class Pool(ConnectionPool):
    """Makes connections as a client's pool does, and counts those that somebody still has."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.limit = pool.max_connections
        self.made: dict[int, weakref.ref[t.Any]] = {}
        self.numbers = count()
        super().__init__(pool.connection_class, NO_LIMIT, **pool.connection_kwargs)

    def another(self) -> t.Any:
        connection = self.make_connection()
        number = next(self.numbers)
        self.made[number] = weakref.ref(connection)
        if len(self.made) > self.limit:
            self.forget(None)
            # Of threads that get here at the same moment those are too many that came last.
            if list(self.made).index(number) >= self.limit:
                self.made.pop(number)
                raise TooManyConnections("Too many connections")
        return connection

    def forget(self, connection: t.Any) -> None:
        """Count one no more, nor those that are gone."""
        for number, reference in list(self.made.items()):
            if reference() in (None, connection):
                self.made.pop(number, None)

    def _get_in_use_connections(self) -> set[t.Any]:
        # Asked by redis-py when a server gives notice that it will move or be away.
        return {connection for reference in list(self.made.values()) if (connection := reference()) is not None}


def exchanged(connection: t.Any, commands: Sequence[Command]) -> list[t.Any]:
    """Send commands, and read all their replies; raise the first error among these, after that."""
    connection.send_packed_command(connection.pack_commands(commands))
    replies = []
    error = None
    for _ in commands:
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except ResponseError as response:
            error = error or response
    if error is not None:
        raise error
    return replies


try:
    from hiredis import pack_command
except ImportError:

    def send(connection: t.Any, command: Command) -> None:
        connection.send_command(*command)

else:

    def send(connection: t.Any, command: Command) -> None:
        connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]


def is_stale(connection: t.Any) -> bool:
    """Whether the other end has closed it, or says something unasked."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def errors(*names: str) -> Errors:
    """Exceptions of redis-py and, if that is imported, of valkey-py, which has grown from it and has its own."""
    modules = [sys.modules.get(f"{package}.exceptions") for package in ("redis", "valkey")]
    return tuple(getattr(module, name) for module in modules for name in names if hasattr(module, name))


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
