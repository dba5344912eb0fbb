"""From a fitted estimator to permutations of its foci that the kernels can run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from compose_runner.analysis.compute.engine.ale_kernels import AleLimits, AleScratch, ExactScratch, ale_maxima
from compose_runner.analysis.compute.engine.clusters import cluster_scratch
from compose_runner.analysis.compute.engine.draws import FociDraws
from compose_runner.analysis.compute.engine.foci_kernels import Foci, FociPlan, KernelTables, Studies, Sums
from compose_runner.analysis.compute.engine.grid import PaddedGrid, padded_grid
from compose_runner.analysis.compute.engine.mkda_kernels import CountLimits, CountScratch, mkda_maxima
from compose_runner.analysis.compute.engine.simd import LANES_PER_STEP, lanes_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Above so many expected overlaps of a focus with earlier foci of its study, the study's own map is built first.
DENSE_OVERLAPS = 3.0
# A count per voxel is kept in 16 bits while it surely fits.
SMALL_COUNT = 30_000


@njit(cache=True)  # type: ignore[untyped-decorator]
def _log_complement(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    # Compiled, because NiMARE's permutation step is: the two must use the same logarithm.
    for i in range(values.shape[0]):
        out[i] = np.log1p(-np.float64(values[i]))


def log_complement(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``log(1 - value)`` in double precision, as NiMARE's compiled permutation step computes it."""
    out = np.empty(len(values))
    _log_complement(values, out)
    return out


# The voxels that a kernel reaches relative to its centre, and what it adds there.
SparseKernel = tuple["NDArray[Any]", "NDArray[Any]"]


def kernel_reach(kernels: list[SparseKernel]) -> int:
    """Return how many voxels the largest kernel extends from its centre."""
    return max(int(np.abs(offsets).max(initial=0)) for offsets, _ in kernels)


def kernel_tables(kernels: list[SparseKernel], dtype: type, grid: PaddedGrid) -> KernelTables:
    """Lay kernels out for the permutation steps.

    Parameters
    ----------
    kernels : list of (offsets, values)
        For each kernel the voxels it reaches relative to its centre, and what it adds there.
    dtype : type
        Working type of the rows.
    grid : PaddedGrid
        Padded for these kernels.
    """
    n = 2 * grid.reach + 1
    width = len(lanes_for(n))
    exact = np.zeros((len(kernels), n, n, n))
    rows = np.zeros((len(kernels), n * n, 2), dtype=np.int32)
    row_counts = np.zeros(len(kernels), dtype=np.int64)
    for index, (offsets, values) in enumerate(kernels):
        at = np.asarray(offsets, dtype=np.int64) + grid.reach
        exact[index, at[:, 0], at[:, 1], at[:, 2]] = values
        used = np.argwhere(exact[index].any(axis=2))
        rows[index, : len(used)] = used
        row_counts[index] = len(used)
    table: NDArray[Any] = np.zeros((len(kernels), n, n, 3 * width), dtype=dtype)
    table[..., width : width + n] = exact
    row_cells = np.ascontiguousarray(rows[..., 0] * grid.stride_x + rows[..., 1] * grid.stride_y, dtype=np.int32)
    return KernelTables(exact, table.reshape(len(kernels), -1), rows, row_cells, row_counts)


