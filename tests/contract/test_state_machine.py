"""The deployed definition runs in a real interpreter through each of its branches."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from compose_runner.local.aws.call_faults import CallFault
from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.aws.tasks import TaskFault, Tasks
from tests.support.aws_answers import QUOTAS, STARTS_LATER, Answers, answers_of_aws, budget, documents, is_told
from tests.support.state_machine import BUDGET, DEFINITION, EXPLAINED, KEYS_PATH, filled, job, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# exits with the codes listed in CODES, one for each attempt; prints its environment; SLEEP keeps it running
STAND_IN = """
import json, os, sys, time
print(json.dumps({"argument": sys.argv[1], "environment": dict(os.environ)}), flush=True)
codes = os.environ["N_CORES"].split(",")
if os.environ["NO_UPLOAD"] == "sleep":
    time.sleep(600)
attempt = int(os.environ["ATTEMPT"])
sys.exit(int(codes[min(attempt, len(codes)) - 1]))
"""


@dataclass
class Machine:
    """The state machine in an embedded AWS."""

    aws: EmbeddedAws
    made: dict[str, str]
    job: str
    waits: bool = True

    def definition(self, **changed: str) -> str:
        """Fill in the definition, with waits as short as they can be."""
        values = {
            "AccountId": self.aws.account,
            "StandardTaskDefinition": self.made["standard"],
            "LargeTaskDefinition": self.made["large"],
            "Cluster": self.made["cluster"],
            "SubnetOne": self.made["subnet"],
            "SubnetTwo": self.made["subnet"],
            "SecurityGroup": self.made["security_group"],
        }
        return json.dumps(filled(values | changed, quota_waits=2, waits=self.waits))

    def start(
        self,
        *,
        codes: str = "0",
        size: str = "standard",
        behaviour: str = "false",
        refused: dict[str, str] | None = None,
        document: Any = None,
        **changed: str,
    ) -> str:
        """Start one job and return its execution's ARN."""
        step_functions = self.aws.client("stepfunctions")
        machine = step_functions.create_state_machine(
            name=f"machine-{self.job}",
            definition=self.definition(**changed),
            roleArn="arn:aws:iam::123456789012:role/jobs",
        )
        if document is None:
            document = job(
                self.job,
                no_upload=behaviour,
                n_cores=codes,
                task_size=size,
                **({"refused": refused} if refused else {}),
            )
        started: dict[str, str] = step_functions.start_execution(
            stateMachineArn=machine["stateMachineArn"], name=self.job, input=json.dumps(document)
        )
        return started["executionArn"]

    def run(self, **job: Any) -> dict[str, Any]:
        """Run one job to its end and describe the execution."""
        return self.aws.wait_for(self.start(**job))

    def entered(self, execution_arn: str) -> list[str]:
        """Names of the states that the execution entered, in order."""
        history = self.aws.client("stepfunctions").get_execution_history(executionArn=execution_arn, maxResults=1000)
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in history["events"]
            if "stateEnteredEventDetails" in event
        ]

    def launched(self) -> list[dict[str, Any]]:
        """Describe every task that was launched for this job."""
        tasks = self.aws.client("ecs")
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in tasks.list_tasks(cluster=self.made["cluster"], desiredStatus=status)["taskArns"]
        ]
        if not arns:
            return []
        described = tasks.describe_tasks(cluster=self.made["cluster"], tasks=arns)["tasks"]
        return [task for task in described if self.job in json.dumps(task["overrides"])]

    def printed(self) -> list[dict[str, Any]]:
        """Return what the tasks of this job printed."""
        events = self.aws.client("logs").filter_log_events(logGroupName="/task")["events"]
        printed = [json.loads(event["message"]) for event in events]
        return [one for one in printed if one["environment"]["ARTIFACT_PREFIX"] == self.job]

    def set_budget(self, spent: str, limit: str = "100") -> None:
        """Replace the budget by one of which so much is spent."""
        budgets = self.aws.client("budgets")
        self.remove_budget()
        budgets.create_budget(
            AccountId=self.aws.account,
            Budget={
                "BudgetName": BUDGET,
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": limit, "Unit": "USD"},
                "CalculatedSpend": {"ActualSpend": {"Amount": spent, "Unit": "USD"}},
            },
        )

    def remove_budget(self) -> None:
        """Delete the budget, if there is one."""
        budgets = self.aws.client("budgets")
        for found in budgets.describe_budgets(AccountId=self.aws.account)["Budgets"]:
            budgets.delete_budget(AccountId=self.aws.account, BudgetName=found["BudgetName"])


