"""One job, from the id of a meta-analysis to its published result: the order of the stages and nothing else.

While the documents are on their way NiMARE is imported in another thread, since on a small job the imports take longer
than everything else. Nothing here imports NiMARE at the top.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compose_runner import __version__
from compose_runner.analysis import DEFAULT_SEED
from compose_runner.analysis.compute.estimators import build, usable_cores
from compose_runner.analysis.compute.monte_carlo import MonteCarloOptions
from compose_runner.analysis.fetch.bundle_files import save_bundle
from compose_runner.analysis.options import JobOptions
from compose_runner.analysis.preparation import load_inputs, plan_permutations, translating_errors
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.publish.publishing import find_page, prepare_publish, publish
from compose_runner.analysis.write.guide import README, describe_file, readme
from compose_runner.analysis.write.provenance import machine, versions
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.analysis.write.run_log import RUN_LOG, recording
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT, Environment, environment_named
from compose_runner.compose.page_addresses import parse_meta_analysis
from compose_runner.errors import ResultDirectoryError
from compose_runner.progress import Progress, Stage
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nimare.results import MetaResult

    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.analysis.write.run_log import RunLog
    from compose_runner.specification.parsing import Specification

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a job ends with.

    Parameters
    ----------
    url : str or None
        The meta-analysis's page, if the result was published there.
    metadata : dict
        The body of ``metadata.json``.
    result : nimare.results.MetaResult
        Maps, tables, estimator.
    """

    url: str | None
    metadata: dict[str, Any]
    result: MetaResult


def run_job(
    meta_analysis_id: str | None,
    *,
    environment: str = DEFAULT_ENVIRONMENT,
    result_dir: str | os.PathLike[str],
    nsc_key: str | None = None,
    nv_key: str | None = None,
    n_cores: int | None = None,
    progress: Progress | None = None,
    upload: bool = True,
    after_artifacts: Callable[[Path], None] | None = None,
    on_publish_change: Callable[[Path], object] | None = None,
    bundle: str | os.PathLike[str] | None = None,
    save_bundle_to: str | os.PathLike[str] | None = None,
    seed: int = DEFAULT_SEED,
    report: bool = True,
    engine: str = "auto",
    monte_carlo: MonteCarloOptions | None = None,
    allow_hosts: Sequence[str] | None = (),
    overwrite: bool = False,
) -> JobOutcome:
    """Run one job to its end.

    Parameters
    ----------
    meta_analysis_id : str or None
        Id on Compose, or the address of its page; only a label when ``bundle`` is given.
    environment : str
        Which Compose to talk to, unless an address says.
    result_dir : path-like
        Where the artifacts go.
    nsc_key : str, optional
        Upload key that wins over the run key.
    nv_key : str, optional
        Accepted for its callers; Compose makes the NeuroVault collection itself.
    n_cores : int, optional
        All that the process may use by default.
    progress : Progress, optional
        Called for every stage and every Monte Carlo iteration.
    upload : bool
        Publish the result on Compose. That of a bundle from a disk is not, but can be later, as one that was not
        uploaded: see :func:`publish_again`.
    after_artifacts : callable, optional
        Called with the result directory when all artifacts are there and before the result is published, so that
        nothing computed is lost when Compose refuses.
    on_publish_change : callable, optional
        Called with the result directory after every change of its record of the upload; see
        :func:`compose_runner.analysis.publish.publishing.publish`.
    bundle : path-like, optional
        Inputs from a disk.
    save_bundle_to : path-like, optional
        Where to keep the inputs.
    seed : int
        Seed of every random draw.
    report : bool
        Draw the figures.
    engine : {"auto", "nimare"}
        ``nimare`` forces NiMARE's own Monte Carlo code.
    monte_carlo : MonteCarloOptions, optional
        Where checkpoints are kept, and how many tasks may share the permutations.
    allow_hosts : sequence of str or None
        Hosts (``HOST`` or ``HOST:PORT``) that the maps of a bundle from a disk may come from although they are not on
        the public internet, besides those that the environment variable ``COMPOSE_RUNNER_ALLOWED_HOSTS`` names. None
        for a bundle that somebody sent: it may name public addresses and nothing else.
    overwrite : bool
        Use a result directory that holds files which no run wrote; see
        :meth:`compose_runner.analysis.write.result_directory.ResultDirectory.claimed`.

    Raises
    ------
    compose_runner.errors.ComposeRunnerError
        With the exit code that tells whether trying again can help.
    compose_runner.errors.ShardingRequested
        :func:`compose_runner.analysis.shard.run_shard` should compute the permutations first.
    """
    progress = progress or Progress()
    if meta_analysis_id is not None:
        meta_analysis_id, environment = parse_meta_analysis(meta_analysis_id, environment)
    compose_environment = environment_named(environment)
    options = JobOptions(usable_cores(n_cores), seed, report, engine)
    publishing = upload and bundle is None
    monte_carlo = monte_carlo or MonteCarloOptions()
    directory = ResultDirectory(result_dir)
    if bundle is not None and directory.wrote(bundle):
        raise ResultDirectoryError(
            f"The bundle {bundle} is part of the result directory {directory.path}, whose files this run replaces. "
            "Choose another directory for the result."
        )
    started = datetime.now(UTC)
    with directory.claimed(overwrite=overwrite), recording(directory, (nsc_key, nv_key)) as run_log:
        inputs, specification = load_inputs(
            meta_analysis_id, compose_environment, bundle, progress, monte_carlo, allow_hosts
        )
        from compose_runner.analysis import stages  # needs NiMARE, which is imported by now

        if save_bundle_to is not None:
            save_bundle(inputs, save_bundle_to)
        progress.start(Stage.SELECT)
        studies = stages.select_studies(inputs, specification, compose_environment, directory, progress)
        build(specification)
        audited = stages.audit_inputs(studies)
        audited.log()
        audited.refuse()
        # an earlier result stays until there is something to compute
        directory.clear()
        prepare_publish(directory, inputs, compose_environment)

        permutations = plan_permutations(
            monte_carlo, inputs, specification, studies.counts, options, directory, progress
        )
        # before anything is computed: none of it is lost where this cannot be made
        metadata = {
            **_about(inputs, specification, options, compose_environment),
            **audited.describe(),
            "prediction": {**permutations.prediction.describe(options.n_cores), "shards": monte_carlo.n_shards},
            "started": started.isoformat(),
            "diagnostics": None,
        }
        problems = Problems()
        run_log.computing = True
        with translating_errors(specification):
            result = stages.compute(
                studies, specification, options, directory, progress, permutations.session(), problems, audited
            )
        progress.start(Stage.WRITE)
        with problems.costing("entry diagnostics of metadata.json"):
            metadata |= stages.describe(result)
        with problems.costing("entry accounting of metadata.json"):
            metadata |= audited.describe()
        stages.write(result, directory, metadata, options, problems)
        with problems.costing("README.txt and run.log"):
            _explain(metadata, directory, run_log)
        _finish(metadata, directory, progress, problems)
        permutations.finish()

        if after_artifacts is not None:
            progress.start(Stage.UPLOAD)
            after_artifacts(directory.path)
        if publishing:
            progress.start(Stage.PUBLISH)
            metadata["result_url"] = publish(
                directory, upload_key=nsc_key, environment=compose_environment, on_change=on_publish_change
            ).url
        if after_artifacts is not None or publishing:
            _finish(metadata, directory, progress, problems)
    return JobOutcome(metadata["result_url"], metadata, result)


