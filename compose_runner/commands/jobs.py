"""``compose-runner jobs``: the jobs of a service."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from compose_runner.commands.exit_codes import exit_with_code
from compose_runner.commands.service_options import CONTEXT, make_client, print_json, say, service_options
from compose_runner.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compose_runner.client.models import JobEntry

_COLUMNS = ("NAME", "STATE", "AGE", "TITLE", "RESULT")
# widest name and title; the result takes the rest of the line
_MOST = (36, 9, 4, 28)
_GAP = "  "


@click.command(context_settings=CONTEXT)
@service_options
def jobs(endpoint: str | None, profile: str | None, as_json: bool) -> None:
    """List the newest jobs: name, state, age, title, and result.

    For a service that keeps a list, as compose-runner serve does. A job of any service is found by its name: status.
    """

    def action() -> None:
        found = make_client(endpoint, profile).jobs()
        if as_json:
            print_json([job.document for job in found])
        elif not found:
            say("There are no jobs yet.", err=True)
        else:
            for line in table(found, datetime.now(UTC), shutil.get_terminal_size((0, 0)).columns):
                say(line)

    exit_with_code(action)


def table(jobs: Sequence[JobEntry], now: datetime, width: int) -> list[str]:
    """Write jobs as lines with a heading.

    Parameters
    ----------
    jobs : sequence of JobEntry
        In the order in which they are listed.
    now : datetime
        From when an age is counted.
    width : int
        Columns of the terminal, which the result is cut to; 0 where nothing is cut, as in a pipe.
    """
    rows = [_COLUMNS]
    for job in jobs:
        age = "" if job.started is None else format_age((now - job.started).total_seconds())
        cells = (job.artifact_prefix, job.status.lower(), age, job.title, job.result)
        rows.append(tuple(visible(cell) for cell in cells))  # type: ignore[arg-type]
    if width:
        rows = [tuple(map(_cut, row, (*_MOST, len(row[4])))) for row in rows]  # type: ignore[misc]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [_GAP.join((*map(str.ljust, row, widths), row[4])).rstrip() for row in rows]
    return [_cut(line, width) for line in lines] if width else lines


def format_age(seconds: float) -> str:
    """Write a time that has passed in its largest unit: ``45s``, ``3m``, ``2h``, ``5d``."""
    for unit, size, most in (("s", 1, 60), ("m", 60, 60), ("h", 3600, 48)):
        if seconds < size * most:
            return f"{max(seconds, 0) // size:.0f}{unit}"
    return f"{seconds // 86400:.0f}d"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
