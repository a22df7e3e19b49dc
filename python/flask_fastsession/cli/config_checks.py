"""The checks of ``flask session doctor`` on lifetimes, and on options and clients that nobody wants as they are."""

from __future__ import annotations

import inspect
import typing as t
from collections.abc import Iterator
from contextlib import suppress

from flask import Flask

from ..interface import FastSessionInterface
from ..options import CHECKS
from ..options import DEFAULTS
from ..options import setting_of
from ..server.interface import ServerSessionInterface
from .checks import Finding
from .checks import warning
from .text import in_time

# --- Lifetime -------------------------------------------------------------------------------------------------------


def check_lifetime(app: Flask) -> Iterator[Finding]:
    value = app.config.get("PERMANENT_SESSION_LIFETIME")
    try:
        seconds = app.permanent_session_lifetime.total_seconds()
    except (AttributeError, OverflowError, TypeError, ValueError):
        text = f"PERMANENT_SESSION_LIFETIME is neither a timedelta nor a number of seconds, but {value!r}"
        yield warning("bad-lifetime", text)
        return
    if seconds < 1:
        yield warning("bad-lifetime", f"PERMANENT_SESSION_LIFETIME is {value!r}: a permanent session ends at once")


# --- Refreshing -----------------------------------------------------------------------------------------------------


def check_refreshing(app: Flask) -> Iterator[Finding]:
    """Warn if a session may end though its user has done something for more than half of its lifetime."""
    refresh_after = refresh_after_of(app)
    if refresh_after is None:
        return
    lifetime = app.permanent_session_lifetime.total_seconds()
    if refresh_after >= lifetime / 2:
        yield warning(
            "late-refresh",
            f"refresh_after ({in_time(int(refresh_after))}) is not below half of PERMANENT_SESSION_LIFETIME"
            f" ({in_time(int(lifetime))}), so that users are logged out in the middle of their work",
        )


def refresh_after_of(app: Flask) -> float | None:
    interface = app.session_interface
    if isinstance(interface, FastSessionInterface):
        # check_options() tells of a config that cannot be read.
        with suppress(ValueError):
            return interface._options_for(app).policies.refresh_after
    return interface.options.policies.refresh_after if isinstance(interface, ServerSessionInterface) else None


# --- Settings that nobody reads -------------------------------------------------------------------------------------


def check_effect(app: Flask) -> Iterator[Finding]:
    """Warn of settings whose names are those of arguments, and that are no settings."""
    interface = app.session_interface
    if not isinstance(interface, FastSessionInterface | ServerSessionInterface):
        return
    for name in arguments_only():
        value = app.config.get(setting_of(name))
        if not value:
            continue
        if isinstance(interface, ServerSessionInterface):
            why = "sessions on the server are not encrypted" if name == "encrypt" else "it is for sessions in cookies"
            yield warning("no-effect", f"{setting_of(name)} has no effect: {why}")
        # The app itself may read the setting, and pass it as the argument.
        elif not is_given(interface, name):
            example = "True" if value is True else "..."
            yield warning(
                "no-effect", f"{setting_of(name)} has no effect: write FastSessionInterface({name}={example})"
            )


def arguments_only() -> list[str]:
    parameters = inspect.signature(FastSessionInterface.__init__).parameters.values()
    named = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    return [name for name in named if name not in {*CHECKS, "absolute_lifetime"}]


def is_given(interface: FastSessionInterface, name: str) -> bool:
    if name == "digest_method":
        return interface.digest_method is not FastSessionInterface.digest_method
    return bool(getattr(interface._options, name) != getattr(DEFAULTS, name))


# --- Outages of Redis -----------------------------------------------------------------------------------------------


class Patience(t.NamedTuple):
    """How many times a client tries a command, and for how many seconds each time; ``None`` is for ever."""

    tries: int
    timeout: float | None


def check_outages(app: Flask) -> Iterator[Finding]:
    """Warn of clients of Redis that let a request wait for long where Redis does not answer."""
    for client in clients_of(app.session_interface):
        patience = patience_of(client)
        if patience is None:
            continue
        if patience.timeout is None:
            yield warning(
                "slow-outage",
                "the client of Redis has no time limit, so that an outage may hold requests for ever: pass"
                " socket_timeout=1, socket_connect_timeout=1 to it",
            )
        elif patience.tries > 1:
            yield warning(
                "slow-outage",
                f"the client of Redis tries a command {patience.tries} times, for up to {patience.timeout:g} s each, so"
                f" that an outage may hold a request for {patience.tries * patience.timeout:g} s and more: pass"
                " retry=Retry(NoBackoff(), 0) to it, or give a URL in its place",
            )


def clients_of(interface: object) -> list[t.Any]:
    """The clients of the stores of an interface, of whichever kind."""
    if isinstance(interface, ServerSessionInterface):
        stores: list[object] = [interface.store]
    elif isinstance(interface, FastSessionInterface) and interface._options.revocations is not None:
        stores = [interface._options.revocations.store]
    else:
        stores = []
    return [store.client for store in stores if hasattr(store, "client")]


def patience_of(client: t.Any) -> Patience | None:
    """How long a client waits, or ``None`` if it does not tell, such as that of a cluster."""
    with suppress(Exception):
        pool = client.connection_pool
        # Not yet opened. The pool knows only what differs from the defaults of its connections.
        connection = pool.connection_class(**pool.connection_kwargs)
        limits = connection.socket_timeout, getattr(connection, "socket_connect_timeout", connection.socket_timeout)
        return Patience(1 + connection.retry._retries, None if None in limits else max(limits))
    return None
