"""What changes: attributes by their owners, config values, what is in lists and dicts, globals of modules."""

from __future__ import annotations

import datetime
import functools
import importlib
import itertools
import random
import time
import types
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass

import flask
import flask.sessions
import itsdangerous
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import CallbackDict
from werkzeug.datastructures import Headers

from .attributes import APP
from .attributes import CALLBACK_DICT
from .attributes import CONFIG_CLASS
from .attributes import HEADERS
from .attributes import IGNORED
from .attributes import IGNORED_ATTRIBUTES
from .attributes import INTERFACE
from .attributes import LONG
from .attributes import NOTED
from .attributes import PROVIDER
from .attributes import REQUEST
from .attributes import REQUEST_HEADERS
from .attributes import RESPONSE
from .attributes import SERIALIZER
from .attributes import SESSION
from .attributes import SESSION_OF_REVOCABLE
from .attributes import SESSION_WITH_KEYS
from .attributes import SHA256
from .attributes import SHORT
from .attributes import SIGNER
from .attributes import SIGNER_DEFAULTS
from .attributes import SIGNING_SERIALIZER
from .attributes import TRUTH
from .attributes import Attributes
from .sides import Side
from .sides import Undo
from .stand_ins import DeafHeaders
from .stand_ins import Later
from .stand_ins import LaxSigner
from .stand_ins import MuchLater
from .stand_ins import OtherSerializer
from .stand_ins import Renaming
from .stand_ins import SpacedJSON
from .stand_ins import TagDecimal
from .stand_ins import TagList
from .stand_ins import salted
from .values import Spot
from .values import Value
from .values import function
from .values import made
from .values import plain
from .visits import OLD_KEY
from .visits import OLDEST_KEY
from .visits import OTHER_KEY
from .visits import OTHER_NAME

Kind = t.Literal["attribute", "item", "content", "global"]
Container = Callable[[Side], t.Any]


def prepare_nothing(side: Side) -> Undo | None:
    """Most places need nothing."""
    return None


@dataclass(frozen=True)
class Place:
    """Something that may change at any time."""

    kind: Kind
    owner: str
    attribute: str
    values: tuple[Value, ...]
    #: Whether an answer of stock changes by it, in one way at least.
    matters: bool = True
    #: Whether native code answers before the change.
    is_native: bool = True
    #: What is done to a side before it is warmed up, and what takes that back if it would outlive the case.
    prepare: Callable[[Side], Undo | None] = prepare_nothing
    #: The list or dict that is changed in place, or the module whose global is.
    container: Container | None = None
    #: Whether ours has revocations, so that its sessions are of the class that can be revoked.
    is_revocable: bool = False

    @property
    def name(self) -> str:
        return f"{'revocable ' * self.is_revocable}{self.owner}.{self.attribute}"


#: The library's class for each owner, if more than one app may have it.
LIBRARY: dict[str, type] = {
    "app": flask.Flask,
    "config": flask.Config,
    "provider": DefaultJSONProvider,
    "interface": SecureCookieSessionInterface,
    "request": flask.Request,
    "response": flask.Response,
    "headers": Headers,
    "session": SecureCookieSession,
    "CallbackDict": CallbackDict,
    "serializer": TaggedJSONSerializer,
    "signing serializer": itsdangerous.URLSafeTimedSerializer,
    "signer": itsdangerous.TimestampSigner,
}

# --- Attributes -----------------------------------------------------------------------------------------------------


def with_defaults_of_the_signer(side: Side) -> None:
    side.interface.key_derivation = side.interface.digest_method = None


def with_a_large_session(side: Side) -> None:
    """One whose cookie is larger than Werkzeug warns of where no app says otherwise."""
    side.app.config["MAX_COOKIE_SIZE"] = 0
    large = random.Random(7).randbytes(4000).hex()
    side.on["session"].append(lambda session: dict.__setitem__(session, "large", large) if session else None)


def with_keys_of_its_own(side: Side) -> Undo | None:
    """Which nobody asks for as long as the session's class has no way of its own to be iterated."""
    if "keys" in vars(SecureCookieSession):
        return None
    cls: t.Any = SecureCookieSession
    cls.keys = lambda session: [key for key in dict.keys(session) if key != "tuple"]
    return lambda: delattr(cls, "keys")


def with_a_serializer(side: Side) -> None:
    type(side.interface).serializer = TaggedJSONSerializer()


def attributes(owner: str, table: Attributes, **options: t.Any) -> Iterator[Place]:
    for name, values in table.items():
        if owner != "interface" or hasattr(LIBRARY[owner], name):
            yield Place("attribute", owner, name, values, **options)


