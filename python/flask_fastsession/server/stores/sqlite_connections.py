"""Connections to an SQLite file: who has one, what happens to them at a fork, and which files are trusted.

A connection is handed out without a lock or a count. The handler of a signal may raise an exception between any two
instructions, which would leave a lock locked or a count wrong. So each step that must not be half done is one call of a
built-in method: ``list.pop``, ``list.append``, or setting an item of a dict.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
import time
import typing as t
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import get_ident
from weakref import WeakSet
from weakref import ref

from ..store import SessionStoreError

log = logging.getLogger("flask_fastsession")

T = t.TypeVar("T")

#: The device and the inode of a file.
File: t.TypeAlias = "tuple[int, int]"

#: The files that SQLite keeps beside a database, and trusts as it trusts the database.
SIDECARS = ("-wal", "-shm", "-journal")

#: How many times a file that others replace meanwhile is opened before it is an error.
ATTEMPTS = 5

#: A fork waits for as long as a statement may take, and for so many seconds more.
GRACE = 1.0


class Unreadable(Exception):
    """The file cannot be read without a log either."""


class Connection(sqlite3.Connection):
    """A connection with the file that it has open; ``False`` before it is ready for use and after it was closed."""

    file: File | t.Literal[False] | None = False
    #: A table to read from, to check that the connection works.
    table = "sessions"

    def close(self) -> None:
        self.file = False
        super().close()

    def __del__(self) -> None:
        # An exception may have dropped it, or its store is gone.
        if self.file is not False:
            self.close()

    def can_read(self) -> bool:
        """Roll back, and return whether the connection still works after an error."""
        try:
            if self.in_transaction:
                self.execute("ROLLBACK")
            self.execute(f"SELECT * FROM {self.table} LIMIT 1").fetchall()
        except sqlite3.Error:
            return False
        return True


class Lease:
    """One use of a connection, which a fork waits for."""

    __slots__ = ("__weakref__", "connection", "thread")

    connection: Connection | None
    thread: int

    def give_up(self) -> None:
        """Close the connection, if there is one. This may be called again after an exception has interrupted it."""
        self.give_up_connection()
        LEASES.pop(id(self), None)

    def give_up_connection(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Connections:
    """The connections of this process to a file, each used by one thread at a time.

    ``tables`` are the names of the tables that the statements in ``schema`` create.
    """

    def __init__(self, path: Path, timeout: float, tables: t.Collection[str], schema: t.Iterable[str]) -> None:
        self.path = path.absolute()
        # As text, because it is used for each statement, and converting a Path each time is slow.
        self._path = str(self.path)
        # SQLite must not create the file, because other users could read it.
        self._uri = f"{self.path.as_uri()}?mode=rw"
        self.timeout = timeout
        self._schema = schema
        self._table = next(iter(tables))
        marks = ", ".join(f"'{name}'" for name in tables)
        self._is_complete = f"SELECT count(*) = {len(tables)} FROM sqlite_master WHERE name IN ({marks})"
        self._idle: list[Connection] = []
        self._has_warned = False
        ALL.add(self)

    def run(self, work: t.Callable[..., T], *arguments: object) -> T:
        """Return what ``work(connection, *arguments)`` returns; raise :exc:`SessionStoreError` if SQLite fails.

        If ``work`` raises an exception, a transaction that it has begun is rolled back.
        """
        lease = Lease()
        lease.connection = connection = None
        lease.thread = get_ident()
        number = id(lease)
        try:
            try:
                # A `try` that begins after this line would leave one instruction outside of any `try`.
                try:
                    LEASES[number] = ref(lease)
                    # A fork that began before this has not seen the lease. One that begins later waits for it.
                    if FORKS:
                        wait_for_forks(lease)
                    connection = lease.connection = self._idle.pop()
                except IndexError:
                    pass
                if connection is None or connection.file != file_at(self._path):
                    # There is no idle connection, or the file was deleted or replaced.
                    connection = self._connect(lease)
                answer = work(connection, *arguments)
                lease.connection = None
                self._idle.append(connection)
                LEASES.pop(number, None)
                return answer
            except (sqlite3.Error, OSError) as error:
                return self._after(error, lease, work, *arguments)
        finally:
            # The lease is still there only after an exception, which may also have interrupted the code above.
            if number in LEASES:
                lease.give_up()

    def _after(self, error: Exception, lease: Lease, work: t.Callable[..., T], *arguments: object) -> T:
        """Try again if that may help, or else raise :exc:`SessionStoreError`. Keep a connection that can still read."""
        if is_raised_by_signal(error):
            raise error
        try:
            if is_unopened(error, lease.connection):
                return self._read_at_rest(lease, work, *arguments)
            if self._is_mended(error, lease):
                answer = work(lease.connection, *arguments)
                self._give_back(lease)
                return answer
        except Unreadable:
            pass
        except (sqlite3.Error, OSError) as second:
            error = second
        if is_harmless(error, lease.connection):
            self._give_back(lease)
        lease.give_up()
        raise SessionStoreError(f"the store {self.path.name} failed: {error}") from error

    def _is_mended(self, error: Exception, lease: Lease) -> bool:
        """Whether the cause of the error may have been removed, so that another attempt is useful."""
        connection = lease.connection
        if connection is None or not is_harmless(error, connection):
            return False
        if "readonly" in str(error) or "no such table" in str(error):
            # When the file was opened, it was read-only, or the disk was too full for a new table. That may be over.
            lease.connection = None
            try:
                self._connect(lease)
            except BaseException:
                if lease.connection is not None:
                    lease.connection.close()
                lease.connection = connection
                raise
            connection.close()
            return True
        if "full" in str(error):
            # After a checkpoint SQLite uses the space of the log again.
            connection.execute("PRAGMA wal_checkpoint")
            return True
        return False

    def _read_at_rest(self, lease: Lease, work: t.Callable[..., T], *arguments: object) -> T:
        """Read a file that cannot be opened as usual, because there is no room for a log; raise :exc:`Unreadable`.

        If there is no log, or an empty one, all data is in the file itself. If that is still so afterwards, and the
        file has not changed, then nobody has written to it in between.
        """
        before = self._at_rest()
        if before is None:
            raise Unreadable
        try:
            lease.give_up_connection()
            connection = lease.connection = self._open(f"{self._uri}&immutable=1")
            if is_opened_by_name(connection, self._path):
                answer = work(connection, *arguments)
                if self._at_rest() == before:
                    return answer
        except sqlite3.Error as error:
            raise Unreadable from error
        raise Unreadable

    def _at_rest(self) -> tuple[int, ...] | None:
        """Values that change when the file is written to; ``None`` if there is no file, or if its log has data."""
        if self._trusted() is None:
            return None
        for sidecar in ("-wal", "-journal"):
            with suppress(FileNotFoundError):
                if os.lstat(self._path + sidecar).st_size:
                    return None
        found = os.lstat(self._path)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _give_back(self, lease: Lease) -> None:
        connection = lease.connection
        assert connection is not None
        lease.connection = None
        self._idle.append(connection)
        LEASES.pop(id(lease), None)

    def close(self) -> None:
        """Close all connections that are not in use."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    # --- Opening ----------------------------------------------------------------------------------------------------

    def _connect(self, lease: Lease) -> Connection:
        for _ in range(ATTEMPTS):
            lease.give_up_connection()
            file = self._found_or_made()
            try:
                connection = lease.connection = self._open(self._uri)
                is_complete = self._has_tables(connection)
                # By now SQLite has opened the file by its name, and nothing is written yet.
                if self._trusted() != file or not is_opened_by_name(connection, self._path):
                    continue
                self._prepare(connection, is_complete)
            except sqlite3.OperationalError:
                if self._trusted() == file:
                    raise
            else:
                # By now it has opened all its files by their names.
                if self._trusted() == file and is_opened_by_name(connection, self._path):
                    connection.file = file
                    return connection
        raise SessionStoreError(f"{self.path.name} was replaced {ATTEMPTS} times while it was opened")

    def _open(self, uri: str) -> Connection:
        # Different threads may use the connection, but only one at a time.
        connection = sqlite3.connect(
            uri, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False, factory=Connection
        )
        connection.table = self._table
        CONNECTIONS.add(connection)
        return connection

    def _has_tables(self, connection: Connection) -> bool:
        ((is_complete,),) = connection.execute(self._is_complete)
        return bool(is_complete)

    def _prepare(self, connection: Connection, is_complete: bool) -> None:
        if not is_complete:
            try:
                self._make_tables(connection)
            except sqlite3.OperationalError:
                # A file of an earlier version lacks the table of owners. If it cannot be written, it is still read.
                if not connection.can_read():
                    raise
        # If the database has all its tables, nothing in this method writes to it.
        connection.execute("PRAGMA synchronous = NORMAL")

    def _make_tables(self, connection: Connection) -> None:
        # Only possible while the file is empty. It costs nothing until pages are vacuumed.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._use_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute("COMMIT")

    def _use_wal(self, connection: Connection) -> None:
        # SQLite's own timeout does not apply to this statement.
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.002)

    # --- Files ------------------------------------------------------------------------------------------------------

    def _found_or_made(self) -> File | None:
        file = self._trusted()
        if file is None:
            self.path.parent.mkdir(mode=0o775, parents=True, exist_ok=True)
            make_file(self._path)
            file = self._trusted()
        if not self._has_warned:
            self._has_warned = True
            warn_of_folder(self.path.parent)
        return file

    def _trusted(self) -> File | None:
        """The file at the path; raise :exc:`SessionStoreError` if it or a file beside it may be another user's."""
        for sidecar in SIDECARS:
            trusted(self._path + sidecar)
        return trusted(self._path)


