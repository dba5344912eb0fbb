"""Compile every kernel ahead: ``python -m compose_runner.analysis.compute.engine.warm``.

numba compiles a function when it first meets its argument types and keeps the result on disk. The task's image and
``make setup`` run this once, so that no job waits for a compiler. NiMARE's own compiled functions that a job needs are
compiled by the same small analyses.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nimare.correct import FWECorrector
from nimare.nimads import Studyset

from compose_runner.analysis.compute.engine import foci_permutations
from compose_runner.analysis.compute.engine.registry import ESTIMATORS

if TYPE_CHECKING:
    from collections.abc import Collection

# Kernels that fit into 16 and into 32 lanes, every step of each; a study of 60 foci is computed apart from studies of a
# few. A Monte Carlo null takes the step that makes histograms, the correction after it the one that finds maxima.
_NULL: dict[str, Any] = {"null_method": "montecarlo", "n_iters": 2}
CONFIGURATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ALE", {"kernel__fwhm": 8, **_NULL}),
    ("ALE", {"kernel__fwhm": 16, **_NULL}),
    ("ALE", {}),
    ("MKDADensity", {"kernel__r": 10, **_NULL}),
    ("MKDADensity", {"kernel__r": 16, **_NULL}),
    ("MKDADensity", {"kernel__r": 10, "weighting": "sample_size"}),
    ("MKDADensity", {"kernel__r": 10, "weighting": "sample_size", **_NULL}),
    ("KDA", {"kernel__r": 10, **_NULL}),
    ("MKDAChi2", {"kernel__r": 10}),
    ("ALESubtraction", {"kernel__fwhm": 8, "n_iters": 2}),
    ("SCALE", {"kernel__fwhm": 8, "n_iters": 2, "xyz": np.zeros((2, 3))}),
    ("SCALE", {"kernel__fwhm": 16, "n_iters": 2, "xyz": np.zeros((2, 3))}),
)
# The same with counts that do not fit into 16 bits.
LARGE_COUNTS = tuple(each for each in CONFIGURATIONS if each[0] == "MKDADensity" and each[1].keys() >= _NULL.keys())


def _studyset(mask: nib.Nifti1Image, seed: int) -> Studyset:
    rng = np.random.default_rng(seed)
    studies = []
    for index, n_foci in enumerate((3, 60, 1)):
        points = [{"coordinates": xyz, "space": "MNI", "values": []} for xyz in rng.normal(0, 8, (n_foci, 3)).tolist()]
        analysis = {"id": f"{index}-1", "name": "", "metadata": {"sample_sizes": [5 + 20 * index]}, "points": points}
        analysis |= {"images": [], "conditions": [], "weights": []}
        study = {"id": str(index), "name": "", "authors": "", "publication": "", "metadata": {}, "analyses": [analysis]}
        studies.append(study)
    return Studyset({"id": "warm", "name": "", "studies": studies}, target="mni152_2mm", mask=mask)


def warm(estimators: Collection[str] = tuple(ESTIMATORS)) -> None:
    """Run estimators once on a few foci in a small cube.

    Parameters
    ----------
    estimators : collection of str, optional
        Names of estimators; all by default.
    """
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -24
    mask = nib.Nifti1Image(np.ones((24, 24, 24), dtype=np.int16), affine)
    for name, arguments in CONFIGURATIONS:
        if name in estimators:
            _run(name, arguments, mask)
    small_count, foci_permutations.SMALL_COUNT = foci_permutations.SMALL_COUNT, 0
    try:
        for name, arguments in LARGE_COUNTS:
            if name in estimators:
                _run(name, arguments, mask)
    finally:
        foci_permutations.SMALL_COUNT = small_count


def _run(name: str, arguments: dict[str, Any], mask: nib.Nifti1Image) -> None:
    n_groups = 2 if name in ("MKDAChi2", "ALESubtraction") else 1
    estimator = ESTIMATORS[name](mask=mask, random_state=0, **arguments)
    result = estimator.fit(*(_studyset(mask, seed) for seed in range(n_groups)))
    options: dict[str, Any] = {"voxel_thresh": 0.05}
    if name == "ALESubtraction":
        options["vfwe_only"] = True
    elif name == "SCALE":
        del options["voxel_thresh"]
    FWECorrector(method="montecarlo", n_iters=2, n_cores=1, **options).transform(result)


def main() -> None:
    """Compile, and say how long it took."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    warm()
    print(f"kernels compiled in {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
