import typing as t

from typing_extensions import disjoint_base

__all__ = ["Counters", "TimedSerializerMixin", "__version__"]

__version__: str

@t.final
class Counters:
    def __new__(cls) -> Counters: ...
    def report(self) -> dict[str, t.Any]: ...
    def __reduce__(self) -> tuple[type[Counters], tuple[()]]: ...

@disjoint_base
class TimedSerializerMixin:
    def __new__(cls, *_args: t.Any, **_kwargs: t.Any) -> t.Self: ...
    def __getnewargs__(self) -> tuple[()]: ...
    def count_with(self, counters: Counters) -> None: ...
    def dumps(self, obj: t.Any, salt: str | bytes | None = None) -> str: ...
    def loads(
        self,
        s: str | bytes,
        max_age: int | None = None,
        return_timestamp: bool = False,
        salt: str | bytes | None = None,
    ) -> t.Any: ...
