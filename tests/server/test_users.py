"""Whose a session is: binding, listing and revoking, and Flask-Login beside it."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock
from uuid import UUID

import flask_login
import pytest
import time_machine
from flask import Flask
from flask import session
from flask.globals import request_ctx as request_context
from flask.sessions import SecureCookieSession
from flask.testing import FlaskClient

from flask_fastsession import SessionStoreError
from flask_fastsession import signals
from flask_fastsession.server import ListingStore
from flask_fastsession.server.meta import MAX_LENGTH
from flask_fastsession.server.meta import new_handle
from flask_fastsession.server.store import MOVED_TTL
from flask_fastsession.server.take_over import OVERLAP
from tests.contract.parity import process_response

from . import peer
from .conftest import MakeApp
from .conftest import MemoryStore
from .conftest import SpyStore
from .conftest import app_with
from .interleavings import WithRows


def interface_of(app: Flask) -> t.Any:
    return app.session_interface


def handle(app: Flask, act: t.Callable[[], object], cookie: str | None = None) -> str | None:
    """Handle a request in which something is done, and return the cookie that a browser has then."""
    headers = {} if cookie is None else {"Cookie": f"session={cookie}"}
    with app.test_request_context(headers=headers):
        act()
        header = process_response(app, app.response_class()).headers.get("Set-Cookie")
    return cookie if header is None else header.partition("=")[2].partition(";")[0] or None


def begun(app: Flask, user: str | None = None) -> str:
    """The cookie of a session that is a user's."""

    def log_in() -> None:
        session["user"] = user
        interface_of(app).bind_user(session, user)

    cookie = handle(app, log_in)
    assert cookie is not None
    return cookie


def listed(app: Flask, user: object) -> list[str]:
    return [found.name for found in interface_of(app).sessions_of(user)]


def name_of(app: Flask, cookie: str | None) -> str:
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        session.get("user")
        name = session.meta.handle  # type: ignore[attr-defined]
    assert name is not None
    return t.cast(str, name)


def is_there(app: Flask, cookie: str | None) -> bool:
    return "user" in peer.session_of(app, cookie or "")


# --- On each store --------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain ids", "hashed ids"])
def app(request: pytest.FixtureRequest, make_app: MakeApp) -> Flask:
    return make_app(SESSION_HASH_SID=request.param)


def test_the_sessions_of_a_user_are_listed_oldest_first(app: Flask) -> None:
    with time_machine.travel(time.time()) as travelling:
        cookies = []
        for _ in range(3):
            cookies.append(begun(app, "ann"))
            begun(app, "bob")
            begun(app)
            travelling.shift(1)
        assert listed(app, "ann") == [name_of(app, cookie) for cookie in cookies]
        assert len(listed(app, "bob")) == 3
        assert listed(app, "nobody") == []


@pytest.mark.parametrize(
    ("note", "noted"),
    [(None, None), ("", ""), (7, "7"), (Path("a/b"), "a/b"), ("x" * 5000, "x" * MAX_LENGTH), ("\ud800", "?")],
    ids=["None", "empty", "a number", "an object", "long", "cannot be encoded"],
)
def test_a_note_may_be_anything(make_app: MakeApp, note: object, noted: str | None) -> None:
    app = make_app(SESSION_NOTE=lambda request: note)
    begun(app, "ann")
    (found,) = interface_of(app).sessions_of("ann")
    assert found.note == noted


@pytest.mark.parametrize("keep", [5, b"x", 1.5, [5], [b"x"]], ids=repr)
def test_what_is_to_be_kept_is_a_session(app: Flask, keep: t.Any) -> None:
    begun(app, "ann")
    with pytest.raises(TypeError, match="expected a server-side session, not"):
        interface_of(app).revoke_user("ann", keep=keep)
    assert len(listed(app, "ann")) == 1


def test_a_user_may_be_a_number(app: Flask) -> None:
    cookie = handle(app, lambda: (session.update(user=7), interface_of(app).bind_user(session, 7)))
    assert listed(app, "7") == listed(app, 7)
    interface_of(app).revoke_user(7)
    assert not is_there(app, cookie)


class Account:
    """An object of an app that does not say how it is shown."""


NO_IDS = (None, Account(), object(), Mock(get_id=str), memoryview(b"ann"), "ann".title, Account)


@pytest.mark.parametrize("user", NO_IDS, ids=lambda user: type(user).__name__)
def test_what_is_no_id_of_a_user(app: Flask, user: object) -> None:
    text = f"expected the id of a user, .*{type(user).__name__}"
    with app.test_request_context():
        for ask in (interface_of(app).revoke_user, interface_of(app).sessions_of):
            with pytest.raises(TypeError, match=text):
                ask(user)
        # None unbinds it.
        if user is not None:
            with pytest.raises(TypeError, match=text):
                interface_of(app).bind_user(session, user)


def test_a_user_may_be_what_has_a_text(app: Flask) -> None:
    for user in (UUID(int=7), Decimal(7), b"7", ("a", 7)):
        cookie = handle(app, lambda: (session.update(user=1), interface_of(app).bind_user(session, user)))  # noqa: B023
        assert len(listed(app, user)) == len(listed(app, str(user))) == 1
        interface_of(app).revoke_user(user)
        assert not is_there(app, cookie)


