"""Takes a session cookie apart: what anybody can read in it, and what an app with its keys reads."""

from __future__ import annotations

import json
import re
import time
import typing as t
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import itsdangerous
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import NullSession
from itsdangerous.encoding import base64_decode
from itsdangerous.encoding import bytes_to_int
from werkzeug.http import parse_cookie

from ..interface import FastSessionInterface
from ..options import CREATED
from ..options import DEFAULTS
from ..options import Options
from ..options import age_in_seconds
from ..policies import shorter_lifetime
from ..session import SecureCookieSession
from ..signing import EncryptedSerializer
from .errors import described
from .errors import own_text

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request

#: The most bytes that are inflated from a cookie that is not verified: a few bytes of zlib can hold gigabytes.
MAX_TEXT = 1 << 20

#: Browsers keep cookies of up to about 4096 bytes. This is Flask's default for ``MAX_COOKIE_SIZE``.
BROWSERS_KEEP = 4093

#: Timestamps of itsdangerous before 1.1 count seconds from 2011. Those that count from 1970 are larger than this.
START_OF_2011 = 1_293_840_000

#: The digests of itsdangerous's signatures, by the length of the signature in bytes.
DIGESTS = {16: "md5", 20: "sha1", 28: "sha224", 32: "sha256", 48: "sha384", 64: "sha512"}

#: The version, nonce, seconds and tag of an encrypted cookie, in bytes, and the known versions.
SHORTEST_ENCRYPTED = 1 + 24 + 8 + 16
ENCRYPTED_VERSIONS = (1, 2)

HEADER = re.compile(r"[<>\s]*(?P<set>set-)?cookie:", re.IGNORECASE)
# Visible ASCII without the characters that have a meaning in a Cookie header.
VALUE = re.compile(r"[!#-:<-\[\]-~]+")
TOKEN = re.compile(r"\.?[\w-][\w=-]*(?:\.[\w=-]*){2}", re.ASCII)
ID = re.compile(r"[\w-]{16,128}(?:\.[\w-]+)?", re.ASCII)


class NotACookie(ValueError):
    """The text has no session cookie in it."""


def find_cookie(text: str, name: str, is_binding: bool = False, is_of_any_form: bool = False) -> str:
    """Return the value of the session cookie in a text; raise :exc:`NotACookie`.

    The text is a value, ``name=value``, or lines with ``Cookie`` or ``Set-Cookie`` headers among them. If no cookie has
    the name, a cookie with another name is returned that looks like a session, unless ``is_binding`` is true. With
    ``is_of_any_form`` the value may have any form, because the app's own interface reads it.
    """
    lines = [unquoted(line.strip()) for line in text.splitlines() if line.strip()]
    headers = [line for line in lines if HEADER.match(line)]
    if not headers and len(lines) != 1:
        raise NotACookie("there is no cookie" if not lines else "these lines have no Cookie or Set-Cookie header")
    found = cookies_in(headers or lines)
    tokens = [value for value in found.values() if TOKEN.fullmatch(value) or is_encrypted(value)]
    if name in found:
        value = found[name]
    elif tokens and not is_binding:
        value = tokens[0]
    elif headers or tokens:
        raise NotACookie(f"there is no cookie named {name} in it")
    else:
        value = lines[0]
    if not value:
        raise NotACookie("the cookie is empty, which deletes the session")
    if not VALUE.fullmatch(value):
        raise NotACookie("it has characters that no session cookie has")
    if not (is_of_any_form or value.count(".") >= 2 or ID.fullmatch(value) or is_encrypted(value)):
        raise NotACookie("it is neither payload.timestamp.signature nor encrypted nor the id of a server-side session")
    return value


def unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def cookies_in(lines: list[str]) -> dict[str, str]:
    """The cookies that a browser has after these headers."""
    found: dict[str, str] = {}
    for line in lines:
        match = HEADER.match(line)
        header = line[match.end() :] if match else line
        if match and match["set"]:
            found |= parsed(header.partition(";")[0])
        else:
            # A browser sends the cookies that it had before the Set-Cookie headers, so these take precedence.
            found = parsed(header) | found
    return found


