"""Stock and ours over random requests, and over every single oddity that those are made of."""

from __future__ import annotations

import dataclasses
import random
import secrets
import subprocess
import sys
import typing as t
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.sessions import SessionMixin
from itsdangerous import URLSafeTimedSerializer
from werkzeug.http import dump_cookie

from .codec.settings import PROVIDERS
from .requests import apps
from .requests import by_hand
from .requests import cookies
from .requests import plan
from .requests import replies
from .requests.cases import REQUESTS
from .requests.cases import numbered
from .requests.changes import ODD_CONFIG
from .requests.changes import PATCHES
from .requests.changes import USUAL_CONFIG
from .requests.comparison import compare
from .requests.comparison import difference
from .requests.comparison import reduced
from .requests.handlers import HANDLERS
from .requests.interfaces import ATTRIBUTES
from .requests.interfaces import LAYERS
from .requests.plan import Action
from .requests.plan import AppPlan
from .requests.plan import Case
from .requests.plan import Change
from .requests.plan import Hand
from .requests.plan import Reply
from .requests.plan import Step
from .requests.run import Run
from .requests.sessions import ACTIONS

CASES = 150

#: What the random requests must come to at least once, or they are not worth much.
OUTCOMES = {"200 OK", "404 NOT FOUND", "405 METHOD NOT ALLOWED", "500 INTERNAL SERVER ERROR", "by hand", "LookupError"}


def acting(*names: str, **options: t.Any) -> Step:
    return Step(actions=tuple(Action(name) for name in names), **options)


#: What happens to sessions in most apps.
USUAL = (
    acting("look", "log in", "new cart", "be permanent", cookie=None),
    acting(),
    acting("change nested", "cookies"),
    acting("read", cookie=("a=b; ", "<name>", "=", "<jar>", "; c=d")),
    acting("look", cookie=("<name>", "=", "<damaged:1>")),
    acting("write", "be not permanent"),
    acting("clear", "look"),
)


#: An app with classes of its own that are as good as Flask's.
OWN = AppPlan(flask_class="OwnFlask", request_class="OwnRequest", response_class="OwnResponse")


def changed(*changes: Change, plan: AppPlan = OWN) -> Case:
    """The usual, then the usual with these changes, and if they can be undone, the usual once more."""
    first = dataclasses.replace(USUAL[0], before=changes)
    undoing = dataclasses.replace(USUAL[0], before=(Change("unpatch"),))
    return Case(apps=(plan,), steps=(*USUAL, first, *USUAL[1:], undoing, *USUAL[1:]))


# --- Random cases ---------------------------------------------------------------------------------------------------


def test_random_requests() -> None:
    run = Run(secrets.randbelow(2**32))
    found = next(filter(None, map(run.case, range(CASES))), None)
    assert found is None, f"seed {run.seed}: {found}"
    assert run.requests == CASES * REQUESTS
    assert run.outcomes.keys() >= OUTCOMES
    assert run.native_share("open") > 0.4
    assert run.native_share("save") > 0.3


def test_the_command_says_what_it_found() -> None:
    command = [sys.executable, "-m", "tests.differential.requests", "--cases", "5", "--seed", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "50 requests, 0 differences (seed 1)"


# --- Every oddity by itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_every_subclass_of_the_interface(layer: str) -> None:
    assert difference(Case(interface=(layer,), steps=USUAL)) is None


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_set_on_the_interface(attribute: str) -> None:
    assert difference(changed(Change("interface", attribute))) is None


@pytest.mark.parametrize("patch", PATCHES)
def test_every_attribute_replaced_on_a_class(patch: str) -> None:
    assert difference(changed(Change("patch", patch))) is None
    assert difference(changed(Change("patch", patch), plan=AppPlan())) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for config in (USUAL_CONFIG, ODD_CONFIG) for name, values in config.items() for value in values],
    ids=ascii,
)
def test_every_config(name: str, value: object) -> None:
    assert difference(changed(Change("config", name, value))) is None


