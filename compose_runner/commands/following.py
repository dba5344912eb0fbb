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
        "sentence",
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


class FollowingAccount:
    """What a command that follows a job can say when it ends early: the job goes on.

    Parameters
    ----------
    name : str or None
        The job's name; None as long as there is no job.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    @property
    def ended(self) -> str:
        """What has ended."""
        return "Stopped" if self.name is None else "No longer following"

    def stopped(self) -> str:
        """Say that the job goes on, and how to follow it again."""
        return "" if self.name is None else f"The job goes on: compose-runner logs {self.name} --follow"

    def failed(self, _error: BaseException) -> str:
        """Add nothing to an error."""
        return ""


def describe_waiting(status: JobStatus) -> str:
    """Say that a job waits, and how many jobs are before it where that is known."""
    before = status.jobs_before
    if before is None:
        return "It waits for its task to begin."
    return f"It waits: {before} {'job is' if before == 1 else 'jobs are'} before it."


class _Waiting:
    """Knows whether a job that is followed still waits."""

    def __init__(self) -> None:
        self._begun = False

    def describe(self, update: Update) -> str:
        """Say that the job waits; nothing for one that has begun, which has no progress for a moment at its end."""
        status = update.status
        self._begun |= bool(update.records) or status.ended or (status.progress is not None and not status.waits)
        return "" if self._begun else describe_waiting(status)


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
    waiting, said = _Waiting(), ""
    for update in updates:
        for record in update.records:
            say(format_line(record), err=True)
        status = update.status
        if (text := waiting.describe(update)) not in ("", said):
            said = text
            say(f"{status.artifact_prefix}: {text}", err=True)
    assert status is not None
    return status


def _follow_with_bar(updates: Iterable[Update], console: Console) -> JobStatus:
    from rich.text import Text

    status = None
    waiting = _Waiting()
    with TerminalProgress(console) as bar:
        for update in updates:
            for record in update.records:
                if record.fields.get("message") not in _SHOWN_BY_BAR:
                    style = _LEVEL_STYLES.get(str(record.fields.get("level")), "")
                    console.print(Text(format_line(record), style=style), soft_wrap=True)
            status = update.status
            if text := waiting.describe(update):
                bar.wait(text)
            elif status.progress is not None:
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
