"""The list of jobs tells what their files say, whatever these hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.pages_service import PagesService, job_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from compose_runner.local.state.listing import JobList


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PagesService]:
    with PagesService(tmp_path) as running:
        yield running


@pytest.fixture
def jobs(service: PagesService) -> JobList:
    return JobList(service.directory, job_id)


def test_the_newest_comes_first(service: PagesService, jobs: JobList) -> None:
    for hour, name in ((8, "first"), (12, "third"), (10, "second")):
        service.keep(name, startDate=f"2026-06-01T{hour:02}:00:00+00:00")

    assert [job["artifact_prefix"] for job in jobs.newest()] == ["third", "second", "first"]


def test_only_so_many_are_read(service: PagesService, jobs: JobList) -> None:
    for number in range(4):
        service.keep(f"job-{number}")
        os.utime(service.directory.jobs.folder / f"job-{number}.json", (number, number))

    assert {job["artifact_prefix"] for job in jobs.newest(2)} == {"job-3", "job-2"}


def test_a_running_job_has_its_progress_and_an_ended_one_its_title(service: PagesService, jobs: JobList) -> None:
    service.keep("runs", "RUNNING")
    service.put(".progress/runs.json", b'{"stage": "fit", "percent": 25.0}')
    service.keep("done", metadata={"name": "Pain", "estimator": "ALE", "result_url": None, "specification": {}})
    service.put("done/report.html", b"<p>")

    found = {job["artifact_prefix"]: job for job in jobs.newest()}

    assert found["runs"]["progress"] == {"stage": "fit", "percent": 25.0}
    assert found["done"]["report"] is True
    assert {key: found["done"][key] for key in ("name", "estimator", "meta_analysis_id")} == {
        "name": "Pain",
        "estimator": "ALE",
        "meta_analysis_id": "abc123",
    }
    assert "specification" not in found["done"]


def test_a_failed_job_says_why(service: PagesService, jobs: JobList) -> None:
    service.keep("failed", "FAILED", metadata={"error": "The studyset has no analyses."})
    service.keep("stopped", "ABORTED", cause="A client stopped it.")

    found = {job["artifact_prefix"]: (job["status"], job["error"]) for job in jobs.newest()}

    assert found == {
        "failed": ("FAILED", "The studyset has no analyses."),
        "stopped": ("FAILED", "The job was stopped before it was done. A client stopped it."),
    }


def test_a_job_that_ends_or_is_removed_is_told_anew(service: PagesService, jobs: JobList) -> None:
    service.keep("job", "RUNNING")
    assert jobs.newest()[0]["status"] == "RUNNING"
    service.keep("job", "FAILED", metadata={"error": "first"})
    assert jobs.newest()[0]["error"] == "first"
    (service.directory.jobs.folder / "job.json").unlink()
    assert jobs.newest() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"name": {"a": 1}}'])
def test_files_that_are_none_cost_only_themselves(service: PagesService, jobs: JobList, content: bytes) -> None:
    service.keep("done")
    service.put("done/metadata.json", content)
    service.keep("runs", "RUNNING")
    service.put(".progress/runs.json", content)
    service.keep("whole", metadata={"name": "Pain"})
    (service.directory.jobs.folder / "odd.json").write_bytes(content)
    (service.directory.jobs.folder / "linked.json").symlink_to(service.directory.jobs.folder / "whole.json")

    found = {job["artifact_prefix"]: job for job in jobs.newest()}

    assert set(found) == {"done", "runs", "whole"}
    assert "name" not in found["done"]
    assert json.dumps(list(found.values()))
