"""What a result says of its clusters: by the map's own p, for every estimator with every correction."""

from __future__ import annotations

import copy
import gc
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from nimare.diagnostics import FocusCounter, Jackknife
from nimare.workflows import CBMAWorkflow, IBMAWorkflow, PairwiseCBMAWorkflow
from scipy import ndimage
from scipy.special import ndtri

from compose_runner.analysis.compute.description import TAILS, describe_diagnostics, describe_maps
from compose_runner.analysis.compute.estimators import build
from compose_runner.analysis.compute.map_names import parse
from compose_runner.analysis.compute.thresholds import is_below, threshold
from compose_runner.analysis.job import run_job
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.publish.cluster_tables import ENDING, expected_targets, selected_table, table_to_send_again
from compose_runner.analysis.publish.uploads import upload_parts
from compose_runner.analysis.write.atlases import anatomy
from compose_runner.analysis.write.clusters import COLUMNS, cluster_rows
from compose_runner.analysis.write.report import map_sections
from compose_runner.analysis.write.report.clusters import peaks_by_map
from compose_runner.analysis.write.report.map_order import order_maps
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.specification.parsing import parse_specification
from tests.support import synthetic
from tests.support.described_results import CASES, SEED, Case, described, find_groups

if TYPE_CHECKING:
    from pathlib import Path

    from nimare.results import MetaResult

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

EXTENT = 10
# with so few studies and iterations, these have nothing at q < .05
NOTHING_SIGNIFICANT = {
    "BalancedALESubtraction-indep",
    "BalancedALESubtraction-negcorr",
    "BalancedALESubtraction-bonferroni",
}
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


def _described(case: Case, folder: Path) -> tuple[MetaResult, list[dict[str, Any]]]:
    result, problems = described(case, folder)
    assert problems.listed == []
    return result, describe_diagnostics(result)


def _significant(result: MetaResult, name: str, alpha: float) -> np.ndarray[Any, Any]:
    """The voxels whose p is less than alpha, in the volume, by the map of p or of its logarithm."""
    p = result.maps.get(f"p{name[1:]}")
    if p is None:
        p = np.float32(10) ** -result.maps[f"logp{name[1:]}"].astype(np.float64)
    image = result.masker.inverse_transform((np.asarray(p) < alpha * (1 - 1e-6)).astype(np.float32))
    return np.asarray(image.get_fdata()) > 0.5


def _labelled(result: MetaResult, name: str) -> np.ndarray[Any, Any]:
    maps = [f"label{name[1:]}_tail-{tail}" for tail in TAILS]
    found = [np.asarray(result.get_map(one).get_fdata()) for one in maps if result.maps.get(one) is not None]
    return np.any(found, axis=0) if found else np.zeros(result.masker.mask_img.shape, dtype=bool)


@every_case
def test_a_voxel_is_in_a_cluster_when_its_p_is_less_than_alpha(case: Case, folder: Path) -> None:
    result, diagnostics = _described(case, folder)
    assert diagnostics
    for one in diagnostics:
        name = one["target_image"]
        significant = _significant(result, name, one["alpha"])
        labelled = _labelled(result, name)
        assert not (labelled & ~significant).any()
        # and every cluster of the least extent is there, each sign by itself
        z = np.asarray(result.get_map(name).get_fdata())
        for sign in (1, -1):
            clusters, count = ndimage.label(significant & (z * sign > 0))
            sizes = np.bincount(clusters.ravel(), minlength=count + 1)
            for number in range(1, count + 1):
                inside = labelled[clusters == number]
                assert inside.all() if sizes[number] >= EXTENT else not inside.any()


@every_case
def test_what_is_significant_is_described(case: Case, folder: Path) -> None:
    _, diagnostics = _described(case, folder)
    clusters = sum(sum(one["clusters"].values()) for one in diagnostics)
    assert (clusters > 0) == (str(case) not in NOTHING_SIGNIFICANT)
    for one in diagnostics:
        assert one["corrected"] == (case.corrector is not None)
        assert (one["contributions"] is not None) == (sum(one["clusters"].values()) > 0)


