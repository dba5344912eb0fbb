"""One folder of the state directory, and its files that are named after a job."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from compose_runner.files import is_unfinished
from compose_runner.service.storage import is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose_runner.local.state.faults import Faults


class Folder:
    """What every part of the state directory has.

    Parameters
    ----------
    folder : Path
        Where it keeps what it keeps; it exists.
    faults : Faults
        Takes what is odd.
    """

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder = folder
        self.faults = faults
        self.lock = threading.Lock()

    def files_of_jobs(self, suffix: str) -> Iterator[Path]:
        """Find the files whose names are those of jobs; what the service was killed while it wrote is removed.

        Parameters
        ----------
        suffix : str
            How their names end.
        """
        for path in sorted(self.folder.iterdir()):
            if path.suffix == suffix and is_artifact_prefix(path.stem):
                yield path
            elif is_unfinished(path) and path.is_file():
                path.unlink(missing_ok=True)
            else:
                self.faults.warn(path, "its name is not that of a job's file")
