"""Known answers of stock Flask, in three files: what it generates, what it verifies, and what it finds invalid.

::

    python tests/security/vectors/make_vectors.py          # writes the files
    python tests/security/vectors/make_vectors.py --check  # compares them with what stock answers now

A vector says what is peculiar to it; the rest stands in the ``defaults`` of its file:

* ``keys``: the secret keys from oldest to newest. A key or salt that is not text is written as ``{"hex": "00ff"}``.
* ``salt``, ``key_derivation``, ``digest`` (a name of :mod:`hashlib`): as of the session interface.
* ``now``: what the clock says, in seconds since 1970.
* ``in_app``, ``sort_keys``, ``ensure_ascii``: whether there is an app context, and how its JSON provider is set.
* ``value``: a Python expression. ``json``: the tagged JSON of a value, in ASCII and in the value's own order.
* ``max_age``: as of ``loads``; ``signed``: the date at which a token was signed.
* ``exception``, ``message``, ``payload``, ``date_signed``: the class, the text and the attributes, bytes as Latin-1.
  Messages of others than itsdangerous differ by platform and are left out, hence ``original_error`` is but a class.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import typing as t
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import nullcontext
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from pathlib import Path
from unittest import mock
from uuid import UUID

from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData
from itsdangerous import Signer
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.encoding import int_to_bytes
from markupsafe import Markup

Vector = dict[str, t.Any]

HERE = Path(__file__).parent
NOW = 1_700_000_000
MAX_AGE = 2_678_400

DEFAULTS: Vector = {
    "keys": ["a secret key for vectors"],
    "salt": "cookie-session",
    "key_derivation": "hmac",
    "digest": "sha1",
    "now": NOW,
    "in_app": True,
    "sort_keys": True,
    "ensure_ascii": True,
    "max_age": None,
}

#: The names that the expressions for values may use.
NAMES = {
    "Markup": Markup,
    "UUID": UUID,
    "datetime": datetime,
    "inf": float("inf"),
    "nan": float("nan"),
    "timedelta": timedelta,
    "timezone": timezone,
    "utc": timezone.utc,
}


# --- Answers --------------------------------------------------------------------------------------------------------


@contextmanager
def prepared(interface: SecureCookieSessionInterface, vector: Vector) -> Iterator[URLSafeTimedSerializer]:
    """A serializer of the interface, set up as the vector says, while the clock stands still."""
    vector = DEFAULTS | vector
    app = Flask(__name__)
    *fallbacks, secret_key = map(plain, vector["keys"])
    app.config.update(SECRET_KEY=secret_key, SECRET_KEY_FALLBACKS=fallbacks)
    vars(app.json).update(sort_keys=vector["sort_keys"], ensure_ascii=vector["ensure_ascii"])
    interface.salt = plain(vector["salt"])
    interface.key_derivation = vector["key_derivation"]
    interface.digest_method = getattr(hashlib, vector["digest"])
    context = app.app_context() if vector["in_app"] else nullcontext()
    with context, mock.patch("time.time", lambda: vector["now"]):
        serializer = interface.get_signing_serializer(app)
        assert serializer is not None
        yield serializer


def plain(text: t.Any) -> t.Any:
    return bytes.fromhex(text["hex"]) if isinstance(text, dict) else text


def value_of(vector: Vector) -> t.Any:
    return eval(vector["value"], dict(NAMES))


def generated(interface: SecureCookieSessionInterface, vector: Vector) -> Vector:
    """The token of the vector's value, and the JSON text in it."""
    with prepared(interface, vector) as serializer:
        token = serializer.dumps(value_of(vector))
        return {"json": serializer.serializer.dumps(value_of(vector)), "token": token}


def verified(interface: SecureCookieSessionInterface, vector: Vector) -> Vector:
    """What the vector's token says."""
    with prepared(interface, vector) as serializer:
        value, signed = serializer.loads(vector["token"], max_age=vector.get("max_age"), return_timestamp=True)
    return {"json": TaggedJSONSerializer().dumps(value), "signed": signed.isoformat()}


def refused(interface: SecureCookieSessionInterface, vector: Vector) -> Vector:
    """The exception that the vector's token leads to."""
    with prepared(interface, vector) as serializer:
        try:
            serializer.loads(vector["token"], max_age=vector.get("max_age"))
        except Exception as error:
            return evidence(error)
    raise AssertionError(f"{vector['description']}: the token is valid")


