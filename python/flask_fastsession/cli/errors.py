"""How the commands fail: with one line or one JSON object, with exit code 2, and without quoting a key."""

from __future__ import annotations

import json
import traceback
import typing as t

import click


class BadInput(click.ClickException):
    """The input of a command cannot be used. The message gives the reason."""

    exit_code = 2


class ErrorAsJson(click.ClickException):
    """An error for programs: ``{"error": "..."}`` on standard output, because they expect JSON there."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, file: t.IO[t.Any] | None = None) -> None:
        click.echo(json.dumps({"error": self.message}), file=file)


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
            # The text of an exception may quote a key. The place where it was raised does not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise BadInput(f"{type(error).__name__} in {place.name}, {place.filename}:{place.lineno}") from None
