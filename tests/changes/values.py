"""What is put into a place, and the calls that it notes."""

from __future__ import annotations

import datetime
import re
import types
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

#: What is found where there is nothing.
MISSING: t.Any = object()

#: The calls that were noted during the request that is being answered.
CALLS: list[str] = []


@dataclass(frozen=True)
class Spot:
    """Where a value goes: a name, what is found under it now, and the class or the instance that is given the value."""

    name: str
    found: t.Any
    #: The app, config, request or whatever it is, if the instance itself is given the value.
    instance: t.Any = None
    #: An app of the side that is changed.
    app: t.Any = None

    def inherited(self, owner: t.Any) -> t.Any:
        """What an instance would have under the name but for the change."""
        if self.found is MISSING:
            raise AttributeError(self.name)
        get = getattr(type(self.found), "__get__", None)
        return self.found if get is None else get(self.found, owner, type(owner))


Make = Callable[[Spot], t.Any]
Alter = Callable[[t.Any], t.Any]


@dataclass(frozen=True)
class Value:
    """One thing to put into a place."""

    label: str
    make: Make
    #: Whether it does anything in the ``__dict__`` of an instance.
    fits_instances: bool = True
    #: Whether an answer of stock changes by it, if it is found at all.
    matters: bool = True


def plain(label: str, value: t.Any, matters: bool = True) -> Value:
    """The same object wherever it goes."""
    return Value(label, lambda spot: value, matters=matters)


def made(label: str, make: Make, fits_instances: bool = True) -> Value:
    return Value(label, make, fits_instances=fits_instances)


def same(answer: t.Any) -> t.Any:
    return answer


def calling(
    alter: Alter = same, label: str = "a method that notes its calls", otherwise: t.Any = MISSING, is_noted: bool = True
) -> Value:
    """A method that notes how it is called, calls what was there before, and alters the answer.

    ``otherwise`` is the answer where nothing was there.
    """

    def make(spot: Spot) -> t.Any:
        # What an instance is given must not look for itself there.
        own = MISSING if spot.instance is None else getattr(spot.instance, spot.name, MISSING)

        def method(self: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
            if is_noted:
                CALLS.append(f"{spot.name}{described(args)}{described(kwargs)}")
            if otherwise is not MISSING and spot.found is MISSING:
                return alter(otherwise)
            inherited = spot.inherited(self) if own is MISSING else own
            return alter(inherited(*args, **kwargs))

        return method if spot.instance is None else types.MethodType(method, spot.instance)

    return Value(label, make)


def reading(alter: Callable[[t.Any, t.Any], t.Any], label: str = "a property") -> Value:
    """A property that alters what was found before, given the instance and that. Only a class may have it."""

    def make(spot: Spot) -> t.Any:
        def get(self: t.Any) -> t.Any:
            own = vars(self).get(spot.name, MISSING)
            found = spot.inherited(self) if own is MISSING or hasattr(type(spot.found), "__set__") else own
            return alter(self, found)

        def put(self: t.Any, value: t.Any) -> None:
            if hasattr(type(spot.found), "__set__"):
                spot.found.__set__(self, value)
            else:
                vars(self)[spot.name] = value

        return property(get, put)

    return Value(label, make, fits_instances=False)


def looking_up(name: str, alter: Alter) -> Value:
    """A ``__getattribute__`` that alters what it finds under one name."""

    def make(spot: Spot) -> t.Any:
        def look_up(self: t.Any, wanted: str) -> t.Any:
            found = spot.inherited(self)(wanted)
            return alter(found) if wanted == name else found

        return look_up

    return Value(f"a look-up that alters {name}", make, fits_instances=False)


def function(alter: Alter = same, label: str = "a function that notes its calls") -> Value:
    """A function in a module, which notes how it is called and alters the answer of the one that was there."""

    def make(spot: Spot) -> t.Any:
        def replaced(*args: t.Any, **kwargs: t.Any) -> t.Any:
            CALLS.append(f"{spot.name}{described(args)}{described(kwargs)}")
            return alter(spot.found(*args, **kwargs))

        return replaced

    return Value(label, make)


def described(value: t.Any) -> str:
    """An argument as a text that is the same on both sides."""
    if isinstance(value, datetime.datetime):
        return repr(value.replace(microsecond=0))
    if isinstance(value, tuple | list):
        return "(" + ", ".join(map(described, value)) + ")"
    if isinstance(value, dict):
        return impersonal(type(value).__name__) + repr({key: described(item) for key, item in dict.items(value)})
    if isinstance(value, str | bytes | int | float | datetime.timedelta | None):
        return repr(value)
    return f"<{impersonal(type(value).__name__)}>"


def impersonal(text: str) -> str:
    """A text without addresses, and without the names that tell ours from stock's."""
    return re.sub("0x[0-9a-f]+", "0x", text).replace("FastSession", "SecureCookieSession")
