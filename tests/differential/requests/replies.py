"""What views return."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from collections.abc import Iterator

import flask
import werkzeug
import werkzeug.exceptions
from werkzeug.datastructures import Headers

from ..codec.odd_types import Timeout
from ..codec.odd_types import calls
from .observed import contents
from .observed import observed_call
from .plan import Reply


class Handled(Exception):
    """Has a handler, if the app has one at all."""


def fail(error: BaseException) -> t.NoReturn:
    raise error


#: What views have streamed; of a response that nobody reads to its end, the request's context stays behind.
streams: list[t.Any] = []


def streamed(*, in_context: bool = False, write: bool = False, error: Exception | None = None) -> flask.Response:
    def pieces() -> Iterator[str]:
        yield "first "
        if in_context:
            yield contents(flask.session)
        if write:
            flask.session["late"] = 1
        if error is not None:
            raise error

    stream = flask.stream_with_context(pieces()) if in_context or write else pieces()
    streams.append(stream)
    return flask.Response(stream)


def aborted(status: int, *headers: tuple[str, str]) -> t.NoReturn:
    flask.abort(flask.make_response("aborted", status, list(headers)) if headers else status)


REPLIES: dict[str, Callable[[], t.Any]] = {
    "text": lambda: "text",
    "bytes": lambda: b"\xff",
    "json": lambda: {"b": 1, "a": 2},
    "tuple": lambda: ("text", 201, [("X-Tuple", "1"), ("Set-Cookie", "other=1")]),
    "no content": lambda: ("", 204),
    "not modified": lambda: flask.Response(status=304),
    "redirect": lambda: flask.redirect("/elsewhere"),
    "response": lambda: flask.current_app.response_class("text"),
    "Werkzeug's": lambda: werkzeug.Response("text", headers=[("Vary", "Accept")]),
    "WSGI app": lambda: werkzeug.exceptions.Gone(),
    "abort": lambda: aborted(403),
    "abort with headers": lambda: aborted(403, ("Vary", "Accept"), ("Set-Cookie", "other=1")),
    "error": lambda: fail(LookupError("in the view")),
    "handled error": lambda: fail(Handled("in the view")),
    "no error": lambda: fail(Timeout("in the view")),
    "nothing": lambda: None,
    "stream": streamed,
    "stream in context": lambda: streamed(in_context=True),
    "stream that writes": lambda: streamed(write=True),
    "stream that fails": lambda: streamed(error=LookupError("in the stream")),
}

HEADERS = (
    *(
        "Vary: Accept-Encoding",
        "Vary: Cookie",
        "Vary: cookie",
        "Vary: *",
        "Vary: ",
        "Vary:  Accept ,  COOKIE ",
        "Vary: ,",
    ),
    *(
        'Vary: "Cookie"',
        "vary: Accept",
        "VARY: Cookie, Accept",
        "Vary: Origin",
        "Vary: é",
        "Vary: Cookies",
        "Vary: a b",
    ),
    *(
        "Set-Cookie: other=1",
        "Set-Cookie: session=mine; Path=/",
        "set-cookie: a=b",
        "X-First: 1",
        "Content-Type: text/x",
    ),
    *("X-Cookie: Cookie", "Content-Length: 4", "Cache-Control: no-store", "Location: /x"),
)


class WatchedHeaders(Headers):
    """Notes what is added."""

    def add(self, key: str, value: t.Any, /, **kwargs: t.Any) -> None:
        calls.append(f"headers.add {key}")
        super().add(key, value, **kwargs)


def shadow(name: str, and_call: bool) -> Callable[[t.Any], None]:
    """Replaces a method of the one response."""

    def tweak(response: t.Any) -> None:
        stock = getattr(response, name)

        def shadowing(*args: t.Any, **kwargs: t.Any) -> None:
            calls.append(observed_call(name, args, kwargs))
            if and_call:
                stock(*args, **kwargs)

        setattr(response, name, shadowing)

    return tweak


TWEAKS: dict[str, Callable[[t.Any], object]] = {
    "vary read": lambda response: calls.append(str(response.vary)),
    "vary added": lambda response: response.vary.add("Origin"),
    "vary updated": lambda response: response.vary.update(["Accept", "Origin", "cookie"]),
    "vary discarded": lambda response: response.vary.discard("Cookie"),
    "vary cleared": lambda response: response.vary.clear(),
    "vary assigned": lambda response: setattr(response, "vary", ["Accept", "COOKIE"]),
    "vary assigned as text": lambda response: setattr(response, "vary", "Accept, Origin"),
    "set_cookie replaced": shadow("set_cookie", and_call=False),
    "set_cookie wrapped": shadow("set_cookie", and_call=True),
    "delete_cookie replaced": shadow("delete_cookie", and_call=False),
    "delete_cookie wrapped": shadow("delete_cookie", and_call=True),
    "cookie set": lambda response: response.set_cookie("other", "valué", max_age=5, expires=0, secure=True),
    "cookie deleted": lambda response: response.delete_cookie("session"),
    "other cookie deleted": lambda response: response.delete_cookie("other", path="/x"),
    "headers watched": lambda response: setattr(response, "headers", WatchedHeaders(response.headers)),
    "headers anew": lambda response: setattr(response, "headers", Headers([("X-Anew", "1"), ("Vary", "Accept")])),
    "headers a list": lambda response: setattr(response, "headers", []),
    "headers a dict": lambda response: setattr(response, "headers", {}),
    "headers cleared": lambda response: response.headers.clear(),
    "header of a number": lambda response: response.headers.set("X-Number", 5),
    "headers' own add": lambda response: setattr(response.headers, "add", functools.partial(calls.append)),
    "etag": lambda response: response.add_etag(),
    "conditional": lambda response: response.make_conditional(flask.request),
    "attribute": lambda response: setattr(response, "colour", "red"),
    "max_cookie_size": lambda response: setattr(response, "max_cookie_size", 5),
}


def respond(reply: Reply) -> t.Any:
    value = REPLIES[reply.kind]()
    if not reply.headers and not reply.tweaks:
        return value
    response = flask.make_response(value)
    for header in reply.headers:
        name, _, text = header.partition(": ")
        response.headers.add(name, text)
    for tweak in reply.tweaks:
        TWEAKS[tweak](response)
    return response
