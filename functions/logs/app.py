"""Logs: one job's records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.service import cold_start, lambda_http
from compose_runner.service.aws import clients
from compose_runner.service.aws.records import CloudWatchRecords
from compose_runner.service.logs import LogsService
from compose_runner.service.operations import LOGS
from compose_runner.service.settings import LogsSettings

if TYPE_CHECKING:
    from compose_runner.service.contract import LogsReply, LogsRequest
    from compose_runner.service.lambda_events import Call


@lambda_http.serves(LOGS)
def handler(request: LogsRequest, _call: Call) -> LogsReply:
    """Collect the job's records."""
    settings = LogsSettings.read()
    return LogsService(CloudWatchRecords(settings.log_group), settings.lookback_ms).logs(request)


clients.prepare("logs")
cold_start.finished()
