"""What is memcached's own: lists of a bounded length, made by anybody at once, and connections that signals break off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pymemcache
import pytest

from flask_fastsession.server import owners
from flask_fastsession.server.store import OwnerStore
from flask_fastsession.server.store import Store
from flask_fastsession.server.stores.memcached import MemcachedStore
from flask_fastsession.server.stores.memcached import client_at
from flask_fastsession.testing import OwnerStoreTests
from flask_fastsession.testing import a_handle
from flask_fastsession.testing import a_key
from flask_fastsession.testing import an_owner
from flask_fastsession.testing import begun
from flask_fastsession.testing import is_alive

from .servers import Server
from .servers import memcached_server


@pytest.fixture
def store(memcached_process: Server) -> Iterator[MemcachedStore]:
    yield MemcachedStore(client_at(url_of(memcached_process)))


def url_of(*servers: Server) -> str:
    return "memcached://" + ",".join(f"{server.host}:{server.port}" for server in servers)


# --- Lists ----------------------------------------------------------------------------------------------------------


class TestOwners(OwnerStoreTests):
    """On two servers, so that a list, the sessions on it and what leads to it are on either."""

    sessions_listed = owners.LISTED

    @pytest.fixture(scope="class")
    def servers(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
        with ExitStack() as stack:
            folder = tmp_path_factory.mktemp("memcached")
            yield [stack.enter_context(memcached_server(folder)) for _ in range(2)]

    @pytest.fixture
    def store(self, servers: list[Server]) -> Store:
        return MemcachedStore(client_at(url_of(*servers)))

    @pytest.fixture
    def other_store(self, servers: list[Server]) -> Store:
        return MemcachedStore(client_at(url_of(*servers)))


def test_a_store_of_owners_by_its_type(store: MemcachedStore) -> None:
    assert isinstance(store, OwnerStore)


def test_the_newest_thousand_sessions_are_listed(store: MemcachedStore) -> None:
    owner = an_owner()
    first, second, third, *others = [begun(store, owner) for _ in range(owners.LISTED)]
    # To be renewed makes it no newer, to be enlisted again does.
    assert store.enlist(owner, *first, ttl=2000, renew=True) is True
    assert store.enlist(owner, *second, ttl=1000, renew=False) is True
    newest = [begun(store, owner), begun(store, owner)]
    assert store.listed(owner) == [*others, second, *newest]
    assert not is_alive(store, owner, *first)
    assert not is_alive(store, owner, *third)
    assert store.enlist(owner, *first, ttl=1000, renew=True) is False
    assert store.end_all(owner) == owners.LISTED


def test_a_list_of_the_longest_keys_is_stored(store: MemcachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = an_owner()
    sessions = {f"{n:40}".replace(" ", "."): [time.time() + 10**9, f"{n:250}".replace(" ", ".")] for n in range(999)}
    store.create(owner, json.dumps(sessions).encode(), 1000)
    handle, key = begun(store, owner)
    assert len(store.listed(owner)) == owners.LISTED
    assert is_alive(store, owner, handle, key)


def test_a_session_is_ended_by_its_handle_though_memcached_forgot_whose_it_is(store: MemcachedStore) -> None:
    """Once it was renewed, or shown."""
    owner = an_owner()
    renewed, shown = begun(store, owner), begun(store, owner)
    for handle, _ in (renewed, shown):
        store.delete(owners.name_of(handle))
    assert store.enlist(owner, *renewed, ttl=1000, renew=True) is True
    assert store.end(renewed[0]) is True
    assert store.listed(owner) == [shown]
    assert store.end(shown[0]) is True
    assert store.listed(owner) == []


def test_a_list_that_memcached_forgot_ends_all_sessions(store: MemcachedStore) -> None:
    owner = an_owner()
    handle, key = begun(store, owner)
    store.delete(owner)
    assert not is_alive(store, owner, handle, key)
    assert store.enlist(owner, handle, key, 1000, renew=True) is False
    assert store.end(handle) is False


DEAD = -1.0
ALIVE = 2.0**40

#: What is no list, or is one without a session in it.
DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\xfd",
    "deep lists": b"[" * 200_000 + b"]" * 200_000,
    "deep mappings": b'{"h":' * 100_000 + b"1" + b"}" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a long number": b"9" * 5000,
    "text": b'"text"',
    "a pickle": b"\x80\x04]\x94.",
}

#: What is listed of a handle, but is no session.
NO_SESSIONS: dict[str, str] = {
    "a number": "1",
    "text": '"ab"',
    "null": "null",
    "empty": "[]",
    "too short": f"[{ALIVE}]",
    "too long": f'[{ALIVE}, "key", 1]',
    "no numbers": '["2", "key"]',
    "a mapping": f'{{"0": {ALIVE}, "1": "key"}}',
    "400 digits": f'[{"9" * 400}, "key"]',
    "400 digits below zero": f'[-{"9" * 400}, "key"]',
    "infinity": '[Infinity, "key"]',
    "too large for a float": '[1e999, "key"]',
    "not a number": '[NaN, "key"]',
    "a bool": '[true, "key"]',
    "ended": f'[{DEAD}, "key"]',
    "key is a number": f"[{ALIVE}, 1]",
    "key is a list": f'[{ALIVE}, ["key"]]',
    "empty key": f'[{ALIVE}, ""]',
    "lone surrogate": f'[{ALIVE}, "\\ud800"]',
    "key with a line break": f'[{ALIVE}, "key\\r\\nflush_all"]',
    "key with a space": f'[{ALIVE}, "key 1"]',
    "long key": f'[{ALIVE}, "{"k" * 251}"]',
}


def is_as_none(store: OwnerStore, owner: str, handle: str) -> None:
    assert store.listed(owner) == []
    assert store.is_listed(owner, handle, b"data") is False
    assert store.enlist(owner, handle, "key", 1000, renew=True) is False
    store.unlist(owner, handle)
    assert store.end_all(owner) == 0
    assert store.end_all(owner, [handle]) == 0


@pytest.mark.parametrize("record", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_list_is_as_none(store: MemcachedStore, record: bytes) -> None:
    owner, handle = an_owner(), a_handle()
    store.create(owner, record, 1000)
    is_as_none(store, owner, handle)
    session = begun(store, owner)
    assert store.listed(owner) == [session]
    assert store.end_all(owner) == 1


@pytest.mark.parametrize("value", NO_SESSIONS.values(), ids=NO_SESSIONS)
def test_a_damaged_session_in_a_list_is_as_none(store: MemcachedStore, value: str) -> None:
    owner, handle, intact = an_owner(), a_handle(), a_handle()
    store.create(owner, f'{{"{handle}": {value}}}'.encode(), 1000)
    is_as_none(store, owner, handle)
    store.delete(owner)
    store.create(owner, f'{{"{handle}": {value}, "{intact}": [{ALIVE}, "key"]}}'.encode(), 1000)
    assert store.listed(owner) == [(intact, "key")]
    session = begun(store, owner)
    assert store.listed(owner) == [(intact, "key"), session]
    assert store.end_all(owner, [handle]) == 2
    assert store.load(owner) is None


@pytest.mark.parametrize("handle", ["", "\\ud800", "a b", "x" * 41, "\u00e9"])
def test_a_damaged_handle_in_a_list_is_as_none(store: MemcachedStore, handle: str) -> None:
    owner = an_owner()
    store.create(owner, f'{{"{handle}": [{ALIVE}, "key"]}}'.encode(), 1000)
    assert store.listed(owner) == []
    assert store.end_all(owner) == 0


@pytest.mark.parametrize(
    "record",
    [
        *DAMAGED.values(),
        b'["token"]',
        b"[1, 2]",
        b'["token", null]',
        b'["token", "\\ud800"]',
        b'["t", "a b"]',
        b'["t", ""]',
    ],
)
def test_a_damaged_record_of_a_handle_leads_nowhere(store: MemcachedStore, record: bytes) -> None:
    owner, handle, key = an_owner(), a_handle(), a_key()
    name = owners.name_of(handle)
    store.create(name, record, 1000)
    assert store.end(handle) is False
    store.delete(name)
    store.create(name, record, 1000)
    store.create(key, b"data", 1000)
    assert store.enlist(owner, handle, key, 1000, renew=False) is True
    assert store.end(handle) is True
    assert store.load(key) is None


def test_what_is_no_record_of_bytes_is_as_none(memcached_process: Server) -> None:
    """What a serde makes of it is no list."""
    address = (memcached_process.host, memcached_process.port)
    store = MemcachedStore(pymemcache.PooledClient(address, no_delay=True, serde=Numbers()))
    owner = an_owner()
    store.create(owner, b"1", 1000)
    assert store.load(owner) == b""
    session = begun(store, owner)
    assert store.listed(owner) == [session]


class Numbers:
    def serialize(self, key: str, value: bytes) -> tuple[bytes, int]:
        return value, 0

    def deserialize(self, key: str, value: bytes, flags: int) -> object:
        return int(value) if value.isdigit() else value
