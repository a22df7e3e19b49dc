"""Known answers of the second implementation.

That ours makes the same tokens of the same nonces is tested beside ``src/wire/seal.rs``.
"""

from __future__ import annotations

import json
import typing as t

import pytest

from flask_fastsession._native import Sealer

from . import make_vectors
from . import reference

VECTORS = json.loads(make_vectors.VECTORS.read_text(encoding="utf-8"))


def sealer_for(vector: dict[str, t.Any]) -> Sealer:
    keys = [bytes.fromhex(key) for key in vector.get("secret_keys", [vector.get("secret_key")])]
    sealer = Sealer.new(keys, bytes.fromhex(vector["salt"]), bytes.fromhex(vector["purpose"]), False, None)
    assert sealer is not None
    return sealer


def test_the_file_is_what_is_made() -> None:
    assert make_vectors.make() == VECTORS
    assert len(VECTORS["generate"]) >= 30
    assert len(VECTORS["open"]) >= 30
    assert len(VECTORS["reject"]) >= 60


@pytest.mark.parametrize("vector", VECTORS["generate"] + VECTORS["open"], ids=lambda vector: vector["token"][:12])
def test_tokens_are_opened(vector: dict[str, t.Any]) -> None:
    opened = sealer_for(vector).open(vector["token"].encode())
    assert opened is not None
    text = make_vectors.text_of(vector)
    assert (opened.text, opened.sealed_at) == (text, vector["seconds"])
    assert opened.newer_keys == vector.get("newer_keys", 0)


@pytest.mark.parametrize("vector", VECTORS["reject"], ids=lambda vector: vector["why"])
def test_tokens_are_rejected(vector: dict[str, t.Any]) -> None:
    assert sealer_for(vector).open(vector["token"].encode()) is None
    inputs = (bytes.fromhex(vector[name]) for name in ("secret_key", "salt", "purpose"))
    key, salt, purpose = inputs
    assert reference.open_token([key], salt, purpose, vector["token"]) is None
