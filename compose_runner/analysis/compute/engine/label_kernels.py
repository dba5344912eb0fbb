# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

"""Permutations that give two groups' studies to the groups anew: compiled steps.

A study's map does not change, only which group it counts for. So a permutation is a sum of sparse rows: counts of
active studies for MKDAChi2, sums of logarithms in NiMARE's own order for ALESubtraction.

Sources: Wager et al. (2007), doi:10.1093/scan/nsm015 (MKDAChi2); Laird et al. (2005), doi:10.1002/hbm.20136, and
Eickhoff et al. (2012), doi:10.1016/j.neuroimage.2011.09.017 (ALESubtraction); both as NiMARE computes them, the
chi-squared tests operation by operation those of ``nimare.stats.one_way`` and ``nimare.stats.two_way``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from compose_runner.analysis.compute.engine.clusters import ClusterScratch, largest_clusters
from compose_runner.analysis.compute.engine.simd import add_widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compose_runner.analysis.compute.engine.grid import PaddedGrid


class BinaryMaps(NamedTuple):
    """The studies of two groups, as the voxels that each of them reaches.

    Parameters
    ----------
    n_first : int
        Studies of the first group.
    indptr : ndarray of shape (S + 1,), int64
    indices : ndarray of int32
        Study ``s`` reaches the voxels ``indices[indptr[s]:indptr[s + 1]]`` of the mask.
    all_counts : ndarray of int32
        How many studies reach each voxel.
    voxel_cell : ndarray of int32
        The cell of each voxel on the grid.
    grid : PaddedGrid
    """

    n_first: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    all_counts: NDArray[np.int32]
    voxel_cell: NDArray[np.int32]
    grid: PaddedGrid


class Chi2Scratch(NamedTuple):
    """Scratch of :func:`chi2_maxima`: studies per voxel, and each group's uniformity per number of studies."""

    counts: NDArray[np.int32]
    first_table: NDArray[np.float64]
    second_table: NDArray[np.float64]
    clusters: ClusterScratch


class LogRows(NamedTuple):
    """A sparse matrix of logarithms whose rows can be added some voxels at a time.

    Parameters
    ----------
    pieces : ndarray of int64
        Row ``r`` has the pieces ``pieces[r]`` to ``pieces[r + 1]``.
    at : ndarray of int32
        First voxel of each piece.
    logs : ndarray of float32
        ``log(1 - value)``, as many to a piece as there are lanes. NumPy's logarithm in single precision, as in NiMARE's
        own step.
    """

    pieces: NDArray[np.int64]
    at: NDArray[np.int32]
    logs: NDArray[np.float32]


@njit(nogil=True, cache=True)
def add_counts(rows, indptr, indices, counts):
    """``counts`` becomes how many of these rows (studies) are active at each voxel."""
    counts[:] = 0
    for s in range(rows.shape[0]):
        for t in range(indptr[rows[s]], indptr[rows[s] + 1]):
            counts[indices[t]] += 1


@njit(nogil=True, cache=True)
def uniformity_table(counts, n, table):
    """``table[k]`` becomes the one-way chi-squared of ``k`` active studies of ``n``, against the mean of ``counts``."""
    total = 0
    for v in range(counts.shape[0]):
        total += counts[v]
    expected = total / counts.shape[0]
    variance = expected * (n - expected)
    for k in range(n + 1):
        if variance == 0:
            table[k] = 0.0
        else:
            difference = float(k) - expected
            table[k] = difference * difference * n / variance


@njit(nogil=True, cache=True)
def association(a, b, n_a, n_b):
    """Two-way chi-squared: ``a`` active studies of ``n_a``, ``b`` of ``n_b``; operation by operation NiMARE's."""
    total = n_a + n_b
    active = a + b
    difference = a * n_b - b * n_a
    variance = active * (total - active) * n_a * n_b
    if variance == 0:
        return 2.0
    return total * (difference * difference) / variance


