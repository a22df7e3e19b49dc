"""Sessions far larger than browsers keep, and streams that inflate without end."""

from __future__ import annotations

import string
import typing as t
import zlib
from collections.abc import Callable
from random import Random

import pytest

from tests.contract.parity import Interface
from tests.contract.parity import encoded
from tests.contract.parity import sealed
from tests.contract.parity import serializer_of

from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import written

SIZES = [100_000, 2**20 - 100, 2**20 + 100, *scaled([], [10_000_000])]


def noise(size: int) -> object:
    return "".join(Random(size).choices(string.printable, k=size))


def items(size: int) -> object:
    return [{"sku": f"item {number}", "count": number, "price": number / 7} for number in range(size // 50)]


def repetition(size: int) -> object:
    return "a" * size


def raw_bytes(size: int) -> object:
    return Random(size).randbytes(size * 3 // 4)


CONTENTS = [noise, items, repetition, raw_bytes]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", CONTENTS)
def test_sessions_of_all_sizes(parity: t.Any, content: Callable[[int], object], size: int) -> None:
    value = {"value": content(size)}

    def scenario(interface_class: type[Interface]) -> object:
        app = app_with(interface_class, MAX_COOKIE_SIZE=0)
        token = serializer_of(app).dumps(value)
        with app.app_context():
            headers = save_by(app, written(app, **value))
            return token, headers, dict(open_by(app, token))["value"] == value["value"]

    parity(scenario)


@pytest.mark.parametrize("size", [2**20 - 20, 2**20 + 1, scaled(5_000_000, 500_000_000)])
@pytest.mark.parametrize("is_json", [True, False], ids=["JSON", "no JSON"])
def test_streams_that_inflate_without_end(parity: t.Any, size: int, is_json: bool) -> None:
    text = b'{"a":"' + b" " * size + (b'"}' if is_json else b"")
    token = sealed(b"." + encoded(zlib.compress(text, 9)))

    def scenario(interface_class: type[Interface]) -> object:
        app = app_with(interface_class)
        with app.app_context():
            session = open_by(app, token)
        # As a value it would be spelled out if it differs.
        return {key: (type(value), len(value), hash(value)) for key, value in session.items()}

    parity(scenario)
