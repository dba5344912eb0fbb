"""What the state directory's files hold, checked: a record that somebody changed by hand must not end the service."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from compose_runner.service.contract import MAX_EPOCH_MS
from compose_runner.service.storage import is_artifact_prefix

RUNNING = "RUNNING"


def _in_utc(time: datetime) -> datetime:
    if not 1970 < time.year < 9999:  # at the very ends a change of the zone leaves the calendar
        raise ValueError("it is not a time of this service")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _json(text: str) -> str:
    try:
        json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return text


Time = Annotated[datetime, AfterValidator(_in_utc)]


class JobRecord(BaseModel):
    """How an execution is or ended; the names are DescribeExecution's."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str
    status: Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    startDate: Time
    stopDate: Time | None = None
    input: Annotated[str, AfterValidator(_json)]
    output: Annotated[str, AfterValidator(_json)] | None = None
    error: str | None = None
    cause: str | None = None

    @model_validator(mode="after")
    def _is_a_jobs(self) -> JobRecord:
        if not is_artifact_prefix(self.name):
            raise ValueError("its name is not a job's")
        return self


class LogLine(BaseModel):
    """One log record of a job."""

    model_config = ConfigDict(strict=True, extra="ignore")

    group: str
    timestamp: Annotated[int, Field(ge=0, le=MAX_EPOCH_MS)]
    message: str


def explain_error(error: ValidationError) -> str:
    """Say what is wrong with a record, without its content."""
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else str(detail["msg"])
