"""What a specification that can run asks for in vain, or otherwise than it may seem: kernels, seeds, idle arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.errors import SpecificationError
from compose_runner.findings import Findings, Severity
from compose_runner.specification.estimators import (
    KERNEL_ARGUMENT,
    MONTE_CARLO,
    CorrectorChoice,
    EstimatorChoice,
)
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_EFFECT = "specification-argument-without-effect"
OTHER_KERNEL = "specification-kernel"
SEED = "specification-seed"

SEED_ARGUMENT = "random_state"
APPROXIMATE = "approximate"

_NO_PROBABILITY = "its spheres are added up where they overlap, and ALE values are made of probabilities"
# kernels with which NiMARE 0.22 cannot compute an estimator, or computes nothing but z = 0
_IMPOSSIBLE_KERNELS = {
    ("ALE", "KDAKernel"): _NO_PROBABILITY,
    ("ALESubtraction", "KDAKernel"): _NO_PROBABILITY,
    ("SCALE", "KDAKernel"): _NO_PROBABILITY,
    ("MKDAChi2", "KDAKernel"): "NiMARE cannot count studies with spheres that overlap",
    ("MKDADensity", "ALEKernel"): "a density of studies needs spheres, and no voxel would be significant",
    ("BalancedALESubtraction", "KDAKernel"): "it needs the sample sizes with which its own kernel works",
    ("BalancedALESubtraction", "MKDAKernel"): "it needs the sample sizes with which its own kernel works",
}
# estimators whose p values assume that a sphere has the value 1
_BINARY = frozenset({"MKDADensity", "MKDAChi2"})
# what Compose's form stores where nothing was chosen, which is nothing to tell of
_FORM_ITERATIONS = frozenset({1000, 5000})
_FORM_THRESHOLD = 0.001


def find_kernel(estimator: EstimatorChoice) -> str | None:
    """Name the class of an estimator's kernel; None for an estimator of images."""
    own = signatures().estimators[estimator.name].kernel
    return None if own is None else str(estimator.args.get(KERNEL_ARGUMENT) or own)


def find_null_method(estimator: EstimatorChoice) -> str | None:
    """Name the method by which an estimator gets its null distribution; None where there is no choice."""
    parameter = signatures().estimators[estimator.name].parameters.get("null_method")
    return None if parameter is None else str(estimator.args.get("null_method") or parameter.default)


def draws_randomly(estimator: EstimatorChoice, corrector: CorrectorChoice | None) -> bool:
    """Whether any number of the result depends on random draws, and so on the seed."""
    if corrector is not None and corrector.method == MONTE_CARLO:
        return True
    return (
        "n_iters" in signatures().estimators[estimator.name].parameters and find_null_method(estimator) != APPROXIMATE
    )


def refuse_impossible(estimator: EstimatorChoice) -> None:
    """Refuse a pair of estimator and kernel that NiMARE cannot compute.

    Raises
    ------
    SpecificationError
        With the reason and the kernel that works.
    """
    kernel = find_kernel(estimator)
    reason = _IMPOSSIBLE_KERNELS.get((estimator.name, str(kernel)))
    if reason is not None:
        own = signatures().estimators[estimator.name].kernel
        raise SpecificationError(
            f"{estimator.name} does not work with the {KERNEL_ARGUMENT} {kernel}: {reason}. Use {own}, its own."
        )


