"""Fetching a bundle over HTTP: which documents are asked for, which are preferred, and what is said when one lacks."""

from __future__ import annotations

import copy
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_runner.analysis.fetch.bundle import Origin, fetch_bundle
from compose_runner.errors import (
    ComposeRunnerError,
    DocumentMalformedError,
    DocumentMissingError,
    ServiceUnavailableError,
)
from tests.support import synthetic
from tests.support.compose_stand_in import STORE_HOST, Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_KEY = "a-run-key-that-nobody-may-see"
LIVE = synthetic.random_studyset(n_studies=2, studyset_id="storeset")
LIVE_NOTES = {**synthetic.annotated(LIVE), "id": "storenote"}
OLD = synthetic.random_studyset(n_studies=3, studyset_id="storeset")
OLD_NOTES = {**synthetic.annotated(OLD), "id": "storenote"}

BARE = {"id": "meta", "name": "Pain", "run_key": RUN_KEY, "specification": synthetic.specification()}
SUMMARY = {
    **BARE,
    "project": "proj",
    "snapshots": [
        {"result_id": "res1", "snapshot_studyset_id": "snapset0", "snapshot_annotation_id": "snapnote0"},
        {"result_id": "res2", "snapshot_studyset_id": "snapset", "snapshot_annotation_id": "snapnote"},
    ],
    "results": ["res1", "res2"],
    "neurostore_studyset": {"id": "storeset", "studysets": [{"id": "snapset", "md5": None}]},
    "neurostore_annotation": {"id": "storenote", "annotations": [{"id": "snapnote", "md5": None}]},
}


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        yield server


def put_live(compose: ComposeStandIn) -> None:
    compose.put("studysets/storeset", LIVE, host=STORE_HOST)
    compose.put("annotations/storenote", LIVE_NOTES, host=STORE_HOST)


def put_snapshots(compose: ComposeStandIn, suffix: str = "") -> None:
    compose.put(f"snapshot-studysets/snapset{suffix}", {"id": f"snapset{suffix}", "snapshot": {"snapshot": OLD}})
    compose.put(f"snapshot-annotations/snapnote{suffix}", {"snapshot": OLD_NOTES})


def fetch(compose: ComposeStandIn, meta_analysis: Any, **more: Any) -> Any:
    compose.put("meta-analyses/meta", meta_analysis)
    return fetch_bundle("meta", compose.environment(), attempts=more.pop("attempts", 0))


def test_three_requests_are_enough_for_live_documents(compose: ComposeStandIn) -> None:
    put_live(compose)
    put_snapshots(compose)
    bundle = fetch(compose, SUMMARY)
    assert bundle.studyset == LIVE
    assert bundle.annotation == LIVE_NOTES
    assert bundle.specification == BARE["specification"]
    assert bundle.origin is Origin.LIVE
    assert dict(compose.asked()) == {
        f"{compose.compose_host}/api/meta-analyses/meta": 1,
        f"{STORE_HOST}/api/studysets/storeset": 1,
        f"{STORE_HOST}/api/annotations/storenote": 1,
    }
    nested = {request.path: request.query.get("nested") for request in compose.requests}
    assert nested[f"{STORE_HOST}/api/studysets/storeset"] == ["true"]
    assert nested[f"{compose.compose_host}/api/meta-analyses/meta"] == ["true"]


def test_studyset_and_annotation_are_asked_for_at_the_same_time(compose: ComposeStandIn) -> None:
    put_live(compose)
    together = threading.Event()
    # each waits until the other has come
    for name in ("studysets/storeset", "annotations/storenote"):
        compose.fail("GET", name, Answer(503, hold=together), host=STORE_HOST)
    compose.put("meta-analyses/meta", SUMMARY)
    bundles: list[Any] = []
    fetching = threading.Thread(target=lambda: bundles.append(fetch_bundle("meta", compose.environment(), attempts=1)))
    fetching.start()
    while len(compose.requests) < 3:
        assert fetching.is_alive()
        fetching.join(0.005)
    together.set()
    fetching.join()
    assert bundles[0].studyset == LIVE


