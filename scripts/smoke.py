"""Does the installed package work? One login over Flask's test client, beside stock's, then a look at the counters.

::

    python -I scripts/smoke.py --guard tags

It needs nothing but the installed package, and is run in an empty environment after a wheel was installed there. Builds
for one CPython from 3.11 to 3.14 guard by the version tags of classes, all others by look-ups.
"""

from __future__ import annotations

import argparse
import platform
import sys
import sysconfig
import time
import zlib
from importlib import metadata
from pathlib import Path

import flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue

import flask_fastsession
from flask_fastsession import FastSessionInterface
from flask_fastsession import _native

#: What came of one request: status, all headers in their order, body.
Answer = tuple[int, list[tuple[str, str]], str]

PATHS = ("/login", "/", "/", "/logout")

#: Not all Pythons are built with the classic zlib; others are tuned, and compress to other bytes.
MAY_COMPRESS_OTHERWISE = "ng" in zlib.ZLIB_RUNTIME_VERSION or sys.platform == "darwin"


def make_app(interface: SecureCookieSessionInterface) -> flask.Flask:
    app = flask.Flask("smoke")
    app.secret_key = "a secret key for the smoke test"
    app.session_interface = interface

    @app.post("/login")
    def login() -> ResponseReturnValue:
        flask.session.permanent = True
        flask.session["user"] = "ada"
        return "welcome"

    @app.get("/")
    def index() -> ResponseReturnValue:
        return f"logged in as {flask.session['user']}"

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        flask.session.clear()
        return "goodbye"

    return app


def visit(client: FlaskClient, path: str) -> Answer:
    response = client.open(path, method="GET" if path == "/" else "POST")
    return response.status_code, response.headers.to_wsgi_list(), response.text


def log_in_and_out(interface: SecureCookieSessionInterface) -> list[Answer]:
    client = make_app(interface).test_client()
    return [visit(client, path) for path in PATHS]


def compare_with_stock() -> FastSessionInterface:
    """Have both log in and out within the same second, for that is what cookies are dated by."""
    while True:
        second = int(time.time())
        ours = FastSessionInterface()
        answers = log_in_and_out(SecureCookieSessionInterface()), log_in_and_out(ours)
        if int(time.time()) == second:
            break
    assert answers[0] == answers[1], answers
    assert [status for status, _, _ in answers[1]] == [200] * len(PATHS), answers
    return ours


def check_that_it_was_native(interface: FastSessionInterface) -> str:
    """That native code did all but, where Python has a zlib of its own, what that one compresses."""
    stats = interface.stats()
    # The first request brings no cookie, and the last one deletes it.
    cookies = len(PATHS) - 1
    assert stats["open"] == {"native": len(PATHS), "declined": {}}, stats
    assert stats["loads"] == {"native": cookies, "rejected": 0, "declined": {}}, stats
    if MAY_COMPRESS_OTHERWISE and stats["dumps"] == {"native": 0, "declined": {"zlib": cookies}}:
        assert stats["save"] == {"native": 1, "declined": {"zlib": cookies}}, stats
        return f"natively but for zlib {zlib.ZLIB_RUNTIME_VERSION}"
    assert stats["dumps"] == {"native": cookies, "declined": {}}, stats
    assert stats["save"] == {"native": len(PATHS), "declined": {}}, stats
    return "natively"


def check_guard(interface: FastSessionInterface, expected: str) -> None:
    """That classes are guarded as this build has to: by their version tags, or by looking each time."""
    guard = interface.stats()["guard"]
    assert guard == expected, f"guarded by {guard} instead of {expected}"


def check_what_was_installed(folder: Path) -> str:
    """That it was imported from this folder, that all entry points load, and that the GIL stayed off."""
    extension = Path(_native.__file__)
    assert extension.resolve().is_relative_to(folder.resolve()), extension
    distribution = metadata.distribution("flask-fastsession")
    assert distribution.version == flask_fastsession.__version__, distribution.version
    for entry_point in distribution.entry_points:
        entry_point.load()
    for name in flask_fastsession.__all__:
        getattr(flask_fastsession, name)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert not sys._is_gil_enabled(), "the extension brought the GIL back"  # type: ignore[attr-defined]
    return extension.name


def check_the_inspector() -> None:
    """That its templates were installed along with it."""
    from flask_fastsession.inspector import inspector

    app = make_app(FastSessionInterface())
    app.debug = True
    app.register_blueprint(inspector)
    assert "The session is empty." in app.test_client().get("/inspector").text


def main() -> None:
    parser = argparse.ArgumentParser(description="Log in and out beside stock, and look at the counters.")
    parser.add_argument("--guard", choices=["tags", "look-ups"], required=True, help="how this build has to guard")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(sysconfig.get_path("platlib")),
        help="where the package has to come from (default: what is installed)",
    )
    options = parser.parse_args()
    extension = check_what_was_installed(options.folder)
    interface = compare_with_stock()
    how = check_that_it_was_native(interface)
    check_guard(interface, options.guard)
    check_the_inspector()
    python = f"{platform.python_implementation()} {platform.python_version()} {platform.system()} {platform.machine()}"
    print(
        f"{python}, Flask {metadata.version('flask')}: {extension} logs in and out as stock does, {how}, "
        f"guarded by {options.guard}"
    )


if __name__ == "__main__":
    main()