def find_consequences(estimator: EstimatorChoice, corrector: CorrectorChoice | None, findings: Findings) -> None:
    """Find what a person should know of a specification that can run.

    Parameters
    ----------
    estimator : EstimatorChoice
        What is computed.
    corrector : CorrectorChoice or None
        How it is corrected.
    findings : Findings
        Gets them.
    """
    own, kernel = signatures().estimators[estimator.name].kernel, find_kernel(estimator)
    if kernel != own:
        findings.add(
            Severity.WARNING,
            OTHER_KERNEL,
            f"{estimator.name} runs with {kernel} instead of {own}, its own kernel. Its p values are not validated for "
            "that.",
            count=1,
        )
    value = estimator.args.get("kernel__value", 1)
    if estimator.name in _BINARY and value != 1:
        findings.add(
            Severity.WARNING,
            OTHER_KERNEL,
            f"{estimator.name} counts studies, for which kernel__value is 1. With {value!r} its p values are not "
            "those of the method.",
            count=1,
        )
    seed = estimator.args.get(SEED_ARGUMENT)
    if seed is not None and draws_randomly(estimator, corrector):
        message = (
            f"The specification's {SEED_ARGUMENT}, {seed}, is the seed of all random draws; it goes before --seed."
        )
        findings.add(Severity.NOTE, SEED, message, count=1)
    for message in _list_idle(estimator, corrector):
        findings.add(Severity.NOTE, WITHOUT_EFFECT, f"{message} It changes nothing.", count=1)


def _list_idle(estimator: EstimatorChoice, corrector: CorrectorChoice | None) -> Iterator[str]:
    """Say for each argument that is given and changes nothing why it does not; defaults of the form are passed over."""
    args: dict[str, Any] = estimator.args
    name = estimator.name
    if find_null_method(estimator) == APPROXIMATE and _is_chosen(args.get("n_iters"), _FORM_ITERATIONS):
        yield f"{name} is given n_iters {args['n_iters']:,}, but its approximate null distribution draws nothing."
    if args.get(SEED_ARGUMENT) is not None and not draws_randomly(estimator, corrector):
        yield f"{name} is given {SEED_ARGUMENT} {args[SEED_ARGUMENT]}, but nothing of this analysis is drawn at random."
    if name == "KDA" and args.get("kernel__value", 1) != 1:
        yield f"{name} is given kernel__value {args['kernel__value']!r}, a factor that its p values do not depend on."
    if name == "ALESubtraction" and args.get("vfwe_only", True) and _is_threshold_chosen(args):
        yield f"{name} is given voxel_thresh {args['voxel_thresh']!r}, which forms clusters only without vfwe_only."
    if name == "MKDAChi2" and "fwe_null_method" in args and not (corrector and corrector.method == MONTE_CARLO):
        yield f"{name} is given fwe_null_method, which only the Monte Carlo FWE correction reads."
    if args.get("mask_coverage") == "gm":
        yield f"{name} is given mask_coverage 'gm', but NiMARE's mask of the brain does not tell grey matter apart."
    if args.get("generate_description") is False:
        yield f"{name} is given generate_description false, but a result always has its methods text."
    if corrector is None:
        return
    owner = f"{corrector.name} with the method {corrector.method!r}"
    if corrector.method != MONTE_CARLO and _is_chosen(corrector.args.get("n_iters"), _FORM_ITERATIONS):
        yield f"{owner} is given n_iters {corrector.args['n_iters']:,}, but draws nothing."
    if corrector.args.get("vfwe_only") and find_null_method(estimator) == MONTE_CARLO and "n_iters" in corrector.args:
        wanted = corrector.args["n_iters"]
        if wanted != args.get("n_iters", wanted):
            yield f"{owner} is given n_iters {wanted:,}, but vfwe_only takes the iterations of {name}."
    if name == "SCALE" and corrector.args.get("voxel_thresh") is not None:
        yield f"{owner} is given voxel_thresh, but SCALE has no cluster-level correction."
    elif corrector.args.get("vfwe_only") and _is_threshold_chosen(corrector.args):
        yield f"{owner} is given voxel_thresh {corrector.args['voxel_thresh']!r}, but vfwe_only forms no clusters."


def _is_chosen(value: object, defaults: frozenset[int]) -> bool:
    return isinstance(value, int) and value not in defaults


def _is_threshold_chosen(args: dict[str, Any]) -> bool:
    return args.get("voxel_thresh") not in (None, _FORM_THRESHOLD)
