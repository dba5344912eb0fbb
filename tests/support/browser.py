"""A headless Chromium, and what it sees of a report: its pictures, its viewer, and whom the page asks for anything."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

OPEN_SECONDS = 120
# WebGL2 by the processor alone
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# what no network sees: data inside of a page, and the browser's own first page
_INSIDE = ("data:", "blob:", "about:", "chrome:", "chrome-untrusted:")
_OPEN_ALL = "document.querySelectorAll('details').forEach((d) => d.open = true)"
_VIEWER_OPEN = "return window.viewer && viewer.state().open && document.querySelector('[data-part=state]').hidden"


def is_installed() -> bool:
    """Whether there are a browser and its driver."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


@contextmanager
def chromium(profile: Path, *more: str) -> Iterator[Chrome]:
    """Run the browser with an empty profile, a record of its requests, and more flags."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        *more,
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@dataclass(frozen=True)
class Seen:
    """A report in a browser.

    Parameters
    ----------
    picture_widths : list of int
        Widths of the still pictures, in pixels.
    addresses : set of str
        What the page asked for, itself included, but for data inside of it.
    errors : list of str
        What the browser complained about.
    """

    picture_widths: list[int]
    addresses: set[str]
    errors: list[str]


def wait_for_viewer(browser: Chrome) -> None:
    """Wait until the viewer of a page shows its map."""
    from selenium.webdriver.support.wait import WebDriverWait

    browser.execute_script("window.viewer.start()")
    WebDriverWait(browser, OPEN_SECONDS).until(lambda page: page.execute_script(_VIEWER_OPEN))


def look_at_report(browser: Chrome, address: str) -> Seen:
    """Open a report with its viewer and all that is folded in it."""
    browser.get_log("performance")  # of pages before this one
    browser.get_log("browser")
    browser.get(address)
    browser.execute_script(_OPEN_ALL)
    wait_for_viewer(browser)
    widths = browser.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
    }
    return Seen(
        picture_widths=list(widths),
        addresses={one for one in addresses if not one.startswith(_INSIDE)},
        errors=[entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"],
    )
