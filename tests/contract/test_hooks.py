"""C1-C14: where an app, a subclass or an extension may put a hand in."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import types
import typing as t
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version

import flask
import itsdangerous
import pytest
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sansio.scaffold import Scaffold
from flask.sessions import SecureCookieSession
from flask.sessions import SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.sansio.request import Request
from werkzeug.sansio.response import Response

from .parity import NOW
from .parity import SECRET_KEY
from .parity import Interface
from .parity import Reply
from .parity import View
from .parity import dumps
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import sealed_json
from .parity import serializer_of
from .parity import snapshot
from .parity import store
from .parity import touch_nothing

COOKIE = sealed_json('{"user":"ada"}')


class LoudSession(SecureCookieSession):
    """A session whose class shows in what it holds."""

    def __init__(self, initial: t.Any = None) -> None:
        super().__init__(initial)
        self["loud"] = True


class TerseSerializer(TaggedJSONSerializer):
    def dumps(self, value: t.Any) -> str:
        return "[" + super().dumps(value) + "]"

    def loads(self, value: str) -> t.Any:
        return super().loads(value[1:-1])


ATTRIBUTES = [
    ("salt", "another salt"),
    ("salt", b"bytes"),
    ("salt", None),
    ("salt", 7),
    ("digest_method", staticmethod(hashlib.sha256)),
    ("key_derivation", "concat"),
    ("key_derivation", "no such thing"),
    ("serializer", TerseSerializer()),
    ("session_class", LoudSession),
]


def replies_around(app: flask.Flask, change: t.Callable[[], None]) -> list[Reply]:
    before = exchange(app, store(n=1), COOKIE)
    change()
    return [before, exchange(app, store(n=1), COOKIE), exchange(app, snapshot, before.token)]


@pytest.mark.contract("C1")
@pytest.mark.parametrize(("name", "value"), ATTRIBUTES)
@pytest.mark.parametrize("place", ["instance", "class", "subclass", "base class"])
def test_attributes_are_read_at_each_call(parity, name, value, place):
    def scenario(interface_class):
        class Custom(interface_class):
            pass

        interface = Custom() if place == "subclass" else interface_class()
        owner: t.Any = {"instance": interface, "class": interface_class, "subclass": Custom}.get(place, Interface)
        found = value.__func__ if isinstance(value, staticmethod) and place == "instance" else value
        with pytest.MonkeyPatch.context() as patch:
            return replies_around(make_app(interface), lambda: patch.setattr(owner, name, found, raising=False))

    before, after, _ = parity(scenario).value
    assert (after.status, after.seen, after.cookies) != (before.status, before.seen, before.cookies)


@pytest.mark.contract("C1", "C10")
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_of_an_interface_are_its_equals(parity, duplicate):
    def scenario(interface_class):
        original = interface_class()
        original.salt = "another salt"
        duplicated = duplicate(original)
        duplicated.key_derivation = "concat"
        replies = [exchange(make_app(interface), store(n=1)) for interface in (original, duplicated)]
        return type(duplicated) is interface_class, replies

    is_same_class, _ = parity(scenario).value
    assert is_same_class


@pytest.mark.contract("C1")
def test_a_subclass_need_not_call_init(parity):
    def scenario(interface_class):
        class Custom(interface_class):
            def __init__(self, salt, *, digest_method):
                self.salt = salt
                self.digest_method = digest_method

        return exchange(make_app(Custom("another salt", digest_method=hashlib.sha512)), store(n=1))

    assert parity(scenario).value.cookies


def test_an_argument_to_the_interface_is_a_type_error(interface_class):
    with pytest.raises(TypeError, match="takes no arguments"):
        interface_class(object())


@pytest.mark.contract("C2")
def test_the_serializer_is_a_genuine_one(parity):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        is_genuine = isinstance(serializer, itsdangerous.URLSafeTimedSerializer)
        return is_genuine, sorted(vars(serializer)), serializer.secret_keys, serializer.secret_key, serializer.salt

    assert parity(scenario).value[0]


@pytest.mark.contract("C2")
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda s: s.loads(s.dumps([1])), id="loads"),
        pytest.param(lambda s: s.loads(s.dumps([1], salt="x"), salt=b"x"), id="salt"),
        pytest.param(lambda s: s.loads(s.dumps([1], "x")), id="another salt"),
        pytest.param(lambda s: s.loads(s.dumps([1]), 60, True), id="positional"),
        pytest.param(lambda s: s.loads(s.dumps([1]), max_age=60, return_timestamp=True), id="return_timestamp"),
        pytest.param(lambda s: s.loads(s.dumps([1]), return_timestamp=[]), id="no timestamp"),
        pytest.param(lambda s: s.loads(s=s.dumps(obj=[1], salt="x"), max_age=9, salt="x"), id="by name"),
        pytest.param(lambda s: s.loads(s.dumps([1], None), None, None, None), id="none"),
        pytest.param(lambda s: s.loads_unsafe(s.dumps([1])), id="loads_unsafe"),
        pytest.param(lambda s: s.loads_unsafe(s.dumps([1]) + "x", max_age=9), id="loads_unsafe of a forged one"),
        pytest.param(lambda s: s.loads_unsafe("x"), id="loads_unsafe of nothing"),
        pytest.param(lambda s: s.load_unsafe(io.StringIO(s.dumps([1]))), id="load_unsafe"),
        pytest.param(lambda s: s.load(io.StringIO(s.dumps([1]))), id="load"),
        pytest.param(lambda s: s.load(io.StringIO(s.dumps([1])), salt="x"), id="load with a salt"),
        pytest.param(lambda s: s.dump_payload([1]), id="dump_payload"),
        pytest.param(lambda s: s.load_payload(b"WzFd"), id="load_payload"),
        pytest.param(lambda s: s.make_signer("x").sign("y"), id="make_signer"),
        pytest.param(lambda s: [signer.sign("y") for signer in s.iter_unsigners()], id="iter_unsigners"),
    ],
)
def test_the_serializer_is_used_directly(parity, use):
    parity(lambda interface_class: use(serializer_of(make_app(interface_class()))))


@pytest.mark.contract("C2")
def test_dump_writes_to_a_file(parity):
    def scenario(interface_class):
        file = io.StringIO()
        serializer_of(make_app(interface_class())).dump({"a": (1,)}, file, salt="x")
        return file.getvalue()

    assert parity(scenario).value.count(".") == 2


@pytest.mark.contract("C2")
@pytest.mark.parametrize("arguments", [(), ("a", "b", "c", "d", "e")])
def test_a_wrong_number_of_arguments_is_a_type_error(interface_class, arguments):
    serializer = serializer_of(make_app(interface_class()))
    for method in (serializer.loads, serializer.dumps):
        with pytest.raises(TypeError):
            method(*arguments)


@pytest.mark.contract("C2", "C42a")
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_of_a_serializer_are_its_equals(parity, duplicate):
    def scenario(interface_class):
        original = serializer_of(make_app(interface_class(), SECRET_KEY_FALLBACKS=["old"]))
        original.dumps({})
        duplicated = duplicate(original)
        original.secret_keys.append(b"new")
        original.salt = b"another salt"
        tokens = [serializer.dumps({"a": (1,)}) for serializer in (original, duplicated)]
        return tokens, [outcome_of(duplicated.loads, token) for token in tokens]

    tokens, _ = parity(scenario).value
    assert tokens[0] != tokens[1]


def set_plainly(serializer: t.Any, name: str, value: t.Any) -> None:
    setattr(serializer, name, value)


def set_in_vars(serializer: t.Any, name: str, value: t.Any) -> None:
    vars(serializer)[name] = value


def set_as_object(serializer: t.Any, name: str, value: t.Any) -> None:
    object.__setattr__(serializer, name, value)


@pytest.mark.contract("C2", "C42a")
@pytest.mark.parametrize("change", [set_plainly, set_in_vars, set_as_object])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_keys", [b"another key"]),
        ("secret_keys", (b"another key",)),
        ("salt", b"another salt"),
        ("salt", None),
        ("serializer", TerseSerializer()),
        ("is_text_serializer", False),
        ("signer", itsdangerous.Signer),
        ("signer_kwargs", {"key_derivation": "none"}),
        ("signer_kwargs", {"sep": ":"}),
        ("fallback_signers", [{"key_derivation": "none"}]),
        ("serializer_kwargs", {"indent": 1}),
        ("dump_payload", lambda value: b"hooked"),
        ("dumps", lambda value, salt=None: "hooked"),
        ("note", "harmless"),
    ],
)
def test_attributes_of_a_serializer_may_be_set_at_any_time(parity, change, name, value):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        tokens = [serializer.dumps({"n": 1})]
        change(serializer, name, value)
        dumped = outcome_of(serializer.dumps, {"n": 1})
        return tokens, dumped, [outcome_of(serializer.loads, token) for token in (*tokens, dumped.value or "")]

    parity(scenario)


@pytest.mark.contract("C2", "C42a")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s.secret_keys.append(b"new"), id="keys"),
        pytest.param(lambda s: s.secret_keys.__setitem__(0, b"new"), id="a key"),
        pytest.param(lambda s: s.signer_kwargs.update(key_derivation="none"), id="derivation"),
        pytest.param(lambda s: s.signer_kwargs.update(digest_method=hashlib.sha512), id="digest"),
        pytest.param(lambda s: s.signer_kwargs.clear(), id="signer_kwargs"),
        pytest.param(lambda s: s.fallback_signers.append({"key_derivation": "none"}), id="fallback_signers"),
        pytest.param(lambda s: s.serializer_kwargs.update(indent=1), id="serializer_kwargs"),
        pytest.param(lambda s: delattr(s, "salt"), id="del salt"),
        pytest.param(lambda s: s.__dict__.pop("serializer"), id="del serializer"),
        pytest.param(lambda s: s.__dict__.clear(), id="del all"),
    ],
)
def test_attributes_of_a_serializer_may_be_mutated_at_any_time(parity, change):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        tokens = [serializer.dumps({"n": 1})]
        change(serializer)
        dumped = outcome_of(serializer.dumps, {"n": 1})
        return tokens, dumped, [outcome_of(serializer.loads, token) for token in (*tokens, dumped.value or "")]

    parity(scenario)


@pytest.mark.contract("C2")
@pytest.mark.parametrize("name", ["default_digest_method", "default_key_derivation", "get_timestamp"])
def test_defaults_of_the_signer_may_be_replaced(parity, name):
    replaced = {
        "default_digest_method": staticmethod(hashlib.sha256),
        "default_key_derivation": "concat",
        "get_timestamp": lambda self: 7,
    }

    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        serializer.signer_kwargs.clear()
        tokens = [serializer.dumps({"n": 1})]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(itsdangerous.TimestampSigner, name, replaced[name])
            tokens.append(serializer.dumps({"n": 1}))
            return tokens, [outcome_of(serializer.loads, token, max_age=60) for token in tokens]

    tokens, _ = parity(scenario).value
    assert tokens[0] != tokens[1]


def overriding(build: t.Callable[[t.Any, flask.Flask], object]) -> t.Callable[[type[Interface]], type[Interface]]:
    def subclass(interface_class):
        class Custom(interface_class):
            def get_signing_serializer(self, app):
                return build(super().get_signing_serializer(app), app)

        return Custom

    return subclass


def hooked(serializer: t.Any, app: flask.Flask) -> object:
    plain_dumps = serializer.dumps
    serializer.dumps = lambda value, salt=None: plain_dumps({**value, "hooked": True}, salt)
    return serializer


def salted(serializer: t.Any, app: flask.Flask) -> object:
    serializer.salt = b"another salt"
    return serializer


def rekeyed(serializer: t.Any, app: flask.Flask) -> object:
    serializer.secret_keys.append(b"newest")
    return serializer


def dotless(serializer: t.Any, app: flask.Flask) -> object:
    serializer.signer_kwargs["sep"] = ":"
    return serializer


def spaced(serializer: t.Any, app: flask.Flask) -> object:
    serializer.serializer = itsdangerous.Serializer.default_serializer
    serializer.serializer_kwargs = {"indent": 1}
    return serializer


@pytest.mark.contract("C3")
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda _, app: itsdangerous.URLSafeTimedSerializer(app.secret_key), id="timed"),
        pytest.param(lambda _, app: itsdangerous.URLSafeSerializer(app.secret_key), id="untimed"),
        pytest.param(lambda _, app: itsdangerous.TimedSerializer(app.secret_key), id="not url-safe"),
        pytest.param(lambda _, app: None, id="none"),
        hooked,
        salted,
        rekeyed,
        dotless,
        spaced,
    ],
)
def test_an_overridden_serializer_signs_and_verifies(parity, build):
    def scenario(interface_class):
        app = make_app(overriding(build)(interface_class)())
        written = exchange(app, store(n=1))
        cookies = [written.token] if written.cookies else []
        return written, [exchange(app, store(n=2), cookie) for cookie in [COOKIE, *cookies]]

    written, _ = parity(scenario).value
    assert written.cookies != exchange(make_app(Interface()), store(n=1)).cookies


@pytest.mark.contract("C4")
@pytest.mark.parametrize("config", [{"SECRET_KEY": "\ud800"}, {"SECRET_KEY": 7, "SECRET_KEY_FALLBACKS": 7}])
def test_a_bad_key_surfaces_without_a_cookie(parity, config):
    reply = parity(lambda interface_class: exchange(make_app(interface_class(), **config), touch_nothing)).value
    assert reply.status == "500 INTERNAL SERVER ERROR"


@pytest.mark.contract("C4", "C8")
@pytest.mark.parametrize("key", [7, 1.5, ["a", "b"], ("a", b"b"), {}, object, bytearray(b"x"), memoryview(b"x")])
def test_keys_of_odd_types(parity, key):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY=key)
        return exchange(app, snapshot), exchange(app, snapshot, COOKIE), exchange(app, store(n=1))

    parity(scenario)


class RecordingSerializer(TaggedJSONSerializer):
    __slots__ = ("calls",)

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, object]] = []

    def dumps(self, value: t.Any) -> str:
        self.calls.append(("dumps", value))
        return super().dumps(value)

    def loads(self, value: str) -> t.Any:
        self.calls.append(("loads", value))
        return super().loads(value)


@pytest.mark.contract("C5")
def test_the_constructor_tries_the_serializer(parity):
    def scenario(interface_class):
        interface = interface_class()
        interface.serializer = RecordingSerializer()
        exchange(make_app(interface), store(n=1), COOKIE)
        return interface.serializer.calls

    calls = parity(scenario).value
    assert calls == [
        ("dumps", {}),
        ("loads", '{"user":"ada"}'),
        ("dumps", {}),
        ("dumps", {"user": "ada", "n": 1}),
    ]


@pytest.mark.contract("C5")
def test_a_serializer_that_fails_on_nothing(parity):
    class Fussy(TaggedJSONSerializer):
        def dumps(self, value):
            if not value:
                raise LookupError("nothing to dump")
            return super().dumps(value)

    def scenario(interface_class):
        interface = interface_class()
        interface.serializer = Fussy()
        return exchange(make_app(interface), touch_nothing)

    assert parity(scenario).value.status == "500 INTERNAL SERVER ERROR"


class BytesSerializer(TaggedJSONSerializer):
    def dumps(self, value: t.Any) -> t.Any:
        return super().dumps(value).encode()

    def loads(self, value: t.Any) -> t.Any:
        return {"loaded from": type(value).__name__, **super().loads(value)}


class BytesProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> t.Any:
        return super().dumps(obj, **kwargs).encode()

    def loads(self, s: t.Any, **kwargs: t.Any) -> t.Any:
        return {"loaded from": type(s).__name__, **super().loads(s, **kwargs)}


def with_bytes_serializer(interface_class: type[Interface]) -> flask.Flask:
    interface = interface_class()
    interface.serializer = BytesSerializer()
    return make_app(interface)


def with_bytes_provider(interface_class: type[Interface]) -> flask.Flask:
    app = make_app(interface_class())
    app.json = BytesProvider(app)
    return app


@pytest.mark.contract("C5")
@pytest.mark.parametrize("build", [with_bytes_serializer, with_bytes_provider])
def test_a_serializer_of_bytes_makes_cookies_of_bytes(parity, build):
    def scenario(interface_class):
        app = build(interface_class)
        with app.app_context():
            serializer = serializer_of(app)
            token = serializer.dumps({"n": 1})
            data = serializer.loads(token)
        return token, data, exchange(app, snapshot, COOKIE), exchange(app, store(n=1))

    token, data, opened, saved = parity(scenario).value
    assert type(token) is bytes
    assert data == {"loaded from": "bytes", "n": 1}
    assert opened.status == "200 OK"
    assert saved.status == "500 INTERNAL SERVER ERROR"


@pytest.mark.contract("C5")
def test_a_provider_of_bytes_that_comes_after_the_serializer(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        with app.app_context():
            serializer = serializer_of(app)
            app.json = BytesProvider(app)
            return serializer.dumps({"n": 1}), outcome_of(serializer.loads, COOKIE)

    token, _ = parity(scenario).value
    assert type(token) is str


NULL_SESSION_READS: list[View] = [
    dict,
    len,
    bool,
    lambda session: session.get("x", 1),
    lambda session: "x" in session,
    lambda session: session["x"],
    lambda session: session.copy(),
    lambda session: session.permanent,
    lambda session: (session.modified, session.new),
    lambda session: session == {},
]

NULL_SESSION_WRITES: list[View] = [
    lambda session: session.__setitem__("x", 1),
    lambda session: session.__delitem__("x"),
    lambda session: session.clear(),
    lambda session: session.pop("x"),
    lambda session: session.popitem(),
    lambda session: session.update(x=1),
    lambda session: session.setdefault("x", 1),
]


@pytest.mark.contract("C6")
@pytest.mark.parametrize("key", [None, "", b"", 0, [], ()])
def test_without_a_key_the_session_is_null(parity, key):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY=key)
        look = exchange(app, lambda session: [outcome_of(read, session) for read in NULL_SESSION_READS], COOKIE)
        touch = exchange(app, lambda session: [outcome_of(write, session) for write in NULL_SESSION_WRITES], COOKIE)
        return serializer_of(app), look, touch

    serializer, _, touched = parity(scenario).value
    assert serializer is None
    assert all(type(outcome.error) is RuntimeError for outcome in touched.seen[0])
    assert str(touched.seen[0][0].error).startswith("The session is unavailable because no secret key was set.")


def signed_with(interface_class: type[Interface], key: t.Any) -> str:
    return t.cast(str, dumps(interface_class, {"signed with": repr(key)}, SECRET_KEY=key))


@pytest.mark.contract("C7", "C65")
def test_fallback_keys_verify_and_the_newest_key_signs(parity):
    keys = ["oldest", "older", "newest", "unknown"]

    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY="newest", SECRET_KEY_FALLBACKS=["oldest", "older"])
        opened = [exchange(app, snapshot, signed_with(interface_class, key)) for key in keys]
        token = exchange(app, store(n=1)).token
        verifiers = [serializer_of(make_app(Interface(), SECRET_KEY=key)) for key in keys]
        return opened, token, [outcome_of(verifier.loads, token).error is None for verifier in verifiers]

    _, _, verified_by = parity(scenario).value
    # Flask 3.1.0 signed with the last fallback key (CVE-2025-47278), and ours builds on the installed Flask.
    signed_by = "older" if version("flask") == "3.1.0" else "newest"
    assert verified_by == [key == signed_by for key in keys]


@pytest.mark.contract("C7")
def test_keys_are_tried_from_the_newest(parity):
    def scenario(interface_class):
        tried = []

        class Recording(itsdangerous.TimestampSigner):
            def derive_key(self, secret_key=None):
                tried.append(secret_key)
                return super().derive_key(secret_key)

        serializer = serializer_of(make_app(interface_class(), SECRET_KEY_FALLBACKS=["oldest", "older"]))
        serializer.signer = Recording
        return outcome_of(serializer.loads, signed_with(interface_class, "oldest")), tried

    parity(scenario)


@pytest.mark.contract("C8")
@pytest.mark.parametrize(
    "fallbacks",
    [
        ["old"],
        [b"old"],
        ("older", b"old"),
        {"old": 1},
        {"old"},
        "old",
        b"old",
        [""],
        [7],
        ["\ud800"],
        [None],
        [["old"]],
        "",
        None,
        [bytearray(b"old")],
        ["öld", "öld".encode()],
        [type("Key", (str,), {})("old")],
        [type("Key", (bytes,), {})(b"old")],
    ],
    ids=repr,
)
def test_fallback_keys_of_all_sorts(parity, fallbacks):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY_FALLBACKS=fallbacks)
        cookies = [signed_with(interface_class, key) for key in ("old", b"old", "o", "l", "d", "öld")]
        return [exchange(app, snapshot, cookie) for cookie in cookies], exchange(app, store(n=1))

    parity(scenario)


@pytest.mark.contract("C8")
def test_an_iterator_of_fallback_keys_is_used_up(parity):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY_FALLBACKS=iter(["old"]))
        cookie = signed_with(interface_class, "old")
        return exchange(app, snapshot, cookie), exchange(app, snapshot, cookie)

    parity(scenario)


@pytest.mark.contract("C8")
def test_a_key_is_the_same_as_text_and_as_bytes(interface_class, clock):
    assert dumps(interface_class, {"n": 1}, SECRET_KEY="schlüssel") == dumps(
        interface_class, {"n": 1}, SECRET_KEY="schlüssel".encode()
    )


@pytest.mark.contract("C9")
def test_keys_and_config_are_read_again_at_each_request(parity):
    def scenario(interface_class):
        app = make_app(interface_class(), SECRET_KEY_FALLBACKS=[])
        token = exchange(app, store(n=1)).token
        replies = []

        def look(change):
            change()
            replies.append((exchange(app, snapshot, token), exchange(app, store(n=2), token)))

        look(lambda: setattr(app, "secret_key", "new"))
        look(lambda: app.config["SECRET_KEY_FALLBACKS"].append(SECRET_KEY))
        look(lambda: app.config["SECRET_KEY_FALLBACKS"].clear())
        look(lambda: app.config.update(SECRET_KEY=SECRET_KEY))
        look(lambda: app.config.update(SESSION_COOKIE_NAME="other"))
        look(lambda: setattr(app, "permanent_session_lifetime", timedelta(seconds=-1)))
        look(lambda: app.config.update(SECRET_KEY=None))
        return replies

    replies = parity(scenario).value
    assert len({repr(reply) for reply in replies}) > 4


@pytest.mark.contract("C9")
def test_a_list_of_keys_may_be_mutated_in_place(parity):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        tokens = [serializer.dumps({"n": 1})]
        serializer.secret_keys.append(b"new")
        tokens.append(serializer.dumps({"n": 1}))
        del serializer.secret_keys[0]
        tokens.append(serializer.dumps({"n": 1}))
        loaded = [outcome_of(serializer.loads, token) for token in tokens]
        serializer.secret_keys.clear()
        return tokens, loaded, outcome_of(serializer.dumps, {}), outcome_of(serializer.loads, tokens[0])

    tokens, loaded, *_ = parity(scenario).value
    assert tokens[0] != tokens[1] == tokens[2]
    assert loaded[0].error is not None
    assert loaded[1].value == {"n": 1}


@pytest.mark.contract("C10")
def test_an_interface_shared_by_apps_keeps_them_apart(parity):
    def scenario(interface_class):
        interface = interface_class()
        apps = [make_app(interface, SECRET_KEY=key, SESSION_COOKIE_NAME=f"s_{key}") for key in ("one", "two", "three")]
        apps[1].json = DefaultJSONProvider(apps[1])
        apps[1].json.sort_keys = False
        written = [exchange(app, store(z=1, a=2)) for app in apps]
        opened = [exchange(app, snapshot, reply.token) for app in apps for reply in written]
        return written, opened

    _, opened = parity(scenario).value
    is_full = [bool(reply.seen[0][0]) for reply in opened]
    assert is_full == [True, False, False, False, True, False, False, False, True]


@pytest.mark.contract("C10")
def test_an_interface_may_serve_as_class_attribute(parity):
    def scenario(interface_class):
        class CustomFlask(flask.Flask):
            session_interface = interface_class()

        apps = [CustomFlask(name, static_folder=None) for name in ("one", "two")]
        for app in apps:
            app.secret_key = app.name
            app.add_url_rule("/", endpoint="view")
        return [exchange(app, store(n=1)) for app in apps]

    one, two = parity(scenario).value
    assert one.cookies != two.cookies


@pytest.mark.contract("C10")
def test_an_interface_shared_by_threads_keeps_them_apart(interface_class, clock):
    interface = interface_class()

    def work(number: int) -> list[object]:
        app = make_app(interface, SECRET_KEY=f"key {number % 3}")
        with app.app_context():
            tokens = [serializer_of(app).dumps([number, visit, f"{number}, {visit}; " * 30]) for visit in range(50)]
            return [serializer_of(app).loads(token) for token in tokens]

    with ThreadPoolExecutor(6) as pool:
        for number, seen in enumerate(pool.map(work, range(6))):
            assert seen == [[number, visit, f"{number}, {visit}; " * 30] for visit in range(50)]


class FakeResponse:
    """As little of a response as stock needs, recording what is done to it."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.vary = types.SimpleNamespace(add=lambda name: self.calls.append(("vary", name)))

    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.calls.append(("set_cookie", args, kwargs))

    def delete_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.calls.append(("delete_cookie", args, kwargs))


