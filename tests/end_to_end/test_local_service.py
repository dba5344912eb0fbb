"""The contract over HTTP, as Compose calls it, against ``compose-runner serve`` with a task that takes a moment."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from tests.support.compose_stand_in import ComposeStandIn
from tests.support.running_service import RunningService, find_task

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMINAL = {"SUCCEEDED", "FAILED"}


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, compose: ComposeStandIn) -> Iterator[RunningService]:
    hosts = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    data = tmp_path_factory.mktemp("service")
    with RunningService(data, *hosts, "--max-parallel-jobs", "2") as running:
        yield running


def test_a_job_goes_from_submit_to_its_artifacts_the_way_compose_asks_for_them(service: RunningService) -> None:
    submitted = service.submit("works", environment="staging", no_upload=True)
    assert submitted["status"] == "SUBMITTED"
    assert "/" not in submitted["job_id"]
    ended = service.wait_for(submitted["job_id"])
    assert ended["status"] == "SUCCEEDED"
    assert ended["artifact_prefix"] == submitted["artifact_prefix"]
    started, stopped = (datetime.fromisoformat(ended[name]) for name in ("start_time", "stop_time"))
    assert started.tzinfo is not None
    assert stopped >= started
    assert ended["output"]["meta_analysis_id"] == "works"
    records = service.post(
        "logs",
        artifact_prefix=submitted["artifact_prefix"],
        start_time=int(started.timestamp() * 1000) - 300_000,
        end_time=int(stopped.timestamp() * 1000) + 300_000,
    ).document["events"]
    assert [json.loads(record["message"])["message"] for record in records] == ["workflow.start", "workflow.success"]
    assert all(isinstance(record["timestamp"], int) for record in records)
    artifacts = service.post("results", artifact_prefix=submitted["artifact_prefix"]).document["artifacts"]
    assert [artifact["filename"] for artifact in artifacts] == ["metadata.json", "z_tab-clust.tsv"]
    content = service.pool.request("GET", artifacts[1]["url"]).data
    assert content == f"the table of {submitted['artifact_prefix']}".encode()


def test_artifacts_are_files_below_the_data_directory_too(service: RunningService) -> None:
    submitted = service.submit("works")
    service.wait_for(submitted["job_id"])
    file = service.data / "artifacts" / submitted["artifact_prefix"] / "tables" / "z_tab-clust.tsv"
    assert file.read_text() == f"the table of {submitted['artifact_prefix']}"


def test_an_analysis_that_cannot_run_fails_once_with_its_reason(service: RunningService) -> None:
    submitted = service.submit("impossible")
    ended = service.wait_for(submitted["job_id"])
    assert ended["status"] == "FAILED"
    assert "The studyset has no analyses." in ended["error"]
    assert service.messages(submitted["artifact_prefix"]) == ["workflow.start", "workflow.failed"]
    assert service.post("results", artifact_prefix=submitted["artifact_prefix"]).document["artifacts"]


def test_a_temporary_failure_is_retried(service: RunningService, tmp_path: Path) -> None:
    mark = str(tmp_path / "mark").replace("/", "+")
    submitted = service.submit(f"again_{mark}")
    ended = service.wait_for(submitted["job_id"])
    assert ended["status"] == "SUCCEEDED", ended
    assert service.messages(submitted["artifact_prefix"]).count("workflow.start") == 3


def test_a_task_that_is_killed_leaves_a_failed_job_with_a_reason_and_what_it_had_written(
    service: RunningService,
) -> None:
    submitted = service.submit("dies")
    ended = service.wait_for(submitted["job_id"], seconds=120)
    assert ended["status"] == "FAILED"
    assert ended["error"]
    artifacts = service.post("results", artifact_prefix=submitted["artifact_prefix"]).document["artifacts"]
    assert [artifact["filename"] for artifact in artifacts] == ["z_tab-clust.tsv"]


def test_a_client_can_stop_a_job(service: RunningService) -> None:
    submitted = service.submit("waits")
    service.wait_for_message(submitted["artifact_prefix"], "workflow.stage")
    answer = service.pool.request("DELETE", service.urls["status"], json={"job_id": submitted["job_id"]})
    assert answer.status == 200, answer.data
    ended = service.wait_for(submitted["job_id"])
    assert (ended["status"], ended["execution_status"]) == ("FAILED", "ABORTED")
    assert "stopped" in ended["error"]
    service.wait_for_message(submitted["artifact_prefix"], "workflow.interrupted")


@pytest.mark.parametrize(
    ("function", "payload", "status"),
    [
        ("submit", {}, 400),
        ("submit", {"meta_analysis_id": ""}, 400),
        ("submit", {"meta_analysis_id": "works", "artifact_prefix": "a/b"}, 400),
        ("status", {"job_id": "nonsense"}, 400),
        ("status", {"job_id": "arn:aws:states:us-east-1:123456789012:execution:compose-runner-jobs:unknown"}, 404),
        ("logs", {}, 400),
        ("results", {"artifact_prefix": "a/b"}, 400),
        ("results", {"artifact_prefix": "a", "expires_in": 0}, 400),
    ],
)
def test_a_request_that_cannot_be_served_says_why(
    service: RunningService, function: str, payload: dict[str, object], status: int
) -> None:
    answer = service.post(function, **payload)
    assert answer.status == status
    assert answer.document["status"] == "FAILED"
    assert answer.document["error"]


def test_a_job_of_one_name_cannot_be_submitted_twice(service: RunningService) -> None:
    service.submit("works", artifact_prefix="named-by-the-client")
    answer = service.post("submit", meta_analysis_id="other", artifact_prefix="named-by-the-client")
    assert (answer.status, answer.document["artifact_prefix"]) == (409, "named-by-the-client")


def test_an_address_that_does_not_exist_is_told_what_does(service: RunningService) -> None:
    answer = service.pool.request("POST", f"{service.endpoint}/nothing")
    assert answer.status == 404
    assert b"results" in answer.data


def test_jobs_beyond_the_limit_wait_for_their_turn(service: RunningService) -> None:
    busy = [service.submit("waits") for _ in range(2)]
    for job in busy:
        service.wait_for_message(job["artifact_prefix"], "workflow.stage")
    waiting = service.submit("works")
    assert service.post("status", job_id=waiting["job_id"]).document["status"] == "RUNNING"
    assert service.messages(waiting["artifact_prefix"]) == []
    for job in busy:
        service.pool.request("DELETE", service.urls["status"], json={"job_id": job["job_id"]})
    assert service.wait_for(waiting["job_id"])["status"] == "SUCCEEDED"


def test_a_restarted_service_knows_finished_jobs_and_fails_those_that_ran(
    tmp_path: Path, compose: ComposeStandIn
) -> None:
    hosts = ("--compose-url", compose.compose_api, "--max-parallel-jobs", "2")
    with RunningService(tmp_path, *hosts) as first:
        finished = first.submit("works")
        before = first.wait_for(finished["job_id"])
        ran = first.submit("waits")
        first.wait_for_message(ran["artifact_prefix"], "workflow.stage")
        assert first.stop(signal.SIGTERM) == 0
        assert "workflow.interrupted" in first.log  # the task was asked to stop, and could say so
    with RunningService(tmp_path, *hosts) as second:
        assert second.post("status", job_id=finished["job_id"]).document == before
        artifacts = second.post("results", artifact_prefix=finished["artifact_prefix"]).document["artifacts"]
        assert second.pool.request("GET", artifacts[0]["url"]).status == 200
        assert second.messages(finished["artifact_prefix"]) == ["workflow.start", "workflow.success"]
        failed = second.post("status", job_id=ran["job_id"]).document
        assert failed["status"] == "FAILED"
        assert "The service was stopped while this job was running" in failed["error"]
        assert second.post("results", artifact_prefix=ran["artifact_prefix"]).document["artifacts"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the task's process in /proc")
def test_a_service_that_is_killed_leaves_no_task_behind_and_reports_its_jobs_as_failed_when_it_is_back(
    tmp_path: Path, compose: ComposeStandIn
) -> None:
    hosts = ("--compose-url", compose.compose_api)
    with RunningService(tmp_path, *hosts) as first:
        ran = first.submit("waits")
        first.wait_for_message(ran["artifact_prefix"], "workflow.stage")
        assert find_task(ran["artifact_prefix"]) is not None
        first.stop(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while find_task(ran["artifact_prefix"]) is not None:  # nobody would take what it writes
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with RunningService(tmp_path, *hosts) as second:
        failed = second.post("status", job_id=ran["job_id"]).document
    assert failed["status"] == "FAILED"
    assert "The service was stopped while this job was running" in failed["error"]


def test_odd_files_in_the_data_directory_are_named_and_all_else_is_answered(
    tmp_path: Path, compose: ComposeStandIn
) -> None:
    hosts = ("--compose-url", compose.compose_api)
    with RunningService(tmp_path, *hosts) as first:
        done = first.submit("works", artifact_prefix="whole")
        first.wait_for(done["job_id"])
    (tmp_path / "outside").write_text("a secret")
    odd = {
        tmp_path / "jobs" / "empty.json": b"",
        tmp_path / "jobs" / "list.json": b"[]",
        tmp_path / "jobs" / "no-date.json": b'{"name": "no-date", "status": "FAILED", "input": "{}"}',
        tmp_path / "logs" / "binary.jsonl": bytes(range(256)),
        tmp_path / "logs" / "odd-time.jsonl": b'{"group": "/compose-runner/task", "timestamp": "x", "message": "m"}',
    }
    for path, content in odd.items():
        path.write_bytes(content)
    links = [
        tmp_path / "artifacts" / "broken",
        tmp_path / "artifacts" / "whole" / "link",
        tmp_path / "logs" / "l.jsonl",
    ]
    for link, target in zip(links, (Path("/nonexistent"), tmp_path / "outside", tmp_path / "outside"), strict=True):
        link.symlink_to(target)
    pipe, folder = tmp_path / "artifacts" / "whole" / "pipe", tmp_path / "jobs" / "folder.json"
    os.mkfifo(pipe)
    folder.mkdir()
    os.utime(tmp_path / "artifacts" / "whole" / "metadata.json", (1e12, 1e12))
    with RunningService(tmp_path, *hosts) as second:
        assert second.post("status", job_id=done["job_id"]).document["status"] == "SUCCEEDED"
        assert second.messages("whole") == ["workflow.start", "workflow.success"]
        listed = second.post("results", artifact_prefix="whole").document["artifacts"]
        assert [artifact["filename"] for artifact in listed] == ["metadata.json", "z_tab-clust.tsv"]
        assert second.post("logs", artifact_prefix="odd-time").document["events"] == []
        taken = second.post("submit", meta_analysis_id="works", artifact_prefix="empty")
        assert taken.status == 409
        assert second.post("status", job_id=done["job_id"].replace("whole", "empty")).status == 404
        assert second.wait_for(second.submit("works")["job_id"])["status"] == "SUCCEEDED"
        for path in (*odd, *links, pipe, folder):
            assert f"{path} is skipped" in second.log, path
        assert "Traceback" not in second.log


def test_two_services_do_not_share_a_data_directory(service: RunningService) -> None:
    other = RunningService(service.data)
    with pytest.raises(AssertionError, match="another service uses"), other:
        pass
    assert other.process is not None
    assert other.process.wait() == 1
    assert Path(service.data).exists()
