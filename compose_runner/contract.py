"""The requests and replies of the four functions, as models; field names and bounds are said here and nowhere else.

A request is read leniently where clients need it: an optional field that is null or an empty string counts as absent
(web forms send both), numbers and flags may come as words (a query string has nothing else), unknown fields are
ignored. Everything else of a wrong type or form is refused with a text that names the field and never repeats its
value, because a value may be a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from compose_runner.model import CoreSchema, Model, Secret, after, before, field, nullable
from compose_runner.progress import ProgressRecord
from compose_runner.storage_keys import ARTIFACT_PREFIX_PATTERN

if TYPE_CHECKING:
    from datetime import datetime

DEFAULT_EXPIRES_SECONDS = 900
MAX_EXPIRES_SECONDS = 604_800
MAX_EPOCH_MS = 253_402_300_799_999
MAX_CORES = 1024
MAX_KEY_CHARACTERS = 4096  # a standard parameter of Parameter Store
IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
MAX_IDEMPOTENCY_KEY_CHARACTERS = 255


def _whole_number(value: Any) -> Any:
    """Refuse true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _epoch_ms(value: Any) -> Any:
    """Cut a fraction of a millisecond off."""
    value = _whole_number(value)
    if isinstance(value, float) and 0 <= value <= MAX_EPOCH_MS:
        return int(value)
    return value


def _secret(value: str) -> Secret:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must hold printable ASCII characters only, since it travels in an HTTP header")
    return Secret(value)


TEXT: CoreSchema = {"type": "str"}
NUMBER: CoreSchema = {"type": "int"}
TIME: CoreSchema = {"type": "datetime"}
OBJECT: CoreSchema = {"type": "dict", "keys_schema": {"type": "str"}, "values_schema": {"type": "any"}}
ARTIFACT_PREFIX: CoreSchema = {
    "type": "str",
    "pattern": ARTIFACT_PREFIX_PATTERN,
    "metadata": {
        "pydantic_js_updates": {
            "description": "The job's name: 1 to 80 letters, digits, '-' and '_'.",
            "examples": ["3f0e6d4c-9a37-4e0c-8a55-0a4d7f0f8f11"],
        }
    },
}
KEY: CoreSchema = {
    **after(_secret, {"type": "str", "max_length": MAX_KEY_CHARACTERS}),
    "metadata": {"pydantic_js_updates": {"format": "password", "writeOnly": True}},
}
EPOCH_MS = before(_epoch_ms, {"type": "int", "ge": 0, "le": MAX_EPOCH_MS})


class Request(Model):
    """What every request has in common: absent, null and empty are the same, and no error shows a value."""

    @classmethod
    def core_schema(cls) -> CoreSchema:
        """Give the class's core schema, with what is checked before and after the fields."""
        return before(_null_and_empty_are_absent, super().core_schema())

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed")


