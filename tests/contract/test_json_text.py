"""C44-C48: how the JSON is written."""

from __future__ import annotations

import collections
import decimal
import json
import math
import typing as t
import uuid
from datetime import datetime
from datetime import timedelta
from datetime import timezone

import flask
import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.provider import JSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer
from markupsafe import Markup

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

UNSORTED = {"b": 1, "a": {"d": (1,), "c": 2}}


class Verbatim:
    """Leaves the JSON as it is."""

    dumps = loads = staticmethod(str)


def text_of(token: str) -> str:
    """The JSON inside a token, by the means of itsdangerous alone."""
    payload = token.rsplit(".", 2)[0].encode()
    return t.cast(str, itsdangerous.URLSafeSerializer("unused", serializer=Verbatim).load_payload(payload))


@pytest.mark.contract("C44")
def test_keys_are_sorted_inside_an_app_context_only(parity):
    inside = parity(lambda interface_class: dumps(interface_class, UNSORTED)).value
    outside = parity(lambda interface_class: serializer_of(make_app(interface_class())).dumps(UNSORTED)).value
    assert text_of(inside) == '{"a":{"c":2,"d":{" t":[1]}},"b":1}'
    assert text_of(outside) == '{"b":1,"a":{"d":{" t":[1]},"c":2}}'


class SuffixingProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **kwargs) + " " * 3

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return {"read by": "the other app", **super().loads(s, **kwargs)}


@pytest.mark.contract("C44")
def test_the_provider_is_that_of_the_current_app(parity):
    def scenario(interface_class):
        app, other = make_app(interface_class()), make_app(interface_class())
        other.json = SuffixingProvider(other)
        serializer = serializer_of(app)
        results = []
        for context in (app, other, app):
            with context.app_context():
                results.append((serializer.dumps(UNSORTED), serializer.loads(sealed_json("{}"))))
        with other.app_context(), app.app_context():
            results.append((serializer.dumps(UNSORTED), serializer.loads(sealed_json("{}"))))
        return results

    own, other, *rest = parity(scenario).value
    assert own[0] != other[0]
    assert other[1] == {"read by": "the other app"}
    assert rest == [own, own]


class FalsyFlask(flask.Flask):
    def __bool__(self) -> bool:
        return False


@pytest.mark.contract("C44")
def test_a_falsy_app_counts_as_none(parity):
    def scenario(interface_class):
        app = make_app(interface_class(), FalsyFlask)
        with app.app_context():
            return serializer_of(app).dumps(UNSORTED)

    assert text_of(parity(scenario).value).startswith('{"b"')


class ForeignProvider(JSONProvider):
    """As those that put another JSON library in: it takes one option and sorts nothing."""

    def __init__(self, app: flask.Flask) -> None:
        super().__init__(app)
        self.calls: list[tuple[str, object]] = []

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        self.calls.append(("dumps", kwargs))
        return repr(obj).replace("'", '"').replace("(", "[").replace(")", "]")

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        self.calls.append((f"loads {type(s).__name__}", kwargs))
        return eval(s, {"__builtins__": {}})


class Overriding(DefaultJSONProvider):
    """As the tutorials have it: only ``default`` is overridden."""

    @staticmethod
    def default(o: t.Any) -> t.Any:
        return "defaulted" if isinstance(o, set) else DefaultJSONProvider.default(o)


class Extending(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        kwargs.setdefault("indent", 1)
        return super().dumps(obj, **kwargs)


class Parsing(DefaultJSONProvider):
    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, parse_float=decimal.Decimal, **kwargs)


class Unrelated:
    """Not even a provider by descent."""

    def __init__(self, app: flask.Flask) -> None: ...

    def dumps(self, obj: t.Any, separators: t.Any) -> str:
        return '{"unrelated": true}'

    def loads(self, s: str) -> t.Any:
        return {"unrelated": s}


class Hooked(DefaultJSONProvider):
    """Its methods are those of the instance."""

    def __init__(self, app: flask.Flask) -> None:
        super().__init__(app)
        plain_dumps, plain_loads = super().dumps, super().loads
        self.dumps = lambda obj, **kwargs: plain_dumps({"hooked": obj}, **kwargs)  # type: ignore[method-assign]
        self.loads = lambda s, **kwargs: {"hooked": plain_loads(s, **kwargs)}  # type: ignore[method-assign]


def with_options(**options: t.Any) -> type[DefaultJSONProvider]:
    return type("Optioned", (DefaultJSONProvider,), options)