def parsed(header: str) -> dict[str, str]:
    """The cookies in a header. Of several with the same name, the first counts, as in Werkzeug."""
    # Werkzeug expects a header as WSGI has it: each byte as one character (PEP 3333).
    return parse_cookie(header.encode("utf-8", "replace").decode("latin-1")).to_dict()


def size_of(name: str, value: str) -> int:
    """The size of a cookie in bytes as browsers count it: its name and value, without its attributes."""
    return len(f"{name}={value}")


def is_id(value: str) -> bool:
    """Whether a cookie is the id of a session on the server, provided that it is not encrypted."""
    return value.count(".") < 2


def is_encrypted(value: str) -> bool:
    """Whether a cookie has the form of an encrypted one. Ids of the default length are too short for it."""
    data = decoded(value)
    return data is not None and len(data) >= SHORTEST_ENCRYPTED and data[0] in ENCRYPTED_VERSIONS and "=" not in value


# --- Without a key --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Payload:
    """The ``text`` in a payload and the ``data`` in the text, as far as they can be read, or the ``problem``."""

    is_compressed: bool
    text: bytes | None = None
    data: t.Any = None
    problem: str | None = None


@dataclass(frozen=True)
class Token:
    """The three parts of a cookie.

    ``second`` is the number in the timestamp, and ``signed_at`` the date that it stands for, or ``None`` if it stands
    for none.
    """

    value: str
    payload: Payload
    second: int | None
    signed_at: datetime | None
    signature_size: int | None

    @property
    def counts_from_2011(self) -> bool:
        return self.second is not None and 0 < self.second < START_OF_2011

    @property
    def age(self) -> int | None:
        """How many seconds ago the cookie was signed, according to its timestamp."""
        return None if self.signed_at is None else int(time.time()) - int(self.signed_at.timestamp())

    @property
    def digest(self) -> str | None:
        """The digest whose signatures have this length."""
        return DIGESTS.get(self.signature_size or 0)


def take_apart(value: str) -> Token:
    payload, timestamp, signature = value.rsplit(".", 2)
    second, signature_bytes = second_in(timestamp), decoded(signature)
    token = Token(
        value=value,
        payload=read_payload(payload),
        second=second,
        signed_at=None if second is None else date_of(second),
        signature_size=None if signature_bytes is None else len(signature_bytes),
    )
    if second is None or not token.counts_from_2011:
        return token
    return replace(token, signed_at=date_of(START_OF_2011 + second))


def second_in(timestamp: str) -> int | None:
    data = decoded(timestamp)
    # More than eight bytes are not a time, and could be a number too long to print. Empty text is 0.
    return bytes_to_int(data) if data is not None and len(data) <= 8 else None


def date_of(second: int) -> datetime | None:
    try:
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=second)
    except OverflowError:
        return None


def decoded(text: str) -> bytes | None:
    try:
        return base64_decode(text)
    except itsdangerous.BadData:
        return None


def read_payload(text: str) -> Payload:
    is_compressed = text.startswith(".")
    data = decoded(text.removeprefix("."))
    if data is None:
        return Payload(is_compressed, problem="it is not base64")
    if not is_compressed:
        return Payload(False, data, *read_json(data))
    try:
        inflated = inflate(data)
    except ValueError as error:
        return Payload(True, problem=str(error))
    return Payload(True, inflated, *read_json(inflated))


def inflate(data: bytes) -> bytes:
    """Inflate; raise :exc:`ValueError` if the data is damaged, or the text longer than :data:`MAX_TEXT` bytes."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MAX_TEXT + 1)
    except zlib.error:
        raise ValueError("it is marked as compressed, and is not") from None
    if len(text) > MAX_TEXT:
        raise ValueError(f"it inflates to more than {MAX_TEXT} bytes, and was not read")
    if not stream.eof:
        raise ValueError("it is compressed, and cut short")
    return text


def read_json(text: bytes) -> tuple[t.Any, str | None]:
    """Return the value of a tagged JSON text, and the problem with it or ``None``.

    The app's own tags are not used, because the text is not verified and they are code of the app.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, why_unreadable(error)
    try:
        return TaggedJSONSerializer().loads(text.decode()), None
    except RecursionError as error:
        return plain, why_unreadable(error)
    except Exception:
        # Text that Flask did not write may raise any exception.
        return plain, "its tagged values are not as Flask writes them"


