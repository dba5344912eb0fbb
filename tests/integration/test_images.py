"""Maps of an image-based meta-analysis: fetched, looked at, accounted for."""

from __future__ import annotations

import copy
import gzip
import threading
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.compute.coverage import (
    COVERAGE_FILENAME,
    describe_coverage,
    refuse_empty_result,
    refuse_without_maps,
)
from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.select.images import map_kind, map_source
from compose_runner.analysis.select.images import stage_images as stage_images_within
from compose_runner.compose.addresses import AllowedHosts
from compose_runner.errors import EmptyResultError, ImageError, ServiceUnavailableError
from tests.support import synthetic
from tests.support.compose_stand_in import Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from compose_runner.analysis.select.images import StagedImages

STUDYSET = synthetic.random_studyset(n_studies=2, analyses_per_study=1)


@pytest.fixture
def neurovault() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        yield server


def nifti(values: np.ndarray[Any, Any] | None = None) -> bytes:
    import nibabel
    import numpy as np

    values = np.ones((3, 3, 3), dtype=np.float32) if values is None else values
    content: bytes = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    return content


MAP = gzip.compress(nifti())


def with_images(*images: dict[str, Any], of: dict[str, Any] = STUDYSET) -> dict[str, Any]:
    """Give the first analysis these images."""
    document = copy.deepcopy(of)
    document["studies"][0]["analyses"][0]["images"] = list(images)
    return document


def image(location: str | None, value_type: str | None = "Z map", **more: Any) -> dict[str, Any]:
    return {"id": "i", "url": location, "filename": None, "value_type": value_type, "space": "MNI", **more}