class PropertyProvider(DefaultJSONProvider):
    @property
    def sort_keys(self) -> bool:  # type: ignore[override]
        return False


PROVIDERS: dict[str, t.Any] = {
    "foreign": ForeignProvider,
    "unrelated": Unrelated,
    "default": Overriding,
    "dumps": Extending,
    "loads": Parsing,
    "hooked": Hooked,
    "property": PropertyProvider,
    "unsorted": with_options(sort_keys=False),
    "sorted by text": with_options(sort_keys="yes"),
    "not ASCII": with_options(ensure_ascii=False),
    "not ASCII, unsorted": with_options(ensure_ascii=False, sort_keys=False),
    "default none": with_options(default=None),
    "default repr": with_options(default=staticmethod(repr)),
    "compact": with_options(compact=False, mimetype="text/json"),
}

VALUES = {"b": 1.5, "a": ["é", {"d": 1, "c": "€"}]}


@pytest.mark.contract("C45", "C14")
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
@pytest.mark.parametrize("extra", [{}, {"set": {1}}, {"t": (1, b"a")}], ids=["plain", "set", "tagged"])
def test_providers_of_all_sorts(parity, provider, extra):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = provider(app)
        with app.app_context():
            dumped = outcome_of(serializer_of(app).dumps, {**VALUES, **extra})
        written = exchange(app, store(**VALUES, **extra))
        read = [exchange(app, snapshot, token) for token in (sealed_json('{"a":1.5}'), dumped.value or "")]
        return dumped, written, read

    parity(scenario)


