"""NiMARE's estimators of one group with our permutations of foci behind them."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from nimare.meta.cbma import ale as nimare_ale
from nimare.meta.cbma import mkda as nimare_mkda
from nimare.meta.cbma.base import _histogram_bin_edges
from nimare.meta.cbma.permutation import CoveragePlan, PermutationPlan, ale_plan_for, kda_plan_for
from nimare.utils import (
    _mask_coverage_to_null_ijk,
    _mask_img_to_bool,
)

from compose_runner.analysis.compute.engine.foci_permutations import (
    CountPermutations,
    FociStructure,
    UnionPermutations,
    log_complement,
)
from compose_runner.analysis.compute.engine.histogram_permutations import CountNull, UnionNull
from compose_runner.analysis.compute.engine.monitor import unseen_iterations
from compose_runner.analysis.compute.engine.nimare_instances import NiMAREInstance, log_path
from compose_runner.analysis.compute.engine.runs import available_cores, run_permutations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class _PreparedDraws:
    """Stands for NiMARE's generator while NiMARE reads maxima that have been computed already."""

    def choice(self, n: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """Return the smallest table that has one column per permutation."""
        return np.zeros((1, size[1]), dtype=np.int64)


class _FociStep(NiMAREInstance):
    """The permutation of foci, for estimators of one group."""

    _maxima: Iterator[tuple[Any, Any, Any]] | None = None

    def correct_fwe_montecarlo(
        self,
        result: Any,
        voxel_thresh: float = 0.001,
        n_iters: int = 5000,
        n_cores: int = 1,
        vfwe_only: bool = False,
    ) -> Any:
        """Perform FWE correction as NiMARE's estimator of the same name does; see there."""
        arguments = {"voxel_thresh": voxel_thresh, "n_iters": n_iters, "vfwe_only": vfwe_only}
        estimator: Any = self
        whole: Any = super()
        if not (vfwe_only and estimator.null_method == "montecarlo"):
            threshold = None if vfwe_only else float(estimator._p_to_summarystat(voxel_thresh))
            run, reason = prepare_foci_permutations(estimator, "correct_fwe_montecarlo", n_iters, threshold)
            log_path(self, "the FWE correction", reason)
            if run is not None:
                rows = run_permutations(run, available_cores(n_cores)).rows
                with self._reading(rows, vfwe_only):
                    return whole.correct_fwe_montecarlo(result, n_cores=1, **arguments)
        return whole.correct_fwe_montecarlo(result, n_cores=n_cores, **arguments)

    def _compute_null_montecarlo(self, n_iters: int, n_cores: int) -> Any:
        estimator: Any = self
        run, reason = prepare_foci_permutations(estimator, "null_montecarlo", n_iters, None)
        null: UnionNull | CountNull | None = None
        if run is not None:
            edges = _histogram_bin_edges(estimator.null_distributions_["histogram_bins"])
            if isinstance(run, CountPermutations):
                null = CountNull(run, edges)
            elif run.is_log:
                null = UnionNull(run, edges)
            else:
                reason = "unequal weights"
        log_path(self, "the Monte Carlo null", reason)
        if null is None:
            return super()._compute_null_montecarlo(n_iters, n_cores)  # type: ignore[misc]
        found = run_permutations(null, available_cores(n_cores))
        histogram = found.sums["histogram"]
        last_bins = np.bincount(found.rows[:, 0].astype(np.int64), minlength=len(histogram))
        estimator.null_distributions_["histweights_corr-none_method-montecarlo"] = histogram
        estimator.null_distributions_["histweights_level-voxel_corr-fwe_method-montecarlo"] = last_bins
        return None

    @contextlib.contextmanager
    def _reading(self, rows: NDArray[np.float64], vfwe_only: bool) -> Iterator[None]:
        """Let NiMARE's code read these maxima, one permutation after another, instead of computing them."""
        if vfwe_only:
            self._maxima = ((row[0], None, None) for row in rows)
        else:
            self._maxima = (tuple(row) for row in rows)
        try:
            with unseen_iterations():
                yield
        finally:
            del self._maxima

    def _get_rng(self, stream: str) -> Any:
        if self._maxima is not None and stream == "correct_fwe_montecarlo":
            return _PreparedDraws()
        return super()._get_rng(stream)  # type: ignore[misc]

    def _correct_fwe_montecarlo_permutation(self, *args: Any, **kwargs: Any) -> Any:
        if self._maxima is not None:
            return next(self._maxima)
        return super()._correct_fwe_montecarlo_permutation(*args, **kwargs)  # type: ignore[misc]


def prepare_foci_permutations(
    estimator: Any, stream: str, n_iters: int, threshold: float | None
) -> tuple[UnionPermutations | CountPermutations | None, str | None]:
    """Prepare permutations of a fitted estimator's foci, or say why our kernels do not apply.

    Parameters
    ----------
    estimator : ALE, MKDADensity or KDA
        Fitted.
    stream : str
        NiMARE's name of the step that draws.
    n_iters : int
        Number of permutations.
    threshold : float or None
        Cluster-defining statistic; None when only the maximum is wanted.

    Returns
    -------
    permutations : UnionPermutations, CountPermutations or None
    reason : str or None
        Why there is none.
    """
    coordinates = estimator.inputs_["coordinates"]
    if len(coordinates) < 2:
        return None, "a single focus"
    if n_iters < 1:
        return None, "no iterations"
    block = getattr(estimator, "blocks_", {}).get("coordinates")
    builder = ale_plan_for if isinstance(estimator, nimare_ale.ALE) else kda_plan_for
    plan = builder(estimator, coordinates, block)
    if plan is None:
        return None, f"its kernel is {type(estimator.kernel_transformer).__name__}, or its studies are not in order"
    mask = _mask_img_to_bool(estimator.masker.mask_img)
    structure = FociStructure(
        mask=mask,
        null_ijk=_mask_coverage_to_null_ijk(estimator.masker, mask_coverage=estimator.mask_coverage),
        offsets=np.ascontiguousarray(plan.offsets, dtype=np.int64),
        generator=estimator._get_rng(stream),
        n_iters=int(n_iters),
        seed="" if estimator.random_state is None else f"{stream}-{estimator.random_state}",
    )
    if isinstance(plan, PermutationPlan):
        return _prepare_ale(plan, structure, threshold), None
    return _prepare_density(estimator, plan, structure, threshold)


def _prepare_ale(plan: PermutationPlan, structure: FociStructure, threshold: float | None) -> UnionPermutations:
    starts = plan.kernel_starts
    kernels = [
        (plan.kernel_offsets[first:last], log_complement(plan.kernel_values[first:last]))
        for first, last in itertools.pairwise(starts)
    ]
    ones = np.ones(plan.n_groups)
    return UnionPermutations(structure, kernels, plan.group_kernel, ones, is_log=True, threshold=threshold)


def _prepare_density(
    estimator: Any, plan: CoveragePlan, structure: FociStructure, threshold: float | None
) -> tuple[UnionPermutations | CountPermutations | None, str | None]:
    weights = getattr(estimator, "weight_vec_", None)
    weights = np.ones(plan.n_groups) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    if len(weights) != plan.n_groups:
        weights = np.ones(plan.n_groups)
    if not plan.value > 0 or not (weights > 0).all():
        return None, "a weight or the kernel's value is not positive"
    if (weights == weights[0]).all():
        contribution = float(weights[0]) * plan.value
        return CountPermutations(structure, plan.kernel_offsets, contribution, plan.sum_overlap, threshold), None
    if plan.sum_overlap:
        return None, "unequal weights with a kernel that counts every focus"
    kernel = (plan.kernel_offsets, np.full(len(plan.kernel_offsets), -plan.value))
    one_kernel = np.zeros(plan.n_groups, dtype=np.int64)
    return UnionPermutations(structure, [kernel], one_kernel, weights, is_log=False, threshold=threshold), None


class ALE(_FociStep, nimare_ale.ALE):  # type: ignore[misc]
    """NiMARE's ``ALE`` with compiled permutations."""

    nimare_class = nimare_ale.ALE


class MKDADensity(_FociStep, nimare_mkda.MKDADensity):  # type: ignore[misc]
    """NiMARE's ``MKDADensity`` with compiled permutations."""

    nimare_class = nimare_mkda.MKDADensity


class KDA(_FociStep, nimare_mkda.KDA):  # type: ignore[misc]
    """NiMARE's ``KDA`` with compiled permutations."""

    nimare_class = nimare_mkda.KDA
