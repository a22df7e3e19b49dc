"""C35-C43: from values to what JSON can say."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import pathlib
import re
import types
import typing as t
import uuid
from datetime import timedelta
from datetime import timezone

import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TagDateTime
from flask.json.tag import TaggedJSONSerializer
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.local import LocalProxy

from .parity import Interface
from .parity import borrowed_tags
from .parity import dumps
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import sealed_json
from .parity import serializer_of
from .parity import snapshot
from .parity import store

UUID = uuid.UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")
MOMENT = datetime.datetime(2015, 10, 21, 7, 28, 0, 987_654)


class Point(t.NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(str, enum.Enum):
    ADA = "ada"


class Flag(enum.Flag):
    A = 1


def subclass(base: type, **members: t.Any) -> t.Any:
    return type(f"My{base.__name__.title()}", (base,), members)


class Items(dict[str, t.Any]):
    """A dict that says otherwise of what it holds."""

    def items(self) -> t.Any:
        return [("from items", (1,))]


class Keys(dict[str, t.Any]):
    def __iter__(self) -> t.Any:
        return iter([" t"])


class Length(dict[str, t.Any]):
    def __len__(self) -> int:
        return 1


class Iterated(list[t.Any]):
    def __iter__(self) -> t.Any:
        return iter(["iterated"])


class IteratedTuple(tuple[t.Any, ...]):
    def __iter__(self) -> t.Any:
        return iter(["iterated"])


class LyingClass:
    """Says by ``__class__`` that it is a list; isinstance believes it."""

    __class__ = list  # type: ignore[assignment]

    def __iter__(self) -> t.Any:
        return iter([1, (2,)])


@dataclasses.dataclass
class Inner:
    inner: t.Any


@dataclasses.dataclass
class HtmlData:
    n: int = 1

    def __html__(self) -> str:
        return "<data>"


CONTAINERS: dict[str, t.Any] = {
    "tuple": (1, (2,), ()),
    "namedtuple": Point(1, 2),
    "tuple subclass": subclass(tuple)((1, 2)),
    "tuple subclass with iter": IteratedTuple((1, 2)),
    "list": [1, [2], []],
    "list subclass": subclass(list)([1, (2,)]),
    "list subclass with iter": Iterated([1, 2]),
    "dict": {"b": 1, "a": {"c": {}}},
    "ordered dict": collections.OrderedDict(b=1, a=(2,)),
    "default dict": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("abba"),
    "multi dict": MultiDict([("a", "1"), ("a", "2")]),
    "dict subclass with items": Items(a=1),
    "dict subclass with iter": Keys({" t": 1}),
    "dict subclass with a key it has not": Keys({"a": 1}),
    "dict subclass with len": Length(a=1, b=2),
    "empty dict subclass with len": Length(),
    "dict view": {"a": 1}.keys(),
    "chain map": collections.ChainMap({"a": 1}),
    "mapping proxy": types.MappingProxyType({"a": 1}),
    "user dict": collections.UserDict(a=1),
    "user list": collections.UserList([1]),
    "deque": collections.deque([1]),
    "generator": (n for n in ()),  # type: ignore[var-annotated]
    "lying class": LyingClass(),
}

PROXIES: dict[str, t.Any] = {
    kind: LocalProxy(lambda target=target: target)
    for kind, target in {
        "dict": {"a": (1,)},
        "one-key dict": {" t": 1},
        "list": [1, (2,)],
        "tuple": (1, 2),
        "str": "text",
        "int": 7,
        "float": 1.5,
        "bool": True,
        "none": None,
        "bytes": b"a",
        "uuid": UUID,
        "datetime": MOMENT,
        "markup": Markup("<b>"),
    }.items()
}

SCALARS: dict[str, t.Any] = {
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "bytes subclass": subclass(bytes)(b"a"),
    "uuid": UUID,
    "uuid subclass": subclass(uuid.UUID)(int=7),
    "uuid subclass with hex": subclass(uuid.UUID, hex="x")(int=7),
    "markup": Markup("<b>é</b>"),
    "markup subclass": subclass(Markup)("<b>"),
    "str": "text",
    "str subclass": subclass(str)("text"),
    "str subclass with str": subclass(str, __str__=lambda self: "other")("text"),
    "int subclass": subclass(int)(7),
    "int subclass with repr": subclass(int, __repr__=lambda self: "eight", __str__=lambda self: "nine")(7),
    "float subclass": subclass(float)(1.5),
    "float subclass with repr": subclass(float, __repr__=lambda self: "two")(1.5),
    "bool": True,
    "none": None,
    "int enum": Level.LOW,
    "str enum": Name.ADA,
}


def check_dumps_and_loads(parity, value):
    """The same token or the same error, and the same reading of the token."""
    outcome = parity(lambda interface_class: dumps(interface_class, {"v": value}))
    parity(lambda interface_class: dumps(interface_class, value))
    if outcome.error is None:
        parity(lambda interface_class: loads(interface_class, outcome.value))
    return outcome


@pytest.mark.contract("C35")
@pytest.mark.parametrize("value", CONTAINERS.values(), ids=list(CONTAINERS))
def test_containers_go_by_isinstance(parity, value):
    check_dumps_and_loads(parity, value)


@pytest.mark.contract("C35", "C58")
@pytest.mark.parametrize("value", PROXIES.values(), ids=list(PROXIES))
def test_proxies_go_by_isinstance(parity, value):
    check_dumps_and_loads(parity, value)


@pytest.mark.contract("C35", "C48")
@pytest.mark.parametrize("value", SCALARS.values(), ids=list(SCALARS))
def test_scalars_go_by_isinstance(parity, value):
    assert check_dumps_and_loads(parity, value).error is None


@pytest.mark.contract("C35")
@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        (Point(1, 2), (1, 2)),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Items(a=1), {"from items": (1,)}),
        (PROXIES["dict"], {"a": (1,)}),
    ],
)
def test_what_comes_back_is_of_the_plain_type(parity, value, loaded):
    token = parity(lambda interface_class: dumps(interface_class, {"v": value})).value
    assert parity(lambda interface_class: loads(interface_class, token)).value == {"v": loaded}


class Html:
    def __init__(self, html: object = "<b>") -> None:
        self.html = html

    def __html__(self) -> object:
        return self.html


class GetattrHtml:
    def __getattr__(self, name: str) -> t.Any:
        return lambda: f"from {name}"


class InstanceHtml:
    def __init__(self) -> None:
        self.__html__ = lambda: "<own>"


class NoHtml:
    __html__ = None


class TextHtml:
    __html__ = "not callable"


class StaticHtml:
    @staticmethod
    def __html__() -> str:
        return "<static>"


class CallableHtml:
    class __html__:
        def __str__(self) -> str:
            return "<called>"


HTML_VALUES: dict[str, t.Any] = {
    "method": Html(),
    "that gives bytes": Html(b"<b>"),
    "that gives none": Html(None),
    "that gives an int": Html(7),
    "that gives markup": Html(Markup("<b>")),
    "that gives a surrogate": Html("\ud800"),
    "by getattr": GetattrHtml(),
    "of the instance": InstanceHtml(),
    "none": NoHtml(),
    "text": TextHtml(),
    "static": StaticHtml(),
    "a class": CallableHtml(),
    "the class itself": Html,
    "str subclass": subclass(str, __html__=lambda self: "<str>")("text"),
    "str subclass with none": subclass(str, __html__=None)("text"),
    "int subclass": subclass(int, __html__=lambda self: "<int>")(7),
    "dict subclass": subclass(dict, __html__=lambda self: "<dict>")(a=1),
    "list subclass": subclass(list, __html__=lambda self: "<list>")([1]),
    "uuid subclass": subclass(uuid.UUID, __html__=lambda self: "<uuid>")(int=7),
    "datetime subclass": subclass(datetime.datetime, __html__=lambda self: "<date>")(2015, 10, 21),
    "bytes subclass": subclass(bytes, __html__=lambda self: "<bytes>")(b"a"),
    "markup subclass": subclass(Markup, __html__=lambda self: "<mine>")("<b>"),
    "dataclass": HtmlData(),
    "proxy": LocalProxy(Html),
}


@pytest.mark.contract("C36")
@pytest.mark.parametrize("value", HTML_VALUES.values(), ids=list(HTML_VALUES))
def test_anything_with_html_is_markup(parity, value):
    check_dumps_and_loads(parity, value)


class Watched:
    """A value that counts what is done to it."""

    def __init__(self, log: list[str], act: t.Callable[[], object] = lambda: None) -> None:
        self.log = log
        self.act = act

    def __html__(self) -> str:
        self.log.append("html")
        return str(self.act())


class WatchedItems(dict[str, t.Any]):
    log: list[str]

    def items(self) -> t.Any:
        self.log.append("items")
        return super().items()


class WatchedList(list[t.Any]):
    log: list[str]

    def __iter__(self) -> t.Any:
        self.log.append("iter")
        return super().__iter__()


@pytest.mark.contract("C36a")
def test_what_users_define_runs_once(parity):
    def scenario(interface_class):
        log: list[str] = []
        items, iterated = WatchedItems(a=1, b=2), WatchedList([1, 2])
        items.log = iterated.log = log
        token = dumps(interface_class, {"a": "plain", "b": Watched(log), "c": items, "d": iterated, "e": [1]})
        return token, log

    _, log = parity(scenario).value
    assert log == ["html", "items", "iter"]


@pytest.mark.contract("C36a")
def test_html_may_enter_the_codec_again(parity):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        text = "long enough to be deflated, long enough to be deflated"
        html = Watched([], lambda: serializer.loads(serializer.dumps({"inner": (text, b"bytes")})))
        return serializer.dumps({"before": text, "html": html, "after": text})

    parity(scenario)


@pytest.mark.contract("C36a")
@pytest.mark.parametrize(
    "change",
    [
        lambda holder: holder.pop("later", None),
        lambda holder: holder.update(later="changed"),
        lambda holder: holder.clear(),
        lambda holder: holder.update({str(n): n for n in range(99)}),
        lambda holder: holder["list"].append("more"),
        lambda holder: holder["list"].clear(),
    ],
)
def test_html_may_change_what_holds_it(parity, change):
    def scenario(interface_class):
        holder: dict[str, t.Any] = {}
        html = Watched([], lambda: change(holder))
        holder.update(first=1, list=[1, 2], html=html, later="there")
        holder["list"].append(html)
        holder["list"].append(3)
        return dumps(interface_class, holder)

    parity(scenario)


def failing(error: BaseException) -> property:
    def fail(self: object) -> t.NoReturn:
        raise error

    return property(fail)


@pytest.mark.contract("C36a")
@pytest.mark.parametrize("error", [AttributeError("no"), KeyError("no"), ValueError("no"), RecursionError()], ids=repr)
@pytest.mark.parametrize("base", [object, str, int])
def test_errors_of_a_property_pass_but_for_attribute_errors(parity, error, base):
    value = subclass(base, __html__=failing(error))()
    outcome = parity(lambda interface_class: dumps(interface_class, {"v": value}))
    is_hidden = type(error) is AttributeError and base is not object
    assert (type(outcome.error) is type(error)) or is_hidden or isinstance(outcome.error, TypeError)


def raising(error: Exception) -> t.Callable[..., t.NoReturn]:
    def fail(*args: object) -> t.NoReturn:
        raise error

    return fail


@pytest.mark.contract("C36a")
@pytest.mark.parametrize(
    "unsupported", [{1, 2}, {2: 1, "a": 1}, float("nan"), "\ud800", 10**5000], ids=lambda value: type(value).__name__
)
def test_all_tagging_precedes_all_encoding(parity, unsupported):
    html = Watched([], raising(LookupError("from a tag")))
    error = parity(lambda interface_class: dumps(interface_class, {"a": unsupported, "b": html})).error
    assert type(error) is LookupError


@pytest.mark.contract("C36a")
@pytest.mark.parametrize("name", ["items", "__iter__", "__len__", "__html__"])
def test_errors_of_what_users_define_pass(parity, name):
    value = subclass(dict, **{name: raising(LookupError(name))})(a=1)
    parity(lambda interface_class: dumps(interface_class, {"v": value}))


UNSUPPORTED: dict[str, t.Any] = {
    "set": {1},
    "frozenset": frozenset({1}),
    "bytearray": bytearray(b"a"),
    "memoryview": memoryview(b"a"),
    "timedelta": timedelta(1),
    "time": datetime.time(1),
    "timezone": timezone.utc,
    "enum": Colour.RED,
    "flag": Flag.A,
    "object": type("Thing", (), {})(),
    "class": int,
    "function": len,
    "complex": 1j,
    "fraction": fractions.Fraction(1, 2),
    "range": range(3),
    "path": pathlib.PurePosixPath("/"),
    "pattern": re.compile("a"),
    "ellipsis": ...,
    "array": memoryview(b"ab").cast("H"),
}


@pytest.mark.contract("C37")
@pytest.mark.parametrize("value", UNSUPPORTED.values(), ids=list(UNSUPPORTED))
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: {"a": 1, "b": (value,)}])
def test_unsupported_types(parity, value, wrap):
    error = parity(lambda interface_class: dumps(interface_class, {"v": wrap(value)})).error
    assert type(error) is TypeError


@pytest.mark.contract("C37", "C60")
@pytest.mark.parametrize("value", UNSUPPORTED.values(), ids=list(UNSUPPORTED))
def test_unsupported_types_outside_an_app(parity, value):
    parity(lambda interface_class: serializer_of(make_app(interface_class())).dumps({"v": value}))


DEFAULTED: dict[str, t.Any] = {
    "date": datetime.date(2015, 10, 21),
    "date subclass": subclass(datetime.date)(2015, 10, 21),
    "decimal": decimal.Decimal("1.50"),
    "decimal nan": decimal.Decimal("NaN"),
    "decimal subclass": subclass(decimal.Decimal)("1.50"),
    "dataclass": Inner(1),
    "dataclass with a datetime": Inner(MOMENT),
    "dataclass with a tuple": Inner((1, 2)),
    "dataclass with bytes": Inner(b"a"),
    "dataclass with a uuid": Inner(UUID),
    "dataclass with markup": Inner(Markup("<b>")),
    "dataclass with a tag": Inner({" t": [1]}),
    "dataclass with a dataclass": Inner(Inner(decimal.Decimal(1))),
    "dataclass with a set": Inner({1}),
    "dataclass itself": Inner,
    "html after all": subclass(dict, __html__=lambda self: "<b>")(),
}


@pytest.mark.contract("C38")
@pytest.mark.parametrize("value", DEFAULTED.values(), ids=list(DEFAULTED))
@pytest.mark.parametrize("in_app", [True, False])
def test_what_goes_to_the_default_of_the_provider(parity, value, in_app):
    if in_app:
        check_dumps_and_loads(parity, value)
    else:
        parity(lambda interface_class: serializer_of(make_app(interface_class())).dumps({"v": value}))


@pytest.mark.contract("C38")
@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        (datetime.date(2015, 10, 21), "Wed, 21 Oct 2015 00:00:00 GMT"),
        (decimal.Decimal("1.50"), "1.50"),
        (Inner((1, 2)), {"inner": [1, 2]}),
        (Inner(MOMENT), {"inner": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    ],
)
def test_what_the_default_makes_of_it(interface_class, clock, value, loaded):
    assert loads(interface_class, dumps(interface_class, {"v": value})) == {"v": loaded}


TAG_KEYS = [" di", " t", " b", " m", " u", " d"]


@pytest.mark.contract("C39")
@pytest.mark.parametrize("key", [*TAG_KEYS, " x", " di__", " t__", "t", " ", "", " dd", "__", " T"])
@pytest.mark.parametrize("value", [1, {}, {" t": 1}, {" di": {" t": 1}}, (1,), [{" u": 1}], MOMENT], ids=repr)
@pytest.mark.parametrize("at_top", [True, False])
def test_dicts_that_look_like_tags(parity, key, value, at_top):
    original = {key: value} if at_top else {"v": {key: value}, "w": {key: value, "two": 2}}
    token = parity(lambda interface_class: dumps(interface_class, original)).value
    loaded = parity(lambda interface_class: loads(interface_class, token)).value
    assert loaded == original or value is MOMENT


@pytest.mark.contract("C39", "C46")
@pytest.mark.parametrize(
    "value",
    [
        {1: {" t": 1}},
        {None: 1},
        {(1, 2): 1},
        {b" t": 1},
        {Markup(" t"): 1},
        {subclass(str)(" t"): 1},
        {subclass(str)("a"): (1,)},
        {Name.ADA: 1},
        {UUID: 1},
        {subclass(str, __hash__=lambda self: 7, __eq__=lambda self, other: True)("a"): 1},
        {subclass(str, __format__=lambda self, spec: "formatted")(" t"): 1},
    ],
    ids=ascii,
)
def test_keys_are_never_tagged(parity, value):
    check_dumps_and_loads(parity, value)


class Zone(datetime.tzinfo):
    def __init__(self, offset: timedelta | None) -> None:
        self.offset = offset

    def utcoffset(self, moment: datetime.datetime | None) -> timedelta | None:
        return self.offset

    def dst(self, moment: datetime.datetime | None) -> timedelta | None:
        return None

    def __repr__(self) -> str:
        return f"Zone({self.offset})"


ZONES = [
    None,
    timezone.utc,
    timezone(timedelta(0)),
    timezone(timedelta(hours=2)),
    timezone(timedelta(hours=-23, minutes=-59)),
    timezone(timedelta(microseconds=1)),
    timezone(timedelta(hours=1, microseconds=500_000)),
    Zone(timedelta(hours=5, minutes=30)),  # type: ignore[abstract]
    Zone(None),  # type: ignore[abstract]
]
MOMENTS = [
    MOMENT,
    datetime.datetime(1970, 1, 1),
    datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999),
    datetime.datetime(1582, 10, 10),
    datetime.datetime(999, 12, 31, 23),
    datetime.datetime(1, 1, 1),
    datetime.datetime(1, 1, 2, 1),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
    datetime.datetime(2024, 10, 27, 1, 30, fold=1),
]


@pytest.mark.contract("C40")
@pytest.mark.parametrize(("moment", "zone"), list(itertools.product(MOMENTS, ZONES)), ids=repr)
def test_datetimes_of_all_zones(parity, moment, zone):
    check_dumps_and_loads(parity, moment.replace(tzinfo=zone))


@pytest.mark.contract("C40")
def test_extreme_datetimes_overflow(parity):
    for moment in (
        datetime.datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime.datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
    ):
        error = parity(lambda interface_class, moment=moment: dumps(interface_class, {"v": moment})).error
        assert type(error) is OverflowError


@pytest.mark.contract("C40")
@pytest.mark.parametrize(
    "value",
    [
        subclass(datetime.datetime)(2015, 10, 21),
        subclass(datetime.datetime, utctimetuple=lambda self: (2000,) * 9)(2015, 10, 21),
        subclass(datetime.datetime, astimezone=lambda self, zone: self)(2015, 10, 21),
    ],
)
def test_datetimes_of_subclasses(parity, value):
    check_dumps_and_loads(parity, value)


def circle_of_dicts() -> t.Any:
    value: dict[str, t.Any] = {}
    value["self"] = value
    return value


def circle_of_lists() -> t.Any:
    value: list[t.Any] = []
    value.append([value])
    return value


def circle_through_a_tuple() -> t.Any:
    value: list[t.Any] = []
    value.append(({" t": value},))
    return value


@pytest.mark.contract("C41")
@pytest.mark.parametrize("build", [circle_of_dicts, circle_of_lists, circle_through_a_tuple])
def test_circles_are_recursion_errors(parity, build):
    error = parity(lambda interface_class: dumps(interface_class, {"v": build()})).error
    assert type(error) is RecursionError


def nest(depth: int, wrap: t.Callable[[t.Any], t.Any]) -> t.Any:
    value: t.Any = "innermost"
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPPERS = [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {" t": v}, lambda v: {"k": v, "l": 1}]


@pytest.mark.contract("C41")
@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("depth", [1, 50, 64, 97, 98, 99, 100, 101, 102, 128])
def test_nested_values(parity, wrap, depth):
    check_dumps_and_loads(parity, nest(depth, wrap))


@pytest.mark.contract("C41")
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_values_nested_without_end(parity, wrap):
    error = parity(lambda interface_class: dumps(interface_class, nest(50_000, wrap))).error
    assert type(error) is RecursionError


@pytest.mark.contract("C41")
def test_a_value_may_occur_twice(parity):
    shared = {"list": [1, (2,)]}
    check_dumps_and_loads(parity, [shared, shared, {"again": shared}])


class TagSet(JSONTag):
    key = " s"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, set)

    def to_json(self, value: t.Any) -> t.Any:
        return self.serializer.tag(sorted(value))

    def to_python(self, value: t.Any) -> t.Any:
        return set(value)


class TagOrderedDict(JSONTag):
    key = " od"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, collections.OrderedDict)

    def to_json(self, value: t.Any) -> t.Any:
        return [[key, self.serializer.tag(item)] for key, item in value.items()]

    def to_python(self, value: t.Any) -> t.Any:
        return collections.OrderedDict(value)


class TagDateTimeAsText(TagDateTime):
    """Takes the place of Flask's own tag."""

    def to_json(self, value: t.Any) -> t.Any:
        return value.isoformat()

    def to_python(self, value: t.Any) -> t.Any:
        return f"read anew: {value}"


