"""What both adapters do: options, the outcomes, and clients that find the servers of this run.

The suites of server-side sessions know nothing of this package, so an adapter comes in by ``pytest -p``.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pymemcache
import pytest
import redis
from stand_in import Recorder  # type: ignore[import-not-found]

HOST = "127.0.0.1"


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--with", choices=["stock", "ours"], dest="classes", required=True)
    parser.addoption("--outcomes", type=Path, required=True, help="the JSON file to write")
    parser.addoption("--redis-port", type=int, required=True)
    parser.addoption("--memcached-port", type=int, required=True)


def configure(config: pytest.Config) -> bool:
    """Record outcomes, and let clients find servers that are not at their usual ports. Return whether ours stand in."""
    config.pluginmanager.register(Recorder(config.getoption("--outcomes"), dict))
    let_find(redis.Redis, port=config.getoption("--redis-port"))
    let_find(pymemcache.Client, server=(HOST, config.getoption("--memcached-port")), no_delay=True)
    return bool(config.getoption("classes") == "ours")


def let_find(client: t.Any, **address: t.Any) -> None:
    original = client.__init__

    def init(self: t.Any, *_: object, **options: t.Any) -> None:
        original(self, **{**options, **address})

    client.__init__ = init
