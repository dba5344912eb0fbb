"""ALE, MKDADensity and KDA on our kernels give NiMARE's own numbers, however they are run."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from nimare.correct import FWECorrector
from nimare.meta.cbma import ALE, KDA, MKDADensity
from nimare.meta.cbma.weights import StudyWeights
from nimare.meta.kernel import ALEKernel, MKDAKernel

from compose_runner.analysis.compute import engine
from tests.support.engine_studies import MemoryStore, assert_same_result, fitted, small_mask, small_studyset

STUDIES = [5, 1, 9, 3, 4, 12]
CONFIGURATIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ALE with one width": (ALE, {"kernel__fwhm": 8}),
    "ALE with a sample size for all": (ALE, {"kernel__sample_size": 20}),
    "ALE with a sample size per study": (ALE, {}),
    "MKDADensity": (MKDADensity, {"kernel__r": 6}),
    "MKDADensity weighted by sample size": (MKDADensity, {"kernel__r": 6, "weighting": "sample_size"}),
    "MKDADensity of another height": (MKDADensity, {"kernel__r": 6, "kernel__value": 0.3}),
    "KDA": (KDA, {"kernel__r": 6}),
    "KDA of another height": (KDA, {"kernel__r": 6, "kernel__value": 0.3}),
}


def corrected(estimator_class: type, arguments: dict[str, Any], studyset: Any = None, **options: Any) -> Any:
    """Fit and correct, with few iterations and a threshold at which there are clusters."""
    studyset = studyset or small_studyset(STUDIES)
    options = {"n_iters": 6, "n_cores": 1, "voxel_thresh": 0.05, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fitted(estimator_class, studyset, **arguments)
        return FWECorrector(method="montecarlo", **options).transform(result)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_fwe_correction_equals_nimares(name: str) -> None:
    nimare_class, arguments = CONFIGURATIONS[name]
    ours = corrected(engine.estimator_class(nimare_class.__name__, nimare_class), arguments)
    assert_same_result(ours, corrected(nimare_class, arguments))
    assert np.ptp(ours.estimator.null_distributions_["values_level-voxel_corr-fwe_method-montecarlo"]) > 0


@pytest.mark.parametrize(
    "foci_per_study",
    [[8], [1, 1, 1, 1, 1], [2], [60, 3, 45], [1]],
    ids=["one study", "studies of one focus", "two foci", "dense studies", "a single focus"],
)
@pytest.mark.parametrize("nimare_class", [ALE, MKDADensity, KDA])
def test_small_and_dense_studysets_equal_nimares(nimare_class: type, foci_per_study: list[int]) -> None:
    arguments = {"kernel__fwhm": 8} if nimare_class is ALE else {"kernel__r": 6}
    studyset = small_studyset(foci_per_study, seed=3)
    ours = corrected(engine.estimator_class(nimare_class.__name__, nimare_class), arguments, studyset)
    assert_same_result(ours, corrected(nimare_class, arguments, studyset))


@pytest.mark.parametrize("nimare_class", [ALE, MKDADensity])
@pytest.mark.parametrize(
    "options",
    [{"voxel_thresh": 1e-12}, {"voxel_thresh": 0.9}, {"vfwe_only": True}, {"n_iters": 1}],
    ids=["no cluster", "nearly everything a cluster", "voxels only", "one iteration"],
)
def test_thresholds_and_voxel_level_correction_equal_nimares(nimare_class: type, options: dict[str, Any]) -> None:
    arguments = {"kernel__fwhm": 8} if nimare_class is ALE else {"kernel__r": 6}
    ours = corrected(engine.estimator_class(nimare_class.__name__, nimare_class), arguments, **options)
    assert_same_result(ours, corrected(nimare_class, arguments, **options))


def test_duplicate_foci_equal_nimares() -> None:
    studyset = small_studyset([4, 4], seed=1, spread=0.1)
    for nimare_class in (ALE, MKDADensity, KDA):
        arguments = {"kernel__fwhm": 8} if nimare_class is ALE else {"kernel__r": 6}
        ours = corrected(engine.estimator_class(nimare_class.__name__, nimare_class), arguments, studyset)
        assert_same_result(ours, corrected(nimare_class, arguments, studyset))


@pytest.mark.parametrize("name", ["ALE with one width", "MKDADensity"])
def test_cores_shards_and_interruptions_do_not_show_in_the_result(name: str) -> None:
    nimare_class, arguments = CONFIGURATIONS[name]
    ours = engine.estimator_class(nimare_class.__name__, nimare_class)
    once = corrected(ours, arguments, n_iters=23)
    assert_same_result(corrected(ours, arguments, n_iters=23, n_cores=2), once)

    shards = MemoryStore()
    for shard in (2, 0, 3, 1):
        with engine.session(store=shards, n_shards=4, shard=shard), pytest.raises(engine.ShardFinished):
            corrected(ours, arguments, n_iters=23)
    del shards.kept[next(iter(shards.kept))]  # one shard is lost: it is computed again
    with engine.session(store=shards, n_shards=4):
        assert_same_result(corrected(ours, arguments, n_iters=23), once)

    stopped = MemoryStore(fail_after=1)
    with engine.session(store=stopped, n_shards=4, checkpoint_seconds=0), pytest.raises(InterruptedError):
        corrected(ours, arguments, n_iters=23)
    stopped.fail_after = None
    seen: list[tuple[int, int]] = []
    with engine.session(store=stopped, n_shards=4, progress=lambda *counts: seen.append(counts)):
        assert_same_result(corrected(ours, arguments, n_iters=23), once)
    assert seen[0][0] > 23 // 4  # the first quarter was not computed again
    assert seen[-1] == (23, 23)
    assert seen == sorted(seen)


@pytest.mark.parametrize("method", ["approximate", "montecarlo"])
def test_a_run_is_saved_and_goes_on_in_the_middle_of_a_block_of_draws(method: str) -> None:
    ours = engine.estimator_class("MKDADensity", MKDADensity)
    arguments = {"kernel__r": 6, "null_method": method, "n_iters": 23}
    once = corrected(ours, arguments, n_iters=23)
    stopped = MemoryStore(fail_after=1)
    with engine.session(store=stopped, checkpoint_seconds=0), pytest.raises(InterruptedError):
        corrected(ours, arguments, n_iters=23)
    (saved,) = stopped.kept.values()
    assert 0 < len(saved["rows"]) < 23
    stopped.fail_after = None
    with engine.session(store=stopped, checkpoint_seconds=0):
        assert_same_result(corrected(ours, arguments, n_iters=23), once)
    assert stopped.saves > 4


def test_a_run_without_seed_never_goes_on_from_another_ones_draws() -> None:
    store = MemoryStore()
    with engine.session(store=store):
        corrected(engine.estimator_class("ALE", ALE), {"kernel__fwhm": 8, "random_state": None})
    assert not store.kept


@pytest.mark.parametrize("nimare_class", [ALE, MKDADensity, KDA])
def test_a_saved_result_opens_as_nimares_own_and_a_copy_stays_ours(nimare_class: Any) -> None:
    ours = engine.estimator_class(nimare_class.__name__, nimare_class)
    result = fitted(ours, small_studyset(STUDIES), n_cores=1)
    assert isinstance(result.estimator, nimare_class)
    assert type(result.estimator).__name__ == nimare_class.__name__
    assert type(copy.deepcopy(result.estimator)) is ours
    assert type(copy.copy(result.estimator)) is ours
    assert type(pickle.loads(pickle.dumps(result)).estimator) is nimare_class
    assert type(engine.as_nimare(result.estimator)) is nimare_class
    assert engine.as_nimare(result.estimator).null_distributions_ is result.estimator.null_distributions_
    assert result.estimator.get_params().keys() == nimare_class().get_params().keys()
    assert inspect.signature(ours.correct_fwe_montecarlo).parameters.keys() == (
        inspect.signature(nimare_class.correct_fwe_montecarlo).parameters.keys()
    )
    for parameter, value in inspect.signature(nimare_class.correct_fwe_montecarlo).parameters.items():
        assert inspect.signature(ours.correct_fwe_montecarlo).parameters[parameter].default == value.default


def test_a_kernel_that_does_not_apply_leaves_nimares_own_path_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="compose_runner.analysis.compute.engine")
    arguments = {"kernel_transformer": ALEKernel, "kernel__fwhm": 8}
    seen: list[tuple[int, int]] = []
    with engine.observe_iterations(lambda *counts: seen.append(counts)):
        ours = corrected(engine.estimator_class("MKDADensity", MKDADensity), arguments)
    assert_same_result(ours, corrected(MKDADensity, arguments))
    assert "NiMARE's own path: its kernel is ALEKernel" in caplog.text
    assert seen == [(count, 6) for count in range(1, 7)]
    caplog.clear()
    corrected(engine.estimator_class("MKDADensity", MKDADensity), {"kernel_transformer": MKDAKernel})
    assert "compose-runner's kernel" in caplog.text


def test_every_iteration_is_reported_once_and_no_bar_is_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    listener = lambda completed, total: seen.append((completed, total))  # noqa: E731
    with engine.session(progress=listener), engine.observe_iterations(listener):
        corrected(engine.estimator_class("ALE", ALE), {"kernel__fwhm": 8}, n_iters=9)
    assert seen[-1] == (9, 9)
    assert seen == sorted(set(seen))
    assert "it/s" not in capfd.readouterr().err


def test_estimator_class_knows_engines_and_unknown_estimators() -> None:
    class Other(ALE):  # type: ignore[misc]
        pass

    assert engine.estimator_class("ALE", ALE, engine="nimare") is ALE
    assert engine.estimator_class("Fishers", StudyWeights) is StudyWeights
    assert engine.estimator_class("ALE", Other) is Other
    with pytest.raises(ValueError, match="engine must be"):
        engine.estimator_class("ALE", ALE, engine="warp")


def test_a_shard_that_does_not_exist_or_has_no_store_is_refused() -> None:
    with pytest.raises(ValueError, match="shard 4 of 4"), engine.session(n_shards=4, shard=4, store=MemoryStore()):
        pass
    with pytest.raises(ValueError, match="needs a store"), engine.session(n_shards=4, shard=1):
        pass


def test_the_small_mask_touches_the_edge_of_its_volume() -> None:
    mask = small_mask().get_fdata() > 0
    assert mask[0].any()
    assert not mask[:, 0].any()


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("vfwe_only", [True, False])
def test_the_monte_carlo_null_equals_nimares(name: str, vfwe_only: bool) -> None:
    nimare_class, arguments = CONFIGURATIONS[name]
    arguments = {**arguments, "null_method": "montecarlo", "n_iters": 7, "n_cores": 2}
    ours = corrected(engine.estimator_class(nimare_class.__name__, nimare_class), arguments, vfwe_only=vfwe_only)
    assert_same_result(ours, corrected(nimare_class, arguments, vfwe_only=vfwe_only))


@pytest.mark.parametrize("name", ["ALE with a sample size per study", "MKDADensity", "KDA of another height"])
def test_cores_and_shards_do_not_show_in_the_monte_carlo_null(name: str) -> None:
    nimare_class, arguments = CONFIGURATIONS[name]
    ours = engine.estimator_class(nimare_class.__name__, nimare_class)
    studyset = small_studyset([60, 3, 1, 20])
    arguments = {**arguments, "null_method": "montecarlo", "n_iters": 13}
    once = fitted(nimare_class, studyset, **arguments)
    assert_same_result(fitted(ours, studyset, **arguments, n_cores=2), once)
    shards = MemoryStore()
    for shard in range(3):
        with engine.session(store=shards, n_shards=3, shard=shard), pytest.raises(engine.ShardFinished):
            fitted(ours, studyset, **arguments)
    with engine.session(store=shards, n_shards=3):
        assert_same_result(fitted(ours, studyset, **arguments), once)
