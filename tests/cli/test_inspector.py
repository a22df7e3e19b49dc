"""The inspector: the page, as the app answers it and as a browser shows it, and the panel of Flask-DebugToolbar."""

from __future__ import annotations

import json
import re
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
import time_machine
from flask_debugtoolbar import DebugToolbarExtension
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from benches import bench_request
from benches import timing as bench_timing
from flask_fastsession import FastSessionInterface
from flask_fastsession import Revocations
from flask_fastsession import ServerSession
from flask_fastsession.cli.timing import WARM_UP_ROUNDS
from flask_fastsession.cli.timing import Timing
from flask_fastsession.inspector import costs
from flask_fastsession.inspector import inspector
from flask_fastsession.inspector import page

from .browser import browser
from .browser import log_in
from .browser import login_application

MARKUP = "<script>alert(1)</script>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def make_app(interface: flask.sessions.SessionInterface | None = None, **config: t.Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    app.debug = True
    app.config.update(SECRET_KEY="a key for tests, which is long enough")
    app.config.update(config)
    app.session_interface = interface or FastSessionInterface()
    app.register_blueprint(inspector)

    @app.post("/session")
    def change() -> str:
        flask.session.update(flask.request.get_json())
        return "<html><body>changed</body></html>"

    @app.post("/clear")
    def clear() -> str:
        flask.session.clear()
        return ""

    return app


def client_with(app: flask.Flask, **data: t.Any) -> flask.testing.FlaskClient:
    client = app.test_client()
    client.post("/session", json=data)
    return client


# --- The page, as it is answered ------------------------------------------------------------------------------------


def test_it_is_refused_without_debug() -> None:
    app = make_app()
    client = client_with(app, user="ada")
    assert client.get("/inspector").status_code == 200
    app.debug = False
    for url in ("/inspector", "/inspector?measure"):
        assert client.get(url).status_code == 404


def test_it_is_mounted_where_the_app_says() -> None:
    app = flask.Flask(__name__)
    app.debug, app.secret_key = True, "key"
    app.register_blueprint(inspector, url_prefix="/debug/session")
    assert "The session is empty." in app.test_client().get("/debug/session").text


def test_a_session_and_its_cookie() -> None:
    app = make_app(SECRET_KEY_FALLBACKS=["an old key"])
    client = client_with(app, user="ada", text="words " * 50)
    cookie = client.get_cookie("session")
    assert cookie is not None
    text = client.get("/inspector").text
    assert '<th scope="row">user</th><td>str</td><td><code>&#39;ada&#39;</code></td>' in text
    for part in cookie.value.rsplit(".", 2):
        assert f">{part}</span>" in text
    assert f"<dd>{len(f'session={cookie.value}')} of the 4093 bytes" in text
    assert "compressed by zlib" in text
    assert "by SECRET_KEY with sha1" in text


def test_no_cookie_and_one_that_is_refused() -> None:
    client = make_app().test_client()
    text = client.get("/inspector").text
    assert "The session is empty." in text
    assert "Your browser sent none." in text
    client.set_cookie("session", "x.y.z")
    text = client.get("/inspector").text
    assert "the cookie was refused" in text
    assert "x.y.z" not in text


FORGED = flask.Flask("forger")
FORGED.secret_key = "another key for tests, which is long enough"


def forged(**data: t.Any) -> str:
    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(FORGED)
    assert serializer is not None
    return serializer.dumps(data)


@pytest.mark.parametrize("options", [{}, {"encrypt": True}, {"accept_encrypted": True}], ids=repr)
@pytest.mark.parametrize("cookie", ["forged", "hello", "hello.world", "a" * 43, '"quoted"'])
def test_a_refused_cookie_is_shown_as_refused_whatever_the_app_stores(options: dict[str, t.Any], cookie: str) -> None:
    app = make_app(FastSessionInterface(**options))

    @app.before_request
    def keep() -> None:
        flask.session.permanent = True

    client = app.test_client()
    for sent in (None, forged(user="mallory") if cookie == "forged" else cookie):
        if sent is not None:
            client.set_cookie("session", sent)
        text = client.get("/inspector?measure").text
        assert "_permanent" in text
        assert ("opened no session" if sent else "Your browser sent none.") in text
        assert ("Flask does not encrypt" if "encrypt" in options else "no cookie that opens one") in text
        client.delete_cookie("session")
        assert "mallory" not in text and "encrypted" not in text.partition("<h2>Cost</h2>")[0]


