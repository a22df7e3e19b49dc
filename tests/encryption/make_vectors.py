"""Known answers for encrypted tokens, made by the second implementation in ``reference.py``.

``python -m tests.encryption.make_vectors`` writes ``vectors.json``; with ``--check`` it compares instead.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import typing as t
import zlib
from pathlib import Path

from . import reference

VECTORS = Path(__file__).with_name("vectors.json")

KEYS = [b"a secret key for tests", "schlüssel €".encode(), bytes(range(256)), b"k", b"x" * 200]
SALTS = [b"cookie-session", b"itsdangerous.Signer", b"", bytes(range(64))]
PURPOSES = [b"session", b"__Host-session", "sitzung ü".encode(), b""]
TEXTS = [
    b"{}",
    b'{"user":"ada"}',
    b"",
    b'{"t":{" t":[1,2]}}',
    '{"ü":"😀"}'.encode(),
    b'{"a":"%s"}' % (b"b" * 3000),
    b"[1,2,3]",
]
SECONDS = [1_700_000_000, 0, 1, 2**32 - 1, 2**32, 2**63 - 1]


def make() -> dict[str, t.Any]:
    sealed = [make_sealed(number) for number in range(40)]
    return {
        "generate": sealed,
        "open": [make_opening(number) for number in range(40)],
        "reject": list(make_rejected(sealed[1], sealed[4])),
    }


def make_sealed(number: int, version: int | None = None) -> dict[str, t.Any]:
    version = version or (2 if number % 8 == 7 else 1)
    text = TEXTS[number % len(TEXTS)]
    inputs = {
        "secret_key": KEYS[number % len(KEYS)],
        "salt": SALTS[number % len(SALTS)],
        "purpose": PURPOSES[number // 2 % len(PURPOSES)],
        "text": zlib.compress(text) if version == 2 else text,
        "nonce": hashlib.sha256(b"nonce %d" % number).digest()[:24],
    }
    seconds = SECONDS[number % len(SECONDS)]
    token = reference.seal(**inputs, seconds=seconds, version=version)
    return {
        **{name: value.hex() for name, value in inputs.items()},
        "seconds": seconds,
        "version": version,
        "token": token,
    }


def text_of(vector: dict[str, t.Any]) -> bytes:
    """The text that a token is opened to."""
    text = bytes.fromhex(vector["text"])
    return zlib.decompress(text) if vector["version"] == 2 else text


def make_opening(number: int) -> dict[str, t.Any]:
    """A token among several keys; which of them has sealed it differs."""
    sealed = make_sealed(number + 100)
    others = [hashlib.sha256(b"other key %d" % at).hexdigest().encode().hex() for at in range(number % 4)]
    at = number % (len(others) + 1)
    return {**sealed, "secret_keys": [*others[:at], sealed["secret_key"], *others[at:]], "newer_keys": len(others) - at}


def make_rejected(*sealed: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """Tokens that nobody may accept, and why."""
    for good in sealed:
        token = good["token"]
        data = reference.decode(token)
        assert data is not None

        def bad(why: str, token: str, **other: str) -> dict[str, t.Any]:
            names = ("secret_key", "salt", "purpose")
            return {"why": why, "token": token, **{name: other.get(name, good[name]) for name in names}}  # noqa: B023

        for version in (0, 2, 3, 0x7F, 0x80, 0xFF):
            yield bad(f"version {version}", reference.encode(bytes([version]) + data[1:]))
        for place, name in ((1, "nonce"), (24, "nonce's end"), (25, "seconds"), (33, "text"), (len(data) - 1, "tag")):
            for bit in (0, 7):
                changed = bytearray(data)
                changed[place] ^= 1 << bit
                yield bad(f"bit {bit} of the {name}", reference.encode(bytes(changed)))
        for size in (0, 1, 25, 32, 48, len(data) - 16, len(data) - 1):
            yield bad(f"{size} bytes", reference.encode(data[:size]))
        yield bad("a byte more", reference.encode(data + b"\0"))
        yield bad("without the version", reference.encode(data[1:]))
        for more in ("=", "==", "A", ".", " ", "\n", "\0", "é"):
            yield bad(f"{more!r} behind it", token + more)
        yield bad("a blank before it", " " + token)
        yield bad("a dot in it", token[:10] + "." + token[10:])
        yield bad("signed", f"{token}.aaaaaa.aaaaaa")
        yield bad("quoted", f'"{token}"')
        if "-" in token or "_" in token:
            yield bad("the standard alphabet", token.replace("-", "+").replace("_", "/"))
        if len(token) % 4:
            last = reference.ALPHABET.index(token[-1].encode())
            yield bad("a spare bit", token[:-1] + chr(reference.ALPHABET[last | 1]))
        key, salt, purpose = (bytes.fromhex(good[name]) for name in ("secret_key", "salt", "purpose"))
        yield bad("another key", token, secret_key=(key + b"0").hex())
        yield bad("another salt", token, salt=(salt + b"0").hex())
        yield bad("another purpose", token, purpose=(purpose + b"0").hex())
        yield bad("the parts moved", token, salt=(salt + purpose).hex(), purpose="")
        text, nonce = bytes.fromhex(good["text"]), bytes.fromhex(good["nonce"])
        other = reference.seal(key, salt, purpose, text, good["seconds"], version=2, nonce=nonce)
        other_data = reference.decode(other)
        assert other_data is not None
        yield bad("sealed for version 2", reference.encode(b"\1" + other_data[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file")
    text = json.dumps(make(), indent=1) + "\n"
    if parser.parse_args().check:
        sys.exit(None if VECTORS.read_text(encoding="utf-8") == text else f"{VECTORS} is not what is made here")
    VECTORS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
