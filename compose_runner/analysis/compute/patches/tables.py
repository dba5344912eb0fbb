"""Cluster tables without a pass over the volume for every cluster and every peak.

nilearn looks at the whole volume once per cluster to find its peak, eight times more per cluster to find its local
maxima, and four times to weigh them. :func:`cluster_tables_by_box` puts a step in its place that labels the volume
once and then looks at each cluster's bounding box only. The tables are the same: the same filters, the same labels,
the same order of every sum.
"""

from __future__ import annotations

import contextlib
import warnings
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

COLUMNS = ["Cluster ID", "X", "Y", "Z", "Peak Stat", "Cluster Size (mm3)"]
MOST_SUBPEAKS = 3


def _box(found: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Widen a bounding box by one voxel within the volume: what a filter of three voxels sees."""
    return tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(found, shape, strict=True))


def local_maxima(data: NDArray[Any], origin: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[Any]]:
    """Find the local maxima of one cluster.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z)
        The statistic within the cluster's bounding box and one voxel around it; 0 outside the cluster.
    origin : ndarray of shape (3,)
        The box's first voxel in the volume.

    Returns
    -------
    ijk : ndarray of shape (N, 3)
        Indices in the volume. Where neighbours are equal, it is the voxel nearest to their centre of mass.
    values : ndarray of shape (N,)
        The statistic there.
    """
    from nilearn.reporting.get_clusters_table import _cluster_nearest_neighbor
    from scipy import ndimage

    highest = ndimage.maximum_filter(data, 3)
    inside = data != 0
    maxima = (data == highest) & inside
    if not np.isclose(data[inside].max(), data[inside].min()):
        # a plateau is no peak, unless the cluster is nothing else
        maxima &= highest - ndimage.minimum_filter(data, 3) > 0
    labelled, count = ndimage.label(maxima)
    numbers = np.arange(1, count + 1)
    at = np.nonzero(labelled)
    peak, weight = labelled[at], data[at]
    total = np.bincount(peak, weights=weight)[1:]
    # Weighted with indices in the volume: a sum of other numbers may round to another voxel.
    centre = [
        np.bincount(peak, weights=weight * (axis + start).astype(float))[1:] / total
        for axis, start in zip(at, origin, strict=True)
    ]
    ijk = np.round(np.array(centre).T).astype(int) - origin
    outside = labelled[tuple(ijk.T)] != numbers
    if outside.any():
        warnings.warn("A peak lies outside its cluster: the nearest voxel of the cluster is reported.", stacklevel=2)
        ijk[outside] = _cluster_nearest_neighbor(ijk[outside], numbers[outside], labelled)
    return ijk + origin, data[tuple(ijk.T)]


def far_apart(xyz: NDArray[Any], min_distance: float) -> NDArray[np.bool_]:
    """Tell which peaks nilearn keeps: of each, its distance to the last one before it that was itself kept decides.

    Parameters
    ----------
    xyz : ndarray of shape (N, 3)
        Peaks in millimetres, highest first.
    min_distance : float
        Distance in millimetres that a peak has to exceed.
    """
    kept = np.ones(len(xyz), dtype=bool)
    for peak in range(len(xyz)):
        if kept[peak]:
            apart = xyz[peak] - xyz[peak + 1 :]
            distance = np.sqrt((apart * apart).sum(axis=1))
            kept[peak + 1 :] = distance > min_distance
            # so near the limit a sum in another order might round to its other side
            for other in np.flatnonzero(np.abs(distance - min_distance) < 1e-9 * min_distance):
                kept[peak + 1 + other] = np.linalg.norm(apart[other]) > min_distance
    return kept


def _peaks(
    data: NDArray[Any], origin: NDArray[np.int_], affine: NDArray[Any], min_distance: float
) -> tuple[NDArray[np.int_], NDArray[Any]]:
    """Return a cluster's local maxima that are far enough from every higher one, highest first."""
    from nilearn.reporting.get_clusters_table import _sort_subpeaks

    ijk, values = local_maxima(data, origin)
    xyz, ijk, values = _sort_subpeaks(ijk, values, affine)
    kept = far_apart(np.asarray(xyz), min_distance)
    return ijk[kept], values[kept]


