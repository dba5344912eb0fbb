"""Specifications that submit tells apart: of an ordinary task, of a large one, and of none."""

from __future__ import annotations

STANDARD_SPECIFICATION = {
    "type": "CBMA",
    "estimator": {"type": "MKDADensity", "args": {"**kwargs": {}}},
    "corrector": {"type": "FDRCorrector", "args": {"alpha": 0.05, "method": "indep"}},
    "filter": "included",
    "conditions": [True],
    "weights": [1],
    "database_studyset": None,
}
LARGE_SPECIFICATION = {
    **STANDARD_SPECIFICATION,
    "corrector": {"type": "FWECorrector", "args": {"method": "montecarlo", "n_iters": 100}},
}
IMPOSSIBLE_SPECIFICATION = {**STANDARD_SPECIFICATION, "estimator": {"type": "NoSuchEstimator", "args": {}}}