@pytest.mark.parametrize("option", ["revocations", "absolute_lifetime", "lifetime"])
def test_a_genuine_cookie_that_opens_no_session(tmp_path: Path, option: str) -> None:
    options: dict[str, t.Any] = {
        "revocations": Revocations(tmp_path / "revoked.sqlite"),
        "absolute_lifetime": 60,
        "lifetime": lambda session: 60,
    }
    app = make_app(FastSessionInterface(**{option: options[option]}))

    @app.before_request
    def keep() -> None:
        flask.session.permanent = True

    with time_machine.travel(time.time(), tick=False) as travelling:
        client = client_with(app, user="ada")
        assert "by SECRET_KEY with sha1" in client.get("/inspector").text
        cookie = client.get_cookie("session")
        assert cookie is not None
        if option == "revocations":
            client.post("/clear")
            client.set_cookie("session", cookie.value)
        else:
            travelling.shift(100)
        text = client.get("/inspector?measure").text
    assert "opened no session" in text
    assert "ada" not in text
    assert "no cookie that opens one" in text


def test_of_several_cookies_the_one_that_opens_the_session_is_shown() -> None:
    cookie = client_with(make_app(), user="ada").get_cookie("session")
    assert cookie is not None
    headers = {"Cookie": f"session=bad; session={forged(user='mallory')}; session={cookie.value}"}
    text = (
        make_app(FastSessionInterface(accept_any=True))
        .test_client(use_cookies=False)
        .get("/inspector", headers=headers)
        .text
    )
    assert "by SECRET_KEY with sha1" in text
    assert "mallory" not in text
    assert "opened no session" in make_app().test_client(use_cookies=False).get("/inspector", headers=headers).text


