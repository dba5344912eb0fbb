"""Show a job that is followed: a bar with its stage and the time left, and its log records above it."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compose_runner.commands.service_options import print_json, say
from compose_runner.commands.terminal import TerminalProgress
from compose_runner.escaping import visible
from compose_runner.progress import PROGRESS_RECORD, STAGE_RECORD, ProgressRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from compose_runner.client.models import JobStatus, LogRecord, Update

# fields of a record that are the same in all of a job's records, or only for machines
_UNSHOWN = frozenset(
    {
        "message",
        "level",
        "timestamp",
        "location",
        "service",
        "artifact_prefix",
        "xray_trace_id",
        "stack_trace",
        "logger",
    }
)
_SHOWN_BY_BAR = (STAGE_RECORD, PROGRESS_RECORD)
_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def format_line(record: LogRecord) -> str:
    """Write a record for a person, on one line: its time, its message, and the fields that say more.

    Parameters
    ----------
    record : LogRecord
        One record of a job's log.
    """
    fields = record.fields
    try:
        clock = datetime.fromtimestamp(record.timestamp / 1000).strftime("%H:%M:%S")
    except (OverflowError, OSError, ValueError):
        clock = "--:--:--"
    details = (f"{name}={value}" for name, value in fields.items() if name not in _UNSHOWN and value not in (None, ""))
    return visible(" ".join((clock, str(fields.get("message", record.message)), *details)))


def follow_as_json(updates: Iterable[Update]) -> JobStatus:
    """Print every new record and every change of the status as one line of JSON; returns the last status."""
    status = None
    shown: Any = None
    for update in updates:
        for record in update.records:
            print_json({"type": "log", "timestamp": record.timestamp, "message": record.message})
        status = update.status
        if status.document != shown:
            shown = status.document
            print_json({"type": "status", **status.document})
    assert status is not None
    return status


def follow_in_terminal(updates: Iterable[Update]) -> JobStatus:
    """Draw the bar and the records on standard error; returns the last status."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return _follow_in_lines(updates)
    return _follow_with_bar(updates, console)


def _follow_in_lines(updates: Iterable[Update]) -> JobStatus:
    status = None
    for update in updates:
        for record in update.records:
            say(format_line(record), err=True)
        status = update.status
    assert status is not None
    return status


def _follow_with_bar(updates: Iterable[Update], console: Console) -> JobStatus:
    from rich.text import Text

    status = None
    with TerminalProgress(console) as bar:
        for update in updates:
            for record in update.records:
                if record.fields.get("message") not in _SHOWN_BY_BAR:
                    style = _LEVEL_STYLES.get(str(record.fields.get("level")), "")
                    console.print(Text(format_line(record), style=style), soft_wrap=True)
            status = update.status
            if status.progress is not None:
                # a service of another version may tell its progress otherwise; its records say the rest
                with contextlib.suppress(ValidationError):
                    bar(ProgressRecord.model_validate(status.progress))
    assert status is not None
    return status


def tell_end(status: JobStatus) -> None:
    """Say on standard error how a job ended."""
    if status.status == "SUCCEEDED":
        say(f"{status.artifact_prefix} succeeded.", fg="green", err=True)
        url = (status.document.get("result") or {}).get("result_url")
        if url:
            say(f"Its page: {url}", err=True)
        return
    say(f"{status.artifact_prefix} failed: {status.error or 'its log may have the reason'}", fg="red", err=True)