def _rows_of_sign(
    statistic: NDArray[Any],
    threshold: float,
    below: bool,
    affine: NDArray[Any],
    voxel_size: float,
    min_distance: float,
    sign: int,
    offset: int,
) -> tuple[list[list[Any]], NDArray[np.int32]] | None:
    """Return the rows and the label map of the clusters of one sign, or None when there is no cluster."""
    from nilearn.image.resampling import coord_transform
    from scipy import ndimage

    above = statistic < threshold if below else statistic > threshold
    if not above.any():
        return None
    labels, count = ndimage.label(above, ndimage.generate_binary_structure(3, 1))
    at = np.nonzero(labels)
    peaks = np.zeros(count + 1, dtype=statistic.dtype)
    (np.minimum if below else np.maximum).at(peaks, labels[at], statistic[at])
    numbers = np.arange(1, count + 1)[(-peaks[1:]).argsort()]
    new_number = np.zeros(count + 1, dtype=np.int32)
    new_number[numbers] = np.arange(1, count + 1)
    sizes = np.bincount(labels[at], minlength=count + 1)
    boxes = ndimage.find_objects(labels)
    rows: list[list[Any]] = []
    for index, number in enumerate(numbers, start=offset + 1):
        box = _box(boxes[number - 1], statistic.shape)
        data = statistic[box] * (labels[box] == number)
        if below:
            data *= -1
        origin = np.array([axis.start for axis in box])
        ijk, values = _peaks(data, origin, affine, min_distance)
        values *= sign
        xyz = np.array(np.asarray(coord_transform(*ijk.T, affine)).tolist()).T
        for peak in range(min(len(values), MOST_SUBPEAKS + 1)):
            name = index if peak == 0 else f"{index}{ascii_lowercase[peak - 1]}"
            size = int(sizes[number] * voxel_size) if peak == 0 else ""
            rows.append([name, *xyz[peak], values[peak], size])
    return rows, new_number[labels]


def clusters_table(
    stat_img: Any,
    stat_threshold: float,
    cluster_threshold: Any = 0,
    two_sided: bool = False,
    min_distance: float = 8.0,
    return_label_maps: bool = False,
) -> Any:
    """Make the table of a map's clusters and their peaks: nilearn's step for volumes, with its parameters."""
    import pandas as pd
    from nilearn._utils.niimg import safe_get_data
    from nilearn._utils.niimg_conversions import check_niimg_3d
    from nilearn.image import new_img_like

    if min_distance <= 0:
        raise ValueError("'min_distance' must be positive.")
    stat_img = check_niimg_3d(stat_img)
    statistic = safe_get_data(stat_img, ensure_finite=True, copy_data=cluster_threshold != 0)
    voxel_size = np.prod(stat_img.header.get_zooms())
    below = not two_sided and stat_threshold < 0
    rows: list[list[Any]] = []
    label_maps = []
    for sign in (1, -1) if two_sided else (1,):
        found = _rows_of_sign(
            statistic * sign, stat_threshold, below, stat_img.affine, voxel_size, min_distance, sign, len(rows)
        )
        if found is None:
            side = "higher" if sign == 1 else "lower"
            warnings.warn(f"No clusters found with stat {side} than {stat_threshold * sign}", stacklevel=2)
            continue
        rows += found[0]
        if return_label_maps:
            label_maps.append(new_img_like(stat_img, found[1], affine=stat_img.affine))
    table = pd.DataFrame(columns=COLUMNS, data=rows) if rows else pd.DataFrame(columns=COLUMNS)
    return (table, label_maps) if return_label_maps else table


def without_small_clusters(arr: NDArray[Any], cluster_threshold: float, copy: bool = True) -> NDArray[Any]:
    """Set clusters of fewer voxels than ``cluster_threshold`` to 0, for each sign; nilearn's step, in one pass."""
    from scipy import ndimage

    if copy:
        arr = arr.copy()
    for sign in np.unique(np.sign(arr)):
        labels, count = ndimage.label(arr * sign > 0, ndimage.generate_binary_structure(3, 1))
        if count:
            small = np.bincount(labels.ravel()) < cluster_threshold
            small[0] = False
            arr[small[labels]] = 0
    return arr


# The steps of nilearn that are replaced while cluster tables are made.
REPLACED: tuple[tuple[str, str, Any], ...] = (
    ("nilearn.reporting.get_clusters_table", "_get_clusters_table_volume", clusters_table),
    ("nilearn.image.image", "_apply_cluster_size_threshold", without_small_clusters),
)


@contextlib.contextmanager
def cluster_tables_by_box() -> Iterator[None]:
    """Let nilearn, and NiMARE through it, threshold clusters and make their tables with the steps of this module."""
    with replaced(REPLACED):
        yield
