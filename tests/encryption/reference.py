"""Encrypted tokens by a second implementation, from docs/encryption.md and PyCA ``cryptography`` alone."""

from __future__ import annotations

import base64
import os
import struct
import typing as t

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LABELS = {1: b"flask-fastsession encrypted token 1", 2: b"flask-fastsession encrypted token 2"}
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Opened(t.NamedTuple):
    """The text of a token, as it is in there, when it was sealed, and by which of the keys, newest first."""

    text: bytes
    seconds: int
    version: int
    newer_keys: int


def seal(
    secret_key: bytes,
    salt: bytes,
    purpose: bytes,
    text: bytes,
    seconds: int,
    *,
    version: int = 1,
    nonce: bytes | None = None,
) -> str:
    """Return the token of a text, sealed in a second since 1970."""
    nonce = os.urandom(24) if nonce is None else nonce
    cipher, short_nonce = cipher_for(secret_key, salt, nonce, version)
    sealed = cipher.encrypt(short_nonce, seconds.to_bytes(8, "big") + text, associated_data(purpose, version))
    return encode(bytes([version]) + nonce + sealed)


def open_token(secret_keys: t.Sequence[bytes], salt: bytes, purpose: bytes, token: str) -> Opened | None:
    """Open a token with keys from oldest to newest; ``None`` for any that :func:`seal` does not make."""
    data = decode(token)
    if data is None or len(data) < 1 + 24 + 8 + 16 or data[0] not in LABELS:
        return None
    version, nonce, sealed = data[0], data[1:25], data[25:]
    for newer_keys, secret_key in enumerate(reversed(secret_keys)):
        cipher, short_nonce = cipher_for(secret_key, salt, nonce, version)
        try:
            plaintext = cipher.decrypt(short_nonce, sealed, associated_data(purpose, version))
        except InvalidTag:
            continue
        return Opened(plaintext[8:], int.from_bytes(plaintext[:8], "big"), version, newer_keys)
    return None


def associated_data(purpose: bytes, version: int) -> bytes:
    return part(LABELS[version]) + part(purpose)


def cipher_for(secret_key: bytes, salt: bytes, nonce: bytes, version: int) -> tuple[ChaCha20Poly1305, bytes]:
    """XChaCha20-Poly1305 as ChaCha20-Poly1305 with a key and a nonce that are made of the longer nonce."""
    info = part(LABELS[version]) + part(salt)
    key = HKDF(SHA256(), 32, salt=b"", info=info).derive(secret_key)
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def part(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha, section 2.2: a block of ChaCha20 without the addition of the state at its end."""
    block = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    added = b"expand 32-byte k" + key + nonce
    words = [(a - b) % 2**32 for a, b in zip(struct.unpack("<16I", block), struct.unpack("<16I", added), strict=True)]
    return struct.pack("<8I", *words[:4], *words[12:])


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(token: str) -> bytes | None:
    """Decode base64 that is written as :func:`encode` writes it."""
    if not all(character in ALPHABET for character in token.encode()) or len(token) % 4 == 1:
        return None
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return data if encode(data) == token else None
