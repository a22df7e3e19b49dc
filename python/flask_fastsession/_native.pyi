import typing as t

from flask import Flask
from flask import Request
from flask import Response
from flask.sessions import SecureCookieSession
from flask.sessions import SessionMixin
from typing_extensions import Self
from typing_extensions import disjoint_base

__all__ = [
    "Counters",
    "DefaultSessionClass",
    "SessionInterfaceMixin",
    "TimedSerializerMixin",
    "__version__",
    "remember_flask",
]

__version__: str

def remember_flask() -> None: ...

@t.final
class Counters:
    def __new__(cls) -> Counters: ...
    def report(self) -> dict[str, t.Any]: ...
    def __reduce__(self) -> tuple[type[Counters], tuple[()]]: ...

@t.final
class DefaultSessionClass:
    def __new__(cls, session_class: type[SecureCookieSession]) -> DefaultSessionClass: ...
    def __get__(
        self, interface: SessionInterfaceMixin | None, owner: type[SessionInterfaceMixin] | None = None, /
    ) -> type[SecureCookieSession]: ...

@disjoint_base
class TimedSerializerMixin:
    def __new__(cls, *_args: t.Any, **_kwargs: t.Any) -> Self: ...
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

@disjoint_base
class SessionInterfaceMixin:
    def __new__(cls, *args: t.Any, **kwargs: t.Any) -> Self: ...
    def __getnewargs__(self) -> tuple[()]: ...
    @property
    def _counters(self) -> Counters: ...
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None: ...
    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None: ...
