"""How peaks and contributions of the tables are given to the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from compose_runner.analysis.write.atlases import anatomy
from compose_runner.analysis.write.clusters import ANATOMY_COLUMNS, COLUMNS
from compose_runner.analysis.write.report.clusters import find_contributions, peaks_by_map

TARGET = "z_desc-mass_level-cluster_corr-FWE_method-montecarlo"
INSULA, CEREBELLUM = (38.0, 4.0, 2.0), (-32.0, -60.0, -34.0)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two clusters of a corrected map, the second with a further peak, and one of a map without correction."""
    listed = [
        (TARGET, 0.05, "positive", 1, 1, *CEREBELLUM, 3.0, 0.0001, 5.0, 216, 4),
        (TARGET, 0.05, "positive", 2, 1, *INSULA, 2.0, 0.01, 6.0, 432, None),
        (TARGET, 0.05, "positive", 2, 2, *INSULA, 2.0, 0.01, 5.5, None, None),
        ("z", 0.001, "negative", 1, 1, *INSULA, None, None, -4.0, 80, None),
    ]
    table = pd.DataFrame(listed, columns=COLUMNS).astype({"size_mm3": "Int64", "n_studies": "Int64"})
    described = [anatomy((x, y, z), None, np.eye(4)) for x, y, z in table[["x", "y", "z"]].to_numpy()]
    for name in ANATOMY_COLUMNS:
        table[name] = pd.Series([one[name] for one in described], dtype=object)
    return table


def test_peaks_stand_by_map_in_the_order_of_the_table(rows: pd.DataFrame) -> None:
    peaks = peaks_by_map(rows)
    assert [(peak.cluster, peak.letter, peak.xyz) for peak in peaks[TARGET]] == [
        (1, "", CEREBELLUM),
        (2, "", INSULA),
        (2, "a", INSULA),
    ]
    assert [(peak.tail, peak.xyz) for peak in peaks["z"]] == [("negative", INSULA)]
    assert peaks_by_map(rows.iloc[:0]) == {}


def test_what_the_table_does_not_have_is_none_and_what_it_has_is_as_it_stands(rows: pd.DataFrame) -> None:
    cerebellum, insula, further = peaks_by_map(rows)[TARGET]
    assert (cerebellum.z_corrected, cerebellum.p_corrected, cerebellum.z_uncorrected) == (3.0, 0.0001, 5.0)
    assert (cerebellum.size_mm3, cerebellum.n_studies) == (216, 4)
    assert (insula.size_mm3, insula.n_studies) == (432, None)
    assert (further.size_mm3, further.n_studies, further.z_uncorrected) == (None, None, 5.5)
    (uncorrected,) = peaks_by_map(rows)["z"]
    assert (uncorrected.z_corrected, uncorrected.p_corrected, uncorrected.z_uncorrected) == (None, None, -4.0)
    assert insula.labels[0].name == "Right insula"


@pytest.mark.parametrize(("kind", "counted"), [("FocusCounter", True), ("Jackknife", False)])
def test_contributions_have_the_numbers_of_their_columns(kind: str, counted: bool) -> None:
    counts = pd.DataFrame({"id": ["a-1", "b-1", "c-1"], "PositiveTail 1": [1, 0, None], "PositiveTail 2": [2, 1, 0]})
    result: Any = SimpleNamespace(tables={f"{TARGET}_diag-{kind}_tab-counts_tail-positive": counts})
    (contributions,) = find_contributions(result, TARGET)
    assert contributions.clusters == (("positive", "1"), ("positive", "2"))
    assert dict(contributions.rows) == {"a-1": (1.0, 2.0), "b-1": (0.0, 1.0), "c-1": (0.0, 0.0)}
    assert contributions.counted is counted
