"""Stand-ins: what users put in the place of parts of the libraries."""

from __future__ import annotations

import datetime
import typing as t

import itsdangerous
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSession
from werkzeug.datastructures import EnvironHeaders
from werkzeug.datastructures import ImmutableMultiDict

from .values import Spot
from .visits import OTHER_KEY
from .visits import OTHER_NAME


def other_config(spot: Spot) -> t.Any:
    config = type(spot.app.config)(spot.app.config.root_path, spot.app.config)
    config["SECRET_KEY"] = OTHER_KEY
    return config


def unsorted(app: t.Any, provider: t.Any) -> t.Any:
    other = type(provider)(app)
    other.sort_keys = False
    return other


def other_provider(spot: Spot) -> t.Any:
    return unsorted(spot.app, spot.app.json)


def other_interface(spot: Spot) -> t.Any:
    interface = type(spot.app.session_interface)()
    interface.salt = "another salt"
    return interface


def with_key(app: t.Any, config: t.Any) -> t.Any:
    return type(config)(config.root_path, {**config, "SECRET_KEY": OTHER_KEY})


class Shouting(ImmutableMultiDict[str, str]):
    """Cookies of a class that loses all of them."""

    def get(self, key: t.Any, default: t.Any = None, type: t.Any = None) -> t.Any:  # type: ignore[override]
        return default


class Renaming(ImmutableMultiDict[str, str]):
    """Cookies of a class that gives the other session."""

    def get(self, key: t.Any, default: t.Any = None, type: t.Any = None) -> t.Any:  # type: ignore[override]
        return super().get(OTHER_NAME if key == "session" else key, default)


class SpacedJSON(TaggedJSONSerializer):
    """A serializer of another class."""

    __slots__ = ()

    def dumps(self, value: t.Any) -> str:
        return " " + super().dumps(value)


class Marked(SecureCookieSession):
    """A session class that leaves a mark."""

    def __init__(self, initial: t.Any = None) -> None:
        super().__init__(initial)
        self["mark"] = 1


class Silent(SecureCookieSession):
    """A session class that takes itself for unchanged."""

    @property
    def modified(self) -> bool:
        return False

    @modified.setter
    def modified(self, value: bool) -> None:
        pass


class TagDecimal(JSONTag):
    """A tag that Flask does not have."""

    __slots__ = ()
    key = " dc"

    def check(self, value: t.Any) -> bool:
        return type(value).__name__ == "Decimal"

    def to_json(self, value: t.Any) -> t.Any:
        return str(value)

    def to_python(self, value: t.Any) -> t.Any:
        return "decimal " + value


class TagList(JSONTag):
    """A tag in the place of Flask's tuples."""

    __slots__ = ()
    key = " t"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, tuple)

    def to_json(self, value: t.Any) -> t.Any:
        return [self.serializer.tag(item) for item in reversed(value)]

    def to_python(self, value: t.Any) -> t.Any:
        return list(value)


class LaxSigner(itsdangerous.TimestampSigner):
    """A signer that signs in a way of its own."""

    def get_signature(self, value: str | bytes) -> bytes:
        return b"lax"


class OtherSeparator(itsdangerous.TimestampSigner):
    """A signer that separates by something else."""

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **{**kwargs, "sep": ":"})


class OtherSerializer(itsdangerous.URLSafeTimedSerializer):
    """A serializer whose tokens begin with a mark of their own."""

    def dumps(self, obj: t.Any, salt: t.Any = None) -> t.Any:
        return "x" + str(super().dumps(obj, salt))


class Later(datetime.datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: t.Any = None) -> Later:
        return cls(2030, 1, 2, tzinfo=tz)


class MuchLater(datetime.datetime):
    """Another clock that stands."""

    @classmethod
    def now(cls, tz: t.Any = None) -> MuchLater:
        return cls(2040, 1, 2, tzinfo=tz)


class DeafHeaders(EnvironHeaders):
    """Headers of a request that know of no cookie."""

    def getlist(self, key: str, *args: t.Any, **kwargs: t.Any) -> list[t.Any]:
        return [] if key == "Cookie" else super().getlist(key, *args, **kwargs)


def environ_without_cookie(spot: Spot) -> t.Any:
    return {name: value for name, value in spot.instance.environ.items() if name != "HTTP_COOKIE"}


def salted(serializer: t.Any) -> t.Any:
    if serializer is not None:
        serializer.salt = b"another salt"
    return serializer


def marked(session: t.Any) -> t.Any:
    if session is not None:
        session["mark"] = 1
    return session


class OtherVary:
    """A ``vary`` that adds another name, too."""

    def __init__(self, vary: t.Any) -> None:
        self._vary = vary

    def add(self, name: str) -> None:
        self._vary.add(name)
        self._vary.add("Origin")


class OtherHeaders:
    """Headers that leave a mark when one is added."""

    def __init__(self, headers: t.Any) -> None:
        self._headers = headers

    def add(self, name: str, value: str) -> None:
        self._headers.add(name, value)
        self._headers.add("X-Mark", "1")

    def __setitem__(self, name: str, value: str) -> None:
        self._headers[name] = value
        self._headers["X-Mark"] = "2"

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._headers, name)

    def __getitem__(self, name: str) -> t.Any:
        return self._headers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._headers


def registered(*tag_classes: type[JSONTag]) -> TaggedJSONSerializer:
    serializer = TaggedJSONSerializer()
    for tag_class in tag_classes:
        serializer.register(tag_class, force=True)
    return serializer


def setting_up(spot: Spot, name: str, value: t.Any) -> t.Any:
    """An ``__init__`` that sets an attribute."""

    def init(self: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        spot.inherited(self)(*args, **kwargs)
        setattr(self, name, value)

    return init


def marking(spot: Spot) -> t.Any:
    """An ``__init__`` that leaves a mark in a session."""

    def init(self: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        spot.inherited(self)(*args, **kwargs)
        dict.__setitem__(self, "mark", 1)

    return init


def made_with_a_mark(spot: Spot) -> t.Any:
    """A ``__new__`` of sessions that leaves a mark, as long as nobody initialises it away."""

    def new(cls: type, *args: t.Any, **kwargs: t.Any) -> t.Any:
        session: t.Any = dict.__new__(cls)
        dict.__setitem__(session, "mark", 1)
        return session

    return staticmethod(new)


def marking_update(update: t.Any) -> t.Any:
    """What a session is to call when it changes, and which leaves a mark."""

    def marked_update(session: t.Any) -> None:
        update(session)
        dict.__setitem__(session, "mark", 1)

    return marked_update
