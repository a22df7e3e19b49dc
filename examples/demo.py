"""A tour of the login application: served over HTTP, its cookies looked at, and what they cost."""

from __future__ import annotations

import json
import os
import pprint
import secrets
import signal
import subprocess
import sys
import typing as t
from contextlib import contextmanager

import httpx
from flask import Flask
from flask import session
from flask.sessions import SecureCookieSessionInterface

from benches import bench_request
from benches.timing import print_table
from benches.timing import ratio
from examples.login import create_app
from flask_fastsession.cli.timing import MOST_SPREAD

ADA = {"user": "ada", "password": "lovelace", "remember": "on"}
ALAN = {"user": "alan", "password": "turing", "remember": "on"}
COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def main() -> None:
    # Terminated, the demo leaves no server behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # The server, and the apps made here to read its cookies, all take their key from the environment.
    os.environ["FLASK_SECRET_KEY"] = f"demo-{secrets.token_hex()}"
    stock = create_app(SecureCookieSessionInterface())
    ours = create_app()
    with serving() as url, httpx.Client(base_url=url, trust_env=False) as client:
        cookie = log_in(client, ours)
        compare_with_stock(client, cookie, stock, ours)
        log_out(client, ours)
        heading("What the server counted")
        print(json.dumps(client.get("/stats").raise_for_status().json(), indent=2))
    show_costs()


@contextmanager
def serving() -> t.Iterator[str]:
    """Run the server in a process of its own, on a port that is free, and yield its URL."""
    command = [sys.executable, "-m", "examples.serve", "--port", "0", "--stats"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = next((word for word in server.stdout.readline().split() if word.startswith("http://")), None)
            check("the server is up", url is not None)
            assert url is not None
            print(f"  {url}")
            yield url
        finally:
            server.terminate()


# --- The visit --------------------------------------------------------------------------------------------------------


def log_in(client: httpx.Client, app: Flask) -> str:
    """Log in, look at the home page twice, and return the session cookie."""
    heading("Log in")
    home = visit(client, app, "GET", "/")
    check("a stranger gets no cookie", "Hello, stranger" in home.text and not client.cookies)
    response = visit(client, app, "POST", "/login", data=ADA)
    check("the login is accepted", response.status_code == 302 and "session" in client.cookies)
    home = visit(client, app, "GET", "/")
    check("the next page shows the flashed message", greets(home, "ada") and "Welcome, ada." in home.text)
    home = visit(client, app, "GET", "/")
    check("the message is shown once", greets(home, "ada") and "Welcome, ada." not in home.text)
    return client.cookies["session"]


def log_out(client: httpx.Client, app: Flask) -> None:
    heading("Log out")
    visit(client, app, "GET", "/logout")
    home = visit(client, app, "GET", "/")
    check("the user is gone, the last message is shown", not greets(home, "ada") and "You are logged out." in home.text)
    check("the empty session takes its cookie with it", not client.cookies)


def visit(client: httpx.Client, app: Flask, method: str, path: str, **options: t.Any) -> httpx.Response:
    """Send a request, and print what it does to the session."""
    response = client.request(method, path, **options)
    print(f"\n{bold(f'{method} {path}')}  {response.status_code} {response.reason_phrase}")
    for line in response.headers.get_list("Set-Cookie"):
        print(f"  {dim('Set-Cookie:')} {line}")
        if "session" in client.cookies:
            decoded = pprint.pformat(read(app, client.cookies["session"]), width=100)
            print(f"  {dim('decoded:')}    {decoded.replace(chr(10), chr(10) + ' ' * 14)}")
    return response


def greets(page: httpx.Response, user: str) -> bool:
    return page.status_code == 200 and f"Hello, {user}" in page.text


def read(app: Flask, cookie: str) -> dict[str, t.Any]:
    """Return the session that an app finds in a cookie."""
    with app.test_request_context(headers={"Cookie": f"session={cookie}"}):
        return dict(session)


# --- Beside stock Flask -----------------------------------------------------------------------------------------------


def compare_with_stock(client: httpx.Client, cookie: str, stock: Flask, ours: Flask) -> None:
    heading("Beside stock Flask")
    check("stock Flask reads this very cookie alike", same(read(stock, cookie), read(ours, cookie), "ada"))

    browser = stock.test_client()
    browser.post("/login", data=ALAN)
    set_by_stock = browser.get_cookie("session")
    assert set_by_stock is not None
    theirs = set_by_stock.value
    print(f"\n  {dim('from stock:')} {theirs}")
    check("ours reads the cookie of stock Flask alike", same(read(ours, theirs), read(stock, theirs), "alan"))
    page = httpx.get(client.base_url, headers={"Cookie": f"session={theirs}"}, trust_env=False)
    check("the server takes it for a login", greets(page, "alan"))
    check("a forged one is read by neither", read(ours, f"x{theirs}") == read(stock, f"x{theirs}") == {})


def same(one: dict[str, t.Any], other: dict[str, t.Any], user: str) -> bool:
    """Whether both hold the same session of the user, down to the types, which the repr tells."""
    return one.get("user") == user and repr(one) == repr(other)


# --- What it costs ----------------------------------------------------------------------------------------------------


def show_costs() -> None:
    heading("What sessions cost a request")
    print("Time added to a minimal request, in microseconds: median ±median deviation of interleaved rounds.\n")
    rows, inconclusive = [], []
    for name in ("read", "refreshed read"):
        measured = bench_request.measure(bench_request.CASES[name], calls=25, rounds=200, names=("stock", "ours"))
        stock, ours = measured.cost("stock"), measured.cost("ours")
        times = ratio(stock, ours)
        rows.append([f"session {name}", measured.whole["null"], stock, ours, times])
        if times.value <= 0 or times.spread > MOST_SPREAD * times.value:
            inconclusive.append(f"session {name}: the times spread too far to conclude anything; try an idle machine")
    print_table(["", "no session", "stock adds", "ours adds", "stock/ours"], rows)
    print(*inconclusive, sep="\n")
    print("The last row is a permanent session: Flask signs and sends its cookie again with each response.")


# --- The printed page -------------------------------------------------------------------------------------------------


def check(claim: str, holds: bool) -> None:
    print(f"  {style('32', 'yes') if holds else style('31', 'NO')}  {claim}")
    if not holds:
        sys.exit(f"The demo failed: not true that {claim}.")


def heading(text: str) -> None:
    print(f"\n{bold(text)}\n{'=' * len(text)}")


def bold(text: str) -> str:
    return style("1", text)


def dim(text: str) -> str:
    return style("2", text)


def style(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURED else text


if __name__ == "__main__":
    main()
