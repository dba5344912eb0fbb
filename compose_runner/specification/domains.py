"""Which values the numeric arguments of NiMARE have a meaning for.

NiMARE computes with whatever it is given: a kernel of minus 3 mm, a threshold of p < 2, more iterations than any
machine has memory for. Every argument that is a number, or a list of numbers, has its domain here, under its name in
NiMARE; :class:`compose_runner.specification.signatures.Parameter` checks it. The defaults of NiMARE and of Compose's
form are in them. What a deployment allows its callers to spend is less than what is meaningful, and is not said here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two bounds.

    Parameters
    ----------
    low, high : float
        The bounds.
    whole : bool
        Whether only whole numbers are in it.
    cut : bool
        Whether a fraction is cut off instead, as Python's ``int`` does.
    open : bool
        Whether the bounds themselves are outside.
    unit : str
        Of the number, for texts.
    """

    low: float
    high: float
    whole: bool = False
    cut: bool = False
    open: bool = False
    unit: str = ""

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
            return False
        if self.whole and value != math.floor(value):
            if not self.cut:
                return False
            value = math.floor(value)
        return self.low < value < self.high if self.open else self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        bounds = f"between {self.low:,} and {self.high:,}" if self.open else f"from {self.low:,} to {self.high:,}"
        return f"{kind} {bounds}{f' {self.unit}' if self.unit else ''}"


_PROBABILITY = Interval(0, 1, open=True)
# a null distribution of 10 million values of 8 bytes is 80 MB; more tells nothing more at any threshold in use
_ITERATIONS = Interval(1, 10_000_000, whole=True, cut=True)
# the most items of a list of numbers, such as the coordinates of all voxels of a brain at 2 mm
MOST_ITEMS = 1_000_000

DOMAINS: dict[str, Interval] = {
    "n_iters": _ITERATIONS,
    "difference_iterations": _ITERATIONS,
    "n_subsamples": _ITERATIONS,
    "target_n": Interval(1, 1_000_000, whole=True),
    "n_histogram_bins": Interval(10, 1_000_000, whole=True),
    # cluster-forming and significance thresholds, and the prior probability of an activation
    "voxel_thresh": _PROBABILITY,
    "alpha": _PROBABILITY,
    "prior": _PROBABILITY,
    # correlation of the maps of one study
    "rho": Interval(0, 1),
    # between-study variance, in the squared unit of the maps
    "tau2": Interval(0, 10**12),
    # a kernel narrower than half a voxel of 2 mm is one voxel; those of the field have 8 to 20 mm
    "fwhm": Interval(1, 100, unit="mm"),
    "r": Interval(1, 50, unit="mm"),
    "value": Interval(1, 1000, whole=True),
    "sample_size": Interval(1, 1_000_000),
    "xyz": Interval(-1000, 1000, unit="mm"),
    # what NumPy's generators take
    "random_state": Interval(0, 2**32 - 1, whole=True),
    # requests that are cut to what the machine has; joblib counts down from all of them below 0
    "n_cores": Interval(-10_000, 10_000),
    "n_jobs": Interval(-10_000, 10_000),
    "memory_level": Interval(0, 1000),
    # outside of an image that is resampled
    "fill_value": Interval(-(10**12), 10**12),
}
