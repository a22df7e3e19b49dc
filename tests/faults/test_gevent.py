"""Greenlets that take turns in one thread, also in the midst of a session that is being opened or saved."""

from __future__ import annotations

from tests.contract.parity import Interface
from tests.patience import HANGS_AFTER

from .support import Ending
from .support import run_script
from .support import scaled

SCRIPT = """
    from gevent import monkey
    monkey.patch_all()
    import gevent
    from tests.faults.callbacks import PLACES

    def visit(number, place):
        # An app of its own, for its callback, and the interface of all.
        app = app_with(interface_class, SECRET_KEY=f"key {number % 5}")
        app.session_interface = interfaces.setdefault(place, app.session_interface)
        user = f"user {number}"
        with app.app_context():
            for visits in range(int(sys.argv[2])):
                session = written(app, user=user, visits=visits, value=values[place], _permanent=True)
                gevent.sleep(0)
                token = token_in(save_by(app, session))
                gevent.sleep(0)
                session = open_by(app, token)
                assert (session["user"], session["visits"]) == (user, visits), (session, user)
        done.append(number)

    interfaces, values, done = {}, {}, []
    for place in PLACES:
        done.clear()
        app = app_with(interface_class)
        interfaces[place] = app.session_interface
        # Each time the code of the app is called, in the middle of it, another greenlet has its turn.
        with place(app, lambda: gevent.sleep(0)) as values[place]:
            gevent.joinall([gevent.spawn(visit, number, place) for number in range(20)], raise_error=True)
        assert sorted(done) == list(range(20))

    def hurry():
        try:
            with gevent.Timeout(0.002):
                while True:
                    with app.app_context():
                        open_by(app, token_in(save_by(app, written(app, value=values[PLACES[0]]))))
        except gevent.Timeout:
            timeouts.append(1)

    timeouts = []
    with PLACES[0](app, lambda: gevent.sleep(0)) as values[PLACES[0]]:
        gevent.joinall([gevent.spawn(hurry) for _ in range(20)], raise_error=True)
    print(len(timeouts), "timeouts")
"""


def test_greenlets_take_turns_in_the_midst_of_it(interface_class: type[Interface]) -> None:
    ending = run_script(interface_class, SCRIPT, scaled(10, 200), timeout=scaled(HANGS_AFTER, 1800))
    assert ending == Ending("exit 0", "20 timeouts\n")
