"""Where clusters begin: exactly where the map's own p is less than alpha, at ties and after rounding as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nimare.correct import FDRCorrector, FWECorrector
from nimare.meta.cbma import ALE, ALESubtraction, BalancedALESubtraction, MKDAChi2
from nimare.meta.ibma import Hedges, PermutedOLS, Stouffers
from nimare.transforms import nlogp_to_z, p_to_z
from scipy.special import ndtri

from compose_runner.analysis.compute.map_names import described_maps, parse
from compose_runner.analysis.compute.thresholds import find_alpha, is_below, threshold

FDR = "corr-FDR_method-indep"
MONTE_CARLO = "corr-FWE_method-montecarlo"
ALPHAS = (0.05, 0.01, 0.001, 0.1, 0.2, 1 / 3)


def result_of(p: Any, tail: str, name: str, *, logarithm: bool = False, alpha: float = 0.05, **more: Any) -> Any:
    """A result with one map, of which NiMARE made z from p."""
    p = np.atleast_1d(np.asarray(p, dtype=np.float64))
    kept = {f"logp{name[1:]}": -np.log10(p.astype(np.float32))} if logarithm else {f"p{name[1:]}": p.astype(np.float32)}
    z = p_to_z(p, tail=tail).astype(np.float32)
    return SimpleNamespace(
        maps={name: z, **kept}, estimator=more.get("estimator", ALE()), corrector=FDRCorrector(alpha=alpha)
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("tail", "name"), [("two", f"z_{FDR}"), ("one", f"z_level-voxel_{MONTE_CARLO}")])
@pytest.mark.parametrize("logarithm", [False, True])
def test_a_p_of_exactly_alpha_is_not_significant_and_the_next_smaller_one_that_z_can_tell_is(
    alpha: float, tail: str, name: str, logarithm: bool
) -> None:
    for n_iters in (1000, 5000, 10000):
        counts = np.arange(max(int(alpha * n_iters) - 3, 1), int(alpha * n_iters) + 4)
        p = np.append(counts / n_iters, alpha)
        result = result_of(p, tail, name, logarithm=logarithm, alpha=alpha)
        found = threshold(result, name)
        # float32 of an alpha is not alpha, so that both are rounded
        significant = p.astype(np.float32) < np.float32(alpha)
        assert np.array_equal(result.maps[name] > found.z, significant)
        # in the precision of a double as well
        assert np.array_equal(result.maps[name].astype(float) > found.z, significant)
        assert found.z == pytest.approx(-ndtri(alpha / (2 if tail == "two" else 1)), abs=1e-6)


@given(
    steps=st.lists(st.integers(-6, 6), min_size=1, max_size=30),
    alpha=st.sampled_from(ALPHAS),
    tail=st.sampled_from(["one", "two"]),
    in_logarithm=st.booleans(),
)
def test_no_voxel_at_or_above_alpha_is_let_in_and_none_below_is_left_out_that_z_can_tell(
    steps: list[int], alpha: float, tail: str, in_logarithm: bool
) -> None:
    # neighbours of alpha among the numbers of float32, several of which share one z
    p = np.float32(alpha) + np.asarray(steps, dtype=np.float32) * np.spacing(np.float32(alpha))
    name = f"z_{FDR}" if tail == "two" else f"z_level-voxel_{MONTE_CARLO}"
    result = result_of(p, tail, name, alpha=alpha)
    if in_logarithm:
        result.maps[name] = nlogp_to_z(np.log(p.astype(np.float64)), tail=tail).astype(np.float32)
    z, found = result.maps[name], threshold(result, name)
    let_in = z > found.z
    significant = p < np.float32(alpha)
    assert not (let_in & ~significant).any()
    told_apart = z > np.max(z[~significant], initial=0)
    assert np.array_equal(let_in, significant & told_apart)


def test_nothing_significant_leaves_the_quantile_of_alpha() -> None:
    found = threshold(result_of([0.3, 0.9, 1.0], "two", f"z_{FDR}"), f"z_{FDR}")
    assert found.z == np.float32(-ndtri(0.025))
    assert str(found) == "p < 0.05, corrected (two-tailed)"


def test_voxels_without_a_value_decide_nothing() -> None:
    name = f"z_{FDR}"
    result = result_of([0.001, 0.2, 0.5, 0.5], "two", name)
    result.maps[name][2:] = [np.nan, np.inf]
    result.maps["p" + name[1:]][2] = np.nan
    assert threshold(result, name).z == np.float32(-ndtri(0.025))


def test_a_map_without_a_map_of_p_is_cut_at_the_quantile() -> None:
    result = SimpleNamespace(maps={"z": np.ones(3, np.float32)}, estimator=ALE(), corrector=None)
    assert is_below(result, "z", 0.05) is None
    found = threshold(result, "z")
    assert (found.z, found.tails, found.corrected) == (float(np.float32(-ndtri(0.05))), 1, False)
    with pytest.raises(ValueError, match="p is not the name of a z map"):
        threshold(result, "p")


def test_negative_z_of_a_one_sided_test_are_not_significant_and_move_nothing() -> None:
    result = SimpleNamespace(
        maps={"z": np.array([2.0, -4.0], np.float32), "p": np.array([0.0228, 0.99997], np.float32)},
        estimator=Stouffers(two_sided=False),
        corrector=None,
    )
    found = threshold(result, "z")
    assert (found.z, found.tails) == (float(np.float32(-ndtri(0.05))), 1)


@pytest.mark.parametrize(
    ("estimator", "name", "tails"),
    [
        (ALE(), "z", 1),
        (ALE(), f"z_{FDR}", 2),
        (ALE(), "z_corr-FWE_method-bonferroni", 2),
        (ALE(), f"z_desc-mass_level-cluster_{MONTE_CARLO}", 1),
        (ALE(), "z_desc-size_level-cluster_corr-FWE_method-predictive", 1),
        (MKDAChi2(), "z_desc-association", 2),
        (MKDAChi2(), "z_desc-group2", 2),
        (MKDAChi2(), f"z_desc-associationMass_level-cluster_{MONTE_CARLO}", 2),
        (ALESubtraction(), "z_desc-group1MinusGroup2", 2),
        (ALESubtraction(), "z_desc-group1", 1),
        (ALESubtraction(), f"z_desc-group1_{FDR}", 2),
        (ALESubtraction(), f"z_desc-group1Size_level-cluster_{MONTE_CARLO}", 1),
        (ALESubtraction(), f"z_desc-group1MinusGroup2_level-voxel_{MONTE_CARLO}", 2),
        (BalancedALESubtraction(), "z_desc-balancedGroup1MinusGroup2", 1),
        (BalancedALESubtraction(), f"z_desc-balancedGroup1MinusGroup2_{FDR}", 2),
        (Hedges(), "z", 2),
        (Stouffers(two_sided=False), "z", 1),
        (Stouffers(two_sided=False), f"z_{FDR}", 2),
        (PermutedOLS(), f"z_level-voxel_{MONTE_CARLO}", 2),
        (PermutedOLS(two_sided=False), f"z_level-voxel_{MONTE_CARLO}", 1),
    ],
)
def test_tails_follow_from_what_made_the_map(estimator: Any, name: str, tails: int) -> None:
    result = SimpleNamespace(maps={name: np.zeros(2, np.float32)}, estimator=estimator, corrector=None)
    assert threshold(result, name).tails == tails


def test_alpha_is_the_correctors_where_it_takes_one() -> None:
    assert find_alpha(FDRCorrector(alpha=0.01)) == 0.01
    assert find_alpha(FWECorrector(method="bonferroni")) == find_alpha(None) == 0.05


MONTE_CARLO_MAPS = [
    f"z_{what}_{MONTE_CARLO}" for what in ("level-voxel", "desc-size_level-cluster", "desc-mass_level-cluster")
]
CHI2 = ["z_desc-uniformity", "z_desc-group1", "z_desc-group2", "z_desc-association"]


@pytest.mark.parametrize(
    ("names", "corrected", "described"),
    [
        (["z", "p", "stat", *MONTE_CARLO_MAPS], True, MONTE_CARLO_MAPS[2:]),
        (["z", *MONTE_CARLO_MAPS[:2]], True, MONTE_CARLO_MAPS[1:2]),
        (["z", *MONTE_CARLO_MAPS[:1]], True, MONTE_CARLO_MAPS[:1]),
        (["z", *MONTE_CARLO_MAPS], False, ["z"]),
        (CHI2, False, ["z_desc-association", "z_desc-uniformity"]),
        (
            [f"{name}_{FDR}" for name in CHI2],
            True,
            [f"z_desc-association_{FDR}", f"z_desc-uniformity_{FDR}"],
        ),
        (
            ["z_desc-group2", "z_desc-group1", "z_desc-group1MinusGroup2"],
            False,
            ["z_desc-group1MinusGroup2", "z_desc-group1", "z_desc-group2"],
        ),
        (["stat", "dof", "label_tail-positive"], False, []),
    ],
)
def test_of_each_effect_one_map_is_described_what_compose_looks_for_first(
    names: list[str], corrected: bool, described: list[str]
) -> None:
    assert [found.name for found in described_maps(names, corrected=corrected)] == described


def test_a_name_is_read() -> None:
    found = parse(f"z_desc-associationMass_level-cluster_{MONTE_CARLO}")
    assert found is not None
    assert (found.effect, found.statistic, found.level) == ("association", "mass", "cluster")
    assert (found.correction, found.method, found.uncorrected) == ("FWE", "montecarlo", "z_desc-association")
    assert found.group is None
    assert parse("z_something") is None
