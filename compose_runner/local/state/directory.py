"""What outlives the service: artifacts as files, one record a job, log lines; below one private directory.

::

    DATA/artifacts/<artifact_prefix>/...     the job's objects, as they stand in the bucket
    DATA/jobs/<artifact_prefix>.json         how its execution is or ended
    DATA/logs/<artifact_prefix>.jsonl        its log records
    DATA/bundles/<artifact_prefix>.json      its inputs, where somebody sent them

A file that is not what it should be is skipped, with a warning that names it. A directory that holds something else,
and that no service used before, is refused: it is a person's, and the modes of its files are as they should be.
"""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compose_runner.local.state.bundles import BundleFiles
from compose_runner.local.state.faults import Faults
from compose_runner.local.state.jobs import JobRecords
from compose_runner.local.state.logs import LogLines
from compose_runner.local.state.objects import ObjectFiles
from compose_runner.local.state.private_files import make_directory, tighten

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("compose_runner.serve")

_LOCK = ".lock"
_NAMES_SHOWN = 5


class StateDirectory:
    """Keeps what a restarted service must still know.

    Parameters
    ----------
    directory : Path
        Made if it does not exist; nobody else can look into it then.

    Raises
    ------
    FileExistsError
        Another service uses it, or it holds somebody else's files. Nothing was changed.

    Attributes
    ----------
    objects : ObjectFiles
        Artifacts.
    jobs : JobRecords
        Records of executions.
    logs : LogLines
        Log records.
    bundles : BundleFiles
        Inputs of jobs that somebody sent.
    uploads : Path
        What the demonstration's Compose was sent.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        faults = Faults(self.directory)
        self.objects = ObjectFiles(self.directory / "artifacts", faults)
        self.jobs = JobRecords(self.directory / "jobs", faults)
        self.logs = LogLines(self.directory / "logs", faults)
        self.bundles = BundleFiles(self.directory / "bundles", faults)
        # what the demo's Compose was sent
        self.uploads = self.directory / "demo-uploads"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._refuse_foreign()
        self._owner = self._take()
        try:
            self._make_private()
        except BaseException:
            self.close()
            raise

    def _refuse_foreign(self) -> None:
        """Refuse a directory of which nothing shows that a service made it: what is in it is somebody else's."""
        names = {entry.name for entry in [*os.scandir(self.directory)]}
        own = {_LOCK, self.objects.folder.name, self.jobs.folder.name, self.logs.folder.name, self.uploads.name}
        # the lock is made first: a service may have been killed before it made the rest; later one may get lost
        if not names or (names <= own and _LOCK in names) or len(names & own) >= len(own) - 1:
            return
        shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
        raise FileExistsError(
            f"{self.directory} is not empty, and no service made what is in it: {shown}. Choose another directory "
            f"with --data. Nothing was changed. (If it is a copy of a service's directory that lacks {_LOCK}, "
            "make an empty file of this name there.)"
        )

    def _take(self) -> int:
        """Hold a lock on the directory for as long as the process lives."""
        path = self.directory / _LOCK
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
        folders = (self.objects.folder, self.jobs.folder, self.logs.folder, self.bundles.folder, self.uploads)
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

    def check(self) -> None:
        """Look at all files once, so that warnings come at the start and not when somebody asks for a job."""
        for _ in self.objects.files():
            pass
        self.logs.check()
