"""What is put into a place, and the calls that it notes."""

from __future__ import annotations

import datetime
import re
import types
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass

#: What is found where there is nothing.
MISSING: t.Any = object()

#: The calls that were noted during the request that is being answered.
CALLS: list[str] = []


@dataclass
class Spot:
    """Where a value goes: a name, and the class, the instance or the module that is given the value."""

    name: str
    #: The class, or nothing if it is an instance or a module.
    cls: type | None = None
    #: What the value takes the place of.
    found: t.Any = MISSING
    #: The app, config, request or whatever it is, if the instance itself is given the value.
    instance: t.Any = None
    #: An app of the side that is changed.
    app: t.Any = None

    def before(self, owner: t.Any) -> t.Any:
        """What an instance's class would have under the name but for the change."""
        if self.found is not MISSING:
            return self.found
        order = type(owner).__mro__
        # The class may have been taken out of the order while the value was in use.
        behind = order.index(self.cls) + 1 if self.cls in order else 0
        return find_in(order[behind:], self.name)

    def inherited(self, owner: t.Any) -> t.Any:
        """What an instance would have under the name but for the change."""
        before = self.before(owner)
        if before is MISSING:
            raise AttributeError(self.name)
        get = getattr(type(before), "__get__", None)
        return before if get is None else get(before, owner, type(owner))


def find_in(order: Iterable[type], name: str) -> t.Any:
    """What the first of these classes that has the name has under it."""
    return next((vars(cls)[name] for cls in order if name in vars(cls)), MISSING)


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
        own = MISSING if spot.instance is None else vars(spot.instance).get(spot.name, MISSING)

        def method(self: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
            if is_noted:
                CALLS.append(f"{spot.name}{described(args)}{described(kwargs)}")
            if otherwise is not MISSING and spot.before(self) is MISSING:
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
            is_own = own is not MISSING and not hasattr(type(spot.before(self)), "__set__")
            return alter(self, own if is_own else spot.inherited(self))

        def put(self: t.Any, value: t.Any) -> None:
            before = spot.before(self)
            if hasattr(type(before), "__set__"):
                before.__set__(self, value)
            else:
                vars(self)[spot.name] = value

        return property(get, put)

    return Value(label, make, fits_instances=False)


def noting(name: str) -> Value:
    """A property that notes each reading."""

    def note(owner: t.Any, found: t.Any) -> t.Any:
        CALLS.append(name)
        return found

    return reading(note, "a property that notes its readings")


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