def all_attributes() -> Iterator[Place]:
    yield from attributes("app", APP)
    yield from attributes("app", TRUTH, prepare=with_a_large_session)
    yield from attributes("config", CONFIG_CLASS)
    yield from attributes("provider", PROVIDER)
    yield from attributes("interface", INTERFACE)
    yield from attributes("request", REQUEST)
    yield from attributes("request headers", REQUEST_HEADERS)
    yield from attributes("response", RESPONSE)
    yield from attributes("headers", HEADERS)
    yield from attributes("session", SESSION)
    yield from attributes("session", SESSION_WITH_KEYS, prepare=with_keys_of_its_own)
    yield from attributes("session", SESSION_OF_REVOCABLE, is_revocable=True)
    yield from attributes("session", SESSION_WITH_KEYS, prepare=with_keys_of_its_own, is_revocable=True)
    yield from attributes("CallbackDict", CALLBACK_DICT)
    yield from attributes("serializer", SERIALIZER, prepare=with_a_serializer)
    yield from attributes("signing serializer", SIGNING_SERIALIZER)
    yield from attributes("signer", SIGNER)
    yield from attributes("signer", SIGNER_DEFAULTS, prepare=with_defaults_of_the_signer)
    for owner, names in IGNORED_ATTRIBUTES.items():
        for name in names:
            values = IGNORED[:1] if name.startswith("__") else IGNORED
            yield Place("attribute", owner, name, values, matters=False)


# --- Values in the config -------------------------------------------------------------------------------------------

CONFIG_VALUES: dict[str, tuple[object, ...]] = {
    "SECRET_KEY": (OTHER_KEY, b"bytes", None, ""),
    "SECRET_KEY_FALLBACKS": (None, [], [OTHER_KEY], (OTHER_KEY, OLD_KEY), OTHER_KEY),
    "SESSION_COOKIE_NAME": (OTHER_NAME, "third"),
    "SESSION_COOKIE_DOMAIN": ("example.com", "example.org"),
    "SESSION_COOKIE_PATH": ("/a", "/b"),
    "SESSION_COOKIE_SECURE": (True, 1),
    "SESSION_COOKIE_HTTPONLY": (False, None),
    "SESSION_COOKIE_SAMESITE": ("Lax", "Strict", "none of these"),
    "SESSION_COOKIE_PARTITIONED": (True, 1),
    "APPLICATION_ROOT": ("/a", "/b"),
    "PERMANENT_SESSION_LIFETIME": (SHORT, LONG, 50, datetime.timedelta(seconds=5000.5)),
    "SESSION_REFRESH_EACH_REQUEST": (False, None),
    "MAX_COOKIE_SIZE": (50, 20),
}


def config_values() -> Iterator[Place]:
    for name, values in CONFIG_VALUES.items():
        if name in flask.Flask.default_config:
            yield Place("item", "config", name, tuple(plain(repr(value), value) for value in values))


# --- What is in lists and dicts -------------------------------------------------------------------------------------

Operation = Callable[[t.Any], object]


def operation(label: str, operate: Operation, matters: bool = True) -> Value:
    """Something done to a list or a dict, in place."""
    return Value(label, lambda spot: operate, matters=matters)


def replaced_first(value: t.Any) -> Operation:
    def operate(values: list[t.Any]) -> None:
        values[0] = value

    return operate


def assigned(value: list[t.Any]) -> Operation:
    def operate(values: list[t.Any]) -> None:
        values[:] = value

    return operate


KEYS = (
    operation("append", lambda keys: keys.append(OTHER_KEY)),
    operation("insert", lambda keys: keys.insert(0, OTHER_KEY)),
    operation("extend by bytes", lambda keys: keys.extend([OTHER_KEY.encode()])),
    operation("remove", lambda keys: keys.remove(OLD_KEY)),
    operation("pop", lambda keys: keys.pop()),
    operation("clear", lambda keys: keys.clear()),
    operation("one item replaced", replaced_first(OTHER_KEY)),
    operation("all items replaced", assigned([OTHER_KEY, OLDEST_KEY])),
    operation("reverse", lambda keys: keys.reverse(), matters=False),
)

BYTEARRAY_KEY = (
    operation("all bytes replaced", assigned(t.cast(t.Any, OTHER_KEY.encode()))),
    operation("extend", lambda key: key.extend(b"!")),
    operation("one byte replaced", replaced_first(ord("b"))),
)


def moved_to_the_end(order: list[t.Any]) -> None:
    """Tuples behind all others, where the one for what has ``__html__`` does not take them either."""
    order.append(order.pop(2))


ORDER = (
    operation("reverse", lambda order: order.reverse(), matters=False),
    operation("remove", lambda order: order.remove(order[2])),
    operation("one moved to the end", moved_to_the_end, matters=False),
    operation("insert", lambda order: order.insert(0, TagDecimal(order[0].serializer))),
    operation("one item replaced", lambda order: order.__setitem__(2, TagList(order[0].serializer))),
    operation("clear", lambda order: order.clear()),
)

