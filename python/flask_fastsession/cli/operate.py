"""``flask session list``, ``revoke``, ``revoke-user``, ``cleanup``, ``init-db`` and ``migrate``: operate sessions."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import click
from flask import Flask
from flask import current_app
from flask.sessions import SecureCookieSessionInterface

from ..interface import FastSessionInterface
from ..server.ids import SID
from ..server.ids import unsigned
from ..server.info import SessionInfo
from ..server.interface import ServerSessionInterface
from ..server.lifecycle import MissingMethods
from ..server.meta import handle_or_none
from ..server.store import ListingStore
from ..server.store import SessionStoreError
from ..server.store import SweepingStore
from . import cookies
from .app import name_of_cookie
from .app import with_app
from .errors import BadInput
from .errors import Command
from .errors import CookieCommand
from .text import as_json
from .text import counted
from .text import echo
from .text import echo_json
from .text import echo_table
from .text import iso
from .text import shown
from .text import was
from .text import without_log_of

if t.TYPE_CHECKING:
    from ..revocations import Revocations


#: What keeps sessions, or revocations, in a store.
ONE_OF_THESE = "FastSessionInterface(revocations=...) or ServerSession(app)"


def with_store_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that gets the app, and report errors of a store in one line."""

    @functools.wraps(command)
    def wrapper(app: Flask, *args: t.Any, **kwargs: t.Any) -> None:
        try:
            command(app, *args, **kwargs)
        except (SessionStoreError, MissingMethods) as error:
            raise BadInput(str(error)) from None

    return with_app(wrapper)