@pytest.mark.parametrize("user", ["ann", "a b", "a:b", "\u00e9\U0001f512", "x" * 1000, "", "../x", "*"])
def test_a_user_may_be_called_anything(app: Flask, user: str) -> None:
    cookie = begun(app, user)
    assert len(listed(app, user)) == 1
    interface_of(app).revoke_user(user)
    assert not is_there(app, cookie)


def test_revoking_a_session(app: Flask) -> None:
    one, other = begun(app, "ann"), begun(app, "ann")
    interface_of(app).revoke(one)
    assert not is_there(app, one)
    assert is_there(app, other)
    assert listed(app, "ann") == [name_of(app, other)]


def test_revoking_what_was_listed(app: Flask) -> None:
    cookies = [begun(app, "ann") for _ in range(3)]
    interface_of(app).revoke(*interface_of(app).sessions_of("ann"))
    assert not any(is_there(app, cookie) for cookie in cookies)


def test_revoking_what_has_ended_or_never_was(app: Flask) -> None:
    cookie, ended = begun(app, "ann"), begun(app, "ann")
    for _ in range(2):
        interface_of(app).revoke(ended, "a" * 43, new_handle())
    interface_of(app).revoke()
    assert is_there(app, cookie)
    assert len(listed(app, "ann")) == 1


@pytest.mark.parametrize(
    "no_id", ["", "short", "user:" + "a" * 64, "*" * 20, "a" * 129, "h.short", f"{'a' * 43}.signed"]
)
def test_what_can_be_no_session_is_an_error(app: Flask, no_id: str) -> None:
    """Such as the id of a user: nothing would end, and nobody would notice."""
    cookie = begun(app, "ann")
    for wrong in (
        lambda: interface_of(app).revoke(cookie, no_id),
        lambda: interface_of(app).revoke_user("ann", keep=no_id),
        lambda: interface_of(app).revoke_user("ann", keep=[cookie, no_id]),
    ):
        with pytest.raises(ValueError, match=f"a text of {len(no_id)} characters is neither"):
            wrong()
    assert is_there(app, cookie)
    assert len(listed(app, "ann")) == 1


@pytest.mark.parametrize("is_by_newer", [True, False], ids=["newer", "older"])
def test_an_id_from_before_ids_were_hashed(make_app: MakeApp, is_by_newer: bool) -> None:
    """A process that does not hash ids has moved a session, one that does has found it, and either revokes it."""
    before, app = make_app(SESSION_HASH_SID=False), make_app(SESSION_HASH_SID=True)

    def moved(app: Flask, cookie: str | None) -> str:
        new = handle(app, lambda: session.regenerate(), cookie)  # type: ignore[attr-defined]
        assert new is not None and new != cookie
        return new

    def by_request(cookie: str) -> None:
        assert is_there(app, cookie)

    def by_migrate(cookie: str) -> None:
        assert any(interface_of(app).rehash(app))

    revoking = interface_of(app if is_by_newer else before)
    for rehash in [by_request, by_migrate] if isinstance(interface_of(app).store, ListingStore) else [by_request]:
        old = begun(before, "ann")
        new = moved(before, old)
        rehash(new)
        revoking.revoke_user("ann", keep=old)
        assert is_there(app, new)
        revoking.revoke(old)
        assert not is_there(app, new)
        assert listed(app, "ann") == []
        for last in (before, app):
            old = begun(before, "ann")
            new = moved(before, old)
            rehash(new)
            newest = moved(last, new)
            revoking.revoke(old)
            assert not is_there(app, newest)


@pytest.mark.parametrize("user", ["ann", None])
def test_what_a_move_leaves_behind_does_not_live_as_long_as_a_session(app: Flask, user: str | None) -> None:
    """However often the old id comes."""
    old = begun(app, user)
    new = handle(app, lambda: session.regenerate(), old)  # type: ignore[attr-defined]
    for _ in range(2):
        assert not is_there(app, old)
    store = interface_of(app).store
    if isinstance(store, ListingStore):
        assert store.expires_in(interface_of(app).ids.key(old)) in range(MOVED_TTL - 60, MOVED_TTL + 1)
    interface_of(app).revoke(old)
    assert not is_there(app, new)


def test_what_a_move_leaves_behind_in_a_store_of_ones_own() -> None:
    store = MemoryStore()
    app = app_with({"SESSION_TYPE": store, "PERMANENT_SESSION_LIFETIME": 3})
    old = handle(app, lambda: session.update(user=1))
    new = handle(app, lambda: session.regenerate(), old)  # type: ignore[attr-defined]
    assert not is_there(app, old)
    for _ in range(3):
        store.now += 2
        assert is_there(app, new)
    interface_of(app).revoke(old)
    assert not is_there(app, new)


@pytest.mark.parametrize("named", ["session", "its id", "its name", "its user"])
def test_a_session_that_was_revoked_in_a_request_may_begin_anew_in_it(app: Flask, named: str) -> None:
    cookie, interface = begun(app, "ann"), interface_of(app)

    def log_in_again() -> None:
        session["csrf"] = 1
        if named == "its user":
            interface.revoke_user("ann")
        else:
            found: t.Any = session
            interface.revoke({"session": found, "its id": found.sid, "its name": found.meta.handle}[named])
        assert dict(session) == {"_permanent": True}
        session["user"] = "ann"
        session.regenerate()  # type: ignore[attr-defined]
        interface.bind_user(session, "ann")
        coming.append(session.sid)  # type: ignore[attr-defined]

    coming: list[str] = []
    new = handle(app, log_in_again, cookie)
    assert [new] == coming
    assert not is_there(app, cookie)
    assert peer.session_of(app, t.cast(str, new)) == {"_permanent": True, "user": "ann"}
    assert listed(app, "ann") == [name_of(app, new)]


