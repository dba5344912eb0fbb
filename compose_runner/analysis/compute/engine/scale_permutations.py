"""The permutations of SCALE, ready to run: foci drawn from a pool of coordinates, every voxel compared."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from nimare.meta.utils import _kernel_to_sparse_support, get_ale_kernel
from nimare.utils import DEFAULT_FLOAT_DTYPE, _mask_img_to_bool, mm2vox

from compose_runner.analysis.compute.engine.ale_kernels import ale_exceedances
from compose_runner.analysis.compute.engine.foci_permutations import (
    FociPermutations,
    FociStructure,
    FociWorker,
    SparseKernel,
    kernel_reach,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# exp(-HIGHEST) is 0 beside 1: no sum below it changes a statistic.
_HIGHEST = 800.0


def compute_statistic(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ALE for sums of ``log(1 - value)``, by the operations of NiMARE's ``_compute_ale_summarystat``."""
    return (1.0 - np.exp(sums)).astype(DEFAULT_FLOAT_DTYPE)


def sums_reaching(observed: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return for each voxel the highest sum whose :func:`compute_statistic` is at or above the observed one.

    Parameters
    ----------
    observed : ndarray
        Observed ALE.

    Returns
    -------
    ndarray of float64
        0 where the statistic is always reached, minus infinity where it never is.
    """
    # Bisection over all doubles: those of one sign are in the order of their bits.
    below = np.zeros(len(observed), dtype=np.int64)
    above = np.full(len(observed), _HIGHEST).view(np.int64)
    never = ~(compute_statistic(-above.view(np.float64)) >= observed)
    while (above - below > 1).any():
        middle = below + (above - below) // 2
        reached = compute_statistic(-middle.view(np.float64)) >= observed
        above = np.where(reached, middle, above)
        below = np.where(reached, below, middle)
    limits = np.where(observed <= 0, 0.0, -above.view(np.float64))
    return np.where(never, -np.inf, limits)


class ScalePermutations(FociPermutations):
    """Permutations of SCALE: how often each voxel reaches an observed map, and the lowest sum of each permutation.

    Parameters
    ----------
    structure : FociStructure
        Layout, studies in NiMARE's order, draws. The layout is the mask and whatever box holds the pool's voxels.
    order : ndarray of int64
        The place among NiMARE's draws of each focus of the structure.
    in_mask : ndarray of bool
        The analysis mask, in the layout's volume.
    kernels : list of (offsets, values)
        ``log(1 - value)``, as NiMARE computes it.
    group_kernel : ndarray of int64
        Which kernel each study has.
    """

    n_columns = 1

    def __init__(
        self,
        structure: FociStructure,
        order: NDArray[np.int64],
        in_mask: NDArray[np.bool_],
        kernels: list[SparseKernel],
        group_kernel: NDArray[np.int64],
    ) -> None:
        super().__init__(structure, structure.plan(kernels, np.float64, group_kernel, exact=True))
        self.order = order
        self.voxel_cell = np.ascontiguousarray(self.plan.grid.mask_cells()[in_mask[structure.mask]])
        self.limits = np.full(len(self.voxel_cell), -np.inf)
        self.name = self._digest()

    def _digest(self) -> str:
        parts = (self.order, self.voxel_cell, self.plan.kernels.exact, self.plan.studies.kernel, self.limits)
        return self.structure.digest(*parts)

    def against(self, observed: NDArray[np.floating[Any]]) -> ScalePermutations:
        """Return the same permutations, compared with an observed map; without one nothing is counted."""
        made = copy.copy(self)
        made.limits = sums_reaching(observed)
        made.name = made._digest()
        return made

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of drawn foci."""
        for column, draws, length in super().blocks(first, last):
            yield column, np.ascontiguousarray(draws[:, self.order]), length

    def worker(self) -> _ScaleWorker:
        """Make the scratch of one more thread."""
        return _ScaleWorker(self)


class _ScaleWorker(FociWorker):
    def __init__(self, permutations: ScalePermutations) -> None:
        super().__init__(permutations.plan)
        self.run = permutations
        self.sums = {"exceedances": np.zeros(len(permutations.voxel_cell), dtype=np.int64)}

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run, counts = self.run, self.sums["exceedances"]
        draws, out = block[start:stop], rows[start:stop]
        ale_exceedances(draws, run.plan, self.foci, self.cell_sums, run.voxel_cell, run.limits, counts, out)


def prepare_scale_permutations(estimator: Any, n_iters: int) -> tuple[ScalePermutations | None, str | None]:
    """Prepare permutations of a fitted SCALE, or say why our kernel does not apply.

    Parameters
    ----------
    estimator : SCALE
        With its inputs collected.
    n_iters : int
        Number of permutations.

    Returns
    -------
    permutations : ScalePermutations or None
    reason : str or None
        Why there is none.
    """
    coordinates = estimator.inputs_["coordinates"]
    pool = mm2vox(estimator.xyz, estimator.masker.mask_img.affine).astype(np.int32, copy=False)
    arguments = estimator._prepare_permutation_args(coordinates)
    if arguments is None:
        return None, f"its kernel is {type(estimator.kernel_transformer).__name__}"
    if n_iters < 1 or not len(pool) or not len(coordinates):
        return None, "there is nothing to permute"
    # NiMARE adds the studies in the order of their sorted ids.
    ids, group = np.unique(arguments["exp_idx"], return_inverse=True)
    order = np.argsort(group, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(ids)))]).astype(np.int64)
    kernels, group_kernel = _find_kernels(estimator.masker.mask_img, arguments, order[offsets[:-1]])
    if kernels is None:
        return None, "NiMARE's logarithm of its kernel is not monotonic, or a sample size is not a number"
    mask = _mask_img_to_bool(estimator.masker.mask_img)
    in_mask, layout, null_ijk = _lay_out(mask, pool, kernel_reach(kernels))
    stream = "scale_permutations"
    structure = FociStructure(
        mask=layout,
        null_ijk=null_ijk,
        offsets=offsets,
        generator=estimator._get_rng(stream),
        n_iters=int(n_iters),
        seed="" if estimator.random_state is None else f"{stream}-{estimator.random_state}",
    )
    return ScalePermutations(structure, order, in_mask, kernels, group_kernel), None


