"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_UNFINISHED = ".part"


def atomic_write(path: Path, content: bytes, *, mode: int = 0o644, sync: bool = True) -> None:
    """Write a file so that nobody ever sees a part of it.

    Parameters
    ----------
    path : Path
        What has this name is replaced; directories on the way to it are made.
    content : bytes
        All of it.
    mode : int
        Who may read it.
    sync : bool
        Wait until the disk has it, so that the file is whole after a power cut as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=_UNFINISHED, dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(descriptor)
        unfinished.chmod(mode)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def is_unfinished(path: Path) -> bool:
    """Whether a file is one that a process which was killed left while it wrote."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)
