"""C24-C30: from a token to its payload."""

from __future__ import annotations

import base64
import gzip
import itertools
import sys
import typing as t
import zlib

import flask
import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer

from .parity import NOW
from .parity import Interface
from .parity import dumps
from .parity import encoded
from .parity import encoded_second
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import sealed
from .parity import sealed_json
from .parity import serializer_of
from .parity import signed_by_stock

USER = {"user": "ada"}
TOKEN = sealed_json('{"user":"ada"}')
SIGNED, _, SIGNATURE = TOKEN.rpartition(".")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def deflated(text: bytes) -> bytes:
    return b"." + encoded(zlib.compress(text))


DOTTED = {
    "dots in the payload": sealed(b"e30.e30"),
    "dots around it": sealed(b"e30."),
    "two dots first": sealed(b".." + encoded(zlib.compress(b"{}"))),
    "a dot first": sealed(deflated(b"{}")),
    "a dot first, not deflated": sealed(b".e30"),
    "deflated, no dot": sealed(deflated(b"{}")[1:]),
    "a dot only": sealed(b"."),
    "nothing": sealed(b""),
    "an empty signature": SIGNED + ".",
    "a dot last": TOKEN + ".",
    "a dot before": "." + TOKEN,
    "two tokens": f"{TOKEN}.{TOKEN}",
    "signed twice": signed_by_stock(TOKEN.encode()).decode(),
}


@pytest.mark.contract("C24")
@pytest.mark.parametrize("token", DOTTED.values(), ids=list(DOTTED))
def test_where_a_token_is_split(parity, token):
    parity(lambda interface_class: loads(interface_class, token, return_timestamp=True))


@pytest.mark.contract("C24")
def test_a_leading_dot_marks_zlib(parity):
    token = sealed(deflated(b'{"user":"ada"}'))
    assert parity(lambda interface_class: loads(interface_class, token)).value == USER


def with_other_spare_bits(signature: str) -> list[str]:
    """The three more spellings of 20 bytes in 27 characters, of which the last has two bits to spare."""
    last = ALPHABET.index(signature[-1])
    return [signature[:-1] + ALPHABET[last ^ spare] for spare in (1, 2, 3)]


RESPELLED = [
    *with_other_spare_bits(SIGNATURE),
    SIGNATURE + "=",
    SIGNATURE + "=====",
    SIGNATURE.replace("-", "+").replace("_", "/"),
    *(SIGNATURE[:at] + stray + SIGNATURE[at:] for at in (0, 9, 27) for stray in ("!", " ", "\n", "\x00", "~~~~", "é")),
    " ".join(SIGNATURE) + " ",
]


@pytest.mark.contract("C25")
@pytest.mark.parametrize("signature", RESPELLED)
@pytest.mark.parametrize("convert", [str, str.encode])
def test_a_signature_has_many_spellings(parity, signature, convert):
    parity(lambda interface_class: loads(interface_class, convert(f"{SIGNED}.{signature}")))


@pytest.mark.contract("C25")
def test_the_altered_spellings_are_accepted(interface_class, clock):
    accepted = [*with_other_spare_bits(SIGNATURE), SIGNATURE + "=", SIGNATURE.replace("-", "+").replace("_", "/")]
    for signature in accepted:
        assert loads(interface_class, f"{SIGNED}.{signature}") == USER


@pytest.mark.contract("C25")
@pytest.mark.parametrize(
    "payload",
    [b"e30", b"e30=", b"e30==", b"e3 0", b"e31", b"e32", b"e3-0", b"e!30", b"e3+0", "eé30".encode(), b"e30=\n"],
)
@pytest.mark.parametrize("prefix", [b"", b"."])
def test_a_payload_has_many_spellings(parity, payload, prefix):
    token = signed_by_stock(prefix + payload + b"." + encoded_second(NOW))
    parity(lambda interface_class: loads(interface_class, token))


STAMPS = {
    "nine bytes": encoded(b"\x01" * 9),
    "twelve bytes": encoded(b"\x00" * 12),
    "eight bytes": encoded(NOW.to_bytes(8, "big")),
    "five bytes": encoded(NOW.to_bytes(5, "big")),
    "empty": b"",
    "zero": encoded(b"\x00"),
    "eight zeros": encoded(b"\x00" * 8),
    "spare bits": encoded_second(NOW)[:-1] + b"B",
    "padded": encoded_second(NOW) + b"==",
    "stray bytes": b"Z!VPxAA",
    "one character": b"A",
    "other alphabet": encoded(b"\xfb\xff").replace(b"_", b"/"),
    "not ASCII": "Zé".encode(),
    "in 2011": encoded_second(1_294_000_000),
}