def test_the_run_key_is_there_but_never_shown(compose: ComposeStandIn) -> None:
    put_live(compose)
    bundle = fetch(compose, SUMMARY)
    assert bundle.run_key == RUN_KEY
    assert RUN_KEY not in repr(bundle)


def test_every_document_has_its_address(compose: ComposeStandIn) -> None:
    put_live(compose)
    sources = fetch(compose, SUMMARY).sources
    assert sources["studyset"] == f"{compose.neurostore_api}/studysets/storeset"
    assert sources["annotation"] == f"{compose.neurostore_api}/annotations/storenote"
    assert sources["specification"] == f"{compose.compose_api}/meta-analyses/meta"


def test_snapshots_serve_when_the_store_has_none(compose: ComposeStandIn) -> None:
    put_snapshots(compose)
    bundle = fetch(compose, SUMMARY)
    assert bundle.origin is Origin.SNAPSHOT
    assert bundle.studyset == OLD
    assert bundle.annotation == OLD_NOTES
    assert [snapshot.snapshot_id for snapshot in bundle.snapshots["studyset"]] == ["snapset", "snapset0"]


def test_an_older_snapshot_serves_when_the_newest_is_a_placeholder(compose: ComposeStandIn) -> None:
    put_snapshots(compose, "0")
    compose.put("snapshot-studysets/snapset", {"id": "snapset", "snapshot": None})
    compose.put("snapshot-annotations/snapnote", {"id": "snapnote", "snapshot": None})
    bundle = fetch(compose, SUMMARY)
    assert bundle.sources["studyset"].endswith("/snapshot-studysets/snapset0")
    assert bundle.sources["annotation"].endswith("/snapshot-annotations/snapnote0")


@pytest.mark.parametrize("missing", ["studysets/storeset", "annotations/storenote"])
def test_live_and_snapshot_are_never_mixed(compose: ComposeStandIn, missing: str) -> None:
    put_live(compose)
    put_snapshots(compose)
    compose.remove(missing, host=STORE_HOST)
    bundle = fetch(compose, SUMMARY)
    assert (bundle.studyset, bundle.annotation) == (OLD, OLD_NOTES)
    assert bundle.origin is Origin.SNAPSHOT


def test_half_of_the_live_documents_without_snapshots_is_an_error_that_names_what_lacks(
    compose: ComposeStandIn,
) -> None:
    put_live(compose)
    compose.remove("annotations/storenote", host=STORE_HOST)
    with pytest.raises(DocumentMissingError) as error:
        fetch(compose, SUMMARY)
    assert error.value.document == "annotation of meta-analysis meta"
    assert f"{compose.neurostore_api}/annotations/storenote" in str(error.value)


def shapes() -> dict[str, dict[str, Any]]:
    """Meta-analyses in every shape, each leading to the same live documents."""
    children = {"studysets": [{"id": "storeset"}]}, {"annotations": [{"neurostore_id": "storenote"}]}
    return {
        "oldest, placeholders": {
            "studyset": {"id": "snapset", "neurostore_id": "storeset", "snapshot": None},
            "annotation": {"id": "snapnote", "neurostore_id": "storenote", "snapshot": None},
            "cached_studyset": "snapset",
            "cached_annotation": "snapnote",
        },
        "ids as objects": {
            "neurostore_studyset": {"id": "storeset", "snapshot": None},
            "neurostore_annotation": {"id": "storenote", "snapshot": None},
        },
        "ids as strings": {"neurostore_studyset": "storeset", "neurostore_annotation": "storenote"},
        "ids in fields of their own": {
            "neurostore_studyset_id": "storeset",
            "neurostore_annotation_id": {"id": "storenote"},
        },
        "only the project knows": {"project": "proj", "neurostore_studyset": None},
        "the project is embedded": {
            "project": {"neurostore_studyset_id": "storeset", "neurostore_annotation_id": "storenote"}
        },
        "linked documents": {
            "neurostore_studyset": {"id": "gone", **children[0]},
            "neurostore_annotation": {"id": "gone", **children[1]},
        },
        "references by id": {"neurostore_studyset": "ref", "neurostore_annotation": "ref"},
        "a result document embedded": {
            "results": [{"id": "res", "neurostore_studyset_id": "storeset", "neurostore_annotation_id": "storenote"}]
        },
        "snapshots that know their origin": {
            "snapshots": [{"snapshot_studyset_id": "snapset", "snapshot_annotation_id": "snapnote"}],
            "cached_studyset": "snapset",
            "cached_annotation": {"id": "snapnote"},
        },
    }


