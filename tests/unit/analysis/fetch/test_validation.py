"""A studyset or annotation is refused with the place in it that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.analysis.fetch.validation import Counts, check_annotation, check_specification, check_studyset
from compose_runner.errors import DocumentMalformedError
from tests.support import synthetic
from tests.support.changed_documents import Path, changed

STUDYSET = synthetic.random_studyset(n_studies=2, analyses_per_study=1, foci_per_analysis=2)
ANNOTATION = synthetic.annotated(STUDYSET)


def test_a_good_studyset_is_given_back_as_it_is() -> None:
    assert check_studyset(STUDYSET) is STUDYSET
    assert check_annotation(ANNOTATION) is ANNOTATION


ANALYSIS = ("studies", 0, "analyses", 0)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("studies",), None, "studies is not a list of studies"),
        (("studies", 1), "abc", "studies[1] is not an object but 'abc'"),
        (("studies", 0, "id"), None, "studies[0].id is not an id"),
        (("studies", 0, "analyses"), {}, "studies[0].analyses is not a list"),
        ((*ANALYSIS, "id"), "", "studies[0].analyses[0].id is not an id"),
        ((*ANALYSIS, "points"), ["p1"], "studies[0].analyses[0].points[0] is not an object"),
        ((*ANALYSIS, "points", 0, "space"), ["MNI"], "points[0].space is not a word"),
        ((*ANALYSIS, "images"), [{"url": 5}], "images[0].url is not a text but 5"),
    ],
)
def test_the_place_that_is_wrong_is_named(path: Path, value: Any, where: str) -> None:
    with pytest.raises(DocumentMalformedError) as error:
        check_studyset(changed(STUDYSET, path, value), "studyset abc", "http://store/abc")
    assert where in str(error.value)
    assert "studyset abc" in str(error.value)
    assert "http://store/abc" in str(error.value)


@pytest.mark.parametrize(
    "coordinates",
    [
        *([float("nan"), 0, 0], [float("inf"), 0, 0], [0, float("-inf"), 1e308], [1e308, 0, 0], [10, None, 5]),
        *([True, False, True], [10**15, 0, 0], [-1e6, 0, 0], ["1", 2, 3], [1, 2], "1 2 3", {"x": 1}),
    ],
)
def test_a_focus_of_a_reference_studyset_that_is_no_place_is_refused_with_its_study(coordinates: list[Any]) -> None:
    document = changed(STUDYSET, (*ANALYSIS, "points", 1, "coordinates"), coordinates)
    document["studies"][0]["name"] = "Pain and the insula"
    check_studyset(document)  # of any other, it is left out and counted
    with pytest.raises(DocumentMalformedError) as error:
        check_studyset(document, foci_are_numbers=True)
    assert "studies[0].analyses[0].points[1].coordinates is not a list of three finite numbers" in str(error.value)
    assert "in the study 'Pain and the insula'" in str(error.value)


@pytest.mark.parametrize("coordinates", [None, [], [None, None, None], [0, -1.5, 2], [999_999, 0, 0]])
def test_an_absent_focus_passes(coordinates: Any) -> None:
    document = changed(STUDYSET, (*ANALYSIS, "points", 1, "coordinates"), coordinates)
    assert check_studyset(document, foci_are_numbers=True) is document


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "1", [1]])
def test_a_weight_is_a_finite_number(weight: Any) -> None:
    with pytest.raises(DocumentMalformedError, match=r"weights\[0\] is not a number"):
        check_studyset(changed(STUDYSET, (*ANALYSIS, "weights"), [weight]))


def test_everything_is_counted() -> None:
    limits = {"studies": 1, "analyses": 1, "foci": 3, "images": 2, "conditions": 1}
    document = changed(STUDYSET, (*ANALYSIS, "images"), [{"url": None}] * 3)
    document["studies"][0]["analyses"][0]["conditions"] = ["a", "b"]
    for what, most in limits.items():
        with pytest.raises(DocumentMalformedError, match=f"it has [234] {what} or more, and at most {most} can be"):
            check_studyset(document, counts=Counts(**{what: most}))
    check_studyset(document, counts=Counts(studies=2, analyses=2, foci=4, images=3, conditions=2))
    for what in ("notes", "columns"):
        annotation = synthetic.annotated(STUDYSET)
        annotation["notes"][0]["note"]["further"] = 1
        with pytest.raises(DocumentMalformedError, match=f"it has 2 {what} or more, and at most 1"):
            check_annotation(annotation, counts=Counts(**{what: 1}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("notes",), None),
        (("notes", 0), 3),
        (("notes", 0, "note"), []),
        (("notes", 0, "analysis"), {"id": "a"}),
        (("note_keys",), ["x"]),
    ],
)
def test_an_annotation_of_another_shape_is_refused(path: Path, value: Any) -> None:
    with pytest.raises(DocumentMalformedError, match="annotation"):
        check_annotation(changed(ANNOTATION, path, value))


def test_what_nimare_reads_passes() -> None:
    studyset = {"studies": [{"id": 1}, {"id": "b", "analyses": [{"id": 2, "points": None}]}]}
    studyset["studies"].append({"id": "c", "analyses": [{"id": "x", "points": [{"coordinates": None}]}]})
    assert check_studyset(studyset) is studyset


@pytest.mark.parametrize("document", [None, [], "id"])
def test_a_specification_is_an_object(document: object) -> None:
    with pytest.raises(DocumentMalformedError, match="specification"):
        check_specification(document)
