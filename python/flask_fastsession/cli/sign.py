"""``flask session sign``: make a cookie for a test."""

from __future__ import annotations

import typing as t

import click
from flask import Flask
from flask.sessions import session_json_serializer

from . import cookies
from .app import serializer_of
from .app import with_app
from .by_app import has_own_way
from .by_app import write
from .checks import check_size
from .errors import BadInput
from .errors import Command
from .errors import described
from .text import read
from .text import read_session
from .text import warn


@click.command(cls=Command)
@click.argument("session_json", metavar="[JSON]", required=False)
@click.option(
    "--tagged", is_flag=True, help='Read {" t": [...]} and the like as Flask\'s tags, as inspect --json has them.'
)
@with_app
def sign(app: Flask, session_json: str | None, tagged: bool) -> None:
    """Make a session cookie for a test, and print its value.

    JSON is the session, such as '{"user": "ada"}'; without it, or where it is -, standard input is read. It is signed
    or encrypted now, by the app's own interface with its SECRET_KEY, so anyone who has it is logged in. A cookie that
    browsers drop for its size is printed with a warning.
    """
    is_own = has_own_way(app)
    serializer: t.Any = None if is_own else serializer_of(app)
    tags = getattr(app.session_interface, "serializer", session_json_serializer)
    data = read_session(read(session_json, "JSON"), tagged, tags)
    try:
        token = write(app, data) if is_own else serializer.dumps(data)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"the session cannot be signed: {described(error)}") from None
    size = cookies.size_of(cookies.name_of_cookie(app), str(token))
    for finding in check_size(app, size):
        if finding.code == "too-large":
            warn(finding.text)
    click.echo(token)
