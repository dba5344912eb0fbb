"""What status tells, with executions and the bucket in memory."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.service.errors import AwsServiceError, CancelForbiddenError, JobMissingError, RequestError
from compose_runner.service.ports import Execution
from compose_runner.service.status import StatusService
from tests.support.job_fakes import STARTED, ArtifactsInMemory, ExecutionsInMemory, KeysInMemory

PROGRESS = {"stage": "fit", "completed": 1, "total": 4, "percent": 25.0, "updated": "2026-06-01T10:00:00Z"}


def read_status(status: str, documents: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    stopped = None if status in ("RUNNING", "PENDING_REDRIVE") else STARTED
    executions = ExecutionsInMemory({"job": Execution("id-of-job", "job", status, STARTED, stopped, **fields)})
    jobs = StatusService(executions, ArtifactsInMemory(documents or {}), KeysInMemory(), "results")
    return jobs.status("id-of-job").model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize(
    ("execution_status", "status"),
    [
        ("RUNNING", "RUNNING"),
        ("PENDING_REDRIVE", "RUNNING"),
        ("SUCCEEDED", "SUCCEEDED"),
        ("FAILED", "FAILED"),
        ("TIMED_OUT", "FAILED"),
        ("ABORTED", "FAILED"),
        ("A_WORD_OF_THE_FUTURE", "FAILED"),
    ],
)
def test_clients_see_three_words_and_the_engines_own_beside_them(execution_status: str, status: str) -> None:
    reply = read_status(execution_status)

    assert (reply["status"], reply["execution_status"]) == (status, execution_status)


def test_progress_is_told_while_a_job_runs_and_not_afterwards() -> None:
    documents = {"results/.progress/job.json": PROGRESS}

    assert read_status("RUNNING", documents)["progress"]["percent"] == 25.0
    assert "progress" not in read_status("SUCCEEDED", documents)


@pytest.mark.parametrize("found", [{"stage": "unknown"}, AwsServiceError("cannot be read", "AccessDenied")])
def test_progress_that_cannot_be_read_costs_only_itself(found: Any) -> None:
    reply = read_status("RUNNING", {"results/.progress/job.json": found})

    assert reply["status"] == "RUNNING"
    assert "progress" not in reply


def test_artifacts_are_looked_for_where_the_job_was_told_to_leave_them() -> None:
    reply = read_status(
        "SUCCEEDED",
        {"elsewhere/job/metadata.json": {"result_url": "x"}},
        input='{"results": {"bucket": "b", "prefix": "elsewhere"}}',
    )

    assert reply["result"] == {"result_url": "x"}


@pytest.mark.parametrize(
    ("output", "expected"),
    [(None, {}), ('{"a": 1}', {"a": 1}), ("[1]", {"raw_output": [1]}), ("x", {"raw_output": "x"})],
)
def test_the_output_is_always_an_object(output: str | None, expected: dict[str, Any]) -> None:
    assert read_status("SUCCEEDED", output=output)["output"] == expected


def test_a_failed_job_tells_the_engines_account_as_well() -> None:
    reply = read_status("FAILED", error="BudgetExceeded", cause="The monthly budget is spent.")

    assert reply["error"] == "The monthly budget is spent."
    assert (reply["error_name"], reply["cause"]) == ("BudgetExceeded", "The monthly budget is spent.")


def test_a_job_that_was_submitted_just_now_is_found() -> None:
    executions = ExecutionsInMemory()
    found = Execution("id-of-job", "job", "RUNNING", STARTED)
    jobs = StatusService(
        executions,
        ArtifactsInMemory(),
        KeysInMemory(),
        "results",
        pause=lambda _: executions.kept.update(job=found),
    )

    assert jobs.status("id-of-job").status == "RUNNING"


def test_a_job_that_does_not_exist_and_an_id_of_another_kind_are_told_apart() -> None:
    waited: list[float] = []
    jobs = StatusService(ExecutionsInMemory(), ArtifactsInMemory(), KeysInMemory(), "results", pause=waited.append)

    with pytest.raises(JobMissingError):
        jobs.status("id-of-job")
    assert waited == [1.0]
    with pytest.raises(RequestError):
        jobs.status("something")


def test_a_client_stops_a_job_only_where_that_is_allowed() -> None:
    executions = ExecutionsInMemory({"job": Execution("id-of-job", "job", "RUNNING", STARTED)})
    keys = KeysInMemory()
    with pytest.raises(CancelForbiddenError):
        StatusService(executions, ArtifactsInMemory(), keys, "results").cancel("id-of-job")

    reply = StatusService(executions, ArtifactsInMemory(), keys, "results", allow_cancel=True).cancel("id-of-job")

    assert (reply.status, reply.execution_status) == ("FAILED", "ABORTED")
    assert "A client stopped it." in (reply.error or "")


def test_the_keys_of_a_job_that_a_client_stops_are_deleted_and_no_others() -> None:
    executions = ExecutionsInMemory({"job": Execution("id-of-job", "job", "RUNNING", STARTED)})
    keys = KeysInMemory({"job": {"nsc_key": "x"}, "other": {"nsc_key": "y"}})

    StatusService(executions, ArtifactsInMemory(), keys, "results", allow_cancel=True).cancel("id-of-job")

    assert keys.kept == {"other": {"nsc_key": "y"}}


def test_stopping_a_job_that_has_ended_changes_nothing() -> None:
    executions = ExecutionsInMemory({"job": Execution("id-of-job", "job", "SUCCEEDED", STARTED, STARTED)})
    keys = KeysInMemory()

    reply = StatusService(executions, ArtifactsInMemory(), keys, "results", allow_cancel=True).cancel("id-of-job")

    assert reply.status == "SUCCEEDED"


def test_progress_of_a_job_that_is_spread_is_that_of_all_its_tasks() -> None:
    sharded = {"stage": "correct", "completed": 0, "total": 400, "seconds_left": 50, "shards": 4}
    documents = {
        "results/.progress/job.json": {**sharded, "updated": "2026-06-01T10:00:00Z"},
        "results/.progress/job/0.json": {**PROGRESS, "stage": "correct", "completed": 100, "total": 100},
        "results/.progress/job/3.json": {**PROGRESS, "stage": "correct", "completed": 20, "total": 100},
    }

    progress = read_status("RUNNING", documents)["progress"]

    assert (progress["completed"], progress["total"], progress["percent"]) == (120, 400, 30.0)
    assert (progress["seconds_left"], progress["shards"]) == (50.0, 4)
