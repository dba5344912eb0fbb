"""How a state machine calls AWS: parameters, answers and clients of its service integrations."""

from __future__ import annotations

import threading
from datetime import datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import (
    StateTaskService,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.utils import camel_to_snake_case

from compose_runner.local.aws.moto_patches.host import host
from compose_runner.local.aws.moto_patches.patch import Kind, Patch

if TYPE_CHECKING:
    from compose_runner.local.aws.request_signatures import AccessKeys


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


_original_eval_execution = StateTaskService._eval_execution


def _eval_execution(self: Any, env: Any) -> None:
    fault = host().call_faults.take(self.name)
    if fault is None:
        _original_eval_execution(self, env)
        return
    # what the call would have been given may fail before it is made
    self._eval_parameters(env=env)
    if fault.error is None:
        env.stack.append(fault.output)
        return
    details = TaskFailedEventDetails(
        resource=self._get_sfn_resource(), resourceType=self._get_sfn_resource_type(), error=fault.error
    )
    if fault.cause is not None:
        details["cause"] = fault.cause
    known = fault.error in {known.to_name() for known in StatesErrorNameType}
    raise FailureEventException(
        FailureEvent(
            env=env,
            error_name=(
                StatesErrorName(typ=StatesErrorNameType.from_name(fault.error))
                if known
                else ErrorName(error_name=fault.error)
            ),
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=details),
        )
    )


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


def forget_clients() -> None:
    """Close the interpreter's clients, whose endpoint ends."""
    with _client_lock:
        _client.cache_clear()


PATCHES = (
    Patch(
        "parameter case",
        Kind.BUG,
        "getmoto/moto#10076",
        "The interpreter hands `Cluster` to boto3 where boto3 wants `cluster`: the "
        "method that should translate is empty.",
        StateTaskService,
        {"_normalise_parameters": _normalise_parameters},
    ),
    Patch(
        "response case",
        Kind.BUG,
        "getmoto/moto#10076",
        "The interpreter answers `taskArn` where Step Functions answers `TaskArn`: the method that should "
        "translate is empty.",
        StateTaskService,
        {"_normalise_response": _normalise_response},
    ),
    Patch(
        "times in answers",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service.py",
        "The interpreter keeps datetimes, which then cannot be written as JSON; Step Functions gives "
        "milliseconds since 1970.",
        StateTaskService,
        {"_from_boto_response_value": staticmethod(_response_value)},
    ),
    Patch(
        "service names",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service.py",
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
        "answers of AWS",
        Kind.OURS,
        "moto/stepfunctions/parser/asl/component/state/exec/state_task/service/state_task_service.py",
        "A call is answered by moto alone; here a test may say what AWS answers otherwise, such as amounts of a "
        "budget that are numbers, or an error without a cause.",
        StateTaskService,
        {"_eval_execution": _eval_execution},
    ),
    Patch(
        "shared clients",
        Kind.SPEED,
        "moto/stepfunctions/parser/asl/utils/boto_client.py",
        "The interpreter makes a boto3 client for every call, from several threads: slow (about 30 ms "
        "each) and not safe. It also takes the port from an environment variable that must be set before "
        "the first import.",
        boto_client,
        {"boto3": SimpleNamespace(client=_shared_client)},
    ),
)
