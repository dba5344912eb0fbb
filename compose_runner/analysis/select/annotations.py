"""Which note belongs to which analysis.

Analysis ids may repeat in different studies, so a note belongs to the analysis whose study it names too; a note without
a study, or of a study that is not there, belongs to the analysis of that id if there is only one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

AnalysisKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AssignedNotes:
    """Which note belongs to which analysis, and which to none.

    Parameters
    ----------
    by_pair : dict
        Values by the ids of study and analysis.
    by_analysis : dict
        Values of notes that only the analysis's id assigns.
    ambiguous : tuple of dict
        Notes that name no study (or one that is not there), and an analysis id that several studies have.
    gone : tuple of dict
        Notes about analyses that are not there.
    contradicted : frozenset
        Ids of study and analysis whose notes say different things in one column; with the column.
    """

    by_pair: dict[AnalysisKey, dict[str, Any]]
    by_analysis: dict[str, dict[str, Any]]
    ambiguous: tuple[Mapping[str, Any], ...] = ()
    gone: tuple[Mapping[str, Any], ...] = ()
    contradicted: frozenset[tuple[AnalysisKey, str]] = field(default_factory=frozenset)

    def of(self, study: str, analysis: str) -> dict[str, Any]:
        """Values for one analysis; empty where there is no note."""
        return {**self.by_analysis.get(analysis, {}), **self.by_pair.get((study, analysis), {})}


def assign_notes(analyses: Sequence[AnalysisKey], annotation: Mapping[str, Any] | None) -> AssignedNotes:
    """Find the analysis of each note; parameters are those of :func:`match_notes`."""
    by_pair: dict[AnalysisKey, dict[str, Any]] = {}
    by_analysis: dict[str, dict[str, Any]] = {}
    ambiguous: list[Mapping[str, Any]] = []
    gone: list[Mapping[str, Any]] = []
    contradicted: set[tuple[AnalysisKey, str]] = set()
    pairs = set(analyses)
    by_full_id = {f"{study}-{analysis}": (study, analysis) for study, analysis in analyses}
    frequency = Counter(analysis for _, analysis in pairs)
    study_of = {analysis: study for study, analysis in analyses if frequency[analysis] == 1}
    for entry in _entries(annotation):
        study, analysis = entry.get("study"), str(entry["analysis"])
        pair = (str(study), analysis) if study is not None else None
        if pair not in pairs:
            pair = by_full_id.get(analysis)
        if pair is not None:
            known = by_pair.setdefault(pair, {})
        elif frequency[analysis] == 1:
            pair = study_of[analysis], analysis
            known = by_analysis.setdefault(analysis, {})
        else:
            (ambiguous if analysis in frequency else gone).append(entry)
            continue
        contradicted.update((pair, column) for column in _merge(known, entry["note"]))
    return AssignedNotes(by_pair, by_analysis, tuple(ambiguous), tuple(gone), frozenset(contradicted))


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
    notes = assign_notes(analyses, annotation)
    return [notes.of(study, analysis) for study, analysis in analyses]


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
    for entry in _entries(annotation):
        for name in entry["note"]:
            columns.setdefault(str(name), None)
    return columns


def _entries(annotation: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Give the well-formed notes, which name an analysis and hold values."""
    notes = annotation.get("notes") if isinstance(annotation, Mapping) else None
    return [
        entry
        for entry in (notes if isinstance(notes, list) else ())
        if isinstance(entry, Mapping) and entry.get("analysis") is not None and isinstance(entry.get("note"), Mapping)
    ]


def _merge(known: dict[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Add a note's values to those that are known; give the columns in which it says something else."""
    contradicted = []
    for name, value in values.items():
        if value is not None or name not in known:
            if known.get(name) is not None and known[name] != value:
                contradicted.append(str(name))
            known[str(name)] = value
    return contradicted
