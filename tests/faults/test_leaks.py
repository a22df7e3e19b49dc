"""Nothing is kept of what was opened, saved, declined, rejected or has failed: counts and memory stay flat."""

from __future__ import annotations

import gc
import re
import sys
import threading
import typing as t
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random

import flask
import itsdangerous
import pytest

from flask_fastsession import FastSessionInterface
from tests.contract.parity import Interface
from tests.contract.parity import encoded
from tests.contract.parity import sealed
from tests.contract.parity import sealed_json
from tests.contract.parity import serializer_of

from .support import app_with
from .support import open_by
from .support import save_by
from .support import scaled
from .support import token_in
from .support import written

OPERATIONS = scaled(4_000, 1_000_000)

#: How often something is done to find out what is left each time, and how many bytes count as none.
MOST_ROUNDS = 6
MOST_BYTES = 1_000_000

NUMBERS = count()


class Failing:
    def __html__(self) -> str:
        raise KeyboardInterrupt


class Subject:
    """An app, and values that live as long as it does, whose references are counted."""

    def __init__(self) -> None:
        self.random = Random(1)
        self.app = app_with(FastSessionInterface)
        self.serializer = serializer_of(self.app)
        self.stock = serializer_of(app_with(Interface))
        self.price = Decimal("9.99")
        self.failing = Failing()
        self.text = "".join(map(str, range(50)))
        self.deep = self.circle()
        self.permanent = self.stock.dumps({"user": "ada", "_permanent": True})
        self.texts = {
            "odd": sealed_json('{"user":"ada","number":NaN}'),
            "bad": sealed_json('{"user":'),
            "tag": sealed_json('{"user":{" u":"no uuid"}}'),
            "stream": sealed(b"." + encoded(b"no stream")),
            "list": sealed_json("[1]"),
        }

    @staticmethod
    def circle() -> list[object]:
        circle: list[object] = []
        circle.append(circle)
        return circle

    def held(self) -> dict[str, object]:
        interface = t.cast(FastSessionInterface, self.app.session_interface)
        return {
            **vars(self),
            "config": self.app.config,
            "key": self.app.config["SECRET_KEY"],
            "interface": interface,
            "session class": interface.session_class,
            "tags": interface.serializer,
            "digest": interface.digest_method,
            "true": True,
            "empty": (),
        }


def new(subject: Subject) -> str:
    """A text that was never there before."""
    return f"{next(NUMBERS)} {subject.random.random()}"


def reads(subject: Subject) -> None:
    assert open_by(subject.app, subject.permanent)


def reads_what_is_new(subject: Subject) -> None:
    token = subject.stock.dumps({new(subject): [new(subject), (1, b"2", new(subject))], "_permanent": True})
    save_by(subject.app, open_by(subject.app, token))


def writes(subject: Subject) -> None:
    token_in(save_by(subject.app, written(subject.app, text=subject.text, name=new(subject))))


def signs(subject: Subject) -> None:
    assert subject.serializer.loads(subject.serializer.dumps([subject.text, new(subject)])), subject


def writes_what_is_declined(subject: Subject) -> None:
    save_by(subject.app, written(subject.app, price=subject.price, name=new(subject)))


def reads_what_is_declined(subject: Subject) -> None:
    open_by(subject.app, subject.texts["odd"])


def empties(subject: Subject) -> None:
    session = open_by(subject.app, subject.permanent)
    session.clear()
    save_by(subject.app, session)


def is_forged(subject: Subject) -> None:
    assert open_by(subject.app, subject.permanent[:-2] + "xx") == {}
    with suppress(itsdangerous.BadSignature):
        subject.serializer.loads(subject.permanent[:-2] + "xx")


def is_expired(subject: Subject) -> None:
    with suppress(itsdangerous.SignatureExpired):
        subject.serializer.loads(subject.permanent, max_age=-1)


def cannot_be_read(subject: Subject) -> None:
    for name in ("bad", "tag", "stream", "list"):
        with suppress(Exception):
            open_by(subject.app, subject.texts[name])
        with suppress(Exception):
            subject.serializer.loads(subject.texts[name])


def cannot_be_written(subject: Subject) -> None:
    with suppress(TypeError):
        save_by(subject.app, written(subject.app, price=subject.price, value=object()))


def is_interrupted(subject: Subject) -> None:
    with suppress(KeyboardInterrupt):
        save_by(subject.app, written(subject.app, price=subject.price, value=subject.failing))


def is_endless(subject: Subject) -> None:
    if subject.random.random() < 0.02:  # It takes a millisecond.
        with suppress(RecursionError):
            save_by(subject.app, written(subject.app, value=subject.deep))


