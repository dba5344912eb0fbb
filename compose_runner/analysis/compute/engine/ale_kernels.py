"""Permutations whose statistic is a sum over studies of the strongest focus: ALE, SCALE, MKDA with unequal weights.

For maxima a permutation is computed twice. The first pass adds single-precision rows and only has to tell which voxels
may matter: those that may be above the threshold, and those that may be the maximum; its error is bounded, so none is
missed. The second computes these few voxels as NiMARE does, in double precision and in the order of the studies, so
that the maximum, the cluster sizes and the cluster masses are NiMARE's to the last bit.

For histograms and for SCALE every voxel counts, so that sums are made in double precision and in NiMARE's order from
the start. SCALE compares ``float32(1 - exp(sum))`` with the observed statistic at every voxel of every permutation.
That value only falls with the sum, so there is one sum per voxel up to which it is reached: it is found once, with
NumPy's own exponential, and a permutation is then compared without computing a statistic.

Sums are kept negative: ALE adds ``log(1 - value)``, a weighted density adds ``-weight * value``.

Sources: Turkeltaub et al. (2012), doi:10.1002/hbm.21186 (the strongest focus of a study counts); Eickhoff et al.
(2012), doi:10.1016/j.neuroimage.2011.09.017 (maxima and clusters of permutations); Langner et al. (2014),
doi:10.1016/j.neuroimage.2014.06.007 (SCALE); all of them as NiMARE computes them.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from compose_runner.analysis.compute.engine.clusters import ClusterScratch, largest_clusters
from compose_runner.analysis.compute.engine.foci_kernels import (
    Foci,
    Sums,
    for_each_study,
    place_foci,
    step,
    study_steps,
)
from compose_runner.analysis.compute.engine.simd import add_excess, add_scaled, any_below, lower_to

if TYPE_CHECKING:
    from numpy.typing import NDArray


class AleLimits(NamedTuple):
    """What a permutation's sums are compared with.

    Parameters
    ----------
    bias : ndarray of float32
        0 for the cells of the mask in the grid's blocks, infinite for the others.
    limit : float32
        The single-precision sum below which a voxel may be above the threshold.
    slack : float
        Relative error of a single-precision sum.
    threshold : float
        Statistic above which a voxel belongs to a cluster.
    is_log : bool
        Whether the statistic is ``1 - exp(sum)`` rather than ``-sum``.
    with_clusters : bool
        Whether clusters are wanted besides the maximum.
    """

    bias: NDArray[np.float32]
    limit: np.float32
    slack: float
    threshold: float
    is_log: bool
    with_clusters: bool


class ExactScratch(NamedTuple):
    """Scratch of :func:`exact_sums`, one entry per voxel of the mask; ``plane`` has one per plane of the box, and 1."""

    xyz: NDArray[np.int32]
    exact: NDArray[np.float64]
    current: NDArray[np.float64]
    touched: NDArray[np.int32]
    plane: NDArray[np.int64]


class AleScratch(NamedTuple):
    """What one thread writes to while it looks for maxima; ``lanes`` is as long as a block of the grid."""

    foci: Foci
    sums: Sums
    clusters: ClusterScratch
    exact: ExactScratch
    lanes: tuple[np.int8, ...]


add_studies = for_each_study(*study_steps(lower_to, add_scaled, add_excess))


@step
def sum_studies(draw, plan, foci, sums):
    """Compute the sums of one permutation."""
    place_foci(draw, plan.grid, foci)
    sums.total[:] = 0.0
    add_studies(plan, foci, sums)


@step
def cells_below(total, block_start, bias, limit, cell, lanes):
    """Collect the cells of the mask whose sum is below ``limit``, in order; return how many and the lowest sum."""
    w = len(lanes)
    n = 0
    lowest = np.float32(0.0)
    for b in range(block_start.shape[0]):
        if any_below(total, block_start[b], bias, b * w, limit, lanes):
            for c in range(w):
                value = total[block_start[b] + c] + bias[b * w + c]
                if value < limit:
                    cell[n] = block_start[b] + c
                    n += 1
                    if value < lowest:
                        lowest = value
    return n, lowest


@step
def lowest_sum(total, block_start, bias, lanes):
    """Return the lowest sum within the mask."""
    w = len(lanes)
    lowest = np.float32(0.0)
    for b in range(block_start.shape[0]):
        if any_below(total, block_start[b], bias, b * w, lowest, lanes):
            for c in range(w):
                value = total[block_start[b] + c] + bias[b * w + c]
                if value < lowest:
                    lowest = value
    return lowest


@step
def exact_sums(n_cells, cell, plan, foci, scratch):
    """Compute the sums of a few cells in double precision, study after study, into ``scratch.exact``."""
    xyz, exact, current, touched, plane = scratch
    pad, stride_y, stride_x, reach = plan.grid.pad, plan.grid.stride_y, plan.grid.stride_x, plan.grid.reach
    offsets, kernel, scale = plan.studies.offsets, plan.studies.kernel, plan.studies.scale
    table, ijk = plan.kernels.exact, foci.ijk
    n = 2 * reach + 1
    n_planes = plane.shape[0] - 1
    x_before = -1
    for t in range(n_cells):
        x = cell[t] // stride_x - pad
        rest = cell[t] % stride_x
        xyz[t, 0] = x
        xyz[t, 1] = rest // stride_y - pad
        xyz[t, 2] = rest % stride_y - pad
        exact[t] = 0.0
        current[t] = 0.0
        while x_before < x:
            x_before += 1
            plane[x_before] = t
    while x_before < n_planes:
        x_before += 1
        plane[x_before] = n_cells
    for g in range(offsets.shape[0] - 1):
        k = kernel[g]
        n_touched = 0
        for p in range(offsets[g], offsets[g + 1]):
            px = ijk[p, 0] - reach
            py = ijk[p, 1] - reach
            pz = ijk[p, 2] - reach
            for t in range(plane[max(px, 0)], plane[min(px + n, n_planes)]):
                b = xyz[t, 1] - py
                c = xyz[t, 2] - pz
                if 0 <= b < n and 0 <= c < n:
                    value = table[k, xyz[t, 0] - px, b, c]
                    if value < current[t]:
                        if current[t] == 0.0:
                            touched[n_touched] = t
                            n_touched += 1
                        current[t] = value
        for s in range(n_touched):
            t = touched[s]
            exact[t] += scale[g] * current[t]
            current[t] = 0.0


@njit(nogil=True, cache=True)
def ale_maxima(draws, plan, limits, scratch, out):
    """Compute the maxima of some permutations.

    Parameters
    ----------
    draws : ndarray of shape (P, F), int32
        The drawn voxel of every focus.
    plan : FociPlan
    limits : AleLimits
    scratch : AleScratch
    out : ndarray of shape (P, 3)
        Becomes the maximal statistic, the largest cluster's size and the largest cluster's mass.
    """
    foci, sums, clusters, exact, lanes = scratch
    bias, limit, slack, threshold, is_log, with_clusters = limits
    total, cell, stat = sums.total, clusters.cell, clusters.stat
    block_start = plan.grid.block_start
    for i in range(draws.shape[0]):
        sum_studies(draws[i], plan, foci, sums)
        n_cells, lowest = cells_below(total, block_start, bias, limit, cell, lanes)
        if n_cells == 0:
            lowest = lowest_sum(total, block_start, bias, lanes)
        # Every voxel whose exact sum may be the lowest has to be among the candidates.
        reachable = np.float32(lowest * (1.0 - slack))
        if reachable >= limit and lowest < 0.0:
            n_cells, lowest = cells_below(total, block_start, bias, reachable, cell, lanes)
        exact_sums(n_cells, cell, plan, foci, exact)
        highest = np.float32(0.0)
        n_above = 0
        for t in range(n_cells):
            value = np.float32(1.0 - np.exp(exact.exact[t])) if is_log else np.float32(-exact.exact[t])
            if value > highest:
                highest = value
            if with_clusters and float(value) > threshold:
                cell[n_above] = cell[t]
                stat[n_above] = value
                n_above += 1
        out[i, 0] = highest
        if with_clusters:
            out[i, 1], out[i, 2] = largest_clusters(n_above, plan.grid, threshold, clusters)


@njit(nogil=True, cache=True)
def bin_number(value, edges):
    """Return the bin that ``numpy.histogram`` puts a value into, or -1: an edge belongs to the bin above it."""
    n_bins = edges.shape[0] - 1
    if not edges[0] <= value <= edges[n_bins]:
        return -1
    at = int((value - edges[0]) / (edges[1] - edges[0]))
    at = min(max(at, 0), n_bins - 1)
    while value < edges[at]:
        at -= 1
    while at + 1 < n_bins and value >= edges[at + 1]:
        at += 1
    return at


@step
def bin_sums(total, voxel_cell, edges, histogram):
    """Add every voxel's ALE to ``histogram``; return the last bin used."""
    last = 0
    n_untouched = 0
    for v in range(voxel_cell.shape[0]):
        value = total[voxel_cell[v]]
        if value == 0.0:
            n_untouched += 1
            continue
        at = bin_number(float(np.float32(1.0 - np.exp(value))), edges)
        if at >= 0:
            histogram[at] += 1
            last = max(last, at)
    at = bin_number(0.0, edges)
    if at >= 0 and n_untouched > 0:
        histogram[at] += n_untouched
        last = max(last, at)
    return last


@step
def count_sums(total, voxel_cell, limits, counts):
    """Add to ``counts`` where a voxel's sum is at or below its limit; return the lowest sum within the mask."""
    lowest = 0.0
    for v in range(voxel_cell.shape[0]):
        value = total[voxel_cell[v]]
        counts[v] += value <= limits[v]
        lowest = min(lowest, value)
    return lowest


@njit(nogil=True, cache=True)
def ale_histograms(draws, plan, foci, sums, voxel_cell, edges, histogram, out):
    """Add some permutations to a histogram of every voxel's ALE; ``out[i, 0]`` becomes the last bin used."""
    for i in range(draws.shape[0]):
        sum_studies(draws[i], plan, foci, sums)
        out[i, 0] = bin_sums(sums.total, voxel_cell, edges, histogram)


@njit(nogil=True, cache=True)
def ale_exceedances(draws, plan, foci, sums, voxel_cell, limits, counts, out):
    """Count for each voxel how often its sum is at or below its limit; ``out[i, 0]`` becomes the lowest sum."""
    for i in range(draws.shape[0]):
        sum_studies(draws[i], plan, foci, sums)
        out[i, 0] = count_sums(sums.total, voxel_cell, limits, counts)