@pytest.mark.parametrize("name", list(shapes()))
def test_every_shape_leads_to_the_live_documents(compose: ComposeStandIn, name: str) -> None:
    put_live(compose)
    compose.put("projects/proj", {"neurostore_studyset_id": "storeset", "neurostore_annotation_id": "storenote"})
    compose.put("neurostore-studysets/ref", {"id": "ref", "studysets": [{"id": "storeset"}]})
    compose.put("neurostore-annotations/ref", {"id": "ref", "annotations": ["storenote"]})
    compose.put("snapshot-studysets/snapset", {"id": "snapset", "neurostore_id": "storeset", "snapshot": None})
    compose.put("snapshot-annotations/snapnote", {"id": "snapnote", "neurostore_id": "storenote"})
    bundle = fetch(compose, {**BARE, **shapes()[name]})
    assert (bundle.studyset, bundle.annotation, bundle.origin) == (LIVE, LIVE_NOTES, Origin.LIVE)


def snapshot_shapes() -> dict[str, dict[str, Any]]:
    """Meta-analyses in every shape, each leading to the same snapshots."""
    return {
        "embedded": {"studyset": {"id": "a", "snapshot": OLD}, "annotation": {"id": "b", "snapshot": OLD_NOTES}},
        "embedded and wrapped": {
            "studyset": {"snapshot": {"snapshot": OLD}},
            "annotation": {"cached": {"snapshot": OLD_NOTES}},
        },
        "bare": {"studyset": OLD, "annotation": OLD_NOTES},
        "embedded in references": {
            "neurostore_studyset": {"id": "gone", "snapshot": OLD},
            "neurostore_annotation": {"id": "gone", "snapshot": OLD_NOTES},
        },
        "by id": {"snapshots": [{"snapshot_studyset_id": "snapset", "snapshot_annotation_id": {"id": "snapnote"}}]},
        "by cached id": {"cached_studyset": "snapset", "cached_annotation": "snapnote"},
        "in summaries": {
            "neurostore_studyset": {"id": "gone", "studysets": [{"id": "older"}, {"id": "snapset"}]},
            "neurostore_annotation": {"id": "gone", "annotations": ["older", "snapnote"]},
        },
        "through a result": {"results": ["lost", "res"]},
        "half embedded, half by id": {"studyset": {"snapshot": OLD}, "cached_annotation": "snapnote"},
        "halves of different results": {
            "snapshots": [{"snapshot_studyset_id": "snapset"}, {"snapshot_annotation_id": "snapnote"}]
        },
    }


@pytest.mark.parametrize("name", list(snapshot_shapes()))
def test_every_shape_leads_to_the_snapshots(compose: ComposeStandIn, name: str) -> None:
    put_snapshots(compose)
    compose.put(
        "meta-analysis-results/res",
        {"id": "res", "snapshot_studyset_id": "snapset", "snapshot_annotation_id": "snapnote"},
    )
    bundle = fetch(compose, {**BARE, **snapshot_shapes()[name]})
    assert (bundle.studyset, bundle.annotation, bundle.origin) == (OLD, OLD_NOTES, Origin.SNAPSHOT)


def test_no_document_is_asked_for_twice(compose: ComposeStandIn) -> None:
    put_snapshots(compose)
    fetch(compose, SUMMARY)
    assert max(compose.asked().values()) == 1


def test_ids_are_quoted_in_addresses(compose: ComposeStandIn) -> None:
    odd = "../a b/ü?x=1#y%2F"
    compose.put(f"meta-analyses/{odd}", {**BARE, "neurostore_studyset": odd, "neurostore_annotation": odd})
    compose.put(f"studysets/{odd}", LIVE, host=STORE_HOST)
    compose.put(f"annotations/{odd}", LIVE_NOTES, host=STORE_HOST)
    assert fetch_bundle(odd, compose.environment()).studyset == LIVE


