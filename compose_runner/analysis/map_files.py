"""Statistical maps as files: each fetched and looked at once, under a name that a later run finds."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from compose_runner.analysis.downloads import download
from compose_runner.errors import DocumentMissingError

SUFFIXES = (".nii.gz", ".nii")
_GZIP_MAGIC = b"\x1f\x8b"
# the length of the header, in both byte orders: NIfTI-1 has 348 bytes, NIfTI-2 has 540
_NIFTI_MAGICS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


class MapFiles:
    """Files by source: each is fetched and looked at once, even when several analyses refer to it.

    Parameters
    ----------
    folder : Path
        Where the files go.
    attempts : int
        Retries of each download.
    """

    def __init__(self, folder: Path, attempts: int) -> None:
        self._folder = folder
        self._attempts = attempts
        self._known: dict[str, tuple[Path | None, str]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, source: str, image_id: str) -> tuple[Path | None, str]:
        """Give a map's file; or None, and why it is not one.

        Raises
        ------
        ServiceUnavailableError
            It cannot be fetched at present.
        """
        with self._lock:
            lock = self._locks.setdefault(source, threading.Lock())
        with lock:
            if source not in self._known:
                self._known[source] = self._fetch(source, image_id)
            return self._known[source]

    def _fetch(self, source: str, image_id: str) -> tuple[Path | None, str]:
        local = local_file(source)
        version = "" if local is None else f" {local.stat().st_size} {local.stat().st_mtime_ns}"
        digest = hashlib.sha256(f"{source}{version}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        stem = re.sub(r"[^A-Za-z0-9_.]+", "_", Path(path_in(source)).name.split(".nii")[0])[:60]
        stem = f"{stem or 'map'}-{digest}"
        for suffix in SUFFIXES:
            earlier = self._folder / f"{stem}{suffix}"
            if earlier.is_file():
                return earlier, ""
        # a later run finds a file by its name, which it gets when it has been looked at
        unchecked = [self._folder / f".unchecked-{stem}{suffix}" for suffix in ("", *SUFFIXES)]
        raw = unchecked[0]
        try:
            if local is not None:
                # copied, since NiMARE resolves paths against the one directory that all maps share
                shutil.copyfile(local, raw)
            else:
                download(source, f"map {image_id or source}", raw, attempts=self._attempts)
            suffix = ".nii.gz" if _starts_with(raw, _GZIP_MAGIC) else ".nii"
            named = raw.with_name(f"{raw.name}{suffix}")  # nibabel goes by the name
            raw.replace(named)
            reason = _why_no_map(named)
            return (None, reason) if reason else (named.replace(self._folder / f"{stem}{suffix}"), "")
        except DocumentMissingError as error:
            return None, f"it could not be fetched: {error.reason}"
        finally:
            for leftover in unchecked:
                leftover.unlink(missing_ok=True)


def _why_no_map(path: Path) -> str:
    """Why a file is not a three-dimensional NIfTI image with a value somewhere; empty when it is one."""
    import nibabel
    import numpy as np

    if not any(_starts_with(path, magic) for magic in (_GZIP_MAGIC, *_NIFTI_MAGICS)):
        return "what came is not a NIfTI file but, it seems, a page about it"
    try:
        image = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel, zlib and NumPy have many ways to say that a file is broken
        return f"it cannot be read as NIfTI ({type(error).__name__})"
    if values.ndim < 3 or any(extent != 1 for extent in values.shape[3:]):
        return f"it is not one volume: its shape is {' × '.join(map(str, values.shape))}"
    if not np.any(np.isfinite(values) & (values != 0)):
        return "it has no finite value other than zero"
    return ""


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def path_in(location: str) -> str:
    """Path in an address, without its query; empty when it is no address."""
    try:
        return unquote(urlsplit(location).path)
    except ValueError:
        return ""


def local_file(location: str) -> Path | None:
    """A file on this machine that a bundle from a disk refers to."""
    scheme = urlsplit(location).scheme
    if scheme in ("http", "https"):
        return None
    path = Path(path_in(location) if scheme == "file" else location)
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None
