"""Results: presigned URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner import cold_start, http
from compose_runner.aws import clients
from compose_runner.aws.artifacts import S3Artifacts
from compose_runner.jobs.results import JobResults
from compose_runner.operations import RESULTS
from compose_runner.settings import ResultsSettings, artifacts_endpoint

if TYPE_CHECKING:
    from compose_runner.contract import ResultsReply, ResultsRequest
    from compose_runner.lambda_events import Call


@http.serves(RESULTS)
def handler(request: ResultsRequest, call: Call) -> ResultsReply:
    """List the job's artifacts."""
    settings = ResultsSettings.read()
    artifacts = S3Artifacts(settings.results_bucket, artifacts_endpoint())
    return JobResults(artifacts, settings.results_bucket, settings.results_prefix).results(request)


clients.prepare("s3")
cold_start.finished()
