"""Bundles on a disk: what is written is read back, no key is in it, and what is wrong with a file is said."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.analysis.fetch.bundle import Bundle, Origin
from compose_runner.analysis.fetch.bundle_files import load_bundle, save_bundle
from compose_runner.compose.document_shapes import SnapshotReference
from compose_runner.errors import AnalysisError, DocumentMalformedError, DocumentMissingError, ResultDirectoryError
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

STUDYSET = synthetic.random_studyset(n_studies=2)
BUNDLE = Bundle(
    studyset=STUDYSET,
    annotation=synthetic.annotated(STUDYSET),
    specification=synthetic.specification(),
    origin=Origin.LIVE,
    meta_analysis_id="meta",
    name="Pain — naïve",
    run_key="a-run-key-that-nobody-may-see",
    sources={"studyset": "https://store/studysets/1"},
    snapshots={"studyset": (SnapshotReference("snap", "md5sum"),), "annotation": ()},
)
PARTS = {part: getattr(BUNDLE, part) for part in ("studyset", "annotation", "specification")}


@pytest.mark.parametrize("name", ["bundle.json", "bundle.json.gz", "folder", "deeper/folder.with.dots"])
def test_a_saved_bundle_is_read_back_the_same(tmp_path: Path, name: str) -> None:
    bundle = load_bundle(save_bundle(BUNDLE, tmp_path / name))
    assert {part: getattr(bundle, part) for part in PARTS} == PARTS
    assert (bundle.meta_analysis_id, bundle.name, bundle.origin) == ("meta", BUNDLE.name, Origin.DISK)
    assert bundle.snapshots == BUNDLE.snapshots
    assert bundle.checksums() == BUNDLE.checksums()


@pytest.mark.parametrize("name", ["bundle.json", "bundle.json.gz", "folder"])
def test_no_key_is_saved(tmp_path: Path, name: str) -> None:
    save_bundle(BUNDLE, tmp_path / name)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        assert b"nobody-may-see" not in text
    assert load_bundle(tmp_path / name).run_key is None


def test_the_same_bundle_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save_bundle(BUNDLE, tmp_path / name).read_bytes() for name in ("a.json.gz", "b.json.gz"))
    assert first == second


@pytest.mark.parametrize(
    ("name", "file"),
    [("bundle.json", "bundle.json"), ("b.json.gz", "b.json.gz"), *(("b", f"b/{part}.json") for part in PARTS)],
)
@pytest.mark.parametrize("kind", ["file", "edited", "link", "folder"])
def test_a_bundle_is_not_saved_over_anything_else(tmp_path: Path, name: str, file: str, kind: str) -> None:
    outside = tmp_path / "outside.json"
    outside.write_bytes(b"mine")
    target = tmp_path / file
    target.parent.mkdir(exist_ok=True)
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "edited":
        save_bundle(BUNDLE, tmp_path / name)
        target.write_bytes(target.read_bytes() + b" ")
    elif kind == "link":
        target.symlink_to(outside)
    else:
        target.mkdir()

    def found() -> dict[str, Any]:
        return {str(path): path.read_bytes() if path.is_file() else path.is_dir() for path in tmp_path.rglob("*")}

    before = found()
    with pytest.raises(ResultDirectoryError, match=target.name):
        save_bundle(BUNDLE, tmp_path / name)
    assert found() == before


@pytest.mark.parametrize("name", ["bundle.json", "bundle.json.gz", "folder"])
def test_a_bundle_that_is_there_already_is_left_alone(tmp_path: Path, name: str) -> None:
    saved = save_bundle(BUNDLE, tmp_path / name)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = [(path, path.stat().st_ino) for path in files]
    assert save_bundle(BUNDLE, tmp_path / name) == saved
    assert [(path, path.stat().st_ino) for path in files] == before


def test_three_plain_files_are_a_bundle_and_take_their_label_from_the_caller(tmp_path: Path) -> None:
    for part, document in PARTS.items():
        content = json.dumps(document).encode()
        if part == "annotation":
            (tmp_path / f"{part}.json.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / f"{part}.json").write_bytes(content)
    assert load_bundle(tmp_path).meta_analysis_id is None
    bundle = load_bundle(tmp_path, label="mine")
    assert bundle.meta_analysis_id == "mine"
    assert bundle.sources["annotation"].endswith("annotation.json.gz")


def test_a_result_directory_is_a_bundle(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path / "bundle.json.gz")
    assert load_bundle(tmp_path).checksums() == BUNDLE.checksums()


def test_documents_in_composes_wrappers_are_unwrapped(tmp_path: Path) -> None:
    wrapped = {**PARTS, "studyset": {"id": "snap", "snapshot": {"snapshot": STUDYSET}}}
    (tmp_path / "b.json").write_text(json.dumps(wrapped))
    assert load_bundle(tmp_path / "b.json").studyset == STUDYSET


def test_checksums_depend_on_content_alone() -> None:
    turned = dict(reversed(list(STUDYSET.items())))
    same = Bundle(turned, BUNDLE.annotation, BUNDLE.specification, Origin.SNAPSHOT)
    other = Bundle({**STUDYSET, "name": "x"}, BUNDLE.annotation, BUNDLE.specification, Origin.LIVE)
    assert same.checksums() == BUNDLE.checksums()
    assert other.checksums()["studyset"] != BUNDLE.checksums()["studyset"]
    assert other.checksums()["annotation"] == BUNDLE.checksums()["annotation"]


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_that_lacks_is_named(tmp_path: Path, part: str) -> None:
    save_bundle(BUNDLE, tmp_path / "folder")
    (tmp_path / "folder" / f"{part}.json").unlink()
    with pytest.raises(DocumentMissingError, match=part):
        load_bundle(tmp_path / "folder")
    (tmp_path / "b.json").write_text(json.dumps({key: value for key, value in PARTS.items() if key != part}))
    with pytest.raises(DocumentMissingError, match=part):
        load_bundle(tmp_path / "b.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x1f\x8b broken", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_bundle_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(DocumentMalformedError, match=r"b\.json"):
        load_bundle(tmp_path / "b.json")


def test_a_path_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DocumentMissingError, match="nowhere"):
        load_bundle(tmp_path / "nowhere.json")


@pytest.mark.parametrize("value", [None, 5, "x", [], {}])
@pytest.mark.parametrize("part", list(PARTS))
def test_a_mistyped_part_is_an_error_or_is_left_to_later_stages(tmp_path: Path, part: str, value: Any) -> None:
    (tmp_path / "b.json").write_text(json.dumps({**PARTS, part: value, "meta_analysis": value}))
    if part == "specification" and value == {}:
        assert load_bundle(tmp_path / "b.json").specification == {}
        return
    with pytest.raises(AnalysisError, match=part):
        load_bundle(tmp_path / "b.json")
