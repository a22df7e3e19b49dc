"""C30a-C34: from JSON to the values it stands for."""

from __future__ import annotations

import json
import typing as t
from json import JSONDecodeError

import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer

from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import sealed_json
from .parity import serializer_of
from .parity import snapshot

UUID_HEX = "000102030405060708090a0b0c0d0e0f"


class Timeout(BaseException):
    """As gevent's: an interruption that nobody is meant to catch."""


def time_out(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
    raise Timeout("too late")


class TimingOut(JSONTag):
    key = " out"
    to_python = time_out


@pytest.mark.contract("C30a")
@pytest.mark.parametrize("place", ["provider", "tag", "serializer"])
def test_an_interruption_passes_through(interface_class, clock, place):
    interface = interface_class()
    interface.serializer = TaggedJSONSerializer()
    interface.serializer.register(TimingOut)
    app = make_app(interface)
    if place == "provider":
        app.json = type("Slow", (DefaultJSONProvider,), {"loads": time_out})(app)
    elif place == "serializer":
        interface.serializer = type("Slow", (TaggedJSONSerializer,), {"loads": time_out})()
    with app.app_context(), pytest.raises(Timeout):
        serializer_of(app).loads(sealed_json('{"a":{" out":1}}'))


@pytest.mark.contract("C30a", "C36a")
@pytest.mark.parametrize(("base", "name"), [(str, "__html__"), (dict, "items"), (list, "__iter__")])
def test_an_interruption_on_the_way_out_passes_through_as_well(interface_class, clock, base, name):
    value = type("Slow", (base,), {name: time_out})()
    app = make_app(interface_class())
    with app.app_context(), pytest.raises(Timeout):
        serializer_of(app).dumps({"plain": [1, 2], "v": value})


@pytest.mark.contract("C30a")
@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        ('[{" u":"bad"}, oops', JSONDecodeError),
        ('[{" u":"bad"}] oops', JSONDecodeError),
        ('[{" u":7}', JSONDecodeError),
        ('{" u":{" b":"A"}}', ValueError),
        ('{" t":{" u":7}}', AttributeError),
        ('{" di":{"a":{" u":"bad"}}}', ValueError),
        ('{"a":{" b":"A"},"b":{" u":7}}', ValueError),
        ('{"a":{" u":7},"b":{" b":"A"}}', AttributeError),
        ('{" u":"bad"," u":"000102030405060708090a0b0c0d0e0f"}', None),
        ('{" u":"000102030405060708090a0b0c0d0e0f"," u":"bad"}', ValueError),
        ('{"a":{" u":"bad"},"a":1}', None),
        ('{" u":"bad","a":1}', None),
        ('{" t":[1]," t":7}', TypeError),
        ('{" di":{"a__":1,"a__":2}}', None),
        ('{" x":1," t":[2]," x":3}', None),
    ],
)
def test_which_error_comes_first(parity, text, error_class):
    error = parity(lambda interface_class: loads(interface_class, sealed_json(text))).error
    if error_class is None:
        assert error is None
    else:
        assert isinstance(t.cast(itsdangerous.BadPayload, error).original_error, error_class)


@pytest.mark.contract("C31")
@pytest.mark.parametrize(
    "text",
    [
        '{" t":[{" t":[{" b":"YQ=="}]}]}',
        '{" t":{" t":[1,2]}}',
        '{" b":{" m":"YQ=="}}',
        '{" m":{" b":"YQ=="}}',
        '{" u":{" m":"000102030405060708090a0b0c0d0e0f"}}',
        '{" d":{" m":"Wed, 21 Oct 2015 07:28:00 GMT"}}',
        '{" t":[1]," b":""}',
        '{" t":[1],"a":{" t":[]}}',
        '{" x":{" t":[1]}}',
        '{" x":1}',
        '{"t":[1]}',
        '{" t ":[1]}',
        '{" T":[1]}',
        '{"\\u0020t":[1]}',
        '{"":1}',
        '{" ":1}',
        "{}",
        '{" dd":1}',
        '{" di":{}}',
        '[{" t":[]},[{" t":[]}]]',
        '{"a":[{"b":{" t":[{"c":{" d":null}}]}}]}',
    ],
)
def test_which_dicts_are_untagged(parity, text):
    assert parity(lambda interface_class: loads(interface_class, sealed_json(text))).error is None or " di" in text


