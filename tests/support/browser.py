"""A headless Chromium, and what it sees of a report: which figures are drawn, and whom the page asks for anything."""

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

DRAWN_SECONDS = 60
# WebGL2 by the processor alone
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# what no network sees: data inside of a page, and the browser's own first page
_INSIDE = ("data:", "blob:", "about:", "chrome:", "chrome-untrusted:")
_OPEN_ALL = (
    "document.querySelectorAll('details').forEach((d) => d.open = true);"
    "document.querySelectorAll('iframe').forEach((f) => open(f));"
)
_IS_DRAWN = "return [...document.querySelectorAll('canvas, svg')].some((e) => e.getBoundingClientRect().width > 50)"


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
    frames, drawn : int
        Interactive figures, and those that show something.
    picture_widths : list of int
        Widths of the still pictures, in pixels.
    addresses : set of str
        What the page asked for, itself included, but for data inside of it.
    errors : list of str
        What the browser complained about.
    """

    frames: int
    drawn: int
    picture_widths: list[int]
    addresses: set[str]
    errors: list[str]


def look_at_report(browser: Chrome, address: str) -> Seen:
    """Open a report with all of its figures."""
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get_log("performance")  # of pages before this one
    browser.get_log("browser")
    browser.get(address)
    browser.execute_script(_OPEN_ALL)
    frames = browser.find_elements("css selector", "iframe")
    drawn = 0
    for frame in frames:
        browser.switch_to.frame(frame)
        WebDriverWait(browser, DRAWN_SECONDS).until(lambda page: page.find_elements("css selector", "canvas, svg"))
        drawn += bool(browser.execute_script(_IS_DRAWN))
        browser.switch_to.default_content()
    widths = browser.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
    }
    return Seen(
        frames=len(frames),
        drawn=drawn,
        picture_widths=list(widths),
        addresses={one for one in addresses if not one.startswith(_INSIDE)},
        errors=[entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"],
    )