def with_sessions(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that gets the interface of an app with its sessions on the server."""

    @functools.wraps(command)
    def wrapper(app: Flask, *args: t.Any, **kwargs: t.Any) -> None:
        interface = app.session_interface
        if not isinstance(interface, ServerSessionInterface):
            way_out = to_end_those_in_cookies(interface) if command.__name__ in ("list_", "revoke") else ""
            raise BadInput(f"{where_sessions_are(interface)}{way_out}; this command is for ServerSession(app)")
        command(interface, *args, **kwargs)

    return with_store_errors(wrapper)


def where_sessions_are(interface: object) -> str:
    if isinstance(interface, SecureCookieSessionInterface):
        return "the app keeps its sessions in cookies"
    return f"the app's session interface is {type(interface).__qualname__}, which is of another package"


def to_end_those_in_cookies(interface: object) -> str:
    """Text to append, for commands that need a list of sessions."""
    if not isinstance(interface, SecureCookieSessionInterface):
        return ""
    way_out = ', and the server has no list of them: "flask session revoke-user USER" ends those of a user'
    return way_out if revocations_of(interface) else f"{way_out}, which needs FastSessionInterface(revocations=...)"


def revocations_of(interface: object) -> Revocations | None:
    return interface._options.revocations if isinstance(interface, FastSessionInterface) else None


@click.command("list", cls=Command)
@click.argument("user")
@as_json
@with_sessions
def list_(interface: ServerSessionInterface, user: str, as_json: bool) -> None:
    """List the sessions of a user that are on the server, oldest first.

    USER is the user's id, as given to bind_user; with Flask-Login what get_id() returns. A session's name is what
    `flask session revoke` takes; it gives nobody access to the session.
    """
    sessions = interface.sessions_of(user)
    if as_json:
        echo_json([as_object(session) for session in sessions])
    elif sessions:
        rows = [(one.name, moment(one.begun), moment(one.last_seen), shown(one.note or "")) for one in sessions]
        echo_table([("name", "begun", "last seen", "note"), *rows])
    else:
        echo(f"No sessions are listed for {user!r}.")
        echo(when_listed(interface))


def when_listed(interface: ServerSessionInterface) -> str:
    if binds_by_itself(interface):
        return "Sessions from before the switch from Flask-Session are listed after their next request."
    return "A session is listed once the app has called bind_user for it."


def binds_by_itself(interface: ServerSessionInterface) -> bool:
    """Whether a session that names its user, as those of Flask-Login do, is bound when a request uses it."""
    return interface.user_key is not None


@click.command(cls=CookieCommand)
@click.argument("sessions", nargs=-1, required=True)
@with_sessions
def revoke(interface: ServerSessionInterface, sessions: tuple[str, ...]) -> None:
    """End sessions on the server, given by name or by cookie.

    SESSIONS are names as `flask session list` prints them, or cookies: the value, or session=value. A session that has
    ended already, or never was, is no error.
    """
    names = [name_or_id(interface, session) for session in sessions]
    before = interface.stats()["revoked"]
    interface.revoke(*names)
    ended = interface.stats()["revoked"] - before
    missing = len(names) - ended
    echo(f"{counted(ended, 'session')} ended{f': {missing} {was(missing)} not found' if missing else ''}.")


def name_or_id(interface: ServerSessionInterface, text: str) -> str:
    """The name of a session, or the id in its cookie; raise :exc:`BadInput` for what can be neither."""
    if handle_or_none(text) is not None:
        return text
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with suppress(cookies.NotACookie):
        value = cookies.find_cookie(text, name_of_cookie(app))
        sid = value if SID.fullmatch(value) else unsigned(app, value) if interface.options.use_signer else None
        if sid is not None:
            return sid
    raise BadInput(
        'not a session\'s name or id: give a name as "flask session list" prints it, or the value of the cookie'
    )


@click.command("revoke-user", cls=Command)
@click.argument("user")
@click.option("--keep", multiple=True, metavar="NAME", help="A session that goes on; may be given several times.")
@with_store_errors
def revoke_user(app: Flask, user: str, keep: tuple[str, ...]) -> None:
    """End all sessions of a user, on the server or, with revocations=, in cookies.

    USER is the user's id, as given to bind_user; with Flask-Login what get_id() returns. --keep is for sessions on the
    server, with names as `flask session list` prints them. A remember cookie of Flask-Login still logs its user in.
    """
    interface = app.session_interface
    if not user:
        raise BadInput("USER is empty: give the id of a user")
    if isinstance(interface, ServerSessionInterface):
        revoke_listed(interface, user, keep)
    else:
        revoke_cookies(interface, user, keep)


def revoke_listed(interface: ServerSessionInterface, user: str, keep: tuple[str, ...]) -> None:
    before = interface.stats()["revoked"]
    interface.revoke_user(user, keep=kept(interface, user, keep))
    count = interface.stats()["revoked"] - before
    echo(f"{counted(count, 'listed session')} ended.")
    if binds_by_itself(interface):
        echo(f"Older sessions of {user!r} that were not listed are refused, too.")
    else:
        echo("Sessions that the app has not bound by bind_user may go on.")


def kept(interface: ServerSessionInterface, user: str, keep: tuple[str, ...]) -> list[str]:
    """The sessions to keep, by names or ids. A mistyped name must not end the session that it stands for."""
    names = [name_or_id(interface, text) for text in keep]
    live = {one.name for one in interface.sessions_of(user)}
    for name in names:
        found = interface.lifecycle.handles_of(name, user) if SID.fullmatch(name) else {name}
        if not found & live:
            # It is not quoted, since it may be an id.
            raise BadInput(f"what --keep gives is no session of {user!r}: none is ended")
    return names


def revoke_cookies(interface: object, user: str, keep: tuple[str, ...]) -> None:
    revocations = revocations_of(interface)
    if revocations is None:
        raise BadInput(f"{where_sessions_are(interface)}: to end sessions, an app needs {ONE_OF_THESE}")
    if keep:
        raise BadInput("--keep is for sessions on the server: those in cookies have no names")
    with without_log_of("revocations"):
        t.cast(FastSessionInterface, interface).revoke_user(user)
    echo(f"All present sessions of {user!r} are revoked. Every process refuses them within {revocations.every:g} s.")


@click.command(cls=Command)
@with_sessions
def cleanup(interface: ServerSessionInterface) -> None:
    """Remove expired sessions from a store that does not do so by itself, and give back their room."""
    if not isinstance(interface.store, SweepingStore):
        echo("Nothing to do: this store removes expired sessions by itself.")
        return
    removed = 0
    for count in interface.sweep():
        removed += count
        click.echo(f"\r{removed} removed ...", nl=False, err=True)
    if hasattr(interface.store, "shrink"):
        interface.store.shrink()
    if removed:
        click.echo("\r", nl=False, err=True)
    echo(f"{counted(removed, 'expired session')} removed.")


@click.command(cls=Command)
@with_sessions
def migrate(interface: ServerSessionInterface) -> None:
    """Store all sessions under hashes of their ids at once, rather than each when a visitor comes back.

    This is for sessions from before SESSION_HASH_SID was on. Nobody is logged out, and no session lives longer by it.
    """
    if not interface.options.hash_sid:
        raise BadInput("SESSION_HASH_SID is off: sessions are stored under their ids")
    if not isinstance(interface.store, ListingStore):
        raise BadInput("this store cannot say which sessions it has: each is moved when it gets a new id")
    seen = moved = 0
    for seen, was_moved in enumerate(interface.rehash(current_app), 1):
        moved += was_moved
        if seen % 1000 == 0:
            click.echo(f"\r{moved} moved ...", nl=False, err=True)
    if seen >= 1000:
        click.echo("\r", nl=False, err=True)
    echo(f"{counted(moved, 'session')} moved to {'the hash of its id' if moved == 1 else 'the hashes of their ids'}.")


#: Flask-Session has a command of this name. It is hidden, since ``flask session cleanup`` is listed.
session_cleanup = Command(
    "session_cleanup", callback=cleanup.callback, params=cleanup.params, help=cleanup.help, hidden=True
)


@click.command("init-db", cls=Command)
@with_store_errors
def init_db(app: Flask) -> None:
    """Create the tables of sessions or revocations in an SQL database. Tables that are there stay as they are.

    This is for SESSION_TYPE="sqlalchemy", and for Revocations(...) with a URL or an Engine of SQLAlchemy.
    """
    interface = app.session_interface
    keeper = interface if isinstance(interface, ServerSessionInterface) else revocations_of(interface)
    if keeper is None:
        raise BadInput(f"{where_sessions_are(interface)}, and there are no tables without {ONE_OF_THESE}")
    create = getattr(keeper.store, "init_db", None)
    if create is None:
        raise BadInput(f"there are no tables to create: {type(keeper.store).__name__} needs none")
    created = create()
    echo(f"Created: {', '.join(created)}." if created else "Nothing to do: the tables are there.")


def as_object(session: SessionInfo) -> dict[str, t.Any]:
    times = {"begun": session.begun, "last_seen": session.last_seen}
    return {
        "name": session.name,
        **{name: None if time is None else iso(time) for name, time in times.items()},
        "note": session.note,
    }


def moment(time: datetime | None) -> str:
    return "unknown" if time is None else f"{time:%Y-%m-%d %H:%M} UTC"
