"""Attributes that change, by whose they are, and what is put there."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import typing as t

import itsdangerous
from flask.config import ConfigAttribute
from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import ImmutableMultiDict

from .stand_ins import DeafHeaders
from .stand_ins import LaxSigner
from .stand_ins import Marked
from .stand_ins import OtherHeaders
from .stand_ins import OtherSeparator
from .stand_ins import OtherVary
from .stand_ins import Renaming
from .stand_ins import Shouting
from .stand_ins import Silent
from .stand_ins import SpacedJSON
from .stand_ins import TagDecimal
from .stand_ins import environ_without_cookie
from .stand_ins import made_with_a_mark
from .stand_ins import marked
from .stand_ins import marking
from .stand_ins import marking_update
from .stand_ins import other_config
from .stand_ins import other_interface
from .stand_ins import other_provider
from .stand_ins import registered
from .stand_ins import salted
from .stand_ins import setting_up
from .stand_ins import unsorted
from .stand_ins import with_key
from .values import Value
from .values import calling
from .values import looking_up
from .values import made
from .values import noting
from .values import plain
from .values import reading
from .visits import OTHER_KEY
from .visits import OTHER_NAME

SHORT = datetime.timedelta(seconds=100)
LONG = datetime.timedelta(days=400)
OTHER_DIGEST = staticmethod(hashlib.sha256)

#: The options of a signer that accepts another digest.
SHA256 = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


def looked_up(name: str, value: t.Any) -> Value:
    """A ``__getattribute__`` that has a value of its own under one name."""
    return looking_up(name, lambda found: value)


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
        noting("config"),
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
}

#: Werkzeug's responses ask the current app for the size from which on they warn, if that app is true.
TRUTH: Attributes = {
    "__bool__": (truth(False),),
    "__len__": (truth(0),),
}

CONFIG_CLASS: Attributes = {
    "__getitem__": (
        NOTED,
        calling(lambda found: OTHER_KEY if isinstance(found, str) and found.startswith("a key") else found, "altering"),
    ),
}

PROVIDER: Attributes = {
    "dumps": (NOTED, calling(lambda text: text.replace("ada", "eve"), "a method that alters")),
    "loads": (
        NOTED,
        calling(lambda value: {**value, "mark": 1} if isinstance(value, dict) else value, "one that marks"),
    ),
    "default": (
        plain("a function", staticmethod(lambda value: "odd")),
        plain("another function", staticmethod(lambda value: "odder")),
    ),
    "sort_keys": (plain("False", False), constant(False)),
    "ensure_ascii": (plain("False", False), constant(False)),
    "__getattribute__": (
        looked_up("sort_keys", False),
        looked_up("ensure_ascii", False),
        looking_up("dumps", lambda dumps: lambda *args, **options: dumps(*args, **options).replace("ada", "eve")),
    ),
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
        # Cookies are read from the headers, which keep the environ that they were made of.
        quiet(made("without a cookie", lambda spot: environ_without_cookie(spot) if spot.instance else {})),
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
    "vary": (reading(lambda response, found: OtherVary(found), "a property"), plain("a set", {"Accept"})),
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
    "__new__": (made("one that leaves a mark", made_with_a_mark, False),),
    "__setattr__": (NOTED,),
    "on_update": (reading(lambda session, found: marking_update(found), "a property that gives another function"),),
    "__bool__": (answering(True), answering(False)),
    "__len__": (NOTED, answering(0)),
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

#: Sessions that can be revoked are made as others are and given their class then, with two more attributes, and asked
#: once more whether they are empty.
NOT_OF_REVOCABLE = ("__init__", "__new__", "__setattr__", "__len__")
SESSION_OF_REVOCABLE: Attributes = {name: made for name, made in SESSION.items() if name not in NOT_OF_REVOCABLE}

#: A dict that is made of a session calls the ``keys`` of a class of its own only where this is its own, too.
SESSION_WITH_KEYS: Attributes = {
    "__iter__": (NOTED, calling(lambda found: iter(list(found)[:1]), "one that stops early")),
}

CALLBACK_DICT: Attributes = {
    "__init__": (NOTED, made("one that leaves a mark", lambda spot: marking(spot), False)),
}

SERIALIZER: Attributes = {
    "dumps": (NOTED, calling(lambda text: " " + text, "one that adds a blank")),
    "loads": (
        NOTED,
        calling(lambda value: {**value, "mark": 1} if isinstance(value, dict) else value, "one that marks"),
    ),
    "tag": (NOTED, calling(lambda tagged: {**tagged, "mark": 1} if "user" in tagged else tagged, "one that marks")),
    "untag": (NOTED, answering({"user": "eve"})),
    "_untag_scan": (NOTED, answering({"user": "eve"})),
}

SIGNING_SERIALIZER: Attributes = {
    "__init__": (NOTED, made("one with another salt", lambda spot: setting_up(spot, "salt", b"another salt"), False)),
    "default_signer": (plain("a lax one", LaxSigner), plain("one with another separator", OtherSeparator)),
    "default_fallback_signers": (
        plain("SHA-256", [SHA256]),
        plain("SHA-256 by a class", [(itsdangerous.TimestampSigner, SHA256)]),
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
