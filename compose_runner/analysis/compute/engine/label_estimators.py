"""NiMARE's estimators of two groups with our permutations of labels behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nimare.meta.cbma import ale as nimare_ale
from nimare.meta.cbma import mkda as nimare_mkda
from nimare.meta.cbma.utils import require_masked_csr
from nimare.utils import (
    DEFAULT_FLOAT_DTYPE,
    _mask_img_to_bool,
    _seed_sequence,
)
from scipy import sparse

from compose_runner.analysis.compute.engine.label_permutations import (
    Chi2Permutations,
    LabelOrders,
    SubtractionPermutations,
)
from compose_runner.analysis.compute.engine.monitor import unseen_iterations
from compose_runner.analysis.compute.engine.nimare_instances import NiMAREInstance, log_path
from compose_runner.analysis.compute.engine.runs import available_cores, run_permutations

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _LabelStep(NiMAREInstance):
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
