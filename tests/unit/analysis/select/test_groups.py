"""Groups of analyses are chosen from notes and conditions, on plain documents."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.analysis.select.annotations import list_columns, match_notes
from compose_runner.analysis.select.groups import ChosenAnalyses, choose_analyses
from compose_runner.errors import SelectionError
from compose_runner.specification.parsing import parse_specification
from tests.support import synthetic

Document = dict[str, Any]

ANALYSES = [("s0", "a0"), ("s0", "a1"), ("s1", "a2"), ("s1", "a3"), ("s2", "a4")]


def annotated(*values: Any, kind: Any = "boolean", column: str = "included") -> Document:
    """Make an annotation of :data:`ANALYSES`; an ellipsis stands for an analysis without a note."""
    notes = [
        synthetic.note(study, analysis, **{column: value})
        for (study, analysis), value in zip(ANALYSES, values, strict=True)
        if value is not ...
    ]
    return synthetic.annotation(notes, {column: kind})


def chosen(annotation: Document | None, **specification: Any) -> ChosenAnalyses:
    make = synthetic.two_groups if len(specification.get("conditions") or ()) == 2 else synthetic.specification
    return choose_analyses(ANALYSES, annotation, parse_specification(make(**specification)))


def refusal(annotation: Document | None, **specification: Any) -> str:
    with pytest.raises(SelectionError) as caught:
        chosen(annotation, **specification)
    return str(caught.value)


BOOLEANS = annotated(True, False, True, None, ...)


@pytest.mark.parametrize("conditions", [None, [], ["true"], [True], ["True"], ["yes"], [1]])
def test_the_true_notes_are_selected(conditions: Any) -> None:
    assert chosen(BOOLEANS, conditions=conditions) == ChosenAnalyses((0, 2), None)


@pytest.mark.parametrize("conditions", [["false"], [False], ["FALSE"], ["no"], [0]])
def test_the_condition_false_selects_false_and_missing_notes(conditions: Any) -> None:
    assert chosen(BOOLEANS, conditions=conditions) == ChosenAnalyses((1, 3, 4), None)


@pytest.mark.parametrize(
    ("conditions", "weights"),
    [(["false", "true"], [1, -1]), ([True, False], [-1, 1]), (["false", True], ["1", "-1"])],
)
def test_conditions_on_a_boolean_column_swap_the_groups(conditions: Any, weights: Any) -> None:
    assert chosen(BOOLEANS, conditions=conditions, weights=weights) == ChosenAnalyses((1, 3, 4), (0, 2))


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "Yes", "1", "certainly"])
def test_a_note_that_says_true_in_another_way_is_true(value: Any) -> None:
    assert chosen(annotated(value, False, ..., ..., ...)).first == (0,)


@pytest.mark.parametrize("value", [False, 0, 0.0, "false", "No", "", "null", None, float("nan")])
def test_a_note_that_says_false_in_another_way_is_false(value: Any) -> None:
    assert chosen(annotated(value, True, ..., ..., ...)).first == (1,)


@pytest.mark.parametrize("kind", ["boolean", {"type": "boolean", "order": 0, "default": True}, {"order": 1}, None])
def test_the_columns_type_is_a_text_or_an_object_or_seen_from_its_values(kind: Any) -> None:
    assert chosen(annotated(True, False, True, False, ..., kind=kind)).first == (0, 2)


STRINGS = annotated("left", "right", "left", None, "both", kind={"type": "string", "order": 0})


def test_strings_are_selected_by_their_conditions() -> None:
    assert chosen(STRINGS, conditions=["left"]) == ChosenAnalyses((0, 2), None)
    assert chosen(STRINGS, conditions=["right", "left"], weights=[1, -1]) == ChosenAnalyses((1,), (0, 2))
    assert chosen(STRINGS, conditions=["right", "left"], weights=[-1, 1]) == ChosenAnalyses((0, 2), (1,))


def test_conditions_of_the_same_weight_make_one_group() -> None:
    specification = synthetic.specification(conditions=["left", "both"], weights=[1, 1])

    assert choose_analyses(ANALYSES, STRINGS, parse_specification(specification)).first == (0, 2, 4)


def test_a_string_column_that_holds_other_values_is_read_as_the_form_shows_them() -> None:
    annotation = annotated(1, 2.0, True, "1", ..., kind="string")

    assert chosen(annotation, conditions=["1"]).first == (0, 3)
    assert chosen(annotation, conditions=[2]).first == (1,)
    assert chosen(annotation, conditions=["true"]).first == (2,)


@pytest.mark.parametrize("kind", ["number", "integer", None])
def test_numbers_are_selected_by_their_value(kind: Any) -> None:
    annotation = annotated(1, 2.0, 2, ..., 3.5, kind=kind)

    assert chosen(annotation, conditions=["2"]).first == (1, 2)
    assert chosen(annotation, conditions=[3.5, "1.0"]) == ChosenAnalyses((4,), (0,))


def test_a_column_that_the_annotation_has_not_is_an_error_that_names_those_it_has() -> None:
    assert refusal(BOOLEANS, column="include") == (
        "The specification selects analyses by 'include', a column that the annotation does not have. Did you mean "
        "'included'? It has: 'included'."
    )
    assert "It has: none, since no analysis has a note." in refusal(None)
    assert "It has: none, since no analysis has a note." in refusal({"note_keys": None, "notes": None})


def test_a_column_that_only_the_notes_have_is_read() -> None:
    annotation = {**annotated(True, False, ..., ..., ...), "note_keys": {}}

    assert chosen(annotation).first == (0,)


def test_an_empty_group_is_an_error_that_names_the_values_with_their_counts() -> None:
    said = refusal(STRINGS, conditions=["Left"])

    assert "'Left' in the column 'included'" in said
    assert "'left' (2), 'right' (1), no note (1), 'both' (1)" in said


def test_an_empty_second_group_is_an_error() -> None:
    annotation = annotated(True, True, True, True, True)

    said = refusal(annotation, conditions=["true", "false"])

    assert "'false' in the column 'included'" in said
    assert "true (5)" in said


def test_a_column_without_any_true_note_is_an_error() -> None:
    assert "There are: no note (5)." in refusal(annotated(..., ..., ..., ..., ...))


def test_a_string_column_needs_conditions() -> None:
    said = refusal(STRINGS, conditions=None, weights=None)

    assert "needs conditions and weights" in said
    assert "'left' (2)" in said


@pytest.mark.parametrize(
    ("annotation", "condition", "kind"),
    [(BOOLEANS, "left", "boolean"), (annotated(1, 2, 3, 4, 5, kind="number"), "x", "number")],
)
def test_a_condition_that_cannot_be_a_value_of_the_column_is_an_error(
    annotation: Document, condition: str, kind: str
) -> None:
    assert f"cannot be a value of the {kind} column" in refusal(annotation, conditions=[condition])


def test_two_conditions_that_mean_the_same_are_an_error() -> None:
    assert "for both groups" in refusal(BOOLEANS, conditions=["true", "yes"])


def test_long_lists_of_values_are_cut() -> None:
    analyses = [("s", str(index)) for index in range(30)]
    notes = [synthetic.note(study, analysis, label=f"value {analysis}") for study, analysis in analyses]
    specification = parse_specification(synthetic.specification(column="label", conditions=["other"]))

    with pytest.raises(SelectionError, match="and 10 more"):
        choose_analyses(analyses, synthetic.annotation(notes, {"label": "string"}), specification)


def test_analysis_ids_that_repeat_in_other_studies_are_told_apart() -> None:
    analyses = [("s0", "1"), ("s0", "2"), ("s1", "1")]
    annotation = synthetic.annotation(
        [synthetic.note("s0", "1", included=False), synthetic.note("s1", "1", included=True)], {"included": "boolean"}
    )

    choice = choose_analyses(analyses, annotation, parse_specification(synthetic.specification()))

    assert choice.first == (2,)


@pytest.mark.parametrize(
    ("study", "analysis", "places"),
    [
        ("s1", "1", [1]),
        ("s1", "2", [2]),
        (None, "2", [2]),
        ("elsewhere", "2", [2]),
        (None, "s1-1", [1]),
        (None, "1", []),
        ("elsewhere", "1", []),
        (None, "s0-2", []),
    ],
)
def test_a_note_belongs_to_the_analysis_that_it_can_only_mean(
    study: str | None, analysis: str, places: list[int]
) -> None:
    analyses = [("s0", "1"), ("s1", "1"), ("s1", "2")]
    annotation = {"notes": [{"study": study, "analysis": analysis, "note": {"included": True}}]}

    assert [index for index, note in enumerate(match_notes(analyses, annotation)) if note] == places


def test_the_later_of_two_notes_counts_unless_it_is_null() -> None:
    notes = [
        synthetic.note("s0", "a0", side="left", age=30),
        synthetic.note("s0", "a0", side="right", age=None),
    ]

    assert match_notes([("s0", "a0")], {"notes": notes}) == [{"side": "right", "age": 30}]


def test_a_study_that_stands_twice_in_the_studyset_has_the_note_twice() -> None:
    assert match_notes([("s0", "a0"), ("s0", "a0")], {"notes": [synthetic.note("s0", "a0", side="left")]}) == [
        {"side": "left"},
        {"side": "left"},
    ]


def test_columns_are_read_in_both_forms() -> None:
    note_keys = {"a": "Boolean", "b": {"type": "string", "order": 1}, "c": {"order": 2}, "d": 4}

    assert list_columns({"note_keys": note_keys, "notes": [synthetic.note("s", "a", e=1)]}) == {
        "a": "boolean",
        "b": "string",
        "c": None,
        "d": None,
        "e": None,
    }
