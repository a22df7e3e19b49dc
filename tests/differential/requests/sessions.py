"""What views do with their session."""

from __future__ import annotations

import copy
import datetime
import random
import typing as t
from collections.abc import Callable
from datetime import timedelta
from datetime import timezone
from uuid import UUID

import flask
from flask.sessions import SecureCookieSessionInterface
from markupsafe import Markup
from werkzeug.local import LocalProxy

from ..codec.odd_types import calls
from ..codec.values import LETTERS
from ..codec.values import ODD
from ..codec.values import PLAIN
from ..codec.values import WORDS
from ..codec.values import circular
from ..codec.values import mapping
from .observed import contents
from .observed import observed
from .observed import snapshot

Session = t.Any
Act = Callable[[Session, random.Random], t.Any]


class Unsupported:
    """Of a type that no session can hold."""


def fill(session: Session, rng: random.Random) -> None:
    session.update(mapping(rng, PLAIN, 2))


def fill_oddly(session: Session, rng: random.Random) -> None:
    session.update(mapping(rng, ODD, 2))


def fill_with_tags(session: Session, rng: random.Random) -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=timezone.utc)
    session["tagged"] = {
        "moment": moment,
        "tuple": (1, ("two",)),
        "bytes": rng.randbytes(5),
        "uuid": UUID(int=rng.getrandbits(128)),
        "markup": Markup("<b>"),
        "like a tag": {" t": [1]},
    }


def refill(session: Session, rng: random.Random) -> None:
    """What was loaded is put in again."""
    for key, value in dict(session).items():
        session[key] = copy.deepcopy(value)


def delete_one_by_one(session: Session, rng: random.Random) -> None:
    for key in list(session):
        del session[key]


def write_and_empty(session: Session, rng: random.Random) -> None:
    session["short-lived"] = 1
    del session["short-lived"]


def change_nested(session: Session, rng: random.Random) -> None:
    session.get("cart", []).append(rng.randrange(100))


def change_nested_and_mark(session: Session, rng: random.Random) -> None:
    change_nested(session, rng)
    session.modified = True


def set_permanent(value: bool) -> Act:
    return lambda session, rng: setattr(session, "permanent", value)


def mark(name: str, *values: t.Any) -> Act:
    return lambda session, rng: setattr(session, name, rng.choice(values))


def see_cookies(session: Session, rng: random.Random) -> t.Any:
    cookies = flask.request.cookies
    names = {*cookies, "session", "missing"}
    return [type(cookies).__name__, list(cookies.items()), [(name, cookies.get(name)) for name in sorted(names)]]


def interface() -> SecureCookieSessionInterface:
    return t.cast(SecureCookieSessionInterface, flask.current_app.session_interface)


def save_now(session: Session, rng: random.Random) -> t.Any:
    response = flask.current_app.response_class()
    interface().save_session(flask.current_app, session, response)
    return list(response.headers)


def open_again(session: Session, rng: random.Random) -> t.Any:
    return snapshot(interface().open_session(flask.current_app, flask.request))


def use_serializer(session: Session, rng: random.Random) -> t.Any:
    serializer = interface().get_signing_serializer(flask.current_app)
    token = serializer.dumps(dict(session))  # type: ignore[union-attr]
    return token, observed(serializer.loads(token, max_age=1, return_timestamp=True))  # type: ignore[union-attr]


def copies(session: Session, rng: random.Random) -> t.Any:
    real = session._get_current_object() if type(session) is LocalProxy else session
    return [snapshot(copied) for copied in (session.copy(), copy.copy(real), copy.deepcopy(real), session | {"a": 1})]


def combine(session: Session, rng: random.Random) -> t.Any:
    """``session |= ...`` as a view spells it changes the session's own dict."""
    session |= rng.choice(({}, {"combined": 1}))
    return snapshot(session)


ACTIONS: dict[str, Act] = {
    "read": lambda session, rng: session.get("user"),
    "look": lambda session, rng: snapshot(session),
    "cookies": see_cookies,
    "length": lambda session, rng: (len(session), bool(session), "user" in session),
    "iterate": lambda session, rng: [list(session), list(session.keys()), contents(session.items())],
    "compare": lambda session, rng: (session == {}, session == {"user": "ada"}),
    "read missing": lambda session, rng: session["missing"],
    "write": lambda session, rng: session.__setitem__(rng.choice(WORDS), rng.randrange(100)),
    "log in": lambda session, rng: session.update(user="ada", _fresh=True, _id="f" * 128, csrf_token="0" * 40),
    "fill": fill,
    "fill oddly": fill_oddly,
    "fill with tags": fill_with_tags,
    "new cart": lambda session, rng: session.__setitem__("cart", [1, {"n": (2,)}]),
    "change nested": change_nested,
    "change nested and mark": change_nested_and_mark,
    "refill": refill,
    "write and empty": write_and_empty,
    "delete one by one": delete_one_by_one,
    "delete": lambda session, rng: session.__delitem__("user"),
    "clear": lambda session, rng: session.clear(),
    "pop": lambda session, rng: session.pop("user"),
    "pop missing": lambda session, rng: session.pop("missing", None),
    "popitem": lambda session, rng: observed(session.popitem()),
    "setdefault": lambda session, rng: observed(session.setdefault("user", "bob")),
    "update with nothing": lambda session, rng: session.update(),
    "combine": combine,
    "be permanent": set_permanent(True),
    "be not permanent": set_permanent(False),
    "odd permanent": lambda session, rng: session.__setitem__(
        "_permanent", rng.choice((0, 1, "no", "", None, [], [0]))
    ),
    "mark modified": mark("modified", True),
    "mark unmodified": mark("modified", False),
    "mark oddly": mark("modified", 1, "yes", None, 0, []),
    "mark accessed": mark("accessed", True, False, 1, None),
    "mark new": mark("new", True),
    "attribute": lambda session, rng: setattr(session, "colour", "red"),
    "other attributes": lambda session, rng: sorted(set(vars(session)) - {"on_update", "modified", "accessed", "new"}),
    "drop mark": lambda session, rng: delattr(session, "modified"),
    "no on_update": mark("on_update", None),
    "own on_update": lambda session, rng: setattr(session, "on_update", lambda changed: calls.append("on_update")),
    "own get": lambda session, rng: setattr(session, "get", lambda key, default=None: True),
    "flash": lambda session, rng: flask.flash("mess<a>ge", "warning"),
    "flashed": lambda session, rng: flask.get_flashed_messages(with_categories=True),
    "copy": copies,
    "big": lambda session, rng: session.__setitem__("big", "".join(rng.choices(LETTERS, k=6000))),
    "unsupported": lambda session, rng: session.__setitem__(
        "x", rng.choice(({1}, Unsupported(), timedelta(1), object))
    ),
    "circular": lambda session, rng: session.__setitem__("circle", circular(rng)),
    "save now": save_now,
    "open again": open_again,
    "serialize": use_serializer,
    "render": lambda session, rng: flask.render_template_string("{{ session.user }}{{ session.modified }}"),
}

USUAL_ACTIONS = (
    *(
        "read",
        "look",
        "look",
        "length",
        "write",
        "write",
        "log in",
        "log in",
        "fill",
        "fill with tags",
        "new cart",
        "cookies",
    ),
    *(
        "change nested",
        "change nested and mark",
        "refill",
        "delete",
        "clear",
        "pop missing",
        "setdefault",
        "be permanent",
    ),
    *("be permanent", "be not permanent", "flash", "flashed", "mark modified"),
)
