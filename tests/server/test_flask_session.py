"""The live data of Flask-Session 0.8, the real one: read, changed and begun by it and by ours, on the same server.

What is expected is what Flask-Session itself reads or writes, never typed in.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import itertools
import logging
import os
import pickle
import secrets
import typing as t
import uuid
from collections.abc import Iterator
from pathlib import Path

import flask
import flask_login
import flask_session
import msgspec
import pymemcache
import pytest
from hypothesis import HealthCheck
from hypothesis import assume
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup

from flask_fastsession.server import ServerSession
from flask_fastsession.server.stores.sqlite import SQLiteStore
from tests.differential.codec.comparison import described
from tests.faults.support import scaled

from . import peer
from .peer import cookie_with
from .peer import opened
from .peer import put_record
from .peer import record_of
from .peer import session_of
from .servers import Server
from .servers import memcached_server
from .servers import redis_server
from .servers import wait_until

#: The key of what ours keeps along with a session.
OWN = "_server_side"


@dataclasses.dataclass
class Place:
    """A server, and the client by which both keep sessions there."""

    session_type: str
    server: Server
    client: t.Any
    apps: dict[str, tuple[flask.Flask, flask.Flask]] = dataclasses.field(default_factory=dict)

    def ttl(self, cookie: str, prefix: str = "session:") -> int:
        """How many seconds the record of a session has left."""
        key = f"{prefix}{cookie.partition('.')[0]}"
        if self.session_type == "redis":
            return int(self.client.ttl(key))
        # What was sent without waiting for a reply has been done when this is answered.
        self.client.get(key)
        answer = self.server.ask(f"mg {key} t".encode())
        assert answer.startswith(b"HD t"), answer
        return int(answer.removeprefix(b"HD t"))


@pytest.fixture(scope="module", params=peer.TYPES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server_of = {"redis": redis_server, "memcached": memcached_server}[request.param]
    with server_of(tmp_path_factory.mktemp(request.param)) as server:
        yield Place(request.param, server, peer.client_of(request.param, server))


def our_app(place: Place, **config: t.Any) -> flask.Flask:
    app = flask.Flask("ours")
    app.secret_key = "secret"
    kind = place.session_type
    app.config.from_mapping({"SESSION_TYPE": kind, f"SESSION_{kind.upper()}": place.client, **config})
    ServerSession(app)
    return app


def both_apps(place: Place, **config: t.Any) -> tuple[flask.Flask, flask.Flask]:
    """Theirs and ours, once made for each config."""
    if repr(config) not in place.apps:
        theirs = peer.peer_app(place.session_type, place.client, **config)
        place.apps[repr(config)] = theirs, our_app(place, **config)
    return place.apps[repr(config)]


def test_apps_may_come_and_go_with_one_client(place: Place) -> None:
    """As in tests, where each has an app of its own: connections are not to run out."""
    client = peer.client_of(place.session_type, place.server)
    for _ in range(150):
        app = our_app(Place(place.session_type, place.server, client))
        assert session_of(app, cookie_with(app, LOGIN))["_user_id"] == "42"


CONFIGS: list[dict[str, t.Any]] = [
    {"SESSION_SERIALIZATION_FORMAT": serialization_format, **config}
    for serialization_format in peer.FORMATS
    for config in (
        {},
        {"SESSION_USE_SIGNER": True},
        {"SESSION_KEY_PREFIX": "shop/"},
        {"SESSION_KEY_PREFIX": ""},
        {"SESSION_ID_LENGTH": 12},
        {"SESSION_ID_LENGTH": 96, "SESSION_USE_SIGNER": True},
        {"SESSION_PERMANENT": False},
        {"SESSION_REFRESH_EACH_REQUEST": False},
        {"SESSION_COOKIE_NAME": "other", "PERMANENT_SESSION_LIFETIME": datetime.timedelta(hours=1)},
    )
]

with_each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: " ".join(map(str, config.values())))

LOGIN = {
    "_user_id": "42",
    "_fresh": True,
    "cart": [{"sku": "a-1", "count": 2}],
    "at": datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc),
    "blob": b"\x00\xff",
    "price": decimal.Decimal("9.90"),
    "id": uuid.UUID(int=7),
    "point": (1, 2.5),
    "none": None,
    "name": "Zoë ☕",
}


def without_own(data: dict[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in data.items() if key != OWN}


# --- Each reads what the other has written --------------------------------------------------------------------------


@with_each_config
def test_ours_reads_what_flask_session_has_written(place: Place, config: dict[str, t.Any]) -> None:
    theirs, ours = both_apps(place, **config)
    cookie = cookie_with(theirs, LOGIN)
    assert described(session_of(ours, cookie)) == described(session_of(theirs, cookie))


@with_each_config
def test_flask_session_reads_what_ours_has_begun(place: Place, config: dict[str, t.Any]) -> None:
    theirs, ours = both_apps(place, **config)
    cookie, twin = cookie_with(ours, LOGIN), cookie_with(theirs, LOGIN)
    assert described(without_own(session_of(theirs, cookie))) == described(session_of(theirs, twin))
    assert len(cookie) == len(twin)


@with_each_config
def test_flask_session_reads_what_ours_has_changed(place: Place, config: dict[str, t.Any]) -> None:
    theirs, ours = both_apps(place, **config)
    cookie, twin = cookie_with(theirs, LOGIN), cookie_with(theirs, LOGIN)
    changes = {"_user_id": "43", "new": [1, None], "cart": []}
    assert cookie_with(ours, changes, cookie) == cookie
    assert cookie_with(theirs, changes, twin) == twin
    assert described(without_own(session_of(theirs, cookie))) == described(session_of(theirs, twin))


@with_each_config
def test_each_goes_on_with_what_the_other_has_changed(place: Place, config: dict[str, t.Any]) -> None:
    theirs, ours = both_apps(place, **config)
    cookie = cookie_with(theirs, {"n": 0})
    for number, app in enumerate([ours, theirs, ours, ours, theirs, theirs, ours]):
        assert session_of(app, cookie)["n"] == number
        assert cookie_with(app, {"n": number + 1}, cookie) == cookie


@with_each_config
def test_nested_changes_of_either_are_seen_by_the_other(place: Place, config: dict[str, t.Any]) -> None:
    theirs, ours = both_apps(place, **config)
    cookie = cookie_with(theirs, {"l": []})
    for number, app in enumerate([ours, theirs, ours]):
        session = opened(app, cookie)
        session["l"].append(number)
        # Flask-Session has to be told where it does not write each time.
        session.modified = True
        app.session_interface.save_session(app, session, flask.Response())
    assert session_of(ours, cookie)["l"] == session_of(theirs, cookie)["l"] == [0, 1, 2]


@with_each_config
@pytest.mark.parametrize("deletes", ["ours", "theirs"])
def test_what_one_has_deleted_is_gone_for_the_other(place: Place, config: dict[str, t.Any], deletes: str) -> None:
    theirs, ours = both_apps(place, **config)
    one, other = (ours, theirs) if deletes == "ours" else (theirs, ours)
    cookie = cookie_with(other, LOGIN)
    session = opened(one, cookie)
    session.clear()
    response = flask.Response()
    one.session_interface.save_session(one, session, response)
    assert record_of(theirs, cookie) is None
    assert not without_own(session_of(other, cookie)).keys() - {"_permanent"}
    assert "Max-Age=0" in response.headers["Set-Cookie"]


@pytest.mark.parametrize("written, configured", itertools.permutations(peer.FORMATS))
def test_either_format_is_read_whichever_is_configured(place: Place, written: str, configured: str) -> None:
    theirs = peer.peer_app(place.session_type, place.client, SESSION_SERIALIZATION_FORMAT=written)
    ours = our_app(place, SESSION_SERIALIZATION_FORMAT=configured)
    reader = peer.peer_app(place.session_type, place.client, SESSION_SERIALIZATION_FORMAT=configured)
    cookie = cookie_with(theirs, LOGIN)
    assert described(session_of(ours, cookie)) == described(session_of(reader, cookie))
    cookie_with(ours, {"new": 1}, cookie)
    assert described(without_own(session_of(theirs, cookie))) == described(without_own(session_of(reader, cookie)))
    assert session_of(theirs, cookie)["new"] == 1


# --- Byte for byte --------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Item:
    name: t.Any


class Point(t.NamedTuple):
    x: t.Any


class Struct(msgspec.Struct):
    value: t.Any


plain_text = st.text(st.characters(exclude_categories=["Cs"]))
leaves: st.SearchStrategy[t.Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | plain_text
    | st.binary()
    | st.binary().map(bytearray)
    | st.binary().map(lambda data: memoryview(data))
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times(timezones=st.none() | st.just(datetime.timezone.utc))
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.sampled_from([Colour.RED, Level.HIGH])
)


def containers(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    lists = st.lists(inner, max_size=4)
    numbered = st.lists(st.integers(-9, 9), max_size=4)
    return (
        lists
        | lists.map(tuple)
        | numbered.map(set)
        | numbered.map(frozenset)
        | st.dictionaries(plain_text, inner, max_size=4)
        | st.dictionaries(st.integers(-(2**63), 2**64 - 1) | plain_text, inner, max_size=2)
        | st.dictionaries(plain_text, inner, max_size=2).map(collections.OrderedDict)
        | inner.map(Item)
        | inner.map(Point)
        | inner.map(Struct)
    )


values = st.recursive(leaves, containers, max_leaves=8)
names = plain_text.filter(lambda name: name not in ("_permanent", OWN))
sessions = st.dictionaries(names, values, min_size=1, max_size=5)
many = settings(
    max_examples=scaled(50, 3_000), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def theirs_can_hold(theirs: flask.Flask, data: dict[str, t.Any]) -> bool:
    interface: t.Any = theirs.session_interface
    try:
        interface.serializer.encoder.encode(data)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("serialization_format", peer.FORMATS)
@given(data=sessions)
@many
def test_ours_writes_the_same_bytes_where_it_has_nothing_of_its_own_to_keep(
    place: Place, serialization_format: str, data: dict[str, t.Any]
) -> None:
    """That is: not permanent, no absolute lifetime, and nobody's."""
    theirs, ours = both_apps(place, SESSION_SERIALIZATION_FORMAT=serialization_format, SESSION_PERMANENT=False)
    assume(theirs_can_hold(theirs, data))
    cookie, twin = cookie_with(ours, data), cookie_with(theirs, data)
    assert record_of(theirs, cookie) == record_of(theirs, twin)
    assert described(session_of(ours, twin)) == described(session_of(theirs, twin))


