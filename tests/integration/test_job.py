"""Whole jobs on small studysets with the real NiMARE: what is written, that it repeats, how a job ends."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.job import publish_again, run_job
from compose_runner.errors import (
    AnalysisError,
    ComposeRunnerError,
    DocumentMissingError,
    PublishError,
    ResultDirectoryError,
    SelectionError,
    SpecificationError,
)
from compose_runner.progress import Progress, ProgressRecord, Stage
from tests.support import synthetic
from tests.support.compose_stand_in import Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

META_ANALYSIS = "syntheticOne"
RUN_KEY = "run-key-of-the-synthetic-one"
COMPOSE_RUN = Path(sys.executable).with_name("compose-run")


def _documents(**specification: Any) -> dict[str, Any]:
    studyset = synthetic.random_studyset(8, foci_per_analysis=5)
    wanted = {
        "estimator": "ALE",
        "corrector": "FWECorrector",
        "corrector_args": {"method": "montecarlo", "n_iters": "12"},
        **specification,
    }
    return {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification(**wanted),
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.json"
    path.write_text(json.dumps(_documents()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    result_dir = tmp_path_factory.mktemp("finished")
    run_job("a-label", bundle=bundle, result_dir=result_dir, n_cores=1, report=False)
    return result_dir


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    documents = _documents(corrector="FDRCorrector", corrector_args={"method": "indep"}, estimator="MKDADensity")
    with ComposeStandIn(upload_key=RUN_KEY) as stand_in:
        stand_in.put(
            f"meta-analyses/{META_ANALYSIS}",
            {
                "id": META_ANALYSIS,
                "name": "A synthetic one",
                "run_key": RUN_KEY,
                "specification": documents["specification"],
                "neurostore_studyset": {"id": "synthetic", "studysets": []},
                "neurostore_annotation": {"id": "notes", "annotations": []},
            },
        )
        stand_in.put("studysets/synthetic", documents["studyset"], host=stand_in.store_host)
        stand_in.put("annotations/notes", documents["annotation"], host=stand_in.store_host)
        yield stand_in


@pytest.fixture
def at_stand_in(compose: ComposeStandIn, monkeypatch: pytest.MonkeyPatch) -> ComposeStandIn:
    for name, value in compose.variables().items():
        monkeypatch.setenv(name, value)
    return compose


def _visible(result_dir: Path) -> set[str]:
    return {path.name for path in result_dir.iterdir() if not path.name.startswith(".")}


def _checksums(result_dir: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(result_dir.glob("*.nii.gz"))}


def test_artifacts_have_nimares_own_names(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"boilerplate.txt", "references.bib", "meta_results.pkl", "metadata.json", "stat.nii.gz"} <= names
    assert "z_desc-mass_level-cluster_corr-FWE_method-montecarlo.nii.gz" in names
    assert "z_desc-mass_level-cluster_corr-FWE_method-montecarlo_tab-clust.tsv" in names


@pytest.mark.parametrize("n_cores", [1, 2])
def test_the_same_job_gives_the_same_bytes_whatever_the_cores(
    finished: Path, bundle: Path, tmp_path: Path, n_cores: int
) -> None:
    run_job("again", bundle=bundle, result_dir=tmp_path, n_cores=n_cores, report=False)
    assert _checksums(finished)
    assert _checksums(tmp_path) == _checksums(finished)


def test_nimares_own_engine_gives_the_same_maps(finished: Path, bundle: Path, tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    run_job("own", bundle=bundle, result_dir=tmp_path, report=False, engine="nimare")
    for path in sorted(finished.glob("*.nii.gz")):
        ours, theirs = (np.asarray(nibabel.load(folder / path.name).dataobj) for folder in (finished, tmp_path))
        assert np.abs(ours - theirs).max() <= 1e-6, path.name


def test_another_seed_gives_another_null_distribution_and_is_recorded(
    finished: Path, bundle: Path, tmp_path: Path
) -> None:
    run_job("other", bundle=bundle, result_dir=tmp_path, seed=7, report=False)
    ours, other = _checksums(finished), _checksums(tmp_path)
    assert ours["stat.nii.gz"] == other["stat.nii.gz"]
    assert ours != other
    assert json.loads((tmp_path / "metadata.json").read_bytes())["seed"] == 7


def test_the_specifications_own_seed_is_the_one_that_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    documents = _documents(args={"random_state": "5", "null_method": "montecarlo", "n_iters": 2})
    documents["specification"]["corrector"] = {"type": "FWECorrector", "args": {"voxel_thresh": 0.01, "n_iters": 2}}
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(documents), encoding="utf-8")

    outcome = run_job("seeded", bundle=bundle, result_dir=tmp_path / "result", seed=7, report=False)

    assert outcome.result.estimator.random_state == outcome.metadata["seed"] == 5
    assert outcome.metadata["correction"] == {
        "corrector": "FWECorrector",
        "method": "montecarlo",
        "alpha": 0.05,
        "args": {"voxel_thresh": 0.01, "n_iters": 2},
    }
    text = (tmp_path / "result" / "boilerplate.txt").read_text(encoding="utf-8")
    assert "The seed of all random draws was 5." in text
    assert r"threshold of $p < 0.01$" in text
    assert outcome.result.description_ == text
    assert (tmp_path / "result" / "references.bib").read_text(encoding="utf-8") == outcome.result.bibtex_
    assert "Citation" not in caplog.text


def test_metadata_says_what_made_the_result(finished: Path, bundle: Path) -> None:
    metadata = json.loads((finished / "metadata.json").read_bytes())
    documents = json.loads(bundle.read_bytes())
    assert metadata["meta_analysis_id"] == "a-label"
    assert metadata["result_url"] is None
    assert metadata["seed"] == 42
    assert metadata["specification"] == documents["specification"]
    assert metadata["counts"] == {"first": {"studies": 8, "analyses": 8, "foci": 80}}
    used = metadata["accounting"]["first"]["used"]
    assert (used["studies"], used["experiments"], used["foci"]) == (8, 8, 80)
    assert [one["code"] for one in metadata["audit"]] == ["studies-too-few"]
    assert [row["in"] for row in metadata["studies"]] == [True] * 8
    assert metadata["versions"]["nimare"] >= "0.22.1"
    assert set(metadata["inputs"]) == {"origin", "studyset", "annotation", "specification"}
    assert set(metadata["seconds"]) == {"fetch", "select", "fit", "correct", "diagnose", "write"}
    listed = {artifact["filename"]: artifact for artifact in metadata["artifacts"]}
    on_disk = _visible(finished) - {"metadata.json", "publish.json"}
    assert set(listed) == on_disk
    for name, artifact in listed.items():
        content = (finished / name).read_bytes()
        assert (artifact["size"], artifact["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_pickle_is_nimares_own(finished: Path) -> None:
    program = (
        "import pickle, sys; result = pickle.load(open(sys.argv[1], 'rb'));"
        "print(type(result.estimator).__module__, 'compose_runner' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(finished / "meta_results.pkl")], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["nimare.meta.cbma.ale", "False"]


def test_every_stage_and_every_iteration_is_told(bundle: Path, tmp_path: Path) -> None:
    records: list[ProgressRecord] = []
    run_job("told", bundle=bundle, result_dir=tmp_path, progress=Progress(records.append), report=False)
    stages = list(dict.fromkeys(record.stage for record in records))
    assert stages == [Stage.FETCH, Stage.SELECT, Stage.FIT, Stage.CORRECT, Stage.DIAGNOSE, Stage.WRITE]
    iterations = [record.completed for record in records if record.stage is Stage.CORRECT]
    assert iterations[-1] == 12
    assert iterations == sorted(iterations)


def test_a_specification_without_corrector_is_not_corrected(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(_documents(corrector=None, corrector_args=None)), encoding="utf-8")
    run_job("plain", bundle=bundle, result_dir=tmp_path / "results", report=True)
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert not [name for name in names if "_corr-" in name]
    assert "z_tab-clust.tsv" in names
    assert "report.html" in names


def test_two_groups_are_compared(tmp_path: Path) -> None:
    studyset = synthetic.random_studyset(8)
    documents = {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset, lambda study, _: study % 2 == 0),
        "specification": synthetic.two_groups(corrector="FDRCorrector", corrector_args={"method": "indep"}),
    }
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    outcome = run_job("pair", bundle=bundle, result_dir=tmp_path / "results", report=False)
    assert outcome.metadata["counts"] == {
        "first": {"studies": 4, "analyses": 4, "foci": 32},
        "second": {"studies": 4, "analyses": 4, "foci": 32},
    }
    targets = [diagnostic["target_image"] for diagnostic in outcome.metadata["diagnostics"]]
    assert "z_desc-association_level-voxel_corr-FDR_method-indep" in targets


def test_images_are_analysed_and_accounted_for(tmp_path: Path) -> None:
    studyset = synthetic.with_maps(synthetic.random_studyset(5, analyses_per_study=1), tmp_path / "maps")
    studyset["studies"][4]["analyses"][0]["images"] = []
    documents = {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": synthetic.specification(
            "Stouffers", kind="IBMA", corrector="FDRCorrector", corrector_args={"method": "indep"}
        ),
    }
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    outcome = run_job("images", bundle=bundle, result_dir=tmp_path / "results", n_cores=1, report=False)
    coverage = (tmp_path / "results" / "ibma_coverage.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[4] for line in coverage] == ["included", "true", "true", "true", "true", "false"]
    listed = {artifact["filename"] for artifact in outcome.metadata["artifacts"]}
    assert "ibma_coverage.tsv" in listed
    assert not [name for name in listed if name.startswith("images/")]


@pytest.mark.parametrize(
    ("specification", "error", "words"),
    [
        ({"estimator": "ALEX"}, SpecificationError, "ALEX"),
        ({"column": "absent"}, SelectionError, "absent"),
        ({"conditions": ["false"]}, SelectionError, "included"),
    ],
)
def test_a_job_that_cannot_run_says_why_and_leaves_nothing(
    tmp_path: Path, specification: dict[str, Any], error: type[AnalysisError], words: str
) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(_documents(**specification)), encoding="utf-8")
    with pytest.raises(error, match=words):
        run_job("impossible", bundle=bundle, result_dir=tmp_path / "results")
    assert _visible(tmp_path / "results") <= {"bundle.json.gz", "publish.json"}


def test_an_id_that_compose_does_not_know_says_what_an_id_looks_like(
    at_stand_in: ComposeStandIn, tmp_path: Path
) -> None:
    with pytest.raises(DocumentMissingError, match=r"404.*such as ataCTPAt2LMw.*--environment staging"):
        run_job("https://compose.neurosynth.org/meta-analyses/unheardOf123", result_dir=tmp_path)
    assert [request.path.rpartition("/")[2] for request in at_stand_in.requests] == ["unheardOf123"]


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        (synthetic.specification("NoSuchEstimator"), "NoSuchEstimator"),
        (
            synthetic.specification("ALE", corrector="FWECorrector", corrector_args={"method": "predictive"}),
            "needs the package xgboost",
        ),
    ],
    ids=["unknown", "package"],
)
def test_an_impossible_specification_costs_no_download(
    at_stand_in: ComposeStandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    specification: dict[str, Any],
    words: str,
) -> None:
    # as on a machine without NiMARE's extra
    monkeypatch.setattr("compose_runner.analysis.compute.estimators.find_spec", lambda _name: None)
    document = {
        "id": "impossible",
        "specification": specification,
        "neurostore_studyset": {"id": "synthetic"},
        "neurostore_annotation": {"id": "notes"},
    }
    at_stand_in.put("meta-analyses/impossible", document)
    with pytest.raises(SpecificationError, match=words):
        run_job("impossible", result_dir=tmp_path)
    assert len(at_stand_in.requests) == 1


def test_artifacts_come_before_the_upload_and_survive_a_refusal(at_stand_in: ComposeStandIn, tmp_path: Path) -> None:
    kept: list[str] = []
    at_stand_in.fail("POST", "meta-analysis-results", Answer(422, body={"detail": "collection exists"}))
    with pytest.raises(PublishError, match="collection exists"):
        run_job(
            META_ANALYSIS,
            result_dir=tmp_path,
            report=False,
            after_artifacts=lambda result_dir: kept.extend(path.name for path in result_dir.iterdir()),
        )
    assert {"z.nii.gz", "metadata.json"} <= set(kept)
    assert at_stand_in.results == {}

    url = publish_again(tmp_path)
    assert url.endswith(f"/meta-analyses/{META_ANALYSIS}")
    assert json.loads((tmp_path / "metadata.json").read_bytes())["result_url"] == url
    (result,) = at_stand_in.results.values()
    assert "z.nii.gz" in result.parts("statistical_maps")


def test_the_callers_key_wins_over_the_run_key(at_stand_in: ComposeStandIn, tmp_path: Path) -> None:
    at_stand_in.upload_key = "key-of-the-caller"
    outcome = run_job(META_ANALYSIS, result_dir=tmp_path, report=False, nsc_key="key-of-the-caller")
    assert outcome.url is not None
    assert len(at_stand_in.results) == 1


@contextlib.contextmanager
def _started(bundle: Path, result_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run that would take long, and wait until it computes; it does not outlive the block."""
    documents = json.loads(bundle.read_bytes())
    documents["specification"]["corrector"]["args"]["n_iters"] = 10_000_000
    long = bundle.with_name(f"long-{result_dir.name}.json")
    long.write_text(json.dumps(documents), encoding="utf-8")
    process = subprocess.Popen(
        [COMPOSE_RUN, "long", "--bundle", long, "--result-dir", result_dir, "--log-format", "json", "--no-report"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    try:
        stages = (json.loads(line).get("stage") for line in process.stderr if line.startswith("{"))
        assert "correct" in stages, "the run ended before it computed"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_run_that_is_stopped_leaves_nothing_that_looks_complete(
    bundle: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    result_dir = tmp_path / f"results-{sent.name}"
    with _started(bundle, result_dir) as process:
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err[-2000:]
    assert out == ""
    # what it computes from was kept, to be published with the result
    assert _visible(result_dir) == {"bundle.json.gz", "publish.json"}


def test_what_somebody_keeps_in_a_result_directory_survives_runs_and_is_neither_listed_nor_published(
    at_stand_in: ComposeStandIn, tmp_path: Path
) -> None:
    mine = {"thesis.txt": b"mine", "private_scan.nii.gz": b"scan", "patients.tsv": b"a\tb\n1\t2\n", "raw/a.csv": b"1"}
    (tmp_path / "raw").mkdir()
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ResultDirectoryError, match=r"thesis\.txt"):
        run_job(META_ANALYSIS, result_dir=tmp_path)
    assert not at_stand_in.requests
    for _ in range(2):
        outcome = run_job(META_ANALYSIS, result_dir=tmp_path, report=False, overwrite=True)
        assert {name: (tmp_path / name).read_bytes() for name in mine} == mine
    listed = {artifact["filename"] for artifact in outcome.metadata["artifacts"]}
    assert not listed & set(mine)
    sent = [part.filename for result in at_stand_in.results.values() for part in result.uploads[-1] if part.filename]
    assert len(at_stand_in.results) == 2
    assert set(sent) <= listed
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in written if not name.startswith(".")} - set(mine) == listed | {
        "metadata.json",
        "publish.json",
    }


def test_a_failed_run_leaves_the_result_of_the_one_before(finished: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "results")
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(_documents(estimator="ALEX")), encoding="utf-8")
    with pytest.raises(SpecificationError):
        run_job("broken", bundle=broken, result_dir=tmp_path / "results")
    assert _checksums(tmp_path / "results") == _checksums(finished)
    assert (tmp_path / "results" / "metadata.json").read_bytes() == (finished / "metadata.json").read_bytes()


