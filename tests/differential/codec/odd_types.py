"""Types that sessions are not made for, each odd in a way of its own."""

from __future__ import annotations

import enum
import itertools
import typing as t
from dataclasses import dataclass
from datetime import datetime
from datetime import tzinfo
from uuid import UUID

from itsdangerous import URLSafeTimedSerializer
from markupsafe import Markup

#: What Python code of the values below has run, or which hooks: neither more nor less of it may run with ours than with
#: stock.
calls: list[str] = []

#: The serializer that is at work, for values that call it again.
at_work: list[URLSafeTimedSerializer] = []


class Timeout(BaseException):
    """As gevent's: not an error that anybody should swallow."""


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not the text"


class HtmlText(str):
    __slots__ = ()

    def __html__(self) -> str:
        calls.append("HtmlText.__html__")
        return self.upper()


class Integer(int):
    def __repr__(self) -> str:
        return "an integer"


class Real(float):
    def __repr__(self) -> str:
        return "a real"


class Blob(bytes):
    pass


class Moment(datetime):
    pass


class Identifier(UUID):
    pass


class MoreMarkup(Markup):
    __slots__ = ()


class Items(dict):  # type: ignore[type-arg]
    def items(self) -> t.Any:
        calls.append("Items.items")
        return [("items", list(super().items()))]


class Twice(tuple):  # type: ignore[type-arg]
    __slots__ = ()

    def __iter__(self) -> t.Iterator[t.Any]:
        calls.append("Twice.__iter__")
        return itertools.chain(super().__iter__(), super().__iter__())


class Row(list):  # type: ignore[type-arg]
    pass


class Point(t.NamedTuple):
    x: t.Any
    y: t.Any = 0


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**70


class Word(str, enum.Enum):
    YES = "yes"


@dataclass
class Record:
    name: t.Any


class Html:
    """``markup`` may be anything; an exception is raised."""

    def __init__(self, markup: t.Any) -> None:
        self.markup = markup

    def __html__(self) -> t.Any:
        calls.append("Html.__html__")
        if isinstance(self.markup, BaseException):
            raise self.markup
        return self.markup


class HtmlAttribute:
    """``__html__`` is an attribute of the instance, and need not be callable."""

    def __init__(self, html: t.Any) -> None:
        self.__html__ = html


class HtmlProperty:
    """The look-up of ``__html__`` itself fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def __html__(self) -> t.Any:
        calls.append("HtmlProperty.__html__")
        raise self.error


class Obliging:
    """Has every attribute there is, as mocks do."""

    def __getattr__(self, name: str) -> t.Any:
        if name == "__html__":
            calls.append("Obliging.__getattr__")
        return lambda: name


class Reentrant:
    """Has the serializer at work encode something else meanwhile."""

    def __html__(self) -> str:
        calls.append("Reentrant.__html__")
        token = at_work[-1].dumps({"inner": [1, "ü", (2,)]})
        return f"{token} {at_work[-1].loads(token)}"


class Meddler:
    """Changes the list that holds it."""

    def __init__(self, holder: list[t.Any]) -> None:
        self.holder = holder

    def __html__(self) -> str:
        calls.append("Meddler.__html__")
        self.holder[1:] = ["meddled"]
        return "meddler"


class Vague(tzinfo):
    """Knows no offset, so what it belongs to counts as naive."""

    def utcoffset(self, when: datetime | None) -> None:
        return None

    dst = tzname = utcoffset
