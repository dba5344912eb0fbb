"""How a command that made or fetched a result ends on a terminal: what was found, and where to read on."""

from __future__ import annotations

import shlex
import webbrowser
from typing import TYPE_CHECKING

import click

from compose_runner.escaping import visible

if TYPE_CHECKING:
    from pathlib import Path

    from compose_runner.client.client import Client

NO_REPORT = "There is no report to open: it was not drawn, or could not be."


def publish_command(result_dir: str | Path) -> str:
    """Give the command that publishes a result directory."""
    return f"compose-runner publish {shlex.quote(str(result_dir))}"


def tell_result(result_dir: Path, *, warned: bool = False, can_publish: bool = False) -> None:
    """Say on standard error what a run found, what it left out, where its report is, and how to publish it.

    Parameters
    ----------
    result_dir : Path
        Of a run that is complete.
    warned : bool
        Whether the run's warnings have been shown already.
    can_publish : bool
        Whether the result is not published and can be.
    """
    from compose_runner.analysis.write.summary import summarize

    summary = summarize(result_dir)
    if summary is None:
        return
    click.echo(err=True)
    for line in summary.lines(warned=warned):
        click.echo(visible(line), err=True)
    if can_publish:
        click.echo(visible(f"Not published. To publish it: {publish_command(result_dir)}"), err=True)


def open_job_report(client: Client, job: str) -> None:
    """Open the report of a job of a service.

    Parameters
    ----------
    client : Client
        Of the service.
    job : str
        The job's name or id.
    """
    artifacts = client.results(job)
    open_page(next((artifact.url for artifact in artifacts if artifact.path == "report.html"), None))


def open_page(address: str | None) -> None:
    """Open a page in the browser of this machine, or say why not.

    Parameters
    ----------
    address : str or None
        None where there is no report.
    """
    if address is None:
        click.echo(NO_REPORT, err=True)
    elif not webbrowser.open(address):
        click.echo(visible(f"No browser could be opened here. The report is at {address}"), err=True)
