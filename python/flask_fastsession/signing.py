"""The signers and serializers of itsdangerous with native hot paths.

Each class is a subclass of itsdangerous's class of the same name, with the same arguments, results and errors. Unusual
input is left to that class. All state is in its attributes, which may change at any time.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable

import itsdangerous
from flask.json import tag as tagged_json

from ._native import OpenedText
from ._native import Sealer
from ._native import SignerMixin
from ._native import TimedSerializerMixin
from ._native import UnreadText
from ._native import tag
from ._native import untag
from ._native import untags

if t.TYPE_CHECKING:
    from ._native import Counters

__all__ = [
    "EncryptedSerializer",
    "Serializer",
    "Signer",
    "TimedSerializer",
    "TimestampSigner",
    "URLSafeSerializer",
    "URLSafeTimedSerializer",
]


# What the JSON is made of, text or bytes.
_TSerialized = t.TypeVar("_TSerialized", str, bytes)


class PickledByAnyProtocol:
    """Pickled as its counterpart is, by the oldest protocols too, which know no native classes."""

    def __reduce_ex__(self, protocol: t.SupportsIndex) -> str | tuple[t.Any, ...]:
        return super().__reduce_ex__(max(int(protocol), 2))


class _FastSigner(SignerMixin, PickledByAnyProtocol):
    """Native signatures for a class of itsdangerous's that comes after it."""

    def get_signature(self, value: str | bytes) -> bytes:
        """Return the signature of a value, base64, as :meth:`itsdangerous.Signer.get_signature`."""
        signature: bytes = self._get_signature(value)
        if signature is NotImplemented:
            signature = super().get_signature(value)  # type: ignore[misc]
        return signature

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        """Return whether one of the keys signed a value, as :meth:`itsdangerous.Signer.verify_signature`."""
        is_ours: bool = self._verify_signature(value, sig)
        if is_ours is NotImplemented:
            is_ours = super().verify_signature(value, sig)  # type: ignore[misc]
        return is_ours


class Signer(_FastSigner, itsdangerous.Signer):
    """:class:`itsdangerous.Signer`, whose keys are derived once, and whose HMAC is native for SHA-1 and SHA-2."""


class TimestampSigner(_FastSigner, itsdangerous.TimestampSigner):
    """:class:`itsdangerous.TimestampSigner`, with the signatures of :class:`Signer`."""


class Serializer(itsdangerous.Serializer[_TSerialized]):
    """:class:`itsdangerous.Serializer`, which signs by :class:`Signer`."""

    default_signer = Signer


class TimedSerializer(itsdangerous.TimedSerializer[_TSerialized]):
    """:class:`itsdangerous.TimedSerializer`, which signs by :class:`TimestampSigner`."""

    default_signer = TimestampSigner


class URLSafeSerializer(itsdangerous.URLSafeSerializer):
    """:class:`itsdangerous.URLSafeSerializer`, which signs by :class:`Signer`."""

    default_signer = Signer


