"""The jobs of a state directory as a list, the newest first, made from their files."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from compose_runner.local.state.private_files import OddFileError, read_whole
from compose_runner.local.state.records import RUNNING
from compose_runner.service import failure
from compose_runner.service.ports import Execution
from compose_runner.service.storage import JobPaths, is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compose_runner.local.state.directory import StateDirectory
    from compose_runner.local.state.records import JobRecord

# as many are read and kept in memory
MOST_JOBS = 200
_MAX_METADATA_BYTES = 64 << 20
_MAX_PROGRESS_BYTES = 1 << 20
_SHOWN = ("name", "meta_analysis_id", "estimator", "result_url")


class JobList:
    """Lists jobs.

    Parameters
    ----------
    directory : StateDirectory
        Where they are kept.
    job_id : callable
        Gives the id of the job of a name.
    """

    def __init__(self, directory: StateDirectory, job_id: Callable[[str], str]) -> None:
        self._directory = directory
        self._job_id = job_id
        self._lock = threading.Lock()
        # entries of jobs that have ended, with the time of their record
        self._ended: dict[str, tuple[int, dict[str, Any]]] = {}

    def newest(self, most: int = MOST_JOBS) -> list[dict[str, Any]]:
        """Describe the jobs that were started last, the newest first.

        Parameters
        ----------
        most : int
            How many at most.
        """
        with self._lock:
            found = sorted(self._records(), reverse=True)[: min(most, MOST_JOBS)]
            entries = [entry for changed, name in found if (entry := self._entry(name, changed)) is not None]
            names = {name for _, name in found}
            self._ended = {name: kept for name, kept in self._ended.items() if name in names}
        return sorted(entries, key=lambda entry: entry["start_time"], reverse=True)

    def _records(self) -> list[tuple[int, str]]:
        with os.scandir(self._directory.jobs.folder) as files:
            return [
                (file.stat(follow_symlinks=False).st_mtime_ns, file.name.removesuffix(".json"))
                for file in files
                if file.name.endswith(".json") and is_artifact_prefix(file.name.removesuffix(".json"))
            ]

    def _entry(self, name: str, changed: int) -> dict[str, Any] | None:
        kept = self._ended.get(name)
        if kept is not None and kept[0] == changed:
            return kept[1]
        record = self._directory.jobs.read(name)
        if record is None:
            return None
        entry = self._describe(record)
        if record.status != RUNNING:
            self._ended[name] = (changed, entry)
        return entry

    def _describe(self, record: JobRecord) -> dict[str, Any]:
        job_id = self._job_id(record.name)
        entry: dict[str, Any] = {
            "artifact_prefix": record.name,
            "job_id": job_id,
            "status": record.status if record.status in (RUNNING, "SUCCEEDED") else "FAILED",
            "execution_status": record.status,
            "start_time": record.startDate.isoformat(),
            "status_url": f"/status/jobs/{job_id}",
        }
        given = json.loads(record.input)
        if isinstance(given, dict) and isinstance(given.get("meta_analysis_id"), str):
            entry["meta_analysis_id"] = given["meta_analysis_id"]
        if record.stopDate is not None:
            entry["stop_time"] = record.stopDate.isoformat()
        paths = JobPaths("", record.name)
        if record.status == RUNNING:
            if progress := self._read(paths.progress, _MAX_PROGRESS_BYTES):
                entry["progress"] = progress
            return entry
        metadata = self._read(paths.metadata, _MAX_METADATA_BYTES)
        entry |= {name: metadata[name] for name in _SHOWN if isinstance(metadata.get(name), str)}
        entry["report"] = (self._directory.objects.folder / paths.artifact("report.html")).is_file()
        if entry["status"] == "FAILED":
            entry["error"] = failure.explain_failure(_execution(record, job_id), metadata)
        return entry

    def _read(self, name: str, limit: int) -> dict[str, Any]:
        path: Path = self._directory.objects.folder / name
        try:
            document = json.loads(read_whole(path, limit))
        except (OSError, OddFileError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


def _execution(record: JobRecord, job_id: str) -> Execution:
    return Execution(
        job_id=job_id,
        name=record.name,
        status=record.status,
        started=record.startDate,
        stopped=record.stopDate,
        input=record.input,
        output=record.output,
        error=record.error,
        cause=record.cause,
    )
