"""What becomes of a session when one request is in flight while another changes, moves or ends it."""

from __future__ import annotations

import itertools
import threading
import typing as t
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from flask import Flask
from flask import flash
from flask import get_flashed_messages
from flask import session

from tests.contract.parity import process_response

from . import peer
from .conftest import MakeApp
from .servers import Server

Act = Callable[[Flask], object]

BEGIN = {"user": "ann", "cart": ["book"]}


def request(app: Flask, cookie: str | None, act: Act, meanwhile: Callable[[], object] = lambda: None) -> str | None:
    """Handle a request that has looked at its session when something else happens, and then acts.

    Return the cookie that a browser has afterwards.
    """
    headers = {} if cookie is None else {"Cookie": f"session={cookie}"}
    with app.test_request_context(headers=headers):
        session.get("user")
        meanwhile()
        act(app)
        header = process_response(app, app.response_class()).headers.get("Set-Cookie")
    if header is None:
        return cookie
    return header.partition("=")[2].partition(";")[0] or None


def found(app: Flask, cookie: str | None) -> dict[str, t.Any]:
    """What the application finds in the session of a cookie."""
    return {key: value for key, value in peer.session_of(app, cookie or "").items() if key != "_permanent"}


def begun(app: Flask) -> str:
    cookie = request(app, None, lambda app: session.update(BEGIN))
    assert cookie is not None
    return cookie


# --- What a request may do ------------------------------------------------------------------------------------------


def reads(app: Flask) -> None:
    assert session["user"] == "ann"


def writes(app: Flask) -> None:
    session["in flight"] = True


def writes_another(app: Flask) -> None:
    session["meanwhile"] = True


def changes_the_user(app: Flask) -> None:
    session["user"] = "ann, seen just now"


def changes_a_list_in_place(app: Flask) -> None:
    session["cart"].append("pen")


def flashes(app: Flask) -> None:
    flash("in flight")


def flashes_another(app: Flask) -> None:
    flash("meanwhile")


def logs_out(app: Flask) -> None:
    session.clear()


def logs_out_and_says_so(app: Flask) -> None:
    session.clear()
    flash("good bye")


def regenerates(app: Flask) -> None:
    t.cast(t.Any, app.session_interface).regenerate(session)


def regenerates_and_writes(app: Flask) -> None:
    regenerates(app)
    writes(app)


IN_FLIGHT = [
    reads,
    writes,
    changes_the_user,
    changes_a_list_in_place,
    flashes,
    regenerates,
    regenerates_and_writes,
    logs_out,
    logs_out_and_says_so,
]


@dataclass
class Race:
    """One session, one request that was in flight, and another that came and went meanwhile."""

    app: Flask
    meanwhile: Callable[[str], str | None]
    in_flight: Act

    def __post_init__(self) -> None:
        self.old = begun(self.app)

        def other() -> None:
            self.cookie_of_meanwhile = self.meanwhile(self.old)

        self.cookie_of_in_flight = request(self.app, self.old, self.in_flight, other)

    def everything(self) -> Iterator[dict[str, t.Any]]:
        """What is to be found by any cookie that anybody has seen."""
        for cookie in {self.old, self.cookie_of_meanwhile, self.cookie_of_in_flight}:
            yield found(self.app, cookie)


def by_request(act: Act) -> Callable[[Flask], Callable[[str], str | None]]:
    return lambda app: lambda cookie: request(app, cookie, act)


def by_revoking(app: Flask) -> Callable[[str], str | None]:
    interface = t.cast(t.Any, app.session_interface)

    def revoke(cookie: str) -> None:
        if hasattr(interface, "revoke"):
            # In a thread of its own, as in another process: not in the context of the request that is in flight.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(interface.revoke, cookie).result()
        else:
            interface._delete_session(interface._get_store_id(cookie))

    return revoke


# --- What must not come of it ---------------------------------------------------------------------------------------


def ended_stays_ended(race: Race) -> None:
    for data in race.everything():
        assert not data.keys() & {"user", "cart", "in flight"}


def old_id_is_void(race: Race) -> None:
    assert found(race.app, race.old) == {}


