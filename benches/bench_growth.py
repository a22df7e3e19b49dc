"""Growth: what larger sessions, more requests, the import and the wheel add, each held to a limit.

Run from the root of the project by ``python -m benches.bench_growth``; it exits with 1 where a limit does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import typing as t
import zlib
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median

from flask import Flask
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface

from benches import bench_codec
from benches.memory import INTERFACES
from benches.memory import SAMPLES
from benches.payloads import cart
from benches.timing import declined_in
from benches.timing import print_table
from benches.timing import store_text
from benches.timing import take_turns
from flask_fastsession import FastSessionInterface

MEGABYTE = 1e6
WHEELS = Path("build/wheels")


class Figure(t.NamedTuple):
    """What was measured, and the limit it must stay under."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def holds(self) -> bool:
        return self.value < self.limit

    def row(self) -> list[str]:
        verdict = "yes" if self.holds else "NO"
        return [self.name, f"{self.value:.3f} {self.unit}", f"{self.limit} {self.unit}", verdict]


# --- Larger sessions --------------------------------------------------------------------------------------------------

# Items in shop carts from 300 bytes of JSON to 100 KB.
ITEMS = (3, 10, 31, 103, 310, 1036)
OPERATIONS = ("dumps", "zlib.compress", "loads", "zlib.decompress")


class Growth(t.NamedTuple):
    """Seconds for each byte of JSON, by operation, in the order of sizes."""

    sizes: list[int]
    seconds: dict[str, list[float]]

    def most_to_least(self, operation: str) -> float:
        return max(self.seconds[operation]) / min(self.seconds[operation])

    def last_to_first(self, operation: str) -> float:
        return self.seconds[operation][-1] / self.seconds[operation][0]


class Load(t.NamedTuple):
    """One turn: what to do, on how many sessions, and the length of all their JSON."""

    jobs: dict[str, t.Callable[[], object]]
    sessions: int
    length: int


