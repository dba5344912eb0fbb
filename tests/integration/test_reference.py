"""Reference studysets: where they come from, how they are kept, and that the user's own studies are not in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compose_runner.analysis.select import reference
from compose_runner.analysis.select import release as release_tables
from compose_runner.analysis.select.reference import (
    CACHE_DIR_VARIABLE,
    ReferenceFile,
    cache_directory,
    fetch_reference,
    load_reference,
    read_reference,
)
from compose_runner.compose.environments import (
    REFERENCE_STUDYSETS_URL,
    Environment,
    environment_named,
    reference_studysets,
)
from compose_runner.errors import (
    DocumentMalformedError,
    DocumentMissingError,
    ServiceUnavailableError,
    SpecificationError,
)
from tests.support import synthetic
from tests.support.compose_stand_in import Answer, ComposeStandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATABASE = synthetic.random_studyset(n_studies=3, analyses_per_study=1, foci_per_analysis=2)
STUDY_IDS = [study["id"] for study in DATABASE["studies"]]
STATIC = gzip.compress(json.dumps(DATABASE).encode())
NIGHTLY = "neurostore.org/api/neurostore-studyset-releases/nightly/download"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        monkeypatch.setenv(REFERENCE_STUDYSETS_URL, f"{server.endpoint}/raw")
        server.put_file("raw/main/neurosynth.json.gz", STATIC)
        yield server


@pytest.fixture
def production(service: ComposeStandIn) -> Environment:
    return service.environment()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A release of parquet tables as the store serves it."""
    from nimare.nimads import Studyset

    folder = tmp_path_factory.mktemp("release") / "neurostore-studyset-nightly"
    Studyset(DATABASE, target=None).to_parquet(folder)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return content.getvalue()


