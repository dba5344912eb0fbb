"""Which notes make which group: conditions paired with weights."""

from __future__ import annotations

from typing import Any

from compose_runner.errors import SpecificationError
from compose_runner.specification.signatures import truncate_repr

FIRST_WEIGHT = 1.0
SECOND_WEIGHT = -1.0

MOST_CONDITIONS = 1000

Condition = str | bool | int | float


def pair_conditions(conditions: Any, weights: Any) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
    """Give each condition to the group that the weight at its place names.

    Parameters
    ----------
    conditions : list, scalar or None
        Values of the annotation's column.
    weights : list, scalar or None
        1 for the first group, -1 for the second, as numbers or texts. Without any weight, the first condition makes
        the first group and a second condition the second.

    Returns
    -------
    first, second : tuple
        The conditions of each group; both are empty if there is no condition.

    Raises
    ------
    SpecificationError
        A condition is no single value, has no weight or a weight other than 1 and -1, stands in both groups, or none
        makes the first group.
    """
    wanted = _as_list("conditions", conditions)
    given = _as_list("weights", weights)
    if not wanted:
        return (), ()
    if max(len(wanted), len(given)) > MOST_CONDITIONS:
        raise SpecificationError(
            f"There are {len(wanted):,} conditions and {len(given):,} weights; a specification may have "
            f"{MOST_CONDITIONS:,} of each."
        )
    if not given and len(wanted) <= 2:
        given = [FIRST_WEIGHT, SECOND_WEIGHT]
    if len(given) < len(wanted):
        raise SpecificationError(
            f"The condition {truncate_repr(wanted[len(given)])} has no weight: there are {len(wanted)} conditions and "
            f"{len(given)} weights. Weight 1 is the first group, weight -1 the second."
        )
    groups: dict[float, list[Condition]] = {FIRST_WEIGHT: [], SECOND_WEIGHT: []}
    for condition, weight in zip(wanted, given, strict=False):
        if not isinstance(condition, str | bool | int | float):
            raise SpecificationError(f"The condition {truncate_repr(condition)} is not a single value.")
        groups[_weight(condition, weight)].append(condition)
    first, second = tuple(groups[FIRST_WEIGHT]), tuple(groups[SECOND_WEIGHT])
    if not first:
        raise SpecificationError(
            f"No condition makes the first group: {_listed(second)} has weight -1, which is the second group."
        )
    both = {to_text(condition) for condition in first} & {to_text(condition) for condition in second}
    if both:
        raise SpecificationError(f"The condition {_listed(sorted(both))} stands in both groups.")
    return first, second


def to_text(value: object) -> str:
    """Write a condition or a note's value as the word that Compose's form shows for it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _as_list(what: str, value: Any) -> list[Any]:
    """Take what stands where a list belongs."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str | bool | int | float):
        return [value]
    raise SpecificationError(f"The specification's {what} must be a list, not {truncate_repr(value)}.")


def _weight(condition: Condition, weight: Any) -> float:
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if number not in (FIRST_WEIGHT, SECOND_WEIGHT):
        raise SpecificationError(
            f"The condition {truncate_repr(condition)} has the weight {truncate_repr(weight)}; it must be 1 "
            "(the first group) or -1 (the second group)."
        )
    return number


def _listed(conditions: Any) -> str:
    return ", ".join(truncate_repr(condition) for condition in conditions)