def new_id_is_kept(race: Race) -> None:
    old_id_is_void(race)
    assert found(race.app, race.cookie_of_meanwhile) == BEGIN
    # A browser that is told last by the request that was in flight is not told what was given up, nor the new id.
    assert race.cookie_of_in_flight in (race.old, None) or race.in_flight is logs_out_and_says_so
    assert found(race.app, race.cookie_of_in_flight).keys() <= {"_flashes"}


def writes_are_kept(race: Race) -> None:
    data = found(race.app, race.cookie_of_in_flight)
    assert data["user"] == "ann"
    assert data.get("meanwhile") is True
    assert ("in flight" in data) == (race.in_flight in (writes, regenerates_and_writes))
    if race.in_flight in (regenerates, regenerates_and_writes):
        assert race.cookie_of_in_flight != race.old
        old_id_is_void(race)


def messages_of(app: Flask, cookie: str | None) -> list[str]:
    messages: list[str] = []
    request(app, cookie, lambda app: messages.extend(t.cast("list[str]", get_flashed_messages())))
    return messages


ENDINGS = {
    "logout": by_request(logs_out),
    "logout with a message": by_request(logs_out_and_says_so),
    "revocation": by_revoking,
}


@pytest.fixture(params=ENDINGS)
def ending(request: pytest.FixtureRequest) -> Callable[[Flask], Callable[[str], str | None]]:
    return ENDINGS[request.param]


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_a_session_that_was_ended_meanwhile_stays_ended(
    app: Flask, ending: Callable[[Flask], Callable[[str], str | None]], in_flight: Act
) -> None:
    ended_stays_ended(Race(app, ending(app), in_flight))


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_an_id_that_was_given_up_meanwhile_is_void(app: Flask, in_flight: Act) -> None:
    new_id_is_kept(Race(app, by_request(regenerates)(app), in_flight))


@pytest.mark.parametrize("in_flight", [reads, writes, regenerates, regenerates_and_writes])
def test_what_was_written_meanwhile_is_kept(app: Flask, in_flight: Act) -> None:
    writes_are_kept(Race(app, by_request(writes_another)(app), in_flight))


@pytest.mark.parametrize("in_flight", [logs_out, logs_out_and_says_so])
@pytest.mark.parametrize("meanwhile", [writes_another, flashes_another, changes_the_user, changes_a_list_in_place])
def test_who_logs_out_is_out_whatever_was_written_meanwhile(app: Flask, meanwhile: Act, in_flight: Act) -> None:
    race = Race(app, by_request(meanwhile)(app), in_flight)
    ended_stays_ended(race)
    assert "meanwhile" not in found(app, race.cookie_of_in_flight)


def test_messages_of_both_survive(app: Flask) -> None:
    race = Race(app, by_request(flashes_another)(app), flashes)
    assert sorted(messages_of(app, race.cookie_of_in_flight)) == ["in flight", "meanwhile"]


def test_messages_of_both_survive_where_there_were_some(app: Flask) -> None:
    cookie = begun(app)
    request(app, cookie, lambda app: flash("before"))
    request(app, cookie, flashes, lambda: request(app, cookie, flashes_another))
    assert messages_of(app, cookie) == ["before", "meanwhile", "in flight"]


def test_a_message_is_not_lost_where_others_are_shown_meanwhile(app: Flask) -> None:
    cookie = begun(app)
    request(app, cookie, lambda app: flash("before"))
    shown: list[str] = []

    def shows(app: Flask) -> None:
        shown.extend(t.cast("list[str]", get_flashed_messages()))

    request(app, cookie, shows, lambda: request(app, cookie, flashes_another))
    assert shown + messages_of(app, cookie) == ["before", "meanwhile"]


def test_a_message_is_not_shown_twice(app: Flask) -> None:
    cookie = begun(app)
    request(app, cookie, lambda app: flash("before"))
    shown: list[str] = []
    request(app, cookie, flashes, lambda: shown.extend(messages_of(app, cookie)))
    assert shown + messages_of(app, cookie) == ["before", "in flight"]


