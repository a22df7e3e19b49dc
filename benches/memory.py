"""Serve requests of every kind with one implementation, and print how many bytes are resident meanwhile.

``bench_growth`` runs this in a process of its own: ``python -m benches.memory ours --requests 1000000``.
"""

from __future__ import annotations

import argparse
import gc
import math
import re
import typing as t
from decimal import Decimal
from pathlib import Path
from random import Random

from flask import Flask
from flask import session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import create_environ

from benches.bench_request import answer
from benches.bench_request import check
from benches.bench_request import create_app
from benches.bench_request import forge
from benches.payloads import Session
from benches.payloads import login
from flask_fastsession import FastSessionInterface

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from itsdangerous import URLSafeTimedSerializer

INTERFACES = {"ours": FastSessionInterface, "stock": SecureCookieSessionInterface}
WARM_UP_REQUESTS = 50_000
SAMPLES = 20
SESSIONS_A_ROUND = 100
KINDS = 6
REQUESTS_A_ROUND = KINDS * SESSIONS_A_ROUND
ENVIRONS = {path: create_environ(path) for path in ("/untouched", "/read", "/write", "/price")}


def create_shop(interface: SecureCookieSessionInterface) -> Flask:
    """Return the app, with one more view: a session in which there is something for stock only."""
    app = create_app(interface)

    @app.get("/price")
    def price() -> str:
        session["price"] = Decimal("9.99")
        return "hello"

    return app


def make_round(random: Random, serializer: URLSafeTimedSerializer) -> list[WSGIEnvironment]:
    """Return as many requests of one kind as of another.

    Their sessions were never seen before, down to the name of a key, so that it shows if anything of them is kept.
    """
    permanent = [login(random) | {random.randbytes(8).hex(): True} for _ in range(SESSIONS_A_ROUND)]
    refreshed = sign_all(serializer, permanent)
    passing = sign_all(serializer, [value | {"_permanent": False} for value in permanent])
    environs = [
        *(ENVIRONS["/untouched"] for _ in permanent),
        *(with_cookie("/read", token) for token in passing),
        *(with_cookie("/read", token) for token in refreshed),
        *(with_cookie("/write", token) for token in passing),
        *(with_cookie("/read", forge(token)) for token in passing),
        *(with_cookie("/price", token) for token in passing),
    ]
    assert len(environs) == REQUESTS_A_ROUND
    random.shuffle(environs)
    return environs


def sign_all(serializer: URLSafeTimedSerializer, values: t.Sequence[Session]) -> list[str]:
    return [str(serializer.dumps(value)) for value in values]


def with_cookie(path: str, token: str) -> WSGIEnvironment:
    return ENVIRONS[path] | {"HTTP_COOKIE": f"session={token}"}


def serve(name: str, requests: int) -> t.Iterator[int]:
    """Serve at least so many requests, and yield the bytes resident after the warm-up and then at even intervals."""
    random = Random(name)
    interface = INTERFACES[name]()
    app = create_shop(interface)
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    apps = {name: create_shop(make()) for name, make in INTERFACES.items()}
    check(apps, make_round(random, serializer))

    rounds = 0
    for wanted in (WARM_UP_REQUESTS, *[requests / SAMPLES] * SAMPLES):
        for _ in range(math.ceil(wanted / REQUESTS_A_ROUND)):
            for environ in make_round(random, serializer):
                answer(app, environ)
            rounds += 1
        gc.collect()
        yield resident_bytes()
    if isinstance(interface, FastSessionInterface):
        check_stats(interface.stats(), rounds * SESSIONS_A_ROUND)


def check_stats(stats: t.Mapping[str, t.Any], requests_of_a_kind: int) -> None:
    """Make sure that it was native code whose memory was looked at, but for the one kind that it declines."""
    assert stats["open"] == {"native": KINDS * requests_of_a_kind, "declined": {}}, stats
    assert stats["save"]["declined"] == {"value_type": requests_of_a_kind}, stats
    assert stats["loads"]["rejected"] == requests_of_a_kind, stats


def resident_bytes() -> int:
    """Have the kernel count them; what stands in ``/proc/self/statm`` is inaccurate, as proc(5) says."""
    found = re.search(r"^Rss: +(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=INTERFACES)
    parser.add_argument("--requests", type=int, default=1_000_000, help="default: %(default)s")
    arguments = parser.parse_args()
    for resident in serve(arguments.name, arguments.requests):
        print(resident, flush=True)


if __name__ == "__main__":
    main()
