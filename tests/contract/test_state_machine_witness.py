"""The deployed definition in a second interpreter: every branch, with answers as AWS may give them, and any others.

The embedded engine shares our assumptions about AWS; this interpreter was written by others for others.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import witness
from tests.support.aws_answers import (
    CANNOT_PASS,
    DONE,
    MAY_PASS,
    NEVER_STARTS,
    QUOTAS,
    STARTS_LATER,
    Answers,
    any_answers,
    budget,
    documents,
    error,
    is_told,
    stopped,
)
from tests.support.state_machine import DEFINITION, EXPLAINED, KEYS_PATH, filled, job, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.witness import Ended, Witness

STATES = dict(states(json.loads(DEFINITION)))
NAMES = [f"{KEYS_PATH}/job/nsc_key", f"{KEYS_PATH}/job/nv_key"]


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Witness]:
    try:
        witness.script()
    except witness.NotHereError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with witness.Witness() as running:
        yield running


def run(interpreter: Witness, answers: Answers, document: Any = None, *, quota_waits: int = 2, **changed: str) -> Ended:
    return interpreter.run(
        filled(changed, quota_waits=quota_waits),
        job() if document is None else document,
        {"ReadBudget": [budget()]} | answers,
    )


def count(ended: Ended, state: str) -> int:
    return sum(call["state"] == state for call in ended.calls)


def deleted(ended: Ended) -> list[Any]:
    return [call["input"]["Names"] for call in ended.calls if call["state"] == "ForgetKeys"]


# ---- a budget's amounts


@pytest.mark.parametrize("as_given", [float, str], ids=["numbers", "texts"])
@pytest.mark.parametrize(("spent", "error"), [(12.34, None), (100, "BudgetExceeded"), (100.5, "BudgetExceeded")])
def test_a_budget_counts_whether_its_amounts_are_numbers_or_texts(
    interpreter: Witness, as_given: Any, spent: float, error: str | None
) -> None:
    ended = run(interpreter, {"ReadBudget": [budget(as_given(spent), as_given(100))]})

    assert ended.error == error
    assert (count(ended, "RunAnalysis") == 0) == (error is not None)


@pytest.mark.parametrize("amount", [None, [], {}, True, "true", "null", "[1]"], ids=json.dumps)
def test_a_budget_without_a_number_starts_nothing(interpreter: Witness, amount: Any) -> None:
    for answer in (budget(amount, 100), budget(1, amount)):
        ended = run(interpreter, {"ReadBudget": [answer]})

        assert (ended.error, count(ended, "RunAnalysis")) == ("BudgetUnavailable", 0)
        assert deleted(ended) == [NAMES]


# ---- a launch that ECS refuses


@pytest.mark.parametrize("name", MAY_PASS)
def test_a_launch_that_may_succeed_later_is_tried_again(interpreter: Witness, name: str) -> None:
    refused = error(*MAY_PASS[name])

    assert run(interpreter, {"RunAnalysis": [refused, DONE]}).status == "SUCCEEDED"
    ended = run(interpreter, {"RunAnalysis": [refused]})
    assert (ended.error, count(ended, "RunAnalysis")) == ("CapacityUnavailable", 3)
    assert "submit it again" in (ended.cause or "")


@pytest.mark.parametrize("name", MAY_PASS)
def test_a_shard_that_may_be_launched_later_is_tried_again_alone(interpreter: Witness, name: str) -> None:
    answers = {"RunShard/1": [error(*MAY_PASS[name]), DONE]}
    ended = run(interpreter, {"RunAnalysis": [stopped(103), DONE]} | answers)

    assert (ended.status, count(ended, "RunShard"), count(ended, "RunAnalysis")) == ("SUCCEEDED", 4, 2)


@pytest.mark.parametrize("name", CANNOT_PASS)
def test_a_launch_that_can_never_succeed_is_not_tried_again(interpreter: Witness, name: str) -> None:
    refused = error(*CANNOT_PASS[name])

    for answers in (
        {"RunAnalysis": [refused, DONE]},
        {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [refused, DONE]},
    ):
        ended = run(interpreter, answers)
        assert (ended.error, count(ended, "RunAnalysis")) == ("LaunchFailed", 1)
        assert CANNOT_PASS[name][1] in (ended.cause or "")
        assert deleted(ended) == [NAMES]


@pytest.mark.parametrize("text", QUOTAS)
def test_waiting_for_a_quota_uses_up_no_attempt(interpreter: Witness, text: str) -> None:
    full = error("ECS.ClientException", text)

    ended = run(interpreter, {"RunAnalysis": [full] * 20 + [stopped(75), stopped(75), DONE]}, quota_waits=20)

    assert ended.status == "SUCCEEDED"
    assert ended.output["attempts"] == 3


def test_a_quota_that_never_frees_itself_is_explained(interpreter: Witness) -> None:
    ended = run(interpreter, {"RunAnalysis": [error("ECS.ClientException", QUOTAS[0])]}, quota_waits=5)

    assert (ended.error, count(ended, "RunAnalysis")) == ("CapacityUnavailable", 6)
    assert "quota" in (ended.cause or "")
    assert deleted(ended) == [NAMES]


def test_a_shard_that_waits_for_a_quota_stops_no_other(interpreter: Witness) -> None:
    answers = {"RunShard/2": [*[error("ECS.ClientException", QUOTAS[0])] * 20, stopped(75), stopped(75), DONE]}

    ended = run(interpreter, {"RunAnalysis": [stopped(103), DONE]} | answers, quota_waits=20)

    assert ended.status == "SUCCEEDED"
    assert (count(ended, "RunShard"), count(ended, "RunAnalysis")) == (2 + 23, 2)


def test_the_waits_for_a_quota_stay_far_below_the_events_that_an_execution_may_have() -> None:
    quota = STATES["Settings"]["Parameters"]["quota"]
    # "Execution event history size: 25,000" (Step Functions service quotas): a wait of each of 24 shards enters and
    # leaves a task (5 events), three choices, a pass and a wait
    assert quota["left"] * 24 * (5 + 2 * 5) < 12_500
    assert quota["left"] * (quota["from"] + quota["to"]) / 2 > 4 * 3600


# ---- a task that stopped


def not_started(text: str, **changed: Any) -> dict[str, Any]:
    return stopped(StoppedReason=text, **changed)


def told_twice(text: str) -> tuple[dict[str, Any], ...]:
    # aws/copilot-cli#1893: the detail may stand in the container's reason alone
    container = {"Name": "task", "Reason": text}
    return not_started(text), not_started("Task failed to start", Containers=[container])


@pytest.mark.parametrize("text", STARTS_LATER)
def test_a_task_that_may_start_later_is_tried_again(interpreter: Witness, text: str) -> None:
    for failure in told_twice(text):
        ended = run(interpreter, {"RunAnalysis": [failure]})
        assert (ended.error, count(ended, "RunAnalysis")) == ("CapacityUnavailable", 3)
        sharded = run(interpreter, {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [failure, DONE]})
        assert (sharded.status, count(sharded, "RunShard")) == ("SUCCEEDED", 3)


@pytest.mark.parametrize("text", NEVER_STARTS)
def test_a_task_that_never_starts_is_not_tried_again(interpreter: Witness, text: str) -> None:
    for failure in told_twice(text):
        ended = run(interpreter, {"RunAnalysis": [failure]})
        assert (ended.error, count(ended, "RunAnalysis")) == ("LaunchFailed", 1)
        sharded = run(interpreter, {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [failure, DONE]})
        assert (sharded.error, count(sharded, "RunAnalysis")) == ("LaunchFailed", 1)


@pytest.mark.parametrize("exit_code", ["null", '"1"', "[]", "{}", "true"])
def test_an_exit_code_that_is_no_number_says_nothing(interpreter: Witness, exit_code: str) -> None:
    # boto3 leaves it out; an SDK may give null for a container that never ran
    failure = stopped(7777)
    failure["cause"] = failure["cause"].replace("7777", exit_code)

    ended = run(interpreter, {"RunAnalysis": [failure]})

    assert (ended.error, count(ended, "RunAnalysis")) == ("CapacityUnavailable", 3)
    sharded = run(interpreter, {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [failure, DONE]})
    assert (sharded.status, count(sharded, "RunShard")) == ("SUCCEEDED", 3)


@pytest.mark.parametrize(
    ("reason", "attempts"), [("OutOfMemoryError: Container killed due to memory usage", 1), (None, 2)]
)
def test_a_standard_task_that_was_killed_goes_on_as_a_large_one(
    interpreter: Witness, reason: str | None, attempts: int
) -> None:
    # aws/amazon-ecs-agent#2467: reason and code are not always consistent; nobody asked this task to stop
    ended = run(interpreter, {"RunAnalysis": [stopped(137, reason), DONE]})

    assert (ended.status, ended.output["task_size"], ended.output["attempts"]) == ("SUCCEEDED", "large", attempts)


def test_a_standard_task_that_was_stopped_stays_a_standard_one(interpreter: Witness) -> None:
    for code in ("UserInitiated", "SpotInterruption", "TerminationNotice"):
        ended = run(interpreter, {"RunAnalysis": [stopped(137, StopCode=code), DONE]})
        assert (ended.status, ended.output["task_size"]) == ("SUCCEEDED", "standard")


def test_a_large_task_that_was_killed_is_tried_again(interpreter: Witness) -> None:
    ended = run(interpreter, {"RunAnalysis": [stopped(137)]}, job(task_size="large"))

    assert (ended.error, count(ended, "RunAnalysis")) == ("TaskInterrupted", 3)


def test_a_task_that_asks_for_shards_for_ever_comes_to_an_end(interpreter: Witness) -> None:
    assert run(interpreter, {"RunAnalysis": [stopped(103)]}).error == "AnalysisFailed"


def test_what_a_task_leaves_behind_is_no_part_of_the_next_state(interpreter: Witness) -> None:
    assert STATES["RunAnalysis"]["ResultPath"] is None
    assert run(interpreter, {"RunAnalysis": [{"output": {"Overrides": "x" * 1000}}]}).status == "SUCCEEDED"


# ---- every state, and every shape


def test_every_state_is_entered(interpreter: Witness) -> None:
    full = error("ECS.ClientException", QUOTAS[0])
    later = not_started("InternalError")
    jobs: list[tuple[Any, Answers]] = [
        (job(refused={"error": "SpecificationRefused", "cause": "no"}), {}),
        (job(refused=None), {}),
        ({}, {}),
        (job(task_size="large"), {"RunAnalysis": [stopped(1)]}),
        (job(), {"ReadBudget": [budget(100, 100)]}),
        (job(), {"ReadBudget": [error("Budgets.NotFoundException", "no")]}),
        (job(), {"RunAnalysis": [stopped(75), stopped(143), later, error("ECS.ServerException", "x"), DONE]}),
        (job(), {"RunAnalysis": [stopped(137, "OutOfMemoryError"), stopped(137, "OutOfMemoryError")]}),
        (job(), {"RunAnalysis": [stopped(137), DONE]}),
        (job(), {"RunAnalysis": [full]}),
        (job(), {"RunAnalysis": [error("States.Timeout", "x")]}),
        (job(), {"RunAnalysis": [error(*CANNOT_PASS["denied"])]}),
        (job(), {"RunAnalysis": [not_started(NEVER_STARTS[0])]}),
        (job(), {"RunAnalysis": [error("ECS.Odd", None), {"error": 5}]}),
        (
            job(),
            {"RunAnalysis": [stopped(StoppedReason=None), stopped(StoppedReason=None, Containers=[{"Reason": "x"}])]},
        ),
        (job(), {"RunAnalysis": [error("States.TaskFailed", "{no}")]}),
        (job(), {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [full, later, error("ECS.Odd", None), DONE]}),
        (job(), {"RunAnalysis": [stopped(102), DONE], "RunShard/0": [{"error": 5}, DONE]}),
        (job(), {"RunAnalysis": [stopped(102)], "RunShard/0": [full]}),
        (job(), {"RunAnalysis": [stopped(102)], "RunShard/0": [stopped(1)]}),
        (job(), {"RunAnalysis": [stopped(102)], "RunShard/0": [error("States.Timeout", "x")]}),
    ]
    entered = {
        state for document, answers in jobs for state in run(interpreter, answers, document, RetryAttempts="4").entered
    }

    assert set(STATES) - entered == set()


@pytest.mark.parametrize(
    "answers",
    [
        {"RunAnalysis": [{"error": "States.TaskFailed", "cause": "{cut off}"}]},
        {"ReadBudget": [budget("a lot", 100)]},
        {"RunAnalysis": [stopped(103, Containers={"0": {"ExitCode": 103}})]},
    ],
    ids=["cause", "amount", "containers"],
)
def test_what_no_path_can_tell_is_caught_and_named(interpreter: Witness, answers: Answers) -> None:
    # "A retry or catch on States.ALL won't catch States.Runtime errors" (Handling errors in Step Functions workflows):
    # what AWS calls so must not happen at all. Text that is no JSON is all that is left.
    ended = run(interpreter, answers)

    assert ended.error in EXPLAINED
    assert deleted(ended) == [NAMES]


def test_a_shard_that_cannot_be_read_does_not_end_the_job_unexplained(interpreter: Witness) -> None:
    broken = {"error": "States.TaskFailed", "cause": "{cut off}"}

    ended = run(interpreter, {"RunAnalysis": [stopped(102), DONE], "RunShard/1": [broken, DONE]})

    assert ended.status == "SUCCEEDED" or ended.error in EXPLAINED


@given(
    document=documents,
    answers=any_answers,
    guarded=st.booleans(),
)
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_is_answered_a_job_ends_explained_and_its_keys_are_deleted(
    interpreter: Witness, document: dict[str, Any], answers: Answers, guarded: bool
) -> None:
    ended = run(interpreter, answers, document, BudgetGuard="on" if guarded else "off")

    if ended.status == "SUCCEEDED":
        assert DONE in answers["RunAnalysis"]
        return
    assert isinstance(ended.cause, str), ended
    if "refused" in document:
        assert (ended.error, ended.calls) == ("SpecificationRefused", [])
        return
    assert ended.error in EXPLAINED, ended
    assert deleted(ended)[-1] == NAMES
    if ended.error == "UnexpectedFailure":
        assert not all(is_told(name, answers) for name in answers), ended


def test_a_definition_that_step_functions_would_refuse_is_refused(interpreter: Witness) -> None:
    # asl-validator is part of the interpreter, and reads schema, paths and names of states
    broken = filled()
    broken["States"]["HasFailed"]["Default"] = "NoSuchState"

    with pytest.raises(AssertionError, match="NoSuchState"):
        interpreter.run(broken, job(), {})
