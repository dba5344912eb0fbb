"""Fit, correct and diagnose: NiMARE's workflow for one group, two groups or images, stage by stage.

The steps are those of :class:`nimare.workflows.CBMAWorkflow` and its siblings; what is added is that each stage can be
seen, that a diagnostic which fails costs its own tables only, and that a specification without a corrector gets no
correction (the workflows would silently run a Monte Carlo one of thousands of iterations).
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from nimare.correct import FDRCorrector
from nimare.diagnostics import Diagnostics, FocusCounter, Jackknife
from nimare.meta.cbma.base import PairwiseCBMAEstimator
from nimare.meta.ibma import IBMAEstimator
from nimare.transforms import ImageTransformer
from nimare.workflows import CBMAWorkflow, IBMAWorkflow, PairwiseCBMAWorkflow

from compose_runner.analysis.problems import Problems
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
    problems = problems or Problems()
    workflow.diagnostics = [_Described(diagnostic, problems) for diagnostic in workflow.diagnostics]
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


class _Described:
    """A diagnostic in a workflow whose failure leaves the maps, and the table of clusters if that can be made.

    Parameters
    ----------
    diagnostic : nimare.diagnostics.Diagnostics
        What describes a map; it is what the result keeps.
    problems : Problems
        Records a failure.
    """

    def __init__(self, diagnostic: Diagnostics, problems: Problems) -> None:
        self.diagnostic = diagnostic
        self._problems = problems

    def __deepcopy__(self, memo: dict[int, Any]) -> _Described:
        return _Described(copy.deepcopy(self.diagnostic, memo), self._problems)

    def set_params(self, **parameters: Any) -> _Described:
        self.diagnostic.set_params(**parameters)
        return self

    def transform(self, result: MetaResult) -> MetaResult:
        name, target = type(self.diagnostic).__name__, self.diagnostic.target_image
        before = dict(result.maps), dict(result.tables), len(result.diagnostics)
        with self._problems.costing(f"diagnostic {name} of {target}"):
            return self.diagnostic.transform(result)
        _put_back(result, *before)
        with self._problems.costing(f"table of the clusters of {target}"):
            _Clusters(
                target_image=target,
                target_threshold=self.diagnostic.target_threshold,
                cluster_threshold=self.diagnostic.cluster_threshold,
            ).describe(result)
            result.diagnostics.append(self.diagnostic)
            return result
        _put_back(result, *before)
        # the report shows the map all the same, at the diagnostic's threshold
        result.diagnostics.append(self.diagnostic)
        return result


class _Clusters(Diagnostics):  # type: ignore[misc]
    """The table of clusters and the label maps of a diagnostic, without the contributions of the experiments."""

    def describe(self, result: MetaResult) -> None:
        """Add them to the result."""
        n_diagnostics = len(result.diagnostics)
        self.transform(result)
        del result.diagnostics[n_diagnostics:]
        for name in [name for name in result.tables if f"_diag-{type(self).__name__}_" in name]:
            del result.tables[name]

    def _transform(
        self,
        expid: str,
        label_map: Any,
        sign: str,
        result: MetaResult,
        target_value_map: str | None = None,
        cluster_summary_context: Any = None,
    ) -> float:
        return 0.0


def _put_back(result: MetaResult, maps: dict[str, Any], tables: dict[str, Any], n_diagnostics: int) -> None:
    """Take out of a result what was added to it."""
    result.maps.clear()
    result.maps.update(maps)
    result.tables.clear()
    result.tables.update(tables)
    del result.diagnostics[n_diagnostics:]


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
