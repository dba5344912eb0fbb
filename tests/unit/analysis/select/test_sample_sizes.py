"""Sample sizes are found in notes and metadata and put where NiMARE reads them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from compose_runner.analysis.select.sample_sizes import with_sample_sizes
from tests.support import synthetic

Document = dict[str, Any]


def studyset(analysis_metadata: Document | None = None, study_metadata: Document | None = None) -> Document:
    return synthetic.studyset(
        [synthetic.study("s0", [synthetic.analysis("a0", metadata=analysis_metadata)], metadata=study_metadata)]
    )


def annotation(**values: Any) -> Document:
    return synthetic.annotation([synthetic.note("s0", "a0", **values)], {name: "number" for name in values})


def found(document: Document, notes: Document | None = None) -> Any:
    return with_sample_sizes(document, notes).studyset["studies"][0]["analyses"][0]["metadata"].get("sample_sizes")


@pytest.mark.parametrize("key", ["sample_sizes", "sample_size", "n", "sample-size"])
def test_every_name_of_the_sample_size_is_read_at_every_place(key: str) -> None:
    assert found(studyset(), annotation(**{key: 24})) == [24]
    assert found(studyset({key: 24})) == [24]
    assert found(studyset(None, {key: 24})) == [24]


def test_the_note_counts_before_the_analysis_and_the_analysis_before_the_study() -> None:
    assert found(studyset({"sample_sizes": [20]}, {"n": 30}), annotation(n=10)) == [10]
    assert found(studyset({"n": 20}, {"sample_sizes": [30]})) == [20]
    assert found(studyset({"other": 1}, {"sample_size": "30"})) == [30]


@pytest.mark.parametrize(
    "value", ["", None, "twelve", 0, -5, True, False, "nan", "inf", float("inf"), {}, [], ["x", 0]]
)
def test_what_is_no_sample_size_leaves_the_next_place_to_count(value: Any) -> None:
    assert found(studyset({"sample_size": value}, {"n": 30}), annotation(n=value)) == [30]
    assert found(studyset({"sample_sizes": value}, {"sample_sizes": value}), annotation(n=value)) is None


@pytest.mark.parametrize(
    ("value", "sizes"), [("18", [18]), (" 18.5 ", [18.5]), ([7, "9"], [7, 9]), ((7, None, 9), [7, 9]), (12.0, [12])]
)
def test_numbers_and_numeric_texts_and_lists_of_them_are_sample_sizes(value: Any, sizes: list[float]) -> None:
    assert found(studyset({"n": value})) == sizes


def test_values_that_nimare_would_stumble_over_are_left_out() -> None:
    document = studyset({"sample_sizes": [float("inf")], "task": "rest"}, {"sample_size": -1, "doi": "x"})

    study = with_sample_sizes(document).studyset["studies"][0]

    assert study["metadata"] == {"doi": "x"}
    assert study["analyses"][0]["metadata"] == {"task": "rest"}


def test_analysis_ids_that_repeat_in_other_studies_are_told_apart() -> None:
    document = synthetic.studyset(synthetic.study(f"s{i}", [synthetic.analysis("1")]) for i in range(2))
    notes = synthetic.annotation([synthetic.note(f"s{i}", "1", n=10 + i) for i in range(2)], {"n": "number"})

    sizes = [study["analyses"][0]["metadata"] for study in with_sample_sizes(document, notes).studyset["studies"]]

    assert sizes == [{"sample_sizes": [10]}, {"sample_sizes": [11]}]


def test_the_callers_documents_are_not_changed() -> None:
    document, notes = studyset({"sample_sizes": "5"}, {"n": 1}), annotation(n=10)
    before = copy.deepcopy((document, notes))

    with_sample_sizes(document, notes)

    assert (document, notes) == before


def test_metadata_that_is_null_or_absent_is_made() -> None:
    document = studyset()
    document["studies"][0]["metadata"] = None
    del document["studies"][0]["analyses"][0]["metadata"]

    assert found(document, annotation(n=10)) == [10]


@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        ("20 (10F)", [20]),
        ("n=20", [20]),
        ("N = 20", [20]),
        ("1,024", [1024]),
        ("20 ", [20]),
        ("20 healthy", None),
        ("24 participants (12 women)", [24]),
        ("[10, 12]", [10, 12]),
        ("[10, x]", None),
        ("~20", None),
        ("20-25", None),
        ("20/22", None),
        ("1,02", None),
        ("10 + 12", None),
        (0.5, None),
        (1e300, None),
        ({"patients": 10}, None),
    ],
)
def test_of_texts_what_is_beyond_doubt_is_read(value: Any, sizes: list[float] | None) -> None:
    assert found(studyset({"sample_size": value})) == sizes
    stated = with_sample_sizes(studyset({"sample_size": value})).stated[0, 0]
    assert bool(stated.unread) == (sizes is None)


@pytest.mark.parametrize(
    "key", ["N", "subjects", "sampleSize", "Sample Size", "n_subjects", "SAMPLE_SIZE", "nParticipants"]
)
def test_other_names_count_where_no_usual_one_stands(key: str) -> None:
    assert found(studyset(None, {key: 24})) == [24]
    assert found(studyset(None, {"sample_size": 30}), annotation(**{key: 24})) == [30]
    # a list under such a name is one of participants
    assert found(studyset({key: [1, 2, 3]})) is None


def test_a_note_that_overrules_the_metadata_is_known() -> None:
    stated = with_sample_sizes(studyset({"sample_sizes": [20]}), annotation(sample_size=100)).stated[0, 0]
    assert (stated.sizes, stated.overruled) == ((100,), (20,))
    assert not with_sample_sizes(studyset({"n": 20}), annotation(n="20")).stated[0, 0].overruled


@pytest.mark.parametrize("studies", [None, {}, "studies", [None, 3, {"analyses": None}, {"analyses": [None, {}]}]])
def test_malformed_studies_are_passed_over(studies: Any) -> None:
    with_sample_sizes({"studies": studies}, {"notes": [None, {"analysis": "a"}, {"analysis": "a", "note": 3}]})
