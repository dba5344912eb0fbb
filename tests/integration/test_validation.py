"""What passes the checks of studysets and annotations is read by NiMARE."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nimare.nimads import Studyset

from compose_runner.analysis.fetch.validation import check_annotation, check_studyset
from compose_runner.analysis.select.foci import read_foci
from compose_runner.errors import DocumentMalformedError
from tests.support import synthetic
from tests.support.changed_documents import Path, changed, places

STUDYSET = synthetic.random_studyset(n_studies=2, analyses_per_study=1, foci_per_analysis=2)
ANNOTATION = synthetic.annotated(STUDYSET)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(places(STUDYSET)),
    st.sampled_from([None, 0, -1.5, True, "", "x", [], {}, [[]], [{}], [None], {"a": []}]),
)
def test_a_mistyped_studyset_is_refused_or_can_be_read_by_nimare(path: Path, value: Any) -> None:
    document = changed(STUDYSET, path, value)
    try:
        check_studyset(document)
    except DocumentMalformedError:
        return
    studyset = Studyset(read_foci(document).studyset, target=None, annotations=[ANNOTATION])
    assert len(studyset.ids) <= 2
    assert studyset.coordinates is not None
    studyset.combine_analyses()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(places(ANNOTATION)),
    st.sampled_from([None, 0, -1.5, True, "", "x", [], {}, [[]], [{}], [None], {"a": []}]),
)
def test_a_mistyped_annotation_is_refused_or_can_be_read_by_nimare(path: Path, value: Any) -> None:
    annotation = changed(ANNOTATION, path, value)
    try:
        check_annotation(annotation)
    except DocumentMalformedError:
        return
    assert Studyset(STUDYSET, target=None, annotations=[annotation]).annotations_df is not None
