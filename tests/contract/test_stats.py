"""Which path was taken: native code wherever it can, and stock's for each reason there is.

What stock code answers is compared with stock like everything else; only the counts are ours alone.
"""

from __future__ import annotations

import copy
import dataclasses
import decimal
import hashlib
import json
import pickle
import time
import typing as t
import zlib

import flask
import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import JSONTag
from flask.json.tag import TaggedJSONSerializer

from flask_fastsession import FastSessionInterface

from .parity import NOW
from .parity import Interface
from .parity import Outcome
from .parity import Scenario
from .parity import borrowed_tags
from .parity import dumps
from .parity import encoded_second
from .parity import exactly
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import sealed
from .parity import sealed_json
from .parity import serializer_of
from .parity import signed_by_stock
from .parity import snapshot
from .parity import store
from .parity import touch_nothing

NATIVE_VALUES: dict[str, t.Any] = {
    "nothing": {},
    "a login": {"_fresh": True, "_user_id": "42", "_permanent": True},
    "scalars": {"n": None, "i": -(2**63), "u": 2**64 - 1, "f": 0.1, "t": "é€😀\x7f", "b": b"\xff"},
    "containers": {"d": {"b": 1, "a": [1, (2, ())]}, "di": {" t": 1}},
    "a big one": {"words": ["the same words"] * 500},
    "a deep one": {"v": json.loads("[" * 15 + "]" * 15)},
}

READABLE_TEXTS = [
    '{"a":{" d":"Wed, 21 Oct 2015 07:28:00 GMT"}}',
    '{" u":"000102030405060708090a0b0c0d0e0f"}',
    '{" m":"<b>"}',
    "[1.5,null]",
]

COOKIE = sealed_json('{"user":"ada"}')

needs_classic_zlib = pytest.mark.skipif(
    "ng" in zlib.ZLIB_RUNTIME_VERSION, reason="this Python compresses otherwise, so it does a part of each dumps"
)


@needs_classic_zlib
@pytest.mark.parametrize("value", NATIVE_VALUES.values(), ids=list(NATIVE_VALUES))
def test_ordinary_values_run_natively(clock, value):
    interface = FastSessionInterface()
    app = make_app(interface)
    with app.app_context():
        token = serializer_of(app).dumps(value)
        loaded = serializer_of(app).loads(token, max_age=60)
    assert token == dumps(Interface, value)
    assert exactly(loaded) == exactly(loads(Interface, token))
    assert interface.stats()["dumps"] == {"native": 1, "declined": {}}
    assert interface.stats()["loads"] == {"native": 1, "rejected": 0, "declined": {}}


@pytest.mark.parametrize("text", READABLE_TEXTS)
def test_ordinary_texts_are_read_natively(clock, text):
    interface = FastSessionInterface()
    serializer_of(make_app(interface)).loads(sealed_json(text))
    assert interface.stats()["loads"] == {"native": 1, "rejected": 0, "declined": {}}


@needs_classic_zlib
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("key_derivation", ["hmac", "concat", "django-concat", "none"])
def test_the_usual_digests_run_natively(clock, digest, key_derivation):
    interface = FastSessionInterface()
    interface.digest_method = getattr(hashlib, digest)
    interface.key_derivation = key_derivation
    exchange(make_app(interface, SECRET_KEY_FALLBACKS=["old", b"older"]), store(n=1))
    assert interface.stats()["dumps"] == {"native": 1, "declined": {}}


@needs_classic_zlib
def test_a_request_runs_natively(clock):
    interface = FastSessionInterface()
    app = make_app(interface)
    first = exchange(app, store(_permanent=True, user="ada"))
    exchange(app, touch_nothing, first.token)
    assert interface.stats() == {
        "guard": interface.stats()["guard"],
        "open": {"native": 2, "declined": {}},
        "serializer": {"native": 2, "declined": {}},
        "cookies": {"native": 2, "declined": {}},
        "loads": {"native": 1, "rejected": 0, "declined": {}},
        "save": {"native": 2, "declined": {}},
        "dumps": {"native": 2, "declined": {}},
        "headers": {"native": 2, "declined": {}},
        "keys": {"current": 1, "fallbacks": [], "old_digests": 0},
        "kinds": {"signed": 1, "encrypted": 0, "too_large_when_encrypted": 0},
    }


