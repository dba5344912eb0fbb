"""A client of a running service, for Python and for the shell.

It speaks the HTTP contract and nothing more, so that it works with every deployment::

    from compose_runner.client.client import Client

    client = Client.configured(endpoint="http://127.0.0.1:8642")
    job = client.submit("ataCTPAt2LMw", no_upload=True)
    for update in client.follow(job.job_id, job.artifact_prefix):
        print(update.status.progress)
    client.download(job.artifact_prefix, "results")
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from compose_runner.client.addresses import JOBS, ServiceAddresses, addresses
from compose_runner.client.calls import call
from compose_runner.client.models import (
    Job,
    JobArtifact,
    JobEntry,
    JobStatus,
    JobUnknownError,
    LogRecord,
    RequestRefusedError,
    ServiceError,
    Update,
)
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT
from compose_runner.compose.page_addresses import parse_meta_analysis
from compose_runner.service.contract import DEFAULT_EXPIRES_SECONDS, IDEMPOTENCY_KEY_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_SECONDS = 2.0
# how long a service that does not answer is asked again while a job is followed
PATIENCE_SECONDS = 300.0
# a record may become visible this much later than one with a later time
LATE_MS = 60_000


class Client:
    """A service's client; may be used from several threads.

    Parameters
    ----------
    service : ServiceAddresses
        Where the four functions are and how requests are signed.
    """

    def __init__(self, service: ServiceAddresses) -> None:
        self.service = service

    @classmethod
    def configured(cls, endpoint: str | None = None, profile: str | None = None, *, token: str | None = None) -> Self:
        """Find the service in what is given, the environment, or the profile file.

        The order is that of :mod:`compose_runner.client.addresses`.

        Parameters
        ----------
        endpoint : str, optional
            Address below which the functions are ``/submit``, ``/status``, ``/logs`` and ``/results``.
        profile : str, optional
            A profile of the profile file.
        token : str, optional
            Token of a service that wants one; that of the profile or of ``COMPOSE_RUNNER_TOKEN`` by default.
        """
        return cls(addresses(endpoint, profile, token=token))

    # -- the contract ----------------------------------------------------------------------------------------------

    def submit(
        self,
        meta_analysis_id: str,
        *,
        environment: str = DEFAULT_ENVIRONMENT,
        no_upload: bool = False,
        artifact_prefix: str | None = None,
        n_cores: int | None = None,
        nsc_key: str | None = None,
        nv_key: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Start a job.

        One that the service knows cannot run is a job as well; its ``error`` says why.

        Parameters
        ----------
        meta_analysis_id : str
            The meta-analysis on Neurosynth Compose: its id, or the address of its page.
        environment : str
            Which Compose.
        no_upload : bool
            Compute, but leave Compose as it is.
        artifact_prefix : str, optional
            The job's name, 1 to 80 letters, digits, ``-`` and ``_``; the service makes one up.
        n_cores : int, optional
            Cores to use.
        nsc_key, nv_key : str, optional
            Upload keys.
        idempotency_key : str, optional
            A repeated submit with the same key finds the job that the first one started.

        Raises
        ------
        RequestRefusedError
            The service says what is wrong with the request.
        JobExistsError
            The name is taken.
        ServiceError
            The service is out of reach or failed.
        """
        meta_analysis_id, environment = parse_meta_analysis(meta_analysis_id, environment)
        wanted = {
            "meta_analysis_id": meta_analysis_id,
            "environment": environment,
            "no_upload": no_upload,
            "artifact_prefix": artifact_prefix,
            "n_cores": n_cores,
            "nsc_key": nsc_key,
            "nv_key": nv_key,
        }
        payload = {name: value for name, value in wanted.items() if value is not None}
        headers = {IDEMPOTENCY_KEY_HEADER: idempotency_key} if idempotency_key else {}
        # without a key a repeated request could be a second job
        answer = call(self.service, "submit", payload, headers=headers, repeatable=idempotency_key is not None)
        error = answer.get("error")
        return Job(
            str(answer["job_id"]), str(answer.get("artifact_prefix", "")), answer, error=str(error) if error else None
        )

    def status(self, job_id: str) -> JobStatus:
        """Ask how a job is.

        Parameters
        ----------
        job_id : str
            The job's id, or its name, as everywhere in this class.

        Raises
        ------
        JobUnknownError
            The service does not know the job.
        """
        return _parse_status(call(self.service, "status", _identify(job_id)))

    def cancel(self, job_id: str) -> JobStatus:
        """Stop a running job, where the service allows it.

        Raises
        ------
        NotAllowedError
            The service does not allow it.
        JobUnknownError
            The service does not know the job.
        """
        return _parse_status(call(self.service, "status", _identify(job_id), method="DELETE"))

    def jobs(self) -> list[JobEntry]:
        """List the newest jobs of a service that keeps a list, as the embedded one does.

        Raises
        ------
        RequestRefusedError
            The service keeps none.
        """
        try:
            answer = call(self.service, JOBS, {}, method="GET")
        except JobUnknownError as error:
            raise RequestRefusedError(error.status, "this service has no list of jobs") from None
        return [_parse_entry(one) for one in answer.get("jobs") or () if isinstance(one, dict)]

    def logs(
        self, artifact_prefix: str, *, start_time: int | None = None, end_time: int | None = None
    ) -> list[LogRecord]:
        """Read a job's records, all pages.

        Parameters
        ----------
        artifact_prefix : str
            The job's name.
        start_time, end_time : int, optional
            Epoch milliseconds; the service takes the last hour by default.
        """
        payload: dict[str, Any] = {"artifact_prefix": name_of(artifact_prefix)}
        if start_time is not None:
            payload["start_time"] = start_time
        if end_time is not None:
            payload["end_time"] = end_time
        records: list[LogRecord] = []
        while True:
            answer = call(self.service, "logs", payload)
            records += [LogRecord(int(one["timestamp"]), str(one["message"])) for one in answer.get("events", ())]
            token = answer.get("next_token")
            if not token or token == payload.get("next_token"):
                return records
            payload["next_token"] = token

    def results(self, artifact_prefix: str, *, expires_in: int = DEFAULT_EXPIRES_SECONDS) -> list[JobArtifact]:
        """List a job's files.

        Parameters
        ----------
        artifact_prefix : str
            The job's name.
        expires_in : int
            Seconds for which their addresses are valid.
        """
        answer = call(self.service, "results", {"artifact_prefix": name_of(artifact_prefix), "expires_in": expires_in})
        folder = f"{str(answer.get('prefix', '')).rstrip('/')}/"
        return [
            JobArtifact(
                path=str(one.get("path") or str(one["key"]).removeprefix(folder)),
                size=int(one["size"]),
                url=str(one["url"]),
                document=one,
            )
            for one in answer.get("artifacts", ())
        ]

    # -- on top of it ------------------------------------------------------------------------------------------------

    def follow(
        self,
        job_id: str,
        artifact_prefix: str | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], object] = time.sleep,
    ) -> Iterator[Update]:
        """Follow a job to its end: its status and its new log records at every poll, the last one after the end.

        Parameters
        ----------
        job_id : str
            The job.
        artifact_prefix : str, optional
            Its name, which the first status tells as well.
        poll_seconds : float
            Time between two polls.
        patience_seconds : float
            How long a service that does not answer is asked again.
        sleep : callable
            Waits so many seconds.

        Raises
        ------
        ServiceError
            The service has not answered for longer than ``patience_seconds``.
        """
        reader = _NewRecords(self)
        waited = 0.0
        while True:
            try:
                status = self.status(job_id)
                records = reader.read(artifact_prefix or status.artifact_prefix, status)
                waited = 0.0
            except ServiceError:
                waited += poll_seconds
                if waited > patience_seconds:
                    raise
                sleep(poll_seconds)
                continue
            yield Update(status, records)
            if status.ended:
                return
            sleep(poll_seconds)

    def download(
        self,
        artifact_prefix: str,
        directory: str | Path,
        *,
        on_files: Callable[[list[JobArtifact]], object] | None = None,
        on_bytes: Callable[[int], object] | None = None,
    ) -> list[Path]:
        """Download a job's files in parallel and verify the checksums that its ``metadata.json`` names.

        Parameters
        ----------
        artifact_prefix : str
            The job's name.
        directory : path-like
            Where to; made if it does not exist. Files that are there already and the same are kept.
        on_files : callable, optional
            Takes the list of files before the first is fetched.
        on_bytes : callable, optional
            Takes the number of bytes of every piece that has come.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        compose_runner.client.download.DownloadError
            There is nothing to download, or a file is not what its metadata says.
        """
        from compose_runner.client.download import download

        artifacts = self.results(artifact_prefix, expires_in=3600)
        if on_files is not None:
            on_files(artifacts)
        return download(artifacts, directory, on_bytes)


