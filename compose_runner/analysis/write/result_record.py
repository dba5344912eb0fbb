"""Which files of a result directory a run wrote: the record that listing, replacing, uploading and publishing go by.

The record is ``.compose-runner/record.json``. A file enters it, with its checksum, before it appears under its name, so
that a run that is killed between the two leaves nothing that nobody knows. A directory of an earlier version has only
its ``metadata.json``, which lists every file that stood there: of these, the ones count that a run can have written.

A record may have come from somewhere else with the directory, so that it says nothing about names that no run gives
(:func:`run_may_write`), however well the checksum fits.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeGuard

from compose_runner.compose.json_documents import parse_json
from compose_runner.errors import DocumentMalformedError
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from pathlib import Path

# what the next upload goes on from; it changes after the artifacts are complete, and outlives a new run
PUBLISH_RECORD = "publish.json"
# tables of our own, with the names of studies
STUDIES_FILENAME = "studies.tsv"
CONTRIBUTIONS_FILENAME = "contributions.tsv"
_READ_AT_ONCE = 1 << 20
# a record has some 250 bytes a file, and metadata.json the specification besides
_MOST_BYTES = 32 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
# file systems keep times to two seconds at the coarsest
_CLOCK_SECONDS = 2.0
# where the figures are; the one folder that a run makes in a result directory, but for the hidden one
FIGURES = "figures"
# NiMARE names a map by its kind and by what was done (``z_desc-mass_level-cluster_corr-FWE_method-montecarlo``), label
# maps and tables by the map that they describe
_DONE = (
    r"(?:_desc-[A-Za-z0-9]{1,40}(?:_prior)?)?"
    r"(?:_level-(?:voxel|cluster))?"
    r"(?:_corr-[A-Z]{3}(?:_method-[A-Za-z0-9]{1,40})?)?"
)
_TAIL = r"_tail-(?:positive|negative)"
_NAMES_OF_A_RUN = re.compile(
    rf"""
    (?:z|p|t|logp|stat|est|se|dof|tau2|sigma2|chi2|prob){_DONE}\.nii\.gz
    | label{_DONE}{_TAIL}\.nii\.gz
    | z{_DONE}(?:_tab-clust|_diag-[A-Za-z]{{1,40}}_tab-counts(?:{_TAIL})?)\.tsv
    | level-estimator{_DONE}\.tsv
    | (?:ibma_coverage|clusters|studies|contributions)\.tsv
    | boilerplate\.txt | references\.bib | README\.txt | run\.log
    | meta_results\.pkl | report\.html | metadata\.json | publish\.json | bundle\.json\.gz
    | {FIGURES}/(?:figure|(?:map-\d{{1,4}}|preliminary_dset-\d|corrector|diagnostics)_[A-Za-z0-9_-]{{0,160}}figure)
      [A-Za-z0-9_-]{{0,40}}\.(?:png|html)
    | {FIGURES}/z{_DONE}_(?:slices|glass)\.png
    """,
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file that a run wrote.

    Parameters
    ----------
    size : int
        Bytes.
    sha256 : str
        Checksum, as hexadecimal digits.
    replaced : str or None
        Checksum of the file that this one takes the place of: a run that is killed leaves either.
    """

    size: int
    sha256: str
    replaced: str | None = None


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """The files and folders that runs wrote into one result directory.

    Parameters
    ----------
    files : dict of str to WrittenFile
        By name below the directory, with slashes.
    folders : set of str
        Folders that were made for them.
    """

    files: dict[str, WrittenFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def to_json(self) -> bytes:
        """Write the record as :func:`parsed_record` reads it."""
        files = {name: asdict(file) for name, file in sorted(self.files.items())}
        return json.dumps({"files": files, "folders": sorted(self.folders)}, indent=1).encode() + b"\n"


def parsed_record(content: bytes) -> ResultRecord | None:
    """Read a record; None for what is none.

    Names that no run gives are left out: the files of these names belong to somebody else, whatever the record says.

    Parameters
    ----------
    content : bytes
        Of ``record.json``, which may come from anywhere.
    """
    document = _parsed(content)
    if document is None:
        return None
    files, folders = document.get("files"), document.get("folders")
    if not (isinstance(files, dict) and isinstance(folders, list)):
        return None
    written = {
        name: file
        for name, entry in files.items()
        if run_may_write(name) and (file := _written_file(entry)) is not None
    }
    return ResultRecord(written, {FIGURES} if FIGURES in folders else set())


def record_of_metadata(result_dir: Path) -> ResultRecord | None:
    """Make the record of a directory that an earlier version wrote, whose ``metadata.json`` is all there is.

    That version listed whatever it found. Of what it lists, the files count whose names a run can give and that are
    not older than the run.

    Returns
    -------
    ResultRecord or None
        None where ``metadata.json`` is missing or belongs to something else.
    """
    content = read_content(result_dir, METADATA_FILENAME)
    metadata = None if content is None else _parsed(content)
    listed = metadata.get("artifacts") if metadata is not None else None
    if metadata is None or content is None or not isinstance(listed, list):
        return None
    known = {
        entry["filename"]: file
        for entry in listed
        if isinstance(entry, dict)
        and isinstance(entry.get("filename"), str)
        and (file := _written_file(entry)) is not None
    }
    if not known and "compose_runner_version" not in metadata:
        return None
    started = _parse_seconds(metadata.get("started"))
    files = {
        name: file
        for name, file in known.items()
        if run_may_write(name)
        and (path := path_inside(result_dir, name)) is not None
        and (started is None or path.lstat().st_mtime >= started - _CLOCK_SECONDS)
    }
    files[METADATA_FILENAME] = _as_written(content)
    upload = read_content(result_dir, PUBLISH_RECORD)
    if upload is not None and "meta_analysis_id" in (_parsed(upload) or {}):
        files[PUBLISH_RECORD] = _as_written(upload)
    return ResultRecord(files, set())


def run_may_write(name: str) -> bool:
    """Whether a run can write a file of this name, whatever its estimator is.

    Every name that a run gives has to be one of them: a file of another name would neither be listed nor replaced.

    Parameters
    ----------
    name : str
        Below the result directory, with slashes.
    """
    return _NAMES_OF_A_RUN.fullmatch(name) is not None


def path_inside(folder: Path, name: object) -> Path | None:
    """Path of a regular file below a folder, which no symbolic link leads to; None when there is no such file.

    Parameters
    ----------
    folder : Path
        Absolute, without symbolic links.
    name : object
        A name out of a record, which may hold anything.
    """
    if not isinstance(name, str) or not is_plain_name(name):
        return None
    path = folder
    parts = PurePosixPath(name).parts
    try:
        for number, part in enumerate(parts, start=1):
            path = path / part
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) if number == len(parts) else stat.S_ISDIR(mode)):
                return None
    except (OSError, ValueError):
        return None
    return path


