"""The report in a browser: what a reader does with it, by mouse and keyboard, on screens of all sizes and on paper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from compose_runner.analysis.write.report.writing import write_report
from compose_runner.local.demo import studies
from tests.support import browser as browsers
from tests.support.result_records import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nimare.results import MetaResult
    from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browsers.is_installed(), reason="chromium and chromedriver are not installed"),
]


@pytest.fixture(scope="module")
def report(pain_result: MetaResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = studies.pain_studyset()
    for place, study in enumerate(document["studies"]):
        study |= {"authors": f"Author{chr(ord('A') + place)} X", "year": 2030 - place, "pmid": str(1000 + place)}
    record = record_of(
        pain_result,
        document,
        name="Pain",
        estimator="ALE",
        specification=studies.specification(),
        audit=[{"severity": "warning", "code": "a", "message": "Few studies.", "studies": [], "count": 0}],
    )
    return write_report(pain_result, tmp_path_factory.mktemp("report"), record)


@pytest.fixture(scope="module")
def loaded(browser: Chrome, report: Path) -> Iterator[Chrome]:
    browser.set_window_size(1280, 900)
    seen = browsers.look_at_report(browser, report.as_uri())
    assert seen.addresses == {report.as_uri()}
    assert seen.errors == []
    assert seen.picture_widths
    assert all(width > 1000 for width in seen.picture_widths)
    yield browser
    browser.get("about:blank")


def _cells(chrome: Chrome, table: str, column: int) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].filter((row) => !row.hidden)"
    script += ".map((row) => row.cells[arguments[1]].textContent.trim())"
    return list(chrome.execute_script(script, table, column))


def _text(chrome: Chrome, part: str) -> str:
    return str(chrome.find_element(By.CSS_SELECTOR, f'[data-part="{part}"]').get_attribute("textContent"))


def _wait_for(chrome: Chrome, part: str, expected: str) -> None:
    WebDriverWait(chrome, browsers.OPEN_SECONDS).until(lambda one: _text(one, part) == expected)


def _is_true(script: str, argument: str, chrome: Chrome) -> bool:
    return bool(chrome.execute_script(script, argument))


def test_a_peak_a_focus_and_a_map_are_shown_in_the_viewer(loaded: Chrome) -> None:
    second = loaded.find_elements(By.CSS_SELECTOR, ".clusters .place")[3]
    second.send_keys(Keys.ENTER)
    _wait_for(loaded, "coordinates", f"{second.text} mm")
    assert second.get_attribute("aria-current") == "location"
    focus = loaded.find_element(By.CSS_SELECTOR, ".studies .place")
    loaded.execute_script("arguments[0].click()", focus)
    _wait_for(loaded, "coordinates", f"{focus.get_attribute('textContent')} mm")
    # a peak belongs to a map, which is shown with it
    loaded.execute_async_script("viewer.show(3).then(arguments[0])")
    assert loaded.execute_script("return viewer.state().map") == 3
    loaded.execute_script("arguments[0].click()", second)
    WebDriverWait(loaded, browsers.OPEN_SECONDS).until(
        lambda page: page.execute_script("return viewer.state().map") == 0
    )


def test_the_table_of_studies_is_sorted_by_its_headings_and_searched(loaded: Chrome) -> None:
    year = loaded.find_element(By.CSS_SELECTOR, "#study-table thead th:nth-child(2)")
    year.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert year.get_attribute("aria-sort") == "ascending"
    assert _cells(loaded, "#study-table", 1) == [str(2010 + place) for place in range(21)]
    year.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert year.get_attribute("aria-sort") == "descending"
    assert _cells(loaded, "#study-table", 1)[0] == "2030"
    field = loaded.find_element(By.ID, "study-filter")
    field.send_keys("authorc")
    assert _cells(loaded, "#study-table", 0) == ["AuthorC 2028"]
    field.send_keys(Keys.BACKSPACE * 7)
    assert len(_cells(loaded, "#study-table", 0)) == 21


def test_a_file_is_saved_as_it_is(loaded: Chrome, tmp_path: Path, pain_result: MetaResult) -> None:
    loaded.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    button = loaded.find_element(By.CSS_SELECTOR, '[data-name="z.nii.gz"]')
    loaded.execute_script("arguments[0].click()", button)
    saved = tmp_path / "z.nii.gz"
    WebDriverWait(loaded, browsers.OPEN_SECONDS).until(lambda _: saved.exists())
    import nibabel as nib
    import numpy as np

    expected = np.asarray(pain_result.get_map("z").dataobj)
    assert np.array_equal(np.asarray(nib.load(saved).dataobj), expected)


def test_texts_are_copied(loaded: Chrome) -> None:
    # what the page hands to the clipboard, which no test may take from the person at the machine
    loaded.execute_script(
        "Object.defineProperty(navigator, 'clipboard', {configurable: true, value: "
        "{writeText: async (text) => { window.copied = text; }}})"
    )
    for source, words in (
        ("methods-text", "meta-analysis (Turkeltaub et al., 2002"),
        ("methods-latex", r"\citep{"),
        ("references-list", "Eickhoff, S. B."),
        ("references-bibtex", "@article{"),
        ("references-ris", "TY  - JOUR"),
        ("cite-list", "Kent, J. D."),
    ):
        loaded.execute_script("arguments[0].click()", loaded.find_element(By.CSS_SELECTOR, f'[data-copy="{source}"]'))
        copied = "return (window.copied || '').includes(arguments[0])"
        WebDriverWait(loaded, 10).until(partial(_is_true, copied, words))
    assert loaded.find_element(By.CSS_SELECTOR, "[data-announcement]").text == "Copied"


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), (3840, "light")])
def test_every_screen_shows_the_page_without_sideways_scrolling(loaded: Chrome, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    loaded.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    loaded.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        assert loaded.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        background, ink = (
            loaded.execute_script(f"return getComputedStyle(document.body).{which}.match(/\\d+/g).map(Number)")
            for which in ("backgroundColor", "color")
        )
        assert (sum(background) < sum(ink)) == (scheme == "dark")
    finally:
        loaded.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        loaded.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_structure_and_names_are_there_for_those_who_listen(loaded: Chrome) -> None:
    found: dict[str, Any] = loaded.execute_script(
        """
        const all = (selector) => [...document.querySelectorAll(selector)];
        const named = (e) => (e.getAttribute('aria-label') || e.textContent || '').trim() || e.labels?.length;
        return {
          landmarks: ['header', 'nav', 'main', 'footer'].map((tag) => all(`body ${tag}`).length),
          first: document.body.firstElementChild.getAttribute('href'),
          tables: all('table').filter((table) => !table.caption).length,
          heads: [['thead', 'col'], ['tbody', 'row']].flatMap(
            ([part, scope]) => all(`${part} th`).filter((th) => th.scope !== scope)).length,
          pictures: all('img').filter((img) => img.alt.length < 40).length,
          sections: all('section').filter(
            (e) => !document.getElementById(e.getAttribute('aria-labelledby')) && !e.ariaLabel).length,
          controls: all('button, input, select, summary').filter((e) => !named(e)).map((e) => e.outerHTML),
          scrolling: all('.scroll').filter((e) => e.tabIndex !== 0 || !e.ariaLabel).length,
          twice: all('[id]').map((e) => e.id).filter((id, place, ids) => ids.indexOf(id) !== place),
        }
        """
    )
    assert found.pop("landmarks") == [1, 1, 1, 1]
    assert found.pop("first") == "#main"
    assert {name: value for name, value in found.items() if value} == {}


def test_paper_gets_tables_and_pictures_and_no_controls(loaded: Chrome) -> None:
    loaded.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        visible = "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility()).length"
        assert loaded.execute_script(visible, "figure img") == 2
        assert loaded.execute_script(visible, ".clusters thead th, .studies thead th") > 15
        assert loaded.execute_script(visible, "nav, .viewer, [data-copy], [data-save], input") == 0
    finally:
        loaded.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_webgl2_the_pictures_are_there(report: Path, tmp_path: Path) -> None:
    with browsers.chromium(tmp_path, "--disable-3d-apis") as chrome:
        chrome.get(report.as_uri())
        chrome.execute_script("window.viewer.start()")
        WebDriverWait(chrome, browsers.OPEN_SECONDS).until(lambda page: "no WebGL2" in _text(page, "fallback"))
        assert chrome.find_element(By.CSS_SELECTOR, "figure img").is_displayed()
        # a row without a viewer is no error
        chrome.execute_script("document.querySelector('.clusters .place').click()")
        assert [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"] == []