def changes_keys(subject: Subject) -> None:
    app = subject.app
    key = app.config["SECRET_KEY"]
    app.config.update(SECRET_KEY=new(subject), SECRET_KEY_FALLBACKS=[new(subject), key])
    assert open_by(app, subject.permanent)
    app.config.update(SECRET_KEY=key, SECRET_KEY_FALLBACKS=None)


def changes_the_salt(subject: Subject) -> None:
    with suppress(itsdangerous.BadSignature):
        subject.serializer.loads(subject.permanent, salt=new(subject))


def makes_an_interface(subject: Subject) -> None:
    app = flask.Flask.__new__(flask.Flask)
    vars(app).update(vars(subject.app))
    app.session_interface = FastSessionInterface()
    assert open_by(app, subject.permanent)


KINDS = [
    reads,
    reads_what_is_new,
    writes,
    signs,
    writes_what_is_declined,
    reads_what_is_declined,
    empties,
    is_forged,
    is_expired,
    cannot_be_read,
    cannot_be_written,
    is_interrupted,
    is_endless,
    changes_keys,
    changes_the_salt,
    makes_an_interface,
]


def repeat(subject: Subject, kind: Callable[[Subject], None], times: int) -> None:
    with subject.app.app_context():
        for _ in range(times):
            kind(subject)


def census() -> Counter[type]:
    gc.collect()
    return Counter(map(type, gc.get_objects()))


def references(subject: Subject) -> dict[str, int]:
    gc.collect()  # Exceptions and their frames hold on to each other.
    # To the values themselves, and once more by the dict they are in while they are counted.
    return {name: sys.getrefcount(value) for name, value in subject.held().items()}


def resident_bytes() -> int:
    found = re.search(r"^Rss: +(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def kept_each_time(act: Callable[[], object]) -> tuple[dict[type, int], int]:
    """What is left each time that something is done: objects by their types, and bytes.

    What is left once is the interpreter's, the allocator's, or of the tests before.
    """
    objects, sizes = [], []
    before, resident = census(), resident_bytes()
    for _ in range(MOST_ROUNDS):
        act()
        after, resident_after = census(), resident_bytes()
        objects.append(after - before)
        sizes.append(resident_after - resident)
        before, resident = after, resident_after
        more = {cls: min(each[cls] for each in objects) for cls in objects[0]}
        kept = {cls: by for cls, by in more.items() if by > 20}
        if len(sizes) > 1 and not kept and min(sizes) < MOST_BYTES:
            break
    return kept, min(sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_memory_stay_flat(kind: Callable[[Subject], None]) -> None:
    subject = Subject()
    times = OPERATIONS // len(KINDS)
    # Until all that may be kept of a few is full.
    repeat(subject, kind, 300)
    referenced = references(subject)
    kept, size = kept_each_time(lambda: repeat(subject, kind, times))
    grown = {name: after - referenced[name] for name, after in references(subject).items()}
    assert {name: by for name, by in grown.items() if by > 20} == {}
    assert kept == {}
    assert size < MOST_BYTES


def test_threads_leave_nothing_behind() -> None:
    subject = Subject()

    def come_and_go(times: int) -> None:
        for _ in range(times):
            thread = threading.Thread(target=repeat, args=(subject, reads_what_is_new, 40))
            thread.start()
            thread.join()

    come_and_go(20)
    kept, size = kept_each_time(lambda: come_and_go(scaled(25, 2_500)))
    assert kept == {}
    assert size < MOST_BYTES


def test_apps_and_interfaces_are_let_go_of(interface_class: type[Interface]) -> None:
    gone: list[weakref.ref[t.Any]] = []
    for number in range(scaled(50, 2_000)):
        app = app_with(interface_class, SECRET_KEY=f"key {number}")
        with app.app_context():
            assert open_by(app, token_in(save_by(app, written(app, number=number))))
        gone += [weakref.ref(app), weakref.ref(app.session_interface)]
    del app
    gc.collect()
    assert [reference() for reference in gone if reference() is not None] == []


def test_classes_of_apps_are_let_go_of(interface_class: type[Interface]) -> None:
    # Tests make them by the dozen, and a class holds on to all that its methods can see.
    gone: list[weakref.ref[type]] = []
    for number in range(50):

        class App(flask.Flask):
            pass

        app = App(__name__)
        app.secret_key = f"key {number}"
        app.session_interface = interface_class()
        with app.app_context():
            assert open_by(app, token_in(save_by(app, written(app, number=number))))
        gone.append(weakref.ref(App))
    del app, App
    gc.collect()
    assert sum(reference() is not None for reference in gone) == 0