TAGS = (
    operation("one item replaced", lambda tags: tags.__setitem__(" t", TagList(tags[" t"].serializer))),
    operation("remove", lambda tags: tags.pop(" t")),
    operation("clear", lambda tags: tags.clear()),
    operation("one replaced by another", lambda tags: tags.update({" x": tags.pop(" t")})),
)

REGISTERED = (
    operation("register", lambda serializer: serializer.register(TagDecimal)),
    operation("register in front", lambda serializer: serializer.register(TagList, force=True, index=0)),
    operation("another order", lambda serializer: setattr(serializer, "order", serializer.order[:2])),
    operation("other tags", lambda serializer: setattr(serializer, "tags", {})),
    operation("another class", lambda serializer: setattr(serializer, "__class__", SpacedJSON)),
)

FALLBACK_SIGNERS = (
    operation("append", lambda signers: signers.append(SHA256)),
    operation("insert", lambda signers: signers.insert(0, (LaxSigner, {})), matters=False),
)

SHARED = SecureCookieSessionInterface.serializer


def with_a_bytearray(side: Side) -> None:
    side.app.config["SECRET_KEY"] = bytearray(b"a key")


def serializer_of(side: Side) -> t.Any:
    return side.interface.serializer


def shared_serializer(side: Side) -> t.Any:
    return SHARED


def part_of(serializer: Container, name: str, side: Side) -> t.Any:
    return getattr(serializer(side), name)


def contents() -> Iterator[Place]:
    def content(owner: str, name: str, values: tuple[Value, ...], container: Container, **options: t.Any) -> Place:
        return Place("content", owner, name, values, container=container, **options)

    if "SECRET_KEY_FALLBACKS" in flask.Flask.default_config:
        yield content("config", "SECRET_KEY_FALLBACKS", KEYS, lambda side: side.app.config["SECRET_KEY_FALLBACKS"])
    yield content(
        "config",
        "SECRET_KEY",
        BYTEARRAY_KEY,
        lambda side: side.app.config["SECRET_KEY"],
        prepare=with_a_bytearray,
        is_native=False,
    )
    for owner, serializer, prepare in (
        ("serializer", serializer_of, with_a_serializer),
        ("shared serializer", shared_serializer, prepare_nothing),
    ):
        yield content(owner, "order", ORDER, functools.partial(part_of, serializer, "order"), prepare=prepare)
        yield content(owner, "tags", TAGS, functools.partial(part_of, serializer, "tags"), prepare=prepare)
        yield content(owner, "register", REGISTERED, serializer, prepare=prepare)
    yield content(
        "signing serializer",
        "default_fallback_signers",
        FALLBACK_SIGNERS,
        lambda side: itsdangerous.URLSafeTimedSerializer.default_fallback_signers,
    )


# --- Globals of modules ---------------------------------------------------------------------------------------------


def clock(label: str, ahead: int) -> Value:
    now = int(time.time()) + ahead
    return plain(label, lambda: now)


def module_of_a_clock(label: str, ahead: int) -> Value:
    now = int(time.time()) + ahead
    return plain(label, types.SimpleNamespace(time=lambda: now))


GLOBALS: dict[str, dict[str, tuple[Value, ...]]] = {
    "json": {
        "dumps": (function(), function(lambda text: text.replace("ada", "eve"), "one that alters")),
        "loads": (
            function(),
            function(lambda value: {**value, "mark": 1} if isinstance(value, dict) else value, "one that marks"),
        ),
    },
    "time": {"time": (clock("50 s ahead", 50), clock("5000 s ahead", 5000))},
    "itsdangerous.timed": {"time": (module_of_a_clock("50 s ahead", 50), module_of_a_clock("5000 s ahead", 5000))},
    "flask.sessions": {
        "datetime": (plain("in 2030", Later), plain("in 2040", MuchLater)),
        "URLSafeTimedSerializer": (plain("a subclass", OtherSerializer), function(salted, "a function")),
        "BadSignature": (plain("another exception", KeyError),),
    },
    "werkzeug.sansio.response": {
        "dump_cookie": (function(), function(lambda line: line + "; Mark", "one that alters")),
        "Headers": (made("a subclass", lambda spot: type("Mine", (spot.found,), {"add": noting_add(spot)})),),
    },
    "werkzeug.sansio.request": {
        "parse_cookie": (function(), function(lambda cookies: Renaming(cookies), "one that alters")),
    },
    "werkzeug.wrappers.request": {"EnvironHeaders": (plain("a subclass", DeafHeaders),)},
}


def noting_add(spot: Spot) -> t.Any:
    return NOTED.make(Spot("add", found=spot.found.add))


def module_named(name: str, side: Side) -> t.Any:
    return importlib.import_module(name)


def globals_of_modules() -> Iterator[Place]:
    for owner, table in GLOBALS.items():
        for name, values in table.items():
            yield Place("global", owner, name, values, container=functools.partial(module_named, owner))


PLACES: tuple[Place, ...] = tuple(itertools.chain(all_attributes(), config_values(), contents(), globals_of_modules()))