class URLSafeTimedSerializer(TimedSerializerMixin, PickledByAnyProtocol, itsdangerous.URLSafeTimedSerializer):
    """:class:`itsdangerous.URLSafeTimedSerializer` whose ``dumps`` and ``loads`` run natively.

    With Flask's tagged JSON and values of built-in types, all of it is native. With another ``serializer``, such as
    :mod:`json`, the default, all but the JSON is. ``dump``, ``load`` and ``loads_unsafe`` are inherited and call these.
    """

    default_signer = TimestampSigner

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        """Return the token of a value, as :meth:`itsdangerous.Serializer.dumps`."""
        token = self._dumps(obj, salt)
        if token is None:
            token = self._dumps_text(self._write(obj), salt)
        return super().dumps(obj, salt) if token is NotImplemented else token

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        """Return the value of a token, as :meth:`itsdangerous.TimedSerializer.loads`.

        ``max_age`` is in seconds. With ``return_timestamp`` it is a pair of the value and the
        :class:`~datetime.datetime`, in UTC, at which the token was signed. :exc:`itsdangerous.BadSignature`,
        :exc:`itsdangerous.SignatureExpired` and :exc:`itsdangerous.BadPayload` are raised as by stock.
        """
        value = self._loads(s, max_age, return_timestamp, salt)
        if value is NotImplemented:
            value = super().loads(s, max_age, return_timestamp, salt)
            self._count_read_by_stock()
            return value
        return self._read(value, return_timestamp) if type(value) is UnreadText else value

    def _dumps_session_data(self, data: dict[str, t.Any], loaded: tuple[bytes, bytes] | None) -> str:
        """Return what ``dumps`` gives, keeping the payload that ``data`` was loaded from if it still says the same."""
        token: t.Any = self._dumps_session(data, loaded)
        if token is None:
            token = self._dumps_text(self._write(data), None)
        return super().dumps(data) if token is NotImplemented else token

    def _loads_session_data(self, token: str, max_age: int) -> tuple[t.Any, tuple[bytes, bytes] | None]:
        """Return what ``loads`` gives, and the payload and the text that it was read from where they are known."""
        found: t.Any = self._loads_session(token, max_age)
        if found is NotImplemented:
            value = super().loads(token, max_age=max_age)
            self._count_read_by_stock()
            return value, None
        if type(found) is UnreadText:
            return self._read_text(found.text), (found.payload, found.text)
        return found  # type: ignore[no-any-return]

    def _read(self, unread: UnreadText, return_timestamp: bool) -> t.Any:
        value = self._read_text(unread.text)
        if not return_timestamp:
            return value
        signer = t.cast(itsdangerous.TimestampSigner, self.make_signer())
        return value, signer.timestamp_to_datetime(unread.signed_at)

    def _write(self, obj: t.Any) -> bytes:
        """Return what :meth:`itsdangerous.Serializer.dump_payload` gives where ``serializer_kwargs`` are empty."""
        if itsdangerous.Serializer.dump_payload is not DUMP_PAYLOAD:
            return itsdangerous.Serializer.dump_payload(self, obj)
        return itsdangerous.want_bytes(write_json(self.serializer, obj))

    def _read_text(self, text: bytes) -> t.Any:
        """Return what :meth:`itsdangerous.Serializer.load_payload` gives."""
        if itsdangerous.Serializer.load_payload is not LOAD_PAYLOAD or not untags(self.serializer):
            return itsdangerous.Serializer.load_payload(self, text)
        try:
            return read_json(self.serializer, text.decode("utf-8"))
        except Exception as error:
            # It is itsdangerous that words what went wrong.
            return LOAD_PAYLOAD(t.cast(t.Any, Failed(error)), text)

    @classmethod
    def _adopt(cls, stock: itsdangerous.URLSafeTimedSerializer, counters: Counters) -> URLSafeTimedSerializer:
        """Return a serializer with the state of a stock one."""
        self = cls.__new__(cls)
        vars(self).update(vars(stock))
        self.count_with(counters)
        return self


class EncryptedSerializer(URLSafeTimedSerializer):
    """:class:`URLSafeTimedSerializer` whose tokens are encrypted: nobody without a key can read or change them.

    ``secret_key`` is one key or an iterable of several, from oldest to newest; each is ``str`` or ``bytes``. The newest
    encrypts and all decrypt. ``salt`` is as for :class:`itsdangerous.URLSafeTimedSerializer`, ``None`` included.
    ``purpose`` says what the tokens are for, such as ``"password reset"``; a token opens for no other purpose. That of
    the session cookie is its name. ``serializer`` has ``dumps`` and ``loads``; by default it writes JSON. Raise
    :exc:`ValueError` for a key that is empty or of another type, and for no key.

    ``docs/encryption.md`` has the format. ``dumps``, ``loads``, ``loads_unsafe``, ``dump``, ``load`` and
    ``load_unsafe`` are as in the base class. Methods that sign raise :exc:`TypeError`.
    """

    #: Whether JSON is compressed before it is encrypted.
    _compress = False
    _counters: Counters | None = None
    #: The keys, salt and purpose last used, and what was derived from them.
    _derived: tuple[object, Sealer] | None = None

    def __init__(
        self,
        secret_key: str | bytes | Iterable[str] | Iterable[bytes],
        salt: str | bytes | None,
        purpose: str | bytes,
        serializer: t.Any = None,
    ) -> None:
        super().__init__(secret_key, salt=salt, serializer=serializer)
        self.purpose = itsdangerous.want_bytes(purpose)
        # What is wrong with a key is said now.
        self._sealer(None)

    def __getstate__(self) -> dict[str, t.Any]:
        return {name: value for name, value in vars(self).items() if name != "_derived"}

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        """Return the encrypted token of a value.

        An error of the JSON passes through. :exc:`OSError` is raised if the operating system has no random bytes.
        """
        sealer = self._sealer(salt)
        text = sealer.write(self.serializer, obj)
        return sealer.seal(self._write(obj) if text is None else text, SIGNER.get_timestamp())

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        """Return the value of a token.

        ``max_age`` is in seconds. With ``return_timestamp`` it is a pair of the value and the
        :class:`~datetime.datetime`, in UTC, at which the token was encrypted. Raise :exc:`itsdangerous.BadSignature`
        for a token that none of the keys has made, :exc:`itsdangerous.SignatureExpired` for one that is older than
        ``max_age`` or from the future, :exc:`itsdangerous.BadPayload` for one whose JSON cannot be read.
        """
        opened = self._open(s, salt)
        if max_age is not None:
            check_age(opened, max_age)
        value = self._read_opened(opened)
        return (value, SIGNER.timestamp_to_datetime(opened.sealed_at)) if return_timestamp else value

    def loads_unsafe(  # type: ignore[override]
        self, s: str | bytes, max_age: int | None = None, salt: str | bytes | None = None
    ) -> tuple[bool, t.Any]:
        """Return ``(True, value)``; ``(False, value)`` for an expired token, and ``(False, None)`` for any other."""
        try:
            opened = self._open(s, salt)
            value = self._read_opened(opened)
            if max_age is not None:
                check_age(opened, max_age)
        except itsdangerous.SignatureExpired:
            return False, value
        except itsdangerous.BadData:
            return False, None
        return True, value

    def load(self, f: t.IO[t.Any], salt: str | bytes | None = None) -> t.Any:
        """Return the value of the token in a file, as :meth:`loads`."""
        return self.loads(f.read(), salt=salt)

    def make_signer(self, salt: str | bytes | None = None) -> t.NoReturn:
        """Raise :exc:`TypeError`: what this signed, nobody else would accept for encrypted."""
        raise TypeError(f"{type(self).__name__} encrypts and does not sign")

    def iter_unsigners(self, salt: str | bytes | None = None) -> t.NoReturn:
        """Raise :exc:`TypeError`, as :meth:`make_signer`."""
        self.make_signer(salt)

    def _is_current(self, token: str | bytes) -> bool:
        """Return whether a token was encrypted with the newest key."""
        return self._sealer(None).is_current(bytes_of(token))

    def _open(self, s: str | bytes, salt: str | bytes | None) -> OpenedText:
        opened = self._sealer(salt).open(bytes_of(s))
        if opened is None:
            raise itsdangerous.BadSignature("The token was not encrypted with any of the keys")
        return opened

    def _read_opened(self, opened: OpenedText) -> t.Any:
        value = opened.read(self.serializer)
        return self._read_text(opened.text) if value is NotImplemented else value

    def _sealer(self, salt: str | bytes | None) -> Sealer:
        """Return what encrypts and decrypts for a salt, or for the serializer's own."""
        own_salt = self.salt if salt is None else itsdangerous.want_bytes(salt)
        inputs = tuple(self.secret_keys), own_salt, self.purpose
        if self._derived is not None and self._derived[0] == inputs:
            return self._derived[1]
        if not all(isinstance(key, bytes) for key in self.secret_keys):
            raise ValueError("each secret key must be str or bytes")
        sealer = Sealer.new(
            self.secret_keys,
            DEFAULT_SALT if own_salt is None else own_salt,
            self.purpose,
            self._compress,
            self._counters,
        )
        if sealer is None:
            raise ValueError("there must be a secret key, and none may be empty")
        if salt is None:
            self._derived = inputs, sealer
        return sealer