@every_case
def test_tails_are_those_of_nimares_own_conversion(case: Case, folder: Path) -> None:
    result, diagnostics = _described(case, folder)
    for one in diagnostics:
        name = one["target_image"]
        p = result.maps.get(f"p{name[1:]}")
        if p is None:
            p = 10.0 ** -result.maps[f"logp{name[1:]}"].astype(np.float64)
        z = np.abs(np.asarray(result.maps[name], dtype=np.float64))
        inside = np.isfinite(z) & (p > 1e-30) & (p < 0.4) & (z > 0)
        if inside.any():
            np.testing.assert_allclose(z[inside], -ndtri(np.asarray(p)[inside] / one["tails"]), atol=2e-5)
        assert one["target_threshold"] == pytest.approx(-ndtri(one["alpha"] / one["tails"]), abs=1e-6)


@every_case
def test_tables_and_label_maps_are_those_of_nimares_diagnostics(case: Case, folder: Path) -> None:
    result, diagnostics = _described(case, folder)
    kind = Jackknife if case.image_based else FocusCounter
    for one in diagnostics:
        name = one["target_image"]
        theirs = copy.copy(result)
        theirs.maps = {key: values for key, values in result.maps.items() if not key.startswith("label")}
        if case.estimator == "BalancedALESubtraction":
            theirs.maps["stat"] = theirs.maps["z_desc-balancedGroup1MinusGroup2"]
        theirs.tables, theirs.diagnostics = {}, []
        kind(target_image=name, target_threshold=one["target_threshold"], cluster_threshold=EXTENT).transform(theirs)
        for table, rows in theirs.tables.items():
            # NiMARE counts foci of the first group for a map of the second
            if rows is not None and not (case.pairwise and "group2_" in f"{table}_" and "_diag-" in table):
                pd.testing.assert_frame_equal(result.tables[table], rows)
        for label_map in (key for key in theirs.maps if key.startswith("label")):
            np.testing.assert_array_equal(result.maps[label_map], theirs.maps[label_map])


WHOLE_WORKFLOWS = [
    Case("ALE", "FDRCorrector", "indep"),
    Case("ALE", "FDRCorrector", "indep", (("alpha", 0.001),)),
    Case("MKDADensity", "FWECorrector", "montecarlo"),
    Case("MKDAChi2", "FDRCorrector", "indep"),
    Case("MKDAChi2", "FWECorrector", "montecarlo"),
    Case("ALESubtraction", "FWECorrector", "montecarlo"),
    Case("Stouffers", "FDRCorrector", "indep"),
]


@pytest.mark.parametrize("case", WHOLE_WORKFLOWS, ids=str)
def test_tables_and_maps_are_those_of_nimares_workflow_called_with_the_threshold(case: Case, folder: Path) -> None:
    ours, diagnostics = _described(case, folder)
    kinds = {True: (IBMAWorkflow, "jackknife"), False: (CBMAWorkflow, "focuscounter")}
    workflow, diagnostic = (PairwiseCBMAWorkflow, "focuscounter") if case.pairwise else kinds[case.image_based]
    estimator, corrector = build(parse_specification(case.document), n_cores=1, seed=SEED)
    groups = find_groups(case, folder)
    studysets = [group for group in (groups.first, groups.second) if group is not None]
    theirs = workflow(
        estimator=estimator,
        corrector=corrector,
        diagnostics=diagnostic,
        voxel_thresh=diagnostics[0]["target_threshold"],
    ).fit(*studysets)
    for name, values in theirs.maps.items():
        if name in ours.maps and not name.startswith("label"):
            np.testing.assert_array_equal(ours.maps[name], values, err_msg=name)
    assert {name for name in theirs.maps if not name.startswith("label")} <= set(ours.maps)
    first = diagnostics[0]["target_image"]
    compared = [name for name in theirs.tables if name.startswith(first)]
    assert f"{first}_tab-clust" in compared
    for name in compared:
        pd.testing.assert_frame_equal(ours.tables[name], theirs.tables[name])


