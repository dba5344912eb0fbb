"""Colours of values: warm above zero, cold below, each from dark to light, so that they differ for everybody.

Hue alone would not do: red against green is lost on one man in twelve. Here the two tails lie on the red-blue axis,
which the common colour vision deficiencies keep, and the lightness within a tail grows with the value, also in grey
print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 256


def _ramp(*anchors: tuple[int, int, int]) -> NDArray[np.uint8]:
    places = np.linspace(0, 1, len(anchors))
    at = np.linspace(0, 1, _STEPS)
    channels = [np.interp(at, places, channel) for channel in np.array(anchors, dtype=float).T]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


POSITIVE = _ramp((128, 6, 30), (196, 30, 24), (240, 98, 16), (253, 174, 34), (255, 240, 130))
NEGATIVE = _ramp((10, 30, 120), (14, 78, 184), (28, 138, 222), (96, 198, 236), (200, 246, 246))


@dataclass(frozen=True)
class Scale:
    """Which values are shown, and in which colours.

    Parameters
    ----------
    threshold : float
        Values below it, up to the same below zero, are not shown.
    low, high : float
        Absolute values of the first and of the last colour.
    positive, negative : bool
        Which tails have values to show.
    """

    threshold: float
    low: float
    high: float
    positive: bool
    negative: bool

    @classmethod
    def of(cls, data: NDArray[np.floating[Any]], threshold: float) -> Scale:
        """Fit the colours to what is shown of a map.

        Parameters
        ----------
        data : numpy.ndarray
            Finite values.
        threshold : float
            Least absolute value that is shown; with 0, everything but zero.
        """
        positive = data[data >= threshold] if threshold else data[data > 0]
        negative = data[data <= -threshold] if threshold else data[data < 0]
        if not positive.size and not negative.size:
            return cls(threshold, threshold, threshold + 1, False, False)
        high = max(float(positive.max(initial=0)), -float(negative.min(initial=0)))
        low = threshold
        if not low:  # a map that holds only what survived a correction: its own least value
            low = min(float(positive.min(initial=np.inf)), -float(negative.max(initial=-np.inf)))
        if high - low < 0.05 * high:
            low = 0.0
        return cls(threshold, low, high, bool(positive.size), bool(negative.size))

    def shown(self, data: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Tell where a map is drawn."""
        size = np.abs(data)
        shown: NDArray[np.bool_] = size >= self.threshold if self.threshold else size > 0
        return shown

    def colours(self, values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Colours of values, shape (..., 3)."""
        size = (np.abs(values) - self.low) * ((_STEPS - 1) / (self.high - self.low))
        step = np.clip(size, 0, _STEPS - 1).astype(np.intp)
        return np.where((values < 0)[..., None], NEGATIVE[step], POSITIVE[step])