def fake_app(**config: t.Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        secret_key=SECRET_KEY,
        permanent_session_lifetime=timedelta(days=31),
        config={**flask.Flask.default_config, **config},
    )


@pytest.mark.contract("C11")
@pytest.mark.parametrize("cookie", [None, "", "junk", COOKIE])
def test_a_fake_app_and_a_fake_request_will_do(parity, cookie):
    class FakeCookies:
        def get(self, name):
            return {"session": cookie}[name]

    def scenario(interface_class):
        session = interface_class().open_session(fake_app(), types.SimpleNamespace(cookies=FakeCookies()))
        return session, outcome_of(session.update, n=1), session

    parity(scenario)


@pytest.mark.contract("C11")
@pytest.mark.parametrize("values", [{}, {"n": 1}, {"_permanent": True}])
@pytest.mark.parametrize(("modified", "accessed"), [(False, False), (False, True), (True, True)])
def test_a_fake_response_will_do(parity, values, modified, accessed):
    def scenario(interface_class):
        session = interface_class.session_class(values)
        session.modified = modified
        session.accessed = accessed
        response = FakeResponse()
        interface_class().save_session(fake_app(), session, response)
        return response.calls

    calls = parity(scenario).value
    assert bool(calls) is (modified or accessed or "_permanent" in values)


