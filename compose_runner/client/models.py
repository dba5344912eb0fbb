"""What a service answers its client: jobs, their state, records and files, and its refusals, as types."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from compose_runner.errors import AnalysisError, TemporaryError

if TYPE_CHECKING:
    from datetime import datetime

RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
WAITING = "waiting"


class RequestRefusedError(AnalysisError):
    """The service refused the request, in its own words.

    Parameters
    ----------
    status : int
        HTTP status.
    reason : str
        What the service said.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


class JobUnknownError(RequestRefusedError):
    """The service knows no such job."""


class JobExistsError(RequestRefusedError):
    """There is a job of this name already."""


class NotAllowedError(RequestRefusedError):
    """The service does not let this caller do that."""


class ServiceError(TemporaryError):
    """The service did not answer, or failed; asking again later may help."""


REFUSALS = {
    HTTPStatus.UNAUTHORIZED: NotAllowedError,
    HTTPStatus.FORBIDDEN: NotAllowedError,
    HTTPStatus.NOT_FOUND: JobUnknownError,
    HTTPStatus.CONFLICT: JobExistsError,
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was accepted.

    Parameters
    ----------
    job_id : str
        What :meth:`Client.status` and :meth:`Client.cancel` take.
    artifact_prefix : str
        What :meth:`Client.logs`, :meth:`Client.results` and :meth:`Client.download` take.
    document : dict
        The service's whole answer.
    error : str or None
        Why the job cannot run, where the service knows already: it fails at once.
    """

    job_id: str
    artifact_prefix: str
    document: dict[str, Any] = field(repr=False)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job is.

    Parameters
    ----------
    status : str
        ``RUNNING``, ``SUCCEEDED`` or ``FAILED``.
    artifact_prefix : str
        The job's name.
    progress : dict or None
        ``stage``, ``completed``, ``total``, ``percent``, ``seconds_left``; only while it runs, and only some services.
    error : str or None
        Why it failed.
    document : dict
        The service's whole answer.
    """

    status: str
    artifact_prefix: str
    progress: dict[str, Any] | None
    error: str | None
    document: dict[str, Any] = field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether the job will change no more."""
        return self.status != RUNNING

    @property
    def waits(self) -> bool:
        """Whether the job's task waits for its turn, in so far as the service tells."""
        return not self.ended and self.progress is not None and self.progress.get("stage") == WAITING

    @property
    def jobs_before(self) -> int | None:
        """How many jobs are before one that waits, where the service tells."""
        before = self.progress.get("jobs_before") if self.progress is not None and self.waits else None
        return before if isinstance(before, int) else None


@dataclass(frozen=True, slots=True)
class JobEntry:
    """One job in the list of a service.

    Parameters
    ----------
    artifact_prefix : str
        The job's name.
    status : str
        ``RUNNING``, ``SUCCEEDED`` or ``FAILED``.
    started : datetime or None
        When it was accepted.
    title : str
        Name of the meta-analysis, or its id while the name is not known.
    result : str
        Page of the result, reason of a failure, or stage of a job that runs; may be empty.
    document : dict
        The service's whole entry.
    """

    artifact_prefix: str
    status: str
    started: datetime | None
    title: str
    result: str
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a job's log.

    Parameters
    ----------
    timestamp : int
        Epoch milliseconds.
    message : str
        A line, usually a JSON object.
    """

    timestamp: int
    message: str

    @property
    def fields(self) -> dict[str, Any]:
        """The record's fields; just ``message`` for a line that is not a JSON object."""
        try:
            fields = json.loads(self.message)
        except ValueError:
            fields = None
        return fields if isinstance(fields, dict) else {"message": self.message}


@dataclass(frozen=True, slots=True)
class JobArtifact:
    """One file of a job.

    Parameters
    ----------
    path : str
        Below the job's folder, with slashes.
    size : int
        Bytes.
    url : str
        Address that needs no credentials, for a while.
    document : dict
        The service's whole answer.
    """

    path: str
    size: int
    url: str
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """What is new about a job that is followed."""

    status: JobStatus
    records: list[LogRecord]
