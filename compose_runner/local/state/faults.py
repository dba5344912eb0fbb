"""What is odd or goes wrong below the state directory: skipped, warned of once, or an error of the one who writes."""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose_runner.local.state.private_files import OddFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("compose_runner.serve")

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# in an object's name they would break the XML of every list that it stands in, in a warning the terminal
UNSPEAKABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MAX_WARNINGS = 10_000


class StorageError(Exception):
    """Something cannot be kept: the disk is full, or an odd file is in the way."""


class Faults:
    """What has been warned of, in one state directory.

    Parameters
    ----------
    directory : Path
        Named where no file is.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._warned: set[tuple[Path, str]] = set()
        self._has_space = True

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Read something; what is odd is left out."""
        try:
            yield
        except OddFileError as error:
            self.warn(error.path, error.reason)
        except OSError as error:
            self.warn_about(error)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
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
                    log.error("%s: free space, and submit again what fails until then", reason)
                self._has_space = False
            else:
                reason = f"{path} cannot be written: {error.strerror}"
                log.error("%s", reason)
            raise StorageError(reason) from None
        self._has_space = True

    def warn_about(self, error: OSError) -> None:
        """Warn of a file that the system does not let us read."""
        self.warn(Path(os.fsdecode(error.filename or self.directory)), str(error.strerror))

    def warn(self, path: Path, reason: str, part: str = "") -> None:
        """Warn once of something that is skipped.

        Parameters
        ----------
        path : Path
            The file.
        reason : str
            What is wrong with it.
        part : str
            What of it is skipped, such as ``"a line of "``; all by default.
        """
        if (path, reason) not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add((path, reason))
            name = str(path).encode("utf-8", "backslashreplace").decode()
            log.warning("%s%s is skipped: %s", part, UNSPEAKABLE.sub("?", name), reason)
