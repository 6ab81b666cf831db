"""Somebody who uses the app of ``examples/app`` in Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1000"),
)
PATIENCE = 120  # seconds, of a machine that does other things too


class Visitor:
    """Somebody with a browser of his own."""

    def __init__(self, address: str, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for switch in (*SWITCHES, f"--user-data-dir={folder}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.browser: WebDriver = webdriver.Chrome(options, webdriver.ChromeService(str(CHROMEDRIVER)))
        self.browser.get(address)
        self.find("#ask-button")

    def find(self, selector: str) -> Any:
        """The first element that is shown."""

        def shown(browser: WebDriver) -> Any:
            found = browser.find_elements(By.CSS_SELECTOR, selector)
            return next((each for each in found if each.is_displayed()), None)

        return self.wait(shown)

    def wait(self, condition: Callable[[WebDriver], Any]) -> Any:
        redrawn = [StaleElementReferenceException]
        return WebDriverWait(self.browser, PATIENCE, ignored_exceptions=redrawn).until(condition)

    def type(self, name: str, text: str) -> None:
        """Fill in a text."""
        box = self.find(f"#{name} textarea, #{name} input")
        box.clear()
        box.send_keys(text)

    def upload(self, video: Path, tab: str = "ask") -> None:
        """Give a file, and wait until the server has it."""
        self.browser.find_element(By.CSS_SELECTOR, f"#{tab}-video input[type=file]").send_keys(str(video))
        self.find(f"#{tab}-video button[aria-label=Clear]")

    def open(self, tab: str) -> None:
        """Go to a tab."""
        self.wait(
            lambda browser: next(
                (each for each in browser.find_elements(By.CSS_SELECTOR, "button[role=tab]") if each.text == tab), None
            )
        ).click()

    def overhang(self, width: int) -> int:
        """How many pixels the page is wider than a screen of a width; a scroll bar takes some."""
        screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)  # type: ignore[attr-defined]
        return self.browser.execute_script("return document.documentElement.scrollWidth") - width

    def width_of(self, name: str) -> int:
        """Of a picture that has been loaded, in pixels of its own."""
        script = f"let image = document.querySelector('#{name} img'); return image ? image.naturalWidth : 0"
        return self.wait(lambda browser: browser.execute_script(script))

    def video(self) -> dict[str, Any]:
        """What the player does."""
        return self.browser.execute_script(
            "let video = document.querySelector('#search-player video'); return video && {time: video.currentTime, "
            "paused: video.paused, source: video.src, ready: video.readyState, error: video.error && video.error.code}"
        )

    def hosts(self) -> set[str]:
        """What the page has asked for something, since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        # The browser's own first page, from before ours, is asked for at chrome://.
        return {urlsplit(each["request"]["url"]).netloc for each in asked if each["request"]["url"].startswith("http")}