@pytest.mark.parametrize("serialization_format", peer.FORMATS)
@given(data=sessions)
@many
def test_ours_writes_the_same_bytes_but_for_the_one_key_at_their_end(
    place: Place, serialization_format: str, data: dict[str, t.Any]
) -> None:
    """Of a permanent session it keeps when the cookie was set, as the cookie is set anew when that is long ago."""
    theirs, ours = both_apps(place, SESSION_SERIALIZATION_FORMAT=serialization_format)
    assume(theirs_can_hold(theirs, data))
    cookie = cookie_with(ours, data)
    own = session_of(theirs, cookie)[OWN]
    assert own.keys() == {"until"}
    twin = cookie_with(theirs, {**data, OWN: own})
    assert record_of(theirs, cookie) == record_of(theirs, twin)
    assert described(session_of(ours, twin)) == described(without_own(session_of(theirs, twin)))


def test_there_is_nothing_of_its_own_where_no_cookie_is_set_anew_and_no_login_followed(place: Place) -> None:
    theirs, ours = both_apps(place, SESSION_REFRESH_EACH_REQUEST=False, SESSION_REGENERATE_ON_LOGIN=False)
    assert record_of(theirs, cookie_with(ours, LOGIN)) == record_of(theirs, cookie_with(theirs, LOGIN))


