"""Clusters of the voxels above a threshold, without a pass over the volume."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClusterScratch(NamedTuple):
    """The voxels above a threshold, and what finding their clusters needs.

    Parameters
    ----------
    cell : ndarray of int32
        Cells of these voxels on the grid.
    stat : ndarray of float32
        Their statistic.
    label : ndarray of int32
        One entry per cell of the grid, all 0.
    parent, size : ndarray of int32
    mass : ndarray of float64
        Union-find forest of the voxels; size and mass of the cluster of each root.
    """

    cell: NDArray[np.int32]
    stat: NDArray[np.float32]
    label: NDArray[np.int32]
    parent: NDArray[np.int32]
    size: NDArray[np.int32]
    mass: NDArray[np.float64]


def cluster_scratch(n_voxels: int, n_cells: int) -> ClusterScratch:
    """Make scratch for so many voxels above the threshold, on a grid of so many cells."""
    return ClusterScratch(
        cell=np.zeros(n_voxels, dtype=np.int32),
        stat=np.zeros(n_voxels, dtype=np.float32),
        label=np.zeros(n_cells, dtype=np.int32),
        parent=np.zeros(n_voxels, dtype=np.int32),
        size=np.zeros(n_voxels, dtype=np.int32),
        mass=np.zeros(n_voxels),
    )


@njit(nogil=True, cache=True)
def find_root(parent, x):
    """Return the root of ``x`` in a union-find forest, halving the path."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def largest_clusters(n, grid, threshold, scratch):
    """Return the largest size and the largest mass among face-connected clusters.

    Parameters
    ----------
    n : int
        Number of voxels above the threshold; their cells and statistics are in ``scratch``, in the volume's order.
    grid : PaddedGrid
        The grid of the cells.
    threshold : float
        Subtracted from every voxel's statistic before it counts for its cluster's mass.
    scratch : ClusterScratch
        Left with the same cells and statistics, and without labels.

    Notes
    -----
    A cluster's mass is summed in the order of the volume, as ``scipy.ndimage.sum`` does, so that the sums are the same
    to the last bit.
    """
    cell, stat, label, parent, size, mass = scratch
    stride_y, stride_x = grid.stride_y, grid.stride_x
    for t in range(n):
        parent[t] = t
        size[t] = 0
        mass[t] = 0.0
        c = cell[t]
        for d in (1, stride_y, stride_x):
            other = label[c - d]
            if other > 0:
                a = find_root(parent, t)
                b = find_root(parent, other - 1)
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
        label[c] = t + 1
    largest_size = 0
    largest_mass = 0.0
    for t in range(n):
        r = find_root(parent, t)
        size[r] += 1
        mass[r] += abs(float(stat[t])) - threshold
    for t in range(n):
        if size[t] > largest_size:
            largest_size = size[t]
        if mass[t] > largest_mass:
            largest_mass = mass[t]
        label[cell[t]] = 0
    return largest_size, largest_mass
