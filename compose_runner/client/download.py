"""Fetch a job's files: in parallel, whole or not at all, compared with what ``metadata.json`` says of them."""

from __future__ import annotations

import hashlib
import json
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
    from collections.abc import Callable

    from compose_runner.client.models import Artifact

PARALLEL = 6
_PIECE = 1 << 18
_ATTEMPTS = 4


class DownloadError(AnalysisError):
    """A file cannot be had, or is not what it should be."""


def download(
    artifacts: list[Artifact], directory: str | Path, on_bytes: Callable[[int], object] | None = None
) -> list[Path]:
    """Fetch files into a directory.

    Parameters
    ----------
    artifacts : list of Artifact
        What to fetch.
    directory : path-like
        Where to.
    on_bytes : callable, optional
        Takes the number of bytes of every piece; called from several threads.

    Raises
    ------
    DownloadError
        Nothing to fetch, a name that leads out of the directory or is none on every system, two names of one file, or
        a file of a wrong size or checksum.
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
    checksums: dict[str, str] = {}
    metadata = by_path.pop(METADATA_FILENAME, None)
    if metadata is not None:
        _fetch(metadata, targets[METADATA_FILENAME], None, tell)
        checksums = _checksums(targets[METADATA_FILENAME])
    with ThreadPoolExecutor(max_workers=PARALLEL) as workers:
        running = [
            workers.submit(_fetch, artifact, targets[path], checksums.get(path), tell)
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


def _checksums(metadata: Path) -> dict[str, str]:
    try:
        listed: Any = json.loads(metadata.read_text(encoding="utf-8")).get("artifacts")
    except (ValueError, AttributeError):
        return {}
    if not isinstance(listed, list):
        return {}
    found = {}
    for about in listed:
        if isinstance(about, dict) and isinstance(about.get("sha256"), str):
            found[str(about.get("filename"))] = about["sha256"]
    return found


def _fetch(artifact: Artifact, target: Path, checksum: str | None, tell: Callable[[int], object]) -> None:
    if checksum is not None and target.is_file() and _sha256(target) == checksum:
        tell(artifact.size)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # no name that was there before, nor one of another file: names of artifacts do not begin with a dot
    part = target.with_name(f".{secrets.token_hex(8)}.part")
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
        part.replace(target)
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(
            artifact.path, _without_query(artifact.url), f"no answer ({explain_error(error)})"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _refuse(artifact: Artifact, status: int) -> None:
    if status in RETRYABLE:
        raise ServiceUnavailableError(artifact.path, _without_query(artifact.url), f"the store answered {status}")
    raise DownloadError(f"{artifact.path}: the store answered {status}; its address may have expired")


def _without_query(url: str) -> str:
    """An address without its signature, which is a key for as long as it is valid."""
    return url.partition("?")[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