@needs_classic_zlib
def test_a_request_class_may_gain_what_sessions_do_not_touch(clock, monkeypatch):
    class CustomRequest(flask.Request):
        pass

    class CustomFlask(flask.Flask):
        request_class = CustomRequest

    interface = FastSessionInterface()
    app = make_app(interface, CustomFlask)
    exchange(app, touch_nothing)
    monkeypatch.setattr(CustomRequest, "tenant", "acme", raising=False)
    exchange(app, store(user="ada"))
    assert interface.stats()["open"] == {"native": 2, "declined": {}}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("junk", id="no dots"),
        pytest.param("a.b", id="one dot"),
        pytest.param("e30.ZVPxAA." + "A" * 27, id="forged"),
        pytest.param(sealed(b"e30", encoded_second(NOW - 32 * 86_400)), id="expired"),
        pytest.param(sealed(b"e30", encoded_second(NOW + 1)), id="of the future"),
    ],
)
def test_bad_tokens_are_counted_as_rejected(clock, token):
    interface = FastSessionInterface()
    exchange(make_app(interface), snapshot, token)
    assert interface.stats()["loads"] == {"native": 0, "rejected": 1, "declined": {}}


def test_copies_count_anew(clock):
    interface = FastSessionInterface()
    exchange(make_app(interface), store(n=1))
    for duplicate in (copy.deepcopy(interface), pickle.loads(pickle.dumps(interface))):
        assert duplicate.stats()["dumps"] == {"native": 0, "declined": {}}


# --- Reasons --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cause:
    """How to bring one reason about: what to make of the app and its serializer, and what to do then."""

    value: t.Any = dataclasses.field(default_factory=lambda: {"n": 1})
    token: t.Any = COOKIE
    options: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    prepare_app: t.Callable[[flask.Flask], object] = lambda app: None
    prepare: t.Callable[[t.Any], object] = lambda serializer: None
    patch: t.Callable[[pytest.MonkeyPatch], object] = lambda monkeypatch: None


def setting(name: str, value: t.Any) -> t.Callable[[t.Any], None]:
    return lambda target: setattr(target, name, value)


def with_json(provider: type[DefaultJSONProvider]) -> t.Callable[[flask.Flask], None]:
    return lambda app: setattr(app, "json", provider(app))


def with_interface(**attributes: t.Any) -> t.Callable[[flask.Flask], None]:
    return lambda app: vars(app.session_interface).update(attributes)


def patching(target: t.Any, name: str, wrap: t.Callable[[t.Any], t.Any]) -> t.Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(target, name, wrap(getattr(target, name)))


def wrapped(function: t.Any) -> t.Any:
    return lambda *args, **kwargs: function(*args, **kwargs)


class CountingProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **kwargs: t.Any) -> t.Any:
        return super().loads(s, **kwargs)


class OwnSerializer(TaggedJSONSerializer):
    pass


class OwnTag(JSONTag):
    key = " own"

    def check(self, value: t.Any) -> bool:
        return bool(value == "own")

    def to_python(self, value: t.Any) -> t.Any:
        return "own"


class Name(str):
    pass


class OwnSigner(itsdangerous.TimestampSigner):
    pass


def shared_text() -> t.Any:
    return ["x" * (1 << 20)] * 17


def deep(depth: int) -> t.Any:
    return json.loads("[" * depth + "]" * depth)


BOTH_WAYS: dict[str, dict[str, Cause]] = {
    "serializer": {
        "an attribute more": Cause(prepare=setting("note", 1)),
        "a hook": Cause(prepare=lambda s: setattr(s, "dump_payload", s.dump_payload)),
        "bytes": Cause(prepare=setting("is_text_serializer", False)),
    },
    "signer": {
        "a signer class": Cause(prepare=setting("signer", OwnSigner)),
        "fallback signers": Cause(prepare=setting("fallback_signers", [OwnSigner])),
        "a separator": Cause(prepare=lambda s: s.signer_kwargs.update(sep=":")),
        "a derivation that is no name": Cause(prepare_app=with_interface(key_derivation=Name("hmac"))),
        "a salt of another type": Cause(prepare=setting("salt", bytearray(b"salt"))),
    },
    "keys": {
        "a key of another type": Cause(prepare_app=lambda app: app.config.update(SECRET_KEY=[7])),
        "no keys": Cause(prepare=setting("secret_keys", [])),
        "keys in a tuple": Cause(prepare=lambda s: setattr(s, "secret_keys", tuple(s.secret_keys))),
        "an unknown derivation": Cause(prepare_app=with_interface(key_derivation="other")),
    },
    "digest": {
        "another length": Cause(prepare_app=with_interface(digest_method=hashlib.md5)),
        "another digest of that length": Cause(prepare_app=with_interface(digest_method=hashlib.sha3_256)),
    },
    "patched": {
        "get_timestamp": Cause(
            patch=patching(itsdangerous.TimestampSigner, "get_timestamp", wrapped), options={"max_age": 9}
        ),
    },
    "clock": {
        "before 1970": Cause(patch=patching(time, "time", lambda _: lambda: -1), options={"max_age": 9}),
        "beyond all": Cause(patch=patching(time, "time", lambda _: lambda: 2**200), options={"max_age": 9}),
        "no number": Cause(patch=patching(time, "time", lambda _: lambda: "noon"), options={"max_age": 9}),
    },
    "json_provider": {
        "overridden methods": Cause(prepare_app=with_json(CountingProvider)),
    },
    "json_tags": {
        "a serializer class": Cause(prepare_app=with_interface(serializer=OwnSerializer())),
    },
}