def _null_and_empty_are_absent(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {name: value for name, value in fields.items() if value is not None and value != ""}
    return fields


class SubmitRequest(Request):
    """Start a job."""

    meta_analysis_id: str = field(
        {
            "type": "str",
            "strip_whitespace": True,
            "min_length": 1,
            "max_length": 128,
            "pattern": r"^[^\x00-\x1f\x7f]+$",
        },
        description="The meta-analysis on Neurosynth Compose.",
        examples=["mHtoV82Dmnm9"],
    )
    environment: str = field(
        {"type": "str", "max_length": 64},
        default="production",
        description="production, staging, development or local; any other word counts as production.",
    )
    no_upload: bool = field({"type": "bool"}, default=False, description="Compute, but leave Compose as it is.")
    artifact_prefix: str | None = field(
        nullable(ARTIFACT_PREFIX), default=None, description="The job's name; a new UUID when absent."
    )
    n_cores: int | None = field(
        nullable(before(_whole_number, {"type": "int", "gt": 0, "le": MAX_CORES})),
        default=None,
        description="Cores to use; all of the task's when absent.",
    )
    nsc_key: Secret | None = field(nullable(KEY), default=None, description="Upload key of Neurosynth Compose.")
    nv_key: Secret | None = field(nullable(KEY), default=None, description="Key of NeuroVault.")


class StatusRequest(Request):
    """Ask how a job is."""

    job_id: str = field(
        {"type": "str", "min_length": 1, "max_length": 2048},
        description="The job_id that submit answered.",
        examples=["arn:aws:states:us-east-1:123456789012:execution:compose-runner:my-job"],
    )


class LogsRequest(Request):
    """Ask for a job's log records."""

    artifact_prefix: str = field(ARTIFACT_PREFIX)
    next_token: str | None = field(
        nullable({"type": "str", "max_length": 8192}),
        default=None,
        description="The next_token of an earlier reply to the same request.",
    )
    start_time: int | None = field(
        nullable(EPOCH_MS), default=None, description="Epoch milliseconds; the last hour by default."
    )
    end_time: int | None = field(
        nullable(EPOCH_MS), default=None, description="Epoch milliseconds, not before start_time."
    )

    @classmethod
    def core_schema(cls) -> CoreSchema:
        """Give the class's core schema, with the check of the two times."""
        return after(_start_is_not_after_end, super().core_schema())


def _start_is_not_after_end(request: LogsRequest) -> LogsRequest:
    if request.start_time is not None and request.end_time is not None and request.start_time > request.end_time:
        raise ValueError("start_time must not be after end_time")
    return request


class ResultsRequest(Request):
    """Ask for a job's artifacts."""

    artifact_prefix: str = field(ARTIFACT_PREFIX)
    expires_in: int = field(
        before(_whole_number, {"type": "int", "ge": 1, "le": MAX_EXPIRES_SECONDS}),
        default=DEFAULT_EXPIRES_SECONDS,
        description="Seconds for which the addresses are valid, while the function's own credentials are.",
    )


class Reply(Model):
    """What every reply has in common."""


class SubmitReply(Reply):
    """The job is accepted."""

    job_id: str = field(TEXT, description="The execution's ARN, which status takes.")
    artifact_prefix: str = field(ARTIFACT_PREFIX)
    status: Literal["SUBMITTED"] = field({"type": "literal", "expected": ["SUBMITTED"]}, default="SUBMITTED")
    status_url: str = field(TEXT, description="/jobs/<job_id>")


class StatusReply(Reply):
    """How the job is."""

    job_id: str = field(TEXT)
    artifact_prefix: str = field(TEXT)
    status: Literal["RUNNING", "SUCCEEDED", "FAILED"] = field(
        {"type": "literal", "expected": ["RUNNING", "SUCCEEDED", "FAILED"]}
    )
    execution_status: str = field(TEXT, description="The engine's own word, such as TIMED_OUT or ABORTED.")
    start_time: datetime = field(TIME)
    stop_time: datetime | None = field(nullable(TIME), default=None, description="Present once the job has ended.")
    output: dict[str, Any] = field(OBJECT, description="The execution's output; empty unless the job succeeded.")
    progress: ProgressRecord | None = field(
        nullable(ProgressRecord.core_schema()), default=None, description="Present while the task runs."
    )
    result: dict[str, Any] | None = field(
        nullable(OBJECT), default=None, description="metadata.json, once it is written."
    )
    error: str | None = field(nullable(TEXT), default=None, description="Why the job failed, for a researcher.")
    error_name: str | None = field(nullable(TEXT), default=None, description="The engine's name of the error.")
    cause: str | None = field(nullable(TEXT), default=None, description="The engine's own account of the failure.")


class LogEvent(Reply):
    """One record."""

    timestamp: int = field(NUMBER, description="Epoch milliseconds.")
    message: str = field(TEXT, description="A JSON object that carries artifact_prefix and message.")


class LogsReply(Reply):
    """The job's records in the order of their time."""

    artifact_prefix: str = field(TEXT)
    events: list[LogEvent] = field({"type": "list", "items_schema": LogEvent.core_schema()})
    next_token: str | None = field(
        nullable(TEXT),
        description="Leads to records that this reply had no room or time for; null when there are none.",
    )


class Artifact(Reply):
    """One object that the job left."""

    key: str = field(TEXT)
    filename: str = field(TEXT, description="The last part of the key.")
    path: str = field(TEXT, description="The key below the job's folder; differs from filename in a subfolder.")
    size: int = field(NUMBER, description="Bytes.")
    last_modified: datetime = field(TIME)
    url: str = field(TEXT, description="Presigned address; needs no credentials until it expires.")


class ResultsReply(Reply):
    """Everything that the job left."""

    artifact_prefix: str = field(TEXT)
    artifacts: list[Artifact] = field({"type": "list", "items_schema": Artifact.core_schema()})
    bucket: str = field(TEXT)
    prefix: str = field(TEXT, description="The job's folder in the bucket.")


class ErrorReply(Reply):
    """The request was not served, and why."""

    status: Literal["FAILED"] = field({"type": "literal", "expected": ["FAILED"]}, default="FAILED")
    error: str = field(TEXT)
    artifact_prefix: str | None = field(nullable(TEXT), default=None)
