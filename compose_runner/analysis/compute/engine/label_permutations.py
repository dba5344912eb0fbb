"""Label permutations of two groups, ready to run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.compute.engine.clusters import cluster_scratch
from compose_runner.analysis.compute.engine.grid import padded_grid
from compose_runner.analysis.compute.engine.label_kernels import (
    BinaryMaps,
    Chi2Scratch,
    LogRows,
    chi2_maxima,
    count_tails,
    group_difference,
    sum_logs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 8 * 2**20
WIDTH = 8


class LabelOrders:
    """NiMARE's random orders of the studies of two groups, block after block.

    Parameters
    ----------
    permute : callable
        NiMARE's ``_permute_pairwise_group_indices``.
    parent : numpy.random.SeedSequence or None
        What the permutations' seeds are spawned from; None when a permutation's number is its seed.
    n_first, n_total : int
        Studies of the first group, and of both.
    """

    def __init__(
        self,
        permute: Callable[..., tuple[NDArray[Any], NDArray[Any]]],
        parent: np.random.SeedSequence | None,
        n_first: int,
        n_total: int,
    ) -> None:
        self.permute, self.parent = permute, parent
        self.n_first, self.n_total = n_first, n_total

    def seed(self, number: int) -> Any:
        """Return the seed of one permutation, without the seeds before it."""
        if self.parent is None:
            return number
        return np.random.SeedSequence(
            self.parent.entropy,
            spawn_key=(*self.parent.spawn_key, number),
            pool_size=self.parent.pool_size,
        )

    def blocks(self, first: int, last: int, most: int = 512) -> Iterator[tuple[int, NDArray[np.int32], int]]:
        """Yield ``(number, orders, length)``; an order lists the first group's studies, then the second's."""
        length = max(1, min(most, BLOCK_BYTES // (4 * self.n_total)))
        for number in range(first, last, length):
            count = min(length, last - number)
            orders = np.empty((count, self.n_total), dtype=np.int32)
            for at in range(count):
                groups = self.permute(n_total=self.n_total, n_group1=self.n_first, seed=self.seed(number + at))
                orders[at, : self.n_first], orders[at, self.n_first :] = groups
            yield number, orders, count


def digest(seed: str, *parts: Any) -> str:
    """Return a name for permutations that changes with everything that changes their result."""
    if not seed:
        return ""
    made = hashlib.sha256()
    for part in parts:
        made.update(np.ascontiguousarray(part).tobytes())
    return f"{seed}-{made.hexdigest()[:16]}"


class Chi2Permutations:
    """Label permutations of MKDAChi2: nine maxima each.

    Parameters
    ----------
    orders : LabelOrders
        Which study goes to which group.
    pooled : scipy.sparse.csr_matrix
        Binary maps of the first group's studies, then the second's.
    mask : ndarray of bool
        Analysis mask.
    threshold : float
        Chi-squared above which a voxel belongs to a cluster.
    n_iters : int
        Number of permutations.
    seed : str
        What identifies the draws; empty without a seed.
    """

    n_columns = 9

    def __init__(
        self, orders: LabelOrders, pooled: Any, mask: NDArray[np.bool_], threshold: float, n_iters: int, seed: str
    ) -> None:
        self.orders, self.n_iters, self.threshold = orders, n_iters, threshold
        grid = padded_grid(mask, np.argwhere(mask)[:1], 0)
        indices = pooled.indices.astype(np.int32, copy=False)
        self.maps = BinaryMaps(
            n_first=orders.n_first,
            indptr=pooled.indptr.astype(np.int64),
            indices=indices,
            all_counts=np.bincount(indices, minlength=pooled.shape[1]).astype(np.int32),
            voxel_cell=grid.mask_cells(),
            grid=grid,
        )
        self.name = digest(seed, mask, self.maps.indptr, indices, [orders.n_first, n_iters], [threshold])

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of random orders."""
        yield from self.orders.blocks(first, last)

    def worker(self) -> _Chi2Worker:
        """Make the scratch of one more thread."""
        return _Chi2Worker(self)


class _Chi2Worker:
    def __init__(self, permutations: Chi2Permutations) -> None:
        self.permutations = permutations
        orders, grid = permutations.orders, permutations.maps.grid
        self.sums: dict[str, NDArray[np.int64]] = {}
        self.scratch = Chi2Scratch(
            counts=np.zeros(grid.n_voxels, dtype=np.int32),
            first_table=np.zeros(orders.n_first + 1),
            second_table=np.zeros(orders.n_total - orders.n_first + 1),
            clusters=cluster_scratch(grid.n_voxels, grid.size),
        )

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run = self.permutations
        chi2_maxima(block[start:stop], run.maps, run.threshold, self.scratch, rows[start:stop])


