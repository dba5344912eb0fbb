"""Which estimator and corrector a specification names, with their arguments converted to NiMARE's types.

Arguments that are the runner's business (cores, caches) are accepted everywhere: the number of cores is kept as a
request, the level of caching is dropped, and a folder for a cache is refused like every other file that a
specification names. ``null`` leaves an argument at its default, unless NiMARE gives null a meaning of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from compose_runner.errors import SpecificationError
from compose_runner.specification.domains import DOMAINS
from compose_runner.specification.signatures import EstimatorSignature, Parameter, signatures, truncate_repr

if TYPE_CHECKING:
    from collections.abc import Collection

MONTE_CARLO = "montecarlo"

EXTRA_ARGUMENTS = "**kwargs"
KERNEL_ARGUMENT = "kernel_transformer"
CORES_ARGUMENTS = frozenset({"n_cores", "n_jobs"})
CACHE_ARGUMENTS = frozenset({"memory", "memory_level", "kernel__memory", "kernel__memory_level"})

_CORES = Parameter("n_cores", types=("number",), domain=DOMAINS["n_cores"])
_CACHE_FOLDER = Parameter("memory", nullable=True)
_CACHE_LEVEL = Parameter("memory_level", types=("number",), domain=DOMAINS["memory_level"])


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
    return name.strip(), {**args, **extra}


def _arguments(what: str, args: Any) -> dict[str, Any]:
    if args is None or args == "":
        return {}
    if not isinstance(args, Mapping):
        raise SpecificationError(f"{what} must be an object: {truncate_repr(args)}.")
    return {str(name): value for name, value in args.items()}


def choose_estimator(signature: EstimatorSignature, args: Mapping[str, Any]) -> EstimatorChoice:
    """Convert an estimator's arguments, those of its kernel or of the resampling of its images among them.

    Parameters
    ----------
    signature : EstimatorSignature
        The estimator.
    args : mapping
        The arguments as :func:`class_and_args` reads them.

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
    converted, n_cores = _convert(signature.name, args, parameters)
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


def choose_corrector(part: Any, estimator: EstimatorSignature) -> CorrectorChoice | None:
    """Check a corrector against an estimator, as NiMARE itself does when it corrects, and convert its arguments.

    Parameters
    ----------
    part : object
        The specification's ``corrector``.
    estimator : EstimatorSignature
        The estimator whose result is corrected.

    Returns
    -------
    CorrectorChoice or None
        None if there is nothing to correct with.

    Raises
    ------
    SpecificationError
        The corrector does not exist, has not this method for this estimator, or the method does not take an argument.
    """
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
    method = _method(name, args.pop("method", None), parameters.pop("method"), estimator.name, methods)
    for own in methods[method].values():
        parameters[own.name] = own if own.types else parameters.get(own.name, own)
    converted, n_cores = _convert(f"{name} with the method {method!r} on {estimator.name}", args, parameters)
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


def _method(corrector: str, value: Any, parameter: Parameter, estimator: str, known: Collection[str]) -> str:
    """Find the method, which is free text in Compose's form; NiMARE's names are all in lower case."""
    method = str(parameter.default if value is None or value == "" else value).strip().casefold()
    if method not in known:
        raise SpecificationError(
            unknown_name(f"{corrector} has no method", method, sorted(known), where=f" for {estimator}")
        )
    return method


def _check_monte_carlo(estimator: str, args: dict[str, Any]) -> None:
    if estimator == "SCALE" and args.get("vfwe_only") is False:
        raise SpecificationError("SCALE has no cluster-level correction: vfwe_only must be true.")


def _convert(
    owner: str, args: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], int | None]:
    """Convert arguments by their types; set the runner's own business apart."""
    converted: dict[str, Any] = {}
    n_cores = None
    for name, value in args.items():
        parameter = _own_business(name) or parameters.get(name)
        if parameter is None:
            own = sorted(set(parameters) - CACHE_ARGUMENTS - CORES_ARGUMENTS)
            raise SpecificationError(unknown_name(f"{owner} has no argument", name, own))
        try:
            result = parameter.convert(value)
        except (ValueError, OverflowError) as error:
            raise SpecificationError(f"{owner}: {error}.") from error
        if name in CORES_ARGUMENTS:
            n_cores = result if isinstance(result, int) and result >= 1 else None
        elif name in CACHE_ARGUMENTS:
            continue
        elif result is not None or parameter.nullable:
            converted[name] = result
    for parameter in parameters.values():
        if parameter.required and converted.get(parameter.name) is None:
            raise SpecificationError(f"{owner} needs the argument {parameter.name!r}.")
    return converted, n_cores


def _own_business(name: str) -> Parameter | None:
    """How an argument reads that is not NiMARE's but the runner's; None for one that is NiMARE's."""
    own = _CORES if name in CORES_ARGUMENTS else _CACHE_FOLDER if name.endswith("memory") else _CACHE_LEVEL
    return replace(own, name=name) if name in CORES_ARGUMENTS | CACHE_ARGUMENTS else None


def unknown_name(what: str, name: str, known: Collection[str], where: str = "") -> str:
    """Say that a name does not exist, what may have been meant, and what exists.

    Parameters
    ----------
    what : str
        The beginning of the sentence, such as ``"NiMARE has no corrector"``.
    name : str
        The name at fault.
    known : collection of str
        The names that exist.
    where : str
        What follows the name in the sentence.
    """
    close = get_close_matches(name, known, n=1) if len(name) < 100 else []
    meant = f" Did you mean {close[0]!r}?" if close else ""
    existing = f"There {'are' if len(known) != 1 else 'is'}: {', '.join(known) or 'none'}."
    return f"{what} {truncate_repr(name)}{where}.{meant} {existing}"
