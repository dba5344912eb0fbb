"""What may mislead in the annotation: values that nearly meet a condition, notes that belong to no analysis."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.select.annotations import assign_notes, list_columns
from compose_runner.analysis.select.groups import NUMBER, READERS, STRING, column_kind, loosely
from compose_runner.analysis.wording import as_written, counted, frequencies, quoted
from compose_runner.analysis.write.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compose_runner.analysis.audit.inputs import Inputs
    from compose_runner.findings import Finding


def find(inputs: Inputs) -> Iterator[Finding]:
    """Look at the notes, and at the column that selects."""
    keys = list(inputs.keys.items())
    notes = assign_notes([key for _, key in keys], inputs.annotation)
    column = inputs.specification.filter
    shown = as_written(column)
    values = {at: notes.of(*key).get(column) for at, key in keys}
    kind = column_kind(list_columns(inputs.annotation).get(column), list(values.values()))
    for code, entries in (("annotation-notes-ambiguous", notes.ambiguous), ("annotation-notes-gone", notes.gone)):
        if entries:
            yield finding(code, (), len(entries), notes=counted(len(entries), "note"), named=_named(entries))
    at_of = {key: at for at, key in keys}
    if contradicted := [at_of[pair][0] for pair, name in notes.contradicted if name == column and pair in at_of]:
        yield finding(
            "annotation-notes-contradict", inputs.titles(sorted(contradicted)), len(contradicted), column=shown
        )

    def about(code: str, which: list[tuple[int, int]], **words: str) -> Iterator[Finding]:
        if which:
            analyses = counted(len(which), "analysis")
            yield finding(
                code, inputs.titles(s for s, _ in which), len(which), analyses=analyses, column=shown, **words
            )

    yield from about("annotation-without-note", [at for at, value in values.items() if value is None])
    yield from about("annotation-list-values", [at for at, value in values.items() if isinstance(value, list | dict)])
    conditions = (*inputs.specification.first, *inputs.specification.second)
    if kind == STRING:
        wanted = {loosely(condition) for condition in conditions}
        exact = {READERS[STRING](condition) for condition in conditions}
        near = {
            at: value
            for at, value in values.items()
            if isinstance(value, str) and READERS[STRING](value) not in exact and loosely(value) in wanted
        }
        written = Counter(as_written(value) for value in near.values())
        yield from about("annotation-near-values", list(near), values=frequencies(written))
    if kind == NUMBER:
        texts = [at for at, value in values.items() if isinstance(value, str) and READERS[NUMBER](value) is not None]
        yield from about("annotation-numbers-as-texts", texts)


def _named(entries: tuple[Mapping[str, Any], ...]) -> str:
    """Name the studies of notes by the titles that the notes themselves hold."""
    titles = [clean(entry.get("study_name"))[:100] for entry in entries]
    known = quoted(text for text in titles if text)
    return f", of {known}" if known else ""
