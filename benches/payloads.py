"""The named payloads: what the benchmarks put into a session.

Ids are random, as real ones are, for random text costs deflate more than repeated text does. They come from a seeded
generator, so that every run measures the same sessions.
"""

from __future__ import annotations

import typing as t
import uuid
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from random import Random

from markupsafe import Markup

Session = dict[str, t.Any]

VOCABULARY = (
    "amber basket blue candle cotton denim ember flannel garden hammer indigo jacket kettle lantern large linen marble "
    "napkin oak orange pepper quilt ribbon saddle silver small steel teapot umbrella velvet walnut wool yellow"
)
WORDS = VOCABULARY.split()


def small(random: Random) -> Session:
    """One string."""
    return {"user_id": str(random.randrange(10, 100))}


def login(random: Random) -> Session:
    """What Flask-Login and Flask-WTF keep, about 300 bytes of JSON."""
    return {
        "_fresh": True,
        "_id": random.randbytes(64).hex(),
        "_permanent": True,
        "_user_id": str(uuid.UUID(bytes=random.randbytes(16), version=4)),
        "csrf_token": random.randbytes(20).hex(),
    }


def rich(random: Random) -> Session:
    """Every type that Flask tags, and twenty dicts, about 1.2 KB."""
    return {
        "_flashes": [("success", Markup("<b>Saved</b> your changes.")), ("info", words(random, 3))],
        "since": datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=random.randrange(10**7)),
        "device": uuid.UUID(bytes=random.randbytes(16), version=4),
        "nonce": random.randbytes(16),
        "filter": {" t": words(random, 1)},
        "position": (round(random.uniform(-90, 90), 4), round(random.uniform(-180, 180), 4)),
        "visited": [{"page": random.randrange(1000), "title": words(random, 3)} for _ in range(19)],
    }


def big(random: Random) -> Session:
    """A shop cart, about 3.8 KB."""
    return cart(random, items=39)


def huge(random: Random) -> Session:
    """A shop cart of about 100 KB; no browser keeps it, but a store may."""
    return cart(random, items=1036)


def cart(random: Random, items: int) -> Session:
    return {
        "currency": "EUR",
        "items": [
            {
                "id": random.randrange(10**6),
                "name": words(random, 3),
                "price": random.randrange(100, 20_000) / 100,
                "quantity": random.randrange(1, 10),
                "tags": [random.choice(WORDS), random.choice(WORDS)],
            }
            for _ in range(items)
        ],
    }


def words(random: Random, count: int) -> str:
    return " ".join(random.choices(WORDS, k=count))


PAYLOADS: dict[str, t.Callable[[Random], Session]] = {
    payload.__name__: payload for payload in (small, login, rich, big, huge)
}


def sessions(name: str, count: int) -> list[Session]:
    """Return different sessions of one kind, the same in every run."""
    random = Random(name)
    return [PAYLOADS[name](random) for _ in range(count)]