def is_plain_name(name: str) -> bool:
    """Whether a name can only mean something below the folder that it is looked up in."""
    return (
        bool(name)
        and "\0" not in name
        and "\\" not in name
        and not name.startswith("/")
        and all(part not in ("", ".", "..") for part in name.split("/"))
    )


def compute_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def read_content(folder: Path, name: str) -> bytes | None:
    """Bytes of a small file below a folder; None when there is none, or it is too large to be a run's.

    Parameters
    ----------
    folder : Path
        Absolute, without symbolic links.
    name : str
        Below the folder.
    """
    path = path_inside(folder, name)
    try:
        if path is None:
            return None
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= _MOST_BYTES else None


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        document = parse_json(content, "record", "")
    except DocumentMalformedError:
        return None
    return document if isinstance(document, dict) else None


def _written_file(entry: object) -> WrittenFile | None:
    if not isinstance(entry, dict):
        return None
    size, checksum, replaced = entry.get("size"), entry.get("sha256"), entry.get("replaced")
    if type(size) is not int or size < 0 or not _is_checksum(checksum):
        return None
    return WrittenFile(size, checksum, replaced if _is_checksum(replaced) else None)


def _is_checksum(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _as_written(content: bytes) -> WrittenFile:
    return WrittenFile(len(content), hashlib.sha256(content).hexdigest())


def _parse_seconds(moment: object) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else None
    except ValueError:
        return None