def test_an_id_that_names_no_session(tmp_path: Path) -> None:
    app = make_app(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"))
    ServerSession(app)
    client = app.test_client()
    client.set_cookie("session", "0" * 43)
    assert "opened no session" in client.get("/inspector").text


def test_a_cookie_that_the_app_reads_itself() -> None:
    class Plain(flask.sessions.SessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> flask.sessions.SecureCookieSession:
            return flask.sessions.SecureCookieSession({"user": request.cookies.get("session")})

        def save_session(self, app: flask.Flask, session: t.Any, response: flask.Response) -> None:
            pass

    client = make_app(Plain()).test_client()
    client.set_cookie("session", "ada")
    text = client.get("/inspector?measure").text
    assert "&#39;ada&#39;" in text
    assert "with code of its own" in text
    assert "Only sessions in cookies" in text


@pytest.mark.parametrize("data", [{MARKUP: 1}, {"key": MARKUP}, {"key": {MARKUP: [MARKUP]}}])
def test_what_is_in_a_session_is_text_to_the_page(data: dict[str, t.Any]) -> None:
    app = make_app()
    # The page does not depend on how the app's own templates are read.
    app.jinja_env.autoescape = False
    app.jinja_env.variable_start_string = "<<"
    text = client_with(app, **data).get("/inspector").text
    assert ESCAPED in text
    assert MARKUP not in text


def test_what_a_browser_is_told() -> None:
    response = client_with(make_app(), user="ada").get("/inspector?measure")
    assert response.headers["Cache-Control"] == "no-store"
    policy = response.headers["Content-Security-Policy"]
    (nonce,) = re.findall(r"style-src 'nonce-([\w-]+)'", policy)
    assert "default-src 'none'" in policy
    assert f'<style nonce="{nonce}">' in response.text
    assert set(re.findall(r'(?:href|src)="([^"]*)"', response.text)) == {"data:,", "/", "?measure"}
    assert not re.search(r"https?:|//\w|url\(|@import|<script", response.text)


def test_a_session_on_the_server(tmp_path: Path) -> None:
    app = make_app(SESSION_SQLITE_PATH=str(tmp_path / "sessions.sqlite"))
    ServerSession(app)
    client = client_with(app, user="ada")
    cookie = client.get_cookie("session")
    assert cookie is not None
    text = client.get("/inspector?measure").text
    assert "&#39;ada&#39;" in text
    assert "The session is on the server." in text
    assert cookie.value not in text
    assert "Only sessions in cookies" in text


def test_an_encrypted_cookie() -> None:
    client = client_with(make_app(FastSessionInterface(encrypt=True)), user="ada")
    text = client.get("/inspector?measure").text
    assert "&#39;ada&#39;" in text
    assert "It is encrypted" in text
    assert "Flask does not encrypt cookies" in text


def test_values_that_cannot_be_shown() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise LookupError

    facts = page.Facts({"a": Silent(), "b": "x" * 10_000, **{str(n): n for n in range(600)}}, "none", 0)
    assert facts.rows[0].value == "its repr() raises LookupError"
    assert len(facts.rows[1].value) < 2100
    assert (len(facts.rows), facts.more_rows) == (page.MOST_ROWS, 102)
    assert "And 102 more keys." in page.rendered("panel.html", facts=facts, page=None)


# --- What it measures -----------------------------------------------------------------------------------------------


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "ROUNDS", 3)
    monkeypatch.setattr(costs, "REQUESTS", 2)


class Overriding(FastSessionInterface):
    def get_cookie_path(self, app: flask.Flask) -> str:
        return "/shop"


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize(
    "interface",
    [FastSessionInterface(), flask.sessions.SecureCookieSessionInterface(), Overriding()],
    ids=["ours", "stock", "overridden"],
)
def test_what_is_measured(interface: flask.sessions.SessionInterface) -> None:
    app = make_app(interface, SERVER_NAME="shop.example", SESSION_COOKIE_NAME="shop")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    client = app.test_client()
    client.post("/session", json={"user": "ada"}, base_url="http://shop.example")
    cookie = client.get_cookie("shop", domain="shop.example", path=interface.get_cookie_path(app))
    assert cookie is not None
    with app.test_request_context(base_url="http://shop.example", headers={"Cookie": f"shop={cookie.value}"}):
        found = costs.measured(app, flask.request, dict(flask.session))
    assert [cost.name for cost in found.costs] == list(costs.VIEWS.values())
    assert found.rounds == 3


def test_it_claims_no_more_than_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same times of whole requests, both make the same costs and the same ratio."""
    seconds = {"stock": [110.0, 120.0, 130.0], "ours": [52.0, 52.5, 53.5], "free": [50.0, 50.0, 51.0]}
    monkeypatch.setattr(costs, "check", lambda sides, environ: None)
    monkeypatch.setattr(
        costs, "take_turns", lambda jobs, calls, rounds: {name: Timing(values) for name, values in seconds.items()}
    )
    cost = costs.cost_of("read", dict.fromkeys(seconds, make_app()), {})
    measured = bench_request.Measurement(
        {
            {"free": "null"}.get(name, name): bench_timing.Timing(values, 1)
            for name, values in {**seconds, "tuned": seconds["stock"]}.items()
        },
        0.0,
    )
    benchmark = measured.ratios()["stock/ours"]
    assert (cost.ratio.value, cost.ratio.spread) == (benchmark.value, benchmark.spread)
    assert cost.stock.seconds == measured.cost("stock").seconds


def test_requests_are_those_of_the_benchmark() -> None:
    """Views that do no more than use the session, answered natively as a whole."""
    app = make_app()
    client = client_with(app, user="ada")
    cookie = client.get_cookie("session")
    assert cookie is not None
    interface = FastSessionInterface()
    bare = costs.bare_app(app, interface)
    with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
        for path in costs.VIEWS:
            environ = costs.environ_like(flask.request, path)
            answer = costs.answer(bare, environ)
            assert (answer.status, answer.body) == ("200 OK", b"")
            assert any(name == "Set-Cookie" for name, _ in answer.headers) is (path == "/write")
    stats = interface.stats()
    assert (stats["open"], stats["save"]["native"]) == ({"native": 2, "declined": {}}, 2)
    assert stats["loads"]["native"] == 2


@pytest.mark.usefixtures("few_rounds")
def test_what_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Different(FastSessionInterface):
        def get_cookie_path(self, app: flask.Flask) -> str:
            return f"/{id(self)}"

    assert "There is no session to measure:" in make_app().test_client().get("/inspector?measure").text
    text = client_with(make_app(Different()), user="ada").get("/inspector?measure").text
    assert "answer differently" in text or "There is no session" in text

    client = client_with(make_app(), user="ada")
    with costs._lock:
        assert "Another measurement is running" in client.get("/inspector?measure").text
    assert "median of" in client.get("/inspector?measure").text
    monkeypatch.setattr(costs, "check", lambda sides, environ: 1 / 0)
    assert "raises ZeroDivisionError" in client.get("/inspector?measure").text
    assert not costs._lock.locked()


def test_a_busy_machine_has_fewer_rounds() -> None:
    assert len(list(costs.rounds_within(-1.0))) == WARM_UP_ROUNDS + costs.FEWEST_ROUNDS
    assert len(list(costs.rounds_within(1e9))) == WARM_UP_ROUNDS + costs.ROUNDS


@pytest.mark.parametrize(("spread", "is_conclusive"), [(0.5, True), (8.0, False)])
def test_a_ratio_is_shown_only_if_it_is_conclusive(spread: float, is_conclusive: bool) -> None:
    cost = costs.Cost("A request", Timing([10.0 - spread, 10.0, 10.0 + spread]), Timing([1.0, 1.0, 1.0]))
    assert cost.ratio.is_conclusive is is_conclusive
    facts = page.Facts({}, "none", 0)
    text = page.rendered("page.html", facts=facts, costs=costs.Costs([cost]), nonce="", home="/")
    assert ("10.0x" in text) is is_conclusive
    assert ("spread too far" in text) is not is_conclusive


# --- The panel of Flask-DebugToolbar --------------------------------------------------------------------------------


@pytest.mark.parametrize("has_page", [True, False])
def test_a_panel_of_flask_debugtoolbar(has_page: bool) -> None:
    app = make_app(DEBUG_TB_PANELS=["flask_fastsession.inspector.toolbar.SessionPanel"])
    if not has_page:
        app.view_functions.pop("inspector.show")
    DebugToolbarExtension(app)
    client = app.test_client()
    text = client.post("/session", json={"user": MARKUP}).text
    # The session as the view has left it, before there is a cookie.
    assert 'id="flDebugSessionPanel"' in text
    assert ESCAPED in text
    assert MARKUP not in text
    assert "no cookie" in text
    assert ('<a href="/inspector">' in text) is has_page
    text = client.post("/session", json={"user": "ada"}).text
    assert "by SECRET_KEY with sha1" in text
    assert re.search(r"<small>\d+ bytes</small>", text)
    if has_page:
        response = client.get("/inspector")
        assert 'id="flDebugSessionPanel"' in response.text
        assert "Content-Security-Policy" not in response.headers


# --- The page, as a browser shows it --------------------------------------------------------------------------------

SCREENS = {"light": (900, "light"), "dark": (900, "dark"), "narrow": (360, "light"), "narrow and dark": (360, "dark")}

#: The contrast of each text with what is behind it, by https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
CONTRASTS = """
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const channels = text => text.match(/[\\d.]+/g).map(Number);
const background = node => {
  for (; node; node = node.parentElement) {
    const found = channels(getComputedStyle(node).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
};
const texts = [...document.querySelectorAll("body *")].filter(
  node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
return texts.map(node => {
  const [a, b] = [channels(getComputedStyle(node).color), background(node)].map(luminance).sort((x, y) => y - x);
  return [node.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
});
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with login_application() as url:
        yield url


@pytest.fixture(scope="module")
def shared_driver() -> Iterator[Chrome]:
    with browser() as driver:
        yield driver


@pytest.fixture
def driver(shared_driver: Chrome) -> Iterator[Chrome]:
    yield shared_driver
    assert [entry for entry in t.cast(t.Any, shared_driver).get_log("browser") if entry["level"] == "SEVERE"] == []
    shared_driver.delete_all_cookies()


def texts(driver: Chrome, selector: str) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, selector)]


def test_the_example_links_to_the_page_and_back(driver: Chrome, url: str) -> None:
    driver.get(url)
    driver.find_element(By.LINK_TEXT, "Inspector").click()
    assert "Your browser sent none." in driver.find_element(By.CSS_SELECTOR, "main").text
    driver.find_element(By.LINK_TEXT, "Back to the app").click()
    assert driver.current_url == f"{url}/"


def test_the_session_and_its_cookie_are_shown(driver: Chrome, url: str) -> None:
    log_in(driver, url)
    # The page renews it.
    cookie = t.cast(dict[str, str], driver.get_cookie("session"))["value"]
    driver.find_element(By.LINK_TEXT, "Inspector").click()
    rows = [row.split(" ", 2) for row in texts(driver, ".session tbody tr")]
    assert {key: kind for key, kind, _ in rows} == {"_permanent": "bool", "since": "datetime", "user": "str"}
    assert ["user", "str", "'ada'"] in rows
    # The cookie in its three parts, and the text in the first of them.
    shown = [texts(driver, f".cookie .{part}")[0] for part in ("payload", "timestamp", "signature")]
    assert ".".join(shown) == cookie
    (text,) = texts(driver, "dd pre")
    assert json.loads(text)["user"] == "ada"


def test_it_measures_where_it_is_asked_to(driver: Chrome, url: str) -> None:
    log_in(driver, url)
    driver.get(f"{url}/inspector")
    assert texts(driver, ".cost") == []
    driver.find_element(By.LINK_TEXT, "Measure").click()
    assert texts(driver, ".cost h3") == list(costs.VIEWS.values())
    assert len(texts(driver, ".cost .figure")) == 4


@pytest.fixture
def measured(driver: Chrome, tmp_path: Path) -> Chrome:
    """The page with times that do not depend on this machine: of one ratio, and of one that says too little."""
    stock, ours = Timing([95e-6, 96e-6, 97e-6]), Timing([9.5e-6, 9.6e-6, 9.7e-6])
    noisy = Timing([5e-6, 10e-6, 15e-6])
    found = costs.Costs([costs.Cost("A request", stock, ours), costs.Cost("Another", stock, noisy)])
    app = make_app()
    client = client_with(app, user="ada", text="words " * 50)
    cookie = client.get_cookie("session")
    assert cookie is not None
    with app.test_request_context(headers={"Cookie": f"session={cookie.value}"}):
        facts = page.facts_of(app, flask.request)
    file = tmp_path / "page.html"
    file.write_text(page.rendered("page.html", facts=facts, costs=found, nonce="", home="/"), encoding="utf-8")
    driver.get(file.as_uri())
    return driver


def test_the_chart_is_drawn_to_scale(measured: Chrome) -> None:
    bars = measured.find_elements(By.CSS_SELECTOR, ".cost rect")
    seconds = [float(bar.get_attribute("data-seconds") or "") for bar in bars]
    widths = [bar.rect["width"] for bar in bars]
    assert seconds == [96e-6, 9.6e-6]
    assert widths[0] == pytest.approx(10 * widths[1], abs=5)
    assert texts(measured, ".cost .figure") == ["96.0 µs ±1.0", "9.6 µs ±0.1", "96.0 µs ±1.0", "10.0 µs ±5.0"]
    assert "10.0x ±0.0" in texts(measured, ".ratio")[0]
    assert "spread too far" in texts(measured, ".ratio")[1]


@pytest.mark.parametrize("screen", SCREENS)
def test_each_screen_can_read_it(measured: Chrome, screen: str) -> None:
    width, scheme = SCREENS[screen]
    metrics = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    measured.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    measured.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        assert measured.execute_script("return innerWidth") == width
        assert measured.execute_script(f"return matchMedia('(prefers-color-scheme: {scheme})').matches")
        contrasts = measured.execute_script(CONTRASTS)
        assert len(contrasts) > 20
        assert [text for text, contrast in contrasts if contrast < 4.5] == []
        # Nothing is wider than the screen.
        assert measured.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        measured.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        measured.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
