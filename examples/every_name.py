"""Every public name of the package in use, with the types that mypy and Pyright see in their strict modes.

Nothing here is an app of its own; tests call the functions, and `make lint` checks the types.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import typing as t
from datetime import timedelta

import pytest
from flask import Flask
from flask import Request
from flask import Response
from flask import session
from flask.sessions import SecureCookieSession
from flask.sessions import SessionMixin

import flask_fastsession
from flask_fastsession import FastSession
from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import ServerSession
from flask_fastsession import SessionStoreError
from flask_fastsession import SessionTooLargeError
from flask_fastsession import server
from flask_fastsession import signals
from flask_fastsession import signing
from flask_fastsession.inspector import inspector
from flask_fastsession.inspector.toolbar import SessionPanel
from flask_fastsession.options import CREATED
from flask_fastsession.revocations import Cursor
from flask_fastsession.revocations import RevocationStats
from flask_fastsession.revocations import RevocationStore
from flask_fastsession.server import ListingStore
from flask_fastsession.server import MovingStore
from flask_fastsession.server import OwnerStore
from flask_fastsession.server import ServerSessionInterface
from flask_fastsession.server import ServerSideSession
from flask_fastsession.server import SessionInfo
from flask_fastsession.server import Source
from flask_fastsession.server import Store
from flask_fastsession.server import SweepingStore
from flask_fastsession.server.owners import OwnerRecords
from flask_fastsession.server.sources import CachelibSource
from flask_fastsession.server.sources import DynamoDBSource
from flask_fastsession.server.sources import MemcachedSource
from flask_fastsession.server.sources import MongoDBSource
from flask_fastsession.server.sources import RedisSource
from flask_fastsession.server.stats import ServerStats
from flask_fastsession.stats import KeyCounts
from flask_fastsession.stats import KindCounts
from flask_fastsession.stats import LoadCounts
from flask_fastsession.stats import SessionStats
from flask_fastsession.stats import StageCounts
from flask_fastsession.testing import ListingStoreTests
from flask_fastsession.testing import MovingStoreTests
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import RevocationStoreTests
from flask_fastsession.testing import StoreTests
from flask_fastsession.testing import SweepingStoreTests

# --- Sessions in cookies --------------------------------------------------------------------------------------------


def drop_cart(session: SessionMixin, response: Response, size: int) -> None:
    raise SessionTooLargeError(f"{size} bytes, and the cart was not even full")


def cookie_app() -> Flask:
    app = Flask(f"version-{flask_fastsession.__version__}")
    app.secret_key = "a key for type checkers"
    app.session_interface = FastSessionInterface(
        digest_method=hashlib.sha256,
        accept_digest_methods=[hashlib.sha1, "sha512"],
        resign_fallbacks=True,
        absolute_lifetime=timedelta(days=1),
        leeway=5,
        oversize=drop_cart,
    )

    app.register_blueprint(inspector)
    app.config["DEBUG_TB_PANELS"] = [f"{SessionPanel.__module__}.{SessionPanel.__name__}"]

    @app.get("/")
    def index() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return f"{session['visits']} since {session.get(CREATED)}"

    return app


class Base:
    """Any other base class, which takes an argument of its own."""

    def __init__(self, *, site: str) -> None:
        self.site = site


class SiteInterface(FastSessionInterface, Base):
    def __init__(self, **options: t.Any) -> None:
        super().__init__(**options)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        opened = super().open_session(app, request)
        assert opened is None or isinstance(opened, FastSession)
        return opened

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        super().save_session(app, session, response)


def counts(interface: FastSessionInterface) -> tuple[int, int, int, dict[str, int]]:
    stats: SessionStats = interface.stats()
    saved: StageCounts = stats["save"]
    loaded: LoadCounts = stats["loads"]
    keys: KeyCounts = stats["keys"]
    kinds: KindCounts = stats["kinds"]
    assert stats["guard"] in ("tags", "look-ups")
    genuine = keys["current"] + sum(keys["fallbacks"]) + kinds["encrypted"]
    return saved["native"], loaded["rejected"], genuine, saved["declined"]


# --- Signatures -----------------------------------------------------------------------------------------------------


def signatures(key: str) -> list[str]:
    serializers: list[t.Any] = [signing.URLSafeSerializer(key), signing.URLSafeTimedSerializer(key)]
    assert signing.URLSafeTimedSerializer(key).loads(serializers[1].dumps({"user": "ada"}), max_age=60)
    serializers.append(signing.EncryptedSerializer(key, salt=None, purpose="invitation"))
    plain: signing.Serializer[str] = signing.Serializer(key)
    timed: signing.TimedSerializer[str] = signing.TimedSerializer(key)
    signers: list[signing.Signer | signing.TimestampSigner] = [signing.Signer(key), signing.TimestampSigner(key)]
    return [
        *(serializer.dumps([1]) for serializer in serializers),
        plain.dumps([1]),
        timed.dumps([1]),
        *(signer.sign("text").decode() for signer in signers),
    ]


# --- Revocations ----------------------------------------------------------------------------------------------------


class MemoryRevocations:
    """A list of revocations of one process, which keeps them as long as it lives."""

    def __init__(self) -> None:
        self.generation = secrets.token_hex(8)
        self.entries: list[tuple[int, str]] = []
        self.lock = threading.Lock()

    def add(self, entry: str, ttl: int) -> Cursor:
        with self.lock:
            last = self.entries[-1][0] if self.entries else 0
            self.entries.append((max(last + 1, time.time_ns() // 1000), entry))
            return Cursor(self.entries[-1][0], self.generation)

    def since(self, cursor: Cursor | None) -> tuple[list[tuple[int, str]], Cursor]:
        with self.lock:
            if not self.entries:
                return [], Cursor(0, "")
            last = Cursor(self.entries[-1][0], self.generation)
            is_known = cursor is not None and cursor.generation == self.generation and cursor.number <= last.number
            after = cursor.number if cursor is not None and is_known else 0
            return [entry for entry in self.entries if entry[0] > after], last


def revocable(store: RevocationStore) -> tuple[FastSessionInterface, RevocationStats]:
    revocations = Revocations(store, every=5, on_outage="keep")
    return FastSessionInterface(revocations=revocations), revocations.stats()


def log_out_everywhere_else(interface: FastSessionInterface, user: str) -> None:
    interface.bind_user(session, user)
    interface.revoke_user(user, keep=session)


def log_out(interface: FastSessionInterface) -> None:
    interface.revoke(session)


# --- Sessions on the server -----------------------------------------------------------------------------------------


class MemoryStore:
    """A store of your own needs no base class."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}

    def load(self, key: str, ttl: int | None = None) -> bytes | None:
        return self.records.get(key)

    def create(self, key: str, data: bytes, ttl: int | None) -> bool:
        return self.records.setdefault(key, data) is data

    def replace(self, key: str, old: bytes, new: bytes | None, ttl: int | None) -> bool | bytes:
        found = self.records.get(key)
        if found != old:
            return False if found is None else found
        if new is None:
            del self.records[key]
        else:
            self.records[key] = new
        return True

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.records.pop(key, None)


