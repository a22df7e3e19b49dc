"""How :class:`RedisStore` sends commands: by the client itself, or past it on connections made like the client's."""

from __future__ import annotations

import gc
import math
import os
import sys
import typing as t
import weakref
from collections.abc import Sequence
from contextlib import suppress
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

Command: t.TypeAlias = "tuple[str | bytes, ...]"
Reply: t.TypeAlias = "bytes | int | float | list[t.Any] | None"
Errors: t.TypeAlias = "tuple[type[Exception], ...]"

#: A connection that was used so lately is taken for open. To ask each time costs a tenth of a command.
SECONDS_TRUSTED = 0.5

#: Commands that are sent together, so that neither side waits for the other with its buffers full.
BATCH = 500

#: Garbage is collected so often at most, if there seem to be no connections left.
SECONDS_TO_COLLECT = 1

#: That of redis-py's own pool, where another count is kept.
NO_LIMIT = 2**31

#: Before redis-py 6.3 it has no class of its own.
TooManyConnections: type[ConnectionError] = getattr(redis.exceptions, "MaxConnectionsError", ConnectionError)


class Client:
    """Sends commands by a client's ``execute_command``, as whoever has made the client might."""

    def __init__(self, client: t.Any) -> None:
        self.client = client

    def __call__(self, *command: str | bytes) -> Reply:
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

    An exception may come up between any two instructions, from the handler of a signal. So a line is in ``idle`` or
    belongs to one call alone, nothing is locked, and what a call loses on its way is closed and no longer counted.
    ``idle`` gets a line back only once all replies to what was sent have been read.
    """

    def __init__(self, client: Redis, is_read: t.Callable[[Command], bool]) -> None:
        super().__init__(client)
        self.attributes = vars(client)
        self.own_function: object = None
        self.is_read = is_read
        # Its own are for the app, which would run out of connections.
        self.pool = Pool(client.connection_pool)
        self.process = os.getpid()
        #: What nobody uses.
        self.idle: list[Line] = []

    def __call__(self, *command: str | bytes) -> Reply:
        if not self.is_bare():
            return super().__call__(*command)
        line = self.take()
        connection = line.connection
        try:
            send(connection, command)
            reply = connection.read_response(disable_decoding=True)
        except RedisError as error:
            if isinstance(error, ResponseError) and not is_retried(connection, error):
                # It was answered in full.
                self._back(line)
                raise
            return t.cast(Reply, self._after(error, line, [command])[0])
        except BaseException:
            self._drop(line)
            raise
        line.used_at = monotonic()
        self.idle.append(line)
        return t.cast(Reply, reply)

    def batch(self, commands: Sequence[Command]) -> list[Reply]:
        if not self.is_bare():
            return super().batch(commands)
        replies: list[Reply] = []
        for start in range(0, len(commands), BATCH):
            part = commands[start : start + BATCH]
            line = self.take()
            try:
                found = exchanged(line.connection, part)
            except RedisError as error:
                found = self._after(error, line, part)
            except BaseException:
                self._drop(line)
                raise
            else:
                self._back(line)
            replies += found
        return replies

    def is_bare(self) -> bool:
        """Whether redis-py's own function would be called."""
        function = Redis.execute_command
        is_own = function is self.own_function or self._is_own(function)
        return is_own and "execute_command" not in self.attributes

    def _is_own(self, function: object) -> bool:
        # A function that wraps another one may have its name, its module and its attributes, but not its globals.
        if type(function) is FunctionType and function.__globals__ is vars(redis.client):
            self.own_function = function
            return True
        return False

    def take(self) -> Line:
        """Return a line that is open, and that nobody else has."""
        if self.process != os.getpid():
            self.idle, self.pool.made, self.process = [], {}, os.getpid()
        try:
            line = self.idle.pop()
        except IndexError:
            line = self.pool.another()
        else:
            connection = line.connection
            is_rested = monotonic() - line.used_at > SECONDS_TRUSTED
            if not (connection.should_reconnect() or (is_rested and is_stale(connection))):
                return line
        try:
            line.connection.disconnect()
            line.connection.connect()
        except BaseException:
            self._drop(line)
            raise
        return line

    def _after(self, error: RedisError, line: Line, commands: Sequence[Command]) -> list[t.Any]:
        """What becomes of commands that have met an error: they are sent again as the client's ``Retry`` has it.

        What only reads is sent again once in any case if the line had been closed before.
        """
        connection = line.connection
        errors = [error]

        def attempt() -> list[t.Any] | RedisError:
            if errors:
                raise errors.pop()
            try:
                connection.connect()
            except RedisError as unreachable:
                # That has been tried as often as the client's Retry allows.
                return unreachable
            return exchanged(connection, commands)

        found: list[t.Any] | RedisError | None = None
        try:
            if isinstance(error, ConnectionError):
                # A server that has closed one has closed all, as a rule.
                self.idle = []
                if line.used_at and all(map(self.is_read, commands)):
                    connection.disconnect()
                    errors.clear()
                    try:
                        found = attempt()
                    except ConnectionError as another:
                        errors.append(another)
            if found is None:
                found = connection.retry.call_with_retry(attempt, lambda _: connection.disconnect())
            if isinstance(found, RedisError):
                raise found
        except ResponseError:
            # It was answered in full.
            self._back(line)
            raise
        except BaseException:
            self._drop(line)
            raise
        finally:
            # An error that is raised refers to this frame. If that refers to the error, the line is not gone in time.
            del error
            errors.clear()
            if isinstance(found, RedisError):
                found = None
        self._back(line)
        return t.cast("list[t.Any]", found)

    def _back(self, line: Line) -> None:
        if line.connection._sock is not None:
            line.used_at = monotonic()
            self.idle.append(line)

    def _drop(self, line: Line) -> None:
        self.pool.forget(line)
        line.connection.disconnect()