class TagStr(JSONTag):
    """Takes what no tag of Flask's would."""

    key = " str"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, str) and value.startswith("secret")

    def to_json(self, value: t.Any) -> t.Any:
        return value[::-1]

    def to_python(self, value: t.Any) -> t.Any:
        return value[::-1]


class TagNothing(JSONTag):
    """Has no key, so it only passes values on."""

    def check(self, value: t.Any) -> bool:
        return bool(value == "nothing")

    def tag(self, value: t.Any) -> t.Any:
        return None


TAGGED_VALUES = [
    {3, 1, 2},
    collections.OrderedDict(b=(1,), a={1}),
    {" s": 1},
    {" od": [1]},
    MOMENT,
    "secret text",
    "nothing",
    {" str": "x"},
    {"plain": [1, (2,), b"a"]},
]

REGISTRATIONS: list[tuple[type[JSONTag], dict[str, t.Any]]] = [
    (TagSet, {}),
    (TagSet, {"index": 0}),
    (TagOrderedDict, {"index": 0}),
    (TagOrderedDict, {"index": 1}),
    (TagOrderedDict, {}),
    (TagDateTimeAsText, {"force": True}),
    (TagDateTimeAsText, {"force": True, "index": 0}),
    (TagDateTimeAsText, {}),
    (TagStr, {}),
    (TagNothing, {"index": 0}),
]


