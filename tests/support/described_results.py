"""Results of every estimator with every correction on a small brain, described as a job describes them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nimare.nimads import Studyset

from compose_runner.analysis.compute.estimators import build
from compose_runner.analysis.compute.workflow import run_meta_analysis
from compose_runner.analysis.problems import Problems
from compose_runner.analysis.select.selection import Groups, select
from compose_runner.specification.estimators import correction_methods
from compose_runner.specification.parsing import parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import synthetic
from tests.support.engine_studies import small_mask

if TYPE_CHECKING:
    from pathlib import Path

    from nimare.results import MetaResult

Document = dict[str, Any]

N_ITERS = 60
SEED = 3
# two places for the two groups, and one that both have
PLACES = ((-10.0, 0.0, 0.0), (10.0, 0.0, 0.0))
_ARGS: dict[str, Document] = {
    "ALE": {"kernel__fwhm": 8},
    "ALESubtraction": {"n_iters": N_ITERS, "kernel__fwhm": 8},
    "BalancedALESubtraction": {
        "**kwargs": {"n_iters": "21", "n_subsamples": "2", "difference_iterations": "2", "target_n": "6"}
    },
    "KDA": {"kernel__r": 6},
    "MKDAChi2": {"kernel__r": 6},
    "MKDADensity": {"kernel__r": 6},
    "SCALE": {"xyz": synthetic.foci(400, centres=((0.0, 0.0, 0.0),)), "n_iters": N_ITERS, "kernel__fwhm": 8},
}


@dataclass(frozen=True)
class Case:
    """An estimator with a correction, or with none."""

    estimator: str
    corrector: str | None = None
    method: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join(str(part) for part in (self.estimator, self.method or "none", *dict(self.options)))

    @property
    def image_based(self) -> bool:
        return signatures().estimators[self.estimator].kind == "IBMA"

    @property
    def pairwise(self) -> bool:
        return signatures().estimators[self.estimator].groups == 2

    @property
    def document(self) -> Document:
        """The specification as Compose stores it."""
        args = {"method": self.method, **dict(self.options)} if self.corrector else None
        if self.method == "montecarlo":
            args = {"n_iters": N_ITERS, **(args or {})}
        make = synthetic.two_groups if self.pairwise else synthetic.specification
        kind = "IBMA" if self.image_based else "CBMA"
        return make(
            self.estimator,
            _ARGS.get(self.estimator),
            kind=kind,
            corrector=self.corrector,
            corrector_args=args,
        )


CASES = [
    Case(name, corrector, method)
    for name, signature in signatures().estimators.items()
    for corrector in signatures().correctors
    for method in correction_methods(corrector, signature)
    if method != "predictive"
]
CASES += [Case(name) for name in signatures().estimators]
CASES.append(Case("ALE", "FWECorrector", "montecarlo", (("vfwe_only", True),)))


@functools.cache
def _coordinates() -> tuple[Studyset, Document]:
    document = synthetic.studyset(
        synthetic.study(
            f"s{i}",
            [
                synthetic.analysis(
                    f"s{i}a{j}",
                    [tuple(np.round(np.random.default_rng(97 * i + j).normal(place, 1.5), 1)) for _ in range(2)],
                    metadata={"sample_sizes": [12 + i]},
                )
                for j, place in enumerate(PLACES)
            ],
        )
        for i in range(12)
    )
    annotation = synthetic.annotated(document, lambda _study, analysis: analysis == 0)
    return Studyset(document, target="mni152_2mm", annotations=[annotation], mask=small_mask()), annotation


@functools.cache
def _images(folder: Path) -> tuple[Studyset, Document]:
    document = synthetic.random_studyset(6, analyses_per_study=1)
    for number, study in enumerate(document["studies"]):
        study["analyses"][0]["metadata"]["sample_sizes"] = [300 + 20 * number]  # maps with little noise
    document = synthetic.with_maps(document, folder / "maps")
    annotation = synthetic.annotated(document)
    # a few voxels only: an image-based estimator fits a model in each of them
    affine = np.diag([16.0, 16.0, 16.0, 1.0])
    affine[:3, 3] = (-40.0, -60.0, -20.0)
    mask = folder / "mask.nii.gz"
    nib.Nifti1Image(np.ones((6, 6, 6), dtype=np.int8), affine).to_filename(mask)
    return Studyset(document, target="mni152_2mm", annotations=[annotation], mask=str(mask)), annotation


def find_groups(case: Case, folder: Path) -> Groups:
    """Select the studies of a case; maps are written into a folder, once."""
    studyset, annotation = _images(folder) if case.image_based else _coordinates()
    return select(studyset, annotation, parse_specification(case.document))


@functools.cache
def described(case: Case, folder: Path) -> tuple[MetaResult, Problems]:
    """Run a case; it is not to be changed."""
    groups, problems = find_groups(case, folder), Problems()
    estimator, corrector = build(parse_specification(case.document), n_cores=1, seed=SEED)
    result = run_meta_analysis(groups.first, groups.second, estimator, corrector, problems=problems)
    return result, problems
