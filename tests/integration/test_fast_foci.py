"""Spheres around foci and foci in clusters are NiMARE's own arrays."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nimare import diagnostics
from nimare.meta import kernel
from nimare.meta.utils import compute_kda_ma

from compose_runner.analysis.compute.patches import foci_lookup
from compose_runner.analysis.compute.patches.foci_lookup import foci_at_once, foci_per_cluster, spheres

COUNT_FOCI = diagnostics._count_foci_per_cluster


@pytest.fixture
def mask() -> nib.Nifti1Image:
    inside = np.zeros((20, 24, 18), dtype=np.uint8)
    inside[1:19, :, 2:17] = 1
    return nib.Nifti1Image(inside, np.diag([2.0, 2.0, 3.0, 1.0]))


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("foci_at_once", [2000, 7])
def test_spheres_are_nimares(
    mask: nib.Nifti1Image, across: bool, foci_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foci_lookup, "FOCI_AT_ONCE", foci_at_once)
    rng = np.random.default_rng(4)
    ijk = rng.integers(-4, 26, size=(200, 3))  # some outside, some at the edge, many that meet
    study = rng.choice(["c", "a", "b", "long"], p=[0.1, 0.1, 0.1, 0.7], size=200)
    ijk[study == "c"] = -9  # one study reaches nothing
    ours = spheres(mask, ijk, 6.0, 1, study, sum_across_studies=across)
    theirs = compute_kda_ma(mask, ijk, 6.0, 1, study, sum_across_studies=across)
    if across:
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
        return
    for made, wanted in zip(ours, theirs, strict=True):
        assert made.dtype == wanted.dtype
    assert ours[0].shape == theirs[0].shape
    assert np.array_equal(ours[0].indptr, theirs[0].indptr)
    assert np.array_equal(ours[0].indices, theirs[0].indices)
    assert np.array_equal(ours[0].data, theirs[0].data)
    assert np.array_equal(ours[1], theirs[1])


def test_overlapping_spheres_are_summed_by_nimare(mask: nib.Nifti1Image) -> None:
    ijk = np.array([[10, 10, 10], [11, 10, 10]])
    ours, _ = spheres(mask, ijk, 6.0, 2, np.array(["a", "a"]), sum_overlap=True)
    theirs, _ = compute_kda_ma(mask, ijk, 6.0, 2, np.array(["a", "a"]), sum_overlap=True)
    assert ours.max() == 4
    assert (ours != theirs).nnz == 0


@pytest.mark.parametrize("ids", [[1, 2, 3], [3, 1], [7], []])
def test_foci_are_counted_as_nimare_counts_them(ids: list[int]) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, size=(12, 11, 10)) * (rng.random((12, 11, 10)) < 0.2)
    for ijk in (rng.uniform(-2, 13, size=(150, 3)), rng.integers(0, 10, size=(40, 3)), np.zeros((0, 3))):
        assert np.array_equal(foci_per_cluster(labels, ids, ijk), COUNT_FOCI(labels, ids, ijk))


def test_nimare_has_its_own_steps_back_when_the_job_is_done() -> None:
    with foci_at_once():
        assert kernel.compute_kda_ma is spheres
        assert diagnostics._count_foci_per_cluster is foci_per_cluster
    assert kernel.compute_kda_ma is compute_kda_ma
    assert diagnostics._count_foci_per_cluster is COUNT_FOCI


def test_a_step_that_nimare_no_longer_has_is_logged_and_the_other_one_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(diagnostics, "_count_foci_per_cluster")
    with foci_at_once():
        assert kernel.compute_kda_ma is spheres
        assert not hasattr(diagnostics, "_count_foci_per_cluster")
    assert kernel.compute_kda_ma is compute_kda_ma
    (record,) = (record for record in caplog.records if record.name.startswith("compose_runner"))
    assert record.levelname == "WARNING"
    assert "nimare.diagnostics._count_foci_per_cluster" in record.getMessage()