@pytest.mark.contract("C45")
def test_what_a_provider_is_called_with(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = ForeignProvider(app)
        exchange(app, store(n=1), sealed_json('{"a":1}'))
        return app.json.calls

    calls = parity(scenario).value
    assert ("loads str", {}) in calls
    assert all(kwargs == {"separators": (",", ":")} for name, kwargs in calls if name == "dumps")


@pytest.mark.contract("C45", "C9")
@pytest.mark.parametrize("place", ["instance", "class"])
def test_options_of_the_provider_are_read_at_each_call(parity, place):
    def scenario(interface_class):
        app = make_app(interface_class())
        tokens = []
        with app.app_context(), pytest.MonkeyPatch.context() as patch:
            target = app.json if place == "instance" else DefaultJSONProvider
            serializer = serializer_of(app)
            tokens.append(serializer.dumps(VALUES))
            patch.setattr(target, "sort_keys", False)
            tokens.append(serializer.dumps(VALUES))
            patch.setattr(target, "ensure_ascii", False)
            tokens.append(serializer.dumps(VALUES))
            patch.setattr(target, "default", staticmethod(repr) if place == "class" else repr)
            tokens.append(serializer.dumps({**VALUES, "set": {1}}))
        return tokens

    assert len(set(parity(scenario).value)) == 4


@pytest.mark.contract("C45")
@pytest.mark.parametrize("error", [TypeError("no"), KeyError("no")], ids=repr)
def test_errors_of_a_provider_pass(parity, error):
    def fail(self, *args, **kwargs):
        raise error

    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = type("Failing", (DefaultJSONProvider,), {"loads": fail})(app)
        opened = exchange(app, snapshot, sealed_json("{}"))
        app.json = type("Failing", (DefaultJSONProvider,), {"default": fail})(app)
        return opened, exchange(app, store(v={1}))

    parity(scenario)


KEYED = [
    {10: "a", 9: "b", -1: "c"},
    {"10": 1, "9": 2},
    {1: "a", "1": "b"},
    {1.5: 1, 1: 2, False: 3},
    {None: 1},
    {None: 1, "a": 2},
    {True: 1, False: 2},
    {math.nan: 1},
    {math.inf: 1, -math.inf: 2, 1e16: 3, -0.0: 4},
    {2**70: 1, 1: 2},
    {(1,): 1},
    {b"a": 1},
    {decimal.Decimal(1): 1},
    {"é": 1, "z": 2, "€": 3, "😀": 4, "\uffff": 5},
    {"\ud800": 1, "\U00010000": 2, "\uffff": 3},
    {"a": 1, "A": 2, "aa": 3, "": 4, "a\x00": 5, "\x00": 6},
    {f"key {n}": n for n in range(99, 0, -1)},
    {frozenset(): 1},
]


@pytest.mark.contract("C46")
@pytest.mark.parametrize("value", KEYED, ids=ascii)
@pytest.mark.parametrize("in_app", [True, False])
def test_keys_of_all_sorts(parity, value, in_app):
    def scenario(interface_class):
        if in_app:
            return dumps(interface_class, {"v": value})
        return serializer_of(make_app(interface_class())).dumps({"v": value})

    token = parity(scenario).value
    if token:
        parity(lambda interface_class: loads(interface_class, token))


@pytest.mark.contract("C46")
def test_keys_sort_before_they_become_text(interface_class, clock):
    assert text_of(dumps(interface_class, {10: 1, 9: 2})) == '{"9":2,"10":1}'
    with pytest.raises(TypeError, match="'<' not supported"):
        dumps(interface_class, {1: 1, "a": 2})


TEXTS = [
    "plain",
    "é€😀",
    "".join(map(chr, range(0x80))),
    "".join(map(chr, range(0x80, 0x180))),
    "\ud7ff\ue000\ufffe\uffff\U00010000\U0010ffff",
    "\u2028\u2029\ufeff\u200b\u0301",
    "</script>\"\\/'<>&",
    "\ud800",
    "\udfff\ud800",
    "a\ud83d\ude00",
    "\x00",
    "",
    "é" * 1000,
]


@pytest.mark.contract("C47")
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("place", [lambda text: {"v": text}, lambda text: {text: [text]}], ids=["value", "key"])
def test_texts_of_all_sorts(parity, text, ensure_ascii, place):
    def scenario(interface_class):
        app = make_app(interface_class())
        t.cast(t.Any, app.json).ensure_ascii = ensure_ascii
        with app.app_context():
            return serializer_of(app).dumps(place(text))

    token = parity(scenario).value
    if token:
        assert parity(lambda interface_class: loads(interface_class, token)).value is not None


@pytest.mark.contract("C47")
def test_escapes_are_as_few_as_json_asks_for(interface_class, clock):
    assert text_of(dumps(interface_class, {"v": "/<é\x7f😀\n"})) == r'{"v":"/<\u00e9\u007f\ud83d\ude00\n"}'


FLOATS = [0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e17, 1.5e16, 123456789012345680.0, 1e22, 1e23, 1e-4, 1e-5, 1.5e-7, 5e-324]
FLOATS += [1.7976931348623157e308, 2.2250738585072014e-308, 1 / 3, 2 / 3, 9007199254740993.0, -1e300, 0.3, 1e100]
FLOATS += [math.nan, math.inf, -math.inf, 2.0**53, 2.0**63, 2.0**64, 1e21, 4.35, 100.0, 1e2, 0.000123]
INTS = [0, -1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**64 - 1, 2**127, -(2**127), 2**128]
INTS += [10**50, -(10**400), 10**4299]


@pytest.mark.contract("C48")
@pytest.mark.parametrize("number", FLOATS, ids=repr)
def test_floats_are_written_as_repr_writes_them(parity, number):
    token = parity(lambda interface_class: dumps(interface_class, {"v": number})).value
    if math.isfinite(number):
        assert text_of(token) == f'{{"v":{number!r}}}'
    parity(lambda interface_class: loads(interface_class, token))


@pytest.mark.contract("C48")
@pytest.mark.parametrize("number", INTS, ids=lambda number: f"{number:.0e}" if abs(number) < 10**300 else "long")
def test_integers_are_unbounded(parity, number):
    token = parity(lambda interface_class: dumps(interface_class, {"v": number})).value
    assert parity(lambda interface_class: loads(interface_class, token)).value == {"v": number}


@pytest.mark.contract("C48")
def test_an_integer_beyond_the_digit_limit(parity):
    parity(lambda interface_class: dumps(interface_class, {"v": 10**5000}))


class LoudInt(int):
    def __repr__(self) -> str:
        return "loud"

    __str__ = __repr__


class LoudFloat(float):
    __repr__ = LoudInt.__repr__
    __str__ = LoudInt.__repr__


class LoudStr(str):
    def __str__(self) -> str:
        return "loud"


@pytest.mark.contract("C48")
@pytest.mark.parametrize(("value", "text"), [(LoudInt(7), "7"), (LoudFloat(1.5), "1.5"), (LoudStr("a"), '"a"')])
def test_subclasses_are_written_as_their_base(parity, value, text):
    assert text_of(parity(lambda interface_class: dumps(interface_class, {"v": value})).value) == f'{{"v":{text}}}'


@pytest.mark.contract("C44", "C45")
def test_another_serializer_altogether(parity):
    class Lines(TaggedJSONSerializer):
        def dumps(self, value):
            return flask.json.dumps(self.tag(value), indent=2)

    def scenario(interface_class):
        interface = interface_class()
        interface.serializer = Lines()
        return exchange(make_app(interface), store(**UNSORTED))

    assert "\n" in text_of(parity(scenario).value.token)
    assert Interface.serializer.dumps({}) == "{}"


@pytest.mark.contract("C48")
@pytest.mark.parametrize("value", [129 / 2**21, 2.0**-25, -(2.0**-25), 2.0**-17, 9.5367431640625e-05])
def test_of_two_shortest_spellings_the_even_one(parity, value):
    parity(lambda interface_class: dumps(interface_class, {"f": value}).rsplit(".", 2)[0])


class Recording(DefaultJSONProvider):
    """Keeps what it is handed, and writes and reads by itself."""

    read_as: t.Any = dict

    def __init__(self, app: flask.Flask) -> None:
        super().__init__(app)
        self.handed: list[object] = []

    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        self.handed.append((obj, kwargs))
        return json.dumps(obj, default=repr)

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        self.handed.append((s, kwargs))
        return json.loads(s, object_pairs_hook=self.read_as, **kwargs)


class Text(str):
    pass


def nested(depth: int) -> list[t.Any]:
    return [nested(depth - 1), (depth,)] if depth else []


HANDED: dict[str, t.Any] = {
    "plain": {"a": [1, 2.5, None, True, "é", {}, []], "b": {"c": {"d": 2**70}}, "e": float("inf")},
    "tagged": {
        "tuple": (1, (b"a", [()])),
        "markup": Markup("<b>"),
        "uuid": uuid.UUID(int=5),
        "dates": [datetime(2020, 2, 3, 4, 5, 6), datetime(2020, 2, 3, tzinfo=timezone(timedelta(hours=2)))],
    },
    "disguised": {"a": [{" t": [1]}, {" di": {"b": (1,)}}, {" b": b"c"}, {"d": {" m": 1}}, {" t": 1, "b": 2}]},
    "alone": {" t": (1,)},
    "single": {"a": {"b": {"c": 1}}},
    "subclasses": {
        "a": Text("b"),
        "c": collections.OrderedDict(d=(1,)),
        "e": [decimal.Decimal(1)],
        "f": {1: 2, "g": ()},
    },
    "deep": {"a": nested(30)},
}


@pytest.mark.contract("C45")
@pytest.mark.parametrize("values", HANDED.values(), ids=list(HANDED))
@pytest.mark.parametrize("read_as", [dict, collections.OrderedDict, tuple], ids=lambda kind: kind.__name__)
def test_what_a_provider_is_handed(parity, values, read_as):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = Recording(app)
        written = exchange(app, store(**values))
        app.json.read_as = read_as
        return written, exchange(app, snapshot, written.token), app.json.handed

    assert parity(scenario).error is None


@pytest.mark.contract("C45")
@pytest.mark.parametrize(
    "text",
    [
        '{" t":[1]}',
        '{"a":{" t":1}}',
        '{"a":{" b":"?"}}',
        '{"a":{" b":1}}',
        '{"a":{" di":{}}}',
        '{"a":{" di":{"b":1}}}',
        '{"a":{" di":{" t__":[{" t":[]}]}}}',
        '{"a":{" u":"b"}}',
        '{"a":{" d":"Mon, 03 Feb 2020 04:05:06 GMT"}}',
        '{"a":{" d":"today"}}',
        '{"a":{" x":[{" t":[1]}]}}',
        '{"a":1,"a":{" t":[2]}}',
        '{"a":NaN}',
        "[1]",
        "{",
        "\udc80",
    ],
)
def test_what_is_made_of_what_a_provider_reads(parity, text):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = Recording(app)
        with app.app_context():
            read = outcome_of(serializer_of(app).loads, sealed_json(text))
        return read, exchange(app, snapshot, sealed_json(text)), app.json.handed

    parity(scenario)


@pytest.mark.contract("C45")
def test_tags_beside_a_provider_of_another_kind(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.json = Recording(app)
        with borrowed_tags() as serializer:
            serializer.register(TagText, index=0)
            written = exchange(app, store(a=Text("b"), c="d"))
            return written, exchange(app, snapshot, written.token), app.json.handed

    assert parity(scenario).error is None


class TagText(JSONTag):
    key = " text"

    def check(self, value: t.Any) -> bool:
        return isinstance(value, Text)

    def to_json(self, value: t.Any) -> t.Any:
        return [*value]

    def to_python(self, value: t.Any) -> t.Any:
        return Text("".join(value))
