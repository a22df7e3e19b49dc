"""The session interface, and the session it opens."""

from __future__ import annotations

import typing as t

import itsdangerous
from flask.sessions import SecureCookieSession
from flask.sessions import SecureCookieSessionInterface

from . import signing
from ._native import Counters

if t.TYPE_CHECKING:
    from flask import Flask
    from typing_extensions import Self


class FastSession(SecureCookieSession):
    """The session of one request, a dict that notices when it is changed.

    A :class:`flask.sessions.SecureCookieSession` in every respect.
    """


class _SessionClass:
    """Stands for :class:`FastSession`, until someone replaces the session class of Flask's own interface."""

    def __get__(self, interface: object, owner: type[FastSessionInterface]) -> type[SecureCookieSession]:
        inherited = SecureCookieSessionInterface.session_class
        return FastSession if inherited is SecureCookieSession else inherited


class FastSessionInterface(SecureCookieSessionInterface):
    """Flask's signed cookie sessions, encoded, signed, verified and decoded natively.

    Assign an instance to :attr:`flask.Flask.session_interface`; nothing else changes. It takes no arguments. Like
    :class:`flask.sessions.SecureCookieSessionInterface`, which it extends, it may be shared by several apps and
    subclassed, and ``salt``, ``digest_method``, ``key_derivation``, ``serializer`` and ``session_class`` may be set on
    a subclass or an instance.
    """

    if t.TYPE_CHECKING:
        session_class = FastSession
    else:
        session_class = _SessionClass()

    _counters: Counters

    def __new__(cls, *args: t.Any, **kwargs: t.Any) -> Self:
        # Not in __init__, which subclasses override without calling it, as Flask's own classes have none.
        self = super().__new__(cls)
        self._counters = Counters()
        return self

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        if args or kwargs:
            raise TypeError(
                f"{type(self).__name__}() takes no arguments; write app.session_interface = {type(self).__name__}()"
            )

    def get_signing_serializer(self, app: Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        """Return the serializer that signs and verifies the session cookie, or ``None`` without a secret key.

        The installed Flask decides on its keys, salt and digest.
        """
        stock = super().get_signing_serializer(app)
        if type(stock) is not itsdangerous.URLSafeTimedSerializer:
            return stock
        return signing.URLSafeTimedSerializer._adopt(stock, self._counters)

    def stats(self) -> dict[str, t.Any]:
        """Return how often sessions were encoded and decoded natively, and how often stock code did it and why.

        The counts cover this instance in this process since it was made::

            {"dumps": {"native": 41, "declined": {"value_type": 1}},
             "loads": {"native": 98, "rejected": 2, "declined": {}}}

        ``rejected`` counts cookies that are malformed, forged or expired.
        """
        return self._counters.report()
