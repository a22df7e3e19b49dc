"""``flask session inspect``: take a cookie apart."""

from __future__ import annotations

import json
import shutil
import typing as t
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from datetime import timezone

import click
from flask import Flask
from flask.sessions import session_json_serializer

from . import by_app
from . import cookies
from .app import load_app_if_any
from .app import name_of_cookie
from .by_app import has_own_way
from .by_app import kind_of
from .cookies import Record
from .cookies import Token
from .cookies import Verdict
from .errors import CookieCommand
from .text import as_json
from .text import echo
from .text import echo_json
from .text import echo_table
from .text import heading
from .text import iso
from .text import read_cookie
from .text import when


@click.command(cls=CookieCommand)
@click.argument("cookie", required=False)
@click.option("--name", help="The cookie's name; by default the app's, or session.")
@click.option("--no-app", is_flag=True, help="Load no app, and try no keys.")
@click.option("--check", is_flag=True, help="Exit with 1 unless there is an app that accepts the cookie.")
@as_json
@click.pass_context
def inspect(
    context: click.Context, cookie: str | None, name: str | None, no_app: bool, check: bool, as_json: bool
) -> None:
    """Take a session cookie apart.

    COOKIE is its value, session=value, or a Cookie or Set-Cookie header; without it, or where it is -, standard input
    is read, which may be all headers of a response. What is in the cookie, and when it was signed, is shown without a
    key, unless it is encrypted. With an app (--app, as for any flask command) its keys are tried, too: which one has
    signed or encrypted it, when it expires, and whether the app would accept it. A cookie that names a session on the
    server is looked up there, and one of an interface that overrides how cookies are read is read by that.

    Do not trust what is printed of a cookie that is not verified.
    """
    app = None if no_app else load_app_if_any()
    report = report_of(app, cookie, name)
    if as_json:
        echo_json(report.as_json())
    else:
        report.echo()
    if check and not report.is_accepted:
        context.exit(1)


TOO_LARGE = "browsers drop it, as it is too large"


class Report(t.Protocol):
    @property
    def is_accepted(self) -> bool: ...

    def as_json(self) -> dict[str, t.Any]: ...

    def echo(self) -> None: ...


def report_of(app: Flask | None, cookie: str | None, name: str | None) -> Report:
    with nullcontext() if app is None else cookies.request_with(app, None):
        known_as = name or ("session" if app is None else name_of_cookie(app))
        is_own = app is not None and has_own_way(app)
        value = read_cookie(cookie, known_as, name is not None, is_own)
        if app is not None and is_own:
            verdict = cookies.judge(app, cookies.take_apart(value)) if value.count(".") >= 2 else None
            if verdict is None or verdict.key is None:
                return OwnReport(known_as, value, by_app.read(app, value))
        kind = kind_of(app, value)
        if kind == "encrypted":
            return EncryptedReport(known_as, value, None if app is None else cookies.judge_encrypted(app, value))
        if kind == "id":
            return RecordReport(value, None if app is None else cookies.find_record(app, value))
        token = cookies.take_apart(value)
        return TokenReport(known_as, token, None if app is None else cookies.judge(app, token))


