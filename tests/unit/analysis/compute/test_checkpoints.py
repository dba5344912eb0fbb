"""What is kept of an interrupted run, and that nothing broken is gone on from."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from compose_runner.analysis.compute.checkpoints import (
    INPUTS,
    CheckpointDirectory,
    CheckpointStore,
    fingerprint,
    keep_inputs,
    kept_inputs,
)
from compose_runner.analysis.fetch.bundle import Bundle, Origin
from compose_runner.errors import ServiceUnavailableError
from tests.support import synthetic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ARRAYS = {"rows": np.arange(6.0).reshape(3, 2), "range": np.array([0, 10]), "sum_histogram": np.array([1, 2])}


class _Broken:
    """A backend that cannot be written to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, name: str) -> bytes | None:
        return None

    def write(self, name: str, content: bytes) -> None:
        raise self.error

    def clear(self) -> None: ...


def bundle(seed: int = 0) -> Bundle:
    studyset = synthetic.random_studyset(3, seed=seed)
    return Bundle(
        studyset,
        synthetic.annotated(studyset),
        synthetic.specification(),
        Origin.SNAPSHOT,
        meta_analysis_id="one",
        name="One",
        run_key="a secret",
        sources={"studyset": "https://store/studysets/1"},
    )


def same(one: Mapping[str, np.ndarray] | None, other: Mapping[str, np.ndarray]) -> bool:
    return one is not None and one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_arrays_come_back_as_they_were_kept(tmp_path: Path) -> None:
    store = CheckpointStore(CheckpointDirectory(tmp_path / "kept"), "mark")
    assert store.load("null") is None
    store.save("null", ARRAYS)
    assert same(store.load("null"), ARRAYS)
    assert CheckpointStore(CheckpointDirectory(tmp_path / "kept"), "other").load("null") is None


def test_nothing_is_made_before_something_is_kept(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path / "kept")
    CheckpointStore(directory, "mark").load("null")
    directory.keep_only("mark")
    directory.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 30, -40])
def test_a_checkpoint_that_is_broken_counts_as_not_there(tmp_path: Path, length: int) -> None:
    directory = CheckpointDirectory(tmp_path)
    store = CheckpointStore(directory, "mark")
    store.save("null", ARRAYS)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:length])
    assert store.load("null") is None


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    store = CheckpointStore(CheckpointDirectory(tmp_path), "mark")
    (tmp_path / "mark").mkdir()
    np.savez(tmp_path / "mark" / "null.npz", rows=np.array([object()], dtype=object), range=np.array([0, 1]))
    assert store.load("null") is None


def test_checkpoints_of_other_runs_are_removed(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    for mark in ("old", "mark"):
        CheckpointStore(directory, mark).save("null", ARRAYS)
    directory.keep_only("mark")
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


@pytest.mark.parametrize("error", [OSError("No space left on device"), ServiceUnavailableError("x", "s3://x", "503")])
def test_a_run_goes_on_without_a_checkpoint_that_cannot_be_kept_unless_it_is_a_shard(error: Exception) -> None:
    CheckpointStore(_Broken(error), "mark").save("null", ARRAYS)
    with pytest.raises(type(error)):
        CheckpointStore(_Broken(error), "mark", required=True).save("null", ARRAYS)


def test_inputs_are_kept_once_and_before_the_first_checkpoint(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    found: list[int] = []
    store = CheckpointStore(directory, "mark", lambda: found.append(len(list(tmp_path.rglob("*.npz")))))
    store.save("null", ARRAYS)
    store.save("null", ARRAYS)
    assert found == [0]


def test_inputs_come_back_as_they_were_fetched_without_the_run_key(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path)
    assert kept_inputs(directory) is None
    kept = bundle()
    keep_inputs(kept, directory)
    again = kept_inputs(directory)
    assert again is not None
    assert again.checksums() == kept.checksums()
    assert (again.origin, again.meta_analysis_id, again.name) == (Origin.SNAPSHOT, "one", "One")
    assert again.sources == kept.sources
    assert again.run_key is None
    assert b"a secret" not in gzip.decompress((tmp_path / INPUTS).read_bytes())


def test_everything_that_changes_a_number_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = fingerprint(bundle(), 42, "auto")
    assert fingerprint(bundle(), 42, "auto") == mark
    others = {fingerprint(bundle(1), 42, "auto"), fingerprint(bundle(), 7, "auto"), fingerprint(bundle(), 42, "nimare")}
    monkeypatch.setattr("compose_runner.analysis.compute.checkpoints.versions", lambda: {"nimare": "another"})
    others.add(fingerprint(bundle(), 42, "auto"))
    assert len(others | {mark}) == 5
