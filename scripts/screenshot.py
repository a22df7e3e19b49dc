"""Draws docs/inspector.png: the inspector of the login application, after somebody has logged in and measured.

``python -m scripts.screenshot`` from the root of the project, on an idle machine: where the times spread too far for
the page to give ratios, nothing is drawn.
"""

from __future__ import annotations

import sys
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.cli.browser import browser
from tests.cli.browser import log_in
from tests.cli.browser import login_application

ROOT = Path(__file__).parent.parent
ATTEMPTS = 5
WIDTH = 700


def main() -> None:
    with login_application() as url, browser(width=WIDTH) as driver:
        log_in(driver, url)
        for _ in range(ATTEMPTS):
            driver.get(f"{url}/inspector?measure")
            if len(driver.find_elements(By.CSS_SELECTOR, ".cost rect")) == 4:
                break
        else:
            sys.exit(f"The times spread too far, {ATTEMPTS} times: try again when this machine is idle.")
        height = driver.execute_script("return document.body.offsetHeight")
        metrics = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.save_screenshot(str(ROOT / "docs" / "inspector.png"))


if __name__ == "__main__":
    main()