@every_case
def test_compose_finds_a_cluster_table_where_there_is_one_and_its_map_is_described_first(
    case: Case, folder: Path
) -> None:
    result, diagnostics = _described(case, folder)
    targets = [one["target_image"] for one in diagnostics]
    assert len(set(targets)) == len(targets)
    assert parse(targets[0]).group is None  # type: ignore[union-attr]
    names = [f"{target}{ENDING}" for target in targets if len(result.tables[f"{target}_tab-clust"])]
    again = table_to_send_again(names, targets, case.document)
    taken = selected_table([*names, *([again[1]] if again else [])], case.document)
    if names and parse(names[0].removesuffix(ENDING)).effect not in ("group1", "group2"):  # type: ignore[union-attr]
        assert taken == (again[1] if again else names[0])
        assert again is None or again[0] == names[0]
    else:
        assert taken is None


@every_case
def test_the_table_of_clusters_says_what_each_number_is(case: Case, folder: Path) -> None:
    result, diagnostics = _described(case, folder)
    rows = cluster_rows(result)
    assert tuple(rows.columns) == COLUMNS
    for one in diagnostics:
        name, of_map = one["target_image"], rows[rows["map"] == one["target_image"]]
        peaks = of_map[of_map["peak"] == 1]
        assert {tail: int((peaks["tail"] == tail).sum()) for tail in TAILS} == one["clusters"]
        assert len(of_map) == len(result.tables[f"{name}_tab-clust"])
        assert (of_map["alpha"] == one["alpha"]).all()
        if case.corrector is None:
            assert of_map[["z_corrected", "p_corrected"]].isna().all().all()
        else:
            assert (of_map["p_corrected"] < one["alpha"]).all()
            assert (of_map["z_corrected"].abs() > one["target_threshold"]).all()
        assert (np.sign(of_map["z_uncorrected"]) == np.where(of_map["tail"] == "positive", 1, -1)).all()
        assert peaks["size_mm3"].notna().all()
        assert of_map.loc[of_map["peak"] > 1, ["size_mm3", "n_studies"]].isna().all().all()
        assert peaks["n_studies"].isna().all() if case.image_based else (peaks["n_studies"] > 0).all()
        labelled = sum(
            int((result.maps.get(f"label{name[1:]}_tail-{tail}", np.zeros(1)) > 0).sum())
            for tail in TAILS
            if result.maps.get(f"label{name[1:]}_tail-{tail}") is not None
        )
        voxel = abs(np.linalg.det(result.masker.mask_img.affine[:3, :3]))
        assert int(peaks["size_mm3"].sum()) == round(labelled * voxel)


def test_the_columns_of_anatomy_are_filled_by_a_callable(folder: Path) -> None:
    result, _ = _described(Case("ALE", "FDRCorrector", "indep"), folder)
    seen: list[tuple[Any, Any]] = []

    def anatomy(xyz: Any, members: Any, affine: Any) -> dict[str, str]:
        seen.append((xyz, members))
        assert affine.shape == (4, 4)
        return {"label": f"at {xyz[0]:g}", "regions": "" if members is None else f"{members.sum()} voxels"}

    rows = cluster_rows(result, anatomy)
    assert tuple(rows.columns) == (*COLUMNS, "label", "regions")
    assert [row["label"] for _, row in rows.iterrows()] == [f"at {xyz[0]:g}" for xyz, _ in seen]
    first = rows.iloc[0]
    assert first["regions"] == f"{first['size_mm3'] // 8} voxels"


@every_case
def test_the_number_of_a_cluster_is_its_value_in_the_label_map(case: Case, folder: Path) -> None:
    result, _ = _described(case, folder)
    for _, row in cluster_rows(result).iterrows():
        image = result.get_map(f"label{row['map'][1:]}_tail-{row['tail']}")
        voxel = np.rint(np.linalg.inv(image.affine) @ [row["x"], row["y"], row["z"], 1]).astype(int)[:3]
        labels = np.asarray(image.get_fdata())
        assert labels[tuple(voxel)] == row["cluster"]
        if row["peak"] == 1:
            size = (labels == row["cluster"]).sum() * abs(np.linalg.det(image.affine[:3, :3]))
            assert row["size_mm3"] == round(size)


