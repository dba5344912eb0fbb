"""Every change that the embedded service makes to moto, each with its reason.

All were found necessary with moto 5.2.5. ``tests/integration/test_local_moto_patches.py`` takes each one
away in turn and fails as soon as a newer moto behaves well without it; then the patch is to be removed.
"""

from __future__ import annotations

import json
import pickle
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import botocore.session
from botocore.exceptions import ClientError
from moto.core.common_models import BaseModel
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ecs import models as ecs_models
from moto.logs.models import LogGroup
from moto.logs.responses import LogsResponse
from moto.logs.utils import EventMessageFilter
from moto.moto_server import werkzeug_app
from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend
from moto.stepfunctions.exceptions import ExecutionAlreadyExists, ExecutionDoesNotExist
from moto.stepfunctions.models import StateMachine, StepFunctionBackend
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (
    StateTaskService,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.stepfunctions.parser.utils import TMP_THREADS, camel_to_snake_case
from moto.stepfunctions.responses import StepFunctionResponse

from compose_runner.local.state.directory import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compose_runner.local.aws.signatures import AccessKeys

MOTO_VERSION = "5.2.5"
# how long a poll of a running task may take, in seconds, and the pause between two polls
POLL_SECONDS = 0.5
PAUSE_SECONDS = 0.02
# of FilterLogEvents, on one page
MAX_EVENTS = 10_000


class Host(Protocol):
    """What the patches ask of the embedded AWS that is running."""

    endpoint: str
    keys: AccessKeys

    def launch(self, task: Any, task_definition: Any) -> None:
        """Run a task's container; may raise a moto ``ServiceException`` instead."""

    def stop(self, task: Any, reason: str) -> None:
        """Stop a task's container."""

    def wait(self, task_arn: str, seconds: float) -> None:
        """Return when the task has stopped, or when the time is over."""

    def want_objects(self, bucket: str, name: str | None) -> None:
        """Have objects in memory before they are asked for."""

    def keep_object(self, key: Any) -> None:
        """Take note of a new object."""

    def forget_object(self, bucket: str, name: str) -> None:
        """Take note that an object was deleted."""

    def note_task(self, execution_arn: str, cluster_arn: str, task_arn: str) -> None:
        """Take note of a task that belongs to an execution."""

    def keep_execution(self, execution: Any) -> None:
        """Take note that an execution began or ended."""

    def knows_execution(self, state_machine_arn: str, name: str) -> bool:
        """Whether an execution of this name ended and is no longer in memory."""

    def earlier_execution(self, execution_arn: str) -> Any:
        """Execution that ended and is no longer in memory; None if there is none."""

    def kept_records(self, group: str, name: str, value: str) -> list[Any] | None:
        """Records of a log group in which a field has a value; None if they are in memory."""

    def keep_line(self, group: str, timestamp: int, line: str) -> None:
        """Take note of a log record."""


_host: Host | None = None


def host() -> Host:
    """Engine that is running.

    Raises
    ------
    RuntimeError
        None is.
    """
    if _host is None:
        raise RuntimeError("no embedded AWS is running")
    return _host


def attach(running: Host | None) -> None:
    """Say which embedded AWS the patches serve; None when it has ended."""
    global _host
    _host = running
    _client.cache_clear()


@dataclass(frozen=True)
class Patch:
    """One change.

    Parameters
    ----------
    name : str
        For tests.
    reason : str
        What moto does, and what AWS does.
    owner : object
        The class or module that is changed.
    attributes : dict
        New values by attribute.
    moto : str
        Version for which it was found necessary.
    """

    name: str
    reason: str
    owner: Any
    attributes: dict[str, Any]
    moto: str = MOTO_VERSION


# -- parameters and answers of service integrations --------------------------------------------------------------


@cache
def _service_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


@lru_cache(maxsize=256)
def _operation(service: str, action: str) -> Any:
    model = _service_model(service)
    for name in model.operation_names:
        if camel_to_snake_case(name) == action:
            return model.operation_model(name)
    return None


def _normalise_parameters(
    self: Any, parameters: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    service = self._get_boto_service_name(boto_service_name)
    operation = _operation(service, self._get_boto_service_action(service_action_name))
    if operation is not None and operation.input_shape is not None:
        self._to_boto_request(parameters, operation.input_shape)


def _normalise_response(
    self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    service = self._get_boto_service_name(boto_service_name)
    operation = _operation(service, self._get_boto_service_action(service_action_name))
    if operation is not None and operation.output_shape is not None:
        self._from_boto_response(response, operation.output_shape)


_original_response_value = StateTaskService._from_boto_response_value


def _response_value(response_value: Any) -> Any:
    if isinstance(response_value, datetime):
        return int(response_value.timestamp() * 1000)
    return _original_response_value(response_value)


# -- clients of the interpreter ----------------------------------------------------------------------------------

_client_lock = threading.Lock()


@lru_cache(maxsize=64)
def _client(service_name: str, region_name: str, endpoint: str, keys: AccessKeys) -> Any:
    # its default time-outs are those of the longest state; these calls go to this very process
    session: Any = boto3.session.Session(
        aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key, region_name=region_name
    )
    return session.client(
        service_name,
        endpoint_url=endpoint,
        config=boto_client.Config(
            parameter_validation=False,
            retries={"max_attempts": 0, "total_max_attempts": 1},
            max_pool_connections=50,
        ),
    )


def _shared_client(*, service_name: str, region_name: str, **_: Any) -> Any:
    with _client_lock:
        return _client(service_name, region_name, host().endpoint, host().keys)


# -- ecs:runTask.sync --------------------------------------------------------------------------------------------

_original_build_sync_resolver = StateTaskServiceEcs._build_sync_resolver
_original_eval_sync = StateTaskServiceEcs._eval_sync
_original_evaluate_with_timeout = StateTaskServiceCallback._evaluate_with_timeout
_original_from_error = StateTaskServiceCallback._from_error


def _build_sync_resolver(self: Any, env: Any, **arguments: Any) -> Callable[[], Any]:
    submitted = env.stack[-1]["Tasks"][0]
    execution = env.states.context_object.context_object_data["Execution"]
    host().note_task(execution["Id"], submitted["ClusterArn"], submitted["TaskArn"])
    poll = _original_build_sync_resolver(self, env=env, **arguments)

    def resolve() -> Any:
        if not _has_stopped(submitted["TaskArn"]):
            host().wait(submitted["TaskArn"], POLL_SECONDS)
            return None
        task = poll()
        if task and any(container.get("ExitCode") != 0 for container in task["Containers"]):
            raise _task_failed(self, env, to_json_str(task))
        return task

    resolve.task = (submitted["ClusterArn"], submitted["TaskArn"])  # type: ignore[attr-defined]
    return resolve


def _has_stopped(task_arn: str) -> bool:
    task = _task_with(task_arn)
    return task is None or task.last_status == "STOPPED"


def _task_with(task_arn: str) -> Any:
    _, _, _, region, account, _ = task_arn.split(":", 5)
    for tasks in list(ecs_models.ecs_backends[account][region].tasks.values()):
        if task_arn in tasks:
            return tasks[task_arn]
    return None


def _task_failed(service: Any, env: Any, cause: str) -> FailureEventException:
    name = StatesErrorNameType.StatesTaskFailed
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=name),
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(
                taskFailedEventDetails=TaskFailedEventDetails(
                    resource=service._get_sfn_resource(),
                    resourceType=service._get_sfn_resource_type(),
                    error=name.to_name(),
                    cause=cause,
                )
            ),
        )
    )