@pytest.mark.contract("C42", "C43")
@pytest.mark.parametrize(("tag_class", "options"), REGISTRATIONS)
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_tags_registered_on_the_shared_serializer(parity, tag_class, options, is_late):
    def scenario(interface_class):
        app = make_app(interface_class())
        with borrowed_tags() as tags, app.app_context():
            serializer = serializer_of(app)
            if is_late:
                serializer.dumps({})
            registered = outcome_of(tags.register, tag_class, **options)
            serializer = serializer if is_late else serializer_of(app)
            tokens = [outcome_of(serializer.dumps, {"v": value}) for value in TAGGED_VALUES]
            loaded = [outcome_of(serializer.loads, token.value) for token in tokens if token.error is None]
        forgotten = [outcome_of(loads, interface_class, token.value) for token in tokens if token.error is None]
        return registered, tokens, loaded, forgotten

    registered, *_ = parity(scenario).value
    assert (type(registered.error) is KeyError) is (tag_class is TagDateTimeAsText and not options)


@pytest.mark.contract("C42")
def test_a_forced_tag_without_an_index_only_decodes(parity):
    def scenario(interface_class):
        with borrowed_tags() as tags:
            tags.register(TagDateTimeAsText, force=True)
            token = dumps(interface_class, {"v": MOMENT})
            return token, loads(interface_class, token)

    _, loaded = parity(scenario).value
    assert loaded == {"v": "read anew: Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.mark.contract("C42")
def test_there_is_one_shared_serializer(interface_class):
    assert interface_class.serializer is interface_class().serializer is Interface.serializer


@pytest.mark.contract("C42")
@pytest.mark.parametrize(
    "change",
    [
        lambda tags: tags.order.clear(),
        lambda tags: tags.order.reverse(),
        lambda tags: tags.tags.clear(),
        lambda tags: tags.tags.pop(" t"),
        lambda tags: tags.tags.update({" x": tags.tags[" t"]}),
        lambda tags: tags.tags.update({" t": tags.tags[" b"]}),
        lambda tags: setattr(tags, "order", tuple(tags.order)),
        lambda tags: setattr(tags, "tags", collections.OrderedDict(tags.tags)),
    ],
)
def test_tables_of_tags_changed_by_hand(parity, change):
    def scenario(interface_class):
        with borrowed_tags() as tags:
            change(tags)
            dumped = [outcome_of(dumps, interface_class, {"v": value}) for value in ((1,), b"a", {" t": 1}, [1], UUID)]
            texts = ['{" t":[1]}', '{" b":"YQ=="}', '{" x":[1]}']
            return dumped, [outcome_of(loads, interface_class, sealed_json(text)) for text in texts]

    parity(scenario)


@pytest.mark.contract("C42a")
def test_a_serializer_in_hand_keeps_its_keys_but_not_the_rest(parity, clock):
    def scenario(interface_class):
        clock.now = 1_700_000_000
        app = make_app(interface_class())
        with borrowed_tags() as tags, app.app_context():
            serializer = serializer_of(app)
            dumped = [serializer.dumps({"b": (1,), "a": 1})]
            app.secret_key = "another key"
            t.cast(t.Any, app.session_interface).salt = "another salt"
            dumped.append(serializer.dumps({"b": (1,), "a": 1}))
            t.cast(t.Any, app.json).sort_keys = False
            dumped.append(serializer.dumps({"b": (1,), "a": 1}))
            tags.register(TagSet)
            dumped.append(serializer.dumps({"b": {1}}))
            clock.now += 1
            dumped.append(serializer.dumps({"b": (1,), "a": 1}))
            app.json = DefaultJSONProvider(app)
            dumped.append(serializer.dumps({"b": (1,), "a": 1}))
            return dumped, [serializer.loads(token, return_timestamp=True) for token in dumped]

    dumped, _ = parity(scenario).value
    assert dumped[0] == dumped[1]
    assert len(set(dumped)) == 5


class TagEverything(JSONTag):
    """Overrides each step, and enters the serializer again at each."""

    key = " all"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, complex)

    def tag(self, value: t.Any) -> t.Any:
        return {self.key: self.to_json(value), "more": 1} if value.real else {self.key: self.to_json(value)}

    def to_json(self, value: t.Any) -> t.Any:
        return self.serializer.dumps((value.real, value.imag))

    def to_python(self, value: t.Any) -> t.Any:
        return complex(*self.serializer.loads(value))


