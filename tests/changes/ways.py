"""How something changes, and how that is undone."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass

from flask.sessions import SecureCookieSession

from .places import LIBRARY
from .places import Place
from .sides import Family
from .sides import Side
from .sides import Undo
from .values import MISSING
from .values import Spot
from .values import Value

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
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), MISSING)


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


def made_for(side: Side, place: Place, value: Value, instance: t.Any = None) -> t.Any:
    cls = class_of(side, place) if instance is None else type(instance)
    return value.make(Spot(place.attribute, find(cls, place.attribute), instance, side.app))


# --- On classes -----------------------------------------------------------------------------------------------------

Find = Callable[[Side, Place], type]


def set_on(cls: t.Any, name: str, value: t.Any) -> Undo:
    before = vars(cls).get(name, MISSING)
    setattr(cls, name, value)
    return lambda: delattr(cls, name) if before is MISSING else setattr(cls, name, before)


def spare_of(cls: t.Any) -> Undo:
    """Take away a name that nobody needs."""
    del cls.spare
    return lambda: setattr(cls, "spare", None)


def planted(cls: t.Any) -> Undo:
    """Give a class the name that nobody needs; both changes of a case may do so."""
    cls.spare = None
    return lambda: delattr(cls, "spare") if "spare" in vars(cls) else None


def setting(find_class: Find) -> Callable[[Side, Place, Value], Undo]:
    def apply(side: Side, place: Place, value: Value) -> Undo:
        return set_on(find_class(side, place), place.attribute, made_for(side, place, value))

    return apply


def swapping(find_class: Find) -> Callable[[Side, Place, Value], Undo]:
    """One name goes as another comes."""

    def apply(side: Side, place: Place, value: Value) -> Undo:
        cls, made = find_class(side, place), made_for(side, place, value)
        return in_turn(spare_of(cls), set_on(cls, place.attribute, made))

    return apply


def in_turn(*undos: Undo) -> Undo:
    def undo() -> None:
        for each in reversed(undos):
            each()

    return undo


def on_class(where: str, find_class: Find, **options: t.Any) -> Iterator[Way]:
    yield Way(f"set on {where}", where, setting(find_class), **options)
    if options.get("is_lasting"):
        options["plant"] = lambda side, place: planted(find_class(side, place))
    yield Way(f"swapped on {where}", where, swapping(find_class), **options)


def of_family(pick: Callable[[Family], type]) -> Find:
    return lambda side, place: pick(side.families[place.owner])


def library_class(side: Side, place: Place) -> type:
    return LIBRARY[place.owner]


def defining_class(side: Side, place: Place) -> type:
    """The class of a library that has the attribute, or the last of those that can be changed."""
    classes = [cls for cls in LIBRARY[place.owner].__mro__ if is_changeable(cls)]
    return next((cls for cls in classes if place.attribute in vars(cls)), classes[-1])


def is_changeable(cls: type) -> bool:
    heap_type = 1 << 9
    return bool(cls.__flags__ & heap_type) and cls.__module__.partition(".")[0] in ("flask", "werkzeug", "itsdangerous")


def session_in_use(side: Side, place: Place) -> type:
    return side.session_type


# --- By other bases -------------------------------------------------------------------------------------------------


def holder(place: Place, made: t.Any, *bases: type) -> type:
    return type("Holder", bases, {"spare": None, place.attribute: made})


def with_bases(
    pick: Callable[[Side, Place], t.Any], arrange: Callable[[tuple[type, ...], type, Family], tuple[type, ...]]
) -> Callable[[Side, Place, Value], Undo]:
    """Give a class other bases, with one among them that holds the value."""

    def apply(side: Side, place: Place, value: Value) -> Undo:
        cls, own = pick(side, place), t.cast(Family, side.families.get(place.owner))
        added = holder(place, made_for(side, place, value), *holder_bases(side, place, arrange))
        before = cls.__bases__
        cls.__bases__ = arrange(before, added, own)
        lost = [base for base in before if base not in cls.__bases__]

        def undo() -> None:
            at = cls.__bases__.index(added)
            cls.__bases__ = (*cls.__bases__[:at], *lost, *cls.__bases__[at + 1 :])

        return undo

    return apply


def holder_bases(side: Side, place: Place, arrange: object) -> tuple[type, ...]:
    if arrange is instead_of_the_mixin or arrange is under_the_mixin:
        return (side.families[place.owner].root,)
    return (LIBRARY[place.owner],) if arrange is between else ()


def first(bases: tuple[type, ...], added: type, own: Family) -> tuple[type, ...]:
    return (added, *bases)


def last(bases: tuple[type, ...], added: type, own: Family) -> tuple[type, ...]:
    return (*bases, added)


def instead_of_the_mixin(bases: tuple[type, ...], added: type, own: Family) -> tuple[type, ...]:
    return tuple(added if base is own.before else base for base in bases)


def under_the_mixin(bases: tuple[type, ...], added: type, own: Family) -> tuple[type, ...]:
    return (added,)


def between(bases: tuple[type, ...], added: type, own: Family) -> tuple[type, ...]:
    """Behind ours, and in stock's own place."""
    at = bases.index(own.library)
    is_stock = own.library is LIBRARY["interface"]
    return (*bases[: at if is_stock else at + 1], added, *bases[at + 1 :])


