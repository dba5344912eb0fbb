"""A job that ended is removed whole, one that runs is not, and nothing that a job did not write is touched."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.local.state.directory import StateDirectory
from compose_runner.local.state.removal import JobNotKnownError, JobNotRemovedError, ended_before, remove_job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START, STOP = "2026-06-01T10:00:00+00:00", "2026-06-01T10:01:00+00:00"
DURING = datetime(2026, 6, 1, 10, 0, 30, tzinfo=UTC).timestamp()
AFTERWARDS = datetime(2026, 6, 2, tzinfo=UTC).timestamp()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[StateDirectory]:
    state_directory = StateDirectory(tmp_path / "data")
    yield state_directory
    state_directory.close()


def put(directory: StateDirectory, key: str, content: bytes = b"content", when: float = DURING) -> Path:
    path = directory.objects.find_path(key, "")
    assert path is not None
    directory.objects.write(path, content)
    os.utime(path, (when, when))
    return path


def make_job(directory: StateDirectory, name: str, status: str = "SUCCEEDED", **fields: Any) -> None:
    record = {"name": name, "status": status, "startDate": START, "stopDate": STOP, "input": "{}", **fields}
    directory.jobs.write(record)
    directory.logs.add(name, "/task", 1_780_308_000_000, "a line")
    directory.bundles.write(name, b"{}")
    for key in (f"{name}/z.nii.gz", f"{name}/tables/a.tsv", f".progress/{name}.json", f".progress/{name}/0.json"):
        put(directory, key)
    put(directory, f".checkpoints/{name}/state.npz")
    put(directory, f"{name}/metadata.json", json.dumps({"artifact_prefix": name}).encode())


def files(directory: StateDirectory) -> set[str]:
    return {
        path.relative_to(directory.directory).as_posix()
        for path in directory.directory.rglob("*")
        if (path.is_file() or path.is_symlink()) and path.name != ".lock"
    }


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_nothing_of_a_job_that_ended_is_left_and_all_of_the_others(directory: StateDirectory, status: str) -> None:
    make_job(directory, "job-2")
    make_job(directory, "runs", "RUNNING", stopDate=None)
    before = files(directory)
    make_job(directory, "job", status)

    assert remove_job(directory, "job") == []

    assert files(directory) == before
    assert not (directory.objects.folder / "job").exists()


def test_a_job_that_runs_is_not_removed(directory: StateDirectory) -> None:
    make_job(directory, "job", "RUNNING", stopDate=None)
    before = files(directory)

    with pytest.raises(JobNotRemovedError, match="the job job runs"):
        remove_job(directory, "job")

    assert files(directory) == before


@pytest.mark.parametrize("name", ["nothing", "../jobs/job", "", ".", "job/tables", "a" * 81])
def test_what_is_no_job_is_not_removed(directory: StateDirectory, name: str) -> None:
    make_job(directory, "job")
    before = files(directory)

    with pytest.raises(JobNotKnownError):
        remove_job(directory, name)

    assert files(directory) == before


def test_a_record_that_cannot_be_read_removes_nothing(directory: StateDirectory) -> None:
    make_job(directory, "job")
    (directory.jobs.folder / "job.json").write_text("{")
    before = files(directory)

    with pytest.raises(JobNotRemovedError, match="cannot be read"):
        remove_job(directory, "job")

    assert files(directory) == before


def test_files_that_the_job_did_not_write_stay_and_are_named(directory: StateDirectory, tmp_path: Path) -> None:
    make_job(directory, "job")
    (tmp_path / "thesis.tex").write_text("mine")
    notes = put(directory, "job/notes.txt", when=AFTERWARDS)
    deep = put(directory, "job/tables/mine.tsv", when=DURING - 3600)
    link = directory.objects.folder / "job" / "link"
    link.symlink_to(tmp_path / "thesis.tex")
    folder = directory.objects.folder / "job" / "folder"
    folder.symlink_to(tmp_path)

    left = remove_job(directory, "job")

    assert left == [notes, deep]
    assert files(directory) == {"artifacts/job/notes.txt", "artifacts/job/tables/mine.tsv", "artifacts/job/link"} | {
        "artifacts/job/folder"
    }
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_link_in_the_place_of_a_jobs_folder_or_file_leads_nowhere(directory: StateDirectory, tmp_path: Path) -> None:
    make_job(directory, "job")
    elsewhere = tmp_path / "elsewhere"
    (directory.objects.folder / "job").rename(elsewhere)
    (directory.objects.folder / "job").symlink_to(elsewhere)
    log = directory.logs.folder / "job.jsonl"
    log.unlink()
    log.symlink_to(elsewhere / "z.nii.gz")

    remove_job(directory, "job")

    assert {path.name for path in elsewhere.rglob("*") if path.is_file()} == {"z.nii.gz", "a.tsv", "metadata.json"}
    assert log.is_symlink()


def test_artifacts_of_a_copy_with_other_times_are_known_by_their_checksums(directory: StateDirectory) -> None:
    make_job(directory, "job")
    artifacts = [
        {"filename": name, "sha256": hashlib.sha256(b"content").hexdigest()} for name in ("z.nii.gz", "tables/a.tsv")
    ]
    put(directory, "job/metadata.json", json.dumps({"artifact_prefix": "job", "artifacts": artifacts}).encode())
    for path in (directory.objects.folder / "job").rglob("*"):
        os.utime(path, (AFTERWARDS, AFTERWARDS))
    changed = put(directory, "job/tables/a.tsv", b"what somebody wrote over it", AFTERWARDS)

    assert remove_job(directory, "job") == [changed]
    assert changed.read_bytes() == b"what somebody wrote over it"


@pytest.mark.parametrize("metadata", [b"[]", b"{", b'{"artifacts": 1}', b'{"artifact_prefix": "other"}', b"[" * 10_000])
def test_metadata_that_is_none_decides_nothing(directory: StateDirectory, metadata: bytes) -> None:
    make_job(directory, "job")
    kept = put(directory, "job/metadata.json", metadata, AFTERWARDS)

    assert remove_job(directory, "job") == [kept]


def test_the_name_is_taken_until_all_files_are_gone(directory: StateDirectory) -> None:
    make_job(directory, "job")
    seen: list[tuple[str, bool, bool]] = []

    def forget(name: str) -> None:
        seen.append((name, directory.jobs.knows(name), (directory.objects.folder / name).exists()))

    remove_job(directory, "job", forget)

    assert seen == [("job", True, False)]


def test_jobs_are_old_by_their_end(directory: StateDirectory) -> None:
    make_job(directory, "old")
    make_job(directory, "new", stopDate="2026-06-03T10:00:00+00:00")
    make_job(directory, "runs", "RUNNING", stopDate=None)

    assert list(ended_before(directory, datetime(2026, 6, 2, tzinfo=UTC))) == ["old"]
