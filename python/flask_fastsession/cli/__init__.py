"""``flask session``: look into session cookies, examine an app and its cost, and operate sessions on the server.

Flask imports this module for each of its commands. So it has only the names of ours, and imports a command when it is
called.
"""

from __future__ import annotations

from importlib import import_module

import click
from flask.cli import FlaskGroup

#: The commands, each with its module and the first sentence of its help text.
COMMANDS = {
    "bench": ("bench", "Measure what sessions cost, with Flask's own code and with this package."),
    "cleanup": ("operate", "Remove expired sessions from a store that does not do so by itself."),
    "convert": ("convert", "Take over all sessions of another backend at once, old pickles as well."),
    "doctor": ("doctor", "Examine the sessions of the app."),
    "init-db": ("operate", "Create the tables of sessions or revocations in an SQL database."),
    "inspect": ("inspect", "Take a session cookie apart."),
    "list": ("operate", "List the sessions of a user that are on the server."),
    "migrate": ("operate", "Store all sessions under hashes of their ids at once."),
    "revoke": ("operate", "End sessions on the server."),
    "revoke-user": ("operate", "End all sessions of a user, on the server or, with revocations=, in cookies."),
    "sign": ("sign", "Make a session cookie for a test, and print its value."),
}

#: The commands whose names cannot be names of functions.
FUNCTIONS = {"init-db": "init_db", "list": "list_", "revoke-user": "revoke_user"}


class LazyGroup(click.Group):
    """The commands of :data:`COMMANDS`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        # click before 8.5 suggests no commands, and later versions suggest only commands that are loaded.
        if not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            from .text import did_you_mean

            ctx.fail(f"No such command {name!r}.{did_you_mean(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        command: click.Command = getattr(import_module(f".{module}", __name__), FUNCTIONS.get(name, name))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._help_of(ctx, name)) for name in self.list_commands(ctx)])

    def _help_of(self, ctx: click.Context, name: str) -> str:
        if name in COMMANDS:
            return COMMANDS[name][1]
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str()


class SharedGroup(LazyGroup):
    """The same commands, and those of the app's own group ``session``.

    Without them this group would hide the app's, because Flask prefers the commands of packages.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = self._group_of_app(ctx)
        return list(COMMANDS) if own is None else sorted({*COMMANDS, *own.list_commands(ctx)})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own = None if name in COMMANDS else self._group_of_app(ctx)
        return super().get_command(ctx, name) if own is None else own.get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        own = None if args[0] in COMMANDS else self._group_of_app(ctx)
        if own is None or (own.get_command(ctx, args[0]) is None and not args[0].startswith("-")):
            return super().resolve_command(ctx, args)
        # The app's group is called as a whole, since its function may have something to do before its commands.
        return None, own, args

    def _group_of_app(self, ctx: click.Context) -> click.Group | None:
        from .app import load_app
        from .errors import BadInput

        known: dict[str, click.Command | None] = ctx.meta.setdefault(__name__, {})
        if "own" not in known:
            known["own"] = None
            try:
                known["own"] = load_app(ctx).cli.get_command(ctx, str(self.name))
            except BadInput as error:
                # Flask does the same when it looks for a command and the app cannot be loaded.
                error.show()
        own = known["own"]
        return own if isinstance(own, click.Group) and own is not self else None


def print_version(ctx: click.Context, param: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version
    from platform import python_version

    click.echo(f"flask-fastsession {version('flask-fastsession')}")
    click.echo(f"Python {python_version()}")
    for package in ("Flask", "Werkzeug", "itsdangerous"):
        click.echo(f"{package} {version(package)}")
    ctx.exit()


version_option = click.Option(
    ["--version"],
    help="Show the versions of this package, Python and Flask.",
    expose_value=False,
    is_eager=True,
    is_flag=True,
    callback=print_version,
)


@click.group(cls=SharedGroup, params=[version_option])
def session() -> None:
    """Look into session cookies, and examine the app's sessions.

    No command ever prints a key.
    """


class Main(LazyGroup, FlaskGroup):
    """The same commands with Flask's options, and without the commands of the app and of other packages."""


main = Main(
    name="flask_fastsession",
    add_default_commands=False,
    add_version_option=False,
    help=session.help,
    params=[version_option],
)
