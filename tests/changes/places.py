"""What changes: attributes by their owners, config values, what is in lists and dicts, globals of modules."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import importlib
import itertools
import json
import time
import types
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass

import flask
import flask.sessions
import itsdangerous
from flask.config import ConfigAttribute
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import Headers
from werkzeug.datastructures import ImmutableMultiDict

from .sides import Side
from .values import Spot
from .values import Value
from .values import calling
from .values import function
from .values import looking_up
from .values import made
from .values import plain
from .values import reading
from .visits import OLD_KEY
from .visits import OLDEST_KEY
from .visits import OTHER_KEY
from .visits import OTHER_NAME

Kind = t.Literal["attribute", "item", "content", "global"]
Container = Callable[[Side], t.Any]


def prepare_nothing(side: Side) -> None:
    """Most places need nothing."""


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
    prepare: Callable[[Side], None] = prepare_nothing
    #: The list or dict that is changed in place, or the module whose global is.
    container: Container | None = None

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.attribute}"


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
    "serializer": TaggedJSONSerializer,
    "signing serializer": itsdangerous.URLSafeTimedSerializer,
    "signer": itsdangerous.TimestampSigner,
}

# --- Values ---------------------------------------------------------------------------------------------------------

SHORT = datetime.timedelta(seconds=100)
LONG = datetime.timedelta(days=400)
OTHER_DIGEST = staticmethod(hashlib.sha256)


def looked_up(name: str, value: t.Any) -> Value:
    """A ``__getattribute__`` that has a value of its own under one name."""
    return looking_up(name, lambda found: value)


def other_config(spot: Spot) -> t.Any:
    config = type(spot.app.config)(spot.app.config.root_path, spot.app.config)
    config["SECRET_KEY"] = OTHER_KEY
    return config


def unsorted(app: t.Any, provider: t.Any) -> t.Any:
    other = type(provider)(app)
    other.sort_keys = False
    return other


def other_provider(spot: Spot) -> t.Any:
    return unsorted(spot.app, spot.app.json)


def other_interface(spot: Spot) -> t.Any:
    interface = type(spot.app.session_interface)()
    interface.salt = "another salt"
    return interface


def with_key(app: t.Any, config: t.Any) -> t.Any:
    return type(config)(config.root_path, {**config, "SECRET_KEY": OTHER_KEY})


class Shouting(ImmutableMultiDict[str, str]):
    """Cookies of a class that loses all of them."""

    def get(self, key: t.Any, default: t.Any = None, type: t.Any = None) -> t.Any:  # type: ignore[override]
        return default


class Renaming(ImmutableMultiDict[str, str]):
    """Cookies of a class that gives the other session."""

    def get(self, key: t.Any, default: t.Any = None, type: t.Any = None) -> t.Any:  # type: ignore[override]
        return super().get(OTHER_NAME if key == "session" else key, default)


class SpacedJSON(TaggedJSONSerializer):
    """A serializer of another class."""

    __slots__ = ()

    def dumps(self, value: t.Any) -> str:
        return " " + super().dumps(value)


class Marked(SecureCookieSession):
    """A session class that leaves a mark."""

    def __init__(self, initial: t.Any = None) -> None:
        super().__init__(initial)
        self["mark"] = 1


class Silent(SecureCookieSession):
    """A session class that takes itself for unchanged."""

    @property
    def modified(self) -> bool:  # type: ignore[override]
        return False

    @modified.setter
    def modified(self, value: bool) -> None:
        pass


class TagDecimal(JSONTag):
    """A tag that Flask does not have."""

    __slots__ = ()
    key = " dc"

    def check(self, value: t.Any) -> bool:
        return type(value).__name__ == "Decimal"

    def to_json(self, value: t.Any) -> t.Any:
        return str(value)

    def to_python(self, value: t.Any) -> t.Any:
        return "decimal " + value


class TagList(JSONTag):
    """A tag in the place of Flask's tuples."""

    __slots__ = ()
    key = " t"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, tuple)

    def to_json(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in reversed(value)]

    def to_python(self, value: t.Any) -> t.Any:
        return list(value)


class LaxSigner(itsdangerous.TimestampSigner):
    """A signer that signs in a way of its own."""

    def get_signature(self, value: str | bytes) -> bytes:
        return b"lax"


class OtherSeparator(itsdangerous.TimestampSigner):
    """A signer that separates by something else."""

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **{**kwargs, "sep": ":"})


class OtherSerializer(itsdangerous.URLSafeTimedSerializer):
    """A serializer whose tokens begin with a mark of their own."""

    def dumps(self, obj: t.Any, salt: t.Any = None) -> t.Any:
        return "x" + str(super().dumps(obj, salt))


class Later(datetime.datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: t.Any = None) -> Later:
        return cls(2030, 1, 2, tzinfo=tz)


