"""Foci as NiMARE needs them: three finite numbers each, in a space whose label it knows.

Spreadsheets and forms leave nulls, texts and labels in other spellings. What is beyond doubt is read; a focus without
three finite numbers is left out and counted, since NiMARE would count it as one that it used, and draw one more at
random in its permutations. Good foci stay as they are, to the last bit.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from operator import is_
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.wording import as_written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# in millimetres: a kilometre, beyond every error of units, and within the whole numbers by which voxels are counted
FARTHEST_MM = 1_000_000

MNI, TALAIRACH = "MNI", "TAL"
_KNOWN_TO_NIMARE = frozenset({"MNI", "TAL", "Talairach"})
_TALAIRACH = frozenset({"tal", "talairach", "talairachtournoux", "talairachandtournoux", "talairachspace"})
_MNI = ("mni", "icbm")

ABSENT = "empty"
NOT_THREE = "not three numbers"
NOT_FINITE = "not finite"
TRUTH_VALUE = "true or false"
NO_NUMBER = "a text that is no number"
TOO_FAR = "farther than a kilometre"

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-"})
_AXES = ("x", "y", "z")
_NUMBERS = (float, int)  # and not bool, which is an int
_BELOW_ZERO = frozenset({"deactivation", "deactivations", "decrease", "negative", "deactivated"})


@dataclass(slots=True)
class FociAccount:
    """What was found among the foci of an analysis, or of several.

    Parameters
    ----------
    listed : int
        How many there are in the document.
    left_out : Counter
        Those that are no three finite numbers, by the reason.
    spaces : Counter
        The others by the label of their space, as it stands in the document; empty where there is none.
    converted, taken_as_mni : int
        Those that are converted from Talairach space; those whose label says neither space.
    read : int
        Those whose numbers stand in texts, or beside ``coordinates`` as ``x``, ``y``, ``z``.
    negative : int
        Those that are called deactivations, or whose statistic is negative.
    example : str
        A value that could not be read, as it stands in the document.
    """

    listed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    spaces: Counter[str] = field(default_factory=Counter)
    converted: int = 0
    taken_as_mni: int = 0
    read: int = 0
    negative: int = 0
    example: str = ""

    @property
    def without_coordinates(self) -> int:
        """How many are left out."""
        return sum(self.left_out.values())

    @property
    def usable(self) -> int:
        """How many have coordinates."""
        return self.listed - self.without_coordinates

    def add(self, other: FociAccount) -> None:
        """Add another account to this one."""
        self.listed += other.listed
        # most have one label and nothing that is left out, and there can be 20,000
        if other.left_out:
            self.left_out.update(other.left_out)
        for label, number in other.spaces.items():
            self.spaces[label] += number
        self.converted += other.converted
        self.taken_as_mni += other.taken_as_mni
        self.read += other.read
        self.negative += other.negative
        self.example = self.example or other.example


@dataclass(frozen=True, slots=True)
class ReadFoci:
    """A studyset whose foci NiMARE can compute with.

    Parameters
    ----------
    studyset : dict
        A copy; what stays the same is shared with the original.
    accounts : dict
        What was found in each analysis, by its indices in the studyset (study, analysis).
    """

    studyset: dict[str, Any] = field(repr=False)
    accounts: dict[tuple[int, int], FociAccount] = field(repr=False)


def read_foci(studyset: Mapping[str, Any]) -> ReadFoci:
    """Copy a studyset with the foci that have coordinates, as numbers, in spaces that NiMARE knows.

    Parameters
    ----------
    studyset : mapping
        A NIMADS studyset that :func:`compose_runner.analysis.fetch.validation.check_studyset` has seen; it is not
        changed.
    """
    accounts: dict[tuple[int, int], FociAccount] = {}
    studies = []
    for s, study in enumerate(studyset.get("studies") or []):
        changed: dict[int, list[Any]] = {}
        for a, analysis in enumerate(study.get("analyses") or []):
            points = analysis.get("points") or []
            accounts[s, a] = account = FociAccount(listed=len(points))
            read = [usable for point in points if (usable := _read_point(point, account)) is not None]
            if len(read) != len(points) or not all(map(is_, read, points)):
                changed[a] = read
        if changed:
            analyses = [
                {**analysis, "points": changed[a]} if a in changed else analysis
                for a, analysis in enumerate(study["analyses"])
            ]
            studies.append({**study, "analyses": analyses})
        else:
            studies.append(study)
    return ReadFoci({**studyset, "studies": studies}, accounts)


def _read_point(point: dict[str, Any], account: FociAccount) -> dict[str, Any] | None:
    """Give a focus that NiMARE can compute with, or None; and enter it into the account."""
    coordinates = point.get("coordinates")
    numbers: Any
    if _are_numbers(coordinates):
        numbers = coordinates
    else:
        numbers = _read_coordinates(_stated(point))
        if isinstance(numbers, str):
            account.left_out[numbers] += 1
            if numbers != ABSENT and not account.example:
                account.example = as_written(_stated(point))
            return None
        account.read += 1
    label = point.get("space")
    shown, space = _read_label(label)
    account.spaces[shown] += 1
    if space is None:
        account.taken_as_mni += 1
    elif space == TALAIRACH:
        account.converted += 1
    if (point.get("values") or point.get("kind") or "deactivation" in point) and _is_negative(point):
        account.negative += 1
    if numbers is coordinates and label in _KNOWN_TO_NIMARE:
        return point
    return {**point, "coordinates": numbers, "space": label if label in _KNOWN_TO_NIMARE else space or MNI}


@lru_cache(maxsize=1024)
def _read_label(label: object) -> tuple[str, str | None]:
    """Give a label as it is shown, and the space that it means."""
    return ("" if label is None else " ".join(str(label).split())[:60]), parse_space(label)


def parse_space(label: object) -> str | None:
    """Tell the space that a label means: :data:`MNI`, :data:`TALAIRACH`, or None when it says neither.

    Case, blanks and marks do not count; ``MNI152NLin2009cAsym`` and the like mean MNI space.
    """
    if not isinstance(label, str):
        return None
    letters = re.sub(r"[\W_]+", "", label).casefold()
    if letters in _TALAIRACH:
        return TALAIRACH
    return MNI if letters.startswith(_MNI) and "tal" not in letters else None


def _are_numbers(coordinates: object) -> bool:
    """Whether they are three finite numbers, each a number already."""
    if not isinstance(coordinates, list) or len(coordinates) != 3:
        return False
    x, y, z = coordinates
    # false for NaN; not a loop, since there can be 200,000
    return (
        (type(x) in _NUMBERS and type(y) in _NUMBERS and type(z) in _NUMBERS)
        and -FARTHEST_MM < x < FARTHEST_MM
        and -FARTHEST_MM < y < FARTHEST_MM
        and -FARTHEST_MM < z < FARTHEST_MM
    )


def _stated(point: Mapping[str, Any]) -> object:
    """What a focus says of its place: ``coordinates``, or else ``x``, ``y`` and ``z``."""
    coordinates = point.get("coordinates")
    if isinstance(coordinates, dict):
        return _by_axis(coordinates) or coordinates
    if coordinates is None or coordinates == "" or (isinstance(coordinates, list) and not any(_given(coordinates))):
        return _by_axis(point) or coordinates
    return coordinates


def _given(values: Sequence[Any]) -> list[bool]:
    return [value is not None for value in values[:4]]


def _by_axis(values: Mapping[str, Any]) -> list[Any] | None:
    named = {str(key).casefold(): value for key, value in values.items()}
    found = [named.get(axis) for axis in _AXES]
    return None if all(value is None for value in found) else found


def _read_coordinates(stated: object) -> list[float] | str:
    """Read three numbers, or give the reason why they are none."""
    if isinstance(stated, str):
        # "-42, 20, 8"; a comma within a number would give more than three
        stated = [part for part in re.split(r"[\s,;]+", stated.strip().strip("()[]{}")) if part]
    if stated is None or stated == [] or (isinstance(stated, list) and len(stated) == 3 and not any(_given(stated))):
        return ABSENT
    if not isinstance(stated, list) or len(stated) != 3:
        return NOT_THREE
    numbers = []
    for value in stated:
        number = _read_number(value)
        if isinstance(number, str):
            return number
        numbers.append(number)
    return numbers


def _read_number(value: object) -> float | str:
    if isinstance(value, bool):
        return TRUTH_VALUE
    if value is None:
        return NOT_THREE
    if isinstance(value, str):
        text = value.strip().translate(_MINUS)
        if len(text) > 40 or not _NUMBER.fullmatch(text):
            return NOT_FINITE if text.lstrip("+-").casefold() in ("nan", "inf", "infinity") else NO_NUMBER
        value = float(text)
    if not isinstance(value, int | float):
        return NOT_THREE
    if isinstance(value, float) and not math.isfinite(value):
        return NOT_FINITE
    return value if -FARTHEST_MM < value < FARTHEST_MM else TOO_FAR


def _is_negative(point: Mapping[str, Any]) -> bool:
    """Whether a focus is said to be a decrease: by a mark, by its kind, or by a negative statistic."""
    if point.get("deactivation") is True:
        return True
    kind = point.get("kind")
    if isinstance(kind, str) and kind.strip().casefold() in _BELOW_ZERO:
        return True
    for value in point.get("values") or ():
        if isinstance(value, dict) and str(value.get("kind")).strip().casefold() not in ("p", "p map", "p-value"):
            number = _read_number(value.get("value"))
            if not isinstance(number, str) and number < 0:
                return True
    return False