class CustomSerializer(TaggedJSONSerializer):
    default_tags: t.ClassVar[t.Any] = [TagEverything, *TaggedJSONSerializer.default_tags]


class OverridingSerializer(TaggedJSONSerializer):
    def tag(self, value: t.Any) -> t.Any:
        return "tagged!" if value == 7 else super().tag(value)

    def untag(self, value: t.Any) -> t.Any:
        return {"untagged": super().untag(value)}


def with_own_tag() -> TaggedJSONSerializer:
    serializer = TaggedJSONSerializer()
    serializer.register(TagEverything)
    return serializer


@pytest.mark.contract("C43", "C14")
@pytest.mark.parametrize("build", [with_own_tag, CustomSerializer, OverridingSerializer, TaggedJSONSerializer])
def test_serializers_with_tags_of_their_own(parity, build):
    values: list[dict[str, t.Any]] = [{"v": 7}, {"v": 2j}, {"v": 1 + 2j}, {"v": [{" all": 1}]}, {"v": (1, b"a", UUID)}]

    def scenario(interface_class):
        interface = interface_class()
        interface.serializer = build()
        app = make_app(interface)
        written = [exchange(app, store(**value)) for value in values]
        return written, [exchange(app, snapshot, reply.token) for reply in written if reply.cookies]

    parity(scenario)


@pytest.mark.contract("C43")
@pytest.mark.parametrize("step", ["check", "tag", "to_json", "to_python"])
def test_errors_of_a_tag_pass(parity, step):
    tag_class = type("Failing", (TagSet,), {step: raising(LookupError(step))})

    def scenario(interface_class):
        with borrowed_tags() as tags:
            tags.register(tag_class)
            dumped = outcome_of(dumps, interface_class, {"v": {1}, "w": "plain"})
            return dumped, outcome_of(loads, interface_class, sealed_json('{"v":{" s":[1]}}'))

    parity(scenario)