def test_studies_are_counted_once_and_in_the_cluster_that_has_their_foci(folder: Path) -> None:
    result, _ = _described(Case("MKDAChi2", "FDRCorrector", "indep"), folder)
    rows = cluster_rows(result)
    peaks = rows[(rows["peak"] == 1) & rows["map"].str.contains("association")].set_index("tail")
    for tail, group in (("positive", 1), ("negative", 2)):
        name = str(peaks.loc[tail, "map"])
        table = result.tables[f"{name}_diag-FocusCounter_tab-counts_tail-{tail}"]
        assert list(table["id"]) == list(result.estimator.inputs_[f"id{group}"])
        (column,) = [name for name in table.columns if name != "id"]
        assert peaks.loc[tail, "n_studies"] == (table[column] > 0).sum()


def test_a_map_of_the_second_group_counts_the_foci_of_the_second_group(folder: Path) -> None:
    result, diagnostics = _described(Case("ALESubtraction", "FDRCorrector", "indep"), folder)
    about = next(one for one in diagnostics if "desc-group2_" in one["target_image"])
    assert about["contributions"] == {"unit": "number of foci", "group": {"positive": 2}}
    table = result.tables[f"{about['target_image']}_diag-FocusCounter_tab-counts_tail-positive"]
    assert list(table["id"]) == list(result.estimator.inputs_["id2"])
    # all foci of the second group lie in one place, none of those of the first
    assert int(table["PositiveTail 1"].sum()) > len(result.estimator.inputs_["coordinates2"]) // 2