def _eval_sync(self: Any, env: Any, sync_resolver: Any, **arguments: Any) -> Any:
    # an execution that was stopped while its state began has no time-out: what moto takes for one is a document
    running = env.is_running()
    outcome = _original_eval_sync(self, env=env, sync_resolver=sync_resolver, **arguments) if running else None
    if not isinstance(outcome, dict):
        cluster, task_arn = sync_resolver.task
        ecs_models.ecs_backends[task_arn.split(":")[4]][task_arn.split(":")[3]].stop_task(
            cluster, task_arn, "Stopped by AWS Step Functions"
        )
    return outcome


def _evaluate_with_timeout(self: Any, env: Any) -> None:
    if self._is_integration_pattern() and ResourceCondition.WaitForTaskToken in self._supported_integration_patterns:
        env.callback_pool_manager.add(env.states.context_object.update_task_token())
    _original_evaluate_with_timeout(self, env)


def _from_error(self: Any, env: Any, ex: Exception) -> Any:
    if not isinstance(ex, ClientError):
        return _original_from_error(self, env=env, ex=ex)
    code = str(ex.response["Error"].get("Code") or "")
    modelled = type(ex) is not ClientError
    error = f"ECS.{code if modelled else 'AmazonECSException'}"
    cause = (
        f"{ex.response['Error'].get('Message')} (Service: AmazonECS; "
        f"Status Code: {ex.response['ResponseMetadata']['HTTPStatusCode']}; Error Code: {code})"
    )
    return FailureEvent(
        env=env,
        error_name=ErrorName(error_name=error),
        event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(
            taskFailedEventDetails=TaskFailedEventDetails(
                resource=self._get_sfn_resource(),
                resourceType=self._get_sfn_resource_type(),
                error=error,
                cause=cause,
            )
        ),
    )


