# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

"""How often each voxel's ALE reaches an observed map over permutations, compiled: the null of SCALE.

SCALE compares ``float32(1 - exp(sum))`` with the observed statistic at every voxel of every permutation. That value
only falls with the sum, so there is one sum per voxel up to which it is reached: it is found once, with NumPy's own
exponential, and a permutation is then compared without computing a statistic.
"""

from __future__ import annotations

from numba import njit

from compose_runner.analysis.engine.histograms import foci_meet
from compose_runner.analysis.engine.unions import add_crowded_study, add_study


@njit(nogil=True, cache=True)
def count_exceedances(
    start, stop, draws, null_ijk, null_corner, offsets, group_kernel, crowded, tables, rows, row_cells, row_counts,
    reach, voxel_cell, limits, total, study, ijk, corner, meets, seen, scale_row, counts, out, wide,
):  # fmt: skip
    """Add to ``counts`` where the sums of permutations ``start`` to ``stop`` are at or below ``limits``.

    ``out[i, 0]`` becomes the lowest sum within the mask.
    """
    n = 2 * reach + 1
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
        lowest = 0.0
        for v in range(voxel_cell.shape[0]):
            value = total[voxel_cell[v]]
            counts[v] += value <= limits[v]
            lowest = min(lowest, value)
        out[i, 0] = lowest
