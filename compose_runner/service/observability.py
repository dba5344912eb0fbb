"""The logger, the tracer and the metrics of everything light, all from Powertools; made here and nowhere else.

Keys of a request are kept per thread, so that functions which share a process (the embedded service) never mix jobs up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics
from aws_lambda_powertools.tracing import Tracer

from compose_runner.service.log_events import ARTIFACT_PREFIX
from compose_runner.service.record_format import RecordFormatter
from compose_runner.service.xray import XRayProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SERVICE = "compose-runner"
DEFAULT_NAMESPACE = "ComposeRunner"

JOBS_SUBMITTED = "JobsSubmitted"
JOBS_DUPLICATE = "JobsDuplicate"
JOBS_REFUSED = "JobsRefused"
JOBS_OVER_LIMIT = "JobsOverLimit"
JOBS_FAILED_TO_QUEUE = "JobsFailedToQueue"
JOBS_CANCELLED = "JobsCancelled"
REQUESTS_REFUSED = "RequestsRefused"
REQUESTS_FAILED = "RequestsFailed"
REQUEST_DURATION = "RequestDuration"
COMPOSE_UNREACHABLE = "ComposeUnreachable"
COMPOSE_FETCH_DURATION = "ComposeFetchDuration"

logger = Logger(
    service=os.environ.get("POWERTOOLS_SERVICE_NAME") or DEFAULT_SERVICE,
    logger_formatter=RecordFormatter(use_rfc3339=True),
)
tracing = XRayProvider()
tracer = Tracer(provider=tracing, auto_patch=False, disabled=False)


def begin_request(request_id: str | None) -> None:
    """Forget the keys of the request before; further records of this thread carry Lambda's id of the new one."""
    logger.thread_safe_clear_keys()
    if request_id:
        logger.thread_safe_append_keys(function_request_id=request_id)


def follow_job(artifact_prefix: str) -> None:
    """From here on every record and the trace of this request carry the job's name."""
    logger.thread_safe_append_keys(**{ARTIFACT_PREFIX: artifact_prefix})
    tracer.put_annotation(ARTIFACT_PREFIX, artifact_prefix)


def measure(metrics: Mapping[str, float], **dimensions: str) -> None:
    """Publish metrics that share their dimensions, as one record in CloudWatch's embedded metric format.

    Parameters
    ----------
    metrics : mapping
        Values by name; a name that ends in ``Duration`` is in milliseconds, any other is a count.
    **dimensions : str
        What the values can be distinguished by, few and of few values, such as ``environment`` and ``task_size``.
    """
    record = EphemeralMetrics()
    record.namespace = record.namespace or DEFAULT_NAMESPACE
    record.service = record.service or DEFAULT_SERVICE
    for dimension, label in dimensions.items():
        record.add_dimension(dimension, label)
    for name, value in metrics.items():
        record.add_metric(name, "Milliseconds" if name.endswith("Duration") else "Count", value)
    record.flush_metrics()
