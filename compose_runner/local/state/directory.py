"""What outlives the service: artifacts as files, one record a job, log lines; below one private directory.

::

    DATA/artifacts/<artifact_prefix>/...     the job's objects, as they stand in the bucket
    DATA/jobs/<artifact_prefix>.json         how its execution is or ended
    DATA/logs/<artifact_prefix>.jsonl        its log records

A file that is not what it should be is skipped, with a warning that names it.
"""

from __future__ import annotations

import errno
import json
import logging
import mimetypes
import os
import re
import stat
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compose_runner.local.state.private_files import (
    UNFINISHED,
    OddFileError,
    append_line,
    atomic_write,
    make_directory,
    opened,
    read_whole,
    tighten,
)
from compose_runner.local.state.records import RUNNING, JobRecord, LogLine, explain_error
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("compose_runner.serve")

SERVICE_STOPPED = "ServiceStopped"
SERVICE_STOPPED_CAUSE = (
    "The service was stopped while this job was running. What it had written by then is kept; submit the job again "
    "to run it."
)
# at the start the lines of older logs are not looked at
LOG_DAYS = 14
# no record of a job comes near, nor does a line of a log (CloudWatch has 256 kB)
MAX_RECORD_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# in an object's name they would break the XML of every list that it stands in
_UNSPEAKABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class StorageError(Exception):
    """Something cannot be kept: the disk is full, or an odd file is in the way."""