@dataclass(frozen=True)
class FociStructure:
    """What a permutation of foci keeps: the mask, the studies, the pool of voxels, the seed's generator.

    Parameters
    ----------
    mask : ndarray of bool
        Analysis mask.
    null_ijk : ndarray of shape (N, 3)
        Voxels from which foci are drawn.
    offsets : ndarray of shape (S + 1,), int64
        The foci of study ``s`` are ``offsets[s]`` to ``offsets[s + 1]``.
    generator : numpy.random.Generator
        NiMARE's generator for this step.
    n_iters : int
        Number of permutations.
    seed : str
        What identifies the draws; empty without a seed.
    """

    mask: NDArray[np.bool_]
    null_ijk: NDArray[Any]
    offsets: NDArray[np.int64]
    generator: np.random.Generator
    n_iters: int
    seed: str

    def draws(self) -> FociDraws:
        """Return the foci of all permutations; to be called before the generator is used."""
        return FociDraws(self.generator, len(self.null_ijk), int(self.offsets[-1]), self.n_iters)

    def plan(
        self,
        kernels: list[SparseKernel],
        dtype: type,
        group_kernel: NDArray[np.int64] | None = None,
        scale: NDArray[np.float64] | None = None,
        exact: bool = False,
    ) -> FociPlan:
        """Lay everything out for the kernels.

        Parameters
        ----------
        kernels : list of (offsets, values)
            See :func:`kernel_tables`.
        dtype : type
            Working type.
        group_kernel : ndarray of int64, optional
            Which kernel each study has; the first one by default.
        scale : ndarray of float64, optional
            Weight of each study; 1 by default.
        exact : bool, optional
            See :class:`compose_runner.analysis.compute.engine.foci_kernels.Studies`.
        """
        grid = padded_grid(self.mask, self.null_ijk, kernel_reach(kernels))
        sizes = np.diff(self.offsets)
        overlap = (2 * (2 * grid.reach + 1)) ** 3 / max(len(self.null_ijk), 1)
        studies = Studies(
            offsets=self.offsets,
            kernel=_contiguous(np.zeros(len(sizes)) if group_kernel is None else group_kernel, np.int64),
            scale=_contiguous(np.ones(len(sizes)) if scale is None else scale, np.float64),
            dense=(sizes / 2 * min(overlap, 1.0) > DENSE_OVERLAPS).astype(np.bool_),
            exact=exact,
        )
        return FociPlan(grid, kernel_tables(kernels, dtype, grid), studies)

    def digest(self, *parts: Any) -> str:
        """Return a name for these permutations that changes with everything that changes their result."""
        if not self.seed:
            return ""
        made = hashlib.sha256()
        for part in (self.mask, self.null_ijk, self.offsets, self.n_iters, *parts):
            made.update(np.ascontiguousarray(part).tobytes())
        return f"{self.seed}-{made.hexdigest()[:16]}"


def _contiguous(values: Any, dtype: type) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=dtype)


