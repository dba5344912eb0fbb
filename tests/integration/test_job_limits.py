"""A job that asks for too much ends before it computes, in a deployment; on one's own machine nothing is limited."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis import stages
from compose_runner.analysis.compute.checkpoints import CheckpointDirectory
from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
from compose_runner.analysis.job import run_job
from compose_runner.errors import LimitExceededError
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.specification.limits import JobLimits
from task.settings import TaskSettings, TaskSettingsError
from tests.support import synthetic
from tests.support.compose_stand_in import STORE_HOST, ComposeStandIn
from tests.support.task_process import BUCKET, Surroundings

if TYPE_CHECKING:
    from pathlib import Path

STUDYSET = synthetic.random_studyset(8, foci_per_analysis=5)


def specification(n_iters: int) -> dict[str, Any]:
    return synthetic.specification(
        "MKDADensity", corrector="FWECorrector", corrector_args={"method": "montecarlo", "n_iters": n_iters}
    )


def put(compose: ComposeStandIn, name: str, n_iters: int) -> None:
    document = {
        "id": name,
        "specification": specification(n_iters),
        "neurostore_studyset": {"id": "studyset"},
        "neurostore_annotation": {"id": "note"},
    }
    compose.put(f"meta-analyses/{name}", document)
    compose.put("studysets/studyset", STUDYSET, host=STORE_HOST)
    compose.put("annotations/note", synthetic.annotated(STUDYSET), host=STORE_HOST)


def bundle(folder: Path, n_iters: int) -> Path:
    path = folder / "bundle.json"
    documents = {
        "studyset": STUDYSET,
        "annotation": synthetic.annotated(STUDYSET),
        "specification": specification(n_iters),
    }
    path.write_text(json.dumps(documents), encoding="utf-8")
    return path


def test_iterations_are_checked_before_a_studyset_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ComposeStandIn() as compose:
        for name, value in compose.variables().items():
            monkeypatch.setenv(name, value)
        put(compose, "excess", 101)
        with pytest.raises(LimitExceededError, match="asks for 101 iterations"):
            run_job("excess", result_dir=tmp_path, monte_carlo=MonteCarloOptions(limits=JobLimits(iterations=100)))
        assert len(compose.requests) == 1


def test_a_prediction_beyond_the_limit_ends_the_job_before_it_computes_or_is_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: Any, **__: Any) -> None:
        raise AssertionError("it computes")

    monkeypatch.setattr(stages, "compute", computed)
    backend = CheckpointDirectory(tmp_path / "kept")
    monte_carlo = MonteCarloOptions(
        backend=backend, most_shards=16, threshold_seconds=0.0, limits=JobLimits(core_hours=1e-6)
    )

    with pytest.raises(LimitExceededError, match="predicted to take"):
        run_job("long", bundle=bundle(tmp_path, 100), result_dir=tmp_path / "results", monte_carlo=monte_carlo)
    assert not list((tmp_path / "results").glob("*.nii.gz"))


def test_on_ones_own_machine_nothing_is_limited(tmp_path: Path) -> None:
    outcome = run_job("own", bundle=bundle(tmp_path, 20), result_dir=tmp_path / "results", report=False)

    assert outcome.metadata["prediction"]["runs"][0]["iterations"] == 20
    assert MonteCarloOptions().limits == JobLimits()


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        ({}, JobLimits()),
        ({"MAX_ITERATIONS": "0", "MAX_PREDICTED_CORE_HOURS": "0"}, JobLimits()),
        ({"MAX_ITERATIONS": "5000", "MAX_PREDICTED_CORE_HOURS": "64"}, JobLimits(5000, 64.0)),
        ({"MAX_ITERATIONS": "1e5", "MAX_PREDICTED_CORE_HOURS": "0.5"}, JobLimits(100_000, 0.5)),
    ],
)
def test_the_task_learns_its_limits_from_its_environment(variables: dict[str, str], limits: JobLimits) -> None:
    job = {"ARTIFACT_PREFIX": "job", "META_ANALYSIS_ID": "abc", "RESULTS_BUCKET": "bucket"}
    assert TaskSettings.read({**job, **variables}).limits == limits
    for wrong in ("many", "-1", "inf", "nan"):
        with pytest.raises(TaskSettingsError, match="MAX_ITERATIONS"):
            TaskSettings.read({**job, "MAX_ITERATIONS": wrong})


def test_a_task_tells_the_limit_in_log_and_metadata_and_is_not_tried_again() -> None:
    program = "import sys, task.main; sys.exit(task.main.main())"
    with EmbeddedAws() as aws, ComposeStandIn() as compose:
        aws.client("s3").create_bucket(Bucket=BUCKET)
        # submit did not see it, as when Compose did not answer; the iterations are within the limit
        put(compose, "long", 10**7)
        around = Surroundings(aws, job=f"job-{uuid.uuid4()}", program=program)

        ended = around.run(
            META_ANALYSIS_ID="long",
            MAX_PREDICTED_CORE_HOURS="0.001",
            MAX_SHARDS="16",
            SHARD_THRESHOLD_SECONDS="900",
            LARGE_TASK_CPU="16384",
            **compose.variables(),
        )

        assert ended.exit_code == 1, ended.text
        (failed,) = [record for record in ended.records if record["message"] == "workflow.failed"]
        assert "this service allows 0.001 for a job" in failed["error"]
        assert around.metadata()["error"] == failed["error"]
