"""Collect one job's log records: all of a normal job's in one reply, the end of a huge log first.

The real client reads one reply and never follows ``next_token``, so a reply holds everything as long as it fits. When
it does not fit, the oldest records are left out, because a log's end has the reason of a failure, and ``next_token``
leads back to them. When the time is up before the log is read, the same token leads on to the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.service import observability
from compose_runner.service.contract import MAX_EPOCH_MS, LogEvent, LogsReply
from compose_runner.service.errors import RequestError
from compose_runner.service.log_events import ARTIFACT_PREFIX
from compose_runner.service.ports import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.service.contract import LogsRequest
    from compose_runner.service.ports import Records

# Lambda refuses a response of more than 6 MB (6,291,556 bytes), and the rest of the reply needs a little
MAX_REPLY_BYTES = 5_900_000
# the real client gives up after 30 s
MAX_SECONDS = 18.0
_BAD_TOKEN = "next_token: it is not one that an earlier reply to this request gave"  # noqa: S105 - a sentence


@dataclass(frozen=True, slots=True)
class LogsService:
    """Collects records.

    Parameters
    ----------
    records : port
        The task's log.
    lookback_ms : int
        How far to look back when a request names no start, in milliseconds.
    max_bytes : int
        Size that a reply may have on its way out of Lambda.
    max_seconds : float
        How long to read before answering with what there is.
    clock : callable
        Seconds that only grow.
    now : callable
        Seconds since the epoch.
    """

    records: Records
    lookback_ms: int
    max_bytes: int = MAX_REPLY_BYTES
    max_seconds: float = MAX_SECONDS
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time

    def logs(self, request: LogsRequest) -> LogsReply:
        """Give the records of one job, in the order of their time.

        Raises
        ------
        RequestError
            ``next_token`` is none of ours.
        AwsServiceError
            The log cannot be read.
        """
        observability.follow_job(request.artifact_prefix)
        waiting = _decode_token(request.next_token) if request.next_token else [self._window(request)]
        kept, left = self._read(request.artifact_prefix, waiting.pop())
        waiting.extend(left)
        return LogsReply(
            artifact_prefix=request.artifact_prefix,
            events=[LogEvent(timestamp=timestamp, message=text) for timestamp, text in kept],
            next_token=_encode_token(waiting) if waiting else None,
        )

    def _window(self, request: LogsRequest) -> Window:
        start, end = request.start_time, request.end_time
        if start is None:
            end = int(self.now() * 1000) if end is None else end
            start = max(0, end - self.lookback_ms)
        return Window(start, end)

    def _read(self, artifact_prefix: str, window: Window) -> tuple[list[tuple[int, str]], list[Window]]:
        """Read a window; give the newest records that fit, and the windows that are left, the oldest first."""
        deadline = self.clock() + self.max_seconds
        kept: deque[tuple[int, str, int]] = deque()
        size = 0
        dropped: list[int] = []  # times of the first and the last record that did not fit
        token = window.token
        while True:
            page = self.records.page(artifact_prefix, Window(window.start, window.end, token))
            for timestamp, text in page.records:
                if not _belongs_to(artifact_prefix, text):
                    continue
                kept.append((timestamp, text, _bytes_on_the_way_out(text)))
                size += kept[-1][2]
                while size > self.max_bytes and len(kept) > 1:
                    oldest, _, freed = kept.popleft()
                    dropped = [dropped[0] if dropped else oldest, oldest]
                    size -= freed
            token = page.token
            if token is None or self.clock() >= deadline:
                break

        left: list[Window] = []
        if dropped:
            first, last = dropped
            # records of the same millisecond stay together, so that no record comes twice or never
            while len(kept) > 1 and kept[0][0] <= last:
                kept.popleft()
            left.append(Window(first, last if kept[0][0] > last else last - 1))
        if token is not None:
            left.append(Window(window.start, window.end, token))
        return _in_order(kept), left


def _in_order(kept: deque[tuple[int, str, int]]) -> list[tuple[int, str]]:
    """Order by time, records of one millisecond as they came."""
    return [(timestamp, text) for timestamp, text, _ in sorted(kept, key=lambda record: record[0])]


def _belongs_to(artifact_prefix: str, text: str) -> bool:
    """Check the filter's work: an emulated CloudWatch returns every record, or all that hold the name anywhere."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get(ARTIFACT_PREFIX) == artifact_prefix


def _bytes_on_the_way_out(text: str) -> int:
    """Size of one event in the response, where it is JSON text inside JSON text."""
    return len(json.dumps(json.dumps(text))) + 50


def _encode_token(windows: list[Window]) -> str:
    document = [[window.start, window.end, window.token] for window in windows]
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def _decode_token(token: str) -> list[Window]:
    try:
        document = json.loads(base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, RecursionError, binascii.Error):
        raise RequestError(_BAD_TOKEN) from None
    if not isinstance(document, list) or not 1 <= len(document) <= 100:
        raise RequestError(_BAD_TOKEN)
    return [_decode_window(item) for item in document]


def _decode_window(item: Any) -> Window:
    if not isinstance(item, list) or len(item) != 3:
        raise RequestError(_BAD_TOKEN)
    start, end, token = item
    for bound in (start, end):
        if not (bound is None or (type(bound) is int and 0 <= bound <= MAX_EPOCH_MS)):
            raise RequestError(_BAD_TOKEN)
    if start is not None and end is not None and start > end:
        raise RequestError(_BAD_TOKEN)
    # CloudWatch's tokens are printable ASCII; what else it is asked with, it may answer with an error of its own
    if not (token is None or (isinstance(token, str) and token and token.isascii() and token.isprintable())):
        raise RequestError(_BAD_TOKEN)
    return Window(start, end, token)
