"""Values and texts nested ever more deeply, on stacks of all sizes."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable

import pytest

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import Scenario
from tests.contract.parity import outcome_of
from tests.contract.parity import sealed_json
from tests.contract.parity import serializer_of

from .support import app_with
from .support import run_script
from .support import scaled

Call = Callable[[type[Interface], int], object]

WRAPS: dict[str, Callable[[t.Any], t.Any]] = {
    "lists": lambda inner: [inner],
    "dicts": lambda inner: {"a": inner},
    "tuples": lambda inner: (inner,),
    "dicts like tags": lambda inner: {" t": inner},
    "by turns": lambda inner: [{"a": (inner, 1)}, {" b": {"b": 2, "c": []}}],
}
TEXTS = {"lists": ("[", "]"), "dicts": ('{"a":', "}"), "tuples": ('{" t":[', "]}")}

# Close to where stock gives up, a few calls more or fewer on Python's stack decide; see the differences in the docs.
MARGIN = 8
DEEPEST = 5000


def nested(wrap: Callable[[t.Any], t.Any], depth: int) -> t.Any:
    return functools.reduce(lambda inner, _: wrap(inner), range(depth), 1)


def limit_of(call: Call, interface_class: type[Interface]) -> int:
    """The depth up to which all goes through, found by halving."""
    good, bad = 1, DEEPEST
    while good + 1 < bad:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if outcome_of(call, interface_class, middle).error is None else (good, middle)
    return good


def at_depth(call: Call, depth: int) -> Scenario:
    return lambda interface_class: call(interface_class, depth)


def compare(parity: t.Any, call: Call) -> None:
    limit = limit_of(call, Interface)
    assert abs(limit - limit_of(call, FastSessionInterface)) <= MARGIN
    for depth in (*range(10, 30), *range(1, DEEPEST, scaled(797, 7)), DEEPEST):
        if abs(depth - limit) > MARGIN:
            outcome = parity(at_depth(call, depth))
            assert (outcome.error is None) == (depth <= limit)


@pytest.mark.parametrize("shape", WRAPS)
def test_values_of_any_depth(parity: t.Any, shape: str) -> None:
    def call(interface_class: type[Interface], depth: int) -> object:
        serializer = serializer_of(app_with(interface_class))
        token = serializer.dumps(nested(WRAPS[shape], depth))
        # What was read is compared as it is written, for to compare values would go as deep itself.
        return token, serializer_of(app_with(Interface)).dumps(serializer.loads(token))

    compare(parity, call)


@pytest.mark.parametrize("shape", TEXTS)
def test_texts_of_any_depth(parity: t.Any, shape: str) -> None:
    before, after = TEXTS[shape]

    def call(interface_class: type[Interface], depth: int) -> object:
        value = serializer_of(app_with(interface_class)).loads(sealed_json(before * depth + "1" + after * depth))
        return serializer_of(app_with(Interface)).dumps(value)

    compare(parity, call)


@pytest.mark.parametrize("kilobytes", [32, 36, 64, 128, 256])
def test_no_depth_is_too_much_for_a_small_stack(kilobytes: int) -> None:
    """On small stacks stock crashes sooner or later; whatever it gets done before that, we get done."""
    script = """
        import threading
        import time
        from tests.faults.test_depth import WRAPS, nested

        def attempt(act, *arguments):
            try:
                return act(app, *arguments)
            except Exception as error:
                return type(error).__name__

        def serve(depth, wrap):
            with app.app_context():
                headers = attempt(save_by, written(app, value=nested(wrap, depth)))
                session = isinstance(headers, list) and attempt(open_by, token_in(headers))
                answers.append(isinstance(session, dict) and list(session) or (headers, session))

        time.time = lambda: 1_700_000_000.0
        app = app_with(interface_class)
        answers = []
        for depth in (1, 10, 18, 19, 20, 21, 40, 60, 100, 200, 300, 3000):
            for shape, wrap in WRAPS.items():
                for kilobytes in (1024, int(sys.argv[2])):  # The first of all is to be at ease.
                    threading.stack_size(kilobytes * 1024)
                    thread = threading.Thread(target=serve, args=(depth, wrap))
                    thread.start()
                    thread.join()
                print(depth, shape, answers[-1], flush=True)
    """
    stock, ours = (run_script(cls, script, kilobytes) for cls in (Interface, FastSessionInterface))
    assert "\n60 " in stock.printed
    assert ours.printed.startswith(stock.printed)
    assert ours.status in ("exit 0", stock.status)
