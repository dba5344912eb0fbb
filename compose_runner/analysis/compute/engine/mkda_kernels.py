"""Permutations whose statistic is a number of studies (MKDA) or of foci (KDA), times a constant.

Counts are small integers: they are added exactly, sixteen voxels at a time, and become a statistic by a table that
holds what NiMARE's repeated addition gives.

Sources: Wager et al. (2007), doi:10.1093/scan/nsm015 (MKDA); Wager et al. (2003), doi:10.1016/S1053-8119(03)00078-8
(KDA); both as NiMARE computes them.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from compose_runner.analysis.compute.engine.clusters import ClusterScratch, largest_clusters
from compose_runner.analysis.compute.engine.foci_kernels import (
    Foci,
    Sums,
    for_each_study,
    inlined_step,
    place_foci,
    step,
    study_steps,
    take_kernel,
)
from compose_runner.analysis.compute.engine.simd import add_count, add_new_count, any_reaches, mark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CountLimits(NamedTuple):
    """What a permutation's counts mean.

    Parameters
    ----------
    in_mask : ndarray of the counts' type
        -1 (all bits) for the cells of the mask in the grid's blocks, 0 for the others.
    stat_of_count : ndarray of float32
        The statistic of each count.
    limit : int
        The lowest count whose statistic is above the threshold.
    threshold : float
        Statistic above which a voxel belongs to a cluster.
    every_focus : bool
        Whether foci are counted (KDA) rather than studies (MKDA).
    with_clusters : bool
        Whether clusters are wanted besides the maximum.
    """

    in_mask: NDArray[Any]
    stat_of_count: NDArray[np.float32]
    limit: int
    threshold: float
    every_focus: bool
    with_clusters: bool


class CountScratch(NamedTuple):
    """What one thread writes to while it looks for maxima; ``lanes`` is as long as a block of the grid."""

    foci: Foci
    sums: Sums
    clusters: ClusterScratch
    lanes: tuple[np.int8, ...]


@step
def count_foci(n_foci, plan, foci, sums):
    """Count every focus: it does not matter which study they belong to."""
    corner, total, lanes = foci.corner, sums.total, sums.lanes
    table, rows, row_cell, n = take_kernel(plan.kernels, 0, 2 * plan.grid.reach + 1)
    w = len(lanes)
    for p in range(n_foci):
        for r in range(rows.shape[0]):
            k = (rows[r, 0] * n + rows[r, 1]) * 3 * w + w
            add_count(total, corner[p] + row_cell[r], table, k, lanes)


@inlined_step
def count_row(total, o, source, k, _scale, lanes):
    """Count the voxels of a row; every study counts the same."""
    add_count(total, o, source, k, lanes)


@inlined_step
def count_new(total, o, source, k, seen, _scale, lanes):
    """Count the voxels of a row that the study has not reached before."""
    add_new_count(total, o, source, k, seen, lanes)


count_studies = for_each_study(*study_steps(mark, count_row, count_new))


@step
def count_permutation(draw, plan, every_focus, foci, sums):
    """Compute the counts of one permutation."""
    place_foci(draw, plan.grid, foci)
    sums.total[:] = 0
    if every_focus:
        count_foci(draw.shape[0], plan, foci, sums)
    else:
        count_studies(plan, foci, sums)


@step
def highest_count(total, block_start, in_mask, lanes):
    """Return the highest count within the mask."""
    w = len(lanes)
    highest = 0
    for b in range(block_start.shape[0]):
        if any_reaches(total, block_start[b], in_mask, b * w, highest + 1, lanes):
            for c in range(w):
                value = total[block_start[b] + c] & in_mask[b * w + c]
                if value > highest:
                    highest = value
    return highest


@njit(nogil=True, cache=True)
def mkda_maxima(draws, plan, limits, scratch, out):
    """Compute the maxima of some permutations.

    Parameters
    ----------
    draws : ndarray of shape (P, F), int32
        The drawn voxel of every focus.
    plan : FociPlan
    limits : CountLimits
    scratch : CountScratch
    out : ndarray of shape (P, 3)
        Becomes the maximal statistic, the largest cluster's size and the largest cluster's mass.
    """
    foci, sums, clusters, lanes = scratch
    in_mask, stat_of_count, limit, threshold, every_focus, with_clusters = limits
    total, cell, stat = sums.total, clusters.cell, clusters.stat
    block_start = plan.grid.block_start
    w = len(lanes)
    for i in range(draws.shape[0]):
        count_permutation(draws[i], plan, every_focus, foci, sums)
        highest = 0
        n_above = 0
        if with_clusters:
            for b in range(block_start.shape[0]):
                if any_reaches(total, block_start[b], in_mask, b * w, limit, lanes):
                    for c in range(w):
                        value = total[block_start[b] + c] & in_mask[b * w + c]
                        if value >= limit:
                            cell[n_above] = block_start[b] + c
                            stat[n_above] = stat_of_count[value]
                            n_above += 1
                            if value > highest:
                                highest = value
        if n_above == 0:
            highest = highest_count(total, block_start, in_mask, lanes)
        out[i, 0] = stat_of_count[highest]
        if with_clusters:
            out[i, 1], out[i, 2] = largest_clusters(n_above, plan.grid, threshold, clusters)


class CountBins(NamedTuple):
    """Where counts go in a histogram.

    Parameters
    ----------
    voxel_cell : ndarray of int32
        The cell of every voxel of the mask.
    bin_of_count : ndarray of int64
        The bin of each count; -1 for those outside the histogram.
    every_focus : bool
        Whether foci are counted (KDA) rather than studies (MKDA).
    """

    voxel_cell: NDArray[np.int32]
    bin_of_count: NDArray[np.int64]
    every_focus: bool


@njit(nogil=True, cache=True)
def mkda_histograms(draws, plan, bins, foci, sums, histogram, out):
    """Add some permutations to a histogram of every voxel's statistic; ``out[i, 0]`` becomes the last bin used."""
    voxel_cell, bin_of_count, every_focus = bins
    total = sums.total
    for i in range(draws.shape[0]):
        count_permutation(draws[i], plan, every_focus, foci, sums)
        last = 0
        for v in range(voxel_cell.shape[0]):
            at = bin_of_count[total[voxel_cell[v]]]
            if at >= 0:
                histogram[at] += 1
                last = max(last, at)
        out[i, 0] = last