#: Reads the clock as itsdangerous does, and turns seconds into dates.
SIGNER = itsdangerous.TimestampSigner(b"it signs nothing")

#: What :class:`itsdangerous.Signer` takes where there is no salt.
DEFAULT_SALT = b"itsdangerous.Signer"


def bytes_of(token: str | bytes) -> bytes:
    return bytes(memoryview(itsdangerous.want_bytes(token)))


def check_age(opened: OpenedText, max_age: int) -> None:
    """Raise :exc:`itsdangerous.SignatureExpired` in its own words."""
    age = SIGNER.get_timestamp() - opened.sealed_at
    if age > max_age:
        bound = f"> {max_age}"
    elif age < 0:
        bound = "< 0"
    else:
        return
    opened.reject()
    date = SIGNER.timestamp_to_datetime(opened.sealed_at)
    raise itsdangerous.SignatureExpired(f"Signature age {age} {bound} seconds", date_signed=date)


DUMP_PAYLOAD = itsdangerous.Serializer.dump_payload
LOAD_PAYLOAD = itsdangerous.Serializer.load_payload


class Failed:
    """Stands for a serializer, and for its JSON, of which it is known what that raises."""

    is_text_serializer = True

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def serializer(self) -> Failed:
        return self

    def loads(self, text: str) -> t.Any:
        raise self.error


def write_json(serializer: t.Any, value: t.Any) -> str | bytes:
    """Return what ``serializer.dumps(value)`` gives: tagged natively where it may be, and written as Flask has it."""
    tagged = tag(serializer, value)
    if tagged is NotImplemented:
        return serializer.dumps(value)  # type: ignore[no-any-return]
    return tagged_json.dumps(tagged, separators=(",", ":"))  # type: ignore[attr-defined]


def read_json(serializer: t.Any, text: str) -> t.Any:
    """Return what ``serializer.loads(text)`` gives where that is Flask's own method."""
    value = tagged_json.loads(text)  # type: ignore[attr-defined]
    untagged = untag(serializer, value)
    return serializer._untag_scan(value) if untagged is NotImplemented else untagged


def is_native(serializer: object, method: str) -> bool:
    """Whether a serializer is of this module's class, and nobody has hung a method of their own onto it."""
    return type(serializer) is URLSafeTimedSerializer and method not in vars(serializer)
