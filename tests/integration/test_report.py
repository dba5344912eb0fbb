"""The report is one page that draws its figures in a browser without asking anybody for anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from nimare.diagnostics import FocusCounter

from compose_runner.analysis.write.report import write_report
from tests.support.browser import look_at_report

if TYPE_CHECKING:
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
    assert report.read_text(encoding="utf-8").count("* plotly.js v") == 1


def test_still_pictures_are_kept_as_files_too(report: Path) -> None:
    assert (report.parent / "figures" / "map-0_corrector_figure-static.png").is_file()


@pytest.mark.slow
def test_a_browser_draws_the_figures_and_sends_nothing_out(report: Path, browser: Chrome) -> None:
    seen = look_at_report(browser, report.as_uri())
    assert seen.frames >= 2
    assert seen.drawn == seen.frames
    assert seen.picture_widths
    assert all(width > 100 for width in seen.picture_widths)
    assert seen.addresses == {report.as_uri()}
    assert seen.errors == []
