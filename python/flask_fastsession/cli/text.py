"""How the commands read their input and print their output."""

from __future__ import annotations

import difflib
import json
import logging
import os
import sys
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import click
from flask.sessions import session_json_serializer

from . import cookies
from .errors import BadInput

#: The most bytes of input that are read.
MAX_INPUT = 1 << 20

#: The colour of each level, on terminals.
COLOURS = {"warning": "yellow", "note": "cyan"}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def given(argument: str | None, file: t.BinaryIO | None = None, waits_for: str | None = None) -> str | None:
    """An argument of the command line, or else the text in a file or on standard input, or ``None``.

    A terminal is read only if the argument is ``-``, or if the command ``waits_for`` something.
    """
    if argument is not None and file is not None:
        raise BadInput("it is given twice, as an argument and by --file")
    if argument is not None and argument != "-":
        return argument
    source: t.BinaryIO | None = file or getattr(sys.stdin, "buffer", None)
    if source is None or (argument is None and source.isatty() and not waits_for):
        return None
    if waits_for and source.isatty():
        click.echo(f"Paste the {waits_for}, and end with Ctrl-{'Z and Enter' if os.name == 'nt' else 'D'}:", err=True)
    text = source.read(MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise BadInput(f"the input is longer than {MAX_INPUT} bytes")
    if not text and argument is None and file is None:
        return None
    # PowerShell begins the output of a pipe with a byte order mark.
    # As Python decodes arguments: the headers of a response may have other text around the cookie, in any encoding.
    return text.decode("utf-8-sig", "surrogateescape")


def read(argument: str | None, what: str) -> str:
    text = given(argument, waits_for=what)
    if text is None:
        raise BadInput(f"no {what} was given, as an argument or on standard input")
    return text


def read_cookie(argument: str | None, name: str, is_binding: bool = False, is_of_any_form: bool = False) -> str:
    try:
        return cookies.find_cookie(read(argument, "cookie"), name, is_binding, is_of_any_form)
    except cookies.NotACookie as error:
        raise BadInput(f"this is no session cookie: {error}") from None


def read_session(text: str, is_tagged: bool, serializer: t.Any = session_json_serializer) -> dict[str, t.Any]:
    """The session that a JSON text describes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("this is not UTF-8") from None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"this is not JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this cannot be used: {cookies.why_unreadable(error)}") from None
    if not isinstance(data, dict):
        raise BadInput('a session is a JSON object, such as {"user": "ada"}')
    if not is_tagged:
        return data
    try:
        tagged = serializer.loads(text)
    except Exception as error:
        # The app's own tags may raise any exception.
        raise BadInput(f"the tagged values cannot be read: {type(error).__name__}") from None
    if not isinstance(tagged, dict):
        raise BadInput("a session is a JSON object, and this is one tagged value")
    return tagged


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Text to append to a message that there is no such name; empty if no name is similar."""
    close = difflib.get_close_matches(name, names)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def echo(text: str = "", err: bool = False) -> None:
    """Print a line. Characters that the terminal cannot encode are escaped."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    click.echo(text, err=err, color=False if is_plain() else None)


def shown(text: str) -> str:
    """Text that a visitor may have chosen, on one line and without what would control the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    echo(click.style(f"Warning: {text}", fg=COLOURS["warning"]), err=True)


@contextmanager
def without_log_of(module: str) -> Iterator[None]:
    """Drop what a module of this package logs, where the command itself prints the same."""
    log = logging.getLogger("flask_fastsession")

    def is_of_another(record: logging.LogRecord) -> bool:
        return record.module != module

    log.addFilter(is_of_another)
    try:
        yield
    finally:
        log.removeFilter(is_of_another)


def is_plain() -> bool:
    """Whether to print without colours: ``NO_COLOR`` is set (https://no-color.org), or the terminal has none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def heading(text: str) -> None:
    echo(click.style(text, bold=True))


def echo_table(rows: Iterable[t.Sequence[str]], align: Callable[[str, int], str] = str.ljust) -> None:
    """Print rows in columns. The first column is aligned to the left, the others by ``align``."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(align, others, widths[1:])]
        echo(("  " + "  ".join(cells)).rstrip())


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def was(count: int) -> str:
    return "was" if count == 1 else "were"


def in_time(seconds: int) -> str:
    """A length of time, rounded, in the largest unit of which there are at least two."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if abs(seconds) >= 2 * length:
            return f"{(abs(seconds) + length // 2) // length} {unit}s"
    return counted(abs(seconds), "second")


def when(date: datetime) -> str:
    seconds = int(date.timestamp()) - int(time.time())
    distance = f"in {in_time(seconds)}" if seconds > 0 else f"{in_time(seconds)} ago"
    return f"{date:%Y-%m-%d %H:%M:%S} UTC, {distance}"


def iso(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()
