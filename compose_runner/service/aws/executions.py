"""Jobs as executions of a Step Functions state machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from compose_runner.service.aws import clients
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError
from compose_runner.service.observability import tracing
from compose_runner.service.ports import Execution
from compose_runner.service.storage import is_artifact_prefix

_LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class StepFunctionsExecutions:
    """Starts, describes and stops executions of one state machine.

    Parameters
    ----------
    state_machine_arn : str
        Its ARN.
    """

    state_machine_arn: str

    @property
    def _executions_arn(self) -> str:
        return self.state_machine_arn.replace(":stateMachine:", ":execution:", 1)

    def job_id(self, name: str) -> str:
        """Give the ARN that the execution of this name has or would have."""
        return f"{self._executions_arn}:{name}"

    def parse_name(self, job_id: str) -> str:
        """Give the name of an execution; raises :class:`RequestError` for anything but one of our state machine's."""
        parts = job_id.split(":")
        if len(parts) != 8 or parts[0] != "arn" or parts[2] != "states" or parts[5] != "execution":
            raise RequestError("job_id: it is not the ARN of an execution, which submit answers as job_id")
        name = parts[7]
        if job_id != self.job_id(name):
            raise RequestError("job_id: it is an execution of another state machine")
        if not is_artifact_prefix(name):
            raise RequestError("job_id: its last part is not a job's name")
        return name

    @tracing.in_subsegment("Step Functions StartExecution", namespace="aws")
    def start(self, name: str, document: dict[str, Any]) -> str:
        """Start an execution; see :class:`compose_runner.service.ports.Executions`."""
        step_functions = clients.client("stepfunctions")
        try:
            answer = step_functions.start_execution(
                stateMachineArn=self.state_machine_arn, name=name, input=json.dumps(document)
            )
        except clients.AwsError as error:
            code = clients.read_error_code(error)
            if code == "ExecutionAlreadyExists":
                raise JobNameTakenError(name) from None
            raise AwsServiceError("The job cannot be started", code) from None
        return str(answer["executionArn"])

    @tracing.in_subsegment("Step Functions DescribeExecution", namespace="aws")
    def find(self, job_id: str) -> Execution | None:
        """Describe an execution; see :class:`compose_runner.service.ports.Executions`."""
        step_functions = clients.client("stepfunctions")
        try:
            answer = step_functions.describe_execution(executionArn=job_id)
        except clients.AwsError as error:
            code = clients.read_error_code(error)
            if code == "ExecutionDoesNotExist":
                return None
            if code == "InvalidArn":
                raise RequestError("job_id: it is not the ARN of an execution") from None
            raise AwsServiceError("The job's state cannot be read", code) from None
        return Execution(
            job_id=answer["executionArn"],
            name=answer["name"],
            status=answer["status"],
            started=answer["startDate"],
            stopped=answer.get("stopDate"),
            input=answer.get("input"),
            output=answer.get("output"),
            error=answer.get("error"),
            cause=answer.get("cause"),
        )

    @tracing.in_subsegment("Step Functions ListExecutions", namespace="aws")
    def running(self, most: int) -> int:
        """Count running executions; see :class:`compose_runner.service.ports.Executions`.

        The answer of ListExecutions is eventually consistent, and a page may hold less than it could.
        """
        step_functions = clients.client("stepfunctions")
        found = 0
        page: dict[str, Any] = {}
        try:
            while found < most:
                answer = step_functions.list_executions(
                    stateMachineArn=self.state_machine_arn,
                    statusFilter="RUNNING",
                    maxResults=min(most, _LARGEST_PAGE),
                    **page,
                )
                found += len(answer["executions"])
                if not answer.get("nextToken"):
                    break
                page = {"nextToken": answer["nextToken"]}
        except clients.AwsError as error:
            raise AwsServiceError("The running jobs cannot be counted", clients.read_error_code(error)) from None
        return min(found, most)

    @tracing.in_subsegment("Step Functions StopExecution", namespace="aws")
    def stop(self, job_id: str, reason: str) -> None:
        """Stop an execution; see :class:`compose_runner.service.ports.Executions`."""
        step_functions = clients.client("stepfunctions")
        try:
            step_functions.stop_execution(executionArn=job_id, error="Cancelled", cause=reason)
        except clients.AwsError as error:
            raise AwsServiceError("The job cannot be stopped", clients.read_error_code(error)) from None