_original_supported_parameters = StateTaskServiceEcs._get_supported_parameters


def _supported_parameters(self: Any) -> set[str]:
    return {*_original_supported_parameters(self), "CapacityProviderStrategy"}


# -- containers --------------------------------------------------------------------------------------------------

# network interfaces and tasks are kept in dictionaries that one thread walks through while another adds to them
_run_task_lock = threading.Lock()
_original_run_task = ecs_models.EC2ContainerServiceBackend.run_task
_original_describe_tasks = ecs_models.EC2ContainerServiceBackend.describe_tasks


def _run_task(self: Any, *arguments: Any, **named: Any) -> Any:
    with _run_task_lock:
        tasks = _original_run_task(self, *arguments, **named)
    for task in tasks:
        task.last_status = "PROVISIONING"
        task.containers[0].last_status = "PENDING"
        task.containers[0].exitCode = None
        task.created_at = utcnow()
    try:
        for task in tasks:
            host().launch(task, self.describe_task_definition(task.task_definition_arn))
    except ServiceException:
        for task in tasks:
            forget_task(task.cluster_arn, task.task_arn)
        raise
    return tasks


def forget_task(cluster_arn: str, task_arn: str) -> None:
    """Drop a task and its network interface from memory.

    Parameters
    ----------
    cluster_arn, task_arn : str
        Which.
    """
    _, _, _, region, account, _ = task_arn.split(":", 5)
    with _run_task_lock:
        task = (
            ecs_models.ecs_backends[account][region].tasks.get(cluster_arn.rpartition("/")[2], {}).pop(task_arn, None)
        )
        for attachment in task.attachments if task is not None else ():
            for detail in attachment["details"]:
                if detail["name"] == "networkInterfaceId":
                    ec2_backends[account][region].enis.pop(detail["value"], None)


def _describe_tasks(self: Any, *arguments: Any, **named: Any) -> Any:
    with _run_task_lock:
        return _original_describe_tasks(self, *arguments, **named)


def _stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
    cluster = self._get_cluster(cluster_str)
    wanted = task_str.split("/")[-1]
    for task in list(self.tasks.get(cluster.name, {}).values()):
        if task.id == wanted:
            task.desired_status = "STOPPED"
            host().stop(task, reason)
            return task
    raise ecs_models.InvalidParameterException("The referenced task was not found.")


def _resource_requirements(task_definition: Any) -> dict[str, Any]:
    return {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}


def _status(self: Any) -> Any:
    return self._status