def why_unreadable(error: Exception) -> str:
    """Why :func:`json.loads` cannot read a text. It may be valid JSON nevertheless."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply for Python to read"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "it is not JSON"
    return "it has a number with too many digits for Python to read"


# --- With the keys of an app ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What an app does with a cookie.

    ``key`` is the name in the config of the key that signed or encrypted the cookie, or ``None`` if the app has no such
    key. ``digest`` is the name of the digest of its signature. ``reason`` says why the app does not accept the cookie.
    If the cookie is genuine, ``data`` is the session, and ``made_at`` is when it was signed or encrypted.
    """

    accepted: bool
    reason: str | None = None
    key: str | None = None
    digest: str | None = None
    expires_at: datetime | None = None
    data: t.Any = None
    made_at: datetime | None = None


class Signature(t.NamedTuple):
    key: str
    digest: str | None


class Unusable(ValueError):
    """The app has no keys, or its keys cannot be used. The text quotes no key."""


@contextmanager
def quoting_no_key() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Unusable(f"the app's keys or settings cannot be used: {described(error)}") from None


def serializer_of(app: Flask) -> t.Any:
    """Return the serializer of the app's cookies; raise :exc:`Unusable`. This needs a request's context."""
    make_serializer = getattr(app.session_interface, "get_signing_serializer", None)
    if make_serializer is None:
        raise Unusable("the app does not keep its sessions in signed cookies")
    with quoting_no_key():
        serializer = make_serializer(app)
    if serializer is None:
        raise Unusable("the app has no SECRET_KEY")
    return serializer


def judge(app: Flask, token: Token) -> Verdict:
    """Return what an app does with a signed cookie. This needs a request's context."""
    try:
        serializer = serializer_of(app)
        if isinstance(serializer, EncryptedSerializer):
            serializer = getattr(serializer, "_signed", None)
        if serializer is None:
            return Verdict(False, "the app encrypts its cookies, and refuses signed ones without accept_signed")
        with quoting_no_key():
            signature = find_signature(app, serializer, token.value)
    except Unusable as error:
        return Verdict(False, str(error))
    if signature is None:
        return Verdict(False, "the signature is by none of the app's keys")
    return judge_genuine(app, serializer, token.value, signature)


def judge_encrypted(app: Flask, value: str) -> Verdict:
    """Return what an app does with an encrypted cookie. This needs a request's context."""
    try:
        serializer = serializer_of(app)
        serializer = getattr(serializer, "_encrypted", serializer)
        if not isinstance(serializer, EncryptedSerializer):
            return Verdict(False, "the app does not read encrypted cookies, as encrypt or accept_encrypted make it")
        with quoting_no_key():
            opened = serializer._sealer(None).open(value.encode())
    except Unusable as error:
        return Verdict(False, str(error))
    if opened is None:
        return Verdict(False, "none of the app's keys opens it for a cookie of this name, with this salt")
    key = Signature(name_of_key(app, serializer.secret_keys[-1 - opened.newer_keys]), None)
    try:
        data = serializer._read_opened(opened)
    except Exception as error:
        return Verdict(False, failing(error), *key)
    return judge_age(app, value, data, date_of(opened.sealed_at), key)


def find_signature(app: Flask, serializer: t.Any, value: str) -> Signature | None:
    """Return the key and the digest that a cookie was signed with, or ``None`` if it was no key of the app."""
    for signer in serializer.iter_unsigners():
        signed, _, signature = value.encode().rpartition(signer.sep)
        for key in reversed(signer.secret_keys):
            signer.secret_keys = [key]
            if signer.verify_signature(signed, signature):
                return Signature(name_of_key(app, key), name_of_digest(signer.digest_method))
    return None


