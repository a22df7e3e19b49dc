"""Sessions whose data is on the server: in SQLite, Redis, memcached, or a store of your own."""

from .extension import ServerSession
from .interface import ServerSessionInterface
from .session import ServerSideSession
from .store import SessionStoreError
from .store import Store
from .store import SweepingStore

__all__ = [
    "ServerSession",
    "ServerSessionInterface",
    "ServerSideSession",
    "SessionStoreError",
    "Store",
    "SweepingStore",
]
