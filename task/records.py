"""What the task says while it works: JSON records on standard output, and one progress object in S3."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from compose_runner.service import log_events
from compose_runner.service.observability import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.progress import ProgressListener, ProgressRecord

PROGRESS_SECONDS = 5.0


class RedactedOutput:
    """A stream that never lets a key through, from any writer of a record.

    Parameters
    ----------
    stream : file
        Where the rest goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._secrets: list[str] = []

    def hide(self, secrets: list[str]) -> None:
        """Hide these texts from now on."""
        self._secrets = [secret for secret in secrets if secret]

    def redact(self, text: str) -> str:
        """Replace every secret in a text."""
        for secret in self._secrets:
            text = text.replace(secret, "<key>")
        return text

    def write(self, text: str) -> int:
        """Write a text without the secrets in it."""
        return self._stream.write(self.redact(text))

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


class _PrintedLines:
    """Stands for ``sys.stdout``: what a library prints becomes a record, so that the log stays JSON."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        if text.strip():
            logging.getLogger("printed").info(text.strip())
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False


def begin_records(artifact_prefix: str) -> RedactedOutput:
    """Send every record of this process, NiMARE's and warnings too, to standard output, one JSON object a line.

    Parameters
    ----------
    artifact_prefix : str
        The job's name, a key of every record from here on.
    """
    output = RedactedOutput(sys.__stdout__ or sys.stdout)
    handler = logger.registered_handler
    if isinstance(handler, logging.StreamHandler):
        handler.setStream(output)
    logger.append_keys(artifact_prefix=artifact_prefix)
    # the root's handler is Powertools' own: its logger must not reach it twice
    logging.getLogger(logger.service).propagate = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logger.log_level)
    for name in log_events.QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.stdout = _PrintedLines()
    return output


class ProgressObject:
    """Keeps an object up to date with the latest record: the first at once, later ones at most every few seconds.

    A thread of its own writes, so that the analysis never waits for S3.

    Parameters
    ----------
    write : callable
        Takes the record as JSON.
    also : callable
        Gets each record at once.
    seconds : float
        Least time between two writes.
    """

    def __init__(self, write: Callable[[str], None], also: ProgressListener, seconds: float = PROGRESS_SECONDS) -> None:
        self._write = write
        self._also = also
        self._seconds = seconds
        self._latest: ProgressRecord | None = None
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="progress", daemon=True)
        self._thread.start()

    def __call__(self, record: ProgressRecord) -> None:
        """Take a record; see :class:`compose_runner.progress.ProgressListener`."""
        self._also(record)
        self._latest = record
        self._changed.set()

    def close(self, last: bool = False) -> None:
        """Write nothing more, but for the latest record where that is of use to others.

        Parameters
        ----------
        last : bool
            Whether the latest record is still to be written.
        """
        self._closed.set()
        self._changed.set()
        self._thread.join()
        if last and self._latest is not None:
            self._put(self._latest)

    def _keep(self) -> None:
        while self._changed.wait() and not self._closed.is_set():
            self._changed.clear()
            record = self._latest
            if record is not None:
                self._put(record)
            self._closed.wait(self._seconds)

    def _put(self, record: ProgressRecord) -> None:
        try:
            self._write(record.model_dump_json())
        except Exception as error:  # a progress object that is late must not end a job
            logger.warning("The progress object could not be written", extra={"error": type(error).__name__})