def until(happens: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when something has happened."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def embedded() -> Iterator[tuple[EmbeddedAws, dict[str, str]]]:
    with EmbeddedAws([sys.executable, "-c", STAND_IN, "task"]) as aws:
        yield aws, aws.create_fargate(("standard", "large"))


@pytest.fixture
def machine(embedded: tuple[EmbeddedAws, dict[str, str]]) -> Machine:
    aws, made = embedded
    aws.tasks.faults.clear()
    aws.call_faults.clear()
    machine = Machine(aws, made, job=f"job-{uuid.uuid4()}")
    machine.set_budget(spent="12.34")
    return machine


def test_substitutions_are_quoted_so_that_the_file_is_json_before_they_are_made() -> None:
    assert json.loads(DEFINITION)["StartAt"] == "IsRefused"


def test_every_path_that_does_not_succeed_ends_in_fail() -> None:
    machine = json.loads(DEFINITION)
    outer = machine["States"]
    assert [name for name, one in outer.items() if one["Type"] == "Succeed" or one.get("End")] == ["Done"]
    assert {one["Type"] for name, one in outer.items() if "Next" not in one and name != "Done"} == {"Choice", "Fail"}
    inner = outer["Job"]["Branches"][0]["States"]
    assert [name for name, one in inner.items() if one.get("End")] == ["JobDone", "Explained"]
    assert all(catcher["Next"] != "Done" for _, one in states(machine) for catcher in one.get("Catch", []))


def test_every_state_can_be_reached() -> None:
    machine = json.loads(DEFINITION)
    starts = set(re.findall(r'"StartAt": "(\w+)"', DEFINITION))
    named = {*starts, *re.findall(r'"(?:Next|Default)": "(\w+)"', DEFINITION)}
    assert named == {name for name, _ in states(machine)}


@pytest.mark.parametrize("size", ["standard", "large"])
def test_a_job_runs_on_the_task_of_its_size(machine: Machine, size: str) -> None:
    described = machine.run(size=size)

    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"]) == {
        "artifact_prefix": machine.job,
        "meta_analysis_id": "ataCTPAt2LMw",
        "task_size": size,
        "attempts": 1,
        "results": {"bucket": "results-bucket", "prefix": "compose-runner/results"},
    }
    assert [task["taskDefinitionArn"] for task in machine.launched()] == [machine.made[size]]


def test_the_task_gets_the_environment_that_the_contract_names(machine: Machine) -> None:
    machine.run()

    (printed,) = machine.printed()
    environment = printed["environment"]
    assert {
        "ARTIFACT_PREFIX": machine.job,
        "META_ANALYSIS_ID": "ataCTPAt2LMw",
        "ENVIRONMENT": "production",
        "NO_UPLOAD": "false",
        "N_CORES": "0",
        "RESULTS_BUCKET": "results-bucket",
        "RESULTS_PREFIX": "compose-runner/results",
        "JOB_TIMEOUT_SECONDS": "60",
        "ATTEMPT": "1",
    }.items() <= environment.items()
    assert datetime.fromisoformat(environment["JOB_STARTED"].strip('"')).tzinfo is not None


def test_a_job_that_submit_refused_ends_at_once_with_its_sentence(machine: Machine) -> None:
    # before the budget, which cannot be read, and without a task
    machine.remove_budget()
    sentence = "The specification of the meta-analysis cannot run: no estimator 'Nonsense' ({\"odd\"}, {}, $.x)."

    execution = machine.start(refused={"error": "SpecificationRefused", "cause": sentence})
    described = machine.aws.wait_for(execution)

    assert (described["status"], described["error"]) == ("FAILED", "SpecificationRefused")
    assert described["cause"] == sentence
    assert machine.entered(execution) == ["IsRefused", "Refused"]
    assert machine.launched() == []


def test_a_spent_budget_stops_a_job_before_anything_is_launched(machine: Machine) -> None:
    machine.set_budget(spent="100.00", limit="100.0")

    described = machine.run()

    assert (described["status"], described["error"]) == ("FAILED", "BudgetExceeded")
    assert "100.00 of 100.0 USD" in described["cause"]
    assert machine.launched() == []


def test_a_budget_that_cannot_be_read_is_never_reported_as_exceeded(machine: Machine) -> None:
    machine.remove_budget()

    described = machine.run()

    assert (described["status"], described["error"]) == ("FAILED", "BudgetUnavailable")
    assert "could not be read" in described["cause"]
    assert machine.launched() == []


def test_a_guard_that_is_off_asks_no_budget(machine: Machine) -> None:
    machine.remove_budget()

    assert machine.run(BudgetGuard="off")["status"] == "SUCCEEDED"


def test_an_analysis_that_cannot_run_is_not_tried_again(machine: Machine) -> None:
    described = machine.run(codes="1,0")

    assert (described["status"], described["error"]) == ("FAILED", "AnalysisFailed")
    assert "exit code 1" in described["cause"]
    assert len(machine.launched()) == 1


