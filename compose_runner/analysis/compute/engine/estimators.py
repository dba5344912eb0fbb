"""NiMARE's estimators with our permutation steps behind them.

Each class overrides the permutation step of NiMARE's class of the same name and nothing else: what is fitted, what is
drawn, and how nulls become maps and texts is NiMARE's own code. Where a kernel does not reproduce a configuration
exactly, NiMARE's own step runs, and the log says so.

An instance pickles as an instance of NiMARE's class, so that a saved result opens wherever NiMARE is installed; a copy
stays what it is.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from nimare.meta.cbma import ale as nimare_ale
from nimare.meta.cbma import mkda as nimare_mkda
from nimare.meta.cbma.base import _histogram_bin_edges
from nimare.meta.cbma.permutation import CoveragePlan, PermutationPlan, ale_plan_for, kda_plan_for
from nimare.meta.cbma.utils import require_masked_csr
from nimare.nimads import Studyset
from nimare.utils import (
    DEFAULT_FLOAT_DTYPE,
    _mask_coverage_to_null_ijk,
    _mask_img_to_bool,
    _seed_sequence,
)
from scipy import sparse

from compose_runner.analysis.compute.engine.foci_permutations import (
    CountPermutations,
    FociStructure,
    UnionPermutations,
    log_complement,
)
from compose_runner.analysis.compute.engine.histogram_permutations import CountNull, UnionNull
from compose_runner.analysis.compute.engine.label_permutations import (
    Chi2Permutations,
    LabelOrders,
    SubtractionPermutations,
)
from compose_runner.analysis.compute.engine.monitor import unseen_iterations
from compose_runner.analysis.compute.engine.runs import available_cores, run_permutations
from compose_runner.analysis.compute.engine.scale_permutations import (
    ScalePermutations,
    compute_statistic,
    prepare_scale_permutations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LOGGER = logging.getLogger("compose_runner.analysis.compute.engine")


class _NiMAREInstance:
    """Pickling as, and copying apart from, the NiMARE class an estimator extends."""

    nimare_class: ClassVar[type]

    def __reduce_ex__(self, protocol: Any) -> Any:
        # not through copyreg, which refuses to make an instance of another class than the pickled one's
        return object.__new__, (self.nimare_class,), self.__dict__

    def __copy__(self) -> Any:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        # NiMARE copies an estimator with its studysets into every result; nothing changes a fitted one's studysets.
        memo.update((id(value), value) for value in self.__dict__.values() if isinstance(value, Studyset))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made


def as_nimare(estimator: Any) -> Any:
    """Return an estimator of NiMARE's own class with the same state; one that is NiMARE's own is returned as it is."""
    if not isinstance(estimator, _NiMAREInstance):
        return estimator
    nimare_class: Any = estimator.nimare_class
    made = nimare_class.__new__(nimare_class)
    made.__dict__.update(estimator.__dict__)
    return made


def log_path(estimator: Any, step: str, reason: str | None) -> None:
    """Say which path a Monte Carlo step takes.

    Parameters
    ----------
    estimator : Estimator
        Whose step it is.
    step : str
        The step, in words.
    reason : str or None
        Why our kernel does not apply; None when it does.
    """
    name = type(estimator).__name__
    if reason is None:
        LOGGER.info("%s: %s runs on compose-runner's kernel", name, step)
    else:
        LOGGER.info("%s: %s runs on NiMARE's own path: %s", name, step, reason)


class _PreparedDraws:
    """Stands for NiMARE's generator while NiMARE reads maxima that have been computed already."""

    def choice(self, n: int, size: tuple[int, int]) -> NDArray[np.int64]:
        """Return the smallest table that has one column per permutation."""
        return np.zeros((1, size[1]), dtype=np.int64)


class _FociStep(_NiMAREInstance):
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


class _LabelStep(_NiMAREInstance):
    """The permutation of labels, for estimators of two groups."""

    def _label_orders(self, stream: str, n_first: int, n_total: int) -> tuple[LabelOrders, str]:
        """Return NiMARE's random orders, and what identifies them."""
        estimator: Any = self
        seed = estimator.random_state
        parent = None if seed is None else _seed_sequence(seed, stream=stream)
        # Without a seed NiMARE numbers the permutations, so that they are the same every time.
        return LabelOrders(estimator._permute_pairwise_group_indices, parent, n_first, n_total), f"{stream}-{seed}"


class MKDAChi2(_LabelStep, nimare_mkda.MKDAChi2):  # type: ignore[misc]
    """NiMARE's ``MKDAChi2`` with compiled label permutations."""

    nimare_class = nimare_mkda.MKDAChi2
    _maxima: NDArray[np.float64] | None = None

    def correct_fwe_montecarlo(
        self, result: Any, voxel_thresh: float = 0.001, n_iters: int = 1000, n_cores: int = 1
    ) -> Any:
        """Perform FWE correction as NiMARE's estimator of the same name does; see there."""
        run, reason = self._label_permutations(voxel_thresh, n_iters)
        log_path(self, "the FWE correction", reason)
        if run is None:
            return super().correct_fwe_montecarlo(result, voxel_thresh=voxel_thresh, n_iters=n_iters, n_cores=n_cores)
        self._maxima = run_permutations(run, available_cores(n_cores)).rows
        try:
            with unseen_iterations():
                return super().correct_fwe_montecarlo(result, voxel_thresh=voxel_thresh, n_iters=n_iters, n_cores=1)
        finally:
            del self._maxima

    def _label_permutations(self, voxel_thresh: float, n_iters: int) -> tuple[Chi2Permutations | None, str | None]:
        if self.fwe_null_method != "label-permutation":
            return None, f"its null is {self.fwe_null_method}"
        if n_iters < 1:
            return None, "no iterations"
        first, second = (
            require_masked_csr(self.kernel_transformer.transform(self.inputs_[key], self.masker, return_type="sparse"))
            for key in ("coordinates1", "coordinates2")
        )
        pooled = sparse.vstack([first, second], format="csr")
        if not (pooled.data == 1).all():
            return None, "its maps are not binary"
        from scipy.stats import chi2  # every distribution there is, which no other step needs

        orders, seed = self._label_orders("chi2_label_permutations", first.shape[0], pooled.shape[0])
        mask = _mask_img_to_bool(self.masker.mask_img)
        return Chi2Permutations(orders, pooled, mask, float(chi2.isf(voxel_thresh, 1)), int(n_iters), seed), None

    def _run_label_perm_fwe_permutation(self, i_iter: int, *args: Any, **kwargs: Any) -> Any:
        if self._maxima is not None:
            return tuple(self._maxima[i_iter])
        return super()._run_label_perm_fwe_permutation(i_iter, *args, **kwargs)


