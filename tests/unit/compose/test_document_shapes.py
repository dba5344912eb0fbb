"""Reading Compose's documents: every shape it ever served, and anything else without a traceback."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose_runner.compose.document_shapes import (
    Entity,
    SnapshotReference,
    canonical_json,
    identifier,
    references_in,
    references_in_project,
    results_in,
    same_content,
    snapshot_md5s,
    unwrapped,
)
from compose_runner.compose.json_documents import strict

STUDYSET = {"id": "store1", "studies": []}
ANNOTATION = {"id": "store2", "notes": [], "note_keys": {}}
CONTENT: dict[Entity, dict[str, Any]] = {Entity.STUDYSET: STUDYSET, Entity.ANNOTATION: ANNOTATION}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
# the keys that mean something, with values of every wrong type
KEYS = """id neurostore_id snapshot cached studyset neurostore_studyset neurostore_studyset_id cached_studyset
snapshot_studyset_id snapshots results studysets result_id md5 created_at studies notes annotation
neurostore_annotation annotations provenance"""
keys = st.sampled_from(KEYS.split())
documents = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("entity", Entity)
def test_the_oldest_shape_names_the_store_and_the_snapshot(entity: Entity) -> None:
    document = {
        entity.value: {"id": "snap", "neurostore_id": "store", "snapshot": None},
        f"cached_{entity.value}": "snap",
    }
    references = references_in(document, entity)
    assert references.store_ids == ("store",)
    assert references.snapshots == (SnapshotReference("snap"),)


@pytest.mark.parametrize("entity", Entity)
def test_an_embedded_snapshot_keeps_its_id(entity: Entity) -> None:
    document = {entity.value: {"id": "snap", "neurostore_id": "store", "snapshot": {"snapshot": CONTENT[entity]}}}
    (snapshot,) = references_in(document, entity).snapshots
    assert snapshot == SnapshotReference("snap", None, CONTENT[entity])


@pytest.mark.parametrize("entity", Entity)
def test_the_summary_shape_lists_snapshots_with_checksums_newest_first(entity: Entity) -> None:
    children = [{"id": "old", "md5": "1"}, {"id": "new", "md5": None}, "newest"]
    references = references_in({f"neurostore_{entity.value}": {"id": "store", entity.collection: children}}, entity)
    assert references.store_ids == ("store",)
    assert references.linked_ids == ("newest", "new", "old")
    assert references.snapshots == (
        SnapshotReference("newest"),
        SnapshotReference("new"),
        SnapshotReference("old", "1"),
    )


@pytest.mark.parametrize("entity", Entity)
def test_a_reference_with_the_snapshot_inside_has_content_but_no_snapshot_id(entity: Entity) -> None:
    document = {f"neurostore_{entity.value}": {"id": "store", "snapshot": CONTENT[entity]}}
    references = references_in(document, entity)
    assert references.store_ids == ("store",)
    assert references.snapshots == (SnapshotReference(None, None, CONTENT[entity]),)


@pytest.mark.parametrize("entity", Entity)
def test_a_string_can_stand_for_every_object(entity: Entity) -> None:
    document = {f"neurostore_{entity.value}": "store", f"snapshot_{entity.value}_id": "snap"}
    references = references_in(document, entity)
    assert references.store_ids == ("store",)
    assert references.reference_ids == ("store",)
    assert references.snapshots == (SnapshotReference("snap"),)


@pytest.mark.parametrize("entity", Entity)
def test_a_project_names_the_store_in_its_own_places(entity: Entity) -> None:
    direct = {f"neurostore_{entity.value}_id": "store"}
    nested = {"provenance": {"extractionMetadata": {f"{entity.value}Id": "store"}}}
    for project in (direct, nested, direct | nested):
        assert references_in_project(project, entity).store_ids == ("store",)


def test_the_dates_of_snapshots_decide_what_is_newest() -> None:
    children = [{"id": "b", "created_at": "2025-05-01"}, {"id": "a", "created_at": "2024-01-01"}]
    references = references_in({"neurostore_studyset": {"studysets": children}}, Entity.STUDYSET)
    assert [snapshot.snapshot_id for snapshot in references.snapshots] == ["b", "a"]


def test_results_are_named_newest_first_and_once() -> None:
    meta_analysis = {"snapshots": [{"result_id": "r1"}, {"result_id": "r2"}], "results": ["r1", "r2", "r3"]}
    embedded, ids = results_in(meta_analysis)
    assert embedded == [{"result_id": "r2"}, {"result_id": "r1"}]
    assert ids == ["r2", "r1", "r3"]


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"snapshot": d}, lambda d: {"snapshot": {"snapshot": d}}])
def test_a_snapshot_is_unwrapped_however_often_it_is_wrapped(wrap: Any) -> None:
    assert unwrapped(wrap(STUDYSET), Entity.STUDYSET) == STUDYSET
    assert unwrapped({"cached": wrap(STUDYSET)}, Entity.STUDYSET) == STUDYSET


@pytest.mark.parametrize("document", [None, "x", 3, [], {}, {"snapshot": None}, {"snapshot": "x"}, ANNOTATION])
def test_a_placeholder_has_no_content(document: object) -> None:
    assert unwrapped(document, Entity.STUDYSET) is None


def test_a_document_that_wraps_itself_ends() -> None:
    circle: dict[str, Any] = {}
    circle["snapshot"] = circle
    assert unwrapped(circle, Entity.STUDYSET) is None


def test_composes_checksum_of_a_wrapped_snapshot_is_recognised() -> None:
    content = {"b": "é", "a": [1, None]}
    stored = '{"snapshot":{"a":[1,null],"b":"é"}}'.encode()
    assert hashlib.md5(stored).hexdigest() in snapshot_md5s(content)
    assert hashlib.md5(canonical_json(content)).hexdigest() in snapshot_md5s(content)


def test_equal_content_does_not_depend_on_the_order_of_keys() -> None:
    assert same_content({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    assert not same_content({"a": 1}, {"a": True})


@given(documents)
def test_no_document_breaks_the_reader(document: Any) -> None:
    before = copy.deepcopy(document)
    for entity in Entity:
        references = references_in(document, entity)
        for identity in (*references.store_ids, *references.linked_ids, *references.reference_ids):
            assert identifier(identity) == identity
        for snapshot in references.snapshots:
            assert snapshot.snapshot_id is not None or snapshot.content is not None
        references_in_project(document, entity)
    if isinstance(document, dict):
        results_in(document)
    assert document == before


@given(documents)
def test_canonical_json_is_the_same_document(document: Any) -> None:
    assert json.loads(canonical_json(document)) == strict(document)
