"""One table of all clusters and peaks that a result describes, in which every number says what it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from nimare.meta.cbma.base import CBMAEstimator
from scipy import ndimage

from compose_runner.analysis.compute.description import TAILS
from compose_runner.analysis.compute.map_names import parse
from compose_runner.analysis.compute.thresholds import threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nimare.diagnostics import Diagnostics
    from nimare.results import MetaResult
    from numpy.typing import NDArray

COLUMNS = (
    "map",
    "alpha",
    "tail",
    "cluster",
    "peak",
    "x",
    "y",
    "z",
    "z_corrected",
    "p_corrected",
    "z_uncorrected",
    "size_mm3",
    "n_studies",
)
ANATOMY_COLUMNS = ("label", "regions")

_LEAST_P = float(np.finfo(np.float32).tiny)
_IDENTITY = re.compile(r"(Positive|Negative)Tail (\d+)([a-z]?)")


class Anatomy(Protocol):
    """What names the place of a peak, and the regions of a cluster."""

    def __call__(
        self, xyz: tuple[float, float, float], members: NDArray[np.bool_] | None, affine: NDArray[np.float64], /
    ) -> Mapping[str, Any]:
        """Give the columns of :data:`ANATOMY_COLUMNS`: texts, or what has one.

        Parameters
        ----------
        xyz : tuple of float
            The peak, MNI, in mm.
        members : ndarray of bool, or None
            The voxels of its cluster, in the least box that holds them; None for a further peak.
        affine : ndarray of shape (4, 4)
            From voxels of the box to mm.
        """


def cluster_rows(result: MetaResult, anatomy: Anatomy | None = None) -> pd.DataFrame:
    """List the clusters of all described maps, and their peaks, in the order in which the maps are described.

    Parameters
    ----------
    result : nimare.results.MetaResult
        That was described: with NiMARE's tables of clusters, label maps and contributions.
    anatomy : callable, optional
        Names the place of a peak and the regions of a cluster.

    Returns
    -------
    pandas.DataFrame
        One row for each peak. Columns:

        ``map``
            The map whose clusters they are.
        ``alpha``
            The p of a cluster's voxels is less, corrected if the map is.
        ``tail``
            ``positive`` or ``negative``.
        ``cluster``
            Its number in the tail: the value of its voxels in the label map, and the number in the name of its column
            of contributions. NiMARE's table of the map may have another number for it: there the negative tail does not
            begin with 1, and clusters of a cluster-level map are in the order of their z before the correction.
        ``peak``
            1 for the highest peak of the cluster, 2 to 4 for NiMARE's sub-peaks a to c.
        ``x``, ``y``, ``z``
            The peak in MNI space, in mm.
        ``z_corrected``, ``p_corrected``
            Of the map, at the peak; missing for an uncorrected map. For a map that was corrected for the mass or size
            of clusters they are the same in a whole cluster.
        ``z_uncorrected``
            Of the map before it was corrected, at the peak.
        ``size_mm3``
            Of the cluster, in cubic millimetres; missing for sub-peaks.
        ``n_studies``
            Studies with a focus in the cluster, or less than a voxel away, as NiMARE counts foci: of the first group
            in the positive tail of a comparison and of the second group in its negative tail. Missing for sub-peaks
            and for images, where all studies have a value everywhere.
        ``label``, ``regions``
            With ``anatomy`` only.
    """
    rows = [row for diagnostic in result.diagnostics for row in _rows_of_map(result, diagnostic, anatomy)]
    columns = [*COLUMNS, *(ANATOMY_COLUMNS if anatomy is not None else ())]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"size_mm3": "Int64", "n_studies": "Int64"})


def _rows_of_map(result: MetaResult, diagnostic: Diagnostics, anatomy: Anatomy | None) -> list[dict[str, Any]]:
    target = diagnostic.target_image
    table, name = result.tables.get(f"{target}_tab-clust"), parse(target)
    if table is None or table.empty or name is None:
        return []
    affine = result.get_map(target).affine
    peaks = table[["X", "Y", "Z"]].to_numpy(dtype=float)
    voxels = tuple(np.rint(apply_affine(np.linalg.inv(affine), peaks)).astype(int).T)
    labels = {tail: _volume(result, _label_map(target, tail)) for tail in TAILS}
    boxes = {tail: {} if anatomy is None else _boxes(volume) for tail, volume in labels.items()}
    foci = {tail: _studies_with_foci(result, diagnostic, tail) for tail in TAILS}
    corrected = _values(result, target, voxels) if name.correction else [None] * len(table)
    p_corrected = _corrected_p(result, target, voxels) if name.correction else [None] * len(table)
    uncorrected = _values(result, name.uncorrected, voxels)
    alpha = threshold(result, target).alpha
    numbers: dict[tuple[str, int], int] = {}
    rows = []
    for index, (identity, size) in enumerate(zip(table["Cluster ID"], table["Cluster Size (mm3)"], strict=True)):
        tail, in_table, letter = _parse_identity(identity)
        volume = labels[tail]
        if not letter:
            found = 0 if volume is None else int(volume[tuple(axis[index] for axis in voxels)])
            numbers[tail, in_table] = found or in_table
        number = numbers.get((tail, in_table), in_table)
        xyz = (float(peaks[index][0]), float(peaks[index][1]), float(peaks[index][2]))
        row: dict[str, Any] = {"map": target, "alpha": alpha, "tail": tail, "cluster": number}
        row |= {"peak": 1 + (ord(letter) - ord("a") + 1 if letter else 0)}
        row |= dict(zip(("x", "y", "z"), xyz, strict=True))
        row |= {"z_corrected": corrected[index], "p_corrected": p_corrected[index], "z_uncorrected": uncorrected[index]}
        if not letter:
            row |= {"size_mm3": int(size), "n_studies": foci[tail].get(number)}
        if anatomy is not None:
            box = boxes[tail].get(number) if not letter else None
            row |= anatomy(xyz, *_cut(volume, number, box, affine))
        rows.append(row)
    return sorted(rows, key=lambda row: (TAILS.index(row["tail"]), row["cluster"], row["peak"]))


def _parse_identity(identity: str) -> tuple[str, int, str]:
    match = _IDENTITY.fullmatch(identity)
    if match is None:
        raise ValueError(f"{identity} is no number of a cluster")
    return match[1].lower(), int(match[2]), match[3]


def _label_map(target: str, tail: str) -> str:
    return f"label{target[1:]}_tail-{tail}"


def _volume(result: MetaResult, name: str) -> NDArray[Any] | None:
    if result.maps.get(name) is None:
        return None
    return np.asarray(result.get_map(name).dataobj)


def _boxes(volume: NDArray[Any] | None) -> dict[int, tuple[slice, ...]]:
    """Find where each cluster of a label map is."""
    found = [] if volume is None else ndimage.find_objects(np.nan_to_num(volume).astype(np.int32))
    return {number: box for number, box in enumerate(found, start=1) if box is not None}


def _cut(
    volume: NDArray[Any] | None, number: int, box: tuple[slice, ...] | None, affine: NDArray[np.float64]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.float64]]:
    if volume is None or box is None:
        return None, affine
    shifted = np.array(affine, dtype=float)
    shifted[:3, 3] = apply_affine(affine, [axis.start for axis in box])
    return np.equal(volume[box], number), shifted


def _values(result: MetaResult, name: str, voxels: tuple[NDArray[np.int_], ...]) -> list[float | None]:
    """Look up values, with the digits that the map's precision has."""
    volume = _volume(result, name)
    if volume is None:
        return [None] * len(voxels[0])
    return [_shortest(value) for value in volume[voxels]]


