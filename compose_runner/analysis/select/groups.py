"""Which analyses make the groups that a specification asks for: pure logic on ids, notes and conditions."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.select.annotations import AnalysisKey, assign_notes, list_columns
from compose_runner.analysis.wording import as_written, counted
from compose_runner.errors import SelectionError
from compose_runner.specification.conditions import Condition, to_text
from compose_runner.specification.signatures import FALSE_WORDS, NULL_WORDS, TRUE_WORDS, truncate_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from compose_runner.specification.parsing import Specification

BOOLEAN = "boolean"
NUMBER = "number"
STRING = "string"
_KINDS = {
    "boolean": BOOLEAN,
    "bool": BOOLEAN,
    "number": NUMBER,
    "numeric": NUMBER,
    "integer": NUMBER,
    "int": NUMBER,
    "float": NUMBER,
    "string": STRING,
    "str": STRING,
    "text": STRING,
}
SHOWN_VALUES = 20
_MOST_COMPARED, _LONGEST_COMPARED = 1_000, 200


@dataclass(frozen=True, slots=True)
class ChosenAnalyses:
    """Indices of the analyses of each group.

    Parameters
    ----------
    first : tuple of int
        Indices in the sequence of analyses that was chosen from; never empty.
    second : tuple of int or None
        The same for the second group; None if there is none, or if it is a reference studyset.
    """

    first: tuple[int, ...]
    second: tuple[int, ...] | None


def choose_analyses(
    analyses: Sequence[AnalysisKey], annotation: Mapping[str, Any] | None, specification: Specification
) -> ChosenAnalyses:
    """Choose the analyses whose notes meet the conditions.

    Parameters
    ----------
    analyses : sequence of (str, str)
        Ids of study and analysis.
    annotation : mapping or None
        The annotation as NeuroStore serves it.
    specification : Specification
        Column and conditions.

    Raises
    ------
    SelectionError
        The annotation has not the column, a condition cannot be a value of it, or a group is empty.
    """
    columns = list_columns(annotation)
    column = specification.filter
    if column not in columns:
        raise SelectionError(
            f"The specification selects analyses by {truncate_repr(column)}, a column that the annotation does not "
            "have."
            f"{_meant([column], list(columns))} It has: "
            f"{', '.join(map(truncate_repr, sorted(columns))) or 'none, since no analysis has a note'}."
        )
    notes = assign_notes(analyses, annotation)
    values = [notes.of(study, analysis).get(column) for study, analysis in analyses]
    kind = column_kind(columns[column], values)
    read = READERS[kind]
    if not specification.first and kind != BOOLEAN:
        raise SelectionError(
            f"The column {truncate_repr(column)} holds {kind}s, so the specification needs conditions and weights "
            f"that say which values to take. {_existing(kind, values)}"
        )
    found = [read(value) for value in values]
    lost = len(notes.ambiguous)
    first = _meeting(specification.first or (True,), kind, column, found, values, lost)
    second = _meeting(specification.second, kind, column, found, values, lost) if specification.second else None
    if second is not None and set(first) & set(second):
        raise SelectionError(
            f"The conditions {_listed(specification.first)} and {_listed(specification.second)} select the same "
            f"analyses of the column {truncate_repr(column)} for both groups."
        )
    return ChosenAnalyses(first, second)


def _meeting(
    conditions: Sequence[Condition],
    kind: str,
    column: str,
    found: Sequence[Any],
    values: Sequence[Any],
    n_ambiguous: int,
) -> tuple[int, ...]:
    """Find the indices whose value is one of the conditions; none is an error."""
    wanted = []
    for condition in conditions:
        value = READERS[kind](condition)
        if value is None or (kind == BOOLEAN and not is_truth_value(condition)):
            raise SelectionError(
                f"The condition {_shown(condition)} cannot be a value of the {kind} column "
                f"{truncate_repr(column)}. {_existing(kind, values)}"
            )
        wanted.append(value)
    one_of = set(wanted)
    indices = tuple(index for index, value in enumerate(found) if value is not None and value in one_of)
    if not indices:
        raise SelectionError(
            f"No analysis is selected: none of the {len(values)} analyses has {_listed(conditions)} in the column "
            f"{truncate_repr(column)}.{_meant(conditions, values)} {_existing(kind, values, n_ambiguous)}"
        )
    return indices


def column_kind(described: str | None, values: Sequence[Any]) -> str:
    """Tell whether a column holds truth values, numbers or texts: as the annotation says, or else by its values."""
    return _KINDS.get(described or "") or _infer_kind(values)


def loosely(value: object) -> str:
    """Give a text without what people do not see or do not mean: case, and blanks at the ends or in a row."""
    return " ".join(to_text(value).casefold().split())


def _meant(wanted: Sequence[object], existing: Sequence[object]) -> str:
    """Ask whether something else was meant: the same but for case and blanks, or nearly the same."""
    texts = list(dict.fromkeys(value for value in existing if isinstance(value, str)))
    asked = [loosely(value) for value in wanted if isinstance(value, str)]
    same = [text for text in texts if loosely(text) in asked]
    if not same and len(texts) <= _MOST_COMPARED:
        by_text = {loosely(text)[:_LONGEST_COMPARED]: text for text in texts}
        close = [difflib.get_close_matches(text[:_LONGEST_COMPARED], by_text, n=1, cutoff=0.8) for text in asked]
        same = [by_text[text] for texts_ in close for text in texts_]
    return f" Did you mean {' or '.join(map(truncate_repr, same[:5]))}?" if same else ""


def is_truth_value(value: object) -> bool:
    """Whether a value says true or false in so many words."""
    return isinstance(value, bool | int | float) or str(value).strip().casefold() in TRUE_WORDS | FALSE_WORDS


def _as_truth(value: object) -> bool:
    """Read a note of a boolean column; a missing note is false, and so is a text that says so."""
    if isinstance(value, float) and math.isnan(value):
        return False
    if isinstance(value, str):
        return value.strip().casefold() not in FALSE_WORDS | NULL_WORDS
    return bool(value)


def as_number(value: object) -> float | None:
    """Read a number of a note or of metadata; None for what is none, and for a missing one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _as_string(value: object) -> str | None:
    return None if value is None else to_text(value)


