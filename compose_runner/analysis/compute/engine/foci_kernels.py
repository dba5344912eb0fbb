"""What every compiled permutation of foci has in common: where foci lie, which overlap, and a pass over the studies."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from compose_runner.analysis.compute.engine.simd import clear

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from compose_runner.analysis.compute.engine.grid import PaddedGrid


class KernelTables(NamedTuple):
    """A kernel, or one per study, as rows of whole vectors.

    Parameters
    ----------
    exact : ndarray of shape (K, n, n, n), float64
        What a focus adds to each voxel around it; 0 where it does not reach.
    table : ndarray of shape (K, n * n * 3 * width)
        The same in the kernels' working type, each row between two rows of zeros.
    rows : ndarray of shape (K, n * n, 2), int32
        Rows along the last axis that are not all 0; the first ``row_counts[k]`` of them are used.
    row_cells : ndarray of shape (K, n * n), int32
        Each row's first cell on the grid, relative to the kernel's corner.
    row_counts : ndarray of shape (K,), int64
        Number of these rows.
    """

    exact: NDArray[np.float64]
    table: NDArray[Any]
    rows: NDArray[np.int32]
    row_cells: NDArray[np.int32]
    row_counts: NDArray[np.int64]


class Kernel(NamedTuple):
    """One kernel of :class:`KernelTables`; ``extent`` is its length along each axis, in voxels."""

    table: NDArray[Any]
    rows: NDArray[np.int32]
    cells: NDArray[np.int32]
    extent: int


class Studies(NamedTuple):
    """Which foci belong together.

    Parameters
    ----------
    offsets : ndarray of shape (S + 1,), int64
        The foci of study ``s`` are ``offsets[s]`` to ``offsets[s + 1]``.
    kernel : ndarray of shape (S,), int64
        Which kernel each study has.
    scale : ndarray of shape (S,), float64
        Weight of each study.
    dense : ndarray of shape (S,), bool
        Studies with so many foci that most of them overlap: their own maps are made first.
    exact : bool
        Whether any overlap within a study has its map made first. Then every sum is made of the same terms in the same
        order as NiMARE's.
    """

    offsets: NDArray[np.int64]
    kernel: NDArray[np.int64]
    scale: NDArray[np.float64]
    dense: NDArray[np.bool_]
    exact: bool


class FociPlan(NamedTuple):
    """What does not change from permutation to permutation."""

    grid: PaddedGrid
    kernels: KernelTables
    studies: Studies


class Foci(NamedTuple):
    """The foci of one permutation: their voxels, their kernels' first cells, and scratch for distances of one focus."""

    ijk: NDArray[np.int32]
    corner: NDArray[np.int32]
    overlaps: NDArray[np.int32]


class Sums(NamedTuple):
    """What one thread adds up, one value per cell of the grid.

    Parameters
    ----------
    total : ndarray
        Sum over studies.
    study : ndarray
        Map of one study, left as found: all 0. One cell long where no study needs it.
    seen, scale_row : ndarray
        One row each: what the earlier foci of a study reach, and the study's weight.
    lanes : tuple
        As long as a row; see :mod:`compose_runner.analysis.compute.engine.simd`.
    """

    total: NDArray[Any]
    study: NDArray[Any]
    seen: NDArray[Any]
    scale_row: NDArray[Any]
    lanes: tuple[np.int8, ...]


# Parts of kernels, which nothing calls from Python: LLVM decides which are inlined, but for those that are so short
# that a call would cost more than they do.
step = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
inlined_step = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


@inlined_step
def place_foci(draw, grid, foci):
    """Look up where the foci of one permutation lie."""
    null_ijk, null_corner = grid.null_ijk, grid.null_corner
    ijk, corner = foci.ijk, foci.corner
    for p in range(draw.shape[0]):
        d = draw[p]
        ijk[p, 0] = null_ijk[d, 0]
        ijk[p, 1] = null_ijk[d, 1]
        ijk[p, 2] = null_ijk[d, 2]
        corner[p] = null_corner[d]


