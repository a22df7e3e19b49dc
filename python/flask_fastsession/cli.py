"""``flask session``: look into a session cookie, make one, have an app examined, and measure what its sessions cost."""

from __future__ import annotations

import functools
import gc
import json
import random
import shutil
import sys
import time
import typing as t
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from inspect import getattr_static
from statistics import median
from types import FunctionType

import click
from flask import Flask
from flask import current_app
from flask.cli import FlaskGroup
from flask.cli import NoAppException
from flask.cli import ScriptInfo
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import session_json_serializer
from werkzeug.http import parse_cookie

from . import cookies
from .cookies import Record
from .cookies import Token
from .cookies import Verdict
from .interface import FastSession
from .interface import FastSessionInterface
from .options import CREATED
from .options import PLAIN

#: What is piped in is read up to so many bytes.
MAX_INPUT = 1 << 20

#: Browsers keep cookies of about 4096 bytes; this is Flask's default for ``MAX_COOKIE_SIZE``.
BROWSERS_KEEP = 4093

#: One in 64 ids of sessions begins with a hyphen, and is no option.
TAKES_COOKIE = {"ignore_unknown_options": True}

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class BadInput(click.ClickException):
    """What was given cannot be used: one line that says why, and exit code 2."""

    exit_code = 2


@click.group()
def session() -> None:
    """Look into session cookies, and examine the app's sessions.

    No command ever prints a key.
    """


# --- What goes in and out -------------------------------------------------------------------------------------------


def read(argument: str | None, what: str) -> str:
    """An argument of the command line, or else what is on standard input."""
    if argument is not None and argument != "-":
        return argument
    if sys.stdin is None or (argument is None and sys.stdin.isatty()):
        raise BadInput(f"no {what} was given, as an argument or on standard input")
    text = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(text) > MAX_INPUT:
        raise BadInput(f"what is on standard input is longer than {MAX_INPUT} bytes")
    # PowerShell puts a byte order mark before what it pipes.
    return text.decode("utf-8-sig", "replace")


def read_cookie(argument: str | None, name: str) -> str:
    try:
        return cookies.find_cookie(read(argument, "cookie"), name)
    except cookies.NotACookie as error:
        raise BadInput(f"this is no session cookie: {error}") from None


def read_session(
    argument: str | None, is_tagged: bool, serializer: t.Any = session_json_serializer
) -> dict[str, t.Any]:
    """The session that a JSON text describes."""
    text = read(argument, "JSON")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadInput('a session is a JSON object, such as {"user": "ada"}')
    if not is_tagged:
        return data
    try:
        tagged = serializer.loads(text)
    except Exception as error:
        # A tag may be the app's, and raise anything.
        raise BadInput(f"the tagged values cannot be read: {type(error).__name__}") from None
    if not isinstance(tagged, dict):
        raise BadInput("a session is a JSON object, and this is one tagged value")
    return tagged


def echo(text: str = "") -> None:
    """Print a line, with escapes for what the terminal has no characters for."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def heading(text: str) -> None:
    echo(click.style(text, bold=True))


def echo_table(rows: Iterable[t.Sequence[str]], align: Callable[[str, int], str] = str.ljust) -> None:
    """Print rows in columns, of which the first is aligned to the left."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(align, others, widths[1:])]
        echo(("  " + "  ".join(cells)).rstrip())


def in_time(seconds: int) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if abs(seconds) >= 2 * length:
            return f"{abs(seconds) // length} {unit}s"
    return f"{abs(seconds)} second{'' if abs(seconds) == 1 else 's'}"


def when(date: datetime) -> str:
    seconds = int(date.timestamp()) - int(time.time())
    distance = f"in {in_time(seconds)}" if seconds > 0 else f"{in_time(seconds)} ago"
    return f"{date:%Y-%m-%d %H:%M:%S} UTC, {distance}"