OUT: dict[str, dict[str, Cause]] = {
    "patched": {
        "json.dumps": Cause(patch=patching(json, "dumps", wrapped)),
        "the tags": Cause(patch=patching(TaggedJSONSerializer, "dumps", wrapped)),
    },
    "json_tags": {"a tag more": Cause(prepare=lambda s: s.serializer.register(OwnTag))},
    "value_type": {
        "a set": Cause(value={"v": {1}}),
        "a subclass": Cause(value={"v": Name("text")}),
    },
    "dict_key": {"an int": Cause(value={1: 2})},
    "number": {"a long int": Cause(value={"v": 2**128}), "nan": Cause(value={"v": float("nan")})},
    "surrogate": {"in a value": Cause(value={"v": "\ud800"}), "in a key": Cause(value={"\ud800": 1})},
    "depth": {"deep": Cause(value={"v": deep(110)})},
    "size": {"17 MB": Cause(value={"v": shared_text()})},
}

IN: dict[str, dict[str, Cause]] = {
    "patched": {
        "json.loads": Cause(patch=patching(json, "loads", wrapped)),
        "the tags": Cause(patch=patching(TaggedJSONSerializer, "loads", wrapped)),
    },
    "token_type": {
        "a bytearray": Cause(token=bytearray(COOKIE.encode())),
        "a surrogate": Cause(token="\ud800"),
        "no text": Cause(token=7),
    },
    "token_form": {
        "a padded signature": Cause(token=COOKIE + "="),
        "a long signature": Cause(token=COOKIE + "A" * 99),
        "a padded timestamp": Cause(token=sealed(b"e30", encoded_second(NOW) + b"==")),
        "a timestamp after 2106": Cause(token=sealed(b"e30", encoded_second(2**32))),
    },
    "max_age": {"a float": Cause(options={"max_age": 9.5}), "a huge one": Cause(options={"max_age": 2**70})},
    "payload": {
        "padded base64": Cause(token=sealed(b"e30=")),
        "no zlib": Cause(token=sealed(b".e30")),
        "undecodable": Cause(token=signed_by_stock(b"\xff." + encoded_second(NOW))),
    },
    "json_text": {
        "NaN": Cause(token=sealed_json("NaN")),
        "no JSON": Cause(token=sealed_json("{")),
        "a surrogate": Cause(token=sealed_json('"\\ud800"')),
    },
    "depth": {"deep": Cause(token=sealed_json("[" * 60 + "]" * 60))},
    "tag_value": {
        "a bad uuid": Cause(token=sealed_json('{" u":"x"}')),
        "odd base64": Cause(token=sealed_json('{" b":"YQ"}')),
        "another date": Cause(token=sealed_json('{" d":"2015-10-21"}')),
        "a long int": Cause(token=sealed_json("1" * 40)),
        "a tag more": Cause(token=sealed_json('{"v":{" own":1}}'), prepare=lambda s: s.serializer.register(OwnTag)),
        "equal names": Cause(token=sealed_json('{"a":1,"a":2}')),
    },
}


def causes(*tables: dict[str, dict[str, Cause]]) -> list[t.Any]:
    return [
        pytest.param(reason, cause, id=f"{reason}: {name}")
        for table in tables
        for reason, named in table.items()
        for name, cause in named.items()
    ]


