"""What the logic needs of the world, as small interfaces; :mod:`compose_runner.service.aws` has them for AWS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of the state machine, as Step Functions describes it.

    Parameters
    ----------
    job_id : str
        ARN of the execution.
    name : str
        Its name, which is the job's ``artifact_prefix``.
    status : str
        Step Functions' own status, such as ``TIMED_OUT``.
    started, stopped : datetime
        Aware times; ``stopped`` is None while it runs.
    input, output : str or None
        JSON texts.
    error, cause : str or None
        Name and account of the failure.
    """

    job_id: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None = None
    input: str | None = None
    output: str | None = None
    error: str | None = None
    cause: str | None = None


class Executions(Protocol):
    """The service that runs executions: AWS Step Functions."""

    def job_id(self, name: str) -> str:
        """Id that the execution of this name has or would have."""

    def parse_name(self, job_id: str) -> str:
        """Name of an execution of our state machine; raises :class:`RequestError` for any other text."""

    def start(self, name: str, document: dict[str, Any]) -> str:
        """Start an execution and give its id; raises :class:`JobNameTakenError` or :class:`AwsServiceError`."""

    def find(self, job_id: str) -> Execution | None:
        """Describe an execution, or None when there is none; raises :class:`AwsServiceError`."""

    def running(self, most: int) -> int:
        """Count running executions, up to ``most``; raises :class:`AwsServiceError`."""

    def stop(self, job_id: str, reason: str) -> None:
        """Stop a running execution; raises :class:`AwsServiceError`."""


class UploadKeys(Protocol):
    """Where a job's keys wait for its task."""

    def keep(self, artifact_prefix: str, keys: dict[str, str]) -> None:
        """Keep keys by name; raises :class:`JobNameTakenError` when the job has keys, or :class:`AwsServiceError`."""

    def forget(self, artifact_prefix: str, names: Iterable[str]) -> None:
        """Delete keys that a job will not need; never raises."""


class Specifications(Protocol):
    """Neurosynth Compose, as far as submit asks it."""

    def meta_analysis(self, meta_analysis_id: str, environment: str) -> Any:
        """Fetch the nested document; raises :class:`DocumentError` or :class:`ServiceUnavailableError`."""


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One object of a job."""

    key: str
    size: int
    last_modified: datetime


class Artifacts(Protocol):
    """The bucket of results."""

    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON object; None when there is none that may be read. Raises :class:`AwsServiceError`."""

    def below(self, folder: str) -> Iterable[StoredArtifact]:
        """List every object below a folder; raises :class:`AwsServiceError`."""

    def address(self, key: str, expires_in: int) -> str:
        """Make an address that anyone can read for ``expires_in`` seconds; raises :class:`AwsServiceError`."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a log that is still to be read.

    Parameters
    ----------
    start, end : int or None
        Epoch milliseconds, both included; None is open.
    token : str or None
        Where the log's service goes on.
    """

    start: int | None
    end: int | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """Records as ``(epoch milliseconds, text)``, maybe none, and where the next page is, if there is one."""

    records: list[tuple[int, str]] = field(default_factory=list)
    token: str | None = None


class Records(Protocol):
    """The task's log."""

    def write(self, artifact_prefix: str, text: str) -> None:
        """Write the one record of a job without a task; what another call has written stays. Never raises."""

    def page(self, artifact_prefix: str, window: Window) -> LogPage:
        """Read a page of records; raises :class:`RequestError` for a stale token, or :class:`AwsServiceError`."""
