"""From a fitted estimator to permutations of its foci that the kernels can run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from compose_runner.analysis.engine.counts import count_maxima
from compose_runner.analysis.engine.draws import FociDraws
from compose_runner.analysis.engine.grid import PaddedGrid, padded_grid
from compose_runner.analysis.engine.lanes import LANES_PER_STEP, lanes_for
from compose_runner.analysis.engine.unions import union_maxima

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Above so many expected meetings of a focus with earlier foci of its study, the study's own map is built first.
CROWDED_MEETINGS = 3.0
# A count per voxel is kept in 16 bits while it surely fits.
SMALL_COUNT = 30_000


@njit(cache=True)  # type: ignore[untyped-decorator]
def _log_of_complement(values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    # Compiled, because NiMARE's permutation step is: the two must use the same logarithm.
    for i in range(values.shape[0]):
        out[i] = np.log1p(-np.float64(values[i]))


def log_of_complement(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return ``log(1 - value)`` in double precision, as NiMARE's compiled permutation step computes it."""
    out = np.empty(len(values))
    _log_of_complement(values, out)
    return out


@dataclass(frozen=True)
class KernelTables:
    """A kernel, or one per study, as rows of whole vectors.

    Parameters
    ----------
    reach : int
        Voxels from the centre to the edge of the largest kernel.
    exact : ndarray of shape (K, n, n, n), float64
        What a focus adds to each voxel around it; 0 where it does not reach.
    table : ndarray of shape (K, n * n * 3 * width)
        The same in the kernels' working type, each row between two rows of zeros.
    rows : ndarray of shape (K, n * n, 2), int32
        Rows along the last axis that are not all 0; the first ``row_counts[k]`` of them are used.
    row_counts : ndarray of shape (K,), int64
        Number of these rows.
    """

    reach: int
    exact: NDArray[np.float64]
    table: NDArray[Any]
    rows: NDArray[np.int32]
    row_counts: NDArray[np.int64]

    def row_cells(self, grid: PaddedGrid) -> NDArray[np.int32]:
        """Return each row's first cell, relative to the kernel's corner."""
        cells = self.rows[..., 0] * grid.stride_x + self.rows[..., 1] * grid.stride_y
        return np.ascontiguousarray(cells, dtype=np.int32)


def kernel_tables(kernels: list[tuple[NDArray[Any], NDArray[Any]]], dtype: type) -> KernelTables:
    """Lay kernels out for the permutation steps.

    Parameters
    ----------
    kernels : list of (offsets, values)
        For each kernel the voxels it reaches relative to its centre, and what it adds there.
    dtype : type
        Working type of the rows.
    """
    reach = max(int(np.abs(offsets).max(initial=0)) for offsets, _ in kernels)
    n = 2 * reach + 1
    width = len(lanes_for(n))
    exact = np.zeros((len(kernels), n, n, n))
    rows = np.zeros((len(kernels), n * n, 2), dtype=np.int32)
    row_counts = np.zeros(len(kernels), dtype=np.int64)
    for index, (offsets, values) in enumerate(kernels):
        at = np.asarray(offsets, dtype=np.int64) + reach
        exact[index, at[:, 0], at[:, 1], at[:, 2]] = values
        used = np.argwhere(exact[index].any(axis=2))
        rows[index, : len(used)] = used
        row_counts[index] = len(used)
    table: NDArray[Any] = np.zeros((len(kernels), n, n, 3 * width), dtype=dtype)
    table[..., width : width + n] = exact
    return KernelTables(reach, exact, table.reshape(len(kernels), -1), rows, row_counts)


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

    def crowded(self, grid: PaddedGrid) -> NDArray[np.bool_]:
        """Return for each study whether most of its foci meet another one."""
        meeting = (2 * (2 * grid.reach + 1)) ** 3 / max(len(self.null_ijk), 1)
        return (np.diff(self.offsets) / 2 * min(meeting, 1.0) > CROWDED_MEETINGS).astype(np.bool_)

    def digest(self, *parts: Any) -> str:
        """Return a name for these permutations that changes with everything that changes their result."""
        if not self.seed:
            return ""
        made = hashlib.sha256()
        for part in (self.mask, self.null_ijk, self.offsets, self.n_iters, *parts):
            made.update(np.ascontiguousarray(part).tobytes())
        return f"{self.seed}-{made.hexdigest()[:16]}"


