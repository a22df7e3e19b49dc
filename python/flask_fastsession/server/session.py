"""A session whose data is in a store, and loaded when it is first looked at."""

from __future__ import annotations

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

    When it began, when its cookie was last set, in whole seconds since 1970, and whose it is.
    """

    __slots__ = ("begun", "refreshed", "user")

    def __init__(self, begun: int | None = None, refreshed: int | None = None, user: str | None = None) -> None:
        self.begun = begun
        self.refreshed = refreshed
        self.user = user

    @classmethod
    def taken_from(cls, data: Data) -> Facts:
        """Remove the facts from the data of a record, and return them."""
        found = data.pop(FACTS, None)
        if not isinstance(found, dict):
            return cls()
        begun, refreshed, user = (found.get(name) for name in cls.__slots__)
        return cls(
            begun if isinstance(begun, int) else None,
            refreshed if isinstance(refreshed, int) else None,
            user if isinstance(user, str) else None,
        )

    def put_into(self, data: Data) -> Data:
        known = {name: getattr(self, name) for name in self.__slots__}
        known = {name: value for name, value in known.items() if value is not None}
        return {**data, FACTS: known} if known else data


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
    #: The user it was stored as belonging to.
    bound_to: str | None = None
    #: What kept it from being loaded or stored.
    failure: SessionStoreError | None = None

    def __init__(self) -> None:
        def on_update(session: ServerSideSession) -> None:
            session.accessed = session.modified = True

        super().__init__(None, on_update)
        self.facts = Facts()

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing but that it is permanent, or not."""
        return not self or self.keys() == {"_permanent"}

    def clear(self) -> None:
        """Remove all but whether it is permanent, as Flask-Session does: the next user's is to be as long-lived."""
        permanent = self.get("_permanent")
        super().clear()
        if permanent is not None:
            dict.__setitem__(self, "_permanent", permanent)


class UnloadedSession(ServerSideSession):
    """A session that nobody has looked at: it becomes a :class:`ServerSideSession` when somebody does."""

    def __init__(self, interface: ServerSessionInterface, app: Flask, request: Request) -> None:
        super().__init__()
        self.source = interface, app, request

    def load(self) -> None:
        """Load it now. After a :exc:`SessionStoreError` the same is raised again, without another attempt."""
        if self.failure is not None:
            raise self.failure
        interface, app, request = self.source
        self.__class__ = ServerSideSession  # type: ignore[assignment]
        try:
            interface.load(app, request, self)
        except BaseException as error:
            self.__class__ = UnloadedSession
            if isinstance(error, SessionStoreError):
                self.failure = error
            raise
        self.accessed = True


def loaded_first(name: str) -> Callable[..., t.Any]:
    """A method that loads the session, and then does what it does in a session that is loaded."""

    def method(self: UnloadedSession, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self.load()
        return getattr(ServerSideSession, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


def known_when_loaded(name: str) -> property:
    def read(self: UnloadedSession) -> t.Any:
        self.load()
        return getattr(self, name)

    return property(read)


#: All that looks at the data of a dict, or changes it, and all that is known of a session once it is loaded.
SPECIAL_METHODS = ("contains", "copy", "delitem", "eq", "getitem", "ior", "iter", "len", "ne", "or")
MORE_SPECIAL_METHODS = ("reduce_ex", "repr", "reversed", "ror", "setitem")
METHODS = ("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values")
ATTRIBUTES = ("new", "sid")

for name in (*(f"__{name}__" for name in SPECIAL_METHODS + MORE_SPECIAL_METHODS), *METHODS):
    setattr(UnloadedSession, name, loaded_first(name))
for name in ATTRIBUTES:
    setattr(UnloadedSession, name, known_when_loaded(name))
