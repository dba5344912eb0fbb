"""A white sheet at print resolution: tiles of brain, lettering, and the bar of colours."""

from __future__ import annotations

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from compose_runner.analysis.write.pictures.colours import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compose_runner.analysis.write.pictures.colours import Scale
    from compose_runner.analysis.write.pictures.space import Values

DPI = 300
WIDTH = 2126
"""Pixels across two columns of a journal: 180 mm at 300 dpi."""

INK = (28, 36, 48)
SOFT = (92, 107, 124)
PAPER = (255, 255, 255)
LINE = (150, 160, 172)
GLASS = (243, 245, 247)
CUT = (10, 108, 143)
BAR_WIDTH = 236
MARGIN = 20

# white outside, a soft dark rim, and within the brain lifted, so that no sulcus is black in print
_GREYS = np.interp(np.arange(256), (0, 3, 28, 255), (255, 240, 84, 240)).astype(np.uint8)
_BAR = 34
_FOOT = 62


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has all signs that are needed; no file of matplotlib is imported."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("matplotlib, whose font pictures need, is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return ImageFont.truetype(folder / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def number(value: float, digits: int = 0) -> str:
    """Write a number with a real minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


class Sheet:
    """A picture in the making.

    Parameters
    ----------
    height : int
        Pixels, without the line at the foot.
    scale : Scale
        Colours of the values.
    quantity : str
        What the values are: ``"z"``.
    """

    def __init__(self, height: int, scale: Scale, quantity: str) -> None:
        self.scale = scale
        self.quantity = quantity
        self.height = height
        self.pixels: NDArray[np.uint8] = np.full((height + _FOOT, WIDTH, 3), 255, dtype=np.uint8)
        self._lettering: list[tuple[tuple[float, float], str, int, tuple[int, int, int], str]] = []
        self._lines: list[tuple[tuple[float, float, float, float], tuple[int, int, int], int]] = []

    def brain(self, left: int, top: int, grey: Values) -> None:
        """Lay a slice of the template (0 to 255, 0 outside) on the sheet."""
        tile = _GREYS[grey]
        self.pixels[top : top + tile.shape[0], left : left + tile.shape[1]] = tile[..., None]

    def values(self, left: int, top: int, weighted: Values, weight: Values, opacity: float = 1.0) -> None:
        """Lay values in their colours over what is there.

        Parameters
        ----------
        left, top : int
            Where.
        weighted, weight : numpy.ndarray
            Interpolated values (0 where they are not shown), and interpolated 1 where they are shown. Their quotient
            has no dark rim, and its edge at one half keeps the shown area as large as it is.
        opacity : float
            From 0 to 1.
        """
        rows, columns = np.nonzero(weight > 0.4)
        part = weight[rows, columns]
        colours = self.scale.colours(weighted[rows, columns] / part)
        cover = (np.clip((part - 0.4) * 5.0, 0, 1) * opacity)[:, None]
        rows, columns = rows + top, columns + left
        under = self.pixels[rows, columns]
        self.pixels[rows, columns] = (under * (1 - cover) + colours * cover).astype(np.uint8)

    def text(
        self, x: float, y: float, words: str, size: int = 28, colour: tuple[int, int, int] = INK, anchor: str = "la"
    ) -> None:
        """Write; `anchor` as Pillow has it."""
        self._lettering.append(((x, y), words, size, colour, anchor))

    def line(
        self, ends: tuple[float, float, float, float], colour: tuple[int, int, int] = SOFT, width: int = 2
    ) -> None:
        """Draw a straight line."""
        self._lines.append((ends, colour, width))

    def colour_bar(self, top: int, bottom: int) -> None:
        """Draw the colours with their values along the right edge."""
        scale = self.scale
        if not (scale.positive or scale.negative):
            return
        left = WIDTH - BAR_WIDTH + 70
        self.text(left + _BAR / 2, top - 12, self.quantity, 30, INK, "mb")
        tails = [(sign, drawn) for sign, drawn in ((1, scale.positive), (-1, scale.negative)) if drawn]
        gap = 40 if len(tails) == 2 else 0
        length = (bottom - top - gap * (len(tails) - 1)) // len(tails)
        digits = 1 if scale.high >= 10 else 2
        for place, (sign, _) in enumerate(tails):
            start = top + place * (length + gap)
            ramp = np.linspace(scale.high, scale.low, length)[:: sign or 1] * sign
            self.pixels[start : start + length, left : left + _BAR] = scale.colours(ramp)[:, None, :]
            for at in (0, 0.5, 1):
                y = start + at * (length - 1)
                value = ramp[0] + at * (ramp[-1] - ramp[0])
                self.line((left + _BAR, y, left + _BAR + 8, y), INK)
                self.text(left + _BAR + 14, y, number(value, digits), 26, INK, "lm")

    def finish(self, foot: str) -> Image.Image:
        """Write the line at the foot and give the picture."""
        picture = Image.fromarray(self.pixels)
        draw = ImageDraw.Draw(picture)
        for ends, colour, width in self._lines:
            draw.line(ends, fill=colour, width=width)
        self.text(MARGIN, self.height + _FOOT / 2, foot, 25, SOFT, "lm")
        for place, words, size, ink, anchor in self._lettering:
            draw.text(place, words, fill=ink, font=font(size), anchor=anchor)
        return picture


def foot(scale: Scale, quantity: str, radiological: bool) -> str:
    """Say what is shown and on which side left is."""
    if scale.positive or scale.negative:
        both = scale.negative
        name = f"|{quantity}|" if both else quantity
        shown = f"Shown: {name} ≥ {scale.threshold:.2f}" if scale.threshold else f"Shown: {quantity} other than 0"
    else:
        shown = f"Nothing to show: no |{quantity}| ≥ {scale.threshold:.2f}" if scale.threshold else "Nothing to show"
    side = (
        "radiological: left of the picture is right of the brain"
        if radiological
        else "neurological: left of the picture is left of the brain"
    )
    return f"{shown}  ·  {side}  ·  MNI152, mm"


@cache
def _palette() -> Image.Image:
    """Greys and both ramps in 256 colours: a file with them looks the same and is a quarter as large."""
    greys = np.unique(np.concatenate([np.linspace(0, 78, 14), np.linspace(84, 228, 112)]).astype(np.uint8))
    tinted = np.array([PAPER, INK, SOFT, LINE, GLASS, CUT], dtype=np.uint8)
    rest = 256 - len(greys) - len(tinted)
    ramps = [ramp[np.linspace(0, 255, rest // 2).astype(int)] for ramp in (POSITIVE, NEGATIVE)]
    colours = np.concatenate([np.repeat(greys[:, None], 3, axis=1), tinted, *ramps])
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.astype(np.uint8).tobytes())
    return palette


def png(picture: Image.Image, description: str = "") -> bytes:
    """Make a PNG file with its resolution, and with a description inside of it.

    Parameters
    ----------
    picture : PIL.Image.Image
        From :func:`lightbox` or :func:`glass_brain`.
    description : str
        Kept in the file's ``Description``.
    """
    about = PngImagePlugin.PngInfo()
    if description:
        about.add_itxt("Description", description)
    out = io.BytesIO()
    few = picture.quantize(palette=_palette(), dither=Image.Dither.NONE)
    few.save(out, "PNG", dpi=(DPI, DPI), pnginfo=about, compress_level=6)
    return out.getvalue()
