"""The checks of ``flask session doctor``, and their findings."""

from __future__ import annotations

import random
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from inspect import getattr_static
from types import FunctionType

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from ..interface import FastSessionInterface
from ..signing import EncryptedSerializer
from . import cookies
from .cookies import BROWSERS_KEEP
from .cookies import Record
from .cookies import Verdict
from .errors import described
from .errors import own_text
from .text import in_time
from .trial import Run

if t.TYPE_CHECKING:
    from ..revocations import Revocations

#: A key with fewer bytes may be found by brute force.
SHORTEST_KEY = 16

#: From this share of the browsers' limit on, a cookie is nearly too large.
NEAR = 0.8

#: Keys from documentation, tutorials and templates, in lower case and without punctuation.
WELL_KNOWN_KEYS = """
    123456 192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf 5f352379324c22463451387a0aec5d2f
    5y2lf4q8z 5y2lf4q8znxec a0zr98j3yxrxhhjmnlwxrt asupersecretkey changeit changeme changethis default dev devel
    development developmentkey devkey flask hardtoguessstring insecure key mysecret mysecretkey password replaceme
    s3cr3t secret secretkey supersecret supersecretkey test testing testkey thequickbrownfoxjumpsoverthelazydog
    thisisasecret thisissecret tobereplacedbyalongrandomone topsecret verysecret youwillneverguess yoursecretkey
    yoursecretkeyhere
"""


class Finding(t.NamedTuple):
    """A finding of the doctor: a ``warning``, which you should act on, or a ``note``."""

    level: t.Literal["warning", "note"]
    code: str
    text: str


def warning(code: str, text: str) -> Finding:
    return Finding("warning", code, text)


def note(code: str, text: str) -> Finding:
    return Finding("note", code, text)


REMEMBER_COOKIE = note(
    "remember-cookie",
    "Flask-Login's remember cookie logs its user in again after revoke_user, at any later time; a version in "
    "the user's get_id() ends it",
)


def findings_of(check: Callable[..., Iterator[Finding]], *arguments: t.Any) -> Iterator[Finding]:
    """The findings of a check. If the check raises an exception, that is a warning, too."""
    try:
        yield from check(*arguments)
    except Exception as error:
        yield warning("check-failed", f"{check.__name__}: {described(error)}")


def check_run(run: Run) -> Iterator[Finding]:
    if run.error is not None:
        yield warning("failure", f"saving and opening a session raises {run.error}")


def check_overrides(run: Run) -> Iterator[Finding]:
    for attribute, source in run.overrides:
        yield note("overridden", f"{attribute} is not Flask's but {source}")


def check_record(record: Record) -> Iterator[Finding]:
    if record.problem is not None:
        yield warning("cookie-refused", f"this cookie opens no session: {record.problem}")


def check_verdict(verdict: Verdict) -> Iterator[Finding]:
    if not verdict.accepted:
        yield warning("cookie-refused", f"this cookie opens no session: {verdict.reason}")
    if verdict.key is not None and verdict.key.startswith("SECRET_KEY_FALLBACKS"):
        yield note("fallback-needed", f"this cookie was signed with {verdict.key}, which is needed still")


def is_on_server(app: Flask) -> bool:
    """Whether the app uses this package's sessions on the server."""
    from ..server.interface import ServerSessionInterface

    return isinstance(app.session_interface, ServerSessionInterface)


def check_interface(app: Flask) -> Iterator[Finding]:
    interface = app.session_interface
    if is_on_server(app):
        yield from check_store(interface)
        yield from check_remembering(app)
    elif not isinstance(interface, SecureCookieSessionInterface):
        yield note("interface", "the app's session interface is of another package, and was not tried")
    elif not isinstance(interface, FastSessionInterface):
        yield note("interface", "no stage is native until app.session_interface = FastSessionInterface()")
    elif overridden := overridden_methods(interface):
        yield note("hooks", f"the interface overrides {', '.join(overridden)}")
    if isinstance(interface, FastSessionInterface) and interface._options.revocations is not None:
        yield from check_revocations(app, interface._options.revocations)
    if isinstance(interface, SecureCookieSessionInterface) and signs(interface) and digest_of(interface) == "sha1":
        yield note(
            "sha1",
            "signatures are by HMAC with SHA-1, Flask's default, which is not known to be broken; "
            "to change it: FastSessionInterface(digest_method=hashlib.sha256, accept_digest_methods=[hashlib.sha1])",
        )


def signs(interface: SecureCookieSessionInterface) -> bool:
    return not (isinstance(interface, FastSessionInterface) and interface._options.encrypt)


