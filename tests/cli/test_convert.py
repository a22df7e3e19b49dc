"""``flask session convert``: sessions of other backends taken over at once, old pickles as well."""

from __future__ import annotations

import os
import pickle
import secrets
import typing as t
from collections.abc import Iterator
from pathlib import Path

import cachelib
import flask
import mongomock
import msgspec
import pytest
import redis
import sqlalchemy
from click.testing import Result
from flask import session

from flask_fastsession import ServerSession
from flask_fastsession import cli
from tests.server.servers import Server
from tests.server.servers import redis_server

Config: t.TypeAlias = "dict[str, t.Any]"

LOGIN = {"_permanent": True, "_user_id": "ada", "cart": [1]}


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> t.Any:
        return os.mkdir, (self.path,)


def app_with(folder: Path, **config: t.Any) -> flask.Flask:
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY="k" * 32, SESSION_SQLITE_PATH=str(folder / "sessions.sqlite"), **config)
    ServerSession(app)

    @app.get("/")
    def whoami() -> str:
        return str(session.get("_user_id"))

    @app.get("/clear")
    def clear() -> str:
        session.clear()
        return ""

    return app


def user_of(app: flask.Flask, sid: str, path: str = "/") -> str:
    client = app.test_client()
    client.set_cookie("session", sid)
    return client.get(path).text