@pytest.mark.contract("C26")
@pytest.mark.parametrize("stamp", STAMPS.values(), ids=list(STAMPS))
@pytest.mark.parametrize("max_age", [None, 60, 10**12])
@pytest.mark.parametrize("forged", [False, True], ids=["signed", "forged"])
def test_timestamps_of_all_sorts(parity, stamp, max_age, forged):
    token = signed_by_stock(b"e30." + stamp) + b"A" * forged * 4
    parity(lambda interface_class: loads(interface_class, token, max_age=max_age, return_timestamp=True))


@pytest.mark.contract("C26")
@pytest.mark.parametrize(
    ("token", "message"),
    [
        (sealed(b"e30", STAMPS["nine bytes"]), "Malformed timestamp"),
        (sealed(b"e30", b"A"), "Malformed timestamp"),
        (signed_by_stock(b"e30"), "timestamp missing"),
        (signed_by_stock(b""), "timestamp missing"),
    ],
)
def test_bad_timestamps_have_texts_of_their_own(parity, token, message):
    error = parity(lambda interface_class: loads(interface_class, token)).error
    assert type(error) is itsdangerous.BadTimeSignature
    assert str(error) == message


@pytest.mark.contract("C26")
def test_an_empty_timestamp_is_zero(parity):
    outcome = parity(lambda interface_class: loads(interface_class, sealed(b"e30", b""), return_timestamp=True))
    assert outcome.value[1].timestamp() == 0


STREAM = zlib.compress(b'{"user":"ada"}')

RAW = zlib.compressobj(wbits=-15)
KEYED = zlib.compressobj(zdict=b'{"user":')

STREAMS = {
    "trailing bytes": STREAM + b"trailing",
    "two streams": STREAM + STREAM,
    "cut by one": STREAM[:-1],
    "cut by four": STREAM[:-4],
    "cut by five": STREAM[:-5],
    "the header": STREAM[:2],
    "one byte": STREAM[:1],
    "empty": b"",
    "another checksum": STREAM[:-1] + bytes([STREAM[-1] ^ 1]),
    "another header": b"\x78\x9d" + STREAM[2:],
    "another method": b"\x79" + STREAM[1:],
    "no compression": zlib.compress(b'{"user":"ada"}', 0),
    "best compression": zlib.compress(b'{"user":"ada"}' * 99, 9),
    "raw": RAW.compress(b"{}") + RAW.flush(),
    "gzip": gzip.compress(b"{}"),
    "a dictionary": KEYED.compress(b"{}") + KEYED.flush(),
    "a small window": bytes([0x18, 0x19]) + STREAM[2:],
    "of nothing": zlib.compress(b""),
    "text": b'{"user":"ada"}',
    "long": zlib.compress(b'"' + b"a" * 1_000_000 + b'"'),
    "a bomb": zlib.compress(b'"' + b"a" * (17 << 20) + b'"'),
}


@pytest.mark.contract("C27")
@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_streams_of_all_sorts(parity, stream):
    parity(lambda interface_class: loads(interface_class, sealed(b"." + encoded(stream))))


@pytest.mark.contract("C27")
def test_bytes_after_a_stream_are_ignored_and_a_cut_one_is_bad(interface_class, clock):
    assert loads(interface_class, sealed(b"." + encoded(STREAMS["trailing bytes"]))) == USER
    with pytest.raises(itsdangerous.BadPayload) as raised:
        loads(interface_class, sealed(b"." + encoded(STREAMS["cut by one"])))
    assert type(raised.value.original_error) is zlib.error


class Text(str):
    """A string that lies about what it encodes to."""

    def encode(self, *args: t.Any) -> bytes:
        return TOKEN.encode(*args)


class Bytes(bytes):
    """Bytes that lie about where they may be cut."""

    def rsplit(self, *args: t.Any) -> t.Any:
        return TOKEN.encode().rsplit(*args)


TOKENS = {
    "bytes": TOKEN.encode(),
    "bytearray": bytearray(TOKEN.encode()),
    "memoryview": memoryview(TOKEN.encode()),
    "str subclass": type("Plain", (str,), {})(TOKEN),
    "str subclass with encode": Text("x"),
    "bytes subclass": type("Plain", (bytes,), {})(TOKEN.encode()),
    "bytes subclass with rsplit": Bytes(b"a.b.c"),
    "int": 7,
    "none": None,
    "list": [TOKEN],
    "forged bytes": b"a.b.c",
    "forged bytearray": bytearray(b"a.b.c"),
    "undecodable bytes": b"\xff.\xff.\xff",
    "empty": "",
    "empty bytes": b"",
}


@pytest.mark.contract("C27a")
@pytest.mark.parametrize("token", TOKENS.values(), ids=list(TOKENS))
@pytest.mark.parametrize("options", [{}, {"max_age": 60, "return_timestamp": True}])
def test_tokens_of_all_types(parity, token, options):
    parity(lambda interface_class: loads(interface_class, token, **options))


