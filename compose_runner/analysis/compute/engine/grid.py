"""The padded grid on which permutations are computed.

The analysis mask is cut to its bounding box and padded by the kernel's reach, so that a focus can be written without a
bounds check. Padding after the last voxel of a row is the padding before the first voxel of the next one: whatever a
kernel leaves there is never read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from compose_runner.analysis.compute.engine.simd import LANES_PER_STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PaddedGrid(NamedTuple):
    """Where the mask's voxels and the null's voxels are on the padded grid.

    Parameters
    ----------
    size : int
        Number of cells, tail padding included.
    stride_x, stride_y : int
        Distance in cells between neighbours along the first and second axis; 1 along the third.
    reach : int
        Voxels by which a kernel extends from its centre.
    shape : tuple of int
        The bounding box, in voxels.
    null_ijk : ndarray of shape (N, 3), int32
        Voxels from which foci are drawn, relative to the bounding box.
    null_corner : ndarray of shape (N,), int32
        The cell of the first kernel value for a focus at each of these voxels.
    block_start : ndarray of shape (B,), int32
        First cells of those runs of 16 cells that hold voxels of the mask, in order.
    in_mask : ndarray of shape (B * 16,), bool
        Which cells of these runs are voxels of the mask.
    n_voxels : int
        Number of voxels of the mask.
    pad : int
        How many cells lie before a voxel along each axis.
    """

    size: int
    stride_x: int
    stride_y: int
    reach: int
    shape: tuple[int, int, int]
    null_ijk: NDArray[np.int32]
    null_corner: NDArray[np.int32]
    block_start: NDArray[np.int32]
    in_mask: NDArray[np.bool_]
    n_voxels: int
    pad: int

    def mask_cells(self) -> NDArray[np.int32]:
        """Return the cell of every voxel of the mask, in the order of the volume."""
        cells = self.block_start[:, None] + np.arange(LANES_PER_STEP, dtype=np.int32)
        return np.ascontiguousarray(cells.ravel()[self.in_mask], dtype=np.int32)


def padded_grid(mask: NDArray[Any], null_ijk: NDArray[Any], reach: int) -> PaddedGrid:
    """Lay a mask on a padded grid.

    Parameters
    ----------
    mask : ndarray of shape (X, Y, Z), bool
        The analysis mask.
    null_ijk : ndarray of shape (N, 3), int
        Voxels from which foci are drawn; all of them have to be inside the mask.
    reach : int
        Voxels by which the largest kernel extends from its centre.
    """
    ijk = np.argwhere(mask)
    low, high = ijk.min(axis=0), ijk.max(axis=0) + 1
    shape = tuple(int(extent) for extent in high - low)
    # At least one cell: the neighbour before the first voxel of a row must not be the last voxel of another row.
    pad = max(reach, 1)
    stride_y = shape[2] + pad
    stride_x = (shape[1] + pad) * stride_y
    # A vector may be longer than the kernel's row: leave space for the last one.
    size = (shape[0] + 2 * pad) * stride_x + 2 * pad * (stride_y + 1) + 4 * LANES_PER_STEP
    size += -size % LANES_PER_STEP

    def cells(voxels: NDArray[Any], shift: int) -> NDArray[np.int32]:
        moved = voxels - low + shift
        return (moved[:, 0] * stride_x + moved[:, 1] * stride_y + moved[:, 2]).astype(np.int32)

    inside = np.zeros(size, dtype=bool)
    inside[cells(ijk, pad)] = True
    blocks = inside.reshape(-1, LANES_PER_STEP)
    used = np.flatnonzero(blocks.any(axis=1))
    return PaddedGrid(
        size=size,
        stride_x=stride_x,
        stride_y=stride_y,
        reach=reach,
        shape=shape,  # type: ignore[arg-type]
        null_ijk=np.ascontiguousarray(null_ijk - low, dtype=np.int32),
        null_corner=cells(null_ijk, pad - reach),
        block_start=(used * LANES_PER_STEP).astype(np.int32),
        in_mask=np.ascontiguousarray(blocks[used]).ravel(),
        n_voxels=len(ijk),
        pad=pad,
    )
