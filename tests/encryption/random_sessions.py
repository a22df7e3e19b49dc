"""Random sessions, encrypted by each of the two implementations and decrypted by the other.

``python -m tests.encryption.random_sessions --sessions 100000`` compares as many as you like. It prints its seed, which
``--seed`` takes to repeat a run.
"""

from __future__ import annotations

import argparse
import random
import time
import typing as t
import zlib

import flask
from flask.json.tag import TaggedJSONSerializer

from flask_fastsession import FastSessionInterface
from tests.contract.parity import exactly
from tests.differential.codec.odd_types import Timeout
from tests.differential.codec.values import session
from tests.faults.support import open_by
from tests.faults.support import save_by
from tests.faults.support import token_in

from . import reference

KEYS = [b"the oldest key", b"an old key", b"the newest key"]
NAME = b"session"
SALT = b"cookie-session"
STOCK_JSON = TaggedJSONSerializer()


def make_app(compress: bool) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = KEYS[-1]
    if "SECRET_KEY_FALLBACKS" in app.config:
        app.config["SECRET_KEY_FALLBACKS"] = KEYS[:-1]
    app.config["MAX_COOKIE_SIZE"] = 0
    app.session_interface = FastSessionInterface(encrypt=True, compress=compress)
    return app


def compare(count: int, seed: int) -> int:
    """Compare random sessions, and return how many of them JSON has a text for."""
    apps = [make_app(False), make_app(True)]
    compared = 0
    for number in range(count):
        compared += compare_one(random.Random(f"{seed}:{number}"), apps[number % 2], f"--seed {seed}, session {number}")
    return compared


def compare_one(rng: random.Random, app: flask.Flask, name: str) -> bool:
    with app.app_context():
        state = rng.getrandbits(64)
        try:
            text = STOCK_JSON.dumps(dict(session(random.Random(state)))).encode("utf-8")
            data = STOCK_JSON.loads(text.decode("utf-8"))
        except (Exception, Timeout):
            # It is not one that can be kept.
            return False
        if not isinstance(data, dict) or not data:
            return False
        # Ours to theirs.
        new = open_by(app)
        new.update(session(random.Random(state)))
        before = int(time.time())
        token = token_in(save_by(app, new))
        opened = reference.open_token(app_keys(app), SALT, NAME, token)
        assert opened is not None, name
        assert (zlib.decompress(opened.text) if opened.version == 2 else opened.text) == text, name
        assert before <= opened.seconds <= time.time(), name
        # Theirs to ours, by any of the keys.
        key = rng.choice(app_keys(app))
        version = rng.choice([1, 2])
        content = zlib.compress(text, rng.randrange(10)) if version == 2 else text
        token = reference.seal(key, SALT, NAME, content, int(time.time()), version=version)
        assert exactly(dict(open_by(app, token))) == exactly(data), name
    return True


def app_keys(app: flask.Flask) -> list[bytes]:
    return [*t.cast("list[bytes]", app.config.get("SECRET_KEY_FALLBACKS") or []), t.cast(bytes, app.secret_key)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    arguments = parser.parse_args()
    print(f"--seed {arguments.seed}", flush=True)
    compared = 0
    drawn = 0
    while compared < arguments.sessions:
        compared += compare(1000, arguments.seed + drawn)
        drawn += 1
    print(f"{compared} sessions are the same in both implementations.")


if __name__ == "__main__":
    main()
