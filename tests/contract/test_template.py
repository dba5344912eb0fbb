"""The template: what deployments read from it, what it lets one tune, and that nobody may do more than they do."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from compose_runner.service import observability, settings
from compose_runner.service.aws.records import REFUSED_STREAMS
from compose_runner.service.storage import DEFAULT_RESULTS_PREFIX
from tests.support.state_machine import DEFINITION, state

if TYPE_CHECKING:
    from pydantic import BaseModel

REPOSITORY = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((REPOSITORY / "template.yaml").read_text())
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]

FUNCTIONS = {
    "submit": "ComposeRunnerSubmit",
    "status": "ComposeRunnerStatus",
    "logs": "ComposeRunnerLogPoller",
    "results": "ComposeRunnerResultsFetcher",
}
ROLES = {
    "submit": "SubmitRole",
    "status": "StatusRole",
    "logs": "LogPollerRole",
    "results": "ResultsFetcherRole",
    "task": "TaskRole",
    "state machine": "StateMachineRole",
}

# which calls each part makes; the tests below hold this table against the code on one side and the roles on the other
CALLS = {
    "submit": {
        "start_execution",
        "describe_execution",
        "list_executions",
        "put_parameter",
        "delete_parameters",
        "create_log_stream",
        "put_log_events",
    },
    "status": {
        "describe_execution",
        "stop_execution",
        "get_object",
        "delete_parameters",
        "filter_log_events",
        "list_objects_v2",
        "generate_presigned_url",
    },
    "logs": {"filter_log_events"},
    "results": {"list_objects_v2", "generate_presigned_url"},
    "task": {
        "upload_file",
        "put_object",
        "download_file",
        "get_object",
        "list_objects_v2",
        "delete_object",
        "get_parameters",
        "delete_parameters",
    },
    "state machine": {"ecs:runTask.sync", "aws-sdk:budgets:describeBudget", "aws-sdk:ssm:deleteParameters"},
}
# what each call needs
ACTIONS: dict[str, set[str]] = {
    "start_execution": {"states:StartExecution"},
    "describe_execution": {"states:DescribeExecution"},
    "list_executions": {"states:ListExecutions"},
    "stop_execution": {"states:StopExecution"},
    "create_log_stream": {"logs:CreateLogStream"},
    "put_log_events": {"logs:PutLogEvents"},
    "put_parameter": {"ssm:PutParameter"},
    "get_parameters": {"ssm:GetParameters"},
    "delete_parameters": {"ssm:DeleteParameters"},
    # without ListBucket, S3 answers 403 instead of 404 for what is not there
    "get_object": {"s3:GetObject", "s3:ListBucket"},
    "download_file": {"s3:GetObject", "s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    # a user of the address has the signer's permissions
    "generate_presigned_url": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "upload_file": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "filter_log_events": {"logs:FilterLogEvents"},
    "aws-sdk:budgets:describeBudget": {"budgets:ViewBudget"},
    "aws-sdk:ssm:deleteParameters": {"ssm:DeleteParameters"},
    "ecs:runTask.sync": {
        "ecs:RunTask",
        "ecs:StopTask",
        "ecs:DescribeTasks",
        "ecs:TagResource",
        "iam:PassRole",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
    },
}
# what tracing and logging need besides
TRACING = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
SURROUNDINGS = {
    **dict.fromkeys(FUNCTIONS, {"logs:CreateLogStream", "logs:PutLogEvents"} | TRACING),
    "task": set(),
    "state machine": {
        *TRACING,
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    },
}
# the authorization reference lists no resource type for these
WITHOUT_RESOURCES = TRACING | {
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "ecr:GetAuthorizationToken",
    *(action for action in SURROUNDINGS["state machine"] if action.startswith("logs:")),
}
MEMORY_OF_CPU = {
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}


def of_type(kind: str) -> dict[str, Any]:
    """Resources of one type by their logical ids."""
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] == kind}


def statements(role: str) -> list[dict[str, Any]]:
    """Statements of a role, those under a condition among them."""
    documents = [policy["PolicyDocument"]["Statement"] for policy in RESOURCES[role]["Properties"]["Policies"]]
    return [one["Fn::If"][1] if "Fn::If" in one else one for document in documents for one in document]


def listed(value: Any) -> list[Any]:
    """A value that may stand for a list of one."""
    return value if isinstance(value, list) else [value]


def calls_in(*paths: Path) -> set[str]:
    """API calls that modules make: methods of clients, pages of lists and addresses that are signed."""
    made = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "get_paginator" and isinstance(node.args[0], ast.Constant):
                made.add(str(node.args[0].value))
            elif node.func.attr in ACTIONS:
                made.add(node.func.attr)
            else:
                # a call of a client that the table does not know at all
                client = re.fullmatch(
                    r"clients\.client\(clients\.\w+\)|logs|self\._(s3|ssm)", ast.unparse(node.func.value)
                )
                assert client is None, f"{path.name} calls {node.func.attr}, which has no entry in ACTIONS"
    return made


# ---- names that others read


def test_functions_have_the_logical_ids_that_deployments_know() -> None:
    assert set(of_type("AWS::Serverless::Function")) == set(FUNCTIONS.values())


@pytest.mark.parametrize(
    "name",
    [
        "ComposeRunnerSubmitFunctionUrl",
        "ComposeRunnerStatusFunctionUrl",
        "ComposeRunnerLogPollerFunctionUrl",
        "ComposeRunnerResultsFunctionUrl",
        "ComposeRunnerSubmitFunctionName",
        "ComposeRunnerStatusFunctionName",
        "ComposeRunnerLogPollerFunctionName",
        "ComposeRunnerResultsFunctionName",
        "ComposeRunnerResultsBucketName",
        "ComposeRunnerStateMachineArn",
        "ComposeRunnerTaskLogGroupName",
        "ComposeRunnerImageTag",
    ],
)
def test_outputs_have_the_names_that_deployments_already_read(name: str) -> None:
    assert TEMPLATE["Outputs"][name]["Description"]


def test_every_log_group_and_function_arn_is_an_output() -> None:
    values = json.dumps([output["Value"] for output in TEMPLATE["Outputs"].values()])
    for name in of_type("AWS::Logs::LogGroup"):
        assert f'{{"Ref": "{name}"}}' in values
    for name in FUNCTIONS.values():
        assert f'["{name}", "Arn"]' in values


# ---- parameters


def test_every_parameter_is_described_grouped_once_and_labelled() -> None:
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(PARAMETERS)
    assert set(interface["ParameterLabels"]) == set(PARAMETERS)
    assert all(parameter["Description"] for parameter in PARAMETERS.values())


def test_every_parameter_is_constrained() -> None:
    kinds = {"AllowedValues", "AllowedPattern", "MinValue"}
    assert [name for name, parameter in PARAMETERS.items() if not kinds & set(parameter)] == []


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("StandardTaskCpu", 4096),
        ("StandardTaskMemory", 30720),
        ("LargeTaskCpu", 16384),
        ("LargeTaskMemory", 65536),
        ("TaskEphemeralStorage", 21),
        ("ResultsPrefix", DEFAULT_RESULTS_PREFIX),
        ("StateMachineTimeout", 32400),
        ("MonthlyBudget", 100),
        ("DefaultLookbackMs", settings.ONE_HOUR_MS),
        ("AllowCancel", "false"),
        ("FunctionUrlAuthType", "NONE"),
    ],
)
def test_defaults_are_those_of_the_service_that_is_replaced(name: str, default: object) -> None:
    assert PARAMETERS[name]["Default"] == default


def test_the_tasks_image_has_no_default_and_must_be_named_by_digest() -> None:
    image = PARAMETERS["TaskImage"]
    assert "Default" not in image
    digest = "a" * 64
    assert re.fullmatch(image["AllowedPattern"], f"1.dkr.ecr.us-east-1.amazonaws.com/compose-runner@sha256:{digest}")
    assert not re.fullmatch(image["AllowedPattern"], "compose-runner:latest")


@pytest.mark.parametrize("size", ["Standard", "Large"])
@pytest.mark.parametrize("cpu", MEMORY_OF_CPU)
def test_rules_admit_exactly_the_pairs_that_fargate_has(size: str, cpu: int) -> None:
    rule = TEMPLATE["Rules"][f"{size}TaskPair{cpu}"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": f"{size}TaskCpu"}, str(cpu)]}
    (assertion,) = rule["Assertions"]
    allowed, chosen = assertion["Assert"]["Fn::Contains"]
    assert chosen == {"Ref": f"{size}TaskMemory"}
    assert [int(value) for value in allowed] == list(MEMORY_OF_CPU[cpu])


@pytest.mark.parametrize("size", ["Standard", "Large"])
def test_every_cpu_that_can_be_chosen_has_a_rule_and_the_default_pair_passes(size: str) -> None:
    assert PARAMETERS[f"{size}TaskCpu"]["AllowedValues"] == list(MEMORY_OF_CPU)
    assert PARAMETERS[f"{size}TaskMemory"]["Default"] in MEMORY_OF_CPU[PARAMETERS[f"{size}TaskCpu"]["Default"]]


# ---- functions


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_public_only_where_the_parameter_says_so(function: str) -> None:
    name = FUNCTIONS[function]
    assert RESOURCES[name]["Properties"]["FunctionUrlConfig"]["AuthType"] == {"Ref": "FunctionUrlAuthType"}
    permissions = [
        one for one in of_type("AWS::Lambda::Permission").values() if one["Properties"]["FunctionName"] == {"Ref": name}
    ]
    assert {one["Condition"] for one in permissions} == {"UrlsArePublic"}
    by_action = {one["Properties"]["Action"]: one["Properties"] for one in permissions}
    assert by_action["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert by_action["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_a_role_a_log_group_a_timeout_and_memory_of_its_own(function: str) -> None:
    properties = RESOURCES[FUNCTIONS[function]]["Properties"]
    assert properties["CodeUri"] == f"functions/{function}/"
    assert properties["Role"] == {"Fn::GetAtt": [ROLES[function], "Arn"]}
    group = RESOURCES[properties["LoggingConfig"]["LogGroup"]["Ref"]]
    assert group["Properties"]["LogGroupName"] == {"Fn::Sub": f"/${{AWS::StackName}}/{function}"}
    assert properties["Timeout"]["Ref"] in PARAMETERS
    assert properties["MemorySize"]["Ref"] in PARAMETERS


def test_functions_get_every_variable_that_their_settings_read() -> None:
    shared = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
    readers: dict[str, type[BaseModel]] = {
        "submit": settings.SubmitSettings,
        "status": settings.StatusSettings,
        "logs": settings.LogsSettings,
        "results": settings.ResultsSettings,
    }
    for function, reader in readers.items():
        variables = RESOURCES[FUNCTIONS[function]]["Properties"]["Environment"]["Variables"]
        # each name that the reader knows stands in the template; it refuses to work without those that it must have
        assert {field.alias for field in reader.model_fields.values()} <= set(variables) | shared


# ---- who may do what


@pytest.mark.parametrize("who", ROLES)
def test_a_role_may_do_what_its_code_does_and_nothing_else(who: str) -> None:
    allowed = {action for statement in statements(ROLES[who]) for action in listed(statement["Action"])}
    needed = {action for call in CALLS[who] for action in ACTIONS[call]} | SURROUNDINGS[who]
    assert allowed == needed


def test_the_functions_make_exactly_the_calls_of_the_table() -> None:
    made = calls_in(*sorted((REPOSITORY / "compose_runner" / "service" / "aws").glob("*.py")))
    assert made == {call for function in FUNCTIONS for call in CALLS[function]}


def test_the_task_makes_exactly_the_calls_of_the_table() -> None:
    assert calls_in(*sorted((REPOSITORY / "task").glob("*.py"))) == CALLS["task"]


def test_the_state_machine_makes_exactly_the_calls_of_the_table() -> None:
    used = set(re.findall(r'"Resource": "arn:\$\{Partition\}:states:::([^"]+)"', DEFINITION))
    assert used == CALLS["state machine"]


@pytest.mark.parametrize("role", sorted(of_type("AWS::IAM::Role")))
def test_no_statement_is_for_all_resources_where_one_can_be_named(role: str) -> None:
    for statement in statements(role):
        if "*" in listed(statement["Resource"]):
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCES, statement["Sid"]
        assert not any(action.endswith("*") for action in listed(statement["Action"]))


@pytest.mark.parametrize("role", ["StatusRole", "TaskRole"])
def test_an_object_that_does_not_exist_is_told_from_one_that_must_not_be_read(role: str) -> None:
    # a request for one object has no s3:prefix; a condition that wants one turns S3's 404 into 403
    (listing,) = [statement for statement in statements(role) if statement["Action"] == "s3:ListBucket"]
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": {"Fn::Sub": "${ResultsPrefix}/*"}}}


def test_only_a_deployment_that_lets_clients_stop_jobs_may_stop_them_and_delete_their_keys() -> None:
    (policy,) = RESOURCES["StatusRole"]["Properties"]["Policies"]
    conditional = {
        statement["Fn::If"][1]["Action"]: statement["Fn::If"][0]
        for statement in policy["PolicyDocument"]["Statement"]
        if "Fn::If" in statement
    }
    assert conditional == {"states:StopExecution": "MayCancel", "ssm:DeleteParameters": "MayCancel"}


def test_submit_writes_the_records_of_jobs_without_a_task_and_no_tasks_own() -> None:
    streams = [
        statement["Resource"]["Fn::Sub"]
        for statement in statements("SubmitRole")
        if "logs:PutLogEvents" in listed(statement["Action"]) and "Fn::Sub" in statement["Resource"]
    ]
    group = RESOURCES["TaskLogGroup"]["Properties"]["LogGroupName"]["Fn::Sub"]
    prefixes = {
        RESOURCES[f"{size}TaskDefinition"]["Properties"]["ContainerDefinitions"][0]["LogConfiguration"]["Options"][
            "awslogs-stream-prefix"
        ]
        for size in ("Standard", "Large")
    }
    assert [stream.partition(":log-group:")[2] for stream in streams] == [f"{group}:log-stream:{REFUSED_STREAMS}*"]
    assert REFUSED_STREAMS.rstrip("/") not in prefixes


def test_limits_reach_the_parts_that_hold_them() -> None:
    def passed_on(variables: Any) -> dict[str, Any]:
        pairs = variables.items() if isinstance(variables, dict) else ((one["Name"], one["Value"]) for one in variables)
        return {name: value["Ref"] for name, value in pairs if name.startswith("MAX_")}

    submit = RESOURCES["ComposeRunnerSubmit"]["Properties"]["Environment"]["Variables"]
    assert passed_on(submit) == {"MAX_ITERATIONS": "MaxIterations", "MAX_RUNNING_JOBS": "MaxRunningJobs"}
    for size in ("Standard", "Large"):
        (container,) = RESOURCES[f"{size}TaskDefinition"]["Properties"]["ContainerDefinitions"]
        assert passed_on(container["Environment"]) == {
            "MAX_SHARDS": "MaxShards",
            "MAX_ITERATIONS": "MaxIterations",
            "MAX_PREDICTED_CORE_HOURS": "MaxPredictedCoreHours",
        }


@pytest.mark.parametrize("name", ["MaxRunningJobs", "MaxIterations", "MaxPredictedCoreHours"])
def test_a_deployment_is_limited_unless_somebody_decides_otherwise(name: str) -> None:
    assert PARAMETERS[name]["Default"] > 0
    assert PARAMETERS[name]["MinValue"] == 0


def test_roles_can_be_assumed_by_their_service_alone() -> None:
    services = {
        name: role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for name, role in of_type("AWS::IAM::Role").items()
    }
    assert services == {
        **{ROLES[function]: "lambda.amazonaws.com" for function in FUNCTIONS},
        "StateMachineRole": "states.amazonaws.com",
        "TaskRole": "ecs-tasks.amazonaws.com",
        "TaskExecutionRole": "ecs-tasks.amazonaws.com",
    }


def test_tasks_are_launched_in_this_cluster_only_and_get_these_roles_only() -> None:
    by_name = {statement["Sid"]: statement for statement in statements("StateMachineRole")}
    cluster = {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}}
    assert by_name["LaunchTasks"]["Condition"] == cluster
    assert by_name["FollowAndStopTasks"]["Condition"] == cluster
    assert by_name["GiveTasksTheirRoles"]["Resource"] == [
        {"Fn::GetAtt": ["TaskRole", "Arn"]},
        {"Fn::GetAtt": ["TaskExecutionRole", "Arn"]},
    ]


def test_keys_wait_below_one_path_for_submit_status_task_and_state_machine() -> None:
    path = {"Fn::Sub": "/${AWS::StackName}/jobs"}
    for name in ("ComposeRunnerSubmit", "ComposeRunnerStatus"):
        assert RESOURCES[name]["Properties"]["Environment"]["Variables"]["KEY_PARAMETERS_PATH"] == path
    machine = RESOURCES["ComposeRunnerStateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert machine["KeyParametersPath"] == path
    for size in ("Standard", "Large"):
        (container,) = RESOURCES[f"{size}TaskDefinition"]["Properties"]["ContainerDefinitions"]
        assert {"Name": "KEY_PARAMETERS_PATH", "Value": path} in container["Environment"]


# ---- state machine and task


def test_every_substitution_of_the_definition_is_given_and_used() -> None:
    given = RESOURCES["ComposeRunnerStateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == set(given)


@pytest.mark.parametrize("size", ["Standard", "Large"])
def test_a_job_keeps_its_task_definition_when_the_stack_is_updated(size: str) -> None:
    # CloudFormation deregisters the revision that an update replaces (aws/aws-cdk#24372), and "you can't use an
    # INACTIVE task definition to run new tasks" (ECS, Deregistering a task definition revision)
    definition = RESOURCES[f"{size}TaskDefinition"]
    assert definition["UpdateReplacePolicy"] == "Retain"
    # a revision, not the family: an update would otherwise mix two versions in one job
    given = RESOURCES["ComposeRunnerStateMachine"]["Properties"]["DefinitionSubstitutions"]
    assert given[f"{size}TaskDefinition"] == {"Ref": f"{size}TaskDefinition"}
    (statement,) = [one for one in statements(ROLES["state machine"]) if "ecs:RunTask" in one["Action"]]
    assert any(f"-{size.lower()}:*" in resource["Fn::Sub"] for resource in statement["Resource"])


def test_the_state_machine_logs_errors_alone() -> None:
    assert RESOURCES["ComposeRunnerStateMachine"]["Properties"]["Logging"]["Level"] == "ERROR"


@pytest.mark.parametrize("size", ["Standard", "Large"])
def test_a_task_has_two_minutes_to_end_and_a_log_of_its_own(size: str) -> None:
    properties = RESOURCES[f"{size}TaskDefinition"]["Properties"]
    (container,) = properties["ContainerDefinitions"]
    assert container["StopTimeout"] == 120
    assert container["Name"] == state("RunAnalysis")["Parameters"]["Overrides"]["ContainerOverrides"][0]["Name"]
    assert container["LogConfiguration"]["Options"]["awslogs-group"] == {"Ref": "TaskLogGroup"}
    assert properties["RuntimePlatform"]["CpuArchitecture"] == {"Ref": "TaskArchitecture"}


def test_the_overrides_of_a_task_stay_far_below_what_ecs_takes() -> None:
    overrides = state("RunAnalysis")["Parameters"]["Overrides"]
    # every value that a client chooses, at its longest
    assert len(json.dumps(overrides)) + 10 * 256 < 8192


def test_the_network_has_two_public_subnets_and_no_nat() -> None:
    assert set(of_type("AWS::EC2::Subnet")) == {"SubnetOne", "SubnetTwo"}
    assert not of_type("AWS::EC2::NatGateway")
    security_group = RESOURCES["TaskSecurityGroup"]["Properties"]
    assert "SecurityGroupIngress" not in security_group


# ---- results


def test_the_new_bucket_is_private_encrypted_versioned_tiered_and_stays() -> None:
    bucket = RESOURCES["ResultsBucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    properties = bucket["Properties"]
    assert all(properties["PublicAccessBlockConfiguration"].values())
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    rules = {rule["Id"]: rule for rule in properties["LifecycleConfiguration"]["Rules"]}
    assert rules["tier-by-use"]["Transitions"][0]["StorageClass"] == "INTELLIGENT_TIERING"
    assert rules["forget-old-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == {"Ref": "OldVersionDays"}
    (statement,) = RESOURCES["ResultsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}


# ---- who watches


def test_alarms_watch_jobs_and_every_function() -> None:
    watched = {
        (alarm["Properties"]["MetricName"], alarm["Properties"]["Dimensions"][0]["Value"]["Ref"])
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if "MetricName" in alarm["Properties"]
    }
    assert watched == {
        ("ExecutionsFailed", "ComposeRunnerStateMachine"),
        ("ExecutionsTimedOut", "ComposeRunnerStateMachine"),
        *((metric, name) for metric in ("Errors", "Throttles") for name in FUNCTIONS.values()),
    }


def test_an_alarm_watches_answers_of_500_which_lambda_counts_as_successes() -> None:
    formula, *metrics = RESOURCES["FailedRequestsAlarm"]["Properties"]["Metrics"]
    services = set()
    for metric in metrics:
        assert metric["Id"] in formula["Expression"]
        stat = metric["MetricStat"]["Metric"]
        assert stat["MetricName"] == observability.REQUESTS_FAILED
        dimensions = {one["Name"]: one["Value"] for one in stat["Dimensions"]}
        assert dimensions["status"] == "500"
        services.add(dimensions["service"])
    assert services == {
        RESOURCES[name]["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for name in FUNCTIONS.values()
    }


def test_the_dashboard_shows_every_metric_of_the_functions_in_the_namespace_they_write_to() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = {
        value for name, value in vars(observability).items() if name.startswith(("JOBS_", "REQUESTS_", "COMPOSE_"))
    }
    assert {name for name in names if name not in body} == set()
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == {"Ref": "AWS::StackName"}
    assert body.count('{\\"${AWS::StackName}\\",') == body.count("SEARCH(")


def test_the_budget_warns_before_it_stops_jobs() -> None:
    budget = RESOURCES["MonthlySpend"]
    assert budget["Condition"] == "GuardsBudget"
    thresholds = [one["Notification"]["Threshold"] for one in budget["Properties"]["NotificationsWithSubscribers"]]
    assert thresholds == [80, 100]
    assert budget["Properties"]["Budget"]["BudgetLimit"]["Amount"] == {"Ref": "MonthlyBudget"}


def test_one_saved_query_follows_a_job_through_all_log_groups() -> None:
    followed = RESOURCES["FollowOneJob"]["Properties"]["LogGroupNames"]
    assert {group["Ref"] for group in followed} == set(of_type("AWS::Logs::LogGroup"))


def test_every_end_of_a_job_is_announced() -> None:
    rule = RESOURCES["JobEnded"]["Properties"]
    assert rule["EventPattern"]["detail"] == {
        "stateMachineArn": [{"Ref": "ComposeRunnerStateMachine"}],
        "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Ref": "JobTopic"}]


def test_the_dashboard_is_json() -> None:
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert json.loads(body)["widgets"]


def test_every_suppressed_check_has_its_reason() -> None:
    skipped = [
        skip
        for resource in RESOURCES.values()
        for skip in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]
    assert skipped
    assert all(len(skip["comment"]) > 20 for skip in skipped)


def test_cfn_lint_finds_nothing() -> None:
    cfn_lint = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")
    text = (REPOSITORY / "template.yaml").read_text()
    config = cfn_lint.ManualArgs(regions=["us-east-1"])
    assert [str(match) for match in cfn_lint.lint(text, config=config)] == []
