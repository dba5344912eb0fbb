"""NiMARE's SCALE with our permutations behind it."""

from __future__ import annotations

from typing import Any

from nimare.meta.cbma import ale as nimare_ale

from compose_runner.analysis.compute.engine.nimare_instances import NiMAREInstance, log_path
from compose_runner.analysis.compute.engine.runs import available_cores, run_permutations
from compose_runner.analysis.compute.engine.scale_permutations import (
    ScalePermutations,
    compute_statistic,
    prepare_scale_permutations,
)


class SCALE(NiMAREInstance, nimare_ale.SCALE):  # type: ignore[misc]
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
