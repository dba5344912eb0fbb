"""Documents whose every text wants to be executed: by a browser, a terminal, a spreadsheet, LaTeX, the file system."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.job import run_job
from tests.support import hostile_texts, synthetic
from tests.support.browser import look_at_report, wait_for_viewer

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

# of the many places that a cross-hair can be moved to, some of each table
_PRESS = """
const pressed = [...document.querySelectorAll('button:not([data-save], [data-xyz])')];
for (const table of document.querySelectorAll('table')) {
  pressed.push(...[...table.querySelectorAll('[data-xyz]')].slice(0, 3));
}
pressed.forEach((button) => button.click());
"""
_MARKED = f"return document.documentElement.hasAttribute('{hostile_texts.MARK}')"


def _coordinates(_folder: Path) -> dict[str, Any]:
    studyset = synthetic.random_studyset(30, analyses_per_study=1, foci_per_analysis=6)
    # experiments without foci are left out, and listed
    for study in studyset["studies"][-12:]:
        study["analyses"][0]["points"] = []
    specification = synthetic.specification("ALE", corrector="FDRCorrector", corrector_args={"method": "indep"})
    return {
        "studyset": hostile_texts.poisoned(studyset),
        "annotation": hostile_texts.poisoned(synthetic.annotated(studyset)),
        "specification": {**hostile_texts.poisoned(specification), "filter": "included"},
    }


def _images(folder: Path) -> dict[str, Any]:
    studyset = synthetic.with_maps(
        synthetic.random_studyset(4, analyses_per_study=1, foci_per_analysis=1), folder / "maps"
    )
    specification = synthetic.specification("Stouffers", kind="IBMA")
    return {
        "studyset": hostile_texts.poisoned(studyset),
        "annotation": hostile_texts.poisoned(synthetic.annotated(studyset)),
        "specification": {**hostile_texts.poisoned(specification), "filter": "included"},
    }


def _as_text(documents: dict[str, Any]) -> dict[str, Any]:
    """Let the column be one of texts, with a payload as its name and as the value that is selected."""
    column, value = f"{hostile_texts.IN_HTML[0]}included", f"{hostile_texts.IN_HTML[1]}yes"
    documents["annotation"]["note_keys"] = {column: {"type": "string"}}
    for note in documents["annotation"]["notes"]:
        note["note"] = {column: value}
    documents["specification"] |= {"filter": column, "conditions": [value], "weights": [1.0]}
    return documents


@pytest.fixture(scope="module", params=[_coordinates, _images], ids=["coordinates", "images"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    bundle = folder / "bundle.json"
    documents = hostile_texts.with_hostile_words(_as_text(request.param(folder)))
    documents["meta_analysis"] = {"name": hostile_texts.IN_HTML[1]}
    # numbers that JSON has not, where nobody computes with them
    nan, inf = float("nan"), float("inf")
    documents["specification"]["extra"] = {"nan": nan, "list": [inf, -inf]}
    documents["studyset"]["studies"][0]["metadata"] = {"nan": nan}
    documents["annotation"]["extra"] = inf
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    result_dir = folder / "results"
    run_job(hostile_texts.IN_HTML[4], bundle=bundle, result_dir=result_dir, n_cores=2)
    return result_dir


def test_nothing_fails_because_of_a_name(results: Path) -> None:
    assert json.loads((results / "metadata.json").read_text())["problems"] == []


def test_no_file_is_named_by_a_document(results: Path) -> None:
    written = [path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()]
    names = [name for name in written if not name.startswith(".compose-runner/")]
    assert names
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?", name)] == []
    assert [path.name for path in results.parent.iterdir() if path.name not in ("bundle.json", "maps", "results")] == []


def test_every_parser_of_json_reads_what_is_written(results: Path) -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    found = [path for path in results.rglob("*") if path.name.endswith((".json", ".json.gz"))]
    assert {"metadata.json", "bundle.json.gz", "record.json"} <= {path.name for path in found}
    for path in found:
        content = path.read_bytes()
        json.loads(gzip.decompress(content) if path.suffix == ".gz" else content, parse_constant=refuse)


def test_no_cell_of_a_table_is_a_formula_or_several_lines(results: Path) -> None:
    tables = sorted(results.glob("*.tsv"))
    assert tables
    for path in tables:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
        assert len({len(row) for row in rows}) == 1, path.name
        assert text.count("\n") == len(rows), path.name
        for cell in (cell for row in rows for cell in row):
            assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in cell)
            if cell.strip()[:1] in ("=", "+", "-", "@"):
                float(cell)


def test_a_map_that_is_left_out_is_named_with_its_words(results: Path) -> None:
    table = results / "ibma_coverage.tsv"
    assert table.exists() == ("image-based" in (results / "boilerplate.txt").read_text(encoding="utf-8"))
    if table.exists():
        text = table.read_text(encoding="utf-8")
        assert [payload for payload in hostile_texts.IN_HTML if " ".join(payload.split()) not in text] == []


def test_nothing_of_a_document_reaches_the_methods_text(results: Path) -> None:
    for name in ("boilerplate.txt", "references.bib"):
        text = (results / name).read_text(encoding="utf-8")
        assert text
        # each of them is longer than a word of the text could be
        assert [payload for payload in hostile_texts.EVERYWHERE if len(payload) > 4 and payload in text] == []


@pytest.mark.slow
def test_a_browser_shows_every_text_and_runs_none(results: Path, browser: Chrome) -> None:
    address = (results / "report.html").as_uri()
    seen = look_at_report(browser, address)
    assert seen.addresses == {address}
    assert seen.errors == []
    assert browser.current_url == address
    # everything that can be pressed, but for what saves a file
    browser.execute_script(_PRESS)
    wait_for_viewer(browser)
    assert browser.execute_script(_MARKED) is False
    assert browser.current_url == address
    forbidden = "iframe, object, embed, base, form, meta[http-equiv=refresh], [href^=javascript], [onerror], [onload]"
    assert browser.execute_script("return document.querySelectorAll(arguments[0]).length", forbidden) == 0
    links = browser.execute_script("return [...document.links].map((link) => link.getAttribute('href'))")
    assert [
        link for link in links if not link.startswith(("#", "https://doi.org/", "https://github.com/neurostuff/"))
    ] == []
    text = browser.execute_script("return document.body.textContent")
    assert hostile_texts.IN_HTML[4] in text
    shown = browser.execute_script("return document.body.innerText")
    assert sum(payload in shown for payload in hostile_texts.IN_HTML) > 3


@pytest.mark.slow
def test_a_script_that_got_into_the_page_does_not_run(results: Path, browser: Chrome, tmp_path: Path) -> None:
    page = (results / "report.html").read_text(encoding="utf-8")
    broken = tmp_path / "report.html"
    injected = "".join(hostile_texts.IN_HTML[:3])
    broken.write_text(re.sub(r"<main[^>]*>", lambda main: main[0] + injected, page), encoding="utf-8")
    browser.get(broken.as_uri())
    assert browser.execute_script(_MARKED) is False
    # what the test is about: without the policy it would run
    broken.write_text(
        re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", broken.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    browser.get(broken.as_uri())
    assert browser.execute_script(_MARKED) is True