def run(app: flask.Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(cli.session, ["convert", *arguments])


def converted(app: flask.Flask, *arguments: str) -> tuple[int, dict[str, int]]:
    """How many were converted, and how many were not, for each reason."""
    result = run(app, *arguments)
    assert result.exit_code == 0, result.output
    first, *rows = result.stdout.strip().splitlines()
    skipped = {row.strip().rpartition(" ")[0].strip(): int(row.rpartition(" ")[2]) for row in rows}
    assert f"{sum(skipped.values())} skipped" in first
    return int(first.split()[0]), skipped


def new_sid() -> str:
    return secrets.token_urlsafe(32)


# --- Files of cachelib ----------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> cachelib.FileSystemCache:
    return cachelib.FileSystemCache(str(tmp_path / "files"))


def test_files(tmp_path: Path, files: cachelib.FileSystemCache) -> None:
    app = app_with(tmp_path, SESSION_TAKE_OVER="filesystem", SESSION_FILE_DIR=str(tmp_path / "files"))
    live, ended, attack, other = (new_sid() for _ in range(4))
    files.set(f"session:{live}", LOGIN, 1000)
    files.set(f"session:{ended}", LOGIN, -1)
    files.set(f"session:{attack}", {"a": Runs(tmp_path / "made")}, 1000)
    files.set(f"session:{other}", ["no session"], 1000)
    pickled = {"pickled, which needs --allow-pickle": 4}
    assert converted(app) == (0, pickled)
    assert user_of(app, live) == "None"
    skipped = {"expired": 1, "holds posix.mkdir, which is no plain type": 1, "is no session": 1}
    assert converted(app, "--allow-pickle", "--dry-run") == (1, skipped)
    assert user_of(app, live) == "None"
    assert converted(app, "--allow-pickle") == (1, skipped)
    assert not (tmp_path / "made").exists()
    assert [user_of(app, sid) for sid in (live, ended, attack, other)] == ["ada", "None", "None", "None"]
    user_of(app, live, "/clear")
    for _ in range(2):
        assert user_of(app, live) == "None"
        assert converted(app, "--allow-pickle") == (0, {**skipped, "taken over before": 1})
    assert len(list((tmp_path / "files").iterdir())) == 5


def test_files_that_are_deleted(tmp_path: Path, files: cachelib.FileSystemCache) -> None:
    config = {"SESSION_FILE_DIR": str(tmp_path / "files"), "SESSION_TAKE_OVER_DELETE": True}
    app = app_with(tmp_path, SESSION_TAKE_OVER="filesystem", **config)
    sid = new_sid()
    files.set(f"session:{sid}", LOGIN, 1000)
    assert converted(app, "--allow-pickle") == (1, {})
    assert user_of(app, sid) == "ada"
    assert not files.has(f"session:{sid}")
    user_of(app, sid, "/clear")
    assert user_of(app, sid) == "None"


def test_a_cache_tells_where_its_files_are(tmp_path: Path, files: cachelib.FileSystemCache) -> None:
    app = app_with(tmp_path, SESSION_CACHELIB=files)
    files.set(f"session:{new_sid()}", LOGIN, 1000)
    assert converted(app, "cachelib", "--allow-pickle") == (1, {})


def test_links_are_not_followed(tmp_path: Path, files: cachelib.FileSystemCache) -> None:
    app = app_with(tmp_path, SESSION_CACHELIB=files)
    files.set("x", LOGIN, 1000)
    (path,) = (path for path in (tmp_path / "files").iterdir() if files.get("x") and path.stat().st_size > 16)
    target = path.rename(tmp_path / "elsewhere")
    path.symlink_to(target)
    assert converted(app, "cachelib", "--allow-pickle") == (0, {})


# --- Where ids are known --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[t.Any]:
    with redis.Redis(host=server.host, port=server.port) as client:
        client.flushall()
        yield client


def test_pickles_in_redis(tmp_path: Path, client: t.Any) -> None:
    app = app_with(tmp_path, SESSION_TAKE_OVER="redis", SESSION_REDIS=client)
    old, new, attack, damaged = (new_sid() for _ in range(4))
    client.set(f"session:{old}", pickle.dumps(LOGIN), ex=1000)
    client.set(f"session:{new}", msgspec.msgpack.encode(LOGIN))
    client.set(f"session:{attack}", pickle.dumps(Runs(tmp_path / "made")))
    client.set(f"session:{damaged}", b"\xff")
    client.set("session:owner:x", b"not an id")
    assert user_of(app, old) == "None"
    reasons = {"no known format": 1}
    assert converted(app) == (1, {"pickled, which needs --allow-pickle": 2, **reasons})
    reasons["holds posix.mkdir, which is no plain type"] = 1
    assert converted(app, "--allow-pickle") == (1, {"taken over before": 1, **reasons})
    assert converted(app, "redis", "--allow-pickle") == (0, {"taken over before": 2, **reasons})
    assert [user_of(app, sid) for sid in (old, new, attack)] == ["ada", "ada", "None"]
    assert not (tmp_path / "made").exists()
    user_of(app, old, "/clear")
    assert converted(app, "--allow-pickle") == (
        0,
        {"taken over before": 1, "ended or revoked": 1, **reasons},
    )
    assert user_of(app, old) == "None"
    assert client.exists(f"session:{old}")


@pytest.mark.parametrize("hashed", [False, True])
def test_pickles_in_the_same_redis(tmp_path: Path, client: t.Any, hashed: bool) -> None:
    app = app_with(tmp_path, SESSION_TYPE="redis", SESSION_REDIS=client, SESSION_HASH_SID=hashed)
    old, new, attack = (new_sid() for _ in range(3))
    client.set(f"session:{old}", pickle.dumps(LOGIN), ex=1000)
    client.set(f"session:{new}", msgspec.msgpack.encode(LOGIN), ex=1000)
    client.set(f"session:{attack}", pickle.dumps({"a": Runs(tmp_path / "made")}), ex=1000)
    reasons = {"needs no conversion": 1, "holds posix.mkdir, which is no plain type": 1}
    assert converted(app, "redis", "--allow-pickle", "--dry-run") == (1, reasons)
    assert converted(app, "redis", "--allow-pickle") == (1, reasons)
    assert 990 < client.ttl(f"session:{old}") <= 1000
    assert [user_of(app, sid) for sid in (old, new, attack)] == ["ada", "ada", "None"]
    assert not (tmp_path / "made").exists()
    user_of(app, old, "/clear")
    assert user_of(app, old) == "None"


def test_pickles_in_an_sql_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.sqlite'}"
    engine = sqlalchemy.create_engine(url)
    sid = new_sid()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE sessions (id INTEGER PRIMARY KEY, session_id VARCHAR(255), data BLOB, expiry DATETIME)"
        )
        connection.exec_driver_sql(
            "INSERT INTO sessions (session_id, data, expiry) VALUES (?, ?, '2999-01-01 00:00:00.000000')",
            (f"session:{sid}", pickle.dumps(LOGIN)),
        )
    app = app_with(tmp_path, SESSION_TAKE_OVER="sqlalchemy", SESSION_SQLALCHEMY=url, SESSION_TAKE_OVER_DELETE=True)
    assert converted(app, "--allow-pickle") == (1, {})
    assert user_of(app, sid) == "ada"
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 0


