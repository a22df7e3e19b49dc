"""What a way to change something is, and where it finds the class or the instance."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from .places import LIBRARY
from .places import Place
from .sides import Side
from .sides import Undo
from .values import Spot
from .values import Value
from .values import find_in

#: Where the attributes of instances may be set for as long as the app runs; the others come and go with each request.
LASTING = ("app", "config", "provider", "interface", "serializer")

#: Owners whose class is an app's own, made anew for each case.
FAMILIES = ("app", "config", "provider", "interface", "request", "response", "headers")


@dataclass(frozen=True)
class Way:
    """One way to put a value into a place.

    Ways of the same slot undo each other's work, so only one of them is used at a time.
    """

    name: str
    slot: str
    apply: Callable[[Side, Place, Value], Undo]
    #: Whether a change that is made for one side is one for the other, too.
    is_shared: bool = False
    #: Whether it changes classes or modules that outlive the case.
    is_lasting: bool = False
    #: Whether the instance itself is given the value, and so has to be asked for it.
    by_instance: bool = False
    #: What is put there before the app is warmed up.
    plant: Callable[[Side, Place], Undo] | None = None


def find(cls: type, name: str) -> t.Any:
    """What a class or one of its bases has under a name."""
    return find_in(cls.__mro__, name)


def class_of(side: Side, place: Place) -> type:
    """The class of which an instance is asked for the attribute."""
    if place.owner in side.families:
        return t.cast(type, side.families[place.owner].own)
    return side.session_type if place.owner == "session" else LIBRARY[place.owner]


def instance_of(side: Side, owner: str) -> t.Any:
    found = {
        "app": lambda: side.app,
        "config": lambda: side.app.config,
        "provider": lambda: side.app.json,
        "interface": lambda: side.app.session_interface,
        "serializer": lambda: side.interface.serializer,
    }
    return found[owner]()


def made_for_instance(side: Side, place: Place, value: Value, instance: t.Any) -> t.Any:
    return value.make(Spot(place.attribute, instance=instance, app=side.app))


def new_class(side: Side, place: Place, value: Value, name: str, *bases: t.Any) -> type:
    """A class that has the value."""
    spot = Spot(place.attribute, app=side.app)
    metaclass = type(bases[0]) if bases else type
    # No class is to have room for more than the one whose place it takes.
    names = {"__slots__": ()} if bases else {"spare": None}
    spot.cls = metaclass(name, bases, {**names, place.attribute: value.make(spot)})
    return t.cast(type, spot.cls)


def in_turn(*undos: Undo) -> Undo:
    def undo() -> None:
        for each in reversed(undos):
            each()

    return undo
