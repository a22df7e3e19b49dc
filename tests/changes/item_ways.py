"""Ways to change values in the config, what is in lists and dicts, and globals of modules."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

from .places import Place
from .sides import Side
from .sides import Undo
from .values import MISSING
from .values import Spot
from .values import Value
from .way import Way
from .way import in_turn

# --- Values in the config -------------------------------------------------------------------------------------------


def with_item(write: Callable[[t.Any, str, t.Any], object]) -> Callable[[Side, Place, Value], Undo]:
    def apply(side: Side, place: Place, value: Value) -> Undo:
        config = side.app.config
        before = dict.get(config, place.attribute, MISSING)
        write(config, place.attribute, made_for_item(side, place, value))

        def undo() -> None:
            dict.__setitem__(config, place.attribute, before)
            dict.setdefault(config, "SPARE", None)

        return undo

    return apply


def made_for_item(side: Side, place: Place, value: Value) -> t.Any:
    return value.make(Spot(place.attribute, app=side.app))


def swap_item(config: t.Any, name: str, value: t.Any) -> None:
    del config["SPARE"]
    del config[name]
    config.update({"MORE": 1, name: value})
    del config["MORE"]


def fill_anew(config: t.Any, name: str, value: t.Any) -> None:
    values = {**config, name: value}
    config.clear()
    config.update(values)


def another_config(side: Side, place: Place, value: Value) -> Undo:
    before = side.app.config
    config = type(before)(before.root_path, {**before, place.attribute: made_for_item(side, place, value)})
    side.app.config = config
    return lambda: setattr(side.app, "config", before)


def without_item(side: Side, place: Place, value: Value) -> Undo:
    """Take the name away."""
    config = side.app.config
    before = config.pop(place.attribute)
    return lambda: config.update({place.attribute: before})


def item_ways() -> Iterator[Way]:
    writes: dict[str, Callable[[t.Any, str, t.Any], object]] = {
        "set in the config": lambda config, name, value: config.__setitem__(name, value),
        "by config.update": lambda config, name, value: config.update({name: value}),
        "by config.from_mapping": lambda config, name, value: config.from_mapping({name: value}),
        "by dict.__setitem__": lambda config, name, value: dict.__setitem__(config, name, value),
        "by |=": lambda config, name, value: config.__ior__({name: value}),
        "swapped in the config": swap_item,
        "by a config filled anew": fill_anew,
    }
    for name, write in writes.items():
        yield Way(name, "config", with_item(write))
    yield Way("by another config", "app", another_config)
    yield Way("taken away", "config", without_item)


# --- What is in lists and dicts, and in modules ---------------------------------------------------------------------


def container_of(side: Side, place: Place) -> t.Any:
    if place.container is None:
        raise TypeError(f"{place.name} has no container")
    return place.container(side)


def in_place(side: Side, place: Place, value: Value) -> Undo:
    container = container_of(side, place)
    operate = value.make(Spot(place.attribute, app=side.app))
    kept = restoring(container)
    operate(container)
    return kept


def restoring(container: t.Any) -> Undo:
    """A way to put all back that is in a list, a dict, a bytearray or a serializer."""
    if isinstance(container, list | bytearray):
        items = container[:]
        return lambda: container.__setitem__(slice(None), items)
    if isinstance(container, dict):
        return functools.partial(refill, container, dict(container))
    cls, order, tags = type(container), container.order, container.tags
    contents = restoring(order), restoring(tags)

    def undo() -> None:
        container.__class__ = cls
        container.order, container.tags = order, tags
        in_turn(*contents)()

    return undo


def refill(container: t.Any, items: dict[t.Any, t.Any]) -> None:
    container.clear()
    container.update(items)


def in_module(write: Callable[[t.Any, str, t.Any], object]) -> Callable[[Side, Place, Value], Undo]:
    def apply(side: Side, place: Place, value: Value) -> Undo:
        module = container_of(side, place)
        before = getattr(module, place.attribute)
        write(module, place.attribute, value.make(Spot(place.attribute, found=before, app=side.app)))

        def undo() -> None:
            setattr(module, place.attribute, before)
            if hasattr(module, "planted"):
                module.spare = None

        return undo

    return apply


def swap_global(module: t.Any, name: str, value: t.Any) -> None:
    del module.spare
    setattr(module, name, value)


def planted_in_module(side: Side, place: Place) -> Undo:
    module = container_of(side, place)
    module.spare = module.planted = None
    return lambda: [vars(module).pop(name, None) for name in ("spare", "planted")]


def global_ways() -> Iterator[Way]:
    options: dict[str, t.Any] = {"is_shared": True, "is_lasting": True}
    yield Way("set in the module", "module", in_module(setattr), **options)
    yield Way("by vars(module)", "module", in_module(lambda of, name, it: vars(of).__setitem__(name, it)), **options)
    yield Way("swapped in the module", "module", in_module(swap_global), **options, plant=planted_in_module)