def _set_status(self: Any, value: str) -> None:
    self._status = value


# -- executions --------------------------------------------------------------------------------------------------

_original_reflect = BaseExecutionWorkerCommunication._reflect_execution_status
_original_describe_execution = StepFunctionResponse.describe_execution
_original_find_execution = StepFunctionBackend.describe_execution
_original_name_idempotency = StateMachine._handle_name_input_idempotency
# a list of executions must not change while somebody looks for one in it
executions_lock = threading.RLock()


def _reflect_execution_status(self: Any) -> None:
    state = self.execution.exec_worker.env.program_state()
    if isinstance(state, ProgramStopped):
        self.execution.error, self.execution.cause = state.error, state.cause
    _original_reflect(self)
    if _host is not None:
        _host.keep_execution(self.execution)


def _stop_execution(self: Any) -> ActionResult:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    now = utcnow()
    worker = execution.exec_worker
    while worker is not None and worker.env is None:  # its thread has not come so far yet
        time.sleep(PAUSE_SECONDS)
    execution.stop(stop_date=now, error=self._get_param("error"), cause=self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date or now})


def _describe_execution(self: Any) -> ActionResult:
    answer = _original_describe_execution(self)
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    if execution.stop_date is not None:
        answer.result["stopDate"] = execution.stop_date
    return answer


def _find_execution(self: Any, execution_arn: str) -> Any:
    try:
        with executions_lock:
            return _original_find_execution(self, execution_arn)
    except ExecutionDoesNotExist:
        found = host().earlier_execution(execution_arn)
        if found is None:
            raise
        return found


def _name_idempotency(self: Any, name: str, execution_input: str) -> Any:
    with executions_lock:
        found = _original_name_idempotency(self, name, execution_input)
    if found is None and host().knows_execution(self.arn, name):
        raise ExecutionAlreadyExists(f"Execution Already Exists: '{name}'")
    return found


def forget_execution(execution_arn: str) -> None:
    """Drop an execution from memory.

    Parameters
    ----------
    execution_arn : str
        Which.
    """
    _, _, _, region, account, _, machine, _ = execution_arn.split(":", 7)
    with executions_lock:
        for one in stepfunctions_parser_backends[account][region].state_machines:
            if one.name == machine:
                for execution in [found for found in one.executions if found.execution_arn == execution_arn]:
                    one.executions.remove(execution)
    TMP_THREADS[:] = [thread for thread in TMP_THREADS if thread.is_alive()]


@lru_cache(maxsize=16)
def _parsed(definition: str) -> bytes:
    return pickle.dumps(AmazonStateLanguageParser.parse(definition)[0])


def _program(self: Any) -> Any:
    # each execution gets a program of its own: its parts keep state while they are evaluated
    return pickle.loads(_parsed(self._evaluation_details.state_machine_details.definition))


_original_start = Execution.start


def _start(self: Any) -> None:
    _original_start(self)
    host().keep_execution(self)


_original_set_error = Environment.set_error


def _set_error(self: Any, error: Any) -> None:
    # frames are states of the same execution: a stop of the execution stopped them, and what they fail of now is that
    if not isinstance(self.program_state(), ProgramStopped):
        _original_set_error(self, error)


# -- objects and log records -------------------------------------------------------------------------------------

_original_put_object = S3Backend.put_object
_original_delete_object = S3Backend.delete_object
_original_get_object = S3Backend.get_object
_original_list_objects = S3Backend.list_objects
_original_filter_events = LogGroup.filter_log_events
_original_filter_matches = EventMessageFilter.matches
_JSON_EQUALITY = re.compile(r'^\{\s*\$\.(\w+)\s*=\s*"([^"]*)"\s*\}$')


def put_object_in_memory(backend: Any, bucket: str, name: str, content: bytes) -> Any:
    """Put an object of which nobody is told."""
    return _original_put_object(backend, bucket, name, content)


