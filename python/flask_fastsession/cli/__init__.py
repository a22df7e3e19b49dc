"""``flask session``: look into a session cookie, make one, have an app examined, and measure what its sessions cost.

Flask loads this along with any of its commands, so there is nothing here but names; a command is imported when it is
called.
"""

from __future__ import annotations

from importlib import import_module

import click
from flask.cli import FlaskGroup

#: The commands, each in the module of its name, and the first sentence of its help.
COMMANDS = {
    "bench": "Measure what sessions cost, with Flask's own code and with this package.",
    "doctor": "Examine the sessions of the app.",
    "inspect": "Take a session cookie apart.",
    "sign": "Make a session cookie for a test, and print its value.",
}


class LazyGroup(click.Group):
    """The commands of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{name}", __name__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup)
def session() -> None:
    """Look into session cookies, and examine the app's sessions.

    No command ever prints a key.
    """


class Main(LazyGroup, FlaskGroup):
    """The same commands with Flask's options, and without the commands of the app and of other packages."""


main = Main(name="flask_fastsession", add_default_commands=False, add_version_option=False, help=session.help)
