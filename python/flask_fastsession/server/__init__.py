"""Sessions whose data is on the server: in SQLite, SQL databases, Redis, memcached, or your own store."""

from .extension import ServerSession
from .info import SessionInfo
from .interface import ServerSessionInterface
from .session import ServerSideSession
from .store import ListingStore
from .store import MovingStore
from .store import OwnerStore
from .store import SessionStoreError
from .store import Store
from .store import SweepingStore
from .take_over import Source

__all__ = [
    "ListingStore",
    "MovingStore",
    "OwnerStore",
    "ServerSession",
    "ServerSessionInterface",
    "ServerSideSession",
    "SessionInfo",
    "SessionStoreError",
    "Source",
    "Store",
    "SweepingStore",
]
