"""How :class:`RedisStore` sends commands: with the client, or directly on connections made like the client's."""

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

#: For how many seconds after its last use a connection is assumed to be open. To check it costs a tenth of a command.
SECONDS_TRUSTED = 0.5

#: How many commands are sent together. With more, both sides could wait for each other with full buffers.
BATCH = 500

#: Garbage is collected at most once in so many seconds, if all connections seem to be in use.
SECONDS_TO_COLLECT = 1

#: The limit of redis-py's own pool, because :class:`Pool` counts its connections itself.
NO_LIMIT = 2**31

#: redis-py before 6.3 has no class for this error.
TooManyConnections: type[ConnectionError] = getattr(redis.exceptions, "MaxConnectionsError", ConnectionError)


class Client:
    """Sends commands with the ``execute_command`` of a client."""

    def __init__(self, client: t.Any) -> None:
        self.client = client

    def __call__(self, *command: str | bytes) -> Reply:
        # A client with decode_responses=True would decode the reply.
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
    """Sends commands on connections made like those of a client's pool, without what the client does around them.

    This applies as long as ``execute_command`` is redis-py's own. If something replaces it, such as OpenTelemetry or
    Sentry, before or after this object was made, the replacement is called.

    The handler of a signal may raise an exception between any two instructions. So a line is either in ``idle`` or
    belongs to one call alone, and nothing is locked. A line that a call loses is closed and no longer counted. A line
    goes back to ``idle`` only after all replies on it have been read.
    """

    def __init__(self, client: Redis, is_read: t.Callable[[Command], bool]) -> None:
        super().__init__(client)
        self.attributes = vars(client)
        self.own_function: object = None
        self.is_read = is_read
        # Not the client's own pool: the app could run out of connections there.
        self.pool = Pool(client.connection_pool)
        self.process = os.getpid()
        #: Open lines that no call uses.
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
        """Whether the client's ``execute_command`` is redis-py's own."""
        function = Redis.execute_command
        is_own = function is self.own_function or self._is_own(function)
        return is_own and "execute_command" not in self.attributes

    def _is_own(self, function: object) -> bool:
        # A wrapper may copy the name, the module and the attributes of the function, but not its globals.
        if type(function) is FunctionType and function.__globals__ is vars(redis.client):
            self.own_function = function
            return True
        return False

    def take(self) -> Line:
        """Return an open line that no other call uses."""
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
        """Send commands again after an error, as the client's ``Retry`` says, and return their replies.

        Commands that only read are sent once more in any case if the line was used before and has been closed.
        """
        connection = line.connection
        errors = [error]

        def attempt() -> list[t.Any] | RedisError:
            if errors:
                raise errors.pop()
            try:
                connection.connect()
            except RedisError as unreachable:
                # connect() has already tried as often as the client's Retry allows.
                return unreachable
            return exchanged(connection, commands)

        found: list[t.Any] | RedisError | None = None
        try:
            if isinstance(error, ConnectionError):
                # A server that has closed one connection has usually closed all.
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
            # A raised error refers to this frame. If the frame refers to the error, this cycle keeps the line alive.
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
    """A connection that is closed as soon as nothing refers to the line any more.

    The connection alone would stay open longer, because redis-py's connections are in reference cycles.
    """

    __slots__ = ("__weakref__", "connection", "used_at")

    def __init__(self, connection: t.Any) -> None:
        self.connection = connection
        #: The time of :func:`time.monotonic` when it was last used; zero if never.
        self.used_at = 0.0

    def __del__(self) -> None:
        # There may be no connection yet, and at the end of the process modules may be gone.
        with suppress(Exception):
            self.connection.disconnect()


class Pool(ConnectionPool):
    """Makes connections as a client's pool does, and counts those that are still in use."""

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
                # Some lines may be in reference cycles, as errors are that were raised while handling others.
                self.collected_at = monotonic()
                gc.collect()
                self.forget(None)
            # If several threads get here at the same time, only the last ones exceed the limit.
            if list(self.made).index(number) >= self.limit:
                self.made.pop(number)
                raise TooManyConnections("Too many connections")
        return line

    def forget(self, line: Line | None) -> None:
        """Stop counting this line, and all lines that are gone."""
        for number, reference in list(self.made.items()):
            if reference() in (None, line):
                self.made.pop(number, None)

    def _get_in_use_connections(self) -> set[t.Any]:
        # redis-py calls this when a server announces maintenance.
        return {line.connection for reference in list(self.made.values()) if (line := reference()) is not None}


def exchanged(connection: t.Any, commands: Sequence[Command]) -> list[t.Any]:
    """Send commands, and read all their replies. Then raise the first error among the replies, if there is one."""
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
        """Turns numbers into text first: hiredis 3.5 crashes if a signal handler raises while it packs a number."""

        def pack(self, *args: t.Any) -> t.Any:
            texts: list[t.Any] = [repr(arg) if type(arg) in (int, float) else arg for arg in args]
            return super().pack(*texts)

    packer = Packer()

    def send(connection: t.Any, command: Command) -> None:
        connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]


def is_retried(connection: t.Any, error: ResponseError) -> bool:
    """Whether the client's ``Retry`` repeats a command after this error."""
    return isinstance(error, getattr(connection.retry, "_supported_errors", ()))


def is_stale(connection: t.Any) -> bool:
    """Whether the server has closed a connection, or has sent something that was not asked for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


def errors(*names: str) -> Errors:
    """The exceptions with these names in redis-py and, if it is imported, in valkey-py, a fork of redis-py."""
    modules = [sys.modules.get(f"{package}.exceptions") for package in ("redis", "valkey")]
    return tuple(getattr(module, name) for module in modules for name in names if hasattr(module, name))


def is_client(client: object) -> bool:
    """Whether an object executes commands at once: not a class, a pipeline or an asyncio client."""
    is_ready = callable(getattr(client, "execute_command", None)) and not isinstance(client, (type, Pipeline))
    return is_ready and not any(".asyncio" in base.__module__ for base in type(client).__mro__)


def has_plain_pool(client: t.Any) -> bool:
    """Whether commands may bypass the client: it adds nothing to commands, and its pool adds nothing to connections."""
    if type(client) is not Redis or client.connection is not None:
        return False
    pool = client.connection_pool
    return (
        type(pool) is ConnectionPool
        # Connections of redis-py before 7.0 work differently.
        and hasattr(pool.connection_class, "should_reconnect")
        and pool.cache is None
        # A credential provider updates passwords only on the client's own connections.
        and pool.connection_kwargs.get("credential_provider") is None
    )