@pytest.mark.contract("C27a", "C29")
@pytest.mark.parametrize(
    ("token", "error_class", "message"),
    [
        ("x", itsdangerous.BadSignature, "No b'.' found in value"),
        ("é'", itsdangerous.BadSignature, "No b'.' found in value"),
        ("a.b", itsdangerous.BadSignature, "Signature b'b' does not match"),
        ("a.é'\"", itsdangerous.BadSignature, None),
        ("a.b.c", itsdangerous.BadTimeSignature, "Signature b'c' does not match"),
        (bytearray(b"a.b.c"), itsdangerous.BadTimeSignature, "Signature bytearray(b'c===') does not match"),
    ],
)
def test_messages_carry_the_signature(parity, token, error_class, message):
    error = parity(lambda interface_class: loads(interface_class, token)).error
    assert type(error) is error_class
    assert message in (None, str(error))


def nested(depth: int, before: str = "[", after: str = "]") -> str:
    return before * depth + after * depth


TEXTS = [
    "NaN",
    "[Infinity,-Infinity,NaN]",
    "-NaN",
    "nan",
    '{"a":1,"b":2,"a":3}',
    '{"a":1,"a":{"b":1,"b":2}}',
    '{"a":1,"\\u0061":2}',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    '{"\\ud800":1}',
    "1e400",
    "-1e400",
    "[1e308,1.7976931348623157e308,1.7976931348623159e308,5e-324,1e-400]",
    "0.1",
    "[0.0,-0.0,0,-0,0e0,-0e1]",
    "[1.0,1e0,1E+2,1e-2,10.5e+1]",
    "[9223372036854775807,9223372036854775808,-9223372036854775808,-9223372036854775809]",
    "[18446744073709551615,18446744073709551616,-18446744073709551616]",
    "[9.2e18,9200000000000000000,9300000000000000000,1e19,12345678901234567890]",
    "123456789012345678901234567890",
    "1" + "0" * 400,
    "1" * 4300,
    "1" * 4301,
    "[1." + "1" * 400 + "]",
    "[0.1e1,123456789.123456789e-5,2.2250738585072011e-308,9007199254740993.0]",
    "\ufeff{}",
    "{}\ufeff",
    b"\xff\xfe{\x00}\x00",
    b'"\xff"',
    b'"\xc3"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\xc0\x80"',
    '"\x00"',
    '"\x1f"',
    '"\n"',
    '"\t"',
    '"\x7f\x80\x85\u2028"',
    '"\\u0000\\u001f"',
    '"\\x"',
    '"\\',
    '"\\u12"',
    '"\\u12g4"',
    '"\\u+123"',
    '"\\U0041"',
    "'a'",
    " { } ",
    "\t\r\n[ 1 , 2 ]\n",
    "\x0b1",
    "\xa01",
    "1 1",
    "{}{}",
    "{},",
    "[1,]",
    '{"a":1,}',
    "{,}",
    "{a:1}",
    "{1:1}",
    '{"a"}',
    '{"a":}',
    "[",
    "{",
    '"',
    "",
    " ",
    "tru",
    "True",
    "None",
    "nulll",
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "\u0661",
    "/**/1",
    "//\n1",
    '{"":""}',
    '{"a":{"b":{"c":[1,[2,{"d":null}]]}},"é":"ü€😀"}',
]


@pytest.mark.contract("C28")
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:40])
@pytest.mark.parametrize("wrap", [str, lambda text: f'{{"v":{text}}}'], ids=["bare", "in a dict"])
def test_json_texts_of_all_sorts(parity, text, wrap):
    wrapped = wrap(text) if isinstance(text, str) else wrap(text.decode("latin-1")).encode("latin-1")
    parity(lambda interface_class: loads(interface_class, sealed_json(wrapped)))


@pytest.mark.contract("C28")
@pytest.mark.parametrize("depth", [1, 100, 126, 127, 128, 129, 150])
@pytest.mark.parametrize(
    ("before", "after"), [("[", "]"), ('{"a":', "}"), ('{" t":[', "]}"), ('{" di":{" t__":', "}}")]
)
def test_nested_texts(parity, depth, before, after):
    text = before * depth + "0" * (before[-1] == ":") + after * depth
    parity(lambda interface_class: loads(interface_class, sealed_json(text)))


