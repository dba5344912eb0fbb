r"""Sentences of the methods text about the statistic: estimator, kernel, null distribution.

Every sentence depends on the specification alone, and on what NiMARE 0.22 does, as its source says: how overlapping
spheres are treated, what an iteration draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.specification.consequences import find_kernel, find_null_method
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compose_runner.specification.parsing import Specification

ESTIMATORS: Mapping[str, str] = {
    "ALE": r"An activation likelihood estimation (ALE) meta-analysis "
    r"\citep{turkeltaub2002meta,turkeltaub2012minimizing,eickhoff2012activation}",
    "ALESubtraction": r"An ALE subtraction analysis of two groups of experiments "
    r"\citep{laird2005ale,eickhoff2012activation}",
    "BalancedALESubtraction": r"A balanced ALE subtraction analysis of two groups of experiments "
    r"\citep{Frahm_Monimu_Hoffstaedter}",
    "SCALE": r"A specific coactivation likelihood estimation (SCALE) meta-analysis \citep{langner2014meta}",
    "MKDADensity": r"A multilevel kernel density analysis (MKDA) \citep{wager2007meta}",
    "KDA": r"A kernel density analysis (KDA) \citep{wager2003valence,wager2004neuroimaging}",
    "MKDAChi2": r"A multilevel kernel density analysis (MKDA) of two groups of experiments with chi-squared tests "
    r"\citep{wager2007meta,yarkoni2011large}",
    "Fishers": r"An image-based meta-analysis with Fisher's method \citep{fisher1946statistical}",
    "Stouffers": r"An image-based meta-analysis with Stouffer's method \citep{stouffer1949american}",
    "WeightedLeastSquares": r"An image-based meta-analysis with weighted least squares \citep{brockwell2001comparison}",
    "DerSimonianLaird": r"An image-based random-effects meta-analysis with the estimator of DerSimonian and Laird "
    r"\citep{dersimonian1986meta,kosmidis2017improving}",
    "Hedges": r"An image-based random-effects meta-analysis with the estimator of Hedges \citep{hedges2014statistical}",
    "SampleSizeBasedLikelihood": "An image-based random-effects meta-analysis with a likelihood based on sample sizes",
    "VarianceBasedLikelihood": "An image-based random-effects meta-analysis with a likelihood based on sampling "
    "variances",
    "PermutedOLS": r"An image-based meta-analysis with permuted ordinary least squares "
    r"\citep{freedman1983nonstochastic,winkler2014permutation}",
    "FixedEffectsHedges": r"An image-based meta-analysis of Hedges' g with weighted least squares "
    r"\citep{brockwell2001comparison,bossier2019}",
}
"""What was done, by estimator; the beginning of a sentence."""

_LIKELIHOODS = {"ml": "maximum likelihood", "reml": "restricted maximum likelihood"}
_POOLED: Mapping[str, str] = {
    "WeightedLeastSquares": "Contrast estimates were pooled in each voxel",
    "DerSimonianLaird": "Contrast estimates were weighted by the inverse of their variance, to which the variance "
    "between studies was added; the latter was estimated in each voxel by the method of moments",
    "Hedges": "Contrast estimates were weighted by the inverse of their variance, to which the variance between "
    "studies "
    "was added; the latter was estimated in each voxel",
    "SampleSizeBasedLikelihood": "The variance within studies, inversely proportional to their sample sizes, and the "
    "variance between studies were estimated in each voxel by {method}",
    "VarianceBasedLikelihood": "The variance between studies was estimated in each voxel by {method}, and added to the "
    "sampling variances",
    "FixedEffectsHedges": "Hedges' g of each t map and its variance were computed with the sample sizes and pooled in "
    "each voxel",
}


def describe_statistics(specification: Specification, *, several_images: bool = False) -> Iterator[str]:
    """Say how the statistic and its uncorrected p values were made.

    Parameters
    ----------
    specification : Specification
        What was asked for.
    several_images : bool
        Whether a study contributed more than one image.

    Yields
    ------
    str
        Sentences in LaTeX.
    """
    if specification.image_based:
        yield from _describe_images(specification, several_images)
        return
    yield from _describe_kernel(specification)
    name, args = specification.estimator.name, specification.estimator.args
    if name in ("ALE", "SCALE", "ALESubtraction", "BalancedALESubtraction"):
        yield (
            "The modelled activation maps of all experiments were combined into their union, the ALE value of a voxel."
        )
    if name == "MKDADensity":
        yield from _describe_weights(args.get("weighting"))
    if name == "KDA":
        yield "The statistic of a voxel was the sum over all experiments."
    yield from _describe_null(specification)


def _describe_kernel(specification: Specification) -> Iterator[str]:
    args, kernel = specification.estimator.args, find_kernel(specification.estimator)
    parameters = signatures().kernels[str(kernel)]
    if kernel == "ALEKernel":
        fwhm, size = args.get("kernel__fwhm"), args.get("kernel__sample_size")
        if fwhm is not None:
            yield (
                f"Each focus was modelled by a three-dimensional Gaussian with a full width at half maximum of "
                f"{fwhm:g} mm."
            )
        elif size is not None:
            yield (
                f"Each focus was modelled by a three-dimensional Gaussian whose width followed from a sample size of "
                rf"{size:g} for every experiment \citep{{eickhoff2009coordinate}}."
            )
        else:
            yield (
                "Each focus was modelled by a three-dimensional Gaussian whose width followed from the sample size of "
                r"its experiment \citep{eickhoff2009coordinate}."
            )
        yield "Within an experiment the maximum over its foci was taken in each voxel."
        return
    radius = args.get("kernel__r", parameters["r"].default)
    value = args.get("kernel__value", parameters["value"].default)
    overlap = "were summed" if kernel == "KDAKernel" else "were counted once"
    yield (
        f"Each focus was modelled by a sphere with a radius of {radius:g} mm"
        + (f" and a value of {value:g}" if value != 1 else "")
        + f"; overlapping spheres of one experiment {overlap}."
    )


def _describe_weights(weighting: Any) -> Iterator[str]:
    if weighting == "sample_size":
        yield (
            "The statistic of a voxel was the average over all experiments, weighted by the square root of their "
            "sample "
            r"sizes \citep{wager2009evaluating}."
        )
    else:
        yield "The statistic of a voxel was the average over all experiments, each with the same weight."


def _describe_null(specification: Specification) -> Iterator[str]:
    name, args = specification.estimator.name, specification.estimator.args
    iterations = count_iterations(specification)
    if name == "MKDAChi2":
        prior = args.get("prior", 0.5)
        yield (
            "In each voxel the share of experiments with activation was tested against a uniform spread of activation "
            "(one-way chi-squared test of each group) and compared between the groups (two-way chi-squared test, the "
            f"association); conditional probabilities assume a prior probability of activation of {prior:g}. Values "
            "of z have the sign of the difference, and their p values are two-tailed."
        )
    elif name == "ALESubtraction":
        yield (
            "ALE values of the two groups were subtracted in every voxel of the mask, and not only where a group by "
            f"itself was significant. Experiments were assigned to the groups at random {iterations:,} times, and "
            "two-tailed p values followed from the differences of each voxel."
        )
    elif name == "BalancedALESubtraction":
        target = args.get("target_n")
        drawn = f"{target:g} experiments" if target is not None else "as many experiments as were possible in both"
        null = (
            "experiments were assigned to the groups at random"
            if find_null_method(specification.estimator) == "label-permutation"
            else "foci were placed at random within the mask"
        )
        yield (
            f"Groups of equal size were drawn from both groups, {drawn}, and their differences averaged over "
            f"{_default(specification, 'difference_iterations'):,} draws; {_default(specification, 'n_subsamples'):,} "
            f"draws gave the consistency of each group. In {iterations:,} iterations {null}, and the extreme "
            f"differences "
            f"of each iteration were the null distribution; the family-wise error rate was "
            f"{_default(specification, 'alpha'):g}."
        )
    elif name == "SCALE":
        yield (
            f"In {iterations:,} iterations foci were drawn at random from a given pool of coordinates, so that each "
            f"voxel "
            "had a null distribution of its own; p values were one-tailed."
        )
    else:
        method = find_null_method(specification.estimator)
        if method == "montecarlo":
            null = (
                f"from a Monte Carlo null distribution of {iterations:,} iterations, in each of which the foci were "
                f"placed "
                "at random within the mask and the values of all voxels kept"
            )
        elif method == "reduced_montecarlo":
            null = (
                f"from a reduced Monte Carlo null distribution of {iterations:,} values, for each of which a random "
                f"voxel "
                "of every experiment was drawn"
            )
        else:
            null = r"from the histograms of the modelled activation maps" + (
                r" \citep{eickhoff2012activation}" if name == "ALE" else ""
            )
        yield f"One-tailed p values followed {null}."


def _describe_images(specification: Specification, several_images: bool) -> Iterator[str]:
    name, args = specification.estimator.name, specification.estimator.args
    weighted = bool(args.get("use_sample_size"))
    sided = "two-sided" if args.get("two_sided", True) else "one-sided, for positive effects"
    if name == "Fishers":
        weight = ", weighted by sample size" if weighted else ""
        yield f"The p values of the z maps were combined in each voxel{weight}; the test was {sided}."
    elif name == "Stouffers":
        weight = r", weighted by the square root of the sample size \citep{zaykin2011optimally}" if weighted else ""
        yield f"The z values were combined in each voxel{weight}; the test was {sided}."
    elif name == "PermutedOLS":
        weight = r", weighted by its sample size \citep{hedges2010robust,tipton2015small}" if weighted else ""
        yield f"A one-sample t test of the contrast estimates was computed in each voxel{weight}; the test was {sided}."
    else:
        how = _POOLED[name].format(method=_LIKELIHOODS.get(str(args.get("method", "ml")), "maximum likelihood"))
        tau2 = args.get("tau2", 0)
        if name in ("WeightedLeastSquares", "FixedEffectsHedges"):
            how += (
                ", with a variance between studies that was given for each voxel"
                if isinstance(tau2, list)
                else f", with a variance between studies (tau squared) of {tau2:g}"
            )
        yield f"{how}; the test was two-sided."
        if args.get("small_sample_correction") in ("knapp-hartung", "knapp-hartung-conservative"):
            yield r"Standard errors were corrected for small samples \citep{knapp2003improved}."
    if several_images:
        yield _describe_dependence(name, args)


def _describe_dependence(name: str, args: Mapping[str, Any]) -> str:
    if args.get("groupby") is False:
        return "Several images of one study were treated as independent."
    if name == "Fishers":
        how = r"with Brown's scaling by their correlation \citep{brown1975method,kost2002combining}"
    elif name == "Stouffers":
        how = "with their estimated correlation"
    elif name == "PermutedOLS":
        how = r"by their mean, and their signs were flipped together \citep{winkler2014permutation}"
    else:
        rho = args.get("rho", 0.8)
        how = (
            rf"with robust variances and a working correlation of {rho:g} "
            rf"\citep{{hedges2010robust,pustejovsky2022expanding}}"
        )
    return f"Several images of one study entered {how}."


def count_iterations(specification: Specification) -> int:
    """Count the iterations of an estimator, given or NiMARE's default; 0 where it has none."""
    return int(_default(specification, "n_iters") or 0)


def _default(specification: Specification, argument: str) -> Any:
    """Find an argument of the estimator as it is given, or else NiMARE's default."""
    given = specification.estimator.args.get(argument)
    parameter = signatures().estimators[specification.estimator.name].parameters.get(argument)
    return given if given is not None or parameter is None else parameter.default
