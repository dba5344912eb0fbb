"""Which regions, values and studies a row of the table of clusters is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from compose_runner.analysis.write.report.clusters import Contributions, Peak, find_contributions, find_peaks

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
TARGET = "z_desc-mass_level-cluster_corr-FWE_method-montecarlo"
INSULA, CEREBELLUM = (38.0, 4.0, 2.0), (-32.0, -60.0, -34.0)


def _volume(*boxes: tuple[tuple[float, float, float], float]) -> np.ndarray:
    data = np.zeros((91, 109, 91), dtype=np.float32)
    for xyz, value in boxes:
        i, j, k = np.rint(np.linalg.inv(AFFINE) @ (*xyz, 1))[:3].astype(int)
        data[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = value
    return data


def _peaks(result: Any, target: str, contributions: list[Contributions]) -> list[Peak]:
    peaks = find_peaks(result, target, contributions)
    assert peaks is not None
    return peaks


@pytest.fixture
def result() -> Any:
    """A cluster-level correction, whose label map is in another order than the table of its clusters."""
    maps = {
        "z": _volume((INSULA, 6.0), (CEREBELLUM, 5.0)),
        TARGET: _volume((INSULA, 2.0), (CEREBELLUM, 3.0)),
        TARGET.replace("z_", "logp_", 1): _volume((INSULA, 2.0), (CEREBELLUM, 4.0)),
        f"{TARGET.replace('z_', 'label_', 1)}_tail-positive": _volume((INSULA, 2.0), (CEREBELLUM, 1.0)),
    }
    rows = [("PositiveTail 1", *INSULA, 6.0, 216), ("PositiveTail 2", *CEREBELLUM, 5.0, 216)]
    table = pd.DataFrame(rows, columns=["Cluster ID", "X", "Y", "Z", "Peak Stat", "Cluster Size (mm3)"])
    # columns have the numbers of the label map
    counts = pd.DataFrame({"id": ["a-1", "b-1", "c-1"], "PositiveTail 1": [1, 0, 0], "PositiveTail 2": [2, 1, 0]})
    tables = {f"{TARGET}_tab-clust": table, f"{TARGET}_diag-FocusCounter_tab-counts_tail-positive": counts}
    return SimpleNamespace(maps=maps, tables=tables, get_map=lambda name: nib.Nifti1Image(maps[name], AFFINE))


def test_a_cluster_has_the_number_and_the_regions_of_the_label_at_its_peak(result: Any) -> None:
    first, second = _peaks(result, TARGET, [])
    assert (first.cluster, second.cluster) == ("1", "2")
    assert first.labels[0].name == first.regions[0].name == "Left cerebellum, crus I"
    assert second.labels[0].name == second.regions[0].name == "Right insula"


def test_a_cluster_has_the_contributions_of_the_label_at_its_peak(result: Any) -> None:
    (contributions,) = find_contributions(result, TARGET)
    assert contributions.clusters == (("positive", "1"), ("positive", "2"))
    assert dict(contributions.rows) == {"a-1": (1.0, 2.0), "b-1": (0.0, 1.0), "c-1": (0.0, 0.0)}
    cerebellum, insula = _peaks(result, TARGET, [contributions])
    assert (cerebellum.n_studies, insula.n_studies) == (1, 2)


def test_values_before_and_after_correction_are_told_apart(result: Any) -> None:
    cerebellum, insula = _peaks(result, TARGET, [])
    assert (insula.z_corrected, insula.z_uncorrected) == (2.0, 6.0)
    assert insula.p_corrected == pytest.approx(0.01)
    assert (cerebellum.z_corrected, cerebellum.z_uncorrected) == (3.0, 5.0)


def test_a_map_without_correction_has_no_corrected_value(result: Any) -> None:
    result.tables["z_tab-clust"] = result.tables[f"{TARGET}_tab-clust"]
    first = _peaks(result, "z", [])[0]
    assert (first.z_corrected, first.p_corrected, first.z_uncorrected) == (None, None, 6.0)


def test_parts_of_the_statistic_are_not_counted_as_studies(result: Any) -> None:
    counts = result.tables.pop(f"{TARGET}_diag-FocusCounter_tab-counts_tail-positive")
    result.tables[f"{TARGET}_diag-Jackknife_tab-counts"] = counts
    contributions = find_contributions(result, TARGET)
    assert not contributions[0].counted
    assert [peak.n_studies for peak in _peaks(result, TARGET, contributions)] == [None, None]


def test_without_a_table_of_clusters_nothing_is_said_of_them(result: Any) -> None:
    assert find_peaks(result, "stat", []) is None
