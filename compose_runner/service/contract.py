"""The requests and replies of the four functions, as models; field names and bounds are said here and nowhere else.

A request is read leniently where clients need it: an optional field that is null or an empty string counts as absent
(web forms send both), numbers and flags may come as words (a query string has nothing else), unknown fields are
ignored. Everything else of a wrong type or form is refused with a text that names the field and never repeats its
value, because a value may be a key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

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
from compose_runner.service.storage import ARTIFACT_PREFIX_PATTERN

DEFAULT_EXPIRES_SECONDS = 900
MAX_EXPIRES_SECONDS = 604_800
MAX_EPOCH_MS = 253_402_300_799_999
MAX_CORES = 1024
MAX_KEY_CHARACTERS = 4096  # a standard parameter of Parameter Store
IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
MAX_IDEMPOTENCY_KEY_CHARACTERS = 255


def _not_a_flag(value: Any) -> Any:
    """Refuse true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _whole_milliseconds(value: Any) -> Any:
    """Cut a fraction of a millisecond off."""
    value = _not_a_flag(value)
    if isinstance(value, float) and 0 <= value <= MAX_EPOCH_MS:
        return int(value)
    return value


def _fits_a_header(key: SecretStr) -> SecretStr:
    value = key.get_secret_value()
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must hold printable ASCII characters only, since it travels in an HTTP header")
    return key


ArtifactPrefix = Annotated[
    str,
    Field(
        pattern=ARTIFACT_PREFIX_PATTERN,
        description="The job's name: 1 to 80 letters, digits, '-' and '_'.",
        examples=["3f0e6d4c-9a37-4e0c-8a55-0a4d7f0f8f11"],
    ),
]
UploadKey = Annotated[SecretStr, Field(max_length=MAX_KEY_CHARACTERS), AfterValidator(_fits_a_header)]
EpochMilliseconds = Annotated[int, Field(ge=0, le=MAX_EPOCH_MS), BeforeValidator(_whole_milliseconds)]


class Request(BaseModel):
    """What every request has in common: absent, null and empty are the same, and no error shows a value."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_null_and_empty(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            return {name: value for name, value in fields.items() if value is not None and value != ""}
        return fields


class SubmitRequest(Request):
    """Start a job."""

    meta_analysis_id: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$"),
        Field(description="The meta-analysis on Neurosynth Compose.", examples=["mHtoV82Dmnm9"]),
    ]
    environment: Annotated[
        str,
        Field(
            max_length=64,
            description="production, staging, development or local; any other word counts as production.",
        ),
    ] = "production"
    no_upload: Annotated[bool, Field(description="Compute, but leave Compose as it is.")] = False
    artifact_prefix: Annotated[ArtifactPrefix | None, Field(description="The job's name; a new UUID when absent.")] = (
        None
    )
    n_cores: Annotated[
        Annotated[int, Field(gt=0, le=MAX_CORES), BeforeValidator(_not_a_flag)] | None,
        Field(description="Cores to use; all of the task's when absent."),
    ] = None
    nsc_key: Annotated[UploadKey | None, Field(description="Upload key of Neurosynth Compose.")] = None
    nv_key: Annotated[UploadKey | None, Field(description="Key of NeuroVault.")] = None


class StatusRequest(Request):
    """Ask how a job is, by its id or by its name."""

    artifact_prefix: Annotated[
        ArtifactPrefix | None,
        Field(description="The job's name, in place of its job_id; where there is a job_id it does not count."),
    ] = None
    job_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            description="The job_id that submit answered, unless artifact_prefix names the job.",
            examples=["arn:aws:states:us-east-1:123456789012:execution:compose-runner:my-job"],
        ),
    ]
    include: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^(logs|artifacts)(,(logs|artifacts))*$",
            description="What the reply has besides the status: logs, artifacts (once the job has ended), or both "
            "with a comma between them.",
        ),
    ] = None
    logs_from: Annotated[
        EpochMilliseconds | None,
        Field(description="Included records begin here, in epoch milliseconds; by default with the job."),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _take_one_of_the_two(cls, fields: Any) -> Any:
        """Let the name stand for an id that is not there, and not count where the id is."""
        if not isinstance(fields, dict):
            return fields
        if fields.get("job_id") in (None, ""):
            name = fields.get("artifact_prefix")
            return {**fields, "job_id": name} if name not in (None, "") else fields
        return {field: value for field, value in fields.items() if field != "artifact_prefix"}


class LogsRequest(Request):
    """Ask for a job's log records."""

    artifact_prefix: ArtifactPrefix
    next_token: Annotated[
        str | None, Field(max_length=8192, description="The next_token of an earlier reply to the same request.")
    ] = None
    start_time: Annotated[
        EpochMilliseconds | None, Field(description="Epoch milliseconds; the last hour by default.")
    ] = None
    end_time: Annotated[EpochMilliseconds | None, Field(description="Epoch milliseconds, not before start_time.")] = (
        None
    )

    @model_validator(mode="after")
    def _start_is_not_after_end(self) -> Self:
        if self.start_time is not None and self.end_time is not None and self.start_time > self.end_time:
            raise ValueError("start_time must not be after end_time")
        return self