def check_encryption(app: Flask, run: Run) -> Iterator[Finding]:
    interface = app.session_interface
    if not isinstance(interface, FastSessionInterface) or not interface._options.reads_encrypted:
        return
    options = interface._options
    if options.encrypt and not may_encrypt(interface, app):
        yield warning("not-encrypted", "get_signing_serializer is overridden, and what it returns does not encrypt")
    if options.accept_signed:
        yield note(
            "accepts-signed",
            'signed cookies are still read; accept_signed may go when stats()["kinds"]["signed"] of the running app '
            "has not grown for as long as sessions live",
        )
    if options.compress:
        yield note(
            "compresses",
            "the length of a cookie tells how much of its session repeats; compress=True is for sessions that hold no "
            "secret beside what somebody else chooses",
        )
    if run.too_large_when_encrypted:
        yield warning(
            "too-large-when-encrypted",
            "a session like this one will be too large for browsers once it is encrypted; make it smaller before you "
            "turn encrypt on",
        )
    elif not options.encrypt:
        yield note(
            "accepts-encrypted",
            "encrypted cookies are read as well; encrypt=True may follow where "
            'stats()["kinds"]["too_large_when_encrypted"] of the running app is 0',
        )


def may_encrypt(interface: FastSessionInterface, app: Flask) -> bool:
    return isinstance(interface.get_signing_serializer(app), EncryptedSerializer | None)


def overridden_methods(interface: FastSessionInterface) -> list[str]:
    """The names of the public methods that an interface overrides."""
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


def check_store(interface: t.Any) -> Iterator[Finding]:
    kind, options = type(interface.store).__name__, interface.options
    yield note(
        "store", f"sessions are kept on the server, by {kind}, under keys that begin with {options.key_prefix!r}"
    )
    try:
        interface.store.load(f"{options.key_prefix}doctor:{random.getrandbits(128):032x}")
    except Exception as error:
        yield warning("store-failed", f"the store cannot be used: {failure_of_store(error)}")
    if not options.hash_sid:
        yield note("ids-readable", "who can read the store can take over sessions; SESSION_HASH_SID keeps them from it")
    if options.absolute_lifetime is None:
        yield note("no-end", "a session that is used lives on for ever; SESSION_ABSOLUTE_LIFETIME ends it")


def place_of(revocations: Revocations) -> str:
    """Where revocations are, if in a file: a relative path is another file in another working directory."""
    path = getattr(getattr(revocations.store, "_connections", None), "path", None)
    return "" if path is None else f" in {path}"


def failure_of_store(error: Exception) -> str:
    return own_text(error) or type(error.__cause__ or error).__name__


def check_revocations(app: Flask, revocations: Revocations) -> Iterator[Finding]:
    yield note(
        "revocations",
        f"sessions can be revoked, by {type(revocations.store).__name__}{place_of(revocations)}: everywhere within"
        f" {revocations.every} s",
    )
    try:
        revocations.store.since(None)
    except Exception as error:
        yield warning("revocations-failed", f"revocations cannot be fetched: {failure_of_store(error)}")
    if hasattr(app, "login_manager"):
        yield REMEMBER_COOKIE


def check_remembering(app: Flask) -> Iterator[Finding]:
    interface: t.Any = app.session_interface
    if hasattr(app, "login_manager") and interface.lifecycle.owners is not None:
        yield REMEMBER_COOKIE


def check_keys(app: Flask) -> Iterator[Finding]:
    interface: t.Any = app.session_interface
    if is_on_server(app) and not interface.options.use_signer:
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
    try:
        fallbacks = list(fallbacks or ())
    except TypeError:
        yield warning(
            "fallbacks-type",
            f"SECRET_KEY_FALLBACKS is no list, but of type {type(fallbacks).__name__}: put the keys into a list",
        )
        return
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


def check_name(app: Flask) -> Iterator[Finding]:
    with cookies.request_with(app, "value") as request:
        if app.session_interface.get_cookie_name(app) not in request.cookies:
            yield warning(
                "bad-name",
                "no request has a cookie of the name that the app gives it: set SESSION_COOKIE_NAME to letters, digits "
                "and underscores",
            )


class Attributes(t.NamedTuple):
    """The attributes of a cookie in its ``Set-Cookie`` header. ``samesite`` is in lower case."""

    secure: bool
    httponly: bool
    samesite: str | None
    domain: str | None
    path: str | None


def check_attributes(app: Flask, lines: list[str]) -> Iterator[Finding]:
    """Check the attributes in the header that sets the cookie, or those in the config if there is no header."""
    attributes = attributes_of(lines[0]) if lines else attributes_in_config(app)
    findings = [*check_protection(attributes), *check_prefix(app.session_interface.get_cookie_name(app), attributes)]
    if isinstance(app.session_interface, SecureCookieSessionInterface) or is_on_server(app):
        yield from findings
        return
    for finding in findings:
        # The interface is another package's, and may ignore the config.
        yield finding._replace(level="note")


def attributes_of(line: str) -> Attributes:
    parts = [part.partition("=") for part in line.lower().split(";")[1:]]
    found = {name.strip(): value.strip() for name, _, value in parts}
    return Attributes(
        "secure" in found, "httponly" in found, found.get("samesite"), found.get("domain"), found.get("path")
    )