def attempt(cause: Cause, way: str, interface: Interface) -> Outcome:
    """Dump or load in the circumstances given."""
    app = make_app(interface)
    with pytest.MonkeyPatch.context() as monkeypatch, borrowed_tags(), app.app_context():
        cause.prepare_app(app)
        serializer = serializer_of(app)
        cause.prepare(serializer)
        cause.patch(monkeypatch)
        if way == "dumps":
            return outcome_of(serializer.dumps, cause.value)
        return outcome_of(serializer.loads, cause.token, **cause.options)


def check_declined(parity: t.Callable[[Scenario], Outcome], cause: Cause, way: str, reason: str) -> None:
    outcome = parity(lambda interface_class: attempt(cause, way, interface_class()))
    interface = FastSessionInterface()
    attempt(cause, way, interface)
    stats: t.Any = interface.stats()
    counts = stats[way]
    assert counts["native"] == 0
    # What ends in an exception of stock's own is not an answer, and may go uncounted.
    assert counts["declined"] == {reason: 1} or (outcome.value.error and not counts["declined"])


@needs_classic_zlib
@pytest.mark.parametrize(("reason", "cause"), causes(BOTH_WAYS, OUT))
def test_why_dumps_was_left_to_stock(parity, reason, cause):
    check_declined(parity, cause, "dumps", reason)


@pytest.mark.parametrize(("reason", "cause"), causes(BOTH_WAYS, IN))
def test_why_loads_was_left_to_stock(parity, reason, cause):
    check_declined(parity, cause, "loads", reason)


# --- Reasons along the path of a request ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Circumstance:
    """What is odd about an app that serves one request, and which half of the request notices."""

    half: t.Literal["open", "save"]
    prepare: t.Callable[[flask.Flask], object] = lambda app: None
    view: t.Callable[[t.Any], object] = store(n=1)
    headers: dict[str, str] = dataclasses.field(default_factory=lambda: {"Cookie": f"session={COOKIE}"})


def with_method(name: str) -> t.Callable[[flask.Flask], None]:
    """Shadow a method of the interface by one that does the same."""
    return lambda app: setattr(app.session_interface, name, wrapped(getattr(app.session_interface, name)))


def with_class(**classes: type) -> t.Callable[[flask.Flask], None]:
    return lambda app: vars(app).update(classes)


class OwnRequest(flask.Request):
    @property
    def cookies(self) -> t.Any:
        return super().cookies


class OwnResponse(flask.Response):
    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().set_cookie(*args, **kwargs)


class OwnConfig(flask.Config):
    def __getitem__(self, key: str) -> t.Any:
        return super().__getitem__(key)


def with_config_class(app: flask.Flask) -> None:
    app.config = OwnConfig(app.root_path, app.config)


CIRCUMSTANCES: dict[str, dict[str, Circumstance]] = {
    "hook": {
        "the name of the cookie": Circumstance("open", with_method("get_cookie_name")),
        "a getter": Circumstance("save", with_method("get_cookie_secure")),
        "the rule": Circumstance("save", with_method("should_set_cookie")),
        "the expiry": Circumstance("save", with_method("get_expiration_time")),
        "the serializer": Circumstance("open", with_method("get_signing_serializer")),
    },
    "app": {"a config class": Circumstance("open", with_config_class)},
    "request": {"a request class": Circumstance("open", with_class(request_class=OwnRequest))},
    "cookie_header": {
        "no value": Circumstance("open", headers={"Cookie": f"other; session={COOKIE}"}),
        "a quoted value": Circumstance("open", headers={"Cookie": f'session="{COOKIE}"'}),
        "a space": Circumstance("open", headers={"Cookie": f"session = {COOKIE}"}),
    },
    "cookie_options": {
        "a bad SameSite": Circumstance("save", lambda app: app.config.update(SESSION_COOKIE_SAMESITE="none of these")),
        "a number": Circumstance("save", lambda app: app.config.update(SESSION_COOKIE_SECURE=1)),
    },
    "session": {
        "a session class": Circumstance(
            "save", lambda app: setattr(app.session_interface, "session_class", OwnSession)
        ),
        "no dict": Circumstance("open", headers={"Cookie": f"session={sealed_json('[]')}"}),
    },
    "response": {"a response class": Circumstance("save", with_class(response_class=OwnResponse))},
    "keys": {
        "a key of another type": Circumstance("open", lambda app: app.config.update(SECRET_KEY=bytearray(b"key"))),
    },
    "max_age": {
        "a lifetime of another type": Circumstance(
            "open", lambda app: app.config.update(PERMANENT_SESSION_LIFETIME=9.5)
        ),
    },
    "size": {"a big cookie": Circumstance("save", lambda app: app.config.update(MAX_COOKIE_SIZE=100))},
    "value_type": {"a set": Circumstance("save", view=store(v={1}))},
    "payload": {"padded base64": Circumstance("open", headers={"Cookie": f"session={sealed(b'e30=')}"})},
    "json_provider": {"overridden methods": Circumstance("open", with_json(CountingProvider))},
}