class ResultsRequest(Request):
    """Ask for a job's artifacts."""

    artifact_prefix: ArtifactPrefix
    expires_in: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_EXPIRES_SECONDS,
            description="Seconds for which the addresses are valid, while the function's own credentials are.",
        ),
        BeforeValidator(_not_a_flag),
    ] = DEFAULT_EXPIRES_SECONDS


class Reply(BaseModel):
    """What every reply has in common."""


class SubmitReply(Reply):
    """The job is accepted."""

    job_id: Annotated[str, Field(description="The execution's ARN, which status takes.")]
    artifact_prefix: ArtifactPrefix
    status: Literal["SUBMITTED"] = "SUBMITTED"
    status_url: Annotated[str, Field(description="/jobs/<job_id>")]
    error: Annotated[
        str | None,
        Field(description="Why the job cannot run, where that is known already: it fails at once, without a task."),
    ] = None


class LogEvent(Reply):
    """One record."""

    timestamp: Annotated[int, Field(description="Epoch milliseconds.")]
    message: Annotated[str, Field(description="A JSON object that carries artifact_prefix and message.")]


class LogsReply(Reply):
    """The job's records in the order of their time."""

    artifact_prefix: str
    events: list[LogEvent]
    next_token: Annotated[
        str | None,
        Field(description="Leads to records that this reply had no space or time for; null when there are none."),
    ]


class Artifact(Reply):
    """One object that the job left."""

    key: str
    filename: Annotated[str, Field(description="The last part of the key.")]
    path: Annotated[str, Field(description="The key below the job's folder; differs from filename in a subfolder.")]
    size: Annotated[int, Field(description="Bytes.")]
    last_modified: datetime
    url: Annotated[str, Field(description="Presigned address; needs no credentials until it expires.")]


class ResultsReply(Reply):
    """Everything that the job left."""

    artifact_prefix: str
    artifacts: list[Artifact]
    bucket: str
    prefix: Annotated[str, Field(description="The job's folder in the bucket.")]


class StatusReply(Reply):
    """How the job is."""

    job_id: str
    artifact_prefix: str
    status: Literal["RUNNING", "SUCCEEDED", "FAILED"]
    execution_status: Annotated[str, Field(description="Step Functions' own status, such as TIMED_OUT or ABORTED.")]
    start_time: datetime
    stop_time: Annotated[datetime | None, Field(description="Present once the job has ended.")] = None
    output: Annotated[dict[str, Any], Field(description="The execution's output; empty unless the job succeeded.")]
    progress: Annotated[ProgressRecord | None, Field(description="Present while the task runs.")] = None
    result: Annotated[dict[str, Any] | None, Field(description="metadata.json, once it is written.")] = None
    error: Annotated[str | None, Field(description="Why the job failed, for a researcher.")] = None
    error_name: Annotated[str | None, Field(description="Step Functions' name of the error.")] = None
    cause: Annotated[str | None, Field(description="Step Functions' account of the failure.")] = None
    logs: Annotated[LogsReply | None, Field(description="The job's log records, where they were asked for.")] = None
    artifacts: Annotated[
        list[Artifact] | None,
        Field(description="What the job left, where it was asked for; present once the job has ended."),
    ] = None


class ErrorReply(Reply):
    """The request was not served, and why."""

    status: Literal["FAILED"] = "FAILED"
    error: str
    artifact_prefix: str | None = None
