from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from botocore.exceptions import ClientError

from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.environment import process_environment
from compose_runner.local.aws.tasks import TaskFault
from tests.support.local_machines import TASK_COMMAND, machine, run_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(TASK_COMMAND, max_parallel_tasks=2) as aws:
        yield aws


@pytest.fixture(scope="module")
def made(aws: EmbeddedAws) -> dict[str, str]:
    return aws.create_fargate()


def wait_for_file(path: Path, aws: EmbeddedAws) -> None:
    pause = threading.Event()
    for _ in range(400):
        if path.exists():
            return
        pause.wait(0.025)
    raise AssertionError(f"the task never made {path}")


def start(aws: EmbeddedAws, definition: str, name: str) -> str:
    states = aws.client("stepfunctions")
    arn = states.create_state_machine(name=name, definition=definition, roleArn="arn:aws:iam::123456789012:role/r")
    return str(states.start_execution(stateMachineArn=arn["stateMachineArn"], name=name)["executionArn"])


def test_a_task_that_exits_with_0_is_a_success_with_its_description(aws: EmbeddedAws, made: dict[str, str]) -> None:
    ended = aws.execute(machine(Run=run_task(made)), name="success")
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"])["Containers"][0]["ExitCode"] == 0


def test_the_log_holds_nothing_of_the_emulators_own(
    aws: EmbeddedAws, made: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    refused: dict[str, object] = {"Type": "Fail", "ErrorPath": "$.refused.error", "CausePath": "$.refused.cause"}
    states: dict[str, dict[str, object]] = {
        "IsRefused": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.refused", "IsPresent": True, "Next": "Refused"}],
            "Default": "Run",
        },
        "Refused": refused,
        "Run": run_task(made, "exit 1", Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Next"}]),
        "Next": {"Type": "Pass", "Parameters": {"x.$": "$.nowhere"}, "End": True},
    }
    ended = aws.execute(machine(**states), name="not-refused")
    assert ended["status"] == "FAILED"  # at the last state, whose path leads nowhere
    assert [record.getMessage() for record in caplog.records if not record.name.startswith("compose_runner")] == []


def test_lines_of_a_task_go_to_its_log_group_under_its_own_stream(aws: EmbeddedAws, made: dict[str, str]) -> None:
    aws.execute(machine(Run=run_task(made)), name="with-lines")
    events = aws.client("logs").filter_log_events(logGroupName="/task", filterPattern='"with-lines"')["events"]
    assert [json.loads(event["message"])["message"] for event in events] == ["workflow.start"]
    assert events[0]["logStreamName"].startswith("task/task/")


@pytest.mark.parametrize("what", ["exit 1", "exit 75"])
def test_another_exit_code_fails_with_the_description_as_cause(
    aws: EmbeddedAws, made: dict[str, str], what: str
) -> None:
    ended = aws.execute(machine(Run=run_task(made, what)), name=what.replace(" ", "-"))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(ended["cause"])
    assert cause["Containers"][0]["ExitCode"] == int(what.split()[1])
    assert cause["StopCode"] == "EssentialContainerExited"
    assert cause["StoppedReason"] == "Essential container in task exited"


def test_a_task_that_is_killed_reports_137(aws: EmbeddedAws, made: dict[str, str]) -> None:
    ended = aws.execute(machine(Run=run_task(made, "kill")), name="killed")
    assert json.loads(ended["cause"])["Containers"][0]["ExitCode"] == 137


def test_a_retry_starts_a_new_task(aws: EmbeddedAws, made: dict[str, str], tmp_path: Path) -> None:
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1, "BackoffRate": 1.0}]
    ended = aws.execute(machine(Run=run_task(made, f"once {tmp_path / 'mark'}", Retry=retry)), name="retried")
    assert ended["status"] == "SUCCEEDED"


