"""Files that only their owner can read, and that may be anything: how the state directory is read and written.

Whatever somebody else put there (a pipe, a link, a directory in a file's place) is an :class:`OddFileError` and never
an end of the service. No symbolic link is followed, neither at the end of a path nor on the way to it.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compose_runner.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
# O_NONBLOCK: opening a pipe that nobody writes to must not wait for somebody
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OddFileError(Exception):
    """Something below the directory is not what it should be.

    Parameters
    ----------
    path : Path
        It.
    reason : str
        What it is instead.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def make_directory(path: Path, root: Path) -> None:
    """Make a private directory, and those on the way to it from ``root``, which exists.

    Raises
    ------
    OddFileError
        Something else has the name of one of them.
    """
    folder = root
    for part in path.relative_to(root).parts:
        folder = folder / part
        with suppress(FileExistsError):
            folder.mkdir(DIRECTORY_MODE)
            folder.chmod(DIRECTORY_MODE)  # whatever the umask took away
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise OddFileError(folder, "it is not a directory")


def tighten(folder: Path) -> None:
    """Take everybody else's rights away from a directory and all that is in it; links are left alone.

    Raises
    ------
    OSError
        Something there belongs to somebody else.
    """
    folder.chmod(DIRECTORY_MODE)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if stat.S_ISDIR(mode) and stat.S_IMODE(mode) != DIRECTORY_MODE:
                    path.chmod(DIRECTORY_MODE)
                elif stat.S_ISREG(mode) and stat.S_IMODE(mode) != FILE_MODE:
                    path.chmod(FILE_MODE)


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open a regular file and give its descriptor.

    Raises
    ------
    OddFileError
        There is something else, or a link on the way.
    FileNotFoundError
        There is nothing.
    """
    if os.path.realpath(path.parent) != str(path.parent):
        raise OddFileError(path, "a symbolic link leads to it")
    try:
        descriptor = os.open(path, flags | _SAFELY, FILE_MODE)
    except FileNotFoundError:
        raise
    except OSError as error:
        if flags & os.O_CREAT and not os.path.lexists(path):
            raise
        raise OddFileError(path, _what_it_is(path, error)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OddFileError(path, "it is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _what_it_is(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return "it is a symbolic link"
    return "it is a directory" if path.is_dir() else str(error.strerror)


def read_whole(path: Path, limit: int) -> bytes:
    """Read a file of at most ``limit`` bytes.

    Raises
    ------
    OddFileError
        It is larger, or no file at all.
    """
    with opened(path) as descriptor:
        if os.fstat(descriptor).st_size > limit:
            raise OddFileError(path, f"it has more than {limit} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(limit)


def private_write(path: Path, data: bytes, root: Path) -> None:
    """Replace a file's content, whole or not at all, and make the directories on the way to it from ``root``.

    Raises
    ------
    OddFileError
        A directory has its name, or a link or something else is on the way.
    """
    make_directory(path.parent, root)
    if os.path.realpath(path.parent) != str(path.parent):
        raise OddFileError(path, "a symbolic link leads to it")
    try:
        atomic_write(path, data, mode=FILE_MODE, sync=False)
    except IsADirectoryError:
        raise OddFileError(path, "it is a directory") from None


def append_line(path: Path, line: bytes) -> None:
    """Add a line at a file's end; one that a full disk cut off there is left behind as a line of its own."""
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
        size = os.fstat(descriptor).st_size
        if size == 0:
            os.fchmod(descriptor, FILE_MODE)
        elif os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        _write(descriptor, line + b"\n")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
