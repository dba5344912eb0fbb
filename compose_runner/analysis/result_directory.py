"""One run's result directory: every file in it is complete, and belongs to the run that ``metadata.json`` describes.

Files are written below a hidden folder and moved to their place when they are whole, ``metadata.json`` last. A run that
is killed leaves only the hidden folder, which the next run removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.json_documents import strict_json
from compose_runner.storage_keys import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# the maps that go into an image-based meta-analysis: inputs, kept there as a cache
IMAGES = "images"
# what the next upload goes on from; it changes after the artifacts are complete, and outlives a new run
PUBLISH_RECORD = "publish.json"
_UNFINISHED = ".unfinished-"
_READ_AT_ONCE = 1 << 20


class ResultDirectory:
    """Where a run's artifacts go.

    Parameters
    ----------
    path : path-like
        Made when it does not exist. What an earlier run left there under its ``metadata.json`` is removed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # absolute: NiMARE resolves relative image paths against the studyset's base path
        self.path = Path(path).expanduser().resolve()

    def clear(self) -> None:
        """Remove what an earlier run left, and nothing else."""
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        earlier = self.read_metadata() or {}
        (self.path / METADATA_FILENAME).unlink(missing_ok=True)
        for artifact in earlier.get("artifacts") or []:
            name = artifact.get("filename") if isinstance(artifact, dict) else None
            if isinstance(name, str) and (place := (self.path / name).resolve()).is_relative_to(self.path):
                place.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Give a folder to write in; what is in it when the block ends well appears in the result directory."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.path))
        try:
            yield folder
            for source in sorted(folder.rglob("*")):
                if source.is_file():
                    target = self.path / source.relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.replace(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def artifacts(self) -> list[dict[str, Any]]:
        """Name, size in bytes and SHA-256 of every finished artifact; the two records of the run are not artifacts."""
        return [
            {
                "filename": name,
                "size": (self.path / name).stat().st_size,
                "sha256": sha256_of(self.path / name),
            }
            for name in self._names()
        ]

    def _names(self) -> list[str]:
        inside = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return sorted(
            name.as_posix()
            for name in inside
            if not any(part.startswith(".") for part in name.parts)
            and name.parts[0] != IMAGES
            and name.as_posix() not in (METADATA_FILENAME, PUBLISH_RECORD)
        )

    def read_metadata(self) -> dict[str, Any] | None:
        """``metadata.json`` of a finished run, or None."""
        try:
            metadata = json.loads((self.path / METADATA_FILENAME).read_bytes())
        except (OSError, ValueError):
            return None
        return metadata if isinstance(metadata, dict) else None

    def write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Write ``metadata.json``, whole or not at all."""
        write_whole(self.path / METADATA_FILENAME, strict_json(metadata, indent=2, default=str).encode() + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()
