"""``flask session migrate``: sessions that are stored under their ids are moved to the hashes of them at once."""

from __future__ import annotations

import secrets
import time
import typing as t
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from flask import session

from flask_fastsession import ServerSession
from flask_fastsession import SessionStoreError
from flask_fastsession.cli import session as group
from flask_fastsession.server.stores import sql as sql_module
from flask_fastsession.server.stores import sqlite as sqlite_module
from tests.contract.parity import process_response

from . import peer
from .conftest import MakeApp

#: As many as take a second batch in the stores that are asked in batches, which a test makes smaller.
SESSIONS = 12


def interface_of(app: Flask) -> t.Any:
    return app.session_interface


def begun(app: Flask, user: str | None = None) -> str:
    with app.test_request_context():
        session["user"] = user
        if user is not None:
            interface_of(app).bind_user(session, user)
        process_response(app, app.response_class())
        return t.cast(t.Any, session).sid  # type: ignore[no-any-return]


def visited(app: Flask, cookie: str) -> dict[str, t.Any]:
    """The session of a whole request."""
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        data = dict(session)
        process_response(app, app.response_class())
        return data


def migrated(app: Flask) -> str:
    result = app.test_cli_runner().invoke(group, ["migrate"])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def keys_of(app: Flask) -> list[str]:
    """What comes after the prefix, but for what is no session."""
    prefix = interface_of(app).ids.key_prefix
    names = [key.removeprefix(prefix) for key in interface_of(app).store.keys(prefix)]
    return [name for name in names if ":" not in name]


@pytest.fixture(params=["sqlite", "redis", "SQL on sqlite", "postgresql", "mariadb"])
def make_listing_app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """Make an app with some config, whose store can say what it has."""
    for module in (sqlite_module, sql_module):
        monkeypatch.setattr(module, "AT_ONCE", 5)
    config: dict[str, t.Any] = {"SESSION_KEY_PREFIX": f"{secrets.token_urlsafe(6)}[*?]:", "SECRET_KEY": "k" * 32}
    if request.param == "sqlite":
        config["SESSION_SQLITE_PATH"] = tmp_path / "sessions.sqlite"
    elif request.param == "redis":
        server = request.getfixturevalue("redis_process")
        config.update(SESSION_TYPE="redis", SESSION_REDIS=f"redis://{server.host}:{server.port}")
    elif request.param == "SQL on sqlite":
        config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=f"sqlite:///{tmp_path}/sessions.db")
    else:
        url = request.getfixturevalue(f"{request.param}_process").url
        config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=url)

    def make(**more: t.Any) -> Flask:
        app = Flask("app")
        app.config.update(config, **more)
        ServerSession(app)
        return app

    return make


def test_all_sessions_are_moved_and_go_on(make_listing_app: MakeApp) -> None:
    old, new = make_listing_app(SESSION_HASH_SID=False), make_listing_app(SESSION_HASH_SID=True)
    cookies = [begun(old, ["ann", None][number % 2]) for number in range(SESSIONS)]
    already = begun(new, "ann")
    # Others' sessions, which have another prefix.
    elsewhere = make_listing_app(SESSION_HASH_SID=False, SESSION_KEY_PREFIX="elsewhere:")
    other = begun(elsewhere)
    assert {name for name in keys_of(new) if not name.startswith("#")} == set(cookies)
    store = interface_of(new).store
    before = [store.expires_in(interface_of(old).ids.key(cookie)) for cookie in cookies]
    listed = {one.name for one in interface_of(new).sessions_of("ann")}
    assert migrated(new) == f"{SESSIONS} sessions moved to the hashes of their ids."
    assert migrated(new) == "0 sessions moved to the hashes of their ids."
    assert all(name.startswith("#") for name in keys_of(new))
    assert len(keys_of(new)) == SESSIONS + 1
    after = [store.expires_in(interface_of(new).ids.key(cookie)) for cookie in cookies]
    assert all(was - 600 < now <= was for was, now in zip(before, after, strict=True))
    assert {one.name for one in interface_of(new).sessions_of("ann")} == listed
    for number, cookie in enumerate([*cookies, already]):
        expected = "ann" if number == SESSIONS else ["ann", None][number % 2]
        assert peer.session_of(new, cookie)["user"] == expected
    assert peer.session_of(elsewhere, other)["user"] is None
    interface_of(new).revoke_user("ann")
    assert ["user" in peer.session_of(new, cookie) for cookie in cookies[:2]] == [False, True]