def stage_images(document: dict[str, Any], directory: Path, **options: Any) -> StagedImages:
    """Stage the images of a bundle from a disk, beside the directory, with leave to ask the hosts that it names."""
    images = [
        one for study in document["studies"] for analysis in study["analyses"] for one in analysis.get("images") or []
    ]
    addresses = [one["url"] for one in images if (one["url"] or "").startswith("http")]
    reach = Reach(directory.parent, AllowedHosts.of(*addresses))
    return stage_images_within(document, directory, reach=reach, **options)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("T map", "t"),
        ("T", "t"),
        ("Z map", "z"),
        ("Z", "z"),
        ("univariate-beta map", "beta"),
        ("U", "beta"),
        ("multivariate-beta map", "beta"),
        ("M", "beta"),
        ("variance map", "varcope"),
        ("variance", "varcope"),
        ("V", "varcope"),
        ("P map (given null hypothesis)", "p"),
        ("P", "p"),
        (" z MAP ", "z"),
        ("varcope", "varcope"),
        ("F map", None),
        ("ROI/mask", None),
        ("anatomical", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_neurostores_labels_are_nimares_kinds(label: object, kind: str | None) -> None:
    assert map_kind(label) == kind


@pytest.mark.parametrize(
    ("filename", "url", "source"),
    [
        ("a.nii.gz", "https://neurovault.org/media/a.nii.gz", "https://neurovault.org/media/a.nii.gz"),
        ("https://neurovault.org/m/a.nii", "https://neurovault.org/images/1/", "https://neurovault.org/m/a.nii"),
        (None, "https://x.org/A.NII.GZ?download=1", "https://x.org/A.NII.GZ?download=1"),
        ("a.nii.gz", "https://neurovault.org/images/1/", None),
        (None, "ftp://x.org/a.nii.gz", None),
        (None, "http://[broken/a.nii.gz", None),
        (None, None, None),
    ],
)
def test_the_map_and_not_the_page_about_it_is_the_source(
    filename: str | None, url: str | None, source: str | None
) -> None:
    assert map_source({"filename": filename, "url": url}) == source


def test_maps_become_files_and_the_studyset_of_the_caller_stays(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    address = neurovault.put_file("media/z.nii.gz", MAP)
    document = with_images(image(address, filename="z.nii.gz"))
    before = copy.deepcopy(document)
    staged = stage_images(document, tmp_path)
    (kept,) = staged.studyset["studies"][0]["analyses"][0]["images"]
    assert kept["filename"] == kept["url"] == str(staged.maps[0].path)
    assert kept["value_type"] == "z"
    assert staged.maps[0].path is not None
    assert staged.maps[0].path.read_bytes() == MAP
    assert staged.maps[0].path.parent == tmp_path
    assert document == before


def test_a_map_that_is_not_compressed_gets_a_name_that_says_so(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    address = neurovault.put_file("media/z.nii.gz", nifti())
    (staged,) = stage_images(with_images(image(address)), tmp_path).maps
    assert staged.path is not None
    assert staged.path.name.endswith(".nii")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>NeuroVault</html>", "a page"),
        (b"", "a page"),
        (gzip.compress(b"no image"), "cannot be read"),
        (MAP[: len(MAP) // 2], "cannot be read"),
        (nifti()[:100], "cannot be read"),
    ],
)
def test_what_is_no_nifti_is_left_out_with_the_reason(
    neurovault: ComposeStandIn, tmp_path: Path, content: bytes, reason: str
) -> None:
    address = neurovault.put_file("media/z.nii.gz", content)
    staged = stage_images(with_images(image(address)), tmp_path)
    assert staged.used == 0
    assert reason in staged.maps[0].reason
    assert staged.studyset["studies"][0]["analyses"][0]["images"] == []
    assert list(tmp_path.iterdir()) == []


def test_empty_and_four_dimensional_images_are_left_out(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    import numpy as np

    empty = neurovault.put_file("empty.nii", nifti(np.full((2, 2, 2), np.nan, dtype=np.float32)))
    series = neurovault.put_file("series.nii", nifti(np.ones((2, 2, 2, 5), dtype=np.float32)))
    staged = stage_images(with_images(image(empty, "T map"), image(series, "Z map")), tmp_path)
    assert [one.reason for one in staged.maps] == [
        "it has no finite value other than zero",
        "it is not one volume: its shape is 2 × 2 × 2 × 5",
    ]


def test_a_map_that_is_gone_is_left_out_with_the_services_answer(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    staged = stage_images(with_images(image(f"{neurovault.endpoint}/gone.nii.gz")), tmp_path)
    assert staged.maps[0].reason == "it could not be fetched: the service answered 404"


def test_images_of_no_use_are_not_fetched(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    address = neurovault.put_file("mask.nii.gz", MAP)
    staged = stage_images(with_images(image(address, "ROI/mask"), image(None), image(address, None)), tmp_path)
    assert [one.path for one in staged.maps] == [None, None, None]
    assert [one.value_type for one in staged.maps] == ["ROI/mask", "Z map", "untyped"]
    assert not neurovault.requests


def test_a_service_out_of_reach_is_tried_later(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    neurovault.put_file("z.nii.gz", MAP)
    neurovault.fail_path("GET", "z.nii.gz", Answer(503))
    with pytest.raises(ServiceUnavailableError, match=r"map i.*503"):
        stage_images(with_images(image(f"{neurovault.endpoint}/z.nii.gz")), tmp_path, attempts=0)


def test_an_interrupted_download_is_begun_again(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    address = neurovault.put_file("z.nii.gz", MAP)
    neurovault.fail_path("GET", "z.nii.gz", Answer(body=MAP, cut_at=20))
    assert stage_images(with_images(image(address)), tmp_path, attempts=1).used == 1


def test_one_map_of_a_kind_is_used_whatever_the_order(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    images = [
        image(neurovault.put_file("m.nii.gz", MAP), "multivariate-beta map", id="a"),
        image(neurovault.put_file("u2.nii.gz", MAP), "univariate-beta map", id="c"),
        image(neurovault.put_file("u1.nii.gz", MAP), "U", id="b"),
    ]
    for order in (images, images[::-1]):
        staged = stage_images(with_images(*order), tmp_path)
        assert [one.image_id for one in staged.maps if one.path] == ["b"]
        reasons = {one.image_id: one.reason for one in staged.maps if one.reason}
        assert reasons["a"] == "another beta map of this analysis is used (U)"
        assert set(reasons) == {"a", "c"}


def test_the_next_map_of_a_kind_is_used_when_the_first_is_none(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    images = [
        image(neurovault.put_file("a.nii.gz", b"<html>"), id="a"),
        image(neurovault.put_file("b.nii.gz", MAP), id="b"),
    ]
    staged = stage_images(with_images(*images), tmp_path)
    assert [one.path is not None for one in staged.maps] == [False, True]


def test_files_of_the_same_name_do_not_collide(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    other = gzip.compress(nifti() + b"other", mtime=1)
    images = [
        image(neurovault.put_file("one/z.nii.gz", MAP), "Z map"),
        image(neurovault.put_file("two/z.nii.gz", other), "T map"),
    ]
    staged = stage_images(with_images(*images), tmp_path)
    assert [one.path.read_bytes() for one in staged.maps if one.path] == [MAP, other]


def test_a_second_run_fetches_nothing_and_a_shared_map_is_fetched_once(
    neurovault: ComposeStandIn, tmp_path: Path
) -> None:
    address = neurovault.put_file("z.nii.gz", MAP)
    document = with_images(image(address))
    document["studies"][1]["analyses"][0]["images"] = [image(address)]
    first = stage_images(document, tmp_path)
    assert stage_images(document, tmp_path).maps == first.maps
    assert first.used == 2
    assert neurovault.asked().total() == 1


def test_maps_are_fetched_at_the_same_time(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    both = threading.Event()
    images = []
    for name, kind in (("a.nii.gz", "T map"), ("b.nii.gz", "Z map")):
        images.append(image(neurovault.put_file(name, MAP), kind))
        neurovault.fail_path("GET", name, Answer(body=MAP, hold=both))
    staging = threading.Thread(target=lambda: stage_images(with_images(*images), tmp_path))
    staging.start()
    while len(neurovault.requests) < 2:
        assert staging.is_alive()
        staging.join(0.005)
    both.set()
    staging.join()


def test_only_the_wanted_analyses_are_staged(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    address = neurovault.put_file("z.nii.gz", MAP)
    document = with_images(image(address))
    second = document["studies"][1]
    wanted = f"{second['id']}-{second['analyses'][0]['id']}"
    assert stage_images(document, tmp_path, only=[wanted]).maps == ()
    assert not neurovault.requests


def test_progress_counts_every_map(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    images = [image(neurovault.put_file(f"{kind}.nii.gz", MAP), f"{kind} map") for kind in "TZ"]
    stage_images(with_images(*images), tmp_path, progress=lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2)]


def test_maps_of_a_bundle_from_a_disk_are_copied(tmp_path: Path) -> None:
    document = synthetic.with_maps(STUDYSET, tmp_path / "given", kinds=["z"], voxel_mm=20.0)
    staged = stage_images(document, tmp_path / "staged")
    assert staged.used == 2
    assert all(one.path is not None and one.path.parent == tmp_path / "staged" for one in staged.maps)


def test_a_map_on_a_disk_that_was_changed_is_copied_again(tmp_path: Path) -> None:
    given = tmp_path / "z.nii.gz"
    given.write_bytes(MAP)
    document = with_images(image(str(given)))
    stage_images(document, tmp_path / "staged")
    changed = gzip.compress(nifti() + b"more", mtime=2)
    given.write_bytes(changed)
    (staged,) = stage_images(document, tmp_path / "staged").maps
    assert staged.path is not None
    assert staged.path.read_bytes() == changed


def test_without_a_usable_map_the_reasons_are_told(neurovault: ComposeStandIn, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="have no images"):
        refuse_without_maps(stage_images(STUDYSET, tmp_path))
    address = neurovault.put_file("z.nii.gz", b"<html>")
    with pytest.raises(ImageError, match=r"None of the 2 images.*a page about it \(1\).*ROI/mask"):
        refuse_without_maps(stage_images(with_images(image(address), image(address, "ROI/mask")), tmp_path))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Stouffers meta-analysis of three studies: one with z, one with t maps, one with nothing usable."""
    from nimare.meta.ibma import Stouffers
    from nimare.nimads import Studyset
    from nimare.transforms import ImageTransformer

    folder = tmp_path_factory.mktemp("maps")
    document = synthetic.random_studyset(n_studies=4, analyses_per_study=1)
    complete = synthetic.with_maps(document, folder / "given", kinds=["z", "t"], voxel_mm=16.0)
    for number, kinds in enumerate([("z",), ("t",), ("z",), ()]):
        analysis = complete["studies"][number]["analyses"][0]
        analysis["images"] = [one for one in analysis["images"] if one["id"].endswith(kinds or ("none",))]
    complete["studies"][3]["analyses"][0]["images"] = [
        image(None, "Z map"),
        image("https://x.org/m.nii.gz", "ROI/mask"),
    ]
    staged = stage_images(complete, folder / "staged")
    studyset = Studyset(staged.studyset, target="mni152_2mm").update_path(str(staged.directory))
    estimator = Stouffers()
    result = estimator.fit(ImageTransformer(target=["z"]).transform(studyset))
    return studyset, result, staged


def test_the_account_says_what_was_used_converted_and_dropped(fitted: Any, tmp_path: Path) -> None:
    studyset, result, staged = fitted
    coverage = describe_coverage(studyset, result.estimator, staged)
    assert [one.included for one in coverage.analyses] == [True, True, True, False]
    assert [one.reason for one in coverage.analyses[:3]] == ["supplied the maps", "converted z", "supplied the maps"]
    assert coverage.analyses[1].supplied == ("t",)
    assert coverage.analyses[3].missing == ("z",)
    assert coverage.analyses[3].dropped == (
        "Z map: it has no address of a NIfTI file",
        "ROI/mask: no kind of map that a meta-analysis can use",
    )
    assert coverage.summary().startswith("3 of 4 analyses are used; each needs z.")
    lines = coverage.write(tmp_path).read_text().splitlines()
    assert lines[0].split("\t")[:5] == ["study_id", "study_name", "analysis_id", "analysis_name", "included"]
    assert [line.split("\t")[4] for line in lines[1:]] == ["true", "true", "true", "false"]
    assert (tmp_path / COVERAGE_FILENAME).is_file()


def test_names_with_tabs_and_breaks_keep_the_table_whole(fitted: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    studyset, result, staged = fitted
    coverage = describe_coverage(studyset, result.estimator, staged)
    odd = replace(coverage.analyses[0], study_name="a\tb\nc")
    lines = replace(coverage, analyses=(odd,)).write(tmp_path).read_text().splitlines()
    assert [len(line.split("\t")) for line in lines] == [10, 10]


def test_an_account_before_any_fit_says_what_lacks(fitted: Any) -> None:
    from nimare.meta.ibma import Hedges, Stouffers

    studyset, _, staged = fitted
    coverage = describe_coverage(studyset, Stouffers(), staged)
    assert coverage.included == 0
    assert "none to derive it from (t)" in coverage.analyses[1].reason
    assert set(describe_coverage(studyset, Hedges()).needed_maps) == {"beta", "varcope"}


def test_a_result_with_values_passes_and_one_of_nothing_is_refused_with_an_explanation(fitted: Any) -> None:
    import numpy as np

    studyset, result, staged = fitted
    coverage = describe_coverage(studyset, result.estimator, staged)
    refuse_empty_result(result, coverage)
    empty = result.copy()
    empty.maps = {name: np.full(5, np.nan) for name in result.maps} | {"dof": None}
    with pytest.raises(EmptyResultError, match=r"no value at any voxel.*3 of 4 analyses.*share too few"):
        refuse_empty_result(empty, coverage)
    empty.estimator = copy.copy(empty.estimator)
    empty.estimator.aggressive_mask = True
    with pytest.raises(EmptyResultError, match="aggressive_mask=False"):
        refuse_empty_result(empty)
