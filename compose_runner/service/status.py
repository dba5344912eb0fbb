"""Tell how a job is, and stop it where that is allowed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from compose_runner.errors import MOST_SHARDS
from compose_runner.progress import ProgressRecord, merged
from compose_runner.service import failure, log_events, observability
from compose_runner.service.contract import StatusReply
from compose_runner.service.errors import AwsServiceError, CancelForbiddenError, JobMissingError
from compose_runner.service.observability import logger
from compose_runner.service.storage import KEY_NAMES, JobPaths

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.service.ports import Artifacts, Execution, Executions, UploadKeys

# PENDING_REDRIVE is an execution that somebody is about to start again
_RUNNING = frozenset({"RUNNING", "PENDING_REDRIVE"})
_STOP_REASON = "A client stopped it."
# DescribeExecution is "eventually consistent" (Step Functions API reference): it may not know yet what was just begun
_NEW_JOB_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StatusService:
    """Tells how jobs are.

    Parameters
    ----------
    executions, artifacts, keys : ports
        Step Functions, the bucket of results, and the store of keys.
    results_prefix : str
        Prefix of all jobs in the bucket, for executions whose input does not name it.
    allow_cancel : bool
        Whether clients may stop jobs.
    pause : callable
        Waits for so many seconds before a job that is not there is looked for once more.
    """

    executions: Executions
    artifacts: Artifacts
    keys: UploadKeys
    results_prefix: str
    allow_cancel: bool = False
    pause: Callable[[float], None] = time.sleep

    def status(self, job_id: str) -> StatusReply:
        """Describe a job.

        Raises
        ------
        RequestError
            ``job_id`` is not one of this deployment's.
        JobMissingError
            There is no such job.
        AwsServiceError
            AWS does not answer.
        """
        observability.follow_job(self.executions.parse_name(job_id))
        return self._reply(self._find(job_id))

    def cancel(self, job_id: str) -> StatusReply:
        """Stop a job if it runs, delete its keys, and describe it; one that has ended stays as it is.

        Raises
        ------
        CancelForbiddenError
            This deployment does not let clients stop jobs; otherwise as :meth:`status`.
        """
        if not self.allow_cancel:
            raise CancelForbiddenError("This deployment does not allow clients to stop jobs.")
        name = self.executions.parse_name(job_id)
        observability.follow_job(name)
        execution = self._find(job_id)
        if execution.status in _RUNNING:
            self.executions.stop(job_id, _STOP_REASON)
            # a task that is stopped leaves them for the next attempt, and there is none
            self.keys.forget(name, KEY_NAMES)
            logger.info(log_events.CANCELLED, extra={"job_id": job_id})
            observability.measure({observability.JOBS_CANCELLED: 1})
            execution = self._find(job_id)
        return self._reply(execution)

    def _find(self, job_id: str) -> Execution:
        execution = self.executions.find(job_id)
        if execution is None:
            self.pause(_NEW_JOB_SECONDS)
            execution = self.executions.find(job_id)
        if execution is None:
            raise JobMissingError("There is no such job.")
        return execution

    def _reply(self, execution: Execution) -> StatusReply:
        paths = JobPaths(_results_prefix(execution.input, self.results_prefix), execution.name)
        status = _contract_status(execution.status)
        fields: dict[str, Any] = {
            "job_id": execution.job_id,
            "artifact_prefix": execution.name,
            "status": status,
            "execution_status": execution.status,
            "start_time": execution.started,
            "output": _object_in(execution.output),
        }
        if execution.stopped is not None:
            fields["stop_time"] = execution.stopped
        if status == "RUNNING":
            progress = self._progress(paths)
            if progress is not None:
                fields["progress"] = progress
            return StatusReply(**fields)

        metadata = self._document(paths.metadata)
        if metadata is not None:
            fields["result"] = metadata
        if status == "FAILED":
            fields["error"] = failure.explain_failure(execution, metadata)
            if execution.error:
                fields["error_name"] = execution.error
            if execution.cause:
                fields["cause"] = execution.cause
        return StatusReply(**fields)

    def _progress(self, paths: JobPaths) -> ProgressRecord | None:
        progress = self._record(paths.progress)
        if progress is None or not progress.shards:
            return progress
        shards = (self._record(paths.shard_progress(shard)) for shard in range(min(progress.shards, MOST_SHARDS)))
        return merged(progress, [record for record in shards if record is not None])

    def _record(self, key: str) -> ProgressRecord | None:
        document = self._document(key)
        if document is None:
            return None
        try:
            return ProgressRecord.model_validate(document)
        except ValidationError:
            logger.warning("progress.unreadable", extra={"key": key})
            return None

    def _document(self, key: str) -> dict[str, Any] | None:
        """Read what the task left; the state of the job is known without it, so trouble with S3 costs only detail."""
        try:
            return self.artifacts.document(key)
        except AwsServiceError as error:
            logger.warning("results.unreadable", extra={"key": key, "error": str(error)})
            return None


def _contract_status(status: str) -> Literal["RUNNING", "SUCCEEDED", "FAILED"]:
    """Clients know three statuses; any other that ends a job would make them wait for ever."""
    if status in _RUNNING:
        return "RUNNING"
    return "SUCCEEDED" if status == "SUCCEEDED" else "FAILED"


def _object_in(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"raw_output": text}
    return value if isinstance(value, dict) else {"raw_output": value}


def _results_prefix(execution_input: str | None, default: str) -> str:
    """Where this job leaves its artifacts, which a later deployment may do differently."""
    results = _object_in(execution_input).get("results")
    prefix = results.get("prefix") if isinstance(results, dict) else None
    return prefix if isinstance(prefix, str) else default
