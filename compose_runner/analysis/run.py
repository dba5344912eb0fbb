"""Fit, correct and diagnose: NiMARE's workflow for one group, two groups or images, stage by stage.

The steps are those of :class:`nimare.workflows.CBMAWorkflow` and its siblings; what is added is that each stage can be
seen, and that a specification without a corrector gets no correction (the workflows would silently run a Monte Carlo
one of thousands of iterations).
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from nimare.correct import FDRCorrector
from nimare.diagnostics import FocusCounter, Jackknife
from nimare.meta.cbma.base import PairwiseCBMAEstimator
from nimare.meta.ibma import IBMAEstimator
from nimare.transforms import ImageTransformer
from nimare.workflows import CBMAWorkflow, IBMAWorkflow, PairwiseCBMAWorkflow

from compose_runner.progress import Progress, Stage

if TYPE_CHECKING:
    from nimare.correct import Corrector
    from nimare.estimator import Estimator
    from nimare.nimads import Studyset
    from nimare.results import MetaResult
    from nimare.workflows.base import Workflow

log = logging.getLogger(__name__)

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
        Told when each stage begins.

    Returns
    -------
    nimare.results.MetaResult
        Maps and tables under NiMARE's own names.
    """
    progress = progress or Progress()
    workflow = _workflow(estimator, corrector or FDRCorrector(), n_cores, len(first.ids))
    groups = (first,) if second is None else (first, second)
    progress.start(Stage.FIT)
    if corrector is None:
        return _without_correction(workflow, groups, progress)
    _announce_correction(workflow, progress)
    return workflow.fit(*groups)


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


def _without_correction(workflow: Workflow, groups: tuple[Studyset, ...], progress: Progress) -> MetaResult:
    if isinstance(workflow, IBMAWorkflow):
        targets = list(workflow.estimator._image_input_fields().values())
        groups = tuple(ImageTransformer(target=targets).transform(group) for group in groups)
    result = workflow.estimator.fit(*groups)
    result.corrector = None
    progress.start(Stage.DIAGNOSE)
    z_maps = [name for name in result.maps if name == "z" or name.startswith("z_desc-")]
    for z_map in z_maps:
        for diagnostic in workflow.diagnostics:
            result = copy.deepcopy(diagnostic).set_params(target_image=z_map).transform(result)
    return result


def describe_diagnostics(result: MetaResult) -> list[dict[str, Any]]:
    """Which diagnostic ran on which map, with its thresholds, for the record of the run."""
    return [
        {
            "type": type(diagnostic).__name__,
            "target_image": diagnostic.target_image,
            "target_threshold": diagnostic.target_threshold,
            "cluster_threshold": diagnostic.cluster_threshold,
        }
        for diagnostic in result.diagnostics
        if isinstance(diagnostic, FocusCounter | Jackknife)
    ]
