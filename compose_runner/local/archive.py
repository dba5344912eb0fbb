"""What outlives the service: artifacts as files, one record a job, log lines; below one directory.

::

    DATA/artifacts/<artifact_prefix>/...     the job's objects, as they stand in the bucket
    DATA/jobs/<artifact_prefix>.json         how its execution is or ended
    DATA/logs/<artifact_prefix>.jsonl        its log records
"""

from __future__ import annotations

import json
import mimetypes
import os
import threading
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from compose_runner.storage_keys import is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNING = "RUNNING"
SERVICE_STOPPED = "ServiceStopped"
SERVICE_STOPPED_CAUSE = (
    "The service was stopped while this job was running. What it had written by then is kept; submit the job again "
    "to run it."
)
# older records are kept on disk, but a restarted service does not read them
LOG_DAYS = 14


class Archive:
    """Keeps what a restarted service must still know.

    Parameters
    ----------
    directory : Path
        Made if it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.artifacts = self.directory / "artifacts"
        self._jobs = self.directory / "jobs"
        self._logs = self.directory / "logs"
        for folder in (self.artifacts, self._jobs, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._owner = self._take()

    def _take(self) -> int:
        """Hold a lock on the directory for as long as the process lives."""
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # pragma: no cover - a system without it has no such lock
            pass
        except OSError as error:
            os.close(descriptor)
            raise FileExistsError(f"another service uses {self.directory} already") from error
        return descriptor

    def close(self) -> None:
        """Let another service have the directory."""
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1

    # -- objects -------------------------------------------------------------------------------------------------

    def file_of(self, key: str, results_prefix: str) -> Path | None:
        """Where an object is kept; None if its key cannot be a path below the directory.

        Parameters
        ----------
        key : str
            The object's.
        results_prefix : str
            Prefix of all jobs in the bucket; left out of the path.
        """
        below = key.removeprefix(f"{results_prefix.strip('/')}/") if results_prefix.strip("/") else key
        parts = PurePosixPath(below).parts
        if not parts or below.startswith("/") or ".." in parts or "\0" in below or below.endswith("/"):
            return None
        return self.artifacts.joinpath(*parts)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every kept object: its key below the results prefix, and its file."""
        for folder, folders, names in os.walk(self.artifacts):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                yield path.relative_to(self.artifacts).as_posix(), path

    # -- executions ----------------------------------------------------------------------------------------------

    def record_job(self, record: dict[str, Any]) -> None:
        """Keep how an execution is; ``record`` holds DescribeExecution's fields.

        Parameters
        ----------
        record : dict
            At least ``name`` and ``status``.
        """
        if not is_artifact_prefix(record["name"]):
            return
        path = self._jobs / f"{record['name']}.json"
        with self._lock:
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
            temporary.replace(path)

    def jobs(self) -> list[dict[str, Any]]:
        """Every job, in the order of their starts; those that were running are failed now, with the reason."""
        records = []
        for path in self._jobs.glob("*.json"):
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:  # cut off by a full disk
                continue
            if record.get("status") == RUNNING:
                record.update(
                    status="FAILED",
                    error=SERVICE_STOPPED,
                    cause=SERVICE_STOPPED_CAUSE,
                    stopDate=datetime.now(UTC).isoformat(),
                )
                self.record_job(record)
            records.append(record)
        return sorted(records, key=lambda record: str(record.get("startDate")))

    # -- log records ---------------------------------------------------------------------------------------------

    def record_line(self, artifact_prefix: str, group: str, timestamp: int, message: str) -> None:
        """Keep one log record of a job.

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
        line = json.dumps({"group": group, "timestamp": timestamp, "message": message})
        with self._lock, (self._logs / f"{artifact_prefix}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Log records of the last days: the job, and ``group``, ``timestamp``, ``message``."""
        oldest = datetime.now(UTC).timestamp() - LOG_DAYS * 86_400
        for path in sorted(self._logs.glob("*.jsonl")):
            if path.stat().st_mtime < oldest:
                continue
            with path.open(encoding="utf-8") as file:
                for line in file:
                    try:
                        yield path.stem, json.loads(line)
                    except ValueError:  # cut off by a full disk
                        continue


class FileBuffer:
    """An object's content in a file: what moto reads and writes instead of a buffer in memory.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0

    def seek(self, position: int) -> int:
        """Go to a position."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Read from the position on; nothing if a newer version of the object was deleted."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read(size)
        except FileNotFoundError:
            return b""
        self._position += len(data)
        return data

    def truncate(self) -> None:
        """Forget the content; :meth:`write` replaces it whole."""

    def write(self, data: bytes) -> int:
        """Replace the content, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{threading.get_ident()}.part")
        try:
            temporary.write_bytes(data)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._position = len(data)
        return len(data)

    def close(self) -> None:
        """Nothing is held open."""


def content_type_of(path: Path) -> str:
    """Content type by the file's name."""
    guessed, encoding = mimetypes.guess_type(path.name)
    return "application/gzip" if encoding == "gzip" else guessed or "binary/octet-stream"