READERS: dict[str, Callable[[Any], Any]] = {BOOLEAN: _as_truth, NUMBER: as_number, STRING: _as_string}


def _infer_kind(values: Sequence[Any]) -> str:
    """Tell a column's type from its values, where the annotation does not tell it."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return BOOLEAN
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return NUMBER
    return STRING


def _existing(kind: str, values: Sequence[Any], n_ambiguous: int = 0) -> str:
    """Say which values exist, with how many analyses each; and why notes may seem to be missing."""
    counts: Counter[str] = Counter()
    for value in values:
        if value is None:
            counts["no note"] += 1
        elif kind == BOOLEAN:
            counts[to_text(_as_truth(value))] += 1
        else:
            counts[_shown(value)] += 1
    listed = [f"{value} ({count})" for value, count in counts.most_common(SHOWN_VALUES)]
    more = f" and {len(counts) - SHOWN_VALUES} more" if len(counts) > SHOWN_VALUES else ""
    words = f"There are: {', '.join(listed) or 'no analyses'}{more}."
    if n_ambiguous:
        words += (
            f" {counted(n_ambiguous, 'note')} could not be assigned: {'it names' if n_ambiguous == 1 else 'they name'} "
            "no study, and an analysis id that several studies have."
        )
    if any(isinstance(value, list | dict) for value in values):
        words += " A list cannot be matched with a condition: the column needs one value for each analysis."
    return words


def _listed(conditions: Sequence[Condition]) -> str:
    return " or ".join(_shown(condition) for condition in conditions)


def _shown(value: object) -> str:
    """Show a text in quotation marks, and anything else as it stands in the document."""
    return truncate_repr(value) if isinstance(value, str) else as_written(value)