def file_at(path: str) -> File | None:
    try:
        # lstat, because links are never followed.
        found = os.lstat(path)
    except OSError as error:
        if is_raised_by_signal(error):
            raise
        return None
    return found.st_dev, found.st_ino


def trusted(path: str) -> File | None:
    """The file at a path; raise :exc:`SessionStoreError` if it is a link, or if other users have access to it.

    This does not open the file. Closing any handle of a file would release all POSIX locks that other connections of
    this process have on it, and another process could then take itself for the last one to use the database.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    name = os.path.basename(path)
    if stat.S_ISLNK(found.st_mode):
        raise SessionStoreError(f"{name} is a symbolic link, which is not followed: set the path of the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise SessionStoreError(f"{name} is not a regular file: remove it, or set another path")
    if os.name == "posix":
        user, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
        if found.st_uid != user:
            raise SessionStoreError(
                f"{name} belongs to the user {found.st_uid}, and this process runs as {user}:"
                f" remove the file if you do not know it, else run as that user, or chown {user} {name}"
            )
        if mode & 0o077:
            raise SessionStoreError(
                f"{name} is accessible to other users (mode {mode:o}):"
                f" remove the file if they may have written to it, else chmod 600 {name}"
            )
    return found.st_dev, found.st_ino


def warn_of_folder(folder: Path) -> None:
    mode = folder.stat().st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        log.warning("Any user can replace the sessions in %s: chmod o-w that directory", folder)


def make_file(path: str) -> None:
    # This closes a handle, which would release locks, as `trusted` says. So only one thread at a time may create the
    # file, and only if it does not exist. The lock is released twice, in case an exception comes in between: once too
    # often is an error that can be suppressed, and once too few is a deadlock.
    try:
        try:
            MAKING.acquire()
            with suppress(FileExistsError):
                open(path, "xb", opener=partial(os.open, mode=0o600)).close()
        finally:
            with suppress(RuntimeError):
                MAKING.release()
    finally:
        with suppress(RuntimeError):
            MAKING.release()


def is_opened_by_name(connection: Connection, path: str) -> bool:
    """Whether the path was not a link when SQLite opened it. SQLite follows links, and tells the file it has opened."""
    # A path need not be UTF-8.
    ((opened,),) = connection.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'")
    folder, name = os.path.split(os.fsdecode(opened))
    return name == os.path.basename(path) and os.path.samefile(folder, os.path.dirname(path))


def is_unopened(error: Exception, connection: Connection | None) -> bool:
    """Whether a connection could not be opened, for another reason than a lock on the file."""
    is_open = connection is not None and connection.file is not False
    return isinstance(error, sqlite3.OperationalError) and not is_open and "locked" not in str(error)


def is_harmless(error: Exception, connection: Connection | None) -> bool:
    """Whether a connection that was ready for use still works."""
    # A malformed file, or one that is not a database, raises DatabaseError itself, not a subclass.
    if connection is None or connection.file is False or not isinstance(error, sqlite3.OperationalError):
        return False
    return connection.can_read()


def is_raised_by_signal(error: Exception) -> bool:
    """Whether the handler of a signal has raised the error: its ``TimeoutError`` is an OSError without an errno."""
    return isinstance(error, OSError) and error.errno is None


MAKING = threading.RLock()

# --- Forks ----------------------------------------------------------------------------------------------------------

# SQLite's locks belong to the process, and a child that inherits a connection may corrupt the file. So a fork waits
# until no statement runs, and closes all connections first.

ALL: WeakSet[Connections] = WeakSet()

#: All connections that may be open.
CONNECTIONS: WeakSet[Connection] = WeakSet()

#: All leases in use. They are weak references, so a lease that was never given up is gone when nothing refers to it.
LEASES: dict[int, ref[Lease]] = {}

#: One item for each thread that is about to fork. No connection is handed out meanwhile.
FORKS: list[None] = []


def wait_for_forks(lease: Lease) -> None:
    while FORKS:
        LEASES.pop(id(lease), None)
        time.sleep(0.001)
        LEASES[id(lease)] = ref(lease)


def before_fork() -> None:
    is_done = False
    try:
        close_all()
        is_done = True
    finally:
        if not is_done:
            close_all()


def close_all() -> None:
    deadline = time.monotonic() + max((connections.timeout for connections in list(ALL)), default=0) + GRACE
    while leased_to_others() and time.monotonic() < deadline:
        time.sleep(0.0005)
    leased = leased_to_others()
    for connection in list(CONNECTIONS):
        if id(connection) not in leased:
            with suppress(sqlite3.Error):
                connection.close()


def leased_to_others() -> set[int]:
    """The ids of connections that other threads use; this thread is forking, so it uses none.

    No reference to a lease may remain after this, because it would keep the lease alive.
    """
    thread = get_ident()
    leases = (each() for each in LEASES.copy().values())
    return {id(lease.connection) for lease in leases if lease is not None and lease.thread != thread}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_child=CONNECTIONS.clear)
    # Before a fork the function that was registered last is called first. None of these three can be interrupted.
    os.register_at_fork(before=partial(FORKS.append, None), after_in_parent=FORKS.pop, after_in_child=FORKS.clear)
    os.register_at_fork(after_in_child=LEASES.clear)
