"""Status: describe an execution, add metadata and progress; stop it on DELETE, where that is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.service import cold_start, including, lambda_http
from compose_runner.service.aws import clients
from compose_runner.service.aws.artifacts import S3Artifacts
from compose_runner.service.aws.executions import StepFunctionsExecutions
from compose_runner.service.aws.keys import SsmUploadKeys
from compose_runner.service.operations import STATUS
from compose_runner.service.settings import StatusSettings
from compose_runner.service.status import StatusService

if TYPE_CHECKING:
    from compose_runner.service.contract import StatusReply, StatusRequest
    from compose_runner.service.lambda_events import Call


@lambda_http.serves(STATUS)
def handler(request: StatusRequest, call: Call) -> StatusReply:
    """Describe the job, after stopping it if that is what the client asks for."""
    settings = StatusSettings.read()
    executions = StepFunctionsExecutions(settings.state_machine_arn)
    job_id = executions.job_id(request.artifact_prefix) if request.artifact_prefix else request.job_id
    service = StatusService(
        executions=executions,
        artifacts=S3Artifacts(settings.results_bucket),
        keys=SsmUploadKeys(settings.key_parameters_path),
        results_prefix=settings.results_prefix,
        allow_cancel=settings.allow_cancel,
    )
    reply = service.cancel(job_id) if call.method == "DELETE" else service.status(job_id)
    return including.extend_reply(reply, request, settings) if request.include else reply


clients.prepare("stepfunctions", "s3")
cold_start.finished()