def measure_growth(rounds: int) -> Growth:
    app = Flask(__name__)
    app.secret_key = "bench"
    interface = FastSessionInterface()
    with app.app_context():
        loads = [make_load(app, interface, items) for items in ITEMS]
        jobs = {f"{load.length} {name}": job for load in loads for name, job in load.jobs.items()}
        timings = take_turns(jobs, calls=1, rounds=rounds)
    declined = declined_in(interface.stats())
    assert not declined, f"some of it was not done natively: {declined}"
    seconds = {
        operation: [timings[f"{load.length} {operation}"].median / load.length for load in loads]
        for operation in OPERATIONS
    }
    return Growth([load.length // load.sessions for load in loads], seconds)


def make_load(app: Flask, interface: FastSessionInterface, items: int) -> Load:
    stock = SecureCookieSessionInterface().get_signing_serializer(app)
    ours = interface.get_signing_serializer(app)
    assert stock is not None and ours is not None
    random = Random(items)
    values = [cart(random, items) for _ in range(math.ceil(ITEMS[-1] / items))]
    bench_codec.check({"stock": stock, "ours": ours}, values)
    tokens = [stock.dumps(value) for value in values]
    texts = [TaggedJSONSerializer().dumps(value).encode() for value in values]
    deflated = [zlib.compress(text) for text in texts]
    # zlib by itself stands beside them, for its algorithm, which must not change, takes most of their time.
    jobs: dict[str, t.Callable[[], object]] = {
        "dumps": bench_codec.dump_all(ours, values),
        "zlib.compress": lambda: [zlib.compress(text) for text in texts],
        "loads": bench_codec.load_all(ours, tokens),
        "zlib.decompress": lambda: [zlib.decompress(data) for data in deflated],
    }
    return Load(jobs, len(values), sum(map(len, texts)))


def print_growth(growth: Growth) -> None:
    print("Codec, nanoseconds for each byte of JSON, beside the interpreter's zlib alone on the same text:\n")
    columns = [[f"{seconds * 1e9:.2f}" for seconds in growth.seconds[operation]] for operation in OPERATIONS]
    rows = [list(row) for row in zip(map(str, growth.sizes), *columns, strict=True)]
    for name, compare in {"last / first": growth.last_to_first, "most / least": growth.most_to_least}.items():
        rows.append([name, *(f"{compare(operation):.2f}x" for operation in OPERATIONS)])
    print_table(["bytes", *OPERATIONS], rows)


# --- More requests ----------------------------------------------------------------------------------------------------


class Resident(t.NamedTuple):
    """Bytes of memory, first after a warm-up, then at even intervals while requests are served."""

    samples: list[int]

    @property
    def growth(self) -> int:
        return self.samples[-1] - self.samples[0]


def measure_memory(requests: int) -> dict[str, Resident]:
    """Let each implementation serve so many requests, in processes of their own that run side by side."""
    with ExitStack() as stack:
        servers = [stack.enter_context(start_server(name, requests)) for name in INTERFACES]
        rounds: list[list[int]] = []
        for lines in zip(*(server.stdout or () for server in servers), strict=True):
            rounds.append([int(line) for line in lines])
            show_progress((len(rounds) - 1) / SAMPLES)
    assert all(server.returncode == 0 for server in servers), "a server failed"
    columns = zip(*rounds, strict=True)
    return {name: Resident(list(column)) for name, column in zip(INTERFACES, columns, strict=True)}


def start_server(name: str, requests: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benches.memory", name, "--requests", f"{requests}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def show_progress(share: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{share:.0%} of the requests", end="" if share < 1 else "\n", file=sys.stderr, flush=True)


def print_memory(memory: t.Mapping[str, Resident], requests: int) -> None:
    print(f"\nResident memory, bytes, before and after {requests} requests of six kinds, each with a new session:\n")
    rows = [[name, it.samples[0], it.samples[-1], f"{it.growth:+}"] for name, it in memory.items()]
    print_table(["", "before", "after", "growth"], rows)


# --- The import and the wheel -----------------------------------------------------------------------------------------

IMPORT_BOTH = """
from time import perf_counter
start = perf_counter()
import flask
middle = perf_counter()
import flask_fastsession
print(middle - start, perf_counter() - middle)
"""


class Imports(t.NamedTuple):
    """Seconds that `import flask` took, and `import flask_fastsession` right after it, in fresh interpreters."""

    flask: list[float]
    ours: list[float]


def measure_imports(times: int) -> Imports:
    import_both()  # From here on both are compiled.
    flask, ours = zip(*(import_both() for _ in range(times)), strict=True)
    return Imports(list(flask), list(ours))


def import_both() -> list[float]:
    done = subprocess.run([sys.executable, "-c", IMPORT_BOTH], stdout=subprocess.PIPE, text=True, check=True)
    return [float(seconds) for seconds in done.stdout.split()]


def build_wheel() -> Path:
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet", "--out", f"{WHEELS}"]
    subprocess.run(command, stdout=sys.stderr, check=True)
    return max(WHEELS.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)


# --- All together -----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="turns of each operation (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--imports", type=int, default=50, help="fresh interpreters (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/bench/growth.json"), help="default: %(default)s")
    arguments = parser.parse_args()

    wheel = build_wheel()
    growth = measure_growth(arguments.rounds)
    print_growth(growth)
    imports = measure_imports(arguments.imports)
    print(f"\nimport flask takes {median(imports.flask) * 1e3:.1f} ms,", end=" ")
    print(f"import flask_fastsession after it {median(imports.ours) * 1e3:.2f} ms.")
    print(f"The wheel has {wheel.stat().st_size} bytes: {wheel}.")
    memory = measure_memory(arguments.requests)
    print_memory(memory, arguments.requests)

    figures = [
        Figure("dumps, a byte of the last / of the first", growth.last_to_first("dumps"), 1.5, "x"),
        Figure("loads, a byte of the last / of the first", growth.last_to_first("loads"), 1.5, "x"),
        Figure(f"memory after {arguments.requests} requests", memory["ours"].growth / MEGABYTE, 1, "MB"),
        Figure("import beyond that of flask", median(imports.ours) * 1e3, 5, "ms"),
        Figure("wheel", wheel.stat().st_size / MEGABYTE, 1.5, "MB"),
    ]
    print("\nAgainst the limits:\n")
    print_table(["", "measured", "limit", "holds"], [figure.row() for figure in figures])
    print()
    results = {
        "figures": [figure._asdict() | {"holds": figure.holds} for figure in figures],
        "codec": growth._asdict(),
        "imports": imports._asdict(),
        "memory": {name: resident.samples for name, resident in memory.items()},
    }
    store_text(arguments.output, json.dumps(results, indent=2) + "\n")
    sys.exit(not all(figure.holds for figure in figures))


if __name__ == "__main__":
    main()
