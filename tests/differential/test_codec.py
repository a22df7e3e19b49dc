"""Stock and ours over whatever Hypothesis comes up with, and over a number of random cases."""

from __future__ import annotations

import collections
import secrets
import subprocess
import sys
import typing as t
from datetime import datetime
from pathlib import Path

from flask import Flask
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from markupsafe import Markup

from flask_fastsession import FastSessionInterface
from tests.faults.support import scaled

from .codec import odd_types
from .codec.comparison import Sides
from .codec.comparison import Use
from .codec.damages import DAMAGES
from .codec.json_texts import BASE64S
from .codec.json_texts import DATES
from .codec.json_texts import EXTREME_NUMBERS
from .codec.json_texts import HEXES
from .codec.json_texts import NUMBERS
from .codec.run import Run
from .codec.settings import DIGESTS
from .codec.settings import NOW
from .codec.settings import PROVIDERS
from .codec.settings import SERIALIZERS
from .codec.settings import Setting
from .codec.tokens import payload
from .codec.tokens import signed
from .codec.values import TAG_KEYS
from .codec.values import TIMEZONES

CASES = 20_000

#: What the random cases must come to at least once, or they are not worth much.
WRITTEN = {"a value", "TypeError", "ValueError", "UnicodeEncodeError", "OverflowError", "RecursionError", "Timeout"}
READ = {"a value", "BadSignature", "BadTimeSignature", "SignatureExpired", "BadPayload", "UnicodeEncodeError"}

# --- Values of all kinds --------------------------------------------------------------------------------------------

any_text = st.text(st.characters())
markups = any_text.map(Markup)
moments = st.datetimes(timezones=st.none() | st.timezones() | st.sampled_from(TIMEZONES))
usual = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.sampled_from(TAG_KEYS)
    | st.binary()
    | st.uuids()
    | moments
    | markups
)
unusual = (
    st.integers(min_value=2**62)
    | any_text.map(odd_types.Text)
    | st.integers().map(odd_types.Integer)
    | st.floats().map(odd_types.Real)
    | st.binary().map(odd_types.Blob)
    | st.binary().map(bytearray)
    | markups.map(odd_types.MoreMarkup)
    | (any_text | st.none() | st.integers()).map(odd_types.Html)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.sets(st.integers())
    | st.sampled_from((odd_types.Colour.RED, odd_types.Level.HIGH, odd_types.Word.YES, datetime.min))
    | st.builds(odd_types.Reentrant)
)
names = any_text | st.sampled_from(TAG_KEYS)
odd_names = names | st.integers() | st.floats() | st.none() | st.booleans() | st.binary() | st.uuids()


def containers(inner: st.SearchStrategy[t.Any]) -> st.SearchStrategy[t.Any]:
    lists = st.lists(inner, max_size=5)
    dicts = st.dictionaries(names, inner, max_size=5)
    return (
        lists
        | dicts
        | lists.map(tuple)
        | st.dictionaries(st.sampled_from(TAG_KEYS), inner, min_size=1, max_size=1)
        | st.dictionaries(odd_names, inner, max_size=5)
        | lists.map(odd_types.Row)
        | lists.map(odd_types.Twice)
        | dicts.map(collections.OrderedDict)
        | dicts.map(odd_types.Items)
        | inner.map(odd_types.Point)
        | inner.map(odd_types.Record)
    )


plain_settings = st.builds(Setting, in_app_context=st.booleans())
all_settings = plain_settings | st.builds(
    Setting,
    secret_key=st.text() | st.binary(),
    fallbacks=st.lists(st.text() | st.binary(), max_size=3),
    salt=st.text() | st.binary() | st.none(),
    key_derivation=st.sampled_from(("hmac", "concat", "django-concat", "none", None, "unknown")),
    digest=st.sampled_from(tuple(DIGESTS)),
    serializer=st.sampled_from(tuple(SERIALIZERS)),
    provider=st.sampled_from(tuple(PROVIDERS)),
    in_app_context=st.booleans(),
    now=st.floats(0, 2**33),
)
max_ages = st.none() | st.integers() | st.floats() | st.booleans()

# --- Texts of all kinds ---------------------------------------------------------------------------------------------

