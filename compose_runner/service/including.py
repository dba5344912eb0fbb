"""What a reply of status has besides the status, for a page that calls its own address and no other.

A page of one Function URL cannot call the others without CORS, for which each function would have to know the addresses
of the others: a circle that CloudFormation refuses. So status reads the log and the bucket as *logs* and *results* do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.service.errors import AwsServiceError
from compose_runner.service.observability import logger
from compose_runner.service.settings import artifacts_endpoint

if TYPE_CHECKING:
    from compose_runner.service.contract import LogsReply, ResultsReply, StatusReply, StatusRequest
    from compose_runner.service.settings import StatusSettings

# the reply has the status with metadata.json as well, and Lambda's limit is 6 MB
MAX_LOG_BYTES = 2_000_000
# status itself has to answer in time
MAX_LOG_SECONDS = 6.0
EXPIRES_SECONDS = 3600
# clocks of the engine and of the log differ a little
_EARLIER_MS = 60_000


def extend_reply(reply: StatusReply, request: StatusRequest, settings: StatusSettings) -> StatusReply:
    """Add log records and artifacts to a reply; what cannot be read is left out, with a record in the log.

    Parameters
    ----------
    reply : StatusReply
        The status.
    request : StatusRequest
        What to include.
    settings : StatusSettings
        Where log and artifacts are.
    """
    parts = frozenset((request.include or "").split(","))
    changes: dict[str, object] = {}
    try:
        if "logs" in parts and settings.log_group:
            changes["logs"] = _read_logs(reply, request, settings)
        if "artifacts" in parts and reply.status != "RUNNING":
            changes["artifacts"] = _list_artifacts(reply, settings).artifacts
    except AwsServiceError as error:
        logger.warning("status.incomplete", extra={"error": str(error)})
    return reply.model_copy(update=changes)


def _read_logs(reply: StatusReply, request: StatusRequest, settings: StatusSettings) -> LogsReply:
    # imported here: a status without them needs neither
    from compose_runner.service.aws.records import CloudWatchRecords
    from compose_runner.service.contract import LogsRequest
    from compose_runner.service.logs import LogsService

    start = request.logs_from
    if start is None:
        start = max(0, int(reply.start_time.timestamp() * 1000) - _EARLIER_MS)
    service = LogsService(
        CloudWatchRecords(settings.log_group), 0, max_bytes=MAX_LOG_BYTES, max_seconds=MAX_LOG_SECONDS
    )
    return service.logs(LogsRequest(artifact_prefix=reply.artifact_prefix, start_time=start))


def _list_artifacts(reply: StatusReply, settings: StatusSettings) -> ResultsReply:
    from compose_runner.service.aws.artifacts import S3Artifacts
    from compose_runner.service.contract import ResultsRequest
    from compose_runner.service.results import ResultsService

    artifacts = S3Artifacts(settings.results_bucket, artifacts_endpoint())
    service = ResultsService(artifacts, settings.results_bucket, settings.results_prefix)
    return service.results(ResultsRequest(artifact_prefix=reply.artifact_prefix, expires_in=EXPIRES_SECONDS))