@pytest.mark.contract("C11")
def test_the_decoder_script_that_everybody_copies(parity):
    class App:
        def __init__(self, secret_key):
            self.secret_key = secret_key
            self.config = {"SECRET_KEY_FALLBACKS": None}

    def scenario(interface_class):
        serializer = interface_class().get_signing_serializer(App(SECRET_KEY))
        return serializer.loads(COOKIE), serializer.dumps({"user": "ada"})

    assert parity(scenario).value == ({"user": "ada"}, COOKIE)


OVERRIDES: dict[str, t.Callable[..., object]] = {
    "get_cookie_name": lambda original, app: "renamed",
    "get_cookie_domain": lambda original, app: "example.org",
    "get_cookie_path": lambda original, app: original(app) + "path",
    "get_cookie_httponly": lambda original, app: not original(app),
    "get_cookie_secure": lambda original, app: not original(app),
    "get_cookie_samesite": lambda original, app: "Strict",
    "get_cookie_partitioned": lambda original, app: True,
    "get_expiration_time": lambda original, app, session: NOW + 60,
    "should_set_cookie": lambda original, app, session: not original(app, session),
    "is_null_session": lambda original, session: True,
    "make_null_session": lambda original, app: LoudSession({"null": True}),
    "open_session": lambda original, app, request: original(app, request) if "x" in request.args else None,
    "save_session": lambda original, app, session, response: None,
}


