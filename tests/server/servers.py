"""Real servers for tests and benchmarks of server-side sessions, each on a loopback port of its own.

::

    with redis_server(tmp_path) as server:
        client = redis.Redis(host=server.host, port=server.port)
        server.kill()

``scripts/servers.sh`` installs what is started here.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from pathlib import Path

from tests.patience import HANGS_AFTER

if t.TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"

ROOT = Path(__file__).parents[2]

#: Below the range from which Linux takes the ports of clients: one of these could otherwise have the port of a server
#: that is restarting, or connect to itself there.
PORTS = range(10_000, 22_000)

#: A node of a cluster listens for the other nodes at a port that much above its own.
BUS = 10_000


class ServerMissing(Exception):
    """A server that tests need is not installed."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed: run scripts/servers.sh, which installs it with apt-get")


class ServerFailed(Exception):
    """A server ended, or does not answer, at its start."""


@dataclass
class Server:
    """A server that runs, and what can befall it."""

    command: list[str]
    folder: Path
    port: int
    #: What a server that is ready answers to what.
    hello: tuple[bytes, bytes]
    unix_socket: Path | None = None
    #: As whom it runs, if not as who starts it: options of Popen.
    user: dict[str, t.Any] = field(default_factory=dict)
    host: t.ClassVar[str] = HOST

    @property
    def log(self) -> Path:
        return self.folder / f"{self.port}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self.user,
            )
        try:
            wait_until(self.is_ready, f"{self.command[0]} to answer")
        except ServerFailed as error:
            self.kill()
            raise ServerFailed(f"{error}: {self.log.read_text()}") from None

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise ServerFailed(f"{self.command[0]} ended with {self.process.returncode}")
        question, answer = self.hello
        with suppress(OSError):
            return self.ask(question).startswith(answer)
        return False

    def ask(self, question: bytes) -> bytes:
        """Send one line over a connection of its own, and return what comes first."""
        with socket.create_connection((self.host, self.port), timeout=1) as connection:
            connection.sendall(question + b"\r\n")
            return connection.recv(65536)

    def kill(self) -> None:
        """End it at once by SIGKILL, also where it is paused or has ended already."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it anew, empty, at the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it accept connections and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def running(self) -> Iterator[Self]:
        self.start()
        try:
            yield self
        finally:
            self.kill()


def redis_server(folder: Path, *options: str) -> t.ContextManager[Server]:
    """A Redis that keeps nothing on disk; ``options`` are more of its command line."""
    return redis_at(free_port(), folder, *options).running()


def redis_at(port: int, folder: Path, *options: str) -> Server:
    unix_socket = folder / f"{port}.sock"
    command = [program("redis-server"), "--port", str(port), "--bind", HOST, "--unixsocket", str(unix_socket)]
    command += ["--save", "", "--appendonly", "no", "--loglevel", "warning", *options]
    return Server(command, folder, port, hello=(b"PING", b"+PONG"), unix_socket=unix_socket)


def memcached_server(folder: Path, *options: str) -> t.ContextManager[Server]:
    """A memcached; ``options`` are more of its command line."""
    port = free_port()
    # Root has to say as whom it is to run; others cannot choose.
    command = [program("memcached"), "-l", HOST, "-p", str(port), "-u", "root", *options]
    return Server(command, folder, port, hello=(b"version", b"VERSION")).running()


@dataclass
class SQLServer(Server):
    """A database server with an empty database named ``test``, which a restart leaves as it is."""

    #: The URL of that database for SQLAlchemy; its user may do anything.
    url: str = ""

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise ServerFailed(f"{self.command[0]} ended with {self.process.returncode}")
        # Tests that need no such server are to need no such package.
        from sqlalchemy.exc import DBAPIError

        with suppress(DBAPIError):
            self.execute("SELECT 1")
            return True
        return False

    def execute(self, *statements: str) -> None:
        """Run statements by a connection of their own, past everything that tests look at."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def kill(self) -> None:
        # With SIGKILL the processes of PostgreSQL that serve a client each would go on for a while.
        self.process.send_signal(signal.SIGQUIT if "postgres" in self.command[0] else signal.SIGKILL)
        self.process.wait()


@contextmanager
def postgresql_server(*options: str) -> Iterator[SQLServer]:
    """A PostgreSQL; ``options`` are more of its command line."""
    initdb = program("initdb", *POSTGRESQL_FOLDERS)
    with database_folder("postgres") as (folder, user):
        data = folder / "data"
        command = [initdb, "--pgdata", str(data), "--username", "root", "--auth", "trust", "--no-sync"]
        prepare([*command, "--locale", "C", "--encoding", "UTF8"], folder, user)
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": HOST,
            "unix_socket_directories": folder,
            "fsync": "off",
            "autovacuum": "off",
        }
        command = [program("postgres", *POSTGRESQL_FOLDERS), "-D", str(data), *options]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        url = f"postgresql+psycopg://root@{HOST}:{port}"
        server = SQLServer(command, folder, port, hello=(b"", b""), user=user, url=f"{url}/postgres")
        with server.running():
            server.execute("CREATE DATABASE test")
            server.url = f"{url}/test"
            yield server


