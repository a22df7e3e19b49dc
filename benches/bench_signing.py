"""Signing: the signers and serializers of itsdangerous and of ``flask_fastsession.signing``, with the same arguments.

Run from the root of the project by ``python -m benches.bench_signing``.
"""

from __future__ import annotations

import argparse
import typing as t
from pathlib import Path

import itsdangerous

from benches.timing import Timing
from benches.timing import print_table
from benches.timing import ratio
from benches.timing import store
from benches.timing import take_turns
from flask_fastsession import signing

CALLS = 200
KEYS = ["an older key of thirty-two letters", "a key of the length that docs advise"]
VALUE = b"user 4711, may reset the password"
OBJECT = {"user": 4711, "email": "ada@example.org", "may": ["reset", "confirm"]}

#: What a class signs, and by which of its methods there and back.
SIGNED: dict[str, tuple[object, str, str]] = {
    "Signer": (VALUE, "sign", "unsign"),
    "TimestampSigner": (VALUE, "sign", "unsign"),
    "Serializer": (OBJECT, "dumps", "loads"),
    "TimedSerializer": (OBJECT, "dumps", "loads"),
    "URLSafeSerializer": (OBJECT, "dumps", "loads"),
    "URLSafeTimedSerializer": (OBJECT, "dumps", "loads"),
}


def measure(rounds: int) -> t.Iterator[tuple[str, dict[str, Timing]]]:
    for name, (value, there, back) in SIGNED.items():
        sides = {"stock": getattr(itsdangerous, name)(KEYS), "ours": getattr(signing, name)(KEYS)}
        token = getattr(sides["stock"], there)(value)
        for side in sides.values():
            assert getattr(side, back)(token) == value
            assert getattr(sides["stock"], back)(getattr(side, there)(value)) == value
        for method, argument in ((there, value), (back, token)):
            jobs = {side: job(getattr(it, method), argument) for side, it in sides.items()}
            yield f"{name}.{method}", take_turns(jobs, calls=CALLS, rounds=rounds)


def job(call: t.Callable[[object], object], argument: object) -> t.Callable[[], None]:
    def run() -> None:
        for _ in range(CALLS):
            call(argument)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="turns of each side (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/signing.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    rows: list[list[object]] = []
    timings: dict[str, Timing] = {}
    for name, timing in measure(arguments.rounds):
        timings |= {f"{name} {side}": value for side, value in timing.items()}
        rows.append([name, timing["stock"], timing["ours"], ratio(timing["stock"], timing["ours"])])
    print(f"Signing, microseconds a call: median ±median deviation of {arguments.rounds} interleaved rounds.\n")
    print_table(["", "itsdangerous", "ours", "ratio"], rows)
    store(arguments.output, timings)


if __name__ == "__main__":
    main()
