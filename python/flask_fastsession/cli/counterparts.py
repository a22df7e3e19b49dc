"""The session interface of an app on Flask's class and on this package's class, with the app's overrides on both."""

from __future__ import annotations

import typing as t

from flask.sessions import SecureCookieSessionInterface

from ..interface import FastSessionInterface
from ..session import FastSession
from .errors import BadInput

Interface = SecureCookieSessionInterface


def counterparts_of(own: Interface) -> tuple[Interface, FastSessionInterface]:
    """Return stock's interface and ours, one of which is the app's own; raise :exc:`BadInput` if that is impossible."""
    try:
        if isinstance(own, FastSessionInterface):
            base = Interface if type(own) is FastSessionInterface else stock_methods()
            return rebased(own, base), own
        return own, rebased(own, FastSessionInterface)
    except TypeError as error:
        name = type(own).__qualname__
        raise BadInput(
            f"{name} has no counterpart to compare it with: a subclass raises {type(error).__name__}"
        ) from None


T = t.TypeVar("T", bound=Interface)


def rebased(own: Interface, base: type[T]) -> T:
    """Return an interface with the overrides of the app's own, and with the methods of ``base`` behind ``super()``."""
    kind = type(own)
    is_plain = kind in (Interface, FastSessionInterface)
    other_kind: type[T] = base if is_plain else type(kind.__name__, (kind, base), {})
    other = other_kind.__new__(other_kind)
    vars(other).update(vars(own))
    # Needed if an attribute was set on Flask's class, or on ours.
    for name in ("salt", "digest_method", "key_derivation", "serializer"):
        if getattr(other, name) is not getattr(own, name):
            setattr(other, name, getattr(own, name))
    if own.session_class not in (FastSession, Interface.session_class, other.session_class):
        other.session_class = own.session_class
    return other


def stock_methods() -> type[FastSessionInterface]:
    """Return a class with Flask's own methods in front of ours. A subclass of ours goes in front of it."""
    names = [name for name in vars(FastSessionInterface) if not name.startswith("_") and hasattr(Interface, name)]
    return type("StockMethods", (FastSessionInterface,), {name: getattr(Interface, name) for name in names})


def is_stock(interface: Interface) -> bool:
    """Whether an interface has run none of our code so far. An override may call our class by its name."""
    if not isinstance(interface, FastSessionInterface):
        return True
    stats = interface.stats()
    return not any(stats[name]["native"] or stats[name]["declined"] for name in ("open", "loads", "save", "dumps"))