@pytest.mark.contract("C32")
@pytest.mark.parametrize(
    "value",
    [
        '{" t__":1}',
        '{" t__":{" t":[1]}}',
        '{"ab":1}',
        '{"a":1}',
        '{"":1}',
        '{"a__":1,"b__":2}',
        '{"ö€😀":1}',
        '{"\\ud83d\\ude00":1}',
        '{"\\ud800__":1}',
        '{"a_":1}',
        "{}",
        "[]",
        '["ab"]',
        '"ab"',
        "7",
        "null",
        '{" di":{"a__":1}}',
        '{" t":[1]}',
        '{" b":"YWI="}',
        "[[1,2]]",
        '{"abc":1,"d":2}',
    ],
)
def test_protected_dicts(parity, value):
    parity(lambda interface_class: loads(interface_class, sealed_json(f'{{" di":{value}}}')))


@pytest.mark.contract("C32")
def test_a_protected_dict_loses_two_characters_of_its_first_key(parity):
    outcome = parity(lambda interface_class: loads(interface_class, sealed_json('{" di":{"abc":1,"d":2}}')))
    assert outcome.value == {"a": 1}


DATES = [
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Mon, 21 Oct 2015 07:28:00 GMT",
    "Xyz, 21 Oct 2015 07:28:00 GMT",
    "1,3, 21 Oct 2015 07:28:00 GMT",
    "Wed, 21 Oct 2015 07:28:00 UTC",
    "Wed, 21 Oct 2015 07:28:00 +0200",
    "Wed, 21 Oct 2015 07:28:00 -0000",
    "Wed, 21 Oct 2015 07:28:00 EST",
    "Wed, 21 Oct 2015 07:28:00 XYZ",
    "Wed, 21 Oct 2015 07:28:00",
    "Wed, 21 Oct 2015 07:28 GMT",
    "Wed, 21 Oct 2015",
    "21 Oct 2015 07:28:00 GMT",
    "Wed 21 Oct 2015 07:28:00 GMT",
    "Wed, 21 oct 2015 07:28:00 gmt",
    "Wed, 21 October 2015 07:28:00 GMT",
    "Wednesday, 21-Oct-15 07:28:00 GMT",
    "Wed Oct 21 07:28:00 2015",
    " Wed, 21 Oct 2015 07:28:00 GMT ",
    "Wed, 21 Oct 0015 07:28:00 GMT",
    "Wed, 21 Oct 15 07:28:00 GMT",
    "Wed, 21 Oct 68 07:28:00 GMT",
    "Wed, 21 Oct 69 07:28:00 GMT",
    "Wed, 21 Oct 115 07:28:00 GMT",
    "Wed, 21 Oct 0999 07:28:00 GMT",
    "Wed, 21 Oct 1000 07:28:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -0100",
    "Sat, 01 Jan 10000 00:00:00 GMT",
    "Sat, 29 Feb 2025 00:00:00 GMT",
    "Thu, 29 Feb 2024 00:00:00 GMT",
    "Wed, 32 Oct 2015 07:28:00 GMT",
    "Wed, 00 Oct 2015 07:28:00 GMT",
    "Wed, 21 Oct 2015 24:00:00 GMT",
    "Wed, 21 Oct 2015 07:60:00 GMT",
    "Wed, 21 Oct 2015 07:28:60 GMT",
    "Wed, 21 Oct 2015 -7:28:00 GMT",
    "Wed, 21 Oct +015 07:28:00 GMT",
    "Wed, 2\u0661 Oct 2015 07:28:00 GMT",
    "2015-10-21T07:28:00Z",
    "1445412480",
    "x",
    "",
    "\ud800",
]


