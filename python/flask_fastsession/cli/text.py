"""What the commands read, and how they print."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from datetime import datetime

import click
from flask.sessions import session_json_serializer

from .. import cookies
from .errors import BadInput

#: What is piped in is read up to so many bytes.
MAX_INPUT = 1 << 20


#: One in 64 ids of sessions begins with a hyphen, and is no option.
TAKES_COOKIE = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def read(argument: str | None, what: str) -> str:
    """An argument of the command line, or else what is on standard input."""
    if argument is not None and argument != "-":
        return argument
    if sys.stdin is None or (argument is None and sys.stdin.isatty()):
        raise BadInput(f"no {what} was given, as an argument or on standard input")
    text = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise BadInput(f"what is on standard input is longer than {MAX_INPUT} bytes")
    # PowerShell puts a byte order mark before what it pipes.
    return text.decode("utf-8-sig", "replace")


def read_cookie(argument: str | None, name: str) -> str:
    try:
        return cookies.find_cookie(read(argument, "cookie"), name)
    except cookies.NotACookie as error:
        raise BadInput(f"this is no session cookie: {error}") from None


def read_session(
    argument: str | None, is_tagged: bool, serializer: t.Any = session_json_serializer
) -> dict[str, t.Any]:
    """The session that a JSON text describes."""
    text = read(argument, "JSON")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadInput('a session is a JSON object, such as {"user": "ada"}')
    if not is_tagged:
        return data
    try:
        tagged = serializer.loads(text)
    except Exception as error:
        # A tag may be the app's, and raise anything.
        raise BadInput(f"the tagged values cannot be read: {type(error).__name__}") from None
    if not isinstance(tagged, dict):
        raise BadInput("a session is a JSON object, and this is one tagged value")
    return tagged


def echo(text: str = "") -> None:
    """Print a line, with escapes for what the terminal has no characters for."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def heading(text: str) -> None:
    echo(click.style(text, bold=True))


def echo_table(rows: Iterable[t.Sequence[str]], align: Callable[[str, int], str] = str.ljust) -> None:
    """Print rows in columns, of which the first is aligned to the left."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(align, others, widths[1:])]
        echo(("  " + "  ".join(cells)).rstrip())


def in_time(seconds: int) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if abs(seconds) >= 2 * length:
            return f"{abs(seconds) // length} {unit}s"
    return f"{abs(seconds)} second{'' if abs(seconds) == 1 else 's'}"


def when(date: datetime) -> str:
    seconds = int(date.timestamp()) - int(time.time())
    distance = f"in {in_time(seconds)}" if seconds > 0 else f"{in_time(seconds)} ago"
    return f"{date:%Y-%m-%d %H:%M:%S} UTC, {distance}"


def iso(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()