def test_an_unknown_meta_analysis_is_named_with_its_address(compose: ComposeStandIn) -> None:
    with pytest.raises(DocumentMissingError) as error:
        fetch_bundle("nowhere", compose.environment(), attempts=0)
    assert "meta-analysis nowhere" in str(error.value)
    assert f"{compose.compose_api}/meta-analyses/nowhere" in str(error.value)
    assert error.value.exit_code == 1


@pytest.mark.parametrize("identity", ["", "   "])
def test_an_empty_id_is_refused_without_a_request(compose: ComposeStandIn, identity: str) -> None:
    with pytest.raises(DocumentMissingError, match="empty"):
        fetch_bundle(identity, compose.environment())
    assert not compose.requests


def test_a_specification_by_id_is_fetched(compose: ComposeStandIn) -> None:
    put_live(compose)
    compose.put("specifications/spec", BARE["specification"])
    bundle = fetch(compose, {**SUMMARY, "specification": "spec"})
    assert bundle.specification == BARE["specification"]
    assert bundle.sources["specification"] == f"{compose.compose_api}/specifications/spec"


@pytest.mark.parametrize("specification", [None, "lost", 5, []])
def test_a_meta_analysis_without_specification_is_an_error_before_anything_else_is_fetched(
    compose: ComposeStandIn, specification: object
) -> None:
    put_live(compose)
    with pytest.raises((DocumentMissingError, DocumentMalformedError), match="specification"):
        fetch(compose, {**SUMMARY, "specification": specification})
    assert not any(request.path.startswith(STORE_HOST) for request in compose.requests)


def test_a_temporary_failure_is_retried(compose: ComposeStandIn) -> None:
    put_live(compose)
    compose.fail("GET", "meta-analyses/meta", Answer(503))
    compose.fail("GET", "studysets/storeset", Answer(drop=True), host=STORE_HOST)
    compose.fail("GET", "annotations/storenote", Answer(429, headers={"Retry-After": "0"}), host=STORE_HOST)
    assert fetch(compose, SUMMARY, attempts=2).studyset == LIVE


def test_a_store_out_of_reach_is_tried_later_and_not_replaced_by_snapshots(compose: ComposeStandIn) -> None:
    put_live(compose)
    put_snapshots(compose)
    compose.fail("GET", "studysets/storeset", Answer(503), host=STORE_HOST)
    with pytest.raises(ServiceUnavailableError) as error:
        fetch(compose, SUMMARY)
    assert "studyset storeset" in str(error.value)
    assert error.value.exit_code == 75


def test_a_project_out_of_reach_does_not_stop_a_run_that_has_snapshots(compose: ComposeStandIn) -> None:
    put_snapshots(compose)
    compose.fail("GET", "projects/proj", Answer(500))
    assert fetch(compose, SUMMARY).origin is Origin.SNAPSHOT


def test_a_project_out_of_reach_is_tried_later_when_only_it_knows_the_ids(compose: ComposeStandIn) -> None:
    compose.fail("GET", "projects/proj", Answer(500))
    with pytest.raises(ServiceUnavailableError, match="project proj"):
        fetch(compose, {**BARE, "project": "proj"})


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b"", b'"text"', b"[]", b"{}", b'{"studies": {}}'])
def test_garbage_from_the_store_is_an_error_that_names_the_document(compose: ComposeStandIn, body: bytes) -> None:
    put_live(compose)
    compose.fail("GET", "studysets/storeset", Answer(body=body), host=STORE_HOST)
    with pytest.raises(DocumentMalformedError, match="studyset storeset"):
        fetch(compose, SUMMARY)


def test_json_nested_too_deeply_to_read_is_an_error_and_no_traceback(compose: ComposeStandIn) -> None:
    compose.fail("GET", "meta-analyses/meta", Answer(body=b"[" * 200_000))
    with pytest.raises(DocumentMalformedError, match="meta-analysis meta"):
        fetch(compose, SUMMARY)


