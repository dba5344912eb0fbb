"""MKDAChi2 and ALESubtraction on our kernels give NiMARE's own numbers, however they are run."""

from __future__ import annotations

import logging
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from nimare.correct import FWECorrector
from nimare.meta.cbma import ALESubtraction, MKDAChi2

from compose_runner.analysis.compute import engine
from tests.support.engine_studies import MemoryStore, assert_same_result, fitted, small_studyset

GROUPS = ([5, 1, 9, 3], [4, 12, 2, 2, 7])


def two_groups(sizes: tuple[list[int], list[int]] = GROUPS) -> tuple[Any, Any]:
    return small_studyset(sizes[0], seed=5), small_studyset(sizes[1], seed=6, spread=8.0)


def corrected(estimator_class: type, arguments: dict[str, Any], studysets: Any = None, **options: Any) -> Any:
    options = {"n_iters": 8, "n_cores": 1, "voxel_thresh": 0.05, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fitted(estimator_class, studysets or two_groups(), **arguments)
        return FWECorrector(method="montecarlo", **options).transform(result)


@pytest.mark.parametrize("random_state", [7, None])
@pytest.mark.parametrize(
    "sizes",
    [GROUPS, (GROUPS[1], GROUPS[0]), ([1, 1], [1, 1, 1]), ([20], [3])],
    ids=["two groups", "the larger one first", "one focus each", "one study each"],
)
def test_chi2_label_permutations_equal_nimares(sizes: Any, random_state: int | None) -> None:
    arguments = {"kernel__r": 6, "random_state": random_state}
    studysets = two_groups(sizes)
    ours = corrected(engine.estimator_class("MKDAChi2", MKDAChi2), arguments, studysets)
    assert_same_result(ours, corrected(MKDAChi2, arguments, studysets))


@pytest.mark.parametrize("voxel_thresh", [0.5, 1e-9], ids=["nearly everything a cluster", "no cluster"])
def test_chi2_thresholds_equal_nimares(voxel_thresh: float) -> None:
    ours = corrected(engine.estimator_class("MKDAChi2", MKDAChi2), {"kernel__r": 6}, voxel_thresh=voxel_thresh)
    assert_same_result(ours, corrected(MKDAChi2, {"kernel__r": 6}, voxel_thresh=voxel_thresh))


def test_chi2_with_random_foci_leaves_nimares_own_path(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="compose_runner.analysis.compute.engine")
    arguments = {"kernel__r": 6, "fwe_null_method": "random-foci"}
    ours = corrected(engine.estimator_class("MKDAChi2", MKDAChi2), arguments, n_iters=3)
    assert_same_result(ours, corrected(MKDAChi2, arguments, n_iters=3))
    assert "NiMARE's own path: its null is random-foci" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel__fwhm": 8},
        {"kernel__fwhm": 8, "random_state": None},
        {},
        {"kernel__fwhm": 8, "vfwe_only": False, "voxel_thresh": 0.05},
        {"kernel__fwhm": 8, "low_memory": True},
    ],
    ids=["one width", "no seed", "a sample size per study", "clusters", "maps in chunks"],
)
def test_ale_subtraction_equals_nimares(arguments: dict[str, Any]) -> None:
    arguments = {"n_iters": 8, **arguments}
    options = {"vfwe_only": arguments.get("vfwe_only", True)}
    ours = corrected(engine.estimator_class("ALESubtraction", ALESubtraction), arguments, **options)
    assert_same_result(ours, corrected(ALESubtraction, arguments, **options))
    assert np.ptp(ours.maps["p_desc-group1MinusGroup2"]) > 0


@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("restrict", [True, False])
def test_ale_subtraction_within_inference_maps_equals_nimares(which: tuple[bool, bool], restrict: bool) -> None:
    def run(estimator_class: type) -> Any:
        studysets = two_groups()
        estimator = estimator_class(
            kernel__fwhm=8, n_iters=8, random_state=7, restrict_to_inference_mask=restrict, mask=studysets[0].masker
        )
        n_voxels = int((studysets[0].masker.mask_img.get_fdata() > 0).sum())
        maps = [
            np.random.default_rng(seed).normal(size=n_voxels) if wanted else None for seed, wanted in enumerate(which)
        ]
        return estimator.fit(*studysets, inference_map1=maps[0], inference_map2=maps[1])

    assert_same_result(run(engine.estimator_class("ALESubtraction", ALESubtraction)), run(ALESubtraction))


@pytest.mark.parametrize(
    ("nimare_class", "arguments"),
    [(MKDAChi2, {"kernel__r": 6}), (ALESubtraction, {"kernel__fwhm": 8, "n_iters": 23})],
)
def test_cores_shards_and_interruptions_do_not_show_in_the_result(
    nimare_class: type, arguments: dict[str, Any]
) -> None:
    ours = engine.estimator_class(nimare_class.__name__, nimare_class)
    options: dict[str, Any] = {"n_iters": 23}
    if nimare_class is ALESubtraction:
        options["vfwe_only"] = True
        options["voxel_thresh"] = 0.001
    once = corrected(ours, arguments, **options)
    assert_same_result(corrected(ours, {**arguments, "n_cores": 2}, **options, n_cores=2), once)

    shards = MemoryStore()
    for shard in range(4):
        with engine.session(store=shards, n_shards=4, shard=shard), pytest.raises(engine.ShardFinished):
            corrected(ours, arguments, **options)
    saves = shards.saves
    with engine.session(store=shards, n_shards=4):
        assert_same_result(corrected(ours, arguments, **options), once)
    assert shards.saves == saves  # nothing was computed again

    stopped = MemoryStore(fail_after=2)
    with engine.session(store=stopped, n_shards=4, checkpoint_seconds=0), pytest.raises(InterruptedError):
        corrected(ours, arguments, **options)
    stopped.fail_after = None
    with engine.session(store=stopped, n_shards=4):
        assert_same_result(corrected(ours, arguments, **options), once)


@pytest.mark.parametrize("nimare_class", [MKDAChi2, ALESubtraction])
def test_a_saved_result_opens_as_nimares_own(nimare_class: type) -> None:
    arguments: dict[str, Any] = {"n_iters": 2} if nimare_class is ALESubtraction else {}
    result = fitted(engine.estimator_class(nimare_class.__name__, nimare_class), two_groups(), **arguments)
    assert type(pickle.loads(pickle.dumps(result)).estimator) is nimare_class
