"""Executions of Step Functions: how they are parsed, stopped, described, found and forgotten."""

from __future__ import annotations

import pickle
import threading
import time
from functools import lru_cache
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.stepfunctions.exceptions import ExecutionAlreadyExists, ExecutionDoesNotExist
from moto.stepfunctions.models import StateMachine, StepFunctionBackend
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.stepfunctions.parser.utils import TMP_THREADS
from moto.stepfunctions.responses import StepFunctionResponse

from compose_runner.local.aws.moto_patches.host import host, is_attached
from compose_runner.local.aws.moto_patches.patch import Kind, Patch

# between two looks whether the thread of an execution has begun, in seconds
PAUSE_SECONDS = 0.02
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
    if is_attached():
        host().keep_execution(self.execution)


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
        found = host().store.earlier_execution(execution_arn)
        if found is None:
            raise
        return found


def _name_idempotency(self: Any, name: str, execution_input: str) -> Any:
    with executions_lock:
        found = _original_name_idempotency(self, name, execution_input)
    if found is None and host().store.knows_execution(self.arn, name):
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


PATCHES = (
    Patch(
        "reason of a stop, given",
        Kind.BUG,
        "moto/stepfunctions/responses.py",
        "StopExecution drops the error and cause that it is given, and fails for an execution that has "
        "only just started.",
        StepFunctionResponse,
        {"stop_execution": _stop_execution},
    ),
    Patch(
        "reason of a stop, kept",
        Kind.BUG,
        "moto/stepfunctions/parser/backend/execution.py",
        "DescribeExecution does not know the error and cause with which an execution was stopped.",
        BaseExecutionWorkerCommunication,
        {"_reflect_execution_status": _reflect_execution_status},
    ),
    Patch(
        "stop inside a Map",
        Kind.BUG,
        "moto/stepfunctions/parser/asl/eval/environment.py",
        "An execution that is stopped while a Map runs ends as FAILED with an internal error, not as ABORTED.",
        Environment,
        {"set_error": _set_error},
    ),
    Patch(
        "end of a time-out",
        Kind.BUG,
        "moto/stepfunctions/responses.py",
        "DescribeExecution gives no stopDate for an execution that timed out.",
        StepFunctionResponse,
        {"describe_execution": _describe_execution},
    ),
    Patch(
        "paths parsed once",
        Kind.SPEED,
        "moto/stepfunctions/parser/asl/utils/json_path.py",
        "Each JSONPath is parsed anew whenever it is used, 8 ms and about 30 times in a job.",
        json_path,
        {"parse": lru_cache(maxsize=1024)(json_path.parse)},
    ),
    Patch(
        "parsed once",
        Kind.SPEED,
        "moto/stepfunctions/parser/backend/execution_worker.py",
        "The definition is parsed anew for every execution, which takes 0.1 s of this process.",
        ExecutionWorker,
        {"_get_evaluation_entrypoint": _program},
    ),
    Patch(
        "beginnings of executions",
        Kind.OURS,
        "moto/stepfunctions/parser/backend/execution.py",
        "State lives in memory; what a restarted service must still know is handed to the store.",
        Execution,
        {"start": _start},
    ),
    Patch(
        "earlier executions, described",
        Kind.OURS,
        "moto/stepfunctions/models.py",
        "Every execution is in memory for ever; the host reads those that ended long ago from their files.",
        StepFunctionBackend,
        {"describe_execution": _find_execution},
    ),
    Patch(
        "earlier executions, by name",
        Kind.OURS,
        "moto/stepfunctions/models.py",
        "Only the name of an execution that is in memory counts as taken.",
        StateMachine,
        {"_handle_name_input_idempotency": _name_idempotency},
    ),
)
