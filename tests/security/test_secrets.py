"""Keys are told to nobody: not by texts of errors, tracebacks, logs and warnings, nor by reprs, counters and copies.

What stock's own objects hold, they hold here too: ``serializer.secret_keys`` is public, and so is in its pickles.
"""

from __future__ import annotations

import base64
import copy
import gc
import hashlib
import io
import logging
import pickle
import traceback
import typing as t
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from pathlib import Path

import itsdangerous
import pytest

import flask_fastsession
from flask_fastsession import FastSessionInterface
from tests.contract import parity
from tests.contract.parity import Interface
from tests.contract.parity import Outcome
from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import outcome_of
from tests.contract.parity import sealed
from tests.contract.parity import serializer_of
from tests.contract.parity import snapshot
from tests.contract.parity import store
from tests.contract.test_stats import BOTH_WAYS
from tests.contract.test_stats import CIRCUMSTANCES
from tests.contract.test_stats import IN
from tests.contract.test_stats import OUT
from tests.contract.test_stats import Cause
from tests.contract.test_stats import Circumstance
from tests.contract.test_stats import attempt
from tests.contract.test_stats import causes
from tests.contract.test_stats import serve
from tests.recorded import recorded_warnings

pytestmark = pytest.mark.usefixtures("clock")

OLD_KEY = "an older key, kept for old cookies"
KEYS = (parity.SECRET_KEY, OLD_KEY)
DERIVATIONS = ("none", "concat", "django-concat", "hmac")
DIGESTS = ("sha1", "sha224", "sha256", "sha384", "sha512")
PACKAGE = Path(flask_fastsession.__file__).parent


def derived_keys() -> Iterator[bytes]:
    for key in KEYS:
        for derivation in DERIVATIONS:
            for digest in DIGESTS:
                method = getattr(hashlib, digest)
                yield itsdangerous.Signer(
                    key, salt="cookie-session", key_derivation=derivation, digest_method=method
                ).derive_key()


def spellings(secret: bytes) -> set[str]:
    """How a text may tell a secret: as it is, escaped, in decimal or hexadecimal numbers, or in base64."""
    return {
        secret.decode("latin-1"),
        repr(secret)[2:-1],
        str(list(secret))[1:-1],
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
    }


SECRETS = {spelling for secret in derived_keys() for spelling in spellings(secret)}


def told_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


# --- Listening --------------------------------------------------------------------------------------------------------


class Heard(io.StringIO):
    """All that was written, warned of, logged or raised, one after the other."""

    def note(self, *things: object) -> None:
        for thing in things:
            self.write(f"{thing}\n{thing!r}\n")

    def note_error(self, error: BaseException) -> None:
        """Write an error as Python, log handlers and error trackers show it."""
        self.note(error, error.args, vars(error))
        self.writelines(traceback.format_exception(error))
        # Error trackers collect the variables of each frame as well. Those of other libraries' frames are theirs.
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if PACKAGE in Path(frame.f_code.co_filename).parents:
                self.note(*frame.f_locals.items())


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(heard), redirect_stderr(heard), recorded_warnings() as warned:
            yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    heard.note(*warned)


def overheard(call: Callable[[Interface], Outcome]) -> str:
    """All the text that comes of a call, the interface's own included."""
    interface = FastSessionInterface()
    with listening() as heard:
        outcome = call(interface)
        heard.note(outcome.value, interface, interface.stats(), interface._counters, vars(interface))
        for error in (outcome.error, getattr(outcome.value, "error", None)):
            if error is not None:
                heard.note_error(error)
    return heard.getvalue()


def test_a_secret_that_is_told_would_be_heard() -> None:
    def tell(interface: Interface) -> Outcome:
        logging.getLogger("anything").debug("the key is %s", parity.SECRET_KEY)
        warnings.warn(base64.b64encode(OLD_KEY.encode()).decode(), stacklevel=1)
        print(hashlib.sha1(b"cookie-sessionsigner" + OLD_KEY.encode()).hexdigest())
        return outcome_of(int, str([*parity.SECRET_KEY.encode()])[1:-1])

    assert len(told_in(overheard(tell))) == 4


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("_reason", "cause"), causes(BOTH_WAYS, OUT))
def test_signing_tells_no_key(_reason: str, cause: Cause) -> None:
    assert told_in(overheard(lambda interface: attempt(cause, "dumps", interface))) == []