@pytest.mark.parametrize("name", USUAL_CONFIG)
def test_every_config_left_out(name: str) -> None:
    assert difference(changed(Change("config less", name))) is None


@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("flask_class", name) for name in apps.FLASK_CLASSES),
        *(("config_class", name) for name in apps.CONFIG_CLASSES),
        *(("request_class", name) for name in apps.REQUEST_CLASSES),
        *(("response_class", name) for name in apps.RESPONSE_CLASSES),
        *(("provider", name) for name in PROVIDERS),
    ],
)
def test_every_class_of_an_app(part: str, name: str) -> None:
    assert difference(Case(apps=(AppPlan(**{part: name}),), steps=USUAL)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("handler", HANDLERS)
def test_every_handler(handler: str) -> None:
    failing = tuple(dataclasses.replace(step, reply=Reply("handled error")) for step in USUAL)
    assert difference(Case(apps=(AppPlan(handlers=(handler,)),), steps=USUAL + failing)) is None


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(kind) for kind in replies.REPLIES),
        *(Reply(headers=(header,)) for header in replies.HEADERS),
        *(Reply(headers=("Vary: Accept", header)) for header in replies.HEADERS),
        *(Reply(tweaks=(tweak,)) for tweak in replies.TWEAKS),
    ],
    ids=repr,
)
def test_every_response(reply: Reply) -> None:
    assert difference(Case(steps=tuple(dataclasses.replace(step, reply=reply) for step in USUAL))) is None


@pytest.mark.parametrize("action", ACTIONS)
def test_every_use_of_the_session(action: str) -> None:
    steps = [acting("log in", "new cart"), acting(action), acting("look"), acting("look", action, "look")]
    permanent = [acting("clear"), acting("be permanent", "log in"), acting(action), acting(action, cookie=None)]
    assert difference(Case(steps=(*steps, *permanent, acting("look")))) is None


@pytest.mark.parametrize("name", [*cookies.NAMES, *cookies.ODD_NAMES])
def test_every_name_of_a_cookie(name: str) -> None:
    headers: list[tuple[str, ...]] = [(name,), (name, "=", "<jar>"), (name, "=", "<jar>", "; ", "<name>", "=", "<jar>")]
    assert difference(sending(*([part for piece in header for part in split(piece)] for header in headers))) is None


@pytest.mark.parametrize("value", [*cookies.VALUES, *cookies.ODD_VALUES], ids=ascii)
def test_every_value_of_a_cookie(value: str) -> None:
    pieces = split(value)
    headers = [("<name>", "=", *pieces), ("a=b; ", "<name>", "=", *pieces), ("<name>", "=", *pieces, "; c=", *pieces)]
    assert difference(sending(*headers)) is None


@pytest.mark.parametrize("separator", [*cookies.SEPARATORS, *cookies.ODD_SEPARATORS], ids=ascii)
def test_every_separator_of_cookies(separator: str) -> None:
    cookie = ("<name>", "=", "<jar>")
    headers = [("a=b", separator, *cookie), (*cookie, separator, "a=b"), (*cookie, separator), (separator, *cookie)]
    assert difference(sending(*headers)) is None


def split(piece: str) -> tuple[str, ...]:
    return tuple(cookies.pieces(piece, random.Random(1)))


def sending(*headers: t.Iterable[str]) -> Case:
    """Each of these as the Cookie header of a view that looks, and of one that does not."""
    steps = [acting("log in", "be permanent", cookie=None)]
    for header in headers:
        steps += [acting("look", "cookies", cookie=tuple(header)), acting(cookie=tuple(header))]
    return Case(steps=tuple(steps))


