"""NiMARE's estimators with our permutation steps behind them.

Each class overrides the permutation step of NiMARE's class of the same name and nothing else: what is fitted, what is
drawn, and how nulls become maps and texts is NiMARE's own code. Where a kernel does not reproduce a configuration
exactly, NiMARE's own step runs, and the log says so.
"""

from __future__ import annotations

from compose_runner.analysis.compute.engine.foci_estimators import ALE, KDA, MKDADensity
from compose_runner.analysis.compute.engine.label_estimators import ALESubtraction, MKDAChi2
from compose_runner.analysis.compute.engine.scale_estimator import SCALE

ESTIMATORS: dict[str, type] = {made.__name__: made for made in (ALE, MKDADensity, KDA, MKDAChi2, ALESubtraction, SCALE)}


def estimator_class(name: str, nimare_class: type, engine: str = "auto") -> type:
    """Return the class to use for an estimator of a specification.

    Parameters
    ----------
    name : str
        NiMARE's name of the estimator.
    nimare_class : type
        NiMARE's own class.
    engine : {"auto", "nimare"}, optional
        ``"nimare"`` forces NiMARE's own permutations.

    Raises
    ------
    ValueError
        An engine of another name.
    """
    if engine not in ("auto", "nimare"):
        raise ValueError(f"engine must be 'auto' or 'nimare', not {engine!r}")
    ours = ESTIMATORS.get(name)
    if engine == "nimare" or ours is None or not issubclass(ours, nimare_class):
        return nimare_class
    return ours