@pytest.mark.parametrize("part", ["", "bundle.json.gz"])
def test_a_bundle_that_the_run_would_replace_is_refused(finished: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(finished, tmp_path / "results")
    with pytest.raises(ResultDirectoryError, match="part of the result directory"):
        run_job("again", bundle=tmp_path / "results" / part, result_dir=tmp_path / "results")
    assert (tmp_path / "results" / "bundle.json.gz").exists()


def test_a_bundle_run_that_was_given_an_id_can_be_published(
    at_stand_in: ComposeStandIn, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "results")
    with pytest.raises(PublishError, match="a-label"):  # which Compose does not know
        publish_again(tmp_path / "results")
    at_stand_in.put("meta-analyses/a-label", {"id": "a-label", "run_key": RUN_KEY})
    assert publish_again(tmp_path / "results").endswith("/meta-analyses/a-label")
    (result,) = at_stand_in.results.values()
    assert result.created["snapshot_studyset"]["id"] == "synthetic"


def test_a_report_is_not_drawn_where_it_is_not_wanted(finished: Path) -> None:
    assert not (finished / "report.html").exists()
    assert not (finished / "figures").exists()


def test_the_result_is_usable_right_away(bundle: Path, tmp_path: Path) -> None:
    outcome = run_job("notebook", bundle=bundle, result_dir=tmp_path, report=False)
    assert outcome.result.get_map("z").shape == (91, 109, 91)
    again = pickle.loads((tmp_path / "meta_results.pkl").read_bytes())
    assert again.maps.keys() == outcome.result.maps.keys()
    gc.unfreeze()


def _nothing_selected(documents: dict[str, Any]) -> None:
    for note in documents["annotation"]["notes"]:
        note["note"] = dict.fromkeys(note["note"], False)


def _no_sample_sizes(documents: dict[str, Any]) -> None:
    documents["specification"]["estimator"]["args"] = {"kernel__fwhm": None, "kernel__sample_size": None}
    for study in documents["studyset"]["studies"]:
        study["metadata"] = {}
        for analysis in study["analyses"]:
            analysis["metadata"] = {}


def _all_outside(documents: dict[str, Any]) -> None:
    for study in documents["studyset"]["studies"]:
        for analysis in study["analyses"]:
            for point in analysis["points"]:
                point["coordinates"] = [500, 500, 500]


def _no_maps(documents: dict[str, Any]) -> None:
    documents["specification"] = synthetic.specification("Stouffers", {}, kind="IBMA")


def _a_mask_that_is_no_file(documents: dict[str, Any]) -> None:
    documents["specification"]["mask"] = "/nowhere/mask.nii.gz"


@pytest.mark.parametrize(
    "change", [_nothing_selected, _no_sample_sizes, _all_outside, _no_maps, _a_mask_that_is_no_file]
)
def test_a_refused_job_leaves_the_result_of_an_earlier_one_as_it_is(
    change: Callable[[dict[str, Any]], None], finished: Path, tmp_path: Path
) -> None:
    result_dir = tmp_path / "result"
    shutil.copytree(finished, result_dir)
    before = {path: path.read_bytes() for path in result_dir.iterdir() if path.is_file()}
    documents = _documents()
    change(documents)
    refused = tmp_path / "refused.json"
    refused.write_text(json.dumps(documents), encoding="utf-8")

    with pytest.raises(ComposeRunnerError) as error:
        run_job("another", bundle=refused, result_dir=result_dir, n_cores=1, report=False)

    assert error.value.exit_code == 1
    assert str(error.value).endswith(".")
    assert {path: path.read_bytes() for path in result_dir.iterdir() if path.is_file()} == before
    assert len(before) > 10
