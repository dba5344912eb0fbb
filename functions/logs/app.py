"""Logs: one job's records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner import cold_start, http
from compose_runner.aws import clients
from compose_runner.aws.records import CloudWatchRecords
from compose_runner.jobs.logs import JobLogs
from compose_runner.operations import LOGS
from compose_runner.settings import LogsSettings

if TYPE_CHECKING:
    from compose_runner.contract import LogsReply, LogsRequest
    from compose_runner.lambda_events import Call


@http.serves(LOGS)
def handler(request: LogsRequest, call: Call) -> LogsReply:
    """Collect the job's records."""
    settings = LogsSettings.read()
    return JobLogs(CloudWatchRecords(settings.log_group), settings.lookback_ms).logs(request)


clients.prepare("logs")
cold_start.finished()
