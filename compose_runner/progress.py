"""How far a run is: one record, written by whoever computes and read by whoever waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable


class Stage(StrEnum):
    """The stages of a run, in their order."""

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
    """

    # three of the four functions load this class and never use it
    model_config = ConfigDict(defer_build=True)

    stage: Stage
    completed: int = Field(default=0, ge=0)
    total: int | None = Field(default=None, ge=0)
    percent: float | None = Field(default=None, ge=0, le=100)
    seconds_left: float | None = Field(default=None, ge=0)
    updated: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ProgressListener(Protocol):
    """Whoever wants to see progress: a terminal's bar, a log, an object in S3."""

    def __call__(self, record: ProgressRecord) -> None:
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
        self._open = False

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

    def _tell(self, completed: int, total: int | None) -> None:
        if self._listener is None:
            return
        percent = seconds_left = None
        if total:
            completed = min(completed, total)
            percent = 100.0 * completed / total
            if completed:
                seconds_left = (self._clock() - self._started) / completed * (total - completed)
        self._listener(
            ProgressRecord(
                stage=self._stage,
                completed=completed,
                total=total,
                percent=percent,
                seconds_left=seconds_left,
            )
        )
