"""Fetch a job's files: in parallel, whole or not at all, compared with what ``metadata.json`` says of them.

A file that stands in the directory already is replaced only if the ``metadata.json`` of an earlier download lists it,
as it is now: every other one is a person's, or was changed by one.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3

from compose_runner.compose.http_client import RETRYABLE, explain_error, pool, retries
from compose_runner.errors import AnalysisError, ServiceUnavailableError
from compose_runner.escaping import refuse_file_name, same_file_names
from compose_runner.service.storage import METADATA_FILENAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compose_runner.client.models import JobArtifact

PARALLEL = 6
_PIECE = 1 << 18
_ATTEMPTS = 4
_SHOWN = 5


class DownloadError(AnalysisError):
    """A file cannot be had, or is not what it should be."""


def download(
    artifacts: list[JobArtifact], directory: str | Path, on_bytes: Callable[[int], object] | None = None
) -> list[Path]:
    """Fetch files into a directory.

    Parameters
    ----------
    artifacts : list of JobArtifact
        What to fetch.
    directory : path-like
        Where to.
    on_bytes : callable, optional
        Takes the number of bytes of every piece; called from several threads.

    Raises
    ------
    DownloadError
        Nothing to fetch, a name that leads out of the directory or is none on every system, two names of one file, a
        file in the directory that no download put there and that is another than the job's, or a file of a wrong size
        or checksum.
    ServiceUnavailableError
        An address does not answer.
    """
    if not artifacts:
        raise DownloadError("this job has no files (yet)")
    folder = Path(directory).expanduser()
    tell = on_bytes or (lambda _: None)
    targets = {artifact.path: _target(folder, artifact.path) for artifact in artifacts}
    if same := same_file_names(artifact.path for artifact in artifacts):
        raise DownloadError(f"the files {same[0]!r} and {same[1]!r} would be one file on some systems")
    by_path = {artifact.path: artifact for artifact in artifacts}
    earlier = _Earlier(folder)
    checksums: dict[str, str] = {}
    metadata = by_path.pop(METADATA_FILENAME, None)
    if metadata is not None:
        # nothing appears before it is clear that nothing is in the way: an account of the files is of no use alone
        part = _part(targets[METADATA_FILENAME])
        try:
            _receive(metadata, part, None, tell)
            checksums = _checksums(_read_json(part))
            earlier.refuse(folder, artifacts, {**checksums, METADATA_FILENAME: _sha256(part)})
            earlier.put(part, METADATA_FILENAME, targets[METADATA_FILENAME])
        finally:
            part.unlink(missing_ok=True)
    else:
        earlier.refuse(folder, artifacts, {})
    with ThreadPoolExecutor(max_workers=PARALLEL) as workers:
        running = [
            workers.submit(_fetch, artifact, targets[path], checksums.get(path), earlier, tell)
            for path, artifact in by_path.items()
        ]
        try:
            for future in running:
                future.result()
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    return list(targets.values())


def _target(folder: Path, path: str) -> Path:
    if reason := refuse_file_name(path):
        raise DownloadError(f"the file name {path[:200]!r} {reason}")
    target = folder / path
    # a symbolic link may stand where one of its directories should be
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise DownloadError(f"the file name {path!r} leads out of the directory, through a symbolic link")
    return target


class _Earlier:
    """What earlier downloads put into a directory, and may be replaced.

    Parameters
    ----------
    folder : Path
        The directory, which need not exist.
    """

    def __init__(self, folder: Path) -> None:
        document = _read_json(folder / METADATA_FILENAME)
        self._checksums = _checksums(document)
        if isinstance(document, dict) and isinstance(document.get("artifacts"), list):
            self._checksums[METADATA_FILENAME] = _sha256(folder / METADATA_FILENAME)

    def refuse(self, folder: Path, artifacts: list[JobArtifact], checksums: Mapping[str, str]) -> None:
        """Refuse a download that would have to replace something that is neither the same nor an earlier one's."""
        in_the_way = [
            artifact.path
            for artifact in artifacts
            if os.path.lexists(target := folder / artifact.path)
            and not self._has(artifact.path, target)
            and not _same(target, artifact.size, checksums.get(artifact.path))
        ]
        if in_the_way:
            shown = ", ".join(sorted(in_the_way)[:_SHOWN])
            raise DownloadError(
                f"{folder} holds other files under names of this job's files: {shown}. Move them, "
                "or choose another directory. Nothing was changed."
            )

    def put(self, part: Path, path: str, target: Path) -> None:
        """Give a complete file its name, unless something that no download put there has it."""
        if os.path.lexists(target) and not self._has(path, target):
            if not _same(target, part.stat().st_size, _sha256(part)):
                raise DownloadError(f"{target} is another file than this job's {path}; it was left as it is")
            return
        part.replace(target)

    def _has(self, path: str, target: Path) -> bool:
        checksum = self._checksums.get(path)
        return checksum is not None and _is_file(target) and _sha256(target) == checksum


