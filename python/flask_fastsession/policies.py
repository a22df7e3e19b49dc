"""What is done about the options of :class:`~flask_fastsession.options.Policies`, with each request.

What can be decided is decided in functions of its own, which change nothing. ``src/policies.rs`` decides the same
natively: which of several cookies counts, and whether one is young enough.
"""

from __future__ import annotations

import time
import typing as t
from contextlib import suppress
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import itsdangerous
from flask import sessions
from itsdangerous.encoding import base64_decode
from itsdangerous.encoding import bytes_to_int

from . import signals
from .options import Policies
from .options import seconds_in

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SecureCookieSession
    from flask.sessions import SessionMixin

    from .interface import FastSessionInterface
    from .options import Options

#: Why a cookie opens no session, as :data:`~flask_fastsession.signals.session_refused` and ``on_refused`` are told.
Reason: t.TypeAlias = t.Literal["expired", "future", "forged", "malformed", "revoked", "not_encrypted"]

#: Cookies of one name that are looked at, at most, as in ``src/policies.rs``.
MOST_COOKIES = 16

#: Later times, in seconds since 1970, are part of something else.
LATEST = 1 << 40


class Refused(Exception):
    """A cookie that opens no session; its text is the reason, in one word."""


class SkippedSession(sessions.NullSession):
    """The session of a request that has none by ``skip``: it is empty, and cannot be written.

    As Flask's session of an app without a secret key, which it extends: neither is saved.
    """

    def _fail(self, *args: t.Any, **kwargs: t.Any) -> t.NoReturn:
        raise RuntimeError(
            "This request has no session, because the option skip returned true for it. Leave the session alone here, "
            "or have skip return false."
        )

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = update = setdefault = _fail
    del _fail


# --- Decide ---------------------------------------------------------------------------------------------------------


def is_skipped(policies: Policies, request: Request) -> bool:
    return policies.skip is not None and bool(policies.skip(request))


def reason_for(options: Options, error: Exception | None, token: str | bytes) -> Reason:
    """Return why itsdangerous, or decryption, refuses a token. ``src/protection.rs`` decides the same natively."""
    if isinstance(error, itsdangerous.SignatureExpired):
        signed_at = error.date_signed
        return "future" if signed_at is not None and signed_at.timestamp() > time.time() else "expired"
    text = itsdangerous.want_bytes(token, errors="replace")
    dots = text.count(b".")
    if not isinstance(error, itsdangerous.BadSignature):
        return "malformed"
    if options.encrypt and not options.accept_signed and dots > 1:
        return "not_encrypted"
    if options.reads_encrypted and (not dots or (not options.accept_signed and options.encrypt)):
        return "malformed" if len(text) < SHORTEST_ENCRYPTED else "forged"
    if dots < 2:
        return "malformed"
    # Of a signature that is right and a timestamp that cannot be read. Where neither is right, it says why it cannot.
    has_only_bad_time = error.message == "Malformed timestamp" and error.__cause__ is None
    return "malformed" if has_only_bad_time else "forged"


#: The characters of an encrypted cookie of no text: version, nonce, seconds and tag.
SHORTEST_ENCRYPTED = ((1 + 24 + 8 + 16) * 4 + 2) // 3


def lifetime_of(policies: Policies, session: SessionMixin) -> float | None:
    """Return the seconds that a session lives by ``lifetime``, or ``None``; raise :exc:`ValueError` for anything else.

    To look at the session here is no access by the view, on which its response would depend.
    """
    if policies.lifetime is None:
        return None
    was_accessed = session.accessed
    seconds = policies.lifetime(session)
    if session.accessed != was_accessed:
        session.accessed = was_accessed
    return None if seconds is None else seconds_in("what lifetime returns", seconds)


def age_of(session: SessionMixin) -> int | None:
    """Return for how many seconds the cookie of a session has been signed, where that is known."""
    signed_at = getattr(session, "_signed_at", None)
    return None if signed_at is None else int(time.time()) - signed_at


def is_expired(options: Options, session: SecureCookieSession) -> bool:
    """Whether a session that was read is at the end of a life shorter than that of others."""
    if options.is_expired(session):
        return True
    if options.policies.lifetime is None:
        return False
    age = age_of(session)
    lifetime = None if age is None else lifetime_of(options.policies, session)
    return lifetime is not None and age is not None and age > lifetime + options.leeway


def is_fresh(policies: Policies, session: SessionMixin) -> bool:
    """Whether the cookie of a session that has not changed is young enough to be left as it is."""
    if policies.refresh_after is None or session.modified:
        return False
    age = age_of(session)
    return age is not None and age <= policies.refresh_after


