"""The inspector page of the login application, as a browser shows it."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from .browser import browser
from .browser import log_in
from .browser import login_application


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with login_application() as url:
        yield url


@pytest.fixture
def driver() -> Iterator[Chrome]:
    with browser() as driver:
        yield driver
        assert [entry for entry in t.cast(t.Any, driver).get_log("browser") if entry["level"] == "SEVERE"] == []


def texts(driver: Chrome, selector: str) -> list[str]:
    return [element.text for element in driver.find_elements(By.CSS_SELECTOR, selector)]


def test_a_stranger_has_an_empty_session(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/inspector")
    main = driver.find_element(By.CSS_SELECTOR, "main").text
    assert "It is empty." in main and "Your browser has sent none." in main
    driver.find_element(By.LINK_TEXT, "Log in").click()
    assert driver.current_url == f"{url}/login"


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
    assert "20 bytes, as HMAC with SHA1 makes them" in texts(driver, "dd")


def test_the_chart_is_drawn_to_scale(driver: Chrome, url: str) -> None:
    log_in(driver, url)
    driver.get(f"{url}/inspector")
    bars = driver.find_elements(By.CSS_SELECTOR, ".costs rect")
    microseconds = [float(bar.get_attribute("data-microseconds") or "") for bar in bars]
    widths = [bar.rect["width"] for bar in bars]
    assert len(bars) == 4 and min(microseconds) > 0
    per_microsecond = max(widths) / max(microseconds)
    assert widths == pytest.approx([value * per_microsecond for value in microseconds], abs=1)
    assert texts(driver, ".costs g g text") == [f"{value:.1f} µs" for value in microseconds]


def test_what_is_in_a_session_is_text_to_the_page(driver: Chrome, url: str) -> None:
    driver.get(url)
    driver.add_cookie({"name": "session", "value": "<script>alert(1)</script>.x.y", "path": "/"})
    driver.get(f"{url}/inspector")
    assert texts(driver, "main script") == []
    main = driver.find_element(By.CSS_SELECTOR, "main").text
    assert "It is empty." in main and "Your browser has sent one that is not accepted." in main
