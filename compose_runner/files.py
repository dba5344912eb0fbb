"""Files that are whole or not there."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_UNFINISHED = ".part"


def atomic_write(path: Path, content: bytes, *, mode: int | None = None, sync: bool = True) -> None:
    """Write a file so that nobody ever sees a part of it.

    Parameters
    ----------
    path : Path
        What has this name is replaced; directories on the way to it are made.
    content : bytes
        All of it.
    mode : int, optional
        Who may read it; by default what the person's umask says, as of any other new file.
    sync : bool
        Wait until the disk has it, so that the file is whole after a power cut as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{secrets.token_hex(8)}{_UNFINISHED}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(unfinished, flags, 0o666 if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(descriptor)
        if mode is not None:
            unfinished.chmod(mode)  # whatever the umask took away
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def is_unfinished(path: Path) -> bool:
    """Whether a file is one that a process which was killed left while it wrote."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)
