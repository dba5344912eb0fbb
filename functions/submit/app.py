"""Submit: validate, size, start an execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.compose.meta_analyses import ComposeSpecifications
from compose_runner.service import cold_start, lambda_http
from compose_runner.service.aws import clients
from compose_runner.service.aws.executions import StepFunctionsExecutions
from compose_runner.service.aws.keys import SsmUploadKeys
from compose_runner.service.aws.records import CloudWatchRecords
from compose_runner.service.operations import SUBMIT
from compose_runner.service.settings import SubmitSettings
from compose_runner.service.submit import SubmitService
from compose_runner.specification.limits import JobLimits

if TYPE_CHECKING:
    from compose_runner.service.contract import SubmitReply, SubmitRequest
    from compose_runner.service.lambda_events import Call


@lambda_http.serves(SUBMIT)
def handler(request: SubmitRequest, call: Call) -> SubmitReply:
    """Start the job, or find the one that the same request started before."""
    settings = SubmitSettings.read()
    service = SubmitService(
        executions=StepFunctionsExecutions(settings.state_machine_arn),
        keys=SsmUploadKeys(settings.key_parameters_path),
        specifications=ComposeSpecifications(),
        records=CloudWatchRecords(settings.log_group),
        results_bucket=settings.results_bucket,
        results_prefix=settings.results_prefix,
        limits=JobLimits(settings.max_iterations),
        max_running_jobs=settings.max_running_jobs,
    )
    return service.submit(request, lambda_http.read_idempotency_key(call))


clients.prepare("stepfunctions")
cold_start.finished()
