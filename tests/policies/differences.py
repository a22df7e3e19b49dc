"""What differs from Flask with each option, found by comparing: the same requests to stock and to ours.

``python -m tests.policies.differences`` prints the table that stands in docs/configuration.md.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import time_machine
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import Reply
from tests.contract.parity import exactly
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import outcome_of
from tests.contract.parity import store
from tests.contract.parity import touch_nothing

START = 1_700_000_000
LIFETIME = 100


def read(session: t.Any) -> object:
    return dict(session)


def token_of(**values: t.Any) -> str:
    """A cookie that stock makes now."""
    return exchange(make_app(SecureCookieSessionInterface()), store(**values)).token


class Request(t.NamedTuple):
    """A request to be made, so many seconds after its cookies were."""

    view: Callable[[t.Any], object]
    cookies: Callable[[], list[str]] = list
    age: int = 0


def forged() -> str:
    return exchange(make_app(SecureCookieSessionInterface(), SECRET_KEY="another key"), store(user="eve")).token


def permanent() -> list[str]:
    return [token_of(user="ada", _permanent=True)]


def other() -> list[str]:
    return [token_of(user="ada")]


def admin() -> list[str]:
    return [token_of(user="ada", admin=True, _permanent=True)]


#: Each is named as the table names it.
REQUESTS = {
    "reads, without a cookie": Request(read),
    "writes, without a cookie": Request(store(user="ada")),
    "leaves the session alone, without a cookie": Request(touch_nothing),
    "reads": Request(read, other),
    "reads a permanent session": Request(read, permanent),
    "reads a permanent session, whose cookie is 30 s old": Request(read, permanent, 30),
    "reads a permanent session, whose cookie is 80 s old": Request(read, permanent, 80),
    "reads an admin's session, whose cookie is 80 s old": Request(read, admin, 80),
    "reads an admin's session": Request(read, admin),
    "leaves a permanent session alone": Request(touch_nothing, permanent, 30),
    "leaves a session alone": Request(touch_nothing, other, 30),
    "writes": Request(store(user="bob"), other),
    "writes to a permanent session": Request(store(user="bob"), permanent, 30),
    "clears": Request(lambda session: session.clear(), other),
    "brings an expired cookie": Request(read, other, LIFETIME + 1),
    "brings a cookie of the future": Request(read, other, -1),
    "brings a forged cookie": Request(read, lambda: [forged()]),
    "brings a malformed cookie": Request(read, lambda: ["nonsense"]),
    "brings a malformed cookie, and writes": Request(store(user="ada"), lambda: ["nonsense"]),
    "brings a malformed cookie, and leaves the session alone": Request(touch_nothing, lambda: ["nonsense"]),
    "brings two valid cookies": Request(read, lambda: [*other(), *permanent()]),
    "brings a malformed and a valid cookie": Request(read, lambda: ["nonsense", *other()]),
}

OPTIONS: dict[str, dict[str, t.Any]] = {
    "none": {},
    "skip=lambda request: False": {"skip": lambda request: False},
    "skip=lambda request: True": {"skip": lambda request: True},
    "refresh_after=60": {"refresh_after": 60},
    "lifetime=lambda session: None": {"lifetime": lambda session: None},
    'lifetime=lambda session: 60 if session.get("admin") else None': {
        "lifetime": lambda session: 60 if session.get("admin") else None
    },
    "on_refused=report": {"on_refused": lambda request, reason: None},
    "delete_refused=True": {"delete_refused": True},
    "accept_any=True": {"accept_any": True},
}


def reply_of(interface: Interface, request: Request) -> Reply:
    with time_machine.travel(START, tick=False) as clock:
        cookies = request.cookies()
        clock.move_to(START + request.age)
        app = make_app(interface, PERMANENT_SESSION_LIFETIME=LIFETIME)
        header: dict[str, t.Any] = (
            {"headers": {"Cookie": "; ".join(f"session={cookie}" for cookie in cookies)}} if cookies else {}
        )
        return exchange(app, request.view, **header)


def differing(stock: Reply, ours: Reply) -> Iterator[str]:
    """Name the parts of a reply that differ."""
    if stock.status != ours.status:
        yield f"status {ours.status[:3]}"
    elif exactly(stock.seen) != exactly(ours.seen):
        yield "what the view sees"
    if stock.cookies != ours.cookies:
        yield (
            f"`Set-Cookie` is {'another' if ours.cookies else 'not there'}"
            if stock.cookies
            else (
                "`Set-Cookie` deletes the cookie"
                if ours.cookies[0].startswith("session=;")
                else "`Set-Cookie` is there"
            )
        )
    if stock.all("Vary") != ours.all("Vary"):
        yield "`Vary` is there" if ours.all("Vary") else "`Vary` is not there"
    rest = [[each for each in reply.headers if each[0] not in ("Set-Cookie", "Vary")] for reply in (stock, ours)]
    if stock.status == ours.status and (rest[0] != rest[1] or stock.body != ours.body):
        yield "something else"


def differences(options: dict[str, t.Any]) -> dict[str, list[str]]:
    """Return the requests that differ, and in what."""
    found = {}
    for name, request in REQUESTS.items():
        stock = reply_of(SecureCookieSessionInterface(), request)
        outcome = outcome_of(reply_of, FastSessionInterface(**options), request)
        parts = list(differing(stock, outcome.value)) if outcome.error is None else [repr(outcome.error)]
        if parts:
            found[name] = parts
    return found


def table() -> str:
    """Return the table of all options, in Markdown."""
    lines = ["| option | a request that | differs from Flask |", "|---|---|---|"]
    for option, given in OPTIONS.items():
        if not given:
            continue
        found = differences(given)
        if not found:
            lines.append(f"| `{option}` | | in nothing |")
        for parts in dict.fromkeys(tuple(parts) for parts in found.values()):
            names = [name for name, others in found.items() if tuple(others) == parts]
            lines.append(f"| `{option}` | {'; '.join(names)} | {', '.join(parts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