class _FociPermutations:
    """What permutations of foci have in common."""

    n_columns = 3

    def __init__(self, structure: FociStructure, kernels: KernelTables, threshold: float | None) -> None:
        self.structure, self.kernels = structure, kernels
        self.n_iters = structure.n_iters
        self.grid = padded_grid(structure.mask, structure.null_ijk, kernels.reach)
        self.threshold = threshold
        self.crowded = structure.crowded(self.grid)
        self.draws = structure.draws()

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of drawn foci."""
        for column, draws in self.draws.blocks(first, last):
            yield column, draws, len(draws)


class FociScratch:
    """Arrays that one thread writes to; nothing is allocated while permutations run."""

    def __init__(self, permutations: _FociPermutations, dtype: type, with_study: bool = False) -> None:
        grid = permutations.grid
        n_foci = int(permutations.structure.offsets[-1])
        most = int(np.diff(permutations.structure.offsets).max())
        self.sums: dict[str, NDArray[np.int64]] = {}
        self.wide = lanes_for(2 * grid.reach + 1)
        self.narrow = lanes_for(LANES_PER_STEP)
        self.total: NDArray[Any] = np.zeros(grid.size, dtype=dtype)
        self.study: NDArray[Any] = np.zeros(grid.size if with_study or permutations.crowded.any() else 1, dtype=dtype)
        self.label = np.zeros(grid.size, dtype=np.int32)
        self.ijk = np.zeros((n_foci, 3), dtype=np.int32)
        self.corner = np.zeros(n_foci, dtype=np.int32)
        self.meets = np.zeros((most, 3), dtype=np.int32)
        self.seen: NDArray[Any] = np.zeros(len(self.wide), dtype=dtype)
        self.cell = np.zeros(grid.n_voxels, dtype=np.int32)
        self.stat = np.zeros(grid.n_voxels, dtype=np.float32)
        self.parent = np.zeros(grid.n_voxels, dtype=np.int32)
        self.size = np.zeros(grid.n_voxels, dtype=np.int32)
        self.mass = np.zeros(grid.n_voxels)


class UnionPermutations(_FociPermutations):
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
        kernels: list[tuple[NDArray[Any], NDArray[Any]]],
        group_kernel: NDArray[np.int64],
        scale: NDArray[np.float64],
        is_log: bool,
        threshold: float | None,
    ) -> None:
        super().__init__(structure, kernel_tables(kernels, np.float32), threshold)
        self.kernel_list = kernels
        self.group_kernel = np.ascontiguousarray(group_kernel, dtype=np.int64)
        self.scale = np.ascontiguousarray(scale, dtype=np.float64)
        self.is_log = is_log
        # Rounding of single precision: once per increment, per kernel value, weight, and the statistic's own.
        self.slack = float((2 * structure.offsets[-1] + 16) * 2.0**-24)
        if threshold is None or (is_log and threshold >= 1):
            limit = -np.inf
        else:
            limit = (np.log1p(-threshold) if is_log else -threshold) * (1 - min(self.slack, 1.0))
        self.limit = np.float32(limit)
        if np.isfinite(limit):
            self.limit = np.nextafter(self.limit, np.float32(np.inf))
        self.bias = np.where(self.grid.in_mask, np.float32(0), np.float32(np.inf)).astype(np.float32)
        self.name = structure.digest(self.kernels.exact, self.group_kernel, self.scale, [is_log, threshold or -1.0])

    def worker(self) -> _UnionWorker:
        """Make the scratch of one more thread."""
        return _UnionWorker(self)


class _UnionWorker(FociScratch):
    def __init__(self, permutations: UnionPermutations) -> None:
        super().__init__(permutations, np.float32)
        self.permutations = permutations
        grid = permutations.grid
        self.scale_row = np.zeros(len(self.wide), dtype=np.float32)
        self.xyz = np.zeros((grid.n_voxels, 3), dtype=np.int32)
        self.exact = np.zeros(grid.n_voxels)
        self.current = np.zeros(grid.n_voxels)
        self.touched = np.zeros(grid.n_voxels, dtype=np.int32)
        self.plane = np.zeros(grid.shape[0] + 1, dtype=np.int64)
        self.row_cells = permutations.kernels.row_cells(grid)

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run, grid, kernels = self.permutations, self.permutations.grid, self.permutations.kernels
        union_maxima(
            start, stop, block, grid.null_ijk, grid.null_corner, run.structure.offsets, run.group_kernel, run.crowded,
            kernels.table, kernels.exact, kernels.rows, self.row_cells, kernels.row_counts, kernels.reach, run.scale,
            grid.pad, grid.stride_y, grid.stride_x, grid.block_start, run.bias, run.limit, run.slack,
            -1.0 if run.threshold is None else run.threshold, run.is_log, run.threshold is not None,
            self.total, self.study, self.label, self.ijk, self.corner, self.meets, self.seen, self.scale_row, self.cell,
            self.xyz, self.exact, self.current, self.touched, self.plane, self.stat, self.parent, self.size, self.mass,
            rows, self.wide, self.narrow,
        )  # fmt: skip


class CountPermutations(_FociPermutations):
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
        self.most = int(structure.offsets[-1]) if every_focus else len(structure.offsets) - 1
        self.dtype: type = np.int16 if self.most <= SMALL_COUNT else np.int32
        super().__init__(structure, kernel_tables([(offsets, np.ones(len(offsets)))], self.dtype), threshold)
        self.every_focus = every_focus
        # Repeated addition, as NiMARE does it: a product may differ in the last bit.
        self.stat_of_count = np.concatenate(([0.0], np.cumsum(np.full(self.most, contribution)))).astype(np.float32)
        above = np.flatnonzero(self.stat_of_count.astype(np.float64) > (np.inf if threshold is None else threshold))
        self.with_clusters = len(above) > 0
        self.limit = int(above[0]) if len(above) else 0
        self.in_mask = np.where(self.grid.in_mask, -1, 0).astype(self.dtype)
        self.name = structure.digest(
            self.kernels.exact, self.stat_of_count, [every_focus, -1.0 if threshold is None else threshold]
        )

    def worker(self) -> _CountWorker:
        """Make the scratch of one more thread."""
        return _CountWorker(self)


class _CountWorker(FociScratch):
    def __init__(self, permutations: CountPermutations) -> None:
        super().__init__(permutations, permutations.dtype)
        self.permutations = permutations
        self.row_cell = permutations.kernels.row_cells(permutations.grid)[0]

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run, grid, kernels = self.permutations, self.permutations.grid, self.permutations.kernels
        n_rows = int(kernels.row_counts[0])
        count_maxima(
            start, stop, block, grid.null_ijk, grid.null_corner, run.structure.offsets, run.crowded, run.every_focus,
            kernels.table[0], kernels.rows[0, :n_rows], self.row_cell[:n_rows], kernels.reach, grid.stride_y,
            grid.stride_x, grid.block_start, run.in_mask, run.stat_of_count, run.limit,
            -1.0 if run.threshold is None else run.threshold, run.with_clusters, self.total, self.study, self.label,
            self.ijk, self.corner, self.meets, self.seen, self.cell, self.stat, self.parent, self.size, self.mass, rows,
            self.wide, self.narrow,
        )  # fmt: skip
