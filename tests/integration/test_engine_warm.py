"""After every kernel has been compiled ahead, no job compiles another one."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
from nimare.correct import FWECorrector
from nimare.nimads import Studyset
from numba.core.dispatcher import Dispatcher

from compose_runner.analysis.compute.engine import foci_permutations
from compose_runner.analysis.compute.engine.registry import ESTIMATORS
from compose_runner.analysis.compute.engine.warm import warm
from compose_runner.analysis.compute.patches.foci_lookup import foci_at_once
from tests.support import synthetic
from tests.support.engine_studies import quiet_nimare

ONE_GROUP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ALE", {}),
    ("ALE", {"kernel__sample_size": 20}),
    ("ALE", {"kernel__fwhm": 14, "null_method": "montecarlo", "n_iters": 2}),
    ("MKDADensity", {"kernel__r": 10, "kernel__value": 1}),
    ("MKDADensity", {"kernel__r": 10, "null_method": "montecarlo", "n_iters": 2}),
    ("MKDADensity", {"kernel__r": 6, "weighting": "sample_size"}),
    ("MKDADensity", {"kernel__r": 20, "weighting": "sample_size", "null_method": "montecarlo", "n_iters": 2}),
    ("KDA", {"kernel__r": 6}),
    ("KDA", {"kernel__r": 20, "null_method": "montecarlo", "n_iters": 2}),
    ("SCALE", {"xyz": np.array(synthetic.foci(20)), "n_iters": 2}),
    ("SCALE", {"xyz": np.array(synthetic.foci(20)), "kernel__fwhm": 16, "n_iters": 2}),
)
TWO_GROUPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("MKDAChi2", {"kernel__r": 10}),
    ("MKDAChi2", {"kernel__r": 6, "prior": 0.7}),
    ("ALESubtraction", {"n_iters": 2}),
    ("ALESubtraction", {"kernel__fwhm": 8, "n_iters": 2, "vfwe_only": False}),
)


def compiled() -> set[tuple[str, str, str]]:
    """Every compiled function with the types that it is compiled for: ours, and NiMARE's that we call."""
    found: set[tuple[str, str, str]] = set()
    for name, module in list(sys.modules.items()):
        if name.startswith(("compose_runner.analysis.compute.engine", "nimare.meta")):
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    identity = (function.py_func.__module__, function.py_func.__name__)
                    found.update((*identity, str(types)) for types in function.signatures)
    return found


def studies(sizes: list[int], seed: int, name: str) -> Studyset:
    rng = np.random.default_rng(seed)
    made = []
    for index, count in enumerate(sizes):
        xyz = rng.uniform([-50, -80, -30], [50, 50, 60], size=(count, 3)).round(1).tolist()
        analysis = synthetic.analysis(f"{name}{index}a", xyz, metadata={"sample_sizes": [12 + 5 * index]})
        made.append(synthetic.study(f"{name}{index}", [analysis]))
    return Studyset(synthetic.studyset(made, name), target="mni152_2mm")


@pytest.fixture(scope="module", autouse=True)
def compiled_ahead() -> None:
    with quiet_nimare(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm()


@pytest.mark.parametrize("job", [*ONE_GROUP, *TWO_GROUPS], ids=lambda job: f"{job[0]}-{'-'.join(map(str, job[1]))}")
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_left_to_compile(job: tuple[str, dict[str, Any]]) -> None:
    name, arguments = job
    known = compiled()
    groups = [studies([7, 70, 1, 12], 1, "first"), studies([3, 9, 2], 2, "second")]
    options = {"vfwe_only": arguments["vfwe_only"]} if "vfwe_only" in arguments else {}
    with foci_at_once():
        estimator = ESTIMATORS[name](random_state=0, **arguments)
        result = estimator.fit(*(groups if job in TWO_GROUPS else groups[:1]))
        FWECorrector(method="montecarlo", n_iters=2, n_cores=2, **options).transform(result)
    assert compiled() - known == set()


@pytest.mark.parametrize("null_method", ["approximate", "montecarlo"])
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_left_to_compile_when_counts_need_32_bits(null_method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foci_permutations, "SMALL_COUNT", 0)
    known = compiled()
    estimator = ESTIMATORS["KDA"](random_state=0, kernel__r=6, null_method=null_method, n_iters=2)
    result = estimator.fit(studies([7, 3, 1], 1, "first"))
    FWECorrector(method="montecarlo", n_iters=2, n_cores=1).transform(result)
    assert compiled() - known == set()
