"""The suites of Flask-Session and Flask-KVSession, with ``ServerSession``: writes docs/session_suites.md.

Their sdists have no tests, so they come from their repositories by git, at the commits of the releases. Run it by
``python -m tests.upstream.session_suites``; it fails if a test ends otherwise than is said here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from tests.server.servers import memcached_server
from tests.server.servers import redis_server

from .suites import Outcomes
from .suites import run_tests

PAGE = Path(__file__).parents[2] / "docs" / "session_suites.md"


@dataclass(frozen=True)
class SessionSuite:
    """A suite as it was released, and why tests of it do not pass."""

    name: str
    url: str
    commit: str
    adapter: str
    #: Whether the project itself runs with the Flask of today.
    has_peer: bool
    #: Files of tests that are left out.
    left_out: tuple[str, ...] = ()
    #: By the beginning of their ids.
    reasons: dict[str, str] = field(default_factory=dict)

    def reason(self, test: str) -> str | None:
        found = [reason for beginning, reason in self.reasons.items() if test.startswith(beginning)]
        return found[0] if found else None


SIGNED = (
    "It looks for a number, a time and a signature in the id. Ours is random, and signed with `SESSION_USE_SIGNER`."
)
KVSESSION = "tests/test_flask_kvsession.py::test_"

SUITES = (
    SessionSuite(
        "Flask-Session 0.8.0",
        "https://github.com/pallets-eco/flask-session",
        "65c05eae0e6d679047394b39a8d6e2bce8195ac3",
        "flask_session_adapter",
        has_peer=True,
        left_out=("tests/test_mongodb.py", "tests/test_dynamodb.py"),
        reasons={"tests/test_basic.py::test_null_session": "Without `SESSION_TYPE` sessions are in SQLite."},
    ),
    SessionSuite(
        "Flask-KVSession 0.6.2",
        "https://github.com/mbr/flask-kvsession",
        "add07c64bca4cabc2dd022e2bb2bd171a0e6fb3a",
        "kvsession_adapter",
        has_peer=False,
        left_out=("tests/test_sessionid.py",),
        reasons={
            f"{KVSESSION}proper_cookie_received": SIGNED,
            f"{KVSESSION}session_expires_without_backend_support": SIGNED,
            f"{KVSESSION}expired_session_causes_new_empty_session": SIGNED,
            f"{KVSESSION}correct_error_reporting_with_no_secret_key": "Random ids need no secret key.",
            f"{KVSESSION}can_store_datetime[dict]": "A datetime comes back in UTC, as from Flask's own cookies.",
            f"{KVSESSION}can_store_datetime[redis]": "A naive datetime comes back as a string, as from Flask-Session.",
        },
    ),
)


def fetched(suite: SessionSuite, directory: Path) -> Path:
    """The folder with the source of a suite, below ``directory``."""
    home = directory / suite.adapter
    for command in (
        ["init", "--quiet", str(home)],
        ["-C", str(home), "fetch", "--quiet", "--depth=1", suite.url, suite.commit],
        ["-C", str(home), "checkout", "--quiet", suite.commit],
    ):
        subprocess.run(["git", *command], check=True)
    return home


def run(suite: SessionSuite, directory: Path, classes: str) -> Outcomes:
    home = fetched(suite, directory / classes)
    with redis_server(directory) as redis, memcached_server(directory) as memcached:
        ports = [f"--redis-port={redis.port}", f"--memcached-port={memcached.port}"]
        # An ini file of its own may ask for plugins that are not here.
        ignored = [f"--ignore={file}" for file in suite.left_out]
        arguments = ["tests", "-c", "/dev/null", f"--rootdir={home}", *ignored, *ports]
        return run_tests([sys.executable], arguments, classes, home, directory / f"{classes}.json", suite.adapter)


def complaints(suite: SessionSuite, ours: Outcomes) -> Iterator[str]:
    for test, ending in ours.tests.items():
        if (ending == "passed") != (suite.reason(test) is None):
            yield f"{suite.name}, {test}: {ending}, and the reason is said to be {suite.reason(test)}"


def section(suite: SessionSuite, stock: Outcomes | None, ours: Outcomes) -> Iterator[str]:
    passed, total = ours.count("passed"), len(ours.tests)
    yield f"## {suite.name}"
    yield ""
    yield f"{passed} of {total} tests pass" + (
        "." if stock is None else f"; with {suite.name}, {stock.count('passed')}."
    )
    yield ""
    header = ["test", "ours", "why not"]
    if stock is not None:
        header.insert(1, suite.name)
    yield row(header)
    yield row(["---"] * len(header))
    for test, ending in sorted(ours.tests.items()):
        cells = [f"`{test.removeprefix('tests/')}`", in_a_word(ending), suite.reason(test) or ""]
        if stock is not None:
            cells.insert(1, in_a_word(stock.tests.get(test, "not there")))
        yield row(cells)
    yield ""


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def in_a_word(ending: str) -> str:
    return ending.partition(":")[0]


HEAD = """# Suites of other session extensions

`make session-suites` writes this page. It runs the suites of Flask-Session and Flask-KVSession, as they were released,
with `ServerSession` in place of their extensions. An adapter (`tests/upstream/adapters/`) shows each suite what it
looks at in a store, and Flask-KVSession's stands in for what pytest and Werkzeug had in 2014 as well. Flask-KVSession
itself does not run on a Flask of today. What Flask-Session stores in files is in SQLite here.

Left out are the tests of MongoDB and DynamoDB, as there are no such stores, though their sessions can be
[taken over](server_side.md#taking-over-other-backends), and the tests of Flask-KVSession's class of ids.
"""


def main() -> int:
    lines, found = [HEAD], list[str]()
    for suite in SUITES:
        with tempfile.TemporaryDirectory() as name:
            stock = run(suite, Path(name), "stock") if suite.has_peer else None
            ours = run(suite, Path(name), "ours")
        lines += section(suite, stock, ours)
        found += complaints(suite, ours)
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"Stored in {PAGE}.", *found, sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
