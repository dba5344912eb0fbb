"""Whatever is served in place of a specification or an annotation: a result or a typed error, never anything else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from compose_runner.analysis.select.groups import choose_analyses
from compose_runner.analysis.select.sample_sizes import with_sample_sizes
from compose_runner.errors import SelectionError, SpecificationError
from compose_runner.specification.parsing import Specification, needs_large_task, parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import synthetic

Document = dict[str, Any]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["true", "false", "1", "-1", "nan", "1e400", "[1, 2]", "montecarlo", "included", "left", ""]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
ARGUMENT_NAMES = sorted(
    {name for one in signatures().estimators.values() for name in one.parameters}
    | {"kernel_transformer", "kernel__r", "kernel__fwhm", "kernel__sample_size", "resample__clip", "method", "alpha"}
    | {"voxel_thresh", "vfwe_only", "**kwargs", "unheard_of"}
)
ARGS = st.dictionaries(st.sampled_from(ARGUMENT_NAMES), JSON, max_size=4)
SPECIFICATIONS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["CBMA", "IBMA", "cbma", None]) | JSON,
        "estimator": st.fixed_dictionaries({"type": st.sampled_from(sorted(signatures().estimators)), "args": ARGS})
        | JSON,
        "filter": st.just("included") | JSON,
    },
    optional={
        "corrector": st.fixed_dictionaries({"type": st.sampled_from(["FWECorrector", "FDRCorrector"]), "args": ARGS})
        | JSON,
        "conditions": st.lists(SCALARS, max_size=3) | JSON,
        "weights": st.lists(st.sampled_from([1, -1, 1.0, "1", "-1.0"]) | SCALARS, max_size=3) | JSON,
        "database_studyset": st.sampled_from([None, "neurosynth"]) | JSON,
    },
)


@given(document=SPECIFICATIONS | JSON)
@settings(max_examples=400, deadline=None)
def test_any_document_gives_a_specification_or_a_typed_error(document: Any) -> None:
    before = copy.deepcopy(document)
    assert isinstance(needs_large_task(document), bool)
    try:
        specification = parse_specification(document)
    except SpecificationError:
        pass
    else:
        assert isinstance(specification, Specification)
        assert specification.groups == signatures().estimators[specification.estimator.name].groups
        assert 0 < specification.alpha < 1
        corrector = specification.corrector
        monte_carlo = corrector is not None and corrector.name == "FWECorrector" and corrector.method == "montecarlo"
        assert needs_large_task(document) == monte_carlo
    assert repr(document) == repr(before)


VALUES = st.sampled_from([True, False, None, "left", "right", "true", "false", 0, 1, 2.0]) | JSON
KEYS = st.lists(st.tuples(st.sampled_from("st"), st.sampled_from("abc")), max_size=6)
NOTE = st.fixed_dictionaries(
    {}, optional={"study": st.sampled_from("st") | JSON, "analysis": st.sampled_from("abc") | JSON, "note": JSON}
) | st.builds(
    lambda study, analysis, value: synthetic.note(study, analysis, included=value),
    st.sampled_from("st"),
    st.sampled_from("abc"),
    VALUES,
)
ANNOTATIONS = (
    st.fixed_dictionaries(
        {
            "notes": st.lists(NOTE, max_size=8) | JSON,
            "note_keys": st.fixed_dictionaries(
                {"included": st.sampled_from(["boolean", "string", "number", {"type": "boolean"}]) | JSON}
            )
            | JSON,
        }
    )
    | JSON
)
CONDITIONS = st.sampled_from([True, False, "true", "false", "left", "right", 0, 1, 2.0, "maybe"])


@st.composite
def readable_specifications(draw: st.DrawFn) -> Specification:
    conditions = draw(st.lists(CONDITIONS, max_size=2, unique_by=str))
    make = synthetic.two_groups if len(conditions) == 2 else synthetic.specification
    weights = draw(st.permutations([1, -1])) if len(conditions) == 2 else [1]
    try:
        return parse_specification(make(conditions=conditions, weights=weights))
    except SpecificationError:  # the two conditions are the same word
        return parse_specification(synthetic.specification())


@given(analyses=KEYS, annotation=ANNOTATIONS, specification=readable_specifications())
@settings(max_examples=400, deadline=None)
def test_any_annotation_gives_disjoint_groups_or_a_typed_error(
    analyses: list[tuple[str, str]], annotation: Any, specification: Specification
) -> None:
    before = repr(annotation)
    try:
        chosen = choose_analyses(analyses, annotation, specification)
    except SelectionError:
        pass
    else:
        second = () if chosen.second is None else chosen.second
        assert chosen.first
        assert (chosen.second is None) == (not specification.second)
        assert not set(chosen.first) & set(second)
        assert set(chosen.first) | set(second) <= set(range(len(analyses)))
    assert repr(annotation) == before


NOTED = st.lists(st.sampled_from([True, False, None]), min_size=2, max_size=8)


@given(values=NOTED.filter(lambda values: len({bool(value) for value in values}) == 2), order=st.randoms())
def test_true_and_false_share_out_all_analyses_whatever_the_order_of_the_notes(values: list[Any], order: Any) -> None:
    analyses = [(f"s{index // 2}", f"a{index}") for index in range(len(values))]
    notes = [synthetic.note(*key, included=value) for key, value in zip(analyses, values, strict=True)]
    order.shuffle(notes)
    annotation = synthetic.annotation(notes, {"included": "boolean"})

    chosen = choose_analyses(analyses, annotation, parse_specification(synthetic.two_groups()))
    swapped = choose_analyses(
        analyses, annotation, parse_specification(synthetic.two_groups(conditions=("false", "true")))
    )

    assert chosen.first == tuple(index for index, value in enumerate(values) if value)
    assert chosen.second == tuple(index for index, value in enumerate(values) if not value)
    assert (swapped.first, swapped.second) == (chosen.second, chosen.first)


STUDIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": SCALARS,
            "metadata": st.dictionaries(st.sampled_from(["n", "sample_sizes"]), JSON) | JSON,
            "analyses": st.lists(
                st.fixed_dictionaries({}, optional={"id": SCALARS, "metadata": JSON}) | JSON, max_size=3
            )
            | JSON,
        },
    )
    | JSON,
    max_size=3,
)


@given(document=st.fixed_dictionaries({}, optional={"studies": STUDIES | JSON}), annotation=ANNOTATIONS)
@settings(max_examples=200, deadline=None)
def test_any_studyset_keeps_its_shape_and_stays_unchanged_when_sample_sizes_are_filled_in(
    document: Document, annotation: Any
) -> None:
    before = repr(document)

    filled = with_sample_sizes(document, annotation).studyset

    assert repr(document) == before
    assert filled.keys() == document.keys()
    if isinstance(document.get("studies"), list):
        assert len(filled["studies"]) == len(document["studies"])
