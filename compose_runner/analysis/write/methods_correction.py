r"""Sentences of the methods text about the correction for multiple comparisons.

They depend on the specification alone, and on what NiMARE 0.22 does, as its source says: what an iteration draws, how
clusters are connected, which of a Monte Carlo correction's thresholds are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.methods_statistics import count_iterations
from compose_runner.specification.consequences import find_null_method
from compose_runner.specification.estimators import MONTE_CARLO, correction_methods
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.specification.parsing import Specification

# uncorrected p that forms clusters where it cannot be chosen
_CLUSTER_FORMING = 0.001


def describe_correction(specification: Specification) -> Iterator[str]:
    """Say how the result was corrected for multiple comparisons.

    Parameters
    ----------
    specification : Specification
        What was asked for.

    Yields
    ------
    str
        Sentences in LaTeX.
    """
    corrector = specification.corrector
    if corrector is None:
        yield "The result was not corrected for multiple comparisons; clusters are descriptive."
        return
    alpha = f"{specification.alpha:g}"
    if corrector.method == "indep":
        yield (
            f"The false discovery rate was controlled at $q < {alpha}$ over all voxels of the mask with the procedure "
            r"of Benjamini and Hochberg \citep{benjamini1995controlling}."
        )
    elif corrector.method == "negcorr":
        yield (
            f"The false discovery rate was controlled at $q < {alpha}$ over all voxels of the mask with the procedure "
            r"of Benjamini and Yekutieli, which holds under any dependence \citep{benjamini2001control}."
        )
    elif corrector.method == "bonferroni":
        yield (
            f"The family-wise error rate was controlled at $p < {alpha}$ with Bonferroni's correction for the number "
            r"of voxels in the mask \citep{bonferroni1936teoria,shaffer1995multiple}."
        )
    elif corrector.method == "predictive":
        yield (
            f"The family-wise error rate was controlled at $p < {alpha}$ with thresholds of ALE values and cluster "
            "sizes that models, trained on simulations, predicted from the numbers of experiments, participants and "
            rf"foci (clusters were formed at an uncorrected voxel-level $p < {_CLUSTER_FORMING:g}$) "
            rf"\citep{{10.1162/imag_a_00423}}."
        )
    elif corrector.method == MONTE_CARLO:
        yield from _describe_monte_carlo(specification)


def _describe_monte_carlo(specification: Specification) -> Iterator[str]:
    corrector = specification.corrector
    if corrector is None:
        return
    name = specification.estimator.name
    known = correction_methods(corrector.name, signatures().estimators[name])[MONTE_CARLO]

    def value(argument: str) -> Any:
        given = corrector.args.get(argument)
        return given if given is not None else known[argument].default if argument in known else None

    iterations = value("n_iters") or count_iterations(specification)
    if value("vfwe_only") and find_null_method(specification.estimator) == MONTE_CARLO:
        iterations = count_iterations(specification)  # the largest values of that null distribution are used
    clusters = "voxel_thresh" in known and not value("vfwe_only") and name != "SCALE"
    draws = {
        "SCALE": "foci were drawn at random from the given pool of coordinates",
        "ALESubtraction": "experiments were assigned to the groups at random",
        "PermutedOLS": "the signs of the images of each study were flipped at random",
        "MKDAChi2": "experiments were assigned to the groups at random"
        if specification.estimator.args.get("fwe_null_method", "label-permutation") == "label-permutation"
        else "foci were placed at random within the mask",
    }.get(name, "foci were placed at random within the mask")
    kept = "the largest statistic of a voxel" + (
        " and the largest size and mass of a cluster were" if clusters else " was"
    )
    yield (
        f"The family-wise error rate was controlled at $p < {specification.alpha:g}$ by {iterations:,} Monte Carlo "
        rf"iterations, in each of which {draws} and {kept} kept"
        + (r" \citep{eickhoff2016behavior}." if name == "ALE" else ".")
    )
    if clusters:
        yield (
            f"Clusters were formed of voxels that share a face, at an uncorrected voxel-level threshold of "
            rf"$p < {value('voxel_thresh'):g}$; their mass is the sum of the statistic above the threshold "
            r"\citep{bullmore1999global,zhang2009cluster}."
        )
    else:
        yield "The correction was at the level of voxels only."