def _read_json(path: Path) -> Any:
    """Content of a file of JSON; None where there is none."""
    if not _is_file(path):
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _checksums(metadata: Any) -> dict[str, str]:
    listed = metadata.get("artifacts") if isinstance(metadata, dict) else None
    if not isinstance(listed, list):
        return {}
    found = {}
    for about in listed:
        if isinstance(about, dict) and isinstance(about.get("sha256"), str):
            found[str(about.get("filename"))] = about["sha256"]
    return found


def _is_file(path: Path) -> bool:
    """Whether there is a regular file, which no symbolic link stands for."""
    return path.is_file() and not path.is_symlink()


def _same(target: Path, size: int, checksum: str | None) -> bool:
    """Whether a file can be the one that is to be fetched; without a checksum this shows when it has come."""
    return _is_file(target) and target.stat().st_size == size and checksum in (None, _sha256(target))


def _part(target: Path) -> Path:
    """Name of an unfinished file, and the directory for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # no name that was there before, nor one of another file: names of artifacts do not begin with a dot
    return target.with_name(f".{secrets.token_hex(8)}.part")


def _fetch(
    artifact: JobArtifact, target: Path, checksum: str | None, earlier: _Earlier, tell: Callable[[int], object]
) -> None:
    if checksum is not None and _same(target, artifact.size, checksum):
        tell(artifact.size)
        return
    part = _part(target)
    try:
        _receive(artifact, part, checksum, tell)
        earlier.put(part, artifact.path, target)
    finally:
        part.unlink(missing_ok=True)


def _receive(artifact: JobArtifact, part: Path, checksum: str | None, tell: Callable[[int], object]) -> None:
    try:
        answer = pool().request(
            "GET",
            artifact.url,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=10.0, read=60.0),
            retries=retries(_ATTEMPTS),
        )
        try:
            if answer.status != HTTPStatus.OK:
                _refuse(artifact, answer.status)
            digest = hashlib.sha256()
            size = 0
            with part.open("xb") as file:
                for piece in answer.stream(_PIECE, decode_content=False):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    tell(len(piece))
                    if size > artifact.size:
                        raise DownloadError(
                            f"{artifact.path} has more than the {artifact.size} bytes that it should have"
                        )
        finally:
            answer.release_conn()
        if size != artifact.size:
            raise DownloadError(f"{artifact.path} has {size} bytes instead of {artifact.size}")
        if checksum is not None and digest.hexdigest() != checksum:
            raise DownloadError(f"{artifact.path} has another checksum than {METADATA_FILENAME} says")
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(
            artifact.path, _without_query(artifact.url), f"no answer ({explain_error(error)})"
        ) from error


def _refuse(artifact: JobArtifact, status: int) -> None:
    if status in RETRYABLE:
        raise ServiceUnavailableError(artifact.path, _without_query(artifact.url), f"the store answered {status}")
    raise DownloadError(f"{artifact.path}: the store answered {status}; its address may have expired")


def _without_query(url: str) -> str:
    """An address without its signature, which is a key for as long as it is valid."""
    return url.partition("?")[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