def evidence(error: Exception) -> Vector:
    if not isinstance(error, BadData):
        return {"exception": type(error).__name__}
    found: Vector = {"exception": type(error).__name__, "message": error.message}
    if payload := getattr(error, "payload", None):
        found["payload"] = payload.decode("latin-1")
    if date_signed := getattr(error, "date_signed", None):
        found["date_signed"] = date_signed.isoformat()
    if original_error := getattr(error, "original_error", None):
        found["original_error"] = type(original_error).__name__
    return found


# --- Tokens to verify -----------------------------------------------------------------------------------------------


def sign(content: bytes, **how: t.Any) -> str:
    """The content as it is, with a signature that holds."""
    with prepared(SecureCookieSessionInterface(), how) as serializer:
        return Signer.sign(serializer.make_signer(), content).decode("latin-1")


def stamp(payload: bytes, seconds: int = NOW, **how: t.Any) -> str:
    return sign(payload + b"." + base64_encode(int_to_bytes(seconds)), **how)


def carry(text: str | bytes, **how: t.Any) -> str:
    """A token for a JSON text, whatever it be."""
    return stamp(base64_encode(text), **how)


def squeeze(stream: bytes, **how: t.Any) -> str:
    """A token for a zlib stream."""
    return stamp(b"." + base64_encode(stream), **how)


def resigned(token: str, change: Callable[[str], str]) -> str:
    """The token with its signature changed."""
    content, _, signature = token.rpartition(".")
    return f"{content}.{change(signature)}"


