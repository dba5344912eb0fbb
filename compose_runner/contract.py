"""The requests and replies of the four functions, as models; field names and bounds are said here and nowhere else.

A request is read leniently where clients need it: an optional field that is null or an empty string counts as absent
(web forms send both), numbers and flags may come as words (a query string has nothing else), unknown fields are
ignored. Everything else of a wrong type or form is refused with a text that names the field and never repeats its
value, because a value may be a key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from compose_runner.progress import ProgressRecord
from compose_runner.storage_keys import ARTIFACT_PREFIX_PATTERN

DEFAULT_EXPIRES_SECONDS = 900
MAX_EXPIRES_SECONDS = 604_800
MAX_EPOCH_MS = 253_402_300_799_999
MAX_CORES = 1024
MAX_KEY_CHARACTERS = 4096  # a standard parameter of Parameter Store
IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
MAX_IDEMPOTENCY_KEY_CHARACTERS = 255


def _whole_number(value: Any) -> Any:
    """Refuse true and false, which Python counts as 1 and 0, and cut a fraction of a millisecond or second off."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _epoch_ms(value: Any) -> Any:
    value = _whole_number(value)
    if isinstance(value, float) and 0 <= value <= MAX_EPOCH_MS:
        return int(value)
    return value


def _printable_ascii(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must hold printable ASCII characters only, since it travels in an HTTP header")
    return value


ArtifactPrefix = Annotated[
    str,
    Field(
        pattern=ARTIFACT_PREFIX_PATTERN,
        description="The job's name: 1 to 80 letters, digits, '-' and '_'.",
        examples=["3f0e6d4c-9a37-4e0c-8a55-0a4d7f0f8f11"],
    ),
]
Key = Annotated[SecretStr, Field(max_length=MAX_KEY_CHARACTERS), AfterValidator(_printable_ascii)]
EpochMs = Annotated[int, BeforeValidator(_epoch_ms), Field(ge=0, le=MAX_EPOCH_MS)]


class Request(BaseModel):
    """What every request has in common: absent, null and empty are the same, and no error shows a value."""

    # a schema is built when it is first used: a function uses one of four
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _null_and_empty_are_absent(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            return {name: value for name, value in fields.items() if value is not None and value != ""}
        return fields


class SubmitRequest(Request):
    """Start a job."""

    meta_analysis_id: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
    ] = Field(description="The meta-analysis on Neurosynth Compose.", examples=["mHtoV82Dmnm9"])
    environment: str = Field(
        default="production",
        max_length=64,
        description="production, staging, development or local; any other word counts as production.",
    )
    no_upload: bool = Field(default=False, description="Compute, but leave Compose as it is.")
    artifact_prefix: ArtifactPrefix | None = Field(default=None, description="The job's name; a new UUID when absent.")
    n_cores: Annotated[int, BeforeValidator(_whole_number), Field(gt=0, le=MAX_CORES)] | None = Field(
        default=None, description="Cores to use; all of the task's when absent."
    )
    nsc_key: Key | None = Field(default=None, description="Upload key of Neurosynth Compose.")
    nv_key: Key | None = Field(default=None, description="Key of NeuroVault.")


class StatusRequest(Request):
    """Ask how a job is."""

    job_id: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="The job_id that submit answered.",
        examples=["arn:aws:states:us-east-1:123456789012:execution:compose-runner:my-job"],
    )


class LogsRequest(Request):
    """Ask for a job's log records."""

    artifact_prefix: ArtifactPrefix
    next_token: Annotated[str, Field(max_length=8192)] | None = Field(
        default=None, description="The next_token of an earlier reply to the same request."
    )
    start_time: EpochMs | None = Field(default=None, description="Epoch milliseconds; the last hour by default.")
    end_time: EpochMs | None = Field(default=None, description="Epoch milliseconds, not before start_time.")

    @model_validator(mode="after")
    def _start_is_not_after_end(self) -> LogsRequest:
        if self.start_time is not None and self.end_time is not None and self.start_time > self.end_time:
            raise ValueError("start_time must not be after end_time")
        return self


class ResultsRequest(Request):
    """Ask for a job's artifacts."""

    artifact_prefix: ArtifactPrefix
    expires_in: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=MAX_EXPIRES_SECONDS)] = Field(
        default=DEFAULT_EXPIRES_SECONDS,
        description="Seconds for which the addresses are valid, while the function's own credentials are.",
    )


class Reply(BaseModel):
    """What every reply has in common."""

    model_config = ConfigDict(defer_build=True)


class SubmitReply(Reply):
    """The job is accepted."""

    job_id: str = Field(description="The execution's ARN, which status takes.")
    artifact_prefix: ArtifactPrefix
    status: Literal["SUBMITTED"] = "SUBMITTED"
    status_url: str = Field(description="/jobs/<job_id>")


class StatusReply(Reply):
    """How the job is."""

    job_id: str
    artifact_prefix: str
    status: Literal["RUNNING", "SUCCEEDED", "FAILED"]
    execution_status: str = Field(description="The engine's own word, such as TIMED_OUT or ABORTED.")
    start_time: datetime
    stop_time: datetime | None = Field(default=None, description="Present once the job has ended.")
    output: dict[str, Any] = Field(description="The execution's output; empty unless the job succeeded.")
    progress: ProgressRecord | None = Field(default=None, description="Present while the task runs.")
    result: dict[str, Any] | None = Field(default=None, description="metadata.json, once it is written.")
    error: str | None = Field(default=None, description="Why the job failed, for a researcher.")
    error_name: str | None = Field(default=None, description="The engine's name of the error.")
    cause: str | None = Field(default=None, description="The engine's own account of the failure.")


class LogEvent(Reply):
    """One record."""

    timestamp: int = Field(description="Epoch milliseconds.")
    message: str = Field(description="A JSON object that carries artifact_prefix and message.")


class LogsReply(Reply):
    """The job's records in the order of their time."""

    artifact_prefix: str
    events: list[LogEvent]
    next_token: str | None = Field(
        description="Leads to records that this reply had no room or time for; null when there are none."
    )


class Artifact(Reply):
    """One object that the job left."""

    key: str
    filename: str = Field(description="The last part of the key.")
    path: str = Field(description="The key below the job's folder; differs from filename in a subfolder.")
    size: int = Field(description="Bytes.")
    last_modified: datetime
    url: str = Field(description="Presigned address; needs no credentials until it expires.")


class ResultsReply(Reply):
    """Everything that the job left."""

    artifact_prefix: str
    artifacts: list[Artifact]
    bucket: str
    prefix: str = Field(description="The job's folder in the bucket.")


class ErrorReply(Reply):
    """The request was not served, and why."""

    status: Literal["FAILED"] = "FAILED"
    error: str
    artifact_prefix: str | None = None
