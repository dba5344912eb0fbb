"""NiMARE's estimator and corrector, built from a specification."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from compose_runner.errors import SpecificationError
from compose_runner.specification.estimators import KERNEL_ARGUMENT
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from compose_runner.specification.estimators import CorrectorChoice
    from compose_runner.specification.parsing import Specification

EstimatorClass = Mapping[str, type] | Callable[[str, type], type]

SEED_ARGUMENT = "random_state"
ARRAY_ARGUMENTS = ("xyz", "tau2")
_CORES = ("n_cores", "n_jobs")
_MODULES = {"CBMA": "nimare.meta.cbma", "IBMA": "nimare.meta.ibma"}


def build(
    specification: Specification,
    *,
    n_cores: int | None = None,
    seed: int | None = None,
    estimator_class: EstimatorClass | None = None,
) -> tuple[Any, Any | None]:
    """Make the instances that compute and correct.

    Parameters
    ----------
    specification : Specification
        What to build.
    n_cores : int, optional
        The most cores to use; all of the machine's by default. Neither it nor the specification's own number exceeds
        what the machine has.
    seed : int, optional
        The seed of every random draw where the specification gives none; without it every run draws anew.
    estimator_class : mapping or callable, optional
        Subclasses to use instead of NiMARE's estimators: by name, or from name and NiMARE's class. What a mapping
        does not have stays NiMARE's.

    Returns
    -------
    estimator : nimare.estimator.Estimator
    corrector : nimare.correct.Corrector or None

    Raises
    ------
    SpecificationError
        NiMARE refuses an argument's value, or something that it needs is not installed.
    """
    refuse_missing_packages(specification)
    choice = specification.estimator
    nimare_class = getattr(import_module(_MODULES[specification.kind]), choice.name)
    args = dict(choice.args)
    if KERNEL_ARGUMENT in args:
        args[KERNEL_ARGUMENT] = getattr(import_module("nimare.meta.kernel"), args[KERNEL_ARGUMENT])
    for name in ARRAY_ARGUMENTS:
        if isinstance(args.get(name), list):
            args[name] = _array(choice.name, name, args[name])
    parameters = signatures().estimators[choice.name].parameters
    if SEED_ARGUMENT in parameters and args.get(SEED_ARGUMENT) is None:
        args[SEED_ARGUMENT] = seed
    cores = usable_cores(n_cores, choice.n_cores)
    args.update({name: cores for name in _CORES if name in parameters})
    estimator = _instance(_replacement(choice.name, nimare_class, estimator_class), choice.name, args)
    corrector = None if specification.corrector is None else _corrector(specification.corrector, n_cores)
    return estimator, corrector


def usable_cores(*requested: int | None) -> int:
    """Find how many cores to use: the least of all requested numbers and of what this process may use of the machine.

    Parameters
    ----------
    *requested : int or None
        Upper bounds; None and numbers below 1 mean no bound.
    """
    # os.process_cpu_count came with Python 3.13; where there is no affinity (macOS), the machine's count serves
    affinity = getattr(os, "sched_getaffinity", None)
    machine = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min([machine, *(number for number in requested if number is not None and number >= 1)])


def _replacement(name: str, nimare_class: type, estimator_class: EstimatorClass | None) -> type:
    if estimator_class is None:
        return nimare_class
    if isinstance(estimator_class, Mapping):
        return estimator_class.get(name, nimare_class)
    return estimator_class(name, nimare_class)


def refuse_missing_packages(specification: Specification) -> None:
    """Refuse a specification that needs a package which is not installed; known without any document.

    Raises
    ------
    SpecificationError
        With the package.
    """
    choice = specification.corrector
    if choice is not None and choice.method == "predictive" and find_spec("xgboost") is None:
        raise SpecificationError(
            f"{choice.name} with the method 'predictive' needs the package xgboost, which is not installed here. "
            "NiMARE's extra 'predictive' installs it."
        )


def _corrector(choice: CorrectorChoice, n_cores: int | None) -> Any:
    args: dict[str, Any] = {"method": choice.method, **choice.args}
    if "n_cores" in signatures().correctors[choice.name].parameters:
        args["n_cores"] = usable_cores(n_cores, choice.n_cores)
    return _instance(getattr(import_module("nimare.correct"), choice.name), choice.name, args)


def _instance(cls: Any, name: str, args: dict[str, Any]) -> Any:
    try:
        return cls(**args)
    except (TypeError, ValueError, ArithmeticError, LookupError, OSError) as error:
        raise SpecificationError(f"NiMARE refuses the arguments of {name}: {error}") from error


def _array(owner: str, name: str, values: list[Any]) -> Any:
    numpy = import_module("numpy")
    try:
        return numpy.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise SpecificationError(
            f"{owner}: {name!r} must be a list of numbers or of equally long lists of them."
        ) from error
