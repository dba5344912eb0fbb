"""What the maps that go into an image-based meta-analysis look like: their similarity and their distributions, as SVG.

Both are drawn from the arrays that the estimator used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from compose_runner.analysis.write.pictures.colours import NEGATIVE, POSITIVE
from compose_runner.analysis.write.report.words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nimare.results import MetaResult
    from numpy.typing import NDArray

_KINDS = {"z_maps": "z", "t_maps": "t", "beta_maps": "effect size"}
MOST_IMAGES = 120
"""Of how many maps figures are drawn; more would be too small to read."""

_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_LABEL = 210
_ROW = 22
_SIDE = 20
_NAME_LENGTH = 34
_KEY = 260


@dataclass(frozen=True)
class Drawing:
    """A figure of the page, with its numbers.

    Parameters
    ----------
    title, caption : str
        Plain text.
    svg : markupsafe.Markup
        The figure, with a description inside.
    header : tuple of str
        Names of the columns of its numbers.
    rows : list of tuple of str
        Its numbers, the first cell of a row is its name.
    """

    title: str
    caption: str
    svg: Markup
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def input_maps(result: MetaResult) -> tuple[str, NDArray[Any]] | None:
    """Find the arrays that an image-based estimator used.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result.

    Returns
    -------
    tuple of (str, numpy.ndarray) or None
        What the values are, and the maps (one a row); None for coordinate-based results.
    """
    inputs = result.estimator.inputs_
    kind = next((kind for kind in _KINDS if inputs.get(kind) is not None), None)
    return None if kind is None else (_KINDS[kind], np.asarray(inputs[kind], dtype=float))


def similarity(result: MetaResult, names: Sequence[str]) -> Drawing:
    """Draw how much the input maps correlate with each other.

    Parameters
    ----------
    result : nimare.results.MetaResult
        Of an image-based meta-analysis.
    names : sequence of str
        Of the maps.
    """
    correlations = result.estimator.inputs_.get("corr_matrix")
    if correlations is None:
        found = input_maps(result)
        assert found is not None
        values = found[1]
        values = values[:, (np.isfinite(values) & (values != 0)).all(axis=0)]
        correlations = np.corrcoef(values)
    correlations = np.atleast_2d(np.asarray(correlations, dtype=float))
    n = len(correlations)
    width, height = _LABEL + max(n * _SIDE + 10, _KEY), n * _SIDE + 44
    parts = []
    for row in range(n):
        y = row * _SIDE
        parts.append(_text(_LABEL - 8, y + 14, _short(names[row]), "end"))
        for column in range(n):
            r = correlations[row, column]
            tip = f"{names[row]} and {names[column]}: r = {number(r)}"
            parts.append(
                Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"><title>{}</title></rect>').format(
                    _LABEL + column * _SIDE, y, _SIDE - 1, _SIDE - 1, _colour(r), tip
                )
            )
    parts += _key(_LABEL, n * _SIDE + 12)
    off = correlations[~np.eye(n, dtype=bool)]
    off = off[np.isfinite(off)]
    caption = "Pearson correlation of the values of every two maps."
    if off.size:
        caption += f" Median r = {number(float(np.median(off)))}, from {number(off.min())} to {number(off.max())}."
    return Drawing(
        "Similarity of the input maps",
        caption,
        _svg(width, height, f"{caption} The numbers are in the table below.", parts),
        ("Map", *(str(place) for place in range(1, n + 1))),
        [
            (f"{place} {names[place - 1]}", *(number(r) for r in row))
            for place, row in enumerate(correlations.tolist(), start=1)
        ],
    )


def distributions(result: MetaResult, names: Sequence[str]) -> Drawing:
    """Draw the distribution of the values of each input map.

    Parameters
    ----------
    result : nimare.results.MetaResult
        Of an image-based meta-analysis.
    names : sequence of str
        Of the maps.
    """
    found = input_maps(result)
    assert found is not None
    quantity, maps = found
    levels = np.full((len(maps), len(_PERCENTILES)), np.nan)
    voxels = []
    for place, row in enumerate(maps):
        values = row[np.isfinite(row) & (row != 0)]
        voxels.append(len(values))
        if values.size:
            levels[place] = np.percentile(values, _PERCENTILES)
    finite = levels[np.isfinite(levels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    span = 520
    scale = span / ((high - low) or 1.0)

    def x(value: float) -> float:
        return round(_LABEL + (value - low) * scale, 1)

    height = len(maps) * _ROW + 40
    parts = [
        Markup('<line x1="{0}" x2="{0}" y1="0" y2="{1}" class="zero"/>').format(x(0.0), len(maps) * _ROW),
        _text(x(low), height - 12, number(low, 1), "start"),
        _text(x(high), height - 12, f"{quantity} = {number(high, 1)}", "end"),
    ]
    if x(0.0) - x(low) > 60 and x(high) - x(0.0) > 110:
        parts.append(_text(x(0.0), height - 12, "0", "middle"))
    for place, level in enumerate(levels.tolist()):
        middle = place * _ROW + _ROW / 2
        parts.append(_text(_LABEL - 8, middle + 4, _short(names[place]), "end"))
        if not np.isfinite(level[0]):
            continue
        least, p5, p25, p50, p75, p95, most = (x(value) for value in level)
        parts.append(
            Markup(
                '<g><title>{}</title><line x1="{}" x2="{}" y1="{y}" y2="{y}" class="whisker"/>'
                '<rect x="{}" y="{top}" width="{}" height="6" class="wide"/>'
                '<rect x="{}" y="{box}" width="{}" height="12" class="box"/>'
                '<line x1="{m}" x2="{m}" y1="{box}" y2="{end}" class="median"/></g>'
            ).format(
                f"{names[place]}: median {number(level[3])}, quartiles {number(level[2])} and {number(level[4])}",
                least,
                most,
                p5,
                round(p95 - p5, 1),
                p25,
                round(p75 - p25, 1),
                y=middle,
                top=middle - 3,
                box=middle - 6,
                end=middle + 6,
                m=p50,
            )
        )
    caption = (
        f"Values of {quantity} in the voxels in which a map has one: median and quartiles (box), 5th to 95th "
        "percentile (bar), least and largest (line)."
    )
    return Drawing(
        "Distribution of the values",
        caption,
        _svg(_LABEL + span + 10, height, f"{caption} The numbers are in the table below.", parts),
        ("Map", "Voxels", "Least", "5 %", "25 %", "Median", "75 %", "95 %", "Largest"),
        [
            (names[place], f"{voxels[place]:,}", *(number(value) if np.isfinite(value) else "–" for value in row))
            for place, row in enumerate(levels.tolist())
        ],
    )


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _svg(width: float, height: float, description: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{about}">{parts}</svg>'
    ).format(w=width, h=height, about=description, parts=Markup("").join(parts))


def _colour(r: float) -> str:
    """From cold (-1) over grey (0) to warm (1)."""
    if not np.isfinite(r):
        return "#d5dce4"
    ramp = POSITIVE if r >= 0 else NEGATIVE
    strong = np.array(ramp[90], dtype=float)
    colour = np.array([236, 239, 242]) + (strong - [236, 239, 242]) * min(abs(r), 1.0)
    return "#" + "".join(f"{round(one):02x}" for one in colour)


def _key(left: float, top: float) -> list[Markup]:
    steps = np.linspace(-1, 1, 21)
    parts = [
        Markup('<rect x="{}" y="{}" width="8" height="10" fill="{}"/>').format(left + 30 + 8 * place, top, _colour(r))
        for place, r in enumerate(steps.tolist())
    ]
    return [
        _text(left + 24, top + 10, "−1", "end"),
        *parts,
        _text(left + 30 + 8 * len(steps) + 6, top + 10, "r = 1", "start"),
    ]