def name_of(job: str) -> str:
    """Give the name of a job, which is the last part of its id.

    Parameters
    ----------
    job : str
        Its id or its name.
    """
    return job.rpartition(":")[2]


def _identify(job: str) -> dict[str, str]:
    """Name a job to *status*: an id has colons, which no name has."""
    return {"job_id": job} if ":" in job else {"artifact_prefix": job}


class _NewRecords:
    """Reads a job's log again and again, and gives what was not there before."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: set[LogRecord] = set()
        self._last: int | None = None

    def read(self, artifact_prefix: str, status: JobStatus) -> list[LogRecord]:
        since = self._last if self._last is not None else _epoch_ms(status.document.get("start_time"))
        records = self._client.logs(artifact_prefix, start_time=max(0, since - LATE_MS) if since is not None else None)
        new = [record for record in records if record not in self._seen]
        self._seen.update(new)
        if records:
            self._last = max(record.timestamp for record in records)
        return new


def _epoch_ms(text: Any) -> int | None:
    moment = _parse_time(text)
    return None if moment is None else int(moment.timestamp() * 1000)


def _parse_time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _parse_status(answer: dict[str, Any]) -> JobStatus:
    progress = answer.get("progress")
    error = answer.get("error") or answer.get("cause")
    return JobStatus(
        status=str(answer.get("status")),
        artifact_prefix=str(answer.get("artifact_prefix") or ""),
        progress=progress if isinstance(progress, dict) else None,
        error=str(error) if error else None,
        document=answer,
    )


def _parse_entry(entry: dict[str, Any]) -> JobEntry:
    progress = entry.get("progress")
    stage = progress.get("stage") if isinstance(progress, dict) else None
    before = progress.get("jobs_before") if isinstance(progress, dict) else None
    doing = f"{before} before it" if before else stage
    return JobEntry(
        artifact_prefix=str(entry.get("artifact_prefix") or ""),
        status=str(entry.get("status") or ""),
        started=_parse_time(entry.get("start_time")),
        title=str(entry.get("name") or entry.get("meta_analysis_id") or ""),
        result=str(entry.get("result_url") or entry.get("error") or doing or ""),
        document=entry,
    )