def test_exit_code_75_is_tried_again_until_the_job_is_done(machine: Machine) -> None:
    described = machine.run(codes="75,0")

    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"])["attempts"] == 2


def test_exit_code_75_fails_with_the_reason_when_the_attempts_are_used_up(machine: Machine) -> None:
    described = machine.run(codes="75", RetryAttempts="1")

    assert (described["status"], described["error"]) == ("FAILED", "TemporaryFailure")
    assert "tried 2 time(s)" in described["cause"]
    assert len(machine.launched()) == 2


def test_what_failed_on_spot_goes_on_on_demand(machine: Machine) -> None:
    fault = TaskFault("Your Spot Task was interrupted.", exit_code=143, stop_code="SpotInterruption")
    machine.aws.tasks.faults.append(fault)

    assert machine.run()["status"] == "SUCCEEDED"
    assert sorted(task["capacityProviderName"] for task in machine.launched()) == ["FARGATE", "FARGATE_SPOT"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (TaskFault("Your Spot Task was interrupted.", exit_code=137, stop_code="SpotInterruption"), "TaskInterrupted"),
        (TaskFault("Host is retired", exit_code=1, stop_code="TerminationNotice"), "TaskInterrupted"),
        (TaskFault("Essential container in task exited", exit_code=143, stop_code=""), "TaskInterrupted"),
        (TaskFault("Rate exceeded", refused="ThrottlingException"), "CapacityUnavailable"),
        (TaskFault("Internal error", refused="ServerException"), "CapacityUnavailable"),
        (
            TaskFault("Capacity is unavailable at this time. Please try again later", refused="ClientException"),
            "CapacityUnavailable",
        ),
        (TaskFault("Timeout waiting for network interface provisioning to complete."), "CapacityUnavailable"),
        (TaskFault("Capacity is unavailable at this time."), "CapacityUnavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.refused or value.stop_code}-{value.exit_code}",
)
def test_a_temporary_failure_is_retried_and_explained_when_it_stays(
    machine: Machine, fault: TaskFault, error: str
) -> None:
    machine.aws.tasks.faults.extend([fault, fault])

    execution = machine.start(RetryAttempts="1")
    described = machine.aws.wait_for(execution)

    assert (described["status"], described["error"]) == ("FAILED", error)
    assert "submit it again" in described["cause"]
    assert machine.entered(execution).count("RunAnalysis") == 2


def test_missing_capacity_that_comes_back_ends_in_success(machine: Machine) -> None:
    machine.aws.tasks.faults.append(TaskFault("Rate exceeded", refused="ThrottlingException"))

    assert machine.run()["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    "fault",
    [
        TaskFault("TaskDefinition is inactive", refused="ClientException"),
        TaskFault("User is not authorized to perform ecs:RunTask", refused="AccessDeniedException"),
        TaskFault("CannotPullContainerError: pull image manifest has been retried 1 time(s): not found"),
    ],
    ids=["inactive", "denied", "no-image"],
)
def test_a_launch_that_can_never_succeed_is_not_repeated_and_names_the_reason(
    machine: Machine, fault: TaskFault
) -> None:
    machine.aws.tasks.faults.append(fault)

    execution = machine.start()
    described = machine.aws.wait_for(execution)

    assert (described["status"], described["error"]) == ("FAILED", "LaunchFailed")
    assert fault.message in described["cause"]
    assert machine.entered(execution).count("RunAnalysis") == 1


def test_a_job_beyond_its_time_is_stopped_and_says_so(machine: Machine) -> None:
    described = machine.run(behaviour="sleep", TimeoutSeconds="2")

    assert (described["status"], described["error"]) == ("FAILED", "TimedOut")
    assert "within 2 seconds" in described["cause"]
    until(lambda: not machine.aws.tasks.running)


def test_a_job_that_is_stopped_takes_its_task_along(machine: Machine) -> None:
    execution = machine.start(behaviour="sleep")
    until(lambda: bool(machine.printed()))

    machine.aws.client("stepfunctions").stop_execution(executionArn=execution, error="Cancelled", cause="by its owner")

    assert machine.aws.wait_for(execution)["status"] == "ABORTED"
    until(lambda: not machine.aws.tasks.running)


def test_keys_of_a_job_that_never_ran_are_deleted(machine: Machine) -> None:
    parameters = machine.aws.client("ssm")
    for key in ("nsc_key", "nv_key"):
        parameters.put_parameter(Name=f"{KEYS_PATH}/{machine.job}/{key}", Value="secret", Type="SecureString")
    parameters.put_parameter(Name=f"{KEYS_PATH}/{machine.job}-2/nsc_key", Value="secret", Type="SecureString")
    machine.set_budget(spent="101")

    machine.run()

    left = parameters.get_parameters_by_path(Path=KEYS_PATH, Recursive=True)["Parameters"]
    ours = [parameter["Name"] for parameter in left if parameter["Name"].startswith(f"{KEYS_PATH}/{machine.job}")]
    assert ours == [f"{KEYS_PATH}/{machine.job}-2/nsc_key"]


@pytest.fixture
def out_of_memory(monkeypatch: pytest.MonkeyPatch) -> TaskFault:
    """A task whose container was killed for want of memory, which ECS tells in the container's own reason."""
    stop = Tasks._fail

    def stop_with_reason(self: Tasks, task: Any, fault: TaskFault) -> None:
        task.containers[0].reason = "OutOfMemoryError: Container killed due to memory usage"
        stop(self, task, fault)

    monkeypatch.setattr(Tasks, "_fail", stop_with_reason)
    return TaskFault("Essential container in task exited", exit_code=137, stop_code="EssentialContainerExited")


def test_a_standard_task_without_enough_memory_goes_on_as_a_large_one(
    machine: Machine, out_of_memory: TaskFault
) -> None:
    machine.aws.tasks.faults.append(out_of_memory)

    described = machine.run()

    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"])["task_size"] == "large"


def test_a_large_task_without_enough_memory_fails_with_that_reason(machine: Machine, out_of_memory: TaskFault) -> None:
    machine.aws.tasks.faults.append(out_of_memory)

    execution = machine.start(size="large")
    described = machine.aws.wait_for(execution)

    assert (described["status"], described["error"]) == ("FAILED", "OutOfMemory")
    assert "more memory" in described["cause"]
    assert machine.entered(execution).count("RunAnalysis") == 1


# ---- what AWS answers and moto does not


@pytest.mark.parametrize(("spent", "error"), [(12.5, None), (100, "BudgetExceeded"), (None, "BudgetUnavailable")])
def test_a_budget_counts_when_its_amounts_are_numbers(machine: Machine, spent: float | None, error: str | None) -> None:
    machine.aws.call_faults.add("ReadBudget", CallFault(output=budget(spent, 100)["output"]))

    assert machine.run().get("error") == error


def test_a_launch_that_fails_without_a_cause_is_tried_again(machine: Machine) -> None:
    machine.aws.call_faults.add("RunAnalysis", CallFault("ECS.NeverSeenException"))

    assert machine.run()["status"] == "SUCCEEDED"


@pytest.mark.parametrize("text", QUOTAS)
def test_a_job_waits_for_a_quota_and_keeps_its_attempts(machine: Machine, text: str) -> None:
    machine.aws.tasks.faults.extend([TaskFault(text, refused="ClientException")] * 2)

    described = machine.run(RetryAttempts="0")

    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"])["attempts"] == 1


def test_a_network_interface_without_an_address_is_tried_again(machine: Machine) -> None:
    # its capital letters are those of the documentation
    machine.aws.tasks.faults.append(TaskFault(STARTS_LATER[1]))

    assert machine.run()["status"] == "SUCCEEDED"


def test_a_definition_that_was_deregistered_launches_nothing_and_is_named(machine: Machine) -> None:
    containers = machine.aws.client("ecs")
    old = containers.register_task_definition(
        family="standard",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "task", "image": "task"}],
    )["taskDefinition"]["taskDefinitionArn"]
    containers.deregister_task_definition(taskDefinition=old)

    described = machine.run(StandardTaskDefinition=old)

    assert (described["status"], described["error"]) == ("FAILED", "LaunchFailed")
    assert "TaskDefinition is inactive" in described["cause"]
    assert machine.launched() == []