#: Pieces of JSON, of which some sequences are well-formed.
json_pieces = st.sampled_from(
    (
        *'{}[]:,"0-.e \n\\',
        *('{"', '":', '",', "null", "true", '""', "NaN", "-Infinity", "1e400", '"\\ud800"', '"\\u00e9"', "\ufeff"),
        *(f'{{"{tag}":' for tag in TAG_KEYS[:6]),
        *(f'"{spelling}"' for spelling in DATES + HEXES + BASE64S),
        *NUMBERS,
        *EXTREME_NUMBERS,
    )
)
json_texts = st.recursive(
    json_pieces,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda texts: f"[{','.join(texts)}]")
        | st.lists(st.tuples(st.sampled_from(TAG_KEYS), inner), max_size=3).map(
            lambda members: "{" + ",".join(f'"{name}":{text}' for name, text in members) + "}"
        )
    ),
) | st.lists(json_pieces, max_size=12).map("".join)
payloads = (
    json_texts.map(lambda text: base64_encode(text.encode()))
    | st.binary().map(base64_encode)
    | st.binary()
    | st.randoms(use_true_random=False).map(payload)
)
timestamps = st.sampled_from((base64_encode(int(NOW).to_bytes(4, "big")), b"", b"A", b"AAAAAAAA")) | (
    st.binary(max_size=9).map(base64_encode)
)
contents = st.tuples(payloads, timestamps).map(b".".join) | st.binary()

SIDES = Sides()
enough = settings(
    max_examples=scaled(200, 4_000),
    database=None,
    print_blob=True,
)


def assert_alike(setting: Setting, use: Use) -> None:
    stock, ours = SIDES.outcomes(setting, use, use)
    assert ours == stock


@enough
@given(st.recursive(usual | unusual, containers, max_leaves=20), all_settings)
def test_values_are_written_alike(value: object, setting: Setting) -> None:
    assert_alike(setting, lambda serializer: serializer.dumps(value))


@enough
@given(st.recursive(usual, containers, max_leaves=20), plain_settings)
def test_usual_values_come_back_alike(value: object, setting: Setting) -> None:
    assert_alike(setting, lambda serializer: serializer.loads(serializer.dumps(value), 1, return_timestamp=True))


@enough
@given(any_text | st.binary() | st.binary().map(bytearray) | st.text("AZaz09-_.="), all_settings, max_ages)
def test_anything_is_read_alike(token: t.Any, setting: Setting, max_age: t.Any) -> None:
    assert_alike(setting, lambda serializer: serializer.loads(token, max_age=max_age))


@enough
@given(contents, plain_settings, max_ages)
def test_anything_signed_is_read_alike(content: bytes, setting: Setting, max_age: t.Any) -> None:
    token = signed(SIDES.signer(setting), content)
    assert_alike(setting, lambda serializer: serializer.loads(token, max_age=max_age, return_timestamp=True))


@enough
@given(contents, st.randoms(use_true_random=False), st.integers(1, 3))
def test_damaged_tokens_are_read_alike(content: bytes, rng: t.Any, times: int) -> None:
    token = signed(SIDES.signer(Setting()), content)
    for _ in range(times):
        token = rng.choice(DAMAGES)(rng, token)
    assert_alike(Setting(), lambda serializer: serializer.loads_unsafe(token, max_age=1))


# --- Random cases ---------------------------------------------------------------------------------------------------


def test_random_cases() -> None:
    run = Run(secrets.randbelow(2**32), Sides())
    differences = [difference for number in range(CASES) if (difference := run.case(number))]
    assert not differences, f"{len(differences)} differences (seed {run.seed}), the first: {differences[0]}"
    assert {name for method, name in run.outcomes if method == "dumps"} >= WRITTEN
    assert {name for method, name in run.outcomes if method == "loads"} >= READ
    assert run.native_share("dumps") > 0.4
    assert run.native_share("loads") > 0.3


def test_random_cases_find_a_difference() -> None:
    class Misled(FastSessionInterface):
        def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
            serializer = super().get_signing_serializer(app)
            if serializer is not None:
                serializer.secret_keys.append(b"another key")
            return serializer

    sides = Sides()
    sides.ours = Misled()
    run = Run(1, sides)
    assert any(run.case(number) for number in range(20))
    assert run.differences > 0


def test_the_command_says_what_it_found() -> None:
    command = [sys.executable, "-m", "tests.differential.codec", "--cases", "50", "--seed", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "50 cases, 0 differences (seed 1)"
