"""How the permutations of one job are computed: gone on with, cut into shards, or shared by several tasks.

None of it changes a number: a permutation's result depends on the seed and its own number alone.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.compute.checkpoints import (
    CHECKPOINTS,
    CheckpointBackend,
    CheckpointDirectory,
    CheckpointStore,
    fingerprint,
    keep_inputs,
    kept_inputs,
)
from compose_runner.analysis.compute.engine.sessions import CHECKPOINT_SECONDS
from compose_runner.analysis.compute.prediction import shards_for
from compose_runner.errors import ShardingRequested
from compose_runner.specification.limits import NO_LIMITS, JobLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compose_runner.analysis.compute.prediction import Prediction
    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MonteCarloOptions:
    """Where permutations are kept, and which of them are computed here.

    Parameters
    ----------
    backend : CheckpointBackend or None
        Where this job's checkpoints and inputs are kept; None for a hidden folder in the result directory.
    continues : bool
        Whether an earlier task of the job may have left its inputs at ``backend``.
    n_shards : int
        Into how many ranges the permutations are cut.
    shard : int or None
        The range that is computed here, and nothing else; None for whatever is missing of all of them.
    most_shards : int
        Over how many tasks a run may be sharded; 1 for never.
    threshold_seconds : float
        Predicted time from which a run is sharded.
    task_cores : int or None
        Cores of a task that computes a shard, for the prediction; this machine's by default.
    checkpoint_seconds : float
        Least time between two checkpoints of one range.
    limits : JobLimits
        What a job may ask for; nothing is limited by default.
    """

    backend: CheckpointBackend | None = None
    continues: bool = False
    n_shards: int = 1
    shard: int | None = None
    most_shards: int = 1
    threshold_seconds: float = math.inf
    task_cores: int | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    limits: JobLimits = NO_LIMITS

    def inputs(self) -> Bundle | None:
        """Inputs that an earlier task of the job kept; None when they have to be fetched."""
        return kept_inputs(self.backend) if self.continues and self.backend is not None else None

    def prepare(
        self,
        inputs: Bundle,
        result_dir: Path,
        progress: Progress,
        prediction: Prediction,
        *,
        seed: int,
        engine: str,
        n_cores: int,
    ) -> MonteCarloRun:
        """Prepare the permutations of one job.

        Parameters
        ----------
        inputs : Bundle
            What the job computes from.
        result_dir : Path
            Where checkpoints are when there is no other backend.
        progress : Progress
            Called as permutations advance; knows the stage that asks for them.
        prediction : Prediction
            How long they will take.
        seed : int
            Seed of the draws.
        engine : str
            Whose code computes.
        n_cores : int
            Cores of this task.

        Raises
        ------
        LimitExceededError
            They are predicted to take longer than is allowed.
        """
        cores = self.task_cores or n_cores
        self.limits.check_prediction(prediction.iterations, prediction.seconds(cores), cores)
        mark = fingerprint(inputs, seed, engine)
        if self.backend is None:
            directory = CheckpointDirectory(result_dir / CHECKPOINTS)
            directory.keep_only(mark)
            store = CheckpointStore(directory, mark)
            return MonteCarloRun(self, inputs, directory, store, progress, prediction, self.task_cores or n_cores)

        backend = self.backend
        if self.shard is not None:
            store = CheckpointStore(backend, mark, required=True)
        else:
            store = CheckpointStore(backend, mark, before_first_save=lambda: keep_inputs(inputs, backend))
        return MonteCarloRun(self, inputs, backend, store, progress, prediction, self.task_cores or n_cores)


@dataclass(frozen=True, slots=True)
class MonteCarloRun:
    """The permutations of one job, ready to run; made by :meth:`MonteCarloOptions.prepare`."""

    options: MonteCarloOptions
    inputs: Bundle
    backend: CheckpointBackend
    store: CheckpointStore
    progress: Progress
    prediction: Prediction
    task_cores: int

    def session(self) -> dict[str, Any]:
        """Arguments of :func:`compose_runner.analysis.compute.engine.session`."""
        before_run: Callable[[int], None] | None = self._shard_if_long if self.options.most_shards > 1 else None
        return {
            "progress": self.progress.advance,
            "store": self.store,
            "n_shards": self.options.n_shards,
            "shard": self.options.shard,
            "checkpoint_seconds": self.options.checkpoint_seconds,
            "before_run": before_run,
        }

    def finish(self) -> None:
        """Remove the checkpoints: everything that was computed with them is written."""
        # the task that has another backend removes them when its artifacts are safe
        if self.options.backend is None:
            self.backend.clear()

    def _shard_if_long(self, permutations: int) -> None:
        """Ask for several tasks when one would take too long; raises :class:`ShardingRequested`."""
        run = self.prediction.of_stage(self.progress.stage)
        if run is None:
            return
        seconds = run.seconds(self.task_cores, permutations)
        most = min(self.options.most_shards, permutations)
        n_shards = shards_for(seconds, self.options.threshold_seconds, most)
        if n_shards < 2:
            return
        keep_inputs(self.inputs, self.backend)
        # what the status shows until the first shard tells something
        self.progress.hand_over(n_shards, permutations, run.seconds(self.task_cores, permutations) / n_shards)
        log.info(
            "%d permutations would take about %.0f s on one task: they are shared by %d.",
            permutations,
            seconds,
            n_shards,
        )
        raise ShardingRequested(n_shards, seconds)
