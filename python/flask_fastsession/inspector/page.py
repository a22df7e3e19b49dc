"""What the inspector shows of a session and its cookie."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from pathlib import Path

from flask import session
from flask.sessions import SecureCookieSessionInterface
from jinja2 import Environment
from jinja2 import FileSystemLoader
from jinja2 import StrictUndefined

from ..cli import cookies
from ..cli.by_app import has_own_way
from ..cli.cookies import Token
from ..cli.cookies import unskipping
from ..cli.text import when
from ..interface import FastSessionInterface
from ..policies import MOST_COOKIES
from ..server.interface import ServerSessionInterface
from ..server.session import ServerSideSession

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request

#: So many keys of a session are shown, and so many characters of a value.
MOST_ROWS = 500
MOST_CHARACTERS = 2000


class Row(t.NamedTuple):
    """A key of the session, the type of its value, and its repr."""

    key: str
    kind: str
    value: str


@dataclass(frozen=True)
class Facts:
    """What is shown of the session of a request. Sizes are in bytes."""

    data: dict[str, t.Any]
    #: What the app makes of the cookie: ``refused`` if it opens no session, ``unknown`` if the app has its own way.
    kind: t.Literal["none", "refused", "signed", "encrypted", "id", "unknown"]
    size: int
    #: What was in the cookie when the request came.
    opened: Mapping[str, t.Any] | None = None
    token: Token | None = None
    #: The value of the cookie in its parts, by their names.
    parts: dict[str, str] = field(default_factory=dict)
    #: The JSON in the payload, indented.
    text: str | None = None
    #: Which key signed it, with which digest.
    signed_by: str | None = None
    limit: int = cookies.BROWSERS_KEEP

    @property
    def rows(self) -> list[Row]:
        items = list(self.data.items())[:MOST_ROWS]
        return [Row(shortened(str(key)), type(value).__name__, shortened(shown(value))) for key, value in items]

    @property
    def more_rows(self) -> int:
        return max(0, len(self.data) - MOST_ROWS)


def facts_of(app: Flask, request: Request) -> Facts:
    """Look at the session of a request, and at the cookie that it came from."""
    # Not by iterating: what a session is, its class decides.
    data = dict(session)
    interface = app.session_interface
    name = interface.get_cookie_name(app)
    values = request.cookies.getlist(name)
    if not isinstance(interface, FastSessionInterface) or not interface._options_for(app).policies.accept_any:
        values = values[:1]
    values = values[:MOST_COOKIES]
    if not any(values):
        return Facts(data, "none", 0)
    if isinstance(interface, ServerSessionInterface):
        current: object = session._get_current_object()  # type: ignore[attr-defined]
        is_there = isinstance(current, ServerSideSession) and current.stored is not None
        return Facts(data, "id" if is_there else "refused", cookies.size_of(name, values[0]))
    if has_own_way(app):
        return Facts(data, "unknown", cookies.size_of(name, values[0]), opened=data)
    # Only a cookie that the app accepts is worth a look.
    value, opened = next(
        ((each, opened) for each in values if (opened := opened_by(app, each)) is not None), ("", None)
    )
    if opened is None or not data or is_refused(app, request):
        return Facts(data, "refused", cookies.size_of(name, values[0]))
    size = cookies.size_of(name, value)
    if cookies.is_encrypted(value):
        return Facts(data, "encrypted", size, opened)
    token = cookies.take_apart(value)
    parts = dict(zip(("payload", "timestamp", "signature"), value.rsplit(".", 2), strict=True))
    return Facts(data, "signed", size, opened, token, parts, indented(token.payload.text), signed_by(app, value))


def opened_by(app: Flask, value: str) -> Mapping[str, t.Any] | None:
    """Return what an app reads from a session cookie, as Flask's interface does; ``None`` if that is refused."""
    try:
        serializer = t.cast(SecureCookieSessionInterface, app.session_interface).get_signing_serializer(app)
        loaded = t.cast(t.Any, serializer).loads(value, max_age=int(app.permanent_session_lifetime.total_seconds()))
    except Exception:
        # An app may have any serializer, and raise anything.
        return None
    return loaded if isinstance(loaded, Mapping) else None


def is_refused(app: Flask, request: Request) -> bool:
    """Whether the app opens an empty session for a genuine cookie, as for one that was revoked."""
    try:
        return not unskipping(app).open_session(app, request)
    except Exception:
        # A request with this session says so itself.
        return False


def signed_by(app: Flask, value: str) -> str | None:
    try:
        found = cookies.find_signature(app, cookies.serializer_of(app), value)
    except Exception:
        # An app may have any serializer, and raise anything.
        return None
    return None if found is None else f"{found.key} with {found.digest}"


def indented(text: bytes | None) -> str | None:
    try:
        return None if text is None else json.dumps(json.loads(text), indent=2)
    except (ValueError, RecursionError):
        return None


def shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"its repr() raises {type(error).__name__}"


def shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."


def date(moment: datetime | None) -> str:
    return "at no date" if moment is None else when(moment)


# One of its own: an app may have changed how its templates are read, and whether they escape.
environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
environment.filters["date"] = date


def rendered(template: str, **values: object) -> str:
    return environment.get_template(template).render(**values)
