"""The interface in Quart: its sessions are Flask's, though no stage of a request is native."""

from __future__ import annotations

import asyncio
import typing as t
from collections.abc import Iterator

import flask
import pytest
import quart
import quart.sessions
import time_machine
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface
from tests.contract.parity import SECRET_KEY
from tests.contract.parity import exchange
from tests.contract.parity import make_app

START = 1_700_000_000


class AsyncSessions(FastSessionInterface):
    """As docs/faq.md has it."""

    async def open_session(self, app: t.Any, request: t.Any) -> t.Any:  # type: ignore[override]
        return super().open_session(app, request)

    async def save_session(self, app: t.Any, session: t.Any, response: t.Any) -> None:  # type: ignore[override]
        super().save_session(app, session, response)


@pytest.fixture(autouse=True)
def clock() -> Iterator[t.Any]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


def quart_app(interface: object) -> quart.Quart:
    app = quart.Quart(__name__, static_folder=None)
    # Flask's interface looks for these, which Quart does not have.
    app.config.update(SECRET_KEY=SECRET_KEY, SECRET_KEY_FALLBACKS=None, SESSION_COOKIE_PARTITIONED=False)
    app.session_interface = t.cast(t.Any, interface)

    @app.get("/write")
    async def write() -> str:
        quart.session.permanent = True
        quart.session["user"] = "ada"
        return ""

    @app.get("/read")
    async def read() -> str:
        return str(quart.session.get("user"))

    @app.get("/clear")
    async def clear() -> str:
        quart.session.clear()
        return ""

    return app


def visit(app: quart.Quart, *paths: str, cookie: str | None = None) -> list[tuple[str, list[str], str | None]]:
    async def visit_all() -> list[tuple[str, list[str], str | None]]:
        client = app.test_client()
        if cookie is not None:
            client.set_cookie("localhost", "session", cookie)
        found = []
        for path in paths:
            response = await client.get(path)
            text = await response.get_data(as_text=True)
            found.append((text, response.headers.getlist("Set-Cookie"), response.headers.get("Vary")))
        return found

    return asyncio.run(visit_all())


# Those that are not asynchronous, Quart runs in threads.
@pytest.mark.parametrize("kind", [FastSessionInterface, AsyncSessions])
def test_sessions_are_quarts_own_and_flasks(kind: type[FastSessionInterface]) -> None:
    paths = ("/write", "/read", "/clear", "/read")
    ours, quarts = (
        visit(quart_app(interface), *paths) for interface in (kind(), quart.sessions.SecureCookieSessionInterface())
    )
    assert ours == quarts
    token = ours[0][1][0].partition("=")[2].partition(";")[0]
    stock = make_app(SecureCookieSessionInterface())
    assert exchange(stock, dict, token).seen == [{"_permanent": True, "user": "ada"}]


def test_options_work_and_nothing_is_native() -> None:
    told: list[str] = []
    interface = AsyncSessions(
        delete_refused=True, refresh_after=60, on_refused=lambda request, reason: told.append(reason)
    )
    app = quart_app(interface)
    ((_, (deletion,), _),) = visit(app, "/read", cookie="nonsense")
    assert deletion.startswith("session=;") and told == ["malformed"]
    _, (text, cookies, _) = visit(app, "/write", "/read")
    assert (text, cookies) == ("ada", [])
    assert interface.stats()["open"]["native"] == 0


def test_a_websocket_has_a_session_by_the_asynchronous_methods() -> None:
    app = quart_app(AsyncSessions())

    @app.websocket("/socket")
    async def socket() -> None:
        await quart.websocket.send(str(quart.session.get("user")))

    token = exchange(make_app(SecureCookieSessionInterface()), lambda session: session.update(user="ada")).token

    async def hear() -> object:
        client = app.test_client()
        async with client.websocket("/socket", headers={"Cookie": f"session={token}"}) as connection:
            return await connection.receive()

    assert asyncio.run(hear()) == "ada"


def test_flask_itself_needs_what_quart_lacks() -> None:
    # Once this fails, the page need not say so any more.
    app = quart.Quart(__name__)
    missing = {"SECRET_KEY_FALLBACKS", "SESSION_COOKIE_PARTITIONED"} & flask.Flask.default_config.keys()
    assert not missing & app.config.keys()
