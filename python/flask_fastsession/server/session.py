"""A session whose data is in a store, and loaded when it is first looked at."""

from __future__ import annotations

import secrets
import threading
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from flask import after_this_request
from flask import has_request_context
from flask import request
from flask.sessions import SessionMixin
from werkzeug.datastructures import CallbackDict

from .meta import SessionMeta
from .record import Data
from .store import SessionStoreError

if t.TYPE_CHECKING:
    from flask import Flask
    from flask import Request
    from flask import Response

    from ..policies import Reason
    from .interface import ServerSessionInterface


class Stored(t.NamedTuple):
    """What the store holds of a session: the record, under which id and key, and what that says."""

    sid: str
    key: str
    record: bytes
    permanent: bool = False
    owner: str | None = None
    handle: str | None = None
    begun: int | None = None
    #: Whose it is by its data, where it is not bound yet: any request that finds it so binds it.
    claimed_by: str | None = None

    def was_of(self, owner: str | None) -> bool:
        return owner == self.owner or (owner is not None and owner == self.claimed_by)

    def says(self, meta: SessionMeta) -> bool:
        """Whether the record says the same about its session, but for when it expires. A note belongs to a handle."""
        return (self.owner, self.handle, self.begun) == (meta.owner, meta.handle, meta.begun)


@dataclass
class Loaded:
    """The session that belongs to the cookie of a request."""

    data: Data
    meta: SessionMeta
    #: ``None`` where the request brought none that is in the store.
    stored: Stored | None = None
    #: Whether the cookie would be written otherwise now, though it holds the same id.
    is_cookie_outdated: bool = False
    #: Why the cookie opens no session, where it opens none.
    refused: Reason | None = None
    #: Whether it is to be deleted for that.
    is_cookie_deleted: bool = False


class ServerSideSession(CallbackDict[str, t.Any], SessionMixin):
    """The session of one request: a dict, like :class:`flask.sessions.SecureCookieSession`.

    ``new`` is true until the session is stored, if the request sent no id of a stored session.
    """

    modified = False
    accessed = False
    #: Whether a key was set or deleted, whatever the application says in ``modified``.
    was_updated = False
    #: How many random bytes its next id has.
    id_length = 32
    #: The identity of the interface that has opened it, rather than the interface, because sessions are copied.
    opened_by: int | None = None
    meta: SessionMeta
    stored: Stored | None = None
    #: The id that it is to have when it is saved, if that is another one.
    new_sid: str | None = None
    #: Whether what is stored is to end, rather than to change.
    was_cleared = False
    is_cookie_outdated = False
    #: What each response that may still be sent has to tell the browser: to set the cookie, or to delete it.
    cookie_due: t.Literal["set", "delete"] | None = None
    #: What kept it from being loaded or stored.
    failure: SessionStoreError | None = None

    def __init__(self) -> None:
        # That of CallbackDict would do no more than to give each session its own on_update.
        self.meta = SessionMeta()

    @staticmethod
    def on_update(session: ServerSideSession) -> None:
        session.accessed = session.modified = session.was_updated = True

    @property
    def new(self) -> bool:  # type: ignore[override]
        return self.stored is None

    @property
    def sid(self) -> str:
        """The id that the cookie holds after this request."""
        if self.new_sid is None and (self.stored is None or self.was_cleared):
            self.new_sid = secrets.token_urlsafe(self.id_length)
        return self.new_sid or self.stored.sid  # type: ignore[union-attr]

    @property
    def needs_new_id(self) -> bool:
        """Whether what is stored moves to another id."""
        return self.stored is not None and not self.was_cleared and self.new_sid is not None

    def regenerate(self) -> None:
        """Move the session to a new id when it is saved, so that nobody who knows the old id has access to it.

        Call this when a user logs in or gains rights. With Flask-Login it happens automatically. In an event of
        Flask-SocketIO it does nothing, because no response could tell the browser the new id.
        """
        if not is_in_event():
            self.new_sid = secrets.token_urlsafe(self.id_length)

    @property
    def is_empty(self) -> bool:
        """Whether ``_permanent`` is its only key."""
        return not len(self) or self.keys() == {"_permanent"}

    def __bool__(self) -> bool:
        return not self.is_empty

    def clear(self) -> None:
        """End the session. What you store in it afterwards becomes a new session with a new id.

        It stays permanent if it was, as in Flask-Session.
        """
        permanent = self.get("_permanent")
        super().clear()
        self.was_cleared, self.new_sid, self.meta = True, None, SessionMeta()
        if permanent is not None:
            dict.__setitem__(self, "_permanent", permanent)

    def replace_data(self, data: Data) -> None:
        """Put other data in its place, without the marks of a change by the application."""
        dict.clear(self)
        dict.update(self, data)


