"""Real meta-analyses, as recorded from Neurosynth Compose, run by the command that the README shows."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from tests.support.compose_stand_in import ComposeStandIn
from tests.support.running_service import RunningService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPOSE_RUN = Path(sys.executable).with_name("compose-run")
HOSTS = {
    "ataCTPAt2LMw": ("compose.neurosynth.org", "neurostore.org"),
    "mHtoV82Dmnm9": ("compose.neurosynth.org", "neurostore.org"),
    "jeqZ65Bsnniw": ("dev.synth.neurostore.xyz", "dev.neurostore.xyz"),
}
RUN_KEY = "recorded-run-key"

pytestmark = pytest.mark.slow


def _run(
    meta_analysis_id: str, stand_in: ComposeStandIn, result_dir: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPOSE_RUN, meta_analysis_id, "--result-dir", result_dir, "--no-report", *options],
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


@pytest.fixture(scope="module")
def results(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Result directory of a meta-analysis, which is run when it is first asked for."""

    @cache
    def run(meta_analysis_id: str) -> Path:
        compose_host, store_host = HOSTS[meta_analysis_id]
        result_dir = tmp_path_factory.mktemp("results") / meta_analysis_id
        with ComposeStandIn(recorded, compose_host=compose_host, store_host=store_host) as stand_in:
            ended = _run(meta_analysis_id, stand_in, result_dir, "--no-upload")
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert ended.stdout.strip() == str(result_dir)
        result_dir.with_name(f"{meta_analysis_id}.log").write_text(ended.stderr, encoding="utf-8")
        return result_dir

    return run


