"""Show a job that is followed: a bar with its stage and the time left, and its log records above it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from compose_runner import log_events
from compose_runner.client import RUNNING
from compose_runner.commands.service_options import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from compose_runner.client import JobStatus, LogRecord, Update

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
_LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


def line_of(record: LogRecord) -> str:
    """Write a record for a person: its time, its message, and the fields that say more.

    Parameters
    ----------
    record : LogRecord
        One record of a job's log.
    """
    fields = record.fields
    clock = datetime.fromtimestamp(record.timestamp / 1000).strftime("%H:%M:%S")
    details = (f"{name}={value}" for name, value in fields.items() if name not in _UNSHOWN and value not in (None, ""))
    return " ".join((clock, str(fields.get("message", record.message)), *details))


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
            print(line_of(record), file=sys.stderr, flush=True)
        status = update.status
    assert status is not None
    return status


def _follow_with_bar(updates: Iterable[Update], console: Console) -> JobStatus:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    status = None
    bar = Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("waiting for its turn", total=None, left="")
        for update in updates:
            for record in update.records:
                if record.fields.get("message") != log_events.PROGRESS:  # the bar shows it
                    style = _LEVEL_STYLES.get(str(record.fields.get("level")), "")
                    console.print(Text(line_of(record), style=style), soft_wrap=True)
            status = update.status
            shown = _shown(status)
            bar.update(task, **shown)
    assert status is not None
    return status


def _shown(status: JobStatus) -> dict[str, Any]:
    progress = status.progress
    if progress is None:
        return {
            "description": status.status.lower() if status.status != RUNNING else "running",
            "total": None,
            "left": "",
        }
    total = progress.get("total")
    return {
        "description": str(progress.get("stage")),
        "total": total or None,
        "completed": progress.get("completed") or 0,
        "left": time_left(progress.get("seconds_left")),
    }


def time_left(seconds: Any) -> str:
    """Write a number of seconds as ``about 5 min left``; nothing for what is not a number."""
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


def tell_end(status: JobStatus) -> None:
    """Say on standard error how a job ended."""
    if status.status == "SUCCEEDED":
        click.secho(f"{status.artifact_prefix} succeeded.", fg="green", err=True)
        url = (status.document.get("result") or {}).get("result_url")
        if url:
            click.echo(f"Its page: {url}", err=True)
        return
    click.secho(f"{status.artifact_prefix} failed: {status.error or 'its log may have the reason'}", fg="red", err=True)
