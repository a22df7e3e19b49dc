"""Constant time: whether the time of a refusal tells how much of a forged signature is right.

Requests bring cookies whose signature is wrong in its first byte, in its middle or in its last, and are timed one by
one in random order. Welch's t-test, as dudect_ uses it, says whether the means of two kinds differ by more than chance:
beyond 4.5 in either direction they do. A comparison that stops at the first wrong byte shows a t of that size, for a
signature that is right but for its last byte would take longer. Signatures of the last kind are there twice, to show
what chance does.

Each cookie is that of another user, so that in each kind all texts are equally likely, and all that the kinds differ in
is what is right about them. While the clock runs nothing but the header tells one kind from another.

Run from the root of the project by ``python -m benches.bench_timing``; it exits with 1 where a difference is found.

.. _dudect: Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import math
import sys
import typing as t
from random import Random
from statistics import fmean
from statistics import quantiles
from statistics import variance
from time import perf_counter_ns

from flask import Flask
from flask import Request
from itsdangerous.encoding import base64_decode
from itsdangerous.encoding import base64_encode

from benches.timing import print_table
from flask_fastsession import FastSessionInterface

DIGESTS = ("sha1", "sha256", "sha512")
# The share of a signature that is right up to its wrong byte.
KINDS = {"first": 0.0, "middle": 0.5, "last": 1.0, "last again": 1.0}
PAIRS = (("first", "last"), ("first", "middle"), ("middle", "last"), ("last", "last again"))
LARGEST_T = 4.5

# Cookies that are made at a time, and then timed.
BATCH = 10_000
# Beyond this share of all times it is the system that takes them.
CROP_PERCENTILE = 90

Times = dict[str, list[int]]


class Forgery(t.NamedTuple):
    """A Cookie header, and the kind it is of."""

    header: str
    kind: str


class Difference(t.NamedTuple):
    """By how many nanoseconds two means differ, and how sure that is."""

    mean: float
    standard_error: float

    @property
    def t(self) -> float:
        return self.mean / self.standard_error

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ±{1.96 * self.standard_error:.2f}"


def difference(one: t.Sequence[int], other: t.Sequence[int]) -> Difference:
    error = math.sqrt(variance(one) / len(one) + variance(other) / len(other))
    return Difference(fmean(other) - fmean(one), error)


def measure(digest: str, samples: int, random: Random) -> Times:
    """Time so many refusals, in nanoseconds."""
    interface = FastSessionInterface()
    vars(interface)["digest_method"] = getattr(hashlib, digest)
    app = Flask(__name__)
    app.secret_key = "bench"
    request = app.test_request_context().request
    times: Times = {kind: [] for kind in KINDS}
    for _ in range(math.ceil(samples / BATCH)):
        forgeries = [forge(interface, app, random) for _ in range(BATCH)]
        headers = [forgery.header for forgery in forgeries]
        for forgery, nanoseconds in zip(forgeries, time_refusals(interface, app, request, headers), strict=True):
            times[forgery.kind].append(nanoseconds)
    counts = interface.stats()["loads"]
    assert counts["rejected"] == sum(map(len, times.values())) and not counts["declined"], counts
    return times


def forge(interface: FastSessionInterface, app: Flask, random: Random) -> Forgery:
    """Sign a session, and change one byte of the signature to any other."""
    serializer = interface.get_signing_serializer(app)
    assert serializer is not None
    token = serializer.dumps({"_user_id": f"{random.getrandbits(64):016x}"})
    assert isinstance(token, str)
    signed, _, signature = token.rpartition(".")
    changed = bytearray(base64_decode(signature))
    kind = random.choice(list(KINDS))
    changed[round(KINDS[kind] * (len(changed) - 1))] ^= random.randrange(1, 256)
    return Forgery(f"session={signed}.{base64_encode(bytes(changed)).decode('ascii')}", kind)


def time_refusals(interface: FastSessionInterface, app: Flask, request: Request, headers: list[str]) -> list[int]:
    environ = request.environ
    times = []
    gc.collect()
    gc.disable()
    try:
        for header in headers:
            environ["HTTP_COOKIE"] = header
            start = perf_counter_ns()
            interface.open_session(app, request)
            times.append(perf_counter_ns() - start)
    finally:
        gc.enable()
    return times


def cropped(times: Times) -> Times:
    """Leave out what the system disturbed, by one limit for all kinds."""
    limit = quantiles((time for values in times.values() for time in values), n=100)[CROP_PERCENTILE - 1]
    return {kind: [time for time in values if time <= limit] for kind, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000, help="for each digest (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()

    rows: list[list[str]] = []
    largest = 0.0
    for digest in DIGESTS:
        times = cropped(measure(digest, arguments.samples, Random(arguments.seed)))
        for one, other in PAIRS:
            found = difference(times[one], times[other])
            largest = max(largest, abs(found.t))
            rows.append([f"{digest}: {other} - {one}", f"{fmean(times[one]):.1f}", str(found), f"{found.t:+.2f}"])
    print(f"Refusals of signatures by where they are wrong, ns, {arguments.samples} for each digest:\n")
    print_table(["", "mean", "difference, 95 %", "t"], rows)
    print(f"\nThe largest |t| is {largest:.2f}; beyond {LARGEST_T} time would tell.")
    sys.exit(largest > LARGEST_T)


if __name__ == "__main__":
    main()
