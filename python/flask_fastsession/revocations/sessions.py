"""What revocations do to the sessions of requests: when they are opened and saved, and when the app asks for it.

::

    open:  take the identity out of the data -> refused? -> another user by now? -> session
    save:  store the revocations of ended sessions -> refused meanwhile? -> put the identity into the data -> cookie

Code that makes or changes an identity fetches the list first. So a thief with a copy of a revoked session cannot turn
it into another session, not even in a process that has not fetched the revocation yet.
"""

from __future__ import annotations

import math
import secrets
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from hashlib import sha256

from flask import after_this_request
from flask import current_app
from flask import has_request_context
from flask import session as current_session

from .. import signals
from .. import steps
from .._native import IDENTITY_KEY
from .._native import Identity
from .._native import hash_user
from ..policies import Refused
from ..server.info import current_app_or_none
from ..server.meta import owner_name
from ..server.session import METHODS
from ..server.session import MORE_SPECIAL_METHODS
from ..server.session import SPECIAL_METHODS
from ..server.store import SessionStoreError
from ..session import SecureCookieSession
from ..session import revocable_class
from .entry import Kept
from .entry import SessionEntry
from .entry import UserEntry
from .revocations import CLOCK_SKEW
from .revocations import Revocations

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response
    from flask.sessions import SessionMixin

    from ..interface import FastSessionInterface

#: The key under which Flask-Login stores what a user's ``get_id`` returns.
FLASK_LOGIN_KEY = "_user_id"

#: The end of an entry for a session that ends outside of an app context, where the lifetime is unknown. This process
#: uses it; the store gets the correct end when the session is saved.
NO_END = 2**32 - 1


@dataclass
class Fate:
    """What has happened to a session during its request."""

    identity: Identity | None = None
    #: Whether it was found to be revoked after it was opened. Then nothing that the app stores in it is saved.
    is_refused: bool = False
    #: Whether no cookie has its identity yet.
    is_new: bool = False
    #: The former ids of the session. They are revoked in the store when it is saved.
    ended: list[bytes] = field(default_factory=list)
    #: Why a revocation could not be stored. All responses of this request delete the cookie.
    failure: SessionStoreError | None = None


def fate_of(session: SecureCookieSession) -> Fate:
    found: Identity | Fate | None = getattr(session, "_revocable", None)
    if not isinstance(found, Fate):
        found = session._revocable = Fate(found)
    return found


def identity_of(session: SecureCookieSession) -> Identity | None:
    found: Identity | Fate | None = getattr(session, "_revocable", None)
    return found.identity if isinstance(found, Fate) else found


def set_identity(session: SecureCookieSession, identity: Identity | None) -> None:
    fate_of(session).identity = identity


class UnavailableSession(SecureCookieSession):
    """A session that may or may not be revoked, which is unknown: each access raises :exc:`SessionStoreError`."""

    failure: SessionStoreError

    @classmethod
    def of(cls, failure: SessionStoreError) -> UnavailableSession:
        session = cls()
        session.failure = failure
        # Code that does not call the methods below, such as the encoder of json, must not take the session for empty.
        dict.__setitem__(session, "", None)
        return session

    def fail(self) -> t.NoReturn:
        if has_request_context():
            after_this_request(self.give_up)
        raise self.failure

    def give_up(self, response: Response) -> Response:
        """Become an empty session, because the response has reported the failure."""
        dict.clear(self)
        self.__class__ = SecureCookieSession  # type: ignore[assignment]
        return response


