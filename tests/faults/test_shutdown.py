"""Interpreters that end, or never begin, while sessions are being opened and saved."""

from __future__ import annotations

import pytest

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface

from .support import Ending
from .support import run_script
from .support import scaled

# What a session holds decides on whose code runs when the interpreter goes away: native code alone, or code that it
# called, in which a thread may wait for the GIL.
VALUES = {
    "native": "1",
    "declined": "Decimal(1)",
    "user code": "Busy()",
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_an_exit_while_daemon_threads_serve(interface_class: type[Interface], value: str) -> None:
    # As the development server has them, whose threads are all daemons.
    script = """
        import threading
        import time
        from decimal import Decimal

        class Busy:
            def __html__(self):
                return str(sum(range(1000)))

        def serve():
            with app.app_context():
                while True:
                    session = open_by(app, cookie)
                    session["value"] = eval(sys.argv[2])
                    save_by(app, session)
                    served.set()

        app = app_with(interface_class)
        with app.app_context():
            cookie = token_in(save_by(app, written(app, user="ada")))
        served = threading.Event()
        sys.setswitchinterval(1e-4)
        for _ in range(4):
            threading.Thread(target=serve, daemon=True).start()
        served.wait()
        time.sleep(0.05)
        print("leaving")
    """
    endings = {run_script(interface_class, script, value) for _ in range(scaled(2, 50))}
    assert endings == {Ending("exit 0", "leaving\n")}


def test_an_exit_waits_for_other_threads(interface_class: type[Interface]) -> None:
    script = """
        import threading
        import time

        def serve():
            time.sleep(0.1)  # By then the main thread has come to its end.
            with app.app_context():
                for number in range(200):
                    token = token_in(save_by(app, written(app, number=number)))
                    assert open_by(app, token)["number"] == number
            os.write(1, b"served\\n")

        app = app_with(interface_class)
        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        print("leaving", flush=True)
    """
    assert run_script(interface_class, script) == Ending("exit 0", "leaving\n" + 4 * "served\n")


def test_sessions_while_the_interpreter_is_taken_apart(interface_class: type[Interface]) -> None:
    script = """
        import atexit
        import gc

        class Signing:
            def __init__(self, serializer):
                self.itself = self
                self.serializer = serializer

            def __del__(self, write=os.write):
                # Modules may be gone by now, and stock fails where it needs one; the process is to live on.
                try:
                    self.serializer.loads(self.serializer.dumps({"bye": [1, (2,)]}))
                except Exception:
                    pass
                write(1, b"finalized\\n")

        app = app_with(interface_class)
        serializer = app.session_interface.get_signing_serializer(app)
        kept = Signing(serializer)
        sys.modules["kept"] = Signing(serializer)
        atexit.register(lambda: print("at exit", serializer.loads(serializer.dumps({"n": 1})), flush=True))
    """
    assert run_script(interface_class, script) == Ending("exit 0", "at exit {'n': 1}\nfinalized\nfinalized\n")


def test_another_interpreter_is_refused_and_does_no_harm() -> None:
    # Not while other threads run: in CPython 3.11 a second interpreter then hangs, whatever it imports.
    script = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        REFUSED = '''if True:
            try:
                import flask_fastsession
            except ImportError:
                pass
            else:
                raise SystemExit("imported twice in one process")
        '''
        app = app_with(interface_class)
        for number in range(3):
            interpreter = interpreters.create()
            assert interpreters.run_string(interpreter, REFUSED) is None
            with app.app_context():
                token = token_in(save_by(app, written(app, number=number)))
                interpreters.destroy(interpreter)
                print(dict(open_by(app, token)))
    """
    printed = "".join(f"{{'number': {number}}}\n" for number in range(3))
    assert run_script(FastSessionInterface, script) == Ending("exit 0", printed)
