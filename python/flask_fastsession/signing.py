"""Serializers of itsdangerous with native hot paths."""

from __future__ import annotations

import typing as t

import itsdangerous

from ._native import TimedSerializerMixin
from ._native import UnreadText

if t.TYPE_CHECKING:
    from ._native import Counters


class URLSafeTimedSerializer(TimedSerializerMixin, itsdangerous.URLSafeTimedSerializer):
    """:class:`itsdangerous.URLSafeTimedSerializer` whose ``dumps`` and ``loads`` run natively where the answer is
    provably the same: for Flask's tagged JSON, an HMAC over SHA-1 or SHA-2, and values of built-in types.
    ``dump``, ``load`` and ``loads_unsafe`` are inherited and go through these two.

    Takes the arguments and raises the errors of its base class, to which it turns for anything odd. All its state is in
    the base class's attributes, which may be changed at any time.
    """

    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str:
        """Return the token of a value, as :meth:`itsdangerous.Serializer.dumps`."""
        token = self._dumps(obj, salt)
        if token is None:
            token = self._dumps_text(itsdangerous.Serializer.dump_payload(self, obj), salt)
        return super().dumps(obj, salt) if token is NotImplemented else token

    def loads(  # type: ignore[override]
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any:
        """Return the value of a token, as :meth:`itsdangerous.TimedSerializer.loads`.

        ``max_age`` is in seconds. With ``return_timestamp`` it is a pair of the value and the :class:`datetime`, in
        UTC, at which the token was signed. :exc:`itsdangerous.BadSignature`, :exc:`itsdangerous.SignatureExpired` and
        :exc:`itsdangerous.BadPayload` are raised as by stock.
        """
        value = self._loads(s, max_age, return_timestamp, salt)
        if value is NotImplemented:
            return super().loads(s, max_age, return_timestamp, salt)
        return self._read(value, return_timestamp) if type(value) is UnreadText else value

    def _read(self, unread: UnreadText, return_timestamp: bool) -> t.Any:
        value = itsdangerous.Serializer.load_payload(self, unread.text)
        if not return_timestamp:
            return value
        signer = t.cast(itsdangerous.TimestampSigner, self.make_signer())
        return value, signer.timestamp_to_datetime(unread.signed_at)

    @classmethod
    def _adopt(cls, stock: itsdangerous.URLSafeTimedSerializer, counters: Counters) -> URLSafeTimedSerializer:
        """Return a serializer with the state of a stock one."""
        self = cls.__new__(cls)
        vars(self).update(vars(stock))
        self.count_with(counters)
        return self
