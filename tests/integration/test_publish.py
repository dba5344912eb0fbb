"""Publishing a result directory on a stand-in for Compose: one result, whatever happens, and no key anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner import __version__
from compose_runner.analysis.fetch.bundle import Bundle, fetch_bundle
from compose_runner.analysis.publish.publishing import (
    Published,
    find_page,
    matching_snapshots,
    prepare_publish,
    publish,
)
from compose_runner.analysis.write.result_directory import ResultDirectory
from compose_runner.analysis.write.result_record import compute_sha256
from compose_runner.compose.document_shapes import Entity, canonical_json
from compose_runner.errors import PublishError, ResultDirectoryError, ServiceUnavailableError, UploadKeyError
from tests.support import synthetic
from tests.support.compose_stand_in import RESULTS, Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "a-run-key-that-nobody-may-see"
STUDYSET = {**synthetic.random_studyset(n_studies=2), "name": "naïve"}
ANNOTATION = synthetic.annotated(STUDYSET)
META_ANALYSIS: dict[str, Any] = {
    "id": "meta",
    "run_key": KEY,
    "specification": synthetic.specification(),
    "neurostore_studyset": {"id": "storeset", "studysets": [{"id": "snapset", "md5": None}]},
    "neurostore_annotation": {"id": "storenote", "annotations": [{"id": "snapnote", "md5": None}]},
    "results": ["before"],
}

MAPS = ["z.nii.gz", "p.nii.gz", "z_corr-FDR_method-indep.nii.gz"]
LABELS = ["label_corr-FDR_method-indep_tail-positive.nii.gz"]
CLUSTERS = "z_corr-FDR_method-indep_tab-clust.tsv"
NO_CLUSTERS = "z_corr-FDR_method-indep_desc-mass_tab-clust.tsv"
COUNTS = "z_corr-FDR_method-indep_diag-FocusCounter_tab-counts_tail-positive.tsv"


@pytest.fixture
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn(upload_key=KEY) as server:
        server.put_meta_analysis(META_ANALYSIS, STUDYSET, ANNOTATION)
        yield server


@pytest.fixture
def result_dir(tmp_path: Path) -> Path:
    """What a run leaves behind, and what somebody else keeps beside it."""
    directory = ResultDirectory(tmp_path / "result")
    with directory.writing() as folder:
        for name in (*MAPS, *LABELS):
            (folder / name).write_bytes(b"\x1f\x8b\r\n--map " + name.encode())
        (folder / CLUSTERS).write_text("Cluster ID\tX\nPositiveTail 1\t-48.0\n")
        (folder / NO_CLUSTERS).write_text("Cluster ID\tX\n")
        (folder / COUNTS).write_text("id\tPositiveTail 1\nstudy\t3\n")
        (folder / "ibma_coverage.tsv").write_text("study_id\tincluded\ns\ttrue\n")
        (folder / "boilerplate.txt").write_text("A meta-analysis was “performed”.")
        (folder / "references.bib").write_text("@article{a}")
        (folder / "meta_results.pkl").write_bytes(b"pickle")
    directory.write_metadata({"artifacts": directory.artifacts()})
    (directory.path / "private_scan.nii.gz").write_bytes(b"mine")
    (directory.path / "patients.tsv").write_text("name\tage\nsomebody\t50\n")
    return directory.path


def prepared(compose: ComposeStandIn, result_dir: Path) -> Bundle:
    bundle = fetch_bundle("meta", compose.environment())
    prepare_publish(result_dir, bundle, compose.environment())
    return bundle


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def record(result_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((result_dir / "publish.json").read_text())
    return content


def published(compose: ComposeStandIn, result_dir: Path, **more: Any) -> Published:
    return publish(result_dir, environment=compose.environment(), attempts=more.pop("attempts", 0), **more)


def test_compose_gets_every_map_table_and_text_under_its_field(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    outcome = published(compose, result_dir)
    result = compose.results[outcome.result_id]
    assert set(result.parts("statistical_maps")) == set(MAPS)
    assert result.parts("statistical_maps")["z.nii.gz"] == (result_dir / "z.nii.gz").read_bytes()
    assert set(result.parts("cluster_tables")) == {CLUSTERS}
    assert set(result.parts("diagnostic_tables")) == {COUNTS}
    assert result.field("method_description") == "A meta-analysis was “performed”."
    assert result.field("method_references") == "@article{a}"
    assert len(result.uploads[-1]) == len(MAPS) + 4
    assert outcome.url == f"{compose.endpoint}/{compose.compose_host}/meta-analyses/meta"


def test_empty_texts_are_left_out(compose: ComposeStandIn, result_dir: Path) -> None:
    ResultDirectory(result_dir).write("references.bib", b"\n")
    ResultDirectory(result_dir).remove("boilerplate.txt")
    prepared(compose, result_dir)
    (part_names,) = [{part.name for part in compose.results[published(compose, result_dir).result_id].uploads[-1]}]
    assert part_names == {"statistical_maps", "cluster_tables", "diagnostic_tables"}


def test_inputs_are_sent_whole_when_compose_has_no_snapshot_of_them(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    created = compose.results[published(compose, result_dir).result_id].created
    assert created == {
        "meta_analysis_id": "meta",
        "cli_version": __version__,
        "snapshot_studyset": STUDYSET,
        "snapshot_annotation": ANNOTATION,
    }


def test_snapshots_of_the_same_content_are_linked(compose: ComposeStandIn, result_dir: Path) -> None:
    turned = dict(reversed(list(STUDYSET.items())))
    compose.put("snapshot-studysets/snapset", {"id": "snapset", "snapshot": {"snapshot": turned}})
    compose.put("snapshot-annotations/snapnote", {"id": "snapnote", "snapshot": {**ANNOTATION, "name": "older"}})
    prepared(compose, result_dir)
    created = compose.results[published(compose, result_dir).result_id].created
    assert created["snapshot_studyset_id"] == "snapset"
    assert "snapshot_studyset" not in created
    assert created["snapshot_annotation"] == ANNOTATION
    assert "snapshot_annotation_id" not in created
    assert record(result_dir)["sent"] == {"studyset": "snapset", "annotation": "whole"}


def test_an_equal_checksum_links_a_snapshot_without_fetching_it(compose: ComposeStandIn) -> None:
    import hashlib

    md5 = hashlib.md5(canonical_json({"snapshot": STUDYSET})).hexdigest()
    listed = {"id": "storeset", "studysets": [{"id": "snapset", "md5": md5}]}
    compose.put("meta-analyses/meta", {**META_ANALYSIS, "neurostore_studyset": listed})
    bundle = fetch_bundle("meta", compose.environment())
    snapshots = matching_snapshots(bundle, compose.environment(), attempts=0)
    assert snapshots == {Entity.STUDYSET: "snapset", Entity.ANNOTATION: None}
    assert f"{compose.compose_host}/api/snapshot-studysets/snapset" not in compose.asked()


def test_a_snapshot_that_cannot_be_fetched_is_not_linked(compose: ComposeStandIn) -> None:
    compose.fail("GET", "snapshot-studysets/snapset", Answer(500))
    bundle = fetch_bundle("meta", compose.environment())
    assert matching_snapshots(bundle, compose.environment(), attempts=0)[Entity.STUDYSET] is None


def test_the_callers_key_wins_over_the_run_key(compose: ComposeStandIn, result_dir: Path) -> None:
    compose.upload_key = "the-callers"
    prepared(compose, result_dir)
    published(compose, result_dir, upload_key="the-callers")
    sent = [request.headers["compose-upload-key"] for request in compose.requests if request.method != "GET"]
    assert sent == ["the-callers", "the-callers"]


def test_no_key_is_kept_in_the_result_directory(compose: ComposeStandIn, result_dir: Path) -> None:
    import gzip

    prepared(compose, result_dir)
    published(compose, result_dir)
    for path in (path for path in result_dir.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert KEY.encode() not in content
        if path.name == "bundle.json.gz":
            assert KEY.encode() not in gzip.decompress(content)


def test_publishing_again_sends_nothing(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    first = published(compose, result_dir)
    asked = len(compose.requests)
    assert published(compose, result_dir) == first
    assert len(compose.requests) == asked


def test_a_failed_upload_is_repeated_without_a_second_result(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("PUT", f"{RESULTS}/result1", Answer(500))
    with pytest.raises(ServiceUnavailableError, match="500"):
        published(compose, result_dir)
    assert record(result_dir)["state"] == "created"
    assert record(result_dir)["result_id"] == "result1"
    assert published(compose, result_dir).result_id == "result1"
    assert compose.asked("POST").total() == 1
    assert compose.asked("PUT").total() == 2
    assert record(result_dir)["state"] == "uploaded"


def test_the_upload_of_files_is_retried_by_itself(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("PUT", f"{RESULTS}/result1", Answer(503))
    assert published(compose, result_dir, attempts=1).result_id == "result1"
    assert compose.asked("PUT").total() == 2


@pytest.mark.parametrize("answer", [Answer(500), Answer(502), Answer(503), Answer(drop=True)])
def test_a_post_is_never_repeated_by_itself(compose: ComposeStandIn, result_dir: Path, answer: Answer) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, answer)
    with pytest.raises(ServiceUnavailableError):
        published(compose, result_dir, attempts=4)
    assert compose.asked("POST").total() == 1
    assert record(result_dir)["state"] == "creating"


def test_a_listener_gets_the_record_right_before_and_after_the_result_is_made(
    compose: ComposeStandIn, result_dir: Path
) -> None:
    prepared(compose, result_dir)
    heard: list[tuple[str, int]] = []

    def hear(result_dir: Path) -> None:
        heard.append((record(result_dir)["state"], compose.asked("POST").total()))

    published(compose, result_dir, on_change=hear)

    assert heard == [("creating", 0), ("created", 1), ("uploaded", 1)]


def test_no_result_is_made_when_its_record_cannot_be_kept(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)

    def refuse(result_dir: Path) -> None:
        raise OSError("nowhere to keep it")

    with pytest.raises(OSError, match="nowhere"):
        published(compose, result_dir, on_change=refuse)
    assert compose.results == {}


@pytest.mark.parametrize("lost", [Answer(drop=True, receive=True), Answer(504, receive=True)])
def test_a_result_whose_answer_was_lost_is_found_and_filled(
    compose: ComposeStandIn, result_dir: Path, lost: Answer
) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, lost)
    with pytest.raises(ServiceUnavailableError):
        published(compose, result_dir)
    # another run's result came in between; it has files already
    compose.put("meta-analyses/meta", {**META_ANALYSIS, "results": ["before", "result1", "another"]})
    compose.put(f"{RESULTS}/another", {"id": "another", "neurovault_collection": {"files": [{"image_id": "1"}]}})
    compose.put(f"{RESULTS}/result1", {"id": "result1", "neurovault_collection": {"files": []}})
    assert published(compose, result_dir).result_id == "result1"
    assert compose.asked("POST").total() == 1
    assert len(compose.results["result1"].uploads) == 1


def test_a_result_that_was_not_made_after_all_is_made(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, Answer(502))
    with pytest.raises(ServiceUnavailableError):
        published(compose, result_dir)
    assert published(compose, result_dir).result_id == "result1"
    assert len(compose.results) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_told_in_composes_words_without_the_key(
    compose: ComposeStandIn, result_dir: Path, status: int
) -> None:
    prepared(compose, result_dir)
    detail = f"NeuroVault has a collection of that name {KEY} " + "x" * 5000
    compose.fail("POST", RESULTS, Answer(status, body={"detail": detail}))
    with pytest.raises(PublishError) as error:
        published(compose, result_dir)
    assert "NeuroVault has a collection of that name" in str(error.value)
    assert str(status) in str(error.value)
    assert KEY not in str(error.value)
    assert len(str(error.value)) < 700
    assert record(result_dir)["state"] == "prepared"
    assert published(compose, result_dir).result_id == "result1"


def test_a_refused_upload_of_files_keeps_the_result(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("PUT", f"{RESULTS}/result1", Answer(422, body={"message": "not a map"}))
    with pytest.raises(PublishError, match="not a map"):
        published(compose, result_dir)
    assert record(result_dir)["result_id"] == "result1"


def test_a_page_from_a_proxy_is_told_as_text(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, Answer(413, body=b"<html><h1>Request Entity Too Large</h1></html>"))
    with pytest.raises(PublishError, match="413: Request Entity Too Large"):
        published(compose, result_dir)


def test_the_key_does_not_follow_a_redirect(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, Answer(302, headers={"Location": f"{compose.endpoint}/elsewhere"}))
    with pytest.raises(PublishError, match="302"):
        published(compose, result_dir)
    assert not any(request.path == "elsewhere" for request in compose.requests)


def test_without_any_key_nothing_is_sent(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.put("meta-analyses/meta", {**META_ANALYSIS, "run_key": None})
    with pytest.raises(PublishError, match="--nsc-key"):
        published(compose, result_dir)
    assert not compose.asked("POST")


def test_a_key_that_cannot_be_a_header_is_refused_without_showing_it(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    with pytest.raises(PublishError) as error:
        published(compose, result_dir, upload_key="secret\nX-Other: 1")
    assert "secret" not in str(error.value)


def test_a_meta_analysis_that_is_gone_is_named(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    compose.remove("meta-analyses/meta")
    with pytest.raises(PublishError, match="meta-analysis meta"):
        published(compose, result_dir)


def test_a_directory_without_maps_is_not_published(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    for name in MAPS:
        ResultDirectory(result_dir).remove(name)
    with pytest.raises(PublishError, match="no statistical map"):
        published(compose, result_dir)
    assert not compose.results


@pytest.mark.parametrize("content", [None, "{", '{"state": "unheard of"}'])
def test_a_directory_without_a_readable_record_is_not_published(
    compose: ComposeStandIn, result_dir: Path, content: str | None
) -> None:
    if content is not None:
        (result_dir / "publish.json").write_text(content)
    with pytest.raises(PublishError, match=r"publish\.json"):
        published(compose, result_dir)


def test_the_record_says_which_environment(compose: ComposeStandIn, result_dir: Path, monkeypatch: Any) -> None:
    bundle = fetch_bundle("meta", compose.environment())
    prepare_publish(result_dir, bundle, compose.environment("staging"))
    assert record(result_dir)["environment"] == "staging"
    for name, value in compose.variables().items():
        monkeypatch.setenv(name, value)
    assert publish(result_dir, attempts=0).result_id == "result1"


def test_a_bundle_without_an_id_leaves_no_record(tmp_path: Path, compose: ComposeStandIn) -> None:
    from compose_runner.analysis.fetch.bundle import Origin

    bundle = Bundle(STUDYSET, ANNOTATION, META_ANALYSIS["specification"], Origin.DISK)
    prepare_publish(tmp_path, bundle, compose.environment())
    assert visible(tmp_path) == set()


def test_a_bundle_without_an_id_takes_the_place_of_what_was_published_before(
    compose: ComposeStandIn, result_dir: Path
) -> None:
    from compose_runner.analysis.fetch.bundle import Origin

    prepared(compose, result_dir)
    bundle = Bundle(STUDYSET, ANNOTATION, META_ANALYSIS["specification"], Origin.DISK)
    prepare_publish(result_dir, bundle, compose.environment())
    with pytest.raises(PublishError, match=r"publish\.json"):
        published(compose, result_dir)


def test_a_new_run_on_the_same_inputs_fills_the_result_that_was_left_empty(
    compose: ComposeStandIn, result_dir: Path
) -> None:
    prepared(compose, result_dir)
    compose.fail("PUT", f"{RESULTS}/result1", Answer(422))
    with pytest.raises(PublishError):
        published(compose, result_dir)
    prepared(compose, result_dir)
    assert published(compose, result_dir).result_id == "result1"


def test_a_new_run_after_a_complete_upload_makes_a_result_of_its_own(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    assert published(compose, result_dir).result_id == "result1"
    prepared(compose, result_dir)
    assert published(compose, result_dir).result_id == "result2"


def test_two_processes_do_not_publish_the_same_directory(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    with ResultDirectory(result_dir).locked(), pytest.raises(ResultDirectoryError, match="another process"):
        published(compose, result_dir)


@pytest.mark.parametrize("name", [MAPS[0], CLUSTERS, "boilerplate.txt", "bundle.json.gz"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_file_that_is_not_as_the_run_wrote_it_is_not_published(
    compose: ComposeStandIn, result_dir: Path, name: str, missing: bool
) -> None:
    prepared(compose, result_dir)
    if missing:
        (result_dir / name).unlink()
    else:
        (result_dir / name).write_bytes(b"other content")
    with pytest.raises(PublishError, match=name.split(".")[0]):
        published(compose, result_dir)
    assert not compose.results


def test_a_run_that_did_not_finish_is_not_published(compose: ComposeStandIn, result_dir: Path) -> None:
    prepared(compose, result_dir)
    ResultDirectory(result_dir).remove("metadata.json")
    with pytest.raises(PublishError, match="did not finish"):
        published(compose, result_dir)


def test_a_directory_of_the_version_before_is_published_without_what_it_did_not_write(
    compose: ComposeStandIn, result_dir: Path
) -> None:
    import shutil

    prepared(compose, result_dir)
    # that version listed whatever it found
    listed = [
        {"filename": path.name, "size": path.stat().st_size, "sha256": compute_sha256(path)}
        for path in result_dir.iterdir()
        if path.is_file() and path.name not in ("metadata.json", "publish.json")
    ]
    assert "private_scan.nii.gz" in {entry["filename"] for entry in listed}
    (result_dir / "metadata.json").write_text(json.dumps({"artifacts": listed}))
    shutil.rmtree(result_dir / ".compose-runner")

    result = compose.results[published(compose, result_dir).result_id]

    assert set(result.parts("statistical_maps")) == set(MAPS)
    assert set(result.parts("diagnostic_tables")) == {COUNTS}


def test_another_environment_can_be_chosen_until_the_upload_has_begun(
    compose: ComposeStandIn, result_dir: Path
) -> None:
    prepared(compose, result_dir)
    staging = compose.environment("staging")
    assert find_page(result_dir, staging) == (staging.find_page("meta"), False)
    compose.fail("PUT", f"{RESULTS}/result1", Answer(422))
    with pytest.raises(PublishError):
        publish(result_dir, environment=staging, attempts=0)
    assert record(result_dir)["environment"] == "staging"
    with pytest.raises(PublishError, match="begun on staging"):
        publish(result_dir, environment=compose.environment("production"), attempts=0)
    assert publish(result_dir, environment=staging, attempts=0).result_id == "result1"
    assert find_page(result_dir, staging)[1]


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_is_an_error_of_its_own(compose: ComposeStandIn, result_dir: Path, status: int) -> None:
    prepared(compose, result_dir)
    compose.fail("POST", RESULTS, Answer(status))
    with pytest.raises(UploadKeyError):
        published(compose, result_dir)


def test_a_directory_without_a_result_is_left_as_it_is(compose: ComposeStandIn, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PublishError, match="no result"):
        published(compose, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
