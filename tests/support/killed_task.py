"""The real task, which gets SIGKILL where its meta-analysis's name says.

``killed-fit`` dies once, ``always-killed-fit`` always, when it has reported that it begins the stage; in the stage
``upload`` it dies with one artifact uploaded. ``full-disk`` gets the disk that the variable FULL_DISK names.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import task.main
from compose_runner.progress import Progress
from task.job_objects import JobObjects

if TYPE_CHECKING:
    from compose_runner.progress import Stage

MODE, _, STAGE = os.environ["META_ANALYSIS_ID"].rpartition("killed-")
DIES = MODE == "always-" or os.environ["ATTEMPT"] == "1"
begin, keep_artifact = Progress.start, JobObjects._upload


def die() -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def begin_and_die(self: Progress, stage: Stage, total: int | None = None) -> None:
    begin(self, stage, total)
    if DIES and stage.value == STAGE != "upload":
        die()


def keep_artifact_and_die(self: JobObjects, *arguments: Any) -> None:
    keep_artifact(self, *arguments)
    if DIES and STAGE == "upload":
        die()


Progress.start = begin_and_die  # type: ignore[method-assign]
JobObjects._upload = keep_artifact_and_die  # type: ignore[method-assign, assignment]
if os.environ["META_ANALYSIS_ID"] == "full-disk":
    tempfile.tempdir = os.environ["FULL_DISK"]
sys.exit(task.main.main())