def failing(name: str) -> Callable[..., t.Any]:
    def method(self: UnavailableSession, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self.fail()

    method.__name__ = name
    return method


for name in (*(f"__{name}__" for name in SPECIAL_METHODS + MORE_SPECIAL_METHODS), *METHODS):
    if hasattr(SecureCookieSession, name):
        setattr(UnavailableSession, name, failing(name))


# --- Open -----------------------------------------------------------------------------------------------------------


def opened(
    interface: FastSessionInterface,
    revocations: Revocations,
    app: Flask,
    request: Request,
    session: SecureCookieSession,
    token: str | None,
) -> SecureCookieSession:
    """Return the session that a cookie held; raise :exc:`Refused` if it is revoked.

    ``token`` is the value of that cookie, or ``None`` if native code has found it.
    """
    if not isinstance(session, SecureCookieSession):
        raise TypeError(
            "revocations= needs a session_class that extends flask_fastsession.FastSession, which "
            f"{type(session).__name__} does not"
        )
    session.__class__ = revocable_class(type(session))
    session._revocations = revocations
    if not len(session):
        return session
    try:
        revocations.renew()
        found = revocations._list.take(session)
        if found is False:
            raise Refused("revoked")
        login = user_in(revocations, session)
        if found is None or (login is not None and login != found.user and not found.is_named):
            # The session was last saved by code without revocations.
            revocations.fetch()
            if token is None:
                token = steps.find_opened_token(interface, app, request)
            found = identity_as_signed(interface, app, token, found, login)
            session.modified = True
            if revocations.refuses(found):
                raise Refused("revoked")
        session._revocable = found
        return session
    except SessionStoreError as error:
        return UnavailableSession.of(error)


def user_in(revocations: Revocations, session: SecureCookieSession) -> str | None:
    """The user that the data of a session names, as :func:`owner_name` writes it."""
    user_of = revocations.user_of
    user = dict.get(session, FLASK_LOGIN_KEY) if user_of is None else user_of(session)
    return None if user is None else owner_name(user)


def identity_as_signed(
    interface: FastSessionInterface, app: Flask, token: str, known: Identity | None, user: str | None
) -> Identity:
    """Return the identity of a session from before revocations, which is the same for each copy of its cookie.

    The session counts as bound at the time when it was signed. If that time is unknown, it counts as bound before all
    revocations.
    """
    cursor = 0
    if user is not None:
        signed_at = time_of_signature(interface.get_signing_serializer(app), token)
        cursor = max(signed_at - interface._options.leeway, 0) * 1_000_000
    # Without the signature, because base64 can spell the same signature in several ways.
    signed = token.rpartition(".")[0] or token
    id = sha256(signed.encode("utf-8", "surrogatepass")).digest()[:16] if known is None else known.id
    return Identity(id, cursor, user)


def time_of_signature(serializer: t.Any, token: str) -> int:
    try:
        _, signed_at = serializer.loads(token, return_timestamp=True)
        return int(signed_at.timestamp())
    except Exception:
        return 0


# --- Save -----------------------------------------------------------------------------------------------------------


def is_unavailable(session: SessionMixin) -> bool:
    """Whether a session must not be saved, because it is an :class:`UnavailableSession`."""
    return isinstance(session, UnavailableSession)


def save(revocations: Revocations, app: Flask, session: t.Any, save_it: Callable[[], None]) -> None:
    """Save a session with its identity.

    Raise :exc:`SessionStoreError` if the session has ended and its revocation cannot be stored.
    """
    if not isinstance(session, SecureCookieSession):
        save_it()
        return
    # The app may have stored anything under this key.
    dict.pop(session, IDENTITY_KEY, None)
    fate = getattr(session, "_revocable", None)
    if isinstance(fate, Fate):
        count = len(fate.ended)
        failure = stored(revocations, app, fate)
        for _ in range(count if failure is None else 0):
            signals.session_ended.send(app)
        if fate.failure is not None:
            # The header is set before the error is raised, because this may be the response that is sent.
            empty(session, is_deleted=True)
            save_it()
            if failure is not None:
                raise failure
            return
        if fate.is_refused:
            empty(session, is_deleted=False)
        fate.is_new = False
    if not len(session):
        save_it()
        return
    identity = identity_of(session)
    if identity is None:
        identity = Identity(secrets.token_bytes(16))
        set_identity(session, identity)
    else:
        # The request may have taken longer than `every`.
        revocations.renew()
        if revocations.refuses(identity):
            empty(session, is_deleted=False)
            save_it()
            return
    dict.__setitem__(session, IDENTITY_KEY, identity.value)
    try:
        save_it()
    finally:
        dict.pop(session, IDENTITY_KEY, None)


def empty(session: SecureCookieSession, *, is_deleted: bool) -> None:
    """Remove all data from a session. The response deletes the cookie if ``is_deleted``, else it sets none."""
    dict.clear(session)
    set_identity(session, None)
    session.modified = is_deleted


def stored(revocations: Revocations, app: Flask, fate: Fate) -> SessionStoreError | None:
    """Store the revocations of ended sessions, and return the error if that failed."""
    failure = None
    ended, fate.ended = fate.ended, []
    for id in ended:
        try:
            revocations.add(SessionEntry(end_of_cookies(revocations, app), id))
        except SessionStoreError as error:
            failure = fate.failure = error
    return failure


def end_of_cookies(revocations: Revocations, app: Flask) -> int:
    """When the last cookie of a session that ends now has expired, in whole seconds since 1970.

    A process may refresh a cookie by a list that is twice as old as ``every``.
    """
    life = max(app.permanent_session_lifetime.total_seconds(), revocations.keep_for)
    return math.ceil(time.time() + life + 2 * revocations.every + revocations.leeway + CLOCK_SKEW)


# --- When the app asks for it ---------------------------------------------------------------------------------------


def actual(session: t.Any) -> SecureCookieSession:
    """The session behind a proxy, or the session itself.

    Raise :exc:`TypeError` for a session of another class, and the error of an :class:`UnavailableSession`.
    """
    found = getattr(session, "_get_current_object", lambda: session)()
    if not isinstance(found, SecureCookieSession):
        raise TypeError(f"expected a session of FastSessionInterface, not {type(found).__name__}")
    if isinstance(found, UnavailableSession):
        found.fail()
    return found


def is_refused_by_now(revocations: Revocations, session: SecureCookieSession) -> bool:
    """Fetch the list, and return whether the session is refused. If it is, it is emptied, and will not be saved."""
    revocations.fetch()
    identity, fate = identity_of(session), fate_of(session)
    if identity is not None and not fate.is_refused and revocations.refuses(identity):
        fate.is_refused = True
        revocations.count_refused()
        signals.session_refused.send(current_app_or_none(), reason="revoked")
    if fate.is_refused:
        empty(session, is_deleted=False)
    return fate.is_refused


def bind(revocations: Revocations, session: t.Any, user: object) -> None:
    found = actual(session)
    if is_refused_by_now(revocations, found):
        return
    name = None if user is None else owner_name(user)
    is_named = name is not None and name != user_in(revocations, found)
    id = id_of(revocations, found)
    set_identity(found, Identity(id, revocations.latest, name, is_named))
    found.modified = True


def id_of(revocations: Revocations, session: SecureCookieSession) -> bytes:
    """The id of a session. A session without an id gets one."""
    identity = identity_of(session)
    if identity is None:
        identity = Identity(secrets.token_bytes(16))
        set_identity(session, identity)
        fate_of(session).is_new = True
        session._revocations = revocations
    return identity.id


def end(revocations: Revocations, session: SecureCookieSession) -> None:
    """End a session. Its data goes on as a new session.

    This process refuses the old session at once. The store is told when the session is saved.
    """
    try:
        is_refused_by_now(revocations, session)
    finally:
        identity, fate = identity_of(session), fate_of(session)
        if identity is not None and not fate.is_new and not fate.is_refused:
            app = current_app_or_none()
            if app is None:
                revocations.refuse_session(identity.id, NO_END)
            else:
                revocations.announce(SessionEntry(end_of_cookies(revocations, app), identity.id))
            fate.ended.append(identity.id)
        if not fate.is_refused:
            fate.identity, fate.is_new = None, False
            session.modified = True


def revoke(revocations: Revocations, session: t.Any) -> None:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    found = actual(session)
    end(revocations, found)
    fate = fate_of(found)
    count = len(fate.ended)
    failure = stored(revocations, app, fate)
    empty(found, is_deleted=not fate.is_refused)
    for _ in range(count):
        signals.session_revoked.send(app)
    if failure is not None:
        raise failure


def revoke_user(revocations: Revocations, user: object, keep: t.Any) -> None:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    revocations.fetch()
    name = owner_name(user)
    kept = [session for session in map(actual, several(keep)) if not is_refused_by_now(revocations, session)]
    pairs: list[Kept] = []
    for session in kept:
        id = id_of(revocations, session)
        pairs.append((id, t.cast(Identity, identity_of(session)).cursor))
    until = end_of_cookies(revocations, app)
    entry = UserEntry(until, hash_user(name), tuple(pairs), floor=revocations.latest + 1)
    own = own_session()
    if own is not None and is_of(own, name) and not any(own is session for session in kept):
        # What the app stores in it from now on is a new session.
        empty(own, is_deleted=True)
    else:
        own = None
    try:
        revocations.add(entry)
    except SessionStoreError as error:
        if own is not None:
            fate_of(own).failure = error
        raise
    finally:
        signals.session_revoked.send(app)


def is_of(session: SecureCookieSession, name: str) -> bool:
    identity = identity_of(session)
    return identity is not None and identity.user == name


def own_session() -> SecureCookieSession | None:
    """The session of the current request, or ``None`` if it is of another class or unavailable."""
    found = current_session._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]
    return found if isinstance(found, SecureCookieSession) and not isinstance(found, UnavailableSession) else None


def several(keep: t.Any) -> list[t.Any]:
    if keep is None:
        return []
    # A session is iterable, too, by its keys.
    is_one = keep is current_session or isinstance(keep, t.Mapping)
    return [keep] if is_one else list(t.cast("Iterable[t.Any]", keep))
