# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

"""Histograms of every voxel's statistic over permutations: the Monte Carlo null of uncorrected p-values, compiled.

Here every voxel counts, so that sums are made in double precision and in NiMARE's order from the start.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from compose_runner.analysis.engine.counts import add_all_foci, count_crowded_study, count_study
from compose_runner.analysis.engine.unions import add_crowded_study, add_study


@njit(nogil=True, cache=True)
def foci_meet(first, last, ijk, n):
    """Whether any two foci of a study are so near that their kernels may overlap."""
    for p in range(first, last):
        for q in range(first, p):
            if -n < ijk[p, 0] - ijk[q, 0] < n and -n < ijk[p, 1] - ijk[q, 1] < n and -n < ijk[p, 2] - ijk[q, 2] < n:
                return True
    return False


@njit(nogil=True, cache=True)
def bin_of(value, edges, n_bins):
    """Return the bin that ``numpy.histogram`` puts a value into, or -1: an edge belongs to the bin above it."""
    if not edges[0] <= value <= edges[n_bins]:
        return -1
    at = int((value - edges[0]) / (edges[1] - edges[0]))
    at = min(max(at, 0), n_bins - 1)
    while value < edges[at]:
        at -= 1
    while at + 1 < n_bins and value >= edges[at + 1]:
        at += 1
    return at


@njit(nogil=True, cache=True)
def union_histograms(
    start, stop, draws, null_ijk, null_corner, offsets, group_kernel, crowded, tables, rows, row_cells, row_counts,
    reach, voxel_cell, edges, total, study, ijk, corner, meets, seen, scale_row, histogram, out, wide,
):  # fmt: skip
    """Add ALE permutations ``start`` to ``stop`` to ``histogram``; ``out[i, 0]`` becomes the last bin used."""
    n = 2 * reach + 1
    n_bins = histogram.shape[0]
    for i in range(start, stop):
        for p in range(draws.shape[1]):
            d = draws[i, p]
            ijk[p, 0] = null_ijk[d, 0]
            ijk[p, 1] = null_ijk[d, 1]
            ijk[p, 2] = null_ijk[d, 2]
            corner[p] = null_corner[d]
        total[:] = 0.0
        for g in range(offsets.shape[0] - 1):
            k = group_kernel[g]
            n_rows = row_counts[k]
            if crowded[g] or foci_meet(offsets[g], offsets[g + 1], ijk, n):
                add_crowded_study(
                    offsets[g], offsets[g + 1], corner, tables[k], rows[k, :n_rows], row_cells[k, :n_rows], n,
                    scale_row, total, study, wide,
                )  # fmt: skip
            else:
                add_study(
                    offsets[g], offsets[g + 1], ijk, corner, tables[k], rows[k, :n_rows], row_cells[k, :n_rows], n,
                    scale_row, total, meets, seen, wide,
                )  # fmt: skip
        last = 0
        n_untouched = 0
        for v in range(voxel_cell.shape[0]):
            value = total[voxel_cell[v]]
            if value == 0.0:
                n_untouched += 1
                continue
            at = bin_of(float(np.float32(1.0 - np.exp(value))), edges, n_bins)
            if at >= 0:
                histogram[at] += 1
                last = max(last, at)
        at = bin_of(0.0, edges, n_bins)
        if at >= 0 and n_untouched > 0:
            histogram[at] += n_untouched
            last = max(last, at)
        out[i, 0] = last


@njit(nogil=True, cache=True)
def count_histograms(
    start, stop, draws, null_ijk, null_corner, offsets, crowded, every_focus, table, rows, row_cell, reach, voxel_cell,
    bin_of_count, total, study, ijk, corner, meets, seen, histogram, out, wide,
):  # fmt: skip
    """Add MKDA or KDA permutations ``start`` to ``stop`` to ``histogram``; ``out[i, 0]`` becomes the last bin used."""
    n = 2 * reach + 1
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
                    )  # fmt: skip
                else:
                    count_study(
                        offsets[g], offsets[g + 1], ijk, corner, table, rows, row_cell, n, total, meets, seen, wide
                    )  # fmt: skip
        last = 0
        for v in range(voxel_cell.shape[0]):
            at = bin_of_count[total[voxel_cell[v]]]
            if at >= 0:
                histogram[at] += 1
                last = max(last, at)
        out[i, 0] = last
