"""The door for notebooks: ``from compose_runner.run import run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose_runner.analysis import DEFAULT_SEED
from compose_runner.environments import DEFAULT_ENVIRONMENT
from compose_runner.progress import Progress

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from nimare.results import MetaResult

    from compose_runner.progress import ProgressListener

DEFAULT_RESULT_DIRECTORY = "results"


def run(
    meta_analysis_id: str | None,
    environment: str = DEFAULT_ENVIRONMENT,
    result_dir: str | os.PathLike[str] | None = None,
    nsc_key: str | None = None,
    nv_key: str | None = None,
    no_upload: bool = False,
    n_cores: int | None = None,
    *,
    bundle: str | os.PathLike[str] | None = None,
    save_bundle: str | os.PathLike[str] | None = None,
    seed: int = DEFAULT_SEED,
    report: bool = True,
    engine: str = "auto",
    progress: ProgressListener | None = None,
    allow_hosts: Sequence[str] = (),
) -> tuple[str | None, MetaResult]:
    """Run a meta-analysis of Neurosynth Compose and upload its result.

    Parameters
    ----------
    meta_analysis_id : str or None
        Its id on Neurosynth Compose; with ``bundle`` only a label.
    environment : str
        ``production``, ``staging``, ``development`` or ``local``; any other word counts as production.
    result_dir : path-like, optional
        Where the artifacts go; ``results`` in the working directory by default.
    nsc_key : str, optional
        Upload key of Neurosynth Compose; it wins over the run key that Compose gives out.
    nv_key : str, optional
        Accepted because callers pass it: Compose itself makes the NeuroVault collection of a result.
    no_upload : bool
        Keep the result on this machine.
    n_cores : int, optional
        Cores to use; all by default. The maps do not depend on it.
    bundle : path-like, optional
        Studyset, annotation and specification from disk instead of from Compose; nothing is uploaded then.
    save_bundle : path-like, optional
        Where to keep the bundle that was fetched.
    seed : int
        Seed of every random draw.
    report : bool
        Draw the figures and write ``report.html``.
    engine : {"auto", "nimare"}
        ``nimare`` forces NiMARE's own Monte Carlo code.
    progress : callable, optional
        Takes every :class:`compose_runner.progress.ProgressRecord`.
    allow_hosts : sequence of str
        Hosts (``HOST`` or ``HOST:PORT``) that the maps of ``bundle`` may come from although they are not on the public
        internet.

    Returns
    -------
    url : str or None
        The meta-analysis's page; None when nothing was uploaded.
    result : nimare.results.MetaResult
        Maps, tables, estimator.

    Raises
    ------
    compose_runner.errors.AnalysisError
        The analysis cannot run; the text says what has to change.
    compose_runner.errors.TemporaryError
        What failed may pass: try again.

    Examples
    --------
    >>> url, result = run("ataCTPAt2LMw", no_upload=True)  # doctest: +SKIP
    >>> result.get_map("z").to_filename("z.nii.gz")  # doctest: +SKIP
    """
    from compose_runner.analysis.fast.process_state import preserved_process_state
    from compose_runner.analysis.job import run_job

    with preserved_process_state():
        outcome = run_job(
            meta_analysis_id,
            environment=environment,
            result_dir=result_dir or DEFAULT_RESULT_DIRECTORY,
            nsc_key=nsc_key,
            nv_key=nv_key,
            upload=not no_upload,
            n_cores=n_cores,
            bundle=bundle,
            save_bundle_to=save_bundle,
            seed=seed,
            report=report,
            engine=engine,
            progress=Progress(progress),
            allow_hosts=allow_hosts,
        )
    return outcome.url, outcome.result
