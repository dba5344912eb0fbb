"""What a caller may ask of a service, from the parameter of the deployment to what Compose and a person see."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from tests.support import backend_client, synthetic
from tests.support.compose_stand_in import ComposeStandIn
from tests.support.running_service import COMMAND, RunningService, environment
from tests.support.sample_specifications import LARGE_SPECIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = ("--parameter", "MaxIterations=99", "--parameter", "MaxRunningJobs=1")


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as stand_in:
        nonsense = {**synthetic.specification(), "estimator": {"type": "Nonsense", "args": {}}}
        stand_in.put("meta-analyses/nonsense", {"id": "nonsense", "specification": nonsense})
        stand_in.put("meta-analyses/excess", {"id": "excess", "specification": LARGE_SPECIFICATION})
        yield stand_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, compose: ComposeStandIn) -> Iterator[RunningService]:
    data = tmp_path_factory.mktemp("service")
    with RunningService(data, "--compose-url", compose.compose_api, *LIMITS) as running:
        yield running


@pytest.mark.parametrize(("job", "text"), [("nonsense", "Nonsense"), ("excess", "this service allows 99")])
def test_compose_learns_from_status_and_log_why_a_job_cannot_run(service: RunningService, job: str, text: str) -> None:
    looks = backend_client.run(service, job, 60, environment="production", no_upload=False)

    last = looks[-1]
    assert last.status["status"] == "FAILED"
    assert text in last.status["error"]
    (record,) = last.records
    assert (record["message"], record["error"]) == ("workflow.failed", last.status["error"])


def test_a_restarted_service_still_knows_why_a_job_could_not_run(tmp_path: Path, compose: ComposeStandIn) -> None:
    with RunningService(tmp_path, "--compose-url", compose.compose_api) as first:
        submitted = first.submit("nonsense", artifact_prefix="kept")
        first.wait_for(submitted["job_id"])
    with RunningService(tmp_path, "--compose-url", compose.compose_api) as second:
        assert second.wait_for(submitted["job_id"])["error"] == submitted["error"]
        assert second.messages("kept") == ["workflow.failed"]


def test_a_further_job_is_turned_away_until_the_running_one_has_ended(service: RunningService) -> None:
    running = service.submit("waits")

    refused = service.post("submit", meta_analysis_id="works")
    assert (refused.status, refused.document["status"]) == (429, "FAILED")
    assert service.post("submit", meta_analysis_id="nonsense").status == 202

    service.pool.request("DELETE", service.urls["status"], json={"job_id": running["job_id"]})
    service.wait_for(running["job_id"])
    assert service.wait_for(service.submit("works")["job_id"])["status"] == "SUCCEEDED"


def submit(service: RunningService, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "submit", "nonsense", *options],
        env=environment(COMPOSE_RUNNER_ENDPOINT=service.endpoint),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_person_is_told_at_once_and_gets_the_jobs_id(service: RunningService) -> None:
    done = submit(service, "--artifact-prefix", "told")

    assert done.returncode == 1
    assert done.stdout.strip().endswith(":told")
    assert "no estimator 'Nonsense'" in done.stderr


def test_a_script_that_follows_is_told_in_both_documents(service: RunningService) -> None:
    done = submit(service, "--follow", "--json")

    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert documents[0]["error"] == documents[-1]["error"]