def test_pickles_in_mongodb(tmp_path: Path) -> None:
    mongo: t.Any = mongomock.MongoClient()
    sid = new_sid()
    mongo["flask_session"]["sessions"].insert_one({"id": f"session:{sid}", "val": pickle.dumps(LOGIN)})
    app = app_with(tmp_path, SESSION_TAKE_OVER=["mongodb"], SESSION_MONGODB=mongo)
    assert converted(app, "--allow-pickle") == (1, {})
    assert user_of(app, sid) == "ada"


def test_a_user_who_was_revoked_meanwhile(tmp_path: Path, client: t.Any) -> None:
    app = app_with(tmp_path, SESSION_TAKE_OVER="redis", SESSION_REDIS=client)
    sid = new_sid()
    client.set(f"session:{sid}", pickle.dumps(LOGIN))
    interface: t.Any = app.session_interface
    interface.revoke_user("ada")
    assert converted(app, "--allow-pickle") == (0, {"ended or revoked": 1})


# --- Use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [([], "no source"), (["filesystem"], "no folder"), (["memcached"], "memcached"), (["redis"], "SESSION_REDIS")],
)
def test_what_cannot_be_done(tmp_path: Path, arguments: list[str], message: str) -> None:
    app = app_with(tmp_path, SESSION_FILE_DIR=str(tmp_path / "none"))
    result = run(app, *arguments)
    assert result.exit_code == 2
    assert message in result.output


class Own:
    """A source of the app's own."""

    def load(self, sid: str) -> None: ...


MEMCACHED: dict[str, t.Any] = {"SESSION_MEMCACHED": "memcached://127.0.0.1:1"}
ONE_BY_ONE = "cannot list sessions: they are taken over one by one, at their next requests"


@pytest.mark.parametrize(
    ("config", "arguments", "name"),
    [
        ({"SESSION_TAKE_OVER": "memcached", **MEMCACHED}, [], "memcached"),
        ({"SESSION_TAKE_OVER": ["memcached", Own()], **MEMCACHED}, [], "memcached and Own"),
        ({}, ["memcached"], "memcached"),
        ({}, ["redis", "dynamodb"], "dynamodb"),
    ],
)
def test_a_source_that_cannot_list_its_sessions(
    tmp_path: Path, config: dict[str, t.Any], arguments: list[str], name: str
) -> None:
    result = run(app_with(tmp_path, **config), *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {name} {ONE_BY_ONE}\n")


def test_such_a_source_beside_another(tmp_path: Path, client: t.Any) -> None:
    client.set(f"session:{new_sid()}", msgspec.msgpack.encode(LOGIN))
    app = app_with(tmp_path, SESSION_TAKE_OVER=["redis", "memcached"], SESSION_REDIS=client, **MEMCACHED)
    result = run(app)
    assert (result.exit_code, result.stdout) == (0, "1 session converted, 0 skipped.\n")
    assert result.stderr.splitlines()[-1] == f"Warning: memcached {ONE_BY_ONE}"


def test_progress_is_shown(tmp_path: Path, client: t.Any) -> None:
    app = app_with(tmp_path, SESSION_TAKE_OVER="redis", SESSION_REDIS=client)
    for _ in range(200):
        client.set(f"session:{new_sid()}", msgspec.msgpack.encode(LOGIN))
    result = run(app)
    assert "100 sessions looked at" in result.stderr
    assert result.stdout == "200 sessions converted, 0 skipped.\n"


def test_the_help_tells_the_risk(tmp_path: Path) -> None:
    text = " ".join(run(app_with(tmp_path), "--help").output.split())
    assert "Loading a pickle runs code that its author chose" in text
    assert "nobody but your app could write" in text


def test_no_request_reads_a_pickle(tmp_path: Path) -> None:
    """The reader is not even imported by anything but the command."""
    folder = Path(cli.__file__).parents[1]
    users = [path for path in folder.rglob("*.py") if "pickles import" in path.read_text(encoding="utf-8")]
    assert [path.name for path in users] == ["convert.py"]


def test_a_source_that_is_away_is_one_line(tmp_path: Path) -> None:
    app = app_with(tmp_path, SESSION_REDIS=redis.Redis(port=1))
    result = run(app, "redis")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "Error: redis cannot list its sessions: ConnectionError"