def test_sub_peaks_are_not_counted_as_clusters(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    case = Case("Hedges", "FDRCorrector", "indep", (("alpha", 0.04),))
    with caplog.at_level(logging.INFO):
        result, (one,) = _described(case, folder)
    number = sum(one["clusters"].values())
    assert 0 < number < len(result.tables[f"{one['target_image']}_tab-clust"])
    messages = [record.getMessage() for record in caplog.records]
    assert not [message for message in messages if message.endswith("clusters found")]
    (told,) = [message for message in messages if one["target_image"] in message]
    assert told.startswith(f"{number} cluster")
    assert "p < 0.04, corrected (two-tailed)" in told


@pytest.mark.parametrize("alpha", [0.2, 0.01, 0.001])
def test_clusters_follow_the_alpha_of_the_specification_and_maps_do_not(alpha: float, folder: Path) -> None:
    plain, (before,) = _described(Case("ALE", "FDRCorrector", "indep"), folder)
    result, (one,) = _described(Case("ALE", "FDRCorrector", "indep", (("alpha", alpha),)), folder)
    assert one["alpha"] == alpha
    name = one["target_image"]
    np.testing.assert_array_equal(result.maps[name], plain.maps[name])
    voxels = [int(_labelled(one_result, name).sum()) for one_result in (plain, result)]
    assert voxels[1] == _significant(result, name, alpha).sum()
    assert (voxels[1] > voxels[0]) == (alpha > before["alpha"])


def test_a_map_with_a_negative_tail_only_is_described(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, _ = _described(Case("MKDAChi2", "FDRCorrector", "indep"), folder)
    name = "z_desc-association_level-voxel_corr-FDR_method-indep"
    result, problems = whole.copy(), Problems()
    positive = result.maps[name] > 0
    result.maps[name] = np.where(positive, np.float32(0), result.maps[name])
    result.maps[f"p{name[1:]}"] = np.where(positive, np.float32(1), result.maps[f"p{name[1:]}"])
    result.tables, result.diagnostics = {}, []
    with caplog.at_level(logging.INFO):
        describe_maps(result, FocusCounter(cluster_threshold=EXTENT), problems)
    assert problems.listed == []
    one = describe_diagnostics(result)[0]
    assert (one["target_image"], one["clusters"]) == (name, {"positive": 0, "negative": 1})
    assert one["contributions"] == {"unit": "number of foci", "group": {"negative": 2}}
    assert "1 cluster (1 in the negative tail) at p < 0.05" in caplog.text
    diagnostics = describe_diagnostics(result)
    maps = order_maps(result, diagnostics)
    peaks = peaks_by_map(cluster_rows(result, anatomy))
    sections = map_sections.describe_maps(result, maps, diagnostics, folder / "figures", problems, peaks=peaks)
    section = next(section for section in sections if section.map.name == name)
    assert (section.n_clusters, section.empty, section.problem) == (1, "", "")
    assert section.shown.startswith("p < .05, corrected (two-tailed); |z| ≥ 1.96")
    assert [peak.tail for peak in section.peaks if not peak.letter] == ["negative"]


def _job(tmp_path: Path, **documents: Any) -> tuple[Path, dict[str, Any]]:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps(documents), encoding="utf-8")
    outcome = run_job("described", bundle=bundle, result_dir=tmp_path / "results", report=False)
    return tmp_path / "results", outcome.metadata


def test_a_job_sends_compose_the_table_of_its_own_name_and_the_contributions_to_the_same_map_first(
    tmp_path: Path,
) -> None:
    studyset = synthetic.studyset(
        synthetic.study(
            f"s{i}",
            [
                synthetic.analysis(f"s{i}a{j}", synthetic.foci(3, seed=9 * i + j, centres=synthetic.CENTRES[j : j + 1]))
                for j in range(2)
            ],
        )
        for i in range(14)
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        directory, metadata = _job(
            tmp_path,
            studyset=studyset,
            annotation=synthetic.annotated(studyset, lambda _study, analysis: analysis == 0),
            specification=synthetic.two_groups(corrector="FDRCorrector", corrector_args={"method": "indep"}),
        )
    # NumPy warns of every 0/0, nilearn of every tail without clusters
    assert [one for one in warned if issubclass(one.category, UserWarning | RuntimeWarning)] == []
    parts = upload_parts(ResultDirectory(directory))
    clusters = {part[0]: part[1] for field, part in parts if field == "cluster_tables"}
    contributions = [part[0] for field, part in parts if field == "diagnostic_tables"]
    nimares = "z_desc-association_level-voxel_corr-FDR_method-indep"
    wanted = f"z_desc-association_corr-FDR_method-indep{ENDING}"
    assert selected_table(list(clusters), metadata["specification"]) == wanted
    assert clusters[wanted] == clusters[f"{nimares}{ENDING}"] == (directory / f"{nimares}{ENDING}").read_bytes()
    assert contributions[0] == f"{nimares}_diag-FocusCounter_tab-counts_tail-positive.tsv"
    assert metadata["diagnostics"][0]["target_image"] == nimares
    # NiMARE's tables alone
    assert (directory / "clusters.tsv").exists()
    assert not [name for name in (*clusters, *contributions) if not name.startswith("z_")]


def test_what_compose_looks_for_follows_from_the_specification() -> None:
    monte_carlo = {"type": "FWECorrector", "args": {"method": "montecarlo"}}
    for estimator, corrector, first in (
        ("ALE", None, "z"),
        ("MKDAChi2", None, "z_desc-group1MinusGroup2"),
        ("ALE", monte_carlo, "z_desc-mass_level-cluster_corr-FWE_method-montecarlo"),
        ("ALESubtraction", monte_carlo, "z_desc-group1MinusGroup2Mass_level-cluster_corr-FWE_method-montecarlo"),
        ("ALE", {"type": "FDRCorrector", "args": {}}, "z_corr-FDR_method-indep"),
        ("ALE", {"type": "FWECorrector"}, "z_corr-FWE_method-bonferroni"),
        ("MKDAChi2", {"type": "FDRCorrector"}, "z_desc-group1MinusGroup2_corr-FDR_method-indep"),
    ):
        assert expected_targets({"estimator": {"type": estimator}, "corrector": corrector})[0] == first
    assert expected_targets(None) == ["z"]


def test_the_threshold_of_a_result_is_found_again(folder: Path) -> None:
    result, diagnostics = _described(Case("MKDAChi2", "FWECorrector", "montecarlo"), folder)
    for one in diagnostics:
        found = threshold(result, one["target_image"])
        assert (found.z, found.alpha, found.tails, found.corrected) == (
            one["target_threshold"],
            one["alpha"],
            one["tails"],
            one["corrected"],
        )
        below = is_below(result, one["target_image"], found.alpha)
        assert np.array_equal(
            below & (result.maps[one["target_image"]] != 0), abs(result.maps[one["target_image"]]) > found.z
        )
