"""The task's log in CloudWatch Logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compose_runner.aws import clients
from compose_runner.jobs.errors import EngineError, RequestError
from compose_runner.jobs.ports import Page, Window
from compose_runner.log_events import ARTIFACT_PREFIX
from compose_runner.observability import tracing


@dataclass(frozen=True, slots=True)
class CloudWatchRecords:
    """Reads one log group.

    Parameters
    ----------
    log_group : str
        Its name.
    """

    log_group: str

    @tracing.in_subsegment("CloudWatch Logs FilterLogEvents", namespace="aws")
    def page(self, artifact_prefix: str, window: Window) -> Page:
        """Read one page; see :class:`compose_runner.jobs.ports.Records`."""
        bounds: dict[str, Any] = {"startTime": window.start, "endTime": window.end, "nextToken": window.token}
        try:
            answer = clients.client("logs").filter_log_events(
                logGroupName=self.log_group,
                filterPattern=f'{{ $.{ARTIFACT_PREFIX} = "{artifact_prefix}" }}',
                **{name: value for name, value in bounds.items() if value is not None},
            )
        except clients.AwsError as error:
            code = clients.code_of(error)
            if window.token is not None and code == "InvalidParameterException":
                raise RequestError("next_token: it is no longer valid; ask again without it") from None
            raise EngineError("The job's log cannot be read", code) from None
        return Page(
            records=[(event["timestamp"], event["message"]) for event in answer.get("events", ())],
            token=answer.get("nextToken"),
        )
