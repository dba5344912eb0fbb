"""Cluster tables made by boxes are nilearn's own tables."""

from __future__ import annotations

import warnings
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.image import threshold_img
from nilearn.reporting import get_clusters_table
from nilearn.reporting.get_clusters_table import _pare_subpeaks
from scipy import ndimage

from compose_runner.analysis.compute.patches.tables import cluster_tables_by_box, far_apart

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -50], [0, 0, 3.0, -30], [0, 0, 0, 1]])


def volume(kind: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 28, 21)), 1.6) * 12
    rounded = np.round(smooth)  # plateaus and peaks of two equal neighbours
    binary = (np.abs(smooth) > 1.2).astype(float)
    ring = np.zeros((24, 28, 21))
    ring[4:19, 4:19, 10] = 1
    ring[6:17, 6:17, 10] = 0
    ring[0, 0, 0] = 3  # at the volume's corner
    kinds: dict[str, np.ndarray[Any, Any]] = {"smooth": smooth, "rounded": rounded, "binary": binary, "ring": ring}
    return kinds[kind]


@pytest.mark.parametrize("kind", ["smooth", "rounded", "binary", "ring"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"stat_threshold": 0.9},
        {"stat_threshold": 0.9, "two_sided": True},
        {"stat_threshold": 0.4, "two_sided": True, "cluster_threshold": 10},
        {"stat_threshold": -0.7},
        {"stat_threshold": 0.5, "min_distance": 2.0},
        {"stat_threshold": 1e6, "two_sided": True},
    ],
    ids=["positive", "two-sided", "large clusters", "below", "near peaks", "no cluster"],
)
def test_tables_and_label_maps_are_nilearns_own(kind: str, dtype: type, options: dict[str, Any]) -> None:
    image = nib.Nifti1Image(volume(kind).astype(dtype), AFFINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table, labels = get_clusters_table(image, return_label_maps=True, **options)
        with cluster_tables_by_box():
            ours, our_labels = get_clusters_table(image, return_label_maps=True, **options)
    pd.testing.assert_frame_equal(ours, table, check_exact=True)
    assert len(our_labels) == len(labels)
    for mine, theirs in zip(our_labels, labels, strict=True):
        np.testing.assert_array_equal(mine.get_fdata(), theirs.get_fdata())
        assert mine.get_data_dtype() == theirs.get_data_dtype()


@pytest.mark.parametrize("kind", ["smooth", "rounded", "binary", "ring"])
@pytest.mark.parametrize("cluster_threshold", [5, 300])
def test_small_clusters_are_removed_as_nilearn_does(kind: str, cluster_threshold: int) -> None:
    image = nib.Nifti1Image(volume(kind), AFFINE)
    options = {"threshold": 0.6, "cluster_threshold": cluster_threshold, "copy_header": True}
    theirs = threshold_img(image, **options)
    with cluster_tables_by_box():
        ours = threshold_img(image, **options)
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())


def test_nilearns_own_step_is_back_afterwards() -> None:
    import importlib

    module = importlib.import_module("nilearn.reporting.get_clusters_table")
    before = module._get_clusters_table_volume
    with cluster_tables_by_box():
        assert module._get_clusters_table_volume is not before
    assert module._get_clusters_table_volume is before


@pytest.mark.parametrize("scale", [2.0, 1.1])
def test_peaks_are_kept_as_nilearn_keeps_them(scale: float) -> None:
    rng = np.random.default_rng(6)
    ijk = rng.integers(0, 9, size=(120, 3))
    xyz = ijk * scale  # many pairs are exactly as far apart as the limit
    kept, _ = _pare_subpeaks(xyz, ijk, np.arange(120), 4 * scale)
    assert np.array_equal(ijk[far_apart(xyz, 4 * scale)], kept)
    assert far_apart(np.zeros((0, 3)), 8.0).shape == (0,)