@pytest.mark.contract("C28", "C41")
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', ""), ('{" t":[', "")])
def test_texts_nested_without_end(parity, before, after):
    text = nested(200_000, before, after)
    error = parity(lambda interface_class: loads(interface_class, sealed_json(text))).error
    assert type(error) is itsdangerous.BadPayload
    assert type(error.original_error) is RecursionError


@pytest.mark.contract("C28")
@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python reads integers of any length")
def test_the_digit_limit_of_the_interpreter_holds(parity):
    limit = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(700)
        within, beyond = sealed_json("7" * 700), sealed_json("7" * 701)
        assert parity(lambda interface_class: loads(interface_class, within)).error is None
        assert parity(lambda interface_class: loads(interface_class, beyond)).error is not None
    finally:
        sys.set_int_max_str_digits(limit)


FAULTS: dict[str, tuple[t.Any, type[Exception]]] = {
    "no signature": ("x", itsdangerous.BadSignature),
    "forged": ("e30.ZVPxAA.x", itsdangerous.BadTimeSignature),
    "forged, of an absurd date": (sealed(b"e30", encoded_second(2**63)) + "AAAA", itsdangerous.BadTimeSignature),
    "forged, without a date": ("e30.A.x", itsdangerous.BadTimeSignature),
    "expired": (sealed(b"e30", encoded_second(NOW - 61)), itsdangerous.SignatureExpired),
    "of the future": (sealed(b"e30", encoded_second(NOW + 1)), itsdangerous.SignatureExpired),
    "not base64": (sealed(b"A"), itsdangerous.BadPayload),
    "not zlib": (sealed(b".e30"), itsdangerous.BadPayload),
    "not JSON": (sealed_json("{"), itsdangerous.BadPayload),
    "not UTF-8": (sealed_json(b"\xff"), itsdangerous.BadPayload),
    "a bad tag": (sealed_json('{" u":1}'), itsdangerous.BadPayload),
}


@pytest.mark.contract("C29")
@pytest.mark.parametrize(("token", "error_class"), FAULTS.values(), ids=list(FAULTS))
def test_exceptions_carry_their_evidence(parity, token, error_class):
    error = parity(lambda interface_class: loads(interface_class, token, max_age=60)).error
    assert type(error) is error_class
    if error_class is itsdangerous.BadPayload:
        assert error.original_error is error.__cause__ is not None
    elif error_class is itsdangerous.SignatureExpired:
        assert (error.payload, error.date_signed.year) == (b"e30", 2023)


@pytest.mark.contract("C29")
@pytest.mark.parametrize("token", [fault[0] for fault in FAULTS.values()], ids=list(FAULTS))
def test_what_loads_unsafe_makes_of_them(parity, token):
    parity(lambda interface_class: serializer_of(make_app(interface_class())).loads_unsafe(token, max_age=60))


class SpyingProvider(DefaultJSONProvider):
    def __init__(self, app: flask.Flask) -> None:
        super().__init__(app)
        self.read: list[str] = []

    def loads(self, s: t.Any, **kwargs: t.Any) -> t.Any:
        self.read.append(s)
        return super().loads(s, **kwargs)


class SpyingSerializer(TaggedJSONSerializer):
    __slots__ = ("read",)

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def loads(self, value: str) -> t.Any:
        self.read.append(value)
        return super().loads(value)


PAYLOADS = [b"e30", b"A", b".e30", encoded(b"{"), encoded(b"\xff"), b"." + encoded(STREAMS["a bomb"])]


@pytest.mark.contract("C30")
@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload[:8])
@pytest.mark.parametrize("forge", [lambda token: token[:-8] + "AAAAAAAA", lambda token: token + "A"])
def test_a_forged_payload_is_never_read(parity, payload, forge):
    def scenario(interface_class):
        interface = interface_class()
        interface.serializer = SpyingSerializer()
        app = make_app(interface)
        app.json = SpyingProvider(app)
        with app.app_context():
            outcome = outcome_of(serializer_of(app).loads, forge(sealed(payload)))
        return outcome, interface.serializer.read, app.json.read

    outcome, *read = parity(scenario).value
    assert type(outcome.error) is itsdangerous.BadTimeSignature
    assert read == [[], []]


@pytest.mark.contract("C30")
def test_every_changed_character_is_noticed(parity):
    token = dumps(Interface, USER)

    def scenario(interface_class):
        app = make_app(interface_class())
        with app.app_context():
            serializer = serializer_of(app)
            return [outcome_of(serializer.loads, forged) for forged in forgeries]

    last = len(token) - 1
    forgeries = [
        token[:at] + character + token[at + 1 :]
        for at, character in itertools.product(range(last), "A_.=")
        if token[at] != character
    ]
    assert all(outcome.error for outcome in parity(scenario).value)


@pytest.mark.contract("C30")
def test_signatures_of_other_lengths_are_refused(parity):
    raw = base64.urlsafe_b64decode(SIGNATURE + "=")
    for signature in (b"", raw[:-1], raw + b"\x00", raw * 2, raw[:1]):
        token = f"{SIGNED}.{encoded(signature).decode()}"
        assert parity(lambda interface_class, token=token: loads(interface_class, token)).error is not None