def publish_again(
    result_dir: str | os.PathLike[str],
    *,
    nsc_key: str | None = None,
    environment: str | None = None,
    progress: Progress | None = None,
    on_publish_change: Callable[[Path], object] | None = None,
) -> str:
    """Publish a result directory on Compose, or what is missing of its upload, without computing.

    Parameters
    ----------
    result_dir : path-like
        Where a run wrote its artifacts.
    nsc_key : str, optional
        Upload key that wins over the run key.
    environment : str, optional
        Which Compose; the one that the run talked to by default.
    progress : Progress, optional
        Called for the one stage there is.
    on_publish_change : callable, optional
        As of :func:`run_job`.

    Returns
    -------
    str
        The meta-analysis's page.
    """
    progress = progress or Progress()
    progress.start(Stage.PUBLISH)
    directory = ResultDirectory(result_dir)
    compose_environment = None if environment is None else environment_named(environment)
    find_page(directory, compose_environment)
    with directory.locked():
        url = publish(directory, upload_key=nsc_key, environment=compose_environment, on_change=on_publish_change).url
        metadata = directory.read_metadata()
        if metadata is not None and METADATA_FILENAME not in directory.changed():
            directory.write_metadata({**metadata, "result_url": url})
    progress.finish()
    return url


def _about(
    inputs: Bundle, specification: Specification, options: JobOptions, compose_environment: Environment
) -> dict[str, Any]:
    checksums = inputs.checksums()
    return {
        "meta_analysis_id": inputs.meta_analysis_id,
        "name": inputs.name,
        "result_url": None,
        "compose_runner_version": __version__,
        "versions": versions(),
        "machine": machine(),
        "environment": compose_environment.name,
        "specification": inputs.specification,
        "estimator": specification.estimator.name,
        "correction": _correction(specification),
        "seed": options.seed if specification.seed is None else specification.seed,
        "engine": options.engine,
        "n_cores": options.n_cores,
        "inputs": {
            "origin": inputs.origin.value,
            **{part: {"source": inputs.sources.get(part), "sha256": checksum} for part, checksum in checksums.items()},
        },
    }


def _correction(specification: Specification) -> dict[str, Any]:
    """How the result is corrected, as it was read: with the method that was taken where none was named."""
    corrector = specification.corrector
    return {
        "corrector": None if corrector is None else corrector.name,
        "method": None if corrector is None else corrector.method,
        "alpha": specification.alpha,
        "args": {} if corrector is None else dict(corrector.args),
    }


def _explain(metadata: dict[str, Any], directory: ResultDirectory, run_log: RunLog) -> None:
    """Write ``run.log`` and ``README.txt``, the last of the artifacts; what comes later is about the upload."""
    names = [str(artifact["filename"]) for artifact in directory.artifacts()]
    names = sorted({*names, README, RUN_LOG, METADATA_FILENAME})
    directory.write_beside({RUN_LOG: run_log.text(), README: readme(metadata, names)})


def _finish(metadata: dict[str, Any], directory: ResultDirectory, progress: Progress, problems: Problems) -> None:
    """Write ``metadata.json``, the last file of a run: where it is, everything is."""
    progress.finish()
    metadata["seconds"] = {stage: round(seconds, 3) for stage, seconds in progress.seconds.items()}
    metadata["finished"] = datetime.now(UTC).isoformat()
    metadata["artifacts"] = artifacts = directory.artifacts()
    with problems.costing("descriptions of the files in metadata.json"):
        estimator = str(metadata["estimator"])
        for artifact in artifacts:
            artifact["description"] = describe_file(str(artifact["filename"]), estimator)
    directory.write_metadata(metadata)