def test_stopping_an_execution_stops_its_task_and_keeps_the_reason(
    aws: EmbeddedAws, made: dict[str, str], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    arn = start(aws, machine(Run=run_task(made, f"wait {mark}")), "stopped")
    wait_for_file(mark, aws)
    (run,) = aws.tasks.running
    aws.client("stepfunctions").stop_execution(executionArn=arn, error="Cancelled", cause="a person asked for it")
    ended = aws.wait_for(arn)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Cancelled", "a person asked for it")
    assert run.finished.wait(10)
    assert run.exit_code == 75


def test_a_state_that_times_out_stops_its_task(aws: EmbeddedAws, made: dict[str, str]) -> None:
    ended = aws.execute(machine(Run=run_task(made, "wait", TimeoutSeconds=2)), name="timed-out")
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    for run in aws.tasks.running:
        assert run.finished.wait(10)
    assert aws.tasks.running == []


def _provisioning(aws: EmbeddedAws, cluster: str) -> int:
    """How many tasks wait for their turn."""
    ecs = aws.client("ecs")
    known = ecs.list_tasks(cluster=cluster)["taskArns"]
    tasks = ecs.describe_tasks(cluster=cluster, tasks=known)["tasks"] if known else []
    return sum(task["lastStatus"] == "PROVISIONING" for task in tasks)


def test_tasks_beyond_the_limit_wait_and_can_be_stopped_while_they_wait(
    aws: EmbeddedAws, made: dict[str, str], tmp_path: Path
) -> None:
    before = _provisioning(aws, made["cluster"])  # launches that a test made fail stay so
    marks = [tmp_path / str(number) for number in range(2)]
    busy = [start(aws, machine(Run=run_task(made, f"wait {mark}")), f"busy-{mark.name}") for mark in marks]
    for mark in marks:
        wait_for_file(mark, aws)
    third = tmp_path / "third"
    waiting = start(aws, machine(Run=run_task(made, f"wait {third}")), "waiting")
    pause = threading.Event()
    for _ in range(500):
        if len(aws.tasks.running) == 3 and _provisioning(aws, made["cluster"]) == before + 1:
            break
        pause.wait(0.02)
    assert _provisioning(aws, made["cluster"]) == before + 1
    states = aws.client("stepfunctions")
    for arn in (waiting, *busy):
        states.stop_execution(executionArn=arn)
        assert aws.wait_for(arn)["status"] == "ABORTED"
    for run in aws.tasks.running:
        assert run.finished.wait(10)
    assert not third.exists()


def test_a_refused_launch_is_an_error_of_ecs(aws: EmbeddedAws, made: dict[str, str]) -> None:
    aws.tasks.faults.append(TaskFault("Rate exceeded", refused="ThrottlingException"))
    ended = aws.execute(machine(Run=run_task(made)), name="refused")
    assert ended["error"] == "ECS.AmazonECSException"
    assert "ThrottlingException" in ended["cause"]


def test_a_task_that_never_started_has_no_exit_code(aws: EmbeddedAws, made: dict[str, str]) -> None:
    aws.tasks.faults.append(TaskFault("CannotPullContainerError: no such image"))
    ended = aws.execute(machine(Run=run_task(made)), name="no-image")
    cause = json.loads(ended["cause"])
    assert ended["error"] == "States.TaskFailed"
    assert (cause["StopCode"], cause["StoppedReason"]) == (
        "TaskFailedToStart",
        "CannotPullContainerError: no such image",
    )
    assert "ExitCode" not in cause["Containers"][0]


def test_a_task_without_its_log_group_does_not_start(aws: EmbeddedAws, made: dict[str, str]) -> None:
    logs = aws.client("logs")
    logs.delete_log_group(logGroupName="/task")
    try:
        ended = aws.execute(machine(Run=run_task(made)), name="no-group")
    finally:
        logs.create_log_group(logGroupName="/task")
    assert "ResourceInitializationError" in json.loads(ended["cause"])["StoppedReason"]


def test_a_launch_that_overrides_what_the_state_machine_does_not_leaves_nothing(
    aws: EmbeddedAws, made: dict[str, str], tmp_path: Path
) -> None:
    ecs = aws.client("ecs")
    before = ecs.list_tasks(cluster=made["cluster"])["taskArns"]
    mark = tmp_path / "mark"
    browser = f"/bin/sh -c 'touch {mark}' #%s"
    overrides: tuple[dict[str, object], ...] = (
        {"environment": [{"name": "PYTHONWARNINGS", "value": "all:0:antigravity.x:0:0"}]},
        {"environment": [{"name": "BROWSER", "value": browser}]},
        {"environment": [{"name": "OTHER", "value": "x"}]},
        {"command": ["-c", f"open({str(mark)!r}, 'w')"]},
    )
    aws.tasks.restrict_overrides({"WHAT", "ARTIFACT_PREFIX"})
    try:
        for override in overrides:
            with pytest.raises(ClientError, match="InvalidParameterException"):
                ecs.run_task(
                    cluster=made["cluster"],
                    taskDefinition=made["task"],
                    launchType="FARGATE",
                    networkConfiguration={
                        "awsvpcConfiguration": {"subnets": [made["subnet"]], "securityGroups": [made["security_group"]]}
                    },
                    overrides={"containerOverrides": [{"name": "task", **override}]},
                )
        assert aws.execute(machine(Run=run_task(made)), name="restricted")["status"] == "SUCCEEDED"
    finally:
        aws.tasks.restrict_overrides(None)
    assert not mark.exists()
    assert len(ecs.list_tasks(cluster=made["cluster"])["taskArns"]) <= len(before) + 1


def test_two_in_one_process_are_refused(aws: EmbeddedAws) -> None:
    with pytest.raises(RuntimeError, match="already"):
        EmbeddedAws().start()


def test_a_developers_own_account_is_out_of_reach_of_tasks() -> None:
    assert process_environment({"AWS_PROFILE": "mine", "HOME": "/home/me"}) == {"HOME": "/home/me"}