def iso(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()


# --- The app --------------------------------------------------------------------------------------------------------


def load_app() -> Flask:
    """The app that Flask's command line is for; one line about it if there is none."""
    if current_app:
        return t.cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
    try:
        return click.get_current_context().ensure_object(ScriptInfo).load_app()
    except NoAppException as error:
        lines = [line for line in error.format_message().splitlines() if line.strip()]
        # Flask has the whole traceback of what failed to import.
        raise BadInput(f"{lines[0]} {lines[-1]}" if "Traceback" in error.message else " ".join(lines)) from None
    except click.ClickException:
        raise
    except Exception as error:
        raise BadInput(f"the app cannot be loaded: {type(error).__name__} (flask routes shows where)") from None


def load_app_if_any() -> Flask | None:
    """The app, where one is named, or Flask's command line finds one by itself."""
    context = click.get_current_context()
    info = context.ensure_object(ScriptInfo)
    if current_app or info.app_import_path or info.create_app:
        return load_app()
    if context.find_root().command is main:
        return None
    try:
        return load_app()
    except BadInput:
        return None


def with_app(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command called with the app, in its context."""

    @functools.wraps(command)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> None:
        app = load_app()
        with app.app_context():
            command(app, *args, **kwargs)

    return wrapper


# --- inspect --------------------------------------------------------------------------------------------------------


@session.command(context_settings=TAKES_COOKIE)
@click.argument("cookie", required=False)
@click.option("--name", help="The cookie's name in headers; by default the app's, or session.")
@click.option("--no-app", is_flag=True, help="Load no app, and try no keys.")
@as_json
def inspect(cookie: str | None, name: str | None, no_app: bool, as_json: bool) -> None:
    """Take a session cookie apart.

    COOKIE is its value, session=value, or a Cookie or Set-Cookie header; without it, or where it is -, standard input
    is read, which may be all headers of a response. What is in the cookie, and when it was signed, is told without a
    key. With an app (--app, as for any flask command) its keys are tried, too: which one has signed it, when it
    expires, and whether the app would accept it. A cookie that names a session on the server is looked up there.

    What is printed of a cookie that is not verified may be anybody's invention.
    """
    app = None if no_app else load_app_if_any()
    if app is None:
        report = inspect_without_app(read_cookie(cookie, name or "session"))
    else:
        with app.app_context():
            value = read_cookie(cookie, name or app.session_interface.get_cookie_name(app))
            report = inspect_with_app(app, value)
    if as_json:
        echo_json(report.as_json())
    else:
        report.echo()


class Report(t.Protocol):
    def as_json(self) -> dict[str, t.Any]: ...

    def echo(self) -> None: ...


def inspect_without_app(value: str) -> Report:
    return RecordReport(value, None) if cookies.is_id(value) else TokenReport(cookies.take_apart(value), None)


def inspect_with_app(app: Flask, value: str) -> Report:
    if cookies.is_id(value):
        return RecordReport(value, cookies.find_record(app, value))
    token = cookies.take_apart(value)
    return TokenReport(token, cookies.judge(app, token))


class TokenReport(t.NamedTuple):
    """About a cookie that holds the session."""

    token: Token
    verdict: Verdict | None

    @property
    def data(self) -> t.Any:
        """As the app reads it, if it is genuine."""
        genuine = None if self.verdict is None else self.verdict.data
        return self.token.payload.data if genuine is None else genuine

    def as_json(self) -> dict[str, t.Any]:
        token, payload = self.token, self.token.payload
        return {
            "kind": "cookie",
            "bytes": len(token.value),
            "compressed": payload.is_compressed,
            "problem": payload.problem,
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
        yield "Size", f"{len(token.value)} of the {BROWSERS_KEEP} bytes that browsers keep"
        packed = "compressed" if payload.is_compressed else "not compressed"
        yield "Payload", packed if payload.text is None else f"{len(payload.text)} bytes of JSON, {packed}"
        if payload.problem is not None:
            yield "Problem", click.style(payload.problem, fg="red")
        yield "Signed", "its timestamp is no date" if token.signed_at is None else when(token.signed_at)
        if token.counts_from_2011 and token.signed_at is not None:
            yield "", "by itsdangerous before 1.1, which counted from 2011; today's finds it too old"
        yield "Digest", "of no known length" if token.digest is None else f"{token.digest}, by its length"
        if self.verdict is None:
            yield "Verified", click.style("no: no app, so no key was tried", fg="yellow")
            return
        if self.verdict.key is None:
            yield "Verified", click.style(f"no: {self.verdict.reason}", fg="red")
            return
        yield "Verified", click.style(f"yes, by {self.verdict.key} with {self.verdict.digest}", fg="green")
        if self.verdict.expires_at is not None:
            yield "Expires", when(self.verdict.expires_at)
        accepted = "yes" if self.verdict.accepted else f"no: {self.verdict.reason}"
        yield "Accepted", click.style(accepted, fg="green" if self.verdict.accepted else "red")


class RecordReport(t.NamedTuple):
    """About a cookie that names a session on the server."""

    value: str
    record: Record | None

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
        found = self.record.problem is None
        text = f"yes, a record of {self.record.size} bytes" if found else f"no: {self.record.problem}"
        yield "Found", click.style(text, fg="green" if found else "red")
        if self.record.begun is not None:
            yield "Begun", when(self.record.begun)
        if self.record.user is not None:
            yield "User", repr(self.record.user)


def json_in(text: bytes | None) -> t.Any:
    """The JSON of a payload with its tags, if it is such as any program can read."""
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
        # msgpack holds more types than JSON.
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


# --- sign -----------------------------------------------------------------------------------------------------------


@session.command()
@click.argument("session_json", metavar="JSON", required=False)
@click.option(
    "--tagged", is_flag=True, help='Read {" t": [...]} and the like as Flask\'s tags, as inspect --json has them.'
)
@with_app
def sign(app: Flask, session_json: str | None, tagged: bool) -> None:
    """Make a session cookie for a test, and print its value.

    JSON is the session, such as '{"user": "ada"}'; without it, or where it is -, standard input is read. It is signed
    now, by the app's own interface with its SECRET_KEY, so whoever holds it is logged in.
    """
    serializer = serializer_of(app)
    data = read_session(session_json, tagged, getattr(app.session_interface, "serializer", session_json_serializer))
    try:
        token = serializer.dumps(data)
    except Exception as error:
        raise BadInput(f"the session cannot be signed: {type(error).__name__}") from None
    click.echo(token)


def serializer_of(app: Flask) -> t.Any:
    try:
        return cookies.serializer_of(app)
    except cookies.Unusable as error:
        raise BadInput(str(error)) from None


# --- doctor ---------------------------------------------------------------------------------------------------------

STAGES = ("open", "save", "loads", "dumps")

#: A key of fewer bytes can be guessed by trying.
SHORTEST_KEY = 16

#: A cookie is near the browsers' limit from this share of it on.
NEAR = 0.8

#: Keys of documentation, tutorials and templates, without case and punctuation.
WELL_KNOWN_KEYS = """
    123456 192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf 5f352379324c22463451387a0aec5d2f
    5y2lf4q8z 5y2lf4q8znxec a0zr98j3yxrxhhjmnlwxrt asupersecretkey changeit changeme changethis default dev devel
    development developmentkey devkey flask hardtoguessstring insecure key mysecret mysecretkey password replaceme
    s3cr3t secret secretkey supersecret supersecretkey test testing testkey thequickbrownfoxjumpsoverthelazydog
    thisisasecret thisissecret tobereplacedbyalongrandomone topsecret verysecret youwillneverguess yoursecretkey
    yoursecretkeyhere
"""

#: Why stock code answers, in the words of docs/compatibility.md.
REASONS = {
    "serializer": "the serializer is not Flask's own, or was changed",
    "signer": "the signer, its options or the salt are unusual",
    "keys": "the keys are not text or bytes, or cannot be used",
    "digest": "the digest is not SHA-1 or SHA-2",
    "patched": "a function of itsdangerous, json or flask.json.tag was replaced",
    "clock": "the clock was replaced, and tells no time that can be used",
    "json_provider": "the app's JSON provider has its own dumps or loads",
    "json_tags": "the tagged serializer is not Flask's own class, or has other tags",
    "zlib": "the interpreter's zlib compresses to other bytes than a classic zlib",
    "value_type": "a value is of a type that is not built in, or that JSON lacks",
    "dict_key": "a name in the session is not a plain str",
    "number": "a number is NaN, infinite, or beyond 128 bits",
    "surrogate": "a text has half of a surrogate pair",
    "depth": "a value is nested more than forty levels deep",
    "size": "the session is larger than 1 MiB, or its cookie than MAX_COOKIE_SIZE",
    "token_type": "the cookie is not text",
    "token_form": "the timestamp or signature is in unusual base64",
    "max_age": "PERMANENT_SESSION_LIFETIME is not a plain number of seconds",
    "payload": "the payload is in unusual base64, or damaged",
    "json_text": "the payload is not strict JSON",
    "tag_value": "a tagged value is in unusual form, or its tag is somebody else's",
    "hook": "a method of the interface is overridden",
    "app": "the app or its config looks up settings in its own way",
    "request": "the request class reads cookies or headers in its own way",
    "cookie_header": "the Cookie header is unusual",
    "cookie_options": "an option of the session cookie is refused by Werkzeug, or of an unusual type",
    "session": "the session is of another class than the interface's own, or the cookie holds no dict",
    "response": "the response class sets cookies or headers in its own way",
    "deletion": "the session was emptied",
}


class Finding(t.NamedTuple):
    """What the doctor has found: a ``warning``, which is to be acted on, or a ``note``."""

    level: t.Literal["warning", "note"]
    code: str
    text: str


def warning(code: str, text: str) -> Finding:
    return Finding("warning", code, text)


def note(code: str, text: str) -> Finding:
    return Finding("note", code, text)


class Stage(t.NamedTuple):
    """Whether native code has run it, and why stock code had to."""

    ran: bool
    declined: list[str]

    @property
    def is_native(self) -> bool:
        return self.ran and not self.declined


class Run(t.NamedTuple):
    """What became of sessions that were really saved and opened.

    There are no ``stages`` where all code is stock's, or somebody else's. ``sizes`` are those of the ``Set-Cookie``
    lines, in bytes; ``error`` is the class of an exception.
    """

    stages: dict[str, Stage]
    sizes: list[int]
    error: str | None = None


@session.command(context_settings=TAKES_COOKIE)
@click.argument("cookie", required=False)
@as_json
@click.pass_context
@with_app
def doctor(app: Flask, context: click.Context, cookie: str | None, as_json: bool) -> None:
    """Examine the sessions of the app.

    Says which stages run natively and why others do not, by saving and opening sessions through the app's own
    interface, and warns of weak keys, of cookies that are not protected, and of what else is risky. The sessions are
    such as Flask-Login and Flask-WTF keep; give a COOKIE of a real user, or - for standard input, to have that one
    examined as well.

    Exits with 0 if there is nothing to warn of, with 1 if there is, with 2 if the app or the cookie cannot be used.
    """
    value = None if cookie is None else read_cookie(cookie, app.session_interface.get_cookie_name(app))
    run, findings = examine(app, value)
    is_clean = not any(finding.level == "warning" for finding in findings)
    if as_json:
        echo_json(
            {
                "interface": name_of(type(app.session_interface)),
                "stages": {
                    name: {"native": stage.is_native, "declined": stage.declined} for name, stage in run.stages.items()
                },
                "cookie_bytes": max(run.sizes, default=None),
                "findings": [finding._asdict() for finding in findings],
                "clean": is_clean,
            }
        )
    else:
        echo_examination(app, run, findings)
    context.exit(0 if is_clean else 1)


def examine(app: Flask, value: str | None) -> tuple[Run, list[Finding]]:
    sample: object = None
    findings: list[Finding] = []
    if value is not None and cookies.is_id(value):
        findings += check_record(cookies.find_record(app, value))
    elif value is not None:
        verdict = cookies.judge(app, cookies.take_apart(value))
        findings += check_verdict(verdict)
        sample = verdict.data
    run = try_out(app, sample)
    if run.error is not None:
        findings.append(warning("failure", f"saving and opening a session raises {run.error}"))
    for check in (check_interface, check_keys, check_attributes):
        findings += check(app)
    findings += check_size(app, max([*run.sizes, len(value or "")]))
    return run, findings


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def echo_examination(app: Flask, run: Run, findings: list[Finding]) -> None:
    heading(name_of(type(app.session_interface)))
    echo_table((name, verdict_on(stage)) for name, stage in run.stages.items())
    for level, colour in (("warning", "red"), ("note", "yellow")):
        chosen = [finding for finding in findings if finding.level == level]
        if chosen:
            echo()
            heading(f"{level.capitalize()}s")
        for finding in chosen:
            echo(f"  {click.style(finding.code, fg=colour)}: {finding.text}")
    if not any(finding.level == "warning" for finding in findings):
        echo()
        echo(click.style("Nothing to warn of.", fg="green"))


def verdict_on(stage: Stage) -> str:
    if stage.is_native:
        return click.style("native", fg="green")
    return click.style(f"left to stock{why(stage.declined)}" if stage.declined else "did not run", fg="yellow")


def why(reasons: list[str]) -> str:
    return "".join(f"; {reason}: {REASONS.get(reason, 'see the documentation')}" for reason in reasons)


def try_out(app: Flask, sample: object) -> Run:
    """Save and open sessions, as requests do."""
    interface = app.session_interface
    if not isinstance(interface, SecureCookieSessionInterface):
        return Run({}, [])
    before = counts_of(interface)
    sizes, error = [], None
    with warnings.catch_warnings():
        # Werkzeug's of the size is said here in its place.
        warnings.simplefilter("ignore")
        for data in (login_session(), sample):
            try:
                sizes += save_and_open(app, data) if isinstance(data, dict) else []
            except Exception as raised:
                # Its text might quote a key.
                error = type(raised).__name__
    return Run(stages_between(before, counts_of(interface)), sizes, error)


def counts_of(interface: SecureCookieSessionInterface) -> dict[str, t.Any]:
    return interface.stats() if isinstance(interface, FastSessionInterface) else {}


def stages_between(before: dict[str, t.Any], after: dict[str, t.Any]) -> dict[str, Stage]:
    """What has been counted meanwhile."""
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
        if after
    }


def save_and_open(app: Flask, data: dict[str, t.Any]) -> list[int]:
    """Let a new session be saved and opened again, and return the sizes of its Set-Cookie lines."""
    interface = app.session_interface
    session = interface.open_session(app, cookies.request_with(app, None))
    if session is None:
        return []
    session.update(data)
    response = app.response_class()
    interface.save_session(app, session, response)
    lines = response.headers.getlist("Set-Cookie")
    for line in lines:
        value = parse_cookie(line).get(interface.get_cookie_name(app))
        interface.open_session(app, cookies.request_with(app, value))
    return [len(line) for line in lines]


def login_session() -> dict[str, t.Any]:
    """What Flask-Login and Flask-WTF keep of somebody who is logged in."""
    return {
        "_fresh": True,
        "_id": f"{random.getrandbits(512):0128x}",
        "_permanent": True,
        "_user_id": str(random.randrange(10**6)),
        "csrf_token": f"{random.getrandbits(160):040x}",
    }


def check_record(record: Record) -> Iterator[Finding]:
    if record.problem is not None:
        yield warning("cookie-refused", f"this cookie opens no session: {record.problem}")


def check_verdict(verdict: Verdict) -> Iterator[Finding]:
    if not verdict.accepted:
        yield warning("cookie-refused", f"this cookie opens no session: {verdict.reason}")
    if verdict.key is not None and verdict.key.startswith("SECRET_KEY_FALLBACKS"):
        yield note("fallback-needed", f"this cookie was signed with {verdict.key}, which is needed still")


def check_interface(app: Flask) -> Iterator[Finding]:
    from .server.interface import ServerSessionInterface

    interface = app.session_interface
    if isinstance(interface, ServerSessionInterface):
        yield from check_store(app, interface)
    elif not isinstance(interface, SecureCookieSessionInterface):
        yield note("interface", "the app's session interface is of another package, and was not tried")
    elif not isinstance(interface, FastSessionInterface):
        yield note("interface", "no stage is native until app.session_interface = FastSessionInterface()")
    elif overridden := overridden_methods(interface):
        yield note("hooks", f"the interface overrides {', '.join(overridden)}")
    if isinstance(interface, SecureCookieSessionInterface) and digest_of(interface) == "sha1":
        yield note(
            "sha1",
            "signatures are by HMAC with SHA-1, Flask's default, which is not known to be broken; "
            "FastSessionInterface(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1]) moves on",
        )


def overridden_methods(interface: FastSessionInterface) -> list[str]:
    """The public methods that are not this package's, or Flask's."""
    methods = [
        name
        for name in dir(FastSessionInterface)
        if not name.startswith("_") and isinstance(getattr_static(FastSessionInterface, name), FunctionType)
    ]
    return [name for name in methods if getattr_static(interface, name) is not getattr(FastSessionInterface, name)]


def digest_of(interface: SecureCookieSessionInterface) -> str | None:
    try:
        return cookies.name_of_digest(interface.digest_method)
    except Exception:
        return None


def check_store(app: Flask, interface: t.Any) -> Iterator[Finding]:
    kind, options = type(interface.store).__name__, interface.options
    yield note(
        "store", f"sessions are kept on the server, by {kind}, under keys that begin with {options.key_prefix!r}"
    )
    try:
        interface.store.load(f"{options.key_prefix}doctor:{random.getrandbits(128):032x}")
    except Exception as error:
        yield warning("store-failed", f"the store cannot be used: {type(error.__cause__ or error).__name__}")
    if not options.hash_sid:
        yield note("ids-readable", "who can read the store can take over sessions; SESSION_HASH_SID keeps them from it")
    if options.absolute_lifetime is None:
        yield note("no-end", "a session that is used lives on for ever; SESSION_ABSOLUTE_LIFETIME ends it")


def check_keys(app: Flask) -> Iterator[Finding]:
    from .server.interface import ServerSessionInterface

    interface = app.session_interface
    if isinstance(interface, ServerSessionInterface) and not interface.options.use_signer:
        return
    if not app.secret_key:
        yield warning("no-key", "there is no SECRET_KEY, so sessions cannot be used")
        return
    yield from check_key("SECRET_KEY", app.secret_key)
    fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
    if isinstance(fallbacks, str | bytes):
        yield warning(
            "fallbacks-text",
            "SECRET_KEY_FALLBACKS is text in place of a list: each of its characters is a key, so that anybody can "
            "forge sessions; put it into a list",
        )
        return
    fallbacks = list(fallbacks or ())
    for number, key in enumerate(fallbacks):
        yield from check_key(f"SECRET_KEY_FALLBACKS[{number}]", key)
        if key == app.secret_key:
            yield warning("fallback-current", f"SECRET_KEY_FALLBACKS[{number}] is SECRET_KEY itself")
    if fallbacks:
        lifetime = in_time(int(app.permanent_session_lifetime.total_seconds()))
        yield note(
            "fallbacks",
            f"there are fallback keys ({len(fallbacks)}): no session needs one that was retired more than {lifetime} "
            'ago, and stats()["keys"] of the running app counts those that are used',
        )


def check_key(name: str, key: object) -> Iterator[Finding]:
    if not isinstance(key, str | bytes):
        yield warning("key-type", f"{name} is neither text nor bytes, but of type {type(key).__name__}")
        return
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    if "".join(filter(str.isalnum, text.casefold().encode("ascii", "ignore").decode())) in WELL_KNOWN_KEYS.split():
        yield warning(
            "known-key", f"{name} is one from documentation or a tutorial, which anybody tries first; {NEW_KEY}"
        )
    elif len(key if isinstance(key, bytes) else key.encode("utf-8", "replace")) < SHORTEST_KEY:
        yield warning("short-key", f"{name} is shorter than {SHORTEST_KEY} bytes, and may be guessed; {NEW_KEY}")


NEW_KEY = 'python -c "import secrets; print(secrets.token_hex())" makes a good one'


def check_attributes(app: Flask) -> Iterator[Finding]:
    interface = app.session_interface
    secure, samesite = interface.get_cookie_secure(app), interface.get_cookie_samesite(app)
    if not secure:
        yield warning("not-secure", "the cookie goes over plain HTTP as well: set SESSION_COOKIE_SECURE")
    if not interface.get_cookie_httponly(app):
        yield warning("not-httponly", "scripts in pages can read the cookie: set SESSION_COOKIE_HTTPONLY")
    if samesite is None:
        yield warning(
            "no-samesite",
            'browsers decide whether requests from other sites bring the cookie: set SESSION_COOKIE_SAMESITE to "Lax"',
        )
    elif str(samesite).lower() not in ("strict", "lax", "none"):
        yield warning("bad-samesite", 'SESSION_COOKIE_SAMESITE is none of "Lax", "Strict" and "None"')
    elif str(samesite).lower() == "none" and not secure:
        yield warning("samesite-none", "browsers refuse a cookie with SameSite=None that is not Secure")


def check_size(app: Flask, size: int) -> Iterator[Finding]:
    limit = app.config.get("MAX_COOKIE_SIZE", BROWSERS_KEEP)
    if not isinstance(limit, int) or not 0 < limit <= BROWSERS_KEEP:
        yield warning(
            "no-limit",
            f"MAX_COOKIE_SIZE is not within {BROWSERS_KEEP}: of larger cookies, which browsers drop, nobody is told",
        )
        limit = BROWSERS_KEEP
    if size > limit:
        yield warning("too-large", f"the session cookie has {size} bytes, and browsers drop those above {limit}")
    elif size > NEAR * limit:
        yield warning("nearly-too-large", f"the session cookie has {size} bytes, and browsers drop those above {limit}")


# --- bench ----------------------------------------------------------------------------------------------------------

WARM_UP_ROUNDS = 5

#: How long a turn is to take stock, in seconds.
TURN = 0.002

#: Attempts to have both save a session within the same second.
ATTEMPTS = 5

Interface = SecureCookieSessionInterface
Jobs = dict[str, Callable[[int], float]]


class Timing(t.NamedTuple):
    """Seconds for one call, a value for each round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """The median distance from the median."""
        return median(abs(value - self.median) for value in self.seconds)

    def over(self, other: Timing) -> Timing:
        """How many times the other it is, round by round."""
        return Timing([mine / its for mine, its in zip(self.seconds, other.seconds, strict=True)])


@session.command()
@click.argument("session_json", metavar="JSON", required=False)
@click.option("--file", type=click.File(encoding="utf-8", errors="replace"), help="Read the JSON from a file.")
@click.option(
    "--tagged", is_flag=True, help='Read {" t": [...]} and the like as Flask\'s tags, as inspect --json has them.'
)
@click.option("--rounds", type=click.IntRange(5, 100_000), default=200, show_default=True, help="Turns of each.")
@as_json
@with_app
def bench(
    app: Flask, session_json: str | None, file: t.TextIO | None, tagged: bool, rounds: int, as_json: bool
) -> None:
    """Measure what sessions cost, with Flask's own code and with this package.

    JSON is the session, such as '{"user": "ada"}', and - stands for standard input; without it, it is one such as
    Flask-Login and Flask-WTF keep. The app's own config, keys, requests and responses are used: "open" is a request
    that brings the session, "save" a response to one that has changed it. Both take turns in one process, and their
    answers are compared before.
    """
    if not isinstance(app.session_interface, SecureCookieSessionInterface):
        raise BadInput("only sessions in cookies can be compared with Flask's, and the app keeps its own elsewhere")
    serializer_of(app)
    data = bench_session(session_json, file, tagged)
    stock, ours = interfaces_for(app, data)
    before = ours.stats()
    jobs, value = make_jobs(app, {"stock": stock, "ours": ours}, data)
    timings = take_turns(jobs, rounds)
    declined = {name: stage.declined for name, stage in stages_between(before, ours.stats()).items()}
    results = {
        operation: (timings[f"{operation} stock"], timings[f"{operation} ours"]) for operation in ("open", "save")
    }
    if as_json:
        echo_json(
            {
                "cookie_bytes": len(value),
                "rounds": rounds,
                "seconds": {operation: costs_as_json(*both) for operation, both in results.items()},
                "declined": declined,
            }
        )
        return
    heading(
        f"Microseconds for a session cookie of {len(value)} bytes: median of {rounds} rounds, \u00b1 median deviation"
    )
    rows = [(operation, *map(micros, both), times(both[0].over(both[1]))) for operation, both in results.items()]
    echo_table([("", "stock", "ours", "stock/ours"), *rows], align=str.rjust)
    for stage, reasons in declined.items():
        if reasons:
            echo(f"{stage} was left to stock code{why(reasons)}")


def bench_session(session_json: str | None, file: t.TextIO | None, is_tagged: bool) -> dict[str, t.Any]:
    if file is not None:
        if session_json is not None:
            raise BadInput("the JSON is given twice, as an argument and by --file")
        session_json = file.read(MAX_INPUT)
    data = login_session() if session_json is None else read_session(session_json, is_tagged)
    if not data:
        raise BadInput("an empty session has no cookie")
    return data


def interfaces_for(app: Flask, data: dict[str, t.Any]) -> tuple[Interface, FastSessionInterface]:
    """Stock's and ours with the settings of the app's own interface, which is ours if it can be."""
    own = t.cast(Interface, app.session_interface)
    ours = own if isinstance(own, FastSessionInterface) else with_settings_of(own, FastSessionInterface())
    if ours._options is not PLAIN and ours._options.absolute_lifetime is not None:
        # Ours would put it there, and the cookies would differ.
        data.setdefault(CREATED, int(time.time()))
    return with_settings_of(own, SecureCookieSessionInterface()), ours


T = t.TypeVar("T", bound=Interface)


def with_settings_of(own: Interface, interface: T) -> T:
    for name in ("salt", "digest_method", "key_derivation", "serializer"):
        setattr(interface, name, getattr(own, name))
    if own.session_class not in (FastSession, SecureCookieSessionInterface.session_class):
        interface.session_class = own.session_class
    return interface


def make_jobs(app: Flask, interfaces: dict[str, Interface], data: dict[str, t.Any]) -> tuple[Jobs, str]:
    """What is to be timed, given how often, after a look at whether both do the same; and the cookie."""
    try:
        lines = saved_alike(app, interfaces.values(), data)
        value = parse_cookie(lines[-1])[app.session_interface.get_cookie_name(app)]
        opened = [interface.open_session(app, cookies.request_with(app, value)) for interface in interfaces.values()]
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"the app cannot save and open this session: {type(error).__name__}") from None
    # Their repr tells types apart that compare as equal.
    if len({repr(dict(session or {})) for session in opened}) != 1 or not opened[0]:
        raise BadInput("stock and this package open the session differently, so their times cannot be compared")
    jobs: Jobs = {}
    for label, interface in interfaces.items():
        jobs[f"open {label}"] = functools.partial(time_open, app, interface, value)
        jobs[f"save {label}"] = functools.partial(time_save, app, interface, data)
    return jobs, value


def saved_alike(app: Flask, interfaces: Iterable[Interface], data: dict[str, t.Any]) -> list[str]:
    """The headers that all of them add."""
    for _ in range(ATTEMPTS):
        answers = []
        for interface in interfaces:
            response = app.response_class()
            interface.save_session(app, new_session(app, interface, data), response)
            answers.append([*response.headers.getlist("Vary"), *response.headers.getlist("Set-Cookie")])
        if all(answer == answers[0] for answer in answers):
            return answers[0]
    raise BadInput("stock and this package save the session differently, so their times cannot be compared")


def new_session(app: Flask, interface: Interface, data: dict[str, t.Any]) -> t.Any:
    session = t.cast("dict[str, t.Any]", interface.open_session(app, cookies.request_with(app, None)))
    session.update(data)
    return session


def time_open(app: Flask, interface: Interface, value: str, calls: int) -> float:
    requests = [cookies.request_with(app, value) for _ in range(calls)]
    start = time.perf_counter()
    for request in requests:
        interface.open_session(app, request)
    return (time.perf_counter() - start) / calls


def time_save(app: Flask, interface: Interface, data: dict[str, t.Any], calls: int) -> float:
    sessions = [new_session(app, interface, data) for _ in range(calls)]
    answers = [(session, app.response_class()) for session in sessions]
    start = time.perf_counter()
    for session, response in answers:
        interface.save_session(app, session, response)
    return (time.perf_counter() - start) / calls


def take_turns(jobs: Jobs, rounds: int) -> dict[str, Timing]:
    """Time all jobs once a round, in an order that is shuffled anew, and show how far it is."""
    calls = {name: max(1, int(TURN / job(10))) for name, job in jobs.items() if name.endswith("stock")}
    turns = [(name, job, calls[name.replace("ours", "stock")]) for name, job in jobs.items()]
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    with progress(WARM_UP_ROUNDS + rounds) as each_round, without_gc():
        for _ in each_round:
            random.shuffle(turns)
            gc.collect()
            for name, job, number in turns:
                seconds[name].append(job(number))
    return {name: Timing(values[WARM_UP_ROUNDS:]) for name, values in seconds.items()}


@contextmanager
def progress(length: int) -> Iterator[Iterable[int]]:
    """Count so far, with a bar where somebody can see it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield range(length)
        return
    with click.progressbar(range(length), label="Measuring", file=sys.stderr) as bar:
        yield bar


@contextmanager
def without_gc() -> Iterator[None]:
    """Have no garbage collected but on request, so that nobody's turn is charged for that of others."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def micros(timing: Timing) -> str:
    return f"{timing.median * 1e6:.2f} \u00b1{timing.spread * 1e6:.2f}"


def times(ratio: Timing) -> str:
    return f"{ratio.median:.2f}x \u00b1{ratio.spread:.2f}"


def costs_as_json(stock: Timing, ours: Timing) -> dict[str, t.Any]:
    ratio = stock.over(ours)
    return {
        "stock": {"median": stock.median, "spread": stock.spread},
        "ours": {"median": ours.median, "spread": ours.spread},
        "ratio": {"median": ratio.median, "spread": ratio.spread},
    }


# --- python -m flask_fastsession --------------------------------------------------------------------------------------


class Main(FlaskGroup):
    """The same commands, without those of the app and of other packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self.commands.get(name)


main = Main(
    name="flask_fastsession",
    add_default_commands=False,
    add_version_option=False,
    commands=session.commands,
    help=session.help,
)
