"""Arguments of a specification, converted to NiMARE's types by what a class or method takes.

Arguments that are the runner's business (cores, caches) are accepted everywhere: the number of cores is kept as a
request, the level of caching is dropped, and a folder for a cache is refused like every other file that a
specification names. ``null`` leaves an argument at its default, unless NiMARE gives null a meaning of its own.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from compose_runner.errors import SpecificationError
from compose_runner.findings import Findings, Severity
from compose_runner.specification.domains import DOMAINS
from compose_runner.specification.leftovers import describe_leftover, is_absent
from compose_runner.specification.signatures import Parameter, truncate_repr

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

IGNORED = "specification-argument-ignored"
ROUNDED = "specification-value-rounded"

CORES_ARGUMENTS = frozenset({"n_cores", "n_jobs"})
CACHE_ARGUMENTS = frozenset({"memory", "memory_level", "kernel__memory", "kernel__memory_level"})

_CORES = Parameter("n_cores", types=("number",), domain=DOMAINS["n_cores"])
_CACHE_FOLDER = Parameter("memory", nullable=True)
_CACHE_LEVEL = Parameter("memory_level", types=("number",), domain=DOMAINS["memory_level"])
_MASK = Parameter("mask", nullable=True)


def convert_arguments(
    owner: str, args: Mapping[str, Any], parameters: Mapping[str, Parameter], findings: Findings
) -> tuple[dict[str, Any], int | None]:
    """Convert arguments by their types; set the runner's own business apart, and leave out what is not taken.

    Parameters
    ----------
    owner : str
        What takes the arguments, for texts.
    args : mapping
        The arguments as they stand in a specification.
    parameters : mapping
        What is taken, by name.
    findings : Findings
        Gets arguments that are ignored because they belong to something else, and values that are rounded.

    Returns
    -------
    converted : dict
        The arguments for NiMARE.
    n_cores : int or None
        The cores that are requested; None if none or all are.

    Raises
    ------
    SpecificationError
        An argument does not exist anywhere, is missing, or has a value that it cannot take.
    """
    converted: dict[str, Any] = {}
    n_cores = None
    for name, value in args.items():
        parameter = _own_business(name) or parameters.get(name)
        if parameter is None:
            _leave_out(owner, name, value, parameters, findings)
            continue
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
            if _is_rounded(value, result):
                message = (
                    f"{owner}: {name!r} is {truncate_repr(value)}, but must be a whole number. {result:,} was used."
                )
                findings.add(Severity.WARNING, ROUNDED, message, count=1)
    for parameter in parameters.values():
        if parameter.required and converted.get(parameter.name) is None:
            raise SpecificationError(f"{owner} needs the argument {parameter.name!r}.")
    return converted, n_cores


def _leave_out(owner: str, name: str, value: Any, parameters: Mapping[str, Parameter], findings: Findings) -> None:
    """Ignore an argument that is not taken here; refuse one that is taken nowhere."""
    if is_absent(value):
        return
    if name == _MASK.name:
        try:
            _MASK.convert(value)
        except ValueError as error:
            raise SpecificationError(f"{owner}: {error}.") from error
    message = describe_leftover(owner, name)
    if message is None:
        own = sorted(set(parameters) - CACHE_ARGUMENTS - CORES_ARGUMENTS)
        raise SpecificationError(unknown_name(f"{owner} has no argument", name, own))
    findings.add(Severity.WARNING, IGNORED, message, count=1)


def _is_rounded(value: Any, result: Any) -> bool:
    """Whether a fraction was cut off."""
    if isinstance(value, bool) or isinstance(result, bool) or not isinstance(result, int):
        return False
    try:
        return bool(float(value) != result)
    except (TypeError, ValueError, OverflowError):
        return False


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
    by_folded = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), by_folded, n=1) if len(name) < 100 else []
    meant = f" Did you mean {by_folded[close[0]]!r}?" if close else ""
    existing = f"There {'are' if len(known) != 1 else 'is'}: {', '.join(known) or 'none'}."
    return f"{what} {truncate_repr(name)}{where}.{meant} {existing}"
