"""Whether two result directories hold the same maps and tables; ``python -m benchmarks.outputs PEERS OURS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

TOLERANCE = 1e-6


def difference(first: Path, second: Path) -> float:
    """Return the largest difference between two maps; infinite where their shapes or their gaps differ."""
    one, other = (np.asarray(nibabel.load(path).dataobj, dtype=float) for path in (first, second))
    if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    return float(np.abs(np.nan_to_num(one) - np.nan_to_num(other)).max())


def same_table(first: Path, second: Path) -> bool:
    """Whether two tables have the same cells, numbers within the tolerance."""
    one, other = (pd.read_csv(path, sep="\t") for path in (first, second))
    try:
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=0, atol=TOLERANCE)
    except AssertionError:
        return False
    return True


def compare(peers: Path, ours: Path) -> dict[str, Any]:
    """Compare every map and every table.

    Parameters
    ----------
    peers, ours : Path
        Result directories.

    Returns
    -------
    dict
        ``maps``, ``tables`` (numbers of files), ``different`` (maps and tables that differ), ``largest`` (difference
        of two values of a map), ``missing`` (what ours lacks).
    """
    names = {path.name for suffix in ("*.nii.gz", "*.tsv") for path in peers.glob(suffix)}
    missing = sorted(name for name in names if not (ours / name).exists())
    shared = names - set(missing)
    maps = sorted(name for name in shared if name.endswith(".nii.gz"))
    tables = sorted(shared - set(maps))
    differences = {name: difference(peers / name, ours / name) for name in maps}
    different = [name for name, value in differences.items() if value > TOLERANCE]
    different += [name for name in tables if not same_table(peers / name, ours / name)]
    return {
        "maps": len(maps),
        "tables": len(tables),
        "different": different,
        "largest": max(differences.values(), default=0.0),
        "missing": missing,
    }


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), Path(sys.argv[2]))))