def name_of_key(app: Flask, key: bytes) -> str:
    if key == encoded(app.secret_key):
        return "SECRET_KEY"
    fallbacks = [encoded(fallback) for fallback in app.config.get("SECRET_KEY_FALLBACKS") or ()]
    return f"SECRET_KEY_FALLBACKS[{fallbacks.index(key)}]" if key in fallbacks else "a key of the serializer"


def encoded(key: object) -> object:
    return key.encode() if isinstance(key, str) else key


def name_of_digest(digest_method: t.Any) -> str:
    return str(getattr(digest_method(), "name", "unknown"))


def judge_genuine(app: Flask, serializer: t.Any, value: str, signature: Signature) -> Verdict:
    try:
        data, signed_at = serializer.loads(value, return_timestamp=True)
    except itsdangerous.BadSignature:
        return Verdict(False, "its timestamp cannot be read", *signature)
    except Exception as error:
        return Verdict(False, failing(error), *signature)
    return judge_age(app, value, data, signed_at, signature)


def judge_age(app: Flask, value: str, data: t.Any, made_at: datetime | None, signature: Signature) -> Verdict:
    """Return what an app does with a genuine cookie. ``made_at`` is ``None`` if its time is not a date."""
    if made_at is None:
        return Verdict(False, "its time is no date", *signature, data=data)
    try:
        lifetime = int(app.permanent_session_lifetime.total_seconds())
    except Exception as error:
        return Verdict(False, f"{failing(error)}, for PERMANENT_SESSION_LIFETIME is no time", *signature, data=data)
    options: Options = getattr(app.session_interface, "_options", DEFAULTS)
    age = age_in_seconds(made_at)
    if age > lifetime + options.leeway:
        reason: str | None = f"it is too old: {age} seconds, and PERMANENT_SESSION_LIFETIME is {lifetime}"
    elif age < -options.leeway:
        reason = f"it is {'signed' if signature.digest else 'encrypted'} {-age} seconds from now"
    else:
        reason = why_not_opened(app, value, data)
    expires_at = date_of(min(ends_of(app, data, int(made_at.timestamp()), lifetime + options.leeway)))
    return Verdict(reason is None, reason, *signature, expires_at, data, made_at)


def ends_of(app: Flask, data: t.Any, made_at: int, lifetime: int) -> Iterator[int]:
    """When a session ends, in seconds since 1970: by the age of its cookie, and by each option that ends it sooner."""
    yield made_at + lifetime
    interface = app.session_interface
    if not isinstance(interface, FastSessionInterface) or not isinstance(data, dict):
        return
    options = interface._options_for(app)
    created = data.get(CREATED)
    if options.absolute_lifetime is not None and isinstance(created, int):
        yield int(created + options.absolute_lifetime)
    # A function of the app's may fail, which the verdict has said already.
    with suppress(Exception):
        shorter = shorter_lifetime(options.policies, app, SecureCookieSession(data))
        if shorter is not None:
            yield made_at + shorter + options.leeway


def failing(error: Exception) -> str:
    return f"each request with it fails: {described(error)}"


def why_not_opened(app: Flask, value: str, data: object) -> str | None:
    """Let the app's own interface open the session. Return why it does not, or ``None`` if it does."""
    try:
        with request_with(app, value) as request:
            session = unskipping(app).open_session(app, request)
            is_there = value in request.cookies.getlist(app.session_interface.get_cookie_name(app))
    except Exception as error:
        return failing(error)
    if session or not data:
        return None
    if not is_there:
        return "no request has a cookie of the name that the app gives it; see SESSION_COOKIE_NAME"
    return "the app opens an empty session, as at the end of an absolute lifetime"