class StateDirectory:
    """Keeps what a restarted service must still know.

    Parameters
    ----------
    directory : Path
        Made if it does not exist; nobody else can look into it then.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.artifacts = self.directory / "artifacts"
        self._jobs = self.directory / "jobs"
        self._logs = self.directory / "logs"
        # what the demo's Compose was sent
        self.uploads = self.directory / "demo-uploads"
        self._lock = threading.Lock()
        self._warned: set[tuple[Path, str]] = set()
        self._has_space = True
        self.directory.mkdir(parents=True, exist_ok=True)
        self._owner = self._take()
        try:
            self._make_private()
        except BaseException:
            self.close()
            raise

    def _take(self) -> int:
        """Hold a lock on the directory for as long as the process lives."""
        path = self.directory / ".lock"
        if not self._is(path, stat.S_ISREG):
            self._move_aside(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # pragma: no cover - a system without it has no such lock
            pass
        except OSError as error:
            os.close(descriptor)
            raise FileExistsError(f"another service uses {self.directory} already") from error
        return descriptor

    def _make_private(self) -> None:
        """Make what is missing, and private what is there: the directory itself, and what this service keeps in it."""
        folders = (self.artifacts, self._jobs, self._logs, self.uploads)
        for folder in folders:
            if not self._is(folder, stat.S_ISDIR):
                self._move_aside(folder)
            make_directory(folder, self.directory)
        try:
            self.directory.chmod(0o700)
            os.fchmod(self._owner, 0o600)
            for folder in folders:
                tighten(folder)
        except OSError as error:
            log.warning("%s: others may be able to read it (%s)", error.filename or self.directory, error.strerror)

    @staticmethod
    def _is(path: Path, kind: Any) -> bool:
        """Whether a path is of a kind, or free to become it."""
        try:
            return bool(kind(path.lstat().st_mode))
        except FileNotFoundError:
            return True

    @staticmethod
    def _move_aside(path: Path) -> None:
        aside = path.with_name(f"{path.name}.aside-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        path.rename(aside)
        log.warning("%s is not what it should be; it is now %s", path, aside)

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
        if not parts or below.startswith("/") or ".." in parts or _UNSPEAKABLE.search(below) or below.endswith("/"):
            return None
        return self.artifacts.joinpath(*parts)

    def keep_object(self, path: Path, content: bytes) -> FileBuffer:
        """Write an object's file.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        with self._keeping(path):
            make_directory(path.parent, self.artifacts)
            atomic_write(path, content)
        return FileBuffer(path, self)

    def forget_object(self, path: Path) -> None:
        """Remove an object's file, and the directories that are empty then."""
        with self._skipping():
            if os.path.realpath(path.parent) != str(path.parent) or (path.is_dir() and not path.is_symlink()):
                raise OddFileError(path, "it is not an object's file")
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds other objects
            while path.parent != self.artifacts:
                path = path.parent
                path.rmdir()

    def files(self, below: str = "") -> Iterator[tuple[str, Path]]:
        """Kept objects: their keys below the results prefix, and their files.

        Parameters
        ----------
        below : str
            Only the file or the directory of this name, such as a job's.
        """
        start = self.artifacts / below
        if below and (start.is_symlink() or not start.is_dir()):
            if os.path.lexists(start) and self._is_object(start):
                yield below, start
            return
        for folder, folders, names in os.walk(start, onerror=self._warn_about):
            for name in [name for name in folders if Path(folder, name).is_symlink()]:
                folders.remove(name)
                names.append(name)
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if self._is_object(path):
                    yield path.relative_to(self.artifacts).as_posix(), path

    def _is_object(self, path: Path) -> bool:
        with self._skipping():
            if not stat.S_ISREG(path.lstat().st_mode):
                kind = "a symbolic link" if path.is_symlink() else "not a regular file"
                raise OddFileError(path, f"it is {kind}")
            if path.name.startswith(".") and path.name.endswith(UNFINISHED):  # the service was killed while it wrote
                path.unlink(missing_ok=True)
                return False
            if _UNSPEAKABLE.search(path.relative_to(self.artifacts).as_posix()):
                raise OddFileError(path, "its name cannot be an object's")
            return True
        return False

    # -- executions ----------------------------------------------------------------------------------------------

    def record_job(self, record: dict[str, Any]) -> None:
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
        path = self._jobs / f"{record['name']}.json"
        with self._lock, self._keeping(path):
            atomic_write(path, json.dumps(record, indent=1).encode())

    def knows(self, artifact_prefix: str) -> bool:
        """Whether a job of this name was recorded, whatever is left of the record."""
        return is_artifact_prefix(artifact_prefix) and os.path.lexists(self._jobs / f"{artifact_prefix}.json")

    def job(self, artifact_prefix: str) -> JobRecord | None:
        """Read one job's record; None if there is none that can be read."""
        path = self._jobs / f"{artifact_prefix}.json"
        if not self.knows(artifact_prefix):
            return None
        with self._skipping():
            try:
                record = JobRecord.model_validate_json(read_whole(path, MAX_RECORD_BYTES))
            except ValidationError as error:
                raise OddFileError(path, explain_error(error)) from None
            if record.name != artifact_prefix:
                raise OddFileError(path, "it is another job's record")
            return record
        return None

    def fail_running_jobs(self) -> int:
        """Fail the jobs that ran when an earlier service ended, with the reason; returns the number of all jobs."""
        number = 0
        for path in self._entries(self._jobs, ".json"):
            record = self.job(path.stem)
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
                    self.record_job(failed)
        return number

    # -- log records ---------------------------------------------------------------------------------------------

    def record_line(self, artifact_prefix: str, group: str, timestamp: int, message: str) -> None:
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
        path = self._logs / f"{artifact_prefix}.jsonl"
        with suppress(StorageError), self._lock, self._keeping(path):
            append_line(path, line)

    def lines(self, artifact_prefix: str) -> Iterator[LogLine]:
        """Log records of one job, in the order in which they came."""
        path = self._logs / f"{artifact_prefix}.jsonl"
        with self._skipping():
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
            self._warn(path, f"it is no record ({explain_error(error)})", part="a line of ")
            return None

    def check(self) -> None:
        """Look at all files once, so that warnings come at the start and not when somebody asks for a job."""
        for _ in self.files():
            pass
        oldest = datetime.now(UTC).timestamp() - LOG_DAYS * 86_400
        for path in self._entries(self._logs, ".jsonl"):
            with self._skipping():
                if path.lstat().st_mtime >= oldest:
                    for _ in self.lines(path.stem):
                        pass

    def _entries(self, folder: Path, suffix: str) -> Iterator[Path]:
        """Files of a folder that are named after a job."""
        for path in sorted(folder.iterdir()):
            if path.suffix == suffix and is_artifact_prefix(path.stem):
                yield path
            elif path.name.startswith(".") and path.name.endswith(UNFINISHED) and path.is_file():
                path.unlink(missing_ok=True)
            else:
                self._warn(path, "its name is not that of a job's file")

    # -- what goes wrong -----------------------------------------------------------------------------------------

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Read something; what is odd is left out."""
        try:
            yield
        except OddFileError as error:
            self._warn(error.path, error.reason)
        except OSError as error:
            self._warn_about(error)

    @contextmanager
    def _keeping(self, path: Path) -> Iterator[None]:
        """Write something; says once that the disk is full, until it is not."""
        try:
            yield
        except OddFileError as error:
            log.error("%s cannot be written: %s is in the way: %s", path, error.path, error.reason)
            raise StorageError(str(error)) from None
        except OSError as error:
            if error.errno in _NO_SPACE:
                reason = f"the disk of {self.directory} is full"
                if self._has_space:
                    log.error("%s: make room, and submit again what fails until then", reason)
                self._has_space = False
            else:
                reason = f"{path} cannot be written: {error.strerror}"
                log.error("%s", reason)
            raise StorageError(reason) from None
        self._has_space = True

    def _warn_about(self, error: OSError) -> None:
        self._warn(Path(os.fsdecode(error.filename or self.directory)), str(error.strerror))

    def _warn(self, path: Path, reason: str, part: str = "") -> None:
        if (path, reason) not in self._warned and len(self._warned) < 10_000:
            self._warned.add((path, reason))
            name = str(path).encode("utf-8", "backslashreplace").decode()
            log.warning("%s%s is skipped: %s", part, _UNSPEAKABLE.sub("?", name), reason)


class FileBuffer:
    """An object's content in a file: what moto reads instead of a buffer in memory.

    Parameters
    ----------
    path : Path
        The file.
    state_directory : StateDirectory
        Whose it is.
    """

    def __init__(self, path: Path, state_directory: StateDirectory) -> None:
        self.path = path
        self._state_directory = state_directory
        self._position = 0

    def seek(self, position: int) -> int:
        """Go to a position."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Read from the position on; nothing if the file has gone or is none any more."""
        data = b""
        with (
            self._state_directory._skipping(),
            suppress(FileNotFoundError),
            opened(self.path) as descriptor,
            os.fdopen(os.dup(descriptor), "rb") as file,
        ):
            file.seek(self._position)
            data = file.read(size)
        self._position += len(data)
        return data

    def truncate(self) -> None:
        """Forget the content; :meth:`write` replaces it whole."""

    def write(self, data: bytes) -> int:
        """Replace the content, whole or not at all."""
        self._state_directory.keep_object(self.path, data)
        self._position = len(data)
        return len(data)

    def close(self) -> None:
        """Nothing is held open."""


def guess_content_type(path: Path) -> str:
    """Content type by the file's name."""
    guessed, encoding = mimetypes.guess_type(path.name)
    return "application/gzip" if encoding == "gzip" else guessed or "binary/octet-stream"
