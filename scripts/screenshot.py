"""Draws docs/inspector.png: the inspector page of the login application, after somebody has logged in.

``python -m scripts.screenshot`` from the root of the project.
"""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver.common.by import By

from tests.cli.browser import browser
from tests.cli.browser import log_in
from tests.cli.browser import login_application

ROOT = Path(__file__).parent.parent


def main() -> None:
    with login_application() as url, browser(width=700) as driver:
        log_in(driver, url)
        driver.get(f"{url}/inspector?measure")
        height = driver.find_element(By.CSS_SELECTOR, "main").rect["height"] + 320
        driver.set_window_size(700, height)
        driver.save_screenshot(str(ROOT / "docs" / "inspector.png"))


if __name__ == "__main__":
    main()