@pytest.mark.contract("C12", "C68")
@pytest.mark.parametrize("name", OVERRIDES)
@pytest.mark.parametrize("on_instance", [False, True], ids=["subclass", "instance"])
def test_overridden_methods_are_honoured(parity, name, on_instance):
    def scenario(interface_class):
        class Custom(interface_class):
            pass

        def override(self, *args):
            return OVERRIDES[name](getattr(super(Custom, self), name, None), *args)

        interface = Custom()
        if on_instance:
            setattr(interface, name, types.MethodType(override, interface))
        else:
            setattr(Custom, name, override)
        app = make_app(interface)
        views = [snapshot, store(n=1), store(_permanent=True), lambda session: session.clear(), touch_nothing]
        return [exchange(app, view, COOKIE, query_string=query) for view in views for query in ("", "x=1")]

    replies = parity(scenario).value
    plain = make_app(Interface())
    views = [snapshot, store(n=1), store(_permanent=True), lambda session: session.clear(), touch_nothing]
    expected = [exchange(plain, view, COOKIE, query_string=query) for view in views for query in ("", "x=1")]
    has_effect = hasattr(Interface, name) and name != "make_null_session"
    assert (repr(replies) != repr(expected)) is has_effect


@pytest.mark.contract("C12")
def test_an_interface_may_open_nothing_and_make_its_own_null_session(parity):
    def scenario(interface_class):
        class Custom(interface_class):
            null_session_class = LoudSession

            def open_session(self, app, request):
                super().open_session(app, request)

        return exchange(make_app(Custom()), snapshot, COOKIE)

    reply = parity(scenario).value
    assert reply.seen[0][0] == {"loud": True}
    assert not reply.cookies


