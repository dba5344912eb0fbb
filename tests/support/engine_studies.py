"""Small studysets and masks on which NiMARE's own Monte Carlo steps take milliseconds."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import warnings
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nimare.nimads import Studyset

from tests.support import synthetic

if TYPE_CHECKING:
    from collections.abc import Iterator

gc.freeze()  # nilearn collects garbage at every load, which is slow with NiMARE's modules around

SHAPE = (24, 26, 22)
CENTRE = np.array(SHAPE) / 2 - 0.5


@functools.cache
def small_mask() -> nib.Nifti1Image:
    """A brain-like blob of 2 mm voxels that touches the edge of its volume on one side."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    distance = (((grid - CENTRE) / np.array([12.4, 10.0, 8.0])) ** 2).sum(axis=-1)
    mask = (distance < 1).astype(np.int16)
    mask[12:14, 12:14, 10:12] = 0  # a hole, as ventricles are
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -2 * np.round(CENTRE)
    return nib.Nifti1Image(mask, affine)


def small_studyset(foci_per_study: list[int], seed: int = 0, spread: float = 6.0) -> Studyset:
    """One study per number, with so many foci around the centre of the small mask, some of them outside."""
    rng = np.random.default_rng(seed)
    studies = []
    for index, count in enumerate(foci_per_study):
        xyz = np.round(rng.normal(0, spread, size=(count, 3)), 1).tolist()
        analysis = synthetic.analysis(f"s{index}a", xyz, metadata={"sample_sizes": [10 + 3 * (index % 4)]})
        studies.append(synthetic.study(f"s{index}", [analysis]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Studyset(synthetic.studyset(studies, f"small{seed}"), target="mni152_2mm", mask=small_mask())


@contextlib.contextmanager
def quiet_nimare() -> Iterator[None]:
    """Keep NiMARE's records back, and only here: other tests look for them."""
    logger = logging.getLogger("nimare")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def fitted(estimator_class: type, studyset: Any, **arguments: Any) -> Any:
    """Fit an estimator to one studyset, or two, in the small mask, quietly."""
    estimator = estimator_class(mask=small_mask(), **{"random_state": 7, **arguments})
    studysets = studyset if isinstance(studyset, tuple) else (studyset,)
    with quiet_nimare():
        return estimator.fit(*studysets)


def assert_same_result(ours: Any, nimares: Any) -> None:
    """Both results have the same maps and the same null distributions, to the last bit, and the same text."""
    assert ours.maps.keys() == nimares.maps.keys()
    for name, values in nimares.maps.items():
        np.testing.assert_array_equal(ours.maps[name], values, err_msg=name)
    nulls = nimares.estimator.null_distributions_
    assert ours.estimator.null_distributions_.keys() == nulls.keys()
    for name, values in nulls.items():
        np.testing.assert_array_equal(ours.estimator.null_distributions_[name], values, err_msg=name)
    assert ours.description_ == nimares.description_


class MemoryStore:
    """Keeps partial null distributions in memory; fails after a number of saves on request."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.saves, self.fail_after = 0, fail_after

    def load(self, name: str) -> dict[str, Any] | None:
        return self.kept.get(name)

    def save(self, name: str, arrays: Any) -> None:
        self.kept[name] = {key: np.array(value) for key, value in arrays.items()}
        self.saves += 1
        if self.fail_after is not None and self.saves >= self.fail_after:
            raise InterruptedError("the task was stopped")
