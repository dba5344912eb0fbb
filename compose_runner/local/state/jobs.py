"""One record a job: how its execution is or ended."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compose_runner.files import is_unfinished
from compose_runner.local.state.faults import StorageError
from compose_runner.local.state.private_files import OddFileError, private_write, read_whole
from compose_runner.local.state.records import RUNNING, JobRecord, explain_error
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose_runner.local.state.faults import Faults

SERVICE_STOPPED = "ServiceStopped"
SERVICE_STOPPED_CAUSE = (
    "The service was stopped while this job was running. What it had written by then is kept; submit the job again "
    "to run it."
)
# no record of a job comes near
MAX_RECORD_BYTES = 4 * 1024 * 1024


class JobRecords:
    """Keeps the records of jobs.

    Parameters
    ----------
    folder : Path
        Where; it exists.
    faults : Faults
        Takes what is odd.
    """

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder = folder
        self._faults = faults
        self._lock = threading.Lock()

    def write(self, record: dict[str, Any]) -> None:
        """Keep how an execution is; ``record`` holds DescribeExecution's fields.

        Parameters
        ----------
        record : dict
            At least ``name`` and ``status``.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        if not is_artifact_prefix(record["name"]):
            return
        path = self.folder / f"{record['name']}.json"
        with self._lock, self._faults.writing(path):
            private_write(path, json.dumps(record, indent=1).encode(), self.folder.parent)

    def knows(self, artifact_prefix: str) -> bool:
        """Whether a job of this name was recorded, whatever is left of the record."""
        return is_artifact_prefix(artifact_prefix) and os.path.lexists(self.folder / f"{artifact_prefix}.json")

    def read(self, artifact_prefix: str) -> JobRecord | None:
        """Read one job's record; None if there is none that can be read."""
        path = self.folder / f"{artifact_prefix}.json"
        if not self.knows(artifact_prefix):
            return None
        with self._faults.skipping():
            try:
                record = JobRecord.model_validate_json(read_whole(path, MAX_RECORD_BYTES))
            except ValidationError as error:
                raise OddFileError(path, explain_error(error)) from None
            if record.name != artifact_prefix:
                raise OddFileError(path, "it is another job's record")
            return record
        return None

    def fail_running(self) -> int:
        """Fail the jobs that ran when an earlier service ended, with the reason; returns the number of all jobs."""
        number = 0
        for path in files_of_jobs(self.folder, ".json", self._faults):
            record = self.read(path.stem)
            if record is None:
                continue
            number += 1
            if record.status == RUNNING:
                failed = {
                    **record.model_dump(mode="json"),
                    "status": "FAILED",
                    "error": SERVICE_STOPPED,
                    "cause": SERVICE_STOPPED_CAUSE,
                    "stopDate": datetime.now(UTC).isoformat(),
                }
                with suppress(StorageError):
                    self.write(failed)
        return number


def files_of_jobs(folder: Path, suffix: str, faults: Faults) -> Iterator[Path]:
    """Files of a folder that are named after a job.

    Parameters
    ----------
    folder : Path
        What the service was killed while it wrote is removed there.
    suffix : str
        How their names end.
    faults : Faults
        Takes what is not named so.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix == suffix and is_artifact_prefix(path.stem):
            yield path
        elif is_unfinished(path) and path.is_file():
            path.unlink(missing_ok=True)
        else:
            faults.warn(path, "its name is not that of a job's file")