class ALESubtraction(_LabelStep, nimare_ale.ALESubtraction):  # type: ignore[misc]
    """NiMARE's ``ALESubtraction`` with compiled label permutations."""

    nimare_class = nimare_ale.ALESubtraction

    def _run_null_permutations(
        self,
        ma_store: Any,
        n_iters: int,
        n_cores: int,
        diff_ale_values: Any = None,
        iter_diff_values: Any = None,
        group1_mask: Any = None,
        group2_mask: Any = None,
    ) -> Any:
        groups = (ma_store.group1, ma_store.group2)
        reason = None if all(sparse.issparse(group) for group in groups) else "its maps are in chunks on disk"
        log_path(self, "the permutation of labels", reason)
        if reason is not None:
            return super()._run_null_permutations(
                ma_store, n_iters, n_cores, diff_ale_values, iter_diff_values, group1_mask, group2_mask
            )
        orders, seed = self._label_orders("alesubtraction_permutations", ma_store.n_group1, ma_store.n_total)
        masked = group1_mask is not None or group2_mask is not None
        nowhere = np.zeros(ma_store.n_voxels, dtype=bool)
        upper, lower = (nowhere if masked and mask is None else mask for mask in (group1_mask, group2_mask))
        run = SubtractionPermutations(
            orders,
            *groups,
            int(n_iters),
            seed,
            observed=diff_ale_values,
            upper=upper,
            lower=lower,
            differences=iter_diff_values,
        )
        null = run_permutations(run, available_cores(n_cores))
        extremes = null.rows[:, 0].astype(DEFAULT_FLOAT_DTYPE)
        if diff_ale_values is None:
            return extremes, None, None
        tails = [null.sums[name].astype(np.uint32) for name in ("upper", "lower")]
        if masked:
            return extremes, *self._finalize_masked_alediff_tail_counts(
                *tails, diff_ale_values, group1_mask, group2_mask, n_iters
            )
        return extremes, *self._finalize_alediff_tail_counts(*tails, n_iters)


class SCALE(_NiMAREInstance, nimare_ale.SCALE):  # type: ignore[misc]
    """NiMARE's ``SCALE`` with compiled permutations."""

    nimare_class = nimare_ale.SCALE
    _fitting = False
    _run: ScalePermutations | None = None

    def _fit(self, dataset: Any) -> Any:
        self._fitting = True
        try:
            return super()._fit(dataset)
        finally:
            del self._fitting
            self.__dict__.pop("_run", None)

    def _prepare_permutations(self, n_iters: int) -> Any:
        run, reason = prepare_scale_permutations(self, n_iters)
        log_path(self, "the voxels' null" if self._fitting else "the FWE correction", reason)
        if run is None:
            return super()._prepare_permutations(n_iters)
        return None, None, None, run  # in place of the table of draws

    def _iterate_permuted_stats(
        self, sampled_voxel_idx: Any, voxel_ijk: Any, iter_df: Any, permutation_args: Any, n_cores: int
    ) -> Any:
        if not isinstance(sampled_voxel_idx, ScalePermutations):
            return super()._iterate_permuted_stats(sampled_voxel_idx, voxel_ijk, iter_df, permutation_args, n_cores)
        if self._fitting:
            self._run = sampled_voxel_idx  # runs when NiMARE hands over the observed map
            return iter(())
        # The correction takes each map's maximum, and the maximum of a maximum is itself.
        return iter(compute_statistic(run_permutations(sampled_voxel_idx, available_cores(n_cores)).rows[:, 0]))

    def _scale_to_p(self, stat_values: Any, scale_values: Any) -> Any:
        if self._run is not None:
            found = run_permutations(self._run.against(stat_values), available_cores(self.n_cores))
            scale_values = found.sums["exceedances"].astype(scale_values.dtype)
        return super()._scale_to_p(stat_values, scale_values)


ESTIMATORS: dict[str, type] = {made.__name__: made for made in (ALE, MKDADensity, KDA, MKDAChi2, ALESubtraction, SCALE)}


def estimator_class(name: str, nimare_class: type, engine: str = "auto") -> type:
    """Return the class to use for an estimator of a specification.

    Parameters
    ----------
    name : str
        NiMARE's name of the estimator.
    nimare_class : type
        NiMARE's own class.
    engine : {"auto", "nimare"}, optional
        ``"nimare"`` forces NiMARE's own permutations.

    Raises
    ------
    ValueError
        An engine of another name.
    """
    if engine not in ("auto", "nimare"):
        raise ValueError(f"engine must be 'auto' or 'nimare', not {engine!r}")
    ours = ESTIMATORS.get(name)
    if engine == "nimare" or ours is None or not issubclass(ours, nimare_class):
        return nimare_class
    return ours
