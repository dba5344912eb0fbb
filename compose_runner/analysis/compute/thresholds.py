"""At which z the clusters of a map begin, so that a table lists what is significant at the alpha that was asked for.

NiMARE's workflows cut every map at z > 1.65. That is p < .0495 in a map whose z come from one-tailed p values, and
p < .099 in one whose z come from two-tailed ones. Which of the two a map has depends on what made it; in NiMARE 0.22.1:

====================================================== ===== ====================================================
map                                                    tails made in
====================================================== ===== ====================================================
FDR, Bonferroni, of any estimator                      two   ``correct.py:197`` (``nlogp_to_z``, two tails by
                                                             default); ``meta/cbma/mkda.py:1545`` (MKDAChi2, FDR)
FWE Monte Carlo, one group of coordinates              one   ``meta/cbma/base.py:1158``, ``1174``, ``1190``;
                                                             ``meta/cbma/ale.py:2337`` (SCALE)
FWE Monte Carlo, comparison of two groups              two   ``meta/cbma/mkda.py:1428-1448`` (MKDAChi2);
                                                             ``meta/cbma/ale.py:1489``, ``1549``, ``1555``
FWE Monte Carlo, one of ALESubtraction's groups        one   ``meta/cbma/ale.py:1362`` (as for one group)
FWE Monte Carlo, PermutedOLS                           two,  ``meta/ibma.py:2261``; one with ``two_sided`` false
FWE predictive (ALE)                                   one   ``meta/cbma/ale.py:560`` (the uncorrected z)
none, one group of coordinates                         one   ``meta/cbma/base.py:669``; ``ale.py:2241`` (SCALE)
none, MKDAChi2                                         two   ``meta/cbma/mkda.py:777-799`` (root of a chi square)
none, ALESubtraction, one of its groups                one   ``meta/cbma/ale.py:1005`` (as for one group)
none, ALESubtraction, comparison                       two   ``meta/cbma/ale.py:1013``
none, BalancedALESubtraction                           one   ``meta/cbma/ale.py:1930``, ``1941``, for each sign
none, images                                           two   one with ``two_sided`` false (Stouffers, Fishers,
                                                             PermutedOLS)
====================================================== ===== ====================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nimare.meta.cbma import MKDAChi2
from nimare.meta.cbma.base import CBMAEstimator, PairwiseCBMAEstimator
from scipy.special import ndtri

from compose_runner.analysis.compute.map_names import MapName, parse

if TYPE_CHECKING:
    from nimare.correct import Corrector
    from nimare.estimator import Estimator
    from nimare.results import MetaResult
    from numpy.typing import NDArray

DEFAULT_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where the clusters of a map begin.

    Parameters
    ----------
    z : float
        Clusters are of voxels whose z is greater, or less than its negative in the negative tail.
    alpha : float
        Their p is less.
    tails : {1, 2}
        Of the p values from which the map's z were made.
    corrected : bool
        Whether p is corrected for multiple comparisons.
    """

    z: float
    alpha: float
    tails: int
    corrected: bool

    def __str__(self) -> str:
        """Give the rule in words: ``p < 0.05, corrected (two-tailed)``."""
        correction = "corrected" if self.corrected else "uncorrected"
        return f"p < {self.alpha:g}, {correction} ({'two' if self.tails == 2 else 'one'}-tailed)"


def find_alpha(corrector: Corrector | None) -> float:
    """Give the alpha that a corrector was given; .05 for one that takes none.

    Parameters
    ----------
    corrector : nimare.correct.Corrector or None
        NiMARE's FDRCorrector has an alpha. It changes no map, and is where the maps are meant to be cut.
    """
    return float(getattr(corrector, "alpha", DEFAULT_ALPHA))


def threshold(result: MetaResult, name: str, alpha: float | None = None) -> Threshold:
    """Find where the clusters of a map begin.

    A voxel is in a cluster when its p is less than alpha, strictly, both in the precision of the p map. NiMARE takes a
    threshold for z, of which float32 has fewer different values than of p near alpha: the quantile of alpha is moved by
    as little as lets no voxel with p >= alpha in and, as far as z can tell them apart, none with p < alpha out.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With the map.
    name : str
        The z map.
    alpha : float, optional
        By default what the result's corrector was given; see :func:`find_alpha`.

    Raises
    ------
    ValueError
        The name is not that of a z map.
    """
    parsed = parse(name)
    if parsed is None:
        raise ValueError(f"{name} is not the name of a z map")
    alpha = find_alpha(result.corrector) if alpha is None else alpha
    tails = _tails(parsed, result.estimator)
    values = np.asarray(result.maps[name])
    if getattr(result.estimator, "two_sided", True):
        values = np.abs(values)
    nominal = values.dtype.type(-ndtri(alpha / tails))
    cut = nominal
    if (below := is_below(result, name, alpha)) is not None:
        known = np.isfinite(values) & (values != 0)
        highest = np.max(values[known & ~below], initial=0)
        lowest = np.min(values[known & below], initial=np.inf)
        cut = max(highest, min(nominal, np.nextafter(lowest, values.dtype.type(0))))
    return Threshold(float(cut), alpha, tails, bool(parsed.correction))


def is_below(result: MetaResult, name: str, alpha: float) -> NDArray[np.bool_] | None:
    """Tell in which voxels p is less than alpha, by the map of p (or of its logarithm) beside a z map.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With the maps.
    name : str
        The z map.
    alpha : float
        Rounded as the map's values are: a p of exactly alpha is not less.

    Returns
    -------
    ndarray of bool, or None
        None when the result has neither map.
    """
    if (p := result.maps.get(f"p{name[1:]}")) is not None:
        p = np.asarray(p)
        return np.asarray(p < p.dtype.type(alpha))
    if (logp := result.maps.get(f"logp{name[1:]}")) is not None:
        logp = np.asarray(logp)
        # an array, since NumPy may compute logarithms of arrays by other instructions than those of numbers
        return np.asarray(logp > -np.log10(np.full(1, alpha, dtype=logp.dtype)))
    return None


def _tails(name: MapName, estimator: Estimator) -> int:
    if name.correction and name.method not in ("montecarlo", "predictive"):
        return 2
    if isinstance(estimator, MKDAChi2):
        return 2
    if isinstance(estimator, PairwiseCBMAEstimator):
        return 1 if name.group or name.effect.startswith("balanced") else 2
    if isinstance(estimator, CBMAEstimator):
        return 1
    return 2 if getattr(estimator, "two_sided", True) else 1
