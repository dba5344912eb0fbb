"""Log streams of CloudWatch Logs, written without HTTP."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from moto.logs.models import LogGroup, LogStream, logs_backends

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.local.aws.moto_patches.host import Host


class LogStreams:
    """What puts lines into log groups.

    Parameters
    ----------
    host : Host
        The embedded AWS.
    account, region : str
        Where the groups are.
    on_line : callable or None
        Takes the log group and the line of every line as well.
    """

    def __init__(self, host: Host, account: str, region: str, on_line: Callable[[str, str], None] | None) -> None:
        self._host = host
        self._backend = logs_backends[account][region]
        self._on_line = on_line
        self._lock = threading.Lock()

    def writer(self, group: str, stream: str) -> Callable[[str], None]:
        """Make a log stream and return what puts a line into it.

        It does so directly, not over HTTP: a task writes many lines.

        Raises
        ------
        LookupError
            There is no such log group.
        """
        found = self._backend.groups.get(group)
        if found is None:
            raise LookupError(f"the log group {group} does not exist")

        def put(line: str) -> None:
            if not line.strip():
                return
            now = int(time.time() * 1000)
            if not self._host.store.keep_line(group, now, line):
                with self._lock:
                    # a new dictionary: another thread may be walking through the one that is there
                    if stream not in found.streams:
                        found.streams = {**found.streams, stream: LogStream(log_group=found, name=stream)}
                self._backend.put_log_events(group, stream, [{"timestamp": now, "message": line}])
            if self._on_line is not None:
                self._on_line(group, line)

        return put

    def forget(self, group: str, stream: str) -> None:
        """Drop a stream from memory."""
        if group in self._backend.groups:
            self._drop(self._backend.groups[group], stream)

    def forget_refused(self, name: str) -> None:
        """Drop the stream that the submission of a job without a task made."""
        for group in self._backend.groups.values():
            self._drop(group, f"refused/{name}")

    def _drop(self, group: LogGroup, stream: str) -> None:
        with self._lock:
            group.streams = {name: kept for name, kept in group.streams.items() if name != stream}
