"""What ``compose-runner serve`` adds to the contract: bundles that are sent, jobs that are removed, its pages."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from tests.support.compose_stand_in import ComposeStandIn
from tests.support.running_service import COMMAND, RunningService, environment
from tests.support.sample_specifications import STANDARD_SPECIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# a task that says which inputs it was given
TASK = """
import hashlib, json, os, pathlib
bundle = os.environ.get("BUNDLE_FILE")
digest = hashlib.sha256(pathlib.Path(bundle).read_bytes()).hexdigest() if bundle else None
print(json.dumps({"message": "given", "artifact_prefix": os.environ["ARTIFACT_PREFIX"], "bundle": digest,
                  "upload": os.environ["NO_UPLOAD"]}), flush=True)
"""
BUNDLE = json.dumps({"studyset": {"id": "s"}, "annotation": {"id": "a"}, "specification": STANDARD_SPECIFICATION})
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as stand_in:
        yield stand_in


def serve(data: Path, compose: ComposeStandIn, *options: str) -> RunningService:
    hosts = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    command = shlex.join([sys.executable, "-c", TASK])
    return RunningService(data, *hosts, *options, stub=False, COMPOSE_RUNNER_TASK_COMMAND=command)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, compose: ComposeStandIn) -> Iterator[RunningService]:
    with serve(tmp_path_factory.mktemp("service"), compose) as running:
        yield running


def call(service: RunningService, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, Any]:
    answer = service.pool.request(
        method, f"{service.endpoint}{path}", body=body, headers=headers or None, retries=False, redirect=False
    )
    return answer.status, answer.data if headers else json.loads(answer.data)


def read_record(service: RunningService, name: str) -> dict[str, Any]:
    (event,) = service.post("logs", artifact_prefix=name).document["events"]
    record: dict[str, Any] = json.loads(event["message"])
    return record


def run_rm(service: RunningService, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "rm", *arguments], env=environment(), capture_output=True, text=True, check=False, timeout=60
    )


def test_a_job_of_a_bundle_gets_that_bundle_and_no_other_job_does(service: RunningService) -> None:
    status, started = call(service, "POST", "/bundles?artifact_prefix=sent", BUNDLE)
    assert status == 202
    service.wait_for(started["job_id"])
    other = service.submit("anything", artifact_prefix="asked")
    service.wait_for(other["job_id"])

    sent = read_record(service, "sent")
    assert (sent["bundle"], sent["upload"]) == (hashlib.sha256(BUNDLE.encode()).hexdigest(), "true")
    assert read_record(service, "asked")["bundle"] is None
    assert call(service, "POST", "/bundles?artifact_prefix=sent", BUNDLE)[0] == 409


def test_a_removed_job_is_unknown_everywhere_and_its_name_is_free(service: RunningService) -> None:
    started = call(service, "POST", "/bundles?artifact_prefix=again", BUNDLE)[1]
    service.wait_for(started["job_id"])
    (service.data / "artifacts" / "again").mkdir(exist_ok=True)
    mine = service.data / "artifacts" / "again" / "mine.txt"
    mine.write_text("mine")
    os.utime(mine, (0, 0))

    removed = run_rm(service, "again", "--endpoint", service.endpoint)

    assert (removed.returncode, removed.stdout) == (0, "again removed\n")
    assert "mine.txt stays" in removed.stderr
    left = [path for path in service.data.rglob("*again*") if path.name != "again"]
    assert (left, mine.read_text()) == ([], "mine")
    assert service.post("status", job_id=started["job_id"]).status == 404
    assert service.post("logs", artifact_prefix="again").document["events"] == []
    assert "again" not in [job["artifact_prefix"] for job in call(service, "GET", "/jobs")[1]["jobs"]]
    mine.unlink()
    second = service.submit("anything", artifact_prefix="again")
    assert service.wait_for(second["job_id"])["status"] == "SUCCEEDED"
    assert read_record(service, "again")["bundle"] is None
    twice = run_rm(service, "nothing", "--endpoint", service.endpoint)
    assert twice.returncode == 1
    assert "there is no job nothing" in twice.stderr


def test_a_browser_gets_pages_and_everybody_else_json(service: RunningService) -> None:
    job = service.submit("anything", artifact_prefix="shown")
    service.wait_for(job["job_id"])
    for path in ("/", f"/status/jobs/{job['job_id']}", f"/status?job_id={job['job_id']}", "/docs"):
        assert call(service, "GET", path, **BROWSER)[1].startswith(b"<!doctype html>")
    assert call(service, "GET", "/")[1] == service.urls
    plain = call(service, "GET", f"/status/jobs/{job['job_id']}")[1]
    assert plain == call(service, "GET", "/jobs/shown")[1] == service.post("status", job_id=job["job_id"]).document
    more = service.post("status", job_id=job["job_id"], include="logs,artifacts").document
    assert [json.loads(one["message"])["message"] for one in more["logs"]["events"]] == ["given"]
    assert more["artifacts"] == []
    assert call(service, "GET", "/openapi.json")[1]["paths"]["/bundles"]


@pytest.mark.slow
def test_jobs_are_removed_so_many_days_after_their_end(tmp_path: Path, compose: ComposeStandIn) -> None:
    with serve(tmp_path, compose) as first:
        for name in ("old", "new"):
            first.wait_for(first.submit("anything", artifact_prefix=name)["job_id"])
    record = json.loads((tmp_path / "jobs" / "old.json").read_text())
    record |= {"startDate": "2001-01-01T00:00:00+00:00", "stopDate": "2001-01-01T00:01:00+00:00"}
    (tmp_path / "jobs" / "old.json").write_text(json.dumps(record))
    assert run_rm(first, "new", "--data", str(tmp_path / "jobs")).returncode == 1  # no directory of a service

    with serve(tmp_path, compose, "--keep-days", "1.5") as second:
        busy = run_rm(second, "new", "--data", str(tmp_path))
        assert (busy.returncode, "A service uses" in busy.stderr) == (1, True)
    # it is closed after what it was doing
    assert {path.name for path in (tmp_path / "jobs").iterdir()} == {"new.json"}
    assert not (tmp_path / "logs" / "old.jsonl").exists()

    assert run_rm(second, "new", "--data", str(tmp_path)).stdout == "new removed\n"
    assert list((tmp_path / "jobs").iterdir()) == []
