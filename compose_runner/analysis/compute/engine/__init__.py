"""Monte Carlo permutations of coordinate-based meta-analyses, compiled, on all cores, with NiMARE's own numbers.

:func:`estimator_class` gives the class to fit in place of NiMARE's; :func:`session` puts progress, checkpoints and
shards in force; :func:`observe_iterations` shows the iterations of NiMARE's own path. ``python -m
compose_runner.analysis.compute.engine.warm`` compiles everything ahead.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compose_runner.analysis.compute.engine.monitor import observe_iterations
    from compose_runner.analysis.compute.engine.nimare_instances import as_nimare
    from compose_runner.analysis.compute.engine.registry import estimator_class
    from compose_runner.analysis.compute.engine.sessions import NullStore, ShardFinished, session

__all__ = ["NullStore", "ShardFinished", "as_nimare", "estimator_class", "observe_iterations", "session"]

_HOMES = {
    "as_nimare": "nimare_instances",
    "estimator_class": "registry",
    "observe_iterations": "monitor",
    "NullStore": "sessions",
    "ShardFinished": "sessions",
    "session": "sessions",
}


def __getattr__(name: str) -> Any:
    # NiMARE and numba are imported with the name that needs them, not with the package.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
