"""``flask session convert``: take over all sessions of another backend at once, also those in old pickles."""

from __future__ import annotations

import math
import time
import typing as t
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

import click
from flask import current_app

from ..server.config import lifetime_of_sources
from ..server.ids import MOVED
from ..server.ids import SID
from ..server.ids import is_taking
from ..server.interface import ServerSessionInterface
from ..server.lifecycle import Refused
from ..server.pickles import NotPlain
from ..server.pickles import plain_session
from ..server.pickles import plain_session_in_file
from ..server.record import Data
from ..server.record import NotARecord
from ..server.record import PickledRecord
from ..server.sources import SOURCES
from ..server.sources import converted_key
from ..server.sources import folder_of
from ..server.sources import source_of
from ..server.store import SessionStoreError
from ..server.take_over import Sources
from ..server.take_over import TakeOver
from ..server.take_over import asked
from ..server.take_over import life_left
from ..server.take_over import owner_in
from .errors import BadInput
from .errors import Command
from .operate import with_sessions
from .text import counted
from .text import echo
from .text import echo_table
from .text import warn

#: The sources that can list their sessions.
NAMES = ("redis", "sqlalchemy", "mongodb", "cachelib", "filesystem")

PICKLED = "pickled, which needs --allow-pickle"


# click before 8.2 does not let Choice[str] be written.
class Source(click.Choice):  # type: ignore[type-arg]
    """The name of a source. For one that cannot list its sessions, the error says so."""

    def convert(self, value: t.Any, param: click.Parameter | None, ctx: click.Context | None) -> t.Any:
        if value in SOURCES and value not in NAMES:
            raise BadInput(cannot_list([value]))
        return super().convert(value, param, ctx)


