"""Arguments that a class or method does not take, but another of NiMARE's or an earlier version did.

Compose's form keeps arguments when a person changes the algorithm or the correction, and stores some by default that
NiMARE has dropped. They are ignored with a finding; what no class of NiMARE ever took is a mistake in writing, and
refused.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from compose_runner.specification.signatures import NULL_WORDS, signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# what Compose's form stores although today's NiMARE does not take it: Stouffers had it
FORMER_ARGUMENTS = frozenset({"normalize_contrast_weights"})

_SHOWN = 3


def is_absent(value: object) -> bool:
    """Whether a specification's value says nothing: null, or a text that stands for it."""
    return value is None or (isinstance(value, str) and value.strip().casefold() in NULL_WORDS)


@cache
def takers() -> dict[str, tuple[str, ...]]:
    """Find what takes each argument of NiMARE that a specification can name.

    Returns
    -------
    dict
        By argument, the classes and methods that take it, in the order of the signatures.
    """
    known = signatures()
    found: dict[str, dict[str, None]] = {}

    def add(owner: str, names: Iterable[str]) -> None:
        for name in names:
            found.setdefault(name, {})[owner] = None

    for name, estimator in known.estimators.items():
        add(name, estimator.parameters)
        kernel = known.kernels.get(str(estimator.kernel))
        if kernel is None:
            add(name, (f"{estimator.prefixes[0]}{one}" for one in known.resampling))
        else:
            add(name, ("kernel_transformer", *(f"kernel__{one}" for one in kernel)))
    for name, corrector in known.correctors.items():
        add(name, corrector.parameters)
    for method, names in _arguments_by_method().items():
        family, _, word = method.partition(" ")
        add(f"{family.upper()}Corrector with {word}", names)
    return {name: tuple(owners) for name, owners in found.items()}


def describe_leftover(owner: str, name: str) -> str | None:
    """Say that an argument is left out, and whose it is.

    Parameters
    ----------
    owner : str
        What does not take it.
    name : str
        The argument.

    Returns
    -------
    str or None
        A sentence; None for an argument that nothing of NiMARE takes or took.
    """
    if name in FORMER_ARGUMENTS:
        whose = "earlier versions of NiMARE had it"
    elif name in takers():
        owners = takers()[name]
        shown = ", ".join(owners[:_SHOWN])
        whose = f"it is one of {shown}{' and others' if len(owners) > _SHOWN else ''}"
    else:
        return None
    return f"{owner} has no argument {name!r}; {whose}. It was ignored."


@cache
def _arguments_by_method() -> dict[str, frozenset[str]]:
    """The arguments of each method of correction, of the correctors' own and of every estimator's."""
    known = signatures()
    found: dict[str, set[str]] = {}
    for corrector in known.correctors.values():
        for method, parameters in corrector.methods.items():
            found.setdefault(f"{corrector.family} {method}", set()).update(parameters)
    for estimator in known.estimators.values():
        for family, methods in estimator.corrections.items():
            for method, parameters in methods.items():
                found.setdefault(f"{family} {method}", set()).update(parameters)
    return {method: frozenset(names) for method, names in found.items()}


def decisive_arguments(corrector: str, args: Mapping[str, Any]) -> dict[str, list[str]]:
    """Find arguments that one method of a corrector takes, and neither another method nor the corrector itself.

    Parameters
    ----------
    corrector : str
        The corrector's class.
    args : mapping
        Its arguments.

    Returns
    -------
    dict
        By method, those of its own arguments that are given.
    """
    signature = signatures().correctors[corrector]
    methods = {
        method.partition(" ")[2]: names
        for method, names in _arguments_by_method().items()
        if method.startswith(f"{signature.family} ")
    }
    found: dict[str, list[str]] = {}
    for name, value in args.items():
        owners = [method for method, names in methods.items() if name in names]
        if len(owners) == 1 and name not in signature.parameters and not is_absent(value):
            found.setdefault(owners[0], []).append(name)
    return found