def attributes_in_config(app: Flask) -> Attributes:
    interface = app.session_interface
    # Flask 3.0 has no partitioned cookies. Werkzeug makes them secure.
    is_partitioned = getattr(interface, "get_cookie_partitioned", lambda app: False)
    samesite = interface.get_cookie_samesite(app)
    return Attributes(
        secure=bool(interface.get_cookie_secure(app) or is_partitioned(app)),
        httponly=bool(interface.get_cookie_httponly(app)),
        samesite=None if samesite is None else str(samesite).lower(),
        domain=interface.get_cookie_domain(app),
        path=interface.get_cookie_path(app),
    )


def check_protection(attributes: Attributes) -> Iterator[Finding]:
    if not attributes.secure:
        yield warning("not-secure", "the cookie goes over plain HTTP as well: set SESSION_COOKIE_SECURE")
    if not attributes.httponly:
        yield warning("not-httponly", "scripts in pages can read the cookie: set SESSION_COOKIE_HTTPONLY")
    if attributes.samesite is None:
        yield warning(
            "no-samesite",
            'browsers decide whether requests from other sites bring the cookie: set SESSION_COOKIE_SAMESITE to "Lax"',
        )
    elif attributes.samesite not in ("strict", "lax", "none"):
        yield warning("bad-samesite", 'SESSION_COOKIE_SAMESITE is none of "Lax", "Strict" and "None"')
    elif attributes.samesite == "none" and not attributes.secure:
        yield warning("samesite-none", "browsers refuse a cookie with SameSite=None that is not Secure")


def check_prefix(name: str, attributes: Attributes) -> Iterator[Finding]:
    """Browsers refuse a cookie without the attributes that its name's prefix requires: RFC 6265bis, section 4.1.3.

    The case of the prefix does not matter.
    """
    is_host = name.lower().startswith("__host-")
    if (is_host or name.lower().startswith("__secure-")) and not attributes.secure:
        yield warning(
            "prefix-secure", f"browsers refuse a cookie named {name} that is not Secure: set SESSION_COOKIE_SECURE"
        )
    if is_host and attributes.domain:
        yield warning(
            "prefix-domain", f"browsers refuse a cookie named {name} with a domain: unset SESSION_COOKIE_DOMAIN"
        )
    if is_host and attributes.path != "/":
        yield warning(
            "prefix-path", f'browsers refuse a cookie named {name} with a path: set SESSION_COOKIE_PATH to "/"'
        )


#: What each option costs a request.
COSTS = {
    "accept_digest_methods": "native",
    "resign_fallbacks": "native",
    "leeway": "native",
    "encrypt": "native",
    "accept_signed": "native",
    "accept_encrypted": "native",
    "compress": "native",
    "oversize": "native; Flask's own code writes a cookie that is too large",
    "absolute_lifetime": "native, and a look in Python at when the session began",
    "skip": "a call of yours with each request; a request that it skips costs no more",
    "refresh_after": "native; a cookie that is young enough costs no writing",
    "lifetime": "native, and a call of yours when a session is opened and when it is saved",
    "on_refused": "native; a call of yours where a cookie is refused",
    "delete_refused": "native; a refused cookie costs a deletion",
    "accept_any": "native; one signature more for each cookie that is refused",
}


def check_options(app: Flask) -> Iterator[Finding]:
    """Note which options are on, and what each costs."""
    interface = app.session_interface
    for name in options_on(app):
        if name == "encrypt" and isinstance(interface, FastSessionInterface) and not may_encrypt(interface, app):
            # There is a warning in its place.
            continue
        # With a store only the JSON is native, so the costs above do not apply.
        yield note("option", f"{name} is on" if is_on_server(app) else f"{name} is on: {COSTS[name]}")


def options_on(app: Flask) -> list[str]:
    """The names of the options beyond Flask's that an app uses."""
    interface: t.Any = app.session_interface
    if isinstance(interface, FastSessionInterface):
        options: t.Any = interface._options_for(app)
    elif is_on_server(app):
        options = interface.options
    else:
        return []
    values = {name: getattr(options, name, getattr(options.policies, name, None)) for name in COSTS}
    return [name for name, value in values.items() if value not in (None, False, 0, (), "warn")]


def check_limit(app: Flask) -> Iterator[Finding]:
    if limit_of(app) is None:
        yield warning(
            "no-limit",
            f"Werkzeug will not warn of cookies that browsers drop: set MAX_COOKIE_SIZE to {BROWSERS_KEEP} or less",
        )


def limit_of(app: Flask) -> int | None:
    """The size in bytes above which Werkzeug warns; ``None`` if it never warns, or only above the browsers' limit."""
    limit = app.config.get("MAX_COOKIE_SIZE", BROWSERS_KEEP)
    return limit if isinstance(limit, int) and 0 < limit <= BROWSERS_KEEP else None


def check_size(app: Flask, size: int) -> Iterator[Finding]:
    limit = limit_of(app) or BROWSERS_KEEP
    bound = f"browsers drop those above {limit}" if limit == BROWSERS_KEEP else f"MAX_COOKIE_SIZE is {limit}"
    if size > limit:
        yield warning("too-large", f"the session cookie has {size} bytes, and {bound}")
    elif size > NEAR * limit:
        yield warning("nearly-too-large", f"the session cookie has {size} bytes, and {bound}")
