"""Every map that NiMARE can make has a heading in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from markupsafe import escape

from compose_runner.analysis.write.headings import map_heading

# every map of every estimator with every correction, as NiMARE 0.22.1 made them; label maps follow their target's name
NAMES = Path(__file__).with_name("map_names.txt").read_text(encoding="utf-8").split()
LABELS = [
    f"label{name.removeprefix('z')}_tail-{tail}"
    for name in NAMES
    if name.startswith("z")
    for tail in ("positive", "negative")
]
GROUPS = ("physical", "emotional")


@pytest.mark.parametrize(
    ("name", "heading", "quantity"),
    [
        ("z", "Uncorrected", "z"),
        ("stat", "ALE value", "ALE value"),
        ("p", "Uncorrected, p", "p"),
        ("logp", "Uncorrected, −log10 p", "−log10 p"),
        ("est", "Effect size", "effect size"),
        ("tau2", "Variance between studies (τ²)", "variance between studies (τ²)"),
        ("z_corr-FDR_method-indep", "Voxel-wise corrected (FDR, Benjamini-Hochberg)", "z"),
        ("z_corr-FDR_method-negcorr", "Voxel-wise corrected (FDR, Benjamini-Yekutieli)", "z"),
        ("p_corr-FWE_method-bonferroni", "Voxel-wise corrected (FWE, Bonferroni), p", "p"),
        ("z_level-voxel_corr-FWE_method-montecarlo", "Voxel-wise corrected (FWE, 5,000 permutations)", "z"),
        (
            "z_desc-mass_level-cluster_corr-FWE_method-montecarlo",
            "Cluster-mass corrected (FWE, 5,000 permutations)",
            "z",
        ),
        (
            "logp_desc-size_level-cluster_corr-FWE_method-montecarlo",
            "Cluster-size corrected (FWE, 5,000 permutations), −log10 p",
            "−log10 p",
        ),
        ("z_desc-group1MinusGroup2", "More consistent in physical than in emotional: uncorrected", "z"),
        (
            "z_desc-associationMass_level-cluster_corr-FWE_method-montecarlo",
            "More consistent in physical than in emotional: cluster-mass corrected (FWE, 5,000 permutations)",
            "z",
        ),
        (
            "label_desc-associationMass_level-cluster_corr-FWE_method-montecarlo_tail-negative",
            "More consistent in emotional than in physical: clusters, cluster-mass corrected (FWE, 5,000 permutations)",
            "numbers of clusters",
        ),
        ("stat_desc-conjunction", "Consistent in both physical and emotional: ALE value", "ALE value"),
        (
            "z_desc-uniformity_level-voxel_corr-FDR_method-indep",
            "Consistent in physical (uniformity test): voxel-wise corrected (FDR, Benjamini-Hochberg)",
            "z",
        ),
        ("chi2_desc-group2", "Consistent in emotional: χ²", "χ²"),
    ],
)
def test_headings_are_what_a_researcher_would_write(name: str, heading: str, quantity: str) -> None:
    made = map_heading(name, estimator="ALE", groups=GROUPS, n_iters=5000)
    assert (str(made), made.quantity) == (heading, quantity)


@pytest.mark.parametrize("name", NAMES + LABELS)
def test_every_map_of_nimare_is_known(name: str) -> None:
    made = map_heading(name, groups=GROUPS)
    assert made.known
    assert "_" not in str(made)
    assert str(made)[:1].isupper()


@pytest.mark.parametrize("other", ["association", "MinusGroup2"])
def test_no_two_maps_of_an_estimator_have_the_same_heading(other: str) -> None:
    # estimators call the comparison of groups one or the other; FDR's maps have a level with some of them
    names = {name.replace("_level-voxel", "") for name in NAMES + LABELS if other not in name}
    headings = [str(map_heading(name, groups=GROUPS)) for name in names]
    assert sorted(one for one in set(headings) if headings.count(one) > 1) == []


def test_groups_stand_out_and_stay_text() -> None:
    made = map_heading("z_desc-group1MinusGroup2", groups=("<b>*a*</b>", "emotional"))
    assert made.__html__() == (
        "More consistent in <em>&lt;b&gt;*a*&lt;/b&gt;</em> than in <em>emotional</em>: uncorrected"
    )
    assert escape(made) == made.__html__()
    assert made.markdown == r"More consistent in *&lt;b>\*a\*&lt;/b>* than in *emotional*: uncorrected"


def test_groups_without_names_are_numbered() -> None:
    assert str(map_heading("z_desc-association")) == "More consistent in group 1 than in group 2: uncorrected"


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "",
        "z_desc-<script>",
        "z_corr-FWE_method-new",
        "z_corr",
        "z_x-y",
        "z_desc-mass_desc-mass",
        "z_level-x_corr-FDR_method-indep",
    ],
)
def test_an_unknown_name_is_its_own_heading(name: str) -> None:
    made = map_heading(name)
    assert (str(made), made.known) == (name, False)
    assert "<script>" not in made.__html__()
