"""Which maps of a result come first, what they are called, and what is shown of them at first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from compose_runner.analysis.write.headings import Heading, map_heading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nimare.results import MetaResult
    from numpy.typing import NDArray

_ORDER = ("z", "logp", "p", "stat", "chi2", "t", "est", "prob", "se", "tau2", "sigma2", "dof", "label")
# p < .001 in one tail, the usual threshold of maps that are not corrected
_UNCORRECTED_Z = 3.09
# p < .05
_LOGP = 1.30
_SHOWN_PERCENT = 5


@dataclass(frozen=True)
class ResultMap:
    """A map of the result as a reader chooses it.

    Parameters
    ----------
    name : str
        NiMARE's name.
    heading : Heading
        What it is, in words.
    kind : {"z", "p", "logp", "other"}
        What its values are.
    threshold : float
        Least absolute value that is shown at first.
    tails : {1, 2}
        Of the test.
    """

    name: str
    heading: Heading
    kind: Literal["z", "p", "logp", "other"]
    threshold: float
    tails: Literal[1, 2]

    @property
    def filename(self) -> str:
        """Name of its file."""
        return f"{self.name}.nii.gz"


def order_maps(
    result: MetaResult,
    diagnostics: Sequence[Mapping[str, Any]],
    *,
    groups: tuple[str, str] = ("", ""),
    n_iters: int | None = None,
) -> list[ResultMap]:
    """List the maps of a result: those that were described, other corrected ones, the rest.

    Parameters
    ----------
    result : nimare.results.MetaResult
        Its maps.
    diagnostics : sequence of mapping
        ``metadata["diagnostics"]``: thresholds by map.
    groups : tuple of (str, str)
        What the groups are called.
    n_iters : int, optional
        Permutations of the correction.
    """
    described = {about["target_image"]: about for about in reversed(diagnostics)}
    estimator = type(result.estimator).__name__
    default_tails: Literal[1, 2] = 1 if one_tailed(result) else 2
    found = []
    for name, values in result.maps.items():
        if values is None:
            continue
        about = described.get(name, {})
        value = name.partition("_")[0]
        kind: Any = value if value in ("z", "p", "logp") else "other"
        threshold = about.get("target_threshold")
        found.append(
            ResultMap(
                name,
                map_heading(name, estimator=estimator, groups=groups, n_iters=n_iters),
                kind,
                float(threshold) if threshold is not None else _first_threshold(name, value, values),
                2 if about.get("tails", default_tails) == 2 else 1,
            )
        )
    places = {about["target_image"]: place for place, about in reversed(list(enumerate(diagnostics)))}
    return sorted(found, key=lambda one: _place(one.name, places))


def one_tailed(result: MetaResult) -> bool:
    """Whether an estimator tests for convergence alone, as those of one group of coordinates do."""
    from nimare.meta.cbma.base import CBMAEstimator, PairwiseCBMAEstimator

    return isinstance(result.estimator, CBMAEstimator) and not isinstance(result.estimator, PairwiseCBMAEstimator)


def _place(name: str, described: Mapping[str, int]) -> tuple[int, int, int]:
    value = name.partition("_")[0]
    rank = _ORDER.index(value) if value in _ORDER else len(_ORDER)
    if name in described:
        # what two groups were compared for
        compared = "MinusGroup2" in name or "_desc-association" in name
        return (0, 0 if compared else 1, described[name])
    if value == "label":
        return (3, rank, 0)
    return (1 if "_corr-" in name else 2, rank, 0)


def _first_threshold(name: str, value: str, values: NDArray[np.floating[Any]]) -> float:
    if value == "z":
        return 0.0 if "_corr-" in name else _UNCORRECTED_Z
    if value == "logp":
        return _LOGP
    if value in ("p", "label") or values.ndim != 1:
        return 0.0
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.percentile(size, 100 - _SHOWN_PERCENT)) if size.size else 0.0
