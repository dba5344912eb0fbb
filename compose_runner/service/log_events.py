"""The ``message`` of every log record that somebody looks for; clients and saved queries search for these words."""

from __future__ import annotations

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
