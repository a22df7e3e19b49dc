"""The real Flask-Session, whose live data and behaviour ours is held against.

::

    with redis_server(tmp_path) as server:
        app = peer_app("redis", client_of("redis", server), SESSION_SERIALIZATION_FORMAT="json")
        cookie = cookie_with(app, {"user": 1})
        assert record_of(app, cookie) == b'{"_permanent":true,"user":1}'
"""

from __future__ import annotations

import typing as t
import warnings
from collections.abc import Mapping
from pathlib import Path

import flask
import flask_session
import pymemcache
import redis
from cachelib.file import FileSystemCache
from werkzeug.test import create_environ

from .servers import Server

#: By which stores, in which formats, Flask-Session keeps what ours is to read.
TYPES = ("redis", "memcached")
FORMATS = ("msgpack", "json")

Client: t.TypeAlias = "redis.Redis | pymemcache.Client | FileSystemCache"


def client_of(session_type: str, server: Server) -> redis.Redis | pymemcache.Client:
    """The client that is handed to Flask-Session, and to ours, for a server."""
    if session_type == "redis":
        return redis.Redis(host=server.host, port=server.port)
    # Without no_delay each write waits for an acknowledgement that the kernel delays by 40 ms.
    # And unless it waits for the answer, who asks by another connection may be sooner than what was written.
    return pymemcache.Client((server.host, server.port), no_delay=True, default_noreply=False)


def files_of(folder: Path) -> FileSystemCache:
    """Files as Flask-Session keeps them where nothing else is configured for ``SESSION_TYPE="cachelib"``."""
    return FileSystemCache(str(folder), threshold=500)


def peer_app(session_type: str, client: Client, **config: t.Any) -> flask.Flask:
    """An app whose sessions Flask-Session keeps by ``redis``, ``memcached`` or ``cachelib``."""
    app = flask.Flask("peer")
    app.secret_key = "secret"
    app.config.from_mapping({"SESSION_TYPE": session_type, f"SESSION_{session_type.upper()}": client, **config})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The 'use_signer' option", DeprecationWarning)
        flask_session.Session(app)
    return app


# --- Requests, to any app with sessions -----------------------------------------------------------------------------


def opened(app: flask.Flask, cookie: str | None) -> t.Any:
    """The session that a request with this cookie has."""
    headers = {} if cookie is None else {"Cookie": f"{app.config['SESSION_COOKIE_NAME']}={cookie}"}
    request = app.request_class(create_environ("/", headers=headers))
    return app.session_interface.open_session(app, request)


def cookie_with(app: flask.Flask, values: Mapping[str, t.Any], cookie: str | None = None) -> str:
    """Put values into a session, a new one if no cookie says otherwise, and return the cookie that it has then."""
    session = opened(app, cookie)
    session.update(values)
    response = flask.Response()
    app.session_interface.save_session(app, session, response)
    header = response.headers.get("Set-Cookie")
    if header is None:
        assert cookie is not None
        return cookie
    return header.partition("=")[2].partition(";")[0]


def session_of(app: flask.Flask, cookie: str) -> dict[str, t.Any]:
    """What a request with this cookie finds in its session."""
    return dict(opened(app, cookie))


# --- Its store, past it ---------------------------------------------------------------------------------------------


def key_of(app: flask.Flask, cookie: str) -> str:
    """The key at which Flask-Session keeps the session of a cookie."""
    interface: t.Any = app.session_interface
    session_id = interface._unsign(app, cookie) if interface.use_signer else cookie
    return f"{interface.key_prefix}{session_id}"


def record_of(app: flask.Flask, cookie: str) -> t.Any:
    """What its store holds for a cookie: bytes, or with files a dictionary, or ``None``."""
    return store_of(app).get(key_of(app, cookie))


def put_record(app: flask.Flask, cookie: str, record: t.Any) -> None:
    """Put what Flask-Session itself would not, such as a pickle, where it looks for the session of a cookie."""
    store_of(app).set(key_of(app, cookie), record)


def store_of(app: flask.Flask) -> t.Any:
    interface: t.Any = app.session_interface
    return interface.cache if hasattr(interface, "cache") else interface.client
