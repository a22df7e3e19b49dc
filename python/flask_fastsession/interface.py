"""The session interface, and the session it opens."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta

import itsdangerous
from flask import sessions

from . import encrypted
from . import policies
from . import signing
from . import steps
from ._native import DefaultSessionClass
from ._native import SessionInterfaceMixin
from ._native import remember_flask
from .options import DEFAULTS
from .options import Options
from .options import Policies
from .options import digests_in
from .options import seconds_in
from .session import SecureCookieSession

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

    from .revocations import Revocations
    from .stats import SessionStats

#: A digest of :mod:`hashlib`, or its name.
DigestMethod: t.TypeAlias = str | Callable[..., t.Any]


class FastSessionInterface(SessionInterfaceMixin, signing.PickledByAnyProtocol, sessions.SecureCookieSessionInterface):
    """Flask's signed cookie sessions, opened and saved natively.

    Assign an instance to :attr:`flask.Flask.session_interface`; nothing else changes. Like
    :class:`flask.sessions.SecureCookieSessionInterface`, which it extends, it may be shared by several apps and
    subclassed, and ``salt``, ``digest_method``, ``key_derivation``, ``serializer`` and ``session_class`` may be set on
    a subclass or an instance.

    Each argument adds something that Flask does not do, and is off by default:

    ``digest_method``
        Sign with this digest, such as :func:`hashlib.sha256`, instead of SHA-1.
    ``accept_digest_methods``
        Accept cookies signed with these digests as well. They are re-signed when they are next saved.
    ``resign_fallbacks``
        Save a session at once if its cookie was signed with a key of ``SECRET_KEY_FALLBACKS`` or with an accepted
        digest, by marking the session as modified.
    ``absolute_lifetime``
        Seconds, or a :class:`~datetime.timedelta`, after which a session ends, no matter how often it was refreshed.
        The session stores its beginning under ``_created``; ``session.clear()`` restarts it.
    ``leeway``
        How many whole seconds a cookie may be older than its lifetime, or signed in the future, to allow for clock
        skew.
    ``oversize``
        What to do with a cookie larger than ``MAX_COOKIE_SIZE``: ``"warn"``, as Werkzeug does; ``"raise"`` a
        :exc:`SessionTooLargeError` instead of setting the cookie; or a callable that takes the session, the response
        and the size in bytes.
    ``encrypt``
        Encrypt cookies, so that nobody without ``SECRET_KEY`` can read them; signed cookies are refused.
    ``accept_signed``
        With ``encrypt``: accept signed cookies as well. They are encrypted when they are next saved, or at once with
        ``resign_fallbacks``.
    ``accept_encrypted``
        Without ``encrypt``: accept encrypted cookies as well. They are signed when they are next saved.
    ``compress``
        With ``encrypt``: compress sessions first. The length of a cookie then tells something of what is in it.
    ``skip``
        A callable that is given the request. Where it returns true, the request has no session: it is empty, and to
        write to it is a :exc:`RuntimeError`.
    ``refresh_after``
        Seconds, or a :class:`~datetime.timedelta`. The cookie of a permanent session that has not changed is sent again
        only once it is older than that.
    ``lifetime``
        A callable that is given the session, and returns seconds or a :class:`~datetime.timedelta` after which its
        cookie is not accepted any more, or ``None`` for Flask's ``PERMANENT_SESSION_LIFETIME``, which no session
        exceeds.
    ``on_refused``
        A callable that is given the request, and why its cookie opens no session: ``"expired"``, ``"future"``,
        ``"forged"``, ``"malformed"``, ``"not_encrypted"`` or ``"revoked"``, as
        :data:`flask_fastsession.signals.session_refused`.
    ``delete_refused``
        Remove such a cookie from the browser.
    ``accept_any``
        Of several cookies of the session's name, open the first that is valid, rather than the first.
    ``revocations``
        A :class:`~flask_fastsession.revocations.Revocations`, so that sessions can be revoked: :meth:`revoke`,
        :meth:`revoke_user`.

    ``absolute_lifetime`` and those from ``skip`` on may also be in the config of an app, as ``SESSION_`` and their name
    in capitals. It is read with the first request; an argument wins.

    An invalid argument raises :exc:`ValueError`.
    """

    _options = DEFAULTS

    if t.TYPE_CHECKING:
        session_class: type[sessions.SecureCookieSession]
    else:
        session_class = DefaultSessionClass(SecureCookieSession)

    # Other arguments are for the other bases of a subclass. To type checkers they are errors, as spelling mistakes are.
    def __init__(
        self,
        *args: t.NoReturn,
        digest_method: DigestMethod | None = None,
        accept_digest_methods: Iterable[DigestMethod] = (),
        resign_fallbacks: bool = False,
        absolute_lifetime: float | timedelta | None = None,
        leeway: int = 0,
        oversize: t.Literal["warn", "raise"] | Callable[[SessionMixin, Response, int], object] = "warn",
        encrypt: bool = False,
        accept_signed: bool = False,
        accept_encrypted: bool = False,
        compress: bool = False,
        skip: Callable[[Request], object] | None = None,
        refresh_after: float | timedelta | None = None,
        lifetime: Callable[[SessionMixin], float | timedelta | None] | None = None,
        on_refused: Callable[[Request, str], object] | None = None,
        delete_refused: bool | None = None,
        accept_any: bool | None = None,
        revocations: Revocations | None = None,
        **kwargs: t.NoReturn,
    ) -> None:
        if kwargs and type(self).__init__ is FastSessionInterface.__init__:
            from difflib import get_close_matches

            name = next(iter(kwargs))
            similar = get_close_matches(
                name, t.cast("dict[str, t.Any]", FastSessionInterface.__init__.__kwdefaults__), 1
            )
            hint = f"; did you mean {similar[0]}?" if similar else ""
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {name!r}{hint}")
        super().__init__(*args, **kwargs)
        if absolute_lifetime is not None:
            absolute_lifetime = seconds_in("absolute_lifetime", absolute_lifetime)
        digest_methods = digests_in("accept_digest_methods", accept_digest_methods)
        given = Policies.given(
            {
                "skip": skip,
                "refresh_after": refresh_after,
                "lifetime": lifetime,
                "on_refused": on_refused,
                "delete_refused": delete_refused,
                "accept_any": accept_any,
            }
        )
        options = Options(
            digest_methods,
            resign_fallbacks,
            absolute_lifetime,
            leeway,
            oversize,
            encrypt=encrypt,
            accept_signed=accept_signed,
            accept_encrypted=accept_encrypted,
            compress=compress,
            policies=given,
            revocations=revocations,
        )
        if options != DEFAULTS:
            self._options = options
        if options.defer_to_python:
            self._minds_options = True
        if revocations is not None:
            self._prepare_revocations(revocations)
        if digest_method is not None:
            (self.digest_method,) = digests_in("digest_method", [digest_method])

    def open_session(self, app: Flask, request: Request) -> sessions.SecureCookieSession | None:
        """Return the session of a request, as :class:`flask.sessions.SecureCookieSessionInterface` does.

        Return ``None`` if the app has no secret key, and an empty session if the cookie is missing, malformed, forged
        or expired.
        """
        session: sessions.SecureCookieSession | None = self._open_session(app, request)
        return self._open_otherwise(app, request) if session is NotImplemented else session

    def _open_otherwise(self, app: Flask, request: Request) -> sessions.SecureCookieSession | None:
        """Return the session where there is more to see to, or where native code has declined."""
        known = self._known_options(app)
        options = self._options_for(app) if known is None else known
        # Where it is known that Python code has nothing to see to, native code has had its say.
        is_first = known is None or known.defer_to_python
        return policies.open_session(self, options, app, request, natively=is_first)

    def _open_in_steps(
        self, options: Options, app: Flask, request: Request, reports_refusals: bool, admit: steps.Admit
    ) -> sessions.SecureCookieSession | None:
        if self._is_followed_by_stock(False):
            self._learn_setup(app)
            return steps.open_session(self, options, app, request, reports_refusals, admit)
        session = super().open_session(app, request)
        return None if session is None else admit(session, None)

    def _options_for(self, app: Flask) -> Options:
        """Return the options for an app: the arguments, and the rest from its config, which is read once."""
        options: Options | None = self._known_options(app)
        if options is None:
            config = getattr(app, "config", None)
            options = self._options.with_config(config) if isinstance(config, dict) else self._options
            # What stands for an app in a test may not be one that can be remembered.
            with suppress(TypeError):
                self._remember_options(app, options, None if options.need_python else options.policies.native)
        return options

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie and the Vary header of a response if the session requires it, as
        :class:`flask.sessions.SecureCookieSessionInterface` does.
        """
        if not self._save_session(app, session, response):
            self._save_otherwise(app, session, response)

    def _save_otherwise(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save the session where there is more to see to, or where native code has declined."""
        known = self._known_options(app)
        if known is None or known.defer_to_python:
            policies.save_session(self, self._options_for(app), app, session, response)
        else:
            self._save_in_steps(known, app, session, response, None)

    def _save_in_steps(
        self, options: Options, app: Flask, session: SessionMixin, response: Response, lifetime: int | None
    ) -> None:
        if self._is_followed_by_stock(True):
            self._learn_setup(app)
            steps.save_session(self, options, app, session, response, lifetime)
        else:
            super().save_session(app, session, response)

    # --- Revocations --------------------------------------------------------------------------------------------------

    # Whose sessions cannot be revoked need not load this.
    _revocable: t.ClassVar[t.Any] = None

    def _prepare_revocations(self, revocations: Revocations) -> None:
        from .revocations import logins
        from .revocations import sessions

        FastSessionInterface._revocable = sessions
        revocations.leeway = max(revocations.leeway, self._options.leeway)
        if not self._options.need_python:
            self._revoke_by(revocations._list, revocations)
        logins.follow_logins()

    def _require_revocations(self) -> None:
        if self._options.revocations is None:
            raise RuntimeError("sessions cannot be revoked: FastSessionInterface(revocations=...) was not given")

    def bind_user(self, session: SessionMixin, user: object) -> None:
        """Say whose this session is, for :meth:`revoke_user`; ``None`` stands for nobody's. Call it at login.

        ``user`` is the user's id. With Flask-Login this happens by itself. Without ``revocations=`` it does nothing. A
        session that was revoked meanwhile becomes empty instead. Raise
        :exc:`~flask_fastsession.server.SessionStoreError` as ``on_outage`` says.
        """
        if self._options.revocations is not None:
            self._revocable.bind(self._options.revocations, session, user)

    def revoke(self, session: SessionMixin) -> None:
        """End a session with all copies of its cookie, and empty it. It needs an app context.

        This process refuses it at once, each other process within ``every`` seconds. If the store cannot be told, the
        cookie is deleted all the same, :exc:`~flask_fastsession.server.SessionStoreError` is raised, and it is tried
        again. Without ``revocations=`` it raises :exc:`RuntimeError`.
        """
        self._require_revocations()
        self._revocable.revoke(self._options.revocations, session)

    def revoke_user(self, user: object, keep: SessionMixin | Iterable[SessionMixin] | None = None) -> None:
        """End all sessions that a user has at this moment, but those to ``keep``. It needs an app context.

        ``user`` is what :meth:`bind_user` was given, or Flask-Login's ``get_id()``. Otherwise it is as :meth:`revoke`.
        """
        self._require_revocations()
        self._revocable.revoke_user(self._options.revocations, user, keep)

    def get_signing_serializer(self, app: Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        """Return the serializer that signs and verifies the session cookie, or ``None`` without a secret key.

        The installed Flask chooses the keys, the salt and the digest. With ``encrypt`` the serializer encrypts, and a
        :exc:`ValueError` is raised for keys that cannot: one that is empty, or ``SECRET_KEY_FALLBACKS`` as a text.
        """
        options = self._options
        if options.reads_encrypted:
            signs = not options.encrypt or options.accept_signed
            return encrypted.make_serializer(self, app, self._make_serializer(app) if signs else None)
        made: t.Any = self._new_serializer(app)
        if made is NotImplemented:
            return self._make_serializer(app)
        if type(made) is tuple:
            (made,) = made
            # Each serializer that itsdangerous makes writes something, which the app's own JSON provider is to notice.
            made.is_text_serializer = isinstance(signing.write_json(made.serializer, {}), str)
        return t.cast("itsdangerous.URLSafeTimedSerializer | None", made)

    def _serializer_between(self, app: Flask) -> t.Any:
        """Return the serializer of a class between this one and Flask's, which decides on keys, or ``None``."""
        if self._is_followed_by_stock(False):
            return None
        return super().get_signing_serializer(app)

    def _make_serializer(self, app: Flask) -> itsdangerous.URLSafeTimedSerializer | None:
        """Return Flask's serializer for signed cookies, or one of ours with its state."""
        stock = super().get_signing_serializer(app)
        if type(stock) is not itsdangerous.URLSafeTimedSerializer:
            return stock
        stock.fallback_signers += [
            {"key_derivation": self.key_derivation, "digest_method": digest_method}
            for digest_method in self._options.accept_digest_methods
        ]
        return signing.URLSafeTimedSerializer._adopt(stock, self._counters)

    def stats(self) -> SessionStats:
        """Return how often native code handled sessions, and how often stock code did and why.

        The counts cover this instance in this process since it was created::

            {"guard": "tags",
             "open": {"native": 100, "declined": {}},
             "serializer": {"native": 100, "declined": {}},
             "cookies": {"native": 100, "declined": {}},
             "loads": {"native": 98, "rejected": 2, "declined": {}},
             "save": {"native": 99, "declined": {"value_type": 1}},
             "dumps": {"native": 41, "declined": {"value_type": 1}},
             "headers": {"native": 100, "declined": {}},
             "keys": {"current": 90, "fallbacks": [8], "old_digests": 0},
             "kinds": {"signed": 98, "encrypted": 0, "too_large_when_encrypted": 0}}

        ``guard`` says how native code knows that classes are Flask's own: with ``"tags"`` it checks a class again only
        if CPython says that it changed; with ``"look-ups"`` it checks each time, as abi3 wheels do. ``open`` and
        ``save`` count requests that native code handled as a whole, and why it did not handle others. These continue
        step by step, and the other counts are of the steps: ``serializer``, the setup from keys and salt; ``cookies``,
        finding the cookie; ``loads``, cookies read; ``dumps``, cookies written; ``headers``, Set-Cookie and Vary.
        ``loads`` and ``dumps`` also count calls that you make to serializers of :meth:`get_signing_serializer`.

        ``rejected`` counts cookies that are malformed, forged or expired. ``keys`` counts which key verified a
        cookie: ``SECRET_KEY``, or one of ``SECRET_KEY_FALLBACKS``, the last of the list first; and how often the digest
        was one of ``accept_digest_methods``. You may remove a key whose count has not risen for the lifetime of
        sessions, if stock code has read no cookie in that time.

        ``kinds`` counts the cookies that were read: signed ones, by stock code too, and encrypted ones. With
        ``accept_encrypted``, ``too_large_when_encrypted`` counts the cookies that were signed, and will exceed
        ``MAX_COOKIE_SIZE`` with ``encrypt``.

        With ``revocations=`` there is also ``revocations``: :class:`flask_fastsession.revocations.RevocationStats`.
        """
        report = self._counters.report()
        if self._options.revocations is not None:
            report["revocations"] = self._options.revocations.stats()
        return report


# Native code takes for stock what stands now, unless it can see that it is not.
remember_flask()
