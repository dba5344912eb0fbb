"""Remove a job that has ended: its record, its log, its bundle and its objects, and nothing that it did not write.

An object's file is the job's when it was written between the job's start and its end, or when ``metadata.json`` has it
with its checksum (a copy from a back-up has another time). Other files in the job's folder stay, and are named.
"""

from __future__ import annotations

import hashlib
import json
import logging
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from compose_runner.local.state.private_files import OddFileError, read_whole
from compose_runner.local.state.records import RUNNING
from compose_runner.service.storage import JobPaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from compose_runner.local.state.directory import StateDirectory
    from compose_runner.local.state.records import JobRecord

log = logging.getLogger("compose_runner.serve")

# file systems keep times to two seconds at the coarsest
_CLOCK_SECONDS = 2.0
_MAX_METADATA_BYTES = 64 << 20
_PIECE = 1 << 20


class JobNotRemovedError(Exception):
    """A job cannot be removed; the text says why."""


class JobNotKnownError(JobNotRemovedError):
    """There is no such job."""


def remove_job(directory: StateDirectory, name: str, forget: Callable[[str], None] = lambda _name: None) -> list[Path]:
    """Remove a job that has ended.

    Parameters
    ----------
    directory : StateDirectory
        Where it is kept.
    name : str
        The job's.
    forget : callable, optional
        Drops the job of a name from memory; called when its files are gone and its name is still taken.

    Returns
    -------
    list of Path
        Files in its folder that it did not write, which are still there.

    Raises
    ------
    JobNotKnownError
        There is no such job.
    JobNotRemovedError
        It runs, or its record cannot be read.
    """
    record = directory.jobs.read(name)
    if record is None:
        if directory.jobs.knows(name):
            raise JobNotRemovedError(f"the record of the job {name} cannot be read, so that nothing of it is removed")
        raise JobNotKnownError(f"there is no job {name}")
    if record.status == RUNNING:
        raise JobNotRemovedError(f"the job {name} runs; cancel it first")
    paths = JobPaths("", name)
    _remove_objects(directory, paths.folder, _writings(directory, record))
    for beside in (paths.progress, paths.progress.removesuffix(".json"), paths.checkpoints):
        _remove_objects(directory, beside, lambda _path: True)
    left = [path for _, path in directory.objects.files(name)]
    for path in left:
        log.warning("%s stays: the job %s did not write it", path, name)
    forget(name)
    _unlink(directory.bundles.path(name))
    _unlink(directory.logs.folder / f"{name}.jsonl")
    # the last one: until now no other job could take the name
    _unlink(directory.jobs.folder / f"{name}.json")
    log.info("the job %s was removed", name)
    return left


def ended_before(directory: StateDirectory, moment: datetime) -> Iterator[str]:
    """Names of the jobs that ended before a time.

    Parameters
    ----------
    directory : StateDirectory
        Where they are kept.
    moment : datetime
        Aware.
    """
    for path in directory.jobs.files_of_jobs(".json"):
        record = directory.jobs.read(path.stem)
        if record is not None and record.status != RUNNING and record.stopDate and record.stopDate < moment:
            yield record.name


def days_ago(days: float) -> datetime:
    """The time so many days ago."""
    return datetime.now(UTC) - timedelta(days=days)


def _writings(directory: StateDirectory, record: JobRecord) -> Callable[[Path], bool]:
    """Make what tells whether a file of the job's folder is one that the job wrote."""
    base = directory.objects.folder / record.name
    first = record.startDate.timestamp() - _CLOCK_SECONDS
    last = (record.stopDate or datetime.now(UTC)).timestamp() + _CLOCK_SECONDS
    metadata = base / "metadata.json"
    document = _read_metadata(metadata)
    own = document.get("artifact_prefix") == record.name
    listed = _list_checksums(document) if own else {}

    def wrote(path: Path) -> bool:
        if first <= path.lstat().st_mtime <= last or (own and path == metadata):
            return True
        checksum = listed.get(path.relative_to(base).as_posix())
        return checksum is not None and _sha256(path) == checksum

    return wrote


def _list_checksums(metadata: dict[str, Any]) -> dict[str, str]:
    artifacts = metadata.get("artifacts")
    entries = [one for one in artifacts if isinstance(one, dict)] if isinstance(artifacts, list) else []
    return {
        one["filename"]: one["sha256"]
        for one in entries
        if isinstance(one.get("filename"), str) and isinstance(one.get("sha256"), str)
    }


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_whole(path, _MAX_METADATA_BYTES))
    except (OSError, OddFileError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _remove_objects(directory: StateDirectory, below: str, wrote: Callable[[Path], bool]) -> None:
    for _, path in list(directory.objects.files(below)):
        if wrote(path):
            directory.objects.forget(path)


def _unlink(path: Path) -> None:
    """Remove a file of the service; what else has its name stays."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