@pytest.mark.parametrize("meta_analysis_id", HOSTS)
def test_maps_are_those_of_the_runner_in_production_and_tables_those_of_its_alpha(
    meta_analysis_id: str, expected: Path, results: Callable[[str], Path]
) -> None:
    result_dir = results(meta_analysis_id)
    wanted = json.loads((expected / f"{meta_analysis_id}.json").read_text(encoding="utf-8"))
    written = {path.name for path in result_dir.glob("*.nii.gz")}
    assert written == set(wanted["maps"])
    assert {path.name for path in result_dir.glob("*_tab-*.tsv")} == set(wanted["tables"])
    for name, figures in wanted["maps"].items():
        found = _map_figures(result_dir / name)
        assert {key: found[key] for key in ("shape", "finite", "nonzero")} == {
            key: figures[key] for key in ("shape", "finite", "nonzero")
        }, name
        for key in ("min", "max", "sum", "sum_of_squares"):
            assert found[key] == pytest.approx(figures[key], rel=1e-6, abs=1e-6), (name, key)
    for name, table in wanted["tables"].items():
        with (result_dir / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        assert len(rows) == table["rows"], name
        for column, value in (table["first_row"] or [{}])[0].items():
            assert rows[0][column] == str(value) or float(rows[0][column]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("meta_analysis_id", HOSTS)
def test_clusters_are_where_q_is_below_alpha_and_all_of_them_are_listed(
    meta_analysis_id: str, results: Callable[[str], Path]
) -> None:
    result_dir = results(meta_analysis_id)
    (diagnostic,) = json.loads((result_dir / "metadata.json").read_bytes())["diagnostics"]
    assert (diagnostic["alpha"], diagnostic["tails"], diagnostic["corrected"]) == (0.05, 2, True)
    assert diagnostic["target_image"] == "z_corr-FDR_method-indep"
    images = [nibabel.load(path) for path in result_dir.glob("label_*.nii.gz")]
    shape = nibabel.load(result_dir / "p_corr-FDR_method-indep.nii.gz").shape
    labelled = np.any([np.asarray(image.dataobj) > 0 for image in images], axis=0) if images else np.zeros(shape, bool)
    q, z = (
        np.asarray(nibabel.load(result_dir / f"{value}_corr-FDR_method-indep.nii.gz").dataobj) for value in ("p", "z")
    )
    significant = (q < 0.05) & (z > 0)  # outside the brain q is 0
    assert not (labelled & ~significant).any()
    clusters, _ = ndimage.label(significant)
    sizes = np.bincount(clusters.ravel())
    large = [number for number in range(1, len(sizes)) if sizes[number] >= diagnostic["cluster_threshold"]]
    assert np.array_equal(labelled, np.isin(clusters, large))
    with (result_dir / "clusters.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["cluster"] for row in rows}) == len(large) == diagnostic["clusters"]["positive"]
    assert sum(int(row["size_mm3"] or 0) for row in rows) == 8 * labelled.sum()
    assert all(float(row["p_corrected"]) < 0.05 for row in rows)


@pytest.mark.parametrize(
    ("meta_analysis_id", "used", "left_out"),
    [
        ("ataCTPAt2LMw", {"studies": 4, "experiments": 4, "foci": 59}, 7),
        ("mHtoV82Dmnm9", {"studies": 47, "experiments": 47, "foci": 967}, 44),
        ("jeqZ65Bsnniw", {"studies": 23, "experiments": 23, "foci": 992}, 47),
    ],
)
def test_log_record_methods_text_and_check_have_the_same_numbers(
    meta_analysis_id: str, used: dict[str, int], left_out: int, results: Callable[[str], Path]
) -> None:
    result_dir = results(meta_analysis_id)
    metadata = json.loads((result_dir / "metadata.json").read_bytes())
    account = metadata["accounting"]["first"]
    assert {name: account["used"][name] for name in used} == used
    assert account["foci"]["outside_mask"] == left_out
    assert account["foci"]["listed"] == left_out + used["foci"] + account["foci"]["without_coordinates"]
    assert metadata["counts"]["first"] == {
        "studies": used["studies"],
        "analyses": used["experiments"],
        "foci": used["foci"],
    }
    assert sum(row["in"] for row in metadata["studies"]) == used["studies"]
    assert sum(row["foci_used"] for row in metadata["studies"] if row["in"]) == used["foci"]
    log = result_dir.with_name(f"{meta_analysis_id}.log").read_text(encoding="utf-8")
    sentence = f"{used['studies']} studies, {used['experiments']} experiments, {used['foci']:,} foci"
    assert f"The first group has {sentence}" in log
    for finding in metadata["audit"]:
        assert log.count(json.dumps(finding["message"], ensure_ascii=False)) == 1
    text = (result_dir / "boilerplate.txt").read_text(encoding="utf-8")
    experiments, studies = (f"{used[name]} {name}" for name in ("experiments", "studies"))
    assert f"{used['foci']:,} foci of {experiments} from {studies}" in text
    assert f"{left_out} further foci outside the mask were not counted" in text
    without = account["selected"]["studies"] - used["studies"]
    assert ("selected, but had no focus" in text) == bool(without)
    assert (f"of {account['selected']['studies']} studies selected" in log) == bool(without)
    checked = subprocess.run(
        [COMPOSE_RUN.with_name("compose-runner"), "check", result_dir / "bundle.json.gz", "--json"],
        capture_output=True,
        check=True,
        timeout=300,
    )
    about = json.loads(checked.stdout)
    assert about == {name: metadata[name] for name in about}
    assert about["accounting"]["first"] == account


def _recorded_for_all(recorded: Path, stand_in: ComposeStandIn) -> None:
    """Serve what was recorded from several Composes as if it were one, which is what a service talks to."""
    for compose_host, store_host in HOSTS.values():
        for ours, theirs in ((stand_in.compose_host, compose_host), (stand_in.store_host, store_host)):
            folder = recorded / theirs / "api"
            for path in folder.rglob("*.json"):
                name = path.relative_to(folder).with_suffix("").as_posix()
                stand_in.put(name, json.loads(path.read_bytes()), host=ours)


@pytest.fixture(scope="module")
def service(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    pytest.importorskip("moto", reason="needs the local extra")
    with ComposeStandIn() as stand_in:
        _recorded_for_all(recorded, stand_in)
        hosts = ("--compose-url", stand_in.compose_api, "--neurostore-url", stand_in.neurostore_api)
        data = tmp_path_factory.mktemp("service")
        with RunningService(data, *hosts, stub=False, REPORT="false") as running:
            yield running


@pytest.mark.parametrize("meta_analysis_id", HOSTS)
def test_the_embedded_service_gives_the_artifacts_that_the_command_line_gives(
    meta_analysis_id: str, service: RunningService, results: Callable[[str], Path]
) -> None:
    submitted = service.submit(meta_analysis_id, no_upload=True)
    ended = service.wait_for(submitted["job_id"], 300)
    assert ended["status"] == "SUCCEEDED", ended
    record = json.loads((results(meta_analysis_id) / "metadata.json").read_bytes())
    for name in ("audit", "accounting", "studies", "counts"):
        assert ended["result"][name] == record[name], name

    def contents(folder: Path) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.name.endswith((".nii.gz", ".tsv", ".txt", ".bib"))
        }

    assert contents(service.data / "artifacts" / submitted["artifact_prefix"]) == contents(results(meta_analysis_id))


def test_a_run_that_uploads_differs_only_by_what_it_knows_of_its_upload(
    recorded: Path, tmp_path: Path, results: Callable[[str], Path]
) -> None:
    with ComposeStandIn(recorded, upload_key=RUN_KEY) as stand_in:
        uploaded = _run("mHtoV82Dmnm9", stand_in, tmp_path / "uploaded")
    assert uploaded.returncode == 0, uploaded.stderr[-2000:]
    assert uploaded.stdout.strip().endswith("/meta-analyses/mHtoV82Dmnm9")

    artifacts = {
        name: {
            path.relative_to(result_dir).as_posix(): path.read_bytes()
            for path in result_dir.rglob("*")
            if path.is_file() and path.suffix != ".pkl" and ".compose-runner" not in path.parts
        }
        for name, result_dir in {"uploaded": tmp_path / "uploaded", "kept": results("mHtoV82Dmnm9")}.items()
    }
    # both can be published: one was, the other may be later
    assert set(artifacts["uploaded"]) == set(artifacts["kept"])
    for name, content in artifacts["kept"].items():
        if name not in ("metadata.json", "publish.json", "bundle.json.gz", "run.log"):
            assert artifacts["uploaded"][name] == content, name
    states = {name: json.loads(contents["publish.json"])["state"] for name, contents in artifacts.items()}
    assert states == {"uploaded": "uploaded", "kept": "prepared"}

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
