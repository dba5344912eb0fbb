"""Maps written in parallel are NiMARE's own files."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from nimare.meta.cbma import ALE, MKDAChi2

from compose_runner.analysis.write.maps import save_maps
from tests.support.engine_studies import fitted, small_studyset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("estimator_class", [ALE, MKDAChi2])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_files_hold_nimares_bytes(estimator_class: type, tmp_path: Path) -> None:
    groups = (small_studyset([4, 6]), small_studyset([3, 5], seed=2))
    result = fitted(estimator_class, groups[0] if estimator_class is ALE else groups)
    result.maps["counted"] = np.arange(len(next(iter(result.maps.values()))), dtype=np.int32)
    result.maps["absent"] = None
    result.maps["missing"] = np.where(result.maps["counted"] % 3, np.inf, np.nan)
    result.save_maps(str(tmp_path / "nimare"))
    written = save_maps(result, tmp_path / "ours", n_cores=2)
    theirs = sorted(path.name for path in (tmp_path / "nimare").iterdir())
    assert sorted(path.name for path in written) == theirs
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == theirs
    for name in theirs:
        ours = gzip.decompress((tmp_path / "ours" / name).read_bytes())
        assert ours == gzip.decompress((tmp_path / "nimare" / name).read_bytes()), name
