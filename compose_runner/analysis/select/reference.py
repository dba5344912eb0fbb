"""Reference studysets: the databases that a group of studies can be compared with, kept in a cache.

Compose names them in ``database_studyset``. Some are static NIMADS documents (``.json.gz``); NeuroStore's own is a
release of parquet tables (``.tar.gz``) that is made anew every night, so the cache asks each time whether its copy
is still the present one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from platformdirs import user_cache_path

from compose_runner.analysis.fetch.downloads import PARTIAL, download
from compose_runner.analysis.fetch.validation import UNCOUNTED, check_studyset
from compose_runner.analysis.select.release import read_release
from compose_runner.analysis.write.result_record import compute_sha256
from compose_runner.compose.addresses import AllowedHosts
from compose_runner.compose.environments import reference_studysets
from compose_runner.compose.http_client import Limits
from compose_runner.errors import DocumentMalformedError, ServiceUnavailableError, SpecificationError
from compose_runner.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nimare.nimads import Studyset

    from compose_runner.compose.environments import Environment

CACHE_DIR_VARIABLE = "COMPOSE_RUNNER_CACHE_DIR"
TARGET_SPACE = "mni152_2mm"

# of the compressed file; an hour for that is 0.3 MB/s
MOST_BYTES = 1 << 30
DOWNLOAD_SECONDS = 3600.0
# of what it unfolds to: a release to files, a document to memory
MOST_UNFOLDED_BYTES = 8 << 30
MOST_DOCUMENT_BYTES = 2 << 30
MOST_MEMBERS = 10_000
# of the texts in an archive that describe a member, which are read into memory
_MOST_AT_ONCE = 1 << 20

_GZIP_MAGIC = b"\x1f\x8b"
_MANIFEST = "studyset.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A reference studyset on this machine.

    Parameters
    ----------
    name : str
        As in ``database_studyset``.
    path : Path
        The file.
    address : str
        Where it came from.
    sha256 : str
        Checksum of the file, for the record of the run.
    """

    name: str
    path: Path
    address: str
    sha256: str


def cache_directory(variables: Mapping[str, str] | None = None) -> Path:
    """Where downloads are kept: ``COMPOSE_RUNNER_CACHE_DIR``, or the system's place for caches."""
    variables = os.environ if variables is None else variables
    chosen = variables.get(CACHE_DIR_VARIABLE)
    return Path(chosen).expanduser().resolve() if chosen else user_cache_path("compose-runner", appauthor=False)


def fetch_reference(
    name: str,
    environment: Environment,
    *,
    cache_dir: Path | None = None,
    attempts: int = 4,
    progress: Callable[[int, int | None], None] | None = None,
) -> ReferenceFile:
    """Make sure that the present version of a reference studyset is on this machine.

    Of several processes one downloads, the others wait for it. When the service is out of reach, a copy that is
    complete is used as it is.

    Parameters
    ----------
    name : str
        As in ``database_studyset``.
    environment : Environment
        Which one's reference studysets.
    cache_dir : Path, optional
        :func:`cache_directory` by default.
    attempts : int
        Retries of the download.
    progress : callable, optional
        Takes the bytes that have come, and how many there will be.

    Raises
    ------
    SpecificationError
        There is no such reference studyset; names those that there are.
    DocumentMissingError, DocumentMalformedError, ServiceUnavailableError
        It cannot be had.
    """
    addresses = reference_studysets(environment)
    if name not in addresses:
        raise SpecificationError(
            f"There is no reference studyset {name!r} in {environment.name}. There are: {', '.join(addresses)}."
        )
    address = addresses[name]
    suffix = ".json.gz" if address.endswith(".json.gz") else ".tar.gz"
    # the address is part of the name: an environment's copy never serves another one
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    folder = (cache_dir or cache_directory()) / "reference-studysets" / f"{name}-{digest}"
    path = folder / f"{name}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for leftover in folder.glob(f"{PARTIAL}*"):  # of a process that was killed: we hold the lock
            leftover.unlink(missing_ok=True)
        sha256 = _revalidated(name, address, path, attempts, progress)
    return ReferenceFile(name, path, address, sha256)


def _revalidated(
    name: str,
    address: str,
    path: Path,
    attempts: int,
    progress: Callable[[int, int | None], None] | None,
) -> str:
    """Download what is missing or outdated, and give the file's checksum."""
    document = f"reference studyset {name}"
    about = path.with_name(f"{path.name}.about.json")
    known = _read_about(about) if path.is_file() else {}

    def is_compressed(file: Path) -> None:
        with file.open("rb") as content:
            if content.read(2) != _GZIP_MAGIC:
                raise DocumentMalformedError(document, address, "the answer is not a compressed file")

    conditions = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("last_modified")}
    try:
        answer = download(
            address,
            document,
            path,
            headers={header: value for header, value in conditions.items() if value},
            limits=Limits(MOST_BYTES, DOWNLOAD_SECONDS),
            allowed=AllowedHosts.of(address),
            attempts=attempts,
            check=is_compressed,
            progress=progress,
        )
    except ServiceUnavailableError as error:
        if not known or compute_sha256(path) != known["sha256"]:
            raise
        log.warning("The cached copy of %s is used: %s", document, error)
        return known["sha256"]
    if answer is None and known and compute_sha256(path) == known["sha256"]:
        return known["sha256"]
    if answer is None:
        # the service did not send what it says we have, but the file is another: nothing asks for a condition now
        path.unlink(missing_ok=True)
        about.unlink(missing_ok=True)
        return _revalidated(name, address, path, attempts, progress)
    about_new = {
        "address": address,
        "sha256": compute_sha256(path),
        "size": path.stat().st_size,
        "etag": answer.get("etag"),
        "last_modified": answer.get("last-modified"),
    }
    atomic_write(about, json.dumps(about_new, indent=1).encode())
    return str(about_new["sha256"])


