"""The resources that the embedded service makes are those of the template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner.local.aws.emulator import EmbeddedAws
from compose_runner.local.service import PARAMETERS
from compose_runner.local.stack.application import TEMPLATE, application_root
from compose_runner.local.stack.resources import Stack
from compose_runner.local.stack.template import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        yield aws


@pytest.fixture(scope="module")
def stack(aws: EmbeddedAws) -> Stack:
    made = Stack(aws, application_root() / TEMPLATE, {**PARAMETERS, "StandardTaskCpu": "2048", "MonthlyBudget": "7"})
    made.create()
    return made


def test_the_four_functions_have_their_code_and_their_variables(aws: EmbeddedAws, stack: Stack) -> None:
    codes = stack.functions()
    assert set(codes) == {"submit", "status", "logs", "results"}
    for name, code in codes.items():
        assert (code.folder / "app.py").is_file(), name
    machines = aws.client("stepfunctions").list_state_machines()["stateMachines"]
    assert [machine["stateMachineArn"] for machine in machines] == [codes["submit"].environment["STATE_MACHINE_ARN"]]
    buckets = [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    assert codes["results"].environment["RESULTS_BUCKET"] in buckets
    groups = [group["logGroupName"] for group in aws.client("logs").describe_log_groups()["logGroups"]]
    assert {code.log_group for code in codes.values()} | {codes["logs"].environment["RUNNER_LOG_GROUP"]} <= set(groups)


def test_a_changed_parameter_changes_what_is_made(aws: EmbeddedAws, stack: Stack) -> None:
    families = aws.client("ecs").list_task_definitions()["taskDefinitionArns"]
    definitions = [aws.client("ecs").describe_task_definition(taskDefinition=arn) for arn in families]
    assert "2048" in {definition["taskDefinition"]["cpu"] for definition in definitions}
    budgets = aws.client("budgets").describe_budgets(AccountId=aws.account)["Budgets"]
    assert [float(budget["BudgetLimit"]["Amount"]) for budget in budgets] == [7.0]


def test_no_substitution_of_the_state_machine_is_left_open(aws: EmbeddedAws, stack: Stack) -> None:
    arn = stack.made(stack.only("AWS::StepFunctions::StateMachine")).reference
    definition = aws.client("stepfunctions").describe_state_machine(stateMachineArn=arn)["definition"]
    assert "${" not in definition


def test_a_resource_that_the_template_does_not_have_is_named(stack: Stack) -> None:
    with pytest.raises(TemplateError, match="Nothing"):
        stack.made("Nothing")
