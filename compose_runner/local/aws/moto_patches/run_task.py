"""The state `ecs:runTask.sync`: how a state machine launches a task, waits for it, and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.ecs import models as ecs_models
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
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from compose_runner.local.aws.moto_patches.host import host
from compose_runner.local.aws.moto_patches.patch import Kind, Patch

if TYPE_CHECKING:
    from collections.abc import Callable


# how long a poll of a running task may take, in seconds, and the pause between two polls
POLL_SECONDS = 0.5
PAUSE_SECONDS = 0.02
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
            host().tasks.wait(submitted["TaskArn"], POLL_SECONDS)
            return None
        task = poll()
        if task and any(container.get("ExitCode") != 0 for container in task["Containers"]):
            name = StatesErrorNameType.StatesTaskFailed
            failed = _task_failed(self, env, StatesErrorName(typ=name), name.to_name(), to_json_str(task))
            raise FailureEventException(failed)
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


def _task_failed(service: Any, env: Any, error_name: ErrorName, error: str, cause: str) -> FailureEvent:
    return FailureEvent(
        env=env,
        error_name=error_name,
        event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(
            taskFailedEventDetails=TaskFailedEventDetails(
                resource=service._get_sfn_resource(),
                resourceType=service._get_sfn_resource_type(),
                error=error,
                cause=cause,
            )
        ),
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
    return _task_failed(self, env, ErrorName(error_name=error), error, cause)


_original_supported_parameters = StateTaskServiceEcs._get_supported_parameters


def _supported_parameters(self: Any) -> set[str]:
    return {*_original_supported_parameters(self), "CapacityProviderStrategy"}


PATCHES = (
    Patch(
        "exit codes",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_ecs.py",
        "`ecs:runTask.sync` succeeds whatever the container's exit code is; Step Functions fails it with "
        "States.TaskFailed and the task's description as its cause. Every waiting state also describes "
        "its task over HTTP twice a second.",
        StateTaskServiceEcs,
        {"_build_sync_resolver": _build_sync_resolver},
    ),
    Patch(
        "abandoned tasks",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_callback.py",
        "A state that is left by StopExecution or by a time-out leaves its task running; Step Functions stops it.",
        StateTaskServiceEcs,
        {"_eval_sync": _eval_sync},
    ),
    Patch(
        "token per attempt",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_callback.py",
        "The callback endpoint is made once per state and closed by the first attempt, so that each retry "
        "ends at once in States.Timeout.",
        StateTaskServiceCallback,
        {"_evaluate_with_timeout": _evaluate_with_timeout},
    ),
    Patch(
        "errors of ECS",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_callback.py",
        "An error of the RunTask call becomes States.Runtime, which nothing can retry; Step Functions "
        "names it `ECS.<error>`.",
        StateTaskServiceEcs,
        {"_from_error": _from_error},
    ),
    Patch(
        "capacity providers",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_ecs.py",
        "The interpreter drops the parameter CapacityProviderStrategy of RunTask, which Step Functions "
        "hands on: a task then asks for container instances, of which Fargate has none.",
        StateTaskServiceEcs,
        {"_get_supported_parameters": _supported_parameters},
    ),
    Patch(
        "quick looks",
        Kind.SPEED,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service_callback.py",
        "The pause of half a second between two polls of a task would be added to every job; the poll "
        "itself waits here.",
        state_task_service_callback,
        {"_DELAY_SECONDS_SYNC_CONDITION_CHECK": PAUSE_SECONDS},
    ),
)
