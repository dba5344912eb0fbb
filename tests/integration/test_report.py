"""The report is one page, in a reader's words, that shows its maps in a browser without asking anybody for anything."""

from __future__ import annotations

import base64
import copy
import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from nimare.diagnostics import FocusCounter

from compose_runner.analysis.problems import Problems
from compose_runner.analysis.write.maps import save_maps
from compose_runner.analysis.write.report.writing import write_report
from compose_runner.analysis.write.tables import write_table
from compose_runner.local.demo import studies
from tests.support import hostile_texts
from tests.support.result_records import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from nimare.results import MetaResult

TARGETS = ["z_corr-FDR_method-indep", "z"]
SPECIFICATION = {
    "type": "CBMA",
    "estimator": {"type": "ALE", "args": {"kernel__fwhm": 8, "**kwargs": {}}},
    "corrector": {"type": "FDRCorrector", "args": {"method": "indep", "alpha": 0.05}},
    "filter": "included",
    "conditions": ["true"],
    "weights": [1],
}
# without maps, which the page holds as they are; those of the demo are 2 MB there
MOST_BYTES = 3_000_000


def _studyset() -> dict[str, Any]:
    """The demo's studies, with authors and years as NeuroStore has them; one more has no foci."""
    document = studies.pain_studyset()
    for place, study in enumerate(document["studies"]):
        study |= {"authors": "Nagamatsu LS, Hsu CL" if place < 2 else "Wager TD", "year": 2001 + place}
    document["studies"].append(
        {"id": "without", "name": "Nothing found", "authors": "Doe J", "year": 1999, "analyses": []}
    )
    return document


@pytest.fixture(scope="module")
def described(pain_result: MetaResult) -> MetaResult:
    result = pain_result.copy()
    result.diagnostics = list(result.diagnostics)  # which a copy shares with others
    result = FocusCounter(target_image="z", target_threshold=3.1).transform(result)
    assert [diagnostic.target_image for diagnostic in result.diagnostics] == TARGETS
    return result


@pytest.fixture(scope="module")
def record(described: MetaResult) -> dict[str, Any]:
    return record_of(
        described,
        _studyset(),
        name="Pain <script>alert(1)</script>",
        meta_analysis_id="painDemoALE1",
        estimator="ALE",
        specification=SPECIFICATION,
        seed=42,
        versions={"nimare": "0.22.1", "compose-runner": "1.0.0"},
        inputs={"origin": "live", "studyset": {"source": "http://x/studysets/s", "sha256": "abc123"}},
        audit=[
            {"severity": "warning", "code": "a", "message": "Few studies.", "studies": ["One", "Two"], "count": 2},
            {"severity": "note", "code": "b", "message": "Foci were converted.", "studies": [], "count": 0},
        ],
    )