# --- In instances ---------------------------------------------------------------------------------------------------

Write = Callable[[t.Any, str, t.Any], Undo]


def put_back(instance: t.Any, name: str, before: t.Any) -> None:
    if before is MISSING:
        vars(instance).pop(name, None)
    else:
        vars(instance)[name] = before


def by_setattr(instance: t.Any, name: str, value: t.Any) -> Undo:
    before = vars(instance).get(name, MISSING)
    descriptor = find(type(instance), name)
    put: t.Any = getattr(type(descriptor), "__set__", None)
    if put is None:
        setattr(instance, name, value)
        return lambda: put_back(instance, name, before)
    previous = getattr(instance, name)
    setattr(instance, name, value)
    # By the same descriptor, whatever the class has by then.
    return lambda: put(descriptor, instance, previous)


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
            return write(instance, place.attribute, made_for(side, place, value, instance))

        def change(instance: t.Any) -> None:
            write(instance, place.attribute, made_for(side, place, value, instance))

        side.on[place.owner].append(change)
        return lambda: side.on[place.owner].remove(change)

    return apply


def by_class(side: Side, place: Place, value: Value) -> Undo:
    """Give the instance another class."""

    def change(instance: t.Any) -> Undo:
        before = type(instance)
        instance.__class__ = subclass(side, place, value, before)
        return lambda: setattr(instance, "__class__", before)

    if place.owner in LASTING:
        return change(instance_of(side, place.owner))
    side.on[place.owner].append(change)
    return lambda: side.on[place.owner].remove(change)


def subclass(side: Side, place: Place, value: Value, cls: type) -> type:
    made = value.make(Spot(place.attribute, find(cls, place.attribute), None, side.app))
    return type(cls)("Own", (cls,), {"__slots__": (), place.attribute: made})


def by_replacement(side: Side, place: Place, value: Value) -> Undo:
    """Put an instance of another class into its place, or have instances made of another class."""
    if place.owner == "headers":
        before, side.headers_class = side.headers_class, subclass(side, place, value, t.cast(type, side.headers_class))
        return lambda: setattr(side, "headers_class", before)
    owner, name = holder_of(side, place.owner)
    current = SecureCookieSession if place.owner == "session" else getattr(owner, name)
    if isinstance(current, type):
        return by_item(owner, name, subclass(side, place, value, current))
    replaced = replacement(subclass(side, place, value, type(current)), current, side)
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
    return value.make(Spot(place.attribute, MISSING, None, side.app))


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
    operate = value.make(Spot(place.attribute, MISSING, None, side.app))
    kept = restoring(container)
    operate(container)
    return kept


