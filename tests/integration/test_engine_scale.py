"""SCALE on our kernel gives NiMARE's own numbers."""

from __future__ import annotations

import logging
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from nimare.correct import FWECorrector
from nimare.meta.cbma import SCALE
from nimare.meta.kernel import ALEKernel, MKDAKernel

from compose_runner.analysis.compute import engine
from compose_runner.analysis.compute.engine.scale_permutations import compute_statistic, sums_reaching
from tests.support.engine_studies import MemoryStore, assert_same_result, fitted, small_studyset

OURS = engine.estimator_class("SCALE", SCALE)
STUDIES = [5, 1, 9, 3, 4, 12, 2, 1, 3, 2, 4, 60]  # more than ten: sorted ids are in another order than the studies
# Some of the pool is outside of the mask, some outside of the volume, some too far away to matter, some twice.
POOL = np.vstack([np.random.default_rng(2).normal(0, 12, (60, 3)), [[0, 0, 0], [0, 0, 0], [300, 0, 0], [-26, 24, 30]]])
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "one width": {"kernel__fwhm": 8},
    "a sample size for all": {"kernel__sample_size": 20},
    "a sample size per study": {},
}


def corrected(estimator_class: type, studies: list[int] = STUDIES, n_cores: int = 1, **arguments: Any) -> Any:
    """Fit and correct, with few iterations."""
    arguments = {"xyz": POOL, "n_iters": 11, "n_cores": n_cores, **arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fitted(estimator_class, small_studyset(studies), **arguments)
        return FWECorrector(method="montecarlo", n_iters=7, n_cores=n_cores).transform(result)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_scale_equals_nimares_on_any_number_of_cores(name: str) -> None:
    nimares = corrected(SCALE, **CONFIGURATIONS[name])
    assert len(np.unique(nimares.maps["logp"])) > 3
    for n_cores in (1, 2):
        assert_same_result(corrected(OURS, n_cores=n_cores, **CONFIGURATIONS[name]), nimares)


@pytest.mark.parametrize("studies", [[1], [2], [1, 1, 1], [60, 45]], ids=str)
def test_small_and_dense_studysets_equal_nimares(studies: list[int]) -> None:
    assert_same_result(corrected(OURS, studies, kernel__fwhm=10), corrected(SCALE, studies, kernel__fwhm=10))


def test_ties_with_the_observed_map_count_as_nimares_do() -> None:
    pool = np.zeros((1, 3))  # every permutation is the same
    arguments: dict[str, Any] = {"xyz": pool, "kernel__fwhm": 8, "n_iters": 3}
    assert_same_result(corrected(OURS, **arguments), corrected(SCALE, **arguments))


def test_the_highest_sum_that_reaches_a_statistic_is_found_to_the_last_bit() -> None:
    sums = -np.concatenate([[0.0, 1e-20, 1e-9], np.random.default_rng(0).exponential(0.05, 500), [3.0, 40.0]])
    observed = compute_statistic(sums)
    limits = sums_reaching(observed)
    assert (limits >= sums).all()
    assert (compute_statistic(limits) >= observed).all()
    positive = observed > 0
    assert (compute_statistic(np.nextafter(limits, 1))[positive] < observed[positive]).all()
    np.testing.assert_array_equal(sums_reaching(np.array([0.0, -0.5, 1.5])), [0, 0, -np.inf])


def test_every_iteration_is_reported_and_shards_do_not_show_in_the_result() -> None:
    seen: list[tuple[int, int]] = []
    with engine.session(progress=lambda *counts: seen.append(counts)):
        once = corrected(OURS, kernel__fwhm=8)
    assert {counts for counts in seen if counts[0] == counts[1]} == {(11, 11), (7, 7)}
    shards = MemoryStore()
    for shard in (1, 0, 1, 0):  # two of the fit, two of the correction
        with engine.session(store=shards, n_shards=2, shard=shard), pytest.raises(engine.ShardFinished):
            corrected(OURS, kernel__fwhm=8)
    with engine.session(store=shards, n_shards=2, before_run=lambda missing: pytest.fail(f"{missing} missing")):
        assert_same_result(corrected(OURS, kernel__fwhm=8), once)


def test_the_log_says_which_path_runs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="compose_runner.analysis.compute.engine")
    corrected(OURS, [3, 2], kernel__fwhm=8)
    assert "SCALE: the voxels' null runs on compose-runner's kernel" in caplog.text
    assert "SCALE: the FWE correction runs on compose-runner's kernel" in caplog.text
    caplog.clear()
    other = {"kernel_transformer": MKDAKernel(r=6)}
    assert_same_result(corrected(OURS, [3, 2], **other), corrected(SCALE, [3, 2], **other))
    assert "NiMARE's own path: its kernel is MKDAKernel" in caplog.text


def test_a_fitted_scale_is_kept_as_nimares_own() -> None:
    result = corrected(OURS, [3, 2], kernel_transformer=ALEKernel(fwhm=8))
    assert type(pickle.loads(pickle.dumps(result.estimator))) is SCALE
    assert not {"_run", "_fitting"} & result.estimator.__dict__.keys()
