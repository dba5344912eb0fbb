"""The report is one page that draws its figures in a browser without asking anybody for anything."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from nimare.diagnostics import FocusCounter

from compose_runner.analysis.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nimare.results import MetaResult
    from selenium.webdriver import Chrome

TARGETS = ["z_corr-FDR_method-indep", "z"]
METADATA = {
    "name": "Pain <script>alert(1)</script>",
    "meta_analysis_id": "painDemoALE1",
    "estimator": "ALE",
    "specification": {"corrector": {"type": "FDRCorrector", "args": {"method": "indep"}}},
    "counts": {"first": {"studies": 21, "analyses": 21, "foci": 267}},
    "seed": 42,
    "versions": {"nimare": "0.22.1"},
    "inputs": {"origin": "live", "studyset": {"source": "http://x/studysets/s", "sha256": "abc123"}},
}


@pytest.fixture(scope="module")
def report(pain_result: MetaResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = FocusCounter(target_image="z", target_threshold=3.1).transform(pain_result.copy())
    assert [diagnostic.target_image for diagnostic in result.diagnostics] == TARGETS
    return write_report(result, tmp_path_factory.mktemp("report"), METADATA)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
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
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def test_the_page_holds_everything_it_shows(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    outside = re.findall(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["'](?!data:)([^"']+)""", text)
    assert outside == []
    assert "data:image/png;base64," in text


def test_titles_from_compose_are_shown_as_text(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "<script>alert(1)</script>" not in text
    assert "Pain &lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_maps_clusters_methods_and_references_are_there(report: Path, pain_result: MetaResult) -> None:
    text = report.read_text(encoding="utf-8")
    peak = next(table for name, table in pain_result.tables.items() if name.endswith("_tab-clust")).iloc[0]
    for words in (
        "<b>21</b>",
        "<b>FDR indep</b>",
        "nimare 0.22.1",
        "abc123",
        "Clusters and their peaks",
        f"{peak['X']:.2f}",
        "Activation likelihood",
        "@article",
    ):
        assert words.lower() in text.lower(), words


def test_every_described_map_is_shown(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert [target for target in TARGETS if f"<h2>Result: {target}</h2>" in text] == TARGETS


def test_what_several_figures_need_is_kept_once(report: Path) -> None:
    assert report.read_text(encoding="utf-8").count("* plotly.js v") == 2  # plotly's own, and nilearn's smaller one


def test_still_pictures_are_kept_as_files_too(report: Path) -> None:
    assert (report.parent / "figures" / "map-0_corrector_figure-static.png").is_file()


@pytest.mark.slow
def test_a_browser_draws_the_figures_and_sends_nothing_out(report: Path, browser: Chrome) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(report.as_uri())
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => d.open = true);"
        "document.querySelectorAll('iframe').forEach((f) => open(f));"
    )
    frames = browser.find_elements("css selector", "iframe")
    assert len(frames) >= 2
    drawn = 0
    for frame in frames:
        browser.switch_to.frame(frame)
        WebDriverWait(browser, 60).until(lambda page: page.find_elements("css selector", "canvas, svg"))
        drawn += bool(
            browser.execute_script(
                "return [...document.querySelectorAll('canvas, svg')].some((e) => e.getBoundingClientRect().width > 50)"
            )
        )
        browser.switch_to.default_content()
    assert drawn == len(frames)
    widths = browser.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    assert widths
    assert all(width > 100 for width in widths)
    addresses = {
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    }
    assert report.as_uri() in addresses
    assert [address for address in addresses if address.startswith(("http", "ws"))] == []
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
