"""Which note belongs to which analysis.

Analysis ids may repeat in different studies, so a note belongs to the analysis whose study it names too; a note without
a study, or of a study that is not there, belongs to the analysis of that id if there is only one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

AnalysisKey = tuple[str, str]


def match_notes(analyses: Sequence[AnalysisKey], annotation: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Find the note of each analysis.

    Parameters
    ----------
    analyses : sequence of (str, str)
        Ids of study and analysis.
    annotation : mapping or None
        The annotation as NeuroStore serves it. What is malformed in it is passed over.

    Returns
    -------
    list of dict
        The note's values for each analysis, in their order; empty where there is no note. Of several notes about one
        analysis the later value counts, unless it is null.
    """
    by_pair: dict[AnalysisKey, dict[str, Any]] = {}
    by_analysis: dict[str, dict[str, Any]] = {}
    pairs = set(analyses)
    by_full_id = {f"{study}-{analysis}": (study, analysis) for study, analysis in analyses}
    frequency = Counter(analysis for _, analysis in pairs)
    for study, analysis, values in _entries(annotation):
        pair = (study, analysis) if study is not None else None
        if pair not in pairs:
            pair = by_full_id.get(analysis)
        if pair is not None:
            _merge(by_pair.setdefault(pair, {}), values)
        elif frequency[analysis] == 1:
            _merge(by_analysis.setdefault(analysis, {}), values)
    return [{**by_analysis.get(analysis, {}), **by_pair.get((study, analysis), {})} for study, analysis in analyses]


def list_columns(annotation: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Find the annotation's columns and their types.

    Parameters
    ----------
    annotation : mapping or None
        The annotation; ``note_keys`` holds each column's type as a text or as ``{"type", "order"}``.

    Returns
    -------
    dict
        Type by column; None where the annotation does not tell, as for columns that only notes have.
    """
    keys = annotation.get("note_keys") if isinstance(annotation, Mapping) else None
    columns: dict[str, str | None] = {}
    for name, described in keys.items() if isinstance(keys, Mapping) else ():
        kind = described.get("type") if isinstance(described, Mapping) else described
        columns[str(name)] = kind.strip().casefold() if isinstance(kind, str) else None
    for _, _, values in _entries(annotation):
        for name in values:
            columns.setdefault(str(name), None)
    return columns


def _entries(annotation: Mapping[str, Any] | None) -> list[tuple[str | None, str, Mapping[str, Any]]]:
    """Read the well-formed notes: study, analysis, values."""
    notes = annotation.get("notes") if isinstance(annotation, Mapping) else None
    return [
        (None if entry.get("study") is None else str(entry["study"]), str(entry["analysis"]), entry["note"])
        for entry in (notes if isinstance(notes, list) else ())
        if isinstance(entry, Mapping) and entry.get("analysis") is not None and isinstance(entry.get("note"), Mapping)
    ]


def _merge(known: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is not None or name not in known:
            known[str(name)] = value
