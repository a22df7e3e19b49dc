"""Changes between requests: to config, apps and interfaces, and to classes of Flask and Werkzeug."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import typing as t
from collections.abc import Callable
from datetime import timedelta

import flask
from flask import Flask
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface
from flask.sessions import SessionMixin
from itsdangerous import TimestampSigner
from werkzeug.datastructures import CallbackDict
from werkzeug.sansio.response import Response as SansIOResponse

from ..codec.odd_types import calls
from ..codec.settings import KEYS
from ..codec.settings import NOW
from ..codec.settings import ODD_FALLBACKS
from ..codec.settings import ODD_KEY_VALUES
from ..codec.settings import PROVIDERS
from .apps import REQUEST_CLASSES
from .apps import RESPONSE_CLASSES
from .apps import OwnFlask
from .apps import OwnRequest
from .apps import OwnResponse
from .interfaces import ANSWERS
from .interfaces import ATTRIBUTES
from .interfaces import NotedSession
from .observed import observed_call

# --- Config ---------------------------------------------------------------------------------------------------------

ODD_FLAGS: tuple[t.Any, ...] = (True, False, 1, 0, None, "yes", "", 1.0, [])

#: What an app may be configured with, and what it should rather not.
USUAL_CONFIG: dict[str, tuple[t.Any, ...]] = {
    "SESSION_COOKIE_NAME": ("session", "session", "sid", "__Host-x", "a_b.c"),
    "SESSION_COOKIE_DOMAIN": (None, "example.org", ".example.org", "example.org:8080", "bücher.example", "localhost"),
    "SESSION_COOKIE_PATH": (None, "/", "/app", "/ä b;c", "/%20"),
    "APPLICATION_ROOT": ("/", "/root"),
    "SESSION_COOKIE_SECURE": (True, False),
    "SESSION_COOKIE_HTTPONLY": (True, False),
    "SESSION_COOKIE_SAMESITE": (None, "Strict", "lax", "Lax", "None"),
    "SESSION_COOKIE_PARTITIONED": (True, False),
    "SESSION_REFRESH_EACH_REQUEST": (True, False),
    "PERMANENT_SESSION_LIFETIME": (3600, timedelta(days=31), timedelta(seconds=90), 60, timedelta(days=365)),
    "MAX_COOKIE_SIZE": (4093, 0, 150),
    "SECRET_KEY": KEYS,
    "SECRET_KEY_FALLBACKS": (None, [], ["old"], ["older", b"old"], ("old",)),
    "PROPAGATE_EXCEPTIONS": (True, False, None),
}
ODD_CONFIG: dict[str, tuple[t.Any, ...]] = {
    "SESSION_COOKIE_NAME": ("", "sess ion", " session", "sessi\xf6n", "a=b", "x;y", 'q"q', "a\r\nb", "\ud800", None, 5),
    "SESSION_COOKIE_DOMAIN": ("", "..a", "a" * 70, "a..b", False, 5, "a\nb", "EXAMPLE.org"),
    "SESSION_COOKIE_PATH": ("", "x", "/\n", "/a\\b", "/\ud800", 5, False, "/flask-fastsession-token", b"/bytes"),
    "APPLICATION_ROOT": (None, "", "x", 5),
    "SESSION_COOKIE_SECURE": ODD_FLAGS,
    "SESSION_COOKIE_HTTPONLY": ODD_FLAGS,
    "SESSION_COOKIE_SAMESITE": ("bad", "", "STRICT", 5, False, "laX"),
    "SESSION_COOKIE_PARTITIONED": ODD_FLAGS,
    "SESSION_REFRESH_EACH_REQUEST": ODD_FLAGS,
    "PERMANENT_SESSION_LIFETIME": (
        *(0, -1, 1.5, 10**12, "5", None, True, timedelta(0), timedelta(seconds=-90), timedelta.max, timedelta.min),
        *(timedelta(seconds=1.5), timedelta(microseconds=-1), timedelta(days=3_000_000)),
    ),
    "MAX_COOKIE_SIZE": (-1, None, 10, 1.5, "5", True),
    "SECRET_KEY": ODD_KEY_VALUES,
    "SECRET_KEY_FALLBACKS": ODD_FALLBACKS,
    "PROPAGATE_EXCEPTIONS": (True, False),
}

# --- Changes to both sides ------------------------------------------------------------------------------------------


def configure(app: Flask, name: str, value: t.Any) -> None:
    app.config[name] = copy.deepcopy(value)


def unconfigure(app: Flask, name: str, value: t.Any) -> None:
    app.config.pop(name, None)


def rotate_keys(app: Flask, name: str, value: t.Any) -> None:
    app.config["SECRET_KEY_FALLBACKS"] = [app.config["SECRET_KEY"]]
    app.config["SECRET_KEY"] = name


def change_fallbacks(app: Flask, name: str, value: t.Any) -> None:
    """In place, if it is a list."""
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
    if isinstance(fallbacks, list):
        getattr(fallbacks, name)(*value)


def set_on_interface(app: Flask, name: str, value: t.Any) -> None:
    setattr(app.session_interface, *ATTRIBUTES[name])


def delete_from_interface(app: Flask, name: str, value: t.Any) -> None:
    vars(app.session_interface).pop(name, None)


def set_on_app(app: Flask, name: str, value: t.Any) -> None:
    classes = {"request_class": REQUEST_CLASSES, "response_class": RESPONSE_CLASSES}
    setattr(app, name, classes[name][value] if name in classes else value)


def set_provider(app: Flask, name: str, value: t.Any) -> None:
    app.json = PROVIDERS[name](app)


def set_json_option(app: Flask, name: str, value: t.Any) -> None:
    setattr(app.json, name, value)


def replace_config(app: Flask, name: str, value: t.Any) -> None:
    """Flask needs no more than a dict."""
    t.cast(t.Any, app).config = dict(app.config)


#: Each is made to both sides.
CHANGES: dict[str, Callable[[Flask, str, t.Any], None]] = {
    "config": configure,
    "config less": unconfigure,
    "config a dict": replace_config,
    "key": rotate_keys,
    "fallbacks": change_fallbacks,
    "interface": set_on_interface,
    "interface less": delete_from_interface,
    "app": set_on_app,
    "json provider": set_provider,
    "json option": set_json_option,
}

# --- Patches --------------------------------------------------------------------------------------------------------


def patched(hook: str, answer: Callable[..., t.Any]) -> Callable[[t.Any], t.Any]:
    def replace(original: t.Any) -> t.Any:
        def method(self: t.Any, *args: t.Any) -> t.Any:
            calls.append(f"patched {hook}")
            return answer(functools.partial(original, self), *args)

        return method

    return replace


def noted(original: t.Any) -> t.Any:
    @functools.wraps(original)
    def method(*args: t.Any, **kwargs: t.Any) -> t.Any:
        calls.append(observed_call(f"patched {original.__name__}", args[1:], kwargs))
        return original(*args, **kwargs)

    return method


def always(value: t.Any) -> Callable[[t.Any], t.Any]:
    return lambda original: value


#: Attributes of classes that tests and tools replace: for a while, in the midst of everything.
PATCHES: dict[str, tuple[type, str, Callable[[t.Any], t.Any]]] = {
    **{
        f"{owner.__name__}.{hook}: {how}": (owner, hook, patched(hook, made))
        for owner in (SessionInterface, SecureCookieSessionInterface)
        for hook, ways in ANSWERS.items()
        for how, made in ways.items()
        if hasattr(owner, hook) and not (owner is SessionInterface and hook in vars(SecureCookieSessionInterface))
    },
    "salt": (SecureCookieSessionInterface, "salt", always("patched salt")),
    "digest": (SecureCookieSessionInterface, "digest_method", always(staticmethod(hashlib.sha256))),
    "derivation": (SecureCookieSessionInterface, "key_derivation", always("concat")),
    "serializer": (SecureCookieSessionInterface, "serializer", always(json)),
    "session class": (SecureCookieSessionInterface, "session_class", always(NotedSession)),
    "null session": (SessionInterface, "null_session_class", always(SecureCookieSession)),
    "permanent": (SessionMixin, "permanent", always(property(lambda self: True, lambda self, value: None))),
    "permanent of cookies": (SecureCookieSession, "permanent", always(True)),
    "modified": (SecureCookieSession, "modified", always(True)),
    "accessed": (SessionMixin, "accessed", always(True)),
    "bool": (SecureCookieSession, "__bool__", always(lambda self: True)),
    "init": (SecureCookieSession, "__init__", noted),
    "on change": (CallbackDict, "__setitem__", noted),
    "set_cookie": (SansIOResponse, "set_cookie", noted),
    "delete_cookie": (SansIOResponse, "delete_cookie", noted),
    "set_cookie of Flask": (flask.Response, "set_cookie", noted),
    "vary": (flask.Response, "vary", always(property(lambda self: set()))),
    "max_cookie_size": (flask.Response, "max_cookie_size", always(30)),
    "cookies": (flask.Request, "cookies", always(property(lambda self: {"session": "patched"}))),
    "cookies of the app's own requests": (OwnRequest, "cookies", always(property(lambda self: {"session": ""}))),
    "set_cookie of the app's own responses": (OwnResponse, "set_cookie", noted),
    "lifetime of the app's own class": (OwnFlask, "permanent_session_lifetime", always(timedelta(seconds=20))),
    "lifetime": (Flask, "permanent_session_lifetime", always(timedelta(seconds=20))),
    "secret key": (Flask, "secret_key", always("patched key")),
    "config": (flask.Config, "__getitem__", always(lambda self, name: dict.get(self, name) or None)),
    "timestamp": (TimestampSigner, "get_timestamp", always(lambda self: int(NOW) - 5)),
}