@pytest.mark.contract("C12")
def test_overriders_may_decide_by_the_request(parity):
    def scenario(interface_class):
        class NoCookieForApi(interface_class):
            def should_set_cookie(self, app, session):
                return not flask.request.args.get("api") and super().should_set_cookie(app, session)

            def save_session(self, app, session, response):
                if not flask.g.get("skip"):
                    super().save_session(app, session, response)

        def skip(session):
            flask.g.skip = True
            session["n"] = 1

        app = make_app(NoCookieForApi())
        return [exchange(app, store(n=1)), exchange(app, store(n=1), query_string="api=1"), exchange(app, skip)]

    assert [bool(reply.cookies) for reply in parity(scenario).value] == [True, False, False]


class RecordingResponse(flask.Response):
    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.headers.add("X-Set", repr((args, kwargs)))
        super().set_cookie(*args, **kwargs)

    def delete_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.headers.add("X-Delete", repr((args, kwargs)))
        super().delete_cookie(*args, **kwargs)


COOKIE_CONFIG: dict[str, t.Any] = {
    "SESSION_COOKIE_NAME": "renamed",
    "SESSION_COOKIE_DOMAIN": "example.org",
    "SESSION_COOKIE_PATH": "/path",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
}


@pytest.mark.contract("C13")
@pytest.mark.parametrize(
    ("view", "header"), [(store(n=1), "X-Set"), (store(_permanent=True), "X-Set"), (SessionMixin.clear, "X-Delete")]
)
def test_cookie_methods_replaced_on_the_response_class(parity, view, header):
    def scenario(interface_class):
        app = make_app(interface_class(), **COOKIE_CONFIG)
        app.response_class = RecordingResponse
        return exchange(app, view, COOKIE)

    (call,) = parity(scenario).value.all(header)
    assert call.startswith("(('renamed',")


