"""The Monte Carlo null of uncorrected p-values, ready to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.engine.foci import CountPermutations, FociScratch, UnionPermutations, kernel_tables
from compose_runner.analysis.engine.histograms import bin_of, count_histograms, union_histograms

if TYPE_CHECKING:
    from numpy.typing import NDArray


class UnionNull:
    """The histogram of ALE over permutations.

    Parameters
    ----------
    permutations : UnionPermutations
        Permutations of foci; the threshold plays no part.
    edges : ndarray of shape (n_bins + 1,), float64
        Edges of the histogram's bins.
    """

    n_columns = 1

    def __init__(self, permutations: UnionPermutations, edges: NDArray[np.float64]) -> None:
        self.permutations, self.edges = permutations, np.ascontiguousarray(edges, dtype=np.float64)
        self.n_iters = permutations.n_iters
        self.kernels = kernel_tables(permutations.kernel_list, np.float64)
        self.voxel_cell = permutations.grid.mask_cells()
        self.name = f"{permutations.name}-null" if permutations.name else ""

    def blocks(self, first: int, last: int) -> Any:
        """Yield blocks of drawn foci."""
        return self.permutations.blocks(first, last)

    def worker(self) -> _UnionNullWorker:
        """Make the scratch of one more thread."""
        return _UnionNullWorker(self)


class _UnionNullWorker(FociScratch):
    def __init__(self, null: UnionNull) -> None:
        super().__init__(null.permutations, np.float64, with_study=True)
        self.null = null
        self.sums = {"histogram": np.zeros(len(null.edges) - 1, dtype=np.int64)}
        self.scale_row = np.ones(len(self.wide))
        self.row_cells = null.kernels.row_cells(null.permutations.grid)

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run, grid, kernels = self.null.permutations, self.null.permutations.grid, self.null.kernels
        union_histograms(
            start, stop, block, grid.null_ijk, grid.null_corner, run.structure.offsets, run.group_kernel, run.crowded,
            kernels.table, kernels.rows, self.row_cells, kernels.row_counts, kernels.reach, self.null.voxel_cell,
            self.null.edges, self.total, self.study, self.ijk, self.corner, self.meets, self.seen, self.scale_row,
            self.sums["histogram"], rows, self.wide,
        )  # fmt: skip


class CountNull:
    """The histogram of MKDA with equal weights, or of KDA, over permutations.

    Parameters
    ----------
    permutations : CountPermutations
        Permutations of foci; the threshold plays no part.
    edges : ndarray of shape (n_bins + 1,), float64
        Edges of the histogram's bins.
    """

    n_columns = 1

    def __init__(self, permutations: CountPermutations, edges: NDArray[np.float64]) -> None:
        self.permutations, self.n_bins = permutations, len(edges) - 1
        self.n_iters = permutations.n_iters
        edges = np.ascontiguousarray(edges, dtype=np.float64)
        stats = permutations.stat_of_count.astype(np.float64)
        self.bin_of_count = np.array([bin_of(value, edges, self.n_bins) for value in stats], dtype=np.int64)
        self.voxel_cell = permutations.grid.mask_cells()
        self.name = f"{permutations.name}-null" if permutations.name else ""

    def blocks(self, first: int, last: int) -> Any:
        """Yield blocks of drawn foci."""
        return self.permutations.blocks(first, last)

    def worker(self) -> _CountNullWorker:
        """Make the scratch of one more thread."""
        return _CountNullWorker(self)


class _CountNullWorker(FociScratch):
    def __init__(self, null: CountNull) -> None:
        super().__init__(null.permutations, null.permutations.dtype)
        self.null = null
        self.sums = {"histogram": np.zeros(null.n_bins, dtype=np.int64)}
        self.row_cell = null.permutations.kernels.row_cells(null.permutations.grid)[0]

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run, grid, kernels = self.null.permutations, self.null.permutations.grid, self.null.permutations.kernels
        n_rows = int(kernels.row_counts[0])
        count_histograms(
            start, stop, block, grid.null_ijk, grid.null_corner, run.structure.offsets, run.crowded, run.every_focus,
            kernels.table[0], kernels.rows[0, :n_rows], self.row_cell[:n_rows], kernels.reach, self.null.voxel_cell,
            self.null.bin_of_count, self.total, self.study, self.ijk, self.corner, self.meets, self.seen,
            self.sums["histogram"], rows, self.wide,
        )  # fmt: skip