def test_one_of_two_that_regenerate_wins(app: Flask) -> None:
    race = Race(app, by_request(regenerates_and_writes)(app), regenerates)
    assert race.cookie_of_in_flight == race.old
    old_id_is_void(race)
    assert found(app, race.cookie_of_meanwhile) == {**BEGIN, "in flight": True}


def test_the_same_key_is_whose_request_ends_last(app: Flask) -> None:
    race = Race(app, by_request(lambda app: session.update(user="meanwhile"))(app), changes_the_user)
    assert found(app, race.cookie_of_in_flight)["user"] == "ann, seen just now"


def test_a_key_that_was_removed_meanwhile_stays_removed(app: Flask) -> None:
    race = Race(app, by_request(lambda app: session.pop("user"))(app), writes)
    assert found(app, race.cookie_of_in_flight) == {"cart": ["book"], "in flight": True}


# --- The same done to Flask-Session ---------------------------------------------------------------------------------


@pytest.fixture
def peers_app(redis_process: Server) -> Iterator[Flask]:
    with peer.client_of("redis", redis_process) as client:
        yield peer.peer_app("redis", client)


#: Scenarios, and the promise that Flask-Session breaks there. Were it kept, the tests above would show nothing.
HARMS = {
    **{f"logout, {act.__name__}": (by_request(logs_out), act, ended_stays_ended) for act in (reads, writes, flashes)},
    **{f"revoked, {act.__name__}": (by_revoking, act, ended_stays_ended) for act in (reads, writes, regenerates)},
    "logout with a message, changes_the_user": (
        by_request(logs_out_and_says_so),
        changes_the_user,
        ended_stays_ended,
    ),
    **{f"moved, {act.__name__}": (by_request(regenerates), act, old_id_is_void) for act in (reads, writes, flashes)},
    **{
        f"written, {act.__name__}": (by_request(writes_another), act, writes_are_kept)
        for act in (reads, writes, regenerates)
    },
}


@pytest.mark.parametrize("scenario", HARMS)
def test_flask_session_does_the_harm(peers_app: Flask, scenario: str) -> None:
    meanwhile, in_flight, promise = HARMS[scenario]
    race = Race(peers_app, meanwhile(peers_app), in_flight)
    with pytest.raises(AssertionError):
        promise(race)


def test_flask_session_loses_a_message(peers_app: Flask) -> None:
    race = Race(peers_app, by_request(flashes_another)(peers_app), flashes)
    assert messages_of(peers_app, race.cookie_of_in_flight) == ["in flight"]


# --- Threads --------------------------------------------------------------------------------------------------------

THREADS = 8
WRITES = 25


def test_parallel_writes_to_different_keys_are_all_kept(make_app: MakeApp) -> None:
    # As many processes would: each with connections of its own, where a client is not handed in.
    apps = [make_app(), make_app()]
    cookie = begun(apps[0])
    barrier = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        barrier.wait()
        for number in range(WRITES):
            app = apps[thread % len(apps)]
            assert request(app, cookie, lambda app, key=f"{thread}-{number}": session.update({key: 1})) == cookie

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    written = {f"{thread}-{number}" for thread, number in itertools.product(range(THREADS), range(WRITES))}
    assert found(apps[1], cookie).keys() == {*BEGIN, *written}
    assert len(written) == 200


def test_a_session_that_ends_amid_parallel_writes_stays_ended(app: Flask) -> None:
    for _ in range(5):
        cookie = begun(app)
        barrier = threading.Barrier(THREADS)

        def work(thread: int, cookie: str = cookie, barrier: threading.Barrier = barrier) -> set[str | None]:
            barrier.wait()
            if thread == 0:
                return {request(app, cookie, logs_out)}
            act = regenerates_and_writes if thread == 1 else writes
            return {request(app, cookie, act) for _ in range(5)}

        with ThreadPoolExecutor(THREADS) as pool:
            cookies = set().union(*pool.map(work, range(THREADS)))
        assert found(app, cookie) == {}
        # Who regenerated first may have it still; what others wrote after the end is in sessions of their own.
        assert len([each for each in cookies if "user" in found(app, each)]) <= 1
