"""Large files over HTTP: streamed to a disk, whole or not at all, begun again when they break off."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import urllib3

from compose_runner.compose.addresses import AddressRefusedError, AllowedHosts
from compose_runner.compose.connections import Deadline, TimeLimitError
from compose_runner.compose.http_client import RETRYABLE, Limits, SizeLimitError, answering, explain_error
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PARTIAL = ".partial-"
_READ_AT_ONCE = 1 << 18
_LONGEST_WAIT_SECONDS = 10.0


def download(
    address: str,
    document: str,
    destination: Path,
    *,
    limits: Limits,
    allowed: AllowedHosts,
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
    limits : Limits
        What the file may cost, with all retries.
    allowed : AllowedHosts
        Hosts that may be anywhere; every other one, of redirects too, has to be on the public internet.
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
        The service refuses, for good, or its address may not be asked.
    DocumentMalformedError
        The file is larger than it may be.
    ServiceUnavailableError
        No complete answer after all retries.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with Deadline(limits.seconds) as deadline:
        for attempt in range(attempts + 1):
            # not by mkstemp, whose files are their owner's alone: who may read it is what the person's umask says
            partial = destination.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
            left = replace(limits, seconds=deadline.remaining)
            try:
                with partial.open("xb") as file:
                    answer = _stream(
                        address, document, file.write, left, allowed, dict(headers or {}), attempts, progress
                    )
                if answer is None:
                    return None
                if check is not None:
                    check(partial)
                partial.replace(destination)
                return answer
            except AddressRefusedError as error:
                raise DocumentMissingError(document, address, explain_error(error)) from error
            except SizeLimitError as error:
                raise DocumentMalformedError(document, address, str(error)) from error
            except (urllib3.exceptions.MaxRetryError, TimeLimitError) as error:
                raise ServiceUnavailableError(document, address, f"no answer ({explain_error(error)})") from error
            except urllib3.exceptions.HTTPError as error:
                if attempt == attempts or not deadline.remaining:
                    raise ServiceUnavailableError(
                        document, address, f"it broke off ({explain_error(error)})"
                    ) from error
                time.sleep(min(0.5 * 2**attempt, _LONGEST_WAIT_SECONDS, deadline.remaining))
            finally:
                partial.unlink(missing_ok=True)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _stream(
    address: str,
    document: str,
    write: Callable[[bytes], object],
    limits: Limits,
    allowed: AllowedHosts,
    headers: dict[str, str],
    attempts: int,
    progress: Callable[[int, int | None], None] | None,
) -> Mapping[str, str] | None:
    """Copy one answer's body; connection errors are the caller's."""
    with answering(address, limits=limits, allowed=allowed, attempts=attempts, headers=headers) as answer:
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return None
        if answer.status in RETRYABLE:
            raise ServiceUnavailableError(document, address, f"the service answered {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise DocumentMissingError(document, address, f"the service answered {answer.status}")
        total = int(length) if (length := answer.headers.get("Content-Length", "")).isdecimal() else None
        if total is not None and total > limits.n_bytes:
            raise _too_large(limits)
        done = 0
        for block in answer.stream(_READ_AT_ONCE, decode_content=False):
            done += len(block)
            if done > limits.n_bytes:
                raise _too_large(limits)
            write(block)
            if progress is not None:
                progress(done, total)
        return {name.lower(): value for name, value in answer.headers.items()}


def _too_large(limits: Limits) -> SizeLimitError:
    return SizeLimitError(f"it has more than {limits.n_bytes:,} bytes")