def test_a_wrong_place_inside_a_studyset_is_named(compose: ComposeStandIn) -> None:
    put_live(compose)
    broken = copy.deepcopy(LIVE)
    broken["studies"][1]["analyses"][0]["points"] = "none"
    compose.put("studysets/storeset", broken, host=STORE_HOST)
    with pytest.raises(DocumentMalformedError, match=re.escape("studies[1].analyses[0].points is not a list")):
        fetch(compose, SUMMARY)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [place for step, inner in steps for place in ((*path, step), *places(inner, (*path, step)))]


EVERYTHING = {**SUMMARY, **snapshot_shapes()["embedded"], **shapes()["linked documents"]}


@pytest.fixture(scope="module")
def shared_compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        put_live(server)
        put_snapshots(server)
        yield server


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.sampled_from([SUMMARY, EVERYTHING, *({**BARE, **shape} for shape in shapes().values())]),
    changes=st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.sampled_from(["drop", None, 0, "", "x", True, [], {}, [None], [[]], {"id": 5}, {"id": None}]),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_truncated_or_mistyped_meta_analysis_gives_a_bundle_or_a_typed_error(
    shared_compose: ComposeStandIn, document: dict[str, Any], changes: list[tuple[int, Any]]
) -> None:
    document = copy.deepcopy(document)
    for number, value in changes:
        if not (found := places(document)):
            break
        *path, last = found[number % len(found)]
        part: Any = document
        for step in path:
            part = part[step]
        if value == "drop":
            del part[last]
        else:
            part[last] = copy.deepcopy(value)
    shared_compose.put("meta-analyses/meta", document)
    try:
        bundle = fetch_bundle("meta", shared_compose.environment(), attempts=0)
    except ComposeRunnerError as error:
        said = str(error)
    else:
        said = repr(bundle)
        assert isinstance(bundle.studyset["studies"], list)
        assert isinstance(bundle.annotation["notes"], list)
    assert RUN_KEY not in said


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2000), name=st.sampled_from(["meta-analyses/meta", "studysets/storeset"]))
def test_a_truncated_answer_gives_a_typed_error(shared_compose: ComposeStandIn, cut: int, name: str) -> None:
    shared_compose.put("meta-analyses/meta", SUMMARY)
    host = STORE_HOST if name.startswith("studysets") else None
    whole = json.dumps(LIVE if host else SUMMARY).encode()
    shared_compose.fail("GET", name, Answer(body=whole[: min(cut, len(whole) - 1)]), host=host)
    with pytest.raises(DocumentMalformedError):
        fetch_bundle("meta", shared_compose.environment(), attempts=0)


RECORDED = {
    "ataCTPAt2LMw": ("compose.neurosynth.org", "neurostore.org", 5, 21),
    "mHtoV82Dmnm9": ("compose.neurosynth.org", "neurostore.org", 52, 182),
    "jeqZ65Bsnniw": ("dev.synth.neurostore.xyz", "dev.neurostore.xyz", None, None),
}


@pytest.mark.parametrize("meta_analysis_id", RECORDED)
def test_real_meta_analyses_are_fetched_with_three_requests(recorded: Path, meta_analysis_id: str) -> None:
    compose_host, store_host, studies, analyses = RECORDED[meta_analysis_id]
    with ComposeStandIn(recorded, compose_host=compose_host, store_host=store_host) as compose:
        bundle = fetch_bundle(meta_analysis_id, compose.environment())
        assert len(compose.requests) == 3
    assert bundle.origin is Origin.LIVE
    if studies is not None:
        assert len(bundle.studyset["studies"]) == studies
        assert sum(len(study["analyses"]) for study in bundle.studyset["studies"]) == analyses


@pytest.mark.parametrize("meta_analysis_id", ["ataCTPAt2LMw", "mHtoV82Dmnm9"])
def test_real_snapshots_serve_when_the_store_has_lost_its_documents(recorded: Path, meta_analysis_id: str) -> None:
    with ComposeStandIn(recorded, store_host="a-store-that-has-nothing") as compose:
        bundle = fetch_bundle(meta_analysis_id, compose.environment())
    assert bundle.origin is Origin.SNAPSHOT
    assert len(bundle.studyset["studies"]) == RECORDED[meta_analysis_id][2]
