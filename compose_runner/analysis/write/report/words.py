"""Numbers, estimators, parameters and groups as a reader knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compose_runner.escaping import visible
from compose_runner.specification.conditions import pair_conditions, to_text
from compose_runner.specification.signatures import FALSE_WORDS, TRUE_WORDS, signatures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compose_runner.specification.signatures import Signatures

ESTIMATORS: Mapping[str, str] = {
    "ALE": "Activation likelihood estimation (ALE)",
    "SCALE": "Specific coactivation likelihood estimation (SCALE)",
    "ALESubtraction": "ALE subtraction analysis",
    "BalancedALESubtraction": "ALE subtraction analysis with groups of equal size",
    "MKDADensity": "Multilevel kernel density analysis (MKDA)",
    "MKDAChi2": "Multilevel kernel density analysis, χ² (MKDA χ²)",
    "KDA": "Kernel density analysis (KDA)",
    "Fishers": "Fisher’s combined probability test",
    "Stouffers": "Stouffer’s combination of z",
    "WeightedLeastSquares": "Weighted least squares",
    "DerSimonianLaird": "Random effects (DerSimonian–Laird)",
    "Hedges": "Random effects (Hedges)",
    "FixedEffectsHedges": "Fixed effects on Hedges’ g",
    "SampleSizeBasedLikelihood": "Random effects from sample sizes (likelihood)",
    "VarianceBasedLikelihood": "Random effects from variances (likelihood)",
    "PermutedOLS": "Ordinary least squares with permutations",
}
_PARAMETERS: Mapping[str, str] = {
    "null_method": "Null distribution",
    "n_iters": "Permutations",
    "fwhm": "Kernel: full width at half maximum (mm)",
    "sample_size": "Kernel: sample size of every study",
    "r": "Kernel: radius of the sphere (mm)",
    "value": "Kernel: value in the sphere",
    "method": "Method",
    "alpha": "Level (alpha)",
    "voxel_thresh": "Voxel-level threshold that forms clusters (p)",
    "vfwe_only": "Voxel level only",
    "prior": "Prior",
    "mask_coverage": "Mask",
    "use_sample_size": "Weights from sample sizes",
    "normalize_contrast_weights": "Weights divided among the contrasts of a study",
    "two_sided": "Two-sided test",
    "tau2": "Variance between studies (τ²)",
    "groupby": "Grouping of dependent images",
    "weight_scheme": "Weights within groups",
    "rho": "Assumed correlation within groups",
    "aggressive_mask": "Only voxels that every map has",
}
# how a program runs, not what it computes
_TECHNICAL = frozenset(
    {"memory", "memory_level", "n_cores", "low_memory", "generate_description", "mask", "random_state", "resample"}
)
_NULL_METHODS = {
    "approximate": "approximate (histogram)",
    "montecarlo": "Monte Carlo",
    "reduced_montecarlo": "reduced Monte Carlo",
}


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with thousands separated and a real minus sign; nothing for none."""
    if value is None:
        return ""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")  # no minus before 0


def count(n: int, one: str, several: str = "") -> str:
    """``1 study``, ``2 studies``."""
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"


def probability(p: float | None) -> str:
    """Write a p value as papers do: ``.012``, ``< .001``."""
    if p is None:
        return ""
    if p < 0.001:
        return "< .001"
    return f"{p:.3f}".removeprefix("0") if p < 1 else "1"


def level(alpha: float) -> str:
    """Write a level of significance: ``.05``."""
    return f"{alpha:g}".removeprefix("0")


def group_names(specification: Mapping[str, Any]) -> tuple[str, str]:
    """Say what the groups of a specification are called.

    Parameters
    ----------
    specification : mapping
        As Compose serves it.

    Returns
    -------
    tuple of (str, str)
        Conditions by their values, truth values by the column; empty where there is none.
    """
    try:
        first, second = pair_conditions(specification.get("conditions"), specification.get("weights"))
    except Exception:  # one that cannot be read is an error of the run, not of the report
        return "", ""
    column = str(specification.get("filter") or "")
    names = [" / ".join(_condition(to_text(one), column) for one in group) for group in (first, second)]
    if not names[1] and specification.get("database_studyset"):
        names[1] = f"the studies of {specification['database_studyset']}"
    return (visible(names[0]), visible(names[1])) if names[1] else ("", "")


def _condition(text: str, column: str) -> str:
    word = text.strip().casefold()
    if column and word in TRUE_WORDS:
        return column
    return f"not {column}" if column and word in FALSE_WORDS else text


def parameters(specification: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str, bool]]]]:
    """List what a specification sets, and NiMARE's defaults for what it leaves out.

    Parameters
    ----------
    specification : mapping
        As Compose serves it.

    Returns
    -------
    list of (str, list of (str, str, str, bool))
        For the estimator and for the corrector: name in words, NiMARE's name, value, whether it is the default.
    """
    table = signatures()
    estimator = specification.get("estimator") or {}
    name = str(estimator.get("type") or "")
    signature = table.estimators.get(name)
    defaults: dict[str, Any] = {}
    if signature is not None:
        defaults = {key: one.default for key, one in signature.parameters.items()}
        kernel = table.kernels.get(signature.kernel or "", {})
        defaults |= {f"kernel__{key}": one.default for key, one in kernel.items()}
    args = estimator.get("args")
    if "montecarlo" not in str((args or {}).get("null_method", defaults.get("null_method"))):
        defaults.pop("n_iters", None)  # of a null distribution that is not drawn
    found = [(ESTIMATORS.get(name, name), _listed(args, defaults))]
    corrector = specification.get("corrector") or {}
    kind = str(corrector.get("type") or "")
    if kind:
        title = {"FWECorrector": "Family-wise error rate (FWE)", "FDRCorrector": "False discovery rate (FDR)"}
        defaults = _corrector_defaults(table, name, kind, corrector.get("args"))
        found.append((f"Correction: {title.get(kind, kind)}", _listed(corrector.get("args"), defaults)))
    else:
        found.append(("Correction: none", []))
    return found


def _corrector_defaults(table: Signatures, estimator: str, kind: str, given: Any) -> dict[str, Any]:
    signature = table.correctors.get(kind)
    if signature is None:
        return {}
    found = dict(signature.parameters)
    method = given.get("method") if isinstance(given, dict) else None
    method = method or found["method"].default
    found |= signature.methods.get(method, {})
    if estimator in table.estimators:
        found |= table.estimators[estimator].corrections.get(signature.family, {}).get(method, {})
    return {key: one.default for key, one in found.items()}


def _listed(given: Any, defaults: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    args = dict(given) if isinstance(given, dict) else {}
    extra = args.pop("**kwargs", None)
    args |= extra if isinstance(extra, dict) else {}
    rows = []
    for key in dict.fromkeys([*args, *defaults]):
        short = key.rpartition("__")[2]
        value = args.get(key, defaults.get(key))
        if short in _TECHNICAL or value is None:
            continue
        rows.append((_PARAMETERS.get(short, short), key, _value(value), key not in args))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return _NULL_METHODS.get(value, value) if isinstance(value, str) else str(value)
