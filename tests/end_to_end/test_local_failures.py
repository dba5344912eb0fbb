"""What goes wrong with real tasks in the embedded service: each job ends in a status with its reason, and in time."""

from __future__ import annotations

import shlex
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from tests.support import backend_client, synthetic
from tests.support.compose_stand_in import RESULTS, STORE_HOST, Answer, ComposeStandIn
from tests.support.running_service import REPOSITORY, RunningService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

JOB_SECONDS = 300
STAGES = ("fetch", "fit", "write", "upload", "publish")
KILLED_TASK = REPOSITORY / "tests" / "support" / "killed_task.py"
STUDYSET = synthetic.random_studyset(n_studies=6)
MAPS = {"z.nii.gz", "p.nii.gz"}
DISK_BYTES = 16 * 1024
# space for the service's own records and for no map
DATA_DISK_BYTES = 600 * 1024


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    """A Compose with one small meta-analysis under many names."""
    with ComposeStandIn() as stand_in:
        names = ["held", "refused", "full-disk", "always-killed-publish", *(f"killed-{stage}" for stage in STAGES)]
        for name in names:
            stand_in.put(
                f"meta-analyses/{name}",
                {
                    "id": name,
                    "run_key": "a-run-key",
                    "specification": synthetic.specification(),
                    "neurostore_studyset": {"id": f"studyset-of-{name}"},
                    "neurostore_annotation": {"id": "note"},
                    "results": [],
                },
            )
            stand_in.put(f"studysets/studyset-of-{name}", STUDYSET, host=STORE_HOST)
        stand_in.put("annotations/note", synthetic.annotated(STUDYSET), host=STORE_HOST)
        # every connection is closed without an answer
        stand_in.fail("GET", "meta-analyses/unreachable", *[Answer(drop=True)] * 100)
        yield stand_in