def _shortest(value: Any) -> float:
    return float(str(value))


def _corrected_p(result: MetaResult, target: str, voxels: tuple[NDArray[np.int_], ...]) -> list[float | None]:
    if target.endswith("method-predictive"):
        # NiMARE's p map has uncorrected values where a predicted threshold is passed
        return [None] * len(voxels[0])
    logarithms = _values(result, f"logp{target[1:]}", voxels)
    small = [None if value is None else _shortest(np.float32(10.0**-value) or 10.0**-value) for value in logarithms]
    if result.maps.get(f"p{target[1:]}") is None:
        return small
    # float32 has no p of less than this, its logarithm has
    return [
        low if value is None or (low is not None and value <= _LEAST_P) else value
        for value, low in zip(_values(result, f"p{target[1:]}", voxels), small, strict=True)
    ]


def _studies_with_foci(result: MetaResult, diagnostic: Diagnostics, tail: str) -> dict[int, int]:
    """Count, for the number that a cluster has in its label map, the studies with a focus there."""
    table = result.tables.get(f"{diagnostic.target_image}_diag-FocusCounter_tab-counts_tail-{tail}")
    if table is None or not isinstance(result.estimator, CBMAEstimator):
        return {}
    inputs = result.estimator.inputs_
    study_of = {
        str(experiment): str(study)
        for field, foci in inputs.items()
        if field.startswith("coordinates")
        for experiment, study in zip(foci["id"], foci["study_id"], strict=True)
    }
    studies = pd.Series([study_of.get(str(experiment), str(experiment)) for experiment in table["id"]])
    return {
        int(column.split()[-1]): int(studies[(table[column] > 0).to_numpy()].nunique())
        for column in table.columns
        if column != "id"
    }
