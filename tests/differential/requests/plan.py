"""What a case consists of: plain data, from which both sides are made."""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass


class Plan:
    """A part of a case: plain data, printed as Python without what is left at its default."""

    def __repr__(self) -> str:
        values = {
            each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(t.cast(t.Any, self))
        }
        given = [f"{name}={value!r}" for name, (value, default) in values.items() if value != default]
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Change(Plan):
    """A change to an app, to the interface, to a class of Flask, or of the clock; ``kind`` is one of CHANGES."""

    kind: str
    name: str = ""
    value: t.Any = None


@dataclass(frozen=True, repr=False)
class Action(Plan):
    """Something that a view does with the session. What it raises is caught unless it ``escapes``."""

    name: str
    seed: int = 0
    escapes: bool = False


@dataclass(frozen=True, repr=False)
class Reply(Plan):
    """What a view returns: one of REPLIES, with further headers, and with some of TWEAKS."""

    kind: str = "text"
    headers: tuple[str, ...] = ()
    tweaks: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Hand(Plan):
    """How ``open_session`` and ``save_session`` are called by hand."""

    app: str = "real"
    request: str = "fake"
    session: str = "as it was opened"
    response: str = "fake"
    context: str = "none"


@dataclass(frozen=True, repr=False)
class Step(Plan):
    """A request, or what stands for one.

    The pieces of ``cookie`` make up its header; those in angle brackets stand for others, as FILLERS say.
    """

    way: str = "request"
    app: int = 0
    method: str = "GET"
    path: str = "/"
    before: tuple[Change, ...] = ()
    cookie: tuple[str, ...] | None = ("<name>", "=", "<jar>")
    actions: tuple[Action, ...] = ()
    during: tuple[Change, ...] = ()
    reply: Reply = Reply()
    hand: Hand = Hand()
    #: Whether the session is looked at before the view is called, and after it was saved.
    watched: bool = True


@dataclass(frozen=True, repr=False)
class AppPlan(Plan):
    """How an app is made; the names are keys of the tables below."""

    flask_class: str = "Flask"
    config_class: str = "Config"
    request_class: str = "Request"
    response_class: str = "Response"
    provider: str = "Flask's"
    changes: tuple[Change, ...] = ()
    handlers: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Case(Plan):
    apps: tuple[AppPlan, ...] = (AppPlan(),)
    #: The subclasses on top of the interface, each a key of LAYERS.
    interface: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    #: What Flask finds as ``datetime``; the real one cannot be stopped.
    stopped_datetime: bool = True
    warnings: t.Literal["always", "error"] = "always"
