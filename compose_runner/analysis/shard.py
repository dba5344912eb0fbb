"""One task's share of a job's permutations."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from compose_runner.analysis import DEFAULT_SEED
from compose_runner.analysis.compute.engine.sessions import ShardFinished
from compose_runner.analysis.compute.estimators import usable_cores
from compose_runner.analysis.options import JobOptions
from compose_runner.analysis.preparation import load_inputs, plan_permutations, translating_errors
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT, environment_named
from compose_runner.progress import Progress, Stage

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
    from compose_runner.compose.environments import Environment

log = logging.getLogger(__name__)


def run_shard(
    meta_analysis_id: str | None,
    *,
    monte_carlo: MonteCarloOptions,
    environment: str = DEFAULT_ENVIRONMENT,
    result_dir: str | os.PathLike[str],
    n_cores: int | None = None,
    progress: Progress | None = None,
    bundle: str | os.PathLike[str] | None = None,
    seed: int = DEFAULT_SEED,
    allow_hosts: Sequence[str] | None = (),
) -> None:
    """Compute one task's share of a job's permutations, and leave them where the job's last task finds them.

    Parameters
    ----------
    meta_analysis_id : str or None
        Id on Compose; the inputs are those that the job's first task kept.
    monte_carlo : MonteCarloOptions
        Which share, and where it is kept.
    environment : str
        Which Compose to talk to, should the inputs be gone.
    result_dir : path-like
        Where to work; nothing is left there.
    n_cores : int, optional
        All that the process may use by default.
    progress : Progress, optional
        Called for every stage and every permutation of the share.
    bundle : path-like, optional
        Inputs from a disk.
    seed : int
        Seed of every random draw.
    allow_hosts : sequence of str or None
        As of :func:`compose_runner.analysis.job.run_job`.

    Raises
    ------
    compose_runner.errors.ComposeRunnerError
        With the exit code that tells whether trying again can help.
    """
    progress = progress or Progress()
    compose_environment = environment_named(environment)
    options = JobOptions(usable_cores(n_cores), seed)
    directory = ResultDirectory(result_dir)
    with directory.claimed():
        directory.clear()
        _compute_share(
            meta_analysis_id, compose_environment, bundle, options, directory, progress, monte_carlo, allow_hosts
        )
    progress.finish()


def _compute_share(
    meta_analysis_id: str | None,
    environment: Environment,
    bundle: str | os.PathLike[str] | None,
    options: JobOptions,
    directory: ResultDirectory,
    progress: Progress,
    monte_carlo: MonteCarloOptions,
    allow_hosts: Sequence[str] | None,
) -> None:
    inputs, specification = load_inputs(meta_analysis_id, environment, bundle, progress, monte_carlo, allow_hosts)
    from compose_runner.analysis import stages  # needs NiMARE, which is imported by now

    progress.start(Stage.SELECT)
    studies = stages.select_studies(inputs, specification, environment, directory, progress)
    permutations = plan_permutations(monte_carlo, inputs, specification, studies.counts, options, directory, progress)
    try:
        with translating_errors(specification):
            stages.compute(studies, specification, options, directory, progress, permutations.session())
    except ShardFinished as finished:
        log.info("%s.", str(finished).capitalize())
    else:
        # what was asked for is there already, or is not computed by permutations that can be shared
        log.info("There were no permutations left to compute.")