@pytest.mark.parametrize("serialization_format", peer.FORMATS)
@given(data=sessions)
@example(data={"_user_id": []})
@example(data={"_user_id": {"ada": 1}})
@many
def test_a_session_that_is_only_read_is_not_written(
    place: Place, serialization_format: str, data: dict[str, t.Any]
) -> None:
    theirs, ours = both_apps(place, SESSION_SERIALIZATION_FORMAT=serialization_format, SESSION_PERMANENT=False)
    # One that says whose it is is written once, so that it ends with the user's others.
    assume(theirs_can_hold(theirs, data) and not isinstance(data.get("_user_id"), str | int))
    cookie = cookie_with(theirs, data)
    before = record_of(theirs, cookie)
    session = opened(ours, cookie)
    dict(session)
    response = flask.Response()
    ours.session_interface.save_session(ours, session, response)
    assert record_of(theirs, cookie) == before
    assert "Set-Cookie" not in response.headers


# --- What Flask-Session cannot hold ---------------------------------------------------------------------------------


class Text(str):
    pass


#: Values, what is read of them, and the formats in which Flask-Session cannot write them.
UNHELD: dict[str, tuple[t.Any, t.Any, tuple[str, ...]]] = {
    "Markup": (Markup("<b>saved</b>"), Markup("<b>saved</b>"), peer.FORMATS),
    "flashed Markup": ([("message", Markup("<b>saved</b>"))], [["message", Markup("<b>saved</b>")]], peer.FORMATS),
    "str subclass": (Text("text"), "text", peer.FORMATS),
    "huge": (2**64, 2**64, ("msgpack",)),
    "very negative": (-(2**63) - 1, -(2**63) - 1, ("msgpack",)),
    "surrogate": ("\ud800", "\ud800", peer.FORMATS),
}
UNHELD_CASES = [
    pytest.param(value, read, serialization_format, id=f"{name}-{serialization_format}")
    for name, (value, read, formats) in UNHELD.items()
    for serialization_format in formats
]


