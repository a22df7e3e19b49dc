"""What gunicorn is told about the application, and what it does when a worker ends."""

from __future__ import annotations

import json
import typing as t

from flask_fastsession import FastSessionInterface

wsgi_app = "examples.gunicorn_app:create_app()"
bind = "127.0.0.1:8000"
workers = 2
worker_class = "gthread"
threads = 4
# The app is loaded once and its memory shared; sessions need nothing after the fork.
preload_app = True


def worker_exit(server: t.Any, worker: t.Any) -> None:
    """Log how the worker's sessions were handled: each one counts for itself."""
    sessions = worker.wsgi.session_interface
    if isinstance(sessions, FastSessionInterface):
        worker.log.info("Sessions of worker %d: %s", worker.pid, json.dumps(sessions.stats()))