@contextmanager
def mariadb_server(*options: str) -> Iterator[SQLServer]:
    """A MariaDB; ``options`` are more of its command line."""
    install = program("mariadb-install-db")
    with database_folder("mysql") as (folder, user):
        data = folder / "data"
        small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2"]
        # In a folder that all servers share, those that are set up at the same time find each other's temporary tables.
        small.append(f"--tmpdir={folder}")
        command = [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        prepare([*command, "--skip-test-db", *small], folder, user)
        port = free_port()
        command = [program("mariadbd", "/usr/sbin"), "--no-defaults", f"--datadir={data}", f"--port={port}"]
        command += [f"--socket={folder / 'socket'}", f"--bind-address={HOST}", "--skip-name-resolve", *small, *options]
        url = f"mysql+pymysql://root@{HOST}:{port}"
        server = SQLServer(command, folder, port, hello=(b"", b""), user=user, url=url)
        with server.running():
            # Its default collation takes upper and lower case for the same, as MariaDB's is where nobody changes it.
            server.execute("CREATE DATABASE test")
            server.url = f"{url}/test"
            yield server


#: Debian has its programs only here.
POSTGRESQL_FOLDERS = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


@contextmanager
def database_folder(user: str) -> Iterator[tuple[Path, dict[str, t.Any]]]:
    """A folder for a server that does not run as root, and the options of Popen for that."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder, {}
            return
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            entry = pwd.getpwnam("nobody")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder, {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def prepare(command: list[str], folder: Path, user: dict[str, t.Any]) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **user)
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} failed: {done.stdout}{done.stderr}")


@contextmanager
def redis_cluster(folder: Path, *options: str, replicas: int = 0) -> Iterator[list[Server]]:
    """Three masters of a Redis Cluster, with so many replicas each; ``options`` are more of their command lines."""
    redis_cli = program("redis-cli")
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
    with ExitStack() as stack:
        nodes = []
        for number in range(3 * (1 + replicas)):
            home = folder / f"node-{number}"
            home.mkdir()
            nodes.append(stack.enter_context(redis_at(free_port(BUS), home, *options).running()))
        create = [redis_cli, "--cluster", "create", *(f"{node.host}:{node.port}" for node in nodes)]
        create += ["--cluster-replicas", str(replicas), "--cluster-yes"]
        done = subprocess.run(create, capture_output=True, text=True)
        if done.returncode != 0:
            raise ServerFailed(f"redis-cli could not create a cluster: {done.stdout}{done.stderr}")
        for node in nodes:
            wait_until(partial(is_in_cluster, node), "the cluster to be formed")
        yield nodes


def is_in_cluster(node: Server) -> bool:
    return b"cluster_state:ok" in node.ask(b"CLUSTER INFO")


def program(name: str, *folders: str) -> str:
    """The path of a program that can be in some folders beside those where a shell looks."""
    path = shutil.which(name)
    for folder in folders:
        path = path or shutil.which(f"{folder}/{name}")
    if path is None:
        raise ServerMissing(name)
    return path


def free_port(*offsets: int) -> int:
    """A port at which nothing listens, nor at the given offsets from it."""
    while True:
        port = random.choice(PORTS)
        if all(map(is_free, [port, *(port + offset for offset in offsets)])):
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def wait_until(condition: Callable[[], bool], aim: str) -> None:
    deadline = time.monotonic() + HANGS_AFTER
    while not condition():
        if time.monotonic() > deadline:
            raise ServerFailed(f"waited {HANGS_AFTER} s in vain for {aim}")
        time.sleep(0.005)


# --- A distance between client and server ---------------------------------------------------------------------------


@dataclass
class Proxy:
    """The near end of a proxy, which runs in a process of its own so as to take no time from the client's."""

    process: subprocess.Popen[str]
    port: int
    host: t.ClassVar[str] = HOST

    def reset_all(self) -> None:
        """Reset all connections; when this returns, it is done."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("reset\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextmanager
def delaying_proxy(target_port: int, delay_seconds: float = 0.0005) -> Iterator[Proxy]:
    """A proxy before a port of this machine, which passes each byte on that much later, either way.

    A tenth of a millisecond of its own comes on top, each way.
    """
    command = [sys.executable, "-m", "tests.server.servers", str(target_port), str(delay_seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield Proxy(process, int(process.stdout.readline()))
        finally:
            process.kill()


class Relay:
    """The proxy itself: it prints its port, then obeys lines on stdin until that ends."""

    def __init__(self, target_port: int, delay: float) -> None:
        self.target_port = target_port
        self.delay = delay
        self.writers: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self.accept, HOST)
        print(server.sockets[0].getsockname()[1], flush=True)
        self.is_over = self.loop.create_future()
        self.loop.add_reader(sys.stdin, self.obey)
        await self.is_over

    def obey(self) -> None:
        if not sys.stdin.readline():
            self.is_over.set_result(None)
            return
        for writer in self.writers:
            reset(writer)
        # Sockets are closed by callbacks that are due before this one.
        self.loop.call_soon(lambda: print("done", flush=True))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            reset(writer)
            return
        ends = {writer, far_writer}
        self.writers |= ends
        await asyncio.gather(self.pass_on(reader, far_writer), self.pass_on(far_reader, writer))
        self.writers -= ends

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.loop.call_later(self.delay, writer.write, data)
        self.loop.call_later(self.delay, writer.close)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side sees a reset, not an end."""
    linger_not = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    writer.transport.abort()


def relay(target_port: str, delay: str) -> None:
    # The default selector of Linux counts in whole milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(Relay(int(target_port), float(delay)).run())


if __name__ == "__main__":
    relay(*sys.argv[1:])
