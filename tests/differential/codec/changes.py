"""What a user may do to a serializer that is in use."""

from __future__ import annotations

import hashlib
import json
import random
import typing as t

from itsdangerous import NoneAlgorithm
from itsdangerous import Signer
from itsdangerous import TimestampSigner


class PlainSigner(TimestampSigner):
    """Signs without the time, and so reads what was signed without."""

    sign = Signer.sign


class Replaced:
    """A value that is put in place of a method, and answers as if it were one."""

    def __init__(self, answer: t.Any) -> None:
        self.answer = answer

    def __call__(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        return self.answer


#: What a user may do to a serializer.
CHANGES: dict[str, t.Callable[[t.Any], object]] = {
    "another salt": lambda serializer: setattr(serializer, "salt", b"another"),
    "a newer key": lambda serializer: serializer.secret_keys.append(b"newer"),
    "an older key": lambda serializer: serializer.secret_keys.insert(0, b"older"),
    "another key": lambda serializer: serializer.secret_keys.__setitem__(-1, b"another"),
    "no keys": lambda serializer: serializer.secret_keys.clear(),
    "keys in a tuple": lambda serializer: setattr(serializer, "secret_keys", (b"a", b"b")),
    "another digest": lambda serializer: serializer.signer_kwargs.update(digest_method=hashlib.sha512),
    "another derivation": lambda serializer: serializer.signer_kwargs.update(key_derivation="concat"),
    "a separator": lambda serializer: serializer.signer_kwargs.update(sep=b"|"),
    "an algorithm": lambda serializer: serializer.signer_kwargs.update(algorithm=NoneAlgorithm()),
    "no signer options": lambda serializer: serializer.signer_kwargs.clear(),
    "a fallback signer": lambda serializer: serializer.fallback_signers.append({"key_derivation": "none"}),
    "another signer": lambda serializer: setattr(serializer, "signer", PlainSigner),
    "another serializer": lambda serializer: setattr(serializer, "serializer", json),
    "an option of the serializer": lambda serializer: serializer.serializer_kwargs.update(unknown=1),
    "a taste for bytes": lambda serializer: setattr(serializer, "is_text_serializer", False),
    "another payload": lambda serializer: setattr(serializer, "dump_payload", Replaced(b"payload")),
    "another way to read": lambda serializer: setattr(serializer, "load_payload", Replaced("read")),
    "an attribute": lambda serializer: setattr(serializer, "colour", "red"),
    "an attribute less": lambda serializer: delattr(serializer, "signer_kwargs"),
}


def change(rng: random.Random) -> str | None:
    return rng.choice(tuple(CHANGES)) if rng.random() < 0.05 else None
