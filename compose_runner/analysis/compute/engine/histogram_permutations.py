"""Histograms of every voxel's statistic over permutations, ready to run: the null of uncorrected p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.compute.engine.ale_kernels import ale_histograms, bin_number
from compose_runner.analysis.compute.engine.foci_permutations import (
    CountPermutations,
    FociPermutations,
    FociWorker,
    UnionPermutations,
    kernel_tables,
)
from compose_runner.analysis.compute.engine.mkda_kernels import CountBins, mkda_histograms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from compose_runner.analysis.compute.engine.foci_kernels import FociPlan


class _Histogram:
    """A histogram of every voxel's statistic over permutations; the permutations' threshold plays no part."""

    n_columns = 1

    def __init__(self, permutations: FociPermutations, plan: FociPlan, edges: NDArray[np.float64]) -> None:
        self.permutations, self.plan = permutations, plan
        self.edges = np.ascontiguousarray(edges, dtype=np.float64)
        self.n_iters = permutations.n_iters
        self.voxel_cell = plan.grid.mask_cells()
        self.name = f"{permutations.name}-null" if permutations.name else ""

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of drawn foci."""
        return self.permutations.blocks(first, last)

    def worker(self) -> _HistogramWorker:
        """Make the scratch of one more thread."""
        return _HistogramWorker(self)

    def add(self, draws: Any, worker: FociWorker, out: NDArray[np.float64]) -> None:
        """Add permutations of these draws to a worker's histogram; ``out[:, 0]`` becomes the last bins used."""
        raise NotImplementedError


class _HistogramWorker(FociWorker):
    def __init__(self, null: _Histogram) -> None:
        super().__init__(null.plan)
        self.null = null
        self.sums = {"histogram": np.zeros(len(null.edges) - 1, dtype=np.int64)}

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        self.null.add(block[start:stop], self, rows[start:stop])


class UnionNull(_Histogram):
    """The histogram of ALE over permutations.

    Parameters
    ----------
    permutations : UnionPermutations
        Permutations of foci.
    edges : ndarray of shape (n_bins + 1,), float64
        Edges of the histogram's bins.
    """

    def __init__(self, permutations: UnionPermutations, edges: NDArray[np.float64]) -> None:
        plan = permutations.plan
        plan = plan._replace(
            kernels=kernel_tables(permutations.kernels, np.float64, plan.grid),
            studies=plan.studies._replace(exact=True),
        )
        super().__init__(permutations, plan, edges)

    def add(self, draws: Any, worker: FociWorker, out: NDArray[np.float64]) -> None:
        """Add permutations of these draws to a worker's histogram."""
        arrays = (worker.foci, worker.cell_sums, self.voxel_cell, self.edges, worker.sums["histogram"])
        ale_histograms(draws, self.plan, *arrays, out)


class CountNull(_Histogram):
    """The histogram of MKDA with equal weights, or of KDA, over permutations.

    Parameters
    ----------
    permutations : CountPermutations
        Permutations of foci.
    edges : ndarray of shape (n_bins + 1,), float64
        Edges of the histogram's bins.
    """

    def __init__(self, permutations: CountPermutations, edges: NDArray[np.float64]) -> None:
        super().__init__(permutations, permutations.plan, edges)
        stats = permutations.limits.stat_of_count.astype(np.float64)
        bin_of_count = np.array([bin_number(value, self.edges) for value in stats], dtype=np.int64)
        self.bins = CountBins(self.voxel_cell, bin_of_count, permutations.limits.every_focus)

    def add(self, draws: Any, worker: FociWorker, out: NDArray[np.float64]) -> None:
        """Add permutations of these draws to a worker's histogram."""
        mkda_histograms(draws, self.plan, self.bins, worker.foci, worker.cell_sums, worker.sums["histogram"], out)
