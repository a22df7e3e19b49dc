"""C15-C23: from a request to its session."""

from __future__ import annotations

import datetime
import time
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from unittest.mock import Mock

import freezegun
import itsdangerous
import pytest
import time_machine
from flask.sessions import SecureCookieSession
from werkzeug.sansio.http import parse_cookie

from .parity import INTERFACES
from .parity import NOW
from .parity import Interface
from .parity import Reply
from .parity import dumps
from .parity import encoded
from .parity import encoded_second
from .parity import exactly
from .parity import exchange
from .parity import loads
from .parity import make_app
from .parity import outcome_of
from .parity import sealed
from .parity import sealed_json
from .parity import serializer_of
from .parity import snapshot
from .parity import store

COOKIE = sealed_json('{"user":"ada"}')
PERMANENT = sealed_json('{"_permanent":true,"user":"ada"}')


@pytest.mark.contract("C15")
@pytest.mark.parametrize("header", [None, "", "session=", "session", 'session=""', "other=1", "Session=x", "; ;", "="])
def test_no_cookie_gives_a_new_session(parity, header):
    def scenario(interface_class):
        headers = {} if header is None else {"Cookie": header}
        return exchange(make_app(interface_class()), snapshot, headers=headers)

    reply = parity(scenario).value
    assert reply.seen == [({}, False, False, False)]
    assert not reply.cookies


