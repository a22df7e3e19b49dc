"""The warnings that code gives, without those about what somebody else has left open."""

from __future__ import annotations

import typing as t
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recorded_warnings(
    action: t.Literal["always", "error"] = "always",
) -> Iterator[list[warnings.WarningMessage]]:
    """Collect the warnings of a block, or raise them with ``"error"``.

    Garbage of an earlier test may be collected at any moment. What it says then is no answer of the code that runs.
    """
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter(action)
        warnings.simplefilter("ignore", ResourceWarning)
        yield recorded