class MuchLater(datetime.datetime):
    """Another clock that stands."""

    @classmethod
    def now(cls, tz: t.Any = None) -> MuchLater:
        return cls(2040, 1, 2, tzinfo=tz)


class DeafHeaders(EnvironHeaders):
    """Headers of a request that know of no cookie."""

    def getlist(self, key: str, *args: t.Any, **kwargs: t.Any) -> list[t.Any]:
        return [] if key == "Cookie" else super().getlist(key, *args, **kwargs)


def environ_without_cookie(spot: Spot) -> t.Any:
    return {name: value for name, value in spot.instance.environ.items() if name != "HTTP_COOKIE"}


def salted(serializer: t.Any) -> t.Any:
    if serializer is not None:
        serializer.salt = b"another salt"
    return serializer


def marked(session: t.Any) -> t.Any:
    if session is not None:
        session["mark"] = 1
    return session


NOTED = calling()


def answering(answer: t.Any, is_noted: bool = True) -> Value:
    return calling(lambda found: answer, f"a method that answers {answer!r}", otherwise=None, is_noted=is_noted)


def quiet(value: Value) -> Value:
    """One that stock does not notice, and ours should not either."""
    return dataclasses.replace(value, matters=False)


def truth(answer: t.Any) -> Value:
    """Of an app, whose truth may be asked for more often or less: a listed difference."""
    return answering(answer, is_noted=False)


def constant(answer: t.Any) -> Value:
    return reading(lambda owner, found: answer, f"a property that is {answer!r}")


# --- Attributes -----------------------------------------------------------------------------------------------------

Attributes = dict[str, tuple[Value, ...]]

# What stock does not ask for. A change there is not to matter to ours either.
IGNORED = (NOTED, plain("nothing", None))

APP: Attributes = {
    "secret_key": (
        plain("a text", OTHER_KEY),
        plain("None", None),
        constant(b"bytes"),
        made("another ConfigAttribute", lambda spot: ConfigAttribute("ANOTHER_KEY"), fits_instances=False),
    ),
    "permanent_session_lifetime": (plain("short", SHORT), plain("long", LONG), constant(SHORT)),
    "config": (
        reading(with_key, "a property that gives another config"),
        made("another config", other_config),
    ),
    "json": (
        reading(unsorted, "a property that gives another provider"),
        made("another provider", other_provider),
    ),
    "session_interface": (made("another interface", other_interface),),
    "__getattribute__": (
        looked_up("secret_key", OTHER_KEY),
        looked_up("permanent_session_lifetime", SHORT),
        looking_up("config", lambda config: with_key(None, config)),
    ),
    "__bool__": (truth(False),),
    "__len__": (truth(0),),
}

CONFIG_CLASS: Attributes = {
    "__getitem__": (
        NOTED,
        calling(lambda found: OTHER_KEY if isinstance(found, str) and found.startswith("a key") else found, "altering"),
    ),
}


def with_mark(value: t.Any) -> t.Any:
    return {**value, "mark": 1} if isinstance(value, dict) else value


PROVIDER: Attributes = {
    "dumps": (NOTED, calling(lambda text: text.replace("ada", "eve"), "a method that alters")),
    "loads": (
        NOTED,
        calling(with_mark, "one that marks"),
    ),
    "default": (
        plain("a function", staticmethod(lambda value: "odd")),
        plain("another function", staticmethod(lambda value: "odder")),
    ),
    "sort_keys": (plain("False", False), constant(False)),
    "ensure_ascii": (plain("False", False), constant(False)),
    "__getattribute__": (looked_up("sort_keys", False), looked_up("ensure_ascii", False)),
}

GETTERS: dict[str, tuple[object, object]] = {
    "get_cookie_name": (OTHER_NAME, "third"),
    "get_cookie_domain": ("example.com", "example.org"),
    "get_cookie_path": ("/a", "/b"),
    "get_cookie_secure": (True, 1),
    "get_cookie_partitioned": (True, 1),
    "get_cookie_samesite": ("Lax", "Strict"),
    "get_cookie_httponly": (False, 0),
}

INTERFACE: Attributes = {
    "salt": (plain("a text", "another salt"), plain("bytes", b"a third salt"), constant("a fourth salt")),
    "digest_method": (plain("SHA-256", OTHER_DIGEST), plain("SHA-512", staticmethod(hashlib.sha512))),
    "key_derivation": (plain("django-concat", "django-concat"), plain("none", "none"), constant("concat")),
    "serializer": (
        plain("of another class", SpacedJSON()),
        made("with a tag", lambda spot: registered(TagDecimal)),
        plain("json", json),
    ),
    "session_class": (plain("one that leaves a mark", Marked), plain("one that is unchanged", Silent)),
    "get_signing_serializer": (NOTED, calling(salted, "one with another salt"), answering(None)),
    "get_expiration_time": (NOTED, answering(None), answering(datetime.datetime(2031, 1, 1))),
    "should_set_cookie": (NOTED, answering(True), answering(False)),
    "is_null_session": (NOTED, answering(True)),
    "open_session": (NOTED, calling(marked, "one that leaves a mark"), answering(None)),
    "save_session": (NOTED,),
    "__getattribute__": (
        looked_up("salt", "another salt"),
        looked_up("get_cookie_path", lambda app: "/looked/up"),
        looked_up("session_class", Marked),
    ),
    **{name: (NOTED, *map(answering, answers)) for name, answers in GETTERS.items()},
}

