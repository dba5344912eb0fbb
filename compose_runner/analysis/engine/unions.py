"""Permutations whose statistic is a sum over studies of the strongest focus: ALE, and MKDA with unequal weights.

A permutation is computed twice. The first pass adds single-precision rows and only has to tell which voxels may
matter: those that may be above the threshold, and those that may be the maximum; its error is bounded, so none is
missed. The second computes these few voxels as NiMARE does, in double precision and in the order of the studies, so
that the maximum, the cluster sizes and the cluster masses are NiMARE's to the last bit.

Sums are kept negative: ALE adds ``log(1 - value)``, a weighted density adds ``-weight * value``.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

import numpy as np
from numba import njit

from compose_runner.analysis.engine.clusters import largest_clusters
from compose_runner.analysis.engine.lanes import (
    add_excess,
    add_scaled,
    any_below,
    clear,
    flush_scaled,
    lower_to,
)


@njit(nogil=True, cache=True)
def add_study(first, last, ijk, corner, table, rows, row_cell, n, scale, total, meets, seen, lanes):
    """Add one study's foci to ``total`` in one pass; where foci meet, only what exceeds the earlier ones."""
    w = len(lanes)
    pitch = 3 * w
    for p in range(first, last):
        n_meets = 0
        for q in range(first, p):
            dx = ijk[p, 0] - ijk[q, 0]
            dy = ijk[p, 1] - ijk[q, 1]
            dz = ijk[p, 2] - ijk[q, 2]
            if -n < dx < n and -n < dy < n and -n < dz < n:
                meets[n_meets, 0] = dx
                meets[n_meets, 1] = dy
                meets[n_meets, 2] = dz
                n_meets += 1
        base = corner[p]
        if n_meets == 0:
            for r in range(rows.shape[0]):
                k = (rows[r, 0] * n + rows[r, 1]) * pitch + w
                add_scaled(total, base + row_cell[r], table, k, scale, lanes)
            continue
        for r in range(rows.shape[0]):
            clear(seen, 0, lanes)
            a = rows[r, 0]
            b = rows[r, 1]
            for m in range(n_meets):
                a2 = a + meets[m, 0]
                b2 = b + meets[m, 1]
                if 0 <= a2 < n and 0 <= b2 < n:
                    lower_to(seen, 0, table, (a2 * n + b2) * pitch + w + meets[m, 2], lanes)
            add_excess(total, base + row_cell[r], table, (a * n + b) * pitch + w, seen, scale, lanes)


@njit(nogil=True, cache=True)
def add_crowded_study(first, last, corner, table, rows, row_cell, n, scale, total, study, lanes):
    """Add a study with so many foci that most of them meet: its own map first, then the map to ``total``."""
    w = len(lanes)
    pitch = 3 * w
    for p in range(first, last):
        for r in range(rows.shape[0]):
            k = (rows[r, 0] * n + rows[r, 1]) * pitch + w
            lower_to(study, corner[p] + row_cell[r], table, k, lanes)
    for p in range(first, last):
        for r in range(rows.shape[0]):
            flush_scaled(total, study, corner[p] + row_cell[r], scale, lanes)


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def exact_sums(
    cell, n_cells, pad, stride_y, stride_x, offsets, group_kernel, ijk, exact_table, reach, scale, plane, xyz, exact,
    current, touched,
):  # fmt: skip
    """Compute the sums of a few cells in double precision, study after study, into ``exact``."""
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
        k = group_kernel[g]
        n_touched = 0
        for p in range(offsets[g], offsets[g + 1]):
            px = ijk[p, 0] - reach
            py = ijk[p, 1] - reach
            pz = ijk[p, 2] - reach
            for t in range(plane[max(px, 0)], plane[min(px + n, n_planes)]):
                b = xyz[t, 1] - py
                c = xyz[t, 2] - pz
                if 0 <= b < n and 0 <= c < n:
                    value = exact_table[k, xyz[t, 0] - px, b, c]
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
def union_maxima(
    start, stop, draws, null_ijk, null_corner, offsets, group_kernel, crowded, tables, exact_tables, rows, row_cells,
    row_counts, reach, scale, pad, stride_y, stride_x, block_start, bias, limit, slack, threshold, is_log,
    with_clusters, total, study, label, ijk, corner, meets, seen, scale_row, cell, xyz, exact, current, touched,
    plane, stat, parent, size, mass, out, wide, narrow,
):  # fmt: skip
    """Compute the maxima of permutations ``start`` to ``stop`` of a block of draws.

    ``out[i]`` becomes the maximal statistic, the largest cluster's size and the largest cluster's mass. ``limit`` is
    the single-precision sum below which a voxel may be above the threshold, ``slack`` the relative error of such a sum.
    """
    n = 2 * reach + 1
    n_groups = offsets.shape[0] - 1
    for i in range(start, stop):
        for p in range(draws.shape[1]):
            d = draws[i, p]
            ijk[p, 0] = null_ijk[d, 0]
            ijk[p, 1] = null_ijk[d, 1]
            ijk[p, 2] = null_ijk[d, 2]
            corner[p] = null_corner[d]
        total[:] = 0.0
        for g in range(n_groups):
            k = group_kernel[g]
            n_rows = row_counts[k]
            scale_row[:] = scale[g]
            if crowded[g]:
                add_crowded_study(
                    offsets[g], offsets[g + 1], corner, tables[k], rows[k, :n_rows], row_cells[k, :n_rows], n,
                    scale_row, total, study, wide,
                )  # fmt: skip
            else:
                add_study(
                    offsets[g], offsets[g + 1], ijk, corner, tables[k], rows[k, :n_rows], row_cells[k, :n_rows], n,
                    scale_row, total, meets, seen, wide,
                )  # fmt: skip
        n_cells, lowest = cells_below(total, block_start, bias, limit, cell, narrow)
        if n_cells == 0:
            lowest = lowest_sum(total, block_start, bias, narrow)
        # Every voxel whose exact sum may be the lowest has to be among the candidates.
        reachable = np.float32(lowest * (1.0 - slack))
        if reachable >= limit and lowest < 0.0:
            n_cells, lowest = cells_below(total, block_start, bias, reachable, cell, narrow)
        exact_sums(
            cell, n_cells, pad, stride_y, stride_x, offsets, group_kernel, ijk, exact_tables, reach, scale, plane, xyz,
            exact, current, touched,
        )  # fmt: skip
        highest = np.float32(0.0)
        n_above = 0
        for t in range(n_cells):
            value = np.float32(1.0 - np.exp(exact[t])) if is_log else np.float32(-exact[t])
            if value > highest:
                highest = value
            if with_clusters and float(value) > threshold:
                cell[n_above] = cell[t]
                stat[n_above] = value
                n_above += 1
        out[i, 0] = highest
        if with_clusters:
            largest_size, largest_mass = largest_clusters(
                cell, stat, n_above, stride_y, stride_x, threshold, label, parent, size, mass
            )
            out[i, 1] = largest_size
            out[i, 2] = largest_mass
