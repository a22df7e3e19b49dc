"""Codec: ``get_signing_serializer(app).dumps(...)`` and ``.loads(..., max_age=...)``, stock, tuned Python and ours.

Run from the root of the project by ``python -m benches.bench_codec``.
"""

from __future__ import annotations

import argparse
import typing as t
from pathlib import Path

from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from benches.payloads import PAYLOADS
from benches.payloads import Session
from benches.payloads import sessions
from benches.timing import Timing
from benches.timing import declined_in
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from benches.timing import take_turns
from benches.tuned import TunedSessionInterface
from flask_fastsession import FastSessionInterface

MAX_AGE = 31 * 24 * 60 * 60
DIFFERENT_SESSIONS = 50
# Calls in one turn, so that stock's takes some milliseconds.
CALLS = {"small": 200, "login": 150, "rich": 50, "big": 50, "huge": 2}


def check(serializers: t.Mapping[str, URLSafeTimedSerializer], values: t.Sequence[Session]) -> None:
    """Make sure that all write the same payload and read the same values from every token."""
    for value in values:
        tokens = {name: str(serializer.dumps(value)) for name, serializer in serializers.items()}
        payloads = {token.rsplit(".", 2)[0] for token in tokens.values()}
        assert len(payloads) == 1, f"different payloads: {tokens}"
        for writer, token in tokens.items():
            for reader, serializer in serializers.items():
                found = serializer.loads(token, max_age=MAX_AGE)
                # Their repr tells types apart that compare as equal.
                same = found == value and repr(sorted(found.items())) == repr(sorted(value.items()))
                assert same, f"{reader} reads {found!r} from the token of {writer}, which was {value!r}"


def measure(app: Flask, rounds: int) -> t.Iterator[tuple[str, str, int, dict[str, Timing]]]:
    """Yield payload, operation, size and timings."""
    interfaces = {
        "stock": SecureCookieSessionInterface(),
        "tuned": TunedSessionInterface(),
        "ours": (ours := FastSessionInterface()),
    }
    serializers: dict[str, URLSafeTimedSerializer] = {}
    for name, interface in interfaces.items():
        serializer = interface.get_signing_serializer(app)
        assert serializer is not None
        serializers[name] = serializer
    for payload in PAYLOADS:
        values = sessions(payload, min(DIFFERENT_SESSIONS, CALLS[payload]))
        check(serializers, values)
        size = len(TaggedJSONSerializer().dumps(values[0]))
        calls = CALLS[payload]
        values = (values * calls)[:calls]
        tokens = [serializers["stock"].dumps(value) for value in values]
        dumps = {name: dump_all(serializer, values) for name, serializer in serializers.items()}
        yield payload, "dumps", size, take_turns(dumps, calls=calls, rounds=rounds)
        loads = {name: load_all(serializer, tokens) for name, serializer in serializers.items()}
        yield payload, "loads", size, take_turns(loads, calls=calls, rounds=rounds)
    declined = declined_in(ours.stats())
    assert not declined, f"some of it was not done natively: {declined}"


def dump_all(serializer: URLSafeTimedSerializer, values: t.Sequence[Session]) -> t.Callable[[], None]:
    def job() -> None:
        for value in values:
            serializer.dumps(value)

    return job


def load_all(serializer: URLSafeTimedSerializer, tokens: t.Sequence[str | bytes]) -> t.Callable[[], None]:
    def job() -> None:
        for token in tokens:
            serializer.loads(token, max_age=MAX_AGE)

    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each implementation (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/codec.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    app = Flask(__name__)
    app.secret_key = "bench"
    rows: list[list[object]] = []
    timings: dict[str, Timing] = {}
    with app.app_context():
        for payload, operation, size, timing in measure(app, arguments.rounds):
            timings |= {f"{operation} {payload} {name}": value for name, value in timing.items()}
            stock, tuned, ours = timing["stock"], timing["tuned"], timing["ours"]
            against = [ratio(stock, tuned), ratio(stock, ours), ratio(tuned, ours)]
            rows.append([f"{payload} {operation}", size, stock, tuned, ours, *against])
    print(f"Codec, microseconds a call: median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    print_table(["", "bytes", "stock", "tuned", "ours", "stock/tuned", "stock/ours", "tuned/ours"], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
