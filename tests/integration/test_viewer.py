"""The viewer in a browser: it draws, it moves, it asks nobody, and where it cannot be there are pictures."""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from markupsafe import Markup, escape
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from compose_runner.analysis.write.viewer import ViewerMap, viewer
from tests.support import browser as browsers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browsers.is_installed(), reason="chromium and chromedriver are not installed"),
]

SECONDS = 120
MARK = "</script><img src=x onerror='document.title=1'>"
RIGHT, LEFT = (38, 4, 2), (-38, 4, 2)


def nifti(right: float, left: float) -> bytes:
    data = np.zeros((91, 109, 91), dtype=np.float32)
    data[24:30, 62:69, 34:41] = right
    data[61:67, 62:69, 34:41] = left
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    buffer = io.BytesIO()
    holder = nib.FileHolder(fileobj=buffer)
    image = nib.Nifti1Image(data, affine)
    image.file_map["image"] = image.file_map["header"] = holder
    image.to_file_map()
    return gzip.compress(buffer.getvalue())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    part = viewer(
        [
            ViewerMap(f"Both tails {MARK}", nifti(5, -4), threshold=3, tails=2),
            ViewerMap("One tail", nifti(2.326348, 0), threshold=1, tails=1),
        ],
        start=RIGHT,
        stills=Markup(
            '<img id="still" alt="still" width="50" height="50" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'
        ),
    )
    path = tmp_path_factory.mktemp("viewer") / "page.html"
    path.write_text(
        f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(part.policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>viewer</title><link rel="icon" href="data:,">
</head><body>{part.html}<table><tr id="row" data-xyz="-38 4 2"><td>left</td></tr>
<tr><td><button id="button" data-xyz="38,4,2">right</button></td></tr>
<tr id="strange" data-xyz="1 2 x&quot;"><td>{escape(MARK)}</td></tr></table></body></html>""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browsers.chromium(tmp_path_factory.mktemp("chromium"), *browsers.SOFTWARE_WEBGL) as driver:
        driver.set_script_timeout(SECONDS)
        driver.set_window_size(800, 700)
        yield driver


@pytest.fixture
def opened(chrome: Chrome, page: Path) -> Chrome:
    """The page as it is at first; it is loaded again only when a test has left it."""
    if chrome.current_url != page.as_uri():
        chrome.get(page.as_uri())
    wait_until_open(chrome)
    part(chrome, "reset").click()
    chrome.execute_async_script("viewer.show(0).then(arguments[0])")
    wait_for(chrome, "coordinates", "38, 4, 2 mm")
    return chrome


def wait_until_open(chrome: Chrome) -> None:
    state = "return window.viewer && viewer.state().open && document.querySelector('[data-part=state]').hidden"
    WebDriverWait(chrome, SECONDS).until(lambda driver: driver.execute_script(state))


def part(chrome: Chrome, name: str) -> Any:
    return chrome.find_element(By.CSS_SELECTOR, f'[data-part="{name}"]')


def text(chrome: Chrome, name: str) -> str:
    return str(part(chrome, name).get_attribute("textContent"))


def wait_for(chrome: Chrome, name: str, expected: str) -> None:
    WebDriverWait(chrome, SECONDS).until(lambda driver: text(driver, name) == expected)


def coloured(chrome: Chrome) -> tuple[int, int]:
    """How many pixels of the picture are warm, and how many are cold."""
    with Image.open(io.BytesIO(part(chrome, "canvas").screenshot_as_png)) as shot:
        red, _, blue = np.asarray(shot.convert("RGB"), dtype=int).transpose(2, 0, 1)
    return int((red - blue > 60).sum()), int(((blue - red > 80) & (blue > 90)).sum())


def set_value(chrome: Chrome, name: str, value: str, event: str) -> None:
    chrome.execute_script(
        "const e = document.querySelector(`[data-part='${arguments[0]}']`); e.value = arguments[1];"
        "e.dispatchEvent(new Event(arguments[2], {bubbles: true}));"
        "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))",
        name,
        value,
        event,
    )


def test_maps_are_drawn_and_read_without_a_request_or_a_breach_of_the_policy(chrome: Chrome, page: Path) -> None:
    chrome.get_log("performance")
    chrome.get_log("browser")
    chrome.get(page.as_uri())
    wait_until_open(chrome)
    assert text(chrome, "value") == "5.000"
    assert text(chrome, "coordinates") == "38, 4, 2 mm"
    assert text(chrome, "label-0") == "Right insula"
    assert text(chrome, "label-1") == "Right insular cortex"
    assert text(chrome, "p") == "5.7e−7"
    warm, cold = coloured(chrome)
    assert warm > 100
    assert cold > 100
    messages = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
    }
    assert {address for address in asked if not address.startswith("data:")} == {page.as_uri()}
    assert [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert chrome.title == "viewer"
    assert not chrome.find_element(By.ID, "still").is_displayed()


def test_the_threshold_and_the_tails_change_what_is_drawn(opened: Chrome) -> None:
    warm, cold = coloured(opened)
    set_value(opened, "threshold", "4.5", "input")
    wait_for(opened, "key-low", "4.50")
    strong = coloured(opened)
    assert strong[0] > warm / 2
    assert strong[1] < cold - 100  # the cross-hair, which is blue too, stays
    set_value(opened, "threshold-number", "3", "input")
    set_value(opened, "tail", "negative", "change")
    negative = coloured(opened)
    assert negative[0] < warm / 2
    assert negative[1] > strong[1] + 100
    set_value(opened, "opacity", "0", "input")
    assert coloured(opened)[1] < negative[1] - 100


def test_a_click_on_a_row_moves_the_cross_hair_and_marks_the_row(opened: Chrome) -> None:
    opened.find_element(By.ID, "row").click()
    wait_for(opened, "value", "−4.000")
    assert text(opened, "label-0") == "Left superior temporal gyrus" or "eft insula" in text(opened, "label-0")
    assert opened.find_element(By.ID, "row").get_attribute("aria-current") == "location"
    opened.find_element(By.ID, "strange").click()
    assert text(opened, "value") == "−4.000"
    opened.find_element(By.ID, "button").send_keys(Keys.ENTER)
    wait_for(opened, "value", "5.000")
    assert opened.find_element(By.ID, "row").get_attribute("aria-current") is None


def test_the_keyboard_moves_the_cross_hair_and_reaches_every_control(opened: Chrome) -> None:
    part(opened, "canvas").send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.PAGE_UP)
    wait_for(opened, "coordinates", "36, 6, 4 mm")
    set_value(opened, "x", "-38", "change")
    wait_for(opened, "coordinates", "−38, 6, 4 mm")
    opened.execute_script("document.body.focus(); document.activeElement.blur()")
    reached = set()
    for _ in range(16):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(opened.execute_script("return document.activeElement.dataset.part"))
    assert reached >= {
        "map",
        "threshold",
        "threshold-number",
        "tail",
        "opacity",
        "view",
        "x",
        "y",
        "z",
        "reset",
        "canvas",
    }


def test_another_map_is_shown_with_its_own_threshold_and_test(opened: Chrome) -> None:
    set_value(opened, "map", "1", "change")
    wait_for(opened, "value", "2.326")
    assert text(opened, "p-name") == "p (one-tailed)"
    assert text(opened, "p") == "0.0100"
    assert part(opened, "threshold-number").get_attribute("value") == "1"
    assert not part(opened, "tail").is_enabled()


@pytest.mark.parametrize("width", [360, 1600])
def test_narrow_and_wide_windows_need_no_sideways_scrolling(opened: Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        stage = opened.execute_script(
            "return document.querySelector('[data-part=stage]').getBoundingClientRect().width"
        )
        assert 0.9 * width < stage <= width
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_paper_gets_the_still_pictures(opened: Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert opened.find_element(By.ID, "still").is_displayed()
        assert not part(opened, "canvas").is_displayed()
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_it_works_in_a_sandbox_without_an_origin(chrome: Chrome, page: Path, tmp_path: Path) -> None:
    frame = tmp_path / "frame.html"
    inner = escape(page.read_text(encoding="utf-8"))
    frame.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe sandbox="allow-scripts" width="780" height="600" '
        f'srcdoc="{inner}"></iframe>',
        encoding="utf-8",
    )
    chrome.get(frame.as_uri())
    chrome.switch_to.frame(0)
    wait_until_open(chrome)
    assert text(chrome, "value") == "5.000"
    chrome.switch_to.default_content()


def test_without_webgl2_the_pictures_are_shown_with_the_reason(page: Path, tmp_path: Path) -> None:
    with browsers.chromium(tmp_path, "--disable-3d-apis") as driver:
        driver.get(page.as_uri())
        WebDriverWait(driver, SECONDS).until(lambda one: "no WebGL2" in text(one, "fallback"))
        assert driver.find_element(By.ID, "still").is_displayed()
        assert not part(driver, "live").is_displayed()