@pytest.mark.parametrize("value, read, serialization_format", UNHELD_CASES)
def test_ours_keeps_what_flask_session_cannot_hold(
    place: Place, value: t.Any, read: t.Any, serialization_format: str
) -> None:
    theirs, ours = both_apps(place, SESSION_SERIALIZATION_FORMAT=serialization_format)
    with pytest.raises(Exception):  # noqa: B017, as each has another.
        cookie_with(theirs, {"value": value})
    cookie = cookie_with(ours, {"value": value})
    assert described(session_of(ours, cookie)["value"]) == described(read)


@pytest.mark.parametrize("value, read, serialization_format", UNHELD_CASES)
def test_flask_session_keeps_such_a_session_in_msgpack_and_fails_in_json(
    place: Place, value: t.Any, read: t.Any, serialization_format: str
) -> None:
    theirs, ours = both_apps(place, SESSION_SERIALIZATION_FORMAT=serialization_format)
    cookie = cookie_with(ours, {"value": value, "kept": 1})
    if serialization_format == "msgpack" or type(value) is Text:
        assert session_of(theirs, cookie)["kept"] == 1
        cookie_with(theirs, {"more": 2}, cookie)
        assert session_of(ours, cookie)["more"] == 2
        assert described(session_of(ours, cookie)["value"]) == described(read)
    else:
        with pytest.raises(pickle.UnpicklingError):
            session_of(theirs, cookie)
    session = opened(ours, cookie)
    del session["value"]
    ours.session_interface.save_session(ours, session, flask.Response())
    assert session_of(theirs, cookie)["kept"] == 1


def test_what_msgpack_does_not_hold_stays_as_it_is_while_it_is_only_read(place: Place) -> None:
    _, ours = both_apps(place)
    cookie = cookie_with(ours, {"name": Text("text"), "pair": (1, 2), "markup": Markup("<b>")})
    first = session_of(ours, cookie)
    for _ in range(3):
        cookie_with(ours, {}, cookie)
    assert described(session_of(ours, cookie)) == described(first)


# --- How long it lives ----------------------------------------------------------------------------------------------

LIFETIMES = [
    datetime.timedelta(seconds=90),
    datetime.timedelta(hours=1, microseconds=700_000),
    # The longest that memcached takes for a span of time, and more.
    datetime.timedelta(days=30),
    datetime.timedelta(days=30, seconds=1),
    datetime.timedelta(days=365),
]


def about(seconds: int) -> t.Any:
    """A second or two may pass between two looks."""
    return pytest.approx(seconds, abs=2)


