"""The task's log in CloudWatch Logs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from compose_runner.service.aws import clients
from compose_runner.service.errors import AwsServiceError, RequestError
from compose_runner.service.log_events import ARTIFACT_PREFIX
from compose_runner.service.observability import logger, tracing
from compose_runner.service.ports import LogPage, Window

# streams of jobs without a task; the template lets submit write to these and no others
REFUSED_STREAMS = "refused/"


@dataclass(frozen=True, slots=True)
class CloudWatchRecords:
    """Reads one log group, and writes the record of a job that has no task.

    Parameters
    ----------
    log_group : str
        Its name.
    """

    log_group: str

    @tracing.in_subsegment("CloudWatch Logs FilterLogEvents", namespace="aws")
    def page(self, artifact_prefix: str, window: Window) -> LogPage:
        """Read one page; see :class:`compose_runner.service.ports.Records`."""
        bounds: dict[str, Any] = {"startTime": window.start, "endTime": window.end, "nextToken": window.token}
        try:
            answer = clients.client("logs").filter_log_events(
                logGroupName=self.log_group,
                filterPattern=f'{{ $.{ARTIFACT_PREFIX} = "{artifact_prefix}" }}',
                **{name: value for name, value in bounds.items() if value is not None},
            )
        except clients.AwsError as error:
            code = clients.read_error_code(error)
            if window.token is not None and code == "InvalidParameterException":
                raise RequestError("next_token: it is no longer valid; ask again without it") from None
            raise AwsServiceError("The job's log cannot be read", code) from None
        return LogPage(
            records=[(event["timestamp"], event["message"]) for event in answer.get("events", ())],
            token=answer.get("nextToken"),
        )

    @tracing.in_subsegment("CloudWatch Logs PutLogEvents", namespace="aws")
    def write(self, artifact_prefix: str, text: str) -> None:
        """Write the one record of a job without a task; see :class:`compose_runner.service.ports.Records`."""
        stream = f"{REFUSED_STREAMS}{artifact_prefix}"
        logs = clients.client("logs")
        try:
            # a stream can be made once, so that of several requests for the same job one writes
            logs.create_log_stream(logGroupName=self.log_group, logStreamName=stream)
            logs.put_log_events(
                logGroupName=self.log_group,
                logStreamName=stream,
                logEvents=[{"timestamp": int(time.time() * 1000), "message": text}],
            )
        except clients.AwsError as error:
            code = clients.read_error_code(error)
            if code != "ResourceAlreadyExistsException":
                logger.error("records.not_written", extra={"error": code})