class UserStore(MemoryStore, OwnerRecords):
    """The same, which also knows whose a session is."""


def old_backends(redis: str, memcached: str, mongo: t.Any, dynamo: t.Any, cache: t.Any) -> list[Source]:
    return [
        RedisSource(redis, key_prefix="old:"),
        MemcachedSource(memcached),
        MongoDBSource(mongo),
        DynamoDBSource(dynamo),
        CachelibSource(cache),
    ]


class NoOldSessions:
    """A source of sessions to take over from."""

    def load(self, sid: str) -> bytes | dict[str, t.Any] | None:
        return None


def what_it_can(store: Store) -> list[str]:
    kinds: dict[str, type] = {"sweep": SweepingStore, "keys": ListingStore, "move": MovingStore, "list": OwnerStore}
    return [name for name, kind in kinds.items() if isinstance(store, kind)]


def server_app(path: str) -> tuple[Flask, ServerSession]:
    source: Source = NoOldSessions()
    app = Flask("server-side")
    app.config["SESSION_SQLITE_PATH"], app.config["SESSION_TAKE_OVER"] = path, source
    sessions = server.ServerSession(app)

    @app.get("/login/<user>")
    def login(user: str) -> list[str]:
        session["user"] = user
        sessions.regenerate(session)
        sessions.bind_user(session, user)
        return [one.name for one in sessions.sessions_of(user)]

    @app.get("/logout/<user>")
    def logout(user: str) -> str:
        devices: list[SessionInfo] = sessions.sessions_of(user)
        sessions.revoke(*devices[1:])
        sessions.revoke_user(user, keep=session)
        return "" if opened_by(sessions.interface) is None else "on the server"

    @app.errorhandler(SessionStoreError)
    def unavailable(error: server.SessionStoreError) -> tuple[str, int]:
        return "Try again in a minute.", 503

    return app, sessions


def opened_by(interface: ServerSessionInterface) -> ServerSideSession | None:
    opened: object = session._get_current_object()  # type: ignore[attr-defined]
    return opened if isinstance(opened, ServerSideSession) and opened.sid else None


def server_counts(sessions: ServerSession) -> tuple[int, dict[str, int]]:
    stats: ServerStats = sessions.stats()
    return stats["created"], stats["refused"]


def log_signals(app: Flask, log: list[str]) -> t.Callable[..., None]:
    """Note what happens to the sessions of an app, for as long as the function that is returned lives."""

    def note(sender: Flask | None, **extra: t.Any) -> None:
        log.append(extra.get("reason", "done"))

    for signal in (
        signals.session_created,
        signals.session_regenerated,
        signals.session_ended,
        signals.session_refused,
    ):
        signal.connect(note, sender=app)
    signals.session_revoked.connect(note)
    return note


# --- Tests of a store of your own -----------------------------------------------------------------------------------


class MemoryStoreSuite(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class MemoryRevocationsSuite(RevocationStoreTests):
    @pytest.fixture
    def store(self) -> RevocationStore:
        return MemoryRevocations()


#: The tests for what a store can do beyond that.
SUITES: list[type[StoreTests]] = [SweepingStoreTests, ListingStoreTests, MovingStoreTests, OwnerStoreTests]