@pytest.mark.parametrize("permanent", [True, False])
@pytest.mark.parametrize("lifetime", LIFETIMES, ids=str)
def test_sessions_live_as_long_in_the_store(place: Place, lifetime: datetime.timedelta, permanent: bool) -> None:
    theirs, ours = both_apps(place, PERMANENT_SESSION_LIFETIME=lifetime, SESSION_PERMANENT=permanent)
    expected = about(place.ttl(cookie_with(theirs, LOGIN)))
    begun, written, read = cookie_with(ours, LOGIN), cookie_with(theirs, LOGIN), cookie_with(theirs, LOGIN)
    assert place.ttl(begun) == expected
    short = {"PERMANENT_SESSION_LIFETIME": datetime.timedelta(seconds=30)}
    for cookie in (written, read):
        cookie_with(peer.peer_app(place.session_type, place.client, **short), {"short": 1}, cookie)
        assert place.ttl(cookie) == about(30)
    cookie_with(ours, {"new": 1}, written)
    assert place.ttl(written) == expected
    session_of(ours, read)
    # That a record was read is no reason to wait for memcached's word that it lives on.
    wait_until(lambda: place.ttl(read) == expected, "the record to be touched")


# --- Pickles --------------------------------------------------------------------------------------------------------


class Exploit:
    """Makes a folder wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[t.Any, ...]:
        return os.mkdir, (self.path,)


def exploits(path: Path) -> list[bytes]:
    plain = [pickle.dumps(Exploit(path), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    within = [pickle.dumps({"a": Exploit(path)}, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    # What comes first in a record tells ours its format.
    return [*plain, *within, *(first + plain[0] for first in (b"~", b"{", b"\x81", b"\xde"))]


def begins_anew(app: flask.Flask, cookie: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "flask_fastsession"):
        session = opened(app, cookie)
        assert dict(session) == {"_permanent": True}
        assert session.new
    # That there are pickles is logged but once.
    assert len(caplog.records) <= 1
    assert cookie not in caplog.text


def test_pickles_in_the_store_are_executed_by_flask_session_and_never_by_ours(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs, ours = both_apps(place)
    path = tmp_path / "executed"
    executed = 0
    for exploit in exploits(path):
        cookie = secrets.token_urlsafe(32)
        put_record(theirs, cookie, exploit)
        begins_anew(ours, cookie, caplog)
        assert not path.exists()
        with contextlib.suppress(Exception):
            session_of(theirs, cookie)
        if path.exists():
            executed += 1
            path.rmdir()
    # The exploits are worth their name.
    assert executed >= 6


def test_pickles_in_sqlite_are_never_executed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = flask.Flask("ours", instance_path=str(tmp_path))
    ServerSession(app)
    path = tmp_path / "executed"
    store = SQLiteStore(tmp_path / "sessions.sqlite")
    for exploit in exploits(path):
        cookie = secrets.token_urlsafe(32)
        assert store.create(f"session:{cookie}", exploit, 60)
        begins_anew(app, cookie, caplog)
        assert not path.exists()
    pickle.loads(exploits(path)[0])
    assert path.exists()


def test_pickles_that_memcached_clients_left_with_their_flag_are_never_executed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with memcached_server(tmp_path) as server:
        address = server.host, server.port
        client = peer.client_of("memcached", server)
        ours = our_app(Place("memcached", server, client))
        pickling = pymemcache.Client(address, serde=pymemcache.serde.pickle_serde, default_noreply=False)
        path, cookie = tmp_path / "executed", secrets.token_urlsafe(32)
        pickling.set(f"session:{cookie}", Exploit(path), noreply=False)
        begins_anew(ours, cookie, caplog)
        assert not path.exists()
        pickling.get(f"session:{cookie}")
        assert path.exists()
        with pytest.raises(ValueError, match="unpickles"):
            our_app(Place("memcached", server, pickling))


# --- A move to ours, and back ---------------------------------------------------------------------------------------


def shop(keep: t.Callable[[flask.Flask], object], **config: t.Any) -> flask.Flask:
    """An app with a login, whose sessions are kept by what ``keep`` sets up."""
    app = flask.Flask("shop")
    app.secret_key = "secret"
    app.config.from_mapping(config)
    keep(app)
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, user_id: str) -> None:
            self.id = user_id

    manager.user_loader(User)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        flask_login.login_user(User(user))
        flask.session["cart"] = []
        return user

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        flask.session.clear()
        return ""

    @app.get("/add/<item>")
    def add(item: str) -> str:
        flask.session["cart"].append(item)
        flask.session.modified = True
        return ""

    @app.get("/")
    def whoami() -> flask.Response:
        user = flask_login.current_user
        return flask.jsonify(
            user=user.get_id(),
            cart=flask.session.get("cart"),
            fresh=flask_login.login_fresh(),
            permanent=flask.session.permanent,
        )

    return app


class Browsers:
    """Their cookies, whichever app is behind the address at the moment."""

    def __init__(self, count: int) -> None:
        self.cookies: list[str | None] = [None] * count

    def get(self, app: flask.Flask, number: int, path: str = "/") -> t.Any:
        client = app.test_client()
        cookie = self.cookies[number]
        if cookie is not None:
            client.set_cookie("session", cookie)
        response = client.get(path)
        assert response.status_code == 200
        left = client.get_cookie("session")
        self.cookies[number] = None if left is None else left.value
        return response.json if path == "/" else None

    def all_see(self, app: flask.Flask) -> list[t.Any]:
        return [self.get(app, number) for number in range(len(self.cookies))]


def test_a_user_is_revoked_who_has_not_been_back_since_the_change(place: Place) -> None:
    """No list has such a session, and it is refused when its cookie comes. A login since then is not affected."""
    theirs, ours = both_apps(place)
    interface = t.cast(t.Any, ours.session_interface)
    revoked, left, kept = (str(uuid.uuid4()) for _ in range(3))
    cookies = {user: cookie_with(theirs, {"_user_id": user}) for user in (revoked, left, kept)}
    with ours.test_request_context(headers={"Cookie": f"session={cookies[kept]}"}):
        interface.revoke_user(kept, keep=flask.session)
        ours.process_response(flask.Response())
    assert session_of(ours, cookies[kept])["_user_id"] == kept
    interface.revoke_user(revoked)
    assert session_of(ours, cookies[revoked]) == {"_permanent": True}
    assert session_of(ours, cookies[left])["_user_id"] == left
    again = cookie_with(ours, {"_user_id": revoked})
    assert session_of(ours, again)["_user_id"] == revoked


@pytest.mark.parametrize("use_signer", [False, True])
@pytest.mark.parametrize("serialization_format", peer.FORMATS)
def test_an_app_is_moved_to_ours_and_back_and_everybody_stays_logged_in(
    place: Place, serialization_format: str, use_signer: bool
) -> None:
    config = {
        "SESSION_TYPE": place.session_type,
        f"SESSION_{place.session_type.upper()}": place.client,
        "SESSION_SERIALIZATION_FORMAT": serialization_format,
        "SESSION_USE_SIGNER": use_signer,
    }
    theirs = shop(flask_session.Session, **config)
    ours = shop(ServerSession, **config)
    browsers = Browsers(5)
    for number in range(4):
        browsers.get(theirs, number, f"/login/user-{number}")
        browsers.get(theirs, number, f"/add/item-{number}")
    before = browsers.all_see(theirs)
    assert [seen["user"] for seen in before] == ["user-0", "user-1", "user-2", "user-3", None]

    cookies = list(browsers.cookies)
    assert browsers.all_see(ours) == before
    assert browsers.cookies == cookies
    browsers.get(ours, 0, "/add/second")
    browsers.get(ours, 1, "/logout")
    browsers.get(ours, 4, "/login/user-4")
    meanwhile = browsers.all_see(ours)
    assert [seen["user"] for seen in meanwhile] == ["user-0", None, "user-2", "user-3", "user-4"]
    assert meanwhile[0]["cart"] == ["item-0", "second"]

    assert browsers.all_see(theirs) == meanwhile
    browsers.get(theirs, 2, "/add/third")
    browsers.get(theirs, 3, "/logout")
    assert browsers.all_see(ours) == browsers.all_see(theirs)
    # Whoever held a cookie from before a logout or a login has nothing.
    old = Browsers(5)
    old.cookies = [None, cookies[1], None, cookies[3], cookies[4]]
    assert [seen["user"] for seen in old.all_see(ours)] == [None] * 5
