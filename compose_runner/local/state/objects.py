"""Artifacts as files: the objects of the bucket, below one directory."""

from __future__ import annotations

import mimetypes
import os
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from compose_runner.files import is_unfinished
from compose_runner.local.state.faults import UNSPEAKABLE
from compose_runner.local.state.folder import Folder
from compose_runner.local.state.private_files import OddFileError, opened, private_write

if TYPE_CHECKING:
    from collections.abc import Iterator


class ObjectFiles(Folder):
    """Keeps objects."""

    def find_path(self, key: str, results_prefix: str) -> Path | None:
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
        if not parts or below.startswith("/") or ".." in parts or UNSPEAKABLE.search(below) or below.endswith("/"):
            return None
        return self.folder.joinpath(*parts)

    def write(self, path: Path, content: bytes) -> FileBuffer:
        """Write an object's file.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        with self.faults.writing(path):
            private_write(path, content, self.folder)
        return FileBuffer(path, self)

    def forget(self, path: Path) -> None:
        """Remove an object's file, and the directories that are empty then."""
        with self.faults.skipping():
            if os.path.realpath(path.parent) != str(path.parent) or (path.is_dir() and not path.is_symlink()):
                raise OddFileError(path, "it is not an object's file")
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds other objects
            while path.parent != self.folder:
                path = path.parent
                path.rmdir()

    def files(self, below: str = "") -> Iterator[tuple[str, Path]]:
        """Kept objects: their keys below the results prefix, and their files.

        Parameters
        ----------
        below : str
            Only the file or the directory of this name, such as a job's.
        """
        start = self.folder / below
        if below and (start.is_symlink() or not start.is_dir()):
            if os.path.lexists(start) and self._is_object(start):
                yield below, start
            return
        for folder, folders, names in os.walk(start, onerror=self.faults.warn_about):
            for name in [name for name in folders if Path(folder, name).is_symlink()]:
                folders.remove(name)
                names.append(name)
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if self._is_object(path):
                    yield path.relative_to(self.folder).as_posix(), path

    def _is_object(self, path: Path) -> bool:
        with self.faults.skipping():
            if not stat.S_ISREG(path.lstat().st_mode):
                kind = "a symbolic link" if path.is_symlink() else "not a regular file"
                raise OddFileError(path, f"it is {kind}")
            if is_unfinished(path):  # the service was killed while it wrote
                path.unlink(missing_ok=True)
                return False
            if UNSPEAKABLE.search(path.relative_to(self.folder).as_posix()):
                raise OddFileError(path, "its name cannot be an object's")
            return True
        return False


class FileBuffer:
    """An object's content in a file: what moto reads instead of a buffer in memory.

    Parameters
    ----------
    path : Path
        The file.
    objects : ObjectFiles
        Whose it is.
    """

    def __init__(self, path: Path, objects: ObjectFiles) -> None:
        self.path = path
        self._objects = objects
        self._position = 0

    def seek(self, position: int) -> int:
        """Go to a position."""
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Read from the position on; nothing if the file has gone or is none any more."""
        data = b""
        with (
            self._objects.faults.skipping(),
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
        self._objects.write(self.path, data)
        self._position = len(data)
        return len(data)

    def close(self) -> None:
        """Nothing is held open."""


def guess_content_type(path: Path) -> str:
    """Content type by the file's name."""
    guessed, encoding = mimetypes.guess_type(path.name)
    return "application/gzip" if encoding == "gzip" else guessed or "binary/octet-stream"
