"""A failed job's reason is one sentence, wherever it was left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_runner.service import failure
from compose_runner.service.ports import Execution
from tests.support.job_fakes import STARTED

ECS = {"StoppedReason": "Essential container in task exited", "Containers": [{"ExitCode": 1}]}


def explain(status: str = "FAILED", metadata: Any = None, error: str | None = None, cause: str | None = None) -> str:
    return failure.explain_failure(
        Execution("id", "name", status, STARTED, STARTED, error=error, cause=cause), metadata
    )


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("The filter selects no analysis.", "The filter selects no analysis."),
        (json.dumps({"error": "No group."}), "No group."),
        (json.dumps({"error": {"type": "SelectionError", "message": "No group."}}), "No group."),
        (json.dumps(ECS), "The task stopped: Essential container in task exited, exit code 1."),
        (
            json.dumps({"stoppedReason": "Scaling activity", "containers": [{"reason": "OutOfMemoryError: killed"}]}),
            "The task stopped: Scaling activity, OutOfMemoryError: killed.",
        ),
        ("{broken", "{broken"),
        ("{}", "{}"),
    ],
)
def test_the_cause_is_told(cause: str, expected: str) -> None:
    assert explain(error="States.TaskFailed", cause=cause) == expected


def test_the_tasks_own_account_is_preferred() -> None:
    assert explain(metadata={"error": "The column age does not exist."}, cause=json.dumps(ECS)) == (
        "The column age does not exist."
    )


def test_a_time_out_and_a_stop_are_told_as_what_they_are() -> None:
    assert explain("TIMED_OUT", {"error": "older"}) == failure.TIMED_OUT
    assert explain("ABORTED") == failure.ABORTED
    assert explain("ABORTED", cause="A client stopped it.") == f"{failure.ABORTED} A client stopped it."


def test_a_failure_without_a_reason_says_so() -> None:
    assert explain() == failure.UNKNOWN
    assert "BudgetExceeded" in explain(error="BudgetExceeded")


@given(
    cause=st.none()
    | st.text()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.dictionaries(st.sampled_from(["error", "Containers", "StoppedReason", "cause"]), x | st.lists(x)),
    ).map(json.dumps)
)
def test_every_failure_has_a_sentence(cause: str | None) -> None:
    assert explain(cause=cause)