class FociPermutations:
    """What permutations of foci have in common.

    Parameters
    ----------
    structure : FociStructure
        Mask, studies, draws.
    plan : FociPlan
        The same laid out for the kernels.
    """

    name: str
    n_columns = 3

    def __init__(self, structure: FociStructure, plan: FociPlan) -> None:
        self.structure, self.plan = structure, plan
        self.n_iters = structure.n_iters
        self.draws = structure.draws()

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of drawn foci."""
        for column, draws in self.draws.blocks(first, last):
            yield column, draws, len(draws)


class FociWorker:
    """Arrays that one thread writes to; nothing is allocated while permutations run."""

    def __init__(self, plan: FociPlan) -> None:
        dtype, offsets = plan.kernels.table.dtype, plan.studies.offsets
        self.sums: dict[str, NDArray[np.int64]] = {}
        self.foci = Foci(
            ijk=np.zeros((int(offsets[-1]), 3), dtype=np.int32),
            corner=np.zeros(int(offsets[-1]), dtype=np.int32),
            overlaps=np.zeros((int(np.diff(offsets).max()), 3), dtype=np.int32),
        )
        lanes = lanes_for(2 * plan.grid.reach + 1)
        self.cell_sums = Sums(
            total=np.zeros(plan.grid.size, dtype=dtype),
            study=np.zeros(plan.grid.size if plan.studies.exact or plan.studies.dense.any() else 1, dtype=dtype),
            seen=np.zeros(len(lanes), dtype=dtype),
            scale_row=np.zeros(len(lanes), dtype=dtype),
            lanes=lanes,
        )


class UnionPermutations(FociPermutations):
    """Permutations of foci for ALE, and for MKDA with unequal weights: maxima for FWE correction.

    Parameters
    ----------
    structure : FociStructure
        Mask, studies, draws.
    kernels : list of (offsets, values)
        Negative increments: ``log(1 - value)`` for ALE, ``-value`` for a weighted density.
    group_kernel : ndarray of int64
        Which kernel each study has.
    scale : ndarray of float64
        Weight of each study; ones for ALE.
    is_log : bool
        Whether the statistic is ``1 - exp(sum)`` rather than ``-sum``.
    threshold : float or None
        Statistic above which a voxel belongs to a cluster; None when only the maximum is wanted.
    """

    def __init__(
        self,
        structure: FociStructure,
        kernels: list[SparseKernel],
        group_kernel: NDArray[np.int64],
        scale: NDArray[np.float64],
        is_log: bool,
        threshold: float | None,
    ) -> None:
        super().__init__(structure, structure.plan(kernels, np.float32, group_kernel, scale))
        self.kernels, self.is_log = kernels, is_log
        # Rounding of single precision: once per increment, per kernel value, weight, and the statistic's own.
        slack = float((2 * structure.offsets[-1] + 16) * 2.0**-24)
        limit = np.float32(-np.inf)
        if threshold is not None and not (is_log and threshold >= 1):
            below = np.log1p(-threshold) if is_log else -threshold
            limit = np.nextafter(np.float32(below * (1 - min(slack, 1.0))), np.float32(np.inf))
        self.limits = AleLimits(
            bias=np.where(self.plan.grid.in_mask, np.float32(0), np.float32(np.inf)).astype(np.float32),
            limit=limit,
            slack=slack,
            threshold=-1.0 if threshold is None else threshold,
            is_log=is_log,
            with_clusters=threshold is not None,
        )
        studies = self.plan.studies
        named = (self.plan.kernels.exact, studies.kernel, studies.scale, [is_log, threshold or -1.0])
        self.name = structure.digest(*named)

    def worker(self) -> _UnionWorker:
        """Make the scratch of one more thread."""
        return _UnionWorker(self)


class _UnionWorker(FociWorker):
    def __init__(self, permutations: UnionPermutations) -> None:
        super().__init__(permutations.plan)
        self.permutations = permutations
        grid = permutations.plan.grid
        exact = ExactScratch(
            xyz=np.zeros((grid.n_voxels, 3), dtype=np.int32),
            exact=np.zeros(grid.n_voxels),
            current=np.zeros(grid.n_voxels),
            touched=np.zeros(grid.n_voxels, dtype=np.int32),
            plane=np.zeros(grid.shape[0] + 1, dtype=np.int64),
        )
        clusters = cluster_scratch(grid.n_voxels, grid.size)
        self.scratch = AleScratch(self.foci, self.cell_sums, clusters, exact, lanes_for(LANES_PER_STEP))

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run = self.permutations
        ale_maxima(block[start:stop], run.plan, run.limits, self.scratch, rows[start:stop])


class CountPermutations(FociPermutations):
    """Permutations of foci for MKDA with equal weights and for KDA: maxima for FWE correction.

    Parameters
    ----------
    structure : FociStructure
        Mask, studies, draws.
    offsets : ndarray of shape (K, 3), int
        The sphere's voxels, relative to its centre.
    contribution : float
        What one study (MKDA) or focus (KDA) adds to the statistic.
    every_focus : bool
        Whether foci are counted rather than studies.
    threshold : float or None
        Statistic above which a voxel belongs to a cluster; None when only the maximum is wanted.
    """

    def __init__(
        self,
        structure: FociStructure,
        offsets: NDArray[Any],
        contribution: float,
        every_focus: bool,
        threshold: float | None,
    ) -> None:
        most = int(structure.offsets[-1]) if every_focus else len(structure.offsets) - 1
        dtype: type = np.int16 if most <= SMALL_COUNT else np.int32
        super().__init__(structure, structure.plan([(offsets, np.ones(len(offsets)))], dtype))
        # Repeated addition, as NiMARE does it: a product may differ in the last bit.
        stat_of_count = np.concatenate(([0.0], np.cumsum(np.full(most, contribution)))).astype(np.float32)
        above = np.flatnonzero(stat_of_count.astype(np.float64) > (np.inf if threshold is None else threshold))
        self.limits = CountLimits(
            in_mask=np.where(self.plan.grid.in_mask, -1, 0).astype(dtype),
            stat_of_count=stat_of_count,
            limit=int(above[0]) if len(above) else 0,
            threshold=-1.0 if threshold is None else threshold,
            every_focus=every_focus,
            with_clusters=len(above) > 0,
        )
        named = (self.plan.kernels.exact, stat_of_count, [every_focus, self.limits.threshold])
        self.name = structure.digest(*named)

    def worker(self) -> _CountWorker:
        """Make the scratch of one more thread."""
        return _CountWorker(self)


class _CountWorker(FociWorker):
    def __init__(self, permutations: CountPermutations) -> None:
        super().__init__(permutations.plan)
        self.permutations = permutations
        grid = permutations.plan.grid
        clusters = cluster_scratch(grid.n_voxels, grid.size)
        self.scratch = CountScratch(self.foci, self.cell_sums, clusters, lanes_for(LANES_PER_STEP))

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run = self.permutations
        mkda_maxima(block[start:stop], run.plan, run.limits, self.scratch, rows[start:stop])