class TokenReport(t.NamedTuple):
    """A report about a cookie with a signed session."""

    name: str
    token: Token
    verdict: Verdict | None

    @property
    def is_accepted(self) -> bool:
        return self.verdict is not None and self.verdict.accepted

    @property
    def data(self) -> t.Any:
        """The session as the app reads it if the cookie is genuine, or else as it is in the payload."""
        genuine = None if self.verdict is None else self.verdict.data
        return self.token.payload.data if genuine is None else genuine

    @property
    def size(self) -> int:
        return cookies.size_of(self.name, self.token.value)

    @property
    def problems(self) -> list[str]:
        problems = [] if self.token.payload.problem is None else [self.token.payload.problem]
        if self.size > cookies.BROWSERS_KEEP:
            problems.append(TOO_LARGE)
        return problems

    def as_json(self) -> dict[str, t.Any]:
        token, payload = self.token, self.token.payload
        return {
            "kind": "cookie",
            "bytes": self.size,
            "compressed": payload.is_compressed,
            "problem": "; ".join(self.problems) or None,
            "text_bytes": None if payload.text is None else len(payload.text),
            "payload": json_in(payload.text),
            "types": {key: type(value).__name__ for key, value in items_of(self.data)},
            "timestamp": token.second,
            "counts_from": 2011 if token.counts_from_2011 else 1970,
            "signed_at": iso(token.signed_at),
            "age": token.age,
            "signature_bytes": token.signature_size,
            "digest": token.digest,
            "app": None if self.verdict is None else self._verdict_as_json(self.verdict),
        }

    @staticmethod
    def _verdict_as_json(verdict: Verdict) -> dict[str, t.Any]:
        return {
            "verified": verdict.key is not None,
            "key": verdict.key,
            "digest": verdict.digest,
            "expires_at": iso(verdict.expires_at),
            "accepted": verdict.accepted,
            "reason": verdict.reason,
        }

    def echo(self) -> None:
        heading("Cookie")
        echo_table(self._facts())
        echo_data(self.data)

    def _facts(self) -> Iterator[tuple[str, str]]:
        token, payload = self.token, self.token.payload
        yield "Size", f"{self.size} of the {cookies.BROWSERS_KEEP} bytes that browsers keep"
        packed = "compressed" if payload.is_compressed else "not compressed"
        kind = "bytes" if payload.data is None else "bytes of JSON"
        yield "Payload", packed if payload.text is None else f"{len(payload.text)} {kind}, {packed}"
        for problem in self.problems:
            yield "Problem", click.style(problem, fg="red")
        yield "Signed", "its timestamp is no date" if token.signed_at is None else when(token.signed_at)
        if token.counts_from_2011 and token.second is not None:
            taken_for = datetime.fromtimestamp(token.second, timezone.utc)
            yield "", f"by itsdangerous before 1.1, which counted from 2011; today's takes it for {taken_for:%Y-%m-%d}"
        yield "Digest", "of no known length" if token.digest is None else f"{token.digest}, by its length"
        if self.verdict is None:
            yield "Verified", click.style("no: no app, so no key was tried", fg="yellow")
            return
        if self.verdict.key is None:
            yield "Verified", click.style(f"no: {self.verdict.reason}", fg="red")
            return
        yield "Verified", click.style(f"yes, by {self.verdict.key} with {self.verdict.digest}", fg="green")
        yield from acceptance(self.verdict)


