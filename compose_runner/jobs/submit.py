"""Accept a job: check what it asks for, choose its task's size, keep its keys apart, start it.

Decisions:

* **A taken name is looked up before anything is written.** Step Functions answers a repeated ``StartExecution`` of the
  same name and input with success while the first runs, so the engine alone cannot tell the contract's 409; and a
  job's keys must not be replaced or deleted by a later request for its name.
* **Idempotency needs no table.** Without a name of its own, a request with an idempotency key gets the name that
  UUID version 5 makes of the key: repeated, it meets its own execution, which the engine remembers for 90 days. The
  execution's input tells whether the request is the same (the task's size is left out, since it may have been chosen
  while Compose was not reachable). The same request gets the first answer; another one with the same key, 409.
* **A meta-analysis that Compose does not know is accepted**, as is every other one whose specification cannot be read:
  the real client shows a person nothing of a refusal, but shows the reason of a job that fails, and the task finds out
  in its first second. Refused is only a specification that was read and cannot run.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner import log_events, observability
from compose_runner.contract import SubmitReply, SubmitRequest
from compose_runner.environments import environment_named
from compose_runner.errors import DocumentError, ServiceUnavailableError, SpecificationError
from compose_runner.jobs.errors import EngineError, JobExistsError, RequestError
from compose_runner.observability import logger
from compose_runner.specification import needs_large_task, parse_specification

if TYPE_CHECKING:
    from compose_runner.jobs.ports import Execution, Executions, Keys, Specifications

STANDARD = "standard"
LARGE = "large"
_NAMES = uuid.UUID("6f1d5a3e-2f0b-5c0e-9d0a-8a4f6d1c7b52")  # any fixed namespace: names made in it meet no others
_TAKEN = "A job with the provided artifact_prefix already exists."
_OTHER_REQUEST = "The Idempotency-Key was already used for a different request."


@dataclass(frozen=True, slots=True)
class Submission:
    """Accepts jobs.

    Parameters
    ----------
    executions, keys, specifications : ports
        The engine, the store of keys, and Compose.
    results_bucket, results_prefix : str
        Where the task leaves artifacts.
    """

    executions: Executions
    keys: Keys
    specifications: Specifications
    results_bucket: str
    results_prefix: str

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
        RequestError
            The specification cannot run.
        JobExistsError
            The name or the idempotency key is taken by another job.
        EngineError
            The execution cannot be started.
        """
        name = request.artifact_prefix or _name_for(idempotency_key)
        observability.follow_job(name)
        document = self._input(request, name)
        if request.artifact_prefix or idempotency_key:
            execution = self.executions.find(self.executions.job_id(name))
            if execution is not None:
                return self._repeated(execution, document, idempotency_key)

        try:
            document["task_size"] = self._task_size(request.meta_analysis_id, document["environment"])
        except RequestError:
            observability.measure({observability.JOBS_REFUSED: 1}, environment=document["environment"])
            raise
        try:
            job_id = self._start(request, name, document)
        except JobExistsError:
            execution = self.executions.find(self.executions.job_id(name))
            if execution is None:
                raise
            return self._repeated(execution, document, idempotency_key)
        except EngineError as error:
            logger.error(log_events.FAILED_TO_QUEUE, extra={"error": str(error)})
            observability.measure({observability.JOBS_FAILED_TO_QUEUE: 1}, environment=document["environment"])
            raise
        logger.info(
            log_events.QUEUED,
            extra={"job_id": job_id, "meta_analysis_id": request.meta_analysis_id, "task_size": document["task_size"]},
        )
        observability.measure(
            {observability.JOBS_SUBMITTED: 1},
            environment=document["environment"],
            task_size=document["task_size"],
        )
        return _reply(job_id, name)

    def _input(self, request: SubmitRequest, name: str) -> dict[str, Any]:
        """Everything that the execution is told; never a key, because many may read an execution's history."""
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
        if not keys:
            return self.executions.start(name, document)
        self.keys.keep(name, keys)
        try:
            return self.executions.start(name, document)
        except (JobExistsError, EngineError):
            self.keys.forget(name, keys)
            raise

    def _repeated(self, execution: Execution, document: dict[str, Any], idempotency_key: str | None) -> SubmitReply:
        """Answer a request whose name has an execution already."""
        same = idempotency_key is not None and _same_job(execution.input, document)
        logger.warning(log_events.DUPLICATE, extra={"job_id": execution.job_id, "answered_again": same})
        observability.measure({observability.JOBS_DUPLICATE: 1}, environment=document["environment"])
        if same:
            return _reply(execution.job_id, execution.name)
        raise JobExistsError(execution.name, _OTHER_REQUEST if idempotency_key else _TAKEN)

    def _task_size(self, meta_analysis_id: str, environment: str) -> str:
        """Read the specification, refuse what cannot run, and choose the size of what can."""
        specification = self._specification(meta_analysis_id, environment)
        size, reason = STANDARD, "specification_unavailable"
        if isinstance(specification, dict):
            size, reason = _checked_size(specification)
        logger.info(log_events.TASK_SIZE_SELECTED, extra={"task_size": size, "reason": reason})
        return size

    def _specification(self, meta_analysis_id: str, environment: str) -> Any:
        started = time.monotonic()
        try:
            document = self.specifications.meta_analysis(meta_analysis_id, environment)
        except (DocumentError, ServiceUnavailableError) as error:
            logger.warning("compose.specification_unavailable", extra={"error": str(error)})
            observability.measure({observability.COMPOSE_UNREACHABLE: 1}, environment=environment)
            return None
        observability.measure(
            {observability.COMPOSE_FETCH_DURATION: (time.monotonic() - started) * 1000}, environment=environment
        )
        return document.get("specification") if isinstance(document, dict) else None


def _checked_size(specification: dict[str, Any]) -> tuple[str, str]:
    """Choose the size of a specification that can run; raises :class:`RequestError` with the reason for another."""
    try:
        parse_specification(specification)
    except SpecificationError as error:
        raise RequestError(f"The specification of the meta-analysis cannot run: {error}") from error
    except Exception:
        # a document of a shape that nobody foresaw: the check must never refuse what NiMARE would accept
        logger.exception("compose.specification_unchecked")
    try:
        large = needs_large_task(specification)
    except Exception:
        logger.exception("compose.specification_unchecked")
        large = False
    return (LARGE, "montecarlo_fwe") if large else (STANDARD, "no_montecarlo_fwe")


def _name_for(idempotency_key: str | None) -> str:
    return str(uuid.uuid5(_NAMES, idempotency_key) if idempotency_key else uuid.uuid4())


def _reply(job_id: str, name: str) -> SubmitReply:
    return SubmitReply(job_id=job_id, artifact_prefix=name, status="SUBMITTED", status_url=f"/jobs/{job_id}")


def _same_job(first_input: str | None, document: dict[str, Any]) -> bool:
    try:
        first = json.loads(first_input or "")
    except ValueError:
        return False
    return isinstance(first, dict) and {**first, "task_size": ""} == {**document, "task_size": ""}
