"""Pictures show what a map holds: where it is, on which side, in which colours, with the threshold said."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from compose_runner.analysis.write import pictures
from compose_runner.analysis.write.pictures.colours import NEGATIVE, POSITIVE, Scale
from compose_runner.analysis.write.pictures.sheet import BAR_WIDTH, DPI, WIDTH
from compose_runner.analysis.write.pictures.slices import best_cuts
from compose_runner.analysis.write.pictures.space import BRAIN, Volume, template

if TYPE_CHECKING:
    from collections.abc import Callable

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
BRAIN_PART = np.s_[:, : WIDTH - BAR_WIDTH]


def a_map(*blobs: tuple[tuple[int, int, int], float], affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    """A map that is 0 but for cubes of 10 mm with a value each."""
    data = np.zeros((91, 109, 91), dtype=np.float32)
    for place, value in blobs:
        i, j, k = np.rint(np.linalg.inv(affine) @ [*place, 1])[:3].astype(int)
        data[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3] = value
    return nib.Nifti1Image(data, affine)


def warm(picture: Image.Image) -> np.ndarray:
    """Where the brain part of a picture is in a colour of the positive tail."""
    red, _, blue = np.asarray(picture, dtype=int)[BRAIN_PART].transpose(2, 0, 1)
    return np.asarray(red - blue > 60)


def cold(picture: Image.Image) -> np.ndarray:
    """Where the brain part of a picture is in a colour of the negative tail."""
    red, _, blue = np.asarray(picture, dtype=int)[BRAIN_PART].transpose(2, 0, 1)
    return np.asarray(blue - red > 40)


def middle_row(drawn: np.ndarray) -> float:
    return float(np.nonzero(drawn)[1].mean())


RIGHT_INSULA = a_map(((38, 4, 2), 5.0), ((40, 4, 2), 4.0))
BOTH_TAILS = a_map(((38, 4, 2), 5.0), ((-38, 4, 2), -4.0))


@pytest.mark.parametrize("draw", [pictures.lightbox, pictures.glass_brain])
def test_pictures_are_two_columns_wide_at_print_resolution(draw: Callable[..., Image.Image]) -> None:
    picture = draw(RIGHT_INSULA, 3.1)
    assert picture.size[0] / DPI * 25.4 == pytest.approx(180, abs=0.1)
    with Image.open(io.BytesIO(pictures.png(picture, "Größe"))) as file:
        assert file.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
        assert file.info["Description"] == "Größe"
        assert file.size == picture.size


@pytest.mark.parametrize("radiological", [False, True])
def test_right_is_right_unless_asked_otherwise(radiological: bool) -> None:
    picture = pictures.lightbox(RIGHT_INSULA, 3.1, cuts=[2], radiological=radiological)
    brain = np.nonzero((np.asarray(picture)[:200, : (WIDTH - BAR_WIDTH) // 8] < 245).any(axis=2))[1]
    side = middle_row(warm(picture)) - (brain.min() + brain.max()) / 2
    assert side > 20 if not radiological else side < -20


@pytest.mark.parametrize("radiological", [False, True])
def test_the_glass_brain_shows_each_hemisphere_from_its_side(radiological: bool) -> None:
    picture = pictures.glass_brain(RIGHT_INSULA, 3.1, radiological=radiological)
    columns = np.nonzero(warm(picture).any(axis=0))[0]
    assert columns.min() > 600  # nothing in the view from the left
    groups = np.flatnonzero(np.diff(columns) > 100).size + 1
    assert groups == 3


def test_a_map_is_drawn_alike_whatever_the_order_of_its_voxels() -> None:
    flipped = a_map(
        ((38, 4, 2), 5.0), affine=np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    )
    first, second = (np.asarray(pictures.lightbox(one, 3.1)) for one in (a_map(((38, 4, 2), 5.0)), flipped))
    assert (first == second).all()


def test_what_is_drawn_is_as_large_as_what_is_above_the_threshold() -> None:
    picture = pictures.lightbox(a_map(((38, 4, 2), 5.0)), 3.1, cuts=[2])
    pixels_per_mm = ((WIDTH - BAR_WIDTH - 20) // 8) / (BRAIN[0][1] - BRAIN[0][0])
    assert warm(picture).sum() / pixels_per_mm**2 == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize("draw", [pictures.lightbox, pictures.glass_brain])
def test_each_tail_has_its_colour_and_a_threshold_hides_the_weaker_one(draw: Callable[..., Image.Image]) -> None:
    both = draw(BOTH_TAILS, 3.1)
    assert warm(both).any()
    assert cold(both).any()
    strong = draw(BOTH_TAILS, 4.5)
    assert warm(strong).any()
    assert not cold(strong).any()


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_small_region_is_on_one_of_the_slices(plane: str) -> None:
    for place in ((38, 4, 2), (-22, -4, -18), (4, -64, -40), (-6, 20, 60)):
        assert warm(pictures.lightbox(a_map((place, 5.0)), 3.1, plane=plane)).any(), place


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_single_slice_has_room_for_both_tails_of_the_bar(plane: str) -> None:
    at = {"axial": 2, "coronal": 4, "sagittal": 38}[plane]
    picture = np.asarray(pictures.lightbox(BOTH_TAILS, 3.1, plane=plane, cuts=[at]), dtype=int)
    bar = picture[:, WIDTH - BAR_WIDTH + 80]
    assert ((bar[:, 0] - bar[:, 2]) > 60).sum() > 50
    assert ((bar[:, 2] - bar[:, 0]) > 40).sum() > 50


def test_slices_are_in_order_and_each_is_from_its_own_part_of_the_brain() -> None:
    volume = Volume.of(BOTH_TAILS)
    cuts = best_cuts(volume, volume.data != 0, 2)
    assert cuts == sorted(cuts)
    assert np.diff(cuts).min() > 0
    assert any((BOTH_TAILS.get_fdata()[..., round((at + 72) / 2)] != 0).any() for at in cuts)


@pytest.mark.parametrize(
    ("values", "shows"),
    [((), False), (((38, 4, 2), np.nan), False), (((38, 4, 2), np.inf), False), (((38, 4, 2), 3.1), True)],
)
def test_empty_and_strange_maps_are_drawn(values: Any, shows: bool) -> None:
    image = a_map(values) if values else a_map()
    for draw in (pictures.lightbox, pictures.glass_brain):
        assert warm(draw(image, 3.1 if shows else 0)).any() == shows


def test_infinite_values_are_drawn_like_the_largest_finite_one() -> None:
    image = a_map(((38, 4, 2), np.inf), ((-38, 4, 2), 5.0))
    assert Volume.of(image).data.max() == 5.0


def test_a_map_on_another_grid_is_drawn_in_the_same_place() -> None:
    turned = np.array([[1.99, 0.2, 0, -90], [-0.2, 1.99, 0, -110], [0, 0, 2, -72], [0, 0, 0, 1]])
    pixels = [
        middle_row(warm(pictures.lightbox(a_map(((38, 4, 2), 5.0), affine=affine), 2.5, cuts=[2])))
        for affine in (AFFINE, turned)
    ]
    assert pixels[0] == pytest.approx(pixels[1], abs=4)


def test_a_grid_smaller_than_the_brain_is_drawn() -> None:
    data = np.full((10, 10, 10), 5.0, dtype=np.float32)
    small = nib.Nifti1Image(data, np.array([[2.0, 0, 0, 30], [0, 2, 0, -6], [0, 0, 2, -6], [0, 0, 0, 1]]))
    assert warm(pictures.lightbox(small, 3.1)).any()
    assert warm(pictures.glass_brain(small, 3.1)).any()


def test_wrong_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no plane 'oblique'; there are sagittal, coronal, axial"):
        pictures.lightbox(RIGHT_INSULA, 3.1, plane="oblique")
    with pytest.raises(ValueError, match="no place to cut"):
        pictures.lightbox(RIGHT_INSULA, 3.1, cuts=[])
    for draw in (pictures.lightbox, pictures.glass_brain):
        with pytest.raises(ValueError, match="a threshold is 0 or more, not -1"):
            draw(RIGHT_INSULA, -1)
        with pytest.raises(ValueError, match="three dimensions, not 4"):
            draw(nib.Nifti1Image(np.zeros((2, 2, 2, 2), dtype=np.float32), AFFINE), 1)


def luminance(ramp: np.ndarray) -> np.ndarray:
    return (ramp / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]


def test_colours_differ_in_lightness_and_for_people_who_confuse_red_and_green() -> None:
    for ramp in (POSITIVE, NEGATIVE):
        assert (np.diff(luminance(ramp)) >= 0).all()
        assert luminance(ramp)[-1] - luminance(ramp)[0] > 0.7
    # Vienot, Brettel and Mollon (1999): what a deuteranope sees, in linear RGB
    sees = np.array([[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]])
    warm_seen, cold_seen = (((ramp / 255) ** 2.2) @ sees.T for ramp in (POSITIVE, NEGATIVE))
    yellow_minus_blue = (warm_seen[:, 0] - warm_seen[:, 2], cold_seen[:, 0] - cold_seen[:, 2])
    assert yellow_minus_blue[0].min() > -0.01
    assert yellow_minus_blue[1].max() < 0


def test_colours_span_what_is_shown() -> None:
    data = np.array([0.0, 2.0, 4.0, 8.0, -1.0])
    assert Scale.of(data, 3.0) == Scale(3.0, 3.0, 8.0, True, False)
    assert Scale.of(data, 0) == Scale(0, 1.0, 8.0, True, True)
    assert Scale.of(np.array([0.0, 3.0, 3.0]), 0).low == 0


def test_a_description_names_number_places_and_values() -> None:
    text = pictures.describe(BOTH_TAILS, 3.1)
    assert text.startswith("Slices of the brain, z of at least 3.10: 1 positive region, with its peak at (")
    assert "; 1 negative region, with its peak at (−" in text
    assert "right insula" in text
    assert "(z −4.00)" in text


def test_the_description_of_an_empty_map_says_how_high_it_came() -> None:
    assert pictures.describe(RIGHT_INSULA, 6, view="Glass brain") == (
        "Glass brain: empty. No z of at least 6.00; the largest absolute value is 5.00."
    )


def test_the_template_is_the_brain_alone() -> None:
    grey = template()
    assert grey.data[0].max() == 0
    assert grey.cut(2, 10.0) is not None
    assert grey.cut(2, 1000.0) is None


def test_pictures_need_no_plotting_library() -> None:
    code = (
        "import sys, nibabel, numpy; from compose_runner.analysis.write import pictures as p;"
        "image = nibabel.Nifti1Image(numpy.ones((9, 9, 9), dtype='f4'), numpy.diag([2, 2, 2, 1]));"
        "p.lightbox(image, 0); p.glass_brain(image, 0);"
        "print(sorted({'matplotlib', 'nilearn', 'nimare', 'sklearn'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