@pytest.mark.parametrize("app", ["real", "fake"])
@pytest.mark.parametrize("request_", by_hand.REQUESTS_BY_HAND)
@pytest.mark.parametrize("session", by_hand.SESSIONS_BY_HAND)
@pytest.mark.parametrize("response", by_hand.RESPONSES_BY_HAND)
@pytest.mark.parametrize("context", by_hand.CONTEXTS)
def test_every_call_by_hand(app: str, request_: str, session: str, response: str, context: str) -> None:
    hand = Hand(app, request_, session, response, context)
    by_hand = [dataclasses.replace(step, way="by hand", hand=hand) for step in (USUAL[0], USUAL[1], USUAL[-1])]
    assert difference(Case(steps=(acting("log in", "be permanent"), *by_hand))) is None


# --- Scenarios ------------------------------------------------------------------------------------------------------

MINUTE = Change("config", "PERMANENT_SESSION_LIFETIME", 60)
OVERSIZE = Change("config", "MAX_COOKIE_SIZE", 60)

SCENARIOS: dict[str, Case] = {
    "a cookie grows old, to the second": Case(
        steps=(
            acting("log in", before=(MINUTE,)),
            *(acting("look", before=(Change("wait", value=wait),)) for wait in (59, 0.5, 0.5, 0.5, 0.5, -70)),
        )
    ),
    "keys are rotated, in place as well": Case(
        steps=(
            acting("log in", "be permanent"),
            acting("look", before=(Change("key", "rotated"),)),
            acting("look", before=(Change("fallbacks", "clear", ()),)),
            acting("log in"),
            acting("look", before=(Change("key", "again"), Change("fallbacks", "append", ("secret",)))),
            acting("look", cookie=("<name>", "=", "<first>")),
        )
    ),
    "two apps of one interface do not read each other's cookies": Case(
        apps=(AppPlan(), AppPlan(changes=(Change("config", "SECRET_KEY", "other"),))),
        steps=(
            acting("log in", "be permanent"),
            acting("fill with tags", app=1),
            acting("look", cookie=("<name>", "=", "<other app's>")),
            acting("look", cookie=("<name>", "=", "<other app's>"), app=1),
            acting("look"),
            acting("look", app=1),
        ),
    ),
    "1 is not True": Case(
        steps=tuple(
            acting("log in", before=tuple(Change("config", f"SESSION_COOKIE_{name}", value) for name in names))
            for names in (("SECURE", "HTTPONLY"), ("PARTITIONED",))
            for value in (True, 1, 1.0, True, False, 0, None)
        )
    ),
    "a token packed by somebody else is packed as stock packs it": Case(
        steps=tuple(acting(cookie=("<name>", "=", f"<packed:{seed}>")) for seed in range(40))
    ),
    "a token of any JSON text": Case(
        steps=tuple(
            acting("look", *more, cookie=("<name>", "=", f"<made:{seed}>"))
            for seed in range(40)
            for more in ((), ("refill",))
        )
    ),
    "cookies too large are warned of": Case(
        steps=(acting("big"), acting("look"), acting("clear"), acting("log in", before=(OVERSIZE,)), acting("look"))
    ),
    "a warning made an error": Case(steps=(acting("log in", before=(OVERSIZE,)), acting("look")), warnings="error"),
    "a forged cookie does not hide a bad lifetime": Case(
        steps=tuple(
            acting(
                "look",
                before=(Change("config", "PERMANENT_SESSION_LIFETIME", lifetime),),
                cookie=("<name>", "=", cookie),
            )
            for lifetime in (None, "5", timedelta.max, 10**12)
            for cookie in ("", "junk", "<foreign:1>", "<damaged:1>", "<sealed:1>")
        )
    ),
    "a session given as a proxy is not touched before its time": Case(
        apps=(AppPlan(handlers=("saves_session_itself",)),),
        steps=(acting(before=(Change("config less", "SESSION_COOKIE_SAMESITE"),)),),
    ),
    "what is left to stock has not been looked at before": Case(
        apps=(AppPlan(), AppPlan(provider="own loads")),
        steps=(
            acting("log in", "be permanent"),
            acting("log in", "be permanent", app=1),
            acting(watched=False, app=1),
            acting(watched=False, before=(OVERSIZE,)),
            acting(watched=False, before=(Change("interface", "json"),)),
        ),
    ),
    "a key that nobody can sign with does not take Vary along": Case(
        steps=(
            acting("log in", during=(Change("config", "SECRET_KEY", "\ud800"),)),
            acting("look", before=(Change("config", "SECRET_KEY", "secret"),)),
            acting("log in", during=(Change("config", "SECRET_KEY_FALLBACKS", [5]),)),
        )
    ),
    "config changes while the view is at work": Case(
        steps=tuple(
            acting("log in", "be permanent", during=(change,))
            for change in (
                Change("config", "SECRET_KEY", "changed"),
                Change("config", "SESSION_COOKIE_NAME", "sid"),
                Change("config", "SESSION_COOKIE_NAME", "session"),
                Change("config", "SESSION_COOKIE_PATH", "/flask-fastsession-token"),
                Change("app", "permanent_session_lifetime", timedelta(seconds=5)),
                Change("config", "SECRET_KEY", None),
                Change("config", "SECRET_KEY", "secret"),
            )
        )
    ),
    "session transactions": Case(steps=tuple(dataclasses.replace(step, way="transaction") for step in USUAL)),
    "no secret key": Case(
        apps=(AppPlan(changes=(Change("config", "SECRET_KEY", None),)),),
        steps=tuple(acting("look", action) for action in ACTIONS),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    case = SCENARIOS[name]
    assert difference(case) is None
    assert difference(dataclasses.replace(case, stopped_datetime=False)) is None


#: What a tool may replace when a process starts, and for good.
REPLACEMENTS = {
    "hooks": """
        flask.sessions.SessionInterface.get_cookie_path = lambda self, app: "/replaced"
        flask.sessions.SessionInterface.should_set_cookie = lambda self, app, session: True""",
    "open_session": """
        stock = flask.sessions.SecureCookieSessionInterface.open_session
        def open_session(self, app, request):
            session = stock(self, app, request)
            session["opened"] = True
            return session
        flask.sessions.SecureCookieSessionInterface.open_session = open_session""",
    "set_cookie": """
        stock = flask.Response.set_cookie
        def set_cookie(self, *args, **kwargs):
            stock(self, *args, **{**kwargs, "secure": True})
        flask.Response.set_cookie = set_cookie""",
    "cookies": """
        flask.Request.cookies = property(lambda self: {"session": ""})""",
    "permanent": """
        flask.sessions.SessionMixin.permanent = True""",
    "lifetime": """
        flask.Flask.permanent_session_lifetime = datetime.timedelta(seconds=5)""",
    "a key": """
        flask.Flask.secret_key = "another key\"""",
    "storage": """
        flask.Request.dict_storage_class = dict""",
    "length": """
        flask.sessions.SecureCookieSession.__len__ = lambda self: 0""",
}
PROCESS = """
import datetime
import flask.sessions

def replace():{replacement}

{before_import}
from tests.differential.requests.comparison import difference
from tests.differential.requests.plan import Action
from tests.differential.requests.plan import Case
from tests.differential.requests.plan import Change
from tests.differential.requests.plan import Step

{before_first_request}
steps = (
    Step(actions=(Action("log in"),)),
    Step(),
    Step(actions=(Action("be permanent"),)),
    Step(before=(Change("wait", value=6),)),
)
found = difference(Case(steps=steps))
assert found is None, found
"""


@pytest.mark.parametrize("when", ["before_import", "before_first_request"])
@pytest.mark.parametrize("replaced", REPLACEMENTS)
def test_what_is_replaced_for_good(replaced: str, when: str) -> None:
    calls = {"before_import": "", "before_first_request": "", when: "replace()"}
    script = PROCESS.format(replacement=REPLACEMENTS[replaced], **calls)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- What would be found --------------------------------------------------------------------------------------------

Interface = SecureCookieSessionInterface


class LastCookieWins(Interface):
    def open_session(self, app: Flask, request: t.Any) -> t.Any:
        return super().open_session(
            app, t.cast(t.Any, Cookies({**request.cookies.to_dict(flat=True), **last(request)}))
        )


class Cookies:
    def __init__(self, cookies: dict[str, str]) -> None:
        self.cookies = cookies


def last(request: t.Any) -> dict[str, str]:
    return {name: values[-1] for name, values in request.cookies.to_dict(flat=False).items()}


class SplitsCookies(Interface):
    def open_session(self, app: Flask, request: t.Any) -> t.Any:
        pairs = (pair.strip().partition("=") for pair in request.environ.get("HTTP_COOKIE", "").split(";"))
        return super().open_session(
            app, t.cast(t.Any, Cookies({name: value for name, _, value in reversed(list(pairs))}))
        )


class LivesForever(Interface):
    def get_signing_serializer(self, app: Flask) -> t.Any:
        serializer = super().get_signing_serializer(app)
        return serializer and Forever(serializer.secret_keys, salt=self.salt, signer_kwargs=serializer.signer_kwargs)


class Forever(URLSafeTimedSerializer):
    default_serializer = Interface.serializer

    def loads(self, s: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return super().loads(s)


class SignsWithTheOldest(Interface):
    def get_signing_serializer(self, app: Flask) -> t.Any:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.secret_keys.reverse()
        return serializer


class RemembersPath(Interface):
    path: str | None = None

    def get_cookie_path(self, app: Flask) -> str:
        if self.path is None:
            self.path = super().get_cookie_path(app)
        return self.path


class ForgetsToVary(Interface):
    def save_session(self, app: Flask, session: SessionMixin, response: t.Any) -> None:
        accessed, session.accessed = session.accessed, False
        super().save_session(app, session, response)
        session.accessed = accessed


class VariesAlways(Interface):
    def save_session(self, app: Flask, session: SessionMixin, response: t.Any) -> None:
        super().save_session(app, session, response)
        response.vary.add("Cookie")


class AddsVaryUnread(Interface):
    def save_session(self, app: Flask, session: SessionMixin, response: t.Any) -> None:
        before = response.headers.getlist("Vary")
        super().save_session(app, session, response)
        if before and session.accessed:
            response.headers.remove("Vary")
            response.headers.setlist("Vary", [*before, "Cookie"])


class IgnoresSetCookie(Interface):
    def save_session(self, app: Flask, session: SessionMixin, response: t.Any) -> None:
        real = type(response).set_cookie
        response.set_cookie = lambda *args, **kwargs: response.headers.add("Set-Cookie", dump_cookie(*args, **kwargs))
        super().save_session(app, session, response)
        response.set_cookie = real.__get__(response)


class MarksWhenOpened(Interface):
    def open_session(self, app: Flask, request: t.Any) -> t.Any:
        session = super().open_session(app, request)
        if session:
            session["user"] = session.get("user")
        return session


class NeverRefreshes(Interface):
    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        return session.modified


@pytest.mark.parametrize(
    "mistaken",
    [
        *(LastCookieWins, SplitsCookies, LivesForever, SignsWithTheOldest, RemembersPath, ForgetsToVary, VariesAlways),
        *(AddsVaryUnread, IgnoresSetCookie, MarksWhenOpened, NeverRefreshes),
    ],
)
def test_random_requests_find_a_mistake(mistaken: type[Interface]) -> None:
    assert any(compare(numbered(1, number), mistaken).difference for number in range(150))


def test_a_difference_is_reduced() -> None:
    found = next(case for case in (numbered(1, number) for number in range(150)) if difference(case, VariesAlways))
    least = reduced(found, VariesAlways)
    assert difference(least, VariesAlways)
    assert len(least.steps) == 1
    assert eval(repr(least), vars(plan)) == least
