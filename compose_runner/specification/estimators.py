"""Which estimator and corrector a specification names, with their arguments converted to NiMARE's types.

What a class or method does not take, but something else of NiMARE's or Compose's form does, is ignored with a finding
(:mod:`compose_runner.specification.leftovers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from compose_runner.errors import SpecificationError
from compose_runner.findings import Findings, Severity
from compose_runner.specification.arguments import convert_arguments, unknown_name
from compose_runner.specification.leftovers import decisive_arguments, is_absent
from compose_runner.specification.signatures import EstimatorSignature, Parameter, signatures, truncate_repr

if TYPE_CHECKING:
    from collections.abc import Collection

MONTE_CARLO = "montecarlo"

EXTRA_ARGUMENTS = "**kwargs"
KERNEL_ARGUMENT = "kernel_transformer"
METHOD_ASSUMED = "specification-method-assumed"


@dataclass(frozen=True, slots=True)
class EstimatorChoice:
    """The estimator that a specification names.

    Parameters
    ----------
    name : str
        NiMARE's class.
    args : dict
        Its arguments, converted to NiMARE's types.
    n_cores : int or None
        The cores that the specification requests; None if it requests none or all.
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    n_cores: int | None = None


@dataclass(frozen=True, slots=True)
class CorrectorChoice:
    """The corrector that a specification names.

    Parameters
    ----------
    name : str
        NiMARE's class.
    method : str
        The method of correction, one that exists for the estimator.
    args : dict
        The other arguments, converted to NiMARE's types.
    n_cores : int or None
        The cores that the specification requests; None if it requests none or all.
    """

    name: str
    method: str
    args: dict[str, Any] = field(default_factory=dict)
    n_cores: int | None = None


def class_and_args(what: str, part: Any) -> tuple[str, dict[str, Any]] | None:
    """Read ``{"type", "args"}``, with what stands under ``**kwargs`` merged into the other arguments.

    Parameters
    ----------
    what : str
        ``estimator`` or ``corrector``, for error texts.
    part : object
        The part of the specification.

    Returns
    -------
    tuple of str and dict, or None
        The class's name and its arguments, not yet converted; None if no class is named.

    Raises
    ------
    SpecificationError
        The part is not an object, or its name or arguments have the wrong form.
    """
    if isinstance(part, str):
        part = {"type": part}
    if part is None or part == {}:
        return None
    if not isinstance(part, Mapping):
        raise SpecificationError(f"The {what} is not an object: {truncate_repr(part)}.")
    name = part.get("type")
    if name is None or name == "":
        return None
    if not isinstance(name, str):
        raise SpecificationError(f"The {what}'s type is not a name: {truncate_repr(name)}.")
    args = _arguments(f"The {what}'s args", part.get("args"))
    extra = _arguments(f"The {what}'s {EXTRA_ARGUMENTS}", args.pop(EXTRA_ARGUMENTS, None))
    # null is no value, and takes the place of none
    given = {name: value for name, value in extra.items() if name not in args or not is_absent(value)}
    return name.strip(), {**args, **given}


def _arguments(what: str, args: Any) -> dict[str, Any]:
    if args is None or args == "":
        return {}
    if not isinstance(args, Mapping):
        raise SpecificationError(f"{what} must be an object: {truncate_repr(args)}.")
    return {str(name): value for name, value in args.items()}


def choose_estimator(
    signature: EstimatorSignature, args: Mapping[str, Any], findings: Findings | None = None
) -> EstimatorChoice:
    """Convert an estimator's arguments, those of its kernel or of the resampling of its images among them.

    Parameters
    ----------
    signature : EstimatorSignature
        The estimator.
    args : mapping
        The arguments as :func:`class_and_args` reads them.
    findings : Findings, optional
        Gets what is ignored or rounded.

    Raises
    ------
    SpecificationError
        An argument does not exist, is missing, or has a value that it cannot take.
    """
    parameters = dict(signature.parameters)
    chosen: dict[str, Any] = {}
    if signature.kernel:
        kernel = _kernel(signature, args.get(KERNEL_ARGUMENT))
        args = {name: value for name, value in args.items() if name != KERNEL_ARGUMENT}
        chosen = {KERNEL_ARGUMENT: kernel} if kernel != signature.kernel else {}
        for parameter in signatures().kernels[kernel].values():
            name = f"kernel__{parameter.name}"
            parameters[name] = replace(parameter, name=name)
    else:
        for parameter in signatures().resampling.values():
            name = f"{signature.prefixes[0]}{parameter.name}"
            parameters[name] = replace(parameter, name=name)
    converted, n_cores = convert_arguments(
        signature.name, args, parameters, Findings() if findings is None else findings
    )
    if converted.get("kernel__fwhm") is not None and converted.get("kernel__sample_size") is not None:
        raise SpecificationError(
            f"{signature.name} takes kernel__fwhm or kernel__sample_size, not both. Without both, each study's own "
            "sample size gives the width."
        )
    return EstimatorChoice(signature.name, {**chosen, **converted}, n_cores)