# Flask 3.0 has no fallback keys to look at.
if "SECRET_KEY_FALLBACKS" in flask.Flask.default_config:
    CIRCUMSTANCES["keys"]["fallbacks that are no list"] = Circumstance(
        "open", lambda app: app.config.update(SECRET_KEY_FALLBACKS=iter(["old"]))
    )


class OwnSession(flask.sessions.SecureCookieSession):
    pass


def serve(circumstance: Circumstance, interface: Interface) -> Outcome:
    app = make_app(interface)
    circumstance.prepare(app)
    return outcome_of(exchange, app, circumstance.view, headers=circumstance.headers)


@needs_classic_zlib
@pytest.mark.parametrize(
    ("reason", "circumstance"),
    [
        pytest.param(reason, circumstance, id=f"{reason}: {name}")
        for reason, named in CIRCUMSTANCES.items()
        for name, circumstance in named.items()
    ],
)
def test_why_half_a_request_was_left_to_stock(parity, reason, circumstance):
    parity(lambda interface_class: serve(circumstance, interface_class()))
    interface = FastSessionInterface()
    serve(circumstance, interface)
    # What fails is saved once more, with the page that says so.
    stats: t.Any = interface.stats()
    counts = stats[circumstance.half]
    assert counts["native"] == 0
    assert set(counts["declined"]) == {reason}


@needs_classic_zlib
@pytest.mark.contract("C55")
def test_a_cookie_is_deleted_natively():
    interface = FastSessionInterface()
    reply = exchange(make_app(interface), lambda session: session.clear(), COOKIE)
    assert "Max-Age=0" in reply.cookies[0]
    assert interface.stats()["save"] == {"native": 1, "declined": {}}


class Noting(flask.Response):
    def set_cookie(self, *args, **kwargs):
        super().set_cookie(*args, **kwargs)


class SecureOnly(FastSessionInterface):
    def get_cookie_secure(self, app):
        return True


STEPS = ("cookies", "loads", "dumps", "headers")
DECLINED: dict[str, dict[str, dict[str, int]]] = {
    "a getter": {},
    "set_cookie": {"headers": {"response": 2}},
    "cookies": {"cookies": {"request": 2}},
    "a value": {"dumps": {"value_type": 1}},
}


@needs_classic_zlib
@pytest.mark.contract("C68")
@pytest.mark.parametrize("overridden", DECLINED)
def test_an_override_leaves_the_other_steps_native(overridden):
    interface = SecureOnly() if overridden == "a getter" else FastSessionInterface()
    app = make_app(interface)
    if overridden == "set_cookie":
        app.response_class = Noting
    if overridden == "cookies":
        cookies: t.Any = flask.Request.cookies
        app.request_class = type("Own", (flask.Request,), {"cookies": property(lambda self: cookies.__get__(self))})
    value = {"lucky": True, "n": 1} if overridden != "a value" else {"price": decimal.Decimal(1)}
    first = exchange(app, store(**value, _permanent=True))
    exchange(app, touch_nothing, first.token)
    stats: t.Any = interface.stats()
    declined = {name: stage["declined"] for name, stage in stats.items() if name in STEPS and stage["declined"]}
    assert declined == DECLINED[overridden]
    assert {name: stats[name]["native"] for name in STEPS} == {
        name: (1 if name == "loads" else 2) - sum(declined.get(name, {}).values()) for name in STEPS
    }


@pytest.mark.contract("C53")
def test_an_unusual_digest_makes_no_more_serializers_than_stock(monkeypatch):
    made = []
    make = FastSessionInterface._make_serializer
    monkeypatch.setattr(
        FastSessionInterface, "_make_serializer", lambda interface, app: made.append(app) or make(interface, app)
    )
    interface = FastSessionInterface(digest_method=hashlib.sha3_256)
    app = make_app(interface)
    first = exchange(app, store(user="ada", _permanent=True))
    made.clear()
    exchange(app, touch_nothing, first.token)
    assert len(made) == 2
    assert interface.stats()["loads"]["declined"] == {"digest": 1}
