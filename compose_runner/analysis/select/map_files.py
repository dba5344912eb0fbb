"""Statistical maps as files: each fetched and looked at once, under a name that a later run finds."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from compose_runner.analysis.fetch.downloads import download
from compose_runner.analysis.fetch.reach import OutOfReachError, Reach
from compose_runner.analysis.select.nifti import GZIP_MAGIC, MOST_BYTES, MapValues, NoMapError, check_map
from compose_runner.compose.addresses import extract_host
from compose_runner.compose.http_client import Limits
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError

log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii")
# with its retries; at 1 MB/s the largest map needs half of it
MAP_SECONDS = 600.0
# for all maps of a job: a thousand at 1 mm, or some thousand at 2 mm
MOST_BYTES_OF_ALL = 8 << 30
SECONDS_OF_ALL = 3600.0


@dataclass(frozen=True, slots=True)
class FoundMap:
    """A map's file, or why there is none.

    Parameters
    ----------
    path : Path or None
        The file.
    values : MapValues
        What is known of its values.
    reason : str
        Why there is no file.
    """

    path: Path | None = None
    values: MapValues = field(default_factory=MapValues)
    reason: str = ""


class MapFiles:
    """Files by source: each is fetched and looked at once, even when several analyses refer to it.

    Parameters
    ----------
    folder : Path
        Where the files go.
    attempts : int
        Retries of each download.
    reach : Reach
        Which files of this machine and which hosts may be asked.
    """

    def __init__(self, folder: Path, attempts: int, reach: Reach) -> None:
        self._folder = folder
        self._attempts = attempts
        self._reach = reach
        self._known: dict[str, FoundMap] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._bytes_left = MOST_BYTES_OF_ALL
        self._end = time.monotonic() + SECONDS_OF_ALL

    def get(self, source: str, image_id: str) -> FoundMap:
        """Give a map's file; or why there is none.

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

    def _fetch(self, source: str, image_id: str) -> FoundMap:
        try:
            local = self._reach.local_file(source)
            version = "" if local is None else f" {local.stat().st_size} {local.stat().st_mtime_ns}"
        except OutOfReachError as error:
            return FoundMap(reason=str(error))
        digest = hashlib.sha256(f"{source}{version}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        stem = re.sub(r"[^A-Za-z0-9_.]+", "_", Path(path_in(source)).name.split(".nii")[0])[:60]
        stem = f"{stem or 'map'}-{digest}"
        for suffix in SUFFIXES:
            earlier = self._folder / f"{stem}{suffix}"
            if earlier.is_file():
                with contextlib.suppress(NoMapError):  # which was changed since: it is fetched anew
                    return FoundMap(earlier, check_map(earlier))
        # a later run finds a file by its name, which it gets when it has been looked at
        unchecked = [self._folder / f".unchecked-{stem}{suffix}" for suffix in ("", *SUFFIXES)]
        raw = unchecked[0]
        try:
            if local is None:
                self._download(source, image_id, raw)
            elif local.stat().st_size > MOST_BYTES:
                return FoundMap(reason=f"it has more than {MOST_BYTES:,} bytes")
            else:
                # copied, since NiMARE resolves paths against the one directory that all maps share; not into what
                # has the name already, which may be another name of a person's file
                raw.unlink(missing_ok=True)
                shutil.copyfile(local, raw)
            with raw.open("rb") as file:
                suffix = ".nii.gz" if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC else ".nii"
            named = raw.with_name(f"{raw.name}{suffix}")  # nibabel goes by the name
            raw.replace(named)
            values = check_map(named)
            return FoundMap(named.replace(self._folder / f"{stem}{suffix}"), values)
        except (DocumentMissingError, DocumentMalformedError) as error:
            return FoundMap(reason=error.reason)
        except NoMapError as error:
            return FoundMap(reason=str(error))
        finally:
            for leftover in unchecked:
                leftover.unlink(missing_ok=True)

    def _download(self, source: str, image_id: str, destination: Path) -> None:
        """Fetch a map.

        What is found at an address that a document names goes to the developers' log only: the author who writes
        documents could otherwise learn what there is around the machine that reads them.
        """
        what = f"map {image_id or source}"
        with self._lock:
            n_bytes = min(MOST_BYTES, self._bytes_left)
            seconds = min(MAP_SECONDS, self._end - time.monotonic())
        most = f"{MOST_BYTES_OF_ALL:,} bytes and {SECONDS_OF_ALL / 60:.0f} minutes"
        spent = DocumentMissingError(what, source, f"the maps of one job may take {most}, and these are spent")
        if n_bytes <= 0 or seconds <= 0:
            raise spent
        fetched = last = 0

        def count(done: int, _total: int | None) -> None:
            nonlocal fetched, last
            fetched += done - last if done >= last else done  # it begins again with every try
            last = done

        try:
            download(
                source,
                what,
                destination,
                limits=Limits(n_bytes, seconds),
                allowed=self._reach.hosts,
                attempts=self._attempts,
                progress=count,
            )
        except DocumentMalformedError as error:
            if n_bytes < MOST_BYTES:
                raise spent from error
            raise
        except (DocumentMissingError, ServiceUnavailableError) as error:
            if self._reach.hosts.hold(source):
                if isinstance(error, ServiceUnavailableError):
                    raise
                raise DocumentMissingError(what, source, f"it could not be fetched: {error.reason}") from error
            log.debug("%s", error)
            host = extract_host(source)
            raise type(error)(what, host, f"the map could not be fetched from {host}") from None
        finally:
            with self._lock:
                self._bytes_left -= fetched


def path_in(location: str) -> str:
    """Path in an address, without its query; empty when it is no address."""
    try:
        return unquote(urlsplit(location).path)
    except ValueError:
        return ""
