"""How something changes, and how that is undone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from .class_ways import between
from .class_ways import library_ways
from .class_ways import of_family
from .class_ways import on_class
from .class_ways import own_class_ways
from .class_ways import session_in_use
from .class_ways import with_bases
from .instance_ways import by_class
from .instance_ways import by_replacement
from .instance_ways import instance_ways
from .item_ways import global_ways
from .item_ways import in_place
from .item_ways import item_ways
from .places import LIBRARY
from .places import Place
from .way import FAMILIES
from .way import Way


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
