"""Which of Flask's attributes an app overrides, as native code sees it, and where the overrides come from."""

from __future__ import annotations

import functools
import importlib
import typing as t
from inspect import getattr_static

from flask import Flask

from .. import _native

#: Packages whose classes apps extend and tools patch.
LIBRARIES = ("flask", "werkzeug", "itsdangerous", "flask_fastsession")


class Override(t.NamedTuple):
    """An attribute such as ``request.cookies``, and the class or function in place of Flask's."""

    attribute: str
    source: str


def overrides_of(app: Flask, request: t.Any, response: t.Any, session: t.Any) -> list[Override]:
    """Return the overrides that make native code decline, except for methods of the interface."""
    interface: t.Any = app.session_interface
    owners = {"app": app, "config": app.config, "json": app.json, "request": request, "response": response}
    owners |= {"headers": response.headers, "session": session, "serializer": getattr(interface, "serializer", None)}
    found = []
    for owner, name in _native.overridden(interface, app, request, response, session):
        if owner != "interface" or name in ("session_class", "serializer"):
            instance = interface if owner == "interface" else owners.get(owner)
            source = source_of(instance, name) if instance is not None else source_in(owner, name)
            found.append(Override(f"{owner}.{name}", source))
    return found


def source_of(instance: object, name: str) -> str:
    """The class or function that an attribute of an instance comes from."""
    value = getattr_static(instance, name, None)
    for cls in type(instance).__mro__:
        if name in vars(cls) and vars(cls)[name] is value and cls.__module__.partition(".")[0] not in LIBRARIES:
            return named(cls)
    return origin(value)


def source_in(path: str, name: str) -> str:
    """The class or function that an attribute of a module, or of a class in a module, comes from."""
    module, _, cls = path.rpartition(".")
    try:
        return origin(getattr_static(importlib.import_module(path), name))
    except ImportError:
        return origin(getattr_static(getattr(importlib.import_module(module), cls), name))


def origin(value: t.Any) -> str:
    """The name of a function: the getter of a property, or the wrapper around a function, as tracing tools make it."""
    value = getattr_static(value, "fget", None) or value
    value = getattr(value, "_self_wrapper", value)
    value = value.func if isinstance(value, functools.partial) else value
    return named(value if hasattr(value, "__qualname__") else type(value))


def named(thing: t.Any) -> str:
    return f"{getattr(thing, '__module__', '?')}.{thing.__qualname__}"