def unskipping(app: Flask) -> t.Any:
    """The app's session interface or, where it has the option skip, a copy of it without: the requests of commands are
    none that the option was written for.
    """
    interface = app.session_interface
    if not isinstance(interface, FastSessionInterface):
        return interface
    try:
        if interface._options_for(app).policies.skip is None:
            return interface
    except ValueError:
        # Each request with it says so.
        return interface
    try:
        other, options = copy(interface), interface._options
    except Exception:
        # Not every class of an app's own can be copied.
        return interface
    other._options = replace(options, policies=replace(options.policies, skip=lambda request: False))
    return other


@contextmanager
def request_with(app: Flask, value: str | None) -> Iterator[Request]:
    """The context of a request from a browser with this session cookie. The session is not opened yet.

    The app's ``before_request`` and ``after_request`` functions are not called. Its teardown functions are.
    """
    header = None if value is None else f"{name_of_cookie(app)}={value}".encode().decode("latin-1")
    context = app.test_request_context("/", headers={} if header is None else {"Cookie": header})
    # Pushing the context opens the session, unless it has one. Callers open it themselves, to see exceptions. Flask 3.0
    # uses the first name, and later versions the second.
    vars(context).update(session=NullSession(), _session=NullSession())
    # With an app context of its own, so that `g` holds nothing of another request.
    contexts = app.app_context(), context
    for each in contexts:
        each.push()
    try:
        yield context.request
    finally:
        for each in reversed(contexts):
            # Errors in the app's teardown functions do not concern its sessions.
            with suppress(Exception):
                each.pop()


def name_of_cookie(app: Flask) -> str:
    """The name that the app gives its session cookie in a request."""
    with request_with(app, None):
        return app.session_interface.get_cookie_name(app)


# --- On the server --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """The session on the server that a cookie names, or the ``problem`` if there is none. ``size`` is in bytes."""

    problem: str | None = None
    data: t.Any = None
    begun: datetime | None = None
    user: str | None = None
    size: int | None = None
    expires_at: datetime | None = None


def find_record(app: Flask, value: str) -> Record:
    """Look up the session that a cookie names, without renewing it."""
    from ..server.interface import ServerSessionInterface
    from ..server.lifecycle import Refused

    interface = app.session_interface
    if not isinstance(interface, ServerSessionInterface):
        return Record("the app does not keep its sessions in a store of this package")
    try:
        with request_with(app, value) as request:
            sid = interface.sid_in(app, request)
    except Refused:
        return Record("the app takes it for no id: it is not signed, or by none of its keys")
    except Exception as error:
        return Record(failing(error))
    try:
        stored, data, meta = interface.lifecycle.find(sid, None)
        reason = interface.reason_to_refuse(data, meta)
        expires_at = end_of(interface.store, stored.key)
    except Refused as refusal:
        return Record(REFUSED[str(refusal)])
    except Exception as error:
        # The app's own store may raise other exceptions than SessionStoreError.
        return Record(f"the store failed: {own_text(error) or type(error.__cause__ or error).__name__}")
    if interface.is_expired(meta):
        return Record("the session is at the end of its absolute lifetime")
    if reason is not None:
        return Record("the session is at the end of its own lifetime" if reason == "expired" else REFUSED[reason])
    with suppress(Exception):
        # The option may be made for requests.
        if meta.expires_at is not None and interface.own_lifetime(data) is not None:
            expires_at = date_of(meta.expires_at)
    begun = None if meta.begun is None else date_of(meta.begun)
    return Record(None, data, begun, meta.owner, len(stored.record), expires_at)


#: What the text of :exc:`Refused` means.
REFUSED = {
    "expired": "the store has no such session: it has ended, or never begun",
    "malformed": "what the store has cannot be read",
    "revoked": "the session was revoked, or has moved to another id",
}


def end_of(store: t.Any, key: str) -> datetime | None:
    """When a record expires, or ``None`` if it does not, or if the store cannot tell."""
    expires_in = getattr(store, "expires_in", None)
    seconds = None if expires_in is None else expires_in(key)
    return None if seconds is None else date_of(int(time.time()) + seconds)