@pytest.fixture(scope="module")
def files(described: MetaResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    save_maps(described, folder)
    for name, table in described.tables.items():
        if table is not None:
            write_table(table, folder / f"{name}.tsv")
    return folder


@pytest.fixture(scope="module")
def report(
    described: MetaResult, record: dict[str, Any], files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    problems = Problems()
    path = write_report(described, tmp_path_factory.mktemp("report"), record, problems, files_directory=files)
    assert problems.listed == []
    return path


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return report.read_text(encoding="utf-8")


def _rows(page: str, table: str) -> list[list[str]]:
    """Texts of the cells of each row in the bodies of the tables of a class."""
    found = []
    for content in re.findall(rf'<table class="{table}".*?</table>', page, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", re.sub(r"<thead>.*?</thead>", "", content, flags=re.DOTALL), re.DOTALL):
            cells = re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
            found.append([" ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in cells])
    return found


def _facts(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]*)<?", page))


def test_the_page_holds_everything_it_shows(page: str, files: Path) -> None:
    outside = re.findall(
        r"""<(?:script|img|link|iframe|object)\b[^>]*\b(?:src|href|data)=["'](?!data:)([^"']+)""", page
    )
    assert outside == []
    assert "<iframe" not in page
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert len(policy) == 1
    assert "unsafe" not in policy[0]
    assert len(page.encode()) - sum(path.stat().st_size for path in files.glob("*.nii.gz")) * 4 / 3 < MOST_BYTES


def test_titles_from_compose_are_shown_as_text(page: str) -> None:
    assert "<script>alert(1)</script>" not in page
    assert "Pain &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_meta_analysis_on_compose_is_linked_when_it_came_from_there(
    page: str, described: MetaResult, record: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://compose.neurosynth.org/meta-analyses/painDemoALE1"
    assert f'<a href="{address}"' in page
    from_disk = {**record, "inputs": {"origin": "disk"}}
    assert address not in write_report(described, tmp_path, from_disk).read_text(encoding="utf-8")
    monkeypatch.setenv("COMPOSE_API_URL", "http://127.0.0.1:9/api")
    assert "127.0.0.1" not in write_report(described, tmp_path, record).read_text(encoding="utf-8")


def test_headings_say_what_a_map_is(page: str, record: dict[str, Any]) -> None:
    headings = [unescape(heading) for heading in re.findall(r'<h3 id="map-\d+-title">(.*?)</h3>', page)]
    assert headings == ["Voxel-wise corrected (FDR, Benjamini-Hochberg)", "Uncorrected"]
    threshold = record["diagnostics"][0]["target_threshold"]
    assert f"p &lt; .05, corrected (one-tailed); z ≥ {threshold:.2f}; clusters of more than 10 voxels" in page


def test_numbers_are_those_of_the_record_wherever_they_stand(
    page: str, record: dict[str, Any], described: MetaResult
) -> None:
    group = record["accounting"]["first"]
    facts = _facts(page)
    assert facts["Studies"] == str(group["used"]["studies"]) == "21"
    assert f"used of {group['selected']['studies']} selected" in page
    assert facts["Foci"] == str(group["used"]["foci"])
    assert facts["Participants"] == str(group["used"]["participants"])
    account = {row[0]: row[1:] for row in _rows(page, "account")}
    assert account["Used"] == ["21", "21"]
    assert account["In the studyset"][0] == "22"
    assert account["Foci used"] == [facts["Foci"]]
    rows = _rows(page, "studies")
    assert sum("yes" in row for row in rows) == 21
    table = described.tables[f"{TARGETS[0]}_tab-clust"]
    clusters = int((table["Cluster Size (mm3)"].astype(str).str.strip() != "").sum())
    assert facts["Clusters"] == str(clusters)
    assert f"{clusters} clusters; the strongest peak is in the" in page


def test_clusters_have_labels_values_and_the_share_of_studies(page: str, described: MetaResult) -> None:
    row = _rows(page, "clusters")[0]
    peak = described.tables[f"{TARGETS[0]}_tab-clust"].iloc[0]
    assert row[0] == "1"
    assert row[1] == "Right insula Harvard-Oxford: Right insular cortex"
    assert row[2] == ", ".join(f"{peak[axis]:.0f}" for axis in "XYZ")
    uncorrected = described.get_map("z").get_fdata()
    voxel = np.rint(np.linalg.inv(described.get_map("z").affine) @ (*peak[["X", "Y", "Z"]], 1))[:3].astype(int)
    assert row[5] == f"{uncorrected[tuple(voxel)]:.2f}"
    counts = described.tables[f"{TARGETS[0]}_diag-FocusCounter_tab-counts_tail-positive"]["PositiveTail 1"]
    contributing = int((counts > 0).sum())
    assert row[7] == f"{contributing} {100 * contributing / 21:.0f} %"
    assert "Right insula" in row[8]
    assert "Automated Anatomical Labelling 3" in page
    assert "Harvard-Oxford cortical structural atlas" in page


def test_studies_are_called_by_author_and_year_everywhere(page: str, record: dict[str, Any]) -> None:
    names = [row[0] for row in _rows(page, "studies")]
    assert names[:3] == ["Nagamatsu 2001", "Nagamatsu 2002", "Wager 2003"]
    contributing = [row[0] for row in _rows(page, "heat")]
    assert set(contributing) <= set(names)
    assert not any(study["id"] in contributing for study in record["studies"])
    (left_out,) = [row for row in _rows(page, "studies") if row[0] == "Doe 1999"]
    assert any("it has no coordinates" in cell for cell in left_out)


def test_what_was_found_out_about_the_inputs_comes_first(page: str) -> None:
    assert page.index("Few studies.") < page.index("Foci were converted.") < page.index('id="maps-title"')


def test_a_focus_and_a_peak_can_be_gone_to(page: str, described: MetaResult) -> None:
    places = re.findall(r'data-xyz="([^"]*)"', page)
    foci = described.estimator.inputs_["coordinates"]
    assert len(places) >= len(foci)
    assert " ".join(f"{value:g}" for value in foci[["x", "y", "z"]].iloc[0]) in places


def test_maps_and_tables_can_be_saved_from_the_page_as_they_are(page: str, files: Path) -> None:
    for path in files.iterdir():
        button = re.search(rf'data-save="([^"]*)" data-name="{re.escape(path.name)}"', page)
        assert button is not None, path.name
        held = re.search(rf'data-(?:part|file)="{button[1]}">(.*?)</script>', page, re.DOTALL)
        assert held is not None
        assert base64.b64decode(held[1]) == path.read_bytes()


def test_tables_of_somebody_else_in_the_directory_stay_out_of_the_page(
    described: MetaResult, record: dict[str, Any], files: Path, tmp_path: Path
) -> None:
    foreign = files / "patients.tsv"
    foreign.write_text("name\tdiagnosis\n", encoding="utf-8")
    try:
        page = write_report(described, tmp_path, record, files_directory=files).read_text(encoding="utf-8")
    finally:
        foreign.unlink()
    assert "patients.tsv" not in page
    assert "z_tab-clust.tsv" in page


def test_pictures_say_what_they_show_and_are_files_too(page: str, report: Path) -> None:
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert len(alternatives) == 4
    assert all("positive region" in text and "insula" in text for text in alternatives)
    pictures = {path.name for path in (report.parent / "figures").iterdir()}
    assert pictures == {f"{target}_{view}.png" for target in TARGETS for view in ("slices", "glass")}


def test_methods_and_references_are_there_in_every_form(page: str) -> None:
    text = unescape(page)
    for words in (
        "Activation likelihood estimation",
        "(Turkeltaub et al., 2002",
        r"\citep{",
        "@article",
        "TY  - JOUR",
        "## References",
        "Kent, J. D.",
    ):
        assert words.casefold() in text.casefold(), words


def test_parameters_are_those_of_the_specification(page: str) -> None:
    rows = {row[0]: row[1] for row in _rows(page, "parameters")}
    assert rows["Kernel: full width at half maximum (mm) kernel__fwhm"] == "8"
    assert rows["Method method"] == "indep"
    assert "Memory" not in page


def test_the_viewer_begins_with_the_threshold_of_the_description(page: str, record: dict[str, Any]) -> None:
    config = re.search(r'data-part="config">(.*?)</script>', page)
    assert config is not None
    first = json.loads(config[1])["maps"][0]["threshold"]
    assert 0 <= record["diagnostics"][0]["target_threshold"] - first < 0.001
    assert len(str(first)) <= 5


def test_an_empty_map_is_explained(described: MetaResult, record: dict[str, Any], tmp_path: Path) -> None:
    result = described.copy()
    target = TARGETS[0]
    result.maps[target] = np.full_like(result.maps[target], 0.5)
    result.tables[f"{target}_tab-clust"] = result.tables[f"{target}_tab-clust"].iloc[:0]
    for name in [name for name in result.tables if "_diag-" in name]:
        result.tables[name] = None
    text = write_report(result, tmp_path, record).read_text(encoding="utf-8")
    assert f"No voxel reaches z = {record['diagnostics'][0]['target_threshold']:.2f}." in text
    assert "The largest value of this map is 0.50" in text
    assert _facts(text)["Clusters"] == "0"


def test_an_older_record_gives_a_page_too(described: MetaResult, tmp_path: Path) -> None:
    problems = Problems()
    counts = {"first": {"studies": 21, "analyses": 21, "foci": 267}}
    text = write_report(described, tmp_path, {"counts": counts}, problems).read_text(encoding="utf-8")
    assert problems.listed == []
    assert _facts(text)["Studies"] == "21"


def test_maps_with_the_same_values_are_shown_once(
    described: MetaResult, record: dict[str, Any], tmp_path: Path
) -> None:
    result = described.copy()
    result.maps["z"] = result.maps[TARGETS[0]]
    text = write_report(result, tmp_path, record).read_text(encoding="utf-8")
    assert text.count("<img ") == 2
    assert "The values are the same as those of" in text


def test_maps_that_would_make_the_page_too_large_are_in_the_directory_only(
    described: MetaResult, record: dict[str, Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = sorted(path.stat().st_size for path in files.glob("*.nii.gz"))
    monkeypatch.setattr("compose_runner.analysis.write.report.writing.MOST_MAP_BYTES", sum(sizes) - 1)
    text = write_report(described, tmp_path, record, files_directory=files).read_text(encoding="utf-8")
    assert text.count('data-part="map-') == len(sizes) - 1
    assert "most of the maps and tables" in text


def test_marks_in_every_field_of_the_record_stay_text(
    described: MetaResult, record: dict[str, Any], tmp_path: Path
) -> None:
    hostile = hostile_texts.poisoned(copy.deepcopy(record), hostile_texts.IN_HTML, words=frozenset({"diagnostics"}))
    problems = Problems()
    text = write_report(described, tmp_path, hostile, problems).read_text(encoding="utf-8")
    assert problems.listed == []
    # the page's own scripts, and those of the viewer, which hold no markup
    markup = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    assert re.findall(r"<[^>]*\son\w+\s*=", markup) == []
    assert re.findall(r"<(?:script|iframe|base|object|embed|form)\b", markup) == []
    assert len(re.findall(r"<meta\b", markup)) == 5
    assert re.findall(r'href="(?!https://|#|data:,")([^"]*)', markup) == []
    assert sum(unescape(markup).count(payload) for payload in hostile_texts.IN_HTML) > 100