def make_archive(**files: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, inner in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(inner)
            archive.addfile(member, io.BytesIO(inner))
    return content.getvalue()


def test_addresses_are_those_of_the_contract() -> None:
    production = reference_studysets(environment_named("production", {}), {})
    staging = reference_studysets(environment_named("staging", {}), {})
    base = "https://github.com/neurostuff/neurostore_database/raw"
    assert production == {
        "neurosynth": f"{base}/main/neurosynth.json.gz",
        "neuroquery": f"{base}/main/neuroquery.json.gz",
        "neurostore": "https://neurostore.org/api/neurostore-studyset-releases/nightly/download",
    }
    assert staging["neurostore_small"] == f"{base}/staging/neurostore_small.json.gz"
    assert staging["neurostore"].startswith("https://staging.neurostore.xyz/api/")


def test_the_users_own_studies_are_left_out_of_a_static_one(production: Environment, tmp_path: Path) -> None:
    studyset = load_reference("neurosynth", production, {STUDY_IDS[1]}, cache_dir=tmp_path)
    assert sorted(studyset.study_ids) == [STUDY_IDS[0], STUDY_IDS[2]]
    assert set(studyset.coordinates["space"]) == {"mni152_2mm"}


def test_the_users_own_studies_are_left_out_of_a_release(
    service: ComposeStandIn, production: Environment, tmp_path: Path, release: bytes
) -> None:
    service.put_file(NIGHTLY, release)
    studyset = load_reference("neurostore", production, {STUDY_IDS[1]}, cache_dir=tmp_path)
    assert sorted(studyset.study_ids) == [STUDY_IDS[0], STUDY_IDS[2]]
    assert len(studyset.coordinates) == 4
    assert set(studyset.coordinates["space"]) == {"mni152_2mm"}


def test_a_second_use_asks_whether_it_changed_and_downloads_nothing(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    first = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    second = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    assert first == second
    assert [request.headers.get("if-none-match") is None for request in service.requests] == [True, False]


def test_a_new_version_replaces_the_old_one(service: ComposeStandIn, production: Environment, tmp_path: Path) -> None:
    old = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    newer = gzip.compress(json.dumps({**DATABASE, "studies": DATABASE["studies"][:1]}).encode())
    service.put_file("raw/main/neurosynth.json.gz", newer)
    new = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    assert new.sha256 != old.sha256
    assert new.path.read_bytes() == newer


def test_progress_counts_to_the_last_byte(production: Environment, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch_reference("neurosynth", production, cache_dir=tmp_path, progress=lambda *step: seen.append(step))
    assert seen[-1] == (len(STATIC), len(STATIC))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_interrupted_download_is_begun_again(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    service.fail_path("GET", "raw/main/neurosynth.json.gz", Answer(body=STATIC, cut_at=100))
    found = fetch_reference("neurosynth", production, cache_dir=tmp_path, attempts=1)
    assert found.path.read_bytes() == STATIC


def test_a_download_that_never_completes_leaves_the_cache_as_it_was(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    known = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    service.put_file("raw/main/neurosynth.json.gz", STATIC + b"more")
    service.fail_path("GET", "raw/main/neurosynth.json.gz", Answer(body=STATIC, cut_at=100))
    again = fetch_reference("neurosynth", production, cache_dir=tmp_path, attempts=0)
    assert again == known
    assert known.path.read_bytes() == STATIC
    assert not list(known.path.parent.glob(".partial-*"))


def test_what_a_killed_process_left_is_removed(production: Environment, tmp_path: Path) -> None:
    folder = fetch_reference("neurosynth", production, cache_dir=tmp_path).path.parent
    (folder / ".partial-abc").write_bytes(b"half")
    fetch_reference("neurosynth", production, cache_dir=tmp_path)
    assert not list(folder.glob(".partial-*"))


def test_a_file_that_is_not_the_recorded_one_is_downloaded_again(production: Environment, tmp_path: Path) -> None:
    found = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    found.path.write_bytes(STATIC[:50])
    assert fetch_reference("neurosynth", production, cache_dir=tmp_path).path.read_bytes() == STATIC


def test_of_two_at_the_same_time_one_downloads(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    start = threading.Barrier(3)
    found = []

    def fetch() -> None:
        start.wait()
        found.append(fetch_reference("neurosynth", production, cache_dir=tmp_path))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert sorted("if-none-match" in request.headers for request in service.requests) == [False, True]


def test_a_cached_copy_serves_when_the_service_is_out_of_reach(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    known = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    service.fail_path("GET", "raw/main/neurosynth.json.gz", Answer(503))
    assert fetch_reference("neurosynth", production, cache_dir=tmp_path, attempts=0) == known


def test_without_a_copy_a_service_out_of_reach_is_tried_later(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    service.fail_path("GET", "raw/main/neurosynth.json.gz", Answer(503))
    with pytest.raises(ServiceUnavailableError, match="neurosynth"):
        fetch_reference("neurosynth", production, cache_dir=tmp_path, attempts=0)


def test_an_unknown_name_lists_those_that_there_are(production: Environment, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"'neurovault'.*neurosynth, neuroquery, neurostore"):
        load_reference("neurovault", production, cache_dir=tmp_path)


def test_one_that_is_not_served_is_named(production: Environment, tmp_path: Path) -> None:
    with pytest.raises(DocumentMissingError, match=r"neuroquery.*404"):
        load_reference("neuroquery", production, cache_dir=tmp_path)


def test_a_page_instead_of_the_file_is_refused_and_not_kept(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    service.put_file("raw/main/neurosynth.json.gz", b"<html>not today</html>")
    with pytest.raises(DocumentMalformedError, match="neurosynth"):
        load_reference("neurosynth", production, cache_dir=tmp_path)
    service.put_file("raw/main/neurosynth.json.gz", STATIC)
    assert len(load_reference("neurosynth", production, cache_dir=tmp_path).study_ids) == 3


@pytest.mark.parametrize("content", [gzip.compress(b"no json"), gzip.compress(b"{}"), STATIC[:200]])
def test_a_static_one_with_other_content_is_an_error(
    service: ComposeStandIn, production: Environment, tmp_path: Path, content: bytes
) -> None:
    service.put_file("raw/main/neurosynth.json.gz", content)
    with pytest.raises(DocumentMalformedError, match="neurosynth"):
        load_reference("neurosynth", production, cache_dir=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"no archive"),
        make_archive(other=b"x"),
        make_archive(**{"release/studyset.json": b"{}"}),
        make_archive(**{"../outside.txt": b"x"}),
    ],
)
def test_a_release_with_other_content_is_an_error(
    service: ComposeStandIn, production: Environment, tmp_path: Path, content: bytes
) -> None:
    service.put_file(NIGHTLY, content)
    with pytest.raises(DocumentMalformedError, match="neurostore"):
        load_reference("neurostore", production, cache_dir=tmp_path)
    assert not (tmp_path / "outside.txt").exists()


def repacked(release: bytes, change: Callable[[Path], object], tmp_path: Path) -> bytes:
    """A release of which one file was changed."""
    with tarfile.open(fileobj=io.BytesIO(release)) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path.parent for path in tmp_path.rglob("studyset.json"))
    change(folder)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return content.getvalue()


def with_column(table: str, column: str, value: Any) -> Callable[[Path], object]:
    """Put one value into every row of a column."""

    def change(folder: Path) -> None:
        path = folder / f"{table}.parquet"
        content = pq.read_table(path)
        index = content.schema.names.index(column)
        pq.write_table(content.set_column(index, column, pa.array([value] * len(content))), path)

    return change


def with_content(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


TABLES = ("studies", "analyses", "coordinates", "metadata", "texts")


@pytest.mark.parametrize(
    "change",
    [
        *(
            with_column(table, column, value)
            for table, column in [("studies", "study_id"), ("analyses", "id"), ("analyses", "study_id")]
            for value in (None, 1, [1], {"a": 1}, 1e308)
        ),
        *(with_column("coordinates", "y", value) for value in (float("inf"), -1e308, 10**7, "far", [1.0], {"a": 1.0})),
        *(with_column("coordinates", "space", value) for value in (5, ["MNI"], {"a": "MNI"})),
        with_column("analyses", "name", [1]),
        *(
            with_content("studyset.json", content)
            for content in (b"", b"[]", b'"x"', b"[" * 100_000, bytes(range(256)), b'{"a": 1' + b"0" * 5000 + b"}")
        ),
        *(
            with_content(f"{table}.parquet", content)
            for table in TABLES
            for content in (b"", b"PAR1" + bytes(400) + b"PAR1")
        ),
    ],
)
def test_a_release_of_other_tables_is_an_error_before_nimare_reads_them(
    release: bytes, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "neurostore.tar.gz"
    path.write_bytes(repacked(release, change, tmp_path / "changed"))
    with pytest.raises(DocumentMalformedError, match="neurostore"):
        read_reference(ReferenceFile("neurostore", path, "https://store", ""))


@pytest.mark.parametrize("limit", ["MOST_ROWS", "MOST_VALUES", "MOST_TEXT_BYTES"])
def test_a_table_that_unfolds_to_too_much_is_not_unfolded(
    release: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    def change(folder: Path) -> None:
        same = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 5000]))
        pq.write_table(pa.table({"id": same}), folder / "texts.parquet")
        assert (folder / "texts.parquet").stat().st_size < 20_000  # 100 MB when it is unfolded

    monkeypatch.setattr(release_tables, limit, 10_000)
    path = tmp_path / "neurostore.tar.gz"
    path.write_bytes(repacked(release, change, tmp_path / "changed"))
    with pytest.raises(DocumentMalformedError, match="can be worked with"):
        read_reference(ReferenceFile("neurostore", path, "https://store", ""))
    assert pa.default_memory_pool().max_memory() < 80 << 20


def test_the_cache_directory_can_be_chosen(tmp_path: Path) -> None:
    assert cache_directory({CACHE_DIR_VARIABLE: str(tmp_path)}) == tmp_path
    assert "compose-runner" in cache_directory({}).parts


def with_member(**fields: object) -> bytes:
    """An archive of one member that is not what it should be."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("release/x")
        for name, value in fields.items():
            setattr(member, name, value)
        archive.addfile(member)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (with_member(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "no plain file"),
        (with_member(type=tarfile.LNKTYPE, linkname="../../x"), "no plain file"),
        (with_member(type=tarfile.CHRTYPE), "no plain file"),
        (with_member(type=tarfile.FIFOTYPE), "no plain file"),
        (make_archive(**{"/etc/passwd": b"x"}), "studyset.json"),
        (make_archive(**{f"f{number}": b"" for number in range(30)}), "more than 20 files"),
        (make_archive(big=bytes(1 << 20)), "unfolds to more than 1,000,000 bytes"),
        (with_member(pax_headers={"comment": "x" * (1 << 21)}), "too long"),
    ],
)
def test_an_archive_holds_plain_files_within_bounds(
    service: ComposeStandIn,
    production: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    reason: str,
) -> None:
    monkeypatch.setattr(reference, "MOST_MEMBERS", 20)
    monkeypatch.setattr(reference, "MOST_UNFOLDED_BYTES", 4_000_000 if reason == "too long" else 1_000_000)
    service.put_file(NIGHTLY, content)
    with pytest.raises(DocumentMalformedError, match=reason):
        load_reference("neurostore", production, cache_dir=tmp_path)


def test_a_document_unfolds_within_bounds(
    service: ComposeStandIn, production: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MOST_DOCUMENT_BYTES", 1_000_000)
    service.put_file("raw/main/neurosynth.json.gz", gzip.compress(b"[" + b" " * 10_000_000))
    with pytest.raises(DocumentMalformedError, match="not compressed JSON"):
        load_reference("neurosynth", production, cache_dir=tmp_path)


def test_a_file_that_cannot_be_used_is_fetched_anew(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    service.put_file("raw/main/neurosynth.json.gz", gzip.compress(b"{}"))
    for _ in range(2):
        with pytest.raises(DocumentMalformedError):
            load_reference("neurosynth", production, cache_dir=tmp_path)
    assert ["if-none-match" in request.headers for request in service.requests] == [False, False]


def test_a_file_that_was_exchanged_in_the_cache_never_serves(
    service: ComposeStandIn, production: Environment, tmp_path: Path
) -> None:
    known = fetch_reference("neurosynth", production, cache_dir=tmp_path)
    known.path.write_bytes(bytes(len(STATIC)))
    assert fetch_reference("neurosynth", production, cache_dir=tmp_path) == known
    assert known.path.read_bytes() == STATIC
    known.path.write_bytes(bytes(len(STATIC)))
    service.fail_path("GET", "raw/main/neurosynth.json.gz", Answer(503))
    with pytest.raises(ServiceUnavailableError):
        fetch_reference("neurosynth", production, cache_dir=tmp_path, attempts=0)
