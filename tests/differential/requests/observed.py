"""What is observed: of values, of calls, of what apps log, and of a request as a whole."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import logging
import re
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from datetime import timedelta
from uuid import UUID

from flask.sessions import SessionMixin
from markupsafe import Markup

APP_NAME = "requests_differential"


ADDRESS = re.compile("0x[0-9a-f]+")

LEAVES = (str, int, float, bool, bytes, type(None), UUID, Markup, timedelta, type)
BRACKETS = {dict: ("{", "}"), list: ("[", "]"), tuple: ("(", ")")}


def observed(value: t.Any) -> str:
    """All that matters of a value, as a text that equals only that of its like."""
    kind = type(value)
    if issubclass(kind, BaseException):
        return observed_error(value)
    if kind in LEAVES or issubclass(kind, datetime.date):
        return impersonal(repr(value))
    for base, (opening, closing) in BRACKETS.items():
        if issubclass(kind, base):
            items = dict.items(value) if base is dict else value
            inner = ", ".join(
                f"{observed(item[0])}: {observed(item[1])}" if base is dict else observed(item) for item in items
            )
            return ("" if kind is base else family(kind)) + opening + inner + closing
    return f"<{family(kind)}>"


def observed_error(error: BaseException) -> str:
    # Where the stack ends depends on the frames that lie on it, and the wording on where it ends.
    words = "" if isinstance(error, RecursionError) else impersonal(str(error))
    cause = f" from {type(error.__cause__).__name__}" if error.__cause__ else ""
    return f"{type(error).__name__}({words!r}{observed(vars(error))}{cause})"


def family(kind: type) -> str:
    """The classes that a class consists of, but for those that only ours has."""
    names = [base.__qualname__ for base in kind.__mro__ if not base.__module__.startswith("flask_fastsession")]
    return " < ".join(names[:5] if issubclass(kind, SessionMixin) else names[:1])


def impersonal(text: str) -> str:
    """A text without addresses, and without the names that tell ours from stock."""
    without_addresses = ADDRESS.sub("0x", text) if "0x" in text else text
    return without_addresses.replace("FastSession", "SecureCookieSession")


def observed_call(name: str, args: tuple[t.Any, ...], kwargs: dict[str, t.Any]) -> str:
    expires = kwargs.get("expires")
    if type(expires) is datetime.datetime:
        # Of the real clock, in which both sides have only the second in common.
        kwargs = {**kwargs, "expires": expires.replace(microsecond=0)}
    return impersonal(f"{name} {args} {kwargs}")


def contents(session: t.Any) -> str:
    try:
        return observed(dict(session))
    except Exception as error:
        return observed(error)


def snapshot(session: t.Any) -> str:
    """All that a view can learn of its session."""
    marks = {name: getattr(session, name, "nothing") for name in ("modified", "accessed", "new", "permanent")}
    return f"{family(type(session))} {contents(session)} {observed(marks)}"


@dataclass
class Seen:
    """All that came of a request on one side."""

    status: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: str = ""
    views: list[t.Any] = field(default_factory=list)
    warned: list[t.Any] = field(default_factory=list)
    logged: list[t.Any] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    #: The changes that could not be made.
    refused: list[t.Any] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """How it went, in a word."""
        return self.status or self.error.partition("(")[0] or "by hand"

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: t.Any = None) -> None:
        self.status = status
        self.headers = list(headers)


def diverging(stock: Seen, ours: Seen) -> str:
    """The two sides of whatever differs, or nothing."""
    lines = []
    for each in dataclasses.fields(Seen):
        sides = [getattr(seen, each.name) for seen in (stock, ours)]
        for values in itertools.zip_longest(*sides) if isinstance(sides[0], list) else [sides]:
            if observed(values[0]) != observed(values[1]):
                lines += [f"    {each.name}:", f"        stock: {values[0]!r}", f"        ours:  {values[1]!r}"]
    return "\n".join(lines)


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.logged: list[t.Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append((impersonal(record.getMessage()), observed(record.exc_info and record.exc_info[1])))


LISTENER = Listener()


@contextlib.contextmanager
def listening() -> Iterator[list[t.Any]]:
    """What the apps log, for as long as this lasts; nobody else hears of it."""
    logger = logging.getLogger(APP_NAME)
    logger.handlers, logger.propagate = [LISTENER], False
    LISTENER.logged = []
    yield LISTENER.logged
