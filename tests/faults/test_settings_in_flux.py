"""Settings that change while they are being looked at, as another thread may change them at any time."""

from __future__ import annotations

import hashlib
import typing as t
from datetime import timedelta

import flask
import pytest

from tests.contract.parity import exchange
from tests.contract.parity import make_app
from tests.contract.parity import outcome_of
from tests.contract.parity import serializer_of
from tests.contract.parity import store


class Once:
    """Runs what it is told to, once."""

    def __init__(self):
        self.work = None

    def __call__(self):
        work, self.work = self.work, None
        if work is not None:
            work()


def test_a_lifetime_that_changed_is_not_kept(parity):
    def scenario(interface_class):
        meanwhile, short, long = Once(), timedelta(days=1), timedelta(days=2)

        def digest_method(data=b""):
            meanwhile()
            return hashlib.sha1(data)

        app = make_app(interface_class(), PERMANENT_SESSION_LIFETIME=short)
        t.cast(t.Any, app.session_interface).digest_method = digest_method
        meanwhile.work = lambda: app.config.update(PERMANENT_SESSION_LIFETIME=long)
        exchange(app, store(n=1))
        app.config["PERMANENT_SESSION_LIFETIME"] = short
        return exchange(app, store(n=1, _permanent=True))

    parity(scenario)


@pytest.mark.parametrize("reading", range(1, 8))
def test_a_key_that_changed_is_not_kept(parity, reading):
    def scenario(interface_class):
        readings = []

        class App(flask.Flask):
            @property
            def json(self):
                readings.append(self)
                if len(readings) == reading:
                    self.secret_key = "the other key"
                return vars(self)["json"]

            @json.setter
            def json(self, provider):
                vars(self)["json"] = provider

        app = make_app(interface_class(), flask_class=App, SECRET_KEY="the key")
        exchange(app, store(n=1))
        readings.extend(t.cast("list[App]", [app] * 8))
        app.secret_key = "the key"
        return exchange(app, store(n=1))

    parity(scenario)


def test_a_salt_that_changed_is_not_overlooked(parity):
    def scenario(interface_class):
        meanwhile = Once()

        def digest_method(data=b""):
            meanwhile()
            return hashlib.sha1(data)

        interface = interface_class()
        interface.digest_method = digest_method
        serializer = serializer_of(make_app(interface))
        meanwhile.work = lambda: setattr(serializer, "salt", b"another")
        outcome_of(serializer.dumps, {})
        return serializer.dumps({}), serializer.dumps({})

    parity(scenario)