@contextmanager
def disk(path: Path, size: int) -> Iterator[Path | None]:
    """Mount a disk of so many bytes; None where this user cannot mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    yield path if mounted else None
    if mounted:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A disk of a few kilobytes; None where this user cannot mount one."""
    with disk(tmp_path_factory.mktemp("disk"), DISK_BYTES) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, compose: ComposeStandIn, small_disk: Path | None
) -> Iterator[RunningService]:
    hosts = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    variables = {
        "COMPOSE_RUNNER_TASK_COMMAND": shlex.join([sys.executable, str(KILLED_TASK)]),
        "REPORT": "false",
        "FULL_DISK": str(small_disk or ""),
    }
    data = tmp_path_factory.mktemp("service")
    with RunningService(data, *hosts, "--max-parallel-jobs", "2", stub=False, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def jobs(service: RunningService) -> dict[str, dict[str, Any]]:
    """Jobs that wait between their attempts most of the time, all of them at once."""
    names = ["unreachable", "always-killed-publish", *(f"killed-{stage}" for stage in STAGES)]
    return {name: service.submit(name) for name in names}


def artifact_names(service: RunningService, artifact_prefix: str) -> set[str]:
    artifacts = service.post("results", artifact_prefix=artifact_prefix).document["artifacts"]
    return {artifact["filename"] for artifact in artifacts}


def attempts(service: RunningService, artifact_prefix: str) -> int:
    return service.messages(artifact_prefix).count("workflow.start")


def test_a_job_that_a_client_stops_says_so_and_its_task_ends(service: RunningService, compose: ComposeStandIn) -> None:
    compose.fail("GET", "studysets/studyset-of-held", *[Answer(drop=True)] * 100, host=STORE_HOST)
    job = service.submit("held", artifact_prefix="held", nsc_key="a-marked-key")
    service.wait_for_message("held", "workflow.stage", JOB_SECONDS)

    stopped = service.pool.request("DELETE", service.urls["status"], json={"job_id": job["job_id"]})

    assert stopped.status == 200
    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert (ended["status"], ended["execution_status"]) == ("FAILED", "ABORTED")
    assert "A client stopped it." in ended["error"]
    service.wait_for_message("held", "workflow.interrupted", JOB_SECONDS)


def test_an_upload_that_compose_refuses_fails_with_its_words_and_keeps_the_artifacts(
    service: RunningService, compose: ComposeStandIn
) -> None:
    compose.fail("POST", RESULTS, Answer(422, {"detail": "the collection cannot be made"}))

    job = service.submit("refused")

    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert "the collection cannot be made" in ended["error"]
    assert artifact_names(service, job["artifact_prefix"]) >= MAPS
    assert attempts(service, job["artifact_prefix"]) == 1


def test_compose_can_read_in_the_log_why_a_job_failed(service: RunningService) -> None:
    last = backend_client.run(service, "noSuchAnalysis", JOB_SECONDS, environment="production", no_upload=False)[-1]

    assert last.status["status"] == "FAILED"
    assert "noSuchAnalysis" in last.status["error"]
    (failed,) = [record for record in last.records if record["message"] == "workflow.failed"]
    assert failed["error"] == last.status["error"]
    assert last.messages.count("workflow.start") == 1


def test_a_full_disk_ends_the_job_once_with_a_sentence(service: RunningService, small_disk: Path | None) -> None:
    if small_disk is None:
        pytest.skip("only root can mount a disk that is full in a moment")
    job = service.submit("full-disk")
    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert ended["error"].startswith("The analysis needs more disk than the task has")
    assert attempts(service, job["artifact_prefix"]) == 1


def test_a_service_whose_disk_is_full_says_so_and_no_traceback_is_in_its_log(
    compose: ComposeStandIn, tmp_path: Path
) -> None:
    hosts = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    with disk(tmp_path, DATA_DISK_BYTES) as data:
        if data is None:
            pytest.skip("only root can mount a disk that is full in a moment")
        with RunningService(data, *hosts, stub=False, REPORT="false") as service:
            job = service.submit("full-disk", no_upload=True)
            ended = service.wait_for(job["job_id"], JOB_SECONDS)
            messages = service.messages(job["artifact_prefix"])
            logged = service.log
    assert ended["status"] == "FAILED"
    assert ended["error"].startswith("The disk that keeps the service's data is full")
    assert messages.count("workflow.start") == 1
    assert "Traceback" not in logged


@pytest.mark.parametrize("stage", STAGES)
def test_a_task_that_is_killed_in_any_stage_is_repeated_and_ends_well(
    stage: str, service: RunningService, compose: ComposeStandIn, jobs: dict[str, dict[str, Any]]
) -> None:
    job = jobs[f"killed-{stage}"]
    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert ended["status"] == "SUCCEEDED", ended
    assert attempts(service, job["artifact_prefix"]) == 2
    assert artifact_names(service, job["artifact_prefix"]) >= MAPS
    made = [result for result in compose.results.values() if result.created["meta_analysis_id"] == f"killed-{stage}"]
    assert [len(result.uploads) for result in made] == [1]


def test_a_task_that_is_killed_every_time_fails_with_a_reason_and_keeps_its_artifacts(
    service: RunningService, jobs: dict[str, dict[str, Any]]
) -> None:
    job = jobs["always-killed-publish"]
    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert "interrupted" in ended["error"]
    assert artifact_names(service, job["artifact_prefix"]) >= MAPS
    messages = service.messages(job["artifact_prefix"])
    assert messages.count("workflow.start") == 4
    assert messages.count("artifacts.uploaded") == 1  # what was computed once is not computed again


def test_a_compose_that_cannot_be_reached_is_asked_again_and_then_named(
    service: RunningService, jobs: dict[str, dict[str, Any]]
) -> None:
    job = jobs["unreachable"]
    ended = service.wait_for(job["job_id"], JOB_SECONDS)
    assert ended["status"] == "FAILED"
    assert "unreachable" in ended["error"]
    assert "Trying again later may help" in ended["error"]
    assert attempts(service, job["artifact_prefix"]) == 4
