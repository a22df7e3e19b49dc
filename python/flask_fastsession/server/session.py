"""A session whose data is in a store, and loaded when it is first looked at."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable

from flask.sessions import SessionMixin
from werkzeug.datastructures import CallbackDict

from .record import Data
from .store import SessionStoreError

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request

    from .interface import ServerSessionInterface


class Stored(t.NamedTuple):
    """What the store holds of a session."""

    record: bytes
    permanent: bool


class Facts:
    """What is stored along with a session and is not the application's.

    When it began, and until when it lives if it is not renewed, as its cookie and the list of its user's sessions have
    it, in whole seconds since 1970; and whose it is.
    """

    __slots__ = ("begun", "until", "user")

    def __init__(self, begun: int | None = None, until: int | None = None, user: str | None = None) -> None:
        self.begun = begun
        self.until = until
        self.user = user

    @classmethod
    def taken_from(cls, data: Data) -> Facts:
        """Remove the facts from the data of a record, and return them."""
        found = data.pop(FACTS, None)
        if not isinstance(found, dict):
            return cls()
        begun, until, user = found.get("begun"), found.get("until"), found.get("user")
        return cls(
            begun if isinstance(begun, int) else None,
            until if isinstance(until, int) else None,
            user if isinstance(user, str) else None,
        )

    def put_into(self, data: Data) -> Data:
        """Add to the data of a record what is known."""
        known: Data = {}
        if self.begun is not None:
            known["begun"] = self.begun
        if self.until is not None:
            known["until"] = self.until
        if self.user is not None:
            known["user"] = self.user
        if known:
            data[FACTS] = known
        return data


#: The key in a record, never seen by the application.
FACTS = "_server_side"


class ServerSideSession(CallbackDict[str, t.Any], SessionMixin):
    """The session of one request, a dict as :class:`flask.sessions.SecureCookieSession` is.

    ``sid`` is its id, as in the cookie; ``None`` until a new session has been stored. ``new`` is true where the request
    brought none that is in the store.
    """

    sid: str | None = None
    new = False
    modified = False
    accessed = False
    facts: Facts
    stored: Stored | None = None
    #: Whether the session is to have another id when it is saved.
    is_moving = False
    #: Whether what is stored is to end, rather than to change.
    is_cleared = False
    #: Whether the cookie of the request is not what would be set now, though it holds the same id.
    is_cookie_outdated = False
    #: The user it was stored as belonging to.
    bound_to: str | None = None
    #: What kept it from being loaded or stored.
    failure: SessionStoreError | None = None

    def __init__(self) -> None:
        # That of CallbackDict would do no more than to give each session its own on_update.
        self.facts = Facts()

    @staticmethod
    def on_update(session: ServerSideSession) -> None:
        session.accessed = session.modified = True

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing but that it is permanent, or not."""
        return not len(self) or self.keys() == {"_permanent"}

    def __bool__(self) -> bool:
        return not self.is_empty

    def clear(self) -> None:
        """Remove all but whether it is permanent, as Flask-Session does: the next user's is to be as long-lived."""
        permanent = self.get("_permanent")
        super().clear()
        # What is put into it now is another session.
        self.is_cleared, self.facts = True, Facts()
        if permanent is not None:
            dict.__setitem__(self, "_permanent", permanent)


class UnloadedSession(ServerSideSession):
    """A session that nobody has looked at: it becomes a :class:`ServerSideSession` when somebody does."""

    def __init__(self, interface: ServerSessionInterface, app: Flask, request: Request) -> None:
        # What is known of it comes when it is loaded.
        self.source = interface, app, request
        self.turn = threading.Lock()
        # What looks past the methods below, as the encoder of json does, is not to take it for empty.
        dict.__setitem__(self, "", None)

    def load(self) -> None:
        """Load it now. After a :exc:`SessionStoreError` the same is raised again, without another attempt."""
        # Threads may share it, as those that copy_current_request_context starts, and be first at once.
        turn = vars(self).get("turn")
        if turn is None:
            return
        with turn:
            if type(self) is not UnloadedSession:
                return
            if self.failure is not None:
                raise self.failure
            interface, app, request = self.source
            try:
                data, attributes = interface.load(app, request)
            except SessionStoreError as error:
                self.failure = error
                raise
            dict.clear(self)
            dict.update(self, data)
            vars(self).update(attributes, accessed=True)
            self.__class__ = ServerSideSession  # type: ignore[assignment]
            del self.source, self.turn


def loaded_first(name: str) -> Callable[..., t.Any]:
    """A method that loads the session, and then does what it does in a session that is loaded."""

    def method(self: UnloadedSession, *args: t.Any, **kwargs: t.Any) -> t.Any:
        UnloadedSession.load(self)
        return getattr(ServerSideSession, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


def known_when_loaded(name: str) -> property:
    def read(self: UnloadedSession) -> t.Any:
        UnloadedSession.load(self)
        return getattr(self, name)

    return property(read)


#: All that looks at the data of a dict, or changes it, and all that is known of a session once it is loaded.
SPECIAL_METHODS = ("bool", "contains", "delitem", "eq", "getitem", "ior", "iter", "len", "ne", "or")
MORE_SPECIAL_METHODS = ("reduce_ex", "repr", "reversed", "ror", "setitem")
METHODS = ("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values")
ATTRIBUTES = ("new", "sid")

for name in (*(f"__{name}__" for name in SPECIAL_METHODS + MORE_SPECIAL_METHODS), *METHODS):
    setattr(UnloadedSession, name, loaded_first(name))
for name in ATTRIBUTES:
    setattr(UnloadedSession, name, known_when_loaded(name))