class NoRoomError(S3ClientError):  # type: ignore[misc]
    """An object cannot be kept: a client error, so that nobody tries at once again."""

    def __init__(self, reason: str) -> None:
        super().__init__("DiskFull", reason)


def _put_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    host().want_objects(bucket_name, key_name)
    key = _original_put_object(self, bucket_name, key_name, *arguments, **named)
    try:
        host().keep_object(key)
    except StorageError as error:
        raise NoRoomError(str(error)) from None
    return key


def _get_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    host().want_objects(bucket_name, key_name)
    return _original_get_object(self, bucket_name, key_name, *arguments, **named)


def _list_objects(self: Any, bucket: Any, prefix: str | None, *arguments: Any, **named: Any) -> Any:
    host().want_objects(bucket.name, prefix)
    return _original_list_objects(self, bucket, prefix, *arguments, **named)


def _new_instance(cls: Any, *_: Any, **__: Any) -> Any:
    return object.__new__(cls)


def _delete_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    answer = _original_delete_object(self, bucket_name, key_name, *arguments, **named)
    host().forget_object(bucket_name, key_name)
    return answer


_original_put_log_events = LogsResponse.put_log_events


def _put_log_events(self: Any) -> Any:
    answer = _original_put_log_events(self)
    for event in self._get_param("logEvents"):
        host().keep_line(self._get_param("logGroupName"), int(event["timestamp"]), event["message"])
    return answer


@lru_cache(maxsize=256)
def _json_equality(pattern: str) -> tuple[str, str] | None:
    found = _JSON_EQUALITY.match(pattern.strip())
    return (found[1], found[2]) if found else None


def _filter_events(
    self: Any,
    log_group_name: str,
    log_stream_names: Any,
    start_time: int | None,
    end_time: int | None,
    limit: int | None,
    next_token: str | None,
    filter_pattern: str,
    interleaved: bool,
) -> Any:
    equality = _json_equality(filter_pattern or "")
    records = host().kept_records(log_group_name, *equality) if equality is not None else None
    if records is None:
        return _original_filter_events(
            self,
            log_group_name,
            log_stream_names,
            start_time,
            end_time,
            limit,
            next_token,
            filter_pattern,
            interleaved,
        )
    # a token is the number of records that are behind the reader: they only ever grow at their end
    begin = int(next_token) if next_token and next_token.isdecimal() else 0 if not next_token else len(records)
    page: list[dict[str, Any]] = []
    for number, record in enumerate(records[begin:], begin):
        if len(page) == (limit or MAX_EVENTS):
            return page, str(number), []
        if (start_time or 0) <= record.timestamp <= (end_time or record.timestamp):
            page.append(
                {
                    "eventId": str(number),
                    "ingestionTime": record.timestamp,
                    "logStreamName": "kept",
                    "message": record.message,
                    "timestamp": record.timestamp,
                }
            )
    return page, None, []


def _filter_matches(self: Any, message: str) -> bool:
    equality = _json_equality(self.filter_type.term)
    if equality is None:
        matches: bool = _original_filter_matches(self, message)
        return matches
    name, value = equality
    if value not in message:
        return False
    try:
        record = json.loads(message)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get(name) == value


