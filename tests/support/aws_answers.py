"""What AWS answers to the calls of the state machine: as documented and as reported, and in any other way."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.state_machine import BUDGET, job

Answers = dict[str, list[dict[str, Any]]]


def budget(spent: Any = 12.34, limit: Any = 100) -> dict[str, Any]:
    """Make the answer of DescribeBudget as Step Functions hands it on.

    An amount is text in the API. The aws-sdk integrations are named and modelled after the SDK for Java 2 ("Learning to
    use AWS service SDK integrations in Step Functions": errors get its ``Exception`` suffix), and that SDK alone gives
    ``Spend.amount`` as a BigDecimal (aws-sdk-java-v2, ``services/budgets/.../customization.config``, ``emitAsType``): a
    number in JSON.
    """
    return {
        "output": {
            "Budget": {
                "BudgetName": BUDGET,
                "BudgetLimit": {"Amount": limit, "Unit": "USD"},
                "CalculatedSpend": {"ActualSpend": {"Amount": spent, "Unit": "USD"}},
            }
        }
    }


def stopped(exit_code: Any = None, reason: Any = None, **changed: Any) -> dict[str, Any]:
    """Make the failure of ``ecs:runTask.sync`` for a task that stopped: its description is the cause, as text.

    The fields are those of ECS's Task and Container with the capital letters of Step Functions ("Amazon ECS task state
    change events", ``stopCode``, ``stoppedReason``, ``containers[].exitCode`` and ``reason``); those that ECS does not
    give are absent.
    """
    container = {"Name": "task", "LastStatus": "STOPPED"}
    container |= {} if exit_code is None else {"ExitCode": exit_code}
    container |= {} if reason is None else {"Reason": reason}
    description = {
        "LastStatus": "STOPPED",
        "StopCode": "EssentialContainerExited" if exit_code is not None else "TaskFailedToStart",
        "StoppedReason": "Essential container in task exited",
        "Containers": [container],
        **changed,
    }
    return {"error": "States.TaskFailed", "cause": json.dumps(description, separators=(",", ":"))}


DONE: dict[str, Any] = {"output": {"LastStatus": "STOPPED"}}


def error(name: str, cause: str | None) -> dict[str, Any]:
    return {"error": name} | ({} if cause is None else {"cause": cause})


# ThrottlingException, ServerException, ClientException, ClusterNotFoundException and others: API reference, RunTask.
# A non-empty `failures` of RunTask is AmazonECS.Unknown: "Run Amazon ECS or Fargate tasks with Step Functions"
MAY_PASS = {
    "throttled": ("ECS.ThrottlingException", "Rate exceeded"),
    "server": ("ECS.ServerException", "Service Unavailable. Please try again later."),
    "client of the SDK": ("ECS.SdkClientException", "Unable to execute HTTP request"),
    "no capacity": ("ECS.ClientException", "Capacity is unavailable at this time. Please try again later"),
    "failures": (
        "AmazonECS.Unknown",
        '[{"Arn":"arn:aws:ecs:us-east-1:1:container-instance/1","Reason":"RESOURCE:MEMORY"}]',
    ),
    # dask/dask-cloudprovider#56
    "throttled by EC2": (
        "ECS.InvalidParameterException",
        "Error retrieving security group information for [sg-1]: Request limit exceeded. (RequestLimitExceeded)",
    ),
    # what nobody has seen may pass as well
    "unknown": ("ECS.NeverSeenException", "Something is wrong today"),
    "without a cause": ("ECS.NeverSeenException", None),
    # where a service gives no cause, an empty one is bound: `_construct_error_output_value` of LocalStack's
    # interpreter, whose answers are compared with AWS's
    "with an empty cause": ("ECS.NeverSeenException", ""),
}


CANNOT_PASS = {
    "denied": (
        "ECS.AccessDeniedException",
        "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: ecs:RunTask",
    ),
    # DefangLabs/defang#775 and aws/aws-cdk#12080
    "inactive": ("ECS.InvalidParameterException", "TaskDefinition is inactive"),
    "no definition": ("ECS.ClientException", "TaskDefinition not found."),
    "no cluster": ("ECS.ClusterNotFoundException", "Cluster not found."),
    "no subnet": (
        "ECS.InvalidParameterException",
        "Error retrieving subnet information for [subnet-1]: InvalidSubnetID.NotFound",
    ),
    "role": (
        "ECS.ClientException",
        "ECS was unable to assume the role 'arn:aws:iam::1:role/r' that was provided for this task.",
    ),
    # dask/dask-cloudprovider#300
    "size": ("ECS.ClientException", "The requested CPU configuration is above your limit"),
    "blocked": ("ECS.BlockedException", "Your Amazon Web Services account was blocked."),
    "permissions": ("States.Permissions", "The role has no permission"),
}


# "Amazon ECS API failure reasons" and wellcomecollection/platform#3875
QUOTAS = [
    "You've reached the limit on the number of vCPUs you can run concurrently",
    "You've reached the limit on the number of tasks you can run concurrently",
]


# "Troubleshooting Amazon ECS TaskFailedToStart errors", "... CannotPullContainer task errors",
# "... ResourceInitializationError errors"; dagster-io/dagster, dagster-aws: the list of what may be tried again
STARTS_LATER = [
    "Timeout waiting for network interface provisioning to complete.",
    "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled in subnet "
    "'subnet-1': InsufficientFreeAddressesInSubnet",
    "CannotPullContainerError: ref pull has been retried 5 time(s): failed to copy: httpReadSeeker: unexpected EOF",
    "CannotPullContainerError: pull image manifest has been retried 5 time(s): dial tcp 1.2.3.4:443: i/o timeout",
    "ResourceInitializationError: failed to configure ENI: netplugin failed with no error message",
    "InternalError: ...",
    "Capacity is unavailable at this time.",
    "CAPACITY IS UNAVAILABLE",
    "what nobody has seen",
]
NEVER_STARTS = [
    "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref i:t: not found",
    "CannotPullContainerError: pull access denied for i, repository does not exist or may require 'docker login'",
    "CannotPullContainerError: no matching manifest for linux/arm64 in the manifest list entries",
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to "
    "create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist.",
    "ResourceInitializationError: unable to pull secrets: AccessDeniedException: User is not authorized to perform it",
    "CannotStartContainerError: ResourceInitializationError: exec format error",
    "CannotCreateContainerError: no space left on device",
]


def is_told(name: str, answers: Answers) -> bool:
    """Whether an answer can be read at all: text in braces that is no JSON is the one thing that no guard can tell."""
    for answer in answers.get(name, ()):
        cause = answer.get("cause")
        if isinstance(cause, str) and cause.startswith("{") and cause.endswith("}"):
            try:
                json.loads(cause)
            except ValueError:
                return False
    return True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.sampled_from([75.0, 102.5, 1e300]) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["Reason", "ExitCode", "0", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
exit_codes = st.sampled_from([0, 1, 75, 100, 102, 103, 124, 127, 137, 143]) | json_values
texts = st.sampled_from(
    [*STARTS_LATER, *NEVER_STARTS, *QUOTAS, "OutOfMemoryError", "{}", "{x}", '{"Containers":[]}', ""]
)
containers = (
    st.lists(
        st.fixed_dictionaries({}, optional={"ExitCode": exit_codes, "Reason": texts | json_values}) | json_values,
        max_size=2,
    )
    | json_values
)
descriptions = st.fixed_dictionaries(
    {},
    optional={
        "Containers": containers,
        "StoppedReason": texts | json_values,
        "StopCode": st.sampled_from(["EssentialContainerExited", "SpotInterruption", "TaskFailedToStart"])
        | json_values,
    },
)
errors = st.sampled_from(
    [
        "States.TaskFailed",
        "States.Timeout",
        "ECS.ClientException",
        "ECS.AccessDeniedException",
        "ECS.Odd",
        "AmazonECS.Unknown",
        "ShardStopped",
    ]
)
causes = descriptions.map(json.dumps) | st.sampled_from(["{cut off}", "{"]) | texts | json_values.map(json.dumps)
amounts = st.floats(0, 200) | st.floats(0, 200).map(str) | json_values.filter(lambda value: not isinstance(value, str))


def _answers(failures: st.SearchStrategy[Any]) -> st.SearchStrategy[Answers]:
    budgets = (
        st.builds(budget, amounts, amounts) | failures | json_values.map(lambda value: {"output": {"Budget": value}})
    )
    tasks = st.lists(
        failures | st.just(DONE) | st.builds(stopped, st.sampled_from([1, 75, 102, 103, 137])), min_size=1, max_size=4
    )
    return st.fixed_dictionaries(
        {"ReadBudget": st.lists(budgets, min_size=1, max_size=1), "RunAnalysis": tasks, "RunShard": tasks},
        optional={"ForgetKeys": st.lists(failures, min_size=1, max_size=1)},
    )


# an error and a cause are text, and a cause may be missing; in the second, nothing is sure
answers_of_aws = _answers(st.fixed_dictionaries({"error": errors}, optional={"cause": causes}))
any_answers = _answers(st.fixed_dictionaries({"error": errors | json_values}, optional={"cause": causes | json_values}))


def mutated_job(field: str, value: Any, drop: bool) -> dict[str, Any]:
    document = job()
    if drop:
        document.pop(field, None)
    else:
        document[field] = value
    return document


documents = st.just(job()) | st.builds(mutated_job, st.sampled_from([*job(), "refused"]), json_values, st.booleans())