def test_what_is_no_session_stays(make_listing_app: MakeApp) -> None:
    old, new = make_listing_app(SESSION_HASH_SID=False), make_listing_app(SESSION_HASH_SID=True)
    cookie = begun(old, "ann")
    with old.test_request_context(headers={"Cookie": f"session={cookie}"}):
        interface_of(old).regenerate(session)
        process_response(old, old.response_class())
        moved = t.cast(t.Any, session).sid
    store, prefix = interface_of(new).store, interface_of(new).ids.key_prefix
    assert store.create(f"{prefix}short", b"~{}", 100)
    assert migrated(new) == "1 session moved to the hash of its id."
    assert store.load(f"{prefix}short") == b"~{}"
    assert peer.session_of(new, moved)["user"] == "ann"
    # The id from before the move still finds nothing.
    assert "user" not in peer.session_of(new, cookie)


def test_a_session_that_has_ended_is_not_brought_back(make_listing_app: MakeApp) -> None:
    old, new = make_listing_app(SESSION_HASH_SID=False), make_listing_app(SESSION_HASH_SID=True)
    cookie = begun(old, "ann")
    steps = interface_of(new).rehash(new)
    interface_of(old).revoke_user("ann")
    assert not any(steps)
    assert "user" not in peer.session_of(new, cookie)


def test_a_store_that_fails_is_no_success(make_listing_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make_listing_app(SESSION_HASH_SID=False), make_listing_app(SESSION_HASH_SID=True)
    cookie = begun(old, "ann")

    def failing(*arguments: object) -> t.NoReturn:
        raise SessionStoreError("no room")

    monkeypatch.setattr(interface_of(new).lifecycle, "_put_at", failing)
    result = new.test_cli_runner().invoke(group, ["migrate"])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "Error: no room\n")
    monkeypatch.undo()
    assert peer.session_of(new, cookie)["user"] == "ann"


@pytest.mark.parametrize("share", [0.01, 0.03, 0.04, 0.049, 0.051, 0.06, 0.5, 0.9])
@pytest.mark.parametrize("make_listing_app", ["sqlite", "SQL on sqlite"], indirect=True)
def test_a_session_lives_as_long_as_one_that_was_not_moved(make_listing_app: MakeApp, share: float) -> None:
    old, new = make_listing_app(SESSION_HASH_SID=False), make_listing_app(SESSION_HASH_SID=True)
    lifetime = old.permanent_session_lifetime.total_seconds()
    with time_machine.travel(time.time()) as travelling:
        cookies = [begun(app, "ann") for app in (old, new)]
        migrated(new)
        for passed in (share, 0.94, 0.04, 0.04):
            travelling.shift(lifetime * passed)
            moved, other = ("user" in visited(new, cookie) for cookie in cookies)
            assert moved == other


def test_nothing_to_move_if_ids_are_not_hashed(make_listing_app: MakeApp) -> None:
    app = make_listing_app(SESSION_HASH_SID=False)
    result = app.test_cli_runner().invoke(group, ["migrate"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "SESSION_HASH_SID is off" in result.stderr


@pytest.mark.parametrize("store_type", ["memcached"])
def test_a_store_that_cannot_list_its_keys(make_app: MakeApp) -> None:
    app = make_app(SESSION_HASH_SID=True)
    result = app.test_cli_runner().invoke(group, ["migrate"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "this store cannot say which sessions it has" in result.stderr
    with pytest.raises(TypeError, match="MemcachedStore cannot say which records it has"):
        next(interface_of(app).rehash(app))


def test_sessions_that_expire_meanwhile_are_left(tmp_path: Path) -> None:
    app = Flask("app")
    app.config.update(SESSION_SQLITE_PATH=tmp_path / "sessions.sqlite", SECRET_KEY="k" * 32)
    ServerSession(app)
    store, sid = interface_of(app).store, "a" * 43
    assert store.create(f"session:{sid}", b'~{"user":"ann"}', 1)
    while store.expires_in(f"session:{sid}") is not None:
        time.sleep(0.05)
    assert list(interface_of(app).rehash(app)) == [False]