PATCHES = (
    Patch(
        "no CORS",
        "Every answer of the server says that pages of every site may read it.",
        werkzeug_app,
        {"DISABLE_GLOBAL_CORS": True},
    ),
    Patch(
        "parameter case",
        "The interpreter hands `Cluster` to boto3 where boto3 wants `cluster` (getmoto/moto#10076): the "
        "method that should translate is empty.",
        StateTaskService,
        {"_normalise_parameters": _normalise_parameters},
    ),
    Patch(
        "response case",
        "The interpreter answers `taskArn` where Step Functions answers `TaskArn`: the method that should "
        "translate is empty.",
        StateTaskService,
        {"_normalise_response": _normalise_response},
    ),
    Patch(
        "times in answers",
        "The interpreter keeps datetimes, which then cannot be written as JSON; Step Functions gives "
        "milliseconds since 1970.",
        StateTaskService,
        {"_from_boto_response_value": staticmethod(_response_value)},
    ),
    Patch(
        "service names",
        "The aws-sdk integration names some services otherwise than boto3 does.",
        StateTaskService,
        {
            "_SERVICE_NAME_SFN_TO_BOTO_OVERRIDES": {
                **StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES,
                "costexplorer": "ce",
                "cloudwatchlogs": "logs",
            }
        },
    ),
    Patch(
        "shared clients",
        "The interpreter makes a boto3 client for every call, from several threads: slow (about 30 ms "
        "each) and not safe. It also takes the port from an environment variable that must be set before "
        "the first import.",
        boto_client,
        {"boto3": SimpleNamespace(client=_shared_client)},
    ),
    Patch(
        "exit codes",
        "`ecs:runTask.sync` succeeds whatever the container's exit code is; Step Functions fails it with "
        "States.TaskFailed and the task's description as its cause. Every waiting state also describes "
        "its task over HTTP twice a second.",
        StateTaskServiceEcs,
        {"_build_sync_resolver": _build_sync_resolver},
    ),
    Patch(
        "abandoned tasks",
        "A state that is left by StopExecution or by a time-out leaves its task running; Step Functions stops it.",
        StateTaskServiceEcs,
        {"_eval_sync": _eval_sync},
    ),
    Patch(
        "token per attempt",
        "The callback endpoint is made once per state and closed by the first attempt, so that each retry "
        "ends at once in States.Timeout.",
        StateTaskServiceCallback,
        {"_evaluate_with_timeout": _evaluate_with_timeout},
    ),
    Patch(
        "errors of ECS",
        "An error of the RunTask call becomes States.Runtime, which nothing can retry; Step Functions "
        "names it `ECS.<error>`.",
        StateTaskServiceEcs,
        {"_from_error": _from_error},
    ),
    Patch(
        "capacity providers",
        "The interpreter drops the parameter CapacityProviderStrategy of RunTask, which Step Functions "
        "hands on: a task then asks for container instances, of which Fargate has none.",
        StateTaskServiceEcs,
        {"_get_supported_parameters": _supported_parameters},
    ),
    Patch(
        "quick looks",
        "The pause of half a second between two polls of a task would be added to every job; the poll "
        "itself waits here.",
        state_task_service_callback,
        {"_DELAY_SECONDS_SYNC_CONDITION_CHECK": PAUSE_SECONDS},
    ),
    Patch(
        "containers run",
        "RunTask only keeps a record, and fails at times when two are made at once; here the container runs as a "
        "subprocess.",
        ecs_models.EC2ContainerServiceBackend,
        {"run_task": _run_task, "describe_tasks": _describe_tasks},
    ),
    Patch(
        "containers stop",
        "StopTask only changes the record, and raises an untyped exception (an answer of 500) when there "
        "is no such task.",
        ecs_models.EC2ContainerServiceBackend,
        {"stop_task": _stop_task},
    ),
    Patch(
        "no memory in the container",
        "RunTask raises TypeError for a container definition without memory, which is the usual one on Fargate.",
        ecs_models.EC2ContainerServiceBackend,
        {"_calculate_task_resource_requirements": staticmethod(_resource_requirements)},
    ),
    Patch(
        "interface without a name",
        "RunTask raises AttributeError in a VPC that gives its hosts no DNS names.",
        NetworkInterface,
        {"private_dns_name": ""},
    ),
    Patch(
        "status by itself",
        "A task's status moves on by itself when it is looked at; here it is what the process's state is.",
        ecs_models.Task,
        {"status": property(_status, _set_status)},
    ),
    Patch(
        "reason of a stop, given",
        "StopExecution drops the error and cause that it is given, and fails for an execution that has "
        "only just started.",
        StepFunctionResponse,
        {"stop_execution": _stop_execution},
    ),
    Patch(
        "reason of a stop, kept",
        "DescribeExecution does not know the error and cause with which an execution was stopped.",
        BaseExecutionWorkerCommunication,
        {"_reflect_execution_status": _reflect_execution_status},
    ),
    Patch(
        "stop inside a Map",
        "An execution that is stopped while a Map runs ends as FAILED with an internal error, not as ABORTED.",
        Environment,
        {"set_error": _set_error},
    ),
    Patch(
        "end of a time-out",
        "DescribeExecution gives no stopDate for an execution that timed out.",
        StepFunctionResponse,
        {"describe_execution": _describe_execution},
    ),
    Patch(
        "paths parsed once",
        "Each JSONPath is parsed anew whenever it is used, 8 ms and about 30 times in a job.",
        json_path,
        {"parse": lru_cache(maxsize=1024)(json_path.parse)},
    ),
    Patch(
        "parsed once",
        "The definition is parsed anew for every execution, which takes 0.1 s of this process.",
        ExecutionWorker,
        {"_get_evaluation_entrypoint": _program},
    ),
    Patch(
        "beginnings of executions",
        "State lives in memory; what a restarted service must still know is told to the host.",
        Execution,
        {"start": _start},
    ),
    Patch(
        "objects as files",
        "Objects live in memory and are gone when the process ends; the host keeps them as files.",
        S3Backend,
        {"put_object": _put_object, "delete_object": _delete_object},
    ),
    Patch(
        "log records as lines",
        "Log records live in memory and are gone when the process ends; the host keeps those that come over HTTP as it "
        "keeps its own tasks'.",
        LogsResponse,
        {"put_log_events": _put_log_events},
    ),
    Patch(
        "objects when they are wanted",
        "Every object is in memory for ever; the host has them there while they are asked for.",
        S3Backend,
        {"get_object": _get_object, "list_objects": _list_objects},
    ),
    Patch(
        "earlier executions, described",
        "Every execution is in memory for ever; the host reads those that ended long ago from their files.",
        StepFunctionBackend,
        {"describe_execution": _find_execution},
    ),
    Patch(
        "earlier executions, by name",
        "Only the name of an execution that is in memory counts as taken.",
        StateMachine,
        {"_handle_name_input_idempotency": _name_idempotency},
    ),
    Patch(
        "records as files",
        "Every log record is in memory for ever, and a look at one goes through all of them.",
        LogGroup,
        {"filter_log_events": _filter_events},
    ),
    Patch(
        "no list of everything",
        "Everything that was ever made stays in a list for a page of moto's own, whatever becomes of it.",
        BaseModel,
        {"__new__": staticmethod(_new_instance)},
    ),
    Patch(
        "JSON filter patterns",
        "A filter pattern that compares a field matches every record, so that every poll of one job would carry the "
        "records of all jobs.",
        EventMessageFilter,
        {"matches": _filter_matches},
    ),
)

_ABSENT = object()
_originals: dict[str, dict[str, Any]] = {}
_install_lock = threading.Lock()


def install() -> None:
    """Apply every patch that is not applied."""
    with _install_lock:
        for patch in PATCHES:
            if patch.name not in _originals:
                _apply(patch)


def uninstall() -> None:
    """Give this process moto back as it was."""
    with _install_lock:
        for patch in PATCHES:
            if patch.name in _originals:
                _take_away(patch)


def _apply(patch: Patch) -> None:
    # vars(), not getattr(): an inherited attribute must be inherited again when the patch is taken away
    _originals[patch.name] = {name: vars(patch.owner).get(name, _ABSENT) for name in patch.attributes}
    for name, value in patch.attributes.items():
        setattr(patch.owner, name, value)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Take one patch away for a while: how a test learns whether moto still needs it."""
    patch = next(patch for patch in PATCHES if patch.name == name)
    _take_away(patch)
    try:
        yield
    finally:
        _apply(patch)


def _take_away(patch: Patch) -> None:
    for attribute, value in _originals.pop(patch.name).items():
        if value is _ABSENT:
            delattr(patch.owner, attribute)
        else:
            setattr(patch.owner, attribute, value)