def spare_bits_set(signature: str) -> str:
    """Of the last character of a signature of 20 bytes two bits are spare."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) | 3]


def with_bit_flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 4
    return bytes(changed)


def token_with(*characters: str) -> str:
    """A token whose signature has all of these characters."""
    tokens = (carry(f'{{"n":{number}}}') for number in itertools.count())
    return next(token for token in tokens if all(character in token.rpartition(".")[2] for character in characters))


PLAIN_TOKEN = carry('{"user_id":"1"}')
DASHED_TOKEN = token_with("-", "_")
LONG_TEXT = json.dumps({"cart": ["apples", "pears", "plums"] * 20}).encode()
DEFLATED = zlib.compress(LONG_TEXT)

TUTORIAL_KEY = "please-generate-a-random-secret_key"
TUTORIAL_TOKENS = (
    "eyJ1c2VybmFtZSI6ImNpeml4cyJ9.C5fdpg.fqm3FTv0kYE2TuOyGF1mx2RuYQ4",
    "eyJ1c2VybmFtZSI6ImNpeml4cyJ9.C5fevg.LE03yEZDWTUMQW-nNkTr1zBEhKk",
    "eyJ1c2VybmFtZSI6ImNpeml4cyJ9.C5feyg.sfFCDIqfef4i8cvxUClUUGQNcHA",
)
TUTORIAL_NOW = 1_487_000_000


# --- The vectors ----------------------------------------------------------------------------------------------------


def generate_vectors() -> Iterator[Vector]:
    def vector(description: str, value: str, **how: t.Any) -> Vector:
        return {"description": description, "value": value, **how}

    yield vector("an empty session", "{}")
    yield vector("one string", "{'username': 'cizixs'}")
    yield vector("what Flask-Login and Flask-WTF keep", LOGIN)
    yield vector("a flashed message", "{'_flashes': [('message', 'You were logged in')]}")
    yield vector("a permanent session", "{'_permanent': True, 'user_id': 7}")
    yield vector("keys are sorted in an app context", "{'b': 1, 'a': {'d': 2, 'c': 3}}")
    yield vector("keys keep their order outside one", "{'b': 1, 'a': {'d': 2, 'c': 3}}", in_app=False)
    yield vector("keys keep their order where the app wants it", "{'b': 1, 'a': 2}", sort_keys=False)
    yield vector("keys are sorted by code points", "{'\\uffff': 1, '\\U00010000': 2, 'Z': 3, 'a': 4, 'é': 5, '': 6}")
    yield vector("integers as keys are sorted as numbers", "{10: 'a', 9: 'b', -1: 'c'}")
    yield vector("keys become strings", "{None: 1, True: 2, 1.5: 3, 7: 4}", in_app=False)
    yield vector("keys that become equal strings", "{1: 'integer', '1': 'string'}", in_app=False)
    yield vector("a tuple", "{'point': (1, 2)}")
    yield vector("tuples in lists in tuples", "{'nested': ([(), (1,)], [[]])}")
    yield vector("bytes", "{'raw': b'\\x00\\xfb\\xff'}")
    yield vector("no bytes", "{'raw': b''}")
    yield vector("Markup", "{'html': Markup('<b>&amp;</b>')}")
    yield vector("a UUID", "{'id': UUID('01234567-89ab-cdef-0123-456789abcdef')}")
    yield vector("a datetime in UTC", "{'at': datetime(2023, 11, 14, 22, 13, 20, tzinfo=utc)}")
    yield vector("a naive datetime is read as UTC", "{'at': datetime(2023, 11, 14, 22, 13, 20, 999999)}")
    yield vector(
        "a datetime with an offset is converted",
        "{'at': datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))}",
    )
    yield vector("the first and the last datetime", "{'from': datetime.min, 'to': datetime.max}")
    yield vector("a dict that could be mistaken for a tag", "{'odd': {' t': [1, 2]}}")
    yield vector("a whole session that could be mistaken", "{' b': 'AAEC'}")
    yield vector("a dict that could be mistaken for a disguised one", "{'odd': {' di': {' t__': 1}}}")
    yield vector("tags beside other keys are no tags", "{' t': (1,), ' u': 2}")
    yield vector("booleans and None", "{'yes': True, 'no': False, 'none': None}")
    yield vector("integers at the borders of 32, 53 and 64 bits", f"{[n for b in (31, 53, 63, 64) for n in near(b)]}")
    yield vector("integers of any size", f"{{'big': {10**40}, 'negative': {-(2**200)}}}")
    yield vector("floats", "{'floats': [0.0, -0.0, 0.1, 1.0, -1.5, 123456.789, 1 / 3]}")
    yield vector("floats where the exponent begins", "[1e15, 9999999999999998.0, 1e16, 1e22, 0.0001, 0.00001, 1e-7]")
    yield vector("the largest and the smallest float", "[1.7976931348623157e308, 2.2250738585072014e-308, 5e-324]")
    yield vector("floats that are no numbers", "{'odd': [nan, inf, -inf]}")
    yield vector("quotes, backslashes and controls", "{'text': '\\x00\\x08\\t\\n\\x0c\\r\\x1f\\x7f\"\\\\/<>&'}")
    yield vector("text beyond ASCII", "{'text': 'é ü € \\u2028 \\ufeff \\U0001f600'}")
    yield vector("text beyond ASCII, not escaped", "{'é': '€ \\x7f \\u2028 \\U0001f600'}", ensure_ascii=False)
    yield vector("a lone surrogate", "{'text': '\\ud800'}")
    yield vector("a string is a value as well", "'text'")
    yield vector("deflated it would be one byte shorter, which is not worth it", "{'a': 'a' * 11}")
    yield vector("deflated it is two bytes shorter", "{'a': 'a' * 12}")
    yield vector("words", "{'cart': ['apples', 'pears', 'plums'] * 20}")
    yield vector("a text without any repetition", f"{{'id': '{hashlib.sha512(b'').hexdigest()}'}}")
    yield vector("20 kB", "{'numbers': list(range(4000))}")
    for derivation in ("concat", "django-concat", "none", None):
        yield vector(f"key derivation {derivation}", "{'n': 1}", key_derivation=derivation)
    for digest in ("sha224", "sha256", "sha384", "sha512", "md5", "sha3_256"):
        yield vector(f"digest {digest}", "{'n': 1}", digest=digest)
    yield vector("derivation and digest", "{'n': 1}", key_derivation="concat", digest="sha512")
    yield vector("another salt", "{'n': 1}", salt="another")
    yield vector("an empty salt", "{'n': 1}", salt="")
    yield vector("no salt", "{'n': 1}", salt=None)
    yield vector("salt and key of bytes", "{'n': 1}", salt={"hex": "ff00"}, keys=[{"hex": "00ff"}])
    yield vector("text in salt and key is UTF-8", "{'n': 1}", salt="sält", keys=["schlüssel"])
    yield vector("a key longer than a block", "{'n': 1}", keys=["k" * 100])
    yield vector("of several keys the newest signs", "{'n': 1}", keys=["oldest", {"hex": "6f6c64"}, "newest"])
    yield vector("the year 1970", "{'n': 1}", now=0)
    yield vector("part of a second is dropped", "{'n': 1}", now=1_700_000_000.999)
    yield vector("the year 2106", "{'n': 1}", now=2**32)


LOGIN = (
    "{'_fresh': True, '_id': '8eb0a5cbd2e3d56bbbfa9fd9f7c0e6f0f6a0e3d1e9b9d0a1f4c7b0d2b3a5c6e7', '_user_id': '1', "
    "'csrf_token': '5b1ff1a4a7f2ba9c3f41d0b0ae8fdd1dfeb3b5f2'}"
)


def near(bits: int) -> list[int]:
    return [sign * 2**bits + step for sign in (1, -1) for step in (-1, 0, 1)]


def verify_vectors() -> Iterator[Vector]:
    def vector(description: str, token: str, **how: t.Any) -> Vector:
        return {"description": description, "token": token, **how}

    def text(description: str, json_text: str) -> Vector:
        return vector(description, carry(json_text))

    for token in TUTORIAL_TOKENS:
        yield vector("printed by tutorials of 2017", token, keys=[TUTORIAL_KEY], now=TUTORIAL_NOW)
    yield vector("plain", PLAIN_TOKEN, max_age=MAX_AGE)
    yield vector("deflated", squeeze(DEFLATED), max_age=MAX_AGE)
    yield vector("as old as can be", PLAIN_TOKEN, max_age=MAX_AGE, now=NOW + MAX_AGE)
    yield vector("signed in this second", PLAIN_TOKEN, max_age=0)
    yield vector("the age is in whole seconds", PLAIN_TOKEN, max_age=0, now=NOW + 0.999)
    yield vector("a fraction of max_age counts", PLAIN_TOKEN, max_age=1.5, now=NOW + 1)
    yield vector("no bound", PLAIN_TOKEN, max_age=10**30, now=10**9 * 5)
    yield vector("signed in the future, with no max_age", PLAIN_TOKEN, now=0)
    yield vector("signed in 1970", carry("{}", seconds=0))
    yield vector("an empty timestamp is 1970", sign(base64_encode("{}") + b"."))
    yield vector("a timestamp with zero bytes in front", sign(b"e30." + base64_encode(bytes(4) + int_to_bytes(NOW))))
    yield vector("a timestamp with padding", sign(b"e30." + base64_encode(int_to_bytes(NOW)) + b"=="))
    yield vector("a timestamp in 2106", carry("{}", seconds=2**32))
    yield vector("the last timestamp", carry("{}", seconds=253_402_300_799))
    yield vector("signed with the newest key", carry("{}", keys=["new"]), keys=["old", "new"])
    yield vector("signed with the oldest key", carry("{}", keys=["old"]), keys=["old", "middle", "new"])
    yield vector("signed with a key of bytes", carry("{}", keys=[{"hex": "00ff"}]), keys=[{"hex": "00ff"}, "new"])
    for name, setting in (
        *(("key_derivation", derivation) for derivation in ("concat", "django-concat", "none", None)),
        *(("digest", digest) for digest in ("sha224", "sha256", "sha384", "sha512", "md5")),
        *(("salt", salt) for salt in ("another", "", None, {"hex": "ff"})),
    ):
        yield vector(f"{name} {setting}", carry('{"n":1}', **{name: setting}), **{name: setting})
    yield vector("a signature with padding", resigned(PLAIN_TOKEN, "{}=".format))
    yield vector("a signature with too much padding", resigned(PLAIN_TOKEN, "{}====".format))
    yield vector("a signature with its spare bits set", resigned(PLAIN_TOKEN, spare_bits_set))
    yield vector("a signature in the standard alphabet", resigned(DASHED_TOKEN, in_standard_alphabet))
    yield vector("a signature with stray characters", resigned(PLAIN_TOKEN, lambda signature: f" {signature}\n!"))
    yield vector("a signature with a stray letter beyond ASCII", resigned(PLAIN_TOKEN, "é{}".format))
    yield vector("a payload with stray characters", stamp(b"ey Jh\nIjo!xfQ"))
    yield vector("a payload with padding", stamp(b"eyJhIjoxfQ=="))
    yield vector("an empty payload after the dot that marks deflate", stamp(b"." + base64_encode(zlib.compress(b"0"))))
    for level in (0, 1, 9):
        yield vector(f"deflated at level {level}", squeeze(zlib.compress(LONG_TEXT, level)))
    yield vector("a deflated stream with bytes after it", squeeze(DEFLATED + b"more"))
    yield vector("two deflated streams, of which the first counts", squeeze(DEFLATED + zlib.compress(b"[]")))
    yield text("null", "null")
    yield text("a number", "5")
    yield text("a string", '"text"')
    yield text("pairs", '[["a",1],["b",2]]')
    yield text("white space", ' {\t"a" :\r\n[ 1 , 2 ] } ')
    yield text("of equal names the last value and the first place", '{"a":1,"b":2,"a":3}')
    yield text("an equal name hides a bad tag", '{"a":{" u":"bad"," u":"' + "0" * 32 + '"}}')
    yield text("numbers that are none in JSON", "[NaN,Infinity,-Infinity]")
    yield text("floats beyond the range", "[1e400,-1e400,1e-400]")
    yield text("floats", "[1E5,1e+2,-0.0,0.1,5e-324,1.7976931348623157e308,2.2250738585072011e-308]")
    yield text("minus zero is an integer", "[-0,-0.0]")
    yield text("integers of any size", f"[{2**63 - 1},{2**63},{2**64},{-(10**60)}]")
    yield text("lone surrogates", r'["\ud800","\udc00\ud800","\ud83d\u0041"]')
    yield text("a pair of surrogates", r'["\ud83d\ude00","\uD83D\uDE00"]')
    yield text("escapes", r'"\"\\\/\b\f\n\r\t\u0000\u00e9"')
    yield text("text that is not escaped", '{"é":"€ \u2028 \x7f \U0001f600"}')
    yield text("a tuple", '{" t":[1,{" t":[]}]}')
    yield text("a tuple of the characters of a string", '{" t":"ab"}')
    yield text("a tuple of the names of an object", '{" t":{"a":1,"b":2}}')
    yield text("bytes", '{" b":"AAEC/+8="}')
    yield text("bytes with stray characters", '{" b":"A-A_E C\\n"}')
    yield text("bytes with their spare bits set", '{" b":"AB=="}')
    yield text("Markup", '{" m":"<b>"}')
    yield text("Markup of something else", '[{" m":null},{" m":5},{" m":[]}]')
    yield text("a UUID", '{" u":"0123456789abcdef0123456789abcdef"}')
    yield text("a UUID in capitals, with hyphens and in braces", '{" u":"{01234567-89AB-CDEF-0123-456789ABCDEF}"}')
    yield text("a UUID as a name", '{" u":"urn:uuid:01234567-89ab-cdef-0123-456789abcdef"}')
    yield text("a UUID as int() reads it", '{" u":"+123456789_bcdef0123456789abcdef"}')
    yield text("a date", '{" d":"Tue, 14 Nov 2023 22:13:20 GMT"}')
    yield text("a date on the wrong day of the week", '{" d":"Wed, 14 Nov 2023 22:13:20 GMT"}')
    yield text("a date of RFC 850", '{" d":"Tuesday, 14-Nov-23 22:13:20 GMT"}')
    yield text("a date of asctime", '{" d":"Tue Nov 14 22:13:20 2023"}')
    yield text("a date with an offset", '{" d":"Wed, 15 Nov 2023 03:43:20 +0530"}')
    yield text("years of two digits", '[{" d":"1 Jan 68 00:00:00 GMT"},{" d":"1 Jan 69 00:00:00 GMT"}]')
    yield text("dates that are none", '[{" d":"never"},{" d":""},{" d":null},{" d":"29 Feb 2023 00:00:00 GMT"}]')
    yield text("a disguised dict", '{" di":{" t__":[1]}}')
    yield text("a disguised dict that is none", '[{" di":{"abc":1}},{" di":{"a":1,"b":2}},{" di":{"":1}}]')
    yield text("unknown tags", '[{" x":1},{"t":[]},{" T":[]},{" t ":[]}]')
    yield text("a tag beside another name", '{" t":[1],"a":1}')
    yield text("tags in tags", '{" t":[{" di":{" b__":{" b":"AA=="}}},{" m":"x"}]}')


def in_standard_alphabet(signature: str) -> str:
    return signature.replace("-", "+").replace("_", "/")


def invalid_vectors() -> Iterator[Vector]:
    def vector(description: str, token: str, **how: t.Any) -> Vector:
        return {"description": description, "token": token, **how}

    def text(description: str, json_text: str | bytes) -> Vector:
        return vector(description, carry(json_text))

    payload, timestamp, signature = PLAIN_TOKEN.split(".")
    for token in TUTORIAL_TOKENS:
        how = {"keys": [TUTORIAL_KEY], "now": TUTORIAL_NOW, "max_age": MAX_AGE}
        yield vector("printed by tutorials of 2017, counted from 2011 and hence expired", token, **how)
    yield vector("nothing", "")
    yield vector("no dot", payload)
    yield vector("one dot", f"{payload}.{timestamp}")
    yield vector("dots alone", "..")
    yield vector("many dots", ".....")
    yield vector("words", "not a token")
    yield vector("a token of three words", "not.a.token")
    yield vector("without signature", f"{payload}.{timestamp}.")
    yield vector("without timestamp", f"{payload}..{signature}")
    yield vector("without payload", f".{timestamp}.{signature}")
    yield vector("another payload", f"{payload[:-1]}A.{timestamp}.{signature}")
    yield vector("another timestamp", f"{payload}.ZVPxAQ.{signature}")
    yield vector("the timestamp of 1970", f"{payload}.AA.{signature}")
    yield vector("a timestamp in the future", f"{payload}.f____w.{signature}")
    yield vector("another signature", f"{payload}.{timestamp}.{signature[::-1]}")
    yield vector("part of the signature", f"{payload}.{timestamp}.{signature[:-1]}")
    yield vector("more than the signature", f"{payload}.{timestamp}.{signature}A")
    yield vector("a signature of another length", f"{payload}.{timestamp}.{signature[:-7]}")
    yield vector("a signature twice", f"{payload}.{timestamp}.{signature}.{signature}")
    yield vector("a signature in front", f"{signature}.{payload}.{timestamp}")
    yield vector("marked as deflated later", f".{payload}.{timestamp}.{signature}")
    yield vector("a dot in the payload", f"{payload[:4]}.{payload[4:]}.{timestamp}.{signature}")
    yield vector("a dot at the end", f"{PLAIN_TOKEN}.")
    yield vector("a space in front", f" {PLAIN_TOKEN}")
    yield vector("in quotes", f'"{PLAIN_TOKEN}"')
    yield vector("capitals and small letters exchanged", PLAIN_TOKEN.swapcase())
    yield vector("a letter beyond ASCII", f"é{PLAIN_TOKEN}")
    yield vector("a lone surrogate", f"{PLAIN_TOKEN}\ud800")
    yield vector("a zero byte", f"{PLAIN_TOKEN[:9]}\x00{PLAIN_TOKEN[9:]}")
    yield vector("another key", PLAIN_TOKEN, keys=["another"])
    yield vector("several other keys", PLAIN_TOKEN, keys=["another", "and another"])
    yield vector("another salt", PLAIN_TOKEN, salt="another")
    yield vector("another derivation", PLAIN_TOKEN, key_derivation="django-concat")
    yield vector("another digest", PLAIN_TOKEN, digest="sha256")
    yield vector("one second too old", PLAIN_TOKEN, max_age=MAX_AGE, now=NOW + MAX_AGE + 1)
    yield vector("one second old where none is granted", PLAIN_TOKEN, max_age=0, now=NOW + 1)
    yield vector("half a second is not granted", PLAIN_TOKEN, max_age=0.5, now=NOW + 1)
    yield vector("a negative max_age", PLAIN_TOKEN, max_age=-1)
    yield vector("signed in the next second", PLAIN_TOKEN, max_age=MAX_AGE, now=NOW - 1)
    yield vector("too old and of an older key", carry("{}", keys=["old"]), keys=["old", "new"], max_age=1, now=NOW + 9)
    yield vector("forged and too old", f"{payload}.{timestamp}.{signature[::-1]}", max_age=1, now=NOW + 9)
    yield vector("signed without a timestamp", sign(payload.encode()))
    yield vector("signed, but nothing", sign(b""))
    yield vector("a timestamp of nine bytes", sign(b"e30." + base64_encode(b"\x01" * 9)))
    yield vector("nine bytes and all zero", sign(b"e30." + base64_encode(bytes(9))))
    yield vector("a timestamp that is no base64", sign(b"e30.A"))
    yield vector("a forged token with such a timestamp", "e30.A.A")
    yield vector("a forged token of the year 36812", "e30.AQAAAAAA.A")
    yield vector("signed in the year 36812", carry("{}", seconds=2**40), max_age=MAX_AGE)
    yield vector("a payload that is no base64", stamp(b"A"))
    yield vector("a deflated payload that is no base64", stamp(b".A"))
    yield vector("deflated, but nothing", stamp(b"."))
    yield vector("not deflated, but marked so", stamp(b"." + payload.encode()))
    yield vector("a deflated stream cut short", squeeze(DEFLATED[:-5]))
    yield vector("a deflated stream without its checksum", squeeze(DEFLATED[:-4]))
    yield vector("a deflated stream with a wrong checksum", squeeze(with_bit_flipped(DEFLATED, -1)))
    yield vector("a deflated stream with a bit flipped", squeeze(with_bit_flipped(DEFLATED, 9)))
    yield vector("a deflated stream without its header", squeeze(DEFLATED[2:]))
    yield vector("deflated, but no JSON", squeeze(zlib.compress(b"a" * 1000)))
    yield text("an empty text", "")
    yield text("white space alone", " \n")
    yield text("a word", "None")
    yield text("single quotes", "{'a':1}")
    yield text("an open object", '{"a":1')
    yield text("an open string", '"a')
    yield text("a comma too many", "[1,]")
    yield text("a name without quotes", "{a:1}")
    yield text("a comment", "/**/1")
    yield text("more after the value", "{} x")
    yield text("two values", "{}{}")
    yield text("a zero byte after the value", "{}\x00")
    yield text("a form feed is not white space", "\f{}")
    yield text("a byte order mark", "\ufeff{}")
    yield text("UTF-16", "{}".encode("utf-16-le"))
    yield text("Latin-1", '"é"'.encode("latin-1"))
    yield text("a surrogate in UTF-8", b'"\xed\xa0\x80"')
    yield text("an overlong form in UTF-8", b'"\xc0\x80"')
    yield text("a control character in a string", '"\n"')
    yield text("an unknown escape", r'"\x41"')
    yield text("a short escape", r'"\u12"')
    yield text("a zero in front", "01")
    yield text("a plus", "+1")
    yield text("a bare fraction", "[.5]")
    yield text("a bare exponent", "1e")
    yield text("hexadecimal", "0x10")
    yield text("more digits than the interpreter reads", "1" * 5000)
    yield vector("too deep", squeeze(zlib.compress(b"[" * 100_000 + b"]" * 100_000)))
    yield vector("too deep a dict", squeeze(zlib.compress(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)))
    yield text("bytes without their padding", '{" b":"AA"}')
    yield text("bytes of one letter", '{" b":"A"}')
    yield text("bytes beyond ASCII", '{" b":"é"}')
    yield text("bytes of a number", '{" b":5}')
    yield text("a UUID too short", '{" u":"0123456789abcdef"}')
    yield text("a UUID of other letters", '{" u":"0123456789abcdef0123456789abcdeg"}')
    yield text("a UUID of null", '{" u":null}')
    yield text("a tuple of a number", '{" t":5}')
    yield text("a tuple of null", '{" t":null}')
    yield text("a date of a list", '{" d":[1]}')
    yield text("a disguised dict of nothing", '{" di":{}}')
    yield text("a disguised dict of a string", '{" di":"a"}')
    yield text("a tag deep within", '{"a":[{"b":{" t":[{" u":"bad"}]}}]}')
    yield text("a syntax error after a bad tag", '{"a":{" u":"bad"}')


FILES: dict[str, tuple[str, Callable[[], Iterator[Vector]], Callable[..., Vector]]] = {
    "generate.json": ("The tokens that stock Flask makes of values.", generate_vectors, generated),
    "verify.json": ("What stock Flask reads in tokens.", verify_vectors, verified),
    "invalid.json": ("How stock Flask refuses tokens.", invalid_vectors, refused),
}


def content(name: str) -> str:
    """What the file should hold."""
    description, vectors, answer = FILES[name]
    answered = [vector | answer(SecureCookieSessionInterface(), vector) for vector in vectors()]
    return json.dumps({"description": description, "defaults": DEFAULTS, "vectors": answered}, indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the vectors of stock Flask, or check them.")
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, and write nothing")
    check = parser.parse_args().check
    outdated = [name for name in FILES if not check or (HERE / name).read_text("utf-8") != content(name)]
    for name in outdated:
        if check:
            print(f"{name} is not what stock answers", file=sys.stderr)
        else:
            (HERE / name).write_text(content(name), "utf-8")
    return int(check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