@pytest.mark.contract("C13")
def test_set_cookie_replaced_on_the_one_response(parity):
    def scenario(interface_class):
        calls = []

        def view(session):
            session["n"] = 1

            @flask.after_this_request
            def replace(response):
                response.set_cookie = lambda *args, **kwargs: calls.append((args, kwargs))
                return response

        return exchange(make_app(interface_class()), view), calls

    reply, [(args, kwargs)] = parity(scenario).value
    assert not reply.cookies
    assert len(args) == 2
    assert {"expires", "httponly", "domain", "path", "secure", "samesite"} <= set(kwargs)


class PreferringRequest(flask.Request):
    """A request that takes the session from elsewhere."""

    @property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        token = self.headers.get("X-Session", "")
        return ImmutableMultiDict({"session": token, "SHOUTED": token})


class RecordingHeaders(Headers):
    def add(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().add(*args, **kwargs)
        super().add("X-Added", repr(args))

    def set(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().set(*args, **kwargs)
        super().add("X-Was-Set", repr(args))


class HeaderRecordingResponse(flask.Response):
    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers = RecordingHeaders(self.headers)


class VaryingResponse(flask.Response):
    @property
    def vary(self) -> t.Any:
        return types.SimpleNamespace(add=lambda name: self.headers.add("X-Vary", name))


@pytest.mark.contract("C13")
def test_request_cookies_may_be_overridden(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.request_class = PreferringRequest
        return exchange(app, snapshot, headers={"Cookie": "session=x", "X-Session": COOKIE})

    assert parity(scenario).value.seen[0][0] == {"user": "ada"}


@pytest.mark.contract("C13")
@pytest.mark.parametrize(
    ("response_class", "header"), [(HeaderRecordingResponse, "X-Added"), (VaryingResponse, "X-Vary")]
)
@pytest.mark.parametrize("view", [store(n=1), store(_permanent=True), snapshot, SessionMixin.clear])
def test_response_headers_and_vary_may_be_overridden(parity, response_class, header, view):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.response_class = response_class
        return exchange(app, view, COOKIE)

    reply = parity(scenario).value
    assert reply.all(header) or not reply.cookies


GETTERS = [name for name in dir(Interface) if name.startswith("get_cookie_")]


@pytest.mark.contract("C13a")
@pytest.mark.parametrize("view", [touch_nothing, snapshot, store(n=1), SessionMixin.clear])
@pytest.mark.parametrize("cookie", [None, COOKIE])
def test_all_getters_run_on_every_response(parity, view, cookie):
    def scenario(interface_class):
        calls = []

        class Recording(interface_class):
            def __getattribute__(self, name):
                if name.startswith("get_") or name == "should_set_cookie":
                    calls.append(name)
                return super().__getattribute__(name)

        reply = exchange(make_app(Recording()), view, cookie)
        return reply, calls

    _, calls = parity(scenario).value
    assert set(GETTERS) <= set(calls)
    assert len(GETTERS) == 7 or version("flask") < "3.1"


@pytest.mark.contract("C13a")
@pytest.mark.parametrize("cookie", [None, "", "junk", COOKIE, sealed_json("null"), sealed_json('[["a",1]]')])
def test_the_session_class_gets_no_argument_or_one(parity, cookie):
    def scenario(interface_class):
        calls = []

        class Recording(SecureCookieSession):
            def __init__(self, *args, **kwargs):
                calls.append((args, kwargs))
                super().__init__(*args, **kwargs)

        interface = interface_class()
        interface.session_class = Recording
        return exchange(make_app(interface), snapshot, cookie), calls

    _, [(args, kwargs)] = parity(scenario).value
    assert len(args) == (cookie not in (None, "", "junk"))
    assert not kwargs


@pytest.mark.contract("C13a")
@pytest.mark.parametrize(
    "loaded", [True, (b"e30", b'{"n":1}'), property(lambda session: 1 / 0)], ids=["True", "two bytes", "property"]
)
def test_a_session_class_may_have_any_attribute(parity, loaded):
    def scenario(interface_class):
        interface = interface_class()
        interface.session_class = type("Own", (SecureCookieSession,), {"_loaded": loaded})
        app = make_app(interface)
        return exchange(app, store(n=1)), exchange(app, touch_nothing, sealed_json('{"n":1,"_permanent":true}'))

    parity(scenario)


class ShoutingConfig(flask.Config):
    def __getitem__(self, key: str) -> t.Any:
        value = super().__getitem__(key)
        return "SHOUTED" if key == "SESSION_COOKIE_NAME" else value


class ShoutingProvider(DefaultJSONProvider):
    def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
        return super().dumps(obj, **kwargs).upper()


class CustomFlask(flask.Flask):
    config_class = ShoutingConfig
    request_class = PreferringRequest
    response_class = RecordingResponse
    json_provider_class = ShoutingProvider


@pytest.mark.contract("C14")
def test_the_app_may_be_a_subclass_with_classes_of_its_own(parity):
    def scenario(interface_class):
        app = make_app(interface_class(), CustomFlask)
        return exchange(app, store(n="text"), headers={"X-Session": COOKIE}), exchange(app, snapshot)

    reply, _ = parity(scenario).value
    assert reply.cookies[0].startswith("SHOUTED=")
    assert loads(Interface, reply.token) == {"USER": "ADA", "N": "TEXT"}


@pytest.mark.contract("C12", "C13")
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (Scaffold, "__bool__", lambda app: False),
        (flask.Flask, "secret_key", property(lambda app: "another key")),
        (Request, "environ", property(lambda request: {})),
        (Response, "headers", property(lambda response: Headers())),
    ],
    ids=["__bool__", "secret_key", "environ", "headers"],
)
def test_what_a_base_class_gains_after_the_first_request(parity, monkeypatch, owner, name, value):
    def scenario(interface_class):
        app = make_app(interface_class())
        before = exchange(app, snapshot, COOKIE)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value, raising=False)
            during = outcome_of(exchange, app, store(n=1), COOKIE)
        return before, during, exchange(app, store(n=1), COOKIE)

    parity(scenario)


@pytest.mark.contract("C13a", "C19")
@pytest.mark.parametrize("error", [itsdangerous.BadSignature, itsdangerous.SignatureExpired, ValueError])
def test_a_session_class_that_refuses_what_was_loaded(parity, error):
    class Refusing(SecureCookieSession):
        def __init__(self, initial: t.Any = None) -> None:
            if initial:
                raise error("refused")
            super().__init__()

    def scenario(interface_class):
        interface = interface_class()
        interface.session_class = Refusing
        return exchange(make_app(interface), snapshot, COOKIE)

    status = parity(scenario).value.status
    assert status == ("500 INTERNAL SERVER ERROR" if error is ValueError else "200 OK")
