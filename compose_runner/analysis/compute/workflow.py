"""Fit, correct and diagnose: NiMARE's workflow for one group, two groups or images, stage by stage.

The steps are those of :class:`nimare.workflows.CBMAWorkflow` and its siblings; what is added is that each stage can be
seen, that every result is described where its clusters are significant
(:mod:`compose_runner.analysis.compute.description`), and that a specification without a corrector gets no correction
(the workflows would silently run a Monte Carlo one of thousands of iterations).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from nimare.correct import FDRCorrector
from nimare.meta.cbma.base import PairwiseCBMAEstimator
from nimare.meta.ibma import IBMAEstimator
from nimare.transforms import ImageTransformer
from nimare.workflows import CBMAWorkflow, IBMAWorkflow, PairwiseCBMAWorkflow

from compose_runner.analysis.compute.description import describe_maps
from compose_runner.analysis.problems import Problems
from compose_runner.progress import Progress, Stage

if TYPE_CHECKING:
    from nimare.correct import Corrector
    from nimare.estimator import Estimator
    from nimare.nimads import Studyset
    from nimare.results import MetaResult
    from nimare.workflows.base import Workflow

# NiMARE's jackknife starts processes that each import NiMARE, about ten seconds of work; a refit takes one or less
_JACKKNIFE_IN_PROCESSES_FROM = 40


def run_meta_analysis(
    first: Studyset,
    second: Studyset | None,
    estimator: Estimator,
    corrector: Corrector | None,
    *,
    n_cores: int = 1,
    progress: Progress | None = None,
    problems: Problems | None = None,
) -> MetaResult:
    """Run one meta-analysis.

    Parameters
    ----------
    first, second : nimare.nimads.Studyset
        The groups; ``second`` only for a pairwise estimator.
    estimator : nimare.estimator.Estimator
        What computes the statistic.
    corrector : nimare.correct.Corrector or None
        What corrects for multiple comparisons. Without one, clusters are described on the uncorrected z maps.
    n_cores : int
        Cores for the diagnostics; estimator and corrector have their own.
    progress : Progress, optional
        Called when a stage begins.
    problems : Problems, optional
        Records which diagnostics failed.

    Returns
    -------
    nimare.results.MetaResult
        Maps and tables under NiMARE's own names.
    """
    progress = progress or Progress()
    workflow = _workflow(estimator, corrector or FDRCorrector(), n_cores, len(first.ids))
    # NiMARE's workflow makes the diagnostic; which maps it describes, and where their clusters begin, is chosen here
    (diagnostic,), workflow.diagnostics = workflow.diagnostics, []
    groups = (first,) if second is None else (first, second)
    progress.start(Stage.FIT)
    if corrector is None:
        result = _without_correction(workflow, groups)
        progress.start(Stage.DIAGNOSE)
    else:
        _announce_correction(workflow, progress)
        result = workflow.fit(*groups)
    return describe_maps(result, diagnostic, problems or Problems())


def _workflow(estimator: Estimator, corrector: Corrector, n_cores: int, n_analyses: int) -> Workflow:
    kinds: dict[type, tuple[type[Workflow], str]] = {
        PairwiseCBMAEstimator: (PairwiseCBMAWorkflow, "focuscounter"),
        IBMAEstimator: (IBMAWorkflow, "jackknife"),
    }
    workflow, diagnostics = next(
        (chosen for kind, chosen in kinds.items() if isinstance(estimator, kind)),
        (CBMAWorkflow, "focuscounter"),
    )
    if diagnostics != "jackknife" or n_analyses < _JACKKNIFE_IN_PROCESSES_FROM:
        n_cores = 1  # a second process needs longer to start than this takes
    return workflow(estimator=estimator, corrector=corrector, diagnostics=diagnostics, n_cores=n_cores)


def _announce_correction(workflow: Workflow, progress: Progress) -> None:
    """Begin the stages around the corrector's step.

    The hook takes itself off before the step runs: NiMARE keeps the corrector in the result, which is pickled.
    """
    corrector = workflow.corrector = copy.copy(workflow.corrector)

    def transform(result: MetaResult) -> MetaResult:
        del corrector.transform
        progress.start(Stage.CORRECT)
        corrected = corrector.transform(result)
        progress.start(Stage.DIAGNOSE)
        return corrected

    corrector.transform = transform


def _without_correction(workflow: Workflow, groups: tuple[Studyset, ...]) -> MetaResult:
    if isinstance(workflow, IBMAWorkflow):
        targets = list(workflow.estimator._image_input_fields().values())
        groups = tuple(ImageTransformer(target=targets).transform(group) for group in groups)
    result = workflow.estimator.fit(*groups)
    result.corrector = None
    return result
