"""An app that workers of gunicorn serve, for as long as a test asks them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import HANGS_AFTER

ROOT = Path(__file__).parents[1]
LISTENS = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")


@contextmanager
def serving(app: str, folder: Path, environment: dict[str, str], *options: str) -> Iterator[int]:
    """Return the port of gunicorn, which serves ``app`` with these options and logs into the folder."""
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", *options, "--bind", "127.0.0.1:0", app]
    environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=errors, stderr=errors)
    try:
        deadline = time.monotonic() + HANGS_AFTER
        while (match := LISTENS.search(log.read_text())) is None:
            if time.monotonic() > deadline or process.poll() is not None:
                raise AssertionError(f"gunicorn does not listen: {log.read_text()}")
            time.sleep(0.05)
        yield int(match[1])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