@pytest.mark.contract("C15")
def test_a_new_session_is_of_the_session_class(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        return app.session_interface.open_session(app, app.request_class({}))

    session = parity(scenario).value
    assert isinstance(session, SecureCookieSession)


LIFETIMES = [
    timedelta(seconds=60),
    timedelta(seconds=59.999999),
    timedelta(milliseconds=500),
    timedelta(0),
    timedelta(seconds=-1),
    timedelta(milliseconds=-500),
    timedelta(days=31),
    timedelta.max,
    timedelta.min,
    60,
    60.5,
    0,
]


@pytest.mark.contract("C16")
@pytest.mark.parametrize("lifetime", LIFETIMES, ids=repr)
@pytest.mark.parametrize("token", [COOKIE, PERMANENT], ids=["browser", "permanent"])
@pytest.mark.parametrize("age", [-1, 0, 1, 59, 60, 61, 31 * 86400, 31 * 86400 + 1])
def test_the_lifetime_binds_all_sessions(parity, clock, lifetime, token, age):
    clock.now = NOW + age
    config = {"PERMANENT_SESSION_LIFETIME": lifetime}
    parity(lambda interface_class: exchange(make_app(interface_class(), **config), snapshot, token))


@pytest.mark.contract("C16")
def test_the_lifetime_is_read_from_the_app(parity, clock):
    def scenario(interface_class):
        app = make_app(interface_class())
        app.permanent_session_lifetime = timedelta(seconds=5)
        replies = []
        for clock.now in (NOW + 5, NOW + 6):
            replies.append(exchange(app, snapshot, COOKIE))
        return replies

    fresh, stale = parity(scenario).value
    assert fresh.seen[0][0]
    assert not stale.seen[0][0]


@pytest.mark.contract("C17")
@pytest.mark.parametrize("age", [-(10**6), -1, 0, 1, 59, 60, 61, 10**6])
@pytest.mark.parametrize("fraction", [0, 0.999])
def test_the_age_rule(parity, clock, age, fraction):
    clock.now = NOW + age + fraction
    outcome = parity(lambda interface_class: loads(interface_class, COOKIE, max_age=60))
    assert (type(outcome.error) is itsdangerous.SignatureExpired) is not (0 <= age <= 60)


LIMITS: list[t.Any] = [None, 0, -1, True, False, 59.5, 60.0, 2**31, 2**63, -(2**64), 10**30, float("inf"), float("nan")]
LIMITS += ["60", b"", [], ()]


@pytest.mark.contract("C17", "C29")
@pytest.mark.parametrize("max_age", LIMITS, ids=repr)
@pytest.mark.parametrize("age", [-1, 0, 60])
def test_limits_of_age_of_all_sorts(parity, clock, max_age, age):
    clock.now = NOW + age
    parity(lambda interface_class: loads(interface_class, COOKIE, max_age=max_age))


START = datetime.datetime(2020, 2, 2, 12, tzinfo=datetime.timezone.utc)


@contextmanager
def frozen_by_freezegun() -> Iterator[Callable[[timedelta], object]]:
    with freezegun.freeze_time(START) as frozen:
        yield frozen.tick


@contextmanager
def frozen_by_time_machine() -> Iterator[Callable[[timedelta], object]]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller.shift


@pytest.mark.contract("C18")
@pytest.mark.parametrize("freeze", [frozen_by_freezegun, frozen_by_time_machine])
def test_tools_that_freeze_the_clock(freeze):
    """Without the clock of the other tests, which would be in the way of theirs."""

    def flow(interface_class: type[Interface]) -> list[Reply]:
        app = make_app(interface_class())
        with freeze() as advance:
            written = exchange(app, store(_permanent=True, naive=datetime.datetime(2020, 2, 2), now=START))
            replies = [written]
            for seconds in (0, 31 * 86_400, 1):
                advance(timedelta(seconds=seconds))
                replies.append(exchange(app, snapshot, written.token))
        return replies

    stock, ours = (flow(interface_class) for interface_class in INTERFACES)
    assert exactly(ours) == exactly(stock)
    written, fresh, oldest, expired = stock
    assert "Expires=Wed, 04 Mar 2020 12:00:00 GMT" in written.cookies[0]
    assert fresh.seen[0][0] == oldest.seen[0][0]
    assert fresh.seen[0][0]["now"] == START
    assert expired.seen[0][0] == {}


class Second(float):
    """A float that is another int than it looks."""

    def __int__(self) -> int:
        return 1_000_000


ANSWERS = [0, 1, 255.9, 256, -0.5, -1, 2**31, 2**32 - 0.5, 2**32, 2.0**33, 2**40, 2**63, 2.0**64, 2**64, "0", None]
ANSWERS += [True, Decimal("1.5"), Fraction(3, 2), Second(1.5), float("nan"), float("inf"), LookupError("no clock here")]


@pytest.mark.contract("C18", "C42a")
@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_the_clock_is_looked_up_at_each_call(parity, monkeypatch, answer):
    def scenario(interface_class):
        serializer = serializer_of(make_app(interface_class()))
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", Mock(side_effect=[answer] * 9))
            dumped = outcome_of(serializer.dumps, {"n": 1})
            tokens = [COOKIE, sealed_json("{}")] + ([] if dumped.error else [dumped.value])
            return dumped, [outcome_of(serializer.loads, token, max_age=60) for token in tokens]

    parity(scenario)


FRESH = {
    "dumps": lambda s: s.dumps({"n": 1}),
    "dumps of a subclass": lambda s: s.dumps({"v": type("Text", (str,), {})("text")}),
    "dumps of a set": lambda s: s.dumps({"v": {1}}),
    "loads": lambda s: s.loads(COOKIE, max_age=60),
    "loads without a limit": lambda s: s.loads(COOKIE),
    "loads of NaN": lambda s: s.loads(sealed_json("NaN"), max_age=60),
    "loads of a forged one": lambda s: s.loads("a.b.c", max_age=60),
    "loads of an expired one": lambda s: s.loads(COOKIE, max_age=-1),
    "loads of odd base64": lambda s: s.loads(sealed(b"e30="), max_age=60),
    "loads with a float": lambda s: s.loads(COOKIE, max_age=60.5),
}


@pytest.mark.contract("C18")
@pytest.mark.parametrize("use", FRESH.values(), ids=list(FRESH))
def test_the_clock_is_read_as_often(parity, clock, monkeypatch, use):
    """A mock may have just so many answers."""

    def scenario(interface_class):
        readings = []
        serializer = serializer_of(make_app(interface_class()))
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: readings.append("read") or NOW)
            return outcome_of(use, serializer), readings

    parity(scenario)


@pytest.mark.contract("C18")
def test_a_replaced_time_module_is_noticed(parity, monkeypatch):
    class Time:
        @staticmethod
        def time() -> int:
            return 86_400

    def scenario(interface_class):
        with monkeypatch.context() as patch:
            patch.setattr("itsdangerous.timed.time", Time)
            return dumps(interface_class, {"n": 1}), outcome_of(loads, interface_class, COOKIE, max_age=60)

    token, _ = parity(scenario).value
    assert encoded_second(86_400).decode() in token


