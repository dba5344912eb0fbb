"""Log records of each job, a file of lines for each."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from compose_runner.local.state.faults import StorageError
from compose_runner.local.state.folder import Folder
from compose_runner.local.state.private_files import append_line, opened
from compose_runner.local.state.records import LogLine, explain_error
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# at the start the lines of older logs are not looked at
LOG_DAYS = 14
# no line of a log comes near (CloudWatch has 256 kB)
MAX_LINE_BYTES = 1024 * 1024


class LogLines(Folder):
    """Keeps log records of jobs."""

    def add(self, artifact_prefix: str, group: str, timestamp: int, message: str) -> None:
        """Keep one log record of a job; one that cannot be kept is lost, with a warning.

        Parameters
        ----------
        artifact_prefix : str
            The job.
        group : str
            The log group.
        timestamp : int
            Epoch milliseconds.
        message : str
            The line.
        """
        if not is_artifact_prefix(artifact_prefix):
            return
        line = json.dumps({"group": group, "timestamp": timestamp, "message": message}).encode()
        path = self.folder / f"{artifact_prefix}.jsonl"
        with suppress(StorageError), self.lock, self.faults.writing(path):
            append_line(path, line)

    def read(self, artifact_prefix: str) -> Iterator[LogLine]:
        """Log records of one job, in the order in which they came."""
        path = self.folder / f"{artifact_prefix}.jsonl"
        with self.faults.skipping():
            try:
                with opened(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
                    while data := file.readline(MAX_LINE_BYTES):
                        record = self._parse_line(path, data)
                        if record is not None:
                            yield record
            except FileNotFoundError:
                return

    def _parse_line(self, path: Path, data: bytes) -> LogLine | None:
        if not data.strip():
            return None
        try:
            return LogLine.model_validate_json(data)
        except ValidationError as error:
            self.faults.warn(path, f"it is no record ({explain_error(error)})", part="a line of ")
            return None

    def check(self) -> None:
        """Look at all recent files once."""
        oldest = datetime.now(UTC).timestamp() - LOG_DAYS * 86_400
        for path in self.files_of_jobs(".jsonl"):
            with self.faults.skipping():
                if path.lstat().st_mtime >= oldest:
                    for _ in self.read(path.stem):
                        pass