@given(answers=answers_of_aws, document=documents)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_is_answered_a_job_ends_explained_and_its_keys_are_deleted(
    embedded: tuple[EmbeddedAws, dict[str, str]], answers: Answers, document: dict[str, Any]
) -> None:
    aws, made = embedded
    machine = Machine(aws, made, job=f"job-{uuid.uuid4()}", waits=False)
    aws.tasks.faults.clear()
    aws.call_faults.clear()
    for name, given_answers in answers.items():
        repeated = [*given_answers, *given_answers[-1:] * (0 if name in ("ReadBudget", "ForgetKeys") else 400)]
        aws.call_faults.add(
            name, *(CallFault(one.get("error"), one.get("cause"), one.get("output")) for one in repeated)
        )
    key = f"{KEYS_PATH}/{machine.job}/nsc_key"
    aws.client("ssm").put_parameter(Name=key, Value="secret", Type="SecureString")

    described = aws.wait_for(machine.start(document=document))

    if described["status"] == "SUCCEEDED" or "refused" in document:
        return
    assert described["error"] in EXPLAINED, described
    assert described["cause"]
    assert aws.client("ssm").get_parameters(Names=[key])["Parameters"] == [] or "ForgetKeys" in answers
    if described["error"] == "UnexpectedFailure":
        assert not all(is_told(name, answers) for name in answers), described
