"""What must not happen however oddly the world around the code behaves: hangs, crashes, leaks, exits held up."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import textwrap
import threading
import typing as t
import weakref

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from flask_fastsession import FastSessionInterface
from tests.patience import HANGS_AFTER

BOTH = pytest.mark.parametrize("interface_class", [SecureCookieSessionInterface, FastSessionInterface])


def app_with(interface: SecureCookieSessionInterface) -> Flask:
    app = Flask(__name__)
    app.secret_key = "key"
    app.session_interface = interface
    return app


def serializer_of(interface: SecureCookieSessionInterface) -> t.Any:
    return interface.get_signing_serializer(app_with(interface))


def test_a_finalizer_may_sign_while_keys_are_looked_up() -> None:
    # A salt that cannot be encoded makes an exception, whose allocation may set the garbage collector off.
    script = """
        import gc
        import itertools
        from flask import Flask
        from flask_fastsession import FastSessionInterface

        app = Flask("x")
        numbers = itertools.count()

        class Signing:
            def __init__(self):
                self.itself = self

            def __del__(self):
                app.secret_key = f"another key {next(numbers)}"
                app.session_interface.get_signing_serializer(app).dumps({})

        app.secret_key = "key"
        app.session_interface = FastSessionInterface()
        serializer = app.session_interface.get_signing_serializer(app)
        gc.set_threshold(1)
        for _ in range(300):
            Signing()
            try:
                serializer.dumps({}, salt="\\ud800")
            except UnicodeEncodeError:
                pass
        print("done")
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER, check=True)
    assert done.stdout == "done\n"


@BOTH
def test_nobody_holds_up_an_exit(interface_class: type[SecureCookieSessionInterface]) -> None:
    signals = ["interrupt"]

    class Interrupted(interface_class):
        @staticmethod
        def digest_method(data: bytes = b"") -> t.Any:
            if signals:
                raise KeyboardInterrupt(signals.pop())
            return hashlib.sha1(data)

    serializer = serializer_of(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        serializer.dumps({})
    assert serializer.loads(serializer.dumps({})) == {}


@BOTH
def test_a_class_behind_the_interface_is_initialized(interface_class: type[SecureCookieSessionInterface]) -> None:
    class Named:
        def __init__(self, name: str = "unnamed") -> None:
            self.name = name

    class NamedInterface(interface_class, Named):
        pass

    assert NamedInterface().name == "unnamed"
    assert NamedInterface("ada").name == "ada"


@pytest.mark.parametrize("arguments", [(Flask(__name__),), ("a", "b")])
def test_the_interface_itself_takes_no_arguments(arguments: tuple[t.Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"app\.session_interface = FastSessionInterface\(\)"):
        FastSessionInterface(*arguments)


@pytest.mark.parametrize("value", ["list", "tuple", "dict", "tagged dict"])
def test_a_small_stack_is_enough(value: str) -> None:
    wrap: t.Callable[[t.Any], t.Any] = {
        "list": lambda inner: [inner],
        "tuple": lambda inner: (inner,),
        "dict": lambda inner: {"a": inner},
        "tagged dict": lambda inner: {" t": inner},
    }[value]
    nested: t.Any = 1
    for _ in range(60):
        nested = wrap(nested)
    stock, ours = serializer_of(SecureCookieSessionInterface()), serializer_of(FastSessionInterface())
    readings: list[t.Any] = []
    before = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=lambda: readings.append(ours.loads(ours.dumps(nested))))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert readings == [stock.loads(stock.dumps(nested))]


def test_a_digest_that_holds_an_app_does_not_keep_it_alive() -> None:
    apps = []
    for number in range(5):
        interface = FastSessionInterface()
        app = app_with(interface)
        app.secret_key = f"key {number}"
        interface.digest_method = lambda data=b"", app=app: hashlib.sha1(data)
        assert t.cast(t.Any, interface).get_signing_serializer(app).dumps({})
        apps.append(weakref.ref(app))
    del app, interface
    gc.collect()
    assert [app() for app in apps] == [None] * 5
