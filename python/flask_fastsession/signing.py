"""Serializers of itsdangerous with native hot paths."""

from __future__ import annotations

import typing as t

import itsdangerous

from ._native import TimedSerializerMixin

if t.TYPE_CHECKING:
    from ._native import Counters


class URLSafeTimedSerializer(TimedSerializerMixin, itsdangerous.URLSafeTimedSerializer):  # type: ignore[misc]
    """:class:`itsdangerous.URLSafeTimedSerializer` whose ``dumps`` and ``loads`` run natively where the answer is
    provably the same: for Flask's tagged JSON, an HMAC over SHA-1 or SHA-2, and values of built-in types.
    ``dump``, ``load`` and ``loads_unsafe`` are inherited and go through these two.

    Takes the arguments and raises the errors of its base class, to which it turns for anything odd. All its state is in
    the base class's attributes, which may be changed at any time.
    """

    @classmethod
    def _adopt(cls, stock: itsdangerous.URLSafeTimedSerializer, counters: Counters) -> URLSafeTimedSerializer:
        """Return a serializer with the state of a stock one."""
        self = cls.__new__(cls)
        vars(self).update(vars(stock))
        self.count_with(counters)
        return self
