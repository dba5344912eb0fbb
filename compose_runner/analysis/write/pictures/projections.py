"""Maximum-intensity projections of a map in the outline of a brain."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from compose_runner.analysis.write.pictures.colours import Scale
from compose_runner.analysis.write.pictures.sheet import BAR_WIDTH, GLASS, LINE, MARGIN, PAPER, SOFT, WIDTH, Sheet, foot
from compose_runner.analysis.write.pictures.space import Box, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FINER = 2  # lines are drawn this much larger and brought down, which makes them smooth
_GAP = 26
# wide enough for the outlines
_BOX: Box = ((-74.0, 74.0), (-110.0, 79.0), (-74.0, 84.0))
_LABEL = 40
_GLASS = np.array([PAPER, GLASS], dtype=np.uint8)


class _View(NamedTuple):
    """One projection: which part of the axis, and nilearn's drawing with its place in MNI space (factor, shift)."""

    title: str
    axis: int
    part: tuple[float, float]
    drawing: str
    across: tuple[float, float]
    up: tuple[float, float]
    mirrored: bool


# factors and shifts that lay nilearn's drawings on the MNI template: nilearn.plotting.glass_brain
_VIEWS = (
    _View("left hemisphere", 0, (-np.inf, 0.0), "side", (0.38, -108), (0.38, -70), True),
    _View("from behind", 1, (-np.inf, np.inf), "back", (0.39, -73), (0.39, -73), False),
    _View("right hemisphere", 0, (0.0, np.inf), "side", (0.38, -108), (0.38, -70), False),
    _View("from above", 2, (-np.inf, np.inf), "top", (0.36, -71), (0.37, -107), False),
)


def glass_brain(image: Any, threshold: float, *, quantity: str = "z", radiological: bool = False) -> Image.Image:
    """Draw a map as if the brain were of glass: from both sides, from behind, from above.

    Along each line of sight the value farthest from zero is shown; the views from a side show that hemisphere alone.

    Parameters
    ----------
    image : nibabel image
        A map in MNI space.
    threshold : float
        Least absolute value that is shown, in both tails; with 0, everything but zero.
    quantity : str
        What the values are.
    radiological : bool
        Show the left of the brain on the right, in the views from behind and from above.

    Returns
    -------
    PIL.Image.Image
        180 mm wide at 300 dpi, with sides, a bar of colours and the threshold.

    Raises
    ------
    ValueError
        For a negative threshold, or a map that has not three dimensions.
    """
    if not threshold >= 0:
        raise ValueError(f"a threshold is 0 or more, not {threshold}")
    volume = Volume.of(image)
    scale = Scale.of(volume.data, threshold)
    extents = [[high - low for one, (low, high) in enumerate(_BOX) if one != view.axis] for view in _VIEWS]
    room = WIDTH - BAR_WIDTH - MARGIN - _GAP * (len(_VIEWS) - 1)
    per_mm = room / sum(across for across, _ in extents)
    tallest = round(max(up for _, up in extents) * per_mm)
    sheet = Sheet(MARGIN + tallest + _LABEL, scale, quantity)
    left = MARGIN
    for view, (across, up) in zip(_VIEWS, extents, strict=True):
        size = (round(across * per_mm), round(up * per_mm))
        top = MARGIN + (tallest - size[1]) // 2
        mirrored = view.mirrored or (radiological and view.axis != 0)
        flip = -1 if mirrored else 1
        silhouette, lines = _outline(view.drawing, size, view.axis, view.across, view.up)
        sheet.pixels[top : top + size[1], left : left + size[0]] = _GLASS[silhouette[:, ::flip]]
        flat = volume.projection(view.axis, *view.part)
        area = scale.shown(flat)
        if area.any():
            weighted, cover = (
                volume.window(one.astype(np.float32), view.axis, size, Image.Resampling.BILINEAR, _BOX)[:, ::flip]
                for one in (np.where(area, flat, 0), area)
            )
            sheet.values(left, top, weighted, cover, opacity=0.92)
        _lay_lines(sheet, left, top, lines[:, ::flip])
        sheet.text(left + size[0] / 2, MARGIN + tallest + 4, view.title, 28, anchor="ma")
        if view.axis != 0:
            sides = "RL" if radiological else "LR"
            sheet.text(left + 4, top, sides[0], 28, SOFT)
            sheet.text(left + size[0] - 4, top, sides[1], 28, SOFT, "ra")
        left += size[0] + _GAP
    sheet.colour_bar(MARGIN + 60, MARGIN + tallest - 40)
    return sheet.finish(foot(scale, quantity, radiological))


def _lay_lines(sheet: Sheet, left: int, top: int, cover: NDArray[np.uint8]) -> None:
    rows, columns = np.nonzero(cover)
    part = (cover[rows, columns] / np.float32(255))[:, None]
    rows, columns = rows + top, columns + left
    under = sheet.pixels[rows, columns]
    sheet.pixels[rows, columns] = (under + (np.array(LINE, dtype=np.float32) - under) * part).astype(np.uint8)


@cache
def _outline(
    drawing: str, size: tuple[int, int], axis: int, across: tuple[float, float], up: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The silhouette (0 or 1) and the lines (0 to 255) of one of nilearn's drawings."""
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("nilearn, whose outlines pictures need, is not installed")
    folder = Path(next(iter(spec.submodule_search_locations))) / "plotting" / "glass_brain_files"
    content = json.loads((folder / f"brain_schematics_{drawing}.json").read_text(encoding="utf-8"))
    (x0, x1), (y0, y1) = (_BOX[one] for one in range(3) if one != axis)
    width, height = size[0] * _FINER, size[1] * _FINER
    lines = Image.new("L", (width, height))
    draw = ImageDraw.Draw(lines)
    scale = np.array([across[0] * width / (x1 - x0), -up[0] * height / (y1 - y0)])
    shift = np.array([(across[1] - x0) * width / (x1 - x0), (y1 - up[1]) * height / (y1 - y0)])
    for path in content["paths"]:
        stroke = max(1, round(float(path["linewidth"]) * 1.6 * _FINER))
        for points in _curves([item["pts"] for item in path["items"]]):
            draw.line((points * scale + shift).ravel().tolist(), fill=255, width=stroke)
    smooth = np.asarray(lines.reduce(_FINER))
    inside = ndimage.binary_fill_holes(np.pad(smooth > 0, 1))[1:-1, 1:-1]
    return inside.astype(np.uint8), smooth


def _curves(items: list[list[list[float]]]) -> Iterator[NDArray[np.float64]]:
    """Points along Bezier curves and segments, with those that go on where another ends in one line."""
    at = np.linspace(0, 1, 9)[:, None]
    weights: dict[int, NDArray[np.float64]] = {}
    line: list[NDArray[np.float64]] = []
    for item in items:
        degree = len(item) - 1
        if degree not in weights:  # Bernstein's polynomials
            terms = [comb(degree, k) * at**k * (1 - at) ** (degree - k) for k in range(degree + 1)]
            weights[degree] = np.hstack(terms)
        points = weights[degree] @ np.array(item, dtype=float)
        if line and np.abs(line[-1][-1] - points[0]).max() > 0.01:
            yield np.concatenate(line)
            line = []
        line.append(points)
    if line:
        yield np.concatenate(line)