def _find_kernels(
    mask_img: Any, arguments: dict[str, Any], first_foci: NDArray[np.int64]
) -> tuple[list[SparseKernel] | None, NDArray[np.int64]]:
    """Return the kernels that ``compute_ale_ma`` takes for these arguments, and which one each study has."""
    one = np.zeros(len(first_foci), dtype=np.int64)
    sizes = arguments["sample_sizes"]
    if arguments["use_dict"]:
        widths = np.asarray(sizes[first_foci], dtype=np.float64)
        if not (widths > 0).all():
            return None, one
        unique, one = np.unique(widths, return_inverse=True)
        dense = [get_ale_kernel(mask_img, sample_size=size)[1] for size in unique]
    elif sizes is not None:
        if not isinstance(sizes, int):
            return None, one
        dense = [get_ale_kernel(mask_img, sample_size=sizes)[1]]
    else:
        dense = [arguments["kernel"]]
    made = []
    for offsets, values in map(_kernel_to_sparse_support, dense):
        # NiMARE takes the highest value of a study's foci and its logarithm in single precision then; the lowest
        # logarithm is the same as long as no higher value has a higher one.
        if (np.diff(np.log1p(-np.unique(values))) > 0).any():
            return None, one
        made.append((offsets, np.log1p(-values).astype(np.float64)))
    return made, one


def _lay_out(
    mask: NDArray[np.bool_], pool: NDArray[np.int32], reach: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32]]:
    """Pad the mask for a pool whose voxels may lie outside of it, or of the volume.

    A voxel too far away to reach the volume is moved to where it still does not.
    """
    margin = reach + 1
    in_mask = np.pad(mask, margin)
    moved = np.clip(pool + margin, 0, np.array(in_mask.shape) - 1).astype(np.int32)
    layout = in_mask.copy()
    layout[tuple(moved.min(axis=0))] = layout[tuple(moved.max(axis=0))] = True
    return in_mask, layout, moved
