"""Large files over HTTP: streamed to a disk, whole or not at all, begun again when they break off."""

from __future__ import annotations

import os
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from compose_runner.errors import DocumentMissingError, ServiceUnavailableError
from compose_runner.web import CONNECT_SECONDS, MAY_PASS, READ_SECONDS, pool, reason_of, retries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PARTIAL = ".partial-"
_READ_AT_ONCE = 1 << 18
_LONGEST_WAIT_SECONDS = 10.0


def download(
    address: str,
    document: str,
    destination: Path,
    *,
    headers: Mapping[str, str] | None = None,
    attempts: int = 4,
    check: Callable[[Path], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Mapping[str, str] | None:
    """Fetch a file.

    Parameters
    ----------
    address : str
        Where it is.
    document : str
        What it is, for error texts.
    destination : Path
        Where it shall be. It appears there once it is complete and checked; what was there before stays until then.
    headers : mapping, optional
        Further request headers, such as ``If-None-Match``.
    attempts : int
        Retries after the first try, when the service is busy or the connection breaks off.
    check : callable, optional
        Takes the complete file before it appears, and raises when it is not what it should be.
    progress : callable, optional
        Takes the bytes that have come, and how many there will be (None when the service does not say).

    Returns
    -------
    mapping or None
        The answer's headers, in lower case; None when the service says that the file has not changed.

    Raises
    ------
    DocumentMissingError
        The service refuses, for good.
    ServiceUnavailableError
        No complete answer after all retries.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(attempts + 1):
        descriptor, name = tempfile.mkstemp(dir=destination.parent, prefix=PARTIAL)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                answer = _stream(address, document, file.write, dict(headers or {}), attempts, progress)
            if answer is None:
                return None
            if check is not None:
                check(partial)
            partial.chmod(0o644)  # mkstemp makes files that only their owner can read
            partial.replace(destination)
            return answer
        except urllib3.exceptions.HTTPError as error:
            if attempt == attempts:
                raise ServiceUnavailableError(document, address, f"it broke off ({reason_of(error)})") from error
            time.sleep(min(0.5 * 2**attempt, _LONGEST_WAIT_SECONDS))
        finally:
            partial.unlink(missing_ok=True)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _stream(
    address: str,
    document: str,
    write: Callable[[bytes], object],
    headers: dict[str, str],
    attempts: int,
    progress: Callable[[int, int | None], None] | None,
) -> Mapping[str, str] | None:
    """Copy one answer's body; connection errors while it comes are the caller's."""
    try:
        answer = pool().request(
            "GET",
            address,
            headers={"Accept-Encoding": "identity", "User-Agent": pool().headers["User-Agent"], **headers},
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=retries(attempts),
            preload_content=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailableError(document, address, f"no answer ({reason_of(error)})") from error
    except ValueError as error:  # urllib3's words for an address that is none
        raise DocumentMissingError(document, address, "this is not an address") from error
    try:
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        if answer.status in MAY_PASS:
            raise ServiceUnavailableError(document, address, f"the service answered {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise DocumentMissingError(document, address, f"the service answered {answer.status}")
        total = int(length) if (length := answer.headers.get("Content-Length", "")).isdigit() else None
        done = 0
        for block in answer.stream(_READ_AT_ONCE, decode_content=False):
            write(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
        return {name.lower(): value for name, value in answer.headers.items()}
    finally:
        answer.close()
