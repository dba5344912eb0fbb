"""A run from Python, as in a notebook: ``from compose_runner.run import run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compose_runner.analysis import DEFAULT_SEED
from compose_runner.compose.environments import DEFAULT_ENVIRONMENT
from compose_runner.progress import Progress

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from compose_runner.analysis.notebook import RunOutcome
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
    overwrite: bool = False,
) -> RunOutcome:
    """Run a meta-analysis of Neurosynth Compose and publish its result there, for everyone to see.

    To look at the result first, run with ``no_upload=True`` and publish later, with
    :func:`compose_runner.analysis.job.publish_again` or ``compose-runner publish results``. Signals are left alone: an
    interrupted cell raises KeyboardInterrupt.

    Parameters
    ----------
    meta_analysis_id : str or None
        Its id on Neurosynth Compose, or the address of its page. With ``bundle`` it is not looked up: it labels the
        result, and says on which page a later upload would put it.
    environment : str
        ``production``, ``staging``, ``development`` or ``local``; any other word counts as production.
    result_dir : path-like, optional
        Where the artifacts go; ``results`` in the working directory by default. Only what an earlier run wrote there
        is replaced. A directory that holds anything else, and no result, is refused.
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
        Takes every :class:`compose_runner.progress.ProgressRecord`; a notebook shows a bar by default.
    allow_hosts : sequence of str
        Hosts (``HOST`` or ``HOST:PORT``) that the maps of ``bundle`` may come from although they are not on the public
        internet.
    overwrite : bool
        Put the result into a directory that holds other files. These stay as they are; where one has the name of a file
        of the result, the run is refused all the same.

    Returns
    -------
    compose_runner.analysis.notebook.RunOutcome
        Unpacks as ``url, result``: the meta-analysis's page (None when nothing was uploaded), and a
        :class:`nimare.results.MetaResult` with maps, tables, estimator. A notebook shows it as a card.

    Raises
    ------
    compose_runner.errors.AnalysisError
        The analysis cannot run; the text says what has to change.
    compose_runner.errors.ResultDirectoryError
        The directory holds something that is not this run's to change, or another run uses it.
    compose_runner.errors.TemporaryError
        A temporary failure: try again.

    Examples
    --------
    >>> url, result = run("YOUR_ID", no_upload=True)  # doctest: +SKIP
    >>> result.get_map("z").to_filename("z.nii.gz")  # doctest: +SKIP
    """
    from compose_runner.analysis.notebook import RunOutcome, notebook_progress
    from compose_runner.analysis.process_state import preserved_process_state

    bar = notebook_progress() if progress is None else None
    directory = Path(result_dir or DEFAULT_RESULT_DIRECTORY)
    try:
        with preserved_process_state():
            from compose_runner.analysis.job import run_job

            outcome = run_job(
                meta_analysis_id,
                environment=environment,
                result_dir=directory,
                nsc_key=nsc_key,
                nv_key=nv_key,
                upload=not no_upload,
                n_cores=n_cores,
                bundle=bundle,
                save_bundle_to=save_bundle,
                seed=seed,
                report=report,
                engine=engine,
                progress=Progress(progress or bar),
                allow_hosts=allow_hosts,
                overwrite=overwrite,
            )
    finally:
        if bar is not None:
            bar.finish()
    return RunOutcome.of(outcome.url, outcome.result, directory)
