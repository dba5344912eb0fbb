"""Label permutations of two groups, ready to run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.engine.grid import padded_grid
from compose_runner.analysis.engine.labels import add_logs, chi2_maxima, count_tails, group_difference

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
        self.indptr = pooled.indptr.astype(np.int64)
        self.indices = pooled.indices.astype(np.int32, copy=False)
        self.all_counts = np.bincount(self.indices, minlength=pooled.shape[1]).astype(np.int32)
        self.grid = padded_grid(mask, np.argwhere(mask)[:1], 0)
        self.voxel_cell = self.grid.mask_cells()
        self.name = digest(seed, mask, self.indptr, self.indices, [orders.n_first, n_iters], [threshold])

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, Any, int]]:
        """Yield blocks of random orders."""
        yield from self.orders.blocks(first, last)

    def worker(self) -> _Chi2Worker:
        """Make the scratch of one more thread."""
        return _Chi2Worker(self)


class _Chi2Worker:
    def __init__(self, permutations: Chi2Permutations) -> None:
        self.permutations = permutations
        n_voxels, orders = len(permutations.all_counts), permutations.orders
        self.sums: dict[str, NDArray[np.int64]] = {}
        self.counts = np.zeros(n_voxels, dtype=np.int32)
        self.first_table = np.zeros(orders.n_first + 1)
        self.second_table = np.zeros(orders.n_total - orders.n_first + 1)
        self.label = np.zeros(permutations.grid.size, dtype=np.int32)
        self.cell, self.parent, self.size = (np.zeros(n_voxels, dtype=np.int32) for _ in range(3))
        self.stat = np.zeros(n_voxels, dtype=np.float32)
        self.mass = np.zeros(n_voxels)

    def compute(self, block: Any, start: int, stop: int, rows: NDArray[np.float64]) -> None:
        """Compute some permutations of a block."""
        run = self.permutations
        chi2_maxima(
            start, stop, block, run.orders.n_first, run.indptr, run.indices, run.all_counts, run.voxel_cell,
            run.grid.stride_y, run.grid.stride_x, run.threshold, self.counts, self.first_table, self.second_table,
            self.label, self.cell, self.stat, self.parent, self.size, self.mass, rows,
        )  # fmt: skip


class VectorRows:
    """A sparse matrix of logarithms whose rows can be added eight voxels at a time.

    The voxels that a study reaches come in runs, because neighbours along the last axis are neighbours in the mask.
    Every run is cut into pieces of eight voxels, the last one filled up with zeros, which change no sum.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix
        Modelled activation of studies.

    Attributes
    ----------
    pieces : ndarray of int64
        Row ``r`` has the pieces ``pieces[r]`` to ``pieces[r + 1]``.
    at : ndarray of int32
        First voxel of each piece.
    logs : ndarray of float32
        ``log(1 - value)``, eight to a piece. NumPy's logarithm in single precision, as in NiMARE's own step.
    """

    def __init__(self, matrix: Any) -> None:
        indices = matrix.indices.astype(np.int64)
        starts = np.ones(len(indices), dtype=bool)
        starts[1:] = np.diff(indices) != 1
        starts[matrix.indptr[:-1][np.diff(matrix.indptr) > 0]] = True
        first = np.flatnonzero(starts)
        run = np.cumsum(starts) - 1
        place = np.arange(len(indices)) - first[run]
        pieces_before = np.concatenate(([0], np.cumsum(-(-np.diff(np.append(first, len(indices))) // WIDTH))))
        piece = pieces_before[run] + place // WIDTH
        n_pieces = int(pieces_before[-1])
        self.at = np.zeros(n_pieces, dtype=np.int32)
        heads = place % WIDTH == 0
        self.at[piece[heads]] = indices[heads]
        self.logs = np.zeros(n_pieces * WIDTH, dtype=np.float32)
        self.logs[piece * WIDTH + place % WIDTH] = np.log1p(-matrix.data)
        self.pieces = np.append(piece, n_pieces)[matrix.indptr].astype(np.int64)

    @property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The attributes, in the order in which the compiled step takes them."""
        return self.pieces, self.at, self.logs


class SubtractionPermutations:
    """Label permutations of ALESubtraction: the largest absolute difference of each, and counts of the tails.

    Parameters
    ----------
    orders : LabelOrders
        Which study goes to which group.
    first, second : scipy.sparse.csr_matrix
        Modelled activation of the groups' studies.
    observed : ndarray or None
        The observed difference, when tails are to be counted against it.
    upper, lower : ndarray of bool or None
        Voxels at which the upper and the lower tail count; None for all.
    differences : ndarray of shape (n_iters, n_voxels) or None
        Where every permutation's difference goes, when clusters are wanted as well.
    n_iters : int
        Number of permutations.
    seed : str
        What identifies the draws; empty without a seed.
    """

    n_columns = 1

    def __init__(
        self,
        orders: LabelOrders,
        first: Any,
        second: Any,
        observed: NDArray[Any] | None,
        upper: NDArray[np.bool_] | None,
        lower: NDArray[np.bool_] | None,
        differences: NDArray[Any] | None,
        n_iters: int,
        seed: str,
    ) -> None:
        self.orders, self.n_iters, self.differences = orders, n_iters, differences
        self.n_voxels = first.shape[1]
        self.matrices = [*VectorRows(first).arrays, *VectorRows(second).arrays]
        self.observed = None if observed is None else observed.astype(np.float64)
        everywhere = np.ones(self.n_voxels, dtype=bool)
        self.upper = everywhere if upper is None else upper
        self.lower = everywhere if lower is None else lower
        # What is not summed cannot be kept: with every difference on disk, nothing is resumed.
        named = seed if differences is None else ""
        self.name = digest(
            named,
            *self.matrices,
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
                add_logs(members, n_first, *run.matrices, sums, self.rest, self.lanes)
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
