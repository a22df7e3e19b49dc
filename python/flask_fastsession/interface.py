"""The session interface, and the session it opens."""

from __future__ import annotations

import typing as t

import itsdangerous
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface

from . import signing
from ._native import DefaultSessionClass
from ._native import SessionInterfaceMixin
from ._native import remember_flask

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin


class FastSession(SecureCookieSession):
    """The session of one request, a dict that notices when it is changed.

    A :class:`flask.sessions.SecureCookieSession` in every respect.
    """

    # What it was loaded from, so that a session that still says the same keeps its payload: base64, and JSON text.
    __slots__ = ("_loaded",)

    _loaded: tuple[bytes, bytes]


class FastSessionInterface(SessionInterfaceMixin, SecureCookieSessionInterface):
    """Flask's signed cookie sessions, opened and saved natively.

    Assign an instance to :attr:`flask.Flask.session_interface`; nothing else changes. It takes no arguments. Like
    :class:`flask.sessions.SecureCookieSessionInterface`, which it extends, it may be shared by several apps and
    subclassed, and ``salt``, ``digest_method``, ``key_derivation``, ``serializer`` and ``session_class`` may be set on
    a subclass or an instance.
    """

    if t.TYPE_CHECKING:
        session_class: type[SecureCookieSession]
    else:
        session_class = DefaultSessionClass(FastSession)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request, as :class:`flask.sessions.SecureCookieSessionInterface` does.

        ``None`` where the app has no secret key; an empty session where the cookie is missing, malformed, forged or
        expired.
        """
        session: SecureCookieSession | None = self._open_session(app, request)
        if session is NotImplemented:
            return SecureCookieSessionInterface.open_session(self, app, request)
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie and the Vary header of a response where the session asks for it, as
        :class:`flask.sessions.SecureCookieSessionInterface` does.
        """
        if not self._save_session(app, session, response):
            SecureCookieSessionInterface.save_session(self, app, session, response)

    def get_signing_serializer(self, app: Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        """Return the serializer that signs and verifies the session cookie, or ``None`` without a secret key.

        The installed Flask decides on its keys, salt and digest.
        """
        stock = super().get_signing_serializer(app)
        if type(stock) is not itsdangerous.URLSafeTimedSerializer:
            return stock
        return signing.URLSafeTimedSerializer._adopt(stock, self._counters)

    def __reduce_ex__(self, protocol: t.SupportsIndex) -> str | tuple[t.Any, ...]:
        """Be pickled as Flask's is, by the oldest protocols too, which do not know native classes."""
        return super().__reduce_ex__(max(int(protocol), 2))

    def stats(self) -> dict[str, t.Any]:
        """Return how often sessions were handled natively, and how often stock code did it and why.

        The counts cover this instance in this process since it was made::

            {"open": {"native": 100, "declined": {}},
             "save": {"native": 99, "declined": {"value_type": 1}},
             "dumps": {"native": 41, "declined": {"value_type": 1}},
             "loads": {"native": 98, "rejected": 2, "declined": {}}}

        ``open`` and ``save`` count requests, ``loads`` cookies read and ``dumps`` cookies written; these two also count
        what serializers of :meth:`get_signing_serializer` do in other hands. ``rejected`` counts cookies that are
        malformed, forged or expired.
        """
        return self._counters.report()


# Native code takes for stock what stands now, unless it can see that it is not.
remember_flask()
