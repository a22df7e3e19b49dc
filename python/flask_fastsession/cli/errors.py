"""How the commands fail: in one line, with exit code 2, and without a key in it."""

from __future__ import annotations

import traceback
import typing as t

import click


class BadInput(click.ClickException):
    """What was given cannot be used, for a reason that the message gives."""

    exit_code = 2


class Command(click.Command):
    """A command that says in one line, too, that it failed in a way nobody thought of."""

    def invoke(self, ctx: click.Context) -> t.Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            # The text of an exception might quote a key; its place does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise BadInput(f"{type(error).__name__} in {place.name}, {place.filename}:{place.lineno}") from None