REQUEST: Attributes = {
    "cookies": (
        reading(lambda request, found: Renaming(found), "a property"),
        plain("none", ImmutableMultiDict()),
        plain("others", Renaming()),
    ),
    "dict_storage_class": (plain("one that loses them", Shouting), plain("one that renames", Renaming)),
    "headers": (
        reading(lambda request, found: DeafHeaders(found.environ), "a property"),
        made("of another class", lambda spot: DeafHeaders(spot.instance.environ) if spot.instance else DeafHeaders({})),
        made(
            "of another environ",
            lambda spot: EnvironHeaders(environ_without_cookie(spot)) if spot.instance else EnvironHeaders({}),
        ),
    ),
    "environ": (
        quiet(reading(lambda request, found: dict(found), "a property")),
        made("without a cookie", lambda spot: environ_without_cookie(spot) if spot.instance else {}),
    ),
    "__getattribute__": (
        looking_up("cookies", lambda found: Renaming(found)),
        looking_up("headers", lambda found: DeafHeaders(found.environ)),
    ),
    "__init__": (
        calling(label="one that notes its calls"),
        made("one that sets cookies", lambda spot: setting_up(spot, "cookies", ImmutableMultiDict()), False),
        made("one that sets headers", lambda spot: setting_up(spot, "headers", EnvironHeaders({})), False),
    ),
}

#: Of the headers that a request has: Werkzeug's class of them is a part of the library that nobody else extends.
REQUEST_HEADERS: Attributes = {
    "getlist": (plain("a function", lambda key: []), plain("another", lambda key: [f"session={OTHER_NAME}"])),
    "environ": (made("without a cookie", environ_without_cookie),),
}

RESPONSE: Attributes = {
    "set_cookie": (NOTED, answering(None)),
    "delete_cookie": (NOTED, answering(None)),
    "max_cookie_size": (plain("50", 50), constant(20)),
    "vary": (reading(lambda response, found: OtherVary(found), "a property"), plain("a set", set())),
    "headers": (reading(lambda response, found: OtherHeaders(found), "a property"),),
    "__getattribute__": (
        looking_up("vary", lambda found: OtherVary(found)),
        looking_up("headers", lambda found: OtherHeaders(found)),
        looking_up("max_cookie_size", lambda found: 20),
    ),
}

HEADERS: Attributes = {
    "add": (NOTED,),
    "get": (NOTED, calling(lambda found: found or "Origin", "one that finds more")),
    "__setitem__": (NOTED,),
    "set": (NOTED,),
    "_list": (reading(lambda headers, found: list(found), "a property that gives a copy"),),
    "__getattribute__": (looking_up("_list", lambda found: list(found)),),
}

SESSION: Attributes = {
    "permanent": (plain("True", True), constant(True), constant(False)),
    "modified": (plain("True", True), constant(True), constant(False)),
    "accessed": (plain("True", True), constant(True), constant(False)),
    "__init__": (NOTED, made("one that leaves a mark", lambda spot: marking(spot), False)),
    "__bool__": (answering(True), answering(False)),
    "__len__": (NOTED, answering(0)),
    # A dict made of it looks at the one to decide whether to call the other.
    "__iter__": (quiet(NOTED), quiet(calling(lambda found: iter(list(found)[:1]), "one that stops early"))),
    "keys": (quiet(NOTED), quiet(calling(lambda found: list(found)[:1], "one that stops early"))),
    "__getitem__": (NOTED, answering("other")),
    "get": (NOTED, answering("other")),
    "__setitem__": (NOTED, answering(None)),
    "__getattribute__": (
        looked_up("modified", True),
        looked_up("permanent", True),
        looked_up("accessed", False),
        looking_up("get", lambda found: lambda *args: "other"),
    ),
}

SERIALIZER: Attributes = {
    "dumps": (NOTED, calling(lambda text: " " + text, "one that adds a blank")),
    "loads": (
        NOTED,
        calling(with_mark, "one that marks"),
    ),
}

SIGNING_SERIALIZER: Attributes = {
    "default_signer": (plain("a lax one", LaxSigner), plain("one with another separator", OtherSeparator)),
    "default_fallback_signers": (
        plain("SHA-256", [{"digest_method": hashlib.sha256, "key_derivation": "hmac"}]),
        plain("SHA-256 by a class", [(LaxSigner, {})]),
    ),
}