def acceptance(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """The lines that say until when the app accepts a cookie, and whether it does now."""
    if verdict.expires_at is not None:
        yield "Expires", when(verdict.expires_at)
    accepted = "yes" if verdict.accepted else f"no: {verdict.reason}"
    yield "Accepted", click.style(accepted, fg="green" if verdict.accepted else "red")


class EncryptedReport(t.NamedTuple):
    """A report about a cookie with an encrypted session."""

    name: str
    value: str
    verdict: Verdict | None

    @property
    def is_accepted(self) -> bool:
        return self.verdict is not None and self.verdict.accepted

    @property
    def size(self) -> int:
        return cookies.size_of(self.name, self.value)

    @property
    def is_compressed(self) -> bool:
        # The first byte is the version, 1 or 2. The second character has its lower bits.
        return "g" <= self.value[1] <= "v"

    def as_json(self) -> dict[str, t.Any]:
        verdict = self.verdict
        return {
            "kind": "encrypted",
            "bytes": self.size,
            "compressed": self.is_compressed,
            "problem": TOO_LARGE if self.size > cookies.BROWSERS_KEEP else None,
            "payload": None if verdict is None else as_tagged_json(verdict.data),
            "types": {key: type(value).__name__ for key, value in items_of(verdict and verdict.data)},
            "encrypted_at": None if verdict is None else iso(verdict.made_at),
            "app": verdict
            and {
                "opened": verdict.key is not None,
                "key": verdict.key,
                "expires_at": iso(verdict.expires_at),
                "accepted": verdict.accepted,
                "reason": verdict.reason,
            },
        }

    def echo(self) -> None:
        heading("Cookie")
        echo_table(self._facts())
        if self.verdict is not None:
            echo_data(self.verdict.data)

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "Size", f"{self.size} of the {cookies.BROWSERS_KEEP} bytes that browsers keep"
        if self.size > cookies.BROWSERS_KEEP:
            yield "Problem", click.style(TOO_LARGE, fg="red")
        yield "Payload", "encrypted, and compressed" if self.is_compressed else "encrypted"
        if self.verdict is None:
            yield "Opened", click.style("no: encrypted; give the app", fg="yellow")
            return
        if self.verdict.key is None:
            yield "Opened", click.style(f"no: {self.verdict.reason}", fg="red")
            return
        yield "Opened", click.style(f"yes, by {self.verdict.key}", fg="green")
        if self.verdict.made_at is not None:
            yield "Made", when(self.verdict.made_at)
        yield from acceptance(self.verdict)


class OwnReport(t.NamedTuple):
    """A report about a cookie of an app that reads its cookies with code of its own."""

    name: str
    value: str
    read: by_app.Read

    @property
    def is_accepted(self) -> bool:
        return self.read.problem is None

    @property
    def size(self) -> int:
        return cookies.size_of(self.name, self.value)

    def as_json(self) -> dict[str, t.Any]:
        return {
            "kind": "own",
            "bytes": self.size,
            "payload": as_tagged_json(self.read.data),
            "types": {key: type(value).__name__ for key, value in items_of(self.read.data)},
            "app": {"accepted": self.is_accepted, "reason": self.read.problem},
        }

    def echo(self) -> None:
        heading("Cookie")
        echo_table(self._facts())
        echo_data(self.read.data)

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "Size", f"{self.size} of the {cookies.BROWSERS_KEEP} bytes that browsers keep"
        yield "Payload", "of the app's own interface, which alone can read it"
        accepted = "yes" if self.is_accepted else f"no: {self.read.problem}"
        yield "Accepted", click.style(accepted, fg="green" if self.is_accepted else "red")


class RecordReport(t.NamedTuple):
    """A report about a cookie with the id of a session on the server."""

    value: str
    record: Record | None

    @property
    def is_accepted(self) -> bool:
        return self.record is not None and self.record.problem is None

    def as_json(self) -> dict[str, t.Any]:
        record = self.record
        return {
            "kind": "id",
            "bytes": len(self.value),
            "signed": "." in self.value,
            "app": record
            and {
                "found": record.problem is None,
                "reason": record.problem,
                "record_bytes": record.size,
                "payload": as_tagged_json(record.data),
                "types": {key: type(value).__name__ for key, value in items_of(record.data)},
                "begun_at": iso(record.begun),
                "expires_at": iso(record.expires_at),
                "user": record.user,
            },
        }

    def echo(self) -> None:
        heading("Cookie")
        echo_table(self._facts())
        if self.record is not None and self.record.problem is None:
            echo_data(self.record.data)

    def _facts(self) -> Iterator[tuple[str, str]]:
        signed = "a signed id" if "." in self.value else "an id"
        yield "Holds", f"{signed} of {len(self.value)} bytes: the session is on the server"
        if self.record is None:
            yield "Found", click.style("no: no app, so no store was asked", fg="yellow")
            return
        if self.record.problem is not None:
            yield "Found", click.style(f"no: {self.record.problem}", fg="red")
            return
        yield "Found", click.style(f"yes, a record of {self.record.size} bytes", fg="green")
        if self.record.begun is not None:
            yield "Begun", when(self.record.begun)
        if self.record.expires_at is not None:
            yield "Expires", when(self.record.expires_at)
        if self.record.user is not None:
            yield "User", repr(self.record.user)


def json_in(text: bytes | None) -> t.Any:
    """The JSON of a payload with its tags, or ``None`` if other programs cannot read it, for example because of NaN."""
    try:
        value = json.loads(text or b"null")
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value


def as_tagged_json(data: object) -> t.Any:
    try:
        return json_in(session_json_serializer.dumps(data).encode())
    except Exception:
        # A session from msgpack may have types that JSON does not have.
        return None


def items_of(data: object) -> list[tuple[str, t.Any]]:
    return [(str(key), value) for key, value in data.items()] if isinstance(data, dict) else []


def echo_data(data: object) -> None:
    rows = [(key, type(value).__name__, shown(value)) for key, value in items_of(data)]
    if not rows:
        rows = [] if isinstance(data, dict) or data is None else [("", type(data).__name__, shown(data))]
    if not rows:
        return
    echo()
    heading("Payload")
    room = max(shutil.get_terminal_size((120, 24)).columns - 24, 40)
    names = [shortened(key if key.isprintable() else repr(key), room // 2) for key, _, _ in rows]
    left = room - max(map(len, names))
    echo_table((name, kind, shortened(value, left)) for name, (_, kind, value) in zip(names, rows, strict=True))


def shown(value: object) -> str:
    try:
        return repr(value)
    except RecursionError:
        return "nested too deeply to be shown"


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 4]} ..."