class Line:
    """A connection, which is closed as soon as nobody has the line any more.

    The connection itself is not gone by then: redis-py's refer to themselves.
    """

    __slots__ = ("__weakref__", "connection", "used_at")

    def __init__(self, connection: t.Any) -> None:
        self.connection = connection
        #: When it was used last, by the clock of :func:`time.monotonic`; zero if never.
        self.used_at = 0.0

    def __del__(self) -> None:
        # There may be none yet, and not much of anything when the process ends.
        with suppress(Exception):
            self.connection.disconnect()


class Pool(ConnectionPool):
    """Makes connections as a client's pool does, and counts those that somebody still has."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.limit = pool.max_connections
        self.made: dict[int, weakref.ref[Line]] = {}
        self.numbers = count()
        self.collected_at = -math.inf
        super().__init__(pool.connection_class, NO_LIMIT, **{"command_packer": packer, **pool.connection_kwargs})

    def another(self) -> Line:
        line = Line(self.make_connection())
        number = next(self.numbers)
        self.made[number] = weakref.ref(line)
        if len(self.made) > self.limit:
            self.forget(None)
            if len(self.made) > self.limit and monotonic() - self.collected_at > SECONDS_TO_COLLECT:
                # Some may be lost among what refers to itself, as errors do that have come up amid others.
                self.collected_at = monotonic()
                gc.collect()
                self.forget(None)
            # Of threads that get here at the same moment those are too many that came last.
            if list(self.made).index(number) >= self.limit:
                self.made.pop(number)
                raise TooManyConnections("Too many connections")
        return line

    def forget(self, line: Line | None) -> None:
        """Count one no more, nor those that are gone."""
        for number, reference in list(self.made.items()):
            if reference() in (None, line):
                self.made.pop(number, None)

    def _get_in_use_connections(self) -> set[t.Any]:
        # Asked by redis-py when a server gives notice that it will move or be away.
        return {line.connection for reference in list(self.made.values()) if (line := reference()) is not None}


def exchanged(connection: t.Any, commands: Sequence[Command]) -> list[t.Any]:
    """Send commands, and read all their replies; raise the first error among these, after that."""
    connection.send_packed_command(connection.pack_commands(commands))
    replies: list[t.Any] = []
    for _ in commands:
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except ResponseError as error:
            replies.append(error)
    try:
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
    except ResponseError:
        del reply
        replies.clear()
        raise
    return replies


try:
    from hiredis import pack_command
    from redis.connection import HiredisRespSerializer
except ImportError:
    packer = None

    def send(connection: t.Any, command: Command) -> None:
        connection.send_command(*command)

else:

    class Packer(HiredisRespSerializer):
        """Gives hiredis no numbers: with hiredis 3.5 the process dies if the handler of a signal raises meanwhile."""

        def pack(self, *args: t.Any) -> t.Any:
            texts: list[t.Any] = [repr(arg) if type(arg) in (int, float) else arg for arg in args]
            return super().pack(*texts)

    packer = Packer()

    def send(connection: t.Any, command: Command) -> None:
        connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]


def is_retried(connection: t.Any, error: ResponseError) -> bool:
    """Whether the client's ``Retry`` has something done again that was answered by this error."""
    return isinstance(error, getattr(connection.retry, "_supported_errors", ()))


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
