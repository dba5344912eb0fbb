"""What the report says is what the record and the tables of the same run say, for every kind of meta-analysis."""

from __future__ import annotations

import csv
import gc
import json
import re
from collections import Counter
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.job import run_job
from compose_runner.local.demo import studies
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

pytestmark = pytest.mark.slow


def _one_group(_: Path) -> dict[str, Any]:
    document = studies.bundle_document(n_iterations=20)
    # one study has no foci, and one focus lies outside of the brain
    document["studyset"]["studies"][0]["analyses"][0]["points"] = []
    document["studyset"]["studies"][1]["analyses"][0]["points"][0]["coordinates"] = [0, 120, 90]
    return document


def _two_groups(_: Path) -> dict[str, Any]:
    studyset = synthetic.random_studyset(20, foci_per_analysis=8)
    return {
        "studyset": studyset,
        "annotation": synthetic.annotated(
            studyset, lambda study, _: "first" if study % 2 else "second", column="half", column_type="string"
        ),
        "specification": {
            **synthetic.specification("MKDAChi2", corrector="FDRCorrector", corrector_args={"method": "indep"}),
            "filter": "half",
            "conditions": ["first", "second"],
            "weights": [1, -1],
        },
    }


def _images(folder: Path) -> dict[str, Any]:
    studyset = synthetic.with_maps(
        synthetic.random_studyset(5, analyses_per_study=2, foci_per_analysis=1), folder / "maps"
    )
    return {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification("Stouffers", kind="IBMA"),
    }


@pytest.fixture(scope="module", params=[_one_group, _two_groups, _images])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("numbers")
    bundle = folder / "bundle.json"
    bundle.write_text(json.dumps(request.param(folder)), encoding="utf-8")
    results = folder / "results"
    metadata = run_job("numbers", bundle=bundle, result_dir=results, n_cores=2).metadata
    assert metadata["problems"] == []
    return results, metadata, (results / "report.html").read_text(encoding="utf-8")


def _table(results: Path, name: str) -> list[dict[str, str]]:
    with (results / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _numbers(text: str) -> list[int]:
    return [int(one.replace(",", "")) for one in text.split(" + ")]


def test_the_head_says_what_the_account_says(ended: tuple[Path, dict[str, Any], str]) -> None:
    _, metadata, page = ended
    facts = dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]*)<?", page))
    used = [group["used"] for group in metadata["accounting"].values() if group]
    assert _numbers(facts["Studies"]) == [group["studies"] for group in used]
    if any(group["foci"] for group in used):
        assert _numbers(facts["Foci"]) == [group["foci"] for group in used]
    first = metadata["diagnostics"][0]
    assert int(facts["Clusters"]) == sum(first["clusters"].values())


def test_the_table_of_studies_says_what_the_account_says(ended: tuple[Path, dict[str, Any], str]) -> None:
    results, metadata, page = ended
    used = sum(group["used"]["studies"] for group in metadata["accounting"].values() if group)
    rows = _table(results, "studies.tsv")
    assert Counter(row["used"] for row in rows)["yes"] == used
    table = page[page.index('id="study-table"') :]
    names = [unescape(name) for name in re.findall(r'<th scope="row">([^<]*)</th>', table[: table.index("</table>")])]
    assert names == [row["study"] for row in rows]
    assert re.search(r"\b(?:s\d+a\d+|s\d+-s\d+)", " ".join(names)) is None


def test_clusters_are_those_of_the_table_of_clusters(ended: tuple[Path, dict[str, Any], str]) -> None:
    results, metadata, page = ended
    listed = _table(results, "clusters.tsv")
    contributions = _table(results, "contributions.tsv") if (results / "contributions.tsv").exists() else []
    articles = re.findall(r'<article id="(map-\d+)".*?</article>', page, re.DOTALL)
    assert len(articles) == len(metadata["diagnostics"])
    for about in metadata["diagnostics"]:
        own = [row for row in listed if row["map"] == about["target_image"]]
        button = re.search(rf'data-save="(map-\d+)" data-name="{re.escape(about["target_image"])}.nii.gz"', page)
        assert button is not None
        section = re.search(rf'<article id="{button[1]}".*?</article>', page, re.DOTALL)
        assert section is not None
        if "The values are the same as those of" in section[0]:
            continue
        clusters = re.search(r'<table class="clusters">.*?</table>', section[0], re.DOTALL)
        places = [] if clusters is None else re.findall(r'data-xyz="([^"]*)"', clusters[0])
        assert places == [" ".join(f"{float(row[axis]):g}" for axis in "xyz") for row in own]
        numbers = re.findall(r'<th scope="row">(\d+)[a-z]?</th>', "" if clusters is None else clusters[0])
        assert numbers == [row["cluster"] for row in own]
        for row in own:
            if row["n_studies"]:
                contributing = {
                    one["study_id"]
                    for one in contributions
                    if (one["map"], one["tail"], one["cluster"]) == (row["map"], row["tail"], row["cluster"])
                }
                assert len(contributing) == int(row["n_studies"])
