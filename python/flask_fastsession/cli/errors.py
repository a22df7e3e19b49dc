"""How the commands fail: with one line or one JSON object, with exit code 2, and without quoting a key."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
import typing as t
from opcode import opmap

import click

from ..server.store import SessionStoreError

#: A URL that may have a password in it: before an ``@``, or in its query.
URL_WITH_PASSWORD = re.compile(r"://.*[@?=]\S*?(?=[\"'),.]*(?:\s|$))", re.DOTALL)


class BadInput(click.ClickException):
    """The input of a command cannot be used. The message gives the reason."""

    exit_code = 2

    def show(self, file: t.IO[t.Any] | None = None) -> None:
        super().show(file)
        drop_unwritten()


def drop_unwritten() -> None:
    """Drop what standard output has no room for: Python would try again at exit, and fail with a text of its own."""
    try:
        # There is none if it was closed before Python began.
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ErrorAsJson(click.ClickException):
    """An error for programs: ``{"error": "..."}`` on standard output, because they expect JSON there."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, file: t.IO[t.Any] | None = None) -> None:
        try:
            click.echo(json.dumps({"error": self.message}), file=file)
        except OSError:
            # Standard output is what has failed.
            super().show()
            drop_unwritten()


class Command(click.Command):
    """A command that reports any exception in one line or, with ``--json``, in JSON."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: t.Any
    ) -> click.Context:
        has_json = any("--json" in parameter.opts for parameter in self.params)
        is_json = has_json and "--json" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            raise ErrorAsJson(error) if is_json else error from None

    def invoke(self, ctx: click.Context) -> t.Any:
        try:
            return self._invoke(ctx)
        except click.ClickException as error:
            raise ErrorAsJson(error) if ctx.params.get("as_json") else error from None

    def _invoke(self, ctx: click.Context) -> t.Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if (text := own_text(error)) is not None:
                raise BadInput(text) from None
            if isinstance(error, OSError) and error.errno is not None:
                raise BadInput(f"{type(error).__name__}: {os.strerror(error.errno)}") from None
            # The text of an exception may quote a key. The place where it was raised does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise BadInput(f"{type(error).__name__} in {place.name}, {place.filename}:{place.lineno}") from None


class CookieCommand(Command):
    """A command whose arguments may be ids. One in 64 ids begins with a hyphen, and is no option.

    What is shorter than any id is an option, so that one that is mistyped is reported as such.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        # No argument of a command line has a null in it, and click takes what begins with one for no option.
        marked = [f"\0{each}" if HYPHENED.match(each) else each for each in args[:end]]
        try:
            rest = super().parse_args(ctx, [*marked, *args[end:]])
        except click.UsageError as error:
            raise click.UsageError(without_cookie(error), ctx) from None
        ctx.params = {name: unmarked(value) for name, value in ctx.params.items()}
        return rest


#: The beginning of a cookie that begins with a hyphen. The shortest ids have 16 characters.
HYPHENED = re.compile(r"-[\w-]{15}", re.ASCII)

#: What is longer than any option may be a cookie.
LONGEST_OPTION = 15


def unmarked(value: t.Any) -> t.Any:
    if isinstance(value, tuple):
        return tuple(map(unmarked, value))
    return value.removeprefix("\0") if isinstance(value, str) else value


def without_cookie(error: click.UsageError) -> str:
    """The text of an error of click's, which quotes what it does not understand."""
    text = error.format_message()
    if text.startswith("Got unexpected extra argument"):
        return "There are too many arguments: put the cookie into quotes."
    if isinstance(error, click.NoSuchOption) and len(error.option_name) > LONGEST_OPTION:
        return "No such option: before a cookie that begins with a hyphen, put --."
    return text


def described(error: BaseException) -> str:
    """The class of an exception, and its text if this package has raised it. Any other text may quote a key."""
    text = own_text(error)
    return type(error).__name__ if text is None else f"{type(error).__name__}: {text}"


def own_text(error: BaseException) -> str | None:
    """The text of an error of the config or of a store that this package has raised, or ``None`` for any other."""
    # Not of subclasses of ValueError, such as UnicodeEncodeError, which Python's own functions raise.
    is_known = type(error) in (ValueError, TypeError) or isinstance(error, SessionStoreError)
    if not is_known or not is_raised_here(error):
        return None
    # An error of the config quotes a setting that it cannot use, which may be a URL in the wrong place.
    return URL_WITH_PASSWORD.sub("://...", str(error)).replace("\n", " ")


def is_raised_here(error: BaseException) -> bool:
    """Whether a ``raise`` of this package is where an exception comes from.

    It must be that statement, because a built-in function has no frame: what it raises seems to come from its caller,
    and may quote anything.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return False
    frame = place.tb_frame
    is_of_package = str(frame.f_globals.get("__name__")).startswith("flask_fastsession.")
    return is_of_package and frame.f_code.co_code[place.tb_lasti] == opmap["RAISE_VARARGS"]