def shorter_lifetime(policies: Policies, app: Flask, session: SessionMixin) -> int | None:
    """Return for how many seconds the cookie of a session is to live, if for less than those of others."""
    if policies.lifetime is None or not session:
        return None
    lifetime = lifetime_of(policies, session)
    if lifetime is None or lifetime >= int(app.permanent_session_lifetime.total_seconds()):
        return None
    return int(lifetime)


def sooner(expires: t.Any, lifetime: int | None) -> t.Any:
    """Return when a cookie expires: as the interface says, or so many seconds from now if that is sooner."""
    if lifetime is None or not isinstance(expires, datetime) or expires.tzinfo is None:
        return expires
    return min(expires, datetime.now(timezone.utc) + timedelta(seconds=lifetime))


def reports_refusals(policies: Policies) -> bool:
    is_told = policies.on_refused is not None or bool(policies.delete_refused)
    return is_told or bool(signals.session_refused.receivers)


# --- Act ------------------------------------------------------------------------------------------------------------


def open_session(
    interface: FastSessionInterface, options: Options, app: Flask, request: Request, natively: bool
) -> SecureCookieSession | None:
    """Return the session of a request as the options say: ``natively`` if it can be, or else step by step."""
    policies, revocations = options.policies, options.revocations
    if is_skipped(policies, request):
        return SkippedSession()

    def admit(session: t.Any, token: str | None = None) -> t.Any:
        """Return a session that was opened from a token; raise :exc:`Refused`."""
        if revocations is not None:
            # First, so that no function of the app sees what such a session carries.
            session = interface._revocable.opened(interface, revocations, app, request, session, token)
            if interface._revocable.is_unavailable(session):
                return session
        if is_expired(options, session):
            raise Refused("expired")
        return session

    def open_in_steps() -> t.Any:
        return interface._open_in_steps(options, app, request, reports_refusals(policies), admit)

    session: t.Any = interface._open_session(app, request, policies.native) if natively else NotImplemented
    try:
        if session is NotImplemented:
            session = open_in_steps()
        elif type(session) is str:
            raise Refused(session)
        elif session is not None:
            try:
                session = admit(session)
            except Refused:
                if not policies.accept_any:
                    raise
                # Native code takes the first cookie with a good signature. Another one may be admitted.
                session = open_in_steps()
    except Refused as refusal:
        return refuse(interface, options, app, request, t.cast(Reason, str(refusal)))
    return t.cast("SecureCookieSession", session)


def refuse(
    interface: FastSessionInterface, options: Options, app: Flask, request: Request, reason: Reason
) -> SecureCookieSession:
    """Return an empty session instead of a refused one, and report why."""
    if reason == "revoked" and options.revocations is not None:
        options.revocations.count_refused()
    session: t.Any = interface.session_class()
    if options.revocations is not None:
        session = interface._revocable.opened(interface, options.revocations, app, request, session, None)
    if options.policies.delete_refused:
        # An empty session that is modified has its cookie deleted when it is saved.
        session.modified = True
    report(options.policies, app, request, reason)
    return t.cast("SecureCookieSession", session)


def report(policies: Policies, app: Flask, request: Request, reason: Reason) -> None:
    signals.session_refused.send(app, reason=reason)
    if policies.on_refused is not None:
        policies.on_refused(request, reason)


def save_session(
    interface: FastSessionInterface, options: Options, app: Flask, session: SessionMixin, response: Response
) -> None:
    """Save a session, natively or else step by step, as the options say."""
    if type(session) is SkippedSession:
        # Flask does not come here, unless the app has a null session of its own.
        return
    if options.revocations is not None and interface._revocable.is_unavailable(session):
        return
    options.stamp(session)
    lifetime = shorter_lifetime(options.policies, app, session)

    def save_it() -> None:
        if not interface._save_session(app, session, response, options.policies.native, lifetime):
            known = options.cookies_of(response)
            interface._save_in_steps(options, app, session, response, lifetime)
            options.check_size(known, session, response)

    if options.revocations is None:
        save_it()
    else:
        interface._revocable.save(options.revocations, app, session, save_it)


def keep_time(session: t.Any, serializer: t.Any, token: str) -> bool:
    """Have a session know when its cookie was signed. Return whether it does."""
    # Somebody's own serializer may sign without a time, and somebody's own class may have no place for it.
    with suppress(Exception):
        if "." in token:
            _, text, _ = token.rsplit(".", 2)
            signed_at = bytes_to_int(base64_decode(text))
        else:
            _, made_at = serializer.loads(token, return_timestamp=True)
            signed_at = int(made_at.timestamp())
        if signed_at <= LATEST:
            session._signed_at = signed_at
            return True
    return False
