"""What the inspector shows of a session and its cookie."""

from __future__ import annotations

import json
import typing as t
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
from ..cli.cookies import Token
from ..cli.text import when

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
    #: Whether the cookie holds the session, and not an id of it.
    is_in_cookie: bool
    #: Whether a cookie was sent, and there is nothing in the session.
    is_refused: bool
    size: int
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
    name = app.session_interface.get_cookie_name(app)
    value = request.cookies.get(name, "")
    size = cookies.size_of(name, value) if value else 0
    is_in_cookie = isinstance(app.session_interface, SecureCookieSessionInterface)
    # Only a cookie that was accepted is worth a look, and only one that is signed can be taken apart.
    if not is_in_cookie or not data or value.count(".") < 2:
        return Facts(data, is_in_cookie, bool(value) and not data, size)
    token = cookies.take_apart(value)
    parts = dict(zip(("payload", "timestamp", "signature"), value.rsplit(".", 2), strict=True))
    return Facts(data, True, False, size, token, parts, indented(token.payload.text), signed_by(app, value))


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
