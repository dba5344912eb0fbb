"""Results: presigned URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.service import cold_start, lambda_http
from compose_runner.service.aws import clients
from compose_runner.service.aws.artifacts import S3Artifacts
from compose_runner.service.operations import RESULTS
from compose_runner.service.results import ResultsService
from compose_runner.service.settings import ResultsSettings, artifacts_endpoint

if TYPE_CHECKING:
    from compose_runner.service.contract import ResultsReply, ResultsRequest
    from compose_runner.service.lambda_events import Call


@lambda_http.serves(RESULTS)
def handler(request: ResultsRequest, _call: Call) -> ResultsReply:
    """List the job's artifacts."""
    settings = ResultsSettings.read()
    artifacts = S3Artifacts(settings.results_bucket, artifacts_endpoint())
    return ResultsService(artifacts, settings.results_bucket, settings.results_prefix).results(request)


clients.prepare("s3")
cold_start.finished()
