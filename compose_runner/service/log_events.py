"""The ``message`` of every log record that somebody looks for; clients and saved queries search for these words."""

from __future__ import annotations

from compose_runner.progress import PROGRESS_RECORD, STAGE_RECORD

# submit
TASK_SIZE_SELECTED = "workflow.task_size_selected"
QUEUED = "workflow.queued"
DUPLICATE = "workflow.duplicate"
FAILED_TO_QUEUE = "workflow.failed_to_queue"
REFUSED = "workflow.refused"

# task
START = "workflow.start"
COMPLETED = "workflow.completed"
ARTIFACTS_UPLOADED = "artifacts.uploaded"
PUBLISHED = "workflow.published"
METADATA_WRITTEN = "metadata.written"
SUCCESS = "workflow.success"
FAILED = "workflow.failed"
INTERRUPTED = "workflow.interrupted"
SHARDED = "workflow.spread"
SHARD_COMPLETED = "workflow.shard_completed"

# status
CANCELLED = "workflow.cancelled"

# every function
REQUEST_FAILED = "request.failed"

# what the records of these events say to a person; names in braces are fields of the record
SENTENCES = {
    TASK_SIZE_SELECTED: "The size of the task is {task_size}.",
    QUEUED: "The job is accepted and waits for its task.",
    DUPLICATE: "There is a job of this name already.",
    FAILED_TO_QUEUE: "The job could not be started: {error}",
    REFUSED: "The request was refused: {error}",
    START: "The analysis begins.",
    STAGE_RECORD: "The job is at the stage: {stage}.",
    PROGRESS_RECORD: "The stage {stage} goes on: {completed} of {total} steps are done.",
    COMPLETED: "The analysis is complete; its files are being kept.",
    ARTIFACTS_UPLOADED: "The result's files are kept.",
    PUBLISHED: "The result is published: {result_url}",
    METADATA_WRITTEN: "The description of the result (metadata.json) is written.",
    SUCCESS: "The job has succeeded.",
    FAILED: "The job failed: {error}",
    INTERRUPTED: "The task was stopped before it was done; the job may go on in another.",
    SHARDED: "The permutations are shared by several tasks.",
    SHARD_COMPLETED: "This task's share of the permutations is done.",
    CANCELLED: "A client stopped the job.",
    REQUEST_FAILED: "The request could not be served: {error}",
}

# the key under which every record of one job is found
ARTIFACT_PREFIX = "artifact_prefix"

# libraries whose records of INFO are about themselves, not about the analysis
QUIET_LIBRARIES = (
    "botocore",
    "boto3",
    "s3transfer",
    "urllib3",
    "matplotlib",
    "numba",
    "nilearn",
    "joblib",
    "asyncio",
    "PIL",
    "bibtexparser",
    "kaleido",
)
