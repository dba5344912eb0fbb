"""Ratios of alternating measurements, and whether they reach a goal."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast (as small) ours is.

    Parameters
    ----------
    median, low, high : float
        Median and quartiles of the rounds' ratios.
    rounds : int
        Number of rounds.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[float, float]]) -> Ratio:
        """Divide what the other needed by what ours needed, round by round.

        A round's two measurements lie close together in time, so that a machine that gets slower slows both; a ratio
        of medians would compare good moments of one with bad moments of the other.

        Parameters
        ----------
        pairs : iterable of (float, float)
            Seconds (or megabytes) of the other and of ours.
        """
        values = [other / ours for other, ours in pairs]
        low, high = quartiles(values)
        return cls(statistics.median(values), low, high, len(values))

    def meets(self, goal: float) -> bool:
        """Whether the median reaches a goal, to the precision in which it is printed."""
        return round(self.median, 2) >= goal


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile, the data's extremes included; of one value, that value twice.

    Raises
    ------
    ValueError
        There are no values.
    """
    if not values:
        raise ValueError("there is nothing to summarise")
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