def _read_about(about: Path) -> dict[str, str]:
    """What is known of the cached file; nothing when the file changed since (a download that was not recorded)."""
    try:
        known = json.loads(about.read_bytes())
        size = about.with_name(about.name.removesuffix(".about.json")).stat().st_size
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or known.get("size") != size or not isinstance(known.get("sha256"), str):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)}


def load_reference(
    name: str,
    environment: Environment,
    exclude_study_ids: Collection[str] = (),
    *,
    cache_dir: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Studyset:
    """Read a reference studyset, without the studies that are compared with it.

    Parameters
    ----------
    name : str
        As in ``database_studyset``.
    environment : Environment
        Which one's reference studysets.
    exclude_study_ids : collection of str
        Studies of the user's own studyset: one study cannot be in both groups.
    cache_dir, progress
        As in :func:`fetch_reference`.

    Returns
    -------
    nimare.nimads.Studyset
        In MNI152 space at 2 mm, analyses not combined.

    Raises
    ------
    SpecificationError, DocumentMissingError, DocumentMalformedError, ServiceUnavailableError
        As :func:`fetch_reference`.
    """
    return read_reference(fetch_reference(name, environment, cache_dir=cache_dir, progress=progress), exclude_study_ids)


def read_reference(reference: ReferenceFile, exclude_study_ids: Collection[str] = ()) -> Studyset:
    """Read a reference studyset from this machine; the rest is as in :func:`load_reference`."""
    document = f"reference studyset {reference.name}"
    excluded = {str(study_id) for study_id in exclude_study_ids}
    try:
        if reference.path.name.endswith(".json.gz"):
            return _read_document(reference, document, excluded)
        return _read_release(reference, document, excluded)
    except DocumentMalformedError:
        # the next run fetches it anew, instead of getting the answer that this one has not changed
        reference.path.with_name(f"{reference.path.name}.about.json").unlink(missing_ok=True)
        raise


def _read_document(reference: ReferenceFile, document: str, excluded: set[str]) -> Studyset:
    from nimare.nimads import Studyset

    try:
        with _BoundedGzip(reference.path, MOST_DOCUMENT_BYTES) as content:
            studyset: dict[str, Any] = check_studyset(
                json.load(content), document, reference.address, UNCOUNTED, foci_are_numbers=True
            )
    except (ValueError, EOFError, OSError, zlib.error, RecursionError) as error:
        raise DocumentMalformedError(document, reference.address, "it is not compressed JSON") from error
    # taken out before NiMARE sees them: a studyset of thousands of studies is built once, not twice
    studyset["studies"] = [study for study in studyset["studies"] if str(study["id"]) not in excluded]
    return Studyset(studyset, target=TARGET_SPACE)


class _BoundedGzip(gzip.GzipFile):
    """A compressed file that unfolds to a bounded size."""

    def __init__(self, path: Path, most: int, most_at_once: int | None = None) -> None:
        super().__init__(path, "rb")
        self._most = most
        self._most_at_once = most_at_once

    def read(self, size: int | None = -1) -> bytes:
        """Read, which is an error beyond the bounds."""
        whole = size is None or size < 0
        most = self._most - self.tell()
        if self._most_at_once is not None and (whole or (size or 0) > self._most_at_once):
            raise OSError("a description in it is too long")
        content = super().read(most + 1 if whole else min(size or 0, most + 1))
        if len(content) > most:
            raise OSError(f"it unfolds to more than {self._most:,} bytes")
        return content


def _extract(path: Path, folder: Path) -> None:
    """Unpack an archive of plain files, one after the other, each looked at before it is written."""
    with (
        _BoundedGzip(path, MOST_UNFOLDED_BYTES, _MOST_AT_ONCE) as content,
        tarfile.open(fileobj=content, mode="r:", errorlevel=1) as archive,
    ):
        for number, member in enumerate(archive, start=1):
            if number > MOST_MEMBERS:
                raise tarfile.ReadError(f"it has more than {MOST_MEMBERS:,} files")
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise tarfile.ReadError(f"{member.name[:100]!r} is no plain file")
            if content.tell() + member.size > MOST_UNFOLDED_BYTES:
                raise tarfile.ReadError(f"it unfolds to more than {MOST_UNFOLDED_BYTES:,} bytes")
            archive.extract(member, folder, filter="data")  # nothing outside the folder


def _read_release(reference: ReferenceFile, document: str, excluded: set[str]) -> Studyset:
    from nimare.nimads import Studyset

    with tempfile.TemporaryDirectory(prefix="compose-runner-") as folder:
        try:
            _extract(reference.path, Path(folder))
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
            raise DocumentMalformedError(document, reference.address, f"it is no usable archive: {error}") from error
        # the archive holds one folder that is named for the release
        manifests = sorted(Path(folder).rglob(_MANIFEST), key=lambda path: len(path.parts))
        if not manifests:
            raise DocumentMalformedError(document, reference.address, f"the archive holds no {_MANIFEST}")
        store = read_release(manifests[0].parent, document, reference.address)
        studyset = Studyset(store, target=TARGET_SPACE)
    # a list: NumPy takes a set for one value, and would exclude nothing
    return studyset.exclude_study_ids(sorted(excluded))