# inlined by numba itself: the loops around it are optimized together with it, which LLVM's inlining comes too late for
@njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
def overlapping(first, p, ijk, n, overlaps):
    """Collect the distances of focus ``p`` to those foci from ``first`` on whose kernels overlap its own."""
    found = 0
    for q in range(first, p):
        dx = ijk[p, 0] - ijk[q, 0]
        dy = ijk[p, 1] - ijk[q, 1]
        dz = ijk[p, 2] - ijk[q, 2]
        if -n < dx < n and -n < dy < n and -n < dz < n:
            overlaps[found, 0] = dx
            overlaps[found, 1] = dy
            overlaps[found, 2] = dz
            found += 1
    return found


@inlined_step
def any_overlap(first, last, n, foci):
    """Whether any two foci of a study are so near that their kernels may overlap."""
    p = first
    while p < last and overlapping(first, p, foci.ijk, n, foci.overlaps) == 0:
        p += 1
    return p < last


@inlined_step
def take_kernel(kernels, k, n):
    """Return one kernel, without the rows that it does not use."""
    n_rows = kernels.row_counts[k]
    return Kernel(kernels.table[k], kernels.rows[k, :n_rows], kernels.row_cells[k, :n_rows], n)


def study_steps(lower, add, add_excess):
    """Make the two steps of :func:`for_each_study` that add, at each voxel, the strongest focus of a study.

    Parameters
    ----------
    lower : compiled function of ``(target, o, source, k, lanes)``
        Puts a focus into the map of its study.
    add : compiled function of ``(total, o, source, k, scale, lanes)``
        Adds a row of a study to the sums.
    add_excess : compiled function of ``(total, o, source, k, seen, scale, lanes)``
        Adds what a row exceeds those of the study's earlier foci by.
    """

    @step
    def add_study(first, last, kernel, foci, sums):
        # in one pass; where foci overlap, only what exceeds the earlier ones
        ijk, corner, overlaps = foci
        total, _, seen, scale, lanes = sums
        table, rows, row_cell, n = kernel
        w = len(lanes)
        pitch = 3 * w
        for p in range(first, last):
            n_overlaps = overlapping(first, p, ijk, n, overlaps)
            base = corner[p]
            if n_overlaps == 0:
                for r in range(rows.shape[0]):
                    k = (rows[r, 0] * n + rows[r, 1]) * pitch + w
                    add(total, base + row_cell[r], table, k, scale, lanes)
                continue
            for r in range(rows.shape[0]):
                clear(seen, 0, lanes)
                a = rows[r, 0]
                b = rows[r, 1]
                for m in range(n_overlaps):
                    a2 = a + overlaps[m, 0]
                    b2 = b + overlaps[m, 1]
                    if 0 <= a2 < n and 0 <= b2 < n:
                        lower(seen, 0, table, (a2 * n + b2) * pitch + w + overlaps[m, 2], lanes)
                add_excess(total, base + row_cell[r], table, (a * n + b) * pitch + w, seen, scale, lanes)

    @step
    def add_dense_study(first, last, kernel, foci, sums):
        # most foci overlap: the study's own map first, then the map to the sums
        corner = foci.corner
        total, study, _, scale, lanes = sums
        table, rows, row_cell, n = kernel
        w = len(lanes)
        for p in range(first, last):
            for r in range(rows.shape[0]):
                k = (rows[r, 0] * n + rows[r, 1]) * 3 * w + w
                lower(study, corner[p] + row_cell[r], table, k, lanes)
        for p in range(first, last):
            for r in range(rows.shape[0]):
                o = corner[p] + row_cell[r]
                add(total, o, study, o, scale, lanes)
                clear(study, o, lanes)

    return add_study, add_dense_study


def for_each_study(add_study, add_dense_study):
    """Make the compiled function that adds all studies of a permutation, each by the one step or the other.

    Both steps are compiled functions of ``(first, last, kernel, foci, sums)``, the study's foci being ``first`` to
    ``last``.
    """

    @step
    def add_studies(plan, foci, sums):
        offsets, number, scale, dense, exact = plan.studies
        scale_row, n = sums.scale_row, 2 * plan.grid.reach + 1
        kernel = take_kernel(plan.kernels, number[0], n)
        for g in range(offsets.shape[0] - 1):
            first, last = offsets[g], offsets[g + 1]
            if g > 0 and number[g] != number[g - 1]:
                kernel = take_kernel(plan.kernels, number[g], n)
            scale_row[:] = scale[g]
            if dense[g] or (exact and any_overlap(first, last, n, foci)):
                add_dense_study(first, last, kernel, foci, sums)
            else:
                add_study(first, last, kernel, foci, sums)

    return add_studies
