"""Permutations whose statistic is a number of studies (MKDA) or of foci (KDA), times a constant.

Counts are small integers: they are added exactly, sixteen voxels at a time, and become a statistic by a table that
holds what NiMARE's repeated addition gives.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

from numba import njit

from compose_runner.analysis.engine.clusters import largest_clusters
from compose_runner.analysis.engine.lanes import (
    add_count,
    add_new_count,
    any_reaches,
    clear,
    flush_count,
    mark,
)


@njit(nogil=True, cache=True)
def add_all_foci(first, last, corner, table, rows, row_cell, n, total, lanes):
    """Add every focus: KDA counts foci, so it does not matter which study they belong to."""
    w = len(lanes)
    for p in range(first, last):
        for r in range(rows.shape[0]):
            k = (rows[r, 0] * n + rows[r, 1]) * 3 * w + w
            add_count(total, corner[p] + row_cell[r], table, k, lanes)


@njit(nogil=True, cache=True)
def count_study(first, last, ijk, corner, table, rows, row_cell, n, total, meets, seen, lanes):
    """Count the voxels that one study reaches, each once, in one pass."""
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
                add_count(total, base + row_cell[r], table, k, lanes)
            continue
        for r in range(rows.shape[0]):
            clear(seen, 0, lanes)
            a = rows[r, 0]
            b = rows[r, 1]
            for m in range(n_meets):
                a2 = a + meets[m, 0]
                b2 = b + meets[m, 1]
                if 0 <= a2 < n and 0 <= b2 < n:
                    mark(seen, 0, table, (a2 * n + b2) * pitch + w + meets[m, 2], lanes)
            add_new_count(total, base + row_cell[r], table, (a * n + b) * pitch + w, seen, lanes)


@njit(nogil=True, cache=True)
def count_crowded_study(first, last, corner, table, rows, row_cell, n, total, study, lanes):
    """Count the voxels of a study with so many foci that most of them meet."""
    w = len(lanes)
    for p in range(first, last):
        for r in range(rows.shape[0]):
            k = (rows[r, 0] * n + rows[r, 1]) * 3 * w + w
            mark(study, corner[p] + row_cell[r], table, k, lanes)
    for p in range(first, last):
        for r in range(rows.shape[0]):
            flush_count(total, study, corner[p] + row_cell[r], lanes)


@njit(nogil=True, cache=True)
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
def count_maxima(
    start, stop, draws, null_ijk, null_corner, offsets, crowded, every_focus, table, rows, row_cell, reach, stride_y,
    stride_x, block_start, in_mask, stat_of_count, limit, threshold, with_clusters, total, study, label, ijk, corner,
    meets, seen, cell, stat, parent, size, mass, out, wide, narrow,
):  # fmt: skip
    """Compute the maxima of permutations ``start`` to ``stop`` of a block of draws.

    ``out[i]`` becomes the maximal statistic, the largest cluster's size and the largest cluster's mass; ``limit``
    is the lowest count whose statistic is above the threshold.
    """
    n = 2 * reach + 1
    w = len(narrow)
    for i in range(start, stop):
        for p in range(draws.shape[1]):
            d = draws[i, p]
            ijk[p, 0] = null_ijk[d, 0]
            ijk[p, 1] = null_ijk[d, 1]
            ijk[p, 2] = null_ijk[d, 2]
            corner[p] = null_corner[d]
        total[:] = 0
        if every_focus:
            add_all_foci(0, draws.shape[1], corner, table, rows, row_cell, n, total, wide)
        else:
            for g in range(offsets.shape[0] - 1):
                if crowded[g]:
                    count_crowded_study(
                        offsets[g], offsets[g + 1], corner, table, rows, row_cell, n, total, study, wide
                    )
                else:
                    count_study(
                        offsets[g], offsets[g + 1], ijk, corner, table, rows, row_cell, n, total, meets, seen, wide
                    )  # fmt: skip
        highest = 0
        n_above = 0
        if with_clusters:
            for b in range(block_start.shape[0]):
                if any_reaches(total, block_start[b], in_mask, b * w, limit, narrow):
                    for c in range(w):
                        value = total[block_start[b] + c] & in_mask[b * w + c]
                        if value >= limit:
                            cell[n_above] = block_start[b] + c
                            stat[n_above] = stat_of_count[value]
                            n_above += 1
                            if value > highest:
                                highest = value
        if n_above == 0:
            highest = highest_count(total, block_start, in_mask, narrow)
        out[i, 0] = stat_of_count[highest]
        if with_clusters:
            largest_size, largest_mass = largest_clusters(
                cell, stat, n_above, stride_y, stride_x, threshold, label, parent, size, mass
            )
            out[i, 1] = largest_size
            out[i, 2] = largest_mass