def test_a_session_that_has_become_another_users_outlives_a_revocation_in_its_request(app: Flask) -> None:
    cookie = begun(app, "ann")

    def switch() -> None:
        session["user"] = "bob"
        interface_of(app).bind_user(session, "bob")
        interface_of(app).revoke_user("ann")

    new = handle(app, switch, cookie)
    assert not is_there(app, cookie)
    assert peer.session_of(app, t.cast(str, new))["user"] == "bob"
    assert (listed(app, "ann"), listed(app, "bob")) == ([], [name_of(app, new)])


@pytest.mark.parametrize("named", ["its id", "its name", "its user"])
@pytest.mark.parametrize("user", ["ann", "bob", None])
def test_a_session_that_was_cleared_before_is_another_one(app: Flask, named: str, user: str | None) -> None:
    cookie, interface = begun(app, "ann"), interface_of(app)

    def begin_anew() -> None:
        old: t.Any = session
        names = {"its id": old.sid, "its name": old.meta.handle}
        session.clear()
        session["user"] = user
        if user is not None:
            interface.bind_user(session, user)
        coming.append(session.sid)  # type: ignore[attr-defined]
        if named == "its user":
            interface.revoke_user("ann")
        else:
            interface.revoke(names[named])
        assert session["user"] == user

    coming: list[str] = []
    new = handle(app, begin_anew, cookie)
    assert [new] == coming
    assert not is_there(app, cookie)
    assert peer.session_of(app, t.cast(str, new))["user"] == user
    assert [len(listed(app, each)) for each in ("ann", "bob")] == [user == "ann", user == "bob"]


def test_the_cookie_of_a_session_that_was_cleared_and_revoked_is_deleted(app: Flask) -> None:
    def end() -> None:
        session.clear()
        interface_of(app).revoke_user("ann")

    assert handle(app, end, begun(app, "ann")) is None


def test_another_app_in_the_same_request_keeps_its_session(make_app: MakeApp) -> None:
    app, other = (make_app(SESSION_KEY_PREFIX=f"{secrets.token_hex(8)}:") for _ in range(2))
    cookie, others = begun(app, "1"), begun(other, "1")

    def revoke_in_the_other() -> None:
        session["seen"] = 1
        with other.app_context():
            interface_of(other).revoke_user("1", keep="k" * 43)
            interface_of(other).revoke(cookie)

    assert handle(app, revoke_in_the_other, cookie) == cookie
    assert peer.session_of(app, cookie)["seen"] == 1
    assert not is_there(other, others)


@pytest.fixture
def unbound(login_app: Flask) -> str:
    """The cookie of a session that names a user, as Flask-Session has stored it, and that no request has bound yet."""
    interface, cookie = interface_of(login_app), secrets.token_urlsafe(32)
    record = interface.lifecycle.format.dumps({"_permanent": True, "_user_id": "ann", "_fresh": True})
    assert interface.store.create(interface.ids.key(cookie), record, 100)
    return cookie