BAD_SIGNATURES = {
    "junk": "junk",
    "one dot": "a.b",
    "two dots": "a.b.c",
    "dots": "....",
    "forged": COOKIE[:-4] + "AAAA",
    "another key": dumps(Interface, {"user": "eve"}, SECRET_KEY="another key"),
    "no signature": COOKIE.rpartition(".")[0] + ".",
    "another payload": encoded(b'{"user":"eve"}').decode() + COOKIE[COOKIE.index(".") :],
    "old": sealed(encoded(b"{}"), encoded_second(NOW - 32 * 86400)),
    "to come": sealed(encoded(b"{}"), encoded_second(NOW + 1)),
    "a tutorial of 2017": "eyJ1c2VybmFtZSI6ImNpeml4cyJ9.C5fdpg.fqm3FTv0kYE2TuOyGF1mx2RuYQ4",
    "malformed timestamp": sealed(encoded(b"{}"), b"A"),
    "no timestamp": sealed(encoded(b"{}"), b"").rpartition(".")[0],
    "not ASCII": "é.é.é",
}


@pytest.mark.contract("C19")
@pytest.mark.parametrize("token", BAD_SIGNATURES.values(), ids=list(BAD_SIGNATURES))
def test_a_bad_signature_gives_an_empty_session(parity, token):
    error = parity(lambda interface_class: loads(interface_class, token, max_age=31 * 86400)).error
    assert isinstance(error, itsdangerous.BadSignature)
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), snapshot, token)).value
    assert reply.seen == [({}, False, False, False)]
    assert reply.status == "200 OK"
    assert not reply.cookies


@pytest.mark.contract("C19")
def test_a_bad_cookie_is_replaced_only_by_a_new_one(parity):
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), store(n=1), "junk")).value
    assert loads(Interface, reply.token) == {"n": 1}


BAD_PAYLOADS = {
    "not base64": sealed(b"A"),
    "not base64 for its length": sealed(b"!!!A"),
    "not zlib": sealed(b"." + encoded(b"text")),
    "no zlib": sealed(b"."),
    "empty": sealed(b""),
    "not UTF-8": sealed_json(b'"\xff"'),
    "not JSON": sealed_json("{user:1}"),
    "cut short": sealed_json('{"user"'),
    "a bad tag": sealed_json('{"id":{" u":"no uuid"}}'),
}


@pytest.mark.contract("C20")
@pytest.mark.parametrize("token", BAD_PAYLOADS.values(), ids=list(BAD_PAYLOADS))
def test_a_bad_payload_is_an_error(parity, token):
    error = parity(lambda interface_class: loads(interface_class, token)).error
    assert type(error) is itsdangerous.BadPayload
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), snapshot, token)).value
    assert reply.status == "500 INTERNAL SERVER ERROR"


@pytest.mark.contract("C21")
@pytest.mark.parametrize("token", ["\ud800", COOKIE + "\udfff", "\udc80." + COOKIE])
def test_a_lone_surrogate_in_the_token(parity, token):
    error = parity(lambda interface_class: loads(interface_class, token)).error
    assert type(error) is UnicodeEncodeError


SECONDS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 253_402_300_799, 253_402_300_800, 2**55, 2**56, 2**63, 2**64 - 1]


@pytest.mark.contract("C21")
@pytest.mark.parametrize("second", SECONDS)
@pytest.mark.parametrize("max_age", [None, 60, 2**70])
@pytest.mark.parametrize("return_timestamp", [False, True])
def test_absurd_timestamps(parity, second, max_age, return_timestamp):
    token = sealed(encoded(b"{}"), encoded_second(second))
    error = parity(
        lambda interface_class: loads(interface_class, token, max_age=max_age, return_timestamp=return_timestamp)
    ).error
    is_date = second < 253_402_300_800
    assert is_date or isinstance(error, OSError | OverflowError | ValueError)


@pytest.mark.contract("C21")
def test_an_absurd_timestamp_is_an_error_of_the_request(parity):
    token = sealed(encoded(b"{}"), encoded_second(2**63))
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), snapshot, token)).value
    assert reply.status == "500 INTERNAL SERVER ERROR"


PAYLOADS = ["null", "{}", "[]", '[["a",1],["b",2]]', '["ab","cd"]', '[["a",1],["a",2]]', '""', '"ab"', "[[]]", "[1]"]
PAYLOADS += ["7", "0", "1.5", "true", "false", '{" t":[["a",1]]}', '{" b":""}', '{" m":"x"}', '{" d":null}', "[[[],1]]"]


