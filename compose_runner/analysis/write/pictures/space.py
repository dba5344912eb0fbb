"""Maps and the template on grids along the axes of MNI space, from left to right, back to front, bottom to top."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Part of MNI space: from and to in mm along x, y, z."""

BRAIN: Box = ((-76.0, 76.0), (-110.0, 76.0), (-70.0, 84.0))
"""What slices show."""

_GRID_SHAPE = (91, 109, 91)
_GRID_AFFINE = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
_TEMPLATE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"

Values = NDArray[Any]


@dataclass(frozen=True)
class Volume:
    """Values on a grid along the axes.

    Parameters
    ----------
    data : numpy.ndarray of shape (x, y, z)
        Finite values.
    start : numpy.ndarray of shape (3,)
        Place of the first voxel's centre, in mm.
    step : numpy.ndarray of shape (3,)
        Edges of a voxel, in mm; all positive.
    """

    data: Values
    start: NDArray[np.float64]
    step: NDArray[np.float64]

    @classmethod
    def of(cls, image: Any) -> Volume:
        """Read a nibabel image; one that is turned against the axes is resampled to FSL's 2 mm grid.

        Not-a-numbers become 0; infinite values become the largest finite one of their sign.

        Raises
        ------
        ValueError
            When the image has not three dimensions.
        """
        if len(image.shape) != 3:
            raise ValueError(f"a map has three dimensions, not {len(image.shape)}")
        image = nib.as_closest_canonical(image)
        data, affine = np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, dtype=float)
        if not np.isfinite(data).all():
            finite = data[np.isfinite(data)]
            data = np.nan_to_num(
                data, nan=0.0, posinf=max(finite.max(initial=0), 0), neginf=min(finite.min(initial=0), 0)
            )
        if not np.allclose(affine[:3, :3], np.diag(np.diag(affine)[:3]), atol=1e-3):
            from scipy.ndimage import affine_transform

            between = np.linalg.inv(affine) @ _GRID_AFFINE
            data = affine_transform(data, between[:3, :3], between[:3, 3], _GRID_SHAPE, order=1)
            affine = _GRID_AFFINE
        return cls(data, affine[:3, 3].copy(), np.diag(affine)[:3].copy())

    def places(self, axis: int) -> NDArray[np.float64]:
        """Centres of the voxels along an axis, in mm."""
        places: NDArray[np.float64] = self.start[axis] + self.step[axis] * np.arange(self.data.shape[axis])
        return places

    def cut(self, axis: int, at: float) -> Values | None:
        """The slice nearest to a place, or None when the grid does not reach there."""
        index = round((at - self.start[axis]) / self.step[axis])
        if not 0 <= index < self.data.shape[axis]:
            return None
        return self.data[(slice(None),) * axis + (index,)]

    def projection(self, axis: int, low: float = -np.inf, high: float = np.inf) -> Values:
        """The value farthest from zero along each line through the volume.

        Parameters
        ----------
        axis : int
            Direction of the lines.
        low, high : float
            Part of the axis to look at, in mm.
        """
        places = self.places(axis)
        first, last = np.searchsorted(places, low, side="left"), np.searchsorted(places, high, side="right")
        part = self.data[(slice(None),) * axis + (slice(first, last),)]
        most, least = part.max(axis=axis, initial=0), part.min(axis=axis, initial=0)
        return np.where(-least > most, least, most)

    def window(
        self, plane: Values, axis: int, size: tuple[int, int], method: Image.Resampling, box: Box = BRAIN
    ) -> Values:
        """Cut a box out of a slice or projection and bring it to the size of a picture.

        Parameters
        ----------
        plane : numpy.ndarray of two dimensions
            As :meth:`cut` and :meth:`projection` give it.
        axis : int
            The axis that is missing in `plane`.
        size : tuple of int
            Width and height in pixels.
        method : PIL.Image.Resampling
            How to interpolate.
        box : Box
            Part of MNI space that is shown.

        Returns
        -------
        numpy.ndarray of shape (height, width)
            Up is up, and the first axis of `plane` goes to the right.
        """
        edges = []
        for one, length in zip([a for a in range(3) if a != axis], plane.shape, strict=True):
            low, high = ((np.array(box[one]) - self.start[one]) / self.step[one] + 0.5).tolist()
            edges.append((low, high, max(0, int(np.ceil(-low))), max(0, int(np.ceil(high - length)))))
        (x0, x1, before_x, after_x), (y0, y1, before_y, after_y) = edges
        if before_x or after_x or before_y or after_y:  # a grid smaller than the box
            plane = np.pad(plane, ((before_x, after_x), (before_y, after_y)))
        picture = Image.fromarray(np.ascontiguousarray(plane.T))
        part = (x0 + before_x, y0 + before_y, x1 + before_x, y1 + before_y)
        return np.asarray(picture.resize(size, method, box=part))[::-1]


@cache
def template() -> Volume:
    """The ICBM 152 template (2009a, nonlinear, symmetric, 1 mm, brain only) that comes with nilearn, 0 to 255."""
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("nilearn, whose template pictures need, is not installed")
    image = nib.as_closest_canonical(nib.load(Path(next(iter(spec.submodule_search_locations))) / _TEMPLATE))
    return Volume(np.asarray(image.dataobj, dtype=np.uint8), image.affine[:3, 3], np.diag(image.affine)[:3])
