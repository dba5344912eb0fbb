"""Accept a job: check what it asks for, choose its task's size, keep its keys apart, start it.

Decisions:

* **A taken name is looked up before anything is written.** Step Functions answers a repeated ``StartExecution`` of the
  same name and input with success while the first runs, so Step Functions alone cannot tell the contract's 409; and a
  job's keys must not be replaced or deleted by a later request for its name.
* **Idempotency needs no table.** Without a name of its own, a request with an idempotency key gets the name that
  UUID version 5 makes of the key: repeated, it meets its own execution, which Step Functions remembers for 90 days. The
  execution's input tells whether the request is the same (the task's size is left out, since it may have been chosen
  while Compose was not reachable). The same request gets the first answer; another one with the same key, 409.
* **A meta-analysis that Compose does not know is accepted**, as is every other one whose specification cannot be read:
  the real client shows a person nothing of a refusal, but shows the reason of a job that fails, and the task finds out
  in its first second.
* **A specification that was read and cannot run, or asks for too much, becomes a job as well**, for the same reason.
  Its execution is started with the refusal in its input and ends in its first state. The record of it is written here
  and not by the state machine, which has no clock in the form that CloudWatch Logs wants; and after the start, so that
  only the request that got the name writes, but before the answer, so that a client that learns the job's id finds it.
* **Running jobs are counted before one is started, and a count that fails refuses.** Step Functions throttles
  ListExecutions by the account, so that a busy client could otherwise switch the limit off. The count lags
  a little, and requests at the same moment may exceed it by as many as the function serves at a time.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compose_runner.compose.environments import environment_named
from compose_runner.errors import (
    DocumentError,
    LimitExceededError,
    ServiceUnavailableError,
    SpecificationError,
)
from compose_runner.service import log_events, observability
from compose_runner.service.contract import SubmitReply, SubmitRequest
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, TooManyJobsError
from compose_runner.service.observability import logger
from compose_runner.specification.limits import NO_LIMITS, JobLimits
from compose_runner.specification.parsing import needs_large_task, parse_specification

if TYPE_CHECKING:
    from compose_runner.service.ports import Execution, Executions, Records, Specifications, UploadKeys

STANDARD = "standard"
LARGE = "large"
_NAMES = uuid.UUID("6f1d5a3e-2f0b-5c0e-9d0a-8a4f6d1c7b52")  # any fixed namespace: names made in it meet no others
SPECIFICATION_REFUSED = "SpecificationRefused"
LIMIT_EXCEEDED = "LimitExceeded"
# the shortest jobs take about as long
RETRY_SECONDS = 60
_MAX_CHARACTERS = 2000
_OTHER_REQUEST = "The Idempotency-Key was already used for a different request."


@dataclass(frozen=True, slots=True)
class SubmitService:
    """Accepts jobs.

    Parameters
    ----------
    executions, keys, specifications, records : ports
        Step Functions, the store of keys, Compose, and the task's log.
    results_bucket, results_prefix : str
        Where the task leaves artifacts.
    limits : JobLimits
        What a specification may ask for, as far as it tells by itself.
    max_running_jobs : int or None
        Most jobs that run at a time; None for no limit.
    """

    executions: Executions
    keys: UploadKeys
    specifications: Specifications
    records: Records
    results_bucket: str
    results_prefix: str
    limits: JobLimits = NO_LIMITS
    max_running_jobs: int | None = None

    def submit(self, request: SubmitRequest, idempotency_key: str | None = None) -> SubmitReply:
        """Start the job, or find the one that the same request started before.

        Parameters
        ----------
        request : SubmitRequest
            What the client asks for.
        idempotency_key : str, optional
            The client's name for this request, the same when it repeats it.

        Raises
        ------
        JobNameTakenError
            The name or the idempotency key is taken by another job.
        TooManyJobsError
            As many jobs run as are allowed.
        AwsServiceError
            The execution cannot be started, or the running ones cannot be counted.
        """
        name = request.artifact_prefix or _name_for(idempotency_key)
        observability.follow_job(name)
        document = self._input(request, name)
        if request.artifact_prefix or idempotency_key:
            execution = self.executions.find(self.executions.job_id(name))
            if execution is not None:
                return self._repeated(execution, document, idempotency_key)

        specification = self._specification(request.meta_analysis_id, document["environment"])
        refused = self._refusal(specification)
        if refused is not None:
            document["refused"] = refused
        else:
            document["task_size"] = _choose_size(specification)
            self._check_running(document)
        try:
            job_id = self._start(request, name, document)
        except JobNameTakenError:
            execution = self.executions.find(self.executions.job_id(name))
            if execution is None:
                raise
            return self._repeated(execution, document, idempotency_key)
        except AwsServiceError as error:
            self._failed_to_queue(error, document)
            raise
        if refused is not None:
            self._tell_refused(job_id, document)
        else:
            self._tell_queued(job_id, document)
        return _reply(job_id, name, document)

    def _input(self, request: SubmitRequest, name: str) -> dict[str, Any]:
        """The execution's input; never a key, because many may read an execution's history."""
        return {
            "artifact_prefix": name,
            "meta_analysis_id": request.meta_analysis_id,
            "environment": environment_named(request.environment).name,
            "no_upload": "true" if request.no_upload else "false",
            "n_cores": "" if request.n_cores is None else str(request.n_cores),
            "task_size": STANDARD,
            "results": {"bucket": self.results_bucket, "prefix": self.results_prefix},
        }

    def _start(self, request: SubmitRequest, name: str, document: dict[str, Any]) -> str:
        """Keep the keys first, so that the task cannot look for them too early; take them back if there is no task."""
        keys = {
            key: secret.get_secret_value()
            for key, secret in (("nsc_key", request.nsc_key), ("nv_key", request.nv_key))
            if secret is not None
        }
        # a job that is refused has no task that would read and delete them
        if not keys or "refused" in document:
            return self.executions.start(name, document)
        self.keys.keep(name, keys)
        try:
            return self.executions.start(name, document)
        except (JobNameTakenError, AwsServiceError):
            self.keys.forget(name, keys)
            raise

    def _repeated(self, execution: Execution, document: dict[str, Any], idempotency_key: str | None) -> SubmitReply:
        """Answer a request whose name has an execution already."""
        same = idempotency_key is not None and _same_job(execution.input, document)
        logger.warning(log_events.DUPLICATE, extra={"job_id": execution.job_id, "answered_again": same})
        observability.measure({observability.JOBS_DUPLICATE: 1}, environment=document["environment"])
        if same:
            return _reply(execution.job_id, execution.name, _object_in(execution.input))
        if idempotency_key:
            raise JobNameTakenError(execution.name, _OTHER_REQUEST)
        raise JobNameTakenError(execution.name)

    def _refusal(self, specification: Any) -> dict[str, str] | None:
        """Say why a specification that was read is not run; None for one that may run, or that could not be read."""
        if not isinstance(specification, dict):
            return None
        try:
            self.limits.check_iterations(parse_specification(specification))
        except SpecificationError as error:
            cause = f"The specification of the meta-analysis cannot run: {error}"
            return {"error": SPECIFICATION_REFUSED, "cause": cause[:_MAX_CHARACTERS]}
        except LimitExceededError as error:
            return {"error": LIMIT_EXCEEDED, "cause": str(error)[:_MAX_CHARACTERS]}
        except Exception:
            # a document of a shape that nobody foresaw: the check must never refuse what NiMARE would accept
            logger.exception("compose.specification_unchecked")
        return None

    def _check_running(self, document: dict[str, Any]) -> None:
        """Raise :class:`TooManyJobsError` when no more jobs may run."""
        if self.max_running_jobs is None:
            return
        try:
            running = self.executions.running(self.max_running_jobs)
        except AwsServiceError as error:
            if "throttl" not in error.code.lower():
                self._failed_to_queue(error, document)
                raise
            logger.warning("jobs.not_counted", extra={"error": str(error)})
            running = self.max_running_jobs
        if running >= self.max_running_jobs:
            observability.measure({observability.JOBS_OVER_LIMIT: 1}, environment=document["environment"])
            raise TooManyJobsError(self.max_running_jobs, RETRY_SECONDS)

    def _failed_to_queue(self, error: AwsServiceError, document: dict[str, Any]) -> None:
        logger.error(log_events.FAILED_TO_QUEUE, extra={"error": str(error)})
        observability.measure({observability.JOBS_FAILED_TO_QUEUE: 1}, environment=document["environment"])

    def _tell_queued(self, job_id: str, document: dict[str, Any]) -> None:
        fields = {name: document[name] for name in ("meta_analysis_id", "task_size")}
        logger.info(log_events.QUEUED, extra={"job_id": job_id, **fields})
        observability.measure(
            {observability.JOBS_SUBMITTED: 1}, environment=document["environment"], task_size=document["task_size"]
        )

    def _tell_refused(self, job_id: str, document: dict[str, Any]) -> None:
        """Leave the one record that the job's log will have, in the form of the task's own."""
        refused = document["refused"]
        meta_analysis_id = document["meta_analysis_id"]
        record = {
            "message": log_events.FAILED,
            "sentence": log_events.SENTENCES[log_events.FAILED].format(error=refused["cause"]),
            "level": "ERROR",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "service": observability.logger.service,
            log_events.ARTIFACT_PREFIX: document["artifact_prefix"],
            "meta_analysis_id": meta_analysis_id,
            "error": refused["cause"],
            "error_name": refused["error"],
        }
        self.records.write(document["artifact_prefix"], json.dumps(record))
        logger.warning(
            log_events.REFUSED,
            extra={"job_id": job_id, "meta_analysis_id": meta_analysis_id, "error": refused["cause"]},
        )
        observability.measure({observability.JOBS_REFUSED: 1}, environment=document["environment"])

    def _specification(self, meta_analysis_id: str, environment: str) -> Any:
        started = time.monotonic()
        try:
            with observability.tracing.in_subsegment("compose", namespace="remote"):
                document = self.specifications.meta_analysis(meta_analysis_id, environment)
        except (DocumentError, ServiceUnavailableError) as error:
            logger.warning("compose.specification_unavailable", extra={"error": str(error)})
            observability.measure({observability.COMPOSE_UNREACHABLE: 1}, environment=environment)
            return None
        observability.measure(
            {observability.COMPOSE_FETCH_DURATION: (time.monotonic() - started) * 1000}, environment=environment
        )
        return document.get("specification") if isinstance(document, dict) else None


def _choose_size(specification: Any) -> str:
    """Choose the size of the task, and log why."""
    size, reason = STANDARD, "specification_unavailable"
    if isinstance(specification, dict):
        reason = "no_montecarlo_fwe"
        try:
            if needs_large_task(specification):
                size, reason = LARGE, "montecarlo_fwe"
        except Exception:
            logger.exception("compose.specification_unchecked")
    logger.info(log_events.TASK_SIZE_SELECTED, extra={"task_size": size, "reason": reason})
    return size


def _name_for(idempotency_key: str | None) -> str:
    return str(uuid.uuid5(_NAMES, idempotency_key) if idempotency_key else uuid.uuid4())


def _reply(job_id: str, name: str, document: dict[str, Any]) -> SubmitReply:
    refused = document.get("refused")
    # a field that is not set is not part of the answer
    error = {"error": refused["cause"]} if isinstance(refused, dict) else {}
    return SubmitReply(job_id=job_id, artifact_prefix=name, status="SUBMITTED", status_url=f"/jobs/{job_id}", **error)


def _object_in(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text or "")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _same_job(first_input: str | None, document: dict[str, Any]) -> bool:
    """Whether both ask for the same; what was found out of Compose at the time is no part of it."""
    first = _object_in(first_input)
    found = {"task_size": "", "refused": None}
    return bool(first) and {**first, **found} == {**document, **found}