@pytest.mark.contract("C33")
@pytest.mark.parametrize("date", DATES, ids=ascii)
def test_dates_of_all_sorts(parity, date):
    value = parity(lambda interface_class: loads(interface_class, sealed_json(json.dumps({" d": date})))).value
    assert value is None or value.tzinfo is not None


@pytest.mark.contract("C33")
@pytest.mark.parametrize("value", ["null", "0", "7", "1.5", "true", "false", "[]", "{}", '["x"]', '{"a":1}'])
def test_dates_that_are_no_text(parity, value):
    parity(lambda interface_class: loads(interface_class, sealed_json(f'{{" d":{value}}}')))


@pytest.mark.contract("C33")
def test_null_and_nonsense_are_no_date(interface_class, clock):
    loaded = loads(interface_class, sealed_json('[{" d":null},{" d":"nonsense"}]'))
    assert loaded == [None, None]


BYTES = ["YQ==", "YQ", "YR==", "YQ=", "YQ===", "Y Q = =", "YQ==YQ==", "-_-_", "+/+/", "Y\nQ==", "é", "A", "AAAAA", "="]
BYTES += ["====", ""]
UUIDS = [
    UUID_HEX,
    UUID_HEX.upper(),
    "00010203-0405-0607-0809-0a0b0c0d0e0f",
    "{00010203-0405-0607-0809-0a0b0c0d0e0f}",
    "urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f",
    "{{" + UUID_HEX + "--",
    "-" * 9 + UUID_HEX,
    "0x" + UUID_HEX[2:],
    "+" + UUID_HEX[1:],
    "00_0102030405060708090a0b0c0d0e0" + "f",
    " " + UUID_HEX[1:],
    UUID_HEX[1:],
    UUID_HEX + "0",
    "g" + UUID_HEX[1:],
    "\u0661" + UUID_HEX[1:],
    "0" * 32,
    "f" * 32,
    "",
]
VALUES = ["null", "7", "-1.5", "true", "[]", "{}", '["a"]', "[65,66]", '{"a":1}', '{"a":1,"b":2}', '"text"', '""']
VALUES += ['"\\ud800"', '" "']


@pytest.mark.contract("C34")
@pytest.mark.parametrize("text", BYTES, ids=ascii)
def test_bytes_of_all_sorts(parity, text):
    parity(lambda interface_class: loads(interface_class, sealed_json(json.dumps({" b": text}))))


@pytest.mark.contract("C34")
@pytest.mark.parametrize("text", UUIDS, ids=ascii)
def test_uuids_of_all_sorts(parity, text):
    def scenario(interface_class):
        uuid = loads(interface_class, sealed_json(json.dumps({" u": text})))
        return uuid, uuid.int, uuid.is_safe, hash(uuid), uuid.bytes

    parity(scenario)


@pytest.mark.contract("C34")
@pytest.mark.parametrize("tag", [" t", " b", " m", " u", " di"])
@pytest.mark.parametrize("value", VALUES)
def test_values_that_a_tag_does_not_expect(parity, tag, value):
    parity(lambda interface_class: loads(interface_class, sealed_json(f'{{"v":{{"{tag}":{value}}}}}')))


@pytest.mark.contract("C34")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{" b":"Y Q = ="}', b"a"),
        ('{" t":"ab"}', ("a", "b")),
        ('{" t":{"a":1,"b":2}}', ("a", "b")),
        ('{" m":7}', "7"),
    ],
)
def test_what_tags_coerce(parity, text, expected):
    assert parity(lambda interface_class: loads(interface_class, sealed_json(text))).value == expected


@pytest.mark.contract("C31", "C34")
def test_tagged_values_reach_the_view(parity):
    tagged = {"t": {" t": [1, {" b": "YQ=="}]}, "m": {" m": "<b>"}, "u": {" u": UUID_HEX}, "p": {" di": {" t__": 1}}}
    text = json.dumps(tagged)
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), snapshot, sealed_json(text))).value
    assert reply.seen[0][0]["t"] == (1, b"a")
