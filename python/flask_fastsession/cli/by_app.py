"""Read and write cookies with the app's own interface, if it overrides how Flask reads and writes them."""

from __future__ import annotations

import typing as t

import itsdangerous
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionInterface

from .. import encrypted
from .. import signing
from ..interface import FastSessionInterface
from ..server.interface import ServerSessionInterface
from . import cookies
from .errors import BadInput
from .errors import described

#: The serializers whose tokens this package can take apart.
KNOWN_SERIALIZERS = (
    itsdangerous.URLSafeTimedSerializer,
    signing.URLSafeTimedSerializer,
    signing.EncryptedSerializer,
    encrypted.EncryptedOrSignedSerializer,
    encrypted.SignedOrEncryptedSerializer,
)


def has_own_way(app: Flask) -> bool:
    """Whether an app reads or writes session cookies with code of its own. This needs a request's context."""
    interface = app.session_interface
    if isinstance(interface, ServerSessionInterface):
        return False
    if not isinstance(interface, SecureCookieSessionInterface):
        return True
    methods = [getattr(type(interface), name) for name in ("open_session", "save_session")]
    if not all(method in STOCK_METHODS for method in methods) or STOCK_NAMES & vars(interface).keys():
        return True
    try:
        serializer = interface.get_signing_serializer(app)
    except Exception:
        # Errors in the keys are reported elsewhere.
        return False
    return serializer is not None and type(serializer) not in KNOWN_SERIALIZERS


STOCK_NAMES = {"open_session", "save_session"}
STOCK_METHODS = [
    getattr(kind, name) for kind in (SecureCookieSessionInterface, FastSessionInterface) for name in STOCK_NAMES
]


def kind_of(app: Flask | None, value: str) -> t.Literal["signed", "encrypted", "id"]:
    """The kind of a cookie by its form. An id may look like an encrypted session, so the app's interface decides."""
    has_ids = app is not None and isinstance(app.session_interface, ServerSessionInterface)
    if not has_ids and cookies.is_encrypted(value):
        return "encrypted"
    return "id" if cookies.is_id(value) else "signed"


class Read(t.NamedTuple):
    """The session that an app opens for a cookie, or the ``problem`` if it opens none."""

    problem: str | None = None
    data: t.Any = None


def read(app: Flask, value: str) -> Read:
    """Let an app open the session of a cookie."""
    try:
        with cookies.request_with(app, value) as request:
            session = cookies.unskipping(app).open_session(app, request)
            data = None if session is None else dict(session)
    except Exception as error:
        return Read(cookies.failing(error))
    return Read(None, data) if data else Read("the app opens an empty session for it")


def write(app: Flask, data: dict[str, t.Any]) -> str:
    """Return the cookie that an app sets for a session; raise :exc:`BadInput` if the app does not read it back."""
    try:
        with cookies.request_with(app, None) as request:
            interface: SessionInterface = cookies.unskipping(app)
            session = interface.open_session(app, request)
            if session is None:
                raise BadInput("the app opens no session, as without a SECRET_KEY")
            session.update(data)
            response = app.response_class()
            interface.save_session(app, session, response)
            name = interface.get_cookie_name(app)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"the app's own interface cannot save the session: {described(error)}") from None
    value = cookies.cookies_in([f"Set-Cookie: {line}" for line in response.headers.getlist("Set-Cookie")]).get(name)
    if not value:
        raise BadInput("the app's own interface sets no cookie of its name for this session")
    if read(app, value).data != data:
        raise BadInput("the app's own interface reads another session from the cookie that it sets")
    return value
