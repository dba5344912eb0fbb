"""Real meta-analyses, as recorded from Neurosynth Compose, run by the command that the README shows."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from tests.compose_stand_in import ComposeStandIn

COMPOSE_RUN = Path(sys.executable).with_name("compose-run")
HOSTS = {
    "ataCTPAt2LMw": ("compose.neurosynth.org", "neurostore.org"),
    "mHtoV82Dmnm9": ("compose.neurosynth.org", "neurostore.org"),
    "jeqZ65Bsnniw": ("dev.synth.neurostore.xyz", "dev.neurostore.xyz"),
}
RUN_KEY = "recorded-run-key"

pytestmark = pytest.mark.slow


def _run(
    meta_analysis_id: str, stand_in: ComposeStandIn, place: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPOSE_RUN, meta_analysis_id, "--result-dir", place, "--no-report", *options],
        env={**os.environ, **stand_in.variables()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _map_figures(path: Path) -> dict[str, Any]:
    image = nibabel.load(path)
    data = np.asarray(image.dataobj, dtype=float)
    return {
        "shape": list(data.shape),
        "finite": int(np.isfinite(data).sum()),
        "nonzero": int((data != 0).sum()),
        "min": float(data.min()),
        "max": float(data.max()),
        "sum": float(data.sum()),
        "sum_of_squares": float((data**2).sum()),
    }


@pytest.mark.parametrize("meta_analysis_id", HOSTS)
def test_maps_and_tables_are_those_of_the_runner_in_production(
    meta_analysis_id: str, recorded: Path, expected: Path, tmp_path: Path
) -> None:
    compose_host, store_host = HOSTS[meta_analysis_id]
    with ComposeStandIn(recorded, compose_host=compose_host, store_host=store_host) as stand_in:
        ended = _run(meta_analysis_id, stand_in, tmp_path / "results", "--no-upload")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.strip() == str(tmp_path / "results")
    wanted = json.loads((expected / f"{meta_analysis_id}.json").read_text(encoding="utf-8"))
    written = {path.name for path in (tmp_path / "results").glob("*.nii.gz")}
    assert written == set(wanted["maps"])
    for name, figures in wanted["maps"].items():
        found = _map_figures(tmp_path / "results" / name)
        assert {key: found[key] for key in ("shape", "finite", "nonzero")} == {
            key: figures[key] for key in ("shape", "finite", "nonzero")
        }, name
        for key in ("min", "max", "sum", "sum_of_squares"):
            assert found[key] == pytest.approx(figures[key], rel=1e-6, abs=1e-6), (name, key)
    for name, table in wanted["tables"].items():
        with (tmp_path / "results" / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        assert len(rows) == table["rows"], name
        for column, value in (table["first_row"] or [{}])[0].items():
            assert rows[0][column] == str(value) or float(rows[0][column]) == pytest.approx(value, rel=1e-6)


def test_a_run_that_uploads_differs_only_by_its_upload(recorded: Path, tmp_path: Path) -> None:
    with ComposeStandIn(recorded, upload_key=RUN_KEY) as stand_in:
        uploaded = _run("mHtoV82Dmnm9", stand_in, tmp_path / "uploaded")
        kept = _run("mHtoV82Dmnm9", stand_in, tmp_path / "kept", "--no-upload")
    assert uploaded.returncode == kept.returncode == 0, uploaded.stderr[-2000:]
    assert uploaded.stdout.strip().endswith("/meta-analyses/mHtoV82Dmnm9")

    artifacts = {
        name: {
            path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file() and path.suffix != ".pkl" and not path.name.startswith(".")
        }
        for name in ("uploaded", "kept")
    }
    only_uploaded = set(artifacts["uploaded"]) - set(artifacts["kept"])
    assert only_uploaded == {"publish.json", "bundle.json.gz"}
    for name, content in artifacts["kept"].items():
        if name != "metadata.json":
            assert artifacts["uploaded"][name] == content, name

    (result,) = stand_in.results.values()
    assert result.created["meta_analysis_id"] == "mHtoV82Dmnm9"
    assert result.created["cli_version"]
    # both changed since Compose made its snapshots, so that what was computed from is sent whole
    assert result.created["snapshot_studyset"]["id"] == "n45qe4g5nrFw"
    assert result.created["snapshot_annotation"]["id"] == "mmaYdBWkKPoQ"
    maps = result.parts("statistical_maps")
    assert set(maps) == {
        name for name in artifacts["kept"] if name.endswith(".nii.gz") and not name.startswith("label")
    }
    for name, content in maps.items():
        assert content == artifacts["kept"][name]
    assert set(result.parts("cluster_tables")) == {"z_corr-FDR_method-indep_tab-clust.tsv"}
    assert set(result.parts("diagnostic_tables")) == {
        "z_corr-FDR_method-indep_diag-FocusCounter_tab-counts_tail-positive.tsv"
    }
    assert result.field("method_description") == artifacts["kept"]["boilerplate.txt"].decode()
    assert result.field("method_references") == artifacts["kept"]["references.bib"].decode()
    assert RUN_KEY not in uploaded.stderr + uploaded.stdout
    assert all(RUN_KEY.encode() not in content for content in artifacts["uploaded"].values())
