"""Slices through a map, on the template."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from compose_runner.analysis.write.pictures.colours import Scale
from compose_runner.analysis.write.pictures.sheet import (
    BAR_WIDTH,
    CUT,
    MARGIN,
    SOFT,
    WIDTH,
    Sheet,
    foot,
    number,
)
from compose_runner.analysis.write.pictures.space import BRAIN, Volume, template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
_LETTERS = "xyz"
# bottom and top of the bins that one slice each is taken from
_RANGES = ((-64.0, 64.0), (-100.0, 68.0), (-54.0, 74.0))
_COLUMNS = (6, 8, 8)
_COUNT = (12, 16, 16)
_LABEL = 38
_LEAST_HEIGHT = 560  # space for the overview and a bar of colours beside a single row


def lightbox(
    image: Any,
    threshold: float,
    *,
    plane: str = "axial",
    cuts: Sequence[float] | None = None,
    quantity: str = "z",
    radiological: bool = False,
) -> Image.Image:
    """Draw slices of a map on the MNI template.

    Parameters
    ----------
    image : nibabel image
        A map in MNI space.
    threshold : float
        Least absolute value that is shown, in both tails; with 0, everything but zero.
    plane : {"axial", "coronal", "sagittal"}
        Direction of the slices.
    cuts : sequence of float, optional
        Where to cut, in mm. Without it, from each of a number of equal parts of the brain the slice on which most is to
        be seen.
    quantity : str
        What the values are.
    radiological : bool
        Show the left of the brain on the right.

    Returns
    -------
    PIL.Image.Image
        180 mm wide at 300 dpi, with the places of the cuts, sides, a bar of colours and the threshold.

    Raises
    ------
    ValueError
        For an unknown plane, no cuts, a negative threshold, or a map that has not three dimensions.
    """
    axis = PLANES.get(plane, -1)
    if axis < 0:
        raise ValueError(f"there is no plane {plane!r}; there are {', '.join(PLANES)}")
    if not threshold >= 0:
        raise ValueError(f"a threshold is 0 or more, not {threshold}")
    volume, anatomy = Volume.of(image), template()
    scale = Scale.of(volume.data, threshold)
    shown = scale.shown(volume.data)
    places = list(cuts) if cuts is not None else best_cuts(volume, shown, axis)
    if not places:
        raise ValueError("there is no place to cut at")
    columns = min(_COLUMNS[axis], max(len(places), 1))
    across, up = ((high - low) for one, (low, high) in enumerate(BRAIN) if one != axis)
    width = (WIDTH - BAR_WIDTH - MARGIN) // _COLUMNS[axis]
    size = (width, round(width * up / across))
    rows = -(-len(places) // columns)
    sheet = Sheet(max(MARGIN + rows * (size[1] + _LABEL), _LEAST_HEIGHT), scale, quantity)
    weight = Volume(shown, volume.start, volume.step)
    for number_of_cut, at in enumerate(places):
        left = MARGIN + number_of_cut % columns * width
        top = MARGIN + number_of_cut // columns * (size[1] + _LABEL)
        flip = -1 if radiological and axis != 0 else 1
        if (grey := anatomy.cut(axis, at)) is not None:
            sheet.brain(left, top, anatomy.window(grey, axis, size, Image.Resampling.BICUBIC)[:, ::flip])
        area, values = weight.cut(axis, at), volume.cut(axis, at)
        if area is not None and values is not None and area.any():
            weighted, cover = (
                volume.window(one.astype(np.float32), axis, size, Image.Resampling.BILINEAR)[:, ::flip]
                for one in (np.where(area, values, 0), area)
            )
            sheet.values(left, top, weighted, cover)
        sheet.text(left + width / 2, top + size[1] + 2, f"{_LETTERS[axis]} = {number(at)}", 28, anchor="ma")
        if number_of_cut % columns == 0 and axis != 0:
            sides = "RL" if radiological else "LR"
            sheet.text(left + 6, top + 2, sides[0], 28, SOFT)
            sheet.text(left + width - 4, top + 2, sides[1], 28, SOFT, "ra")
    below = _overview(sheet, axis, places)
    sheet.colour_bar(below + 56, sheet.height - 30)
    return sheet.finish(foot(scale, quantity, radiological and axis != 0))


def best_cuts(volume: Volume, shown: NDArray[np.bool_], axis: int) -> list[float]:
    """Where to cut so that as much as possible of what is shown is seen.

    The brain is divided into equal parts; from each, the slice with the most voxels that are shown is taken, or the
    middle one when there are none.

    Parameters
    ----------
    volume : Volume
        The map.
    shown : numpy.ndarray of bool
        Which voxels are shown.
    axis : int
        Direction of the cuts.
    """
    low, high = _RANGES[axis]
    edges = np.linspace(low, high, _COUNT[axis] + 1)
    counts = shown.sum(axis=tuple(one for one in range(3) if one != axis))
    where = volume.places(axis)
    cuts = []
    for start, end in pairwise(edges.tolist()):
        middle = float(round((start + end) / 2))
        inside = np.flatnonzero((where >= start) & (where < end))
        if not inside.size or not counts[inside].any():
            cuts.append(middle)
            continue
        most = inside[counts[inside] == counts[inside].max()]
        cuts.append(float(where[most[np.argmin(np.abs(where[most] - middle))]]))
    return cuts


def _overview(sheet: Sheet, axis: int, places: Sequence[float]) -> int:
    """Draw a small brain with the cuts as lines; where it ends is returned."""
    anatomy = template()
    overview_axis = 1 if axis == 0 else 0
    plane = anatomy.cut(overview_axis, -20.0 if overview_axis == 1 else 3.0)
    assert plane is not None
    first, second = (BRAIN[one] for one in range(3) if one != overview_axis)
    width = BAR_WIDTH - 40
    size = (width, round(width * (second[1] - second[0]) / (first[1] - first[0])))
    left, top = WIDTH - BAR_WIDTH + 22, MARGIN
    sheet.brain(left, top, anatomy.window(plane, overview_axis, size, Image.Resampling.BICUBIC))
    for at in places:
        if axis == 2:
            y = top + size[1] * (second[1] - at) / (second[1] - second[0])
            sheet.line((left, y, left + width, y), CUT, 1)
        else:
            x = left + width * (at - first[0]) / (first[1] - first[0])
            sheet.line((x, top, x, top + size[1]), CUT, 1)
    return top + size[1]