@pytest.mark.contract("C22")
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("session_class", [None, dict, list, lambda data=None: SecureCookieSession({"data": data})])
def test_payloads_that_are_no_dict(parity, payload, session_class):
    def scenario(interface_class):
        interface = interface_class()
        if session_class:
            interface.session_class = session_class
        app = make_app(interface)
        request = app.request_class({"HTTP_COOKIE": f"session={sealed_json(payload)}"})
        with app.app_context():
            return interface.open_session(app, request)

    parity(scenario)


@pytest.mark.contract("C22")
@pytest.mark.parametrize(("payload", "expected"), [("null", {}), ('[["a",1]]', {"a": 1}), ("7", None), ('"ab"', None)])
def test_payloads_that_are_no_dict_in_a_request(parity, payload, expected):
    reply = parity(lambda interface_class: exchange(make_app(interface_class()), snapshot, sealed_json(payload))).value
    assert reply.seen == ([] if expected is None else [(expected, False, False, False)])


OTHER = sealed_json('{"user":"bob"}')

COOKIE_HEADERS = [
    f"session={COOKIE}",
    f"session={COOKIE}; session={OTHER}",
    f"session={OTHER};session={COOKIE}",
    f"session=; session={COOKIE}",
    f"session=junk; session={COOKIE}",
    f"a=b; session={COOKIE}; c=d",
    f"  session  =  {COOKIE}  ;",
    f"\tsession={COOKIE}\t",
    f'session="{COOKIE}"',
    f'session="{COOKIE}',
    f'session={COOKIE}"',
    f'session="{COOKIE}" ',
    f'session="\\145{COOKIE[1:]}"',
    f'session="\\{COOKIE}"',
    f"session='{COOKIE}'",
    f"session={COOKIE}, other=x",
    f"a=1,session={COOKIE}",
    f"a=1&session={COOKIE}",
    f"=session={COOKIE}",
    f"=session={OTHER}; session={COOKIE}",
    f"=; session={COOKIE}",
    f"==session={COOKIE}",
    f";;; session={COOKIE}",
    f"session;session={COOKIE}",
    f"session; other={COOKIE}",
    f"$Version=1; session={COOKIE}; $Path=/",
    f"SESSION={COOKIE}",
    f"Session={OTHER}; session={COOKIE}",
    f"xsession={OTHER}; session={COOKIE}",
    f"session2={OTHER}; session={COOKIE}",
    f"other=session={COOKIE}",
    f'other="; session={COOKIE}; "',
    f'other="a; session={OTHER}"; session={COOKIE}',
    f"session={COOKIE}=",
    f"session=={COOKIE}",
    f"session={COOKIE} trailing",
    f"session={COOKIE[:9]} {COOKIE[9:]}",
    f"session={COOKIE}\xe9",
    f"\xe9={OTHER}; session={COOKIE}",
    f"session={COOKIE}\x00",
    f"session={COOKIE}%20",
    f"session={COOKIE};session",
    f'"session"={COOKIE}',
    f"[session]={COOKIE}",
    f"ses sion={COOKIE}; session={OTHER}",
    f"session\x0b={COOKIE}",
    f"session={COOKIE}\x0b; \x0csession={OTHER}",
]


@pytest.mark.contract("C23")
@pytest.mark.parametrize("header", COOKIE_HEADERS)
def test_the_cookie_header_is_read_as_werkzeug_reads_it(parity, header):
    def scenario(interface_class):
        app = make_app(interface_class())
        return exchange(app, snapshot, environ_overrides={"HTTP_COOKIE": header})

    reply = parity(scenario).value
    value = parse_cookie(header).get("session")
    expected = outcome_of(loads, Interface, value).value if value else None
    assert reply.seen[0][0] == (expected or {})


@pytest.mark.contract("C23")
@pytest.mark.parametrize("name", ["session", "s", "__Host-session", "a.b", "a b", "a=b", "a;b", "é", '"s"', "", "$s"])
def test_the_name_of_the_cookie(parity, name):
    def scenario(interface_class):
        app = make_app(interface_class(), SESSION_COOKIE_NAME=name)
        environ = {"HTTP_COOKIE": f"{name}={COOKIE}".encode().decode("latin-1")}
        return exchange(app, snapshot, environ_overrides=environ), exchange(app, store(n=1))

    parity(scenario)


@pytest.mark.contract("C23")
def test_no_cookie_header_at_all_is_none(parity):
    def scenario(interface_class):
        app = make_app(interface_class())
        return [exchange(app, snapshot, environ_overrides=environ) for environ in ({}, {"HTTP_COOKIE": ""})]

    assert all(reply.seen[0][0] == {} for reply in parity(scenario).value)