def restoring(container: t.Any) -> Undo:
    """A way to put all back that is in a list, a dict, a bytearray or a serializer."""
    if isinstance(container, list | bytearray):
        items = container[:]
        return lambda: container.__setitem__(slice(None), items)
    if isinstance(container, dict):
        content = dict(container)
        return lambda: (container.clear(), container.update(content))
    lists = container.order, list(container.order), container.tags, dict(container.tags), type(container)

    def undo() -> None:
        container.__class__ = lists[4]
        container.order, container.tags = lists[0], lists[2]
        container.order[:] = lists[1]
        restored = dict(lists[3])
        container.tags.clear()
        container.tags.update(restored)

    return undo


def in_module(write: Callable[[t.Any, str, t.Any], object]) -> Callable[[Side, Place, Value], Undo]:
    def apply(side: Side, place: Place, value: Value) -> Undo:
        module = container_of(side, place)
        before = getattr(module, place.attribute)
        write(module, place.attribute, value.make(Spot(place.attribute, before, None, side.app)))

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


# --- All of them ----------------------------------------------------------------------------------------------------


def own_class_ways() -> Iterator[Way]:
    """Ways that change classes of one case."""
    yield from on_class("the class", of_family(lambda family: family.own))
    yield from on_class("a mixin before", of_family(lambda family: family.before))
    yield from on_class("a base of that mixin", of_family(lambda family: family.root))
    yield from on_class("a mixin behind", of_family(lambda family: family.behind))
    own, before = of_family(lambda family: family.own), of_family(lambda family: family.before)
    yield Way("by bases with one before", "bases", with_bases(own, first))
    yield Way("by bases with another mixin", "bases", with_bases(own, instead_of_the_mixin))
    yield Way("by bases with one behind", "bases", with_bases(own, last))
    yield Way("by bases of the mixin", "bases of the mixin", with_bases(before, under_the_mixin))


def library_ways(owner: str) -> Iterator[Way]:
    """Ways that change classes of everybody's."""
    options: dict[str, t.Any] = {"is_shared": True, "is_lasting": True}
    # The class that defines it, the one that is extended and that of stock's sessions may be one and the same.
    for way in (
        *on_class("the library's class", library_class, **options),
        *on_class("the class that defines it", defining_class, **options),
    ):
        yield dataclasses.replace(way, slot="the library's class")
    if owner in FAMILIES or owner == "session":
        bases = with_bases(library_class, first)
        yield Way("by bases of the library's class", "library's bases", bases, **options)


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


def attribute_ways(owner: str) -> Iterator[Way]:
    if owner in FAMILIES:
        yield from own_class_ways()
    if owner == "interface":
        own = of_family(lambda family: family.own)
        yield Way("by bases with one between", "bases", with_bases(own, between))
    if owner == "session":
        for way in on_class("the session in use", session_in_use, is_lasting=True):
            yield dataclasses.replace(way, slot="the library's class")
    if owner in LIBRARY:
        yield from library_ways(owner)
    if owner in (*FAMILIES, "session", "request headers"):
        yield from instance_ways(owner)
    if owner in FAMILIES:
        yield Way("by __class__", "class of the instance", by_class)
    if owner == "serializer":
        yield Way("by __class__", "class of the instance", by_class)
    if owner in ("config", "provider", "interface", "request", "response", "session", "headers"):
        yield Way("by a replacement", "replacement", by_replacement)


def ways_of(place: Place) -> tuple[Way, ...]:
    if place.kind == "attribute":
        return tuple(attribute_ways(place.owner))
    if place.kind == "item":
        return tuple(item_ways())
    if place.kind == "global":
        return tuple(global_ways())
    is_shared = place.owner in ("shared serializer", "signing serializer")
    return (Way("in place", "content", in_place, is_shared=is_shared, is_lasting=is_shared),)