def is_in_event() -> bool:
    """Whether this is an event of Flask-SocketIO, whose request has a namespace and an event, and no response."""
    # Applications may well call something of their own the namespace of a request.
    return has_request_context() and hasattr(request, "namespace") and hasattr(request, "event")


class UnloadedSession(ServerSideSession):
    """A session that nobody has looked at: it becomes a :class:`ServerSideSession` when somebody does."""

    #: The thread that loads it.
    loader: int | None

    def __init__(self, interface: ServerSessionInterface, app: Flask, request: Request) -> None:
        # What is known of it comes when it is loaded.
        self.source = interface, app, request
        self.turn = threading.Lock()
        self.loader = None
        # What looks past the methods below, as the encoder of json does, is not to take it for empty.
        dict.__setitem__(self, "", None)

    def load(self) -> None:
        """Load it now. After a :exc:`SessionStoreError` the same is raised again, without another attempt."""
        # Threads may share it, as those that copy_current_request_context starts, and be first at once.
        turn = vars(self).get("turn")
        if turn is None:
            return
        if vars(self).get("loader") == threading.get_ident():
            # It would wait for itself.
            raise RuntimeError(
                "The session is being loaded. What runs meanwhile, such as a filter of log records, a store, or a"
                " function that is passed as an option, cannot look at flask.session."
            )
        with turn:
            if type(self) is not UnloadedSession:
                return
            if self.failure is not None:
                raise self.failure
            interface, app, request = self.source
            try:
                self.loader = threading.get_ident()
                loaded = interface.load(app, request)
            except SessionStoreError as error:
                self.failure = error
                if has_request_context():
                    after_this_request(self.give_up)
                raise
            finally:
                self.loader = None
            self.replace_data(loaded.data)
            self.meta, self.stored = loaded.meta, loaded.stored
            self.is_cookie_outdated = loaded.is_cookie_outdated
            self.cookie_due = "delete" if loaded.is_cookie_deleted else None
            self.id_length, self.accessed, self.opened_by = interface.ids.length, True, id(interface)
            self.__class__ = ServerSideSession  # type: ignore[assignment]
            del self.source, self.turn, self.loader
        if loaded.refused is not None:
            interface.tell_of_refused(app, request, loaded.refused)

    def give_up(self, response: Response) -> Response:
        """Be an empty session from here on, whose failure the response has told.

        Flask-Login, among others, looks at the session of each response. Raised there once more, the error would take
        the place of what an error handler has answered.
        """
        self.replace_data({})
        self.__class__ = ServerSideSession  # type: ignore[assignment]
        del self.source, self.turn, self.loader
        return response


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
METHODS = ("clear", "copy", "get", "items", "keys", "pop", "popitem", "regenerate", "setdefault", "update", "values")
ATTRIBUTES = ("new", "sid")

for name in (*(f"__{name}__" for name in SPECIAL_METHODS + MORE_SPECIAL_METHODS), *METHODS):
    setattr(UnloadedSession, name, loaded_first(name))
for name in ATTRIBUTES:
    setattr(UnloadedSession, name, known_when_loaded(name))