@click.command(cls=Command)
@click.argument("sources", nargs=-1, type=Source(NAMES))
@click.option(
    "--allow-pickle",
    is_flag=True,
    help="Read pickles as well, which is a risk: see above.",
)
@click.option("--dry-run", is_flag=True, help="Count what would be done, and change nothing.")
@with_sessions
def convert(interface: ServerSessionInterface, sources: tuple[str, ...], allow_pickle: bool, dry_run: bool) -> None:
    """Take over all sessions of another backend at once, old pickles as well.

    Each argument is a backend of Flask-Session, configured as for it; without any, those of SESSION_TAKE_OVER. Where
    Flask-Session has its sessions in the same place as the app, as in the same Redis, they are converted in place.
    Sessions that are there already, have ended or were revoked are skipped, so that the command may be run again.

    \b
    --allow-pickle: Flask-Session before 0.8, and cachelib's files to this day,
    hold pickles. Loading a pickle runs code that its author chose, so anyone who
    can write to these files or keys could run code here. This command reads them
    with a reader that makes plain values (text, numbers, lists, dates, UUID,
    Decimal, Markup and the like) and refuses a pickle that names anything else;
    no request of the app ever reads one. Two risks are left: a fault in that
    reader, and forged sessions that are taken for real ones. Use it only where
    nobody but your app could write, and as a user with no more rights than this
    takes.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    wanted = sources or listed(app.config.get("SESSION_TAKE_OVER"))
    names, others = [one for one in wanted if one in NAMES], [one for one in wanted if one not in NAMES]
    if not names:
        nothing = f"no source is given, nor named by SESSION_TAKE_OVER: name one of {', '.join(NAMES)}"
        raise BadInput(cannot_list(others) if others else nothing)
    conversion = Conversion(interface, lifetime_of_sources(app), allow_pickle, dry_run)
    for name in names:
        try:
            conversion.run(app, name)
        except ValueError as error:
            raise BadInput(str(error)) from None
    click.echo("\r", nl=False, err=True)
    verb = "would be converted" if dry_run else "converted"
    echo(f"{counted(conversion.converted, 'session')} {verb}, {sum(conversion.skipped.values())} skipped.")
    if others:
        warn(cannot_list(others))
    if conversion.skipped:
        echo_table((reason, str(count)) for reason, count in conversion.skipped.most_common())


def listed(config: object) -> list[t.Any]:
    """The sources of a setting that is one of them, a list of them, or ``None``."""
    if config is None:
        return []
    return list(config) if isinstance(config, (list, tuple)) else [config]


def cannot_list(sources: Iterable[object]) -> str:
    # A source that is an object is named by its class.
    names = [source if isinstance(source, str) else type(source).__name__ for source in sources]
    return f"{' and '.join(names)} cannot list sessions: they are taken over one by one, at their next requests"


class Skipped(Exception):
    """Why a session is not converted."""


class Conversion:
    def __init__(self, interface: ServerSessionInterface, lifetime: int, allows_pickle: bool, is_dry: bool) -> None:
        self.interface = interface
        self.store = interface.store
        self.lifetime = lifetime
        self.allows_pickle = allows_pickle
        self.is_dry = is_dry
        ids, record_format = interface.ids, interface.format
        self.take_over = interface.lifecycle.take_over or TakeOver(
            Sources(()),
            self.store,
            record_format,
            ids,
            interface.lifecycle.revoked,
            lambda left: interface.life_beside_others(max(left or 0, lifetime)),
        )
        self.converted = 0
        self.skipped: Counter[str] = Counter()

    def run(self, app: t.Any, name: str) -> None:
        for convert in self.files(folder_of(app)) if name in ("cachelib", "filesystem") else self.records(app, name):
            try:
                convert()
                self.converted += 1
            except (Skipped, NotPlain, NotARecord) as reason:
                self.skipped[str(reason)] += 1
            count = self.converted + sum(self.skipped.values())
            if count % 100 == 0:
                click.echo(f"\r{count} sessions looked at ...", nl=False, err=True)

    # --- Sources with ids -------------------------------------------------------------------------------------------

    def records(self, app: t.Any, name: str) -> Iterator[t.Callable[[], None]]:
        source: t.Any = source_of(app, name, self.store, may_be_own=True)
        for sid in sids_of(source, name):
            if SID.fullmatch(sid):
                yield lambda sid=sid: self.convert(source, sid)  # type: ignore[misc]

    def convert(self, source: t.Any, sid: str) -> None:
        found = asked(source, "load", sid)
        if found is None:
            raise Skipped("expired")
        if isinstance(found, bytes) and found.startswith(MOVED):
            raise Skipped("moved to another id")
        data = self.data_of(found)
        record, ttl = self.take_over.record_of(data), self.ttl(life_left(source, sid))
        for key in (self.interface.ids.key(sid), self.interface.ids.other_key(sid)):
            if self.store.load(key) == found:
                self.convert_in_place(key, found, record, ttl)
                return
        own = self.store.load(self.interface.ids.key(sid))
        if own is not None and not is_taking(own):
            raise Skipped("taken over before")
        if self.is_dry:
            return
        try:
            self.take_over.put(sid, record, ttl, owner_in(data), life_left(source, sid))
        except Refused:
            raise Skipped("ended or revoked") from None
        self.take_over.delete(source, sid)

    def convert_in_place(self, key: str, found: bytes, record: bytes, ttl: int) -> None:
        try:
            self.interface.format.loads(found)
        except NotARecord:
            if not self.is_dry and self.store.replace(key, found, record, ttl) is not True:
                raise Skipped("changed meanwhile") from None
        else:
            raise Skipped("needs no conversion")

    def data_of(self, found: bytes | Data) -> Data:
        try:
            return self.take_over.data_of(found)
        except PickledRecord:
            if not self.allows_pickle:
                raise Skipped(PICKLED) from None
            return plain_session(t.cast(bytes, found))

    def ttl(self, left: float | None) -> int:
        """For how many seconds a session lives if it is not renewed."""
        left = self.lifetime if left is None or left == math.inf else min(left, self.lifetime)
        return max(int(left), 1)

    # --- Files, whose names are hashes of ids -----------------------------------------------------------------------

    def files(self, folder: Path) -> Iterator[t.Callable[[], None]]:
        if not folder.is_dir():
            raise BadInput(f"there is no folder {folder}: set SESSION_FILE_DIR, or SESSION_CACHELIB, as it was")
        for path in folder.iterdir():
            # Other files are cachelib's own.
            if len(path.name) == 32 and path.is_file() and not path.is_symlink() and path.stat().st_size > COUNT_FILE:
                yield lambda path=path: self.convert_file(path)  # type: ignore[misc]

    def convert_file(self, path: Path) -> None:
        if not self.allows_pickle:
            raise Skipped(PICKLED)
        data, end = plain_session_in_file(path.read_bytes())
        left = math.inf if end == 0 else end - time.time()
        if left <= 0:
            raise Skipped("expired")
        key = converted_key(self.interface.ids.key_prefix, path.name)
        record = self.take_over.record_of(data)
        if self.is_dry:
            if self.store.load(key) is not None:
                raise Skipped("taken over before")
            return
        if not self.store.create(key, record, self.ttl(left)):
            raise Skipped("taken over before")
        if self.take_over.sources.deletes:
            path.unlink()


def sids_of(source: t.Any, name: str) -> Iterator[str]:
    """The ids of all sessions of a source. Raise :exc:`BadInput` if the source fails."""
    try:
        yield from source.sids()
    except SessionStoreError as error:
        raise BadInput(f"{name} cannot list its sessions: {error}") from None
    except Exception as error:
        # The text of a client's error may quote a password.
        raise BadInput(f"{name} cannot list its sessions: {type(error).__name__}") from None


#: The greatest size, in bytes, of the file in which cachelib counts its files.
COUNT_FILE = 16
