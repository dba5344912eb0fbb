"""Jobs whose inputs were sent to the service: checked, kept as private files, and run like every other job.

A bundle is hostile until it is shown to be harmless. Here its form and its specification are checked; its task checks
the rest, as it does with documents of the network: no file of this machine and no host off the public internet is
looked at for it, and its result is not published.
"""

from __future__ import annotations

import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.compose.json_documents import MOST_BYTES, parse_json
from compose_runner.errors import AnalysisError
from compose_runner.local.state.faults import StorageError
from compose_runner.service.contract import SubmitReply, SubmitRequest
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError, TooManyJobsError
from compose_runner.service.submit import LARGE, RETRY_SECONDS, STANDARD
from compose_runner.specification.limits import JobLimits
from compose_runner.specification.parsing import needs_large_task, parse_specification

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.local.state.directory import StateDirectory
    from compose_runner.service.settings import SubmitSettings

MAX_BUNDLE_BYTES = MOST_BYTES
PARTS = ("studyset", "annotation", "specification")
# stands for the id of a meta-analysis where the bundle names none
_UNNAMED = "bundle"
_MAX_ID_CHARACTERS = 128


class SentBundles:
    """Starts jobs from bundles.

    Parameters
    ----------
    directory : StateDirectory
        Keeps the bundles.
    states : botocore client
        Step Functions, as the service's own process sees it.
    job_id : callable
        Gives the id of the job of a name.
    settings : SubmitSettings
        The deployed function's: state machine, bucket, limits.
    """

    def __init__(
        self, directory: StateDirectory, states: Any, job_id: Callable[[str], str], settings: SubmitSettings
    ) -> None:
        self._directory = directory
        self._states = states
        self._job_id = job_id
        self._settings = settings
        # one at a time: a large one takes a gigabyte of memory while it is checked
        self._lock = threading.Lock()

    def start(self, content: bytes, artifact_prefix: str | None = None, n_cores: str | None = None) -> SubmitReply:
        """Start a job.

        Parameters
        ----------
        content : bytes
            JSON with the keys ``studyset``, ``annotation`` and ``specification``, as ``bundle.json.gz`` of a result
            holds it, uncompressed.
        artifact_prefix : str, optional
            The job's name; made up by default.
        n_cores : str, optional
            Cores to use, as a word.

        Raises
        ------
        RequestError
            It is no bundle, or its specification cannot run here; the text names the part.
        JobNameTakenError
            The name is taken.
        TooManyJobsError
            As many jobs run as are allowed.
        AwsServiceError
            The job cannot be started, or its bundle cannot be kept.
        """
        with self._lock:
            bundle = _checked(content, JobLimits(self._settings.max_iterations))
            about = bundle.get("meta_analysis")
            # the contract's own checks of a name and a number
            request = SubmitRequest.model_validate(
                {
                    "meta_analysis_id": _read_id(about),
                    "artifact_prefix": artifact_prefix or str(uuid.uuid4()),
                    "n_cores": n_cores,
                }
            )
            name = str(request.artifact_prefix)
            if self._directory.jobs.knows(name):
                raise JobNameTakenError(name)
            self._check_running()
            self._start(name, request, bundle, content)
        job_id = self._job_id(name)
        return SubmitReply(job_id=job_id, artifact_prefix=name, status="SUBMITTED", status_url=f"/jobs/{job_id}")

    def _check_running(self) -> None:
        most = self._settings.max_running_jobs
        if most is None:
            return
        running = self._states.list_executions(
            stateMachineArn=self._settings.state_machine_arn, statusFilter="RUNNING", maxResults=1000
        )
        if len(running["executions"]) >= most:
            raise TooManyJobsError(most, RETRY_SECONDS)

    def _start(self, name: str, request: SubmitRequest, bundle: dict[str, Any], content: bytes) -> None:
        document = {
            "artifact_prefix": name,
            "meta_analysis_id": request.meta_analysis_id,
            "environment": request.environment,
            "no_upload": "true",
            "n_cores": "" if request.n_cores is None else str(request.n_cores),
            "task_size": LARGE if needs_large_task(bundle["specification"]) else STANDARD,
            "results": {"bucket": self._settings.results_bucket, "prefix": self._settings.results_prefix},
        }
        try:
            self._directory.bundles.write(name, content)
            self._states.start_execution(
                stateMachineArn=self._settings.state_machine_arn, name=name, input=json.dumps(document)
            )
        except (ClientError, BotoCoreError, StorageError) as error:
            # of a job that another request started in the meantime it is not: that one has no bundle
            self._directory.bundles.forget(name)
            response = getattr(error, "response", {})
            code = str(response.get("Error", {}).get("Code") or type(error).__name__)
            if code == "ExecutionAlreadyExists":
                raise JobNameTakenError(name) from None
            raise AwsServiceError("The job cannot be started", code) from None


def _checked(content: bytes, limits: JobLimits) -> dict[str, Any]:
    try:
        bundle = parse_json(content, "bundle", "the request")
    except AnalysisError as error:
        raise RequestError(str(error)) from None
    if not isinstance(bundle, dict):
        raise RequestError("bundle: it is not a JSON object")
    for part in PARTS:
        if not isinstance(bundle.get(part), dict):
            raise RequestError(f"bundle: it has no {part} that is a JSON object")
    try:
        limits.check_iterations(parse_specification(bundle["specification"]))
    except AnalysisError as error:
        raise RequestError(f"specification: {error}") from None
    return bundle


def _read_id(about: Any) -> str:
    """The id that the bundle gives its meta-analysis; a label here, by which nothing is asked for."""
    found = about.get("id") if isinstance(about, dict) else None
    usable = isinstance(found, str) and found.strip() and len(found) <= _MAX_ID_CHARACTERS and found.isprintable()
    return found if usable and isinstance(found, str) else _UNNAMED