def beside(call: t.Callable[..., object], *arguments: object) -> object:
    """Call something in a thread of its own, as in another request."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments).result()


@pytest.mark.parametrize("by", ["session", "id"])
def test_a_session_that_another_request_has_bound_is_kept(login_app: Flask, unbound: str, by: str) -> None:
    def keep() -> None:
        session["first"] = 1
        beside(handle, login_app, lambda: session.update(second=1), unbound)
        interface_of(login_app).revoke_user("ann", keep=session if by == "session" else unbound)

    handle(login_app, keep, unbound)
    data = peer.session_of(login_app, unbound)
    assert (data.get("_user_id"), data.get("first"), data.get("second")) == ("ann", 1, 1)


def test_what_a_request_writes_to_a_session_that_another_has_kept(login_app: Flask, unbound: str) -> None:
    def keep() -> None:
        interface_of(login_app).revoke_user("ann", keep=session)

    def write() -> None:
        session["third"] = 1
        beside(handle, login_app, keep, unbound)

    handle(login_app, write, unbound)
    assert peer.session_of(login_app, unbound)["third"] == 1


def test_a_kept_session_is_bound_at_once(login_app: Flask, unbound: str) -> None:
    def keep() -> None:
        session["seen"] = 1
        interface_of(login_app).revoke_user("ann", keep=session)
        # This finds a bound session, and no mark refuses that.
        assert peer.session_of(login_app, unbound)["_user_id"] == "ann"

    def keep_beside() -> None:
        session.get("seen")
        beside(handle, login_app, keep, unbound)

    for act in (keep, keep_beside):
        assert handle(login_app, act, unbound) == unbound
        assert peer.session_of(login_app, unbound)["seen"] == 1
    assert len(listed(login_app, "ann")) == 1


def test_a_kept_session_that_was_bound_between_finding_it_and_its_mark(
    login_app: Flask, unbound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked = interface_of(login_app).lifecycle.revoked
    has = revoked.has

    def has_after(owner: str) -> bool:
        monkeypatch.setattr(revoked, "has", has)
        beside(handle, login_app, lambda: interface_of(login_app).revoke_user("ann", keep=session), unbound)
        return t.cast(bool, has(owner))

    monkeypatch.setattr(revoked, "has", has_after)
    assert "_user_id" not in peer.session_of(login_app, unbound)
    assert peer.session_of(login_app, unbound)["_user_id"] == "ann"


@pytest.mark.parametrize("by", ["bind_user", "login_user"])
def test_a_session_is_bound_and_kept_in_one_request(login_app: Flask, unbound: str, by: str) -> None:
    def keep() -> None:
        session.get("seen")
        if by == "bind_user":
            interface_of(login_app).bind_user(session, "ann")
        else:
            flask_login.login_user(login_app.login_manager._user_callback("ann"))  # type: ignore[attr-defined]
        interface_of(login_app).revoke_user("ann", keep=session)

    cookie = handle(login_app, keep, unbound)
    assert peer.session_of(login_app, cookie or "")["_user_id"] == "ann"
    assert listed(login_app, "ann") == [name_of(login_app, cookie)]


def test_a_kept_session_is_bound_again_in_its_request(login_app: Flask, unbound: str) -> None:
    interface = interface_of(login_app)

    def keep_and_bind_again() -> None:
        interface.revoke_user("ann", keep=session)
        for user in (None, "ann"):
            interface.bind_user(session, user)
        session["user"] = "ann"

    handle(login_app, keep_and_bind_again, unbound)
    assert listed(login_app, "ann") == [name_of(login_app, unbound)]
    interface.revoke_user("ann")
    assert not is_there(login_app, unbound)


@pytest.mark.parametrize("user", ["ann", "bob"])
def test_a_kept_session_is_revoked_by_the_next(login_app: Flask, unbound: str, user: str) -> None:
    def keep() -> None:
        session["seen"] = 1
        interface_of(login_app).revoke_user(user, keep=session)
        beside(interface_of(login_app).revoke_user, "ann")

    handle(login_app, keep, unbound)
    assert peer.session_of(login_app, unbound) == {"_permanent": True}
    assert listed(login_app, "ann") == []


def test_a_kept_session_that_another_request_has_moved(login_app: Flask, unbound: str) -> None:
    moved = []

    def keep_and_move() -> None:
        interface_of(login_app).revoke_user("ann", keep=session)
        session.regenerate()  # type: ignore[attr-defined]

    def write() -> None:
        session["third"] = 1
        moved.append(beside(handle, login_app, keep_and_move, unbound))

    handle(login_app, write, unbound)
    assert peer.session_of(login_app, t.cast(str, moved[0]))["third"] == 1


def test_a_session_is_kept_by_the_name_that_another_request_has_given_it(login_app: Flask, unbound: str) -> None:
    def keep() -> None:
        session["seen"] = 1
        beside(peer.session_of, login_app, unbound)
        beside(handle, login_app, lambda: session.get("seen"), unbound)
        interface_of(login_app).revoke_user("ann", keep=interface_of(login_app).sessions_of("ann"))
        assert session["_user_id"] == "ann"

    handle(login_app, keep, unbound)
    assert peer.session_of(login_app, unbound)["seen"] == 1


def test_a_refused_session_does_not_outlive_what_refuses_it(login_app: Flask) -> None:
    interface, cookie = interface_of(login_app), "k" * 43
    record = interface.lifecycle.format.dumps({"_permanent": True, "_user_id": "ann", "_fresh": True})
    assert interface.store.create(interface.ids.key(cookie), record, 100)
    interface.revoke_user("ann")
    assert not is_there(login_app, cookie)
    interface.store.delete(interface.ids.revoked_key("ann"))
    assert peer.session_of(login_app, cookie) == {"_permanent": True}


def test_a_refused_session_is_none_to_the_command_line_either(login_app: Flask, unbound: str) -> None:
    def inspected() -> t.Any:
        return login_app.test_cli_runner().invoke(args=["session", "inspect", "--check", unbound])

    assert inspected().exit_code == 0
    interface_of(login_app).revoke_user("ann")
    assert inspected().exit_code == 1
    assert "revoked" in inspected().output


@pytest.mark.parametrize("user", ["ann", None])
def test_a_session_that_is_revoked_is_followed_where_another_request_has_moved_it(app: Flask, user: str | None) -> None:
    cookie, moved = begun(app, user), []

    def revoke() -> None:
        session.get("user")
        moved.append(handle(app, lambda: session.regenerate(), cookie))  # type: ignore[attr-defined]
        interface_of(app).revoke(session)

    handle(app, revoke, cookie)
    assert moved[0] != cookie
    assert not is_there(app, moved[0])


@pytest.mark.parametrize("damaged", [b"\0\xff\xfe", b"\0", b""], ids=repr)
def test_a_damaged_record_is_no_session(app: Flask, damaged: bytes) -> None:
    interface, cookie = interface_of(app), "d" * 43
    assert interface.store.create(interface.ids.key(cookie), damaged, 100)
    assert not is_there(app, cookie)
    begun(app, "ann")
    interface.revoke_user("ann", keep=cookie)
    interface.revoke(cookie)
    assert listed(app, "ann") == []


def test_a_session_that_begins_after_the_last_year(app: Flask) -> None:
    """As a damaged record says, or one with milliseconds."""
    cookie, interface = begun(app, "ann"), interface_of(app)
    key = interface.ids.key(cookie)
    record = interface.store.load(key)
    data, meta = interface.lifecycle.read(record)
    meta.begun = 2**50
    assert interface.store.replace(key, record, interface.lifecycle.format.dumps(meta.put_into(data)), 100) is True
    (found,) = interface.sessions_of("ann")
    assert found.begun is None


@pytest.mark.parametrize("user", ["ann", None])
@pytest.mark.parametrize("act", ["revoke", "clear", "write", "regenerate"])
def test_an_id_is_hashed_between_two_commands(act: str, user: str | None) -> None:
    """Before any command of a process that hashes ids, and of one that does not, another one hashes the id."""
    store = WithRows()
    before, app = (app_with({"SESSION_TYPE": store, "SESSION_HASH_SID": is_hashed}) for is_hashed in (False, True))
    for process in (before, app):
        for number in itertools.count():
            cookie = handle(before, lambda: session.update(user=1))
            assert cookie is not None
            if user is not None:
                handle(before, lambda: interface_of(before).bind_user(session, user), cookie)
            count = 0

            def come_in_between(cookie: str = cookie, number: int = number) -> None:
                nonlocal count
                count += 1
                if count == number + 1:
                    store.before_command = lambda: None
                    is_there(app, cookie)
                    store.before_command = come_in_between

            store.before_command = come_in_between
            newest: str | None = cookie
            if act == "revoke":
                interface_of(process).revoke(cookie)
            elif act == "clear":
                handle(process, lambda: session.clear(), cookie)
            elif act == "write":
                handle(process, lambda: session.update(cart=7), cookie)
            else:
                newest = handle(process, lambda: session.regenerate(), cookie)  # type: ignore[attr-defined]
            store.before_command = lambda: None
            if act == "write":
                assert peer.session_of(process, cookie)["cart"] == 7, number
            else:
                assert not is_there(process, cookie), number
                assert is_there(process, newest) == (act == "regenerate"), number
            if count <= number:
                break
        assert number > 1


def test_what_cannot_be_loaded_keeps_none_of_the_others(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app()
    own, other = begun(app, "ann"), begun(app, "ann")

    def revoke() -> None:
        spy.failing = {"load"}
        with pytest.raises(SessionStoreError):
            session.get("user")
        spy.failing = set()
        with pytest.raises(SessionStoreError):
            interface_of(app).revoke(session, other)

    with app.test_request_context(headers={"Cookie": f"session={own}"}):
        revoke()
    assert is_there(app, own)
    assert not is_there(app, other)


def test_a_name_where_the_store_knows_no_owners() -> None:
    app = app_with({"SESSION_TYPE": MemoryStore()})
    cookie = t.cast(str, handle(app, lambda: session.update(user=1)))
    with pytest.raises(TypeError, match="does not know whose a session is"):
        interface_of(app).revoke(cookie, new_handle())
    assert is_there(app, cookie)
    interface_of(app).revoke(cookie)
    assert not is_there(app, cookie)


def test_a_session_that_is_revoked_twice_loses_its_cookie(app: Flask) -> None:
    cookie = begun(app, "ann")
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        session.regenerate()  # type: ignore[attr-defined]
        interface_of(app).revoke(session, session.sid)  # type: ignore[attr-defined]
        header = process_response(app, app.response_class()).headers["Set-Cookie"]
    assert header.startswith("session=;")
    assert not is_there(app, cookie)


def test_those_that_can_be_ended_are(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app()
    cookies = [begun(app, "ann") for _ in range(3)]
    counts = []

    @signals.session_revoked.connect_via(app)
    def fail(sender: Flask) -> None:
        counts.append([is_there(app, cookie) for cookie in cookies])
        raise RuntimeError("a receiver's own")

    with pytest.raises(RuntimeError, match="own"):
        interface_of(app).revoke(*cookies)
    assert counts == [[False] * 3]
    signals.session_revoked.disconnect(fail, app)
    cookies = [begun(app, "ann") for _ in range(3)]

    def fail_once() -> None:
        raise SessionStoreError("once")

    spy.before["replace"] = fail_once
    with pytest.raises(SessionStoreError, match="once"):
        interface_of(app).revoke(*cookies)
    assert [is_there(app, cookie) for cookie in cookies] == [True, False, False]


def test_revoking_all_sessions_of_a_user(app: Flask) -> None:
    cookies = [begun(app, "ann") for _ in range(3)]
    bobs = begun(app, "bob")
    interface_of(app).revoke_user("ann")
    interface_of(app).revoke_user("nobody")
    assert not any(is_there(app, cookie) for cookie in cookies)
    assert is_there(app, bobs)
    assert listed(app, "ann") == []


@pytest.mark.parametrize("is_listed", [False, True], ids=["by its id", "as listed"])
def test_revoking_all_but_one(app: Flask, is_listed: bool) -> None:
    cookies = [begun(app, "ann") for _ in range(3)]
    kept = listed(app, "ann")[0] if is_listed else cookies[0]
    kept_cookie = next(cookie for cookie in cookies if kept in (cookie, name_of(app, cookie)))
    interface_of(app).revoke_user("ann", keep=kept)
    assert [cookie for cookie in cookies if is_there(app, cookie)] == [kept_cookie]
    assert listed(app, "ann") == [name_of(app, kept_cookie)]
    interface_of(app).revoke_user("ann")
    assert not is_there(app, kept_cookie)


def test_revoking_all_but_the_one_of_the_request(app: Flask) -> None:
    cookies = [begun(app, "ann") for _ in range(2)]

    def change_password() -> None:
        session["changed"] = True
        interface_of(app).revoke_user("ann", keep=session.sid)  # type: ignore[attr-defined]

    handle(app, change_password, cookies[1])
    assert [is_there(app, cookie) for cookie in cookies] == [False, True]
    assert peer.session_of(app, cookies[1])["changed"] is True


@pytest.mark.parametrize("before", ["ann", None])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_session_is_bound_several_times_in_one_request(app: Flask, before: str | None, count: int) -> None:
    def bind(users: t.Iterable[str | None]) -> None:
        for user in users:
            interface_of(app).bind_user(session, user)

    for users in itertools.product(["ann", "bob", None], repeat=count):
        cookie = begun(app, before)
        cookie = t.cast(str, handle(app, lambda users=users: bind(users), cookie))
        assert is_there(app, cookie), users
        names = {user: [name_of(app, cookie)] if users[-1] == user else [] for user in ("ann", "bob")}
        assert {user: listed(app, user) for user in names} == names, users
        interface_of(app).revoke_user(users[-1] or "nobody")
        assert is_there(app, cookie) is (users[-1] is None), users


def test_a_session_that_was_bound_again_and_to_another_user_beside_that(app: Flask) -> None:
    """It is not on the list of the first user any more, by no name."""

    def log_in_again() -> None:
        session["more"] = True
        for user in (None, "ann"):
            interface_of(app).bind_user(session, user)
        beside(handle, app, lambda: interface_of(app).bind_user(session, "bob"), cookie)

    cookie = begun(app, "ann")
    handle(app, log_in_again, cookie)
    interface, lifecycle = interface_of(app), interface_of(app).lifecycle
    assert lifecycle.owners.listed(interface.ids.owner_key("ann")) == []
    interface.revoke_user("ann")
    assert listed(app, "bob") == [name_of(app, cookie)]


def test_the_session_of_another_user(app: Flask) -> None:
    cookie = begun(app, "ann")
    handle(app, lambda: interface_of(app).bind_user(session, "bob"), cookie)
    assert listed(app, "ann") == []
    assert len(listed(app, "bob")) == 1
    interface_of(app).revoke_user("ann")
    assert is_there(app, cookie)


def test_a_new_id_is_its_users_too(app: Flask) -> None:
    cookie = begun(app, "ann")
    moved = handle(app, lambda: interface_of(app).regenerate(session), cookie)
    assert moved != cookie
    assert listed(app, "ann") == [name_of(app, moved)]
    interface_of(app).revoke_user("ann")
    assert not is_there(app, moved)


def test_a_logout_is_no_longer_listed(app: Flask) -> None:
    cookie = begun(app, "ann")
    handle(app, lambda: session.clear(), cookie)
    assert listed(app, "ann") == []


def test_who_logs_out_with_a_message_is_nobody(app: Flask) -> None:
    cookie = begun(app, "ann")
    handle(app, lambda: (session.clear(), session.update(message="good bye")), cookie)
    assert listed(app, "ann") == []


def test_what_is_bound_is_not_seen_by_the_application(app: Flask) -> None:
    cookie = begun(app, "ann")
    assert peer.session_of(app, cookie) == {"_permanent": True, "user": "ann"}


def test_an_empty_session_is_nobodys(app: Flask) -> None:
    assert handle(app, lambda: interface_of(app).bind_user(session, "ann")) is None
    assert listed(app, "ann") == []


def test_what_a_request_from_before_a_login_writes_is_not_the_users(app: Flask) -> None:
    cookie = begun(app)

    def in_flight() -> None:
        session.get("user")
        handle(app, lambda: interface_of(app).bind_user(session, "ann"), cookie)
        session["more"] = True

    handle(app, in_flight, cookie)
    assert "more" not in peer.session_of(app, cookie)
    handle(app, lambda: session.update(again=True), cookie)
    assert peer.session_of(app, cookie)["again"] is True
    interface_of(app).revoke_user("ann")
    assert not is_there(app, cookie)


def test_what_another_request_writes_during_a_login_is_not_the_users(app: Flask) -> None:
    cookie = begun(app, "ann")

    def log_in() -> None:
        session.pop("user")
        handle(app, lambda: session.update(is_admin=True), cookie)
        session["user"] = "bob"
        interface_of(app).regenerate(session)
        interface_of(app).bind_user(session, "bob")

    moved = handle(app, log_in, cookie)
    assert moved != cookie
    assert peer.session_of(app, t.cast(str, moved)) == {"_permanent": True, "user": "bob"}


def test_revoked_in_flight(app: Flask) -> None:
    for act in (
        lambda: session.update(more=1),
        lambda: interface_of(app).regenerate(session),
        lambda: interface_of(app).bind_user(session, "bob"),
    ):
        cookie = begun(app, "ann")

        def in_flight(act: t.Callable[[], object] = act) -> None:
            session.get("user")
            interface_of(app).revoke_user("ann")
            act()

        assert not is_there(app, handle(app, in_flight, cookie))
        assert not is_there(app, cookie)


def test_many_sessions_at_once_are_all_listed(app: Flask) -> None:
    barrier = threading.Barrier(8)

    def log_in(_: int) -> list[str]:
        barrier.wait()
        return [begun(app, "ann") for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        cookies = [cookie for own in pool.map(log_in, range(8)) for cookie in own]
    assert sorted(listed(app, "ann")) == sorted(name_of(app, cookie) for cookie in cookies)


def test_after_logins_that_race_with_a_revocation_all_that_live_are_listed(app: Flask) -> None:
    barrier = threading.Barrier(4)

    def work(thread: int) -> list[str | None]:
        barrier.wait()
        if thread == 0:
            return [interface_of(app).revoke_user("ann") for _ in range(10)]
        return [
            handle(app, lambda: (session.update(user="ann"), interface_of(app).bind_user(session, "ann")))
            for _ in range(10)
        ]

    with ThreadPoolExecutor(4) as pool:
        cookies = [cookie for own in pool.map(work, range(4)) for cookie in own]
    living = [cookie for cookie in cookies if is_there(app, cookie)]
    assert sorted(listed(app, "ann")) == sorted(name_of(app, each) for each in living)
    interface_of(app).revoke_user("ann")
    assert not any(is_there(app, cookie) for cookie in cookies)


# --- As time passes -------------------------------------------------------------------------------------------------


def test_a_revocation_that_failed_says_so_and_can_be_repeated(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app()
    cookies = [begun(app, "ann") for _ in range(2)]
    for method in ("load", "replace"):
        spy.failing = {method}
        with pytest.raises(SessionStoreError):
            interface_of(app).revoke_user("ann")
    spy.failing = set()
    interface_of(app).revoke_user("ann")
    assert not any(is_there(app, cookie) for cookie in cookies)


def test_the_list_does_not_grow_without_end(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(PERMANENT_SESSION_LIFETIME=1000)
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        sizes = []
        for _ in range(300):
            begun(app, "ann")
            travelling.shift(100)
            spy.store.now += 100
            sizes.append(len(spy.listed(interface_of(app).ids.owner_key("ann"))))
        assert len(listed(app, "ann")) == 9
    assert max(sizes[100:]) < 40


def test_a_session_that_is_renewed_stays_listed_until_it_ends(spied_app: MakeApp, spy: SpyStore) -> None:
    for config in ({}, {"SESSION_PERMANENT": False}, {"SESSION_REFRESH_EACH_REQUEST": False}):
        app = spied_app(PERMANENT_SESSION_LIFETIME=10_000, **config)
        with time_machine.travel(1_700_000_000, tick=False) as travelling:
            spy.store.now = time.time()
            cookie = begun(app, "ann")
            for seconds in (400, 9_000, 300, 9_900, 500, 9_999):
                travelling.shift(seconds)
                spy.store.now = time.time()
                handle(app, lambda: session.get("user"), cookie)
                begun(app, "bob")
            assert listed(app, "ann") == [name_of(app, cookie)]
            interface_of(app).revoke_user("ann")
            assert not is_there(app, cookie)
            interface_of(app).revoke_user("bob")


def test_nothing_is_left_of_a_user_whose_sessions_have_ended(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(PERMANENT_SESSION_LIFETIME=1000)
    for number in range(3):
        begun(app, f"user-{number}")
    interface_of(app).revoke_user("user-0", keep=begun(app, "user-0"))
    spy.store.now += 2000
    spy.store.sweep(1000)
    # Sessions that Flask-Session has begun may live on for as long.
    assert list(spy.store.records) == [interface_of(app).ids.revoked_key("user-0")]
    spy.store.now += OVERLAP
    spy.store.sweep(1000)
    assert spy.store.records == {}


def test_the_list_is_renewed_now_and_then(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app(PERMANENT_SESSION_LIFETIME=1000)
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        cookie = begun(app, "ann")
        read = {"load": 2}
        renewed = {"load": 5, "replace": 2}
        for seconds, calls in ((0, read), (49, read), (1, renewed), (49, read)):
            travelling.shift(seconds)
            spy.counted()
            handle(app, lambda: session.get("user"), cookie)
            assert spy.counted() == calls


def test_those_beyond_their_absolute_lifetime_are_not_listed(spied_app: MakeApp) -> None:
    app = spied_app(SESSION_ABSOLUTE_LIFETIME=1000)
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        cookie = begun(app, "ann")
        assert listed(app, "ann") == [name_of(app, cookie)]
        travelling.shift(1000)
        assert listed(app, "ann") == []


def test_those_that_live_stay_listed(spied_app: MakeApp, spy: SpyStore) -> None:
    app = spied_app()
    with time_machine.travel(1_700_000_000, tick=False) as travelling:
        cookies = []
        for _ in range(50):
            cookies.append(begun(app, "ann"))
            travelling.shift(700)
        assert listed(app, "ann") == [name_of(app, cookie) for cookie in cookies]


def test_only_a_session_of_ours_can_be_bound(spied_app: MakeApp) -> None:
    interface = interface_of(spied_app())
    for method in (interface.regenerate, lambda other: interface.bind_user(other, "ann")):
        with pytest.raises(TypeError, match="server-side session"):
            method({})


# --- Flask-Login ----------------------------------------------------------------------------------------------------


def with_logins(app: Flask) -> Flask:
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, name: str) -> None:
            self.id = name

    manager.user_loader(User)
    app.add_url_rule("/", "visit", lambda: session.update(visited=True) or "")
    app.add_url_rule(
        "/login/<name>", "login", lambda name: str(flask_login.login_user(User(name), remember=name == "rita"))
    )
    app.add_url_rule("/logout", "logout", lambda: str(flask_login.logout_user()))
    app.add_url_rule("/whoami", "whoami", lambda: flask_login.current_user.get_id() or "nobody")
    return app


@pytest.fixture
def login_app(make_app: MakeApp) -> Flask:
    return with_logins(make_app())


def sid_of(client: FlaskClient) -> str | None:
    cookie = client.get_cookie("session")
    return None if cookie is None else cookie.value


def test_a_login_has_a_new_id_and_is_listed(login_app: Flask) -> None:
    client = login_app.test_client()
    client.get("/")
    before = sid_of(client)
    client.get("/login/ann")
    after = sid_of(client)
    assert before is not None and after not in (None, before)
    assert peer.session_of(login_app, before) == {"_permanent": True}
    assert peer.session_of(login_app, after)["visited"] is True
    assert listed(login_app, "ann") == [name_of(login_app, after)]
    assert client.get("/whoami").text == "ann"


def test_a_logout(login_app: Flask) -> None:
    client = login_app.test_client()
    client.get("/login/ann")
    client.get("/logout")
    assert client.get("/whoami").text == "nobody"
    assert listed(login_app, "ann") == []


def test_who_logs_in_again_as_somebody_else(login_app: Flask) -> None:
    client = login_app.test_client()
    client.get("/login/ann")
    client.get("/login/bob")
    assert listed(login_app, "ann") == []
    assert listed(login_app, "bob") == [name_of(login_app, sid_of(client))]


def test_who_is_remembered_is_listed(login_app: Flask) -> None:
    client = login_app.test_client()
    client.get("/login/rita")
    client.delete_cookie("session")
    assert client.get("/whoami").text == "rita"
    assert name_of(login_app, sid_of(client)) in listed(login_app, "rita")


def test_who_is_revoked_is_logged_out(login_app: Flask) -> None:
    clients = [login_app.test_client() for _ in range(2)]
    for client in clients:
        client.get("/login/ann")
    interface_of(login_app).revoke_user("ann", keep=sid_of(clients[0]))
    assert [client.get("/whoami").text for client in clients] == ["ann", "nobody"]


def test_a_login_is_left_alone_if_so_configured(make_app: MakeApp) -> None:
    app = with_logins(make_app(SESSION_REGENERATE_ON_LOGIN=False))
    client = app.test_client()
    client.get("/")
    before = sid_of(client)
    client.get("/login/ann")
    assert sid_of(client) == before


def test_who_was_logged_in_before_is_listed_once_he_is_back(login_app: Flask) -> None:
    """As in a session of Flask-Session, which does not say whose it is but in its data."""
    cookie = begun(login_app)
    handle(login_app, lambda: session.update(_user_id="ann", _fresh=True), cookie)
    interface = interface_of(login_app)
    assert listed(login_app, "ann") == [name_of(login_app, cookie)]
    interface.revoke_user("ann")
    assert not is_there(login_app, cookie)


def test_who_is_revoked_again_is_refused_for_longer(login_app: Flask) -> None:
    interface, key = interface_of(login_app), interface_of(login_app).ids.revoked_key("ann")
    if not isinstance(interface.store, ListingStore):
        pytest.skip("memcached does not tell when a record ends")
    at_start = interface.options.unlisted_lifetime
    longest = at_start
    for lifetime in (1000, 1000, at_start + 90 * 86400, 1000):
        longest = max(longest, lifetime)
        login_app.permanent_session_lifetime = timedelta(seconds=lifetime)
        interface.revoke_user("ann")
        assert interface.store.expires_in(key) == pytest.approx(longest + OVERLAP, abs=60)


def test_a_session_that_nobody_has_bound_yet_is_kept_by_its_id(login_app: Flask) -> None:
    """As those that Flask-Session has stored, before their first request."""
    interface = interface_of(login_app)
    kept, other = "k" * 43, "o" * 43
    for sid in (kept, other):
        record = interface.lifecycle.format.dumps({"_permanent": True, "_user_id": "ann", "_fresh": True})
        assert interface.store.create(interface.ids.key(sid), record, 100)

    def revoke() -> None:
        session["seen"] = 1
        interface.revoke_user("ann", keep=[kept])

    handle(login_app, revoke, kept)
    assert peer.session_of(login_app, kept)["_user_id"] == "ann"
    assert peer.session_of(login_app, kept)["seen"] == 1
    assert not is_there(login_app, other)
    assert listed(login_app, "ann") == [name_of(login_app, kept)]
    # What was revoked before is not brought back by this.
    interface.revoke_user("ann", keep=other)
    assert not is_there(login_app, other)


def test_sessions_of_somebody_else_are_none_of_ours(login_app: Flask) -> None:
    """Flask-SocketIO has its own in handlers of events."""
    with login_app.test_request_context():
        request_context._session = SecureCookieSession()
        user = flask_login.UserMixin()
        user.id = "ann"
        assert flask_login.login_user(user)
        flask_login.logout_user()
    assert listed(login_app, "ann") == []


def test_a_logout_in_one_request_while_another_is_in_flight(login_app: Flask) -> None:
    client, other = login_app.test_client(), login_app.test_client()

    @login_app.get("/slow")
    def slow() -> str:
        session["slow"] = flask_login.current_user.get_id()
        other.get("/logout")
        return ""

    client.get("/login/ann")
    other.set_cookie("session", t.cast(str, sid_of(client)))
    client.get("/slow")
    assert client.get("/whoami").text == other.get("/whoami").text == "nobody"
    assert listed(login_app, "ann") == []
