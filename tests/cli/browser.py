"""A headless Chromium, and the login application for it to look at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver import ChromeOptions
from selenium.webdriver import ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import url_to_be
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).parents[2]


class BrowserMissing(Exception):
    """Chromium or its driver is not installed."""


@contextmanager
def browser(width: int = 900, height: int = 1200) -> Iterator[Chrome]:
    paths = {program: shutil.which(program) for program in ("chromium", "chromedriver")}
    if None in paths.values():
        raise BrowserMissing(
            "chromium or chromedriver is not installed: run scripts/chromium.sh, which does it with apt-get"
        )
    options = ChromeOptions()
    options.binary_location = str(paths["chromium"])
    # Containers have neither user namespaces nor much shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(paths["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def login_application() -> Iterator[str]:
    """Serve it, and yield its URL."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    environ = os.environ | {"PYTHONPATH": path, "FLASK_SECRET_KEY": "made up for a test"}
    command = [sys.executable, "-m", "examples.serve", "--port", "0"]
    with subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            server.terminate()


def log_in(driver: Chrome, url: str) -> None:
    driver.get(f"{url}/login")
    driver.find_element(By.NAME, "user").send_keys("ada")
    driver.find_element(By.NAME, "password").send_keys("lovelace")
    driver.find_element(By.NAME, "remember").click()
    driver.find_element(By.CSS_SELECTOR, "button").click()
    WebDriverWait(driver, 10).until(url_to_be(f"{url}/"))
