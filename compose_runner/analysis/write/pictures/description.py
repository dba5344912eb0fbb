"""What a picture shows, in words: for who cannot see it, and for captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from compose_runner.analysis.write.atlases import in_sentence, peak_label
from compose_runner.analysis.write.pictures.colours import Scale
from compose_runner.analysis.write.pictures.sheet import number
from compose_runner.analysis.write.pictures.space import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMED = 3


def describe(image: Any, threshold: float, *, view: str = "Slices of the brain", quantity: str = "z") -> str:
    """Say how many regions a map shows, and where the strongest are.

    Parameters
    ----------
    image : nibabel image
        A map in MNI space.
    threshold : float
        Least absolute value that is shown, in both tails; with 0, everything but zero.
    view : str
        What kind of picture it is: the first words of the text.
    quantity : str
        What the values are.

    Returns
    -------
    str
        Plain text: escape it where it goes into a page.
    """
    volume = Volume.of(image)
    scale = Scale.of(volume.data, threshold)
    limit = f"of at least {threshold:.2f}" if threshold else "other than 0"
    if not (scale.positive or scale.negative):
        size = float(np.abs(volume.data).max(initial=0))
        return f"{view}: empty. No {quantity} {limit}; the largest absolute value is {number(size, 2)}."
    tails = [(sign, word) for sign, word, drawn in ((1, "positive", scale.positive), (-1, "negative", scale.negative))
             if drawn]  # fmt: skip
    parts = [_tail(volume, threshold, sign, word, quantity) for sign, word in tails]
    return f"{view}, {quantity} {limit}: {'; '.join(parts)}."


def _tail(volume: Volume, threshold: float, sign: int, word: str, quantity: str) -> str:
    data = volume.data * sign
    shown = data >= threshold if threshold else data > 0
    corner, data, shown = _crop(data, shown)
    labels, count = ndimage.label(shown)
    voxels = np.flatnonzero(shown)
    regions_of, values = labels.ravel()[voxels], data.ravel()[voxels]
    heights = np.full(count + 1, -np.inf)
    np.maximum.at(heights, regions_of, values)
    highest = np.flatnonzero(values == heights[regions_of])
    # of several voxels that are as high, which all are where clusters were corrected, one in the middle
    highest = highest[np.argsort(regions_of[highest], kind="stable")]
    found, first, n_as_high = np.unique(regions_of[highest], return_index=True, return_counts=True)
    peaks = voxels[highest[first + n_as_high // 2]]
    order = sorted((-heights[one], int(at)) for one, at in zip(found, peaks, strict=True))[:_NAMED]
    named = [
        _peak(volume, corner + np.array(np.unravel_index(at, data.shape)), -height * sign, quantity)
        for height, at in order
    ]
    regions = f"{count} {word} region{'s' if count > 1 else ''}"
    strongest = "with its peak at" if count == 1 else "strongest at"
    return f"{regions}, {strongest} {', '.join(named)}"


def _crop(data: NDArray[Any], shown: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[np.bool_]]:
    """The least block that holds all that is shown, and its first voxel."""
    edges = []
    for axis in range(3):
        used = np.flatnonzero(shown.any(axis=tuple(one for one in range(3) if one != axis)))
        edges.append(slice(int(used[0]), int(used[-1]) + 1))
    block = tuple(edges)
    return np.array([edge.start for edge in edges]), data[block], shown[block]


def _peak(volume: Volume, voxel: NDArray[np.intp], value: float, quantity: str) -> str:
    place = volume.start + volume.step * voxel
    where = ", ".join(number(one) for one in place)
    label = peak_label(place.tolist())
    return f"({where}) {in_sentence(str(label))} ({quantity} {number(value, 2)})"