@pytest.mark.parametrize(("_reason", "cause"), causes(BOTH_WAYS, IN))
def test_verifying_tells_no_key(_reason: str, cause: Cause) -> None:
    assert told_in(overheard(lambda interface: attempt(cause, "loads", interface))) == []


@pytest.mark.parametrize(
    "circumstance",
    [
        pytest.param(circumstance, id=f"{reason}: {name}")
        for reason, named in CIRCUMSTANCES.items()
        for name, circumstance in named.items()
    ],
)
def test_serving_tells_no_key(circumstance: Circumstance) -> None:
    assert told_in(overheard(lambda interface: serve(circumstance, interface))) == []


TOKENS = {
    "none": None,
    "genuine": sealed(b"e30"),
    "no dots": "x",
    "forged": sealed(b"e30") + "AAAA",
    "expired": sealed(b"e30", b""),
    "no JSON": sealed(b"AAAA"),
    "no deflate": sealed(b".e30"),
    "an odd value": sealed(base64.b64encode(b"[[1]]")),
}


def raising(*_args: object, **_kwargs: object) -> t.NoReturn:
    raise RuntimeError("on purpose")


def raise_in_view(_session: object) -> t.NoReturn:
    raise RuntimeError("on purpose")


FAULTS: dict[str, Callable[[t.Any], object]] = {
    "none": lambda app: None,
    "debugging": lambda app: app.config.update(DEBUG=True, TRAP_HTTP_EXCEPTIONS=True),
    "errors propagate": lambda app: app.config.update(PROPAGATE_EXCEPTIONS=True),
    "a digest that raises": lambda app: setattr(app.session_interface, "digest_method", raising),
    "a digest that is none": lambda app: setattr(app.session_interface, "digest_method", 7),
    "a derivation that is none": lambda app: setattr(app.session_interface, "key_derivation", "other"),
    "a salt that is none": lambda app: setattr(app.session_interface, "salt", 7),
    "a salt that cannot be encoded": lambda app: setattr(app.session_interface, "salt", "\ud800"),
    "a serializer that is none": lambda app: setattr(app.session_interface, "serializer", 7),
    "a session class that raises": lambda app: setattr(app.session_interface, "session_class", raising),
    "a provider that raises": lambda app: setattr(app.json, "dumps", raising),
    "a key in a list": lambda app: app.config.update(SECRET_KEY=[7, *KEYS]),
    "a key in a tuple": lambda app: app.config.update(SECRET_KEY=(7, *KEYS)),
    "a key in a dict": lambda app: app.config.update(SECRET_KEY=dict.fromkeys(KEYS)),
    "old keys in a dict": lambda app: app.config.update(SECRET_KEY_FALLBACKS=dict.fromkeys(KEYS)),
    "an old key that is none": lambda app: app.config.update(SECRET_KEY_FALLBACKS=[*KEYS, 7]),
    "no list of old keys": lambda app: app.config.update(SECRET_KEY_FALLBACKS=7),
    "a lifetime that is none": lambda app: app.config.update(PERMANENT_SESSION_LIFETIME="long"),
    "a domain that cannot be encoded": lambda app: app.config.update(SESSION_COOKIE_DOMAIN="\ud800"),
    "no cookie name": lambda app: app.config.pop("SESSION_COOKIE_NAME"),
}
VIEWS: dict[str, parity.View] = {
    "looks": snapshot,
    "stores": store(n=1),
    "stores what cannot be stored": store(n={object}),
    "clears": lambda session: session.clear(),
    "raises": raise_in_view,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_faulty_apps_tell_no_key(fault: Callable[[t.Any], object]) -> None:
    def serve_all(interface: Interface) -> Outcome:
        app = make_app(interface, SECRET_KEY_FALLBACKS=[OLD_KEY])
        fault(app)
        served = [outcome_of(exchange, app, view, token) for view in VIEWS.values() for token in TOKENS.values()]
        for outcome in served:
            if outcome.error is not None:
                told.note_error(outcome.error)
        return Outcome(served)

    told = Heard()
    assert told_in(overheard(serve_all) + told.getvalue()) == []


CALLS: dict[str, Callable[[t.Any, t.Any], object]] = {
    "an interface with arguments": lambda interface, serializer: type(interface)(serializer.secret_keys[0]),
    "dumps without an argument": lambda interface, serializer: serializer.dumps(),
    "loads with too many": lambda interface, serializer: serializer.loads(*range(9)),
    "loads of a number": lambda interface, serializer: serializer.loads(7),
    "loads with a salt that is none": lambda interface, serializer: serializer.loads("a.b.c", salt=7),
    "load of no file": lambda interface, serializer: serializer.load(7),
    "loads_unsafe": lambda interface, serializer: serializer.loads_unsafe("a.b.c"),
    "counting with no counters": lambda interface, serializer: serializer.count_with(7),
    "adopting no serializer": lambda interface, serializer: serializer._adopt(7, interface._counters),
    "a request that is none": lambda interface, serializer: interface.open_session(7, 7),
    "a response that is none": lambda interface, serializer: interface.save_session(7, 7, 7),
    "comparing": lambda interface, serializer: serializer < interface,
    "a format": lambda interface, serializer: format(serializer, "x"),
    "texts": lambda interface, serializer: [
        f"{it} {it!r} {dir(it)}" for it in (serializer, interface, type(serializer))
    ],
    "a session": lambda interface, serializer: [interface.session_class(), vars(interface.session_class())],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_calls_tell_no_key(call: Callable[[t.Any, t.Any], object]) -> None:
    def make(interface: Interface) -> Outcome:
        app = make_app(interface, SECRET_KEY_FALLBACKS=[OLD_KEY])
        return outcome_of(call, interface, serializer_of(app))

    assert told_in(overheard(make)) == []


def test_a_key_that_cannot_be_encoded_is_told_as_much_as_by_stock(parity: t.Any) -> None:
    def serve_such_keys(interface_class: type[Interface]) -> list[Outcome]:
        app = make_app(interface_class(), SECRET_KEY=f"{KEYS[0]}\ud800", PROPAGATE_EXCEPTIONS=True)
        return [outcome_of(exchange, app, view, token) for view in VIEWS.values() for token in TOKENS.values()]

    for outcome in parity(serve_such_keys).value:
        assert type(outcome.error) is UnicodeEncodeError
        # Python keeps the text it could not encode in such an error, but does not print it.
        assert told_in("".join(traceback.format_exception(outcome.error))) == []


# --- Copies -----------------------------------------------------------------------------------------------------------


def used_interface() -> tuple[FastSessionInterface, t.Any]:
    """An interface that has opened and saved sessions with all keys, and its serializer."""
    interface = FastSessionInterface()
    app = make_app(interface, SECRET_KEY_FALLBACKS=[OLD_KEY])
    for token in TOKENS.values():
        outcome_of(exchange, app, store(n=1), token)
    assert interface.stats()["dumps"]["native"] > 0
    return interface, serializer_of(app)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_an_interface_hold_no_key(protocol: int) -> None:
    interface, serializer = used_interface()
    for thing in (interface, interface._counters):
        assert told_in(pickle.dumps(thing, protocol).decode("latin-1")) == []
    # As a control: stock's serializers, and so ours, hold their keys in an attribute.
    assert told_in(pickle.dumps(serializer).decode("latin-1")) != []


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_of_an_interface_hold_no_key(duplicate: Callable[[t.Any], t.Any]) -> None:
    interface, _ = used_interface()
    assert told_in(str(gc.get_referents(duplicate(interface)))) == []
    # As a control: the interface itself holds the keys it was last used with.
    assert told_in(str(gc.get_referents(interface))) != []
