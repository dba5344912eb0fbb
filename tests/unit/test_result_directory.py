from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.result_directory import ResultDirectory, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_files_appear_together_when_the_block_ends(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path / "results")
    with directory.writing() as folder:
        (folder / "z.nii.gz").write_bytes(b"map")
        (folder / "figures").mkdir()
        (folder / "figures" / "map.png").write_bytes(b"picture")
        assert directory.artifacts() == []
    assert [artifact["filename"] for artifact in directory.artifacts()] == ["figures/map.png", "z.nii.gz"]


def test_a_run_that_dies_while_writing_leaves_no_file_that_looks_complete(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)

    def killed_while_writing() -> None:
        with directory.writing() as folder:
            (folder / "z.nii.gz").write_bytes(b"half a m")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed_while_writing()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_not_an_artifact_and_is_removed_by_the_next(tmp_path: Path) -> None:
    unfinished = tmp_path / ".unfinished-killed"
    unfinished.mkdir()
    (unfinished / "z.nii.gz").write_bytes(b"half a m")
    directory = ResultDirectory(tmp_path)
    assert directory.artifacts() == []
    directory.clear()
    assert not unfinished.exists()


def test_artifacts_carry_size_and_checksum(tmp_path: Path) -> None:
    (tmp_path / "z.nii.gz").write_bytes(b"map")
    (artifact,) = ResultDirectory(tmp_path).artifacts()
    assert artifact == {"filename": "z.nii.gz", "size": 3, "sha256": hashlib.sha256(b"map").hexdigest()}


def test_metadata_and_input_images_are_not_artifacts(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)
    directory.write_metadata({"seed": 42})
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "study.nii.gz").write_bytes(b"input")
    assert directory.artifacts() == []


def test_clear_removes_an_earlier_runs_artifacts_and_nothing_else(tmp_path: Path) -> None:
    directory = ResultDirectory(tmp_path)
    (tmp_path / "z.nii.gz").write_bytes(b"map")
    directory.write_metadata({"artifacts": directory.artifacts()})
    (tmp_path / "notes.txt").write_text("mine")
    directory.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("filename", ["../outside.txt", "/etc/hostname", None, 3])
def test_clear_never_follows_a_manipulated_record_out_of_the_directory(tmp_path: Path, filename: object) -> None:
    (tmp_path / "outside.txt").write_text("mine")
    directory = ResultDirectory(tmp_path / "results")
    directory.write_metadata({"artifacts": [{"filename": filename}, "nonsense"]})
    directory.clear()
    assert (tmp_path / "outside.txt").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_metadata_that_cannot_be_read_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    assert ResultDirectory(tmp_path).read_metadata() is None


def test_write_whole_replaces_a_file_or_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metadata.json"
    write_whole(path, json.dumps({"seed": 1}).encode())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, json.dumps({"seed": 2}).encode())
    assert json.loads(path.read_bytes()) == {"seed": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["metadata.json"]
