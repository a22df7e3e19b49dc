"""Ways to change classes: by their attributes, and by their bases."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

from .places import LIBRARY
from .places import Place
from .sides import Family
from .sides import Side
from .sides import Undo
from .values import MISSING
from .values import Spot
from .values import Value
from .way import FAMILIES
from .way import Way
from .way import in_turn
from .way import new_class

# --- On classes -----------------------------------------------------------------------------------------------------

Find = Callable[[Side, Place], type]


def set_on(cls: t.Any, side: Side, place: Place, value: Value) -> Undo:
    name = place.attribute
    before = vars(cls).get(name, MISSING)
    setattr(cls, name, value.make(Spot(name, cls, before, app=side.app)))
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
        return set_on(find_class(side, place), side, place, value)

    return apply


def swapping(find_class: Find) -> Callable[[Side, Place, Value], Undo]:
    """One name goes as another comes."""

    def apply(side: Side, place: Place, value: Value) -> Undo:
        cls = find_class(side, place)
        return in_turn(spare_of(cls), set_on(cls, side, place, value))

    return apply


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


def with_bases(
    pick: Callable[[Side, Place], t.Any], arrange: Callable[[tuple[type, ...], type, Family], tuple[type, ...]]
) -> Callable[[Side, Place, Value], Undo]:
    """Give a class other bases, with one among them that holds the value."""

    def apply(side: Side, place: Place, value: Value) -> Undo:
        cls, own = pick(side, place), t.cast(Family, side.families.get(place.owner))
        added = new_class(side, place, value, "Holder", *holder_bases(side, place, arrange))
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


# --- All of them -----------------------------------------------------------------------------------------------------


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