def _kernel(signature: EstimatorSignature, value: Any) -> str:
    """Find the kernel's class; its name may stand in a longer text such as Python's ``<class '...'>``."""
    if value is None or value == "":
        return str(signature.kernel)
    kernels = sorted(signatures().kernels)
    words = value.strip("<>' ").split(".") if isinstance(value, str) else [""]
    if words[-1] not in kernels:
        raise SpecificationError(unknown_name("NiMARE has no kernel", str(value), kernels))
    return words[-1]


def choose_corrector(
    part: Any, estimator: EstimatorSignature, findings: Findings | None = None
) -> CorrectorChoice | None:
    """Check a corrector against an estimator, as NiMARE itself does when it corrects, and convert its arguments.

    Parameters
    ----------
    part : object
        The specification's ``corrector``.
    estimator : EstimatorSignature
        The estimator whose result is corrected.
    findings : Findings, optional
        Gets a method that was not named, and what is ignored or rounded.

    Returns
    -------
    CorrectorChoice or None
        None if there is nothing to correct with.

    Raises
    ------
    SpecificationError
        The corrector does not exist or has not this method for this estimator, or an argument does not exist or
        has a value that it cannot take.
    """
    findings = Findings() if findings is None else findings
    named = class_and_args("corrector", part)
    if named is None:
        return None
    name, args = named
    known = signatures().correctors
    if name not in known:
        raise SpecificationError(unknown_name("NiMARE has no corrector", name, sorted(known)))
    methods = correction_methods(name, estimator)
    if not methods:
        others = [
            f"{other} with {' or '.join(correction_methods(other, estimator))}" for other in known if other != name
        ]
        raise SpecificationError(
            f"{name} cannot correct the result of {estimator.name}. There is: {', '.join(others)}."
        )
    parameters = dict(known[name].parameters)
    del parameters["method"]
    value = args.pop("method", None)
    if is_absent(value):
        method, reason = method_without_name(name, estimator, args)
        if reason:
            message = f"{name} has no method in the specification; {reason}. It was taken as {method!r}."
            findings.add(Severity.WARNING, METHOD_ASSUMED, message, count=1)
    else:
        method = _named_method(name, value, estimator.name, methods)
    for own in methods[method].values():
        parameters[own.name] = own if own.types else parameters.get(own.name, own)
    owner = f"{name} with the method {method!r} on {estimator.name}"
    converted, n_cores = convert_arguments(owner, args, parameters, findings)
    # NiMARE drops what is null as well
    converted = {name: value for name, value in converted.items() if value is not None}
    if method == MONTE_CARLO:
        _check_monte_carlo(estimator.name, converted)
    return CorrectorChoice(name, method, converted, n_cores)


def correction_methods(corrector: str, estimator: EstimatorSignature) -> dict[str, dict[str, Parameter]]:
    """Find the methods with which a corrector can correct an estimator's result.

    Parameters
    ----------
    corrector : str
        The corrector's class.
    estimator : EstimatorSignature
        The estimator.

    Returns
    -------
    dict
        Each method's arguments by name; an estimator's own method goes before the corrector's of the same name.
    """
    signature = signatures().correctors[corrector]
    own = estimator.corrections.get(signature.family, {})
    return {**signature.methods, **own} if estimator.gives_p_map else own


def method_without_name(
    corrector: str, estimator: EstimatorSignature | None, args: Mapping[str, Any]
) -> tuple[str, str]:
    """Find the method of a corrector that names none; Compose's form stored such.

    Parameters
    ----------
    corrector : str
        The corrector's class.
    estimator : EstimatorSignature or None
        The estimator, if it is known.
    args : mapping
        The corrector's arguments.

    Returns
    -------
    method : str
        The one that alone takes an argument that is given; else NiMARE's default, or the only one there is.
    reason : str
        Why it is not NiMARE's default; empty if it is.
    """
    default = str(signatures().correctors[corrector].parameters["method"].default)
    methods = None if estimator is None else correction_methods(corrector, estimator)
    possible = {
        method: names
        for method, names in decisive_arguments(corrector, args).items()
        if methods is None or method in methods
    }
    if len(possible) == 1:
        method, names = next(iter(possible.items()))
        return method, f"only {method!r} takes {' and '.join(names)}"
    if methods is not None and default not in methods and len(methods) == 1:
        return next(iter(methods)), f"it is the only one for {estimator.name if estimator else 'this estimator'}"
    return default, ""


def _named_method(corrector: str, value: Any, estimator: str, known: Collection[str]) -> str:
    """Find the method, which is free text in Compose's form; NiMARE's names are all in lower case."""
    method = str(value).strip().casefold()
    if method not in known:
        raise SpecificationError(
            unknown_name(f"{corrector} has no method", method, sorted(known), where=f" for {estimator}")
        )
    return method


def _check_monte_carlo(estimator: str, args: dict[str, Any]) -> None:
    if estimator == "SCALE" and args.get("vfwe_only") is False:
        raise SpecificationError("SCALE has no cluster-level correction: vfwe_only must be true.")
