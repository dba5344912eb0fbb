"""One record a job: how its execution is or ended."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from compose_runner.local.state.faults import StorageError
from compose_runner.local.state.folder import Folder
from compose_runner.local.state.private_files import OddFileError, private_write, read_whole
from compose_runner.local.state.records import RUNNING, JobRecord, explain_error
from compose_runner.service.storage import is_artifact_prefix

SERVICE_STOPPED = "ServiceStopped"
SERVICE_STOPPED_CAUSE = (
    "The service was stopped while this job was running. What it had written by then is kept; submit the job again "
    "to run it."
)
# no record of a job comes near
MAX_RECORD_BYTES = 4 * 1024 * 1024


class JobRecords(Folder):
    """Keeps the records of jobs."""

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
        with self.lock, self.faults.writing(path):
            private_write(path, json.dumps(record, indent=1).encode(), self.folder.parent)

    def knows(self, artifact_prefix: str) -> bool:
        """Whether a job of this name was recorded, whatever is left of the record."""
        return is_artifact_prefix(artifact_prefix) and os.path.lexists(self.folder / f"{artifact_prefix}.json")

    def read(self, artifact_prefix: str) -> JobRecord | None:
        """Read one job's record; None if there is none that can be read."""
        path = self.folder / f"{artifact_prefix}.json"
        if not self.knows(artifact_prefix):
            return None
        with self.faults.skipping():
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
        for path in self.files_of_jobs(".json"):
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