def log_rows(matrix: Any) -> LogRows:
    """Take the logarithms of a sparse matrix and cut its rows into pieces of eight voxels.

    The voxels that a study reaches come in runs, because neighbours along the last axis are neighbours in the mask.
    Every run is cut into pieces of eight voxels, the last one filled up with zeros, which change no sum.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Modelled activation of studies.
    """
    indices = matrix.indices.astype(np.int64)
    starts = np.ones(len(indices), dtype=bool)
    starts[1:] = np.diff(indices) != 1
    starts[matrix.indptr[:-1][np.diff(matrix.indptr) > 0]] = True
    first = np.flatnonzero(starts)
    run = np.cumsum(starts) - 1
    position = np.arange(len(indices)) - first[run]
    pieces_before = np.concatenate(([0], np.cumsum(-(-np.diff(np.append(first, len(indices))) // WIDTH))))
    piece = pieces_before[run] + position // WIDTH
    n_pieces = int(pieces_before[-1])
    at = np.zeros(n_pieces, dtype=np.int32)
    heads = position % WIDTH == 0
    at[piece[heads]] = indices[heads]
    logs = np.zeros(n_pieces * WIDTH, dtype=np.float32)
    logs[piece * WIDTH + position % WIDTH] = np.log1p(-matrix.data)
    return LogRows(np.append(piece, n_pieces)[matrix.indptr].astype(np.int64), at, logs)


class SubtractionPermutations:
    """Label permutations of ALESubtraction: the largest absolute difference of each, and counts of the tails.

    Parameters
    ----------
    orders : LabelOrders
        Which study goes to which group.
    first, second : scipy.sparse.csr_matrix
        Modelled activation of the groups' studies.
    n_iters : int
        Number of permutations.
    seed : str
        What identifies the draws; empty without a seed.
    observed : ndarray, optional
        The observed difference, when tails are to be counted against it.
    upper, lower : ndarray of bool, optional
        Voxels at which the upper and the lower tail count; all by default.
    differences : ndarray of shape (n_iters, n_voxels), optional
        Where every permutation's difference goes, when clusters are wanted as well.
    """

    n_columns = 1

    def __init__(
        self,
        orders: LabelOrders,
        first: Any,
        second: Any,
        n_iters: int,
        seed: str,
        *,
        observed: NDArray[Any] | None = None,
        upper: NDArray[np.bool_] | None = None,
        lower: NDArray[np.bool_] | None = None,
        differences: NDArray[Any] | None = None,
    ) -> None:
        self.orders, self.n_iters, self.differences = orders, n_iters, differences
        self.n_voxels = first.shape[1]
        self.first, self.second = log_rows(first), log_rows(second)
        self.observed = None if observed is None else observed.astype(np.float64)
        everywhere = np.ones(self.n_voxels, dtype=bool)
        self.upper = everywhere if upper is None else upper
        self.lower = everywhere if lower is None else lower
        # What is not summed cannot be kept: with every difference on disk, nothing is resumed.
        named = seed if differences is None else ""
        self.name = digest(
            named,
            *self.first,
            *self.second,
            [0] if observed is None else observed,
            self.upper,
            self.lower,
            [orders.n_first, n_iters],
        )

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of random orders."""
        for number, orders, count in self.orders.blocks(first, last):
            yield number, (number, orders), count

    def worker(self) -> _SubtractionWorker:
        """Make the scratch of one more thread."""
        return _SubtractionWorker(self)


class _SubtractionWorker:
    def __init__(self, permutations: SubtractionPermutations) -> None:
        self.permutations = permutations
        n_counted = 0 if permutations.observed is None else permutations.n_voxels
        self.sums = {name: np.zeros(n_counted, dtype=np.int64) for name in ("upper", "lower")}
        self.lanes = (np.int8(0),) * WIDTH
        # The last piece of a row may reach beyond the last voxel.
        self.first, self.second, self.rest = (np.zeros(permutations.n_voxels + WIDTH) for _ in range(3))

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run = self.permutations
        number, orders = block
        n_first = run.orders.n_first
        upper, lower = self.sums["upper"], self.sums["lower"]
        for at in range(start, stop):
            for members, sums in ((orders[at, :n_first], self.first), (orders[at, n_first:], self.second)):
                sum_logs(members, run.first, run.second, sums, self.rest, self.lanes)
                # NumPy's exponential, as in NiMARE's own step: a permutation that leaves a voxel's studies where they
                # were must give the observed value again, to the last bit.
                np.exp(sums, out=sums)
            rows[at, 0] = group_difference(self.first, self.second)
            difference = self.first[: run.n_voxels]
            if run.observed is not None:
                count_tails(difference, run.observed, upper, lower)
            if run.differences is not None:
                run.differences[number + at] = difference
        upper *= run.upper[: len(upper)]
        lower *= run.lower[: len(lower)]