SIGNER: Attributes = {
    "get_timestamp": (NOTED, calling(lambda found: found + 5, "one that is ahead")),
}

SIGNER_DEFAULTS: Attributes = {
    "default_digest_method": (plain("SHA-256", OTHER_DIGEST), plain("SHA-512", staticmethod(hashlib.sha512))),
    "default_key_derivation": (plain("none", "none"), plain("concat", "concat")),
}

IGNORED_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "app": ("__getattr__", "name_of_nothing", "extensions_of_nothing"),
    "config": ("get", "__missing__", "__contains__", "__getattr__"),
    "provider": ("__getattr__", "response_of_nothing"),
    "interface": ("__getattr__", "null_session_of_nothing"),
    "request": ("__getattr__", "list_storage_class"),
    "response": ("__getattr__",),
}


class OtherVary:
    """A ``vary`` that adds another name, too."""

    def __init__(self, vary: t.Any) -> None:
        self._vary = vary

    def add(self, name: str) -> None:
        self._vary.add(name)
        self._vary.add("Origin")


class OtherHeaders:
    """Headers that leave a mark when one is added."""

    def __init__(self, headers: t.Any) -> None:
        self._headers = headers

    def add(self, name: str, value: str) -> None:
        self._headers.add(name, value)
        self._headers.add("X-Mark", "1")

    def __setitem__(self, name: str, value: str) -> None:
        self._headers[name] = value
        self._headers["X-Mark"] = "2"

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._headers, name)

    def __getitem__(self, name: str) -> t.Any:
        return self._headers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._headers


def registered(*tag_classes: type[JSONTag]) -> TaggedJSONSerializer:
    serializer = TaggedJSONSerializer()
    for tag_class in tag_classes:
        serializer.register(tag_class, force=True)
    return serializer


def setting_up(spot: Spot, name: str, value: t.Any) -> t.Any:
    """An ``__init__`` that sets an attribute."""

    def init(self: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        spot.inherited(self)(*args, **kwargs)
        setattr(self, name, value)

    return init


def marking(spot: Spot) -> t.Any:
    """An ``__init__`` that leaves a mark in a session."""

    def init(self: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        spot.inherited(self)(*args, **kwargs)
        dict.__setitem__(self, "mark", 1)

    return init


def with_defaults_of_the_signer(side: Side) -> None:
    side.interface.key_derivation = side.interface.digest_method = None


def with_a_serializer(side: Side) -> None:
    type(side.interface).serializer = TaggedJSONSerializer()


def attributes(owner: str, table: Attributes, **options: t.Any) -> Iterator[Place]:
    for name, values in table.items():
        if owner != "interface" or hasattr(LIBRARY[owner], name):
            yield Place("attribute", owner, name, values, **options)


def all_attributes() -> Iterator[Place]:
    yield from attributes("app", APP)
    yield from attributes("config", CONFIG_CLASS)
    yield from attributes("provider", PROVIDER)
    yield from attributes("interface", INTERFACE)
    yield from attributes("request", REQUEST)
    yield from attributes("request headers", REQUEST_HEADERS)
    yield from attributes("response", RESPONSE)
    yield from attributes("headers", HEADERS)
    yield from attributes("session", SESSION)
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
    "SECRET_KEY_FALLBACKS": (None, [], [OTHER_KEY], (OLD_KEY,), OTHER_KEY),
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
    operation("append", lambda signers: signers.append({"digest_method": hashlib.sha256, "key_derivation": "hmac"})),
    operation("insert", lambda signers: signers.insert(0, (LaxSigner, {})), matters=False),
)

SHARED = SecureCookieSessionInterface.serializer


def with_a_bytearray(side: Side) -> None:
    side.app.config["SECRET_KEY"] = bytearray(b"a key")


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
        ("serializer", lambda side: side.interface.serializer, with_a_serializer),
        ("shared serializer", lambda side: SHARED, prepare_nothing),
    ):
        yield content(owner, "order", ORDER, lambda side, of=serializer: of(side).order, prepare=prepare)
        yield content(owner, "tags", TAGS, lambda side, of=serializer: of(side).tags, prepare=prepare)
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
            function(with_mark, "one that marks"),
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
    noted = NOTED.make(dataclasses.replace(spot, name="add", found=spot.found.add))
    return noted


def globals_of_modules() -> Iterator[Place]:
    for owner, table in GLOBALS.items():
        for name, values in table.items():
            yield Place("global", owner, name, values, container=lambda side, of=owner: importlib.import_module(of))


PLACES: tuple[Place, ...] = tuple(itertools.chain(all_attributes(), config_values(), contents(), globals_of_modules()))
