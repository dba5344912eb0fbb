from __future__ import annotations

import pytest

from compose_runner.service.storage import JobPaths, is_artifact_prefix, key_parameter


@pytest.mark.parametrize("prefix", ["compose-runner/results", "/compose-runner/results/"])
def test_artifacts_lie_below_the_jobs_folder(prefix: str) -> None:
    paths = JobPaths(prefix, "job-1")
    assert paths.folder == "compose-runner/results/job-1"
    assert paths.artifact("figures/map.png") == "compose-runner/results/job-1/figures/map.png"
    assert paths.metadata == "compose-runner/results/job-1/metadata.json"


def test_without_a_results_prefix_no_key_begins_with_a_slash() -> None:
    paths = JobPaths("", "job-1")
    assert paths.metadata == "job-1/metadata.json"
    assert paths.progress == ".progress/job-1.json"


def test_progress_and_checkpoints_are_not_among_the_artifacts_of_any_job() -> None:
    paths = JobPaths("results", "job-1")
    for key in (paths.progress, paths.checkpoints):
        assert not key.startswith(paths.folder)
        assert not is_artifact_prefix(key.split("/")[1])


@pytest.mark.parametrize("text", ["a", "A-b_9", "x" * 80])
def test_names_of_executions_name_jobs(text: str) -> None:
    assert is_artifact_prefix(text)


@pytest.mark.parametrize("text", ["", "x" * 81, "a/b", "a b", "..", "a\n", "ü", None, 3])
def test_nothing_else_names_a_job(text: object) -> None:
    assert not is_artifact_prefix(text)


def test_a_key_is_kept_under_the_jobs_name() -> None:
    assert key_parameter("/compose-runner/jobs/", "job-1", "nsc_key") == "/compose-runner/jobs/job-1/nsc_key"
