"""Submit: validate, size, start an execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner import cold_start, http
from compose_runner.aws import clients
from compose_runner.aws.executions import StepFunctionsExecutions
from compose_runner.aws.keys import ParameterStoreKeys
from compose_runner.aws.records import CloudWatchRecords
from compose_runner.compose_specifications import ComposeSpecifications
from compose_runner.jobs.submit import Submission
from compose_runner.limits import JobLimits
from compose_runner.operations import SUBMIT
from compose_runner.settings import SubmitSettings

if TYPE_CHECKING:
    from compose_runner.contract import SubmitReply, SubmitRequest
    from compose_runner.lambda_events import Call


@http.serves(SUBMIT)
def handler(request: SubmitRequest, call: Call) -> SubmitReply:
    """Start the job, or find the one that the same request started before."""
    settings = SubmitSettings.read()
    submission = Submission(
        executions=StepFunctionsExecutions(settings.state_machine_arn),
        keys=ParameterStoreKeys(settings.key_parameters_path),
        specifications=ComposeSpecifications(),
        records=CloudWatchRecords(settings.log_group),
        results_bucket=settings.results_bucket,
        results_prefix=settings.results_prefix,
        limits=JobLimits(settings.max_iterations),
        max_running_jobs=settings.max_running_jobs,
    )
    return submission.submit(request, http.read_idempotency_key(call))


clients.prepare("stepfunctions")
cold_start.finished()
