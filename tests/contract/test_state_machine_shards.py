"""A job that asks for several tasks is sharded over them, in a real interpreter, and what happens to each of them."""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.tasks import TaskFault
from tests.contract.test_state_machine import Machine, until

if TYPE_CHECKING:
    from collections.abc import Iterator

# N_CORES says how tasks end: "exit codes of the job, one a round / exit codes of shard 0, one an attempt; of shard 1;"
STAND_IN = """
import json, os, sys, time
print(json.dumps({"environment": dict(os.environ)}), flush=True)
job, _, shards = os.environ["N_CORES"].partition("/")
if "SHARD" in os.environ:
    codes, turn = shards.split(";")[int(os.environ["SHARD"])], int(os.environ["ATTEMPT"]) - 1
else:
    codes, turn = job, int(os.environ["SHARD_ROUNDS"])
codes = codes.split(",")
code = codes[min(turn, len(codes) - 1)]
if code == "sleep":
    time.sleep(600)
sys.exit(int(code))
"""


@pytest.fixture(scope="module")
def embedded() -> Iterator[tuple[EmbeddedAws, dict[str, str]]]:
    with EmbeddedAws([sys.executable, "-c", STAND_IN], max_parallel_tasks=6) as aws:
        yield aws, aws.create_fargate(("standard", "large"))


@pytest.fixture
def machine(embedded: tuple[EmbeddedAws, dict[str, str]]) -> Machine:
    aws, made = embedded
    aws.tasks.faults.clear()
    machine = Machine(aws, made, job=f"job-{uuid.uuid4()}")
    machine.set_budget(spent="12.34")
    return machine


def environments(machine: Machine, shard: str | None = None) -> list[dict[str, str]]:
    """Give the variables of every task of one shard, or of those that are the job itself."""
    all_of_them = [one["environment"] for one in machine.printed()]
    return [environment for environment in all_of_them if environment.get("SHARD") == shard]


def test_a_task_that_asks_for_three_is_followed_by_three_shards_and_by_itself(machine: Machine) -> None:
    described = machine.run(codes="103,0/0;0;0")

    assert described["status"] == "SUCCEEDED", described
    first, last = environments(machine)
    assert (first["SHARDS"], first["SHARD_ROUNDS"]) == ("1", "0")
    assert (last["SHARDS"], last["SHARD_ROUNDS"]) == ("3", "1")
    for number in ("0", "1", "2"):
        (environment,) = environments(machine, number)
        assert {
            "SHARDS": "3",
            "ATTEMPT": "1",
            "ARTIFACT_PREFIX": machine.job,
            "META_ANALYSIS_ID": "ataCTPAt2LMw",
            "RESULTS_BUCKET": "results-bucket",
            "RESULTS_PREFIX": "compose-runner/results",
            "JOB_TIMEOUT_SECONDS": "60",
        }.items() <= environment.items()
        assert environment["JOB_STARTED"] == first["JOB_STARTED"]


def test_shards_and_what_comes_after_them_run_on_large_tasks(machine: Machine) -> None:
    described = machine.run(codes="102,0/0;0", size="standard")

    assert json.loads(described["output"])["task_size"] == "large"
    definitions = sorted(task["taskDefinitionArn"] for task in machine.launched())
    assert definitions == sorted([machine.made["standard"], *[machine.made["large"]] * 3])


def test_a_job_may_be_spread_again_for_a_later_run(machine: Machine) -> None:
    described = machine.run(codes="102,102,0/0;0")

    assert described["status"] == "SUCCEEDED"
    assert [environment["SHARD_ROUNDS"] for environment in environments(machine)] == ["0", "1", "2"]


def test_a_shard_that_is_interrupted_is_repeated_alone_and_on_demand(machine: Machine) -> None:
    described = machine.run(codes="103,0/0;75,0;0")

    assert described["status"] == "SUCCEEDED"
    assert [len(environments(machine, number)) for number in ("0", "1", "2")] == [1, 2, 1]
    assert [environment["ATTEMPT"] for environment in environments(machine, "1")] == ["1", "2"]
    providers = [task["capacityProviderName"] for task in machine.launched()]
    assert sorted(providers) == ["FARGATE", *["FARGATE_SPOT"] * 5]


@pytest.mark.parametrize("code", ["137", "143"])
def test_a_shard_that_is_killed_is_repeated(machine: Machine, code: str) -> None:
    assert machine.run(codes=f"102,0/{code},0;0")["status"] == "SUCCEEDED"
    assert len(environments(machine, "0")) == 2


def test_an_analysis_that_cannot_run_in_a_shard_fails_the_job_at_once_with_its_exit_code(machine: Machine) -> None:
    described = machine.run(codes="102,0/1;0")

    assert (described["status"], described["error"]) == ("FAILED", "AnalysisFailed")
    assert "exit code 1" in described["cause"]
    assert len(environments(machine, "0")) == 1
    assert len(environments(machine)) == 1


def test_a_shard_that_ends_the_job_ends_the_others(machine: Machine) -> None:
    described = machine.run(codes="102/1;sleep")

    assert (described["status"], described["error"]) == ("FAILED", "AnalysisFailed")
    until(lambda: not machine.aws.tasks.running)


def test_a_shard_that_fails_for_want_of_a_service_too_often_is_explained(machine: Machine) -> None:
    execution = machine.start(codes="102/75;0", RetryAttempts="0")
    described = machine.aws.wait_for(execution)

    assert (described["status"], described["error"]) == ("FAILED", "TemporaryFailure")


def test_a_job_goes_on_after_a_shard_has_used_its_attempts_up(machine: Machine) -> None:
    described = machine.run(codes="102,0/75;0", RetryAttempts="1")

    assert described["status"] == "SUCCEEDED", described
    assert len(environments(machine, "0")) == 2
    assert [environment["ATTEMPT"] for environment in environments(machine)] == ["1", "2"]


def test_a_shard_that_finds_no_capacity_waits_and_is_launched_again(machine: Machine) -> None:
    execution = machine.start(codes="102,0/0;0")
    until(lambda: bool(environments(machine)))
    machine.aws.tasks.faults.append(TaskFault("Rate exceeded", refused="ThrottlingException"))

    assert machine.aws.wait_for(execution)["status"] == "SUCCEEDED"


def test_a_shard_beyond_the_jobs_time_is_stopped_and_says_so(machine: Machine) -> None:
    described = machine.run(codes="102/sleep;0", TimeoutSeconds="4")

    assert (described["status"], described["error"]) == ("FAILED", "TimedOut")
    until(lambda: not machine.aws.tasks.running)


def test_a_job_that_is_stopped_takes_its_shards_along(machine: Machine) -> None:
    execution = machine.start(codes="102/sleep;sleep")
    until(lambda: len(machine.printed()) == 3)

    machine.aws.client("stepfunctions").stop_execution(executionArn=execution, error="Cancelled", cause="by its owner")

    assert machine.aws.wait_for(execution)["status"] == "ABORTED"
    until(lambda: not machine.aws.tasks.running)
