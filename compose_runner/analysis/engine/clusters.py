"""Clusters of the voxels above a threshold, without a pass over the volume."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def root_of(parent, x):
    """Return the root of ``x`` in a union-find forest, halving the path."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def largest_clusters(cell, stat, n, stride_y, stride_x, threshold, label, parent, size, mass):
    """Return the largest size and the largest mass among face-connected clusters.

    Parameters
    ----------
    cell : ndarray of int32
        Cells of the voxels above the threshold, in the order of the volume; ``n`` of them are used.
    stat : ndarray of float32
        Their statistic.
    label : ndarray of int32
        One entry per cell of the grid, all 0; left as found.
    parent, size, mass : ndarray
        Scratch, at least ``n`` long.

    Notes
    -----
    A cluster's mass is summed in the order of the volume, as ``scipy.ndimage.sum`` does, so that the sums are the same
    to the last bit.
    """
    for t in range(n):
        parent[t] = t
        size[t] = 0
        mass[t] = 0.0
        c = cell[t]
        for d in (1, stride_y, stride_x):
            other = label[c - d]
            if other > 0:
                a = root_of(parent, t)
                b = root_of(parent, other - 1)
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
        label[c] = t + 1
    largest_size = 0
    largest_mass = 0.0
    for t in range(n):
        r = root_of(parent, t)
        size[r] += 1
        mass[r] += abs(float(stat[t])) - threshold
    for t in range(n):
        if size[t] > largest_size:
            largest_size = size[t]
        if mass[t] > largest_mass:
            largest_mass = mass[t]
        label[cell[t]] = 0
    return largest_size, largest_mass
