"""Saves and opens sessions to see which code does it."""

from __future__ import annotations

import random
import typing as t
import warnings

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.http import parse_cookie

from .. import _native
from ..interface import FastSessionInterface
from . import cookies
from .errors import described
from .overrides import Override
from .overrides import overrides_of

if t.TYPE_CHECKING:
    from ..stats import SessionStats

StageName: t.TypeAlias = t.Literal["open", "serializer", "cookies", "loads", "save", "dumps", "headers"]

#: Opening and saving as a whole, each followed by its steps.
STAGES: tuple[StageName, ...] = ("open", "serializer", "cookies", "loads", "save", "dumps", "headers")

#: The reasons why stock code answers, by their names, as in docs/compatibility.md.
REASONS = dict(_native.reasons())


class Stage(t.NamedTuple):
    """Whether native code has run a stage, and the reasons why stock code ran it."""

    ran: bool
    declined: list[str]

    @property
    def is_native(self) -> bool:
        return self.ran and not self.declined


class Run(t.NamedTuple):
    """What happened when sessions were saved and opened.

    ``stages`` is empty if the interface is not this package's. ``lines`` are the ``Set-Cookie`` headers of the session
    cookie. ``error`` is the class of an exception, and its text if this package has raised it. ``overrides`` are the
    attributes that the app overrides.
    """

    stages: dict[str, Stage]
    lines: list[str]
    error: str | None = None
    overrides: t.Sequence[Override] = ()
    #: How many of the cookies would be too large if they were encrypted.
    too_large_when_encrypted: int = 0
    #: How native code checks that classes are Flask's: by version ``tags`` or by ``look-ups``.
    guard: str | None = None


def try_out(app: Flask, sample: object) -> Run:
    """Save and open sessions, as requests do."""
    interface = cookies.unskipping(app)
    if not isinstance(interface, SecureCookieSessionInterface):
        return Run({}, [])
    before = counts_of(interface)
    lines: list[str] = []
    overrides: list[Override] = []
    error = None
    with warnings.catch_warnings():
        # The doctor reports the size of the cookie itself, in place of Werkzeug's warning.
        warnings.simplefilter("ignore")
        for data in (login_session(), sample):
            try:
                lines += save_and_open(app, interface, data, overrides) if isinstance(data, dict) else []
            except Exception as raised:
                error = described(raised)
    after = counts_of(interface)
    return Run(
        stages_between(before, after),
        lines,
        error,
        list(dict.fromkeys(overrides)),
        too_large_in(after) - too_large_in(before),
        after and after["guard"],
    )


def counts_of(interface: SecureCookieSessionInterface) -> SessionStats | None:
    return interface.stats() if isinstance(interface, FastSessionInterface) else None


def too_large_in(stats: SessionStats | None) -> int:
    return 0 if stats is None else stats["kinds"]["too_large_when_encrypted"]


def stages_between(before: SessionStats | None, after: SessionStats | None) -> dict[str, Stage]:
    """What was counted between two reports."""
    if before is None or after is None:
        return {}
    return {
        name: Stage(
            after[name]["native"] > before[name]["native"],
            [
                reason
                for reason, count in after[name]["declined"].items()
                if count > before[name]["declined"].get(reason, 0)
            ],
        )
        for name in STAGES
    }


def save_and_open(
    app: Flask, interface: SecureCookieSessionInterface, data: dict[str, t.Any], overrides: list[Override]
) -> list[str]:
    """Save a new session, open it again, and return its Set-Cookie headers. Append to ``overrides``."""
    with cookies.request_with(app, None) as request:
        session = interface.open_session(app, request)
        if session is None or interface.is_null_session(session):
            return []
        session.update(data)
        response = app.response_class()
        if isinstance(interface, FastSessionInterface):
            overrides += overrides_of(app, request, response, session)
        interface.save_session(app, session, response)
        name = interface.get_cookie_name(app)
    # The app's interface may set other cookies, too.
    lines = [line for line in response.headers.getlist("Set-Cookie") if line.startswith(f"{name}=")]
    for line in lines:
        with cookies.request_with(app, parse_cookie(line).get(name)) as request:
            interface.open_session(app, request)
    return lines


def login_session() -> dict[str, t.Any]:
    """A session such as Flask-Login and Flask-WTF make for a user who is logged in."""
    return {
        "_fresh": True,
        "_id": f"{random.getrandbits(512):0128x}",
        "_permanent": True,
        "_user_id": str(random.randrange(10**6)),
        "csrf_token": f"{random.getrandbits(160):040x}",
    }


def why(reasons: list[str]) -> str:
    return "".join(f"; {reason}: {REASONS.get(reason, 'see the documentation')}" for reason in reasons)
