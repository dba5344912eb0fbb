"""How far a run is: one record, written by the process that computes and read by those that wait."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


log = logging.getLogger("compose_runner")

# names of the log records that tell progress
STAGE_RECORD = "workflow.stage"
PROGRESS_RECORD = "workflow.progress"
# what a person reads
STAGE_NAMES = {
    "waiting": "Wait for other jobs",
    "fetch": "Fetch the documents",
    "select": "Select the analyses",
    "fit": "Fit",
    "correct": "Correct for multiple comparisons",
    "diagnose": "Describe the clusters",
    "write": "Write maps, tables, report",
    "upload": "Upload the artifacts",
    "publish": "Publish on Neurosynth Compose",
}
# share of the steps from which their own pace is believed rather than a prediction
_PACE_TELLS = 0.05


class Stage(StrEnum):
    """The stages of a run, in their order."""

    WAITING = "waiting"
    FETCH = "fetch"
    SELECT = "select"
    FIT = "fit"
    CORRECT = "correct"
    DIAGNOSE = "diagnose"
    WRITE = "write"
    UPLOAD = "upload"
    PUBLISH = "publish"


class ProgressRecord(BaseModel):
    """How far the current stage is.

    Parameters
    ----------
    stage : Stage
        What is being done.
    completed, total : int or None
        Steps of this stage (Monte Carlo iterations, files); ``total`` is None while nobody can know.
    percent : float or None
        ``completed`` of ``total``, 0 to 100.
    seconds_left : float or None
        Estimate for the rest of the run where one exists, otherwise for this stage.
    updated : datetime
        When the record was made.
    shards : int or None
        How many tasks share the permutations; each has a record of its own then.
    """

    stage: Stage
    completed: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int | None, Field(ge=0)] = None
    percent: Annotated[float | None, Field(ge=0, le=100)] = None
    seconds_left: Annotated[float | None, Field(ge=0)] = None
    updated: datetime = Field(default_factory=lambda: datetime.now(UTC))
    shards: Annotated[int | None, Field(ge=1)] = None
    jobs_before: Annotated[int | None, Field(ge=0)] = None


class ProgressListener(Protocol):
    """A receiver of progress: a terminal's bar, a log, an object in S3."""

    def __call__(self, record: ProgressRecord, /) -> None:
        """Take one record; called from any thread, must not raise."""


class Progress:
    """Makes records out of stages and steps, and hands them to a listener.

    Parameters
    ----------
    listener : callable, optional
        Takes each :class:`ProgressRecord`.
    clock : callable, optional
        Seconds that only grow.
    """

    def __init__(self, listener: ProgressListener | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._clock = clock
        self._stage = Stage.FETCH
        self._started = clock()
        self.seconds: dict[str, float] = {}
        self._expected: dict[Stage, float] = {}
        self._open = False

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self._stage

    def expect(self, stage: Stage, seconds: float) -> None:
        """Say how long a stage is predicted to take, for as long as its own steps tell nothing."""
        self._expected[stage] = seconds

    def start(self, stage: Stage, total: int | None = None) -> None:
        """Begin a stage and end the one before it."""
        self.finish()
        self._stage, self._started, self._open = stage, self._clock(), True
        self._tell(0, total)

    def advance(self, completed: int, total: int | None = None) -> None:
        """Say how many steps of the current stage are done."""
        self._tell(completed, total)

    def finish(self) -> None:
        """End the current stage and keep its duration in :attr:`seconds`."""
        if self._open:
            name = self._stage.value
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - self._started
            self._open = False

    def hand_over(self, shards: int, total: int, seconds_left: float) -> None:
        """Say that the steps of the current stage are left to so many other tasks, each with a record of its own."""
        if self._listener is not None:
            self._listener(
                ProgressRecord(stage=self._stage, total=total, percent=0.0, seconds_left=seconds_left, shards=shards)
            )

    def _tell(self, completed: int, total: int | None) -> None:
        if self._listener is None:
            return
        percent = None
        if total:
            completed = min(completed, total)
            percent = 100.0 * completed / total
        self._listener(
            ProgressRecord(
                stage=self._stage,
                completed=completed,
                total=total,
                percent=percent,
                seconds_left=self._seconds_left(completed, total),
            )
        )

    def _seconds_left(self, completed: int, total: int | None) -> float | None:
        """What this stage's own steps or its prediction say, and what is predicted of the stages after it."""
        spent = self._clock() - self._started
        expected = self._expected.get(self._stage)
        own: float | None = None
        # the first steps pay for what is loaded and compiled: their pace tells little
        few = not total or completed < _PACE_TELLS * total
        if expected is not None and (not completed or (few and spent < expected)):
            own = max(0.0, expected - spent)
        elif total and completed:
            own = spent / completed * (total - completed)
        order = list(Stage)
        later = [seconds for stage, seconds in self._expected.items() if order.index(stage) > order.index(self._stage)]
        if own is None and not later:
            return None
        return (own or 0.0) + sum(later)


class LoggedProgress:
    """Tells progress as log records: every stage, and its steps at most every few seconds.

    Parameters
    ----------
    every_seconds : float
        Least time between two records of one stage.
    """

    def __init__(self, every_seconds: float = 5.0) -> None:
        self._every = every_seconds
        self._stage: Stage | None = None
        self._told = 0.0
        self._lock = Lock()

    def __call__(self, record: ProgressRecord) -> None:
        """Log the record if it is time to."""
        with self._lock:
            now = time.monotonic()
            begins = record.stage is not self._stage
            ends = record.total is not None and record.completed >= record.total
            if not begins and not ends and now - self._told < self._every:
                return
            self._stage, self._told = record.stage, now
        fields = record.model_dump(mode="json", exclude_none=True, exclude={"updated"})
        log.info(STAGE_RECORD if begins else PROGRESS_RECORD, extra=fields)


def time_left(seconds: object) -> str:
    """Write a number of seconds as ``about 5 min left``; nothing for what is not a number."""
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


def merged(job: ProgressRecord, shards: Iterable[ProgressRecord]) -> ProgressRecord:
    """Make one record of a job whose permutations are shared by several tasks.

    Parameters
    ----------
    job : ProgressRecord
        The job's own record: how many permutations there are in all, and how many tasks share them.
    shards : iterable of ProgressRecord
        What those tasks tell that have begun; only records of the same stage count, the others prepare.
    """
    running = [record for record in shards if record.stage is job.stage and record.total]
    completed = sum(record.completed for record in running)
    if not running or not job.total:
        return job
    completed = min(completed, job.total)
    estimates = [record.seconds_left for record in running if record.seconds_left is not None]
    if len(running) < (job.shards or 1) and job.seconds_left is not None:
        estimates.append(job.seconds_left)
    return job.model_copy(
        update={
            "completed": completed,
            "percent": 100.0 * completed / job.total,
            "seconds_left": max(estimates, default=None),
            "updated": max(job.updated, *(record.updated for record in running)),
        }
    )
