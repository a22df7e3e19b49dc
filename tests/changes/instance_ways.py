"""Ways to change instances: their attributes, their classes, and others in their place."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from collections.abc import Iterator

from .places import Place
from .sides import Side
from .sides import Undo
from .values import MISSING
from .values import Value
from .way import LASTING
from .way import Way
from .way import instance_of
from .way import made_for_instance
from .way import new_class

Write = Callable[[t.Any, str, t.Any], Undo]


def put_back(instance: t.Any, name: str, before: t.Any) -> None:
    if before is MISSING:
        vars(instance).pop(name, None)
    else:
        vars(instance)[name] = before


def by_setattr(instance: t.Any, name: str, value: t.Any) -> Undo:
    before = vars(instance).get(name, MISSING)
    # An app has some of its attributes in its config.
    config = vars(instance).get("config", {})
    items = dict(config)
    setattr(instance, name, value)
    changed = {key: item for key, item in items.items() if dict.__getitem__(config, key) is not item}

    def undo() -> None:
        put_back(instance, name, before)
        dict.update(config, changed)

    return undo


def by_item(instance: t.Any, name: str, value: t.Any) -> Undo:
    before = vars(instance).get(name, MISSING)
    vars(instance)[name] = value
    return lambda: put_back(instance, name, before)


def by_update(instance: t.Any, name: str, value: t.Any) -> Undo:
    before = vars(instance).get(name, MISSING)
    instance.__dict__.update({name: value})
    return lambda: put_back(instance, name, before)


def by_another_dict(instance: t.Any, name: str, value: t.Any) -> Undo:
    """Give it another ``__dict__``, with one name more."""
    before = vars(instance).get(name, MISSING)
    instance.__dict__ = {**vars(instance), name: value}

    def undo() -> None:
        put_back(instance, name, before)
        instance.__dict__ = dict(vars(instance))

    return undo


def by_swap(instance: t.Any, name: str, value: t.Any) -> Undo:
    """One attribute of the instance goes as another comes."""
    before = vars(instance).get(name, MISSING)
    del vars(instance)["spare"]
    vars(instance)[name] = value

    def undo() -> None:
        put_back(instance, name, before)
        vars(instance)["spare"] = None

    return undo


def on_instance(write: Write) -> Callable[[Side, Place, Value], Undo]:
    def apply(side: Side, place: Place, value: Value) -> Undo:
        if place.owner in LASTING:
            instance = instance_of(side, place.owner)
            return write(instance, place.attribute, made_for_instance(side, place, value, instance))

        def change(instance: t.Any) -> None:
            write(instance, place.attribute, made_for_instance(side, place, value, instance))

        side.on[place.owner].append(change)
        return lambda: side.on[place.owner].remove(change)

    return apply


def by_class(side: Side, place: Place, value: Value) -> Undo:
    """Give the instance another class."""

    def change(instance: t.Any) -> Undo:
        before = type(instance)
        instance.__class__ = new_class(side, place, value, "Own", before)
        return lambda: setattr(instance, "__class__", before)

    if place.owner in LASTING:
        return change(instance_of(side, place.owner))
    side.on[place.owner].append(change)
    return lambda: side.on[place.owner].remove(change)


def by_replacement(side: Side, place: Place, value: Value) -> Undo:
    """Put an instance of another class into its place, or have instances made of another class."""
    if place.owner == "headers":
        before = side.headers_class
        side.headers_class = new_class(side, place, value, "Own", before)
        return lambda: setattr(side, "headers_class", before)
    owner, name = holder_of(side, place.owner)
    current = side.base_of_sessions if place.owner == "session" else getattr(owner, name)
    if isinstance(current, type):
        return by_item(owner, name, new_class(side, place, value, "Own", current))
    replaced = replacement(new_class(side, place, value, "Own", type(current)), current, side)
    return by_setattr(owner, name, replaced)


def holder_of(side: Side, owner: str) -> tuple[t.Any, str]:
    holders = {
        "config": (side.app, "config"),
        "provider": (side.app, "json"),
        "interface": (side.app, "session_interface"),
        "request": (side.app, "request_class"),
        "response": (side.app, "response_class"),
        "session": (side.app.session_interface, "session_class"),
    }
    return holders[owner]


def replacement(cls: t.Any, instance: t.Any, side: Side) -> t.Any:
    if isinstance(instance, dict):
        made = cls(t.cast(t.Any, instance).root_path, instance)
    else:
        made = cls(side.app) if hasattr(instance, "_app") else cls()
    vars(made).update({name: value for name, value in vars(instance).items() if name != "_app"})
    return made


def instance_ways(owner: str) -> Iterator[Way]:
    writes: dict[str, Write] = {
        "by setattr": by_setattr,
        "by vars(instance)": by_item,
        "by __dict__.update": by_update,
        "by another __dict__": by_another_dict,
    }
    if owner in LASTING:
        writes["swapped in the instance"] = by_swap
    for name, write in writes.items():
        yield Way(name, "instance", on_instance(write), by_instance=True)