@njit(nogil=True, cache=True)
def chi2_maxima(orders, maps, threshold, scratch, out):
    """Compute the nine maxima of some label permutations.

    Statistic, cluster size and cluster mass, of the first group's uniformity, the second group's uniformity, and the
    association, in this order.

    Parameters
    ----------
    orders : ndarray of shape (P, S), int32
        The first group's studies, then the second's.
    maps : BinaryMaps
    threshold : float
        Chi-squared above which a voxel belongs to a cluster.
    scratch : Chi2Scratch
    out : ndarray of shape (P, 9)
    """
    n_first, indptr, indices, all_counts, voxel_cell, grid = maps
    counts, first_table, second_table, clusters = scratch
    cell, stat = clusters.cell, clusters.stat
    n_second = orders.shape[1] - n_first
    n_voxels = counts.shape[0]
    for i in range(orders.shape[0]):
        if n_first <= n_second:
            add_counts(orders[i, :n_first], indptr, indices, counts)
        else:
            add_counts(orders[i, n_first:], indptr, indices, counts)
            for v in range(n_voxels):
                counts[v] = all_counts[v] - counts[v]
        uniformity_table(counts, n_first, first_table)
        for v in range(n_voxels):
            counts[v] = all_counts[v] - counts[v]
        uniformity_table(counts, n_second, second_table)
        for which in range(3):
            highest = 0.0
            n_above = 0
            for v in range(n_voxels):
                b = counts[v]
                a = all_counts[v] - b
                if which == 0:
                    value = first_table[a]
                elif which == 1:
                    value = second_table[b]
                else:
                    value = association(float(a), float(b), float(n_first), float(n_second))
                if value > highest:
                    highest = value
                single = np.float32(value)
                if float(single) > threshold:
                    cell[n_above] = voxel_cell[v]
                    stat[n_above] = single
                    n_above += 1
            largest_size, largest_mass = largest_clusters(n_above, grid, threshold, clusters)
            out[i, 3 * which] = highest
            out[i, 3 * which + 1] = largest_size
            out[i, 3 * which + 2] = largest_mass


@njit(nogil=True, cache=True)
def add_log_rows(row, logs, sums, lanes):
    """Add the logarithms of one study to ``sums``."""
    pieces, at, values = logs
    w = len(lanes)
    for t in range(pieces[row], pieces[row + 1]):
        add_widened(sums, at[t], values, t * w, lanes)


@njit(nogil=True, cache=True)
def sum_logs(studies, first, second, sums, rest, lanes):
    """``sums`` becomes the sum of ``log(1 - value)`` over some studies of two stacked matrices of :class:`LogRows`.

    The rows of each matrix are summed by themselves first, as NiMARE does: sums of floats depend on their order.
    """
    n_first = first.pieces.shape[0] - 1
    sums[:] = 0.0
    rest[:] = 0.0
    for s in range(studies.shape[0]):
        row = studies[s]
        if row < n_first:
            add_log_rows(row, first, sums, lanes)
        else:
            add_log_rows(row - n_first, second, rest, lanes)
    for v in range(sums.shape[0]):
        sums[v] += rest[v]


# No value here is NaN, which lets the compiler search for the largest one with vectors; nothing else is relaxed.
@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def group_difference(first_exp, second_exp):
    """``first_exp`` becomes the difference of two groups' statistics; return the largest absolute one."""
    highest = 0.0
    for v in range(first_exp.shape[0]):
        difference = (1.0 - first_exp[v]) - (1.0 - second_exp[v])
        first_exp[v] = difference
        highest = max(highest, abs(difference))
    return highest


@njit(nogil=True, cache=True)
def count_tails(difference, observed, upper, lower):
    """Count the voxels' differences that are at least, and at most, the observed one."""
    for v in range(observed.shape[0]):
        upper[v] += difference[v] >= observed[v]
        lower[v] += difference[v] <= observed[v]
