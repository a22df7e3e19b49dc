"""Flask's ``open_session`` and ``save_session``, step by step, for apps that override a step.

Source: :class:`flask.sessions.SecureCookieSessionInterface`. What an app overrides is called as Flask calls it, in
the same order. Each other step that costs something is native where it is still Flask's: making a serializer, finding
the cookie, reading and writing it, and the headers.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from contextlib import suppress

from flask import sessions

from . import encrypted
from . import policies
from . import signing
from ._native import add_cookie
from ._native import add_vary
from ._native import find_cookie
from .session import SecureCookieSession

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

    from .interface import FastSessionInterface
    from .options import Options

#: Takes a session and the token that it was opened from, and returns the session; raises
#: :exc:`~flask_fastsession.policies.Refused` if it is not to be used.
Admit: t.TypeAlias = Callable[[t.Any, str | None], t.Any]

#: The payload and the text that a session was read from.
Loaded = tuple[bytes, bytes]

#: Flask 3.0 knows nothing of partitioned cookies.
HAS_PARTITIONED = hasattr(sessions.SessionInterface, "get_cookie_partitioned")


def open_session(
    interface: FastSessionInterface,
    options: Options,
    app: Flask,
    request: Request,
    reports_refusals: bool,
    admit: Admit,
) -> sessions.SecureCookieSession | None:
    """Return the session of a request, or ``None`` where the app has no secret key.

    Raise :exc:`~flask_fastsession.policies.Refused` for a cookie that opens none, if those are to be reported, and for
    one whose session is not admitted.
    """
    serializer = interface.get_signing_serializer(app)
    if serializer is None:
        return None
    options.warn_of(serializer)
    tokens = find_tokens(interface, app, request) if options.policies.accept_any else []
    token = tokens[0] if tokens else find_token(interface, app, request)
    if not token:
        return t.cast("SecureCookieSession", admit(interface.session_class(), None))
    max_age = int(app.permanent_session_lifetime.total_seconds())
    #: Why the first one opens no session.
    refused: Exception | None = None
    for each in tokens or [token]:
        try:
            data, loaded = options.read(serializer, each, max_age)
            session = interface.session_class(data)
        except sessions.BadSignature as error:  # type: ignore[attr-defined]
            refused = refused or error
            continue
        if loaded is not None:
            keep_loaded(session, loaded)
        if options.policies.keeps_time:
            options.warn_of_time(policies.keep_time(session, serializer, each))
        if options.resign_fallbacks:
            options.resign(session, serializer, each)
        try:
            return t.cast("SecureCookieSession", admit(session, each))
        except policies.Refused as refusal:
            refused = refused or refusal
    if isinstance(refused, policies.Refused):
        raise refused
    if reports_refusals:
        raise policies.Refused(policies.reason_for(options, refused, token))
    return t.cast("SecureCookieSession", admit(interface.session_class(), None))


def find_tokens(interface: FastSessionInterface, app: Flask, request: Request) -> list[str]:
    """Return the values of all cookies of the session's name that are to be looked at."""
    getlist = getattr(request.cookies, "getlist", None)
    # A request that is not of Flask's may have but one of each name.
    values = [] if getlist is None else getlist(interface.get_cookie_name(app))
    return [value for value in values[: policies.MOST_COOKIES] if value]


def find_token(interface: FastSessionInterface, app: Flask, request: Request) -> str | None:
    """Return the value of the session's cookie."""
    found: t.Any = interface._find_token(app, request)
    if found is not NotImplemented:
        return t.cast(str, found)
    # Whether they are read natively is seen before the name is asked for: Flask asks in this order.
    if not interface._finds_cookies(request):
        return request.cookies.get(interface.get_cookie_name(app))
    name = interface.get_cookie_name(app)
    token = find_cookie(request, name)
    return request.cookies.get(name) if token is None else token


def find_opened_token(interface: FastSessionInterface, app: Flask, request: Request) -> str:
    """Return the value of the cookie that a session was opened from: with ``accept_any``, the first that is valid."""
    options = interface._options_for(app)
    tokens = find_tokens(interface, app, request) if options.policies.accept_any else []
    if len(tokens) > 1:
        serializer = interface.get_signing_serializer(app)
        max_age = int(app.permanent_session_lifetime.total_seconds())
        for each in tokens:
            with suppress(sessions.BadSignature):  # type: ignore[attr-defined]
                options.read(serializer, each, max_age)
                return each
    return find_token(interface, app, request) or ""


def keep_loaded(session: t.Any, loaded: Loaded) -> None:
    if type(session) is SecureCookieSession:
        session._loaded = loaded


def save_session(
    interface: FastSessionInterface,
    options: Options,
    app: Flask,
    session: SessionMixin,
    response: Response,
    lifetime: int | None,
) -> None:
    """Set the cookie and the Vary header of a response where the session asks for it.

    ``lifetime`` is in seconds, where the session's is shorter than others'.
    """
    name = interface.get_cookie_name(app)
    domain = interface.get_cookie_domain(app)
    path = interface.get_cookie_path(app)
    secure = interface.get_cookie_secure(app)
    partitioned = {"partitioned": interface.get_cookie_partitioned(app)} if HAS_PARTITIONED else {}
    samesite = interface.get_cookie_samesite(app)
    httponly = interface.get_cookie_httponly(app)
    place: dict[str, t.Any] = {"domain": domain, "path": path, "secure": secure, **partitioned, "samesite": samesite}

    if session.accessed:
        vary(response)
    if not session:
        if session.modified:
            line = interface._deletion_line(app, response, {"key": name, **place, "httponly": httponly})
            if line is None:
                response.delete_cookie(name, **place, httponly=httponly)
            else:
                add(response, line)
            vary(response)
        return
    if not interface.should_set_cookie(app, session) or policies.is_fresh(options.policies, session):
        return
    expires = policies.sooner(interface.get_expiration_time(app, session), lifetime)
    serializer = interface.get_signing_serializer(app)
    token = write(serializer, session)
    options.warn_of_readable(serializer, token)
    line = interface._cookie_line(app, response, token, expires, {"key": name, **place, "httponly": httponly})
    if line is None:
        response.set_cookie(name, token, expires=expires, httponly=httponly, **place)
    else:
        add(response, line)
    if interface._options.accept_encrypted and not interface._options.encrypt:
        encrypted.count_if_too_large(interface, response, token)
    vary(response)


def write(serializer: t.Any, session: SessionMixin) -> t.Any:
    """Return the token of a session."""
    if signing.is_native(serializer, "dumps"):
        loaded = getattr(session, "_loaded", None) if isinstance(session, SecureCookieSession) else None
        return serializer._dumps_session_data(dict(session), loaded)
    return serializer.dumps(dict(session))


def add(response: Response, line: str) -> None:
    if not add_cookie(response, line):
        response.headers.add("Set-Cookie", line)


def vary(response: Response) -> None:
    if not add_vary(response):
        response.vary.add("Cookie")
